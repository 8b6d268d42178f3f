/* SPDX-License-Identifier: Apache-2.0 */
/* Guards as a user writes them: every key's effect, presets, what wins, what is refused and where.
 */
#include "../cmocka_all.h"
#include "base/parse.h"
#include "base/str.h"
#include "settings/guards.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define S HARDY_SECOND

static struct yaml_file *parse(const char *text) {
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (yaml_parse("f.yaml", text, strlen(text), &file, &error) != HARDY_OK) {
        fail_msg("%s: %s: %s", text, error.where, error.message);
    }
    return file;
}

static hardy_status read_error(enum guard_base base, const char *name, const char *yaml,
                               const struct guard_flag *flags, struct guard_settings *out,
                               hardy_error *error) {
    struct yaml_file *file = parse(yaml);
    struct guard_source source = {.base = base,
                                  .name = name,
                                  .node = file->root->kind == YAML_NULL ? NULL : file->root,
                                  .flags = flags};
    while (flags && flags[source.flag_count].name) {
        source.flag_count++;
    }
    hardy_error_init(error, sizeof *error);
    hardy_status status = guard_settings_read(&source, out, error);
    yaml_close(file);
    return status;
}

/* What is read must also be what libhardy takes. */
static void read_good(enum guard_base base, const char *name, const char *yaml,
                      const struct guard_flag *flags, struct guard_settings *out) {
    hardy_error error;
    if (read_error(base, name, yaml, flags, out, &error) != HARDY_OK) {
        fail_msg("%s: %s: %s", yaml, error.where, error.message);
    }
    hardy_guard *guard = NULL;
    if (hardy_guard_new(&out->config, NULL, &guard, &error) != HARDY_OK) {
        fail_msg("%s: %s", yaml, error.message);
    }
    hardy_guard_free(guard);
}

/* --- every key -------------------------------------------------------------------------------- */

/* A key's path, a map that gives it, and what is then so, and is not so without it. A key of the
 * table that is not named here fails the test below. */
