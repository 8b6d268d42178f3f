/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limit, alone and for each key, and the retry budget under every schedule of three
 * threads. */
#include "explore.h"
#include "policy/budget.h"
#include "policy/gcra.h"
#include <hardy/keyed.h>
#include <string.h>

#define S HARDY_SECOND
#define NOW (1000 * S)
#define MOST 16

static struct gcra_words rate_words;
static struct gcra rate;
static struct budget_words budget_words;
static hardy_budget_config budget;
static int64_t grants[MOST]; /* times for which events were granted, and used */
static int granted, tries, deposits;

static void fresh(double burst) {
    hardy_rate_config settings;
    hardy_rate_config_init(&settings, sizeof settings);
    hardy_budget_config_init(&budget, sizeof budget);
    settings.events = 1;
    settings.burst = burst;
    gcra_init(&rate, &settings);
    budget.floor = 0;
    budget.ratio = 1;
    memset(&rate_words, 0, sizeof rate_words);
    memset(&budget_words, 0, sizeof budget_words);
    granted = tries = deposits = 0;
}

/* In no window of W seconds more than W + burst. */
static void check_windows(void) {
    for (int i = 0; i < granted; i++) {
        for (int64_t end = grants[i]; end <= grants[i] + MOST * S; end += S / 2) {
            int inside = 0;
            for (int k = 0; k < granted; k++) {
                inside += grants[k] >= grants[i] && grants[k] <= end;
            }
            explore_expect((double)inside <=
                               (double)(end - grants[i]) / 1e9 + rate.burst[HARDY_PRIORITY_HIGH],
                           "a window holds more than rate * W + burst");
        }
    }
}

static void take(int64_t now, int64_t latest, bool give_back) {
    int64_t at;
    uint64_t mark;
    tries++;
    if (gcra_reserve(&rate_words, &rate, 1, HARDY_PRIORITY_HIGH, now, latest, &at, &mark) !=
        HARDY_OK) {
        explore_expect(at > latest, "refused though its time would have come");
        return;
    }
    explore_expect(at >= now && at <= latest, "granted outside of the limits given");
    if (give_back) {
        gcra_return(&rate_words, &rate, 1, mark);
    } else {
        grants[granted++] = at;
    }
}

static void burst_of_two(void) {
    fresh(2);
}
static void burst_of_one(void) {
    fresh(1);
}

static void take_now_twice(void) {
    take(NOW, NOW, false);
    take(NOW, NOW, false);
}
static void two_were_granted(void) {
    explore_expect(granted == 2, "of six tries at once not exactly the burst was granted");
    check_windows();
}

static void reserve_two(void) {
    take(NOW, HARDY_NEVER, false);
    take(NOW + S / 2, HARDY_NEVER, false);
}
static void all_were_granted(void) {
    explore_expect(granted == tries, "a reservation without a limit was refused");
    check_windows();
}

static void reserve_and_return(void) {
    take(NOW, HARDY_NEVER, true);
}
static void reserve_one(void) {
    take(NOW, HARDY_NEVER, false);
}

/* A burst of two, of which high priority leaves one to the floor, an event in two seconds. */
static void burst_with_a_floor(void) {
    hardy_rate_config settings;
    fresh(1);
    hardy_rate_config_init(&settings, sizeof settings);
    settings.burst = 2;
    settings.low_floor = 0.5;
    gcra_init(&rate, &settings);
}
static void burst_in_use_and_a_floor(void) {
    burst_with_a_floor();
    gcra_settle(&rate_words, &rate, 0, 2, NOW);
}
static bool low_at(int64_t now) {
    int64_t at;
    tries++;
    bool goes = gcra_reserve(&rate_words, &rate, 1, HARDY_PRIORITY_LOW, now, HARDY_NEVER, &at,
                             NULL) == HARDY_OK;
    explore_expect(goes ? at == now : at > now, "a time that is not its own");
    granted += goes;
    return goes;
}
static void low_now(void) {
    low_at(NOW);
}
static void high_now(void) {
    int64_t at;
    granted +=
        gcra_reserve(&rate_words, &rate, 1, HARDY_PRIORITY_HIGH, NOW, NOW, &at, NULL) == HARDY_OK;
}
static void one_and_the_floor(void) {
    explore_expect(granted == 2, "the burst of two was not granted, or more than that");
    explore_expect((int64_t)word_load(&rate_words.low_arrival) == NOW + 2 * S,
                   "not exactly one was let through by the floor");
}
static void the_floor_was_returned(void) {
    explore_expect(granted == 0, "more than the burst was granted");
    explore_expect(low_at(NOW + S), "the floor is gone, and nobody has had it");
}

static void two_tokens_left(void) {
    fresh(1);
    for (int i = 0; i < 8; i++) {
        explore_expect(budget_withdraw(&budget_words, &budget, 1, NOW), "ten tokens are kept");
    }
}
static void withdraw(void) {
    granted += budget_withdraw(&budget_words, &budget, 1, NOW);
}
static void withdraw_twice(void) {
    withdraw();
    withdraw();
}
static void deposit(void) {
    budget_deposit(&budget_words, &budget, NOW);
    deposits++;
}
static void withdraw_and_refund(void) {
    if (budget_withdraw(&budget_words, &budget, 1, NOW)) {
        budget_refund(&budget_words, &budget, 1, NOW);
    }
}
static void nothing_overspent(void) {
    double left = budget_left(&budget_words, &budget, NOW);
    explore_expect(granted <= 2 + deposits, "more was spent than there was");
    explore_expect(left == 2 + deposits - granted, "a token was lost or made");
}
static void both_were_spent(void) {
    explore_expect(granted == 2, "two tokens were there and not both were spent");
    nothing_overspent();
}
static void deposit_at_full_loses_nothing(void) {
    explore_expect(budget_left(&budget_words, &budget, NOW) >= 10 - granted,
                   "a deposit took something away");
    explore_expect(budget_left(&budget_words, &budget, NOW) <= 10, "more is kept than may be");
}

