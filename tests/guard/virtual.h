/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GUARD_VIRTUAL_H
#define TESTS_GUARD_VIRTUAL_H
/*
 * Drives operations in virtual time: a far side that answers by plan, one clock, and for each
 * operation a trace of its steps, in milliseconds:
 *
 *     0 call 1 | 0 wait running 100 | 30 wait backoff 80 | 80 call 2 | 90 result OK | 90 done
 *
 * A WAIT that repeats the one before is not written again.
 */
#include <hardy/op.h>
#include <stdbool.h>

#define MS HARDY_MILLISECOND
#define CLIENTS 256
#define PLANS 8

struct plan { /* how one attempt goes */
    int64_t takes;
    hardy_outcome outcome;
};
#define SUCCEEDS                                                                                   \
    { .kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE }
#define FAILS                                                                                      \
    { .kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE, .code = 7 }
#define HANGS HARDY_HOUR

struct client {
    struct world *world;
    hardy_op op;
    hardy_op_options options;
    hardy_guard *guard;
    int64_t begins, cancels;  /* HARDY_NEVER: not */
    struct plan plans[PLANS]; /* the last one given serves all further attempts */
    size_t plan_count;
    int64_t stop_takes;    /* from STOP to the report; HARDY_NEVER: as if not stopped */
    hardy_outcome stopped; /* what is reported then */

    bool begun, woken, done, has_result;
    bool running;
    uint32_t attempt;
    int64_t ends, timer;
    hardy_outcome ends_with;
    hardy_step result, last;
    int64_t result_at, done_at;
    uint32_t calls;
    char trace[2048];
};
struct world {
    int64_t now;
    struct client *clients[CLIENTS];
    size_t count;
    uint32_t running, most_running;
    void (*on_call)(void *ctx, struct client *c);
    void *ctx;
};

/* An env whose clock is the world's and whose chance is fixed. */
hardy_env world_env(struct world *w);
/* A client of `guard` that begins at `begins`; succeeds at once unless given plans. */
void client_init(struct client *c, struct world *w, hardy_guard *guard, int64_t begins);
void client_plan(struct client *c, int64_t takes, hardy_outcome outcome);
/* Runs everything that happens up to `until`, and leaves the clock there. */
void world_run(struct world *w, int64_t until);
/* One client through an operation that does as `takes` and `outcome` say, beginning now; the clock
 * then stands where it ended. */
hardy_step world_call(struct world *w, hardy_guard *guard, int64_t takes, hardy_outcome outcome);
#endif
