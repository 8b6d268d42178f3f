/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/watch.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "http/problem.h"
#include "http/server.h"
#include "notify/notify.h"
#include "observe/process.h"
#include "supervise/maintenance.h"
#include <stdio.h>
#include <stdlib.h>

/* How often pages are looked for that another process has left, and how old they have to be. */
static const int64_t look_every = 15 * HARDY_SECOND, left_for = HARDY_MINUTE;

enum { MAX_METRICS = 1 << 20 };

enum mute { /* why nothing is done though the check may be down */
            MUTE_NOT,
            MUTE_PERSON, /* with a person, and not up since */
            MUTE_DOUBT   /* a person has to say how a remedy ended */
};

struct watched {
    struct watch *owner;
    const struct service_settings *service;
    struct handler *handler; /* an incident is being handled */
    enum handle_why why;
    enum mute mute;
    bool flapped; /* MUTE_PERSON: because a check flaps */
    char *remedy; /* MUTE_DOUBT: the key of what is in doubt */
};

struct watch {
    struct watch_options options;
    const struct watch_events *events;
    void *ctx;
    struct health *health;
    struct health_view view;
    struct health_server *server;
    struct outbox *outbox;
    int64_t started_wall;
    struct watched *services;
    size_t count;
    struct incident last; /* of `once` */
    bool has_last, ending, closing, unsent;
    size_t under_way; /* of what has to go before the end */
    hardy_error error;
    struct loop_timer timer; /* begins; then bounds the wait for the pages */
    struct loop_timer look;
};

/* --- the end: everything is let go, then it is told ------------------------------------------- */

static void end(struct watch *w) {
    w->events->ended(w->ctx, w->has_last ? &w->last : NULL, w->unsent,
                     w->error.status != HARDY_OK ? &w->error : NULL);
    for (size_t n = 0; n < w->count; n++)
        free(w->services[n].remedy);
    if (w->health)
        health_stop(w->health);
    incident_free(&w->last);
    free(w->services);
    free(w);
}

static void one_gone(void *ctx) {
    struct watch *w = ctx;
    if (--w->under_way == 0)
        end(w);
}

static void on_close(struct loop_timer *timer) {
    struct watch *w = timer->ctx;
    w->closing = true;
    w->unsent = !outbox_idle(w->outbox);
    loop_timer_stop(w->options.world.loop, &w->look);
    w->under_way = 1;
    for (size_t n = 0; n < w->count; n++)
        if (w->services[n].handler && !handle_leave(w->services[n].handler))
            w->under_way++; /* on_handler_gone() */
    if (w->server) {
        w->under_way++;
        health_server_stop(w->server, one_gone, w);
    }
    if (w->health)
        health_halt(w->health);
    outbox_stop(w->outbox, one_gone, w);
}

static void on_handler_gone(void *ctx) {
    struct watched *s = ctx;
    one_gone(s->owner);
}

/* Ends from the loop, after at most `span`. */
static void end_within(struct watch *w, int64_t span) {
    struct loop *loop = w->options.world.loop;
    if (w->closing)
        return;
    w->ending = true;
    loop_timer_stop(loop, &w->timer); /* it may be set already, for later */
    loop_timer_init(&w->timer, on_close, w);
    loop_timer_start(loop, &w->timer, time_add(loop_now(loop), span));
}

/* --- incidents -------------------------------------------------------------------------------- */

void watch_tell(struct watch *w, const struct notify_target *target, const struct notice *notice) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!w->closing && outbox_tell(w->outbox, target, notice, &error) != HARDY_OK &&
        w->events->page_failed)
        w->events->page_failed(w->ctx, target->name, error.message, true);
}

/* To everybody the service names, from memory: the state takes nothing now. */
static void page_at_once(struct watched *s, const char *dedup_key, const char *summary,
                         const char *severity) {
    struct watch *w = s->owner;
    const struct notice notice = {.action = "trigger",
                                  .dedup_key = dedup_key,
                                  .summary = summary,
                                  .severity = severity,
                                  .source = s->service->name};
    for (size_t n = 0; n < s->service->escalate.count; n++) {
        const struct notify_target *target =
            notify_find(w->options.world.targets, s->service->escalate.items[n]);
        if (target)
            watch_tell(w, target, &notice);
    }
}

