/* SPDX-License-Identifier: Apache-2.0 */
/* hardy_guard_run() takes a short way where it can. Two guards with the same settings and the same
 * story, one called that way, the other through the machine step by step: nobody can tell which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include <hardy/hardy.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define STORIES 2000
#define CALLS 40

struct side {
    int64_t now;
    struct prng story;
    hardy_guard *guard;
};

static int64_t now_of(void *ctx) {
    return ((struct side *)ctx)->now;
}

static uint64_t no_chance(void *ctx) {
    (void)ctx;
    return 42;
}

/* Takes its time, and ends as the story has it. */
static void call(void *ctx, const hardy_call *told, hardy_outcome *outcome) {
    struct side *side = ctx;
    uint64_t dice = prng_below(&side->story, 10);
    assert_true(told->deadline > side->now);
    side->now += (int64_t)prng_below(&side->story, 12) * 10 * MS;
    outcome->kind = dice < 6   ? HARDY_SUCCESS
                    : dice < 8 ? HARDY_FAILURE
                               : (hardy_outcome_class)(2 + prng_below(&side->story, 3));
    outcome->effect = outcome->kind == HARDY_SUCCESS     ? HARDY_EFFECT_DONE
                      : prng_below(&side->story, 2) == 0 ? HARDY_EFFECT_UNKNOWN
                                                         : HARDY_EFFECT_NONE;
    outcome->code = (int32_t)dice;
    outcome->permanent = prng_below(&side->story, 20) == 0;
}

static void no_wake(void *ctx) {
    (void)ctx;
}

/* The thread driver without its short way. Nothing waits for longer than no time. */
static hardy_status run_machine(struct side *side, int64_t deadline, hardy_outcome *outcome) {
    hardy_op op;
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.deadline = deadline;
    options.wake.fn = no_wake;
    assert_int_equal(hardy_op_begin(&op, sizeof op, side->guard, &options, side->now), HARDY_OK);
    for (;;) {
        hardy_step step = hardy_op_next(&op, side->now);
        if (step.kind == HARDY_STEP_CALL) {
            hardy_outcome ended = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
            hardy_call told;
            hardy_op_describe_call(&op, &told);
            call(side, &told, &ended);
            hardy_op_report(&op, step.attempt, &ended, side->now);
        } else if (step.kind == HARDY_STEP_RESULT) {
            *outcome = step.outcome;
            hardy_op_end(&op);
            return step.status;
        } else {
            fail_msg("a step that a thread does not have");
        }
    }
}

static void same_stats(const struct side *a, const struct side *b) {
    hardy_guard_stats x, y;
    memset(&x, 0, sizeof x);
    memset(&y, 0, sizeof y);
    x.size = y.size = sizeof x;
    hardy_guard_get_stats(a->guard, &x);
    hardy_guard_get_stats(b->guard, &y);
    assert_int_equal(x.operations, y.operations);
    assert_int_equal(x.attempts, y.attempts);
    assert_int_equal(x.retries, y.retries);
    assert_int_equal(x.retries_suppressed, y.retries_suppressed);
    assert_int_equal(x.timeouts, y.timeouts);
    assert_true(x.budget_left == y.budget_left);
    assert_true(x.rate_left == y.rate_left);
    assert_int_equal(x.rejected_rate, y.rejected_rate);
    assert_int_equal(x.running, 0);
    assert_int_equal(y.running, 0);
    assert_int_equal(x.breaker.state, y.breaker.state);
    assert_int_equal(x.breaker.total_calls, y.breaker.total_calls);
    assert_int_equal(x.breaker.total_successes, y.breaker.total_successes);
    assert_int_equal(x.breaker.total_failures, y.breaker.total_failures);
    assert_int_equal(x.breaker.total_rejected, y.breaker.total_rejected);
    assert_int_equal(x.breaker.recent_failures, y.breaker.recent_failures);
    assert_int_equal(x.breaker.time_until_retry, y.breaker.time_until_retry);
    assert_int_equal(x.breaker.times_opened, y.breaker.times_opened);
}

static void same_events(const struct side *a, const struct side *b) {
    hardy_event x, y;
    while (hardy_guard_take_events(a->guard, &x, 1) == 1) {
        assert_int_equal(hardy_guard_take_events(b->guard, &y, 1), 1);
        assert_int_equal(x.kind, y.kind);
        assert_int_equal(x.at, y.at);
        assert_int_equal(x.to, y.to);
        assert_int_equal(x.attempt, y.attempt);
        assert_int_equal(x.reason, y.reason);
    }
    assert_int_equal(hardy_guard_take_events(b->guard, &y, 1), 0);
}

