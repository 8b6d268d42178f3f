/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"
#include "base/str.h"
#include "cli/say.h"
#include <ctype.h>
#include <string.h>

#define COLUMN 28 /* where the explanations start */
#define WIDTH 96

void help_version(FILE *to) {
    fprintf(to, "hardy %s\n", HARDY_VERSION);
}

void help_wrapped(const char *text, size_t len, int column, FILE *to) {
    const char *end = text + len;
    int at = column;
    while (text < end) {
        int word = (int)strcspn(text, " \n");
        if (word > end - text) {
            word = (int)(end - text);
        }
        if (word > 0 && at > column) {
            bool room = at + 1 + word <= WIDTH;
            if (room) {
                fputc(' ', to);
            } else {
                fprintf(to, "\n%*s", column, "");
            }
            at = room ? at + 1 : column;
        }
        fprintf(to, "%.*s", word, text);
        at += word;
        text += word + 1;
    }
    fputc('\n', to);
}

static void print_row(const struct option_row *row, FILE *to) {
    char left[80];
    char letter[8] = "    ";
    if (row->letter) {
        snprintf(letter, sizeof letter, "-%c, ", row->letter);
    }
    snprintf(left, sizeof left, "  %s--%s%s%s", letter, row->name, row->value ? " " : "",
             row->value ? row->value : "");
    if (strlen(left) >= COLUMN) {
        fprintf(to, "%s\n%*s", left, COLUMN, "");
    } else {
        fprintf(to, "%-*s", COLUMN, left);
    }
    help_wrapped(row->help, strlen(row->help), COLUMN, to);
}

static bool own_row(const struct command *command, const char *name) {
    const struct option_row *more = command->more ? command->more() : NULL;
    for (const struct option_row *row = command->options; row && row->name; row++) {
        if (str_eq(row->name, name)) {
            return true;
        }
    }
    for (const struct option_row *row = more; row && row->name; row++) {
        if (str_eq(row->name, name)) {
            return true;
        }
    }
    return false;
}

static void print_globals(const struct command *command, FILE *to) {
    for (const struct option_row *row = global_rows; row->name; row++) {
        if (!command || !own_row(command, row->name)) {
            print_row(row, to);
        }
    }
}

static void print_indented(const char *text, FILE *to) {
    while (*text) {
        size_t len = strcspn(text, "\n");
        fprintf(to, "%s%.*s\n", len ? "  " : "", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

/* Separated by empty lines. */
static void print_paragraphs(const char *text, FILE *to) {
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t len = end ? (size_t)(end - text) : strlen(text);
        fputc('\n', to);
        help_wrapped(text, len, 0, to);
        text += len + (end ? 2 : 0);
    }
}

/* One line for each form of the command. */
static void print_usage(const struct command *command, FILE *to) {
    const char *form = command->synopsis;
    const char *label = "Usage:";
    do {
        size_t len = strcspn(form, "\n");
        fprintf(to, "%-6s hardy %s%s%.*s\n", label, command->name, len ? " " : "", (int)len, form);
        form += len + (form[len] == '\n');
        label = "";
    } while (*form);
}

void help_program(FILE *to) {
    fputs("Usage: hardy COMMAND [OPTIONS] [ARGUMENTS]\n\n"
          "Keeps agents and commands working while what they depend on fails.\n\nCommands:\n",
          to);
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->hidden) {
            fprintf(to, "  %-12s%s\n", commands[i]->name, commands[i]->summary);
        }
    }
    fputs("\nOptions of all commands:\n", to);
    print_globals(NULL, to);
    fputs("\nExamples:\n", to);
    for (size_t i = 0; commands[i]; i++) {
        if (!commands[i]->hidden && commands[i]->examples) {
            fprintf(to, "  %.*s\n", (int)strcspn(commands[i]->examples, "\n"),
                    commands[i]->examples);
        }
    }
    fputs("\n'hardy COMMAND --help' tells more about a command.\n", to);
}

void help_command(const struct command *command, FILE *to) {
    print_usage(command, to);
    fprintf(to, "\n%c%s.\n", toupper((unsigned char)command->summary[0]), command->summary + 1);
    const struct option_row *more = command->more ? command->more() : NULL;
    if (command->options || more) {
        fputs("\nOptions:\n", to);
        for (const struct option_row *row = command->options; row && row->name; row++) {
            print_row(row, to);
        }
        for (const struct option_row *row = more; row && row->name; row++) {
            print_row(row, to);
        }
    }
    fputs("\nOptions of all commands:\n", to);
    print_globals(command, to);
    if (command->details) {
        print_paragraphs(command->details, to);
    }
    if (command->examples) {
        fputs("\nExamples:\n", to);
        print_indented(command->examples, to);
    }
}

static int run_help(struct options *o) {
    int id = options_next(o);
    if (id < 0) {
        return o->exit;
    }
    if (o->argc == 0) {
        help_program(stdout);
        return EXIT_DONE;
    }
    if (o->argc > 1) {
        return options_wrong(o, "one command at a time, not \"%s\"", o->argv[1]);
    }
    const struct command *command = command_find(o->argv[0]);
    if (!command) {
        return command_unknown(o, o->argv[0]);
    }
    help_command(command, stdout);
    return EXIT_DONE;
}

const struct command command_help = {
    .name = "help",
    .synopsis = "[COMMAND]",
    .summary = "tell about hardy or about a command",
    .examples = "hardy help exec",
    .run = run_help,
};