#define KEYS(X)                                                                                    \
    X(preset, "preset", "preset: user_facing", s->retry.max_delay == 5 * S)                        \
    X(deadline, "deadline", "deadline: 5s", s->config.deadline == 5 * S)                           \
    X(timeout, "timeout", "timeout: 7s", s->config.timeout == 7 * S)                               \
    X(attempt, "timeout.attempt", "timeout: {attempt: 7s}", s->config.timeout == 7 * S)            \
    X(connect, "timeout.connect", "timeout: {connect: 2s}", s->timeout_connect == 2 * S)           \
    X(first, "timeout.first_content", "timeout: {first_content: 3s}",                              \
      s->config.timeout_first_content == 3 * S)                                                    \
    X(idle, "timeout.idle", "timeout: {idle: 4s}", s->config.timeout_idle == 4 * S)                \
    X(retry, "retry", "retry: 3", s->retry.max_retries == 3)                                       \
    X(max_retries, "retry.max_retries", "retry: {max_retries: 9}",                                 \
      s->config.retry->max_retries == 9 && s->given_retry)                                         \
    X(base_delay, "retry.base_delay", "retry: {base_delay: 250ms}",                                \
      s->retry.base_delay == 250 * HARDY_MILLISECOND)                                              \
    X(max_delay, "retry.max_delay", "retry: {max_delay: 9s}", s->retry.max_delay == 9 * S)         \
    X(base, "retry.exponential_base", "retry: {exponential_base: 1.5}",                            \
      s->retry.exponential_base == 1.5)                                                            \
    X(jitter, "retry.jitter", "retry: {jitter: decorrelated}",                                     \
      s->retry.jitter == HARDY_JITTER_DECORRELATED)                                                \
    X(total, "retry.max_total_wait", "retry: {max_total_wait: 30s}",                               \
      s->retry.max_total_wait == 30 * S)                                                           \
    X(retry_on, "retry.retry_on", "retry: {retry_on: [75, 500-503]}",                              \
      guard_retries_code(s, 75) && guard_retries_code(s, 500) && guard_retries_code(s, 503) &&     \
          !guard_retries_code(s, 504) && !guard_retries_code(s, 74))                               \
    X(repeatable, "retry.repeatable", "retry: {repeatable: true}", s->retry.repeatable)            \
    X(budget, "retry.budget", "retry: {budget: off}", s->config.budget == NULL)                    \
    X(ratio, "retry.budget.ratio", "retry: {budget: {ratio: 0.5}}",                                \
      s->config.budget->ratio == 0.5 && s->given_budget)                                           \
    X(floor, "retry.budget.floor", "retry: {budget: {floor: 30/m}}", s->budget.floor == 0.5)       \
    X(budget_ttl, "retry.budget.ttl", "retry: {budget: {ttl: 30s}}", s->budget.ttl == 30 * S)      \
    X(timeout_cost, "retry.budget.timeout_cost", "retry: {budget: {timeout_cost: 5}}",             \
      s->budget.timeout_cost == 5)                                                                 \
    X(breaker, "breaker", "breaker: off", s->config.breaker == NULL)                               \
    X(mode, "breaker.failure_mode", "breaker: {failure_mode: consecutive}",                        \
      s->breaker.failure_mode == HARDY_CONSECUTIVE)                                                \
    X(threshold, "breaker.failure_threshold", "breaker: {failure_threshold: 9}",                   \
      s->config.breaker->failure_threshold == 9 && s->given_breaker)                               \
    X(window, "breaker.failure_window", "breaker: {failure_window: 9s}",                           \
      s->breaker.failure_window == 9 * S)                                                          \
    X(share, "breaker.failure_rate", "breaker: {failure_rate: 0.5}",                               \
      s->breaker.failure_rate == 0.5)                                                              \
    X(slow, "breaker.slow_call", "breaker: {slow_call: 9s}", s->breaker.slow_call == 9 * S)        \
    X(slow_share, "breaker.slow_call_rate", "breaker: {failure_mode: rate, slow_call_rate: 0.8}",  \
      s->breaker.failure_mode == HARDY_FAILURE_RATE && s->breaker.slow_call_rate == 0.8)           \
    X(minimum, "breaker.minimum_calls",                                                            \
      "breaker: {failure_mode: rate, failure_rate: 0.5, minimum_calls: 20}",                       \
      s->breaker.minimum_calls == 20 && s->given_breaker)                                          \
    X(window_calls, "breaker.window_calls",                                                        \
      "breaker: {failure_mode: rate, failure_rate: 0.5, window_calls: 100}",                       \
      s->breaker.window_calls == 100)                                                              \
    X(grows, "breaker.recovery_factor", "breaker: {recovery_factor: 2}",                           \
      s->breaker.recovery_factor == 2)                                                             \
    X(grows_to, "breaker.recovery_max", "breaker: {recovery_max: 5m}",                             \
      s->breaker.recovery_max == 5 * HARDY_MINUTE)                                                 \
    X(spreads, "breaker.recovery_jitter", "breaker: {recovery_jitter: 0.2}",                       \
      s->breaker.recovery_jitter == 0.2)                                                           \
    X(decision, "breaker.trial_decision", "breaker: {failure_rate: 0.5, trial_decision: ratio}",   \
      s->breaker.trial_decision == HARDY_TRIALS_RATIO)                                             \
    X(pace, "breaker.close_rate", "breaker: {close_rate: 120/m}", s->breaker.close_rate == 2)      \
    X(shadow, "breaker.shadow", "breaker: {shadow: true}", s->breaker.shadow)                      \
    X(recovery, "breaker.recovery_timeout", "breaker: {recovery_timeout: 9s}",                     \
      s->breaker.recovery_timeout == 9 * S)                                                        \
    X(successes, "breaker.success_threshold", "breaker: {success_threshold: 4}",                   \
      s->breaker.success_threshold == 4 && s->breaker.half_open_max_calls == 4)                    \
    X(trials, "breaker.half_open_max_calls", "breaker: {half_open_max_calls: 1}",                  \
      s->breaker.half_open_max_calls == 1)                                                         \
    X(lease, "breaker.trial_lease", "breaker: {trial_lease: 9s}", s->breaker.trial_lease == 9 * S) \
    X(ramp, "breaker.close_ramp", "breaker: {close_ramp: 0}", s->breaker.close_ramp == 0)          \
    X(counts, "breaker.counts", "breaker: {counts: attempt}", s->breaker.counts_attempts)          \
    X(when_open, "breaker.when_open", "breaker: {when_open: wait}", s->config.wait_when_open)      \
    X(rate, "rate", "rate: 50/m", s->config.rate && s->rate.period == HARDY_MINUTE)                \
    X(requests, "rate.requests", "rate: {requests: 20/s}",                                         \
      s->config.rate && s->rate.events == 20 && s->rate.burst == 20 && s->given_rate)              \
    X(tokens, "rate.tokens", "rate: {tokens: 60000/m}",                                            \
      !s->config.rate && s->given_tokens && s->tokens.events == 60000 && s->tokens.burst == 1000)  \
    X(burst, "rate.burst", "rate: {requests: 20/s, burst: 3}", s->rate.burst == 3)                 \
    X(when_limited, "rate.when_limited", "rate: {requests: 20/s, when_limited: reject}",           \
      s->rate.reject)                                                                              \
    X(priority, "rate.priority", "rate: {requests: 20/s, priority: low}", s->rate.low_priority)    \
    X(low_floor, "rate.low_floor", "rate: {requests: 20/m, burst: 5, low_floor: 6/m}",             \
      s->rate.low_floor == 6)                                                                      \
    X(limit, "rate.limit", "rate: {limit: 100/m}",                                                 \
      s->config.rate && s->rate.events == 80 && s->rate.burst == 20 && s->rate.limit == 100 &&     \
          s->rate.period == HARDY_MINUTE && s->rate.limit_window == HARDY_MINUTE && s->given_rate) \
    X(bulkhead, "bulkhead", "bulkhead: 3", s->config.bulkhead && s->bulkhead.max_concurrent == 3)  \
    X(concurrent, "bulkhead.max_concurrent", "bulkhead: {max_concurrent: 5}",                      \
      s->config.bulkhead && s->bulkhead.max_concurrent == 5 && s->given_slots)                     \
    X(queue, "bulkhead.max_queue", "bulkhead: {max_queue: 0}",                                     \
      s->config.bulkhead && s->bulkhead.max_queue == 0)                                            \
    X(adaptive, "bulkhead.adaptive", "bulkhead: {adaptive: true}", s->bulkhead.adaptive)           \
    X(least, "bulkhead.min_concurrent", "bulkhead: {adaptive: true, min_concurrent: 4}",           \
      s->bulkhead.min_concurrent == 4)

