/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that cannot hold together, and what follows from those that can. */
#include "base/clock.h"
#include "guard/capacity.h"
#include "guard/explain.h"
#include <math.h>
#include <stdio.h>

#define MARGIN 0.8 /* of a limit that is to be stayed below */

struct telling {
    explain_fn *fn;
    void *ctx;
};

static void tell(const struct telling *t, bool warning, const char *format, va_list args)
    HARDY_PRINTF(3, 0);

static void tell(const struct telling *t, bool warning, const char *format, va_list args) {
    struct buf text;
    buf_init(&text, 1000);
    buf_vprintf(&text, format, args);
    t->fn(t->ctx, warning, text.data ? text.data : "");
    buf_free(&text);
}

static void warn(const struct telling *t, const char *format, ...) HARDY_PRINTF(2, 3);

static void warn(const struct telling *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tell(t, true, format, args);
    va_end(args);
}

static void note(const struct telling *t, const char *format, ...) HARDY_PRINTF(2, 3);

static void note(const struct telling *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tell(t, false, format, args);
    va_end(args);
}

static void warn_of_times(const struct telling *t, const hardy_guard_config *c) {
    const struct {
        const char *name;
        int64_t value;
    } inner[] = {{"timeout.first_content", c->timeout_first_content},
                 {"timeout.idle", c->timeout_idle}};
    if (c->timeout != HARDY_NEVER && c->timeout >= c->deadline) {
        warn(t, "timeout %s is not shorter than the deadline %s: it never ends an attempt",
             SPAN(c->timeout), SPAN(c->deadline));
    }
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (inner[i].value != HARDY_NEVER && inner[i].value >= c->timeout) {
            warn(t, "%s %s is not shorter than the timeout %s: it never ends an attempt",
                 inner[i].name, SPAN(inner[i].value), SPAN(c->timeout));
        }
    }
    if (c->timeout == HARDY_NEVER && c->deadline == HARDY_NEVER &&
        (c->timeout_first_content == HARDY_NEVER || c->timeout_idle == HARDY_NEVER)) {
        warn(t, "no timeout and no deadline: nothing ends an attempt that hangs");
    }
}

static void warn_of_rate(const struct telling *t, const hardy_guard_config *c) {
    const hardy_rate_config *r = c->rate;
    if (r == NULL || r->limit <= 0) {
        return;
    }
    double most = floor(hardy_rate_most(r, r->limit_window) + 1e-9);
    hardy_rate_config safe = *r;
    if (most > r->limit &&
        hardy_rate_config_below(&safe, r->limit, r->limit_window, MARGIN, NULL) == HARDY_OK) {
        warn(t,
             "rate %g in %s with burst %g lets %g through in %s, of which the far side takes %g: "
             "%g with burst %g stay below",
             r->events, SPAN(r->period), r->burst, most, SPAN(r->limit_window), r->limit,
             safe.events, safe.burst);
    }
}

