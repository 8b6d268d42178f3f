/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_GATHERING_H
#define DEGRADE_GATHERING_H
/* The driver of a gathering: all sources at once, under one deadline. */
#include "degrade/gather.h"
#include "degrade/source.h"

struct http_client;
struct loop;
struct store;
struct gathering_world { /* borrowed until `done` or cancelled */
    struct loop *loop;
    struct store *store; /* holds the last good answers */
    struct http_client *client;
    const char *cwd; /* where commands and relative paths begin */
    const char *const *env;
};
struct gathering_plan { /* borrowed likewise */
    const char *name;   /* the last good answers are kept under it: what is gathered for, never one
                           request or incident */
    int64_t deadline;   /* ns for all sources together */
    const struct schema_list *sources; /* of source_settings */
};
struct gathering;
typedef void (*gathering_done)(void *ctx, const struct component *components, size_t count);
/* `done` comes at the latest at the plan's deadline; the components are borrowed for the
 * call. What would not fit a record is left out, and said to be missing. */
hardy_status gathering_start(const struct gathering_world *world, const struct gathering_plan *plan,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error);
void gathering_cancel(struct gathering *g); /* `done` does not come any more */
#endif
