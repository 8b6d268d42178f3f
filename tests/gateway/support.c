/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"
#include "base/str.h"

static struct config *make_config(const struct bench *b, const struct bench_options *o) {
    hardy_error error;
    struct config *config;
    char text[8192];
    hardy_error_init(&error, sizeof error);
    snprintf(text, sizeof text,
             "gateway: {listen: \"127.0.0.1:0\"%s}\n"
             "upstreams: {up: {url: \"http://127.0.0.1:%u\", protocol: %s%s}}\n%s",
             o->gateway_keys ? o->gateway_keys : "", b->upstream.port,
             o->protocol ? o->protocol : "anthropic", o->upstream_keys ? o->upstream_keys : "",
             o->sections ? o->sections : "");
    if (config_load_bytes("test.yaml", text, strlen(text), &config, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return config;
}

static void load(struct bench *b, const struct bench_options *o) {
    struct gateway_settings settings;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct config *config = make_config(b, o);
    hardy_status status = gateway_settings_read(config, &settings, &error);
    if (status == HARDY_OK) {
        status = b->gateway ? gateway_reload(b->gateway, config, &settings, &error)
                            : gateway_open(b->w.loop, config, &settings, NULL, &b->gateway, &error);
    }
    if (status != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    config_free(config);
}

void bench_begin(struct bench *b, const struct bench_options *options) {
    struct sim_options sim;
    memset(b, 0, sizeof *b);
    sim_options_init(&sim);
    sim.end = 100 * HARDY_HOUR;
    world_begin(&b->w, &sim);
    raw_server_open(&b->upstream, &b->w, options->answers, options->count);
    load(b, options);
    b->client = client_new(&b->w);
}

void bench_reload(struct bench *b, const struct bench_options *options) {
    load(b, options);
}

static void drained(void *ctx) {
    *(bool *)ctx = true;
}

void bench_end(struct bench *b) {
    bool done = false;
    http_client_free(b->client);
    if (!gateway_is_draining(b->gateway)) {
        gateway_drain(b->gateway, drained, &done);
        for (int i = 0; i < 1000 && !done; i++) {
            world_wait(&b->w, HARDY_SECOND);
        }
        assert_true(done);
    }
    assert_int_equal(gateway_active(b->gateway), 0);
    gateway_free(b->gateway);
    raw_server_close(&b->upstream);
    world_end(&b->w);
}

static void begin(struct bench *b, struct asked *a, const char *method, const char *path,
                  const char *body, va_list pairs) {
    struct http_call_options o;
    struct http_headers headers;
    struct http_url url;
    char text[300];
    const char *name;
    memset(a, 0, sizeof *a);
    http_headers_init(&headers, 50, 16384);
    while ((name = va_arg(pairs, const char *)) != NULL) {
        assert_int_equal(http_headers_add(&headers, name, va_arg(pairs, const char *)), HARDY_OK);
    }
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", gateway_port(b->gateway), path);
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    http_call_options_init(&o);
    o.method = method;
    o.url = &url;
    o.headers = &headers;
    o.body = body;
    o.body_len = body ? strlen(body) : 0;
    a->began = loop_now(b->w.loop);
    call_begin(&a->log, &b->w, b->client, &o);
    http_url_free(&url);
    http_headers_free(&headers);
}

void ask_begin(struct bench *b, struct asked *a, const char *method, const char *path,
               const char *body, ...) {
    va_list pairs;
    va_start(pairs, body);
    begin(b, a, method, path, body, pairs);
    va_end(pairs);
}

void ask(struct bench *b, struct asked *a, const char *method, const char *path, const char *body,
         ...) {
    va_list pairs;
    va_start(pairs, body);
    begin(b, a, method, path, body, pairs);
    va_end(pairs);
    a->log.stop = true;
    while (a->log.call) {
        world_run(&b->w);
    }
    world_wait(&b->w, 10 * HARDY_MILLISECOND); /* what the gateway notes after the last byte */
}

void asked_free(struct asked *a) {
    call_free(&a->log);
}

bool has_header(const struct asked *a, const char *line) {
    char text[400];
    snprintf(text, sizeof text, "%s\r\n", line);
    const char *at = strcasestr(a->log.headers.data, text);
    return at && (at == a->log.headers.data || at[-1] == '\n');
}

int64_t header_number(const struct asked *a, const char *name) {
    char text[100];
    snprintf(text, sizeof text, "%s: ", name);
    const char *at = strcasestr(a->log.headers.data, text);
    return at ? strtoll(at + strlen(text), NULL, 10) : -1;
}

int64_t took(const struct asked *a) {
    return a->log.ended - a->began;
}

const struct request_record *last_record(const struct bench *b) {
    const struct request_record *r = records_at(gateway_records(b->gateway), 0);
    assert_non_null(r);
    return r;
}

#define ANSWERS 64
static char *texts[ANSWERS];
static size_t next_text;

static const char *keep(char *text) {
    assert_non_null(text);
    free(texts[next_text % ANSWERS]);
    texts[next_text++ % ANSWERS] = text;
    return text;
}

const char *json_answer(int status, const char *headers, const char *body) {
    return keep(str_format("HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%s"
                           "content-length: %zu\r\n\r\n%s",
                           status, headers, strlen(body), body));
}

const char *sse_answer(const char *events) {
    return keep(str_format("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                           "request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n"
                           "%zx\r\n%s\r\n0\r\n\r\n",
                           strlen(events), events));
}
