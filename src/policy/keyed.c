/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table is divided into sets of some entries; a key's hash names its set, where it may be in
 * any entry. An entry is a key's hash and the word of its limit, the arrival (gcra.c).
 *
 * A set has one more such word, `others`, for the keys that have no entry. It is never behind any
 * of them: who finds no room takes from it, and the arrival of a key that is forgotten goes into
 * it. So a key that gets an entry begins with `others`, and has got no more than it may, whether it
 * was forgotten, shared, or both. An entry is only given away when its arrival has passed; that
 * makes `others` no later than now, and a key that comes back finds a full bucket.
 *
 * Entries change owners under the set's lock, and grants are made under it, for between finding an
 * entry and writing to it the entry must not become another key's. A refusal writes nothing: it
 * looks without the lock, and again at whether an owner has changed meanwhile.
 */
#include "base/error.h"
#include "base/mutex.h"
#include "base/prng.h"
#include "base/siphash.h"
#include "policy/gcra.h"
#include "policy/object.h"
#include "policy/settings.h"
#include <hardy/keyed.h>
#include <stdlib.h>
#include <string.h>

#ifndef KEYED_WAYS /* the explorer has fewer */
#define KEYED_WAYS 16
#endif
/* With half of the entries taken, about one key in a thousand finds all of its set taken. */
#define KEYS_EACH_SET (KEYED_WAYS > 1 ? KEYED_WAYS / 2 : 1)
#define MOST_KEYS (UINT32_C(1) << 24)
#define NONE (-1)

__extension__ typedef unsigned __int128 wide;

struct set {
    _Alignas(64) pthread_mutex_t lock;
    atomic_word others;
    atomic_word changes;          /* of owners: each adds two, and it is odd during one */
    atomic_word shared;           /* calls by keys that found no room */
    atomic_word keys[KEYED_WAYS]; /* 0: never used */
    atomic_word arrivals[KEYED_WAYS];
};

struct hardy_keyed_limiter {
    struct gcra rate;
    uint64_t secret[2];
    size_t count;
    struct set sets[];
};

/* --- finding an entry --------------------------------------------------------------------------
 */

struct place {
    struct set *set;
    uint64_t key;
};

static struct place place_of(hardy_keyed_limiter *l, const void *key, size_t len) {
    uint64_t hash = siphash(l->secret, key, len);
    return (struct place){&l->sets[(size_t)((wide)hash * l->count >> 64)], hash != 0 ? hash : 1};
}

static int find(const struct place *p) {
    for (int i = 0; i < KEYED_WAYS; i++) {
        if (word_load(&p->set->keys[i]) == p->key) {
            return i;
        }
    }
    return NONE;
}

/* With the lock held. The entry that has been full for longest, or was never used. */
static int give_away(const struct place *p, int64_t now) {
    struct set *set = p->set;
    int way = 0;
    uint64_t least = word_load(&set->arrivals[0]);
    for (int i = 1; i < KEYED_WAYS; i++) {
        uint64_t arrival = word_load(&set->arrivals[i]);
        if (arrival < least) {
            least = arrival;
            way = i;
        }
    }
    if ((int64_t)least > now) {
        return NONE;
    }
    if (word_load(&set->others) < least) {
        word_store(&set->others, least);
    }
    word_add(&set->changes, 1);
    word_store(&set->keys[way], p->key);
    word_store(&set->arrivals[way], word_load(&set->others));
    word_add(&set->changes, 1);
    return way;
}

/* With the lock held: the word that limits this key. */
static atomic_word *word_of(const struct place *p, int64_t now) {
    int way = find(p);
    if (way == NONE) {
        way = give_away(p, now);
    }
    if (way == NONE) {
        word_count(&p->set->shared);
        return &p->set->others;
    }
    return &p->set->arrivals[way];
}

/* --- taking ------------------------------------------------------------------------------------
 */

/* Whether it is refused for certain; nothing is changed. */
static hardy_status look(const struct place *p, const struct gcra *g, double n,
                         hardy_priority priority, int64_t now, int64_t latest, int64_t *at) {
    uint64_t changes = word_load(&p->set->changes);
    int way = find(p);
    uint64_t arrival = way != NONE ? word_load(&p->set->arrivals[way]) : 0;
    hardy_status status = gcra_look(arrival, g, n, priority, now, latest, at);
    bool same = changes % 2 == 0 && word_load(&p->set->changes) == changes;
    return status == HARDY_E_TOO_LARGE || (same && way != NONE) ? status : HARDY_OK;
}

static hardy_status reserve(hardy_keyed_limiter *l, const struct place *p, double n,
                            hardy_priority priority, int64_t now, int64_t latest,
                            hardy_reservation *r) {
    *r = (hardy_reservation){.at = now};
    if (n <= 0) {
        r->open = true;
        return HARDY_OK;
    }
    hardy_status status = look(p, &l->rate, n, priority, now, latest, &r->at);
    if (status != HARDY_OK) {
        return status;
    }
    mutex_lock(&p->set->lock);
    atomic_word *word = word_of(p, now);
    status = gcra_reserve_word(word, &l->rate, n, priority, now, latest, &r->at, &r->mark);
    mutex_unlock(&p->set->lock);
    r->open = status == HARDY_OK;
    r->events = r->open ? n : 0;
    r->shared = word == &p->set->others;
    return status;
}

hardy_status hardy_keyed_limiter_reserve(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                         double n, hardy_priority priority, int64_t now,
                                         int64_t latest, hardy_reservation *r) {
    struct place p = place_of(limiter, key, len);
    return reserve(limiter, &p, n, priority, now, latest, r);
}

