/* SPDX-License-Identifier: Apache-2.0 */
/* A guard's settings, the ring of its events, and what it says about itself. */
#include "guard/ring.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_budget_config budget;
static hardy_breaker_config breaker;
static hardy_rate_config rate;
static hardy_bulkhead_config slots;

static int setup(void **state) {
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_budget_config_init(&budget, sizeof budget);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_rate_config_init(&rate, sizeof rate);
    hardy_bulkhead_config_init(&slots, sizeof slots);
    config.name = "llm";
    return 0;
}

/* --- settings ------------------------------------------------------------------------------ */

static void refused(const char *message) {
    hardy_guard *g = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_guard_new(&config, NULL, &g, &error), HARDY_E_INVALID);
    assert_null(g);
    assert_string_equal(error.message, message);
}

static void refusals_name_the_field(void **state) {
    (void)state;
    config.deadline = 0;
    refused("guard llm: deadline is 0 ns, which should be above 0, or HARDY_NEVER for none");
    setup(NULL);
    config.timeout_idle = -5;
    refused("guard llm: timeout_idle is -5 ns, which should be above 0, or HARDY_NEVER for none");
    setup(NULL);
    config.retry = &retry;
    retry.max_retries = 1001;
    refused("guard llm: max_retries is 1001, which should be from 0 to 1000");
    setup(NULL);
    config.retry = &retry;
    config.budget = &budget;
    budget.ratio = 11;
    refused("guard llm: ratio is 11, which should be from 0 to 10");
    setup(NULL);
    config.breaker = &breaker;
    breaker.failure_threshold = 0;
    refused("guard llm: failure_threshold is 0, which should be from 1 to 64");
    setup(NULL);
    config.bulkhead = &slots;
    slots.max_concurrent = 0;
    refused("guard llm: max_concurrent is 0, which should be from 1 to 1000000");
    setup(NULL);
    config.rate = &rate;
    rate.burst = 0;
    hardy_guard *g = NULL;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
    config.rate = NULL;
    config.name = NULL;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
    config.name = "";
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
    config.name = "0123456789012345678901234567890123456789012345678901234567890123";
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
    config.name++;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    hardy_guard_free(g);
    hardy_guard_free(NULL);
}

static void everything_is_copied(void **state) {
    char name[] = "copied", before[4096], after[4096];
    hardy_guard *g = NULL;
    (void)state;
    config.name = name;
    config.retry = &retry;
    config.budget = &budget;
    config.breaker = &breaker;
    config.rate = &rate;
    config.bulkhead = &slots;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    hardy_guard_explain(g, before, sizeof before);
    memset(name, 'x', strlen(name));
    memset(&retry, 1, sizeof retry);
    memset(&budget, 1, sizeof budget);
    memset(&breaker, 1, sizeof breaker);
    memset(&rate, 1, sizeof rate);
    memset(&slots, 1, sizeof slots);
    hardy_guard_explain(g, after, sizeof after);
    assert_string_equal(before, after);
    hardy_guard_free(g);
}

static void a_shorter_structure_keeps_the_defaults(void **state) {
    hardy_guard *g = NULL;
    char text[4096];
    (void)state;
    config.retry = &retry;
    retry.size = offsetof(hardy_retry_config, max_delay);
    retry.max_delay = -1;
    retry.jitter = (hardy_jitter)77;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    hardy_guard_explain(g, text, sizeof text);
    assert_non_null(strstr(text, "max_delay 1m, exponential_base 2, jitter full"));
    hardy_guard_free(g);
    retry.size = sizeof retry + 8;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
    retry.size = 0;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_E_INVALID);
}

static void the_budget_is_there_by_default(void **state) {
    hardy_guard *g = NULL;
    hardy_guard_stats s = {.size = sizeof s};
    (void)state;
    config.retry = &retry;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    hardy_guard_get_stats(g, &s);
    assert_true(s.budget_left == 110);
    hardy_guard_free(g);
    config.retry = NULL;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    hardy_guard_get_stats(g, &s);
    assert_true(s.budget_left == -1);
    assert_true(s.rate_left == -1);
    hardy_guard_free(g);
}

/* --- events ---------------------------------------------------------------------------------- */

