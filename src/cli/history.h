/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H
#include "incident/history.h"

/* "What would you have done last night?": a table by service, then what happened, line by line. */
void print_history(const struct history *h);
#endif
