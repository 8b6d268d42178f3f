/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener: health, metrics, and the API under /api/v1. Host and Origin are looked at by
 * the server; here, who may change things. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/str.h"
#include "daemon/body.h"
#include "daemon/inside.h"
#include "durable/action.h"
#include "durable/checkpoint.h"
#include "http/problem.h"
#include "incident/show.h"
#include "settings/secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BODY_MAX 4096
/* Of an action's parameters or result, and of what stands beside them. */
#define BEGIN_MAX (ACTION_PARAMS_MAX + BODY_REST_MAX)
#define CHANGE_MAX (ACTION_RESULT_MAX + BODY_REST_MAX)
#define BODY_TOTAL_MAX ((size_t)32 << 20)
#define GUARDS "/api/v1/guards/"
#define ACTIONS "/api/v1/actions/"
#define CHECKPOINTS "/api/v1/checkpoints/"

void admin_answer_with(struct http_request *r, int status, struct http_headers *headers,
                       const char *content_type, const struct buf *body) {
    if (body->failed) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory for this answer, or it is too long");
        return;
    }
    (void)http_headers_add(headers, "cache-control", "no-store");
    http_respond(r, status, headers, content_type, body->data, body->len);
}

void admin_answer(struct http_request *r, int status, const char *content_type,
                  const struct buf *body) {
    struct http_headers headers;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    admin_answer_with(r, status, &headers, content_type, body);
    http_headers_free(&headers);
}

/* --- who may ---------------------------------------------------------------------------------- */

static bool has_token(const struct daemon *d, const struct http_request *r) {
    const char *given = http_headers_get(http_request_headers(r), "authorization");
    return d->token && given && strncasecmp(given, "bearer ", 7) == 0 &&
           secret_same(given + 7, d->token);
}

static void ask_for_token(const struct daemon *d, struct http_request *r) {
    struct http_headers headers;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    (void)http_headers_add(&headers, "www-authenticate", "Bearer");
    http_problem(r, 401, &headers, NULL, NULL,
                 d->token
                     ? "this needs the token, as Authorization: Bearer TOKEN; hardy's commands "
                       "read it from its file"
                     : "this needs a token, and hardy found no place for one: give "
                       "admin.token_file, or set XDG_RUNTIME_DIR");
    http_headers_free(&headers);
}

bool admin_may_read(struct daemon *d, struct http_request *r) {
    if (listens_on_loopback(&d->admin_address) || has_token(d, r)) {
        return true;
    }
    ask_for_token(d, r);
    return false;
}

/* A page elsewhere can make a browser send simple requests; it cannot set this type without asking
 * first, and it does not know the token. */
bool admin_may_write(struct daemon *d, struct http_request *r) {
    const char *type = http_headers_get(http_request_headers(r), "content-type");
    size_t len = type ? strcspn(type, "; \t") : 0;
    if (len != strlen("application/json") || strncasecmp(type, "application/json", len) != 0) {
        http_problem(r, 415, NULL, NULL, NULL, "content-type: application/json is needed");
        return false;
    }
    if (!has_token(d, r)) {
        ask_for_token(d, r);
        return false;
    }
    return true;
}

/* --- telling ---------------------------------------------------------------------------------- */

static void put_checks(const struct daemon *d, struct json_out *j) {
    const struct check_settings *c;
    const struct check_state *state;
    json_out_key(j, "checks");
    json_out_array(j);
    for (size_t i = 0; d->known && (state = health_at(d->known, i, &c)); i++) {
        check_to_json(j, c, state, loop_now(d->loop), loop_wall(d->loop));
    }
    json_out_array_end(j);
}

static void put_all_checks(const struct daemon *d, struct json_out *j) {
    json_out_object(j);
    put_checks(d, j);
    json_out_object_end(j);
}

static void put_supervised(const struct daemon *d, struct json_out *j) {
    json_out_object(j);
    supervise_put(d, j);
    json_out_object_end(j);
}

static void put_pause(const struct daemon *d, struct json_out *j) {
    json_out_object(j);
    pause_to_json(d, j);
    json_out_object_end(j);
}

