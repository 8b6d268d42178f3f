/* SPDX-License-Identifier: Apache-2.0 */
/* What a guard will do, for a person: settings, the schedule of waits, and what cannot hold. */
#include "guard/explain.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "guard/state.h"
#include <math.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024)
#define ORDER                                                                                      \
    "deadline > retry and budget > breaker > rate > bulkhead > timeout of the attempt > call"
#define SCHEDULE_ROWS 12 /* of the waits; a longer schedule is cut, its worst case is not */

const char *explain_jitter(hardy_jitter jitter) {
    switch (jitter) {
    case HARDY_JITTER_NONE:
        return "none";
    case HARDY_JITTER_FULL:
        return "full";
    case HARDY_JITTER_EQUAL:
        return "equal";
    case HARDY_JITTER_DECORRELATED:
        return "decorrelated";
    case HARDY_JITTER_PROPORTIONAL:
        return "proportional";
    }
    return "unknown";
}

static double seconds(int64_t ns) {
    return (double)ns / (double)HARDY_SECOND;
}

struct explain_fit explain_fit(const hardy_retry_config *r) {
    struct explain_fit fit = {0};
    int64_t low = 0, high = 0, longest = 0;
    for (uint32_t i = 0; i < r->max_retries; i++) {
        low = hardy_backoff(r, i, low, 0);
        high = hardy_backoff(r, i, high, UINT64_MAX);
        fit.shortest = time_add(fit.shortest, low);
        longest = time_add(longest, high);
        if (fit.shortest > r->max_total_wait) {
            break;
        }
        fit.possibly++;
        fit.surely += longest <= r->max_total_wait;
    }
    return fit;
}

int64_t explain_worst_case(const hardy_guard_config *c) {
    uint32_t retries = c->retry != NULL ? explain_fit(c->retry).possibly : 0;
    int64_t waits = retries > 0 ? hardy_backoff_worst_case(c->retry) : 0;
    int64_t all = time_add(time_scale(c->timeout, retries + 1.0), waits);
    return all < c->deadline ? all : c->deadline;
}

static void put_schedule(struct buf *b, const hardy_retry_config *r) {
    int64_t low_before = 0, high_before = 0;
    struct explain_fit fit = explain_fit(r);
    for (uint32_t i = 0; i < fit.possibly && i < SCHEDULE_ROWS; i++) {
        int64_t low = hardy_backoff(r, i, low_before, 0);
        int64_t high = hardy_backoff(r, i, high_before, UINT64_MAX);
        buf_printf(b, "    wait before attempt %-4u %s", i + 2, SPAN(low));
        if (high != low) {
            buf_printf(b, " to %s", SPAN(high));
        }
        buf_putc(b, '\n');
        low_before = low;
        high_before = high;
    }
    if (fit.possibly > SCHEDULE_ROWS) {
        buf_printf(b, "    and %u more\n", fit.possibly - SCHEDULE_ROWS);
    }
    if (fit.possibly < r->max_retries) {
        buf_printf(b, "    attempt %-4u             never made, by max_total_wait\n",
                   fit.possibly + 2);
    }
    int64_t worst = hardy_backoff_worst_case(r);
    buf_printf(b, "    worst case of all waits  %s (%.3f s)%s\n", SPAN(worst), seconds(worst),
               worst == r->max_total_wait ? ", by max_total_wait" : "");
}

