/* SPDX-License-Identifier: Apache-2.0 */
/* Rate, retry budget and concurrency slots, each in one thread. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <math.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (1000 * S)

/* --- rate ---------------------------------------------------------------------------------- */

static hardy_rate_config rate(double events, int64_t period, double burst) {
    hardy_rate_config c;
    hardy_rate_config_init(&c, sizeof c);
    c.events = events;
    c.period = period;
    c.burst = burst;
    assert_int_equal(rate_check(&c, NULL), HARDY_OK);
    return c;
}

static void a_burst_then_one_by_one(void **state) {
    (void)state;
    static const double rates[] = {1, 3, 7, 10, 50.0 / 60, 1000, 99999};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (int burst = 1; burst <= 9; burst += 4) {
            struct gcra_words w = {0};
            hardy_rate_config c = rate(rates[i], S, burst);
            int64_t at = -1, now = START;
            assert_true(fabs(gcra_available(&w, &c, now) - burst) < 1e-6);
            for (int k = 0; k < burst; k++) {
                assert_true(gcra_reserve(&w, &c, 1, now, now, &at, NULL));
                assert_true(at == now);
            }
            for (int k = 0; k < 5; k++) {
                assert_false(gcra_reserve(&w, &c, 1, now, now, &at, NULL));
                assert_true(at > now && at - now <= (int64_t)(1e9 / rates[i]) + 2);
                /* Exact: a nanosecond before it is refused. */
                assert_false(gcra_reserve(&w, &c, 1, at - 1, at - 1, &now, NULL));
                now = at;
                assert_true(gcra_reserve(&w, &c, 1, now, now, &at, NULL));
            }
        }
    }
}

/* Whoever asks for whatever at whatever time: in no window more than rate * W + burst. */
static void never_more_than_the_rate_and_the_burst(void **state) {
    (void)state;
    enum { MOST = 400 };
    struct prng p;
    prng_seed(&p, 9);
    for (int run = 0; run < 200; run++) {
        struct gcra_words w = {0};
        double burst = 1 + (double)prng_below(&p, 20);
        hardy_rate_config c = rate(1 + (double)prng_below(&p, 500), S, burst);
        int64_t now = START, when[MOST];
        double amount[MOST], period = 1e9 / c.events;
        int count = 0;
        while (count < MOST) {
            now += (int64_t)prng_below(&p, (uint64_t)(2 * period));
            double n = 1 + floor(prng_unit(&p) * burst);
            int64_t at;
            uint64_t mark;
            if (gcra_reserve(&w, &c, n, now, time_add(now, (int64_t)(5 * period)), &at, &mark)) {
                if (prng_below(&p, 8) == 0) {
                    gcra_return(&w, &c, n, mark);
                    continue;
                }
                when[count] = at;
                amount[count++] = n;
            }
        }
        for (int i = 0; i < count; i++) {
            double sum = 0;
            for (int k = i; k < count; k++) {
                sum += amount[k];
                double limit = (double)(when[k] - when[i]) / period + burst;
                assert_true(sum <= limit + 1e-6);
            }
        }
    }
}

static void reservations_queue_up(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = rate(10, S, 1);
    int64_t at;
    for (int i = 0; i < 5; i++) {
        assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
        assert_true(at == START + i * 100 * MS);
    }
    uint64_t before = word_load(&w.arrival);
    assert_false(gcra_reserve(&w, &c, 1, START, START + 499 * MS, &at, NULL));
    assert_true(at == START + 500 * MS);
    assert_true(word_load(&w.arrival) == before);
    assert_true(gcra_available(&w, &c, START) == 0);
    assert_true(gcra_reserve(&w, &c, 0, START, START, &at, NULL) && at == START);
    assert_true(word_load(&w.arrival) == before);
}

static void a_returned_slot_is_used_by_the_next(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = rate(1, S, 1);
    int64_t at;
    uint64_t first, second;
    assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, &first));
    gcra_return(&w, &c, 1, first);
    assert_true(gcra_reserve(&w, &c, 1, START, START, &at, &first));
    assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, &second));
    assert_true(at == START + S);
    /* The second was given its time on the strength of the first: a third must not join it. */
    gcra_return(&w, &c, 1, first);
    assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_true(at == START + 2 * S);
    gcra_return(&w, &c, 1, 0);
}

