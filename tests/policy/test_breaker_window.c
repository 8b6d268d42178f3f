/* SPDX-License-Identifier: Apache-2.0 */
/* What a breaker counts: shares of calls, slow calls and hung ones; and what its pauses, trials and
 * shadow make of it. One sentence of hardy/breaker.h, one test. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/breaker.h"
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (100000 * S)

static struct breaker_words w;
static hardy_breaker_config c;
static int64_t now;

static int fresh(void **state) {
    (void)state;
    memset(&w, 0, sizeof w);
    hardy_breaker_config_init(&c, sizeof c);
    c.close_ramp = 0;
    now = START;
    return 0;
}

static void fresh_rate(double failure_rate, uint32_t minimum_calls) {
    fresh(NULL);
    c.failure_mode = HARDY_FAILURE_RATE;
    c.failure_rate = failure_rate;
    c.minimum_calls = minimum_calls;
}

static struct breaker_change changed;

static bool ask(hardy_permit *permit) {
    int64_t at = -1, peeked = -1;
    bool expected = breaker_peek(&w, &c, now, &peeked);
    bool got = breaker_acquire(&w, &c, now, 0, permit, &at, &changed);
    assert_int_equal(got, expected);
    assert_int_equal(permit->kind != 0, got);
    return got;
}

static hardy_permit admitted(void) {
    hardy_permit permit;
    assert_true(ask(&permit));
    return permit;
}

static void refused(void) {
    hardy_permit permit;
    assert_false(ask(&permit));
}

static void record(hardy_permit *permit, hardy_outcome_class outcome) {
    breaker_record(&w, &c, permit, outcome, now, &changed);
}

static void call(hardy_outcome_class outcome) {
    hardy_permit permit = admitted();
    record(&permit, outcome);
}

static void calls(uint32_t count, hardy_outcome_class outcome) {
    for (uint32_t i = 0; i < count; i++) {
        call(outcome);
    }
}

static void call_for(int64_t span, hardy_outcome_class outcome) {
    hardy_permit permit = admitted();
    now += span;
    record(&permit, outcome);
}

static hardy_breaker_stats stats(void) {
    hardy_breaker_stats s;
    breaker_stats(&w, &c, now, &s);
    return s;
}

static hardy_breaker_state state(void) {
    return stats().state;
}

/* --- shares ------------------------------------------------------------------------------------
 */

/* Of s successes and then failures, the first failure with f / (s + f) >= rate opens it, whether it
 * is by time or by calls. */
static void opens_at_the_share_and_not_below(void **unused) {
    (void)unused;
    static const struct {
        double rate;
        uint32_t part, whole;
    } rates[] = {{0.01, 1, 100}, {0.1, 1, 10}, {0.3, 3, 10}, {0.5, 1, 2}, {0.7, 7, 10}, {1, 1, 1}};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (uint32_t successes = 0; successes <= 200; successes += 1 + successes / 8) {
            for (uint32_t window = 0; window <= BREAKER_CALLS; window += BREAKER_CALLS) {
                fresh_rate(rates[i].rate, 10);
                c.window_calls = window;
                calls(successes, HARDY_SUCCESS);
                for (uint32_t failures = 1; failures < 500; failures++) {
                    uint32_t all = successes + failures;
                    bool reached = all >= 10 && failures * rates[i].whole >= all * rates[i].part;
                    call(HARDY_FAILURE);
                    assert_int_equal(state(), reached ? HARDY_OPEN : HARDY_CLOSED);
                    assert_int_equal(changed.to, state());
                    if (reached) {
                        break;
                    }
                }
            }
        }
    }
}

static void stays_closed_below_minimum_calls(void **unused) {
    (void)unused;
    fresh_rate(0.1, 10);
    calls(9, HARDY_FAILURE);
    assert_int_equal(state(), HARDY_CLOSED);
    now += c.failure_window + c.failure_window / 8; /* they have left */
    assert_int_equal(stats().recent_calls, 0);
    assert_true(stats().failure_rate == -1);
    calls(9, HARDY_FAILURE);
    assert_int_equal(state(), HARDY_CLOSED);
    call(HARDY_FAILURE);
    assert_int_equal(state(), HARDY_OPEN);
    fresh_rate(0.1, 1);
    call(HARDY_FAILURE);
    assert_int_equal(state(), HARDY_OPEN);
}

/* Ignored, throttled and refused calls are in no share; nor are those under way. */
static void shares_are_of_calls_that_ended(void **unused) {
    (void)unused;
    fresh_rate(0.5, 4);
    calls(3, HARDY_SUCCESS);
    calls(50, HARDY_IGNORED);
    calls(50, HARDY_THROTTLED);
    hardy_permit under_way[5];
    for (int i = 0; i < 5; i++) {
        under_way[i] = admitted();
    }
    calls(2, HARDY_FAILURE);
    assert_int_equal(stats().recent_calls, 5);
    assert_true(stats().failure_rate == 2.0 / 5);
    record(&under_way[0], HARDY_FAILURE);
    assert_int_equal(state(), HARDY_OPEN);
    assert_int_equal(stats().total_calls, 106);
}

