/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/mutex.h"
#include "base/prng.h"
#include "base/str.h"
#include "guard/state.h"
#include "policy/backoff.h"
#include "policy/settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hardy_budget_config default_budget = {.size = sizeof default_budget,
                                                   .ratio = 0.1,
                                                   .floor = 10,
                                                   .ttl = 10 * HARDY_SECOND,
                                                   .timeout_cost = 2};

void hardy_hedge_config_init(hardy_hedge_config *config, size_t size) {
    hardy_hedge_config full = {.after = 2 * HARDY_SECOND};
    full.size = size < sizeof full ? size : sizeof full;
    memset(config, 0, size);
    memcpy(config, &full, full.size);
}

void hardy_guard_config_init(hardy_guard_config *config, size_t size) {
    hardy_guard_config full = {
        .size = size < sizeof full ? size : sizeof full,
        .deadline = HARDY_NEVER,
        .timeout = HARDY_NEVER,
        .timeout_first_content = HARDY_NEVER,
        .timeout_idle = HARDY_NEVER,
        .budget = &default_budget,
    };
    memset(config, 0, size);
    memcpy(config, &full, full.size);
}

static hardy_status check_span(int64_t span, const char *field, hardy_error *error) {
    if (span > 0) {
        return HARDY_OK;
    }
    return fail(error, HARDY_E_INVALID, NULL,
                "%s is %lld ns, which should be above 0, or HARDY_NEVER for none", field,
                (long long)span);
}

/* A guard has its name for life. */
static hardy_status take_name(hardy_guard *g, const char *name, hardy_error *error) {
    if (*g->name != '\0') {
        return name == NULL || str_eq(name, g->name)
                   ? HARDY_OK
                   : fail(error, HARDY_E_INVALID, NULL,
                          "name is \"%s\", and a guard keeps the name it was made with", name);
    }
    if (name == NULL || *name == '\0' || strlen(name) >= sizeof g->name) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "name is %s, which should have from 1 to 63 characters",
                    name == NULL    ? "missing"
                    : *name == '\0' ? "empty"
                                    : "too long");
    }
    str_copy(g->name, sizeof g->name, name);
    return HARDY_OK;
}

static hardy_status take_hedge(struct edition *e, hardy_error *error) {
    hardy_guard_config *c = &e->config;
    hardy_hedge_config_init(&e->hedge, sizeof e->hedge);
    hardy_status status =
        settings_take(&e->hedge, sizeof e->hedge, c->hedge, "hardy_hedge_config", error);
    c->hedge = &e->hedge;
    if (status == HARDY_OK && (c->retry == NULL || c->retry->max_retries == 0)) {
        status =
            fail(error, HARDY_E_INVALID, NULL,
                 "hedge without retry: a hedge is one of the attempts that max_retries allows");
    }
    return status == HARDY_OK ? check_span(e->hedge.after, "hedge: after", error) : status;
}

static hardy_status take_layers(struct edition *e, hardy_error *error) {
    hardy_guard_config *c = &e->config;
    hardy_status status = HARDY_OK;
    if (c->retry != NULL) {
        hardy_retry_config_init(&e->retry, sizeof e->retry);
        status = settings_take(&e->retry, sizeof e->retry, c->retry, "hardy_retry_config", error);
        c->retry = &e->retry;
        status = status != HARDY_OK ? status : retry_check(&e->retry, error);
    }
    if (c->retry == NULL) {
        c->budget = NULL;
    }
    if (status == HARDY_OK && c->hedge != NULL) {
        status = take_hedge(e, error);
    }
    if (status == HARDY_OK && c->budget != NULL) {
        hardy_budget_config_init(&e->budget, sizeof e->budget);
        status =
            settings_take(&e->budget, sizeof e->budget, c->budget, "hardy_budget_config", error);
        c->budget = &e->budget;
        status = status != HARDY_OK ? status : budget_check(&e->budget, error);
    }
    if (status == HARDY_OK && c->breaker != NULL) {
        hardy_breaker_config_init(&e->breaker, sizeof e->breaker);
        status = settings_take(&e->breaker, sizeof e->breaker, c->breaker, "hardy_breaker_config",
                               error);
        c->breaker = &e->breaker;
        status = status != HARDY_OK ? status : breaker_check(&e->breaker, error);
    }
    if (status == HARDY_OK && c->rate != NULL) {
        hardy_rate_config_init(&e->rate, sizeof e->rate);
        status = settings_take(&e->rate, sizeof e->rate, c->rate, "hardy_rate_config", error);
        c->rate = &e->rate;
        status = status != HARDY_OK ? status : rate_check(&e->rate, error);
        if (status == HARDY_OK) {
            gcra_init(&e->gcra, &e->rate);
        }
    }
    if (status == HARDY_OK && c->bulkhead != NULL) {
        hardy_bulkhead_config_init(&e->bulkhead, sizeof e->bulkhead);
        status = settings_take(&e->bulkhead, sizeof e->bulkhead, c->bulkhead,
                               "hardy_bulkhead_config", error);
        c->bulkhead = &e->bulkhead;
        status = status != HARDY_OK ? status : bulkhead_check(&e->bulkhead, error);
    }
    return status;
}

