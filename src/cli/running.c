/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/running.h"
#include "base/clock.h"
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
#include "work/expand.h"
#include "work/retain.h"
#include "work/settings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXT = 64 << 20, MAX_GUARDS = 256 };
static const int64_t clear_within = 30 * HARDY_SECOND;
static const int64_t look_every = 300 * HARDY_MILLISECOND;

struct step_guard {
    char *name;
    const struct guard_settings *own; /* the step's own retry policy; NULL = the guard's */
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
    const struct running *how;
    struct loop_timer look; /* at a run that another process drives */
    char *watched;
    json_t *seen; /* states of steps, by path */
    int exit;
};

/* --- what a person has to type ---------------------------------------------------------------- */

void print_in_doubt(FILE *to, const char *state, const struct run *run) {
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        bool undo = s->undo.state == RECORD_IN_DOUBT;
        if (s->record.state != RECORD_IN_DOUBT && !undo) {
            continue;
        }
        char *path = run_step_path(s);
        fprintf(to,
                "%sstep %s of %s is in doubt: find out whether it took effect, then type one of "
                "these, and the same line again\n",
                undo ? "the compensation of " : "", path ? path : s->name, run->id);
        resolving_lines(to, state, "  ", "workflows", run->id, path ? path : s->name);
        free(path);
    }
}

static void print_approval(FILE *to, const char *state, const struct run *run,
                           const struct run_step *step) {
    char *path = run_step_path(step);
    const char *name = path ? path : step->name;
    const char *yes[] = {"workflows", "approve", run->id, name, NULL};
    const char *no[] = {"workflows", "approve", run->id, name, "--refuse", NULL};
    command_line(to, state, "  ", yes, "it goes on");
    command_line(to, state, "  ", no, "the run ends with 5");
    free(path);
}

void print_approvals(FILE *to, const char *state, const struct run *run) {
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        const struct record *r = &s->record;
        if (run_step_asks_person(s)) {
            char *path = run_step_path(s);
            fprintf(to, "step %s of %s waits for approval%s%s; type one of these\n",
                    path ? path : s->name, run->id, r->detail ? ": " : "",
                    r->detail ? r->detail : "");
            free(path);
            print_approval(to, state, run, s);
        }
    }
}

/* --- guards of steps -------------------------------------------------------------------------- */

static bool is_passing(void *ctx, int code) {
    const struct step_guard *g = ctx;
    const struct guard_settings *codes = g->own ? g->own : &g->settings;
    return code != EXIT_CANNOT_RUN && code != EXIT_NO_COMMAND && guard_retries_code(codes, code);
}

/* A guard of the configuration, shared by the processes of the host. */
static hardy_status make_named(struct driving *d, struct step_guard *g, hardy_error *error) {
    hardy_env env = loop_env(d->session->loop);
    struct host_slot slot = {0};
    env.log = NULL; /* what there is to tell is told by say_changes() */
    hardy_status status =
        guard_settings_find(d->session->state.config, g->name, GUARD_DEFAULTS, &g->settings, error);
    if (status != HARDY_OK) {
        return status;
    }
    uint32_t slots = g->settings.config.bulkhead ? g->settings.bulkhead.max_concurrent : 0;
    if (!d->host) {
        status = host_open(d->session->state.path, true, &d->host, error);
    }
    if (status == HARDY_OK) {
        status = sharing_attach(d->host, g->name, &g->settings, &slots, &slot, error);
    }
    if (status == HARDY_OK && g->own) {
        g->settings.retry = g->own->retry;
        g->settings.config.retry = g->own->config.retry ? &g->settings.retry : NULL;
    }
    if (status == HARDY_OK) {
        const struct guard_words words = {slot.breaker, slot.rate, slot.budget};
        status = guard_new_over(&g->settings.config, &env, &words, &g->guard, error);
    }
    return status;
}

