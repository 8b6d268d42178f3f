/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_BULKHEAD_H
#define HARDY_BULKHEAD_H
/*
 * Bulkhead: at most so many calls at once, and a bounded queue in order of arrival. A permit is
 * handed to the first in the queue, not raced for. Used through a guard. (A bulkhead is R. T.
 * Nygard's word for it, in "Release It!"; the queue is bounded because one that is not grows for as
 * long as the far side is slower than its callers.)
 *
 * It can find out by itself how many the far side takes (`adaptive`), by additive increase and
 * multiplicative decrease (Chiu and Jain 1989), as TCP does:
 *
 * - an attempt that is throttled (429) or runs into a time-out was too much: seven tenths of what
 *   was under way are let through from then on. Attempts that had started by then say nothing
 *   of the new limit, so it falls at most once a round trip;
 * - one more is let through after as many successes as may be under way, while at least half of
 *   them are: who does not use the limit learns nothing of it.
 *
 * How long a call takes is not looked at: the answer of a model takes as long as it is long.
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_bulkhead_config {
    size_t size;
    uint32_t max_concurrent; /* 16; 1 to 1000000 */
    uint32_t max_queue;      /* waiting beyond that; 64; 0 to 1000000, 0 = refuse at once. The queue
                                takes no memory: who waits stands in it with his own hardy_op */
    bool adaptive;           /* lower the limit when the far side drops calls, raise it when it does
                                not; begins with max_concurrent, which is never exceeded; false */
    uint32_t min_concurrent; /* an adaptive limit is never lower; 1; at most max_concurrent */
} hardy_bulkhead_config;

/* Fills in the defaults above; `size` is sizeof(hardy_bulkhead_config). Values out of range are
 * refused where a guard is made of them: E_INVALID, with the setting, its value and its range. */
HARDY_API void hardy_bulkhead_config_init(hardy_bulkhead_config *config, size_t size);

#ifdef __cplusplus
}
#endif
#endif
