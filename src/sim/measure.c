/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/measure.h"
#include "base/clock.h"
#include "base/error.h"
#include "sim/service.h"

#define AS_BEFORE 0.95                /* of the good answers: it has recovered */
#define LOOKED_AT (10 * HARDY_SECOND) /* so long at least */
#define STAYS 0.9                     /* on average until the end */

static double rate_of(const struct series *s, int64_t from, int64_t until) {
    return until > from ? (double)series_sum(s, from, until) / figure_seconds(until - from) : 0;
}

/* Calls a second when all is well, if every call is answered at once when its turn has come. */
static double offered(const struct scenario *s) {
    const struct scenario_clients *c = &s->clients;
    return c->given_rate ? c->count * scenario_per_second(c->rate)
                         : c->count / figure_seconds(time_add(c->think, s->server.service_time));
}

/* Before the first clients had their first answer the rate is not what it will be. */
static double good_before(const struct scenario *s, const struct fleet_result *r) {
    int64_t warm = 2 * s->server.service_time + HARDY_SECOND;
    warm -= warm % HARDY_SECOND;
    return r->trouble_from - warm >= LOOKED_AT ? rate_of(&r->good, warm, r->trouble_from)
                                               : offered(s);
}

static double recovered_after(const struct fleet_result *r, double before) {
    double rest = (double)series_sum(&r->good, r->trouble_until, r->duration);
    for (int64_t at = r->trouble_until; at + LOOKED_AT <= r->duration; at += HARDY_SECOND) {
        if (rate_of(&r->good, at, at + LOOKED_AT) >= AS_BEFORE * before &&
            rest >= STAYS * before * figure_seconds(r->duration - at)) {
            return figure_seconds(at - r->trouble_until);
        }
        rest -= (double)series_sum(&r->good, at, at + HARDY_SECOND);
    }
    return -1;
}

void measure(const struct scenario *s, const struct fleet_result *r, struct measures *m) {
    double capacity = scenario_per_second(s->server.capacity);
    uint64_t calls = 0;
    int64_t longest = 0;
    *m = (struct measures){.utilisation = offered(s) / capacity};
    for (int i = 0; i < FLEET_PARTS; i++) {
        const struct fleet_figures *p = &r->parts[i];
        m->operations += p->operations;
        m->good += p->good;
        m->failed += p->failed;
        m->refused += p->refused;
        calls += p->calls;
        longest = p->longest > longest ? p->longest : longest;
        if (i != FLEET_BEFORE && p->operations > 0) {
            m->since += p->operations;
            m->not_good += p->operations - p->good;
            m->unserved += (double)(p->operations - p->good) / (double)p->operations;
        }
    }
    m->calls_per_operation = m->operations > 0 ? (double)calls / (double)m->operations : -1;
    m->longest_s = figure_seconds(longest);
    uint64_t turns = series_sum(&r->turns, 0, time_add(r->duration, HARDY_SECOND));
    m->for_nobody = turns > 0 ? (double)r->for_nobody / (double)turns : 0;
    m->good_before = good_before(s, r);
    m->good_during = rate_of(&r->good, r->trouble_from, r->trouble_until);
    bool ends = r->trouble_until < r->duration;
    m->peak_1s =
        ends ? (double)series_peak(&r->sent, r->trouble_until, r->duration, HARDY_SECOND) / capacity
             : -1;
    m->peak_100ms =
        ends ? (double)series_peak(&r->sent, r->trouble_until, r->duration, SERIES_WIDTH) * 10 /
                   capacity
             : -1;
    m->usual_peak_1s = (double)series_peak(&r->sent, 0, r->trouble_from, HARDY_SECOND) / capacity;
    m->recovered_after_s = recovered_after(r, m->good_before);
    m->goodput_last_minute =
        m->good_before > 0 && r->duration - HARDY_MINUTE >= r->trouble_until
            ? rate_of(&r->good, r->duration - HARDY_MINUTE, r->duration) / m->good_before
            : -1;
    m->opened = r->stats.breaker.times_opened;
}

bool measures_peak(const struct measures *m) {
    return m->peak_1s > 1.2 && m->peak_1s > 1.5 * m->usual_peak_1s;
}

/* --- the chart ------------------------------------------------------------------------------ */

static int severity(hardy_breaker_state state) {
    return state == HARDY_CLOSED || state == HARDY_DISABLED ? 0 : state == HARDY_HALF_OPEN ? 1 : 2;
}

static void fill_states(const struct fleet_result *r, struct chart *c) {
    hardy_breaker_state state = HARDY_CLOSED;
    size_t next = 0;
    for (size_t i = 0; i < c->count; i++) {
        int64_t end = (int64_t)(i + 1) * c->width;
        c->states[i] = (uint8_t)state;
        for (; next < r->change_count && r->changes[next].at < end; next++) {
            state = r->changes[next].to;
            if (severity(state) > severity((hardy_breaker_state)c->states[i])) {
                c->states[i] = (uint8_t)state;
            }
        }
    }
}

hardy_status measure_chart(const struct scenario *s, const struct fleet_result *r,
                           const char *title, struct chart *c, hardy_error *error) {
    const struct scenario_phase *phases = s->phases.items;
    size_t count = (size_t)((r->duration + HARDY_SECOND - 1) / HARDY_SECOND);
    if (!chart_init(c, HARDY_SECOND, count, s->phases.count, true, r->breaker)) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a chart");
    }
    c->title = title;
    for (size_t i = 0; i < count; i++) {
        int64_t at = (int64_t)i * HARDY_SECOND;
        c->offered[i] = (double)series_sum(&r->sent, at, at + HARDY_SECOND);
        c->good[i] = (double)series_sum(&r->good, at, at + HARDY_SECOND);
        c->capacity[i] = scenario_capacity_at(s, at);
    }
    if (c->states) {
        fill_states(r, c);
    }
    for (size_t i = 0; i < s->phases.count; i++) {
        int64_t until = time_add(phases[i].from, phases[i].span);
        c->spans[i] = (struct chart_span){.from = phases[i].from,
                                          .until = until < r->duration ? until : r->duration,
                                          .name = scenario_phase_text(&phases[i])};
    }
    return HARDY_OK;
}
