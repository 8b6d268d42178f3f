/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/remedy.h"
#include "base/parse.h"
#include "guard/capacity.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_MAX UINT64_C(50000000) /* of all that is tried: about ten seconds */
#define SLOW 30.0                     /* seconds to recover that need no better */
#define CLEARLY 0.8                   /* of what it was: less could be luck */
#define UNSERVED 0.02                 /* share of operations */

/* A guard's settings with layers of their own, to be changed. */
struct copy {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
};

static void copy_guard(const hardy_guard_config *from, struct copy *c) {
    c->config = *from;
    if (from->retry) {
        c->retry = *from->retry;
        c->config.retry = &c->retry;
    }
    if (from->budget) {
        c->budget = *from->budget;
        c->config.budget = &c->budget;
    }
    if (from->breaker) {
        c->breaker = *from->breaker;
        c->config.breaker = &c->breaker;
    }
    if (from->bulkhead) {
        c->bulkhead = *from->bulkhead;
        c->config.bulkhead = &c->bulkhead;
    }
}

/* --- the changes ---------------------------------------------------------------------------- */

/* What a change goes by. */
struct situation {
    const struct scenario *scenario;
    const struct measures *now;
    char *setting; /* written by the change */
    size_t size;
};

static void set_span(const struct situation *s, const char *key, int64_t span) {
    char text[48];
    format_duration(span, text);
    snprintf(s->setting, s->size, "%s: %s", key, text);
}

/* Each answers whether it changes anything. */
static bool add_budget(const struct situation *s, struct copy *c) {
    if (!c->config.retry || c->config.budget) {
        return false;
    }
    hardy_budget_config_init(&c->budget, sizeof c->budget);
    c->config.budget = &c->budget;
    snprintf(s->setting, s->size, "retry.budget: {ratio: 0.1, floor: 10/s}");
    return true;
}

static bool add_breaker(const struct situation *s, struct copy *c) {
    if (c->config.breaker) {
        return false;
    }
    hardy_breaker_config_init(&c->breaker, sizeof c->breaker);
    c->config.breaker = &c->breaker;
    snprintf(s->setting, s->size, "breaker: {}");
    return true;
}

static bool pace_close(const struct situation *s, struct copy *c) {
    if (!c->config.breaker || c->breaker.close_ramp >= 10 * HARDY_SECOND) {
        return false;
    }
    c->breaker.close_ramp = 10 * HARDY_SECOND;
    set_span(s, "breaker.close_ramp", c->breaker.close_ramp);
    return true;
}

static bool recover_sooner(const struct situation *s, struct copy *c) {
    if (!c->config.breaker || c->breaker.recovery_timeout <= 10 * HARDY_SECOND ||
        (s->now->recovered_after_s >= 0 && s->now->recovered_after_s < 5)) {
        return false;
    }
    c->breaker.recovery_timeout = 10 * HARDY_SECOND;
    set_span(s, "breaker.recovery_timeout", c->breaker.recovery_timeout);
    return true;
}

static bool count_attempts(const struct situation *s, struct copy *c) {
    if (!c->config.breaker || c->breaker.counts_attempts) {
        return false;
    }
    c->breaker.counts_attempts = true;
    snprintf(s->setting, s->size, "breaker.counts: attempt");
    return true;
}

/* Five failures in two minutes are nothing among thousands of calls. */
static bool count_share(const struct situation *s, struct copy *c) {
    if (!c->config.breaker || c->breaker.failure_mode != HARDY_WINDOW ||
        c->breaker.failure_rate > 0) {
        return false;
    }
    c->breaker.failure_rate = 0.5;
    snprintf(s->setting, s->size, "breaker.failure_rate: 0.5");
    return true;
}

static bool wait_when_open(const struct situation *s, struct copy *c) {
    if (!c->config.breaker || c->config.wait_when_open || c->config.deadline == HARDY_NEVER) {
        return false;
    }
    c->config.wait_when_open = true;
    snprintf(s->setting, s->size, "breaker.when_open: wait");
    return true;
}

