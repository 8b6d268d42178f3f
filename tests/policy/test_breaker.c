/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/breaker.h"
#include <stdlib.h>
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
    now = START;
    return 0;
}

static bool peek(void) {
    int64_t at = -1;
    return breaker_peek(&w, &c, now, &at);
}

/* A call that must be let through. */
static hardy_permit admitted(void) {
    hardy_permit permit = {0};
    int64_t at = -1;
    assert_true(peek());
    assert_true(breaker_acquire(&w, &c, now, 0, &permit, &at, NULL));
    assert_int_not_equal(permit.kind, 0);
    return permit;
}

/* A call that must be refused; when it may ask again, from now. */
static int64_t refused(void) {
    hardy_permit permit = {.kind = 9};
    int64_t at = -1, peeked = -2;
    assert_false(breaker_peek(&w, &c, now, &peeked));
    assert_false(breaker_acquire(&w, &c, now, 0, &permit, &at, NULL));
    assert_int_equal(permit.kind, 0);
    assert_true(at == peeked);
    return at == HARDY_NEVER ? HARDY_NEVER : at - now;
}

static struct breaker_change record(hardy_permit *permit, hardy_outcome_class outcome) {
    struct breaker_change change;
    breaker_record(&w, &c, permit, outcome, now, &change);
    assert_int_equal(permit->kind, 0);
    return change;
}

static void call(hardy_outcome_class outcome) {
    hardy_permit permit = admitted();
    record(&permit, outcome);
}

static hardy_breaker_stats stats(void) {
    hardy_breaker_stats s;
    breaker_stats(&w, &c, now, &s);
    return s;
}

static void expect_state(hardy_breaker_state expected) {
    assert_int_equal(stats().state, expected);
}

static void open_it(void) {
    for (uint32_t i = 0; i < c.failure_threshold; i++) {
        expect_state(HARDY_CLOSED);
        call(HARDY_FAILURE);
    }
    expect_state(HARDY_OPEN);
}

static void close_it(void) {
    open_it();
    now += c.recovery_timeout;
    for (uint32_t i = 0; i < c.success_threshold; i++) {
        call(HARDY_SUCCESS);
    }
    expect_state(HARDY_CLOSED);
}

static void defaults(void **state) {
    (void)state;
    assert_int_equal(c.failure_threshold, 5);
    assert_true(c.failure_window == 120 * S && c.recovery_timeout == 60 * S);
    assert_int_equal(c.success_threshold, 2);
    assert_int_equal(c.half_open_max_calls, 2);
    assert_int_equal(breaker_check(&c, NULL), HARDY_OK);
}

static void opens_when_the_last_failures_lie_in_the_window(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        call(HARDY_FAILURE);
        call(HARDY_SUCCESS);
        now += 30 * S - (i == 0) * MS; /* the first is 120s - 1ms old when the fifth comes */
    }
    assert_int_equal(stats().recent_failures, 4);
    hardy_permit permit = admitted();
    struct breaker_change change = record(&permit, HARDY_FAILURE);
    assert_int_equal(change.from, HARDY_CLOSED);
    assert_int_equal(change.to, HARDY_OPEN);
    assert_int_equal(stats().times_opened, 1);
}

static void stays_closed_when_they_do_not(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        call(HARDY_FAILURE);
        now += 30 * S;
    }
    expect_state(HARDY_CLOSED);
    assert_int_equal(stats().recent_failures, 3);
}

/* Against a plain list of failures, for thresholds and windows of all sizes. */
static void opens_exactly_when_a_list_says_so(void **state) {
    struct prng p;
    prng_seed(&p, 3);
    for (int run = 0; run < 300; run++) {
        fresh(state);
        c.failure_threshold = 1 + (uint32_t)prng_below(&p, 64);
        c.failure_window = (int64_t)(1 + prng_below(&p, 1000)) * MS;
        int64_t failures[400];
        size_t count = 0;
        for (;;) {
            now += (int64_t)prng_below(&p, 2000 / c.failure_threshold + 2) * MS / 2;
            now -= now % MS;
            hardy_outcome_class outcome = (hardy_outcome_class)prng_below(&p, 5);
            call(outcome);
            if (outcome == HARDY_FAILURE || outcome == HARDY_SLOW) {
                failures[count++] = now;
            }
            uint32_t inside = 0;
            for (size_t i = 0; i < count; i++) {
                inside += failures[i] > now - c.failure_window;
            }
            bool reached = inside >= c.failure_threshold;
            assert_int_equal(stats().state, reached ? HARDY_OPEN : HARDY_CLOSED);
            if (reached || count == 400) {
                break;
            }
            assert_int_equal(stats().recent_failures, inside);
        }
    }
}

