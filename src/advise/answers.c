/* SPDX-License-Identifier: Apache-2.0 */
#include "advise/answers.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include <stdio.h>
#include <string.h>

static const char *const effects_words[] = {"none", "same", "key", "probe", "unknown", NULL};
static const char *const depends_words[] = {"llm",   "api",     "database", "kubernetes",
                                            "files", "nothing", NULL};
static const char *const if_down_words[] = {"fail", "stale", "omit", NULL};
static const char *const yes_no[] = {"no", "yes", NULL};

const struct question questions[QUESTIONS] = {
    [ASK_EFFECTS] =
        {"side-effects", "none|same|key|probe|unknown", "unknown",
         "Does it change anything, and what if it is done twice?",
         "what happens when it is done twice",
         "This comes first, because it decides whether anything may be repeated at all.\n"
         "  none     it only reads or computes\n"
         "  same     doing it twice is the same as once: set a value, delete, restart\n"
         "  key      the far side takes an idempotency key, and does it once for each key\n"
         "  probe    one can look up whether it has happened\n"
         "  unknown  none of these: nobody could tell after a time-out",
         effects_words},
    [ASK_DEPENDS] = {"depends-on", "llm|api|database|kubernetes|files|nothing", "api",
                     "What does it depend on?", "what it calls",
                     "  llm         a language model's API\n"
                     "  api         any other service over the network\n"
                     "  database    a database server\n"
                     "  kubernetes  the API of a cluster\n"
                     "  files       a file system\n"
                     "  nothing     it computes, in memory",
                     depends_words},
    [ASK_TAKES] =
        {"takes", "DURATION", "2s", "How long does all of it take when all goes well?",
         "all of it, when all goes well",
         "Time-outs follow from it, and whether beginning anew is a loss. 300ms, 5s, 20m.", NULL},
    [ASK_STEPS] = {"steps", "N", "1", "How many steps has it, one after another?",
                   "steps it has, one after another",
                   "A step is what could stay done when a later one fails. 1 to 1000.", NULL},
    [ASK_FAILS] = {"fails", "PERCENT", "1%", "How often does it fail?", "share of calls that fail",
                   "Of a hundred calls, on an ordinary day. 0.1%, 5%.", NULL},
    [ASK_DEADLINE] = {"deadline", "DURATION|never", "never",
                      "How long can whoever waits for it wait, repetitions included?",
                      "how long it may take, repetitions included",
                      "At most 30s is somebody who sits there. never: nobody waits, and a deadline "
                      "is worked out.",
                      NULL},
    [ASK_LIMIT] =
        {"rate-limit", "RATE|none", "none", "Does the far side state a rate limit?",
         "the limit the far side states",
         "As it is stated: 50/m, 10/s, 1000/h. Models' APIs tell theirs in their answers, "
         "hardy reads it there: none.",
         NULL},
    [ASK_CLIENTS] = {"clients", "N", "1", "How many callers can there be at once?",
                     "callers at once",
                     "All that share this dependency: threads, processes, agents. 1 to 1000000.",
                     NULL},
    [ASK_CAPACITY] = {"capacity", "RATE|unknown", "unknown",
                      "How many calls can the far side take at its best?",
                      "calls the far side can take",
                      "A rate: 100/s. How many may be under way and how far apart repetitions have "
                      "to be follows from it.",
                      NULL},
    [ASK_IF_DOWN] = {"if-down", "fail|stale|omit", "fail",
                     "What is right while the far side stays away?",
                     "what is right while it stays away",
                     "  fail   an error: without it nothing makes sense\n"
                     "  stale  the last good answer, marked with its age\n"
                     "  omit   the rest without it, saying that it is missing",
                     if_down_words},
    [ASK_RESTARTABLE] = {"restartable", "yes|no", "no",
                         "Is what it depends on yours to restart or repair?",
                         "what it depends on may be restarted",
                         "yes: there is a command that repairs it, which may be run at night.",
                         yes_no},
    [ASK_BY_HAND] = {"by-hand", "yes|no", "no", "Must a person agree each time?",
                     "a person has to agree each time",
                     "yes: a production deployment, a payment above a limit.", yes_no},
};

static int word_index(const char *const *words, const char *text) {
    for (int i = 0; words[i]; i++) {
        if (str_eq(words[i], text)) {
            return i;
        }
    }
    return -1;
}

