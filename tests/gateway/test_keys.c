/* SPDX-License-Identifier: Apache-2.0 */
/* Each key of `gateway:` and `upstreams:` changes what it says. A key that no test names fails the
 * last one. */
#include "base/log.h"
#include "base/str.h"
#include "support.h"

#define MESSAGES "/up/v1/messages"
#define BODY "{\"model\":\"m-1\",\"max_tokens\":9,\"messages\":[]}"
#define GOOD "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

static const char *const good[] = {GOOD, GOOD, GOOD, GOOD, GOOD, GOOD, GOOD, GOOD};

static void max_body(void **state) {
    (void)state;
    char body[3000];
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){
                        .answers = good, .count = 8, .gateway_keys = ", max_body: 2KiB"});
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 413);
    asked_free(&a);
    body[2048] = '\0';
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 200);
    asked_free(&a);
    bench_end(&b);
}

/* A request of whose body a part has come, and no more comes. */
static void send_half(struct bench *b, struct raw_client *c, size_t len, size_t of) {
    static char text[2 << 20];
    int head = snprintf(
        text, 200, "POST " MESSAGES " HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
        of);
    memset(text + head, 'x', len);
    *c = (struct raw_client){.send = text, .len = (size_t)head + len};
    text[(size_t)head + len] = '\0';
    raw_client_open(c, &b->w, gateway_port(b->gateway));
}

static void leave(struct bench *b, struct raw_client *c) {
    stream_close(c->stream, CLOSE_RESET);
    while (!c->closed) {
        world_run(&b->w);
    }
    raw_client_free(c);
    world_wait(&b->w, 100 * HARDY_MILLISECOND);
}

static void max_memory(void **state) {
    (void)state;
    struct bench b;
    struct asked a;
    struct raw_client half;
    bench_begin(&b, &(struct bench_options){
                        .answers = good, .count = 8, .gateway_keys = ", max_memory: 1MiB"});
    send_half(&b, &half, 1000000, 1048576);
    world_wait(&b.w, HARDY_SECOND);
    char body[100000];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 503);
    assert_int_equal(header_number(&a, "retry-after"), 1);
    asked_free(&a);
    leave(&b, &half);
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 200);
    asked_free(&a);
    bench_end(&b);
}

static void max_connections(void **state) {
    (void)state;
    struct bench b;
    struct asked a;
    struct raw_client c[3];
    bench_begin(&b, &(struct bench_options){
                        .answers = good, .count = 8, .gateway_keys = ", max_connections: 3"});
    for (size_t i = 0; i < 3; i++) {
        send_half(&b, &c[i], 10, 1000);
    }
    world_wait(&b.w, HARDY_SECOND);
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 503);
    asked_free(&a);
    for (size_t i = 0; i < 3; i++) {
        leave(&b, &c[i]);
    }
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 200);
    asked_free(&a);
    bench_end(&b);
}

static void hosts(void **state) {
    (void)state;
    static const struct {
        const char *host;
        int status;
    } cases[] = {{"gateway.example", 200}, {"other.example", 421}, {"127.0.0.1:1", 200}};
    struct bench b;
    bench_begin(&b, &(struct bench_options){
                        .answers = good, .count = 8, .gateway_keys = ", hosts: [gateway.example]"});
    for (size_t i = 0; i < 3; i++) {
        char request[200], wanted[20];
        snprintf(request, sizeof request,
                 "GET /up/v1/models HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 cases[i].host);
        snprintf(wanted, sizeof wanted, "HTTP/1.1 %d ", cases[i].status);
        assert_true(str_starts(raw_talk(&b.w, gateway_port(b.gateway), request, 0), wanted));
    }
    bench_end(&b);
}

static void keep_requests(void **state) {
    (void)state;
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){
                        .answers = good, .count = 8, .gateway_keys = ", keep_requests: 2"});
    for (int i = 0; i < 4; i++) {
        ask(&b, &a, "POST", MESSAGES, BODY, NULL);
        asked_free(&a);
    }
    assert_non_null(records_at(gateway_records(b.gateway), 1));
    assert_null(records_at(gateway_records(b.gateway), 2));
    bench_end(&b);
}

