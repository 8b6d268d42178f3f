/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies under real threads on a shared virtual clock. The explorer has shown the order of
 * operations to be right; here ThreadSanitizer watches the memory order, and the sums must come
 * out.
 */
#include "../cmocka_all.h"

#include "base/prng.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <hardy/keyed.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#define S HARDY_SECOND
#define MS HARDY_MILLISECOND
#define THREADS 4
#define ROUNDS 20000

static atomic_word clock_now_ms, granted, wrong;
static hardy_breaker_config breaker_config;
static struct breaker_words breaker;
static struct gcra rate;
static struct gcra_words rate_words;
static hardy_budget_config budget;
static struct budget_words budget_words;
static struct bulkhead slots;
static atomic_word inside, trials_out[1 << 15];

static int64_t tick(void) {
    return (int64_t)(1000000 + word_add(&clock_now_ms, 1) / 64) * MS;
}

/* All begin together: a thread alone would be done before the next has been made. */
static pthread_barrier_t all_are_there;
static void *(*body_of_all)(void *);

static void *begin_together(void *seed) {
    pthread_barrier_wait(&all_are_there);
    return body_of_all(seed);
}

static void run(void *(*body)(void *)) {
    pthread_t threads[THREADS];
    body_of_all = body;
    assert_int_equal(pthread_barrier_init(&all_are_there, NULL, THREADS), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, begin_together, (void *)(i + 1)), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&all_are_there);
    assert_int_equal(wrong, 0);
}

static void *break_and_mend(void *seed) {
    struct prng p;
    prng_seed(&p, (uintptr_t)seed);
    for (int i = 0; i < ROUNDS; i++) {
        hardy_permit permit;
        int64_t at, now = tick();
        if (!breaker_acquire(&breaker, &breaker_config, now, 0, &permit, &at, NULL)) {
            continue;
        }
        uint64_t generation = permit.generation >> 8 & 0x7fff;
        if (permit.kind == 2 &&
            word_add(&trials_out[generation], 1) >= breaker_config.half_open_max_calls) {
            word_add(&wrong, 1);
        }
        if (prng_below(&p, 16) == 0) {
            sched_yield();
        }
        if (permit.kind == 2) {
            word_add(&trials_out[generation], UINT64_MAX);
        }
        breaker_record(&breaker, &breaker_config, &permit,
                       prng_below(&p, 4) ? HARDY_SUCCESS : HARDY_FAILURE, now, NULL);
    }
    return NULL;
}

static void breaker_under_threads(void **state) {
    (void)state;
    hardy_breaker_stats stats;
    for (int mode = 0; mode < 5; mode++) {
        memset(&breaker, 0, sizeof breaker);
        hardy_breaker_config_init(&breaker_config, sizeof breaker_config);
        breaker_config.failure_mode = mode < 2 ? (hardy_failure_mode)mode : HARDY_FAILURE_RATE;
        breaker_config.failure_rate = mode < 2 ? 0 : 0.2;
        breaker_config.window_calls = mode == 3 ? 20 : 0;
        breaker_config.slow_call = mode == 4 ? S : 0;
        breaker_config.failure_threshold = 3;
        breaker_config.failure_window = 50 * MS;
        breaker_config.recovery_timeout = 2 * MS;
        breaker_config.close_ramp = 5 * MS;
        breaker_config.trial_lease = HARDY_DAY; /* no slot may be given away here */
        run(break_and_mend);
        breaker_stats(&breaker, &breaker_config, tick(), &stats);
        assert_int_equal(stats.total_calls, stats.total_successes + stats.total_failures);
        assert_int_equal(stats.total_calls + stats.total_rejected, THREADS * ROUNDS);
        assert_true(stats.times_opened > 10);
    }
}

/* Calls that end late, in trouble and in health, while the window turns all the time. */
static atomic_word failures;

