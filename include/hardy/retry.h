/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_RETRY_H
#define HARDY_RETRY_H
/*
 * Retry with exponential backoff, jitter and a retry budget: settings, and the backoff function.
 *
 * The jitter is always drawn from the capped range, so that the spread survives the cap
 * (M. Brooker, "Exponential Backoff and Jitter", 2015). A server's Retry-After is a floor, with
 * jitter only above it: over what the backoff would have had, base_delay, or a fifth of the floor,
 * whichever is most. The budget is taken before the wait; without one no backoff recovers from
 * a metastable outage (Bronson et al., HotOS 2021).
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hardy_jitter {
    HARDY_JITTER_NONE = 0,         /* d */
    HARDY_JITTER_FULL = 1,         /* U(0, d) */
    HARDY_JITTER_EQUAL = 2,        /* d/2 + U(0, d/2) */
    HARDY_JITTER_DECORRELATED = 3, /* U(base, min(max_delay, 3 * previous)) */
    HARDY_JITTER_PROPORTIONAL = 4  /* min(d, max_delay / 1.5) * U(0.5, 1.5) */
} hardy_jitter; /* d = min(max_delay, base_delay * exponential_base ^ n), n from 0 */

typedef struct hardy_retry_config {
    size_t size;             /* sizeof(hardy_retry_config) */
    uint32_t max_retries;    /* retries after the first attempt; 5; 0 to 1000 */
    int64_t base_delay;      /* ns; 1s; 0 to 1h */
    int64_t max_delay;       /* ns; 60s; base_delay to 24h */
    double exponential_base; /* 2; 1 to 100 */
    hardy_jitter jitter;     /* HARDY_JITTER_FULL */
    int64_t max_total_wait;  /* ns waited in all between attempts; HARDY_NEVER */
    bool repeatable;         /* attempts whose effect is unknown may be repeated; false */
} hardy_retry_config;

HARDY_API void hardy_retry_config_init(hardy_retry_config *config, size_t size);

/* The wait before retry number `retry` (0 = first retry), nanoseconds in [0, max_delay].
 * `random`: 64 random bits. `previous`: the wait before, 0 for the first (decorrelated only); it
 * belongs to one sequence of retries, and the caller keeps it. Saturates instead of overflowing. Of
 * settings outside their ranges the nearest that hold are used: no wait is negative, none above
 * max_delay, an unknown jitter is none. Pure; any thread. */
HARDY_API int64_t hardy_backoff(const hardy_retry_config *config, uint32_t retry, int64_t previous,
                                uint64_t random);

/* The longest the waits can take together, ns: the sum over all retries (1000 at most) of each
 * wait's upper bound, not more than max_total_wait; waits that max_total_wait never has room for
 * are not begun and count for nothing, so it is 0 where the first is longer than that. Saturates. A
 * Retry-After can make a wait longer than that; only max_total_wait and a deadline bound those too.
 * Pure; any thread. */
HARDY_API int64_t hardy_backoff_worst_case(const hardy_retry_config *config);

/*
 * Retry budget, shared by all callers of a guard: every call deposits `ratio` tokens, `floor`
 * tokens a second flow in besides, and a retry takes one, or `timeout_cost` after an attempt that
 * was stopped at its time-out. The tokens are taken before the wait, and given back when it is not
 * followed by an attempt. So retries add no more than a share to the load, however much fails
 * (Finagle's RetryBudget; the costs are the AWS SDKs', 5 and 10).
 *
 * Calls deposit, not only those that succeed: what limits an outage is the share, and a few retries
 * are how its end is noticed.
 */
typedef struct hardy_budget_config {
    size_t size;
    double ratio;          /* retries per call; 0.1; 0 to 10 */
    double floor;          /* retries a second always allowed; 10; 0 to 1000000 */
    int64_t ttl;           /* ns; 10s; 1s to 1h, floor * ttl not above 10000000. No more is kept
                              than flows in by the floor in that time, and ten tokens; a budget that
                              no call has used for as long is full again, whatever was left of it */
    uint32_t timeout_cost; /* tokens; 2; 1 to 100: who was timed out has cost the far side most,
                              and it perhaps still works at it */
} hardy_budget_config;

HARDY_API void hardy_budget_config_init(hardy_budget_config *config, size_t size);

#ifdef __cplusplus
}
#endif
#endif
