/* SPDX-License-Identifier: Apache-2.0 */
/* What an attempt is told: its deadline, which a guard inside of it can only shorten, and the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hardy/hardy.h>
#include <pthread.h>
#include <string.h>

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void reads_what_it_writes(void **state) {
    (void)state;
    hardy_trace trace;
    char text[HARDY_TRACEPARENT_SIZE];
    assert_true(hardy_trace_parse(PARENT, &trace));
    assert_int_equal(trace.trace_id[0], 0x4b);
    assert_int_equal(trace.trace_id[15], 0x36);
    assert_int_equal(trace.span_id[7], 0xb7);
    assert_int_equal(trace.flags, 1);
    hardy_trace_format(&trace, text);
    assert_string_equal(text, PARENT);
    assert_true(
        hardy_trace_parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more", &trace));
    assert_int_equal(trace.flags, 0);
}

static void what_is_no_trace_is_none(void **state) {
    (void)state;
    static const char *const wrong[] = {
        NULL,
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        PARENT "-more",
        PARENT "0",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    const hardy_trace none = {0};
    char text[HARDY_TRACEPARENT_SIZE];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hardy_trace trace = {.flags = 1};
        assert_false(hardy_trace_parse(wrong[i], &trace));
        assert_memory_equal(&trace, &none, sizeof none);
    }
    hardy_trace_format(&none, text);
    assert_string_equal(text, "");
}

struct seen {
    hardy_call calls[3];
    uint32_t count;
};

static void fail_twice(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct seen *seen = ctx;
    seen->calls[seen->count++] = *call;
    if (call->attempt < 3) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    }
}

static hardy_guard *make(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_guard *guard = NULL;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    retry.base_delay = retry.max_delay = 0;
    config.name = "context";
    config.retry = &retry;
    assert_int_equal(hardy_guard_new(&config, NULL, &guard, NULL), HARDY_OK);
    return guard;
}

static void each_attempt_is_a_span_of_its_own(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_run_options options;
    struct seen seen = {.count = 0};
    hardy_context_init(&context, sizeof context);
    hardy_run_options_init(&options, sizeof options);
    assert_true(hardy_trace_parse(PARENT, &context.trace));
    context.idempotency_key = "order-7";
    context.operation = 12;
    options.context = &context;
    options.repeatable = true;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_equal(seen.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const hardy_call *call = &seen.calls[i];
        assert_int_equal(call->attempt, i + 1);
        assert_int_equal(call->operation, 12);
        assert_string_equal(call->idempotency_key, "order-7");
        assert_int_equal(call->trace.flags, 1);
        assert_memory_equal(call->trace.trace_id, context.trace.trace_id, 16);
        assert_memory_not_equal(call->trace.span_id, context.trace.span_id, 8);
        assert_memory_not_equal(call->trace.span_id, seen.calls[(i + 1) % 3].trace.span_id, 8);
    }
    hardy_guard_free(guard);
}

static void an_operation_gets_a_number(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_run_options options;
    struct seen first = {.count = 0}, second = {.count = 0};
    hardy_context_init(&context, sizeof context);
    hardy_run_options_init(&options, sizeof options);
    options.context = &context;
    options.repeatable = true;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &first, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &second, &options, NULL, NULL),
                     HARDY_OK);
    assert_int_not_equal(first.calls[0].operation, 0);
    assert_int_equal(first.calls[0].operation, first.calls[2].operation);
    assert_int_not_equal(first.calls[0].operation, second.calls[0].operation);
    assert_null(first.calls[0].idempotency_key);
    hardy_guard_free(guard);
}

static void repeatable_is_of_one_operation(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_run_options options;
    hardy_error error;
    struct seen seen = {.count = 0};
    hardy_run_options_init(&options, sizeof options);
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, NULL),
                     HARDY_E_IN_DOUBT);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.calls[0].operation, 0);
    hardy_error_init(&error, sizeof error);
    options.size = 1;
    assert_int_equal(hardy_guard_run_with(guard, fail_twice, &seen, &options, NULL, &error),
                     HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "hardy_run_options_init"));
    hardy_guard_free(guard);
}

/* Whoever drives operations itself asks after CALL. */
static void a_driver_asks(void **state) {
    (void)state;
    hardy_guard *guard = make();
    hardy_context context;
    hardy_op_options options;
    hardy_op op;
    hardy_call call;
    hardy_context_init(&context, sizeof context);
    hardy_op_options_init(&options, sizeof options);
    context.idempotency_key = "k";
    options.context = &context;
    options.deadline = 1000;
    assert_int_equal(hardy_op_begin(&op, sizeof op, guard, &options, 5), HARDY_OK);
    hardy_step step = hardy_op_next(&op, 5);
    assert_int_equal(step.kind, HARDY_STEP_CALL);
    hardy_op_describe_call(&op, &call);
    assert_int_equal(call.attempt, step.attempt);
    assert_int_equal(call.deadline, 1000);
    assert_string_equal(call.idempotency_key, "k");
    hardy_op_end(&op);
    hardy_guard_free(guard);
}

