/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BREAKER_WINDOW_H
#define POLICY_BREAKER_WINDOW_H
/* What a closed breaker counts, and whether it is enough to open. Every count carries the
 * generation it belongs to, and is void with it. */
#include "policy/breaker.h"

/* Whether successes have to be counted in a time window: a share of the calls in it matters. */
static inline bool window_has_buckets(const hardy_breaker_config *c) {
    return c->failure_mode == HARDY_FAILURE_RATE
               ? c->window_calls == 0
               : c->failure_mode == HARDY_WINDOW && c->failure_rate > 0;
}

/* A call admitted in `generation` has ended; `failed` and `slow` may both be true, `slow` matters
 * only where slow_call_rate is set. Counts it in the totals in any case. True: it makes enough to
 * open. */
bool window_record(struct breaker_words *w, const hardy_breaker_config *c,
                   struct breaker_shard *shard, uint64_t generation, bool failed, bool slow,
                   int64_t now);

/* What is in a bucket, of whatever time. */
uint64_t window_bucket_count(const atomic_word *bucket);

struct window_tally {
    uint64_t calls, failures, slow; /* where shares matter; calls that hang are in all sums */
    uint32_t hung;
    uint32_t recent; /* failures that count towards the threshold; of shares, `failures` */
};
struct window_tally window_tally(const struct breaker_words *w, const hardy_breaker_config *c,
                                 uint64_t generation, int64_t now);

/* What a closed breaker has counted, apart from any clock: ages instead of times. */
struct window_counts {
    uint32_t in_a_row;
    uint32_t recent; /* of `ages`, the oldest first */
    int64_t ages[BREAKER_RING];
    struct window_bucket {
        uint32_t successes, failures, slow;
    } buckets[BREAKER_BUCKETS]; /* by age, in buckets: 0 is that of now */
    uint32_t calls;             /* of a window of calls; bit 0 is the oldest of them */
    uint32_t failed_bits[BREAKER_CALLS / 32], slow_bits[BREAKER_CALLS / 32];
};
void window_take(const struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                 int64_t now, struct window_counts *out);
/* Puts what was taken `elapsed` ago into a generation that has counted nothing yet; what others
 * have counted in it meanwhile stays instead. */
void window_put(struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                const struct window_counts *counts, int64_t elapsed, int64_t now);

/* While slow_call is set, calls under way are watched. Does nothing when all places are taken: then
 * the permit stays what it is. */
void watch_begin(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                 hardy_permit *permit);
void watch_end(struct breaker_words *w, hardy_permit *permit); /* an ordinary permit again */
/* Whether hanging calls have to be looked for again; the second says that it is being done. */
bool watch_due(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now);
void watch_looked(struct breaker_words *w, const hardy_breaker_config *c, int64_t now);
/* Whether there are hanging calls that make enough to open. */
bool watch_opens(const struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                 int64_t now);
#endif
