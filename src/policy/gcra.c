/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The word holds the theoretical arrival time: when the bucket will be full again. Taking n events
 * moves it n intervals on from now (or from itself, when that is later); they may be used as soon
 * as it is no further ahead than the burst takes to refill.
 *
 * The interval between two events is rounded up to a whole nanosecond, so that no rounding adds up
 * to one event too many; rates that do not divide a second come out slower by at most that.
 */
#include "policy/gcra.h"
#include "base/clock.h"
#include <math.h>

static double interval(const hardy_rate_config *c) {
    return ceil((double)c->period / c->events);
}

/* How long n events take to flow in; saturates. */
static int64_t cost(const hardy_rate_config *c, double n) {
    double span = ceil(n * interval(c));
    return span < 0x1p63 ? (int64_t)span : HARDY_NEVER;
}

static double usable_burst(const hardy_rate_config *c) {
    return c->low_priority ? fmax(c->burst / 2, 1) : c->burst;
}

bool gcra_reserve(struct gcra_words *w, const hardy_rate_config *c, double n, int64_t now,
                  int64_t latest, int64_t *at, uint64_t *mark) {
    if (mark) {
        *mark = 0;
    }
    if (n <= 0) {
        *at = now;
        return true;
    }
    double burst = usable_burst(c);
    if (!(n <= burst)) {
        *at = HARDY_NEVER;
        return false;
    }
    int64_t ahead = cost(c, burst), span = cost(c, n);
    uint64_t before = word_load(&w->arrival);
    for (;;) {
        int64_t arrival = (int64_t)before > now ? (int64_t)before : now;
        int64_t next = time_add(arrival, span);
        if (next == HARDY_NEVER) {
            *at = HARDY_NEVER;
            return false;
        }
        *at = next - ahead > now ? next - ahead : now;
        if (*at > latest) {
            return false;
        }
        if (word_cas(&w->arrival, &before, (uint64_t)next)) {
            if (mark) {
                *mark = (uint64_t)next;
            }
            return true;
        }
    }
}

void gcra_return(struct gcra_words *w, const hardy_rate_config *c, double n, uint64_t mark) {
    if (mark != 0) {
        uint64_t expected = mark;
        word_cas(&w->arrival, &expected, mark - (uint64_t)cost(c, n));
    }
}

void gcra_hold(struct gcra_words *w, const hardy_rate_config *c, int64_t until) {
    int64_t ahead = cost(c, usable_burst(c)) - cost(c, 1);
    uint64_t before = word_load(&w->arrival);
    int64_t arrival = time_add(until, ahead);
    while ((int64_t)before < arrival && arrival != HARDY_NEVER &&
           !word_cas(&w->arrival, &before, (uint64_t)arrival)) {
    }
}

void gcra_charge(struct gcra_words *w, const hardy_rate_config *c, double n, int64_t now) {
    int64_t span = n >= 0 ? cost(c, n) : -cost(c, -n);
    uint64_t before = word_load(&w->arrival), next;
    do {
        int64_t arrival = time_add((int64_t)before > now ? (int64_t)before : now, span);
        next = (uint64_t)(arrival > 0 ? arrival : 0);
    } while (!word_cas(&w->arrival, &before, next));
}

void gcra_credit(struct gcra_words *w, const hardy_rate_config *c, double n) {
    int64_t span = n > 0 ? cost(c, n) : 0;
    uint64_t before = word_load(&w->arrival), next;
    do {
        next = (int64_t)before > span ? before - (uint64_t)span : 0;
    } while (!word_cas(&w->arrival, &before, next));
}

void gcra_set_left(struct gcra_words *w, const hardy_rate_config *c, double left, int64_t now) {
    double used = c->burst - left;
    word_store(&w->arrival, (uint64_t)time_add(now, used > 0 ? cost(c, used) : 0));
}

double gcra_available(const struct gcra_words *w, const hardy_rate_config *c, int64_t now) {
    int64_t arrival = (int64_t)word_load(&w->arrival);
    double burst = usable_burst(c);
    double used = arrival > now ? (double)(arrival - now) / interval(c) : 0;
    return used < burst ? burst - used : 0;
}
