/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: sixteen threads share one guard in front of a far side that bears four callers at a time.
 * First its slots keep it whole; then the far side goes away, and the pool, whose threads wait for
 * their retries, is told to stop and stops at once.
 *
 *     cc pool.c $(pkg-config --cflags --libs hardy) -o pool
 */
#include <hardy/hardy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORKERS = 16, JOBS = 160, BEARS = 4 };

/* --- the far side: real enough to be broken by too many ----------------------------------------
 */

static atomic_int inside, most, broken;
static atomic_bool away;

static void ask_far_side(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    int now_inside = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
    (void)ctx;
    (void)call;
    while (now_inside > seen && !atomic_compare_exchange_weak(&most, &seen, now_inside)) {
    }
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    atomic_fetch_sub(&inside, 1);
    broken += now_inside > BEARS;
    if (away || now_inside > BEARS) {
        *outcome = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    }
}

/* --- the pool --------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct pool *pool;
    hardy_cancel_token cancel;
    int done, cancelled;
};

struct pool {
    hardy_guard *guard;
    atomic_int jobs; /* left to do */
    struct worker workers[WORKERS];
};

static void *work(void *ctx) {
    struct worker *w = ctx;
    hardy_run_options options;
    hardy_status status = HARDY_OK;
    hardy_run_options_init(&options, sizeof options);
    options.cancel = &w->cancel;
    while (status != HARDY_E_CANCELLED && atomic_fetch_sub(&w->pool->jobs, 1) > 0) {
        status = hardy_guard_run_with(w->pool->guard, ask_far_side, NULL, &options, NULL, NULL);
        w->done += status == HARDY_OK;
        w->cancelled += status == HARDY_E_CANCELLED;
    }
    return NULL;
}

static void start(struct pool *p, int jobs) {
    p->jobs = jobs;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &p->workers[i];
        *w = (struct worker){.pool = p};
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            abort();
        }
    }
}

static void join(struct pool *p, int *done, int *cancelled) {
    *done = *cancelled = 0;
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(p->workers[i].thread, NULL);
        *done += p->workers[i].done;
        *cancelled += p->workers[i].cancelled;
    }
}

/* Whoever waits for a slot or a retry stops waiting; whoever is inside asks hardy_call_cancelled().
 */
static void stop(struct pool *p) {
    for (int i = 0; i < WORKERS; i++) {
        hardy_cancel(&p->workers[i].cancel);
    }
}

int main(void) {
    static struct pool p;
    hardy_guard_config config;
    hardy_bulkhead_config bulkhead;
    hardy_retry_config retry;
    hardy_guard_stats stats = {.size = sizeof stats};
    int done, cancelled;

    hardy_guard_config_init(&config, sizeof config);
    hardy_bulkhead_config_init(&bulkhead, sizeof bulkhead);
    hardy_retry_config_init(&retry, sizeof retry);
    bulkhead.max_concurrent = BEARS;
    retry.base_delay = HARDY_HOUR; /* nothing but stop() ends the waits here */
    retry.max_delay = HARDY_HOUR;
    retry.jitter = HARDY_JITTER_NONE;
    config.name = "pool";
    config.bulkhead = &bulkhead;
    config.retry = &retry;
    config.budget = NULL; /* the same of the retry budget */
    if (hardy_guard_new(&config, NULL, &p.guard, NULL) != HARDY_OK) {
        return 1;
    }

    start(&p, JOBS);
    join(&p, &done, &cancelled);
    printf("%d jobs done by %d threads, at most %d of them in the far side, which broke %d times\n",
           done, WORKERS, most, broken);

    away = true;
    start(&p, JOBS);
    do { /* until every thread has had its failure and waits an hour for its retry */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        hardy_guard_get_stats(p.guard, &stats);
    } while (stats.attempts < JOBS + WORKERS || stats.running > 0);
    stop(&p);
    join(&p, &done, &cancelled);
    printf("the far side is away: %d jobs done, %d cancelled\n", done, cancelled);
    hardy_guard_free(p.guard);
    return 0;
}
