/* SPDX-License-Identifier: Apache-2.0 */
/* Many requests at once: the provider's limits, the breaker, the queue; who may use the gateway;
 * what a reload and an end do to what is running. In virtual time. */
#include "base/log.h"
#include "gateway/learned.h"
#include "support.h"
#include <unistd.h>

#define MESSAGES "/up/v1/messages"
#define BODY "{\"model\":\"m-1\",\"max_tokens\":9,\"messages\":[]}"
#define STREAM "{\"model\":\"m-1\",\"max_tokens\":9,\"stream\":true,\"messages\":[]}"
#define GOOD "{\"type\":\"message\"}"
#define PLENTY 300

static const char *const *many(const char *answer) {
    static const char *answers[PLENTY];
    for (size_t i = 0; i < PLENTY; i++) {
        answers[i] = answer;
    }
    return answers;
}

static void free_all(struct asked *a, size_t count) {
    for (size_t i = 0; i < count; i++) {
        asked_free(&a[i]);
    }
}

/* --- limits learned --------------------------------------------------------------------------- */

static void headers_of(struct http_headers *h, const char *limit, const char *left,
                       const char *reset) {
    http_headers_init(h, 20, 4096);
    assert_int_equal(http_headers_add(h, "anthropic-ratelimit-requests-limit", limit), HARDY_OK);
    assert_int_equal(http_headers_add(h, "anthropic-ratelimit-requests-remaining", left), HARDY_OK);
    assert_int_equal(http_headers_add(h, "anthropic-ratelimit-requests-reset", reset), HARDY_OK);
}

static void a_limit_is_learned(void **state) {
    (void)state;
    const int64_t now = HARDY_HOUR, wall = 1767225600 * HARDY_SECOND; /* 2026-01-01 */
    struct learned l;
    struct learned_cost cost;
    struct http_headers h;
    int64_t at;
    learned_init(&l, 1);
    learned_estimate(400, 9, &cost);
    assert_true(learned_left(&l, LEARNED_REQUESTS, now) < 0);
    for (int i = 0; i < 100; i++) { /* nothing known: nobody waits */
        assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
        assert_int_equal(at, now);
    }
    for (int i = 0; i < 100; i++) {
        learned_forget(&l, &cost);
    }
    /* 60 a minute, 2 left, full again in 58 s: one a second. */
    headers_of(&h, "60", "2", "2026-01-01T00:00:58Z");
    learned_update(&l, &cost, &h, now, wall);
    assert_int_equal((int)(learned_left(&l, LEARNED_REQUESTS, now) + 0.5), 2);
    int64_t expected[] = {0, 0, 1, 2, 3};
    for (size_t i = 0; i < 5; i++) {
        assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
        expect_between(at - now, expected[i] * HARDY_SECOND - HARDY_MILLISECOND,
                       expected[i] * HARDY_SECOND + HARDY_MILLISECOND);
    }
    /* Five are on their way when the provider says 30: it does not know of them yet. */
    http_headers_free(&h);
    headers_of(&h, "60", "30", "2026-01-01T00:00:30Z");
    struct learned_cost none = {{0}};
    learned_update(&l, &none, &h, now, wall);
    assert_int_equal((int)(learned_left(&l, LEARNED_REQUESTS, now) + 0.5), 25);
    http_headers_free(&h);
    /* A wait that is too long takes nothing. */
    headers_of(&h, "60", "0", "2026-01-01T00:01:00Z");
    learned_update(&l, &none, &h, now, wall);
    assert_false(learned_reserve(&l, &cost, false, now, now + HARDY_MILLISECOND, &at));
    assert_true(at > now + HARDY_MILLISECOND);
    http_headers_free(&h);
}

/* One request that is larger than the whole limit goes; those after it wait for its debt. */
static void a_debt_is_waited_for(void **state) {
    (void)state;
    const int64_t now = HARDY_HOUR;
    struct learned l;
    struct learned_cost huge, small;
    struct http_headers h;
    int64_t at;
    learned_init(&l, 1);
    http_headers_init(&h, 20, 4096);
    assert_int_equal(http_headers_add(&h, "x-ratelimit-limit-tokens", "60000"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "x-ratelimit-remaining-tokens", "60000"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "x-ratelimit-reset-tokens", "0s"), HARDY_OK);
    struct learned_cost none = {{0}};
    learned_update(&l, &none, &h, now, 0);
    learned_estimate(480000, 32000, &huge); /* 120000 tokens and more */
    learned_estimate(400, 10, &small);
    assert_true(learned_reserve(&l, &huge, false, now, HARDY_NEVER, &at));
    assert_int_equal(at, now);
    assert_true(learned_reserve(&l, &small, false, now, HARDY_NEVER, &at));
    expect_between(at - now, 60 * HARDY_SECOND, 63 * HARDY_SECOND);
    http_headers_free(&h);
}

