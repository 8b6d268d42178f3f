/* SPDX-License-Identifier: Apache-2.0 */
/* What upstreams, clients and networks do at the edges of what is agreed: streams that are over and
 * stay open, errors without a kind, readers that are slow, callers that leave, limits that an
 * outage must not use up. In virtual time. */
#include "base/log.h"
#include "gateway/learned.h"
#include "support.h"
#include <unistd.h>

#define MESSAGES "/up/v1/messages"
#define BODY "{\"model\":\"m-1\",\"max_tokens\":9,\"messages\":[]}"
#define STREAM "{\"model\":\"m-1\",\"max_tokens\":9,\"stream\":true,\"messages\":[]}"
#define GOOD "{\"type\":\"message\"}"
#define PLENTY 600

#define START                                                                                      \
    "event: message_start\ndata: "                                                                 \
    "{\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n"
#define DELTA "event: content_block_delta\ndata: {\"n\":1}\n\n"
#define STOP "event: message_stop\ndata: {}\n\n"

static const char *const *many(const char *answer) {
    static const char *answers[PLENTY];
    for (size_t i = 0; i < PLENTY; i++) {
        answers[i] = answer;
    }
    return answers;
}

/* A stream whose last chunk never comes. */
static const char *open_stream(const char *events) {
    static char text[2][4096];
    static size_t next;
    char *out = text[next++ % 2];
    snprintf(out, sizeof text[0],
             "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
             "transfer-encoding: chunked\r\n\r\n%zx\r\n%s\r\n",
             strlen(events), events);
    return out;
}

/* --- streams that are over -------------------------------------------------------------------- */

/* The terminal event is the end, whatever the connection does: no error behind a whole answer. */
static void a_whole_stream_that_stays_open(void **state) {
    (void)state;
    const char *answers[] = {open_stream(START DELTA STOP)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, STREAM, NULL);
    assert_int_equal(a.log.ends, 1);
    assert_memory_equal(a.log.body.data, START DELTA STOP, strlen(START DELTA STOP));
    assert_null(strstr(a.log.body.data, "event: error"));
    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
    assert_int_equal(last_record(&b)->tries[0].result, ATTEMPT_OK);
    asked_free(&a);
    bench_end(&b);
}

/* Clients that stop at the terminal event have had their answer. */
static void who_leaves_with_all_is_no_loss(void **state) {
    (void)state;
    const char *answers[] = {open_stream(START DELTA STOP), open_stream(START DELTA)};
    static const enum request_outcome outcomes[] = {REQUEST_OK, REQUEST_CANCELLED};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
    for (size_t i = 0; i < 2; i++) {
        ask_begin(&b, &a, "POST", MESSAGES, STREAM, NULL);
        world_wait(&b.w, HARDY_SECOND);
        http_call_cancel(a.log.call);
        world_wait(&b.w, HARDY_SECOND);
        assert_int_equal(last_record(&b)->outcome, outcomes[i]);
        assert_int_equal(last_record(&b)->usage.input, 25); /* is paid for either way */
        assert_int_equal(b.upstream.open, 0);
        call_free(&a.log);
    }
    bench_end(&b);
}

/* An error event that says nothing about its kind is still one. */
static void a_late_error_without_a_kind(void **state) {
    (void)state;
    static const struct {
        const char *protocol, *path, *events;
    } cases[] = {
        {"anthropic", MESSAGES, START DELTA "event: error\ndata: {\"message\":\"x\"}\n\n"},
        {"openai", "/up/v1/chat/completions",
         "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
         "data: {\"error\":{\"message\":\"x\"}}\n\n"},
        {"openai", "/up/v1/responses",
         "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n"
         "event: response.failed\ndata: {\"response\":{\"error\":null}}\n\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answers[] = {sse_answer(cases[i].events)};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){
                            .answers = answers, .count = 1, .protocol = cases[i].protocol});
        ask(&b, &a, "POST", cases[i].path, STREAM, NULL);
        assert_string_equal(a.log.body.data, cases[i].events);
        assert_int_equal(last_record(&b)->outcome, REQUEST_CUT);
        assert_int_equal(last_record(&b)->tries[0].result, ATTEMPT_ERROR);
        asked_free(&a);
        bench_end(&b);
    }
}