static void a_success_never_opens(void **unused) {
    (void)unused;
    for (uint32_t window = 0; window <= 100; window += 100) {
        fresh_rate(0.5, 10);
        c.window_calls = window;
        calls(9, HARDY_FAILURE);
        for (int i = 0; i < 9; i++) {
            call(HARDY_SUCCESS); /* 9 of 10 to 9 of 18 */
            assert_int_equal(state(), HARDY_CLOSED);
        }
        call(HARDY_FAILURE);
        assert_int_equal(state(), HARDY_OPEN);
    }
}

static void five_failures_of_eighty_thousand(void **unused) {
    (void)unused;
    for (int with_rate = 0; with_rate < 2; with_rate++) {
        fresh(NULL);
        c.failure_rate = with_rate ? 0.5 : 0;
        for (int part = 0; part < 5; part++) {
            calls(16000, HARDY_SUCCESS);
            assert_int_equal(state(), HARDY_CLOSED);
            call(HARDY_FAILURE);
            now += S;
        }
        hardy_breaker_stats s = stats();
        assert_int_equal(s.state, with_rate ? HARDY_CLOSED : HARDY_OPEN);
        assert_int_equal(s.total_calls, 80005);
        if (with_rate) {
            assert_int_equal(s.recent_calls, 80005);
            assert_int_equal(s.recent_failures, 5);
            assert_true(s.failure_rate == 5.0 / 80005);
            calls(79994, HARDY_FAILURE);
            assert_int_equal(state(), HARDY_CLOSED);
            call(HARDY_FAILURE); /* half of them */
            assert_int_equal(state(), HARDY_OPEN);
        }
    }
}

static void a_share_does_not_stand_in_for_the_threshold(void **unused) {
    (void)unused;
    fresh(NULL);
    c.failure_rate = 0.5;
    calls(4, HARDY_FAILURE);
    assert_true(stats().failure_rate == 1);
    assert_int_equal(state(), HARDY_CLOSED);
    call(HARDY_FAILURE);
    assert_int_equal(state(), HARDY_OPEN);
}

/* --- windows -----------------------------------------------------------------------------------
 */

static const int64_t windows[] = {MS, 7 * MS, 10 * MS, 100 * MS, S, 120 * S, HARDY_HOUR, HARDY_DAY};
#define WINDOWS (sizeof windows / sizeof windows[0])

static void a_time_window_slides_in_small_steps(void **unused) {
    (void)unused;
    struct prng p;
    prng_seed(&p, 1);
    for (size_t i = 0; i < 100 * WINDOWS; i++) {
        fresh_rate(0.5, 1000);
        c.failure_window = windows[i % WINDOWS];
        int64_t step = c.failure_window / 8;
        now += (int64_t)prng_below(&p, 2 * (uint64_t)c.failure_window);
        int64_t begin = now;
        calls(3, HARDY_FAILURE);
        call(HARDY_SUCCESS);
        now = begin + c.failure_window - step;
        assert_int_equal(stats().recent_calls, 4);
        assert_int_equal(stats().recent_failures, 3);
        now = begin + c.failure_window + step;
        assert_int_equal(stats().recent_calls, 0);
        assert_int_equal(stats().recent_failures, 0);
        assert_int_equal(stats().total_calls, 4);
    }
}

/* A step lasts a sixteenth of the window or more, so a call each sixty-fourth leaves in steps of
 * four to eight. */
static void the_steps_are_as_documented(void **unused) {
    (void)unused;
    for (size_t i = 1; i < WINDOWS; i++) {
        fresh_rate(0.5, 1000);
        c.failure_window = windows[i];
        uint64_t before = 0;
        for (int k = 0; k < 64; k++) {
            call(HARDY_SUCCESS);
            now += c.failure_window / 64;
        }
        int steps = 0;
        for (before = stats().recent_calls; before > 0; now += c.failure_window / 64) {
            uint64_t left = stats().recent_calls;
            assert_true(left <= before && before - left <= 9);
            steps += left < before;
            before = left;
        }
        assert_in_range(steps, 8, 16);
    }
}

