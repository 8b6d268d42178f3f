/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "daemon/inside.h"
#include "http/problem.h"
#include "incident/incident.h"
#include "observe/process.h"

#define METRICS_MAX ((size_t)8 << 20)

static void write_checks(const struct daemon *d, struct exposition *x, const char *name,
                         const char *help,
                         double (*value)(const struct check_settings *c,
                                         const struct check_state *s, int64_t now)) {
    const struct check_settings *c;
    const struct check_state *s;
    exposition_family(x, name, "gauge", help);
    for (size_t i = 0; (s = health_at(d->known, i, &c)); i++) {
        exposition_sample(x, name, value(c, s, loop_now(d->loop)), "check", c->name, NULL);
    }
}

static double is_up(const struct check_settings *c, const struct check_state *s, int64_t now) {
    (void)c;
    (void)now;
    return s->level == LEVEL_UP;
}

static double is_flapping(const struct check_settings *c, const struct check_state *s,
                          int64_t now) {
    (void)c;
    (void)now;
    return s->flapping;
}

static double is_stale(const struct check_settings *c, const struct check_state *s, int64_t now) {
    return check_stale(s, c, now);
}

static double duration(const struct check_settings *c, const struct check_state *s, int64_t now) {
    (void)c;
    (void)now;
    return (double)s->took / (double)HARDY_SECOND;
}

static void write_health(const struct daemon *d, struct exposition *x) {
    const struct check_settings *c;
    const struct check_state *s;
    if (!d->known || !health_at(d->known, 0, &c)) {
        return;
    }
    write_checks(d, x, "hardy_check_up", "1 while the check is up, else 0", is_up);
    write_checks(d, x, "hardy_check_flapping", "1 while the check changes too often to act upon",
                 is_flapping);
    write_checks(d, x, "hardy_check_stale", "1 while nothing new is known of the check", is_stale);
    write_checks(d, x, "hardy_check_duration_seconds", "How long the last run took", duration);
    exposition_family(x, "hardy_check_results_total", "counter", "Runs of the check, by result");
    for (size_t i = 0; (s = health_at(d->known, i, &c)); i++) {
        for (int r = CHECK_PASS; r <= CHECK_UNKNOWN; r++) {
            exposition_sample(x, "hardy_check_results_total", (double)s->counts[r], "check",
                              c->name, "result", check_result_text((enum check_result)r), NULL);
        }
    }
}

void metrics_answer(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct buf text;
    struct exposition x;
    buf_init(&text, METRICS_MAX);
    exposition_begin(&x, &text);
    exposition_process(&x, d->started_wall);
    exposition_state(&x, d->store && store_health(d->store, NULL) == HARDY_OK);
    write_health(d, &x);
    pause_write_metrics(d, &x);
    if (d->store)
        incident_write_metrics(d->store, &x);
    supervise_write_metrics(d, &x);
    gather_write_metrics(d, &x);
    gateway_write_metrics(d->gateway, &x);
    if (text.failed) { /* half a page would look like metrics that have gone */
        http_problem(r, 503, NULL, NULL, NULL, "no memory for the metrics");
    } else {
        admin_answer(r, 200, EXPOSITION_TYPE, &text);
    }
    buf_free(&text);
}
