/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_BLOB_H
#define DURABLE_BLOB_H
/*
 * Results that are too large for a row: files in the folder `STATE-blobs` beside the database,
 * named by what is in them: STATE-blobs/ab/ab12... A blob is on stable storage before blob_put()
 * returns, so that a row that names it can be committed afterwards. Nothing is ever changed; what
 * no row names is removed by a sweep.
 */
#include "base/buf.h"
#include <hardy/env.h>

#define BLOB_NAME_SIZE 72 /* "sha256:" and 64 digits, with the NUL */
#define BLOB_MAX ((size_t)64 << 20)
#define BLOB_GRACE HARDY_HOUR /* younger ones may be about to be named */

/* `state` = path of the database. Written to a temporary name, synced, renamed, 0600. What is there
 * already is not written again. */
hardy_status blob_put(const char *state, const void *data, size_t len, char name[BLOB_NAME_SIZE],
                      hardy_error *error);
/* Appends it. E_NOT_FOUND; E_CORRUPT: the file is not what its name says; E_INVALID: no name. */
hardy_status blob_get(const char *state, const char *name, struct buf *out, hardy_error *error);

/* Copies what the state `from` has to the state `to`, but for what is there already; each is looked
 * at. `to` may be a backup. Without the folder there is nothing to do. */
hardy_status blob_copy_all(const char *from, const char *to, uint64_t *copied, hardy_error *error);

struct blob_swept {
    uint64_t kept, removed, bytes; /* `bytes`: of those removed */
};
/* Removes what `named` says no row names, if it is older than BLOB_GRACE at `wall`, and remains of
 * writes that were cut off. Without the folder there is nothing to do. */
hardy_status blob_sweep(const char *state, int64_t wall, bool (*named)(void *ctx, const char *name),
                        void *ctx, struct blob_swept *out, hardy_error *error);
#endif
