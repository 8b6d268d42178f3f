/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a server of raw bytes: answers, cut answers, kept connections that are dead,
 * limits, cancelling. Simulated (all waits) and on the kernel's loop (what needs no waiting). */
#include "base/clock.h"
#include "base/str.h"
#include "http/fetch.h"
#include "http/url.h"
#include "support.h"

#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct fixture {
    struct world w;
    struct raw_server server;
    struct http_client *client;
};

static void begin(struct fixture *f, bool simulated, const char *const *answers, size_t count) {
    memset(f, 0, sizeof *f);
    world_calm(&f->w, simulated);
    raw_server_open(&f->server, &f->w, answers, count);
    f->client = client_new(&f->w);
}

static void end(struct fixture *f) {
    http_client_free(f->client);
    raw_server_close(&f->server);
    world_end(&f->w);
}

static void get(struct fixture *f, struct call_log *log, struct http_call_options *o) {
    call_run(log, &f->w, f->client, f->server.port, "/x?y=1", o);
}

/* One answer: whole or cut in steps of 1 and 3 bytes. */
static void expect_answer(bool simulated, const char *method, const char *answer, bool close_after,
                          int status, const char *body, size_t kept) {
    for (size_t step = 0; step < 4; step++) {
        struct fixture f;
        struct call_log log = {.heads = 0};
        struct http_call_options o;
        begin(&f, simulated, &answer, 1);
        f.server.step = step;
        f.server.close_after = close_after;
        http_call_options_init(&o);
        o.method = method;
        get(&f, &log, &o);
        if (log.ends != 1 || log.fails != 0) {
            fail_msg("%s: %s", answer, log.detail);
        }
        assert_int_equal(log.heads, 1);
        assert_int_equal(log.status, status);
        assert_string_equal(log.body.data, body);
        assert_true(log.facts.sent && log.facts.answered && !log.facts.reused);
        assert_int_equal(log.facts.received, strlen(body));
        assert_int_equal(http_client_idle(f.client), kept);
        call_free(&log);
        end(&f);
    }
}

static void answers(bool simulated) {
    expect_answer(simulated, "GET", OK5, false, 200, "hello", 1);
    expect_answer(simulated, "GET",
                  "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", false, 503,
                  "", 1);
    expect_answer(simulated, "GET",
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n"
                  "0\r\nX-Trailer: 1\r\n\r\n",
                  false, 200, "hello", 1);
    expect_answer(simulated, "GET",
                  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", false,
                  200, "hello", 0);
    expect_answer(simulated, "GET", "HTTP/1.0 200 OK\r\n\r\nhello", true, 200, "hello", 0);
    expect_answer(simulated, "GET", "HTTP/1.1 200 OK\r\n\r\n", true, 200, "", 0);
    expect_answer(simulated, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, "",
                  1);
    expect_answer(simulated, "GET", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, "", 1);
    expect_answer(simulated, "GET",
                  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK5,
                  false, 200, "hello", 1);
    expect_answer(simulated, "HEAD",
                  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                  false, 200, "", 1);
    /* More than one answer: the connection is not to be trusted with another request. */
    static const char *const two = OK5 "HTTP/1.1 200 OK\r\n";
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, &two, 1);
    http_call_options_init(&o);
    get(&f, &log, &o);
    assert_string_equal(log.body.data, "hello");
    assert_int_equal(http_client_idle(f.client), 0);
    call_free(&log);
    end(&f);
}

