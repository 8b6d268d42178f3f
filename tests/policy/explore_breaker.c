/* SPDX-License-Identifier: Apache-2.0 */
/* The breaker under every schedule of two threads. */
#include "explore.h"
#include "policy/breaker.h"
#include <string.h>

#define S HARDY_SECOND
#define NOW (1000 * S)
#define MOST 16

/* As breaker.c lays the decision and the trials out. The words are read without a function, so that
 * looking is no operation of the schedule. */
#define STATE(word) ((hardy_breaker_state)((word)&7))
#define SUCCESSES(word) ((word) >> 23 & 0x3f) /* while half open */
#define GENERATION(word) ((word) >> 8 & 0x7fff)
#define LAST_GENERATION 0x7fff

static struct breaker_words w;
static hardy_breaker_config c;
static hardy_permit held[3];
static unsigned running[LAST_GENERATION + 2];  /* trials, by generation */
static unsigned admitted[LAST_GENERATION + 2]; /* calls, by generation */
static unsigned changes, openings, trials;
static bool slot_was_lost;

static hardy_breaker_state state(void) {
    return STATE(w.decision);
}

static void fresh(void) {
    memset(&w, 0, sizeof w);
    memset(held, 0, sizeof held);
    memset(running, 0, sizeof running);
    memset(admitted, 0, sizeof admitted);
    changes = openings = trials = 0;
    slot_was_lost = false;
    hardy_breaker_config_init(&c, sizeof c);
    c.failure_threshold = 2;
    c.success_threshold = 1;
    c.half_open_max_calls = 1;
    c.close_ramp = 0;
    c.trial_lease = 600 * S;
}

static void note(struct breaker_change change) {
    changes += change.from != change.to;
    openings += change.from != change.to && change.to == HARDY_OPEN;
}

static bool acquire(hardy_permit *permit, int64_t now) {
    struct breaker_change change;
    int64_t at = -1;
    bool got = breaker_acquire(&w, &c, now, 0, permit, &at, &change);
    note(change);
    if (!got) {
        explore_expect(permit->kind == 0, "a refusal came with a permit");
        explore_expect(at > now, "refused, and told to ask again at once");
    } else if (permit->kind == 2) {
        uint64_t generation = GENERATION(permit->generation);
        explore_expect(state() == HARDY_HALF_OPEN && GENERATION(w.decision) == generation,
                       "a trial was let through a breaker that is not half open any more");
        explore_look();
        running[generation]++;
        trials++;
        explore_expect(running[generation] <= c.half_open_max_calls,
                       "more trials at once than allowed");
    } else {
        admitted[permit->generation]++;
    }
    return got;
}

static void record(hardy_permit *permit, hardy_outcome_class outcome, int64_t now) {
    struct breaker_change change;
    if (permit->kind == 2) {
        explore_look();
        running[GENERATION(permit->generation)]--;
    }
    breaker_record(&w, &c, permit, outcome, now, &change);
    note(change);
}

static bool try_call(hardy_outcome_class outcome, int64_t now) {
    hardy_permit permit;
    bool got = acquire(&permit, now);
    if (got) {
        record(&permit, outcome, now);
    }
    return got;
}

/* One thread brings the breaker there, before the others start. */
static void open_it(int64_t now) {
    for (uint32_t i = 0; i < c.failure_threshold; i++) {
        try_call(HARDY_FAILURE, now);
    }
    explore_expect(state() == HARDY_OPEN, "enough failures open it");
    changes = openings = 0;
}

static void check_openings(void) {
    /* open_it() made the first that `opened` counts, where there was one. */
    explore_expect(w.opened == openings || w.opened == openings + 1,
                   "an opening was not counted once");
}

/* --- who may try ---------------------------------------------------------------------------- */

static void recovered(void) {
    fresh();
    c.success_threshold = 3;
    open_it(NOW - c.recovery_timeout);
}
static void try_and_succeed(void) {
    try_call(HARDY_SUCCESS, NOW);
}
static void try_and_fail(void) {
    try_call(HARDY_FAILURE, NOW);
}
static void one_change_each(void) {
    explore_expect(trials >= 1, "nobody was let through though it had recovered");
    explore_expect(state() == HARDY_HALF_OPEN && SUCCESSES(w.decision) == trials,
                   "a success was not counted once");
    explore_expect(changes == 1, "half open was reported more or less than once");
}
static void recovered_closes_at_once(void) {
    fresh();
    open_it(NOW - c.recovery_timeout);
}
static void closed_again(void) {
    explore_expect(state() == HARDY_CLOSED, "a successful trial did not close it");
    explore_expect(changes == 2, "a change was not reported once");
}

