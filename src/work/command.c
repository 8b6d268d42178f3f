/* SPDX-License-Identifier: Apache-2.0 */
#include "work/command.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "drive/drive.h"
#include "io/file.h"
#include "io/shim.h"
#include "work/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_ENCODED = 16 << 20,
    MAX_PROBE_OUTPUT = 1 << 20,
    MAX_DETAIL = 480,
};
static const int64_t probe_timeout = 30 * HARDY_SECOND;
static const int64_t kill_after = 5 * HARDY_SECOND;
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 100 * HARDY_MILLISECOND;

struct command {
    struct loop *loop;
    struct store *store;
    const struct command_spec *spec;
    const struct command_events *events;
    void *ctx;

    struct step_place place;
    char *params;
    char fingerprint[65];
    int lock_fd;  /* the key's byte held: this process decides about the key; -1 = not */
    int step_fd;  /* the step's own lock, on its way to the shim; -1 = not */
    int64_t poll; /* until the next look at a lock that somebody else holds */
    bool has_row;
    struct record record;

    hardy_guard *guard; /* own one, when the spec gives none */
    struct drive *drive;
    struct shim *shim;     /* started by us */
    struct shim *attached; /* runs elsewhere, waited for */
    uint32_t attempt;      /* of the drive, being run */
    int64_t attempt_deadline;
    bool effect_unknown; /* the last attempt was killed or timed out */
    struct process *probe;
    struct buf probe_output;
    struct loop_timer timer; /* begins, then bounds waiting and the probe */
    bool cancelled, left;

    /* a batch under way */
    struct loop_post written;
    void (*then)(struct command *c, hardy_status status);
    struct buf value;
    hardy_status write_status;
    hardy_error write_error;

    hardy_status verdict; /* of the result being written */
    int64_t retry_after;
    bool writing, driving, replayed;
    hardy_error error;
};

static void begin(struct command *c);
static void run(struct command *c);

static void free_command(struct command *c) {
    loop_timer_stop(c->loop, &c->timer);
    if (c->shim)
        shim_free(c->shim);
    if (c->attached)
        shim_free(c->attached);
    if (c->probe)
        process_free(c->probe);
    if (c->step_fd >= 0)
        shim_unlock(c->loop, c->step_fd);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    record_free(&c->record);
    hardy_guard_free(c->guard);
    buf_free(&c->probe_output);
    buf_free(&c->value);
    step_place_free(&c->place);
    free(c->params);
    free(c);
}

static void tell(struct command *c, enum command_event what, const char *detail) {
    if (c->events->event && !c->left)
        c->events->event(c->ctx, what, &c->record, detail ? detail : "");
}

static void maybe_free(struct command *c) {
    if (c->left && !c->writing && !c->driving)
        free_command(c);
}

/* Ends the command. The lock goes first, so that whoever waits for it finds the record settled. */
static void finish(struct command *c, hardy_status status) {
    if (c->lock_fd >= 0) {
        close(c->lock_fd);
        c->lock_fd = -1;
    }
    if (!c->left) {
        struct command_result result = {.status = status,
                                        .replayed = c->replayed,
                                        .record = c->has_row ? &c->record : NULL,
                                        .retry_after = c->retry_after,
                                        .error = &c->error};
        c->left = true;
        c->events->ended(c->ctx, &result);
    }
    maybe_free(c);
}

/* --- writing the record ---------------------------------------------------------------------- */

static void on_written(struct loop_post *post) {
    struct command *c = post->ctx;
    loop_release(c->loop);
    c->writing = false;
    c->then(c, c->write_status);
}

/* On the store's thread, or inside store_submit(). */
static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct command *c = ctx;
    (void)failed;
    c->write_status = status;
    if (status != HARDY_OK && error)
        c->write_error = *error;
    loop_post(c->loop, &c->written);
}

static void write_record(struct command *c, int64_t before, bool with_start,
                         void (*then)(struct command *, hardy_status)) {
    const struct command_spec *s = c->spec;
    size_t extra = with_start ? s->with_start_count : 0;
    struct store_op *ops = calloc(extra + 1, sizeof *ops);
    buf_reset(&c->value);
    c->then = then;
    c->writing = true;
    c->written = (struct loop_post){.fn = on_written, .ctx = c};
    loop_hold(c->loop);
    hardy_error_init(&c->write_error, sizeof c->write_error);
    if (ops)
        record_op(&c->record, before, &c->value, &ops[extra]);
    if (!ops || c->value.failed) {
        on_stored(
            c, fail(&c->write_error, HARDY_E_NOMEM, NULL, "cannot encode the record of %s", s->key),
            -1, &c->write_error);
    } else {
        for (size_t i = 0; i < extra; i++)
            ops[i] = s->with_start[i];
        store_submit(c->store, ops, extra + 1, on_stored, c);
    }
    free(ops);
}