static void a_full_ring_drops_the_oldest(void **state) {
    static struct ring ring;
    hardy_event e;
    (void)state;
    ring_init(&ring);
    assert_false(ring_take(&ring, &e));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < RING_SLOTS + 10; i++) {
            ring_put(&ring, &(hardy_event){.kind = HARDY_EVENT_RETRY, .code = i});
        }
        assert_int_equal(word_load(&ring.dropped), 10 * (round + 1));
        for (int i = 10; i < RING_SLOTS + 10; i++) {
            assert_true(ring_take(&ring, &e));
            assert_int_equal(e.code, i);
        }
        assert_false(ring_take(&ring, &e));
    }
}

/* --- explain --------------------------------------------------------------------------------- */

static char text[8192];

static const char *explain(void) {
    hardy_guard *g = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (hardy_guard_new(&config, NULL, &g, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
    size_t length = hardy_guard_explain(g, text, sizeof text);
    assert_int_equal(length, strlen(text));
    /* Cut, not overrun, and the length is that of the whole. */
    char small[16];
    memset(small, 'x', sizeof small);
    assert_int_equal(hardy_guard_explain(g, small, 10), length);
    assert_memory_equal(small, "guard llm\0xxxxxx", sizeof small);
    assert_int_equal(hardy_guard_explain(g, NULL, 0), length);
    hardy_guard_free(g);
    return text;
}

static void explains_settings_and_schedule(void **state) {
    (void)state;
    config.deadline = 5 * HARDY_MINUTE;
    config.timeout = 30 * HARDY_SECOND;
    config.retry = &retry;
    config.breaker = &breaker;
    retry.repeatable = true;
    retry.max_retries = 3;
    retry.max_delay = 3 * HARDY_SECOND;
    assert_string_equal(
        explain(),
        "guard llm\n"
        "  order      deadline > retry and budget > breaker > rate > bulkhead > timeout of the "
        "attempt > call; no other can be configured\n"
        "  deadline   5m\n"
        "  timeout    attempt 30s, first content none, idle none\n"
        "  retry      max_retries 3, base_delay 1s, max_delay 3s, exponential_base 2, jitter full, "
        "max_total_wait none, repeatable yes\n"
        "    wait before attempt 2    0s to 1s\n"
        "    wait before attempt 3    0s to 2s\n"
        "    wait before attempt 4    0s to 3s\n"
        "    worst case of all waits  6s (6.000 s)\n"
        "  budget     0.1 retries a call, and 10 a second besides; kept for 10s, a retry "
        "after a time-out counts 2 times\n"
        "  breaker    opens after 5 failures in 2m (counting operations), stays open 1m, closes "
        "after 2 trials, 2 at once, trial_lease 1m, close_ramp 10s, when open: reject\n"
        "  rate       none\n"
        "  bulkhead   none\n"
        "  an operation takes at most 2m6s (126.000 s), not counting waits for the breaker, rate "
        "and slots\n");
}

static void explains_a_breaker_of_shares(void **state) {
    (void)state;
    config.deadline = HARDY_MINUTE;
    config.breaker = &breaker;
    breaker.failure_mode = HARDY_FAILURE_RATE;
    breaker.failure_rate = 0.5;
    breaker.slow_call_rate = 0.25;
    breaker.slow_call = 2 * HARDY_SECOND;
    breaker.recovery_factor = 2;
    breaker.shadow = true;
    assert_non_null(strstr(explain(),
                           "opens when 50 % fail or 25 % are slow of at least 10 calls in 2m "
                           "(counting operations), slow is longer than 2s, stays open 1m, each "
                           "time 2 times as long, up to 10m, closes after 2 trials"));
    assert_non_null(strstr(text, "when open: reject; shadow: refuses nothing\n"));
    breaker.failure_rate = 0;
    breaker.window_calls = 100;
    assert_non_null(strstr(explain(), "opens when 25 % are slow of at least 10 calls in the last "
                                      "100 (counting"));
    breaker.failure_mode = HARDY_WINDOW;
    breaker.failure_rate = 0.5;
    breaker.window_calls = 0;
    breaker.slow_call_rate = 0;
    breaker.trial_decision = HARDY_TRIALS_RATIO;
    breaker.recovery_jitter = 0.1;
    breaker.close_rate = 80;
    assert_non_null(strstr(explain(), "opens after 5 failures in 2m, if they are 50 % of the calls "
                                      "(counting"));
    assert_non_null(strstr(text, ", up to 10 % longer, closes after 2 trials unless 50 % of them "
                                 "fail, 2 at once, trial_lease 1m, close_ramp 10s at 80/s, when"));
}

static void warns_of_what_cannot_hold(void **state) {
    (void)state;
    config.deadline = 2 * HARDY_MINUTE;
    config.timeout = 30 * HARDY_SECOND;
    config.retry = &retry;
    assert_non_null(strstr(explain(), "warning: 6 attempts of 30s make 3m, more than the deadline "
                                      "2m: at most 4 can run to their timeout\n"));
    assert_non_null(strstr(text, "note: repeatable is no"));

    retry.repeatable = true;
    retry.max_retries = 2;
    config.timeout = 39 * HARDY_SECOND;
    assert_null(strstr(explain(), "warning"));
    config.timeout = 40 * HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: 3 attempts of 40s and their waits can take 2m3s, "
                                      "the deadline is 2m"));
    config.deadline = 3 * HARDY_SECOND;
    config.timeout = HARDY_SECOND;
    assert_null(strstr(explain(), "the waits alone")); /* they fit, if barely */
    config.deadline = 2900 * HARDY_MILLISECOND;
    config.timeout = 900 * HARDY_MILLISECOND;
    assert_non_null(strstr(explain(), "warning: the waits alone can take 3s, the deadline is 2"));
    config.deadline = 3 * HARDY_SECOND;
    config.timeout = 4 * HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: timeout 4s is not shorter than the deadline 3s"));

    setup(NULL);
    config.timeout = HARDY_SECOND;
    config.timeout_idle = HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: timeout.idle 1s is not shorter than the timeout"));

    setup(NULL);
    config.deadline = HARDY_MINUTE;
    config.retry = &retry;
    retry.jitter = HARDY_JITTER_NONE;
    retry.base_delay = 2 * HARDY_SECOND;
    retry.max_total_wait = HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: max_total_wait 1s is shorter than the first wait, "
                                      "2s at least: nothing is retried\n"));
    assert_non_null(strstr(text, "attempt 2                never made, by max_total_wait\n"));
    assert_non_null(strstr(text, "worst case of all waits  0s (0.000 s)\n"));
    assert_null(strstr(text, "wait before"));
    retry.max_total_wait = 6 * HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: max_total_wait 6s has no room for retry 3 of 5: "
                                      "the waits up to it take 14s at least\n"));
    assert_non_null(strstr(text, "wait before attempt 3    4s\n"
                                 "    attempt 4                never made, by max_total_wait\n"));
    retry.jitter = HARDY_JITTER_FULL;
    assert_non_null(strstr(explain(), "note: max_total_wait 6s can end it before retry 3 of 5\n"));
    assert_non_null(strstr(text, "wait before attempt 6    0s to 32s\n"));

    setup(NULL);
    assert_non_null(strstr(explain(), "warning: no timeout and no deadline"));
    config.retry = &retry;
    config.budget = NULL;
    retry.jitter = HARDY_JITTER_NONE;
    assert_non_null(strstr(explain(), "warning: no retry budget: in an outage every call becomes "
                                      "up to 6"));
    assert_non_null(strstr(text, "warning: jitter none"));
    config.breaker = &breaker;
    breaker.counts_attempts = true;
    assert_non_null(strstr(explain(), "it opens the breaker (failure_threshold 5) alone"));

    setup(NULL);
    config.breaker = &breaker;
    config.wait_when_open = true;
    config.bulkhead = &slots;
    assert_non_null(strstr(explain(), "warning: waits for the breaker without a deadline"));
    assert_non_null(strstr(text, "warning: operations wait for a concurrency slot without"));
    config.deadline = HARDY_MINUTE;
    assert_non_null(strstr(explain(), "the deadline 1m ends before recovery_timeout 1m"));
    config.timeout = 31 * HARDY_SECOND;
    assert_non_null(strstr(explain(), "warning: 5 timeouts of 31s, one after another, do not fit "
                                      "the failure_window 2m"));

    setup(NULL);
    config.rate = &rate;
    rate.events = 5;
    rate.period = HARDY_HOUR;
    config.deadline = HARDY_MINUTE;
    assert_non_null(strstr(explain(), "warning: the rate gives one slot in 12m, the deadline is "
                                      "1m"));
}

