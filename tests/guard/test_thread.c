/* SPDX-License-Identifier: Apache-2.0 */
/* The thread driver: many threads at once, parking and waking, forked processes. */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/prng.h"
#include "guard/guard.h"
#include "guard/thread.h"
#include <hardy/poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 32
#define ROUNDS 60
#define SLOTS 4
#define MS HARDY_MILLISECOND

static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_breaker_config breaker;
static hardy_bulkhead_config slots;

static int setup(void **state) {
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_bulkhead_config_init(&slots, sizeof slots);
    config.name = "threads";
    return 0;
}

static hardy_guard *make(void) {
    hardy_guard *g = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (hardy_guard_new(&config, NULL, &g, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
    return g;
}

struct crowd {
    hardy_guard *guard;
    atomic_word running, most, calls, succeeded;
};

/* Fails in every fifth call, and looks how many are inside with it. */
static void busy(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct crowd *crowd = ctx;
    (void)call;
    uint64_t inside = word_add(&crowd->running, 1) + 1;
    uint64_t most = word_load(&crowd->most);
    while (inside > most && !word_cas(&crowd->most, &most, inside)) {
    }
    if (word_add(&crowd->calls, 1) % 5 == 4) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    }
    word_add(&crowd->running, (uint64_t)-1);
}

static void *run_rounds(void *ctx) {
    struct crowd *crowd = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (hardy_guard_run(crowd->guard, busy, crowd, HARDY_NEVER, NULL, &error) == HARDY_OK) {
            word_add(&crowd->succeeded, 1);
        }
    }
    return NULL;
}

static void many_threads_share_one_guard(void **state) {
    (void)state;
    retry.base_delay = 20 * HARDY_MICROSECOND;
    retry.max_retries = 50;
    breaker.failure_threshold = 64;
    breaker.failure_window = MS;
    slots.max_concurrent = SLOTS;
    slots.max_queue = THREADS;
    config.retry = &retry;
    config.budget = NULL;
    config.breaker = &breaker;
    config.bulkhead = &slots;
    struct crowd crowd = {.guard = make()};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_rounds, &crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(crowd.guard, &s);
    assert_int_equal(crowd.succeeded, THREADS * ROUNDS);
    assert_true(crowd.most >= 1 && crowd.most <= SLOTS);
    assert_int_equal(s.operations, THREADS * ROUNDS);
    assert_int_equal(s.attempts, crowd.calls);
    assert_int_equal(s.attempts, s.breaker.total_calls);
    assert_int_equal(s.running, 0);
    assert_int_equal(s.waiting, 0);
    hardy_guard_free(crowd.guard);
}

/* Settings change, layers come and go, and operations are cancelled while all of them run. */
struct turmoil {
    struct crowd crowd;
    atomic_word finished, entered;
    struct thread_stop stops[THREADS][ROUNDS];
};
static struct turmoil turmoil;

static void *run_stoppable(void *ctx) {
    struct turmoil *t = &turmoil;
    size_t me = (size_t)(uintptr_t)ctx;
    const hardy_op_options options = {
        .size = sizeof options, .deadline = HARDY_NEVER, .repeatable = true, .weight = 1};
    for (size_t i = 0; i < ROUNDS; i++) {
        hardy_status status =
            thread_run(t->crowd.guard, busy, &t->crowd, &options, &t->stops[me][i], NULL, NULL);
        word_add(&t->entered, 1);
        word_add(&t->crowd.succeeded, status == HARDY_OK);
    }
    word_add(&t->finished, 1);
    return NULL;
}

