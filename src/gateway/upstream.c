/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/upstream.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "settings/sharing.h"
#include <stdlib.h>
#include <string.h>

#define UNLIMITED 1000000 /* attempts at once: the most that a bulkhead has */

void standings_free(struct standings *s) {
    struct standing *next;
    for (struct standing *one = s->first; one; one = next) {
        next = one->next;
        hardy_guard_free(one->guard);
        free(one);
    }
    s->first = NULL;
}

static struct standing *find_standing(struct standings *s, const char *name) {
    for (struct standing *one = s->first; one; one = one->next) {
        if (str_eq(one->name, name)) {
            return one;
        }
    }
    struct standing *one = aligned_alloc(_Alignof(struct standing), sizeof *one);
    if (one) {
        memset(one, 0, sizeof *one);
        str_copy(one->name, sizeof one->name, name);
        one->next = s->first;
        s->first = one;
    }
    return one;
}

/* --- guards ----------------------------------------------------------------------------------- */

/* As the standing says: the guard of this reading as the one before. */
static void apply_lowered(struct upstream_guard *guard) {
    const struct standing *s = guard->standing;
    loop_timer_stop(guard->loop, &guard->lift);
    guard_limit(guard->guard, upstream_guard_lowered(guard));
    if (upstream_guard_lowered(guard) > 0) {
        loop_timer_start(guard->loop, &guard->lift, s->lowered_until);
    }
}

static void on_lift(struct loop_timer *timer) {
    apply_lowered(timer->ctx);
}

uint32_t upstream_guard_lowered(const struct upstream_guard *guard) {
    const struct standing *s = guard->standing;
    return loop_now(guard->loop) < s->lowered_until ? s->lowered_to : 0;
}

void upstream_guard_lower(struct upstream_guard *guard, double share, int64_t until) {
    struct standing *s = guard->standing;
    hardy_guard_stats stats = {.size = sizeof stats};
    stats.breaker.size = sizeof stats.breaker;
    hardy_guard_get_stats(guard->guard, &stats);
    if (upstream_guard_lowered(guard) == 0 || stats.running > s->lowered_from) {
        s->lowered_from = stats.running;
    }
    s->lowered_to = (uint32_t)(share * s->lowered_from);
    s->lowered_to = s->lowered_to > 0 ? s->lowered_to : 1;
    s->lowered_until = until;
    apply_lowered(guard);
}

/* The guard of the standing, and whether it can have these settings: nothing is changed yet. */
static hardy_status prepare_guard(struct loop *loop, struct standings *standings,
                                  struct upstream_guard *out, hardy_error *error) {
    struct guard_settings *settings = &out->settings;
    struct standing *standing = find_standing(standings, out->name);
    if (!standing) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a guard");
    }
    /* What may be repeated is each request's own matter: its method, its key, its protocol. */
    settings->retry.repeatable = false;
    if (!settings->config.bulkhead) { /* so that it can be lowered */
        hardy_bulkhead_config_init(&settings->bulkhead, sizeof settings->bulkhead);
        settings->bulkhead.max_concurrent = UNLIMITED;
        settings->config.bulkhead = &settings->bulkhead;
    }
    hardy_env env = loop_env(loop);
    hardy_status status = HARDY_OK;
    if (!standing->guard) {
        status = hardy_guard_new(&settings->config, &env, &standing->guard, error);
    }
    if (status == HARDY_OK) {
        status = guard_check_change(standing->guard, &settings->config, error);
    }
    out->standing = standing;
    out->guard = standing->guard;
    out->loop = loop;
    loop_timer_init(&out->lift, on_lift, out);
    return status;
}

/* Gives the guard the settings it was prepared for. */
static void change_guard(struct standings *standings, struct upstream_guard *out) {
    struct guard_settings *settings = &out->settings;
    struct guard_words shared = {0};
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (standings->host &&
        sharing_serve(standings->host, out->name, settings, &shared, &why) != HARDY_OK) {
        /* Serving goes on with what this process knows. */
        shared = (struct guard_words){0};
        log_event(HARDY_LOG_WARNING, "guard is not shared with other processes", "guard", out->name,
                  "why", why.message, NULL);
    }
    if (guard_change_over(out->guard, &settings->config, &shared, &why) != HARDY_OK) {
        log_event(HARDY_LOG_ERROR, "the guard's settings stay as they were", "guard", out->name,
                  "why", why.message, NULL);
    }
    out->timeout_connect = settings->timeout_connect;
    out->timeout_idle = settings->config.timeout_idle;
    out->deadline = settings->config.deadline;
    out->low_priority = settings->config.rate && settings->config.rate->low_priority;
    out->limits_tokens = settings->given_tokens;
    out->tokens_reject = settings->tokens.reject;
    if (settings->given_tokens) {
        gcra_init(&out->tokens, &settings->tokens);
    }
    out->token_words = &out->standing->tokens;
    apply_lowered(out);
}

