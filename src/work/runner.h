/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RUNNER_H
#define WORK_RUNNER_H
/*
 * Runs a workflow on the loop: takes up the unfinished run of this file and input, or makes a new
 * one; runs, attaches to or collects one step after another; can be killed anywhere. One process
 * drives a run at a time; another one that asks for the same waits for it and gets its result.
 */
#include "work/command.h"
#include "work/workflow.h"

struct runner_options { /* borrowed until ended */
    struct loop *loop;
    struct store *store;
    const char *state;
    const struct workflow *workflow;
    const char *id;    /* NULL = the unfinished run of this file and input, or a new one */
    bool fresh;        /* a new run whatever there is */
    bool retry_failed; /* a failed run begins again at the step that failed */
    const char *input; /* JSON object */
    const char *const *env;
    /* The guard of that name, borrowed until ended; NULL and `error`. */
    hardy_guard *(*guard)(void *ctx, const char *name, hardy_error *error);
    void *guard_ctx;
};
struct runner;
struct runner_events {
    void (*begun)(void *ctx, const struct run *run, bool resumed); /* the run's id is known */
    void (*waiting)(void *ctx, const struct run *run);             /* another process drives it */
    void (*step)(void *ctx, const struct run *run, size_t step, enum command_event what,
                 const char *detail);
    void (*step_ended)(void *ctx, const struct run *run, size_t step,
                       const struct command_result *result);
    /* The last callback; the runner is freed after it. `run` NULL when none came to be. OK with
     * run->state DONE or FAILED or IN_DOUBT; other statuses: it could not go on, the run is as
     * recorded. */
    void (*ended)(void *ctx, const struct run *run, hardy_status status, const hardy_error *error);
};
hardy_status runner_start(const struct runner_options *options, const struct runner_events *events,
                          void *ctx, struct runner **out, hardy_error *error);
/* Lets go: the step that runs goes on and is attached to next time. `ended` follows with
 * E_CANCELLED. */
void runner_leave(struct runner *r);
#endif