static void set_detail(struct command *c, const char *detail) {
    free(c->record.detail);
    c->record.detail = str_dup(detail);
}

static void after_settled(struct command *c, hardy_status status) {
    if (status != HARDY_OK) {
        c->error = c->write_error;
        finish(c, status);
        return;
    }
    char *base = step_place_run(&c->place, c->record.fence);
    if (base)
        shim_forget(c->loop, base);
    free(base);
    finish(c, c->verdict);
}

/* Records how it ended, then tells. */
static void settle(struct command *c, enum record_state state, hardy_status verdict) {
    struct record *r = &c->record;
    r->state = state;
    if (state == RECORD_DONE || state == RECORD_FAILED) {
        if (r->ended == 0)
            r->ended = loop_wall(c->loop);
        if (c->spec->ttl != HARDY_NEVER)
            r->expires = time_add(r->ended, c->spec->ttl);
    }
    c->verdict = verdict;
    write_record(c, r->fence, false, after_settled);
}

/* --- what came of an attempt ---------------------------------------------------------------------
 */

static bool take_result(struct command *c, struct shim_result *result) {
    struct record *r = &c->record;
    r->code = result->code;
    r->signal = result->signal;
    r->timed_out = result->timed_out;
    r->truncated = result->truncated;
    r->started = result->started;
    r->ended = result->ended;
    free(r->output);
    r->output_len = result->output.len;
    r->output = buf_take(&result->output);
    return result->signal == 0 && !result->timed_out && !result->cancelled && result->code == 0;
}

static bool was_killed(const struct shim_result *result) {
    return result->signal != 0 || result->timed_out || result->cancelled;
}

static void describe_end(struct command *c, const struct shim_result *result) {
    char text[MAX_DETAIL];
    if (result->timed_out)
        snprintf(text, sizeof text, "ended at its deadline");
    else if (result->cancelled)
        snprintf(text, sizeof text, "cancelled while it ran");
    else if (result->signal)
        snprintf(text, sizeof text, "killed by signal %d", result->signal);
    else if (result->not_started)
        snprintf(text, sizeof text, "%s: %s", c->spec->argv[0], strerror(result->not_started));
    else if (result->code)
        snprintf(text, sizeof text, "exit code %d", result->code);
    else
        text[0] = '\0';
    set_detail(c, text[0] ? text : NULL);
}

/* A killed run: the policy decides, as after a crash. */
static void settle_unknown(struct command *c) {
    const struct record *r = &c->record;
    switch (c->spec->in_doubt) {
    case IN_DOUBT_FAIL:
        fail(&c->error, HARDY_E_FAILED, NULL, "%s: %s", r->name, r->detail ? r->detail : "killed");
        settle(c, RECORD_FAILED, HARDY_E_FAILED);
        return;
    case IN_DOUBT_RERUN:
        fail(&c->error, HARDY_E_EXHAUSTED, NULL, "%s: %s", r->name,
             r->detail ? r->detail : "killed");
        settle(c, RECORD_FAILED, HARDY_E_EXHAUSTED);
        return;
    case IN_DOUBT_ASK:
    case IN_DOUBT_PROBE:
        break;
    }
    c->record.ended = 0;
    fail(&c->error, HARDY_E_IN_DOUBT, NULL, "%s started at attempt %u and was stopped: %s", r->name,
         r->attempt, r->detail ? r->detail : "nobody knows how it ended");
    settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
}

static void ask(struct command *c) {
    fail(&c->error, HARDY_E_IN_DOUBT, NULL,
         "%s was started (attempt %u) and nobody knows how it ended", c->record.name,
         c->record.attempt);
    if (c->record.state == RECORD_IN_DOUBT) {
        finish(c, HARDY_E_IN_DOUBT);
        return;
    }
    set_detail(c, "its process was lost before it left a result");
    settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
}

/* --- the probe
 * --------------------------------------------------------------------------------------- */

