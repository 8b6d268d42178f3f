/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/prng.h"
#include "policy/backoff.h"
#include <errno.h>
#include <hardy/outcome.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#define S HARDY_SECOND
#define DRAWS 20000

static hardy_retry_config settings(hardy_jitter jitter) {
    hardy_retry_config c;
    hardy_retry_config_init(&c, sizeof c);
    c.jitter = jitter;
    return c;
}

static void defaults(void **state) {
    (void)state;
    hardy_retry_config c;
    hardy_retry_config_init(&c, sizeof c);
    assert_int_equal(c.max_retries, 5);
    assert_true(c.base_delay == S && c.max_delay == 60 * S && c.exponential_base == 2);
    assert_int_equal(c.jitter, HARDY_JITTER_FULL);
    assert_true(c.max_total_wait == HARDY_NEVER && !c.repeatable);
    assert_int_equal(retry_check(&c, NULL), HARDY_OK);
}

static void grows_up_to_the_cap_and_saturates(void **state) {
    (void)state;
    hardy_retry_config c = settings(HARDY_JITTER_NONE);
    static const int64_t expected[] = {1, 2, 4, 8, 16, 32, 60, 60};
    for (uint32_t i = 0; i < 8; i++) {
        assert_true(hardy_backoff(&c, i, 0, 12345) == expected[i] * S);
    }
    assert_true(hardy_backoff(&c, UINT32_MAX, 0, 0) == 60 * S);
    c.exponential_base = 100;
    c.max_delay = HARDY_DAY;
    c.base_delay = HARDY_HOUR;
    assert_true(hardy_backoff(&c, 1000, 0, 0) == HARDY_DAY);
    c.exponential_base = 1;
    assert_true(hardy_backoff(&c, UINT32_MAX, 0, 0) == HARDY_HOUR);
    c.base_delay = 0;
    assert_true(hardy_backoff(&c, 5, 0, 0) == 0);
    /* "background": 2, 6, 18, 54 seconds */
    c.base_delay = 2 * S;
    c.exponential_base = 3;
    c.max_delay = 120 * S;
    assert_true(hardy_backoff(&c, 3, 0, 0) == 54 * S);
    assert_true(hardy_backoff(&c, 4, 0, 0) == 120 * S);
}

struct seen {
    int64_t least, most;
    double mean;
    int at_cap;
};

static struct seen draw(const hardy_retry_config *c, uint32_t retry, int64_t previous) {
    struct seen seen = {.least = INT64_MAX};
    struct prng p;
    prng_seed(&p, retry);
    for (int i = 0; i < DRAWS; i++) {
        int64_t wait = hardy_backoff(c, retry, previous, prng_next(&p));
        seen.least = wait < seen.least ? wait : seen.least;
        seen.most = wait > seen.most ? wait : seen.most;
        seen.mean += (double)wait / DRAWS;
        seen.at_cap += wait == c->max_delay;
    }
    return seen;
}

/* The bounds are reached (within 1/1000), not passed, and the middle is in the middle. */
static void expect_range(struct seen seen, int64_t low, int64_t high) {
    int64_t slack = (high - low) / 1000;
    assert_true(seen.least >= low && seen.least <= low + slack);
    assert_true(seen.most <= high && seen.most >= high - slack);
    double middle = ((double)low + (double)high) / 2;
    assert_true(seen.mean > middle - 10 * (double)slack && seen.mean < middle + 10 * (double)slack);
}

static void ranges_of_the_jitters(void **state) {
    (void)state;
    hardy_retry_config full = settings(HARDY_JITTER_FULL), equal = settings(HARDY_JITTER_EQUAL),
                       decorrelated = settings(HARDY_JITTER_DECORRELATED),
                       proportional = settings(HARDY_JITTER_PROPORTIONAL);
    expect_range(draw(&full, 0, 0), 0, S);
    expect_range(draw(&full, 4, 0), 0, 16 * S);
    expect_range(draw(&full, 9, 0), 0, 60 * S);
    expect_range(draw(&equal, 0, 0), S / 2, S);
    expect_range(draw(&equal, 9, 0), 30 * S, 60 * S);
    expect_range(draw(&decorrelated, 0, 0), S, 3 * S);
    expect_range(draw(&decorrelated, 7, 5 * S), S, 15 * S);
    expect_range(draw(&decorrelated, 7, 50 * S), S, 60 * S);
    expect_range(draw(&decorrelated, 7, INT64_MAX), S, 60 * S);
    expect_range(draw(&proportional, 0, 0), S / 2, S + S / 2);
    expect_range(draw(&proportional, 9, 0), 20 * S, 60 * S);
    /* Nobody waits as long as the cap says to the nanosecond: no herd forms there. */
    assert_int_equal(draw(&full, 9, 0).at_cap, 0);
    assert_int_equal(draw(&equal, 9, 0).at_cap, 0);
    assert_int_equal(draw(&decorrelated, 9, 60 * S).at_cap, 0);
    assert_int_equal(draw(&proportional, 9, 0).at_cap, 0);
}

