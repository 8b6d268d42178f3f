/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_KEPT_H
#define DEGRADE_KEPT_H
/*
 * The last good answers, kept in the store: rows of the kind "cache", whose key says what the
 * answer is about and never who asked. They outlast restarts and crashes.
 */
#include <hardy/gather.h>

struct loop;
struct store;

/* The rows and nothing else: for a program that gathers once in a while. Caller-owned. */
struct kept_rows {
    struct loop *loop;
    struct store *store;
};
hardy_cache kept_rows_cache(struct kept_rows *rows); /* borrows it */

/* The rows with a bounded memory before them, for one that is asked all the time: what was used
 * last is in memory, and what goes from there for lack of room goes from the store too. An answer
 * that changes often is written once in a second at most. `store` may be NULL: memory only. */
struct kept;
hardy_status kept_open(struct loop *loop, struct store *store, size_t max_count, size_t max_bytes,
                       struct kept **out, hardy_error *error);
void kept_resize(struct kept *k, size_t max_count, size_t max_bytes);
hardy_cache kept_cache(struct kept *k);
/* Forgets what is kept under keys that begin with `prefix` ("" = everything), of whatever process;
 * how many. E_IO and the like: the store could not be read. */
hardy_status kept_remove(struct kept *k, const char *prefix, size_t *removed, hardy_error *error);
struct kept_use {
    size_t answers, bytes; /* in memory */
};
struct kept_use kept_used(struct kept *k);
void kept_close(struct kept *k); /* NULL is fine; before the store is closed */
#endif
