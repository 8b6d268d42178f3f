/* SPDX-License-Identifier: Apache-2.0 */
/* The guarded operation in virtual time: what it does, in which order, and what it gives back. */
#include "virtual.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* --- a guard under test: all settings at hand, no layer switched on ------------------------- */

struct bench {
    struct world world;
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config slots;
    hardy_guard *guard;
    struct client c[CLIENTS];
};

static struct bench b;

static int setup(void **state) {
    (void)state;
    memset(&b, 0, sizeof b);
    b.world.now = 1000 * HARDY_SECOND;
    hardy_guard_config_init(&b.config, sizeof b.config);
    hardy_retry_config_init(&b.retry, sizeof b.retry);
    hardy_budget_config_init(&b.budget, sizeof b.budget);
    hardy_breaker_config_init(&b.breaker, sizeof b.breaker);
    hardy_rate_config_init(&b.rate, sizeof b.rate);
    hardy_bulkhead_config_init(&b.slots, sizeof b.slots);
    b.config.name = "test";
    b.config.budget = NULL;
    b.retry.jitter = HARDY_JITTER_NONE;
    b.retry.base_delay = 100 * MS;
    b.retry.max_retries = 3;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hardy_guard_free(b.guard);
    return 0;
}

static void make(void) {
    hardy_env env = world_env(&b.world);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    b.world.now = 0;
    if (hardy_guard_new(&b.config, &env, &b.guard, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
}

static struct client *client(size_t i, int64_t begins) {
    client_init(&b.c[i], &b.world, b.guard, begins);
    return &b.c[i];
}

static hardy_guard_stats stats(void) {
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(b.guard, &s);
    return s;
}

/* Fails operations until the breaker is open. */
static void trip(void) {
    for (uint32_t i = 0; i < 64 && stats().breaker.state == HARDY_CLOSED; i++) {
        world_call(&b.world, b.guard, 0, (hardy_outcome)FAILS);
    }
    assert_int_equal(stats().breaker.state, HARDY_OPEN);
}

static hardy_outcome unknown(void) {
    return (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN, .code = 7};
}

static hardy_outcome throttled(int64_t retry_after) {
    return (hardy_outcome){.kind = HARDY_THROTTLED, .code = 429, .retry_after = retry_after};
}

#define assert_trace(c, text) assert_string_equal((c)->trace, text)

/* --- one attempt ----------------------------------------------------------------------------- */

static void succeeds(void **state) {
    (void)state;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 30 * MS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 30 result OK | 30 done");
    assert_int_equal(c->result.outcome.kind, HARDY_SUCCESS);
    assert_int_equal(c->result.attempt, 1);
}

static void classes_of_failure(void **state) {
    const struct {
        hardy_outcome outcome;
        hardy_status status;
        hardy_reason reason;
    } rows[] = {
        {{.kind = HARDY_FAILURE}, HARDY_E_EXHAUSTED, HARDY_REASON_RETRIES},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN},
         HARDY_E_IN_DOUBT,
         HARDY_REASON_NOT_REPEATABLE},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_DONE},
         HARDY_E_FAILED,
         HARDY_REASON_NOT_REPEATABLE},
        {{.kind = HARDY_FAILURE, .permanent = true}, HARDY_E_FAILED, HARDY_REASON_PERMANENT},
        {{.kind = HARDY_IGNORED}, HARDY_E_FAILED, HARDY_REASON_PERMANENT},
        {{.kind = HARDY_THROTTLED}, HARDY_E_EXHAUSTED, HARDY_REASON_RETRIES},
        {{.kind = HARDY_SLOW, .effect = HARDY_EFFECT_DONE}, HARDY_OK, HARDY_REASON_NONE},
    };
    (void)state;
    make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hardy_step r = world_call(&b.world, b.guard, 0, rows[i].outcome);
        assert_int_equal(r.status, rows[i].status);
        assert_int_equal(r.reason, rows[i].reason);
        assert_int_equal(r.outcome.kind, rows[i].outcome.kind);
    }
}

static void only_no_effect_is_retried_freely(void **state) {
    const struct {
        hardy_outcome outcome;
        bool repeatable;
        uint32_t calls;
    } rows[] = {
        {{.kind = HARDY_FAILURE}, false, 4},
        {{.kind = HARDY_THROTTLED}, false, 4},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN}, false, 1},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN}, true, 4},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_DONE}, false, 1},
        {{.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_DONE}, true, 4},
        {{.kind = HARDY_FAILURE, .permanent = true}, true, 1},
        {{.kind = HARDY_IGNORED}, true, 1},
    };
    (void)state;
    b.config.retry = &b.retry;
    make();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct client *c = client(i, b.world.now);
        c->options.repeatable = rows[i].repeatable;
        client_plan(c, 0, rows[i].outcome);
        world_run(&b.world, HARDY_NEVER);
        assert_int_equal(c->calls, rows[i].calls);
    }
}

static void timeouts(void **state) {
    (void)state;
    b.config.timeout = 100 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    c->stop_takes = 20 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 100 | 100 stop 1 | 100 wait running | "
                    "120 result E_TIMEOUT timeout | 120 done");
    assert_int_equal(stats().timeouts, 1);
}

/* The operation has one timer; what moves behind it is noticed when it fires. */
static void first_content_and_idle(void **state) {
    (void)state;
    b.config.timeout_first_content = 100 * MS;
    b.config.timeout_idle = 50 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 90 * MS);
    hardy_op_report_progress(&c->op, 1, HARDY_CONNECTED, b.world.now);
    hardy_op_report_progress(&c->op, 1, HARDY_FIRST_CONTENT, b.world.now);
    world_run(&b.world, 130 * MS);
    hardy_op_report_progress(&c->op, 1, HARDY_BYTES, b.world.now);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 100 | 100 wait running 140 | 140 wait running 180 | "
                    "180 stop 1 | 180 result E_TIMEOUT timeout | 180 done");

    struct client *silent = client(1, b.world.now);
    client_plan(silent, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(silent->done_at - silent->begins, 100 * MS);
}

/* A stream that has begun is not ended by the deadline of the whole, only by its silence; and what
 * has not begun still is. */
