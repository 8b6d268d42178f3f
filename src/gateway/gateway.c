/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/gateway.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "gateway/inside.h"
#include "settings/secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_BYTES_MAX ((size_t)64 * 1024)
#define HEAD_FIELDS_MAX 200
#define ANSWER_BYTES_MAX ((size_t)96 * 1024)
#define ANSWER_FIELDS_MAX 300
#define KEPT_CONNECTIONS 256 /* to one upstream, between two requests */
/* Requests that are on their way when the end begins still get an answer. */
#define LATE_REQUESTS (300 * HARDY_MILLISECOND)
/* For answers that are written already to leave. */
#define LAST_BYTES (2 * HARDY_SECOND)
#define DRAIN_LOOK (50 * HARDY_MILLISECOND)

struct gateway_at { /* the gateway with what its server borrows */
    struct gateway gateway;
    struct http_route route;
};

void make_request_id(struct gateway *g, char out[20]) {
    snprintf(out, 20, "hr-%016llx", (unsigned long long)loop_random(g->loop));
}

/* --- who may ---------------------------------------------------------------------------------- */

const char *client_of_header(const struct upstream_set *set, const char *name, const char *value) {
    const struct gateway_client_settings *items = set->settings.clients.items;
    const char *found = NULL;
    if (strcasecmp(name, "authorization") == 0) {
        value = strncasecmp(value, "bearer ", 7) == 0 ? value + 7 : "";
    } else if (strcasecmp(name, "x-api-key") != 0) {
        return NULL;
    }
    for (size_t i = 0; i < set->settings.clients.count; i++) {
        if (secret_same(value, items[i].token)) {
            found = items[i].name;
        }
    }
    return found;
}

/* The name of the client; "" = nobody is asked; NULL = not known. */
static const char *recognise(const struct gateway *g, const struct http_headers *h) {
    const char *found = g->set->settings.clients.count == 0 ? "" : NULL;
    for (size_t i = 0; i < h->count && !found; i++) {
        found = client_of_header(g->set, http_headers_name_at(h, i), http_headers_value_at(h, i));
    }
    return found;
}

/* --- requests --------------------------------------------------------------------------------- */

static void refuse_unknown(struct gateway *g, struct http_request *r) {
    struct buf text;
    buf_init(&text, 4096);
    buf_puts(&text, "hardy: nothing is at this path; there is");
    for (size_t i = 0; i < g->set->count; i++) {
        buf_printf(&text, "%s /%s/...", i > 0 ? "," : "", g->set->upstreams[i].settings->name);
    }
    struct refusal refusal = {.status = 404,
                              .trouble = TROUBLE_NOT_FOUND,
                              .text = text.data ? text.data : "hardy: nothing is at this path"};
    refuse_request(g, UPSTREAM_HTTP, r, &refusal);
    buf_free(&text);
}

/* The next character of a path, in one form where paths have several. */
static char next_of_path(const char **at) {
    static const char *const written[] = {"%2e", "%2f", "%5c"};
    for (size_t i = 0; i < 3; i++) {
        if (strncasecmp(*at, written[i], 3) == 0) {
            *at += 3;
            return i == 0 ? '.' : '/';
        }
    }
    char c = *(*at)++;
    return c == '\\' ? '/' : c;
}

/* ".." as a part of it, however it is written: who may use an upstream, with hardy's key even, may
 * not leave the path that its url names. */
static bool climbs(const char *path) {
    size_t dots = 0, others = 0; /* in this part */
    while (*path) {
        char c = next_of_path(&path);
        if ((c == '/' || c == ';') && dots == 2 && others == 0) {
            return true;
        }
        dots = c == '/' ? 0 : dots + (c == '.');
        others = c == '/' ? 0 : others + (c != '.');
    }
    return dots == 2 && others == 0;
}

