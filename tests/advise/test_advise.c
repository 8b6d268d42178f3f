/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All combinations of answers, coarsely: what is advised can be had (hardy_guard_new() takes it and
 * warns of nothing), repeats nothing that must not be repeated, and gives a reason for each
 * pattern. With a folder as its argument it leaves every different configuration there, for hardy
 * validate.
 */
#include "../cmocka_all.h"
#include "advise/advise.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

static const char *folder; /* NULL: nothing is written */

/* The answers that are tried, of each question. */
static const char *const tried[QUESTIONS][6] = {
    [ASK_EFFECTS] = {"none", "same", "key", "probe", "unknown"},
    [ASK_DEPENDS] = {"llm", "api", "database", "kubernetes", "files", "nothing"},
    [ASK_TAKES] = {"300ms", "20s", "6m", "20m"},
    [ASK_STEPS] = {"1", "4"},
    [ASK_FAILS] = {"0.1%", "5%", "20%"},
    [ASK_DEADLINE] = {"never", "5s", "10m"},
    [ASK_LIMIT] = {"none", "50/m"},
    [ASK_CLIENTS] = {"1", "200"},
    [ASK_CAPACITY] = {"unknown", "20/s"},
    [ASK_IF_DOWN] = {"fail", "stale", "omit"},
    [ASK_RESTARTABLE] = {"no", "yes"},
    [ASK_BY_HAND] = {"no", "yes"},
};

static void set(struct answers *a, enum question_id id, const char *text) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (answers_set(a, id, text, &error) != HARDY_OK) {
        fail_msg("--%s %s: %s", questions[id].name, text, error.message);
    }
}

static void describe(const struct answers *a, char *out, size_t size) {
    size_t len = 0;
    char text[48];
    for (int id = 0; id < QUESTIONS && len < size; id++) {
        answers_text(a, (enum question_id)id, text, sizeof text);
        len += (size_t)snprintf(out + len, size - len, " --%s %s", questions[id].name, text);
    }
}

static void wrong(const struct advice *a, const char *what) {
    char text[512];
    describe(&a->answers, text, sizeof text);
    fail_msg("%s:%s", what, text);
}

/* --- what must hold of every advice ----------------------------------------------------------- */

static void check_texts(const struct advice *a) {
    for (int p = 0; p < PATTERNS; p++) {
        const struct pattern_advice *advice = &a->patterns[p];
        size_t len = strlen(advice->reason);
        if (len < 10 || advice->reason[len - 1] != '.' || len + 1 == sizeof advice->reason) {
            wrong(a, "a pattern without a whole reason");
        }
        if ((advice->verdict == NOT_NEEDED) != (advice->cost[0] == '\0') ||
            strlen(advice->cost) + 1 == sizeof advice->cost) {
            wrong(a, "what is advised has a cost, and nothing else");
        }
        if (advice->verdict == NOT_NEEDED && advice->added != 0) {
            wrong(a, "what is not needed takes no time");
        }
    }
    for (size_t i = 0; i < a->note_count; i++) {
        assert_true(str_ends(a->notes[i], "."));
    }
}

static void check_safe(const struct advice *a) {
    const struct answers *q = &a->answers;
    bool retries = a->guard.retry != NULL;
    if (retries && (q->effects == EFFECTS_UNKNOWN || q->by_hand)) {
        wrong(a, "retries of what must not be repeated");
    }
    if (retries && a->retry.repeatable && q->effects == EFFECTS_PROBE) {
        wrong(a, "retries that do not ask the probe");
    }
    if (retries != (a->guard.budget != NULL) ||
        retries != (a->patterns[PATTERN_BUDGET].verdict == NEEDED) ||
        retries != (a->patterns[PATTERN_RETRY].verdict != NOT_NEEDED)) {
        wrong(a, "retries without a budget");
    }
    if (a->patterns[PATTERN_HEDGING].verdict != NOT_NEEDED && !a->retry.repeatable &&
        q->effects != EFFECTS_NONE) {
        wrong(a, "two calls at once of what may be done once");
    }
    if (q->effects != EFFECTS_NONE && a->patterns[PATTERN_IDEMPOTENCY].verdict != NEEDED) {
        wrong(a, "side effects without idempotency");
    }
    if (q->limit.events > 0 && a->guard.rate &&
        a->rate.events * ((double)q->limit.period / (double)a->rate.period) + a->rate.burst >
            q->limit.events + 1e-9) {
        wrong(a, "a rate and a burst that together exceed the limit");
    }
    if (q->deadline != HARDY_NEVER && a->guard.deadline > q->deadline) {
        wrong(a, "a deadline beyond what was asked for");
    }
}

