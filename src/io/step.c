/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The step shim itself, `hardy __step`: one thread, poll and three signals, so that it starts fast
 * and stays small. What it promises is in shim.h.
 *
 *   RUNNING    until the command exits, its deadline passes, or somebody cancels
 *   LEFTOVERS  it exited: what is left of its process group gets a moment, TERM, a moment, KILL
 *   ENDING     deadline or cancelled: TERM to the group, kill_after, KILL to all below us
 *   OVER       the result is written, the lock let go
 *
 * Every wait in here ends by itself: a process that KILL does not end (stuck in the kernel) will
 * never run another instruction of its own, so the step is over without it.
 */
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/shim.h"
#include "io/spawn.h"
#include "io/step_file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_FD 3
#define OWNER_FD 4 /* hung up when hardy has gone, or has let go; only with pass=1 */
/* A daemon's first process often exits before the daemon has made its own session: TERM must not
 * come between the two, also on a machine that is busy. */
#define DAEMON_GRACE (500 * HARDY_MILLISECOND)
#define LEFTOVERS_GRACE HARDY_SECOND
#define KILL_PATIENCE (5 * HARDY_SECOND)
#define PASS_PATIENCE (5 * HARDY_SECOND)
#define TICK (5 * HARDY_MILLISECOND)
#define LONGEST_WAIT (60 * HARDY_SECOND) /* poll's clock stops while the machine sleeps */
#define PIECE 65536

enum phase { RUNNING, LEFTOVERS, ENDING, OVER };

struct step {
    const char *base, *cwd;
    const char *const *argv;
    int64_t deadline, kill_after, max_output;
    int64_t pass;

    enum phase phase;
    int64_t phase_ends; /* when TERM comes (of LEFTOVERS, first), or KILL */
    bool asked;         /* leftovers have got TERM */
    bool killed;        /* it has come at least once */
    pid_t pid;          /* 0 = the command has exited */
    pid_t group;
    struct shim_result result;
    struct buf file; /* of base.result: head and output */

    int output; /* the command's standard output, our end; -1 = at its end */
    int owner;  /* -1 = nobody to watch */
    int out;    /* where output is passed on; -1 = nowhere */
    bool out_is_socket;
    size_t out_max;   /* what one write takes without blocking */
    char held[PIECE]; /* read, kept, not yet passed on */
    size_t held_from, held_to;
};

static volatile sig_atomic_t child_ended, asked_to_end;

static void on_signal(int signum) {
    if (signum == SIGCHLD) {
        child_ended = 1;
    } else {
        asked_to_end = 1;
    }
}

/* --- output --- */

/* A descriptor of our own for standard output, because making the one we share not block would
 * change it for everyone else. */
static void open_out(struct step *s) {
    struct stat st;
    s->out = STDOUT_FILENO;
    s->out_max = PIECE;
    if (fstat(STDOUT_FILENO, &st) != 0) {
        s->out = -1;
    } else if (S_ISSOCK(st.st_mode)) {
        s->out_is_socket = true;
    } else if (S_ISFIFO(st.st_mode) || isatty(STDOUT_FILENO)) {
        s->out = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (s->out < 0) { /* another user's terminal: small pieces, when poll says so */
            s->out = STDOUT_FILENO;
            s->out_max = 256;
        }
    }
}

static void to_null(int fd) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, fd);
        close(null);
    }
}

/* Nobody reads it any more, or may: whoever waits for the end of our standard output must not wait
 * for us. */
static void stop_passing(struct step *s) {
    if (s->out > STDERR_FILENO) {
        close(s->out);
    }
    if (s->out >= 0) {
        to_null(STDOUT_FILENO);
    }
    if (s->owner >= 0) {
        close(s->owner);
    }
    s->out = s->owner = -1;
    s->held_from = s->held_to = 0;
}

