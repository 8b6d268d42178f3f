/* SPDX-License-Identifier: Apache-2.0 */
/* A second attempt beside a slow one, driven by hand. That nothing goes wrong in the long run is
 * for simulate.c to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hardy/hardy.h>
#include <string.h>

#define MS HARDY_MILLISECOND

static const hardy_outcome good = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
static const hardy_outcome bad = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_budget_config budget;
static hardy_breaker_config breaker;
static hardy_bulkhead_config slots;
static hardy_hedge_config hedge;
static hardy_guard *guard;
static hardy_op op;

static int64_t no_time(void *ctx) {
    (void)ctx;
    return 0;
}

static uint64_t no_chance(void *ctx) {
    (void)ctx;
    return 42;
}

static void no_wake(void *ctx) {
    (void)ctx;
}

static int setup(void **state) {
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_budget_config_init(&budget, sizeof budget);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_bulkhead_config_init(&slots, sizeof slots);
    hardy_hedge_config_init(&hedge, sizeof hedge);
    config.name = "hedged";
    config.retry = &retry;
    config.budget = &budget;
    config.breaker = &breaker;
    config.bulkhead = &slots;
    config.hedge = &hedge;
    hedge.after = 100 * MS;
    retry.repeatable = true;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hardy_guard_free(guard);
    guard = NULL;
    return 0;
}

static void make(void) {
    const hardy_env env = {
        .size = sizeof env, .now = no_time, .wall = no_time, .random = no_chance};
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
}

static void begin(void) {
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.hedges = true;
    options.wake.fn = no_wake;
    assert_int_equal(hardy_op_begin(&op, sizeof op, guard, &options, 0), HARDY_OK);
}

static hardy_step expect(hardy_step_kind kind, int64_t now) {
    hardy_step step = hardy_op_next(&op, now);
    assert_int_equal(step.kind, kind);
    return step;
}

static hardy_guard_stats stats(void) {
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(guard, &s);
    return s;
}

/* The first attempt, and nothing happens until `after`. */
static void begin_slow(void) {
    begin();
    assert_int_equal(expect(HARDY_STEP_CALL, 0).attempt, 1);
    assert_int_equal(expect(HARDY_STEP_WAIT, 0).until, 100 * MS);
}

static void no_hedge(void) {
    assert_true(expect(HARDY_STEP_WAIT, 100 * MS).until == HARDY_NEVER);
    hardy_op_report(&op, 1, &good, 200 * MS);
    expect(HARDY_STEP_RESULT, 200 * MS);
    expect(HARDY_STEP_DONE, 200 * MS);
    hardy_op_end(&op);
    assert_int_equal(stats().hedges, 0);
    assert_int_equal(stats().running, 0);
}

static void the_first_success_counts(void **state) {
    (void)state;
    make();
    begin_slow();
    double before = stats().budget_left;
    assert_int_equal(expect(HARDY_STEP_CALL, 100 * MS).attempt, 2);
    assert_true(stats().budget_left == before - 1);
    assert_int_equal(stats().running, 2);
    expect(HARDY_STEP_WAIT, 100 * MS);
    hardy_op_report(&op, 2, &good, 130 * MS);
    hardy_step step = expect(HARDY_STEP_STOP, 130 * MS);
    assert_int_equal(step.attempt, 1);
    assert_int_equal(step.reason, HARDY_REASON_HEDGE);
    step = expect(HARDY_STEP_RESULT, 130 * MS);
    assert_int_equal(step.status, HARDY_OK);
    assert_int_equal(step.attempt, 2);
    assert_int_equal(expect(HARDY_STEP_WAIT, 130 * MS).reason, HARDY_REASON_RUNNING);
    assert_int_equal(stats().running, 1);
    hardy_op_report(&op, 1, &bad, 150 * MS);
    expect(HARDY_STEP_DONE, 150 * MS);
    hardy_op_end(&op);
    assert_int_equal(stats().running, 0);
    assert_int_equal(stats().hedges, 1);
    assert_int_equal(stats().attempts, 2);
    assert_int_equal(stats().breaker.total_calls, 2);
    assert_int_equal(stats().breaker.total_failures, 0); /* that it was stopped teaches nothing */
    hardy_event event;
    assert_int_equal(hardy_guard_take_events(guard, &event, 1), 1);
    assert_int_equal(event.kind, HARDY_EVENT_HEDGE);
    assert_int_equal(event.attempt, 2);
}

