/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_INSIDE_H
#define DAEMON_INSIDE_H
/* What daemon.c (the whole), state.c (guards' words and the store), admin.c, requests.c, actions.c,
 * checkpoints.c, gather.c, workflows.c, incidents.c and pause.c (the API), remedies.c and metrics.c
 * share; for this room only. */
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "daemon/supervision.h"
#include "degrade/gatherer.h"
#include "degrade/kept.h"
#include "durable/moment.h"
#include "http/server.h"
#include "io/list.h"
#include "observe/exposition.h"
#include "store/store.h"

#define API_TEXT_MAX ((size_t)48 << 20) /* of one answer */

struct file_mark { /* to see that a file is another one now */
    bool there;
    uint64_t device, inode;
    int64_t size, changed;
};

struct daemon {
    struct daemon_options options;
    struct loop *loop;
    struct config *config; /* what is loaded */
    struct config *first;  /* what it was begun with: for what only a restart changes */
    int64_t started_wall;
    struct host *host; /* NULL: guards are not shared */
    char *state_problem;
    struct store *store; /* of actions and checkpoints; NULL: cannot be used, for what is in */
    char *store_problem;
    bool state_needed;         /* on_state_error: refuse */
    struct retainer *retainer; /* removes what need not be kept; NULL */
    size_t store_calls;        /* requests that are not answered yet because of it */
    char boot[37];
    struct gateway *gateway;
    bool draining;

    /* health */
    struct http_client *client; /* of the checks */
    struct schema_list checks;
    struct health *health;      /* of its own; NULL: what is supervised has them */
    const struct health *known; /* what is told of, of either; NULL = nothing */
    struct health_view view;
    struct health_settings health_settings;
    struct health_server *health_server;

    /* what is watched, healed, kept running and failed over; NULL: nothing */
    struct supervision *supervision;
    struct remedy_inside inside;                /* remedies.c */
    void (*supervision_gone)(struct daemon *d); /* the end waits for it */
    char self[64], *folder;

    /* gatherings */
    struct kept *kept;         /* their last good answers; NULL: hardy wrap */
    hardy_cache answers;       /* the same */
    struct gatherer *gatherer; /* NULL: hardy wrap, or the end */

    /* admin */
    struct admin_settings admin;
    struct http_server *admin_server;
    struct http_authority admin_address;
    char *token; /* for changes; NULL: they are refused */
    struct list followers;
    size_t follower_count;

    /* following the configuration's file */
    struct loop_timer look;
    struct file_mark tried, last;

    /* the end */
    struct loop_timer end;
    int pending; /* listeners that are not gone yet */
    int turns;
    bool calming; /* waits for store_calls to be 0 */
    void (*ended)(void *ctx);
    void *ended_ctx;
};

/* --- daemon.c --- */
void daemon_checked(void *ctx, const struct check_settings *c, const struct check_state *s,
                    bool changed);       /* logs it */
const char *daemon_objection(void *ctx); /* why it is not ready whatever the checks say; NULL */

/* A call of the store has ended: perhaps the last one that the end waits for. */
void daemon_calmed(struct daemon *d);

/* --- state.c --- */
hardy_status daemon_state_open(struct daemon *d, enum on_state_error then, hardy_error *error);
void daemon_state_close(struct daemon *d);
struct store *daemon_state_store(struct daemon *d,
                                 struct http_request *r); /* NULL: answered, 503 */
/*
 * A request that is answered when the store has done something. The store may be kept waiting (by
 * another process that was stopped while it wrote): then the request is answered 503 after a while,
 * and `request` is NULL when the store is done at last. Nothing that belongs to the request may be
 * used by what the store still has to do.
 */
struct store_call { /* caller-owned, from begin to end */
    struct daemon *daemon;
    struct http_request *request; /* NULL: answered */
    struct loop_timer limit;
};
void store_call_begin(struct store_call *c, struct daemon *d, struct http_request *r);
void store_call_end(struct store_call *c);
struct moment daemon_state_now(struct daemon *d);
/* Answers what the store could not do, or what was decided against (durable/action.h). */
void daemon_state_failed(struct http_request *r, hardy_status status, const hardy_error *error);
void daemon_state_refused(struct http_request *r, hardy_status status, const hardy_error *error);
/* A key out of a path, decoded; false: answered. */
bool daemon_state_path_key(struct http_request *r, const char *text, size_t len, char *out,
                           size_t size);

