/* SPDX-License-Identifier: Apache-2.0 */
#include "base/parse.h"
#include "base/error.h"
#include "base/number.h"
#include "base/str.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t value;
};

static const struct unit time_units[] = {
    {"ns", HARDY_NANOSECOND}, {"us", HARDY_MICROSECOND}, {"ms", HARDY_MILLISECOND},
    {"s", HARDY_SECOND},      {"m", HARDY_MINUTE},       {"h", HARDY_HOUR},
    {"d", HARDY_DAY},
};
enum { SECONDS = 3, DAYS = 6 };
static const struct unit size_units[] = {
    {"B", 1},
    {"kB", 1000},
    {"MB", 1000 * 1000},
    {"GB", 1000 * 1000 * 1000},
    {"TB", UINT64_C(1000000000000)},
    {"KiB", 1024},
    {"MiB", 1024 * 1024},
    {"GiB", 1024 * 1024 * 1024},
    {"TiB", UINT64_C(1) << 40},
};

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* A decimal number as an integer part and a fraction of 10^18ths: units are multiplied exactly. */
struct decimal {
    uint64_t whole, fraction;
};
#define FRACTION_DIGITS 18
#define FRACTION UINT64_C(1000000000000000000)

/* Its length in `text`, 0 when there is none; what does not fit saturates. */
static size_t read_decimal(const char *text, struct decimal *out) {
    *out = (struct decimal){0};
    size_t i = 0;
    for (; digit(text[i]); i++) {
        uint64_t d = (uint64_t)(text[i] - '0');
        if (__builtin_mul_overflow(out->whole, 10, &out->whole) ||
            __builtin_add_overflow(out->whole, d, &out->whole)) {
            out->whole = UINT64_MAX;
        }
    }
    if (i == 0 || text[i] != '.') {
        return i;
    }
    size_t start = ++i;
    uint64_t place = FRACTION;
    for (; digit(text[i]); i++) {
        place /= 10;
        out->fraction += place * (uint64_t)(text[i] - '0');
    }
    return i > start ? i : 0;
}

/* number * unit, rounded to the nearest; false when above `max`. */
static bool scale(const struct decimal *number, uint64_t unit, uint64_t max, uint64_t *out) {
    wide product =
        (wide)number->whole * unit + ((wide)number->fraction * unit + FRACTION / 2) / FRACTION;
    *out = (uint64_t)product;
    return product <= max;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *text,
                                    size_t len) {
    for (size_t i = 0; i < count; i++) {
        if (strlen(units[i].name) == len && memcmp(units[i].name, text, len) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

static size_t word_length(const char *text) {
    size_t len = 0;
    while ((text[len] >= 'a' && text[len] <= 'z') || (text[len] >= 'A' && text[len] <= 'Z')) {
        len++;
    }
    return len;
}

#define DURATION_EXAMPLE "expected a duration such as 250ms, 30s, 2m, 1h30m or 7d"

hardy_status parse_duration(const char *text, int64_t *out, hardy_error *error) {
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return HARDY_OK;
    }
    uint64_t total = 0, last = UINT64_MAX;
    const char *p = text;
    do {
        struct decimal number;
        size_t len = read_decimal(p, &number);
        if (len == 0) {
            return fail(error, HARDY_E_SYNTAX, NULL, DURATION_EXAMPLE ", not \"%s\"", text);
        }
        p += len;
        size_t unit_len = word_length(p);
        if (unit_len == 0) {
            return fail(error, HARDY_E_SYNTAX, NULL, DURATION_EXAMPLE "; \"%s\" has no unit", text);
        }
        const struct unit *unit =
            find_unit(time_units, sizeof time_units / sizeof time_units[0], p, unit_len);
        if (!unit) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        DURATION_EXAMPLE "; \"%.*s\" in \"%s\" is not one of the units ns us ms s "
                                         "m h d",
                        (int)(unit_len < 32 ? unit_len : 32), p, text);
        }
        if (unit->value >= last) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        DURATION_EXAMPLE "; in \"%s\" the larger unit has to come first, each once",
                        text);
        }
        last = unit->value;
        p += unit_len;
        uint64_t part;
        if (!scale(&number, unit->value, INT64_MAX - 1, &part) ||
            part > (uint64_t)INT64_MAX - 1 - total) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "expected a duration of at most 292 years, not \"%s\"", text);
        }
        total += part;
    } while (*p);
    *out = (int64_t)total;
    return HARDY_OK;
}

