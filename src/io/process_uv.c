/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes on the kernel's loop. Their end is told by SIGCHLD and waitpid for each of ours;
 * what they had written by then is read from the pipes, no more: a grandchild that keeps the pipe
 * open, or keeps writing, delays nothing.
 */
#include "base/error.h"
#include "io/loop_uv.h"
#include "io/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct output {
    struct process_uv *process;
    struct loop_watch *watch;
    int fd;     /* -1 = not captured, or at its end */
    int number; /* 1 or 2 */
    int left;   /* after the end: bytes still to be delivered */
};
struct process_uv {
    struct process base;
    struct list link;      /* in the loop's list of running ones, or of ended ones */
    struct loop_post post; /* delivers the end when the output is no longer paused */
    struct output outputs[2];
    enum process_group group;
    struct loop_watch *pidfd_watch; /* of one that is not our child */
    int pidfd;
    int code, signal;
    bool forgotten; /* freed by its owner; kept for being reaped */
    bool ended, paused, told, posted, busy;
};

static struct process_uv *process_of(struct process *p) {
    return (struct process_uv *)p;
}

static void close_output(struct output *o) {
    if (o->fd >= 0) {
        loop_watch_stop(o->watch);
        close(o->fd);
        o->watch = NULL;
        o->fd = -1;
    }
}

static void release(struct process_uv *p) {
    if (!p->posted && !p->busy) {
        free(p);
    }
}

/* One piece of at most `max` bytes. Returns what was read; 0 = nothing there now, or at its end. */
static int read_output(struct output *o, int max) {
    struct process_uv *p = o->process;
    char *buffer = uv_of(p->base.loop)->buffer;
    ssize_t n;
    do {
        n = read(o->fd, buffer, (size_t)(max < READ_SIZE ? max : READ_SIZE));
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        if (p->base.events->output) {
            p->base.events->output(p->base.ctx, &p->base, o->number, buffer, (size_t)n);
        }
        return (int)n;
    }
    if (n == 0 || errno != EAGAIN) {
        close_output(o);
    }
    return 0;
}

/* The callback may free the process: whoever calls holds it by `busy`. */
static void on_readable(void *ctx) {
    struct output *o = ctx;
    struct process_uv *p = o->process;
    if (o->fd >= 0 && !p->paused && !p->ended) {
        p->busy = true;
        (void)read_output(o, READ_SIZE);
        p->busy = false;
        if (p->forgotten && p->ended) {
            release(p);
        }
    }
}

static void deliver(struct process_uv *p) {
    p->busy = true;
    for (int i = 0; i < 2; i++) {
        struct output *o = &p->outputs[i];
        while (o->fd >= 0 && o->left > 0 && !p->paused) {
            int n = read_output(o, o->left);
            o->left = n > 0 ? o->left - n : 0;
        }
        if (o->left == 0) {
            close_output(o);
        }
    }
    bool all = p->outputs[0].fd < 0 && p->outputs[1].fd < 0;
    if (all && !p->told && !p->forgotten) {
        p->told = true;
        p->base.events->exited(p->base.ctx, &p->base, p->code, p->signal);
    }
    p->busy = false;
    if (p->forgotten) {
        release(p);
    }
}

static void on_post(struct loop_post *post) {
    struct process_uv *p = post->ctx;
    p->posted = false;
    if (p->forgotten) {
        if (p->ended) {
            release(p);
        }
    } else if (p->ended && !p->told && !p->paused) {
        deliver(p);
    }
}

static void reaped(struct loop_uv *l, struct process_uv *p, int status) {
    p->ended = true;
    p->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    p->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    list_remove(&p->link);
    if (p->forgotten) {
        release(p);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct output *o = &p->outputs[i];
        loop_watch_stop(o->watch);
        o->watch = NULL;
        if (o->fd >= 0 && ioctl(o->fd, FIONREAD, &o->left) != 0) {
            o->left = 0;
        }
    }
    list_append(&l->processes.ended, &p->link);
    if (--l->processes.count == 0) {
        uv_unref((uv_handle_t *)&l->processes.child);
    }
}

