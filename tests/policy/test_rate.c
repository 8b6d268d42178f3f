/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limit in one thread. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/gcra.h"
#include <math.h>
#include <stdio.h>
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

/* Whoever asks for whatever at whatever time, also when one clock is a little behind another: in no
 * window more than rate * W + burst. */
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
            int64_t at, mine = now - (int64_t)prng_below(&p, (uint64_t)(3 * period));
            uint64_t mark;
            if (!reserve(&w, &c, n, mine, time_add(mine, (int64_t)(5 * period)), &at, &mark)) {
                continue;
            }
            if (prng_below(&p, 8) == 0) {
                gcra_return(&w, &c, n, mark);
                continue;
            }
            int k = count++;
            for (; k > 0 && when[k - 1] > at; k--) { /* in the order of use */
                when[k] = when[k - 1];
                amount[k] = amount[k - 1];
            }
            when[k] = at;
            amount[k] = n;
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
    gcra_settle(&w, &c, 0, 15, START);
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

/* --- against an oracle -------------------------------------------------------------------------
 */

/*
 * The same limit as a token bucket in whole numbers: a nanosecond brings one unit, an event costs
 * `interval` of them. It knows a level and when that was, where the limiter knows one time.
 */
struct bucket {
    int64_t interval, capacity, may_use[2]; /* of the capacity, by priority */
    int64_t level, last;
    double burst[2];
    bool debt;
    int64_t floor_interval, floor_level; /* of low_floor; 0 = none. It holds one event */
};

static int64_t rounded_up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

/* Amounts are in eighths of an event, so that all of it stays whole. */
static int64_t units(const struct bucket *b, int64_t eighths) {
    return rounded_up(eighths * b->interval, 8);
}

static struct bucket bucket_of(const hardy_rate_config *c, int64_t now) {
    struct bucket b = {.interval = rounded_up(c->period, (int64_t)c->events), .debt = c->debt};
    int64_t burst = (int64_t)c->burst * 8, low = burst / 2 < 8 ? 8 : burst / 2;
    b.capacity = b.level = units(&b, burst);
    if (c->low_floor > 0) {
        b.floor_interval = b.floor_level = rounded_up(c->period, (int64_t)c->low_floor);
        burst -= 8;
    }
    b.may_use[HIGH] = units(&b, burst);
    b.may_use[LOW] = units(&b, low);
    b.burst[HIGH] = (double)burst / 8;
    b.burst[LOW] = (double)low / 8;
    b.last = now;
    return b;
}

static void flow_in(struct bucket *b, int64_t now) {
    int64_t brought = now - b->last;
    b->level = b->level + brought < b->capacity ? b->level + brought : b->capacity;
    b->floor_level =
        b->floor_level + brought < b->floor_interval ? b->floor_level + brought : b->floor_interval;
    b->last = now;
}

static hardy_status take_from(struct bucket *b, int64_t eighths, hardy_priority priority,
                              int64_t latest, int64_t *at) {
    int64_t needed = units(b, eighths), kept = b->capacity - b->may_use[priority];
    if ((double)eighths / 8 > b->burst[priority]) {
        if (!b->debt) {
            *at = HARDY_NEVER;
            return HARDY_E_TOO_LARGE;
        }
        kept = b->capacity - needed;
    }
    int64_t missing = needed + kept - b->level;
    *at = b->last + (missing > 0 ? missing : 0);
    if (*at <= (priority == LOW ? b->last : latest)) {
        b->level -= needed;
        return HARDY_OK;
    }
    if (priority == LOW && b->floor_interval > 0) {
        int64_t floor_missing = b->floor_interval - b->floor_level,
                main_missing = needed - b->level;
        int64_t wait = floor_missing > 0 ? floor_missing : main_missing;
        if (wait <= 0) {
            b->floor_level -= b->floor_interval;
            b->level -= needed;
            *at = b->last;
            return HARDY_OK;
        }
        *at = b->last + wait < *at ? b->last + wait : *at;
    }
    return HARDY_E_LIMITED;
}

static void give_to(struct bucket *b, int64_t amount) {
    b->level = b->level + amount < b->capacity ? b->level + amount : b->capacity;
}