static hardy_status take_config(hardy_guard *g, struct edition *e, const hardy_guard_config *config,
                                hardy_error *error) {
    hardy_guard_config_init(&e->config, sizeof e->config);
    hardy_status status =
        settings_take(&e->config, sizeof e->config, config, "hardy_guard_config", error);
    if (status == HARDY_OK) {
        status = take_name(g, e->config.name, error);
        e->config.name = g->name;
    }
    const struct {
        const char *field;
        int64_t span;
    } spans[] = {{"deadline", e->config.deadline},
                 {"timeout", e->config.timeout},
                 {"timeout_first_content", e->config.timeout_first_content},
                 {"timeout_idle", e->config.timeout_idle}};
    for (size_t i = 0; status == HARDY_OK && i < sizeof spans / sizeof *spans; i++) {
        status = check_span(spans[i].span, spans[i].field, error);
    }
    return status == HARDY_OK ? take_layers(e, error) : status;
}

static void choose_words(hardy_guard *g, struct edition *e, const struct guard_words *given) {
    const hardy_guard_config *c = &e->config;
    struct guard_words w = given != NULL ? *given : (struct guard_words){0};
    e->words.breaker = c->breaker == NULL ? NULL : w.breaker != NULL ? w.breaker : &g->own_breaker;
    e->words.rate = c->rate == NULL ? NULL : w.rate != NULL ? w.rate : &g->own_rate;
    e->words.budget = c->budget == NULL ? NULL : w.budget != NULL ? w.budget : &g->own_budget;
}

/* The next edition, filled in and not yet published; with the guard's lock held. */
static hardy_status write_edition(hardy_guard *g, const hardy_guard_config *config,
                                  const struct guard_words *words, struct edition **out,
                                  hardy_error *error) {
    struct edition *e = edition_blank(&g->editions);
    if (e == NULL) {
        return fail(error, HARDY_E_NOMEM, NULL, "%zu bytes of memory", sizeof *e);
    }
    hardy_status status = take_config(g, e, config, error);
    choose_words(g, e, words);
    e->untimed = g->system_clock && e->config.classify == NULL &&
                 e->config.deadline == HARDY_NEVER && e->config.timeout == HARDY_NEVER &&
                 e->config.rate == NULL;
    e->direct = e->config.hedge == NULL && e->config.classify == NULL;
    *out = e;
    return status;
}

static hardy_status fill_in(hardy_guard *g, const hardy_guard_config *config, const hardy_env *env,
                            const struct guard_words *words, hardy_error *error) {
    struct edition *first;
    g->system_clock = env == NULL;
    hardy_env_system(&g->env, sizeof g->env);
    hardy_status status =
        env != NULL ? settings_take(&g->env, sizeof g->env, env, "hardy_env", error) : HARDY_OK;
    if (status == HARDY_OK) {
        status = write_edition(g, config, words, &first, error);
    }
    if (status == HARDY_OK) {
        status = bulkhead_init(&g->bulkhead, first->config.bulkhead, error);
    }
    if (status == HARDY_OK) {
        edition_publish(&g->editions, first);
    } else if (*g->name != '\0') {
        error_prefix(error, "guard %s", g->name);
    }
    return status;
}

hardy_status guard_new_over(const hardy_guard_config *config, const hardy_env *env,
                            const struct guard_words *words, hardy_guard **out,
                            hardy_error *error) {
    hardy_guard *g = aligned_alloc(_Alignof(hardy_guard), sizeof *g);
    if (g == NULL) {
        return fail(error, HARDY_E_NOMEM, NULL, "guard: %zu bytes of memory", sizeof *g);
    }
    memset(g, 0, sizeof *g);
    hardy_status status = fill_in(g, config, env, words, error);
    if (status != HARDY_OK) {
        editions_free(&g->editions);
        free(g);
        return status;
    }
    pthread_mutex_init(&g->changing, NULL);
    ring_init(&g->ring);
    g->seed = g->env.random(g->env.ctx);
    g->owner = getpid();
    *out = g;
    return HARDY_OK;
}