static void reap_orphans(struct loop_uv *l) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (struct list *i = l->processes.running.next; i != &l->processes.running; i = i->next) {
            struct process_uv *p = LIST_ITEM(i, struct process_uv, link);
            if (p->base.pid == pid) {
                reaped(l, p, status);
                break;
            }
        }
    }
}

static void on_child(uv_signal_t *handle, int signum) {
    struct loop_uv *l = handle->loop->data;
    (void)signum;
    if (l->processes.adopts) {
        reap_orphans(l);
    } else {
        struct list *next;
        for (struct list *i = l->processes.running.next; i != &l->processes.running; i = next) {
            struct process_uv *p = LIST_ITEM(i, struct process_uv, link);
            int status = 0;
            next = i->next;
            if (waitpid(p->base.pid, &status, WNOHANG) == p->base.pid) {
                reaped(l, p, status);
            }
        }
    }
    while (!list_empty(&l->processes.ended)) {
        struct process_uv *p = LIST_ITEM(l->processes.ended.next, struct process_uv, link);
        list_remove(&p->link);
        deliver(p);
    }
}

static void watch_children(struct loop_uv *l) {
    if (l->processes.watched) {
        return;
    }
    /* Whoever started us may have blocked it: then no end would ever be told. */
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_UNBLOCK, &child, NULL);
    l->processes.watched = uv_signal_start(&l->processes.child, on_child, SIGCHLD) == 0;
    uv_unref((uv_handle_t *)&l->processes.child);
}

/* Our end of the pipe does not block; the child's does, as commands expect. */
static int capture(struct loop *loop, struct output *o, int *theirs) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return errno;
    }
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    o->fd = ends[0];
    *theirs = ends[1];
    o->watch = loop_watch_start(loop, o->fd, on_readable, o);
    return o->watch ? 0 : ENOMEM;
}

hardy_status process_uv_start(struct loop *loop, const struct process_options *options,
                              const struct process_events *events, void *ctx, struct process **out,
                              hardy_error *error) {
    struct loop_uv *l = uv_of(loop);
    struct process_uv *p = calloc(1, sizeof *p);
    if (!p) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a process");
    }
    p->base = (struct process){.loop = loop, .events = events, .ctx = ctx};
    p->group = options->group;
    p->post.fn = on_post;
    p->post.ctx = p;
    struct spawn s = {.argv = options->argv,
                      .path = options->path,
                      .env = options->env,
                      .cwd = options->cwd,
                      .group = options->group,
                      .keep_fds = options->keep_fds,
                      .keep_count = options->keep_count};
    s.stdio[0] = options->stdin_mode == PROCESS_STDIN_NULL ? SPAWN_NULL
                 : options->stdin_mode == PROCESS_STDIN_FD ? options->stdin_fd
                                                           : SPAWN_OURS;
    s.stdio[1] = options->stdout_fd >= 0 ? options->stdout_fd : SPAWN_OURS;
    s.stdio[2] = options->stderr_fd >= 0 ? options->stderr_fd : SPAWN_OURS;
    int theirs[2] = {-1, -1};
    int why = 0;
    for (int i = 0; i < 2; i++) {
        p->outputs[i] = (struct output){.process = p, .fd = -1, .number = i + 1};
        if (why == 0 && (i == 0 ? options->capture_stdout : options->capture_stderr)) {
            why = capture(loop, &p->outputs[i], &theirs[i]);
            s.stdio[i + 1] = theirs[i];
        }
    }
    watch_children(l);
    pid_t pid = 0;
    bool here = why != 0; /* it failed before the command was tried */
    if (why == 0) {
        why = spawn_run(&s, &pid);
    }
    for (int i = 0; i < 2; i++) {
        if (theirs[i] >= 0) {
            close(theirs[i]);
        }
    }
    if (why != 0) {
        close_output(&p->outputs[0]);
        close_output(&p->outputs[1]);
        free(p);
        return here ? fail_errno(error, why, options->argv[0], "cannot make a pipe")
                    : spawn_fail(&s, why, error);
    }
    p->base.pid = pid;
    list_append(&l->processes.running, &p->link);
    if (l->processes.count++ == 0) {
        uv_ref((uv_handle_t *)&l->processes.child);
    }
    *out = &p->base;
    return HARDY_OK;
}

