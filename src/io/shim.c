/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardy's side of the step shim, on the kernel's loop. That a step is over is told by its lock and
 * by nothing else; a child's end and a pidfd only say when to look. Where they cannot (the shim's
 * pid is not known yet, or no pidfd), the lock is looked at from time to time.
 */
#include "io/shim.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/loop_uv.h"
#include "io/step_file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOK_FIRST (5 * HARDY_MILLISECOND)
#define LOOK_LAST (100 * HARDY_MILLISECOND)
#define LOOK_ANYWAY                                                                                \
    HARDY_SECOND /* though a pidfd is watched: it may be another container's pid                   \
                  */

struct shim_uv {
    struct shim base;
    struct process *process; /* our child */
    struct loop_timer timer; /* to look at the lock */
    int64_t pause;
    struct loop_watch *watch;
    int lock;  /* our own opening of base.lock, to look at it; -1 = there is none */
    int pidfd; /* of a shim that is not our child */
    int owner; /* the end of a pipe that tells the shim that we listen; -1 */
    bool cancelled;
};

static char *path_of(const char *base, const char *ending) {
    return str_format("%s.%s", base, ending);
}

static hardy_status no_memory(hardy_error *error, const char *base) {
    return fail(error, HARDY_E_NOMEM, base, "no memory for a step");
}

/* --- the files --- */

/* Whether the file we have locked is still the one under that name: shim_forget() removes it. */
static bool same_file(int fd, const char *path) {
    struct stat ours, there;
    return fstat(fd, &ours) == 0 && stat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

/* `error` not NULL. */
static hardy_status lock_file(const char *path, int *out, hardy_error *error) {
    for (;;) {
        int fd = lock_open(path, error);
        if (fd < 0) {
            return error->status;
        }
        hardy_status status = lock_try(fd, 0, error);
        if (status == HARDY_OK && same_file(fd, path)) {
            *out = fd;
            return HARDY_OK;
        }
        close(fd);
        if (status != HARDY_OK) {
            return status;
        }
    }
}

static hardy_status remove_ending(const char *base, const char *ending, hardy_error *error) {
    char *path = path_of(base, ending);
    hardy_status status = path ? file_remove(path, error) : no_memory(error, base);
    free(path);
    return status;
}

hardy_status shim_uv_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error) {
    (void)loop;
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    char *path = path_of(base, "lock");
    if (!path) {
        return no_memory(error, base);
    }
    hardy_status status = lock_file(path, lock_fd, error ? error : &own);
    free(path);
    if (status != HARDY_OK) {
        return status;
    }
    if (ftruncate(*lock_fd, 0) != 0) { /* an earlier shim's pid */
        status = fail_errno(error, errno, base, "cannot empty the step's lock file");
    }
    if (status == HARDY_OK) {
        status = remove_ending(base, "begun", error);
    }
    if (status == HARDY_OK) {
        status = remove_ending(base, "result", error);
    }
    if (status != HARDY_OK) {
        close(*lock_fd);
    }
    return status;
}

void shim_uv_unlock(struct loop *loop, int lock_fd) {
    (void)loop;
    close(lock_fd);
}

void shim_uv_forget(struct loop *loop, const char *base) {
    (void)loop;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    char *path = path_of(base, "lock");
    int fd = -1;
    if (path && lock_file(path, &fd, &error) == HARDY_OK) {
        (void)remove_ending(base, "result", NULL);
        (void)remove_ending(base, "begun", NULL);
        (void)unlink(path);
        close(fd);
    }
    free(path);
}

/* -1 with E_NOT_FOUND: no such step. */
static int open_lock(const char *base, hardy_error *error) {
    char *path = path_of(base, "lock");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (!path) {
        (void)no_memory(error, base);
    } else if (fd < 0) {
        (void)fail_errno(error, errno, path, "cannot open the step's lock file");
    }
    free(path);
    return fd;
}

static hardy_status held_now(const char *base, bool *held, hardy_error *error) {
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    int fd = open_lock(base, &own);
    *held = fd >= 0 && lock_held(fd, 0);
    if (fd >= 0) {
        close(fd);
        return HARDY_OK;
    }
    if (own.status == HARDY_E_NOT_FOUND) {
        return HARDY_OK;
    }
    if (error) {
        *error = own;
    }
    return own.status;
}

static hardy_status read_files(const char *base, const char *boot_id, enum shim_state *state,
                               struct shim_result *result, hardy_error *error) {
    char *path = path_of(base, "result");
    char *begun = path_of(base, "begun");
    char *lock = path_of(base, "lock");
    hardy_status status = HARDY_E_NOMEM;
    if (path && begun && lock) {
        status = step_file_read(path, result, error);
    }
    if (status == HARDY_OK) {
        *state = SHIM_ENDED;
    } else if (status == HARDY_E_NOT_FOUND || status == HARDY_E_CORRUPT) {
        char boot[37];
        file_boot_id(boot);
        bool same_boot = boot[0] && str_eq(boot, boot_id);
        bool never =
            status == HARDY_E_NOT_FOUND && same_boot && !file_exists(begun) && file_exists(lock);
        *state = never ? SHIM_NEVER_RAN : SHIM_LOST;
        status = HARDY_OK;
    }
    free(lock);
    free(begun);
    free(path);
    return status;
}

