/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADVISE_INSIDE_H
#define ADVISE_INSIDE_H
/* Between the files of this room. */
#include "advise/advise.h"
#include "base/clock.h"

void advise_say(struct advice *a, enum pattern pattern, enum verdict verdict, const char *format,
                ...) HARDY_PRINTF(4, 5);
void advise_cost(struct advice *a, enum pattern pattern, int64_t added, const char *format, ...)
    HARDY_PRINTF(4, 5);
bool advise_far(const struct answers *a);     /* there is a server behind it */
int64_t advise_step(const struct answers *a); /* ns of one step when all goes well */
/* A person sits there: a deadline of at most 30s. */
bool advise_somebody_waits(const struct answers *a);
/* ns until every caller has been answered once; 0: no crowd, or the capacity is not known. */
int64_t advise_crowd(const struct answers *a);
/* The floor of the retry budget, as it stands in the configuration. */
void advise_floor(const struct advice *a, char out[32]);
/* Whether a gathering can ask for it: a question is answered by doing it, so it must change
 * nothing, and there has to be time for one that is twice as slow as usual. */
bool advise_gathers(const struct answers *a);
#define ADVISE_GATHERING (5 * HARDY_MINUTE) /* what one of its sources may take */
/* The patterns that a guard is made of, and their settings. `dependency`: in words. */
void advise_guard(struct advice *a, const char *dependency);
#endif