/* These answers are never whole ones. */
static void broken_answers(bool simulated) {
    static const struct {
        const char *answer;
        bool close_after;
        enum close_reason reason;
        int heads;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, CLOSE_EOF, 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, CLOSE_EOF, 1},
        {"HTTP/1.1 200 OK\r\nConte", true, CLOSE_EOF, 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", true, CLOSE_EOF, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false,
         CLOSE_PROTOCOL, 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloxx", false, CLOSE_PROTOCOL,
         1},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", false,
         CLOSE_PROTOCOL, 0},
        {"SSH-2.0-x\r\n\r\n", false, CLOSE_PROTOCOL, 0},
        {"\x15\x03\x03", false, CLOSE_PROTOCOL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        struct call_log log = {.heads = 0};
        struct http_call_options o;
        begin(&f, simulated, &rows[i].answer, 1);
        f.server.close_after = rows[i].close_after;
        http_call_options_init(&o);
        get(&f, &log, &o);
        if (log.fails != 1 || log.ends != 0 || log.reason != rows[i].reason ||
            log.heads != rows[i].heads) {
            fail_msg("%s: ended %d, failed %d by %s (%s)", rows[i].answer, log.ends, log.fails,
                     close_reason_text(log.reason), log.detail);
        }
        assert_true(log.facts.sent && log.facts.answered);
        assert_int_equal(http_client_idle(f.client), 0);
        call_free(&log);
        end(&f);
    }
    /* A head above the limit. */
    static char big[80000];
    const char *answer = big;
    memcpy(big, "HTTP/1.1 200 OK\r\nX: ", 20);
    memset(big + 20, 'x', 70000);
    memcpy(big + 70020, "\r\n\r\n", 5);
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, &answer, 1);
    http_call_options_init(&o);
    get(&f, &log, &o);
    assert_int_equal(log.reason, CLOSE_TOO_LARGE);
    call_free(&log);
    end(&f);
}

