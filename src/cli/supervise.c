/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy supervise`: watches services, handles their incidents. */
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/timeline.h"
#include "cli/top.h"
#include "incident/watch.h"
#include "notify/notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_ONCE = 1 };
enum { LINE_MAX_BYTES = 64 << 10 };

static const struct option_row rows[] = {
    {OPT_ONCE, "once", 0, NULL, "handle one incident, then exit with its code"},
    {0},
};

struct supervise {
    const struct options *o;
    struct session session;
    struct schema_list checks, targets;
    struct incident_settings settings;
    struct watch *watch;
    int exit;
};

static void tell(struct supervise *s, int64_t wall, const char *subject, const char *what,
                 const char *detail) {
    if (s->o->globals.json) {
        struct buf line;
        struct json_out j;
        char text[40];
        buf_init(&line, LINE_MAX_BYTES);
        json_out_init(&j, &line, 0);
        clock_format_wall(wall, text);
        json_out_object(&j);
        json_out_key(&j, "at");
        json_out_string(&j, text);
        json_out_key(&j, "subject");
        json_out_string(&j, subject);
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
        printf("%s  %-24s  %-12s  %s\n", text, subject, what, detail);
    }
    fflush(stdout);
}

static void on_checked(void *ctx, const struct check_settings *c, const struct check_state *state,
                       bool changed) {
    struct supervise *s = ctx;
    char detail[300];
    if (state->last == CHECK_PASS && !changed) {
        return;
    }
    if (state->last == CHECK_FAIL && !changed && state->level == LEVEL_DOWN) {
        return;
    }
    if (state->last == CHECK_FAIL) {
        snprintf(detail, sizeof detail, "%s (%u of %u)", state->message, state->failures,
                 c->failure_threshold);
    } else {
        str_copy(detail, sizeof detail, state->message);
    }
    tell(s, state->last_at, c->name,
         state->last == CHECK_UNKNOWN ? "unknown"
         : changed                    ? check_level_text(state->level)
                                      : "failed",
         detail);
}

static void on_told(void *ctx, const struct incident *i, int64_t wall, const char *what,
                    const char *detail) {
    tell(ctx, wall, i->id, what, detail);
}

static void on_paged(void *ctx, const char *target, const char *dedup_key) {
    struct supervise *s = ctx;
    char detail[128];
    snprintf(detail, sizeof detail, "%s took it", target);
    tell(s, loop_wall(s->session.loop), dedup_key, "told", detail);
}

static void on_page_failed(void *ctx, const char *target, const char *why) {
    struct supervise *s = ctx;
    char detail[400];
    snprintf(detail, sizeof detail, "%s did not take it: %.300s; it is kept and sent again", target,
             why);
    tell(s, loop_wall(s->session.loop), target, "not told", detail);
}

static void on_ended(void *ctx, const struct incident *i, bool unsent, const hardy_error *error) {
    struct supervise *s = ctx;
    s->watch = NULL;
    if (unsent) {
        say(s->o, HARDY_LOG_WARNING,
            "a page has not been taken yet; it stays in the outbox and is sent by the next hardy "
            "supervise");
    }
    if (error) {
        say_error(s->o, error);
        s->exit = session_exit(error->status);
    } else if (!i) {
        s->exit = s->session.interrupted ? 128 + s->session.interrupted : EXIT_DONE;
    } else {
        s->exit = i->state == INCIDENT_RESOLVED ? EXIT_DONE : EXIT_ESCALATED;
    }
    if (i && !s->o->globals.json) {
        say(s->o, HARDY_LOG_INFO, "hardy incidents show %s tells it again", i->id);
    }
    loop_stop(s->session.loop);
}

static void on_interrupt(void *ctx) {
    struct supervise *s = ctx;
    if (s->watch) {
        watch_stop(s->watch);
    }
}

static hardy_status read_settings(struct supervise *s, hardy_error *error) {
    const struct config *config = s->session.state.config;
    hardy_status status = config_check_top(config, top_names, error);
    if (status == HARDY_OK) {
        status = checks_read(config, &s->checks, error);
    }
    if (status == HARDY_OK) {
        status = notify_read(config, &s->targets, error);
    }
    if (status == HARDY_OK) {
        status = incident_settings_read(config, &s->settings, error);
    }
    return status;
}

static int supervise(struct supervise *s, bool once) {
    static const struct watch_events events = {on_checked, on_told, on_paged, on_page_failed,
                                               on_ended};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int code = session_open(s->o, SESSION_WRITE, "supervise", &s->session);
    if (code != EXIT_DONE) {
        return code;
    }
    hardy_status status = read_settings(s, &error);
    if (status == HARDY_OK && s->checks.count == 0) {
        return options_wrong(s->o, "nothing to watch: %s has no checks:",
                             s->session.state.config->path
                                 ? s->session.state.config->path
                                 : "there is no configuration file, so it");
    }
    struct watch_options options = {.world = {.loop = s->session.loop,
                                              .store = s->session.store,
                                              .state = s->session.state.path,
                                              .cwd = s->session.folder,
                                              .env = session_environment(),
                                              .client = s->session.client,
                                              .checks = &s->checks,
                                              .targets = &s->targets,
                                              .settings = &s->settings},
                                    .settings = &s->settings,
                                    .once = once,
                                    .page_wait = 10 * HARDY_SECOND};
    if (status == HARDY_OK) {
        session_on_interrupt(&s->session, on_interrupt, s);
        status = watch_start(&options, &events, s, &s->watch, &error);
    }
    if (status != HARDY_OK) {
        say_error(s->o, &error);
        return session_exit(status);
    }
    loop_run(s->session.loop);
    return s->exit;
}

static int run(struct options *o) {
    bool once = false;
    int id;
    while ((id = options_next(o)) > 0) {
        once |= id == OPT_ONCE;
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "unexpected \"%s\"", o->argv[0]);
    }
    struct supervise s = {.o = o};
    int code = supervise(&s, once);
    session_close(&s.session);
    incident_settings_free(&s.settings);
    checks_free(&s.checks);
    notify_free(&s.targets);
    return code;
}

const struct command command_supervise = {
    .name = "supervise",
    .synopsis = "[-c FILE] [--once]",
    .summary = "watch services and handle their incidents",
    .details =
        "Runs the checks of the configuration. When the check of a service under incidents: "
        "goes down, an incident opens: evidence is gathered, the rules name the cause, the "
        "remedy runs as a durable action, the check verifies it. What does not help is tried "
        "max_attempts times, then a person is told.\n\n"
        "It can be killed at any moment: started again it goes on with the open incident, and "
        "attaches to a remedy that still runs instead of starting it twice.\n\n"
        "With automation: observe (the default) nothing is touched: it tells what it would "
        "have done.",
    .examples =
        "hardy supervise -c examples/incident.yaml --once    # needs the service; see make run",
    .options = rows,
    .run = run,
};