static void on_told(void *ctx, const struct incident *i, int64_t wall, const char *what,
                    const char *detail) {
    struct watched *s = ctx;
    if (s->owner->events->told)
        s->owner->events->told(s->owner->ctx, i, wall, what, detail);
}

static void on_trouble(void *ctx, const struct incident *i, const hardy_error *error, int64_t pause,
                       bool first) {
    struct watched *s = ctx;
    char text[600], span[48];
    format_duration_short(pause, span);
    snprintf(text, sizeof text,
             "the state cannot be written (%s); nothing is done until it can, "
             "tried again in %s",
             error->message, span);
    on_told(s, i, loop_wall(s->owner->options.world.loop), "held up", text);
    if (!first ||
        i->state == INCIDENT_RESOLVED) /* well again: its end is told when it is written */
        return;
    snprintf(text, sizeof text, "%s, and hardy cannot help: its state cannot be written (%s)",
             i->summary, error->message);
    page_at_once(s, i->id, text, i->severity);
}

static void on_pages(void *ctx) {
    struct watched *s = ctx;
    outbox_kick(s->owner->outbox);
}

static void remember(struct watched *s, const struct incident *i) {
    free(s->remedy);
    s->remedy = NULL;
    s->mute = MUTE_NOT;
    s->flapped = i && i->flaps;
    if (i && i->state == INCIDENT_ESCALATED)
        s->mute = MUTE_PERSON;
    if (i && i->state == INCIDENT_IN_DOUBT) {
        s->mute = MUTE_DOUBT;
        s->remedy = incident_remedy_key(i);
    }
}

static void end_with(struct watch *w, const struct incident *i) {
    if (i) {
        incident_free(&w->last);
        w->has_last = incident_load(w->options.world.store, i->id, &w->last, NULL) == HARDY_OK;
    }
    end_within(w, outbox_idle(w->outbox) ? 0 : w->options.page_wait);
}

static void on_incident_ended(void *ctx, const struct incident *i, const hardy_error *error) {
    struct watched *s = ctx;
    struct watch *w = s->owner;
    bool fenced = error && error->status == HARDY_E_FENCED,
         one = w->options.once || w->options.service;
    s->handler = NULL;
    if (!error)
        remember(s, i);
    outbox_kick(w->outbox);
    if (error && !fenced && i) {
        char text[600];
        snprintf(text, sizeof text, "%s, and hardy cannot go on: %s", i->summary, error->message);
        page_at_once(s, i->id, text, i->severity);
    }
    if (fenced && !one) { /* the other one goes on with it; here the check decides what next */
        on_told(s, i, loop_wall(w->options.world.loop), "left", error->message);
    } else if (error) {
        w->error = *error;
        end_with(w, i);
    } else if (one && s->why != HANDLE_UP) {
        end_with(w, i);
    }
}

static void handle(struct watched *s, enum handle_why why, const char *severity,
                   const char *summary) {
    static const struct handler_events events = {on_told, on_trouble, on_pages, on_incident_ended,
                                                 on_handler_gone};
    struct watch *w = s->owner;
    s->why = why;
    if (handle_start(&w->options.world, s->service, why, severity, summary, &events, s, &s->handler,
                     &w->error) != HARDY_OK)
        end_within(w, 0);
}

static bool handling(const struct watch *w) {
    for (size_t n = 0; n < w->count; n++)
        if (w->services[n].handler)
            return true;
    return false;
}

/* Whether a person has said meanwhile how the remedy ended. */
static bool doubt_settled(const struct watched *s) {
    struct record r;
    if (!s->remedy ||
        record_load(s->owner->options.world.store, "remedy", s->remedy, &r, NULL) != HARDY_OK)
        return false;
    bool settled = r.state != RECORD_IN_DOUBT;
    record_free(&r);
    return settled;
}

