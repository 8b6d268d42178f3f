/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a child, in words for people. */
#include "base/parse.h"
#include "base/str.h"
#include "supervise/children_parts.h"
#include <stdarg.h>
#include <stdio.h>

void supervised_told(struct supervised *r, const char *what, const char *format, ...) {
    char detail[400];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    if (r->all->events->told)
        r->all->events->told(r->all->ctx, r->s->name, loop_wall(loop_of(r)), what, detail);
}

static void end_text(const struct supervised *r, char *out, size_t size) {
    const struct child *m = &r->machine;
    char how[80], span[48];
    child_end_text(m->code, m->signal, m->unknown, how, sizeof how);
    format_duration_short(m->lived, span);
    snprintf(out, size, m->unknown ? "%s" : "%s after %s", how, span);
}

static void given_up(struct supervised *r, const char *end) {
    const struct child *m = &r->machine;
    const struct child_rules *rules = m->rules;
    char text[300], within[48], rest[48];
    format_duration_short(rules->within, within);
    format_duration_short(rules->retry_after, rest);
    if (m->why == CHILD_WHY_CODE)
        snprintf(text, sizeof text, "%s: starting it again would not help", end);
    else if (m->why == CHILD_WHY_CRASHES)
        snprintf(text, sizeof text, "%s, the %uth such death", end, rules->crashes);
    else
        snprintf(text, sizeof text, "%s; restarted %u times within %s%s%s", end, rules->restarts,
                 within, m->state == CHILD_FAILED ? "" : "; tried again in ",
                 m->state == CHILD_FAILED ? "" : rest);
    char summary[400];
    snprintf(summary, sizeof summary, "child %s %s: %s", r->s->name,
             m->state == CHILD_FAILED ? "was given up" : "does not stay up", text);
    supervised_told(r, m->state == CHILD_FAILED ? "given up" : "restarted too often", "%s", text);
    if (!r->record.paged)
        supervised_page(r, "trigger", summary);
}

/* It ended without anybody's asking for it; what follows is decided. */
static void tell_death(struct supervised *r) {
    const struct child *m = &r->machine;
    char end[160], span[48];
    end_text(r, end, sizeof end);
    if (m->exhausted || m->state == CHILD_FAILED) {
        given_up(r, end);
    } else if (m->state == CHILD_RESTING) {
        format_duration_short(m->until - loop_now(loop_of(r)), span);
        supervised_told(r, "ended", "%s; restarted in %s (%u of %u within %gs)", end, span,
                        child_restarts(m, loop_now(loop_of(r))) + 1, m->rules->restarts,
                        (double)m->rules->within / (double)HARDY_SECOND);
    } else {
        supervised_told(r, "ended", "%s%s", end,
                        m->state == CHILD_STARTING ? "; restarted at once" : "");
    }
}

static void tell_stopping(struct supervised *r) {
    const struct child *m = &r->machine;
    char span[48];
    switch (m->why) {
    case CHILD_WHY_HUNG:
        format_duration_short(m->rules->watchdog, span);
        supervised_told(r, "hung", "not heard of for %s; it gets ABRT", span);
        break;
    case CHILD_WHY_LATE:
        format_duration_short(m->rules->start_timeout, span);
        supervised_told(r, "late", "not ready after %s", span);
        break;
    case CHILD_WHY_ITSELF:
        supervised_told(r, "stopping", "it says so itself");
        break;
    default:
        if (m->alive)
            supervised_told(r, "stopping", "it gets %s", child_signal_text(m->rules->stop_signal));
        else
            supervised_told(
                r, "left over",
                "it has ended and left processes running, which are ended; run it in the "
                "foreground, or without HARDY_CHILD_ID what is to outlive it");
    }
}

void supervised_tell_change(struct supervised *r, const struct child *before,
                            const struct child_event *e) {
    const struct child *m = &r->machine;
    bool death = (e->kind == CHILD_EXITED && before->alive) || e->kind == CHILD_CLEARED;
    char span[48];
    if (death && !m->running && m->state == CHILD_STOPPED)
        supervised_told(r, "stopped", "%s", "as asked");
    else if (death && m->state != CHILD_STOPPING && !before->again)
        tell_death(r);
    if (m->state == before->state && e->kind != CHILD_EXITED && m->killing == before->killing)
        return;
    if (m->state == CHILD_READY && before->state != CHILD_READY && e->kind != CHILD_ADOPT) {
        format_duration_short(loop_now(loop_of(r)) - m->started, span);
        supervised_told(r, "ready", "after %s", span);
    } else if (m->killing && !before->killing) {
        format_duration_short(m->rules->stop_timeout, span);
        supervised_told(r, "killed", "still there after %s", span);
    } else if (m->state == CHILD_STOPPING &&
               (before->state != CHILD_STOPPING || m->why != before->why)) {
        tell_stopping(r);
    } else if (m->state == CHILD_WAITING && m->paused && m->allowed) {
        supervised_told(r, "held", "it would have been restarted; %s", r->why_off);
    } else if (m->state == CHILD_WAITING) {
        supervised_told(r, "waiting", "for %s",
                        children_missing(r) ? children_missing(r) : "its turn");
    }
}
