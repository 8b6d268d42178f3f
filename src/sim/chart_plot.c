/* SPDX-License-Identifier: Apache-2.0 */
/* The chart for a terminal: two panels of bars, a strip for the breaker and one for the trouble. */
#include "base/parse.h"
#include "sim/chart.h"
#include <stdio.h>
#include <string.h>

#define MARGIN 9 /* columns left of the bars */
#define COLUMNS_MAX 400
#define OFFERED_ROWS 6
#define GOOD_ROWS 4
#define TIME_COLUMNS 10 /* for a time on the axis */
#define LEVELS 8        /* of a character's height */

struct glyphs {
    const char *bars[LEVELS + 1]; /* a character filled so far; [0] is empty */
    const char *axis, *capacity, *closed, *half_open, *open, *trouble, *tick;
};
static const struct glyphs unicode_glyphs = {
    .bars = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
    .axis = "│",
    .capacity = "╌",
    .closed = "·",
    .half_open = "▄",
    .open = "█",
    .trouble = "▒",
    .tick = "└",
};
static const struct glyphs ascii_glyphs = {
    .bars = {" ", "_", "_", ".", ".", "o", "o", "O", "#"},
    .axis = "|",
    .capacity = "-",
    .closed = ".",
    .half_open = "h",
    .open = "O",
    .trouble = "x",
    .tick = "+",
};

struct plot {
    const struct chart *c;
    const struct glyphs *g;
    unsigned columns; /* of bars */
    struct buf *out;
};

/* The samples that a column stands for: at least one. */
static size_t first_of(const struct plot *p, unsigned column) {
    return p->c->count * column / p->columns;
}

static size_t end_of(const struct plot *p, unsigned column) {
    size_t first = first_of(p, column), end = first_of(p, column + 1);
    return end > first ? end : first + 1;
}

enum taking { HIGHEST, MEAN };

static double value_of(const struct plot *p, const double *values, unsigned column,
                       enum taking how) {
    double highest = 0, sum = 0;
    size_t first = first_of(p, column), end = end_of(p, column);
    for (size_t i = first; i < end; i++) {
        highest = values[i] > highest ? values[i] : highest;
        sum += values[i];
    }
    return how == HIGHEST ? highest : sum / (double)(end - first);
}

/* Eighths of a character, counted from the panel's bottom. */
static int height(double value, double top, unsigned rows) {
    return (int)(value / top * (double)(rows * LEVELS) + 0.5);
}

static void put_label(struct plot *p, double value, bool shown) {
    if (shown) {
        char text[32];
        snprintf(text, sizeof text, value < 10 && value > 0 ? "%.3g" : "%.0f", value);
        buf_printf(p->out, "%*s %s", MARGIN - 2, text, p->g->axis);
    } else {
        buf_printf(p->out, "%*s %s", MARGIN - 2, "", p->g->axis);
    }
}

/* Blanks at a line's end are left out. */
static void end_line(struct plot *p) {
    while (p->out->len > 0 && p->out->data[p->out->len - 1] == ' ') {
        p->out->data[--p->out->len] = '\0';
    }
    buf_putc(p->out, '\n');
}

static void put_panel(struct plot *p, const double *values, const double *limit, enum taking how,
                      unsigned rows) {
    double top = 0;
    for (unsigned x = 0; x < p->columns; x++) {
        double value = value_of(p, values, x, how);
        double bound = limit ? value_of(p, limit, x, HIGHEST) : 0;
        top = value > top ? value : top;
        top = bound > top ? bound : top;
    }
    top = chart_round_up(top);
    for (unsigned row = rows; row-- > 0;) {
        put_label(p, top * (row + 1) / rows, row + 1 == rows || row + 1 == rows / 2);
        for (unsigned x = 0; x < p->columns; x++) {
            int filled = height(value_of(p, values, x, how), top, rows) - (int)(row * LEVELS);
            int line =
                limit ? height(value_of(p, limit, x, MEAN), top, rows) - (int)(row * LEVELS) : 0;
            const char *glyph = p->g->bars[filled > LEVELS ? LEVELS : filled > 0 ? filled : 0];
            if (filled <= 0 && line > 0 && line <= LEVELS) {
                glyph = p->g->capacity;
            }
            buf_puts(p->out, glyph);
        }
        end_line(p);
    }
}