/* --- a guard inside of another -----------------------------------------------------------------
 */

/* Two guards on one clock, which only the call inside of both moves. */
struct nest {
    int64_t now;
    hardy_guard_config outer_config, inner_config;
    hardy_retry_config outer_retry, inner_retry;
    hardy_breaker_config outer_breaker, inner_breaker;
    hardy_guard *outer, *inner;
    int64_t hangs;         /* the call, unless it is told to stop */
    hardy_outcome answers; /* the call, when it does not hang */
    uint32_t outer_calls, inner_calls;
    bool by_status;   /* the outer call makes an outcome of what the inner run returned */
    int64_t deadline; /* that the last call was given */
    hardy_status inner_status;
    hardy_outcome outcome; /* of the outer one */
    hardy_error error;
};

static int64_t nest_now(void *ctx) {
    return ((const struct nest *)ctx)->now;
}

static uint64_t nest_random(void *ctx) {
    (void)ctx;
    return 7;
}

/* `state`: by_status. */
static void make_nest(struct nest *n, void **state) {
    memset(n, 0, sizeof *n);
    n->by_status = *state != NULL;
    n->now = HARDY_HOUR;
    hardy_guard_config_init(&n->outer_config, sizeof n->outer_config);
    hardy_retry_config_init(&n->outer_retry, sizeof n->outer_retry);
    hardy_breaker_config_init(&n->outer_breaker, sizeof n->outer_breaker);
    n->outer_retry.max_retries = 3;
    n->outer_retry.base_delay = n->outer_retry.max_delay = 0;
    n->outer_retry.repeatable = true;
    n->inner_config = n->outer_config;
    n->inner_retry = n->outer_retry;
    n->inner_breaker = n->outer_breaker;
    n->outer_config.name = "outer";
    n->inner_config.name = "inner";
    n->answers = hardy_outcome_of_http(200, 0);
}

static void begin_nest(struct nest *n) {
    hardy_env env;
    hardy_env_system(&env, sizeof env);
    env.ctx = n;
    env.now = nest_now;
    env.random = nest_random;
    assert_int_equal(hardy_guard_new(&n->outer_config, &env, &n->outer, NULL), HARDY_OK);
    assert_int_equal(hardy_guard_new(&n->inner_config, &env, &n->inner, NULL), HARDY_OK);
}

static void end_nest(struct nest *n) {
    hardy_guard_free(n->outer);
    hardy_guard_free(n->inner);
}

static void call_of_both(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct nest *n = ctx;
    n->inner_calls++;
    n->deadline = call->deadline;
    for (int64_t rest = n->hangs; rest > 0; rest -= 10 * HARDY_MILLISECOND) {
        if (hardy_call_cancelled(call)) {
            *outcome = hardy_outcome_of_timeout(true);
            return;
        }
        n->now += 10 * HARDY_MILLISECOND;
    }
    *outcome = n->answers;
}

static void call_of_outer(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct nest *n = ctx;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    n->outer_calls++;
    n->inner_status = hardy_guard_run(n->inner, call_of_both, n, call->deadline, outcome, &error);
    if (n->by_status) {
        *outcome = hardy_outcome_of_status(n->inner_status, error.retry_after);
    }
}

static hardy_status run_nest(struct nest *n, int64_t span) {
    n->outer_calls = n->inner_calls = 0;
    hardy_error_init(&n->error, sizeof n->error);
    return hardy_guard_run(n->outer, call_of_outer, n,
                           span == HARDY_NEVER ? HARDY_NEVER : n->now + span, &n->outcome,
                           &n->error);
}

