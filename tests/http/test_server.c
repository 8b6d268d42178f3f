/* SPDX-License-Identifier: Apache-2.0 */
/* The server against raw bytes: what it answers, what it refuses, and what ends a connection. Runs
 * on a simulated loop (all waits) and on the kernel's (what needs no waiting). */
#include "base/clock.h"
#include "base/str.h"
#include "http/problem.h"
#include "http/server.h"
#include "support.h"

#define HOST "Host: localhost\r\n"
#define CLOSE "Connection: close\r\n"

struct fixture {
    struct world w;
    struct http_server *server;
    uint16_t port;
    struct buf log; /* what handlers and the server's callbacks saw */
    struct http_request *held;
    struct loop_timer timer;
    int64_t delay;
    int said;
    struct http_request *kept[10];
    size_t kept_count;
    int64_t received; /* of the last one kept */
    size_t closes;
    enum close_reason reason; /* of the last close */
    char detail[200];
    bool drained, stop_on_close;
};

static struct fixture *the; /* cmocka's tests and these handlers share one world at a time */

static void handle_hello(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    buf_printf(&f->log, "%s %s?%s\n", http_request_method(r), http_request_path(r),
               http_request_query(r));
    http_respond_text(r, 200, "text/plain", "hello");
}

static void handle_echo(void *ctx, struct http_request *r) {
    size_t len;
    const char *body = http_request_body(r, &len);
    (void)ctx;
    http_respond(r, 200, NULL, "application/octet-stream", body, len);
}

static void answer_held(struct loop_timer *timer) {
    struct fixture *f = timer->ctx;
    struct http_request *r = f->held;
    f->held = NULL;
    buf_puts(&f->log, http_request_gone(r) ? "late, gone\n" : "late\n");
    http_respond_text(r, 200, "text/plain", "late");
}

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct fixture *f = ctx;
    (void)r;
    buf_printf(&f->log, "gone: %s\n", close_reason_text(reason));
}

static void handle_later(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {.gone = on_gone};
    struct fixture *f = ctx;
    http_request_read(r, &events, f);
    f->held = r;
    loop_timer_init(&f->timer, answer_held, f);
    loop_timer_start(f->w.loop, &f->timer, time_add(loop_now(f->w.loop), f->delay));
}

static void handle_stream(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_begin(r, 200, NULL, "text/event-stream", -1);
    assert_true(http_respond_data(r, "one", 3));
    assert_true(http_respond_data(r, "", 0)); /* would end a chunked answer */
    assert_true(http_respond_data(r, "two", 3));
    http_respond_end(r);
}

static void handle_cut(void *ctx, struct http_request *r) {
    (void)ctx;
    if (strcmp(http_request_query(r), "short") == 0) {
        http_respond_begin(r, 200, NULL, NULL, 10);
        http_respond_data(r, "12345", 5);
        http_respond_end(r);
    } else if (strcmp(http_request_query(r), "long") == 0) {
        http_respond_begin(r, 200, NULL, NULL, 3);
        assert_false(http_respond_data(r, "12345", 5));
        http_respond_end(r);
    } else {
        http_respond_begin(r, 200, NULL, NULL, -1);
        http_respond_data(r, "12345", 5);
        http_respond_abort(r, CLOSE_ERROR, "upstream failed");
    }
}

static void handle_empty(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond(r, 204, NULL, NULL, NULL, 0);
}

