/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_HANDLE_H
#define INCIDENT_HANDLE_H
/*
 * Handles one incident on the loop: takes up what is there, does one step after another, and can be
 * killed anywhere. One process handles a service's incidents at a time (a lock, freed by the
 * kernel); another one that is asked to waits for it and goes on where it stopped, or tells its
 * result.
 */
#include "incident/incident.h"

struct http_client;
struct maintenance;
/* What hardy does for a remedy itself, in this process (action_is_inside()). The same key twice has
 * one effect. OK: `told` says what was done, a sentence. E_UNSUPPORTED: there is nothing of the
 * kind here; E_NOT_FOUND: nothing of the name. */
struct remedy_inside {
    void *ctx;
    hardy_status (*act)(void *ctx, const struct action_settings *action, const char *key,
                        char told[200], hardy_error *error);
};
struct handler_world { /* borrowed until ended */
    struct loop *loop;
    struct store *store;
    const char *state; /* path of the state */
    const char *cwd;   /* of commands: the configuration's folder */
    const char *self;  /* who handles it, for others to read: "hardy supervise, pid 4711" */
    const char *const *env;
    struct http_client *client;
    const struct schema_list *checks, *targets;
    const struct incident_settings *settings;
    const struct maintenance *maintenance; /* NULL = no windows */
    const struct remedy_inside *inside;    /* NULL = it can do nothing itself */
};
/* What is wanted. An incident that is under way or in doubt is gone on with in any case. */
enum handle_why {
    HANDLE_DOWN,    /* its check is down: opens one, unless the latest is with a person */
    HANDLE_FLAPS,   /* the same, of a check that flaps: people are told, and nothing is done */
    HANDLE_BY_HAND, /* a person says so: opens one; one that was with a person is closed */
    HANDLE_UP,      /* its check is up: settles one that is with a person or in doubt */
    HANDLE_LEFT     /* only what an earlier process left */
};
struct handler_events {
    /* Something happened. What is not recorded yet is told as it happens: a remedy's start,
     * waiting. */
    void (*told)(void *ctx, const struct incident *i, int64_t wall, const char *what,
                 const char *detail);
    /* The state cannot be written now, so nothing goes on; it is tried again after `pause`.
     * `first`: of this incident. */
    void (*trouble)(void *ctx, const struct incident *i, const hardy_error *error, int64_t pause,
                    bool first);
    /* Pages are in the outbox. */
    void (*paged)(void *ctx);
    /* The incident is RESOLVED, ESCALATED or IN_DOUBT (pages are in the outbox), or `error` says
     * why it could not be handled: E_FENCED, another process has written it meanwhile. `i` is NULL
     * when there was nothing to do. The last callback; the handler is freed after it. */
    void (*ended)(void *ctx, const struct incident *i, const hardy_error *error);
    void (*gone)(void *ctx); /* see handle_leave() */
};
struct handler;
/* `severity`, `summary`: of an incident that is opened; copied. */
hardy_status handle_start(const struct handler_world *world, const struct service_settings *s,
                          enum handle_why why, const char *severity, const char *summary,
                          const struct handler_events *events, void *ctx, struct handler **out,
                          hardy_error *error);
/* Lets go: what runs goes on and is attached to later. True: it is freed; false: `gone` comes when
 * it is. No other callback comes. */
bool handle_leave(struct handler *h);
#endif
