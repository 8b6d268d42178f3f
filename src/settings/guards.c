/* SPDX-License-Identifier: Apache-2.0 */
#include "settings/guards.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/bulkhead.h"
#include "policy/gcra.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define MARGIN_OF_LIMIT 0.8 /* the rate, of what the far side says that it takes */

/* --- the table: what is read ------------------------------------------------------------------ */

struct raw_timeout {
    int64_t attempt, connect, first_content, idle;
    bool given_first_content, given_idle;
};
struct raw_budget {
    double ratio;
    struct rate floor;
    int64_t ttl;
    uint32_t timeout_cost;
};
struct raw_retry {
    uint32_t max_retries;
    int64_t base_delay, max_delay, max_total_wait;
    double exponential_base;
    int jitter;
    bool repeatable;
    struct schema_strings retry_on;
    struct raw_budget budget;
    bool given_max_retries, given_budget, off_budget;
};
struct raw_breaker {
    int failure_mode, trial_decision, counts, when_open;
    uint32_t failure_threshold, success_threshold, half_open_max_calls;
    uint32_t minimum_calls, window_calls;
    int64_t failure_window, recovery_timeout, recovery_max, trial_lease, close_ramp, slow_call;
    double failure_rate, slow_call_rate, recovery_factor, recovery_jitter;
    struct rate close_rate;
    bool shadow;
    bool given_failure_threshold, given_half_open_max_calls, given_minimum_calls;
    bool given_setting; /* any other key but when_open, which is each call's own */
};
struct raw_rate {
    struct rate requests, tokens;
    struct rate low_floor, limit;
    double burst;
    int when_limited, priority;
    bool given_requests, given_tokens, given_burst, given_low_floor, given_limit;
};
struct raw_bulkhead {
    uint32_t max_concurrent, max_queue, min_concurrent;
    bool adaptive;
    bool given_max_concurrent;
};
struct raw {
    char *name;
    int preset;
    int64_t deadline;
    struct raw_timeout timeout;
    struct raw_retry retry;
    struct raw_breaker breaker;
    struct raw_rate rate;
    struct raw_bulkhead bulkhead;
    bool given_retry, given_breaker, given_rate, given_bulkhead;
    bool off_retry, off_breaker, off_rate, off_bulkhead;
};

/* The order of the words is that of the enumerations they become. */
static const char *const jitters[] = {"none",         "full",         "equal",
                                      "decorrelated", "proportional", NULL};
static const char *const failure_modes[] = {"window", "consecutive", "rate", NULL};
static const char *const trial_decisions[] = {"consecutive", "ratio", NULL};
static const char *const counted[] = {"operation", "attempt", NULL};
static const char *const waits[] = {"wait", "reject", NULL};
static const char *const priorities[] = {"high", "low", NULL};
static const char *const preset_names[] = {"standard",     "user_facing", "background",
                                           "high_traffic", "critical",    NULL};

static const struct schema_key timeout_keys[] = {
    {"attempt", SCHEMA_DURATION, offsetof(struct raw_timeout, attempt), .def = "never",
     .min = "1ms", .never = true, .flag = "--timeout", .help = "one attempt; then it is stopped"},
    {"connect", SCHEMA_DURATION, offsetof(struct raw_timeout, connect), .def = "never",
     .min = "1ms", .never = true, .help = "until the connection stands"},
    {"first_content", SCHEMA_DURATION, offsetof(struct raw_timeout, first_content), .def = "never",
     .min = "1ms", .never = true, .given_offset = offsetof(struct raw_timeout, given_first_content),
     .help = "until the first content of an answer"},
    {"idle", SCHEMA_DURATION, offsetof(struct raw_timeout, idle), .def = "never", .min = "1ms",
     .never = true, .given_offset = offsetof(struct raw_timeout, given_idle),
     .help = "between two pieces of an answer"},
};
static const struct schema_section timeout_section = {"timeout", timeout_keys, COUNT(timeout_keys),
                                                      sizeof(struct raw_timeout)};

static const struct schema_key budget_keys[] = {
    {"ratio", SCHEMA_NUMBER, offsetof(struct raw_budget, ratio), .def = "0.1", .min = "0",
     .max = "10", .help = "retries for each call"},
    {"floor", SCHEMA_RATE, offsetof(struct raw_budget, floor), .def = "10/s",
     .help = "retries always allowed besides"},
    {"ttl", SCHEMA_DURATION, offsetof(struct raw_budget, ttl), .def = "10s", .min = "1s",
     .max = "1h",
     .help = "what flows in besides is kept for so long; unused for as long, it is full again"},
    {"timeout_cost", SCHEMA_UNSIGNED, offsetof(struct raw_budget, timeout_cost), .def = "2",
     .min = "1", .max = "100", .help = "a retry after a time-out counts so many times"},
};
static const struct schema_section budget_section = {"budget", budget_keys, COUNT(budget_keys),
                                                     sizeof(struct raw_budget)};

