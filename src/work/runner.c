/* SPDX-License-Identifier: Apache-2.0 */
/* Drives a run: what can be done now is done, until it is over. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/signal.h"
#include "work/runner_parts.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void free_runner(struct runner *r) {
    const struct runner_options *o = &r->options;
    loop_timer_stop(o->loop, &r->timer);
    loop_timer_stop(o->loop, &r->renew);
    loop_timer_stop(o->loop, &r->listen);
    runner_drop_unwritten(r);
    if (r->file_fd >= 0) {
        close(r->file_fd);
    }
    if (r->lock_fd >= 0) {
        close(r->lock_fd);
    }
    buf_free(&r->run_row);
    buf_free(&r->lease_row);
    step_place_free(&r->place);
    run_lease_free(&r->lease);
    secrets_free(r->secrets);
    run_free(&r->run);
    free(r->failed);
    free(r->difference);
    free(r);
}

/* Once nothing is under way any more. The first word about how it ended holds. */
void runner_end(struct runner *r, hardy_status status, const hardy_error *error) {
    if (!r->over) {
        r->over = true;
        r->broken = r->left ? HARDY_E_CANCELLED : status;
        if (r->left) {
            fail(&r->error, HARDY_E_CANCELLED, NULL, "interrupted");
        } else if (error && error != &r->error) {
            r->error = *error;
        }
    }
    if (r->flights > 0 || r->driven_count > 0) {
        return;
    }
    if (r->lock_fd >= 0) {
        close(r->lock_fd);
        r->lock_fd = -1;
    }
    r->events->ended(r->ctx, r->has_run ? &r->run : NULL, r->broken, &r->error, r->difference);
    free_runner(r);
}

/* --- steps that are driven ----------------------------------------------------------------------
 */

struct driven *runner_driven_new(struct runner *r, struct run_step *step, bool undo) {
    struct driven *d = calloc(1, sizeof *d);
    if (d) {
        d->runner = r;
        d->step = step;
        d->undo = undo;
        step->driven = true;
        loop_timer_init(&d->timer, NULL, d);
        list_append(&r->driven, &d->link);
        r->driven_count++;
    }
    return d;
}

void runner_driven_free(struct driven *d) {
    struct runner *r = d->runner;
    loop_timer_stop(r->options.loop, &d->timer);
    runner_carried(d, false);
    d->step->driven = false;
    list_remove(&d->link);
    r->driven_count--;
    step_command_free(&d->words);
    free(d->params);
    free(d->request);
    free(d);
}

void runner_let_go(struct driven *d) {
    if (d->command) {
        command_leave(d->command);
        d->command = NULL;
    }
    if (d->probe) {
        probe_free(d->probe);
        d->probe = NULL;
    }
    runner_driven_free(d);
}

static void let_all_go(struct runner *r) {
    while (!list_empty(&r->driven)) {
        runner_let_go(LIST_ITEM(r->driven.next, struct driven, link));
    }
}

void runner_note(const struct driven *d, enum runner_note note, const char *detail) {
    const struct runner *r = d->runner;
    if (r->events->note) {
        r->events->note(r->ctx, &r->run, d->step, note, detail ? detail : "");
    }
}

void runner_break(struct runner *r, hardy_status status, const hardy_error *error) {
    if (r->holding) {
        if (error != &r->error) {
            r->error = *error;
        }
        runner_break_soon(r, status);
        return;
    }
    let_all_go(r);
    runner_end(r, status, error);
}

void runner_refuse(struct runner *r, hardy_status status, const hardy_error *error) {
    if (r->refused == HARDY_OK) {
        r->refused = status;
        r->refusal = *error;
        r->refusal.status = status;
    }
}

void runner_step_ended(struct driven *d, hardy_status status, const hardy_error *error) {
    struct runner *r = d->runner;
    struct run_step *step = d->step;
    const struct record *mine = d->undo ? &step->undo : &step->record;
    bool undo = d->undo, asked = !d->cancelled;
    runner_driven_free(d);
    step->verdict = status;
    r->events->step_ended(r->ctx, &r->run, step, undo, status, error);
    bool undone = mine->state == RECORD_PENDING && !undo && run_is_halted(&r->run);
    if (mine->state == RECORD_IN_DOUBT) {
        step->left = asked; /* of one that was ended from here, its policy is asked first */
    } else if (status != HARDY_OK && mine->state != RECORD_FAILED && !undone) {
        runner_refuse(r, status, error); /* refused before it ran, or the state failed */
    }
    runner_drive_on(r);
}

