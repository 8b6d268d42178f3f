/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_UPKEEP_H
#define STORE_UPKEEP_H
/*
 * What is done to a state as a whole: copied while others write, put back, packed. For the SQLite
 * file only; store_copy() goes from any store to any.
 */
#include "store/store.h"
#include <sys/types.h>

/*
 * Writes the state at `path`, as it is at one moment, to `to`, while others go on writing: read
 * through a connection that cannot write, to a temporary name beside `to`, synced, renamed. 0600.
 * E_NOT_FOUND (there is no state), E_EXISTS (`to` is there, and not `replace`), and what
 * store_open() tells.
 */
hardy_status store_backup(const char *path, const char *to, bool replace, hardy_error *error);

/* That the file is a state of hardy's, of a schema this hardy knows, and whole, by reading through
 * it. E_NOT_FOUND, E_CORRUPT, E_NEWER ... */
hardy_status store_verify(const char *path, hardy_error *error);

/*
 * Puts a copy of `from` in the place of the state at `path`, whose directory must exist. What was
 * there is kept beside it, under the name that is left in `kept` ("" = there was nothing). `from`
 * has been verified. E_RUNNING: processes have the state open, named; nothing was changed then.
 * Killed in the middle it leaves the old state, the new one, or a file that every hardy refuses
 * and that says what to do: never an empty state.
 */
hardy_status store_restore(const char *from, const char *path, char *kept, size_t size,
                           hardy_error *error);

/* Whether a process has the state at `path` open for writing: E_RUNNING, named. */
hardy_status store_check_unused(const char *path, hardy_error *error);

/* Writes the file anew without the space that is free in it, inside the writer lease: others wait.
 * Afterwards it gives space back by itself, also if it was made by a hardy that did not have that.
 * E_DEADLINE: the lease was not free within `wait`. */
hardy_status store_compact(const char *path, int64_t wait, hardy_error *error);

/* Processes that have the state open for writing: how many, the first `max` in `pids`. Makes
 * nothing. */
size_t store_users(const char *path, pid_t *pids, size_t max);

/* Processes that are in the middle of a read, and so keep the log from being begun anew: how many,
 * the first `max` in `pids`. Not while this process has the state open: it would lose its locks. */
size_t store_log_readers(const char *path, pid_t *pids, size_t max);

/*
 * Copies every row, with its fence and times, from any store to any. `to` has no rows: E_EXISTS.
 * What was copied is compared afterwards, row for row: E_MISMATCH when `from` changed meanwhile.
 */
struct store_copied {
    uint64_t rows, bytes;
};
hardy_status store_copy(struct store *from, struct store *to, struct store_copied *out,
                        hardy_error *error);
/* The kinds of the rows that there are, from store_describe(). `fn` returns false to stop. */
hardy_status store_each_kind(struct store *store,
                             bool (*fn)(void *ctx, const char *kind, uint64_t rows), void *ctx,
                             hardy_error *error);
#endif
