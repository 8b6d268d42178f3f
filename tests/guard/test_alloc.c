/* SPDX-License-Identifier: Apache-2.0 */
/* An operation asks for no memory, whatever happens to it, and who does gets on without. The linker
 * sends every request for memory of the library through here (--wrap). */
#include "guard/guard.h"
#include "virtual.h"
#include <hardy/gather.h>
#include <hardy/keyed.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Counted by the threads of a gathering too. */
static atomic_size_t requests;
static size_t fails_at; /* this one gets nothing; 0: none */

static bool may(void) {
    return atomic_fetch_add(&requests, 1) + 1 != fails_at;
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

/* --- each request refused in turn --------------------------------------------------------------
 */

#define MOST_REQUESTS 100 /* of one making: none comes near it */

/* Makes one of a kind and ends it again; *made: there was one. */
typedef hardy_status make_fn(bool *made, hardy_error *error);

static hardy_status make_breaker(bool *made, hardy_error *error) {
    hardy_breaker *breaker = NULL;
    hardy_breaker_config config;
    hardy_breaker_config_init(&config, sizeof config);
    hardy_status status = hardy_breaker_new(&config, &breaker, error);
    *made = breaker != NULL;
    hardy_breaker_free(breaker);
    return status;
}

static hardy_status make_limiter(bool *made, hardy_error *error) {
    hardy_limiter *limiter = NULL;
    hardy_rate_config config;
    hardy_rate_config_init(&config, sizeof config);
    hardy_status status = hardy_limiter_new(&config, &limiter, error);
    *made = limiter != NULL;
    hardy_limiter_free(limiter);
    return status;
}

static hardy_status make_keyed(bool *made, hardy_error *error) {
    hardy_keyed_limiter *limiter = NULL;
    hardy_rate_config config;
    hardy_rate_config_init(&config, sizeof config);
    hardy_status status = hardy_keyed_limiter_new(&config, 10, NULL, &limiter, error);
    *made = limiter != NULL;
    hardy_keyed_limiter_free(limiter);
    return status;
}

static hardy_status make_lru(bool *made, hardy_error *error) {
    hardy_lru *lru = NULL;
    hardy_status status = hardy_lru_new(10, 1000, NULL, &lru, error);
    *made = lru != NULL;
    hardy_lru_free(lru);
    return status;
}

/* There is all of it, or nothing and E_NOMEM with its reason. */
static void whatever_is_made(void **state) {
    (void)state;
    make_fn *const makers[] = {make_breaker, make_limiter, make_keyed, make_lru};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        hardy_status status = HARDY_E_NOMEM;
        for (size_t n = 1; status != HARDY_OK; n++) {
            bool made;
            hardy_error error;
            hardy_error_init(&error, sizeof error);
            assert_true(n < MOST_REQUESTS);
            requests = 0;
            fails_at = n;
            status = makers[i](&made, &error);
            fails_at = 0;
            assert_true(status == HARDY_OK ? made && n > 1 : status == HARDY_E_NOMEM && !made);
            assert_int_equal(error.status, status);
            assert_true(status == HARDY_OK || error.message[0] != '\0');
        }
    }
}

static void memory_that_a_cache_is_refused(void **state) {
    (void)state;
    hardy_lru *lru = NULL;
    size_t len;
    int64_t age;
    assert_int_equal(hardy_lru_new(10, 1000, NULL, &lru, NULL), HARDY_OK);
    hardy_cache cache = hardy_lru_cache(lru);
    cache.put(cache.ctx, "key", "old", 3);
    requests = 0;
    fails_at = 1;
    assert_null(cache.get(cache.ctx, "key", &len, &age)); /* no answer rather than half of one */
    char *kept = cache.get(cache.ctx, "key", &len, &age);
    assert_string_equal(kept, "old");
    free(kept);
    requests = 0;
    cache.put(cache.ctx, "key", "new", 3); /* refused: what was there is out of date */
    fails_at = 0;
    assert_null(cache.get(cache.ctx, "key", &len, &age));
    cache.put(cache.ctx, "key", "newer", 5);
    kept = cache.get(cache.ctx, "key", &len, &age);
    assert_string_equal(kept, "newer");
    free(kept);
    hardy_lru_free(lru);
}

static void answer(void *ctx, const hardy_call *call, hardy_answer *to, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    if (hardy_answer_set(to, "fresh", 5) != HARDY_OK) {
        hardy_answer_say(to, "out of memory");
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    }
}

static void answer_nothing(void *ctx, const hardy_call *call, hardy_answer *to,
                           hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    hardy_answer_say(to, "no answer");
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
}

/* A component has what its state says, or it is missing and says why. */
static void check_component(const hardy_component *c) {
    static const char *const data[] = {NULL, "fresh", "cached", "static", NULL};
    if (data[c->state] == NULL) {
        assert_null(c->data);
    } else {
        assert_string_equal(c->data, data[c->state]);
        assert_int_equal(c->len, strlen(c->data));
    }
    assert_true(c->state == HARDY_COMPONENT_FRESH || c->error[0] != '\0');
}

static void a_gathering_that_is_refused_memory(void **state) {
    (void)state;
    hardy_lru *lru = NULL;
    assert_int_equal(hardy_lru_new(10, 1000, NULL, &lru, NULL), HARDY_OK);
    hardy_cache cache = hardy_lru_cache(lru);
    const hardy_source good = {.fetch = answer}, bad = {.fetch = answer_nothing};
    hardy_component_config components[3];
    hardy_gather_config config;
    hardy_gather_config_init(&config, sizeof config);
    for (size_t i = 0; i < 3; i++) {
        hardy_component_config_init(&components[i], sizeof components[i]);
        components[i].sources = i == 0 ? &good : &bad;
        components[i].source_count = 1;
    }
    components[0].name = "fresh";
    components[1].name = "cached";
    components[2].name = "static";
    components[2].fixed = "static";
    components[2].fixed_len = 6;
    components[2].ttl = 0;
    config.components = components;
    config.count = 3;
    config.cache = &cache;
    config.max_degradation = HARDY_LEVEL_FAILED;
    bool refused = true;
    for (size_t n = 1; refused; n++) {
        hardy_gathered *gathered = NULL;
        hardy_error error;
        size_t count;
        hardy_error_init(&error, sizeof error);
        cache.put(cache.ctx, "cached", "cached", 6);
        assert_true(n < MOST_REQUESTS);
        requests = 0;
        fails_at = n;
        hardy_status status = hardy_gather(&config, NULL, &gathered, &error);
        refused = requests >= n;
        fails_at = 0;
        if (status == HARDY_E_NOMEM) {
            assert_null(gathered);
            assert_true(refused && error.message[0] != '\0');
            continue;
        }
        assert_int_equal(status, HARDY_OK);
        const hardy_component *got = hardy_gathered_components(gathered, &count);
        assert_int_equal(count, 3);
        for (size_t i = 0; i < count; i++) {
            check_component(&got[i]);
            assert_true(refused || got[i].state == HARDY_COMPONENT_FRESH + i);
        }
        hardy_gathered_free(gathered);
    }
    hardy_lru_free(lru);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_operation_allocates),
                                       cmocka_unit_test(memory_that_is_refused),
                                       cmocka_unit_test(a_table_of_limits),
                                       cmocka_unit_test(whatever_is_made),
                                       cmocka_unit_test(memory_that_a_cache_is_refused),
                                       cmocka_unit_test(a_gathering_that_is_refused_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
