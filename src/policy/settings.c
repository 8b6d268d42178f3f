/* SPDX-License-Identifier: Apache-2.0 */
/* The defaults and the allowed range of every policy's settings. */
#include "policy/settings.h"
#include "base/error.h"
#include "base/number.h"
#include "base/parse.h"
#include "policy/backoff.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <math.h>
#include <string.h>

#define LONGEST_PAUSE HARDY_DAY
#define MOST_EVENTS 1e15
#define MOST_EVENTS_PER_SECOND 1e9

static hardy_status check_count(uint32_t value, const char *field, uint32_t min, uint32_t max,
                                hardy_error *error) {
    if (value >= min && value <= max) {
        return HARDY_OK;
    }
    return fail(error, HARDY_E_INVALID, NULL, "%s is %u, which should be from %u to %u", field,
                value, min, max);
}

static hardy_status check_span(int64_t value, const char *field, int64_t min, int64_t max,
                               hardy_error *error) {
    if (value >= min && value <= max) {
        return HARDY_OK;
    }
    char given[48], low[48], high[48];
    format_duration(value, given);
    format_duration(min, low);
    format_duration(max, high);
    return fail(error, HARDY_E_INVALID, NULL, "%s is %s, which should be from %s to %s", field,
                given, low, high);
}

static hardy_status check_number(double value, const char *field, double min, double max,
                                 hardy_error *error) {
    if (value >= min && value <= max) {
        return HARDY_OK;
    }
    char text[NUMBER_TEXT], low[NUMBER_TEXT], high[NUMBER_TEXT];
    const char *given = isnan(value) ? "not a number" : isinf(value) ? "infinite" : text;
    number_format(value, text);
    number_format(min, low);
    number_format(max, high);
    return fail(error, HARDY_E_INVALID, NULL, "%s is %s, which should be from %s to %s", field,
                given, low, high);
}

static void fill(void *config, size_t size, const void *full, size_t full_size) {
    size_t used = size < full_size ? size : full_size;
    memset(config, 0, size);
    memcpy(config, full, used);
    if (used >= sizeof used) {
        memcpy(config, &used, sizeof used); /* every structure begins with its size */
    }
}

hardy_status settings_take(void *out, size_t full, const void *given, const char *what,
                           hardy_error *error) {
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > full) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "%s: size is %zu, which should be from %zu to %zu; %s_init() sets it", what,
                    size, sizeof size, full, what);
    }
    memcpy(out, given, size);
    memcpy(out, &full, sizeof full);
    return HARDY_OK;
}

void hardy_breaker_config_init(hardy_breaker_config *config, size_t size) {
    const hardy_breaker_config full = {
        .failure_threshold = 5,
        .failure_mode = HARDY_WINDOW,
        .failure_window = 120 * HARDY_SECOND,
        .recovery_timeout = 60 * HARDY_SECOND,
        .success_threshold = 2,
        .half_open_max_calls = 2,
        .trial_lease = 60 * HARDY_SECOND,
        .close_ramp = 10 * HARDY_SECOND,
        .minimum_calls = 10,
        .recovery_factor = 1,
        .recovery_max = 10 * HARDY_MINUTE,
    };
    fill(config, size, &full, sizeof full);
}

const char *breaker_mode_name(hardy_failure_mode mode) {
    return mode == HARDY_CONSECUTIVE ? "consecutive" : mode == HARDY_WINDOW ? "window" : "rate";
}

static hardy_status check_counting(const hardy_breaker_config *c, hardy_error *error) {
    bool by_rate = c->failure_mode == HARDY_FAILURE_RATE;
    hardy_status status = HARDY_OK;
    if (!by_rate && c->failure_mode != HARDY_WINDOW && c->failure_mode != HARDY_CONSECUTIVE) {
        return fail(
            error, HARDY_E_INVALID, NULL,
            "failure_mode is %d, which should be 0 (window), 1 (consecutive) or 2 (failure rate)",
            (int)c->failure_mode);
    }
    if (!by_rate) {
        status = check_count(c->failure_threshold, "failure_threshold", 1, BREAKER_RING, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->failure_window, "failure_window", HARDY_MILLISECOND, LONGEST_PAUSE,
                            error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->failure_rate, "failure_rate", 0, 1, error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->slow_call_rate, "slow_call_rate", 0, 1, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->slow_call, "slow_call", 0, LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK && by_rate) {
        status = check_count(c->minimum_calls, "minimum_calls", 1, 1000000, error);
    }
    if (status == HARDY_OK && by_rate) {
        status = check_count(c->window_calls, "window_calls", 0, BREAKER_CALLS, error);
    }
    if (status == HARDY_OK && by_rate && c->failure_rate <= 0 && c->slow_call_rate <= 0) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "failure_mode is rate, which needs a failure_rate or a slow_call_rate above "
                      "0");
    }
    if (status == HARDY_OK && by_rate && c->window_calls > 0 &&
        c->window_calls < c->minimum_calls) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "minimum_calls is %u, which should be at most window_calls, %u: it would "
                      "never open",
                      c->minimum_calls, c->window_calls);
    }
    if (status == HARDY_OK && !by_rate && c->window_calls > 0) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "window_calls is set, which needs failure_mode rate, and it is %s",
                      breaker_mode_name(c->failure_mode));
    }
    if (status == HARDY_OK && c->failure_mode == HARDY_CONSECUTIVE && c->failure_rate > 0 &&
        c->trial_decision != HARDY_TRIALS_RATIO) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "failure_rate is set, which does nothing with failure_mode consecutive");
    }
    if (status == HARDY_OK && !by_rate && c->slow_call_rate > 0) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "slow_call_rate is set, which needs failure_mode rate, and it is %s",
                      breaker_mode_name(c->failure_mode));
    }
    return status;
}