static const char *explain_to(hardy_explain_options known) {
    static char said[8000];
    hardy_guard *g = NULL;
    known.size = sizeof known;
    assert_int_equal(hardy_guard_new(&config, NULL, &g, NULL), HARDY_OK);
    assert_true(hardy_guard_explain_with(g, &known, said, sizeof said) < sizeof said);
    hardy_guard_free(g);
    return said;
}

/* What depends on who calls and on what is called. */
static void warns_of_a_fleet(void **state) {
    (void)state;
    config.deadline = 5 * HARDY_MINUTE;
    config.timeout = HARDY_SECOND;
    config.retry = &retry;
    retry.repeatable = true;
    retry.max_delay = 20 * HARDY_SECOND;
    assert_null(
        strstr(explain_to((hardy_explain_options){.capacity = 1000, .load = 160}), "warning"));
    assert_non_null(strstr(explain_to((hardy_explain_options){.capacity = 1000, .load = 500}),
                           "warning: utilisation 0.50 (500/s of 1000/s) * 6 attempts = 3.00, which "
                           "is not below 1: retries can keep an outage up that has lost its cause; "
                           "at most 1 attempt, or as here the retry budget alone prevents it\n"));
    config.budget = NULL;
    assert_non_null(strstr(explain_to((hardy_explain_options){.capacity = 1000, .load = 300}),
                           "at most 3 attempts, or a retry budget that leaves room\n"));
    config.budget = &budget;
    assert_non_null(
        strstr(explain_to((hardy_explain_options){.clients = 90, .capacity = 1000, .load = 100}),
               "warning: the retry budget lets through 1010/s, calls and retries (100/s * 1.1, and "
               "floor 10/s for each of 90 clients), which is not below the capacity 1000/s; one "
               "guard for all of them, such as a gateway's: 120/s\n"));
    assert_non_null(strstr(explain_to((hardy_explain_options){.capacity = 10, .load = 10}),
                           "warning: 10/s are offered to a capacity of 10/s"));
    assert_null(
        strstr(explain_to((hardy_explain_options){.clients = 100, .capacity = 10}), "warning"));
    assert_non_null(strstr(explain_to((hardy_explain_options){.clients = 101, .capacity = 10}),
                           "warning: max_delay 20s is below 2N/C = 2 * 101 / 10/s = 20.2s"));
    assert_non_null(strstr(explain_to((hardy_explain_options){.effects_without_key = true}),
                           "can have them up to 6 times"));
    retry.repeatable = false;
    assert_null(
        strstr(explain_to((hardy_explain_options){.effects_without_key = true}), "warning"));
}

