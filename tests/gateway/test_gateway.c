/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway between a client and an upstream that answers by plan, in virtual time: what passes
 * untouched, what is tried again, when, and what the client gets in the end. */
#include "base/log.h"
#include "support.h"

#define MESSAGES "/up/v1/messages"
#define BODY "{\"model\":\"m-1\",\"max_tokens\":9,\"messages\":[],\"unknown\": {\"b\":1,  \"a\":2}}"
#define STREAM "{\"model\":\"m-1\",\"max_tokens\":9,\"stream\":true,\"messages\":[]}"
#define GOOD "{\"type\":\"message\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}"
#define OVERLOADED                                                                                 \
    "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}"

/* --- bytes pass untouched --------------------------------------------------------------------- */

static void passes_untouched(void **state) {
    (void)state;
    const char *answers[] = {json_answer(
        200, "request-id: req_7\r\nanthropic-ratelimit-requests-remaining: 49\r\nX-Odd: a  b\r\n",
        GOOD)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES "?beta=true", BODY, "x-api-key", "sk-mine", "anthropic-version",
        "2026-10-21", "anthropic-beta", "one,two", "Content-Type", "application/json",
        "accept-encoding", "gzip, br", "x-hardy-session", "s1", NULL);
    assert_int_equal(a.log.status, 200);
    assert_string_equal(a.log.body.data, GOOD);
    assert_true(has_header(&a, "request-id: req_7"));
    assert_true(has_header(&a, "X-Odd: a  b"));
    assert_true(has_header(&a, "anthropic-ratelimit-requests-remaining: 49"));
    assert_true(has_header(&a, "x-hardy-attempts: 1"));
    assert_true(has_header(&a, "x-hardy-upstream: up"));
    assert_true(header_number(&a, "x-hardy-overhead-us") >= 0);
    const char *heard = b.upstream.heard.data;
    assert_non_null(strstr(heard, "POST /v1/messages?beta=true HTTP/1.1\r\n"));
    assert_non_null(strstr(heard, "x-api-key: sk-mine\r\n"));
    assert_non_null(strstr(heard, "anthropic-version: 2026-10-21\r\n"));
    assert_non_null(strstr(heard, "anthropic-beta: one,two\r\n"));
    assert_non_null(strstr(heard, "accept-encoding: gzip, br\r\n"));
    assert_non_null(strstr(heard, "\r\n\r\n" BODY));
    assert_null(strcasestr(heard, "x-hardy"));
    const struct request_record *r = last_record(&b);
    assert_string_equal(r->model, "m-1");
    assert_string_equal(r->session, "s1");
    assert_int_equal(r->usage.input, 3);
    assert_int_equal(r->usage.output, 4);
    assert_int_equal(r->outcome, REQUEST_OK);
    asked_free(&a);
    bench_end(&b);
}

/* Compressed answers cannot be read, and need not be. */
static void compressed_answers_pass(void **state) {
    (void)state;
    const char *answers[] = {json_answer(200, "content-encoding: gzip\r\n", "\x1f\x8b not json")};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 200);
    assert_string_equal(a.log.body.data, "\x1f\x8b not json");
    assert_true(has_header(&a, "content-encoding: gzip"));
    asked_free(&a);
    bench_end(&b);
}

static void paths_are_found(void **state) {
    (void)state;
    const char *answers[] = {json_answer(200, "", GOOD), json_answer(200, "", GOOD),
                             json_answer(200, "", GOOD)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 3});
    ask(&b, &a, "HEAD", "/up", NULL, NULL);
    assert_int_equal(a.log.status, 200);
    asked_free(&a);
    ask(&b, &a, "GET", "/other/v1", NULL, NULL);
    assert_int_equal(a.log.status, 404);
    assert_non_null(strstr(a.log.body.data, "/up/..."));
    asked_free(&a);
    assert_int_equal(b.upstream.next, 0);
    ask(&b, &a, "GET", "/up/v1/models", NULL, NULL);
    assert_non_null(strstr(b.upstream.heard.data, "GET /v1/models HTTP/1.1\r\n"));
    asked_free(&a);
    ask(&b, &a, "GET", "/up", NULL, NULL);
    assert_non_null(strstr(b.upstream.heard.data, "GET / HTTP/1.1\r\n"));
    asked_free(&a);
    bench_end(&b);
}

