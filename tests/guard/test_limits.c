/* SPDX-License-Identifier: Apache-2.0 */
/* What operations do at the guard's limits: weights, priorities. */
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_weight_is_paid_by_each_attempt),
        TEST(a_weight_that_was_not_used_is_returned),
        TEST(those_in_a_hurry_go_first),
        TEST(low_priority_waits_until_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