static void content_lifts_the_deadline(void **state) {
    (void)state;
    b.config.deadline = 100 * MS;
    b.config.timeout_idle = 60 * MS;
    make();
    struct client *c = client(0, 0), *silent = client(1, 0), *plain = client(2, 0);
    c->options.deadline_until_content = silent->options.deadline_until_content = true;
    client_plan(c, 250 * MS, (hardy_outcome)SUCCEEDS);
    client_plan(silent, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(plain, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 50 * MS);
    hardy_op_report_progress(&c->op, 1, HARDY_FIRST_CONTENT, b.world.now);
    hardy_op_report_progress(&plain->op, 1, HARDY_FIRST_CONTENT, b.world.now);
    for (int64_t at = 90; at < 250; at += 40) {
        world_run(&b.world, at * MS);
        hardy_op_report_progress(&c->op, 1, HARDY_BYTES, b.world.now);
        hardy_op_report_progress(&plain->op, 1, HARDY_BYTES, b.world.now);
    }
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->result.status, HARDY_OK);
    assert_int_equal(c->done_at, 250 * MS);
    assert_int_equal(silent->result.status, HARDY_E_DEADLINE);
    assert_int_equal(silent->done_at, 100 * MS);
    assert_int_equal(plain->result.status, HARDY_E_DEADLINE);
    assert_int_equal(plain->done_at, 100 * MS);
}

/* Who says nothing until the whole is there is not given up for it; nor is it alive for ever. */
static void a_whole_answer_takes_its_time(void **state) {
    (void)state;
    b.config.deadline = 300 * MS;
    b.config.timeout_first_content = 50 * MS;
    b.config.timeout_idle = 60 * MS;
    make();
    struct client *c = client(0, 0), *hangs = client(1, 0), *breaks_off = client(2, 0);
    c->options.content_at_end = hangs->options.content_at_end = true;
    breaks_off->options.content_at_end = true;
    client_plan(c, 250 * MS, (hardy_outcome)SUCCEEDS);
    client_plan(hangs, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(breaks_off, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 100 * MS);
    hardy_op_report_progress(&breaks_off->op, 1, HARDY_BYTES, b.world.now);
    breaks_off->woken = true;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->result.status, HARDY_OK);
    assert_int_equal(c->done_at, 250 * MS);
    assert_int_equal(hangs->result.status, HARDY_E_DEADLINE);
    assert_int_equal(hangs->done_at, 300 * MS);
    assert_int_equal(breaks_off->result.status, HARDY_E_TIMEOUT);
    assert_int_equal(breaks_off->done_at, 160 * MS);
}

/* A trial has its answer at the first content: whoever waits for the breaker does not wait for the
 * end of a long stream. */
static void a_trial_counts_at_its_first_content(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.breaker.failure_threshold = 1;
    b.breaker.success_threshold = b.breaker.half_open_max_calls = 1;
    b.breaker.recovery_timeout = 100 * MS;
    make();
    struct client *first = client(0, 0), *trial = client(1, 200 * MS);
    client_plan(first, 0, (hardy_outcome)FAILS);
    client_plan(trial, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 300 * MS);
    assert_int_equal(stats().breaker.state, HARDY_HALF_OPEN);
    hardy_op_report_progress(&trial->op, 1, HARDY_FIRST_CONTENT, b.world.now);
    assert_int_equal(stats().breaker.state, HARDY_CLOSED);
    assert_int_equal(stats().breaker.total_successes, 1);
    hardy_op_report(&trial->op, 1, &(hardy_outcome)FAILS, b.world.now);
    trial->running = false;
    assert_int_equal(stats().breaker.total_successes, 1);
}

static void late_success_is_a_success_and_slow(void **state) {
    (void)state;
    b.config.timeout = 100 * MS;
    b.config.deadline = 300 * MS;
    b.config.breaker = &b.breaker;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 150 * MS, (hardy_outcome)SUCCEEDS);
    c->stop_takes = HARDY_NEVER;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 100 | 100 stop 1 | 100 wait running 300 | "
                    "150 result OK | 150 done");
    assert_int_equal(stats().breaker.recent_failures, 1);

    /* A driver that cannot stop, such as a thread: nothing was asked between CALL and the report.
     */
    hardy_op op;
    assert_int_equal(hardy_op_begin(&op, sizeof op, b.guard, NULL, b.world.now), HARDY_OK);
    assert_int_equal(hardy_op_next(&op, b.world.now).kind, HARDY_STEP_CALL);
    b.world.now += HARDY_SECOND;
    hardy_op_report(&op, 1, &(hardy_outcome)SUCCEEDS, b.world.now);
    hardy_step step = hardy_op_next(&op, b.world.now);
    assert_int_equal(step.kind, HARDY_STEP_RESULT);
    assert_int_equal(step.status, HARDY_OK);
    assert_int_equal(hardy_op_next(&op, b.world.now).kind, HARDY_STEP_DONE);
    hardy_op_end(&op);
    assert_int_equal(stats().breaker.recent_failures, 2);
}

/* Stopped, and it had just succeeded: that is told, and not what it was stopped for. */
static void a_success_that_meets_the_stop(void **state) {
    (void)state;
    b.config.deadline = 200 * MS;
    b.config.breaker = &b.breaker;
    make();
    struct client *late = client(0, 0), *cancelled = client(1, 0);
    client_plan(late, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(cancelled, HANGS, (hardy_outcome)SUCCEEDS);
    late->stopped = cancelled->stopped = (hardy_outcome)SUCCEEDS;
    cancelled->cancels = 50 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(late, "0 call 1 | 0 wait running 200 | 200 stop 1 | 200 result OK | 200 done");
    assert_trace(cancelled, "0 call 1 | 0 wait running 200 | 50 stop 1 | 50 result OK | 50 done");
    /* Slow is what ran out of time, not what was called off. */
    assert_int_equal(stats().breaker.recent_failures, 1);
}

/* A connection is no content: neither the idle time-out nor the commitment begins with it. */
static void connecting_is_not_content(void **state) {
    (void)state;
    b.config.timeout_idle = 50 * MS;
    b.config.retry = &b.retry;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 100 * MS, (hardy_outcome)FAILS);
    client_plan(c, 0, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 10 * MS);
    hardy_op_report_progress(&c->op, 1, HARDY_CONNECTED, b.world.now);
    hardy_op_report_progress(&c->op, 2, HARDY_FIRST_CONTENT, b.world.now);
    c->woken = true;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 100 wait backoff 200 | 200 call 2 | "
                    "200 result OK | 200 done");
}

