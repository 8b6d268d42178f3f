/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_GUARD_H
#define HARDY_GUARD_H
/*
 * A guard: the policies that protect calls to one dependency, composed in a fixed order, shared by
 * all its callers. hardy_guard_run() is the ordinary use: it runs a function in the caller's
 * thread.
 */
#include <hardy/breaker.h>
#include <hardy/bulkhead.h>
#include <hardy/context.h>
#include <hardy/hedge.h>
#include <hardy/rate.h>
#include <hardy/retry.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an attempt is told. */
typedef struct hardy_call {
    size_t size;
    uint32_t attempt;            /* from 1 */
    int64_t deadline;            /* absolute, on the guard's clock; HARDY_NEVER */
    uint64_t operation;          /* as in hardy_context; 0: the operation was given none */
    const char *idempotency_key; /* NULL: none */
    hardy_trace trace;           /* the span_id is this attempt's own */
    void *internal;
} hardy_call;

/* The user's own word on how an attempt ended: `outcome` as it was reported, to be changed where
 * the usual meaning does not fit. Whatever drives the operation, it is asked once for each report,
 * before anything is learned from it; in any thread that runs an operation, with no lock held. It
 * must not wait, nor ask hardy_call_cancelled(). Who makes a failure of a success says in `effect`
 * whether it may be repeated. */
typedef void (*hardy_classify)(void *ctx, const hardy_call *call, hardy_outcome *outcome);

/* Layers are pointers: NULL = that layer is absent. Everything is copied by hardy_guard_new(). */
typedef struct hardy_guard_config {
    size_t size;
    const char *name;                /* for logs and statistics; required, 1 to 63 characters */
    int64_t deadline;                /* ns for the whole operation; HARDY_NEVER */
    int64_t timeout;                 /* ns for one attempt; HARDY_NEVER */
    int64_t timeout_first_content;   /* ns until FIRST_CONTENT; HARDY_NEVER */
    int64_t timeout_idle;            /* ns between two BYTES reports; HARDY_NEVER */
    const hardy_retry_config *retry; /* NULL: one attempt */
    const hardy_budget_config
        *budget; /* the default one; NULL: no budget; ignored without `retry` */
    const hardy_breaker_config *breaker; /* NULL: none */
    bool wait_when_open;           /* wait for the breaker up to the deadline; false: E_OPEN */
    const hardy_rate_config *rate; /* NULL: none */
    const hardy_bulkhead_config *bulkhead; /* NULL: none */
    hardy_classify classify;               /* NULL: outcomes count as they are reported */
    void *classify_ctx;                    /* borrowed for as long as the guard lasts */
    const hardy_hedge_config *hedge;       /* NULL: none; needs `retry`, with a retry at least */
} hardy_guard_config;

/* No layer but the retry budget, which is there unless it is taken away: without one, no backoff
 * brings a system back from an outage that its own retries keep up. */
HARDY_API void hardy_guard_config_init(hardy_guard_config *config, size_t size);

typedef struct hardy_guard hardy_guard; /* opaque; any number of threads at once */

/* E_INVALID names the field, its value and its range; E_NOMEM. `env` copied, NULL = the system's.
 */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_new(const hardy_guard_config *config,
                                                      const hardy_env *env, hardy_guard **out,
                                                      hardy_error *error);
HARDY_API void hardy_guard_free(hardy_guard *guard); /* NULL is fine; no operation may be running */

/* Other settings, while operations run: an operation goes by those it began with to its end, the
 * next one by these. All may change but the name (NULL: as it is), and layers may come and go.
 * Nothing that was counted is lost: the breaker's state and failures, what is left of rate and
 * budget, the slots in use, the statistics. A slot is known to the bulkhead if its operation began
 * with one; a smaller `max_concurrent` ends nothing, slots above it are not handed out again.
 * Any thread; waits for no operation. Copied. As a whole or not at all: E_INVALID names the field,
 * its value and its range; E_NOMEM. */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_change(hardy_guard *guard,
                                                         const hardy_guard_config *config,
                                                         hardy_error *error);

/* Whether the attempt should stop, because its deadline passed or it was cancelled. A thread cannot
 * be stopped from outside: a long function asks this now and then. Only inside the function it was
 * given to. */
HARDY_API bool hardy_call_cancelled(const hardy_call *call);

/* Fills `outcome` (preset to SUCCESS, effect DONE). */
typedef void (*hardy_function)(void *ctx, const hardy_call *call, hardy_outcome *outcome);

/* Runs `function` under the guard in this thread; returns when it succeeded, when the guard gave
 * up, or when `deadline` (absolute, HARDY_NEVER) passed. A success that came late is returned as a
 * success and recorded as slow. `outcome` (may be NULL): the last attempt's, kind IGNORED when
 * nothing was called; but `status` is what is returned, and `retry_after`, where it is known, when
 * it may be tried again. So the outcome of a function that runs another guard can be handed to that
 * run as it is. `error` tells why, and when it may be tried again. What each status means
 * here is told in op.h. Does not allocate. */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_run(hardy_guard *guard, hardy_function function,
                                                      void *ctx, int64_t deadline,
                                                      hardy_outcome *outcome, hardy_error *error);

/* By which another thread ends a run: zero-filled at first, for one run at a time, and borrowed
 * until that returns. */
typedef struct hardy_cancel_token {
    uint64_t opaque[2];
} hardy_cancel_token;
/* Ends the run that goes under `token`, or any later one, with E_CANCELLED, at once where it waits;
 * the function is told by hardy_call_cancelled(). For good: until the token is filled with zeros
 * again. Any thread. */
