/* SPDX-License-Identifier: Apache-2.0 */
/* The door to every store: looks at what callers hand in, copies it, and passes it on. */
#include "store/store.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "io/condition.h"
#include "store/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The stores whose `done` this thread is inside of, the innermost first. */
struct inside {
    const struct store *store;
    const struct inside *outer;
};
static _Thread_local const struct inside *inside;

const char *store_path(const struct store *store) {
    return store->path;
}

void store_row_free(struct store_row *row) {
    free(row->kind);
    free(row->key);
    free(row->value);
    *row = (struct store_row){0};
}

bool row_set(struct store_row *row, const char *kind, const char *key, size_t key_len,
             const void *value, size_t len) {
    *row = (struct store_row){.kind = str_dup(kind), .key = str_ndup(key, key_len), .len = len};
    row->value = malloc(len + 1);
    if (!row->kind || !row->key || !row->value) {
        store_row_free(row);
        return false;
    }
    if (len > 0) {
        memcpy(row->value, value, len);
    }
    row->value[len] = '\0';
    return true;
}

struct store_row *rows_add(struct rows *rows, const char *kind, const char *key, size_t key_len,
                           const void *value, size_t len) {
    if (rows->count == rows->cap) {
        size_t cap = rows->cap ? 2 * rows->cap : 16;
        struct store_row *more = realloc(rows->row, cap * sizeof *more);
        if (!more) {
            return NULL;
        }
        rows->row = more;
        rows->cap = cap;
    }
    struct store_row *row = &rows->row[rows->count];
    if (!row_set(row, kind, key, key_len, value, len)) {
        return NULL;
    }
    rows->count++;
    rows->bytes += sizeof *row + key_len + len;
    return row;
}

void rows_free(struct rows *rows) {
    for (size_t i = 0; i < rows->count; i++) {
        store_row_free(&rows->row[i]);
    }
    free(rows->row);
    *rows = (struct rows){0};
}

/* --- batches ---------------------------------------------------------------------------------- */

static bool takes_value(enum store_op_kind kind) {
    return kind == STORE_INSERT || kind == STORE_UPDATE || kind == STORE_PUT;
}

static hardy_status check_name(const struct store *store, const char *kind, const char *key,
                               hardy_error *error) {
    size_t len = kind ? strnlen(kind, STORE_KIND_MAX + 1) : 0;
    if (len == 0 || len > STORE_KIND_MAX) {
        return fail(error, HARDY_E_INVALID, store->where, "a row's kind has 1 to %d bytes, not %s",
                    STORE_KIND_MAX, len ? "more" : "none");
    }
    len = key ? strnlen(key, STORE_KEY_MAX + 1) : 0;
    if (len == 0 || len > STORE_KEY_MAX) {
        return fail(error, HARDY_E_INVALID, store->where,
                    "the key of a row of kind %s has 1 to %d bytes, not %s", kind, STORE_KEY_MAX,
                    len ? "more" : "none");
    }
    if (!str_valid_utf8(kind, strlen(kind)) || !str_valid_utf8(key, len)) {
        return fail(error, HARDY_E_INVALID, store->where,
                    "the key of a row of kind %s is not UTF-8", kind);
    }
    return HARDY_OK;
}

static hardy_status check_op(const struct store *store, const struct store_op *op,
                             hardy_error *error) {
    hardy_status status = check_name(store, op->row_kind, op->key, error);
    if (status != HARDY_OK) {
        return status;
    }
    if ((unsigned)op->kind > STORE_REQUIRE) {
        return fail(error, HARDY_E_INVALID, store->where, "%s %s: no operation has the number %d",
                    op->row_kind, op->key, (int)op->kind);
    }
    bool conditional = op->kind != STORE_INSERT && op->kind != STORE_PUT;
    if (conditional && op->if_fence < STORE_ANY_FENCE) {
        return fail(error, HARDY_E_INVALID, store->where,
                    "%s %s: a row has fence 0 or more, never %lld", op->row_kind, op->key,
                    (long long)op->if_fence);
    }
    if (!takes_value(op->kind)) {
        return HARDY_OK;
    }
    if (op->fence < 0 || op->expires < 0 || op->changed < 0 || (op->len > 0 && !op->value)) {
        return fail(error, HARDY_E_INVALID, store->where,
                    "%s %s: fence and times are 0 or more, and a length needs a value",
                    op->row_kind, op->key);
    }
    if (op->len > STORE_VALUE_MAX) {
        return fail(error, HARDY_E_TOO_LARGE, store->where,
                    "%s %s: a value of %zu bytes, at most %zu are stored", op->row_kind, op->key,
                    op->len, STORE_VALUE_MAX);
    }
    return HARDY_OK;
}

static char *put(char **at, const void *data, size_t len) {
    char *start = *at;
    if (len > 0) {
        memcpy(start, data, len);
    }
    start[len] = '\0';
    *at += len + 1;
    return start;
}