static void rejects_until_it_has_recovered(void **state) {
    (void)state;
    now += 1; /* between two milliseconds: never open for less than the time-out */
    open_it();
    int64_t opened = now;
    assert_in_range(refused(), 60 * S, 60 * S + MS);
    now += 60 * S - 1;
    int64_t left = refused();
    assert_in_range(left, 1, MS);
    assert_int_equal(stats().time_until_retry, left);
    now += left;
    assert_int_equal(stats().time_until_retry, 0);
    assert_true(now - opened >= 60 * S);
    assert_int_equal(admitted().kind, 2);
    expect_state(HARDY_HALF_OPEN);
    assert_int_equal(stats().total_rejected, 2);
}

static void half_open_lets_so_many_through_at_once(void **state) {
    (void)state;
    c.half_open_max_calls = 3;
    c.success_threshold = 5;
    open_it();
    now += 60 * S;
    hardy_permit a = admitted(), b = admitted(), d = admitted();
    assert_true(refused() > 0);
    assert_true(a.slot != b.slot && b.slot != d.slot && a.slot != d.slot);
    record(&b, HARDY_SUCCESS);
    hardy_permit e = admitted();
    refused();
    record(&a, HARDY_SUCCESS);
    record(&d, HARDY_SUCCESS);
    record(&e, HARDY_SUCCESS);
    expect_state(HARDY_HALF_OPEN);
    hardy_permit f = admitted();
    struct breaker_change change = record(&f, HARDY_SUCCESS);
    assert_int_equal(change.from, HARDY_HALF_OPEN);
    assert_int_equal(change.to, HARDY_CLOSED);
}

static void one_failed_trial_opens_it_again(void **state) {
    (void)state;
    open_it();
    /* The window's failures have long left it, and still one is enough. */
    now += 10 * HARDY_HOUR;
    hardy_permit good = admitted(), bad = admitted();
    record(&good, HARDY_SUCCESS);
    struct breaker_change change = record(&bad, HARDY_SLOW);
    assert_int_equal(change.to, HARDY_OPEN);
    assert_true(refused() == 60 * S);
    assert_int_equal(stats().times_opened, 2);
    /* The success before it does not count any more. */
    now += 60 * S;
    call(HARDY_SUCCESS);
    expect_state(HARDY_HALF_OPEN);
}

