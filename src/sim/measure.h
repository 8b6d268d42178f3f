/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_MEASURE_H
#define SIM_MEASURE_H
/* What a run of a scenario came to, in a few figures, and its chart. */
#include "sim/chart.h"
#include "sim/fleet.h"

/* What does not happen, or cannot be told, is below 0. */
struct measures {
    uint64_t operations, good, failed, refused; /* of all parts, and those unfinished not counted */
    uint64_t since, not_good; /* begun in the trouble or after it; those that did not end well */
    double unserved;          /* their share of those begun in it, and of those after it: up to 2 */
    double calls_per_operation;
    double good_before, good_during; /* good ends a second */
    double peak_1s, peak_100ms;      /* calls over capacity, after the trouble */
    double usual_peak_1s;            /* the same before the trouble */
    double recovered_after_s;        /* 10 s with 95 % of before, and it stays so */
    double goodput_last_minute;      /* good ends, over those before the trouble */
    double longest_s;                /* operation */
    double for_nobody;               /* share of the server's work */
    uint64_t opened;                 /* how often the breaker did */
    double utilisation;              /* offered over capacity when all is well */
};
/* Whether the callers came back together: more at once than the server takes and than is usual. */
bool measures_peak(const struct measures *m);
void measure(const struct scenario *s, const struct fleet_result *r, struct measures *out);

/* Of a second each. E_NOMEM; chart_free() always. `title` and phases borrowed. */
hardy_status measure_chart(const struct scenario *s, const struct fleet_result *r,
                           const char *title, struct chart *out, hardy_error *error);
#endif