/* --- the end of the run -------------------------------------------------------------------------
 */

static const struct run_step *find_state(const struct run *run, enum record_state state,
                                         bool *undo) {
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        *undo = s->undo.state == state;
        if (*undo || (s->kind == RUN_LEAF && s->record.state == state)) {
            return s;
        }
    }
    return NULL;
}

/* The failed step that ended first is the reason; what followed is not. */
static const struct run_step *first_failed(const struct run *run) {
    const struct run_step *first = NULL;
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->kind == RUN_LEAF && s->record.state == RECORD_FAILED &&
            (!first || s->record.ended < first->record.ended)) {
            first = s;
        }
    }
    return first;
}

static void explain(struct runner *r, const struct run_step *step, const struct record *record,
                    const char *also) {
    char *path = run_step_path(step);
    free(r->run.detail);
    r->run.detail = str_format("%s%s: %s", also, path ? path : step->name,
                               record->detail ? record->detail : record_state_text(record->state));
    free(path);
}

static void explain_failure(struct runner *r) {
    const struct run_step *failed = first_failed(&r->run);
    if (failed) {
        explain(r, failed, &failed->record, "");
        r->run.verdict = failed->verdict != HARDY_OK ? failed->verdict : HARDY_E_FAILED;
    }
}

/* What could not be undone, behind what is told already. */
static void explain_kept(struct runner *r) {
    const struct run_step *kept = run_kept(&r->run);
    char *before = r->run.detail, *path = kept ? run_step_path(kept) : NULL;
    if (kept) {
        r->run.detail =
            str_format("%s%sundoing %s failed: %s", before ? before : "", before ? "; " : "",
                       path ? path : kept->name, kept->undo.detail ? kept->undo.detail : "");
        free(before);
    }
    free(path);
}

static void explain_doubt(struct runner *r) {
    bool undo = false;
    const struct run_step *step = find_state(&r->run, RECORD_IN_DOUBT, &undo);
    if (step) {
        explain(r, step, undo ? &step->undo : &step->record, undo ? "undoing " : "");
    }
    r->run.verdict = HARDY_E_IN_DOUBT;
}

static void explain_cancel(struct runner *r) {
    char *key = signal_cancel_key(r->run.id);
    struct signal said;
    r->run.verdict = HARDY_E_CANCELLED;
    if (key && signal_load(r->options.store, key, &said, NULL) == HARDY_OK) {
        free(r->run.detail);
        r->run.detail = str_format("cancelled by %s%s%s", said.who, said.comment ? ": " : "",
                                   said.comment ? said.comment : "");
        signal_free(&said);
    }
    free(key);
}

static void after_finished(struct runner *r, hardy_status status, const hardy_error *error) {
    runner_end(r, status, error);
}

/* Records what the run has become, then ends. */
static void finish(struct runner *r, enum run_state state) {
    struct run *run = &r->run;
    run->state = state;
    run->ended = state == RUN_IN_DOUBT ? 0 : loop_wall(r->options.loop);
    run->verdict = HARDY_OK;
    free(run->detail);
    run->detail = NULL;
    if (state == RUN_IN_DOUBT) {
        explain_doubt(r);
    } else if (run->cancelled && state != RUN_DONE) {
        explain_cancel(r);
    } else if (state == RUN_FAILED) {
        explain_failure(r);
    }
    if (state == RUN_FAILED) {
        explain_kept(r);
    }
    runner_flush(r, FLUSH_RUN | FLUSH_RELEASE, 0, after_finished);
}

static void after_refused(struct runner *r, hardy_status status, const hardy_error *error) {
    runner_end(r, status == HARDY_OK ? r->refused : status,
               status == HARDY_OK ? &r->refusal : error);
}

/* A run that has not begun to do anything is not made for this. */
static void end_refused(struct runner *r) {
    if (r->unborn && !runner_has_unwritten(r)) {
        runner_end(r, r->refused, &r->refusal);
    } else {
        runner_flush(r, r->unborn ? FLUSH_KNOWN : FLUSH_RELEASE, 0, after_refused);
    }
}

/* --- entering groups, skipping ------------------------------------------------------------------
 */

