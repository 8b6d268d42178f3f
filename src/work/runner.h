/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RUNNER_H
#define WORK_RUNNER_H
/*
 * Runs a workflow on the loop: takes up the unfinished run of this file and input, or makes a new
 * one; runs, attaches to, collects and waits for its steps, several at once where the file says so;
 * undoes what was done when the run fails or is cancelled; can be killed anywhere. One process
 * drives a run at a time; another one that asks for the same waits for it and gets its result, and
 * takes over when the one before is dead or does not go on (durable/lease.h).
 *
 * A run of n steps, one after another, costs n + 1 commits: the run is written with the start of
 * its first step, each success with the start of the next step, the last one with the end of the
 * run. What must wait before it can start (a rate limit, an open breaker), or what nothing follows
 * at once, lets what is known be written first.
 */
#include "work/command.h"
#include "work/workflow.h"

#define RUNNER_DRIVEN_MAX 256 /* steps that are at work at one time */

struct runner_guard { /* borrowed until ended */
    hardy_guard *guard;
    bool (*passing)(void *ctx, int code); /* see command_spec */
    void *ctx;
};
struct runner_options { /* borrowed until ended */
    struct loop *loop;
    struct store *store;
    const char *state;
    const struct workflow *workflow;
    const char *id;    /* NULL = the unfinished run of this file and input, or a new one */
    bool fresh;        /* a new run whatever there is */
    bool retry_failed; /* a failed run begins again at the steps that failed */
    const char *input; /* JSON object */
    const char *const *env;
    int64_t lease;     /* of the run, renewed when a third of it is over; 0 = 30 s */
    const char *owner; /* for people, in the lease: "pid 4711 (run)" */
    /* The guard that a step names, and its own retry policy over it. */
    hardy_status (*guard)(void *ctx, const struct workflow_step *step, struct runner_guard *out,
                          hardy_error *error);
    void *guard_ctx;
};

enum runner_note {                 /* told as it happens, for progress and audit */
                   NOTE_STARTED,   /* recorded and started */
                   NOTE_ATTACHED,  /* found running, waits for it */
                   NOTE_COLLECTED, /* found ended, its result recorded now */
                   NOTE_PROBED,    /* the probe answered: the detail says what */
                   NOTE_RETRY,     /* waits before the next attempt: why and how long */
                   NOTE_SKIPPED,   /* its condition does not hold */
                   NOTE_ITEMS,     /* a for_each is entered: how many */
                   NOTE_SLEEPING,  /* until when */
                   NOTE_LOOKING,   /* until: began to look */
                   NOTE_ASKING,    /* approval is waited for: the message */
                   NOTE_UNDOING,   /* its compensation starts */
                   NOTE_CANCELLING /* of the whole run; `step` is the root */
};
struct runner;
struct runner_events { /* `step_ended` and `ended` may not be NULL */
    /* The run's id is known. `failed`: for a new run, the id of the last one of this file and
     * input, if that failed; else NULL. */
    void (*begun)(void *ctx, const struct run *run, bool resumed, const char *failed);
    void (*waiting)(void *ctx, const struct run *run); /* another process drives it */
    void (*note)(void *ctx, const struct run *run, const struct run_step *step,
                 enum runner_note note, const char *detail);
    /* A step, or its compensation, has come to an end, or could not begin: `error` then says why.
     */
    void (*step_ended)(void *ctx, const struct run *run, const struct run_step *step, bool undo,
                       hardy_status status, const hardy_error *error);
    /* The last callback; the runner is freed after it. `run` NULL when none came to be. OK: the run
     * has come to what its state says (DONE, FAILED or CANCELLED with its verdict, IN_DOUBT), now
     * or before; other statuses: it could not go on, the run is as recorded. E_MISMATCH:
     * `difference` has what changed in the file, a line a step; else NULL. */
    void (*ended)(void *ctx, const struct run *run, hardy_status status, const hardy_error *error,
                  const char *difference);
};
/* A run of this workflow as its file says it now, nothing of it begun: ids, input, steps and their
 * keys. run_free(). */
hardy_status run_define(const struct workflow *w, const char *id, const char *input,
                        struct run *out, hardy_error *error);
char *run_new_id(struct loop *loop, const struct workflow *w); /* malloc'd; NULL = no memory */

hardy_status runner_start(const struct runner_options *options, const struct runner_events *events,
                          void *ctx, struct runner **out, hardy_error *error);
/* Lets go: the steps that run go on and are attached to next time. `ended` follows with
 * E_CANCELLED. */
void runner_leave(struct runner *r);
#endif
