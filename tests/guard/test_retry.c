/* SPDX-License-Identifier: Apache-2.0 */
/* Retries in virtual time: what must hold of any settings, the user's own classes, and crowds. */
#include "../cmocka_all.h"

#include "base/prng.h"
#include "virtual.h"
#include <hardy/guard.h>
#include <hardy/poll.h>
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

/* --- a guard inside of another ---------------------------------------------------------------- */

static hardy_guard *inner;
static uint32_t inner_calls;
static bool inner_fails;

static void call_inside(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    (void)ctx;
    (void)call;
    inner_calls++;
    if (inner_fails) {
        *outcome = hardy_outcome_of_http(529, 0);
    }
}

static void through_another_guard(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = hardy_guard_run(inner, call_inside, ctx, call->deadline, NULL, &error);
    *outcome = hardy_outcome_of_status(status, error.retry_after);
}

/* A refusal by hardy is no failure of anybody, and three attempts around three are three. */
static void what_another_guard_says_is_not_retried_around_it(void **state) {
    (void)state;
    hardy_outcome outcome;
    hardy_breaker_config breaker;
    hardy_breaker_config_init(&breaker, sizeof breaker);
    breaker.failure_threshold = 1;
    config.breaker = &breaker;
    retry.max_retries = 2;
    retry.base_delay = retry.max_delay = 0;
    retry.repeatable = true;
    make();
    breaker.failure_threshold = 2;
    assert_int_equal(hardy_guard_new(&config, NULL, &inner, NULL), HARDY_OK);
    inner_calls = 0;
    inner_fails = true;
    assert_int_equal(hardy_guard_force(inner, HARDY_FORCED_OPEN, HARDY_NEVER), HARDY_OK);
    assert_int_equal(
        hardy_guard_run(guard, through_another_guard, NULL, HARDY_NEVER, &outcome, NULL),
        HARDY_E_OPEN);
    assert_int_equal(outcome.code, HARDY_E_OPEN);
    assert_int_equal(inner_calls, 0);
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(guard, &stats);
    assert_int_equal(stats.attempts, 1);
    assert_int_equal(stats.breaker.recent_failures, 0);
    assert_int_equal(hardy_guard_force(inner, HARDY_CLOSED, HARDY_NEVER), HARDY_OK);
    assert_int_equal(
        hardy_guard_run(guard, through_another_guard, NULL, HARDY_NEVER, &outcome, NULL),
        HARDY_E_EXHAUSTED);
    assert_int_equal(outcome.code, HARDY_E_EXHAUSTED);
    assert_int_equal(inner_calls, 3);
    hardy_guard_get_stats(guard, &stats);
    assert_int_equal(stats.breaker.state, HARDY_OPEN); /* this one did fail */
    hardy_guard_free(inner);
}

/* --- what does not hold yet ------------------------------------------------------------------- */

struct polled {
    hardy_poll_step end;
    int64_t looks[64]; /* when */
};

/* A poll from `world.now` on, whose looks take `takes` and find `found`, the last one of it for
 * ever; `floor` goes with each report. */
static struct polled poll_through(const hardy_poll_config *settings, int64_t deadline,
                                  int64_t takes, const char *found, int64_t floor) {
    struct polled polled = {.looks = {0}};
    hardy_poll poll;
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, settings, deadline, 7, world.now, NULL),
                     HARDY_OK);
    for (;;) {
        hardy_poll_step step = hardy_poll_next(&poll, world.now);
        if (step.kind == HARDY_POLL_DONE) {
            polled.end = step;
            return polled;
        }
        if (step.kind == HARDY_POLL_WAIT) {
            assert_true(step.until > world.now && step.until <= deadline);
            world.now = step.until;
            continue;
        }
        assert_true(step.looks <= 64);
        polled.looks[step.looks - 1] = world.now;
        assert_int_equal(step.deadline, deadline);
        hardy_poll_step during = hardy_poll_next(&poll, world.now);
        assert_int_equal(during.kind, HARDY_POLL_WAIT);
        assert_int_equal(during.until, deadline);
        world.now += takes;
        char now = found[0];
        found += found[1] != '\0';
        hardy_poll_report(&poll,
                          now == 'y'   ? HARDY_LOOK_HOLDS
                          : now == 'n' ? HARDY_LOOK_NOT_YET
                          : now == '?' ? HARDY_LOOK_UNKNOWN
                                       : HARDY_LOOK_FAILED,
                          floor, world.now);
    }
}