static void recovered_two_trials(void) {
    recovered();
    c.half_open_max_calls = 2;
}
static void failure_wins(void) {
    explore_expect(state() == HARDY_OPEN, "a failed trial did not open it");
    explore_expect(openings == 1, "an opening was reported more or less than once");
    check_openings();
}

/* --- late threads ---------------------------------------------------------------------------- */

/* The other one fails its trial, waits, and tries again, while this one is about to try. */
static void fail_wait_and_try(void) {
    try_call(HARDY_FAILURE, NOW);
    acquire(&held[1], NOW + c.recovery_timeout);
}
static void try_and_hold(void) {
    acquire(&held[0], NOW);
}

static void in_trial(void) {
    recovered();
    acquire(&held[0], NOW);
}
/* Fails the trial that runs; then the next generation's trial begins and is kept. */
static void fail_held_wait_and_try(void) {
    record(&held[0], HARDY_FAILURE, NOW);
    acquire(&held[1], NOW + c.recovery_timeout);
}
/* Late: still sees the first generation, and after it has its answer asks once more. */
static void try_twice_late(void) {
    hardy_permit a = {0}, b = {0};
    acquire(&a, NOW);
    acquire(&b, NOW + c.recovery_timeout);
}

/* --- leases ---------------------------------------------------------------------------------- */

static void hung_trial(void) {
    fresh();
    open_it(NOW - c.recovery_timeout - c.trial_lease);
    acquire(&held[0], NOW - c.trial_lease);
    running[GENERATION(held[0].generation)]--; /* its lease has ended */
    trials = changes = 0;
}
static void end_the_hung_trial(void) {
    struct breaker_change change;
    slot_was_lost = trials > 0;
    breaker_record(&w, &c, &held[0], HARDY_SUCCESS, NOW, &change);
    note(change);
}
static void later_verdict_counts(void) {
    explore_expect(!slot_was_lost || state() == HARDY_OPEN,
                   "a trial that had lost its slot decided");
}

static void copied_permit(void) {
    fresh();
    c.success_threshold = 3;
    open_it(NOW - c.recovery_timeout);
    acquire(&held[0], NOW);
    held[1] = held[0];
}
static void record_copy(hardy_permit *permit) {
    struct breaker_change change;
    breaker_record(&w, &c, permit, HARDY_SUCCESS, NOW, &change);
}
static void record_first_copy(void) {
    record_copy(&held[0]);
}
static void record_second_copy(void) {
    record_copy(&held[1]);
}
static void counted_once(void) {
    explore_expect(SUCCESSES(w.decision) == 1, "a permit was given back more or less than once");
}

/* --- counting failures ------------------------------------------------------------------------ */