static void settings_change_while_threads_run(void **state) {
    (void)state;
    struct turmoil *t = &turmoil;
    struct prng random;
    pthread_t threads[THREADS];
    hardy_rate_config rate;
    hardy_rate_config_init(&rate, sizeof rate);
    rate.events = rate.burst = 1e6;
    retry.base_delay = 20 * HARDY_MICROSECOND;
    breaker.failure_threshold = 64;
    breaker.failure_window = MS;
    config.retry = &retry;
    config.bulkhead = &slots;
    prng_seed(&random, 7);
    *t = (struct turmoil){.crowd = {.guard = make()}};
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_stoppable, (void *)(uintptr_t)i), 0);
    }
    uint64_t changes = 0;
    while (word_load(&t->finished) < THREADS) {
        uint64_t bits = prng_next(&random);
        config.timeout = bits & 1 ? HARDY_NEVER : HARDY_HOUR;
        config.breaker = bits & 2 ? &breaker : NULL;
        config.rate = bits & 4 ? &rate : NULL;
        config.bulkhead = bits & 8 ? &slots : NULL;
        slots.max_concurrent = 1 + (uint32_t)(bits >> 8) % 8;
        slots.max_queue = (uint32_t)(bits >> 16) % 40;
        assert_int_equal(hardy_guard_change(t->crowd.guard, &config, NULL), HARDY_OK);
        thread_stop(&t->stops[(bits >> 24) % THREADS][(bits >> 32) % ROUNDS]);
        changes++;
        sched_yield();
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(t->crowd.guard, &s);
    assert_true(changes > 0 && t->crowd.succeeded > 0);
    assert_int_equal(t->entered, THREADS * ROUNDS);
    assert_int_equal(s.operations, THREADS * ROUNDS);
    assert_int_equal(s.attempts, t->crowd.calls);
    assert_int_equal(s.running, 0);
    assert_int_equal(s.waiting, 0);
    hardy_guard_free(t->crowd.guard);
}

struct gate {
    hardy_guard *guard;
    atomic_word inside, open;
};

static void hold(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct gate *gate = ctx;
    (void)call;
    (void)outcome;
    word_store(&gate->inside, 1);
    while (word_load(&gate->open) == 0) {
        usleep(500);
    }
}

static void *run_holder(void *ctx) {
    struct gate *gate = ctx;
    assert_int_equal(hardy_guard_run(gate->guard, hold, gate, HARDY_NEVER, NULL, NULL), HARDY_OK);
    return NULL;
}

static void nothing(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)call;
    (void)outcome;
    if (ctx != NULL) {
        word_add(ctx, 1);
    }
}

static void *run_nothing(void *ctx) {
    struct gate *gate = ctx;
    assert_int_equal(hardy_guard_run(gate->guard, nothing, NULL, HARDY_NEVER, NULL, NULL),
                     HARDY_OK);
    return NULL;
}

/* One who waits for a slot gives up at its deadline; one without a deadline is woken. */
static void parks_until_the_deadline_or_the_wake(void **state) {
    (void)state;
    slots.max_concurrent = 1;
    config.bulkhead = &slots;
    struct gate gate = {.guard = make()};
    pthread_t holder, waiter;
    pthread_create(&holder, NULL, run_holder, &gate);
    while (word_load(&gate.inside) == 0) {
        usleep(100);
    }
    atomic_word calls = 0;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int64_t began = clock_now();
    hardy_status status =
        hardy_guard_run(gate.guard, nothing, &calls, began + 20 * MS, NULL, &error);
    assert_int_equal(status, HARDY_E_DEADLINE);
    assert_true(clock_now() >= began + 20 * MS);
    assert_int_equal(calls, 0);
    assert_string_equal(error.where, "threads");
    assert_string_equal(error.message, "deadline passed (concurrency slots); nothing was called");

    pthread_create(&waiter, NULL, run_nothing, &gate);
    hardy_guard_stats s = {.size = sizeof s};
    do {
        usleep(100);
        hardy_guard_get_stats(gate.guard, &s);
    } while (s.waiting == 0);
    word_store(&gate.open, 1);
    pthread_join(holder, NULL);
    pthread_join(waiter, NULL);
    hardy_guard_free(gate.guard);
}

struct slow_wake {
    hardy_op op;
    atomic_word entered, ended, went_on;
};

/* Called by who gives the slot, and in no hurry. */
static void wake_slowly(void *ctx) {
    struct slow_wake *w = ctx;
    word_store(&w->entered, 1);
    int64_t until = clock_now() + 30 * MS;
    while (clock_now() < until && word_load(&w->went_on) == 0) {
        usleep(200);
    }
    word_store(&w->ended, 1);
}

static void *report_success(void *ctx) {
    hardy_op_report(ctx, 1, &(hardy_outcome){.kind = HARDY_SUCCESS}, clock_now());
    return NULL;
}

