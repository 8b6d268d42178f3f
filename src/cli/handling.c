/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/handling.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/manager.h"
#include "cli/say.h"
#include "cli/supervising.h"
#include "cli/timeline.h"
#include "cli/top.h"
#include "daemon/supervision.h"
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
    struct supervision_settings settings;
    struct health_settings health;
    struct supervision *supervision;
    bool checks, children; /* there are some */
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

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct handler_session *s = ctx;
    char detail[300];
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

static void on_told(void *ctx, const char *subject, const char *incident, int64_t wall,
                    const char *what, const char *detail) {
    tell(ctx, wall, subject, incident, what, detail);
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

static void on_gone(void *ctx) {
    struct handler_session *s = ctx;
    s->supervision = NULL;
    if (s->settled) {
        s->exit = s->settled_exit;
    }
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

static void on_watched(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    struct handler_session *s = ctx;
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
    if (error && supervision_children(s->supervision)) {
        say(s->o, HARDY_LOG_WARNING, "the children are kept running; nothing else is done");
    }
}

static void on_interrupt(void *ctx) {
    struct handler_session *s = ctx;
    if (!s->supervision) {
        return;
    }
    manager_stopping(&s->manager, supervision_children(s->supervision)
                                      ? "ending the children"
                                      : "leaving what runs to the next one");
    supervision_stop(s->supervision);
}

static void on_problem(void *ctx, const hardy_error *problem) {
    const struct handler_session *s = ctx;
    say_error(s->o, problem);
}

/* Other checks, services and targets from now on; a configuration that is wrong changes nothing. */
static hardy_status load_again(struct handler_session *s, hardy_error *error) {
    struct config *config = NULL;
    struct supervision_settings settings = {0};
    size_t problems = 0;
    hardy_status status = config_load(s->session.state.config->path, &config, error);
    if (status == HARDY_OK) {
        status = top_check(config, error);
    }
    if (status == HARDY_OK) {
        status = supervision_read(config, s->session.state.path, &settings, error);
    }
    if (status == HARDY_OK) {
        problems = supervision_check(config, &settings, on_problem, s);
    }
    if (status == HARDY_OK && problems == 0 && s->supervision) {
        supervision_reload(s->supervision, &settings);
    } else if (problems > 0) {
        status = fail(error, HARDY_E_INVALID, config->path, "names in it stand for nothing");
    }
    supervision_settings_free(&settings);
    config_free(config);
    return status;
}

static void on_reload(void *ctx) {
    struct handler_session *s = ctx;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (s->session.interrupted || !s->supervision) {
        return;
    }
    manager_reloading(&s->manager);
    if (load_again(s, &error) == HARDY_OK) {
        say(s->o, HARDY_LOG_INFO,
            "configuration loaded again; children and fail-overs stay as they were begun");
    } else {
        say_error(s->o, &error);
        say(s->o, HARDY_LOG_ERROR, "configuration refused, the old one goes on");
    }
    manager_ready(&s->manager, "watching");
}

static void on_settled(void *ctx) {
    struct handler_session *s = ctx;
    if (!s->checks) {
        s->settled = true;
        s->settled_exit = supervising_exit(supervision_children(s->supervision),
                                           supervision_child_settings(s->supervision));
        supervision_stop(s->supervision);
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

static int read_settings(struct handler_session *s) {
    const struct config *config = s->session.state.config;
    const char *file = config->path ? config->path : "there is no configuration file, so it";
    bool one = s->how->once || s->how->service;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = config_check_top(config, top_names, &error);
    if (status == HARDY_OK) {
        status = health_settings_read(config, &s->health, &error);
    }
    if (status == HARDY_OK) {
        status = supervision_read(config, s->session.state.path, &s->settings, &error);
    }
    if (status != HARDY_OK) {
        say_error(s->o, &error);
        return session_exit(status);
    }
    if (supervision_check(config, &s->settings, on_problem, s) > 0) {
        return EXIT_USAGE;
    }
    struct check_settings *checks = s->settings.checks.items;
    for (size_t n = 0; s->how->once && n < s->settings.checks.count; n++) {
        checks[n].grace = 0; /* it looks once: nothing was started just now */
    }
    s->checks = s->settings.checks.count > 0;
    s->children = s->settings.children.count > 0 && !one;
    if (!s->checks && !s->children) {
        return options_wrong(s->o, "nothing to watch: %s has no checks:%s", file,
                             one ? "" : " and no supervise:");
    }
    if (s->how->once && incident_service_count(&s->settings.incidents) == 0) {
        return options_wrong(
            s->o, "nothing to handle: %s has no services under incidents: or heal:", file);
    }
    return EXIT_DONE;
}

static void widen(struct handler_session *s, const char *name) {
    int len = (int)strlen(name);
    s->width = len > s->width ? len : s->width;
}

static void find_width(struct handler_session *s) {
    const struct check_settings *checks = s->settings.checks.items;
    const struct fail_over_settings *fail_overs = s->settings.fail_overs.items;
    const struct child_settings *children = s->settings.children.items;
    s->width = 8;
    for (size_t n = 0; n < s->settings.checks.count; n++) {
        widen(s, checks[n].name);
    }
    for (size_t n = 0; n < incident_service_count(&s->settings.incidents); n++) {
        widen(s, incident_service_at(&s->settings.incidents, n)->name);
    }
    for (size_t n = 0; n < s->settings.fail_overs.count; n++) {
        widen(s, fail_overs[n].name);
    }
    for (size_t n = 0; n < s->settings.children.count; n++) {
        widen(s, children[n].name);
    }
}

static int handle(struct handler_session *s) {
    static const struct supervision_events events = {.checked = on_checked,
                                                     .told = on_told,
                                                     .paged = on_paged,
                                                     .page_failed = on_page_failed,
                                                     .settled = on_settled,
                                                     .watched = on_watched,
                                                     .gone = on_gone};
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
    find_width(s);
    snprintf(s->self, sizeof s->self, "hardy %s, pid %d", s->how->purpose, (int)getpid());
    const struct supervision_options options = {.loop = s->session.loop,
                                                .store = s->session.store,
                                                .state = s->session.state.path,
                                                .cwd = s->session.folder,
                                                .self = s->self,
                                                .env = session_environment(),
                                                .client = s->session.client,
                                                .health = &s->health,
                                                .once = s->how->once,
                                                .service = s->how->service,
                                                .severity = s->how->severity,
                                                .summary = s->how->summary};
    session_on_interrupt(&s->session, on_interrupt, s);
    if (!s->how->once && !s->how->service) {
        s->session.on_reload = on_reload;
    }
    /* A state that many processes write to needs one that lives; without memory for it, not. */
    struct retain_settings retention;
    if (!s->how->once &&
        retain_settings_read(s->session.state.config, &retention, &error) == HARDY_OK) {
        s->retainer = retain_start(s->session.store, s->session.state.path, &retention, &error);
    }
    hardy_status status =
        supervision_start(&options, &s->settings, &events, s, &s->supervision, &error);
    if (status != HARDY_OK) {
        say_error(s->o, &error);
    } else {
        manager_ready(&s->manager, "watching");
    }
    loop_run(s->session.loop);
    return status == HARDY_OK            ? s->exit
           : status == HARDY_E_NOT_FOUND ? EXIT_USAGE
                                         : session_exit(status);
}

int handling_run(const struct options *o, const struct handling *how) {
    struct handler_session s = {.o = o, .how = how};
    int code = handle(&s);
    manager_end(&s.manager);
    retain_stop(s.retainer);
    session_close(&s.session);
    supervision_settings_free(&s.settings);
    health_settings_free(&s.health);
    return code;
}
