/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_STATE_H
#define GUARD_STATE_H
/* What a guard is made of; for this room only. */
#include "base/clock.h"
#include "guard/edition.h"
#include "guard/ring.h"
#include "policy/bulkhead.h"
#include <sys/types.h>

struct hardy_guard {
    struct editions editions; /* of its settings */
    char name[64];
    hardy_env env;
    bool system_clock;        /* `env` was not given */
    uint64_t seed;            /* of the jitter */
    pid_t owner;              /* the process that drew it */
    pthread_mutex_t changing; /* held by who changes the settings, or reads them outside of an
                                 operation */

    /* Touched only when something went wrong. */
    _Alignas(64) atomic_word numbers; /* operations that drew a jitter */
    atomic_word hedges, retries, suppressed, rejected_rate, rejected_slots, timeouts;

    struct ring ring;
    struct bulkhead bulkhead; /* whatever the settings: who has a slot gives it back */
    struct breaker_words own_breaker;
    struct gcra_words own_rate;
    struct budget_words own_budget;
};

void guard_tell_change(hardy_guard *g, const struct breaker_change *change, int64_t now);

/* A change of the breaker's state this process made: into the ring, and to the log. */
static inline void guard_note_change(hardy_guard *g, const struct breaker_change *change,
                                     int64_t now) {
    if (change->from != change->to) {
        guard_tell_change(g, change, now);
    }
}

/* Makes what is told of the breaker true: calls that hang open it, and who only looks at it, or is
 * refused by a look, would otherwise be told of an opening that never comes to be. */
static inline struct breaker_change guard_settle(const struct edition *e, int64_t now) {
    struct breaker_change change = {0};
    if (e->words.breaker != NULL) {
        breaker_settle(e->words.breaker, &e->breaker, now, &change);
    }
    return change;
}

/* A trial's lease outlasts the attempt's own time-out, so that its driver can report it. */
#define LEASE_SLACK HARDY_SECOND

/* The breaker's permit for an attempt until `end`; false: not now, see *retry_at. */
static inline bool guard_take_permit(hardy_guard *g, const struct edition *e, int64_t end,
                                     hardy_permit *permit, int64_t *retry_at, int64_t now) {
    struct breaker_change change = {0};
    permit->kind = 0;
    if (e->config.breaker == NULL) {
        return true;
    }
    int64_t lease = end == HARDY_NEVER ? 0 : time_add(end - now, LEASE_SLACK);
    bool admitted =
        breaker_acquire(e->words.breaker, e->config.breaker, now, lease, permit, retry_at, &change);
    guard_note_change(g, &change, now);
    return admitted;
}

/* The breaker learns `kind` from a permit and has it back. */
static inline void guard_record(hardy_guard *g, const struct edition *e, hardy_permit *permit,
                                hardy_outcome_class kind, int64_t now) {
    struct breaker_change change = {0};
    breaker_record(e->words.breaker, e->config.breaker, permit, kind, now, &change);
    guard_note_change(g, &change, now);
}

/* The seed of one operation's jitter: another for each operation, and in each forked process. */
uint64_t guard_draw_seed(hardy_guard *guard);
#endif
