/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BREAKER_H
#define POLICY_BREAKER_H
/*
 * The breaker over relocatable words, so that the same code serves one process and, over mapped
 * memory, all processes of a host. All zero = closed, never used.
 *
 * The decision is one word (state, level of the recovery timeout, generation, until, or the trials
 * so far); each trial is one word (generation, lease). Times in the words are milliseconds, rounded
 * up; `now` is below 2^41 ms (69 years), later times are never. breaker_layout.h has the bits.
 */
#include "base/atomic.h"
#include <hardy/breaker.h>

#define BREAKER_TRIALS 8
#define BREAKER_RING 64
#define BREAKER_SHARDS 8
#define BREAKER_BUCKETS 16 /* of a time window; a power of two */
#define BREAKER_CALLS 1024 /* the longest window of calls */
#define BREAKER_BITS (BREAKER_CALLS / 32 + 1)
#define BREAKER_WATCHED 64
/* The kinds of a permit. */
#define PERMIT_CALL 1
#define PERMIT_TRIAL 2
#define PERMIT_WATCHED 3
#define PERMIT_SHADOW 4

struct breaker_shard {
    /* Successes that lie in `buckets` are not among `successes` until their bucket is used anew. */
    _Alignas(64) atomic_word successes;
    atomic_word failures, slow, ignored, rejected;
    atomic_word buckets[BREAKER_BUCKETS]; /* successes, where a share of a time window counts */
};
struct breaker_words {
    _Alignas(64)
        atomic_word decision; /* on its own line: admission of a closed breaker reads it only */
    atomic_word turned;       /* ns, when the newest step of a time window was first counted in */
    _Alignas(64) atomic_word ramp; /* since closing, while paced: admitted, or when one is due */
    atomic_word consecutive;       /* failures in a row, with their generation */
    atomic_word opened;            /* how often */
    atomic_word ring_next;         /* failures so far, with their generation */
    atomic_word ended;             /* calls so far, for a window of calls, with their generation */
    atomic_word looked;            /* when hanging calls were last looked for */
    atomic_word trials[BREAKER_TRIALS];
    atomic_word ring[BREAKER_RING]; /* (ms, generation) of the last failures */
    atomic_word failed_buckets[BREAKER_BUCKETS], slow_buckets[BREAKER_BUCKETS];
    atomic_word failed_bits[BREAKER_BITS], slow_bits[BREAKER_BITS]; /* of the last calls */
    _Alignas(64) atomic_word watched[BREAKER_WATCHED]; /* (generation, start) of calls under way */
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
/* As hardy_breaker_progress(). Also for a call that has ended and is recorded later. */
void breaker_progress(struct breaker_words *w, const hardy_breaker_config *c, hardy_permit *permit,
                      int64_t now);
/* Makes the change that time alone has brought: what was set by hand ends, hanging calls open it.
 * Otherwise the next breaker_acquire() makes it. */
void breaker_settle(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                    struct breaker_change *change);
/* HARDY_FORCED_OPEN, HARDY_DISABLED, HARDY_CLOSED; HARDY_OPEN forces open, HARDY_HALF_OPEN does
 * nothing. After `until` the breaker is closed. */
void breaker_force(struct breaker_words *w, hardy_breaker_state state, int64_t until, int64_t now);
/* Closed, with all statistics at zero; what is on its way from before counts for nothing. While
 * others use it. */
void breaker_reset(struct breaker_words *w, int64_t now);
void breaker_clear_totals(struct breaker_words *w); /* only these */
/* As hardy_breaker_snapshot() and hardy_breaker_restore(); `out` has BREAKER_SNAPSHOT bytes. */
#define BREAKER_SNAPSHOT 1064
void breaker_save(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                  unsigned char *out);
hardy_status breaker_restore(struct breaker_words *w, const hardy_breaker_config *c,
                             const void *bytes, size_t length, int64_t elapsed, int64_t now,
                             hardy_error *error);
void breaker_seal(unsigned char *snapshot); /* makes the hash at its end right */
void breaker_stats(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                   hardy_breaker_stats *stats);
/* "window" "consecutive" "rate" */
const char *breaker_mode_name(hardy_failure_mode mode);
hardy_status breaker_check(const hardy_breaker_config *c, hardy_error *error);
#endif