static void what_is_old_does_not_come_back(void **unused) {
    (void)unused;
    static const int64_t idle[] = {2 * HARDY_HOUR, 2 * HARDY_DAY, 30 * HARDY_DAY, 400 * HARDY_DAY};
    for (size_t i = 0; i < WINDOWS; i++) {
        int64_t step = INT64_C(1) << (63 - __builtin_clzll((uint64_t)windows[i] / 8));
        for (size_t k = 0; k < 2 * sizeof idle / sizeof idle[0]; k++) {
            if (k < 4 && idle[k] < 2 * windows[i]) {
                continue;
            }
            fresh_rate(0.5, 10);
            c.slow_call_rate = 0.5;
            c.failure_window = windows[i];
            calls(4, HARDY_FAILURE);
            calls(4, HARDY_SLOW);
            calls(20, HARDY_SUCCESS);
            /* So long that a counter of any number of bits has come round to where it was. */
            int64_t round =
                windows[i] <= 120 * S ? (step << (23 + k % 4)) + (int64_t)(k % 4 * 5) * step : 0;
            now += k < 4 ? idle[k] : round > 0 ? round : 2 * windows[i];
            assert_int_equal(stats().recent_calls, 0);
            calls(4, HARDY_FAILURE);
            assert_int_equal(stats().recent_calls, 4);
            assert_int_equal(stats().recent_failures, 4);
            assert_int_equal(stats().total_calls, 32);
            calls(6, HARDY_FAILURE);
            assert_int_equal(state(), HARDY_OPEN);
        }
    }
}

/* A thread that was held up brings the time of its call with it. */
static void late_counts_are_in_the_totals(void **unused) {
    (void)unused;
    int64_t step = INT64_C(1) << 33; /* of two minutes */
    for (int64_t late = 1; late <= 40; late++) {
        fresh_rate(0.5, 10);
        call(HARDY_SUCCESS);
        call(HARDY_FAILURE);
        now -= late * step;
        call(HARDY_SUCCESS);
        call(HARDY_FAILURE);
        now += late * step;
        hardy_breaker_stats s = stats();
        assert_int_equal(s.total_successes, 2);
        assert_int_equal(s.total_failures, 2);
        assert_true(s.recent_calls == (late < 14 ? 4 : 2)); /* fourteen of them are the window */
        assert_int_equal(s.recent_failures, s.recent_calls / 2);
    }
}

/* The places of failures are touched only when there are any, but time goes on without. */
static void old_failures_do_not_come_back_while_all_is_well(void **unused) {
    (void)unused;
    fresh_rate(0.5, 10);
    c.failure_window = MS;
    int64_t step = INT64_C(1) << 16;
    calls(9, HARDY_FAILURE);
    for (int64_t end = now + (step << 23); now < end; now += MS / 2) {
        call(HARDY_SUCCESS);
    }
    assert_true(stats().failure_rate == 0);
    assert_int_equal(stats().recent_failures, 0);
}

static void a_window_of_calls_slides_by_single_calls(void **unused) {
    (void)unused;
    static const uint32_t sizes[] = {1, 2, 31, 32, 33, 64, 100, 1023, 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fresh_rate(1, 1);
        c.window_calls = c.minimum_calls = sizes[i];
        for (uint32_t offset = 0; offset < 70; offset += 23) {
            calls(offset, HARDY_SUCCESS);
            if (sizes[i] > 1) {
                call(HARDY_FAILURE);
            }
            for (uint32_t k = 1; k < sizes[i]; k++) {
                assert_int_equal(stats().recent_failures, 1);
                call(HARDY_SUCCESS);
                now += HARDY_DAY; /* no time here */
            }
            if (sizes[i] > 1) {
                assert_int_equal(stats().recent_failures, 1);
                call(HARDY_SUCCESS);
            }
            assert_int_equal(stats().recent_failures, 0);
        }
        /* Not full of failures but for one; then full. */
        calls(sizes[i] - 1, HARDY_FAILURE);
        assert_int_equal(state(), HARDY_CLOSED);
        call(HARDY_FAILURE);
        assert_int_equal(state(), HARDY_OPEN);
    }
}

/* However many calls went well before: the failures that follow count, and old ones do not. */
static void a_window_of_calls_after_millions(void **unused) {
    (void)unused;
    fresh_rate(0.5, 10);
    c.window_calls = 100;
    for (int failed = 0; failed < 2; failed++) {
        for (uint32_t i = 0; i < 33 * 32; i++) {
            call(failed && i % 32 == 0 ? HARDY_FAILURE : HARDY_SUCCESS);
        }
        calls(2500000, HARDY_SUCCESS);
        assert_int_equal(stats().recent_failures, 0);
        calls(49, HARDY_FAILURE);
        assert_int_equal(stats().recent_failures, 49);
        assert_int_equal(state(), HARDY_CLOSED);
        calls(100, HARDY_SUCCESS);
    }
    calls(50, HARDY_FAILURE);
    assert_int_equal(state(), HARDY_OPEN);
}

/* --- slow calls --------------------------------------------------------------------------------
 */

