/* SPDX-License-Identifier: Apache-2.0 */
#include "work/runner.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "work/batch.h"
#include "work/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VALUE = 16 << 20 };
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 200 * HARDY_MILLISECOND;

/* What is known and not written yet: it goes with the next batch. */
struct pending {
    bool run;    /* the run's own row */
    int file_fd; /* the lock under which it was made: until it can be found there is no other */
    struct command_unwritten steps[2]; /* that have succeeded */
    size_t count;
    size_t sent; /* of them are in a batch */
};

struct runner {
    struct runner_options options;
    const struct runner_events *events;
    void *ctx;
    struct run run;
    bool has_run, left;
    char *failed; /* id of a failed run that this one does not go on with */
    struct step_place place;
    int lock_fd; /* this process drives the run; -1 = not */
    int64_t poll;
    struct loop_timer timer;

    size_t index; /* of the step being run */
    struct command *command;
    struct command_spec spec;
    struct step_command step;
    struct runner_guard guard;
    char *key, *params;
    hardy_status step_status;

    struct pending pending;
    struct buf row; /* the run, encoded */
    struct store_op ops[4];
    struct batch batch;
    void (*then)(struct runner *r, hardy_status status);
    hardy_error error;
};

static void drive_on(struct runner *r);

static void forget_step(struct runner *r) {
    step_command_free(&r->step);
    free(r->key);
    free(r->params);
    r->key = r->params = NULL;
}

static void free_runner(struct runner *r) {
    loop_timer_stop(r->options.loop, &r->timer);
    for (size_t i = 0; i < r->pending.count; i++) {
        command_unwritten_done(r->options.loop, &r->pending.steps[i], false);
    }
    if (r->pending.file_fd >= 0) {
        close(r->pending.file_fd);
    }
    if (r->lock_fd >= 0) {
        close(r->lock_fd);
    }
    forget_step(r);
    buf_free(&r->row);
    step_place_free(&r->place);
    run_free(&r->run);
    free(r->failed);
    free(r);
}

static void end(struct runner *r, hardy_status status) {
    if (r->lock_fd >= 0) {
        close(r->lock_fd);
        r->lock_fd = -1;
    }
    r->events->ended(r->ctx, r->has_run ? &r->run : NULL, status, &r->error);
    free_runner(r);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* What was sent is durable. */
static void written(struct runner *r) {
    struct pending *p = &r->pending;
    struct pending left = {.file_fd = -1};
    for (size_t i = 0; i < p->count; i++) {
        if (i < p->sent) {
            command_unwritten_done(r->options.loop, &p->steps[i], true);
        } else {
            left.steps[left.count++] = p->steps[i];
        }
    }
    if (p->file_fd >= 0) {
        close(p->file_fd);
    }
    *p = left;
}

static bool is_pending(const struct runner *r) {
    return r->pending.run || r->pending.count > 0;
}

/* The run's row as it stands, or only that it is still ours: whoever has taken the run over has
 * another fence. */
static struct store_op run_op(struct runner *r, bool write, int64_t before) {
    struct store_op op = {.kind = STORE_REQUIRE,
                          .row_kind = "run",
                          .key = r->run.id,
                          .if_fence = before,
                          .fence = r->run.fence};
    if (write || r->pending.run) {
        buf_reset(&r->row);
        run_encode(&r->run, &r->row);
        op.kind = r->pending.run ? STORE_INSERT : STORE_UPDATE;
        op.value = r->row.data;
        op.len = r->row.len;
    }
    return op;
}

/* Fills `ops`; returns how many. */
static size_t pending_ops(struct runner *r, bool write_run, int64_t before) {
    size_t n = 0;
    r->ops[n++] = run_op(r, write_run, before);
    for (size_t i = 0; i < r->pending.count; i++) {
        r->ops[n++] = r->pending.steps[i].op;
    }
    r->pending.sent = r->pending.count;
    return n;
}

static void on_batch(struct batch *b, hardy_status status) {
    struct runner *r = b->ctx;
    if (status == HARDY_OK) {
        written(r);
    } else {
        r->error = b->error;
    }
    if (r->left) {
        end(r, HARDY_E_CANCELLED);
    } else if (r->then) {
        r->then(r, status);
    }
}

static void submit(struct runner *r, size_t count, void (*then)(struct runner *, hardy_status)) {
    r->then = then;
    if (r->row.failed) {
        batch_refuse(&r->batch, r->options.loop, HARDY_E_TOO_LARGE,
                     "the run does not fit a record of 16 MiB", on_batch, r);
    } else {
        batch_submit(&r->batch, r->options.loop, r->options.store, r->ops, count, on_batch, r);
    }
}

static void after_finished(struct runner *r, hardy_status status) {
    end(r, status);
}

/* Records what the run has become, then ends. */
static void finish(struct runner *r, enum run_state state) {
    r->run.state = state;
    r->run.verdict = r->step_status;
    r->run.ended = state == RUN_IN_DOUBT ? 0 : loop_wall(r->options.loop);
    free(r->run.detail);
    r->run.detail = r->step_status == HARDY_OK
                        ? NULL
                        : str_format("%s: %s", r->run.steps[r->index].name, r->error.message);
    submit(r, pending_ops(r, true, r->run.fence), after_finished);
}

/* --- one step after another ------------------------------------------------------------------- */

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    struct runner *r = ctx;
    (void)record;
    if (r->events->step) {
        r->events->step(r->ctx, &r->run, r->index, what, detail);
    }
}