static void on_probe_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    struct command *c = ctx;
    (void)p;
    if (fd == 1)
        buf_append(&c->probe_output, data, len);
}

static void after_probe(struct command *c, enum probe_answer answer, const char *detail) {
    tell(c, COMMAND_PROBED, detail);
    switch (record_after_probe(answer)) {
    case NEXT_COLLECT:
        free(c->record.output);
        c->record.output_len = c->probe_output.len;
        c->record.output = buf_take(&c->probe_output);
        c->record.code = c->record.signal = 0;
        c->record.timed_out = false;
        set_detail(c, "the probe found it done");
        settle(c, RECORD_DONE, HARDY_OK);
        break;
    case NEXT_RUN:
        run(c);
        break;
    default:
        ask(c);
        break;
    }
}

static void on_probe_exited(void *ctx, struct process *p, int code, int signal) {
    struct command *c = ctx;
    loop_timer_stop(c->loop, &c->timer);
    process_free(p);
    c->probe = NULL;
    if (signal != 0)
        after_probe(c, PROBE_UNKNOWN, "the probe was killed: unknown");
    else if (code == 0)
        after_probe(c, PROBE_DONE, "the probe says: done");
    else if (code == 1)
        after_probe(c, PROBE_NOT_DONE, "the probe says: not done");
    else
        after_probe(c, PROBE_UNKNOWN, "the probe cannot tell");
}

static void on_probe_timeout(struct loop_timer *timer) {
    struct command *c = timer->ctx;
    process_signal(c->probe, 9);
}

static void probe(struct command *c) {
    static const struct process_events events = {on_probe_output, on_probe_exited};
    struct process_options options;
    if (!c->spec->probe) {
        ask(c);
        return;
    }
    process_options_init(&options);
    options.argv = c->spec->probe;
    options.env = c->spec->env;
    options.cwd = c->spec->cwd;
    options.capture_stdout = true;
    buf_reset(&c->probe_output);
    if (process_start(c->loop, &options, &events, c, &c->probe, &c->error) != HARDY_OK) {
        char detail[MAX_DETAIL];
        snprintf(detail, sizeof detail, "the probe cannot run: %s", c->error.message);
        after_probe(c, PROBE_UNKNOWN, detail);
        return;
    }
    loop_timer_init(&c->timer, on_probe_timeout, c);
    loop_timer_start(c->loop, &c->timer, time_add(loop_now(c->loop), probe_timeout));
}

/* --- running it under the guard
 * ------------------------------------------------------------------------- */

static hardy_outcome outcome_of(struct command *c, const struct shim_result *result) {
    const struct command_spec *s = c->spec;
    hardy_outcome outcome = {
        .kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE, .code = result->code};
    if (was_killed(result)) {
        outcome.effect = HARDY_EFFECT_UNKNOWN;
        outcome.code = result->signal ? 128 + result->signal : 124;
    } else if (result->not_started) {
        outcome.kind = HARDY_IGNORED; /* says nothing about the far side */
        outcome.permanent = true;
    } else if (result->code == 0) {
        outcome.kind = HARDY_SUCCESS;
        outcome.effect = HARDY_EFFECT_DONE;
    } else {
        outcome.permanent = !(s->retryable && s->retryable(s->retryable_ctx, result->code));
    }
    return outcome;
}

static void report_refused(struct command *c, hardy_status status, const hardy_error *error) {
    hardy_outcome outcome = {.kind = HARDY_IGNORED, .permanent = true};
    c->error = *error;
    c->error.status = status;
    c->verdict = status;
    drive_report(c->drive, c->attempt, &outcome);
}

static void on_shim_ended(void *ctx, struct shim *shim) {
    struct command *c = ctx;
    struct shim_result result;
    enum shim_state state = SHIM_LOST;
    char *base = step_place_run(&c->place, c->record.fence);
    shim_free(shim);
    c->shim = NULL;
    hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    if (base && shim_look(c->loop, base, c->record.boot, &state, &result, &c->error) == HARDY_OK &&
        state == SHIM_ENDED) {
        outcome = outcome_of(c, &result);
        take_result(c, &result);
        describe_end(c, &result);
        shim_result_free(&result);
    } else {
        set_detail(c, "its process was lost before it left a result");
    }
    free(base);
    c->effect_unknown = outcome.effect == HARDY_EFFECT_UNKNOWN;
    drive_report(c->drive, c->attempt, &outcome);
}