static bool begin_record(struct runner *r, struct run_step *step, bool undo,
                         enum record_state state) {
    struct record *record = undo ? &step->undo : &step->record;
    int64_t before = record->fence > 0 ? record->fence : -1;
    record->row_kind = record->row_kind ? record->row_kind : str_dup(undo ? "undo" : "step");
    record->key = record->key ? record->key : str_dup(step->key);
    record->name = record->name ? record->name : str_dup(step->name);
    if (!record->row_kind || !record->key || !record->name) {
        return false;
    }
    record->state = state;
    record->fence++;
    record->started = loop_wall(r->options.loop);
    record->created = record->created ? record->created : record->started;
    record->ended = state == RECORD_STARTED ? 0 : record->started;
    runner_add_record(r, record, before);
    return true;
}

static void note(struct runner *r, const struct run_step *step, enum runner_note note,
                 const char *detail) {
    if (r->events->note) {
        r->events->note(r->ctx, &r->run, step, note, detail);
    }
}

/* Items of a for_each become known, and with them its steps. */
static hardy_status enter_each(struct runner *r, struct run_step *each, struct scope *scope,
                               hardy_error *error) {
    const json_t *items = NULL;
    char text[32];
    hardy_status status = scope_items(scope, &items, error);
    if (status != HARDY_OK) {
        return status;
    }
    each->record.items = (uint32_t)json_array_size(items);
    scope_items_hash(items, each->record.inputs);
    if (!run_step_make_items(each, each->record.items) || !run_step_make_keys(each, r->run.id) ||
        !begin_record(r, each, false, RECORD_STARTED)) {
        return fail(error, HARDY_E_TOO_LARGE, NULL,
                    "step `%s`: its items do not fit: at most %d steps in a run, and no memory for "
                    "more",
                    each->name, RUN_STEPS_MAX);
    }
    snprintf(text, sizeof text, "%u", (unsigned)each->record.items);
    note(r, each, NOTE_ITEMS, text);
    return HARDY_OK;
}

/* Whether the step's condition holds; when not, it is skipped. */
static hardy_status ask(struct runner *r, struct run_step *step, struct scope *scope, bool *holds,
                        hardy_error *error) {
    hardy_status status = scope_when(scope, step->says, holds, error);
    if (status == HARDY_OK && !*holds) {
        if (!begin_record(r, step, false, RECORD_SKIPPED)) {
            return fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", step->name);
        }
        note(r, step, NOTE_SKIPPED, "");
    }
    return status;
}

static hardy_status enter_group(struct runner *r, struct run_step *group, hardy_error *error) {
    struct scope scope;
    bool holds = true;
    scope_init(&scope, &r->run, group, r->options.env);
    hardy_status status = group->asks ? ask(r, group, &scope, &holds, error) : HARDY_OK;
    if (status == HARDY_OK && holds && group->kind == RUN_EACH) {
        status = enter_each(r, group, &scope, error);
    }
    scope_free(&scope);
    group->entered = status == HARDY_OK && holds;
    return status;
}

static bool is_conditional(const struct run_step *leaf) {
    const struct workflow_step *from = leaf->says;
    bool item = leaf->parent->kind == RUN_EACH; /* then the condition was the list's */
    return from->s.when && !item && leaf->record.state == RECORD_PENDING;
}

/* --- driving ------------------------------------------------------------------------------------
 */

/* A compensation that cannot even begin has failed: the others are not to wait for it. */
static hardy_status fail_undo(struct runner *r, struct run_step *step, hardy_status status,
                              const hardy_error *error) {
    free(step->undo.detail);
    step->undo.detail = str_dup(error->message);
    return begin_record(r, step, true, RECORD_FAILED) ? HARDY_OK : status;
}

static hardy_status start(struct runner *r, const struct run_next *next, hardy_error *error) {
    struct run_step *step = next->step;
    if (step->kind != RUN_LEAF) {
        return enter_group(r, step, error);
    }
    bool holds = true;
    if (!next->undo && is_conditional(step)) {
        struct scope scope;
        scope_init(&scope, &r->run, step, r->options.env);
        hardy_status status = ask(r, step, &scope, &holds, error);
        scope_free(&scope);
        if (status != HARDY_OK || !holds) {
            return status;
        }
    }
    struct driven *d = runner_driven_new(r, step, next->undo);
    if (!d) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", step->name);
    }
    hardy_status status =
        !next->undo && runner_waits(step)
            ? runner_start_wait(d, error)
            : runner_start_command(d, !next->undo && run_is_halted(&r->run), error);
    if (status != HARDY_OK) {
        runner_driven_free(d);
        if (next->undo && status != HARDY_E_NOMEM) {
            status = fail_undo(r, step, status, error);
        }
        r->events->step_ended(r->ctx, &r->run, step, next->undo, error->status, error);
    }
    return status;
}