/* Used up, and then not used for so long that it is full again. */
static void used_up_long_ago(void) {
    fresh(1);
    explore_expect(budget_withdraw(&budget_words, &budget, 10, NOW - budget.ttl), "ten are kept");
}
static void withdraw_of_three_and_of_one(void) {
    granted += 3 * budget_withdraw(&budget_words, &budget, 3, NOW);
    withdraw();
}
static void filled_once(void) {
    explore_expect(budget_left(&budget_words, &budget, NOW) == 10 - granted,
                   "it was not filled once, but twice or never");
}

/* --- a limit for each key: a table of one entry, a burst of one ------------------------------- */

static hardy_keyed_limiter *keyed;
static int64_t keyed_grants[2][MOST];
static int keyed_granted[2];

static uint64_t no_secret(void *ctx) {
    (void)ctx;
    return 1;
}

static void one_entry(void) {
    hardy_rate_config settings;
    hardy_env env = {.size = sizeof env, .random = no_secret};
    hardy_rate_config_init(&settings, sizeof settings);
    explore_expect(hardy_keyed_limiter_new(&settings, 1, &env, &keyed, NULL) == HARDY_OK,
                   "there is no table");
    memset(keyed_granted, 0, sizeof keyed_granted);
}
static bool take_keyed(int key, int64_t now) {
    if (hardy_keyed_limiter_take(keyed, &key, sizeof key, 1, HARDY_PRIORITY_HIGH, now, NULL) !=
        HARDY_OK) {
        return false;
    }
    keyed_grants[key][keyed_granted[key]++] = now;
    return true;
}
static void first_now_and_once_more(void) {
    take_keyed(0, NOW);
    take_keyed(0, NOW);
}
static void second_when_it_is_full(void) {
    take_keyed(1, NOW + S);
}
static void second_half_way_and_when_it_is_full(void) {
    take_keyed(1, NOW + S / 2);
    take_keyed(1, NOW + S);
}
static void first_when_it_is_full(void) {
    take_keyed(0, NOW + S);
}
static void no_key_has_too_many(void) {
    for (int key = 0; key < 2; key++) {
        for (int i = 0; i < keyed_granted[key]; i++) {
            int inside = 0; /* the window of S that begins with it, without its end */
            for (int k = 0; k < keyed_granted[key]; k++) {
                inside += keyed_grants[key][k] >= keyed_grants[key][i] &&
                          keyed_grants[key][k] < keyed_grants[key][i] + S;
            }
            explore_expect(inside <= 1, "a key got more than its burst");
        }
    }
    hardy_keyed_limiter_free(keyed);
}
static void taken_and_full_again(void) {
    one_entry();
    explore_expect(take_keyed(0, NOW), "the first event is refused");
}
static void both_are_full(void) {
    explore_expect(keyed_granted[0] == 2 && keyed_granted[1] == 1,
                   "a key whose bucket is full was refused");
    no_key_has_too_many();
}

const struct scenario limit_scenarios[] = {
    {"gcra: six tries at once for a burst of two",
     EXPLORE_ALL,
     burst_of_two,
     {take_now_twice, take_now_twice, take_now_twice},
     two_were_granted},
    {"gcra: four reservations",
     EXPLORE_ALL,
     burst_of_one,
     {reserve_two, reserve_one, reserve_one},
     all_were_granted},
    {"gcra: one of three is returned",
     EXPLORE_ALL,
     burst_of_one,
     {reserve_and_return, reserve_one, reserve_one},
     check_windows},
    {"gcra: a floor of one",
     EXPLORE_ALL,
     burst_with_a_floor,
     {low_now, high_now, low_now},
     one_and_the_floor},
    {"gcra: a floor that has no room",
     EXPLORE_ALL,
     burst_in_use_and_a_floor,
     {low_now, low_now, low_now},
     the_floor_was_returned},
    {"budget: retries after nobody has called for its ttl",
     EXPLORE_ALL,
     used_up_long_ago,
     {withdraw_of_three_and_of_one, withdraw, withdraw},
     filled_once},
    {"budget: six retries for two tokens",
     EXPLORE_ALL,
     two_tokens_left,
     {withdraw_twice, withdraw_twice, withdraw_twice},
     both_were_spent},
    {"budget: retries and a deposit",
     EXPLORE_ALL,
     two_tokens_left,
     {withdraw_twice, deposit, withdraw_twice},
     nothing_overspent},
    {"budget: retries and a refund",
     EXPLORE_ALL,
     two_tokens_left,
     {withdraw, withdraw_and_refund, deposit},
     nothing_overspent},
    {"budget: retries and deposits of a full one",
     EXPLORE_ALL,
     burst_of_one,
     {withdraw_twice, deposit, deposit},
     deposit_at_full_loses_nothing},
    {"keyed: a key that is forgotten while it is used",
     EXPLORE_ALL,
     one_entry,
     {first_now_and_once_more, second_when_it_is_full},
     no_key_has_too_many},
    {"keyed: a key that shares and then has an entry",
     EXPLORE_ALL,
     one_entry,
     {first_now_and_once_more, second_half_way_and_when_it_is_full},
     no_key_has_too_many},
    {"keyed: two full buckets and one entry",
     EXPLORE_ALL,
     taken_and_full_again,
     {first_when_it_is_full, second_when_it_is_full},
     both_are_full},
    {0},
};
