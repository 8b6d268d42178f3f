/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/exposition.h"
#include "base/number.h"
#include "base/str.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

void exposition_begin(struct exposition *x, struct buf *to) {
    x->to = to;
}

/* Backslash and line end are escaped everywhere, the quote only between quotes. */
static void put_escaped(struct buf *to, const char *text, bool quoted) {
    size_t len = strlen(text);
    for (size_t i = 0, n; i < len; i += n) {
        n = str_utf8_length(text + i, len - i);
        if (n == 0) {
            buf_puts(to, "\xef\xbf\xbd");
            n = 1;
        } else if (text[i] == '\n') {
            buf_puts(to, "\\n");
        } else if (text[i] == '\\' || (quoted && text[i] == '"')) {
            buf_putc(to, '\\');
            buf_putc(to, text[i]);
        } else {
            buf_append(to, text + i, n);
        }
    }
}

static void put_number(struct buf *to, double value) {
    char text[NUMBER_TEXT];
    if (isnan(value)) {
        buf_puts(to, "NaN");
    } else if (isinf(value)) {
        buf_puts(to, value > 0 ? "+Inf" : "-Inf");
    } else if (fabs(value) < 0x1p53 && (double)(int64_t)value == value) {
        buf_printf(to, "%" PRId64, (int64_t)value); /* most are; and this is quick */
    } else {
        number_format(value, text);
        buf_puts(to, text);
    }
}

/* A label more: its comma or brace, its name and the quotes around its value. */
static void open_label(struct buf *to, unsigned *labels, const char *name) {
    buf_putc(to, (*labels)++ == 0 ? '{' : ',');
    buf_puts(to, name);
    buf_puts(to, "=\"");
}

static void put_labels(struct buf *to, unsigned *labels, va_list pairs) {
    const char *name, *value;
    while ((name = va_arg(pairs, const char *)) && (value = va_arg(pairs, const char *))) {
        open_label(to, labels, name);
        put_escaped(to, value, true);
        buf_putc(to, '"');
    }
}

static void put_value(struct buf *to, unsigned labels, double value) {
    buf_puts(to, labels > 0 ? "} " : " ");
    put_number(to, value);
    buf_putc(to, '\n');
}

void exposition_family(struct exposition *x, const char *name, const char *type, const char *help) {
    buf_printf(x->to, "# HELP %s ", name);
    put_escaped(x->to, help, false);
    buf_printf(x->to, "\n# TYPE %s %s\n", name, type);
}

void exposition_sample(struct exposition *x, const char *name, double value, ...) {
    unsigned labels = 0;
    va_list pairs;
    buf_puts(x->to, name);
    va_start(pairs, value);
    put_labels(x->to, &labels, pairs);
    va_end(pairs);
    put_value(x->to, labels, value);
}

void histogram_init(struct histogram *h, const double *bounds, size_t count) {
    *h = (struct histogram){.bounds = bounds,
                            .count = count < HISTOGRAM_BOUNDS_MAX ? count : HISTOGRAM_BOUNDS_MAX};
}

void histogram_add(struct histogram *h, double value) {
    if (isnan(value)) {
        return; /* the sum would be one for ever */
    }
    size_t i = 0;
    while (i < h->count && value > h->bounds[i]) {
        i++;
    }
    h->buckets[i]++;
    h->sum += value;
}

void exposition_histogram(struct exposition *x, const char *name, const struct histogram *h, ...) {
    static const char *const suffixes[] = {"_sum", "_count"};
    uint64_t below = 0;
    va_list pairs;
    for (size_t i = 0; i <= h->count; i++) {
        unsigned labels = 0;
        below += h->buckets[i];
        buf_printf(x->to, "%s_bucket", name);
        va_start(pairs, h);
        put_labels(x->to, &labels, pairs);
        va_end(pairs);
        open_label(x->to, &labels, "le");
        put_number(x->to, i < h->count ? h->bounds[i] : INFINITY);
        buf_putc(x->to, '"');
        put_value(x->to, labels, (double)below);
    }
    for (size_t i = 0; i < 2; i++) {
        unsigned labels = 0;
        buf_printf(x->to, "%s%s", name, suffixes[i]);
        va_start(pairs, h);
        put_labels(x->to, &labels, pairs);
        va_end(pairs);
        put_value(x->to, labels, i == 0 ? h->sum : (double)below);
    }
}