/* The command's environment: the caller's, and what every attempt is told. */
static char **build_env(struct command *c) {
    size_t count = 0;
    while (c->spec->env && c->spec->env[count])
        count++;
    char **env = calloc(count + 5, sizeof *env);
    if (!env)
        return NULL;
    for (size_t i = 0; i < count; i++)
        env[i] = str_dup(c->spec->env[i]);
    env[count++] = str_format("HARDY_IDEMPOTENCY_KEY=%s", c->record.idempotency_key);
    env[count++] = str_format("HARDY_ATTEMPT=%u", c->record.attempt);
    env[count++] = str_format("HARDY_FENCE=%lld", (long long)c->record.fence);
    if (c->attempt_deadline != HARDY_NEVER) {
        char text[40];
        int64_t left = c->attempt_deadline - loop_now(c->loop);
        clock_format_wall(time_add(loop_wall(c->loop), left), text);
        env[count++] = str_format("HARDY_DEADLINE=%s", text);
    }
    return env;
}

static void free_env(char **env) {
    for (size_t i = 0; env && env[i]; i++)
        free(env[i]);
    free(env);
}

static void unlock_step(struct command *c) {
    if (c->step_fd >= 0)
        shim_unlock(c->loop, c->step_fd);
    c->step_fd = -1;
}

/* The start is durable: now the effect. */
static void after_started(struct command *c, hardy_status status) {
    static const struct shim_events events = {on_shim_ended};
    if (status != HARDY_OK) {
        c->has_row = c->record.attempt > 1;
        unlock_step(c);
        report_refused(c, status, &c->write_error);
        return;
    }
    c->has_row = true;
    if (c->left || c->cancelled) { /* recorded and never run: found as such next time */
        unlock_step(c);
        hardy_outcome outcome = {.kind = HARDY_IGNORED, .permanent = true};
        drive_report(c->drive, c->attempt, &outcome);
        return;
    }
    char **env = build_env(c);
    char *base = step_place_run(&c->place, c->record.fence);
    struct shim_options options = {.base = base,
                                   .argv = c->spec->argv,
                                   .env = (const char *const *)env,
                                   .cwd = c->spec->cwd,
                                   .deadline = c->attempt_deadline,
                                   .kill_after = kill_after,
                                   .max_output = c->spec->max_output,
                                   .lock_fd = c->step_fd,
                                   .inherit_stdin = c->spec->inherit_stdin,
                                   .pass_output = c->spec->pass_output};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status started = env && base ? shim_start(c->loop, &options, &events, c, &c->shim, &error)
                                       : fail(&error, HARDY_E_NOMEM, NULL, "no memory");
    unlock_step(c); /* the shim has its own copy */
    free_env(env);
    free(base);
    if (started != HARDY_OK)
        report_refused(c, started, &error);
    else
        tell(c, COMMAND_STARTED, NULL);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    struct command *c = ctx;
    struct record *r = &c->record;
    c->drive = d;
    c->attempt = attempt;
    int64_t own = c->spec->timeout == HARDY_NEVER ? HARDY_NEVER
                                                  : time_add(loop_now(c->loop), c->spec->timeout);
    c->attempt_deadline = deadline < own ? deadline : own;
    /* The step's lock is taken before the start is recorded: there is no moment in which a step
     * recorded as started looks abandoned. */
    char *base = step_place_run(&c->place, r->fence + 1);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status locked = base ? shim_lock(c->loop, base, &c->step_fd, &error)
                               : fail(&error, HARDY_E_NOMEM, NULL, "no memory");
    free(base);
    if (locked != HARDY_OK) {
        c->step_fd = -1;
        report_refused(c, locked, &error);
        return;
    }
    int64_t before = c->has_row ? r->fence : -1;
    r->state = RECORD_STARTED;
    r->attempt++;
    r->fence++;
    r->started = loop_wall(c->loop);
    if (r->created == 0)
        r->created = r->started;
    r->ended = 0;
    r->code = r->signal = 0;
    r->timed_out = r->truncated = false;
    free(r->output);
    r->output = NULL;
    r->output_len = 0;
    r->expires = 0;
    set_detail(c, NULL);
    file_boot_id(r->boot);
    write_record(c, before, attempt == 1, after_started);
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct command *c = ctx;
    if (!c->shim)
        return;
    if (!c->left) {
        shim_cancel(c->shim);
        return;
    }
    hardy_outcome outcome = {
        .kind = HARDY_IGNORED, .effect = HARDY_EFFECT_UNKNOWN, .permanent = true};
    shim_free(c->shim); /* it goes on without us */
    c->shim = NULL;
    drive_report(d, attempt, &outcome);
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct command *c = ctx;
    (void)d;
    if (step->reason != HARDY_REASON_BACKOFF)
        return;
    char text[MAX_DETAIL];
    char span[48];
    format_duration_short(step->until - loop_now(c->loop), span);
    snprintf(text, sizeof text, "%s; tries again in %s",
             c->record.detail ? c->record.detail : "failed", span);
    tell(c, COMMAND_RETRY, text);
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct command *c = ctx;
    (void)d;
    c->retry_after = step->retry_after;
    if (c->left || c->verdict != HARDY_OK) /* refused before it ran: `error` says why */
        return;
    c->verdict = step->status;
    if (step->status != HARDY_OK)
        fail(&c->error, step->status, NULL, "%s: %s", hardy_status_text(step->status),
             c->record.detail ? c->record.detail : hardy_reason_text(step->reason));
}

