/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_SUPPORT_H
#define TESTS_GATEWAY_SUPPORT_H
/* A gateway in a simulated world between raw clients and a raw upstream. */
#include "../http/support.h"
#include "gateway/gateway.h"

struct bench {
    struct world w;
    struct raw_server upstream;
    struct gateway *gateway;
    struct http_client *client;
};
/* What stands in the configuration besides addresses; `answers` as raw_server's. */
struct bench_options {
    const char *protocol;      /* "anthropic" by default */
    const char *gateway_keys;  /* ", drain: 5s" */
    const char *upstream_keys; /* ", guard: g" */
    const char *sections;      /* further YAML */
    const char *const *answers;
    size_t count;
};
void bench_begin(struct bench *b, const struct bench_options *options);
void bench_end(struct bench *b);
/* Loads other settings into the gateway. */
void bench_reload(struct bench *b, const struct bench_options *options);

/* POST to the gateway; headers are pairs, ended by NULL. Runs to its end. */
struct asked {
    struct call_log log;
    int64_t began;
};
void ask(struct bench *b, struct asked *a, const char *method, const char *path, const char *body,
         ...) __attribute__((sentinel));
/* The same without waiting for its end. */
void ask_begin(struct bench *b, struct asked *a, const char *method, const char *path,
               const char *body, ...) __attribute__((sentinel));
void asked_free(struct asked *a);
bool has_header(const struct asked *a, const char *line); /* "x-hardy-attempts: 3" */
int64_t header_number(const struct asked *a, const char *name);
int64_t took(const struct asked *a);
const struct request_record *last_record(const struct bench *b);

/* One HTTP answer as text; static storage of a few answers. */
const char *json_answer(int status, const char *headers, const char *body);
const char *sse_answer(const char *events); /* chunked, complete */
#endif
