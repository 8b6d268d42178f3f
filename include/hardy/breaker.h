/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_BREAKER_H
#define HARDY_BREAKER_H
/*
 * Circuit breaker (M. Nygard, "Release It!"): after enough failures calls are refused at once,
 * after a while a few trials are let through, and they decide.
 *
 * A permit is {generation, kind, deadline}: a result that arrives after the breaker has moved on is
 * ignored, a permit is given back exactly once, and a trial that hangs loses its lease, so that
 * half-open cannot be stuck. After closing, callers are let through at a growing pace, or at
 * `close_rate`, for letting all go at once makes the herd again.
 *
 * Three ways to count, `failure_mode`:
 *
 *     HARDY_WINDOW       `failure_threshold` failures inside `failure_window`; with `failure_rate`
 *                        they must also be that share of the calls that ended in it, so that five
 *                        failures among 80,000 calls do not open it
 *     HARDY_CONSECUTIVE  `failure_threshold` failures in a row
 *     HARDY_FAILURE_RATE of at least `minimum_calls` calls, the share of failures reaches
 *                        `failure_rate`, or the share of slow ones `slow_call_rate`; of the calls
 *                        that ended inside `failure_window`, or of the last `window_calls`
 *
 * A time window slides in steps of a sixteenth to an eighth of itself; a window of calls by single
 * calls. Shares divide by calls that ended in success, failure or slowness: not by those that were
 * refused, ignored or throttled, nor by those under way. Only a failure or a slow call opens a
 * breaker, never a success. Recording is O(1) always: a fixed number of words.
 *
 * A call that hangs says nothing until it ends, which for a language model may take minutes. With
 * `slow_call` set, calls under way for longer count as slow already (in a row they do not, for they
 * have not ended); once ended they are counted as what they became, not twice. Up to 64 calls at
 * once are watched; others are judged at their end.
 */
#include <hardy/outcome.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The values are those of the metric. */
typedef enum hardy_breaker_state {
    HARDY_CLOSED = 0,
    HARDY_HALF_OPEN = 1,
    HARDY_OPEN = 2,
    HARDY_FORCED_OPEN = 3, /* by hand: refuses everything */
    HARDY_DISABLED = 4     /* by hand: admits everything, learns nothing */
} hardy_breaker_state;

typedef enum hardy_failure_mode {
    HARDY_WINDOW = 0,      /* `failure_threshold` failures inside `failure_window` open it */
    HARDY_CONSECUTIVE = 1, /* that many in a row; a success starts the count again */
    HARDY_FAILURE_RATE = 2 /* `failure_rate` or `slow_call_rate` of the calls in the window */
} hardy_failure_mode;

/* How trials decide. By ratio, failures that are `failure_rate` of `success_threshold` trials open
 * it, and so many successes that this cannot happen any more close it. */
typedef enum hardy_trial_decision {
    HARDY_TRIALS_CONSECUTIVE = 0, /* `success_threshold` successes close it, one failure opens it */
    HARDY_TRIALS_RATIO = 1        /* `failure_rate` of them */
} hardy_trial_decision;

typedef struct hardy_breaker_config {
    size_t size;
    uint32_t failure_threshold;      /* 5; 1 to 64; not with HARDY_FAILURE_RATE */
    hardy_failure_mode failure_mode; /* HARDY_WINDOW */
    int64_t failure_window;          /* ns; 120s; 1ms to 24h */
    int64_t recovery_timeout;        /* ns open before trials; 60s; 1ms to 24h */
    uint32_t success_threshold;      /* trials that must succeed to close; 2; 1 to 32 */
    uint32_t half_open_max_calls;    /* trials at once; 2 (success_threshold); 1 to 8 */
    int64_t trial_lease;             /* ns; 60s; 1ms to 24h; then a trial's slot is another's */
    int64_t close_ramp;              /* ns of paced admission after closing; 10s; 0 = none to 24h */
    bool counts_attempts; /* each attempt counts; false: an exhausted retry sequence is one */

    bool shadow;            /* false; counts, changes, tells; refuses only when forced open */
    double failure_rate;    /* 0 = none; up to 1; HARDY_FAILURE_RATE needs it or the next; in a
                             * row it is for trials only */
    double slow_call_rate;  /* 0 = slow calls are failures; up to 1; HARDY_FAILURE_RATE only */
    uint32_t minimum_calls; /* 10; 1 to 1000000; with fewer it stays closed; HARDY_FAILURE_RATE */
    uint32_t window_calls;  /* 0 = the time window; 1 to 1024 last calls; HARDY_FAILURE_RATE only.
                             * A window of calls has one line of memory that all threads write */
    int64_t slow_call;      /* ns; 0 = none; up to 24h; a success that took longer is HARDY_SLOW.
                             * Of an answer in pieces, the time until its first content */
    hardy_trial_decision trial_decision; /* HARDY_TRIALS_CONSECUTIVE */

    /* Each failed trial, and each opening soon after a closing, makes the next recovery_timeout
     * `recovery_factor` times as long, up to `recovery_max`; each failure_window that passes closed
     * takes one step back (Envoy's outlier ejection), also from the maximum, however long it was
     * kept there. */
    double recovery_factor; /* 1 = always the same; up to 100 */
    int64_t recovery_max; /* ns; 10m; 1ms to 24h; less than recovery_timeout is the same as that */
    double recovery_jitter; /* 0; up to 1: drawn evenly from [t, t * (1 + jitter)], cap included */

    /* Calls a second that are let through during close_ramp, one after another; 0.001 to 1000000.
     * 0: a growing number, success_threshold in the first second and twice as many in each further
     * one, which needs no figure but passes any capacity at some moment. Where thousands wait, give
     * less than the capacity, and a close_ramp of callers / close_rate or more. */
    double close_rate;
} hardy_breaker_config;

