/* SPDX-License-Identifier: Apache-2.0 */
/* The chart as a picture: SVG 1.1, without scripts, fonts or anything else from outside. */
#include "base/parse.h"
#include "sim/chart.h"
#include <stdio.h>
#include <string.h>

/* In user units. */
#define WIDTH 800.0
#define HEIGHT 400.0
#define LEFT 70.0
#define RIGHT 20.0
#define TOP 70.0
#define BOTTOM 330.0
#define STRIP_TOP 338.0 /* of the breaker */
#define STRIP_HEIGHT 10.0
#define TICKS 5        /* of values */
#define TIMES 10       /* marks at most */
#define POINTS_MAX 600 /* of a line: more cannot be told apart */

struct picture {
    const struct chart *c;
    double top; /* value at the upper end */
    struct buf *out;
};

static const char style[] =
    "<style>\n"
    "svg { background: #ffffff; font-family: sans-serif; font-size: 13px }\n"
    "text { fill: #24292f }\n"
    ".title { font-size: 16px; font-weight: bold }\n"
    ".grid { stroke: #d0d7de; stroke-width: 1 }\n"
    ".trouble { fill: #cf222e; fill-opacity: 0.12 }\n"
    ".offered { fill: #0969da; fill-opacity: 0.25; stroke: #0969da; stroke-width: 1.5 }\n"
    ".good { fill: none; stroke: #1a7f37; stroke-width: 2 }\n"
    ".capacity { fill: none; stroke: #57606a; stroke-width: 1.5; stroke-dasharray: 6 4 }\n"
    ".open { fill: #cf222e }\n"
    ".half-open { fill: #bf8700 }\n"
    ".closed { fill: #1a7f37 }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "svg { background: #0d1117 }\n"
    "text { fill: #e6edf3 }\n"
    ".grid { stroke: #30363d }\n"
    ".trouble { fill: #ff7b72; fill-opacity: 0.18 }\n"
    ".offered { fill: #58a6ff; stroke: #58a6ff }\n"
    ".good { stroke: #3fb950 }\n"
    ".capacity { stroke: #8b949e }\n"
    ".open { fill: #ff7b72 }\n"
    ".half-open { fill: #d29922 }\n"
    ".closed { fill: #3fb950 }\n"
    "}\n"
    "</style>\n";

static void put_escaped(struct buf *out, const char *text) {
    for (const char *p = text; *p; p++) {
        if (*p == '&') {
            buf_puts(out, "&amp;");
        } else if (*p == '<') {
            buf_puts(out, "&lt;");
        } else if (*p == '>') {
            buf_puts(out, "&gt;");
        } else if ((unsigned char)*p < ' ') {
            buf_putc(out, ' ');
        } else {
            buf_putc(out, *p);
        }
    }
}

static double x_of(const struct picture *p, double sample) {
    return LEFT + (WIDTH - LEFT - RIGHT) * sample / (double)p->c->count;
}

static double y_of(const struct picture *p, double value) {
    return BOTTOM - (BOTTOM - TOP) * value / p->top;
}

static double x_of_time(const struct picture *p, int64_t at) {
    return x_of(p, (double)at / (double)p->c->width);
}

/* Several samples in one point: the highest, or their mean. */
static void put_points(struct picture *p, const double *values, bool highest) {
    size_t points = p->c->count < POINTS_MAX ? p->c->count : POINTS_MAX;
    for (size_t i = 0; i < points; i++) {
        size_t first = p->c->count * i / points, end = p->c->count * (i + 1) / points;
        double most = 0, sum = 0;
        for (size_t k = first; k < end; k++) {
            most = values[k] > most ? values[k] : most;
            sum += values[k];
        }
        double value = highest ? most : sum / (double)(end - first);
        buf_printf(p->out, "%s%.1f,%.1f", i > 0 ? " " : "", x_of(p, (double)(first + end) / 2),
                   y_of(p, value));
    }
}

static void put_line(struct picture *p, const char *class, const double *values) {
    buf_printf(p->out, "<polyline class=\"%s\" points=\"", class);
    put_points(p, values, false);
    buf_puts(p->out, "\"/>\n");
}

static void put_area(struct picture *p, const char *class, const double *values) {
    buf_printf(p->out, "<polygon class=\"%s\" points=\"%.1f,%.1f ", class, x_of(p, 0), BOTTOM);
    put_points(p, values, true);
    buf_printf(p->out, " %.1f,%.1f\"/>\n", x_of(p, (double)p->c->count), BOTTOM);
}

static void put_axes(struct picture *p) {
    for (int i = 0; i <= TICKS; i++) {
        double value = p->top * i / TICKS;
        buf_printf(p->out,
                   "<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
                   "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
                   LEFT, y_of(p, value), WIDTH - RIGHT, y_of(p, value), LEFT - 8,
                   y_of(p, value) + 4, value);
    }
    int64_t whole = (int64_t)p->c->count * p->c->width, step = chart_step(p->c, TIMES);
    for (int64_t at = 0; at <= whole; at += step) {
        char text[48];
        format_duration(at, text);
        buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
                   x_of_time(p, at), HEIGHT - 30, at == whole ? "end" : "middle", text);
    }
    buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">time</text>\n",
               (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10);
    buf_printf(p->out,
               "<text transform=\"translate(16 %.1f) rotate(-90)\" text-anchor=\"middle\">calls "
               "a second</text>\n",
               (TOP + BOTTOM) / 2);
}

