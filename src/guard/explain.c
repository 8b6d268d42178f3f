/* SPDX-License-Identifier: Apache-2.0 */
/* What a guard will do, for a person: settings, the schedule of waits, and what cannot hold. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/parse.h"
#include "guard/state.h"
#include <math.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 * 1024)
#define MARGIN 0.8       /* of a limit that is to be stayed below */
#define SCHEDULE_ROWS 12 /* of the waits; a longer schedule is cut, its worst case is not */

struct span_text {
    char text[48];
};

static struct span_text span(int64_t ns) {
    struct span_text t;
    if (ns == HARDY_NEVER) {
        memcpy(t.text, "none", sizeof "none");
    } else {
        format_duration(ns, t.text);
    }
    return t;
}

/* The array of a returned structure lives until the end of the full expression. */
#define SPAN(ns) (span(ns).text)

static const char *jitter_name(hardy_jitter jitter) {
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

/* All attempts up to their time-out and all waits at their longest; HARDY_NEVER: no end. */
static int64_t worst_case(const hardy_guard_config *c) {
    uint32_t retries = c->retry != NULL ? c->retry->max_retries : 0;
    int64_t waits = retries > 0 ? hardy_backoff_worst_case(c->retry) : 0;
    int64_t all = time_add(time_scale(c->timeout, retries + 1.0), waits);
    return all < c->deadline ? all : c->deadline;
}

static void put_schedule(struct buf *b, const hardy_retry_config *r) {
    int64_t low_before = 0, high_before = 0;
    for (uint32_t i = 0; i < r->max_retries && i < SCHEDULE_ROWS; i++) {
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
    if (r->max_retries > SCHEDULE_ROWS) {
        buf_printf(b, "    and %u more\n", r->max_retries - SCHEDULE_ROWS);
    }
    int64_t worst = hardy_backoff_worst_case(r);
    buf_printf(b, "    worst case of all waits  %s (%.3f s)%s\n", SPAN(worst), seconds(worst),
               worst == r->max_total_wait ? ", by max_total_wait" : "");
}

static void put_settings(struct buf *b, const hardy_guard_config *c) {
    buf_printf(b, "guard %s\n", c->name);
    buf_printf(b, "  deadline   %s\n", SPAN(c->deadline));
    buf_printf(b, "  timeout    attempt %s, first content %s, idle %s\n", SPAN(c->timeout),
               SPAN(c->timeout_first_content), SPAN(c->timeout_idle));
    if (c->retry == NULL) {
        buf_puts(b, "  retry      none: one attempt\n");
    } else {
        const hardy_retry_config *r = c->retry;
        buf_printf(b,
                   "  retry      max_retries %u, base_delay %s, max_delay %s, exponential_base %g, "
                   "jitter %s, max_total_wait %s, repeatable %s\n",
                   r->max_retries, SPAN(r->base_delay), SPAN(r->max_delay), r->exponential_base,
                   jitter_name(r->jitter), SPAN(r->max_total_wait), r->repeatable ? "yes" : "no");
        put_schedule(b, r);
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
        const hardy_breaker_config *k = c->breaker;
        buf_printf(b, "  breaker    opens after %u failures", k->failure_threshold);
        if (k->failure_mode == HARDY_WINDOW) {
            buf_printf(b, " in %s", SPAN(k->failure_window));
        } else {
            buf_puts(b, " in a row");
        }
        buf_printf(b,
                   " (counting %s), stays open %s, closes after %u trials, %u at once, "
                   "trial_lease %s, close_ramp %s, when open: %s\n",
                   k->counts_attempts ? "attempts" : "operations", SPAN(k->recovery_timeout),
                   k->success_threshold, k->half_open_max_calls, SPAN(k->trial_lease),
                   SPAN(k->close_ramp), c->wait_when_open ? "wait" : "reject");
    } else {
        buf_puts(b, "  breaker    none\n");
    }
    if (c->rate != NULL) {
        buf_printf(b, "  rate       %g in %s, burst %g, when limited: %s%s\n", c->rate->events,
                   SPAN(c->rate->period), c->rate->burst, c->rate->reject ? "reject" : "wait",
                   c->rate->low_priority ? ", low priority" : "");
    } else {
        buf_puts(b, "  rate       none\n");
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
    int64_t worst = worst_case(c);
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

static void warn(struct buf *b, const char *format, ...) HARDY_PRINTF(2, 3);

static void warn(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_puts(b, "warning: ");
    buf_vprintf(b, format, args);
    buf_putc(b, '\n');
    va_end(args);
}

static void warn_of_times(struct buf *b, const hardy_guard_config *c) {
    const struct {
        const char *name;
        int64_t value;
    } inner[] = {{"timeout_first_content", c->timeout_first_content},
                 {"timeout_idle", c->timeout_idle}};
    if (c->timeout != HARDY_NEVER && c->timeout >= c->deadline) {
        warn(b, "timeout %s is not shorter than the deadline %s: it never ends an attempt",
             SPAN(c->timeout), SPAN(c->deadline));
    }
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (inner[i].value != HARDY_NEVER && inner[i].value >= c->timeout) {
            warn(b, "%s %s is not shorter than the timeout %s: it never ends an attempt",
                 inner[i].name, SPAN(inner[i].value), SPAN(c->timeout));
        }
    }
    if (c->timeout == HARDY_NEVER && c->deadline == HARDY_NEVER &&
        (c->timeout_first_content == HARDY_NEVER || c->timeout_idle == HARDY_NEVER)) {
        warn(b, "no timeout and no deadline: nothing ends an attempt that hangs");
    }
}

static void warn_of_rate(struct buf *b, const hardy_guard_config *c) {
    const hardy_rate_config *r = c->rate;
    if (r == NULL || r->limit <= 0) {
        return;
    }
    double most = floor(hardy_rate_most(r, r->limit_window) + 1e-9);
    hardy_rate_config safe = *r;
    if (most > r->limit &&
        hardy_rate_config_below(&safe, r->limit, r->limit_window, MARGIN, NULL) == HARDY_OK) {
        warn(b,
             "rate %g in %s with burst %g lets %g through in %s, of which the far side takes %g: "
             "%g with burst %g stay below",
             r->events, SPAN(r->period), r->burst, most, SPAN(r->limit_window), r->limit,
             safe.events, safe.burst);
    }
}

static void warn_of_retries(struct buf *b, const hardy_guard_config *c) {
    const hardy_retry_config *r = c->retry;
    if (r == NULL || r->max_retries == 0) {
        return;
    }
    uint32_t attempts = r->max_retries + 1;
    int64_t calls = time_scale(c->timeout, attempts);
    int64_t waits = hardy_backoff_worst_case(r);
    if (c->deadline != HARDY_NEVER && c->timeout != HARDY_NEVER && c->timeout < c->deadline &&
        calls > c->deadline) {
        warn(b,
             "%u attempts of %s make %s, more than the deadline %s: at most %lld can run to their "
             "timeout",
             attempts, SPAN(c->timeout), SPAN(calls), SPAN(c->deadline),
             (long long)(c->deadline / c->timeout));
    } else if (c->deadline != HARDY_NEVER && waits > c->deadline) {
        warn(b, "the waits alone can take %s, the deadline is %s: not all retries will be made",
             SPAN(waits), SPAN(c->deadline));
    } else if (c->deadline != HARDY_NEVER && c->timeout != HARDY_NEVER &&
               time_add(calls, waits) > c->deadline) {
        warn(b,
             "%u attempts of %s and their waits can take %s, the deadline is %s: not all retries "
             "will be made",
             attempts, SPAN(c->timeout), SPAN(time_add(calls, waits)), SPAN(c->deadline));
    }
    if (!r->repeatable) {
        buf_puts(b,
                 "note: repeatable is no: only attempts that had no effect are retried, not those "
                 "that timed out or broke off after sending\n");
    }
    if (c->budget == NULL) {
        warn(b, "no retry budget: in an outage every call becomes up to %u", attempts);
    }
    if (r->jitter == HARDY_JITTER_NONE) {
        warn(b, "jitter none: callers that failed together come back together");
    }
    if (c->breaker != NULL && c->breaker->counts_attempts &&
        attempts >= c->breaker->failure_threshold) {
        warn(b,
             "each attempt counts, and one operation makes up to %u: it opens the breaker "
             "(failure_threshold %u) alone",
             attempts, c->breaker->failure_threshold);
    }
}

static void warn_of_waiting(struct buf *b, const hardy_guard_config *c) {
    const hardy_breaker_config *k = c->breaker;
    if (k != NULL && c->wait_when_open && c->deadline == HARDY_NEVER) {
        warn(b, "waits for the breaker without a deadline");
    }
    if (k != NULL && c->wait_when_open && k->recovery_timeout >= c->deadline) {
        warn(b,
             "waits for the breaker, but the deadline %s ends before recovery_timeout %s: who "
             "meets it just opened is refused",
             SPAN(c->deadline), SPAN(k->recovery_timeout));
    }
    if (k != NULL && k->failure_mode == HARDY_WINDOW && c->timeout != HARDY_NEVER &&
        time_scale(c->timeout, k->failure_threshold - 1.0) > k->failure_window) {
        warn(b,
             "%u timeouts of %s, one after another, do not fit the failure_window %s: a single "
             "caller that only times out never opens the breaker",
             k->failure_threshold, SPAN(c->timeout), SPAN(k->failure_window));
    }
    if (c->rate != NULL && !c->rate->reject && c->deadline != HARDY_NEVER &&
        time_scale(c->rate->period, 1 / c->rate->events) >= c->deadline) {
        warn(b,
             "the rate gives one slot in %s, the deadline is %s: once the burst is used, "
             "operations are refused",
             SPAN(time_scale(c->rate->period, 1 / c->rate->events)), SPAN(c->deadline));
    }
    if (c->bulkhead != NULL && c->bulkhead->max_queue > 0 && c->deadline == HARDY_NEVER) {
        warn(b, "operations wait for a concurrency slot without a deadline");
    }
}

size_t hardy_guard_explain(const hardy_guard *guard, char *text, size_t size) {
    struct buf b;
    hardy_guard *g = (hardy_guard *)(uintptr_t)guard; /* its lock is no part of what it is */
    buf_init(&b, TEXT_MAX);
    mutex_lock(&g->changing);
    const hardy_guard_config *c = &edition_current(&g->editions)->config;
    put_settings(&b, c);
    warn_of_times(&b, c);
    warn_of_rate(&b, c);
    warn_of_retries(&b, c);
    warn_of_waiting(&b, c);
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
