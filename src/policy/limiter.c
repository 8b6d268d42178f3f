/* SPDX-License-Identifier: Apache-2.0 */
/* The rate limit as an object of its own: words in memory, with what its settings come to. */
#include "policy/gcra.h"
#include "policy/object.h"
#include "policy/settings.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHT_OF_NEWEST 0.1 /* in an estimate */

struct hardy_limiter {
    struct gcra_words words;
    struct gcra rate;
};

hardy_status hardy_limiter_new(const hardy_rate_config *config, hardy_limiter **out,
                               hardy_error *error) {
    hardy_rate_config full;
    hardy_rate_config_init(&full, sizeof full);
    hardy_status status = settings_take(&full, sizeof full, config, "hardy_rate_config", error);
    if (status == HARDY_OK) {
        status = rate_check(&full, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    hardy_limiter *limiter = object_allocate(sizeof *limiter, "rate limiter", error);
    if (!limiter) {
        return HARDY_E_NOMEM;
    }
    gcra_init(&limiter->rate, &full);
    *out = limiter;
    return HARDY_OK;
}

void hardy_limiter_free(hardy_limiter *limiter) {
    free(limiter);
}

hardy_status hardy_limiter_take(hardy_limiter *limiter, double n, hardy_priority priority,
                                int64_t now, int64_t *retry_after) {
    int64_t at;
    hardy_status status =
        gcra_reserve(&limiter->words, &limiter->rate, n, priority, now, now, &at, NULL);
    if (status != HARDY_OK && retry_after) {
        *retry_after = at == HARDY_NEVER ? HARDY_NEVER : at - now;
    }
    return status;
}

double hardy_limiter_take_some(hardy_limiter *limiter, double most, hardy_priority priority,
                               int64_t now, int64_t *retry_after) {
    double taken = gcra_take_some(&limiter->words, &limiter->rate, most, priority, now);
    if (retry_after) {
        int64_t at = now;
        bool none = taken == 0 && gcra_peek(&limiter->words, &limiter->rate, 1, priority, now, now,
                                            &at) != HARDY_OK;
        *retry_after = !none ? 0 : at == HARDY_NEVER ? HARDY_NEVER : at - now;
    }
    return taken;
}

double hardy_limiter_available(const hardy_limiter *limiter, hardy_priority priority, int64_t now) {
    return gcra_available(&limiter->words, &limiter->rate, priority, now);
}

/* --- reservations ----------------------------------------------------------------------------- */

hardy_status hardy_limiter_reserve(hardy_limiter *limiter, double n, hardy_priority priority,
                                   int64_t now, int64_t latest, hardy_reservation *r) {
    hardy_status status =
        gcra_reserve(&limiter->words, &limiter->rate, n, priority, now, latest, &r->at, &r->mark);
    r->open = status == HARDY_OK;
    r->events = r->open && n > 0 ? n : 0;
    return status;
}

hardy_status hardy_limiter_reserve_all(hardy_limiter *const limiters[], const double n[],
                                       size_t count, hardy_priority priority, int64_t now,
                                       int64_t latest, hardy_reservation r[], int64_t *at) {
    hardy_status status = HARDY_OK;
    int64_t last = now;
    memset(r, 0, count * sizeof *r);
    /* Looked at before anything is taken, so that little is ever given back. */
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        status = gcra_peek(&limiters[i]->words, &limiters[i]->rate, n[i], priority, now, latest,
                           &r[i].at);
        last = status != HARDY_OK || r[i].at > last ? r[i].at : last;
    }
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        status = hardy_limiter_reserve(limiters[i], n[i], priority, now, latest, &r[i]);
        last = status != HARDY_OK || r[i].at > last ? r[i].at : last;
    }
    for (size_t i = 0; i < count && status != HARDY_OK; i++) {
        hardy_limiter_cancel(limiters[i], &r[i]);
    }
    if (at) {
        *at = last;
    }
    return status;
}

void hardy_limiter_cancel(hardy_limiter *limiter, hardy_reservation *r) {
    if (r->open) {
        r->open = false;
        gcra_return(&limiter->words, &limiter->rate, r->events, r->mark);
    }
}

void hardy_limiter_settle(hardy_limiter *limiter, hardy_reservation *r, double cost, int64_t now) {
    if (r->open) {
        r->open = false;
        gcra_settle(&limiter->words, &limiter->rate, r->events, cost, now);
    }
}

/* --- estimates: the bits of a double, 0 = nothing learned ------------------------------------- */

static double value_of(uint64_t word) {
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

double hardy_estimate_get(const hardy_estimate *estimate, double otherwise) {
    uint64_t word = word_load((const atomic_word *)&estimate->word);
    return word != 0 ? value_of(word) : otherwise;
}

void hardy_estimate_learn(hardy_estimate *estimate, double cost) {
    atomic_word *word = (atomic_word *)&estimate->word;
    uint64_t before = word_load(word), next;
    if (!(cost > 0) || isinf(cost)) {
        return;
    }
    do {
        double mean = before != 0 ? value_of(before) : cost;
        mean += (cost - mean) * WEIGHT_OF_NEWEST;
        memcpy(&next, &mean, sizeof next);
    } while (!word_cas(word, &before, next));
}