hardy_status shim_uv_look(struct loop *loop, const char *base, const char *boot_id,
                          enum shim_state *state, struct shim_result *result, hardy_error *error) {
    (void)loop;
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    bool held = false;
    *result = (struct shim_result){0};
    *state = SHIM_RUNNING;
    hardy_status status = held_now(base, &held, error);
    if (status != HARDY_OK || held) {
        return status;
    }
    status = read_files(base, boot_id, state, result, &own);
    if (status == HARDY_OK && *state != SHIM_ENDED) {
        /* Somebody may have begun it anew while we looked. */
        status = held_now(base, &held, &own);
        *state = held ? SHIM_RUNNING : *state;
    }
    if (status != HARDY_OK && error) {
        *error = own;
    }
    return status;
}

/* --- waiting for the end --- */

static void close_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int pid_in_lock(const struct shim_uv *s) {
    char text[32] = "";
    ssize_t n = pread(s->lock, text, sizeof text - 1, 0);
    return n > 0 && text[n - 1] == '\n' ? (int)strtol(text, NULL, 10) : 0;
}

static void tell_cancel(struct shim_uv *s) {
    if (s->process) {
        kill(process_pid(s->process),
             SIGTERM); /* not its group: a command just being started is in it */
    } else if (s->pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGTERM, NULL, 0);
    } else {
        int pid = pid_in_lock(s);
        if (pid > 0 && lock_held(s->lock, 0)) {
            kill(pid, SIGTERM);
        } else {
            return; /* it has not written its pid yet: tried again at the next look */
        }
    }
    s->cancelled = false;
}

static void look(struct shim_uv *s);

static void on_pidfd(void *ctx) {
    struct shim_uv *s = ctx;
    loop_watch_stop(s->watch);
    s->watch = NULL;
    close_fd(&s->pidfd);
    look(s);
}

/* The lock is looked at again after the pidfd is open: its pid cannot have been another's before.
 */
static void watch_pid(struct shim_uv *s) {
    int pid = s->pidfd < 0 && !s->process ? pid_in_lock(s) : 0;
    if (pid <= 0) {
        return;
    }
    s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (s->pidfd < 0) {
        return;
    }
    s->watch = loop_watch_start(s->base.loop, s->pidfd, on_pidfd, s);
    if (!s->watch) {
        close_fd(&s->pidfd);
    }
}

static void look(struct shim_uv *s) {
    watch_pid(s);
    if (s->lock < 0 || !lock_held(s->lock, 0)) {
        loop_timer_stop(s->base.loop, &s->timer);
        loop_watch_stop(s->watch);
        s->watch = NULL;
        s->base.events->ended(s->base.ctx, &s->base);
        return;
    }
    if (s->cancelled) {
        tell_cancel(s);
    }
    int64_t pause = s->watch ? LOOK_ANYWAY : s->pause;
    s->pause = s->pause < LOOK_LAST / 2 ? 2 * s->pause : LOOK_LAST;
    loop_timer_start(s->base.loop, &s->timer, time_add(loop_now(s->base.loop), pause));
}

static void on_timer(struct loop_timer *timer) {
    look(timer->ctx);
}

static void on_exited(void *ctx, struct process *process, int code, int signum) {
    struct shim_uv *s = ctx;
    (void)code;
    (void)signum;
    process_free(process);
    s->process = NULL;
    look(s);
}

static struct shim_uv *shim_new(struct loop *loop, const struct shim_events *events, void *ctx) {
    struct shim_uv *s = calloc(1, sizeof *s);
    if (s) {
        s->base = (struct shim){.loop = loop, .events = events, .ctx = ctx};
        s->lock = s->pidfd = s->owner = -1;
        s->pause = LOOK_FIRST;
        loop_timer_init(&s->timer, on_timer, s);
    }
    return s;
}

void shim_uv_free(struct shim *shim) {
    struct shim_uv *s = (struct shim_uv *)shim;
    loop_timer_stop(s->base.loop, &s->timer);
    loop_watch_stop(s->watch);
    process_free(s->process);
    close_fd(&s->lock);
    close_fd(&s->pidfd);
    close_fd(&s->owner);
    free(s);
}

void shim_uv_cancel(struct shim *shim) {
    struct shim_uv *s = (struct shim_uv *)shim;
    s->cancelled = true;
    tell_cancel(s);
}