static hardy_rate_config random_rate(struct prng *p) {
    static const int64_t periods[] = {S, 10 * S, HARDY_MINUTE, HARDY_HOUR};
    hardy_rate_config c = settings(1 + (double)prng_below(p, prng_below(p, 2) ? 50 : 1000000),
                                   periods[prng_below(p, 4)], 1 + (double)prng_below(p, 30));
    c.debt = prng_below(p, 3) == 0;
    if (c.events > 1 && c.burst >= 2 && prng_below(p, 3) == 0) {
        c.low_floor = 1 + (double)prng_below(p, (uint64_t)c.events - 1);
    }
    return c;
}

/* Every answer and every time of it, to the nanosecond. */
static void as_an_oracle_says(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 11);
    int granted = 0, waited = 0, refused = 0, never = 0, by_floor = 0, returned = 0;
    for (int run = 0; run < 250; run++) {
        hardy_rate_config c = random_rate(&p);
        hardy_limiter *limiter = limiter_of(&c);
        int64_t now = START + (int64_t)prng_below(&p, S);
        struct bucket b = bucket_of(&c, now);
        for (int i = 0; i < 400; i++) {
            hardy_priority priority = prng_below(&p, 3) == 0 ? LOW : HIGH;
            bool one = priority == LOW && c.low_floor > 0; /* what its floor holds for */
            int64_t eighths = one || prng_below(&p, 2) ? 8 : 1 + (int64_t)prng_below(&p, 300);
            int64_t at, said, latest = now;
            double n = (double)eighths / 8;
            uint64_t what = prng_below(&p, 8);
            now += (int64_t)prng_below(&p, (uint64_t)(i % 40 == 0 ? 40 : 2) * (uint64_t)b.interval);
            flow_in(&b, now);
            if (what < 3) {
                hardy_status status = take_from(&b, eighths, priority, now, &at);
                assert_int_equal(hardy_limiter_take(limiter, n, priority, now, &said), status);
                if (status != HARDY_OK) {
                    assert_int_equal(said, at == HARDY_NEVER ? at : at - now);
                }
                granted += status == HARDY_OK;
                refused += status == HARDY_E_LIMITED;
                never += status == HARDY_E_TOO_LARGE;
                by_floor += status == HARDY_OK && b.floor_level < b.floor_interval;
            } else if (what < 6) {
                hardy_reservation r;
                latest = now + (int64_t)prng_below(&p, 20 * (uint64_t)b.interval);
                hardy_status status = take_from(&b, eighths, priority, latest, &at);
                assert_int_equal(hardy_limiter_reserve(limiter, n, priority, now, latest, &r),
                                 status);
                assert_int_equal(r.at, at);
                waited += status == HARDY_OK && at > now;
                if (status == HARDY_OK && prng_below(&p, 3) == 0) {
                    int64_t later = now + (int64_t)prng_below(&p, (uint64_t)b.interval);
                    int64_t cost = (int64_t)prng_below(&p, 2) * (int64_t)prng_below(&p, 300);
                    now = later;
                    flow_in(&b, now);
                    returned++;
                    if (cost == 0 && prng_below(&p, 2) == 0) {
                        hardy_limiter_cancel(limiter, &r);
                        give_to(&b, units(&b, eighths));
                    } else {
                        hardy_limiter_settle(limiter, &r, (double)cost / 8, now);
                        give_to(&b, units(&b, eighths) - units(&b, cost));
                    }
                }
            } else if (what == 6) {
                int64_t room = b.level - (b.capacity - b.may_use[priority]);
                int64_t whole = room > 0 ? room / b.interval : 0;
                whole = whole > eighths ? eighths : whole;
                double got = hardy_limiter_take_some(limiter, (double)eighths, priority, now, NULL);
                assert_true(got == (double)whole);
                b.level -= whole * b.interval;
            } else {
                double used = (double)(b.capacity - b.level) / (double)b.interval;
                double left = fmax(b.burst[priority] - used, 0);
                assert_true(fabs(hardy_limiter_available(limiter, priority, now) - left) < 1e-6);
            }
        }
        hardy_limiter_free(limiter);
    }
    assert_true(granted > 5000 && waited > 3000 && refused > 5000);
    assert_true(never > 1000 && by_floor > 100 && returned > 1000);
}

/* --- what it is for: docs/rate-limit.md has these figures ----------------------------------------
 */

struct shares {
    double high, low, used; /* of what was asked for, and of the rate */
};

/* For a minute, so many a second ask, each in a moment of its own. `low_own`: its part of the rate
 * is a limiter of its own; 0: one limiter, and `low` is its priority. */