/* Ten sub-agents at once against a limit of which three are left: none meets a 429. */
static void agents_queue_here(void **state) {
    (void)state;
    const char *limited =
        json_answer(200,
                    "anthropic-ratelimit-requests-limit: 60\r\n"
                    "anthropic-ratelimit-requests-remaining: 3\r\n"
                    "anthropic-ratelimit-requests-reset: 2026-01-01T00:00:57Z\r\n",
                    GOOD);
    struct bench b;
    struct asked first, a[10];
    bench_begin(&b, &(struct bench_options){.answers = many(limited), .count = PLENTY});
    ask(&b, &first, "POST", MESSAGES, BODY, NULL);
    for (size_t i = 0; i < 10; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
    }
    world_wait(&b.w, 500 * HARDY_MILLISECOND);
    expect_between((int64_t)b.upstream.next, 1 + 3, 1 + 4);
    world_wait(&b.w, 60 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 11);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(a[i].log.status, 200);
    }
    /* Another credential has limits of its own. */
    struct asked other;
    ask(&b, &other, "POST", MESSAGES, BODY, "x-api-key", "another", NULL);
    assert_true(took(&other) < 100 * HARDY_MILLISECOND);
    asked_free(&other);
    asked_free(&first);
    free_all(a, 10);
    bench_end(&b);
}

/* One is told to wait: the others wait too, and then come one by one. */
static void a_refusal_holds_the_others(void **state) {
    (void)state;
    static const char *answers[PLENTY];
    const char *good = json_answer(200, "", GOOD);
    for (size_t i = 0; i < PLENTY; i++) {
        answers[i] = good;
    }
    answers[0] = json_answer(429, "retry-after: 5\r\n", "{}");
    struct bench b;
    struct asked a[8];
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = PLENTY});
    ask_begin(&b, &a[0], "POST", MESSAGES, BODY, NULL);
    world_wait(&b.w, 100 * HARDY_MILLISECOND);
    for (size_t i = 1; i < 8; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
    }
    world_wait(&b.w, 4800 * HARDY_MILLISECOND);
    assert_int_equal(b.upstream.next, 1);
    world_wait(&b.w, 500 * HARDY_MILLISECOND);
    expect_between((int64_t)b.upstream.next, 2, 5); /* not all at once */
    world_wait(&b.w, 5 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 9);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(a[i].log.status, 200);
    }
    free_all(a, 8);
    bench_end(&b);
}

/* One refusal, and more requests than the pace after it lets through: they do not queue up behind
 * each other until nobody is answered any more. */
static void the_pace_after_a_refusal_grows(void **state) {
    (void)state;
    const int64_t interval = HARDY_SECOND / 20;
    const int64_t refused = HARDY_HOUR, until = refused + HARDY_SECOND;
    struct learned l;
    struct learned_cost cost;
    int64_t at = 0, longest = 0;
    int first_second = 0, first_two = 0;
    learned_init(&l, 1);
    learned_estimate(400, 9, &cost);
    for (int round = 0; round < 2; round++) { /* a second refusal begins it anew */
        int64_t begin = round == 0 ? refused : refused + HARDY_MINUTE;
        int64_t end = begin + (until - refused);
        first_second = first_two = 0;
        learned_hold(&l, begin, end);
        for (int64_t now = begin; now < begin + 10 * HARDY_SECOND; now += interval) {
            assert_true(learned_reserve(&l, &cost, false, now, HARDY_NEVER, &at));
            assert_true(at >= end);
            first_second += at < end + HARDY_SECOND;
            first_two += at < end + 2 * HARDY_SECOND;
            longest = at - now > longest ? at - now : longest;
        }
        expect_between(first_second, 4, 6);
        expect_between(first_two, 12, 18);
        assert_true(longest < 5 * HARDY_SECOND);
        assert_int_equal(at, begin + 10 * HARDY_SECOND - interval); /* nobody waits any more */
    }
}

