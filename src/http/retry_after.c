/* SPDX-License-Identifier: Apache-2.0 */
/* How long the far side asks to wait: Retry-After and its kin, and when a rate limit is reset. */
#include "base/clock.h"
#include "base/number.h"
#include "base/parse.h"
#include "http/message.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* A non-negative decimal number, whole string; false when it is anything else. */
static bool read_number(const char *text, double *out) {
    size_t len = strlen(text);
    if (len == 0 || *text == '-' || number_scan(text, len, true) != len) {
        return false;
    }
    *out = number_value(text, len);
    return true;
}

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

/* The three forms of RFC 9110, 5.6.7; the weekday is not checked against the date. */
static bool read_date(const char *text, int64_t wall, int64_t *seconds) {
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

/* From `wall` to a moment given in seconds since 1970 and nanoseconds; 0 = it has passed. */
static int64_t time_until(int64_t seconds, int64_t fraction, int64_t wall) {
    if (seconds < 0) {
        return 0;
    }
    if (seconds >= HARDY_NEVER / HARDY_SECOND) {
        return HARDY_NEVER;
    }
    int64_t at = seconds * HARDY_SECOND + fraction;
    return at > wall ? at - wall : 0;
}

int64_t http_retry_after(const struct http_headers *h, int64_t wall) {
    static const char *const fine[] = {"retry-after-ms", "x-ms-retry-after-ms"};
    double value;
    const char *text;
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        text = http_headers_get(h, fine[i]);
        if (text && read_number(text, &value)) {
            return time_scale(HARDY_MILLISECOND, value);
        }
    }
    text = http_headers_get(h, "retry-after");
    if (!text) {
        return 0;
    }
    if (read_number(text, &value)) {
        return time_scale(HARDY_SECOND, value);
    }
    int64_t seconds;
    return read_date(text, wall, &seconds) ? time_until(seconds, 0, wall) : 0;
}

/* --- resets of rate limits -------------------------------------------------------------------- */

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

/* RFC 3339, 5.6: 2026-11-28T16:04:05.25+01:00. */
static bool read_timestamp(const char *at, int64_t *seconds, int64_t *fraction) {
    struct tm clock = {.tm_isdst = 0};
    int year, month, day, zone;
    if (!read_digits(&at, 4, &year) || !read_text(&at, "-") || !read_digits(&at, 2, &month) ||
        !read_text(&at, "-") || !read_digits(&at, 2, &day) ||
        !(read_text(&at, "T") || read_text(&at, "t") || read_text(&at, " ")) ||
        !read_clock(&at, &clock) || !read_fraction(&at, fraction) || !read_zone(&at, &zone) ||
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

/* As Go writes it, which has a sign of its own for the microsecond: 6m0s, 1h2m3.5s, 250\xc2\xb5s.
 */
static bool read_go_duration(const char *text, int64_t *out) {
    char copy[64];
    size_t len = 0;
    for (; *text; text++, len++) {
        if (len == sizeof copy - 1) {
            return false;
        }
        copy[len] = *text;
        if (strncmp(text, "\xc2\xb5", 2) == 0 || strncmp(text, "\xce\xbc", 2) == 0) {
            copy[len] = 'u';
            text++;
        }
    }
    copy[len] = '\0';
    return parse_duration(copy, out, NULL) == HARDY_OK;
}

/* No limit is reset only after decades, and no clock stands in the first days of 1970. */
#define LEAST_UNIX_SECONDS 1e9
#define LEAST_UNIX_MILLISECONDS 1e11

static int64_t read_reset_number(double value, int64_t wall) {
    if (value <= LEAST_UNIX_SECONDS) {
        return time_scale(HARDY_SECOND, value);
    }
    int64_t unit = value > LEAST_UNIX_MILLISECONDS ? HARDY_MILLISECOND : HARDY_SECOND;
    int64_t at = time_scale(unit, value);
    return time_until(at / HARDY_SECOND, at % HARDY_SECOND, wall);
}

int64_t http_reset_after(const char *text, int64_t wall) {
    double value;
    int64_t seconds, fraction;
    if (read_number(text, &value)) {
        return read_reset_number(value, wall);
    }
    if (read_timestamp(text, &seconds, &fraction)) {
        return time_until(seconds, fraction, wall);
    }
    int64_t span;
    return read_go_duration(text, &span) ? span : 0;
}
