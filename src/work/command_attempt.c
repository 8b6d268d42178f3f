/* SPDX-License-Identifier: Apache-2.0 */
/* The attempts of a durable command: the guard decides when, the shim runs them. */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "guard/guard.h"
#include "io/file.h"
#include "work/command_parts.h"
#include "work/environment.h"
#include "work/http_step.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_LOSSES = 3 }; /* begun again because lost: what kills each of them will go on */
static const int64_t kill_after_default = 5 * HARDY_SECOND;

static void unlock_step(struct command *c) {
    if (c->step_fd >= 0) {
        shim_unlock(c->loop, c->step_fd);
    }
    c->step_fd = -1;
}

/* --- the probe ---------------------------------------------------------------------------------
 */

/* The command's environment: the caller's, and what every attempt is told. */
static char **build_environment(struct command *c) {
    struct environment e = {0};
    environment_add(&e, c->spec->env);
    environment_set(&e, "HARDY_IDEMPOTENCY_KEY", "%s", c->record.idempotency_key);
    environment_set(&e, "HARDY_ATTEMPT", "%u", c->record.attempt);
    environment_set(&e, "HARDY_FENCE", "%lld", (long long)c->record.fence);
    environment_unset(&e, "HARDY_DEADLINE");
    if (c->attempt_deadline != HARDY_NEVER) {
        char text[40];
        int64_t left = c->attempt_deadline - loop_now(c->loop);
        clock_format_wall(time_add(loop_wall(c->loop), left), text);
        environment_set(&e, "HARDY_DEADLINE", "%s", text);
    }
    return environment_take(&e);
}

void command_take_probed(struct command *c, const struct buf *output) {
    struct record *r = &c->record;
    record_set_output(r, str_ndup(output->data ? output->data : "", output->len), output->len);
    r->code = r->signal = 0;
    r->timed_out = r->truncated = false;
    command_set_detail(c, "the probe found it done");
    command_mask(c);
}

/* What is being undone is done as long as it is there. */
static void on_undo_probed(void *ctx, enum probe_answer answer, const struct buf *output,
                           const char *detail) {
    struct command *c = ctx;
    enum probe_answer turned = answer == PROBE_DONE       ? PROBE_NOT_DONE
                               : answer == PROBE_NOT_DONE ? PROBE_DONE
                                                          : PROBE_UNKNOWN;
    c->answered(c, turned, output, detail);
}

void command_probe(struct command *c, probe_answered answered) {
    if (c->spec->undoes) {
        c->answered = answered;
        answered = on_undo_probed;
    }
    char **env = build_environment(c);
    const struct probe_options options = {.argv = c->spec->probe,
                                          .env = (const char *const *)env,
                                          .cwd = c->spec->cwd,
                                          .max_output = COMMAND_KEPT};
    struct buf nothing;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&nothing, 1);
    hardy_status status = !options.argv ? fail(&error, HARDY_E_NOT_FOUND, NULL, "there is none")
                          : env ? probe_start(c->loop, &options, answered, c, &c->probe, &error)
                                : fail(&error, HARDY_E_NOMEM, NULL, "no memory");
    environment_free_list(env);
    if (status != HARDY_OK) {
        char detail[COMMAND_MAX_DETAIL];
        snprintf(detail, sizeof detail, "the probe cannot run: %s", error.message);
        answered(c, PROBE_UNKNOWN, &nothing, detail);
    }
}

bool command_passes(const struct command_spec *s, int code) {
    if (s->program) {
        return step_program_ending(code) != STEP_FAILED;
    }
    return s->passing ? s->passing(s->passing_ctx, code) : code != 126 && code != 127;
}

/* --- running it under the guard ----------------------------------------------------------------
 */

static void report(struct command *c, enum ending ending) {
    const struct command_spec *s = c->spec;
    c->last = ending;
    if (c->left) { /* nobody counts it: the spec may be gone */
        hardy_outcome outcome = {
            .kind = HARDY_IGNORED, .effect = HARDY_EFFECT_UNKNOWN, .permanent = true};
        drive_report(c->drive, c->attempt, &outcome);
        return;
    }
    int code = ending_code(&c->record);
    bool passing =
        s->guard && !c->cancelled &&
        (ending == ENDING_FAILED || (ending == ENDING_UNKNOWN && s->in_doubt == IN_DOUBT_RERUN)) &&
        command_passes(s, code);
    hardy_outcome outcome = ending_outcome(ending, &c->record, passing);
    int64_t span;
    if (passing && s->program && c->record.output &&
        http_step_retry_after(c->record.output, c->record.output_len, &span)) {
        outcome.retry_after = span;
    }
    drive_report(c->drive, c->attempt, &outcome);
}

/* An attempt that did not run, for `error`. */
static void report_refused(struct command *c, hardy_status status, const hardy_error *error) {
    hardy_outcome outcome = {.kind = HARDY_IGNORED, .permanent = true};
    c->error = *error;
    c->error.status = status;
    c->verdict = status;
    drive_report(c->drive, c->attempt, &outcome);
}

