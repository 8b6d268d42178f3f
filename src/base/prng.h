/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H
/* splitmix64 for seeds and hashes, xoshiro256** for streams. Not for secrets. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t prng_mix(uint64_t x); /* splitmix64's finaliser: one value to one value */
struct prng {
    uint64_t s[4];
};
void prng_seed(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound), unbiased; 0 for bound 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
double prng_unit(struct prng *p); /* [0, 1) */
/* A 64-bit value to a uniform integer in [low, high]. */
int64_t prng_range(uint64_t random, int64_t low, int64_t high);
/* For secrets: from the kernel, at most 256 bytes. False: it has none (yet). */
bool prng_secret(void *out, size_t len);
#endif
