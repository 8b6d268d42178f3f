/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_ATTEMPTS_H
#define CHAOS_ATTEMPTS_H
/* How often each key has been asked for. Of more keys than there is room for, the one that was not
 * asked for longest is forgotten, and begins again at 1. */
#include <stddef.h>
#include <stdint.h>

#define CHAOS_KEY_SIZE 72 /* with the NUL; longer keys are cut */

struct attempts;
struct attempts *attempts_new(uint32_t max); /* NULL = no memory */
void attempts_free(struct attempts *a);      /* NULL is fine */
/* Counts this one: 1 for a new key. */
uint32_t attempts_next(struct attempts *a, const char *key);
#endif
