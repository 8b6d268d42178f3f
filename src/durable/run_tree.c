/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a run's steps: making, walking, finding. */
#include "base/error.h"
#include "base/str.h"
#include "durable/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_step *run_step_new(struct run_step *parent, enum run_step_kind kind, const char *name) {
    struct run_step *step = calloc(1, sizeof *step);
    if (!step) {
        return NULL;
    }
    step->kind = kind;
    step->parent = parent;
    step->name = str_dup(name);
    struct run_step **grown = NULL;
    if (step->name && parent) {
        grown = realloc(parent->children, (parent->count + 1) * sizeof *grown);
    }
    if (!step->name || (parent && !grown)) {
        run_step_free(step);
        return NULL;
    }
    if (parent) {
        parent->children = grown;
        step->place = parent->count;
        parent->children[parent->count++] = step;
    }
    return step;
}

void run_step_free(struct run_step *step) {
    if (!step) {
        return;
    }
    for (size_t i = 0; i < step->count; i++) {
        run_step_free(step->children[i]);
    }
    run_step_free(step->item);
    free(step->children);
    free(step->name);
    free(step->key);
    record_free(&step->record);
    record_free(&step->undo);
    json_decref(step->value);
    json_decref(step->input);
    free(step);
}

/* Another one like it, without its records. */
static struct run_step *copy_step(struct run_step *parent, const struct run_step *from,
                                  const char *name) {
    struct run_step *step = run_step_new(parent, from->kind, name);
    if (!step) {
        return NULL;
    }
    memcpy(step->definition, from->definition, sizeof step->definition);
    step->limit = from->limit;
    step->asks = from->asks;
    step->compensates = from->compensates;
    step->says = from->says;
    for (size_t i = 0; i < from->count; i++) {
        if (!copy_step(step, from->children[i], from->children[i]->name)) {
            return NULL;
        }
    }
    if (from->item) {
        step->item = copy_step(NULL, from->item, from->item->name);
        if (!step->item) {
            return NULL;
        }
        step->item->parent = step;
    }
    return step;
}

bool run_step_make_items(struct run_step *each, size_t count) {
    bool good = count <= RUN_STEPS_MAX;
    for (size_t i = each->count; i < count && good; i++) {
        char *name = str_format("%s[%zu]", each->name, i);
        good = name && copy_step(each, each->item, name);
        free(name);
    }
    return good;
}

char *run_step_path(const struct run_step *step) {
    char *path = str_dup("");
    for (; path && step->parent; step = step->parent) {
        char *longer = str_format("%s%s%s", step->name, path[0] ? "/" : "", path);
        free(path);
        path = longer;
        if (step->parent->kind == RUN_EACH) { /* an item's name says whose it is */
            step = step->parent;
        }
    }
    return path;
}

bool run_step_make_keys(struct run_step *step, const char *run_id) {
    free(step->key);
    if (!step->parent) {
        step->key = str_dup(run_id);
    } else {
        step->key = str_format("%s/%04zu.%s", step->parent->key, step->place + 1, step->name);
    }
    bool good = step->key && strlen(step->key) <= STORE_KEY_MAX;
    for (size_t i = 0; i < step->count && good; i++) {
        good = run_step_make_keys(step->children[i], run_id);
    }
    return good;
}

struct run_step *run_step_after(const struct run_step *root, const struct run_step *step) {
    if (step->count > 0) {
        return step->children[0];
    }
    for (; step != root; step = step->parent) {
        if (step->place + 1 < step->parent->count) {
            return step->parent->children[step->place + 1];
        }
    }
    return NULL;
}

/* Whether `path` is, or ends with, "/wanted". */
static bool ends_so(const char *path, const char *wanted) {
    size_t len = strlen(path), tail = strlen(wanted);
    return len >= tail && str_eq(path + len - tail, wanted) &&
           (len == tail || path[len - tail - 1] == '/');
}

hardy_status run_find_step(const struct run *run, const char *path, struct run_step **out,
                           hardy_error *error) {
    const char *names[64];
    size_t count = 0, found = 0;
    hardy_status status = HARDY_OK;
    *out = NULL;
    for (struct run_step *s = run_step_after(run->root, run->root); s;
         s = run_step_after(run->root, s)) {
        char *whole = run_step_path(s);
        if (!whole) {
            return fail(error, HARDY_E_NOMEM, NULL, "no memory to look for step `%s`", path);
        }
        if (str_eq(whole, path)) {
            free(whole);
            *out = s;
            return HARDY_OK;
        }
        if (ends_so(whole, path)) {
            *out = s;
            found++;
        }
        if (count < 64) {
            names[count++] = s->name;
        }
        free(whole);
    }
    if (found > 1) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "run %s has %zu steps `%s`; say which by the names above it, as in group/%s",
                      run->id, found, path, path);
    } else if (found == 0) {
        const char *nearest = str_nearest(path, names, count);
        status =
            fail(error, HARDY_E_NOT_FOUND, NULL, "run %s has no step `%s`%s%s%s", run->id, path,
                 nearest ? "; did you mean `" : "", nearest ? nearest : "", nearest ? "`?" : "");
    }
    return status;
}