/* --- gather.c --- */
/* Of this configuration; gather_take() makes it the daemon's. */
hardy_status gather_open(struct daemon *d, const struct config *config, struct gatherer **out,
                         hardy_error *error);
void gather_take(struct daemon *d, struct gatherer *g);
void gather_answer(void *ctx, struct http_request *r);
void gather_forget(void *ctx, struct http_request *r);
/* Forgets the last good answers whose keys begin so, "" = all. E_UNSUPPORTED: none are kept here.
 */
hardy_status gather_clear(struct daemon *d, const char *prefix, size_t *removed,
                          hardy_error *error);
void gather_put_status(const struct daemon *d, struct json_out *j);
void gather_write_metrics(const struct daemon *d, struct exposition *x);

/* --- pause.c --- */
struct exposition;
struct json_out;
/* What hardy keeps its hands off now, as members of an object: "paused", a list, and
 * "paused_problem", null when the list is whole. */
void pause_to_json(const struct daemon *d, struct json_out *j);
void pause_write_metrics(const struct daemon *d, struct exposition *x);
void pause_begin(void *ctx, struct http_request *r);
void pause_end(void *ctx, struct http_request *r);

/* --- remedies.c --- */
/* As struct remedy_inside wants it; `ctx` is the daemon. */
hardy_status remedies_act(void *ctx, const struct action_settings *action, const char *key,
                          char told[200], hardy_error *error);

/* --- supervise.c --- */
/* Begins what the configuration wants to be supervised, if anything. */
hardy_status daemon_supervise(struct daemon *d, const struct config *config, hardy_error *error);
hardy_status daemon_supervise_again(struct daemon *d, const struct config *config,
                                    hardy_error *error);
/* True: there is nothing any more; else `gone` comes, when all children have ended. */
bool daemon_supervise_end(struct daemon *d, void (*gone)(struct daemon *d));
void supervise_put(const struct daemon *d, struct json_out *j); /* members children, fail_over */
void supervise_write_metrics(const struct daemon *d, struct exposition *x);

/* --- actions.c, checkpoints.c, workflows.c, incidents.c --- */
void incidents_answer_list(void *ctx, struct http_request *r);
void incidents_answer_one(void *ctx, struct http_request *r);
void workflows_change(void *ctx, struct http_request *r);
void actions_begin(void *ctx, struct http_request *r);
void actions_change(void *ctx, struct http_request *r);
void actions_answer_list(void *ctx, struct http_request *r);
void actions_answer_one(void *ctx, struct http_request *r);
void checkpoints_answer(void *ctx, struct http_request *r);
void checkpoints_put(void *ctx, struct http_request *r);
void checkpoints_delete(void *ctx, struct http_request *r);
void workflows_answer_list(void *ctx, struct http_request *r);
void workflows_answer_one(void *ctx, struct http_request *r);

/* --- admin.c --- */
hardy_status admin_open(struct daemon *d, const struct http_authority *address, hardy_error *error);
/* Off the loopback whoever reads must know the token; false: the request is answered. */
bool admin_may_read(struct daemon *d, struct http_request *r);
/* Whoever changes something must know the token everywhere, and say that it sends JSON. */
bool admin_may_write(struct daemon *d, struct http_request *r);
void admin_answer(struct http_request *r, int status, const char *content_type,
                  const struct buf *body);
/* The same with further headers, to which it adds. */
void admin_answer_with(struct http_request *r, int status, struct http_headers *headers,
                       const char *content_type, const struct buf *body);

/* --- requests.c --- */
void requests_answer_list(void *ctx, struct http_request *r);
void requests_answer_one(void *ctx, struct http_request *r);
void requests_end_followers(struct daemon *d);

/* --- metrics.c --- */
void metrics_answer(void *ctx, struct http_request *r);
#endif
