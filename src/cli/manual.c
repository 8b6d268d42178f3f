/* SPDX-License-Identifier: Apache-2.0 */
/* The manual pages, written from the tables: `hardy __man > man/hardy.1` from that of commands,
 * `hardy __man hardy.yaml > man/hardy.yaml.5` from that of the configuration, and
 * `hardy __man hardy-workflow > man/hardy-workflow.5` from that of workflows. */
#include "cli/manual.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/mdoc.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void rows(const struct option_row *row) {
    for (; row && row->name; row++) {
        fputs(".It ", stdout);
        if (row->letter) {
            printf("Fl %c , ", row->letter);
        }
        fputs("Fl Fl ", stdout);
        mdoc_text(row->name, strlen(row->name));
        if (row->value) {
            fputs(" Ar \\&", stdout);
            mdoc_text(row->value, strlen(row->value));
        }
        putchar('\n');
        mdoc_flow(row->help, strlen(row->help));
    }
}

static void forms(const struct command *command) {
    const char *form = command->synopsis;
    do {
        size_t len = strcspn(form, "\n");
        printf(".Nm\n.Cm %s\n", command->name);
        if (len) {
            mdoc_line(form, len);
        }
        form += len + (form[len] == '\n');
        if (*form) {
            puts(".Pp");
        }
    } while (*form);
}

static void one(const struct command *command) {
    printf(".Ss %s\n", command->name);
    forms(command);
    puts(".Pp");
    char summary[256];
    int len = snprintf(summary, sizeof summary, "%c%s", toupper((unsigned char)command->summary[0]),
                       command->summary + 1);
    mdoc_flow(summary, len < (int)sizeof summary ? (size_t)len : sizeof summary - 1);
    const struct option_row *more = command->more ? command->more() : NULL;
    if (command->options || more) {
        puts(".Bl -tag -width Ds");
        rows(command->options);
        rows(more);
        puts(".El");
    }
    if (command->details) {
        mdoc_paragraphs(command->details);
    }
    if (command->examples) {
        puts(".Pp\nExamples:");
        mdoc_literal(command->examples);
    }
}

static int run_manual(struct options *o) {
    if (options_next(o) < 0) {
        return o->exit;
    }
    if (o->argc == 1 && str_eq(o->argv[0], "hardy.yaml")) {
        return manual_yaml();
    }
    if (o->argc == 1 && str_eq(o->argv[0], "hardy-workflow")) {
        return manual_workflow();
    }
    puts(".\\\" SPDX-License-Identifier: Apache-2.0\n"
         ".\\\" Made by `hardy __man` from the table of commands.\n"
         ".Dd November 23, 2026\n.Dt HARDY 1\n.Os\n"
         ".Sh NAME\n.Nm hardy\n.Nd keep commands and agents working while what they need fails\n"
         ".Sh SYNOPSIS\n.Nm\n.Ar COMMAND\n.Op Ar OPTIONS\n.Op Ar ARGUMENTS\n"
         ".Sh DESCRIPTION\n.Nm\n"
         "runs and supervises what depends on services that fail:\n"
         "with retries, circuit breakers, limits and deadlines.\n"
         "Results go to standard output, everything else to standard error.\n.Pp\n"
         "These options are understood by every command:\n.Bl -tag -width Ds");
    rows(global_rows);
    puts(".El\n.Sh COMMANDS");
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->hidden) {
            one(commands[i]);
        }
    }
    puts(
        ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n"
        ".It Ev HARDY_CONFIG\nThe configuration file, when\n.Fl Fl config\nis not given.\n"
        "Else\n.Pa ./hardy.yaml ,\n.Pa $XDG_CONFIG_HOME/hardy/hardy.yaml\nand\n"
        ".Pa /etc/hardy/hardy.yaml\nare looked for.\n"
        ".It Ev HARDY_STATE\nWhere state is kept, when\n.Fl Fl state\nis not given.\n"
        "Else the configuration's\n.Cm state ,\n.Pa $STATE_DIRECTORY/hardy.db\nand\n"
        ".Pa $XDG_STATE_HOME/hardy/hardy.db\nare used.\n"
        ".It Ev NO_COLOR\nNo colours when it is set and not empty.\n.El\n"
        ".Sh EXIT STATUS\n"
        "Of every command but\n.Cm exec\nand\n.Cm wrap :\n.Bl -tag -width Ds\n"
        ".It 0\nDone.\n"
        ".It 1\nIt failed and trying again would not help, or the state cannot be used.\n"
        ".It 2\nA wrong command line or configuration.\n"
        ".It 3\nA person was told, of an incident.\n"
        ".It 4\nIn doubt: something was started and nobody knows how it ended.\n"
        ".It 5\nRefused by a person, or not approved in time.\n"
        ".It 69\nThe circuit breaker of a step is open.\n"
        ".It 75\nA step failed in a way that may pass, and its retries are used up.\n"
        ".It 124\nA step did not end in time.\n"
        ".It 130\nInterrupted; 128 + N by signal N.\n.El\n.Pp\n"
        "Of\n.Cm exec\nand\n.Cm wrap :\n"
        "the command's own status, 128 + N when signal N ended it, or\n.Bl -tag -width Ds\n"
        ".It 69\nThe circuit breaker is open.\n"
        ".It 73\nThe same key is running elsewhere.\n"
        ".It 75\nA passing failure, and the retries are used up.\n"
        ".It 79\nIn doubt, under a key.\n"
        ".It 124\nThe deadline passed.\n"
        ".It 125\nRefused: command line, configuration, state, or other settings under this name.\n"
        ".It 126\nThe command cannot be run.\n"
        ".It 127\nThere is no such command.\n.El\n"
        ".Sh SEE ALSO\n.Xr timeout 1 ,\n.Xr hardy-workflow 5 ,\n.Xr hardy.yaml 5");
    return EXIT_DONE;
}

const struct command command_manual = {
    .name = "__man",
    .synopsis = "[hardy.yaml|hardy-workflow]",
    .summary = "print the manual page",
    .run = run_manual,
    .hidden = true,
};
