/* SPDX-License-Identifier: Apache-2.0 */
/* What operations do at the guard's limits: weights, priorities, slots that adapt. */
#include "../cmocka_all.h"

#include "virtual.h"
#include <string.h>

static struct world world;
static struct client clients[CLIENTS];
static hardy_guard_config config;
static hardy_rate_config rate;
static hardy_guard *guard;

static int setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    memset(clients, 0, sizeof clients);
    hardy_guard_config_init(&config, sizeof config);
    hardy_rate_config_init(&rate, sizeof rate);
    config.name = "test";
    config.rate = &rate;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    hardy_guard_free(guard);
    return 0;
}

static void make(void) {
    hardy_env env = world_env(&world);
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
}

static void no_wake(void *ctx) {
    (void)ctx;
}

static struct client *client(size_t i, int64_t begins) {
    client_init(&clients[i], &world, guard, begins);
    return &clients[i];
}

#define assert_trace(c, text) assert_string_equal((c)->trace, text)

static void a_weight_is_paid_by_each_attempt(void **state) {
    (void)state;
    hardy_retry_config retry;
    hardy_retry_config_init(&retry, sizeof retry);
    retry.jitter = HARDY_JITTER_NONE;
    retry.base_delay = 100 * MS;
    config.retry = &retry;
    rate.events = 10;
    rate.burst = 5;
    make();
    struct client *a = client(0, 0), *free_of_charge = client(1, 0), *never = client(2, 0);
    a->options.weight = 4;
    client_plan(a, 0, (hardy_outcome)FAILS);
    client_plan(a, 0, (hardy_outcome)SUCCEEDS);
    free_of_charge->options.weight = 0;
    never->options.weight = 6;
    world_run(&world, HARDY_NEVER);
    assert_trace(a, "0 call 1 | 0 wait backoff 100 | 100 wait rate 300 | 300 call 2 | "
                    "300 result OK | 300 done");
    assert_trace(free_of_charge, "0 call 1 | 0 result OK | 0 done");
    assert_trace(never, "0 result E_TOO_LARGE rate | 0 done");
    assert_int_equal(never->result.retry_after, -1);
}

static void a_weight_that_was_not_used_is_returned(void **state) {
    (void)state;
    rate.events = 10;
    rate.burst = 5;
    make();
    struct client *a = client(0, 0), *b = client(1, 0), *c = client(2, 100 * MS);
    a->options.weight = 5;
    b->options.weight = 4;
    b->cancels = 50 * MS;
    world_run(&world, HARDY_NEVER);
    assert_trace(b, "0 wait rate 400 | 50 result E_CANCELLED cancelled | 50 done");
    assert_trace(c, "100 call 1 | 100 result OK | 100 done");
}

/* Thirty that can wait are there first, and still nobody in a hurry waits for them. */
static void those_in_a_hurry_go_first(void **state) {
    (void)state;
    rate.events = 10;
    rate.burst = 10;
    make();
    for (size_t i = 0; i < 30; i++) {
        client(i, 0)->options.low_priority = true;
    }
    for (size_t i = 30; i < 60; i++) {
        client(i, (int64_t)(i - 30) * 200 * MS); /* five a second */
    }
    world_run(&world, HARDY_NEVER);
    int64_t last = 0;
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(clients[i].result.status, HARDY_OK);
        last = clients[i].done_at > last ? clients[i].done_at : last;
        assert_true(clients[30 + i].done_at == clients[30 + i].begins);
    }
    /* Nothing lies idle meanwhile: 60 calls of which 5 are there at once, at 10 a second. */
    assert_true(last >= 5400 * MS && last <= 6200 * MS);
}

static void low_priority_waits_until_its_deadline(void **state) {
    (void)state;
    rate.events = 1;
    rate.burst = 2;
    rate.low_priority = true;
    make();
    struct client *a = client(0, 0), *b = client(1, 0), *c = client(2, 0);
    b->options.deadline = 500 * MS; /* its time would come later */
    c->options.deadline = 1500 * MS;
    struct client *d = client(3, 0), *e = client(4, 999 * MS);
    d->options.deadline = 1200 * MS; /* c is there a moment before it */
    (void)e;
    world_run(&world, 1500 * MS);
    assert_trace(a, "0 call 1 | 0 result OK | 0 done");
    assert_trace(b, "0 result E_LIMITED rate | 0 done");
    assert_int_equal(b->result.retry_after, HARDY_SECOND);
    assert_trace(c, "0 wait rate 1000 | 1000 call 1 | 1000 result OK | 1000 done");
    assert_trace(d, "0 wait rate 1000 | 1000 result E_LIMITED rate | 1000 done");
    world_run(&world, HARDY_NEVER);
    assert_int_equal(e->result.status, HARDY_OK);
}