static void slow_is_what_took_longer(void **unused) {
    (void)unused;
    fresh(NULL);
    c.slow_call = S;
    call_for(S, HARDY_SUCCESS);
    assert_int_equal(stats().total_slow, 0);
    call_for(S + 1, HARDY_SUCCESS);
    assert_int_equal(stats().total_slow, 1);
    assert_int_equal(stats().total_failures, 1); /* nothing counts them apart */
    call_for(2 * S, HARDY_IGNORED);
    call_for(2 * S, HARDY_THROTTLED);
    assert_int_equal(stats().total_slow, 1);
    call_for(0, HARDY_SLOW);
    call_for(2 * S, HARDY_SUCCESS);
    call_for(2 * S, HARDY_FAILURE);
    assert_int_equal(stats().recent_failures, 4);
    call_for(S + 1, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_OPEN);
    fresh(NULL);
    c.failure_mode = HARDY_CONSECUTIVE;
    c.slow_call = S;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(state(), HARDY_CLOSED);
        call_for(S + 1, HARDY_SUCCESS);
    }
    assert_int_equal(state(), HARDY_OPEN);
}

static void slow_calls_have_a_share_of_their_own(void **unused) {
    (void)unused;
    for (uint32_t window = 0; window <= 64; window += 64) {
        fresh_rate(0.5, 10);
        c.window_calls = window;
        c.slow_call_rate = 0.8;
        calls(4, HARDY_FAILURE);
        calls(4, HARDY_SLOW);
        calls(2, HARDY_SUCCESS);
        hardy_breaker_stats s = stats();
        assert_int_equal(s.state, HARDY_CLOSED);
        assert_true(s.failure_rate == 0.4 && s.slow_call_rate == 0.4);
        assert_int_equal(s.total_slow, 4);
        assert_int_equal(s.total_failures, 4);
        assert_int_equal(s.total_successes, 6);
        calls(19, HARDY_SLOW); /* 23 of 29 */
        assert_int_equal(state(), HARDY_CLOSED);
        call(HARDY_SLOW); /* 24 of 30 */
        assert_int_equal(state(), HARDY_OPEN);
        fresh_rate(0, 2);
        c.window_calls = window;
        c.slow_call = S;
        c.slow_call_rate = 1;
        calls(50, HARDY_FAILURE); /* no failure_rate, so they only thin the slow ones out */
        assert_int_equal(state(), HARDY_CLOSED);
        assert_true(stats().slow_call_rate == 0);
        now += 2 * c.failure_window;
        call_for(2 * S, HARDY_FAILURE); /* a failure that took too long is slow as well */
        assert_int_equal(stats().total_slow, 1);
        assert_true(stats().slow_call_rate == (window ? 1.0 / 51 : 1));
    }
}

static void a_slow_trial_fails(void **unused) {
    (void)unused;
    fresh_rate(0, 1);
    c.slow_call_rate = 0.5;
    c.slow_call = S;
    call_for(2 * S, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_OPEN);
    now += c.recovery_timeout;
    call_for(2 * S, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_OPEN);
    now += c.recovery_timeout;
    call_for(S, HARDY_SUCCESS);
    call_for(S, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_CLOSED);
}

/* --- calls that hang ---------------------------------------------------------------------------
 */

enum { MANY = BREAKER_WATCHED + 6 };
static hardy_permit out[MANY];

static void begin(int count) {
    for (int i = 0; i < count; i++) {
        out[i] = admitted();
    }
}

static void end(int count, hardy_outcome_class outcome) {
    for (int i = 0; i < count; i++) {
        record(&out[i], outcome);
    }
}

static void hung_calls_open_it_before_they_end(void **unused) {
    (void)unused;
    for (int kind = 0; kind < 4; kind++) {
        fresh_rate(kind == 0 ? 0.5 : 0, 4);
        c.window_calls = kind == 2 ? 10 : 0;
        c.slow_call_rate = kind == 0 || kind == 3 ? 0 : 0.5;
        c.slow_call = S;
        if (kind == 3) {
            c.failure_mode = HARDY_WINDOW;
            c.failure_threshold = 4;
        }
        begin(3);
        now += S;
        out[3] = admitted(); /* looked at now: nobody hangs yet */
        assert_int_equal(stats().hung_calls, 0);
        now += S;
        assert_int_equal(stats().hung_calls, 3);
        assert_int_equal(state(), HARDY_CLOSED);
        now += 1;
        hardy_breaker_stats s = stats();
        assert_int_equal(s.state, HARDY_OPEN);
        assert_int_equal(s.times_opened, 1); /* told as open, so counted */
        assert_true(s.time_until_retry > 0);
        refused();
        assert_int_equal(changed.from, HARDY_CLOSED);
        assert_int_equal(changed.to, HARDY_OPEN);
        assert_int_equal(stats().times_opened, 1);
        assert_int_equal(stats().hung_calls, 0); /* of a state that has passed */
        end(4, HARDY_FAILURE);
        assert_int_equal(stats().total_failures, 4);
        assert_int_equal(stats().recent_failures, 0);
    }
}

