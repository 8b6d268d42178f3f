/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_GATHERING_H
#define INCIDENT_GATHERING_H
/* Evidence: all sources of a service at once, under one deadline. */
#include "incident/incident.h"

struct http_client;
struct gathering_world { /* borrowed until `done` or cancelled */
    struct loop *loop;
    struct store *store; /* holds the last good answers */
    struct http_client *client;
    const char *cwd; /* where commands and relative paths begin */
    const char *const *env;
};
struct gathering;
typedef void (*gathering_done)(void *ctx, const struct component *components, size_t count);
/* `done` comes at the latest at the service's gather_deadline; the components are borrowed for the
 * call. What would not fit a record is left out, and said to be missing. */
hardy_status gathering_start(const struct gathering_world *world, const struct service_settings *s,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error);
void gathering_cancel(struct gathering *g); /* `done` does not come any more */
#endif
