/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H
/* What store.c (the door) and the implementations behind it share: copied batches, rows being read,
 * the table of methods. */
#include "store/store.h"
#include <pthread.h>

#define STORE_MISSING INT64_MIN /* batch.found: there was no row */

struct batch {
    struct batch *next;
    store_done done; /* NULL: nobody is told */
    void *ctx;
    size_t count;
    size_t bytes;  /* of memory, for the bounds of queues */
    int64_t until; /* how long it waits for room on the disk */
    /* Set by the implementation, told by batch_finish(). */
    hardy_status status;
    int failed;
    int64_t found;         /* E_EXISTS, E_FENCED: the fence that the row has */
    struct store_op ops[]; /* their strings and values lie behind them */
};

/* Tells the batch's outcome and frees it. `error` says more about a failed store, NULL: the text is
 * made from the batch. */
void batch_finish(const struct store *store, struct batch *batch, const hardy_error *error);

/* Rows of one read, before anybody is called with them. */
#define ROWS_BYTES_MAX ((size_t)64 << 20)
struct rows {
    struct store_row *row;
    size_t count, cap, bytes;
    bool more; /* cut at ROWS_BYTES_MAX: there is more after the last one */
};
void rows_free(struct rows *rows);
/* Copies; false = no memory. */
bool row_set(struct store_row *row, const char *kind, const char *key, size_t key_len,
             const void *value, size_t len);
struct store_row *rows_add(struct rows *rows, const char *kind, const char *key, size_t key_len,
                           const void *value, size_t len); /* NULL = no memory */

struct store_methods {
    /* Takes the batch unless it returns an error. */
    hardy_status (*submit)(struct store *store, struct batch *batch, hardy_error *error);
    /* Why a batch is not done yet, for the text of E_DEADLINE; NULL where `done` comes in submit.
     */
    void (*delay)(struct store *store, char *out, size_t size);
    /* See store_holder(); NULL where nobody else writes. */
    bool (*holder)(struct store *store, char *out, size_t size);
    hardy_status (*get)(struct store *store, const char *kind, const char *key,
                        struct store_row *out, hardy_error *error);
    hardy_status (*scan)(struct store *store, const char *kind, const char *prefix,
                         const char *after, size_t limit, bool values, struct rows *out,
                         hardy_error *error);
    hardy_status (*describe)(struct store *store, bool check, struct buf *out, hardy_error *error);
    void (*close)(struct store *store);
};

/* The first member of every implementation. */
struct store {
    const struct store_methods *methods;
    int64_t (*wall)(void *ctx);
    void *wall_ctx;
    char where[160];  /* the path, for errors */
    const char *path; /* of the database file; NULL = memory */
    pthread_mutex_t health_mutex;
    hardy_error health; /* its status is HARDY_OK while all is well */
    int64_t ill_since;  /* wall */
};
void store_init(struct store *store, const struct store_methods *methods,
                const struct store_options *options, const char *where);
void store_end(struct store *store);
/* What store_health() answers from now on; NULL = all is well. */
void store_set_health(struct store *store, const hardy_error *error);
static inline int64_t store_wall(const struct store *store) {
    return store->wall(store->wall_ctx);
}

/* What store_describe() tells of one kind of rows. */
struct kind_figures {
    int64_t rows, bytes, oldest, newest;
};
struct json_out;
void kind_to_json(const char *kind, const struct kind_figures *figures, struct json_out *j);

hardy_status memory_open(const struct store_options *options, struct store **out,
                         hardy_error *error);
hardy_status sqlite_open(const struct store_options *options, struct store **out,
                         hardy_error *error);

/* Retention, the same for all: what may be removed in one go, and how soon to look again. */
#define PURGE_ROWS 64
#define PURGE_BYTES ((size_t)1 << 20)
#define PURGE_EVERY HARDY_MINUTE
#endif