static void *begin_and_end(void *seed) {
    struct prng p;
    hardy_permit out[4] = {0};
    prng_seed(&p, (uintptr_t)seed);
    for (int i = 0; i < ROUNDS / 2; i++) {
        hardy_permit *permit = &out[prng_below(&p, 4)];
        int64_t at, now = tick();
        if (permit->kind == 0) {
            if (!breaker_acquire(&breaker, &breaker_config, now, 0, permit, &at, NULL)) {
                word_add(&wrong, 1);
            }
            continue;
        }
        if (prng_below(&p, 16) == 0) {
            sched_yield();
        }
        bool failed = prng_below(&p, 4) == 0;
        word_add(&failures, failed);
        breaker_record(&breaker, &breaker_config, permit, failed ? HARDY_FAILURE : HARDY_SUCCESS,
                       now, NULL);
        word_add(&granted, 1);
    }
    for (int i = 0; i < 4; i++) {
        if (out[i].kind != 0) {
            breaker_record(&breaker, &breaker_config, &out[i], HARDY_SUCCESS, tick(), NULL);
            word_add(&granted, 1);
        }
    }
    return NULL;
}

/* None is lost in a turn, none is counted twice, and every watch ends. */
static void windows_under_threads(void **state) {
    (void)state;
    hardy_breaker_stats stats = {.size = sizeof stats};
    static const struct {
        int64_t window, slow_call;
        uint32_t calls;
    } rows[] = {{HARDY_DAY, 0, 0}, {16 * MS, 0, 0}, {16 * MS, S, 0}, {S, S, BREAKER_CALLS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(&breaker, 0, sizeof breaker);
        hardy_breaker_config_init(&breaker_config, sizeof breaker_config);
        breaker_config.failure_mode = HARDY_FAILURE_RATE;
        breaker_config.failure_rate = 1; /* never reached */
        breaker_config.minimum_calls = BREAKER_CALLS;
        breaker_config.failure_window = rows[i].window;
        breaker_config.window_calls = rows[i].calls;
        breaker_config.slow_call = rows[i].slow_call;
        word_store(&granted, 0);
        word_store(&failures, 0);
        run(begin_and_end);
        breaker_stats(&breaker, &breaker_config, tick(), &stats);
        assert_int_equal(stats.total_calls, granted);
        assert_int_equal(stats.total_failures, failures);
        assert_int_equal(stats.total_rejected, 0);
        if (rows[i].window == HARDY_DAY) {
            assert_int_equal(stats.recent_calls, granted);
            assert_int_equal(stats.recent_failures, failures);
        }
        if (rows[i].calls > 0) {
            assert_int_equal(stats.recent_calls, rows[i].calls);
            assert_in_range(stats.recent_failures, rows[i].calls / 8, rows[i].calls / 2);
        }
        breaker_stats(&breaker, &breaker_config, tick() + 2 * S, &stats);
        assert_int_equal(stats.hung_calls, 0);
    }
    word_store(&granted, 0);
}

static void *reserve(void *seed) {
    (void)seed;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t at, now = tick();
        if (gcra_reserve(&rate_words, &rate, 1, HARDY_PRIORITY_HIGH, now, now, &at, NULL) ==
            HARDY_OK) {
            word_add(&granted, 1);
        }
        if (budget_withdraw(&budget_words, &budget, 1, now)) {
            word_add(&granted, UINT64_C(1) << 32);
        } else {
            budget_deposit(&budget_words, &budget, now);
            word_add(&wrong, UINT64_C(1) << 32); /* deposits, counted where the sum is taken */
        }
    }
    return NULL;
}

static void limits_under_threads(void **state) {
    (void)state;
    hardy_rate_config settings;
    hardy_rate_config_init(&settings, sizeof settings);
    hardy_budget_config_init(&budget, sizeof budget);
    settings.events = 500;
    settings.burst = 10;
    gcra_init(&rate, &settings);
    budget.floor = 0;
    budget.ratio = 0.5;
    pthread_t threads[THREADS];
    int64_t start = tick();
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, reserve, (void *)i), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    int64_t end = tick();
    double events = (double)(granted & UINT32_MAX), retries = (double)(granted >> 32),
           deposits = (double)(wrong >> 32);
    assert_true(events <= 500 * (double)(end - start) / (double)S + 10);
    assert_true(events >= 500 * (double)(end - start) / (double)S - 10);
    assert_true(retries <= 10 + deposits / 2);
    assert_true(retries + budget_left(&budget_words, &budget, end) == 10 + deposits / 2);
    word_store(&wrong, 0);
}

