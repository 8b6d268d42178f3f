/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H
/* An intrusive heap ordered by (at, sequence): equal times leave in the order they came, so that a
 * run repeats exactly. Each node has four below it, and the array holds what is compared: to find
 * the next one touches few lines of memory, and no node. */
#include <hardy/status.h>
#include <stdbool.h>

struct heap_node {
    int64_t at;
    uint64_t sequence;
    size_t index; /* 0 = not in a heap, else position + 1 */
};
struct heap_entry {
    int64_t at;
    uint64_t sequence;
    struct heap_node *node;
};
struct heap {
    struct heap_entry *entries;
    size_t count, cap;
    uint64_t sequence;
};
void heap_init(struct heap *h);
void heap_free(struct heap *h); /* the array; nodes are the caller's */
hardy_status heap_insert(struct heap *h, struct heap_node *node, int64_t at); /* E_NOMEM */
/* The same in two steps, for a node that is kept elsewhere in between: its place in the order is
 * that of the first step. */
void heap_number(struct heap *h, struct heap_node *node, int64_t at);
hardy_status heap_insert_numbered(struct heap *h, struct heap_node *node); /* E_NOMEM */
void heap_remove(struct heap *h, struct heap_node *node); /* nothing when not in it */
struct heap_node *heap_min(const struct heap *h);         /* NULL = empty */
static inline bool heap_contains(const struct heap_node *n) {
    return n->index != 0;
}
#endif