static void a_failure_waits_for_the_other(void **state) {
    (void)state;
    make();
    begin_slow();
    expect(HARDY_STEP_CALL, 100 * MS);
    hardy_op_report(&op, 1, &bad, 110 * MS);
    assert_int_equal(expect(HARDY_STEP_WAIT, 110 * MS).reason, HARDY_REASON_RUNNING);
    hardy_op_report(&op, 2, &bad, 120 * MS);
    assert_int_equal(expect(HARDY_STEP_WAIT, 120 * MS).reason, HARDY_REASON_BACKOFF);
    hardy_op_end(&op);
    assert_int_equal(stats().running, 0);
    assert_int_equal(stats().breaker.total_failures, 1); /* one operation, one failure */
}

static void the_first_content_goes_on(void **state) {
    (void)state;
    make();
    begin_slow();
    expect(HARDY_STEP_CALL, 100 * MS);
    hardy_op_report_progress(&op, 2, HARDY_FIRST_CONTENT, 110 * MS);
    assert_int_equal(expect(HARDY_STEP_STOP, 110 * MS).attempt, 1);
    hardy_op_report(&op, 1, &good, 115 * MS); /* too late: the other's bytes were handed on */
    assert_int_equal(expect(HARDY_STEP_WAIT, 115 * MS).reason, HARDY_REASON_RUNNING);
    hardy_op_report(&op, 2, &bad, 120 * MS);
    hardy_step step = expect(HARDY_STEP_RESULT, 120 * MS);
    assert_int_equal(step.status, HARDY_E_EXHAUSTED);
    assert_int_equal(step.reason, HARDY_REASON_NOT_REPEATABLE);
    expect(HARDY_STEP_DONE, 120 * MS);
    hardy_op_end(&op);
}

static void content_is_no_reason_to_hedge(void **state) {
    (void)state;
    make();
    begin_slow();
    hardy_op_report_progress(&op, 1, HARDY_FIRST_CONTENT, 50 * MS);
    no_hedge();
}

static void only_what_is_repeatable(void **state) {
    (void)state;
    retry.repeatable = false;
    make();
    begin();
    expect(HARDY_STEP_CALL, 0);
    no_hedge();
}

static void never_without_a_token(void **state) {
    (void)state;
    budget.ratio = budget.floor = 0;
    make();
    for (int i = 0; i < 10; i++) { /* what a new budget has */
        begin_slow();
        expect(HARDY_STEP_CALL, 100 * MS);
        hardy_op_end(&op);
    }
    begin_slow();
    assert_true(expect(HARDY_STEP_WAIT, 100 * MS).until == HARDY_NEVER);
    hardy_op_end(&op);
    assert_int_equal(stats().hedges, 10);
    assert_int_equal(stats().running, 0);
}

static void never_in_a_queue(void **state) {
    (void)state;
    slots.max_concurrent = 1;
    make();
    begin_slow();
    double before = stats().budget_left;
    no_hedge();
    assert_true(stats().budget_left == before);
    assert_int_equal(stats().waiting, 0);
}

static void never_while_the_breaker_is_not_closed(void **state) {
    (void)state;
    make();
    begin_slow();
    assert_int_equal(hardy_guard_force(guard, HARDY_FORCED_OPEN, HARDY_NEVER), HARDY_OK);
    no_hedge();
}

static void within_max_retries(void **state) {
    (void)state;
    retry.max_retries = 1;
    retry.base_delay = retry.max_delay = 0;
    make();
    begin_slow();
    expect(HARDY_STEP_CALL, 100 * MS);
    hardy_op_report(&op, 1, &bad, 110 * MS);
    hardy_op_report(&op, 2, &bad, 120 * MS);
    hardy_step step = expect(HARDY_STEP_RESULT, 120 * MS);
    assert_int_equal(step.reason, HARDY_REASON_RETRIES);
    assert_int_equal(step.attempt, 2);
    hardy_op_end(&op);
}

static void nothing(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    (void)outcome;
}

static void who_cannot_is_told(void **state) {
    (void)state;
    hardy_op_options options;
    hardy_error error;
    make();
    hardy_op_options_init(&options, sizeof options);
    options.wake.fn = no_wake;
    assert_int_equal(hardy_op_begin(&op, sizeof op, guard, &options, 0), HARDY_E_UNSUPPORTED);
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_guard_run(guard, nothing, NULL, HARDY_NEVER, NULL, &error),
                     HARDY_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "one thread cannot make two attempts at once"));
    hardy_guard *other = NULL;
    retry.max_retries = 0;
    assert_int_equal(hardy_guard_new(&config, NULL, &other, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "guard hedged: hedge without retry: a hedge is one of the "
                                       "attempts that max_retries allows");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_success_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_waits_for_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_content_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(content_is_no_reason_to_hedge, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_is_repeatable, setup, teardown),
        cmocka_unit_test_setup_teardown(never_without_a_token, setup, teardown),
        cmocka_unit_test_setup_teardown(never_in_a_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(never_while_the_breaker_is_not_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(within_max_retries, setup, teardown),
        cmocka_unit_test_setup_teardown(who_cannot_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
