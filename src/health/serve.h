/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_SERVE_H
#define HEALTH_SERVE_H
/*
 * GET /health/live: 200 while the process answers; looks at nothing else. GET /health/ready: 200,
 * or 503 while a critical check is not up. Both from what is known already, so that a hung check
 * cannot hold an answer back. Who asks over the loopback is told each check; strangers only the
 * sum.
 */
#include "health/check.h"

struct http_request;

struct health_settings {         /* `health:` */
    char *listen;                /* "127.0.0.1:4275"; NULL = nothing is served */
    struct schema_strings hosts; /* names, besides localhost and addresses, it may be called by */
};
extern const struct schema_section health_section;
hardy_status health_settings_read(const struct config *config, struct health_settings *out,
                                  hardy_error *error);
void health_settings_free(struct health_settings *s);

/* What is answered. */
struct health_view {
    const struct health *health; /* NULL: there are no checks */
    /* Why the process is not ready whatever the checks say, NULL = it is; may be NULL. */
    const char *(*objection)(void *ctx);
    /* Answers GET /metrics; NULL: 404. */
    void (*metrics)(void *ctx, struct http_request *request);
    void *ctx;
};
/* For other servers that answer these paths too. */
void health_answer_live(struct http_request *r);
void health_answer_ready(const struct health_view *view, struct http_request *r);

struct health_server;
/* `view` and `settings` borrowed until stopped. E_EXISTS: the port is taken; E_READONLY: not
 * permitted. */
hardy_status health_serve(struct loop *loop, const struct health_settings *settings,
                          const struct health_view *view, struct health_server **out,
                          hardy_error *error);
uint16_t health_server_port(const struct health_server *s);
/* `gone` is called, from the loop, when its last connection is closed and it is freed. */
void health_server_stop(struct health_server *s, void (*gone)(void *ctx), void *ctx);
#endif