/* Where the cap is what counts, for any settings: capping what was drawn would put half of the
 * waits and more exactly there, all callers at the same instant. And the values spread over the
 * whole range, no tenth of it has more than its share. */
static void nobody_waits_exactly_the_cap(void **state) {
    (void)state;
    static const hardy_jitter kinds[] = {HARDY_JITTER_FULL, HARDY_JITTER_EQUAL,
                                         HARDY_JITTER_DECORRELATED, HARDY_JITTER_PROPORTIONAL};
    struct prng p;
    prng_seed(&p, 5);
    for (int i = 0; i < 40; i++) {
        hardy_retry_config c = settings(kinds[i % 4]);
        c.base_delay = 1000 + (int64_t)prng_below(&p, S);
        c.max_delay = c.base_delay * (2 + (int64_t)prng_below(&p, 20));
        c.exponential_base = 2 + prng_unit(&p) * 8;
        uint32_t tenths[10] = {0};
        int64_t low = c.jitter == HARDY_JITTER_FULL           ? 0
                      : c.jitter == HARDY_JITTER_EQUAL        ? c.max_delay / 2
                      : c.jitter == HARDY_JITTER_DECORRELATED ? c.base_delay
                                                              : c.max_delay / 3;
        for (int k = 0; k < 5000; k++) {
            int64_t wait = hardy_backoff(&c, 12, c.max_delay, prng_next(&p));
            assert_true(wait >= low && wait < c.max_delay);
            tenths[(size_t)((double)(wait - low) / (double)(c.max_delay - low) * 10)]++;
        }
        for (size_t k = 0; k < 10; k++) {
            assert_in_range(tenths[k], 350, 650);
        }
    }
}

/* What no guard would take: no wait is negative, none above the cap, and nothing takes for ever. */
static void settings_that_cannot_hold(void **state) {
    (void)state;
    static const int64_t spans[] = {INT64_MIN, -1, 0, 1, S, INT64_MAX};
    static const double bases[] = {-1, 0, 0.5, 1, 1 + 1e-15, 2, 1e308, INFINITY, -INFINITY, NAN};
    static const uint32_t retries[] = {0, 1, 7, UINT32_MAX};
    static const uint64_t randoms[] = {0, 1, UINT64_MAX / 2, UINT64_MAX};
    for (size_t i = 0; i < 6 * 6 * 10; i++) {
        for (int jitter = -1; jitter < 7; jitter++) {
            hardy_retry_config c = settings((hardy_jitter)jitter);
            c.base_delay = spans[i % 6];
            c.max_delay = spans[i / 6 % 6];
            c.exponential_base = bases[i / 36];
            for (size_t k = 0; k < 4 * 4 * 6; k++) {
                if (retries[k % 4] == UINT32_MAX && k >= 16) {
                    continue; /* the series is long; once is enough */
                }
                int64_t wait = hardy_backoff(&c, retries[k % 4], spans[k / 16], randoms[k / 4 % 4]);
                assert_true(wait >= 0 && wait <= (c.max_delay > 0 ? c.max_delay : 0));
            }
        }
    }
    hardy_retry_config c = settings(HARDY_JITTER_NONE);
    c.exponential_base = NAN;
    assert_true(hardy_backoff(&c, 9, 0, 0) == c.base_delay);
    c = settings(HARDY_JITTER_NONE);
    c.max_retries = UINT32_MAX;
    c.max_delay = INT64_MAX;
    assert_true(hardy_backoff_worst_case(&c) == INT64_MAX);
    c.max_total_wait = -1;
    assert_true(hardy_backoff_worst_case(&c) == 0);
}

