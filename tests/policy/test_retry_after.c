/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "policy/retry_after.h"
#include <string.h>

static void retry_after(void **state) {
    (void)state;
    /* Sun, 06 Nov 1994 08:49:30.5 GMT */
    const int64_t wall = INT64_C(784111770500) * HARDY_MILLISECOND;
    const int64_t later = 6500 * HARDY_MILLISECOND, next_day = HARDY_DAY - 1500 * HARDY_MILLISECOND;
    static const struct {
        const char *name, *value;
        int64_t wait;
    } rows[] = {
        {"Retry-After", "120", 120 * HARDY_SECOND},
        {"Retry-After", "0", 0},
        {"Retry-After", "1.5", 1500 * HARDY_MILLISECOND},
        {"retry-after-ms", "250", 250 * HARDY_MILLISECOND},
        {"retry-after-ms", "0.5", 500 * HARDY_MICROSECOND},
        {"x-ms-retry-after-ms", "250", 250 * HARDY_MILLISECOND},
        {"x-ms-retry-after-ms", "soon", 0},
        {"retry-after", "99999999999999999999", HARDY_RETRY_AFTER_MAX},
        {"retry-after", "-1", 0},
        {"retry-after", "soon", 0},
        {"retry-after", "12 s", 0},
        {"retry-after", "", 0},
        {"retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", -1},
        {"retry-after", "Sunday, 06-Nov-94 08:49:37 GMT", -1},
        {"retry-after", "Sun Nov  6 08:49:37 1994", -1},
        {"retry-after", "Mon, 07 Nov 1994 08:49:29 GMT", -2},
        {"retry-after", "Mon Nov  7 08:49:29 1994", -2},
        {"retry-after", "Wed, 16 Nov 1994 08:49:37 GMT", HARDY_RETRY_AFTER_MAX},
        {"retryDelay", "3.5s", 3500 * HARDY_MILLISECOND},
        {"retryDelay", "soon", 0},
        {"x-retry-after", "3", 0},
        {"retry-after", "Sun, 06 Nov 1994 08:49:20 GMT", 0}, /* passed */
        {"retry-after", "Sun, 06 Nov 0001 08:49:20 GMT", 0},
        {"retry-after", "Fri, 31 Dec 9999 23:59:59 GMT", HARDY_RETRY_AFTER_MAX},
        {"retry-after", "Sun, 06 Nov 1994 08:49:37 CET", 0},
        {"retry-after", "Sun, 06 Nov 1994 08:49:37", 0},
        {"retry-after", "Sun, 06 Now 1994 08:49:37 GMT", 0},
        {"retry-after", "Sun, 06 Nov 1994 24:49:37 GMT", 0},
        {"retry-after", "Sun, 6 Nov 1994 08:49:37 GMT", 0},
        {"retry-after", ",", 0},
        {"retry-after", "a", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hardy_retry_after told;
        int64_t wait = rows[i].wait == -1 ? later : rows[i].wait == -2 ? next_day : rows[i].wait;
        hardy_retry_after_init(&told, sizeof told);
        (void)hardy_retry_after_header(&told, rows[i].name, rows[i].value, wall);
        if (hardy_retry_after_wait(&told, 500) != wait) {
            fail_msg("%s: %s: %lld", rows[i].name, rows[i].value,
                     (long long)hardy_retry_after_wait(&told, 500));
        }
    }
}

/* What an answer with such headers, "name: value" and a NULL behind the last, asks for: ms. */
static int64_t wait_of(int status, const char *const headers[]) {
    hardy_retry_after told;
    hardy_retry_after_init(&told, sizeof told);
    for (; *headers; headers++) {
        char name[64];
        const char *colon = strchr(*headers, ':');
        memcpy(name, *headers, (size_t)(colon - *headers));
        name[colon - *headers] = '\0';
        (void)hardy_retry_after_header(&told, name, colon + 2, 0);
    }
    return hardy_retry_after_wait(&told, status) / HARDY_MILLISECOND;
}
#define WAIT(status, ...) wait_of(status, (const char *const[]){__VA_ARGS__, NULL})

static void the_most_exact_counts(void **state) {
    (void)state;
    assert_int_equal(WAIT(429, "Retry-After: 2", "retry-after-ms: 1700"), 1700);
    assert_int_equal(WAIT(429, "retry-after-ms: 1700", "Retry-After: 2"), 1700);
    assert_int_equal(WAIT(429, "retry-after-ms: 1700", "x-ms-retry-after-ms: 1800"), 1800);
    /* Unless it cannot be read. */
    assert_int_equal(WAIT(429, "retry-after-ms: soon", "Retry-After: 2"), 2000);
    assert_int_equal(WAIT(429, "retryDelay: 7s", "Retry-After: 2"), 2000);
    /* Said twice: both want to be obeyed. */
    assert_int_equal(WAIT(429, "Retry-After: 2", "Retry-After: 5", "Retry-After: 3"), 5000);
    /* It takes precedence over resets, also where it says that nobody needs to wait. */
    assert_int_equal(WAIT(429, "RateLimit: \"a\";r=0;t=30", "Retry-After: 2"), 2000);
    assert_int_equal(WAIT(429, "RateLimit: \"a\";r=0;t=30", "Retry-After: 0"), 0);
    assert_int_equal(WAIT(429, "RateLimit: \"a\";r=0;t=30", "Retry-After: soon"), 30000);
}

static void resets_of_what_is_used_up(void **state) {
    (void)state;
    static const char *const anthropic[] = {
        "anthropic-ratelimit-requests-remaining: 12",
        "anthropic-ratelimit-requests-reset: 1970-01-01T00:00:50Z",
        "anthropic-ratelimit-input-tokens-remaining: 0",
        "anthropic-ratelimit-input-tokens-reset: 1970-01-01T00:00:07Z",
        "anthropic-ratelimit-output-tokens-reset: 1970-01-01T00:00:09Z",
        "anthropic-ratelimit-output-tokens-remaining: 0",
        NULL};
    assert_int_equal(wait_of(429, anthropic), 9000);
    assert_int_equal(wait_of(503, anthropic), 9000);
    assert_int_equal(wait_of(529, anthropic), 9000);
    assert_int_equal(wait_of(500, anthropic), 0);
    assert_int_equal(wait_of(200, anthropic), 0);
    /* OpenAI, GitHub, Discord, X, the drafts before 07 */
    assert_int_equal(WAIT(429, "x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 6m0s"),
                     360000);
    assert_int_equal(WAIT(429, "X-RateLimit-Remaining: 0", "X-RateLimit-Reset: 12"), 12000);
    assert_int_equal(WAIT(429, "X-RateLimit-Reset-After: 1.5", "X-RateLimit-Remaining: 0"), 1500);
    assert_int_equal(WAIT(429, "x-rate-limit-reset: 3", "x-rate-limit-remaining: 0"), 3000);
    assert_int_equal(WAIT(429, "RateLimit-Reset: 3", "RateLimit-Remaining: 0"), 3000);
    /* Something is left, of another limit nothing; or nobody says. */
    assert_int_equal(WAIT(429, "RateLimit-Reset: 3", "RateLimit-Remaining: 1"), 0);
    assert_int_equal(
        WAIT(429, "x-ratelimit-reset-tokens: 6m0s", "x-ratelimit-remaining-requests: 0"), 0);
    assert_int_equal(WAIT(429, "RateLimit-Reset: 3"), 0);
    assert_int_equal(WAIT(429, "RateLimit-Reset: 3", "RateLimit-Remaining: none"), 0);
    /* More limits than are kept. */
    assert_int_equal(WAIT(429, "a-ratelimit-reset: 1", "b-ratelimit-reset: 1",
                          "c-ratelimit-reset: 1", "d-ratelimit-reset: 1", "e-ratelimit-reset: 1",
                          "f-ratelimit-reset: 1", "g-ratelimit-reset: 1", "h-ratelimit-reset: 1",
                          "h-ratelimit-remaining: 0", "i-ratelimit-reset: 9",
                          "i-ratelimit-remaining: 0"),
                     1000);
    assert_int_equal(WAIT(429, "RateLimit-Reset: 9999999", "RateLimit-Remaining: 0"),
                     HARDY_RETRY_AFTER_MAX / HARDY_MILLISECOND);
}

static void ratelimit_field(void **state) {
    (void)state;
    static const struct {
        const char *value;
        int64_t seconds;
    } rows[] = {
        {"\"default\";r=0;t=30", 30},
        {"\"default\";r=50;t=30", 0},
        {"\"default\";r=0", 0},
        {"default;r=0;t=30", 30},
        {" \"default\" ; r=0;t=30 ", 30},
        {"\"day\";r=0;t=3600, \"burst\";r=0;t=5", 3600},
        {"\"day\";r=1;t=3600,\"burst\";r=0;t=5", 5},
        {"\"a, \\\" ;r=9;t=9\";r=0;t=5;pk=:cHsdsRa894==:", 5},
        {"\"a\";pk=:;r=1:;flag;r=0;t=5", 5},
        {"\"a\";r=1;r=0;t=5", 5}, /* of a key given twice the last counts */
        {"limit=100, remaining=0, reset=30", 30},
        {"limit=100, remaining=7, reset=30", 0},
        {"limit=100;w=60, remaining=0, reset=30", 30},
        {"l=100, r=0, t=30", 30},
        {"\"a\";r=0;t=999999999999999", 86400},
        /* Not such a field: ignored as a whole. */
        {"\"a\";r=0;t=30,", 0},
        {"\"a\";r=0;t=30 \"b\"", 0},
        {"\"a\";r=0;t=30, \"b\";r=0;t=x", 0},
        {"\"a\";r=0;t=30, \"b", 0},
        {"\"a\";r=0;t=30, b;pk=:abc", 0},
        {"\"a\";r=0;t=-30", 0},
        {"\"a\";r=0;t=30.5", 0},
        {"\"a\";r=0;t=", 0},
        {"\"a\";r=0;t=1000000000000000", 0},
        {"\"a\";r=0;;t=30", 0},
        {"\"a\";R=0;t=30", 0},
        {",", 0},
        {"r=", 0},
        {"", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hardy_retry_after told;
        hardy_retry_after_init(&told, sizeof told);
        (void)hardy_retry_after_header(&told, "RateLimit", rows[i].value, 0);
        if (hardy_retry_after_wait(&told, 429) != rows[i].seconds * HARDY_SECOND) {
            fail_msg("%s: %lld", rows[i].value, (long long)hardy_retry_after_wait(&told, 429));
        }
    }
}

static void tells_whether_it_was_of_use(void **state) {
    (void)state;
    hardy_retry_after told;
    hardy_retry_after_init(&told, sizeof told);
    assert_true(hardy_retry_after_header(&told, "RETRY-AFTER", "3", 0));
    assert_true(hardy_retry_after_header(&told, "RateLimit", "\"a\";r=5;t=3", 0));
    assert_true(hardy_retry_after_header(&told, "X-RateLimit-Remaining", "5", 0));
    assert_false(hardy_retry_after_header(&told, "Retry-After", "soon", 0));
    assert_false(hardy_retry_after_header(&told, "RateLimit", "\"a", 0));
    assert_false(hardy_retry_after_header(&told, "X-RateLimit-Remaining", "-5", 0));
    assert_false(hardy_retry_after_header(&told, "X-RateLimit-Limit", "5", 0));
    assert_false(hardy_retry_after_header(&told, "RateLimit-Policy", "\"a\";q=5;w=3", 0));
    assert_false(hardy_retry_after_header(&told, "Content-Length", "5", 0));
    assert_false(hardy_retry_after_header(&told, "", "", 0));
}

static void resets(void **state) {
    (void)state;
    /* 2026-11-28T16:04:00.5Z */
    const int64_t wall = INT64_C(1795881840500) * HARDY_MILLISECOND;
    static const struct {
        const char *text;
        int64_t wait;
    } rows[] = {
        /* RFC 3339 */
        {"2026-11-28T16:04:05Z", 4500 * HARDY_MILLISECOND},
        {"2026-11-28t16:04:05z", 4500 * HARDY_MILLISECOND},
        {"2026-11-28 16:04:05Z", 4500 * HARDY_MILLISECOND},
        {"2026-11-28T16:04:05.25Z", 4750 * HARDY_MILLISECOND},
        {"2026-11-28T16:04:00.500000001Z", 1},
        {"2026-11-28T16:04:00.5000000019999999999999999999Z", 1},
        {"2026-11-28T16:04:05+00:00", 4500 * HARDY_MILLISECOND},
        {"2026-11-28T18:04:05+02:00", 4500 * HARDY_MILLISECOND},
        {"2026-11-28T10:34:05-05:30", 4500 * HARDY_MILLISECOND},
        {"2026-11-29T16:04:00Z", HARDY_DAY - 500 * HARDY_MILLISECOND},
        {"2028-02-29T16:04:00.5Z", 458 * HARDY_DAY},
        {"2026-11-28T23:59:60Z", 7 * HARDY_HOUR + 56 * HARDY_MINUTE - 500 * HARDY_MILLISECOND},
        {"2026-11-28T16:04:00.5Z", 0}, /* now */
        {"2026-11-28T16:04:00.4Z", 0}, /* passed */
        {"1969-12-31T23:59:59Z", 0},
        {"0000-01-01T00:00:00Z", 0},
        {"9999-12-31T23:59:59.999Z", HARDY_NEVER},
        {"2262-04-11T23:47:16.999Z", HARDY_NEVER},
        {"2027-02-29T16:04:05Z", 0},
        {"2027-02-30T16:04:05Z", 0},
        {"2027-13-01T16:04:05Z", 0},
        {"2027-00-01T16:04:05Z", 0},
        {"2027-01-00T16:04:05Z", 0},
        {"2027-01-01T24:00:00Z", 0},
        {"2027-01-01T16:60:00Z", 0},
        {"2027-01-01T16:04:05", 0},
        {"2027-01-01T16:04:05.Z", 0},
        {"2027-01-01T16:04:05Zx", 0},
        {"2027-01-01T16:04:05+0200", 0},
        {"2027-01-01T16:04:05+24:00", 0},
        {"2027-01-01T16:04:05+02:60", 0},
        {"2027-01-01T16:04Z", 0},
        {"2027-01-01", 0},
        {"27-01-01T16:04:05Z", 0},
        /* durations */
        {"12ms", 12 * HARDY_MILLISECOND},
        {"6m0s", 6 * HARDY_MINUTE},
        {"1h2m3.5s", HARDY_HOUR + 2 * HARDY_MINUTE + 3500 * HARDY_MILLISECOND},
        {"1m26.4s", 86400 * HARDY_MILLISECOND},
        {"250us", 250 * HARDY_MICROSECOND},
        {"250\xc2\xb5s", 250 * HARDY_MICROSECOND},
        {"250\xce\xbcs", 250 * HARDY_MICROSECOND},
        {"1.5\xc2\xb5s", 1500},
        {"0s", 0},
        {"-5s", 0},
        {"6m 0s", 0},
        {"6m0", 0},
        {"\xc2", 0},
        {"1000000000000000000000000000000000000000000000000000000000000000000000ms", 0},
        /* numbers */
        {"0", 0},
        {"1", HARDY_SECOND},
        {"0.25", 250 * HARDY_MILLISECOND},
        {"60.5", 60500 * HARDY_MILLISECOND},
        {"1000000000", 1000000000 * HARDY_SECOND},
        {"1795881845", 4500 * HARDY_MILLISECOND},
        {"1795881845.5", 5 * HARDY_SECOND},
        {"1795881840", 0},
        {"1000000001", 0},
        {"1795881845000", 4500 * HARDY_MILLISECOND},
        {"1795881840000", 0},
        {"99999999999", HARDY_NEVER},
        {"1e400", HARDY_NEVER},
        {"-1", 0},
        {"+1", 0},
        {"1 s", 0},
        {".5", 0},
        {"nan", 0},
        {"inf", 0},
        {"", 0},
        {"soon", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t wait = retry_after_reset(rows[i].text, wall);
        if (wait != rows[i].wait) {
            fail_msg("%s: %lld instead of %lld", rows[i].text, (long long)wait,
                     (long long)rows[i].wait);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after),
        cmocka_unit_test(the_most_exact_counts),
        cmocka_unit_test(resets_of_what_is_used_up),
        cmocka_unit_test(ratelimit_field),
        cmocka_unit_test(tells_whether_it_was_of_use),
        cmocka_unit_test(resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
