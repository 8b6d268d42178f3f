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

/* How long n events take to flow in; saturates. Exact for whole events; without ceil(), which is a
 * call into the library. */
static int64_t cost(const struct gcra *g, double n) {
    if (!(n < 0x1p62)) {
        return HARDY_NEVER;
    }
    int64_t whole = (int64_t)n, span;
    if ((double)whole == n) {
        return __builtin_mul_overflow(whole, g->interval, &span) ? HARDY_NEVER : span;
    }
    double exact = n * (double)g->interval;
    if (!(exact < 0x1p63)) {
        return HARDY_NEVER;
    }
    span = (int64_t)exact;
    return span + ((double)span < exact);
}

static int64_t interval(int64_t period, double events) {
    double exact = ceil((double)period / events);
    return exact < 0x1p63 ? (int64_t)exact : HARDY_NEVER;
}

void gcra_init(struct gcra *g, const hardy_rate_config *c) {
    *g = (struct gcra){.interval = interval(c->period, c->events), .debt = c->debt};
    g->burst[HARDY_PRIORITY_HIGH] = c->burst;
    g->burst[HARDY_PRIORITY_LOW] = fmax(c->burst / 2, 1);
    if (c->low_floor > 0) {
        g->floor_interval = interval(c->period, c->low_floor);
        g->floor_ahead = cost(g, c->burst);
        g->burst[HARDY_PRIORITY_HIGH] -= 1;
    }
    for (int i = 0; i < 2; i++) {
        g->ahead[i] = cost(g, g->burst[i]);
    }
}

/* --- one word --------------------------------------------------------------------------------- */

/* When `span` may be used with the word as it is, and what becomes of the word then. */
static int64_t slot(uint64_t word, int64_t span, int64_t ahead, int64_t now, int64_t *next) {
    int64_t arrival = (int64_t)word > now ? (int64_t)word : now;
    *next = time_add(arrival, span);
    return *next == HARDY_NEVER ? HARDY_NEVER : *next - ahead > now ? *next - ahead : now;
}

static hardy_status reserve(atomic_word *arrival, int64_t span, int64_t ahead, int64_t now,
                            int64_t latest, int64_t *at, uint64_t *mark) {
    uint64_t before = word_load(arrival);
    int64_t next;
    for (;;) {
        *at = slot(before, span, ahead, now, &next);
        if (*at > latest || next == HARDY_NEVER) {
            return HARDY_E_LIMITED;
        }
        if (word_cas(arrival, &before, (uint64_t)next)) {
            if (mark) {
                *mark = (uint64_t)next;
            }
            return HARDY_OK;
        }
    }
}

/* The span of n events and how far ahead they may reach; false: they are never granted. */
static bool measure(const struct gcra *g, double n, hardy_priority priority, int64_t *span,
                    int64_t *ahead) {
    *span = cost(g, n);
    *ahead = g->ahead[priority];
    if (n <= g->burst[priority]) {
        return true;
    }
    /* A debt begins with a full bucket: nothing of what was taken before is left to flow in. */
    *ahead = *span;
    return g->debt && *span != HARDY_NEVER;
}

hardy_status gcra_reserve_word(atomic_word *arrival, const struct gcra *g, double n,
                               hardy_priority priority, int64_t now, int64_t latest, int64_t *at,
                               uint64_t *mark) {
    int64_t span, ahead;
    if (mark) {
        *mark = 0;
    }
    if (n <= 0) {
        *at = now;
        return HARDY_OK;
    }
    if (!measure(g, n, priority, &span, &ahead)) {
        *at = HARDY_NEVER;
        return HARDY_E_TOO_LARGE;
    }
    return reserve(arrival, span, ahead, now, priority == HARDY_PRIORITY_LOW ? now : latest, at,
                   mark);
}

hardy_status gcra_look(uint64_t word, const struct gcra *g, double n, hardy_priority priority,
                       int64_t now, int64_t latest, int64_t *at) {
    int64_t span, ahead, next;
    if (!measure(g, n, priority, &span, &ahead)) {
        *at = HARDY_NEVER;
        return HARDY_E_TOO_LARGE;
    }
    *at = slot(word, span, ahead, now, &next);
    bool goes = *at <= (priority == HARDY_PRIORITY_LOW ? now : latest) && next != HARDY_NEVER;
    return goes ? HARDY_OK : HARDY_E_LIMITED;
}

void gcra_return_word(atomic_word *arrival, const struct gcra *g, double n, uint64_t mark) {
    if (mark != 0) {
        uint64_t expected = mark;
        word_cas(arrival, &expected, mark - (uint64_t)cost(g, n));
    }
}

/* Both are rounded as they were when they were taken: a difference that is rounded by itself gives
 * back a nanosecond too much now and then. */
