/* SPDX-License-Identifier: Apache-2.0 */
/* Guarded operations on a loop: the same tests in virtual time and on the kernel's loop. */
#include "../cmocka_all.h"

#include "drive/drive.h"
#include "io/loop.h"
#include "io/sim.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND

static struct loop *loop;
static hardy_guard *guard;
static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_bulkhead_config bulkhead;

/* One operation: what its attempts do, and what it was told. */
struct call {
    struct drive *drive;
    struct loop_timer timer; /* ends the attempt */
    struct loop_timer cancel;
    int fails;     /* so many attempts fail first */
    int64_t takes; /* 0 = reported at once, HARDY_NEVER = only when stopped */
    hardy_effect effect;
    uint32_t attempt, calls, stops, waits;
    bool running, told, done;
    bool holder_waits; /* for us to stand in the queue */
    hardy_step result;
    int64_t called[8], deadline;
    hardy_reason reasons[8];
};
static int running, most_running;
static pthread_barrier_t held;

static void end_attempt(struct call *c, hardy_outcome_class kind) {
    hardy_outcome outcome = {.kind = kind,
                             .effect = kind == HARDY_SUCCESS ? HARDY_EFFECT_DONE : c->effect,
                             .code = (int32_t)c->attempt};
    c->running = false;
    running--;
    drive_report(c->drive, c->attempt, &outcome);
}

static void on_timer(struct loop_timer *t) {
    struct call *c = t->ctx;
    end_attempt(c, (int)c->calls <= c->fails ? HARDY_FAILURE : HARDY_SUCCESS);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    struct call *c = ctx;
    assert_ptr_equal(c->drive, d); /* drive_start() has returned */
    assert_false(c->running);
    c->called[c->calls++ % 8] = loop_now(loop);
    c->attempt = attempt;
    c->deadline = deadline;
    c->running = true;
    running++;
    most_running = running > most_running ? running : most_running;
    loop_timer_init(&c->timer, on_timer, c);
    if (c->takes == 0) {
        on_timer(&c->timer);
    } else if (c->takes != HARDY_NEVER) {
        loop_timer_start(loop, &c->timer, loop_now(loop) + c->takes);
    }
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct call *c = ctx;
    assert_ptr_equal(c->drive, d);
    assert_int_equal(attempt, c->attempt);
    c->stops++;
    c->takes = 2 * MS;
    c->fails = 100;
    loop_timer_start(loop, &c->timer, loop_now(loop) + 2 * MS); /* it takes a moment to stop */
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct call *c = ctx;
    (void)d;
    c->reasons[c->waits++ % 8] = step->reason;
    if (c->holder_waits && step->reason == HARDY_REASON_SLOTS) {
        pthread_barrier_wait(&held);
    }
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct call *c = ctx;
    (void)d;
    assert_false(c->told);
    c->told = true;
    c->result = *step;
}

static void on_done(void *ctx, struct drive *d) {
    struct call *c = ctx;
    (void)d;
    assert_true(c->told);
    assert_false(c->running);
    c->done = true;
    loop_timer_stop(loop, &c->cancel);
    c->drive = NULL;
}

static const struct drive_events events = {on_call, on_stop, on_waiting, on_result, on_done};

static void cancel_it(struct loop_timer *t) {
    struct call *c = t->ctx;
    drive_cancel(c->drive);
}

static int setup_on(struct loop *new_loop) {
    loop = new_loop;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_bulkhead_config_init(&bulkhead, sizeof bulkhead);
    config.name = "test";
    config.retry = &retry;
    retry.max_retries = 3;
    retry.base_delay = 10 * MS;
    retry.max_delay = 100 * MS;
    retry.jitter = HARDY_JITTER_NONE;
    running = most_running = 0;
    guard = NULL;
    return loop ? 0 : -1;
}

static int setup(void **state) {
    (void)state;
    return setup_on(loop_uv_new(NULL));
}

static int setup_sim(void **state) {
    (void)state;
    struct sim_options o;
    sim_options_init(&o);
    return setup_on(loop_sim_new(&o, NULL));
}

static int teardown(void **state) {
    (void)state;
    hardy_guard_free(guard);
    loop_free(loop);
    return 0;
}

static void make_guard(void) {
    hardy_env env = loop_env(loop);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (hardy_guard_new(&config, &env, &guard, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
}

static void begin(struct call *c) {
    hardy_op_options o;
    hardy_op_options_init(&o, sizeof o);
    o.seed = 1;
    loop_timer_init(&c->cancel, cancel_it, c);
    assert_int_equal(drive_start(loop, guard, &o, &events, c, &c->drive, NULL), HARDY_OK);
    assert_int_equal(c->calls, 0); /* never from inside the call */
}

static void run(struct call *c) {
    if (!guard) {
        make_guard();
    }
    begin(c);
    loop_run(loop);
    assert_true(c->done);
}

static void success_at_once(void **state) {
    (void)state;
    struct call c = {0};
    run(&c);
    assert_int_equal(c.result.status, HARDY_OK);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.stops, 0);
}

static void retries_with_growing_waits(void **state) {
    (void)state;
    struct call c = {.fails = 3, .takes = MS};
    run(&c);
    assert_int_equal(c.result.status, HARDY_OK);
    assert_int_equal(c.calls, 4);
    assert_int_equal(c.result.outcome.code, 4);
    int64_t expected[] = {11 * MS, 21 * MS, 41 * MS};
    for (int i = 0; i < 3; i++) {
        int64_t span = c.called[i + 1] - c.called[i];
        assert_true(span >= expected[i] && span < expected[i] + HARDY_SECOND);
    }
    /* Each change of what it waits for was told once. */
    assert_int_equal(c.waits, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(c.reasons[i], i % 2 == 0 ? HARDY_REASON_RUNNING : HARDY_REASON_BACKOFF);
    }
}

static void gives_up(void **state) {
    (void)state;
    struct call c = {.fails = 100};
    run(&c);
    assert_int_equal(c.result.status, HARDY_E_EXHAUSTED);
    assert_int_equal(c.result.reason, HARDY_REASON_RETRIES);
    assert_int_equal(c.calls, 4);
}

static void stopped_at_its_timeout(void **state) {
    (void)state;
    config.timeout = 20 * MS;
    config.retry = NULL;
    struct call c = {.takes = HARDY_NEVER, .effect = HARDY_EFFECT_UNKNOWN};
    run(&c);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.stops, 1);
    assert_int_equal(c.deadline - c.called[0], 20 * MS);
    assert_true(c.result.status == HARDY_E_TIMEOUT || c.result.status == HARDY_E_IN_DOUBT);
}

