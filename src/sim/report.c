/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/report.h"
#include "base/error.h"
#include <stdio.h>

#define NAMES_MAX 160
#define SHORT (20 * HARDY_SECOND) /* a run that is drawn in tenths of a second */

static void controls_text(unsigned controls, char out[NAMES_MAX]) {
    size_t len = (size_t)snprintf(out, NAMES_MAX, "%s", controls ? "" : "none");
    for (size_t i = 0; i < SIM_CONTROLS; i++) {
        if (controls & 1u << i) {
            len += (size_t)snprintf(out + len, NAMES_MAX - len, "%s%s", len > 0 ? "," : "",
                                    sim_control_names[i]);
        }
    }
}

/* --- what it is made of ---------------------------------------------------------------------- */

static void make_title(struct report *r) {
    const struct sim_settings *s = r->settings;
    char controls[NAMES_MAX], capacity[48] = "";
    controls_text(s->controls, controls);
    if (s->capacity > 0) {
        snprintf(capacity, sizeof capacity, ", capacity %g/s", s->capacity);
    }
    snprintf(r->title, sizeof r->title,
             "model %s: %u clients%s, strategy %s, control %s, seed %llu", sim_model_name(s->model),
             s->clients, capacity, strategy_names[s->strategy.kind], controls,
             (unsigned long long)s->seed);
}

static void make_plan(struct report *r) {
    const struct sim_settings *s = r->settings;
    double load = sim_utilisation(s) * s->capacity;
    r->plan = (struct plan){.clients = s->clients,
                            .capacity = s->capacity,
                            .load = load,
                            .retries = s->attempts != 1,
                            .max_delay = s->strategy.cap,
                            .attempts = s->attempts};
    if (s->controls & (SIM_BUDGET | SIM_SHARED_BUDGET)) {
        r->plan.budgeted = load * (1 + SIM_BUDGET_RATIO);
    }
    if (s->controls & SIM_PACE) {
        r->plan.limited = true;
        r->plan.rate = SIM_PACE_SHARE * s->capacity;
        r->plan.burst = 1;
        r->plan.period = HARDY_SECOND;
    }
}

static hardy_status make_chart(struct report *r, hardy_error *error) {
    const struct sim_settings *s = r->settings;
    const struct sim_result *result = r->result;
    struct chart *c = &r->chart;
    int64_t width = result->end < SHORT ? SERIES_WIDTH : HARDY_SECOND;
    size_t count = (size_t)((result->end + width - 1) / width);
    bool trouble = result->trouble_until > result->trouble_from;
    if (!chart_init(c, width, count, trouble, s->capacity > 0, false)) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a chart");
    }
    c->title = r->title;
    for (size_t i = 0; i < count; i++) {
        int64_t at = (int64_t)i * width;
        bool within = at >= result->trouble_from && at < result->trouble_until;
        c->offered[i] =
            (double)series_sum(&result->calls_over_time, at, at + width) / figure_seconds(width);
        c->good[i] = (double)series_sum(&result->successes_over_time, at, at + width) /
                     figure_seconds(width);
        if (c->capacity) {
            c->capacity[i] = s->capacity * (within ? result->trouble_share : 1);
        }
    }
    if (trouble) {
        c->spans[0] =
            (struct chart_span){.from = result->trouble_from,
                                .until = result->trouble_until,
                                .name = result->trouble_share > 0 ? "brown-out" : "outage"};
    }
    return HARDY_OK;
}

hardy_status report_open(struct report *r, const struct sim_settings *settings,
                         const struct sim_result *result, hardy_error *error) {
    *r = (struct report){.settings = settings, .result = result};
    make_title(r);
    make_plan(r);
    return make_chart(r, error);
}

void report_close(struct report *r) {
    chart_free(&r->chart);
}

/* --- telling --------------------------------------------------------------------------------- */