static void sound_settings_give_no_warning(void **state) {
    (void)state;
    config.deadline = 5 * HARDY_MINUTE;
    config.timeout = 20 * HARDY_SECOND;
    config.retry = &retry;
    retry.repeatable = true;
    config.breaker = &breaker;
    config.wait_when_open = true;
    config.rate = &rate;
    config.bulkhead = &slots;
    assert_null(strstr(explain(), "warning"));
}

static void a_long_schedule_is_cut(void **state) {
    (void)state;
    config.retry = &retry;
    retry.max_retries = 1000;
    retry.max_total_wait = HARDY_HOUR;
    assert_non_null(strstr(explain(), "    and 988 more\n    worst case of all waits  1h (3600.000 "
                                      "s), by max_total_wait\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(refusals_name_the_field, setup),
        cmocka_unit_test_setup(everything_is_copied, setup),
        cmocka_unit_test_setup(a_shorter_structure_keeps_the_defaults, setup),
        cmocka_unit_test_setup(the_budget_is_there_by_default, setup),
        cmocka_unit_test_setup(a_full_ring_drops_the_oldest, setup),
        cmocka_unit_test_setup(explains_settings_and_schedule, setup),
        cmocka_unit_test_setup(explains_a_breaker_of_shares, setup),
        cmocka_unit_test_setup(warns_of_what_cannot_hold, setup),
        cmocka_unit_test_setup(warns_of_a_fleet, setup),
        cmocka_unit_test_setup(sound_settings_give_no_warning, setup),
        cmocka_unit_test_setup(a_long_schedule_is_cut, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