static bool spread_retries(const struct situation *s, struct copy *c) {
    if (!c->config.retry || c->retry.jitter != HARDY_JITTER_NONE) {
        return false;
    }
    c->retry.jitter = HARDY_JITTER_FULL;
    snprintf(s->setting, s->size, "retry.jitter: full");
    return true;
}

static bool longer_waits(const struct situation *s, struct copy *c) {
    double capacity = scenario_per_second(s->scenario->server.capacity);
    double least = capacity_least_max_delay(s->scenario->clients.count, capacity);
    if (!c->config.retry || !measures_peak(s->now) || least > 3600 ||
        (double)c->retry.max_delay >= least * (double)HARDY_SECOND) {
        return false;
    }
    c->retry.max_delay = (int64_t)(least + 1) * HARDY_SECOND;
    set_span(s, "retry.max_delay", c->retry.max_delay);
    return true;
}

static bool fewer_retries(const struct situation *s, struct copy *c) {
    uint32_t most = capacity_most_attempts(s->now->utilisation);
    if (!c->config.retry || s->now->recovered_after_s >= 0 || most < 1 || most >= 100 ||
        c->retry.max_retries + 1 <= most) {
        return false;
    }
    c->retry.max_retries = most - 1;
    snprintf(s->setting, s->size, "retry.max_retries: %u", c->retry.max_retries);
    return true;
}

static bool add_retries(const struct situation *s, struct copy *c) {
    if (c->config.retry && c->retry.max_retries > 0) {
        return false;
    }
    hardy_retry_config_init(&c->retry, sizeof c->retry);
    hardy_budget_config_init(&c->budget, sizeof c->budget);
    c->config.retry = &c->retry;
    c->config.budget = &c->budget;
    snprintf(s->setting, s->size, "retry: {max_retries: %u}", c->retry.max_retries);
    return true;
}

/* Retries whose waits, which full jitter halves on average, last for `span`; at most 100. */
static uint32_t retries_for(const hardy_retry_config *r, int64_t span) {
    double ceiling = (double)r->base_delay, sum = 0;
    uint32_t count = 0;
    while (count < 100 && sum < (double)span) {
        sum += ceiling / 2;
        ceiling *= r->exponential_base;
        ceiling = ceiling < (double)r->max_delay ? ceiling : (double)r->max_delay;
        count++;
    }
    return count;
}

/* One of several settings that go together. */
static void also_set(const struct situation *s, const char *key, const char *value) {
    size_t len = strlen(s->setting);
    snprintf(s->setting + len, s->size - len, "%s%s: %s", len > 0 ? ", " : "", key, value);
}

static void at_least(const struct situation *s, const char *key, int64_t *span, int64_t least) {
    if (*span < least) {
        char text[48];
        *span = least;
        format_duration(least, text);
        also_set(s, key, text);
    }
}

/* As much patience as the trouble lasts, and a minute: nobody has given up when it is over. */
static bool outlast(const struct situation *s, struct copy *c) {
    int64_t trouble = scenario_trouble_until(s->scenario) - scenario_trouble_from(s->scenario);
    int64_t patience = trouble + 2 * HARDY_MINUTE - trouble % HARDY_MINUTE;
    if (!c->config.retry) {
        return false;
    }
    s->setting[0] = '\0';
    at_least(s, "deadline", &c->config.deadline, patience);
    at_least(s, "retry.max_total_wait", &c->retry.max_total_wait, patience);
    uint32_t retries = retries_for(&c->retry, patience);
    if (c->retry.max_retries < retries) {
        char text[16];
        c->retry.max_retries = retries;
        snprintf(text, sizeof text, "%u", retries);
        also_set(s, "retry.max_retries", text);
    }
    if (c->config.breaker && !c->config.wait_when_open) {
        c->config.wait_when_open = true;
        also_set(s, "breaker.when_open", "wait");
    }
    return s->setting[0] != '\0';
}

