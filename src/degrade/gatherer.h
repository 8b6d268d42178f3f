/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_GATHERER_H
#define DEGRADE_GATHERER_H
/*
 * The gatherings of the configuration, asked for by name: who asks while one is under way shares
 * it, and how good they were over time is counted.
 */
#include "degrade/settings.h"
#include "io/list.h"

struct host;
struct http_client;
struct loop;
struct gatherer_world { /* borrowed until gatherer_close() and some turns of the loop */
    struct loop *loop;
    struct http_client *client;
    const hardy_cache *cache;
    struct host *host; /* where guards are shared; NULL = nowhere */
    const char *cwd;   /* copied */
};
struct gatherer;
/* Reads `degrade:` and the guards it names; nothing of `config` is kept. */
hardy_status gatherer_open(const struct gatherer_world *world, const struct config *config,
                           struct gatherer **out, hardy_error *error);
/* From the one before: the levels and counts of gatherings that are called the same, and guards
 * with what they have counted. */
void gatherer_take_over(struct gatherer *g, const struct gatherer *from);
const struct degrade_settings *gatherer_settings(const struct gatherer *g);

struct gathered { /* borrowed for the call */
    const struct gathering_settings *settings;
    hardy_level level;
    bool acceptable; /* not beyond max_degradation */
    const hardy_component *components;
    size_t count;
    const char *switches; /* a JSON object */
};
struct gatherer_ask { /* caller-owned until `done` or cancelled */
    struct list link;
    struct run *run;
    void (*done)(void *ctx, const struct gathered *gathered); /* NULL: hardy ends */
    void *ctx;
};
/* `fresh`: components that have to be fresh this time, commas between, "*" = all; NULL = none. Such
 * a run is nobody else's, and does not count in the levels. `done` comes from the loop. E_NOT_FOUND
 * names what is unknown; E_NOMEM. */
hardy_status gatherer_ask(struct gatherer *g, const char *name, const char *fresh,
                          struct gatherer_ask *ask, hardy_error *error);
/* `done` does not come; what nobody waits for any more ends. */
void gatherer_ask_cancel(struct gatherer_ask *ask);

struct gatherer_figures {
    const struct gathering_settings *settings;
    bool known; /* gathered at least once */
    hardy_level level;
    int64_t since;                       /* wall */
    const hardy_component_state *states; /* of the components, in their order */
    int64_t spent[LEVELS];               /* ns at each level, up to now */
    uint64_t answers[LEVELS], runs, shared;
};
size_t gatherer_count(const struct gatherer *g);
void gatherer_look(const struct gatherer *g, size_t i, struct gatherer_figures *out);

/* What is under way goes on, and it is gone when that has ended. */
void gatherer_retire(struct gatherer *g);
/* What is under way ends. */
void gatherer_close(struct gatherer *g); /* NULL is fine */
#endif
