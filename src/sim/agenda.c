/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/agenda.h"
#include <string.h>

#define PAGE_BITS 24 /* of a time in ns: 17 ms */
#define NO_PAGE INT64_MAX

void agenda_init(struct agenda *a) {
    memset(a, 0, sizeof *a);
    heap_init(&a->soon);
    a->next_page = NO_PAGE;
}

void agenda_free(struct agenda *a) {
    heap_free(&a->soon);
}

static int64_t page_of(int64_t at) {
    return at >> PAGE_BITS;
}

static void mark(struct agenda *a, size_t place, bool in_use) {
    uint64_t bit = UINT64_C(1) << place % 64;
    a->in_use[place / 64] = in_use ? a->in_use[place / 64] | bit : a->in_use[place / 64] & ~bit;
}

bool agenda_set(struct agenda *a, struct event *e, int64_t at) {
    int64_t page = page_of(at);
    if (page <= a->page || page - a->page >= AGENDA_PAGES) {
        return heap_insert(&a->soon, &e->node, at) == HARDY_OK;
    }
    size_t place = (size_t)page % AGENDA_PAGES;
    heap_number(&a->soon, &e->node, at);
    e->next = a->pages[place];
    e->link = &a->pages[place];
    if (e->next) {
        e->next->link = &e->next;
    }
    a->pages[place] = e;
    mark(a, place, true);
    a->next_page = page < a->next_page ? page : a->next_page;
    return true;
}

void agenda_clear(struct agenda *a, struct event *e) {
    if (!e->link) {
        heap_remove(&a->soon, &e->node);
        return;
    }
    size_t place = (size_t)page_of(e->node.at) % AGENDA_PAGES;
    *e->link = e->next;
    if (e->next) {
        e->next->link = e->link;
    }
    e->link = NULL;
    mark(a, place, a->pages[place] != NULL);
}

/* The first page in use after the one that was sorted; all of them lie within one round. */
static int64_t find_page(const struct agenda *a) {
    size_t from = (size_t)(a->page + 1) % AGENDA_PAGES, word = from / 64;
    uint64_t bits = a->in_use[word] & UINT64_MAX << from % 64;
    for (size_t i = 0; i <= AGENDA_PAGES / 64; i++) {
        if (bits != 0) {
            size_t place = word * 64 + (size_t)__builtin_ctzll(bits);
            return a->page + 1 + (int64_t)((place - from) % AGENDA_PAGES);
        }
        word = (word + 1) % (AGENDA_PAGES / 64);
        bits = a->in_use[word];
    }
    return NO_PAGE;
}

static bool sort_page(struct agenda *a, int64_t page) {
    size_t place = (size_t)page % AGENDA_PAGES;
    a->page = page;
    for (struct event *e = a->pages[place], *next; e; e = next) {
        next = e->next;
        e->link = NULL;
        if (heap_insert_numbered(&a->soon, &e->node) != HARDY_OK) {
            return false;
        }
    }
    a->pages[place] = NULL;
    mark(a, place, false);
    a->next_page = find_page(a);
    return true;
}

struct event *agenda_first(struct agenda *a, bool *no_memory) {
    struct heap_node *node;
    while (!(node = heap_min(&a->soon)) || page_of(node->at) >= a->next_page) {
        if (a->next_page == NO_PAGE || !sort_page(a, a->next_page)) {
            *no_memory |= a->next_page != NO_PAGE;
            return NULL;
        }
    }
    return (struct event *)(void *)node;
}
