/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H
#include <stdbool.h>

/* In the foreground of a terminal: a command in another group could not read from it, and what the
 * terminal sends (Ctrl-C) goes to all of this group. */
bool terminal_in_foreground(void);
#endif
