/* SPDX-License-Identifier: Apache-2.0 */
#include "pager.h"
#include "base/str.h"
#include "http/server.h"
#include "io/sim.h"
#include <stdlib.h>
#include <string.h>

static void take(struct pager *p, struct http_request *r) {
    size_t len;
    const char *body = http_request_body(r, &len);
    const char *key = http_headers_get(http_request_headers(r), "Idempotency-Key");
    if (p->count == PAGER_KEPT)
        return;
    p->taken[p->count] = json_loadb(body, len, 0, NULL);
    p->keys[p->count++] = str_dup(key ? key : "");
}

static void answer(struct pager *p, struct http_request *r, int well, const char *type,
                   const char *text) {
    size_t n = p->asked++;
    int status = p->always ? p->always : n < p->answer_count ? p->answers[n] : well;
    if (status == 0) {
        if (p->hanging_count < PAGER_KEPT)
            p->hanging[p->hanging_count++] = r;
        return;
    }
    if (status == well)
        take(p, r);
    struct http_headers headers;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    if (p->retry_after && status == 429 &&
        http_headers_add(&headers, "Retry-After", p->retry_after) != HARDY_OK)
        abort();
    const char *body = status == well ? text : p->words ? p->words : "";
    http_respond(r, status, &headers, type, body, strlen(body));
    http_headers_free(&headers);
}

static void page(void *ctx, struct http_request *r) {
    answer(ctx, r, 200, "text/plain", "");
}

static void enqueue(void *ctx, struct http_request *r) {
    answer(ctx, r, 202, "application/json",
           "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"k\"}");
}

static void hook(void *ctx, struct http_request *r) {
    answer(ctx, r, 200, "text/plain", "ok");
}

void pager_open(struct pager *p, struct loop *loop) {
    static const struct http_route routes[] = {
        {.method = "POST", .path = "/page", .body_max = 1 << 20, .handle = page},
        {.method = "POST", .path = "/v2/enqueue", .body_max = 1 << 20, .handle = enqueue},
        {.method = "POST", .path = "/hook", .body_max = 1 << 20, .handle = hook}};
    struct http_server_options options;
    p->loop = loop;
    http_server_options_init(&options);
    options.port = PAGER_PORT;
    options.routes = routes;
    options.route_count = sizeof routes / sizeof *routes;
    options.ctx = p;
    sim_outside(loop, true);
    if (http_server_open(loop, &options, &p->server, NULL) != HARDY_OK)
        abort();
    sim_outside(loop, false);
}

void pager_close(struct pager *p) {
    if (!p->server)
        return;
    for (size_t n = 0; n < p->hanging_count; n++)
        http_respond_abort(p->hanging[n], CLOSE_SHUTDOWN, "");
    p->hanging_count = 0;
    sim_outside(p->loop, true);
    http_server_drain(p->server, loop_now(p->loop), NULL, NULL);
    sim_outside(p->loop, false);
    p->server = NULL;
}

void pager_free(struct pager *p) {
    for (size_t n = 0; n < p->count; n++) {
        json_decref(p->taken[n]);
        free(p->keys[n]);
    }
    memset(p, 0, sizeof *p);
}

const char *pager_text(const struct pager *p, size_t n, const char *key) {
    const char *text = n < p->count ? json_string_value(json_object_get(p->taken[n], key)) : NULL;
    return text ? text : "";
}