static bool is_ready(const struct daemon *d) {
    struct buf report;
    bool ready;
    buf_init(&report, (size_t)1 << 20);
    health_report(d->known, d->view.objection(d->view.ctx), false, &report, &ready);
    buf_free(&report);
    return ready;
}

/* Whether actions and checkpoints can be written; what can be read is told by asking for it. */
static void put_store(const struct daemon *d, struct json_out *j) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    bool good = d->store && store_health(d->store, &why) == HARDY_OK;
    json_out_key(j, "actions_served");
    json_out_bool(j, good);
    json_out_member_string(j, "store_problem",
                           good       ? NULL
                           : d->store ? why.message
                                      : d->store_problem);
}

static void put_status(const struct daemon *d, struct json_out *j) {
    char text[HTTP_AUTHORITY_SIZE];
    json_out_object(j);
    json_out_member_string(j, "version", HARDY_VERSION);
    json_out_key(j, "pid");
    json_out_int(j, getpid());
    clock_format_wall(d->started_wall, text);
    json_out_member_string(j, "started", text);
    /* A companion goes with the command it serves: others had better not rely on it. */
    json_out_member_string(j, "mode", d->options.companion ? "wrap" : "serve");
    json_out_key(j, "ready");
    json_out_bool(j, is_ready(d));
    json_out_member_string(j, "config", d->config->path);
    json_out_member_string(j, "state", d->options.state);
    json_out_key(j, "guards_shared");
    json_out_bool(j, d->host != NULL);
    json_out_member_string(j, "state_problem", d->state_problem);
    put_store(d, j);
    http_authority_format(&d->admin_address, 0, text);
    json_out_member_string(j, "admin", text);
    json_out_member_string(j, "health", d->health_server ? d->health_settings.listen : NULL);
    json_out_key(j, "gateway");
    gateway_status_to_json(d->gateway, j);
    put_checks(d, j);
    supervise_put(d, j);
    pause_to_json(d, j);
    gather_put_status(d, j);
    remedies_to_json(d->store, j);
    json_out_object_end(j);
}

static void put_guards(const struct daemon *d, struct json_out *j) {
    json_out_object(j);
    json_out_key(j, "guards");
    gateway_guards_to_json(d->gateway, j);
    json_out_object_end(j);
}

static void put_upstreams(const struct daemon *d, struct json_out *j) {
    json_out_object(j);
    json_out_key(j, "upstreams");
    gateway_upstreams_to_json(d->gateway, j);
    json_out_object_end(j);
}

static void answer_json(struct daemon *d, struct http_request *r,
                        void (*put)(const struct daemon *d, struct json_out *j)) {
    struct buf text;
    struct json_out j;
    if (!admin_may_read(d, r)) {
        return;
    }
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    put(d, &j);
    buf_putc(&text, '\n');
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
}

static void answer_status(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_status);
}

static void answer_pause(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_pause);
}

static void answer_guards(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_guards);
}

static void answer_upstreams(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_upstreams);
}

static void answer_checks(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_all_checks);
}

static void answer_supervised(void *ctx, struct http_request *r) {
    answer_json(ctx, r, put_supervised);
}

