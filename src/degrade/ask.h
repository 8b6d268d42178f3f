/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_ASK_H
#define DEGRADE_ASK_H
/* One source, asked once: an HTTP address, the end of a file, a process, a command. */
#include "degrade/source.h"
#include <hardy/outcome.h>

struct http_client;
struct loop;
struct ask_world { /* borrowed while anything is asked */
    struct loop *loop;
    struct http_client *client;
    const char *cwd; /* where commands and relative paths begin */
    const char *const *env;
};
struct asked {
    char *data;      /* JSON, malloc'd, taken; NULL: there is none */
    const char *why; /* when there is none: one line, borrowed for the call */
    hardy_outcome outcome;
};
struct ask;
/* `done` is called once, from the loop, at the latest when the source's own time is over; the ask
 * is gone then. `source` is borrowed until then. Texts become JSON strings; what is JSON comes so
 * that every reader reads the same of it. E_NOMEM. */
hardy_status ask_start(const struct ask_world *world, const struct source_settings *source,
                       void (*done)(void *ctx, const struct asked *asked), void *ctx,
                       struct ask **out);
void ask_cancel(struct ask *a); /* `done` does not come; connections and processes end */
#endif