/* When it opens. */
static void put_opening(struct buf *b, const hardy_breaker_config *k) {
    if (k->failure_mode != HARDY_FAILURE_RATE) {
        buf_printf(b, "opens after %u failures", k->failure_threshold);
        if (k->failure_mode == HARDY_WINDOW) {
            buf_printf(b, " in %s", SPAN(k->failure_window));
            if (k->failure_rate > 0) {
                buf_printf(b, ", if they are %g %% of the calls", 100 * k->failure_rate);
            }
        } else {
            buf_puts(b, " in a row");
        }
        return;
    }
    buf_puts(b, "opens when");
    if (k->failure_rate > 0) {
        buf_printf(b, " %g %% fail", 100 * k->failure_rate);
    }
    if (k->slow_call_rate > 0) {
        buf_printf(b, "%s %g %% are slow", k->failure_rate > 0 ? " or" : "",
                   100 * k->slow_call_rate);
    }
    buf_printf(b, " of at least %u calls in ", k->minimum_calls);
    if (k->window_calls > 0) {
        buf_printf(b, "the last %u", k->window_calls);
    } else {
        buf_puts(b, SPAN(k->failure_window));
    }
}

static void put_breaker(struct buf *b, const hardy_guard_config *c) {
    const hardy_breaker_config *k = c->breaker;
    buf_puts(b, "  breaker    ");
    put_opening(b, k);
    buf_printf(b, " (counting %s)", k->counts_attempts ? "attempts" : "operations");
    if (k->slow_call > 0) {
        buf_printf(b, ", slow is longer than %s", SPAN(k->slow_call));
    }
    buf_printf(b, ", stays open %s", SPAN(k->recovery_timeout));
    if (k->recovery_factor > 1) {
        buf_printf(b, ", each time %g times as long, up to %s", k->recovery_factor,
                   SPAN(k->recovery_max));
    }
    if (k->recovery_jitter > 0) {
        buf_printf(b, ", up to %g %% longer", 100 * k->recovery_jitter);
    }
    buf_printf(b, ", closes after %u trials", k->success_threshold);
    if (k->trial_decision == HARDY_TRIALS_RATIO) {
        buf_printf(b, " unless %g %% of them fail", 100 * k->failure_rate);
    }
    buf_printf(b, ", %u at once, trial_lease %s, close_ramp %s", k->half_open_max_calls,
               SPAN(k->trial_lease), SPAN(k->close_ramp));
    if (k->close_rate > 0 && k->close_ramp > 0) {
        buf_printf(b, " at %g/s", k->close_rate);
    }
    buf_printf(b, ", when open: %s%s\n", c->wait_when_open ? "wait" : "reject",
               k->shadow ? "; shadow: refuses nothing" : "");
}

static void put_rate(struct buf *b, const char *name, const hardy_rate_config *r) {
    buf_printf(b, "  %-10s %g in %s, burst %g, when limited: %s", name, r->events, SPAN(r->period),
               r->burst, r->reject ? "reject" : "wait");
    if (r->low_priority) {
        buf_puts(b, ", low priority");
    }
    if (r->low_floor > 0) {
        buf_printf(b, ", of them %g for low priority", r->low_floor);
    }
    if (r->limit > 0) {
        buf_printf(b, ", the far side takes %g in %s", r->limit, SPAN(r->limit_window));
    }
    buf_putc(b, '\n');
}