static void check_guard(const struct advice *a) {
    hardy_guard *guard = NULL;
    hardy_error error;
    char text[4096];
    hardy_error_init(&error, sizeof error);
    hardy_guard_config config = a->guard;
    config.name = "operation";
    if (hardy_guard_new(&config, NULL, &guard, &error) != HARDY_OK) {
        wrong(a, error.message);
    }
    hardy_guard_explain(guard, text, sizeof text);
    const char *warning = strstr(text, "warning: ");
    if (a->guarded && warning) {
        wrong(a, warning);
    }
    hardy_guard_free(guard);
}

/* --- each different configuration, once ------------------------------------------------------- */

#define CONFIGURATIONS 65536
static uint64_t seen[CONFIGURATIONS]; /* hashes */
static size_t seen_count;

static uint64_t hash(const char *text) {
    uint64_t h = 1469598103934665603U;
    for (; *text; text++) {
        h = (h ^ (unsigned char)*text) * 1099511628211U;
    }
    return h ? h : 1;
}

/* Without its first line, which tells the answers. */
static void keep(const struct advice *a) {
    struct buf text;
    buf_init(&text, 1 << 16);
    advise_configuration(a, "one two", &text);
    assert_false(text.failed);
    uint64_t h = hash(strchr(text.data, '\n'));
    size_t at = h % CONFIGURATIONS;
    while (seen[at] && seen[at] != h) {
        at = (at + 1) % CONFIGURATIONS;
    }
    if (!seen[at]) {
        seen[at] = h;
        assert_true(++seen_count < CONFIGURATIONS / 2);
        if (folder) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%zu.yaml", folder, seen_count);
            FILE *file = fopen(path, "w");
            assert_non_null(file);
            fputs(text.data, file);
            assert_int_equal(fclose(file), 0);
        }
    }
    buf_free(&text);
}

static size_t walked;

static void walk(struct answers *a, int id) {
    static struct advice out;
    if (id < QUESTIONS) {
        bool matters = answers_matter(a, (enum question_id)id);
        for (size_t i = 0; i < 6 && tried[id][i] && (i == 0 || matters); i++) {
            set(a, (enum question_id)id, tried[id][i]);
            walk(a, id + 1);
        }
        return;
    }
    if (answers_check(a, NULL) != HARDY_OK) {
        return;
    }
    advise(a, &out);
    check_texts(&out);
    check_safe(&out);
    check_guard(&out);
    keep(&out);
    walked++;
}

static void test_all_combinations(void **state) {
    (void)state;
    struct answers a;
    answers_default(&a);
    walk(&a, 0);
    printf("# %zu combinations, %zu configurations\n", walked, seen_count);
    assert_true(walked > 10000);
    assert_true(seen_count > 100);
}

/* --- opposite answers ------------------------------------------------------------------------- */

static void advice_of(const char *flags, struct advice *out) {
    struct answers a;
    char copy[512], *rest = copy;
    answers_default(&a);
    set(&a, ASK_EFFECTS, "none");
    str_copy(copy, sizeof copy, flags);
    for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL;) {
        char *value = strtok_r(rest, " ", &rest);
        int id = 0;
        while (id < QUESTIONS && !str_eq(questions[id].name, name)) {
            id++;
        }
        assert_true(id < QUESTIONS && value);
        set(&a, (enum question_id)id, value);
    }
    assert_int_equal(answers_check(&a, NULL), HARDY_OK);
    advise(&a, out);
}

