/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_CHANGE_H
#define DURABLE_CHANGE_H
/*
 * One row becomes another by a decision: what is there is read, judged, and written on the
 * condition that it is still what was read. When it is not, it is judged once more. Whoever decides
 * does no I/O, so that the same decision is made on the loop (change_look(), change_again()) and in
 * a thread that may wait (change_apply()).
 */
#include "store/store.h"

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

void change_write_init(struct change_write *w);
void change_write_free(struct change_write *w);
/* Reads the row and has it judged. */
hardy_status change_look(const struct change *c, struct store *store, struct change_write *write,
                         hardy_error *error);
/* How a write went: true, somebody else was faster, look again; `tries` counts. When that never
 * ends it is E_EXHAUSTED, in `status`. */
bool change_again(const struct change *c, unsigned *tries, hardy_status *status,
                  hardy_error *error);
/* All of it, waiting until `deadline` (monotonic); for code that is not on a loop. */
hardy_status change_apply(const struct change *c, struct store *store, int64_t deadline,
                          hardy_error *error);
/* The fence of the row's next state. A new row begins at the wall clock's milliseconds: one that is
 * made again under a key that was used before never gets a fence that somebody may still hold. */
int64_t change_next_fence(const struct store_row *row, int64_t wall);
#endif
