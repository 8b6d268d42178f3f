/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limit for each key, in one thread. */
#include "../cmocka_all.h"

#include "base/prng.h"
#include <hardy/keyed.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (1000 * S)
#define HIGH HARDY_PRIORITY_HIGH
#define LOW HARDY_PRIORITY_LOW
#define ENTRIES 16 /* of the smallest table */

static uint64_t same_each_time(void *ctx) {
    return prng_next(ctx);
}

static hardy_keyed_limiter *table(double events, double burst, uint32_t max_keys) {
    static struct prng p;
    hardy_rate_config rate;
    hardy_keyed_limiter *limiter = NULL;
    hardy_env env;
    hardy_env_system(&env, sizeof env);
    prng_seed(&p, 5);
    env.random = same_each_time;
    env.ctx = &p;
    hardy_rate_config_init(&rate, sizeof rate);
    rate.events = events;
    rate.burst = burst;
    assert_int_equal(hardy_keyed_limiter_new(&rate, max_keys, &env, &limiter, NULL), HARDY_OK);
    return limiter;
}

static hardy_status take(hardy_keyed_limiter *l, uint64_t key, double n, int64_t now,
                         int64_t *after) {
    return hardy_keyed_limiter_take(l, &key, sizeof key, n, HIGH, now, after);
}

static double available(hardy_keyed_limiter *l, uint64_t key, int64_t now) {
    return hardy_keyed_limiter_available(l, &key, sizeof key, HIGH, now);
}

static hardy_keyed_stats stats(const hardy_keyed_limiter *l, int64_t now) {
    hardy_keyed_stats s = {.size = sizeof s};
    hardy_keyed_limiter_get_stats(l, now, &s);
    assert_int_equal(s.size, sizeof s);
    return s;
}

static void each_key_has_its_own(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(10, 2, 100);
    int64_t after = -1;
    for (uint64_t key = 0; key < 50; key++) {
        assert_int_equal(take(l, key, 1, START, NULL), HARDY_OK);
        assert_int_equal(take(l, key, 1, START, NULL), HARDY_OK);
        assert_int_equal(take(l, key, 1, START, &after), HARDY_E_LIMITED);
        assert_int_equal(after, 100 * MS);
        assert_int_equal(take(l, key, 1, START + 100 * MS, NULL), HARDY_OK);
    }
    assert_int_equal(stats(l, START + 100 * MS).busy, 50);
    assert_int_equal(stats(l, START + 10 * S).busy, 0);
    /* Any bytes are a key, and none is one too. */
    const char *names[] = {"", "a", "a\0b", "an address that is longer than one word"};
    for (size_t i = 0; i < 4; i++) {
        size_t len = i == 2 ? 3 : strlen(names[i]);
        assert_int_equal(hardy_keyed_limiter_take(l, names[i], len, 2, LOW, START, NULL),
                         HARDY_E_TOO_LARGE);
        assert_int_equal(hardy_keyed_limiter_take(l, names[i], len, 2, HIGH, START, NULL),
                         HARDY_OK);
        assert_int_equal(hardy_keyed_limiter_take(l, names[i], len, 1, HIGH, START, NULL),
                         HARDY_E_LIMITED);
    }
    hardy_keyed_limiter_free(l);
    hardy_keyed_limiter_free(NULL);
}

static void what_takes_nothing_needs_no_entry(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(10, 2, 1);
    int64_t after = 0;
    for (uint64_t key = 0; key < 100; key++) {
        assert_int_equal(take(l, key, 0, START, NULL), HARDY_OK);
        assert_int_equal(take(l, key, -1, START, NULL), HARDY_OK);
        assert_int_equal(take(l, key, 3, START, &after), HARDY_E_TOO_LARGE);
        assert_true(after == HARDY_NEVER);
        assert_int_equal(take(l, key, NAN, START, NULL), HARDY_E_TOO_LARGE);
        assert_true(available(l, key, START) == 2);
    }
    hardy_keyed_stats s = stats(l, START);
    assert_true(s.entries == ENTRIES && s.busy == 0 && s.forgotten == 0 && s.shared == 0);
    hardy_keyed_limiter_free(l);
}

