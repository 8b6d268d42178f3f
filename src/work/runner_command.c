/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a run that are commands, and their compensations. */
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "work/runner_parts.h"
#include <stdlib.h>

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    static const enum runner_note notes[] = {
        [COMMAND_STARTED] = NOTE_STARTED,     [COMMAND_ATTACHED] = NOTE_ATTACHED,
        [COMMAND_COLLECTED] = NOTE_COLLECTED, [COMMAND_PROBED] = NOTE_PROBED,
        [COMMAND_RETRY] = NOTE_RETRY,
    };
    struct driven *d = ctx;
    (void)record;
    if (what != COMMAND_REPLAYED) {
        runner_note(d, d->undo && what == COMMAND_STARTED ? NOTE_UNDOING : notes[what], detail);
    }
    if (what == COMMAND_ATTACHED && !d->undo && d->runner->run.cancelled) {
        command_cancel(d->command); /* it was begun by somebody who is gone since */
    }
}

/* Its start is durable, and what went with it. */
static void on_recorded(void *ctx) {
    struct driven *d = ctx;
    d->held_up = false;
    runner_carried(d, true);
}

/* It may take long until it can start: what is known is written by itself. */
static void on_held_up(void *ctx) {
    struct driven *d = ctx;
    struct runner *r = d->runner;
    d->held_up = true;
    runner_carried(d, false);
    d->spec.with_start = NULL;
    d->spec.with_start_count = 0;
    if (r->unborn || runner_has_unwritten(r)) {
        runner_flush(r, FLUSH_KNOWN, 0, NULL);
    }
}

static hardy_status take_record(struct driven *d, const struct command_result *result,
                                hardy_error *error) {
    struct record *mine = d->undo ? &d->step->undo : &d->step->record;
    record_free(mine);
    if (result->record) {
        *mine = *result->record;
        record_init(result->record);
        return HARDY_OK;
    }
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status =
        record_load(d->runner->options.store, d->undo ? "undo" : "step", d->step->key, mine, &why);
    if (status == HARDY_OK || status == HARDY_E_NOT_FOUND) {
        return HARDY_OK;
    }
    *error = why;
    return status;
}

static void on_ended(void *ctx, const struct command_result *result) {
    struct driven *d = ctx;
    struct runner *r = d->runner;
    hardy_error error = *result->error;
    d->command = NULL;
    if (d->request) {
        (void)file_remove(d->request, NULL);
    }
    runner_carried(d, false); /* nothing is left, unless it never started */
    struct command_unwritten write = command_take(result);
    if (write.row_kind) {
        runner_add(r, &write);
    }
    hardy_status status = take_record(d, result, &error);
    if (status != HARDY_OK) {
        runner_driven_free(d);
        runner_break(r, status, &error);
        return;
    }
    if (result->status == HARDY_E_FENCED) {
        runner_explain_fence(r, &error);
        runner_driven_free(d);
        runner_break(r, HARDY_E_FENCED, &error);
        return;
    }
    error.status = result->status;
    runner_step_ended(d, result->status, &error);
}

static bool is_program(const struct workflow_step *step) {
    return step->kind != STEP_RUN;
}

/* Beside the files of its runs. */
static hardy_status find_request(struct driven *d, hardy_error *error) {
    struct step_place place;
    hardy_status status =
        step_place_find(d->runner->options.state, "step", d->step->key, &place, error);
    if (status == HARDY_OK) {
        d->request = str_format("%s.request", place.stem);
        step_place_free(&place);
    }
    return status == HARDY_OK && !d->request
               ? fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", d->step->name)
               : status;
}

hardy_status runner_start_command(struct driven *d, bool settle_only, hardy_error *error) {
    static const struct command_events events = {on_event, on_ended, on_recorded, on_held_up};
    struct runner *r = d->runner;
    const struct runner_options *o = &r->options;
    const struct workflow_step *step = d->step->says;
    struct scope scope;
    hardy_status status = HARDY_OK;
    if (step->s.guard || step->retry) {
        status = o->guard(o->guard_ctx, step, &d->guard, error);
    }
    scope_init(&scope, &r->run, d->step, o->env);
    if (status == HARDY_OK && is_program(step) && !d->undo) {
        status = find_request(d, error);
        scope.request = d->request;
    }
    if (status == HARDY_OK) {
        status = step_expand(&scope, d->undo, &d->words, error);
    }
    if (status == HARDY_OK && !d->undo) {
        status = step_inputs_hash(&scope, d->inputs, error);
    }
    scope_free(&scope);
    d->params = step_params(step, d->undo);
    if (status == HARDY_OK && (!d->params || !runner_carry(d))) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", d->step->name);
    }
    if (status != HARDY_OK) {
        return status;
    }
    d->spec = (struct command_spec){.row_kind = d->undo ? "undo" : "step",
                                    .key = d->step->key,
                                    .name = d->step->name,
                                    .scope = d->step->key, /* items have one name and text */
                                    .params = d->params,
                                    .argv = (const char *const *)d->words.argv,
                                    .env = (const char *const *)d->words.env,
                                    .cwd = step->workflow->folder,
                                    .guard = d->guard.guard,
                                    .passing = d->guard.passing,
                                    .passing_ctx = d->guard.ctx,
                                    .timeout = step->s.timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = HARDY_NEVER,
                                    .max_output = COMMAND_KEPT,
                                    .in_doubt = step->in_doubt,
                                    .probe = (const char *const *)d->words.probe,
                                    .attach = true,
                                    .with_start = d->with,
                                    .with_start_count = d->with_count,
                                    .hold_success = true,
                                    .require = &r->require,
                                    .settle_only = settle_only,
                                    .undoes = d->undo,
                                    .program = is_program(step) && !d->undo,
                                    .secrets = r->secrets,
                                    .inputs = d->inputs,
                                    .order = runner_next_order(r)};
    status = command_start(o->loop, o->store, o->state, &d->spec, &events, d, &d->command, error);
    if (status != HARDY_OK) {
        runner_carried(d, false);
    }
    return status;
}