#define X(id, path, yaml, expression)                                                              \
    static bool holds_##id(const struct guard_settings *s) {                                       \
        return expression;                                                                         \
    }
KEYS(X)
#undef X

static const struct {
    const char *path, *yaml;
    bool (*holds)(const struct guard_settings *s);
} keys[] = {
#define X(id, path, yaml, expression) {path, yaml, holds_##id},
    KEYS(X)
#undef X
};

static void each_key_does_something(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        struct guard_settings with, without;
        read_good(GUARD_DEFAULTS, "g", "", NULL, &without);
        read_good(GUARD_DEFAULTS, "g", keys[i].yaml, NULL, &with);
        if (!keys[i].holds(&with)) {
            fail_msg("%s has no effect", keys[i].yaml);
        }
        if (keys[i].holds(&without)) {
            fail_msg("%s: the same holds without it", keys[i].path);
        }
        guard_settings_free(&with);
        guard_settings_free(&without);
    }
}

static bool is_named(void *ctx, const char *path, const struct schema_key *key) {
    size_t *missing = ctx;
    (void)key;
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (str_eq(keys[i].path, path)) {
            return true;
        }
    }
    if (!str_eq(path, "name")) { /* what the map stands under */
        print_error("no behaviour is tested for the key %s\n", path);
        (*missing)++;
    }
    return true;
}

static void each_key_is_named_here(void **state) {
    (void)state;
    size_t missing = 0;
    schema_each(&guard_section, is_named, &missing);
    assert_int_equal(missing, 0);
}

/* The ends of every range, and a step beyond. */
static void ends_of_ranges(void *ctx, const char *path, const char *text, bool allowed) {
    char yaml[256], outer[64];
    size_t *tried = ctx, dot = strcspn(path, ".");
    snprintf(outer, sizeof outer, "%.*s", (int)dot, path);
    const char *besides = strstr(path, "base_delay")  ? ", max_delay: 24h"
                          : strstr(path, "max_delay") ? ", base_delay: 0"
                          : strstr(path, "burst")     ? ", requests: 1/s"
                          : strstr(path, "min_conc")  ? ", max_concurrent: 1000000"
                          : strstr(path, "slow_call_rate") || strstr(path, "minimum_calls")
                              ? ", failure_mode: rate, failure_rate: 0.5"
                          : strstr(path, "window_calls")
                              ? ", failure_mode: rate, failure_rate: 0.5, minimum_calls: 1"
                              : "";
    const char *inner = path[dot] ? path + dot + 1 : NULL;
    if (inner && strchr(inner, '.')) {
        size_t len = strcspn(inner, ".");
        snprintf(yaml, sizeof yaml, "%s: {%.*s: {%s: %s}}", outer, (int)len, inner, inner + len + 1,
                 text);
    } else if (inner) {
        snprintf(yaml, sizeof yaml, "%s: {%s: %s%s}", outer, inner, text, besides);
    } else {
        snprintf(yaml, sizeof yaml, "%s: %s", outer, text);
    }
    struct guard_settings s;
    hardy_error error;
    if (allowed) {
        read_good(GUARD_DEFAULTS, "g", yaml, NULL, &s);
    } else if (read_error(GUARD_DEFAULTS, "g", yaml, NULL, &s, &error) == HARDY_OK) {
        fail_msg("accepted: %s", yaml);
    }
    guard_settings_free(&s);
    (*tried)++;
}