/* --- the deadline ----------------------------------------------------------------------------- */

static void result_may_precede_done(void **state) {
    (void)state;
    b.config.deadline = 200 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    c->stop_takes = 50 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 200 | 200 stop 1 | 200 result E_DEADLINE deadline | "
                    "200 wait running | 250 done");
    assert_int_equal(c->result.outcome.effect, HARDY_EFFECT_UNKNOWN);
}

static void the_shorter_deadline_counts(void **state) {
    (void)state;
    b.config.deadline = 200 * MS;
    make();
    struct client *shorter = client(0, 0);
    shorter->options.deadline = 80 * MS;
    client_plan(shorter, HANGS, (hardy_outcome)SUCCEEDS);
    struct client *longer = client(1, 0);
    longer->options.deadline = HARDY_HOUR;
    client_plan(longer, HANGS, (hardy_outcome)SUCCEEDS);
    struct client *past = client(2, 50 * MS);
    past->options.deadline = 10 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(shorter->result_at, 80 * MS);
    assert_int_equal(longer->result_at, 200 * MS);
    assert_trace(past, "50 result E_DEADLINE deadline | 50 done");
}

static void an_attempt_ends_at_the_total_deadline(void **state) {
    (void)state;
    b.config.timeout = 150 * MS;
    b.config.deadline = 200 * MS;
    b.config.retry = &b.retry;
    b.retry.repeatable = true;
    b.retry.base_delay = 10 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 150 | 150 stop 1 | 150 wait backoff 160 | "
                    "160 call 2 | 160 wait running 200 | 200 stop 2 | "
                    "200 result E_DEADLINE deadline | 200 done");
}

/* --- retry ------------------------------------------------------------------------------------ */

static void schedule(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 10 * MS, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 10 wait backoff 110 | "
                    "110 call 2 | 110 wait running | 120 wait backoff 320 | "
                    "320 call 3 | 320 wait running | 330 wait backoff 730 | "
                    "730 call 4 | 730 wait running | 740 result E_EXHAUSTED retries | 740 done");
    assert_int_equal(c->result.outcome.code, 7);
    hardy_guard_stats s = stats();
    assert_int_equal(s.operations, 1);
    assert_int_equal(s.attempts, 4);
    assert_int_equal(s.retries, 3);
}

static void a_wait_past_the_deadline_is_not_begun(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.deadline = 320 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 10 * MS, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 320 | 10 wait backoff 110 | "
                    "110 call 2 | 110 wait running 320 | 120 result E_DEADLINE deadline | "
                    "120 done");
}

static void max_total_wait(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.max_total_wait = 300 * MS;
    make();
    /* 100 + 200 fits exactly, 400 more does not; a second operation starts from nothing. */
    for (size_t i = 0; i < 2; i++) {
        struct client *c = client(i, b.world.now);
        client_plan(c, 0, (hardy_outcome)FAILS);
        world_run(&b.world, HARDY_NEVER);
        assert_int_equal(c->calls, 3);
        assert_int_equal(c->result.status, HARDY_E_EXHAUSTED);
        assert_int_equal(c->result.reason, HARDY_REASON_TOTAL_WAIT);
        assert_int_equal(c->done_at - c->begins, 300 * MS);
    }
}

static void waits_add_up(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.exponential_base = 1;
    b.retry.max_total_wait = 250 * MS;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 10 * MS, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->calls, 3);
    assert_int_equal(c->result.reason, HARDY_REASON_TOTAL_WAIT);
    assert_int_equal(c->done_at, 230 * MS);
}

/* The wait for a slot before a retry is a wait between attempts too. */
static void waiting_for_a_retry_is_limited(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.max_total_wait = 150 * MS;
    b.config.bulkhead = &b.slots;
    b.slots.max_concurrent = 1;
    make();
    struct client *c = client(0, 0), *hog = client(1, 0);
    client_plan(c, 10 * MS, (hardy_outcome)FAILS);
    client_plan(hog, HARDY_SECOND, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 10 wait backoff 110 | 110 wait slots 160 | "
                    "160 result E_EXHAUSTED total_wait | 160 done");
}

static void retry_after_is_a_floor(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.jitter = HARDY_JITTER_FULL;
    b.retry.max_retries = 1;
    make();
    int64_t low = HARDY_NEVER, high = 0;
    for (size_t i = 0; i < 200; i++) {
        struct client *c = client(i, 0);
        client_plan(c, 0, throttled(5 * HARDY_SECOND));
        client_plan(c, 0, (hardy_outcome)SUCCEEDS);
    }
    world_run(&b.world, HARDY_NEVER);
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(b.c[i].result.status, HARDY_OK);
        low = b.c[i].done_at < low ? b.c[i].done_at : low;
        high = b.c[i].done_at > high ? b.c[i].done_at : high;
    }
    /* Never early, spread over a fifth of the floor, and not all at once. */
    assert_true(low >= 5000 * MS && low < 5100 * MS);
    assert_true(high > 5900 * MS && high <= 6000 * MS);
}

static void a_floor_that_does_not_fit_ends_it_now(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.deadline = 3 * HARDY_SECOND;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 10 * MS, throttled(3 * HARDY_SECOND));
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running 3000 | 10 result E_EXHAUSTED floor | 10 done");
    assert_int_equal(c->result.retry_after, 3 * HARDY_SECOND);
    assert_int_equal(c->result.outcome.code, 429);
}

