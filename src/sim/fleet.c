/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fleet.h"
#include "base/clock.h"
#include "base/error.h"
#include "guard/guard.h"
#include "sim/service.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK 128 /* operations that get their memory together */

struct fleet;
struct call { /* an attempt */
    struct visit visit;
    struct operation *operation; /* NULL: nobody waits for it any more */
    struct call *next;           /* of its operation; or free */
    uint32_t attempt;
};
struct client { /* of a closed loop, while it thinks; most of them do most of the time */
    struct event begins;
};
struct operation { /* room for one; what was left last is taken first, for it is in the cache */
    hardy_op op;
    struct event timer; /* what the operation waits for */
    struct fleet *fleet;
    struct client *client; /* NULL: of an open loop */
    struct call *calls;
    struct operation *next_ready, *next_free;
    int64_t began;
    bool begun, ready;
};
struct chunk {
    struct chunk *next;
    struct operation operations[CHUNK];
};
struct fleet {
    struct world world; /* first */
    struct service service;
    const struct fleet_options *options;
    const struct scenario *scenario;
    struct fleet_result *result;
    hardy_guard *guard;
    struct event arrival; /* open: the next operation */
    hardy_op_options op_options;
    struct client *clients; /* of a closed loop */
    struct chunk *chunks;
    struct operation *free, *ready, **last_ready;
    struct call *free_calls;
    struct call_chunk {
        struct call_chunk *next;
        struct call calls[CHUNK];
    } * call_chunks;
    uint32_t at_once, running;
    bool too_many, changed;
};

static struct operation *operation_of(struct event *e) {
    return (struct operation *)(void *)((char *)e - offsetof(struct operation, timer));
}

static struct call *call_of(struct visit *v) {
    return (struct call *)(void *)((char *)v - offsetof(struct call, visit));
}

/* --- counting ------------------------------------------------------------------------------- */

static void look(struct fleet *f, enum fleet_moment_kind kind, const struct operation *o,
                 const hardy_step *step) {
    if (f->options->look) {
        struct fleet_moment moment = {.kind = kind,
                                      .now = f->world.now,
                                      .began = o->began,
                                      .attempt = step->attempt,
                                      .running = f->running,
                                      .deadline = step->deadline,
                                      .status = step->status};
        f->options->look(f->options->ctx, &moment);
    }
}

static void count(struct fleet *f, struct series *s) {
    f->world.no_memory |= !series_count(s, f->world.now);
}

static void count_end(struct fleet *f, const struct operation *o, const hardy_step *step) {
    struct fleet_result *r = f->result;
    struct fleet_figures *figures = &r->parts[o->began < r->trouble_from    ? FLEET_BEFORE
                                              : o->began < r->trouble_until ? FLEET_DURING
                                                                            : FLEET_AFTER];
    int64_t took = f->world.now - o->began;
    figures->operations++;
    figures->calls += step->attempt;
    figures->longest = took > figures->longest ? took : figures->longest;
    if (step->status == HARDY_OK) {
        figures->good++;
        count(f, &r->good);
        return;
    }
    count(f, &r->bad);
    r->reasons[step->reason]++;
    bool refused = step->status == HARDY_E_OPEN || step->status == HARDY_E_LIMITED ||
                   step->status == HARDY_E_FULL;
    figures->refused += refused;
    figures->failed += !refused;
}

/* Called by the guard with each change of its breaker; what it was is in the guard's ring. */
static void on_log(void *ctx, hardy_log_level level, const char *line) {
    struct fleet *f = ctx;
    (void)level;
    (void)line;
    f->changed = true;
}

static void take_changes(struct fleet *f) {
    struct fleet_result *r = f->result;
    hardy_event event;
    f->changed = false;
    while (hardy_guard_take_events(f->guard, &event, 1) == 1) {
        if (event.kind != HARDY_EVENT_STATE) {
            continue;
        }
        r->changes_in_all++;
        if (r->change_count < FLEET_CHANGES_MAX) {
            r->changes[r->change_count++] =
                (struct fleet_change){.at = event.at, .from = event.from, .to = event.to};
        }
    }
}