static bool add_timeout(const struct situation *s, struct copy *c) {
    int64_t usual = s->scenario->server.service_time * 5;
    int64_t timeout = usual < HARDY_SECOND ? HARDY_SECOND : usual - usual % HARDY_SECOND;
    if (c->config.timeout != HARDY_NEVER || c->config.timeout_first_content <= timeout) {
        return false;
    }
    c->config.timeout_first_content = timeout;
    set_span(s, "timeout.first_content", timeout);
    return true;
}

/* As many at once as the server has in hand when it is full (J. Little, 1961). */
static bool limit_slots(const struct situation *s, struct copy *c) {
    const struct scenario_server *server = &s->scenario->server;
    double at_once =
        scenario_per_second(server->capacity) * (double)server->service_time / (double)HARDY_SECOND;
    if (c->config.bulkhead || at_once > 1e6) {
        return false;
    }
    hardy_bulkhead_config_init(&c->bulkhead, sizeof c->bulkhead);
    c->bulkhead.max_concurrent = (uint32_t)at_once + 1;
    c->bulkhead.max_queue = s->scenario->clients.count;
    c->config.bulkhead = &c->bulkhead;
    snprintf(s->setting, s->size, "bulkhead: {max_concurrent: %u, max_queue: %u}",
             c->bulkhead.max_concurrent, c->bulkhead.max_queue);
    return true;
}

static bool longer_queue(const struct situation *s, struct copy *c) {
    if (!c->config.bulkhead || c->bulkhead.max_queue >= s->scenario->clients.count) {
        return false;
    }
    c->bulkhead.max_queue = s->scenario->clients.count;
    snprintf(s->setting, s->size, "bulkhead.max_queue: %u", c->bulkhead.max_queue);
    return true;
}

static bool more_slots(const struct situation *s, struct copy *c) {
    if (!c->config.bulkhead || c->bulkhead.max_concurrent > 500000) {
        return false;
    }
    c->bulkhead.max_concurrent *= 2;
    snprintf(s->setting, s->size, "bulkhead.max_concurrent: %u", c->bulkhead.max_concurrent);
    return true;
}

/* Four fifths of the capacity, whoever asks: what comes back together is spread. */
static bool pace_calls(const struct situation *s, struct copy *c) {
    double rate = 0.8 * scenario_per_second(s->scenario->server.capacity);
    if (c->config.rate || !measures_peak(s->now) || rate < 1) {
        return false;
    }
    hardy_rate_config_init(&c->rate, sizeof c->rate);
    c->rate.events = (double)(int64_t)rate;
    c->rate.burst = rate / 10 > 1 ? (double)(int64_t)(rate / 10) : 1;
    c->config.rate = &c->rate;
    snprintf(s->setting, s->size, "rate: {requests: %.0f/s, burst: %.0f}", c->rate.events,
             c->rate.burst);
    return true;
}

/* The same only for those who come when the breaker closes, for as long as all of them take and
 * half of that again. */
static bool pace_close_at(const struct situation *s, struct copy *c) {
    double rate = 0.8 * scenario_per_second(s->scenario->server.capacity);
    if (!c->config.breaker || c->breaker.close_rate > 0 || !measures_peak(s->now) || rate < 1) {
        return false;
    }
    c->breaker.close_rate = (double)(int64_t)rate;
    double seconds = ceil(1.5 * s->scenario->clients.count / c->breaker.close_rate);
    seconds = seconds < 10 ? 10 : seconds > 3600 ? 3600 : seconds;
    c->breaker.close_ramp = (int64_t)seconds * HARDY_SECOND;
    char span[48];
    format_duration(c->breaker.close_ramp, span);
    snprintf(s->setting, s->size, "breaker: {close_rate: %.0f/s, close_ramp: %s}",
             c->breaker.close_rate, span);
    return true;
}

static bool no_rate(const struct situation *s, struct copy *c) {
    if (!c->config.rate) {
        return false;
    }
    c->config.rate = NULL;
    snprintf(s->setting, s->size, "rate: off");
    return true;
}