static void more_than_the_burst_is_never(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = rate(10, S, 5);
    int64_t at = 0;
    assert_false(gcra_reserve(&w, &c, 5.5, START, HARDY_NEVER, &at, NULL));
    assert_true(at == HARDY_NEVER);
    assert_false(gcra_reserve(&w, &c, NAN, START, HARDY_NEVER, &at, NULL));
    assert_true(at == HARDY_NEVER);
    assert_true(gcra_reserve(&w, &c, 5, START, START, &at, NULL));
    hardy_limiter *limiter;
    assert_int_equal(hardy_limiter_new(&c, &limiter, NULL), HARDY_OK);
    assert_int_equal(hardy_limiter_take(limiter, 6, START, &at), HARDY_E_LIMITED);
    assert_true(at == HARDY_NEVER);
    assert_int_equal(hardy_limiter_take(limiter, 5, START, NULL), HARDY_OK);
    assert_int_equal(hardy_limiter_take(limiter, 1, START, &at), HARDY_E_LIMITED);
    assert_true(at == 100 * MS);
    assert_int_equal(hardy_limiter_reserve(limiter, 1, START, START + S, &at), HARDY_OK);
    assert_true(at == START + 100 * MS);
    assert_int_equal(hardy_limiter_reserve(limiter, 1, START, START, &at), HARDY_E_LIMITED);
    assert_true(hardy_limiter_available(limiter, START + 10 * S) == 5);
    hardy_limiter_free(limiter);
    hardy_limiter_free(NULL);
}

static void low_priority_has_half_of_the_burst(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config high = rate(10, S, 10), low = high, one = rate(10, S, 1);
    low.low_priority = one.low_priority = true;
    int64_t at;
    for (int i = 0; i < 5; i++) {
        assert_true(gcra_reserve(&w, &low, 1, START, START, &at, NULL));
    }
    assert_false(gcra_reserve(&w, &low, 1, START, START, &at, NULL));
    for (int i = 0; i < 5; i++) {
        assert_true(gcra_reserve(&w, &high, 1, START, START, &at, NULL));
    }
    assert_false(gcra_reserve(&w, &high, 1, START, START, &at, NULL));
    struct gcra_words other = {0};
    assert_true(gcra_reserve(&other, &one, 1, START, START, &at, NULL));
}

/* What is told from outside: more was used, less was, so much is left; into debt and out of it. */
static void corrections(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = rate(10, S, 5);
    int64_t at;
    gcra_charge(&w, &c, 15, START);
    assert_true(gcra_available(&w, &c, START) == 0);
    assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_int_equal(at, START + 1100 * MS); /* ten of debt, and one for itself */
    gcra_credit(&w, &c, 12);
    assert_int_equal((int)(gcra_available(&w, &c, START) + 0.5), 1);
    gcra_credit(&w, &c, 1e18); /* never more than full */
    assert_int_equal((int)(gcra_available(&w, &c, START) + 0.5), 5);
    gcra_set_left(&w, &c, 2, START);
    assert_int_equal((int)(gcra_available(&w, &c, START) + 0.5), 2);
    gcra_set_left(&w, &c, -10, START);
    assert_true(gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_int_equal(at, START + 1100 * MS);
    gcra_set_left(&w, &c, 100, START);
    assert_int_equal((int)(gcra_available(&w, &c, START) + 0.5), 5);
}

static void rates_saturate(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = rate(1, 366 * HARDY_DAY, 1);
    int64_t at = START, last = 0;
    int granted = 0;
    while (gcra_reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL)) {
        assert_true(at > last && at < HARDY_NEVER);
        last = at;
        granted++;
    }
    assert_int_equal(granted, 291); /* years in 63 bits of nanoseconds */
    assert_true(at == HARDY_NEVER);
}

static void refuses_rates(void **state) {
    (void)state;
    static const struct {
        double events, burst;
        int64_t period;
        const char *said;
    } rows[] = {
        {0, 1, S, "events is 0, which should be from 0.000001"},
        {-1, 1, S, "events is -1"},
        {NAN, 1, S, "events is not a number"},
        {INFINITY, 1, S, "events is infinite"},
        {2e9, 1, S, "events is 2000000000, which should be from 0.000001 to 1000000000"},
        {1, 0.5, S, "burst is 0.5, which should be from 1 to"},
        {1, 1e18, S, "burst is 1000000000000000000"},
        {1, 1, 0, "period is 0s, which should be from 1ms to 366d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hardy_error error;
        hardy_rate_config c;
        hardy_limiter *limiter;
        hardy_error_init(&error, sizeof error);
        hardy_rate_config_init(&c, sizeof c);
        c.events = rows[i].events;
        c.burst = rows[i].burst;
        c.period = rows[i].period;
        assert_int_equal(hardy_limiter_new(&c, &limiter, &error), HARDY_E_INVALID);
        if (!strstr(error.message, rows[i].said)) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, rows[i].said);
        }
    }
}

/* --- budget -------------------------------------------------------------------------------- */

static hardy_budget_config budget(double ratio, double floor_) {
    hardy_budget_config c;
    hardy_budget_config_init(&c, sizeof c);
    assert_true(c.ratio == 0.1 && c.floor == 10);
    c.ratio = ratio;
    c.floor = floor_;
    assert_int_equal(budget_check(&c, NULL), HARDY_OK);
    return c;
}