static void test_opposite_answers(void **state) {
    (void)state;
    static const struct {
        const char *one, *other;
        enum pattern differs;
    } rows[] = {
        {"side-effects none", "side-effects key", PATTERN_IDEMPOTENCY},
        {"side-effects same", "side-effects unknown", PATTERN_RETRY},
        {"depends-on api", "depends-on files", PATTERN_BREAKER},
        {"takes 1s steps 3", "takes 30m steps 3", PATTERN_CHECKPOINT},
        {"takes 6m steps 1", "takes 6m steps 3", PATTERN_CHECKPOINT},
        {"takes 6m steps 3 fails 1%", "takes 6m steps 3 fails 20%", PATTERN_CHECKPOINT},
        {"takes 4s deadline 5s", "takes 4s deadline never", PATTERN_RETRY},
        {"rate-limit none", "rate-limit 50/m", PATTERN_RATE},
        {"clients 1", "clients 100", PATTERN_BULKHEAD},
        {"clients 100 capacity unknown", "clients 100 capacity 1000/s", PATTERN_BACKPRESSURE},
        {"if-down fail", "if-down stale", PATTERN_FALLBACK},
        {"restartable no", "restartable yes", PATTERN_HEALING},
        {"side-effects same by-hand no", "side-effects same by-hand yes", PATTERN_RETRY},
        {"deadline 20s takes 100ms", "deadline never takes 100ms", PATTERN_HEDGING},
    };
    static struct advice one, other;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        advice_of(rows[i].one, &one);
        advice_of(rows[i].other, &other);
        if (one.patterns[rows[i].differs].verdict == other.patterns[rows[i].differs].verdict) {
            fail_msg("%s: the same for \"%s\" and \"%s\"", pattern_names[rows[i].differs],
                     rows[i].one, rows[i].other);
        }
        assert_string_not_equal(one.patterns[rows[i].differs].reason,
                                other.patterns[rows[i].differs].reason);
    }
}

/* --- the matrix ------------------------------------------------------------------------------- */

/* The rows of docs/choosing.md: breaker, retry, idempotency, checkpoints. */
static void test_matrix(void **state) {
    (void)state;
    static const struct {
        const char *what, *flags;
        enum verdict breaker, retry, idempotency, checkpoints;
    } rows[] = {
        {"calls of a model", "depends-on llm takes 20s", NEEDED, NEEDED, NOT_NEEDED, NOT_NEEDED},
        {"calls of a model, several steps with effects",
         "depends-on llm side-effects same takes 1m steps 3", NEEDED, NEEDED, NEEDED, USEFUL},
        {"database", "depends-on database side-effects key", NEEDED, NEEDED, NEEDED, NOT_NEEDED},
        {"database, several steps", "depends-on database side-effects key steps 3", NEEDED, NEEDED,
         NEEDED, USEFUL},
        {"kubernetes", "depends-on kubernetes side-effects probe", NEEDED, NEEDED, NEEDED,
         NOT_NEEDED},
        {"kubernetes, several steps", "depends-on kubernetes side-effects same steps 3 takes 1m",
         NEEDED, NEEDED, NEEDED, USEFUL},
        {"files", "depends-on files side-effects same steps 5", NOT_NEEDED, NEEDED, NEEDED, NEEDED},
        {"long workflow", "depends-on api side-effects probe steps 4 takes 20m", NEEDED, NEEDED,
         NEEDED, NEEDED},
        {"in memory, never failing", "depends-on nothing fails 0%", NOT_NEEDED, NOT_NEEDED,
         NOT_NEEDED, NOT_NEEDED},
        {"in memory, failing now and then", "depends-on nothing fails 5%", NOT_NEEDED, USEFUL,
         NOT_NEEDED, NOT_NEEDED},
    };
    static struct advice a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        advice_of(rows[i].flags, &a);
        const enum verdict got[] = {
            a.patterns[PATTERN_BREAKER].verdict, a.patterns[PATTERN_RETRY].verdict,
            a.patterns[PATTERN_IDEMPOTENCY].verdict, a.patterns[PATTERN_CHECKPOINT].verdict};
        const enum verdict wanted[] = {rows[i].breaker, rows[i].retry, rows[i].idempotency,
                                       rows[i].checkpoints};
        if (memcmp(got, wanted, sizeof got) != 0) {
            fail_msg("%s: breaker %s, retry %s, idempotency %s, checkpoints %s", rows[i].what,
                     verdict_words[got[0]], verdict_words[got[1]], verdict_words[got[2]],
                     verdict_words[got[3]]);
        }
    }
}

