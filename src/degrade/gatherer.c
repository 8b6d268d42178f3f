/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/gatherer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "degrade/gathering.h"
#include "guard/guard.h"
#include "io/loop.h"
#include "settings/sharing.h"
#include <stdlib.h>
#include <string.h>

struct held_guard { /* by this gatherer, and by those of earlier readings that still run */
    hardy_guard *guard;
    size_t users;
};
struct named_guard {
    struct named_guard *next;
    struct guard_settings settings;
    struct guard_words words; /* shared ones */
    struct held_guard *held;
};

struct named { /* one gathering of the configuration */
    struct gatherer *owner;
    const struct gathering_settings *settings;
    struct run *shared; /* under way for whoever asks; NULL */
    bool known;
    hardy_level level;
    hardy_component_state *states;
    int64_t since, since_wall;
    int64_t spent[LEVELS]; /* up to `since` */
    uint64_t answers[LEVELS], runs, joined;
};

struct run { /* one gathering under way, for one or several */
    struct list link;
    struct named *named;
    struct gathering *gathering;
    struct list asks;
    char *fresh;
};

struct gatherer {
    struct gatherer_world world;
    char *cwd;
    struct degrade_settings settings;
    struct named *named;
    struct named_guard *guards;
    struct list runs;
    size_t busy; /* gatherings that are not gone */
    bool retired;
};

/* --- guards ----------------------------------------------------------------------------------- */

static struct named_guard *find_guard(const struct gatherer *g, const char *name) {
    struct named_guard *one = g->guards;
    while (one && !str_eq(one->settings.name, name))
        one = one->next;
    return one;
}

static hardy_guard *guard_of(void *ctx, const char *name) {
    const struct named_guard *one = find_guard(ctx, name);
    return one ? one->held->guard : NULL;
}

static const struct guard_settings *settings_of(void *ctx, const char *name) {
    const struct named_guard *one = find_guard(ctx, name);
    return one ? &one->settings : NULL;
}

static void let_go(struct held_guard *held) {
    if (held && --held->users == 0) {
        hardy_guard_free(held->guard);
        free(held);
    }
}

static hardy_status make_guard(struct gatherer *g, const struct config *config, const char *name,
                               hardy_error *error) {
    hardy_env env = loop_env(g->world.loop);
    if (!name || find_guard(g, name))
        return HARDY_OK;
    struct named_guard *one = calloc(1, sizeof *one);
    if (!one)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for guard %s", name);
    hardy_status status = guard_settings_find(config, name, GUARD_DEFAULTS, &one->settings, error);
    one->held = calloc(1, sizeof *one->held);
    if (status == HARDY_OK && !one->held)
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for guard %s", name);
    if (status == HARDY_OK && g->world.host) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        if (sharing_serve(g->world.host, name, &one->settings, &one->words, &why) != HARDY_OK)
            log_event(HARDY_LOG_WARNING, "guard is not shared with other processes", "guard", name,
                      "why", why.message, NULL);
    }
    if (status == HARDY_OK)
        status = guard_new_over(&one->settings.config, &env, &one->words, &one->held->guard, error);
    if (status != HARDY_OK) {
        guard_settings_free(&one->settings);
        free(one->held);
        free(one);
        return status;
    }
    one->held->users = 1;
    one->next = g->guards;
    g->guards = one;
    return HARDY_OK;
}

static hardy_status make_guards(struct gatherer *g, const struct config *config,
                                hardy_error *error) {
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < g->settings.gatherings.count; i++) {
        const struct schema_list *list = &g->named[i].settings->components;
        const struct source_settings *components = list->items;
        for (size_t c = 0; c < list->count; c++) {
            const struct source_settings *alternates = components[c].alternates.items;
            if (status == HARDY_OK)
                status = make_guard(g, config, components[c].guard, error);
            for (size_t a = 0; a < components[c].alternates.count && status == HARDY_OK; a++)
                status = make_guard(g, config, alternates[a].guard, error);
        }
    }
    return status;
}

/* --- opening and the end ---------------------------------------------------------------------- */

static void free_gatherer(struct gatherer *g) {
    for (size_t i = 0; g->named && i < g->settings.gatherings.count; i++)
        free(g->named[i].states);
    free(g->named);
    while (g->guards) {
        struct named_guard *one = g->guards;
        g->guards = one->next;
        let_go(one->held);
        guard_settings_free(&one->settings);
        free(one);
    }
    degrade_settings_free(&g->settings);
    free(g->cwd);
    free(g);
}