static void put_settings(struct buf *b, const hardy_guard_config *c,
                         const struct explain_more *more) {
    buf_printf(b, "guard %s\n", c->name);
    buf_puts(b, "  order      " ORDER "; no other can be configured\n");
    buf_printf(b, "  deadline   %s\n", SPAN(c->deadline));
    buf_printf(b, "  timeout    attempt %s, first content %s, idle %s", SPAN(c->timeout),
               SPAN(c->timeout_first_content), SPAN(c->timeout_idle));
    if (more->connect > 0 && more->connect != HARDY_NEVER) {
        buf_printf(b, ", connect %s", SPAN(more->connect));
    }
    buf_putc(b, '\n');
    if (c->retry == NULL) {
        buf_puts(b, "  retry      none: one attempt\n");
    } else {
        const hardy_retry_config *r = c->retry;
        buf_printf(b,
                   "  retry      max_retries %u, base_delay %s, max_delay %s, exponential_base %g, "
                   "jitter %s, max_total_wait %s, repeatable %s\n",
                   r->max_retries, SPAN(r->base_delay), SPAN(r->max_delay), r->exponential_base,
                   explain_jitter(r->jitter), SPAN(r->max_total_wait),
                   more->by_request ? "by GET, HEAD, PUT, DELETE or an Idempotency-Key"
                   : r->repeatable  ? "yes"
                                    : "no");
        if (more->retry_on != NULL) {
            buf_printf(b, "    only after               %s\n", more->retry_on);
        }
        put_schedule(b, r);
    }
    if (c->hedge != NULL) {
        buf_printf(b,
                   "  hedge      after %s, where the operation is repeatable: one more at once\n",
                   SPAN(c->hedge->after));
    }
    if (c->budget != NULL) {
        buf_printf(b,
                   "  budget     %g retries a call, and %g a second besides; kept for %s, a retry "
                   "after a time-out counts %u times\n",
                   c->budget->ratio, c->budget->floor, SPAN(c->budget->ttl),
                   c->budget->timeout_cost);
    } else {
        buf_puts(b, "  budget     none\n");
    }
    if (c->breaker != NULL) {
        put_breaker(b, c);
    } else {
        buf_puts(b, "  breaker    none\n");
    }
    if (c->rate != NULL) {
        put_rate(b, "rate", c->rate);
    } else {
        buf_puts(b, "  rate       none\n");
    }
    if (more->tokens != NULL) {
        put_rate(b, "tokens", more->tokens);
    }
    if (c->bulkhead != NULL) {
        const hardy_bulkhead_config *k = c->bulkhead;
        buf_printf(b, "  bulkhead   %u at once, %u waiting", k->max_concurrent, k->max_queue);
        if (k->adaptive) {
            buf_printf(b, ", adaptive: down to %u while calls are throttled or time out",
                       k->min_concurrent);
        }
        buf_putc(b, '\n');
    } else {
        buf_puts(b, "  bulkhead   none\n");
    }
    int64_t worst = explain_worst_case(c);
    if (worst == HARDY_NEVER) {
        buf_puts(b, "  an operation has no longest time: neither deadline nor timeout bounds it\n");
    } else {
        buf_printf(b,
                   "  an operation takes at most %s (%.3f s), not counting waits for the breaker, "
                   "rate and slots%s\n",
                   SPAN(worst), seconds(worst),
                   worst == c->deadline ? "; the deadline bounds those too" : "");
    }
}

static void put_problem(void *ctx, bool warning, const char *text) {
    buf_printf(ctx, "%s: %s\n", warning ? "warning" : "note", text);
}

void explain_text(const hardy_guard_config *c, const struct explain_more *more,
                  const hardy_explain_options *o, struct buf *to) {
    static const struct explain_more nothing;
    put_settings(to, c, more != NULL ? more : &nothing);
    explain_problems(c, more, o, put_problem, to);
}

void hardy_explain_options_init(hardy_explain_options *options, size_t size) {
    memset(options, 0, size);
    options->size = size;
}

size_t hardy_guard_explain_with(const hardy_guard *guard, const hardy_explain_options *options,
                                char *text, size_t size) {
    struct buf b;
    hardy_explain_options given;
    hardy_guard *g = (hardy_guard *)(uintptr_t)guard; /* its lock is no part of what it is */
    hardy_explain_options_init(&given, sizeof given);
    if (options != NULL) {
        memcpy(&given, options, options->size < sizeof given ? options->size : sizeof given);
    }
    buf_init(&b, TEXT_MAX);
    mutex_lock(&g->changing);
    explain_text(&edition_current(&g->editions)->config, NULL, &given, &b);
    mutex_unlock(&g->changing);
    size_t length = b.len;
    if (size > 0) {
        size_t shown = length < size ? length : size - 1;
        if (shown > 0) {
            memcpy(text, b.data, shown);
        }
        text[shown] = '\0';
    }
    buf_free(&b);
    return length;
}

size_t hardy_guard_explain(const hardy_guard *guard, char *text, size_t size) {
    return hardy_guard_explain_with(guard, NULL, text, size);
}