static hardy_status parse_word(const struct question *q, const char *text, int *out,
                               hardy_error *error) {
    int i = word_index(q->words, text);
    if (i < 0) {
        size_t count = 0;
        while (q->words[count]) {
            count++;
        }
        const char *near = str_nearest(text, q->words, count);
        return fail(error, HARDY_E_INVALID, NULL, "expected %s, not \"%.60s\"%s%s%s", q->value,
                    text, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    *out = i;
    return HARDY_OK;
}

static hardy_status parse_bounded(const char *text, int64_t min, int64_t max, int64_t *out,
                                  hardy_error *error) {
    char low[48], high[48];
    int64_t span;
    hardy_status status = parse_duration(text, &span, error);
    if (status == HARDY_OK && (span < min || span > max)) {
        format_duration(min, low);
        format_duration(max, high);
        return fail(error, HARDY_E_INVALID, NULL, "expected a duration from %s to %s, not \"%s\"",
                    low, high, text);
    }
    if (status == HARDY_OK) {
        *out = span;
    }
    return status;
}

static hardy_status parse_percent(const char *text, double *out, hardy_error *error) {
    char number[32];
    double percent;
    size_t len = strlen(text);
    if (len > 0 && text[len - 1] == '%') {
        len--;
    }
    if (!str_copy(number, len + 1 < sizeof number ? len + 1 : sizeof number, text) &&
        len + 1 >= sizeof number) {
        return fail(error, HARDY_E_SYNTAX, NULL, "expected a percentage such as 5%%");
    }
    hardy_status status = parse_number(number, 0, 100, &percent, error);
    if (status == HARDY_OK) {
        *out = percent / 100;
    }
    return status;
}

static hardy_status parse_perhaps_rate(const char *text, const char *none, struct rate *out,
                                       hardy_error *error) {
    if (str_eq(text, none)) {
        *out = (struct rate){0};
        return HARDY_OK;
    }
    struct rate rate;
    hardy_status status = parse_rate(text, &rate, error);
    if (status == HARDY_OK && rate.events * (double)HARDY_SECOND / (double)rate.period > 1e6) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "expected a rate of at most 1000000/s, not \"%s\"", text);
    }
    if (status == HARDY_OK) {
        *out = rate;
    }
    return status;
}

hardy_status answers_set(struct answers *a, enum question_id id, const char *text,
                         hardy_error *error) {
    int word = 0;
    hardy_status status = HARDY_OK;
    if (questions[id].words) {
        status = parse_word(&questions[id], text, &word, error);
        if (status != HARDY_OK) {
            return status;
        }
    }
    switch (id) {
    case ASK_EFFECTS:
        a->effects = word;
        break;
    case ASK_DEPENDS:
        a->depends = word;
        break;
    case ASK_IF_DOWN:
        a->if_down = word;
        break;
    case ASK_RESTARTABLE:
        a->restartable = word == 1;
        break;
    case ASK_BY_HAND:
        a->by_hand = word == 1;
        break;
    case ASK_TAKES:
        return parse_bounded(text, HARDY_MILLISECOND, 7 * HARDY_DAY, &a->takes, error);
    case ASK_DEADLINE:
        if (str_eq(text, "never")) {
            a->deadline = HARDY_NEVER;
            break;
        }
        return parse_bounded(text, 10 * HARDY_MILLISECOND, 30 * HARDY_DAY, &a->deadline, error);
    case ASK_STEPS:
        return parse_integer(text, 1, 1000, &a->steps, error);
    case ASK_CLIENTS:
        return parse_integer(text, 1, 1000000, &a->clients, error);
    case ASK_FAILS:
        return parse_percent(text, &a->fails, error);
    case ASK_LIMIT:
        return parse_perhaps_rate(text, "none", &a->limit, error);
    case ASK_CAPACITY:
        return parse_perhaps_rate(text, "unknown", &a->capacity, error);
    case QUESTIONS:
        break;
    }
    return status;
}

static void put_rate(const struct rate *r, const char *none, char *out, size_t size) {
    char text[96];
    format_rate(r->events, r->period, text);
    str_copy(out, size, r->events > 0 ? text : none);
}

void answers_text(const struct answers *a, enum question_id id, char *out, size_t size) {
    char span[48];
    switch (id) {
    case ASK_EFFECTS:
        str_copy(out, size, effects_words[a->effects]);
        break;
    case ASK_DEPENDS:
        str_copy(out, size, depends_words[a->depends]);
        break;
    case ASK_IF_DOWN:
        str_copy(out, size, if_down_words[a->if_down]);
        break;
    case ASK_RESTARTABLE:
        str_copy(out, size, yes_no[a->restartable]);
        break;
    case ASK_BY_HAND:
        str_copy(out, size, yes_no[a->by_hand]);
        break;
    case ASK_TAKES:
        format_duration(a->takes, span);
        str_copy(out, size, span);
        break;
    case ASK_DEADLINE:
        format_duration(a->deadline, span);
        str_copy(out, size, a->deadline == HARDY_NEVER ? "never" : span);
        break;
    case ASK_STEPS:
        snprintf(out, size, "%lld", (long long)a->steps);
        break;
    case ASK_CLIENTS:
        snprintf(out, size, "%lld", (long long)a->clients);
        break;
    case ASK_FAILS:
        snprintf(out, size, "%g%%", a->fails * 100);
        break;
    case ASK_LIMIT:
        put_rate(&a->limit, "none", out, size);
        break;
    case ASK_CAPACITY:
        put_rate(&a->capacity, "unknown", out, size);
        break;
    case QUESTIONS:
        break;
    }
}

