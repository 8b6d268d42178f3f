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

static void serve(void *ctx, struct http_request *r) {
    struct pager *p = ctx;
    size_t n = p->asked++;
    int status = p->always ? p->always : n < p->answer_count ? p->answers[n] : 200;
    if (status == 0) {
        if (p->hanging_count < PAGER_KEPT)
            p->hanging[p->hanging_count++] = r;
        return;
    }
    if (status == 200)
        take(p, r);
    http_respond_text(r, status, "text/plain", "");
}

void pager_open(struct pager *p, struct loop *loop) {
    static const struct http_route routes[] = {
        {.method = "POST", .path = "/page", .body_max = 1 << 20, .handle = serve}};
    struct http_server_options options;
    p->loop = loop;
    http_server_options_init(&options);
    options.port = PAGER_PORT;
    options.routes = routes;
    options.route_count = 1;
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