static bool try_range(void *ctx, const char *path, const struct schema_key *key) {
    if (key->min) {
        ends_of_ranges(ctx, path, key->min, true);
        ends_of_ranges(ctx, path,
                       key->kind != SCHEMA_DURATION  ? "-1"
                       : strcmp(key->min, "0s") == 0 ? "-1s"
                                                     : "999us",
                       false);
    }
    if (key->max) {
        ends_of_ranges(ctx, path, key->max, true);
        ends_of_ranges(ctx, path, key->kind == SCHEMA_DURATION ? "25h" : "1000001", false);
    }
    return true;
}

static void ranges(void **state) {
    (void)state;
    size_t tried = 0;
    schema_each(&guard_section, try_range, &tried);
    assert_true(tried > 50);
}

/* --- defaults and presets --------------------------------------------------------------------- */

/* The table's defaults are the library's. */
static void defaults(void **state) {
    (void)state;
    struct guard_settings s;
    hardy_guard_config guard;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_bulkhead_config bulkhead;
    hardy_guard_config_init(&guard, sizeof guard);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_budget_config_init(&budget, sizeof budget);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_bulkhead_config_init(&bulkhead, sizeof bulkhead);
    read_good(GUARD_DEFAULTS, "g", "bulkhead: {}", NULL, &s);
    assert_string_equal(s.config.name, "g");
    assert_int_equal(s.config.deadline, guard.deadline);
    assert_int_equal(s.config.timeout, guard.timeout);
    assert_int_equal(s.config.timeout_first_content, guard.timeout_first_content);
    assert_int_equal(s.config.timeout_idle, guard.timeout_idle);
    assert_int_equal(s.timeout_connect, HARDY_NEVER);
    assert_false(s.config.wait_when_open);
    assert_ptr_equal(s.config.retry, &s.retry);
    assert_memory_equal(&s.retry, &retry, sizeof retry);
    assert_ptr_equal(s.config.budget, &s.budget);
    assert_true(s.budget.ratio == budget.ratio && s.budget.floor == budget.floor);
    assert_ptr_equal(s.config.breaker, &s.breaker);
    assert_memory_equal(&s.breaker, &breaker, sizeof breaker);
    assert_null(s.config.rate);
    assert_memory_equal(&s.bulkhead, &bulkhead, sizeof bulkhead);
    assert_false(s.given_retry || s.given_budget || s.given_breaker || s.given_rate ||
                 s.given_slots);
    assert_true(guard_retries_code(&s, 1) && guard_retries_code(&s, 255));
    guard_settings_free(&s);
    read_good(GUARD_DEFAULTS, "g", "{}", NULL, &s);
    assert_null(s.config.bulkhead);
    guard_settings_free(&s);
    /* Whether to wait is each call's own, as it is for the rate. */
    read_good(GUARD_DEFAULTS, "g", "breaker: {when_open: wait}", NULL, &s);
    assert_true(s.config.wait_when_open && !s.given_breaker);
    guard_settings_free(&s);
    read_good(GUARD_DEFAULTS, "g", "breaker: {half_open_max_calls: 2}", NULL, &s);
    assert_true(s.given_breaker);
    guard_settings_free(&s);
}

/* MISSION's figures. -1: as without a preset. */
static void presets(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int64_t base_delay, max_delay;
        uint32_t max_retries;
        hardy_jitter jitter;
        double base;
        int64_t max_total_wait;
        uint32_t failures, successes;
        int64_t recovery;
    } rows[] = {
        {"standard", S, 60 * S, 3, HARDY_JITTER_FULL, 2, 120 * S, 5, 2, 60 * S},
        {"user_facing", S / 2, 5 * S, 2, HARDY_JITTER_EQUAL, 2, 10 * S, 5, 2, 60 * S},
        {"background", 2 * S, 120 * S, 5, HARDY_JITTER_FULL, 3, HARDY_NEVER, 5, 2, 60 * S},
        {"high_traffic", S, 60 * S, 5, HARDY_JITTER_FULL, 2, HARDY_NEVER, 10, 2, 30 * S},
        {"critical", S, 60 * S, 5, HARDY_JITTER_FULL, 2, HARDY_NEVER, 3, 2, 120 * S},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char yaml[64];
        struct guard_settings s;
        snprintf(yaml, sizeof yaml, "preset: %s", rows[i].name);
        read_good(GUARD_DEFAULTS, "g", yaml, NULL, &s);
        assert_int_equal(s.retry.base_delay, rows[i].base_delay);
        assert_int_equal(s.retry.max_delay, rows[i].max_delay);
        assert_int_equal(s.retry.max_retries, rows[i].max_retries);
        assert_int_equal(s.retry.jitter, rows[i].jitter);
        assert_true(s.retry.exponential_base == rows[i].base);
        assert_int_equal(s.retry.max_total_wait, rows[i].max_total_wait);
        assert_int_equal(s.breaker.failure_threshold, rows[i].failures);
        assert_int_equal(s.breaker.success_threshold, rows[i].successes);
        assert_int_equal(s.breaker.recovery_timeout, rows[i].recovery);
        guard_settings_free(&s);
    }
    /* 2, 6, 18, 54 seconds before jitter, then the cap */
    struct guard_settings s;
    read_good(GUARD_DEFAULTS, "g", "{preset: background, retry: {jitter: none}}", NULL, &s);
    static const int64_t waits[] = {2 * S, 6 * S, 18 * S, 54 * S, 120 * S};
    for (uint32_t i = 0; i < COUNT(waits); i++) {
        assert_int_equal(hardy_backoff(&s.retry, i, 0, 0), waits[i]);
    }
    guard_settings_free(&s);
}

