/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SUPERVISION_H
#define DAEMON_SUPERVISION_H
/*
 * Checks, incidents and healing, children, fail-over and the pages of all of them, put together:
 * what `hardy supervise` is, and what `hardy serve` does besides serving.
 */
#include "incident/watch.h"
#include "supervise/children.h"
#include "supervise/fail_over.h"

struct supervision_settings {
    struct schema_list checks, targets, children, fail_overs;
    struct maintenance maintenance;
    struct incident_settings incidents;
};
/* `out` needs supervision_settings_free() also on failure. `state`: path of the state, for checks
 * of guards; borrowed by what was read. */
hardy_status supervision_read(const struct config *config, const char *state,
                              struct supervision_settings *out, hardy_error *error);
/* Tells each name in it that stands for nothing. Returns how many. */
size_t supervision_check(const struct config *config, const struct supervision_settings *s,
                         schema_report report, void *ctx);
void supervision_settings_free(struct supervision_settings *s);

struct supervision_options { /* borrowed until gone, but for `settings` */
    struct loop *loop;
    struct store *store;
    const char *state, *cwd, *self;
    const char *const *env;
    struct http_client *client;
    const struct health_settings *health; /* serves it when it has an address; NULL = not */
    const struct remedy_inside *inside;   /* what else this process can do as a remedy; NULL */
    bool once;                            /* handle one incident, then end; no children */
    const char *service;                  /* likewise, opened by hand */
    const char *severity, *summary;
};
struct supervision_events { /* each may be NULL, but for `gone` */
    void (*checked)(void *ctx, const struct check_settings *c, const struct check_state *s,
                    bool changed);
    /* Something happened to a service, child or fail-over. `incident`: its id, NULL = none. */
    void (*told)(void *ctx, const char *subject, const char *incident, int64_t wall,
                 const char *what, const char *detail);
    void (*paged)(void *ctx, const char *target, const char *dedup_key);
    void (*page_failed)(void *ctx, const char *target, const char *why, bool again);
    /* What is known of the checks lies here from now on; NULL = nowhere. */
    void (*health)(void *ctx, const struct health *health);
    void (*settled)(void *ctx); /* no child will do anything by itself any more */
    /* The watch has ended, see watch_events; children that there are go on until they are stopped.
     */
    void (*watched)(void *ctx, const struct incident *i, bool unsent, const hardy_error *error);
    void (*gone)(void *ctx); /* everything has ended, and is freed after this */
};
struct supervision;
/* `settings` is taken, also on failure. Fails with what is wrong; then the loop has to run for a
 * moment to free what was begun. */
hardy_status supervision_start(const struct supervision_options *options,
                               struct supervision_settings *settings,
                               const struct supervision_events *events, void *ctx,
                               struct supervision **out, hardy_error *error);
/* Other checks, services, targets and windows from now on; what is known of the checks is kept, and
 * an incident that is under way is gone on with. Children and fail-overs stay as they are.
 * `settings` is taken. */
void supervision_reload(struct supervision *s, struct supervision_settings *settings);
/* Ends the children, then lets go of the rest: a remedy that runs goes on and is attached to later.
 * A second call changes nothing. */
void supervision_stop(struct supervision *s);

/* NULL = there are none, any more. */
const struct children *supervision_children(const struct supervision *s);
const struct schema_list *supervision_child_settings(const struct supervision *s);
const struct fail_over *supervision_fail_over(const struct supervision *s);
/* Why the process is not ready whatever the checks say: a critical child that is not; NULL. */
const char *supervision_objection(struct supervision *s);
/* Of what it is at; who paused what is not among it. */
void supervision_write_metrics(const struct supervision *s, struct exposition *x);
#endif
