/* SPDX-License-Identifier: Apache-2.0 */
#include "base/date.h"
#include <hardy/env.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

/* `count` digits at *at, which moves behind them. */
static bool read_digits(const char **at, int count, int *out) {
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        value = value * 10 + (**at - '0');
    }
    *out = value;
    return true;
}

static bool read_text(const char **at, const char *text) {
    size_t len = strlen(text);
    if (strncmp(*at, text, len) != 0) {
        return false;
    }
    *at += len;
    return true;
}

static bool read_month(const char **at, int *out) {
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; i < 12; i++) {
        if (strncmp(*at, names + (ptrdiff_t)i * 3, 3) == 0) {
            *at += 3;
            *out = i;
            return true;
        }
    }
    return false;
}

static bool read_clock(const char **at, struct tm *t) {
    return read_digits(at, 2, &t->tm_hour) && read_text(at, ":") &&
           read_digits(at, 2, &t->tm_min) && read_text(at, ":") && read_digits(at, 2, &t->tm_sec) &&
           t->tm_hour < 24 && t->tm_min < 60 && t->tm_sec <= 60;
}

bool date_read_http(const char *text, int64_t wall, int64_t *seconds) {
    struct tm t = {.tm_isdst = 0};
    const char *at = text;
    const char *comma = strchr(text, ',');
    int year;
    if (comma) {
        at = comma + 1;
        if (!read_text(&at, " ") || !read_digits(&at, 2, &t.tm_mday)) {
            return false;
        }
        if (read_text(&at, " ")) { /* Sun, 06 Nov 1994 08:49:37 GMT */
            if (!read_month(&at, &t.tm_mon) || !read_text(&at, " ") ||
                !read_digits(&at, 4, &year)) {
                return false;
            }
        } else { /* Sunday, 06-Nov-94 08:49:37 GMT; two digits name the year nearest to now */
            if (!read_text(&at, "-") || !read_month(&at, &t.tm_mon) || !read_text(&at, "-") ||
                !read_digits(&at, 2, &year)) {
                return false;
            }
            int now = 1970 + (int)(wall / HARDY_DAY / 365);
            year += now / 100 * 100;
            if (year > now + 50) {
                year -= 100;
            }
        }
        if (!read_text(&at, " ") || !read_clock(&at, &t) || !read_text(&at, " GMT")) {
            return false;
        }
    } else { /* Sun Nov  6 08:49:37 1994 */
        at = strchr(text, ' ');
        if (!at || !read_text(&at, " ") || !read_month(&at, &t.tm_mon) || !read_text(&at, " ")) {
            return false;
        }
        if (!(read_text(&at, " ") ? read_digits(&at, 1, &t.tm_mday)
                                  : read_digits(&at, 2, &t.tm_mday)) ||
            !read_text(&at, " ") || !read_clock(&at, &t) || !read_text(&at, " ") ||
            !read_digits(&at, 4, &year)) {
            return false;
        }
    }
    if (*at != '\0' || t.tm_mday < 1 || t.tm_mday > 31) {
        return false;
    }
    t.tm_year = year - 1900;
    *seconds = (int64_t)timegm(&t);
    return true;
}

/* ".25" as nanoseconds; digits beyond the ninth are dropped. No fraction is one of 0. */
static bool read_fraction(const char **at, int64_t *out) {
    *out = 0;
    if (!read_text(at, ".")) {
        return true;
    }
    const char *start = *at;
    for (int64_t place = HARDY_SECOND / 10; **at >= '0' && **at <= '9'; (*at)++, place /= 10) {
        *out += place * (**at - '0');
    }
    return *at > start;
}

/* "Z" or "+02:00", in seconds east of Greenwich. */
static bool read_zone(const char **at, int *out) {
    *out = 0;
    if (read_text(at, "Z") || read_text(at, "z")) {
        return true;
    }
    bool west = **at == '-';
    int hours, minutes;
    if ((!west && **at != '+') || (++*at, !read_digits(at, 2, &hours)) || !read_text(at, ":") ||
        !read_digits(at, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *out = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

bool date_read_rfc3339(const char *at, int64_t *seconds, int64_t *nanoseconds) {
    struct tm clock = {.tm_isdst = 0};
    int year, month, day, zone;
    if (!read_digits(&at, 4, &year) || !read_text(&at, "-") || !read_digits(&at, 2, &month) ||
        !read_text(&at, "-") || !read_digits(&at, 2, &day) ||
        !(read_text(&at, "T") || read_text(&at, "t") || read_text(&at, " ")) ||
        !read_clock(&at, &clock) || !read_fraction(&at, nanoseconds) || !read_zone(&at, &zone) ||
        *at != '\0') {
        return false;
    }
    struct tm date = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};
    int64_t midnight = (int64_t)timegm(&date);
    if (date.tm_mon != month - 1 || date.tm_mday != day) {
        return false; /* the 30th of February */
    }
    *seconds = midnight + clock.tm_hour * 3600 + clock.tm_min * 60 + clock.tm_sec - zone;
    return true;
}

bool date_read_wall(const char *text, int64_t *wall) {
    int64_t seconds, fraction;
    if (!date_read_rfc3339(text, &seconds, &fraction)) {
        return false;
    }
    *wall = seconds >= INT64_MAX / HARDY_SECOND      ? INT64_MAX - 1
            : seconds <= -(INT64_MAX / HARDY_SECOND) ? -INT64_MAX
                                                     : seconds * HARDY_SECOND + fraction;
    return true;
}
