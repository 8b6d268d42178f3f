/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_RING_H
#define GUARD_RING_H
/*
 * The ring of a guard's events: bounded, without a lock (D. Vyukov's bounded queue: each slot's
 * sequence number tells whose turn it is), any number of writers and readers. A full ring drops the
 * oldest event and counts it.
 */
#include "base/atomic.h"
#include <hardy/guard.h>

#define RING_SLOTS 128 /* a power of two */

struct ring_slot {
    atomic_word sequence;
    hardy_event event;
};
struct ring {
    _Alignas(64) atomic_word head; /* next to write */
    atomic_word tail;              /* next to read */
    atomic_word dropped;
    struct ring_slot slots[RING_SLOTS];
};

void ring_init(struct ring *r);
void ring_put(struct ring *r, const hardy_event *event);
bool ring_take(struct ring *r, hardy_event *event); /* false: nothing there */
#endif
