/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RESOLVE_H
#define WORK_RESOLVE_H
/* A person settles what is in doubt. */
#include "durable/record.h"
#include "durable/run.h"
#include "io/loop.h"

struct resolution {
    const char *row_kind, *key;
    const char *name; /* what errors call it; NULL = `key` */
    enum resolve_how how;
    const char *result; /* NULL = none */
    const char *who;    /* goes into the record */
};

/* Of what is in doubt in a step, its command or its undoing; `how`, `result` and `who` are still to
 * be said. `*name` is what `name` points at, malloc'd; NULL = no memory, errors give the key. */
struct resolution resolution_of_step(const struct run *run, const struct run_step *step,
                                     char **name);

/* `state`: path of the database; NULL = a store in memory, beside which nothing has run.
 * E_NOT_FOUND; E_CLOSED: the record is not in doubt; E_RUNNING: it still runs, or another process
 * is deciding about it. Waits for the store until `deadline`. */
hardy_status record_resolve(struct loop *loop, struct store *store, const char *state,
                            const struct resolution *how, int64_t deadline, hardy_error *error);

/* The same on the loop, which waits for nobody. `how` is copied. */
/* `record` as it was written, borrowed for the call; `error` of a failure. */
typedef void (*record_resolved)(void *ctx, hardy_status status, const struct record *record,
                                const hardy_error *error);
/* A failure that is returned is not told again by `done`. */
hardy_status record_resolve_start(struct loop *loop, struct store *store, const char *state,
                                  const struct resolution *how, record_resolved done, void *ctx,
                                  hardy_error *error);
#endif
