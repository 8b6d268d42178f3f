/* SPDX-License-Identifier: Apache-2.0 */
/* The manual page hardy-workflow.5: words that explain, and every key from the table. */
#include "base/str.h"
#include "cli/command.h"
#include "cli/manual.h"
#include "cli/mdoc.h"
#include "work/workflow.h"
#include <stdio.h>
#include <string.h>

static const char head[] =
    ".\\\" SPDX-License-Identifier: Apache-2.0\n"
    ".\\\" Made by `hardy __man hardy-workflow` from the table of keys.\n"
    ".Dd November 28, 2026\n.Dt HARDY-WORKFLOW 5\n.Os\n"
    ".Sh NAME\n.Nm hardy-workflow\n.Nd a workflow for hardy run\n"
    ".Sh DESCRIPTION\n"
    "A workflow is a file of named steps, which\n.Nm hardy Cm run\ndoes one after another.\n"
    "The start of a step is recorded before it runs, its result after.\n"
    "Killed at any moment and started again, a run goes on: what is finished is not done again, "
    "what\n"
    "still runs is attached to, what was lost while it ran is\n.Em in doubt ,\n"
    "and its policy decides.\n";

static const char rules[] =
    "The file is YAML, in UTF-8, one document. Keys that do not exist, keys given twice, "
    "expressions that name what cannot be there, and values out of their range are errors that "
    "tell line and column, and nothing is run; `hardy validate FILE` tells them without "
    "running.\n\n"
    "Only ${{ }} is replaced; ${NAME} is the shell's. Relative commands, folders and workflows "
    "begin in the file's folder, which is the working directory of its steps.";

static const char step_text[] =
    "Each step has a name and exactly one of run, http, ensure, file, until, sleep, approve, "
    "parallel, steps and workflow, which says what kind of step it is. The lists under parallel "
    "and steps hold steps of the same shape again, groups among them, at most 8 deep; workflows "
    "hold one another at most 6 deep. No two steps of one file have the same name, wherever they "
    "stand.\n\n"
    "when and for_each go with every kind; max_concurrent with parallel, and with for_each; every "
    "with until; input with workflow; timeout with run, http, ensure, file and until; retry, guard "
    "and compensate with run, http, ensure and file; probe and in_doubt with run and http; output "
    "with run, http and until.";

static const char expressions[] =
    "${{ }} holds paths, texts in quotes, numbers, true, false, null, == != < <= > >= && || ! and "
    "parentheses. && and || give the value that decided. A text that is nothing but one ${{ }} is "
    "that value itself, also a list or an object; in the middle of a text other values than texts "
    "are written as JSON. $${{ writes ${{.\n\n"
    "Only values of one kind are compared: input from --set is text, so 8 is written '8'. What is "
    "not there is an error, found before the first step where that is possible.\n\n"
    "In the text of a shell command a value never becomes part of the script: a variable stands in "
    "its place. Put it in double quotes, as any variable.";

struct words {
    const char *name, *text;
};

static const struct words paths[] = {
    {"input.NAME", "of the run: --set, --input; inside a workflow of a step, that step's input"},
    {"steps.NAME.output",
     "of a step that is certainly over before: JSON when it is an object or a list, else text; "
     "null of a step that was skipped; of a group see there"},
    {"env.NAME", "the environment of hardy run; no such variable is an error"},
    {"item, index", "inside for_each: the value, and its place from 0 on"},
};

static const struct words variables[] = {
    {"HARDY_IDEMPOTENCY_KEY", "the same for every attempt of this step in this run: for what "
                              "the step calls"},
    {"HARDY_ATTEMPT", "1 for the first"},
    {"HARDY_FENCE", "grows with every start of the step, also after a restart"},
    {"HARDY_DEADLINE", "when the attempt is ended, as RFC 3339; not set without one"},
    {"HARDY_RUN_ID", "of the run"},
    {"HARDY_STEP", "the step's path in it, such as fan/a or deploy[2]/install"},
};

static const char example[] = "name: provision\n"
                              "steps:\n"
                              "  - name: vpc\n"
                              "    run: [./create-vpc, \"${{ input.name }}\"]\n"
                              "    probe: [./find-vpc, \"${{ input.name }}\"]\n"
                              "    compensate: [./delete-vpc, \"${{ steps.vpc.output.id }}\"]\n"
                              "  - name: subnets\n"
                              "    for_each: [a, b, c]\n"
                              "    max_concurrent: 2\n"
                              "    run: [./create-subnet, \"${{ steps.vpc.output.id }}\", "
                              "\"${{ item }}\"]\n"
                              "    in_doubt: ask\n"
                              "    retry: {max_retries: 3}\n"
                              "  - {name: up, until: [./is-up], every: 2s, timeout: 2m}";

static void put_words(const struct words *list, size_t count, const char *width) {
    printf(".Bl -tag -width %s\n", width);
    for (size_t i = 0; i < count; i++) {
        printf(".It Cm ");
        mdoc_line(list[i].name, strlen(list[i].name));
        mdoc_flow(list[i].text, strlen(list[i].text));
    }
    puts(".El");
}

/* What follows a heading: mdoc wants no paragraph's begin there. */
static void put_first(const char *text) {
    const char *end = strstr(text, "\n\n");
    mdoc_flow(text, (size_t)(end - text));
    mdoc_paragraphs(end + 2);
}

static const char step_prefix[] = "steps[].";

static bool put_own_key(void *ctx, const char *path, const struct schema_key *key) {
    (void)ctx;
    if (!str_starts(path, step_prefix)) {
        manual_key(path, key);
    }
    return true;
}

static bool put_step_key(void *ctx, const char *path, const struct schema_key *key) {
    (void)ctx;
    if (str_starts(path, step_prefix)) {
        manual_key(path + strlen(step_prefix), key);
    }
    return true;
}

int manual_workflow(void) {
    fputs(head, stdout);
    mdoc_paragraphs(rules);
    manual_values();
    puts(".Sh KEYS\n.Bl -tag -width Ds");
    schema_each(&workflow_section, put_own_key, NULL);
    puts(".El\n.Ss A step");
    put_first(step_text);
    puts(".Bl -tag -width Ds");
    schema_each(&workflow_section, put_step_key, NULL);
    puts(".El\n.Sh EXPRESSIONS");
    put_first(expressions);
    put_words(paths, sizeof paths / sizeof *paths, "steps.NAME.output");
    puts(".Sh ENVIRONMENT\nA step's command, its probe and its compensation find the environment "
         "of\n.Nm hardy Cm run\nand besides:");
    put_words(variables, sizeof variables / sizeof *variables, "HARDY_IDEMPOTENCY_KEY");
    puts(".Sh EXAMPLES");
    mdoc_literal(example);
    puts(".Sh SEE ALSO\n.Xr hardy 1 ,\n.Xr hardy.yaml 5");
    return EXIT_DONE;
}
