/* SPDX-License-Identifier: Apache-2.0 */
/* Steps under the shim: real processes; this program is its own shim. */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/loop.h"
#include "io/shim.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
static char dir[64], base[128], boot[37];
static struct shim_options options;
static struct shim_result result;
static int ended;

static char *path_in(const char *name) {
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hardy-shim-XXXXXX");
    if (!mkdtemp(dir)) {
        return -1;
    }
    snprintf(base, sizeof base, "%s/step", dir);
    file_boot_id(boot);
    options = (struct shim_options){.base = base,
                                    .env = (const char *const *)environ,
                                    /* what a failed test leaves behind ends by itself */
                                    .deadline = clock_now() + 20 * HARDY_SECOND,
                                    .kill_after = 5 * HARDY_SECOND,
                                    .max_output = 1 << 16};
    result = (struct shim_result){0};
    ended = 0;
    loop = loop_uv_new(NULL);
    return loop ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    shim_result_free(&result);
    loop_free(loop);
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void on_ended(void *ctx, struct shim *s) {
    ended++;
    *(struct shim **)ctx = NULL;
    shim_free(s);
}

static const struct shim_events events = {on_ended};

/* Locks and starts; the copy of the lock that stays with the caller is let go, as it must be. */
static struct shim **start_argv(const char *const *argv) {
    static struct shim *shim;
    assert_int_equal(shim_lock(loop, base, &options.lock_fd, NULL), HARDY_OK);
    options.argv = argv;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (shim_start(loop, &options, &events, &shim, &shim, &error) != HARDY_OK) {
        fail_msg("shim_start: %s", error.message);
    }
    shim_unlock(loop, options.lock_fd);
    return &shim;
}

static struct shim **start(const char *script) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    return start_argv(argv);
}

static enum shim_state look(void) {
    enum shim_state shim_state = SHIM_RUNNING;
    shim_result_free(&result);
    assert_int_equal(shim_look(loop, base, boot, &shim_state, &result, NULL), HARDY_OK);
    return shim_state;
}

static void finish(void) {
    int before = ended;
    loop_run(loop);
    assert_int_equal(ended, before + 1);
    assert_int_equal(look(), SHIM_ENDED);
}

static void run(const char *script) {
    start(script);
    finish();
}

static const char *output(void) {
    return result.output.data ? result.output.data : "";
}

static bool alive(long pid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    const char *s = n > 0 ? strrchr(line, ')') : NULL;
    return s && s[2] != 'Z';
}

static bool dies(long pid) {
    for (int64_t end = clock_now() + 5 * HARDY_SECOND; clock_now() < end; usleep(500)) {
        if (!alive(pid)) {
            return true;
        }
    }
    return false;
}

/* Waits for a file with a number in it. */
static long number_in(const char *path) {
    for (int64_t end = clock_now() + 10 * HARDY_SECOND; clock_now() < end; usleep(500)) {
        char line[32] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
        if (fd >= 0) {
            close(fd);
        }
        if (n > 0 && line[n - 1] == '\n') {
            return strtol(line, NULL, 10);
        }
    }
    fail_msg("%s was never written", path);
    return 0;
}

static long shim_pid(void) {
    return number_in(path_in("step.lock"));
}

/* A shell script with the test's directory in $D. */
static void use_directory(void) {
    setenv("D", dir, 1);
    options.env = (const char *const *)environ;
}

static void result_of_a_command(void **state) {
    (void)state;
    int64_t before = clock_wall();
    run("echo hello; exit 3");
    assert_int_equal(result.code, 3);
    assert_int_equal(result.signal, 0);
    assert_string_equal(output(), "hello\n");
    assert_false(result.timed_out || result.cancelled || result.truncated || result.not_started);
    assert_true(before <= result.started && result.started <= result.ended);
    assert_true(result.ended <= clock_wall());
    run("kill -SEGV $$");
    assert_int_equal(result.signal, SIGSEGV);
    assert_string_equal(output(), "");
    run("printf 'a\\000b\\nhardy-step 1 '"); /* any bytes */
    assert_int_equal(result.output.len, 17);
    assert_memory_equal(result.output.data, "a\0b\nhardy-step 1 ", 17);
}