static const struct schema_key retry_keys[] = {
    {"max_retries", SCHEMA_UNSIGNED, offsetof(struct raw_retry, max_retries), .def = "5",
     .min = "0", .max = "1000", .flag = "--max-retries --retries",
     .given_offset = offsetof(struct raw_retry, given_max_retries),
     .also = "retries attempts max_attempts", .help = "retries after the first attempt"},
    {"base_delay", SCHEMA_DURATION, offsetof(struct raw_retry, base_delay), .def = "1s",
     .min = "0s", .max = "1h", .flag = "--base-delay", .also = "initial_delay delay",
     .help = "the wait before the first retry, before jitter"},
    {"max_delay", SCHEMA_DURATION, offsetof(struct raw_retry, max_delay), .def = "60s", .min = "0s",
     .max = "24h", .flag = "--max-delay", .help = "no wait is longer"},
    {"exponential_base", SCHEMA_NUMBER, offsetof(struct raw_retry, exponential_base), .def = "2",
     .min = "1", .max = "100", .flag = "--exponential-base", .also = "multiplier factor",
     .help = "each wait is so many times the one before"},
    {"jitter", SCHEMA_ENUM, offsetof(struct raw_retry, jitter), .def = "full", .words = jitters,
     .flag = "--jitter", .help = "how the waits are spread"},
    {"max_total_wait", SCHEMA_DURATION, offsetof(struct raw_retry, max_total_wait), .def = "never",
     .never = true, .flag = "--max-total-wait",
     .help = "all waits together; never: no limit of their own"},
    {"retry_on", SCHEMA_STRINGS, offsetof(struct raw_retry, retry_on), .flag = "--retry-on",
     .help = "only these exit codes or HTTP statuses, such as 75 or 500-599; not given: all that "
             "can pass"},
    {"repeatable", SCHEMA_BOOL, offsetof(struct raw_retry, repeatable), .def = "false",
     .help = "also repeat what may have had its effect already (timed out, cut off)"},
    {"budget", SCHEMA_MAP, offsetof(struct raw_retry, budget), .section = &budget_section,
     .given_offset = offsetof(struct raw_retry, given_budget),
     .off_offset = offsetof(struct raw_retry, off_budget),
     .help = "keeps retries from multiplying an outage"},
};
static const struct schema_section retry_section = {"retry", retry_keys, COUNT(retry_keys),
                                                    sizeof(struct raw_retry)};

static const struct schema_key breaker_keys[] = {
    {"failure_mode", SCHEMA_ENUM, offsetof(struct raw_breaker, failure_mode), .def = "window",
     .words = failure_modes, .flag = "--failure-mode",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "count failures inside failure_window, in a row, or as a share of the calls"},
    {"failure_threshold", SCHEMA_UNSIGNED, offsetof(struct raw_breaker, failure_threshold),
     .def = "5", .min = "1", .max = "64", .flag = "--failure-threshold",
     .given_offset = offsetof(struct raw_breaker, given_failure_threshold),
     .help = "so many failures open it"},
    {"failure_window", SCHEMA_DURATION, offsetof(struct raw_breaker, failure_window), .def = "120s",
     .min = "1ms", .max = "24h", .flag = "--failure-window",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "how long a failure counts"},
    {"failure_rate", SCHEMA_NUMBER, offsetof(struct raw_breaker, failure_rate), .def = "0",
     .min = "0", .max = "1", .flag = "--failure-rate",
     .also = "failure_rate_threshold error_threshold",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "rate: failures that are this share of the calls open it; window: and so many as "
             "failure_threshold; 0: none"},
    {"slow_call", SCHEMA_DURATION, offsetof(struct raw_breaker, slow_call), .def = "0s",
     .min = "0s", .max = "24h", .also = "slow_call_duration_threshold",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "a success that takes longer is a failure, and a call that still runs counts already; "
             "0s: none"},
    {"slow_call_rate", SCHEMA_NUMBER, offsetof(struct raw_breaker, slow_call_rate), .def = "0",
     .min = "0", .max = "1", .also = "slow_call_rate_threshold",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "rate: slow calls are no failures, but this share of them opens it as well; 0: none"},
    {"minimum_calls", SCHEMA_UNSIGNED, offsetof(struct raw_breaker, minimum_calls), .def = "10",
     .min = "1", .max = "1000000", .flag = "--minimum-calls",
     .also = "volume_threshold minimum_number_of_calls",
     .given_offset = offsetof(struct raw_breaker, given_minimum_calls),
     .help = "rate: with fewer in the window it stays closed"},
    {"window_calls", SCHEMA_UNSIGNED, offsetof(struct raw_breaker, window_calls), .def = "0",
     .min = "0", .max = "1024", .also = "sliding_window_size",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "rate: look at the last so many calls instead of failure_window; 0: at the time"},
    {"recovery_timeout", SCHEMA_DURATION, offsetof(struct raw_breaker, recovery_timeout),
     .def = "60s", .min = "1ms", .max = "24h", .flag = "--recovery-timeout",
     .also = "timeout reset_timeout", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "open for so long before trials"},
    {"recovery_factor", SCHEMA_NUMBER, offsetof(struct raw_breaker, recovery_factor), .def = "1",
     .min = "1", .max = "100", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "so many times longer after each trial that failed; each failure_window closed takes "
             "one back"},
    {"recovery_max", SCHEMA_DURATION, offsetof(struct raw_breaker, recovery_max), .def = "10m",
     .min = "1ms", .max = "24h", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "recovery_factor goes no further"},
    {"recovery_jitter", SCHEMA_NUMBER, offsetof(struct raw_breaker, recovery_jitter), .def = "0",
     .min = "0", .max = "1", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "open up to this share longer, drawn anew each time"},
    {"success_threshold", SCHEMA_UNSIGNED, offsetof(struct raw_breaker, success_threshold),
     .def = "2", .min = "1", .max = "32", .flag = "--success-threshold",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "trials that must succeed to close it"},
    {"half_open_max_calls", SCHEMA_UNSIGNED, offsetof(struct raw_breaker, half_open_max_calls),
     .min = "1", .max = "8", .flag = "--half-open-max-calls",
     .given_offset = offsetof(struct raw_breaker, given_half_open_max_calls),
     .help = "trials at once; not given: success_threshold"},
    {"trial_decision", SCHEMA_ENUM, offsetof(struct raw_breaker, trial_decision),
     .def = "consecutive", .words = trial_decisions,
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "one failed trial opens it again, or failure_rate of success_threshold trials"},
    {"trial_lease", SCHEMA_DURATION, offsetof(struct raw_breaker, trial_lease), .def = "60s",
     .min = "1ms", .max = "24h", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "a trial that hangs longer loses its place"},
    {"close_ramp", SCHEMA_DURATION, offsetof(struct raw_breaker, close_ramp), .def = "10s",
     .min = "0s", .max = "24h", .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "calls are let through at a growing pace after closing"},
    {"close_rate", SCHEMA_RATE, offsetof(struct raw_breaker, close_rate),
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "the pace during close_ramp, instead of a growing one; not given: growing"},
    {"counts", SCHEMA_ENUM, offsetof(struct raw_breaker, counts), .def = "operation",
     .words = counted, .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "what is one failure: an operation with its retries, or an attempt"},
    {"shadow", SCHEMA_BOOL, offsetof(struct raw_breaker, shadow), .def = "false",
     .given_offset = offsetof(struct raw_breaker, given_setting),
     .help = "count, change and tell, but refuse nothing"},
    {"when_open", SCHEMA_ENUM, offsetof(struct raw_breaker, when_open), .def = "reject",
     .words = waits, .flag = "--when-open", .help = "wait up to the deadline, or refuse at once"},
};
static const struct schema_section breaker_section = {"breaker", breaker_keys, COUNT(breaker_keys),
                                                      sizeof(struct raw_breaker)};