/* The likeliest first, for a long run may not get to the end. */
static bool (*const changes[])(const struct situation *s, struct copy *c) = {
    add_budget,     add_breaker,    pace_close_at,  pace_calls,     limit_slots,
    outlast,        count_share,    wait_when_open, recover_sooner, pace_close,
    spread_retries, longer_waits,   add_timeout,    longer_queue,   more_slots,
    fewer_retries,  count_attempts, add_retries,    no_rate,
};
_Static_assert(sizeof changes / sizeof *changes <= REMEDIES_MAX, "there is room for each change");

/* --- better --------------------------------------------------------------------------------- */

/* Trouble in one number: a system that does not come back outweighs everything. */
static double trouble(const struct measures *m) {
    double sum = m->recovered_after_s < 0 ? 1000 : m->recovered_after_s / SLOW * 10;
    sum += measures_peak(m) ? (m->peak_1s - 1) * 20 : 0;
    sum += m->unserved * 50;
    return sum;
}

bool remedy_needed(const struct measures *m) {
    return m->recovered_after_s < 0 || m->recovered_after_s > SLOW || measures_peak(m) ||
           (double)m->not_good > UNSERVED * (double)m->operations;
}

bool remedy_recovers(const struct measures *now, const struct measures *then) {
    return then->recovered_after_s >= 0 &&
           (now->recovered_after_s < 0 ||
            then->recovered_after_s < now->recovered_after_s * CLEARLY - 1);
}

bool remedy_flattens(const struct measures *now, const struct measures *then) {
    return measures_peak(now) && then->peak_1s < now->peak_1s * CLEARLY;
}

bool remedy_serves(const struct measures *now, const struct measures *then) {
    return now->unserved > UNSERVED && then->unserved < now->unserved * CLEARLY;
}

static bool is_better(const struct measures *now, const struct measures *then) {
    return trouble(then) < trouble(now) &&
           (remedy_recovers(now, then) || remedy_flattens(now, then) || remedy_serves(now, then));
}

static void add_found(struct remedies *out, const struct remedy *r) {
    size_t at = out->count++;
    while (at > 0 && trouble(&out->found[at - 1].then) > trouble(&r->then)) {
        out->found[at] = out->found[at - 1];
        at--;
    }
    out->found[at] = *r;
}

hardy_status remedies_find(const struct fleet_options *options, const struct measures *now,
                           uint64_t events, struct remedies *out, hardy_error *error) {
    memset(out, 0, sizeof *out);
    struct fleet_result *result = malloc(sizeof *result);
    if (!result) {
        return HARDY_E_NOMEM;
    }
    hardy_status status = HARDY_OK;
    /* One that makes everybody look again all the time leaves some for the others. */
    uint64_t most = 4 * events + EVENTS_MAX / 10;
    for (size_t i = 0; i < sizeof changes / sizeof *changes && status == HARDY_OK; i++) {
        struct remedy remedy;
        struct copy copy;
        struct situation situation = {options->scenario, now, remedy.setting,
                                      sizeof remedy.setting};
        copy_guard(options->guard, &copy);
        if (!changes[i](&situation, &copy)) {
            continue;
        }
        if (events > EVENTS_MAX) {
            out->cut = true;
            break;
        }
        struct fleet_options changed = *options;
        changed.guard = &copy.config;
        changed.look = NULL;
        changed.events_max = most < EVENTS_MAX - events + 1 ? most : EVENTS_MAX - events + 1;
        status = fleet_run(&changed, result, error);
        events += result->events;
        if (status == HARDY_OK) {
            measure(options->scenario, result, &remedy.then);
            out->tried++;
            if (is_better(now, &remedy.then)) {
                add_found(out, &remedy);
            }
        } else if (status == HARDY_E_TOO_LARGE) {
            status = HARDY_OK; /* it makes things worse, or takes too long to find out */
        }
        fleet_result_free(result);
    }
    free(result);
    return status;
}
