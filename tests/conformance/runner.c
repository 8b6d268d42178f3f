/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs conformance scenarios (README.md tells their format) over the guarded operation:
 *
 *     runner FILE...        each must hold
 *     runner --bugs DIR     each with its mistake built in, which it must notice
 *
 * The mistakes sit between the operation and the breaker: the linker sends those calls through here
 * (--wrap).
 */
#include "base/parse.h"
#include "base/str.h"
#include "guard/guard.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the mistakes ---------------------------------------------------------------------------- */

enum bug {
    BUG_NONE,
    BUG_STALE,         /* an old result counts for the half-open breaker */
    BUG_NO_LEASE,      /* a trial keeps its place for ever */
    BUG_ALL_TRIALS,    /* half open, everybody is let through */
    BUG_NO_PACE,       /* closed again, everybody is let through */
    BUG_NO_WINDOW,     /* failures are never too old */
    BUG_NO_SHARE,      /* a few failures are enough, whatever share they are */
    BUG_BLIND_TO_HANG, /* a call that has not ended does not exist */
    BUG_SAME_PAUSE,    /* each time it is open equally long */
    BUG_ONE_TRIAL,     /* one failed trial decides, where a share should */
    BUG_SHADOW_BITES,  /* in shadow calls are refused */
    BUG_DEAF_TO_CANCEL /* a cancel is not heard before the wait is over */
};
static enum bug bug;

bool __real_breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                         int64_t *retry_at);
bool __wrap_breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                         int64_t *retry_at);
bool __real_breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                            int64_t lease, hardy_permit *permit, int64_t *retry_at,
                            struct breaker_change *change);
bool __wrap_breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                            int64_t lease, hardy_permit *permit, int64_t *retry_at,
                            struct breaker_change *change);
void __real_breaker_record(struct breaker_words *w, const hardy_breaker_config *c,
                           hardy_permit *permit, hardy_outcome_class outcome, int64_t now,
                           struct breaker_change *change);
void __wrap_breaker_record(struct breaker_words *w, const hardy_breaker_config *c,
                           hardy_permit *permit, hardy_outcome_class outcome, int64_t now,
                           struct breaker_change *change);
void __real_hardy_op_cancel(hardy_op *op);
void __wrap_hardy_op_cancel(hardy_op *op);

static bool half_open(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now) {
    hardy_breaker_stats s = {.size = sizeof s};
    breaker_stats(w, c, now, &s);
    return s.state == HARDY_HALF_OPEN;
}

static hardy_breaker_config mistaken(const hardy_breaker_config *c) {
    hardy_breaker_config copy = *c;
    if (bug == BUG_NO_PACE) {
        copy.close_ramp = 0;
    } else if (bug == BUG_NO_WINDOW) {
        copy.failure_window = HARDY_DAY;
    } else if (bug == BUG_NO_SHARE) {
        copy.minimum_calls = 3;
        copy.failure_rate = 0.001;
    } else if (bug == BUG_BLIND_TO_HANG) {
        copy.slow_call = 0;
    } else if (bug == BUG_SAME_PAUSE) {
        copy.recovery_factor = 1;
    } else if (bug == BUG_ONE_TRIAL) {
        copy.trial_decision = HARDY_TRIALS_CONSECUTIVE;
    } else if (bug == BUG_SHADOW_BITES) {
        copy.shadow = false;
    }
    return copy;
}

bool __wrap_breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                         int64_t *retry_at) {
    hardy_breaker_config copy = mistaken(c);
    return __real_breaker_peek(w, &copy, now, retry_at) ||
           (bug == BUG_ALL_TRIALS && half_open(w, c, now));
}

bool __wrap_breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                            int64_t lease, hardy_permit *permit, int64_t *retry_at,
                            struct breaker_change *change) {
    hardy_breaker_config copy = mistaken(c);
    return __real_breaker_acquire(w, &copy, now, bug == BUG_NO_LEASE ? HARDY_DAY : lease, permit,
                                  retry_at, change) ||
           (bug == BUG_ALL_TRIALS && half_open(w, c, now));
}