static const struct schema_key rate_keys[] = {
    {"requests", SCHEMA_RATE, offsetof(struct raw_rate, requests), .flag = "--rate",
     .given_offset = offsetof(struct raw_rate, given_requests),
     .help = "so many attempts in each s, m, h or d"},
    {"tokens", SCHEMA_RATE, offsetof(struct raw_rate, tokens),
     .given_offset = offsetof(struct raw_rate, given_tokens),
     .help =
         "so many tokens of a model in each s, m, h or d: estimated before a call of the gateway, "
         "settled by what the provider counted"},
    {"burst", SCHEMA_NUMBER, offsetof(struct raw_rate, burst), .min = "1", .flag = "--burst",
     .given_offset = offsetof(struct raw_rate, given_burst), .also = "capacity",
     .help = "attempts at once; not given: those of one second, at least 1"},
    {"when_limited", SCHEMA_ENUM, offsetof(struct raw_rate, when_limited), .def = "wait",
     .words = waits, .flag = "--when-limited",
     .help = "wait up to the deadline, or refuse at once"},
    {"priority", SCHEMA_ENUM, offsetof(struct raw_rate, priority), .def = "high",
     .words = priorities, .flag = "--priority", .help = "low uses only half of the burst"},
    {"low_floor", SCHEMA_RATE, offsetof(struct raw_rate, low_floor),
     .given_offset = offsetof(struct raw_rate, given_low_floor),
     .help = "so many attempts low gets even while high takes all it can; not given: none"},
    {"limit", SCHEMA_RATE, offsetof(struct raw_rate, limit),
     .given_offset = offsetof(struct raw_rate, given_limit),
     .help = "what the far side says that it takes: alone, requests are 80 % of it and burst the "
             "rest, so that no window holds more; beside them, what would exceed it is warned of"},
};
static const struct schema_section rate_section = {"rate", rate_keys, COUNT(rate_keys),
                                                   sizeof(struct raw_rate)};

