/* SPDX-License-Identifier: Apache-2.0 */
/* Model A. What a client does between two arrivals at the server takes only time, so a client is
 * one event: its read, or its write, arrives. */
#include "base/clock.h"
#include "base/error.h"
#include "sim/callers.h"
#include <stdlib.h>

struct client {
    struct event event;
    uint64_t version; /* that it has read */
    int64_t previous; /* the wait before */
    uint32_t retries;
};
struct contention {
    struct world world; /* first: an event is told of its world */
    const struct sim_settings *settings;
    hardy_retry_config retry;
    uint64_t version; /* of the row */
    struct sim_result *result;
};

static void on_read(struct world *w, struct event *e);

static void on_write(struct world *w, struct event *e) {
    struct contention *c = (struct contention *)w;
    struct client *client = (struct client *)e;
    int64_t heard = w->now + world_delay(w);
    c->result->calls++;
    world_count(w, &c->result->calls_over_time, w->now);
    if (client->version == c->version) {
        c->version++;
        world_count(w, &c->result->successes_over_time, heard);
        c->result->done_after_s = (double)heard / (double)HARDY_SECOND;
        c->result->end = heard > c->result->end ? heard : c->result->end;
        return;
    }
    if (c->settings->attempts != 0 && client->retries + 1 >= c->settings->attempts) {
        return;
    }
    client->previous = strategy_wait(&c->settings->strategy, &c->retry, client->retries++,
                                     client->previous, &w->callers);
    e->fn = on_read;
    world_set(w, e, time_add(heard, client->previous) + world_delay(w));
}

static void on_read(struct world *w, struct event *e) {
    struct contention *c = (struct contention *)w;
    struct client *client = (struct client *)e;
    client->version = c->version;
    e->fn = on_write;
    world_set(w, e, w->now + world_delay(w) + world_delay(w));
}

hardy_status contention_run(const struct sim_settings *settings, struct sim_result *result,
                            hardy_error *error) {
    struct contention c = {
        .settings = settings, .retry = strategy_config(&settings->strategy), .result = result};
    struct client *clients = calloc(settings->clients, sizeof *clients);
    if (!clients) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %u clients", settings->clients);
    }
    world_init(&c.world, settings->seed);
    for (uint32_t i = 0; i < settings->clients; i++) {
        clients[i].event.fn = on_read;
        world_set(&c.world, &clients[i].event, world_delay(&c.world));
    }
    result->operations = settings->clients;
    hardy_status status = world_advance(&c.world, HARDY_NEVER, error);
    result->events = c.world.handled;
    result->end = c.world.now > result->end ? c.world.now : result->end;
    world_free(&c.world);
    free(clients);
    return status;
}