/* NULL = it can be passed on. */
static const char *objection(const struct http_request *r, const char *rest) {
    if (str_eq(http_request_method(r), "CONNECT")) {
        return "hardy: this is no proxy to CONNECT through; set the agent's base URL instead";
    }
    return climbs(rest) ? "hardy: a path with \"..\" in it is not passed on" : NULL;
}

static void handle(void *ctx, struct http_request *r) {
    struct gateway *g = ctx;
    const char *rest;
    const struct upstream *u = upstream_find(g->set, http_request_path(r), &rest);
    if (!u) {
        refuse_unknown(g, r);
        return;
    }
    bool bare = rest[0] == '\0' || str_eq(rest, "/");
    if (bare && str_eq(http_request_method(r), "HEAD")) { /* agents ask whether somebody is there */
        http_respond(r, 200, NULL, NULL, NULL, 0);
        return;
    }
    const char *client = recognise(g, http_request_headers(r));
    if (!client) {
        struct refusal refusal = {.status = 401,
                                  .trouble = TROUBLE_DENIED,
                                  .text =
                                      "hardy: this gateway serves known clients; send the token "
                                      "of one as x-api-key or Authorization: Bearer"};
        refuse_request(g, u->protocol, r, &refusal);
        return;
    }
    const char *why = objection(r, rest);
    if (why) {
        struct refusal refusal = {.status = 400, .trouble = TROUBLE_INVALID, .text = why};
        refuse_request(g, u->protocol, r, &refusal);
        return;
    }
    if (g->draining) {
        struct refusal refusal =
            refusal_for_now(u->protocol, HARDY_SECOND, "hardy is shutting down");
        refuse_request(g, u->protocol, r, &refusal);
        return;
    }
    call_take(g, u, rest, client, r);
}

static void on_closed(void *ctx, const char *peer, enum close_reason reason, const char *detail) {
    struct gateway *g = ctx;
    (void)peer, (void)detail;
    g->figures.connections_closed[reason]++;
}

/* --- opening and loading ---------------------------------------------------------------------- */

static hardy_status listen(struct gateway_at *at, hardy_error *error) {
    struct gateway *g = &at->gateway;
    const struct gateway_settings *s = &g->set->settings;
    struct http_server_options o;
    http_server_options_init(&o);
    at->route = (struct http_route){.path = "*", .body_max = s->max_body, .handle = handle};
    o.host = s->address.host;
    o.port = s->address.port;
    o.routes = &at->route;
    o.route_count = 1;
    o.ctx = g;
    o.hosts = (const char *const *)s->hosts.items;
    o.host_count = s->hosts.count;
    o.head_max = HEAD_BYTES_MAX;
    o.header_max = HEAD_FIELDS_MAX;
    o.connection_max = s->max_connections;
    o.body_total_max = s->max_memory;
    o.closed = on_closed;
    hardy_status status = http_server_open(g->loop, &o, &g->server, error);
    g->address = s->address;
    g->address.port = status == HARDY_OK ? http_server_port(g->server) : 0;
    return status;
}

hardy_status gateway_open(struct loop *loop, const struct config *config,
                          struct gateway_settings *settings, struct host *host,
                          struct gateway **out, hardy_error *error) {
    struct gateway_at *at = calloc(1, sizeof *at);
    struct http_client_options client;
    http_client_options_init(&client);
    client.idle_per_host = KEPT_CONNECTIONS;
    if (!at) {
        gateway_settings_free(settings);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a gateway");
    }
    struct gateway *g = &at->gateway;
    g->loop = loop;
    g->standings.host = host;
    g->seed = loop_random(loop);
    g->started = loop_now(loop);
    list_init(&g->calls);
    http_headers_init(&g->scratch, ANSWER_FIELDS_MAX, ANSWER_BYTES_MAX);
    size_t keep = settings->keep_requests;
    hardy_status status = upstream_set_new(loop, config, settings, &g->standings, &g->set, error);
    if (status == HARDY_OK && (!records_init(&g->records, keep) || !figures_init(&g->figures))) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for a gateway");
    }
    if (status == HARDY_OK) {
        g->client = http_client_new(loop, &client, error);
        status = g->client ? listen(at, error) : HARDY_E_NOMEM;
    }
    if (status != HARDY_OK) {
        gateway_free(g);
        return status;
    }
    *out = g;
    return HARDY_OK;
}

