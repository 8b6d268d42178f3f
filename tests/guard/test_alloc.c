/* SPDX-License-Identifier: Apache-2.0 */
/* An operation asks for no memory, whatever happens to it. The linker sends every request for
 * memory of the library through here (--wrap). */
#include "virtual.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t requests;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    requests++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    requests++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    requests++;
    return __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    requests++;
    return __real_aligned_alloc(alignment, size);
}

static void in_turn(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    if (call->attempt < 3) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    }
}

static void no_operation_allocates(void **state) {
    static struct world world;
    static struct client clients[64];
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config slots;
    hardy_guard *guard = NULL;
    hardy_env env = world_env(&world);
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_rate_config_init(&rate, sizeof rate);
    hardy_bulkhead_config_init(&slots, sizeof slots);
    config.name = "test";
    config.retry = &retry;
    config.breaker = &breaker;
    config.rate = &rate;
    config.bulkhead = &slots;
    config.timeout = 100 * MS;
    config.deadline = HARDY_MINUTE;
    retry.repeatable = true;
    retry.base_delay = HARDY_MICROSECOND;
    rate.events = 1000;
    rate.burst = 20;
    slots.max_concurrent = 4;
    slots.max_queue = 30;

    requests = 0;
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
    assert_true(requests > 0); /* the counter sees the library */

    for (size_t i = 0; i < 64; i++) {
        struct client *c = &clients[i];
        client_init(c, &world, guard, (int64_t)(i / 2) * MS);
        hardy_outcome fails = FAILS, succeeds = SUCCEEDS;
        client_plan(c, i % 3 == 0 ? HANGS : 5 * MS, fails);
        client_plan(c, 5 * MS, i % 2 == 0 ? fails : succeeds);
        c->cancels = i % 7 == 0 ? 20 * MS : HARDY_NEVER;
        c->options.deadline = i % 11 == 0 ? 30 * MS : HARDY_NEVER;
    }
    requests = 0;
    world_run(&world, HARDY_NEVER);
    hardy_guard_stats s = {.size = sizeof s};
    hardy_guard_get_stats(guard, &s);
    assert_int_equal(requests, 0);
    /* All of it has happened. */
    assert_true(s.retries > 0 && s.timeouts > 0 && s.rejected_slots > 0);
    assert_true(s.breaker.times_opened > 0);
    hardy_guard_free(guard);

    config.breaker = NULL;
    assert_int_equal(hardy_guard_new(&config, NULL, &guard, NULL), HARDY_OK);
    requests = 0;
    assert_int_equal(hardy_guard_run(guard, in_turn, NULL, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(requests, 0);
    hardy_guard_free(guard);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_operation_allocates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
