/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_INSIDE_H
#define GATEWAY_INSIDE_H
/* What gateway.c (the whole) and call.c (one request) share; for this room only. */
#include "gateway/figures.h"
#include "gateway/gateway.h"
#include "http/server.h"
#include "io/list.h"

struct gateway {
    struct loop *loop;
    struct http_client *client;
    struct http_server *server;
    struct http_authority address; /* where it listens, whatever is loaded later */
    struct standings standings;
    struct upstream_set *set;
    struct list calls;
    size_t active, waiting;
    struct records records;
    struct figures figures;
    struct http_headers scratch; /* of the answer being begun */
    uint64_t seed;               /* of the hash of credentials */
    uint64_t reloads;
    bool draining;
    int64_t started;
    struct loop_timer drain_timer;
    int64_t drain_end;
    void (*drained)(void *ctx);
    void *drained_ctx;
};

/* Begins a request for this upstream; `rest` = its path behind the upstream's name. The request is
 * taken: it will be answered. `client` = the name of who was recognised, "" = nobody is asked. */
void call_take(struct gateway *g, const struct upstream *u, const char *rest, const char *client,
               struct http_request *request);
/* Those that wait and are answered nothing yet are told to come again. */
void calls_refuse_waiting(struct gateway *g);
/* Everything ends now: streams with their protocol's error. */
void calls_end(struct gateway *g);
void calls_active_to_json(const struct gateway *g, struct json_out *j);
const struct request_record *calls_find(const struct gateway *g, const char *id);
/* The gateway's own refusal of a request, in the upstream's protocol. */
struct refusal {
    int status;
    enum trouble trouble;
    bool passing;     /* with retry-after; else x-should-retry: false */
    bool in_doubt;    /* neither: the client decides, as when its connection breaks */
    int64_t after;    /* ns; < 0 = not known */
    const char *text; /* for a person */
};
void refuse_request(struct gateway *g, enum upstream_protocol speaks, struct http_request *request,
                    const struct refusal *refusal);
/* One that says: not now, come again after `after`. */
struct refusal refusal_for_now(enum upstream_protocol speaks, int64_t after, const char *text);
/* The name of the client whose token this header carries; NULL. */
const char *client_of_header(const struct upstream_set *set, const char *name, const char *value);
void make_request_id(struct gateway *g, char out[20]);
#endif
