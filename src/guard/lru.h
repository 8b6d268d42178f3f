/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_LRU_H
#define GUARD_LRU_H
/* The program's door to the answers kept in memory: for those that are kept elsewhere besides. */
#include <hardy/gather.h>

/* Told of each answer that goes, for lack of room or removed; under the lock: it calls nothing of
 * the cache. */
void lru_on_dropped(hardy_lru *lru, void (*fn)(void *ctx, const char *key), void *ctx);
/* Puts an answer that is `age` old already. */
void lru_put_aged(hardy_lru *lru, const char *key, const void *data, size_t len, int64_t age);
void lru_resize(hardy_lru *lru, size_t max_count, size_t max_bytes);
struct lru_use {
    size_t count, bytes;
};
struct lru_use lru_used(hardy_lru *lru);
#endif
