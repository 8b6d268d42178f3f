/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models S, O and M are the same callers with other figures. An operation goes round: it begins a
 * call (perhaps paced, perhaps refused by the client's own breaker or throttle), the call arrives
 * at the server, the client hears of it or has had enough, and then it is done, or waits and begins
 * again. That is one event at a time, for a server that is first come first served knows on arrival
 * when it will be done.
 */
#include "sim/callers.h"
#include "base/clock.h"
#include "base/error.h"
#include "sim/control.h"
#include <stdlib.h>

#define HERD_BEGINS (100 * HARDY_MILLISECOND)
#define OPERATIONS_AT_ONCE 4000000
/* What a deadline that travels with a call keeps back for the answer's way, from the call's arrival
 * on. Without it what is not refused is done just too late, all of it, and nothing recovers. */
#define ANSWERS_WAY (40 * HARDY_MILLISECOND)
#define CHUNK 1024
/* Of a caller who is refused by its own throttle, and would come again at once, for ever. */
#define THROTTLED_TAKES HARDY_MILLISECOND

struct operation {
    struct event event;
    uint32_t client, retries;
    int64_t previous; /* the wait before */
    int64_t left;     /* when the call did */
    bool success;     /* of what will be heard */
    hardy_permit permit;
    struct operation *next; /* free, or parked */
};
struct chunk {
    struct chunk *next;
    struct operation operations[CHUNK];
};
struct figures { /* of a model */
    double rate; /* operations a second of a client; 0: one operation, at the beginning */
    int64_t trouble_from, end;
    double trouble_share;
    int64_t queue_limit, timeout;
};
static const struct figures figures[SIM_MODELS] = {
    [SIM_S] = {.end = HARDY_NEVER, .queue_limit = HARDY_SECOND, .timeout = HARDY_NEVER},
    [SIM_O] = {.rate = 0.1,
               .trouble_from = 60 * HARDY_SECOND,
               .end = 120 * HARDY_SECOND,
               .queue_limit = HARDY_SECOND,
               .timeout = HARDY_NEVER},
    [SIM_M] = {.rate = 0.7,
               .trouble_from = 60 * HARDY_SECOND,
               .end = 590 * HARDY_SECOND,
               .trouble_share = 0.1,
               .queue_limit = 30 * HARDY_SECOND,
               .timeout = HARDY_SECOND},
};

struct callers {
    struct world world; /* first: an event is told of its world */
    const struct sim_settings *settings;
    const struct figures *model;
    hardy_retry_config retry;
    struct server server;
    struct control control;
    struct event arrival; /* of the next operation */
    struct event wake;    /* of the first who is parked */
    struct operation *parked, **parked_last;
    struct operation *free;
    struct chunk *chunks;
    size_t taken; /* of operations that have memory */
    bool too_many;
    struct sim_result *result;
};

static struct callers *callers_of(struct world *w) {
    return (struct callers *)w;
}

/* --- operations ----------------------------------------------------------------------------- */

static struct operation *operation_new(struct callers *c) {
    if (!c->free) {
        struct chunk *chunk = c->taken < OPERATIONS_AT_ONCE ? malloc(sizeof *chunk) : NULL;
        if (!chunk) {
            c->too_many = c->taken >= OPERATIONS_AT_ONCE;
            c->world.no_memory = true;
            return NULL;
        }
        chunk->next = c->chunks;
        c->chunks = chunk;
        c->taken += CHUNK;
        for (size_t i = CHUNK; i-- > 0;) {
            chunk->operations[i].next = c->free;
            c->free = &chunk->operations[i];
        }
    }
    struct operation *op = c->free;
    c->free = op->next;
    *op = (struct operation){0};
    return op;
}

static void end(struct callers *c, struct operation *op) {
    op->next = c->free;
    c->free = op;
}

/* --- the way of a call ---------------------------------------------------------------------- */

static void begin(struct callers *c, struct operation *op);
static void try_again(struct callers *c, struct operation *op, int64_t least);

static void on_heard(struct world *w, struct event *e) {
    struct callers *c = callers_of(w);
    struct operation *op = (struct operation *)e;
    if (control_heard(&c->control, op->client, op->success, w->now, &w->callers, &op->permit) &&
        c->parked) {
        world_clear(w, &c->wake);
        world_set(w, &c->wake, w->now);
    }
    if (!op->success) {
        try_again(c, op, 0);
        return;
    }
    world_count(&c->world, &c->result->successes_over_time, c->world.now);
    c->result->done_after_s = (double)(w->now - c->server.trouble_until) / (double)HARDY_SECOND;
    end(c, op);
}

static void on_arrived(struct world *w, struct event *e) {
    struct callers *c = callers_of(w);
    struct operation *op = (struct operation *)e;
    world_count(&c->world, &c->result->calls_over_time, c->world.now);
    int64_t patience =
        c->control.set & SIM_DEADLINE ? c->model->timeout - ANSWERS_WAY : HARDY_NEVER;
    int64_t done = server_take(&c->server, w->now, patience);
    int64_t answered = (done == SERVER_REFUSED ? w->now : done) + world_delay(w);
    int64_t given_up = time_add(op->left, c->model->timeout);
    op->success = done != SERVER_REFUSED && answered <= given_up;
    op->event.fn = on_heard;
    world_set(w, e, answered < given_up ? answered : given_up);
}

static void on_begin(struct world *w, struct event *e) {
    begin(callers_of(w), (struct operation *)e);
}

/* Not before `least` has passed. */
static void try_again(struct callers *c, struct operation *op, int64_t least) {
    const struct sim_settings *s = c->settings;
    if (s->attempts != 0 && op->retries + 1 >= s->attempts) {
        end(c, op);
        return;
    }
    int64_t wait;
    if (control_retry(&c->control, op->client)) {
        wait = strategy_wait(&s->strategy, &c->retry, op->retries, op->previous, &c->world.callers);
        op->previous = wait;
    } else if (c->model->rate > 0) {
        end(c, op);
        return;
    } else {
        wait = chance_between(&c->world.callers, s->strategy.cap / 2, s->strategy.cap);
    }
    op->retries++;
    op->event.fn = on_begin;
    world_set(&c->world, &op->event, time_add(c->world.now, wait > least ? wait : least));
}

/* --- those who wait for the breaker ---------------------------------------------------------- */

/* One after the other: the first is let go, and when it is admitted, and not as the one trial, so
 * is the next. */
static void on_wake(struct world *w, struct event *e) {
    struct callers *c = callers_of(w);
    struct operation *op = c->parked;
    (void)e;
    c->parked = op->next;
    if (!c->parked) {
        c->parked_last = &c->parked;
    }
    begin(c, op);
}

static void park(struct callers *c, struct operation *op, int64_t retry_at) {
    op->next = NULL;
    *c->parked_last = op;
    c->parked_last = &op->next;
    if (!event_is_set(&c->wake) || c->wake.node.at > retry_at) {
        world_clear(&c->world, &c->wake);
        world_set(&c->world, &c->wake, retry_at);
    }
}

static void refused(struct callers *c, struct operation *op, int64_t retry_at) {
    if (c->model->rate > 0) {
        end(c, op);
    } else if (c->control.set & SIM_SHARED_BREAKER) {
        park(c, op, retry_at);
    } else {
        op->event.fn = on_begin;
        world_set(&c->world, &op->event, retry_at);
    }
}

static void leave(struct callers *c, struct operation *op) {
    struct world *w = &c->world;
    int64_t retry_at = 0;
    switch (control_admit(&c->control, op->client, w->now, &w->callers, &op->permit, &retry_at)) {
    case CONTROL_OPEN:
        refused(c, op, retry_at);
        return;
    case CONTROL_THROTTLED:
        if (c->model->rate > 0) {
            end(c, op);
        } else {
            try_again(c, op, THROTTLED_TAKES);
        }
        return;
    case CONTROL_GO:
        break;
    }
    if (c->parked && op->permit.kind != PERMIT_TRIAL) {
        world_clear(w, &c->wake);
        world_set(w, &c->wake, w->now);
    }
    c->result->calls++;
    op->left = w->now;
    op->event.fn = on_arrived;
    world_set(w, &op->event, w->now + world_delay(w));
}

static void on_leave(struct world *w, struct event *e) {
    leave(callers_of(w), (struct operation *)e);
}

static void begin(struct callers *c, struct operation *op) {
    int64_t at = control_pace(&c->control, c->world.now);
    if (at > c->world.now) {
        op->event.fn = on_leave;
        world_set(&c->world, &op->event, at);
    } else {
        leave(c, op);
    }
}

/* --- where operations come from -------------------------------------------------------------- */

static void herd(struct callers *c) {
    struct world *w = &c->world;
    for (uint32_t client = 0; client < c->settings->clients && !w->no_memory; client++) {
        struct operation *op = operation_new(c);
        if (op) {
            op->client = client;
            op->event.fn = on_begin;
            world_set(w, &op->event, chance_between(&w->arrivals, 0, HERD_BEGINS));
        }
    }
    c->result->operations = c->settings->clients;
}

/* The arrivals of all clients together are a Poisson process too, and each is anybody's. */
static void set_arrival(struct callers *c) {
    struct world *w = &c->world;
    double rate = c->model->rate * c->settings->clients;
    int64_t mean = (int64_t)((double)HARDY_SECOND / rate);
    world_set(w, &c->arrival, w->now + chance_exponential(&w->arrivals, mean));
}

static void on_arrival(struct world *w, struct event *e) {
    struct callers *c = callers_of(w);
    struct operation *op = operation_new(c);
    (void)e;
    if (op) {
        op->client = (uint32_t)prng_below(&w->arrivals, c->settings->clients);
        c->result->operations++;
        world_count(&c->world, &c->result->operations_over_time, c->world.now);
        begin(c, op);
        set_arrival(c);
    }
}

/* --- running -------------------------------------------------------------------------------- */

static hardy_status run(struct callers *c, hardy_error *error) {
    const struct sim_settings *s = c->settings;
    int64_t until = time_add(c->model->trouble_from, s->outage);
    c->retry = strategy_config(&s->strategy);
    c->server = (struct server){.service = (int64_t)((double)HARDY_SECOND / s->capacity + 0.5),
                                .queue_limit = c->model->queue_limit,
                                .trouble_from = c->model->trouble_from,
                                .trouble_until = until,
                                .trouble_share = c->model->trouble_share};
    c->arrival.fn = on_arrival;
    c->wake.fn = on_wake;
    c->parked_last = &c->parked;
    if (c->model->rate > 0) {
        set_arrival(c);
    } else {
        herd(c);
    }
    series_init(&c->result->operations_over_time, until);
    series_init(&c->result->calls_over_time, until);
    series_init(&c->result->successes_over_time, until);
    c->result->trouble_from = c->model->trouble_from;
    c->result->trouble_until = until;
    c->result->trouble_share = c->model->trouble_share;
    c->result->end = time_add(until, c->model->end);
    hardy_status status = world_advance(&c->world, c->result->end, error);
    if (c->too_many) {
        status =
            fail(error, HARDY_E_TOO_LARGE, NULL,
                 "more than %d operations at once; fewer clients or a shorter outage make it end",
                 OPERATIONS_AT_ONCE);
    }
    if (c->result->end == HARDY_NEVER) {
        c->result->end = c->world.now;
    }
    c->result->events = c->world.handled;
    return status;
}

hardy_status callers_run(const struct sim_settings *settings, struct sim_result *result,
                         hardy_error *error) {
    struct callers c = {.settings = settings, .model = &figures[settings->model], .result = result};
    world_init(&c.world, settings->seed);
    hardy_status status = control_init(&c.control, settings, error);
    if (status == HARDY_OK) {
        status = run(&c, error);
    }
    control_free(&c.control);
    world_free(&c.world);
    while (c.chunks) {
        struct chunk *next = c.chunks->next;
        free(c.chunks);
        c.chunks = next;
    }
    return status;
}