HARDY_API void hardy_cancel(hardy_cancel_token *token);

typedef struct hardy_run_options {
    size_t size;
    int64_t deadline;             /* HARDY_NEVER */
    bool repeatable;              /* this operation may be repeated though its effect is unknown;
                                     or'd with the guard's; false */
    double weight;                /* events of the guard's rate that each attempt costs; 1; as in
                                     op.h */
    bool low_priority;            /* as in op.h; or'd with the guard's; false */
    const hardy_context *context; /* borrowed until it returns; NULL: nothing is handed down */
    hardy_cancel_token *cancel;   /* NULL: nobody cancels it */
} hardy_run_options;
HARDY_API void hardy_run_options_init(hardy_run_options *options, size_t size);

/* hardy_guard_run() with more to say. E_INVALID besides: a `size` that is not that of the
 * structure, or of its beginning. */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_run_with(hardy_guard *guard,
                                                           hardy_function function, void *ctx,
                                                           const hardy_run_options *options,
                                                           hardy_outcome *outcome,
                                                           hardy_error *error);

typedef struct hardy_guard_stats {
    size_t size;
    hardy_breaker_stats breaker; /* zero without a breaker */
    uint64_t operations, attempts, retries,
        retries_suppressed; /* suppressed: refused by the budget */
    uint64_t rejected_rate, rejected_slots, timeouts;
    uint32_t running, waiting;  /* of the bulkhead */
    double budget_left;         /* tokens; -1 without a budget */
    double rate_left;           /* calls that need not wait for a rate slot; -1 without a rate */
    uint64_t events_dropped;    /* from the ring below, before they were taken */
    uint32_t concurrency_limit; /* attempts let through at once at present; 0 without a bulkhead */
    uint64_t hedges;            /* of the attempts: started beside another */
} hardy_guard_stats;
/* `stats->size` is set by the caller. An operation is counted when it begins. */
HARDY_API void hardy_guard_get_stats(const hardy_guard *guard, hardy_guard_stats *stats);

/* The breaker by hand, as hardy_breaker_force(); `until` absolute, HARDY_NEVER. Any thread.
 * E_INVALID: the guard has no breaker, or `state` is one that only the breaker itself takes. */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_force(hardy_guard *guard,
                                                        hardy_breaker_state state, int64_t until);

/* The breaker as bytes, to outlive the process: as hardy_breaker_snapshot(), with the guard's
 * clock. Any thread. 0: there is no breaker. Guards that share memory with other processes need
 * neither this nor the next: their breaker is there until the machine is started again. */
HARDY_API size_t hardy_guard_snapshot(hardy_guard *guard, void *bytes, size_t size);
/* And back again: as hardy_breaker_restore(), with the guard's clock. Any thread. E_INVALID also
 * when there is no breaker. */
HARDY_API HARDY_MUST_USE hardy_status hardy_guard_restore(hardy_guard *guard, const void *bytes,
                                                          size_t length, int64_t elapsed,
                                                          hardy_error *error);

/* Things that happened, oldest first, from a bounded ring (a full ring drops the oldest and counts
 * it). Never called back under a lock: whoever wants them asks. */
typedef enum hardy_event_kind {
    HARDY_EVENT_STATE = 1,  /* breaker changed from `from` to `to` */
    HARDY_EVENT_RETRY = 2,  /* waits `span` before attempt `attempt` */
    HARDY_EVENT_HEDGE = 4,  /* attempt `attempt` was started beside the one before */
    HARDY_EVENT_GIVE_UP = 3 /* ended without success after `attempt` attempts; refusals before the
                             * first are counted, not told */
} hardy_event_kind;
typedef struct hardy_event {
    hardy_event_kind kind;
    int64_t at;
    hardy_breaker_state from, to;
    uint32_t attempt;
    int64_t span;
    int32_t code;
    int reason; /* hardy_reason */
} hardy_event;
/* Returns how many were written to `events`. Any thread. */
HARDY_API size_t hardy_guard_take_events(hardy_guard *guard, hardy_event *events, size_t max);

/* The effective settings, the exact schedule of waits with its worst case, and warnings about
 * settings that cannot hold together, as text for a person. Writes at most `size` bytes including
 * the NUL, returns the length the whole text has. */
HARDY_API size_t hardy_guard_explain(const hardy_guard *guard, char *text, size_t size);

/* What the settings cannot tell; zero: not known, and what depends on it is not said. */
typedef struct hardy_explain_options {
    size_t size;
    double clients;           /* that share the far side, each with a guard like this one */
    double capacity;          /* calls a second that the far side can serve */
    double load;              /* operations a second that all of them begin */
    bool effects_without_key; /* they change something over there, and a repetition of one cannot be
                                 told from another one */
} hardy_explain_options;
HARDY_API void hardy_explain_options_init(hardy_explain_options *options, size_t size);

/* hardy_guard_explain() with more to go by. Besides it warns when utilisation (load / capacity) *
 * attempts >= 1, from where on retries keep an outage up that has lost its cause (N. Bronson et
 * al., "Metastable Failures in Distributed Systems", HotOS 2021); when max_delay < 2 * clients /
 * capacity, which brings all clients back faster than they can be served; and of repetitions that
 * can do twice what should be done once. `options` NULL: nothing is known. */
HARDY_API size_t hardy_guard_explain_with(const hardy_guard *guard,
                                          const hardy_explain_options *options, char *text,
                                          size_t size);

#ifdef __cplusplus
}
#endif
#endif