void gcra_settle_word(atomic_word *arrival, const struct gcra *g, double taken, double used,
                      int64_t now) {
    int64_t span = (used > 0 ? cost(g, used) : 0) - (taken > 0 ? cost(g, taken) : 0);
    uint64_t before = word_load(arrival), next;
    do {
        int64_t to = time_add((int64_t)before > now ? (int64_t)before : now, span);
        next = (uint64_t)(to > 0 ? to : 0);
    } while (!word_cas(arrival, &before, next));
}

double gcra_available_word(const atomic_word *arrival, const struct gcra *g,
                           hardy_priority priority, int64_t now) {
    int64_t word = (int64_t)word_load(arrival);
    double burst = g->burst[priority];
    double used = word > now ? (double)(word - now) / (double)g->interval : 0;
    return used < burst ? burst - used : 0;
}

/* --- a limiter's words ------------------------------------------------------------------------ */

/* Low priority was refused within its own half of the burst. Events of its floor, which come at a
 * pace of their own, may use the whole burst, of which the high ones leave one. */
static hardy_status reserve_floor(struct gcra_words *w, const struct gcra *g, double n, int64_t now,
                                  int64_t *at, uint64_t *mark) {
    int64_t paced = time_scale(g->floor_interval, n), floor_at, main_at = now;
    uint64_t floor_mark;
    if (reserve(&w->low_arrival, paced, paced, now, now, &floor_at, &floor_mark) != HARDY_OK) {
        *at = floor_at < *at ? floor_at : *at;
        return HARDY_E_LIMITED;
    }
    if (reserve(&w->arrival, cost(g, n), g->floor_ahead, now, now, &main_at, mark) == HARDY_OK) {
        *at = now;
        return HARDY_OK;
    }
    *at = main_at < *at ? main_at : *at;
    uint64_t expected = floor_mark;
    word_cas(&w->low_arrival, &expected, floor_mark - (uint64_t)paced);
    return HARDY_E_LIMITED;
}

hardy_status gcra_reserve(struct gcra_words *w, const struct gcra *g, double n,
                          hardy_priority priority, int64_t now, int64_t latest, int64_t *at,
                          uint64_t *mark) {
    hardy_status status = gcra_reserve_word(&w->arrival, g, n, priority, now, latest, at, mark);
    if (status == HARDY_E_LIMITED && priority == HARDY_PRIORITY_LOW && g->floor_interval > 0) {
        return reserve_floor(w, g, n, now, at, mark);
    }
    return status;
}

hardy_status gcra_peek(const struct gcra_words *w, const struct gcra *g, double n,
                       hardy_priority priority, int64_t now, int64_t latest, int64_t *at) {
    struct gcra_words copy = {word_load(&w->arrival), word_load(&w->low_arrival)};
    return gcra_reserve(&copy, g, n, priority, now, latest, at, NULL);
}

double gcra_take_some(struct gcra_words *w, const struct gcra *g, double most,
                      hardy_priority priority, int64_t now) {
    if (!(most >= 1)) {
        return 0;
    }
    uint64_t before = word_load(&w->arrival);
    for (;;) {
        int64_t arrival = (int64_t)before > now ? (int64_t)before : now;
        int64_t room = time_add(now, g->ahead[priority]) - arrival;
        int64_t n = room > 0 ? room / g->interval : 0;
        n = (double)n > most ? (int64_t)most : n;
        if (n == 0) {
            return 0;
        }
        if (word_cas(&w->arrival, &before, (uint64_t)(arrival + n * g->interval))) {
            return (double)n;
        }
    }
}

void gcra_return(struct gcra_words *w, const struct gcra *g, double n, uint64_t mark) {
    gcra_return_word(&w->arrival, g, n, mark);
}

void gcra_hold(struct gcra_words *w, const struct gcra *g, hardy_priority priority, int64_t until) {
    uint64_t before = word_load(&w->arrival);
    int64_t arrival = time_add(until, g->ahead[priority] - g->interval);
    while ((int64_t)before < arrival && arrival != HARDY_NEVER &&
           !word_cas(&w->arrival, &before, (uint64_t)arrival)) {
    }
}

void gcra_settle(struct gcra_words *w, const struct gcra *g, double taken, double cost,
                 int64_t now) {
    gcra_settle_word(&w->arrival, g, taken, cost, now);
}

void gcra_credit(struct gcra_words *w, const struct gcra *g, double n) {
    int64_t span = n > 0 ? cost(g, n) : 0;
    uint64_t before = word_load(&w->arrival), next;
    do {
        next = (int64_t)before > span ? before - (uint64_t)span : 0;
    } while (!word_cas(&w->arrival, &before, next));
}

void gcra_set_left(struct gcra_words *w, const struct gcra *g, double left, int64_t now) {
    double used = g->burst[HARDY_PRIORITY_HIGH] - left;
    word_store(&w->arrival, (uint64_t)time_add(now, used > 0 ? cost(g, used) : 0));
}

double gcra_available(const struct gcra_words *w, const struct gcra *g, hardy_priority priority,
                      int64_t now) {
    return gcra_available_word(&w->arrival, g, priority, now);
}