/* --- starting --- */

enum { WORDS = 9 }; /* ours before the command */

struct words {
    const char **argv;
    char *made[WORDS];
    size_t count;
    bool failed;
};

static void add_word(struct words *w, char *word) {
    w->failed = w->failed || !word;
    w->argv[2 + w->count] = word ? word : "";
    w->made[w->count++] = word;
}

static void words_free(struct words *w) {
    for (size_t i = 0; i < w->count; i++) {
        free(w->made[i]);
    }
    free(w->argv);
}

static bool make_words(struct words *w, const struct shim_options *o) {
    size_t command = 0;
    while (o->argv[command]) {
        command++;
    }
    *w = (struct words){.argv = calloc(WORDS + command + 3, sizeof *w->argv)};
    if (!w->argv) {
        return false;
    }
    w->argv[0] = "hardy";
    w->argv[1] = "__step";
    add_word(w, str_format("base=%s", o->base));
    add_word(w, str_format("deadline=%lld", (long long)(o->deadline < 0 ? 0 : o->deadline)));
    add_word(w, str_format("kill_after=%lld", (long long)(o->kill_after < 0 ? 0 : o->kill_after)));
    add_word(w,
             str_format("max_output=%llu", (unsigned long long)(o->max_output < STEP_OUTPUT_MAX
                                                                    ? o->max_output
                                                                    : (uint64_t)STEP_OUTPUT_MAX)));
    add_word(w, str_format("pass=%d", o->pass_output));
    if (o->cwd) {
        add_word(w, str_format("cwd=%s", o->cwd));
    }
    size_t at = 2 + w->count;
    w->argv[at++] = "--";
    memcpy(w->argv + at, o->argv, command * sizeof *w->argv);
    return !w->failed;
}

static hardy_status start_process(struct shim_uv *s, const struct shim_options *o,
                                  const struct words *w, hardy_error *error) {
    static const struct process_events events = {.exited = on_exited};
    struct process_options p;
    process_options_init(&p);
    p.argv = (const char *const *)w->argv;
    p.path = o->program ? o->program : "/proc/self/exe";
    p.env = o->env;
    p.group = PROCESS_SESSION_NEW;
    p.stdin_mode = o->inherit_stdin ? PROCESS_STDIN_INHERIT : PROCESS_STDIN_NULL;
    int alive[2] = {-1, -1}, null = -1;
    int keep[2] = {o->lock_fd, -1};
    p.keep_fds = keep;
    p.keep_count = 1;
    hardy_status status = HARDY_OK;
    if (o->pass_output) {
        if (pipe2(alive, O_CLOEXEC) != 0) {
            return fail_errno(error, errno, o->base, "cannot make a pipe");
        }
        s->owner = alive[1];
        keep[p.keep_count++] = alive[0];
    } else {
        p.stdout_fd = null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0) {
            status = fail_errno(error, errno, "/dev/null", "cannot open it");
        }
    }
    if (status == HARDY_OK) {
        status = process_start(s->base.loop, &p, &events, s, &s->process, error);
    }
    close_fd(&alive[0]);
    close_fd(&null);
    return status;
}

hardy_status shim_uv_start(struct loop *loop, const struct shim_options *options,
                           const struct shim_events *events, void *ctx, struct shim **out,
                           hardy_error *error) {
    if (options->base[0] != '/' || !options->argv[0]) {
        return fail(error, HARDY_E_INVALID, options->base,
                    "a step needs an absolute path and a command");
    }
    struct shim_uv *s = shim_new(loop, events, ctx);
    struct words w = {0};
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    if (!s || !make_words(&w, options)) {
        (void)no_memory(&own, options->base);
    } else {
        s->lock = open_lock(options->base, &own);
        if (s->lock >= 0) {
            (void)start_process(s, options, &w, &own);
        }
    }
    words_free(&w);
    if (own.status != HARDY_OK) {
        if (s) {
            shim_uv_free(&s->base);
        }
        if (error) {
            *error = own;
        }
        return own.status;
    }
    *out = &s->base;
    return HARDY_OK;
}

hardy_status shim_uv_attach(struct loop *loop, const char *base, const struct shim_events *events,
                            void *ctx, struct shim **out, hardy_error *error) {
    hardy_error own;
    hardy_error_init(&own, sizeof own);
    struct shim_uv *s = shim_new(loop, events, ctx);
    if (!s) {
        return no_memory(error, base);
    }
    s->lock = open_lock(base, &own);
    if (s->lock < 0 && own.status != HARDY_E_NOT_FOUND) {
        if (error) {
            *error = own;
        }
        shim_uv_free(&s->base);
        return own.status;
    }
    loop_timer_start(loop, &s->timer, loop_now(loop)); /* the first look, from the loop */
    *out = &s->base;
    return HARDY_OK;
}