/* --- attempts ------------------------------------------------------------------------------- */

static void on_answer(struct world *w, struct event *e);
static void settle(struct fleet *f);

static struct call *new_call(struct fleet *f) {
    if (!f->free_calls) {
        struct call_chunk *chunk = calloc(1, sizeof *chunk);
        if (!chunk) {
            f->world.no_memory = true;
            return NULL;
        }
        chunk->next = f->call_chunks;
        f->call_chunks = chunk;
        for (size_t i = 0; i < CHUNK; i++) {
            chunk->calls[i].next = f->free_calls;
            f->free_calls = &chunk->calls[i];
        }
    }
    struct call *call = f->free_calls;
    f->free_calls = call->next;
    return call;
}

static void free_call(struct fleet *f, struct call *call) {
    call->next = f->free_calls;
    f->free_calls = call;
}

static void on_gone(void *ctx, struct visit *visit) {
    free_call(ctx, call_of(visit));
}

static void begin_call(struct operation *o, const hardy_step *step) {
    struct fleet *f = o->fleet;
    struct call *call = new_call(f);
    if (!call) {
        return;
    }
    *call = (struct call){.operation = o, .next = o->calls, .attempt = step->attempt};
    call->visit.answer.fn = on_answer;
    o->calls = call;
    f->running++;
    count(f, &f->result->sent);
    look(f, FLEET_CALL, o, step);
    service_enter(&f->service, &call->visit);
}

/* The operation's own attempt of that number, which it no longer has. */
static struct call *unlink_call(struct operation *o, uint32_t attempt) {
    struct call **at = &o->calls;
    while (*at && (*at)->attempt != attempt) {
        at = &(*at)->next;
    }
    struct call *call = *at;
    if (call) {
        *at = call->next;
        o->fleet->running--;
    }
    return call;
}

static void report(struct operation *o, uint32_t attempt, hardy_outcome outcome) {
    struct fleet *f = o->fleet;
    bool failed = outcome.kind == HARDY_FAILURE || outcome.kind == HARDY_THROTTLED;
    if (failed && f->options->retries && !f->options->retries(f->options->ctx, outcome.code)) {
        outcome.permanent = true;
    }
    look(f, FLEET_REPORT, o, &(hardy_step){.attempt = attempt});
    hardy_op_report(&o->op, attempt, &outcome, f->world.now);
}

/* The connection is closed; whether the server goes on with it is the server's business. */
static void stop_call(struct operation *o, uint32_t attempt) {
    struct call *call = unlink_call(o, attempt);
    if (call) {
        call->operation = NULL;
        if (service_leave(&o->fleet->service, &call->visit)) {
            free_call(o->fleet, call);
        }
        report(o, attempt, hardy_outcome_of_timeout(true));
    }
}

/* --- operations ----------------------------------------------------------------------------- */

static void think(struct fleet *f, struct client *client) {
    world_set(&f->world, &client->begins,
              f->world.now + chance_exponential(&f->world.callers, f->scenario->clients.think));
}

static void end_operation(struct operation *o) {
    struct fleet *f = o->fleet;
    hardy_op_end(&o->op);
    world_clear(&f->world, &o->timer);
    o->begun = false;
    f->at_once--;
    o->next_free = f->free;
    f->free = o;
    if (o->client) {
        think(f, o->client);
    }
}

/* Sets the timer, if an answer that is on its way does not come before anyway. */
static void wait_until(struct operation *o, int64_t until) {
    struct world *w = &o->fleet->world;
    if (event_is_set(&o->timer) && o->timer.node.at == until) {
        return;
    }
    world_clear(w, &o->timer);
    for (const struct call *call = o->calls; call; call = call->next) {
        if (call->visit.answer_at <= until) {
            return;
        }
    }
    if (until < HARDY_NEVER) {
        world_set(w, &o->timer, until);
    }
}

