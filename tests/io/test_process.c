/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes on the kernel's loop: real ones, mostly /bin/sh. */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/clock.h"
#include "io/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS HARDY_MILLISECOND

static struct loop *loop;
static char dir[64];

struct run {
    struct process *process;
    struct buf out, err;
    uint64_t total;
    int exited, code, signal;
    size_t pause_at; /* pauses once, for 5 ms, when so much has come */
    struct loop_timer timer;
    bool free_in_output;
};
static struct run run;

static void on_resume(struct loop_timer *t) {
    struct run *r = t->ctx;
    process_pause_output(r->process, false);
}

static void on_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    struct run *r = ctx;
    assert_int_equal(r->exited, 0);
    r->total += len;
    buf_append(fd == 1 ? &r->out : &r->err, data, len);
    if (r->free_in_output) {
        process_free(p);
        r->process = NULL;
        return;
    }
    if (r->pause_at && r->total >= r->pause_at) {
        r->pause_at = 0;
        process_pause_output(p, true);
        loop_timer_init(&r->timer, on_resume, r);
        loop_timer_start(loop, &r->timer, loop_now(loop) + 5 * MS);
    }
}

static void on_exited(void *ctx, struct process *p, int code, int signum) {
    struct run *r = ctx;
    assert_ptr_equal(p, r->process);
    r->exited++;
    r->code = code;
    r->signal = signum;
    process_free(p);
    r->process = NULL;
}

static const struct process_events events = {on_output, on_exited};

static int setup(void **state) {
    (void)state;
    run = (struct run){0};
    buf_init(&run.out, 1 << 20);
    buf_init(&run.err, 1 << 20);
    snprintf(dir, sizeof dir, "/tmp/hardy-process-XXXXXX");
    loop = loop_uv_new(NULL);
    return loop && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    buf_free(&run.out);
    buf_free(&run.err);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static hardy_status start(struct process_options *o, hardy_error *error, const char *const *argv) {
    run.exited = 0;
    o->argv = argv;
    return process_start(loop, o, &events, &run, &run.process, error);
}

/* Captures both outputs of a shell script and runs it to its end. */
static void shell_with(struct process_options *o, const char *script) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    o->capture_stdout = o->capture_stderr = true;
    assert_int_equal(start(o, NULL, argv), HARDY_OK);
    assert_int_equal(run.exited, 0);
    loop_run(loop);
    assert_int_equal(run.exited, 1);
}

static void shell(const char *script) {
    struct process_options o;
    process_options_init(&o);
    shell_with(&o, script);
}

static const char *text(const struct buf *b) {
    return b->data ? b->data : "";
}

