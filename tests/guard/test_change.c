/* SPDX-License-Identifier: Apache-2.0 */
/* Other settings while a guard is in use: what goes on, what is kept, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "virtual.h"
#include <stdlib.h>
#include <string.h>

static struct world world;
static struct client clients[16];
static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_breaker_config breaker;
static hardy_rate_config rate;
static hardy_bulkhead_config slots;
static hardy_guard *guard;

static int setup(void **state) {
    (void)state;
    world = (struct world){0};
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_rate_config_init(&rate, sizeof rate);
    hardy_bulkhead_config_init(&slots, sizeof slots);
    retry.jitter = HARDY_JITTER_NONE;
    retry.base_delay = 100 * MS;
    config.name = "changed";
    return 0;
}

static void make(void) {
    hardy_env env = world_env(&world);
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
}

static int teardown(void **state) {
    (void)state;
    hardy_guard_free(guard);
    guard = NULL;
    return 0;
}

static void change(void) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (hardy_guard_change(guard, &config, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
}

static struct client *begin(size_t i, int64_t at, int64_t takes) {
    client_init(&clients[i], &world, guard, at);
    client_plan(&clients[i], takes, (hardy_outcome)SUCCEEDS);
    return &clients[i];
}

static hardy_guard_stats stats(void) {
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(guard, &s);
    return s;
}

static void an_operation_goes_by_the_settings_it_began_with(void **state) {
    (void)state;
    config.timeout = 100 * MS;
    make();
    struct client *before = begin(0, 0, 500 * MS), *after = begin(1, 20 * MS, 500 * MS);
    world_run(&world, 10 * MS);
    config.timeout = 300 * MS;
    change();
    world_run(&world, HARDY_NEVER);
    assert_string_equal(before->trace,
                        "0 call 1 | 0 wait running 100 | 100 stop 1 | 100 result E_TIMEOUT timeout "
                        "| 100 done");
    assert_string_equal(after->trace, "20 call 1 | 20 wait running 320 | 320 stop 1 | 320 result "
                                      "E_TIMEOUT timeout | 320 done");
}

static void what_was_counted_is_kept(void **state) {
    (void)state;
    config.breaker = &breaker;
    breaker.failure_threshold = 5;
    config.rate = &rate;
    rate.events = 1;
    rate.burst = 10;
    make();
    for (int i = 0; i < 3; i++) {
        world_call(&world, guard, 0, (hardy_outcome)FAILS);
    }
    breaker.failure_threshold = 4;
    change();
    assert_int_equal(stats().operations, 3);
    assert_int_equal(stats().attempts, 3);
    assert_int_equal(stats().breaker.total_failures, 3);
    assert_int_equal(stats().breaker.recent_failures, 3);
    assert_int_equal((int)stats().rate_left, 7);
    world_call(&world, guard, 0, (hardy_outcome)FAILS);
    assert_int_equal(stats().breaker.state, HARDY_OPEN);
    breaker.recovery_timeout = 30 * HARDY_SECOND;
    change();
    assert_int_equal(world_call(&world, guard, 0, (hardy_outcome)SUCCEEDS).status, HARDY_E_OPEN);
    assert_int_equal(stats().operations, 5);
    assert_int_equal(stats().attempts, 4);
}

static void layers_come_and_go(void **state) {
    (void)state;
    make();
    assert_int_equal((int)stats().rate_left, -1);
    config.breaker = &breaker;
    breaker.failure_threshold = 1;
    config.rate = &rate;
    config.bulkhead = &slots;
    change();
    world_call(&world, guard, 0, (hardy_outcome)FAILS);
    assert_int_equal(stats().breaker.state, HARDY_OPEN);
    config.breaker = NULL;
    config.rate = NULL;
    config.bulkhead = NULL;
    change();
    assert_int_equal(world_call(&world, guard, 0, (hardy_outcome)SUCCEEDS).status, HARDY_OK);
    config.breaker = &breaker; /* as it was left */
    change();
    assert_int_equal(world_call(&world, guard, 0, (hardy_outcome)SUCCEEDS).status, HARDY_E_OPEN);
}

static void more_slots_let_in_who_waits(void **state) {
    (void)state;
    config.bulkhead = &slots;
    slots.max_concurrent = 1;
    make();
    for (size_t i = 0; i < 4; i++) {
        begin(i, 0, 100 * MS);
    }
    world_run(&world, 10 * MS);
    assert_int_equal(stats().running, 1);
    assert_int_equal(stats().waiting, 3);
    assert_int_equal(stats().attempts, 1);
    slots.max_concurrent = 3;
    change();
    world_run(&world, 20 * MS);
    assert_int_equal(stats().running, 3);
    assert_int_equal(stats().waiting, 1);
    world_run(&world, HARDY_NEVER);
    assert_int_equal(world.most_running, 3);
    assert_int_equal(stats().running, 0);
    assert_int_equal(stats().attempts, 4);
}

static void fewer_slots_end_nothing(void **state) {
    (void)state;
    config.bulkhead = &slots;
    slots.max_concurrent = 3;
    slots.max_queue = 5;
    make();
    for (size_t i = 0; i < 5; i++) {
        begin(i, 0, (int64_t)(i + 1) * 100 * MS);
    }
    world_run(&world, 10 * MS);
    slots.max_concurrent = 1;
    slots.max_queue = 2;
    change();
    assert_int_equal(stats().running, 3);
    assert_int_equal(stats().waiting, 2);
    begin(5, 20 * MS, 0);
    world_run(&world, 250 * MS);
    assert_string_equal(clients[5].trace, "20 result E_FULL slots | 20 done");
    assert_int_equal(stats().running, 1); /* two have ended, and their slots went to nobody */
    world_run(&world, HARDY_NEVER);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(clients[i].result.status, HARDY_OK);
    }
    assert_int_equal(stats().running, 0);
}

static void a_slot_is_given_back_though_the_layer_is_gone(void **state) {
    (void)state;
    config.bulkhead = &slots;
    slots.max_concurrent = 1;
    make();
    begin(0, 0, 100 * MS);
    struct client *waits = begin(1, 0, 100 * MS);
    world_run(&world, 10 * MS);
    config.bulkhead = NULL;
    change();
    struct client *free_of_it = begin(2, 20 * MS, 0);
    world_run(&world, HARDY_NEVER);
    assert_string_equal(free_of_it->trace, "20 call 1 | 20 result OK | 20 done");
    assert_string_equal(waits->trace,
                        "0 wait slots | 100 call 1 | 100 wait running | 200 result OK "
                        "| 200 done");
    assert_int_equal(stats().running, 0);
}

/* As a whole or not at all. */
static void wrong_settings_change_nothing(void **state) {
    (void)state;
    config.retry = &retry;
    make();
    retry.max_retries = 0;
    breaker.failure_threshold = 65;
    config.breaker = &breaker;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_guard_change(guard, &config, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "guard changed: failure_threshold is 65, which should be "
                                       "from 1 to 64");
    world_call(&world, guard, 0, (hardy_outcome)FAILS);
    assert_int_equal(stats().retries, 5);
    config.breaker = NULL;
    config.name = "another";
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_guard_change(guard, &config, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "guard changed: name is \"another\", and a guard keeps the "
                                       "name it was made with");
    config.name = NULL;
    change();
    world_call(&world, guard, 0, (hardy_outcome)FAILS);
    assert_int_equal(stats().retries, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_operation_goes_by_the_settings_it_began_with, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_counted_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(layers_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(more_slots_let_in_who_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(fewer_slots_end_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slot_is_given_back_though_the_layer_is_gone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wrong_settings_change_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