static void an_inner_deadline_ends_both(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.deadline = 120 * HARDY_SECOND;
    n.outer_config.retry = &n.outer_retry;
    n.inner_config.deadline = HARDY_SECOND / 2; /* half a second is half a second */
    n.inner_config.retry = &n.inner_retry;
    n.hangs = HARDY_HOUR;
    begin_nest(&n);
    int64_t began = n.now;
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_DEADLINE);
    assert_int_equal(n.now - began, HARDY_SECOND / 2);
    assert_int_equal(n.deadline - began, HARDY_SECOND / 2);
    assert_int_equal(n.outer_calls, 1);
    assert_int_equal(n.inner_calls, 1);
    assert_int_equal(n.outcome.status, HARDY_E_DEADLINE);
    assert_int_equal(n.error.status, HARDY_E_DEADLINE);
    assert_non_null(strstr(n.error.message, "inside"));
    end_nest(&n);
}

static void an_inner_deadline_cannot_outlast_an_outer_one(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.deadline = 3 * HARDY_SECOND / 2;
    n.outer_config.retry = &n.outer_retry;
    n.inner_config.deadline = 10 * HARDY_SECOND;
    n.inner_config.timeout = 5 * HARDY_SECOND;
    n.inner_config.retry = &n.inner_retry;
    n.hangs = HARDY_HOUR;
    begin_nest(&n);
    int64_t began = n.now;
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_DEADLINE);
    assert_int_equal(n.now - began, 3 * HARDY_SECOND / 2);
    assert_int_equal(n.deadline - began, 3 * HARDY_SECOND / 2);
    assert_int_equal(n.inner_status, HARDY_E_DEADLINE);
    assert_int_equal(n.outer_calls, 1);
    assert_null(strstr(n.error.message, "inside")); /* its own */
    began = n.now;
    assert_int_equal(run_nest(&n, HARDY_SECOND), HARDY_E_DEADLINE);
    assert_int_equal(n.now - began, HARDY_SECOND); /* what the caller gave is shorter still */
    end_nest(&n);
}

/* The inner guard had the attempt's end for its deadline: it is the outer one's time-out. */
static void an_attempt_that_is_cut_timed_out(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.deadline = 120 * HARDY_SECOND;
    n.outer_config.timeout = 2 * HARDY_SECOND;
    n.outer_config.retry = &n.outer_retry;
    n.outer_config.breaker = &n.outer_breaker;
    n.outer_breaker.counts_attempts = true;
    n.inner_config.deadline = 10 * HARDY_SECOND;
    n.hangs = HARDY_HOUR;
    begin_nest(&n);
    int64_t began = n.now;
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_EXHAUSTED);
    assert_int_equal(n.now - began, 4 * 2 * HARDY_SECOND);
    assert_int_equal(n.outer_calls, 4);
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(n.outer, &stats);
    assert_int_equal(stats.timeouts, 4);
    assert_int_equal(stats.breaker.recent_failures, 4);
    end_nest(&n);
}

static void a_refusal_inside_is_handed_on(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.retry = &n.outer_retry;
    n.outer_config.breaker = &n.outer_breaker;
    n.outer_breaker.failure_threshold = 1;
    n.inner_config.breaker = &n.inner_breaker;
    n.inner_breaker.recovery_timeout = 30 * HARDY_SECOND;
    begin_nest(&n);
    assert_int_equal(hardy_guard_force(n.inner, HARDY_FORCED_OPEN, n.now + 30 * HARDY_SECOND),
                     HARDY_OK);
    n.now += 10 * HARDY_SECOND;
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_OPEN);
    assert_int_equal(n.outer_calls, 1);
    assert_int_equal(n.inner_calls, 0);
    assert_int_equal(n.error.retry_after, 20 * HARDY_SECOND);
    assert_string_equal(n.error.where, "outer");
    assert_string_equal(n.error.message,
                        "circuit breaker is open (a guard inside of the attempt), attempt 1");
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(n.outer, &stats);
    assert_int_equal(stats.breaker.state, HARDY_CLOSED); /* nothing of the far side was learned */
    assert_int_equal(stats.retries, 0);
    end_nest(&n);
}