/* An operation that has its slot could be over and gone while its wake is still to be called. */
static void no_wake_outlives_the_wait(void **state) {
    static struct slow_wake w;
    hardy_op first;
    pthread_t giver;
    (void)state;
    slots.max_concurrent = 1;
    config.bulkhead = &slots;
    hardy_guard *g = make();
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.wake = (hardy_wake){.fn = wake_slowly, .ctx = &w};
    int64_t now = clock_now();
    assert_int_equal(hardy_op_begin(&first, sizeof first, g, &options, now), HARDY_OK);
    assert_int_equal(hardy_op_begin(&w.op, sizeof w.op, g, &options, now), HARDY_OK);
    assert_int_equal(hardy_op_next(&first, now).kind, HARDY_STEP_CALL);
    assert_int_equal(hardy_op_next(&w.op, now).kind, HARDY_STEP_WAIT);
    pthread_create(&giver, NULL, report_success, &first);
    while (word_load(&w.entered) == 0) {
        usleep(100);
    }
    hardy_step step = hardy_op_next(&w.op, now);
    uint64_t ended = word_load(&w.ended);
    word_store(&w.went_on, 1);
    pthread_join(giver, NULL);
    assert_int_equal(step.kind, HARDY_STEP_CALL);
    assert_int_equal(ended, 1);
    hardy_op_end(&w.op);
    hardy_op_end(&first);
    hardy_guard_free(g);
}

static void until_cancelled(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    int64_t began = clock_now();
    (void)ctx;
    assert_true(call->deadline != HARDY_NEVER);
    while (!hardy_call_cancelled(call)) {
        assert_true(clock_now() < began + 10 * HARDY_SECOND);
        usleep(200);
    }
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN, .code = 4};
}

static void a_long_function_is_told_to_stop(void **state) {
    (void)state;
    config.timeout = 5 * MS;
    hardy_guard *g = make();
    hardy_outcome outcome;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_guard_run(g, until_cancelled, NULL, HARDY_NEVER, &outcome, &error),
                     HARDY_E_TIMEOUT);
    assert_int_equal(outcome.code, 4);
    assert_string_equal(error.message,
                        "an attempt took longer than its timeout (an attempt was stopped at its "
                        "timeout) after 1 attempt, the last with code 4");
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(g, &s);
    assert_int_equal(s.timeouts, 1);
    hardy_guard_free(g);
}

static void fails(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
}

/* The waits of the guard's next operation, which fails. */
static void draw_waits(hardy_guard *g, int64_t waits[3]) {
    hardy_event events[8];
    (void)!hardy_guard_run(g, fails, NULL, HARDY_NEVER, NULL, NULL);
    if (hardy_guard_take_events(g, events, 8) == 4) {
        for (int i = 0; i < 3; i++) {
            waits[i] = events[i].span;
        }
    }
}

struct cancelled_run {
    hardy_guard *guard;
    hardy_run_options options;
    hardy_status status;
    atomic_word calls;
};

static void fail_at_once(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct cancelled_run *r = ctx;
    (void)call;
    word_add(&r->calls, 1);
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
}

static void fail_when_cancelled(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct cancelled_run *r = ctx;
    word_add(&r->calls, 1);
    while (!hardy_call_cancelled(call)) {
        usleep(100);
    }
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
}

static void *run_failing(void *ctx) {
    struct cancelled_run *r = ctx;
    r->status = hardy_guard_run_with(r->guard, fail_at_once, r, &r->options, NULL, NULL);
    return NULL;
}

static void *run_endless(void *ctx) {
    struct cancelled_run *r = ctx;
    r->status = hardy_guard_run_with(r->guard, fail_when_cancelled, r, &r->options, NULL, NULL);
    return NULL;
}

static bool not_yet(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct cancelled_run *r = ctx;
    (void)call;
    (void)outcome;
    word_add(&r->calls, 1);
    return false;
}

static void *run_polling(void *ctx) {
    struct cancelled_run *r = ctx;
    hardy_poll_config c;
    hardy_poll_config_init(&c, sizeof c);
    c.base_delay = c.max_delay = HARDY_HOUR;
    r->status = hardy_poll_run(r->guard, not_yet, r, &c, &r->options, NULL, NULL);
    return NULL;
}

