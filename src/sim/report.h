/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H
/* What a run of a model is told as: a table for a person, one JSON document for a program. */
#include "sim/chart.h"
#include "sim/model.h"
#include "sim/plan.h"

struct report {
    const struct sim_settings *settings;
    const struct sim_result *result;
    struct chart chart; /* its title is `title` */
    struct plan plan;
    char title[320];
};
/* E_NOMEM. Both borrowed until report_close(), which is to be called all the same. */
hardy_status report_open(struct report *r, const struct sim_settings *settings,
                         const struct sim_result *result, hardy_error *error);
void report_close(struct report *r);
void report_figures(const struct report *r, struct buf *out);
/* Nothing where there is no capacity. */
void report_plan(const struct report *r, struct buf *out);
void report_json(const struct report *r, struct buf *out);
#endif
