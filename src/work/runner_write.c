/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a run and not written yet: it goes with the start of the next step, or by
 * itself. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "work/runner_parts.h"
#include <stdlib.h>
#include <unistd.h>

enum { MAX_VALUE = 16 << 20 };

bool runner_has_unwritten(const struct runner *r) {
    for (const struct list *l = r->unwritten.next; l != &r->unwritten; l = l->next) {
        if (!LIST_ITEM(l, struct unwritten, link)->carrier) {
            return true;
        }
    }
    return false;
}

void runner_add(struct runner *r, struct command_unwritten *write) {
    struct unwritten *u = calloc(1, sizeof *u);
    if (!u) {
        command_unwritten_done(r->options.loop, write, false);
        fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for what is to be written");
        r->broken = HARDY_E_NOMEM;
        return;
    }
    u->write = *write;
    *write = (struct command_unwritten){0};
    list_append(&r->unwritten, &u->link);
}

void runner_add_record(struct runner *r, const struct record *record, int64_t before) {
    struct command_unwritten u = {.row_kind = str_dup(record->row_kind),
                                  .key = str_dup(record->key)};
    buf_init(&u.value, MAX_VALUE);
    record_op(record, before, &u.value, &u.op);
    u.op.row_kind = u.row_kind;
    u.op.key = u.key;
    if (!u.row_kind || !u.key || u.value.failed) {
        command_unwritten_done(r->options.loop, &u, false);
        fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for the record of %s", record->key);
        r->broken = HARDY_E_NOMEM;
        return;
    }
    runner_add(r, &u);
}

/* What goes with `carrier` is durable, or was not sent after all. */
static void settle(struct runner *r, const void *carrier, bool written) {
    struct list *next;
    for (struct list *l = r->unwritten.next; l != &r->unwritten; l = next) {
        struct unwritten *u = LIST_ITEM(l, struct unwritten, link);
        next = l->next;
        if (u->carrier != carrier) {
            continue;
        }
        u->carrier = NULL;
        if (written) {
            list_remove(&u->link);
            command_unwritten_done(r->options.loop, &u->write, true);
            free(u);
        }
    }
}

void runner_drop_unwritten(struct runner *r) {
    while (!list_empty(&r->unwritten)) {
        struct unwritten *u = LIST_ITEM(r->unwritten.next, struct unwritten, link);
        list_remove(&u->link);
        command_unwritten_done(r->options.loop, &u->write, false);
        free(u);
    }
}

static void born(struct runner *r) {
    r->unborn = false;
    if (r->file_fd >= 0) {
        close(r->file_fd);
        r->file_fd = -1;
    }
}

/* Takes what nobody carries yet; returns how many. `ops` has room for them. */
static size_t take(struct runner *r, const void *carrier, struct store_op *ops) {
    size_t count = 0;
    for (struct list *l = r->unwritten.next; l != &r->unwritten; l = l->next) {
        struct unwritten *u = LIST_ITEM(l, struct unwritten, link);
        if (!u->carrier) {
            u->carrier = carrier;
            ops[count++] = u->write.op;
        }
    }
    return count;
}

static size_t count_unwritten(const struct runner *r) {
    size_t count = 0;
    for (const struct list *l = r->unwritten.next; l != &r->unwritten; l = l->next) {
        count++;
    }
    return count;
}

static struct store_op run_op(struct runner *r, struct buf *value) {
    buf_reset(value);
    run_encode(&r->run, value);
    return (struct store_op){.kind = r->unborn ? STORE_INSERT : STORE_UPDATE,
                             .row_kind = "run",
                             .key = r->run.id,
                             .if_fence = STORE_ANY_FENCE,
                             .fence = 1,
                             .value = value->data,
                             .len = value->len,
                             .expires = r->run.expires};
}

static void make_lease(struct runner *r) {
    r->lease.until = moment_after(r->boot, loop_now(r->options.loop), loop_wall(r->options.loop),
                                  r->options.lease);
    r->require = run_lease_require(&r->lease);
}

/* The rows that make a run: itself, and that it is ours. */
static size_t birth_ops(struct runner *r, struct buf *run_row, struct buf *lease_row,
                        struct store_op *ops) {
    make_lease(r);
    ops[0] = run_op(r, run_row);
    run_lease_op(&r->lease, 0, lease_row, &ops[1]);
    return 2;
}

/* --- with the start of a command ----------------------------------------------------------------
 */