static void only_the_full_are_forgotten(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(1, 5, 1);
    for (uint64_t key = 0; key < ENTRIES; key++) { /* busy for one second, two, ... */
        assert_int_equal(take(l, key, (double)(1 + key % 5), START, NULL), HARDY_OK);
    }
    assert_int_equal(stats(l, START).busy, ENTRIES);
    int64_t now = START + S; /* four of them become full in this moment, and not before */
    assert_int_equal(take(l, 100, 5, now - 1, NULL), HARDY_OK);
    assert_int_equal(stats(l, now - 1).shared, 1);
    hardy_keyed_limiter_free(l);
    l = table(1, 5, 1);
    for (uint64_t key = 0; key < ENTRIES; key++) {
        assert_int_equal(take(l, key, (double)(1 + key % 5), START, NULL), HARDY_OK);
    }
    for (uint64_t key = 100; key < 104; key++) {
        assert_int_equal(take(l, key, 5, now, NULL), HARDY_OK);
    }
    hardy_keyed_stats s = stats(l, now);
    assert_true(s.forgotten == 4 && s.shared == 0 && s.busy == ENTRIES);
    for (uint64_t key = 0; key < ENTRIES; key++) {
        double left = 5 - (double)(1 + key % 5) + 1;
        assert_true(fabs(available(l, key, now) - (left < 5 ? left : 5)) < 1e-6);
    }
    hardy_keyed_limiter_free(l);
}

static void who_finds_no_room_shares(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(1, 4, 1);
    int64_t after;
    for (uint64_t key = 0; key < ENTRIES; key++) {
        assert_int_equal(take(l, key, 4, START, NULL), HARDY_OK);
    }
    /* However many there are, they get what one would get. */
    int granted = 0;
    for (uint64_t key = 100; key < 200; key++) {
        granted += take(l, key, 1, START, &after) == HARDY_OK;
    }
    assert_true(granted == 4 && after == S);
    assert_int_equal(stats(l, START).shared, 100);
    hardy_keyed_limiter_free(l);

    /* Who comes to an entry of his own brings along what he has used. */
    l = table(1, 4, 1);
    for (uint64_t key = 0; key < ENTRIES; key++) {
        assert_int_equal(take(l, key, key == 0 ? 1 : 4, START, NULL), HARDY_OK);
    }
    assert_int_equal(take(l, 100, 4, START, NULL), HARDY_OK);
    assert_int_equal(take(l, 100, 1, START + S, NULL), HARDY_OK); /* in the place of key 0 */
    assert_int_equal(stats(l, START + S).forgotten, 1);
    assert_int_equal(take(l, 100, 1, START + S, &after), HARDY_E_LIMITED);
    assert_int_equal(after, S);
    hardy_keyed_limiter_free(l);
}

static void a_reservation_of_those_who_share(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(1, 4, 1);
    hardy_reservation r, other;
    uint64_t a = 100, b = 101;
    for (uint64_t key = 0; key < ENTRIES; key++) {
        assert_int_equal(take(l, key, 4, START, NULL), HARDY_OK);
    }
    assert_int_equal(hardy_keyed_limiter_reserve(l, &a, sizeof a, 4, HIGH, START, START, &r),
                     HARDY_OK);
    assert_int_equal(hardy_keyed_limiter_reserve(l, &b, sizeof b, 1, HIGH, START, START, &other),
                     HARDY_E_LIMITED);
    assert_true(!other.open && other.at == START + S);
    hardy_keyed_limiter_cancel(l, &a, sizeof a, &r);
    hardy_keyed_limiter_cancel(l, &a, sizeof a, &r);
    assert_true(available(l, b, START) == 4);
    assert_int_equal(hardy_keyed_limiter_reserve(l, &a, sizeof a, 4, HIGH, START, START, &r),
                     HARDY_OK);
    hardy_keyed_limiter_settle(l, &a, sizeof a, &r, 1, START);
    hardy_keyed_limiter_settle(l, &a, sizeof a, &r, 100, START);
    assert_true(available(l, b, START) == 3);
    /* A bucket that was forgotten because it is full gets nothing back. */
    uint64_t zero = 0;
    assert_int_equal(
        hardy_keyed_limiter_reserve(l, &zero, sizeof zero, 4, HIGH, START + 4 * S, HARDY_NEVER, &r),
        HARDY_OK);
    int64_t now = START + 100 * S;
    for (uint64_t key = 200; key <= 200 + ENTRIES; key++) {
        assert_int_equal(take(l, key, 4, now, NULL), HARDY_OK);
    }
    assert_true(available(l, zero, now) == 0); /* what is shared is used up */
    hardy_keyed_limiter_settle(l, &zero, sizeof zero, &r, 0, now);
    assert_true(available(l, zero, now) == 0);
    hardy_keyed_limiter_free(l);
}

