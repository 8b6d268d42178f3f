/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/running.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/resolving.h"
#include "cli/say.h"
#include "cli/timeline.h"
#include "guard/guard.h"
#include "settings/sharing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20, MAX_GUARDS = 256 };

struct step_guard {
    char *name;
    hardy_guard *guard;
    struct guard_settings settings;
};

struct driving {
    const struct options *o;
    struct session *session;
    struct runner *runner;
    struct host *host; /* guards shared by the host, opened at the first use */
    struct step_guard guards[MAX_GUARDS];
    size_t guard_count;
    int exit;
};

void run_to_json(const struct run *run, struct json_out *j) {
    json_out_object(j);
    json_out_key(j, "id");
    json_out_string(j, run->id);
    json_out_key(j, "name");
    json_out_string(j, run->name);
    json_out_key(j, "state");
    json_out_string(j, run_state_text(run->state));
    json_out_key(j, "file");
    json_out_string(j, run->file);
    json_moment(j, "created", run->created);
    json_moment(j, "ended", run->ended);
    json_out_key(j, "detail");
    json_out_string(j, run->detail);
    json_out_key(j, "input");
    json_out_raw(j, run->input);
    json_out_key(j, "steps");
    json_out_array(j);
    for (size_t i = 0; i < run->count; i++) {
        if (run->steps[i].record.name) {
            record_to_json(&run->steps[i].record, j);
            continue;
        }
        json_out_object(j);
        json_out_key(j, "name");
        json_out_string(j, run->steps[i].name);
        json_out_key(j, "state");
        json_out_string(j, record_state_text(RECORD_PENDING));
        json_out_key(j, "attempts");
        json_out_int(j, 0);
        json_moment(j, "started", 0);
        json_moment(j, "ended", 0);
        json_out_key(j, "output");
        json_out_null(j);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_object_end(j);
}

void print_in_doubt(FILE *to, const char *state, const struct run *run) {
    for (size_t i = 0; i < run->count; i++) {
        if (run->steps[i].record.state == RECORD_IN_DOUBT) {
            fprintf(to,
                    "step %s of %s is in doubt: find out whether it took effect, then type one "
                    "of these, and the same line again\n",
                    run->steps[i].name, run->id);
            resolving_lines(to, state, "  ", "workflows", run->id, run->steps[i].name);
        }
    }
}

/* --- guards of steps -------------------------------------------------------------------------- */

static bool is_passing(void *ctx, int code) {
    const struct step_guard *g = ctx;
    return code != EXIT_CANNOT_RUN && code != EXIT_NO_COMMAND &&
           guard_retries_code(&g->settings, code);
}

static hardy_status make_guard(struct driving *d, struct step_guard *g, const char *name,
                               hardy_error *error) {
    hardy_env env = loop_env(d->session->loop);
    struct host_slot slot = {0};
    env.log = NULL; /* what there is to tell is told by say_changes() */
    hardy_status status =
        guard_settings_find(d->session->state.config, name, GUARD_DEFAULTS, &g->settings, error);
    if (status != HARDY_OK) {
        return status;
    }
    uint32_t slots = g->settings.config.bulkhead ? g->settings.bulkhead.max_concurrent : 0;
    g->name = str_dup(name);
    if (!d->host) {
        status = host_open(d->session->state.path, true, &d->host, error);
    }
    if (status == HARDY_OK) {
        status = sharing_attach(d->host, name, &g->settings, &slots, &slot, error);
    }
    if (status == HARDY_OK && !g->name) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for the guard %s", name);
    }
    if (status == HARDY_OK) {
        const struct guard_words words = {slot.breaker, slot.rate, slot.budget};
        status = guard_new_over(&g->settings.config, &env, &words, &g->guard, error);
    }
    return status;
}

static void free_guard(struct step_guard *g) {
    hardy_guard_free(g->guard);
    guard_settings_free(&g->settings);
    free(g->name);
    *g = (struct step_guard){0};
}

static hardy_status find_guard(void *ctx, const char *name, struct runner_guard *out,
                               hardy_error *error) {
    struct driving *d = ctx;
    size_t i = 0;
    while (i < d->guard_count && !str_eq(d->guards[i].name, name)) {
        i++;
    }
    if (i == d->guard_count) {
        if (i == MAX_GUARDS) {
            return fail(error, HARDY_E_TOO_LARGE, NULL, "more than %d guards in one run",
                        MAX_GUARDS);
        }
        hardy_status status = make_guard(d, &d->guards[i], name, error);
        if (status != HARDY_OK) {
            free_guard(&d->guards[i]);
            return status;
        }
        d->guard_count++;
    }
    *out = (struct runner_guard){d->guards[i].guard, is_passing, &d->guards[i]};
    return HARDY_OK;
}

/* The guards of all steps, before anything runs. */
static hardy_status find_guards(struct driving *d, const struct workflow *w, hardy_error *error) {
    const struct step_settings *steps = w->steps.items;
    struct runner_guard unused;
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < w->steps.count && status == HARDY_OK; i++) {
        if (steps[i].guard) {
            status = find_guard(d, steps[i].guard, &unused, error);
        }
    }
    return status == HARDY_E_NOT_FOUND ? HARDY_E_SYNTAX : status;
}

/* What this run did to breakers that others share. */
static void say_changes(const struct driving *d) {
    for (size_t i = 0; i < d->guard_count; i++) {
        hardy_event events[16];
        size_t count =
            hardy_guard_take_events(d->guards[i].guard, events, sizeof events / sizeof *events);
        for (size_t k = 0; k < count; k++) {
            if (events[k].kind == HARDY_EVENT_STATE) {
                say(d->o, HARDY_LOG_INFO, "breaker %s was %s and is now %s", d->guards[i].name,
                    hardy_breaker_state_name(events[k].from),
                    hardy_breaker_state_name(events[k].to));
            }
        }
    }
}