/* Few entries, many keys: who is forgotten, shares, waits for the lock or is refused without it. */
enum { KEYS = 64 };
static hardy_keyed_limiter *keyed;
static atomic_word granted_by_key[KEYS];

static void *take_by_key(void *seed) {
    struct prng p;
    prng_seed(&p, (uintptr_t)seed);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t key = prng_below(&p, prng_below(&p, 2) ? KEYS : 4);
        hardy_reservation r;
        int64_t now = tick();
        if (hardy_keyed_limiter_reserve(keyed, &key, sizeof key, 1, HARDY_PRIORITY_HIGH, now, now,
                                        &r) != HARDY_OK) {
            continue;
        }
        if (prng_below(&p, 8) == 0) {
            hardy_keyed_limiter_cancel(keyed, &key, sizeof key, &r);
        } else {
            word_add(&granted_by_key[key], 1);
        }
    }
    return NULL;
}

static void keys_under_threads(void **state) {
    (void)state;
    hardy_rate_config settings;
    hardy_keyed_stats stats = {.size = sizeof stats};
    hardy_rate_config_init(&settings, sizeof settings);
    settings.events = 2000;
    settings.burst = 3;
    assert_int_equal(hardy_keyed_limiter_new(&settings, 1, NULL, &keyed, NULL), HARDY_OK);
    int64_t start = tick();
    run(take_by_key);
    int64_t end = tick();
    double sum = 0;
    for (size_t i = 0; i < KEYS; i++) {
        double events = (double)word_load(&granted_by_key[i]);
        assert_true(events <= 2000 * (double)(end - start) / (double)S + 3);
        sum += events;
    }
    hardy_keyed_limiter_get_stats(keyed, end, &stats);
    assert_true(sum > 1000 && stats.forgotten > 100 && stats.shared > 100);
    hardy_keyed_limiter_free(keyed);
}

struct parked {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool woken;
};

static void wake(void *ctx) {
    struct parked *p = ctx;
    pthread_mutex_lock(&p->lock);
    p->woken = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
}

/* The waiter lives on the stack: a wake that comes late would hit whatever is there next. */
static bool enter(bool patient) {
    struct parked parked = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct bulkhead_waiter waiter = {.wake = wake, .ctx = &parked};
    enum bulkhead_answer answer = bulkhead_acquire(&slots, &waiter);
    bool got = answer == BULKHEAD_GRANTED;
    if (answer == BULKHEAD_QUEUED) {
        pthread_mutex_lock(&parked.lock);
        while (patient && !parked.woken) {
            pthread_cond_wait(&parked.changed, &parked.lock);
        }
        pthread_mutex_unlock(&parked.lock);
        got = bulkhead_granted(&waiter);
        if (!got) {
            bulkhead_leave(&slots, &waiter);
        }
    }
    pthread_cond_destroy(&parked.changed);
    pthread_mutex_destroy(&parked.lock);
    return got;
}

static void *come_and_go(void *seed) {
    struct prng p;
    prng_seed(&p, (uintptr_t)seed);
    for (int i = 0; i < ROUNDS / 4; i++) {
        if (!enter(prng_below(&p, 4) != 0)) {
            continue;
        }
        if (word_add(&inside, 1) >= word_load(&slots.slots)) {
            word_add(&wrong, 1);
        }
        if (prng_below(&p, 8) == 0) {
            sched_yield();
        }
        word_add(&inside, UINT64_MAX);
        bulkhead_release(&slots);
    }
    return NULL;
}

static void slots_under_threads(void **state) {
    (void)state;
    hardy_bulkhead_config c;
    uint32_t used, waiting;
    hardy_bulkhead_config_init(&c, sizeof c);
    for (uint32_t most = 1; most <= 3; most++) {
        c.max_concurrent = most;
        c.max_queue = 2;
        assert_int_equal(bulkhead_init(&slots, &c, NULL), HARDY_OK);
        run(come_and_go);
        bulkhead_counts(&slots, &used, &waiting);
        assert_int_equal(used, 0);
        assert_int_equal(waiting, 0);
        bulkhead_destroy(&slots);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breaker_under_threads), cmocka_unit_test(windows_under_threads),
        cmocka_unit_test(limits_under_threads),  cmocka_unit_test(keys_under_threads),
        cmocka_unit_test(slots_under_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