static void the_command_gets_what_it_was_given_and_no_more(void **state) {
    (void)state;
    const char *const env[] = {"PATH=/usr/bin:/bin", "GIVEN=yes", NULL};
    options.env = env;
    options.cwd = dir;
    int leak = dup(0);
    run("echo $GIVEN; env | wc -l; pwd; ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0");
    close(leak);
    char expected[256];
    /* PWD is the shell's own, descriptor 3 is of ls. */
    snprintf(expected, sizeof expected, "yes\n3\n%s\n0 1 2 3 /dev/null\n", dir);
    assert_string_equal(output(), expected);
    run("ps -o sid= -p $$ -p $PPID | tr -d ' ' | uniq | wc -l; "
        "ps -o pgid= -p $$ -p $PPID | tr -d ' ' | uniq | wc -l");
    assert_string_equal(output(), "1\n2\n"); /* the shim's session, its own group */
}

static void what_cannot_be_started(void **state) {
    (void)state;
    const char *const missing[] = {"no-such-command-here", NULL};
    start_argv(missing);
    finish();
    assert_int_equal(result.not_started, ENOENT);
    assert_int_equal(result.code, 127);
    const char *const directory[] = {dir, NULL};
    start_argv(directory);
    finish();
    assert_int_equal(result.not_started, EACCES);
    assert_int_equal(result.code, 126);
    options.base = "relative";
    struct shim *s = NULL;
    assert_int_equal(shim_start(loop, &options, &events, NULL, &s, NULL), HARDY_E_INVALID);
    options.base = base;
    options.program = "/no/such/hardy";
    assert_int_equal(shim_lock(loop, base, &options.lock_fd, NULL), HARDY_OK);
    assert_int_equal(shim_start(loop, &options, &events, NULL, &s, NULL), HARDY_E_NOT_FOUND);
    shim_unlock(loop, options.lock_fd);
    assert_int_equal(look(), SHIM_NEVER_RAN);
}

static void a_flood_is_cut_at_its_limit(void **state) {
    (void)state;
    options.max_output = 1000;
    run("head -c 100000000 /dev/zero | tr '\\0' x; echo the end >&2");
    assert_true(result.truncated);
    assert_int_equal(result.code, 0);
    assert_int_equal(result.output.len, 1000);
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    assert_true(usage.ru_maxrss < 65536); /* KiB, of the largest: nothing held 100 MB */
    options.max_output = 0;
    run("echo x");
    assert_true(result.truncated);
    assert_int_equal(result.output.len, 0);
}

/* Runs a script into its deadline; a longer one if it had not got as far as making $D/ready: the
 * machine may be busy. */
static void run_into_deadline(const char *script) {
    use_directory();
    for (int64_t span = 30 * MS; !file_exists(path_in("ready")); span *= 2) {
        options.deadline = clock_now() + span;
        run(script);
        assert_true(result.timed_out);
        assert_false(result.cancelled);
    }
}

/* TERM first; what takes it ends then, long before kill_after. */
static void deadline_ends_the_command(void **state) {
    (void)state;
    run_into_deadline("trap 'echo cleaned; exit 9' TERM; sleep 30 & : > $D/ready; wait");
    assert_true(result.ended - result.started < 4 * HARDY_SECOND);
    assert_int_equal(result.code, 9);
    assert_string_equal(output(), "cleaned\n");
}

