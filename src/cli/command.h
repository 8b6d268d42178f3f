/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H
/*
 * A subcommand is a record: help and the manual come from it, main.c only dispatches. Its options
 * are rows too, parsed by options.c. To add a subcommand: a file NAME.c with a record
 * `command_NAME`, and a line in commands.c.
 *
 *     static int run(struct options *o) {
 *         int id;
 *         while ((id = options_next(o)) > 0) {
 *             if (id == OPT_FOR) { ... o->value ... }
 *         }
 *         if (id < 0) {
 *             return o->exit; // --help was answered, or the mistake was told
 *         }
 *         ... o->argc operands in o->argv ...
 *     }
 */
#include "cli/options.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_ESCALATED = 3,
    EXIT_IN_DOUBT = 4,
    EXIT_LIMIT = 5,
    EXIT_DEGRADED = 6,
    EXIT_OPEN = 69,
    EXIT_PASSING = 75,
    EXIT_DEADLINE = 124,
    EXIT_REFUSED = 125, /* `hardy exec` and `hardy wrap`: instead of 1 and 2 */
    EXIT_CANNOT_RUN = 126,
    EXIT_NO_COMMAND = 127,
    EXIT_INTERRUPTED = 130
};

struct command {
    const char *name;
    const char *alias;    /* the other number: "guard" for "guards"; NULL */
    const char *synopsis; /* what follows the name, "NAME [--for 10m]"; a line for each form */
    const char *summary;  /* one line, without a full stop */
    const char *details;  /* paragraphs separated by an empty line; NULL */
    const char *examples; /* lines to type; a test runs each without "# needs" in it */
    const struct option_row *options;       /* ended by a row without a name; NULL: none */
    const struct option_row *(*more)(void); /* rows that are computed; NULL */
    int (*run)(struct options *o);          /* returns the exit code */
    int usage_exit;                         /* for a wrong command line; 0: EXIT_USAGE */
    bool runs_command; /* operands are another command: options end at the first of them */
    bool hidden;
};
extern const struct command *const commands[]; /* NULL-terminated, as `hardy --help` lists them */
const struct command *command_find(const char *name); /* by name or alias; NULL */
/* Tells that there is no such command, and which was perhaps meant; returns the exit code. */
int command_unknown(const struct options *o, const char *name);
#endif
