/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RETENTION_H
#define DURABLE_RETENTION_H
/*
 * How long finished runs are kept. A run is its row "run" (key = ID), the rows "step", "undo" and
 * "signal" whose keys begin with "ID/", and its row "lease" (key = "run/ID"). One that is running,
 * waiting or in doubt is never removed. Actions and incidents have their own end (`expires`).
 *
 * A run goes with its row first, together with as many of its other rows as one batch may have:
 * what a kill leaves of it then is not a run any more, least of all an unfinished one, and belongs
 * to nothing. The next sweep removes what belongs to nothing.
 */
#include "store/store.h"

struct retention_policy {
    int64_t age;    /* since the run ended; HARDY_NEVER = any */
    uint64_t count; /* finished runs kept; UINT64_MAX = any number */
    uint64_t bytes; /* of all finished runs' rows together; UINT64_MAX = any */
};

/* --- the decision: pure ------------------------------------------------------------------------
 */
struct retention_run {
    char *id;
    bool finished;
    int64_t ended; /* wall; of an unfinished one it does not matter */
    int64_t fence; /* of its row */
    int64_t lease; /* fence of its lease, 0 = it has none: it grows with every owner */
    bool owned;    /* somebody drives it just now: it is not finished, whatever its row says */
    uint64_t rows, bytes;
};
/* Which runs go, oldest end first: their indices into `go`, which has room for all. How many. */
size_t retention_decide(const struct retention_run *runs, size_t count,
                        const struct retention_policy *policy, int64_t wall, size_t *go);

/* --- the sweep ---------------------------------------------------------------------------------
 */
struct retention_sweep {
    struct retention_policy policy;
    int64_t wall;
    int64_t deadline;     /* monotonic: no batch is begun after it */
    bool dry_run;         /* only tells */
    uint64_t max_batches; /* 0 = any number */
    /* Each run that has gone, or with dry_run: that would; NULL. */
    void (*told)(void *ctx, const struct retention_run *run);
    void *ctx;
};
struct retention_report {
    uint64_t runs, rows, bytes; /* removed, or with dry_run: that would be */
    uint64_t kept;              /* runs left, unfinished ones too */
    bool unfinished;            /* the deadline or max_batches came first */
};
/* Waits for the store: not for a loop. A run that somebody takes up meanwhile is left alone. */
hardy_status retention_apply(struct store *store, const struct retention_sweep *sweep,
                             struct retention_report *out, hardy_error *error);
/* Removes what is left of a former run of this id, whose own row is gone: before a run is begun
 * under an id that a person gave. E_EXISTS: there is such a run. */
hardy_status retention_clear(struct store *store, const char *id, int64_t deadline,
                             hardy_error *error);

/* Whether a sweep of this state is due; `mine`: it is, and this process has taken it upon itself. A
 * row remembers, so that it is made once an `every` whoever comes. */
hardy_status retention_claim(struct store *store, int64_t wall, int64_t every, int64_t deadline,
                             bool *mine, hardy_error *error);
/* It was not finished: whoever comes next goes on. */
hardy_status retention_release(struct store *store, int64_t deadline, hardy_error *error);
#endif
