/* SPDX-License-Identifier: Apache-2.0 */
#include "work/runner.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "work/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VALUE = 16 << 20, MAX_OUTPUT = 4 << 20 };
static const int64_t store_wait = 30 * HARDY_SECOND;
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 200 * HARDY_MILLISECOND;

struct runner {
    struct runner_options options;
    const struct runner_events *events;
    void *ctx;
    struct run run;
    bool has_run, left;
    struct step_place place;
    int lock_fd; /* this process drives the run; -1 = not */
    int64_t poll;
    struct loop_timer timer;

    struct command *command;
    struct command_spec spec;
    struct step_command step;
    char *key;
    struct store_op require;

    struct loop_post written;
    bool writing;
    hardy_status write_status;
    hardy_status final;
    hardy_error error;
};

static void drive_on(struct runner *r);

static void free_runner(struct runner *r) {
    loop_timer_stop(r->options.loop, &r->timer);
    if (r->lock_fd >= 0) {
        close(r->lock_fd);
    }
    step_command_free(&r->step);
    free(r->key);
    step_place_free(&r->place);
    run_free(&r->run);
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

/* --- the run's row -------------------------------------------------------------------------------
 */

static void on_written(struct loop_post *post) {
    struct runner *r = post->ctx;
    loop_release(r->options.loop);
    r->writing = false;
    end(r, r->write_status == HARDY_OK ? r->final : r->write_status);
}

static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct runner *r = ctx;
    (void)failed;
    r->write_status = status;
    if (status != HARDY_OK && error) {
        r->error = *error;
    }
    loop_post(r->options.loop, &r->written);
}

/* Records what the run has become, then ends. */
static void finish(struct runner *r, enum run_state state, hardy_status status) {
    struct buf value;
    struct store_op op = {.kind = STORE_UPDATE,
                          .row_kind = "run",
                          .key = r->run.id,
                          .if_fence = r->run.fence,
                          .fence = r->run.fence};
    r->run.state = state;
    r->run.ended = state == RUN_IN_DOUBT ? 0 : loop_wall(r->options.loop);
    free(r->run.detail);
    r->run.detail = r->error.status != HARDY_OK ? str_dup(r->error.message) : NULL;
    buf_init(&value, MAX_VALUE);
    run_encode(&r->run, &value);
    op.value = value.data;
    op.len = value.len;
    r->final = status;
    r->writing = true;
    r->written = (struct loop_post){.fn = on_written, .ctx = r};
    loop_hold(r->options.loop);
    store_submit(r->options.store, &op, 1, on_stored, r);
    buf_free(&value);
}

/* --- one step after another
 * ------------------------------------------------------------------------- */

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    struct runner *r = ctx;
    size_t step = run_next(&r->run).step;
    (void)record;
    if (r->events->step) {
        r->events->step(r->ctx, &r->run, step, what, detail);
    }
}

static void on_step_ended(void *ctx, const struct command_result *result) {
    struct runner *r = ctx;
    size_t index = run_next(&r->run).step;
    struct record *mine = &r->run.steps[index].record;
    r->command = NULL;
    if (r->left) {
        end(r, HARDY_E_CANCELLED);
        return;
    }
    if (r->events->step_ended) {
        r->events->step_ended(r->ctx, &r->run, index, result);
    }
    record_free(mine);
    hardy_status status = record_load(r->options.store, "step", r->key, mine, &r->error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        end(r, status);
        return;
    }
    step_command_free(&r->step);
    if (result->status == HARDY_OK) {
        drive_on(r);
        return;
    }
    r->error = *result->error;
    r->error.status = result->status;
    if (mine->state == RECORD_IN_DOUBT) {
        finish(r, RUN_IN_DOUBT, HARDY_E_IN_DOUBT);
    } else if (mine->state == RECORD_FAILED) {
        finish(r, RUN_FAILED, result->status);
    } else { /* refused before it ran, or the state failed: the run stays as it is */
        end(r, result->status);
    }
}