/* Reports of progress keep a slow attempt alive; without them the idle timeout ends it. */
static struct call *slow;
static int beats;
static void beat(struct loop_timer *t) {
    if (beats-- > 0 && slow->drive) {
        drive_report_progress(slow->drive, slow->attempt, HARDY_BYTES);
        loop_timer_start(loop, t, loop_now(loop) + 5 * MS);
    }
}

static void progress_keeps_it_alive(void **state) {
    (void)state;
    struct loop_timer t;
    config.timeout_idle = 40 * MS;
    config.retry = NULL;
    struct call c = {.takes = 80 * MS};
    slow = &c;
    beats = 20;
    loop_timer_init(&t, beat, NULL);
    make_guard();
    begin(&c);
    loop_timer_start(loop, &t, loop_now(loop) + 5 * MS);
    loop_run(loop);
    assert_true(c.done);
    assert_int_equal(c.result.status, HARDY_OK);
    assert_int_equal(c.stops, 0);
}

static void cancelled_while_it_runs_and_while_it_waits(void **state) {
    (void)state;
    make_guard();
    struct call c = {.takes = HARDY_NEVER};
    begin(&c);
    loop_timer_start(loop, &c.cancel, loop_now(loop) + 10 * MS);
    loop_run(loop);
    assert_true(c.done);
    assert_int_equal(c.stops, 1);
    assert_int_equal(c.result.status, HARDY_E_CANCELLED);

    struct call w = {.fails = 100, .takes = MS};
    begin(&w);
    loop_timer_start(loop, &w.cancel, loop_now(loop) + 5 * MS); /* in its first backoff */
    loop_run(loop);
    assert_true(w.done);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.result.status, HARDY_E_CANCELLED);

    struct call early = {0};
    begin(&early);
    drive_cancel(early.drive); /* before its first turn */
    loop_run(loop);
    assert_true(early.done);
    assert_int_equal(early.calls, 0);
}

static void slots_are_handed_over(void **state) {
    (void)state;
    static struct call c[12];
    memset(c, 0, sizeof c);
    bulkhead.max_concurrent = 2;
    bulkhead.max_queue = 8;
    config.bulkhead = &bulkhead;
    config.retry = NULL;
    make_guard();
    int done = 0, full = 0;
    for (int i = 0; i < 12; i++) {
        c[i].takes = MS;
        begin(&c[i]);
    }
    loop_run(loop);
    for (int i = 0; i < 12; i++) {
        assert_true(c[i].done);
        done += c[i].result.status == HARDY_OK;
        full += c[i].result.status == HARDY_E_FULL;
    }
    assert_int_equal(done, 10);
    assert_int_equal(full, 2);
    assert_int_equal(most_running, 2);
}

/* Gives the slot back only when the operation on the loop stands in the queue. */
static void hold(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    (void)outcome;
    pthread_barrier_wait(&held);
    pthread_barrier_wait(&held);
}

static void *hold_the_slot(void *ctx) {
    hardy_outcome outcome;
    (void)!hardy_guard_run(guard, hold, ctx, HARDY_NEVER, &outcome, NULL);
    return NULL;
}

/* A slot given back by another thread wakes the loop. */
static void woken_by_another_thread(void **state) {
    (void)state;
    pthread_t thread;
    struct call c = {.takes = MS, .holder_waits = true};
    bulkhead.max_concurrent = 1;
    config.bulkhead = &bulkhead;
    make_guard();
    pthread_barrier_init(&held, NULL, 2);
    pthread_create(&thread, NULL, hold_the_slot, loop);
    pthread_barrier_wait(&held);
    run(&c);
    assert_int_equal(c.result.status, HARDY_OK);
    assert_int_equal(c.reasons[0], HARDY_REASON_SLOTS);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&held);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define KERNEL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BOTH(name) KERNEL(name), {#name " simulated", name, setup_sim, teardown, NULL}
        BOTH(success_at_once),
        BOTH(retries_with_growing_waits),
        BOTH(gives_up),
        BOTH(stopped_at_its_timeout),
        BOTH(progress_keeps_it_alive),
        BOTH(cancelled_while_it_runs_and_while_it_waits),
        BOTH(slots_are_handed_over),
        KERNEL(woken_by_another_thread),
    };
    return cmocka_run_group_tests_name("drive", tests, NULL, NULL);
}