static void never_above_the_cap(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 1);
    for (int i = 0; i < DRAWS; i++) {
        hardy_retry_config c = settings((hardy_jitter)prng_below(&p, 5));
        c.base_delay = (int64_t)prng_below(&p, UINT64_C(1) << prng_below(&p, 40));
        c.max_delay = c.base_delay + (int64_t)prng_below(&p, 100);
        c.exponential_base = 1 + prng_unit(&p) * 99;
        int64_t wait = hardy_backoff(&c, (uint32_t)prng_below(&p, 20),
                                     (int64_t)prng_below(&p, (uint64_t)c.max_delay + 1),
                                     i % 2 ? UINT64_MAX : prng_next(&p));
        assert_in_range(wait, 0, c.max_delay);
    }
}

static void worst_case(void **state) {
    (void)state;
    hardy_retry_config c = settings(HARDY_JITTER_FULL);
    assert_true(hardy_backoff_worst_case(&c) == 31 * S); /* 1 2 4 8 16 */
    c.jitter = HARDY_JITTER_EQUAL;
    assert_true(hardy_backoff_worst_case(&c) == 31 * S);
    c.jitter = HARDY_JITTER_PROPORTIONAL;
    assert_true(hardy_backoff_worst_case(&c) == 46 * S + S / 2);
    c.jitter = HARDY_JITTER_DECORRELATED;
    assert_true(hardy_backoff_worst_case(&c) == (3 + 9 + 27 + 60 + 60) * S);
    c.max_total_wait = 20 * S;
    assert_true(hardy_backoff_worst_case(&c) == 20 * S);
    c.max_retries = 0;
    assert_true(hardy_backoff_worst_case(&c) == 0);
    c = settings(HARDY_JITTER_NONE);
    c.max_total_wait = 20 * S;
    assert_true(hardy_backoff_worst_case(&c) == 15 * S); /* 16 more do not fit */
    c.max_total_wait = S - 1;
    assert_true(hardy_backoff_worst_case(&c) == 0); /* not one is begun */
    c.jitter = HARDY_JITTER_EQUAL;
    assert_true(hardy_backoff_worst_case(&c) == S - 1);
    c.max_total_wait = S / 2 - 1;
    assert_true(hardy_backoff_worst_case(&c) == 0);
    c = settings(HARDY_JITTER_NONE);
    c.max_retries = 1000;
    c.max_delay = HARDY_DAY;
    assert_true(hardy_backoff_worst_case(&c) > 980 * HARDY_DAY);
}

static void refuses_settings(void **state) {
    (void)state;
    hardy_error error;
    hardy_retry_config c = settings(HARDY_JITTER_FULL);
    hardy_error_init(&error, sizeof error);
    c.max_retries = 1001;
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "max_retries is 1001, which should be from 0 to 1000");
    c = settings(HARDY_JITTER_FULL);
    c.base_delay = -1;
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "base_delay is -1ns, which should be from 0s to 1h");
    c = settings(HARDY_JITTER_FULL);
    c.max_delay = S / 2;
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "max_delay is 500ms, which should be from 1s to 1d");
    c = settings(HARDY_JITTER_FULL);
    c.exponential_base = 0.5;
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "exponential_base is 0.5, which should be from 1 to 100");
    c = settings((hardy_jitter)7);
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "jitter is 7"));
    c = settings(HARDY_JITTER_FULL);
    c.max_total_wait = -5;
    assert_int_equal(retry_check(&c, &error), HARDY_E_INVALID);
}

