/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_INSIDE_H
#define DAEMON_INSIDE_H
/* What daemon.c (the whole), admin.c and requests.c (the API) and metrics.c share; for this room
 * only. */
#include "daemon/daemon.h"
#include "daemon/settings.h"
#include "http/server.h"
#include "io/list.h"

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
    struct gateway *gateway;
    bool draining;

    /* health */
    struct http_client *client; /* of the checks */
    struct schema_list checks;
    struct health *health;
    struct health_view view;
    struct health_settings health_settings;
    struct health_server *health_server;

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
    void (*ended)(void *ctx);
    void *ended_ctx;
};

/* --- daemon.c --- */
const char *daemon_objection(void *ctx); /* why it is not ready whatever the checks say; NULL */

/* --- admin.c --- */
hardy_status admin_open(struct daemon *d, const struct http_authority *address, hardy_error *error);
/* Off the loopback whoever reads must know the token; false: the request is answered. */
bool admin_may_read(struct daemon *d, struct http_request *r);
void admin_answer(struct http_request *r, int status, const char *content_type,
                  const struct buf *body);

/* --- requests.c --- */
void requests_answer_list(void *ctx, struct http_request *r);
void requests_answer_one(void *ctx, struct http_request *r);
void requests_end_followers(struct daemon *d);

/* --- metrics.c --- */
void metrics_answer(void *ctx, struct http_request *r);
#endif