static hardy_status read_guard(const struct config *config, const struct upstream_settings *u,
                               struct guard_settings *out, hardy_error *error) {
    enum guard_base base = u->protocol == UPSTREAM_HTTP ? GUARD_HTTP : GUARD_LLM;
    const char *name = u->guard ? u->guard : u->name;
    const struct yaml_node *guards = config ? config_section(config, "guards") : NULL;
    if (u->guard || (guards && yaml_get(guards, name))) {
        return guard_settings_find(config, name, base, out, error);
    }
    struct guard_source source = {.base = base, .name = name};
    return guard_settings_read(&source, out, error);
}

const struct upstream_guard *upstream_guard_find(const struct upstream_set *set, const char *name) {
    for (size_t i = 0; i < set->guard_count; i++) {
        if (str_eq(set->guards[i].name, name)) {
            return &set->guards[i];
        }
    }
    return NULL;
}

static hardy_status take_guard(struct loop *loop, const struct config *config,
                               struct standings *standings, const struct upstream_settings *u,
                               struct upstream_set *set, const struct upstream_guard **out,
                               hardy_error *error) {
    const char *name = u->guard ? u->guard : u->name;
    *out = upstream_guard_find(set, name);
    if (*out) {
        return HARDY_OK;
    }
    struct upstream_guard *guard = &set->guards[set->guard_count++];
    str_copy(guard->name, sizeof guard->name, name);
    *out = guard;
    hardy_status status = read_guard(config, u, &guard->settings, error);
    return status == HARDY_OK ? prepare_guard(loop, standings, guard, error) : status;
}

/* --- the set ---------------------------------------------------------------------------------- */

static hardy_status fill(struct loop *loop, const struct config *config,
                         struct standings *standings, struct upstream_set *set,
                         hardy_error *error) {
    size_t count = set->settings.upstream_count;
    set->upstreams = calloc(count, sizeof *set->upstreams);
    set->guards = calloc(count, sizeof *set->guards);
    if (!set->upstreams || !set->guards) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for upstreams");
    }
    for (size_t i = 0; i < count; i++) {
        struct upstream *u = &set->upstreams[i];
        u->settings = &set->settings.upstreams[i];
        u->protocol = (enum upstream_protocol)u->settings->protocol;
        u->standing = find_standing(standings, u->settings->name);
        if (!u->standing) {
            return fail(error, HARDY_E_NOMEM, NULL, "no memory for upstreams");
        }
        hardy_status status =
            take_guard(loop, config, standings, u->settings, set, &u->guard, error);
        if (status != HARDY_OK) {
            error_prefix(error, "upstream `%s`", u->settings->name);
            return status;
        }
        set->count++;
    }
    return HARDY_OK;
}

hardy_status upstream_set_new(struct loop *loop, const struct config *config,
                              struct gateway_settings *settings, struct standings *standings,
                              struct upstream_set **out, hardy_error *error) {
    struct upstream_set *set = calloc(1, sizeof *set);
    if (!set) {
        gateway_settings_free(settings);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for upstreams");
    }
    set->references = 1;
    set->settings = *settings;
    memset(settings, 0, sizeof *settings);
    hardy_status status = fill(loop, config, standings, set, error);
    if (status != HARDY_OK) {
        upstream_set_release(set);
        return status;
    }
    for (size_t i = 0; i < set->guard_count; i++) {
        change_guard(standings, &set->guards[i]);
    }
    *out = set;
    return HARDY_OK;
}

struct upstream_set *upstream_set_hold(struct upstream_set *set) {
    set->references++;
    return set;
}

void upstream_set_release(struct upstream_set *set) {
    if (!set || --set->references > 0) {
        return;
    }
    for (size_t i = 0; i < set->guard_count; i++) {
        if (set->guards[i].loop) {
            loop_timer_stop(set->guards[i].loop, &set->guards[i].lift);
        }
        guard_settings_free(&set->guards[i].settings);
    }
    free(set->guards);
    free(set->upstreams);
    gateway_settings_free(&set->settings);
    free(set);
}

const struct upstream *upstream_find(const struct upstream_set *set, const char *path,
                                     const char **rest) {
    if (path[0] != '/') {
        return NULL;
    }
    size_t len = strcspn(path + 1, "/");
    for (size_t i = 0; i < set->count; i++) {
        const char *name = set->upstreams[i].settings->name;
        if (strlen(name) == len && memcmp(name, path + 1, len) == 0) {
            *rest = path + 1 + len;
            return &set->upstreams[i];
        }
    }
    return NULL;
}

struct learned *upstream_learned(const struct upstream *u, uint64_t credential) {
    struct standing *s = u->standing;
    struct learned *oldest = &s->learned[0];
    for (size_t i = 0; i < s->learned_count; i++) {
        if (s->learned[i].credential == credential) {
            return &s->learned[i];
        }
        oldest = s->learned[i].used < oldest->used ? &s->learned[i] : oldest;
    }
    if (s->learned_count < UPSTREAM_CREDENTIALS) {
        oldest = &s->learned[s->learned_count++];
    }
    learned_init(oldest, credential);
    return oldest;
}
