/* SPDX-License-Identifier: Apache-2.0 */
/* All rows of one store into another, whatever the two are. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "store/upkeep.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DESCRIPTION_BYTES ((size_t)4 << 20)
#define BATCH_ROWS 256
#define BATCH_BYTES ((size_t)4 << 20)
#define BATCH_WITHIN (60 * HARDY_SECOND)

hardy_status store_each_kind(struct store *store,
                             bool (*fn)(void *ctx, const char *kind, uint64_t rows), void *ctx,
                             hardy_error *error) {
    struct buf text;
    buf_init(&text, DESCRIPTION_BYTES);
    hardy_status status = store_describe(store, false, &text, error);
    json_t *told = status == HARDY_OK ? json_loadb(text.data, text.len, 0, NULL) : NULL;
    const char *kind;
    json_t *rows;
    if (status == HARDY_OK && !told) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for the description of a store");
    }
    json_object_foreach(json_object_get(told, "rows"), kind, rows) {
        if (!fn(ctx, kind, (uint64_t)json_integer_value(rows))) {
            break;
        }
    }
    json_decref(told);
    buf_free(&text);
    return status;
}

struct copying {
    struct store *from, *to;
    struct store_copied *out;
    struct store_row rows[BATCH_ROWS]; /* waiting to be written */
    size_t count, bytes;
    bool verify;
    hardy_status status;
    hardy_error *error;
};

static void flush(struct copying *c) {
    struct store_op ops[BATCH_ROWS];
    for (size_t i = 0; i < c->count; i++) {
        const struct store_row *row = &c->rows[i];
        ops[i] = (struct store_op){.kind = STORE_INSERT,
                                   .row_kind = row->kind,
                                   .key = row->key,
                                   .fence = row->fence,
                                   .value = row->value,
                                   .len = row->len,
                                   .expires = row->expires,
                                   .changed = row->changed};
    }
    if (c->status == HARDY_OK && c->count > 0) {
        c->status =
            store_apply(c->to, ops, c->count, time_add(clock_now(), BATCH_WITHIN), NULL, c->error);
    }
    for (size_t i = 0; i < c->count; i++) {
        store_row_free(&c->rows[i]);
    }
    c->count = 0;
    c->bytes = 0;
}

static bool copy_row(void *ctx, const struct store_row *row) {
    struct copying *c = ctx;
    struct store_row *copy = &c->rows[c->count];
    *copy = *row;
    copy->kind = str_dup(row->kind);
    copy->key = str_dup(row->key);
    copy->value = malloc(row->len + 1);
    c->count++;
    if (!copy->kind || !copy->key || !copy->value) {
        c->status =
            fail(c->error, HARDY_E_NOMEM, NULL, "no memory to copy %s %s", row->kind, row->key);
        return false;
    }
    memcpy(copy->value, row->value, row->len + 1);
    c->bytes += row->len;
    c->out->rows++;
    c->out->bytes += row->len;
    if (c->count == BATCH_ROWS || c->bytes >= BATCH_BYTES) {
        flush(c);
    }
    return c->status == HARDY_OK;
}

static bool compare_row(void *ctx, const struct store_row *row) {
    struct copying *c = ctx;
    struct store_row there;
    c->status = store_get(c->to, row->kind, row->key, &there, c->error);
    bool same = c->status == HARDY_OK && there.fence == row->fence && there.len == row->len &&
                there.expires == row->expires && there.changed == row->changed &&
                memcmp(there.value, row->value, row->len) == 0;
    store_row_free(&there);
    if (c->status == HARDY_E_NOT_FOUND || (c->status == HARDY_OK && !same)) {
        c->status = fail(c->error, HARDY_E_MISMATCH, NULL,
                         "%s %s changed while it was copied: the copy is not complete", row->kind,
                         row->key);
    }
    c->out->rows++;
    return c->status == HARDY_OK;
}

static bool each_kind(void *ctx, const char *kind, uint64_t rows) {
    struct copying *c = ctx;
    (void)rows;
    hardy_status status = store_scan(c->from, kind, "", NULL, SIZE_MAX,
                                     c->verify ? compare_row : copy_row, c, c->error);
    c->status = c->status == HARDY_OK ? status : c->status;
    flush(c);
    return c->status == HARDY_OK;
}

static bool add_rows(void *ctx, const char *kind, uint64_t rows) {
    (void)kind;
    *(uint64_t *)ctx += rows;
    return true;
}

hardy_status store_copy(struct store *from, struct store *to, struct store_copied *out,
                        hardy_error *error) {
    uint64_t there = 0;
    *out = (struct store_copied){0};
    hardy_status status = store_each_kind(to, add_rows, &there, error);
    if (status == HARDY_OK && there > 0) {
        return fail(error, HARDY_E_EXISTS, NULL,
                    "has %llu rows already: rows are only copied to "
                    "an empty state",
                    (unsigned long long)there);
    }
    struct copying *c = calloc(1, sizeof *c);
    if (!c) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to copy rows");
    }
    *c = (struct copying){.from = from, .to = to, .out = out, .error = error};
    if (status == HARDY_OK) {
        status = store_each_kind(from, each_kind, c, error);
        status = c->status != HARDY_OK ? c->status : status;
    }
    struct store_copied compared = {0};
    if (status == HARDY_OK) {
        c->verify = true;
        c->out = &compared;
        status = store_each_kind(from, each_kind, c, error);
        status = c->status != HARDY_OK ? c->status : status;
    }
    there = 0;
    if (status == HARDY_OK) {
        status = store_each_kind(to, add_rows, &there, error);
    }
    if (status == HARDY_OK && (there != out->rows || compared.rows != out->rows)) {
        status = fail(error, HARDY_E_MISMATCH, NULL,
                      "%llu rows were copied, %llu are in the source now and %llu in the copy",
                      (unsigned long long)out->rows, (unsigned long long)compared.rows,
                      (unsigned long long)there);
    }
    free(c);
    return status;
}