static void a_floor_that_does_not_fit_the_total_wait(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.max_total_wait = 2 * HARDY_SECOND;
    b.retry.jitter = HARDY_JITTER_FULL;
    make();
    hardy_step r = world_call(&b.world, b.guard, 0, throttled(3 * HARDY_SECOND));
    assert_int_equal(r.reason, HARDY_REASON_RETRY_AFTER);
    assert_int_equal(r.attempt, 1);
    /* The jitter above a floor that fits is cut to what is left. */
    b.world.now = HARDY_MINUTE;
    for (size_t i = 0; i < 50; i++) {
        struct client *c = client(i, b.world.now);
        client_plan(c, 0, throttled(2 * HARDY_SECOND));
        client_plan(c, 0, (hardy_outcome)SUCCEEDS);
    }
    world_run(&b.world, HARDY_NEVER);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(b.c[i].result.status, HARDY_OK);
        assert_int_equal(b.c[i].done_at, HARDY_MINUTE + 2 * HARDY_SECOND);
    }
}

static void nothing_is_retried_after_first_content(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.repeatable = true;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 50 * MS, unknown());
    world_run(&b.world, 20 * MS);
    hardy_op_report_progress(&c->op, 1, HARDY_FIRST_CONTENT, b.world.now);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 50 result E_EXHAUSTED unsafe | 50 done");
}

static void jitter_is_of_the_seed(void **state) {
    int64_t waits[3][3];
    (void)state;
    b.config.retry = &b.retry;
    b.retry.jitter = HARDY_JITTER_DECORRELATED;
    b.retry.max_delay = HARDY_HOUR;
    make();
    for (size_t i = 0; i < 3; i++) {
        struct client *c = client(i, b.world.now);
        c->options.seed = i == 2 ? 99 : 5;
        client_plan(c, 0, (hardy_outcome)FAILS);
        world_run(&b.world, HARDY_NEVER);
        waits[i][0] = c->done_at - c->begins;
    }
    assert_int_equal(waits[0][0], waits[1][0]);
    assert_int_not_equal(waits[0][0], waits[2][0]);

    /* Drawn from the guard: each operation its own, and the same again with the same guard seed. */
    int64_t first[4];
    for (int round = 0; round < 2; round++) {
        hardy_guard_free(b.guard);
        b.world.count = 0;
        make();
        for (size_t i = 0; i < 4; i++) {
            struct client *c = client(i, 0);
            client_plan(c, 0, (hardy_outcome)FAILS);
        }
        world_run(&b.world, HARDY_NEVER);
        for (size_t i = 0; i < 4; i++) {
            if (round == 0) {
                first[i] = b.c[i].done_at;
                assert_true(i == 0 || first[i] != first[i - 1]);
            } else {
                assert_int_equal(first[i], b.c[i].done_at);
            }
        }
    }
}

/* Each wait is drawn from up to three times the one before it of the same operation. */
static void decorrelated_waits_grow(void **state) {
    int64_t longest = 0;
    (void)state;
    b.config.retry = &b.retry;
    b.retry.jitter = HARDY_JITTER_DECORRELATED;
    make();
    for (size_t i = 0; i < 50; i++) {
        hardy_event e[8];
        struct client *c = client(i, b.world.now);
        client_plan(c, 0, (hardy_outcome)FAILS);
        world_run(&b.world, HARDY_NEVER);
        assert_int_equal(hardy_guard_take_events(b.guard, e, 8), 4);
        int64_t before = b.retry.base_delay;
        for (size_t k = 0; k < 3; k++) {
            assert_true(e[k].span >= b.retry.base_delay && e[k].span <= 3 * before);
            before = e[k].span;
            longest = before > longest ? before : longest;
        }
    }
    assert_true(longest > 1000 * MS);
}

static void events_tell_what_happened(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.retry.max_retries = 1;
    b.config.breaker = &b.breaker;
    b.breaker.failure_threshold = 1;
    make();
    world_call(&b.world, b.guard, 0, (hardy_outcome)FAILS);
    hardy_event e[8];
    assert_int_equal(hardy_guard_take_events(b.guard, e, 8), 3);
    assert_int_equal(e[0].kind, HARDY_EVENT_RETRY);
    assert_int_equal(e[0].attempt, 2);
    assert_int_equal(e[0].span, 100 * MS);
    assert_int_equal(e[0].code, 7);
    assert_int_equal(e[1].kind, HARDY_EVENT_STATE);
    assert_int_equal(e[1].from, HARDY_CLOSED);
    assert_int_equal(e[1].to, HARDY_OPEN);
    assert_int_equal(e[1].at, 100 * MS);
    assert_int_equal(e[2].kind, HARDY_EVENT_GIVE_UP);
    assert_int_equal(e[2].reason, HARDY_REASON_RETRIES);
    assert_int_equal(hardy_guard_take_events(b.guard, e, 8), 0);
}

/* --- the budget ------------------------------------------------------------------------------- */

static void budget_refuses_and_keeps_the_outcome(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.budget.floor = 0;
    b.budget.ratio = 0;
    make();
    uint32_t calls = 0;
    hardy_step r = {0};
    for (size_t i = 0; i < 20; i++) {
        struct client *c = client(i, b.world.now);
        client_plan(c, 0, (hardy_outcome)FAILS);
        world_run(&b.world, HARDY_NEVER);
        calls += c->calls;
        r = c->result;
    }
    /* Ten tokens are kept at the most; a refused retry takes no time. */
    assert_int_equal(calls, 20 + 10);
    assert_int_equal(r.status, HARDY_E_BUDGET);
    assert_int_equal(r.reason, HARDY_REASON_BUDGET);
    assert_int_equal(r.outcome.kind, HARDY_FAILURE);
    assert_int_equal(r.outcome.code, 7);
    assert_int_equal(b.c[19].done_at, b.c[19].begins);
    assert_int_equal(stats().retries_suppressed, 17);
    assert_int_equal(stats().retries, 10);
}

static void each_call_pays_into_the_budget(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.budget.floor = 0;
    b.budget.ratio = 0.5;
    b.retry.max_retries = 1000;
    b.retry.max_delay = b.retry.base_delay;
    make();
    world_call(&b.world, b.guard, 0, (hardy_outcome)FAILS);
    assert_true(stats().budget_left < 1);
    world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS);
    world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS);
    assert_true(stats().budget_left >= 1);
}