static void on_drive_done(void *ctx, struct drive *d) {
    struct command *c = ctx;
    (void)d;
    c->driving = false;
    c->drive = NULL;
    if (c->left) {
        maybe_free(c);
        return;
    }
    if (!c->has_row || c->record.state != RECORD_STARTED || c->record.ended == 0) {
        if (c->has_row && c->effect_unknown)
            settle_unknown(c);
        else
            finish(c, c->verdict == HARDY_OK ? HARDY_E_CANCELLED : c->verdict);
        return;
    }
    if (c->verdict == HARDY_OK)
        settle(c, RECORD_DONE, HARDY_OK);
    else if (c->effect_unknown)
        settle_unknown(c);
    else
        settle(c, RECORD_FAILED, c->verdict);
}

static void run(struct command *c) {
    static const struct drive_events events = {on_call, on_stop, on_waiting, on_result,
                                               on_drive_done};
    const struct command_spec *s = c->spec;
    hardy_guard *guard = s->guard;
    if (!guard && !c->guard) {
        hardy_guard_config config;
        hardy_env env = loop_env(c->loop);
        hardy_guard_config_init(&config, sizeof config);
        config.name = "step";
        if (hardy_guard_new(&config, &env, &c->guard, &c->error) != HARDY_OK) {
            finish(c, c->error.status);
            return;
        }
    }
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.deadline = s->deadline;
    options.repeatable = s->in_doubt == IN_DOUBT_RERUN;
    c->verdict = HARDY_OK;
    c->driving = true;
    hardy_status status =
        drive_start(c->loop, guard ? guard : c->guard, &options, &events, c, &c->drive, &c->error);
    if (status != HARDY_OK) {
        c->driving = false;
        finish(c, status);
    }
}

/* --- beginning: what is known, what is there, what next
 * ------------------------------------------------------- */

static void on_attached_ended(void *ctx, struct shim *shim) {
    struct command *c = ctx;
    shim_free(shim);
    c->attached = NULL;
    loop_timer_stop(c->loop, &c->timer);
    begin(c);
}

static void on_attach_deadline(struct loop_timer *timer) {
    struct command *c = timer->ctx;
    fail(&c->error, HARDY_E_DEADLINE, NULL, "%s still runs", c->spec->name);
    finish(c, HARDY_E_DEADLINE);
}

/* The step goes on though the process that started it is gone: waits for its end, then decides. */
static void attach(struct command *c) {
    static const struct shim_events events = {on_attached_ended};
    char *base = step_place_run(&c->place, c->record.fence);
    hardy_status status = base ? shim_attach(c->loop, base, &events, c, &c->attached, &c->error)
                               : fail(&c->error, HARDY_E_NOMEM, NULL, "no memory");
    free(base);
    if (status != HARDY_OK) {
        finish(c, status);
        return;
    }
    tell(c, COMMAND_ATTACHED, NULL);
    loop_timer_init(&c->timer, on_attach_deadline, c);
    loop_timer_start(c->loop, &c->timer, c->spec->deadline);
}

static void on_poll(struct loop_timer *timer) {
    begin(timer->ctx);
}

