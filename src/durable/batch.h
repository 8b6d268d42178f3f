/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_BATCH_H
#define DURABLE_BATCH_H
/*
 * A batch for the store whose end is told on the loop: the store calls back on its own thread. It
 * does not wait for ever: when another process has kept the writer lease for ten seconds (it was
 * stopped, or hangs), it fails with E_IO and names that process; it may be stored yet, as after any
 * E_IO.
 */
#include "io/loop.h"
#include "store/store.h"

struct batch { /* caller-owned; at rest until submitted, and again inside `done` */
    struct loop *loop;
    struct store *store;
    struct loop_post post;   /* of one that is refused */
    struct loop_timer timer; /* looks whether the lease is to be had */
    struct flight *flight;   /* what the store has */
    void (*done)(struct batch *b, hardy_status status);
    void *ctx;
    hardy_status status;
    hardy_error error; /* of a failure */
    bool busy;
};
/* Copies the operations. `done` comes from loop_run(), which is kept alive until then. */
void batch_submit(struct batch *b, struct loop *loop, struct store *store,
                  const struct store_op *ops, size_t count,
                  void (*done)(struct batch *b, hardy_status status), void *ctx);
/* The same end, for a batch that cannot even be made. */
void batch_refuse(struct batch *b, struct loop *loop, hardy_status status, const char *why,
                  void (*done)(struct batch *b, hardy_status status), void *ctx);
#endif
