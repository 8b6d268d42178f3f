/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_OP_H
#define HARDY_OP_H
/*
 * The guarded operation as a step machine: it decides, a driver acts. It reads no clock, does no
 * I/O and never blocks, so one driver runs it in a thread, another on an event loop, a third in
 * virtual time.
 *
 *     hardy_op_begin(&op, sizeof op, guard, &options, now);
 *     for (;;) {
 *         hardy_step step = hardy_op_next(&op, now);
 *         CALL    start attempt `step.attempt`; report it when it has ended
 *         STOP    make attempt `step.attempt` end; it keeps its slot until it is reported
 *         WAIT    come back at `step.until`, after a report or progress, or when `wake` was called
 *         RESULT  the operation's result is known: hand it on (attempts may still be running)
 *         DONE    nothing is outstanding: call hardy_op_end()
 *     }
 *
 * Order inside: total deadline > retry and budget > breaker > rate > bulkhead > attempt > call.
 * A retry looks at the breaker before it waits; the breaker is acquired last, right before CALL.
 * The concurrency slot is held from CALL to the report, not during a backoff. A stopped attempt is
 * waited for before the next one starts, so an operation never has two, unless its guard hedges:
 * then there may be a second CALL before the first is reported, and a STOP for the one that lost.
 *
 * The verdicts of RESULT, with their reasons; what became of the last attempt is in `outcome`.
 *
 * OK: it succeeded, perhaps late.
 *
 * E_FAILED: a permanent failure or an IGNORED outcome (PERMANENT); or a failure whose effect is
 * DONE, of what was not declared repeatable (NOT_REPEATABLE).
 *
 * E_IN_DOUBT: a failure whose effect is UNKNOWN, of what was not declared repeatable
 * (NOT_REPEATABLE).
 *
 * E_EXHAUSTED: a passing failure that is not tried again (RETRIES, TOTAL_WAIT, RETRY_AFTER; after
 * its first content was handed on NOT_REPEATABLE).
 *
 * E_TIMEOUT: the only attempt there was to be was stopped at its timeout (TIMEOUT).
 *
 * E_BUDGET: a passing failure, and the retry budget refused the retry (BUDGET).
 *
 * E_OPEN, E_LIMITED, E_FULL: hardy refused the first attempt or the next one (BREAKER, RATE,
 * SLOTS). A full queue or a rate slot is not asked for again, only an open breaker where
 * `wait_when_open` says so.
 *
 * E_TOO_LARGE: the weight is more than the rate's burst, and is never granted (RATE).
 *
 * E_DEADLINE: it passed (DEADLINE, or what was waited for: BREAKER, SLOTS, RATE), or the next wait
 * would have passed it. An attempt that still runs has the effect UNKNOWN.
 *
 * E_CANCELLED: by hardy_op_cancel(), or hardy_cancel() for a run in a thread (CANCELLED).
 *
 * Any of them, and others: what another guard inside of the attempt ended with, handed on with its
 * retry_after and not tried again (INSIDE); see `status` of hardy_outcome.
 */
#include <hardy/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Caller-owned storage; at rest it may be moved, between begin and end it may not. */
typedef struct hardy_op {
#ifdef __cplusplus
    alignas(16) uint64_t opaque[128];
#else
    _Alignas(16) uint64_t opaque[128];
#endif
} hardy_op;

/* Called when a WAIT may be over before its time, from any thread, with a lock of hardy's held:
 * it sets a flag or posts, and calls nothing of hardy. After it the operation may be gone. */
typedef struct hardy_wake {
    void (*fn)(void *ctx);
    void *ctx;
} hardy_wake;

typedef struct hardy_op_options {
    size_t size;
    hardy_wake wake;  /* fn may be NULL when the guard has no bulkhead and nobody cancels */
    int64_t deadline; /* absolute; HARDY_NEVER; the guard's own deadline can only shorten it */
    uint64_t seed;    /* of the jitter; 0 = drawn from the guard */
    bool repeatable;  /* this operation may be repeated though its effect is unknown; or'd with the
                         guard's */
    bool deadline_until_content; /* FIRST_CONTENT lifts the deadline: a stream that has begun is
                                    ended by the idle time-out only; false */
    bool content_at_end; /* the answer comes as a whole, however long it takes: the guard's time-out
                            for the first content does not hold; false */
    double weight;     /* events of the guard's rate that each attempt costs; 1; need not be whole;
                          0 or less: none; above the rate's burst: E_TOO_LARGE, unless the rate
                          allows debt; not a number: E_TOO_LARGE */
    bool low_priority; /* of the guard's rate it uses only what LOW may (rate.h), and waits behind
                          those that do not; or'd with the guard's */
    bool hedges;       /* the driver can have two attempts under way; false: E_UNSUPPORTED where
                          the guard hedges */
    const hardy_context *context; /* borrowed until hardy_op_end(); NULL: nothing is handed down */
} hardy_op_options;