static void a_doubled_version_is_folded(void **state) {
    (void)state;
    const char *answers[] = {json_answer(200, "", "{}"), json_answer(200, "", "{}")};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2, .protocol = "openai"});
    char sections[200];
    snprintf(sections, sizeof sections, "guards: {g: {deadline: 10s}}\n");
    bench_reload(&b, &(struct bench_options){.protocol = "openai", .sections = sections});
    ask(&b, &a, "POST", "/up/v1/chat/completions", "{\"model\":\"x\"}", NULL);
    assert_non_null(strstr(b.upstream.heard.data, "POST /v1/chat/completions HTTP/1.1\r\n"));
    asked_free(&a);
    bench_end(&b);
}

/* --- what is tried again ---------------------------------------------------------------------- */

struct retry_case {
    const char *name;
    const char *answer; /* the first; then a good one */
    int attempts, status;
    int64_t least, most; /* until the client has its answer */
    const char *header;  /* in what the client gets; NULL */
    const char *lacks;
};

static void retries_as_told(void **state) {
    (void)state;
    const struct retry_case cases[] = {
        {"529", json_answer(529, "", OVERLOADED), 2, 200, 0, 1100, NULL, NULL},
        {"503", json_answer(503, "", OVERLOADED), 2, 200, 0, 1100, NULL, NULL},
        {"500", json_answer(500, "", OVERLOADED), 2, 200, 0, 1100, NULL, NULL},
        {"408", json_answer(408, "", OVERLOADED), 2, 200, 0, 1100, NULL, NULL},
        {"429", json_answer(429, "retry-after: 2\r\n", "{}"), 2, 200, 2000, 3100, NULL, NULL},
        {"429 ms", json_answer(429, "retry-after-ms: 1500\r\nretry-after: 9\r\n", "{}"), 2, 200,
         1500, 2600, NULL, NULL},
        {"429 fraction", json_answer(429, "retry-after: 0.5\r\n", "{}"), 2, 200, 500, 1600, NULL,
         NULL},
        {"429 reset",
         json_answer(429,
                     "anthropic-ratelimit-requests-remaining: 0\r\n"
                     "anthropic-ratelimit-requests-reset: 2026-01-01T00:00:07Z\r\n",
                     "{}"),
         2, 200, 1, 9000, NULL, NULL},
        {"529 with x-should-retry false",
         json_answer(529, "x-should-retry: false\r\nrequest-id: r9\r\n", OVERLOADED), 1, 529, 0,
         100, "request-id: r9", "retry-after"},
        {"400", json_answer(400, "request-id: r9\r\n", "{\"type\":\"error\"}"), 1, 400, 0, 100,
         "request-id: r9", "x-should-retry"},
        {"400 with x-should-retry true", json_answer(400, "x-should-retry: true\r\n", "{}"), 2, 200,
         0, 1100, NULL, NULL},
        {"401", json_answer(401, "", "{}"), 1, 401, 0, 100, NULL, NULL},
        {"404", json_answer(404, "", "{}"), 1, 404, 0, 100, NULL, NULL},
        {"spend limit",
         json_answer(
             429, "",
             "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\","
             "\"details\":{\"error_code\":\"enforced_spend_limit_reached\"}}}"),
         1, 429, 0, 100, "x-should-retry: false", NULL},
        {"ramp limit waits",
         json_answer(
             429, "retry-after: 1\r\n",
             "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\","
             "\"details\":{\"error_code\":\"ramp_limit_exceeded\"}}}"),
         2, 200, 1000, 2100, NULL, NULL},
        {"subscription limit",
         json_answer(429, "anthropic-ratelimit-unified-status: rejected\r\nretry-after: 9000\r\n",
                     "{}"),
         1, 429, 0, 100, "retry-after: 9000", "x-should-retry"},
        {"200 overloaded", json_answer(200, "", OVERLOADED), 2, 200, 0, 1100, NULL, NULL},
        {"200 failed by a number",
         json_answer(200, "", "{\"error\":{\"code\":502,\"message\":\"x\"}}"), 2, 200, 0, 1100,
         NULL, NULL},
        {"no JSON", json_answer(200, "", "{\"type\":\"mess"), 2, 200, 0, 1100, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct retry_case *k = &cases[i];
        const char *answers[] = {k->answer, json_answer(200, "", GOOD)};
        struct bench b;
        struct asked a;
        print_message("# %s\n", k->name);
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
        ask(&b, &a, "POST", MESSAGES, BODY, NULL);
        assert_int_equal(a.log.status, k->status);
        assert_int_equal(b.upstream.next, k->attempts);
        assert_int_equal(header_number(&a, "x-hardy-attempts"), k->attempts);
        expect_between(took(&a), k->least * HARDY_MILLISECOND, k->most * HARDY_MILLISECOND);
        if (k->status == 200) {
            assert_string_equal(a.log.body.data, GOOD);
        } else {
            assert_non_null(strstr(k->answer, a.log.body.data)); /* as it came */
        }
        assert_true(!k->header || has_header(&a, k->header));
        assert_true(!k->lacks || !strcasestr(a.log.headers.data, k->lacks));
        asked_free(&a);
        bench_end(&b);
    }
}

/* The list narrows what is tried again, and takes nothing else away: what it does not name reaches
 * the client as it came, what has no status is tried again as ever. */
static void only_what_retry_on_names(void **state) {
    (void)state;
    static const struct {
        const char *list;
        int status;
        const char *head;
        int attempts;
    } cases[] = {
        {"[429, 500-503]", 500, "", 2},
        {"[429, 500-503]", 429, "retry-after: 1\r\n", 2},
        {"[429, 500-503]", 529, "", 1},
        {"[429, 500-503]", 504, "x-should-retry: true\r\n", 1},
        {"[500-599]", 429, "retry-after: 1\r\n", 1},
        {"[400, 500]", 400, "", 1},    /* a list does not make passing what is not */
        {"[75, 100-120]", 529, "", 2}, /* of commands: says nothing of answers */
        {"[500]", 0, "", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = cases[i].status;
        const char *answers[] = {status > 0 ? json_answer(status, cases[i].head, OVERLOADED) : "",
                                 json_answer(200, "", GOOD)};
        const bool resets[] = {status == 0, false};
        char sections[80];
        struct bench b;
        struct asked a;
        snprintf(sections, sizeof sections, "guards:\n  g: {retry: {retry_on: %s}}\n",
                 cases[i].list);
        bench_begin(&b, &(struct bench_options){.answers = answers,
                                                .count = 2,
                                                .upstream_keys = ", guard: g",
                                                .sections = sections});
        b.upstream.reset_before = resets;
        ask(&b, &a, "POST", MESSAGES, BODY, NULL);
        assert_int_equal(b.upstream.next, cases[i].attempts);
        assert_int_equal(a.log.status, cases[i].attempts == 2 ? 200 : status);
        assert_string_equal(a.log.body.data, cases[i].attempts == 2 ? GOOD : OVERLOADED);
        assert_false(has_header(&a, "x-should-retry: false"));
        asked_free(&a);
        bench_end(&b);
    }
    /* Inside a stream overloaded counts as 529. */
    const char *stream = sse_answer("event: error\ndata: " OVERLOADED "\n\n");
    const char *answers[] = {stream, stream};
    struct bench b;
    struct asked a;
    bench_begin(&b,
                &(struct bench_options){.answers = answers,
                                        .count = 2,
                                        .upstream_keys = ", guard: g",
                                        .sections = "guards:\n  g: {retry: {retry_on: [429]}}\n"});
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(b.upstream.next, 1);
    assert_non_null(strstr(a.log.body.data, "overloaded_error"));
    asked_free(&a);
    bench_end(&b);
}

/* What will not pass reaches the client as it came; so does what is no model's answer, whatever
 * stands in it. */
static void errors_as_whole_answers_with_200(void **state) {
    (void)state;
    static const struct {
        const char *path, *body;
    } cases[] = {
        {MESSAGES, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}"},
        {MESSAGES, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}"},
        {MESSAGES, "{\"type\":\"message\",\"error\":null}"},
        {"/up/v1/messages/batches/b1", OVERLOADED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answers[] = {json_answer(200, "", cases[i].body), json_answer(200, "", GOOD)};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
        ask(&b, &a, "POST", cases[i].path, BODY, NULL);
        assert_int_equal(b.upstream.next, 1);
        assert_int_equal(a.log.status, 200);
        assert_string_equal(a.log.body.data, cases[i].body);
        asked_free(&a);
        bench_end(&b);
    }
}

static void broken_connections_are_tried_again(void **state) {
    (void)state;
    const char *answers[] = {"",
                             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                             "content-length: 500\r\n\r\n{\"half\":",
                             json_answer(200, "", GOOD)};
    const bool resets[] = {true, false, false};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 3});
    b.upstream.reset_before = resets;
    b.upstream.close_after = true;
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 200);
    assert_string_equal(a.log.body.data, GOOD);
    assert_int_equal(b.upstream.next, 3);
    const struct request_record *r = last_record(&b);
    assert_int_equal(r->tries[0].result, ATTEMPT_RESET);
    assert_int_equal(r->tries[1].result, ATTEMPT_RESET);
    assert_int_equal(r->tries[2].result, ATTEMPT_OK);
    asked_free(&a);
    bench_end(&b);
}

