/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H
/* The kernel's clocks. Only drivers, the loop and hardy_env_system() read them; everything else
 * takes `now` as an argument. */
#include <hardy/env.h>

int64_t clock_now(void);        /* CLOCK_BOOTTIME, nanoseconds */
int64_t clock_now_coarse(void); /* the same clock within some milliseconds, several times cheaper */
int64_t clock_wall(void);       /* CLOCK_REALTIME, nanoseconds since the epoch */

/* a + b and a * b for times, saturating. */
static inline int64_t time_add(int64_t time, int64_t span) {
    int64_t sum;
    if (time == HARDY_NEVER || span == HARDY_NEVER) {
        return HARDY_NEVER;
    }
    if (__builtin_add_overflow(time, span, &sum)) {
        return span > 0 ? HARDY_NEVER : INT64_MIN;
    }
    return sum;
}
int64_t time_scale(int64_t span, double factor);

/* "2026-11-23T01:02:03.456Z"; `out` holds at least 32 bytes. */
void clock_format_wall(int64_t wall, char *out);
#endif