static void what_wins(void **state) {
    (void)state;
    struct guard_settings s;
    /* a key wins over the preset, wherever it stands */
    read_good(GUARD_DEFAULTS, "g",
              "{retry: {max_retries: 7}, breaker: {failure_threshold: 9}, preset: standard}", NULL,
              &s);
    assert_int_equal(s.retry.max_retries, 7);
    assert_int_equal(s.retry.max_total_wait, 120 * S);
    assert_int_equal(s.breaker.failure_threshold, 9);
    guard_settings_free(&s);
    /* a flag wins over a key, and the key over the flag's preset */
    const struct guard_flag flags[] = {
        {"--preset", "user_facing"}, {"--max-delay", "8s"}, {"--retries", "1"}, {NULL, NULL}};
    read_good(GUARD_DEFAULTS, "g", "{preset: standard, retry: {max_retries: 7, base_delay: 100ms}}",
              flags, &s);
    assert_int_equal(s.retry.max_retries, 1);
    assert_int_equal(s.retry.max_delay, 8 * S);
    assert_int_equal(s.retry.base_delay, S / 10);
    assert_int_equal(s.retry.jitter, HARDY_JITTER_EQUAL);
    assert_int_equal(s.breaker.failure_threshold, 5);
    guard_settings_free(&s);
    /* off, and on again by a flag */
    read_good(GUARD_DEFAULTS, "g", "{breaker: off, retry: false, preset: standard}", NULL, &s);
    assert_null(s.config.breaker);
    assert_null(s.config.retry);
    assert_null(s.config.budget);
    guard_settings_free(&s);
    const struct guard_flag on[] = {{"--failure-threshold", "4"}, {NULL, NULL}};
    read_good(GUARD_DEFAULTS, "g", "breaker: off", on, &s);
    assert_int_equal(s.config.breaker->failure_threshold, 4);
    guard_settings_free(&s);
    read_good(GUARD_DEFAULTS, "g", "{rate: off, bulkhead: off}", NULL, &s);
    assert_null(s.config.rate);
    assert_null(s.config.bulkhead);
    guard_settings_free(&s);
}

static void derived_values(void **state) {
    (void)state;
    struct guard_settings s;
    read_good(GUARD_DEFAULTS, "g", "{breaker: {success_threshold: 20}, rate: 30/m}", NULL, &s);
    assert_int_equal(s.breaker.half_open_max_calls, 8); /* no more are kept apart */
    assert_true(s.rate.burst == 1);                     /* half a request a second */
    guard_settings_free(&s);
}

/* The user's limit of an attempt makes the defaults inside of it void; what he wrote stays, and is
 * warned of. */
static void defaults_give_way(void **state) {
    (void)state;
    struct guard_settings s;
    read_good(GUARD_HTTP, "search", "timeout: 5s", NULL, &s);
    assert_int_equal(s.config.timeout, 5 * S);
    assert_int_equal(s.config.timeout_first_content, HARDY_NEVER);
    assert_int_equal(s.config.timeout_idle, HARDY_NEVER);
    guard_settings_free(&s);
    read_good(GUARD_HTTP, "search", "timeout: 45s", NULL, &s);
    assert_int_equal(s.config.timeout_first_content, 30 * S);
    assert_int_equal(s.config.timeout_idle, HARDY_NEVER);
    guard_settings_free(&s);
    read_good(GUARD_HTTP, "search", "timeout: {attempt: 5s, first_content: 30s}", NULL, &s);
    assert_int_equal(s.config.timeout_first_content, 30 * S);
    guard_settings_free(&s);
}