static void passing_trouble_ends_in_the_clients_protocol(void **state) {
    (void)state;
    const char *answers[400];
    for (size_t i = 0; i < 400; i++) {
        answers[i] = "HTTP/1.1 529 X\r\ncontent-type: application/json\r\ncontent-length: "
                     "2\r\n\r\n{}";
    }
    const struct {
        const char *protocol, *path;
        int status;
        const char *in_body;
    } cases[] = {{"anthropic", MESSAGES, 529, "\"type\":\"overloaded_error\""},
                 {"openai", "/up/chat/completions", 503, "\"type\":\"server_error\""}};
    for (size_t i = 0; i < 2; i++) {
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){
                            .answers = answers, .count = 400, .protocol = cases[i].protocol});
        ask(&b, &a, "POST", cases[i].path, BODY, NULL);
        assert_int_equal(a.log.status, cases[i].status);
        assert_non_null(strstr(a.log.body.data, cases[i].in_body));
        expect_between(header_number(&a, "retry-after"), 1, 59);
        assert_null(strcasestr(a.log.headers.data, "x-should-retry"));
        expect_between(took(&a), 30 * HARDY_SECOND, 281 * HARDY_SECOND);
        assert_true(b.upstream.next > 5);
        assert_int_equal(last_record(&b)->outcome, REQUEST_PROVIDER);
        asked_free(&a);
        bench_end(&b);
    }
}