static void outcomes(void **state) {
    (void)state;
    const struct {
        hardy_outcome outcome;
        hardy_outcome_class kind;
        hardy_effect effect;
        bool permanent;
        int code;
    } rows[] = {
        {hardy_outcome_of_exit(0), HARDY_SUCCESS, HARDY_EFFECT_DONE, false, 0},
        {hardy_outcome_of_exit(1), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 1},
        {hardy_outcome_of_exit(75), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 75},
        {hardy_outcome_of_exit(64), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 64},
        {hardy_outcome_of_exit(65), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 65},
        {hardy_outcome_of_exit(66), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 66},
        {hardy_outcome_of_exit(67), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 67},
        {hardy_outcome_of_exit(68), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 68},
        {hardy_outcome_of_exit(69), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 69},
        {hardy_outcome_of_exit(76), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 76},
        {hardy_outcome_of_exit(77), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 77},
        {hardy_outcome_of_exit(78), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 78},
        {hardy_outcome_of_exit(79), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 79},
        {hardy_outcome_of_exit(124), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 124},
        {hardy_outcome_of_exit(128), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 128},
        {hardy_outcome_of_exit(130), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true, 130},
        {hardy_outcome_of_exit(137), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 137},
        {hardy_outcome_of_exit(143), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true, 143},
        {hardy_outcome_of_exit(192), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 192},
        {hardy_outcome_of_exit(193), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 193},
        {hardy_outcome_of_exit(255), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 255},
        {hardy_outcome_of_exit(126), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 126},
        {hardy_outcome_of_exit(127), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 127},
        {hardy_outcome_of_signal(SIGKILL), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 137},
        {hardy_outcome_of_signal(SIGINT), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true, 130},
        {hardy_outcome_of_errno(ECONNREFUSED, true), HARDY_FAILURE, HARDY_EFFECT_NONE, false,
         ECONNREFUSED},
        {hardy_outcome_of_errno(ECONNRESET, true), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false,
         ECONNRESET},
        {hardy_outcome_of_errno(ECONNRESET, false), HARDY_FAILURE, HARDY_EFFECT_NONE, false,
         ECONNRESET},
        {hardy_outcome_of_errno(ECANCELED, true), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true,
         ECANCELED},
        {hardy_outcome_of_errno(EMFILE, false), HARDY_THROTTLED, HARDY_EFFECT_NONE, false, EMFILE},
        {hardy_outcome_of_errno(EACCES, false), HARDY_IGNORED, HARDY_EFFECT_NONE, true, EACCES},
        {hardy_outcome_of_timeout(true), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, ETIMEDOUT},
        {hardy_outcome_of_status(HARDY_OK, 0), HARDY_SUCCESS, HARDY_EFFECT_DONE, false, 0},
        {hardy_outcome_of_status(HARDY_E_EXHAUSTED, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, true,
         HARDY_E_EXHAUSTED},
        {hardy_outcome_of_status(HARDY_E_TIMEOUT, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, true,
         HARDY_E_TIMEOUT},
        {hardy_outcome_of_status(HARDY_E_IN_DOUBT, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, true,
         HARDY_E_IN_DOUBT},
        {hardy_outcome_of_status(HARDY_E_OPEN, S), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true,
         HARDY_E_OPEN},
        {hardy_outcome_of_status(HARDY_E_FAILED, -1), HARDY_IGNORED, HARDY_EFFECT_UNKNOWN, true,
         HARDY_E_FAILED},
        {hardy_outcome_of_http(200, 0), HARDY_SUCCESS, HARDY_EFFECT_DONE, false, 200},
        {hardy_outcome_of_http(304, 0), HARDY_SUCCESS, HARDY_EFFECT_DONE, false, 304},
        {hardy_outcome_of_http(400, 0), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 400},
        {hardy_outcome_of_http(404, 0), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 404},
        {hardy_outcome_of_http(408, 0), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 408},
        {hardy_outcome_of_http(425, 0), HARDY_THROTTLED, HARDY_EFFECT_NONE, false, 425},
        {hardy_outcome_of_http(429, 0), HARDY_THROTTLED, HARDY_EFFECT_NONE, false, 429},
        {hardy_outcome_of_http(500, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 500},
        {hardy_outcome_of_http(501, 0), HARDY_IGNORED, HARDY_EFFECT_NONE, true, 501},
        {hardy_outcome_of_http(503, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 503},
        {hardy_outcome_of_http(503, S), HARDY_THROTTLED, HARDY_EFFECT_NONE, false, 503},
        {hardy_outcome_of_http(529, 0), HARDY_FAILURE, HARDY_EFFECT_NONE, false, 529},
        {hardy_outcome_of_http(999, 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 999},
        {hardy_outcome_of_llm(200, NULL, NULL, 0), HARDY_SUCCESS, HARDY_EFFECT_DONE, false, 200},
        {hardy_outcome_of_llm(529, "overloaded_error", "", 0), HARDY_FAILURE, HARDY_EFFECT_NONE,
         false, 529},
        {hardy_outcome_of_llm(429, "rate_limit_error", NULL, 0), HARDY_THROTTLED, HARDY_EFFECT_NONE,
         false, 429},
        {hardy_outcome_of_llm(429, "requests", "rate_limit_exceeded", 0), HARDY_THROTTLED,
         HARDY_EFFECT_NONE, false, 429},
        {hardy_outcome_of_llm(429, "RESOURCE_EXHAUSTED", NULL, 0), HARDY_THROTTLED,
         HARDY_EFFECT_NONE, false, 429},
        {hardy_outcome_of_llm(429, "insufficient_quota", "insufficient_quota", 0), HARDY_THROTTLED,
         HARDY_EFFECT_NONE, true, 429},
        {hardy_outcome_of_llm(429, "invalid_request_error", "", 0), HARDY_THROTTLED,
         HARDY_EFFECT_NONE, true, 429},
        {hardy_outcome_of_llm(400, "invalid_request_error", "context_length_exceeded", 0),
         HARDY_IGNORED, HARDY_EFFECT_NONE, true, 400},
        {hardy_outcome_of_llm(500, "api_error", "", 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false,
         500},
        {hardy_outcome_of_llm(503, "billing_error", "", 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN,
         true, 503},
        /* inside an answer that had begun with 200 */
        {hardy_outcome_of_llm(200, "overloaded_error", "", 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN,
         false, 529},
        {hardy_outcome_of_llm(200, "", "rate_limit_exceeded", 0), HARDY_THROTTLED,
         HARDY_EFFECT_UNKNOWN, false, 429},
        {hardy_outcome_of_llm(200, "server_error", "", 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN,
         false, 200},
        {hardy_outcome_of_llm(200, "", "", 0), HARDY_FAILURE, HARDY_EFFECT_UNKNOWN, false, 200},
        {hardy_outcome_of_llm(200, "invalid_request_error", "content_filter", 0), HARDY_IGNORED,
         HARDY_EFFECT_NONE, true, 200},
        {hardy_outcome_of_llm(200, "billing_error", NULL, 0), HARDY_IGNORED, HARDY_EFFECT_NONE,
         true, 200},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].outcome.code, rows[i].code);
        if (rows[i].outcome.kind != rows[i].kind || rows[i].outcome.effect != rows[i].effect ||
            rows[i].outcome.permanent != rows[i].permanent) {
            fail_msg("row %zu, code %d", i, rows[i].code);
        }
    }
    assert_true(hardy_outcome_of_http(429, 3 * S).retry_after == 3 * S);
    assert_true(hardy_outcome_of_http(429, -3).retry_after == 0);
    assert_true(hardy_outcome_of_status(HARDY_E_OPEN, S).retry_after == S);
    assert_true(hardy_outcome_of_status(HARDY_E_OPEN, -1).retry_after == 0);
    assert_true(hardy_outcome_of_llm(200, "overloaded_error", "", 3 * S).retry_after == 3 * S);
    /* The code is the more exact one; an unknown one says nothing. */
    assert_int_equal(hardy_llm_error_of("invalid_request_error", "slow_down"),
                     HARDY_LLM_OVERLOADED);
    assert_int_equal(hardy_llm_error_of("api_error", "e_42"), HARDY_LLM_FAILED);
    assert_int_equal(hardy_llm_error_of("error", NULL), HARDY_LLM_UNKNOWN);
    /* A number is the status over again: any word is more exact. */
    assert_int_equal(hardy_llm_error_of("insufficient_quota", "429"), HARDY_LLM_SPENT);
    static const struct {
        const char *code;
        hardy_llm_error means;
    } numbers[] = {
        {"429", HARDY_LLM_THROTTLED},  {"425", HARDY_LLM_THROTTLED}, {"402", HARDY_LLM_SPENT},
        {"400", HARDY_LLM_REJECTED},   {"499", HARDY_LLM_REJECTED},  {"408", HARDY_LLM_FAILED},
        {"500", HARDY_LLM_FAILED},     {"502", HARDY_LLM_FAILED},    {"503", HARDY_LLM_OVERLOADED},
        {"529", HARDY_LLM_OVERLOADED}, {"200", HARDY_LLM_UNKNOWN},   {"600", HARDY_LLM_UNKNOWN},
        {"42", HARDY_LLM_UNKNOWN},     {"4290", HARDY_LLM_UNKNOWN},  {"4x9", HARDY_LLM_UNKNOWN},
        {"429x", HARDY_LLM_UNKNOWN},   {"-429", HARDY_LLM_UNKNOWN}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (hardy_llm_error_of("", numbers[i].code) != numbers[i].means) {
            fail_msg("code %s", numbers[i].code);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(grows_up_to_the_cap_and_saturates),
        cmocka_unit_test(ranges_of_the_jitters),
        cmocka_unit_test(nobody_waits_exactly_the_cap),
        cmocka_unit_test(settings_that_cannot_hold),
        cmocka_unit_test(never_above_the_cap),
        cmocka_unit_test(worst_case),
        cmocka_unit_test(refuses_settings),
        cmocka_unit_test(outcomes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
