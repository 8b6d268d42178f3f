/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_KEYED_H
#define HARDY_KEYED_H
/*
 * A rate limit for each key: each user, API key, address or host has its own bucket of the same
 * rate (rate.h), in a table of fixed size.
 *
 *     hardy_keyed_limiter_take(limiter, user, strlen(user), 1, HARDY_PRIORITY_HIGH, now, &after)
 *
 * A key needs no registration and no clean-up. It has an entry of the table from its first event
 * until its bucket is full again; then the entry says no more than an absent one would, and is
 * given to the next key that needs room. Nothing else is ever forgotten, so no key gets more than
 * rate * W + burst in any window W by being forgotten, whatever the others do.
 *
 * Keys that find no room, because entries are taken by keys whose buckets are not full yet, share
 * one bucket: together they get what one key would get, and each of them takes what it used there
 * along to an entry of its own. Who sends calls under ever new keys so slows down other *new* keys,
 * a part of them, and never gets more himself. Choose `max_keys` by how many keys call within the
 * time in which an empty bucket fills up (burst / rate), and look at `shared` of
 * hardy_keyed_limiter_get_stats() now and then.
 *
 * A key is any bytes. What is kept of it is 64 bits of its SipHash under a secret of the table, so
 * nobody can choose keys that meet in one place, and no key can be read from memory. Two of a
 * million keys have the same 64 bits with a probability of 3 in 100 million; they share a bucket.
 *
 * Every function may be called by any number of threads at once, and asks for no memory, but _new
 * and _free. The time a call takes does not depend on the number of keys. A call that grants holds
 * a lock that one in so many parts of the table has, for some ten nanoseconds; one that refuses a
 * key that has an entry takes no lock. Times, weights, priorities, debts and reservations are those
 * of rate.h.
 */
#include <hardy/rate.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_keyed_limiter hardy_keyed_limiter; /* opaque */

/* `rate` is each key's, and copied. Its low_floor has to be 0: a key has one
 * bucket. `max_keys`, 1 to 16777216: there is room for so many keys whose buckets are not full, but
 * for about one in a thousand of them that shares, for the table is divided into parts. It takes 40
 * bytes for each, all of them now. Of `env` only `random` is used, here and twice, for the secret;
 * NULL: the kernel's. E_INVALID names the setting, its value and its range; E_NOMEM. */
HARDY_API HARDY_MUST_USE hardy_status hardy_keyed_limiter_new(const hardy_rate_config *rate,
                                                              uint32_t max_keys,
                                                              const hardy_env *env,
                                                              hardy_keyed_limiter **out,
                                                              hardy_error *error);
HARDY_API void hardy_keyed_limiter_free(hardy_keyed_limiter *limiter); /* NULL is fine */

/* As hardy_limiter_take(), of the bucket of the key of `len` bytes at `key`, which is borrowed for
 * the call; a `len` of 0 is a key too. */
HARDY_API HARDY_MUST_USE hardy_status hardy_keyed_limiter_take(hardy_keyed_limiter *limiter,
                                                               const void *key, size_t len,
                                                               double n, hardy_priority priority,
                                                               int64_t now, int64_t *retry_after);
/* As hardy_limiter_available(): what the key could take now. */
HARDY_API double hardy_keyed_limiter_available(hardy_keyed_limiter *limiter, const void *key,
                                               size_t len, hardy_priority priority, int64_t now);

/* As hardy_limiter_reserve(), of the key's bucket. The reservation is ended with the same key. */
HARDY_API HARDY_MUST_USE hardy_status hardy_keyed_limiter_reserve(hardy_keyed_limiter *limiter,
                                                                  const void *key, size_t len,
                                                                  double n, hardy_priority priority,
                                                                  int64_t now, int64_t latest,
                                                                  hardy_reservation *r);
/* As hardy_limiter_cancel(). */
HARDY_API void hardy_keyed_limiter_cancel(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                          hardy_reservation *r);
/* As hardy_limiter_settle(). */
HARDY_API void hardy_keyed_limiter_settle(hardy_keyed_limiter *limiter, const void *key, size_t len,
                                          hardy_reservation *r, double cost, int64_t now);

typedef struct hardy_keyed_stats {
    size_t size;        /* set by the caller: sizeof(hardy_keyed_stats) */
    uint64_t entries;   /* in the table; at least max_keys */
    uint64_t busy;      /* of them taken by a key whose bucket is not full */
    uint64_t forgotten; /* entries that went to another key, since _new */
    uint64_t shared;    /* events asked for by keys that found no room, in calls, since _new. More
                           than now and then: max_keys is too small, or somebody invents keys */
} hardy_keyed_stats;

/* Looks at every entry, so it is for a metric and not for every call. What changes meanwhile is in
 * it or not. */
HARDY_API void hardy_keyed_limiter_get_stats(const hardy_keyed_limiter *limiter, int64_t now,
                                             hardy_keyed_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