/* A wait that does not fit the deadline is not begun; the client is told at once, and less than
 * what makes it give up. */
static void too_long_a_wait_is_told_at_once(void **state) {
    (void)state;
    const char *answers[] = {json_answer(429, "retry-after: 3600\r\n", "{}")};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 529);
    assert_int_equal(header_number(&a, "retry-after"), 59);
    assert_true(took(&a) < HARDY_SECOND);
    asked_free(&a);
    bench_end(&b);
}

static void the_clients_own_limit_holds(void **state) {
    (void)state;
    const char *answers[] = {NULL};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 0});
    ask(&b, &a, "POST", MESSAGES, BODY, "x-stainless-timeout", "20", NULL);
    assert_int_equal(a.log.status, 529);
    expect_between(took(&a), 18 * HARDY_SECOND, 20 * HARDY_SECOND);
    asked_free(&a);
    ask(&b, &a, "POST", MESSAGES, BODY, "x-hardy-timeout", "5s", NULL);
    assert_int_equal(a.log.status, 529);
    expect_between(took(&a), 5 * HARDY_SECOND - HARDY_MILLISECOND, 5200 * HARDY_MILLISECOND);
    asked_free(&a);
    ask(&b, &a, "POST", MESSAGES, BODY, "x-hardy-timeout", "5", NULL);
    assert_int_equal(a.log.status, 400);
    assert_true(has_header(&a, "x-should-retry: false"));
    asked_free(&a);
    bench_end(&b);
}

/* --- streams ---------------------------------------------------------------------------------- */

static const char *const message_events[] = {
    "event: message_start\ndata: "
    "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,"
    "\"cache_read_input_tokens\":100,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"one "
    "\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":"
    "\"two\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":15}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"};
static const char *const chat_events[] = {
    "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"one \"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"content\":\"two\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", "data: [DONE]\n\n"};
