/* SPDX-License-Identifier: Apache-2.0 */
/* The pace of closing that is given, and what of a breaker outlives its process. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/breaker.h"
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (1000 * S)

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

static void by_rate(double failures, double slow, uint32_t minimum) {
    c.failure_mode = HARDY_FAILURE_RATE;
    c.failure_rate = failures;
    c.slow_call_rate = slow;
    c.minimum_calls = minimum;
}

static bool acquire(hardy_permit *permit) {
    int64_t at = -1, peeked = -1;
    bool would = breaker_peek(&w, &c, now, &peeked);
    bool got = breaker_acquire(&w, &c, now, 0, permit, &at, NULL);
    assert_true(would == got);
    return got;
}

static hardy_permit admitted(void) {
    hardy_permit permit = {0};
    assert_true(acquire(&permit));
    return permit;
}

static void refused(void) {
    hardy_permit permit = {0};
    assert_false(acquire(&permit));
}

static void record(hardy_permit *permit, hardy_outcome_class outcome) {
    breaker_record(&w, &c, permit, outcome, now, NULL);
}

static void calls(int count, hardy_outcome_class outcome) {
    for (int i = 0; i < count; i++) {
        hardy_permit permit = admitted();
        record(&permit, outcome);
    }
}

static hardy_breaker_stats stats(void) {
    hardy_breaker_stats s;
    assert_int_equal(breaker_check(&c, NULL), HARDY_OK);
    breaker_stats(&w, &c, now, &s);
    return s;
}

static void expect_state(hardy_breaker_state expected) {
    assert_int_equal(stats().state, expected);
}

static void open_it(void) {
    for (int i = 0; i < 1000 && stats().state == HARDY_CLOSED; i++) {
        calls(1, HARDY_FAILURE);
    }
    expect_state(HARDY_OPEN);
}

static int64_t open_for(void) {
    hardy_breaker_stats s = stats();
    assert_int_equal(s.state, HARDY_OPEN);
    return s.time_until_retry;
}

static void fail_a_trial(void) {
    now += open_for();
    calls(1, HARDY_FAILURE);
}

/* --- the pace after closing ----------------------------------------------------------------------
 */

static uint64_t flood(int most) {
    uint64_t in = 0;
    hardy_permit permit;
    for (int i = 0; i < most && acquire(&permit); i++) {
        record(&permit, HARDY_SUCCESS);
        in++;
    }
    return in;
}

