/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "guard/explain.h"
#include "policy/breaker.h"

static void put_seconds(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    if (span == HARDY_NEVER) {
        json_out_null(j);
    } else {
        json_out_double(j, (double)span / (double)HARDY_SECOND);
    }
}

static void put_number(struct json_out *j, const char *key, double value) {
    json_out_key(j, key);
    json_out_double(j, value);
}

static void put_bool(struct json_out *j, const char *key, bool value) {
    json_out_key(j, key);
    json_out_bool(j, value);
}

static void put_timeouts(struct json_out *j, const hardy_guard_config *c) {
    json_out_key(j, "timeout");
    json_out_object(j);
    put_seconds(j, "attempt_s", c->timeout);
    put_seconds(j, "first_content_s", c->timeout_first_content);
    put_seconds(j, "idle_s", c->timeout_idle);
    json_out_object_end(j);
}

static void put_retry(struct json_out *j, const hardy_retry_config *r) {
    int64_t low = 0, high = 0;
    json_out_key(j, "retry");
    json_out_object(j);
    json_out_member_count(j, "max_retries", r->max_retries);
    put_seconds(j, "base_delay_s", r->base_delay);
    put_seconds(j, "max_delay_s", r->max_delay);
    put_number(j, "exponential_base", r->exponential_base);
    json_out_member_string(j, "jitter", explain_jitter(r->jitter));
    put_seconds(j, "max_total_wait_s", r->max_total_wait);
    put_bool(j, "repeatable", r->repeatable);
    json_out_key(j, "waits");
    json_out_array(j);
    for (uint32_t i = 0, waits = explain_fit(r).possibly; i < waits; i++) {
        low = hardy_backoff(r, i, low, 0);
        high = hardy_backoff(r, i, high, UINT64_MAX);
        json_out_object(j);
        json_out_member_count(j, "before_attempt", i + 2);
        put_seconds(j, "from_s", low);
        put_seconds(j, "to_s", high);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    put_seconds(j, "worst_wait_s", hardy_backoff_worst_case(r));
    json_out_object_end(j);
}

static void put_budget(struct json_out *j, const hardy_budget_config *b) {
    json_out_key(j, "budget");
    json_out_object(j);
    put_number(j, "ratio", b->ratio);
    put_number(j, "floor", b->floor);
    put_seconds(j, "ttl_s", b->ttl);
    json_out_member_count(j, "timeout_cost", b->timeout_cost);
    json_out_object_end(j);
}

static void put_breaker(struct json_out *j, const hardy_guard_config *c) {
    const hardy_breaker_config *b = c->breaker;
    json_out_key(j, "breaker");
    json_out_object(j);
    json_out_member_string(j, "failure_mode", breaker_mode_name(b->failure_mode));
    json_out_member_count(j, "failure_threshold", b->failure_threshold);
    put_seconds(j, "failure_window_s", b->failure_window);
    put_number(j, "failure_rate", b->failure_rate);
    put_number(j, "slow_call_rate", b->slow_call_rate);
    put_seconds(j, "slow_call_s", b->slow_call);
    json_out_member_count(j, "minimum_calls", b->minimum_calls);
    json_out_member_count(j, "window_calls", b->window_calls);
    put_seconds(j, "recovery_timeout_s", b->recovery_timeout);
    put_number(j, "recovery_factor", b->recovery_factor);
    put_seconds(j, "recovery_max_s", b->recovery_max);
    put_number(j, "recovery_jitter", b->recovery_jitter);
    json_out_member_count(j, "success_threshold", b->success_threshold);
    json_out_member_count(j, "half_open_max_calls", b->half_open_max_calls);
    json_out_member_string(j, "trial_decision",
                           b->trial_decision == HARDY_TRIALS_RATIO ? "ratio" : "consecutive");
    put_seconds(j, "trial_lease_s", b->trial_lease);
    put_seconds(j, "close_ramp_s", b->close_ramp);
    put_number(j, "close_rate", b->close_rate);
    put_bool(j, "shadow", b->shadow);
    json_out_member_string(j, "counts", b->counts_attempts ? "attempt" : "operation");
    json_out_member_string(j, "when_open", c->wait_when_open ? "wait" : "reject");
    json_out_object_end(j);
}

/* `unit`: what is counted, of which there are so many. */
static void put_rate(struct json_out *j, const char *key, const char *unit,
                     const hardy_rate_config *r) {
    json_out_key(j, key);
    json_out_object(j);
    put_number(j, unit, r->events);
    put_seconds(j, "per_s", r->period);
    put_number(j, "burst", r->burst);
    json_out_member_string(j, "when_limited", r->reject ? "reject" : "wait");
    put_number(j, "low_floor", r->low_floor);
    json_out_member_string(j, "priority", r->low_priority ? "low" : "high");
    if (r->limit > 0) {
        put_number(j, "limit", r->limit);
        put_seconds(j, "limit_per_s", r->limit_window);
    }
    json_out_object_end(j);
}

static void put_bulkhead(struct json_out *j, const hardy_bulkhead_config *b) {
    json_out_key(j, "bulkhead");
    json_out_object(j);
    json_out_member_count(j, "max_concurrent", b->max_concurrent);
    json_out_member_count(j, "max_queue", b->max_queue);
    put_bool(j, "adaptive", b->adaptive);
    if (b->adaptive) {
        json_out_member_count(j, "min_concurrent", b->min_concurrent);
    }
    json_out_object_end(j);
}

struct listing {
    struct json_out *j;
    bool warnings; /* these, or the notes */
};

static void put_problem(void *ctx, bool warning, const char *text) {
    const struct listing *l = ctx;
    if (warning == l->warnings) {
        json_out_string(l->j, text);
    }
}

static void put_problems(struct json_out *j, const char *key, const hardy_guard_config *c,
                         const struct explain_more *more, const hardy_explain_options *o,
                         bool warnings) {
    json_out_key(j, key);
    json_out_array(j);
    explain_problems(c, more, o, put_problem, &(struct listing){j, warnings});
    json_out_array_end(j);
}

void explain_json(const hardy_guard_config *c, const struct explain_more *more,
                  const hardy_explain_options *o, struct json_out *j) {
    json_out_object(j);
    put_seconds(j, "deadline_s", c->deadline);
    put_timeouts(j, c);
    if (c->retry != NULL) {
        put_retry(j, c->retry);
    }
    if (c->hedge != NULL) {
        put_seconds(j, "hedge_after_s", c->hedge->after);
    }
    if (c->budget != NULL) {
        put_budget(j, c->budget);
    }
    if (c->breaker != NULL) {
        put_breaker(j, c);
    }
    if (c->rate != NULL) {
        put_rate(j, "rate", "requests", c->rate);
    }
    if (more != NULL && more->tokens != NULL) {
        put_rate(j, "token_rate", "tokens", more->tokens);
    }
    if (more != NULL && more->retry_on != NULL) {
        json_out_member_string(j, "retry_on", more->retry_on);
    }
    if (more != NULL && more->by_request) {
        put_bool(j, "repeatable_by_request", true);
    }
    if (more != NULL && more->connect > 0) {
        put_seconds(j, "connect_s", more->connect);
    }
    if (c->bulkhead != NULL) {
        put_bulkhead(j, c->bulkhead);
    }
    put_seconds(j, "longest_s", explain_worst_case(c));
    put_problems(j, "warnings", c, more, o, true);
    put_problems(j, "notes", c, more, o, false);
    json_out_object_end(j);
}
