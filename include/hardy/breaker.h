/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_BREAKER_H
#define HARDY_BREAKER_H
/*
 * Circuit breaker (M. Nygard, "Release It!"): after enough failures calls are refused at once,
 * after a while a few trials are let through, and they decide.
 *
 * A permit is {generation, kind, deadline}: a result that arrives after the breaker has moved on is
 * ignored, a permit is given back exactly once, and a trial that hangs loses its lease, so that
 * half-open cannot be stuck. After closing, callers are let through at a growing pace, for letting
 * all go at once makes the herd again.
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
    HARDY_WINDOW = 0,     /* `failure_threshold` failures inside `failure_window` open it */
    HARDY_CONSECUTIVE = 1 /* that many in a row; a success starts the count again */
} hardy_failure_mode;

typedef struct hardy_breaker_config {
    size_t size;
    uint32_t failure_threshold;      /* 5; 1 to 64 */
    hardy_failure_mode failure_mode; /* HARDY_WINDOW */
    int64_t failure_window;          /* ns; 120s; 1ms to 24h; window mode only */
    int64_t recovery_timeout;        /* ns open before trials; 60s; 1ms to 24h */
    uint32_t success_threshold;      /* trials that must succeed to close; 2; 1 to 32 */
    uint32_t half_open_max_calls;    /* trials at once; 2 (success_threshold); 1 to 8 */
    int64_t trial_lease;  /* ns a trial may take before its slot is given to another; 60s */
    int64_t close_ramp;   /* ns of paced admission after closing; 10s; 0 = none */
    bool counts_attempts; /* each attempt counts; false: an exhausted retry sequence is one */
} hardy_breaker_config;

HARDY_API void hardy_breaker_config_init(hardy_breaker_config *config, size_t size);

typedef struct hardy_breaker hardy_breaker; /* opaque; any number of threads at once */

typedef struct hardy_permit {
    uint64_t generation;
    int64_t deadline; /* trials: when the lease ends; else HARDY_NEVER */
    uint8_t kind;     /* 0 none or given back, 1 call, 2 trial */
    uint8_t slot;
} hardy_permit;

typedef struct hardy_breaker_stats {
    size_t size;
    hardy_breaker_state state;
    uint64_t total_calls, total_successes, total_failures, total_rejected; /* calls = admitted */
    double success_rate;      /* successes / (successes + failures); 1 when neither */
    uint32_t recent_failures; /* that count towards the threshold now */
    int64_t time_until_retry; /* ns; 0 when a call would be admitted now */
    uint64_t times_opened;
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
/* By hand: HARDY_FORCED_OPEN or HARDY_DISABLED until `until` (HARDY_NEVER), HARDY_CLOSED = reset.
 */
HARDY_API void hardy_breaker_force(hardy_breaker *breaker, hardy_breaker_state state, int64_t until,
                                   int64_t now);
HARDY_API void hardy_breaker_get_stats(const hardy_breaker *breaker, int64_t now,
                                       hardy_breaker_stats *stats);
/* "closed" "half_open" "open" "forced_open" "disabled". */
HARDY_API const char *hardy_breaker_state_name(hardy_breaker_state state);

#ifdef __cplusplus
}
#endif
#endif
