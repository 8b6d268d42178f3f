/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_HASH_H
#define CHAOS_HASH_H
/* FNV-1a (Fowler, Noll, Vo), 64 bits, in pieces: for bodies of megabytes and tables of keys. */
#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_add(uint64_t hash, const void *data, size_t len) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}
#endif