static void answer_index(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_text(r, 200, "text/plain; charset=utf-8",
                      "hardy " HARDY_VERSION "\n\n"
                      "GET  /health/live\n"
                      "GET  /health/ready\n"
                      "GET  /metrics\n"
                      "GET  /api/v1/status\n"
                      "GET  /api/v1/requests?n=50    ?follow=1 streams those that end\n"
                      "GET  /api/v1/requests/ID\n"
                      "GET  /api/v1/guards\n"
                      "GET  /api/v1/upstreams\n"
                      "GET  /api/v1/checks\n"
                      "GET  /api/v1/children    and fail-overs\n"
                      "POST /api/v1/guards/NAME/force-open?for=10m    also disable, reset\n"
                      "GET  /api/v1/pause\n"
                      "POST /api/v1/pause     {target, for, reason, by, force}\n"
                      "POST /api/v1/resume    {target, by}\n"
                      "GET  /api/v1/incidents?n=100&after=ID\n"
                      "GET  /api/v1/incidents/ID\n"
                      "GET  /api/v1/workflows?n=100&after=ID\n"
                      "GET  /api/v1/workflows/ID\n"
                      "POST /api/v1/workflows/ID/approve    {step, refuse, comment, by}\n"
                      "POST /api/v1/workflows/ID/cancel     {comment, by}\n"
                      "POST /api/v1/workflows/ID/resolve    {step, as, result, by}\n"
                      "GET  /api/v1/actions?n=100&after=ID\n"
                      "GET  /api/v1/actions/ID\n"
                      "POST /api/v1/actions    {\"key\": ..., \"params\": ...}\n"
                      "POST /api/v1/actions/ID/renew    also complete, fail, resolve\n"
                      "GET  /api/v1/checkpoints/ID    also PUT, DELETE; If-Match\n"
                      "GET  /api/v1/gather/NAME    ?fresh=1 or COMPONENT,COMPONENT\n"
                      "DELETE /api/v1/cache?prefix=GATHERING/COMPONENT\n\n"
                      "POST, PUT and DELETE need content-type: application/json and the token.\n");
}

static void answer_live(void *ctx, struct http_request *r) {
    (void)ctx;
    health_answer_live(r);
}

static void answer_ready(void *ctx, struct http_request *r) {
    const struct daemon *d = ctx;
    health_answer_ready(&d->view, r);
}

/* --- changing things -------------------------------------------------------------------------- */

struct guard_change {
    char name[64];
    hardy_breaker_state state;
    bool timed; /* it may be for a while */
};

/* "NAME/force-open"; false: no such path. */
static bool parse_change(const char *path, struct guard_change *out) {
    static const struct {
        const char *verb;
        hardy_breaker_state state;
        bool timed;
    } verbs[] = {{"force-open", HARDY_FORCED_OPEN, true},
                 {"disable", HARDY_DISABLED, true},
                 {"reset", HARDY_CLOSED, false}};
    size_t len = strcspn(path, "/");
    if (path[len] != '/' || len >= sizeof out->name) {
        return false;
    }
    memcpy(out->name, path, len);
    out->name[len] = '\0';
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (str_eq(path + len + 1, verbs[i].verb)) {
            out->state = verbs[i].state;
            out->timed = verbs[i].timed;
            return str_valid_name(out->name);
        }
    }
    return false;
}

/* How long, by ?for=; false: answered, it is wrong. */
static bool read_span(struct http_request *r, const struct guard_change *change, int64_t *span) {
    struct buf text;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    *span = HARDY_NEVER;
    buf_init(&text, 64);
    hardy_status status = HARDY_OK;
    if (http_query_get(http_request_query(r), "for", &text)) {
        status = change->timed ? parse_duration(text.data ? text.data : "", span, &error)
                               : fail(&error, HARDY_E_INVALID, NULL,
                                      "reset is not for a while: leave it out");
        if (status == HARDY_OK && *span == 0) {
            status = fail(&error, HARDY_E_INVALID, NULL, "expected a duration above 0 such as 10m");
        }
    }
    buf_free(&text);
    if (status != HARDY_OK) {
        error_prefix(&error, "for");
        http_problem(r, 400, NULL, NULL, NULL, error.message);
    }
    return status == HARDY_OK;
}

static void change_guard(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct guard_change change;
    int64_t span;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!admin_may_write(d, r)) {
        return;
    }
    if (!parse_change(http_request_path(r) + strlen(GUARDS), &change)) {
        http_problem(r, 404, NULL, NULL, NULL,
                     "expected " GUARDS "NAME/ and one of force-open, disable, reset");
        return;
    }
    if (!read_span(r, &change, &span)) {
        return;
    }
    hardy_status status = gateway_force_guard(d->gateway, change.name, change.state,
                                              time_add(loop_now(d->loop), span), &error);
    if (status != HARDY_OK) {
        http_problem(r, status == HARDY_E_NOT_FOUND ? 404 : 409, NULL, NULL, NULL, error.message);
        return;
    }
    log_event(HARDY_LOG_WARNING, "guard set by hand", "guard", change.name, "state",
              hardy_breaker_state_name(change.state), "peer", http_request_peer(r), NULL);
    struct buf text;
    struct json_out j;
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    gateway_guard_to_json(d->gateway, change.name, &j);
    buf_putc(&text, '\n');
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
}

