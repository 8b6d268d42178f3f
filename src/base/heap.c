/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"
#include <stdlib.h>

void heap_init(struct heap *h) {
    *h = (struct heap){0};
}

void heap_free(struct heap *h) {
    for (size_t i = 0; i < h->count; i++) {
        h->nodes[i]->index = 0;
    }
    free(h->nodes);
    heap_init(h);
}

static bool before(const struct heap_node *a, const struct heap_node *b) {
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void place(struct heap *h, size_t position, struct heap_node *node) {
    h->nodes[position] = node;
    node->index = position + 1;
}

static void sift_up(struct heap *h, size_t position, struct heap_node *node) {
    while (position > 0) {
        size_t parent = (position - 1) / 2;
        if (!before(node, h->nodes[parent])) {
            break;
        }
        place(h, position, h->nodes[parent]);
        position = parent;
    }
    place(h, position, node);
}

static void sift_down(struct heap *h, size_t position, struct heap_node *node) {
    for (;;) {
        size_t child = 2 * position + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child])) {
            child++;
        }
        if (!before(h->nodes[child], node)) {
            break;
        }
        place(h, position, h->nodes[child]);
        position = child;
    }
    place(h, position, node);
}

hardy_status heap_insert(struct heap *h, struct heap_node *node, int64_t at) {
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        if (cap > SIZE_MAX / sizeof(struct heap_node *)) {
            return HARDY_E_NOMEM;
        }
        struct heap_node **nodes = realloc(h->nodes, cap * sizeof(struct heap_node *));
        if (!nodes) {
            return HARDY_E_NOMEM;
        }
        h->nodes = nodes;
        h->cap = cap;
    }
    node->at = at;
    node->sequence = h->sequence++;
    sift_up(h, h->count++, node);
    return HARDY_OK;
}

void heap_remove(struct heap *h, struct heap_node *node) {
    if (node->index == 0) {
        return;
    }
    size_t position = node->index - 1;
    struct heap_node *last = h->nodes[--h->count];
    node->index = 0;
    if (last == node) {
        return;
    }
    if (position > 0 && before(last, h->nodes[(position - 1) / 2])) {
        sift_up(h, position, last);
    } else {
        sift_down(h, position, last);
    }
}

struct heap_node *heap_min(const struct heap *h) {
    return h->count > 0 ? h->nodes[0] : NULL;
}
