/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H
/*
 * Every atomic of the project goes through here, so that the interleaving explorer can stop a
 * thread before each of them (it is compiled with HARDY_EXPLORE and defines explore_point()).
 * Sequentially consistent; a weaker order needs a bench line and a comment at its use.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t atomic_word;

#ifdef HARDY_EXPLORE
void explore_point(const volatile void *address, bool writes);
#define ATOMIC_POINT(a, writes) explore_point(a, writes)
#else
#define ATOMIC_POINT(a, writes) ((void)0)
#endif

/* Before anybody else can see it. */
static inline void word_init(atomic_word *a, uint64_t value) {
    atomic_init(a, value);
}

static inline uint64_t word_load(const atomic_word *a) {
    ATOMIC_POINT(a, false);
    return atomic_load(a);
}

static inline void word_store(atomic_word *a, uint64_t value) {
    ATOMIC_POINT(a, true);
    atomic_store(a, value);
}

static inline bool word_cas(atomic_word *a, uint64_t *expected, uint64_t desired) {
    ATOMIC_POINT(a, true);
    return atomic_compare_exchange_strong(a, expected, desired);
}

static inline uint64_t word_add(atomic_word *a, uint64_t value) {
    ATOMIC_POINT(a, true);
    return atomic_fetch_add(a, value);
}

static inline uint64_t word_exchange(atomic_word *a, uint64_t value) {
    ATOMIC_POINT(a, true);
    return atomic_exchange(a, value);
}

/* A statistic that no decision depends on: no order needed, and no point for the explorer. */
static inline void word_count(atomic_word *a) {
    atomic_fetch_add_explicit(a, 1, memory_order_relaxed);
}
#endif