/* Another live process decides about the key: looks again now and then, until it is done. */
static void wait_for_other(struct command *c) {
    int64_t now = loop_now(c->loop);
    if (!c->spec->attach) {
        fail(&c->error, HARDY_E_RUNNING, NULL, "%s is running elsewhere under the key %s",
             c->spec->name, c->spec->key);
        finish(c, HARDY_E_RUNNING);
        return;
    }
    if (now >= c->spec->deadline) {
        fail(&c->error, HARDY_E_DEADLINE, NULL, "%s still runs elsewhere", c->spec->name);
        finish(c, HARDY_E_DEADLINE);
        return;
    }
    if (c->poll == 0)
        tell(c, COMMAND_ATTACHED, NULL);
    c->poll = c->poll == 0 ? poll_min : 2 * c->poll > poll_max ? poll_max : 2 * c->poll;
    int64_t at = time_add(now, c->poll);
    loop_timer_init(&c->timer, on_poll, c);
    loop_timer_start(c->loop, &c->timer, at < c->spec->deadline ? at : c->spec->deadline);
}

/* A result that nobody has recorded yet. */
static void collect(struct command *c, struct shim_result *result) {
    bool good = take_result(c, result);
    bool killed = was_killed(result);
    describe_end(c, result);
    tell(c, COMMAND_COLLECTED, c->record.detail);
    if (good) {
        settle(c, RECORD_DONE, HARDY_OK);
    } else if (killed) {
        settle_unknown(c);
    } else if (c->spec->rerun_failed) {
        run(c);
    } else {
        fail(&c->error, HARDY_E_FAILED, NULL, "%s", c->record.detail);
        settle(c, RECORD_FAILED, HARDY_E_FAILED);
    }
}

static void replay(struct command *c) {
    c->replayed = true;
    tell(c, COMMAND_REPLAYED, NULL);
    finish(c, HARDY_OK);
}

static hardy_status load(struct command *c) {
    hardy_error ignored;
    record_free(&c->record);
    hardy_error_init(&ignored, sizeof ignored);
    hardy_status status =
        record_load(c->store, c->spec->row_kind, c->spec->key, &c->record, &ignored);
    c->has_row = status == HARDY_OK;
    if (status == HARDY_OK && c->record.expires != 0 && c->record.expires <= loop_wall(c->loop)) {
        c->record.state = RECORD_FAILED; /* kept for less time than it took to ask again */
        str_copy(c->record.fingerprint, sizeof c->record.fingerprint, c->fingerprint);
        c->record.attempt = 0;
    }
    if (status == HARDY_OK)
        return HARDY_OK;
    if (status != HARDY_E_NOT_FOUND) {
        c->error = ignored;
        return status;
    }
    struct record *r = &c->record;
    r->row_kind = str_dup(c->spec->row_kind);
    r->key = str_dup(c->spec->key);
    r->name = str_dup(c->spec->name);
    r->params = str_dup(c->params);
    r->idempotency_key =
        c->spec->idempotency_key ? str_dup(c->spec->idempotency_key) : str_ndup(c->fingerprint, 32);
    str_copy(r->fingerprint, sizeof r->fingerprint, c->fingerprint);
    if (!r->row_kind || !r->key || !r->name || !r->params || !r->idempotency_key)
        return fail(&c->error, HARDY_E_NOMEM, NULL, "no memory for the record");
    return HARDY_OK;
}

static void mismatch(struct command *c) {
    fail(&c->error, HARDY_E_MISMATCH, NULL, "the key %s was used for other parameters: %s; now: %s",
         c->spec->key, c->record.params ? c->record.params : "(not recorded)", c->params);
    finish(c, HARDY_E_MISMATCH);
}

