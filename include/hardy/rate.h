/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_RATE_H
#define HARDY_RATE_H
/*
 * Rate limit: the generic cell rate algorithm (ITU-T I.371), a token bucket in one word. In any
 * window W it grants at most rate * W + burst. There is no queue: a reservation yields its slot
 * time, and one whose slot lies after the deadline is refused unreserved.
 *
 *     hardy_limiter_take(limiter, 1, HARDY_PRIORITY_HIGH, now, &retry_after)    goes now, or not
 *     hardy_limiter_reserve(limiter, n, ..., now, latest, &r)     goes at r.at, at latest `latest`
 *     hardy_limiter_settle(limiter, &r, cost, now)                what it has really cost
 *
 * Events are weighted: `n` is what one call costs, in requests, tokens, bytes; it need not be
 * whole. Time is the caller's, in nanoseconds; it may stand still or go back a little from one call
 * to the next (threads read their clocks before they get here), and grants no more for that.
 *
 * Every function may be called by any number of threads at once, does not block and asks for no
 * memory, but _new and _free.
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who may use how much of the burst. HIGH: all of it. LOW: half, so that whatever is left below
 * that is there for HIGH at once. Both draw on the same bucket, so no capacity lies idle for one
 * while the other waits. LOW does not reserve ahead: it goes now or is told when to look again, for
 * a queue of low ones would be one that high ones stand in too. */
typedef enum hardy_priority { HARDY_PRIORITY_HIGH = 0, HARDY_PRIORITY_LOW = 1 } hardy_priority;

typedef struct hardy_rate_config {
    size_t size;
    double events;     /* events in each `period`; 1; 0.000001 to as many as make 1000000000 a
                          second; need not be whole */
    int64_t period;    /* ns; 1s; 1ms to 366d */
    double burst;      /* events at once; 1, whatever `events` is; at least 1, and what flows in
                          within 100 years at most. Less than a second's events slows down callers
                          that come in groups: the program takes max(events per second, 1) */
    bool reject;       /* in a guard: refuse instead of waiting for a slot; false */
    bool low_priority; /* in a guard: all its operations are LOW; false */
    bool debt;         /* more than the burst waits for a full bucket, and is a debt then; false:
                          refused for ever (E_TOO_LARGE) */
    double low_floor;  /* so many events in each `period` LOW gets even while HIGH takes all it can;
                          0 = none; below `events`. One event of the burst (then at least 2) is kept
                          for it. It holds for calls of one event; heavier ones have the rest only */
    double limit; /* what the far side says that it takes in each `limit_window`; 0 = not known.
                     Only hardy_guard_explain() looks: it warns of settings that exceed it */
    int64_t limit_window; /* ns; 0 */
} hardy_rate_config;

/* Fills in the defaults above; `size` is sizeof(hardy_rate_config). */
HARDY_API void hardy_rate_config_init(hardy_rate_config *config, size_t size);

typedef struct hardy_limiter hardy_limiter; /* opaque */

/* E_INVALID names the setting, its value and its range; E_NOMEM. `config` is copied. */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_new(const hardy_rate_config *config,
                                                        hardy_limiter **out, hardy_error *error);
HARDY_API void hardy_limiter_free(hardy_limiter *limiter); /* NULL is fine */

/* Takes `n` events now. E_LIMITED: nothing taken; *retry_after (may be NULL) = the exact time from
 * now at which they would be there, if nobody else takes any. E_TOO_LARGE: never, for n is more
 * than `priority` may ever use at once (a refusal that waiting cannot cure); *retry_after is
 * HARDY_NEVER. n of 0 or less takes nothing. */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_take(hardy_limiter *limiter, double n,
                                                         hardy_priority priority, int64_t now,
                                                         int64_t *retry_after);
/* Takes as many whole events as are there, at most `most`; returns how many. With 0, *retry_after
 * (may be NULL) = when there will be one; else 0. */
HARDY_API HARDY_MUST_USE double hardy_limiter_take_some(hardy_limiter *limiter, double most,
                                                        hardy_priority priority, int64_t now,
                                                        int64_t *retry_after);