static void budget_is_taken_before_the_wait_and_given_back(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.budget.floor = 0;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 0, (hardy_outcome)FAILS);
    c->cancels = 50 * MS;
    double full = stats().budget_left;
    world_run(&b.world, 20 * MS);
    assert_true(stats().budget_left == full - 1);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->result.status, HARDY_E_CANCELLED);
    assert_true(stats().budget_left == full);
}

static void a_retry_after_a_timeout_costs_more(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.config.timeout = 30 * MS;
    b.budget.floor = 0;
    b.budget.timeout_cost = 7;
    b.retry.repeatable = true;
    make();
    struct client *c = client(0, 0);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(c, 0, (hardy_outcome)FAILS);
    client_plan(c, 0, (hardy_outcome)SUCCEEDS);
    double full = stats().budget_left;
    world_run(&b.world, 31 * MS);
    assert_true(stats().budget_left == full - 7);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->result.status, HARDY_OK);
    assert_true(stats().budget_left == full - 8);
    /* All of it is given back to who does not come to use it. */
    struct client *leaves = client(1, b.world.now);
    client_plan(leaves, 0, (hardy_outcome)FAILS);
    leaves->cancels = b.world.now + MS;
    full = stats().budget_left;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(leaves->result.status, HARDY_E_CANCELLED);
    assert_true(stats().budget_left >= full);
}

/* --- the breaker ------------------------------------------------------------------------------ */

static void an_operation_counts_once(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.breaker = &b.breaker;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 0, (hardy_outcome)FAILS);
    world_run(&b.world, 150 * MS);
    assert_int_equal(stats().breaker.recent_failures, 0);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(stats().breaker.recent_failures, 1);
    /* Saved by a retry: no failure. */
    struct client *saved = client(1, b.world.now);
    client_plan(saved, 0, (hardy_outcome)FAILS);
    client_plan(saved, 0, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(stats().breaker.recent_failures, 1);
    /* Cancelled between attempts: what failed has failed. */
    struct client *cut = client(2, b.world.now);
    client_plan(cut, 0, (hardy_outcome)FAILS);
    cut->cancels = b.world.now + 50 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(stats().breaker.recent_failures, 2);
}

static void or_each_attempt(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.breaker = &b.breaker;
    b.breaker.counts_attempts = true;
    b.breaker.failure_threshold = 3;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 0, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    /* The third attempt opens it, and the retry that would follow looks before it waits. */
    assert_trace(c, "0 call 1 | 0 wait backoff 100 | 100 call 2 | 100 wait backoff 300 | "
                    "300 call 3 | 300 result E_OPEN breaker | 300 done");
    assert_int_equal(c->result.outcome.code, 7);
    assert_int_equal(c->result.retry_after, HARDY_MINUTE);
}

static void in_half_open_every_attempt_counts(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.breaker = &b.breaker;
    make();
    trip();
    b.world.now += HARDY_MINUTE;
    int64_t began = b.world.now;
    struct client *c = client(0, began);
    client_plan(c, 10 * MS, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->calls, 1);
    assert_int_equal(c->result.status, HARDY_E_OPEN);
    assert_int_equal(c->done_at, began + 10 * MS);
    assert_int_equal(stats().breaker.times_opened, 2);
}

static void a_trial_is_leased_for_as_long_as_it_may_take(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.config.timeout = HARDY_MINUTE;
    b.breaker.half_open_max_calls = 1;
    b.breaker.trial_lease = 10 * HARDY_SECOND;
    make();
    trip();
    int64_t began = b.world.now + HARDY_MINUTE;
    struct client *trial = client(0, began), *early = client(1, began + HARDY_MINUTE - 1);
    client_plan(trial, HANGS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, began + HARDY_MINUTE - 1);
    assert_int_equal(early->calls, 0);
    /* One that is abandoned gives its place back at once. */
    hardy_op_end(&trial->op);
    trial->done = true;
    assert_int_equal(world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS).status, HARDY_OK);
}

static void a_refusal_costs_nothing_and_is_not_retried(void **state) {
    (void)state;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.config.breaker = &b.breaker;
    b.config.rate = &b.rate;
    b.config.bulkhead = &b.slots;
    b.rate.burst = 100;
    make();
    trip();
    hardy_guard_stats before = stats();
    hardy_step r = world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS);
    hardy_guard_stats after = stats();
    assert_int_equal(r.status, HARDY_E_OPEN);
    assert_int_equal(r.attempt, 0);
    assert_int_equal(r.outcome.kind, HARDY_IGNORED);
    assert_true(r.retry_after > 0 && r.retry_after <= HARDY_MINUTE);
    assert_true(after.rate_left == before.rate_left);
    assert_true(after.budget_left == before.budget_left);
    assert_int_equal(after.attempts, before.attempts);
    assert_int_equal(after.operations, before.operations + 1);
    assert_int_equal(after.breaker.total_rejected, before.breaker.total_rejected + 1);
    assert_int_equal(after.running, 0);
}

static void cancelled_and_ignored_teach_nothing(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.breaker.failure_threshold = 1;
    make();
    world_call(&b.world, b.guard, 0, (hardy_outcome){.kind = HARDY_IGNORED, .permanent = true});
    world_call(&b.world, b.guard, 0, throttled(HARDY_SECOND));
    struct client *c = client(0, b.world.now);
    client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
    c->cancels = b.world.now + 10 * MS;
    c->stop_takes = 5 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait running | 10 stop 1 | 10 result E_CANCELLED cancelled | "
                    "10 wait running | 15 done");
    assert_int_equal(stats().breaker.state, HARDY_CLOSED);
    assert_int_equal(stats().breaker.recent_failures, 0);
    assert_int_equal(stats().breaker.total_failures, 0);
}

