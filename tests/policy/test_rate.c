/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limit in one thread. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/gcra.h"
#include <math.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (1000 * S)

#define HIGH HARDY_PRIORITY_HIGH
#define LOW HARDY_PRIORITY_LOW

static hardy_rate_config settings(double events, int64_t period, double burst) {
    hardy_rate_config c;
    hardy_rate_config_init(&c, sizeof c);
    c.events = events;
    c.period = period;
    c.burst = burst;
    return c;
}

static struct gcra rate_of(const hardy_rate_config *c) {
    struct gcra g;
    assert_int_equal(rate_check(c, NULL), HARDY_OK);
    gcra_init(&g, c);
    return g;
}

static struct gcra rate(double events, int64_t period, double burst) {
    hardy_rate_config c = settings(events, period, burst);
    return rate_of(&c);
}

static bool reserve(struct gcra_words *w, const struct gcra *g, double n, int64_t now,
                    int64_t latest, int64_t *at, uint64_t *mark) {
    return gcra_reserve(w, g, n, HIGH, now, latest, at, mark) == HARDY_OK;
}

static double available(const struct gcra_words *w, const struct gcra *g, int64_t now) {
    return gcra_available(w, g, HIGH, now);
}

static void a_burst_then_one_by_one(void **state) {
    (void)state;
    static const double rates[] = {1, 3, 7, 10, 50.0 / 60, 1000, 99999};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        for (int burst = 1; burst <= 9; burst += 4) {
            struct gcra_words w = {0};
            struct gcra c = rate(rates[i], S, burst);
            int64_t at = -1, now = START;
            assert_true(fabs(available(&w, &c, now) - burst) < 1e-6);
            for (int k = 0; k < burst; k++) {
                assert_true(reserve(&w, &c, 1, now, now, &at, NULL));
                assert_true(at == now);
            }
            for (int k = 0; k < 5; k++) {
                assert_false(reserve(&w, &c, 1, now, now, &at, NULL));
                assert_true(at > now && at - now <= (int64_t)(1e9 / rates[i]) + 2);
                /* Exact: a nanosecond before it is refused. */
                assert_false(reserve(&w, &c, 1, at - 1, at - 1, &now, NULL));
                now = at;
                assert_true(reserve(&w, &c, 1, now, now, &at, NULL));
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
        struct gcra c = rate(1 + (double)prng_below(&p, 500), S, burst);
        int64_t now = START, when[MOST];
        double amount[MOST], period = (double)c.interval;
        int count = 0;
        while (count < MOST) {
            now += (int64_t)prng_below(&p, (uint64_t)(2 * period));
            double n = 1 + floor(prng_unit(&p) * burst);
            int64_t at;
            uint64_t mark;
            if (reserve(&w, &c, n, now, time_add(now, (int64_t)(5 * period)), &at, &mark)) {
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
    struct gcra c = rate(10, S, 1);
    int64_t at;
    for (int i = 0; i < 5; i++) {
        assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
        assert_true(at == START + i * 100 * MS);
    }
    uint64_t before = word_load(&w.arrival);
    assert_false(reserve(&w, &c, 1, START, START + 499 * MS, &at, NULL));
    assert_true(at == START + 500 * MS);
    assert_true(word_load(&w.arrival) == before);
    assert_true(available(&w, &c, START) == 0);
    assert_true(reserve(&w, &c, 0, START, START, &at, NULL) && at == START);
    assert_true(word_load(&w.arrival) == before);
}

static void a_returned_slot_is_used_by_the_next(void **state) {
    (void)state;
    struct gcra_words w = {0};
    struct gcra c = rate(1, S, 1);
    int64_t at;
    uint64_t first, second;
    assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, &first));
    gcra_return(&w, &c, 1, first);
    assert_true(reserve(&w, &c, 1, START, START, &at, &first));
    assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, &second));
    assert_true(at == START + S);
    /* The second was given its time on the strength of the first: a third must not join it. */
    gcra_return(&w, &c, 1, first);
    assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_true(at == START + 2 * S);
    gcra_return(&w, &c, 1, 0);
}