static const struct schema_key bulkhead_keys[] = {
    {"max_concurrent", SCHEMA_UNSIGNED, offsetof(struct raw_bulkhead, max_concurrent), .def = "16",
     .min = "1", .max = "1000000", .flag = "--max-concurrent",
     .given_offset = offsetof(struct raw_bulkhead, given_max_concurrent),
     .help = "attempts at once"},
    {"max_queue", SCHEMA_UNSIGNED, offsetof(struct raw_bulkhead, max_queue), .def = "64",
     .min = "0", .max = "1000000", .help = "waiting beyond that; 0: refused at once"},
    {"adaptive", SCHEMA_BOOL, offsetof(struct raw_bulkhead, adaptive), .def = "false",
     .help = "fewer at once while attempts are throttled or time out, more again when they do not"},
    {"min_concurrent", SCHEMA_UNSIGNED, offsetof(struct raw_bulkhead, min_concurrent), .def = "1",
     .min = "1", .max = "1000000", .help = "adaptive goes no lower"},
};
static const struct schema_section bulkhead_section = {
    "bulkhead", bulkhead_keys, COUNT(bulkhead_keys), sizeof(struct raw_bulkhead)};

static const struct schema_key guard_keys[] = {
    {"name", SCHEMA_NAME, offsetof(struct raw, name), .help = "what it stands under"},
    {"preset", SCHEMA_ENUM, offsetof(struct raw, preset), .words = preset_names, .flag = "--preset",
     .help = "settings that go together; keys given besides win"},
    {"deadline", SCHEMA_DURATION, offsetof(struct raw, deadline), .def = "never", .min = "1ms",
     .never = true, .flag = "--deadline",
     .help = "the whole operation, waits and retries included"},
    {"timeout", SCHEMA_MAP, offsetof(struct raw, timeout), .section = &timeout_section,
     .shorthand = "attempt", .help = "limits of one attempt; `timeout: 30s` is {attempt: 30s}"},
    {"retry", SCHEMA_MAP, offsetof(struct raw, retry), .section = &retry_section,
     .shorthand = "max_retries", .given_offset = offsetof(struct raw, given_retry),
     .off_offset = offsetof(struct raw, off_retry),
     .help = "what can pass is tried again; `retry: 3` is {max_retries: 3}"},
    {"breaker", SCHEMA_MAP, offsetof(struct raw, breaker), .section = &breaker_section,
     .given_offset = offsetof(struct raw, given_breaker),
     .off_offset = offsetof(struct raw, off_breaker), .also = "circuit_breaker",
     .help = "after enough failures calls are refused at once for a while"},
    {"rate", SCHEMA_MAP, offsetof(struct raw, rate), .section = &rate_section,
     .shorthand = "requests", .given_offset = offsetof(struct raw, given_rate),
     .off_offset = offsetof(struct raw, off_rate), .also = "rate_limit",
     .help = "attempts over time; `rate: 10/s` is {requests: 10/s}"},
    {"bulkhead", SCHEMA_MAP, offsetof(struct raw, bulkhead), .section = &bulkhead_section,
     .shorthand = "max_concurrent", .given_offset = offsetof(struct raw, given_bulkhead),
     .off_offset = offsetof(struct raw, off_bulkhead), .also = "concurrency",
     .help = "attempts at once; `bulkhead: 16` is {max_concurrent: 16}"},
};
const struct schema_section guard_section = {"a guard", guard_keys, COUNT(guard_keys),
                                             sizeof(struct raw)};

/* --- presets ---------------------------------------------------------------------------------- */

struct row {
    const char *path, *text;
};
struct rows {
    const struct row *rows;
    size_t count;
};

static const struct row standard[] = {
    {"retry.base_delay", "1s"},         {"retry.max_delay", "60s"},
    {"retry.max_retries", "3"},         {"retry.jitter", "full"},
    {"retry.max_total_wait", "120s"},   {"breaker.failure_threshold", "5"},
    {"breaker.success_threshold", "2"}, {"breaker.recovery_timeout", "60s"},
};
static const struct row user_facing[] = {
    {"retry.base_delay", "500ms"}, {"retry.max_delay", "5s"},       {"retry.max_retries", "2"},
    {"retry.jitter", "equal"},     {"retry.max_total_wait", "10s"},
};
static const struct row background[] = {
    {"retry.base_delay", "2s"}, {"retry.max_delay", "120s"},     {"retry.max_retries", "5"},
    {"retry.jitter", "full"},   {"retry.exponential_base", "3"},
};
static const struct row high_traffic[] = {
    {"breaker.failure_threshold", "10"},
    {"breaker.recovery_timeout", "30s"},
};
static const struct row critical[] = {
    {"breaker.failure_threshold", "3"},
    {"breaker.recovery_timeout", "120s"},
};
static const struct rows presets[] = {
    /* in the order of preset_names */
    {standard, COUNT(standard)},     {user_facing, COUNT(user_facing)},
    {background, COUNT(background)}, {high_traffic, COUNT(high_traffic)},
    {critical, COUNT(critical)},
};

/* Streams have no limit on an attempt: pings and thinking count as life. */
static const struct row llm[] = {
    {"deadline", "280s"},
    {"timeout.connect", "5s"},
    {"timeout.first_content", "120s"},
    {"timeout.idle", "120s"},
    {"retry.max_retries", "20"},
    {"retry.max_delay", "30s"},
    {"retry.max_total_wait", "280s"},
    {"breaker.recovery_timeout", "30s"},
    {"breaker.when_open", "wait"},
};