static void begin(struct command *c) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = load(c);
    if (status != HARDY_OK) {
        finish(c, status);
        return;
    }
    /* Needs no lock: a finished record does not change any more. */
    if (c->has_row && !str_eq(c->record.fingerprint, c->fingerprint)) {
        mismatch(c);
        return;
    }
    if (c->record.state == RECORD_DONE) {
        replay(c);
        return;
    }
    if (c->lock_fd < 0) {
        status = step_place_lock(&c->place, &c->lock_fd, &error);
        if (status == HARDY_E_RUNNING) {
            wait_for_other(c);
            return;
        }
        if (status != HARDY_OK) {
            c->error = error;
            finish(c, status);
            return;
        }
        begin(c); /* it may have ended between the look and the lock */
        return;
    }
    struct shim_result result = {0};
    enum shim_state state = SHIM_NEVER_RAN;
    if (c->has_row && c->record.state == RECORD_STARTED) {
        char *base = step_place_run(&c->place, c->record.fence);
        status = base ? shim_look(c->loop, base, c->record.boot, &state, &result, &c->error)
                      : HARDY_E_NOMEM;
        free(base);
        if (status != HARDY_OK) {
            finish(c, status);
            return;
        }
    }
    static const enum record_world worlds[] = {[SHIM_RUNNING] = WORLD_RUNNING,
                                               [SHIM_ENDED] = WORLD_ENDED,
                                               [SHIM_NEVER_RAN] = WORLD_NEVER_RAN,
                                               [SHIM_LOST] = WORLD_LOST};
    switch (record_decide(&c->record, c->fingerprint, worlds[state], c->spec->in_doubt)) {
    case NEXT_RUN:
        if (c->record.state == RECORD_FAILED && !c->spec->rerun_failed) {
            c->replayed = true;
            fail(&c->error, HARDY_E_FAILED, NULL, "%s",
                 c->record.detail ? c->record.detail : "failed");
            finish(c, HARDY_E_FAILED);
            break;
        }
        run(c);
        break;
    case NEXT_REPLAY:
        replay(c);
        break;
    case NEXT_ATTACH:
        attach(c);
        break;
    case NEXT_COLLECT:
        collect(c, &result);
        break;
    case NEXT_PROBE:
        probe(c);
        break;
    case NEXT_ASK:
        ask(c);
        break;
    case NEXT_FAIL:
        fail(&c->error, HARDY_E_FAILED, NULL, "%s was lost while it ran, and its policy is to fail",
             c->record.name);
        set_detail(c, "lost while it ran");
        settle(c, RECORD_FAILED, HARDY_E_FAILED);
        break;
    case NEXT_MISMATCH:
        mismatch(c);
        break;
    }
    shim_result_free(&result);
}

static void on_begin(struct loop_timer *timer) {
    begin(timer->ctx);
}

/* The argv as a JSON array: what is done, when the caller gives nothing else. */
static char *argv_json(const char *const *argv) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_ENCODED);
    json_out_init(&j, &text, 0);
    json_out_array(&j);
    for (; *argv; argv++)
        json_out_string(&j, *argv);
    json_out_array_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

static hardy_status prepare(struct command *c, const char *state, hardy_error *error) {
    const struct command_spec *s = c->spec;
    c->params = s->params ? str_dup(s->params) : argv_json(s->argv);
    if (!c->params)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to prepare %s", s->key);
    hardy_status status = record_fingerprint(s->scope, s->name, c->params, c->fingerprint, error);
    return status == HARDY_OK ? step_place_find(state, s->row_kind, s->key, &c->place, error)
                              : status;
}

hardy_status command_start(struct loop *loop, struct store *store, const char *state,
                           const struct command_spec *spec, const struct command_events *events,
                           void *ctx, struct command **out, hardy_error *error) {
    struct command *c = calloc(1, sizeof *c);
    if (!c)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to start %s", spec->key);
    c->loop = loop;
    c->store = store;
    c->spec = spec;
    c->events = events;
    c->ctx = ctx;
    c->lock_fd = c->step_fd = -1;
    c->retry_after = -1;
    hardy_error_init(&c->error, sizeof c->error);
    buf_init(&c->value, MAX_ENCODED);
    buf_init(&c->probe_output, MAX_PROBE_OUTPUT);
    record_init(&c->record);
    loop_timer_init(&c->timer, on_begin, c);
    hardy_status status = prepare(c, state, error);
    if (status != HARDY_OK) {
        free_command(c);
        return status;
    }
    loop_timer_start(loop, &c->timer,
                     loop_now(loop)); /* callbacks never come from inside this call */
    *out = c;
    return HARDY_OK;
}

void command_cancel(struct command *c) {
    c->cancelled = true;
    if (c->drive) {
        drive_cancel(c->drive);
    } else if (c->probe) {
        process_signal(c->probe, 9);
    } else if (!c->writing) {
        fail(&c->error, HARDY_E_CANCELLED, NULL, "cancelled");
        finish(c, HARDY_E_CANCELLED);
    }
}

void command_leave(struct command *c) {
    c->left = true;
    loop_timer_stop(c->loop, &c->timer);
    if (c->drive)
        drive_cancel(c->drive);
    else
        maybe_free(c);
}