struct verdict {       /* of all checks of a service */
    bool well;         /* each has passed as often as a repair has to, and does not flap */
    bool down;         /* one is */
    bool flaps;        /* one does */
    char message[300]; /* of the first that is down */
    char flap[200];    /* of the first that flaps */
};

/* Whether it is known not to flap. What has only begun to look, since a restart, is not. */
static bool steady(const struct watched *s, const struct check_state *state) {
    uint64_t seen = state->counts[CHECK_PASS] + state->counts[CHECK_FAIL];
    return !state->flapping && (!s->flapped || seen >= CHECK_FLAP_RESULTS);
}

static struct verdict judge(const struct watched *s) {
    const struct service_settings *service = s->service;
    struct verdict v = {.well = true};
    for (size_t n = 0; n < service->checks.count; n++) {
        const char *name = service->checks.items[n];
        const struct check_state *state = health_find(s->owner->health, name, NULL);
        bool up = state && state->level == LEVEL_UP, down = state && state->level == LEVEL_DOWN;
        v.well = v.well && up && state->successes >= service->verify.passes && steady(s, state);
        if (state && state->flapping && !v.flaps)
            snprintf(
                v.flap, sizeof v.flap,
                "%s flaps: it changed between good and bad %u times within its last %d answers",
                name, check_flap_changes(state), CHECK_FLAP_RESULTS);
        v.flaps = v.flaps || (state && state->flapping);
        if (down && !v.down)
            snprintf(v.message, sizeof v.message, "%s%s%s", service->checks.count > 1 ? name : "",
                     service->checks.count > 1 ? ": " : "", state->message);
        v.down = v.down || down;
    }
    return v;
}

/* In a pause, or a window, nobody is called either. */
static bool hands_are_off(const struct watched *s) {
    const struct handler_world *world = &s->owner->options.world;
    struct hands_off off;
    (void)hands_off(world->maintenance, world->store, s->service->name, loop_wall(world->loop),
                    &off, NULL);
    return off.off;
}

static void service_checked(struct watched *s) {
    const struct watch *w = s->owner;
    const char *severity = incident_severity_text(s->service->severity);
    struct verdict v = judge(s);
    char summary[400];
    if (s->handler || (w->options.once && handling(w)))
        return;
    if (s->mute == MUTE_DOUBT && doubt_settled(s)) {
        handle(s, HANDLE_LEFT, NULL, NULL);
    } else if (s->mute != MUTE_NOT && v.well) {
        handle(s, HANDLE_UP, NULL, NULL);
    } else if (v.flaps && s->mute == MUTE_NOT) {
        if (!hands_are_off(s))
            handle(s, HANDLE_FLAPS, severity, v.flap);
    } else if (v.down && (s->mute == MUTE_NOT || w->options.once)) {
        snprintf(summary, sizeof summary, "%s is down: %s", s->service->name, v.message);
        handle(s, HANDLE_DOWN, severity, summary);
    }
}

static bool has_check(const struct service_settings *s, const char *name) {
    for (size_t n = 0; n < s->checks.count; n++)
        if (str_eq(s->checks.items[n], name))
            return true;
    return false;
}

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct watch *w = ctx;
    if (w->ending)
        return;
    if (w->events->checked && !(w->options.once && handling(w)))
        w->events->checked(w->ctx, c, state, changed);
    for (size_t n = 0; n < w->count; n++)
        if (has_check(w->services[n].service, c->name))
            service_checked(&w->services[n]);
}

/* --- /metrics --------------------------------------------------------------------------------- */

void watch_write_metrics(const struct watch *w, struct exposition *x) {
    outbox_write_metrics(w->outbox, x);
}

