/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADVISE_INSIDE_H
#define ADVISE_INSIDE_H
/* Between the files of this room. */
#include "advise/advise.h"

void advise_say(struct advice *a, enum pattern pattern, enum verdict verdict, const char *format,
                ...) HARDY_PRINTF(4, 5);
void advise_cost(struct advice *a, enum pattern pattern, int64_t added, const char *format, ...)
    HARDY_PRINTF(4, 5);
bool advise_far(const struct answers *a);     /* there is a server behind it */
int64_t advise_step(const struct answers *a); /* ns of one step when all goes well */
/* A person sits there: a deadline of at most 30s. */
bool advise_somebody_waits(const struct answers *a);
/* The patterns that a guard is made of, and their settings. `dependency`: in words. */
void advise_guard(struct advice *a, const char *dependency);
#endif