static void a_run_is_cancelled_by_its_token(void **state) {
    (void)state;
    retry.base_delay = retry.max_delay = HARDY_HOUR;
    retry.jitter = HARDY_JITTER_NONE;
    config.retry = &retry;
    hardy_guard *guard = make();
    void *(*const ways[])(void *) = {run_failing, run_endless, run_polling};
    for (size_t i = 0; i < 3; i++) {
        hardy_cancel_token token = {{0}};
        struct cancelled_run r = {.guard = guard, .status = HARDY_OK};
        pthread_t thread;
        hardy_run_options_init(&r.options, sizeof r.options);
        r.options.cancel = &token;
        assert_int_equal(pthread_create(&thread, NULL, ways[i], &r), 0);
        while (word_load(&r.calls) == 0) {
            usleep(100);
        }
        hardy_cancel(&token);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(r.status, HARDY_E_CANCELLED);
        assert_int_equal(word_load(&r.calls), 1);
        /* For good: the next one under it is not even begun. */
        ways[i](&r);
        assert_int_equal(r.status, HARDY_E_CANCELLED);
        assert_int_equal(word_load(&r.calls), 1);
    }
    hardy_guard_free(guard);
}

static bool it_holds(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)call;
    (void)outcome;
    word_add(ctx, 1);
    return true;
}

/* While hardy itself refuses, it is asked again when it would let through, and not before. */
static void a_poll_waits_as_long_as_it_is_refused(void **state) {
    (void)state;
    atomic_word looks = 0;
    hardy_poll_config c;
    hardy_guard_stats stats = {.size = sizeof stats};
    config.breaker = &breaker;
    hardy_guard *guard = make();
    hardy_poll_config_init(&c, sizeof c);
    c.base_delay = c.max_delay = MS;
    assert_int_equal(hardy_guard_force(guard, HARDY_FORCED_OPEN, clock_now() + 50 * MS), HARDY_OK);
    assert_int_equal(hardy_poll_run(guard, it_holds, &looks, &c, NULL, NULL, NULL), HARDY_OK);
    assert_int_equal(word_load(&looks), 1);
    hardy_guard_get_stats(guard, &stats);
    assert_true(stats.breaker.total_rejected <= 1);
    hardy_guard_free(guard);
}

static void a_forked_child_draws_another_jitter(void **state) {
    (void)state;
    retry.base_delay = MS;
    retry.max_retries = 3;
    config.retry = &retry;
    hardy_guard *g = make();
    int64_t *waits = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(waits != MAP_FAILED);
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            draw_waits(g, waits + 3 * i);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    draw_waits(g, waits + 6);
    assert_true(waits[0] + waits[1] + waits[2] > 0);
    assert_memory_not_equal(waits, waits + 3, 3 * sizeof *waits);
    assert_memory_not_equal(waits, waits + 6, 3 * sizeof *waits);
    munmap(waits, 4096);
    hardy_guard_free(g);
}

static void words_elsewhere_are_shared(void **state) {
    (void)state;
    breaker.failure_threshold = 2;
    config.breaker = &breaker;
    struct breaker_words *words =
        mmap(NULL, sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(words != MAP_FAILED);
    hardy_guard *g = NULL;
    assert_int_equal(
        guard_new_over(&config, NULL, &(struct guard_words){.breaker = words}, &g, NULL), HARDY_OK);
    assert_string_equal(guard_name(g), "threads");
    assert_int_equal(guard_config(g)->breaker->failure_threshold, 2);
    assert_int_equal(hardy_guard_run(g, nothing, NULL, HARDY_NEVER, NULL, NULL), HARDY_OK);
    pid_t child = fork();
    if (child == 0) {
        draw_waits(g, (int64_t[3]){0});
        draw_waits(g, (int64_t[3]){0});
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(hardy_guard_run(g, nothing, NULL, HARDY_NEVER, NULL, NULL), HARDY_E_OPEN);
    hardy_guard_free(g);
    munmap(words, sizeof *words);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(many_threads_share_one_guard, setup),
        cmocka_unit_test_setup(settings_change_while_threads_run, setup),
        cmocka_unit_test_setup(parks_until_the_deadline_or_the_wake, setup),
        cmocka_unit_test_setup(no_wake_outlives_the_wait, setup),
        cmocka_unit_test_setup(a_long_function_is_told_to_stop, setup),
        cmocka_unit_test_setup(a_run_is_cancelled_by_its_token, setup),
        cmocka_unit_test_setup(a_poll_waits_as_long_as_it_is_refused, setup),
        cmocka_unit_test_setup(a_forked_child_draws_another_jitter, setup),
        cmocka_unit_test_setup(words_elsewhere_are_shared, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