/* What ignores TERM, and what has made its own session, is killed after kill_after. */
static void deadline_ends_everything_below(void **state) {
    (void)state;
    options.kill_after = 40 * MS;
    run_into_deadline("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > $D/daemon; "
                      "while :; do sleep 1; done' & (sleep 30 & echo $! > $D/child); "
                      "while ! [ -s $D/daemon ]; do :; done; : > $D/ready; "
                      "while :; do sleep 1; done");
    assert_int_equal(result.signal, SIGKILL);
    assert_false(alive(number_in(path_in("daemon"))));
    assert_false(alive(number_in(path_in("child"))));
    assert_true(result.ended - result.started < 5 * HARDY_SECOND);
}

static void cancel_later(struct loop_timer *t) {
    shim_cancel(*(struct shim **)t->ctx);
}

static void cancelled(void **state) {
    (void)state;
    use_directory();
    struct loop_timer t;
    struct shim **s = start("echo started; echo $$ > $D/pid; exec sleep 30");
    (void)number_in(path_in("pid"));
    loop_timer_init(&t, cancel_later, s);
    loop_timer_start(loop, &t, loop_now(loop));
    finish();
    assert_true(result.cancelled);
    assert_false(result.timed_out);
    assert_int_equal(result.signal, SIGTERM);
    assert_string_equal(output(), "started\n");
}

static void cancelled_at_once(void **state) {
    (void)state;
    struct shim **s = start("exec sleep 30");
    shim_cancel(*s);
    loop_run(loop);
    assert_int_equal(ended, 1);
    enum shim_state now = look();
    assert_true(now == SHIM_NEVER_RAN || (now == SHIM_ENDED && result.cancelled));
}

static void leftovers_of_the_group_are_ended(void **state) {
    (void)state;
    use_directory();
    run("(trap 'echo 1 > $D/term; exit' TERM; sleep 30 & echo $! > $D/pid; wait) & "
        "while ! [ -s $D/pid ]; do :; done; echo done");
    assert_string_equal(output(), "done\n");
    assert_int_equal(result.code, 0);
    assert_false(alive(number_in(path_in("pid"))));
    assert_true(file_exists(path_in("term")));
    unlink(path_in("pid"));
    options.kill_after = 20 * MS;
    run("(trap '' TERM; echo $$ > $D/pid; while :; do sleep 1; done) & "
        "while ! [ -s $D/pid ]; do :; done; exit 4");
    assert_int_equal(result.code, 4);
    assert_int_equal(result.signal, 0);
    assert_int_equal(kill(-(pid_t)number_in(path_in("pid")), 0), -1);
    assert_int_equal(errno, ESRCH);
}

/* A daemon keeps the command's output and goes on writing to it after the shim has gone. */
static void daemons_are_left_alone(void **state) {
    (void)state;
    use_directory();
    start("setsid sh -c 'echo $$ > $D/pid; while sleep 0.005; do echo noise; done' & "
          "while ! [ -s $D/pid ]; do :; done; echo up");
    long shim = shim_pid();
    finish();
    assert_int_equal(result.code, 0);
    assert_non_null(strstr(output(), "up\n"));
    assert_true(dies(shim));
    long daemon = number_in(path_in("pid"));
    usleep(50000); /* ten lines later */
    assert_true(alive(daemon));
    kill((pid_t)daemon, SIGKILL);
}

/* As nginx does it: the command exits, and its child makes a session of its own only then. */
static void daemons_that_are_not_yet_daemons_are_left_alone(void **state) {
    (void)state;
    use_directory();
    unlink(path_in("pid"));
    run("(sleep 0.1; exec setsid sh -c 'echo $$ > $D/pid; while sleep 0.01; do :; done') & exit 0");
    assert_int_equal(result.code, 0);
    long daemon = number_in(path_in("pid"));
    assert_true(alive(daemon));
    kill(-(pid_t)daemon, SIGKILL);
}

static pid_t starter; /* a hardy that is killed */

static void start_elsewhere(const char *script) {
    starter = fork();
    if (starter == 0) {
        loop_free(loop);
        loop = loop_uv_new(NULL);
        start(script);
        loop_run(loop);
        _exit(0);
    }
    assert_true(starter > 0);
}