/* A limit of tokens that the user sets: paid by an estimate, settled by what the provider counted.
 */
static void tokens_are_paid_and_settled(void **state) {
    (void)state;
    /* 60 tokens a second. The request's estimate is below 20 of them, each answer has cost 600. */
    const char *dear = json_answer(
        200, "", "{\"type\":\"message\",\"usage\":{\"input_tokens\":400,\"output_tokens\":200}}");
    struct bench b;
    struct asked a[3];
    bench_begin(&b, &(struct bench_options){.answers = many(dear),
                                            .count = PLENTY,
                                            .sections = "guards: {up: {rate: {tokens: 60/s}}}\n"});
    ask(&b, &a[0], "POST", MESSAGES, BODY, NULL);
    assert_true(took(&a[0]) < 100 * HARDY_MILLISECOND);
    ask(&b, &a[1], "POST", MESSAGES, BODY, NULL);
    expect_between(took(&a[1]), 8 * HARDY_SECOND, 10 * HARDY_SECOND);
    /* What fails costs nothing. */
    bench_end(&b);
    struct bench refused;
    bench_begin(&refused, &(struct bench_options){
                              .answers = many("HTTP/1.1 400 X\r\ncontent-length: 0\r\n\r\n"),
                              .count = PLENTY,
                              .sections = "guards: {up: {rate: {tokens: 60/s}}}\n"});
    for (int i = 0; i < 20; i++) {
        ask(&refused, &a[2], "POST", MESSAGES, BODY, NULL);
        assert_true(took(&a[2]) < 100 * HARDY_MILLISECOND);
        asked_free(&a[2]);
    }
    bench_end(&refused);
    free_all(a, 2);
}

/* Who can wait takes tokens while half of them are left, and nobody in a hurry waits behind. */
static void tokens_of_low_priority(void **state) {
    (void)state;
    const char *dear = json_answer(
        200, "", "{\"type\":\"message\",\"usage\":{\"input_tokens\":400,\"output_tokens\":200}}");
    struct bench b;
    struct asked first, can_wait, cannot, refused;
    bench_begin(&b, &(struct bench_options){.answers = many(dear),
                                            .count = PLENTY,
                                            .sections = "guards: {up: {rate: {tokens: 60/s}}}\n"});
    ask(&b, &first, "POST", MESSAGES, BODY, NULL);
    ask_begin(&b, &can_wait, "POST", MESSAGES, BODY, "x-hardy-priority", "low", NULL);
    ask_begin(&b, &cannot, "POST", MESSAGES, BODY, NULL);
    world_wait(&b.w, 15 * HARDY_SECOND);
    assert_int_equal(cannot.log.status, 200);
    expect_between(took(&cannot), 8 * HARDY_SECOND, 10 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 2);
    world_wait(&b.w, 15 * HARDY_SECOND);
    assert_int_equal(can_wait.log.status, 200);
    expect_between(took(&can_wait), 18 * HARDY_SECOND, 21 * HARDY_SECOND);
    bench_end(&b);
    asked_free(&first);
    asked_free(&can_wait);
    asked_free(&cannot);
    /* And whoever is not to wait is told so, whatever the priority. */
    bench_begin(&b,
                &(struct bench_options){
                    .answers = many(dear),
                    .count = PLENTY,
                    .sections = "guards: {up: {rate: {tokens: 60/s, when_limited: reject}}}\n"});
    ask(&b, &first, "POST", MESSAGES, BODY, "x-hardy-priority", "low", NULL);
    ask(&b, &refused, "POST", MESSAGES, BODY, "x-hardy-priority", "low", NULL);
    assert_int_equal(refused.log.status, 529);
    assert_true(took(&refused) < 100 * HARDY_MILLISECOND);
    expect_between(header_number(&refused, "retry-after"), 9, 11);
    bench_end(&b);
    asked_free(&first);
    asked_free(&refused);
}

/* --- breaker and queue ------------------------------------------------------------------------ */

/* The breaker of a model's upstream is waited for: callers are parked, and served when it closes.
 */
