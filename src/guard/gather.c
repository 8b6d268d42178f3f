/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread driver of a gathering: one thread a component. Whoever is first, the component's own
 * thread or the end of the time for all, settles the component under the lock; what comes later is
 * thrown away, though a late answer is still kept for the next time.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "guard/thread.h"
#include "policy/chain.h"
#include "policy/settings.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COMPONENTS = 64 };

struct hardy_answer {
    char *data;
    size_t len;
    char why[sizeof((hardy_component *)0)->error];
};

struct part { /* one component on its way */
    hardy_gathered *owner;
    hardy_component_config config;
    struct chain chain;
    struct thread_stop stop;
    pthread_t thread;
    bool running; /* has a thread, to be joined */
    bool settled; /* under the lock */
};

struct hardy_gathered {
    hardy_env env;
    int64_t began, deadline;
    hardy_cache cache;
    hardy_level level;
    hardy_component *components;
    struct part *parts;
    size_t count;
    pthread_mutex_t lock;
    size_t waiting; /* under the lock */
    struct parking parking;
};

void hardy_component_config_init(hardy_component_config *config, size_t size) {
    hardy_component_config full = {
        .size = size < sizeof full ? size : sizeof full, .weight = 1, .ttl = HARDY_HOUR};
    memset(config, 0, size);
    memcpy(config, &full, full.size);
}

void hardy_gather_config_init(hardy_gather_config *config, size_t size) {
    hardy_gather_config full = {.size = size < sizeof full ? size : sizeof full,
                                .deadline = 10 * HARDY_SECOND,
                                .max_degradation = HARDY_LEVEL_MODERATE};
    memset(config, 0, size);
    memcpy(config, &full, full.size);
}

/* --- answers ---------------------------------------------------------------------------------- */

hardy_status hardy_answer_set(hardy_answer *answer, const void *data, size_t len) {
    char *copy = len < SIZE_MAX ? malloc(len + 1) : NULL;
    if (!copy) {
        return HARDY_E_NOMEM;
    }
    if (len > 0) {
        memcpy(copy, data, len);
    }
    copy[len] = '\0';
    free(answer->data);
    answer->data = copy;
    answer->len = len;
    return HARDY_OK;
}

void hardy_answer_say(hardy_answer *answer, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(answer->why, sizeof answer->why, format, args);
    va_end(args);
    str_make_printable(answer->why);
}

/* --- settling --------------------------------------------------------------------------------- */

static hardy_component *component_of(const struct part *p) {
    return &p->owner->components[p - p->owner->parts];
}

/* Takes what `c` holds, unless the component was settled before. */
static bool settle(struct part *p, hardy_component *c) {
    hardy_gathered *g = p->owner;
    c->took = g->env.now(g->env.ctx) - g->began;
    pthread_mutex_lock(&g->lock);
    bool first = !p->settled;
    if (first) {
        p->settled = true;
        *component_of(p) = *c;
        g->waiting--;
    }
    bool last = g->waiting == 0;
    pthread_mutex_unlock(&g->lock);
    if (!first) {
        free(c->data);
    } else if (last) {
        thread_unpark(&g->parking);
    }
    return first;
}

static bool is_settled(struct part *p) {
    pthread_mutex_lock(&p->owner->lock);
    bool settled = p->settled;
    pthread_mutex_unlock(&p->owner->lock);
    return settled;
}

/* What the component is before anything came. */
static hardy_component blank(const struct part *p) {
    return (hardy_component){.name = p->config.name,
                             .weight = p->config.weight,
                             .critical = p->config.critical || p->config.fail_fast};
}

static void stop_others(struct part *failed) {
    hardy_gathered *g = failed->owner;
    for (size_t i = 0; i < g->count; i++) {
        struct part *p = &g->parts[i];
        if (p == failed) {
            continue;
        }
        hardy_component c = blank(p);
        c.state = HARDY_COMPONENT_MISSING;
        snprintf(c.error, sizeof c.error, "stopped, because %.100s has failed",
                 failed->config.name);
        (void)settle(p, &c); /* before it is stopped, or it would go on to its next source */
        thread_stop(&p->stop);
    }
}

/* --- one component's thread ------------------------------------------------------------------- */

struct asking {
    const hardy_source *source;
    hardy_answer *answer;
};

static void ask(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct asking *a = ctx;
    a->source->fetch(a->source->ctx, call, a->answer, outcome);
}

static bool has_answered(const hardy_outcome *outcome) {
    return outcome->kind == HARDY_SUCCESS || outcome->kind == HARDY_SLOW;
}