hardy_status hardy_guard_new(const hardy_guard_config *config, const hardy_env *env,
                             hardy_guard **out, hardy_error *error) {
    return guard_new_over(config, env, NULL, out, error);
}

static hardy_status try_change(hardy_guard *guard, const hardy_guard_config *config,
                               const struct guard_words *words, bool publish, hardy_error *error) {
    struct edition *next;
    mutex_lock(&guard->changing);
    hardy_status status = write_edition(guard, config, words, &next, error);
    if (status == HARDY_OK && publish) {
        if (next->config.bulkhead != NULL) {
            bulkhead_change(&guard->bulkhead, next->config.bulkhead);
        }
        edition_publish(&guard->editions, next);
    } else if (status != HARDY_OK) {
        error_prefix(error, "guard %s", guard->name);
    }
    mutex_unlock(&guard->changing);
    return status;
}

hardy_status guard_change_over(hardy_guard *guard, const hardy_guard_config *config,
                               const struct guard_words *words, hardy_error *error) {
    return try_change(guard, config, words, true, error);
}

hardy_status guard_check_change(hardy_guard *guard, const hardy_guard_config *config,
                                hardy_error *error) {
    return try_change(guard, config, NULL, false, error);
}

hardy_status hardy_guard_change(hardy_guard *guard, const hardy_guard_config *config,
                                hardy_error *error) {
    return guard_change_over(guard, config, NULL, error);
}

void hardy_guard_free(hardy_guard *guard) {
    if (guard == NULL) {
        return;
    }
    bulkhead_destroy(&guard->bulkhead);
    pthread_mutex_destroy(&guard->changing);
    editions_free(&guard->editions);
    free(guard);
}

const hardy_guard_config *guard_config(const hardy_guard *guard) {
    return &edition_current(&guard->editions)->config;
}

const char *guard_name(const hardy_guard *guard) {
    return guard->name;
}

uint64_t guard_draw_seed(hardy_guard *guard) {
    uint64_t seed = guard->seed;
    pid_t self = getpid();
    if (self != guard->owner) {
        seed ^= prng_mix((uint64_t)self);
    }
    seed = prng_mix(seed + prng_mix(word_add(&guard->numbers, 1)));
    return seed != 0 ? seed : 1;
}

void guard_tell_change(hardy_guard *g, const struct breaker_change *change, int64_t now) {
    ring_put(&g->ring,
             &(hardy_event){
                 .kind = HARDY_EVENT_STATE, .at = now, .from = change->from, .to = change->to});
    if (g->env.log != NULL) {
        char line[160];
        snprintf(line, sizeof line, "guard %s: breaker %s -> %s", g->name,
                 hardy_breaker_state_name(change->from), hardy_breaker_state_name(change->to));
        g->env.log(g->env.ctx, change->to == HARDY_OPEN ? HARDY_LOG_WARNING : HARDY_LOG_INFO, line);
    }
}

hardy_status hardy_guard_force(hardy_guard *guard, hardy_breaker_state state, int64_t until) {
    if (state != HARDY_FORCED_OPEN && state != HARDY_DISABLED && state != HARDY_CLOSED) {
        return HARDY_E_INVALID;
    }
    int64_t now = guard->env.now(guard->env.ctx);
    struct breaker_change change = {.to = state};
    mutex_lock(&guard->changing);
    const struct edition *e = edition_current(&guard->editions);
    bool has_breaker = e->words.breaker != NULL;
    if (has_breaker) {
        hardy_breaker_stats before = {.size = sizeof before};
        breaker_stats(e->words.breaker, &e->breaker, now, &before);
        change.from = before.state;
        breaker_force(e->words.breaker, state, until, now);
    }
    mutex_unlock(&guard->changing);
    if (!has_breaker) {
        return HARDY_E_INVALID;
    }
    guard_note_change(guard, &change, now);
    return HARDY_OK;
}