typedef enum hardy_step_kind {
    HARDY_STEP_CALL = 1,
    HARDY_STEP_STOP = 2,
    HARDY_STEP_WAIT = 3,
    HARDY_STEP_RESULT = 4,
    HARDY_STEP_DONE = 5
} hardy_step_kind;

/* Why an operation waits, or why it ended as it did. */
typedef enum hardy_reason {
    HARDY_REASON_NONE = 0,
    HARDY_REASON_BACKOFF,        /* waits before a retry */
    HARDY_REASON_RUNNING,        /* waits for an attempt */
    HARDY_REASON_RATE,           /* waits for, or was refused, a rate slot */
    HARDY_REASON_SLOTS,          /* waits for, or was refused, a concurrency slot */
    HARDY_REASON_BREAKER,        /* waits for, or was refused by, the breaker */
    HARDY_REASON_BUDGET,         /* the retry budget refused the retry */
    HARDY_REASON_RETRIES,        /* max_retries reached */
    HARDY_REASON_TOTAL_WAIT,     /* the next wait would pass max_total_wait */
    HARDY_REASON_RETRY_AFTER,    /* the far side asked for more time than the deadline leaves */
    HARDY_REASON_DEADLINE,       /* the total deadline passed, or the next wait would pass it */
    HARDY_REASON_TIMEOUT,        /* an attempt was stopped at its timeout */
    HARDY_REASON_PERMANENT,      /* the outcome says that trying again would not help */
    HARDY_REASON_NOT_REPEATABLE, /* the effect is unknown and the operation was not declared
                                    repeatable */
    HARDY_REASON_CANCELLED,
    HARDY_REASON_HEDGE, /* an attempt is stopped, for another one has won */
    HARDY_REASON_INSIDE /* another guard inside of the attempt said so */
} hardy_reason;
HARDY_API const char *hardy_reason_text(hardy_reason reason); /* one short English phrase */

typedef struct hardy_step {
    hardy_step_kind kind;
    hardy_reason reason;
    uint32_t attempt;      /* CALL, STOP: number from 1; RESULT, DONE: attempts made */
    int64_t until;         /* WAIT: when to come back, HARDY_NEVER = only by wake or report */
    int64_t deadline;      /* CALL: when the attempt will be stopped; HARDY_NEVER */
    hardy_status status;   /* RESULT: HARDY_OK or the verdict */
    hardy_outcome outcome; /* RESULT: the last attempt's, as reported; kind IGNORED when none ran */
    int64_t retry_after;   /* RESULT: ns until it may be tried again, -1 = not known; also after
                              E_EXHAUSTED */
} hardy_step;

typedef enum hardy_progress {
    HARDY_CONNECTED = 0,
    HARDY_FIRST_CONTENT = 1, /* commits: nothing is retried any more */
    HARDY_BYTES = 2
} hardy_progress;

HARDY_API void hardy_op_options_init(hardy_op_options *options, size_t size);
/* `guard` borrowed until hardy_op_end(); `options` copied, NULL = defaults. E_INVALID: `size` too
 * small, or a missing wake where the guard has a bulkhead. E_UNSUPPORTED: the guard hedges, and
 * `hedges` is false. */
HARDY_API HARDY_MUST_USE hardy_status hardy_op_begin(hardy_op *op, size_t size, hardy_guard *guard,
                                                     const hardy_op_options *options, int64_t now);
/* Call until WAIT or DONE. */
HARDY_API hardy_step hardy_op_next(hardy_op *op, int64_t now);
/* After CALL, and until the next one: what that attempt is to be told; its `internal` is NULL. */
HARDY_API void hardy_op_describe_call(const hardy_op *op, hardy_call *call);
/* CONNECTED changes nothing; FIRST_CONTENT and BYTES start the idle time-out anew. Then call
 * hardy_op_next(): the time to come back may be another. Of an attempt that does not run: ignored.
 */
HARDY_API void hardy_op_report_progress(hardy_op *op, uint32_t attempt, hardy_progress what,
                                        int64_t now);
/* Each CALL is answered by exactly one report, also after a STOP; a second is ignored. */
HARDY_API void hardy_op_report(hardy_op *op, uint32_t attempt, const hardy_outcome *outcome,
                               int64_t now);
/* The only call allowed from another thread; the operation must last until it returns. Ends it with
 * E_CANCELLED, unless a success was reported before that was told; calls wake. */
HARDY_API void hardy_op_cancel(hardy_op *op);
/* Leaves every queue and gives everything back; afterwards no wake can arrive. Before DONE: the
 * operation is abandoned, and a running attempt is taken to have taught nothing. */
HARDY_API void hardy_op_end(hardy_op *op);

#ifdef __cplusplus
}
#endif
#endif
