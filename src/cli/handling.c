/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/handling.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/manager.h"
#include "cli/say.h"
#include "cli/supervising.h"
#include "cli/timeline.h"
#include "cli/top.h"
#include "incident/watch.h"
#include "notify/notify.h"
#include "supervise/fail_over.h"
#include "supervise/maintenance.h"
#include "work/retain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINE = 64 << 10, LAST_TURNS = 8 };

struct handler_session {
    const struct options *o;
    const struct handling *how;
    struct session session;
    struct schema_list checks, targets, fail_overs;
    struct maintenance maintenance;
    struct incident_settings settings;
    struct health_settings health;
    struct watch *watch;
    struct fail_over *fail_over;
    struct supervising supervising;
    struct retainer *retainer;
    struct manager manager;
    struct loop_timer last_turn;
    int turns_left;
    char self[64];
    int width;    /* of the column that says whom a line is about */
    bool settled; /* no child will do anything any more, and there is nothing else to do */
    int settled_exit, exit;
};

/* --- what happens, a line each ---------------------------------------------------------------- */

static void tell(struct handler_session *s, int64_t wall, const char *subject, const char *incident,
                 const char *what, const char *detail) {
    if (s->o->globals.json) {
        struct buf line;
        struct json_out j;
        char text[40];
        buf_init(&line, MAX_LINE);
        json_out_init(&j, &line, 0);
        clock_format_wall(wall, text);
        json_out_object(&j);
        json_out_key(&j, "at");
        json_out_string(&j, text);
        json_out_key(&j, "subject");
        json_out_string(&j, subject);
        json_out_key(&j, "incident");
        json_out_string(&j, incident && incident[0] ? incident : NULL);
        json_out_key(&j, "what");
        json_out_string(&j, what);
        json_out_key(&j, "detail");
        json_out_string(&j, detail);
        json_out_object_end(&j);
        printf("%s\n", line.data ? line.data : "");
        buf_free(&line);
    } else {
        char text[16];
        clock_text(wall, text);
        printf("%s  %-*s  %-12s  %s\n", text, s->width, subject, what, detail);
    }
    fflush(stdout);
}

static void on_happened(void *ctx, const char *name, int64_t wall, const char *what,
                        const char *detail) {
    tell(ctx, wall, name, NULL, what, detail);
}

static void on_own_page(void *ctx) {
    struct handler_session *s = ctx;
    if (s->watch) {
        watch_pages(s->watch);
    }
}

static void on_fail_over_urgent(void *ctx, const struct notify_target *target,
                                const struct notice *notice) {
    struct handler_session *s = ctx;
    if (s->watch) {
        watch_tell(s->watch, target, notice);
    }
}

static void on_metrics(void *ctx, struct exposition *x) {
    const struct handler_session *s = ctx;
    hands_off_write_metrics(&s->maintenance, s->session.store, loop_wall(s->session.loop), x);
    if (s->fail_over) {
        fail_over_write_metrics(s->fail_over, x);
    }
}

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct handler_session *s = ctx;
    char detail[300];
    if (s->fail_over) {
        fail_over_checked(s->fail_over, c, state);
    }
    if (s->supervising.children) {
        children_checked(s->supervising.children, c, state);
    }
    if (state->flap_turned) {
        snprintf(detail, sizeof detail, "%.0f %% of its last results are changes",
                 100 * check_flap_share(state));
        tell(s, state->last_at, c->name, NULL, state->flapping ? "flapping" : "steady", detail);
    }
    if (!changed &&
        (state->last == CHECK_PASS || (state->last == CHECK_FAIL && state->level == LEVEL_DOWN) ||
         (state->last == CHECK_UNKNOWN &&
          (state->graced ? state->counts[CHECK_UNKNOWN] : state->unknowns) > 1))) {
        return; /* known already */
    }
    if (state->last == CHECK_FAIL && changed && state->failures < c->failure_threshold) {
        snprintf(detail, sizeof detail, "%s (%u of the last %u)", state->message,
                 c->failures_in_last.count, c->failures_in_last.of);
    } else if (state->last == CHECK_FAIL) {
        snprintf(detail, sizeof detail, "%s (%u of %u)", state->message, state->failures,
                 c->failure_threshold);
    } else {
        snprintf(detail, sizeof detail, "%s%s", state->message,
                 state->graced ? " (in its grace)" : "");
    }
    tell(s, state->last_at, c->name, NULL,
         state->last == CHECK_UNKNOWN ? "unknown"
         : changed                    ? check_level_text(state->level)
                                      : "failed",
         detail);
}