size_t hardy_guard_snapshot(hardy_guard *guard, void *bytes, size_t size) {
    int64_t now = guard->env.now(guard->env.ctx);
    mutex_lock(&guard->changing);
    const struct edition *e = edition_current(&guard->editions);
    bool has_breaker = e->words.breaker != NULL;
    if (has_breaker && size >= BREAKER_SNAPSHOT) {
        breaker_save(e->words.breaker, &e->breaker, now, bytes);
    }
    mutex_unlock(&guard->changing);
    return has_breaker ? BREAKER_SNAPSHOT : 0;
}

hardy_status hardy_guard_restore(hardy_guard *guard, const void *bytes, size_t length,
                                 int64_t elapsed, hardy_error *error) {
    int64_t now = guard->env.now(guard->env.ctx);
    hardy_breaker_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    hardy_status status = HARDY_OK;
    mutex_lock(&guard->changing);
    const struct edition *e = edition_current(&guard->editions);
    if (e->words.breaker == NULL) {
        status = fail(error, HARDY_E_INVALID, NULL, "guard %s has no breaker", e->config.name);
    } else {
        breaker_stats(e->words.breaker, &e->breaker, now, &before);
        status = breaker_restore(e->words.breaker, &e->breaker, bytes, length, elapsed, now, error);
        breaker_stats(e->words.breaker, &e->breaker, now, &after);
    }
    mutex_unlock(&guard->changing);
    if (status == HARDY_OK) {
        struct breaker_change change = {.from = before.state, .to = after.state};
        guard_note_change(guard, &change, now);
    }
    return status;
}

/* What all operations did, whichever settings they went by. */
static void add_up(const hardy_guard *g, hardy_guard_stats *stats) {
    uint64_t unstarted = 0;
    for (struct edition *e = edition_first(&g->editions); e != NULL; e = e->next) {
        for (size_t i = 0; i < EDITION_SHARDS; i++) {
            unstarted += word_load(&e->shards[i].unstarted);
            stats->operations += word_load(&e->shards[i].begun);
        }
    }
    stats->hedges = word_load(&g->hedges);
    stats->retries = word_load(&g->retries);
    stats->attempts = stats->operations - unstarted + stats->retries;
    stats->retries_suppressed = word_load(&g->suppressed);
    stats->rejected_rate = word_load(&g->rejected_rate);
    stats->rejected_slots = word_load(&g->rejected_slots);
    stats->timeouts = word_load(&g->timeouts);
    stats->events_dropped = word_load(&g->ring.dropped);
}

static void look_at_layers(const struct edition *e, int64_t now, hardy_guard_stats *stats) {
    if (e->words.breaker != NULL) {
        breaker_stats(e->words.breaker, &e->breaker, now, &stats->breaker);
    }
    if (e->words.budget != NULL) {
        stats->budget_left = budget_left(e->words.budget, &e->budget, now);
    }
    if (e->words.rate != NULL) {
        stats->rate_left =
            gcra_available(e->words.rate, &e->gcra,
                           e->rate.low_priority ? HARDY_PRIORITY_LOW : HARDY_PRIORITY_HIGH, now);
    }
}

void hardy_guard_get_stats(const hardy_guard *guard, hardy_guard_stats *stats) {
    hardy_guard *g = (hardy_guard *)(uintptr_t)guard; /* to tell it makes it so */
    hardy_guard_stats full = {.budget_left = -1, .rate_left = -1};
    size_t size = stats->size < sizeof full ? stats->size : sizeof full;
    full.breaker.size = sizeof full.breaker;
    add_up(g, &full);
    bulkhead_counts(&g->bulkhead, &full.running, &full.waiting);
    int64_t now = g->env.now(g->env.ctx);
    mutex_lock(&g->changing);
    struct breaker_change change = guard_settle(edition_current(&g->editions), now);
    look_at_layers(edition_current(&g->editions), now, &full);
    if (edition_current(&g->editions)->config.bulkhead != NULL) {
        full.concurrency_limit = bulkhead_limit_now(&g->bulkhead);
    }
    mutex_unlock(&g->changing);
    guard_note_change(g, &change, now);
    full.size = size;
    memcpy(stats, &full, size);
}

void guard_limit(hardy_guard *guard, uint32_t at_once) {
    bulkhead_limit(&guard->bulkhead, at_once);
}

size_t hardy_guard_take_events(hardy_guard *guard, hardy_event *events, size_t max) {
    size_t count = 0;
    while (count < max && ring_take(&guard->ring, &events[count])) {
        count++;
    }
    return count;
}
