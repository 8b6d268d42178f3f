/* SPDX-License-Identifier: Apache-2.0 */
/* splitmix64 (Steele, Lea, Flood 2014) and xoshiro256** (Blackman, Vigna 2018). */
#include "base/prng.h"
#include <sys/random.h>

__extension__ typedef unsigned __int128 wide;

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

uint64_t prng_mix(uint64_t x) {
    x += GOLDEN;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void prng_seed(struct prng *p, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        p->s[i] = prng_mix(seed + (uint64_t)i * GOLDEN);
    }
}

static uint64_t rotate(uint64_t x, int by) {
    return (x << by) | (x >> (64 - by));
}

uint64_t prng_next(struct prng *p) {
    uint64_t result = rotate(p->s[1] * 5, 7) * 9;
    uint64_t shifted = p->s[1] << 17;
    p->s[2] ^= p->s[0];
    p->s[3] ^= p->s[1];
    p->s[1] ^= p->s[2];
    p->s[0] ^= p->s[3];
    p->s[2] ^= shifted;
    p->s[3] = rotate(p->s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound) {
    if (bound == 0) {
        return 0;
    }
    /* Lemire 2019: the high half of a product, drawing again in the few cases that would be
     * favoured. */
    uint64_t least = (0 - bound) % bound;
    wide product;
    do {
        product = (wide)prng_next(p) * bound;
    } while ((uint64_t)product < least);
    return (uint64_t)(product >> 64);
}

double prng_unit(struct prng *p) {
    return (double)(prng_next(p) >> 11) * 0x1p-53;
}

int64_t prng_range(uint64_t random, int64_t low, int64_t high) {
    if (high <= low) {
        return low;
    }
    uint64_t span = (uint64_t)high - (uint64_t)low;
    uint64_t offset = span == UINT64_MAX ? random : (uint64_t)(((wide)random * (span + 1)) >> 64);
    return (int64_t)((uint64_t)low + offset);
}

bool prng_secret(void *out, size_t len) {
    return len <= 256 && getrandom(out, len, 0) == (ssize_t)len;
}
