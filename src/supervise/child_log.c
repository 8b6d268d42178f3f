/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/child_log.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE = 64 << 10,
    TURN = 1 << 20,      /* bytes moved before others have their turn */
    LONG_LINE = 1 << 20, /* a file ends between two lines, unless one is longer than this */
    PIPE_SIZE = 1 << 20
};

struct child_log {
    struct loop *loop;
    char *pipe, *file;
    uint64_t max_size;
    uint32_t keep;
    void (*trouble)(void *ctx, const char *what);
    void *ctx;
    struct loop_watch *watch;
    int in, out;    /* -1 = the file is not open */
    int scratch[2]; /* a pipe for looking ahead; -1 = not made yet */
    uint64_t lost;  /* bytes since the trouble began */
};

static void in_trouble(struct child_log *log, int why) {
    char text[300];
    if (log->lost == 0) {
        snprintf(text, sizeof text, "%.200s: %s; its output is dropped until that ends", log->file,
                 strerrordesc_np(why));
        log->trouble(log->ctx, text);
    }
}

static bool open_file(struct child_log *log) {
    if (log->out < 0)
        log->out = open(log->file, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    return log->out >= 0;
}

static int64_t size_now(struct child_log *log) {
    struct stat st = {0};
    if (fstat(log->out, &st) == 0 && st.st_nlink == 0) { /* somebody has removed it */
        close(log->out);
        log->out = -1;
        return 0;
    }
    return (int64_t)st.st_size;
}

static bool ends_with_line(const struct child_log *log, int64_t size) {
    char last;
    return size == 0 || (pread(log->out, &last, 1, size - 1) == 1 && last == '\n');
}

/* FILE.1 is the newest of the older ones. */
static void rotate(struct child_log *log) {
    char from[4200], to[4200];
    close(log->out);
    log->out = -1;
    for (uint32_t n = log->keep; n > 0; n--) {
        snprintf(to, sizeof to, "%s.%u", log->file, n);
        if (n > 1)
            snprintf(from, sizeof from, "%s.%u", log->file, n - 1);
        else
            str_copy(from, sizeof from, log->file);
        (void)rename(from, to);
    }
    if (log->keep == 0)
        (void)unlink(log->file);
}

/* How many of the bytes that wait belong to the line that was begun, at most a piece of them. */
static size_t rest_of_line(struct child_log *log) {
    char ahead[PIECE];
    if (log->scratch[0] < 0 && pipe2(log->scratch, O_CLOEXEC | O_NONBLOCK) != 0)
        return PIECE;
    ssize_t n = tee(log->in, log->scratch[1], sizeof ahead, SPLICE_F_NONBLOCK);
    n = n > 0 ? read(log->scratch[0], ahead, (size_t)n) : n;
    const char *end = n > 0 ? memchr(ahead, '\n', (size_t)n) : NULL;
    return end ? (size_t)(end - ahead) + 1 : PIECE;
}

/* How much may go into the file now, which may be a new one. */
static size_t room(struct child_log *log, int64_t *size) {
    int64_t max = (int64_t)log->max_size;
    if (*size < max)
        return max - *size < PIECE ? (size_t)(max - *size) : PIECE;
    if (!ends_with_line(log, *size) && *size < max + LONG_LINE)
        return rest_of_line(log);
    rotate(log);
    *size = 0;
    return open_file(log) ? PIECE : 0;
}

/* For a file that the kernel cannot move bytes to, and when it has no room: the pipe must go on
 * flowing, or the child would stop for its log. */
static ssize_t copy(struct child_log *log, size_t len, int64_t size, int why) {
    char bytes[PIECE];
    ssize_t n = read(log->in, bytes, len < sizeof bytes ? len : sizeof bytes);
    if (n <= 0)
        return n;
    ssize_t written = log->out < 0 ? -1 : pwrite(log->out, bytes, (size_t)n, size);
    if (written < n) {
        in_trouble(log, written < 0 ? (log->out < 0 ? why : errno) : ENOSPC);
        log->lost += (uint64_t)(n - (written < 0 ? 0 : written));
    }
    return n;
}

static int64_t tell_lost(struct child_log *log, int64_t size) {
    char line[120];
    int len = snprintf(line, sizeof line, "%shardy: %llu bytes of output were lost here\n",
                       ends_with_line(log, size) ? "" : "\n", (unsigned long long)log->lost);
    if (pwrite(log->out, line, (size_t)len, size) != len)
        return size;
    log->lost = 0;
    return size + len;
}

/* The bytes moved; 0 or less: nothing waits. */
static ssize_t move(struct child_log *log) {
    int64_t size = open_file(log) ? size_now(log) : 0;
    bool there = open_file(log);
    int why = there ? 0 : errno;
    if (there && log->lost > 0)
        size = tell_lost(log, size);
    size_t len = there && log->lost == 0 ? room(log, &size) : 0;
    if (len > 0) {
        loff_t at = size;
        ssize_t n = splice(log->in, NULL, log->out, &at, len, SPLICE_F_NONBLOCK);
        if (n >= 0 || errno == EAGAIN)
            return n;
    }
    return copy(log, len > 0 ? len : PIECE, size, why);
}

static void move_some(struct child_log *log, size_t most) {
    size_t moved = 0;
    ssize_t n;
    while (moved < most && (n = move(log)) > 0)
        moved += (size_t)n;
}

static void on_readable(void *ctx) {
    move_some(ctx, TURN);
}

void child_log_drain(struct child_log *log) {
    move_some(log, SIZE_MAX);
}

int child_log_end(const struct child_log *log) {
    return open(log->pipe, O_RDWR | O_CLOEXEC);
}

hardy_status child_log_open(struct loop *loop, const struct child_log_options *options,
                            void (*trouble)(void *ctx, const char *what), void *ctx,
                            struct child_log **out, hardy_error *error) {
    struct child_log *log = calloc(1, sizeof *log);
    if (!log)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a log");
    *log = (struct child_log){.loop = loop,
                              .pipe = str_dup(options->pipe),
                              .file = str_dup(options->file),
                              .max_size = options->max_size,
                              .keep = options->keep,
                              .trouble = trouble,
                              .ctx = ctx,
                              .in = -1,
                              .out = -1,
                              .scratch = {-1, -1}};
    hardy_status status = log->pipe && log->file ? file_make_parent(log->file, error)
                                                 : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    if (status == HARDY_OK && mkfifo(log->pipe, 0600) != 0 && errno != EEXIST)
        status = fail_errno(error, errno, log->pipe, "cannot make a pipe for the log");
    if (status == HARDY_OK) {
        /* Open for writing too: the pipe has no end while its child is away. */
        log->in = open(log->pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        (void)fcntl(log->in, F_SETPIPE_SZ, PIPE_SIZE);
        log->watch = log->in < 0 ? NULL : loop_watch_start(loop, log->in, on_readable, log);
        if (!log->watch)
            status = fail_errno(error, errno, log->pipe, "cannot read the pipe of the log");
    }
    if (status != HARDY_OK) {
        child_log_close(log, false);
        return status;
    }
    *out = log;
    return HARDY_OK;
}

void child_log_close(struct child_log *log, bool remove) {
    if (!log)
        return;
    loop_watch_stop(log->watch);
    int fds[] = {log->in, log->out, log->scratch[0], log->scratch[1]};
    for (size_t n = 0; n < sizeof fds / sizeof *fds; n++)
        if (fds[n] >= 0)
            close(fds[n]);
    if (remove)
        (void)unlink(log->pipe);
    free(log->pipe);
    free(log->file);
    free(log);
}
