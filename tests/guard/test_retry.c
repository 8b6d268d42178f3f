/* SPDX-License-Identifier: Apache-2.0 */
/* Retries in virtual time: what must hold of any settings, the user's own classes, and crowds. */
#include "../cmocka_all.h"

#include "base/prng.h"
#include "virtual.h"
#include <hardy/guard.h>
#include <stdio.h>
#include <string.h>

#define S HARDY_SECOND

static struct world world;
static struct client clients[CLIENTS];
static hardy_guard_config config;
static hardy_retry_config retry;
static hardy_guard *guard;

static int setup(void **state) {
    (void)state;
    memset(&world, 0, sizeof world);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    config.name = "test";
    config.retry = &retry;
    config.budget = NULL;
    guard = NULL;
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

static hardy_outcome throttled(int64_t retry_after) {
    return (hardy_outcome){.kind = HARDY_THROTTLED, .code = 429, .retry_after = retry_after};
}

static struct client *run(size_t i, int64_t takes, hardy_outcome outcome) {
    client_init(&clients[i], &world, guard, world.now);
    client_plan(&clients[i], takes, outcome);
    world_run(&world, HARDY_NEVER);
    return &clients[i];
}

/* --- settings of any kind --------------------------------------------------------------------- */

/* One operation after the other under the same guard, whose waits are what the events tell. */
static void check_one(struct prng *p) {
    struct client c;
    hardy_event events[64];
    int64_t floor = prng_below(p, 3) == 0 ? (int64_t)prng_below(p, 20000) * MS : 0;
    int64_t takes = (int64_t)prng_below(p, 200) * MS, waited = 0, previous = 0;
    world = (struct world){.now = world.now};
    client_init(&c, &world, guard, world.now);
    client_plan(&c, takes, floor > 0 ? throttled(floor) : (hardy_outcome)FAILS);
    world_run(&world, HARDY_NEVER);
    size_t count = hardy_guard_take_events(guard, events, 64);
    assert_int_equal(count, c.calls); /* a wait between each two, and the end */
    for (size_t i = 0; i + 1 < count; i++) {
        int64_t span = events[i].span;
        int64_t most = retry.max_delay > floor + floor / 5 ? retry.max_delay : floor + floor / 5;
        most = most > floor + retry.base_delay ? most : floor + retry.base_delay;
        assert_true(span >= floor && span <= most);
        if (retry.jitter == HARDY_JITTER_DECORRELATED && floor == 0) {
            int64_t d = previous > retry.base_delay ? previous : retry.base_delay;
            assert_true(span <= 3 * d);
        }
        previous = span;
        waited += span;
    }
    assert_true(waited <= retry.max_total_wait);
    assert_true(c.calls <= retry.max_retries + 1);
    assert_true(c.done_at <= c.begins + config.deadline);
    /* However it ended: what failed is told, and why nothing follows. */
    assert_int_not_equal(c.result.status, HARDY_OK);
    if (c.done_at < c.begins + config.deadline) {
        assert_true(c.done_at == c.begins + waited + takes * c.calls);
        assert_int_equal(c.result.outcome.code, floor > 0 ? 429 : 7);
    }
    assert_int_not_equal(c.result.reason, HARDY_REASON_NONE);
    assert_int_equal(c.result.attempt, c.calls);
}

/* Nothing of one operation is left for the next, no limit is passed, no floor is undercut. */
static void whatever_the_settings(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 11);
    for (int i = 0; i < 400; i++) {
        retry.jitter = (hardy_jitter)prng_below(&p, 5);
        retry.max_retries = (uint32_t)prng_below(&p, 12);
        retry.base_delay = (int64_t)prng_below(&p, 2000) * MS;
        retry.max_delay = retry.base_delay + (int64_t)prng_below(&p, 20000) * MS;
        retry.max_total_wait =
            prng_below(&p, 2) == 0 ? HARDY_NEVER : (int64_t)prng_below(&p, 40000) * MS;
        config.deadline =
            prng_below(&p, 2) == 0 ? HARDY_DAY : (int64_t)(1 + prng_below(&p, 60)) * S;
        make();
        for (int k = 0; k < 8; k++) {
            check_one(&p);
        }
        hardy_guard_free(guard);
        guard = NULL;
    }
}

/* --- the user's own classes ------------------------------------------------------------------- */

struct answer {
    bool overloaded;
};

static uint32_t asked;

/* 404 may pass here, for what was made a moment ago is not everywhere yet; an answer that says
 * "overloaded" is a failure whatever its status; and 500 means that it cannot be helped. */
static void classify(void *ctx, const hardy_call *call, hardy_outcome *o) {
    const struct answer *answer = o->result;
    assert_ptr_equal(ctx, &asked);
    assert_int_equal(call->attempt, ++asked);
    if (o->code == 404) {
        o->kind = HARDY_FAILURE;
        o->permanent = false;
    } else if (answer != NULL && answer->overloaded) {
        *o = hardy_outcome_of_http(529, 3 * S);
    } else if (o->code == 500) {
        o->permanent = true;
    }
}

