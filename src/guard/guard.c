/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/prng.h"
#include "base/str.h"
#include "guard/state.h"
#include "policy/backoff.h"
#include "policy/settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hardy_budget_config default_budget = {
    .size = sizeof default_budget, .ratio = 0.1, .floor = 10};

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

static hardy_status take_name(hardy_guard *g, hardy_error *error) {
    const char *name = g->config.name;
    if (name == NULL || *name == '\0' || strlen(name) >= sizeof g->name) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "name is %s, which should have from 1 to 63 characters",
                    name == NULL    ? "missing"
                    : *name == '\0' ? "empty"
                                    : "too long");
    }
    str_copy(g->name, sizeof g->name, name);
    g->config.name = g->name;
    return HARDY_OK;
}

static hardy_status take_layers(hardy_guard *g, hardy_error *error) {
    hardy_guard_config *c = &g->config;
    hardy_status status = HARDY_OK;
    if (c->retry != NULL) {
        hardy_retry_config_init(&g->retry, sizeof g->retry);
        status = settings_take(&g->retry, sizeof g->retry, c->retry, "hardy_retry_config", error);
        c->retry = &g->retry;
        status = status != HARDY_OK ? status : retry_check(&g->retry, error);
    }
    if (c->retry == NULL) {
        c->budget = NULL;
    }
    if (status == HARDY_OK && c->budget != NULL) {
        hardy_budget_config_init(&g->budget, sizeof g->budget);
        status =
            settings_take(&g->budget, sizeof g->budget, c->budget, "hardy_budget_config", error);
        c->budget = &g->budget;
        status = status != HARDY_OK ? status : budget_check(&g->budget, error);
    }
    if (status == HARDY_OK && c->breaker != NULL) {
        hardy_breaker_config_init(&g->breaker, sizeof g->breaker);
        status = settings_take(&g->breaker, sizeof g->breaker, c->breaker, "hardy_breaker_config",
                               error);
        c->breaker = &g->breaker;
        status = status != HARDY_OK ? status : breaker_check(&g->breaker, error);
    }
    if (status == HARDY_OK && c->rate != NULL) {
        hardy_rate_config_init(&g->rate, sizeof g->rate);
        status = settings_take(&g->rate, sizeof g->rate, c->rate, "hardy_rate_config", error);
        c->rate = &g->rate;
        status = status != HARDY_OK ? status : rate_check(&g->rate, error);
    }
    if (status == HARDY_OK && c->bulkhead != NULL) {
        hardy_bulkhead_config_init(&g->slots, sizeof g->slots);
        status =
            settings_take(&g->slots, sizeof g->slots, c->bulkhead, "hardy_bulkhead_config", error);
        c->bulkhead = &g->slots;
    }
    return status;
}

