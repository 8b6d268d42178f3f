/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that are changed while operations begin and end, under every schedule of the threads. */
#include "../policy/explore.h"
#include "guard/edition.h"
#include <string.h>

static struct editions editions;
static int64_t written; /* what the last edition says twice */

static void change(void) {
    struct edition *next = edition_blank(&editions);
    explore_expect(next != NULL, "no memory");
    explore_look();
    next->config.deadline = ++written;
    explore_look();
    next->config.timeout = written;
    edition_publish(&editions, next);
}

static void fresh(void) {
    editions_free(&editions);
    memset(&editions, 0, sizeof editions);
    written = 0;
    change();
}

static void change_twice(void) {
    change();
    change();
}

/* Whatever else happens, an operation finds what it found at first. */
static void operate(void) {
    struct edition_hold hold = edition_enter(&editions);
    const hardy_guard_config *config = &hold.edition->config;
    explore_look();
    int64_t first = config->deadline;
    explore_expect(first > 0 && first <= written, "settings that were never published");
    explore_expect(config->timeout == first, "half of one setting and half of another");
    explore_look();
    explore_expect(config->deadline == first && config->timeout == first,
                   "settings that changed under an operation");
    edition_leave(hold.shard);
}

static size_t count(void) {
    size_t n = 0;
    for (struct edition *e = edition_first(&editions); e != NULL; e = e->next) {
        n++;
    }
    return n;
}

static void all_are_free(void) {
    explore_expect(edition_current(&editions)->config.deadline == written,
                   "what is current is not the last");
    size_t before = count();
    explore_expect(before <= 3, "more editions than were held at once, and one more");
    struct edition *blank = edition_blank(&editions);
    explore_expect(blank != NULL && blank != edition_current(&editions) &&
                       count() == (before == 1 ? 2 : before),
                   "an edition that nobody holds is not used again");
}

const struct scenario edition_scenarios[] = {
    {"edition: one operates, settings change twice",
     EXPLORE_ALL,
     fresh,
     {operate, change_twice},
     all_are_free},
    {"edition: two operate, settings change twice",
     2,
     fresh,
     {operate, operate, change_twice},
     all_are_free},
    {.name = NULL},
};