/* Clients know events of this protocol by the type in their data, too. */
static void responses_without_event_names(void **state) {
    (void)state;
    static const char events[] =
        "data: {\"type\":\"response.created\",\"sequence_number\":0}\n\n"
        "data: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"a\"}\n\n"
        "data: {\"type\":\"response.completed\",\"sequence_number\":2,\"response\":{\"usage\":{"
        "\"input_tokens\":8,\"output_tokens\":2}}}\n\n";
    const char *answers[] = {sse_answer(events)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1, .protocol = "openai"});
    ask(&b, &a, "POST", "/up/v1/responses", STREAM, NULL);
    assert_string_equal(a.log.body.data, events);
    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
    assert_int_equal(last_record(&b)->usage.output, 2);
    asked_free(&a);
    bench_end(&b);
}

/* Clients look at its beginning only. */
static void done_with_something_behind_it(void **state) {
    (void)state;
    static const char events[] = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
                                 "data: [DONE] \n\n";
    const char *answers[] = {sse_answer(events)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1, .protocol = "openai"});
    ask(&b, &a, "POST", "/up/v1/chat/completions", STREAM, NULL);
    assert_string_equal(a.log.body.data, events);
    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
    asked_free(&a);
    bench_end(&b);
}

/* Reasoning is content, also of those who name the role in every chunk. */
static void reasoning_is_handed_on(void **state) {
    (void)state;
    static const char events[] =
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\","
        "\"reasoning\":\"Well\"}}]}\n\n";
    const char *answers[] = {open_stream(events)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1, .protocol = "openai"});
    ask_begin(&b, &a, "POST", "/up/v1/chat/completions", STREAM, NULL);
    world_wait(&b.w, HARDY_SECOND);
    assert_string_equal(a.log.body.data, events);
    http_call_cancel(a.log.call);
    world_wait(&b.w, HARDY_SECOND);
    asked_free(&a);
    bench_end(&b);
}

/* --- slow readers ----------------------------------------------------------------------------- */

/* While the client does not read, the upstream's silence is ours: no idle time-out counts it. */
static void a_slow_reader_is_not_the_upstreams_silence(void **state) {
    (void)state;
    enum { EVENTS = 60000 };
    struct buf events;
    buf_init(&events, 4 << 20);
    buf_puts(&events, START);
    for (int i = 0; i < EVENTS; i++) {
        buf_puts(&events, DELTA);
    }
    buf_puts(&events, STOP);
    const char *answers[] = {sse_answer(events.data)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers,
                                            .count = 1,
                                            .sections = "guards: {up: {timeout: {idle: 5s}}}\n"});
    ask_begin(&b, &a, "POST", MESSAGES, STREAM, NULL);
    a.log.pause_at = 1000;
    a.log.pause_for = 20 * HARDY_SECOND; /* less than the server's write limit */
    world_wait(&b.w, 60 * HARDY_SECOND);
    assert_int_equal(a.log.ends, 1);
    assert_null(strstr(a.log.body.data, "event: error"));
    assert_non_null(strstr(a.log.body.data, STOP));
    assert_int_equal(last_record(&b)->outcome, REQUEST_OK);
    asked_free(&a);
    bench_end(&b);
    buf_free(&events);
}

/* --- answers that are not streamed ------------------------------------------------------------ */

/* Other paths of a model's provider are ordinary HTTP: what it says itself is told, not hidden. */
static void other_paths_keep_their_answer(void **state) {
    (void)state;
    static const char *const protocols[] = {"anthropic", "openai", "http"};
    for (size_t i = 0; i < 3; i++) {
        const char *answers[] = {json_answer(500, "request-id: r5\r\n", "{\"oops\":1}")};
        struct bench b;
        struct asked a;
        bench_begin(
            &b, &(struct bench_options){.answers = answers, .count = 1, .protocol = protocols[i]});
        ask(&b, &a, "POST", "/up/v1/files", "{}", NULL);
        assert_int_equal(a.log.status, 500);
        assert_string_equal(a.log.body.data, "{\"oops\":1}");
        assert_true(has_header(&a, "request-id: r5"));
        assert_int_equal(b.upstream.next, 1);
        assert_int_equal(last_record(&b)->outcome, REQUEST_PROVIDER);
        asked_free(&a);
        bench_end(&b);
    }
}