static hardy_status make_guard(struct driving *d, struct step_guard *g,
                               const struct workflow_step *step, hardy_error *error) {
    hardy_env env = loop_env(d->session->loop);
    env.log = NULL;
    g->own = step->retry;
    g->name = str_dup(step->s.guard ? step->s.guard : step->s.name);
    if (!g->name) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a guard");
    }
    if (step->s.guard) {
        return make_named(d, g, error);
    }
    hardy_guard_config config = step->retry->config;
    config.name = g->name;
    return hardy_guard_new(&config, &env, &g->guard, error);
}

static void free_guard(struct step_guard *g) {
    hardy_guard_free(g->guard);
    guard_settings_free(&g->settings);
    free(g->name);
    *g = (struct step_guard){0};
}

static hardy_status find_guard(void *ctx, const struct workflow_step *step,
                               struct runner_guard *out, hardy_error *error) {
    struct driving *d = ctx;
    const char *name = step->s.guard ? step->s.guard : step->s.name;
    size_t i = 0;
    while (i < d->guard_count &&
           !(d->guards[i].own == step->retry && str_eq(d->guards[i].name, name))) {
        i++;
    }
    if (i == d->guard_count) {
        if (i == MAX_GUARDS) {
            return fail(error, HARDY_E_TOO_LARGE, NULL, "more than %d guards in one run",
                        MAX_GUARDS);
        }
        hardy_status status = make_guard(d, &d->guards[i], step, error);
        if (status != HARDY_OK) {
            free_guard(&d->guards[i]);
            return status;
        }
        d->guard_count++;
    }
    *out = (struct runner_guard){d->guards[i].guard, is_passing, &d->guards[i]};
    return HARDY_OK;
}

struct finding {
    struct driving *d;
    hardy_error *error;
    hardy_status status;
};

static bool find_one(void *ctx, const struct workflow_step *step) {
    struct finding *f = ctx;
    struct runner_guard unused;
    if (step->s.guard || step->retry) {
        f->status = find_guard(f->d, step, &unused, f->error);
    }
    return f->status == HARDY_OK;
}

/* The guards of all steps, before anything runs. */
static hardy_status find_guards(struct driving *d, const struct workflow *w, hardy_error *error) {
    struct finding f = {d, error, HARDY_OK};
    (void)workflow_each(w, find_one, &f);
    return f.status == HARDY_E_NOT_FOUND ? HARDY_E_SYNTAX : f.status;
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

static bool streams(const struct driving *d) {
    return d->how->watch && d->o->globals.json;
}

/* One line of JSON Lines: what happened, or at the end the run itself. */
static void stream(struct driving *d, const struct run *run, const char *step, const char *event,
                   const char *detail, bool whole) {
    struct buf text;
    struct json_out j;
    char at[40];
    if (!streams(d)) {
        return;
    }
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 0);
    clock_format_wall(loop_wall(d->session->loop), at);
    json_out_object(&j);
    json_out_member_string(&j, "at", at);
    json_out_member_string(&j, "event", event);
    json_out_member_string(&j, "id", run->id);
    if (step) {
        json_out_member_string(&j, "step", step);
    }
    if (detail && detail[0]) {
        json_out_member_string(&j, "detail", detail);
    }
    if (whole) {
        json_out_key(&j, "run");
        run_to_json(run, &j);
    }
    json_out_object_end(&j);
    printf("%s\n", text.data ? text.data : "");
    fflush(stdout);
    buf_free(&text);
}

static void on_begun(void *ctx, const struct run *run, bool resumed, const char *failed) {
    struct driving *d = ctx;
    loop_timer_stop(d->session->loop, &d->look);
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
    stream(d, run, NULL, resumed ? "resumed" : "begun", NULL, false);
}