static void kill_starter(void) {
    kill(starter, SIGKILL);
    assert_int_equal(waitpid(starter, NULL, 0), starter);
}

static void attach(struct shim **s) {
    assert_int_equal(shim_attach(loop, base, &events, s, s, NULL), HARDY_OK);
    assert_int_equal(ended, 0);
}

static void the_step_outlives_its_starter(void **state) {
    (void)state;
    use_directory();
    start_elsewhere("echo before; echo $$ > $D/pid; while ! [ -e $D/go ]; do sleep 0.002; done; "
                    "echo after");
    (void)number_in(path_in("pid"));
    kill_starter();
    assert_int_equal(look(), SHIM_RUNNING);
    int fd;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(shim_lock(loop, base, &fd, &error), HARDY_E_RUNNING);
    struct shim *s;
    attach(&s);
    assert_int_equal(file_write(path_in("go"), "", 0, false, NULL), HARDY_OK);
    finish();
    assert_string_equal(output(), "before\nafter\n");
}

/* Told at once, not at the look a second later: one of a few times, for the machine may be busy. */
static void the_end_of_an_attached_step_is_told_at_once(void **state) {
    (void)state;
    int64_t best = HARDY_NEVER;
    use_directory();
    for (int i = 0; i < 5 && best > 500 * MS; i++) {
        unlink(path_in("pid"));
        start_elsewhere("echo $$ > $D/pid; sleep 0.02");
        (void)number_in(path_in("pid"));
        kill_starter();
        struct shim *s;
        ended = 0;
        attach(&s);
        loop_run(loop);
        assert_int_equal(look(), SHIM_ENDED);
        int64_t late = clock_wall() - result.ended;
        best = late < best ? late : best;
    }
    assert_true(best < 500 * MS);
}

/* Killed at any moment of the start: either the command never ran and left no trace, or it runs to
 * its end once, whoever looks. It is never in doubt. */
static void killed_at_any_moment_of_the_start(void **state) {
    (void)state;
    use_directory();
    int never = 0, attached = 0;
    for (int i = 0; i < 60; i++) {
        start_elsewhere("echo x >> $D/effects; echo y");
        usleep((useconds_t)(i * 50));
        kill_starter();
        enum shim_state now = look();
        if (now == SHIM_RUNNING) {
            struct shim *s;
            ended = 0;
            attach(&s);
            loop_run(loop);
            attached++;
            now = look();
        }
        struct buf effects;
        buf_init(&effects, 100);
        (void)!file_read(path_in("effects"), &effects, NULL);
        if (now == SHIM_NEVER_RAN || !file_exists(path_in("step.lock"))) {
            never++;
            assert_int_equal(effects.len, 0);
        } else {
            assert_int_equal(now, SHIM_ENDED);
            assert_int_equal(effects.len, 2);
            assert_string_equal(output(), "y\n");
        }
        buf_free(&effects);
        unlink(path_in("effects"));
        shim_forget(loop, base);
    }
    assert_true(never > 0 && attached > 0);
}

static void an_attached_step_is_cancelled(void **state) {
    (void)state;
    use_directory();
    start_elsewhere("echo $$ > $D/pid; exec sleep 30");
    (void)number_in(path_in("pid"));
    kill_starter();
    struct shim *s;
    attach(&s);
    shim_cancel(s);
    finish();
    assert_true(result.cancelled);
}

/* Attached before the shim has written its pid: by looking at the lock. */
static void attached_to_a_lock_without_a_pid(void **state) {
    (void)state;
    int fd;
    assert_int_equal(shim_lock(loop, base, &fd, NULL), HARDY_OK);
    struct shim *s;
    attach(&s);
    shim_cancel(s); /* remembered until there is somebody to tell */
    pid_t holder = fork();
    if (holder == 0) {
        usleep(15000);
        _exit(0);
    }
    shim_unlock(loop, fd);
    assert_int_equal(look(), SHIM_RUNNING);
    loop_run(loop);
    assert_int_equal(ended, 1);
    assert_int_equal(look(), SHIM_NEVER_RAN);
    waitpid(holder, NULL, 0);
}

