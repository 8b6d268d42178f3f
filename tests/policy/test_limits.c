/* SPDX-License-Identifier: Apache-2.0 */
/* Retry budget and concurrency slots, each in one thread. */
#include "../cmocka_all.h"

#include "base/prng.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND
#define START (1000 * S)

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
    while (budget_withdraw(w, c, 1, now)) {
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
        budget_refund(&w, &c, 1, START + i);
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
        assert_int_equal(budget_withdraw(&w, &c, 1, START), i % 10 == 9);
    }
    budget_refund(&w, &c, 1, START);
    assert_int_equal(drain(&w, &c, START + c.ttl - MS), 1);
}

/* linkedin/venice#1498: a budget that was used up in an outage, and never filled again. */
static void full_again_when_nobody_called(void **state) {
    (void)state;
    struct budget_words w = {0};
    hardy_budget_config c = budget(0.1, 0);
    drain(&w, &c, START);
    assert_int_equal(drain(&w, &c, START + c.ttl - MS), 0);
    /* Who calls uses it, be it that he pays nothing in. */
    c.ratio = 0;
    budget_deposit(&w, &c, START + c.ttl - MS);
    assert_int_equal(drain(&w, &c, START + c.ttl), 0);
    assert_true(budget_left(&w, &c, START + 2 * c.ttl - MS) == 10);
    assert_int_equal(drain(&w, &c, START + 2 * c.ttl - MS), 10);
    c.ttl = HARDY_HOUR;
    c.floor = 2;
    assert_int_equal(drain(&w, &c, START + 2 * HARDY_HOUR), 7210);
}

static void costs(void **state) {
    (void)state;
    struct budget_words w = {0};
    hardy_budget_config c = budget(0.1, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(budget_withdraw(&w, &c, 3, START));
    }
    assert_false(budget_withdraw(&w, &c, 2, START));
    assert_true(budget_withdraw(&w, &c, 1, START));
    budget_refund(&w, &c, 3, START);
    assert_true(budget_left(&w, &c, START) == 3);
    assert_true(budget_withdraw(&w, &c, 3, START));
    assert_false(budget_withdraw(&w, &c, 100, START + c.ttl));
}

/* The same rules over plain numbers, with what is there and not what is missing. */
struct oracle {
    int64_t left, most, floor, ttl, last; /* in 1/1000 tokens; a second is 1000 ms */
};

static int64_t oracle_left(const struct oracle *o, int64_t ms) {
    int64_t left = o->left + (ms - o->last) * o->floor;
    return ms - o->last >= o->ttl || left > o->most ? o->most : left;
}

static void oracle_becomes(struct oracle *o, int64_t left, int64_t ms) {
    o->left = left > o->most ? o->most : left;
    o->last = ms;
}

static void as_an_oracle_says(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 7);
    uint32_t granted = 0, refused = 0;
    for (int run = 0; run < 200; run++) {
        int64_t floor_ = (int64_t)prng_below(&p, 20), ms = (int64_t)prng_below(&p, 1 << 30);
        hardy_budget_config c = budget((double)prng_below(&p, 30) / 10, (double)floor_);
        c.ttl = (int64_t)(1000 + prng_below(&p, 20000)) * MS;
        struct budget_words w = {0};
        struct oracle o = {.floor = floor_, .ttl = c.ttl / MS, .last = ms};
        o.left = o.most = floor_ * o.ttl + 10000;
        for (int i = 0; i < 500; i++) {
            uint32_t tokens = 1 + (uint32_t)prng_below(&p, 3);
            ms += (int64_t)prng_below(&p, i % 50 == 0 ? 40000 : 60);
            int64_t left = oracle_left(&o, ms);
            if (prng_below(&p, 4) != 0) {
                bool pays = left >= tokens * 1000;
                assert_int_equal(budget_withdraw(&w, &c, tokens, ms * MS), pays);
                if (pays) {
                    oracle_becomes(&o, left - tokens * 1000, ms);
                }
                granted += pays;
                refused += !pays;
            } else if (prng_below(&p, 2) == 0) {
                budget_deposit(&w, &c, ms * MS);
                oracle_becomes(&o, left + (int64_t)(c.ratio * 1000 + 0.5), ms);
            } else {
                budget_refund(&w, &c, tokens, ms * MS);
                oracle_becomes(&o, left + tokens * 1000, ms);
            }
            assert_true(budget_left(&w, &c, ms * MS) == (double)oracle_left(&o, ms) / 1000);
        }
    }
    assert_true(granted > 10000 && refused > 10000);
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
    assert_false(budget_withdraw(&w, &c, 1, START - 900 * MS));
    assert_true(budget_withdraw(&w, &c, 1, START + 100 * MS));
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

/* --- the adaptive limit ---------------------------------------------------------------------- */