static const char *const response_events[] = {
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0}\n\n",
    "event: response.in_progress\ndata: "
    "{\"type\":\"response.in_progress\",\"sequence_number\":1}\n\n",
    "event: response.output_text.delta\ndata: {\"delta\":\"one \",\"sequence_number\":2}\n\n",
    "event: response.output_text.delta\ndata: {\"delta\":\"two\",\"sequence_number\":3}\n\n",
    "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":4,"
    "\"response\":{\"usage\":{\"input_tokens\":8,\"output_tokens\":2}}}\n\n"};

static const struct stream_kind {
    const char *protocol, *path, *body;
    const char *const *events;
    size_t count, lifecycle; /* of them, how many come before the first content */
    const char *error;       /* what hardy's own error looks like */
} kinds[] = {
    {"anthropic", MESSAGES, STREAM, message_events, 8, 3,
     "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\""},
    {"openai", "/up/v1/chat/completions", STREAM, chat_events, 5, 1, "data: {\"error\":{"},
    {"openai", "/up/v1/responses", STREAM, response_events, 5, 2,
     "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\""},
};
#define KINDS 3

/* The first `count` events in one string; static. */
static const char *joined(const struct stream_kind *k, size_t count) {
    static char text[4096];
    text[0] = '\0';
    for (size_t i = 0, at = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", k->events[i]);
    }
    return text;
}

static void whole_streams_pass(void **state) {
    (void)state;
    static const size_t steps[] = {0, 1, 7, 100};
    for (size_t n = 0; n < KINDS; n++) {
        const struct stream_kind *k = &kinds[n];
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            const char *answers[] = {sse_answer(joined(k, k->count))};
            struct bench b;
            struct asked a;
            bench_begin(&b, &(struct bench_options){
                                .answers = answers, .count = 1, .protocol = k->protocol});
            b.upstream.step = steps[i];
            b.upstream.pause = HARDY_MILLISECOND;
            ask(&b, &a, "POST", k->path, k->body, "accept-encoding", "gzip, deflate", NULL);
            assert_int_equal(a.log.status, 200);
            assert_int_equal(a.log.ends, 1);
            assert_string_equal(a.log.body.data, joined(k, k->count));
            assert_true(has_header(&a, "request-id: req_1"));
            /* Events must be readable. */
            assert_non_null(strstr(b.upstream.heard.data, "accept-encoding: identity\r\n"));
            assert_null(strstr(b.upstream.heard.data, "gzip"));
            asked_free(&a);
            bench_end(&b);
        }
    }
}

static void usage_of_streams_is_read(void **state) {
    (void)state;
    const char *answers[] = {sse_answer(joined(&kinds[0], kinds[0].count))};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
    assert_int_equal(last_record(&b)->usage.input, 25);
    assert_int_equal(usage_input_total(&last_record(&b)->usage), 125);
    assert_int_equal(last_record(&b)->usage.output, 15);
    asked_free(&a);
    bench_end(&b);
}

/* Cut at each boundary, by a proper end or a reset: before the first content it is as if it had
 * never been; after it the client gets what came, and then the error of its protocol; never half an
 * answer that looks whole, never anything twice. */
static void cuts_are_never_silent(void **state) {
    (void)state;
    for (size_t n = 0; n < KINDS; n++) {
        const struct stream_kind *k = &kinds[n];
        for (size_t cut = 0; cut < k->count; cut++) {
            for (int reset = 0; reset < 2; reset++) {
                char half[9000];
                snprintf(half, sizeof half,
                         "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                         "transfer-encoding: chunked\r\n\r\n%zx\r\n%s\r\n%s",
                         strlen(joined(k, cut)), joined(k, cut), reset ? "" : "0\r\n\r\n");
                if (cut == 0) {
                    snprintf(half, sizeof half,
                             "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                             "transfer-encoding: chunked\r\n\r\n%s",
                             reset ? "" : "0\r\n\r\n");
                }
                const char *answers[] = {half, sse_answer(joined(k, k->count))};
                struct bench b;
                struct asked a;
                bench_begin(&b, &(struct bench_options){
                                    .answers = answers, .count = 2, .protocol = k->protocol});
                b.upstream.close_after = true;
                ask(&b, &a, "POST", k->path, k->body, NULL);
                assert_int_equal(a.log.status, 200);
                assert_int_equal(a.log.ends, 1);
                if (cut <= k->lifecycle) {
                    assert_int_equal(b.upstream.next, 2);
                    assert_string_equal(a.log.body.data, joined(k, k->count));
                    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
                } else {
                    const char *sent = joined(k, cut);
                    assert_int_equal(b.upstream.next, 1);
                    assert_memory_equal(a.log.body.data, sent, strlen(sent));
                    const char *rest = a.log.body.data + strlen(sent);
                    assert_memory_equal(rest, k->error, strlen(k->error));
                    assert_null(strstr(a.log.body.data, k->events[k->count - 1]));
                    assert_int_equal(last_record(&b)->outcome, REQUEST_CUT);
                }
                asked_free(&a);
                bench_end(&b);
            }
        }
    }
}

