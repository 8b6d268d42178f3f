/* SPDX-License-Identifier: Apache-2.0 */
/* Retry-After and retry-after-ms: how long the far side asks to wait. */
#include "base/clock.h"
#include "base/number.h"
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

int64_t http_retry_after(const struct http_headers *h, int64_t wall) {
    double value;
    const char *text = http_headers_get(h, "retry-after-ms");
    if (text && read_number(text, &value)) {
        return time_scale(HARDY_MILLISECOND, value);
    }
    text = http_headers_get(h, "retry-after");
    if (!text) {
        return 0;
    }
    if (read_number(text, &value)) {
        return time_scale(HARDY_SECOND, value);
    }
    int64_t seconds;
    if (!read_date(text, wall, &seconds)) {
        return 0;
    }
    if (seconds > HARDY_NEVER / HARDY_SECOND) {
        return HARDY_NEVER;
    }
    return seconds > wall / HARDY_SECOND ? seconds * HARDY_SECOND - wall : 0;
}