static void close_it(void) {
    open_it();
    now += 60 * S;
    calls((int)c.success_threshold, HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void closing_keeps_the_pace_that_is_given(void **state) {
    (void)state;
    c.close_ramp = 20 * S;
    c.close_rate = 50;
    close_it();
    /* A herd that asks each millisecond. */
    uint64_t in[20] = {0};
    int64_t closed = now;
    for (int ms = 0; ms < 20000; ms++) {
        now = closed + ms * MS;
        in[ms / 1000] += flood(1000);
    }
    for (int second = 0; second < 20; second++) {
        assert_in_range(in[second], 49, 51);
    }
    now = closed + 20 * S;
    assert_int_equal(flood(1000), 1000);
}

static void a_pace_that_was_not_used_is_lost(void **state) {
    (void)state;
    c.close_ramp = HARDY_MINUTE;
    c.close_rate = 10;
    close_it();
    now += 30 * S;
    assert_int_equal(flood(1000), 1);
    int64_t wait = stats().time_until_retry;
    assert_in_range(wait, 99 * MS, 101 * MS);
    now += wait - 1;
    refused();
    now += 1;
    assert_int_equal(flood(1000), 1);
    now += HARDY_MINUTE;
    assert_int_equal(flood(1000), 1000);
}

/* Other settings while it is paced: neither all at once nor nobody. */
static void a_pace_that_changes_goes_on(void **state) {
    (void)state;
    c.close_ramp = 20 * S;
    c.close_rate = 50;
    close_it();
    for (int ms = 0; ms < 4000; ms += 10) {
        flood(1000);
        now += 10 * MS;
    }
    c.close_rate = 0; /* 2 a second, doubled four times: 16 to 32 in all until the fifth second */
    uint64_t in = 0;
    for (int ms = 0; ms < 1000; ms += 10) {
        in += flood(1000);
        now += 10 * MS;
    }
    assert_in_range(in, 28, 34);
    c.close_rate = 50;
    in = 0;
    for (int ms = 0; ms < 1000; ms += 10) {
        in += flood(1000);
        now += 10 * MS;
    }
    assert_in_range(in, 49, 51);
}

/* --- snapshots ----------------------------------------------------------------------------------
 */

static unsigned char taken[BREAKER_SNAPSHOT];

static void take(void) {
    breaker_save(&w, &c, now, taken);
}

static hardy_status restore(int64_t elapsed) {
    return breaker_restore(&w, &c, taken, sizeof taken, elapsed, now, NULL);
}

/* Into another process, with a clock that began elsewhere. */
static void move(int64_t elapsed, int64_t clock) {
    take();
    memset(&w, 0, sizeof w);
    now = clock;
    assert_int_equal(restore(elapsed), HARDY_OK);
}

static void open_stays_open_for_what_is_left(void **state) {
    (void)state;
    open_it();
    now += 20 * S;
    move(0, 5 * S);
    assert_in_range(open_for(), 40 * S, 40 * S + MS);
    assert_int_equal(stats().times_opened, 1);
    assert_int_equal(stats().total_failures, 5);
    move(30 * S, 77 * S);
    assert_in_range(open_for(), 10 * S, 10 * S + 2 * MS);
    move(HARDY_HOUR, 3 * S);
    calls(2, HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void what_was_set_by_hand_holds(void **state) {
    (void)state;
    breaker_force(&w, HARDY_FORCED_OPEN, HARDY_NEVER, now);
    move(HARDY_HOUR, 5 * S);
    expect_state(HARDY_FORCED_OPEN);
    assert_true(stats().time_until_retry == HARDY_NEVER);
    breaker_force(&w, HARDY_DISABLED, now + 60 * S, now);
    move(59 * S, START);
    expect_state(HARDY_DISABLED);
    now += 2 * S;
    expect_state(HARDY_CLOSED);
}

static void trials_go_on_where_they_were(void **state) {
    (void)state;
    c.success_threshold = 3;
    open_it();
    now += 60 * S;
    calls(2, HARDY_SUCCESS);
    hardy_permit hanging = admitted();
    move(S, 5 * S);
    expect_state(HARDY_HALF_OPEN);
    record(&hanging, HARDY_FAILURE); /* of another life */
    expect_state(HARDY_HALF_OPEN);
    calls(1, HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void the_level_and_the_pace_come_along(void **state) {
    (void)state;
    c.recovery_factor = 2;
    c.close_ramp = 10 * S;
    open_it();
    fail_a_trial();
    assert_true(open_for() == 120 * S);
    now += 120 * S;
    calls(2, HARDY_SUCCESS);
    now += S;
    move(S, START);
    assert_in_range(flood(1000), 7, 8); /* two seconds after closing: 2 * 2 * 2 */
    now += 10 * S;
    open_it();
    assert_true(open_for() == 240 * S);
    /* A clock that began after it had closed. */
    now += 240 * S;
    calls(2, HARDY_SUCCESS);
    move(30 * S, 2 * S);
    expect_state(HARDY_CLOSED);
    now += 10 * S;
    open_it();
    assert_true(open_for() == 480 * S);
    now += 480 * S;
    calls(2, HARDY_SUCCESS);
    move(HARDY_HOUR, 2 * S); /* thirty windows closed */
    open_it();
    assert_true(open_for() == 60 * S);
}

/* Each way to count: what is one short of opening stays that, and what has left the window by the
 * time it is restored does not come back. */
static void counts_come_along(void **state) {
    for (int mode = 0; mode < 5; mode++) {
        for (int gone = 0; gone <= 1; gone++) {
            fresh(state);
            switch (mode) {
            case 0:
                break;
            case 1:
                c.failure_mode = HARDY_CONSECUTIVE;
                break;
            case 2:
                c.failure_rate = 0.5;
                break;
            default:
                by_rate(0.5, 0, 10);
                c.window_calls = mode == 4 ? 20 : 0;
            }
            calls(5, HARDY_SUCCESS);
            calls(4, HARDY_FAILURE);
            hardy_breaker_stats before = stats(), after;
            move(gone ? HARDY_HOUR : S, 3 * HARDY_HOUR + 7);
            after = stats();
            bool remembers = !gone || mode == 1 || mode == 4; /* no time is asked for there */
            assert_int_equal(after.recent_failures, remembers ? before.recent_failures : 0);
            assert_int_equal(after.recent_calls, remembers ? before.recent_calls : 0);
            assert_int_equal(after.total_calls, 9);
            assert_int_equal(after.total_successes, 5);
            calls(1, HARDY_FAILURE);
            expect_state(remembers ? HARDY_OPEN : HARDY_CLOSED);
        }
    }
}

/* The oldest failure is the first to be forgotten, as it would have been. */
static void the_order_of_failures_comes_along(void **state) {
    (void)state;
    c.failure_threshold = 3;
    c.failure_window = 10 * S;
    for (int i = 0; i < 4; i++) { /* 0s, 9s, 18s, 27s: never three in ten seconds */
        calls(1, HARDY_FAILURE);
        now += 9 * S;
    }
    now -= 9 * S;
    move(0, 5000 * S);
    now += 3 * S / 2;
    calls(1, HARDY_FAILURE); /* takes the place of that of 9s, not of 27s */
    expect_state(HARDY_CLOSED);
    assert_int_equal(stats().recent_failures, 2);
    calls(1, HARDY_FAILURE);
    expect_state(HARDY_OPEN);
}

static void bits_of_calls_come_along_anywhere(void **state) {
    struct prng p;
    prng_seed(&p, 13);
    for (int run = 0; run < 60; run++) {
        fresh(state);
        by_rate(1, 1, 1);
        c.window_calls = c.minimum_calls = 2 + (uint32_t)prng_below(&p, 1023);
        int many = (int)prng_below(&p, 3000);
        for (int n = 0; n < many && stats().state == HARDY_CLOSED; n++) {
            static const hardy_outcome_class any[] = {HARDY_SUCCESS, HARDY_FAILURE, HARDY_SLOW};
            calls(1, any[prng_below(&p, 3)]);
        }
        if (stats().state != HARDY_CLOSED) {
            continue;
        }
        hardy_breaker_stats before = stats();
        move(0, START);
        hardy_breaker_stats after = stats();
        assert_memory_equal(&before, &after, sizeof before);
        unsigned char first[sizeof taken];
        memcpy(first, taken, sizeof taken);
        take();
        assert_memory_equal(first, taken, sizeof taken);
    }
}

static void other_settings_keep_the_state_only(void **state) {
    (void)state;
    calls(4, HARDY_FAILURE);
    take();
    c.failure_window = 60 * S;
    assert_int_equal(restore(0), HARDY_OK);
    assert_int_equal(stats().recent_failures, 0);
    assert_int_equal(stats().total_failures, 4);
    c.success_threshold = 8;
    open_it();
    now += 60 * S;
    calls(7, HARDY_SUCCESS);
    take();
    c.success_threshold = 2; /* seven are more than enough: begin again, or nobody would decide */
    assert_int_equal(restore(0), HARDY_OK);
    expect_state(HARDY_HALF_OPEN);
    calls(1, HARDY_SUCCESS);
    expect_state(HARDY_HALF_OPEN);
    calls(1, HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

/* Whatever it is told, though it be forged, it either says no and stays what it was, or is a
 * breaker that works. */
static void hostile_bytes(void **state) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    by_rate(0.5, 0.5, 4);
    calls(3, HARDY_FAILURE);
    take();
    unsigned char good[sizeof taken];
    memcpy(good, taken, sizeof taken);
    for (size_t length = 0; length < sizeof taken; length += length < 16 ? 1 : 97) {
        assert_int_equal(breaker_restore(&w, &c, taken, length, 0, now, &error), HARDY_E_INVALID);
    }
    assert_int_equal(restore(-1), HARDY_E_INVALID);
    memcpy(taken, good, sizeof taken);
    taken[8] = HARDY_OPEN;
    taken[8 + 4 + 7] = 0x7f;
    breaker_seal(taken);
    assert_int_equal(breaker_restore(&w, &c, taken, sizeof taken, 0, now, &error), HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "open for more than 48h"));
    memcpy(taken, good, sizeof taken);
    taken[sizeof taken - 9] = 1; /* a slow call, in a window of none */
    breaker_seal(taken);
    assert_int_equal(breaker_restore(&w, &c, taken, sizeof taken, 0, now, &error), HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "more calls failed than there were"));
    memcpy(taken, good, sizeof taken);
    taken[7] = 2;
    assert_int_equal(breaker_restore(&w, &c, taken, sizeof taken, 0, now, &error), HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "of another version"));
    for (size_t bit = 0; bit < 8 * sizeof taken; bit++) { /* one is wrong: it is seen, always */
        memcpy(taken, good, sizeof taken);
        taken[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(restore(0), HARDY_E_INVALID);
    }
    assert_int_equal(stats().recent_failures, 3);
    struct prng p;
    prng_seed(&p, 14);
    int taken_over = 0;
    for (int run = 0; run < 3000; run++) {
        fresh(state);
        c.close_ramp = 10 * S;
        if (run % 2) {
            by_rate(0.5, 0.5, 4);
            c.window_calls = run % 4 == 1 ? 64 : 0;
        }
        take();
        int flips = 1 + (int)prng_below(&p, 30);
        for (int i = 0; i < flips; i++) {
            size_t at = 8 + (size_t)prng_below(&p, run % 3 ? sizeof taken - 8 : 24);
            taken[at] = (unsigned char)prng_next(&p);
        }
        breaker_seal(taken);
        int64_t elapsed = prng_below(&p, 2) ? 0 : (int64_t)(prng_next(&p) >> 1);
        if (restore(elapsed) != HARDY_OK) {
            assert_memory_equal(&w, (&(struct breaker_words){0}), sizeof w);
            continue;
        }
        taken_over++;
        /* Never stuck, but where it was set by hand. */
        for (int i = 0; i < 200; i++) {
            hardy_permit permit;
            hardy_breaker_stats s = stats();
            if (s.state == HARDY_FORCED_OPEN || s.state == HARDY_DISABLED) {
                breaker_force(&w, HARDY_CLOSED, 0, now);
            }
            if (acquire(&permit)) {
                record(&permit, HARDY_SUCCESS);
            } else {
                now += 49 * HARDY_HOUR;
            }
        }
        expect_state(HARDY_CLOSED);
    }
    assert_true(taken_over > 300);
}

static void the_public_snapshot(void **state) {
    (void)state;
    hardy_breaker *a, *b;
    assert_int_equal(hardy_breaker_new(&c, &a, NULL), HARDY_OK);
    assert_int_equal(hardy_breaker_new(&c, &b, NULL), HARDY_OK);
    unsigned char bytes[2048] = {0};
    size_t size = hardy_breaker_snapshot(a, now, NULL, 0);
    assert_true(size > 0 && size <= sizeof bytes);
    assert_int_equal(hardy_breaker_snapshot(a, now, bytes, size - 1), size);
    assert_int_equal(bytes[0], 0);
    for (int i = 0; i < 5; i++) {
        hardy_permit permit;
        assert_int_equal(hardy_breaker_acquire(a, now, &permit, NULL), HARDY_OK);
        hardy_breaker_record(a, &permit, HARDY_FAILURE, now);
    }
    assert_int_equal(hardy_breaker_snapshot(a, now, bytes, sizeof bytes), size);
    assert_int_equal(hardy_breaker_restore(b, bytes, sizeof bytes, 0, now, NULL), HARDY_E_INVALID);
    assert_int_equal(hardy_breaker_restore(b, bytes, size, 10 * S, 3 * S, NULL), HARDY_OK);
    hardy_permit permit;
    int64_t retry_after;
    assert_int_equal(hardy_breaker_acquire(b, 3 * S, &permit, &retry_after), HARDY_E_OPEN);
    assert_true(retry_after == 50 * S);
    hardy_breaker_free(a);
    hardy_breaker_free(b);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(closing_keeps_the_pace_that_is_given),
        TEST(a_pace_that_was_not_used_is_lost),
        TEST(a_pace_that_changes_goes_on),
        TEST(open_stays_open_for_what_is_left),
        TEST(what_was_set_by_hand_holds),
        TEST(trials_go_on_where_they_were),
        TEST(the_level_and_the_pace_come_along),
        TEST(counts_come_along),
        TEST(the_order_of_failures_comes_along),
        TEST(bits_of_calls_come_along_anywhere),
        TEST(other_settings_keep_the_state_only),
        TEST(hostile_bytes),
        TEST(the_public_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
