/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/local_time.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_SECONDS (24 * 60 * 60)

static struct tm parts(enum zone zone, time_t at) {
    struct tm out = {0};
    if (zone == ZONE_UTC) {
        gmtime_r(&at, &out);
    } else {
        localtime_r(&at, &out);
    }
    return out;
}

static time_t seconds(int64_t wall) {
    return (time_t)(wall / HARDY_SECOND - (wall % HARDY_SECOND < 0));
}

struct time_of_day time_of_day(enum zone zone, int64_t wall, int days, int minute) {
    struct tm day = parts(zone, seconds(wall));
    day.tm_mday += days;
    day.tm_hour = 0;
    day.tm_min = minute;
    day.tm_sec = 0;
    time_t shown = timegm(&day); /* what the clock shows, read as if it were UTC */
    time_t ahead_before = parts(zone, shown - DAY_SECONDS).tm_gmtoff;
    time_t ahead_after = parts(zone, shown + DAY_SECONDS).tm_gmtoff;
    time_t before = shown - ahead_before, after = shown - ahead_after;
    bool in_before = parts(zone, before).tm_gmtoff == ahead_before;
    bool in_after = parts(zone, after).tm_gmtoff == ahead_after;
    if (in_before != in_after) { /* the clock is set on this day, but at another hour */
        before = after = in_before ? before : after;
    }
    return (struct time_of_day){.weekday = day.tm_wday,
                                .first = (before < after ? before : after) * HARDY_SECOND,
                                .last = (before < after ? after : before) * HARDY_SECOND};
}

void local_time_format(enum zone zone, int64_t wall, int64_t now, char out[LOCAL_TIME_SIZE]) {
    struct tm at = parts(zone, seconds(wall)), today = parts(zone, seconds(now));
    int64_t apart = wall > now ? wall - now : now - wall;
    char text[20];
    if (at.tm_year == today.tm_year && at.tm_yday == today.tm_yday) {
        (void)strftime(text, sizeof text, "%H:%M", &at);
    } else if (apart < 6 * HARDY_DAY) {
        (void)strftime(text, sizeof text, "%a %H:%M", &at);
    } else {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M", &at);
    }
    snprintf(out, LOCAL_TIME_SIZE, "%s %s", text, zone == ZONE_UTC ? "UTC" : at.tm_zone);
}
