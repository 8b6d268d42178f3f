/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_COMMAND_H
#define WORK_COMMAND_H
/*
 * A durable command: run at most once to success under its key, guarded, under the step shim, on
 * the loop. Serves `exec --key`, workflow steps and remedies of incidents: there is no other way in
 * the program to run a command that has effects.
 *
 * Order: take the key's lock, held by the process that decides (a caller with a fence of its own
 * needs none); read the record again; decide; take
 * the step's lock, which goes to the shim; record the start (durable); start the shim; record the
 * result (durable); tell. A refusal by the guard before the first attempt leaves no record.
 *
 * What the end of a run means: exit code 0, done. Another code, a clean failure: effect NONE in the
 * guard's words, retried as the guard says. Killed, or stopped at a deadline: effect UNKNOWN, and
 * the policy decides: rerun lets the guard retry, probe asks at once, ask and fail end it.
 */
#include "durable/record.h"
#include "io/loop.h"
#include <hardy/guard.h>

struct secrets;

struct command_spec {           /* borrowed until `ended`, or until command_leave() */
    const char *row_kind, *key; /* the record's row */
    const char *name;
    const char *scope;  /* goes into the fingerprint: "exec", the run's id, the incident's id */
    const char *params; /* JSON that identifies what is done; NULL = from argv */
    const char *const *argv;
    const char *const *env;      /* the command's environment, "K=V", NULL-terminated */
    const char *idempotency_key; /* handed to the command; NULL = derived from the fingerprint */
    const char *cwd;
    hardy_guard *guard; /* NULL = one attempt, no limits */
    int64_t timeout;    /* of one attempt; HARDY_NEVER */
    int64_t deadline;   /* absolute; HARDY_NEVER */
    int64_t kill_after; /* between TERM and KILL; 0 = 5 s */
    int64_t ttl;        /* how long the finished record is kept; HARDY_NEVER */
    uint64_t
        max_output; /* of standard output, in the result; the record keeps COMMAND_KEPT of it */
    enum in_doubt_policy in_doubt;
    const char *const *probe; /* argv, NULL = none; gets the same environment */
    bool attach;              /* wait for one that runs elsewhere; false: E_RUNNING */
    bool rerun_failed;        /* a recorded clean failure may run again; false: it is the result */
    bool pass_output;         /* copy standard output to ours while it runs */
    bool inherit_stdin;
    /* With a guard: whether an exit code (128 + N, 124 for a time-out) is worth a retry and tells
     * about the far side; NULL = all but 126 and 127. */
    bool (*passing)(void *ctx, int code);
    void *passing_ctx;
    /* Further row operations for the batch that records the first start: "finish n, start n+1" is
     * one commit. May be changed until `recorded`. */
    const struct store_op *with_start;
    size_t with_start_count;
    /* A success is not written but handed out as `unwritten`, for a batch of the caller's. */
    bool hold_success;
    /* With it, whoever has this fence decides, and not the key's lock: the operation is in every
     * batch. NULL = the lock. */
    const struct store_op *require;
    bool settle_only; /* what is known to be not done is not begun: PENDING, and E_CANCELLED */
    bool undoes; /* the probe tells of what is being undone: done means that it is not undone */
    const char *inputs;            /* for the record's `inputs`; NULL = none */
    uint32_t order;                /* for the record's `order` */
    bool program;                  /* one of hardy's own (step_program.h), whose codes are known */
    const struct secrets *secrets; /* kept out of the record and of what is told; NULL = none */
};
#define COMMAND_KEPT ((size_t)4 << 20)
/* Set for the command and the probe besides `env`: HARDY_IDEMPOTENCY_KEY, HARDY_ATTEMPT,
 * HARDY_FENCE, and HARDY_DEADLINE (RFC 3339) when there is one. */

/* A success that is known and not recorded yet. Its run's files are its only witness until then. */
struct command_unwritten {
    struct store_op op; /* borrows from the following */
    char *row_kind, *key;
    struct buf value;
    char *base; /* of the files; NULL = there is nothing to write */
};

/* Removes what a kill between the record of a result and this may have left of its run. */
void command_forget(struct loop *loop, const char *state, const struct record *r);

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
    struct record *record; /* borrowed for the call, may be taken (leaving it as record_init()
                              does); NULL when nothing was recorded */
    int64_t retry_after;   /* -1 = not known */
    const hardy_error *error;
    struct command_unwritten *unwritten; /* with hold_success: see command_take() */
};
/* What has to be written, taken from a result; empty when there is nothing. */
struct command_unwritten command_take(const struct command_result *result);
/* After the batch was durable (`written`), or was not: then the files stay, and the result is
 * collected from them next time. Nothing when it is empty. */
void command_unwritten_done(struct loop *loop, struct command_unwritten *u, bool written);

struct command;
struct command_events {
    void (*event)(void *ctx, enum command_event what, const struct record *record,
                  const char *detail); /* may be NULL */
    /* The last callback; the command is freed after it. */
    void (*ended)(void *ctx, const struct command_result *result);
    /* A start is durable, and so is with_start; the command runs next. May be NULL. */
    void (*recorded)(void *ctx);
    /* It has to wait for a limit or a breaker before it can start. May be NULL. */
    void (*held_up)(void *ctx);
};
/* `state` = path of the state database: step files live in `state-steps/`. */
hardy_status command_start(struct loop *loop, struct store *store, const char *state,
                           const struct command_spec *spec, const struct command_events *events,
                           void *ctx, struct command **out, hardy_error *error);
/* Ends the running attempt (TERM, then KILL); `ended` comes with E_CANCELLED or its result. */
void command_cancel(struct command *c);
/* Lets go without touching what runs: it is attached to later. No callback comes; it is freed by
 * the loop some turns later. */
void command_leave(struct command *c);
#endif
