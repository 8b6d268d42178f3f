/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: sixteen threads share one guard in front of a far side that bears four callers at a time.
 * First its slots keep it whole; then the far side goes away, and the pool, whose threads wait for
 * their retries, is told to stop and stops at once.
 *
 *     cc pool.c $(pkg-config --cflags --libs hardy) -o pool
 */
#define _GNU_SOURCE 1 /* sem_clockwait() */
#include <hardy/hardy.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORKERS = 16, JOBS = 160, BEARS = 4 };

/* --- the far side: real enough to be broken by too many ----------------------------------------
 */

static atomic_int inside, most, broken;
static atomic_bool away;

static bool ask_far_side(void) {
    int now_inside = atomic_fetch_add(&inside, 1) + 1, seen = atomic_load(&most);
    while (now_inside > seen && !atomic_compare_exchange_weak(&most, &seen, now_inside)) {
    }
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    atomic_fetch_sub(&inside, 1);
    broken += now_inside > BEARS;
    return !away && now_inside <= BEARS;
}

/* --- the pool --------------------------------------------------------------------------------- */

struct worker {
    pthread_t thread;
    struct pool *pool;
    sem_t wake;
    pthread_mutex_t lock; /* of the two below, for who cancels from another thread */
    bool busy;
    hardy_op op;
    int done, cancelled;
};

struct pool {
    hardy_guard *guard;
    hardy_env env;
    atomic_int jobs; /* left to do */
    atomic_bool stopping;
    struct worker workers[WORKERS];
};

static void wake(void *ctx) {
    sem_post(ctx);
}

/* Until `until` or an awakening: whoever sleeps looks again at the step afterwards. */
static void doze(struct worker *w, int64_t until) {
    struct timespec end;
    if (until == HARDY_NEVER) {
        sem_wait(&w->wake);
        return;
    }
    int64_t left = until - w->pool->env.now(w->pool->env.ctx);
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t at = end.tv_sec * HARDY_SECOND + end.tv_nsec + (left > 0 ? left : 0);
    end.tv_sec = at / HARDY_SECOND;
    end.tv_nsec = at % HARDY_SECOND;
    sem_clockwait(&w->wake, CLOCK_MONOTONIC, &end);
}

/* One job under the guard. It does what hardy_guard_run() does, and can be cancelled. */
static hardy_status do_job(struct worker *w) {
    struct pool *p = w->pool;
    hardy_op_options options;
    hardy_status status = HARDY_E_CANCELLED;
    hardy_op_options_init(&options, sizeof options);
    options.wake = (hardy_wake){wake, &w->wake};
    pthread_mutex_lock(&w->lock);
    w->busy = !p->stopping && hardy_op_begin(&w->op, sizeof w->op, p->guard, &options,
                                             p->env.now(p->env.ctx)) == HARDY_OK;
    pthread_mutex_unlock(&w->lock);
    while (w->busy) {
        hardy_step step = hardy_op_next(&w->op, p->env.now(p->env.ctx));
        if (step.kind == HARDY_STEP_CALL) {
            hardy_outcome outcome = {.kind = ask_far_side() ? HARDY_SUCCESS : HARDY_FAILURE,
                                     .effect = HARDY_EFFECT_NONE};
            hardy_op_report(&w->op, step.attempt, &outcome, p->env.now(p->env.ctx));
        } else if (step.kind == HARDY_STEP_WAIT) {
            doze(w, step.until);
        } else if (step.kind == HARDY_STEP_RESULT) {
            status = step.status;
        } else if (step.kind == HARDY_STEP_DONE) {
            pthread_mutex_lock(&w->lock);
            w->busy = false; /* from here on nobody cancels it */
            pthread_mutex_unlock(&w->lock);
            hardy_op_end(&w->op);
        }
    }
    return status;
}

static void *work(void *ctx) {
    struct worker *w = ctx;
    while (!w->pool->stopping && atomic_fetch_sub(&w->pool->jobs, 1) > 0) {
        hardy_status status = do_job(w);
        w->done += status == HARDY_OK;
        w->cancelled += status == HARDY_E_CANCELLED;
    }
    return NULL;
}

static void start(struct pool *p, int jobs) {
    p->jobs = jobs;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &p->workers[i];
        w->pool = p;
        w->done = w->cancelled = 0;
        sem_init(&w->wake, 0, 0);
        pthread_mutex_init(&w->lock, NULL);
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

static void stop(struct pool *p) {
    p->stopping = true;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *w = &p->workers[i];
        pthread_mutex_lock(&w->lock);
        if (w->busy) {
            hardy_op_cancel(&w->op);
        }
        pthread_mutex_unlock(&w->lock);
    }
}

int main(void) {
    static struct pool p;
    hardy_guard_config config;
    hardy_bulkhead_config bulkhead;
    hardy_retry_config retry;
    hardy_guard_stats stats = {.size = sizeof stats};
    int done, cancelled;

    hardy_env_system(&p.env, sizeof p.env);
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
    if (hardy_guard_new(&config, &p.env, &p.guard, NULL) != HARDY_OK) {
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