/* Half an event that is cut is not handed on; the terminal event is believed without its last line
 * end. */
static void half_events(void **state) {
    (void)state;
    const struct stream_kind *k = &kinds[0];
    char text[8192];
    for (size_t less = 1; less <= 20; less++) {
        snprintf(text, sizeof text, "%s", joined(k, k->count));
        text[strlen(text) - less] = '\0';
        const char *answers[] = {sse_answer(text)};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
        ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
        assert_int_equal(a.log.ends, 1);
        assert_non_null(strstr(a.log.body.data, "event: message_stop\n"));
        assert_null(strstr(a.log.body.data, "event: error"));
        asked_free(&a);
        bench_end(&b);
    }
    snprintf(text, sizeof text, "%sevent: content_block_delta\ndata: {\"ty", joined(k, 5));
    const char *answers[] = {sse_answer(text)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
    assert_null(strstr(a.log.body.data, "{\"ty\n"));
    assert_null(strstr(a.log.body.data, "data: {\"ty\""));
    assert_memory_equal(a.log.body.data + strlen(joined(k, 5)), k->error, strlen(k->error));
    asked_free(&a);
    bench_end(&b);
}

static void errors_inside_a_200(void **state) {
    (void)state;
    static const struct {
        size_t kind;
        const char *event;
        int attempts; /* when it comes before the first content */
    } cases[] = {
        {0,
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
         "\"message\":\"x\"}}\n\n",
         2},
        {0,
         "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
         "\"message\":\"x\"}}\n\n",
         1},
        {1, "data: {\"error\":{\"message\":\"x\",\"type\":\"server_error\"}}\n\n", 2},
        {1,
         "data: {\"error\":{\"message\":\"x\",\"type\":\"insufficient_quota\",\"code\":"
         "\"insufficient_quota\"}}\n\n",
         1},
        {2,
         "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"x\","
         "\"sequence_number\":2}\n\n",
         2},
        {2,
         "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":2,"
         "\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"x\"}}}\n\n",
         2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct stream_kind *k = &kinds[cases[i].kind];
        for (int late = 0; late < 2; late++) {
            char text[8192];
            size_t before = late ? k->lifecycle + 1 : k->lifecycle;
            snprintf(text, sizeof text, "%s%s", joined(k, before), cases[i].event);
            const char *answers[] = {sse_answer(text), sse_answer(joined(k, k->count))};
            struct bench b;
            struct asked a;
            print_message("# case %zu, %s\n", i, late ? "late" : "early");
            bench_begin(&b, &(struct bench_options){
                                .answers = answers, .count = 2, .protocol = k->protocol});
            ask(&b, &a, "POST", k->path, k->body, NULL);
            assert_int_equal(a.log.status, 200);
            assert_int_equal(b.upstream.next, late ? 1 : cases[i].attempts);
            if (late || cases[i].attempts == 1) { /* the upstream's own words, and no others */
                assert_string_equal(a.log.body.data, text);
            } else {
                assert_string_equal(a.log.body.data, joined(k, k->count));
            }
            asked_free(&a);
            bench_end(&b);
        }
    }
}

/* Silence: until the first content another attempt is made; on an open stream the client gets
 * comments, then the error. */
static void silence(void **state) {
    (void)state;
    const struct stream_kind *k = &kinds[0];
    char half[9000];
    for (size_t cut = 1; cut <= 5; cut += 4) {
        snprintf(half, sizeof half,
                 "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                 "transfer-encoding: chunked\r\n\r\n%zx\r\n%s\r\n",
                 strlen(joined(k, cut)), joined(k, cut));
        const char *answers[] = {half, sse_answer(joined(k, k->count))};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
        ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
        assert_int_equal(a.log.ends, 1);
        if (cut == 1) {
            assert_int_equal(b.upstream.next, 2);
            assert_string_equal(a.log.body.data, joined(k, k->count));
            expect_between(took(&a), 120 * HARDY_SECOND, 122 * HARDY_SECOND);
        } else {
            assert_int_equal(b.upstream.next, 1);
            expect_between(took(&a), 119 * HARDY_SECOND, 122 * HARDY_SECOND);
            const char *rest = a.log.body.data + strlen(joined(k, cut));
            size_t comments = 0;
            while (strncmp(rest, ": keepalive\n\n", 13) == 0) {
                rest += 13;
                comments++;
            }
            expect_between((int64_t)comments, 6, 8);
            assert_memory_equal(rest, k->error, strlen(k->error));
        }
        asked_free(&a);
        bench_end(&b);
    }
}

/* A stream may last: neither the deadline nor anything else ends it while it lives. */
static void long_streams_live(void **state) {
    (void)state;
    const struct stream_kind *k = &kinds[0];
    char text[8192];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", joined(k, 4));
    for (int i = 0; i < 40; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", k->events[4]);
    }
    snprintf(text + at, sizeof text - at, "%s%s%s", k->events[5], k->events[6], k->events[7]);
    const char *answers[] = {sse_answer(text)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    b.upstream.step = 450;
    b.upstream.pause = 60 * HARDY_SECOND;
    ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
    assert_true(took(&a) > 400 * HARDY_SECOND);
    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
    assert_null(strstr(a.log.body.data, "event: error"));
    assert_non_null(strstr(a.log.body.data, "message_stop"));
    asked_free(&a);
    bench_end(&b);
}

/* An answer that is not streamed may take minutes before its first byte: it is waited for, not paid
 * for again and again. */
static void whole_answers_may_take_long(void **state) {
    (void)state;
    const char *answers[] = {json_answer(200, "", GOOD)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    b.upstream.delay = 200 * HARDY_SECOND;
    ask(&b, &a, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(a.log.status, 200);
    assert_int_equal(b.upstream.next, 1);
    expect_between(took(&a), 200 * HARDY_SECOND, 201 * HARDY_SECOND);
    asked_free(&a);
    bench_end(&b);
}

static void who_leaves_cancels_the_upstream(void **state) {
    (void)state;
    const char *answers[] = {NULL};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 0});
    ask_begin(&b, &a, "POST", MESSAGES, STREAM, NULL);
    world_wait(&b.w, HARDY_SECOND);
    assert_int_equal(b.upstream.open, 1);
    http_call_cancel(a.log.call);
    world_wait(&b.w, 20 * HARDY_MILLISECOND);
    assert_int_equal(b.upstream.open, 0);
    assert_int_equal(gateway_active(b.gateway), 0);
    assert_int_equal(last_record(&b)->outcome, REQUEST_CANCELLED);
    call_free(&a.log);
    bench_end(&b);
}

/* --- other services --------------------------------------------------------------------------- */

/* `state`: guards: and the upstream's key; what a guard says of itself makes no difference. */
static void plain_http_repeats_what_may_be(void **state) {
    const char *const *guard = *state;
    static const struct {
        const char *method, *key;
        int attempts, status;
    } cases[] = {{"GET", NULL, 2, 200},  {"PUT", NULL, 2, 200},  {"DELETE", NULL, 2, 200},
                 {"POST", NULL, 1, 500}, {"POST", "k1", 2, 200}, {"PATCH", NULL, 1, 500}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answers[] = {json_answer(500, "x-mine: 1\r\n", "{\"oops\":1}"),
                                 json_answer(200, "", "{\"fine\":1}")};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers,
                                                .count = 2,
                                                .protocol = "http",
                                                .sections = guard ? guard[0] : NULL,
                                                .upstream_keys = guard ? guard[1] : NULL});
        ask(&b, &a, cases[i].method, "/up/search?q=1", cases[i].method[0] == 'P' ? "{}" : NULL,
            cases[i].key ? "Idempotency-Key" : NULL, cases[i].key, NULL);
        assert_int_equal(a.log.status, cases[i].status);
        assert_int_equal(b.upstream.next, cases[i].attempts);
        if (cases[i].status == 500) {
            assert_string_equal(a.log.body.data, "{\"oops\":1}");
            assert_true(has_header(&a, "x-mine: 1"));
        }
        asked_free(&a);
        bench_end(&b);
    }
}

/* The request went out and nothing came back: it may have been done, and it is said so, finally. */
static void plain_post_in_doubt(void **state) {
    (void)state;
    const char *answers[] = {""};
    const bool resets[] = {true};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1, .protocol = "http"});
    b.upstream.reset_before = resets;
    ask(&b, &a, "POST", "/up/pay", "{}", NULL);
    assert_int_equal(a.log.status, 502);
    assert_true(has_header(&a, "x-should-retry: false"));
    assert_null(strcasestr(a.log.headers.data, "retry-after"));
    assert_non_null(strstr(a.log.headers.data, "application/problem+json"));
    asked_free(&a);
    bench_end(&b);
}

