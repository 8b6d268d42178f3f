/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/strategy.h"

const char *const strategy_names[STRATEGY_KINDS] = {
    "none", "fixed", "linear", "exponential", "full", "equal", "decorrelated", "proportional"};

static const hardy_jitter jitters[STRATEGY_KINDS] = {
    [STRATEGY_FULL] = HARDY_JITTER_FULL,
    [STRATEGY_EQUAL] = HARDY_JITTER_EQUAL,
    [STRATEGY_DECORRELATED] = HARDY_JITTER_DECORRELATED,
    [STRATEGY_PROPORTIONAL] = HARDY_JITTER_PROPORTIONAL,
};

hardy_retry_config strategy_config(const struct strategy *s) {
    hardy_retry_config c;
    hardy_retry_config_init(&c, sizeof c);
    c.jitter = jitters[s->kind];
    c.base_delay = s->kind == STRATEGY_DECORRELATED ? s->base : 2 * s->base;
    c.max_delay = s->cap;
    return c;
}

int64_t strategy_wait(const struct strategy *s, const hardy_retry_config *config, uint32_t retry,
                      int64_t previous, struct prng *chance) {
    int64_t n = (int64_t)retry + 1;
    switch (s->kind) {
    case STRATEGY_NONE:
        return 0;
    case STRATEGY_FIXED:
        return s->base < s->cap ? s->base : s->cap;
    case STRATEGY_LINEAR:
        return s->base > 0 && n <= s->cap / s->base ? s->base * n : s->base > 0 ? s->cap : 0;
    default:
        return hardy_backoff(config, retry, previous, prng_next(chance));
    }
}