static void pass_on(struct step *s) {
    size_t len = s->held_to - s->held_from;
    const char *data = s->held + s->held_from;
    len = len < s->out_max ? len : s->out_max;
    ssize_t n = s->out_is_socket ? send(s->out, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                 : write(s->out, data, len);
    if (n > 0) {
        s->held_from += (size_t)n;
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        stop_passing(s);
    }
    if (s->held_from == s->held_to) {
        s->held_from = s->held_to = 0;
    }
}

static void keep(struct step *s, const char *data, size_t len) {
    size_t room = STEP_HEAD + (size_t)s->max_output - s->file.len;
    if (len > room) {
        len = room;
        s->result.truncated = true;
    }
    if (!buf_append(&s->file, data, len)) {
        s->result.truncated = true;
    }
}

/* At most `max` bytes; returns what was read. */
static size_t read_output(struct step *s, size_t max) {
    ssize_t n = read(s->output, s->held, max < sizeof s->held ? max : sizeof s->held);
    if (n > 0) {
        keep(s, s->held, (size_t)n);
        s->held_to = s->out >= 0 ? (size_t)n : 0;
        return (size_t)n;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(s->output);
        s->output = -1;
    }
    return 0;
}

static void flush_held(struct step *s, int64_t end) {
    while (s->held_to > s->held_from && clock_now() < end) {
        struct pollfd fds[2] = {{.fd = s->out, .events = POLLOUT}, {.fd = s->owner}};
        if (poll(fds, 2, 100) > 0 && fds[1].revents) {
            stop_passing(s);
        } else if (fds[0].revents) {
            pass_on(s);
        }
    }
}

/* What the pipe holds now; a process that was left alone may write into it for ever. */
static void drain(struct step *s) {
    int left = 0;
    int64_t end = time_add(clock_now(), PASS_PATIENCE);
    flush_held(s, end);
    if (s->output < 0 || ioctl(s->output, FIONREAD, &left) != 0) {
        return;
    }
    while (left > 0 && s->output >= 0) {
        size_t n = read_output(s, (size_t)left);
        flush_held(s, end);
        s->held_from = s->held_to = 0;
        left = n > 0 ? left - (int)n : 0;
    }
}

/* --- processes --- */

static void reap(struct step *s) {
    int status;
    pid_t pid;
    child_ended = 0;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->pid) {
            s->pid = 0;
            s->result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
            s->result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            s->result.ended = clock_wall();
        }
    }
}

static bool group_lives(const struct step *s) {
    return s->pid != 0 || kill(-s->group, 0) == 0 || errno == EPERM;
}

static void end_group(struct step *s, int64_t now, int64_t grace) {
    s->phase_ends = time_add(now, grace);
    kill(-s->group, SIGTERM);
    kill(-s->group, SIGCONT); /* one that is stopped would not hear it */
}

static void advance_leftovers(struct step *s, int64_t now) {
    if (!group_lives(s)) {
        s->phase = OVER;
    } else if (now >= s->phase_ends && !s->asked) {
        s->asked = true;
        end_group(s, now, s->kill_after < LEFTOVERS_GRACE ? s->kill_after : LEFTOVERS_GRACE);
    } else if (now >= s->phase_ends && !s->killed) {
        s->killed = true;
        s->phase_ends = time_add(now, KILL_PATIENCE);
        kill(-s->group, SIGKILL);
    } else if (now >= s->phase_ends) {
        s->phase = OVER;
    }
}

static void advance_running(struct step *s, int64_t now) {
    if (s->pid == 0) {
        s->phase = LEFTOVERS;
        s->phase_ends = time_add(now, DAEMON_GRACE);
        advance_leftovers(s, now);
    } else if (now >= s->deadline || asked_to_end) {
        s->result.timed_out = now >= s->deadline;
        s->result.cancelled = !s->result.timed_out;
        s->phase = ENDING;
        end_group(s, now, s->kill_after);
    }
}