static void two_calls_out(hardy_failure_mode mode) {
    fresh();
    c.failure_mode = mode;
    acquire(&held[0], NOW);
    acquire(&held[1], NOW);
}
static void two_calls_out_window(void) {
    two_calls_out(HARDY_WINDOW);
}
static void two_calls_out_consecutive(void) {
    two_calls_out(HARDY_CONSECUTIVE);
}
static void fail_first(void) {
    record(&held[0], HARDY_FAILURE, NOW);
}
static void fail_second(void) {
    record(&held[1], HARDY_FAILURE, NOW);
}
static void opened_once(void) {
    explore_expect(state() == HARDY_OPEN, "as many failures as the threshold did not open it");
    explore_expect(changes == 1 && openings == 1 && w.opened == 1,
                   "an opening was reported or counted more or less than once");
}
static void three_calls_out_window(void) {
    two_calls_out(HARDY_WINDOW);
    c.failure_threshold = 3;
    acquire(&held[2], NOW);
}
static void two_are_not_three(void) {
    explore_expect(state() == HARDY_CLOSED, "two failures opened it that opens after three");
}
static void fail_third(void) {
    record(&held[2], HARDY_FAILURE, NOW);
}
static void fail_twice(void) {
    try_call(HARDY_FAILURE, NOW);
    try_call(HARDY_FAILURE, NOW);
}
static void fresh_consecutive(void) {
    fresh();
    c.failure_mode = HARDY_CONSECUTIVE;
    c.failure_threshold = 3;
}
static void fail_four_times_in_all(void) {
    explore_expect(state() == HARDY_OPEN && w.opened == 1, "four failures in a row of three");
}
static void one_call_out_consecutive(void) {
    fresh_consecutive();
    acquire(&held[0], NOW);
}
static void one_call_out_window(void) {
    one_call_out_consecutive();
    c.failure_mode = HARDY_WINDOW;
}
static void closed_with_two_in_the_window(void) {
    explore_expect(state() == HARDY_CLOSED, "a failure from before the reset counted");
    explore_expect(w.ring_next >> 49 == GENERATION(w.decision) && (w.ring_next & 0xffff) == 2,
                   "a late failure took a place of the newer generation's");
}
/* The other thread's failure is of the first generation; the row of the second must not suffer. */
static void reset_and_fail_twice(void) {
    breaker_force(&w, HARDY_CLOSED, 0, NOW);
    fail_twice();
}
static void two_of_three(void) {
    uint64_t row = w.consecutive;
    explore_expect(state() == HARDY_CLOSED, "a failure from before the reset counted");
    explore_expect(row >> 49 == GENERATION(w.decision) && (row & 0xffff) == 2,
                   "a late failure wiped the row out");
}

/* --- pace ---------------------------------------------------------------------------------------
 */

static void just_closed(void) {
    fresh();
    c.success_threshold = 2;
    c.close_ramp = 10 * S;
    open_it(NOW - c.recovery_timeout);
    try_call(HARDY_SUCCESS, NOW);
    try_call(HARDY_SUCCESS, NOW);
    memset(admitted, 0, sizeof admitted);
}
static void ask_twice(void) {
    try_call(HARDY_IGNORED, NOW);
    try_call(HARDY_IGNORED, NOW);
}
static void two_admitted(void) {
    explore_expect(admitted[GENERATION(w.decision)] == 2, "the pace let more or less than two in");
}
/* A late thread still has the first closing in mind. */
static void ask_late(void) {
    try_call(HARDY_IGNORED, NOW);
}
static void fail_recover_and_ask(void) {
    int64_t later = NOW + c.recovery_timeout;
    breaker_force(&w, HARDY_FORCED_OPEN, later, NOW);
    for (int i = 0; i < 3; i++) {
        try_call(HARDY_IGNORED, later);
    }
}
static void never_above_the_pace(void) {
    for (unsigned g = 0; g <= LAST_GENERATION; g++) {
        explore_expect(admitted[g] <= 2, "the pace let more than two in");
    }
}

/* --- shares, and restoring -----------------------------------------------------------------------
 */

static void two_calls_out_of_a_rate(uint32_t window_calls) {
    fresh();
    c.failure_mode = HARDY_FAILURE_RATE;
    c.failure_rate = 1;
    c.minimum_calls = 2;
    c.window_calls = window_calls;
    acquire(&held[0], NOW);
    acquire(&held[1], NOW);
}
static void two_calls_out_of_a_time_window(void) {
    two_calls_out_of_a_rate(0);
}
static void two_calls_out_of_the_last_calls(void) {
    two_calls_out_of_a_rate(2);
}
static void reset_and_fail_once(void) {
    breaker_force(&w, HARDY_CLOSED, 0, NOW);
    try_call(HARDY_FAILURE, NOW);
}
static void one_of_two(void) {
    hardy_breaker_stats s;
    breaker_stats(&w, &c, NOW, &s);
    explore_expect(s.state == HARDY_CLOSED, "a failure from before the reset counted");
    explore_expect(s.recent_failures == 1, "a late failure wiped the count out");
}

static unsigned char saved[BREAKER_SNAPSHOT];