static hardy_limiter *limiter_of(const hardy_rate_config *c) {
    hardy_limiter *limiter = NULL;
    assert_int_equal(hardy_limiter_new(c, &limiter, NULL), HARDY_OK);
    return limiter;
}

/* Waiting does not cure it, so it is not the error of those that may wait. */
static void more_than_the_burst_is_never(void **state) {
    (void)state;
    hardy_rate_config c = settings(10, S, 5);
    hardy_limiter *limiter = limiter_of(&c);
    hardy_reservation r;
    int64_t at = 0;
    assert_int_equal(hardy_limiter_take(limiter, 5.5, HIGH, START, &at), HARDY_E_TOO_LARGE);
    assert_true(at == HARDY_NEVER);
    assert_int_equal(hardy_limiter_take(limiter, NAN, HIGH, START, &at), HARDY_E_TOO_LARGE);
    assert_int_equal(hardy_limiter_take(limiter, 3, LOW, START, &at), HARDY_E_TOO_LARGE);
    assert_int_equal(hardy_limiter_reserve(limiter, 6, HIGH, START, HARDY_NEVER, &r),
                     HARDY_E_TOO_LARGE);
    assert_true(r.at == HARDY_NEVER && !r.open);
    assert_int_equal(hardy_limiter_take(limiter, 5, HIGH, START, NULL), HARDY_OK);
    assert_int_equal(hardy_limiter_take(limiter, 1, HIGH, START, &at), HARDY_E_LIMITED);
    assert_true(at == 100 * MS);
    assert_int_equal(hardy_limiter_reserve(limiter, 1, HIGH, START, START + S, &r), HARDY_OK);
    assert_true(r.at == START + 100 * MS && r.open && r.events == 1);
    assert_int_equal(hardy_limiter_reserve(limiter, 1, HIGH, START, START, &r), HARDY_E_LIMITED);
    assert_true(r.at == START + 200 * MS && !r.open);
    assert_true(hardy_limiter_available(limiter, HIGH, START + 10 * S) == 5);
    hardy_limiter_free(limiter);
    hardy_limiter_free(NULL);
}

static void with_debt_it_waits_for_a_full_bucket(void **state) {
    (void)state;
    struct gcra_words w = {0};
    hardy_rate_config c = settings(10, S, 5);
    c.debt = true;
    struct gcra g = rate_of(&c);
    int64_t at;
    assert_true(reserve(&w, &g, 2, START, START, &at, NULL));
    assert_false(reserve(&w, &g, 12, START, START + 199 * MS, &at, NULL));
    assert_true(reserve(&w, &g, 12, START, START + S, &at, NULL));
    assert_int_equal(at, START + 200 * MS);
    /* Full again after 1.4 s; the next one needs a fifth of the bucket. */
    assert_true(reserve(&w, &g, 1, START, HARDY_NEVER, &at, NULL));
    assert_int_equal(at, START + 200 * MS + 1200 * MS + 100 * MS - 500 * MS);
    assert_int_equal(gcra_reserve(&w, &g, INFINITY, HIGH, START, HARDY_NEVER, &at, NULL),
                     HARDY_E_TOO_LARGE);
    assert_int_equal(gcra_reserve(&w, &g, NAN, HIGH, START, HARDY_NEVER, &at, NULL),
                     HARDY_E_TOO_LARGE);
}

static void takes_what_is_there(void **state) {
    (void)state;
    hardy_rate_config c = settings(10, S, 5);
    hardy_limiter *limiter = limiter_of(&c);
    int64_t after = -1;
    assert_true(hardy_limiter_take_some(limiter, 3.9, HIGH, START, &after) == 3 && after == 0);
    assert_true(hardy_limiter_take_some(limiter, 0.5, HIGH, START, NULL) == 0);
    assert_true(hardy_limiter_take_some(limiter, NAN, HIGH, START, NULL) == 0);
    assert_true(hardy_limiter_take_some(limiter, 1, LOW, START, NULL) == 0);
    assert_true(hardy_limiter_take_some(limiter, 1e30, HIGH, START, NULL) == 2);
    assert_true(hardy_limiter_take_some(limiter, 4, HIGH, START + 99 * MS, &after) == 0);
    assert_int_equal(after, 1 * MS);
    assert_true(hardy_limiter_take_some(limiter, 4, HIGH, START + 250 * MS, NULL) == 2);
    assert_true(hardy_limiter_take_some(limiter, 1e30, HIGH, START + 100 * S, NULL) == 5);
    hardy_limiter_free(limiter);
}

