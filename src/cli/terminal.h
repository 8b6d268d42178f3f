/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H
#include <stdbool.h>

/* In the foreground of a terminal: a command in another group could not read from it, and what the
 * terminal sends (Ctrl-C) goes to all of this group. */
bool terminal_in_foreground(void);
/* How wide it is that `fd` shows to; 80 when it is no terminal or does not say. */
unsigned terminal_columns(int fd);
/* Whether what is printed may hold more than ASCII: LC_ALL, LC_CTYPE, LANG, the first that is set,
 * names UTF-8. */
bool terminal_is_utf8(void);
#endif