static hardy_poll_config plain_poll(int64_t base, int64_t max) {
    hardy_poll_config c;
    hardy_poll_config_init(&c, sizeof c);
    c.jitter = HARDY_JITTER_NONE;
    c.base_delay = base;
    c.max_delay = max;
    return c;
}

static void looks_at_once_and_then_ever_less_often(void **state) {
    (void)state;
    hardy_poll_config c = plain_poll(S, 8 * S);
    struct polled p = poll_through(&c, HARDY_NEVER, 0, "nn?n?ny", 0);
    static const int64_t at[] = {0, 1, 3, 7, 15, 23, 31};
    assert_int_equal(p.end.status, HARDY_OK);
    assert_int_equal(p.end.looks, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_true(p.looks[i] == at[i] * S);
    }
    /* There is no number of looks after which it gives up: it would be what bounds a condition. */
    world.now = 0;
    hardy_poll poll;
    c = plain_poll(S, S);
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, &c, HARDY_NEVER, 0, 0, NULL), HARDY_OK);
    for (int64_t i = 0; i < 5000; i++) {
        assert_int_equal(hardy_poll_next(&poll, i * S).kind, HARDY_POLL_LOOK);
        hardy_poll_report(&poll, HARDY_LOOK_NOT_YET, 0, i * S);
        assert_true(hardy_poll_next(&poll, i * S).until == (i + 1) * S);
    }
}

static void who_began_together_looks_apart(void **state) {
    (void)state;
    hardy_poll a, b;
    int64_t apart = 0;
    assert_int_equal(hardy_poll_begin(&a, sizeof a, NULL, HARDY_NEVER, 1, 0, NULL), HARDY_OK);
    assert_int_equal(hardy_poll_begin(&b, sizeof b, NULL, HARDY_NEVER, 2, 0, NULL), HARDY_OK);
    for (int i = 0; i < 8; i++) {
        int64_t step = (i < 5 ? (INT64_C(1) << i) * S : 30 * S), now = i * HARDY_MINUTE;
        assert_int_equal(hardy_poll_next(&a, now).kind, HARDY_POLL_LOOK);
        assert_int_equal(hardy_poll_next(&b, now).kind, HARDY_POLL_LOOK);
        hardy_poll_report(&a, HARDY_LOOK_NOT_YET, 0, now);
        hardy_poll_report(&b, HARDY_LOOK_NOT_YET, 0, now);
        int64_t until_a = hardy_poll_next(&a, now).until - now;
        int64_t until_b = hardy_poll_next(&b, now).until - now;
        assert_in_range(until_a, step / 2, step);
        assert_in_range(until_b, step / 2, step);
        apart += until_a != until_b;
    }
    assert_int_equal(apart, 8);
    /* What the jitter goes by is remembered, too: the wait before. */
    hardy_poll_config c = plain_poll(S, HARDY_HOUR);
    c.jitter = HARDY_JITTER_DECORRELATED;
    struct polled p = poll_through(&c, HARDY_NEVER, 0, "nnnnnnnnnnnnnnny", 0);
    int64_t longest = 0;
    for (size_t i = 1; i < 16; i++) {
        int64_t wait = p.looks[i] - p.looks[i - 1];
        longest = wait > longest ? wait : longest;
        assert_true(wait >= S && (i == 1 || wait <= 3 * (p.looks[i - 1] - p.looks[i - 2])));
    }
    assert_true(longest > 3 * S);
}

