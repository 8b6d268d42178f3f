/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RUN_H
#define DURABLE_RUN_H
/*
 * A workflow run as a step machine: recorded state in, next step out. Row "run" (key = id) holds
 * the run and the names of its steps; rows "step" (key = "ID/0003.name") hold the steps' records.
 */
#include "durable/record.h"

enum run_state { RUN_RUNNING, RUN_DONE, RUN_FAILED, RUN_IN_DOUBT, RUN_WAITING, RUN_CANCELLED };
const char *run_state_text(
    enum run_state state); /* "running" "done" "failed" "in_doubt" "waiting" "cancelled" */

struct run_step {
    char *name;           /* owned */
    char definition[65];  /* SHA-256 of the step's definition */
    struct record record; /* state RECORD_PENDING while there is no row */
};
struct run {
    char *id, *name, *file; /* owned, as all pointers here */
    char definition[65];    /* SHA-256 over the names and definitions of all steps */
    char input_hash[65];
    char *input; /* JSON */
    enum run_state state;
    int64_t fence;          /* of the run's row: its owner's number */
    int64_t created, ended; /* wall; 0 = not yet */
    char *detail;           /* why it is as it is, one line; NULL */
    hardy_status verdict;   /* of a run that failed or is in doubt; else OK */
    struct run_step *steps;
    size_t count;
};
void run_free(struct run *run);
char *run_step_key(const char *id, size_t index, const char *name); /* malloc'd; NULL = no memory */
/* E_NOT_FOUND, E_CORRUPT. run_load() also reads the steps' records; run_decode() does not. */
hardy_status run_load(struct store *store, const char *id, struct run *out, hardy_error *error);
hardy_status run_load_steps(struct store *store, struct run *run, hardy_error *error);
hardy_status run_decode(const struct store_row *row, struct run *out, hardy_error *error);
void run_encode(const struct run *run, struct buf *out);

enum run_next_kind { RUN_NEXT_STEP, RUN_NEXT_FINISH };
struct run_next {
    enum run_next_kind kind;
    size_t step; /* the step to run, attach to, collect or ask about; or the one that failed */
    enum run_state state; /* RUN_NEXT_FINISH: what the run has become */
};
struct run_next run_next(const struct run *run);

/* Whether a changed definition can go on: every step that was begun is still there, same name, same
 * place, same definition. E_MISMATCH: `error` holds a readable difference. */
hardy_status run_check_definition(const struct run *recorded, const struct run *now,
                                  hardy_error *error);
#endif
