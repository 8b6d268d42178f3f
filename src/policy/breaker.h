/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H
/*
 * The breaker over relocatable words, so that the same code serves one process and, over mapped
 * memory, all processes of a host. All zero = closed, never used.
 *
 * The decision is one word (state, successes of the trials, generation, until); each trial is one
 * word (generation, lease). Times in the words are milliseconds, rounded up; `now` is below
 * 2^41 ms (69 years), later times are never.
 */
#include "base/atomic.h"
#include <hardy/breaker.h>

#define BREAKER_TRIALS 8
#define BREAKER_RING 64
#define BREAKER_SHARDS 8
/* The kinds of a permit. */
#define PERMIT_CALL 1
#define PERMIT_TRIAL 2

struct breaker_shard {
    _Alignas(64) atomic_word calls; /* admitted */
    atomic_word successes, failures;
    atomic_word rejected;
};
struct breaker_words {
    _Alignas(64)
        atomic_word decision; /* on its own line: admission of a closed breaker reads it only */
    _Alignas(64) atomic_word ramp; /* admitted since closing, while paced, with the generation */
    atomic_word consecutive;       /* failures in a row, with their generation */
    atomic_word opened;            /* how often */
    atomic_word ring_next;         /* failures so far, with their generation */
    atomic_word trials[BREAKER_TRIALS];
    atomic_word ring[BREAKER_RING]; /* (ms, generation) of the last failures */
    struct breaker_shard shards[BREAKER_SHARDS];
};

/* A change of state this call made; from == to: none. */
struct breaker_change {
    hardy_breaker_state from, to;
};

/* Would a call be admitted? Changes nothing. *retry_at: absolute, when to ask again. */
bool breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                  int64_t *retry_at);
/* Counts a call that was refused after a peek; breaker_acquire() counts those it refuses itself. */
void breaker_count_rejected(struct breaker_words *w);
/* `lease`: how long a trial may take; c->trial_lease when that is longer. `change` may be NULL. */
bool breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                     int64_t lease, hardy_permit *permit, int64_t *retry_at,
                     struct breaker_change *change);
void breaker_record(struct breaker_words *w, const hardy_breaker_config *c, hardy_permit *permit,
                    hardy_outcome_class outcome, int64_t now, struct breaker_change *change);
/* HARDY_FORCED_OPEN, HARDY_DISABLED, HARDY_CLOSED; HARDY_OPEN forces open, HARDY_HALF_OPEN does
 * nothing. After `until` the breaker is closed. */
void breaker_force(struct breaker_words *w, hardy_breaker_state state, int64_t until, int64_t now);
void breaker_stats(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                   hardy_breaker_stats *stats);
hardy_status breaker_check(const hardy_breaker_config *c, hardy_error *error);
#endif