static void an_open_breaker_parks(void **state) {
    (void)state;
    static const char *answers[PLENTY];
    const char *bad = json_answer(529, "", "{}"), *good = json_answer(200, "", GOOD);
    for (size_t i = 0; i < PLENTY; i++) {
        answers[i] = i < 5 ? bad : good;
    }
    struct bench b;
    struct asked a[5], parked[10];
    bench_begin(&b, &(struct bench_options){.answers = answers,
                                            .count = PLENTY,
                                            .sections = "guards: {up: {retry: off}}\n"});
    for (size_t i = 0; i < 5; i++) {
        ask(&b, &a[i], "POST", MESSAGES, BODY, NULL);
        assert_int_equal(a[i].log.status, 529);
    }
    for (size_t i = 0; i < 10; i++) {
        ask_begin(&b, &parked[i], "POST", MESSAGES, BODY, NULL);
    }
    world_wait(&b.w, 29 * HARDY_SECOND);
    assert_int_equal(b.upstream.next, 5); /* nothing went out */
    world_wait(&b.w, 30 * HARDY_SECOND);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(parked[i].log.status, 200);
        assert_true(took(&parked[i]) >= 29 * HARDY_SECOND);
    }
    free_all(a, 5);
    free_all(parked, 10);
    bench_end(&b);
}

static void a_breaker_that_rejects_is_told(void **state) {
    (void)state;
    struct bench b;
    struct asked a;
    bench_begin(&b,
                &(struct bench_options){
                    .answers = many("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"),
                    .count = PLENTY,
                    .protocol = "http",
                    .sections = "guards: {up: {retry: off, breaker: {failure_threshold: 1}}}\n"});
    ask(&b, &a, "GET", "/up/x", NULL, NULL);
    assert_int_equal(a.log.status, 500); /* the service's own answer */
    asked_free(&a);
    ask(&b, &a, "GET", "/up/x", NULL, NULL);
    assert_int_equal(a.log.status, 503);
    expect_between(header_number(&a, "retry-after"), 50, 59);
    assert_non_null(strstr(a.log.body.data, "circuit breaker"));
    assert_int_equal(b.upstream.next, 1);
    assert_int_equal(last_record(&b)->outcome, REQUEST_POLICY);
    asked_free(&a);
    bench_end(&b);
}

static void the_queue_is_bounded(void **state) {
    (void)state;
    struct bench b;
    struct asked a[6];
    bench_begin(&b,
                &(struct bench_options){
                    .answers = NULL,
                    .count = 0,
                    .sections = "guards: {up: {bulkhead: {max_concurrent: 2, max_queue: 3}}}\n"});
    for (size_t i = 0; i < 6; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
        world_wait(&b.w, 10 * HARDY_MILLISECOND);
    }
    assert_int_equal(b.upstream.open, 2);
    assert_int_equal(a[5].log.status, 529);
    expect_between(header_number(&a[5], "retry-after"), 1, 59);
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(a[i].log.call);
        http_call_cancel(a[i].log.call);
    }
    world_wait(&b.w, HARDY_SECOND);
    assert_int_equal(b.upstream.open, 0);
    free_all(a, 6);
    bench_end(&b);
}

/* --- who may ---------------------------------------------------------------------------------- */

