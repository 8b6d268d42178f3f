/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RUNNER_H
#define WORK_RUNNER_H
/*
 * Runs a workflow on the loop: takes up the unfinished run of this file and input, or makes a new
 * one; runs, attaches to or collects one step after another; can be killed anywhere. One process
 * drives a run at a time; another one that asks for the same waits for it and gets its result.
 *
 * A run of n steps costs n + 1 commits: the run is written with the start of its first step, each
 * success with the start of the next step, the last one with the end of the run. What must wait
 * before it can start (a rate limit, an open breaker) lets what is known be written first.
 */
#include "work/command.h"
#include "work/workflow.h"

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
    bool retry_failed; /* a failed run begins again at the step that failed */
    const char *input; /* JSON object */
    const char *const *env;
    /* The guard of that name. */
    hardy_status (*guard)(void *ctx, const char *name, struct runner_guard *out,
                          hardy_error *error);
    void *guard_ctx;
};
struct runner;
struct runner_events { /* `step_ended` and `ended` may not be NULL */
    /* The run's id is known. `failed`: for a new run, the id of the last one of this file and
     * input, if that failed; else NULL. */
    void (*begun)(void *ctx, const struct run *run, bool resumed, const char *failed);
    void (*waiting)(void *ctx, const struct run *run); /* another process drives it */
    void (*step)(void *ctx, const struct run *run, size_t step, enum command_event what,
                 const char *detail);
    void (*step_ended)(void *ctx, const struct run *run, size_t step,
                       const struct command_result *result);
    /* The last callback; the runner is freed after it. `run` NULL when none came to be. OK: the run
     * has come to what its state says (DONE, FAILED with its verdict, IN_DOUBT), now or before;
     * other statuses: it could not go on, the run is as recorded. */
    void (*ended)(void *ctx, const struct run *run, hardy_status status, const hardy_error *error);
};
hardy_status runner_start(const struct runner_options *options, const struct runner_events *events,
                          void *ctx, struct runner **out, hardy_error *error);
/* Lets go: the step that runs goes on and is attached to next time. `ended` follows with
 * E_CANCELLED. */
void runner_leave(struct runner *r);
#endif