/* The step's start is durable, and what was pending with it. */
static void on_recorded(void *ctx) {
    struct runner *r = ctx;
    if (!r->batch.busy) {
        written(r);
    }
}

static void after_held_up(struct runner *r, hardy_status status) {
    if (status != HARDY_OK) {
        if (r->command) {
            command_leave(r->command);
            r->command = NULL;
        }
        end(r, status);
    }
}

/* It may take long until the step can start: what is known is written by itself. */
static void on_held_up(void *ctx) {
    struct runner *r = ctx;
    if (is_pending(r) && !r->batch.busy) {
        submit(r, pending_ops(r, false, r->run.fence), after_held_up);
        r->pending.run = false; /* it is on its way, before whatever comes later */
        r->ops[0] = run_op(r, false, r->run.fence);
        r->spec.with_start_count = 1;
    }
}

static void go_on(struct runner *r, hardy_status written_status) {
    const struct record *mine = &r->run.steps[r->index].record;
    if (written_status != HARDY_OK) {
        end(r, written_status);
    } else if (r->step_status == HARDY_OK) {
        drive_on(r);
    } else if (mine->state == RECORD_IN_DOUBT) {
        finish(r, RUN_IN_DOUBT);
    } else if (mine->state == RECORD_FAILED) {
        finish(r, RUN_FAILED);
    } else { /* refused before it ran, or the state failed: the run stays as it is */
        end(r, r->step_status);
    }
}

static void after_flush(struct runner *r, hardy_status status) {
    if (status == HARDY_OK && r->step_status != HARDY_OK) {
        r->error.status = r->step_status;
    }
    go_on(r, status);
}

static hardy_status take_record(struct runner *r, const struct command_result *result) {
    struct record *mine = &r->run.steps[r->index].record;
    record_free(mine);
    if (result->record) {
        *mine = *result->record;
        record_init(result->record);
        return HARDY_OK;
    }
    hardy_status status = record_load(r->options.store, "step", r->key, mine, &r->error);
    return status == HARDY_E_NOT_FOUND ? HARDY_OK : status;
}

static void on_step_ended(void *ctx, const struct command_result *result) {
    struct runner *r = ctx;
    r->command = NULL;
    r->step_status = result->status;
    r->events->step_ended(r->ctx, &r->run, r->index, result);
    bool old = is_pending(r); /* it has not been started, so nothing was written with it */
    struct command_unwritten unwritten = command_take(result);
    if (unwritten.base) {
        r->pending.steps[r->pending.count++] = unwritten;
    }
    hardy_status status = take_record(r, result);
    if (status != HARDY_OK) {
        end(r, status);
        return;
    }
    if (result->status != HARDY_OK) {
        r->error = *result->error;
        r->error.status = result->status;
    }
    forget_step(r);
    if (r->batch.busy) { /* on its way since it was held up */
        r->then = after_flush;
    } else if (old) {
        submit(r, pending_ops(r, false, r->run.fence), after_flush);
    } else {
        go_on(r, HARDY_OK);
    }
}