static const char *secret_file(const char *text) {
    static char path[2][64];
    static size_t next;
    char *name = path[next++ % 2];
    snprintf(name, 64, "/tmp/hardy-test-secret-XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return name;
}

static void keys_and_clients(void **state) {
    (void)state;
    const char *key = secret_file("sk-upstream\n"), *token = secret_file("tok-laptop\n");
    char keys[200], sections[600];
    struct bench b;
    struct asked a;
    bench_begin(&b, &(struct bench_options){.answers = many("HTTP/1.1 200 OK\r\ncontent-type: "
                                                            "application/json\r\ncontent-length: "
                                                            "2\r\n\r\n{}"),
                                            .count = PLENTY});
    snprintf(keys, sizeof keys, ", key_file: \"%s\"", key);
    bench_reload(&b, &(struct bench_options){.upstream_keys = keys});
    ask(&b, &a, "POST", MESSAGES, BODY, "x-api-key", "sk-client", "authorization", "Bearer zzz",
        NULL);
    assert_int_equal(a.log.status, 200);
    assert_non_null(strstr(b.upstream.heard.data, "x-api-key: sk-upstream\r\n"));
    assert_null(strstr(b.upstream.heard.data, "sk-client"));
    assert_null(strstr(b.upstream.heard.data, "zzz"));
    asked_free(&a);

    struct config *config;
    struct gateway_settings settings;
    snprintf(sections, sizeof sections,
             "gateway: {clients: [{name: laptop, token_file: \"%s\"}]}\n"
             "upstreams: {up: {url: \"http://127.0.0.1:%u\", protocol: anthropic%s}}\n",
             token, b.upstream.port, keys);
    assert_int_equal(config_load_bytes("t.yaml", sections, strlen(sections), &config, NULL),
                     HARDY_OK);
    assert_int_equal(gateway_settings_read(config, &settings, NULL), HARDY_OK);
    assert_int_equal(gateway_reload(b.gateway, config, &settings, NULL), HARDY_OK);
    config_free(config);
    size_t before = b.upstream.next;
    static const char *const wrong[] = {"tok-lapto", "tok-laptop2", "", "sk-upstream"};
    for (size_t i = 0; i < 4; i++) {
        ask(&b, &a, "POST", MESSAGES, BODY, "x-api-key", wrong[i], NULL);
        assert_int_equal(a.log.status, 401);
        assert_non_null(strstr(a.log.body.data, "authentication_error"));
        assert_true(has_header(&a, "x-should-retry: false"));
        asked_free(&a);
    }
    assert_int_equal(b.upstream.next, before);
    ask(&b, &a, "POST", MESSAGES, BODY, "authorization", "Bearer tok-laptop", NULL);
    assert_int_equal(a.log.status, 200);
    assert_null(strstr(b.upstream.heard.data, "tok-laptop"));
    assert_string_equal(last_record(&b)->client, "laptop");
    asked_free(&a);

    /* Without a key of hardy's, what is not the token passes on. */
    snprintf(sections, sizeof sections,
             "gateway: {clients: [{name: laptop, token_file: \"%s\"}]}\n"
             "upstreams: {up: {url: \"http://127.0.0.1:%u\", protocol: anthropic}}\n",
             token, b.upstream.port);
    assert_int_equal(config_load_bytes("t.yaml", sections, strlen(sections), &config, NULL),
                     HARDY_OK);
    assert_int_equal(gateway_settings_read(config, &settings, NULL), HARDY_OK);
    assert_int_equal(gateway_reload(b.gateway, config, &settings, NULL), HARDY_OK);
    config_free(config);
    ask(&b, &a, "POST", MESSAGES, BODY, "authorization", "Bearer tok-laptop", "x-api-key",
        "sk-own-key", NULL);
    assert_int_equal(a.log.status, 200);
    assert_non_null(strstr(b.upstream.heard.data, "x-api-key: sk-own-key\r\n"));
    assert_null(strstr(b.upstream.heard.data, "tok-laptop"));
    asked_free(&a);
    bench_end(&b);
    unlink(key);
    unlink(token);
}

/* A key behind an address that others can reach would be everybody's. */
static void keys_are_not_offered_to_everybody(void **state) {
    (void)state;
    const char *key = secret_file("sk-upstream\n");
    static const struct {
        const char *listen;
        hardy_status status;
    } cases[] = {{"0.0.0.0:4273", HARDY_E_SYNTAX},   {"[::]:4273", HARDY_E_SYNTAX},
                 {"192.0.2.1:4273", HARDY_E_SYNTAX}, {"127.0.0.1:4273", HARDY_OK},
                 {"[::1]:4273", HARDY_OK},           {"localhost:4273", HARDY_OK}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config *config;
        struct gateway_settings settings;
        hardy_error error;
        char text[300];
        hardy_error_init(&error, sizeof error);
        snprintf(text, sizeof text,
                 "gateway: {listen: \"%s\"}\n"
                 "upstreams: {up: {url: \"http://127.0.0.1:1\", key_file: \"%s\"}}\n",
                 cases[i].listen, key);
        assert_int_equal(config_load_bytes("t.yaml", text, strlen(text), &config, NULL), HARDY_OK);
        hardy_status status = gateway_settings_read(config, &settings, &error);
        assert_int_equal(status == HARDY_OK, cases[i].status == HARDY_OK);
        if (status != HARDY_OK) {
            assert_non_null(strstr(error.message, "clients"));
            assert_non_null(strstr(error.where, "t.yaml:1"));
        }
        gateway_settings_free(&settings);
        config_free(config);
    }
    unlink(key);
}

/* --- reload and end --------------------------------------------------------------------------- */

#define START "event: message_start\ndata: {}\n\nevent: content_block_delta\ndata: {\"n\":1}\n\n"
#define REST "event: content_block_delta\ndata: {\"n\":2}\n\nevent: message_stop\ndata: {}\n\n"

static void a_reload_drops_nothing(void **state) {
    (void)state;
    const char *answers[] = {sse_answer(START REST), json_answer(200, "", GOOD)};
    struct bench b;
    struct asked stream, a;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
    b.upstream.step = 200;
    b.upstream.pause = 10 * HARDY_SECOND;
    ask_begin(&b, &stream, "POST", MESSAGES, STREAM, NULL);
    world_wait(&b.w, 15 * HARDY_SECOND);
    assert_non_null(strstr(stream.log.body.data, "{\"n\":1}"));
    bench_reload(&b, &(struct bench_options){.protocol = "http"});
    b.upstream.step = 0;
    ask(&b, &a, "GET", "/up/other", NULL, NULL);
    assert_int_equal(a.log.status, 200);
    assert_int_equal(last_record(&b)->speaks, UPSTREAM_HTTP);
    asked_free(&a);
    world_wait(&b.w, 60 * HARDY_SECOND);
    assert_int_equal(stream.log.ends, 1);
    assert_string_equal(stream.log.body.data, START REST);
    asked_free(&stream);
    bench_end(&b);
}

/* What the breaker has learned is not forgotten because a file was read again. */
static void a_reload_keeps_the_breaker(void **state) {
    (void)state;
    const struct bench_options options = {
        .answers = many("HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"),
        .count = PLENTY,
        .protocol = "http",
        .sections = "guards: {up: {retry: off, breaker: {failure_threshold: 2}}}\n"};
    struct bench b;
    struct asked a;
    bench_begin(&b, &options);
    for (int i = 0; i < 2; i++) {
        ask(&b, &a, "GET", "/up/x", NULL, NULL);
        asked_free(&a);
    }
    bench_reload(&b, &options);
    ask(&b, &a, "GET", "/up/x", NULL, NULL);
    assert_int_equal(a.log.status, 503);
    asked_free(&a);
    bench_end(&b);
}

/* The slots in use count against the new number of them, and a file that is refused changes none.
 */
static void a_reload_keeps_the_slots(void **state) {
    (void)state;
    struct bench b;
    struct asked a[5];
    struct config *config;
    struct gateway_settings settings;
    char text[300];
    bench_begin(&b, &(struct bench_options){.sections = "guards: {up: {bulkhead: 2}}\n"});
    for (size_t i = 0; i < 4; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
        world_wait(&b.w, 10 * HARDY_MILLISECOND);
    }
    assert_int_equal(b.upstream.open, 2);
    bench_reload(&b, &(struct bench_options){.sections = "guards: {up: {bulkhead: 3}}\n"});
    ask_begin(&b, &a[4], "POST", MESSAGES, BODY, NULL);
    world_wait(&b.w, 10 * HARDY_MILLISECOND);
    assert_int_equal(b.upstream.open, 3);

    snprintf(text, sizeof text,
             "upstreams: {up: {url: \"http://127.0.0.1:%u\", protocol: anthropic}, "
             "two: {url: \"http://127.0.0.1:1\", protocol: http}}\n"
             "guards: {up: {bulkhead: 9}, two: {bulkhead: 0}}\n",
             b.upstream.port);
    assert_int_equal(config_load_bytes("t.yaml", text, strlen(text), &config, NULL), HARDY_OK);
    assert_int_equal(gateway_settings_read(config, &settings, NULL), HARDY_OK);
    assert_int_equal(gateway_reload(b.gateway, config, &settings, NULL), HARDY_E_SYNTAX);
    config_free(config);
    world_wait(&b.w, 10 * HARDY_MILLISECOND);
    assert_int_equal(b.upstream.open, 3);

    for (size_t i = 0; i < 5; i++) {
        http_call_cancel(a[i].log.call);
    }
    world_wait(&b.w, HARDY_SECOND);
    assert_int_equal(b.upstream.open, 0);
    free_all(a, 5);
    bench_end(&b);
}

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

static void a_stream_is_finished_before_the_end(void **state) {
    (void)state;
    const char *answers[] = {sse_answer(START REST)};
    struct bench b;
    struct asked stream, late;
    bool done = false;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 1});
    b.upstream.step = 200;
    b.upstream.pause = 10 * HARDY_SECOND;
    ask_begin(&b, &stream, "POST", MESSAGES, STREAM, NULL);
    world_wait(&b.w, 5 * HARDY_SECOND);
    gateway_drain(b.gateway, set_true, &done);
    world_wait(&b.w, 10 * HARDY_MILLISECOND);
    assert_true(gateway_is_draining(b.gateway));
    /* The listener is closed: a new connection finds nobody. */
    ask(&b, &late, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(late.log.fails, 1);
    assert_int_equal(late.log.reason, CLOSE_REFUSED);
    asked_free(&late);
    assert_false(done);
    world_wait(&b.w, 28 * HARDY_SECOND);
    assert_int_equal(stream.log.ends, 1);
    assert_string_equal(stream.log.body.data, START REST);
    world_wait(&b.w, 5 * HARDY_SECOND);
    assert_true(done);
    asked_free(&stream);
    bench_end(&b);
}

