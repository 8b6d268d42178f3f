/* SPDX-License-Identifier: Apache-2.0 */
/* A step that is an HTTP request: what is sent, what each end means, and what is never told. */
#include "../http/support.h"
#include "../http/tls_peer.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/str.h"
#include "work/http_step.h"
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* One exchange, and what is known after it. */
struct exchange {
    const char *answer; /* NULL = the far side says nothing */
    bool reset;         /* it resets instead */
    bool close;         /* behind its answer */
    const char *scheme; /* NULL = http */
    const char *more;   /* further members of the request */
    const char *key;
    int64_t deadline; /* from now; 0 = none */
    struct step_answer got;
    struct buf heard; /* by the far side */
    int64_t took;
};

static void put_deadline(struct loop *loop, int64_t span, char *out) {
    clock_format_wall(time_add(loop_wall(loop), span), out);
}

static void exchange(struct exchange *e, bool simulated) {
    struct world w;
    char deadline[40];
    world_calm(&w, simulated);
    const char *answers[] = {e->answer};
    const bool resets[] = {e->reset};
    struct raw_server server = {.close_after = e->close, .reset_before = resets};
    raw_server_open(&server, &w, answers, e->answer || e->reset ? 1 : 0);
    char *request = str_format("{\"url\":\"%s://127.0.0.1:%u/path?token=s3cret\"%s%s}",
                               e->scheme ? e->scheme : "http", server.port, e->more ? "," : "",
                               e->more ? e->more : "");
    put_deadline(w.loop, e->deadline, deadline);
    struct step_given given = {
        .request = request, .key = e->key, .deadline = e->deadline ? deadline : NULL};
    int64_t began = loop_now(w.loop);
    step_answer_init(&e->got);
    step_program_run(w.loop, http_step, &given, &e->got);
    e->took = loop_now(w.loop) - began;
    e->heard = server.heard;
    server.heard = (struct buf){0};
    raw_server_close(&server);
    world_end(&w);
    free(request);
    /* Secrets are sent, and never told. */
    assert_null(strstr(e->got.message, "s3cret"));
    assert_null(e->got.output.data ? strstr(e->got.output.data, "s3cret") : NULL);
    if (e->got.code != STEP_CODE_DONE) {
        json_t *line = json_loads(e->got.output.data, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(line, "error")), e->got.message);
        json_decref(line);
    }
}

static void exchange_free(struct exchange *e) {
    step_answer_free(&e->got);
    buf_free(&e->heard);
}

#define POST "\"method\":\"POST\",\"body\":\"b\""