static void put_trouble(struct picture *p) {
    for (size_t i = 0; i < p->c->span_count; i++) {
        const struct chart_span *span = &p->c->spans[i];
        double x = x_of_time(p, span->from);
        buf_printf(p->out,
                   "<rect class=\"trouble\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                   "height=\"%.1f\"><title>",
                   x, TOP, x_of_time(p, span->until) - x, BOTTOM - TOP);
        put_escaped(p->out, span->name);
        buf_printf(p->out, "</title></rect>\n<text x=\"%.1f\" y=\"%.1f\">", x + 4,
                   TOP + 14 + 15 * (double)(i % 4));
        put_escaped(p->out, span->name);
        buf_puts(p->out, "</text>\n");
    }
}

static const char *state_class(uint8_t state) {
    return state == HARDY_OPEN || state == HARDY_FORCED_OPEN ? "open"
           : state == HARDY_HALF_OPEN                        ? "half-open"
                                                             : "closed";
}

static void put_breaker(struct picture *p) {
    const uint8_t *states = p->c->states;
    for (size_t i = 0, first = 0; states && i < p->c->count; i++) {
        if (i + 1 < p->c->count && states[i + 1] == states[first]) {
            continue;
        }
        buf_printf(p->out,
                   "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\"/>\n",
                   state_class(states[first]), x_of(p, (double)first), STRIP_TOP,
                   x_of(p, (double)(i + 1)) - x_of(p, (double)first), STRIP_HEIGHT);
        first = i + 1;
    }
    if (states) {
        buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">breaker</text>\n",
                   LEFT - 8, STRIP_TOP + STRIP_HEIGHT);
    }
}

static void put_key(struct picture *p, double x, const char *class, bool filled, const char *text) {
    if (filled) {
        buf_printf(p->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"18\" height=\"10\"/>",
                   class, x, TOP - 24);
    } else {
        buf_printf(p->out, "<polyline class=\"%s\" points=\"%.1f,%.1f %.1f,%.1f\"/>", class, x,
                   TOP - 19, x + 18, TOP - 19);
    }
    buf_printf(p->out, "<text x=\"%.1f\" y=\"%.1f\">%s</text>\n", x + 24, TOP - 15, text);
}

static void put_legend(struct picture *p) {
    put_key(p, LEFT, "offered", true, "calls");
    put_key(p, LEFT + 80, "good", false, "good answers");
    if (p->c->capacity) {
        put_key(p, LEFT + 200, "capacity", false, "capacity");
    }
    put_key(p, LEFT + 300, "trouble", true, "trouble");
    if (p->c->states) {
        put_key(p, LEFT + 390, "closed", true, "closed");
        put_key(p, LEFT + 470, "half-open", true, "half open");
        put_key(p, LEFT + 570, "open", true, "open");
    }
}

void chart_svg(const struct chart *c, struct buf *out) {
    struct picture p = {c, 0, out};
    for (size_t i = 0; i < c->count; i++) {
        double capacity = c->capacity ? c->capacity[i] : 0;
        double most = c->offered[i] > capacity ? c->offered[i] : capacity;
        p.top = most > p.top ? most : p.top;
    }
    p.top = chart_round_up(p.top);
    buf_printf(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
               "width=\"%.0f\" height=\"%.0f\" role=\"img\">\n<title>",
               WIDTH, HEIGHT, WIDTH, HEIGHT);
    put_escaped(out, c->title);
    buf_puts(out, "</title>\n");
    buf_puts(out, style);
    buf_printf(out, "<text class=\"title\" x=\"%.1f\" y=\"26\">", LEFT);
    put_escaped(out, c->title);
    buf_puts(out, "</text>\n");
    put_trouble(&p);
    put_axes(&p);
    put_area(&p, "offered", c->offered);
    if (c->capacity) {
        put_line(&p, "capacity", c->capacity);
    }
    put_line(&p, "good", c->good);
    put_breaker(&p);
    put_legend(&p);
    buf_puts(out, "</svg>\n");
}