static void what_does_not_finish_is_ended(void **state) {
    (void)state;
    static const char half[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                               "transfer-encoding: chunked\r\n\r\n";
    char text[600];
    snprintf(text, sizeof text, "%s%zx\r\n%s\r\n", half, sizeof START - 1, START);
    const char *answers[] = {text,
                             "HTTP/1.1 529 X\r\ncontent-length: 2\r\nretry-after: 100\r\n\r\n{}"};
    struct bench b;
    struct asked stream, waits;
    bool done = false;
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 2});
    ask_begin(&b, &stream, "POST", MESSAGES, STREAM, NULL);
    world_wait(&b.w, HARDY_SECOND);
    ask_begin(&b, &waits, "POST", MESSAGES, BODY, NULL);
    world_wait(&b.w, HARDY_SECOND);
    assert_non_null(waits.log.call); /* in its backoff */
    gateway_drain(b.gateway, set_true, &done);
    world_wait(&b.w, HARDY_SECOND);
    assert_int_equal(waits.log.status, 529); /* not kept waiting for what will not come */
    expect_between(header_number(&waits, "retry-after"), 1, 59);
    world_wait(&b.w, 28 * HARDY_SECOND);
    assert_non_null(stream.log.call);
    world_wait(&b.w, 3 * HARDY_SECOND);
    assert_int_equal(stream.log.ends, 1);
    assert_non_null(strstr(stream.log.body.data, "event: error\ndata: {\"type\":\"error\""));
    assert_true(done);
    asked_free(&stream);
    asked_free(&waits);
    bench_end(&b);
}