static struct shares ask(double high, double low, hardy_priority priority, double low_own) {
    hardy_rate_config c = settings(100 - low_own, S, 20 - low_own / 5);
    hardy_rate_config of_low =
        settings(low_own > 0 ? low_own : 1, S, low_own > 0 ? low_own / 5 : 1);
    hardy_limiter *one = limiter_of(&c), *other = limiter_of(&of_low);
    double granted[2] = {0, 0}, asked[2] = {0, 0};
    struct prng p;
    prng_seed(&p, 3);
    for (int64_t now = START; now < START + HARDY_MINUTE;) {
        double until = -log(1 - prng_unit(&p)) / (high + low);
        now += (int64_t)(until * 1e9);
        bool is_low = prng_unit(&p) * (high + low) < low;
        asked[is_low]++;
        granted[is_low] += hardy_limiter_take(is_low && low_own > 0 ? other : one, 1,
                                              is_low ? priority : HIGH, now, NULL) == HARDY_OK;
    }
    hardy_limiter_free(one);
    hardy_limiter_free(other);
    return (struct shares){granted[0] / asked[0], granted[1] / asked[1],
                           (granted[0] + granted[1]) / 6000};
}

/* Half of the burst is enough to let those who matter through, and leaves nothing idle. */
static void priorities_under_load(void **state) {
    (void)state;
    static const double loads[][2] = {{60, 200}, {90, 200}, {20, 200}};
    for (size_t i = 0; i < 3; i++) {
        double high = loads[i][0], low = loads[i][1];
        struct shares one = ask(high, low, HIGH, 0), split = ask(high, low, HIGH, 30),
                      ours = ask(high, low, LOW, 0);
        printf("# %.0f high, %.0f low: one bucket %.0f %% of high, %.0f %% used; split 70/30 %.0f, "
               "%.0f; priorities %.0f, %.0f\n",
               high, low, one.high * 100, one.used * 100, split.high * 100, split.used * 100,
               ours.high * 100, ours.used * 100);
        assert_true(one.high < 0.5 && (split.high < 0.8 || split.used < 0.95));
        assert_true(ours.high > 0.97 && ours.used > 0.99);
    }
}

enum how { CHARGE_AFTER, INPUT_ONLY, ESTIMATE, MOST_TOKENS, HOWS };

/* A model's tokens: of three times the limit of 100,000 a minute that callers want, what is let
 * through in the worst minute, and on average. An answer is of 500 tokens on average, at most 4096,
 * comes within 20 seconds, and is known when it has come. A call is tried again after a second. */
static void let_tokens_through(enum how how, double *worst, double *average) {
    enum { SECONDS = 1200, CALLS = 60000 };
    static struct {
        int64_t ends;
        double output, reserved;
        hardy_reservation r;
    } under_way[512];
    static double in_second[SECONDS];
    const double input = 500;
    struct prng p;
    prng_seed(&p, 8);
    hardy_rate_config c = settings(100000, HARDY_MINUTE, 10000);
    c.debt = true;
    hardy_limiter *limiter = limiter_of(&c);
    hardy_estimate estimate = {0};
    size_t count = 0;
    memset(in_second, 0, sizeof in_second);
    for (int second = 0; second < SECONDS; second++) {
        for (int k = 0; k < 5; k++) { /* 5 calls a second of 1000 tokens: three times the limit */
            int64_t now = START + second * S + k * (S / 5);
            for (size_t i = 0; i < count;) {
                if (under_way[i].ends > now) {
                    i++;
                    continue;
                }
                double cost = input + under_way[i].output;
                hardy_limiter_settle(limiter, &under_way[i].r, cost, now);
                hardy_estimate_learn(&estimate, under_way[i].output);
                under_way[i] = under_way[--count];
            }
            double u = prng_unit(&p), v = prng_unit(&p);
            double normal = sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
            double output = fmin(exp(log(500) - 0.5 + normal), 4096);
            double guess = how == CHARGE_AFTER ? 0.001
                           : how == INPUT_ONLY ? input
                           : how == ESTIMATE   ? input + hardy_estimate_get(&estimate, 500)
                                               : input + 4096;
            hardy_reservation r;
            /* One that costs nothing yet looks whether anything is left. */
            if ((how == CHARGE_AFTER && hardy_limiter_available(limiter, HIGH, now) <= 0) ||
                hardy_limiter_reserve(limiter, guess, HIGH, now, now, &r) != HARDY_OK ||
                count == 512) {
                continue;
            }
            under_way[count].ends = now + (int64_t)(prng_unit(&p) * 20e9);
            under_way[count].output = output;
            under_way[count++].r = r;
            in_second[second] += input + output;
        }
    }
    double sum = 0, minute = 0;
    *worst = 0;
    for (int second = 0; second < SECONDS; second++) {
        minute += in_second[second] - (second >= 60 ? in_second[second - 60] : 0);
        *worst = fmax(*worst, minute / 100000);
        sum += in_second[second];
    }
    *average = sum / (SECONDS / 60.0) / 100000;
    hardy_limiter_free(limiter);
}