/* By whoever asks what has become of it, too. */
static void settling_opens_it_as_well(void **unused) {
    (void)unused;
    fresh(NULL);
    c.slow_call = S;
    begin(5);
    now += S + 1;
    breaker_settle(&w, &c, now, &changed);
    assert_int_equal(changed.from, HARDY_CLOSED);
    assert_int_equal(changed.to, HARDY_OPEN);
    assert_int_equal(stats().times_opened, 1);
    breaker_settle(&w, &c, now, &changed);
    assert_int_equal(changed.from, changed.to);
}

static void hung_calls_are_in_the_shares_once(void **unused) {
    (void)unused;
    fresh_rate(0, 100);
    c.slow_call_rate = 0.5;
    c.slow_call = S;
    calls(6, HARDY_SUCCESS);
    begin(4);
    now += 2 * S;
    for (int ended = 0; ended <= 4; ended++) {
        assert_int_equal(stats().hung_calls, 4 - ended);
        assert_int_equal(stats().recent_calls, 10);
        assert_true(stats().slow_call_rate == 0.4);
        if (ended < 4) {
            record(&out[ended], HARDY_SUCCESS);
        }
    }
    assert_int_equal(stats().total_slow, 4);
    assert_int_equal(stats().total_calls, 10);
}

/* Without shares there are none, whoever hangs. */
static void hung_calls_make_no_shares(void **unused) {
    (void)unused;
    fresh(NULL);
    c.slow_call = S;
    begin(2);
    now += 2 * S;
    hardy_breaker_stats s = stats();
    assert_int_equal(s.hung_calls, 2);
    assert_int_equal(s.recent_failures, 2);
    assert_int_equal(s.recent_calls, 0);
    assert_true(s.failure_rate == -1 && s.slow_call_rate == -1);
}

static void hung_calls_are_in_no_row(void **unused) {
    (void)unused;
    fresh(NULL);
    c.failure_mode = HARDY_CONSECUTIVE;
    c.slow_call = S;
    begin(10);
    now += HARDY_MINUTE;
    assert_int_equal(stats().hung_calls, 10);
    assert_int_equal(stats().recent_failures, 0);
    call(HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_CLOSED);
    end(4, HARDY_SUCCESS); /* slow */
    assert_int_equal(state(), HARDY_CLOSED);
    record(&out[4], HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_OPEN);
}

static void more_than_are_watched_are_judged_at_their_end(void **unused) {
    (void)unused;
    fresh_rate(0, 1000);
    c.slow_call_rate = 1;
    c.slow_call = S;
    begin(MANY);
    now += 2 * S;
    assert_int_equal(stats().hung_calls, BREAKER_WATCHED);
    end(MANY, HARDY_SUCCESS);
    assert_int_equal(stats().hung_calls, 0);
    assert_int_equal(stats().recent_calls, MANY);
    assert_int_equal(stats().total_slow, MANY);
    begin(BREAKER_WATCHED); /* all places are free again */
    now += 2 * S;
    assert_int_equal(stats().hung_calls, BREAKER_WATCHED);
}

/* A call that never ends counts as long as a slow one would that had ended. */
static void the_dead_are_not_waited_for(void **unused) {
    (void)unused;
    fresh_rate(0, 1000);
    c.slow_call_rate = 1;
    c.slow_call = S;
    begin(BREAKER_WATCHED);
    now += c.slow_call + c.failure_window - 1;
    assert_int_equal(stats().hung_calls, BREAKER_WATCHED);
    now += 1;
    assert_int_equal(stats().hung_calls, 0);
    hardy_permit other = admitted();
    assert_int_equal(other.kind, PERMIT_WATCHED);
    now += 2 * S;
    assert_int_equal(stats().hung_calls, 1);
    end(BREAKER_WATCHED, HARDY_SUCCESS); /* they come after all, and end nobody else's watch */
    assert_int_equal(stats().hung_calls, 1);
    assert_int_equal(stats().recent_calls, BREAKER_WATCHED + 1);
    assert_int_equal(stats().total_slow, BREAKER_WATCHED);
}