static void the_last_look_comes_before_the_deadline(void **state) {
    (void)state;
    /* 0, 30, and not at 60 when it is too late, but with twice the room that a look took */
    hardy_poll_config c = plain_poll(30 * S, 30 * S);
    struct polled p = poll_through(&c, 60 * S, 2 * S, "n", 0);
    assert_int_equal(p.end.status, HARDY_E_DEADLINE);
    assert_int_equal(p.end.last, HARDY_LOOK_NOT_YET);
    assert_int_equal(p.end.looks, 3);
    assert_true(p.looks[1] == 32 * S && p.looks[2] == 56 * S);
    assert_true(world.now == 58 * S); /* nothing can come of waiting any longer */
    /* Where looks take no time, a millisecond. */
    world.now = 0;
    p = poll_through(&c, 10 * S, 0, "ny", 0);
    assert_int_equal(p.end.status, HARDY_OK);
    assert_true(p.looks[1] == 10 * S - MS);
    world.now = 0;
    p = poll_through(&c, 10 * S, 0, "n", 0);
    assert_int_equal(p.end.status, HARDY_E_DEADLINE);
    assert_int_equal(p.end.looks, 2);
    /* A look that outlasts it is not waited for, but what it finds in time counts. */
    hardy_poll poll;
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, &c, 5 * S, 0, 0, NULL), HARDY_OK);
    assert_int_equal(hardy_poll_next(&poll, 0).kind, HARDY_POLL_LOOK);
    hardy_poll late = poll;
    assert_int_equal(hardy_poll_next(&poll, 5 * S).status, HARDY_E_DEADLINE);
    hardy_poll_report(&poll, HARDY_LOOK_HOLDS, 0, 6 * S);
    assert_int_equal(hardy_poll_next(&poll, 6 * S).status, HARDY_E_DEADLINE);
    hardy_poll_report(&late, HARDY_LOOK_HOLDS, 0, 6 * S);
    assert_int_equal(hardy_poll_next(&late, 6 * S).status, HARDY_OK);
    /* Over before it began: nothing is looked at. */
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, &c, 5 * S, 0, 5 * S, NULL), HARDY_OK);
    hardy_poll_step step = hardy_poll_next(&poll, 5 * S);
    assert_true(step.kind == HARDY_POLL_DONE && step.looks == 0);
}

static void a_poll_keeps_to_what_it_is_told(void **state) {
    (void)state;
    hardy_poll_config c = plain_poll(S, S);
    struct polled p = poll_through(&c, HARDY_NEVER, 0, "??y", 20 * S);
    assert_true(p.looks[1] == 21 * S && p.looks[2] == 42 * S);
    /* More than there is: it is said at once. */
    world.now = 0;
    p = poll_through(&c, 19 * S, 0, "?", 20 * S);
    assert_int_equal(p.end.status, HARDY_E_DEADLINE);
    assert_int_equal(p.end.last, HARDY_LOOK_UNKNOWN);
    assert_true(world.now == 0);
    /* Not less than told, if that leaves time for one look. */
    p = poll_through(&c, 20 * S + 500 * MS, 0, "?", 20 * S);
    assert_int_equal(p.end.looks, 2);
    assert_true(p.looks[1] == 20 * S + 499 * MS);
    p = poll_through(&c, HARDY_NEVER, 0, "n?x", 0);
    assert_int_equal(p.end.status, HARDY_E_FAILED);
    assert_int_equal(p.end.looks, 3);
}

/* Whatever it is told and however long it takes: no look at or after the deadline, none before the
 * time that was told, none later than the settings allow, and it gives up only when there is no
 * room for another one. */
