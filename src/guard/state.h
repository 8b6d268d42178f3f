/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_STATE_H
#define GUARD_STATE_H
/* What a guard is made of; for this room only. */
#include "base/thread.h"
#include "guard/guard.h"
#include "guard/ring.h"
#include "policy/bulkhead.h"
#include <sys/types.h>

#define GUARD_SHARDS 8 /* a power of two */

/* What every operation counts, also a refused one: a line for some of the threads, never one for
 * all. */
struct guard_shard {
    _Alignas(64) atomic_word started; /* operations that made a first attempt */
    atomic_word refused;              /* operations that ended without one */
};

struct hardy_guard {
    hardy_guard_config config; /* its pointers: the copies below, NULL where the layer is absent */
    char name[64];
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config slots;
    hardy_env env;
    struct guard_words words; /* where the policies work: given, or the own ones below */
    bool untimed;             /* the system's clock, and nothing that needs it exactly */
    uint64_t seed;            /* of the jitter */
    pid_t owner;              /* the process that drew it */

    struct guard_shard shards[GUARD_SHARDS];
    /* Touched only when something went wrong. */
    _Alignas(64) atomic_word numbers; /* operations that drew a jitter */
    atomic_word retries, suppressed, rejected_rate, rejected_slots, timeouts;

    struct ring ring;
    struct bulkhead bulkhead;
    struct breaker_words own_breaker;
    struct gcra_words own_rate;
    struct budget_words own_budget;
};

static inline struct guard_shard *guard_shard(hardy_guard *g) {
    return &g->shards[thread_number() % GUARD_SHARDS];
}

/* A change of the breaker's state this process made: into the ring, and to the log. */
void guard_note_change(hardy_guard *g, const struct breaker_change *change, int64_t now);
/* The seed of one operation's jitter: another for each operation, and in each forked process. */
uint64_t guard_draw_seed(hardy_guard *guard);
#endif
