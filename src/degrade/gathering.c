/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/gathering.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "degrade/kept.h"
#include "drive/drive.h"
#include "io/loop.h"
#include "policy/chain.h"
#include <errno.h>
#include <hardy/outcome.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MAX_TOGETHER: of all, as JSON, for an incident's record has to hold it; TIMED_OUT: timeout(1)'s.
 */
enum { MAX_TOGETHER = 2 << 20, TIMED_OUT = 124 };

/* One component on its way down its chain. */
struct job {
    struct gathering *owner;
    const struct source_settings *component;
    const struct source_settings *source; /* that is asked now: the component's own, or... */
    size_t next;                          /* ...one of the alternates */
    char *key;
    struct chain chain;
    struct ask *ask;     /* runs */
    struct drive *drive; /* the ask is an attempt of its guard; NULL: there is none */
    uint32_t attempt;
    bool settled;
    char *data; /* of the attempt that ended well */
    int64_t started;
};

struct gathering {
    struct gathering_world world;
    struct gathering_plan plan;
    struct ask_world asks;
    gathering_done done;
    void *ctx;
    hardy_component *components;
    struct job *jobs;
    size_t count, waiting;
    size_t drives; /* that have not ended yet */
    bool over;     /* `done` was called, or must not be */
    struct loop_timer deadline;
    struct kept_rows rows;
    hardy_cache cache;
};