static void requests(bool simulated) {
    static const char *const two[] = {OK5, OK5};
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    struct http_headers h;
    begin(&f, simulated, two, 2);
    http_headers_init(&h, 10, 1000);
    assert_int_equal(http_headers_add(&h, "Accept", "text/plain"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Host", "evil"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Content-Length", "99"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "Transfer-Encoding", "chunked"), HARDY_OK);
    http_call_options_init(&o);
    o.method = "POST";
    o.headers = &h;
    o.body = "{\"a\":1}";
    o.body_len = 7;
    get(&f, &log, &o);
    char expected[300];
    snprintf(expected, sizeof expected,
             "POST /x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nAccept: text/plain\r\n"
             "content-length: 7\r\n\r\n{\"a\":1}",
             f.server.port);
    assert_string_equal(f.server.heard.data, expected);
    call_free(&log);
    /* Kept, and used again. */
    struct call_log again = {.heads = 0};
    http_call_options_init(&o);
    o.method = "PUT";
    get(&f, &again, &o);
    assert_true(again.facts.reused);
    assert_int_equal(f.server.accepted, 1);
    assert_non_null(strstr(f.server.heard.data, "PUT /x?y=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(f.server.heard.data, "content-length: 0\r\n"));
    call_free(&again);
    http_headers_free(&h);
    /* What cannot be sent is refused at once. */
    struct http_url url;
    struct http_call *call;
    static const struct http_call_events none = {.head = NULL};
    assert_int_equal(http_url_parse("http://127.0.0.1/", &url, NULL), HARDY_OK);
    o.url = &url;
    o.method = "GET / HTTP/1.1\r\nX:";
    assert_int_equal(http_call_start(f.client, &o, &none, NULL, &call, NULL), HARDY_E_INVALID);
    o.method = "CONNECT";
    assert_int_equal(http_call_start(f.client, &o, &none, NULL, &call, NULL), HARDY_E_INVALID);
    http_url_free(&url);
    end(&f);
}

/* The body is read where it lies, when it is sent and not before, and not at all when it was
 * copied; head and body arrive together. */
static void bodies(bool simulated) {
    static const char *const one[] = {OK5};
    for (int borrowed = 0; borrowed < 2; borrowed++) {
        struct fixture f;
        struct call_log log = {.stop = true};
        struct http_call_options o;
        struct http_url url;
        char text[60], body[] = "{\"a\":1}";
        begin(&f, simulated, one, 1);
        snprintf(text, sizeof text, "http://127.0.0.1:%u/", f.server.port);
        assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
        http_call_options_init(&o);
        o.url = &url;
        o.method = "POST";
        o.body = body;
        o.body_len = strlen(body);
        o.borrow_body = borrowed;
        call_begin(&log, &f.w, f.client, &o);
        body[1] = '*';
        while (log.call) {
            world_run(&f.w);
        }
        const char *came = strstr(f.server.heard.data, "\r\n\r\n") + 4;
        assert_string_equal(came, borrowed ? "{*a\":1}" : "{\"a\":1}");
        assert_int_equal(f.server.pieces, 1);
        call_free(&log);
        http_url_free(&url);
        end(&f);
    }
}

/* More than any buffer takes at once, on a kept connection that is dead: the second connection gets
 * every byte of it. */
static void bodies_again(bool simulated) {
    static const char *const three[] = {OK5, NULL, OK5};
    static const bool reset[] = {false, true, false};
    static char body[700000];
    for (size_t i = 0; i < sizeof body - 1; i++) {
        body[i] = (char)('a' + i % 26);
    }
    for (int borrowed = 0; borrowed < 2; borrowed++) {
        struct fixture f;
        struct call_log first = {.heads = 0}, log = {.heads = 0};
        struct http_call_options o;
        begin(&f, simulated, three, 3);
        f.server.reset_before = reset;
        f.server.at_head = false;
        http_call_options_init(&o);
        get(&f, &first, &o);
        o.method = "PUT";
        o.body = body;
        o.body_len = sizeof body - 1;
        o.borrow_body = borrowed;
        get(&f, &log, &o);
        assert_string_equal(log.detail, "");
        assert_true(log.facts.repeated);
        assert_int_equal(f.server.accepted, 2);
        assert_true(f.server.heard.len > sizeof body);
        const char *tail = f.server.heard.data + f.server.heard.len - (sizeof body - 1);
        assert_memory_equal(tail, body, sizeof body - 1);
        call_free(&first);
        call_free(&log);
        end(&f);
    }
}

/* Whoever passes on what comes writes once for each read, however small the chunks are. */
static void small_chunks(bool simulated) {
    static const char *const two[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n1\r\ne\r\n0\r\n\r\n",
        /* What came before the break is told before it. */
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\nzz\r\n"};
    struct fixture f;
    struct call_log log = {.heads = 0}, broken = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, two, 2);
    http_call_options_init(&o);
    get(&f, &log, &o);
    assert_int_equal(log.ends, 1);
    assert_string_equal(log.body.data, "abcde");
    assert_int_equal(log.pieces, 1);
    assert_int_equal(log.facts.received, 5);
    get(&f, &broken, &o);
    assert_int_equal(broken.fails, 1);
    assert_int_equal(broken.reason, CLOSE_PROTOCOL);
    assert_string_equal(broken.body.data, "ab");
    call_free(&log);
    call_free(&broken);
    end(&f);
}

static void refused(bool simulated) {
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, NULL, 0);
    uint16_t port = f.server.port;
    listener_close(f.server.listener);
    http_call_options_init(&o);
    call_run(&log, &f.w, f.client, port, "/", &o);
    assert_int_equal(log.fails, 1);
    assert_int_equal(log.reason, CLOSE_REFUSED);
    assert_true(!log.facts.sent && !log.facts.answered);
    assert_int_equal(log.facts.phase, HTTP_PHASE_CONNECT);
    assert_true(str_starts(log.detail, "connecting: "));
    call_free(&log);
    http_client_free(f.client);
    buf_free(&f.server.heard);
    world_end(&f.w);
}

/* A kept connection that resets the next request: what may be sent again is, once, and only that.
 */
static void dead_connections(bool simulated) {
    static const char *const four[] = {OK5, NULL, OK5, OK5};
    static const bool reset[] = {false, true, false, false};
    static const bool reset_twice[] = {false, true, true, false};
    static const struct {
        const char *method;
        bool repeatable, twice;
        bool ends;
    } rows[] = {{"GET", false, false, true},    {"DELETE", false, false, true},
                {"POST", true, false, true},    {"POST", false, false, false},
                {"PATCH", false, false, false}, {"GET", false, true, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        struct call_log first = {.heads = 0}, log = {.heads = 0};
        struct http_call_options o;
        begin(&f, simulated, four, 4);
        f.server.reset_before = rows[i].twice ? reset_twice : reset;
        http_call_options_init(&o);
        get(&f, &first, &o);
        o.method = rows[i].method;
        o.repeatable = rows[i].repeatable;
        get(&f, &log, &o);
        assert_int_equal(log.ends, rows[i].ends);
        assert_int_equal(log.fails, !rows[i].ends);
        if (rows[i].ends) {
            assert_true(log.facts.repeated && !log.facts.reused);
            assert_int_equal(f.server.accepted, 2);
        } else {
            /* Nobody knows whether it was acted upon. */
            assert_true(log.facts.sent && !log.facts.answered);
            assert_int_equal(log.facts.repeated, rows[i].twice);
            assert_int_equal(f.server.accepted, rows[i].twice ? 2 : 1);
        }
        call_free(&first);
        call_free(&log);
        end(&f);
    }
    /* On a new connection nothing is repeated, not even a GET. */
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, four, 4);
    f.server.reset_before = reset + 1;
    http_call_options_init(&o);
    get(&f, &log, &o);
    assert_int_equal(log.fails, 1);
    assert_false(log.facts.repeated);
    assert_int_equal(f.server.accepted, 1);
    call_free(&log);
    end(&f);
}

static void cancelling(bool simulated) {
    static const char begun[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    static const char *const answers_[] = {
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n", OK5};
    struct fixture f;
    struct call_log log = {.cancel_after = 3}, next = {.heads = 0};
    struct http_call_options o;
    begin(&f, simulated, answers_, 2);
    f.server.step = strlen(begun);
    f.server.pause = 5 * HARDY_MILLISECOND;
    http_call_options_init(&o);
    get(&f, &log, &o);
    assert_int_equal(log.ends + log.fails, 0);
    assert_string_equal(log.body.data, "abc"); /* not a byte after the cancel */
    assert_int_equal(http_client_idle(f.client), 0);
    get(&f, &next, &o);
    assert_int_equal(next.ends, 1);
    assert_int_equal(f.server.accepted, 2);
    assert_int_equal(f.server.open, 1); /* the cancelled call's socket is closed */
    call_free(&log);
    call_free(&next);
    end(&f);
}

static void free_client(struct call_log *log) {
    http_client_free(log->client);
    log->client = NULL;
}

/* The client may go at any time: its calls fail, and none is left behind. */
static void going(bool simulated) {
    static const char *const answers_[] = {OK5};
    for (int answered = 0; answered < 2; answered++) {
        struct fixture f;
        struct call_log log = {.on_end = answered ? free_client : NULL, .stop = true};
        struct http_call_options o;
        struct http_url url;
        char text[60];
        begin(&f, simulated, answers_, 1);
        http_call_options_init(&o);
        snprintf(text, sizeof text, "http://127.0.0.1:%u/", f.server.port);
        assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
        o.url = &url;
        call_begin(&log, &f.w, f.client, &o);
        if (answered) { /* from inside the last callback */
            world_run(&f.w);
            assert_int_equal(log.ends, 1);
        } else {
            http_client_free(f.client);
            assert_int_equal(log.fails, 1);
            assert_int_equal(log.reason, CLOSE_SHUTDOWN);
        }
        http_url_free(&url);
        call_free(&log);
        raw_server_close(&f.server);
        world_end(&f.w);
    }
}

struct fetch_log {
    struct world *w;
    int calls;
    bool complete;
    int status;
    char body[100], detail[200], type[100];
    enum close_reason reason;
    int64_t retry_after;
};

static void on_fetched(void *ctx, const struct http_fetched *fetched) {
    struct fetch_log *log = ctx;
    const char *type = http_headers_get(fetched->headers, "content-type");
    log->calls++;
    log->complete = fetched->complete;
    log->status = fetched->status;
    log->reason = fetched->reason;
    log->retry_after = fetched->retry_after;
    assert_int_equal(fetched->body_len, strlen(fetched->body));
    str_copy(log->body, sizeof log->body, fetched->body);
    str_copy(log->detail, sizeof log->detail, fetched->detail);
    str_copy(log->type, sizeof log->type, type ? type : "");
    world_stop(log->w);
}

#define SLOW_DOWN                                                                                  \
    "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Type: x/y\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED6                                                                                   \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"

static void fetching(bool simulated) {
    static const char *const answers_[] = {
        SLOW_DOWN, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!", CHUNKED6,
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"};
    static const struct {
        bool complete;
        int status;
        const char *body;
        enum close_reason reason;
    } rows[] = {{true, 429, "hello", CLOSE_LOCAL},
                {false, 200, "hello", CLOSE_TOO_LARGE},
                {false, 200, "hello", CLOSE_TOO_LARGE},
                {false, 200, "hell", CLOSE_EOF}};
    struct fixture f;
    struct http_url url;
    struct http_call_options o;
    char text[60];
    begin(&f, simulated, answers_, 4);
    snprintf(text, sizeof text, "http://127.0.0.1:%u/", f.server.port);
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    http_call_options_init(&o);
    o.url = &url;
    for (size_t i = 0; i < 4; i++) {
        struct fetch_log log = {.w = &f.w};
        struct http_fetch *fetch;
        f.server.close_after = i == 3;
        assert_int_equal(http_fetch_start(f.client, &o, 5, on_fetched, &log, &fetch, NULL),
                         HARDY_OK);
        while (log.calls == 0) {
            world_run(&f.w);
        }
        assert_int_equal(log.calls, 1);
        assert_int_equal(log.complete, rows[i].complete);
        assert_int_equal(log.status, rows[i].status);
        assert_int_equal(log.reason, rows[i].reason);
        assert_string_equal(log.body, rows[i].body);
        assert_int_equal(log.retry_after, i == 0 ? 7 * HARDY_SECOND : 0);
        assert_string_equal(log.type, i == 0 ? "x/y" : "");
    }
    struct fetch_log log = {.w = &f.w};
    struct http_fetch *fetch;
    assert_int_equal(http_fetch_start(f.client, &o, 5, on_fetched, &log, &fetch, NULL), HARDY_OK);
    http_fetch_cancel(fetch);
    http_url_free(&url);
    end(&f);
    assert_int_equal(log.calls, 0);
}

/* --- waits: only where time is virtual ------------------------------------------------------- */

static void test_limits(void **state) {
    static const char *const never[] = {NULL};
    static const char *const slow[] = {"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"
                                       "012345678901234567890123456789"};
    static const char *const half[] = {"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n01234"};
    static const struct {
        const char *const *answer;
        int64_t deadline, connect, first, idle; /* 0 = none */
        size_t step;
        int64_t pause;
        int64_t ends; /* after; 0 = well */
        const char *detail;
        enum http_phase phase;
    } rows[] = {
        {never, 5, 0, 0, 0, 0, 0, 5, "waiting for an answer: deadline passed", HTTP_PHASE_WAIT},
        {never, 50, 1, 5, 3, 0, 0, 5, "waiting for an answer: first-byte limit of 5s passed",
         HTTP_PHASE_WAIT},
        {half, 50, 1, 2, 5, 0, 0, 5, "reading the answer: idle limit of 5s passed",
         HTTP_PHASE_BODY},
        /* A byte each second: alive for the idle limit, too slow for the deadline. */
        {slow, 20, 0, 2, 3, 1, 1, 20, "reading the answer's head: deadline passed",
         HTTP_PHASE_HEAD},
        {slow, 100, 0, 2, 3, 1, 1, 0, "", HTTP_PHASE_BODY},
        {slow, 100, 0, 2, 3, 1, 4, 3, "reading the answer's head: idle limit of 3s passed",
         HTTP_PHASE_HEAD},
        {slow, 0, 0, 0, 0, 40, 0, 0, "", HTTP_PHASE_BODY},
        /* Passed before it began. */
        {slow, -1, 0, 0, 0, 0, 0, 0, "connecting: deadline passed", HTTP_PHASE_CONNECT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fixture f;
        struct call_log log = {.heads = 0};
        struct http_call_options o;
        begin(&f, true, rows[i].answer, 1);
        f.server.step = rows[i].step;
        f.server.pause = rows[i].pause * HARDY_SECOND;
        http_call_options_init(&o);
        int64_t begun = loop_now(f.w.loop);
        o.deadline = rows[i].deadline ? begun + rows[i].deadline * HARDY_SECOND : HARDY_NEVER;
        o.connect_limit = rows[i].connect ? rows[i].connect * HARDY_SECOND : HARDY_NEVER;
        o.first_limit = rows[i].first ? rows[i].first * HARDY_SECOND : HARDY_NEVER;
        o.idle_limit = rows[i].idle ? rows[i].idle * HARDY_SECOND : HARDY_NEVER;
        get(&f, &log, &o);
        assert_string_equal(log.detail, rows[i].detail);
        assert_int_equal(log.fails, rows[i].detail[0] != '\0');
        assert_int_equal(log.facts.phase, rows[i].phase);
        if (rows[i].detail[0]) {
            assert_int_equal(log.reason, CLOSE_TIMEOUT);
            assert_int_equal(log.facts.sent, rows[i].phase != HTTP_PHASE_CONNECT);
            expect_between(log.ended - begun, rows[i].ends * HARDY_SECOND,
                           rows[i].ends * HARDY_SECOND + 100 * HARDY_MILLISECOND);
        }
        call_free(&log);
        end(&f);
        assert_int_equal(f.server.open, 0); /* the socket was closed, not left */
    }
}

static void test_pool(void **state) {
    static const char *const many[] = {
        OK5, OK5,
        OK5, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n",
        OK5, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 0\r\n\r\n",
        OK5, OK5};
    struct fixture f;
    struct http_call_options o;
    (void)state;
    begin(&f, true, many, sizeof many / sizeof *many);
    http_call_options_init(&o);
    /* Pauses between the calls, and whether the connection of the one before is used again. */
    static const struct {
        int64_t pause;
        bool fresh, reused;
    } rows[] = {
        {0, false, false}, {29, false, true}, {31, false, false},
        {0, false, true},  {5, false, false}, /* the far side said 5 s, so it is not relied upon
                                                 after 4 */
        {3, false, true},  {0, false, false}, /* timeout=1: not kept at all */
        {0, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call_log log = {.heads = 0};
        world_wait(&f.w, rows[i].pause * HARDY_SECOND);
        o.fresh = rows[i].fresh;
        get(&f, &log, &o);
        assert_int_equal(log.ends, 1);
        if (log.facts.reused != rows[i].reused) {
            fail_msg("call %zu: reused %d", i, log.facts.reused);
        }
        call_free(&log);
    }
    end(&f);
}

/* Several calls at once leave several lines: at most so many are kept, the one used last is taken
 * first, and the idle limit counts from each one's last use. */
static void test_pool_of_many(void **state) {
    static const char *const many[] = {OK5, OK5, OK5, OK5, OK5, OK5};
    struct fixture f;
    struct http_call_options o;
    struct call_log at_once[3], again[2];
    struct http_url url;
    char text[60];
    (void)state;
    begin(&f, true, many, 6);
    http_client_free(f.client);
    struct http_client_options co;
    http_client_options_init(&co);
    co.idle_per_host = 2;
    f.client = http_client_new(f.w.loop, &co, NULL);
    snprintf(text, sizeof text, "http://127.0.0.1:%u/", f.server.port);
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    http_call_options_init(&o);
    o.url = &url;
    memset(at_once, 0, sizeof at_once);
    memset(again, 0, sizeof again);
    for (int i = 0; i < 3; i++) {
        call_begin(&at_once[i], &f.w, f.client, &o);
    }
    world_wait(&f.w, HARDY_SECOND);
    assert_int_equal(f.server.accepted, 3);
    assert_int_equal(http_client_idle(f.client), 2);
    assert_int_equal(f.server.open, 2);
    /* One of the two is used each ten seconds, always the same one: the other's time passes. */
    for (int i = 0; i < 2; i++) {
        world_wait(&f.w, 10 * HARDY_SECOND);
        get(&f, &again[i], &o);
        assert_true(again[i].facts.reused);
        assert_int_equal(http_client_idle(f.client), 2);
    }
    world_wait(&f.w, 15 * HARDY_SECOND);
    assert_int_equal(http_client_idle(f.client), 1);
    world_wait(&f.w, 10 * HARDY_SECOND);
    assert_int_equal(http_client_idle(f.client), 1);
    world_wait(&f.w, 10 * HARDY_SECOND);
    assert_int_equal(http_client_idle(f.client), 0);
    assert_int_equal(f.server.open, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(at_once[i].ends, 1);
        call_free(&at_once[i]);
    }
    call_free(&again[0]);
    call_free(&again[1]);
    http_url_free(&url);
    end(&f);
}

/* Kept ones only, and those of one host when it is named; what comes then finds a new one. */
static void test_close_idle(void **state) {
    static const char *const many[] = {OK5, NULL, OK5, OK5}, *const one[] = {OK5};
    struct fixture f;
    struct raw_server other;
    struct http_call_options o;
    struct call_log logs[4], running;
    struct http_url url;
    char text[60];
    (void)state;
    memset(&other, 0, sizeof other);
    memset(logs, 0, sizeof logs);
    memset(&running, 0, sizeof running);
    begin(&f, true, many, 4);
    raw_server_open(&other, &f.w, one, 1);
    snprintf(text, sizeof text, "http://127.0.0.1:%u/", f.server.port);
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    http_call_options_init(&o);
    call_run(&logs[0], &f.w, f.client, f.server.port, "/", &o);
    call_run(&logs[1], &f.w, f.client, other.port, "/", &o);
    o.url = &url;
    o.fresh = true;
    call_begin(&running, &f.w, f.client, &o);
    o.fresh = false;
    world_wait(&f.w, HARDY_SECOND);
    assert_int_equal(http_client_idle(f.client), 2);
    assert_int_equal(http_client_close_idle(f.client, &url), 1);
    assert_int_equal(http_client_close_idle(f.client, &url), 0);
    assert_int_equal(http_client_idle(f.client), 1);
    world_wait(&f.w, HARDY_SECOND);
    assert_int_equal(f.server.open, 1);
    assert_int_equal(other.open, 1);
    assert_non_null(running.call);
    get(&f, &logs[2], &o);
    assert_false(logs[2].facts.reused);
    get(&f, &logs[3], &o);
    assert_true(logs[3].facts.reused);
    assert_int_equal(http_client_close_idle(f.client, NULL), 2);
    assert_int_equal(http_client_idle(f.client), 0);
    http_call_cancel(running.call);
    world_wait(&f.w, HARDY_SECOND);
    assert_int_equal(f.server.open + other.open, 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(logs[i].ends, 1);
        call_free(&logs[i]);
    }
    call_free(&running);
    http_url_free(&url);
    raw_server_close(&other);
    end(&f);
}

/* Pausing holds the far side back: the idle limit rests meanwhile, and nothing is lost. */
static void test_uv_pause(void **state) {
    static char big[(32 << 20) + 100];
    const char *answer = big;
    struct fixture f;
    struct call_log log = {.pause_at = 1, .pause_for = 60 * HARDY_MILLISECOND};
    struct http_call_options o;
    (void)state;
    int head = snprintf(big, sizeof big, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 32 << 20);
    memset(big + head, 'x', 32 << 20);
    begin(&f, false, &answer, 1);
    http_call_options_init(&o);
    o.idle_limit = 40 * HARDY_MILLISECOND;
    get(&f, &log, &o);
    assert_string_equal(log.detail, "");
    assert_int_equal(log.ends, 1);
    assert_int_equal(log.body.len, 32 << 20);
    assert_true(log.paused_len < 1 << 20);
    call_free(&log);
    end(&f);
}

/* An answer that comes while most of the request is still here: the connection is not kept, for
 * what is left of this request would precede the next one. */
static void test_uv_early_answer(void **state) {
    static const char *const answer[] = {OK5};
    static char body[32 << 20];
    struct fixture f;
    struct call_log log = {.heads = 0};
    struct http_call_options o;
    (void)state;
    begin(&f, false, answer, 1);
    f.server.at_head = true;
    http_call_options_init(&o);
    o.method = "PUT";
    o.body = body;
    o.body_len = sizeof body;
    get(&f, &log, &o);
    assert_int_equal(log.ends, 1);
    assert_string_equal(log.body.data, "hello");
    assert_int_equal(http_client_idle(f.client), 0);
    call_free(&log);
    end(&f);
}

BOTH(answers)
BOTH(broken_answers)
BOTH(requests)
BOTH(bodies)
BOTH(bodies_again)
BOTH(small_chunks)
BOTH(refused)
BOTH(dead_connections)
BOTH(cancelling)
BOTH(going)
BOTH(fetching)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST_BOTH(answers),
        TEST_BOTH(broken_answers),
        TEST_BOTH(requests),
        TEST_BOTH(bodies),
        TEST_BOTH(bodies_again),
        TEST_BOTH(small_chunks),
        TEST_BOTH(refused),
        TEST_BOTH(dead_connections),
        TEST_BOTH(cancelling),
        cmocka_unit_test(test_uv_early_answer),
        TEST_BOTH(going),
        TEST_BOTH(fetching),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_pool_of_many),
        cmocka_unit_test(test_close_idle),
        cmocka_unit_test(test_uv_pause),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
