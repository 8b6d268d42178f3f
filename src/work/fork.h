/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_FORK_H
#define WORK_FORK_H
/* A new run that takes over what another one has finished: when its file has changed, or to go a
 * way again from some step on. */
#include "io/loop.h"
#include "work/workflow.h"

struct fork_name { /* a step that was called otherwise in the run before */
    const char *was, *is;
};
struct fork_options {         /* borrowed for the call */
    const struct run *before; /* with its records */
    const struct workflow *workflow;
    const char *id;   /* of the new run */
    const char *from; /* the first step that is done anew; all before it must be finished */
    const struct fork_name *names;
    size_t name_count;
    int64_t deadline; /* waits for the store until then */
};
/* Records the new run, which nobody drives yet. E_NOT_FOUND: no such step; E_CLOSED: one before it
 * is not finished; E_EXISTS: there is a run of that id. */
hardy_status run_fork(struct loop *loop, struct store *store, const struct fork_options *options,
                      hardy_error *error);
#endif
