/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/world.h"
#include "base/clock.h"
#include "base/error.h"
#include <stdlib.h>

__extension__ typedef unsigned __int128 wide;

/* --- events --------------------------------------------------------------------------------- */

void world_init(struct world *w, uint64_t seed) {
    *w = (struct world){.most = WORLD_EVENTS_MAX};
    agenda_init(&w->agenda);
    prng_seed(&w->arrivals, prng_mix(seed));
    prng_seed(&w->network, prng_mix(seed + 1));
    prng_seed(&w->callers, prng_mix(seed + 2));
}

void world_free(struct world *w) {
    agenda_free(&w->agenda);
}

void world_set(struct world *w, struct event *e, int64_t at) {
    w->no_memory |= !agenda_set(&w->agenda, e, at > w->now ? at : w->now);
}

void world_clear(struct world *w, struct event *e) {
    agenda_clear(&w->agenda, e);
}

hardy_status world_advance(struct world *w, int64_t end, hardy_error *error) {
    struct event *e;
    while (!w->no_memory && !w->too_long && (e = agenda_first(&w->agenda, &w->no_memory)) &&
           e->node.at <= end) {
        if (w->handled >= w->most) {
            return fail(error, HARDY_E_TOO_LARGE, NULL,
                        "more than %llu events by %lld s of its time; fewer clients, a shorter "
                        "outage or longer waits make it end",
                        (unsigned long long)w->most, (long long)(w->now / HARDY_SECOND));
        }
        w->now = e->node.at;
        w->handled++;
        agenda_clear(&w->agenda, e);
        e->fn(w, e);
    }
    if (w->too_long) {
        return fail(error, HARDY_E_TOO_LARGE, NULL,
                    "it goes on for more than %lld h of its time; fewer clients, a shorter outage "
                    "or shorter waits make it end",
                    (long long)(SERIES_BINS_MAX * SERIES_WIDTH / HARDY_HOUR));
    }
    return w->no_memory
               ? fail(error, HARDY_E_NOMEM, NULL, "no memory to simulate this many at once")
               : HARDY_OK;
}

/* --- chance --------------------------------------------------------------------------------- */

#define DELAY_MEAN (10 * HARDY_MILLISECOND)
#define DELAY_DEVIATION (2 * HARDY_MILLISECOND)

/* The sum of the four quarters of a value. */
static uint64_t quarters(uint64_t x) {
    const uint64_t pairs = UINT64_C(0x0000ffff0000ffff);
    x = (x & pairs) + ((x >> 16) & pairs);
    return (x & UINT32_MAX) + (x >> 32);
}

/* The sum of twelve uniform numbers has a variance of one of their ranges squared, and differs from
 * the normal distribution by less than 0.3 % of probability anywhere. */
int64_t world_delay(struct world *w) {
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        sum += quarters(prng_next(&w->network));
    }
    int64_t from_mean = (int64_t)sum - 12 * INT64_C(65535) / 2;
    int64_t delay = DELAY_MEAN + from_mean * DELAY_DEVIATION / 65536;
    return delay < 0 ? -delay : delay;
}

/* Without a logarithm (J. von Neumann, "Various techniques used in connection with random digits",
 * 1951): uniform numbers are drawn for as long as each is below the one before. Was their number
 * odd, the first of them is the fraction; else one is added to the whole part, and again. */
int64_t chance_exponential(struct prng *p, int64_t mean) {
    for (int64_t whole = 0;; whole++) {
        uint64_t first = prng_next(p), last = first, next;
        bool odd = true;
        while ((next = prng_next(p)) < last) {
            last = next;
            odd = !odd;
        }
        if (odd) {
            return time_add(time_scale(mean, (double)whole),
                            (int64_t)((wide)first * (uint64_t)mean >> 64));
        }
    }
}

int64_t chance_between(struct prng *p, int64_t low, int64_t high) {
    return prng_range(prng_next(p), low, high);
}

/* --- a server ------------------------------------------------------------------------------- */

int64_t server_take(struct server *s, int64_t now, int64_t patience) {
    int64_t service = s->service;
    if (now >= s->trouble_from && now < s->trouble_until) {
        if (s->trouble_share <= 0) {
            return SERVER_REFUSED;
        }
        service = time_scale(service, 1 / s->trouble_share);
    }
    int64_t begins = s->busy_until > now ? s->busy_until : now;
    if (begins - now > s->queue_limit || begins - now > patience) {
        return SERVER_REFUSED;
    }
    return s->busy_until = begins + service;
}

/* --- counts over time ----------------------------------------------------------------------- */

void series_init(struct series *s, int64_t edge) {
    int64_t over = edge % SERIES_WIDTH;
    *s = (struct series){.origin = over > 0 ? over - SERIES_WIDTH : 0};
}

void series_free(struct series *s) {
    free(s->bins);
    *s = (struct series){.origin = s->origin};
}

bool series_count(struct series *s, int64_t at) {
    size_t bin = (size_t)((at - s->origin) / SERIES_WIDTH);
    if (bin >= s->cap) {
        size_t cap = s->cap ? s->cap : 1024;
        while (cap <= bin && cap < SERIES_BINS_MAX) {
            cap *= 2;
        }
        uint32_t *bins = bin < cap ? realloc(s->bins, cap * sizeof *bins) : NULL;
        if (!bins) {
            return false;
        }
        s->bins = bins;
        s->cap = cap;
    }
    for (; s->count <= bin; s->count++) {
        s->bins[s->count] = 0;
    }
    s->bins[bin]++;
    return true;
}

void world_count(struct world *w, struct series *s, int64_t at) {
    if (!series_count(s, at)) {
        w->too_long |= (at - s->origin) / SERIES_WIDTH >= SERIES_BINS_MAX;
        w->no_memory |= !w->too_long;
    }
}

uint64_t series_sum(const struct series *s, int64_t from, int64_t until) {
    int64_t begin = (from - s->origin) / SERIES_WIDTH, end = (until - s->origin) / SERIES_WIDTH;
    uint64_t sum = 0;
    for (int64_t i = begin > 0 ? begin : 0; i < end && i < (int64_t)s->count; i++) {
        sum += s->bins[i];
    }
    return sum;
}

uint64_t series_peak(const struct series *s, int64_t from, int64_t until, int64_t span) {
    uint64_t peak = 0;
    for (int64_t at = from; at < until; at += span) {
        uint64_t sum = series_sum(s, at, at + span);
        peak = sum > peak ? sum : peak;
    }
    return peak;
}