/* The figures of the three scenarios, which are common advice that holds. */
static void test_scenarios(void **state) {
    (void)state;
    static const struct {
        const char *name;
        uint32_t retries, failures;
        int64_t recovery;
        enum verdict checkpoints;
    } rows[] = {
        {"pod-remediation", 3, 5, HARDY_MINUTE, NOT_NEEDED},
        {"provisioning", 3, 5, HARDY_MINUTE, NEEDED},
        {"log-analysis", 5, 10, 30 * HARDY_SECOND, NOT_NEEDED},
    };
    static struct advice a;
    struct answers q;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(scenario_answers(scenario_find(rows[i].name), &q, NULL), HARDY_OK);
        assert_int_equal(answers_check(&q, NULL), HARDY_OK);
        advise(&q, &a);
        assert_int_equal(a.retry.max_retries, rows[i].retries);
        assert_int_equal(a.breaker.failure_threshold, rows[i].failures);
        assert_int_equal(a.breaker.recovery_timeout, rows[i].recovery);
        assert_int_equal(a.patterns[PATTERN_CHECKPOINT].verdict, rows[i].checkpoints);
    }
}

/* What the crowd rule asks for: max_delay >= 2N/C. */
static void test_crowd(void **state) {
    (void)state;
    static struct advice a;
    advice_of("clients 10000 capacity 100/s", &a);
    assert_true(a.retry.max_delay >= 200 * HARDY_SECOND);
    assert_int_equal(a.bulkhead.max_concurrent, 200); /* 100/s * 2s */
    assert_int_equal(a.bulkhead.max_queue, 9800);
}

static void test_answers(void **state) {
    (void)state;
    static const struct {
        enum question_id id;
        const char *text, *told;
    } rows[] = {
        {ASK_EFFECTS, "prob", "did you mean probe?"},
        {ASK_EFFECTS, "", "expected none|same"},
        {ASK_TAKES, "0s", "expected a duration from 1ms to 7d"},
        {ASK_TAKES, "5", "has no unit"},
        {ASK_STEPS, "0", "from 1 to 1000"},
        {ASK_CLIENTS, "1000000000000", "from 1 to 1000000"},
        {ASK_FAILS, "101%", "from 0 to 100"},
        {ASK_FAILS, "%", "from 0 to 100"},
        {ASK_LIMIT, "0/s", "rate"},
        {ASK_LIMIT, "1e9/s", "at most 1000000/s"},
        {ASK_DEADLINE, "1ms", "expected a duration from 10ms to 30d"},
        {ASK_BY_HAND, "y", "expected yes|no"},
    };
    struct answers a;
    hardy_error error;
    answers_default(&a);
    const struct answers before = a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hardy_error_init(&error, sizeof error);
        assert_int_not_equal(answers_set(&a, rows[i].id, rows[i].text, &error), HARDY_OK);
        if (!strstr(error.message, rows[i].told)) {
            fail_msg("%s: %s", rows[i].text, error.message);
        }
        assert_memory_equal(&a, &before, sizeof a);
    }
    hardy_error_init(&error, sizeof error);
    set(&a, ASK_EFFECTS, "key");
    set(&a, ASK_IF_DOWN, "stale");
    assert_int_equal(answers_check(&a, &error), HARDY_E_INVALID);
    assert_string_equal(error.where, "--if-down");
}

int main(int argc, char **argv) {
    folder = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),          cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_scenarios),        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_opposite_answers), cmocka_unit_test(test_all_combinations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
