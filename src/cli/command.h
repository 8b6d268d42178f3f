/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H
/*
 * A subcommand is a record: help, completion and the manual's synopsis come from it. main.c only
 * dispatches. Options are rows too, parsed by options.c (the one option parser, on getopt_long).
 */
#include <hardy/status.h>
#include <stdbool.h>
#include <stddef.h>

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
    EXIT_INTERRUPTED = 130
};

struct option_row {
    const char *name;  /* "retries" */
    char letter;       /* 0 = none */
    const char *value; /* metavariable, "N"; NULL = a switch */
    const char *help;
};
struct globals { /* options every command takes */
    const char *config, *state;
    bool json, quiet, help;
    int verbose;
    const char *log_level, *color;
};
struct command {
    const char *name;
    const char *alias;    /* the other number: "guard" for "guards"; NULL */
    const char *synopsis; /* "NAME [--for 10m]", one line a form, separated by \n */
    const char *summary;  /* one line */
    const char *examples; /* lines to type */
    const char *details;  /* paragraphs, may be NULL */
    int (*run)(const struct command *self, int argc, char **argv); /* returns the exit code */
    bool hidden;
};
extern const struct command *const commands[]; /* NULL-terminated */
#endif