/* A run that cannot begin leaves no success behind. */
static void what_cannot_begin_inside_has_not_succeeded(void **state) {
    struct nest n;
    hardy_hedge_config hedge;
    hardy_hedge_config_init(&hedge, sizeof hedge);
    make_nest(&n, state);
    n.inner_config.retry = &n.inner_retry;
    n.inner_config.hedge = &hedge;
    begin_nest(&n);
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_UNSUPPORTED);
    assert_int_equal(n.inner_calls, 0);
    end_nest(&n);
}

static void retries_do_not_multiply(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.retry = &n.outer_retry;
    n.inner_config.retry = &n.inner_retry;
    n.answers = hardy_outcome_of_http(529, 0);
    begin_nest(&n);
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_EXHAUSTED);
    assert_int_equal(n.outer_calls, 1);
    assert_int_equal(n.inner_calls, 4);
    assert_int_equal(n.outcome.kind, HARDY_FAILURE);
    end_nest(&n);
}

/* Whoever wants the retry around it says so. */
static void try_the_other_again(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    if (outcome->status == HARDY_E_EXHAUSTED) {
        outcome->status = HARDY_OK;
        outcome->permanent = false;
    }
}

static void what_is_not_permanent_is_retried_around_it(void **state) {
    struct nest n;
    make_nest(&n, state);
    n.outer_config.retry = &n.outer_retry;
    n.outer_config.classify = try_the_other_again;
    n.inner_config.retry = &n.inner_retry;
    n.answers = hardy_outcome_of_http(529, 0);
    begin_nest(&n);
    assert_int_equal(run_nest(&n, HARDY_NEVER), HARDY_E_EXHAUSTED);
    assert_int_equal(n.outer_calls, 4);
    assert_int_equal(n.inner_calls, 16);
    end_nest(&n);
}

#define THREADS 8
static void *nest_in_a_thread(void *ctx) {
    struct nest *n = ctx;
    for (int i = 0; i < 20; i++) {
        int64_t began = n->now;
        if (run_nest(n, HARDY_NEVER) != HARDY_E_DEADLINE || n->outer_calls != 1 ||
            n->now - began != HARDY_SECOND / 2) {
            return ctx;
        }
    }
    return NULL;
}

/* No alarm, no signal, nothing of the process: one guard inside of another in each of many threads.
 */
static void guards_nest_in_threads(void **state) {
    static struct nest nests[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        make_nest(&nests[i], state);
        nests[i].outer_config.deadline = (i % 2 ? 1 : 20) * HARDY_SECOND / 2;
        nests[i].inner_config.deadline = (i % 2 ? 20 : 1) * HARDY_SECOND / 2;
        nests[i].outer_config.retry = &nests[i].outer_retry;
        nests[i].hangs = HARDY_HOUR;
        begin_nest(&nests[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, nest_in_a_thread, &nests[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
        end_nest(&nests[i]);
    }
}

#define BY_STATUS(test) cmocka_unit_test_prestate(test, "by status")

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(what_is_no_trace_is_none),
        cmocka_unit_test(each_attempt_is_a_span_of_its_own),
        cmocka_unit_test(an_operation_gets_a_number),
        cmocka_unit_test(repeatable_is_of_one_operation),
        cmocka_unit_test(a_driver_asks),
        cmocka_unit_test(an_inner_deadline_ends_both),
        BY_STATUS(an_inner_deadline_ends_both),
        cmocka_unit_test(an_inner_deadline_cannot_outlast_an_outer_one),
        BY_STATUS(an_inner_deadline_cannot_outlast_an_outer_one),
        cmocka_unit_test(an_attempt_that_is_cut_timed_out),
        BY_STATUS(an_attempt_that_is_cut_timed_out),
        cmocka_unit_test(a_refusal_inside_is_handed_on),
        BY_STATUS(a_refusal_inside_is_handed_on),
        cmocka_unit_test(what_cannot_begin_inside_has_not_succeeded),
        cmocka_unit_test(retries_do_not_multiply),
        BY_STATUS(retries_do_not_multiply),
        cmocka_unit_test(what_is_not_permanent_is_retried_around_it),
        BY_STATUS(what_is_not_permanent_is_retried_around_it),
        cmocka_unit_test(guards_nest_in_threads),
        BY_STATUS(guards_nest_in_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
