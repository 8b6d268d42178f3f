/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_AGENDA_H
#define SIM_AGENDA_H
/*
 * What is to happen, in the order of the times and, where those are equal, in the order it was set.
 *
 * Most of what a simulation sets comes much later: callers think, or wait before they try again. A
 * heap of all that is deep and does not fit the cache. So what comes later is only put on the page
 * of its 17 ms, without an order (as in a calendar queue: R. Brown, CACM 31(10), 1988); a page is
 * sorted by the heap when its time has come.
 */
#include "base/heap.h"
#include <stdint.h>

struct world;
/* Part of whatever it happens to; fn may free that, or set it for another time. */
struct event {
    struct heap_node node;
    void (*fn)(struct world *w, struct event *e);
    struct event *next, **link; /* on a page; link NULL = on none */
};
#define AGENDA_PAGES 4096 /* 69 s; what is later than that is in the heap */
struct agenda {
    struct heap soon;
    struct event *pages[AGENDA_PAGES];
    uint64_t in_use[AGENDA_PAGES / 64]; /* a bit for each page that has something */
    int64_t page, next_page;            /* the last that was sorted; the next in use, or sooner */
};
void agenda_init(struct agenda *a);
void agenda_free(struct agenda *a); /* events are their owners' */
/* An event that is not set. False: no memory. */
bool agenda_set(struct agenda *a, struct event *e, int64_t at);
void agenda_clear(struct agenda *a, struct event *e); /* nothing when it is not set */
/* The first event, which stays; NULL: there is none. *no_memory is set when it ends for that. */
struct event *agenda_first(struct agenda *a, bool *no_memory);
static inline bool event_is_set(const struct event *e) {
    return e->link || heap_contains(&e->node);
}
#endif
