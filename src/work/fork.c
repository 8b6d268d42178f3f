/* SPDX-License-Identifier: Apache-2.0 */
#include "work/fork.h"
#include "base/error.h"
#include "base/str.h"
#include "work/runner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 16 << 20 };

struct forking {
    const struct fork_options *options;
    struct run run; /* the new one */
    struct store_op *ops;
    struct buf *values;
    size_t count;
    hardy_error *error;
};

static const char *name_before(const struct forking *f, const char *name) {
    for (size_t i = 0; i < f->options->name_count; i++) {
        if (str_eq(f->options->names[i].is, name)) {
            return f->options->names[i].was;
        }
    }
    return name;
}

/* The path of a step in the run before: names that have changed are turned back. An item's is that
 * of its list. */
static char *path_before(const struct forking *f, const struct run_step *step) {
    char *path = str_dup("");
    for (; path && step->parent; step = step->parent) {
        char item[24] = "";
        if (step->parent->kind == RUN_EACH) {
            snprintf(item, sizeof item, "[%zu]", step->place);
            step = step->parent;
        }
        char *longer =
            str_format("%s%s%s%s", name_before(f, step->name), item, path[0] ? "/" : "", path);
        free(path);
        path = longer;
    }
    return path;
}

static const struct run_step *find_before(const struct forking *f, const struct run_step *step) {
    const struct run *before = f->options->before;
    char *path = path_before(f, step);
    const struct run_step *found = NULL;
    for (struct run_step *s = before->root; s && path && !found;
         s = run_step_after(before->root, s)) {
        char *there = run_step_path(s);
        found = str_eq(path, there) && s->kind == step->kind ? s : NULL;
        free(there);
    }
    free(path);
    return found;
}

/* Whether a record says that the step needs nothing more. What was undone, or may be, does. */
static bool is_finished(const struct run_step *step) {
    const enum record_state state = step->record.state, undo = step->undo.state;
    bool stands = undo == RECORD_PENDING || undo == RECORD_FAILED;
    return stands && (state == RECORD_DONE || state == RECORD_SKIPPED ||
                      (step->kind == RUN_EACH && state == RECORD_STARTED));
}

static hardy_status copy(struct forking *f, struct run_step *step, const struct run_step *before) {
    struct record r = before->record;
    r.key = step->key;
    r.fence = 1;
    r.expires = 0;
    record_op(&r, -1, &f->values[f->count], &f->ops[f->count]);
    step->record.state = r.state; /* of what is walked over, nothing more is needed */
    return f->values[f->count++].failed
               ? fail(f->error, HARDY_E_NOMEM, NULL, "no memory for %s", step->key)
               : HARDY_OK;
}

/* The items of all lists that were entered: the first step that is done anew may be one. */
static hardy_status make_items(struct forking *f) {
    for (struct run_step *s = f->run.root; s; s = run_step_after(f->run.root, s)) {
        const struct run_step *before = s->kind == RUN_EACH ? find_before(f, s) : NULL;
        if (before && before->record.state == RECORD_STARTED &&
            !(run_step_make_items(s, before->count) && run_step_make_keys(s, f->run.id))) {
            return fail(f->error, HARDY_E_NOMEM, NULL, "no memory for the items of %s", s->name);
        }
    }
    return HARDY_OK;
}

static bool is_skipped(const struct run_step *step) {
    for (; step; step = step->parent) {
        if (step->record.state == RECORD_SKIPPED) {
            return true;
        }
    }
    return false;
}

static hardy_status take(struct forking *f, struct run_step *step) {
    const struct run_step *before = find_before(f, step);
    bool leaf = step->kind == RUN_LEAF || step->kind == RUN_EACH;
    if (step->parent && is_skipped(step->parent)) {
        return HARDY_OK;
    }
    if (before && is_finished(before)) {
        return copy(f, step, before);
    }
    if (!leaf) {
        return HARDY_OK;
    }
    char *path = run_step_path(step);
    hardy_status status =
        fail(f->error, HARDY_E_CLOSED, NULL, "step `%s` stands before `%s` and is %s in run %s%s",
             path ? path : step->name, f->options->from,
             before ? run_step_state_text(before) : "not there", f->options->before->id,
             before ? "" : "; --map OLD=NEW says what it was called");
    free(path);
    return status;
}

static hardy_status take_all(struct forking *f, const struct run_step *from) {
    hardy_status status = HARDY_OK;
    for (struct run_step *s = run_step_after(f->run.root, f->run.root);
         s && s != from && status == HARDY_OK; s = run_step_after(f->run.root, s)) {
        if (f->count == RUN_STEPS_MAX) {
            return fail(f->error, HARDY_E_TOO_LARGE, NULL, "more than %d steps", RUN_STEPS_MAX);
        }
        status = take(f, s);
    }
    return status;
}

static hardy_status write(struct forking *f, struct store *store) {
    struct buf row;
    int failed = -1;
    buf_init(&row, MAX_VALUE);
    run_encode(&f->run, &row);
    f->ops[f->count] = (struct store_op){.kind = STORE_INSERT,
                                         .row_kind = "run",
                                         .key = f->run.id,
                                         .fence = 1,
                                         .value = row.data,
                                         .len = row.len};
    hardy_status status =
        row.failed
            ? fail(f->error, HARDY_E_TOO_LARGE, NULL, "the run does not fit a record of 16 MiB")
            : store_apply(store, f->ops, f->count + 1, f->options->deadline, &failed, f->error);
    if (status == HARDY_E_EXISTS) {
        status = fail(f->error, HARDY_E_EXISTS, NULL, "there is a run `%s`", f->run.id);
    }
    buf_free(&row);
    return status;
}

hardy_status run_fork(struct loop *loop, struct store *store, const struct fork_options *options,
                      hardy_error *error) {
    struct forking f = {.options = options, .error = error};
    struct run_step *from = NULL;
    hardy_status status =
        run_define(options->workflow, options->id, options->before->input, &f.run, error);
    if (status != HARDY_OK) {
        return status;
    }
    memcpy(f.run.input_hash, options->before->input_hash, sizeof f.run.input_hash);
    f.run.created = loop_wall(loop);
    f.run.forked_from = str_dup(options->before->id);
    f.ops = calloc(RUN_STEPS_MAX + 1, sizeof *f.ops);
    f.values = calloc(RUN_STEPS_MAX, sizeof *f.values);
    if (!f.ops || !f.values || !f.run.forked_from) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for a fork");
    }
    for (size_t i = 0; status == HARDY_OK && i < RUN_STEPS_MAX; i++) {
        buf_init(&f.values[i], MAX_VALUE);
    }
    status = status == HARDY_OK ? make_items(&f) : status;
    status = status == HARDY_OK ? run_find_step(&f.run, options->from, &from, error) : status;
    status = status == HARDY_OK ? take_all(&f, from) : status;
    status = status == HARDY_OK ? write(&f, store) : status;
    for (size_t i = 0; f.values && i < f.count; i++) {
        buf_free(&f.values[i]);
    }
    free(f.values);
    free(f.ops);
    run_free(&f.run);
    return status;
}
