/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/plan.h"
#include "base/parse.h"
#include "guard/capacity.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum fit { NOT_ASKED, FITS, DOES_NOT_FIT };
struct rule {
    const char *setting;
    char here[160], safe[160], why[160];
    enum fit fit;
};
enum { MAX_DELAY, ATTEMPTS, RATE, RULES };

void plan_of_guard(struct plan *p, const hardy_guard_config *guard, double clients, double capacity,
                   double load) {
    *p = (struct plan){.clients = clients, .capacity = capacity, .load = load, .attempts = 1};
    if (guard->retry && guard->retry->max_retries > 0) {
        p->retries = true;
        p->max_delay = guard->retry->max_delay;
        p->attempts = guard->retry->max_retries + 1;
        p->budgeted = guard->budget ? capacity_of_budget(guard->budget, load, 1) : 0;
    }
    if (guard->rate) {
        p->limited = true;
        p->rate = guard->rate->events;
        p->burst = guard->rate->burst;
        p->period = guard->rate->period;
    }
}

/* Up, so that what is printed is safe, and to whole units of what is long. */
static int64_t least_max_delay(const struct plan *p) {
    double least = capacity_least_max_delay(p->clients, p->capacity);
    double unit = least >= 10 ? 1 : 0.001;
    return least > 1e9 ? HARDY_NEVER
                       : (int64_t)ceil(least / unit - 1e-9) * (int64_t)(unit * 1e9 + 0.5);
}

static void put_span(int64_t span, char out[48]) {
    if (span == HARDY_NEVER) {
        snprintf(out, 48, "years");
    } else {
        format_duration(span, out);
    }
}

static void rule_max_delay(const struct plan *p, struct rule *r) {
    char safe[48];
    int64_t least = least_max_delay(p);
    put_span(least, safe);
    r->setting = "max_delay";
    snprintf(r->safe, sizeof r->safe, "%s or more", safe);
    snprintf(r->why, sizeof r->why, "2N/C");
    if (p->retries) {
        put_span(p->max_delay, r->here);
        r->fit = p->max_delay >= least ? FITS : DOES_NOT_FIT;
    } else {
        snprintf(r->here, sizeof r->here, "no retries");
    }
}

static void rule_attempts(const struct plan *p, struct rule *r) {
    double utilisation = p->load / p->capacity;
    r->setting = "attempts";
    if (p->attempts == 0) {
        snprintf(r->here, sizeof r->here, "no limit%s", p->budgeted > 0 ? ", a budget" : "");
    } else {
        snprintf(r->here, sizeof r->here, "%u%s", p->attempts, p->budgeted > 0 ? ", a budget" : "");
    }
    if (!(p->load > 0)) {
        snprintf(r->safe, sizeof r->safe, "any number");
        snprintf(r->why, sizeof r->why, "no steady load");
        return;
    }
    uint32_t most = capacity_most_attempts(utilisation);
    snprintf(r->why, sizeof r->why, "%.2f * n < 1", utilisation);
    if (most == 0) {
        snprintf(r->safe, sizeof r->safe, "none");
        snprintf(r->why, sizeof r->why, "%.2f is offered of 1", utilisation);
        r->fit = DOES_NOT_FIT;
        return;
    }
    bool budgeted = p->budgeted > 0 && p->budgeted < p->capacity;
    snprintf(r->safe, sizeof r->safe, "up to %u, or %s budget", most,
             p->budgeted > 0 && !budgeted ? "a smaller" : "a");
    r->fit = budgeted || (p->attempts > 0 && p->attempts <= most) ? FITS : DOES_NOT_FIT;
}

/* "80/s, burst 20", to six digits. */
static void put_rate(double events, int64_t period, double burst, char out[160]) {
    char span[48] = "s";
    if (period != HARDY_SECOND) {
        format_duration(period, span);
    }
    snprintf(out, 160, "%g/%s, burst %g", events, strcmp(span, "1m") == 0 ? "m" : span, burst);
}

static void rule_rate(const struct plan *p, struct rule *r) {
    hardy_rate_config safe;
    int64_t window = HARDY_SECOND;
    bool known = capacity_rate(p->capacity, &safe, &window) == HARDY_OK;
    double limit = p->capacity * ((double)window / (double)HARDY_SECOND);
    r->setting = "rate";
    snprintf(r->here, sizeof r->here, "none");
    snprintf(r->safe, sizeof r->safe, "-");
    snprintf(r->why, sizeof r->why, "r*%s + b <= %g", window == HARDY_SECOND ? "1s" : "1m", limit);
    if (known) {
        put_rate(safe.events, safe.period, safe.burst, r->safe);
    }
    if (p->limited) {
        const hardy_rate_config here = {
            .size = sizeof here, .events = p->rate, .period = p->period, .burst = p->burst};
        put_rate(p->rate, p->period, p->burst, r->here);
        r->fit = hardy_rate_most(&here, window) <= limit * (1 + 1e-9) ? FITS : DOES_NOT_FIT;
    }
}

static void rules_of(const struct plan *p, struct rule rules[RULES]) {
    memset(rules, 0, RULES * sizeof *rules);
    rule_max_delay(p, &rules[MAX_DELAY]);
    rule_attempts(p, &rules[ATTEMPTS]);
    rule_rate(p, &rules[RATE]);
}

void plan_text(const struct plan *p, struct buf *out) {
    static const char *const fits[] = {"", "yes", "no"};
    struct rule rules[RULES];
    rules_of(p, rules);
    buf_printf(out, "%-9s %-18s %-4s %-28s %s\n", "plan", "here", "safe", "safe is", "rule");
    for (int i = 0; i < RULES; i++) {
        buf_printf(out, "%-9s %-18s %-4s %-28s %s\n", rules[i].setting, rules[i].here,
                   fits[rules[i].fit], rules[i].safe, rules[i].why);
    }
}

static void put_fit(struct json_out *j, const char *key, enum fit fit) {
    json_out_key(j, key);
    if (fit == NOT_ASKED) {
        json_out_null(j);
    } else {
        json_out_bool(j, fit == FITS);
    }
}

void plan_json(const struct plan *p, struct json_out *j) {
    struct rule rules[RULES];
    hardy_rate_config rate;
    int64_t window = HARDY_SECOND, least = least_max_delay(p);
    rules_of(p, rules);
    json_out_object(j);
    json_out_key(j, "least_max_delay_s");
    if (least == HARDY_NEVER) {
        json_out_null(j);
    } else {
        json_out_double(j, (double)least / (double)HARDY_SECOND);
    }
    put_fit(j, "max_delay_fits", rules[MAX_DELAY].fit);
    json_out_key(j, "most_attempts");
    if (p->load > 0) {
        json_out_int(j, capacity_most_attempts(p->load / p->capacity));
    } else {
        json_out_null(j);
    }
    put_fit(j, "attempts_fit", rules[ATTEMPTS].fit);
    bool known = capacity_rate(p->capacity, &rate, &window) == HARDY_OK;
    json_out_key(j, "rate_per_second");
    if (known) {
        json_out_double(j, rate.events * ((double)HARDY_SECOND / (double)rate.period));
    } else {
        json_out_null(j);
    }
    json_out_key(j, "burst");
    if (known) {
        json_out_double(j, rate.burst);
    } else {
        json_out_null(j);
    }
    json_out_key(j, "window_s");
    json_out_double(j, (double)window / (double)HARDY_SECOND);
    put_fit(j, "rate_fits", rules[RATE].fit);
    json_out_object_end(j);
}