static void answer_metrics(void *ctx, struct http_request *r) {
    const struct watch *w = ctx;
    struct exposition x;
    struct buf text;
    buf_init(&text, MAX_METRICS);
    exposition_begin(&x, &text);
    exposition_process(&x, w->started_wall);
    exposition_state(&x, store_health(w->options.world.store, NULL) == HARDY_OK);
    watch_write_metrics(w, &x);
    incident_write_metrics(w->options.world.store, &x);
    if (w->events->metrics)
        w->events->metrics(w->ctx, &x);
    if (text.failed) /* half a page would look like metrics that have gone */
        http_problem(r, 503, NULL, NULL, NULL, "no memory for the metrics");
    else
        http_respond(r, 200, NULL, EXPOSITION_TYPE, text.data, text.len);
    buf_free(&text);
}

/* --- pages ------------------------------------------------------------------------------------ */

static void on_delivered(void *ctx, const char *target, const char *dedup_key, const char *said) {
    struct watch *w = ctx;
    (void)said;
    if (w->events->paged)
        w->events->paged(w->ctx, target, dedup_key);
}

static void on_failed(void *ctx, const char *target, const char *why, int64_t next_try) {
    struct watch *w = ctx;
    if (w->events->page_failed)
        w->events->page_failed(w->ctx, target, why, next_try != HARDY_NEVER);
}

static void on_idle(void *ctx) {
    struct watch *w = ctx;
    if (w->ending)
        end_within(w, 0);
}

static void on_look(struct loop_timer *timer) {
    struct watch *w = timer->ctx;
    struct loop *loop = w->options.world.loop;
    outbox_look(w->outbox, left_for);
    loop_timer_start(loop, &w->look, time_add(loop_now(loop), look_every));
}

/* --- the beginning ---------------------------------------------------------------------------- */

static bool tell_if_forgotten(void *ctx, const struct store_row *row) {
    struct watch *w = ctx;
    struct past past;
    struct incident i = {0};
    char text[400];
    if (incident_service(w->options.world.settings, row->key) ||
        past_load(w->options.world.store, row->key, &past, NULL) != HARDY_OK)
        return true;
    if (past.incident &&
        incident_load(w->options.world.store, past.incident, &i, NULL) == HARDY_OK &&
        i.state != INCIDENT_RESOLVED && i.state != INCIDENT_ESCALATED && w->events->told) {
        snprintf(text, sizeof text, "%s was left in state %s, and %s is not configured any more",
                 i.id, incident_state_text(i.state), i.service);
        w->events->told(w->ctx, &i, loop_wall(w->options.world.loop), "left", text);
    }
    incident_free(&i);
    past_free(&past);
    return true;
}

/* What an earlier process left comes first. */
static void take_up(struct watched *s) {
    struct watch *w = s->owner;
    struct past past;
    struct incident i = {0};
    hardy_status status = past_load(w->options.world.store, s->service->name, &past, &w->error);
    if (status == HARDY_OK && past.incident) {
        status = incident_load(w->options.world.store, past.incident, &i, &w->error);
        if (status == HARDY_OK)
            remember(s, &i);
        else if (status == HARDY_E_NOT_FOUND) { /* kept as long as it was to be */
            hardy_error_init(&w->error, sizeof w->error);
            status = HARDY_OK;
        }
    }
    if (status != HARDY_OK)
        end_within(w, 0);
    else if (i.id && (incident_under_way(&i) || (s->mute == MUTE_DOUBT && doubt_settled(s))) &&
             !(w->options.once && handling(w)))
        handle(s, HANDLE_LEFT, NULL, NULL);
    incident_free(&i);
    past_free(&past);
}

static void on_begin(struct loop_timer *timer) {
    struct watch *w = timer->ctx;
    const struct watch_options *o = &w->options;
    loop_timer_start(o->world.loop, &w->look, time_add(loop_now(o->world.loop), look_every));
    for (size_t n = 0; n < w->count && !w->ending; n++) {
        struct watched *s = &w->services[n];
        if (!o->service)
            take_up(s);
        else if (str_eq(s->service->name, o->service))
            handle(s, HANDLE_BY_HAND,
                   o->severity ? o->severity : incident_severity_text(s->service->severity),
                   o->summary);
    }
    if (!o->service && !w->ending)
        (void)store_scan(o->world.store, "service", "", NULL, SIZE_MAX, tell_if_forgotten, w, NULL);
}