/* One piece of memory for the batch and all that it points to. */
static hardy_status batch_copy(const struct store *store, const struct store_op *ops, size_t count,
                               struct batch **out, hardy_error *error) {
    size_t size = sizeof(struct batch);
    for (size_t i = 0; i < count; i++) {
        hardy_status status = check_op(store, &ops[i], error);
        if (status != HARDY_OK) {
            return status;
        }
        size += sizeof ops[i] + strlen(ops[i].row_kind) + strlen(ops[i].key) + 3;
        size += takes_value(ops[i].kind) ? ops[i].len : 0;
    }
    struct batch *batch = malloc(size);
    if (!batch) {
        return fail(error, HARDY_E_NOMEM, store->where, "no memory for a batch of %zu bytes", size);
    }
    *batch = (struct batch){.count = count, .bytes = size, .failed = -1};
    char *at = (char *)&batch->ops[count];
    for (size_t i = 0; i < count; i++) {
        struct store_op *op = &batch->ops[i];
        *op = ops[i];
        op->len = takes_value(op->kind) ? op->len : 0;
        op->row_kind = put(&at, op->row_kind, strlen(op->row_kind));
        op->key = put(&at, op->key, strlen(op->key));
        op->value = put(&at, op->value, op->len);
    }
    *out = batch;
    return HARDY_OK;
}

static void describe_refusal(const struct store *store, const struct batch *batch,
                             hardy_error *error) {
    if (batch->failed < 0) {
        fail(error, batch->status, store->where, "%s", hardy_status_text(batch->status));
        return;
    }
    const struct store_op *op = &batch->ops[batch->failed];
    if (batch->status == HARDY_E_EXISTS) {
        fail(error, batch->status, store->where, "%s %s: the row exists already, with fence %lld",
             op->row_kind, op->key, (long long)batch->found);
    } else if (batch->found == STORE_MISSING) {
        fail(error, batch->status, store->where, "%s %s: there is no such row", op->row_kind,
             op->key);
    } else {
        fail(error, batch->status, store->where,
             "%s %s: the row has fence %lld, not %lld: another owner has taken over", op->row_kind,
             op->key, (long long)batch->found, (long long)op->if_fence);
    }
}

void batch_finish(const struct store *store, struct batch *batch, const hardy_error *error) {
    hardy_error text;
    hardy_error_init(&text, sizeof text);
    if (batch->status != HARDY_OK && !error) {
        describe_refusal(store, batch, &text);
        error = &text;
    }
    if (batch->done) {
        struct inside here = {store, inside};
        inside = &here;
        batch->done(batch->ctx, batch->status, batch->failed, error ? error : &text);
        inside = here.outer;
    }
    free(batch);
}

void store_submit(struct store *store, const struct store_op *ops, size_t count, store_done done,
                  void *ctx) {
    struct batch *batch = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = batch_copy(store, ops, count, &batch, &error);
    if (status == HARDY_OK) {
        batch->done = done;
        batch->ctx = ctx;
        status = store->methods->submit(store, batch, &error);
    }
    if (status != HARDY_OK) {
        free(batch);
        done(ctx, status, -1, &error);
    }
}

/* --- waiting for one batch -------------------------------------------------------------------- */

/* Held by both sides, for the batch may outlive the wait; whoever lets go last frees it. */
struct waiter {
    pthread_mutex_t mutex;
    struct condition changed;
    int holders;
    bool finished;
    hardy_status status;
    int failed;
    hardy_error error;
};

static void waiter_drop(struct waiter *w) {
    pthread_mutex_lock(&w->mutex);
    bool last = --w->holders == 0;
    pthread_mutex_unlock(&w->mutex);
    if (last) {
        condition_free(&w->changed);
        pthread_mutex_destroy(&w->mutex);
        free(w);
    }
}

static void waiter_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct waiter *w = ctx;
    pthread_mutex_lock(&w->mutex);
    w->finished = true;
    w->status = status;
    w->failed = failed;
    w->error = *error;
    pthread_mutex_unlock(&w->mutex);
    condition_wake(&w->changed); /* without the mutex, which the waiter would only wait for */
    waiter_drop(w);
}

hardy_status store_apply(struct store *store, const struct store_op *ops, size_t count,
                         int64_t deadline, int *failed, hardy_error *error) {
    if (failed) {
        *failed = -1;
    }
    for (const struct inside *i = inside; i; i = i->outer) {
        if (i->store == store) {
            return fail(error, HARDY_E_INVALID, store->where,
                        "store_apply() inside a done would wait for itself: use store_submit()");
        }
    }
    struct waiter *w = malloc(sizeof *w);
    if (!w) {
        return fail(error, HARDY_E_NOMEM, store->where, "no memory to wait for a batch");
    }
    *w = (struct waiter){.holders = 2, .failed = -1};
    pthread_mutex_init(&w->mutex, NULL);
    condition_init(&w->changed);
    store_submit(store, ops, count, waiter_done, w);

    pthread_mutex_lock(&w->mutex);
    while (!w->finished && condition_wait(&w->changed, &w->mutex, deadline)) {
    }
    bool finished = w->finished;
    pthread_mutex_unlock(&w->mutex);
    hardy_status status = finished ? w->status : HARDY_E_DEADLINE;
    if (!finished) {
        char why[200];
        store->methods->delay(store, why, sizeof why);
        fail(error, status, store->where,
             "not stored before the deadline, and may be stored yet: %s", why);
    } else if (status != HARDY_OK && error) {
        size_t size = error->size;
        *error = w->error;
        error->size = size;
    }
    if (finished && failed) {
        *failed = w->failed;
    }
    waiter_drop(w);
    return status;
}

