/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_RUNNING_H
#define CLI_RUNNING_H
/* Driving a run from the command line: for `hardy run FILE` and `hardy workflows resume ID`. */
#include "cli/session.h"
#include "work/runner.h"
#include <stdio.h>

struct running {
    const char *id; /* NULL = found or made */
    bool fresh, retry_failed;
    bool watch;        /* also when another process drives it; with --json as JSON Lines */
    bool cancels;      /* it was asked to be cancelled: that is its success */
    const char *input; /* JSON object */
};
/* Prints progress on standard error and the result on standard output; returns the exit code. */
int running_drive(const struct options *o, struct session *s, const struct workflow *w,
                  const struct running *how);
/* What a person has to type about a run that is in doubt. */
void print_in_doubt(FILE *to, const char *state, const struct run *run);
/* And about its steps that wait for approval. */
void print_approvals(FILE *to, const char *state, const struct run *run);
#endif