static hardy_status find_service(const struct watch_options *o, hardy_error *error) {
    const char *names[64];
    size_t count = 0;
    if (!o->service || incident_service(o->world.settings, o->service))
        return HARDY_OK;
    for (size_t n = 0; n < incident_service_count(o->world.settings) && n < 64; n++)
        names[count++] = incident_service_at(o->world.settings, n)->name;
    const char *nearest = str_nearest(o->service, names, count);
    return fail(error, HARDY_E_NOT_FOUND, NULL,
                "there is no service `%s` under incidents: or heal:%s%s%s", o->service,
                nearest ? " (did you mean `" : "", nearest ? nearest : "", nearest ? "`?)" : "");
}

static void free_watch(struct watch *w) {
    if (w->health)
        health_stop(w->health);
    free(w->services);
    free(w);
}

static const char *objection(void *ctx) {
    const struct watch *w = ctx;
    return w->options.objection(w->ctx);
}

static hardy_status start_all(struct watch *w, hardy_error *error) {
    static const struct health_events health_events = {on_checked};
    static const struct outbox_events outbox_events = {on_delivered, on_failed, on_idle};
    const struct handler_world *world = &w->options.world;
    if (!w->options.service) {
        w->health =
            health_start(world->loop, world->client, world->checks, &health_events, w, error);
        if (!w->health)
            return HARDY_E_NOMEM;
        if (w->options.known)
            health_take_over(w->health, w->options.known);
    }
    if (w->health && w->options.health && w->options.health->listen) {
        w->view.health = w->health;
        w->view.metrics = answer_metrics;
        w->view.ctx = w;
        w->view.objection = w->options.objection ? objection : NULL;
        hardy_status status =
            health_serve(world->loop, w->options.health, &w->view, &w->server, error);
        if (status != HARDY_OK)
            return status;
    }
    const struct outbox_options outbox = {.loop = world->loop,
                                          .store = world->store,
                                          .client = world->client,
                                          .env = world->env,
                                          .targets = world->targets,
                                          .events = &outbox_events,
                                          .ctx = w};
    hardy_status status = outbox_start(&outbox, &w->outbox, error);
    if (status != HARDY_OK && w->server)
        health_server_stop(w->server, NULL, NULL);
    return status;
}

hardy_status watch_start(const struct watch_options *options, const struct watch_events *events,
                         void *ctx, struct watch **out, hardy_error *error) {
    size_t count = incident_service_count(options->world.settings);
    hardy_status status = find_service(options, error);
    if (status != HARDY_OK)
        return status;
    struct watch *w = calloc(1, sizeof *w);
    if (w)
        w->services = calloc(count + 1, sizeof *w->services);
    if (!w || !w->services) {
        free(w);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to watch");
    }
    w->options = *options;
    w->events = events;
    w->started_wall = loop_wall(options->world.loop);
    w->ctx = ctx;
    hardy_error_init(&w->error, sizeof w->error);
    for (size_t n = 0; n < count; n++)
        w->services[w->count++] = (struct watched){
            .owner = w, .service = incident_service_at(options->world.settings, n)};
    loop_timer_init(&w->timer, on_begin, w);
    loop_timer_init(&w->look, on_look, w);
    status = start_all(w, error);
    if (status != HARDY_OK) {
        free_watch(w);
        return status;
    }
    loop_timer_start(options->world.loop, &w->timer, loop_now(options->world.loop));
    *out = w;
    return HARDY_OK;
}

void watch_pages(struct watch *w) {
    if (!w->closing)
        outbox_kick(w->outbox);
}

const struct health *watch_health(const struct watch *w) {
    return w->health;
}

void watch_stop(struct watch *w) {
    end_within(w, 0);
}