/* The worst that the breaker was in a column. */
static const char *state_glyph(const struct plot *p, unsigned column) {
    bool half_open = false;
    for (size_t i = first_of(p, column); i < end_of(p, column); i++) {
        if (p->c->states[i] == HARDY_OPEN || p->c->states[i] == HARDY_FORCED_OPEN) {
            return p->g->open;
        }
        half_open |= p->c->states[i] == HARDY_HALF_OPEN;
    }
    return half_open ? p->g->half_open : p->g->closed;
}

static void put_breaker(struct plot *p) {
    if (!p->c->states) {
        return;
    }
    buf_printf(p->out, "%*s %s", MARGIN - 2, "breaker", p->g->axis);
    for (unsigned x = 0; x < p->columns; x++) {
        buf_puts(p->out, state_glyph(p, x));
    }
    end_line(p);
}

static bool in_trouble(const struct plot *p, unsigned column) {
    int64_t from = (int64_t)first_of(p, column) * p->c->width;
    int64_t until = (int64_t)end_of(p, column) * p->c->width;
    for (size_t i = 0; i < p->c->span_count; i++) {
        if (p->c->spans[i].from < until && p->c->spans[i].until > from) {
            return true;
        }
    }
    return false;
}

static void put_trouble(struct plot *p) {
    if (p->c->span_count == 0) {
        return;
    }
    buf_printf(p->out, "%*s %s", MARGIN - 2, "trouble", p->g->axis);
    for (unsigned x = 0; x < p->columns; x++) {
        buf_puts(p->out, in_trouble(p, x) ? p->g->trouble : " ");
    }
    end_line(p);
}

/* Round times under their columns. */
static void put_times(struct plot *p) {
    char line[COLUMNS_MAX + 64];
    int64_t whole = (int64_t)p->c->count * p->c->width;
    int64_t step = chart_step(p->c, p->columns / TIME_COLUMNS);
    size_t used = 0;
    memset(line, ' ', sizeof line);
    for (int64_t at = 0; at <= whole; at += step) {
        char text[48];
        format_duration(at, text);
        size_t len = strlen(text), x = (size_t)(at * p->columns / whole);
        x = x + len > p->columns ? p->columns - len : x;
        if (x >= used) {
            memcpy(line + x, text, len);
            used = x + len + 1;
        }
    }
    buf_printf(p->out, "%*s", MARGIN, "");
    buf_append(p->out, line, used > 0 ? used - 1 : 0);
    end_line(p);
}

void chart_plot(const struct chart *c, unsigned columns, bool unicode, struct buf *out) {
    columns = columns < 20 ? 20 : columns > COLUMNS_MAX ? COLUMNS_MAX : columns;
    struct plot p = {c, unicode ? &unicode_glyphs : &ascii_glyphs, columns - MARGIN, out};
    if (c->count == 0) {
        return;
    }
    buf_printf(out, "calls a second, the highest of each column%s%s\n",
               c->capacity ? "; the server can take: " : "", c->capacity ? p.g->capacity : "");
    put_panel(&p, c->offered, c->capacity, HIGHEST, OFFERED_ROWS);
    buf_puts(out, "good answers a second\n");
    put_panel(&p, c->good, NULL, MEAN, GOOD_ROWS);
    put_breaker(&p);
    put_trouble(&p);
    put_times(&p);
    if (c->states) {
        buf_printf(out, "breaker: %s closed  %s half open  %s open\n", p.g->closed, p.g->half_open,
                   p.g->open);
    }
}