static int64_t maybe(struct prng *random, int64_t most) {
    return prng_below(random, 2) == 0 ? HARDY_NEVER : 1 + (int64_t)prng_below(random, 12) * most;
}

static void nobody_can_tell(void **state) {
    uint64_t statuses[64] = {0};
    (void)state;
    for (uint64_t seed = 1; seed <= STORIES; seed++) {
        struct side sides[2] = {{.now = HARDY_HOUR}, {.now = HARDY_HOUR}};
        struct prng random;
        hardy_guard_config config;
        hardy_retry_config retry;
        hardy_budget_config budget;
        hardy_breaker_config breaker;
        hardy_rate_config rate;
        hardy_bulkhead_config slots;
        prng_seed(&random, seed);
        hardy_guard_config_init(&config, sizeof config);
        hardy_retry_config_init(&retry, sizeof retry);
        hardy_budget_config_init(&budget, sizeof budget);
        hardy_breaker_config_init(&breaker, sizeof breaker);
        hardy_rate_config_init(&rate, sizeof rate);
        hardy_bulkhead_config_init(&slots, sizeof slots);
        rate.events = 20;
        rate.burst = 5;
        rate.reject = true;
        slots.adaptive = prng_below(&random, 2) == 0;
        config.name = "side";
        config.deadline = maybe(&random, 20 * MS);
        config.timeout = maybe(&random, 10 * MS);
        retry.max_retries = (uint32_t)prng_below(&random, 4);
        retry.base_delay = retry.max_delay = 0;
        retry.repeatable = prng_below(&random, 2) == 0;
        budget.floor = (double)prng_below(&random, 3);
        breaker.failure_threshold = 1 + (uint32_t)prng_below(&random, 4);
        breaker.recovery_timeout = 50 * MS;
        breaker.close_ramp = prng_below(&random, 2) == 0 ? 0 : 200 * MS;
        breaker.counts_attempts = prng_below(&random, 2) == 0;
        config.retry = prng_below(&random, 3) == 0 ? NULL : &retry;
        config.budget = prng_below(&random, 3) == 0 ? NULL : &budget;
        config.rate = prng_below(&random, 2) == 0 ? NULL : &rate;
        config.bulkhead = prng_below(&random, 2) == 0 ? NULL : &slots;
        config.breaker = prng_below(&random, 4) == 0 ? NULL : &breaker;
        for (int i = 0; i < 2; i++) {
            hardy_env env = {.size = sizeof env,
                             .ctx = &sides[i],
                             .now = now_of,
                             .wall = now_of,
                             .random = no_chance};
            prng_seed(&sides[i].story, seed);
            assert_int_equal(hardy_guard_new(&config, &env, &sides[i].guard, NULL), HARDY_OK);
        }
        for (int n = 0; n < CALLS; n++) {
            int64_t deadline = maybe(&random, 20 * MS), pause = (int64_t)prng_below(&random, 40);
            deadline = hardy_time_add(sides[0].now - 10 * MS, deadline);
            hardy_outcome x, y;
            hardy_status got = hardy_guard_run(sides[0].guard, call, &sides[0], deadline, &x, NULL);
            assert_int_equal(run_machine(&sides[1], deadline, &y), got);
            assert_int_equal(x.kind, y.kind);
            assert_int_equal(x.effect, y.effect);
            assert_int_equal(x.code, y.code);
            assert_int_equal(sides[0].now, sides[1].now);
            same_stats(&sides[0], &sides[1]);
            same_events(&sides[0], &sides[1]);
            sides[0].now += pause * MS;
            sides[1].now = sides[0].now;
            statuses[-(int)got]++;
        }
        hardy_guard_free(sides[0].guard);
        hardy_guard_free(sides[1].guard);
    }
    static const hardy_status all[] = {HARDY_OK,          HARDY_E_FAILED,   HARDY_E_IN_DOUBT,
                                       HARDY_E_EXHAUSTED, HARDY_E_TIMEOUT,  HARDY_E_BUDGET,
                                       HARDY_E_OPEN,      HARDY_E_DEADLINE, HARDY_E_LIMITED};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(statuses[-(int)all[i]] > 0); /* all of it has happened */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nobody_can_tell)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