static void on_gone(void *ctx) {
    struct gatherer *g = ctx;
    g->busy--;
    if (g->retired && g->busy == 0)
        free_gatherer(g);
}

static hardy_status make_named(struct gatherer *g, hardy_error *error) {
    const struct gathering_settings *list = g->settings.gatherings.items;
    size_t count = g->settings.gatherings.count;
    bool good = (g->named = calloc(count + 1, sizeof *g->named)) != NULL;
    for (size_t i = 0; good && i < count; i++) {
        g->named[i].owner = g;
        g->named[i].settings = &list[i];
        g->named[i].states = calloc(list[i].components.count + 1, sizeof(hardy_component_state));
        good = g->named[i].states != NULL;
    }
    return good ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for the gatherings");
}

hardy_status gatherer_open(const struct gatherer_world *world, const struct config *config,
                           struct gatherer **out, hardy_error *error) {
    struct gatherer *g = calloc(1, sizeof *g);
    if (!g)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the gatherings");
    g->world = *world;
    g->world.cwd = g->cwd = str_dup(world->cwd);
    list_init(&g->runs);
    hardy_status status = degrade_settings_read(config, &g->settings, error);
    if (status == HARDY_OK)
        status = make_named(g, error);
    if (status == HARDY_OK)
        status = make_guards(g, config, error);
    if (status != HARDY_OK)
        free_gatherer(g);
    else
        *out = g;
    return status;
}

const struct degrade_settings *gatherer_settings(const struct gatherer *g) {
    return &g->settings;
}

/* Its guards go on with the settings of this reading, and count on. */
static void take_guards(struct gatherer *g, const struct gatherer *from) {
    for (struct named_guard *one = g->guards; one; one = one->next) {
        const struct named_guard *before = find_guard(from, one->settings.name);
        if (before && guard_change_over(before->held->guard, &one->settings.config, &one->words,
                                        NULL) == HARDY_OK) {
            let_go(one->held);
            one->held = before->held;
            one->held->users++;
        }
    }
}

void gatherer_take_over(struct gatherer *g, const struct gatherer *from) {
    take_guards(g, from);
    for (size_t i = 0; i < g->settings.gatherings.count; i++) {
        struct named *n = &g->named[i];
        size_t at;
        if (gathering_find(&from->settings, n->settings->name, &at, NULL) != HARDY_OK)
            continue;
        const struct named *before = &from->named[at];
        struct named taken = *before;
        taken.owner = g;
        taken.settings = n->settings;
        taken.shared = NULL;
        taken.states = n->states; /* of other components, perhaps: known after the next run */
        *n = taken;
    }
}

void gatherer_retire(struct gatherer *g) {
    g->retired = true;
    if (g->busy == 0)
        free_gatherer(g);
}

static void end_run(struct run *r) {
    list_remove(&r->link);
    if (r->named->shared == r)
        r->named->shared = NULL;
    free(r->fresh);
    free(r);
}

void gatherer_close(struct gatherer *g) {
    if (!g)
        return;
    g->busy++; /* stays until all of it has been said */
    while (!list_empty(&g->runs)) {
        struct run *r = LIST_ITEM(g->runs.next, struct run, link);
        gathering_cancel(r->gathering);
        while (!list_empty(&r->asks)) {
            struct gatherer_ask *ask = LIST_ITEM(r->asks.next, struct gatherer_ask, link);
            list_remove(&ask->link);
            ask->done(ask->ctx, NULL);
        }
        end_run(r);
    }
    g->retired = true;
    on_gone(g);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void note(struct named *n, hardy_level level, const hardy_component *components) {
    int64_t now = loop_now(n->owner->world.loop);
    if (!n->known || level != n->level) {
        if (n->known) {
            n->spent[n->level] += now - n->since;
            log_event(level > n->level ? HARDY_LOG_WARNING : HARDY_LOG_INFO, "degradation",
                      "gathering", n->settings->name, "level", hardy_level_text(level), "before",
                      hardy_level_text(n->level), NULL);
        }
        n->since = now;
        n->since_wall = loop_wall(n->owner->world.loop);
    }
    n->known = true;
    n->level = level;
    n->answers[level]++;
    for (size_t i = 0; i < n->settings->components.count; i++)
        n->states[i] = components[i].state;
}

static void on_gathered(void *ctx, const hardy_component *components, size_t count) {
    struct run *r = ctx;
    struct named *n = r->named;
    struct list asks;
    struct gathered gathered = {.settings = n->settings,
                                .level = hardy_level_of(components, count),
                                .components = components,
                                .count = count};
    gathered.acceptable = gathered.level <= gathering_worst(n->settings);
    gathered.switches = n->settings->switches[gathered.level];
    if (!r->fresh)
        note(n, gathered.level, components);
    list_init(&asks);
    while (!list_empty(&r->asks)) { /* those who answer may ask anew */
        struct list *link = r->asks.next;
        list_remove(link);
        list_append(&asks, link);
    }
    end_run(r);
    while (!list_empty(&asks)) {
        struct gatherer_ask *ask = LIST_ITEM(asks.next, struct gatherer_ask, link);
        list_remove(&ask->link);
        ask->run = NULL;
        ask->done(ask->ctx, &gathered);
    }
}

static hardy_status check_fresh(const struct gathering_settings *s, const char *fresh,
                                hardy_error *error) {
    const struct source_settings *components = s->components.items;
    if (!fresh || str_eq(fresh, "*"))
        return HARDY_OK;
    for (const char *at = fresh;; at++) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < s->components.count &&
               (strlen(components[i].name) != len || strncmp(components[i].name, at, len) != 0))
            i++;
        if (i == s->components.count)
            return fail(error, HARDY_E_NOT_FOUND, NULL,
                        "gathering `%s` has no component `%.*s` that could be fresh", s->name,
                        len > 63 ? 63 : (int)len, at);
        at += len;
        if (!*at)
            return HARDY_OK;
    }
}

