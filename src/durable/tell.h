/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_TELL_H
#define DURABLE_TELL_H
/* What a person tells a run, looked at before it is sent (signal.h): from the command line, or
 * through the API. Waits for the store: not for a loop that serves others. */
#include "durable/run.h"
#include "durable/signal.h"

struct telling {         /* borrowed for the call */
    const char *who;     /* Unix user, or what the API's caller says */
    const char *comment; /* NULL = none */
    struct moment now;   /* the host's boot and clocks */
    int64_t deadline;    /* the store is waited for until then */
};
/* A step of the run is approved, or `refuse`d. E_NOT_FOUND: no such run or step; E_CLOSED: it does
 * not wait for approval (any more); E_EXISTS: somebody has answered before. */
hardy_status tell_approval(struct store *store, const char *run_id, const char *path, bool refuse,
                           const struct telling *how, hardy_error *error);
/* The run is to be ended; said twice it is said once. `state`: what it was in. E_NOT_FOUND;
 * E_CLOSED: it is over. */
hardy_status tell_cancel(struct store *store, const char *run_id, const struct telling *how,
                         enum run_state *state, hardy_error *error);
#endif
