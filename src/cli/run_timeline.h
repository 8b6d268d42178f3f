/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RUN_TIMELINE_H
#define CLI_RUN_TIMELINE_H
/* A run as `hardy workflows show` draws it: its steps in time, who drives it, what needs a person,
 * and what a resume would do. */
#include "cli/session.h"
#include "durable/run.h"

void print_timeline(struct session *s, const struct run *run);
#endif