#define HALF                                                                                       \
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"     \
    "32\r\nevent: content_block_delta\ndata: {\"padding\":123}\n\n\r\n"
#define STREAM "{\"model\":\"m-1\",\"max_tokens\":9,\"stream\":true,\"messages\":[]}"

static void heartbeat(void **state) {
    (void)state;
    static const struct {
        const char *keys;
        int comments; /* in ten seconds */
    } cases[] = {{", heartbeat: 2s", 4}, {", heartbeat: never", 0}};
    for (size_t i = 0; i < 2; i++) {
        const char *answers[] = {HALF};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){
                            .answers = answers, .count = 1, .gateway_keys = cases[i].keys});
        ask_begin(&b, &a, "POST", MESSAGES, STREAM, NULL);
        world_wait(&b.w, 10 * HARDY_SECOND);
        int comments = 0;
        for (const char *at = a.log.body.data; (at = strstr(at, ": keepalive\n\n")); at++) {
            comments++;
        }
        assert_int_equal(comments, cases[i].comments);
        http_call_cancel(a.log.call);
        world_wait(&b.w, HARDY_SECOND);
        call_free(&a.log);
        bench_end(&b);
    }
}

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

static void drain(void **state) {
    (void)state;
    const char *answers[] = {HALF};
    struct bench b;
    struct asked a;
    bool done = false;
    bench_begin(
        &b, &(struct bench_options){.answers = answers, .count = 1, .gateway_keys = ", drain: 5s"});
    ask_begin(&b, &a, "POST", MESSAGES, STREAM, NULL);
    world_wait(&b.w, HARDY_SECOND);
    gateway_drain(b.gateway, set_true, &done);
    world_wait(&b.w, 4500 * HARDY_MILLISECOND);
    assert_int_equal(a.log.ends, 0);
    world_wait(&b.w, 2 * HARDY_SECOND);
    assert_int_equal(a.log.ends, 1);
    assert_non_null(strstr(a.log.body.data, "event: error"));
    world_wait(&b.w, 5 * HARDY_SECOND);
    assert_true(done);
    asked_free(&a);
    bench_end(&b);
}

/* Answers of other services: small ones of known length are whole or not at all, unless they are to
 * be handed on as they come. */
static void streams(void **state) {
    (void)state;
    for (int on = 0; on < 2; on++) {
        const char *answers[] = {"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", GOOD};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers,
                                                .count = 2,
                                                .protocol = "http",
                                                .upstream_keys = on ? ", streams: true" : ""});
        b.upstream.close_after = true;
        ask(&b, &a, "GET", "/up/x", NULL, NULL);
        if (on) {
            assert_int_equal(a.log.fails, 1); /* cut, so that nobody takes it for whole */
            assert_string_equal(a.log.body.data, "half");
        } else {
            assert_string_equal(a.log.body.data, "{}"); /* tried again */
        }
        assert_int_equal(b.upstream.next, on ? 1 : 2);
        asked_free(&a);
        bench_end(&b);
    }
}

static void guard(void **state) {
    (void)state;
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = good,
                                            .count = 0,
                                            .upstream_keys = ", guard: hasty",
                                            .sections = "guards: {hasty: {deadline: 3s}}\n"});
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 529);
    expect_between(took(&a), 2900 * HARDY_MILLISECOND, 3100 * HARDY_MILLISECOND);
    assert_string_equal(last_record(&b)->guard, "hasty");
    asked_free(&a);
    bench_end(&b);
}

/* --- all of them ------------------------------------------------------------------------------ */

static bool is_named(void *ctx, const char *path, const struct schema_key *key) {
    /* Here, or where it says. */
    static const char *const named[] = {
        "listen", /* tests/gateway/test_limits.c: keys are not offered to everybody */
        "hosts",
        "clients",        /* test_limits.c: keys and clients */
        "clients[].name", /* there too */
        "clients[].token_file",
        "max_body",
        "max_memory",
        "max_connections",
        "drain",
        "heartbeat",
        "keep_requests",
        "name", /* test_gateway.c: paths are found */
        "url",
        "protocol", /* test_gateway.c: passing trouble ends in the client's protocol */
        "guard",
        "key_file", /* test_limits.c: keys and clients */
        "streams",
    };
    (void)key;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        if (str_eq(named[i], path)) {
            return true;
        }
    }
    print_error("no test names the key %s\n", path);
    ++*(int *)ctx;
    return true;
}

static void every_key_is_named(void **state) {
    (void)state;
    int missing = 0;
    schema_each(&gateway_section, is_named, &missing);
    schema_each(&upstream_section, is_named, &missing);
    assert_int_equal(missing, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_body),        cmocka_unit_test(max_memory),
        cmocka_unit_test(max_connections), cmocka_unit_test(hosts),
        cmocka_unit_test(keep_requests),   cmocka_unit_test(heartbeat),
        cmocka_unit_test(drain),           cmocka_unit_test(streams),
        cmocka_unit_test(guard),           cmocka_unit_test(every_key_is_named),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