void __wrap_breaker_record(struct breaker_words *w, const hardy_breaker_config *c,
                           hardy_permit *permit, hardy_outcome_class outcome, int64_t now,
                           struct breaker_change *change) {
    hardy_breaker_config copy = mistaken(c);
    hardy_permit trial;
    int64_t retry_at;
    if (bug == BUG_STALE && permit->kind == 1 && half_open(w, c, now) &&
        __real_breaker_acquire(w, c, now, 0, &trial, &retry_at, change)) {
        *permit = trial;
    }
    __real_breaker_record(w, &copy, permit, outcome, now, change);
}

void __wrap_hardy_op_cancel(hardy_op *op) {
    if (bug != BUG_DEAF_TO_CANCEL) {
        __real_hardy_op_cancel(op);
    }
}

/* --- a scenario that runs --------------------------------------------------------------------- */

#define OPS 1024
#define TEXT 512
#define WORDS 32

struct running {
    char name[64];
    hardy_op op;
    uint32_t attempt;
    bool done;
    bool called, refused; /* by its first steps */
};
struct scenario {
    const char *file;
    int line;
    int64_t now;
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
    hardy_guard *guard;
    struct running *ops;
    size_t op_count;
    uint64_t called, refused, waiting; /* of the last `calls` or `crowd` */
    char did[TEXT];                    /* what the last operation did */
    char failed[2 * TEXT];             /* why the scenario does not hold; "" = it does */
};

