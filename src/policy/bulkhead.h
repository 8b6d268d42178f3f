/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BULKHEAD_H
#define POLICY_BULKHEAD_H
/*
 * Concurrency slots of one process: one word {waiting, used}; a mutex only while somebody waits; a
 * FIFO of nodes inside the waiting operations. A permit is handed over to the first waiter, which
 * is told by its wake, called under the mutex.
 */
#include "policy/aimd.h"
#include <hardy/bulkhead.h>
#include <pthread.h>

struct bulkhead_waiter {
    struct bulkhead_waiter *next, *prev;
    struct bulkhead *queue;
    void (*wake)(void *ctx);
    void *ctx;
    atomic_word state; /* 0 idle, 1 queued, 2 granted */
};
struct bulkhead {
    atomic_word word;
    /* Changed with the lock held: */
    atomic_word slots, queue; /* max_concurrent, max_queue */
    atomic_word lowered;      /* by bulkhead_limit(); 0 = not */
    atomic_word least;        /* min_concurrent */
    atomic_word limit;        /* the smallest of slots, lowered and adapted */
    atomic_word adapted;      /* aimd.h; changed without the lock; 0 = not adaptive */
    pthread_mutex_t lock;
    struct bulkhead_waiter *head, *tail;
};
enum bulkhead_answer { BULKHEAD_GRANTED, BULKHEAD_QUEUED, BULKHEAD_FULL };

/* `c` NULL: the defaults. */
hardy_status bulkhead_init(struct bulkhead *b, const hardy_bulkhead_config *c, hardy_error *error);
/* Other settings, checked, while it is in use. A limit set below stays; who has a slot or a place
 * in the queue keeps it, and who waits gets what is more than before. */
void bulkhead_change(struct bulkhead *b, const hardy_bulkhead_config *c);
void bulkhead_destroy(struct bulkhead *b);
/* `w` (wake and ctx set by the caller) is touched only when the answer is QUEUED; then it stays
 * where it is until granted or left. */
enum bulkhead_answer bulkhead_acquire(struct bulkhead *b, struct bulkhead_waiter *w);
/* Whether a queued waiter holds its slot now. Once true, no wake arrives any more. */
bool bulkhead_granted(const struct bulkhead_waiter *w);
/* Ends a QUEUED answer that was not used: leaves the queue, or releases the slot when it was
 * granted meanwhile. Afterwards no wake arrives. */
void bulkhead_leave(struct bulkhead *b, struct bulkhead_waiter *w);
void bulkhead_release(struct bulkhead *b);
/* At most so many slots from now on, 0 = as many as are configured, which are never exceeded. Slots
 * above it that are held stay so until they are released; those who wait get what is more than
 * before. */
void bulkhead_limit(struct bulkhead *b, uint32_t slots);
/* When a call with a slot is made, and when it has ended, before its slot is released: whether the
 * far side took it well, or dropped it for too much load. Where the bulkhead is not adaptive,
 * nothing. */
uint64_t bulkhead_mark(const struct bulkhead *b);
void bulkhead_learn(struct bulkhead *b, uint64_t mark, bool dropped);
/* How many there may be at once at present. */
uint32_t bulkhead_limit_now(const struct bulkhead *b);
void bulkhead_counts(const struct bulkhead *b, uint32_t *used, uint32_t *waiting);
hardy_status bulkhead_check(const hardy_bulkhead_config *c, hardy_error *error);
#endif
