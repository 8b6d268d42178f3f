/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H
/*
 * The one option parser (getopt_long underneath). A command's own rows come first; the options that
 * all commands take are handled here and left in `globals`, unless a row of the command has the
 * same name. Abbreviations are refused: a later option would change what they mean.
 */
#include <hardy/env.h>
#include <hardy/status.h>
#include <stdbool.h>
#include <stddef.h>

struct command;

struct option_row {
    int id;            /* what options_next() answers; above 0 */
    const char *name;  /* "retries" */
    char letter;       /* 0 = none */
    const char *value; /* what stands for the value in help, "N"; NULL = a switch */
    const char *help;  /* one line, without a full stop */
};
struct globals {
    const char *config; /* -c; NULL = searched for */
    const char *state;  /* --state; NULL = searched for */
    bool json;
    hardy_log_level level; /* notes are shown from INFO on, the default */
    bool level_given;
    enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } color;
};
extern const struct option_row global_rows[]; /* ended by a row without a name */

#define OPTIONS_MAX 128
struct options {
    const struct command *self; /* NULL: the options in front of the command */
    struct globals globals;
    int argc; /* after options_next() has answered 0: the operands */
    char **argv;
    const char *name;  /* of the option just answered */
    const char *value; /* its value, borrowed from the command line; NULL for a switch */
    int exit;          /* after a negative answer: the code to end with */
    const struct option_row *rows[OPTIONS_MAX]; /* all that are understood */
    size_t count;
    bool started;
};

/* argv[0] is the command's name. */
void options_begin(struct options *o, const struct command *self, const struct globals *globals,
                   int argc, char **argv);
/* The next option's id; 0: none is left; -1: help or version was printed or the mistake was told.
 */
int options_next(struct options *o);
/* Tells a mistake in the command line, and returns the exit code for it. */
int options_wrong(const struct options *o, const char *format, ...) HARDY_PRINTF(2, 3);
/* Whether to colour what goes to `fd` (--color, NO_COLOR, a terminal). */
bool options_color(const struct globals *g, int fd);
#endif