static void attached_to_nothing(void **state) {
    (void)state;
    struct shim *s;
    attach(&s);
    loop_run(loop);
    assert_int_equal(ended, 1);
    assert_int_equal(look(), SHIM_LOST);
    ended = 0;
    attach(&s);
    shim_free(s); /* before its first look */
    loop_run(loop);
    assert_int_equal(ended, 0);
}

static void a_killed_shim_is_lost_and_takes_its_command_with_it(void **state) {
    (void)state;
    use_directory();
    start("echo $$ > $D/pid; exec sleep 30");
    long command = number_in(path_in("pid"));
    kill((pid_t)shim_pid(), SIGKILL);
    loop_run(loop);
    assert_int_equal(ended, 1);
    assert_int_equal(look(), SHIM_LOST);
    assert_true(dies(command));
    /* The same for a shim that we only attached to. */
    shim_forget(loop, base);
    unlink(path_in("pid"));
    start_elsewhere("echo $$ > $D/pid; exec sleep 30");
    command = number_in(path_in("pid"));
    kill_starter();
    struct shim *s;
    ended = 0;
    attach(&s);
    kill((pid_t)shim_pid(), SIGKILL);
    loop_run(loop);
    assert_int_equal(ended, 1);
    assert_int_equal(look(), SHIM_LOST);
    assert_true(dies(command));
}

static void never_ran_or_lost(void **state) {
    (void)state;
    int fd;
    assert_int_equal(look(), SHIM_LOST); /* nothing at all: somebody has removed it */
    assert_int_equal(shim_lock(loop, base, &fd, NULL), HARDY_OK);
    assert_int_equal(look(), SHIM_RUNNING);
    shim_unlock(loop, fd); /* as if killed between the record and the start */
    assert_int_equal(look(), SHIM_NEVER_RAN);
    enum shim_state now;
    const char *others[] = {"00000000-0000-0000-0000-000000000000", "", NULL};
    for (size_t i = 0; i < 3; i++) { /* before a power cut: base.begun may have been lost */
        assert_int_equal(shim_look(loop, base, others[i], &now, &result, NULL), HARDY_OK);
        assert_int_equal(now, SHIM_LOST);
    }
    assert_int_equal(file_write(path_in("step.begun"), "", 0, false, NULL), HARDY_OK);
    assert_int_equal(look(), SHIM_LOST);
    shim_forget(loop, base);
    assert_false(file_exists(path_in("step.begun")));
    assert_false(file_exists(path_in("step.lock")));
}

/* Cut at any length, or with any one bit turned, a result is none. */
static void a_torn_result_is_none(void **state) {
    (void)state;
    run("echo precious");
    struct buf whole;
    buf_init(&whole, 1 << 20);
    assert_int_equal(file_read(path_in("step.result"), &whole, NULL), HARDY_OK);
    for (size_t len = 0; len < whole.len; len++) {
        file_write(path_in("step.result"), whole.data, len, false, NULL);
        assert_int_equal(look(), SHIM_LOST);
    }
    for (size_t i = 0; i < whole.len * 8; i += 5) {
        whole.data[i / 8] = (char)(whole.data[i / 8] ^ 1 << i % 8);
        file_write(path_in("step.result"), whole.data, whole.len, false, NULL);
        assert_int_equal(look(), SHIM_LOST);
        whole.data[i / 8] = (char)(whole.data[i / 8] ^ 1 << i % 8);
    }
    buf_putc(&whole, 'x');
    file_write(path_in("step.result"), whole.data, whole.len, false, NULL);
    assert_int_equal(look(), SHIM_LOST);
    file_write(path_in("step.result"), whole.data, whole.len - 1, false, NULL);
    assert_int_equal(look(), SHIM_ENDED);
    assert_string_equal(output(), "precious\n");
    buf_free(&whole);
}