/* The driver is another process: what its run has come to is read now and then. */
static void on_look(struct loop_timer *timer) {
    struct driving *d = timer->ctx;
    struct run run;
    if (run_load(d->session->store, d->watched, &run, NULL) == HARDY_OK) {
        for (const struct run_step *s = run.root; s; s = run_step_after(run.root, s)) {
            char *path = run_step_path(s);
            const char *state = run_step_state_text(s);
            const char *before = json_string_value(json_object_get(d->seen, path ? path : ""));
            if (path && path[0] && !str_eq(before ? before : "pending", state)) {
                say(d->o, HARDY_LOG_INFO, "%s: %s", path, state);
                stream(d, &run, path, state, s->record.detail, false);
                json_object_set_new(d->seen, path, json_string(state));
            }
            free(path);
        }
        run_free(&run);
    }
    loop_timer_start(d->session->loop, timer, time_add(loop_now(d->session->loop), look_every));
}

static void on_waiting(void *ctx, const struct run *run) {
    struct driving *d = ctx;
    say(d->o, HARDY_LOG_INFO, "run %s is driven by another hardy; waiting for it", run->id);
    stream(d, run, NULL, "waiting", NULL, false);
    d->watched = str_dup(run->id);
    if (d->how->watch && d->watched) {
        loop_timer_start(d->session->loop, &d->look, loop_now(d->session->loop));
    }
}

static void say_note(struct driving *d, const struct run *run, const struct run_step *step,
                     enum runner_note note, const char *name, const char *detail) {
    switch (note) {
    case NOTE_STARTED:
        say(d->o, HARDY_LOG_INFO, "%s: started", name);
        break;
    case NOTE_ATTACHED:
        say(d->o, HARDY_LOG_INFO, "%s: is running already: attached to it, not started again",
            name);
        break;
    case NOTE_COLLECTED:
        say(d->o, HARDY_LOG_INFO, "%s: ended while nobody watched", name);
        break;
    case NOTE_PROBED:
    case NOTE_RETRY:
        say(d->o, HARDY_LOG_INFO, "%s: %s", name, detail);
        break;
    case NOTE_SKIPPED:
        say(d->o, HARDY_LOG_INFO, "%s: skipped", name);
        break;
    case NOTE_ITEMS:
        say(d->o, HARDY_LOG_INFO, "%s: for each of %s", name, detail);
        break;
    case NOTE_SLEEPING:
        say(d->o, HARDY_LOG_INFO, "%s: sleeps for %s", name, detail);
        break;
    case NOTE_LOOKING:
        say(d->o, HARDY_LOG_INFO, "%s: waits until it holds%s%s", name,
            detail[0] ? ", at most " : "", detail);
        break;
    case NOTE_ASKING:
        say(d->o, HARDY_LOG_INFO, "%s: waits for approval%s%s; type one of these", name,
            detail[0] ? ": " : "", detail);
        if (d->o->globals.level <= HARDY_LOG_INFO) {
            print_approval(stderr, d->session->state.path, run, step);
        }
        break;
    case NOTE_UNDOING:
        say(d->o, HARDY_LOG_INFO, "%s: is being undone", name);
        break;
    case NOTE_CANCELLING:
        say(d->o, HARDY_LOG_INFO, "run %s is being cancelled", run->id);
        break;
    }
}

static const char *note_text(enum runner_note note) {
    static const char *const texts[] = {
        [NOTE_STARTED] = "started", [NOTE_ATTACHED] = "attached", [NOTE_COLLECTED] = "collected",
        [NOTE_PROBED] = "probed",   [NOTE_RETRY] = "retry",       [NOTE_SKIPPED] = "skipped",
        [NOTE_ITEMS] = "items",     [NOTE_SLEEPING] = "sleeping", [NOTE_LOOKING] = "looking",
        [NOTE_ASKING] = "asking",   [NOTE_UNDOING] = "undoing",   [NOTE_CANCELLING] = "cancelling",
    };
    return (size_t)note < sizeof texts / sizeof *texts ? texts[note] : "";
}

static void on_note(void *ctx, const struct run *run, const struct run_step *step,
                    enum runner_note note, const char *detail) {
    struct driving *d = ctx;
    char *path = run_step_path(step);
    say_note(d, run, step, note, path ? path : step->name, detail);
    stream(d, run, note == NOTE_CANCELLING ? NULL : path, note_text(note), detail, false);
    free(path);
}