static hardy_status start_step(struct runner *r, size_t index) {
    static const struct command_events events = {on_event, on_step_ended};
    const struct runner_options *o = &r->options;
    const struct step_settings *s =
        &((const struct step_settings *)o->workflow->steps.items)[index];
    hardy_guard *guard = NULL;
    if (s->guard) {
        guard = o->guard(o->guard_ctx, s->guard, &r->error);
        if (!guard) {
            return r->error.status;
        }
    }
    hardy_status status = step_expand(o->workflow, index, &r->run, o->env, &r->step, &r->error);
    if (status != HARDY_OK) {
        return status;
    }
    free(r->key);
    r->key = run_step_key(r->run.id, index, s->name);
    if (!r->key) {
        return fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for step %s", s->name);
    }
    /* Whoever has taken the run over has another fence: this process starts nothing any more. */
    r->require = (struct store_op){
        .kind = STORE_REQUIRE, .row_kind = "run", .key = r->run.id, .if_fence = r->run.fence};
    r->spec = (struct command_spec){.row_kind = "step",
                                    .key = r->key,
                                    .name = s->name,
                                    .scope = r->run.id,
                                    .argv = (const char *const *)r->step.argv,
                                    .env = (const char *const *)r->step.env,
                                    .cwd = o->workflow->folder,
                                    .guard = guard,
                                    .timeout = s->timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = HARDY_NEVER,
                                    .max_output = MAX_OUTPUT,
                                    .in_doubt = (enum in_doubt_policy)s->in_doubt,
                                    .probe = (const char *const *)r->step.probe,
                                    .attach = true,
                                    .with_start = &r->require,
                                    .with_start_count = 1};
    return command_start(o->loop, o->store, o->state, &r->spec, &events, r, &r->command, &r->error);
}

static void drive_on(struct runner *r) {
    struct run_next next = run_next(&r->run);
    if (next.kind == RUN_NEXT_FINISH) {
        if (next.state == r->run.state) {
            end(r, HARDY_OK);
        } else {
            finish(r, next.state, HARDY_OK);
        }
        return;
    }
    hardy_status status = start_step(r, next.step);
    if (status != HARDY_OK) {
        end(r, status);
    }
}

/* --- finding or making the run
 * -------------------------------------------------------------------------- */

struct search {
    struct runner *r;
    char input_hash[65];
    char ids[400];
    size_t found;
    char *id;
    hardy_status status;
};