/* A model's answer that says neither its length nor its type may be half of one. */
static void half_an_answer_of_no_type(void **state) {
    (void)state;
    static const char *const halves[] = {"HTTP/1.0 200 OK\r\n\r\n{\"type\":\"mess",
                                         "HTTP/1.0 200 OK\r\n\r\n",
                                         "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"};
    for (size_t i = 0; i < 3; i++) {
        const char *answers[] = {halves[i], "HTTP/1.0 200 OK\r\n\r\n" GOOD};
        struct bench b;
        struct asked a;
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
        b.upstream.close_after = true;
        ask(&b, &a, "POST", MESSAGES, BODY, NULL);
        assert_string_equal(a.log.body.data, GOOD);
        assert_int_equal(b.upstream.next, 2);
        asked_free(&a);
        bench_end(&b);
    }
}

static void headers_of_the_upstreams_connection(void **state) {
    (void)state;
    const char *answers[] = {
        json_answer(200, "connection: x-hop, keep-alive\r\nx-hop: 1\r\nx-end: 2\r\n", GOOD)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    ask(&b, &a, "POST", MESSAGES, BODY, "te", "trailers", NULL);
    assert_true(has_header(&a, "x-end: 2"));
    assert_null(strcasestr(a.log.headers.data, "x-hop"));
    assert_null(strcasestr(b.upstream.heard.data, "trailers"));
    asked_free(&a);
    bench_end(&b);
}

/* A length that the upstream did not tell is not made up. */
static void head_without_a_length(void **state) {
    (void)state;
    static const struct {
        const char *answer, *has, *lacks;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\netag: \"1\"\r\n\r\n", "etag: \"1\"", "content-length"},
        {"HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n", "content-length: 77",
         "transfer-encoding"},
    };
    for (size_t i = 0; i < 2; i++) {
        const char *answers[] = {cases[i].answer};
        struct bench b;
        struct asked a;
        bench_begin(&b,
                    &(struct bench_options){.answers = answers, .count = 1, .protocol = "http"});
        ask(&b, &a, "HEAD", "/up/file", NULL, NULL);
        assert_int_equal(a.log.status, 200);
        assert_int_equal(a.log.ends, 1);
        assert_true(has_header(&a, cases[i].has));
        assert_null(strcasestr(a.log.headers.data, cases[i].lacks));
        asked_free(&a);
        bench_end(&b);
    }
}

/* An upstream that answers before it has read the request. */
static void an_early_answer(void **state) {
    (void)state;
    enum { LEN = 2 * 1024 * 1024 };
    char *body = malloc(LEN + 1);
    assert_non_null(body);
    memset(body, ' ', LEN);
    memcpy(body, "{\"model\":\"m\"", 12);
    body[LEN - 1] = '}';
    body[LEN] = '\0';
    const char *answers[] = {json_answer(413, "", "{\"too\":\"large\"}"),
                             json_answer(529, "", "{}"), json_answer(200, "", GOOD)};
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 3});
    b.upstream.at_head = true;
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 413);
    assert_string_equal(a.log.body.data, "{\"too\":\"large\"}");
    asked_free(&a);
    ask(&b, &a, "POST", MESSAGES, body, NULL);
    assert_int_equal(a.log.status, 200);
    asked_free(&a);
    bench_end(&b);
    free(body);
}

/* --- requests --------------------------------------------------------------------------------- */