static hardy_status check_trials(const hardy_breaker_config *c, hardy_error *error) {
    hardy_status status = check_count(c->success_threshold, "success_threshold", 1, 32, error);
    if (status == HARDY_OK) {
        status =
            check_count(c->half_open_max_calls, "half_open_max_calls", 1, BREAKER_TRIALS, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->trial_lease, "trial_lease", HARDY_MILLISECOND, LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK && c->trial_decision != HARDY_TRIALS_CONSECUTIVE &&
        c->trial_decision != HARDY_TRIALS_RATIO) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "trial_decision is %d, which should be 0 (consecutive) or 1 (ratio)",
                      (int)c->trial_decision);
    }
    if (status == HARDY_OK && c->trial_decision == HARDY_TRIALS_RATIO && c->failure_rate <= 0) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "trial_decision is ratio, which needs a failure_rate above 0");
    }
    return status;
}

hardy_status breaker_check(const hardy_breaker_config *c, hardy_error *error) {
    hardy_status status = check_counting(c, error);
    if (status == HARDY_OK) {
        status = check_span(c->recovery_timeout, "recovery_timeout", HARDY_MILLISECOND,
                            LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->recovery_factor, "recovery_factor", 1, 100, error);
    }
    if (status == HARDY_OK) {
        status =
            check_span(c->recovery_max, "recovery_max", HARDY_MILLISECOND, LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->recovery_jitter, "recovery_jitter", 0, 1, error);
    }
    if (status == HARDY_OK) {
        status = check_trials(c, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->close_ramp, "close_ramp", 0, LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->close_rate, "close_rate", 0, 1000000, error);
    }
    if (status == HARDY_OK && c->close_rate > 0 && c->close_rate < 0.001) {
        status =
            fail(error, HARDY_E_INVALID, NULL,
                 "close_rate is %g a second, which should be 0 or at least 0.001", c->close_rate);
    }
    return status;
}

void hardy_retry_config_init(hardy_retry_config *config, size_t size) {
    const hardy_retry_config full = {
        .max_retries = 5,
        .base_delay = HARDY_SECOND,
        .max_delay = 60 * HARDY_SECOND,
        .exponential_base = 2,
        .jitter = HARDY_JITTER_FULL,
        .max_total_wait = HARDY_NEVER,
    };
    fill(config, size, &full, sizeof full);
}

hardy_status retry_check(const hardy_retry_config *c, hardy_error *error) {
    hardy_status status = check_count(c->max_retries, "max_retries", 0, 1000, error);
    if (status == HARDY_OK) {
        status = check_span(c->base_delay, "base_delay", 0, HARDY_HOUR, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->max_delay, "max_delay", c->base_delay, LONGEST_PAUSE, error);
    }
    if (status == HARDY_OK) {
        status = check_number(c->exponential_base, "exponential_base", 1, 100, error);
    }
    if (status == HARDY_OK &&
        ((int)c->jitter < HARDY_JITTER_NONE || (int)c->jitter > HARDY_JITTER_PROPORTIONAL)) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "jitter is %d, which should be 0 (none), 1 (full), 2 (equal), 3 "
                      "(decorrelated) or 4 (proportional)",
                      (int)c->jitter);
    }
    if (status == HARDY_OK) {
        status = check_span(c->max_total_wait, "max_total_wait", 0, HARDY_NEVER, error);
    }
    return status;
}

void hardy_poll_config_init(hardy_poll_config *config, size_t size) {
    const hardy_poll_config full = {.base_delay = HARDY_SECOND,
                                    .max_delay = 30 * HARDY_SECOND,
                                    .exponential_base = 2,
                                    .jitter = HARDY_JITTER_EQUAL};
    fill(config, size, &full, sizeof full);
}