static void progress_stops_slowness(void **unused) {
    (void)unused;
    fresh_rate(0, 3);
    c.slow_call_rate = 0.5;
    c.slow_call = S;
    begin(4);
    now += S;
    for (int i = 0; i < 3; i++) {
        breaker_progress(&w, &c, &out[i], now);
        breaker_progress(&w, &c, &out[i], now);
    }
    now += HARDY_HOUR;
    assert_int_equal(stats().hung_calls, 0); /* and the fourth is not waited for any more */
    assert_int_equal(state(), HARDY_CLOSED);
    end(3, HARDY_SUCCESS);
    assert_int_equal(stats().total_slow, 0);
    breaker_progress(&w, &c, &out[3], now); /* too late for this one */
    breaker_progress(&w, &c, &out[3], now);
    record(&out[3], HARDY_SUCCESS);
    assert_int_equal(stats().total_slow, 1);
    breaker_progress(&w, &c, &out[0], now); /* it is over */
    assert_int_equal(out[0].kind, 0);
    assert_int_equal(stats().total_calls, 4);
    assert_int_equal(state(), HARDY_CLOSED); /* one of four */
    fresh(NULL);
    begin(1);
    breaker_progress(&w, &c, &out[0], now); /* without slow_call it is nothing */
    record(&out[0], HARDY_SLOW);
    assert_int_equal(stats().total_slow, 1);
}

/* Of a trial as well. */
static void progress_of_a_trial(void **unused) {
    (void)unused;
    fresh(NULL);
    c.slow_call = S;
    c.success_threshold = 1;
    calls(5, HARDY_FAILURE);
    now += c.recovery_timeout;
    hardy_permit trial = admitted();
    now += S;
    breaker_progress(&w, &c, &trial, now);
    now += 50 * S;
    record(&trial, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_CLOSED);
}

static void late_results_count_in_the_totals_only(void **unused) {
    (void)unused;
    for (int kind = 0; kind < 6; kind++) {
        bool watched = kind >= 3;
        fresh_rate(0.5, 5);
        c.window_calls = kind % 3 == 1 ? 20 : 0;
        c.slow_call = watched ? HARDY_HOUR : 0;
        if (kind % 3 == 2) {
            c.failure_mode = HARDY_CONSECUTIVE;
            c.failure_rate = 0;
        }
        begin(30);
        calls(5, HARDY_FAILURE);
        assert_int_equal(state(), HARDY_OPEN);
        end(5, HARDY_SUCCESS);
        now += c.recovery_timeout;
        hardy_permit trial = admitted();
        for (int i = 5; i < 15; i++) {
            record(&out[i], i % 2 ? HARDY_SUCCESS : HARDY_FAILURE);
            assert_int_equal(state(), HARDY_HALF_OPEN);
        }
        record(&trial, HARDY_SUCCESS);
        call(HARDY_SUCCESS);
        assert_int_equal(state(), HARDY_CLOSED);
        for (int i = 15; i < 30; i++) {
            record(&out[i], HARDY_FAILURE);
        }
        hardy_breaker_stats s = stats();
        assert_int_equal(s.state, HARDY_CLOSED);
        assert_int_equal(s.recent_calls, 0);
        assert_int_equal(s.recent_failures, 0);
        assert_int_equal(s.total_calls, 37);
        assert_int_equal(s.total_failures, 5 + 5 + 15);
    }
}

/* --- trials ------------------------------------------------------------------------------------
 */

static void a_ratio_decides_as_soon_as_it_must(void **unused) {
    (void)unused;
    static const double rates[] = {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1};
    struct prng p;
    prng_seed(&p, 2);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (uint32_t most = 1; most <= 32; most++) {
            for (int run = 0; run < 20; run++) {
                fresh_rate(rates[i], 1);
                c.trial_decision = HARDY_TRIALS_RATIO;
                c.success_threshold = most;
                c.half_open_max_calls = 1;
                call(HARDY_FAILURE);
                now += c.recovery_timeout;
                uint32_t successes = 0, failures = 0;
                hardy_breaker_state expected = HARDY_HALF_OPEN;
                while (expected == HARDY_HALF_OPEN) {
                    assert_true(successes + failures < most);
                    bool good = prng_below(&p, (uint64_t)run % 5 + 1) != 0;
                    call(HARDY_IGNORED);
                    call(good ? HARDY_SUCCESS : HARDY_FAILURE);
                    *(good ? &successes : &failures) += 1;
                    if ((double)failures / most >= rates[i]) {
                        expected = HARDY_OPEN;
                    } else if ((double)(most - successes) / most < rates[i]) {
                        expected = HARDY_CLOSED; /* whatever the rest would do */
                    }
                    assert_int_equal(state(), expected);
                }
            }
        }
    }
}

/* --- the pause ---------------------------------------------------------------------------------
 */

/* Opens it, waits, and lets a trial fail so many times; it is open then. */
static void fail_trials(int count) {
    while (state() == HARDY_CLOSED) {
        call(HARDY_FAILURE);
    }
    for (int i = 0; i < count; i++) {
        now += stats().time_until_retry;
        call(HARDY_FAILURE);
    }
}

static void close_it(void) {
    now += stats().time_until_retry;
    calls(c.success_threshold, HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_CLOSED);
}