/* Who may use an upstream's path, with hardy's key even, may not climb out of it. */
static void nobody_climbs_out_of_an_upstreams_path(void **state) {
    (void)state;
    static const struct {
        const char *path;
        bool passes;
    } cases[] = {
        {"/up/../admin", false},
        {"/up/..", false},
        {"/up/v1/../../admin", false},
        {"/up/%2e%2E/admin", false},
        {"/up/.%2e/admin", false},
        {"/up/..%2fadmin", false},
        {"/up/..\\admin", false},
        {"/up/v1/..;x/admin", false},
        {"/up/v1%2f..%2f../admin", false},
        {"/up/v1/a..b/..c", true},
        {"/up/v1/.../x", true},
        {"/up/v1/./x", true},
        {"/up/v1/x?to=/../y", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        char request[300];
        bench_begin(&b, &(struct bench_options){.answers = many("HTTP/1.1 200 OK\r\n"
                                                                "content-length: 2\r\n\r\nok"),
                                                .count = PLENTY});
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", cases[i].path);
        const char *got = raw_talk(&b.w, gateway_port(b.gateway), request, 0);
        print_message("# %s\n", cases[i].path);
        assert_int_equal(strncmp(got, "HTTP/1.1 200 ", 13) == 0, cases[i].passes);
        assert_int_equal(strncmp(got, "HTTP/1.1 400 ", 13) == 0, !cases[i].passes);
        assert_int_equal(b.upstream.next, cases[i].passes);
        bench_end(&b);
    }
}

static void methods_that_cannot_be_passed_on(void **state) {
    (void)state;
    struct bench b;
    bench_begin(&b, &(struct bench_options){.answers = many("HTTP/1.1 200 OK\r\n"
                                                            "content-length: 2\r\n\r\nok"),
                                            .count = PLENTY});
    const char *got = raw_talk(&b.w, gateway_port(b.gateway),
                               "CONNECT /up/x HTTP/1.1\r\nhost: localhost\r\n"
                               "connection: close\r\n\r\n",
                               0);
    assert_memory_equal(got, "HTTP/1.1 4", 10);
    got = raw_talk(&b.w, gateway_port(b.gateway),
                   "CONNECT up:80 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 0);
    assert_memory_equal(got, "HTTP/1.1 4", 10);
    assert_int_equal(b.upstream.accepted, 0);
    bench_end(&b);
}

/* The largest body that may be configured can be sent to the upstream, too. */
static void the_largest_body(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool fits;
    } cases[] = {{"gateway: {max_body: 60MiB}\n", true}, {"gateway: {max_body: 64MiB}\n", false}};
    for (size_t i = 0; i < 2; i++) {
        struct config *config;
        struct gateway_settings settings;
        assert_int_equal(
            config_load_bytes("t.yaml", cases[i].text, strlen(cases[i].text), &config, NULL),
            HARDY_OK);
        assert_int_equal(gateway_settings_read(config, &settings, NULL) == HARDY_OK, cases[i].fits);
        assert_true(!cases[i].fits || settings.max_body + HTTP_HEAD_MAX * 8 < STREAM_UNSENT_MAX);
        gateway_settings_free(&settings);
        config_free(config);
    }
}

/* --- limits ----------------------------------------------------------------------------------- */

static const char *limited(const char *left, const char *reset) {
    char headers[300];
    snprintf(headers, sizeof headers,
             "anthropic-ratelimit-requests-limit: 60\r\n"
             "anthropic-ratelimit-requests-remaining: %s\r\n"
             "anthropic-ratelimit-requests-reset: 2026-01-01T00:%sZ\r\n",
             left, reset);
    return json_answer(200, headers, GOOD);
}

static const char *secret_file(const char *text) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/hardy-test-secret-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

/* Who shares hardy's key shares its limits, whatever else they send. */
static void limits_are_those_of_the_key_that_is_used(void **state) {
    (void)state;
    const char *key = secret_file("sk-upstream\n");
    char keys[200];
    struct bench b;
    struct asked first, second;
    snprintf(keys, sizeof keys, ", key_file: \"%s\"", key);
    bench_begin(&b, &(struct bench_options){.answers = many(limited("0", "00:30")),
                                            .count = PLENTY,
                                            .upstream_keys = keys});
    ask(&b, &first, "POST", MESSAGES, BODY, "x-api-key", "dummy-1", NULL);
    ask(&b, &second, "POST", MESSAGES, BODY, "x-api-key", "dummy-2", NULL);
    assert_int_equal(second.log.status, 200);
    assert_true(took(&second) > 300 * HARDY_MILLISECOND);
    asked_free(&first);
    asked_free(&second);
    bench_end(&b);
    unlink(key);
}

/* Callers that were parked and have left used nothing up. */
static void who_leaves_the_queue_gives_his_place_back(void **state) {
    (void)state;
    struct bench b;
    struct asked first, parked[100], late;
    bench_begin(&b,
                &(struct bench_options){.answers = many(limited("1", "00:59")), .count = PLENTY});
    ask(&b, &first, "POST", MESSAGES, BODY, NULL);
    for (size_t i = 0; i < 100; i++) {
        ask_begin(&b, &parked[i], "POST", MESSAGES, BODY, NULL);
    }
    world_wait(&b.w, 500 * HARDY_MILLISECOND);
    for (size_t i = 0; i < 100; i++) {
        if (parked[i].log.call) {
            http_call_cancel(parked[i].log.call);
        }
    }
    world_wait(&b.w, HARDY_SECOND);
    ask(&b, &late, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(late.log.status, 200);
    assert_true(took(&late) < 3 * HARDY_SECOND);
    asked_free(&first);
    asked_free(&late);
    for (size_t i = 0; i < 100; i++) {
        asked_free(&parked[i]);
    }
    bench_end(&b);
}

/* Callers that were parked when the provider refused one do not run into its refusal too. */
static void a_refusal_holds_those_who_are_parked(void **state) {
    (void)state;
    static const char *answers[PLENTY];
    const char *good = limited("1", "00:59");
    for (size_t i = 0; i < PLENTY; i++) {
        answers[i] = good;
    }
    answers[3] = json_answer(429, "retry-after: 20\r\n", "{}");
    struct bench b;
    struct asked first, a[10];
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = PLENTY});
    ask(&b, &first, "POST", MESSAGES, BODY, NULL);
    for (size_t i = 0; i < 10; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
    }
    while (b.upstream.next < 4) {
        world_wait(&b.w, 100 * HARDY_MILLISECOND);
    }
    world_wait(&b.w, 19 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 4);
    world_wait(&b.w, 40 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 12);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(a[i].log.status, 200);
        asked_free(&a[i]);
    }
    asked_free(&first);
    bench_end(&b);
}

