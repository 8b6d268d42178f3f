/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H
/* SHA-256 (FIPS 180-4). */
#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
};
void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t len);
/* Adds the length as 8 bytes, then the data: parts cannot run into one another. */
void sha256_add_part(struct sha256 *s, const void *data, size_t len);
void sha256_done(struct sha256 *s, uint8_t out[32]);
void sha256_hex(const void *data, size_t len, char out[65]);
void sha256_done_hex(struct sha256 *s, char out[65]);
#endif