static void expect_pause(int64_t span) {
    assert_int_equal(state(), HARDY_OPEN);
    assert_int_equal(stats().recovery_timeout, span);
    assert_int_equal(stats().time_until_retry, span);
}

static void fresh_growing(double factor, int64_t most) {
    fresh(NULL);
    c.recovery_timeout = 10 * S;
    c.recovery_factor = factor;
    c.recovery_max = most;
}

static void pauses_grow_up_to_their_maximum(void **unused) {
    (void)unused;
    fresh_growing(2, 60 * S);
    static const int64_t expected[] = {10, 20, 40, 60, 60, 60};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        fail_trials(i > 0);
        expect_pause(expected[i] * S);
    }
    fresh_growing(1, 60 * S);
    fail_trials(20);
    expect_pause(10 * S);
    fresh_growing(3, 5 * S); /* a maximum below it */
    fail_trials(3);
    expect_pause(10 * S);
    fresh_growing(1.001, HARDY_DAY); /* slowly, and no further than it can tell */
    fail_trials(200);
    assert_in_range(stats().recovery_timeout, 10300 * MS, 10320 * MS);
}

static void opening_soon_after_closing_is_a_step_up(void **unused) {
    (void)unused;
    fresh_growing(2, HARDY_HOUR);
    for (int64_t span = 10 * S; span < 200 * S; span *= 2) {
        fail_trials(0);
        expect_pause(span);
        close_it();
        now += c.failure_window - MS;
    }
    fail_trials(0);
    expect_pause(320 * S);
    /* Each window closed is a step back, which the step up of the next opening makes good for. */
    close_it();
    now += c.failure_window;
    fail_trials(0);
    expect_pause(320 * S);
    close_it();
    now += 3 * c.failure_window;
    fail_trials(0);
    expect_pause(80 * S);
    close_it();
    now += 100 * c.failure_window;
    fail_trials(0);
    expect_pause(10 * S);
}

/* However long the outage was: what could not make the pause longer has not to be worn off. */
static void a_step_back_from_the_maximum(void **unused) {
    (void)unused;
    static const int outages[] = {3, 8, 21, 60, 1000};
    static const int64_t expected[] = {60, 40, 20, 10, 10};
    for (size_t i = 0; i < sizeof outages / sizeof outages[0]; i++) {
        for (int healthy = 0; healthy < 5; healthy++) {
            fresh_growing(2, 60 * S);
            fail_trials(outages[i]);
            expect_pause(60 * S);
            close_it();
            now += healthy * c.failure_window;
            fail_trials(0);
            expect_pause(expected[healthy] * S);
        }
    }
    fresh_growing(1, 60 * S); /* other settings: steps that were none */
    fail_trials(20);
    c.recovery_factor = 2;
    fail_trials(1);
    expect_pause(60 * S);
    close_it();
    now += c.failure_window;
    fail_trials(0);
    expect_pause(40 * S);
    fresh_growing(1.001, HARDY_DAY); /* no further than 31 steps */
    fail_trials(100);
    int64_t longest = stats().recovery_timeout;
    close_it();
    now += 2 * c.failure_window;
    fail_trials(0);
    assert_true(stats().recovery_timeout < longest);
}

static void pauses_are_spread_within_their_range(void **unused) {
    (void)unused;
    static const struct {
        int64_t timeout, most, low, high;
    } rows[] = {
        {10 * S, HARDY_HOUR, 10 * S, 15 * S},
        {10 * S, 12 * S, 10 * S, 12 * S},
        {10 * S, 10 * S, 10 * S, 10 * S},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t least = HARDY_NEVER, longest = 0, sum = 0;
        enum { DRAWS = 4000 };
        for (int k = 0; k < DRAWS; k++) {
            fresh_growing(2, rows[i].most);
            c.recovery_jitter = 0.5;
            now += k;
            fail_trials(0);
            int64_t pause = stats().time_until_retry;
            assert_in_range(pause, rows[i].low, rows[i].high + MS);
            assert_int_equal(stats().recovery_timeout, 10 * S); /* before jitter */
            least = pause < least ? pause : least;
            longest = pause > longest ? pause : longest;
            sum += pause;
        }
        int64_t width = rows[i].high - rows[i].low, middle = rows[i].low + width / 2;
        assert_true(least <= rows[i].low + width / 100 + MS);
        assert_true(longest >= rows[i].high - width / 100);
        assert_in_range(sum / DRAWS, middle - width / 20, middle + width / 20 + MS);
    }
    /* At the maximum it spreads downwards: were it capped afterwards, all would come at once. */
    int64_t least = HARDY_NEVER, longest = 0;
    for (int k = 0; k < 300; k++) {
        fresh_growing(2, 60 * S);
        c.recovery_jitter = 0.5;
        now += k * MS;
        fail_trials(5);
        int64_t pause = stats().time_until_retry;
        assert_in_range(pause, 40 * S, 60 * S + MS);
        least = pause < least ? pause : least;
        longest = pause > longest ? pause : longest;
    }
    assert_true(least < 41 * S && longest > 59 * S);
}