/* A request on a connection that was open before the end began is answered, not reset. */
static void late_requests_are_told_to_come_again(void **state) {
    (void)state;
    struct bench b;
    struct asked a, late;
    bool done = false;
    bench_begin(&b, &(struct bench_options){.answers = many("HTTP/1.1 200 OK\r\ncontent-type: "
                                                            "application/json\r\ncontent-length: "
                                                            "2\r\n\r\n{}"),
                                            .count = PLENTY});
    ask(&b, &a, "POST", MESSAGES, BODY, NULL); /* leaves a kept connection */
    gateway_drain(b.gateway, set_true, &done);
    ask(&b, &late, "POST", MESSAGES, BODY, NULL);
    assert_int_equal(late.log.status, 529);
    expect_between(header_number(&late, "retry-after"), 1, 59);
    asked_free(&a);
    asked_free(&late);
    world_wait(&b.w, 10 * HARDY_SECOND);
    assert_true(done);
    bench_end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_is_learned),
        cmocka_unit_test(a_debt_is_waited_for),
        cmocka_unit_test(agents_queue_here),
        cmocka_unit_test(a_refusal_holds_the_others),
        cmocka_unit_test(the_pace_after_a_refusal_grows),
        cmocka_unit_test(tokens_are_paid_and_settled),
        cmocka_unit_test(tokens_of_low_priority),
        cmocka_unit_test(an_open_breaker_parks),
        cmocka_unit_test(a_breaker_that_rejects_is_told),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(keys_and_clients),
        cmocka_unit_test(keys_are_not_offered_to_everybody),
        cmocka_unit_test(a_reload_drops_nothing),
        cmocka_unit_test(a_reload_keeps_the_breaker),
        cmocka_unit_test(a_reload_keeps_the_slots),
        cmocka_unit_test(a_stream_is_finished_before_the_end),
        cmocka_unit_test(what_does_not_finish_is_ended),
        cmocka_unit_test(late_requests_are_told_to_come_again),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
