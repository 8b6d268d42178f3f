/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RUN_H
#define DURABLE_RUN_H
/*
 * A workflow run as a step machine: recorded state in, next step out. Pure: no clock, no I/O.
 * Row "run" (key = id) holds the run, rows "step" (key = "ID/0003.name") hold its steps' records.
 */
#include "durable/record.h"

enum run_state { RUN_RUNNING, RUN_DONE, RUN_FAILED, RUN_IN_DOUBT, RUN_WAITING, RUN_CANCELLED };
const char *run_state_text(enum run_state state); /* "running" "done" "failed" "in_doubt" "waiting" "cancelled" */

struct run_step {           /* one step of the definition, with what is recorded of it */
    const char *name;       /* borrowed from the definition */
    char definition[65];    /* SHA-256 of the step's definition */
    struct record record;   /* state RECORD_PENDING when there is no row */
    bool skipped;           /* its condition was false */
};
struct run {
    char *id, *name, *file;
    char definition[65];    /* SHA-256 over the names and definitions of all steps */
    char input_hash[65];
    char *input;            /* canonical JSON */
    enum run_state state;
    int64_t fence;          /* of the run's row: its owner's number */
    int64_t created, ended; /* wall */
    char *detail;
    struct run_step *steps;
    size_t count;
};
void run_free(struct run *run);
hardy_status run_load(struct store *store, const char *id, struct run *out, hardy_error *error); /* without definitions: steps as recorded */
void run_encode(const struct run *run, struct buf *out);

enum run_next_kind { RUN_NEXT_STEP, RUN_NEXT_FINISH };
struct run_next {
    enum run_next_kind kind;
    size_t step;            /* RUN_NEXT_STEP: index of the step to run, attach to or collect */
    enum run_state state;   /* RUN_NEXT_FINISH: what the run has become */
};
struct run_next run_next(const struct run *run);

/* Whether a changed definition can go on: every finished or started step is still there, same name,
 * same place, same definition. E_MISMATCH: `error` holds a readable difference. */
hardy_status run_check_definition(const struct run *recorded, const struct run *now, hardy_error *error);
#endif