static int drain(struct budget_words *w, const hardy_budget_config *c, int64_t now) {
    int count = 0;
    while (budget_withdraw(w, c, now)) {
        count++;
        assert_true(count < 100000000);
    }
    return count;
}

static void full_when_never_used(void **state) {
    (void)state;
    struct budget_words w = {0};
    hardy_budget_config c = budget(0.1, 10);
    assert_true(budget_left(&w, &c, START) == 110);
    for (int i = 0; i < 100; i++) {
        budget_deposit(&w, &c, START + i);
        budget_refund(&w, &c, START + i);
        assert_true(word_load(&w.balance) == 0);
    }
    assert_int_equal(drain(&w, &c, START), 110);
    assert_true(budget_left(&w, &c, START) == 0);
}

static void deposits_pay_for_retries(void **state) {
    (void)state;
    struct budget_words w = {0};
    hardy_budget_config c = budget(0.1, 0);
    assert_int_equal(drain(&w, &c, START), 10);
    for (int i = 0; i < 1000; i++) {
        budget_deposit(&w, &c, START);
        assert_int_equal(budget_withdraw(&w, &c, START), i % 10 == 9);
    }
    budget_refund(&w, &c, START);
    assert_int_equal(drain(&w, &c, START + HARDY_DAY), 1);
}

/* What flows in does not depend on how often somebody looks. */
static void the_floor_flows_in(void **state) {
    (void)state;
    static const double floors[] = {0.25, 0.3, 1, 10, 333.3, 1000000};
    for (size_t i = 0; i < sizeof floors / sizeof floors[0]; i++) {
        struct budget_words w = {0};
        hardy_budget_config c = budget(0.1, floors[i]);
        int64_t now = START;
        drain(&w, &c, now);
        int got = 0, steps = 4000;
        for (int k = 0; k < steps; k++) {
            now += MS;
            got += drain(&w, &c, now);
        }
        double expected = floors[i] * steps / 1000;
        assert_true(got >= expected - 1.01 && got <= expected + 0.01);
    }
}

static void times_that_wrap_or_go_backwards(void **state) {
    (void)state;
    struct budget_words w = {0};
    hardy_budget_config c = budget(0, 10);
    drain(&w, &c, START);
    /* Another thread's clock is a little behind: nothing flows in. */
    assert_false(budget_withdraw(&w, &c, START - 900 * MS));
    assert_true(budget_withdraw(&w, &c, START + 100 * MS));
    /* Idle for almost as long as the word can tell, across its wrap. */
    int64_t wrap = (INT64_C(1) << 30) * MS;
    struct budget_words v = {0};
    drain(&v, &c, wrap - 50 * MS);
    assert_int_equal(drain(&v, &c, wrap + 50 * MS), 1);
    assert_int_equal(drain(&v, &c, wrap * 2 - 2 * S), 110);
}

