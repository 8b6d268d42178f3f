/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/kept.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "guard/lru.h"
#include "io/loop.h"
#include "store/store.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define KIND "cache"
#define KEEP (7 * HARDY_DAY) /* no component's time to live is longer */
#define WRITE_EVERY HARDY_SECOND
#define AT_ONCE 256 /* rows removed by one batch */

static void ignore_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    (void)ctx;
    (void)status; /* a cache that could not be written is only a cache less */
    (void)failed;
    (void)error;
}

/* --- rows ------------------------------------------------------------------------------------- */

static char *rows_get(void *ctx, const char *key, size_t *len, int64_t *age) {
    struct kept_rows *rows = ctx;
    struct store_row row;
    if (store_get(rows->store, KIND, key, &row, NULL) != HARDY_OK)
        return NULL;
    char *data = row.value;
    row.value = NULL;
    *len = row.len;
    *age = loop_wall(rows->loop) - row.changed;
    store_row_free(&row);
    return data;
}

static void rows_put(void *ctx, const char *key, const void *data, size_t len) {
    struct kept_rows *rows = ctx;
    struct store_op op = {.kind = STORE_PUT,
                          .row_kind = KIND,
                          .key = key,
                          .value = data,
                          .len = len,
                          .expires = loop_wall(rows->loop) + KEEP};
    store_submit(rows->store, &op, 1, ignore_stored, NULL);
}

static void rows_delete(struct kept_rows *rows, const char *key) {
    struct store_op op = {
        .kind = STORE_DELETE, .row_kind = KIND, .key = key, .if_fence = STORE_ANY_FENCE};
    store_submit(rows->store, &op, 1, ignore_stored, NULL);
}

hardy_cache kept_rows_cache(struct kept_rows *rows) {
    return (hardy_cache){.ctx = rows, .get = rows_get, .put = rows_put};
}

/* --- rows behind a memory --------------------------------------------------------------------- */

struct written { /* when an answer in memory was written last */
    struct written *next;
    int64_t at;
    char key[];
};

struct kept {
    struct kept_rows rows; /* store NULL = none */
    hardy_lru *lru;
    hardy_cache memory;
    struct written *written;
    struct removal *removal; /* while one is under way */
};

static struct written **find_written(struct kept *k, const char *key) {
    struct written **at = &k->written;
    while (*at && !str_eq((*at)->key, key))
        at = &(*at)->next;
    return at;
}

static void forget_written(struct kept *k, const char *key) {
    struct written **at = find_written(k, key), *w = *at;
    if (w) {
        *at = w->next;
        free(w);
    }
}

static void note_removed(struct removal *r, const char *key);

static void on_dropped(void *ctx, const char *key) {
    struct kept *k = ctx;
    forget_written(k, key);
    if (k->rows.store)
        rows_delete(&k->rows, key);
    if (k->removal)
        note_removed(k->removal, key);
}

static char *get(void *ctx, const char *key, size_t *len, int64_t *age) {
    struct kept *k = ctx;
    char *data = k->memory.get(k->memory.ctx, key, len, age);
    if (!data && k->rows.store) {
        data = rows_get(&k->rows, key, len, age);
        if (data)
            lru_put_aged(k->lru, key, data, *len, *age);
    }
    return data;
}

/* Whether the store's is old enough to be written again. */
static bool is_due(struct kept *k, const char *key) {
    int64_t now = loop_now(k->rows.loop);
    struct written *w = *find_written(k, key);
    if (w && now < time_add(w->at, WRITE_EVERY))
        return false;
    if (!w && (w = malloc(sizeof *w + strlen(key) + 1))) {
        memcpy(w->key, key, strlen(key) + 1);
        w->next = k->written;
        k->written = w;
    }
    if (w)
        w->at = now;
    return true;
}

static void put(void *ctx, const char *key, const void *data, size_t len) {
    struct kept *k = ctx;
    if (k->rows.store && is_due(k, key))
        rows_put(&k->rows, key, data, len);
    k->memory.put(k->memory.ctx, key, data, len); /* last: what finds no room here goes there too */
}

hardy_status kept_open(struct loop *loop, struct store *store, size_t max_count, size_t max_bytes,
                       struct kept **out, hardy_error *error) {
    hardy_env env = loop_env(loop);
    struct kept *k = calloc(1, sizeof *k);
    if (!k)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a cache");
    k->rows = (struct kept_rows){loop, store};
    hardy_status status = hardy_lru_new(max_count, max_bytes, &env, &k->lru, error);
    if (status != HARDY_OK) {
        free(k);
        return status;
    }
    k->memory = hardy_lru_cache(k->lru);
    lru_on_dropped(k->lru, on_dropped, k);
    *out = k;
    return HARDY_OK;
}

void kept_resize(struct kept *k, size_t max_count, size_t max_bytes) {
    lru_resize(k->lru, max_count, max_bytes);
}

hardy_cache kept_cache(struct kept *k) {
    return (hardy_cache){.ctx = k, .get = get, .put = put};
}

/* --- removing --------------------------------------------------------------------------------- */

struct removal {
    struct kept *k;
    json_t *keys; /* a set: what is in memory has a row, too, or soon */
    char *last;
    size_t seen;
};

static void note_removed(struct removal *r, const char *key) {
    (void)json_object_set_new(r->keys, key, json_null());
}

static bool remove_row(void *ctx, const struct store_row *row) {
    struct removal *r = ctx;
    rows_delete(&r->k->rows, row->key);
    note_removed(r, row->key);
    free(r->last);
    r->last = str_dup(row->key);
    r->seen++;
    return r->last != NULL;
}

hardy_status kept_remove(struct kept *k, const char *prefix, size_t *removed, hardy_error *error) {
    struct removal r = {.k = k, .keys = json_object()};
    hardy_status status = HARDY_OK;
    size_t before;
    k->removal = &r;
    (void)hardy_lru_remove(k->lru, prefix);
    k->removal = NULL;
    do {
        before = r.seen;
        if (k->rows.store)
            status = store_scan_keys(k->rows.store, KIND, prefix, r.last, AT_ONCE, remove_row, &r,
                                     error);
    } while (status == HARDY_OK && r.seen == before + AT_ONCE);
    *removed = json_object_size(r.keys);
    json_decref(r.keys);
    free(r.last);
    return status;
}

struct kept_use kept_used(struct kept *k) {
    struct lru_use use = lru_used(k->lru);
    return (struct kept_use){use.count, use.bytes};
}

void kept_close(struct kept *k) {
    if (!k)
        return;
    hardy_lru_free(k->lru);
    while (k->written)
        forget_written(k, k->written->key);
    free(k);
}