static bool match(void *ctx, const struct store_row *row) {
    struct search *s = ctx;
    struct run run;
    s->status = run_decode(row, &run, &s->r->error);
    if (s->status != HARDY_OK) {
        return false;
    }
    bool unfinished = run.state == RUN_RUNNING || run.state == RUN_IN_DOUBT;
    if (unfinished && str_eq(run.file, s->r->options.workflow->path) &&
        str_eq(run.input_hash, s->input_hash)) {
        size_t len = strlen(s->ids);
        snprintf(s->ids + len, sizeof s->ids - len, "%s%s", s->found ? ", " : "", run.id);
        s->found++;
        free(s->id);
        s->id = str_dup(run.id);
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
        error_prefix(&r->error, "the input: ");
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

static hardy_status write_run(struct runner *r, const struct run *run, int64_t before) {
    struct buf value;
    struct store_op op = {.kind = before < 0 ? STORE_INSERT : STORE_UPDATE,
                          .row_kind = "run",
                          .key = run->id,
                          .if_fence = before,
                          .fence = run->fence};
    buf_init(&value, MAX_VALUE);
    run_encode(run, &value);
    op.value = value.data;
    op.len = value.len;
    hardy_status status =
        value.failed
            ? fail(&r->error, HARDY_E_TOO_LARGE, NULL, "run %s is larger than 16 MiB", run->id)
            : store_apply(r->options.store, &op, 1, time_add(loop_now(r->options.loop), store_wait),
                          NULL, &r->error);
    buf_free(&value);
    return status;
}

static char *new_id(struct runner *r) {
    char wall[40];
    clock_format_wall(loop_wall(r->options.loop), wall);
    return str_format("%s-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", r->options.workflow->name, wall,
                      wall + 5, wall + 8, wall + 11, wall + 14, wall + 17,
                      (unsigned)(loop_random(r->options.loop) & 0xffff));
}

static hardy_status make_run(struct runner *r, const char *id, const char *input_hash) {
    struct run run = {.state = RUN_RUNNING, .fence = 1, .created = loop_wall(r->options.loop)};
    hardy_status status = define(r, &run);
    run.id = id ? str_dup(id) : new_id(r);
    run.input = str_dup(r->options.input);
    str_copy(run.input_hash, sizeof run.input_hash, input_hash);
    if (status == HARDY_OK && (!run.id || !run.input)) {
        status = fail(&r->error, HARDY_E_NOMEM, NULL, "no memory for a run");
    }
    if (status == HARDY_OK) {
        status = write_run(r, &run, -1);
    }
    if (status != HARDY_OK) {
        run_free(&run);
        return status;
    }
    r->run = run;
    return HARDY_OK;
}

/* Finds the run or makes it, under a lock of its own: two at the same moment make one. */
static hardy_status find_or_make(struct runner *r, bool *made) {
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
        *made = status == HARDY_E_NOT_FOUND;
        if (*made) {
            r->error.status = HARDY_OK;
            status = make_run(r, id, s.input_hash);
        } else if (status == HARDY_OK && !str_eq(r->run.input_hash, s.input_hash)) {
            status = fail(&r->error, HARDY_E_MISMATCH, NULL, "run %s has other input: %.200s",
                          r->run.id, r->run.input);
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
            now.steps[i].record = r->run.steps[i].record;
            record_init(&r->run.steps[i].record);
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

/* The failed step is to run again. */
static hardy_status reopen(struct runner *r) {
    for (size_t i = 0; i < r->run.count; i++) {
        struct record *record = &r->run.steps[i].record;
        if (record->state != RECORD_FAILED) {
            continue;
        }
        struct buf value;
        struct store_op op;
        int64_t before = record->fence++;
        record->state = RECORD_PENDING;
        buf_init(&value, MAX_VALUE);
        record_op(record, before, &value, &op);
        hardy_status status =
            store_apply(r->options.store, &op, 1, time_add(loop_now(r->options.loop), store_wait),
                        NULL, &r->error);
        buf_free(&value);
        if (status != HARDY_OK) {
            return status;
        }
    }
    r->run.state = RUN_RUNNING;
    r->run.ended = 0;
    return HARDY_OK;
}

/* This process drives it from now on: a new fence, so that whoever drove it before cannot write. */
static void take_over(struct runner *r, bool made) {
    hardy_status status = HARDY_OK;
    if (r->run.state == RUN_FAILED && r->options.retry_failed) {
        status = reopen(r);
    }
    bool finished = r->run.state != RUN_RUNNING && r->run.state != RUN_IN_DOUBT;
    if (status == HARDY_OK && !made && !finished) {
        status = adopt_definition(r);
        if (status == HARDY_OK) {
            int64_t before = r->run.fence++;
            r->run.state = RUN_RUNNING;
            status = write_run(r, &r->run, before);
        }
    }
    if (status != HARDY_OK) {
        end(r, status);
        return;
    }
    if (r->events->begun) {
        r->events->begun(r->ctx, &r->run, !made);
    }
    drive_on(r);
}

static void begin(struct runner *r, bool made) {
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
    if (status == HARDY_OK && !made) { /* it may have moved on until the lock was ours */
        char *id = str_dup(r->run.id);
        run_free(&r->run);
        r->has_run = false;
        status = id ? run_load(r->options.store, id, &r->run, &r->error) : HARDY_E_NOMEM;
        r->has_run = status == HARDY_OK;
        free(id);
    }
    r->error.status = HARDY_OK;
    if (status != HARDY_OK) {
        end(r, status);
        return;
    }
    take_over(r, made);
}

static void on_poll(struct loop_timer *timer) {
    begin(timer->ctx, false);
}

static void on_begin(struct loop_timer *timer) {
    struct runner *r = timer->ctx;
    struct step_place place;
    bool made = false;
    int fd = -1;
    hardy_status status =
        step_place_find(r->options.state, "workflow", r->options.workflow->path, &place, &r->error);
    if (status == HARDY_OK) {
        status = step_place_lock(&place, &fd, &r->error);
        step_place_free(&place);
    }
    if (status == HARDY_E_RUNNING) { /* held for one write: comes back at once */
        loop_timer_start(r->options.loop, &r->timer, time_add(loop_now(r->options.loop), poll_min));
        return;
    }
    if (status == HARDY_OK) {
        status = find_or_make(r, &made);
    }
    if (status != HARDY_OK) {
        if (fd >= 0) {
            close(fd);
        }
        end(r, status);
        return;
    }
    loop_timer_init(&r->timer, on_poll, r);
    begin(r, made);
    close(fd);
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
    r->lock_fd = -1;
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
    if (!r->writing) {
        loop_timer_init(&r->timer, on_leave, r);
        loop_timer_start(r->options.loop, &r->timer, loop_now(r->options.loop));
    }
}
