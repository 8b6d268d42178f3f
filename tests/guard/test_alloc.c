/* SPDX-License-Identifier: Apache-2.0 */
/* An operation asks for no memory, whatever happens to it, and who does gets on without. The linker
 * sends every request for memory of the library through here (--wrap). */
#include "guard/guard.h"
#include "virtual.h"
#include <hardy/keyed.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static size_t requests, fails_at; /* fails_at: this one gets nothing; 0: none */

static bool may(void) {
    return ++requests != fails_at;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    return may() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size) {
    return may() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size) {
    return may() ? __real_realloc(old, size) : NULL;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return may() ? __real_aligned_alloc(alignment, size) : NULL;
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

/* Whichever request is refused, what could not be had has changed nothing. */
static void memory_that_is_refused(void **state) {
    hardy_guard_config config;
    hardy_guard *guard = NULL;
    hardy_error error;
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    config.name = "test";
    config.deadline = HARDY_HOUR;
    hardy_status status = HARDY_E_NOMEM;
    for (size_t n = 1; status != HARDY_OK; n++) {
        requests = 0;
        fails_at = n;
        hardy_error_init(&error, sizeof error);
        status = hardy_guard_new(&config, NULL, &guard, &error);
        assert_true(status == HARDY_OK ? n > 2 : status == HARDY_E_NOMEM && guard == NULL);
    }
    requests = 0;
    fails_at = 1;
    config.deadline = HARDY_MINUTE;
    assert_int_equal(hardy_guard_change(guard, &config, &error), HARDY_E_NOMEM);
    assert_int_equal(guard_config(guard)->deadline, HARDY_HOUR);
    assert_int_equal(hardy_guard_run(guard, in_turn, NULL, HARDY_NEVER, NULL, NULL),
                     HARDY_E_EXHAUSTED);
    assert_int_equal(hardy_guard_change(guard, &config, &error), HARDY_OK);
    /* From now on there is an edition that nobody holds. */
    fails_at = requests + 1;
    config.deadline = HARDY_SECOND;
    assert_int_equal(hardy_guard_change(guard, &config, &error), HARDY_OK);
    assert_int_equal(guard_config(guard)->deadline, HARDY_SECOND);
    fails_at = 0;
    hardy_guard_free(guard);
}

static void a_table_of_limits(void **state) {
    hardy_rate_config rate;
    hardy_keyed_limiter *limiter = NULL;
    hardy_error error;
    (void)state;
    hardy_rate_config_init(&rate, sizeof rate);
    hardy_error_init(&error, sizeof error);
    requests = 0;
    fails_at = 1;
    assert_int_equal(hardy_keyed_limiter_new(&rate, 1000, NULL, &limiter, &error), HARDY_E_NOMEM);
    assert_null(limiter);
    assert_string_equal(error.message, "out of memory for a rate limit for each key");
    fails_at = 0;
    assert_int_equal(hardy_keyed_limiter_new(&rate, 1000, NULL, &limiter, &error), HARDY_OK);
    requests = 0;
    for (uint32_t key = 0; key < 5000; key++) {
        hardy_reservation r;
        assert_int_equal(hardy_keyed_limiter_reserve(limiter, &key, sizeof key, 1,
                                                     HARDY_PRIORITY_HIGH, key, HARDY_NEVER, &r),
                         HARDY_OK);
        hardy_keyed_limiter_settle(limiter, &key, sizeof key, &r, 1 + key % 3, key);
    }
    assert_int_equal(requests, 0);
    hardy_keyed_limiter_free(limiter);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_operation_allocates),
                                       cmocka_unit_test(memory_that_is_refused),
                                       cmocka_unit_test(a_table_of_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
