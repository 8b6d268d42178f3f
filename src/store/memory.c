/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: rows in an array sorted by kind and key, one mutex, a batch undone by hand.
 * Nothing survives the process. It is what `state: memory` means, and what the other stores are
 * compared to.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "store/internal.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX ((size_t)1 << 30)

struct memory {
    struct store base;
    pthread_mutex_t mutex;
    struct store_row **row;
    size_t count, cap, bytes;
    int64_t purge_at;
};

/* What a row was before the batch touched it. `kind` and `key` are the batch's. */
struct change {
    const char *kind, *key;
    struct store_row *old; /* NULL: there was none */
};

/* A batch submitted inside a `done` waits until that one has returned: a chain of any length needs
 * one stack frame. */
struct frame {
    const struct memory *memory;
    struct batch *first, **last;
    struct frame *outer;
};
static _Thread_local struct frame *frames;

static size_t row_bytes(const struct store_row *row) {
    return sizeof *row + strlen(row->kind) + strlen(row->key) + row->len + 64;
}

static void row_drop(struct store_row *row) {
    if (row) {
        store_row_free(row);
        free(row);
    }
}

/* Where the row is, or where it would be. */
static size_t row_place(const struct memory *m, const char *kind, const char *key, bool *there) {
    size_t low = 0, high = m->count;
    *there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(m->row[middle]->kind, kind);
        order = order ? order : strcmp(m->row[middle]->key, key);
        if (order == 0) {
            *there = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Puts `row` (taken; NULL = no row) in the place of what is there, which is handed back. The caller
 * has made sure that there is room for one more. */
static struct store_row *row_swap(struct memory *m, const char *kind, const char *key,
                                  struct store_row *row) {
    bool there;
    size_t at = row_place(m, kind, key, &there);
    struct store_row *old = there ? m->row[at] : NULL;
    m->bytes -= old ? row_bytes(old) : 0;
    m->bytes += row ? row_bytes(row) : 0;
    if (there && row) {
        m->row[at] = row;
    } else if (there) {
        m->count--;
        memmove(&m->row[at], &m->row[at + 1], (m->count - at) * sizeof *m->row);
    } else if (row) {
        memmove(&m->row[at + 1], &m->row[at], (m->count - at) * sizeof *m->row);
        m->row[at] = row;
        m->count++;
    }
    return old;
}

static bool reserve(struct memory *m, size_t more) {
    if (m->count + more <= m->cap) {
        return true;
    }
    size_t cap = 2 * (m->count + more);
    struct store_row **row = realloc(m->row, cap * sizeof *row);
    if (!row) {
        return false;
    }
    m->row = row;
    m->cap = cap;
    return true;
}

static struct store_row *row_new(const struct store_op *op, int64_t wall) {
    struct store_row *row = malloc(sizeof *row);
    if (row && !row_set(row, op->row_kind, op->key, strlen(op->key), op->value, op->len)) {
        free(row);
        row = NULL;
    }
    if (row) {
        row->fence = op->fence;
        row->changed = op->changed ? op->changed : wall;
        row->expires = op->expires;
    }
    return row;
}

/* OK, E_EXISTS or E_FENCED. */
static hardy_status condition(const struct memory *m, const struct store_op *op, int64_t *found) {
    bool there;
    size_t at = row_place(m, op->row_kind, op->key, &there);
    *found = there ? m->row[at]->fence : STORE_MISSING;
    bool fits = op->if_fence == STORE_ANY_FENCE || op->if_fence == *found;
    switch (op->kind) {
    case STORE_INSERT:
        return there ? HARDY_E_EXISTS : HARDY_OK;
    case STORE_UPDATE:
    case STORE_REQUIRE:
        return there && fits ? HARDY_OK : HARDY_E_FENCED;
    case STORE_DELETE:
        return !there || fits ? HARDY_OK : HARDY_E_FENCED;
    case STORE_PUT:
        break;
    }
    return HARDY_OK;
}

static void apply(struct memory *m, struct batch *batch) {
    int64_t wall = store_wall(&m->base);
    struct change *change = malloc((batch->count + 1) * sizeof *change);
    size_t changes = 0;
    batch->status = change && reserve(m, batch->count) ? HARDY_OK : HARDY_E_NOMEM;
    for (size_t i = 0; i < batch->count && batch->status == HARDY_OK; i++) {
        const struct store_op *op = &batch->ops[i];
        batch->status = condition(m, op, &batch->found);
        if (batch->status != HARDY_OK) {
            batch->failed = (int)i;
        } else if (op->kind != STORE_REQUIRE) {
            struct store_row *row = op->kind == STORE_DELETE ? NULL : row_new(op, wall);
            if (!row && op->kind != STORE_DELETE) {
                batch->status = HARDY_E_NOMEM;
                break;
            }
            change[changes++] =
                (struct change){op->row_kind, op->key, row_swap(m, op->row_kind, op->key, row)};
        }
    }
    if (batch->status == HARDY_OK && m->bytes > BYTES_MAX) {
        batch->status = HARDY_E_NOSPACE;
    }
    while (changes > 0) {
        struct change *c = &change[--changes];
        row_drop(batch->status == HARDY_OK ? c->old : row_swap(m, c->kind, c->key, c->old));
    }
    free(change);
}

static void purge(struct memory *m) {
    int64_t wall = store_wall(&m->base);
    if (wall < m->purge_at) {
        return;
    }
    size_t kept = 0, removed = 0, bytes = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct store_row *row = m->row[i];
        bool expired = row->expires > 0 && row->expires <= wall;
        if (expired && removed < PURGE_ROWS && bytes < PURGE_BYTES) {
            removed++;
            bytes += row->len;
            m->bytes -= row_bytes(row);
            row_drop(row);
        } else {
            m->row[kept++] = row;
        }
    }
    m->count = kept;
    if (removed < PURGE_ROWS && bytes < PURGE_BYTES) {
        m->purge_at = wall + PURGE_EVERY;
    }
}

static hardy_status memory_submit(struct store *store, struct batch *batch, hardy_error *error) {
    struct memory *m = (struct memory *)store;
    (void)error;
    for (struct frame *f = frames; f; f = f->outer) {
        if (f->memory == m) {
            *f->last = batch;
            f->last = &batch->next;
            return HARDY_OK;
        }
    }
    struct frame frame = {.memory = m, .first = batch, .outer = frames};
    frame.last = &batch->next;
    frames = &frame;
    while (frame.first) {
        struct batch *next = frame.first;
        frame.first = next->next;
        if (!frame.first) {
            frame.last = &frame.first;
        }
        pthread_mutex_lock(&m->mutex);
        apply(m, next);
        purge(m);
        pthread_mutex_unlock(&m->mutex);
        batch_finish(store, next, NULL);
    }
    frames = frame.outer;
    return HARDY_OK;
}

static bool row_copy(struct store_row *out, const struct store_row *row) {
    if (!row_set(out, row->kind, row->key, strlen(row->key), row->value, row->len)) {
        return false;
    }
    out->fence = row->fence;
    out->changed = row->changed;
    out->expires = row->expires;
    return true;
}

static hardy_status memory_get(struct store *store, const char *kind, const char *key,
                               struct store_row *out, hardy_error *error) {
    struct memory *m = (struct memory *)store;
    bool there;
    pthread_mutex_lock(&m->mutex);
    size_t at = row_place(m, kind, key, &there);
    bool copied = there && row_copy(out, m->row[at]);
    pthread_mutex_unlock(&m->mutex);
    if (!there) {
        return fail(error, HARDY_E_NOT_FOUND, store->where, "%s %s: there is no such row", kind,
                    key);
    }
    return copied ? HARDY_OK : fail(error, HARDY_E_NOMEM, store->where, "no memory for a row");
}

static hardy_status memory_scan(struct store *store, const char *kind, const char *prefix,
                                const char *after, size_t limit, bool values, struct rows *out,
                                hardy_error *error) {
    struct memory *m = (struct memory *)store;
    bool there, from_prefix = !after || strcmp(after, prefix) < 0, memory = true;
    pthread_mutex_lock(&m->mutex);
    size_t at = row_place(m, kind, from_prefix ? prefix : after, &there);
    at += there && !from_prefix ? 1 : 0;
    for (; at < m->count && memory && !out->more && out->count < limit; at++) {
        const struct store_row *row = m->row[at];
        if (strcmp(row->kind, kind) != 0 || !str_starts(row->key, prefix)) {
            break;
        }
        struct store_row *copy =
            rows_add(out, row->kind, row->key, strlen(row->key), row->value, values ? row->len : 0);
        if (copy) {
            copy->len = row->len;
            copy->fence = row->fence;
            copy->changed = row->changed;
            copy->expires = row->expires;
        }
        memory = copy != NULL;
        out->more = out->bytes > ROWS_BYTES_MAX && out->count < limit;
    }
    pthread_mutex_unlock(&m->mutex);
    if (!memory) {
        rows_free(out);
        return fail(error, HARDY_E_NOMEM, store->where, "no memory for the rows of kind %s", kind);
    }
    return HARDY_OK;
}

/* Where the rows of the kind of row `i` end. */
static size_t kind_end(const struct memory *m, size_t i) {
    const char *kind = m->row[i]->kind;
    while (i < m->count && strcmp(m->row[i]->kind, kind) == 0) {
        i++;
    }
    return i;
}

static hardy_status memory_describe(struct store *store, bool check, struct buf *out,
                                    hardy_error *error) {
    struct memory *m = (struct memory *)store;
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "implementation");
    json_out_string(&j, "memory");
    json_out_key(&j, "path");
    json_out_null(&j);
    pthread_mutex_lock(&m->mutex);
    json_out_key(&j, "bytes");
    json_out_int(&j, (int64_t)m->bytes);
    json_out_key(&j, "rows");
    json_out_object(&j);
    for (size_t i = 0; i < m->count; i = kind_end(m, i)) {
        json_out_key(&j, m->row[i]->kind);
        json_out_int(&j, (int64_t)(kind_end(m, i) - i));
    }
    json_out_object_end(&j);
    json_out_key(&j, "kinds");
    json_out_object(&j);
    for (size_t i = 0, end; i < m->count; i = end) {
        end = kind_end(m, i);
        struct kind_figures figures = {(int64_t)(end - i), 0, INT64_MAX, 0};
        for (size_t k = i; k < end; k++) {
            int64_t changed = m->row[k]->changed;
            figures.bytes += (int64_t)m->row[k]->len;
            figures.oldest = changed < figures.oldest ? changed : figures.oldest;
            figures.newest = changed > figures.newest ? changed : figures.newest;
        }
        kind_to_json(m->row[i]->kind, &figures, &j);
    }
    json_out_object_end(&j);
    pthread_mutex_unlock(&m->mutex);
    if (check) {
        json_out_key(&j, "integrity");
        json_out_string(&j, "ok");
    }
    json_out_object_end(&j);
    return out->failed ? fail(error, HARDY_E_NOMEM, store->where, "no room for the description")
                       : HARDY_OK;
}

static void memory_close(struct store *store) {
    struct memory *m = (struct memory *)store;
    for (size_t i = 0; i < m->count; i++) {
        row_drop(m->row[i]);
    }
    free(m->row);
    store_end(store);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

static const struct store_methods methods = {.submit = memory_submit,
                                             .get = memory_get,
                                             .scan = memory_scan,
                                             .describe = memory_describe,
                                             .close = memory_close};

hardy_status memory_open(const struct store_options *options, struct store **out,
                         hardy_error *error) {
    struct memory *m = calloc(1, sizeof *m);
    if (!m) {
        return fail(error, HARDY_E_NOMEM, "memory", "no memory for a store");
    }
    store_init(&m->base, &methods, options, "memory");
    pthread_mutex_init(&m->mutex, NULL);
    *out = &m->base;
    return HARDY_OK;
}