/* Who waits for the guard's tokens and meets a refusal's hold has paid already. */
static void tokens_are_paid_once(void **state) {
    (void)state;
    static const char body[] = "{\"model\":\"m\",\"max_tokens\":1000,\"messages\":[]}";
    const char *good = json_answer(
        200, "", "{\"type\":\"message\",\"usage\":{\"input_tokens\":500,\"output_tokens\":510}}");
    const char *answers[] = {good, json_answer(429, "retry-after: 3\r\n", "{}"), good, good, good};
    struct bench b;
    struct asked first, waits, counts;
    bench_begin(&b, &(struct bench_options){.answers = answers,
                                            .count = 5,
                                            .sections = "guards: {up: {rate: {tokens: 100/s}}}\n"});
    ask(&b, &first, "POST", MESSAGES, body, NULL);
    ask_begin(&b, &waits, "POST", MESSAGES, body, NULL); /* until about 10 s */
    world_wait(&b.w, 9 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 1);
    ask_begin(&b, &counts, "POST", MESSAGES "/count_tokens", body, NULL); /* held until 12 s */
    world_wait(&b.w, 6 * HARDY_SECOND);
    assert_int_equal(waits.log.status, 200);
    expect_between(took(&waits), 12 * HARDY_SECOND, 14 * HARDY_SECOND);
    world_wait(&b.w, 60 * HARDY_SECOND);
    asked_free(&first);
    asked_free(&waits);
    asked_free(&counts);
    bench_end(&b);
}

/* What failed at the upstream's own trouble has used up nothing of its limits: when the trouble is
 * over, nobody is kept waiting for it. */
static void an_outage_does_not_use_up_limits(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        static const char *answers[PLENTY];
        static bool resets[PLENTY];
        const char *good = limited("59", "00:01"), *bad = json_answer(529, "", "{}");
        for (size_t i = 0; i < PLENTY; i++) {
            bool fails = i > 0 && i < PLENTY - 10;
            answers[i] = fails ? bad : good;
            resets[i] = fails && kind == 1;
        }
        struct bench b;
        struct asked a[40], late;
        bench_begin(&b, &(struct bench_options){
                            .answers = answers,
                            .count = PLENTY,
                            .sections = "guards: {up: {deadline: 100s, breaker: off, retry: "
                                        "{max_retries: 9, max_delay: 1s, budget: off}}}\n"});
        b.upstream.reset_before = resets;
        ask(&b, &late, "POST", MESSAGES, BODY, NULL);
        asked_free(&late);
        for (size_t i = 0; i < 40; i++) {
            ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
        }
        world_wait(&b.w, 60 * HARDY_SECOND);
        assert_true(b.upstream.next > 400);
        b.upstream.next = PLENTY - 10; /* the trouble is over */
        ask(&b, &late, "POST", MESSAGES, BODY, NULL);
        assert_int_equal(late.log.status, 200);
        assert_true(took(&late) < HARDY_SECOND);
        asked_free(&late);
        for (size_t i = 0; i < 40; i++) {
            assert_int_equal(a[i].log.status, 529);
            asked_free(&a[i]);
        }
        bench_end(&b);
    }
}

