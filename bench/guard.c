/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guard costs: nanoseconds per call, alone and with a second thread on the same object.
 *
 * First each policy, as a ratio to a floor measured in the same run: of whatever records the
 * cheapest clock and one addition on a line of its own; of whatever grants from one shared word the
 * exact clock and one compare-and-swap. Then guards around a function that does nothing, as a ratio
 * to the sum of the parts they are made of.
 *
 * Each figure is the best of many short pieces, so that other work on the machine disturbs it
 * little; with two threads it is the 5th percentile, for the best piece may have run while the
 * other thread did not.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <hardy/hardy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECES 400
#define CALLS 2000

static atomic_word requests;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) {
    word_count(&requests);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    word_count(&requests);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    word_count(&requests);
    return __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    word_count(&requests);
    return __real_aligned_alloc(alignment, size);
}

/* --- what is measured ------------------------------------------------------------------------ */

struct own_line {
    _Alignas(64) atomic_word word;
};
static _Thread_local struct own_line own;
static struct own_line shared;
static volatile int64_t sink;

static void coarse_and_add(void *ctx) {
    (void)ctx;
    sink = clock_now_coarse();
    word_count(&own.word);
}

static void clock_and_swap(void *ctx) {
    uint64_t before = word_load(&shared.word);
    (void)ctx;
    uint64_t now = (uint64_t)clock_now();
    while (!word_cas(&shared.word, &before, now)) {
    }
}

static void no_operation(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    (void)outcome;
}

/* --- the parts of a guard: policies without a clock ------------------------------------------- */

static hardy_breaker_config breaker_config;
static hardy_budget_config budget_config;
static hardy_rate_config rate_config;
static hardy_bulkhead_config bulkhead_config;
static struct breaker_words breaker_words;
static struct budget_words budget_words;
static struct gcra_words rate_words;
static struct bulkhead bulkhead;
static hardy_function volatile function = no_operation;

/* Read when it begins and when the function has returned. */
static void two_coarse_clocks(void *ctx) {
    (void)ctx;
    sink = clock_now_coarse();
    sink = clock_now_coarse();
}

static void two_clocks(void *ctx) {
    (void)ctx;
    sink = clock_now();
    sink = clock_now();
}

static void count_and_call(void *ctx) {
    (void)ctx;
    word_add(&own.word, 1);
    function(NULL, NULL, NULL);
    word_add(&own.word, 1);
}

static void use_breaker(void *ctx) {
    hardy_permit permit;
    int64_t retry_at;
    (void)ctx;
    if (!breaker_acquire(&breaker_words, &breaker_config, sink, 0, &permit, &retry_at, NULL)) {
        abort();
    }
    breaker_record(&breaker_words, &breaker_config, &permit, HARDY_SUCCESS, sink, NULL);
}

static void use_budget(void *ctx) {
    (void)ctx;
    budget_deposit(&budget_words, &budget_config, sink);
}

static void use_rate(void *ctx) {
    int64_t at, now = clock_now();
    (void)ctx;
    if (!gcra_reserve(&rate_words, &rate_config, 1, now, now, &at, NULL)) {
        abort();
    }
}

static void use_bulkhead(void *ctx) {
    struct bulkhead_waiter waiter = {0};
    (void)ctx;
    if (bulkhead_acquire(&bulkhead, &waiter) != BULKHEAD_GRANTED) {
        abort();
    }
    bulkhead_release(&bulkhead);
}

/* --- the whole ------------------------------------------------------------------------------- */

static void run_guard(void *ctx) {
    if (hardy_guard_run(ctx, no_operation, NULL, HARDY_NEVER, NULL, NULL) != HARDY_OK) {
        abort();
    }
}

static void run_refused(void *ctx) {
    if (hardy_guard_run(ctx, no_operation, NULL, HARDY_NEVER, NULL, NULL) != HARDY_E_OPEN) {
        abort();
    }
}