static void the_permit_is_taken_last(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.config.bulkhead = &b.slots;
    b.config.rate = &b.rate;
    b.breaker.failure_threshold = 1;
    b.slots.max_concurrent = 1;
    b.rate.events = 1000;
    b.rate.burst = 10;
    make();
    struct client *first = client(0, 0);
    client_plan(first, 100 * MS, (hardy_outcome)FAILS);
    struct client *second = client(1, 10 * MS);
    world_run(&b.world, 50 * MS);
    assert_int_equal(stats().waiting, 1);
    world_run(&b.world, 99 * MS);
    double left = stats().rate_left;
    world_run(&b.world, HARDY_NEVER);
    /* The first one's failure opens the breaker while the second waits for its slot: admitted to
     * the queue when it was closed, refused at the door, and nothing is kept. */
    assert_trace(second, "10 wait slots | 100 result E_OPEN breaker | 100 done");
    assert_int_equal(second->calls, 0);
    assert_int_equal(stats().running, 0);
    assert_true(stats().rate_left >= left);
    assert_int_equal(stats().breaker.total_rejected, 1);
}

static void waits_for_the_breaker(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.config.wait_when_open = true;
    b.breaker.recovery_timeout = 2 * HARDY_SECOND;
    b.breaker.success_threshold = 1;
    make();
    trip();
    struct client *c = client(0, b.world.now);
    struct client *hurried = client(1, b.world.now);
    hurried->options.deadline = b.world.now + HARDY_SECOND;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 wait breaker 2000 | 2000 call 1 | 2000 result OK | 2000 done");
    /* It cannot come in time, so it is told now. */
    assert_trace(hurried, "0 result E_OPEN breaker | 0 done");
    assert_int_equal(hurried->result.retry_after, 2 * HARDY_SECOND);
}

/* Two calls hang, and who comes next is refused by a look at the breaker, before a slot. */
static void hang_two_calls(void) {
    b.config.breaker = &b.breaker;
    b.config.bulkhead = &b.slots;
    b.breaker.failure_threshold = 2;
    b.breaker.slow_call = HARDY_SECOND;
    b.breaker.recovery_timeout = 2 * HARDY_SECOND;
    b.breaker.success_threshold = 1;
    make();
    client_plan(client(0, 0), 20 * HARDY_SECOND, (hardy_outcome)SUCCEEDS);
    client_plan(client(1, 0), 20 * HARDY_SECOND, (hardy_outcome)SUCCEEDS);
}

static void expect_opened_once(void) {
    hardy_event events[8];
    assert_int_equal(hardy_guard_take_events(b.guard, events, 8), 1);
    assert_int_equal(events[0].from, HARDY_CLOSED);
    assert_int_equal(events[0].to, HARDY_OPEN);
    assert_int_equal(stats().breaker.times_opened, 1);
}

static void a_look_at_calls_that_hang_opens_it(void **state) {
    (void)state;
    hang_two_calls();
    struct client *refused = client(2, 1500 * MS), *trial = client(3, 3500 * MS);
    world_run(&b.world, 1500 * MS);
    assert_int_equal(refused->result.status, HARDY_E_OPEN);
    assert_int_equal(refused->result.retry_after, 2 * HARDY_SECOND);
    expect_opened_once();
    world_run(&b.world, 3600 * MS);
    assert_int_equal(trial->result.status, HARDY_OK);
    assert_int_equal(stats().breaker.state, HARDY_CLOSED);
}

static void what_is_told_as_open_is_open(void **state) {
    (void)state;
    hang_two_calls();
    world_run(&b.world, 1500 * MS);
    assert_int_equal(stats().breaker.state, HARDY_OPEN);
    expect_opened_once();
    assert_int_equal(stats().breaker.time_until_retry, 2 * HARDY_SECOND);
    world_run(&b.world, HARDY_NEVER); /* they end, and it has been open all the same */
    assert_int_equal(stats().breaker.times_opened, 1);
    assert_int_equal(stats().breaker.state, HARDY_OPEN);
}

/* A hundred callers wait out an outage: two trials, then the growing pace, never the herd. */
static void closing_paces_those_who_waited(void **state) {
    (void)state;
    b.config.breaker = &b.breaker;
    b.config.wait_when_open = true;
    b.config.deadline = 5 * HARDY_MINUTE;
    b.breaker.recovery_timeout = 10 * HARDY_SECOND;
    make();
    trip();
    for (size_t i = 0; i < 100; i++) {
        struct client *c = client(i, 0);
        client_plan(c, 50 * MS, (hardy_outcome)SUCCEEDS);
    }
    world_run(&b.world, 9999 * MS);
    assert_int_equal(b.world.most_running, 0);
    world_run(&b.world, HARDY_NEVER);
    uint32_t in_first_second = 0;
    int64_t last = 0;
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(b.c[i].result.status, HARDY_OK);
        in_first_second += b.c[i].done_at <= 11 * HARDY_SECOND + 100 * MS;
        last = b.c[i].done_at > last ? b.c[i].done_at : last;
    }
    assert_true(b.world.most_running <= 8);
    assert_true(in_first_second <= 8);
    assert_true(last <= 22 * HARDY_SECOND);
}

static void forced_by_hand(void **state) {
    (void)state;
    make();
    assert_int_equal(hardy_guard_force(b.guard, HARDY_FORCED_OPEN, HARDY_NEVER), HARDY_E_INVALID);
    hardy_guard_free(b.guard);
    b.config.breaker = &b.breaker;
    make();
    assert_int_equal(hardy_guard_force(b.guard, HARDY_OPEN, HARDY_NEVER), HARDY_E_INVALID);
    assert_int_equal(hardy_guard_force(b.guard, HARDY_FORCED_OPEN, HARDY_NEVER), HARDY_OK);
    hardy_step r = world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS);
    assert_int_equal(r.status, HARDY_E_OPEN);
    assert_int_equal(r.retry_after, -1);
    hardy_event e;
    assert_int_equal(hardy_guard_take_events(b.guard, &e, 1), 1);
    assert_int_equal(e.to, HARDY_FORCED_OPEN);
    assert_int_equal(hardy_guard_force(b.guard, HARDY_CLOSED, HARDY_NEVER), HARDY_OK);
    assert_int_equal(world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS).status, HARDY_OK);
}

