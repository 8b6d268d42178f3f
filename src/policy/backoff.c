/* SPDX-License-Identifier: Apache-2.0 */
/* The jitter is drawn from the range as the cap left it. Capping what was drawn would pile the late
 * retries up at exactly the cap: half of them and more, all at the same instant. */
#include "policy/backoff.h"
#include "base/clock.h"
#include "base/prng.h"

static int64_t lesser(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t base_of(const hardy_retry_config *c) {
    return lesser(c->base_delay, c->max_delay);
}

/* min(max_delay, base_delay * exponential_base ^ retry) */
static int64_t step(const hardy_retry_config *c, uint32_t retry) {
    double delay = (double)base_of(c), cap = (double)c->max_delay;
    if (delay <= 0 || c->exponential_base <= 1) {
        return base_of(c);
    }
    for (uint32_t i = 0; i < retry && delay < cap; i++) {
        delay *= c->exponential_base;
    }
    return delay < cap ? (int64_t)delay : c->max_delay;
}

/* The bounds of the wait, both included. */
static void range(const hardy_retry_config *c, uint32_t retry, int64_t previous, int64_t *low,
                  int64_t *high) {
    int64_t d;
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
        *high = d > c->max_delay / 3 ? c->max_delay : 3 * d;
        return;
    case HARDY_JITTER_PROPORTIONAL:
        /* What may be drawn up to 1.5 d stays below the cap. */
        d = lesser(step(c, retry), c->max_delay - c->max_delay / 3);
        *low = d / 2;
        *high = lesser(d + d / 2, c->max_delay);
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
    int64_t sum = 0, previous = 0;
    for (uint32_t retry = 0; retry < config->max_retries; retry++) {
        int64_t low;
        range(config, retry, previous, &low, &previous);
        sum = time_add(sum, previous);
    }
    return lesser(sum, config->max_total_wait);
}
