/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_EDITION_H
#define GUARD_EDITION_H
/*
 * The editions of a guard's settings. An edition is not changed from its publication until nobody
 * goes by it any more: an operation holds the one that was current when it began, so it never sees
 * half of one and half of another.
 *
 * Holding costs an addition when the operation begins and one when it ends, each on a line for some
 * of the threads. Nothing waits for anybody: whoever changes the settings takes an edition that is
 * held no more, or memory for another. That memory is given back with the guard only, for somebody
 * who read `current` a moment ago may still add to its counters; so a guard has as many editions as
 * were ever held at the same time, and one more.
 */
#include "base/atomic.h"
#include "guard/guard.h"

#define EDITION_SHARDS 8 /* a power of two */

struct edition_shard {
    _Alignas(64) atomic_word begun; /* operations; less `ended`: those that hold it */
    atomic_word ended;
    atomic_word unstarted; /* of those begun: have had no attempt (yet) */
};
struct edition {
    hardy_guard_config config; /* its pointers: the copies below, NULL where the layer is absent */
    hardy_retry_config retry;
    hardy_hedge_config hedge;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    struct gcra gcra; /* what `rate` comes to */
    hardy_bulkhead_config bulkhead;
    struct guard_words words; /* where the policies work */
    bool untimed;             /* the system's clock, and nothing that needs it exactly */
    bool direct;              /* no layer but what every call goes through (thread.c) */
    struct edition *next;     /* in `all` */
    struct edition_shard shards[EDITION_SHARDS];
};
struct editions {
    _Alignas(64) atomic_word current; /* a struct edition *; read by all, written by a change */
    _Alignas(64) atomic_word all;     /* a struct edition *, the first of a list that only grows */
};
struct edition_hold {
    struct edition *edition;
    struct edition_shard *shard;
};

/* Any thread. */
struct edition_hold edition_enter(struct editions *e);
void edition_leave(struct edition_shard *shard);
void edition_cancel(struct edition_shard *shard);        /* leaves, as if nothing had begun */
struct edition *edition_first(const struct editions *e); /* then by `next`: for adding up */

/* One thread at a time, as the rest: */
static inline struct edition *edition_current(const struct editions *e) {
    return (struct edition *)(uintptr_t)word_load(&e->current);
}
/* One that nobody holds, to be filled in and published, or left as it is. NULL: no memory. */
struct edition *edition_blank(struct editions *e);
void edition_publish(struct editions *e, struct edition *edition);
void editions_free(struct editions *e);
#endif