static void on_step_ended(void *ctx, const struct run *run, const struct run_step *step, bool undo,
                          hardy_status status, const hardy_error *error) {
    struct driving *d = ctx;
    const struct record *r = undo ? &step->undo : &step->record;
    char *path = run_step_path(step);
    const char *name = path ? path : step->name;
    char span[48] = "";
    if (r->started && r->ended) {
        format_duration_short(r->ended - r->started, span);
    }
    if (status == HARDY_OK) {
        say(d->o, HARDY_LOG_INFO, "%s: %s%s%s", name, undo ? "undone" : "done",
            span[0] ? " in " : "", span);
    } else if (status == HARDY_E_IN_DOUBT && str_starts(error->message, step->name)) {
        /* It begins with the name already. */
        say(d->o, HARDY_LOG_ERROR, "%s%s%s", undo ? "undoing " : "", name,
            error->message + strlen(step->name));
    } else {
        say(d->o, HARDY_LOG_ERROR, "%s: %s%s", name, undo ? "cannot be undone: " : "",
            error->message);
    }
    stream(d, run, name, status == HARDY_OK && undo ? "compensated" : record_state_text(r->state),
           status == HARDY_OK ? "" : error->message, false);
    free(path);
    say_changes(d);
}

/* A command's as it was printed; of steps at once a map of theirs, of items a list. */
static void print_output(struct driving *d, const struct run *run) {
    struct run_step *step = run->root;
    while (step->kind == RUN_SEQUENCE && step->count > 0 && step->record.state != RECORD_SKIPPED) {
        step = step->children[step->count - 1];
    }
    const json_t *value = step->kind == RUN_LEAF ? NULL : step_value_of(step);
    if (step->kind == RUN_LEAF && step->record.truncated) { /* half must not look like all */
        say(d->o, HARDY_LOG_ERROR,
            "run %s is done, but its result is longer than what is kept of an output and cannot "
            "be given; hardy workflows show %s shows its beginning",
            run->id, run->id);
        d->exit = EXIT_FAILED;
    } else if (step->kind == RUN_LEAF) {
        fwrite(step->record.output ? step->record.output : "", 1, step->record.output_len, stdout);
    } else if (json_is_object(value) || json_is_array(value)) {
        struct buf text;
        buf_init(&text, MAX_TEXT);
        template_put_json(value, &text);
        printf("%s\n", text.data ? text.data : "");
        buf_free(&text);
    }
}

static void print_result(struct driving *d, const struct run *run) {
    const struct options *o = d->o;
    if (streams(d)) {
        stream(d, run, NULL, "ended", run->detail, true);
    } else if (o->globals.json) {
        struct buf text;
        struct json_out j;
        buf_init(&text, MAX_TEXT);
        json_out_init(&j, &text, 2);
        run_to_json(run, &j);
        printf("%s\n", text.data ? text.data : "");
        buf_free(&text);
    } else if (run->state == RUN_DONE) {
        print_output(d, run);
    }
}

static void print_difference(const char *difference, const char *id) {
    fprintf(stderr, "what is recorded (-) and what the file says now (+):\n%s", difference);
    fprintf(stderr,
            "put the file back as it was, or take the finished steps over into a new run:\n"
            "  hardy workflows fork %s --from STEP\n",
            id);
}

static void say_failed(const struct options *o, const struct run *run) {
    bool kept = run_kept(run) != NULL, undone = run_is_undoing(run) && !kept;
    say(o, HARDY_LOG_ERROR, "run %s failed%s%s%s%s%s", run->id,
        run->detail ? run->cancelled ? ": " : " at " : "", run->detail ? run->detail : "",
        undone ? "; what it had done is undone" : "; hardy workflows resume ",
        undone ? "" : run->id,
        undone ? ""
        : kept ? " tries to undo the rest again"
               : " begins again at that step");
}

