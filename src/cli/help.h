/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HELP_H
#define CLI_HELP_H
/* Help texts and the manual page, made from the table of commands. */
#include "cli/command.h"
#include <stdio.h>

void help_program(FILE *to);
void help_command(const struct command *command, FILE *to);
void help_version(FILE *to);
/* Words from `column` on, as long as the lines allow; what is there already stands to the left. */
void help_wrapped(const char *text, size_t len, int column, FILE *to);
extern const struct command command_help;   /* hardy help [COMMAND] */
extern const struct command command_manual; /* hardy __man: the manual page as mdoc */
#endif