static void llm(void **state) {
    (void)state;
    struct guard_settings s;
    read_good(GUARD_LLM, "llm", "", NULL, &s);
    assert_int_equal(s.config.deadline, 280 * S);
    assert_int_equal(s.config.timeout, HARDY_NEVER);
    assert_int_equal(s.timeout_connect, 5 * S);
    assert_int_equal(s.config.timeout_first_content, 120 * S);
    assert_int_equal(s.config.timeout_idle, 120 * S);
    assert_int_equal(s.retry.max_retries, 20);
    assert_int_equal(s.retry.base_delay, S);
    assert_int_equal(s.retry.max_delay, 30 * S);
    assert_int_equal(s.retry.jitter, HARDY_JITTER_FULL);
    assert_int_equal(s.retry.max_total_wait, 280 * S);
    assert_true(s.config.budget->ratio == 0.1 && s.config.budget->floor == 10);
    assert_int_equal(s.breaker.failure_threshold, 5);
    assert_int_equal(s.breaker.failure_window, 120 * S);
    assert_int_equal(s.breaker.recovery_timeout, 30 * S);
    assert_int_equal(s.breaker.success_threshold, 2);
    assert_false(s.breaker.counts_attempts);
    assert_true(s.config.wait_when_open);
    assert_null(s.config.rate);
    assert_int_equal(s.config.bulkhead->max_concurrent, 16);
    assert_int_equal(s.config.bulkhead->max_queue, 64);
    assert_false(s.given_breaker || s.given_retry);
    guard_settings_free(&s);
    read_good(GUARD_LLM, "llm", "{deadline: 60s, retry: {max_retries: 2}}", NULL, &s);
    assert_int_equal(s.config.deadline, 60 * S);
    assert_int_equal(s.retry.max_retries, 2);
    assert_int_equal(s.retry.max_delay, 30 * S);
    guard_settings_free(&s);
}

/* --- exec and steps: nothing unless given ----------------------------------------------------- */

static void empty_base(void **state) {
    (void)state;
    struct guard_settings s;
    read_good(GUARD_EMPTY, NULL, "", NULL, &s);
    assert_null(s.name);
    assert_string_equal(s.config.name, "unnamed");
    assert_null(s.config.retry);
    assert_null(s.config.budget);
    assert_null(s.config.breaker);
    assert_null(s.config.rate);
    assert_null(s.config.bulkhead);
    assert_int_equal(s.config.deadline, HARDY_NEVER);
    assert_int_equal(s.config.timeout, HARDY_NEVER);
    guard_settings_free(&s);

    read_good(GUARD_EMPTY, "api", "", NULL, &s); /* a name brings the breaker, and only that */
    assert_non_null(s.config.breaker);
    assert_false(s.config.wait_when_open || s.given_breaker);
    assert_null(s.config.retry);
    guard_settings_free(&s);

    const struct guard_flag retries[] = {
        {"--retries", "3"}, {"--base-delay", "10ms"}, {"--timeout", "5s"}, {NULL, NULL}};
    read_good(GUARD_EMPTY, NULL, "", retries, &s);
    assert_int_equal(s.config.retry->max_retries, 3);
    assert_int_equal(s.config.retry->base_delay, S / 100);
    assert_non_null(s.config.budget); /* everywhere */
    assert_null(s.config.breaker);
    assert_int_equal(s.config.timeout, 5 * S);
    guard_settings_free(&s);

    const struct guard_flag preset[] = {{"--preset", "standard"}, {NULL, NULL}};
    read_good(GUARD_EMPTY, NULL, "", preset, &s);
    assert_int_equal(s.config.retry->max_retries, 3);
    assert_null(s.config.breaker);
    guard_settings_free(&s);

    const struct guard_flag busy[] = {{"--preset", "high_traffic"}, {NULL, NULL}};
    read_good(GUARD_EMPTY, "api", "", busy, &s);
    assert_int_equal(s.config.breaker->failure_threshold, 10);
    assert_true(s.given_breaker);
    assert_null(s.config.retry);
    guard_settings_free(&s);

    read_good(GUARD_EMPTY, NULL, "{retry: {base_delay: 5s}, rate: 2/s}", NULL, &s);
    assert_int_equal(s.config.retry->max_retries, 5);
    assert_non_null(s.config.rate);
    guard_settings_free(&s);

    /* the call's own share of a rate that others have set */
    const struct guard_flag limited[] = {
        {"--when-limited", "reject"}, {"--priority", "low"}, {NULL, NULL}};
    read_good(GUARD_EMPTY, "api", "", limited, &s);
    assert_null(s.config.rate);
    assert_true(s.rate.reject && s.rate.low_priority);
    assert_false(s.given_rate);
    guard_settings_free(&s);
}

