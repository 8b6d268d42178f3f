/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/attempts.h"
#include "base/str.h"
#include "chaos/hash.h"
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

/* Numbers of entries instead of pointers; `newest` and `oldest` end a list of all in use. */
struct entry {
    char key[CHAOS_KEY_SIZE];
    uint32_t count;
    uint32_t chain; /* the next of the same bucket */
    uint32_t newer, older;
};
struct attempts {
    struct entry *entries;
    uint32_t *buckets;
    uint32_t max, used, mask;
    uint32_t newest, oldest;
};

struct attempts *attempts_new(uint32_t max) {
    struct attempts *a = calloc(1, sizeof *a);
    uint32_t buckets = 16;
    while (buckets < max && buckets < (UINT32_C(1) << 31)) {
        buckets *= 2;
    }
    if (a) {
        *a = (struct attempts){.entries = calloc(max, sizeof *a->entries),
                               .buckets = malloc(buckets * sizeof *a->buckets),
                               .max = max,
                               .mask = buckets - 1,
                               .newest = NONE,
                               .oldest = NONE};
    }
    if (!a || !a->entries || !a->buckets) {
        attempts_free(a);
        return NULL;
    }
    memset(a->buckets, 0xff, buckets * sizeof *a->buckets); /* NONE */
    return a;
}

void attempts_free(struct attempts *a) {
    if (a) {
        free(a->entries);
        free(a->buckets);
        free(a);
    }
}

static uint32_t *bucket_of(struct attempts *a, const char *key) {
    uint64_t hash = hash_add(HASH_START, key, strlen(key));
    return &a->buckets[(hash ^ hash >> 32) & a->mask];
}

static void take_out(struct attempts *a, uint32_t at) {
    const struct entry *e = &a->entries[at];
    *(e->newer == NONE ? &a->newest : &a->entries[e->newer].older) = e->older;
    *(e->older == NONE ? &a->oldest : &a->entries[e->older].newer) = e->newer;
}

static void put_newest(struct attempts *a, uint32_t at) {
    a->entries[at].newer = NONE;
    a->entries[at].older = a->newest;
    *(a->newest == NONE ? &a->oldest : &a->entries[a->newest].newer) = at;
    a->newest = at;
}

/* Room for one more key, the oldest's when there is no other. */
static uint32_t make_room(struct attempts *a) {
    if (a->used < a->max) {
        return a->used++;
    }
    uint32_t at = a->oldest;
    uint32_t *link = bucket_of(a, a->entries[at].key);
    while (*link != at) {
        link = &a->entries[*link].chain;
    }
    *link = a->entries[at].chain;
    take_out(a, at);
    return at;
}

uint32_t attempts_next(struct attempts *a, const char *key) {
    char cut[CHAOS_KEY_SIZE];
    str_copy(cut, sizeof cut, key);
    uint32_t at = *bucket_of(a, cut);
    while (at != NONE && !str_eq(a->entries[at].key, cut)) {
        at = a->entries[at].chain;
    }
    if (at != NONE) {
        take_out(a, at);
    } else {
        at = make_room(a);
        uint32_t *bucket = bucket_of(a, cut);
        a->entries[at].count = 0;
        a->entries[at].chain = *bucket;
        str_copy(a->entries[at].key, sizeof a->entries[at].key, cut);
        *bucket = at;
    }
    put_newest(a, at);
    return ++a->entries[at].count;
}
