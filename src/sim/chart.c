/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/chart.h"
#include <stdlib.h>
#include <string.h>

bool chart_init(struct chart *c, int64_t width, size_t count, size_t spans, bool capacity,
                bool states) {
    *c = (struct chart){.width = width, .count = count, .span_count = spans};
    c->offered = calloc(count + 1, sizeof *c->offered);
    c->good = calloc(count + 1, sizeof *c->good);
    c->capacity = capacity ? calloc(count + 1, sizeof *c->capacity) : NULL;
    c->states = states ? calloc(count + 1, sizeof *c->states) : NULL;
    c->spans = calloc(spans + 1, sizeof *c->spans);
    return c->offered && c->good && (c->capacity || !capacity) && (c->states || !states) &&
           c->spans;
}

void chart_free(struct chart *c) {
    free(c->offered);
    free(c->good);
    free(c->capacity);
    free(c->states);
    free(c->spans);
    *c = (struct chart){0};
}

double chart_round_up(double value) {
    static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8, 10};
    double power = 1e-3;
    while (power * 10 < value) {
        power *= 10;
    }
    size_t i = 0;
    while (i < sizeof steps / sizeof *steps - 1 && steps[i] * power < value) {
        i++;
    }
    return steps[i] * power;
}

int64_t chart_step(const struct chart *c, unsigned marks) {
    static const int64_t steps[] = {1,   2,   5,   10,   15,   30,   60,    120,
                                    300, 600, 900, 1800, 3600, 7200, 10800, 21600};
    size_t i = 0;
    int64_t whole = (int64_t)c->count * c->width;
    while (i < sizeof steps / sizeof *steps - 1 && whole / (steps[i] * HARDY_SECOND) > marks) {
        i++;
    }
    return steps[i] * HARDY_SECOND;
}

void figure_json(struct json_out *j, const char *key, double value) {
    json_out_key(j, key);
    if (value < 0) {
        json_out_null(j);
    } else {
        json_out_double(j, value);
    }
}