/* Tools behind the gateway: a request takes 120s at most, and who is silent is given up earlier. */
static const struct row http[] = {
    {"deadline", "120s"},
    {"timeout.connect", "5s"},
    {"timeout.first_content", "30s"},
    {"timeout.idle", "60s"},
};

static hardy_status set_rows(const struct rows *rows, bool given, struct raw *raw,
                             hardy_error *error) {
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < rows->count && status == HARDY_OK; i++) {
        status = schema_set(&guard_section, rows->rows[i].path, rows->rows[i].text, "preset", given,
                            raw, error);
    }
    return status;
}

static bool preset_sets(int preset, const char *prefix) {
    for (size_t i = 0; i < presets[preset].count; i++) {
        if (str_starts(presets[preset].rows[i].path, prefix)) {
            return true;
        }
    }
    return false;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Everything in its order; `preset` < 0: without one. */
static hardy_status read_raw(const struct guard_source *source, int preset, struct raw *raw,
                             hardy_error *error) {
    static const struct rows llm_rows = {llm, COUNT(llm)}, http_rows = {http, COUNT(http)};
    hardy_status status = schema_defaults(&guard_section, raw);
    if (status != HARDY_OK) {
        return fail(error, status, NULL, "out of memory");
    }
    if (source->base == GUARD_LLM) {
        status = set_rows(&llm_rows, false, raw, error);
    } else if (source->base == GUARD_HTTP) {
        status = set_rows(&http_rows, false, raw, error);
    }
    if (status == HARDY_OK && preset >= 0) {
        status = set_rows(&presets[preset], true, raw, error);
    }
    if (status == HARDY_OK) {
        status = schema_apply(&guard_section, source->node, true, raw, error);
    }
    for (size_t i = 0; i < source->flag_count && status == HARDY_OK; i++) {
        const struct guard_flag *flag = &source->flags[i];
        status = schema_set_flag(&guard_section, flag->name, flag->value ? flag->value : "true",
                                 raw, error);
    }
    return status;
}

/* The value in the map that `path` leads to, as deep as it is there. */
static const struct yaml_node *find_node(const struct guard_source *source, const char *path) {
    const struct yaml_node *node = source->node;
    char key[64];
    for (size_t len; node && *path; path += len + (path[len] == '.')) {
        len = strcspn(path, ".");
        str_copy(key, len + 1 < sizeof key ? len + 1 : sizeof key, path);
        const struct yaml_node *inner = yaml_get(node, key);
        if (!inner) {
            return node == source->node ? NULL : node;
        }
        node = inner;
    }
    return node;
}

static bool has_flag(const struct guard_source *source, const char *flag) {
    for (size_t i = 0; i < source->flag_count; i++) {
        if (str_eq(source->flags[i].name, flag)) {
            return true;
        }
    }
    return false;
}

/* Says what is wrong with the values together, at `flag` when it was given, else in the map. */
static hardy_status refuse(const struct guard_source *source, const char *flag, const char *path,
                           hardy_error *error, const char *format, ...) HARDY_PRINTF(5, 6);
static hardy_status refuse(const struct guard_source *source, const char *flag, const char *path,
                           hardy_error *error, const char *format, ...) {
    struct buf text;
    buf_init(&text, sizeof error->message);
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    const struct yaml_node *node = has_flag(source, flag) ? NULL : find_node(source, path);
    hardy_status status =
        node ? yaml_fail(node, error, "%s", text.data ? text.data : "")
             : fail(error, HARDY_E_INVALID, flag, "%s", text.data ? text.data : "");
    buf_free(&text);
    return status;
}

/* --- from what was read to libhardy's structures ---------------------------------------------- */

static bool read_code(const char *text, size_t len, int64_t least, int64_t *out) {
    char code[8];
    if (len >= sizeof code) {
        return false;
    }
    memcpy(code, text, len);
    code[len] = '\0';
    return parse_integer(code, least, 999, out, NULL) == HARDY_OK;
}

/* "75" or "500-599" */
static bool read_codes(const char *text, struct guard_codes *out) {
    text += strspn(text, " ");
    size_t len = strcspn(text, "-");
    int64_t from, to;
    if (!read_code(text, len, 0, &from)) {
        return false;
    }
    to = from;
    if (text[len] == '-' && !read_code(text + len + 1, strlen(text + len + 1), from, &to)) {
        return false;
    }
    *out = (struct guard_codes){.from = (int)from, .to = (int)to};
    return true;
}

static hardy_status take_codes(const struct guard_source *source,
                               const struct schema_strings *texts, struct guard_settings *out,
                               hardy_error *error) {
    if (!texts->items) {
        return HARDY_OK;
    }
    out->retry_on = calloc(texts->count + 1, sizeof *out->retry_on);
    if (!out->retry_on) {
        return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    for (; out->retry_on_count < texts->count; out->retry_on_count++) {
        const char *text = texts->items[out->retry_on_count];
        if (!read_codes(text, &out->retry_on[out->retry_on_count])) {
            return refuse(source, "--retry-on", "retry.retry_on", error,
                          "expected codes from 0 to 999 or ranges of them such as 500-599, not "
                          "\"%s\"",
                          text);
        }
    }
    return HARDY_OK;
}

bool guard_retries_code(const struct guard_settings *s, int code) {
    for (size_t i = 0; i < s->retry_on_count; i++) {
        if (code >= s->retry_on[i].from && code <= s->retry_on[i].to) {
            return true;
        }
    }
    return s->retry_on == NULL;
}

bool guard_retries_status(const struct guard_settings *s, int status) {
    bool names_statuses = false;
    for (size_t i = 0; i < s->retry_on_count; i++) {
        names_statuses = names_statuses || s->retry_on[i].to >= 400;
    }
    return status < 400 || !names_statuses || guard_retries_code(s, status);
}

static hardy_status take_retry(const struct guard_source *source, const struct raw *raw,
                               struct guard_settings *out, hardy_error *error) {
    static const char *const flags[] = {"--base-delay", "--max-delay",      "--exponential-base",
                                        "--jitter",     "--max-total-wait", "--retry-on"};
    const struct raw_retry *r = &raw->retry;
    out->given_retry = raw->given_retry;
    out->given_budget = r->given_budget;
    for (size_t i = 0; i < COUNT(flags) && source->base == GUARD_EMPTY; i++) {
        if (has_flag(source, flags[i]) && !r->given_max_retries && !find_node(source, "retry")) {
            return fail(error, HARDY_E_INVALID, flags[i],
                        "says how to retry, but nothing is retried: give --retries or a --preset "
                        "with retries too");
        }
    }
    if (raw->off_retry || (source->base == GUARD_EMPTY && !raw->given_retry)) {
        return HARDY_OK;
    }
    if (r->base_delay > r->max_delay) {
        char base[48], max[48];
        format_duration(r->base_delay, base);
        format_duration(r->max_delay, max);
        bool at_max = has_flag(source, "--max-delay") ||
                      (!has_flag(source, "--base-delay") &&
                       yaml_get(yaml_get(source->node, "retry"), "max_delay"));
        return refuse(source, at_max ? "--max-delay" : "--base-delay",
                      at_max ? "retry.max_delay" : "retry.base_delay", error,
                      "base_delay %s is longer than max_delay %s; no wait is longer than "
                      "max_delay",
                      base, max);
    }
    hardy_retry_config_init(&out->retry, sizeof out->retry);
    out->retry.max_retries = r->max_retries;
    out->retry.base_delay = r->base_delay;
    out->retry.max_delay = r->max_delay;
    out->retry.exponential_base = r->exponential_base;
    out->retry.jitter = (hardy_jitter)r->jitter;
    out->retry.max_total_wait = r->max_total_wait;
    out->retry.repeatable = r->repeatable;
    out->config.retry = &out->retry;
    if (!r->off_budget) {
        hardy_budget_config_init(&out->budget, sizeof out->budget);
        out->budget.ratio = r->budget.ratio;
        out->budget.floor =
            r->budget.floor.events * (double)HARDY_SECOND / (double)r->budget.floor.period;
        out->budget.ttl = r->budget.ttl;
        out->budget.timeout_cost = r->budget.timeout_cost;
        hardy_error problem;
        hardy_error_init(&problem, sizeof problem);
        if (budget_check(&out->budget, &problem) != HARDY_OK) {
            return refuse(source, "--max-retries", "retry.budget.floor", error, "%s",
                          problem.message);
        }
        out->config.budget = &out->budget;
    }
    return take_codes(source, &r->retry_on, out, error);
}

static double per_second(const struct rate *r) {
    return r->period > 0 ? r->events * (double)HARDY_SECOND / (double)r->period : 0;
}

/* Keys that would do nothing in this failure_mode, and values that do not go together. */
static hardy_status check_breaker(const struct guard_source *source, const struct raw_breaker *b,
                                  const struct guard_settings *out, hardy_error *error) {
    const char *mode = failure_modes[b->failure_mode];
    if (b->failure_mode == HARDY_FAILURE_RATE && b->given_failure_threshold) {
        return refuse(source, "--failure-threshold", "breaker.failure_threshold", error,
                      "failure_threshold does nothing with failure_mode rate: minimum_calls says "
                      "how many calls there have to be");
    }
    if (b->failure_mode != HARDY_FAILURE_RATE && b->given_minimum_calls) {
        return refuse(source, "--minimum-calls", "breaker.minimum_calls", error,
                      "minimum_calls needs failure_mode rate, and it is %s", mode);
    }
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    hardy_status status = breaker_check(&out->breaker, &problem);
    if (status == HARDY_OK) {
        return HARDY_OK;
    }
    /* The message begins with the key. */
    struct buf path, flag;
    buf_init(&path, sizeof problem.message);
    buf_init(&flag, sizeof problem.message);
    int len = (int)strcspn(problem.message, " ");
    buf_printf(&path, "breaker.%.*s", len, problem.message);
    buf_printf(&flag, "--%.*s", len, problem.message);
    for (char *c = flag.data; c && *c; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    status =
        refuse(source, flag.data, path.data ? path.data : "breaker", error, "%s", problem.message);
    buf_free(&path);
    buf_free(&flag);
    return status;
}

static hardy_status take_breaker(const struct guard_source *source, const struct raw *raw,
                                 struct guard_settings *out, hardy_error *error) {
    const struct raw_breaker *b = &raw->breaker;
    out->given_breaker = b->given_setting || b->given_half_open_max_calls ||
                         b->given_failure_threshold || b->given_minimum_calls;
    if (raw->off_breaker) {
        return HARDY_OK;
    }
    if (!source->name) {
        static const char *const flags[] = {
            "--failure-mode",     "--failure-threshold", "--failure-window",
            "--recovery-timeout", "--success-threshold", "--half-open-max-calls",
            "--failure-rate",     "--minimum-calls",     "--when-open"};
        bool only_breaker = raw->preset >= 0 && !preset_sets(raw->preset, "retry.");
        const char *flag = only_breaker ? "--preset" : NULL;
        for (size_t i = 0; i < COUNT(flags); i++) {
            flag = has_flag(source, flags[i]) ? flags[i] : flag;
        }
        const struct yaml_node *node = find_node(source, "breaker");
        if (flag || node) {
            return refuse(source, flag ? flag : "breaker", only_breaker ? "preset" : "breaker",
                          error,
                          "sets a breaker, which needs a name: without one nothing is shared, and "
                          "there is no breaker");
        }
        return HARDY_OK;
    }
    hardy_breaker_config_init(&out->breaker, sizeof out->breaker);
    out->breaker.failure_mode = (hardy_failure_mode)b->failure_mode;
    out->breaker.failure_threshold = b->failure_threshold;
    out->breaker.failure_window = b->failure_window;
    out->breaker.recovery_timeout = b->recovery_timeout;
    out->breaker.success_threshold = b->success_threshold;
    out->breaker.half_open_max_calls = b->given_half_open_max_calls ? b->half_open_max_calls
                                       : b->success_threshold < 8   ? b->success_threshold
                                                                    : 8;
    out->breaker.trial_lease = b->trial_lease;
    out->breaker.close_ramp = b->close_ramp;
    out->breaker.counts_attempts = b->counts == 1;
    out->breaker.shadow = b->shadow;
    out->breaker.failure_rate = b->failure_rate;
    out->breaker.slow_call_rate = b->slow_call_rate;
    out->breaker.minimum_calls = b->minimum_calls;
    out->breaker.window_calls = b->window_calls;
    out->breaker.slow_call = b->slow_call;
    out->breaker.trial_decision = (hardy_trial_decision)b->trial_decision;
    out->breaker.recovery_factor = b->recovery_factor;
    out->breaker.recovery_max = b->recovery_max;
    out->breaker.recovery_jitter = b->recovery_jitter;
    out->breaker.close_rate = per_second(&b->close_rate);
    out->config.breaker = &out->breaker;
    out->config.wait_when_open = b->when_open == 0;
    return check_breaker(source, b, out, error);
}

static hardy_status take_rate(const struct guard_source *source, const struct raw *raw,
                              struct guard_settings *out, hardy_error *error) {
    const struct raw_rate *r = &raw->rate;
    hardy_rate_config_init(&out->rate, sizeof out->rate);
    out->rate.reject = r->when_limited == 1;
    out->rate.low_priority = r->priority == 1;
    out->given_rate = r->given_requests || r->given_burst || r->given_limit || r->given_low_floor;
    if (raw->off_rate || !raw->given_rate) {
        return HARDY_OK;
    }
    if (r->given_tokens) {
        hardy_rate_config_init(&out->tokens, sizeof out->tokens);
        out->tokens.events = r->tokens.events;
        out->tokens.period = r->tokens.period;
        out->tokens.burst = fmax(per_second(&r->tokens), 1);
        out->tokens.reject = out->rate.reject;
        out->given_tokens = true;
    }
    if (!r->given_requests && !(r->given_limit && !r->given_burst)) {
        /* Waiting and priority are each call's own: a rate that is stored under the name has them.
         */
        if (!r->given_burst && !r->given_low_floor &&
            (r->given_tokens || !find_node(source, "rate"))) {
            return HARDY_OK;
        }
        return refuse(source, "--burst", "rate", error,
                      "says nothing of how many: `requests` (--rate) is missing, such as 10/s");
    }
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    hardy_status status = HARDY_OK;
    if (r->given_limit) {
        out->rate.limit = r->limit.events;
        out->rate.limit_window = r->limit.period;
        status = hardy_rate_config_below(&out->rate, r->limit.events, r->limit.period,
                                         MARGIN_OF_LIMIT, &problem);
    }
    if (r->given_requests) {
        out->rate.events = r->requests.events;
        out->rate.period = r->requests.period;
        out->rate.burst = r->given_burst ? r->burst : fmax(per_second(&r->requests), 1);
    }
    out->rate.low_floor =
        per_second(&r->low_floor) * (double)out->rate.period / (double)HARDY_SECOND;
    status = status == HARDY_OK ? rate_check(&out->rate, &problem) : status;
    if (status != HARDY_OK) {
        return refuse(source, r->given_burst ? "--burst" : "--rate",
                      r->given_burst ? "rate.burst" : "rate", error, "%s", problem.message);
    }
    out->config.rate = &out->rate;
    return HARDY_OK;
}

static hardy_status take_bulkhead(const struct guard_source *source, const struct raw *raw,
                                  struct guard_settings *out, hardy_error *error) {
    out->given_slots = raw->bulkhead.given_max_concurrent;
    if (raw->off_bulkhead || (source->base != GUARD_LLM && !raw->given_bulkhead)) {
        return HARDY_OK;
    }
    hardy_bulkhead_config_init(&out->bulkhead, sizeof out->bulkhead);
    out->bulkhead.max_concurrent = raw->bulkhead.max_concurrent;
    out->bulkhead.max_queue = raw->bulkhead.max_queue;
    out->bulkhead.adaptive = raw->bulkhead.adaptive;
    out->bulkhead.min_concurrent = raw->bulkhead.min_concurrent;
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    if (bulkhead_check(&out->bulkhead, &problem) != HARDY_OK) {
        return refuse(source, "--max-concurrent", "bulkhead.min_concurrent", error, "%s",
                      problem.message);
    }
    out->config.bulkhead = &out->bulkhead;
    return HARDY_OK;
}

/* A default that the user's own limit of an attempt never lets come true is none. */
static int64_t within(const struct raw_timeout *t, int64_t span, bool given) {
    return given || span < t->attempt ? span : HARDY_NEVER;
}

static hardy_status take_all(const struct guard_source *source, const struct raw *raw,
                             struct guard_settings *out, hardy_error *error) {
    hardy_guard_config_init(&out->config, sizeof out->config);
    out->config.budget = NULL;
    if (source->name) {
        out->name = str_dup(source->name);
        if (!out->name) {
            return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
        }
    }
    out->config.name = out->name ? out->name : "unnamed";
    out->config.deadline = raw->deadline;
    out->config.timeout = raw->timeout.attempt;
    out->config.timeout_first_content =
        within(&raw->timeout, raw->timeout.first_content, raw->timeout.given_first_content);
    out->config.timeout_idle = within(&raw->timeout, raw->timeout.idle, raw->timeout.given_idle);
    out->timeout_connect = raw->timeout.connect;
    hardy_status status = take_retry(source, raw, out, error);
    if (status == HARDY_OK) {
        status = take_breaker(source, raw, out, error);
    }
    if (status == HARDY_OK) {
        status = take_rate(source, raw, out, error);
    }
    if (status == HARDY_OK) {
        status = take_bulkhead(source, raw, out, error);
    }
    return status;
}

hardy_status guard_settings_read(const struct guard_source *source, struct guard_settings *out,
                                 hardy_error *error) {
    memset(out, 0, sizeof *out);
    if (source->name && !str_valid_name(source->name)) {
        return fail(error, HARDY_E_INVALID, "--name",
                    "\"%s\" cannot be a guard's name: letters, digits, \".\", \"_\", \"-\", at "
                    "most 63, first a letter or digit",
                    source->name);
    }
    struct raw raw;
    hardy_status status = read_raw(source, -1, &raw, error);
    if (status == HARDY_OK && raw.preset >= 0) {
        int preset = raw.preset;
        schema_free(&guard_section, &raw);
        status = read_raw(source, preset, &raw, error);
    }
    if (status == HARDY_OK) {
        status = take_all(source, &raw, out, error);
    }
    schema_free(&guard_section, &raw);
    if (status != HARDY_OK) {
        guard_settings_free(out);
    }
    return status;
}

void guard_settings_free(struct guard_settings *s) {
    free(s->name);
    free(s->retry_on);
    memset(s, 0, sizeof *s);
}

hardy_status guard_settings_find(const struct config *config, const char *name,
                                 enum guard_base base, struct guard_settings *out,
                                 hardy_error *error) {
    const struct yaml_node *guards = config_section(config, "guards");
    const struct yaml_node *node = yaml_get(guards, name);
    memset(out, 0, sizeof *out);
    if (!node) {
        const char *names[256];
        size_t count = 0;
        for (; guards && guards->kind == YAML_MAP && count < guards->count && count < COUNT(names);
             count++) {
            names[count] = guards->keys[count]->text;
        }
        const char *near = str_nearest(name, names, count), *path = config ? config->path : NULL;
        if (near) {
            return fail(error, HARDY_E_NOT_FOUND, path,
                        "no guard is called \"%s\"; did you mean \"%s\"?", name, near);
        }
        struct buf list;
        buf_init(&list, sizeof error->message);
        for (size_t i = 0; i < count; i++) {
            buf_printf(&list, "%s%s", i > 0 ? ", " : "; there are ", names[i]);
        }
        fail(error, HARDY_E_NOT_FOUND, path, "no guard is called \"%s\"%s", name,
             list.data ? list.data : "");
        buf_free(&list);
        return HARDY_E_NOT_FOUND;
    }
    struct guard_source source = {.base = base, .name = name, .node = node};
    return guard_settings_read(&source, out, error);
}
