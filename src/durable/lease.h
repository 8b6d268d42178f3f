/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_LEASE_H
#define DURABLE_LEASE_H
/*
 * Who drives a run: a row ("lease", "run/ID") with a fence that grows with every owner, and a time
 * until which it is its owner's. Every batch of the run requires the fence, so an owner that was
 * taken over, because it was stopped or its machine slept, cannot write any more, and learns of it
 * before it does anything else.
 *
 * On one host a lock tells at once that an owner is dead; the time is for one that holds its lock
 * and does not go on.
 */
#include "durable/moment.h"
#include "store/store.h"

struct run_lease {
    char *key;
    int64_t fence; /* 0 = nobody has ever had it */
    char owner[96];
    struct moment until; /* not set: it was let go */
};
void run_lease_free(struct run_lease *l);
/* What is recorded; fence 0 when nothing is. */
hardy_status run_lease_load(struct store *store, const char *run_id, struct run_lease *out,
                            hardy_error *error);
/* The operation that takes it (the fence has been made one more by the caller, `before` = what it
 * was), renews it (`before` = its fence), or lets it go (`until` not set). `value` holds the bytes
 * until the submit. */
void run_lease_op(const struct run_lease *l, int64_t before, struct buf *value,
                  struct store_op *op);
/* The operation that each batch of the run begins with. */
struct store_op run_lease_require(const struct run_lease *l);
#endif
