/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_WATCH_H
#define INCIDENT_WATCH_H
/*
 * Runs the checks, opens an incident when a service's check goes down, has it handled, and sends
 * the pages. An incident that an earlier process left open is gone on with first. After an
 * escalation a service is left alone until its check has been up again.
 */
#include "incident/incident.h"

struct watch_options { /* borrowed until ended */
    struct handler_world world;
    const struct incident_settings *settings;
    bool once;         /* handle one incident, then end */
    int64_t page_wait; /* how long the end waits for pages to be taken; 10s */
};
struct watch_events { /* each may be NULL, but for `ended` */
    void (*checked)(void *ctx, const struct check_settings *c, const struct check_state *s,
                    bool changed);
    void (*told)(void *ctx, const struct incident *i, int64_t wall, const char *what,
                 const char *detail);
    void (*paged)(void *ctx, const char *target, const char *dedup_key);
    void (*page_failed)(void *ctx, const char *target, const char *why);
    /* After an incident in `once`, when what could be paged was paged; or when the store failed.
     * `i` is borrowed; NULL = stopped before one was opened. `unsent`: pages wait in the outbox.
     * The watch is freed after it. */
    void (*ended)(void *ctx, const struct incident *i, bool unsent, const hardy_error *error);
};
struct watch;
/* E_INVALID: a service names a check or a place to notify that is not configured. */
hardy_status watch_start(const struct watch_options *options, const struct watch_events *events,
                         void *ctx, struct watch **out, hardy_error *error);
/* Ends: a remedy that runs goes on and is attached to later. `ended` follows. */
void watch_stop(struct watch *w);
/* Opens an incident by hand, or goes on with the open one: for `incidents handle`. */
hardy_status watch_open(struct watch *w, const char *service, const char *severity,
                        const char *summary, hardy_error *error);
#endif
