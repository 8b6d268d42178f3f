/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_WATCH_H
#define INCIDENT_WATCH_H
/*
 * Runs the checks, opens an incident when a service's check goes down, has it handled, and sends
 * the pages. An incident that an earlier process left open is gone on with first. After an
 * escalation a service is left alone until its check has been up again; what is in doubt is gone on
 * with when a person has said how it ended.
 */
#include "health/serve.h"
#include "incident/handle.h"
#include "notify/notify.h"

struct watch_options { /* borrowed until ended */
    struct handler_world world;
    const struct health_settings *health; /* serves it when it has an address; NULL = not */
    const struct health *known; /* of the same checks before; needed only for the start; NULL */
    bool once;                  /* handle one incident, then end */
    /* Opens one by hand for this service and ends with it; no check runs by itself. NULL = not. */
    const char *service;
    const char *severity, *summary; /* of that; severity NULL = the service's */
    int64_t page_wait;              /* how long the end waits for pages to be taken; 10s */
    /* Why /health/ready says no whatever the checks say, NULL = it does not; may be NULL. */
    const char *(*objection)(void *ctx);
};
struct exposition;
struct watch_events { /* each may be NULL, but for `ended` */
    void (*checked)(void *ctx, const struct check_settings *c, const struct check_state *s,
                    bool changed);
    void (*told)(void *ctx, const struct incident *i, int64_t wall, const char *what,
                 const char *detail);
    void (*paged)(void *ctx, const char *target, const char *dedup_key);
    void (*page_failed)(void *ctx, const char *target, const char *why, bool again);
    /* After an incident in `once`, when what could be paged was paged; after watch_stop(); or when
     * the state has failed. `i` is borrowed; NULL = none was handled. `unsent`: pages wait in the
     * outbox. The watch is freed after it, and nothing of it is under way. */
    void (*ended)(void *ctx, const struct incident *i, bool unsent, const hardy_error *error);
    void (*metrics)(void *ctx, struct exposition *x); /* more of them, for GET /metrics */
};
struct watch;
/* E_NOT_FOUND: `service` is not among the services. What health_serve() says. */
hardy_status watch_start(const struct watch_options *options, const struct watch_events *events,
                         void *ctx, struct watch **out, hardy_error *error);
/* Its checks; NULL = none run. Borrowed until it ends. */
const struct health *watch_health(const struct watch *w);
/* Of its pages. */
void watch_write_metrics(const struct watch *w, struct exposition *x);
/* Others have put pages into the outbox. */
void watch_pages(struct watch *w);
/* The same without the outbox's row: see outbox_tell(). */
void watch_tell(struct watch *w, const struct notify_target *target, const struct notice *notice);
/* Ends: a remedy that runs goes on and is attached to later. `ended` follows. */
void watch_stop(struct watch *w);
#endif