static void a_new_attempt_removes_the_remains(void **state) {
    (void)state;
    run("echo first");
    int fd;
    assert_int_equal(shim_lock(loop, base, &fd, NULL), HARDY_OK);
    assert_false(file_exists(path_in("step.result")));
    assert_false(file_exists(path_in("step.begun")));
    shim_forget(loop, base); /* it is held: nothing happens */
    assert_true(file_exists(path_in("step.lock")));
    shim_unlock(loop, fd);
    run("echo second");
    assert_string_equal(output(), "second\n");
    shim_forget(loop, base);
    assert_false(file_exists(path_in("step.result")));
    assert_false(file_exists(path_in("step.lock")));
}

/* From before the start until the result is there, another process never gets the lock. */
static void the_lock_is_handed_over_without_a_gap(void **state) {
    (void)state;
    int told[2];
    assert_int_equal(pipe(told), 0);
    assert_int_equal(shim_lock(loop, base, &options.lock_fd, NULL), HARDY_OK);
    pid_t thief = fork();
    if (thief == 0) {
        long tries = 0;
        int fd = lock_open(path_in("step.lock"), NULL);
        close(options.lock_fd);
        while (lock_try(fd, 0, NULL) != HARDY_OK) {
            if (tries++ == 0) {
                ssize_t n = write(told[1], "r", 1);
                (void)n;
            }
        }
        _exit(file_exists(path_in("step.result")) ? 0 : 1);
    }
    char ready;
    assert_int_equal(read(told[0], &ready, 1), 1);
    const char *const argv[] = {"true", NULL};
    options.argv = argv;
    struct shim *s = NULL;
    assert_int_equal(shim_start(loop, &options, &events, &s, &s, NULL), HARDY_OK);
    shim_unlock(loop, options.lock_fd);
    int status;
    assert_int_equal(waitpid(thief, &status, 0), thief);
    assert_int_equal(status, 0);
    loop_run(loop);
    assert_int_equal(look(), SHIM_ENDED);
    close(told[0]);
    close(told[1]);
}

/* --- output passed on --- */

/* Runs `script` in a process of its own whose standard output is a pipe; returns its reading end.
 */
static int start_piped(const char *script) {
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.pass_output = true;
    starter = fork();
    if (starter == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        loop_free(loop);
        loop = loop_uv_new(NULL);
        start(script);
        loop_run(loop);
        _exit(0);
    }
    close(ends[1]);
    return ends[0];
}

static size_t read_to_end(int fd, char *out, size_t size) {
    size_t len = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 10000) != 1) {
            fail_msg("the pipe was not closed");
        }
        ssize_t n = read(fd, out + (len < size ? len : 0), size - 1 - (len < size ? len : 0));
        if (n <= 0) {
            break;
        }
        len += (size_t)n;
    }
    out[len < size ? len : 0] = '\0';
    return len;
}

static void output_is_passed_on_and_kept(void **state) {
    (void)state;
    int fd = start_piped("echo one; sleep 0.01; echo two");
    char got[100];
    read_to_end(fd, got, sizeof got);
    assert_string_equal(got, "one\ntwo\n");
    waitpid(starter, NULL, 0);
    assert_int_equal(look(), SHIM_ENDED);
    assert_string_equal(output(), "one\ntwo\n");
    close(fd);
}

/* Whoever waits for the end of hardy's output is not kept by the step that goes on. */
static void passing_ends_with_hardy(void **state) {
    (void)state;
    use_directory();
    int fd =
        start_piped("echo begun; echo $$ > $D/pid; while ! [ -e $D/go ]; do sleep 0.002; done");
    char got[100] = "";
    assert_int_equal(read(fd, got, sizeof got), 6);
    assert_string_equal(got, "begun\n");
    (void)number_in(path_in("pid"));
    kill_starter();
    assert_int_equal(read_to_end(fd, got, sizeof got), 0);
    assert_int_equal(look(), SHIM_RUNNING);
    assert_int_equal(file_write(path_in("go"), "", 0, false, NULL), HARDY_OK);
    struct shim *s;
    attach(&s);
    finish();
    assert_string_equal(output(), "begun\n");
    close(fd);
}