/* --- what holds for every key ------------------------------------------------------------------
 */

enum { KEYS = 60, MOST = 300 };
struct history {
    int64_t at[MOST];
    size_t count;
};

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Three times as many keys as entries; some are forgotten, some share, clocks go back a little. */
static void no_key_gets_more_than_its_rate_and_burst(void **state) {
    (void)state;
    static struct history histories[KEYS];
    struct prng p;
    prng_seed(&p, 21);
    uint64_t forgotten = 0, shared = 0, granted = 0;
    for (int run = 0; run < 60; run++) {
        double events = (double)(1 + prng_below(&p, 20)), burst = (double)(1 + prng_below(&p, 6));
        int64_t interval = (int64_t)ceil(1e9 / events), now = START;
        uint64_t slowly = 1 + prng_below(&p, 16);
        hardy_keyed_limiter *l = table(events, burst, 1);
        memset(histories, 0, sizeof histories);
        for (int i = 0; i < 3000; i++) {
            now += (int64_t)prng_below(&p, (uint64_t)interval / slowly);
            if (i % 500 == 499) {
                now += interval * 3;
            }
            int64_t mine = now - (int64_t)prng_below(&p, (uint64_t)interval / 2);
            uint64_t key = prng_below(&p, prng_below(&p, 2) ? KEYS : 5);
            hardy_reservation r;
            if (hardy_keyed_limiter_reserve(l, &key, sizeof key, 1, prng_below(&p, 4) ? HIGH : LOW,
                                            mine, mine + (int64_t)prng_below(&p, 3) * interval,
                                            &r) != HARDY_OK) {
                continue;
            }
            struct history *h = &histories[key];
            if (prng_below(&p, 8) == 0) {
                hardy_keyed_limiter_cancel(l, &key, sizeof key, &r);
            } else if (h->count < MOST) {
                h->at[h->count++] = r.at;
                granted++;
            }
        }
        for (size_t k = 0; k < KEYS; k++) {
            struct history *h = &histories[k];
            qsort(h->at, h->count, sizeof h->at[0], by_time);
            for (size_t i = 0; i < h->count; i++) {
                for (size_t j = i; j < h->count; j++) {
                    double most = (double)(h->at[j] - h->at[i]) / (double)interval + burst;
                    assert_true((double)(j - i + 1) <= most + 1e-9);
                }
            }
        }
        forgotten += stats(l, now).forgotten;
        shared += stats(l, now).shared;
        hardy_keyed_limiter_free(l);
    }
    assert_true(forgotten > 1000 && shared > 1000 && granted > 20000);
}

/* While there is room, nobody can tell it from a limiter of his own that is never forgotten. */
static void as_if_each_had_a_limiter_of_its_own(void **state) {
    (void)state;
    enum { OWNERS = 2000, STEPS = 100000 };
    static hardy_limiter *own[OWNERS];
    struct prng p;
    prng_seed(&p, 22);
    hardy_rate_config c;
    hardy_rate_config_init(&c, sizeof c);
    c.events = 10;
    c.burst = 5;
    hardy_keyed_limiter *l = table(c.events, c.burst, 256);
    for (size_t i = 0; i < OWNERS; i++) {
        assert_int_equal(hardy_limiter_new(&c, &own[i], NULL), HARDY_OK);
    }
    int64_t now = START;
    size_t refused = 0, first = 0;
    for (int i = 0; i < STEPS; i++) {
        now += (int64_t)prng_below(&p, 3 * MS);
        /* Fifty callers at a time, and other ones as time goes by. */
        first = (size_t)i / (STEPS / OWNERS) % OWNERS;
        uint64_t key = (first + prng_below(&p, 50)) % OWNERS;
        hardy_priority priority = prng_below(&p, 3) ? HIGH : LOW;
        double n = (double)(1 + prng_below(&p, 48)) / 8;
        int64_t latest = now + (int64_t)prng_below(&p, 300 * MS);
        hardy_reservation a = {0}, b = {0};
        hardy_status status =
            hardy_keyed_limiter_reserve(l, &key, sizeof key, n, priority, now, latest, &a);
        assert_int_equal(status, hardy_limiter_reserve(own[key], n, priority, now, latest, &b));
        assert_int_equal(a.at, b.at);
        assert_true(a.open == b.open && a.events == b.events);
        refused += status == HARDY_E_LIMITED;
        if (prng_below(&p, 4) == 0) {
            hardy_keyed_limiter_cancel(l, &key, sizeof key, &a);
            hardy_limiter_cancel(own[key], &b);
        } else if (prng_below(&p, 3) == 0) {
            double cost = (double)prng_below(&p, 60) / 8;
            now += (int64_t)prng_below(&p, 20 * MS);
            hardy_keyed_limiter_settle(l, &key, sizeof key, &a, cost, now);
            hardy_limiter_settle(own[key], &b, cost, now);
        }
        assert_true(hardy_keyed_limiter_available(l, &key, sizeof key, priority, now) ==
                    hardy_limiter_available(own[key], priority, now));
    }
    hardy_keyed_stats s = stats(l, now);
    assert_true(s.forgotten > 1000 && s.shared == 0 && refused > 10000);
    hardy_keyed_limiter_free(l);
    for (size_t i = 0; i < OWNERS; i++) {
        hardy_limiter_free(own[i]);
    }
}