static void limits_of(struct http_headers *h, const char *kind, const char *limit, const char *left,
                      const char *reset) {
    char name[80];
    snprintf(name, sizeof name, "x-ratelimit-limit-%s", kind);
    assert_int_equal(http_headers_add(h, name, limit), HARDY_OK);
    snprintf(name, sizeof name, "x-ratelimit-remaining-%s", kind);
    assert_int_equal(http_headers_add(h, name, left), HARDY_OK);
    snprintf(name, sizeof name, "x-ratelimit-reset-%s", kind);
    assert_int_equal(http_headers_add(h, name, reset), HARDY_OK);
}

/* Whatever a header says, callers go again within what it can mean, and never wait for ever. */
static void odd_limits(void **state) {
    (void)state;
    static const struct {
        const char *limit, *left, *reset;
        int64_t most; /* the wait of the next caller */
    } cases[] = {
        {"0", "0", "0", 0},
        {"-1", "0", "1m", 0},
        {"nan", "0", "1m", 0},
        {"inf", "0", "1m", 0},
        {"1e300", "0", "1m", 0},
        {"9223372036854775807", "0", "1m", 0},
        {"999999999999999", "0", "1m", 0},
        {"60", "nan", "1m", 0},
        {"60", "-5", "1m", 0},
        {"60", "1e300", "1m", 0},
        {"60", "0", "nan", HARDY_SECOND},
        {"60", "0", "-1m", HARDY_SECOND},
        {"60", "0", "0", HARDY_SECOND},
        {"60", "0", "2020-01-01T00:00:00Z", HARDY_SECOND},
        {"60", "0", "1ms", HARDY_SECOND},
        {"60", "0", "9999-12-31T23:59:59Z", 1440 * HARDY_SECOND},
        {"60", "0", "99999999999999999999", 1440 * HARDY_SECOND},
        {"1", "0", "9999-12-31T23:59:59Z", 86400 * HARDY_SECOND},
    };
    const int64_t now = HARDY_HOUR, wall = 1767225600 * HARDY_SECOND;
    struct learned_cost cost, none = {{0}};
    learned_estimate(400, 9, &cost);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct learned l;
        struct http_headers h;
        int64_t at;
        learned_init(&l, 1);
        http_headers_init(&h, 20, 4096);
        limits_of(&h, "requests", cases[i].limit, cases[i].left, cases[i].reset);
        print_message("# %s %s %s\n", cases[i].limit, cases[i].left, cases[i].reset);
        for (int n = 0; n < 3; n++) { /* always the same */
            learned_update(&l, &none, &h, now, wall);
        }
        assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
        expect_between(at - now, 0, cases[i].most + HARDY_MILLISECOND);
        learned_forget(&l, &cost);
        for (int n = 0; n < 1000; n++) { /* what is given back is whole again */
            bool low = n % 2;            /* reserves nothing ahead */
            if (learned_reserve(&l, &cost, low, now, HARDY_NEVER, &at)) {
                learned_forget(&l, &cost);
            } else {
                assert_true(low && at > now);
            }
        }
        assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
        expect_between(at - now, 0, cases[i].most + HARDY_MILLISECOND);
        http_headers_free(&h);
    }
}

/* A day's limit of requests, of which many are left, does not pace those who met the tokens' one.
 */
static void the_pace_after_a_refusal(void **state) {
    (void)state;
    const int64_t now = HARDY_HOUR;
    struct learned_cost cost, none = {{0}};
    learned_estimate(400, 9, &cost);
    for (int used_up = 0; used_up < 2; used_up++) {
        struct learned l;
        struct http_headers h;
        int64_t at;
        learned_init(&l, 1);
        http_headers_init(&h, 20, 4096);
        limits_of(&h, "requests", "200", used_up ? "0" : "199", used_up ? "1440m" : "7m12s");
        learned_update(&l, &none, &h, now, 0);
        learned_hold(&l, now, now + HARDY_SECOND);
        for (int i = 0; i < 5; i++) {
            assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
        }
        if (used_up) {
            assert_true(at - now > 1000 * HARDY_SECOND);
        } else {
            expect_between(at - now, HARDY_SECOND, 3 * HARDY_SECOND);
        }
        http_headers_free(&h);
    }
}

/* --- who leaves, at every moment -------------------------------------------------------------- */

