/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_POLL_H
#define HARDY_POLL_H
/*
 * Waiting for a condition: until a job is done, a file is there, a service is up.
 *
 * "Not yet" is an answer, not a failure. As a retry it would be wrong twice: a far side that says
 * it promptly and rightly would open its own breaker and use up the retry budget, and the number of
 * retries would bound what only time should bound. So a poll has a deadline and no count, its waits
 * grow as those of a retry do, and nothing that it hears is counted against anybody. A look that
 * brought no answer is another matter: that is a failure of the far side, and where looks are made
 * through a guard, as hardy_poll_run() does, it counts there, is retried there, and the poll goes
 * on afterwards.
 *
 *     static bool is_done(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
 *         struct job *job = ctx;
 *         int status = http_get(job->url, call->deadline, job);
 *         *outcome = hardy_outcome_of_http(status, 0);
 *         if (status == 404) {                     // not there yet: a good answer, here
 *             *outcome = hardy_outcome_of_http(200, 0);
 *             return false;
 *         }
 *         return strcmp(job->state, "done") == 0;
 *     }
 *     ...
 *     options.deadline = now + 10 * HARDY_MINUTE;
 *     status = hardy_poll_run(guard, is_done, &job, NULL, &options, NULL, &error);
 *
 * Underneath is a step machine, as in op.h, for who has an event loop:
 *
 *     hardy_poll_begin(&poll, sizeof poll, NULL, deadline, seed, now, &error);
 *     for (;;) {
 *         hardy_poll_step step = hardy_poll_next(&poll, now);
 *         LOOK   look, within `step.deadline`, and report what was found
 *         WAIT   come back at `step.until`, or after a report
 *         DONE   `step.status`
 *     }
 *
 * The first look is made at once. A wait that would leave no time for another look before the
 * deadline is cut, so that the last look comes shortly before it: with room for twice the longest
 * look so far, and a millisecond at least. When there is no time for that either, the verdict comes
 * at once and not at the deadline.
 */
#include <hardy/guard.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The waits between looks, as those between attempts in retry.h. */
typedef struct hardy_poll_config {
    size_t size;             /* sizeof(hardy_poll_config) */
    int64_t base_delay;      /* ns; 1s; 1ms to 1h */
    int64_t max_delay;       /* ns; 30s; base_delay to 24h; the same as base_delay: always that */
    double exponential_base; /* 2; 1 to 100 */
    hardy_jitter jitter;     /* HARDY_JITTER_EQUAL: who began together does not look together */
} hardy_poll_config;

HARDY_API void hardy_poll_config_init(hardy_poll_config *config, size_t size);

/* What a look found. */
typedef enum hardy_look {
    HARDY_LOOK_NOT_YET = 0,
    HARDY_LOOK_HOLDS = 1,
    HARDY_LOOK_UNKNOWN = 2, /* it brought no answer: the far side is away, or refuses just now */
    HARDY_LOOK_FAILED = 3   /* it never will: not allowed, no such thing */
} hardy_look;

typedef enum hardy_poll_kind {
    HARDY_POLL_LOOK = 0,
    HARDY_POLL_WAIT = 1,
    HARDY_POLL_DONE = 2
} hardy_poll_kind;

typedef struct hardy_poll_step {
    hardy_poll_kind kind;
    hardy_status status; /* DONE: OK, it holds; E_DEADLINE, not in time; E_FAILED, it never will */
    uint32_t looks;      /* begun so far; LOOK: the number of this one, from 1 */
    int64_t until;       /* WAIT: when to come back, HARDY_NEVER: only after a report */
    int64_t deadline;    /* LOOK: when it is to be given up; HARDY_NEVER */
    hardy_look last;     /* DONE: what the last look found that was reported */
} hardy_poll_step;

/* Caller-owned, no pointers: may be copied, and nothing needs to be freed. Of one thread at a time.
 */
typedef struct hardy_poll {
    uint64_t opaque[24];
} hardy_poll;

/* `config` copied, NULL: the defaults. `deadline`: absolute, HARDY_NEVER: as long as it takes.
 * `seed`: for the jitter, another one for each of those who began together. E_INVALID: `size` is
 * not that of a hardy_poll, or a setting outside its range, which is named. */
HARDY_API HARDY_MUST_USE hardy_status hardy_poll_begin(hardy_poll *poll, size_t size,
                                                       const hardy_poll_config *config,
                                                       int64_t deadline, uint64_t seed, int64_t now,
                                                       hardy_error *error);
/* What is to be done now. Never two looks at once: until a report it is WAIT, and from the deadline
 * on DONE, though the look may still be under way. */
HARDY_API hardy_poll_step hardy_poll_next(hardy_poll *poll, int64_t now);
/* How the look ended. `retry_after`: a floor for the next wait, ns, 0 = none. It holds, though the
 * deadline has passed: it holds, unless DONE was told already. Without a look under way: ignored.
 */
HARDY_API void hardy_poll_report(hardy_poll *poll, hardy_look found, int64_t retry_after,
                                 int64_t now);

/* Looks once. Fills `outcome`, preset to SUCCESS, as a hardy_function does: whether there was an
 * answer. True: the condition holds; of no account where `outcome` is not a success. */
typedef bool (*hardy_look_function)(void *ctx, const hardy_call *call, hardy_outcome *outcome);

/*
 * Polls in this thread, each look a guarded operation of its own: it is retried as the guard's
 * settings say, and declared repeatable, for it changes nothing. What the guard makes of it:
 *
 *     it succeeded                               the function's answer counts
 *     status of class RETRY or LIMIT             no answer: looked at again, not before the time
 *                                                that was told (an open breaker's, a Retry-After)
 *     of another class (404, not allowed)        ends the poll with that status
 *
 * OK: the condition holds. E_DEADLINE: it did not by `options->deadline`; the error tells what the
 * last look found. E_CANCELLED: by `options->cancel`, at once where it waits. `config` NULL: the
 * defaults; `options` NULL: no deadline. `outcome` (may be NULL): the last look's as
 * hardy_guard_run() hands it on; a poll that ended otherwise than OK leaves no success there, so it
 * can be an outer guard's. Does not allocate. E_INVALID as hardy_poll_begin() and
 * hardy_guard_run_with().
 */
HARDY_API HARDY_MUST_USE hardy_status hardy_poll_run(hardy_guard *guard, hardy_look_function look,
                                                     void *ctx, const hardy_poll_config *config,
                                                     const hardy_run_options *options,
                                                     hardy_outcome *outcome, hardy_error *error);

#ifdef __cplusplus
}
#endif
#endif