static void go_on(struct operation *o) {
    struct fleet *f = o->fleet;
    while (o->begun && !f->world.no_memory) {
        hardy_step step = hardy_op_next(&o->op, f->world.now);
        switch (step.kind) {
        case HARDY_STEP_CALL:
            begin_call(o, &step);
            break;
        case HARDY_STEP_STOP:
            stop_call(o, step.attempt);
            break;
        case HARDY_STEP_WAIT:
            wait_until(o, step.until);
            return;
        case HARDY_STEP_RESULT:
            count_end(f, o, &step);
            look(f, FLEET_END, o, &step);
            break;
        case HARDY_STEP_DONE:
            end_operation(o);
            return;
        }
    }
}

/* With a lock of the guard's held: the operation gets its turn in settle(). */
static void on_wake(void *ctx) {
    struct operation *o = ctx;
    struct fleet *f = o->fleet;
    if (!o->ready) {
        o->ready = true;
        o->next_ready = NULL;
        *f->last_ready = o;
        f->last_ready = &o->next_ready;
    }
}

/* After each event: those that it woke, and what the breaker did. */
static void settle(struct fleet *f) {
    while (f->ready) {
        struct operation *o = f->ready;
        f->ready = o->next_ready;
        f->last_ready = f->ready ? f->last_ready : &f->ready;
        o->ready = false;
        go_on(o);
    }
    if (f->changed) {
        take_changes(f);
    }
}

static void on_timer(struct world *w, struct event *e) {
    struct operation *o = operation_of(e);
    (void)w;
    go_on(o);
    settle(o->fleet);
}

static struct operation *new_operation(struct fleet *f) {
    if (!f->free) {
        struct chunk *chunk = calloc(1, sizeof *chunk);
        if (!chunk) {
            f->world.no_memory = true;
            return NULL;
        }
        chunk->next = f->chunks;
        f->chunks = chunk;
        for (size_t i = CHUNK; i-- > 0;) {
            struct operation *o = &chunk->operations[i];
            o->fleet = f;
            o->timer.fn = on_timer;
            o->next_free = f->free;
            f->free = o;
        }
    }
    struct operation *o = f->free;
    f->free = o->next_free;
    return o;
}

static void begin(struct fleet *f, struct client *client) {
    struct operation *o = new_operation(f);
    if (!o) {
        return;
    }
    o->began = f->world.now;
    o->client = client;
    f->op_options.wake.ctx = o;
    if (hardy_op_begin(&o->op, sizeof o->op, f->guard, &f->op_options, f->world.now) != HARDY_OK) {
        return; /* the options are right, so it cannot be */
    }
    o->begun = true;
    f->too_many |= ++f->at_once > FLEET_AT_ONCE_MAX;
    look(f, FLEET_BEGIN, o, &(hardy_step){0});
    go_on(o);
    settle(f);
}

static void on_begins(struct world *w, struct event *e) {
    begin((struct fleet *)(void *)w, (struct client *)(void *)e);
}

static void on_answer(struct world *w, struct event *e) {
    struct call *call = call_of((struct visit *)(void *)e);
    struct operation *o = call->operation;
    struct fleet *f = o->fleet;
    uint32_t attempt = call->attempt;
    hardy_outcome outcome = call->visit.outcome;
    (void)w;
    (void)unlink_call(o, attempt);
    free_call(f, call);
    report(o, attempt, outcome);
    go_on(o);
    settle(f);
}

/* All clients' arrivals are one Poisson process. */
static void on_arrival(struct world *w, struct event *e) {
    struct fleet *f = (struct fleet *)(void *)((char *)e - offsetof(struct fleet, arrival));
    const struct scenario_clients *c = &f->scenario->clients;
    begin(f, NULL);
    int64_t mean = (int64_t)((double)c->rate.period / c->rate.events / c->count);
    world_set(w, e, w->now + chance_exponential(&w->arrivals, mean));
}

static void begin_clients(struct fleet *f) {
    const struct scenario_clients *c = &f->scenario->clients;
    if (c->given_rate) {
        f->arrival.fn = on_arrival;
        world_set(&f->world, &f->arrival, 0);
        return;
    }
    f->clients = calloc(c->count, sizeof *f->clients);
    f->world.no_memory = !f->clients;
    for (uint32_t i = 0; i < c->count && !f->world.no_memory; i++) {
        f->clients[i].begins.fn = on_begins;
        think(f, &f->clients[i]);
    }
}

