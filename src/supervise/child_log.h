/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILD_LOG_H
#define SUPERVISE_CHILD_LOG_H
/*
 * A child's output on its way to its log file: a named pipe, which the child keeps open for reading
 * too. So it outlives hardy: the child never sees a broken pipe, what it writes meanwhile waits in
 * the pipe (when that is full, the child waits), and the next hardy reads on. The kernel moves the
 * bytes from the pipe to the file in one call: there is no moment at which they are in neither.
 */
#include "io/loop.h"

struct child_log_options { /* copied */
    const char *pipe;      /* path */
    const char *file;
    uint64_t max_size;
    uint32_t keep;
};
struct child_log;
/* `trouble` is told when lines cannot be written, once until they can again. */
hardy_status child_log_open(struct loop *loop, const struct child_log_options *options,
                            void (*trouble)(void *ctx, const char *what), void *ctx,
                            struct child_log **out, hardy_error *error);
/* A descriptor for the child's standard output and error; the caller closes it. -1 and errno. */
int child_log_end(const struct child_log *log);
/* What is in the pipe now, to the file. */
void child_log_drain(struct child_log *log);
/* NULL is fine. `remove`: the pipe, which nobody has open any more. */
void child_log_close(struct child_log *log, bool remove);
#endif