hardy_status parse_rate(const char *text, struct rate *out, hardy_error *error) {
    static const char example[] = "expected a rate such as 10/s, 50/m, 5/h or 100/d";
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : 0;
    if (len == 0 || number_scan(text, len, true) != len) {
        return fail(error, HARDY_E_SYNTAX, NULL, "%s, not \"%s\"", example, text);
    }
    const char *name = slash + 1;
    const struct unit *unit =
        find_unit(time_units + SECONDS, DAYS + 1 - SECONDS, name, strlen(name));
    if (!unit) {
        return fail(error, HARDY_E_SYNTAX, NULL,
                    "%s; after the slash of \"%s\" comes one of s m h d", example, text);
    }
    double events = number_value(text, len);
    if (!(events > 0) || !isfinite(events)) {
        return fail(error, HARDY_E_SYNTAX, NULL, "%s; \"%s\" has to be above 0", example, text);
    }
    *out = (struct rate){.events = events, .period = (int64_t)unit->value};
    return HARDY_OK;
}

hardy_status parse_per_second(const char *text, double *out, hardy_error *error) {
    struct rate rate;
    size_t len = strlen(text);
    if (len > 0 && number_scan(text, len, true) == len) {
        rate = (struct rate){.events = number_value(text, len), .period = HARDY_SECOND};
        if (!(rate.events > 0) || !isfinite(rate.events)) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "expected a rate such as 10, 10/s or 600/m, above 0, not \"%s\"", text);
        }
    } else if (parse_rate(text, &rate, error) != HARDY_OK) {
        return HARDY_E_SYNTAX;
    }
    *out = rate.events * (double)HARDY_SECOND / (double)rate.period;
    return HARDY_OK;
}

void format_rate(double events, int64_t period, char *out) {
    char number[NUMBER_TEXT], span[48];
    number_format(events, number);
    format_duration(period, span);
    bool one = span[0] == '1' && strlen(span) == 2;
    snprintf(out, 96, "%s/%s", number, one ? span + 1 : span);
}

hardy_status parse_size(const char *text, uint64_t *out, hardy_error *error) {
    static const char example[] = "expected a size in bytes such as 65536, 64KiB, 1MiB or 10kB";
    struct decimal number;
    size_t len = read_decimal(text, &number);
    const char *name = text + len;
    const struct unit *unit =
        *name == '\0'
            ? &size_units[0]
            : find_unit(size_units, sizeof size_units / sizeof size_units[0], name, strlen(name));
    if (len == 0 || !unit) {
        return fail(error, HARDY_E_SYNTAX, NULL,
                    "%s, not \"%s\" (units: B kB MB GB TB KiB MiB GiB TiB)", example, text);
    }
    if (number.whole == UINT64_MAX || !scale(&number, unit->value, UINT64_MAX - 1, out)) {
        return fail(error, HARDY_E_SYNTAX, NULL, "%s; \"%s\" does not fit into 64 bits", example,
                    text);
    }
    return HARDY_OK;
}

hardy_status parse_integer(const char *text, int64_t min, int64_t max, int64_t *out,
                           hardy_error *error) {
    const char *start = text + (*text == '-');
    size_t len = strspn(start, "0123456789");
    bool valid = len > 0 && start[len] == '\0';
    int kept = errno;
    errno = 0;
    intmax_t value = valid ? strtoimax(text, NULL, 10) : 0;
    valid = valid && errno == 0 && value >= min && value <= max;
    errno = kept;
    if (!valid) {
        return fail(error, HARDY_E_SYNTAX, NULL,
                    "expected a whole number from %" PRId64 " to %" PRId64 ", not \"%s\"", min, max,
                    text);
    }
    *out = value;
    return HARDY_OK;
}

