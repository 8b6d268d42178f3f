/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_COMMAND_H
#define WORK_COMMAND_H
/*
 * A durable command: run at most once to success under its key, guarded, under the step shim, on
 * the loop. Serves `exec --key`, workflow steps, remedies of incidents and probes: there is no
 * other way in the program to run a command that has effects.
 *
 * Order: take the key's lock, held by the process that decides; read the record again; decide; take
 * the step's lock, which goes to the shim; record the start (durable); start the shim; record the
 * result (durable); tell. A refusal by the guard before the first attempt leaves
 * no record. A clean failure (the command exited by itself, not 0) has effect NONE in the guard's
 * words; a killed or timed-out one is UNKNOWN and ends in doubt unless the policy is rerun.
 */
#include "durable/record.h"
#include "io/loop.h"
#include <hardy/guard.h>

struct command_spec {           /* borrowed until `ended` */
    const char *row_kind, *key; /* the record's row */
    const char *name;
    const char *scope;  /* goes into the fingerprint: "exec", the run's id, the incident's id */
    const char *params; /* canonical JSON that identifies what is done; NULL = from argv */
    const char *const *argv;
    const char *const *env; /* the command's whole environment, "K=V", NULL-terminated */
    const char
        *idempotency_key; /* handed to the command; NULL = derived from row and fingerprint */
    const char *cwd;
    hardy_guard *guard;  /* NULL = one attempt, no limits */
    int64_t timeout;     /* of one attempt; HARDY_NEVER */
    int64_t deadline;    /* absolute; HARDY_NEVER */
    int64_t ttl;         /* how long the finished record is kept; HARDY_NEVER */
    uint64_t max_output; /* of standard output, in the record */
    enum in_doubt_policy in_doubt;
    const char *const *probe; /* argv, NULL = none; gets the same environment */
    bool attach;              /* wait for one that runs elsewhere; false: E_RUNNING */
    bool rerun_failed;        /* a recorded clean failure may run again; false: it is the result */
    bool pass_output;         /* copy standard output to ours while it runs */
    bool inherit_stdin;
    bool (*retryable)(void *ctx, int code); /* clean failures worth a retry; NULL = none */
    void *retryable_ctx;
    /* Further row operations for the batch that records the start: "finish n, start n+1" is one
     * commit. */
    const struct store_op *with_start;
    size_t with_start_count;
};
/* Set for the command besides `env`: HARDY_IDEMPOTENCY_KEY, HARDY_ATTEMPT, HARDY_DEADLINE (RFC
 * 3339), HARDY_FENCE. Run id and step come through `env`. */

enum command_event {                    /* told as it happens, for progress and audit */
                     COMMAND_STARTED,   /* recorded and started, `attempt` */
                     COMMAND_ATTACHED,  /* found running, waits for it */
                     COMMAND_COLLECTED, /* found ended, its result recorded now */
                     COMMAND_PROBED,    /* the probe answered */
                     COMMAND_RETRY,     /* waits before the next attempt */
                     COMMAND_REPLAYED
};
struct command_result {
    hardy_status status; /* OK; E_FAILED, E_EXHAUSTED, E_OPEN, E_DEADLINE, E_CANCELLED ... ;
                            E_IN_DOUBT; E_RUNNING; E_MISMATCH; E_IO */
    bool replayed;
    const struct record *record; /* borrowed for the call; NULL when nothing was recorded */
    int64_t retry_after;         /* -1 = not known */
    const hardy_error *error;
};
struct command;
struct command_events {
    void (*event)(void *ctx, enum command_event what, const struct record *record,
                  const char *detail); /* may be NULL */
    void (*ended)(
        void *ctx,
        const struct command_result *result); /* the last callback; the command is freed after it */
};
/* `state` = path of the state database: step files live in `state-steps/`. */
hardy_status command_start(struct loop *loop, struct store *store, const char *state,
                           const struct command_spec *spec, const struct command_events *events,
                           void *ctx, struct command **out, hardy_error *error);
/* Ends the running attempt (TERM, then KILL); `ended` comes with E_CANCELLED or its result. */
void command_cancel(struct command *c);
/* Lets go without touching what runs: it is attached to later. No callback comes. */
void command_leave(struct command *c);
#endif