static void late_results_are_ignored(void **state) {
    (void)state;
    hardy_permit old[8];
    for (int i = 0; i < 8; i++) {
        old[i] = admitted();
    }
    open_it();
    now += 60 * S;
    hardy_permit trial = admitted();
    for (int i = 0; i < 4; i++) {
        record(&old[i], HARDY_SUCCESS);
    }
    expect_state(HARDY_HALF_OPEN);
    record(&old[4], HARDY_FAILURE);
    record(&old[5], HARDY_IGNORED);
    expect_state(HARDY_HALF_OPEN);
    hardy_permit second = admitted();
    refused();
    record(&trial, HARDY_SUCCESS);
    record(&second, HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
    now += HARDY_MINUTE;
    for (int i = 6; i < 8; i++) {
        record(&old[i], HARDY_FAILURE);
    }
    assert_int_equal(stats().recent_failures, 0);
}

static void a_late_trial_is_ignored(void **state) {
    (void)state;
    open_it();
    now += 60 * S;
    hardy_permit slow = admitted(), bad = admitted();
    record(&bad, HARDY_FAILURE);
    now += 60 * S;
    hardy_permit next = admitted();
    record(&slow, HARDY_FAILURE);
    expect_state(HARDY_HALF_OPEN);
    record(&next, HARDY_SUCCESS);
    call(HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void a_hung_trial_loses_its_slot(void **state) {
    (void)state;
    c.half_open_max_calls = 1;
    c.success_threshold = 2;
    open_it();
    now += 60 * S;
    hardy_permit hung = admitted();
    assert_true(hung.deadline == now + 60 * S);
    now += 60 * S - 1;
    assert_true(refused() <= 1 * S);
    now += 1;
    hardy_permit other = admitted();
    assert_int_equal(other.slot, hung.slot);
    record(&hung, HARDY_FAILURE);
    expect_state(HARDY_HALF_OPEN);
    refused(); /* the hung one did not free the slot of the other */
    record(&other, HARDY_SUCCESS);
    call(HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void a_longer_lease_is_respected(void **state) {
    (void)state;
    c.half_open_max_calls = 1;
    open_it();
    now += 60 * S;
    hardy_permit permit;
    int64_t at;
    assert_true(breaker_acquire(&w, &c, now, 300 * S, &permit, &at, NULL));
    assert_true(permit.deadline == now + 300 * S);
    now += 200 * S;
    refused();
    now += 100 * S;
    admitted();
}

static void a_permit_is_given_back_once(void **state) {
    (void)state;
    c.half_open_max_calls = 1;
    c.success_threshold = 3;
    open_it();
    now += 60 * S;
    hardy_permit trial = admitted(), copy = trial;
    record(&trial, HARDY_SUCCESS);
    breaker_record(&w, &c, &trial, HARDY_SUCCESS, now, NULL);
    hardy_permit next = admitted();
    /* Not even through a copy: the slot has another owner, though in the same millisecond. */
    record(&copy, HARDY_FAILURE);
    expect_state(HARDY_HALF_OPEN);
    refused();
    record(&next, HARDY_SUCCESS);
    call(HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void ignored_and_throttled_teach_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        call(i % 2 ? HARDY_IGNORED : HARDY_THROTTLED);
    }
    expect_state(HARDY_CLOSED);
    assert_int_equal(stats().recent_failures, 0);
    c.half_open_max_calls = 1;
    open_it();
    now += 60 * S;
    call(HARDY_IGNORED);
    call(HARDY_THROTTLED);
    expect_state(HARDY_HALF_OPEN);
    call(HARDY_SUCCESS);
    expect_state(HARDY_HALF_OPEN);
    call(HARDY_SUCCESS);
    expect_state(HARDY_CLOSED);
}

static void failures_in_a_row(void **state) {
    (void)state;
    c.failure_mode = HARDY_CONSECUTIVE;
    for (int i = 0; i < 50; i++) {
        call(i % 5 == 4 ? HARDY_SUCCESS : HARDY_FAILURE);
        if (i % 5 == 2) {
            call(HARDY_IGNORED);
        }
    }
    expect_state(HARDY_CLOSED);
    hardy_permit old = admitted();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(stats().recent_failures, i);
        now += HARDY_HOUR; /* no window here */
        call(HARDY_FAILURE);
    }
    expect_state(HARDY_OPEN);
    now += 60 * S;
    call(HARDY_SUCCESS);
    call(HARDY_SUCCESS);
    now += HARDY_MINUTE;
    for (int i = 0; i < 4; i++) {
        call(HARDY_FAILURE);
    }
    record(&old, HARDY_SUCCESS); /* of another life */
    assert_int_equal(stats().recent_failures, 4);
    call(HARDY_FAILURE);
    expect_state(HARDY_OPEN);
}

static void a_healthy_call_writes_its_shard_only(void **state) {
    (void)state;
    for (int mode = 0; mode < 2; mode++) {
        c.failure_mode = (hardy_failure_mode)mode;
        call(HARDY_SUCCESS);
        struct breaker_words before;
        memcpy(&before, &w, sizeof w);
        call(HARDY_SUCCESS);
        assert_memory_equal(&before, &w, offsetof(struct breaker_words, shards));
    }
    open_it();
    struct breaker_words before;
    memcpy(&before, &w, sizeof w);
    refused();
    assert_memory_equal(&before, &w, offsetof(struct breaker_words, shards));
}

/* Admits as many as it can; how many that were. */
static uint64_t flood(uint64_t most) {
    uint64_t count = 0;
    while (count < most && peek()) {
        call(HARDY_SUCCESS);
        count++;
    }
    return count;
}

static void closing_paces_its_callers(void **state) {
    (void)state;
    close_it();
    assert_int_equal(flood(1000), 2);
    /* Until the very nanosecond that was told. */
    int64_t wait = refused();
    assert_in_range(wait, 1, S);
    now += wait - 1;
    refused();
    now += 1;
    assert_int_equal(flood(1000), 1);
    now = START + 60 * S + S;
    assert_int_equal(flood(1000), 1); /* 4 in all */
    uint64_t total = 4;
    for (int second = 2; second < 10; second++) {
        now = START + 60 * S + second * S;
        total += flood(100000);
        assert_int_equal(total, 2u << second);
    }
    now = START + 60 * S + 10 * S - 1;
    flood(100000);
    assert_int_equal(refused(), 1);
    now += 1;
    assert_int_equal(flood(100000), 100000);
    assert_int_equal(stats().time_until_retry, 0);
}

static void refused_by_the_pace_come_in_at_the_told_time(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 5);
    for (int run = 0; run < 50; run++) {
        fresh(state);
        c.success_threshold = 1 + (uint32_t)prng_below(&p, 32);
        c.half_open_max_calls = 1;
        c.close_ramp = (int64_t)prng_below(&p, 12) * S + (int64_t)prng_below(&p, 2000);
        close_it();
        for (int i = 0; i < 200 && peek(); i++) {
            call(HARDY_SUCCESS);
            if (peek()) {
                continue;
            }
            int64_t wait = refused();
            assert_in_range(wait, 1, S);
            now += wait - 1;
            assert_false(peek());
            now += 1;
        }
    }
}

static void no_pace_where_none_is_wanted(void **state) {
    (void)state;
    c.close_ramp = 0;
    close_it();
    assert_int_equal(flood(10000), 10000);
}

static void a_failure_while_paced_counts(void **state) {
    (void)state;
    close_it();
    now += 8 * S;
    open_it();
    now += 60 * S;
    call(HARDY_SUCCESS);
    call(HARDY_SUCCESS);
    assert_int_equal(flood(1000), 2); /* the pace starts anew */
}

static void forced_open(void **state) {
    (void)state;
    breaker_force(&w, HARDY_FORCED_OPEN, now + 600 * S, now);
    expect_state(HARDY_FORCED_OPEN);
    assert_true(refused() == 600 * S);
    now += 600 * S - 1;
    refused();
    now += 1;
    expect_state(HARDY_CLOSED);
    assert_int_equal(flood(100), 2); /* callers have piled up: paced */
    breaker_force(&w, HARDY_FORCED_OPEN, HARDY_NEVER, now);
    now += 1000 * HARDY_DAY;
    assert_true(refused() == HARDY_NEVER);
    assert_true(stats().time_until_retry == HARDY_NEVER);
    breaker_force(&w, HARDY_CLOSED, 0, now);
    assert_int_equal(flood(100), 100);
    breaker_force(&w, HARDY_HALF_OPEN, 0, now);
    expect_state(HARDY_CLOSED);
    assert_int_equal(stats().times_opened, 0);
}

static void disabled(void **state) {
    (void)state;
    hardy_permit before = admitted();
    breaker_force(&w, HARDY_DISABLED, now + 60 * S, now);
    for (int i = 0; i < 100; i++) {
        call(HARDY_FAILURE);
    }
    hardy_permit during = admitted();
    record(&before, HARDY_FAILURE);
    expect_state(HARDY_DISABLED);
    now += 60 * S;
    expect_state(HARDY_CLOSED);
    assert_int_equal(flood(100), 100);
    record(&during, HARDY_FAILURE);
    assert_int_equal(stats().recent_failures, 0);
    open_it();
    breaker_force(&w, HARDY_CLOSED, 0, now);
    assert_int_equal(flood(100), 100);
}

static void forcing_voids_the_trials(void **state) {
    (void)state;
    open_it();
    now += 60 * S;
    hardy_permit trial = admitted();
    breaker_force(&w, HARDY_CLOSED, 0, now);
    record(&trial, HARDY_FAILURE);
    expect_state(HARDY_CLOSED);
}

static void statistics(void **state) {
    (void)state;
    assert_true(stats().success_rate == 1);
    for (int i = 0; i < 4; i++) {
        call(HARDY_SUCCESS);
    }
    call(HARDY_IGNORED);
    open_it();
    refused();
    refused();
    refused();
    hardy_breaker_stats s = stats();
    assert_int_equal(s.total_calls, 10);
    assert_int_equal(s.total_successes, 4);
    assert_int_equal(s.total_failures, 5);
    assert_int_equal(s.total_rejected, 3);
    assert_true(s.success_rate > 0.444 && s.success_rate < 0.445);
    assert_true(s.time_until_retry == 60 * S);
}

static void generations_wrap_around(void **state) {
    (void)state;
    c.failure_threshold = 1;
    c.success_threshold = 1;
    c.recovery_timeout = MS;
    c.close_ramp = 0;
    for (int i = 0; i < 40000; i++) {
        call(HARDY_FAILURE);
        assert_int_equal(stats().state, HARDY_OPEN);
        now += MS;
        call(HARDY_SUCCESS);
        assert_int_equal(stats().state, HARDY_CLOSED);
    }
    assert_int_equal(stats().times_opened, 40000);
}

static void far_times(void **state) {
    (void)state;
    now = 0;
    close_it();
    fresh(state);
    now = INT64_C(1795395723456000000); /* 2026 as nanoseconds since 1970 */
    close_it();
    assert_int_equal(flood(100), 2);
}

/* Whatever has happened before, peek says what acquire does. */
static void peek_agrees_with_acquire(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 11);
    c.failure_threshold = 3;
    c.recovery_timeout = 50 * MS;
    c.trial_lease = 200 * MS;
    c.close_ramp = 3 * S;
    hardy_permit out[64] = {0};
    int seen[5] = {0};
    for (int i = 0; i < 200000; i++) {
        now += (int64_t)prng_below(&p, 20) * MS / 2;
        hardy_permit *permit = &out[prng_below(&p, 64)];
        if (permit->kind != 0) {
            record(permit,
                   prng_below(&p, 4) ? HARDY_SUCCESS : (hardy_outcome_class)prng_below(&p, 5));
        } else if (prng_below(&p, 2000) == 0) {
            breaker_force(&w, (hardy_breaker_state)prng_below(&p, 5), now + 100 * MS, now);
        } else {
            int64_t at = -1, peeked = -1;
            bool expected = breaker_peek(&w, &c, now, &peeked);
            assert_int_equal(breaker_acquire(&w, &c, now, 0, permit, &at, NULL), expected);
            if (!expected) {
                assert_true(at == peeked && at > now);
            }
        }
        seen[stats().state]++;
    }
    for (int i = 0; i < 5; i++) {
        assert_true(seen[i] > 100);
    }
}

static void the_public_object(void **state) {
    (void)state;
    hardy_breaker *breaker;
    hardy_permit permit;
    hardy_breaker_stats s = {.size = sizeof s};
    int64_t after;
    c.failure_threshold = 1;
    assert_int_equal(hardy_breaker_new(&c, &breaker, NULL), HARDY_OK);
    assert_int_equal(hardy_breaker_acquire(breaker, now, &permit, &after), HARDY_OK);
    hardy_breaker_record(breaker, &permit, HARDY_FAILURE, now);
    assert_int_equal(hardy_breaker_acquire(breaker, now, &permit, &after), HARDY_E_OPEN);
    assert_true(after == 60 * S);
    assert_int_equal(hardy_breaker_acquire(breaker, now, &permit, NULL), HARDY_E_OPEN);
    hardy_breaker_force(breaker, HARDY_DISABLED, HARDY_NEVER, now);
    assert_int_equal(hardy_breaker_acquire(breaker, now, &permit, NULL), HARDY_OK);
    hardy_breaker_get_stats(breaker, now, &s);
    assert_string_equal(hardy_breaker_state_name(s.state), "disabled");
    assert_int_equal(s.total_rejected, 2);
    /* A caller built with less of the structure gets no more than that. */
    unsigned char old[sizeof s];
    memset(old, 0x55, sizeof old);
    size_t half = offsetof(hardy_breaker_stats, success_rate);
    memcpy(old, &half, sizeof half);
    hardy_breaker_get_stats(breaker, now, (hardy_breaker_stats *)(void *)old);
    assert_int_equal(old[half], 0x55);
    hardy_breaker_free(breaker);
    hardy_breaker_free(NULL);
    assert_string_equal(hardy_breaker_state_name(HARDY_HALF_OPEN), "half_open");
    assert_string_equal(hardy_breaker_state_name((hardy_breaker_state)77), "unknown");
}

static void refuses_settings(void **state) {
    static const struct {
        const char *said;
        size_t offset;
        int64_t value;
        bool narrow;
    } rows[] = {
        {"failure_threshold is 0, which should be from 1 to 64",
         offsetof(hardy_breaker_config, failure_threshold), 0, true},
        {"failure_threshold is 65", offsetof(hardy_breaker_config, failure_threshold), 65, true},
        {"failure_mode is 3", offsetof(hardy_breaker_config, failure_mode), 3, true},
        {"failure_window is 0s, which should be from 1ms to 1d",
         offsetof(hardy_breaker_config, failure_window), 0, false},
        {"recovery_timeout is 1d1ms", offsetof(hardy_breaker_config, recovery_timeout),
         HARDY_DAY + MS, false},
        {"success_threshold is 33", offsetof(hardy_breaker_config, success_threshold), 33, true},
        {"half_open_max_calls is 9, which should be from 1 to 8",
         offsetof(hardy_breaker_config, half_open_max_calls), 9, true},
        {"trial_lease is 0s", offsetof(hardy_breaker_config, trial_lease), 0, false},
        {"close_ramp is -1ns", offsetof(hardy_breaker_config, close_ramp), -1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fresh(state);
        hardy_error error;
        hardy_breaker *breaker = NULL;
        hardy_error_init(&error, sizeof error);
        uint32_t narrow = (uint32_t)rows[i].value;
        memcpy((char *)&c + rows[i].offset,
               rows[i].narrow ? (const void *)&narrow : (const void *)&rows[i].value,
               rows[i].narrow ? sizeof narrow : sizeof rows[i].value);
        assert_int_equal(hardy_breaker_new(&c, &breaker, &error), HARDY_E_INVALID);
        assert_null(breaker);
        if (!strstr(error.message, rows[i].said)) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, rows[i].said);
        }
    }
    hardy_breaker_config unset = {0};
    hardy_breaker *breaker;
    assert_int_equal(hardy_breaker_new(&unset, &breaker, NULL), HARDY_E_INVALID);
}

#define TEST(f) cmocka_unit_test_setup(f, fresh)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(opens_when_the_last_failures_lie_in_the_window),
        TEST(stays_closed_when_they_do_not),
        TEST(opens_exactly_when_a_list_says_so),
        TEST(rejects_until_it_has_recovered),
        TEST(half_open_lets_so_many_through_at_once),
        TEST(one_failed_trial_opens_it_again),
        TEST(late_results_are_ignored),
        TEST(a_late_trial_is_ignored),
        TEST(a_hung_trial_loses_its_slot),
        TEST(a_longer_lease_is_respected),
        TEST(a_permit_is_given_back_once),
        TEST(ignored_and_throttled_teach_nothing),
        TEST(failures_in_a_row),
        TEST(a_healthy_call_writes_its_shard_only),
        TEST(closing_paces_its_callers),
        TEST(refused_by_the_pace_come_in_at_the_told_time),
        TEST(no_pace_where_none_is_wanted),
        TEST(a_failure_while_paced_counts),
        TEST(forced_open),
        TEST(disabled),
        TEST(forcing_voids_the_trials),
        TEST(statistics),
        TEST(generations_wrap_around),
        TEST(far_times),
        TEST(peek_agrees_with_acquire),
        TEST(the_public_object),
        TEST(refuses_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
