/* SPDX-License-Identifier: Apache-2.0 */
/* What a breaker counts, under the schedules of two threads: the turn to a new step of a time
 * window, a window of calls that comes round, and the places of calls that are watched. */
#include "explore.h"
#include "policy/breaker.h"
#include "policy/breaker_layout.h"
#include <string.h>

#define S HARDY_SECOND
#define STEP (INT64_C(1) << 30) /* of a window of eight of them */
#define NOW (1000 * STEP)

static struct breaker_words w;
static hardy_breaker_config c;
static hardy_permit held[2];
static unsigned openings;

static void fresh(void) {
    memset(&w, 0, sizeof w);
    memset(held, 0, sizeof held);
    openings = 0;
    hardy_breaker_config_init(&c, sizeof c);
    c.failure_mode = HARDY_FAILURE_RATE;
    c.failure_rate = 0.5;
    c.failure_window = 8 * STEP;
    c.minimum_calls = 100;
}

static void note(struct breaker_change change) {
    openings += change.from != change.to && change.to == HARDY_OPEN;
}

static bool acquire(hardy_permit *permit, int64_t now) {
    struct breaker_change change;
    int64_t at;
    bool got = breaker_acquire(&w, &c, now, 0, permit, &at, &change);
    note(change);
    return got;
}

static void record(hardy_permit *permit, hardy_outcome_class outcome, int64_t now) {
    struct breaker_change change;
    breaker_record(&w, &c, permit, outcome, now, &change);
    note(change);
}

static void call(hardy_outcome_class outcome, int64_t now) {
    hardy_permit permit;
    if (acquire(&permit, now)) {
        record(&permit, outcome, now);
    }
}

static hardy_breaker_stats stats(int64_t now) {
    hardy_breaker_stats s;
    breaker_stats(&w, &c, now, &s);
    return s;
}

static void fail_first(void) {
    record(&held[0], HARDY_FAILURE, NOW);
}
static void fail_second(void) {
    record(&held[1], HARDY_FAILURE, NOW);
}
static void succeed_first(void) {
    record(&held[0], HARDY_SUCCESS, NOW);
}

/* --- a time window ------------------------------------------------------------------------------
 */

/* The places of NOW hold what was counted sixteen steps ago; the step has not been turned to. */
static void before_a_new_step(void) {
    fresh();
    call(HARDY_SUCCESS, NOW - 16 * STEP);
    call(HARDY_SUCCESS, NOW - 16 * STEP);
    call(HARDY_FAILURE, NOW - 16 * STEP);
    call(HARDY_SUCCESS, NOW - STEP);
    acquire(&held[0], NOW);
    acquire(&held[1], NOW);
}
static void one_of_three_failed(void) {
    hardy_breaker_stats s = stats(NOW);
    explore_expect(s.recent_calls == 3 && s.recent_failures == 1, "the window has another sum");
    explore_expect(s.total_successes == 4 && s.total_failures == 2, "a call was lost in the turn");
}
static void two_of_three_are_enough(void) {
    before_a_new_step();
    c.minimum_calls = 3;
}
static void opened_once(void) {
    explore_expect(stats(NOW).state == HARDY_OPEN, "as many failures as it takes did not open it");
    explore_expect(openings == 1 && w.opened == 1, "an opening was not told or counted once");
}
/* Late: still in the step before. */
static void fail_first_late(void) {
    record(&held[0], HARDY_FAILURE, NOW - STEP);
}
static void two_of_three_failed(void) {
    hardy_breaker_stats s = stats(NOW);
    explore_expect(s.recent_calls == 3 && s.recent_failures == 2, "the window has another sum");
    explore_expect(s.total_failures == 3, "a call was lost in the turn");
}

/* --- a window of calls -------------------------------------------------------------------------
 */