/* The attempt was stopped or lost, and the probe knows what became of it. */
static void on_probed_last(void *ctx, enum probe_answer answer, const struct buf *output,
                           const char *detail) {
    struct command *c = ctx;
    c->probe = NULL;
    command_tell(c, COMMAND_PROBED, detail);
    if (answer == PROBE_DONE) {
        command_take_probed(c, output);
        report(c, ENDING_DONE);
    } else {
        char text[COMMAND_MAX_DETAIL];
        snprintf(text, sizeof text, "%s; %s", c->record.detail ? c->record.detail : "lost", detail);
        command_set_detail(c, text);
        if (c->record.ended == 0) {
            c->record.signal = SIGKILL; /* a command dies with its shim */
        }
        c->lost = answer == PROBE_NOT_DONE && !c->record.timed_out;
        report(c, answer == PROBE_NOT_DONE ? ENDING_FAILED : ENDING_UNKNOWN);
    }
}

static void on_shim_ended(void *ctx, struct shim *shim) {
    struct command *c = ctx;
    struct shim_result result = {0};
    enum shim_state state = SHIM_LOST;
    enum ending ending = ENDING_UNKNOWN;
    shim_free(shim);
    c->shim = NULL;
    if (c->left) {
        report(c, ENDING_NONE);
        return;
    }
    if (command_look(c, &state, &result) != HARDY_OK) {
        state = SHIM_LOST;
    }
    if (state == SHIM_ENDED) {
        ending = command_take_result(c, &result);
        shim_result_free(&result);
    } else if (state == SHIM_NEVER_RAN) {
        ending = ENDING_FAILED;
        ending_record_never_ran(&c->record, loop_now(c->loop) >= c->attempt_deadline,
                                loop_wall(c->loop));
    } else {
        ending_record_lost(&c->record);
        c->lost = c->spec->in_doubt == IN_DOUBT_RERUN;
    }
    if (ending == ENDING_UNKNOWN && c->spec->in_doubt == IN_DOUBT_PROBE && !c->cancelled) {
        command_probe(c, on_probed_last);
    } else {
        report(c, ending);
    }
}

/* The start is durable: now the effect. */
static void after_started(struct command *c, hardy_status status) {
    static const struct shim_events events = {on_shim_ended};
    if (status != HARDY_OK) {
        c->has_row = false; /* what is there is not what `record` says */
        unlock_step(c);
        report_refused(c, status, &c->batch.error);
        return;
    }
    c->has_row = c->start_durable = true;
    if (c->left) { /* recorded and never run: found as such next time */
        unlock_step(c);
        report(c, ENDING_NONE);
        return;
    }
    if (c->events->recorded) {
        c->events->recorded(c->ctx);
    }
    if (c->record.attempt > 1) {
        command_forget_run(c, c->record.fence - 1); /* this start has settled it */
    }
    if (c->cancelled) {
        unlock_step(c);
        command_set_detail(c, "cancelled before it began");
        report(c, ENDING_NOT_STARTED);
        return;
    }
    char **env = build_environment(c);
    char *base = step_place_run(&c->place, c->record.fence);
    int64_t kill_after = c->spec->kill_after ? c->spec->kill_after : kill_after_default;
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
    environment_free_list(env);
    free(base);
    if (started == HARDY_OK) {
        command_tell(c, COMMAND_STARTED, NULL);
    } else {
        command_set_detail(
            c, started == HARDY_E_TOO_LARGE
                   ? "its arguments, or the values in its environment, are larger than the "
                     "kernel allows"
                   : error.message);
        report(c, ENDING_NOT_STARTED);
    }
}

