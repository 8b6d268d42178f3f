/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/story.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

struct span_text {
    char text[48];
};
static struct span_text span_of(int64_t ns) {
    struct span_text t;
    format_duration_short(ns, t.text);
    return t;
}
#define SPAN(ns) (span_of(ns).text)
#define SECONDS(s) SPAN((int64_t)((s) * (double)HARDY_SECOND))

static unsigned long long ull(uint64_t n) {
    return n;
}

void story_title(const struct story *s, struct buf *out) {
    buf_printf(out, "%s: guard %s, %u clients, capacity %g/s, seed %llu", s->name, s->guard->name,
               s->scenario->clients.count, scenario_per_second(s->scenario->server.capacity),
               ull(s->seed));
}

/* --- tables --------------------------------------------------------------------------------- */

static void put_parts(const struct story *s, struct buf *out) {
    static const char *const names[FLEET_PARTS] = {"before", "in trouble", "after"};
    buf_puts(out,
             "begun          operations      good  given up   refused   calls each   longest\n");
    for (int i = 0; i < FLEET_PARTS; i++) {
        const struct fleet_figures *p = &s->result->parts[i];
        buf_printf(out, "%-12s %12llu %9llu %9llu %9llu", names[i], ull(p->operations),
                   ull(p->good), ull(p->failed), ull(p->refused));
        if (p->operations > 0) {
            buf_printf(out, " %12.2f %9s\n", (double)p->calls / (double)p->operations,
                       SPAN(p->longest));
        } else {
            buf_printf(out, " %12s %9s\n", "-", "-");
        }
    }
}

static void put_figure(struct buf *out, const char *label, double value, const char *unit) {
    if (value < 0) {
        buf_printf(out, "%-34s %10s\n", label, "never");
    } else {
        buf_printf(out, "%-34s %10.2f%s\n", label, value, unit);
    }
}

static void put_changes(const struct story *s, struct buf *out) {
    const struct fleet_result *r = s->result;
    enum { SHOWN = 8 };
    if (!r->breaker) {
        return;
    }
    buf_printf(out, "breaker:");
    for (size_t i = 0; i < r->change_count && i < SHOWN; i++) {
        buf_printf(out, "%s %s at %s", i > 0 ? "," : "", hardy_breaker_state_name(r->changes[i].to),
                   SPAN(r->changes[i].at));
    }
    if (r->changes_in_all > SHOWN) {
        buf_printf(out, ", and %llu changes more", ull(r->changes_in_all - SHOWN));
    }
    buf_puts(out, r->changes_in_all > 0 ? "\n" : " closed all the time\n");
}

void story_table(const struct story *s, struct buf *out) {
    const struct measures *m = s->measures;
    put_parts(s, out);
    buf_putc(out, '\n');
    put_figure(out, "good answers a second, before", m->good_before, "");
    put_figure(out, "good answers a second, in trouble", m->good_during, "");
    put_figure(out, "recovered after", m->recovered_after_s, " s");
    if (m->peak_1s >= 0) {
        put_figure(out, "afterwards at most, in 1 s", m->peak_1s, " times the capacity");
        put_figure(out, "afterwards at most, in 100 ms", m->peak_100ms, " times the capacity");
    }
    buf_printf(out, "%-34s %10llu\n", "retries that the budget refused",
               ull(s->result->stats.retries_suppressed));
    put_changes(s, out);
}

/* --- the verdict ---------------------------------------------------------------------------- */

static void put_recovery(const struct story *s, struct buf *out) {
    const struct measures *m = s->measures;
    int64_t left = s->result->duration - s->result->trouble_until;
    if (left < 10 * HARDY_SECOND) {
        buf_puts(out, "The scenario ends with its trouble, so nothing can be said of recovery.\n");
    } else if (m->recovered_after_s >= 0 && m->good_during >= 0.95 * m->good_before) {
        buf_puts(out, "The trouble does no harm: as many good answers as before.\n");
    } else if (m->recovered_after_s >= 1) {
        buf_printf(out, "It recovers by itself: %s after the trouble it serves as before.\n",
                   SECONDS(m->recovered_after_s));
    } else if (m->recovered_after_s >= 0) {
        buf_puts(out, "It recovers by itself and at once: the first ten seconds after the trouble "
                      "are as those before it.\n");
    } else {
        buf_printf(out,
                   "It does not recover: %s after the trouble there are %.0f %% of the good "
                   "answers of before.\n",
                   SPAN(left), m->goodput_last_minute < 0 ? 0 : m->goodput_last_minute * 100);
    }
}