struct figure {
    const char *key, *label, *unit;
    double value;
    unsigned models; /* in which it has a meaning; bit 1 << model */
};
#define FIGURES 6
#define IN(model) (1u << (model))
static void figures_of(const struct sim_result *r, struct figure out[FIGURES]) {
    const unsigned all = IN(SIM_A) | IN(SIM_S) | IN(SIM_O) | IN(SIM_M);
    out[0] = (struct figure){"calls_per_operation", "calls of an operation", "",
                             r->calls_per_operation, all};
    out[1] = (struct figure){"done_after_s", "all done after", " s", r->done_after_s,
                             IN(SIM_A) | IN(SIM_S)};
    out[2] = (struct figure){"peak_over_capacity_1s", "afterwards at most, in 1 s",
                             " times the capacity", r->peak_over_capacity_1s, all & ~IN(SIM_A)};
    out[3] = (struct figure){"peak_over_capacity_100ms", "afterwards at most, in 100 ms",
                             " times the capacity", r->peak_over_capacity_100ms, all & ~IN(SIM_A)};
    out[4] =
        (struct figure){"goodput_last_minute", "good answers in the last minute",
                        " of the operations begun", r->goodput_last_minute, IN(SIM_O) | IN(SIM_M)};
    out[5] = (struct figure){"recovered_after_s", "recovered after", " s", r->recovered_after_s,
                             IN(SIM_O) | IN(SIM_M)};
}

void report_figures(const struct report *r, struct buf *out) {
    struct figure figures[FIGURES];
    figures_of(r->result, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        const struct figure *f = &figures[i];
        if (!(f->models & IN(r->settings->model))) {
            continue;
        }
        if (f->value < 0) {
            buf_printf(out, "%-34s %10s\n", f->label, "never");
        } else {
            buf_printf(out, "%-34s %10.2f%s\n", f->label, f->value, f->unit);
        }
    }
}

void report_plan(const struct report *r, struct buf *out) {
    if (r->settings->capacity > 0) {
        plan_text(&r->plan, out);
    }
}

static void put_values(struct json_out *j, const char *key, const double *values, size_t count) {
    json_out_key(j, key);
    if (!values) {
        json_out_null(j);
        return;
    }
    json_out_array(j);
    for (size_t i = 0; i < count; i++) {
        json_out_double(j, values[i]);
    }
    json_out_array_end(j);
}

static void put_settings(struct json_out *j, const struct sim_settings *s) {
    char controls[NAMES_MAX];
    controls_text(s->controls, controls);
    json_out_member_string(j, "model", sim_model_name(s->model));
    json_out_member_count(j, "clients", s->clients);
    figure_json(j, "capacity", s->capacity > 0 ? s->capacity : -1);
    figure_json(j, "outage_s", figure_seconds(s->outage));
    json_out_member_string(j, "strategy", strategy_names[s->strategy.kind]);
    figure_json(j, "base_delay_s", figure_seconds(s->strategy.base));
    figure_json(j, "max_delay_s", figure_seconds(s->strategy.cap));
    figure_json(j, "attempts", s->attempts > 0 ? (double)s->attempts : -1);
    json_out_member_string(j, "control", controls);
    json_out_member_count(j, "seed", s->seed);
}

void report_json(const struct report *r, struct buf *out) {
    struct figure figures[FIGURES];
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    put_settings(&j, r->settings);
    json_out_member_count(&j, "operations", r->result->operations);
    json_out_member_count(&j, "calls", r->result->calls);
    figures_of(r->result, figures);
    for (size_t i = 0; i < FIGURES; i++) {
        figure_json(&j, figures[i].key, figures[i].value);
    }
    json_out_key(&j, "plan");
    if (r->settings->capacity > 0) {
        plan_json(&r->plan, &j);
    } else {
        json_out_null(&j);
    }
    json_out_key(&j, "series");
    json_out_object(&j);
    figure_json(&j, "width_s", figure_seconds(r->chart.width));
    put_values(&j, "calls", r->chart.offered, r->chart.count);
    put_values(&j, "good", r->chart.good, r->chart.count);
    put_values(&j, "capacity", r->chart.capacity, r->chart.count);
    json_out_object_end(&j);
    json_out_object_end(&j);
    buf_putc(out, '\n');
}