bool runner_carry(struct driven *d) {
    struct runner *r = d->runner;
    d->with = calloc(count_unwritten(r) + 2, sizeof *d->with);
    if (!d->with) {
        return false;
    }
    d->carries_birth = r->unborn;
    if (r->unborn) {
        d->with_count = birth_ops(r, &r->run_row, &r->lease_row, d->with);
        r->unborn = false; /* it is on its way */
    }
    d->with_count += take(r, d, d->with + d->with_count);
    return !r->run_row.failed && !r->lease_row.failed;
}

void runner_carried(struct driven *d, bool written) {
    struct runner *r = d->runner;
    settle(r, d, written);
    if (d->carries_birth && written) {
        born(r);
    } else if (d->carries_birth) {
        r->unborn = true;
    }
    d->carries_birth = false;
    free(d->with);
    d->with = NULL;
    d->with_count = 0;
}

/* --- by itself ----------------------------------------------------------------------------------
 */

struct flush {
    struct runner *runner;
    struct batch batch;
    struct buf run_row, lease_row;
    bool birth;
    void (*then)(struct runner *r, hardy_status status, const hardy_error *error);
};

void runner_explain_fence(const struct runner *r, hardy_error *error) {
    if (str_starts(error->message, "lease ")) {
        fail(error, HARDY_E_FENCED, NULL,
             "run %s was taken over by another hardy while this one did not go on; it is left to "
             "it",
             r->run.id);
    }
}

static void on_flushed(struct batch *b, hardy_status status) {
    struct flush *f = b->ctx;
    struct runner *r = f->runner;
    void (*then)(struct runner *, hardy_status, const hardy_error *) = f->then;
    hardy_error error = b->error;
    r->flights--;
    settle(r, f, status == HARDY_OK);
    if (status == HARDY_OK && f->birth) {
        born(r);
    }
    buf_free(&f->run_row);
    buf_free(&f->lease_row);
    free(f);
    if (status == HARDY_E_FENCED) {
        runner_explain_fence(r, &error);
    }
    if (then) {
        then(r, status, &error);
    } else if (status != HARDY_OK) {
        runner_break(r, status, &error);
    } else if (r->over || r->left) {
        runner_end(r, HARDY_OK, NULL);
    }
}

/* The lease, and with it that whoever has taken the run over has another fence. */
static void lease_op(struct runner *r, unsigned what, int64_t before, struct buf *value,
                     struct store_op *op) {
    if (what & (FLUSH_TAKE | FLUSH_RENEW)) {
        make_lease(r);
    } else if (what & FLUSH_RELEASE) {
        r->lease.until = (struct moment){0};
    }
    if (what & (FLUSH_TAKE | FLUSH_RENEW | FLUSH_RELEASE)) {
        run_lease_op(&r->lease, what & FLUSH_TAKE ? before : r->lease.fence, value, op);
    } else {
        *op = r->require;
    }
}

void runner_flush(struct runner *r, unsigned what, int64_t before,
                  void (*then)(struct runner *, hardy_status, const hardy_error *)) {
    struct flush *f = calloc(1, sizeof *f);
    struct store_op *ops = calloc(count_unwritten(r) + 3, sizeof *ops);
    size_t count = 0;
    if (!f || !ops) {
        free(f);
        free(ops);
        fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for a batch of run %s", r->run.id);
        runner_break_soon(r, HARDY_E_NOMEM);
        return;
    }
    f->runner = r;
    f->then = then;
    buf_init(&f->run_row, MAX_VALUE);
    buf_init(&f->lease_row, MAX_VALUE);
    if (r->unborn) {
        f->birth = true;
        count = birth_ops(r, &f->run_row, &f->lease_row, ops);
        if (what & FLUSH_RELEASE) {
            r->lease.until = (struct moment){0};
            run_lease_op(&r->lease, 0, &f->lease_row, &ops[1]);
        }
        r->unborn = false;
    } else {
        lease_op(r, what, before, &f->lease_row, &ops[count++]);
        if (what & FLUSH_RUN) {
            ops[count++] = run_op(r, &f->run_row);
        }
    }
    count += take(r, f, ops + count);
    r->flights++;
    if (f->run_row.failed || f->lease_row.failed) {
        batch_refuse(&f->batch, r->options.loop, HARDY_E_TOO_LARGE,
                     "the run does not fit a record of 16 MiB", on_flushed, f);
    } else {
        batch_submit(&f->batch, r->options.loop, r->options.store, ops, count, on_flushed, f);
    }
    free(ops);
}
