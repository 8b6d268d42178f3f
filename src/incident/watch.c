/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/watch.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "notify/notify.h"
#include <stdio.h>
#include <stdlib.h>

struct watched {
    struct watch *owner;
    const struct service_settings *service;
    struct handler *handler; /* an incident is being handled */
    bool muted;              /* escalated, and not up since */
};

struct watch {
    struct watch_options options;
    const struct watch_events *events;
    void *ctx;
    struct health *health;
    struct outbox *outbox;
    struct watched *services;
    size_t count;
    struct incident last; /* of `once` */
    bool has_last, ending, in_doubt;
    hardy_error error;
    struct loop_timer timer; /* begins; then bounds the wait for the pages */
};

static void end(struct watch *w) {
    bool unsent = w->outbox && !outbox_idle(w->outbox);
    loop_timer_stop(w->options.world.loop, &w->timer);
    if (w->health)
        health_stop(w->health);
    if (w->outbox)
        outbox_stop(w->outbox, NULL, NULL);
    for (size_t n = 0; n < w->count; n++)
        if (w->services[n].handler)
            incident_leave(w->services[n].handler);
    w->events->ended(w->ctx, w->has_last ? &w->last : NULL, unsent,
                     w->error.status != HARDY_OK ? &w->error : NULL);
    incident_free(&w->last);
    free(w->services);
    free(w);
}

static void on_end(struct loop_timer *timer) {
    end(timer->ctx);
}

/* Ends from the loop, after at most `span`. */
static void end_within(struct watch *w, int64_t span) {
    struct loop *loop = w->options.world.loop;
    w->ending = true;
    loop_timer_init(&w->timer, on_end, w);
    loop_timer_start(loop, &w->timer, time_add(loop_now(loop), span));
}

static void on_told(void *ctx, const struct incident *i, int64_t wall, const char *what,
                    const char *detail) {
    struct watched *s = ctx;
    if (s->owner->events->told)
        s->owner->events->told(s->owner->ctx, i, wall, what, detail);
}

static void on_incident_ended(void *ctx, const struct incident *i, const hardy_error *error) {
    struct watched *s = ctx;
    struct watch *w = s->owner;
    s->handler = NULL;
    s->muted = i->state != INCIDENT_RESOLVED;
    outbox_kick(w->outbox);
    if (!w->options.once && !error)
        return;
    if (error)
        w->error = *error;
    if (w->has_last)
        incident_free(&w->last);
    w->has_last = incident_load(w->options.world.store, i->id, &w->last, &w->error) == HARDY_OK;
    end_within(w, outbox_idle(w->outbox) ? 0 : w->options.page_wait);
}

static hardy_status open_incident(struct watched *s, const char *severity, const char *summary,
                                  hardy_error *error) {
    static const struct handler_events events = {on_told, on_incident_ended};
    return incident_start(&s->owner->options.world, s->service, severity, summary, &events, s,
                          &s->handler, error);
}

static bool handling(const struct watch *w) {
    for (size_t n = 0; n < w->count; n++)
        if (w->services[n].handler)
            return true;
    return false;
}

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct watch *w = ctx;
    bool quiet = w->ending || (w->options.once && handling(w));
    if (w->events->checked && !quiet)
        w->events->checked(w->ctx, c, state, changed);
    for (size_t n = 0; n < w->count; n++) {
        struct watched *s = &w->services[n];
        if (!str_eq(s->service->check, c->name))
            continue;
        if (state->level == LEVEL_UP)
            s->muted = false;
        if (quiet || state->level != LEVEL_DOWN || s->handler || s->muted ||
            (w->options.once && handling(w)))
            continue;
        char summary[400];
        snprintf(summary, sizeof summary, "%s is down: %s", s->service->name, state->message);
        if (open_incident(s, incident_severity_text(s->service->severity), summary, &w->error) !=
            HARDY_OK)
            end_within(w, 0);
    }
}

static void on_delivered(void *ctx, const char *target, const char *dedup_key) {
    struct watch *w = ctx;
    if (w->events->paged)
        w->events->paged(w->ctx, target, dedup_key);
}

static void on_failed(void *ctx, const char *target, const char *why, int64_t next_try) {
    struct watch *w = ctx;
    (void)next_try;
    if (w->events->page_failed)
        w->events->page_failed(w->ctx, target, why);
}

