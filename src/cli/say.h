/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SAY_H
#define CLI_SAY_H
/* Lines for the person at the terminal, on standard error: "hardy exec: ...". Results do not go
 * through here but to standard output. */
#include "cli/options.h"

/* Shown when the level asked for on the command line allows it; each is one line and one write. */
void say(const struct options *o, hardy_log_level level, const char *format, ...)
    HARDY_PRINTF(3, 4);
/* "hardy exec: place: message". */
void say_error(const struct options *o, const hardy_error *error);
#endif
