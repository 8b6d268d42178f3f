/* SPDX-License-Identifier: Apache-2.0 */
#include "health/serve.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "http/problem.h"
#include "http/server.h"
#include "http/url.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_REPORT = 1 << 20 };
static const int64_t drain_limit = 200 * HARDY_MILLISECOND;

static const struct schema_key health_keys[] = {
    {.name = "listen",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct health_settings, listen),
     .help = "HOST:PORT where /health/live, /health/ready and /metrics are served; nowhere without "
             "it"},
    {.name = "hosts",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct health_settings, hosts),
     .help = "names it may be called by, besides localhost and addresses"},
};
const struct schema_section health_section = {"health", health_keys,
                                              sizeof health_keys / sizeof *health_keys,
                                              sizeof(struct health_settings)};

static hardy_status parse_listen(const char *text, struct http_authority *out, hardy_error *error) {
    hardy_status status = http_authority_parse(text, strlen(text), out, error);
    /* ":0" and no port at all cannot be told apart, and a port nobody knows helps nobody. */
    if (status == HARDY_OK && out->port == 0)
        status = fail(error, HARDY_E_SYNTAX, NULL, "`%s` has no port", text);
    return status;
}

hardy_status health_settings_read(const struct config *config, struct health_settings *out,
                                  hardy_error *error) {
    const struct yaml_node *node = config_section(config, "health");
    hardy_status status = schema_read(&health_section, node, out, error);
    struct http_authority address;
    if (status == HARDY_OK && out->listen && parse_listen(out->listen, &address, NULL) != HARDY_OK)
        status = yaml_fail(yaml_get(node, "listen"), error,
                           "health: `%s` is not HOST:PORT, such as 127.0.0.1:4275", out->listen);
    return status;
}

void health_settings_free(struct health_settings *s) {
    schema_free(&health_section, s);
}

struct health_server {
    struct loop *loop;
    const struct health_view *view; /* NULL: stopped */
    struct http_server *server;
    void (*gone)(void *ctx);
    void *ctx;
};

static void answer(struct http_request *r, int status, const char *body, size_t len) {
    struct http_headers headers;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    hardy_status added = http_headers_add(&headers, "Cache-Control", "no-store");
    http_respond(r, status, added == HARDY_OK ? &headers : NULL, "application/health+json", body,
                 len);
    http_headers_free(&headers);
}

void health_answer_live(struct http_request *r) {
    static const char body[] = "{\"status\":\"pass\"}";
    answer(r, 200, body, sizeof body - 1);
}

static bool from_here(const struct http_request *r) {
    const char *peer = http_request_peer(r);
    return str_starts(peer, "127.") || str_starts(peer, "[::1]") ||
           str_starts(peer, "[::ffff:127.");
}

static const char failing[] = "{\"status\":\"fail\"}";

void health_answer_ready(const struct health_view *view, struct http_request *r) {
    struct buf body;
    bool good = false;
    buf_init(&body, MAX_REPORT);
    const char *objection = view->objection ? view->objection(view->ctx) : NULL;
    health_report(view->health, objection, from_here(r), &body, &good);
    if (body.len == 0 || body.failed)
        answer(r, good ? 200 : 503, failing, sizeof failing - 1);
    else
        answer(r, good ? 200 : 503, body.data, body.len);
    buf_free(&body);
}

static void live(void *ctx, struct http_request *r) {
    (void)ctx;
    health_answer_live(r);
}

static void ready(void *ctx, struct http_request *r) {
    const struct health_server *s = ctx;
    if (s->view)
        health_answer_ready(s->view, r);
    else
        answer(r, 503, failing, sizeof failing - 1);
}

static void metrics(void *ctx, struct http_request *r) {
    const struct health_server *s = ctx;
    if (s->view && s->view->metrics)
        s->view->metrics(s->view->ctx, r);
    else
        http_problem(r, 404, NULL, NULL, NULL, "nothing is measured here");
}

static const struct http_route routes[] = {
    {.method = "GET", .path = "/health/live", .handle = live},
    {.method = "GET", .path = "/health/ready", .handle = ready},
    {.method = "GET", .path = "/metrics", .handle = metrics},
};

hardy_status health_serve(struct loop *loop, const struct health_settings *settings,
                          const struct health_view *view, struct health_server **out,
                          hardy_error *error) {
    struct http_server_options options;
    struct http_authority address;
    hardy_status status = parse_listen(settings->listen, &address, error);
    if (status != HARDY_OK)
        return status;
    struct health_server *s = calloc(1, sizeof *s);
    if (!s)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to serve %s", settings->listen);
    s->loop = loop;
    s->view = view;
    http_server_options_init(&options);
    options.host = address.host;
    options.port = address.port;
    options.routes = routes;
    options.route_count = sizeof routes / sizeof *routes;
    options.hosts = (const char *const *)settings->hosts.items;
    options.host_count = settings->hosts.count;
    options.ctx = s;
    status = http_server_open(loop, &options, &s->server, error);
    if (status != HARDY_OK) {
        free(s);
        return status;
    }
    *out = s;
    return HARDY_OK;
}

uint16_t health_server_port(const struct health_server *s) {
    return http_server_port(s->server);
}

static void on_drained(void *ctx) {
    struct health_server *s = ctx;
    void (*gone)(void *ctx) = s->gone;
    void *gone_ctx = s->ctx;
    free(s);
    if (gone)
        gone(gone_ctx);
}

void health_server_stop(struct health_server *s, void (*gone)(void *ctx), void *ctx) {
    s->view = NULL;
    s->gone = gone;
    s->ctx = ctx;
    http_server_drain(s->server, time_add(loop_now(s->loop), drain_limit), on_drained, s);
}