/* --- in shadow ---------------------------------------------------------------------------------
 */

static void shadow_counts_and_tells_and_refuses_nothing(void **unused) {
    (void)unused;
    fresh(NULL);
    c.shadow = true;
    c.close_ramp = 10 * S;
    calls(4, HARDY_FAILURE);
    hardy_permit before = admitted();
    call(HARDY_FAILURE);
    assert_int_equal(changed.from, HARDY_CLOSED);
    assert_int_equal(changed.to, HARDY_OPEN);
    for (int i = 0; i < 100; i++) {
        hardy_permit permit = admitted();
        assert_int_equal(permit.kind, PERMIT_SHADOW);
        record(&permit, i % 2 ? HARDY_SUCCESS : HARDY_FAILURE);
        assert_int_equal(permit.kind, 0);
    }
    hardy_breaker_stats s = stats();
    assert_int_equal(s.state, HARDY_OPEN);
    assert_int_equal(s.total_rejected, 100);
    assert_int_equal(s.total_calls, 5); /* a breaker that refuses would have seen no more */
    assert_int_equal(s.time_until_retry, 0);
    assert_int_equal(s.times_opened, 1);
    now += c.recovery_timeout;
    hardy_permit trials[2] = {admitted(), admitted()}, third = admitted();
    assert_int_equal(stats().total_calls, 7); /* trials that run are among them */
    assert_int_equal(state(), HARDY_HALF_OPEN);
    assert_int_equal(trials[1].kind, PERMIT_TRIAL);
    assert_int_equal(third.kind, PERMIT_SHADOW);
    record(&third, HARDY_FAILURE);
    record(&before, HARDY_FAILURE);
    record(&trials[0], HARDY_SUCCESS);
    assert_int_equal(state(), HARDY_HALF_OPEN);
    record(&trials[1], HARDY_SUCCESS);
    assert_int_equal(changed.to, HARDY_CLOSED);
    for (int i = 0; i < 100; i++) { /* nor at a pace */
        hardy_permit permit = admitted();
        assert_int_equal(permit.kind, i < 2 ? PERMIT_CALL : PERMIT_SHADOW);
        record(&permit, HARDY_SUCCESS);
    }
    assert_int_equal(stats().total_rejected, 100 + 1 + 98);
}

static void forced_open_holds_in_shadow(void **unused) {
    (void)unused;
    fresh(NULL);
    c.shadow = true;
    breaker_force(&w, HARDY_FORCED_OPEN, now + S, now);
    refused();
    assert_int_equal(stats().time_until_retry, S);
    now += S;
    admitted();
    breaker_force(&w, HARDY_DISABLED, HARDY_NEVER, now);
    calls(50, HARDY_FAILURE);
    assert_int_equal(state(), HARDY_DISABLED);
    assert_int_equal(stats().recent_failures, 0);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(opens_at_the_share_and_not_below),
        TEST(stays_closed_below_minimum_calls),
        TEST(shares_are_of_calls_that_ended),
        TEST(a_success_never_opens),
        TEST(five_failures_of_eighty_thousand),
        TEST(a_share_does_not_stand_in_for_the_threshold),
        TEST(a_time_window_slides_in_small_steps),
        TEST(the_steps_are_as_documented),
        TEST(what_is_old_does_not_come_back),
        TEST(late_counts_are_in_the_totals),
        TEST(old_failures_do_not_come_back_while_all_is_well),
        TEST(a_window_of_calls_slides_by_single_calls),
        TEST(a_window_of_calls_after_millions),
        TEST(slow_is_what_took_longer),
        TEST(slow_calls_have_a_share_of_their_own),
        TEST(a_slow_trial_fails),
        TEST(hung_calls_open_it_before_they_end),
        TEST(settling_opens_it_as_well),
        TEST(hung_calls_are_in_the_shares_once),
        TEST(hung_calls_make_no_shares),
        TEST(hung_calls_are_in_no_row),
        TEST(more_than_are_watched_are_judged_at_their_end),
        TEST(the_dead_are_not_waited_for),
        TEST(progress_stops_slowness),
        TEST(progress_of_a_trial),
        TEST(late_results_count_in_the_totals_only),
        TEST(a_ratio_decides_as_soon_as_it_must),
        TEST(pauses_grow_up_to_their_maximum),
        TEST(opening_soon_after_closing_is_a_step_up),
        TEST(a_step_back_from_the_maximum),
        TEST(pauses_are_spread_within_their_range),
        TEST(shadow_counts_and_tells_and_refuses_nothing),
        TEST(forced_open_holds_in_shadow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