static void its_breaker_outlives_it(void **state) {
    (void)state;
    unsigned char bytes[2048];
    make();
    assert_int_equal(hardy_guard_snapshot(b.guard, bytes, sizeof bytes), 0);
    assert_int_equal(hardy_guard_restore(b.guard, bytes, sizeof bytes, 0, NULL), HARDY_E_INVALID);
    hardy_guard_free(b.guard);
    b.config.breaker = &b.breaker;
    make();
    assert_int_equal(hardy_guard_force(b.guard, HARDY_FORCED_OPEN, HARDY_NEVER), HARDY_OK);
    size_t length = hardy_guard_snapshot(b.guard, bytes, sizeof bytes);
    assert_true(length > 0 && length <= sizeof bytes);
    hardy_guard_free(b.guard);
    make();
    assert_int_equal(hardy_guard_restore(b.guard, bytes, length - 1, 0, NULL), HARDY_E_INVALID);
    hardy_event e;
    assert_int_equal(hardy_guard_take_events(b.guard, &e, 1), 0);
    assert_int_equal(hardy_guard_restore(b.guard, bytes, length, HARDY_HOUR, NULL), HARDY_OK);
    assert_int_equal(hardy_guard_take_events(b.guard, &e, 1), 1);
    assert_int_equal(e.from, HARDY_CLOSED);
    assert_int_equal(e.to, HARDY_FORCED_OPEN);
    assert_int_equal(world_call(&b.world, b.guard, 0, (hardy_outcome)SUCCEEDS).status,
                     HARDY_E_OPEN);
}

/* --- rate and slots --------------------------------------------------------------------------- */

static void rate_spaces_attempts(void **state) {
    (void)state;
    b.config.rate = &b.rate;
    b.rate.events = 10;
    b.rate.burst = 1;
    make();
    struct client *a = client(0, 0), *c = client(1, 0), *d = client(2, 0);
    d->options.deadline = 200 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(a, "0 call 1 | 0 result OK | 0 done");
    assert_trace(c, "0 wait rate 100 | 100 call 1 | 100 result OK | 100 done");
    /* Its slot would be at its deadline, so it has none and is told at once. */
    assert_trace(d, "0 result E_LIMITED rate | 0 done");
    assert_int_equal(d->result.retry_after, 200 * MS);
    assert_int_equal(stats().rejected_rate, 1);
}

static void every_attempt_pays_the_rate(void **state) {
    (void)state;
    b.config.rate = &b.rate;
    b.config.retry = &b.retry;
    b.rate.events = 1;
    b.rate.burst = 2;
    b.rate.reject = true;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 0, (hardy_outcome)FAILS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 call 1 | 0 wait backoff 100 | 100 call 2 | 100 wait backoff 300 | "
                    "300 result E_LIMITED rate | 300 done");
    assert_int_equal(c->result.outcome.code, 7);
}

/* What one was told, the others need not find out: no burst when it is over, either. */
static void throttling_holds_everybody_back(void **state) {
    (void)state;
    b.config.rate = &b.rate;
    b.rate.events = 10;
    b.rate.burst = 5;
    make();
    world_call(&b.world, b.guard, 0, throttled(2 * HARDY_SECOND));
    struct client *a = client(0, 0), *c = client(1, 0);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(a, "0 wait rate 2000 | 2000 call 1 | 2000 result OK | 2000 done");
    assert_int_equal(c->done_at, 2100 * MS);
    /* A day is one caller's matter. */
    world_call(&b.world, b.guard, 0, throttled(HARDY_DAY));
    int64_t began = b.world.now;
    struct client *d = client(2, began);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(d->done_at, began + HARDY_MINUTE);
}

static void a_cancelled_reservation_is_returned(void **state) {
    (void)state;
    b.config.rate = &b.rate;
    b.rate.events = 1;
    make();
    struct client *a = client(0, 0), *c = client(1, 0), *d = client(2, 200 * MS);
    c->cancels = 100 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(a->done_at, 0);
    assert_int_equal(c->calls, 0);
    assert_int_equal(d->done_at, HARDY_SECOND);
}

static void slots_in_order_of_arrival(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    b.slots.max_concurrent = 2;
    b.slots.max_queue = 3;
    make();
    for (size_t i = 0; i < 6; i++) {
        struct client *c = client(i, (int64_t)i * MS);
        client_plan(c, 100 * MS, (hardy_outcome)SUCCEEDS);
    }
    struct client *latecomer = client(6, 101 * MS);
    client_plan(latecomer, 100 * MS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(b.world.most_running, 2);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(b.c[i].done_at, ((int64_t)(i / 2 + 1) * 100 + (int64_t)(i % 2)) * MS);
    }
    assert_trace(&b.c[5], "5 result E_FULL slots | 5 done");
    assert_trace(latecomer, "101 wait slots | 201 call 1 | 201 wait running | 301 result OK | "
                            "301 done");
    assert_int_equal(stats().rejected_slots, 1);
}

static void slots_until_the_deadline(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    b.slots.max_concurrent = 1;
    make();
    struct client *a = client(0, 0), *c = client(1, 0), *d = client(2, 0), *e = client(3, 0);
    client_plan(a, 100 * MS, (hardy_outcome)SUCCEEDS);
    c->options.deadline = 50 * MS;
    d->cancels = 60 * MS;
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 wait slots 50 | 50 result E_DEADLINE slots | 50 done");
    assert_trace(d, "0 wait slots | 60 result E_CANCELLED cancelled | 60 done");
    assert_int_equal(e->done_at, 100 * MS);
}

static void no_slot_is_held_during_a_backoff(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    b.config.retry = &b.retry;
    b.slots.max_concurrent = 1;
    make();
    struct client *a = client(0, 0), *c = client(1, 0);
    client_plan(a, 10 * MS, (hardy_outcome)FAILS);
    client_plan(a, 10 * MS, (hardy_outcome)SUCCEEDS);
    client_plan(c, 10 * MS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, HARDY_NEVER);
    assert_trace(c, "0 wait slots | 10 call 1 | 10 wait running | 20 result OK | 20 done");
    assert_int_equal(a->done_at, 120 * MS);
}

static void a_stopped_attempt_keeps_its_slot(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    b.config.deadline = 100 * MS;
    b.slots.max_concurrent = 2;
    b.slots.max_queue = 100;
    make();
    for (size_t i = 0; i < 20; i++) {
        struct client *c = client(i, (int64_t)i * 10 * MS);
        client_plan(c, HANGS, (hardy_outcome)SUCCEEDS);
        c->stop_takes = 300 * MS;
    }
    world_run(&b.world, 150 * MS);
    assert_true(b.c[0].has_result && !b.c[0].done);
    assert_int_equal(stats().running, 2);
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(b.world.most_running, 2);
    assert_int_equal(stats().running, 0);
}