static void admit_and_record(void *ctx) {
    hardy_permit permit;
    int64_t now = clock_now_coarse();
    if (hardy_breaker_acquire(ctx, now, &permit, NULL) != HARDY_OK) {
        abort();
    }
    hardy_breaker_record(ctx, &permit, HARDY_SUCCESS, now);
}

static void refuse(void *ctx) {
    hardy_permit permit;
    if (hardy_breaker_acquire(ctx, clock_now_coarse(), &permit, NULL) != HARDY_E_OPEN) {
        abort();
    }
}

static void grant(void *ctx) {
    if (hardy_limiter_take(ctx, 1, HARDY_PRIORITY_HIGH, clock_now(), NULL) != HARDY_OK) {
        abort();
    }
}

/* --- measuring -------------------------------------------------------------------------------- */

struct piece_work {
    void (*fn)(void *ctx);
    void *ctx;
    pthread_barrier_t *start;
    double nanoseconds[PIECES];
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void *work(void *arg) {
    struct piece_work *w = arg;
    for (int piece = 0; piece < PIECES; piece++) {
        if (w->start != NULL) {
            pthread_barrier_wait(w->start);
        }
        int64_t began = clock_now();
        for (int i = 0; i < CALLS; i++) {
            w->fn(w->ctx);
        }
        w->nanoseconds[piece] = (double)(clock_now() - began) / CALLS;
    }
    qsort(w->nanoseconds, PIECES, sizeof *w->nanoseconds, by_value);
    return NULL;
}

static double alone(void (*fn)(void *), void *ctx) {
    static struct piece_work w;
    w = (struct piece_work){.fn = fn, .ctx = ctx};
    work(&w);
    return w.nanoseconds[0];
}

static double two_threads(void (*fn)(void *), void *ctx) {
    static struct piece_work w[2];
    pthread_barrier_t start;
    pthread_t other;
    pthread_barrier_init(&start, NULL, 2);
    for (int i = 0; i < 2; i++) {
        w[i] = (struct piece_work){.fn = fn, .ctx = ctx, .start = &start};
    }
    if (pthread_create(&other, NULL, work, &w[1]) != 0) {
        abort();
    }
    work(&w[0]);
    pthread_join(other, NULL);
    pthread_barrier_destroy(&start);
    double a = w[0].nanoseconds[PIECES / 20], b = w[1].nanoseconds[PIECES / 20];
    return a > b ? a : b;
}

struct row {
    double one, two;
};

static struct row measure(const char *name, void (*fn)(void *), void *ctx,
                          const struct row *compared) {
    fn(ctx);
    word_store(&requests, 0);
    struct row r = {.one = alone(fn, ctx), .two = two_threads(fn, ctx)};
    double calls = 3.0 * PIECES * CALLS;
    /* Starting the second thread asks for memory, a few times in all. */
    double asked = (double)word_load(&requests) / calls;
    printf("%-44s %8.1f %7.1fx %8.1f %7.1fx %8.3f\n", name, r.one,
           compared != NULL ? r.one / compared->one : 1, r.two,
           compared != NULL ? r.two / compared->two : 1, asked);
    return r;
}

static struct row sum(const char *name, const struct row *parts[], size_t count) {
    struct row all = {0, 0};
    for (size_t i = 0; i < count; i++) {
        all.one += parts[i]->one;
        all.two += parts[i]->two;
    }
    printf("%-44s %8.1f %8s %8.1f\n", name, all.one, "", all.two);
    return all;
}

#define SUM(...)                                                                                   \
    sum("sum of the parts", (const struct row *[]){__VA_ARGS__},                                   \
        sizeof((const struct row *[]){__VA_ARGS__}) / sizeof(struct row *))

static void measure_guard(const char *name, const hardy_guard_config *config,
                          const struct row *parts) {
    hardy_guard *g = NULL;
    if (hardy_guard_new(config, NULL, &g, NULL) != HARDY_OK) {
        abort();
    }
    measure(name, run_guard, g, parts);
    hardy_guard_free(g);
}

static void measure_policies(void) {
    hardy_breaker *breaker = NULL;
    hardy_limiter *limiter = NULL;
    if (hardy_breaker_new(&breaker_config, &breaker, NULL) != HARDY_OK ||
        hardy_limiter_new(&rate_config, &limiter, NULL) != HARDY_OK) {
        abort();
    }
    struct row add =
        measure("floor: coarse clock + add on an own line", coarse_and_add, NULL, NULL);
    measure("  breaker, closed: admit + record", admit_and_record, breaker, &add);
    hardy_breaker_force(breaker, HARDY_FORCED_OPEN, HARDY_NEVER, clock_now());
    measure("  breaker, open: refuse", refuse, breaker, &add);
    struct row swap =
        measure("floor: exact clock + CAS on a shared line", clock_and_swap, NULL, NULL);
    measure("  limiter: grant", grant, limiter, &swap);
    hardy_limiter_free(limiter);
    hardy_breaker_free(breaker);
}

static void measure_guards(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    config.name = "bench";
    struct row coarse = measure("part: coarse clock, twice", two_coarse_clocks, NULL, NULL);
    struct row exact = measure("part: exact clock, twice", two_clocks, NULL, NULL);
    struct row call = measure("part: counted in, called, counted out", count_and_call, NULL, NULL);
    struct row breaker = measure("part: breaker", use_breaker, NULL, NULL);
    struct row budget = measure("part: budget", use_budget, NULL, NULL);
    struct row grant_and_clock = measure("part: rate, with a clock", use_rate, NULL, NULL);
    struct row rate = {grant_and_clock.one - exact.one / 2, grant_and_clock.two - exact.two / 2};
    struct row slot = measure("part: bulkhead", use_bulkhead, NULL, NULL);

    struct row parts = SUM(&coarse, &call);
    measure_guard("  guarded no-op: no layers", &config, &parts);
    config.retry = &retry;
    config.breaker = &breaker_config;
    parts = SUM(&coarse, &call, &breaker, &budget);
    measure_guard("  guarded no-op: retry, budget, breaker", &config, &parts);
    config.timeout = HARDY_MINUTE;
    config.deadline = HARDY_HOUR;
    parts = SUM(&exact, &call, &breaker, &budget);
    measure_guard("  guarded no-op: and timeout, deadline", &config, &parts);
    config.rate = &rate_config;
    config.bulkhead = &bulkhead_config;
    parts = SUM(&exact, &call, &breaker, &budget, &rate, &slot);
    measure_guard("  guarded no-op: and rate, bulkhead", &config, &parts);
}

static void measure_refusal(void) {
    hardy_guard_config config;
    hardy_guard *g = NULL;
    hardy_guard_config_init(&config, sizeof config);
    config.name = "bench";
    config.breaker = &breaker_config;
    if (hardy_guard_new(&config, NULL, &g, NULL) != HARDY_OK ||
        hardy_guard_force(g, HARDY_FORCED_OPEN, HARDY_NEVER) != HARDY_OK) {
        abort();
    }
    measure("  guarded no-op: refused by the breaker", run_refused, g, NULL);
    hardy_guard_free(g);
}

int main(void) {
    hardy_breaker_config_init(&breaker_config, sizeof breaker_config);
    hardy_budget_config_init(&budget_config, sizeof budget_config);
    hardy_rate_config_init(&rate_config, sizeof rate_config);
    hardy_bulkhead_config_init(&bulkhead_config, sizeof bulkhead_config);
    rate_config.events = 1e9;
    rate_config.burst = 1e9;
    if (bulkhead_init(&bulkhead, &bulkhead_config, NULL) != HARDY_OK) {
        return 1;
    }
    printf("%-44s %8s %8s %8s %8s %8s\n", "ns per call, ratio to the floor or sum above",
           "1 thread", "ratio", "2", "ratio", "allocs");
    measure_policies();
    measure_guards();
    measure_refusal();
    bulkhead_destroy(&bulkhead);
    return 0;
}
