/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_RATE_H
#define HARDY_RATE_H
/*
 * Rate limit: the generic cell rate algorithm (ITU-T I.371), a token bucket in one word. In any
 * window W it grants at most rate * W + burst. There is no queue: a reservation yields its slot
 * time, and one whose slot lies after the deadline is refused unreserved.
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hardy_rate_config {
    size_t size;
    double events;     /* events in each `period`; 1; above 0 */
    int64_t period;    /* ns; 1s */
    double burst;      /* events at once; max(events per second, 1); at least 1 */
    bool reject;       /* refuse instead of waiting for a slot; false */
    bool low_priority; /* may use only half of the burst; false */
} hardy_rate_config;

HARDY_API void hardy_rate_config_init(hardy_rate_config *config, size_t size);

typedef struct hardy_limiter hardy_limiter; /* opaque; any number of threads at once */

HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_new(const hardy_rate_config *config,
                                                        hardy_limiter **out, hardy_error *error);
HARDY_API void hardy_limiter_free(hardy_limiter *limiter);

/* Takes `n` events now, or E_LIMITED and *retry_after (HARDY_NEVER when n is above the burst). */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_take(hardy_limiter *limiter, double n,
                                                         int64_t now, int64_t *retry_after);
/* Reserves `n` events: *at is when they may be used (now or later). E_LIMITED, and nothing taken,
 * when that would be after `latest`. */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_reserve(hardy_limiter *limiter, double n,
                                                            int64_t now, int64_t latest,
                                                            int64_t *at);
/* Events that could be taken now. */
HARDY_API double hardy_limiter_available(const hardy_limiter *limiter, int64_t now);

#ifdef __cplusplus
}
#endif
#endif
