/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/feed.h"
#include "base/error.h"
#include "cli/hold.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((size_t)64 << 10)
/* How long to leave a full pipe alone before looking again; doubled while nothing moves. */
#define LOOK_FIRST HARDY_MILLISECOND
#define LOOK_LAST (50 * HARDY_MILLISECOND)

struct feed {
    struct loop *loop;
    enum { AS_IT_IS, FILE_AGAIN, COPY_AGAIN } way;
    off_t start; /* FILE_AGAIN */
    /* COPY_AGAIN */
    int from;  /* standard input, by a descriptor of its own */
    int flags; /* of a socket, which has one set of them for all who have it; -1: not changed */
    struct hold kept;
    struct loop_watch *watch;
    struct loop_timer timer;
    int64_t look;     /* the present pause */
    uint64_t given;   /* to this attempt */
    int ours, theirs; /* ends of this attempt's pipe; -1 = closed */
    bool ended;       /* all has been read */
    bool lost;        /* more came than can be kept: this attempt is the last */
    hardy_error why;
    char chunk[CHUNK];
};

static void pump(struct feed *f);

static void look_again(struct loop_timer *timer) {
    pump(timer->ctx);
}

/* What came can no longer be kept. The attempt that runs is fed on, but there cannot be another. */
static void lose(struct feed *f) {
    f->lost = true;
    hold_free(&f->kept);
    hold_init(&f->kept, "standard input", sizeof f->chunk);
    f->given = 0;
}

/* Called only when everything before has been handed on. */
static void readable(void *ctx) {
    struct feed *f = ctx;
    ssize_t n = read(f->from, f->chunk, sizeof f->chunk);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (n <= 0) {
        f->ended = true;
        loop_watch_stop(f->watch);
        f->watch = NULL;
    } else {
        if (!f->lost && hold_append(&f->kept, f->chunk, (size_t)n, &f->why) != HARDY_OK) {
            lose(f);
        }
        if (f->lost) {
            hold_clear(&f->kept);
            f->given = 0;
            f->ended = hold_append(&f->kept, f->chunk, (size_t)n, NULL) != HARDY_OK;
        }
    }
    pump(f);
}

static void close_end(int *fd) {
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* Hands on what is kept; reads more only when nothing of it is left. */
static void pump(struct feed *f) {
    char chunk[CHUNK];
    bool stuck = false;
    while (f->ours >= 0 && !stuck && f->given < f->kept.len) {
        ptrdiff_t have = hold_read(&f->kept, f->given, chunk, sizeof chunk);
        ssize_t n = have > 0 ? write(f->ours, chunk, (size_t)have) : -1;
        if (n > 0) {
            f->given += (uint64_t)n;
            f->look = LOOK_FIRST;
        } else if (have > 0 && errno == EAGAIN) {
            stuck = true;
        } else if (have <= 0 || errno != EINTR) {
            close_end(&f->ours); /* the command does not want any more */
        }
    }
    bool more = f->ours >= 0 && f->given == f->kept.len;
    if (more && f->ended) {
        close_end(&f->ours);
        more = false;
    }
    if (f->watch) {
        loop_watch_pause(f->watch, !more);
    }
    if (stuck) {
        loop_timer_start(f->loop, &f->timer, hardy_time_add(loop_now(f->loop), f->look));
        f->look = f->look < LOOK_LAST ? 2 * f->look : f->look;
    } else {
        loop_timer_stop(f->loop, &f->timer);
    }
}

/* Watching makes a descriptor non-blocking, for everybody who has it: the shell that started us
 * would find its own input changed. A pipe can be opened once more; a socket gets its flags back.
 */
static bool open_input(struct feed *f) {
    f->from = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->from < 0) {
        f->flags = fcntl(STDIN_FILENO, F_GETFL);
        f->from = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    f->watch = f->from < 0 ? NULL : loop_watch_start(f->loop, f->from, readable, f);
    if (f->watch) {
        loop_watch_pause(f->watch, true);
    }
    return f->watch != NULL;
}

hardy_status feed_new(struct loop *loop, bool replay, uint64_t max, struct feed **out,
                      hardy_error *error) {
    struct feed *f = calloc(1, sizeof *f);
    if (!f) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for standard input");
    }
    f->loop = loop;
    f->ours = f->theirs = f->from = f->flags = -1;
    hold_init(&f->kept, "standard input", max);
    hardy_error_init(&f->why, sizeof f->why);
    loop_timer_init(&f->timer, look_again, f);
    struct stat st;
    if (replay && fstat(STDIN_FILENO, &st) == 0) {
        f->start = lseek(STDIN_FILENO, 0, SEEK_CUR);
        if (S_ISREG(st.st_mode) && f->start >= 0) {
            f->way = FILE_AGAIN;
        } else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
            f->way = COPY_AGAIN;
            if (!open_input(f)) {
                feed_free(f);
                return fail(error, HARDY_E_IO, NULL, "standard input cannot be watched");
            }
        }
    }
    *out = f;
    return HARDY_OK;
}

void feed_free(struct feed *f) {
    if (!f) {
        return;
    }
    feed_end(f);
    loop_watch_stop(f->watch);
    if (f->flags >= 0) {
        fcntl(STDIN_FILENO, F_SETFL, f->flags);
    }
    close_end(&f->from);
    hold_free(&f->kept);
    free(f);
}

hardy_status feed_begin(struct feed *f, struct process_options *options, hardy_error *error) {
    options->stdin_mode = PROCESS_STDIN_INHERIT;
    if (f->way == FILE_AGAIN && lseek(STDIN_FILENO, f->start, SEEK_SET) < 0) {
        return fail_errno(error, errno, NULL, "cannot wind standard input back");
    }
    if (f->way != COPY_AGAIN) {
        return HARDY_OK;
    }
    if (f->lost) {
        return fail(error, f->why.status, NULL, "the command cannot be run again: %s",
                    f->why.message);
    }
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return fail_errno(error, errno, NULL, "cannot make a pipe for standard input");
    }
    f->theirs = ends[0];
    f->ours = ends[1];
    fcntl(f->ours, F_SETFL, O_NONBLOCK);
    f->given = 0;
    f->look = LOOK_FIRST;
    options->stdin_mode = PROCESS_STDIN_FD;
    options->stdin_fd = f->theirs;
    return HARDY_OK;
}

void feed_started(struct feed *f) {
    close_end(&f->theirs);
    if (f->way == COPY_AGAIN) {
        pump(f);
    }
}

void feed_end(struct feed *f) {
    close_end(&f->ours);
    close_end(&f->theirs);
    loop_timer_stop(f->loop, &f->timer);
    if (f->watch) {
        loop_watch_pause(f->watch, true);
    }
}