/* Every row of the table in http_step.h. */
static void endings(bool simulated) {
    static const struct {
        const char *more, *answer;
        int code;
        const char *message; /* its end */
    } rows[] = {
        {NULL, OK_EMPTY, 0, ""},
        {POST, "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok", 0, ""},
        {POST, "HTTP/1.1 204 No Content\r\n\r\n", 0, ""},
        {"\"expect\":[201]", OK_EMPTY, 1, "answered 200 OK"},
        {"\"expect\":[\"201\",200]", OK_EMPTY, 0, ""},
        {"\"expect\":[\"4XX\"]", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 0, ""},
        {"\"expect\":[\"400-404\"]", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 0, ""},
        {"\"expect\":[\"400-403\"]", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 1,
         "answered 404 Not Found"},
        {POST, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 1,
         "POST http://127.0.0.1:PORT/path: answered 400 Bad Request"},
        {POST, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 1, "answered 401 Unauthorized"},
        {POST, "HTTP/1.1 408 No\r\nContent-Length: 0\r\n\r\n", 75, "answered 408 Request Timeout"},
        {POST, "HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", 1, "answered 409 Conflict"},
        {POST, "HTTP/1.1 409 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", 75,
         "answered 409 Conflict"},
        {POST, "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n", 1, NULL},
        {POST, "HTTP/1.1 425 No\r\nContent-Length: 0\r\n\r\n", 75, NULL},
        {POST, "HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", 75,
         "answered 429 Too Many Requests"},
        {POST, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 75, NULL},
        {POST, "HTTP/1.1 529 No\r\nContent-Length: 0\r\n\r\n", 75, NULL},
        {POST, "HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n", 1, NULL},
        {POST, "HTTP/1.1 505 No\r\nContent-Length: 0\r\n\r\n", 1, NULL},
        {POST, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 79,
         "answered 500 Internal Server Error; whether it acted before is not known"},
        {POST, "HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {POST, "HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {POST, "HTTP/1.1 599 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {"\"method\":\"PUT\"", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {"\"method\":\"DELETE\"", "HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {"\"method\":\"PATCH\"", "HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", 79, NULL},
        {NULL, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 75, NULL},
        {"\"method\":\"HEAD\"", "HTTP/1.1 502 No\r\n\r\n", 75, NULL},
        {"\"method\":\"OPTIONS\"", "HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", 75, NULL},
        {POST,
         "HTTP/1.1 302 Found\r\nLocation: http://other.example/x?token=s3cret\r\n"
         "Content-Length: 0\r\n\r\n",
         1,
         "answered 302 Found to http://other.example/x; redirects are not followed: give that "
         "address as `url`, if it is the right one"},
        {NULL, "HTTP/1.1 304 Not Modified\r\n\r\n", 1, "answered 304 Not Modified"},
        /* no HTTP; nothing but an end; an answer that breaks off */
        {POST, "SSH-2.0-OpenSSH\r\n", 79, NULL},
        {NULL, "SSH-2.0-OpenSSH\r\n", 75, NULL},
        {POST, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 79,
         "answered 200 OK, and then broke off: closed by the far side"},
        {NULL, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", 75, NULL},
        {POST, "HTTP/1.1 400 Bad Request\r\nContent-Length: 10\r\n\r\nhalf", 1, NULL},
        {POST, "HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nhalf", 75, NULL},
        {POST, "", 79, "sent, and no answer came: closed by the far side"},
        {NULL, "", 75, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exchange e = {.more = rows[i].more, .answer = rows[i].answer, .close = true};
        exchange(&e, simulated);
        if (e.got.code != rows[i].code) {
            fail_msg("row %zu: %d, not %d: %s", i, e.got.code, rows[i].code, e.got.message);
        }
        const char *wanted = rows[i].message ? rows[i].message : "";
        if (str_starts(wanted, "POST http")) {
            assert_true(str_starts(e.got.message, "POST http://127.0.0.1:"));
            wanted = strstr(wanted, "/path");
        }
        if (!str_ends(e.got.message, wanted)) {
            fail_msg("row %zu: %s", i, e.got.message);
        }
        exchange_free(&e);
    }
}

static void resets(bool simulated) {
    struct exchange e = {.reset = true, .more = POST};
    exchange(&e, simulated);
    assert_int_equal(e.got.code, STEP_CODE_UNKNOWN);
    assert_non_null(strstr(e.got.message, "sent, and no answer came: connection reset"));
    exchange_free(&e);
    e = (struct exchange){.reset = true};
    exchange(&e, simulated);
    assert_int_equal(e.got.code, STEP_CODE_PASSING);
    exchange_free(&e);
}

/* Nobody listens, and nothing is sent: no doubt, whatever the method. */
static void refused(bool simulated) {
    struct world w;
    world_calm(&w, simulated);
    struct raw_server server = {0};
    raw_server_open(&server, &w, NULL, 0);
    char *request =
        str_format("{\"method\":\"POST\",\"url\":\"http://127.0.0.1:%u/\"}", server.port);
    raw_server_close(&server);
    struct step_given given = {.request = request};
    struct step_answer got;
    step_answer_init(&got);
    step_program_run(w.loop, http_step, &given, &got);
    assert_int_equal(got.code, STEP_CODE_PASSING);
    assert_true(str_ends(got.message, ": nothing was sent: connection refused"));
    step_answer_free(&got);
    free(request);
    world_end(&w);
}

static void hung(void **state) {
    (void)state;
    struct exchange e = {.more = POST, .deadline = 10 * HARDY_SECOND};
    exchange(&e, true); /* sent, and then silence: a moment before the deadline */
    assert_int_equal(e.got.code, STEP_CODE_UNKNOWN);
    assert_true(str_ends(e.got.message, "waiting for an answer: deadline passed"));
    expect_between(e.took, 9400 * HARDY_MILLISECOND, 9600 * HARDY_MILLISECOND);
    exchange_free(&e);
    e = (struct exchange){.deadline = HARDY_SECOND};
    exchange(&e, true);
    assert_int_equal(e.got.code, STEP_CODE_PASSING);
    expect_between(e.took, 790 * HARDY_MILLISECOND, 810 * HARDY_MILLISECOND);
    exchange_free(&e);
    /* a greeting of TLS that is never answered: nothing of the request has left */
    e = (struct exchange){.scheme = "https", .more = POST, .deadline = 10 * HARDY_SECOND};
    exchange(&e, true);
    assert_int_equal(e.got.code, STEP_CODE_PASSING);
    assert_true(str_ends(e.got.message, "nothing was sent: connecting: deadline passed"));
    exchange_free(&e);
    /* without a deadline */
    e = (struct exchange){.more = POST};
    exchange(&e, true);
    assert_int_equal(e.got.code, STEP_CODE_UNKNOWN);
    expect_between(e.took, 299 * HARDY_SECOND, 301 * HARDY_SECOND);
    exchange_free(&e);
    e = (struct exchange){.scheme = "https", .more = POST};
    exchange(&e, true);
    assert_int_equal(e.got.code, STEP_CODE_PASSING);
    expect_between(e.took, 29 * HARDY_SECOND, 31 * HARDY_SECOND);
    exchange_free(&e);
    /* it has passed: nothing is begun */
    e = (struct exchange){.more = POST, .answer = OK_EMPTY, .deadline = -HARDY_SECOND};
    exchange(&e, true);
    assert_int_equal(e.got.code, STEP_CODE_PASSING);
    assert_true(str_ends(e.got.message, "the deadline passed before anything was sent"));
    assert_int_equal(e.heard.len, 0);
    exchange_free(&e);
}

static void retry_after(void **state) {
    static const struct {
        const char *header, *status;
        int code;
        int64_t span; /* -1 = not told */
    } rows[] = {
        {"Retry-After: 3\r\n", "429", 75, 3 * HARDY_SECOND},
        {"Retry-After: 120\r\n", "503", 75, 120 * HARDY_SECOND},
        {"retry-after-ms: 250\r\nRetry-After: 3\r\n", "429", 75, 250 * HARDY_MILLISECOND},
        {"Retry-After: soon\r\n", "429", 75, -1},
        {"", "429", 75, -1},
        {"Retry-After: 3\r\n", "500", 79, 3 * HARDY_SECOND},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *answer = str_format("HTTP/1.1 %s No\r\n%sContent-Length: 9\r\n\r\n{\"a\":\"b\"}",
                                  rows[i].status, rows[i].header);
        struct exchange e = {.more = POST, .answer = answer};
        int64_t span = -1;
        exchange(&e, true);
        assert_int_equal(e.got.code, rows[i].code);
        assert_int_equal(http_step_retry_after(e.got.output.data, e.got.output.len, &span),
                         rows[i].span >= 0);
        assert_int_equal(span, rows[i].span);
        json_t *line = json_loads(e.got.output.data, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(line, "body")), "{\"a\":\"b\"}");
        assert_int_equal(json_integer_value(json_object_get(line, "status")),
                         strtol(rows[i].status, NULL, 10));
        json_decref(line);
        exchange_free(&e);
        free(answer);
    }
    int64_t span = 7;
    static const char *const none[] = {
        "",
        "\n",
        "text",
        "{\"retry_after_ms\":0}",
        "{\"retry_after_ms\":-1}",
        "{\"retry_after_ms\":\"1\"}",
        "{\"retry_after_ms\":1}\nlast line",
        "[1]",
    };
    for (size_t i = 0; i < COUNT(none); i++) {
        assert_false(http_step_retry_after(none[i], strlen(none[i]), &span));
    }
    assert_int_equal(span, 7);
    static const char last[] = "first\n{\"retry_after_ms\":5}\n";
    assert_true(http_step_retry_after(last, strlen(last), &span));
    assert_int_equal(span, 5 * HARDY_MILLISECOND);
}

/* What the far side hears. */
static void requests(void **state) {
    char hash[65];
    sha256_hex("schl\xc3\xbcssel", strlen("schl\xc3\xbcssel"), hash);
    char *hashed = str_format("idempotency-key: \"%s\"\r\n", hash);
    const struct {
        const char *more, *key, *heard, *not_heard;
    } rows[] = {
        {NULL, "k", "GET /path?token=s3cret HTTP/1.1\r\n", "idempotency-key"},
        {NULL, "k", "user-agent: hardy/", "content-"},
        {"\"headers\":{\"User-Agent\":\"me\",\"X-Token\":\"s3cret\"}", NULL, "X-Token: s3cret\r\n",
         "hardy/"},
        {POST, "run/a \"b\" \\", "idempotency-key: \"run/a \\\"b\\\" \\\\\"\r\n", NULL},
        {POST, "schl\xc3\xbcssel", hashed, "schl"},
        {POST, NULL, "content-length: 1\r\n", "idempotency-key"},
        {POST ",\"headers\":{\"Idempotency-Key\":\"own\"}", "k", "Idempotency-Key: own\r\n",
         "\"k\""},
        {"\"method\":\"PATCH\",\"json\":{\"b\":1.50,\"a\":[null,\"\xc3\xa9\"]}", "k",
         "\r\n\r\n{\"b\":1.5,\"a\":[null,\"\xc3\xa9\"]}", NULL},
        {"\"method\":\"PATCH\",\"json\":3", "k", "content-type: application/json\r\n", NULL},
        {"\"method\":\"PATCH\",\"json\":null", "k", "\r\n\r\nnull", NULL},
        {"\"method\":\"PUT\",\"json\":3,\"headers\":{\"Content-Type\":\"a/b\"}", "k",
         "Content-Type: a/b\r\n", "application/json"},
        {"\"method\":\"PUT\",\"json\":3", "k", "PUT /path", "idempotency-key"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exchange e = {.more = rows[i].more, .answer = OK_EMPTY, .key = rows[i].key};
        exchange(&e, true);
        if (e.got.code != 0 || !strstr(e.heard.data, rows[i].heard) ||
            (rows[i].not_heard && strstr(e.heard.data, rows[i].not_heard))) {
            fail_msg("row %zu: %s: %s", i, e.got.message, e.heard.data);
        }
        exchange_free(&e);
    }
    free(hashed);
}

static void refusals(void **state) {
    static const struct {
        const char *request, *message;
    } rows[] = {
        {NULL, "HARDY_REQUEST is not set"},
        {"", "HARDY_REQUEST is not set"},
        {"{", "HARDY_REQUEST is not JSON: "},
        {"[]", "HARDY_REQUEST is not a JSON object"},
        {"{\"url\":\"http://a\",\"url\":\"http://b\"}", "HARDY_REQUEST is not JSON: duplicate"},
        {"@/nowhere/at/all", "HARDY_REQUEST names the file /nowhere/at/all: "},
        {"{}", "http: the request: Object item not found: url"},
        {"{\"url\":1}", "http: the request: Expected string, got integer"},
        {"{\"url\":\"http://a\",\"hedaers\":{}}",
         "http: the request: 1 object item(s) left unpacked: hedaers"},
        {"{\"url\":\"user:s3cret@a?s3cret\"}", "http: `url` begins with http:// or https://"},
        {"{\"url\":\"http://user:s3cret@a/\"}",
         "http: `url`: a user name in a URL is not accepted"},
        {"{\"url\":\"http://a/x?s3cret y\"}", "http: `url`: what follows \"?\""},
        {"{\"url\":\"http://a/x#s3cret\"}", "http: `url`: what follows \"?\""},
        {"{\"url\":\"http://a b/\"}", "http: `url`: \"a b\" is not a host"},
        {"{\"url\":\"http://a\",\"method\":\"G T\"}", "http: `method` is a word"},
        {"{\"url\":\"http://a\",\"method\":\"CONNECT\"}", "CONNECT http://a/: \"CONNECT\" is not"},
        {"{\"url\":\"http://a\",\"headers\":[]}", "http: `headers` is an object of texts"},
        {"{\"url\":\"http://a\",\"headers\":{\"a\":1}}",
         "http: `headers`: the value of a is a text"},
        {"{\"url\":\"http://a\",\"headers\":{\"a b\":\"s3cret\"}}", "http: `headers`: a b is no"},
        {"{\"url\":\"http://a\",\"headers\":{\"a\":\"s3cret\\r\\nb: c\"}}",
         "http: `headers`: a is no"},
        {"{\"url\":\"http://a\",\"headers\":{\"Host\":\"b\"}}",
         "http: `headers`: Host is written by hardy itself"},
        {"{\"url\":\"http://a\",\"headers\":{\"Content-Length\":\"1\"}}",
         "http: `headers`: Content-Length is written by hardy itself"},
        {"{\"url\":\"http://a\",\"body\":\"x\",\"json\":1}",
         "http: `body` and `json` cannot stand together"},
        {"{\"url\":\"http://a\",\"expect\":[]}", "http: `expect` is a list"},
        {"{\"url\":\"http://a\",\"expect\":200}", "http: `expect` is a list"},
        {"{\"url\":\"http://a\",\"expect\":[99]}", "http: `expect`: statuses are such as"},
        {"{\"url\":\"http://a\",\"expect\":[4294967496]}", "http: `expect`: statuses are such as"},
        {"{\"url\":\"http://a\",\"expect\":[\"2x\"]}", "http: `expect`: statuses are such as"},
        {"{\"url\":\"http://a\",\"expect\":[\"204-200\"]}", "http: `expect`: statuses are such as"},
        {"{\"url\":\"http://a\",\"expect\":[\"200-999\"]}", "http: `expect`: statuses are such as"},
        {"{\"url\":\"http://a\",\"max_output\":-1}", "http: `max_output` is 0 to"},
        {"{\"url\":\"https://a\",\"ca_file\":\"/nowhere/at/all\"}", "GET https://a/: "},
    };
    struct world w;
    (void)state;
    world_calm(&w, true);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct step_given given = {.request = rows[i].request};
        struct step_answer got;
        step_answer_init(&got);
        step_program_run(w.loop, http_step, &given, &got);
        if (got.code != STEP_CODE_FAILED || !str_starts(got.message, rows[i].message) ||
            strstr(got.message, "s3cret")) {
            fail_msg("row %zu: %d: %s", i, got.code, got.message);
        }
        json_t *line = json_loads(got.output.data, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(line, "error")), got.message);
        json_decref(line);
        step_answer_free(&got);
    }
    static const char *const deadlines[] = {"30s", "soon", "2026-02-30T00:00:00Z", "T", "1e9"};
    for (size_t i = 0; i < COUNT(deadlines); i++) {
        struct step_given given = {.request = "{\"url\":\"http://a\"}", .deadline = deadlines[i]};
        struct step_answer got;
        step_answer_init(&got);
        step_program_run(w.loop, http_step, &given, &got);
        assert_int_equal(got.code, STEP_CODE_FAILED);
        assert_true(str_starts(got.message, "http: HARDY_DEADLINE "));
        step_answer_free(&got);
    }
    world_end(&w);
}

/* Bodies of 1 MiB, and what is longer than is kept. */
static void sizes(bool simulated) {
    static const size_t mib = 1 << 20;
    char *body = malloc(mib + 1);
    memset(body, 'x', mib);
    body[mib] = '\0';
    char *answer = str_format("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", mib, body);
    char *chunked = str_format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n"
                               "0\r\n\r\n",
                               mib, body);
    char *send = str_format("\"method\":\"POST\",\"body\":\"%s\"", body);
    const struct {
        const char *more, *answer;
        size_t kept;
    } rows[] = {
        {send, answer, mib},
        {NULL, chunked, mib},
        {"\"max_output\":1048576", answer, mib},
        {"\"max_output\":1048575", answer, mib}, /* one more than the limit, so it is seen */
        {"\"max_output\":1000", answer, 1001},
        {"\"max_output\":1000", chunked, 1001},
        {"\"max_output\":0", answer, 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct exchange e = {.more = rows[i].more, .answer = rows[i].answer};
        exchange(&e, simulated);
        assert_int_equal(e.got.code, STEP_CODE_DONE);
        assert_int_equal(e.got.output.len, rows[i].kept);
        assert_int_equal(strspn(e.got.output.data, "x"), rows[i].kept);
        assert_int_equal(e.got.message[0] != '\0', i >= 3);
        assert_true(i < 3 || strstr(e.got.message, " bytes: its beginning is kept"));
        exchange_free(&e);
    }
    /* of a failure, the beginning only */
    char *error = str_format("HTTP/1.1 404 No\r\nContent-Length: %zu\r\n\r\n%s", mib, body);
    struct exchange e = {.answer = error};
    exchange(&e, simulated);
    assert_int_equal(e.got.code, STEP_CODE_FAILED);
    assert_true(e.got.output.len > 1000 && e.got.output.len < 1300);
    exchange_free(&e);
    free(error);
    free(send);
    free(chunked);
    free(answer);
    free(body);
}

/* --- https ------------------------------------------------------------------------------------ */

struct secure_peer {
    const struct authority *serve;
    struct tls_peer tls;
    struct buf plain;
};

static void secure_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct secure_peer *p = ctx;
    struct buf out;
    buf_init(&out, 1 << 20);
    tls_peer_input(&p->tls, data, len, &p->plain);
    if (p->plain.len > 0 && strstr(p->plain.data, "\r\n\r\n")) {
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe";
        tls_peer_write(&p->tls, answer, strlen(answer));
    }
    tls_peer_output(&p->tls, &out);
    stream_write(s, out.data, out.len);
    buf_free(&out);
}

static void secure_closed(void *ctx, struct stream *s, enum close_reason reason,
                          const char *detail) {
    struct secure_peer *p = ctx;
    (void)s, (void)reason, (void)detail;
    tls_peer_free(&p->tls);
    buf_free(&p->plain);
    free(p);
}

static void secure_accepted(void *ctx, struct stream *s) {
    static const struct stream_events events = {.data = secure_data, .closed = secure_closed};
    struct secure_peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    buf_init(&p->plain, 1 << 20);
    tls_peer_init(&p->tls, ctx, 0);
    stream_set_events(s, &events, p);
}

static void https(void **state) {
    static const struct listener_events events = {.accepted = secure_accepted};
    struct authority ours, good;
    char ca_file[64];
    (void)state;
    authority_make(&ours, "ours", NULL, NULL, -1, 1);
    authority_make(&good, "x", &ours, "IP:127.0.0.1", -1, 1);
    authority_write(&ours, ca_file);
    for (int trusted = 0; trusted < 2; trusted++) {
        struct world w;
        world_calm(&w, true);
        struct listener *l = listener_open(w.loop, "127.0.0.1", 0, &events, &good, NULL);
        char *ca = str_format(",\"ca_file\":\"%s\"", ca_file);
        char *request = str_format("{\"method\":\"POST\",\"url\":\"https://127.0.0.1:%u/\"%s}",
                                   listener_port(l), trusted ? ca : "");
        struct step_given given = {.request = request};
        struct step_answer got;
        step_answer_init(&got);
        step_program_run(w.loop, http_step, &given, &got);
        if (trusted) {
            assert_int_equal(got.code, STEP_CODE_DONE);
            assert_string_equal(got.output.data, "safe");
        } else {
            assert_int_equal(got.code, STEP_CODE_FAILED);
            assert_non_null(strstr(got.message, ": nothing was sent: connecting: "));
            assert_non_null(strstr(got.message, "certificate"));
        }
        step_answer_free(&got);
        listener_close(l);
        world_end(&w);
        free(request);
        free(ca);
    }
    unlink(ca_file);
    authority_free(&good);
    authority_free(&ours);
}

static void codes(void **state) {
    (void)state;
    assert_int_equal(step_program_ending(0), STEP_DONE);
    assert_int_equal(step_program_ending(75), STEP_PASSING);
    assert_int_equal(step_program_ending(79), STEP_UNKNOWN);
    assert_int_equal(step_program_ending(1), STEP_FAILED);
    assert_int_equal(step_program_ending(127), STEP_FAILED);
}

BOTH(endings)
BOTH(resets)
BOTH(refused)
BOTH(sizes)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST_BOTH(endings),         TEST_BOTH(resets),          TEST_BOTH(refused),
        cmocka_unit_test(hung),     cmocka_unit_test(requests), cmocka_unit_test(retry_after),
        cmocka_unit_test(refusals), TEST_BOTH(sizes),           cmocka_unit_test(https),
        cmocka_unit_test(codes),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