static void there_is_room_for_as_many_as_were_asked_for(void **state) {
    (void)state;
    hardy_keyed_limiter *l = table(1, 1, 50000);
    for (uint64_t key = 0; key < 50000; key++) {
        (void)!take(l, key, 1, START, NULL);
    }
    hardy_keyed_stats s = stats(l, START);
    assert_true(s.entries == 100000 && s.busy + s.shared == 50000);
    assert_true(s.shared <= 100); /* one in a thousand is 50 */
    hardy_keyed_limiter_free(l);
}

/* --- settings ----------------------------------------------------------------------------------
 */

static void refuse(const hardy_rate_config *rate, uint32_t max_keys, const char *said) {
    hardy_keyed_limiter *l = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(hardy_keyed_limiter_new(rate, max_keys, NULL, &l, &error), HARDY_E_INVALID);
    assert_string_equal(error.message, said);
    assert_null(l);
}

static void refuses_settings(void **state) {
    (void)state;
    hardy_rate_config rate;
    hardy_rate_config_init(&rate, sizeof rate);
    refuse(&rate, 0, "max_keys is 0, which should be from 1 to 16777216");
    refuse(&rate, 16777217, "max_keys is 16777217, which should be from 1 to 16777216");
    rate.burst = 4;
    rate.low_floor = 0.5;
    refuse(&rate, 1, "low_floor is 0.5, which should be 0 where each key has one bucket");
    rate.low_floor = 0;
    rate.burst = 0;
    hardy_keyed_limiter *l = NULL;
    assert_int_equal(hardy_keyed_limiter_new(&rate, 1, NULL, &l, NULL), HARDY_E_INVALID);
    /* Without an env the secret is the kernel's. */
    hardy_rate_config_init(&rate, sizeof rate);
    assert_int_equal(hardy_keyed_limiter_new(&rate, 1, NULL, &l, NULL), HARDY_OK);
    assert_int_equal(take(l, 1, 1, START, NULL), HARDY_OK);
    assert_int_equal(take(l, 1, 1, START, NULL), HARDY_E_LIMITED);
    /* Who knows less of the statistics gets what he knows. */
    hardy_keyed_stats s = {.size = offsetof(hardy_keyed_stats, forgotten), .forgotten = 77};
    hardy_keyed_limiter_get_stats(l, START, &s);
    assert_true(s.busy == 1 && s.forgotten == 77);
    hardy_keyed_limiter_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_its_own),
        cmocka_unit_test(what_takes_nothing_needs_no_entry),
        cmocka_unit_test(only_the_full_are_forgotten),
        cmocka_unit_test(who_finds_no_room_shares),
        cmocka_unit_test(a_reservation_of_those_who_share),
        cmocka_unit_test(no_key_gets_more_than_its_rate_and_burst),
        cmocka_unit_test(as_if_each_had_a_limiter_of_its_own),
        cmocka_unit_test(there_is_room_for_as_many_as_were_asked_for),
        cmocka_unit_test(refuses_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
