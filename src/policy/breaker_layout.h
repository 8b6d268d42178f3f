/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BREAKER_LAYOUT_H
#define POLICY_BREAKER_LAYOUT_H
/*
 * The bits of the breaker's words.
 *
 *     decision       state 3, level 5, generation 15, until 41. Half open, `until` holds the
 *                    successes and the failures of the trials; closed, when it closed, 0 = it has
 *                    never been open
 *     trial, watched taken 1, sequence 7, generation 15, end of the lease or start 41. The sequence
 *                    tells two takers of the same millisecond apart
 *     ring           written 1, generation at its usual place, time 41
 *     ramp           generation 15, is a time 1, admitted or ns from closing to the next 48
 *     consecutive, ring_next, ended    generation 15, count 49
 *     bucket         generation 15, epoch 23, count 26
 *     bits           generation 15, lap 17, one bit for each of 32 calls
 */
#include "policy/breaker.h"

#define LEVEL_SHIFT 3
#define LEVEL_MAX 31
#define GENERATION_SHIFT 8
#define UNTIL_SHIFT 23
#define GENERATION_MASK UINT64_C(0x7fff)
#define MS_MASK ((UINT64_C(1) << 41) - 1)
#define MS_NEVER MS_MASK

#define TRIALS_SHIFT 6 /* failures above successes, both at most 32 */
#define TRIALS_MASK UINT64_C(0x3f)

#define TAKEN UINT64_C(1)
#define SEQUENCE_SHIFT 1
#define SEQUENCE_MASK UINT64_C(0x7f)
#define WRITTEN UINT64_C(1)

#define COUNT_BITS 49
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

static inline uint64_t ms_up(int64_t time) {
    if (time <= 0) {
        return 0;
    }
    if (time == HARDY_NEVER) {
        return MS_NEVER;
    }
    uint64_t ms = (uint64_t)((time - 1) / HARDY_MILLISECOND + 1);
    return ms < MS_NEVER ? ms : MS_NEVER;
}

static inline int64_t ms_to_time(uint64_t ms) {
    return ms == MS_NEVER ? HARDY_NEVER : (int64_t)ms * HARDY_MILLISECOND;
}

static inline hardy_breaker_state state_of(uint64_t word) {
    return (hardy_breaker_state)(word & 7);
}

static inline unsigned level_of(uint64_t word) {
    return word >> LEVEL_SHIFT & LEVEL_MAX;
}

/* Of a decision, a trial, a watched call or a failure in the ring. */
static inline uint64_t generation_of(uint64_t word) {
    return word >> GENERATION_SHIFT & GENERATION_MASK;
}

static inline uint64_t until_of(uint64_t word) {
    return word >> UNTIL_SHIFT;
}

static inline uint64_t tagged(uint64_t generation, uint64_t count) {
    return generation << COUNT_BITS | count;
}

static inline uint64_t tag_of(uint64_t word) {
    return word >> COUNT_BITS;
}

static inline uint64_t count_of(uint64_t word) {
    return word & COUNT_MASK;
}

/* A trial's or a watched call's place: free, or of a generation that has passed. */
static inline bool place_vacant(uint64_t place, uint64_t generation) {
    return !(place & TAKEN) || generation_of(place) != generation;
}

static inline uint64_t place_taken(uint64_t before, uint64_t generation, uint64_t ms) {
    uint64_t sequence = ((before >> SEQUENCE_SHIFT) + 1) & SEQUENCE_MASK;
    return TAKEN | sequence << SEQUENCE_SHIFT | generation << GENERATION_SHIFT | ms << UNTIL_SHIFT;
}
#endif
