/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/fields.h"
#include "base/number.h"
#include "base/parse.h"
#include "base/str.h"
#include "policy/breaker.h"
#include <hardy/rate.h>
#include <hardy/retry.h>
#include <stdio.h>
#include <string.h>

#define TOLD 3 /* differing settings that an error message has room for */

enum kind { COUNT, SPAN, NUMBER, FLAG, MODE, DECISION };
struct field {
    const char *name;
    enum kind kind;
    size_t offset;
};
static const struct field breaker_fields[] = {
    {"failure_threshold", COUNT, offsetof(hardy_breaker_config, failure_threshold)},
    {"failure_mode", MODE, offsetof(hardy_breaker_config, failure_mode)},
    {"failure_window", SPAN, offsetof(hardy_breaker_config, failure_window)},
    {"recovery_timeout", SPAN, offsetof(hardy_breaker_config, recovery_timeout)},
    {"success_threshold", COUNT, offsetof(hardy_breaker_config, success_threshold)},
    {"half_open_max_calls", COUNT, offsetof(hardy_breaker_config, half_open_max_calls)},
    {"trial_lease", SPAN, offsetof(hardy_breaker_config, trial_lease)},
    {"close_ramp", SPAN, offsetof(hardy_breaker_config, close_ramp)},
    {"counts_attempts", FLAG, offsetof(hardy_breaker_config, counts_attempts)},
    {"shadow", FLAG, offsetof(hardy_breaker_config, shadow)},
    {"failure_rate", NUMBER, offsetof(hardy_breaker_config, failure_rate)},
    {"slow_call_rate", NUMBER, offsetof(hardy_breaker_config, slow_call_rate)},
    {"minimum_calls", COUNT, offsetof(hardy_breaker_config, minimum_calls)},
    {"window_calls", COUNT, offsetof(hardy_breaker_config, window_calls)},
    {"slow_call", SPAN, offsetof(hardy_breaker_config, slow_call)},
    {"trial_decision", DECISION, offsetof(hardy_breaker_config, trial_decision)},
    {"recovery_factor", NUMBER, offsetof(hardy_breaker_config, recovery_factor)},
    {"recovery_max", SPAN, offsetof(hardy_breaker_config, recovery_max)},
    {"recovery_jitter", NUMBER, offsetof(hardy_breaker_config, recovery_jitter)},
    {"close_rate", NUMBER, offsetof(hardy_breaker_config, close_rate)},
    {0}};
static const struct field rate_fields[] = {
    {"requests", NUMBER, offsetof(hardy_rate_config, events)},
    {"per", SPAN, offsetof(hardy_rate_config, period)},
    {"burst", NUMBER, offsetof(hardy_rate_config, burst)},
    {"low_floor", NUMBER, offsetof(hardy_rate_config, low_floor)},
    {0}};
static const struct field budget_fields[] = {
    {"ratio", NUMBER, offsetof(hardy_budget_config, ratio)},
    {"floor", NUMBER, offsetof(hardy_budget_config, floor)},
    {"ttl", SPAN, offsetof(hardy_budget_config, ttl)},
    {"timeout_cost", COUNT, offsetof(hardy_budget_config, timeout_cost)},
    {0}};
static const struct field slots_fields[] = {{"max_concurrent", COUNT, 0}, {0}};

static const struct policy_row {
    const char *name;
    const struct field *fields;
} policy_rows[POLICIES] = {
    [POLICY_BREAKER] = {"breaker", breaker_fields},
    [POLICY_RATE] = {"rate", rate_fields},
    [POLICY_BUDGET] = {"retry budget", budget_fields},
    [POLICY_SLOTS] = {"concurrency", slots_fields},
};
_Static_assert(sizeof breaker_fields / sizeof *breaker_fields == FIELDS_MAX + 1, "FIELDS_MAX");

static int64_t encode(const struct field *f, const void *config) {
    const char *at = (const char *)config + f->offset;
    int64_t word = 0;
    switch (f->kind) {
    case COUNT:
        return *(const uint32_t *)(const void *)at;
    case MODE:
        return *(const hardy_failure_mode *)(const void *)at;
    case DECISION:
        return *(const hardy_trial_decision *)(const void *)at;
    case FLAG:
        return *(const bool *)at;
    case SPAN:
    case NUMBER:
        break;
    }
    memcpy(&word, at, sizeof word);
    return word;
}

static void decode(const struct field *f, int64_t word, void *config) {
    char *at = (char *)config + f->offset;
    switch (f->kind) {
    case COUNT:
        *(uint32_t *)(void *)at = (uint32_t)word;
        return;
    case MODE:
        *(hardy_failure_mode *)(void *)at = (hardy_failure_mode)word;
        return;
    case DECISION:
        *(hardy_trial_decision *)(void *)at = (hardy_trial_decision)word;
        return;
    case FLAG:
        *(bool *)at = word != 0;
        return;
    case SPAN:
    case NUMBER:
        break;
    }
    memcpy(at, &word, sizeof word);
}

static void tell(const struct field *f, int64_t word, char out[48]) {
    double number;
    switch (f->kind) {
    case SPAN:
        format_duration(word, out);
        return;
    case NUMBER:
        memcpy(&number, &word, sizeof number);
        number_format(number, out);
        return;
    case FLAG:
        str_copy(out, 48, word ? "true" : "false");
        return;
    case MODE:
        str_copy(out, 48, breaker_mode_name((hardy_failure_mode)word));
        return;
    case DECISION:
        str_copy(out, 48, word == HARDY_TRIALS_RATIO ? "ratio" : "consecutive");
        return;
    case COUNT:
        break;
    }
    snprintf(out, 48, "%lld", (long long)word);
}

void fields_store(struct fields *f, enum policy policy, const void *config) {
    const struct field *rows = policy_rows[policy].fields;
    for (const struct field *row = rows; row->name; row++) {
        f->words[policy][row - rows] = encode(row, config);
    }
    f->has[policy] = 1;
}

void fields_load(const struct fields *f, enum policy policy, void *config) {
    const struct field *rows = policy_rows[policy].fields;
    for (const struct field *row = rows; row->name; row++) {
        decode(row, f->words[policy][row - rows], config);
    }
}

bool fields_same(const struct fields *f, enum policy policy, const void *config, struct buf *text) {
    const struct field *rows = policy_rows[policy].fields;
    char stored[48], given[48];
    int differing = 0;
    for (const struct field *row = rows; row->name; row++) {
        int64_t word = encode(row, config);
        if (word == f->words[policy][row - rows]) {
            continue;
        }
        if (++differing <= TOLD) {
            tell(row, f->words[policy][row - rows], stored);
            tell(row, word, given);
            buf_printf(text, "%s%s %s (given %s)", differing > 1 ? ", " : "", row->name, stored,
                       given);
        }
    }
    if (differing > TOLD) {
        buf_printf(text, " and %d more", differing - TOLD);
    }
    return differing == 0;
}

bool fields_any(const struct fields *f) {
    for (size_t i = 0; i < POLICIES; i++) {
        if (f->has[i]) {
            return true;
        }
    }
    return false;
}

const char *fields_policy_name(enum policy policy) {
    return policy_rows[policy].name;
}
