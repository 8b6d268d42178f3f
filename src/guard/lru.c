/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers in memory, in a list with what was used last in front. It is searched from the front: a
 * gathering has some dozens of keys, and asks for each of them once in a while.
 */
#include "guard/lru.h"
#include "base/clock.h"
#include "base/error.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *prev, *next;
    int64_t since; /* when a source gave it */
    size_t len;    /* of the data */
    size_t size;   /* of key and data */
    char *data;    /* behind the key, a NUL behind it */
    char key[];
};

struct hardy_lru {
    pthread_mutex_t lock;
    hardy_env env;
    struct entry *first, *last;
    size_t count, bytes, max_count, max_bytes;
    void (*dropped)(void *ctx, const char *key);
    void *dropped_ctx;
};

static struct entry *find(const hardy_lru *lru, const char *key) {
    struct entry *e = lru->first;
    while (e && strcmp(e->key, key) != 0) {
        e = e->next;
    }
    return e;
}

static void take_out(hardy_lru *lru, struct entry *e) {
    *(e->prev ? &e->prev->next : &lru->first) = e->next;
    *(e->next ? &e->next->prev : &lru->last) = e->prev;
    lru->count--;
    lru->bytes -= e->size;
}

static void put_first(hardy_lru *lru, struct entry *e) {
    e->prev = NULL;
    e->next = lru->first;
    *(lru->first ? &lru->first->prev : &lru->last) = e;
    lru->first = e;
    lru->count++;
    lru->bytes += e->size;
}

static void drop(hardy_lru *lru, struct entry *e) {
    take_out(lru, e);
    free(e);
}

static void drop_and_tell(hardy_lru *lru, struct entry *e) {
    if (lru->dropped) {
        lru->dropped(lru->dropped_ctx, e->key);
    }
    drop(lru, e);
}

static void make_room(hardy_lru *lru) {
    while (lru->count > lru->max_count || lru->bytes > lru->max_bytes) {
        drop_and_tell(lru, lru->last);
    }
}

void lru_put_aged(hardy_lru *lru, const char *key, const void *data, size_t len, int64_t age) {
    size_t named = strlen(key) + 1;
    bool fits = len < lru->max_bytes && named + len <= lru->max_bytes;
    struct entry *e = fits ? malloc(sizeof *e + named + len + 1) : NULL;
    pthread_mutex_lock(&lru->lock);
    struct entry *old = find(lru, key);
    if (old) { /* what cannot be kept leaves nothing older behind either */
        drop(lru, old);
    }
    if (e) {
        e->since = lru->env.now(lru->env.ctx) - age;
        e->len = len;
        e->size = named + len;
        memcpy(e->key, key, named);
        e->data = e->key + named;
        if (len > 0) {
            memcpy(e->data, data, len);
        }
        e->data[len] = '\0';
        put_first(lru, e);
        make_room(lru);
    }
    pthread_mutex_unlock(&lru->lock);
}

static void put(void *ctx, const char *key, const void *data, size_t len) {
    lru_put_aged(ctx, key, data, len, 0);
}

static char *get(void *ctx, const char *key, size_t *len, int64_t *age) {
    hardy_lru *lru = ctx;
    char *copy = NULL;
    pthread_mutex_lock(&lru->lock);
    struct entry *e = find(lru, key);
    if (e) {
        take_out(lru, e);
        put_first(lru, e);
        copy = malloc(e->len + 1);
    }
    if (copy) {
        memcpy(copy, e->data, e->len + 1);
        *len = e->len;
        *age = lru->env.now(lru->env.ctx) - e->since;
    }
    pthread_mutex_unlock(&lru->lock);
    return copy;
}

hardy_status hardy_lru_new(size_t max_count, size_t max_bytes, const hardy_env *env,
                           hardy_lru **out, hardy_error *error) {
    *out = NULL;
    if (max_count < 1 || max_count > 100000) {
        return fail(error, HARDY_E_INVALID, NULL, "max_count is %zu, expected 1 to 100000",
                    max_count);
    }
    if (max_bytes < 1) {
        return fail(error, HARDY_E_INVALID, NULL, "max_bytes is 0, expected at least 1");
    }
    hardy_lru *lru = calloc(1, sizeof *lru);
    if (!lru || pthread_mutex_init(&lru->lock, NULL) != 0) {
        free(lru);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a cache");
    }
    lru->max_count = max_count;
    lru->max_bytes = max_bytes;
    if (env) {
        lru->env = *env;
    } else {
        hardy_env_system(&lru->env, sizeof lru->env);
    }
    *out = lru;
    return HARDY_OK;
}

void hardy_lru_free(hardy_lru *lru) {
    if (!lru) {
        return;
    }
    while (lru->first) {
        drop(lru, lru->first);
    }
    pthread_mutex_destroy(&lru->lock);
    free(lru);
}

hardy_cache hardy_lru_cache(hardy_lru *lru) {
    return (hardy_cache){.ctx = lru, .get = get, .put = put};
}

size_t hardy_lru_remove(hardy_lru *lru, const char *prefix) {
    size_t len = strlen(prefix), removed = 0;
    pthread_mutex_lock(&lru->lock);
    for (struct entry *e = lru->first, *next; e; e = next) {
        next = e->next;
        if (strncmp(e->key, prefix, len) == 0) {
            drop_and_tell(lru, e);
            removed++;
        }
    }
    pthread_mutex_unlock(&lru->lock);
    return removed;
}

void lru_on_dropped(hardy_lru *lru, void (*fn)(void *ctx, const char *key), void *ctx) {
    lru->dropped = fn;
    lru->dropped_ctx = ctx;
}

void lru_resize(hardy_lru *lru, size_t max_count, size_t max_bytes) {
    pthread_mutex_lock(&lru->lock);
    lru->max_count = max_count;
    lru->max_bytes = max_bytes;
    make_room(lru);
    pthread_mutex_unlock(&lru->lock);
}

struct lru_use lru_used(hardy_lru *lru) {
    pthread_mutex_lock(&lru->lock);
    struct lru_use use = {.count = lru->count, .bytes = lru->bytes};
    pthread_mutex_unlock(&lru->lock);
    return use;
}