/* The reason that most operations ended for, of those that did not end well. */
static hardy_reason main_reason(const struct fleet_result *r) {
    size_t most = 0;
    for (size_t i = 1; i < sizeof r->reasons / sizeof *r->reasons; i++) {
        most = r->reasons[i] > r->reasons[most] ? i : most;
    }
    return (hardy_reason)most;
}

static void put_callers(const struct story *s, struct buf *out) {
    const struct fleet_figures *p = &s->result->parts[FLEET_DURING];
    if (p->operations > 0) {
        buf_printf(out,
                   "Of %llu operations begun in it %llu were answered, %llu given up, %llu "
                   "refused; none took longer than %s.\n",
                   ull(p->operations), ull(p->good), ull(p->failed), ull(p->refused),
                   SPAN(p->longest));
    }
    hardy_reason reason = main_reason(s->result);
    if (s->result->reasons[reason] > 0) {
        buf_printf(out,
                   "In the whole run, what ended most of those that did not end well: %s (%llu).\n",
                   hardy_reason_text(reason), ull(s->result->reasons[reason]));
    }
    if (s->result->unfinished > s->scenario->clients.count) {
        buf_printf(out, "%llu operations had not ended when the time was over.\n",
                   ull(s->result->unfinished));
    }
}

/* Retries make it worse, for each of them is such work again. */
static void put_waste(const struct story *s, struct buf *out) {
    const struct fleet_result *r = s->result;
    double share = s->measures->for_nobody;
    if (share >= 0.05) {
        buf_printf(out,
                   "Of what the server took on, %.0f %% was for callers that had gone by then "
                   "(%llu calls).\n",
                   share * 100, ull(r->for_nobody));
    }
}

static void put_peak(const struct story *s, struct buf *out) {
    const struct measures *m = s->measures;
    if (measures_peak(m)) {
        buf_printf(out,
                   "When it was over the callers came back together: %.1f times the capacity in "
                   "one second.\n",
                   m->peak_1s);
    }
}

static void put_then(const struct measures *now, const struct measures *then, struct buf *out) {
    const char *comma = "";
    if (remedy_recovers(now, then)) {
        buf_printf(out, "recovers after %s instead of %s", SECONDS(then->recovered_after_s),
                   now->recovered_after_s < 0 ? "never" : SECONDS(now->recovered_after_s));
        comma = ", ";
    }
    if (remedy_flattens(now, then)) {
        buf_printf(out, "%speak %.1f instead of %.1f", comma, then->peak_1s, now->peak_1s);
        comma = ", ";
    }
    if (remedy_serves(now, then)) {
        buf_printf(out, "%s%llu of %llu operations do not end well instead of %llu of %llu", comma,
                   ull(then->not_good), ull(then->since), ull(now->not_good), ull(now->since));
    }
    buf_putc(out, '\n');
}

static void put_remedies(const struct story *s, struct buf *out) {
    enum { SHOWN = 3 };
    const struct remedies *r = s->remedies;
    if (!r || r->tried == 0) {
        return;
    }
    if (r->count == 0) {
        buf_printf(out,
                   "%zu change%s of the settings w%s tried in the same scenario; none was "
                   "clearly better.\n",
                   r->tried, r->tried == 1 ? "" : "s", r->tried == 1 ? "as" : "ere");
        return;
    }
    buf_printf(out, "What would change it (%zu change%s tried%s):\n", r->tried,
               r->tried == 1 ? " was" : "s were",
               r->cut ? ", not all there are: the run is long" : "");
    for (size_t i = 0; i < r->count && i < SHOWN; i++) {
        buf_printf(out, "  %s\n      ", r->found[i].setting);
        put_then(s->measures, &r->found[i].then, out);
    }
}

void story_verdict(const struct story *s, struct buf *out) {
    put_recovery(s, out);
    put_callers(s, out);
    put_waste(s, out);
    put_peak(s, out);
    put_remedies(s, out);
    for (const char *const *w = s->warnings; w && *w; w++) {
        buf_printf(out, "warning: guard %s: %s\n", s->guard->name, *w);
    }
}