static void whatever_a_poll_is_told(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 23);
    for (int i = 0; i < 3000; i++) {
        hardy_poll_config c;
        hardy_poll_config_init(&c, sizeof c);
        c.jitter = (hardy_jitter)prng_below(&p, 5);
        c.base_delay = (int64_t)(1 + prng_below(&p, 3000)) * MS;
        c.max_delay = c.base_delay + (int64_t)prng_below(&p, 20000) * MS;
        c.exponential_base = 1 + prng_unit(&p) * 3;
        int64_t now = (int64_t)prng_below(&p, 1000) * S;
        int64_t deadline = now + (int64_t)prng_below(&p, 120000) * MS, begun = 0;
        int64_t longest = 0, told = now, floor = 0, most = 0;
        hardy_poll poll;
        hardy_poll_step step;
        assert_int_equal(
            hardy_poll_begin(&poll, sizeof poll, &c, deadline, prng_next(&p), now, NULL), HARDY_OK);
        while ((step = hardy_poll_next(&poll, now)).kind != HARDY_POLL_DONE) {
            if (step.kind == HARDY_POLL_WAIT) {
                assert_true(step.until > now && step.until <= deadline);
                /* Asked before it is time, it says the same. */
                now += (int64_t)prng_below(&p, (uint64_t)(step.until - now) + 1);
                continue;
            }
            assert_true(now < deadline);
            assert_true(now >= told + floor && now <= told + floor + most);
            begun = now;
            now += prng_below(&p, 4) == 0 ? (int64_t)prng_below(&p, 9000) * MS : 0;
            longest = now - begun > longest ? now - begun : longest;
            floor = prng_below(&p, 5) == 0 ? (int64_t)prng_below(&p, 9000) * MS : 0;
            told = now;
            most = c.max_delay;
            hardy_poll_report(&poll, prng_below(&p, 2) ? HARDY_LOOK_NOT_YET : HARDY_LOOK_UNKNOWN,
                              floor, now);
        }
        assert_int_equal(step.status, HARDY_E_DEADLINE);
        int64_t room = 2 * longest > MS ? 2 * longest : MS;
        assert_true(now >= deadline - room || told + floor > deadline - room);
        assert_int_equal(hardy_poll_next(&poll, now).kind, HARDY_POLL_DONE);
    }
}

static void wrong_settings_of_a_poll(void **state) {
    (void)state;
    hardy_poll poll;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_poll_config c = plain_poll(MS / 2, S);
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, &c, HARDY_NEVER, 0, 0, &error),
                     HARDY_E_INVALID);
    assert_string_equal(error.message, "base_delay is 500us, which should be from 1ms to 1h");
    c = plain_poll(2 * S, S);
    assert_int_equal(hardy_poll_begin(&poll, sizeof poll, &c, HARDY_NEVER, 0, 0, &error),
                     HARDY_E_INVALID);
    assert_string_equal(error.message, "max_delay is 1s, which should be from 2s to 1d");
    assert_int_equal(hardy_poll_begin(&poll, 8, NULL, HARDY_NEVER, 0, 0, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "hardy_poll: size is 8, which should be 192");
}

/* The thread driver over a clock that goes on whenever it is read, so that no wait is slept. */
static int64_t leap(void *ctx) {
    return *(int64_t *)ctx += 10 * S;
}

struct job {
    uint32_t looks;
    const char *found; /* as above; 'o' for a far side that refuses for lack of quota */
    hardy_cancel_token *cancel;
};

static bool look_at_job(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct job *job = ctx;
    assert_true(call->attempt >= 1);
    char now = job->found[0];
    job->found += job->found[1] != '\0';
    job->looks++;
    if (now == '?' || now == 'x' || now == 'o') {
        *outcome = hardy_outcome_of_http(now == '?' ? 500 : now == 'o' ? 429 : 403, 0);
    }
    if (now == 'c') {
        hardy_cancel(job->cancel);
    }
    return now == 'y' || now == '?'; /* of no account where there was no answer */
}