static void on_idle(void *ctx) {
    struct watch *w = ctx;
    if (w->ending)
        end_within(w, 0);
}

/* What an earlier process left open comes first. */
static void on_begin(struct loop_timer *timer) {
    struct watch *w = timer->ctx;
    for (size_t n = 0; n < w->count; n++) {
        struct incident i;
        if (w->services[n].handler || (w->options.once && handling(w)))
            continue;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        hardy_status status =
            incident_find_open(w->options.world.store, w->services[n].service->name, &i, &error);
        if (status == HARDY_E_NOT_FOUND)
            continue;
        if (status == HARDY_OK) {
            status = open_incident(&w->services[n], i.severity, i.summary, &error);
            incident_free(&i);
        }
        if (status != HARDY_OK) {
            w->error = error;
            end_within(w, 0);
            return;
        }
    }
}

static hardy_status check_names(const struct watch_options *o, hardy_error *error) {
    const struct service_settings *services = o->settings->services.items;
    const struct check_settings *checks = o->world.checks->items;
    for (size_t n = 0; n < o->settings->services.count; n++) {
        bool found = false;
        for (size_t k = 0; k < o->world.checks->count; k++)
            found |= str_eq(checks[k].name, services[n].check);
        if (!found)
            return fail(error, HARDY_E_INVALID, NULL,
                        "service `%s` names the check `%s`, which is not under checks:",
                        services[n].name, services[n].check);
        for (size_t k = 0; k < services[n].escalate.count; k++)
            if (!notify_find(o->world.targets, services[n].escalate.items[k]))
                return fail(error, HARDY_E_INVALID, NULL,
                            "service `%s` escalates to `%s`, which is not under notify:",
                            services[n].name, services[n].escalate.items[k]);
    }
    return HARDY_OK;
}

hardy_status watch_start(const struct watch_options *options, const struct watch_events *events,
                         void *ctx, struct watch **out, hardy_error *error) {
    static const struct health_events health_events = {on_checked};
    static const struct outbox_events outbox_events = {on_delivered, on_failed, on_idle};
    const struct service_settings *services = options->settings->services.items;
    hardy_status status = check_names(options, error);
    if (status != HARDY_OK)
        return status;
    struct watch *w = calloc(1, sizeof *w);
    if (w)
        w->services = calloc(options->settings->services.count + 1, sizeof *w->services);
    if (!w || !w->services) {
        free(w);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to watch");
    }
    w->options = *options;
    w->events = events;
    w->ctx = ctx;
    hardy_error_init(&w->error, sizeof w->error);
    for (size_t n = 0; n < options->settings->services.count; n++)
        w->services[w->count++] = (struct watched){.owner = w, .service = &services[n]};
    loop_timer_init(&w->timer, on_begin, w);
    const struct handler_world *world = &w->options.world;
    status = outbox_start(world->loop, world->store, world->client, world->targets, &outbox_events,
                          w, &w->outbox, error);
    if (status == HARDY_OK) {
        w->health =
            health_start(world->loop, world->client, world->checks, &health_events, w, error);
        if (!w->health) {
            outbox_stop(w->outbox, NULL, NULL);
            status = HARDY_E_NOMEM;
        }
    }
    if (status != HARDY_OK) {
        free(w->services);
        free(w);
        return status;
    }
    loop_timer_start(world->loop, &w->timer, loop_now(world->loop));
    *out = w;
    return HARDY_OK;
}

void watch_stop(struct watch *w) {
    end_within(w, 0);
}

hardy_status watch_open(struct watch *w, const char *service, const char *severity,
                        const char *summary, hardy_error *error) {
    const char *names[64];
    size_t count = 0;
    for (size_t n = 0; n < w->count; n++) {
        if (str_eq(w->services[n].service->name, service))
            return open_incident(
                &w->services[n],
                severity ? severity : incident_severity_text(w->services[n].service->severity),
                summary, error);
        if (count < sizeof names / sizeof *names)
            names[count++] = w->services[n].service->name;
    }
    const char *nearest = str_nearest(service, names, count);
    return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no service `%s` under incidents:%s%s%s",
                service, nearest ? "; did you mean `" : "", nearest ? nearest : "",
                nearest ? "`?" : "");
}