hardy_status hardy_keyed_limiter_take(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                      double n, hardy_priority priority, int64_t now,
                                      int64_t *retry_after) {
    struct place p = place_of(limiter, key, len);
    hardy_reservation r;
    hardy_status status = reserve(limiter, &p, n, priority, now, now, &r);
    if (status != HARDY_OK && retry_after) {
        *retry_after = r.at == HARDY_NEVER ? HARDY_NEVER : r.at - now;
    }
    return status;
}

double hardy_keyed_limiter_available(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                     hardy_priority priority, int64_t now) {
    struct place p = place_of(limiter, key, len);
    mutex_lock(&p.set->lock);
    int way = find(&p);
    double left = gcra_available_word(way != NONE ? &p.set->arrivals[way] : &p.set->others,
                                      &limiter->rate, priority, now);
    mutex_unlock(&p.set->lock);
    return left;
}

/* --- giving back -------------------------------------------------------------------------------
 */

/* With the lock held: where to give back to; NULL: the key was forgotten, for its bucket is full.
 */
static atomic_word *word_to_return_to(const struct place *p, const hardy_reservation *r) {
    int way = find(p);
    return way != NONE ? &p->set->arrivals[way] : r->shared ? &p->set->others : NULL;
}

void hardy_keyed_limiter_cancel(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                hardy_reservation *r) {
    if (!r->open) {
        return;
    }
    struct place p = place_of(limiter, key, len);
    mutex_lock(&p.set->lock);
    atomic_word *word = word_to_return_to(&p, r);
    if (word) {
        gcra_return_word(word, &limiter->rate, r->events, r->mark);
    }
    mutex_unlock(&p.set->lock);
    r->open = false;
}

void hardy_keyed_limiter_settle(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                hardy_reservation *r, double cost, int64_t now) {
    if (!r->open) {
        return;
    }
    struct place p = place_of(limiter, key, len);
    mutex_lock(&p.set->lock);
    atomic_word *word = cost > r->events ? word_of(&p, now) : word_to_return_to(&p, r);
    if (word) {
        gcra_settle_word(word, &limiter->rate, r->events, cost, now);
    }
    mutex_unlock(&p.set->lock);
    r->open = false;
}

/* --- the table ---------------------------------------------------------------------------------
 */

static hardy_status check(const hardy_rate_config *rate, uint32_t max_keys, hardy_error *error) {
    hardy_status status = rate_check(rate, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (rate->low_floor > 0) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "low_floor is %g, which should be 0 where each key has one bucket",
                    rate->low_floor);
    }
    if (max_keys < 1 || max_keys > MOST_KEYS) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "max_keys is %u, which should be from 1 to 16777216", max_keys);
    }
    return HARDY_OK;
}

static void choose_secret(hardy_keyed_limiter *l, const hardy_env *env) {
    if (!env && prng_secret(l->secret, sizeof l->secret)) {
        return;
    }
    hardy_env system;
    hardy_env_system(&system, sizeof system);
    env = env ? env : &system;
    l->secret[0] = env->random(env->ctx);
    l->secret[1] = env->random(env->ctx);
}

hardy_status hardy_keyed_limiter_new(const hardy_rate_config *rate, uint32_t max_keys,
                                     const hardy_env *env, hardy_keyed_limiter **out,
                                     hardy_error *error) {
    hardy_rate_config full;
    hardy_rate_config_init(&full, sizeof full);
    hardy_status status = settings_take(&full, sizeof full, rate, "hardy_rate_config", error);
    if (status == HARDY_OK) {
        status = check(&full, max_keys, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    size_t count = (max_keys + (uint32_t)KEYS_EACH_SET - 1) / KEYS_EACH_SET;
    hardy_keyed_limiter *l =
        object_allocate(sizeof *l + count * sizeof l->sets[0], "rate limit for each key", error);
    if (!l) {
        return HARDY_E_NOMEM;
    }
    gcra_init(&l->rate, &full);
    choose_secret(l, env);
    for (; l->count < count; l->count++) {
        int errnum = pthread_mutex_init(&l->sets[l->count].lock, NULL);
        if (errnum != 0) {
            hardy_keyed_limiter_free(l);
            return fail_errno(error, errnum, NULL, "cannot make the locks of a limit for each key");
        }
    }
    *out = l;
    return HARDY_OK;
}

void hardy_keyed_limiter_free(hardy_keyed_limiter *limiter) {
    for (size_t i = 0; limiter && i < limiter->count; i++) {
        pthread_mutex_destroy(&limiter->sets[i].lock);
    }
    free(limiter);
}

void hardy_keyed_limiter_get_stats(const hardy_keyed_limiter *limiter, int64_t now,
                                   hardy_keyed_stats *stats) {
    hardy_keyed_stats full = {.entries = limiter->count * KEYED_WAYS};
    for (size_t i = 0; i < limiter->count; i++) {
        const struct set *set = &limiter->sets[i];
        uint64_t given = word_load(&set->changes) / 2;
        for (int way = 0; way < KEYED_WAYS; way++) {
            full.busy += (int64_t)word_load(&set->arrivals[way]) > now;
            given -= word_load(&set->keys[way]) != 0 && given > 0;
        }
        full.forgotten += given;
        full.shared += word_load(&set->shared);
    }
    size_t size = stats->size && stats->size < sizeof full ? stats->size : sizeof full;
    full.size = size;
    memcpy(stats, &full, size);
}