bool store_holder(struct store *store, char *out, size_t size) {
    return store->methods->holder && store->methods->holder(store, out, size);
}

/* --- reading ---------------------------------------------------------------------------------- */

hardy_status store_get(struct store *store, const char *kind, const char *key,
                       struct store_row *out, hardy_error *error) {
    *out = (struct store_row){0};
    hardy_status status = check_name(store, kind, key, error);
    return status != HARDY_OK ? status : store->methods->get(store, kind, key, out, error);
}

static hardy_status scan(struct store *store, const char *kind, const char *prefix,
                         const char *after, size_t limit, bool values,
                         bool (*fn)(void *ctx, const struct store_row *row), void *ctx,
                         hardy_error *error) {
    char *last = NULL;
    bool more = limit > 0;
    hardy_status status = HARDY_OK;
    while (more && status == HARDY_OK) {
        struct rows rows = {0};
        status = store->methods->scan(store, kind, prefix, last ? last : after, limit, values,
                                      &rows, error);
        more = status == HARDY_OK && rows.more;
        limit -= rows.count;
        for (size_t i = 0; i < rows.count && status == HARDY_OK; i++) {
            if (!fn(ctx, &rows.row[i])) {
                more = false;
                break;
            }
        }
        if (more) {
            free(last);
            last = rows.row[rows.count - 1].key;
            rows.row[rows.count - 1].key = NULL;
        }
        rows_free(&rows);
    }
    free(last);
    return status;
}

hardy_status store_scan(struct store *store, const char *kind, const char *prefix,
                        const char *after, size_t limit,
                        bool (*fn)(void *ctx, const struct store_row *row), void *ctx,
                        hardy_error *error) {
    return scan(store, kind, prefix, after, limit, true, fn, ctx, error);
}

hardy_status store_scan_keys(struct store *store, const char *kind, const char *prefix,
                             const char *after, size_t limit,
                             bool (*fn)(void *ctx, const struct store_row *row), void *ctx,
                             hardy_error *error) {
    return scan(store, kind, prefix, after, limit, false, fn, ctx, error);
}

/* --- health ----------------------------------------------------------------------------------- */

void store_init(struct store *store, const struct store_methods *methods,
                const struct store_options *options, const char *where) {
    *store =
        (struct store){.methods = methods, .wall = options->wall, .wall_ctx = options->wall_ctx};
    str_copy(store->where, sizeof store->where, where);
    pthread_mutex_init(&store->health_mutex, NULL);
}

void store_end(struct store *store) {
    pthread_mutex_destroy(&store->health_mutex);
}

void store_set_health(struct store *store, const hardy_error *error) {
    pthread_mutex_lock(&store->health_mutex);
    bool was_well = store->health.status == HARDY_OK;
    if (error) {
        store->ill_since = was_well ? store_wall(store) : store->ill_since;
        store->health = *error;
    } else {
        store->health.status = HARDY_OK;
    }
    pthread_mutex_unlock(&store->health_mutex);
}

hardy_status store_health(struct store *store, hardy_error *error) {
    char since[40];
    pthread_mutex_lock(&store->health_mutex);
    const hardy_error health = store->health;
    clock_format_wall(store->ill_since, since);
    pthread_mutex_unlock(&store->health_mutex);
    return health.status == HARDY_OK
               ? HARDY_OK
               : fail(error, health.status, health.where, "since %s: %s", since, health.message);
}

/* --- description ------------------------------------------------------------------------------ */

/* A JSON number would lose the last digits of a time. */
static void put_time(struct json_out *j, const char *key, int64_t time) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)time);
    json_out_member_string(j, key, text);
}

void kind_to_json(const char *kind, const struct kind_figures *figures, struct json_out *j) {
    json_out_key(j, kind);
    json_out_object(j);
    json_out_key(j, "rows");
    json_out_int(j, figures->rows);
    json_out_key(j, "bytes");
    json_out_int(j, figures->bytes);
    put_time(j, "oldest", figures->oldest);
    put_time(j, "newest", figures->newest);
    json_out_object_end(j);
}

hardy_status store_describe(struct store *store, bool check, struct buf *out, hardy_error *error) {
    return store->methods->describe(store, check, out, error);
}

/* --- opening ---------------------------------------------------------------------------------- */

static int64_t kernel_wall(void *ctx) {
    (void)ctx;
    return clock_wall();
}

hardy_status store_open(const struct store_options *options, struct store **out,
                        hardy_error *error) {
    *out = NULL;
    struct store_options full = *options;
    if (!full.wall) {
        full.wall = kernel_wall;
    }
    if (!full.purpose) {
        full.purpose = "hardy";
    }
    return full.path ? sqlite_open(&full, out, error) : memory_open(&full, out, error);
}

void store_close(struct store *store) {
    if (store) {
        store->methods->close(store);
    }
}