static void on_told(void *ctx, const struct incident *i, int64_t wall, const char *what,
                    const char *detail) {
    tell(ctx, wall, i->service, i->id, what, detail);
}

static void on_paged(void *ctx, const char *target, const char *dedup_key) {
    struct handler_session *s = ctx;
    char detail[600];
    snprintf(detail, sizeof detail, "took the page about %.500s", dedup_key);
    tell(s, loop_wall(s->session.loop), target, dedup_key, "told", detail);
}

static void on_page_failed(void *ctx, const char *target, const char *why, bool again) {
    struct handler_session *s = ctx;
    char detail[500];
    snprintf(detail, sizeof detail, "%.300s; the page is kept%s", why,
             again ? " and sent again" : ", and offered once more when hardy starts again");
    tell(s, loop_wall(s->session.loop), target, NULL, "not told", detail);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What was closed with the watch is gone some turns of the loop later. */
static void on_last_turn(struct loop_timer *timer) {
    struct handler_session *s = timer->ctx;
    if (s->turns_left-- > 0) {
        loop_timer_start(s->session.loop, timer, loop_now(s->session.loop));
    } else {
        loop_stop(s->session.loop);
    }
}

static void on_all_ended(void *ctx) {
    struct handler_session *s = ctx;
    s->fail_over = NULL;
    http_client_free(s->session.client);
    s->session.client = NULL;
    s->turns_left = LAST_TURNS;
    loop_timer_init(&s->last_turn, on_last_turn, s);
    loop_timer_start(s->session.loop, &s->last_turn, loop_now(s->session.loop));
}

static int exit_of(const struct handler_session *s, const struct incident *i) {
    if (!i) {
        return s->session.interrupted ? 128 + s->session.interrupted : EXIT_DONE;
    }
    switch (i->state) {
    case INCIDENT_RESOLVED:
        return EXIT_DONE;
    case INCIDENT_IN_DOUBT:
        return EXIT_IN_DOUBT;
    default:
        return EXIT_ESCALATED;
    }
}

static void end_rest(struct handler_session *s) {
    if (s->settled) {
        s->exit = s->settled_exit;
    }
    if (s->fail_over) {
        fail_over_stop(s->fail_over, on_all_ended, s);
    } else {
        on_all_ended(s);
    }
}

static void on_ended(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    struct handler_session *s = ctx;
    s->watch = NULL;
    if (unsent) {
        say(s->o, HARDY_LOG_WARNING,
            "a page has not been taken yet; it stays in the outbox, and the next hardy supervise "
            "sends it");
    }
    if (error) {
        say_error(s->o, error);
        s->exit = session_exit(error->status);
    } else {
        s->exit = exit_of(s, i);
    }
    if (i && !error && i->state == INCIDENT_IN_DOUBT) {
        say(s->o, HARDY_LOG_ERROR, "%s", i->outcome);
    }
    if (i && !s->o->globals.json) {
        say(s->o, HARDY_LOG_INFO, "the whole story: hardy incidents show %s", i->id);
    }
    if (!s->supervising.children) {
        end_rest(s);
    } else if (error) {
        say(s->o, HARDY_LOG_WARNING, "the children are kept running; nothing else is done");
    }
}

/* The checks go on until the last child has ended. */
static void on_children_gone(void *ctx) {
    struct handler_session *s = ctx;
    s->supervising.children = NULL;
    if (s->watch) {
        watch_stop(s->watch);
    } else {
        end_rest(s);
    }
}

static void on_interrupt(void *ctx) {
    struct handler_session *s = ctx;
    manager_stopping(&s->manager, s->supervising.children ? "ending the children"
                                                          : "leaving what runs to the next one");
    if (s->supervising.children) {
        children_stop(s->supervising.children, on_children_gone, s);
    } else if (s->watch) {
        watch_stop(s->watch);
    }
}

static void on_settled(void *ctx) {
    struct handler_session *s = ctx;
    if (s->checks.count == 0 && s->supervising.children) {
        s->settled = true;
        s->settled_exit = supervising_exit(&s->supervising);
        children_stop(s->supervising.children, on_children_gone, s);
    }
}

static const char *objection(void *ctx) {
    struct handler_session *s = ctx;
    return s->supervising.children ? children_objection(s->supervising.children) : NULL;
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void on_problem(void *ctx, const hardy_error *problem) {
    const struct handler_session *s = ctx;
    say_error(s->o, problem);
}

static int read_settings(struct handler_session *s) {
    const struct config *config = s->session.state.config;
    const char *file = config->path ? config->path : "there is no configuration file, so it";
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = config_check_top(config, top_names, &error);
    if (status == HARDY_OK) {
        status = checks_read(config, &s->checks, &error);
    }
    if (status == HARDY_OK) {
        status = notify_read(config, &s->targets, &error);
    }
    if (status == HARDY_OK) {
        status = health_settings_read(config, &s->health, &error);
    }
    if (status == HARDY_OK) {
        status = incident_settings_read(config, &s->settings, &error);
    }
    if (status == HARDY_OK) {
        status = maintenance_read(config, &s->maintenance, &error);
    }
    if (status == HARDY_OK) {
        status = fail_over_read(config, &s->fail_overs, &error);
    }
    if (status != HARDY_OK) {
        say_error(s->o, &error);
        return session_exit(status);
    }
    if (incident_settings_check(config, &s->settings, &s->checks, &s->targets, on_problem, s) +
            fail_over_check(config, &s->fail_overs, &s->checks, &s->targets, on_problem, s) >
        0) {
        return EXIT_USAGE;
    }
    int code = supervising_read(s->o, config, &s->checks, &s->targets, &s->supervising);
    if (code != EXIT_DONE) {
        return code;
    }
    checks_use_state(&s->checks, s->session.state.path);
    struct check_settings *checks = s->checks.items;
    for (size_t n = 0; s->how->once && n < s->checks.count; n++) {
        checks[n].grace = 0; /* it looks once: nothing was started just now */
    }
    bool children = s->supervising.list.count > 0 && !s->how->once && !s->how->service;
    if (s->checks.count == 0 && !children) {
        return options_wrong(s->o, "nothing to watch: %s has no checks:%s", file,
                             s->how->once || s->how->service ? "" : " and no supervise:");
    }
    if (s->how->once && incident_service_count(&s->settings) == 0) {
        return options_wrong(
            s->o, "nothing to handle: %s has no services under incidents: or heal:", file);
    }
    return EXIT_DONE;
}

static int widest(const struct handler_session *s) {
    const struct check_settings *checks = s->checks.items;
    size_t width = 8;
    for (size_t n = 0; n < s->checks.count; n++) {
        size_t len = strlen(checks[n].name);
        width = len > width ? len : width;
    }
    for (size_t n = 0; n < incident_service_count(&s->settings); n++) {
        size_t len = strlen(incident_service_at(&s->settings, n)->name);
        width = len > width ? len : width;
    }
    const struct fail_over_settings *fail_overs = s->fail_overs.items;
    for (size_t n = 0; n < s->fail_overs.count; n++) {
        size_t len = strlen(fail_overs[n].name);
        width = len > width ? len : width;
    }
    const struct child_settings *children = s->supervising.list.items;
    for (size_t n = 0; n < s->supervising.list.count; n++) {
        size_t len = strlen(children[n].name);
        width = len > width ? len : width;
    }
    return (int)width;
}

static hardy_status start_children(struct handler_session *s, hardy_error *error) {
    static const struct children_events events = {on_happened, on_own_page, on_settled};
    if (s->supervising.list.count == 0 || s->how->once || s->how->service) {
        return HARDY_OK;
    }
    return supervising_start(&s->supervising, &s->session, &s->targets, &s->maintenance, &events, s,
                             error);
}

static hardy_status start_fail_over(struct handler_session *s, const struct handler_world *world,
                                    hardy_error *error) {
    static const struct fail_over_events events = {
        .told = on_happened, .paged = on_own_page, .urgent = on_fail_over_urgent};
    const struct fail_over_world own = {.loop = world->loop,
                                        .store = world->store,
                                        .state = world->state,
                                        .cwd = world->cwd,
                                        .self = world->self,
                                        .env = world->env,
                                        .checks = world->checks,
                                        .targets = world->targets,
                                        .maintenance = &s->maintenance,
                                        .automation = s->settings.automation};
    if (s->fail_overs.count == 0 || s->how->once || s->how->service) {
        return HARDY_OK;
    }
    return fail_over_start(&own, &s->fail_overs, &events, s, &s->fail_over, error);
}

static int handle(struct handler_session *s) {
    static const struct watch_events events = {on_checked,     on_told,  on_paged,
                                               on_page_failed, on_ended, on_metrics};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int code = session_open(s->o, SESSION_WRITE, s->how->purpose, &s->session);
    if (code == EXIT_DONE) {
        code = read_settings(s);
    }
    if (code != EXIT_DONE) {
        return code;
    }
    manager_begin(&s->manager, s->o, s->session.loop);
    s->width = widest(s);
    snprintf(s->self, sizeof s->self, "hardy %s, pid %d", s->how->purpose, (int)getpid());
    struct watch_options options = {.world = {.loop = s->session.loop,
                                              .store = s->session.store,
                                              .state = s->session.state.path,
                                              .cwd = s->session.folder,
                                              .self = s->self,
                                              .env = session_environment(),
                                              .client = s->session.client,
                                              .checks = &s->checks,
                                              .targets = &s->targets,
                                              .settings = &s->settings},
                                    .health = &s->health,
                                    .once = s->how->once,
                                    .service = s->how->service,
                                    .severity = s->how->severity,
                                    .summary = s->how->summary,
                                    .page_wait = 10 * HARDY_SECOND,
                                    .objection = objection};
    session_on_interrupt(&s->session, on_interrupt, s);
    /* A state that many processes write to needs one that lives; without memory for it, not. */
    struct retain_settings retention;
    if (!s->how->once &&
        retain_settings_read(s->session.state.config, &retention, &error) == HARDY_OK) {
        s->retainer = retain_start(s->session.store, s->session.state.path, &retention, &error);
    }
    hardy_status status = start_fail_over(s, &options.world, &error);
    if (status == HARDY_OK) {
        status = watch_start(&options, &events, s, &s->watch, &error);
    }
    if (status != HARDY_OK) {
        say_error(s->o, &error);
        if (s->fail_over) { /* nothing of it has begun; it is freed on the loop */
            fail_over_stop(s->fail_over, NULL, NULL);
            loop_run(s->session.loop);
        }
        return status == HARDY_E_NOT_FOUND ? EXIT_USAGE : session_exit(status);
    }
    status = start_children(s, &error);
    if (status != HARDY_OK) {
        say_error(s->o, &error);
        watch_stop(s->watch);
    } else {
        manager_ready(&s->manager, "watching");
    }
    loop_run(s->session.loop);
    return status == HARDY_OK ? s->exit : session_exit(status);
}

int handling_run(const struct options *o, const struct handling *how) {
    struct handler_session s = {.o = o, .how = how};
    int code = handle(&s);
    manager_end(&s.manager);
    retain_stop(s.retainer);
    session_close(&s.session);
    incident_settings_free(&s.settings);
    health_settings_free(&s.health);
    fail_over_free(&s.fail_overs);
    supervising_free(&s.supervising);
    maintenance_free(&s.maintenance);
    checks_free(&s.checks);
    notify_free(&s.targets);
    return code;
}
