/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_CHANGE_H
#define DURABLE_CHANGE_H
/*
 * One row becomes another by a decision: what is there is read, judged, and written on the
 * condition that it is still what was read; when it is not, it is judged once more. Whoever decides
 * does no I/O, so that the same decision is made on a loop (change_start()) and in a thread that
 * may wait (change_apply()).
 */
#include "durable/batch.h"

struct change_write { /* what a decision wants written */
    bool wanted;
    struct store_op op; /* may borrow from `value` */
    struct buf value;
};

struct change { /* borrowed until the end */
    const char *row_kind, *key;
    /* `row` NULL: there is none. The answer counts when what is wanted was written, or at once when
     * nothing is. May be called several times; `write` is empty each time. */
    hardy_status (*decide)(void *ctx, const struct store_row *row, struct change_write *write,
                           hardy_error *error);
    void *ctx;
};

/* All of it, waiting until `deadline` (monotonic); for code that is not on a loop. E_EXHAUSTED:
 * others changed the row each time before it could be written. Else what decide() says, or the
 * store's failure. */
hardy_status change_apply(const struct change *c, struct store *store, int64_t deadline,
                          hardy_error *error);

/* The same on the loop, which waits for nobody but for reading the row. `done` comes from
 * loop_run(), which is kept alive until then, never from inside this call. */
struct change_run { /* caller-owned until `done` */
    const struct change *change;
    struct loop *loop;
    struct store *store;
    void (*done)(struct change_run *run, hardy_status status, const hardy_error *error);
    void *ctx;
    struct loop_post post;
    struct batch batch;
    struct change_write write;
    hardy_status answer;
    hardy_error error; /* of the answer */
    unsigned tries;
    bool undecided; /* for `done`: the store failed, and decide() had nothing to say about it */
};
void change_start(
    struct change_run *run, struct loop *loop, struct store *store, const struct change *change,
    void (*done)(struct change_run *run, hardy_status status, const hardy_error *error), void *ctx);

/* The fence of the row's next state. A new row begins at the wall clock's milliseconds: one that is
 * made again under a key that was used before never gets a fence that somebody may still hold. */
int64_t change_next_fence(const struct store_row *row, int64_t wall);
#endif
