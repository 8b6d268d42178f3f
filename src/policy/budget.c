/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word holds what is missing from a full budget (34 bits, in 1/1000 tokens) and when that was
 * last brought up to date (30 bits, ms, which wrap around after twelve days). So zero is full, and
 * a budget that nobody draws on is never written. One that is not full is brought up to date by
 * each call: if that was long ago, nobody has called since.
 */
#include "policy/budget.h"

#define TOKEN 1000
#define TIME_BITS 30
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
/* Clocks of two threads may differ a little; a time that far back is a wrapped one. */
#define BACKWARDS 1000
#define TOKENS_KEPT 10

static uint64_t capacity(const hardy_budget_config *c) {
    double inflow = c->floor * ((double)c->ttl / (double)HARDY_SECOND);
    return (uint64_t)(inflow * TOKEN + 0.5) + TOKENS_KEPT * TOKEN;
}

static uint64_t missing_of(uint64_t word) {
    return word >> TIME_BITS;
}

static uint64_t ms_of(int64_t now) {
    return now < 0 ? 0 : (uint64_t)(now / HARDY_MILLISECOND) & TIME_MASK;
}

/* What has flowed in between two times. The difference of two rounded totals, so that nothing is
 * lost however often it is asked; `floor` tokens a second are as many 1/1000 a millisecond. */
static uint64_t inflow(const hardy_budget_config *c, uint64_t from, uint64_t elapsed) {
    int64_t end = (int64_t)((double)(from + elapsed) * c->floor);
    return (uint64_t)(end - (int64_t)((double)from * c->floor));
}

/* The word as it would be at `now`, less `paid`. */
static uint64_t current(uint64_t word, const hardy_budget_config *c, int64_t now, uint64_t paid) {
    uint64_t missing = missing_of(word), last = word & TIME_MASK, ms = ms_of(now);
    uint64_t elapsed = (ms - last) & TIME_MASK;
    if (missing == 0) {
        return ms;
    }
    if (elapsed > TIME_MASK - BACKWARDS) {
        ms = last;
        elapsed = 0;
    } else if (elapsed >= (uint64_t)(c->ttl / HARDY_MILLISECOND)) {
        return ms;
    }
    uint64_t paid_in = paid + inflow(c, last, elapsed);
    missing = missing > paid_in ? missing - paid_in : 0;
    return missing << TIME_BITS | ms;
}

static void pay(struct budget_words *w, const hardy_budget_config *c, int64_t now, uint64_t paid) {
    uint64_t before = word_load(&w->balance);
    while (missing_of(before) > 0 &&
           !word_cas(&w->balance, &before, current(before, c, now, paid))) {
    }
}

void budget_deposit(struct budget_words *w, const hardy_budget_config *c, int64_t now) {
    pay(w, c, now, (uint64_t)(c->ratio * TOKEN + 0.5));
}

void budget_refund(struct budget_words *w, const hardy_budget_config *c, uint32_t tokens,
                   int64_t now) {
    pay(w, c, now, (uint64_t)tokens * TOKEN);
}

bool budget_withdraw(struct budget_words *w, const hardy_budget_config *c, uint32_t tokens,
                     int64_t now) {
    uint64_t cost = (uint64_t)tokens * TOKEN;
    uint64_t before = word_load(&w->balance);
    for (;;) {
        uint64_t next = current(before, c, now, 0);
        if (missing_of(next) + cost > capacity(c)) {
            return false;
        }
        if (word_cas(&w->balance, &before, next + (cost << TIME_BITS))) {
            return true;
        }
    }
}

double budget_left(const struct budget_words *w, const hardy_budget_config *c, int64_t now) {
    uint64_t missing = missing_of(current(word_load(&w->balance), c, now, 0));
    return (double)(capacity(c) - missing) / TOKEN;
}
