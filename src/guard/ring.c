/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/ring.h"

void ring_init(struct ring *r) {
    word_store(&r->head, 0);
    word_store(&r->tail, 0);
    word_store(&r->dropped, 0);
    for (uint64_t i = 0; i < RING_SLOTS; i++) {
        word_store(&r->slots[i].sequence, i);
    }
}

/* False when the ring is full. */
static bool put(struct ring *r, const hardy_event *event) {
    uint64_t at = word_load(&r->head);
    for (;;) {
        struct ring_slot *slot = &r->slots[at % RING_SLOTS];
        int64_t turn = (int64_t)(word_load(&slot->sequence) - at);
        if (turn < 0) {
            return false;
        }
        if (turn > 0) {
            at = word_load(&r->head);
        } else if (word_cas(&r->head, &at, at + 1)) {
            slot->event = *event;
            word_store(&slot->sequence, at + 1);
            return true;
        }
    }
}

void ring_put(struct ring *r, const hardy_event *event) {
    while (!put(r, event)) {
        hardy_event oldest;
        word_add(&r->dropped, 1);
        if (!ring_take(r, &oldest)) {
            /* The oldest is still being written, by a thread that stands still: this one is the
             * one lost, for waiting could last for ever. */
            return;
        }
    }
}

bool ring_take(struct ring *r, hardy_event *event) {
    uint64_t at = word_load(&r->tail);
    for (;;) {
        struct ring_slot *slot = &r->slots[at % RING_SLOTS];
        int64_t turn = (int64_t)(word_load(&slot->sequence) - (at + 1));
        if (turn < 0) {
            return false;
        }
        if (turn > 0) {
            at = word_load(&r->tail);
        } else if (word_cas(&r->tail, &at, at + 1)) {
            *event = slot->event;
            word_store(&slot->sequence, at + RING_SLOTS);
            return true;
        }
    }
}