static void low_priority_has_half_of_the_burst(void **state) {
    (void)state;
    struct gcra_words w = {0};
    struct gcra g = rate(10, S, 10), one = rate(10, S, 1);
    int64_t at;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(gcra_reserve(&w, &g, 1, LOW, START, START, &at, NULL), HARDY_OK);
    }
    assert_int_equal(gcra_reserve(&w, &g, 1, LOW, START, START, &at, NULL), HARDY_E_LIMITED);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(gcra_reserve(&w, &g, 1, HIGH, START, START, &at, NULL), HARDY_OK);
    }
    assert_int_equal(gcra_reserve(&w, &g, 1, HIGH, START, START, &at, NULL), HARDY_E_LIMITED);
    struct gcra_words other = {0};
    assert_int_equal(gcra_reserve(&other, &one, 1, LOW, START, START, &at, NULL), HARDY_OK);
}

/* However patient: what low priority reserved ahead, high priority would have to wait behind. */
static void low_priority_reserves_nothing_ahead(void **state) {
    (void)state;
    struct gcra_words w = {0};
    struct gcra g = rate(10, S, 4);
    int64_t at;
    for (int i = 0; i < 100; i++) {
        hardy_status status = gcra_reserve(&w, &g, 1, LOW, START, HARDY_NEVER, &at, NULL);
        assert_int_equal(status, i < 2 ? HARDY_OK : HARDY_E_LIMITED);
        assert_int_equal(at, i < 2 ? START : START + 100 * MS);
    }
    assert_int_equal(gcra_reserve(&w, &g, 1, HIGH, START, HARDY_NEVER, &at, NULL), HARDY_OK);
    assert_int_equal(at, START);
}

/* What is told from outside: more was used, less was, so much is left; into debt and out of it. */
static void corrections(void **state) {
    (void)state;
    struct gcra_words w = {0};
    struct gcra c = rate(10, S, 5);
    int64_t at;
    gcra_charge(&w, &c, 15, START);
    assert_true(available(&w, &c, START) == 0);
    assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_int_equal(at, START + 1100 * MS); /* ten of debt, and one for itself */
    gcra_credit(&w, &c, 12);
    assert_int_equal((int)(available(&w, &c, START) + 0.5), 1);
    gcra_credit(&w, &c, 1e18); /* never more than full */
    assert_int_equal((int)(available(&w, &c, START) + 0.5), 5);
    gcra_set_left(&w, &c, 2, START);
    assert_int_equal((int)(available(&w, &c, START) + 0.5), 2);
    gcra_set_left(&w, &c, -10, START);
    assert_true(reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL));
    assert_int_equal(at, START + 1100 * MS);
    gcra_set_left(&w, &c, 100, START);
    assert_int_equal((int)(available(&w, &c, START) + 0.5), 5);
}

static void rates_saturate(void **state) {
    (void)state;
    struct gcra_words w = {0};
    struct gcra c = rate(1, 366 * HARDY_DAY, 1);
    int64_t at = START, last = 0;
    int granted = 0;
    while (reserve(&w, &c, 1, START, HARDY_NEVER, &at, NULL)) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_then_one_by_one),
        cmocka_unit_test(never_more_than_the_rate_and_the_burst),
        cmocka_unit_test(reservations_queue_up),
        cmocka_unit_test(a_returned_slot_is_used_by_the_next),
        cmocka_unit_test(more_than_the_burst_is_never),
        cmocka_unit_test(with_debt_it_waits_for_a_full_bucket),
        cmocka_unit_test(takes_what_is_there),
        cmocka_unit_test(low_priority_has_half_of_the_burst),
        cmocka_unit_test(low_priority_reserves_nothing_ahead),
        cmocka_unit_test(corrections),
        cmocka_unit_test(rates_saturate),
        cmocka_unit_test(refuses_rates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