hardy_status gateway_reload(struct gateway *g, const struct config *config,
                            struct gateway_settings *settings, hardy_error *error) {
    struct upstream_set *set;
    hardy_status status = upstream_set_new(g->loop, config, settings, &g->standings, &set, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct gateway_at *at = (struct gateway_at *)(void *)g;
    at->route.body_max = set->settings.max_body;
    records_resize(&g->records, set->settings.keep_requests);
    /* The server borrows the names it may be called by from the first set. */
    struct schema_strings hosts = set->settings.hosts;
    set->settings.hosts = g->set->settings.hosts;
    g->set->settings.hosts = hosts;
    upstream_set_release(g->set);
    g->set = set;
    g->reloads++;
    return HARDY_OK;
}

uint16_t gateway_port(const struct gateway *g) {
    return g->address.port;
}

void gateway_address(const struct gateway *g, struct http_authority *out) {
    *out = g->address;
}

const struct gateway_settings *gateway_loaded(const struct gateway *g) {
    return &g->set->settings;
}

void gateway_free(struct gateway *g) {
    if (!g) {
        return;
    }
    loop_timer_stop(g->loop, &g->drain_timer);
    http_client_free(g->client);
    upstream_set_release(g->set);
    records_free(&g->records);
    figures_free(&g->figures);
    standings_free(&g->standings);
    http_headers_free(&g->scratch);
    free(g);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void on_server_gone(void *ctx) {
    struct gateway *g = ctx;
    g->server = NULL;
    if (g->drained) {
        g->drained(g->drained_ctx);
    }
}

static void on_drain_look(struct loop_timer *timer) {
    struct gateway *g = timer->ctx;
    int64_t now = loop_now(g->loop);
    if (g->active > 0 && now >= g->drain_end) {
        calls_end(g);
    }
    if (g->active == 0 || now >= time_add(g->drain_end, LAST_BYTES)) {
        http_server_drain(g->server, time_add(now, LAST_BYTES), on_server_gone, g);
        return;
    }
    int64_t next = time_add(now, DRAIN_LOOK);
    loop_timer_start(g->loop, timer, next);
}

void gateway_drain(struct gateway *g, void (*done)(void *ctx), void *ctx) {
    int64_t now = loop_now(g->loop);
    if (g->draining) {
        g->drain_end = now;
        if (g->server) {
            loop_timer_start(g->loop, &g->drain_timer, now);
        }
        return;
    }
    g->draining = true;
    g->drained = done;
    g->drained_ctx = ctx;
    g->drain_end = time_add(now, g->set->settings.drain);
    http_server_stop_accepting(g->server);
    calls_refuse_waiting(g);
    loop_timer_init(&g->drain_timer, on_drain_look, g);
    loop_timer_start(g->loop, &g->drain_timer, time_add(now, LATE_REQUESTS));
}

bool gateway_is_draining(const struct gateway *g) {
    return g->draining;
}

/* --- telling ---------------------------------------------------------------------------------- */

size_t gateway_active(const struct gateway *g) {
    return g->active;
}

struct records *gateway_records(struct gateway *g) {
    return &g->records;
}

void gateway_write_metrics(const struct gateway *g, struct exposition *x) {
    struct figures_now state = {.active = g->active - g->waiting,
                                .waiting = g->waiting,
                                .connections = g->server ? http_server_connections(g->server) : 0,
                                .draining = g->draining};
    figures_write(&g->figures, g->set, &state, loop_now(g->loop), x);
}

static void put_seconds(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    json_out_double(j, (double)(span / HARDY_MILLISECOND) / 1000);
}

void gateway_status_to_json(const struct gateway *g, struct json_out *j) {
    char address[HTTP_AUTHORITY_SIZE];
    http_authority_format(&g->address, 0, address);
    json_out_object(j);
    json_out_member_string(j, "listen", address);
    json_out_member_string(j, "state", g->draining ? "draining" : "serving");
    put_seconds(j, "up_s", loop_now(g->loop) - g->started);
    json_out_member_count(j, "active", g->active);
    json_out_member_count(j, "waiting", g->waiting);
    json_out_member_count(j, "connections", g->server ? http_server_connections(g->server) : 0);
    json_out_member_count(j, "reloads", g->reloads);
    json_out_object_end(j);
}

static void limit_to_json(const struct learned *l, int64_t now, struct json_out *j) {
    json_out_object(j);
    for (int kind = 0; kind < LEARNED_COUNT; kind++) {
        const struct learned_limit *limit = &l->limits[kind];
        if (limit->known) {
            json_out_key(j, learned_kind_text((enum learned_kind)kind));
            json_out_object(j);
            json_out_key(j, "limit");
            json_out_double(j, limit->rate.burst[HARDY_PRIORITY_HIGH]);
            json_out_key(j, "left");
            json_out_int(j, (int64_t)learned_left(l, (enum learned_kind)kind, now));
            json_out_object_end(j);
        }
    }
    if (l->held_until > now) {
        put_seconds(j, "held_s", l->held_until - now);
    }
    json_out_object_end(j);
}

void gateway_upstreams_to_json(const struct gateway *g, struct json_out *j) {
    int64_t now = loop_now(g->loop);
    json_out_array(j);
    for (size_t i = 0; i < g->set->count; i++) {
        const struct upstream *u = &g->set->upstreams[i];
        const struct upstream_figures *f = figures_find(&g->figures, u->settings->name);
        json_out_object(j);
        json_out_member_string(j, "name", u->settings->name);
        json_out_member_string(j, "url", u->settings->url_text);
        json_out_member_string(j, "protocol", upstream_protocol_text(u->protocol));
        json_out_member_string(j, "guard", u->guard->name);
        json_out_member_string(j, "credential", u->settings->key ? "key_file" : "the client's own");
        json_out_key(j, "requests");
        json_out_object(j);
        for (int o = 0; o < REQUEST_OUTCOME_COUNT; o++) {
            json_out_member_count(j, request_outcome_text((enum request_outcome)o),
                                  f ? f->requests[o] : 0);
        }
        json_out_object_end(j);
        json_out_key(j, "limits");
        json_out_array(j);
        for (size_t n = 0; n < u->standing->learned_count; n++) {
            limit_to_json(&u->standing->learned[n], now, j);
        }
        json_out_array_end(j);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

static void guard_to_json(const struct upstream_guard *guard, struct json_out *j) {
    hardy_guard_stats s = {.size = sizeof s};
    s.breaker.size = sizeof s.breaker;
    hardy_guard_get_stats(guard->guard, &s);
    json_out_object(j);
    json_out_member_string(j, "name", guard->name);
    json_out_member_string(j, "state", hardy_breaker_state_name(s.breaker.state));
    json_out_key(j, "time_until_retry_s");
    if (s.breaker.time_until_retry == HARDY_NEVER) {
        json_out_null(j);
    } else {
        json_out_double(j, (double)s.breaker.time_until_retry / (double)HARDY_SECOND);
    }
    json_out_member_count(j, "recent_failures", s.breaker.recent_failures);
    json_out_member_count(j, "times_opened", s.breaker.times_opened);
    json_out_member_count(j, "operations", s.operations);
    json_out_member_count(j, "attempts", s.attempts);
    json_out_member_count(j, "retries", s.retries);
    json_out_member_count(j, "retries_suppressed", s.retries_suppressed);
    json_out_member_count(j, "timeouts", s.timeouts);
    json_out_key(j, "lowered_to");
    if (upstream_guard_lowered(guard) > 0) {
        json_out_int(j, upstream_guard_lowered(guard));
    } else {
        json_out_null(j);
    }
    json_out_member_count(j, "running", s.running);
    json_out_member_count(j, "waiting", s.waiting);
    json_out_object_end(j);
}

void gateway_guards_to_json(const struct gateway *g, struct json_out *j) {
    json_out_array(j);
    for (size_t i = 0; i < g->set->guard_count; i++) {
        guard_to_json(&g->set->guards[i], j);
    }
    json_out_array_end(j);
}

void gateway_guard_to_json(const struct gateway *g, const char *name, struct json_out *j) {
    const struct upstream_guard *guard = upstream_guard_find(g->set, name);
    if (guard) {
        guard_to_json(guard, j);
    } else {
        json_out_null(j);
    }
}

void gateway_active_to_json(const struct gateway *g, struct json_out *j) {
    calls_active_to_json(g, j);
}

const struct request_record *gateway_find_active(const struct gateway *g, const char *id) {
    return calls_find(g, id);
}

hardy_status gateway_force_guard(struct gateway *g, const char *name, hardy_breaker_state state,
                                 int64_t until, hardy_error *error) {
    const struct upstream_guard *guard = upstream_guard_find(g->set, name);
    if (guard) {
        hardy_status status = hardy_guard_force(guard->guard, state, until);
        return status == HARDY_OK ? status : fail(error, status, name, "this guard has no breaker");
    }
    const char *names[FIGURES_UPSTREAMS];
    size_t count = 0;
    while (count < g->set->guard_count && count < FIGURES_UPSTREAMS) {
        names[count] = g->set->guards[count].name;
        count++;
    }
    const char *near = str_nearest(name, names, count);
    return fail(error, HARDY_E_NOT_FOUND, NULL, "no guard is called \"%s\"%s%s%s", name,
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* --- remedies --------------------------------------------------------------------------------- */

static bool is_all(const char *name) {
    return !name || !name[0];
}

hardy_status gateway_reset_connections(struct gateway *g, const char *upstream, char told[200]) {
    size_t closed = 0, found = 0;
    for (size_t i = 0; i < g->set->count && !is_all(upstream); i++) {
        const struct upstream_settings *s = g->set->upstreams[i].settings;
        if (str_eq(s->name, upstream)) {
            found++;
            closed += http_client_close_idle(g->client, &s->url);
        }
    }
    if (is_all(upstream)) {
        closed = http_client_close_idle(g->client, NULL);
    } else if (found == 0) {
        snprintf(told, 200, "there is no upstream `%.60s`", upstream);
        return HARDY_E_NOT_FOUND;
    }
    snprintf(told, 200, "closed %zu idle connection%s to %.60s", closed, closed == 1 ? "" : "s",
             is_all(upstream) ? "all upstreams" : upstream);
    return HARDY_OK;
}

hardy_status gateway_lower_concurrency(struct gateway *g, const char *guard, double to,
                                       int64_t until, char told[200]) {
    char span[48];
    size_t used = 0, size = 150; /* the rest is for the span */
    format_duration_short(until - loop_now(g->loop), span);
    for (size_t i = 0; i < g->set->guard_count; i++) {
        struct upstream_guard *one = &g->set->guards[i];
        if (!is_all(guard) && !str_eq(one->name, guard)) {
            continue;
        }
        upstream_guard_lower(one, to, until);
        if (used < size) {
            used += (size_t)snprintf(told + used, size - used, "%s%u at once through %s",
                                     used > 0 ? ", " : "at most ", upstream_guard_lowered(one),
                                     one->name);
        }
    }
    if (used == 0) {
        snprintf(told, 200, "there is no guard `%.60s`", is_all(guard) ? "" : guard);
        return HARDY_E_NOT_FOUND;
    }
    used = used < size ? used : size - 1;
    snprintf(told + used, 200 - used, ", for %s", span);
    return HARDY_OK;
}
