/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_SERVICE_H
#define SIM_SERVICE_H
/*
 * The server of a scenario: what becomes of a call that arrives. Its capacity changes from phase to
 * phase, also for those who stand in the queue already.
 */
#include "sim/scenario.h"
#include "sim/world.h"
#include <hardy/outcome.h>

struct visit { /* a call at the server; the caller's, until it has been answered or left */
    struct event answer; /* fn: the caller's; comes with `outcome` filled in */
    int64_t answer_at;   /* HARDY_NEVER = not known yet: it stands in the queue */
    hardy_outcome outcome;
    int64_t delay;      /* more than others take */
    struct visit *next; /* in the queue */
    bool queued, left;
};
struct service {
    struct world *world;
    const struct scenario *scenario;
    const struct scenario_phase **active; /* phases of this moment, in the file's order */
    size_t active_count;
    struct event phase; /* the next change of them */
    struct event turn;  /* of the first in the queue */
    int64_t pause;      /* between two turns; HARDY_NEVER: there is no turn now */
    int64_t last_turn;
    struct visit *first, **last;
    uint64_t waiting;     /* those in the queue that cost a turn */
    struct series *turns; /* the caller's: one for each turn, also of who has left */
    uint64_t for_nobody;  /* turns of those, and of who left while it was served */
    /* A visit whose caller has left is given back here when its turn has passed. */
    void (*gone)(void *ctx, struct visit *visit);
    void *ctx;
};
/* E_NOMEM. `world` and `scenario` borrowed until service_close(). */
hardy_status service_open(struct service *s, struct world *world, const struct scenario *scenario,
                          hardy_error *error);
void service_close(struct service *s);
/* A call arrives now. */
void service_enter(struct service *s, struct visit *visit);
/* Its caller does not wait any longer. True: the visit is the caller's again; false: it stays in
 * the queue, and will be `gone`. */
bool service_leave(struct service *s, struct visit *visit);
/* Calls a second that are served in this moment of the scenario. */
double scenario_capacity_at(const struct scenario *s, int64_t at);
#endif
