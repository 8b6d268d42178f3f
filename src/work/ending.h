/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_ENDING_H
#define WORK_ENDING_H
/* What the end of one run amounts to: for its record, for the guard, in words. */
#include "durable/record.h"
#include "io/shim.h"
#include <hardy/outcome.h>

enum ending {
    ENDING_NONE,        /* no run yet */
    ENDING_DONE,        /* exit code 0 */
    ENDING_FAILED,      /* it exited by itself, not 0: known to have failed */
    ENDING_NOT_STARTED, /* the command could not be executed: certainly no effect */
    ENDING_UNKNOWN      /* killed, stopped at its deadline, cancelled, or lost with its shim */
};
enum ending ending_of(const struct shim_result *result);
/* Fills the record's fields about the run; takes the output. */
void ending_record(struct record *r, struct shim_result *result, const char *command);
/* The same for a run whose shim was lost, and for one that was stopped before the command began. */
void ending_record_lost(struct record *r);
void ending_record_never_ran(struct record *r, bool timed_out, int64_t wall);
/* The code that stands for it: the exit code, 128 + N for a signal, 124 for a deadline. */
int ending_code(const struct record *r);
/* For the guard. `passing`: a failure that is worth another attempt, and allows one. */
hardy_outcome ending_outcome(enum ending ending, const struct record *r, bool passing);
#endif
