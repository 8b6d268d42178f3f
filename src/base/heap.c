/* SPDX-License-Identifier: Apache-2.0 */
#include "base/heap.h"
#include <stdlib.h>

#define BELOW 4 /* nodes under each */

void heap_init(struct heap *h) {
    *h = (struct heap){0};
}

void heap_free(struct heap *h) {
    for (size_t i = 0; i < h->count; i++) {
        h->entries[i].node->index = 0;
    }
    free(h->entries);
    heap_init(h);
}

static bool before(const struct heap_entry *a, const struct heap_entry *b) {
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void place(struct heap *h, size_t position, struct heap_entry entry) {
    h->entries[position] = entry;
    entry.node->index = position + 1;
}

static void sift_up(struct heap *h, size_t position, struct heap_entry entry) {
    while (position > 0) {
        size_t parent = (position - 1) / BELOW;
        if (!before(&entry, &h->entries[parent])) {
            break;
        }
        place(h, position, h->entries[parent]);
        position = parent;
    }
    place(h, position, entry);
}

/* The first of those under `position`, of which there is one at least. */
static size_t first_below(const struct heap_entry *entries, size_t count, size_t position) {
    size_t first = BELOW * position + 1, end = first + BELOW < count ? first + BELOW : count;
    for (size_t i = first + 1; i < end; i++) {
        first = before(&entries[i], &entries[first]) ? i : first;
    }
    return first;
}

static void sift_down(struct heap *h, size_t position, struct heap_entry entry) {
    while (BELOW * position + 1 < h->count) {
        size_t first = first_below(h->entries, h->count, position);
        if (!before(&h->entries[first], &entry)) {
            break;
        }
        place(h, position, h->entries[first]);
        position = first;
    }
    place(h, position, entry);
}

void heap_number(struct heap *h, struct heap_node *node, int64_t at) {
    node->at = at;
    node->sequence = h->sequence++;
}

hardy_status heap_insert_numbered(struct heap *h, struct heap_node *node) {
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 16;
        if (cap > SIZE_MAX / sizeof(struct heap_entry)) {
            return HARDY_E_NOMEM;
        }
        struct heap_entry *entries = realloc(h->entries, cap * sizeof(struct heap_entry));
        if (!entries) {
            return HARDY_E_NOMEM;
        }
        h->entries = entries;
        h->cap = cap;
    }
    sift_up(h, h->count++, (struct heap_entry){node->at, node->sequence, node});
    return HARDY_OK;
}

hardy_status heap_insert(struct heap *h, struct heap_node *node, int64_t at) {
    heap_number(h, node, at);
    return heap_insert_numbered(h, node);
}

void heap_remove(struct heap *h, struct heap_node *node) {
    if (node->index == 0) {
        return;
    }
    size_t position = node->index - 1;
    struct heap_entry last = h->entries[--h->count];
    node->index = 0;
    if (last.node == node) {
        return;
    }
    if (position > 0 && before(&last, &h->entries[(position - 1) / BELOW])) {
        sift_up(h, position, last);
    } else {
        sift_down(h, position, last);
    }
}

struct heap_node *heap_min(const struct heap *h) {
    return h->count > 0 ? h->entries[0].node : NULL;
}