/* An open breaker was saved; now it is closed, with one call under way. */
static void saved_while_open(void) {
    fresh();
    open_it(NOW);
    breaker_save(&w, &c, NOW, saved);
    fresh();
    acquire(&held[0], NOW);
}
static void restore_it(void) {
    explore_expect(breaker_restore(&w, &c, saved, sizeof saved, 0, NOW, NULL) == HARDY_OK,
                   "what was saved cannot be restored");
}
static void end_and_ask(void) {
    record(&held[0], HARDY_FAILURE, NOW);
    acquire(&held[1], NOW);
}
static void is_open(void) {
    hardy_permit permit;
    int64_t at;
    explore_expect(state() == HARDY_OPEN, "what was restored was not kept");
    explore_expect(!breaker_acquire(&w, &c, NOW, 0, &permit, &at, NULL), "it lets calls through");
    explore_expect(at == NOW + c.recovery_timeout, "it is open for another time");
    explore_expect(w.opened >= 1, "its totals were lost");
}

const struct scenario breaker_scenarios[] = {
    {"breaker: two callers when it has recovered",
     EXPLORE_ALL,
     recovered,
     {try_and_succeed, try_and_succeed},
     one_change_each},
    {"breaker: one trial closes it",
     EXPLORE_ALL,
     recovered_closes_at_once,
     {try_and_succeed, try_and_succeed},
     closed_again},
    {"breaker: one trial fails, another succeeds",
     EXPLORE_ALL,
     in_trial,
     {fail_first, try_and_succeed},
     failure_wins},
    {"breaker: two trials, one fails",
     EXPLORE_ALL,
     recovered_two_trials,
     {try_and_hold, try_and_fail},
     failure_wins},
    {"breaker: a hung trial ends while its slot is given away",
     EXPLORE_ALL,
     hung_trial,
     {end_the_hung_trial, try_and_fail},
     later_verdict_counts},
    {"breaker: two copies of one permit",
     EXPLORE_ALL,
     copied_permit,
     {record_first_copy, record_second_copy},
     counted_once},
    {"breaker: two failures in the window at once",
     EXPLORE_ALL,
     two_calls_out_window,
     {fail_first, fail_second},
     opened_once},
    {"breaker: three failures in the window at once",
     4,
     three_calls_out_window,
     {fail_first, fail_second, fail_third},
     opened_once},
    {"breaker: two failures in the window for a threshold of three",
     EXPLORE_ALL,
     three_calls_out_window,
     {fail_first, fail_second},
     two_are_not_three},
    {"breaker: two failures in a row at once",
     EXPLORE_ALL,
     two_calls_out_consecutive,
     {fail_first, fail_second},
     opened_once},
    {"breaker: four failures in a row for a threshold of three",
     EXPLORE_ALL,
     fresh_consecutive,
     {fail_twice, fail_twice},
     fail_four_times_in_all},
    {"breaker: a late failure and the row after a reset",
     EXPLORE_ALL,
     one_call_out_consecutive,
     {fail_first, reset_and_fail_twice},
     two_of_three},
    {"breaker: a late failure and the window after a reset",
     EXPLORE_ALL,
     one_call_out_window,
     {fail_first, reset_and_fail_twice},
     closed_with_two_in_the_window},
    {"breaker: the pace after closing",
     EXPLORE_ALL,
     just_closed,
     {ask_twice, ask_twice},
     two_admitted},
    {"breaker: a late caller and the pace of a newer closing",
     EXPLORE_ALL,
     just_closed,
     {ask_late, fail_recover_and_ask},
     never_above_the_pace},
    {"breaker: a trial is asked for while another fails and the next begins",
     EXPLORE_ALL,
     recovered,
     {try_and_hold, fail_wait_and_try},
     check_openings},
    {"breaker: a caller of an older generation meets the trials of a newer one",
     EXPLORE_ALL,
     in_trial,
     {fail_held_wait_and_try, try_twice_late},
     check_openings},
    {"breaker: two failures of a share at once, in a time window",
     1,
     two_calls_out_of_a_time_window,
     {fail_first, fail_second},
     opened_once},
    {"breaker: two failures of a share at once, of the last calls",
     4,
     two_calls_out_of_the_last_calls,
     {fail_first, fail_second},
     opened_once},
    {"breaker: a late failure and a time window after a reset",
     1,
     two_calls_out_of_a_time_window,
     {fail_first, reset_and_fail_once},
     one_of_two},
    {"breaker: a late failure and the last calls after a reset",
     4,
     two_calls_out_of_the_last_calls,
     {fail_first, reset_and_fail_once},
     one_of_two},
    {"breaker: restored while calls end and begin",
     2,
     saved_while_open,
     {restore_it, end_and_ask},
     is_open},
    {0},
};