static void looks_are_guarded_and_not_yet_is_no_failure(void **state) {
    (void)state;
    int64_t clock = 0;
    hardy_env env = world_env(&world);
    env.now = leap;
    env.ctx = &clock;
    hardy_breaker_config breaker;
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_budget_config budget;
    hardy_budget_config_init(&budget, sizeof budget);
    budget.floor = 0;
    breaker.failure_threshold = 3;
    config.breaker = &breaker;
    config.budget = &budget;
    retry.max_retries = 1;
    retry.base_delay = retry.max_delay = 1;
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_outcome outcome;
    hardy_error error;
    hardy_error_init(&error, sizeof error);

    /* A hundred times "not yet" opens nothing and costs nothing. */
    char found[102];
    memset(found, 'n', 100);
    found[100] = 'y';
    found[101] = '\0';
    struct job job = {.found = found};
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, NULL, &outcome, &error),
                     HARDY_OK);
    assert_int_equal(job.looks, 101);
    assert_int_equal(outcome.kind, HARDY_SUCCESS);
    hardy_guard_get_stats(guard, &stats);
    assert_int_equal(stats.breaker.recent_failures, 0);
    assert_int_equal(stats.operations, 101);
    assert_int_equal(stats.retries, 0);
    assert_true(stats.budget_left == 10);

    /* A look without an answer is repeated as the guard says, though its effect is unknown; when
     * that does not help it counts there, and the poll goes on. */
    job = (struct job){.found = "n?"
                                "n"
                                "??"
                                "ny"};
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, NULL, &outcome, &error),
                     HARDY_OK);
    assert_int_equal(job.looks, 7);
    hardy_guard_get_stats(guard, &stats);
    assert_int_equal(stats.retries, 2);
    assert_int_equal(stats.breaker.recent_failures, 1);

    /* In time, or what it was that kept it. */
    hardy_run_options options;
    hardy_run_options_init(&options, sizeof options);
    options.deadline = clock + 300 * S;
    job = (struct job){.found = "n"};
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, &options, &outcome, &error),
                     HARDY_E_DEADLINE);
    assert_non_null(strstr(error.message, "it does not hold in time: after "));
    assert_non_null(strstr(error.message, "looks not yet"));
    assert_int_equal(outcome.kind, HARDY_IGNORED); /* the last look was a success, this is none */
    assert_int_equal(outcome.status, HARDY_E_DEADLINE);
    options.deadline = clock + 300 * S;
    job = (struct job){.found = "o"};
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, &options, &outcome, &error),
                     HARDY_E_DEADLINE);
    assert_non_null(strstr(error.message, "the last brought no answer: "));
    assert_int_equal(outcome.kind, HARDY_THROTTLED);
    assert_int_equal(outcome.code, 429);
    assert_int_equal(outcome.status, HARDY_E_DEADLINE);

    /* No time for any. */
    options.deadline = clock;
    job = (struct job){.found = "y"};
    outcome.kind = HARDY_SUCCESS;
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, &options, &outcome, &error),
                     HARDY_E_DEADLINE);
    assert_int_equal(outcome.kind, HARDY_IGNORED);
    assert_string_equal(error.message, "it does not hold in time: after 0 looks none was possible");

    /* What will not change ends it. */
    options.deadline = HARDY_NEVER;
    job = (struct job){.found = "nx"};
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, NULL, &options, &outcome, &error),
                     HARDY_E_FAILED);
    assert_int_equal(job.looks, 2);
    assert_int_equal(outcome.code, 403);
    assert_int_equal(error.status, HARDY_E_FAILED);

    hardy_cancel_token cancel = {{0}};
    options.cancel = &cancel;
    job = (struct job){.found = "nnc", .cancel = &cancel};
    hardy_poll_config often = plain_poll(S, S);
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, &often, &options, &outcome, &error),
                     HARDY_E_CANCELLED);
    assert_int_equal(job.looks, 3);
    assert_int_equal(hardy_poll_run(guard, look_at_job, &job, &often, &options, &outcome, &error),
                     HARDY_E_CANCELLED);
    assert_int_equal(job.looks, 3);
    assert_int_equal(outcome.kind, HARDY_IGNORED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(whatever_the_settings),
        TEST(the_users_own_classes),
        TEST(one_retry_after_for_a_crowd),
        TEST(what_another_guard_says_is_not_retried_around_it),
        TEST(looks_at_once_and_then_ever_less_often),
        TEST(who_began_together_looks_apart),
        TEST(the_last_look_comes_before_the_deadline),
        TEST(a_poll_keeps_to_what_it_is_told),
        TEST(whatever_a_poll_is_told),
        TEST(wrong_settings_of_a_poll),
        TEST(looks_are_guarded_and_not_yet_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