static void nobody_reads_what_is_passed_on(void **state) {
    (void)state;
    use_directory();
    int fd = start_piped("echo $$ > $D/pid; while ! [ -e $D/go ]; do sleep 0.002; done; "
                         "head -c 300000 /dev/zero; echo kept; exit 5");
    (void)number_in(path_in("pid"));
    close(fd); /* EPIPE from now on */
    assert_int_equal(file_write(path_in("go"), "", 0, false, NULL), HARDY_OK);
    waitpid(starter, NULL, 0);
    assert_int_equal(look(), SHIM_ENDED);
    assert_int_equal(result.code, 5);
}

/* A reader that has stopped reading stops the command, as in any pipe, but not the deadline. */
static void a_reader_that_stands_still_does_not_stop_the_deadline(void **state) {
    (void)state;
    options.deadline = clock_now() + 60 * MS;
    options.kill_after = 10 * MS;
    int fd = start_piped("head -c 3000000 /dev/zero; exec sleep 30");
    struct shim *s;
    while (!file_exists(path_in("step.begun"))) {
        usleep(500);
    }
    attach(&s);
    kill_starter();
    finish();
    assert_true(result.timed_out);
    close(fd);
}

static void twenty_at_once(void **state) {
    (void)state;
    static struct shim *shims[20];
    char bases[20][160];
    const char *const argv[] = {"sh", "-c", "echo $0; exit 6", NULL};
    for (int i = 0; i < 20; i++) {
        snprintf(bases[i], sizeof bases[i], "%s.%d", base, i);
        options.base = bases[i];
        options.argv = argv;
        assert_int_equal(shim_lock(loop, bases[i], &options.lock_fd, NULL), HARDY_OK);
        assert_int_equal(shim_start(loop, &options, &events, &shims[i], &shims[i], NULL), HARDY_OK);
        shim_unlock(loop, options.lock_fd);
    }
    loop_run(loop);
    assert_int_equal(ended, 20);
    for (int i = 0; i < 20; i++) {
        enum shim_state now;
        shim_result_free(&result);
        assert_int_equal(shim_look(loop, bases[i], boot, &now, &result, NULL), HARDY_OK);
        assert_int_equal(now, SHIM_ENDED);
        assert_int_equal(result.code, 6);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && str_eq(argv[1], "__step")) {
        return shim_main(argc, argv);
    }
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(result_of_a_command),
        T(the_command_gets_what_it_was_given_and_no_more),
        T(what_cannot_be_started),
        T(a_flood_is_cut_at_its_limit),
        T(deadline_ends_the_command),
        T(deadline_ends_everything_below),
        T(cancelled),
        T(cancelled_at_once),
        T(leftovers_of_the_group_are_ended),
        T(daemons_are_left_alone),
        T(daemons_that_are_not_yet_daemons_are_left_alone),
        T(the_step_outlives_its_starter),
        T(the_end_of_an_attached_step_is_told_at_once),
        T(killed_at_any_moment_of_the_start),
        T(an_attached_step_is_cancelled),
        T(attached_to_a_lock_without_a_pid),
        T(attached_to_nothing),
        T(a_killed_shim_is_lost_and_takes_its_command_with_it),
        T(never_ran_or_lost),
        T(a_torn_result_is_none),
        T(a_new_attempt_removes_the_remains),
        T(the_lock_is_handed_over_without_a_gap),
        T(output_is_passed_on_and_kept),
        T(passing_ends_with_hardy),
        T(nobody_reads_what_is_passed_on),
        T(a_reader_that_stands_still_does_not_stop_the_deadline),
        T(twenty_at_once),
    };
    return cmocka_run_group_tests_name("shim", tests, NULL, NULL);
}
