/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H
/* SipHash-2-4 (Aumasson, Bernstein 2012): a hash under a secret, for tables whose keys strangers
 * choose. Who does not know the secret cannot make two keys meet. */
#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint64_t secret[2], const void *data, size_t len);
#endif