bool answers_matter(const struct answers *a, enum question_id id) {
    bool far = a->depends < DEPENDS_FILES;
    switch (id) {
    case ASK_LIMIT:
    case ASK_CLIENTS:
    case ASK_RESTARTABLE:
        return far;
    case ASK_CAPACITY:
        return far && a->clients > 1;
    case ASK_IF_DOWN:
        return a->depends != DEPENDS_NOTHING;
    case ASK_BY_HAND:
        return a->effects != EFFECTS_NONE;
    default:
        return true;
    }
}

/* Each step is guarded with its share of the deadline, and a guard ends nothing in less than 1ms.
 */
static hardy_status check_deadline(const struct answers *a, hardy_error *error) {
    char deadline[48], other[48], share[48], least[48];
    if (a->deadline == HARDY_NEVER) {
        return HARDY_OK;
    }
    format_duration(a->deadline, deadline);
    if (a->takes >= a->deadline) {
        format_duration(a->takes, other);
        format_duration(time_scale(a->takes, 2), least);
        return fail(error, HARDY_E_INVALID, "--deadline",
                    "%s: all of it takes %s (--takes) when all goes well, so the deadline would "
                    "end it each time; expected more than that, %s leaves room for a slow one",
                    deadline, other, least);
    }
    if (a->deadline / a->steps < HARDY_MILLISECOND) {
        format_duration_short(a->deadline / a->steps, share);
        format_duration(a->steps * HARDY_MILLISECOND, least);
        return fail(error, HARDY_E_INVALID, "--deadline",
                    "%s: leaves %s for each of %lld steps (--steps), and no step is guarded for "
                    "less than 1ms; expected at least %s, or at most %lld steps",
                    deadline, share, (long long)a->steps, least,
                    (long long)(a->deadline / HARDY_MILLISECOND));
    }
    return HARDY_OK;
}

hardy_status answers_check(const struct answers *a, hardy_error *error) {
    if (a->effects != EFFECTS_NONE && a->if_down == IF_DOWN_STALE) {
        return fail(error, HARDY_E_INVALID, "--if-down",
                    "stale: what has side effects is not done by giving an old answer; fail or "
                    "omit");
    }
    if (a->effects != EFFECTS_NONE && a->depends == DEPENDS_NOTHING) {
        return fail(error, HARDY_E_INVALID, "--depends-on",
                    "nothing: what has side effects depends on where they are: files, a database, "
                    "an api");
    }
    return check_deadline(a, error);
}

void answers_default(struct answers *a) {
    memset(a, 0, sizeof *a);
    for (int id = 0; id < QUESTIONS; id++) {
        (void)answers_set(a, (enum question_id)id, questions[id].def, NULL);
    }
}

const struct scenario scenarios[] = {
    {"pod-remediation",
     "an agent restarts pods that fail",
     "cluster",
     {[ASK_EFFECTS] = "probe",
      [ASK_DEPENDS] = "kubernetes",
      [ASK_TAKES] = "10s",
      [ASK_FAILS] = "5%"}},
    {"provisioning",
     "network, subnet, instance, database, one after another, twenty minutes",
     "network compute database",
     {[ASK_EFFECTS] = "probe",
      [ASK_DEPENDS] = "api",
      [ASK_TAKES] = "20m",
      [ASK_STEPS] = "4",
      [ASK_FAILS] = "5%"}},
    {"log-analysis",
     "an agent reads logs and says what is wrong",
     "logs",
     {[ASK_EFFECTS] = "none",
      [ASK_DEPENDS] = "api",
      [ASK_TAKES] = "5s",
      [ASK_FAILS] = "2%",
      [ASK_LIMIT] = "10/s",
      [ASK_IF_DOWN] = "stale"}},
    {0}};

const struct scenario *scenario_find(const char *name) {
    for (const struct scenario *s = scenarios; s->name; s++) {
        if (str_eq(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

hardy_status scenario_answers(const struct scenario *s, struct answers *a, hardy_error *error) {
    answers_default(a);
    hardy_status status = HARDY_OK;
    for (int id = 0; id < QUESTIONS && status == HARDY_OK; id++) {
        if (s->flags[id]) {
            status = answers_set(a, (enum question_id)id, s->flags[id], error);
        }
    }
    return status;
}