static void two_of_the_last_calls(void) {
    fresh();
    c.window_calls = 64;
    w.ended = tagged(0, 31); /* so that one ends a word and the other begins the next */
    acquire(&held[0], NOW);
    acquire(&held[1], NOW);
}
static void both_are_marked(void) {
    hardy_breaker_stats s = stats(NOW);
    explore_expect(s.recent_calls == 33 && s.recent_failures == 2, "a failure was not marked");
}
static void two_of_one_word(void) {
    two_of_the_last_calls();
    w.ended = tagged(0, 3);
}
static void both_are_in_the_word(void) {
    explore_expect(stats(NOW).recent_failures == 2, "a failure was not marked");
}
#define ROUND (BREAKER_BITS * 32)
/* So many calls went well that the window has come round to the same word. */
static void fail_a_round_later(void) {
    word_store(&w.ended, tagged(0, ROUND + 3));
    fail_second();
}
static void the_later_is_marked(void) {
    bool both = count_of(w.ended) == ROUND + 5; /* the first was not late at all */
    explore_expect(stats(NOW).recent_failures == 1u + both,
                   "a late failure wiped out one of a later round");
}

/* --- calls that are watched ----------------------------------------------------------------------
 */

static void watching(void) {
    fresh();
    c.slow_call = S;
    c.slow_call_rate = 0.5;
    c.failure_rate = 0;
    c.window_calls = 64;
    c.minimum_calls = 64;
}
static void watch_first(void) {
    acquire(&held[0], NOW);
}
static void watch_second(void) {
    acquire(&held[1], NOW);
}
static void both_are_watched(void) {
    explore_expect(held[0].kind == PERMIT_WATCHED && held[1].kind == PERMIT_WATCHED,
                   "a call is not watched though there is room");
    explore_expect(stats(NOW + 2 * S).hung_calls == 2, "two calls are watched in one place");
}
/* Nobody waits for it any more, and its place may be another's when it ends after all. */
static void one_is_given_up(void) {
    watching();
    acquire(&held[0], NOW - c.slow_call - c.failure_window - S);
}
static void the_other_is_watched(void) {
    explore_expect(stats(NOW + 2 * S).hung_calls == 1, "a late end took another call's watch away");
    explore_expect(stats(NOW).total_slow == 1, "a slow call was not counted");
}
static void reset_and_watch_second(void) {
    breaker_force(&w, HARDY_CLOSED, 0, NOW);
    watch_second();
}
static void the_newer_is_watched(void) {
    uint64_t generation = generation_of(w.decision);
    explore_expect(held[1].kind == PERMIT_WATCHED, "a call is not watched though there is room");
    unsigned newer = 0;
    for (int i = 0; i < BREAKER_WATCHED; i++) {
        newer += !place_vacant(w.watched[i], generation);
    }
    bool both = held[0].kind == PERMIT_WATCHED && generation_of(held[0].generation) == generation;
    explore_expect(newer == 1u + both, "a late call took the place of a newer generation's");
}
static void two_hang(void) {
    watching();
    c.minimum_calls = 2;
    acquire(&held[0], NOW - 2 * S);
    acquire(&held[1], NOW - 2 * S);
}
static void ask(void) {
    hardy_permit permit;
    explore_expect(!acquire(&permit, NOW), "a call was let through though enough hang");
}

const struct scenario breaker_window_scenarios[] = {
    {"breaker: a success and a failure turn to a new step",
     2,
     before_a_new_step,
     {succeed_first, fail_second},
     one_of_three_failed},
    {"breaker: two failures turn to a new step",
     2,
     two_of_three_are_enough,
     {fail_first, fail_second},
     opened_once},
    {"breaker: a late failure and the turn to a new step",
     2,
     before_a_new_step,
     {fail_first_late, fail_second},
     two_of_three_failed},
    {"breaker: two failures at the end of a word of calls",
     EXPLORE_ALL,
     two_of_the_last_calls,
     {fail_first, fail_second},
     both_are_marked},
    {"breaker: two failures in one word of calls",
     EXPLORE_ALL,
     two_of_one_word,
     {fail_first, fail_second},
     both_are_in_the_word},
    {"breaker: a late failure and the calls of a later round",
     EXPLORE_ALL,
     two_of_one_word,
     {fail_first, fail_a_round_later},
     the_later_is_marked},
    {"breaker: two calls are watched", 2, watching, {watch_first, watch_second}, both_are_watched},
    {"breaker: a call that was given up ends while its place is taken",
     2,
     one_is_given_up,
     {succeed_first, watch_second},
     the_other_is_watched},
    {"breaker: a late call and the watch of a newer generation",
     2,
     watching,
     {watch_first, reset_and_watch_second},
     the_newer_is_watched},
    {"breaker: two callers while enough calls hang", 2, two_hang, {ask, ask}, opened_once},
    {0},
};
