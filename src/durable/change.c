/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/change.h"
#include "base/error.h"

enum { MOST_TRIES = 50 };

static void write_init(struct change_write *w) {
    *w = (struct change_write){0};
    buf_init(&w->value, STORE_VALUE_MAX);
}

static void write_free(struct change_write *w) {
    buf_free(&w->value);
    w->wanted = false;
}

/* Reads the row and has it judged. */
static hardy_status look(const struct change *c, struct store *store, struct change_write *write,
                         bool *undecided, hardy_error *error) {
    struct store_row row;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    write_free(write);
    hardy_status status = store_get(store, c->row_kind, c->key, &row, &why);
    *undecided = status != HARDY_OK && status != HARDY_E_NOT_FOUND;
    if (*undecided) {
        if (error) {
            *error = why;
        }
        return status;
    }
    bool there = status == HARDY_OK;
    status = c->decide(c->ctx, there ? &row : NULL, write, error);
    if (write->wanted && write->value.failed) {
        write->wanted = false;
        status = write->value.full
                     ? fail(error, HARDY_E_TOO_LARGE, NULL,
                            "%s %s would be larger than the 16 MiB of a row", c->row_kind, c->key)
                     : fail(error, HARDY_E_NOMEM, NULL, "no memory for %s %s", c->row_kind, c->key);
    }
    if (there) {
        store_row_free(&row);
    }
    return status;
}

/* How a write went: true, somebody else was faster, look again. */
static bool again(const struct change *c, unsigned *tries, hardy_status *status,
                  hardy_error *error) {
    if (*status != HARDY_E_FENCED && *status != HARDY_E_EXISTS) {
        return false;
    }
    if (++*tries < MOST_TRIES) {
        return true;
    }
    *status = fail(error, HARDY_E_EXHAUSTED, NULL,
                   "%s %s was changed by others %d times while it was being written", c->row_kind,
                   c->key, MOST_TRIES);
    return false;
}

hardy_status change_apply(const struct change *c, struct store *store, int64_t deadline,
                          hardy_error *error) {
    struct change_write write;
    hardy_status answer, status;
    unsigned tries = 0;
    bool undecided;
    write_init(&write);
    do {
        status = answer = look(c, store, &write, &undecided, error);
        if (!write.wanted) {
            break;
        }
        status = store_apply(store, &write.op, 1, deadline, NULL, error);
    } while (again(c, &tries, &status, error));
    if (write.wanted && status == HARDY_OK) {
        status = answer;
    }
    write_free(&write);
    return status;
}

/* --- on the loop ------------------------------------------------------------------------------ */

static void finish(struct change_run *run, hardy_status status, const hardy_error *error) {
    write_free(&run->write);
    run->done(run, status, error);
}

static void attempt(struct change_run *run);

static void on_written(struct batch *batch, hardy_status status) {
    struct change_run *run = batch->ctx;
    if (again(run->change, &run->tries, &status, &batch->error)) {
        attempt(run);
    } else if (status == HARDY_OK) {
        finish(run, run->answer, &run->error);
    } else {
        run->undecided = true;
        finish(run, status, &batch->error);
    }
}

static void attempt(struct change_run *run) {
    hardy_error_init(&run->error, sizeof run->error);
    run->answer = look(run->change, run->store, &run->write, &run->undecided, &run->error);
    if (run->write.wanted) {
        batch_submit(&run->batch, run->loop, run->store, &run->write.op, 1, on_written, run);
    } else {
        finish(run, run->answer, &run->error);
    }
}

static void on_begin(struct loop_post *post) {
    struct change_run *run = post->ctx;
    loop_release(run->loop);
    attempt(run);
}

void change_start(struct change_run *run, struct loop *loop, struct store *store,
                  const struct change *change,
                  void (*done)(struct change_run *run, hardy_status status,
                               const hardy_error *error),
                  void *ctx) {
    *run = (struct change_run){.change = change,
                               .loop = loop,
                               .store = store,
                               .done = done,
                               .ctx = ctx,
                               .post = {.fn = on_begin, .ctx = run}};
    write_init(&run->write);
    loop_hold(loop);
    loop_post(loop, &run->post);
}

int64_t change_next_fence(const struct store_row *row, int64_t wall) {
    if (row) {
        return row->fence + 1;
    }
    return wall > HARDY_MILLISECOND ? wall / HARDY_MILLISECOND : 1;
}