static void warn_of_retries(const struct telling *t, const hardy_guard_config *c, bool by_request) {
    const hardy_retry_config *r = c->retry;
    if (r == NULL || r->max_retries == 0) {
        return;
    }
    struct explain_fit fit = explain_fit(r);
    uint32_t attempts = fit.possibly + 1;
    if (fit.possibly == 0) {
        warn(t, "max_total_wait %s is shorter than the first wait, %s at least: nothing is retried",
             SPAN(r->max_total_wait), SPAN(fit.shortest));
        return;
    }
    if (fit.possibly < r->max_retries) {
        warn(
            t,
            "max_total_wait %s has no room for retry %u of %u: the waits up to it take %s at least",
            SPAN(r->max_total_wait), attempts, r->max_retries, SPAN(fit.shortest));
    } else if (fit.surely < r->max_retries) {
        note(t, "max_total_wait %s can end it before retry %u of %u", SPAN(r->max_total_wait),
             fit.surely + 1, r->max_retries);
    }
    int64_t calls = time_scale(c->timeout, attempts);
    int64_t waits = hardy_backoff_worst_case(r);
    if (c->deadline != HARDY_NEVER && c->timeout != HARDY_NEVER && c->timeout < c->deadline &&
        calls > c->deadline) {
        warn(t,
             "%u attempts of %s make %s, more than the deadline %s: at most %lld can run to their "
             "timeout",
             attempts, SPAN(c->timeout), SPAN(calls), SPAN(c->deadline),
             (long long)(c->deadline / c->timeout));
    } else if (c->deadline != HARDY_NEVER && waits > c->deadline) {
        warn(t, "the waits alone can take %s, the deadline is %s: not all retries will be made",
             SPAN(waits), SPAN(c->deadline));
    } else if (c->deadline != HARDY_NEVER && c->timeout != HARDY_NEVER &&
               time_add(calls, waits) > c->deadline) {
        warn(t,
             "%u attempts of %s and their waits can take %s, the deadline is %s: not all retries "
             "will be made",
             attempts, SPAN(c->timeout), SPAN(time_add(calls, waits)), SPAN(c->deadline));
    }
    if (by_request && r->repeatable) {
        warn(t, "repeatable changes nothing for an upstream of the protocol http: GET, HEAD, PUT, "
                "DELETE and what has an Idempotency-Key are repeated anyway, anything else only "
                "where it had no effect");
    } else if (!by_request && !r->repeatable) {
        note(t, "repeatable is no: only attempts that had no effect are retried, not those that "
                "timed out or broke off after sending");
    }
    if (c->budget == NULL) {
        warn(t, "no retry budget: in an outage every call becomes up to %u", attempts);
    }
    if (r->jitter == HARDY_JITTER_NONE) {
        warn(t, "jitter none: callers that failed together come back together");
    }
    if (c->breaker != NULL && c->breaker->counts_attempts &&
        c->breaker->failure_mode != HARDY_FAILURE_RATE &&
        attempts >= c->breaker->failure_threshold) {
        warn(t,
             "each attempt counts, and one operation makes up to %u: it opens the breaker "
             "(failure_threshold %u) alone",
             attempts, c->breaker->failure_threshold);
    }
}

static int64_t least_timeout(const hardy_guard_config *c) {
    int64_t least = c->timeout < c->timeout_first_content ? c->timeout : c->timeout_first_content;
    return least < c->deadline ? least : c->deadline;
}

static void warn_of_waiting(const struct telling *t, const hardy_guard_config *c) {
    const hardy_breaker_config *k = c->breaker;
    if (k != NULL && c->wait_when_open && c->deadline == HARDY_NEVER) {
        warn(t, "waits for the breaker without a deadline");
    }
    if (k != NULL && c->wait_when_open && k->recovery_timeout >= c->deadline) {
        warn(t,
             "waits for the breaker, but the deadline %s ends before recovery_timeout %s: who "
             "meets it just opened is refused",
             SPAN(c->deadline), SPAN(k->recovery_timeout));
    }
    if (k != NULL && k->failure_mode == HARDY_WINDOW && c->timeout != HARDY_NEVER &&
        time_scale(c->timeout, k->failure_threshold - 1.0) > k->failure_window) {
        warn(t,
             "%u timeouts of %s, one after another, do not fit the failure_window %s: a single "
             "caller that only times out never opens the breaker",
             k->failure_threshold, SPAN(c->timeout), SPAN(k->failure_window));
    }
    if (c->rate != NULL && !c->rate->reject && c->deadline != HARDY_NEVER &&
        time_scale(c->rate->period, 1 / c->rate->events) >= c->deadline) {
        warn(t,
             "the rate gives one slot in %s, the deadline is %s: once the burst is used, "
             "operations are refused",
             SPAN(time_scale(c->rate->period, 1 / c->rate->events)), SPAN(c->deadline));
    }
    if (c->hedge != NULL && c->hedge->after >= least_timeout(c)) {
        warn(t, "hedge after %s, but an attempt is stopped after %s: nothing is ever hedged",
             SPAN(c->hedge->after), SPAN(least_timeout(c)));
    }
    if (c->hedge != NULL && !c->retry->repeatable) {
        note(t, "hedge: only operations that are declared repeatable are hedged");
    }
    if (c->bulkhead != NULL && c->bulkhead->max_queue > 0 && c->deadline == HARDY_NEVER) {
        warn(t, "operations wait for a concurrency slot without a deadline");
    }
}