static void the_users_own_classes(void **state) {
    static const struct answer overloaded = {true}, good = {false};
    (void)state;
    config.classify = classify;
    config.classify_ctx = &asked;
    hardy_breaker_config breaker;
    hardy_breaker_config_init(&breaker, sizeof breaker);
    config.breaker = &breaker;
    breaker.counts_attempts = true;
    breaker.failure_threshold = 64;
    retry.max_retries = 2;
    make();
    hardy_guard_stats stats = {.size = sizeof stats};

    asked = 0;
    struct client *c = run(0, 0, hardy_outcome_of_http(404, 0));
    assert_int_equal(c->result.status, HARDY_E_EXHAUSTED);
    assert_int_equal(c->calls, 3);
    assert_int_equal(asked, 3);
    hardy_guard_get_stats(guard, &stats);
    assert_int_equal(stats.breaker.recent_failures, 3);

    asked = 0;
    hardy_outcome ok = hardy_outcome_of_http(200, 0);
    ok.result = &overloaded;
    client_init(&clients[1], &world, guard, world.now);
    client_plan(&clients[1], 0, ok);
    ok.result = &good;
    client_plan(&clients[1], 0, ok);
    world_run(&world, HARDY_NEVER);
    assert_int_equal(clients[1].result.status, HARDY_OK);
    assert_int_equal(clients[1].calls, 2);
    assert_ptr_equal(clients[1].result.outcome.result, &good);
    assert_true(clients[1].done_at - clients[1].begins >= 3 * S);

    asked = 0;
    c = run(2, 0, hardy_outcome_of_http(500, 0));
    assert_int_equal(c->result.status, HARDY_E_FAILED);
    assert_int_equal(c->calls, 1);
    assert_int_equal(asked, 1);
}

/* --- one Retry-After for a crowd -------------------------------------------------------------- */

#define CROWD 240

/* A server that takes a tenth of the crowd in a second, and tells all others the same minute, or
 * each its own time. */
struct server {
    hardy_limiter *limiter;
    bool reserves;
    int64_t slots[CROWD]; /* when a client's own time comes; 0 = it has none */
    uint32_t calls;
    uint32_t by_second[600];
};

static void serve(void *ctx, struct client *c) {
    struct server *s = ctx;
    int64_t *slot = &s->slots[c - clients];
    s->calls++;
    if (c->attempt > 1 && world.now / S < 600) {
        s->by_second[world.now / S]++;
    }
    if (*slot > 0 && world.now >= *slot) {
        c->ends_with = (hardy_outcome)SUCCEEDS;
    } else if (s->reserves) {
        hardy_reservation r;
        assert_int_equal(
            hardy_limiter_reserve(s->limiter, 1, HARDY_PRIORITY_HIGH, world.now, HARDY_NEVER, &r),
            HARDY_OK);
        *slot = r.at;
        c->ends_with = r.at <= world.now ? (hardy_outcome)SUCCEEDS : throttled(r.at - world.now);
    } else {
        bool taken =
            hardy_limiter_take(s->limiter, 1, HARDY_PRIORITY_HIGH, world.now, NULL) == HARDY_OK;
        c->ends_with = taken ? (hardy_outcome)SUCCEEDS : throttled(HARDY_MINUTE);
    }
}

static double done_after(hardy_jitter jitter, bool reserves, double *calls, double *peak) {
    struct server s = {.reserves = reserves};
    hardy_rate_config rate;
    hardy_rate_config_init(&rate, sizeof rate);
    rate.events = rate.burst = CROWD / 10.0;
    assert_int_equal(hardy_limiter_new(&rate, &s.limiter, NULL), HARDY_OK);
    retry.jitter = jitter;
    retry.max_retries = 1000;
    make();
    world = (struct world){.on_call = serve, .ctx = &s};
    int64_t last = 0;
    for (size_t i = 0; i < CROWD; i++) {
        client_init(&clients[i], &world, guard, (int64_t)i * 500 * MS / CROWD);
        client_plan(&clients[i], 10 * MS, (hardy_outcome)SUCCEEDS);
    }
    world_run(&world, HARDY_NEVER);
    uint32_t most = 0;
    for (size_t i = 0; i < CROWD; i++) {
        assert_int_equal(clients[i].result.status, HARDY_OK);
        last = clients[i].done_at > last ? clients[i].done_at : last;
    }
    for (size_t i = 0; i < 600; i++) {
        most = s.by_second[i] > most ? s.by_second[i] : most;
    }
    hardy_limiter_free(s.limiter);
    hardy_guard_free(guard);
    guard = NULL;
    *calls = (double)s.calls / CROWD;
    *peak = most / rate.events;
    printf(
        "# %s: all done after %.1f s, %.2f calls an operation, returning peak %.2f of capacity\n",
        reserves                      ? "each its own time"
        : jitter == HARDY_JITTER_NONE ? "one time, obeyed exactly"
                                      : "one time, spread above it",
        (double)last / (double)S, *calls, *peak);
    return (double)last / (double)S;
}

static void one_retry_after_for_a_crowd(void **state) {
    (void)state;
    double calls, peak;
    double exactly = done_after(HARDY_JITTER_NONE, false, &calls, &peak);
    assert_true(exactly > 300 && calls > 3 && peak > 7);
    double spread = done_after(HARDY_JITTER_FULL, false, &calls, &peak);
    assert_true(spread < 73.5 && calls < 2 && peak < 1.3);
    double reserved = done_after(HARDY_JITTER_FULL, true, &calls, &peak);
    assert_true(reserved < 12 && calls < 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(whatever_the_settings),
        TEST(the_users_own_classes),
        TEST(one_retry_after_for_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