static void refuses_budgets(void **state) {
    (void)state;
    hardy_error error;
    hardy_budget_config c;
    hardy_budget_config_init(&c, sizeof c);
    hardy_error_init(&error, sizeof error);
    c.ratio = 10.5;
    assert_int_equal(budget_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "ratio is 10.5, which should be from 0 to 10");
    c.ratio = 0;
    c.floor = -1;
    assert_int_equal(budget_check(&c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "floor is -1, which should be from 0 to 1000000");
}

/* --- slots --------------------------------------------------------------------------------- */

static int woken[8];
static void wake(void *ctx) {
    ++*(int *)ctx;
}

static void expect_counts(const struct bulkhead *b, uint32_t used, uint32_t waiting) {
    uint32_t used_now, waiting_now;
    bulkhead_counts(b, &used_now, &waiting_now);
    assert_int_equal(used_now, used);
    assert_int_equal(waiting_now, waiting);
}

static void slots_are_handed_over_in_order(void **state) {
    (void)state;
    struct bulkhead b;
    struct bulkhead_waiter w[8];
    hardy_bulkhead_config c;
    hardy_bulkhead_config_init(&c, sizeof c);
    assert_int_equal(c.max_concurrent, 16);
    assert_int_equal(c.max_queue, 64);
    c.max_concurrent = 2;
    c.max_queue = 3;
    assert_int_equal(bulkhead_init(&b, &c, NULL), HARDY_OK);
    for (int i = 0; i < 8; i++) {
        w[i] = (struct bulkhead_waiter){.wake = wake, .ctx = &woken[i]};
        woken[i] = 0;
    }
    assert_int_equal(bulkhead_acquire(&b, &w[0]), BULKHEAD_GRANTED);
    assert_int_equal(bulkhead_acquire(&b, &w[1]), BULKHEAD_GRANTED);
    for (int i = 2; i < 5; i++) {
        assert_int_equal(bulkhead_acquire(&b, &w[i]), BULKHEAD_QUEUED);
    }
    assert_int_equal(bulkhead_acquire(&b, &w[5]), BULKHEAD_FULL);
    expect_counts(&b, 2, 3);
    bulkhead_release(&b);
    expect_counts(&b, 2, 2);
    assert_true(woken[2] == 1 && bulkhead_granted(&w[2]) && !bulkhead_granted(&w[3]));
    /* The one in the middle gives up; a newcomer does not get past the one behind. */
    bulkhead_leave(&b, &w[3]);
    assert_int_equal(bulkhead_acquire(&b, &w[5]), BULKHEAD_QUEUED);
    bulkhead_release(&b);
    assert_true(woken[3] == 0 && bulkhead_granted(&w[4]) && !bulkhead_granted(&w[5]));
    /* A grant that came too late to be used goes on to the next. */
    bulkhead_leave(&b, &w[4]);
    assert_true(bulkhead_granted(&w[5]) && woken[5] == 1);
    bulkhead_release(&b);
    bulkhead_release(&b);
    expect_counts(&b, 0, 0);
    bulkhead_destroy(&b);
}

static void lowered_for_a_while(void **state) {
    (void)state;
    struct bulkhead b;
    struct bulkhead_waiter w[8];
    hardy_bulkhead_config c;
    hardy_bulkhead_config_init(&c, sizeof c);
    c.max_concurrent = 3;
    assert_int_equal(bulkhead_init(&b, &c, NULL), HARDY_OK);
    for (int i = 0; i < 8; i++) {
        w[i] = (struct bulkhead_waiter){.wake = wake, .ctx = &woken[i]};
        woken[i] = 0;
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bulkhead_acquire(&b, &w[i]), BULKHEAD_GRANTED);
    }
    bulkhead_limit(&b, 1);
    for (int i = 3; i < 7; i++) {
        assert_int_equal(bulkhead_acquire(&b, &w[i]), BULKHEAD_QUEUED);
    }
    /* Nobody follows until as few are left as may be; then one for each that goes. */
    bulkhead_release(&b);
    bulkhead_release(&b);
    expect_counts(&b, 1, 4);
    assert_int_equal(woken[3], 0);
    bulkhead_release(&b);
    expect_counts(&b, 1, 3);
    assert_true(woken[3] == 1 && bulkhead_granted(&w[3]));
    /* More again: those who wait longest go at once. */
    bulkhead_limit(&b, 2);
    expect_counts(&b, 2, 2);
    assert_true(bulkhead_granted(&w[4]) && !bulkhead_granted(&w[5]));
    bulkhead_limit(&b, 0);
    expect_counts(&b, 3, 1);
    /* Never more than is configured. */
    bulkhead_limit(&b, 100);
    expect_counts(&b, 3, 1);
    for (int i = 0; i < 4; i++) {
        bulkhead_release(&b);
    }
    expect_counts(&b, 0, 0);
    bulkhead_destroy(&b);
}

static void without_a_queue(void **state) {
    (void)state;
    struct bulkhead b;
    struct bulkhead_waiter w = {.wake = wake, .ctx = &woken[0]};
    hardy_bulkhead_config c;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_bulkhead_config_init(&c, sizeof c);
    c.max_concurrent = 1;
    c.max_queue = 0;
    assert_int_equal(bulkhead_init(&b, &c, NULL), HARDY_OK);
    assert_int_equal(bulkhead_acquire(&b, &w), BULKHEAD_GRANTED);
    assert_int_equal(bulkhead_acquire(&b, &w), BULKHEAD_FULL);
    bulkhead_release(&b);
    assert_int_equal(bulkhead_acquire(&b, &w), BULKHEAD_GRANTED);
    bulkhead_destroy(&b);
    c.max_concurrent = 0;
    assert_int_equal(bulkhead_init(&b, &c, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, "max_concurrent is 0, which should be from 1 to 1000000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_one_by_one),
        cmocka_unit_test(never_more_than_the_rate_and_the_burst),
        cmocka_unit_test(reservations_queue_up),
        cmocka_unit_test(a_returned_slot_is_used_by_the_next),
        cmocka_unit_test(more_than_the_burst_is_never),
        cmocka_unit_test(low_priority_has_half_of_the_burst),
        cmocka_unit_test(corrections),
        cmocka_unit_test(rates_saturate),
        cmocka_unit_test(refuses_rates),
        cmocka_unit_test(full_when_never_used),
        cmocka_unit_test(deposits_pay_for_retries),
        cmocka_unit_test(the_floor_flows_in),
        cmocka_unit_test(times_that_wrap_or_go_backwards),
        cmocka_unit_test(refuses_budgets),
        cmocka_unit_test(slots_are_handed_over_in_order),
        cmocka_unit_test(lowered_for_a_while),
        cmocka_unit_test(without_a_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