/* KILL again and again: what was forked while we looked, or has become ours meanwhile. */
static void advance_ending(struct step *s, int64_t now) {
    if (now < s->phase_ends && !s->killed && group_lives(s)) {
        return;
    }
    if (!s->killed) {
        s->killed = true;
        s->phase_ends = time_add(now, KILL_PATIENCE);
    }
    kill(-s->group, SIGKILL); /* also where /proc tells nothing */
    if (process_signal_below(getpid(), SIGKILL) == 0) {
        reap(s);
    }
    if ((s->pid == 0 && process_signal_below(getpid(), 0) == 0) || now >= s->phase_ends) {
        if (s->pid != 0) { /* stuck in the kernel, but it will not come back */
            s->result.signal = SIGKILL;
            s->result.ended = clock_wall();
        }
        s->phase = OVER;
    }
}

/* --- the loop --- */

static int64_t wait_until(const struct step *s, int64_t now) {
    int64_t until = time_add(now, LONGEST_WAIT);
    if (s->phase == RUNNING) {
        return s->deadline < until ? s->deadline : until;
    }
    return time_add(now, TICK);
}

static void wait_for_something(struct step *s, const sigset_t *while_waiting) {
    bool held = s->held_to > s->held_from;
    struct pollfd fds[3] = {
        {.fd = held ? -1 : s->output, .events = POLLIN},
        {.fd = held ? s->out : -1, .events = POLLOUT},
        {.fd = s->owner},
    };
    int64_t now = clock_now();
    int64_t left = wait_until(s, now) - now;
    struct timespec timeout = {.tv_sec = left > 0 ? left / HARDY_SECOND : 0,
                               .tv_nsec = left > 0 ? left % HARDY_SECOND : 0};
    if (ppoll(fds, 3, &timeout, while_waiting) <= 0) {
        return;
    }
    if (fds[2].revents) {
        stop_passing(s);
    } else if (fds[1].revents) {
        pass_on(s);
    }
    if (fds[0].revents) {
        (void)read_output(s, PIECE);
    }
}

static void run(struct step *s, const sigset_t *while_waiting) {
    while (s->phase != OVER) {
        wait_for_something(s, while_waiting);
        if (child_ended) {
            reap(s);
        }
        int64_t now = clock_now();
        switch (s->phase) {
        case RUNNING:
            advance_running(s, now);
            break;
        case LEFTOVERS:
            advance_leftovers(s, now);
            break;
        case ENDING:
            advance_ending(s, now);
            break;
        case OVER:
            break;
        }
    }
    drain(s);
}

/* A daemon that kept the command's output must not die of SIGPIPE because the step is over: a
 * process of its own goes on reading for it, until it closes it. */
static void read_on_for_daemons(struct step *s) {
    struct pollfd fd = {.fd = s->output, .events = POLLIN};
    if (s->output < 0 || (poll(&fd, 1, 0) > 0 && fd.revents & POLLHUP) || fork() != 0) {
        return;
    }
    sigset_t none;
    sigemptyset(&none);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    stop_passing(s);
    to_null(STDERR_FILENO);
    buf_free(&s->file);
    close(LOCK_FD);
    (void)fcntl(s->output, F_SETFL, 0);
    ssize_t n;
    do {
        n = read(s->output, s->held, sizeof s->held);
    } while (n > 0 || (n < 0 && errno == EINTR));
    _exit(0);
}

/* A full disk must not make a known end unknown: then without the output. */
static bool write_result(struct step *s) {
    char *path = str_format("%s.result", s->base);
    if (!path) {
        return false;
    }
    step_file_seal(&s->file, &s->result);
    hardy_status status = file_write(path, s->file.data, s->file.len, false, NULL);
    if (status != HARDY_OK && s->file.len > STEP_HEAD) {
        s->file.len = STEP_HEAD;
        s->result.truncated = true;
        step_file_seal(&s->file, &s->result);
        status = file_write(path, s->file.data, s->file.len, false, NULL);
    }
    free(path);
    return status == HARDY_OK;
}

static int make_begun(const struct step *s) {
    char *path = str_format("%s.begun", s->base);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    int why = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    free(path);
    return why;
}