hardy_status parse_number(const char *text, double min, double max, double *out,
                          hardy_error *error) {
    size_t len = strlen(text);
    double value = 0;
    bool valid = len > 0 && number_scan(text, len, true) == len;
    if (valid) {
        value = number_value(text, len);
        valid = value >= min && value <= max;
    }
    if (!valid) {
        char low[NUMBER_TEXT], high[NUMBER_TEXT];
        number_format(min, low);
        number_format(max, high);
        if (isinf(max)) {
            return fail(error, HARDY_E_SYNTAX, NULL, "expected a number of at least %s, not \"%s\"",
                        low, text);
        }
        return fail(error, HARDY_E_SYNTAX, NULL, "expected a number from %s to %s, not \"%s\"", low,
                    high, text);
    }
    *out = value;
    return HARDY_OK;
}

hardy_status parse_bool(const char *text, bool *out, hardy_error *error) {
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) {
        return fail(error, HARDY_E_SYNTAX, NULL, "expected true or false, not \"%s\"", text);
    }
    *out = yes;
    return HARDY_OK;
}

static size_t put_part(char *out, size_t size, size_t at, uint64_t count, const char *unit) {
    int len = snprintf(out + at, size - at, "%" PRIu64 "%s", count, unit);
    return at + (size_t)len;
}

/* `span` as a decimal number of `unit`s, without trailing zeros. */
static size_t put_decimal(char *out, size_t size, size_t at, uint64_t span, uint64_t unit,
                          const char *name) {
    int places = 0;
    for (uint64_t u = unit; u > 1; u /= 10) {
        places++;
    }
    uint64_t rest = span % unit;
    int len = snprintf(out + at, size - at, "%" PRIu64, span / unit);
    at += (size_t)len;
    if (rest > 0) {
        len = snprintf(out + at, size - at, ".%0*" PRIu64, places, rest);
        at += (size_t)len;
        while (out[at - 1] == '0') {
            at--;
        }
    }
    len = snprintf(out + at, size - at, "%s", name);
    return at + (size_t)len;
}

#define DURATION_TEXT 48

void format_duration(int64_t span, char *out) {
    if (span == HARDY_NEVER) {
        str_copy(out, DURATION_TEXT, "never");
        return;
    }
    size_t at = 0;
    uint64_t left = (uint64_t)span;
    if (span < 0) {
        out[at++] = '-';
        left = 0 - left;
    }
    if (left == 0) {
        str_copy(out, DURATION_TEXT, "0s");
        return;
    }
    for (const struct unit *unit = &time_units[DAYS]; unit->value > HARDY_SECOND; unit--) {
        if (left >= unit->value) {
            at = put_part(out, DURATION_TEXT, at, left / unit->value, unit->name);
            left %= unit->value;
        }
    }
    if (left > 0) {
        const struct unit *unit = &time_units[SECONDS];
        while (unit->value > left) {
            unit--;
        }
        put_decimal(out, DURATION_TEXT, at, left, unit->value, unit->name);
    }
}

/* Two units from the minute on; below, a tenth of the unit while there are fewer than ten. */
static uint64_t round_for(int i, uint64_t span) {
    uint64_t unit = time_units[i].value, step = unit;
    if (i > SECONDS) {
        step = time_units[i - 1].value;
    } else if (i > 0 && span < 10 * unit) {
        step = unit / 10;
    }
    return (span + step / 2) / step * step;
}

void format_duration_short(int64_t span, char *out) {
    if (span == HARDY_NEVER || span == 0) {
        str_copy(out, DURATION_TEXT, span == 0 ? "0s" : "never");
        return;
    }
    size_t at = 0;
    uint64_t left = (uint64_t)span;
    if (span < 0) {
        out[at++] = '-';
        left = 0 - left;
    }
    int i = DAYS;
    while (time_units[i].value > left) {
        i--;
    }
    left = round_for(i, left);
    if (i < DAYS && left >= time_units[i + 1].value) {
        i++; /* 59.6s is 1m */
    }
    const struct unit *unit = &time_units[i];
    if (i <= SECONDS) {
        put_decimal(out, DURATION_TEXT, at, left, unit->value, unit->name);
        return;
    }
    at = put_part(out, DURATION_TEXT, at, left / unit->value, unit->name);
    left %= unit->value;
    if (left > 0) {
        out[at++] = ' ';
        put_part(out, DURATION_TEXT, at, left / unit[-1].value, unit[-1].name);
    }
}