/* Whether the source has answered; if not, `answer` tells why. */
static bool ask_source(struct part *p, const hardy_source *source, hardy_answer *answer) {
    hardy_gathered *g = p->owner;
    struct asking asking = {source, answer};
    hardy_outcome outcome = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    hardy_error error;
    bool good;
    hardy_error_init(&error, sizeof error);
    answer->why[0] = '\0';
    if (source->guard) {
        const hardy_op_options options = {
            .size = sizeof options, .deadline = g->deadline, .weight = 1};
        good = thread_run(source->guard, ask, &asking, &options, &p->stop, &outcome, &error) ==
               HARDY_OK;
    } else {
        const struct thread_call inside = {&g->env, &p->stop};
        const hardy_call call = {.size = sizeof call,
                                 .attempt = 1,
                                 .deadline = g->deadline,
                                 .internal = (void *)(uintptr_t)&inside};
        ask(&asking, &call, &outcome);
        good = has_answered(&outcome);
    }
    if (good) {
        good = answer->data || hardy_answer_set(answer, "", 0) == HARDY_OK;
    } else if (!answer->why[0] && source->guard) {
        hardy_answer_say(answer, "%s", error.message);
    } else if (!answer->why[0]) {
        hardy_answer_say(answer, "failed with code %d", (int)outcome.code);
    }
    if (!good) {
        free(answer->data);
        answer->data = NULL;
    }
    return good;
}

static void *run_part(void *ctx) {
    struct part *p = ctx;
    hardy_component c = blank(p);
    hardy_answer answer = {0};
    bool good = false;
    for (size_t i = 0; i < p->config.source_count && !good && !is_settled(p); i++) {
        good = ask_source(p, &p->config.sources[i], &answer);
        c.source = good ? (uint32_t)i : 0;
        if (!good) {
            str_copy(c.error, sizeof c.error, answer.why);
        }
    }
    if (good) {
        chain_answered(&p->chain, answer.data, answer.len, &c);
    } else if (!is_settled(p)) {
        chain_fall_back(&p->chain, &c);
    }
    if (settle(p, &c) && p->config.fail_fast && c.state == HARDY_COMPONENT_MISSING) {
        stop_others(p);
    }
    return NULL;
}

/* --- the whole -------------------------------------------------------------------------------- */

static hardy_status take_component(const hardy_gather_config *config, size_t i, struct part *p,
                                   hardy_error *error) {
    /* An array of a caller who knows a smaller structure has a smaller stride. */
    const char *first = (const char *)config->components;
    const void *given = first + i * config->components->size;
    hardy_component_config *c = &p->config;
    hardy_component_config_init(c, sizeof *c);
    hardy_status status = settings_take(c, sizeof *c, given, "hardy_component_config", error);
    if (status != HARDY_OK) {
        return status;
    }
    if (!c->name || !c->name[0]) {
        return fail(error, HARDY_E_INVALID, NULL, "component %zu has no name", i);
    }
    if (!c->sources || c->source_count < 1) {
        return fail(error, HARDY_E_INVALID, c->name, "it has no source");
    }
    if (!(c->weight > 0)) {
        return fail(error, HARDY_E_INVALID, c->name, "weight is %g, expected above 0", c->weight);
    }
    if (c->ttl < 0 || c->refresh < 0) {
        return fail(error, HARDY_E_INVALID, c->name, "%s is negative",
                    c->ttl < 0 ? "ttl" : "refresh");
    }
    p->chain = (struct chain){.cache = config->cache ? &p->owner->cache : NULL,
                              .key = c->cache_key ? c->cache_key : c->name,
                              .ttl = c->ttl,
                              .refresh = c->refresh,
                              .fixed = c->fixed,
                              .fixed_len = c->fixed_len,
                              .fresh_only = c->fresh_only || config->fresh};
    return HARDY_OK;
}

static hardy_status check_whole(const hardy_gather_config *config, hardy_error *error) {
    if (config->count > MAX_COMPONENTS) {
        return fail(error, HARDY_E_INVALID, NULL, "%zu components, at most %d can be gathered",
                    config->count, MAX_COMPONENTS);
    }
    if (config->deadline <= 0) {
        return fail(error, HARDY_E_INVALID, NULL, "deadline is %lld ns, expected above 0",
                    (long long)config->deadline);
    }
    if (config->max_degradation > HARDY_LEVEL_FAILED) {
        return fail(error, HARDY_E_INVALID, NULL, "max_degradation is no level");
    }
    return HARDY_OK;
}

