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
 * little; with two threads it is the 5th percentile of the pieces that both were in at the same
 * time, "-" where the machine was too busy for that.
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <hardy/hardy.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 20
#define PIECES 20 /* of a row in each round */
#define CALLS 2000
#define ROWS 40

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
static _Thread_local volatile int64_t sink; /* the time, of who asks no clock */

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
static struct gcra rate;
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

/* Where something may be waited for, the breaker is looked at before. */
static void look_at_breaker(void *ctx) {
    int64_t retry_at;
    (void)ctx;
    if (!breaker_peek(&breaker_words, &breaker_config, sink, &retry_at)) {
        abort();
    }
}

static void use_budget(void *ctx) {
    (void)ctx;
    budget_deposit(&budget_words, &budget_config, sink);
}

static void use_rate(void *ctx) {
    int64_t at, now = clock_now();
    (void)ctx;
    if (gcra_reserve(&rate_words, &rate, 1, HARDY_PRIORITY_HIGH, now, now, &at, NULL) != HARDY_OK) {
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

static void fail_at_once(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE, .code = 503};
}

/* In an outage nearly all calls are such. */
static void run_without_budget(void *ctx) {
    hardy_status status = hardy_guard_run(ctx, fail_at_once, NULL, HARDY_NEVER, NULL, NULL);
    if (status != HARDY_E_BUDGET) {
        abort();
    }
}

static void draw_a_wait(void *ctx) {
    static _Thread_local uint64_t random = 1;
    random += (uint64_t)hardy_backoff(ctx, 4, 0, random * UINT64_C(0x9e3779b97f4a7c15));
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

/* A window that always holds about as many calls: time passes with them, so this is for one thread.
 * All but some are failures, and it opens only if all are. */
struct failing {
    struct breaker_words words;
    hardy_breaker_config config;
    int64_t calls, step;
};

static void record_failure(void *ctx) {
    struct failing *f = ctx;
    hardy_permit permit;
    int64_t retry_at;
    int64_t call = f->calls++, now = HARDY_HOUR + call * f->step;
    sink = clock_now_coarse(); /* as others do, though it is not used */
    if (!breaker_acquire(&f->words, &f->config, now, 0, &permit, &retry_at, NULL)) {
        abort();
    }
    breaker_record(&f->words, &f->config, &permit, call % 64 ? HARDY_FAILURE : HARDY_SUCCESS, now,
                   NULL);
}

static struct failing *failing(int64_t calls, uint32_t window_calls) {
    struct failing *f = aligned_alloc(64, sizeof *f);
    if (f == NULL) {
        abort();
    }
    *f = (struct failing){.step = HARDY_MINUTE / calls};
    hardy_breaker_config_init(&f->config, sizeof f->config);
    f->config.failure_mode = HARDY_FAILURE_RATE;
    f->config.failure_rate = 1;
    f->config.failure_window = HARDY_MINUTE;
    f->config.window_calls = window_calls;
    for (int64_t i = 0; i < calls; i++) {
        record_failure(f);
    }
    return f;
}

static void grant(void *ctx) {
    if (hardy_limiter_take(ctx, 1, HARDY_PRIORITY_HIGH, clock_now(), NULL) != HARDY_OK) {
        abort();
    }
}

static void deny(void *ctx) {
    int64_t retry_after;
    if (hardy_limiter_take(ctx, 1, HARDY_PRIORITY_HIGH, clock_now(), &retry_after) !=
        HARDY_E_LIMITED) {
        abort();
    }
}

/* Many keys in turn: an address for each. */
static void grant_key(void *ctx) {
    static _Thread_local uint32_t turn;
    uint64_t key[2] = {UINT64_C(0x20010db8), turn++ % 1000};
    if (hardy_keyed_limiter_take(ctx, key, sizeof key, 1, HARDY_PRIORITY_HIGH, clock_now(), NULL) !=
        HARDY_OK) {
        abort();
    }
}

static void deny_key(void *ctx) {
    int64_t retry_after;
    if (hardy_keyed_limiter_take(ctx, "somebody", 8, 1, HARDY_PRIORITY_HIGH, clock_now(),
                                 &retry_after) != HARDY_E_LIMITED) {
        abort();
    }
}

/* --- measuring -------------------------------------------------------------------------------- */

struct row {
    const char *name;
    void (*fn)(void *ctx);
    void *ctx;
    const struct row *compared;                        /* the ratio's */
    double one[ROUNDS * PIECES], two[ROUNDS * PIECES]; /* by the slower of both threads */
    size_t together;                                   /* pieces in `two` */
    double asked;                                      /* for memory, each call */
};
static struct row rows[ROWS];
static size_t row_count;

static struct row *add(const char *name, void (*fn)(void *), void *ctx,
                       const struct row *compared) {
    struct row *row = &rows[row_count++];
    row->name = name;
    row->fn = fn;
    row->ctx = ctx;
    row->compared = compared;
    return row;
}

struct piece {
    int64_t began, ended;
};
struct piece_work {
    const struct row *row;
    atomic_word *ready; /* NULL: alone */
    struct piece pieces[PIECES];
};

/* A thread that sleeps until it is woken begins when the other has ended already. */
static void begin_together(atomic_word *ready, uint64_t all) {
    word_add(ready, 1);
    while (word_load(ready) < all) {
        sched_yield();
    }
}

static void *work(void *arg) {
    struct piece_work *w = arg;
    sink = clock_now_coarse();
    for (uint64_t i = 0; i < PIECES; i++) {
        if (w->ready != NULL) {
            begin_together(w->ready, 2 * (i + 1));
        }
        w->pieces[i].began = clock_now();
        for (int call = 0; call < CALLS; call++) {
            w->row->fn(w->row->ctx);
        }
        w->pieces[i].ended = clock_now();
    }
    return NULL;
}

static int64_t span(const struct piece *p) {
    return p->ended - p->began;
}

static void alone(struct row *row, int round) {
    struct piece_work w = {.row = row};
    uint64_t before = word_load(&requests);
    work(&w);
    row->asked += (double)(word_load(&requests) - before) / (ROUNDS * PIECES * CALLS);
    for (int i = 0; i < PIECES; i++) {
        row->one[PIECES * round + i] = (double)span(&w.pieces[i]) / CALLS;
    }
}

/* Only pieces count of which four fifths were at the same time. */
static void two_threads(struct row *row) {
    atomic_word ready;
    word_init(&ready, 0);
    struct piece_work w[2] = {{.row = row, .ready = &ready}, {.row = row, .ready = &ready}};
    pthread_t other;
    if (pthread_create(&other, NULL, work, &w[1]) != 0) {
        abort();
    }
    work(&w[0]);
    pthread_join(other, NULL);
    for (int i = 0; i < PIECES; i++) {
        const struct piece *a = &w[0].pieces[i], *b = &w[1].pieces[i];
        const struct piece *longer = span(a) > span(b) ? a : b;
        struct piece both = {a->began > b->began ? a->began : b->began,
                             a->ended < b->ended ? a->ended : b->ended};
        if (span(&both) * 5 >= span(longer) * 4) {
            row->two[row->together++] = (double)span(longer) / CALLS;
        }
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* NAN: too few to say anything. */
static double percentile(double *values, size_t count, size_t percent) {
    qsort(values, count, sizeof *values, by_value);
    return count >= PIECES ? values[count * percent / 100] : NAN;
}

static void measure(void) {
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < row_count; i++) {
            if (rows[i].fn != NULL) {
                alone(&rows[i], round);
            }
            if (rows[i].fn != NULL && rows[i].fn != record_failure) {
                two_threads(&rows[i]);
            }
        }
    }
}

/* A row that is the sum of others: it has no function. */
struct sum {
    const struct row *parts[8];
    double factors[8];
};
static struct sum sums[ROWS];
static size_t sum_count;

static void add_up(const struct sum *sum, double *one, double *two) {
    *one = *two = 0;
    for (size_t i = 0; i < 8 && sum->parts[i] != NULL; i++) {
        *one += sum->factors[i] * sum->parts[i]->one[0];
        *two += sum->factors[i] * sum->parts[i]->two[0];
    }
}

static void print_two(const struct row *r) {
    if (isnan(r->two[0])) {
        printf(" %8s %8s", "-", "");
    } else if (r->compared != NULL && !isnan(r->compared->two[0])) {
        printf(" %8.1f %7.2fx", r->two[0], r->two[0] / r->compared->two[0]);
    } else {
        printf(" %8.1f %8s", r->two[0], "");
    }
}

/* From now on one[0] and two[0] are the row's figures. */
static void print(void) {
    printf("%-44s %8s %8s %8s %8s %8s\n", "ns per call; ratio to the floor or sum", "1 thread",
           "ratio", "2", "ratio", "allocs");
    for (size_t i = 0; i < row_count; i++) {
        struct row *r = &rows[i];
        if (r->fn == NULL) {
            add_up(r->ctx, &r->one[0], &r->two[0]);
            printf("%-44s %8.1f %8s", r->name, r->one[0], "");
            print_two(r);
            printf("\n");
            continue;
        }
        r->one[0] = percentile(r->one, ROUNDS * PIECES, 0);
        r->two[0] = percentile(r->two, r->together, 5);
        printf("%-44s %8.1f", r->name, r->one[0]);
        if (r->compared != NULL) {
            printf(" %7.2fx", r->one[0] / r->compared->one[0]);
        } else {
            printf(" %8s", "");
        }
        print_two(r);
        printf(" %8.3f\n", r->asked);
    }
}

/* --- the rows ----------------------------------------------------------------------------------
 */

static const struct row *add_sum(const struct sum *sum) {
    sums[sum_count] = *sum;
    return add("sum of the parts", NULL, &sums[sum_count++], NULL);
}

static hardy_guard *guard(const hardy_guard_config *config) {
    hardy_guard *g = NULL;
    if (hardy_guard_new(config, NULL, &g, NULL) != HARDY_OK) {
        abort();
    }
    return g;
}

static void add_policies(void) {
    static hardy_breaker *breaker, *open;
    static hardy_limiter *limiter, *empty;
    static hardy_keyed_limiter *keyed, *keyed_empty;
    hardy_rate_config rare = rate_config;
    rare.events = 1;
    rare.period = HARDY_DAY;
    rare.burst = 1;
    if (hardy_breaker_new(&breaker_config, &breaker, NULL) != HARDY_OK ||
        hardy_breaker_new(&breaker_config, &open, NULL) != HARDY_OK ||
        hardy_limiter_new(&rate_config, &limiter, NULL) != HARDY_OK ||
        hardy_limiter_new(&rare, &empty, NULL) != HARDY_OK ||
        hardy_keyed_limiter_new(&rate_config, 10000, NULL, &keyed, NULL) != HARDY_OK ||
        hardy_keyed_limiter_new(&rare, 10000, NULL, &keyed_empty, NULL) != HARDY_OK ||
        hardy_limiter_take(empty, 1, HARDY_PRIORITY_HIGH, clock_now(), NULL) != HARDY_OK ||
        hardy_keyed_limiter_take(keyed_empty, "somebody", 8, 1, HARDY_PRIORITY_HIGH, clock_now(),
                                 NULL) != HARDY_OK) {
        abort();
    }
    hardy_breaker_force(open, HARDY_FORCED_OPEN, HARDY_NEVER, clock_now());
    const struct row *floor =
        add("floor: coarse clock + add on an own line", coarse_and_add, NULL, NULL);
    add("  breaker, closed: admit + record", admit_and_record, breaker, floor);
    add("  breaker, open: refuse", refuse, open, floor);
    add("  breaker, a failure of 1,000 in a minute", record_failure, failing(1000, 0), floor);
    add("  breaker, a failure of 10,000 in a minute", record_failure, failing(10000, 0), floor);
    add("  breaker, a failure of 100,000 in a minute", record_failure, failing(100000, 0), floor);
    add("  breaker, a failure of the last 1,000", record_failure, failing(1000, 1000), floor);
    floor = add("floor: exact clock + CAS on a shared line", clock_and_swap, NULL, NULL);
    add("  limiter: grant", grant, limiter, floor);
    add("  limiter: refuse", deny, empty, floor);
    add("  limiter for each of 1000 keys: grant", grant_key, keyed, floor);
    add("  limiter for each key: refuse one key", deny_key, keyed_empty, floor);
}

static void add_guards(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    config.name = "bench";
    const struct row *coarse = add("part: coarse clock, twice", two_coarse_clocks, NULL, NULL);
    const struct row *exact = add("part: exact clock, twice", two_clocks, NULL, NULL);
    const struct row *call =
        add("part: counted in, called, counted out", count_and_call, NULL, NULL);
    const struct row *breaker = add("part: breaker", use_breaker, NULL, NULL);
    const struct row *looked = add("part: breaker, a look before", look_at_breaker, NULL, NULL);
    const struct row *budget = add("part: budget", use_budget, NULL, NULL);
    const struct row *granted = add("part: rate, with one exact clock", use_rate, NULL, NULL);
    const struct row *slot = add("part: bulkhead", use_bulkhead, NULL, NULL);

    const struct row *sum = add_sum(&(struct sum){{coarse, call}, {1, 1}});
    add("  guarded no-op: no layers", run_guard, guard(&config), sum);
    static hardy_retry_config waits;
    waits = retry;
    add("  a wait before a retry, drawn", draw_a_wait, &waits, NULL);
    config.retry = &retry;
    retry.base_delay = retry.max_delay = 0;
    hardy_budget_config none = budget_config;
    none.ratio = none.floor = 0;
    config.budget = &none;
    hardy_guard *spent = guard(&config);
    while (hardy_guard_run(spent, fail_at_once, NULL, HARDY_NEVER, NULL, NULL) != HARDY_E_BUDGET) {
    }
    add("  guarded failure: the budget refuses a retry", run_without_budget, spent, NULL);
    hardy_retry_config_init(&retry, sizeof retry);
    config.budget = &budget_config;
    config.breaker = &breaker_config;
    sum = add_sum(&(struct sum){{coarse, call, breaker, budget}, {1, 1, 1, 1}});
    add("  guarded no-op: retry, budget, breaker", run_guard, guard(&config), sum);
    hardy_guard *open = guard(&config);
    if (hardy_guard_force(open, HARDY_FORCED_OPEN, HARDY_NEVER) != HARDY_OK) {
        abort();
    }
    config.timeout = HARDY_MINUTE;
    config.deadline = HARDY_HOUR;
    sum = add_sum(&(struct sum){{exact, call, breaker, budget}, {1, 1, 1, 1}});
    add("  guarded no-op: and timeout, deadline", run_guard, guard(&config), sum);
    config.rate = &rate_config;
    config.bulkhead = &bulkhead_config;
    sum = add_sum(&(struct sum){{exact, call, looked, breaker, budget, granted, slot},
                                {0.5, 1, 1, 1, 1, 1, 1}});
    add("  guarded no-op: and rate, bulkhead", run_guard, guard(&config), sum);
    add("  guarded no-op: refused by the breaker", run_refused, open, NULL);
}

/* What is made here lives as long as the program. */
int main(void) {
    hardy_breaker_config_init(&breaker_config, sizeof breaker_config);
    hardy_budget_config_init(&budget_config, sizeof budget_config);
    hardy_rate_config_init(&rate_config, sizeof rate_config);
    hardy_bulkhead_config_init(&bulkhead_config, sizeof bulkhead_config);
    rate_config.events = 1e9;
    rate_config.burst = 1e9;
    gcra_init(&rate, &rate_config);
    if (bulkhead_init(&bulkhead, &bulkhead_config, NULL) != HARDY_OK) {
        return 1;
    }
    add_policies();
    add_guards();
    measure();
    print();
    return 0;
}