/* Events that `priority` could take now. */
HARDY_API double hardy_limiter_available(const hardy_limiter *limiter, hardy_priority priority,
                                         int64_t now);

/* What is reserved. It belongs to one caller at a time, and is ended once, by
 * hardy_limiter_settle() or hardy_limiter_cancel(); ending it again does nothing. It has no size in
 * front, as a hardy_estimate has none: both stay as they are until the library's soname changes. */
typedef struct hardy_reservation {
    int64_t at;    /* when the events may be used */
    double events; /* how many */
    uint64_t mark; /* hardy's own */
    bool open;     /* not ended */
    bool shared;   /* hardy's own */
} hardy_reservation;

/* Reserves `n` events for a time from `now` to `latest`: r->at. E_LIMITED: nothing reserved, for
 * that would be after `latest`; r->at = when it would have been. LOW is never given a time ahead:
 * E_LIMITED with an r->at that may be before `latest`, to be asked for again then. E_TOO_LARGE. A
 * reservation that is simply used needs no end. */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_reserve(hardy_limiter *limiter, double n,
                                                            hardy_priority priority, int64_t now,
                                                            int64_t latest, hardy_reservation *r);
/* The same of several limiters (requests and tokens), all or none: n[i] of limiters[i], into r[i].
 * They may be used at the latest r[i].at, which *at (may be NULL) tells; when refused, *at is when
 * the one that refused would have granted. The status is that of the first that refused. When
 * somebody else takes from a limiter in the very moment in which another refuses, what was taken
 * from the first stays taken: never more than the limits, once in a while less. */
HARDY_API HARDY_MUST_USE hardy_status hardy_limiter_reserve_all(hardy_limiter *const limiters[],
                                                                const double n[], size_t count,
                                                                hardy_priority priority,
                                                                int64_t now, int64_t latest,
                                                                hardy_reservation r[], int64_t *at);
/* It is not going to be used at all: gives it back, unless somebody has reserved since, who was
 * given their time on the strength of this one. */
HARDY_API void hardy_limiter_cancel(hardy_limiter *limiter, hardy_reservation *r);
/* It was used and has really cost `cost` (0 or less: nothing, it failed): the difference is taken,
 * into debt if need be, or given back. Costs that are known only afterwards (the tokens of an
 * answer) are reserved by an estimate and settled so. Over any window the costs settled are at most
 * rate * W + burst, and what was given back for reservations made before it, or was taken as debt.
 */
HARDY_API void hardy_limiter_settle(hardy_limiter *limiter, hardy_reservation *r, double cost,
                                    int64_t now);

/* What the next call will probably cost: a moving average of what calls have cost, in which each
 * new one has a tenth of the weight. Zero-filled = nothing learned. Any thread. */
typedef struct hardy_estimate {
    uint64_t word;
} hardy_estimate;
/* The average; `otherwise` when nothing was learned yet. */
HARDY_API double hardy_estimate_get(const hardy_estimate *estimate, double otherwise);
/* `cost` above 0; others are ignored. */
HARDY_API void hardy_estimate_learn(hardy_estimate *estimate, double cost);

/* The most events that can be granted in any window of this length: rate * window + burst. */
HARDY_API double hardy_rate_most(const hardy_rate_config *config, int64_t window);
/* Sets events, period and burst so that no window of this length ever sees more than `limit`, the
 * far side's stated limit: the rate is `margin` of it (above 0, below 1; 0.8 is a good one), and
 * the burst what is left, at least one. A margin on the rate alone protects nothing: at 80 % with a
 * burst as large as the limit, a window can see 180 %. Of events that weigh one each a limit below
 * 1/(1 - margin) holds too. E_INVALID: out of range, or a rate that cannot be. */
HARDY_API HARDY_MUST_USE hardy_status hardy_rate_config_below(hardy_rate_config *config,
                                                              double limit, int64_t window,
                                                              double margin, hardy_error *error);

#ifdef __cplusplus
}
#endif
#endif