static void note_start(struct command *c) {
    struct record *r = &c->record;
    r->state = RECORD_STARTED;
    r->attempt++;
    r->fence++;
    r->started = loop_wall(c->loop);
    if (r->created == 0) {
        r->created = r->started;
    }
    r->ended = 0;
    r->code = r->signal = 0;
    r->timed_out = r->truncated = false;
    record_set_output(r, NULL, 0);
    r->expires = 0;
    r->order = c->spec->order;
    if (c->spec->inputs) {
        str_copy(r->inputs, sizeof r->inputs, c->spec->inputs);
    }
    free(r->claim);
    free(r->owner); /* who had it and was silent for longer than its lease */
    r->owner = r->claim = NULL;
    r->lease = (struct moment){0};
    command_set_detail(c, NULL);
    file_boot_id(r->boot);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    struct command *c = ctx;
    c->drive = d;
    c->lost = false;
    c->attempt = attempt;
    int64_t own = c->spec->timeout == HARDY_NEVER ? HARDY_NEVER
                                                  : time_add(loop_now(c->loop), c->spec->timeout);
    c->attempt_deadline = deadline < own ? deadline : own;
    /* The step's lock is taken before the start is recorded: there is no moment in which a step
     * recorded as started looks abandoned. */
    char *base = step_place_run(&c->place, c->record.fence + 1);
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
    int64_t before = c->has_row ? c->record.fence : -1;
    note_start(c);
    command_write(c, before, !c->start_durable, after_started);
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct command *c = ctx;
    (void)d;
    (void)attempt;
    if (c->probe && (c->left || c->cancelled)) {
        probe_cancel(c->probe);
    } else if (c->shim && !c->left) {
        shim_cancel(c->shim);
    } else if (c->shim) {
        shim_free(c->shim); /* it goes on without us */
        c->shim = NULL;
        report(c, ENDING_NONE);
    }
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct command *c = ctx;
    char text[COMMAND_MAX_DETAIL], span[48];
    (void)d;
    if (c->left || step->reason == HARDY_REASON_RUNNING) {
        return;
    }
    if (!c->start_durable && c->events->held_up) {
        c->events->held_up(c->ctx);
    }
    if (step->until == HARDY_NEVER) {
        return;
    }
    format_duration_short(step->until - loop_now(c->loop), span);
    bool backoff = step->reason == HARDY_REASON_BACKOFF;
    snprintf(text, sizeof text, "%s; tries again in %s",
             !backoff           ? hardy_reason_text(step->reason)
             : c->record.detail ? c->record.detail
                                : "failed",
             span);
    command_tell(c, COMMAND_RETRY, text);
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct command *c = ctx;
    (void)d;
    c->retry_after = step->retry_after;
    if (c->left || c->verdict != HARDY_OK) { /* refused before it ran: `error` says why */
        return;
    }
    /* One attempt was all there was to be: not a matter of retries. */
    bool only = step->reason == HARDY_REASON_RETRIES && step->attempt == 1;
    c->verdict = only ? HARDY_E_FAILED : step->status;
    if (step->status != HARDY_OK) {
        const char *why = c->last != ENDING_NONE && c->record.detail
                              ? c->record.detail
                              : hardy_reason_text(step->reason);
        if (only || c->verdict == HARDY_E_FAILED || c->last == ENDING_NONE) {
            fail(&c->error, c->verdict, NULL, "%s", why);
        } else {
            fail(&c->error, c->verdict, NULL, "%s; %s", why, hardy_reason_text(step->reason));
        }
    }
}

/* A lost run of what is known not to have happened, or may happen twice: is begun anew, as it would
 * be after a crash of ours. Where the guard has retries, they have been made already. */
static bool begins_again(const struct command *c) {
    const hardy_guard_config *config = c->spec->guard ? guard_config(c->spec->guard) : NULL;
    bool retried = config && config->retry && config->retry->max_retries > 0;
    return c->lost && !c->cancelled && !retried && c->losses < MAX_LOSSES &&
           (c->last == ENDING_FAILED || c->last == ENDING_UNKNOWN);
}

static void on_drive_done(void *ctx, struct drive *d) {
    struct command *c = ctx;
    (void)d;
    c->driving = false;
    c->drive = NULL;
    if (c->left) {
        command_maybe_free(c);
        return;
    }
    hardy_status verdict = c->verdict == HARDY_OK ? HARDY_E_FAILED : c->verdict;
    if (!c->has_row) {
        command_finish(c, verdict);
        return;
    }
    if (begins_again(c)) {
        c->losses++;
        command_attempt(c);
        return;
    }
    switch (c->last) {
    case ENDING_DONE: /* also when it was late */
        command_settle(c, RECORD_DONE, HARDY_OK);
        break;
    case ENDING_FAILED:
        command_settle(c, RECORD_FAILED, verdict);
        break;
    case ENDING_NOT_STARTED:
        command_settle_not_started(c);
        break;
    case ENDING_UNKNOWN:
        command_settle_unknown(c, verdict);
        break;
    case ENDING_NONE:
        /* Refused. A failure that was found and is not recorded yet is recorded now; everything
         * else is as it was. */
        if (c->record.state == RECORD_STARTED && c->record.ended != 0) {
            command_settle(c, RECORD_FAILED, verdict);
        } else {
            command_finish(c, verdict);
        }
        break;
    }
}

void command_attempt(struct command *c) {
    static const struct drive_events events = {on_call, on_stop, on_waiting, on_result,
                                               on_drive_done};
    const struct command_spec *s = c->spec;
    hardy_guard *guard = s->guard;
    if (s->settle_only || c->cancelled) {
        command_leave_undone(c);
        return;
    }
    if (!guard && !c->guard) {
        hardy_guard_config config;
        hardy_env env = loop_env(c->loop);
        hardy_guard_config_init(&config, sizeof config);
        config.name = "step";
        if (hardy_guard_new(&config, &env, &c->guard, &c->error) != HARDY_OK) {
            command_finish(c, c->error.status);
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
        command_finish(c, status);
    }
}