/* `count` calls at once; `dropped` of them are, the others succeed. */
static void round_trip(struct bulkhead *b, uint32_t count, uint32_t dropped) {
    struct bulkhead_waiter w = {0};
    uint64_t marks[64];
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(bulkhead_acquire(b, &w), BULKHEAD_GRANTED);
        marks[i] = bulkhead_mark(b);
    }
    for (uint32_t i = 0; i < count; i++) {
        bulkhead_learn(b, marks[i], i < dropped);
        bulkhead_release(b);
    }
}

static void make_adaptive(struct bulkhead *b, uint32_t max, uint32_t min) {
    hardy_bulkhead_config c;
    hardy_bulkhead_config_init(&c, sizeof c);
    assert_false(c.adaptive);
    c.max_concurrent = max;
    c.min_concurrent = min;
    c.adaptive = true;
    assert_int_equal(bulkhead_init(b, &c, NULL), HARDY_OK);
    assert_int_equal(bulkhead_limit_now(b), max);
}

static void falls_once_a_round_trip(void **state) {
    (void)state;
    struct bulkhead b;
    make_adaptive(&b, 20, 3);
    round_trip(&b, 20, 20);
    assert_int_equal(bulkhead_limit_now(&b), 14);
    round_trip(&b, 14, 1);
    assert_int_equal(bulkhead_limit_now(&b), 9);
    /* By what was under way, not by a limit that nobody had used. */
    round_trip(&b, 5, 1);
    assert_int_equal(bulkhead_limit_now(&b), 3);
    round_trip(&b, 3, 3);
    assert_int_equal(bulkhead_limit_now(&b), 3);
    bulkhead_destroy(&b);
}

static void rises_while_it_is_used(void **state) {
    (void)state;
    struct bulkhead b;
    make_adaptive(&b, 12, 1);
    round_trip(&b, 12, 1); /* the eleven successes are of the limit before */
    assert_int_equal(bulkhead_limit_now(&b), 8);
    for (int i = 0; i < 100; i++) {
        round_trip(&b, 3, 0); /* less than half: teaches nothing */
    }
    assert_int_equal(bulkhead_limit_now(&b), 8);
    /* One after another: half of them at once is enough for the first five of each eight. */
    int rounds = 0;
    while (bulkhead_limit_now(&b) < 12) {
        round_trip(&b, bulkhead_limit_now(&b), 0);
        assert_true(++rounds < 12);
    }
    assert_true(rounds >= 4); /* one more a round trip, not twice as many */
    round_trip(&b, 12, 0);
    assert_int_equal(bulkhead_limit_now(&b), 12);
    bulkhead_destroy(&b);
}

static void adapts_below_what_a_remedy_allows(void **state) {
    (void)state;
    struct bulkhead b;
    hardy_bulkhead_config c;
    make_adaptive(&b, 20, 1);
    bulkhead_limit(&b, 10);
    assert_int_equal(bulkhead_limit_now(&b), 10);
    round_trip(&b, 10, 1);
    assert_int_equal(bulkhead_limit_now(&b), 7);
    bulkhead_limit(&b, 3);
    assert_int_equal(bulkhead_limit_now(&b), 3);
    bulkhead_limit(&b, 0);
    assert_int_equal(bulkhead_limit_now(&b), 7);
    /* Other settings: what was learned stays as far as they allow. */
    hardy_bulkhead_config_init(&c, sizeof c);
    c.adaptive = true;
    c.max_concurrent = 30;
    bulkhead_change(&b, &c);
    assert_int_equal(bulkhead_limit_now(&b), 7);
    c.min_concurrent = 9;
    bulkhead_change(&b, &c);
    assert_int_equal(bulkhead_limit_now(&b), 9);
    c.max_concurrent = 9;
    bulkhead_change(&b, &c);
    assert_int_equal(bulkhead_limit_now(&b), 9);
    c.adaptive = false;
    c.max_concurrent = 40;
    bulkhead_change(&b, &c);
    assert_int_equal(bulkhead_limit_now(&b), 40);
    round_trip(&b, 20, 20);
    assert_int_equal(bulkhead_limit_now(&b), 40);
    bulkhead_destroy(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_when_never_used),
        cmocka_unit_test(deposits_pay_for_retries),
        cmocka_unit_test(the_floor_flows_in),
        cmocka_unit_test(times_that_wrap_or_go_backwards),
        cmocka_unit_test(refuses_budgets),
        cmocka_unit_test(slots_are_handed_over_in_order),
        cmocka_unit_test(lowered_for_a_while),
        cmocka_unit_test(without_a_queue),
        cmocka_unit_test(full_again_when_nobody_called),
        cmocka_unit_test(costs),
        cmocka_unit_test(as_an_oracle_says),
        cmocka_unit_test(falls_once_a_round_trip),
        cmocka_unit_test(rises_while_it_is_used),
        cmocka_unit_test(adapts_below_what_a_remedy_allows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