static void refused_flags(void **state) {
    (void)state;
    static const struct {
        const char *name;
        struct guard_flag flags[4];
        const char *where, *message;
    } rows[] = {
        {NULL,
         {{"--timeout", "30"}},
         "--timeout",
         "expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; \"30\" has no unit"},
        {NULL,
         {{"--retries", "-1"}},
         "--retries",
         "expected a whole number from 0 to 1000, not \"-1\""},
        {NULL,
         {{"--jitter", "ful"}},
         "--jitter",
         "expected one of none, full, equal, decorrelated, proportional, not \"ful\"; did you mean "
         "full?"},
        {NULL,
         {{"--base-delay", "1s"}},
         "--base-delay",
         "says how to retry, but nothing is retried: give --retries or a --preset with retries "
         "too"},
        {NULL,
         {{"--retries", "3"}, {"--base-delay", "90s"}},
         "--base-delay",
         "base_delay 1m30s is longer than max_delay 1m; no wait is longer than max_delay"},
        {NULL,
         {{"--retries", "3"}, {"--max-delay", "500ms"}},
         "--max-delay",
         "base_delay 1s is longer than max_delay 500ms; no wait is longer than max_delay"},
        {NULL,
         {{"--retries", "3"}, {"--retry-on", "1,x"}},
         "--retry-on",
         "expected codes from 0 to 999 or ranges of them such as 500-599, not \"x\""},
        {NULL,
         {{"--retries", "3"}, {"--retry-on", "9-3"}},
         "--retry-on",
         "expected codes from 0 to 999 or ranges of them such as 500-599, not \"9-3\""},
        {NULL,
         {{"--failure-threshold", "3"}},
         "--failure-threshold",
         "sets a breaker, which needs a name: without one nothing is shared, and there is no "
         "breaker"},
        {NULL,
         {{"--failure-rate", "0.5"}},
         "--failure-rate",
         "sets a breaker, which needs a name: without one nothing is shared, and there is no "
         "breaker"},
        {"api",
         {{"--failure-mode", "rate"}},
         "--failure-mode",
         "failure_mode is rate, which needs a failure_rate or a slow_call_rate above 0"},
        {"api",
         {{"--minimum-calls", "20"}},
         "--minimum-calls",
         "minimum_calls needs failure_mode rate, and it is window"},
        {NULL,
         {{"--preset", "critical"}},
         "--preset",
         "sets a breaker, which needs a name: without one nothing is shared, and there is no "
         "breaker"},
        {NULL,
         {{"--burst", "5"}},
         "--burst",
         "says nothing of how many: `requests` (--rate) is missing, such as 10/s"},
        {"a b",
         {{NULL, NULL}},
         "--name",
         "\"a b\" cannot be a guard's name: letters, digits, \".\", \"_\", \"-\", at most 63, "
         "first "
         "a letter or digit"},
        {NULL, {{"--speed", "5"}}, "--speed", "no such flag"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct guard_settings s;
        hardy_error error;
        if (read_error(GUARD_EMPTY, rows[i].name, "", rows[i].flags, &s, &error) == HARDY_OK) {
            fail_msg("accepted: row %zu", i);
        }
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, rows[i].where);
        guard_settings_free(&s);
    }
}