static hardy_status start_step(struct runner *r, size_t index) {
    static const struct command_events events = {on_event, on_step_ended, on_recorded, on_held_up};
    const struct runner_options *o = &r->options;
    const struct step_settings *s =
        &((const struct step_settings *)o->workflow->steps.items)[index];
    hardy_status status = HARDY_OK;
    r->index = index;
    r->guard = (struct runner_guard){0};
    if (s->guard) {
        status = o->guard(o->guard_ctx, s->guard, &r->guard, &r->error);
    }
    if (status == HARDY_OK) {
        status = step_expand(o->workflow, index, &r->run, o->env, &r->step, &r->error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    r->key = run_step_key(r->run.id, index, s->name);
    r->params = step_params(s);
    if (!r->key || !r->params) {
        return fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for step %s", s->name);
    }
    r->spec = (struct command_spec){.row_kind = "step",
                                    .key = r->key,
                                    .name = s->name,
                                    .scope = r->run.id,
                                    .params = r->params,
                                    .argv = (const char *const *)r->step.argv,
                                    .env = (const char *const *)r->step.env,
                                    .cwd = o->workflow->folder,
                                    .guard = r->guard.guard,
                                    .passing = r->guard.passing,
                                    .passing_ctx = r->guard.ctx,
                                    .timeout = s->timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = HARDY_NEVER,
                                    .max_output = COMMAND_KEPT,
                                    .in_doubt = (enum in_doubt_policy)s->in_doubt,
                                    .probe = (const char *const *)r->step.probe,
                                    .attach = true,
                                    .with_start = r->ops,
                                    .with_start_count = pending_ops(r, false, r->run.fence),
                                    .hold_success = true};
    if (r->row.failed) {
        return fail(&r->error, HARDY_E_TOO_LARGE, NULL, "the run does not fit a record of 16 MiB");
    }
    return command_start(o->loop, o->store, o->state, &r->spec, &events, r, &r->command, &r->error);
}

static void after_failed_start(struct runner *r, hardy_status status) {
    end(r, status == HARDY_OK ? r->step_status : status);
}

static void drive_on(struct runner *r) {
    struct run_next next = run_next(&r->run);
    if (next.kind == RUN_NEXT_FINISH) {
        if (next.state == r->run.state) {
            end(r, HARDY_OK);
            return;
        }
        if (next.state == RUN_FAILED) { /* settled so by a person, or found so */
            const struct record *record = &r->run.steps[next.step].record;
            r->index = next.step;
            r->step_status = fail(&r->error, HARDY_E_FAILED, NULL, "%s",
                                  record->detail ? record->detail : "failed");
        }
        finish(r, next.state);
        return;
    }
    hardy_status status = start_step(r, next.step);
    if (status == HARDY_OK) {
        return;
    }
    /* A run that has not begun to do anything is not made for this. */
    r->step_status = status;
    if (r->pending.count > 0) {
        submit(r, pending_ops(r, false, r->run.fence), after_failed_start);
    } else {
        end(r, status);
    }
}

/* --- finding or making the run ---------------------------------------------------------------- */

struct search {
    struct runner *r;
    char input_hash[65];
    char ids[400];
    size_t found;
    char *id;
    int64_t latest; /* when the last finished one was made */
    hardy_status status;
};

static void set_text(char **to, const char *text) {
    free(*to);
    *to = str_dup(text);
}

static void consider(struct search *s, const struct run *run) {
    if (run->state == RUN_RUNNING || run->state == RUN_IN_DOUBT) {
        size_t len = strlen(s->ids);
        snprintf(s->ids + len, sizeof s->ids - len, "%s%s", s->found ? ", " : "", run->id);
        s->found++;
        set_text(&s->id, run->id);
    } else if (run->created >= s->latest) {
        s->latest = run->created;
        set_text(&s->r->failed, run->state == RUN_FAILED ? run->id : NULL);
    }
}

static bool match(void *ctx, const struct store_row *row) {
    struct search *s = ctx;
    struct run run;
    s->status = run_decode(row, &run, &s->r->error);
    if (s->status != HARDY_OK) {
        return false;
    }
    if (str_eq(run.file, s->r->options.workflow->path) && str_eq(run.input_hash, s->input_hash)) {
        consider(s, &run);
    }
    run_free(&run);
    return true;
}

static hardy_status hash_input(struct runner *r, char out[65]) {
    struct buf canonical;
    const char *input = r->options.input;
    buf_init(&canonical, MAX_VALUE);
    hardy_status status = json_canonical(input, strlen(input), &canonical, &r->error);
    if (status == HARDY_OK) {
        sha256_hex(canonical.data, canonical.len, out);
    } else {
        error_prefix(&r->error, "the input");
    }
    buf_free(&canonical);
    return status;
}

/* The steps as the file says them now, into `run`. */
static hardy_status define(struct runner *r, struct run *run) {
    const struct workflow *w = r->options.workflow;
    const struct step_settings *steps = w->steps.items;
    run->steps = calloc(w->steps.count, sizeof *run->steps);
    run->file = str_dup(w->path);
    run->name = str_dup(w->name);
    if (!run->steps || !run->file || !run->name) {
        return fail(&r->error, HARDY_E_NOMEM, w->path, "no memory for a run");
    }
    memcpy(run->definition, w->definition, sizeof run->definition);
    for (size_t i = 0; i < w->steps.count; i++) {
        run->count = i + 1;
        run->steps[i].name = str_dup(steps[i].name);
        memcpy(run->steps[i].definition, w->step_definitions[i], 65);
        if (!run->steps[i].name) {
            return fail(&r->error, HARDY_E_NOMEM, w->path, "no memory for a run");
        }
    }
    return HARDY_OK;
}

static char *new_id(struct runner *r) {
    char wall[40];
    clock_format_wall(loop_wall(r->options.loop), wall);
    return str_format("%s-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", r->options.workflow->name, wall,
                      wall + 5, wall + 8, wall + 11, wall + 14, wall + 17,
                      (unsigned)(loop_random(r->options.loop) & 0xffff));
}

/* It is written with the start of its first step. */
static hardy_status make_run(struct runner *r, const char *id, const char *input_hash) {
    struct run run = {.state = RUN_RUNNING, .fence = 1, .created = loop_wall(r->options.loop)};
    hardy_status status = define(r, &run);
    run.id = id ? str_dup(id) : new_id(r);
    run.input = str_dup(r->options.input);
    str_copy(run.input_hash, sizeof run.input_hash, input_hash);
    if (status == HARDY_OK && (!run.id || !run.input)) {
        status = fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for a run");
    }
    if (status != HARDY_OK) {
        run_free(&run);
        return status;
    }
    r->run = run;
    r->pending.run = true;
    return HARDY_OK;
}

static hardy_status check_same(struct runner *r, const char *input_hash) {
    if (!str_eq(r->run.name, r->options.workflow->name)) {
        return fail(&r->error, HARDY_E_MISMATCH, NULL,
                    "run %s is of the workflow `%s` (%s), this file is `%s`", r->run.id,
                    r->run.name, r->run.file, r->options.workflow->name);
    }
    return str_eq(r->run.input_hash, input_hash)
               ? HARDY_OK
               : fail(&r->error, HARDY_E_MISMATCH, NULL,
                      "run %s has other input: %.120s; now: %.120s", r->run.id, r->run.input,
                      r->options.input);
}

static hardy_status find_or_make(struct runner *r) {
    struct search s = {.r = r};
    const char *id = r->options.id;
    hardy_status status = hash_input(r, s.input_hash);
    if (status == HARDY_OK && !id && !r->options.fresh) {
        status = store_scan(r->options.store, "run", "", NULL, SIZE_MAX, match, &s, &r->error);
        status = status == HARDY_OK ? s.status : status;
        if (status == HARDY_OK && s.found > 1) {
            status =
                fail(&r->error, HARDY_E_INVALID, r->options.workflow->path,
                     "%zu runs with this input are unfinished: %s; say which with --id, or --new",
                     s.found, s.ids);
        }
    }
    if (status == HARDY_OK) {
        const char *existing = id ? id : s.id;
        status =
            existing ? run_load(r->options.store, existing, &r->run, &r->error) : HARDY_E_NOT_FOUND;
        if (status == HARDY_E_NOT_FOUND) {
            hardy_error_init(&r->error, sizeof r->error);
            status = workflow_check_input(r->options.workflow, r->options.input, r->options.env,
                                          &r->error);
            status = status == HARDY_OK ? make_run(r, id, s.input_hash) : status;
        } else if (status == HARDY_OK) {
            status = check_same(r, s.input_hash);
        }
    }
    free(s.id);
    r->has_run = status == HARDY_OK;
    return status;
}

/* Takes the recorded steps over into the definition as it is now. */
static hardy_status adopt_definition(struct runner *r) {
    struct run now = {0};
    hardy_status status = define(r, &now);
    if (status == HARDY_OK) {
        status = run_check_definition(&r->run, &now, &r->error);
    }
    if (status == HARDY_OK) {
        for (size_t i = 0; i < now.count && i < r->run.count; i++) {
            if (r->run.steps[i].record.state != RECORD_PENDING) {
                now.steps[i].record = r->run.steps[i].record;
                record_init(&r->run.steps[i].record);
            }
        }
        struct run_step *steps = r->run.steps;
        size_t count = r->run.count;
        r->run.steps = now.steps;
        r->run.count = now.count;
        memcpy(r->run.definition, now.definition, sizeof now.definition);
        now.steps = steps;
        now.count = count;
    }
    run_free(&now);
    return status;
}

/* --- taking it over --------------------------------------------------------------------------- */

/* The step that failed is to run again: its record, taken. False: there is none. */
static bool reopen(struct runner *r, struct record *out) {
    for (size_t i = 0; i < r->run.count; i++) {
        struct record *record = &r->run.steps[i].record;
        if (record->state == RECORD_FAILED) {
            *out = *record;
            record_init(record);
            out->state = RECORD_PENDING;
            return true;
        }
    }
    return false;
}

/* Whoever drove it before may have been killed right after it recorded a step's success. */
static void tidy(struct runner *r) {
    for (size_t i = r->run.count; i-- > 0;) {
        const struct record *record = &r->run.steps[i].record;
        if (record->state == RECORD_DONE) {
            command_forget(r->options.loop, r->options.state, record);
            return;
        }
    }
}

static void begun(struct runner *r, bool resumed) {
    if (resumed) {
        tidy(r);
    }
    if (r->events->begun) {
        r->events->begun(r->ctx, &r->run, resumed, r->failed);
    }
    drive_on(r);
}

static void after_taken(struct runner *r, hardy_status status) {
    if (status == HARDY_OK) {
        begun(r, true);
    } else {
        end(r, status);
    }
}

/* This process drives it from now on: a new fence, so that whoever drove it before cannot write. */
static void take_over(struct runner *r) {
    struct record step;
    struct buf value;
    bool again = r->run.state == RUN_FAILED && r->options.retry_failed;
    if (r->pending.run) {
        begun(r, false);
        return;
    }
    if (r->run.state != RUN_RUNNING && r->run.state != RUN_IN_DOUBT && !again) {
        begun(r, true);
        return;
    }
    record_init(&step);
    buf_init(&value, MAX_VALUE);
    again = again && reopen(r, &step);
    hardy_status status = adopt_definition(r);
    if (status == HARDY_OK) {
        int64_t before = r->run.fence++;
        r->run.state = RUN_RUNNING;
        r->run.verdict = HARDY_OK;
        r->run.ended = 0;
        set_text(&r->run.detail, NULL);
        size_t count = pending_ops(r, true, before);
        if (again) {
            int64_t was = step.fence++;
            record_op(&step, was, &value, &r->ops[count++]);
            r->row.failed |= value.failed;
        }
        submit(r, count, after_taken);
    }
    buf_free(&value);
    record_free(&step);
    if (status != HARDY_OK) {
        end(r, status);
    }
}

static void begin(struct runner *r) {
    hardy_status status = HARDY_OK;
    if (!r->place.stem) {
        status = step_place_find(r->options.state, "run", r->run.id, &r->place, &r->error);
    }
    if (status == HARDY_OK) {
        status = step_place_lock(&r->place, &r->lock_fd, &r->error);
    }
    if (status == HARDY_E_RUNNING) {
        if (r->poll == 0 && r->events->waiting) {
            r->events->waiting(r->ctx, &r->run);
        }
        r->poll = r->poll == 0 ? poll_min : 2 * r->poll > poll_max ? poll_max : 2 * r->poll;
        loop_timer_start(r->options.loop, &r->timer, time_add(loop_now(r->options.loop), r->poll));
        return;
    }
    if (status == HARDY_OK && !r->pending.run) { /* it may have moved on until the lock was ours */
        char *id = str_dup(r->run.id);
        run_free(&r->run);
        r->has_run = false;
        status = id ? run_load(r->options.store, id, &r->run, &r->error) : HARDY_E_NOMEM;
        r->has_run = status == HARDY_OK;
        free(id);
    }
    if (status != HARDY_OK) {
        end(r, status);
        return;
    }
    hardy_error_init(&r->error, sizeof r->error);
    take_over(r);
}

static void on_poll(struct loop_timer *timer) {
    begin(timer->ctx);
}

/* Under a lock of the file's own, so that two at the same moment make one run. */
static void on_begin(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    struct step_place place;
    int fd = -1;
    hardy_status status =
        step_place_find(r->options.state, "workflow", r->options.workflow->path, &place, &r->error);
    if (status == HARDY_OK) {
        status = step_place_lock(&place, &fd, &r->error);
        step_place_free(&place);
    }
    if (status == HARDY_E_RUNNING) { /* until another one's run can be found */
        r->poll = r->poll == 0 ? poll_min : 2 * r->poll > poll_max ? poll_max : 2 * r->poll;
        loop_timer_start(r->options.loop, &r->timer, time_add(loop_now(r->options.loop), r->poll));
        return;
    }
    if (status == HARDY_OK) {
        status = find_or_make(r);
    }
    if (r->pending.run) {
        r->pending.file_fd = fd;
    } else if (fd >= 0) {
        close(fd);
    }
    if (status != HARDY_OK) {
        end(r, status);
        return;
    }
    r->poll = 0;
    loop_timer_init(&r->timer, on_poll, r);
    begin(r);
}

hardy_status runner_start(const struct runner_options *options, const struct runner_events *events,
                          void *ctx, struct runner **out, hardy_error *error) {
    struct runner *r = calloc(1, sizeof *r);
    if (!r) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a run");
    }
    r->options = *options;
    r->events = events;
    r->ctx = ctx;
    r->lock_fd = r->pending.file_fd = -1;
    buf_init(&r->row, MAX_VALUE);
    hardy_error_init(&r->error, sizeof r->error);
    loop_timer_init(&r->timer, on_begin, r);
    loop_timer_start(options->loop, &r->timer, loop_now(options->loop));
    *out = r;
    return HARDY_OK;
}

static void on_leave(struct loop_timer *timer) {
    end(timer->ctx, HARDY_E_CANCELLED);
}

void runner_leave(struct runner *r) {
    if (r->left) {
        return;
    }
    r->left = true;
    fail(&r->error, HARDY_E_CANCELLED, NULL, "interrupted");
    if (r->command) {
        command_leave(r->command);
        r->command = NULL;
    }
    if (r->batch.busy) {
        return;
    }
    /* What is known may be on its way with the start of a step: written twice it is the same. */
    if (is_pending(r)) {
        submit(r, pending_ops(r, false, r->run.fence), NULL);
    } else {
        loop_timer_init(&r->timer, on_leave, r);
        loop_timer_start(r->options.loop, &r->timer, loop_now(r->options.loop));
    }
}