static char *path_in(const char *name) {
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void write_file(const char *name, const char *content, unsigned mode) {
    int fd = open(path_in(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    fchmod(fd, mode);
    close(fd);
}

static long number_in(const char *name) {
    char line[32] = "";
    int fd = open(path_in(name), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, line, sizeof line - 1);
        line[n > 0 ? n : 0] = '\0';
        close(fd);
    }
    return strtol(line, NULL, 10);
}

/* Whether a process lives, that is, exists and is no zombie. */
static bool alive(long pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    const char *state = n > 0 ? strrchr(line, ')') : NULL;
    return state && state[2] != 'Z';
}

static bool dies_within(long pid, int64_t span) {
    for (int64_t end = clock_now() + span; clock_now() < end; usleep(1000)) {
        if (!alive(pid)) {
            return true;
        }
    }
    return false;
}

static void output_and_exit_code(void **state) {
    (void)state;
    shell("echo out; echo err >&2; exit 7");
    assert_int_equal(run.code, 7);
    assert_int_equal(run.signal, 0);
    assert_string_equal(text(&run.out), "out\n");
    assert_string_equal(text(&run.err), "err\n");
}

static void death_by_signal(void **state) {
    (void)state;
    shell("kill -ABRT $$");
    assert_int_equal(run.signal, SIGABRT);
    assert_int_equal(run.code, 0);
}

static void what_cannot_be_run(void **state) {
    (void)state;
    static const struct {
        const char *command;
        hardy_status status;
        const char *says;
    } cases[] = {
        {"no-such-command-anywhere", HARDY_E_NOT_FOUND, "in no directory of PATH"},
        {"./missing", HARDY_E_NOT_FOUND, "./missing"},
        {"./plain/missing", HARDY_E_NOT_FOUND, "./plain/missing"},
        {"", HARDY_E_NOT_FOUND, ""},
        {"./plain", HARDY_E_READONLY, "Permission denied"},
        {"plain", HARDY_E_READONLY, "Permission denied"}, /* in PATH, not executable */
        {"./", HARDY_E_READONLY, "Permission denied"},
        {"./lost", HARDY_E_NOT_FOUND, "interpreter"},
    };
    write_file("plain", "echo hi\n", 0600);
    write_file("lost", "#!/no/such/interpreter\n", 0700);
    char path[128];
    snprintf(path, sizeof path, "PATH=/nowhere:%s", dir);
    const char *const env[] = {path, NULL};
    char here[256];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct process_options o;
        process_options_init(&o);
        o.env = env;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        const char *const argv[] = {cases[i].command, NULL};
        hardy_status status = start(&o, &error, argv);
        if (status != cases[i].status || !strstr(error.message, cases[i].says)) {
            fail_msg("%s: %s: %s", cases[i].command, hardy_status_name(status), error.message);
        }
    }
    assert_int_equal(chdir(here), 0);
    loop_run(loop); /* nothing is left that could keep it */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void what_can_be_run(void **state) {
    (void)state;
    write_file("bare", "echo \"bare $1\"\n", 0700); /* no "#!": /bin/sh, as execvp */
    char path[128];
    snprintf(path, sizeof path, "PATH=/nowhere:%s:", dir);
    const char *const env[] = {"A=1", path, NULL};
    struct process_options o;
    process_options_init(&o);
    o.env = env;
    o.capture_stdout = true;
    const char *const argv[] = {"bare", "word", NULL};
    assert_int_equal(start(&o, NULL, argv), HARDY_OK);
    loop_run(loop);
    assert_string_equal(text(&run.out), "bare word\n");
    buf_reset(&run.out);
    o.path = "/bin/sh"; /* the file and the name it sees differ */
    const char *const named[] = {"another-name", "-c", "echo $0 $A", NULL};
    assert_int_equal(start(&o, NULL, named), HARDY_OK);
    loop_run(loop);
    assert_string_equal(text(&run.out), "another-name 1\n");
}

static void directory_is_entered_or_named(void **state) {
    (void)state;
    struct process_options o;
    process_options_init(&o);
    o.cwd = dir;
    shell_with(&o, "pwd");
    assert_int_equal(strncmp(text(&run.out), dir, strlen(dir)), 0);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    o.cwd = "/no/such/place";
    const char *const argv[] = {"true", NULL};
    assert_int_equal(start(&o, &error, argv), HARDY_E_INVALID);
    assert_string_equal(error.where, "/no/such/place");
}

/* Blocked and ignored signals of ours are not the child's, nor are our descriptors. */
static void child_starts_clean(void **state) {
    (void)state;
    sigset_t some, before;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGTERM);
    sigaddset(&some, SIGCHLD); /* blocked by whoever started us: our loop must still hear of it */
    sigprocmask(SIG_BLOCK, &some, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    int leak = dup(0); /* not O_CLOEXEC */
    int extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct process_options o;
    process_options_init(&o);
    o.keep_fds = &extra;
    o.keep_count = 1;
    /* 180000000 is glibc's own signals 32 and 33: posix_spawn() ignores them for whoever is started
     * so (make does that), and nothing can undo it. */
    shell_with(&o, "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n' | "
                   "sed 's/:0000000[01]80000000/:0000000000000000/'; echo; "
                   "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/3 /proc/self/fd/0");
    assert_string_equal(text(&run.out), "SigBlk:0000000000000000SigIgn:0000000000000000\n"
                                        "0 1 2 3 4 /dev/null\n/dev/null\n"); /* 4: of ls */
    close(leak);
    close(extra);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void nohup_stays(void **state) {
    (void)state;
    signal(SIGHUP, SIG_IGN);
    shell("kill -HUP $$; echo survived");
    signal(SIGHUP, SIG_DFL);
    assert_string_equal(text(&run.out), "survived\n");
}

static void standard_descriptors_as_asked(void **state) {
    (void)state;
    write_file("in", "from a file", 0600);
    struct process_options o;
    process_options_init(&o);
    o.stdin_mode = PROCESS_STDIN_FD;
    o.stdin_fd = open(path_in("in"), O_RDONLY | O_CLOEXEC);
    o.stdout_fd = open(path_in("out"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const char *const argv[] = {"cat", NULL};
    assert_int_equal(start(&o, NULL, argv), HARDY_OK);
    loop_run(loop);
    char got[32] = "";
    assert_int_equal(pread(o.stdout_fd, got, sizeof got - 1, 0), 11);
    assert_string_equal(got, "from a file");
    assert_int_equal(run.total, 0);
    close(o.stdin_fd);
    close(o.stdout_fd);
}

/* Bounded memory: what is not kept is dropped as it comes. */
static void a_flood_of_output(void **state) {
    (void)state;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    shell("head -c 100000000 /dev/zero; echo end >&2");
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(run.total, 100000000 + 4);
    assert_int_equal(run.code, 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 8192); /* KiB */
}

static void paused_output_is_delivered_before_the_end(void **state) {
    (void)state;
    run.pause_at = 1;
    shell("head -c 100000 /dev/zero; printf last; exit 3");
    assert_int_equal(run.total, 100004);
    assert_int_equal(run.code, 3);
    assert_memory_equal(run.out.data + 100000, "last", 4);
}

/* The command has exited; what it left behind keeps its output open, and even goes on writing. */
static void descendants_holding_output_delay_nothing(void **state) {
    (void)state;
    char script[200];
    int64_t before = clock_now();
    snprintf(script, sizeof script, "(while :; do echo noise; done) & echo $! > %s; echo said",
             path_in("pid"));
    shell(script);
    assert_true(clock_now() - before < 5 * HARDY_SECOND);
    assert_non_null(strstr(text(&run.out), "said\n"));
    assert_true(dies_within(number_in("pid"), 5 * HARDY_SECOND)); /* of SIGPIPE */
}

static void send_kill(struct loop_timer *t) {
    (void)t;
    process_signal(run.process, SIGKILL);
}

static void send_term(struct loop_timer *t) {
    process_signal(run.process, SIGTERM);
    t->fn = send_kill;
    loop_timer_start(loop, t, loop_now(loop) + 5 * MS);
}

static void ignores_term_and_is_killed_with_its_group(void **state) {
    (void)state;
    struct loop_timer t;
    loop_timer_init(&t, send_term, NULL);
    char script[200];
    /* Tells that its trap is set by the file; the loop below waits for that. */
    snprintf(script, sizeof script, "trap '' TERM; sleep 30 & echo $! > %s; wait; wait",
             path_in("pid"));
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct process_options o;
    process_options_init(&o);
    assert_int_equal(start(&o, NULL, argv), HARDY_OK);
    assert_int_equal(getpgid(process_pid(run.process)), process_pid(run.process));
    while (number_in("pid") == 0) {
        usleep(500);
    }
    loop_timer_start(loop, &t, loop_now(loop));
    loop_run(loop);
    assert_int_equal(run.exited, 1);
    assert_int_equal(run.signal, SIGKILL);
    assert_true(dies_within(number_in("pid"), 5 * HARDY_SECOND));
}

static void groups_and_sessions(void **state) {
    (void)state;
    const char *const argv[] = {"sleep", "30", NULL};
    static const enum process_group kinds[] = {PROCESS_GROUP_NEW, PROCESS_GROUP_SAME,
                                               PROCESS_SESSION_NEW};
    for (size_t i = 0; i < 3; i++) {
        struct process_options o;
        process_options_init(&o);
        o.group = kinds[i];

        assert_int_equal(start(&o, NULL, argv), HARDY_OK);
        int pid = process_pid(run.process);
        assert_int_equal(getpgid(pid) == pid, kinds[i] != PROCESS_GROUP_SAME);
        assert_int_equal(getsid(pid) == pid, kinds[i] == PROCESS_SESSION_NEW);
        process_signal(run.process, SIGKILL); /* with the group of ours, this must not be our end */
        loop_run(loop);
        assert_int_equal(run.signal, SIGKILL);
    }
}

static void forgotten_processes_are_reaped(void **state) {
    (void)state;
    struct process_options o;
    process_options_init(&o);
    o.capture_stdout = true;
    const char *const argv[] = {"sh", "-c", "echo x; exec sleep 0.02", NULL};
    assert_int_equal(start(&o, NULL, argv), HARDY_OK);
    int pid = process_pid(run.process);
    process_free(run.process);
    loop_run(loop); /* a forgotten process does not keep it */
    assert_int_equal(kill(pid, 0), 0);
    /* Others keep the loop going until the first has ended. */
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) {
        shell("sleep 0.01");
    }
    assert_int_equal(kill(pid, 0), -1);
    run.exited = 0;
    run.free_in_output = true;
    assert_int_equal(start(&o, NULL, argv), HARDY_OK);
    loop_run(loop);
    assert_int_equal(run.exited, 0);
    assert_int_equal(run.total, 2);
}

static void forty_at_once(void **state) {
    (void)state;
    static struct run many[40];
    for (int i = 0; i < 40; i++) {
        char script[32];
        snprintf(script, sizeof script, "echo %d; exit %d", i, i);
        const char *const argv[] = {"sh", "-c", script, NULL};
        struct process_options o;
        process_options_init(&o);
        o.argv = argv;
        o.capture_stdout = true;
        buf_init(&many[i].out, 100);
        assert_int_equal(process_start(loop, &o, &events, &many[i], &many[i].process, NULL),
                         HARDY_OK);
    }
    loop_run(loop);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(many[i].exited, 1);
        assert_int_equal(many[i].code, i);
        assert_int_equal(strtol(text(&many[i].out), NULL, 10), i);
        buf_free(&many[i].out);
    }
}

/* What makes its own session and lets its parents die is still below us, and is found. */
static void the_tree_below_us(void **state) {
    (void)state;
    assert_int_equal(process_signal_below(getpid(), 0), 0);
    process_adopt_orphans(loop);
    char script[800];
    snprintf(script, sizeof script,
             "setsid sh -c 'echo $$ > %s; exec sleep 30' & "
             "(sh -c 'sleep 30 & echo $! > %s; wait' &); "
             "while ! [ -s %s ] || ! [ -s %s ]; do :; done",
             path_in("pid"), path_in("child"), path_in("pid"), path_in("child"));
    shell(script);
    long daemon = number_in("pid");
    assert_true(alive(daemon));
    assert_int_equal(process_signal_below(getpid(), SIGKILL), 3);
    assert_true(dies_within(daemon, 5 * HARDY_SECOND));
    /* The loop reaps what we adopted. */
    siginfo_t info;
    for (int i = 0; i < 500 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; i++) {
        shell("sleep 0.01");
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(output_and_exit_code),
        T(death_by_signal),
        T(what_cannot_be_run),
        T(what_can_be_run),
        T(directory_is_entered_or_named),
        T(child_starts_clean),
        T(nohup_stays),
        T(standard_descriptors_as_asked),
        T(a_flood_of_output),
        T(paused_output_is_delivered_before_the_end),
        T(descendants_holding_output_delay_nothing),
        T(ignores_term_and_is_killed_with_its_group),
        T(groups_and_sessions),
        T(forgotten_processes_are_reaped),
        T(forty_at_once),
        T(the_tree_below_us),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
