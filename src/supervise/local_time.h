/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_LOCAL_TIME_H
#define SUPERVISE_LOCAL_TIME_H
/*
 * Times of day as people mean them: in the zone of this host (TZ, else /etc/localtime), or UTC.
 * Where the clock is set, a time of day comes twice, or not at all: both answers are given, and who
 * asks takes the one that is safe.
 */
#include <hardy/env.h>

/* Of a time as text, with its end. */
#define LOCAL_TIME_SIZE 48

enum zone { ZONE_LOCAL, ZONE_UTC };

struct time_of_day {
    int weekday;         /* 0 = Sunday */
    int64_t first, last; /* wall; the same, unless the clock is set there */
};
/* The moment at which the clock shows `minute` (0 = midnight) so many days after the day of `wall`.
 * A time that comes twice: its first and its last coming. One that is left out: as if the clock had
 * been set already, and as if it had not been set yet. */
struct time_of_day time_of_day(enum zone zone, int64_t wall, int days, int minute);

/* "03:00 CET" on the day of `now`, else "Sun 03:00 CET" within a week, else "2026-11-29 03:00 CET".
 * Cut where it is too long. */
void local_time_format(enum zone zone, int64_t wall, int64_t now, char out[LOCAL_TIME_SIZE]);
#endif
