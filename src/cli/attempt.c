/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/attempt.h"
#include "base/error.h"
#include "io/file.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* What the command leaves in its group may be about to end, like the `tee` of a shell's `> >(tee)`,
 * or about to make a session of its own. Then it gets TERM, and then KILL. */
#define LEFT_ALONE (100 * HARDY_MILLISECOND)
#define LEFT_BEHIND HARDY_SECOND
#define LOOK (10 * HARDY_MILLISECOND) /* between two looks at what is left */
#define KILL_LOOKS 200                /* what KILL has not ended by then, the kernel keeps */

struct attempt {
    struct loop *loop;
    const struct attempt_events *events;
    void *ctx;
    struct process *process;
    int pid;
    bool own_group;
    bool strangers; /* below us are processes that are not the command's: an earlier daemon, a child
                       of whoever became us by execve */
    int64_t kill_after;
    struct loop_timer timer;
    int64_t term_at, kill_at;
    struct attempt_result result;
    bool exited, stopped, killing;
    int looks;
};

static bool group_lives(const struct attempt *a) {
    return a->own_group && (kill(-a->pid, 0) == 0 || errno == EPERM);
}

/* Whether this process has children already. */
static bool has_children(void) {
    struct buf text;
    buf_init(&text, 4096);
    hardy_status status = file_read("/proc/thread-self/children", &text, NULL);
    bool some = text.len > 0;
    buf_free(&text);
    /* A kernel without that file: the long way round. */
    return status == HARDY_OK ? some : process_signal_below(getpid(), 0) > 0;
}

/* All that is left of the command; 0 only counts. */
static size_t below(const struct attempt *a, int signum) {
    if (!a->strangers) {
        return process_signal_below(getpid(), signum);
    }
    size_t count = a->exited ? 0 : process_signal_below(a->pid, signum) + 1;
    if (group_lives(a)) {
        kill(-a->pid, signum);
        return count + 1;
    }
    if (!a->exited) {
        kill(a->pid, signum);
    }
    return count;
}

static void over(struct attempt *a) {
    loop_timer_stop(a->loop, &a->timer);
    process_free(a->process);
    const struct attempt_events *events = a->events;
    void *ctx = a->ctx;
    struct attempt_result result = a->result;
    free(a);
    events->ended(ctx, &result);
}

static void look_again(struct attempt *a) {
    loop_timer_start(a->loop, &a->timer, hardy_time_add(loop_now(a->loop), LOOK));
}

/* Again and again: somebody may have been born between the look and the signal. */
static void kill_all(struct attempt *a) {
    a->killing = true;
    bool none = below(a, SIGKILL) == 0;
    if (!a->exited && ++a->looks > KILL_LOOKS) {
        a->result.signal = SIGKILL; /* the kernel will let it go some day */
        over(a);
    } else if (a->exited && (none || ++a->looks > KILL_LOOKS)) {
        over(a);
    } else {
        look_again(a);
    }
}

/* After the command itself, when it was stopped: TERM has been sent. */
static void clear_all(struct attempt *a) {
    bool none = below(a, 0) == 0;
    if (none) {
        over(a);
    } else if (a->killing || !group_lives(a) || loop_now(a->loop) >= a->kill_at) {
        kill_all(a);
    } else {
        look_again(a);
    }
}

/* After the command itself, when it ended by itself: its group. */
static void clear_group(struct attempt *a) {
    int64_t now = loop_now(a->loop);
    if (!group_lives(a) || below(a, 0) == 0) {
        over(a);
    } else if (now < a->term_at || (a->result.left > 0 && now < a->kill_at)) {
        look_again(a);
    } else if (a->result.left == 0) {
        a->result.left = below(a, 0);
        process_signal(a->process, SIGTERM);
        process_signal(a->process, SIGCONT);
        a->kill_at = hardy_time_add(now, LEFT_BEHIND);
        look_again(a);
    } else {
        process_signal(a->process, SIGKILL);
        over(a);
    }
}

static void clear_up(struct attempt *a) {
    if (a->stopped || a->killing) {
        clear_all(a);
    } else {
        clear_group(a);
    }
}

static void on_timer(struct loop_timer *timer) {
    struct attempt *a = timer->ctx;
    if (a->exited) {
        clear_up(a);
    } else {
        kill_all(a);
    }
}

static void on_exited(void *ctx, struct process *p, int code, int signum) {
    struct attempt *a = ctx;
    (void)p;
    a->exited = true;
    a->result.code = code;
    a->result.signal = signum;
    a->term_at = hardy_time_add(loop_now(a->loop), LEFT_ALONE);
    clear_up(a);
}

static void on_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    struct attempt *a = ctx;
    (void)p;
    (void)fd;
    a->events->output(a->ctx, data, len);
}

static const struct process_events process_events = {.output = on_output, .exited = on_exited};

hardy_status attempt_start(struct loop *loop, const struct attempt_options *options,
                           const struct attempt_events *events, void *ctx, struct attempt **out,
                           hardy_error *error) {
    struct attempt *a = calloc(1, sizeof *a);
    if (!a) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to start the command");
    }
    a->loop = loop;
    a->events = events;
    a->ctx = ctx;
    a->kill_after = options->kill_after;
    a->own_group = options->process.group != PROCESS_GROUP_SAME;
    a->strangers = has_children();
    loop_timer_init(&a->timer, on_timer, a);
    hardy_status status =
        process_start(loop, &options->process, &process_events, a, &a->process, error);
    if (status != HARDY_OK) {
        free(a);
        return status;
    }
    a->pid = process_pid(a->process);
    *out = a;
    return HARDY_OK;
}

void attempt_stop(struct attempt *a, int signum) {
    if (a->killing || a->stopped) {
        return;
    }
    a->stopped = true;
    if (a->own_group) {
        process_signal(a->process, signum);
        process_signal(a->process, SIGCONT);
    } else {
        below(a, signum);
        below(a, SIGCONT);
    }
    a->kill_at = hardy_time_add(loop_now(a->loop), a->kill_after);
    loop_timer_start(a->loop, &a->timer, a->exited ? loop_now(a->loop) : a->kill_at);
}

void attempt_kill(struct attempt *a) {
    a->stopped = true;
    a->killing = true;
    below(a, SIGKILL);
    look_again(a);
}