static void leaving_at_every_moment(void **state) {
    (void)state;
    const char *answers[] = {limited("1", "00:59"), json_answer(429, "retry-after: 1\r\n", "{}"),
                             open_stream(START DELTA), sse_answer(START DELTA STOP)};
    for (int64_t at = 0; at < 120; at++) {
        struct bench b;
        struct asked first, a[4];
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 4});
        b.upstream.step = 40;
        b.upstream.pause = 5 * HARDY_MILLISECOND;
        ask(&b, &first, "POST", MESSAGES, BODY, NULL);
        for (size_t i = 0; i < 4; i++) {
            ask_begin(&b, &a[i], "POST", MESSAGES, i % 2 ? STREAM : BODY, NULL);
        }
        world_wait(&b.w, at * at * 300 * HARDY_MICROSECOND + 1);
        for (size_t i = 0; i < 4; i++) {
            if (a[i].log.call) {
                http_call_cancel(a[i].log.call);
                a[i].log.call = NULL;
            }
            if (at % 3 == 0) {
                bench_reload(&b, &(struct bench_options){0});
            }
        }
        world_wait(&b.w, 50 * HARDY_MILLISECOND);
        assert_int_equal(gateway_active(b.gateway), 0);
        assert_int_equal(records_at(gateway_records(b.gateway), 0)->attempts <= 4, 1);
        asked_free(&first);
        for (size_t i = 0; i < 4; i++) {
            asked_free(&a[i]);
        }
        bench_end(&b);
    }
}

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

/* The end may come at any moment: everybody is told something, and nothing is left. */
static void the_end_at_every_moment(void **state) {
    (void)state;
    const char *answers[] = {limited("1", "00:59"), json_answer(429, "retry-after: 1\r\n", "{}"),
                             open_stream(START DELTA), sse_answer(START DELTA STOP)};
    for (int64_t at = 0; at < 120; at++) {
        struct bench b;
        struct asked first, a[4];
        bool done = false;
        bench_begin(&b, &(struct bench_options){.answers = answers, .count = 4});
        b.upstream.step = 40;
        b.upstream.pause = 5 * HARDY_MILLISECOND;
        ask(&b, &first, "POST", MESSAGES, BODY, NULL);
        for (size_t i = 0; i < 4; i++) {
            ask_begin(&b, &a[i], "POST", MESSAGES, i % 2 ? STREAM : BODY, NULL);
        }
        world_wait(&b.w, at * at * 300 * HARDY_MICROSECOND + 1);
        gateway_drain(b.gateway, set_true, &done);
        if (at % 2) {
            world_wait(&b.w, at * HARDY_MILLISECOND);
            gateway_drain(b.gateway, set_true, &done); /* at once */
        }
        world_wait(&b.w, 40 * HARDY_SECOND);
        assert_true(done);
        assert_int_equal(gateway_active(b.gateway), 0);
        for (size_t i = 0; i < 4; i++) {
            assert_null(a[i].log.call);
            assert_int_equal(a[i].log.ends + a[i].log.fails, 1);
            if (a[i].log.ends == 1 && a[i].log.status == 529) {
                expect_between(header_number(&a[i], "retry-after"), 1, 59);
            }
            asked_free(&a[i]);
        }
        asked_free(&first);
        bench_end(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_stream_that_stays_open),
        cmocka_unit_test(who_leaves_with_all_is_no_loss),
        cmocka_unit_test(a_late_error_without_a_kind),
        cmocka_unit_test(responses_without_event_names),
        cmocka_unit_test(done_with_something_behind_it),
        cmocka_unit_test(reasoning_is_handed_on),
        cmocka_unit_test(a_slow_reader_is_not_the_upstreams_silence),
        cmocka_unit_test(other_paths_keep_their_answer),
        cmocka_unit_test(half_an_answer_of_no_type),
        cmocka_unit_test(headers_of_the_upstreams_connection),
        cmocka_unit_test(head_without_a_length),
        cmocka_unit_test(an_early_answer),
        cmocka_unit_test(nobody_climbs_out_of_an_upstreams_path),
        cmocka_unit_test(methods_that_cannot_be_passed_on),
        cmocka_unit_test(the_largest_body),
        cmocka_unit_test(limits_are_those_of_the_key_that_is_used),
        cmocka_unit_test(who_leaves_the_queue_gives_his_place_back),
        cmocka_unit_test(a_refusal_holds_those_who_are_parked),
        cmocka_unit_test(tokens_are_paid_once),
        cmocka_unit_test(an_outage_does_not_use_up_limits),
        cmocka_unit_test(odd_limits),
        cmocka_unit_test(the_pace_after_a_refusal),
        cmocka_unit_test(leaving_at_every_moment),
        cmocka_unit_test(the_end_at_every_moment),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
