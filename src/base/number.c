/* SPDX-License-Identifier: Apache-2.0 */
#include "base/number.h"
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t digits(const char *text, size_t from, size_t len) {
    size_t i = from;
    while (i < len && digit(text[i])) {
        i++;
    }
    return i;
}

size_t number_scan(const char *text, size_t len, bool zeros) {
    size_t start = len > 0 && text[0] == '-' ? 1 : 0;
    size_t i = digits(text, start, len);
    if (i == start || (!zeros && i > start + 1 && text[start] == '0')) {
        return 0;
    }
    if (i + 1 < len && text[i] == '.' && digit(text[i + 1])) {
        i = digits(text, i + 1, len);
    }
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        size_t e = i + 1;
        if (e < len && (text[e] == '+' || text[e] == '-')) {
            e++;
        }
        size_t end = digits(text, e, len);
        if (end > e) {
            i = end;
        }
    }
    return i;
}

double number_value(const char *text, size_t len) {
    char copy[NUMBER_LONGEST + 1];
    if (len > NUMBER_LONGEST) {
        len = NUMBER_LONGEST;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) {
        return NAN;
    }
    double value = strtod_l(copy, NULL, c);
    freelocale(c);
    return value;
}

/* Significant digits without trailing zeros, and the exponent of the first. */
struct decimal {
    char digits[24];
    int count, exponent;
};

static void shortest(double value, struct decimal *out) {
    for (int precision = 0; precision < 17; precision++) {
        char text[40];
        snprintf(text, sizeof text, "%.*e", precision, value);
        /* The locale's decimal point may be anything: only the digits before the 'e' are taken. */
        char *e = strchr(text, 'e');
        out->count = 0;
        for (char *p = text; p < e; p++) {
            if (digit(*p) && out->count < (int)sizeof out->digits - 1) {
                out->digits[out->count++] = *p;
            }
        }
        out->digits[out->count] = '\0';
        out->exponent = (int)strtol(e + 1, NULL, 10);
        char plain[48];
        int len =
            snprintf(plain, sizeof plain, "%se%d", out->digits, out->exponent - (out->count - 1));
        if (number_value(plain, (size_t)len) == value) {
            break;
        }
    }
    while (out->count > 1 && out->digits[out->count - 1] == '0') {
        out->digits[--out->count] = '\0';
    }
}

void number_format(double value, char *out) {
    if (value == 0 || !isfinite(value)) {
        memcpy(out, "0", 2);
        return;
    }
    struct decimal d;
    shortest(fabs(value), &d);
    char *p = out;
    if (value < 0) {
        *p++ = '-';
    }
    int point = d.exponent + 1; /* digits before the decimal point */
    if (point > 21 || point < -5) {
        *p++ = d.digits[0];
        if (d.count > 1) {
            *p++ = '.';
            memcpy(p, d.digits + 1, (size_t)d.count - 1);
            p += d.count - 1;
        }
        snprintf(p, 8, "e%+d", d.exponent);
        return;
    }
    if (point <= 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = point; i < 0; i++) {
            *p++ = '0';
        }
    }
    for (int i = 0; i < d.count || i < point; i++) {
        if (i == point && i > 0) {
            *p++ = '.';
        }
        *p++ = i < d.count ? d.digits[i] : '0';
    }
    *p = '\0';
}
