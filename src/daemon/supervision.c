/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/supervision.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/folder.h"
#include "io/file.h"
#include <stdio.h>
#include <stdlib.h>

static const int64_t page_wait = 10 * HARDY_SECOND;

/* --- settings ----------------------------------------------------------------------------------
 */

hardy_status supervision_read(const struct config *config, const char *state,
                              struct supervision_settings *out, hardy_error *error) {
    *out = (struct supervision_settings){0};
    hardy_status status = checks_read(config, &out->checks, error);
    status = status == HARDY_OK ? notify_read(config, &out->targets, error) : status;
    status = status == HARDY_OK ? incident_settings_read(config, &out->incidents, error) : status;
    status = status == HARDY_OK ? maintenance_read(config, &out->maintenance, error) : status;
    status = status == HARDY_OK ? fail_over_read(config, &out->fail_overs, error) : status;
    status = status == HARDY_OK ? children_settings_read(config, &out->children, error) : status;
    if (status == HARDY_OK)
        checks_use_state(&out->checks, state);
    return status;
}

size_t supervision_check(const struct config *config, const struct supervision_settings *s,
                         schema_report report, void *ctx) {
    return incident_settings_check(config, &s->incidents, &s->checks, &s->targets, report, ctx) +
           fail_over_check(config, &s->fail_overs, &s->checks, &s->targets, report, ctx) +
           children_settings_check(config, &s->children, &s->checks, &s->targets, report, ctx);
}

void supervision_settings_free(struct supervision_settings *s) {
    incident_settings_free(&s->incidents);
    fail_over_free(&s->fail_overs);
    children_settings_free(&s->children);
    maintenance_free(&s->maintenance);
    checks_free(&s->checks);
    notify_free(&s->targets);
    *s = (struct supervision_settings){0};
}

/* --- the whole ---------------------------------------------------------------------------------
 */

struct supervision {
    struct supervision_options options;
    const struct supervision_events *events;
    void *ctx;
    struct supervision_settings first;    /* of the children and fail-overs */
    struct supervision_settings *current; /* of the watch: `first`, or loaded later */
    struct supervision_settings *next;    /* loaded, and waits for the watch to end; NULL */
    struct watch *watch;
    struct health *kept; /* what was known, from one watch to the next; NULL */
    struct fail_over *fail_over;
    struct children *children;
    struct children_world children_world;
    char *state; /* its whole path; NULL = it has none */
    char *folder, boot[37];
    struct remedy_inside inside;
    struct loop_timer last; /* of what has not begun */
    bool stopping;
};

static void free_settings(struct supervision *s, struct supervision_settings *settings) {
    if (!settings || settings == &s->first)
        return;
    supervision_settings_free(settings);
    free(settings);
}

static void all_gone(void *ctx) {
    struct supervision *s = ctx;
    s->fail_over = NULL;
    s->events->gone(s->ctx);
    if (s->kept)
        health_stop(s->kept);
    free_settings(s, s->next);
    free_settings(s, s->current);
    supervision_settings_free(&s->first);
    free(s->folder);
    free(s->state);
    free(s);
}

/* --- what happens ------------------------------------------------------------------------------
 */

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct supervision *s = ctx;
    if (s->fail_over)
        fail_over_checked(s->fail_over, c, state);
    if (s->children)
        children_checked(s->children, c, state);
    if (s->events->checked)
        s->events->checked(s->ctx, c, state, changed);
}

static void on_incident(void *ctx, const struct incident *i, int64_t wall, const char *what,
                        const char *detail) {
    struct supervision *s = ctx;
    if (s->events->told)
        s->events->told(s->ctx, i->service, i->id, wall, what, detail);
}

static void on_happened(void *ctx, const char *name, int64_t wall, const char *what,
                        const char *detail) {
    struct supervision *s = ctx;
    if (s->events->told)
        s->events->told(s->ctx, name, NULL, wall, what, detail);
}

static void on_paged(void *ctx, const char *target, const char *dedup_key) {
    struct supervision *s = ctx;
    if (s->events->paged)
        s->events->paged(s->ctx, target, dedup_key);
}

static void on_page_failed(void *ctx, const char *target, const char *why, bool again) {
    struct supervision *s = ctx;
    if (s->events->page_failed)
        s->events->page_failed(s->ctx, target, why, again);
}

static void on_own_page(void *ctx) {
    struct supervision *s = ctx;
    if (s->watch)
        watch_pages(s->watch);
}

static void on_urgent(void *ctx, const struct notify_target *target, const struct notice *notice) {
    struct supervision *s = ctx;
    if (s->watch)
        watch_tell(s->watch, target, notice);
}