static hardy_status start_run(struct named *n, const char *fresh, struct run **out,
                              hardy_error *error) {
    struct gatherer *g = n->owner;
    struct run *r = calloc(1, sizeof *r);
    if (r && fresh)
        r->fresh = str_dup(fresh);
    if (!r || (fresh && !r->fresh)) {
        free(r);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to gather");
    }
    const struct gathering_world world = {.loop = g->world.loop,
                                          .cache = g->world.cache,
                                          .client = g->world.client,
                                          .cwd = g->world.cwd,
                                          .guard = guard_of,
                                          .settings = settings_of,
                                          .gone = on_gone,
                                          .ctx = g};
    const struct gathering_plan plan = {.name = n->settings->name,
                                        .deadline = n->settings->deadline,
                                        .sources = &n->settings->components,
                                        .fresh = r->fresh};
    r->named = n;
    list_init(&r->asks);
    hardy_status status = gathering_start(&world, &plan, on_gathered, r, &r->gathering, error);
    if (status != HARDY_OK) {
        free(r->fresh);
        free(r);
        return status;
    }
    g->busy++;
    n->runs++;
    list_append(&g->runs, &r->link);
    if (!fresh)
        n->shared = r;
    *out = r;
    return HARDY_OK;
}

hardy_status gatherer_ask(struct gatherer *g, const char *name, const char *fresh,
                          struct gatherer_ask *ask, hardy_error *error) {
    size_t at;
    hardy_status status = gathering_find(&g->settings, name, &at, error);
    if (status == HARDY_OK)
        status = check_fresh(g->named[at].settings, fresh, error);
    if (status != HARDY_OK)
        return status;
    struct named *n = &g->named[at];
    struct run *r = fresh ? NULL : n->shared;
    if (r)
        n->joined++;
    else
        status = start_run(n, fresh, &r, error);
    if (status == HARDY_OK) {
        ask->run = r;
        list_append(&r->asks, &ask->link);
    }
    return status;
}

void gatherer_ask_cancel(struct gatherer_ask *ask) {
    struct run *r = ask->run;
    list_remove(&ask->link);
    if (r && list_empty(&r->asks)) {
        struct gathering *gathering = r->gathering;
        end_run(r);
        gathering_cancel(gathering);
    }
}

/* --- figures ---------------------------------------------------------------------------------- */

size_t gatherer_count(const struct gatherer *g) {
    return g->settings.gatherings.count;
}

void gatherer_look(const struct gatherer *g, size_t i, struct gatherer_figures *out) {
    const struct named *n = &g->named[i];
    *out = (struct gatherer_figures){.settings = n->settings,
                                     .known = n->known,
                                     .level = n->level,
                                     .since = n->since_wall,
                                     .states = n->states,
                                     .runs = n->runs,
                                     .shared = n->joined};
    memcpy(out->spent, n->spent, sizeof out->spent);
    memcpy(out->answers, n->answers, sizeof out->answers);
    if (n->known)
        out->spent[n->level] += loop_now(g->world.loop) - n->since;
}
