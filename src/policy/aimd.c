/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/aimd.h"

#define LIMIT_BITS 24
#define LIMIT_MASK ((UINT64_C(1) << LIMIT_BITS) - 1)
#define LOWERED_SHIFT (2 * LIMIT_BITS)

static uint64_t pack(uint64_t lowered, uint64_t successes, uint64_t limit) {
    return lowered << LOWERED_SHIFT | successes << LIMIT_BITS | limit;
}

uint64_t aimd_start(uint32_t limit) {
    return pack(0, 0, limit);
}

uint32_t aimd_limit(uint64_t word) {
    return (uint32_t)(word & LIMIT_MASK);
}

static uint64_t successes(uint64_t word) {
    return word >> LIMIT_BITS & LIMIT_MASK;
}

uint64_t aimd_mark(const atomic_word *w, uint32_t in_flight) {
    return pack(word_load(w) >> LOWERED_SHIFT, 0, in_flight);
}

static uint32_t lower(uint32_t limit, uint32_t in_flight, uint32_t min) {
    uint32_t from = in_flight < limit ? in_flight : limit, to = from * 7 / 10;
    return to > min ? to : min;
}

bool aimd_learn(atomic_word *w, uint64_t mark, bool dropped, uint32_t in_flight, uint32_t min,
                uint32_t max) {
    uint64_t before = word_load(w), next;
    uint32_t limit;
    do {
        uint64_t lowered = before >> LOWERED_SHIFT;
        limit = aimd_limit(before);
        if (limit == 0) {
            return false;
        }
        if (lowered != mark >> LOWERED_SHIFT) {
            return false;
        }
        if (dropped) {
            uint32_t then = aimd_limit(mark);
            next = pack(lowered + 1, 0, lower(limit, then > in_flight ? then : in_flight, min));
        } else if (limit >= max || in_flight < (limit + 1) / 2) {
            return false;
        } else if (successes(before) + 1 < limit) {
            next = before + pack(0, 1, 0);
        } else {
            next = pack(lowered, 0, limit + 1);
        }
    } while (!word_cas(w, &before, next));
    return aimd_limit(next) != limit;
}