/* Who speaks an API of models knows which of its calls may be repeated, and does so when its
 * connection breaks: it is not kept from that. */
static void other_calls_of_an_api_in_doubt(void **state) {
    (void)state;
    const struct {
        const char *protocol, *path, *in_body;
    } cases[] = {{"anthropic", "/up/v1/messages/count_tokens", "\"type\":\"api_error\""},
                 {"openai", "/up/v1/embeddings", "\"type\":\"server_error\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answers[] = {""};
        const bool resets[] = {true};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){
                            .answers = answers, .count = 1, .protocol = cases[i].protocol});
        b.upstream.reset_before = resets;
        ask(&b, &a, "POST", cases[i].path, "{}", NULL);
        assert_int_equal(a.log.status, 502);
        assert_int_equal(b.upstream.next, 1);
        assert_non_null(strstr(a.log.body.data, cases[i].in_body));
        assert_null(strcasestr(a.log.headers.data, "x-should-retry"));
        assert_null(strcasestr(a.log.headers.data, "retry-after"));
        asked_free(&a);
        bench_end(&b);
    }
}

static void large_answers_flow(void **state) {
    (void)state;
    enum { LEN = 3 * 1024 * 1024 };
    char *text = malloc(LEN + 200);
    assert_non_null(text);
    int head = snprintf(text, 200, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", LEN);
    for (int i = 0; i < LEN; i++) {
        text[head + i] = (char)('a' + i % 26);
    }
    text[head + LEN] = '\0';
    const char *answers[] = {text};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1, .protocol = "http"});
    ask(&b, &a, "GET", "/up/large", NULL, NULL);
    assert_int_equal(a.log.status, 200);
    assert_int_equal(a.log.body.len, LEN);
    assert_memory_equal(a.log.body.data, text + head, LEN);
    asked_free(&a);
    bench_end(&b);
    free(text);
}

