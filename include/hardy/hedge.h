/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_HEDGE_H
#define HARDY_HEDGE_H
/*
 * Hedging (J. Dean, L. A. Barroso, "The Tail at Scale", CACM 56/2, 2013): when an attempt has shown
 * no content after a while, another is started beside it. The first success counts and the other
 * attempt is stopped. It makes the slowest calls faster for a few calls more, where a far side is
 * slow now and then; `after` should be what 95 of 100 calls take.
 *
 * Only what is repeatable is hedged. A hedge is one of the attempts that `max_retries` allows,
 * takes a token from the retry budget, pays the rate and holds a concurrency slot. It waits for
 * none of them, and for no breaker: where it cannot have all of it at once, or the breaker is not
 * closed, there is no hedge, so that hedging cannot make an outage worse. After the first content
 * there is none either; of two attempts the one whose content came first goes on.
 *
 * It needs a driver that can have two attempts under way (op.h: `hedges`). One thread cannot:
 * hardy_guard_run() of a guard that hedges is E_UNSUPPORTED.
 */
#include <hardy/env.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_hedge_config {
    size_t size;
    int64_t after; /* ns; 2s; above 0 */
} hardy_hedge_config;
HARDY_API void hardy_hedge_config_init(hardy_hedge_config *config, size_t size);

#ifdef __cplusplus
}
#endif
#endif