HARDY_API void hardy_breaker_config_init(hardy_breaker_config *config, size_t size);

typedef struct hardy_breaker hardy_breaker; /* opaque; any number of threads at once */

/*
 * What one call has to give back, with hardy_breaker_record(), by whichever thread ends it: a
 * permit belongs to nobody's thread, but to one call, and is used by one thread at a time. It may
 * be copied; of two copies of a trial's permit the first that is recorded counts.
 *
 * A permit that is never recorded costs little: an ordinary call is then not counted at all, one
 * that was watched counts as hanging (until `slow_call` and `failure_window` have passed) though it
 * may be over, and a trial keeps its slot until `deadline`. Nothing leaks, and half open is left
 * all the same. But record HARDY_IGNORED when a call comes to nothing, and the slot is free at
 * once.
 *
 * `deadline` is for the caller to read, and to end a trial by. The other members are the breaker's.
 */
typedef struct hardy_permit {
    uint64_t generation;
    int64_t deadline; /* trials: when the lease ends; else HARDY_NEVER */
    int64_t started;  /* when it was admitted; HARDY_NEVER: its slowness has been judged */
    uint8_t kind; /* 0 none or given back, 1 call, 2 trial, 3 watched, 4 let through in shadow */
    uint8_t slot;
} hardy_permit;

typedef struct hardy_breaker_stats {
    size_t size;
    hardy_breaker_state state;
    uint64_t total_calls; /* that ended, and trials that run */
    uint64_t total_successes,
        total_failures; /* slow ones are among these, unless slow_call_rate counts them apart */
    uint64_t total_rejected;  /* in shadow: that would have been */
    double success_rate;      /* successes / (successes + failures); 1 when neither */
    uint32_t recent_failures; /* that count towards the threshold now */
    int64_t time_until_retry; /* ns; 0 when a call would be admitted now */
    uint64_t times_opened;

    uint64_t total_slow;
    uint64_t recent_calls;    /* that ended in the window or hang; 0 where no share is looked at */
    double failure_rate;      /* of those; -1 when there are none */
    double slow_call_rate;    /* the same; -1 unless slow_call_rate is set */
    uint32_t hung_calls;      /* watched calls under way for longer than slow_call */
    int64_t recovery_timeout; /* ns; of this opening or the last, before jitter */
} hardy_breaker_stats;

/* `config` copied. E_INVALID names the field out of range, E_NOMEM. */
HARDY_API HARDY_MUST_USE hardy_status hardy_breaker_new(const hardy_breaker_config *config,
                                                        hardy_breaker **out, hardy_error *error);
HARDY_API void hardy_breaker_free(hardy_breaker *breaker); /* NULL is fine; no permit may be out */

/* HARDY_OK and a permit, or E_OPEN and *retry_after (ns, may be NULL). Costs no system call. */
HARDY_API HARDY_MUST_USE hardy_status hardy_breaker_acquire(hardy_breaker *breaker, int64_t now,
                                                            hardy_permit *permit,
                                                            int64_t *retry_after);
/* Gives the permit back with what was learned; a second call on the same permit does nothing. */
HARDY_API void hardy_breaker_record(hardy_breaker *breaker, hardy_permit *permit,
                                    hardy_outcome_class outcome, int64_t now);
/* The far side has begun to answer: from now on this call neither hangs nor becomes slow, however
 * long the rest takes. Does nothing when it is over, or without slow_call. */
HARDY_API void hardy_breaker_progress(hardy_breaker *breaker, hardy_permit *permit, int64_t now);
/* By hand: HARDY_FORCED_OPEN or HARDY_DISABLED until `until` (HARDY_NEVER), HARDY_CLOSED = reset.
 */
HARDY_API void hardy_breaker_force(hardy_breaker *breaker, hardy_breaker_state state, int64_t until,
                                   int64_t now);
/* As it is at `now`; `stats->size` is set by the caller. Calls that hang may have made enough to
 * open it: then this opens it, as the next call would. */
HARDY_API void hardy_breaker_get_stats(const hardy_breaker *breaker, int64_t now,
                                       hardy_breaker_stats *stats);
/*
 * A breaker as bytes, to outlive its process: state, how long still, counts, totals. All times in
 * it are spans, so it means the same to another process, boot or machine. Returns how many bytes a
 * snapshot has, the same number always; writes none if `size` is less, so (breaker, now, NULL, 0)
 * asks. Any thread, while others use the breaker.
 */
HARDY_API size_t hardy_breaker_snapshot(const hardy_breaker *breaker, int64_t now, void *bytes,
                                        size_t size);
/*
 * Makes the breaker what it was when the snapshot was taken, `elapsed` ns ago (of the wall clock,
 * for no other outlives a process; 0 if nobody knows: then it is open a little longer). What it was
 * before is gone, permits that are out count for nothing, and trials that were under way in the
 * snapshot are free to be tried again. Counts are left out where failure_mode or window are others
 * now; state and totals come back all the same. Best before anybody uses the breaker; while others
 * do, a few calls may be missing in the counts. E_INVALID: not a snapshot, of another version,
 * damaged; then nothing is changed.
 */
HARDY_API HARDY_MUST_USE hardy_status hardy_breaker_restore(hardy_breaker *breaker,
                                                            const void *bytes, size_t length,
                                                            int64_t elapsed, int64_t now,
                                                            hardy_error *error);
/* "closed" "half_open" "open" "forced_open" "disabled". */
HARDY_API const char *hardy_breaker_state_name(hardy_breaker_state state);

#ifdef __cplusplus
}
#endif
#endif