static void on_metrics(void *ctx, struct exposition *x) {
    const struct supervision *s = ctx;
    hands_off_write_metrics(&s->current->maintenance, s->options.store, loop_wall(s->options.loop),
                            x);
    if (s->fail_over)
        fail_over_write_metrics(s->fail_over, x);
}

static void on_settled(void *ctx) {
    struct supervision *s = ctx;
    if (s->events->settled)
        s->events->settled(s->ctx);
}

static const char *objection(void *ctx) {
    return supervision_objection(ctx);
}

/* --- remedies that are done inside -------------------------------------------------------------
 */

static hardy_status act_inside(void *ctx, const struct action_settings *action, const char *key,
                               char told[200], hardy_error *error) {
    struct supervision *s = ctx;
    const char *name = action->restart ? action->restart : action->reload;
    hardy_status status;
    if (name && !s->children)
        return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no child %s here", name);
    if (action->restart) {
        status = children_restart(s->children, name, key, error);
        snprintf(told, 200, "%.63s is being restarted", name);
        return status == HARDY_E_EXISTS ? HARDY_OK : status;
    }
    if (action->reload) {
        snprintf(told, 200, "%.63s reads its configuration again", name);
        return children_reload(s->children, name, error);
    }
    if (action->fail_over && !s->fail_over)
        return fail(error, HARDY_E_NOT_FOUND, NULL, "there is no fail-over %s here",
                    action->fail_over);
    if (action->fail_over) {
        snprintf(told, 200, "%.63s switches", action->fail_over);
        return fail_over_switch(s->fail_over, action->fail_over, key, error);
    }
    if (s->options.inside)
        return s->options.inside->act(s->options.inside->ctx, action, key, told, error);
    return fail(error, HARDY_E_UNSUPPORTED, NULL,
                "only hardy serve can do this: it has the gateway and the cached answers");
}

/* --- the watch, anew with other settings -------------------------------------------------------
 */

static void on_watched(void *ctx, const struct incident *i, bool unsent, const hardy_error *error);

static void tell_health(struct supervision *s) {
    if (s->events->health)
        s->events->health(s->ctx, s->watch ? watch_health(s->watch) : s->kept);
}

static hardy_status start_watch(struct supervision *s, hardy_error *error) {
    static const struct watch_events events = {on_checked,     on_incident, on_paged,
                                               on_page_failed, on_watched,  on_metrics};
    const struct supervision_options *o = &s->options;
    const struct watch_options options = {.world = {.loop = o->loop,
                                                    .store = o->store,
                                                    .state = o->state,
                                                    .cwd = o->cwd,
                                                    .self = o->self,
                                                    .env = o->env,
                                                    .client = o->client,
                                                    .checks = &s->current->checks,
                                                    .targets = &s->current->targets,
                                                    .settings = &s->current->incidents,
                                                    .maintenance = &s->current->maintenance,
                                                    .inside = &s->inside},
                                          .health = o->health,
                                          .known = s->kept,
                                          .once = o->once,
                                          .service = o->service,
                                          .severity = o->severity,
                                          .summary = o->summary,
                                          .page_wait = page_wait,
                                          .objection = objection};
    hardy_status status = watch_start(&options, &events, s, &s->watch, error);
    if (status == HARDY_OK)
        tell_health(s);
    return status;
}

static void end_rest(struct supervision *s) {
    if (s->fail_over)
        fail_over_stop(s->fail_over, all_gone, s);
    else
        all_gone(s);
}

/* It has ended to begin anew. */
static void replace_watch(struct supervision *s) {
    struct supervision_settings *former = s->current;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->current = s->next;
    s->next = NULL;
    hardy_status status = start_watch(s, &error);
    struct health *kept = s->kept;
    s->kept = NULL;
    if (status != HARDY_OK)
        tell_health(s);
    if (kept)
        health_stop(kept);
    free_settings(s, former);
    if (status != HARDY_OK && s->events->watched)
        s->events->watched(s->ctx, NULL, false, &error);
}

static void on_watched(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    struct supervision *s = ctx;
    s->watch = NULL;
    tell_health(s);
    if (s->next && !s->stopping && !error) {
        replace_watch(s);
        return;
    }
    if (s->events->watched)
        s->events->watched(s->ctx, i, unsent, error);
    if (!s->children)
        end_rest(s);
}