/* --- telling ---------------------------------------------------------------------------------- */

static void on_begun(void *ctx, const struct run *run, bool resumed, const char *failed) {
    struct driving *d = ctx;
    if (failed) {
        say(d->o, HARDY_LOG_INFO,
            "run %s of this file and input has failed and is left as it is (hardy workflows "
            "resume %s goes on with it); this is another run",
            failed, failed);
    }
    say(d->o, HARDY_LOG_INFO, "run %s %s", run->id,
        !resumed                    ? "begins"
        : run->state == RUN_RUNNING ? "goes on where it was"
                                    : "has ended before; this is its result");
}

static void on_waiting(void *ctx, const struct run *run) {
    struct driving *d = ctx;
    say(d->o, HARDY_LOG_INFO, "run %s is driven by another hardy; waiting for it", run->id);
}

static void on_step(void *ctx, const struct run *run, size_t step, enum command_event what,
                    const char *detail) {
    struct driving *d = ctx;
    const char *name = run->steps[step].name;
    switch (what) {
    case COMMAND_STARTED:
        say(d->o, HARDY_LOG_INFO, "%s: started", name);
        break;
    case COMMAND_ATTACHED:
        say(d->o, HARDY_LOG_INFO, "%s: is running already: attached to it, not started again",
            name);
        break;
    case COMMAND_COLLECTED:
        say(d->o, HARDY_LOG_INFO, "%s: ended while nobody watched", name);
        break;
    case COMMAND_PROBED:
    case COMMAND_RETRY:
        say(d->o, HARDY_LOG_INFO, "%s: %s", name, detail);
        break;
    case COMMAND_REPLAYED:
        break;
    }
}

static void on_step_ended(void *ctx, const struct run *run, size_t step,
                          const struct command_result *result) {
    struct driving *d = ctx;
    const struct record *r = result->record;
    const char *name = run->steps[step].name;
    char span[48] = "";
    if (r && r->started && r->ended) {
        format_duration_short(r->ended - r->started, span);
    }
    if (result->status == HARDY_OK) {
        say(d->o, HARDY_LOG_INFO, "%s: done%s%s", name, span[0] ? " in " : "", span);
    } else {
        say(d->o, HARDY_LOG_ERROR, "%s: %s", name, result->error->message);
    }
    say_changes(d);
}

static void print_result(const struct options *o, const struct run *run) {
    if (o->globals.json) {
        struct buf text;
        struct json_out j;
        buf_init(&text, MAX_TEXT);
        json_out_init(&j, &text, 2);
        run_to_json(run, &j);
        printf("%s\n", text.data ? text.data : "");
        buf_free(&text);
    } else if (run->state == RUN_DONE && run->count > 0) {
        const struct record *last = &run->steps[run->count - 1].record;
        fwrite(last->output ? last->output : "", 1, last->output_len, stdout);
    }
}

static void on_ended(void *ctx, const struct run *run, hardy_status status,
                     const hardy_error *error) {
    struct driving *d = ctx;
    d->runner = NULL;
    if (status == HARDY_E_CANCELLED) {
        say(d->o, HARDY_LOG_WARNING,
            "interrupted; a step that runs goes on, and the same line again attaches to it");
        d->exit = d->session->interrupted ? 128 + d->session->interrupted : EXIT_INTERRUPTED;
        return;
    }
    if (status != HARDY_OK || !run) {
        say_error(d->o, error);
        d->exit = session_exit(status);
        return;
    }
    print_result(d->o, run);
    if (run->state == RUN_IN_DOUBT) {
        print_in_doubt(stderr, d->session->state.path, run);
        d->exit = EXIT_IN_DOUBT;
    } else if (run->state == RUN_FAILED) {
        say(d->o, HARDY_LOG_ERROR,
            "run %s failed%s%s; hardy workflows resume %s begins again at that step", run->id,
            run->detail ? " at " : "", run->detail ? run->detail : "", run->id);
        d->exit = session_exit(run->verdict == HARDY_OK ? HARDY_E_FAILED : run->verdict);
    } else {
        d->exit = EXIT_DONE;
    }
}

static void on_interrupt(void *ctx) {
    struct driving *d = ctx;
    if (d->runner) {
        runner_leave(d->runner);
    }
}

int running_drive(const struct options *o, struct session *s, const struct workflow *w,
                  const struct running *how) {
    static const struct runner_events events = {on_begun, on_waiting, on_step, on_step_ended,
                                                on_ended};
    struct driving d = {.o = o, .session = s};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const struct runner_options options = {.loop = s->loop,
                                           .store = s->store,
                                           .state = s->state.path,
                                           .workflow = w,
                                           .id = how->id,
                                           .fresh = how->fresh,
                                           .retry_failed = how->retry_failed,
                                           .input = how->input,
                                           .env = session_environment(),
                                           .guard = find_guard,
                                           .guard_ctx = &d};
    hardy_status status = find_guards(&d, w, &error);
    if (status == HARDY_OK) {
        session_on_interrupt(s, on_interrupt, &d);
        status = runner_start(&options, &events, &d, &d.runner, &error);
    }
    if (status == HARDY_OK) {
        loop_run(s->loop);
    } else {
        say_error(o, &error);
        d.exit = session_exit(status);
    }
    for (size_t i = 0; i < d.guard_count; i++) {
        free_guard(&d.guards[i]);
    }
    if (d.host) {
        host_close(d.host);
    }
    return d.exit;
}
