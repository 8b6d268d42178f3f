/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_PROBE_H
#define WORK_PROBE_H
/* Asks a command whether something has happened: exit 0 yes (its output is the result), 1 no,
 * anything else, a signal, or 30 seconds without an end: it cannot tell. */
#include "base/buf.h"
#include "durable/record.h"
#include "io/loop.h"

struct probe;
struct probe_options { /* borrowed for the call */
    const char *const *argv;
    const char *const *env;
    const char *cwd;
    size_t max_output;
    int64_t patience; /* then it is ended and cannot tell; 0, or more than 30s = 30s */
};
/* `output` is borrowed for the call; `detail` says it in words. The probe is freed after it. */
typedef void (*probe_answered)(void *ctx, enum probe_answer answer, const struct buf *output,
                               const char *detail);
/* E_NOT_FOUND, E_READONLY ...: it cannot be run, which says nothing about what it was to tell. */
hardy_status probe_start(struct loop *loop, const struct probe_options *options,
                         probe_answered answered, void *ctx, struct probe **out,
                         hardy_error *error);
/* Makes it end: it cannot tell, and says so soon. */
void probe_cancel(struct probe *p);
/* Ends it; no answer comes. */
void probe_free(struct probe *p);
#endif