/* More often than once a millisecond is no waiting, it is a loop. */
hardy_status poll_waits(const hardy_poll_config *c, hardy_retry_config *out, hardy_error *error) {
    hardy_retry_config_init(out, sizeof *out);
    out->base_delay = c->base_delay;
    out->max_delay = c->max_delay;
    out->exponential_base = c->exponential_base;
    out->jitter = c->jitter;
    hardy_status status =
        check_span(c->base_delay, "base_delay", HARDY_MILLISECOND, HARDY_HOUR, error);
    return status == HARDY_OK ? retry_check(out, error) : status;
}

void hardy_budget_config_init(hardy_budget_config *config, size_t size) {
    const hardy_budget_config full = {
        .ratio = 0.1, .floor = 10, .ttl = 10 * HARDY_SECOND, .timeout_cost = 2};
    fill(config, size, &full, sizeof full);
}

hardy_status budget_check(const hardy_budget_config *c, hardy_error *error) {
    hardy_status status = check_number(c->ratio, "ratio", 0, 10, error);
    if (status == HARDY_OK) {
        status = check_number(c->floor, "floor", 0, 1000000, error);
    }
    if (status == HARDY_OK) {
        status = check_span(c->ttl, "ttl", HARDY_SECOND, HARDY_HOUR, error);
    }
    if (status == HARDY_OK) {
        double seconds = (double)c->ttl / (double)HARDY_SECOND;
        status = check_number(c->floor * seconds, "floor times ttl", 0, 1e7, error);
    }
    return status != HARDY_OK ? status
                              : check_count(c->timeout_cost, "timeout_cost", 1, 100, error);
}

void hardy_rate_config_init(hardy_rate_config *config, size_t size) {
    const hardy_rate_config full = {.events = 1, .period = HARDY_SECOND, .burst = 1};
    fill(config, size, &full, sizeof full);
}

hardy_status rate_check(const hardy_rate_config *c, hardy_error *error) {
    hardy_status status =
        check_span(c->period, "period", HARDY_MILLISECOND, 366 * HARDY_DAY, error);
    double most = fmin(MOST_EVENTS, (double)c->period * (MOST_EVENTS_PER_SECOND / 1e9));
    if (status == HARDY_OK) {
        status = check_number(c->events, "events", 1e-6, most, error);
    }
    if (status == HARDY_OK) {
        /* A burst takes at most 100 years to flow in. */
        double years = 100.0 * 365 * (double)HARDY_DAY;
        most = fmin(MOST_EVENTS, floor(years / ceil((double)c->period / c->events)));
        status = check_number(c->burst, "burst", 1, fmax(most, 1), error);
    }
    if (status == HARDY_OK && c->low_floor != 0) {
        status = check_number(c->low_floor, "low_floor", 1e-6, c->events, error);
        if (status == HARDY_OK && c->burst < 2) {
            status = fail(error, HARDY_E_INVALID, NULL,
                          "burst is %g, which should be at least 2 with a low_floor: one event of "
                          "it is kept for low priority",
                          c->burst);
        }
    }
    return status;
}

double hardy_rate_most(const hardy_rate_config *c, int64_t window) {
    return c->events * ((double)window / (double)c->period) + c->burst;
}

hardy_status hardy_rate_config_below(hardy_rate_config *config, double limit, int64_t window,
                                     double margin, hardy_error *error) {
    hardy_rate_config c = *config;
    hardy_status status = check_number(limit, "limit", 1, MOST_EVENTS, error);
    if (status == HARDY_OK) {
        status = check_number(margin, "margin", 0.001, 0.999, error);
    }
    if (status == HARDY_OK) {
        c.events = limit * margin;
        c.period = window;
        c.burst = fmax(floor(limit - c.events + 1e-9), 1);
        status = rate_check(&c, error);
    }
    if (status == HARDY_OK) {
        *config = c;
    }
    return status;
}

void hardy_bulkhead_config_init(hardy_bulkhead_config *config, size_t size) {
    const hardy_bulkhead_config full = {.max_concurrent = 16, .max_queue = 64, .min_concurrent = 1};
    fill(config, size, &full, sizeof full);
}

hardy_status bulkhead_check(const hardy_bulkhead_config *c, hardy_error *error) {
    hardy_status status = check_count(c->max_concurrent, "max_concurrent", 1, 1000000, error);
    if (status == HARDY_OK) {
        status = check_count(c->max_queue, "max_queue", 0, 1000000, error);
    }
    if (status == HARDY_OK) {
        status = check_count(c->min_concurrent, "min_concurrent", 1, c->max_concurrent, error);
    }
    return status;
}
