/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DURABLE_STORES_H
#define TESTS_DURABLE_STORES_H
/* The stores that tests of durable things run on: the reference in memory and SQLite. */
#include "store/store.h"

enum store_kind { IN_MEMORY, ON_SQLITE };
/* Opens a fresh one; the wall clock of the store is `*wall`. */
struct store *stores_open(enum store_kind kind, int64_t *wall);
/* Closes it and opens it again: what is on the disk. In memory: the same store. */
struct store *stores_reopen(enum store_kind kind, struct store *store, int64_t *wall);
void stores_close(struct store *store); /* and removes its files */
#endif