void supervision_reload(struct supervision *s, struct supervision_settings *settings) {
    struct supervision_settings *copy = malloc(sizeof *copy);
    if (!copy || s->stopping || !s->watch) {
        free(copy);
        supervision_settings_free(settings);
        return;
    }
    *copy = *settings;
    *settings = (struct supervision_settings){0};
    bool waits = s->next != NULL;
    free_settings(s, s->next);
    s->next = copy;
    if (waits)
        return;
    s->kept = health_keep(watch_health(s->watch));
    if (s->kept && s->events->health)
        s->events->health(s->ctx, s->kept);
    watch_stop(s->watch);
}

/* --- beginning and end -------------------------------------------------------------------------
 */

static hardy_status start_fail_over(struct supervision *s, hardy_error *error) {
    static const struct fail_over_events events = {
        .told = on_happened, .paged = on_own_page, .urgent = on_urgent};
    const struct supervision_options *o = &s->options;
    const struct fail_over_world world = {.loop = o->loop,
                                          .store = o->store,
                                          .state = o->state,
                                          .cwd = o->cwd,
                                          .self = o->self,
                                          .env = o->env,
                                          .checks = &s->first.checks,
                                          .targets = &s->first.targets,
                                          .maintenance = &s->first.maintenance,
                                          .automation = s->first.incidents.automation};
    if (s->first.fail_overs.count == 0 || o->once || o->service)
        return HARDY_OK;
    return fail_over_start(&world, &s->first.fail_overs, &events, s, &s->fail_over, error);
}

static hardy_status start_children(struct supervision *s, hardy_error *error) {
    static const struct children_events events = {on_happened, on_own_page, on_settled};
    const struct supervision_options *o = &s->options;
    if (s->first.children.count == 0 || o->once || o->service)
        return HARDY_OK;
    file_boot_id(s->boot);
    s->folder = children_folder(o->state);
    if (!s->folder)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    s->children_world = (struct children_world){.loop = o->loop,
                                                .store = o->store,
                                                .folder = s->folder,
                                                .boot = s->boot,
                                                .env = o->env,
                                                .client = o->client,
                                                .targets = &s->first.targets,
                                                .maintenance = &s->first.maintenance};
    return children_start(&s->children_world, &s->first.children, &events, s, &s->children, error);
}

static void on_nothing_begun(struct loop_timer *timer) {
    end_rest(timer->ctx);
}

hardy_status supervision_start(const struct supervision_options *options,
                               struct supervision_settings *settings,
                               const struct supervision_events *events, void *ctx,
                               struct supervision **out, hardy_error *error) {
    struct supervision *s = calloc(1, sizeof *s);
    if (!s) {
        supervision_settings_free(settings);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to supervise");
    }
    s->options = *options;
    /* What people are told to type holds in any folder. */
    s->state = options->state ? realpath(options->state, NULL) : NULL;
    s->options.state = s->state ? s->state : options->state;
    s->events = events;
    s->ctx = ctx;
    s->first = *settings;
    s->current = &s->first;
    *settings = (struct supervision_settings){0};
    s->inside = (struct remedy_inside){s, act_inside};
    loop_timer_init(&s->last, on_nothing_begun, s);
    hardy_status status = start_fail_over(s, error);
    status = status == HARDY_OK ? start_watch(s, error) : status;
    status = status == HARDY_OK ? start_children(s, error) : status;
    *out = s;
    if (status != HARDY_OK && s->watch)
        watch_stop(s->watch);
    else if (status != HARDY_OK)
        loop_timer_start(options->loop, &s->last, loop_now(options->loop));
    return status;
}

/* The checks go on until the last child has ended. */
static void on_children_gone(void *ctx) {
    struct supervision *s = ctx;
    s->children = NULL;
    if (s->watch)
        watch_stop(s->watch);
    else
        end_rest(s);
}

void supervision_stop(struct supervision *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    if (s->children)
        children_stop(s->children, on_children_gone, s);
    else if (s->watch)
        watch_stop(s->watch);
}

/* --- what it has -------------------------------------------------------------------------------
 */

const struct children *supervision_children(const struct supervision *s) {
    return s->children;
}

const struct schema_list *supervision_child_settings(const struct supervision *s) {
    return &s->first.children;
}

const struct fail_over *supervision_fail_over(const struct supervision *s) {
    return s->fail_over;
}

const char *supervision_objection(struct supervision *s) {
    return s->children ? children_objection(s->children) : NULL;
}

void supervision_write_metrics(const struct supervision *s, struct exposition *x) {
    if (s->watch)
        watch_write_metrics(s->watch, x);
    if (s->fail_over)
        fail_over_write_metrics(s->fail_over, x);
}
