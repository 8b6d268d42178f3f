/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_STRATEGY_H
#define SIM_STRATEGY_H
/*
 * How long a caller waits before it tries again. The exponential ones are the library's
 * hardy_backoff(). AWS's simulator of backoffs, and so these models, count retries from 1 where
 * hardy counts from 0: its first ceiling is 2 * base, so that is the base_delay that hardy is
 * given.
 */
#include "base/prng.h"
#include <hardy/retry.h>

enum strategy_kind {
    STRATEGY_NONE,        /* at once */
    STRATEGY_FIXED,       /* base */
    STRATEGY_LINEAR,      /* base * n, n from 1 */
    STRATEGY_EXPONENTIAL, /* base * 2^n, without jitter */
    STRATEGY_FULL,
    STRATEGY_EQUAL,
    STRATEGY_DECORRELATED,
    STRATEGY_PROPORTIONAL,
    STRATEGY_KINDS
};
extern const char *const strategy_names[STRATEGY_KINDS];

struct strategy {
    enum strategy_kind kind;
    int64_t base, cap;
};
/* The settings of the library for it; for none, fixed and linear those of the exponential one. */
hardy_retry_config strategy_config(const struct strategy *s);
/* Before retry number `retry` (0 = the first); `previous`: the wait before. */
int64_t strategy_wait(const struct strategy *s, const hardy_retry_config *config, uint32_t retry,
                      int64_t previous, struct prng *chance);
#endif
