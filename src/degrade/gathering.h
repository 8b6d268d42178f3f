/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_GATHERING_H
#define DEGRADE_GATHERING_H
/* The driver of one gathering on the loop: all components at once, under one deadline, each down
 * its chain: its source, the alternates, the last good answer, the static one. */
#include "degrade/ask.h"
#include "settings/guards.h"
#include <hardy/gather.h>

struct store;
struct gathering_world { /* borrowed until `done` or cancelled */
    struct loop *loop;
    struct store *store; /* holds the last good answers when there is no `cache`; NULL = none */
    const hardy_cache *cache; /* NULL = none */
    struct http_client *client;
    const char *cwd; /* where commands and relative paths begin */
    const char *const *env;
    /* The guard of that name, NULL = none; may be NULL. Guards and settings are used until `gone`
     * is called: an operation may need a turn to end. May be NULL when there is no guard. */
    hardy_guard *(*guard)(void *ctx, const char *name);
    /* Its settings, for what is retried; NULL = all that can pass; may be NULL. */
    const struct guard_settings *(*settings)(void *ctx, const char *name);
    void (*gone)(void *ctx);
    void *ctx;
};
struct gathering_plan {                /* borrowed likewise */
    const char *name;                  /* what is gathered for, never one request or incident: the
                                          last good answers are kept under it */
    int64_t deadline;                  /* ns for all components together */
    const struct schema_list *sources; /* of source_settings, one a component */
    const char *fresh; /* components that have to be fresh this time, commas between; "*" = all */
};
struct gathering;
typedef void (*gathering_done)(void *ctx, const hardy_component *components, size_t count);
/* `done` comes once, from the loop, at the latest at the plan's deadline; the components are
 * borrowed for the call. What would not fit a record is left out, and said to be missing. */
hardy_status gathering_start(const struct gathering_world *world, const struct gathering_plan *plan,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error);
void gathering_cancel(struct gathering *g); /* `done` does not come any more */
#endif
