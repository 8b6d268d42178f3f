/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DURABLE_DRAFTS_H
#define TESTS_DURABLE_DRAFTS_H
/*
 * The batches that a run of a workflow writes, without its commands: what the runner and its
 * commands put into the store, drafted by the same functions of src/durable. For measuring what
 * that costs, and for crashing in the middle of it.
 */
#include "durable/lease.h"
#include "durable/run.h"

struct drafts {
    struct run run; /* as it will be after the batch */
    struct run_lease lease;
    struct store_op ops[4];
    struct buf values[4];
    size_t count;
};
/* A run of so many steps, one after another, that is not stored yet. Aborts without memory, as all
 * here do. */
void drafts_new(struct drafts *d, const char *id, int steps);
/* A run that is in the store, and its lease: the status of run_load() and run_lease_load(). */
hardy_status drafts_load(struct drafts *d, struct store *store, const char *id, hardy_error *error);
void drafts_free(struct drafts *d);

/* Fill ops and count, borrowed until the next draft; the first step that is not done is meant. */
void draft_begin(struct drafts *d, int64_t wall); /* the run, its lease, its first start */
void draft_go_on(struct drafts *d, const char *output,
                 int64_t wall);                       /* done; the next start, or the run's end */
void draft_take_over(struct drafts *d, int64_t wall); /* the lease, by another owner */
void draft_again(struct drafts *d, int64_t wall);     /* started anew */
/* The first step that is not done; NULL when there is none. */
struct run_step *drafts_step(const struct drafts *d);
#endif