static int64_t now(const struct gathering *g) {
    return loop_now(g->world.loop);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void free_when_quiet(struct gathering *g) {
    if (!g->over || g->drives > 0)
        return;
    struct gathering_world world = g->world;
    for (size_t i = 0; i < g->count; i++) {
        free(g->jobs[i].key);
        free(g->jobs[i].data);
        free(g->components[i].data);
    }
    free(g->jobs);
    free(g->components);
    free(g);
    if (world.gone)
        world.gone(world.ctx);
}

/* What runs for a component ends. `late`: its source had its time, which its guard has to know;
 * else it is not the source's fault. */
static void stop_job(struct job *j, bool late) {
    static const hardy_outcome unwanted = {.kind = HARDY_IGNORED, .effect = HARDY_EFFECT_UNKNOWN};
    bool attempting = j->ask != NULL;
    if (j->ask)
        ask_cancel(j->ask);
    j->ask = NULL;
    if (j->drive && !late)
        drive_cancel(j->drive);
    if (j->drive && attempting) {
        hardy_outcome outcome = late ? hardy_outcome_of_timeout(true) : unwanted;
        drive_report(j->drive, j->attempt, &outcome);
    }
}

static void leave_out(hardy_component *c) {
    snprintf(c->error, sizeof c->error, "left out: its %zu KiB and the rest do not fit together",
             c->len >> 10);
    free(c->data);
    c->data = NULL;
    c->len = 0;
    c->state = HARDY_COMPONENT_MISSING;
}

/* The largest give way until it fits. */
static void bound(struct gathering *g) {
    for (;;) {
        size_t together = 0, at = 0;
        for (size_t i = 0; i < g->count; i++) {
            together += g->components[i].len;
            at = g->components[i].len > g->components[at].len ? i : at;
        }
        if (together <= MAX_TOGETHER)
            return;
        leave_out(&g->components[at]);
    }
}

static void finish_if_all(struct gathering *g) {
    if (g->over || g->waiting > 0)
        return;
    bound(g);
    g->over = true;
    loop_timer_stop(g->world.loop, &g->deadline);
    g->done(g->ctx, g->components, g->count);
    free_when_quiet(g);
}

/* --- settling --------------------------------------------------------------------------------- */

static hardy_component *component_of(const struct job *j) {
    return &j->owner->components[j - j->owner->jobs];
}

static void say_why(struct job *j, const char *why) {
    str_copy(component_of(j)->error, sizeof component_of(j)->error, why);
}

static void settled(struct job *j) {
    j->settled = true;
    component_of(j)->took = now(j->owner) - j->started;
    j->owner->waiting--;
}

/* It was to fail rather than to degrade: the others need not go on. */
static void fail_fast(struct job *failed) {
    struct gathering *g = failed->owner;
    for (size_t i = 0; i < g->count; i++) {
        struct job *j = &g->jobs[i];
        hardy_component *c = &g->components[i];
        if (j->settled)
            continue;
        stop_job(j, false);
        c->state = HARDY_COMPONENT_MISSING;
        snprintf(c->error, sizeof c->error, "stopped, because %.63s has failed",
                 failed->component->name);
        settled(j);
    }
}

/* No source has answered; why is in the component. */
static void fall_back(struct job *j) {
    chain_fall_back(&j->chain, component_of(j));
    settled(j);
    if (j->component->strategy == STRATEGY_FAIL_FAST &&
        component_of(j)->state == HARDY_COMPONENT_MISSING)
        fail_fast(j);
}

static void start_source(struct job *j);

/* The source has not answered: the next one, or what there is instead. */
static void try_next(struct job *j) {
    const struct schema_list *alternates = &j->component->alternates;
    if (j->next == alternates->count) {
        fall_back(j);
        finish_if_all(j->owner);
        return;
    }
    j->source = (const struct source_settings *)alternates->items + j->next++;
    start_source(j);
}

static void answered(struct job *j, char *data) {
    if (j->next == 0) /* what came before were attempts at the same source */
        say_why(j, "");
    component_of(j)->source = (uint32_t)j->next;
    chain_answered(&j->chain, data, strlen(data), component_of(j));
    settled(j);
    finish_if_all(j->owner);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* By the user's `retry_on`: a status of HTTP, or the exit code of a command, 124 for one that was
 * stopped at its time-out. Files have neither. */
static void narrow(const struct job *j, hardy_outcome *outcome) {
    const struct gathering_world *world = &j->owner->world;
    const struct guard_settings *s =
        world->settings ? world->settings(world->ctx, j->source->guard) : NULL;
    if (!s || outcome->kind == HARDY_SUCCESS)
        return;
    if (j->source->http)
        outcome->permanent |= !guard_retries_status(s, outcome->code);
    else if (j->source->command.argv)
        outcome->permanent |=
            !guard_retries_code(s, outcome->code == ETIMEDOUT ? TIMED_OUT : outcome->code);
}

static void on_asked(void *ctx, const struct asked *asked) {
    struct job *j = ctx;
    j->ask = NULL;
    if (!asked->data)
        say_why(j, asked->why);
    if (j->drive) {
        free(j->data);
        j->data = asked->data;
        hardy_outcome outcome = asked->outcome;
        narrow(j, &outcome);
        drive_report(j->drive, j->attempt, &outcome);
    } else if (asked->data) {
        answered(j, asked->data);
    } else {
        try_next(j);
    }
}

static hardy_status ask(struct job *j) {
    return ask_start(&j->owner->asks, j->source, on_asked, j, &j->ask);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    static const hardy_outcome none = {.kind = HARDY_IGNORED, .effect = HARDY_EFFECT_NONE};
    struct job *j = ctx;
    (void)deadline; /* on_stop() comes then */
    j->attempt = attempt;
    if (j->owner->over || j->settled) {
        drive_report(d, attempt, &none);
    } else if (ask(j) != HARDY_OK) {
        say_why(j, "no memory to ask it");
        drive_report(d, attempt, &none);
    }
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct job *j = ctx;
    hardy_outcome late = hardy_outcome_of_timeout(true);
    if (j->ask)
        ask_cancel(j->ask);
    j->ask = NULL;
    narrow(j, &late);
    say_why(j, "no answer within its guard's time");
    drive_report(d, attempt, &late);
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct job *j = ctx;
    (void)d;
    if (step->attempt == 0 && !j->settled) /* hardy refused it; nothing was asked */
        snprintf(component_of(j)->error, sizeof component_of(j)->error, "guard %.63s: %s",
                 j->source->guard, hardy_status_text(step->status));
    if (step->status != HARDY_OK) {
        free(j->data);
        j->data = NULL;
    }
}

static void on_drive_done(void *ctx, struct drive *d) {
    struct job *j = ctx;
    struct gathering *g = j->owner;
    char *data = j->data;
    (void)d;
    j->drive = NULL;
    g->drives--;
    if (g->over || j->settled) {
        free_when_quiet(g);
    } else if (data) {
        j->data = NULL;
        answered(j, data);
    } else {
        try_next(j);
    }
}

static hardy_status start_guarded(struct job *j, hardy_guard *guard) {
    static const struct drive_events events = {
        .call = on_call, .stop = on_stop, .result = on_result, .done = on_drive_done};
    struct gathering *g = j->owner;
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.deadline = time_add(j->started, g->plan.deadline);
    options.repeatable = true; /* a source is read */
    options.content_at_end = true;
    hardy_status status = drive_start(g->world.loop, guard, &options, &events, j, &j->drive, NULL);
    g->drives += status == HARDY_OK;
    return status;
}

static void start_source(struct job *j) {
    struct gathering *g = j->owner;
    hardy_guard *guard =
        j->source->guard && g->world.guard ? g->world.guard(g->world.ctx, j->source->guard) : NULL;
    /* No memory: on_deadline() settles it. */
    (void)(guard ? start_guarded(j, guard) : ask(j));
}

/* The time of all together: who has not answered is missing. */
static void on_deadline(struct loop_timer *timer) {
    struct gathering *g = timer->ctx;
    char text[48];
    format_duration_short(g->plan.deadline, text);
    for (size_t i = 0; i < g->count; i++) {
        struct job *j = &g->jobs[i];
        if (j->settled)
            continue;
        stop_job(j, true);
        snprintf(g->components[i].error, sizeof g->components[i].error,
                 "no answer within %s, the time for all together", text);
        fall_back(j);
    }
    finish_if_all(g);
}

static void on_nothing(struct loop_timer *timer) {
    finish_if_all(timer->ctx);
}

/* --- beginning -------------------------------------------------------------------------------- */

/* Whether `name` is in the list, commas between; "*" is all. */
static bool is_named(const char *list, const char *name) {
    size_t len = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (str_eq(list, "*") ||
            (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0')))
            return true;
    return false;
}

static bool make_job(struct gathering *g, size_t i) {
    const struct source_settings *s = (const struct source_settings *)g->plan.sources->items + i;
    struct job *j = &g->jobs[i];
    j->owner = g;
    j->component = j->source = s;
    j->started = now(g);
    j->key = s->cache_key ? str_dup(s->cache_key) : str_format("%s/%s", g->plan.name, s->name);
    j->chain = (struct chain){.cache = g->cache.get && j->key ? &g->cache : NULL,
                              .key = j->key,
                              .ttl = s->cache,
                              .refresh = s->refresh,
                              .fixed = s->fixed,
                              .fixed_len = s->fixed ? strlen(s->fixed) : 0,
                              .fresh_only = s->fresh_only || is_named(g->plan.fresh, s->name)};
    g->components[i] =
        (hardy_component){.name = s->name,
                          .weight = s->weight,
                          .critical = s->critical || s->strategy == STRATEGY_FAIL_FAST};
    g->count++;
    g->waiting++;
    return j->key != NULL;
}

static struct gathering *make(const struct gathering_world *world,
                              const struct gathering_plan *plan) {
    size_t count = plan->sources->count;
    struct gathering *g = calloc(1, sizeof *g);
    if (g) {
        g->components = calloc(count + 1, sizeof *g->components);
        g->jobs = calloc(count + 1, sizeof *g->jobs);
    }
    if (!g || !g->components || !g->jobs) {
        if (g) {
            free(g->components);
            free(g->jobs);
        }
        free(g);
        return NULL;
    }
    g->world = *world;
    g->plan = *plan;
    g->asks = (struct ask_world){world->loop, world->client, world->cwd, world->env};
    g->rows = (struct kept_rows){world->loop, world->store};
    g->cache = world->cache   ? *world->cache
               : world->store ? kept_rows_cache(&g->rows)
                              : (hardy_cache){0};
    return g;
}

hardy_status gathering_start(const struct gathering_world *world, const struct gathering_plan *plan,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error) {
    struct gathering *g = make(world, plan);
    bool good = g != NULL;
    for (size_t i = 0; good && i < plan->sources->count; i++)
        good = make_job(g, i);
    if (!good) {
        if (g) {
            g->over = true;
            g->world.gone = NULL;
            free_when_quiet(g);
        }
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to gather %zu sources",
                    plan->sources->count);
    }
    g->done = done;
    g->ctx = ctx;
    /* Armed before the sources' own: what happens at the same moment is the end of all. */
    loop_timer_init(&g->deadline, on_deadline, g);
    loop_timer_start(world->loop, &g->deadline, time_add(now(g), plan->deadline));
    for (size_t i = 0; i < g->count; i++)
        if (chain_reuse(&g->jobs[i].chain, &g->components[i]))
            settled(&g->jobs[i]);
    if (g->waiting == 0) { /* `done` never comes from inside this call */
        g->deadline.fn = on_nothing;
        loop_timer_start(world->loop, &g->deadline, now(g));
    }
    *out = g;
    for (size_t i = 0; i < g->count; i++)
        if (!g->jobs[i].settled)
            start_source(&g->jobs[i]);
    return HARDY_OK;
}

void gathering_cancel(struct gathering *g) {
    g->over = true;
    loop_timer_stop(g->world.loop, &g->deadline);
    for (size_t i = 0; i < g->count; i++)
        if (!g->jobs[i].settled)
            stop_job(&g->jobs[i], false);
    free_when_quiet(g);
}