/* The run is written with the start of its first step, if one command is all that begins. */
static bool needs_birth(const struct runner *r, const struct run_next *next, size_t count) {
    return r->unborn && (count > 1 || next->step->kind != RUN_LEAF || runner_waits(next->step) ||
                         is_conditional(next->step));
}

/* Waits of a run that is halted, or cannot go on here, are not gone on with; their records stay as
 * they are. Nor are commands that a limit or a breaker has kept from their start so far. */
static void drop_waits(struct runner *r) {
    struct list *next;
    r->holding = true;
    for (struct list *l = r->driven.next; l != &r->driven; l = next) {
        struct driven *d = LIST_ITEM(l, struct driven, link);
        next = l->next;
        if (!d->undo && runner_waits(d->step)) {
            runner_let_go(d);
        } else if (!d->undo && d->held_up && d->step->record.state == RECORD_PENDING) {
            d->held_up = false;
            command_cancel(d->command);
        }
    }
    r->holding = false;
}

static bool start_some(struct runner *r) {
    struct run_next next[64];
    hardy_error error;
    size_t room = RUNNER_DRIVEN_MAX - r->driven_count;
    size_t count = run_next(&r->run, next, room < 64 ? room : 64);
    if (count > 0 && needs_birth(r, next, count)) {
        runner_flush(r, FLUSH_KNOWN, 0, NULL);
    }
    for (size_t i = 0; i < count && r->refused == HARDY_OK; i++) {
        hardy_error_init(&error, sizeof error);
        hardy_status status = start(r, &next[i], &error);
        if (status != HARDY_OK) {
            runner_refuse(r, status, &error);
        }
    }
    return count > 0 && r->refused == HARDY_OK;
}

void runner_drive_on(struct runner *r) {
    if (r->over || r->left || r->holding) {
        return;
    }
    if (run_is_halted(&r->run)) {
        drop_waits(r);
    }
    while (r->refused == HARDY_OK && r->broken == HARDY_OK && start_some(r)) {
    }
    if (r->refused != HARDY_OK) {
        drop_waits(r);
    }
    if (r->broken != HARDY_OK) {
        runner_break(r, r->broken, &r->error);
    } else if (r->driven_count > 0) {
        if (runner_has_unwritten(r)) {
            runner_flush(r, FLUSH_KNOWN, 0, NULL);
        }
    } else if (r->refused != HARDY_OK) {
        end_refused(r);
    } else {
        enum run_state becomes = run_becomes(&r->run);
        if (becomes == r->run.state && !runner_has_unwritten(r)) {
            runner_end(r, HARDY_OK, NULL);
        } else {
            finish(r, becomes);
        }
    }
}

static void on_broken(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    runner_break(r, r->broken, &r->error);
}

void runner_break_soon(struct runner *r, hardy_status status) {
    r->broken = status;
    loop_timer_init(&r->timer, on_broken, r);
    loop_timer_start(r->options.loop, &r->timer, loop_now(r->options.loop));
}

static void on_leave(struct loop_timer *timer) {
    runner_end(timer->ctx, HARDY_E_CANCELLED, NULL);
}

void runner_leave(struct runner *r) {
    if (r->left || r->over) {
        return;
    }
    r->left = true;
    let_all_go(r);
    loop_timer_stop(r->options.loop, &r->renew);
    loop_timer_stop(r->options.loop, &r->listen);
    /* What is known may be on its way with the start of a step: written twice it is the same. */
    if (r->mine && !r->unborn) {
        runner_flush(r, FLUSH_RELEASE, 0, NULL);
    } else if (r->flights == 0) {
        loop_timer_stop(r->options.loop, &r->timer);
        loop_timer_init(&r->timer, on_leave, r);
        loop_timer_start(r->options.loop, &r->timer, loop_now(r->options.loop));
    }
}