static void refused_maps(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        int line, column;
        const char *message;
    } rows[] = {
        {"failure_treshold: 3\n", 1, 1,
         "unknown key `failure_treshold` at the top; did you mean `breaker.failure_threshold`?"},
        {"breaker:\n  timeout: 5s\n", 2, 3,
         "unknown key `timeout` in breaker; did you mean `recovery_timeout`?"},
        {"retry: {initial_delay: 5s}\n", 1, 9,
         "unknown key `initial_delay` in retry; did you mean `base_delay`?"},
        {"retry: {retry_on: [75, 5x]}\n", 1, 19,
         "expected codes from 0 to 999 or ranges of them such as 500-599, not \"5x\""},
        {"retry:\n  max_delay: 1s\n  base_delay: 2s\n", 2, 14,
         "base_delay 2s is longer than max_delay 1s; no wait is longer than max_delay"},
        {"retry:\n  base_delay: 2m\n", 2, 15,
         "base_delay 2m is longer than max_delay 1m; no wait is longer than max_delay"},
        {"retry: {budget: {floor: 2000000/s}}\n", 1, 25,
         "floor is 2000000, which should be from 0 to 1000000"},
        {"retry: {budget: {floor: 1000000/s, ttl: 1m}}\n", 1, 25,
         "floor times ttl is 60000000, which should be from 0 to 10000000"},
        {"rate: {burst: 5}\n", 1, 7,
         "says nothing of how many: `requests` (--rate) is missing, such as 10/s"},
        {"rate: {when_limited: reject}\n", 1, 7,
         "says nothing of how many: `requests` (--rate) is missing, such as 10/s"},
        {"rate: 10\n", 1, 7,
         "`requests`: expected a rate such as 10/s, 50/m, 5/h or 100/d, not \"10\""},
        {"preset: fast\n", 1, 9,
         "`preset`: expected one of standard, user_facing, background, high_traffic, critical, not "
         "\"fast\""},
        {"breaker: {failure_threshold: 65}\n", 1, 30,
         "`failure_threshold`: expected a whole number from 1 to 64, not \"65\""},
        {"breaker: {failure_mode: rate}\n", 1, 25,
         "failure_mode is rate, which needs a failure_rate or a slow_call_rate above 0"},
        {"breaker: {failure_mode: rate, failure_rate: 0.5, failure_threshold: 3}\n", 1, 69,
         "failure_threshold does nothing with failure_mode rate: minimum_calls says how many calls "
         "there have to be"},
        {"breaker: {minimum_calls: 20}\n", 1, 26,
         "minimum_calls needs failure_mode rate, and it is window"},
        {"breaker: {window_calls: 100}\n", 1, 25,
         "window_calls is set, which needs failure_mode rate, and it is window"},
        {"breaker: {failure_mode: rate, failure_rate: 0.5, window_calls: 9}\n", 1, 10,
         "minimum_calls is 10, which should be at most window_calls, 9: it would never open"},
        {"breaker: {failure_mode: consecutive, failure_rate: 0.5}\n", 1, 52,
         "failure_rate is set, which does nothing with failure_mode consecutive"},
        {"breaker: {trial_decision: ratio}\n", 1, 27,
         "trial_decision is ratio, which needs a failure_rate above 0"},
        {"breaker: {failure_rate_threshold: 0.5}\n", 1, 11,
         "unknown key `failure_rate_threshold` in breaker; did you mean `failure_rate`?"},
        {"name: x\n", 1, 1,
         "unknown key `name` at the top; its name is the key that it stands under"},
        {"breaker: yes\n", 1, 10,
         "`breaker` is text; expected a map with the keys failure_mode, failure_threshold, "
         "failure_window, failure_rate, slow_call, slow_call_rate, minimum_calls, window_calls, "
         "recovery_timeout, recovery_factor, recovery_max, recovery_jitter, success_threshold, "
         "half_open_max_calls, trial_decision, trial_lease, close_ramp, close_rate, counts, "
         "shadow, when_open"},
        {"[1]\n", 1, 1,
         "a guard is a list; expected a map with the keys preset, deadline, timeout, retry, "
         "breaker, rate, bulkhead"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct guard_settings s;
        hardy_error error;
        char where[64];
        snprintf(where, sizeof where, "f.yaml:%d:%d", rows[i].line, rows[i].column);
        if (read_error(GUARD_DEFAULTS, "g", rows[i].yaml, NULL, &s, &error) == HARDY_OK) {
            fail_msg("accepted: %s", rows[i].yaml);
        }
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, where);
        guard_settings_free(&s);
    }
    struct guard_settings s;
    hardy_error error;
    assert_int_equal(
        read_error(GUARD_EMPTY, NULL, "breaker: {failure_threshold: 2}", NULL, &s, &error),
        HARDY_E_SYNTAX);
    assert_string_equal(error.where, "f.yaml:1:10");
}

static void found_by_name(void **state) {
    (void)state;
    static const char text[] = "guards:\n  search: {retry: 2}\n  broken: {retry: x}\n";
    struct config *config;
    struct guard_settings s;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(config_load_bytes("f.yaml", text, sizeof text - 1, &config, &error), HARDY_OK);
    assert_int_equal(guard_settings_find(config, "search", GUARD_DEFAULTS, &s, &error), HARDY_OK);
    assert_string_equal(s.name, "search");
    assert_string_equal(s.config.name, "search");
    assert_int_equal(s.retry.max_retries, 2);
    assert_non_null(s.config.breaker);
    guard_settings_free(&s);
    assert_int_equal(guard_settings_find(config, "serach", GUARD_DEFAULTS, &s, &error),
                     HARDY_E_NOT_FOUND);
    assert_string_equal(error.where, "f.yaml");
    assert_string_equal(error.message, "no guard is called \"serach\"; did you mean \"search\"?");
    guard_settings_free(&s);
    assert_int_equal(guard_settings_find(config, "zzz", GUARD_DEFAULTS, &s, &error),
                     HARDY_E_NOT_FOUND);
    assert_string_equal(error.message, "no guard is called \"zzz\"; there are search, broken");
    assert_int_equal(guard_settings_find(config, "broken", GUARD_DEFAULTS, &s, &error),
                     HARDY_E_SYNTAX);
    assert_string_equal(error.where, "f.yaml:3:19");
    assert_int_equal(guard_settings_find(NULL, "search", GUARD_DEFAULTS, &s, &error),
                     HARDY_E_NOT_FOUND);
    config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_does_something),
        cmocka_unit_test(each_key_is_named_here),
        cmocka_unit_test(ranges),
        cmocka_unit_test(defaults),
        cmocka_unit_test(presets),
        cmocka_unit_test(what_wins),
        cmocka_unit_test(derived_values),
        cmocka_unit_test(defaults_give_way),
        cmocka_unit_test(llm),
        cmocka_unit_test(empty_base),
        cmocka_unit_test(refused_flags),
        cmocka_unit_test(refused_maps),
        cmocka_unit_test(found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