static void failed(struct scenario *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void failed(struct scenario *s, const char *format, ...) {
    if (s->failed[0] != '\0') {
        return;
    }
    int used = snprintf(s->failed, sizeof s->failed, "%s:%d: ", s->file, s->line);
    va_list args;
    va_start(args, format);
    vsnprintf(s->failed + used, sizeof s->failed - (size_t)used, format, args);
    va_end(args);
}

static int64_t duration(struct scenario *s, const char *text) {
    int64_t value = 0;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (parse_duration(text, &value, &error) != HARDY_OK) {
        failed(s, "%s", error.message);
    }
    return value;
}

static int64_t number(struct scenario *s, const char *text) {
    int64_t value = 0;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (parse_integer(text, 0, INT32_MAX, &value, &error) != HARDY_OK) {
        failed(s, "%s", error.message);
    }
    return value;
}

static double decimal(struct scenario *s, const char *text) {
    double value = 0;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (parse_number(text, 0, INT32_MAX, &value, &error) != HARDY_OK) {
        failed(s, "%s", error.message);
    }
    return value;
}

/* The value when `word` is "KEY=VALUE", else NULL. */
static const char *value_of(const char *word, const char *key) {
    size_t length = strlen(key);
    return strncmp(word, key, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

/* The place of `word` in a list that ends with NULL. */
static int place(struct scenario *s, const char *word, const char *const *list) {
    for (int i = 0; list[i] != NULL; i++) {
        if (str_eq(word, list[i])) {
            return i;
        }
    }
    failed(s, "%s is not known here", word);
    return 0;
}

static const char *const jitters[] = {"none",         "full",         "equal",
                                      "decorrelated", "proportional", NULL};
static const char *const modes[] = {"window", "consecutive", "rate", NULL};
static const char *const decisions[] = {"consecutive", "ratio", NULL};
static const char *const truths[] = {"false", "true", NULL};
static const char *const outcomes[] = {"success", "failure", "slow", "ignored", "throttled", NULL};
static const char *const effects[] = {"none", "unknown", "done", NULL};
static const char *const reasons[] = {"none",       "backoff",        "running",   "rate",
                                      "slots",      "breaker",        "budget",    "retries",
                                      "total_wait", "retry_after",    "deadline",  "timeout",
                                      "permanent",  "not_repeatable", "cancelled", NULL};

static void set(struct scenario *s, const char *word) {
    const char *v;
    if (str_starts(word, "retry.")) {
        s->config.retry = &s->retry;
    } else if (str_starts(word, "breaker.")) {
        s->config.breaker = &s->breaker;
    } else if (str_starts(word, "rate.")) {
        s->config.rate = &s->rate;
    } else if (str_starts(word, "bulkhead.")) {
        s->config.bulkhead = &s->bulkhead;
    }
    const struct {
        const char *key;
        int64_t *at;
    } spans[] = {{"deadline", &s->config.deadline},
                 {"timeout", &s->config.timeout},
                 {"retry.base_delay", &s->retry.base_delay},
                 {"retry.max_delay", &s->retry.max_delay},
                 {"retry.max_total_wait", &s->retry.max_total_wait},
                 {"breaker.failure_window", &s->breaker.failure_window},
                 {"breaker.recovery_timeout", &s->breaker.recovery_timeout},
                 {"breaker.trial_lease", &s->breaker.trial_lease},
                 {"breaker.close_ramp", &s->breaker.close_ramp},
                 {"breaker.slow_call", &s->breaker.slow_call},
                 {"breaker.recovery_max", &s->breaker.recovery_max},
                 {"rate.period", &s->rate.period}};
    const struct {
        const char *key;
        uint32_t *at;
    } counts[] = {{"retry.max_retries", &s->retry.max_retries},
                  {"breaker.failure_threshold", &s->breaker.failure_threshold},
                  {"breaker.success_threshold", &s->breaker.success_threshold},
                  {"breaker.half_open_max_calls", &s->breaker.half_open_max_calls},
                  {"breaker.minimum_calls", &s->breaker.minimum_calls},
                  {"breaker.window_calls", &s->breaker.window_calls},
                  {"bulkhead.max_concurrent", &s->bulkhead.max_concurrent},
                  {"bulkhead.max_queue", &s->bulkhead.max_queue}};
    const struct {
        const char *key;
        double *at;
    } numbers[] = {{"retry.exponential_base", &s->retry.exponential_base},
                   {"breaker.failure_rate", &s->breaker.failure_rate},
                   {"breaker.slow_call_rate", &s->breaker.slow_call_rate},
                   {"breaker.recovery_factor", &s->breaker.recovery_factor},
                   {"breaker.close_rate", &s->breaker.close_rate},
                   {"rate.events", &s->rate.events},
                   {"rate.burst", &s->rate.burst}};
    const struct {
        const char *key;
        bool *at;
    } flags[] = {{"wait_when_open", &s->config.wait_when_open},
                 {"retry.repeatable", &s->retry.repeatable},
                 {"breaker.counts_attempts", &s->breaker.counts_attempts},
                 {"breaker.shadow", &s->breaker.shadow},
                 {"rate.reject", &s->rate.reject}};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        if ((v = value_of(word, spans[i].key)) != NULL) {
            *spans[i].at = duration(s, v);
            return;
        }
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if ((v = value_of(word, counts[i].key)) != NULL) {
            *counts[i].at = (uint32_t)number(s, v);
            return;
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if ((v = value_of(word, numbers[i].key)) != NULL) {
            *numbers[i].at = decimal(s, v);
            return;
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if ((v = value_of(word, flags[i].key)) != NULL) {
            *flags[i].at = place(s, v, truths) == 1;
            return;
        }
    }
    if ((v = value_of(word, "retry.jitter")) != NULL) {
        s->retry.jitter = (hardy_jitter)place(s, v, jitters);
    } else if ((v = value_of(word, "breaker.failure_mode")) != NULL) {
        s->breaker.failure_mode = (hardy_failure_mode)place(s, v, modes);
    } else if ((v = value_of(word, "breaker.trial_decision")) != NULL) {
        s->breaker.trial_decision = (hardy_trial_decision)place(s, v, decisions);
    } else {
        failed(s, "%s is not a setting", word);
    }
}

static int64_t env_now(void *ctx) {
    return ((struct scenario *)ctx)->now;
}

static uint64_t env_random(void *ctx) {
    (void)ctx;
    return 1;
}

static void need_guard(struct scenario *s) {
    hardy_env env = {
        .size = sizeof env, .ctx = s, .now = env_now, .wall = env_now, .random = env_random};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (s->guard == NULL && hardy_guard_new(&s->config, &env, &s->guard, &error) != HARDY_OK) {
        failed(s, "%s", error.message);
    }
}

/* --- actions ------------------------------------------------------------------------------------
 */

static void on_wake(void *ctx) {
    (void)ctx;
}

static void add(struct scenario *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct scenario *s, const char *format, ...) {
    size_t used = strlen(s->did);
    va_list args;
    va_start(args, format);
    vsnprintf(s->did + used, sizeof s->did - used, format, args);
    va_end(args);
}

/* Everything the operation does until it waits or ends, as the expectation is written. */
static void come(struct scenario *s, struct running *r) {
    char span[48];
    s->did[0] = '\0';
    while (!r->done) {
        hardy_step step = hardy_op_next(&r->op, s->now);
        add(s, "%s", s->did[0] != '\0' ? ", " : "");
        switch (step.kind) {
        case HARDY_STEP_CALL:
            r->attempt = step.attempt;
            r->called = true;
            add(s, "call %u", step.attempt);
            break;
        case HARDY_STEP_STOP:
            add(s, "stop %u", step.attempt);
            break;
        case HARDY_STEP_WAIT:
            add(s, "wait %s", reasons[step.reason]);
            if (step.until != HARDY_NEVER) {
                format_duration(step.until, span);
                add(s, " until %s", span);
            }
            return;
        case HARDY_STEP_RESULT:
            r->refused = step.attempt == 0;
            add(s, "result %s", hardy_status_name(step.status));
            if (step.reason != HARDY_REASON_NONE) {
                add(s, " %s", reasons[step.reason]);
            }
            if (step.retry_after >= 0) {
                format_duration(step.retry_after, span);
                add(s, " retry_after=%s", span);
            }
            break;
        case HARDY_STEP_DONE:
            add(s, "done");
            r->done = true;
            hardy_op_end(&r->op);
            return;
        }
    }
    add(s, "done");
}

static struct running *find(struct scenario *s, const char *name) {
    for (size_t i = 0; name != NULL && i < s->op_count; i++) {
        if (str_eq(s->ops[i].name, name)) {
            return &s->ops[i];
        }
    }
    failed(s, "there is no operation %s", name != NULL ? name : "without a name");
    return NULL;
}

static struct running *begin(struct scenario *s, const char *name, char **words, size_t count) {
    hardy_op_options options;
    if (s->op_count == OPS) {
        failed(s, "more than %d operations", OPS);
        return NULL;
    }
    hardy_op_options_init(&options, sizeof options);
    options.wake.fn = on_wake;
    for (size_t i = 0; i < count; i++) {
        const char *v = value_of(words[i], "deadline");
        if (v != NULL) {
            options.deadline = duration(s, v);
        } else if (str_eq(words[i], "repeatable")) {
            options.repeatable = true;
        } else {
            failed(s, "%s is not known here", words[i]);
        }
    }
    struct running *r = &s->ops[s->op_count++];
    memset(r, 0, sizeof *r);
    str_copy(r->name, sizeof r->name, name);
    if (hardy_op_begin(&r->op, sizeof r->op, s->guard, &options, s->now) != HARDY_OK) {
        failed(s, "the operation cannot begin");
        r->done = true;
    }
    come(s, r);
    return r;
}

static hardy_outcome outcome(struct scenario *s, char **words, size_t count) {
    hardy_outcome o = {.effect = HARDY_EFFECT_NONE};
    if (count == 0) {
        failed(s, "an outcome is missing");
        return o;
    }
    o.kind = (hardy_outcome_class)place(s, words[0], outcomes);
    for (size_t i = 1; i < count; i++) {
        const char *v;
        if ((v = value_of(words[i], "effect")) != NULL) {
            o.effect = (hardy_effect)place(s, v, effects);
        } else if ((v = value_of(words[i], "retry_after")) != NULL) {
            o.retry_after = duration(s, v);
        } else if (str_eq(words[i], "permanent")) {
            o.permanent = true;
        } else {
            failed(s, "%s is not known here", words[i]);
        }
    }
    return o;
}

static void tally(struct scenario *s, const struct running *r) {
    s->called += r->called;
    s->refused += r->refused;
    s->waiting += !r->done && !r->called;
}

/* Whether `action` is one whose expectation is what one operation did. */
static bool act(struct scenario *s, char **words, size_t count) {
    const char *action = words[0];
    struct running *r;
    s->called = s->refused = s->waiting = 0;
    if (str_eq(action, "look")) {
        return false;
    }
    if (count < 2) {
        failed(s, "%s of what?", action);
        return true;
    }
    if (str_eq(action, "begin")) {
        begin(s, words[1], words + 2, count - 2);
    } else if (str_eq(action, "report")) {
        hardy_outcome o = outcome(s, words + 2, count - 2);
        if ((r = find(s, words[1])) != NULL) {
            hardy_op_report(&r->op, r->attempt, &o, s->now);
            come(s, r);
        }
    } else if (str_eq(action, "cancel")) {
        if ((r = find(s, words[1])) != NULL) {
            hardy_op_cancel(&r->op);
            come(s, r);
        }
    } else if (str_eq(action, "come")) {
        if ((r = find(s, words[1])) != NULL) {
            come(s, r);
        }
    } else if (str_eq(action, "crowd") && count == 3) {
        int64_t many = number(s, words[2]);
        for (int64_t i = 1; i <= many && s->failed[0] == '\0'; i++) {
            char name[64];
            snprintf(name, sizeof name, "%s.%lld", words[1], (long long)i);
            if ((r = begin(s, name, NULL, 0)) != NULL) {
                tally(s, r);
            }
        }
        return false;
    } else if (str_eq(action, "calls")) {
        int64_t many = number(s, words[1]);
        hardy_outcome o = outcome(s, words + 2, count - 2);
        for (int64_t i = 0; i < many && s->failed[0] == '\0'; i++) {
            if ((r = begin(s, "", NULL, 0)) == NULL) {
                return false;
            }
            tally(s, r);
            hardy_op_report(&r->op, r->attempt, &o, s->now);
            come(s, r);
            if (!r->done) {
                failed(s, "the operation did not end with its attempt but did: %s", s->did);
            }
            s->op_count--; /* it has no name, and is over */
        }
        return false;
    } else {
        failed(s, "%s is not an action", action);
    }
    return true;
}

/* --- expectations -------------------------------------------------------------------------------
 */

static bool count_holds(struct scenario *s, const char *word) {
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(s->guard, &stats);
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"called", s->called},
                  {"refused", s->refused},
                  {"waiting", s->waiting},
                  {"failures", stats.breaker.recent_failures},
                  {"opened", stats.breaker.times_opened},
                  {"attempts", stats.attempts}};
    size_t length = strcspn(word, "<>=");
    const char *value = word + length + strspn(word + length, "<>=");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (strncmp(word, counts[i].name, length) == 0 && counts[i].name[length] == '\0') {
            uint64_t wanted = (uint64_t)number(s, value);
            bool holds = word[length] == '<'   ? counts[i].value <= wanted
                         : word[length] == '>' ? counts[i].value >= wanted
                                               : counts[i].value == wanted;
            if (!holds) {
                failed(s, "expected %s, but %s is %llu", word, counts[i].name,
                       (unsigned long long)counts[i].value);
            }
            return true;
        }
    }
    const char *state = hardy_breaker_state_name(stats.breaker.state);
    if (length == strlen(word) && !str_eq(state, word)) {
        failed(s, "expected %s, but the breaker is %s", word, state);
    }
    return length == strlen(word);
}

static size_t split(char *text, char **words) {
    size_t count = 0;
    char *rest = text;
    while (count < WORDS) {
        rest += strspn(rest, " \t\n");
        if (*rest == '\0') {
            break;
        }
        words[count++] = rest;
        rest += strcspn(rest, " \t\n");
        if (*rest != '\0') {
            *rest++ = '\0';
        }
    }
    return count;
}

static void run_line(struct scenario *s, char *line) {
    char *words[WORDS];
    char *expected = strstr(line, "->");
    line[strcspn(line, "#")] = '\0';
    if (expected != NULL) {
        *expected = '\0';
        expected += 2;
        expected += strspn(expected, " ");
        for (size_t end = strlen(expected); end > 0 && isspace((unsigned char)expected[end - 1]);) {
            expected[--end] = '\0';
        }
    }
    size_t count = split(line, words);
    if (count == 0) {
        return;
    }
    if (str_eq(words[0], "guard")) {
        for (size_t i = 1; i < count; i++) {
            set(s, words[i]);
        }
        return;
    }
    int64_t at = duration(s, words[0]);
    if (count < 2 || at < s->now) {
        failed(s, "expected a time that does not go back, and an action");
        return;
    }
    s->now = at;
    need_guard(s);
    if (s->failed[0] != '\0') {
        return;
    }
    bool one = act(s, words + 1, count - 1);
    if (expected == NULL || s->failed[0] != '\0') {
        return;
    }
    if (one) {
        if (!str_eq(expected, s->did)) {
            failed(s, "expected: %s; it did: %s", expected, s->did);
        }
        return;
    }
    count = split(expected, words);
    for (size_t i = 0; i < count; i++) {
        if (!count_holds(s, words[i])) {
            failed(s, "%s is not an expectation", words[i]);
        }
    }
}

/* "" when it holds, else why not; valid until the next call. */
static const char *run(const char *file) {
    static struct scenario s;
    char line[TEXT];
    s = (struct scenario){.file = file};
    FILE *in = fopen(file, "re");
    s.ops = calloc(OPS, sizeof *s.ops);
    if (in == NULL || s.ops == NULL) {
        failed(&s, "cannot be read");
    }
    hardy_guard_config_init(&s.config, sizeof s.config);
    hardy_retry_config_init(&s.retry, sizeof s.retry);
    hardy_breaker_config_init(&s.breaker, sizeof s.breaker);
    hardy_rate_config_init(&s.rate, sizeof s.rate);
    hardy_bulkhead_config_init(&s.bulkhead, sizeof s.bulkhead);
    s.config.name = "scenario";
    s.config.budget = NULL;
    while (s.failed[0] == '\0' && fgets(line, sizeof line, in) != NULL) {
        s.line++;
        run_line(&s, line);
    }
    for (size_t i = 0; i < s.op_count; i++) {
        hardy_op_end(&s.ops[i].op);
    }
    hardy_guard_free(s.guard);
    free(s.ops);
    if (in != NULL) {
        fclose(in);
    }
    return s.failed;
}

static void tell(int number_of_test, bool ok, const char *what, const char *why) {
    printf("%sok %d - %s\n", ok ? "" : "not ", number_of_test, what);
    if (why[0] != '\0') {
        printf("# %s\n", why);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *file, *what;
        enum bug bug;
    } bugs[] = {
        {"stale_results", "old results count for the half-open breaker", BUG_STALE},
        {"hung_trial", "a trial keeps its place for ever", BUG_NO_LEASE},
        {"half_open_crowd", "half open, everybody is let through", BUG_ALL_TRIALS},
        {"half_open_crowd", "closed again, everybody is let through", BUG_NO_PACE},
        {"idle_window", "failures are never too old", BUG_NO_WINDOW},
        {"share_of_many", "a few failures are enough, whatever share they are", BUG_NO_SHARE},
        {"hanging_calls", "a call that has not ended does not exist", BUG_BLIND_TO_HANG},
        {"growing_pause", "each time it is open equally long", BUG_SAME_PAUSE},
        {"share_of_trials", "one failed trial decides", BUG_ONE_TRIAL},
        {"shadow", "in shadow calls are refused", BUG_SHADOW_BITES},
        {"cancel_in_backoff", "a cancel is not heard", BUG_DEAF_TO_CANCEL},
    };
    int bad = 0;
    if (argc == 3 && str_eq(argv[1], "--bugs")) {
        int count = sizeof bugs / sizeof *bugs;
        printf("1..%d\n", count);
        for (int i = 0; i < count; i++) {
            char file[1024], what[256];
            snprintf(file, sizeof file, "%s/%s.scenario", argv[2], bugs[i].file);
            snprintf(what, sizeof what, "%s notices that %s", bugs[i].file, bugs[i].what);
            bug = bugs[i].bug;
            const char *why = run(file);
            bad += why[0] == '\0';
            tell(i + 1, why[0] != '\0', what, why);
        }
        return bad != 0;
    }
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        const char *why = run(argv[i]);
        bad += why[0] != '\0';
        tell(i, why[0] == '\0', argv[i], why);
    }
    return bad != 0;
}
