/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_GCRA_H
#define POLICY_GCRA_H
/* The rate limit over relocatable words. Zero = never used. */
#include "base/atomic.h"
#include <hardy/rate.h>

struct gcra_words {
    /* The theoretical arrival time: nanoseconds on the host's monotonic clock. */
    _Alignas(64) atomic_word arrival;
    atomic_word low_arrival; /* of the events of low_floor */
};
/* What the settings come to, in whole nanoseconds: nothing is divided or rounded on the way to a
 * grant. Arrays by hardy_priority. */
struct gcra {
    int64_t interval;       /* from one event to the next */
    int64_t ahead[2];       /* how far ahead of now the arrival may be */
    double burst[2];        /* the same in events */
    int64_t floor_interval; /* of low_floor; 0: there is none */
    int64_t floor_ahead;    /* of the arrival, for the events of low_floor */
    bool debt;
};
/* `config` has passed rate_check(). */
void gcra_init(struct gcra *g, const hardy_rate_config *config);

/* Reserves n events; *at = when they may be used. E_LIMITED, and nothing taken, when *at would be
 * after `latest` (for LOW: after `now`); then *at says when that would have been. E_TOO_LARGE:
 * never. *mark (may be NULL) names the reservation for gcra_return(). */
hardy_status gcra_reserve(struct gcra_words *w, const struct gcra *g, double n,
                          hardy_priority priority, int64_t now, int64_t latest, int64_t *at,
                          uint64_t *mark);
/* The same answer, and nothing taken. */
hardy_status gcra_peek(const struct gcra_words *w, const struct gcra *g, double n,
                       hardy_priority priority, int64_t now, int64_t latest, int64_t *at);
/* Takes as many whole events as are there, at most `most`. */
double gcra_take_some(struct gcra_words *w, const struct gcra *g, double most,
                      hardy_priority priority, int64_t now);
/* Gives an unused reservation of n events back, if nobody has reserved since: a later one was
 * given its time on the strength of this one, and would be joined there by a third. */
void gcra_return(struct gcra_words *w, const struct gcra *g, double n, uint64_t mark);
/* The far side said that it has had enough: no event before `until`, and no burst then. What was
 * reserved before stays. */
void gcra_hold(struct gcra_words *w, const struct gcra *g, hardy_priority priority, int64_t until);
/* What was taken as `taken` events has cost `cost`: the difference is taken whatever is left, into
 * debt if need be, or given back. Below 0 either is 0. Exact: as if `cost` had been taken first. */
void gcra_settle(struct gcra_words *w, const struct gcra *g, double taken, double cost,
                 int64_t now);
/* n events that were taken are not used: those who reserved since keep their time, those who come
 * have it shorter. */
void gcra_credit(struct gcra_words *w, const struct gcra *g, double n);
/* The far side said how much is left; below 0 it is a debt. */
void gcra_set_left(struct gcra_words *w, const struct gcra *g, double left, int64_t now);
double gcra_available(const struct gcra_words *w, const struct gcra *g, hardy_priority priority,
                      int64_t now);
hardy_status rate_check(const hardy_rate_config *c, hardy_error *error);

/* The same over a word that somebody else arranges; without low_floor. */
hardy_status gcra_reserve_word(atomic_word *arrival, const struct gcra *g, double n,
                               hardy_priority priority, int64_t now, int64_t latest, int64_t *at,
                               uint64_t *mark);
/* What gcra_reserve_word() would say of a word with this value, for n above 0. */
hardy_status gcra_look(uint64_t word, const struct gcra *g, double n, hardy_priority priority,
                       int64_t now, int64_t latest, int64_t *at);
void gcra_return_word(atomic_word *arrival, const struct gcra *g, double n, uint64_t mark);
void gcra_settle_word(atomic_word *arrival, const struct gcra *g, double taken, double cost,
                      int64_t now);
double gcra_available_word(const atomic_word *arrival, const struct gcra *g,
                           hardy_priority priority, int64_t now);
#endif
