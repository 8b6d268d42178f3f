/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/service.h"
#include "base/clock.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_AFTER                                                                                \
    (5 * HARDY_SECOND)  /* of a 429 that is not told another; as hardy chaos has it */
#define HANG HARDY_HOUR /* likewise */

/* --- phases --------------------------------------------------------------------------------- */

static bool is_active(const struct scenario_phase *p, int64_t at) {
    return at >= p->from && at - p->from < p->span;
}

/* Shares of capacity do not multiply: the smallest holds. */
double scenario_capacity_at(const struct scenario *s, int64_t at) {
    const struct scenario_phase *phases = s->phases.items;
    double share = 1;
    for (size_t i = 0; i < s->phases.count; i++) {
        if (is_active(&phases[i], at) && phases[i].capacity < share) {
            share = phases[i].capacity;
        }
    }
    return scenario_per_second(s->server.capacity) * share;
}

static void set_turn(struct service *s) {
    world_clear(s->world, &s->turn);
    if (s->first && s->pause < HARDY_NEVER) {
        world_set(s->world, &s->turn, time_add(s->last_turn, s->pause));
    }
}

static void on_phase(struct world *w, struct event *e) {
    struct service *s = (struct service *)(void *)((char *)e - offsetof(struct service, phase));
    const struct scenario_phase *phases = s->scenario->phases.items;
    int64_t next = HARDY_NEVER;
    s->active_count = 0;
    for (size_t i = 0; i < s->scenario->phases.count; i++) {
        const struct scenario_phase *p = &phases[i];
        int64_t end = time_add(p->from, p->span);
        if (is_active(p, w->now)) {
            s->active[s->active_count++] = p;
            next = end < next ? end : next;
        } else if (p->from > w->now && p->from < next) {
            next = p->from;
        }
    }
    double capacity = scenario_capacity_at(s->scenario, w->now);
    s->pause = capacity > 0 ? time_scale(HARDY_SECOND, 1 / capacity) : HARDY_NEVER;
    set_turn(s);
    if (next < HARDY_NEVER) {
        world_set(w, e, next);
    }
}

/* --- answers -------------------------------------------------------------------------------- */

static void answer(struct service *s, struct visit *v, hardy_outcome outcome, int64_t after) {
    v->outcome = outcome;
    v->answer_at =
        time_add(time_add(s->world->now, after), world_delay(s->world) + world_delay(s->world));
    world_set(s->world, &v->answer, v->answer_at);
}

static void take_turn(struct service *s) {
    s->last_turn = s->world->now;
    s->world->no_memory |= !series_count(s->turns, s->world->now);
}

static void serve(struct service *s, struct visit *v) {
    take_turn(s);
    answer(s, v, hardy_outcome_of_http(200, 0),
           time_add(s->scenario->server.service_time, v->delay));
}

/* True: the call has been dealt with. */
static bool fails(struct service *s, struct visit *v, const struct scenario_phase *p) {
    int64_t after = p->given_retry_after ? p->retry_after : 0;
    switch ((enum scenario_fail)p->fail) {
    case SCENARIO_NOTHING:
        return false;
    case SCENARIO_DOWN:
        answer(s, v, hardy_outcome_of_errno(ECONNREFUSED, false), 0);
        return true;
    case SCENARIO_RESET:
        answer(s, v, hardy_outcome_of_errno(ECONNRESET, true), 0);
        return true;
    case SCENARIO_HANG:
        answer(s, v, hardy_outcome_of_errno(ECONNRESET, true), p->given_delay ? p->delay : HANG);
        return true;
    case SCENARIO_STATUS:
        answer(s, v, hardy_outcome_of_http((int)p->status, after), 0);
        return true;
    case SCENARIO_OVERLOADED:
        answer(s, v, hardy_outcome_of_http(529, after), 0);
        return true;
    case SCENARIO_RATE_LIMIT:
        answer(s, v, hardy_outcome_of_http(429, p->given_retry_after ? after : RETRY_AFTER), 0);
        return true;
    case SCENARIO_SLOW_FIRST:
        v->delay = p->delay;
        return false;
    }
    return false;
}

static bool meets_phase(struct service *s, struct visit *v) {
    for (size_t i = 0; i < s->active_count; i++) {
        const struct scenario_phase *p = s->active[i];
        if (p->fail != SCENARIO_NOTHING &&
            (p->share >= 1 || prng_unit(&s->world->network) < p->share)) {
            return fails(s, v, p);
        }
    }
    return false;
}

/* --- the queue ------------------------------------------------------------------------------ */

static void on_turn(struct world *w, struct event *e) {
    struct service *s = (struct service *)(void *)((char *)e - offsetof(struct service, turn));
    bool taken = false;
    (void)w;
    while (s->first && !taken) {
        struct visit *v = s->first;
        s->first = v->next;
        s->last = s->first ? s->last : &s->first;
        v->queued = false;
        bool costs = !v->left || s->scenario->server.abandoned == SCENARIO_EXECUTED;
        s->waiting -= costs;
        taken = costs;
        if (!v->left) {
            serve(s, v);
            continue;
        }
        if (costs) {
            take_turn(s);
            s->for_nobody++;
        }
        s->gone(s->ctx, v);
    }
    set_turn(s);
}

void service_enter(struct service *s, struct visit *v) {
    const struct scenario_server *server = &s->scenario->server;
    v->answer_at = HARDY_NEVER;
    v->delay = 0;
    v->next = NULL;
    v->queued = v->left = false;
    if (meets_phase(s, v)) {
        return;
    }
    int64_t now = s->world->now, turn = time_add(s->last_turn, s->pause);
    if (!s->first && turn <= now) {
        serve(s, v);
        return;
    }
    int64_t wait = turn == HARDY_NEVER ? HARDY_NEVER
                                       : time_add(turn > now ? turn - now : 0,
                                                  time_scale(s->pause, (double)s->waiting));
    if (wait > server->queue) {
        int status = server->when_full == SCENARIO_FULL_RATE_LIMIT ? 429 : 529;
        answer(s, v, hardy_outcome_of_http(status, server->retry_after), 0);
        return;
    }
    v->queued = true;
    *s->last = v;
    s->last = &v->next;
    s->waiting++;
    if (!event_is_set(&s->turn)) {
        set_turn(s);
    }
}

bool service_leave(struct service *s, struct visit *v) {
    if (!v->queued) {
        s->for_nobody += v->outcome.kind == HARDY_SUCCESS;
        world_clear(s->world, &v->answer);
        return true;
    }
    v->left = true;
    s->waiting -= s->scenario->server.abandoned == SCENARIO_DROPPED;
    return false;
}

/* --- opening -------------------------------------------------------------------------------- */

hardy_status service_open(struct service *s, struct world *world, const struct scenario *scenario,
                          hardy_error *error) {
    *s = (struct service){.world = world, .scenario = scenario, .last_turn = -HARDY_DAY};
    s->last = &s->first;
    s->phase.fn = on_phase;
    s->turn.fn = on_turn;
    s->active = calloc(scenario->phases.count + 1, sizeof(void *));
    if (!s->active) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for phases");
    }
    on_phase(world, &s->phase);
    return HARDY_OK;
}

void service_close(struct service *s) {
    free(s->active);
    s->active = NULL;
}