static void on_ended(void *ctx, const struct run *run, hardy_status status,
                     const hardy_error *error, const char *difference) {
    struct driving *d = ctx;
    d->runner = NULL;
    loop_timer_stop(d->session->loop, &d->look);
    if (status == HARDY_E_CANCELLED) {
        say(d->o, HARDY_LOG_WARNING,
            "interrupted; a step that runs goes on, and the same line again attaches to it");
        d->exit = d->session->interrupted ? 128 + d->session->interrupted : EXIT_INTERRUPTED;
        return;
    }
    if (status != HARDY_OK || !run) {
        say_error(d->o, error);
        if (difference && run) {
            print_difference(difference, run->id);
        }
        d->exit = session_exit(status);
        return;
    }
    d->exit = EXIT_DONE;
    print_result(d, run);
    if (run->state == RUN_IN_DOUBT) {
        print_in_doubt(stderr, d->session->state.path, run);
        d->exit = EXIT_IN_DOUBT;
    } else if (run->state == RUN_CANCELLED) {
        say(d->o, HARDY_LOG_ERROR, "run %s is cancelled%s%s", run->id, run->detail ? ": " : "",
            run->detail ? run->detail : "");
        d->exit = d->how->cancels ? EXIT_DONE : EXIT_FAILED;
    } else if (run->state == RUN_FAILED) {
        say_failed(d->o, run);
        d->exit = session_exit(run->verdict == HARDY_OK ? HARDY_E_FAILED : run->verdict);
    }
}

static void on_interrupt(void *ctx) {
    struct driving *d = ctx;
    if (d->runner) {
        runner_leave(d->runner);
    }
}

/* What a removed run of that id may have left is not for the one that is to be made. */
static hardy_status clear_id(struct session *s, const char *id, hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status =
        id ? retention_clear(s->store, id, time_add(loop_now(s->loop), clear_within), &why)
           : HARDY_OK;
    if (status == HARDY_OK || status == HARDY_E_EXISTS) {
        return HARDY_OK;
    }
    *error = why;
    return status;
}

/* What was finished long ago goes, at the end of a run that took its time. */
static void retain(struct session *s, int64_t begun) {
    struct retain_settings settings;
    struct retain_report report;
    const struct retain_world world = {s->loop, s->store, s->state.path};
    hardy_error ignored;
    bool swept = false;
    hardy_error_init(&ignored, sizeof ignored);
    if (retain_settings_read(s->state.config, &settings, &ignored) == HARDY_OK) {
        hardy_status status = retain_at_end(&world, &settings, begun, &swept, &report, &ignored);
        (void)status; /* nothing that a run should fail for; the next one tries again */
    }
}

int running_drive(const struct options *o, struct session *s, const struct workflow *w,
                  const struct running *how) {
    static const struct runner_events events = {on_begun, on_waiting, on_note, on_step_ended,
                                                on_ended};
    struct driving d = {.o = o, .session = s, .how = how, .seen = json_object()};
    char owner[64];
    hardy_error error;
    const int64_t begun = loop_now(s->loop);
    hardy_error_init(&error, sizeof error);
    snprintf(owner, sizeof owner, "pid %ld (%s)", (long)getpid(), o->self->name);
    struct workflows_settings settings;
    struct runner_options options = {.loop = s->loop,
                                     .store = s->store,
                                     .state = s->state.path,
                                     .workflow = w,
                                     .id = how->id,
                                     .fresh = how->fresh,
                                     .retry_failed = how->retry_failed,
                                     .input = how->input,
                                     .env = session_environment(),
                                     .owner = owner,
                                     .guard = find_guard,
                                     .guard_ctx = &d};
    loop_timer_init(&d.look, on_look, &d);
    hardy_status status = workflows_settings_read(s->state.config, &settings, &error);
    options.lease = settings.lease;
    status = status == HARDY_OK ? find_guards(&d, w, &error) : status;
    status = status == HARDY_OK ? clear_id(s, how->id, &error) : status;
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
    retain(s, begun);
    for (size_t i = 0; i < d.guard_count; i++) {
        free_guard(&d.guards[i]);
    }
    if (d.host) {
        host_close(d.host);
    }
    json_decref(d.seen);
    free(d.watched);
    return d.exit;
}