void process_uv_signal(struct process *process, int signum) {
    struct process_uv *p = process_of(process);
    if (p->group != PROCESS_GROUP_SAME) {
        kill(-p->base.pid, signum);
    } else if (!p->ended) {
        kill(p->base.pid, signum);
    }
}

void process_uv_pause_output(struct process *process, bool pause) {
    struct process_uv *p = process_of(process);
    if (p->paused == pause) {
        return;
    }
    p->paused = pause;
    for (int i = 0; i < 2; i++) {
        if (p->outputs[i].watch) {
            loop_watch_pause(p->outputs[i].watch, pause);
        }
    }
    if (!pause && p->ended && !p->told && !p->posted) {
        p->posted = true;
        loop_post(p->base.loop, &p->post);
    }
}

void process_uv_signal_itself(struct process *process, int signum) {
    struct process_uv *p = process_of(process);
    if (!p->ended)
        kill(p->base.pid, signum);
}

static void close_pidfd(struct process_uv *p) {
    if (p->pidfd_watch) {
        loop_watch_stop(p->pidfd_watch);
        close(p->pidfd);
        p->pidfd_watch = NULL;
    }
}

static void on_pidfd(void *ctx) {
    struct process_uv *p = ctx;
    close_pidfd(p);
    p->ended = p->told = p->busy = true;
    p->base.events->exited(p->base.ctx, &p->base, -1, -1);
    p->busy = false;
    if (p->forgotten) {
        release(p);
    }
}

/* The descriptor is of whoever has the number now; only then is looked whether that is the one. */
hardy_status process_uv_attach(struct loop *loop, const struct process_identity *who,
                               const struct process_events *events, void *ctx, struct process **out,
                               hardy_error *error) {
    struct process_uv *p = calloc(1, sizeof *p);
    if (!p) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a process");
    }
    p->base = (struct process){.loop = loop, .events = events, .ctx = ctx, .pid = who->pid};
    p->post.fn = on_post;
    p->post.ctx = p;
    p->outputs[0].fd = p->outputs[1].fd = -1;
    list_init(&p->link);
    p->pidfd = (int)syscall(SYS_pidfd_open, who->pid, 0);
    struct process_identity now;
    if (p->pidfd < 0 || process_uv_identify(loop, who->pid, &now) != HARDY_OK ||
        now.started != who->started) {
        bool missing = p->pidfd < 0 && errno == ENOSYS;
        if (p->pidfd >= 0) {
            close(p->pidfd);
        }
        free(p);
        return missing ? fail(error, HARDY_E_UNSUPPORTED, NULL,
                              "the kernel cannot watch processes that are not children (no pidfd)")
                       : fail(error, HARDY_E_NOT_FOUND, NULL, "process %d has ended", who->pid);
    }
    (void)fcntl(p->pidfd, F_SETFD, FD_CLOEXEC);
    p->pidfd_watch = loop_watch_start(loop, p->pidfd, on_pidfd, p);
    if (!p->pidfd_watch) {
        close(p->pidfd);
        free(p);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a process");
    }
    *out = &p->base;
    return HARDY_OK;
}

/* One that runs stays in the list, only to be reaped. */
void process_uv_free(struct process *process) {
    struct process_uv *p = process_of(process);
    struct loop_uv *l = uv_of(p->base.loop);
    close_output(&p->outputs[0]);
    close_output(&p->outputs[1]);
    p->forgotten = true;
    if (p->pidfd_watch) { /* nobody reaps it here */
        close_pidfd(p);
        release(p);
        return;
    }
    if (p->ended) {
        list_remove(&p->link);
        release(p);
    } else if (--l->processes.count == 0) {
        uv_unref((uv_handle_t *)&l->processes.child);
    }
}

void process_uv_adopt_orphans(struct loop *loop) {
    struct loop_uv *l = uv_of(loop);
    watch_children(l);
    l->processes.adopts = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

void process_uv_close_all(struct loop_uv *l) {
    struct list *lists[] = {&l->processes.running, &l->processes.ended};
    for (int i = 0; i < 2; i++) {
        while (!list_empty(lists[i])) {
            struct process_uv *p = LIST_ITEM(lists[i]->next, struct process_uv, link);
            list_remove(&p->link);
            close_output(&p->outputs[0]);
            close_output(&p->outputs[1]);
            free(p);
        }
    }
}