/* --- adaptive slots -------------------------------------------------------------------------- */

static uint32_t limit_now(void) {
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(guard, &stats);
    return stats.concurrency_limit;
}

static void what_is_too_much(void **state) {
    (void)state;
    static const struct {
        hardy_outcome outcome;
        int64_t takes;
        uint32_t limit;
    } rows[] = {
        {SUCCEEDS, 1 * MS, 10},
        {FAILS, 1 * MS, 10},
        {{.kind = HARDY_IGNORED}, 1 * MS, 10},
        {{.kind = HARDY_SLOW}, 1 * MS, 10},
        {{.kind = HARDY_THROTTLED, .code = 429}, 1 * MS, 7},
        {SUCCEEDS, HANGS, 7}, /* the time-out stops it */
    };
    hardy_bulkhead_config slots;
    hardy_bulkhead_config_init(&slots, sizeof slots);
    slots.max_concurrent = 10;
    slots.adaptive = true;
    config.rate = NULL;
    config.bulkhead = &slots;
    config.timeout = 100 * MS;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&world, 0, sizeof world);
        memset(clients, 0, sizeof clients);
        make();
        for (size_t k = 0; k < 10; k++) {
            client_plan(client(k, 0), rows[i].takes, rows[i].outcome);
        }
        assert_int_equal(limit_now(), 10);
        world_run(&world, HARDY_NEVER);
        assert_int_equal(limit_now(), rows[i].limit);
        hardy_guard_free(guard);
        guard = NULL;
    }
}

/* A far side that takes `capacity` at once and throttles what is more. */
struct far_side {
    uint32_t capacity, under_way;
    uint32_t throttled, served;
};

static void finds_what_the_far_side_takes(void **state) {
    (void)state;
    hardy_bulkhead_config slots;
    hardy_bulkhead_config_init(&slots, sizeof slots);
    slots.max_concurrent = 100;
    slots.max_queue = 1000;
    slots.adaptive = true;
    config.rate = NULL;
    config.bulkhead = &slots;
    make();
    static hardy_op ops[100];
    struct far_side far = {.capacity = 20};
    bool in_service[100] = {false};
    uint32_t last_throttled = 0, last_served = 0;
    for (int round = 0; round < 2000; round++) {
        int64_t now = (int64_t)(round + 1) * HARDY_SECOND;
        /* All that may start do; each then takes a second, or is throttled. */
        uint32_t limit = limit_now();
        for (uint32_t i = 0; i < limit; i++) {
            hardy_op_options o;
            hardy_op_options_init(&o, sizeof o);
            o.wake.fn = no_wake;
            assert_int_equal(hardy_op_begin(&ops[i], sizeof ops[i], guard, &o, now), HARDY_OK);
            assert_int_equal(hardy_op_next(&ops[i], now).kind, HARDY_STEP_CALL);
            in_service[i] = far.under_way++ < far.capacity;
        }
        for (uint32_t i = 0; i < limit; i++) {
            hardy_outcome taken = SUCCEEDS, throttled = {.kind = HARDY_THROTTLED, .code = 429};
            hardy_op_report(&ops[i], 1, in_service[i] ? &taken : &throttled, now);
            hardy_op_end(&ops[i]);
            *(in_service[i] ? &far.served : &far.throttled) += 1;
        }
        far.under_way = 0;
        if (round == 999) {
            last_throttled = far.throttled;
            last_served = far.served;
        }
    }
    /* The second thousand rounds: nine tenths of what it could do, and one in fifty throttled. */
    assert_true(far.served - last_served > 1000 * 20 * 82 / 100);
    assert_true((far.throttled - last_throttled) * 50 < far.served - last_served);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_weight_is_paid_by_each_attempt),
        TEST(a_weight_that_was_not_used_is_returned),
        TEST(those_in_a_hurry_go_first),
        TEST(low_priority_waits_until_its_deadline),
        TEST(what_is_too_much),
        TEST(finds_what_the_far_side_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