/* A fleet against a capacity. */
static void warn_of_fleet(const struct telling *t, const hardy_guard_config *c,
                          const hardy_explain_options *o) {
    const hardy_retry_config *r = c->retry;
    uint32_t attempts = r != NULL ? explain_fit(r).possibly + 1 : 1;
    bool retries = attempts > 1;
    double utilisation = o->load / o->capacity;
    if (!(o->capacity > 0)) {
        return;
    }
    if (utilisation >= 1) {
        warn(t, "%g/s are offered to a capacity of %g/s: no retry can help that", o->load,
             o->capacity);
    }
    double clients = o->clients >= 1 ? o->clients : 1;
    double budgeted =
        c->budget == NULL ? HUGE_VAL : capacity_of_budget(c->budget, o->load, clients);
    if (retries && o->load > 0 && utilisation < 1 && utilisation * attempts >= 1) {
        uint32_t most = capacity_most_attempts(utilisation);
        warn(t,
             "utilisation %.2f (%g/s of %g/s) * %u attempts = %.2f, which is not below 1: retries "
             "can keep an outage up that has lost its cause; at most %u attempt%s, or %s",
             utilisation, o->load, o->capacity, attempts, utilisation * attempts, most,
             most == 1 ? "" : "s",
             budgeted < o->capacity ? "as here the retry budget alone prevents it"
                                    : "a retry budget that leaves room");
    }
    if (retries && c->budget != NULL && utilisation < 1 && o->load > 0 && budgeted >= o->capacity) {
        char one[96] = "";
        if (clients > 1) {
            snprintf(one, sizeof one, "; one guard for all of them, such as a gateway's: %g/s",
                     capacity_of_budget(c->budget, o->load, 1));
        }
        warn(t,
             "the retry budget lets through %g/s, calls and retries (%g/s * %g, and floor %g/s for "
             "each of %g clients), which is not below the capacity %g/s%s",
             budgeted, o->load, 1 + c->budget->ratio, c->budget->floor, clients, o->capacity, one);
    }
    double longest = capacity_least_max_delay(o->clients, o->capacity);
    if (retries && (double)r->max_delay / (double)HARDY_SECOND < longest) {
        warn(t,
             "max_delay %s is below 2N/C = 2 * %g / %g/s = %s: after an outage %g clients come "
             "back faster than they can be served",
             SPAN(r->max_delay), o->clients, o->capacity, SPAN(time_scale(HARDY_SECOND, longest)),
             o->clients);
    }
}

static void warn_of_effects(const struct telling *t, const hardy_guard_config *c,
                            const hardy_explain_options *o) {
    const hardy_retry_config *r = c->retry;
    uint32_t retries = r != NULL && r->repeatable ? explain_fit(r).possibly : 0;
    if (retries > 0 && o->effects_without_key) {
        warn(t,
             "repeatable is yes: what has side effects and carries no idempotency key can have "
             "them up to %u times, when an attempt times out or breaks off",
             retries + 1);
    }
}

void explain_problems(const hardy_guard_config *c, const struct explain_more *more,
                      const hardy_explain_options *o, explain_fn *fn, void *ctx) {
    const struct telling t = {fn, ctx};
    static const hardy_explain_options nothing_known;
    bool by_request = more != NULL && more->by_request;
    o = o != NULL ? o : &nothing_known;
    warn_of_times(&t, c);
    warn_of_rate(&t, c);
    warn_of_retries(&t, c, by_request);
    warn_of_waiting(&t, c);
    if (!by_request) {
        warn_of_effects(&t, c, o);
    }
    warn_of_fleet(&t, c, o);
}
