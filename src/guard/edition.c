/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/edition.h"
#include "base/thread.h"
#include <stdlib.h>
#include <string.h>

struct edition_hold edition_enter(struct editions *e) {
    unsigned number = thread_number() % EDITION_SHARDS;
    for (;;) {
        struct edition *edition = edition_current(e);
        struct edition_shard *shard = &edition->shards[number];
        word_add(&shard->begun, 1);
        /* Who changes the settings moves `current` first and looks for holders afterwards: either
         * this look sees the move, or that one sees the addition. */
        if (edition_current(e) == edition) {
            return (struct edition_hold){edition, shard};
        }
        edition_cancel(shard);
    }
}

void edition_cancel(struct edition_shard *shard) {
    word_add(&shard->begun, -UINT64_C(1));
}

void edition_leave(struct edition_shard *shard) {
    word_add(&shard->ended, 1);
}

struct edition *edition_first(const struct editions *e) {
    return (struct edition *)(uintptr_t)word_load(&e->all);
}

/* Of one that is not current: who comes now leaves again without having looked at it. */
static bool held(const struct edition *edition) {
    for (size_t i = 0; i < EDITION_SHARDS; i++) {
        const struct edition_shard *shard = &edition->shards[i];
        if (word_load(&shard->begun) != word_load(&shard->ended)) {
            return true;
        }
    }
    return false;
}

struct edition *edition_blank(struct editions *e) {
    for (struct edition *old = edition_first(e); old != NULL; old = old->next) {
        if (old != edition_current(e) && !held(old)) {
            return old;
        }
    }
    struct edition *new = aligned_alloc(_Alignof(struct edition), sizeof *new);
    if (new != NULL) {
        memset(new, 0, sizeof *new);
        new->next = edition_first(e);
        word_store(&e->all, (uint64_t)(uintptr_t) new);
    }
    return new;
}

void edition_publish(struct editions *e, struct edition *edition) {
    word_store(&e->current, (uint64_t)(uintptr_t)edition);
}

void editions_free(struct editions *e) {
    for (struct edition *edition = edition_first(e); edition != NULL;) {
        struct edition *next = edition->next;
        free(edition);
        edition = next;
    }
}