/* --- the whole ------------------------------------------------------------------------------ */

static int64_t env_now(void *ctx) {
    return ((struct fleet *)ctx)->world.now;
}

static uint64_t env_random(void *ctx) {
    return prng_next(&((struct fleet *)ctx)->world.callers);
}

static hardy_status open_fleet(struct fleet *f, hardy_error *error) {
    world_init(&f->world, f->options->seed);
    if (f->options->events_max > 0) {
        f->world.most = f->options->events_max;
    }
    hardy_env env;
    hardy_env_system(&env, sizeof env);
    env.ctx = f;
    env.now = env_now;
    env.random = env_random;
    env.log = on_log;
    f->last_ready = &f->ready;
    hardy_op_options_init(&f->op_options, sizeof f->op_options);
    f->op_options.wake.fn = on_wake;
    f->op_options.repeatable = f->options->repeatable;
    hardy_status status = hardy_guard_new(f->options->guard, &env, &f->guard, error);
    return status == HARDY_OK ? service_open(&f->service, &f->world, f->scenario, error) : status;
}

static void close_fleet(struct fleet *f) {
    world_free(&f->world);
    service_close(&f->service);
    for (struct chunk *chunk = f->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        for (size_t i = 0; i < CHUNK; i++) {
            if (chunk->operations[i].begun) {
                hardy_op_end(&chunk->operations[i].op);
            }
        }
    }
    for (struct chunk *chunk = f->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    for (struct call_chunk *chunk = f->call_chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(f->clients);
    hardy_guard_free(f->guard);
}

static hardy_status run_fleet(struct fleet *f, hardy_error *error) {
    begin_clients(f);
    /* In pieces, so that what grows without an end is noticed. */
    hardy_status status = HARDY_OK;
    for (int64_t at = 0; at < f->scenario->duration && status == HARDY_OK;) {
        at = time_add(at, HARDY_SECOND) < f->scenario->duration ? at + HARDY_SECOND
                                                                : f->scenario->duration;
        status = world_advance(&f->world, at, error);
        if (status == HARDY_OK && f->too_many) {
            status = fail(error, HARDY_E_TOO_LARGE, NULL,
                          "more than %d operations at once after %lld s of its time; fewer "
                          "clients, a lower rate or a shorter deadline of the guard make it end",
                          FLEET_AT_ONCE_MAX, (long long)(f->world.now / HARDY_SECOND));
        }
    }
    return status;
}

hardy_status fleet_run(const struct fleet_options *options, struct fleet_result *out,
                       hardy_error *error) {
    struct fleet f = {.options = options, .scenario = options->scenario, .result = out};
    memset(out, 0, sizeof *out);
    out->duration = f.scenario->duration;
    out->breaker = options->guard->breaker != NULL;
    out->trouble_from = scenario_trouble_from(f.scenario);
    out->trouble_until = scenario_trouble_until(f.scenario);
    series_init(&out->sent, out->trouble_until);
    series_init(&out->turns, out->trouble_until);
    series_init(&out->good, out->trouble_until);
    series_init(&out->bad, out->trouble_until);
    hardy_status status = open_fleet(&f, error);
    f.service.gone = on_gone;
    f.service.ctx = &f;
    f.service.turns = &out->turns;
    if (status == HARDY_OK) {
        status = run_fleet(&f, error);
        out->stats.size = sizeof out->stats;
        hardy_guard_get_stats(f.guard, &out->stats);
        out->for_nobody = f.service.for_nobody;
        out->unfinished = f.at_once;
        out->events = f.world.handled;
    }
    close_fleet(&f);
    return status;
}

void fleet_result_free(struct fleet_result *r) {
    series_free(&r->sent);
    series_free(&r->turns);
    series_free(&r->good);
    series_free(&r->bad);
}