static void handle_headers(void *ctx, struct http_request *r) {
    struct http_headers h;
    (void)ctx;
    http_headers_init(&h, 10, 1000);
    assert_int_equal(http_headers_add(&h, "x-one", "1"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Content-Length", "99"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Transfer-Encoding", "chunked"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Connection", "close"), HARDY_OK);
    http_respond(r, 201, &h, NULL, "ok", 2);
    http_headers_free(&h);
}

static void gone_and_end(void *ctx, struct http_request *r, enum close_reason reason) {
    on_gone(ctx, r, reason);
    http_respond_end(r);
}

static void body_data(void *ctx, struct http_request *r, const char *data, size_t len) {
    (void)ctx;
    http_respond_data(r, data, len);
}

static void body_end(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_data(r, "|end", 4);
    http_respond_end(r);
}

/* Both ways at once: what comes in goes out. */
static void handle_duplex(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {
        .data = body_data, .end = body_end, .gone = gone_and_end};
    http_request_read(r, &events, ctx);
    http_respond_begin(r, 200, NULL, NULL, -1);
}

static void handle_early(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_text(r, 401, "text/plain", "no"); /* without its body */
}

static void big_drained(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    buf_puts(&f->log, "drained\n");
    http_respond_end(r);
}

/* More than a socket takes at once: the kernel's take megabytes. */
static void handle_big(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    int blocks = f->w.simulated ? 2 : 32;
    static const struct http_request_events events = {.drained = big_drained, .gone = gone_and_end};
    static char block[1 << 20];
    http_request_read(r, &events, ctx);
    memset(block, 'x', sizeof block);
    http_respond_begin(r, 200, NULL, NULL, blocks * (int64_t)sizeof block);
    for (int i = 0; i < blocks; i++) {
        assert_true(http_respond_data(r, block, sizeof block));
    }
    assert_true(http_respond_unsent(r) > 0);
}

static void on_closed(void *ctx, const char *peer, enum close_reason reason, const char *detail) {
    struct fixture *f = ctx;
    assert_non_null(strstr(peer, ":"));
    f->closes++;
    f->reason = reason;
    str_copy(f->detail, sizeof f->detail, detail);
    if (f->stop_on_close) {
        world_stop(&f->w);
    }
}

/* The head now; an event, another and the end each `delay` later. */
static void say_more(struct loop_timer *timer) {
    struct fixture *f = timer->ctx;
    f->said++;
    if (f->said <= 2) {
        http_respond_data(f->held, f->said == 1 ? "one" : "two", 3);
        loop_timer_start(f->w.loop, timer, time_add(loop_now(f->w.loop), f->delay));
    } else {
        http_respond_end(f->held);
        f->held = NULL;
    }
}

static void handle_events(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    f->held = r;
    f->said = 0;
    http_respond_begin(r, 200, NULL, "text/event-stream", -1);
    loop_timer_init(&f->timer, say_more, f);
    loop_timer_start(f->w.loop, &f->timer, time_add(loop_now(f->w.loop), f->delay));
}

/* Kept until answer_all(). */
static void handle_keep(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    assert_true(f->kept_count < sizeof f->kept / sizeof *f->kept);
    f->kept[f->kept_count++] = r;
    f->received = http_request_received(r);
    world_stop(&f->w);
}

static void answer_all(struct fixture *f) {
    while (f->kept_count > 0) {
        struct http_request *r = f->kept[--f->kept_count];
        size_t len;
        const char *body = http_request_body(r, &len);
        http_respond(r, 200, NULL, "application/octet-stream", body, len);
    }
}

static const struct http_route routes[] = {
    {"GET", "/hello", 0, false, handle_hello},      {"POST", "/echo", 100, false, handle_echo},
    {"PUT", "/echo", 100, false, handle_echo},      {NULL, "/later", 100, false, handle_later},
    {"GET", "/stream", 0, false, handle_stream},    {"GET", "/cut", 0, false, handle_cut},
    {"GET", "/empty", 0, false, handle_empty},      {"GET", "/headers", 0, false, handle_headers},
    {"POST", "/duplex", 1000, true, handle_duplex}, {"POST", "/early", 100000, true, handle_early},
    {"GET", "/big", 0, false, handle_big},          {"GET", "/api/*", 0, false, handle_hello},
    {"GET", "/events", 0, false, handle_events},    {"POST", "/keep", 1 << 20, false, handle_keep},
};

static void begin_with(struct fixture *f, bool simulated, struct http_server_options *o) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    memset(f, 0, sizeof *f);
    the = f;
    world_calm(&f->w, simulated);
    buf_init(&f->log, 100000);
    buf_puts(&f->log, "");
    o->routes = routes;
    o->route_count = sizeof routes / sizeof *routes;
    o->ctx = f;
    o->closed = on_closed;
    if (!simulated) {
        o->linger_limit = 20 * HARDY_MILLISECOND;
    }
    if (http_server_open(f->w.loop, o, &f->server, &error) != HARDY_OK) {
        fail_msg("%s %s", error.where, error.message);
    }
    f->port = http_server_port(f->server);
}

static void begin(struct fixture *f, bool simulated) {
    struct http_server_options o;
    http_server_options_init(&o);
    begin_with(f, simulated, &o);
}

static void on_drained(void *ctx) {
    ((struct fixture *)ctx)->drained = true;
}

static void end(struct fixture *f) {
    http_server_drain(f->server, time_add(loop_now(f->w.loop), HARDY_SECOND), on_drained, f);
    world_end(&f->w);
    assert_true(f->drained);
    buf_free(&f->log);
}

#define TEXT(status, length, rest)                                                                 \
    "HTTP/1.1 " status "\r\ncontent-type: text/plain\r\ncontent-length: " length "\r\n" rest

static void expect_talk(struct fixture *f, const char *send, const char *expected) {
    for (size_t step = 0; step < 3; step++) {
        const char *got = raw_talk(&f->w, f->port, send, step);
        if (strcmp(got, expected) != 0) {
            fail_msg("to \"%s\" (steps of %zu) came \"%s\", expected \"%s\"", send, step, got,
                     expected);
        }
        assert_int_equal(http_server_connections(f->server), 0);
    }
}

/* The first line of the answer. */
static void expect_status(struct fixture *f, const char *send, int status) {
    char line[40];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    for (size_t step = 0; step < 2; step++) {
        const char *got = raw_talk(&f->w, f->port, send, step);
        if (!str_starts(got, line)) {
            fail_msg("to \"%s\" came \"%s\", expected %d", send, got, status);
        }
    }
}

static void answers(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    expect_talk(&f, "GET /hello?a=1 HTTP/1.1\r\n" HOST CLOSE "\r\n",
                TEXT("200 OK", "5", "connection: close\r\n\r\nhello"));
    assert_string_equal(f.log.data, "GET /hello?a=1\nGET /hello?a=1\nGET /hello?a=1\n");
    expect_talk(&f, "GET http://localhost/hello HTTP/1.1\r\n" HOST CLOSE "\r\n",
                TEXT("200 OK", "5", "connection: close\r\n\r\nhello"));
    /* Several on one connection, sent ahead; the last one closes it. */
    expect_talk(&f,
                "GET /hello HTTP/1.1\r\n" HOST "\r\n"
                "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                "PUT /echo HTTP/1.1\r\n" HOST
                "Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\n\r\n"
                "GET /api/v1/x HTTP/1.1\r\n" HOST CLOSE "\r\n",
                TEXT("200 OK", "5",
                     "\r\nhello") "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                  "content-length: 3\r\n\r\nabc"
                                  "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"
                                  "content-length: 3\r\n\r\ndef" TEXT(
                                      "200 OK", "5", "connection: close\r\n\r\nhello"));
    expect_talk(&f, "HEAD /hello HTTP/1.1\r\n" HOST CLOSE "\r\n",
                TEXT("200 OK", "5", "connection: close\r\n\r\n"));
    expect_talk(&f, "GET /empty HTTP/1.1\r\n" HOST CLOSE "\r\n",
                "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    expect_talk(&f, "GET /stream HTTP/1.1\r\n" HOST CLOSE "\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
                "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    /* HTTP/1.0 knows no chunks: the end of the connection ends the answer. */
    expect_talk(&f, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                "connection: close\r\n\r\nonetwo");
    expect_talk(&f,
                "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /hello HTTP/1.0\r\n\r\n",
                TEXT("200 OK", "5", "connection: keep-alive\r\n\r\nhello")
                    TEXT("200 OK", "5", "connection: close\r\n\r\nhello"));
    /* A handler's own framing headers are not believed. */
    expect_talk(&f, "GET /headers HTTP/1.1\r\n" HOST CLOSE "\r\n",
                "HTTP/1.1 201 Created\r\nx-one: 1\r\ncontent-length: 2\r\nconnection: close\r\n"
                "\r\nok");
    expect_talk(&f, "POST /duplex HTTP/1.1\r\n" HOST CLOSE "Content-Length: 0\r\n\r\n",
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
                "4\r\n|end\r\n0\r\n\r\n");
    end(&f);
}

static void refusals(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    expect_talk(&f, "GET /nowhere HTTP/1.1\r\n" HOST CLOSE "\r\n",
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/problem+json\r\n"
                "content-length: 75\r\nconnection: close\r\n\r\n"
                "{\"title\":\"Not Found\",\"status\":404,\"detail\":\"there is nothing at this "
                "path\"}");
    expect_talk(&f, "DELETE /echo HTTP/1.1\r\n" HOST CLOSE "\r\n",
                "HTTP/1.1 405 Method Not Allowed\r\ncontent-type: application/problem+json\r\n"
                "allow: POST, PUT\r\ncontent-length: 82\r\nconnection: close\r\n\r\n"
                "{\"title\":\"Method Not Allowed\",\"status\":405,\"detail\":\"this path has other "
                "methods\"}");
    expect_status(&f, "GET /api HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    expect_status(&f, "GET /hello/ HTTP/1.1\r\n" HOST CLOSE "\r\n", 404);
    expect_status(&f, "CONNECT a:1 HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    expect_status(&f, "GET * HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    expect_status(&f, "GET http://other/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    expect_status(&f, "GET https://localhost/hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    expect_status(&f, "GET hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 400);
    /* Behind a refusal nothing is read: what may look like a second request is not one. */
    f.log.len = 0;
    expect_status(&f,
                  "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: "
                  "chunked\r\n\r\n0\r\n\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n",
                  400);
    assert_int_equal(f.log.len, 0);
    assert_int_equal(f.reason, CLOSE_PROTOCOL);
    assert_non_null(strstr(f.detail, "Transfer-Encoding"));
    expect_status(&f, "GET /hello HTTP/3.0\r\n" HOST "\r\n", 505);
    /* Bodies: one byte more than the path takes, announced or not; and a broken one. */
    struct buf big;
    buf_init(&big, 10000);
    buf_puts(&big, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n65\r\n");
    for (int i = 0; i < 101; i++) {
        buf_putc(&big, 'x');
    }
    expect_status(&f, big.data, 413);
    assert_int_equal(f.reason, CLOSE_TOO_LARGE);
    expect_status(&f, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n", 413);
    assert_int_equal(f.reason, CLOSE_TOO_LARGE);
    expect_status(
        &f, "POST /echo HTTP/1.1\r\n" HOST CLOSE "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400);
    /* A head of more than 16 KiB, and one of more than 100 fields. */
    buf_free(&big);
    buf_init(&big, 100000);
    buf_puts(&big, "GET /hello HTTP/1.1\r\n" HOST "X: ");
    for (int i = 0; i < 16500; i++) {
        buf_putc(&big, 'x');
    }
    assert_true(str_starts(raw_talk(&f.w, f.port, big.data, 0), "HTTP/1.1 431 "));
    assert_int_equal(f.reason, CLOSE_TOO_LARGE);
    buf_reset(&big);
    buf_puts(&big, "GET /hello HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 100; i++) {
        buf_puts(&big, "X: y\r\n");
    }
    buf_puts(&big, "\r\n");
    assert_true(str_starts(raw_talk(&f.w, f.port, big.data, 0), "HTTP/1.1 431 "));
    buf_free(&big);
    /* Cut answers cannot be taken for whole ones: the client sees the end in the middle. */
    assert_null(
        strstr(raw_talk(&f.w, f.port, "GET /cut HTTP/1.1\r\n" HOST "\r\n", 0), "0\r\n\r\n"));
    assert_int_equal(f.reason, CLOSE_ERROR);
    assert_string_equal(f.detail, "upstream failed");
    raw_talk(&f.w, f.port, "GET /cut?short HTTP/1.1\r\n" HOST "\r\n", 0);
    assert_string_equal(f.detail, "an answer shorter than it said");
    raw_talk(&f.w, f.port, "GET /cut?long HTTP/1.1\r\n" HOST "\r\n", 0);
    assert_string_equal(f.detail, "an answer longer than it said");
    end(&f);
}

static void hosts_and_origins(bool simulated) {
    struct fixture f;
    static const char *const names[] = {"hardy.example"};
    struct http_server_options o;
    http_server_options_init(&o);
    o.hosts = names;
    o.host_count = 1;
    begin_with(&f, simulated, &o);
    static const struct {
        const char *headers;
        int status;
    } rows[] = {
        {"Host: localhost\r\n", 200},
        {"Host: LOCALHOST:4274\r\n", 200},
        {"Host: 127.0.0.1\r\n", 200},
        {"Host: 10.1.2.3:80\r\n", 200},
        {"Host: [::1]:80\r\n", 200},
        {"Host: hardy.example\r\n", 200},
        {"Host: HARDY.example:1\r\n", 200},
        {"Host: evil.example\r\n", 421},
        {"Host: localhost.evil.example\r\n", 421},
        {"Host: hardy.example.evil\r\n", 421},
        {"Host: 127.0.0.1.evil\r\n", 421},
        {"Host: \r\n", 400},
        {"Host: a b\r\n", 400},
        {"Host: user@localhost\r\n", 400},
        {"Host: localhost, evil\r\n", 400},
        {"Host: 2130706433\r\n", 400},
        {"Host: localhost\r\nOrigin: http://localhost\r\n", 200},
        {"Host: localhost:81\r\nOrigin: http://localhost:81\r\n", 200},
        {"Host: hardy.example\r\nOrigin: https://hardy.example\r\n", 200},
        {"Host: hardy.example:80\r\nOrigin: http://HARDY.example\r\n", 200},
        {"Host: localhost:81\r\nOrigin: http://localhost:82\r\n", 403},
        {"Host: localhost\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: localhost\r\nOrigin: http://127.0.0.1\r\n", 403},
        {"Host: localhost\r\nOrigin: null\r\n", 403},
        {"Host: localhost\r\nOrigin: http://localhost/\r\n", 403},
        {"Host: localhost\r\nOrigin: http://localhost?\r\n", 403},
        {"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil\r\n", 403},
        {"Host: localhost\r\nOrigin: http://localhost http://evil\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 200},
        {"Host: localhost\r\nSec-Fetch-Site: none\r\n", 200},
        {"Host: localhost\r\nSec-Fetch-Site: same-site\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: \r\n", 403},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300];
        snprintf(text, sizeof text, "GET /hello HTTP/1.1\r\n%s" CLOSE "\r\n", rows[i].headers);
        expect_status(&f, text, rows[i].status);
    }
    end(&f);
    http_server_options_init(&o);
    o.any_host = o.any_origin = true;
    begin_with(&f, simulated, &o);
    expect_status(
        &f, "GET /hello HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://x\r\n" CLOSE "\r\n", 200);
    end(&f);
}

static void expectations(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    /* The body is sent only after "100 Continue": nothing else could make this end well. */
    struct raw_client c = {.expect = "\r\n\r\nHTTP/1.1 200 OK", .step = 0};
    static const char head[] =
        "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    c.send = head;
    c.len = sizeof head - 1;
    c.expect = "HTTP/1.1 100 Continue\r\n\r\n";
    raw_client_open(&c, &f.w, f.port);
    while (!c.closed) {
        world_run(&f.w);
    }
    assert_string_equal(c.got.data, "HTTP/1.1 100 Continue\r\n\r\n");
    raw_client_free(&c);
    /* Not when the body is there already, not for what is refused, not in HTTP/1.0. */
    const char *got = raw_talk(&f.w, f.port,
                               "POST /echo HTTP/1.1\r\n" HOST CLOSE
                               "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
                               0);
    assert_true(str_starts(got, "HTTP/1.1 200 OK\r\n"));
    expect_status(
        &f, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n",
        413);
    expect_status(
        &f, "POST /echo HTTP/1.1\r\n" HOST CLOSE "Expect: miracles\r\nContent-Length: 3\r\n\r\nabc",
        417);
    expect_status(
        &f, "POST /early HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 99\r\n\r\n",
        401);
    got = raw_talk(
        &f.w, f.port,
        "POST /echo HTTP/1.0\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", 1);
    assert_true(str_starts(got, "HTTP/1.1 200 OK\r\n"));
    end(&f);
}

static void streaming(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    const char *got = raw_talk(&f.w, f.port,
                               "POST /duplex HTTP/1.1\r\n" HOST CLOSE
                               "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                               0);
    assert_string_equal(got,
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
                        "\r\n3\r\nabc\r\n2\r\nde\r\n4\r\n|end\r\n0\r\n\r\n");
    /* Broken in its middle, when the answer has begun: the connection ends, the handler is told. */
    f.log.len = 0;
    got = raw_talk(
        &f.w, f.port,
        "POST /duplex HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", 0);
    assert_null(strstr(got, "|end"));
    assert_int_equal(f.reason, CLOSE_PROTOCOL);
    assert_true(str_starts(f.log.data, "gone: "));
    /* A large answer goes out as the client takes it, and its writer hears when it has. */
    f.log.len = 0;
    struct raw_client c = {.send = "GET /big HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    c.len = strlen(c.send);
    raw_client_open(&c, &f.w, f.port);
    while (!c.closed) {
        world_run(&f.w);
    }
    assert_true(c.got.len > (simulated ? 2U : 32U) << 20);
    assert_string_equal(f.log.data, "drained\n");
    raw_client_free(&c);
    end(&f);
}

static void leaving(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    /* The client leaves while its answer is being made: the handler hears of it, answers all the
     * same, and nothing breaks. */
    f.delay = 50 * HARDY_MILLISECOND;
    struct raw_client c = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\nGET /later HTTP/1.1\r\n" HOST
                                   "\r\n",
                           .expect = "hello"};
    c.len = strlen(c.send);
    raw_client_open(&c, &f.w, f.port);
    while (!c.closed) {
        world_run(&f.w);
    }
    while (http_server_connections(f.server) > 0 || f.held) {
        struct raw_client again = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
        again.len = strlen(again.send);
        raw_client_open(&again, &f.w, f.port);
        while (!again.closed) {
            world_run(&f.w);
        }
        raw_client_free(&again);
    }
    assert_non_null(strstr(f.log.data, "gone: "));
    assert_non_null(strstr(f.log.data, "late, gone\n"));
    raw_client_free(&c);
    end(&f);
}

static void draining(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    /* One connection idle, one being answered: the first is closed at once, the second gets its
     * answer, with "connection: close", and then nothing more. */
    f.delay = 30 * HARDY_MILLISECOND;
    struct raw_client idle = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"};
    struct raw_client busy = {.send = "GET /later HTTP/1.1\r\n" HOST
                                      "\r\nGET /hello HTTP/1.1\r\n" HOST "\r\n"};
    idle.len = strlen(idle.send);
    busy.len = strlen(busy.send);
    raw_client_open(&idle, &f.w, f.port);
    raw_client_open(&busy, &f.w, f.port);
    while (!f.held || idle.got.len == 0) {
        struct raw_client other = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
        other.len = strlen(other.send);
        raw_client_open(&other, &f.w, f.port);
        while (!other.closed) {
            world_run(&f.w);
        }
        raw_client_free(&other);
    }
    http_server_drain(f.server, time_add(loop_now(f.w.loop), 10 * HARDY_SECOND), on_drained, &f);
    while (!idle.closed || !busy.closed) {
        world_run(&f.w);
    }
    assert_true(idle.ended < busy.ended);
    assert_string_equal(busy.got.data, TEXT("200 OK", "4", "connection: close\r\n\r\nlate"));
    assert_int_equal(f.reason, CLOSE_SHUTDOWN);
    world_end(&f.w);
    assert_true(f.drained);
    raw_client_free(&idle);
    raw_client_free(&busy);
    buf_free(&f.log);
}

/* A client that asks and does not read: the kernel's buffers fill, and the handler hears the end.
 */
static void test_uv_write_limit(void **state) {
    struct fixture f;
    struct http_server_options o;
    (void)state;
    http_server_options_init(&o);
    o.write_limit = 100 * HARDY_MILLISECOND;
    begin_with(&f, false, &o);
    struct raw_client c = {.send = "GET /big HTTP/1.1\r\n" HOST "\r\n", .stay = true};
    c.len = strlen(c.send);
    raw_client_open(&c, &f.w, f.port);
    f.stop_on_close = true;
    while (f.closes == 0) {
        world_run(&f.w);
    }
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    assert_string_equal(f.detail, "write limit: the client does not read");
    assert_string_equal(f.log.data, "gone: timed out\n");
    stream_close(c.stream, CLOSE_SHUTDOWN);
    while (!c.closed) {
        world_run(&f.w);
    }
    raw_client_free(&c);
    end(&f);
}

/* --- waits: only where time is virtual ------------------------------------------------------- */

static int64_t talk_time(struct fixture *f, struct raw_client *c) {
    int64_t begun = loop_now(f->w.loop);
    c->len = strlen(c->send);
    raw_client_open(c, &f->w, f->port);
    while (!c->closed) {
        world_run(&f->w);
    }
    return c->ended - begun;
}

static void test_limits(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, true);
    /* Connects and says nothing. */
    struct raw_client silent = {.send = ""};
    expect_between(talk_time(&f, &silent), 10 * HARDY_SECOND, 11 * HARDY_SECOND);
    assert_string_equal(silent.got.data, "");
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    raw_client_free(&silent);
    /* A head, one byte a second: no byte buys more time. */
    struct raw_client slow = {.send = "GET /hello HTTP/1.1\r\n" HOST "X: yyyyyyyyyyyyyyyyy\r\n\r\n",
                              .step = 1,
                              .pause = HARDY_SECOND};
    expect_between(talk_time(&f, &slow), 10 * HARDY_SECOND, 13 * HARDY_SECOND);
    assert_true(str_starts(slow.got.data, "HTTP/1.1 408 "));
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    raw_client_free(&slow);
    /* A body, one byte a second. */
    struct raw_client body = {.send = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 99\r\n\r\n"
                                      "0123456789012345678901234567890123456789",
                              .step = 60,
                              .pause = HARDY_SECOND};
    expect_between(talk_time(&f, &body), 30 * HARDY_SECOND, 34 * HARDY_SECOND);
    assert_true(str_starts(body.got.data, "HTTP/1.1 408 "));
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    raw_client_free(&body);
    /* Between two requests. */
    struct raw_client idle = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"};
    expect_between(talk_time(&f, &idle), 75 * HARDY_SECOND, 76 * HARDY_SECOND);
    assert_true(str_starts(idle.got.data, "HTTP/1.1 200 "));
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    assert_string_equal(f.detail, "idle limit");
    raw_client_free(&idle);
    /* The answer takes longer than every limit: nobody is cut off while hardy works. */
    f.delay = HARDY_HOUR;
    struct raw_client patient = {.send = "GET /later HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    expect_between(talk_time(&f, &patient), HARDY_HOUR, HARDY_HOUR + HARDY_SECOND);
    assert_true(str_starts(patient.got.data, "HTTP/1.1 200 "));
    raw_client_free(&patient);
    /* Answered before the body was sent: the client has a moment to read it. */
    struct raw_client early = {.send = "POST /early HTTP/1.1\r\n" HOST
                                       "Content-Length: 99\r\n\r\n0123"};
    expect_between(talk_time(&f, &early), 2 * HARDY_SECOND, 3 * HARDY_SECOND);
    assert_true(str_starts(early.got.data, "HTTP/1.1 401 "));
    assert_string_equal(f.detail, "answered before the request was complete");
    raw_client_free(&early);
    end(&f);
}

static void test_drain_limit(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, true);
    f.delay = HARDY_HOUR;
    struct raw_client c = {.send = "GET /later HTTP/1.1\r\n" HOST "\r\n"};
    c.len = strlen(c.send);
    raw_client_open(&c, &f.w, f.port);
    struct raw_client other = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    talk_time(&f, &other);
    raw_client_free(&other);
    assert_non_null(f.held);
    int64_t begun = loop_now(f.w.loop);
    http_server_drain(f.server, time_add(begun, 5 * HARDY_SECOND), on_drained, &f);
    while (!c.closed) {
        world_run(&f.w);
    }
    expect_between(c.ended - begun, 5 * HARDY_SECOND, 6 * HARDY_SECOND);
    assert_int_equal(f.reason, CLOSE_SHUTDOWN);
    assert_non_null(strstr(f.log.data, "gone: "));
    /* The handler answers an hour later, to nobody. */
    world_end(&f.w);
    assert_true(f.drained);
    assert_non_null(strstr(f.log.data, "late, gone\n"));
    raw_client_free(&c);
    buf_free(&f.log);
}

static void test_too_many(void **state) {
    struct fixture f;
    struct http_server_options o;
    (void)state;
    http_server_options_init(&o);
    o.connection_max = 2;
    begin_with(&f, true, &o);
    struct raw_client held[2] = {{.send = ""}, {.send = ""}};
    raw_client_open(&held[0], &f.w, f.port);
    raw_client_open(&held[1], &f.w, f.port);
    struct raw_client c = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"};
    talk_time(&f, &c);
    assert_true(str_starts(c.got.data, "HTTP/1.1 503 "));
    assert_int_equal(http_server_counts(f.server).accepted, 3);
    assert_int_equal(http_server_counts(f.server).refused, 1);
    raw_client_free(&c);
    while (!held[0].closed || !held[1].closed) {
        world_run(&f.w);
    }
    raw_client_free(&held[0]);
    raw_client_free(&held[1]);
    expect_status(&f, "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    end(&f);
}

/* --- what a gateway needs -------------------------------------------------------------------- */

static void open_raw(struct fixture *f, struct raw_client *c) {
    c->len = strlen(c->send);
    raw_client_open(c, &f->w, f->port);
}

static void run_closed(struct fixture *f, struct raw_client *c) {
    while (!c->closed) {
        world_run(&f->w);
    }
}

/* Each write is a piece in the simulated network, where nothing splits or joins them. */
static void test_writes(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, true);
    struct raw_client whole = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    talk_time(&f, &whole);
    assert_int_equal(whole.pieces, 1);
    raw_client_free(&whole);
    struct raw_client empty = {.send = "HEAD /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    talk_time(&f, &empty);
    assert_int_equal(empty.pieces, 1);
    raw_client_free(&empty);
    /* The head with the first chunk, the second chunk, the end. */
    struct raw_client chunks = {.send = "GET /stream HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    talk_time(&f, &chunks);
    assert_int_equal(chunks.pieces, 3);
    raw_client_free(&chunks);
    /* What was begun after a head that is still held comes after it all the same. */
    struct raw_client two = {.send = "GET /stream HTTP/1.1\r\n" HOST "\r\n"
                                     "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    talk_time(&f, &two);
    assert_int_equal(two.pieces, 4);
    raw_client_free(&two);
    end(&f);
}

/* A head that no data follows leaves in the same turn, and an event is not delayed. */
static void events(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    f.delay = (simulated ? 200 : 30) * HARDY_MILLISECOND;
    int64_t begun = loop_now(f.w.loop);
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                               "transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    struct raw_client leaves = {.send = "GET /events HTTP/1.1\r\n" HOST CLOSE "\r\n",
                                .expect = head};
    open_raw(&f, &leaves);
    run_closed(&f, &leaves);
    assert_string_equal(leaves.got.data, head);
    assert_int_equal(f.said, 0);
    expect_between(leaves.ended - begun, 0, f.delay);
    raw_client_free(&leaves);
    while (f.held) {
        struct raw_client other = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
        open_raw(&f, &other);
        run_closed(&f, &other);
        raw_client_free(&other);
    }
    begun = loop_now(f.w.loop);
    struct raw_client stays = {.send = "GET /events HTTP/1.1\r\n" HOST CLOSE "\r\n"};
    open_raw(&f, &stays);
    run_closed(&f, &stays);
    assert_true(str_starts(stays.got.data, head));
    assert_string_equal(stays.got.data + sizeof head - 1, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    if (simulated) {
        assert_int_equal(stays.pieces, 4);
        expect_between(stays.ended - begun, 3 * f.delay, 3 * f.delay + 10 * HARDY_MILLISECOND);
    }
    raw_client_free(&stays);
    end(&f);
}

/* Several answers begun in one turn: each head goes to its own client, also that of one whose
 * connection is cut in that very turn. */
static void heads_at_once(bool simulated) {
    struct fixture f;
    struct raw_client c[3];
    begin(&f, simulated);
    for (size_t i = 0; i < 3; i++) {
        c[i] = (struct raw_client){.send = "POST /keep HTTP/1.1\r\n" HOST CLOSE
                                           "Content-Length: 0\r\n\r\n"};
        open_raw(&f, &c[i]);
        while (f.kept_count == i) {
            world_run(&f.w);
        }
    }
    for (size_t i = 0; i < 3; i++) {
        http_respond_begin(f.kept[i], 200 + (int)i, NULL, NULL, -1);
    }
    http_respond_abort(f.kept[2], CLOSE_ERROR, "upstream failed");
    while (c[0].got.len == 0 || c[1].got.len == 0) {
        struct raw_client other = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
        open_raw(&f, &other);
        run_closed(&f, &other);
        raw_client_free(&other);
    }
    assert_true(str_starts(c[0].got.data, "HTTP/1.1 200 OK\r\n"));
    assert_true(str_starts(c[1].got.data, "HTTP/1.1 201 Created\r\n"));
    for (size_t i = 0; i < 3; i++) {
        if (i < 2) {
            http_respond_end(f.kept[i]);
        }
        run_closed(&f, &c[i]);
        const char *ending = i < 2 ? "\r\n\r\n0\r\n\r\n" : "close\r\n\r\n";
        assert_true(c[i].got.len > strlen(ending));
        assert_string_equal(c[i].got.data + c[i].got.len - strlen(ending), ending);
        raw_client_free(&c[i]);
    }
    f.kept_count = 0;
    end(&f);
}

static void stop_accepting(bool simulated) {
    struct fixture f;
    begin(&f, simulated);
    f.delay = 30 * HARDY_MILLISECOND;
    /* Idle, in the middle of a head, waiting for an answer. */
    struct raw_client idle = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"};
    struct raw_client half = {.send = "GET /hello HTTP/1.1\r\n" HOST};
    struct raw_client busy = {.send = "GET /later HTTP/1.1\r\n" HOST "\r\n"};
    open_raw(&f, &idle);
    open_raw(&f, &half);
    open_raw(&f, &busy);
    while (!f.held || idle.got.len == 0) {
        struct raw_client other = {.send = "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n"};
        open_raw(&f, &other);
        run_closed(&f, &other);
        raw_client_free(&other);
    }
    http_server_stop_accepting(f.server);
    http_server_stop_accepting(f.server);
    struct raw_client late = {.send = "GET /hello HTTP/1.1\r\n" HOST "\r\n"};
    open_raw(&f, &late);
    run_closed(&f, &late);
    assert_int_equal(late.reason, CLOSE_REFUSED);
    raw_client_free(&late);
    assert_false(idle.closed || half.closed);
    /* Requests that come now on what is open are answered, and are the last ones. */
    static const char request[] = "GET /hello HTTP/1.1\r\n" HOST "\r\n";
    assert_true(stream_write(idle.stream, request, sizeof request - 1));
    assert_true(stream_write(half.stream, "\r\n", 2));
    run_closed(&f, &idle);
    run_closed(&f, &half);
    run_closed(&f, &busy);
    assert_string_equal(idle.got.data, TEXT("200 OK", "5", "\r\nhello")
                                           TEXT("200 OK", "5", "connection: close\r\n\r\nhello"));
    assert_string_equal(half.got.data, TEXT("200 OK", "5", "connection: close\r\n\r\nhello"));
    assert_string_equal(busy.got.data, TEXT("200 OK", "4", "connection: close\r\n\r\nlate"));
    assert_int_equal(f.reason, CLOSE_LOCAL);
    raw_client_free(&idle);
    raw_client_free(&half);
    raw_client_free(&busy);
    assert_false(f.drained);
    end(&f);
}

/* `len` bytes posted to /keep; chunked when `chunk` is not 0. */
static void post(struct buf *out, size_t len, size_t chunk) {
    buf_init(out, 2 << 20);
    buf_puts(out, "POST /keep HTTP/1.1\r\n" HOST CLOSE);
    if (chunk == 0) {
        buf_printf(out, "Content-Length: %zu\r\n\r\n", len);
    } else {
        buf_puts(out, "Transfer-Encoding: chunked\r\n\r\n");
    }
    for (size_t at = 0; at < len; at += chunk ? chunk : len) {
        size_t piece = chunk && chunk < len - at ? chunk : len - at;
        if (chunk) {
            buf_printf(out, "%zx\r\n", piece);
        }
        for (size_t i = 0; i < piece; i++) {
            buf_putc(out, (char)('a' + (at + i) % 26));
        }
        buf_puts(out, chunk ? "\r\n" : "");
    }
    buf_puts(out, chunk ? "0\r\n\r\n" : "");
}

static void open_post(struct fixture *f, struct raw_client *c, struct buf *text, size_t len,
                      size_t chunk) {
    post(text, len, chunk);
    *c = (struct raw_client){.send = text->data};
    open_raw(f, c);
}

#define CROWDED                                                                                    \
    "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"               \
    "retry-after: 1\r\n"

static void bodies_together(bool simulated) {
    struct fixture f;
    struct http_server_options o;
    struct raw_client c[4];
    struct buf text[4];
    http_server_options_init(&o);
    o.body_total_max = 500000;
    begin_with(&f, simulated, &o);
    /* Two fit, one announced and one in chunks; while they are being answered, no third. */
    open_post(&f, &c[0], &text[0], 300000, 0);
    while (f.kept_count < 1) {
        world_run(&f.w);
    }
    assert_int_equal(http_server_body_total(f.server), 300000);
    open_post(&f, &c[1], &text[1], 150000, 1000);
    while (f.kept_count < 2) {
        world_run(&f.w);
    }
    expect_between((int64_t)http_server_body_total(f.server), 450000, 500000);
    for (size_t chunk = 0; chunk < 1001; chunk += 1000) {
        open_post(&f, &c[2], &text[2], 60000, chunk);
        run_closed(&f, &c[2]);
        assert_true(str_starts(c[2].got.data, CROWDED));
        raw_client_free(&c[2]);
        buf_free(&text[2]);
    }
    assert_int_equal(http_server_counts(f.server).crowded, 2);
    assert_int_equal(f.kept_count, 2);
    /* What needs no body, or a small one, is served all the same. */
    expect_status(&f, "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n", 200);
    /* Answered: there is room again, also that of the refused ones. */
    answer_all(&f);
    run_closed(&f, &c[0]);
    run_closed(&f, &c[1]);
    assert_int_equal(http_server_body_total(f.server), 0);
    for (int i = 0; i < 2; i++) {
        const char *body = strstr(c[i].got.data, "\r\n\r\n") + 4;
        assert_int_equal(strlen(body), i == 0 ? 300000 : 150000);
        for (size_t at = 0; body[at]; at++) {
            assert_int_equal(body[at], 'a' + at % 26);
        }
        raw_client_free(&c[i]);
        buf_free(&text[i]);
    }
    /* As much as there is for all of them, and one byte more, which no waiting helps. */
    open_post(&f, &c[0], &text[0], 500000, 0);
    while (f.kept_count < 1) {
        world_run(&f.w);
    }
    open_post(&f, &c[1], &text[1], 500001, 0);
    run_closed(&f, &c[1]);
    assert_true(str_starts(c[1].got.data, "HTTP/1.1 413 "));
    /* A client that leaves does not give room back: the handler still has its body. */
    stream_close(c[0].stream, CLOSE_RESET);
    run_closed(&f, &c[0]);
    open_post(&f, &c[2], &text[2], 10, 0);
    run_closed(&f, &c[2]);
    assert_true(str_starts(c[2].got.data, CROWDED));
    answer_all(&f);
    assert_int_equal(http_server_body_total(f.server), 0);
    for (int i = 0; i < 3; i++) {
        raw_client_free(&c[i]);
        buf_free(&text[i]);
    }
    end(&f);
}

/* A large body is read to its place, in pieces of any size, and not a byte of what follows it. */
static void large_bodies(bool simulated) {
    static const size_t steps[] = {0, 7001, 20000, 65536};
    static const size_t lens[] = {16384, 100000, 262144, 262145, 700000};
    struct fixture f;
    begin(&f, simulated);
    for (size_t i = 0; i < 20; i++) {
        size_t len = lens[i / 4];
        struct buf text;
        buf_init(&text, 1 << 20);
        buf_printf(&text, "POST /keep HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", len);
        for (size_t at = 0; at < len; at++) {
            buf_putc(&text, (char)('a' + at % 26));
        }
        buf_puts(&text, "GET /hello HTTP/1.1\r\n" HOST CLOSE "\r\n");
        struct raw_client c = {.send = text.data, .len = text.len, .step = steps[i % 4]};
        raw_client_open(&c, &f.w, f.port);
        while (f.kept_count == 0) {
            world_run(&f.w);
        }
        size_t came;
        const char *body = http_request_body(f.kept[0], &came);
        assert_int_equal(came, len);
        assert_int_equal(strlen(body), len);
        for (size_t at = 0; at < len; at++) {
            if (body[at] != (char)('a' + at % 26)) {
                fail_msg("byte %zu of %zu", at, len);
            }
        }
        http_respond_text(f.kept[0], 200, "text/plain", "kept");
        f.kept_count = 0;
        run_closed(&f, &c);
        static const char expected[] =
            TEXT("200 OK", "4", "\r\nkept") TEXT("200 OK", "5", "connection: close\r\n\r\nhello");
        assert_string_equal(c.got.data, expected);
        raw_client_free(&c);
        buf_free(&text);
    }
    assert_int_equal(http_server_body_total(f.server), 0);
    end(&f);
}

/* Announcing a large body costs no memory until it comes. */
static void test_announced(void **state) {
    struct fixture f;
    struct http_server_options o;
    (void)state;
    http_server_options_init(&o);
    o.body_total_max = 10 << 20;
    begin_with(&f, true, &o);
    struct raw_client c = {.send = "POST /keep HTTP/1.1\r\n" HOST
                                   "Content-Length: 1048576\r\n\r\n0123456789"};
    int64_t begun = loop_now(f.w.loop);
    open_raw(&f, &c);
    world_wait(&f.w, HARDY_SECOND);
    expect_between((int64_t)http_server_body_total(f.server), 10, 256 << 10);
    run_closed(&f, &c);
    expect_between(c.ended - begun, 30 * HARDY_SECOND, 33 * HARDY_SECOND);
    assert_int_equal(http_server_body_total(f.server), 0);
    raw_client_free(&c);
    end(&f);
}

/* When the last byte had come: of the body, or of a head without one. */
static void test_received(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, true);
    int64_t begun = loop_now(f.w.loop);
    struct raw_client slow = {.send = "POST /keep HTTP/1.1\r\n" HOST CLOSE
                                      "Content-Length: 4\r\n\r\nabcd",
                              .step = 1,
                              .pause = 100 * HARDY_MILLISECOND};
    open_raw(&f, &slow);
    while (f.kept_count < 1) {
        world_run(&f.w);
    }
    assert_int_equal(f.received, loop_now(f.w.loop));
    expect_between(f.received - begun, (int64_t)(slow.len - 1) * slow.pause,
                   (int64_t)slow.len * slow.pause);
    world_wait(&f.w, HARDY_SECOND);
    assert_int_equal(http_request_received(f.kept[0]), f.received);
    answer_all(&f);
    run_closed(&f, &slow);
    raw_client_free(&slow);
    assert_int_equal(http_server_counts(f.server).requests, 1);
    end(&f);
}

BOTH(answers)
BOTH(refusals)
BOTH(hosts_and_origins)
BOTH(expectations)
BOTH(streaming)
BOTH(leaving)
BOTH(draining)
BOTH(events)
BOTH(heads_at_once)
BOTH(stop_accepting)
BOTH(bodies_together)
BOTH(large_bodies)

int main(int argc, char **argv) {
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        TEST_BOTH(answers),
        TEST_BOTH(refusals),
        TEST_BOTH(hosts_and_origins),
        TEST_BOTH(expectations),
        TEST_BOTH(streaming),
        TEST_BOTH(leaving),
        TEST_BOTH(draining),
        TEST_BOTH(events),
        TEST_BOTH(heads_at_once),
        TEST_BOTH(stop_accepting),
        TEST_BOTH(bodies_together),
        TEST_BOTH(large_bodies),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_announced),
        cmocka_unit_test(test_received),
        cmocka_unit_test(test_uv_write_limit),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_drain_limit),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