static void a_second_report_is_ignored(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    make();
    struct client *c = client(0, 0);
    client_plan(c, 100 * MS, (hardy_outcome)SUCCEEDS);
    world_run(&b.world, 10 * MS);
    hardy_op_report(&c->op, 2, &(hardy_outcome)FAILS, b.world.now);
    assert_int_equal(stats().running, 1);
    world_run(&b.world, 100 * MS - 1);
    hardy_op_report(&c->op, 1, &(hardy_outcome)SUCCEEDS, b.world.now);
    hardy_op_report(&c->op, 1, &(hardy_outcome)FAILS, b.world.now);
    assert_int_equal(stats().running, 0);
    c->running = false;
    c->ends = HARDY_NEVER;
    c->woken = true;
    world_run(&b.world, HARDY_NEVER);
    assert_int_equal(c->result.status, HARDY_OK);
    assert_int_equal(stats().running, 0);
}

/* Abandoned in each phase: everything is given back. */
static void an_abandoned_operation_keeps_nothing(void **state) {
    (void)state;
    b.config.bulkhead = &b.slots;
    b.config.retry = &b.retry;
    b.config.budget = &b.budget;
    b.config.breaker = &b.breaker;
    b.config.rate = &b.rate;
    b.rate.burst = 4;
    b.slots.max_concurrent = 2;
    make();
    hardy_guard_stats before = stats();
    struct client *running = client(0, 0), *backing = client(1, 0), *other = client(2, 0);
    struct client *queued = client(3, 0), *rated = client(4, 0);
    client_plan(running, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(other, HANGS, (hardy_outcome)SUCCEEDS);
    client_plan(backing, 0, (hardy_outcome)FAILS);
    world_run(&b.world, 10 * MS);
    assert_int_equal(stats().running, 2);
    assert_int_equal(stats().waiting, 1);
    struct client *all[] = {rated, queued, other, backing, running};
    for (size_t i = 0; i < 5; i++) {
        hardy_op_end(&all[i]->op);
        hardy_op_end(&all[i]->op);
    }
    assert_int_equal(stats().running, 0);
    assert_int_equal(stats().waiting, 0);
    assert_true(stats().budget_left == before.budget_left);
    /* Used: three that were called; the other two were given back. */
    assert_true(stats().rate_left > 0.99);
    world_run(&(struct world){0}, 0);
}

static void begin_checks_its_arguments(void **state) {
    (void)state;
    hardy_op op;
    hardy_op_options o;
    hardy_op_options_init(&o, sizeof o);
    make();
    assert_int_equal(hardy_op_begin(&op, 8, b.guard, &o, 0), HARDY_E_INVALID);
    assert_int_equal(hardy_op_begin(&op, sizeof op, b.guard, &o, 0), HARDY_OK);
    hardy_op_end(&op);
    o.size = sizeof o + 1;
    assert_int_equal(hardy_op_begin(&op, sizeof op, b.guard, &o, 0), HARDY_E_INVALID);
    hardy_guard_free(b.guard);
    b.config.bulkhead = &b.slots;
    make();
    assert_int_equal(hardy_op_begin(&op, sizeof op, b.guard, NULL, 0), HARDY_E_INVALID);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(succeeds),
        TEST(classes_of_failure),
        TEST(only_no_effect_is_retried_freely),
        TEST(timeouts),
        TEST(first_content_and_idle),
        TEST(content_lifts_the_deadline),
        TEST(a_trial_counts_at_its_first_content),
        TEST(a_whole_answer_takes_its_time),
        TEST(late_success_is_a_success_and_slow),
        TEST(a_success_that_meets_the_stop),
        TEST(connecting_is_not_content),
        TEST(result_may_precede_done),
        TEST(the_shorter_deadline_counts),
        TEST(an_attempt_ends_at_the_total_deadline),
        TEST(schedule),
        TEST(a_wait_past_the_deadline_is_not_begun),
        TEST(max_total_wait),
        TEST(waits_add_up),
        TEST(waiting_for_a_retry_is_limited),
        TEST(retry_after_is_a_floor),
        TEST(a_floor_that_does_not_fit_ends_it_now),
        TEST(a_floor_that_does_not_fit_the_total_wait),
        TEST(nothing_is_retried_after_first_content),
        TEST(jitter_is_of_the_seed),
        TEST(decorrelated_waits_grow),
        TEST(events_tell_what_happened),
        TEST(budget_refuses_and_keeps_the_outcome),
        TEST(each_call_pays_into_the_budget),
        TEST(budget_is_taken_before_the_wait_and_given_back),
        TEST(a_retry_after_a_timeout_costs_more),
        TEST(an_operation_counts_once),
        TEST(or_each_attempt),
        TEST(in_half_open_every_attempt_counts),
        TEST(a_trial_is_leased_for_as_long_as_it_may_take),
        TEST(a_refusal_costs_nothing_and_is_not_retried),
        TEST(cancelled_and_ignored_teach_nothing),
        TEST(the_permit_is_taken_last),
        TEST(waits_for_the_breaker),
        TEST(a_look_at_calls_that_hang_opens_it),
        TEST(what_is_told_as_open_is_open),
        TEST(closing_paces_those_who_waited),
        TEST(forced_by_hand),
        TEST(its_breaker_outlives_it),
        TEST(rate_spaces_attempts),
        TEST(every_attempt_pays_the_rate),
        TEST(throttling_holds_everybody_back),
        TEST(a_cancelled_reservation_is_returned),
        TEST(slots_in_order_of_arrival),
        TEST(slots_until_the_deadline),
        TEST(no_slot_is_held_during_a_backoff),
        TEST(a_stopped_attempt_keeps_its_slot),
        TEST(a_second_report_is_ignored),
        TEST(an_abandoned_operation_keeps_nothing),
        TEST(begin_checks_its_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