int main(void) {
    static const char *const repeatable[] = {
        "guards: {shop: {retry: {max_retries: 3, repeatable: true}}}\n", ", guard: shop"};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_untouched),
        cmocka_unit_test(compressed_answers_pass),
        cmocka_unit_test(paths_are_found),
        cmocka_unit_test(a_doubled_version_is_folded),
        cmocka_unit_test(retries_as_told),
        cmocka_unit_test(only_what_retry_on_names),
        cmocka_unit_test(errors_as_whole_answers_with_200),
        cmocka_unit_test(broken_connections_are_tried_again),
        cmocka_unit_test(passing_trouble_ends_in_the_clients_protocol),
        cmocka_unit_test(too_long_a_wait_is_told_at_once),
        cmocka_unit_test(the_clients_own_limit_holds),
        cmocka_unit_test(whole_streams_pass),
        cmocka_unit_test(usage_of_streams_is_read),
        cmocka_unit_test(cuts_are_never_silent),
        cmocka_unit_test(half_events),
        cmocka_unit_test(errors_inside_a_200),
        cmocka_unit_test(silence),
        cmocka_unit_test(long_streams_live),
        cmocka_unit_test(whole_answers_may_take_long),
        cmocka_unit_test(who_leaves_cancels_the_upstream),
        cmocka_unit_test(plain_http_repeats_what_may_be),
        cmocka_unit_test_prestate(plain_http_repeats_what_may_be, (void *)repeatable),
        cmocka_unit_test(plain_post_in_doubt),
        cmocka_unit_test(other_calls_of_an_api_in_doubt),
        cmocka_unit_test(large_answers_flow),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