static void tokens_are_reserved_by_an_estimate(void **state) {
    (void)state;
    static const char *names[] = {"charged afterwards", "the input", "input and estimate",
                                  "input and max_tokens"};
    double worst[HOWS], average[HOWS];
    for (int how = 0; how < HOWS; how++) {
        let_tokens_through((enum how)how, &worst[how], &average[how]);
        printf("# reserved %s: the worst minute %.2f of the limit, on average %.2f\n", names[how],
               worst[how], average[how]);
    }
    assert_true(worst[CHARGE_AFTER] > 1.4 && worst[INPUT_ONLY] > worst[ESTIMATE]);
    assert_true(worst[ESTIMATE] < 1.2 && average[ESTIMATE] > 0.98);
    assert_true(average[MOST_TOKENS] < 0.9); /* safe, and a tenth of the limit lies idle */
}

/* --- settings ----------------------------------------------------------------------------------
 */

/* No window sees more than the limit, for any margin; and what is left of it is not wasted. */
static void below_a_stated_limit(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 12);
    for (int i = 0; i < 2000; i++) {
        hardy_rate_config c;
        hardy_rate_config_init(&c, sizeof c);
        double margin = 0.01 + 0.98 * prng_unit(&p);
        double limit = ceil(1 / (1 - margin)) + (double)prng_below(&p, 100000);
        int64_t window = (int64_t)(1 + prng_below(&p, 3600)) * S;
        assert_int_equal(hardy_rate_config_below(&c, limit, window, margin, NULL), HARDY_OK);
        double most = hardy_rate_most(&c, window);
        assert_true(most <= limit + 1e-6 && most > limit - 1);
        assert_true(c.period == window && fabs(c.events - limit * margin) < 1e-6);
        /* So also by what is granted, from a full bucket and as fast as it goes. */
        if (i < 20) {
            struct gcra g = rate_of(&c);
            struct gcra_words w = {0};
            double granted = 0;
            int64_t at, now = START;
            while (now < START + window) {
                granted += gcra_take_some(&w, &g, 1e9, HIGH, now);
                gcra_peek(&w, &g, 1, HIGH, now, HARDY_NEVER, &at);
                now = at;
            }
            assert_true(granted <= limit && granted >= floor(most) - 1);
        }
    }
}

static void a_limit_that_nothing_can_stay_below(void **state) {
    (void)state;
    static const struct {
        double limit, margin;
        int64_t window;
        const char *said;
    } rows[] = {
        {0.5, 0.8, S, "limit is 0.5, which should be from 1 to"},
        {NAN, 0.8, S, "limit is not a number"},
        {10, 0, S, "margin is 0, which should be from 0.001 to 0.999"},
        {10, 1, S, "margin is 1, which should be from 0.001 to 0.999"},
        {10, 0.8, 0, "period is 0s, which should be from 1ms to 366d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hardy_error error;
        hardy_rate_config c = settings(7, S, 3), before = c;
        hardy_error_init(&error, sizeof error);
        assert_int_equal(
            hardy_rate_config_below(&c, rows[i].limit, rows[i].window, rows[i].margin, &error),
            HARDY_E_INVALID);
        if (!strstr(error.message, rows[i].said)) {
            fail_msg("\"%s\" does not say \"%s\"", error.message, rows[i].said);
        }
        assert_true(c.events == before.events && c.burst == before.burst);
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
        cmocka_unit_test(as_an_oracle_says),
        cmocka_unit_test(priorities_under_load),
        cmocka_unit_test(tokens_are_reserved_by_an_estimate),
        cmocka_unit_test(below_a_stated_limit),
        cmocka_unit_test(a_limit_that_nothing_can_stay_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