static hardy_status make(const hardy_gather_config *config, const hardy_env *env,
                         hardy_gathered **out, hardy_error *error) {
    hardy_gathered *g = calloc(1, sizeof *g);
    if (g) {
        g->components = calloc(config->count + 1, sizeof *g->components);
        g->parts = calloc(config->count + 1, sizeof *g->parts);
    }
    if (!g || !g->components || !g->parts || pthread_mutex_init(&g->lock, NULL) != 0) {
        if (g) {
            free(g->components);
            free(g->parts);
        }
        free(g);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to gather %zu components",
                    config->count);
    }
    if (env) {
        g->env = *env;
    } else {
        hardy_env_system(&g->env, sizeof g->env);
    }
    g->cache = config->cache ? *config->cache : (hardy_cache){0};
    g->began = g->env.now(g->env.ctx);
    g->deadline = time_add(g->began, config->deadline);
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < config->count && status == HARDY_OK; i++) {
        g->parts[i].owner = g;
        status = take_component(config, i, &g->parts[i], error);
        g->components[i] = blank(&g->parts[i]);
        g->count++;
    }
    if (status != HARDY_OK) {
        hardy_gathered_free(g);
        return status;
    }
    *out = g;
    return HARDY_OK;
}

static void begin_part(struct part *p) {
    hardy_component c = blank(p);
    if (chain_reuse(&p->chain, &c)) {
        (void)settle(p, &c);
        return;
    }
    p->running = pthread_create(&p->thread, NULL, run_part, p) == 0;
    if (!p->running) {
        str_copy(c.error, sizeof c.error, "no thread to ask it");
        chain_fall_back(&p->chain, &c);
        (void)settle(p, &c);
    }
}

/* The time for all together is over: who has not answered by now has not. */
static void end_all(hardy_gathered *g, int64_t span) {
    char text[48];
    format_duration_short(span, text);
    for (size_t i = 0; i < g->count; i++) {
        struct part *p = &g->parts[i];
        if (is_settled(p)) {
            continue;
        }
        hardy_component c = blank(p);
        snprintf(c.error, sizeof c.error, "no answer within %s, the time for all together", text);
        thread_stop(&p->stop);
        chain_fall_back(&p->chain, &c);
        (void)settle(p, &c);
    }
}

static bool all_settled(hardy_gathered *g) {
    pthread_mutex_lock(&g->lock);
    bool all = g->waiting == 0;
    pthread_mutex_unlock(&g->lock);
    return all;
}

static hardy_status tell_degraded(const hardy_gathered *g, hardy_level max, hardy_error *error) {
    char names[300] = "";
    size_t used = 0;
    for (size_t i = 0; i < g->count; i++) {
        if (g->components[i].state == HARDY_COMPONENT_MISSING && used < sizeof names) {
            int len = snprintf(names + used, sizeof names - used, "%s%.63s", used ? ", " : "",
                               g->components[i].name);
            used += len > 0 ? (size_t)len : 0;
        }
    }
    return fail(error, HARDY_E_DEGRADED, NULL, "the level is %s, at worst %s is allowed; %s%s",
                hardy_level_text(g->level), hardy_level_text(max),
                used ? "failed: " : "nothing is missing, but too much is old", names);
}

hardy_status hardy_gather(const hardy_gather_config *given, const hardy_env *env,
                          hardy_gathered **out, hardy_error *error) {
    hardy_gather_config config;
    *out = NULL;
    hardy_gather_config_init(&config, sizeof config);
    hardy_status status =
        settings_take(&config, sizeof config, given, "hardy_gather_config", error);
    status = status == HARDY_OK ? check_whole(&config, error) : status;
    status = status == HARDY_OK ? make(&config, env, out, error) : status;
    if (status != HARDY_OK) {
        return status;
    }
    hardy_gathered *g = *out;
    g->waiting = g->count;
    for (size_t i = 0; i < g->count; i++) {
        begin_part(&g->parts[i]);
    }
    while (!all_settled(g) && g->env.now(g->env.ctx) < g->deadline) {
        thread_park(&g->parking, &g->env, g->deadline);
    }
    end_all(g, config.deadline);
    g->level = hardy_level_of(g->components, g->count);
    return g->level > config.max_degradation ? tell_degraded(g, config.max_degradation, error)
                                             : HARDY_OK;
}

hardy_level hardy_gathered_level(const hardy_gathered *gathered) {
    return gathered->level;
}

const hardy_component *hardy_gathered_components(const hardy_gathered *gathered, size_t *count) {
    *count = gathered->count;
    return gathered->components;
}

void hardy_gathered_free(hardy_gathered *g) {
    if (!g) {
        return;
    }
    for (size_t i = 0; i < g->count; i++) {
        if (g->parts[i].running) {
            pthread_join(g->parts[i].thread, NULL);
        }
        free(g->components[i].data);
    }
    pthread_mutex_destroy(&g->lock);
    free(g->components);
    free(g->parts);
    free(g);
}
