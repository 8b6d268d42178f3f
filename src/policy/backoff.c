/* SPDX-License-Identifier: Apache-2.0 */
/* The jitter is drawn from the range as the cap left it. Capping what was drawn would pile the late
 * retries up at exactly the cap: half of them and more, all at the same instant. */
#include "policy/backoff.h"
#include "base/clock.h"
#include "base/prng.h"

#define MOST_RETRIES 1000
/* By then all but the slowest growth has reached its cap, and that one can wait no longer for us.
 */
#define LONGEST_SERIES 100000

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Anybody can call this, with settings that no guard would take: those that nearly hold are used in
 * their place. */
static int64_t cap_of(const hardy_retry_config *c) {
    return c->max_delay > 0 ? c->max_delay : 0;
}

static int64_t base_of(const hardy_retry_config *c) {
    return c->base_delay > 0 ? lesser(c->base_delay, cap_of(c)) : 0;
}

/* min(max_delay, base_delay * exponential_base ^ retry) */
static int64_t step(const hardy_retry_config *c, uint32_t retry) {
    double delay = (double)base_of(c), cap = (double)cap_of(c);
    if (delay <= 0 || !(c->exponential_base > 1)) { /* or not a number */
        return base_of(c);
    }
    for (uint32_t i = 0; i < retry && i < LONGEST_SERIES && delay < cap; i++) {
        delay *= c->exponential_base;
    }
    return delay < cap ? (int64_t)delay : cap_of(c);
}

/* The bounds of the wait, both included. */
static void range(const hardy_retry_config *c, uint32_t retry, int64_t previous, int64_t *low,
                  int64_t *high) {
    int64_t d, cap = cap_of(c);
    switch (c->jitter) {
    case HARDY_JITTER_FULL:
        *low = 0;
        *high = step(c, retry);
        return;
    case HARDY_JITTER_EQUAL:
        *high = step(c, retry);
        *low = *high / 2;
        return;
    case HARDY_JITTER_DECORRELATED:
        d = previous > base_of(c) ? previous : base_of(c);
        *low = base_of(c);
        *high = d > cap / 3 ? cap : 3 * d;
        return;
    case HARDY_JITTER_PROPORTIONAL:
        /* What may be drawn up to 1.5 d stays below the cap. */
        d = lesser(step(c, retry), cap - cap / 3);
        *low = d / 2;
        *high = lesser(d + d / 2, cap);
        return;
    case HARDY_JITTER_NONE:
    default:
        *low = *high = step(c, retry);
        return;
    }
}

int64_t hardy_backoff(const hardy_retry_config *config, uint32_t retry, int64_t previous,
                      uint64_t random) {
    int64_t low, high;
    range(config, retry, previous, &low, &high);
    return prng_range(random, low, high);
}

int64_t hardy_backoff_worst_case(const hardy_retry_config *config) {
    int64_t total = config->max_total_wait > 0 ? config->max_total_wait : 0;
    int64_t shortest = 0, sum = 0, previous = 0;
    for (uint32_t retry = 0; retry < config->max_retries && retry < MOST_RETRIES; retry++) {
        int64_t low;
        range(config, retry, previous, &low, &previous);
        shortest = time_add(shortest, low);
        if (shortest > total) { /* however it is drawn, this wait is not begun */
            break;
        }
        sum = time_add(sum, previous);
    }
    return lesser(sum, total);
}