static hardy_status take_config(hardy_guard *g, const hardy_guard_config *config,
                                const hardy_env *env, hardy_error *error) {
    hardy_guard_config_init(&g->config, sizeof g->config);
    hardy_env_system(&g->env, sizeof g->env);
    hardy_status status =
        settings_take(&g->config, sizeof g->config, config, "hardy_guard_config", error);
    if (status == HARDY_OK && env != NULL) {
        status = settings_take(&g->env, sizeof g->env, env, "hardy_env", error);
    }
    if (status == HARDY_OK) {
        status = take_name(g, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    const struct {
        const char *field;
        int64_t span;
    } spans[] = {{"deadline", g->config.deadline},
                 {"timeout", g->config.timeout},
                 {"timeout_first_content", g->config.timeout_first_content},
                 {"timeout_idle", g->config.timeout_idle}};
    for (size_t i = 0; status == HARDY_OK && i < sizeof spans / sizeof *spans; i++) {
        status = check_span(spans[i].span, spans[i].field, error);
    }
    if (status == HARDY_OK) {
        status = take_layers(g, error);
    }
    if (status == HARDY_OK && g->config.bulkhead != NULL) {
        status = bulkhead_init(&g->bulkhead, &g->slots, error);
    }
    if (status != HARDY_OK) {
        error_prefix(error, "guard %s", g->name);
    }
    return status;
}

static void choose_words(hardy_guard *g, const struct guard_words *given) {
    const hardy_guard_config *c = &g->config;
    struct guard_words w = given != NULL ? *given : (struct guard_words){0};
    g->words.breaker = c->breaker == NULL ? NULL : w.breaker != NULL ? w.breaker : &g->own_breaker;
    g->words.rate = c->rate == NULL ? NULL : w.rate != NULL ? w.rate : &g->own_rate;
    g->words.budget = c->budget == NULL ? NULL : w.budget != NULL ? w.budget : &g->own_budget;
}

hardy_status guard_new_over(const hardy_guard_config *config, const hardy_env *env,
                            const struct guard_words *words, hardy_guard **out,
                            hardy_error *error) {
    hardy_guard *g = aligned_alloc(_Alignof(hardy_guard), sizeof *g);
    if (g == NULL) {
        return fail(error, HARDY_E_NOMEM, NULL, "guard: %zu bytes of memory", sizeof *g);
    }
    memset(g, 0, sizeof *g);
    hardy_status status = take_config(g, config, env, error);
    if (status != HARDY_OK) {
        free(g);
        return status;
    }
    choose_words(g, words);
    ring_init(&g->ring);
    g->seed = g->env.random(g->env.ctx);
    g->owner = getpid();
    g->untimed = env == NULL && g->config.deadline == HARDY_NEVER &&
                 g->config.timeout == HARDY_NEVER && g->config.rate == NULL;
    *out = g;
    return HARDY_OK;
}

hardy_status hardy_guard_new(const hardy_guard_config *config, const hardy_env *env,
                             hardy_guard **out, hardy_error *error) {
    return guard_new_over(config, env, NULL, out, error);
}

void hardy_guard_free(hardy_guard *guard) {
    if (guard == NULL) {
        return;
    }
    if (guard->config.bulkhead != NULL) {
        bulkhead_destroy(&guard->bulkhead);
    }
    free(guard);
}

const hardy_guard_config *guard_config(const hardy_guard *guard) {
    return &guard->config;
}

const char *guard_name(const hardy_guard *guard) {
    return guard->name;
}

struct guard_words guard_words_of(hardy_guard *guard) {
    return guard->words;
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

void guard_note_change(hardy_guard *g, const struct breaker_change *change, int64_t now) {
    if (change->from == change->to) {
        return;
    }
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
    if (guard->words.breaker == NULL ||
        (state != HARDY_FORCED_OPEN && state != HARDY_DISABLED && state != HARDY_CLOSED)) {
        return HARDY_E_INVALID;
    }
    int64_t now = guard->env.now(guard->env.ctx);
    hardy_breaker_stats before = {.size = sizeof before};
    breaker_stats(guard->words.breaker, guard->config.breaker, now, &before);
    breaker_force(guard->words.breaker, state, until, now);
    guard_note_change(guard, &(struct breaker_change){.from = before.state, .to = state}, now);
    return HARDY_OK;
}

void hardy_guard_get_stats(const hardy_guard *guard, hardy_guard_stats *stats) {
    const hardy_guard *g = guard;
    int64_t now = g->env.now(g->env.ctx);
    hardy_guard_stats full = {.budget_left = -1, .rate_left = -1};
    size_t size = stats->size < sizeof full ? stats->size : sizeof full;
    uint64_t started = 0, refused = 0;
    full.breaker.size = sizeof full.breaker;
    if (g->words.breaker != NULL) {
        breaker_stats(g->words.breaker, g->config.breaker, now, &full.breaker);
    }
    for (size_t i = 0; i < GUARD_SHARDS; i++) {
        started += word_load(&g->shards[i].started);
        refused += word_load(&g->shards[i].refused);
    }
    full.retries = word_load(&g->retries);
    full.operations = started + refused;
    full.attempts = started + full.retries;
    full.retries_suppressed = word_load(&g->suppressed);
    full.rejected_rate = word_load(&g->rejected_rate);
    full.rejected_slots = word_load(&g->rejected_slots);
    full.timeouts = word_load(&g->timeouts);
    full.events_dropped = word_load(&g->ring.dropped);
    if (g->config.bulkhead != NULL) {
        bulkhead_counts(&g->bulkhead, &full.running, &full.waiting);
    }
    if (g->words.budget != NULL) {
        full.budget_left = budget_left(g->words.budget, g->config.budget, now);
    }
    if (g->words.rate != NULL) {
        full.rate_left = gcra_available(g->words.rate, g->config.rate, now);
    }
    full.size = size;
    memcpy(stats, &full, size);
}

void guard_limit(hardy_guard *guard, uint32_t at_once) {
    if (guard->config.bulkhead != NULL) {
        bulkhead_limit(&guard->bulkhead, at_once);
    }
}

size_t hardy_guard_take_events(hardy_guard *guard, hardy_event *events, size_t max) {
    size_t count = 0;
    while (count < max && ring_take(&guard->ring, &events[count])) {
        count++;
    }
    return count;
}
