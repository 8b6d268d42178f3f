/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_CHART_H
#define SIM_CHART_H
/* What was offered, what was served and what the breaker did over time, as a plot for a terminal
 * and as a picture. The same chart gives the same bytes. */
#include "base/buf.h"
#include "base/json.h"
#include <hardy/breaker.h>
#include <stddef.h>

struct chart_span { /* a time with a name: a phase in which something is wrong */
    int64_t from, until;
    const char *name;
};
struct chart {
    const char *title;
    int64_t width; /* ns of each sample */
    size_t count;  /* samples of each of the following; a second's worth each */
    double *offered, *good;
    double *capacity; /* NULL: there is no limit */
    uint8_t *states;  /* hardy_breaker_state, the worst in each sample; NULL: no breaker */
    struct chart_span *spans;
    size_t span_count;
};
/* Room for `count` samples, all 0; false: no memory. chart_free() always. */
bool chart_init(struct chart *c, int64_t width, size_t count, size_t spans, bool capacity,
                bool states);
void chart_free(struct chart *c);

/* Lines of at most `columns` (20 to 400); without `unicode` only ASCII. A column shows the highest
 * of its offered samples, so that no peak is lost, and the mean of the good ones. */
void chart_plot(const struct chart *c, unsigned columns, bool unicode, struct buf *out);
/* A whole SVG document; it follows the reader's light or dark theme. */
void chart_svg(const struct chart *c, struct buf *out);

/* A round number at or above `value`, that reads well on an axis; at least 0.001. */
double chart_round_up(double value);
/* Between two marks of the axis of time: a round span, of which at most `marks` fit into all of it.
 */
int64_t chart_step(const struct chart *c, unsigned marks);
static inline double figure_seconds(int64_t span) {
    return (double)span / (double)HARDY_SECOND;
}
/* A figure of a run as a member; null below 0, which is what did not happen. */
void figure_json(struct json_out *j, const char *key, double value);
#endif
