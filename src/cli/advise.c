/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy advise`: which patterns an operation needs, which it does not, why, what they cost, and
 * the configuration. Asks on a terminal when no flag says anything. */
#include "advise/advise.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/say.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 10)
#define COLUMN 28 /* where reasons start */

enum { OPT_SCENARIO = 1, OPT_NAME, OPT_YAML, OPT_QUESTION };
static const struct option_row rows[] = {
    {OPT_SCENARIO, "scenario", 0, "NAME",
     "answers of pod-remediation, provisioning or log-analysis; flags besides win"},
    {OPT_NAME, "name", 0, "NAME", "the guard's; several times: one guard each"},
    {OPT_YAML, "yaml", 0, NULL, "the configuration alone"},
    {0}};

/* One flag for each question. */
static const struct option_row *question_rows(void) {
    static struct option_row of_questions[QUESTIONS + 1];
    static char helps[QUESTIONS][96];
    for (int id = 0; id < QUESTIONS; id++) {
        const struct question *q = &questions[id];
        snprintf(helps[id], sizeof helps[id], "%s (%s)", q->help, q->def);
        of_questions[id] = (struct option_row){OPT_QUESTION + id, q->name, 0, q->value, helps[id]};
    }
    return of_questions;
}

/* --- questions -------------------------------------------------------------------------------- */

/* The next line without its end; false: there is none. */
static bool read_line(char *out, size_t size) {
    if (!fgets(out, (int)size, stdin)) {
        return false;
    }
    size_t len = strlen(out);
    for (int c = len > 0 && out[len - 1] == '\n' ? '\n' : 0; c != '\n' && c != EOF; c = getchar()) {
    }
    len = strcspn(out, "\n");
    while (len > 0 && out[len - 1] == ' ') {
        len--;
    }
    out[len] = '\0';
    return true;
}

/* Asks until there is an answer; false: the other side has hung up. */
static bool ask(struct answers *a, enum question_id id) {
    const struct question *q = &questions[id];
    char line[256];
    for (;;) {
        fprintf(stderr, "%s\n  %s, ? explains [%s] ", q->ask, q->value, q->def);
        if (!read_line(line, sizeof line)) {
            fputc('\n', stderr);
            return false;
        }
        if (str_eq(line, "?")) {
            fprintf(stderr, "%s\n", q->explain);
            continue;
        }
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (answers_set(a, id, line[0] ? line : q->def, &error) == HARDY_OK &&
            answers_check(a, &error) == HARDY_OK) {
            return true;
        }
        fprintf(stderr, "  %s\n", error.message);
        (void)answers_set(a, id, q->def, NULL);
    }
}

static int ask_all(const struct options *o, struct answers *a) {
    answers_default(a);
    for (int id = 0; id < QUESTIONS; id++) {
        if (answers_matter(a, (enum question_id)id) && !ask(a, (enum question_id)id)) {
            say(o, HARDY_LOG_ERROR, "no answer to: %s", questions[id].ask);
            return EXIT_INTERRUPTED;
        }
    }
    fputc('\n', stderr);
    return EXIT_DONE;
}

/* --- what is printed -------------------------------------------------------------------------- */

static void print_text(const char *text, int column) {
    help_wrapped(text, strlen(text), column, stdout);
}

static void print_pattern(const struct advice *a, enum pattern p) {
    const struct pattern_advice *advice = &a->patterns[p];
    char text[512];
    printf("%-16s%-12s", pattern_names[p], verdict_words[advice->verdict]);
    print_text(advice->reason, COLUMN);
    if (advice->cost[0]) {
        char added[48] = "";
        if (advice->added > 0) {
            format_duration_short(advice->added, added);
        }
        snprintf(text, sizeof text, "Cost: %s%s%s", added[0] ? "up to " : "", added,
                 added[0] ? " more. " : "");
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s", advice->cost);
        if (added[0]) {
            text[len] = (char)(text[len] - 'a' + 'A');
        }
        printf("%*s", COLUMN, "");
        print_text(text, COLUMN);
    }
}

static void print_advice(const struct advice *a, const char *configuration, const char *use) {
    for (int verdict = NEEDED; verdict >= NOT_NEEDED; verdict--) {
        for (int p = 0; p < PATTERNS; p++) {
            if ((int)a->patterns[p].verdict == verdict) {
                print_pattern(a, (enum pattern)p);
            }
        }
    }
    if (a->guarded) {
        char worst[48];
        format_duration_short(a->worst_case, worst);
        printf("\nAt worst %s takes %s, waits for the breaker, the rate and a slot aside.\n",
               a->answers.steps > 1 ? "a step" : "it", worst);
    }
    for (size_t i = 0; i < a->note_count; i++) {
        putchar('\n');
        print_text(a->notes[i], 0);
    }
    printf("\nThe configuration, hardy.yaml (--yaml prints it alone):\n\n%s", configuration);
    if (use[0]) {
        printf("\nThen:\n\n%s", use);
    }
}

static void put_json(const struct advice *a, const char *configuration, const char *use,
                     struct buf *to) {
    struct json_out j;
    char text[48];
    json_out_init(&j, to, 2);
    json_out_object(&j);
    json_out_key(&j, "answers");
    json_out_object(&j);
    for (int id = 0; id < QUESTIONS; id++) {
        answers_text(&a->answers, (enum question_id)id, text, sizeof text);
        json_out_member_string(&j, questions[id].name, text);
    }
    json_out_object_end(&j);
    json_out_key(&j, "patterns");
    json_out_array(&j);
    for (int p = 0; p < PATTERNS; p++) {
        json_out_object(&j);
        json_out_member_string(&j, "pattern", pattern_names[p]);
        json_out_member_string(&j, "verdict", verdict_words[a->patterns[p].verdict]);
        json_out_member_string(&j, "reason", a->patterns[p].reason);
        json_out_member_string(&j, "cost", a->patterns[p].cost[0] ? a->patterns[p].cost : NULL);
        json_out_key(&j, "added_s");
        json_out_double(&j, (double)a->patterns[p].added / (double)HARDY_SECOND);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_key(&j, "notes");
    json_out_array(&j);
    for (size_t i = 0; i < a->note_count; i++) {
        json_out_string(&j, a->notes[i]);
    }
    json_out_array_end(&j);
    json_out_key(&j, "worst_case_s");
    if (a->guarded) {
        json_out_double(&j, (double)a->worst_case / (double)HARDY_SECOND);
    } else {
        json_out_null(&j);
    }
    json_out_member_string(&j, "configuration", configuration);
    json_out_member_string(&j, "use", use);
    json_out_object_end(&j);
}

static int print(const struct options *o, const struct answers *answers, const char *names,
                 bool yaml) {
    static struct advice a;
    struct buf configuration, use, json;
    buf_init(&configuration, TEXT_MAX);
    buf_init(&use, TEXT_MAX);
    buf_init(&json, TEXT_MAX);
    advise(answers, &a);
    advise_configuration(&a, names, &configuration);
    advise_use(&a, names, &use);
    const char *text = configuration.data ? configuration.data : "";
    if (o->globals.json) {
        put_json(&a, text, use.data ? use.data : "", &json);
        puts(json.data ? json.data : "");
    } else if (yaml) {
        fputs(text, stdout);
    } else {
        print_advice(&a, text, use.data ? use.data : "");
    }
    bool failed = configuration.failed || use.failed || json.failed;
    buf_free(&configuration);
    buf_free(&use);
    buf_free(&json);
    if (failed) {
        say(o, HARDY_LOG_ERROR, "out of memory");
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

/* --- the command ------------------------------------------------------------------------------ */

static int wrong_scenario(const struct options *o, const char *name) {
    const char *names[8];
    size_t count = 0;
    for (; scenarios[count].name; count++) {
        names[count] = scenarios[count].name;
    }
    const char *near = str_nearest(name, names, count);
    return options_wrong(o,
                         "--scenario: \"%s\" is none of pod-remediation, provisioning, "
                         "log-analysis%s%s%s",
                         name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Whether `name` is one of those between spaces. */
static bool has_name(const char *names, const char *name) {
    size_t len = strlen(name);
    for (const char *at = names; *at; at += strspn(at, " ")) {
        if (strcspn(at, " ") == len && memcmp(at, name, len) == 0) {
            return true;
        }
        at += strcspn(at, " ");
    }
    return false;
}

static int run(struct options *o) {
    const struct scenario *scenario = NULL;
    const char *given[QUESTIONS] = {0};
    char names[1024] = "";
    bool yaml = false, any = false;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int id;
    while ((id = options_next(o)) > 0) {
        if (id >= OPT_QUESTION) {
            given[id - OPT_QUESTION] = o->value;
            any = true;
        } else if (id == OPT_SCENARIO) {
            scenario = scenario_find(o->value);
            if (!scenario) {
                return wrong_scenario(o, o->value);
            }
        } else if (id == OPT_YAML) {
            yaml = true;
        } else {
            size_t len = strlen(names);
            if (!str_valid_name(o->value)) {
                return options_wrong(o,
                                     "--name: \"%s\" cannot be a guard's name: letters, digits, "
                                     "\".\", \"_\", \"-\", at most 63, first a letter or digit",
                                     o->value);
            }
            if (has_name(names, o->value)) {
                return options_wrong(o,
                                     "--name: \"%s\" is given twice; each guard needs a name "
                                     "of its own",
                                     o->value);
            }
            if (len + strlen(o->value) + 2 > sizeof names) {
                return options_wrong(o, "--name: too many of them");
            }
            snprintf(names + len, sizeof names - len, "%s%s", len ? " " : "", o->value);
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "\"%s\": answers are given as flags", o->argv[0]);
    }
    struct answers a;
    if (!scenario && !any) {
        if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
            return options_wrong(o, "there is no terminal to ask on: give --scenario, or at least "
                                    "--side-effects and --depends-on");
        }
        int code = ask_all(o, &a);
        if (code != EXIT_DONE) {
            return code;
        }
    } else if (scenario) {
        (void)scenario_answers(scenario, &a, NULL);
    } else {
        answers_default(&a);
        if (!given[ASK_EFFECTS] || !given[ASK_DEPENDS]) {
            const struct question *q = &questions[given[ASK_EFFECTS] ? ASK_DEPENDS : ASK_EFFECTS];
            return options_wrong(o, "--%s is missing: %s %s", q->name, q->ask, q->value);
        }
    }
    for (int i = 0; i < QUESTIONS; i++) {
        if (given[i] && answers_set(&a, (enum question_id)i, given[i], &error) != HARDY_OK) {
            return options_wrong(o, "--%s: %s", questions[i].name, error.message);
        }
    }
    if (answers_check(&a, &error) != HARDY_OK) {
        return options_wrong(o, "%s: %s", error.where, error.message);
    }
    if (!names[0]) {
        char depends[48];
        answers_text(&a, ASK_DEPENDS, depends, sizeof depends);
        str_copy(names, sizeof names, scenario ? scenario->guards : depends);
    }
    return print(o, &a, names, yaml);
}

const struct command command_advise = {
    .name = "advise",
    .synopsis = "[OPTIONS]",
    .summary = "say which patterns an operation needs, which not, why, and the configuration",
    .details =
        "Without a flag it asks, one question after another, on the terminal; ? explains a\n"
        "question, Enter takes what stands in brackets. With flags it asks nothing:\n"
        "--side-effects and --depends-on are needed, the rest has defaults.\n\n"
        "It never advises to repeat a side effect that nobody could recognise, and no retry\n"
        "without a budget. What it prints as a configuration is accepted by hardy validate,\n"
        "and its first line makes it again. Answers that cannot hold together are refused.",
    .examples = "hardy advise --scenario pod-remediation\n"
                "hardy advise --side-effects key --depends-on api --takes 1s --deadline 10s\n"
                "hardy advise --side-effects none --depends-on llm --clients 200 --json\n"
                "hardy advise --scenario log-analysis --yaml >hardy.yaml",
    .options = rows,
    .more = question_rows,
    .run = run,
};
