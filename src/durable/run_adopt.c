/* SPDX-License-Identifier: Apache-2.0 */
/* A run that goes on with a file that has changed since. */
#include "base/error.h"
#include "base/str.h"
#include "durable/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_begun(const struct run_step *step) {
    for (const struct run_step *s = step; s; s = run_step_after(step, s)) {
        if (s->record.state != RECORD_PENDING || s->undo.state != RECORD_PENDING) {
            return true;
        }
    }
    return false;
}

struct comparing {
    const struct run *recorded, *now;
    run_same same;
    void *ctx;
    hardy_error *error;
};

static hardy_status differs(struct comparing *c, const struct run_step *was, const char *what) {
    char *path = run_step_path(was);
    hardy_status status =
        fail(c->error, HARDY_E_MISMATCH, c->now->file, "step `%s` of run %s is %s, %s",
             path ? path : was->name, c->recorded->id, run_step_state_text(was), what);
    free(path);
    return status;
}

static bool says_the_same(struct comparing *c, const struct run_step *was,
                          const struct run_step *is) {
    return str_eq(was->definition, is->definition) ||
           (was->kind == RUN_LEAF && c->same && c->same(c->ctx, was, is));
}

/* Whether all of `was` that has begun is in `is`. */
static hardy_status compare(struct comparing *c, const struct run_step *was,
                            const struct run_step *is) {
    if (was->kind != is->kind) {
        return differs(c, was, "and in the file it is a step of another kind now");
    }
    bool itself = was->record.state != RECORD_PENDING || was->undo.state != RECORD_PENDING;
    if (itself && !says_the_same(c, was, is)) {
        return differs(c, was, "and its definition has changed since");
    }
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < was->count && status == HARDY_OK; i++) {
        const struct run_step *child = was->children[i];
        const struct run_step *there = is->item ? is->item : i < is->count ? is->children[i] : NULL;
        if (!is_begun(child)) {
            continue; /* never begun, or settled as not done: it may change */
        }
        if (!there) {
            status = differs(c, child, "and is not in the file any more");
        } else if (!is->item && !str_eq(child->name, there->name)) {
            char what[160];
            snprintf(what, sizeof what, "and the file has `%.63s` in its place now", there->name);
            status = differs(c, child, what);
        } else {
            status = compare(c, child, there);
        }
    }
    return status;
}

static bool move(struct run_step *was, struct run_step *is, const char *run_id) {
    is->record = was->record;
    is->undo = was->undo;
    record_init(&was->record);
    record_init(&was->undo);
    bool good = true;
    if (is->kind == RUN_EACH && is->record.state == RECORD_STARTED) {
        good = run_step_make_items(is, is->record.items) && run_step_make_keys(is, run_id);
    }
    for (size_t i = 0; i < was->count && i < is->count && good; i++) {
        if (str_eq(was->children[i]->name, is->children[i]->name) &&
            was->children[i]->kind == is->children[i]->kind) {
            good = move(was->children[i], is->children[i], run_id);
        }
    }
    return good;
}

hardy_status run_adopt(struct run *recorded, struct run *now, run_same same, void *ctx,
                       hardy_error *error) {
    struct comparing c = {recorded, now, same, ctx, error};
    hardy_status status = compare(&c, recorded->root, now->root);
    if (status == HARDY_OK && !move(recorded->root, now->root, now->id)) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for run %s", now->id);
    }
    return status;
}

static void put_line(struct buf *out, char mark, const struct run_step *step, const char *state) {
    char *path = run_step_path(step);
    buf_printf(out, "%c %-30s %s", mark, path ? path : step->name, state);
    free(path);
    if (step->record.params) {
        buf_printf(out, "  %.200s", step->record.params);
    }
    buf_putc(out, '\n');
}

static void put_steps(const struct run_step *was, const struct run_step *is, struct buf *out) {
    size_t count = was->count > is->count ? was->count : is->count;
    for (size_t i = 0; i < count; i++) {
        const struct run_step *a = i < was->count ? was->children[i] : NULL;
        const struct run_step *b = is->item ? is->item : i < is->count ? is->children[i] : NULL;
        bool together = a && b && (is->item || str_eq(a->name, b->name)) && a->kind == b->kind;
        if (together && a->kind != RUN_LEAF) {
            put_steps(a, b, out);
        } else if (together && str_eq(a->definition, b->definition)) {
            put_line(out, ' ', a, run_step_state_text(a));
        } else {
            if (a) {
                put_line(out, '-', a, run_step_state_text(a));
            }
            if (b && !(is->item && !a)) {
                put_line(out, '+', b, together ? "says something else now" : "is new here");
            }
        }
    }
}

void run_put_difference(const struct run *recorded, const struct run *now, struct buf *out) {
    put_steps(recorded->root, now->root, out);
}