/* --- the listener ----------------------------------------------------------------------------- */

static const struct http_route routes[] = {
    {.method = "GET", .path = "/", .handle = answer_index},
    {.method = "GET", .path = "/health/live", .handle = answer_live},
    {.method = "GET", .path = "/health/ready", .handle = answer_ready},
    {.method = "GET", .path = "/metrics", .handle = metrics_answer},
    {.method = "GET", .path = "/api/v1/status", .handle = answer_status},
    {.method = "GET", .path = "/api/v1/requests", .handle = requests_answer_list},
    {.method = "GET", .path = "/api/v1/requests/*", .handle = requests_answer_one},
    {.method = "GET", .path = "/api/v1/guards", .handle = answer_guards},
    {.method = "GET", .path = "/api/v1/upstreams", .handle = answer_upstreams},
    {.method = "GET", .path = "/api/v1/checks", .handle = answer_checks},
    {.method = "GET", .path = "/api/v1/children", .handle = answer_supervised},
    {.method = "GET", .path = "/api/v1/fail_over", .handle = answer_supervised},
    {.method = "POST", .path = GUARDS "*", .body_max = BODY_MAX, .handle = change_guard},
    {.method = "GET", .path = "/api/v1/pause", .handle = answer_pause},
    {.method = "POST", .path = "/api/v1/pause", .body_max = BODY_REST_MAX, .handle = pause_begin},
    {.method = "POST", .path = "/api/v1/resume", .body_max = BODY_MAX, .handle = pause_end},
    {.method = "GET", .path = "/api/v1/incidents", .handle = incidents_answer_list},
    {.method = "GET", .path = "/api/v1/incidents/*", .handle = incidents_answer_one},
    {.method = "GET", .path = "/api/v1/actions", .handle = actions_answer_list},
    {.method = "POST", .path = "/api/v1/actions", .body_max = BEGIN_MAX, .handle = actions_begin},
    {.method = "GET", .path = ACTIONS "*", .handle = actions_answer_one},
    {.method = "POST", .path = ACTIONS "*", .body_max = CHANGE_MAX, .handle = actions_change},
    {.method = "GET", .path = "/api/v1/gather/*", .handle = gather_answer},
    {.method = "DELETE", .path = "/api/v1/cache", .body_max = BODY_MAX, .handle = gather_forget},
    {.method = "GET", .path = "/api/v1/workflows", .handle = workflows_answer_list},
    {.method = "GET", .path = "/api/v1/workflows/*", .handle = workflows_answer_one},
    {.method = "POST",
     .path = "/api/v1/workflows/*",
     .body_max = CHANGE_MAX,
     .handle = workflows_change},
    {.method = "GET", .path = CHECKPOINTS "*", .handle = checkpoints_answer},
    {.method = "PUT",
     .path = CHECKPOINTS "*",
     .body_max = CHECKPOINT_VALUE_MAX,
     .handle = checkpoints_put},
    {.method = "DELETE",
     .path = CHECKPOINTS "*",
     .body_max = BODY_MAX,
     .handle = checkpoints_delete},
};

hardy_status admin_open(struct daemon *d, const struct http_authority *address,
                        hardy_error *error) {
    struct http_server_options o;
    http_server_options_init(&o);
    o.host = address->host;
    o.port = address->port;
    o.routes = routes;
    o.route_count = sizeof routes / sizeof *routes;
    o.ctx = d;
    o.body_total_max = BODY_TOTAL_MAX;
    o.hosts = (const char *const *)d->admin.hosts.items;
    o.host_count = d->admin.hosts.count;
    hardy_status status = http_server_open(d->loop, &o, &d->admin_server, error);
    if (status == HARDY_OK) {
        d->admin_address = *address;
        d->admin_address.port = http_server_port(d->admin_server);
    }
    return status;
}
