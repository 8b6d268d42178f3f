/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All combinations of answers, coarsely, and answers drawn from all that can be given: what is
 * advised can be had (hardy_guard_new() takes it and warns of nothing), lets through what goes as
 * usual, repeats nothing that must not be repeated, and gives a reason for each pattern. Every
 * different configuration is read back as hardy reads it, and is what was advised.
 */
#include "../cmocka_all.h"
#include "advise/advise.h"
#include "base/clock.h"
#include "base/prng.h"
#include "base/str.h"
#include "degrade/settings.h"
#include "guard/explain.h"
#include "settings/guards.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* Below two in its period a limit is kept by the distance of the calls, which are whole ones. */
static void check_rate(const struct advice *a) {
    double limit = a->answers.limit.events, whole = fmax(limit, 1);
    int64_t window = time_scale(a->answers.limit.period, whole / limit);
    double most = hardy_rate_most(&a->rate, window);
    if ((limit < 2 ? floor(most + 1e-9) : most - 1e-9) > whole) {
        wrong(a, "a rate and a burst that together exceed the limit");
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
    const struct rate *most = &q->capacity;
    double capacity = most->events * (double)HARDY_SECOND / (double)most->period;
    if (retries && capacity > 0 && a->budget.floor > fmax(0.1 * capacity, 1.0 / 3600) + 1e-9) {
        wrong(a, "a budget that a far side in good use has no room for");
    }
    if (a->patterns[PATTERN_HEDGING].verdict != NOT_NEEDED &&
        (!retries || !a->retry.repeatable || q->effects > EFFECTS_KEY)) {
        wrong(a, "two calls at once of what may be done once, or where none may be repeated");
    }
    if (q->effects != EFFECTS_NONE && a->patterns[PATTERN_IDEMPOTENCY].verdict != NEEDED) {
        wrong(a, "side effects without idempotency");
    }
    if (a->guard.rate) {
        check_rate(a);
    }
    if (q->deadline != HARDY_NEVER && a->guard.deadline > q->deadline) {
        wrong(a, "a deadline beyond what was asked for");
    }
}

/* What takes twice its usual time and needs no retry is let through wherever the deadline bears it,
 * and what goes as usual always. */
static void check_times(const struct advice *a) {
    const hardy_guard_config *g = &a->guard;
    int64_t usual = a->answers.takes / a->answers.steps;
    int64_t twice = usual * 2 < g->deadline ? usual * 2 : usual;
    if (g->deadline < usual || g->timeout < twice) {
        wrong(a, "what goes as usual would be ended");
    }
    if (g->retry &&
        (a->retry.max_delay > g->deadline - usual || a->retry.base_delay > a->retry.max_delay)) {
        wrong(a, "a wait that the deadline leaves no room for");
    }
    double all = a->answers.capacity.events > 0
                     ? (double)a->answers.clients / a->answers.capacity.events *
                           (double)a->answers.capacity.period
                     : 0;
    bool own = a->answers.deadline == HARDY_NEVER && a->answers.depends != DEPENDS_LLM;
    double most = own ? HARDY_HOUR : (double)g->deadline;
    bool far = a->answers.depends < DEPENDS_FILES && a->answers.clients > 1;
    bool noted = a->note_count > 0 && str_starts(a->notes[0], "No setting makes this capacity do");
    if (noted != (far && all > most) && fabs(all - most) > 1e-6 * most) {
        wrong(a, noted ? "a capacity that does is called too small" : "a capacity too small");
    }
    if (!noted && far && own && (double)g->deadline < 2 * all) {
        wrong(a, "no time for the last of a crowd");
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

/* --- the configuration, read as hardy reads it -------------------------------------------------
 */

static void on_problem(void *ctx, bool warning, const char *text) {
    if (warning) {
        wrong(ctx, text);
    }
}

/* Layers that are there are those of the advice; that one is there that was not advised, too. */
static void check_layers(const struct advice *a, const hardy_guard_config *got) {
    const hardy_guard_config *want = &a->guard;
    const hardy_retry_config *r = want->retry;
    const hardy_breaker_config *k = want->breaker;
    bool streams = a->answers.depends == DEPENDS_LLM; /* have slots unless told otherwise */
    if ((got->retry != NULL) != (r != NULL) || (got->budget != NULL) != (r != NULL) ||
        (got->breaker != NULL) != (k != NULL) || (got->rate != NULL) != (want->rate != NULL) ||
        ((got->bulkhead != NULL) != (want->bulkhead != NULL) && !streams)) {
        wrong(a, "layers that were not advised, or are missing");
    }
    if (r &&
        (got->retry->max_retries != r->max_retries || got->retry->base_delay != r->base_delay ||
         got->retry->max_delay != r->max_delay || got->retry->max_total_wait != r->max_total_wait ||
         got->retry->jitter != r->jitter || got->retry->repeatable != r->repeatable ||
         got->budget->ratio != want->budget->ratio || got->budget->floor != want->budget->floor)) {
        wrong(a, "other retries than were advised");
    }
    if (k &&
        (got->breaker->failure_threshold != k->failure_threshold ||
         got->breaker->failure_mode != k->failure_mode ||
         (k->failure_mode == HARDY_WINDOW && got->breaker->failure_window != k->failure_window) ||
         got->breaker->recovery_timeout != k->recovery_timeout ||
         got->breaker->success_threshold != k->success_threshold ||
         got->wait_when_open != want->wait_when_open)) {
        wrong(a, "another breaker than was advised");
    }
    if (want->rate &&
        (got->rate->events != want->rate->events || got->rate->period != want->rate->period ||
         got->rate->burst != want->rate->burst || got->rate->reject != want->rate->reject)) {
        wrong(a, "another rate than was advised");
    }
    if (want->bulkhead && (got->bulkhead->max_concurrent != want->bulkhead->max_concurrent ||
                           got->bulkhead->max_queue != want->bulkhead->max_queue)) {
        wrong(a, "other slots than were advised");
    }
}

static void check_settings(const struct advice *a, const struct config *config, const char *name) {
    struct guard_settings guard;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    bool streams = a->answers.depends == DEPENDS_LLM;
    if (guard_settings_find(config, name, streams ? GUARD_LLM : GUARD_DEFAULTS, &guard, &error) !=
        HARDY_OK) {
        wrong(a, error.message);
    }
    const hardy_guard_config *got = &guard.config, *want = &a->guard;
    if (got->deadline != want->deadline || got->timeout != want->timeout ||
        got->timeout_first_content != want->timeout_first_content ||
        got->timeout_idle != want->timeout_idle) {
        wrong(a, "other times than were advised");
    }
    check_layers(a, got);
    explain_problems(got, NULL, NULL, on_problem, (void *)a);
    guard_settings_free(&guard);
}

static void check_gathering(const struct advice *a, const struct config *config) {
    const struct answers *q = &a->answers;
    struct degrade_settings degrade;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (degrade_settings_read(config, &degrade, &error) != HARDY_OK) {
        wrong(a, error.message);
    }
    bool gathers = degrade.gatherings.count > 0;
    if (gathers && (q->effects != EFFECTS_NONE || q->if_down == IF_DOWN_FAIL)) {
        wrong(a, "whoever asks for the answer would run the effect");
    }
    if (!gathers && q->effects == EFFECTS_NONE && q->if_down != IF_DOWN_FAIL &&
        q->depends != DEPENDS_NOTHING && q->takes / q->steps < 2 * HARDY_MINUTE) {
        wrong(a, "a read that can be gathered, and is not");
    }
    const struct gathering_settings *gathering = degrade.gatherings.items;
    if (gathers) {
        const struct source_settings *source = gathering->components.items;
        if (gathering->deadline < q->takes / q->steps || source->timeout < q->takes / q->steps) {
            wrong(a, "a gathering that would never have it");
        }
    }
    degrade_settings_free(&degrade);
}

/* The flags of the first line are the answers, and name both that are needed. */
static void check_line(const struct advice *a, const char *text) {
    static const char start[] = "# From: hardy advise", end[] = " --name one --name two --yaml\n";
    char line[1024];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n") + 1, text);
    if (!str_starts(line, start) || !str_ends(line, end)) {
        wrong(a, line);
    }
    line[strlen(line) - strlen(end)] = '\0';
    bool given[QUESTIONS] = {false};
    struct answers again;
    answers_default(&again);
    char *rest = line + strlen(start);
    for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL;) {
        const char *value = strtok_r(rest, " ", &rest);
        int id = 0;
        while (id < QUESTIONS &&
               !(str_starts(name, "--") && str_eq(questions[id].name, name + 2))) {
            id++;
        }
        assert_true(id < QUESTIONS && value);
        set(&again, (enum question_id)id, value);
        given[id] = true;
    }
    if (!given[ASK_EFFECTS] || !given[ASK_DEPENDS]) {
        wrong(a, "a first line that does not run");
    }
    char one[512], other[512];
    describe(&a->answers, one, sizeof one);
    describe(&again, other, sizeof other);
    assert_string_equal(one, other);
}

static void check_configuration(const struct advice *a, const char *text) {
    struct config *config = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    check_guard(a);
    check_line(a, text);
    if (config_load_bytes("hardy.yaml", text, strlen(text), &config, &error) != HARDY_OK) {
        wrong(a, error.message);
    }
    if (a->guarded) {
        check_settings(a, config, "one");
        check_settings(a, config, "two");
    }
    check_gathering(a, config);
    config_free(config);
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

/* Different without its first line, which tells the answers. */
static void check_once(const struct advice *a) {
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
        check_configuration(a, text.data);
    }
    buf_free(&text);
}

static void check_advice(const struct answers *answers) {
    static struct advice out;
    advise(answers, &out);
    check_texts(&out);
    check_safe(&out);
    check_times(&out);
    check_once(&out);
}

static size_t walked;

static void walk(struct answers *a, int id) {
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
    check_advice(a);
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

/* --- answers from all that can be given ---------------------------------------------------------
 */

/* Each order of magnitude as often as the others. */
static double draw(struct prng *random, double low, double high) {
    return low * pow(high / low, prng_unit(random));
}

static void draw_answer(struct prng *random, struct answers *a, enum question_id id) {
    const struct question *q = &questions[id];
    char text[64];
    size_t words = 0;
    while (q->words && q->words[words]) {
        words++;
    }
    if (words > 0) {
        snprintf(text, sizeof text, "%s", q->words[prng_below(random, words)]);
    } else if ((id == ASK_DEADLINE || id == ASK_LIMIT || id == ASK_CAPACITY) &&
               prng_below(random, 3) == 0) {
        snprintf(text, sizeof text, "%s", q->def);
    } else if (id == ASK_TAKES || id == ASK_DEADLINE) {
        double low = id == ASK_TAKES ? 1 : 10, days = id == ASK_TAKES ? 7 : 30;
        snprintf(text, sizeof text, "%.0fms", draw(random, low, days * 86400e3));
    } else if (id == ASK_LIMIT || id == ASK_CAPACITY) {
        char period = "smhd"[prng_below(random, 4)];
        snprintf(text, sizeof text, "%.8g/%c", draw(random, 0.1, period == 's' ? 999999 : 5e7),
                 period);
    } else if (id == ASK_FAILS) {
        snprintf(text, sizeof text, "%.2f%%", draw(random, 0.01, 99));
    } else {
        snprintf(text, sizeof text, "%.0f", draw(random, 1, id == ASK_STEPS ? 1000 : 1e6));
    }
    set(a, id, text);
}

static void test_drawn_answers(void **state) {
    (void)state;
    enum { SEED = 1, DRAWN = 4000 };
    struct prng random;
    struct answers a;
    size_t held = 0;
    prng_seed(&random, SEED);
    for (int i = 0; i < DRAWN; i++) {
        answers_default(&a);
        for (int id = 0; id < QUESTIONS; id++) {
            draw_answer(&random, &a, (enum question_id)id);
        }
        if (answers_check(&a, NULL) == HARDY_OK) {
            check_advice(&a);
            held++;
        }
    }
    printf("# %zu of %d hold\n", held, DRAWN);
    assert_true(held > DRAWN / 4);
}

/* --- opposite answers ------------------------------------------------------------------------- */

static void answers_of(const char *flags, struct answers *a) {
    char copy[512], *rest = copy;
    answers_default(a);
    set(a, ASK_EFFECTS, "none");
    str_copy(copy, sizeof copy, flags);
    for (char *name; (name = strtok_r(rest, " ", &rest)) != NULL;) {
        char *value = strtok_r(rest, " ", &rest);
        int id = 0;
        while (id < QUESTIONS && !str_eq(questions[id].name, name)) {
            id++;
        }
        assert_true(id < QUESTIONS && value);
        set(a, (enum question_id)id, value);
    }
}

static void advice_of(const char *flags, struct advice *out) {
    struct answers a;
    answers_of(flags, &a);
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

/* As many attempts as there is room for with twice the usual time for each. */
static void test_room(void **state) {
    (void)state;
    static const struct {
        const char *flags;
        uint32_t retries;
        int64_t timeout;
    } rows[] = {
        {"takes 1s deadline 10s", 2, 2 * HARDY_SECOND},
        {"takes 2s deadline 10s", 1, 4 * HARDY_SECOND},
        {"takes 4s deadline 10s", 0, HARDY_NEVER},
        {"takes 100ms deadline 1s", 2, 200 * HARDY_MILLISECOND},
    };
    static struct advice a;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        advice_of(rows[i].flags, &a);
        assert_int_equal(a.retry.max_retries, rows[i].retries);
        assert_true(a.guard.timeout == rows[i].timeout);
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
    assert_true(a.guard.deadline >= 200 * HARDY_SECOND); /* the last has its turn after 100s */
    assert_int_equal(a.note_count, 0);

    /* No setting helps here, so none is stretched. */
    advice_of("clients 1000000 capacity 1/h", &a);
    assert_true(a.retry.max_delay < a.guard.deadline && a.guard.deadline <= 2 * HARDY_MINUTE);
    assert_non_null(strstr(a.notes[0], "A capacity of 278/s would do"));
    advice_of("clients 75 capacity 7.5/s takes 200ms deadline 5s", &a);
    assert_non_null(strstr(a.notes[0], "10s until each of 75 callers has been answered once, and "
                                       "the deadline is 5s. "));
    assert_non_null(strstr(a.notes[0], "A capacity of 15/s would do"));
}

/* To ask a gathering is to do what it asks: what has effects is left out by who calls it. */
static void test_effects_if_down(void **state) {
    (void)state;
    static const char *const effects[] = {"same", "key", "probe", "unknown"};
    static struct advice a;
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++) {
        char flags[64];
        struct buf text;
        buf_init(&text, 1 << 16);
        snprintf(flags, sizeof flags, "side-effects %s if-down omit", effects[i]);
        advice_of(flags, &a);
        advise_configuration(&a, "api", &text);
        advise_use(&a, "api", &text);
        assert_int_equal(a.patterns[PATTERN_FALLBACK].verdict, NEEDED);
        assert_non_null(strstr(a.patterns[PATTERN_FALLBACK].reason, "says that it is missing"));
        assert_null(strstr(text.data, "degrade:"));
        assert_null(strstr(text.data, "gather"));
        assert_non_null(strstr(text.data, "# When it fails, what calls it goes on without it"));
        buf_free(&text);
    }
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
}

/* Answers that cannot hold together are refused; both are named, and what would be right. */
static void test_answers_together(void **state) {
    (void)state;
    static const struct {
        const char *flags, *where, *told;
    } rows[] = {
        {"side-effects key if-down stale", "--if-down", "fail or omit"},
        {"side-effects key depends-on nothing", "--depends-on", "files, a database, an api"},
        {"takes 10s deadline 5s", "--deadline",
         "5s: all of it takes 10s (--takes) when all goes well, so the deadline would end it each "
         "time; expected more than that, 20s leaves room for a slow one"},
        {"takes 5s deadline 5s", "--deadline", "(--takes)"},
        {"takes 8h steps 300 deadline 10ms", "--deadline", "(--takes)"},
        {"takes 9ms steps 300 deadline 10ms", "--deadline",
         "10ms: leaves 33us for each of 300 steps (--steps), and no step is guarded for less than "
         "1ms; expected at least 300ms, or at most 10 steps"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answers a;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        answers_of(rows[i].flags, &a);
        assert_int_equal(answers_check(&a, &error), HARDY_E_INVALID);
        assert_string_equal(error.where, rows[i].where);
        if (!strstr(error.message, rows[i].told)) {
            fail_msg("%s: %s", rows[i].flags, error.message);
        }
    }
    struct answers a;
    answers_of("takes 999ms steps 1000 deadline 1s", &a);
    assert_int_equal(answers_check(&a, NULL), HARDY_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_answers_together),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_effects_if_down),
        cmocka_unit_test(test_opposite_answers),
        cmocka_unit_test(test_all_combinations),
        cmocka_unit_test(test_drawn_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