static int start(struct step *s) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    s->output = ends[0];
    struct spawn command = {.argv = s->argv,
                            .cwd = s->cwd,
                            .group = PROCESS_GROUP_NEW,
                            .stdio = {SPAWN_OURS, ends[1], SPAWN_OURS},
                            .die_with_parent = true};
    int why = make_begun(s);
    s->result.started = s->result.ended = clock_wall();
    if (why == 0) {
        why = spawn_run(&command, &s->pid);
    }
    close(ends[1]);
    s->group = s->pid;
    return why;
}

/* Words "key=value" up to "--", then the command. */
static bool parse_arguments(struct step *s, int argc, char **argv) {
    s->deadline = HARDY_NEVER;
    s->kill_after = 5 * HARDY_SECOND;
    s->max_output = 1 << 20;
    int i = 2;
    for (; i < argc && !str_eq(argv[i], "--"); i++) {
        char *value = strchr(argv[i], '=');
        const struct {
            const char *key;
            const char **text;
            int64_t *number;
        } keys[] = {{"base", &s->base, NULL},
                    {"cwd", &s->cwd, NULL},
                    {"deadline", NULL, &s->deadline},
                    {"kill_after", NULL, &s->kill_after},
                    {"max_output", NULL, &s->max_output},
                    {"pass", NULL, &s->pass}};
        size_t k = 0, count = sizeof keys / sizeof keys[0];
        while (value && k < count &&
               !(str_starts(argv[i], keys[k].key) && argv[i] + strlen(keys[k].key) == value)) {
            k++;
        }
        if (!value || k == count) {
            return false;
        }
        value++;
        if (keys[k].text) {
            *keys[k].text = value;
        } else if (parse_integer(value, 0, INT64_MAX, keys[k].number, NULL) != HARDY_OK) {
            return false;
        }
    }
    if (i + 1 >= argc || !s->base) {
        return false;
    }
    s->argv = (const char *const *)(argv + i + 1);
    if (s->max_output > (int64_t)STEP_OUTPUT_MAX) {
        s->max_output = (int64_t)STEP_OUTPUT_MAX;
    }
    return true;
}

/* Everything is blocked but while waiting, and then only what is listened to. */
static void take_signals(sigset_t *while_waiting) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGCHLD, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    *while_waiting = all;
    sigdelset(while_waiting, SIGCHLD);
    sigdelset(while_waiting, SIGTERM);
}

static void write_pid(void) {
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (pwrite(LOCK_FD, text, (size_t)n, 0) != n) {
        /* Whoever attaches then looks at the lock from time to time. */
        (void)!ftruncate(LOCK_FD, 0);
    }
}

int shim_main(int argc, char **argv) {
    static struct step s; /* large, and zeroed for nothing */
    if (!parse_arguments(&s, argc, argv) || fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC) != 0) {
        dprintf(STDERR_FILENO, "hardy: __step is for hardy's own use\n");
        return 2;
    }
    sigset_t while_waiting;
    take_signals(&while_waiting);
    if (getsid(0) != getpid()) {
        (void)setsid();
    }
    (void)prctl(PR_SET_NAME, "hardy-step");
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    write_pid();
    s.owner = s.out = -1;
    if (s.pass) {
        s.owner = OWNER_FD;
        (void)fcntl(OWNER_FD, F_SETFD, FD_CLOEXEC);
        open_out(&s);
    }
    static const char room[STEP_HEAD];
    buf_init(&s.file, STEP_HEAD + (size_t)s.max_output);
    if (!buf_append(&s.file, room, sizeof room)) {
        return 1;
    }
    int why = start(&s);
    /* From here on only the command holds these. */
    to_null(STDIN_FILENO);
    (void)!chdir("/");
    if (why == 0) {
        run(&s, &while_waiting);
    } else {
        s.result.not_started = why;
        s.result.code = why == ENOENT || why == ENOTDIR ? 127 : 126;
    }
    bool written = write_result(&s);
    read_on_for_daemons(&s);
    lock_release(LOCK_FD, 0);
    return written ? 0 : 1;
}
