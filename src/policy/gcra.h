/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_GCRA_H
#define POLICY_GCRA_H
/* The rate limit over one relocatable word: the theoretical arrival time. Zero = never used. */
#include "base/atomic.h"
#include <hardy/rate.h>

struct gcra_words {
    _Alignas(64) atomic_word arrival; /* nanoseconds on the host's monotonic clock */
};
/* Reserves n events; *at = when they may be used. False, and nothing taken, when *at would be after
 * `latest`; then *at says when that would have been (HARDY_NEVER: n is above the burst). *mark (may
 * be NULL) names the reservation for gcra_return(). */
bool gcra_reserve(struct gcra_words *w, const hardy_rate_config *c, double n, int64_t now,
                  int64_t latest, int64_t *at, uint64_t *mark);
/* Gives an unused reservation of n events back, if nobody has reserved since: a later one was
 * given its time on the strength of this one, and would be joined there by a third. */
void gcra_return(struct gcra_words *w, const hardy_rate_config *c, double n, uint64_t mark);
/* The far side said that it has had enough: no event before `until`, and no burst then. What was
 * reserved before stays. */
void gcra_hold(struct gcra_words *w, const hardy_rate_config *c, int64_t until);
/* Takes n events whatever is left, into debt if need be: what turned out to cost more. With n below
 * 0 gives back what turned out to cost less. */
void gcra_charge(struct gcra_words *w, const hardy_rate_config *c, double n, int64_t now);
/* n events that were taken are not used: those who reserved since keep their time, those who come
 * have it shorter. */
void gcra_credit(struct gcra_words *w, const hardy_rate_config *c, double n);
/* The far side said how much is left; below 0 it is a debt. */
void gcra_set_left(struct gcra_words *w, const hardy_rate_config *c, double left, int64_t now);
double gcra_available(const struct gcra_words *w, const hardy_rate_config *c, int64_t now);
hardy_status rate_check(const hardy_rate_config *c, hardy_error *error);
#endif
