/* SPDX-License-Identifier: Apache-2.0 */
/* Which mistake of src/durable/seeded.h is switched on, in a program made for nothing else. */
#include <stdlib.h>

extern int seeded_bug;
int seeded_bug;

static void __attribute__((constructor)) choose(void) {
    const char *number = getenv("HARDY_SEEDED_BUG");
    seeded_bug = number ? (int)strtol(number, NULL, 10) : 0;
}
