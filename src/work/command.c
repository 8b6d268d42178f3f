/* SPDX-License-Identifier: Apache-2.0 */
#include "work/command.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "drive/drive.h"
#include "guard/guard.h"
#include "io/file.h"
#include "io/shim.h"
#include "work/batch.h"
#include "work/ending.h"
#include "work/environment.h"
#include "work/place.h"
#include "work/probe.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_LOSSES = 3, /* begun again because lost: what kills each of them will go on */
    MAX_ENCODED = 16 << 20,
    MAX_PARAMS = 64 << 10,
    MAX_DETAIL = 480,
    MAX_SHOWN = 130,
};
static const int64_t kill_after_default = 5 * HARDY_SECOND;
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 100 * HARDY_MILLISECOND;

/* Mistakes that tests/work/kill_runs.c has to find, in a program made for nothing else. */
#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug;
#define SEEDED_BUG(n) (seeded_bug == (n))
#else
#define SEEDED_BUG(n) false
#endif
enum {
    BUG_RECORD_AFTER = 1, /* the start is not recorded before the effect */
    BUG_NO_LOCK = 2,      /* a step that runs is not noticed */
    BUG_NEVER_RAN = 3,    /* a step that was lost counts as never begun */
    BUG_NO_COLLECT = 4    /* a result that is not recorded yet is not looked for */
};

struct command {
    struct loop *loop;
    struct store *store;
    const struct command_spec *spec;
    const struct command_events *events;
    void *ctx;

    struct step_place place;
    char *params;
    char fingerprint[65];
    int lock_fd; /* the key's byte held: this process decides about the key; -1 = not */
    int step_fd; /* the step's own lock, on its way to the shim; -1 = not */
    bool has_row;
    struct record record;

    /* Waiting for another process: the run it is at, whose result is ours too. */
    bool waited;
    int64_t awaited;         /* its fence, at least */
    int64_t poll;            /* until the next look at a lock that somebody else holds */
    struct loop_timer timer; /* begins, then bounds waiting */
    struct shim *attached;

    hardy_guard *guard; /* own one, when the spec gives none */
    struct drive *drive;
    uint32_t attempt; /* of the drive, being run */
    int64_t attempt_deadline;
    struct shim *shim;
    struct probe *probe;
    enum ending last; /* how the last attempt ended */
    bool start_durable;
    bool lost; /* it was killed, and may run again as after a crash of ours */
    uint32_t losses;
    bool cancelled, left, driving, replayed;

    struct batch batch;
    void (*then)(struct command *c, hardy_status status);
    struct buf value;
    struct command_unwritten unwritten;

    hardy_status verdict; /* of the guard, then of the result being written */
    int64_t retry_after;
    hardy_error error;
};

static void begin(struct command *c);
static void run(struct command *c);

static void free_command(struct command *c) {
    loop_timer_stop(c->loop, &c->timer);
    if (c->shim) {
        shim_free(c->shim);
    }
    if (c->attached) {
        shim_free(c->attached);
    }
    if (c->probe) {
        probe_free(c->probe);
    }
    if (c->step_fd >= 0) {
        shim_unlock(c->loop, c->step_fd);
    }
    if (c->lock_fd >= 0) {
        close(c->lock_fd);
    }
    command_unwritten_done(c->loop, &c->unwritten, false);
    record_free(&c->record);
    hardy_guard_free(c->guard);
    buf_free(&c->value);
    step_place_free(&c->place);
    free(c->params);
    free(c);
}

static void tell(struct command *c, enum command_event what, const char *detail) {
    if (c->events->event && !c->left) {
        c->events->event(c->ctx, what, &c->record, detail ? detail : "");
    }
}

static void maybe_free(struct command *c) {
    if (c->left && !c->batch.busy && !c->driving) {
        free_command(c);
    }
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
                                        .error = &c->error,
                                        .unwritten = &c->unwritten};
        c->left = true;
        c->events->ended(c->ctx, &result);
    }
    maybe_free(c);
}

static void set_detail(struct command *c, const char *detail) {
    free(c->record.detail);
    c->record.detail = str_dup(detail);
}

/* --- files of runs -------------------------------------------------------------------------------
 */

static hardy_status look(struct command *c, enum shim_state *state, struct shim_result *result) {
    char *base = step_place_run(&c->place, c->record.fence);
    hardy_status status =
        base ? shim_look(c->loop, base, c->record.boot, state, result, &c->error)
             : fail(&c->error, HARDY_E_NOMEM, NULL, "no memory to look at %s", c->spec->key);
    free(base);
    return status;
}

/* Files of a run that is settled, by whomever. */
static void forget_run(struct command *c, int64_t fence) {
    char *base = step_place_run(&c->place, fence);
    if (base) {
        shim_forget(c->loop, base);
    }
    free(base);
}

void command_forget(struct loop *loop, const char *state, const struct record *r) {
    struct step_place place;
    if (step_place_find(state, r->row_kind, r->key, &place, NULL) == HARDY_OK) {
        char *base = step_place_run(&place, r->fence);
        if (base) {
            shim_forget(loop, base);
        }
        free(base);
        step_place_free(&place);
    }
}

static void unlock_step(struct command *c) {
    if (c->step_fd >= 0) {
        shim_unlock(c->loop, c->step_fd);
    }
    c->step_fd = -1;
}

/* --- writing the record ------------------------------------------------------------------------
 */

static void on_written(struct batch *b, hardy_status status) {
    struct command *c = b->ctx;
    c->then(c, status);
}

/* Encodes the record as it is kept: of a long output its beginning, cut between characters. */
static void encode(const struct record *r, int64_t before, struct buf *value, struct store_op *op) {
    struct record kept = *r;
    if (kept.output_len > COMMAND_KEPT) {
        kept.output_len = COMMAND_KEPT;
        kept.truncated = true;
        for (int i = 0; i < 3 && ((unsigned char)r->output[kept.output_len] & 0xc0) == 0x80; i++) {
            kept.output_len--;
        }
    }
    record_op(&kept, before, value, op);
    if (SEEDED_BUG(BUG_RECORD_AFTER)) {
        op->kind = STORE_PUT;
    }
}

static void write_record(struct command *c, int64_t before, bool with_start,
                         void (*then)(struct command *, hardy_status)) {
    const struct command_spec *s = c->spec;
    size_t extra = with_start ? s->with_start_count : 0;
    struct store_op *ops = calloc(extra + 1, sizeof *ops);
    buf_reset(&c->value);
    c->then = then;
    if (ops) {
        encode(&c->record, before, &c->value, &ops[extra]);
    }
    if (!ops || c->value.failed) {
        batch_refuse(&c->batch, c->loop, HARDY_E_NOMEM, "no memory for a record", on_written, c);
    } else {
        for (size_t i = 0; i < extra; i++) {
            ops[i] = s->with_start[i];
        }
        size_t count = SEEDED_BUG(BUG_RECORD_AFTER) && with_start ? extra : extra + 1;
        batch_submit(&c->batch, c->loop, c->store, ops, count, on_written, c);
    }
    free(ops);
}

static void after_settled(struct command *c, hardy_status status) {
    if (status != HARDY_OK) {
        c->error = c->batch.error;
        finish(c, status);
        return;
    }
    forget_run(c, c->record.fence);
    finish(c, c->verdict);
}

void command_unwritten_done(struct loop *loop, struct command_unwritten *u, bool written) {
    if (u->base && written) {
        shim_forget(loop, u->base);
    }
    free(u->row_kind);
    free(u->key);
    free(u->base);
    buf_free(&u->value);
    *u = (struct command_unwritten){0};
}

struct command_unwritten command_take(const struct command_result *result) {
    struct command_unwritten taken = {0};
    if (result->unwritten) {
        taken = *result->unwritten;
        *result->unwritten = (struct command_unwritten){0};
    }
    return taken;
}

/* The caller writes it. False: no memory, so it is written here. */
static bool hold_success(struct command *c) {
    struct command_unwritten *u = &c->unwritten;
    const struct record *r = &c->record;
    *u = (struct command_unwritten){.row_kind = str_dup(r->row_kind),
                                    .key = str_dup(r->key),
                                    .base = step_place_run(&c->place, r->fence)};
    buf_init(&u->value, MAX_ENCODED);
    encode(r, r->fence, &u->value, &u->op);
    u->op.row_kind = u->row_kind;
    u->op.key = u->key;
    if (u->row_kind && u->key && u->base && !u->value.failed) {
        return true;
    }
    command_unwritten_done(c->loop, u, false);
    return false;
}

/* Records how it ended, then tells. */
static void settle(struct command *c, enum record_state state, hardy_status verdict) {
    struct record *r = &c->record;
    r->state = state;
    r->expires = 0;
    if (state == RECORD_DONE || state == RECORD_FAILED) {
        if (r->ended == 0) {
            r->ended = loop_wall(c->loop);
        }
        if (c->spec->ttl != HARDY_NEVER) {
            r->expires = time_add(r->ended, c->spec->ttl);
        }
    }
    c->verdict = verdict;
    if (state == RECORD_DONE && c->spec->hold_success && !c->left && hold_success(c)) {
        finish(c, HARDY_OK);
    } else {
        write_record(c, r->fence, false, after_settled);
    }
}

/* The command could not be executed, so it has had no effect: a key that was never used for
 * anything is free again. */
static void settle_not_started(struct command *c) {
    struct record *r = &c->record;
    fail(&c->error, HARDY_E_FAILED, NULL, "%s", r->detail ? r->detail : "could not be started");
    if (!c->spec->rerun_failed || r->attempt > 1) {
        settle(c, RECORD_FAILED, HARDY_E_FAILED);
        return;
    }
    const struct store_op op = {
        .kind = STORE_DELETE, .row_kind = r->row_kind, .key = r->key, .if_fence = r->fence};
    c->verdict = HARDY_E_FAILED;
    c->then = after_settled;
    batch_submit(&c->batch, c->loop, c->store, &op, 1, on_written, c);
}

/* A run of which nobody knows what it has done: the policy decides, as after a crash. `verdict` is
 * the guard's. */
static void settle_unknown(struct command *c, hardy_status verdict) {
    const struct record *r = &c->record;
    const char *why = r->detail ? r->detail : "nobody knows how it ended";
    bool told = verdict == HARDY_E_TIMEOUT || verdict == HARDY_E_DEADLINE ||
                verdict == HARDY_E_CANCELLED || verdict == HARDY_E_OPEN ||
                verdict == HARDY_E_BUDGET || verdict == HARDY_E_EXHAUSTED;
    switch (c->spec->in_doubt) {
    case IN_DOUBT_FAIL:
    case IN_DOUBT_RERUN:
        verdict = told ? verdict : r->timed_out ? HARDY_E_TIMEOUT : HARDY_E_FAILED;
        fail(&c->error, verdict, NULL, "%s", why);
        if (r->ended == 0 && r->signal == 0) {
            c->record.signal = SIGKILL; /* a command dies with its shim */
        }
        settle(c, RECORD_FAILED, verdict);
        return;
    case IN_DOUBT_ASK:
    case IN_DOUBT_PROBE:
        break;
    }
    c->record.ended = 0;
    fail(&c->error, HARDY_E_IN_DOUBT, NULL, "%s is in doubt: attempt %u was started and %s",
         r->name, r->attempt, why);
    settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
}

static void ask(struct command *c) {
    bool lost = c->record.state != RECORD_IN_DOUBT;
    if (lost && c->record.ended == 0) {
        ending_record_lost(&c->record);
    }
    c->record.ended = 0;
    fail(&c->error, HARDY_E_IN_DOUBT, NULL, "%s is in doubt: attempt %u was started and %s",
         c->record.name, c->record.attempt,
         c->record.detail ? c->record.detail : "nobody knows how it ended");
    if (lost) {
        settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
    } else {
        finish(c, HARDY_E_IN_DOUBT);
    }
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

static void take_probed(struct command *c, const struct buf *output) {
    struct record *r = &c->record;
    free(r->output);
    r->output = str_ndup(output->data ? output->data : "", output->len);
    r->output_len = r->output ? output->len : 0;
    r->code = r->signal = 0;
    r->timed_out = r->truncated = false;
    set_detail(c, "the probe found it done");
}

static void start_probe(struct command *c, probe_answered answered) {
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
        char detail[MAX_DETAIL];
        snprintf(detail, sizeof detail, "the probe cannot run: %s", error.message);
        answered(c, PROBE_UNKNOWN, &nothing, detail);
    }
}

/* It was found in doubt. */
static void on_probed_first(void *ctx, enum probe_answer answer, const struct buf *output,
                            const char *detail) {
    struct command *c = ctx;
    c->probe = NULL;
    tell(c, COMMAND_PROBED, detail);
    switch (record_after_probe(answer)) {
    case NEXT_COLLECT:
        take_probed(c, output);
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

/* --- running it under the guard ----------------------------------------------------------------
 */

static bool passes(const struct command_spec *s, int code) {
    return s->passing ? s->passing(s->passing_ctx, code) : code != 126 && code != 127;
}

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
        (s->passing ? s->passing(s->passing_ctx, code) : code != 126 && code != 127);
    hardy_outcome outcome = ending_outcome(ending, &c->record, passing);
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
    tell(c, COMMAND_PROBED, detail);
    if (answer == PROBE_DONE) {
        take_probed(c, output);
        report(c, ENDING_DONE);
    } else {
        char text[MAX_DETAIL];
        snprintf(text, sizeof text, "%s; %s", c->record.detail ? c->record.detail : "lost", detail);
        set_detail(c, text);
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
    if (look(c, &state, &result) != HARDY_OK) {
        state = SHIM_LOST;
    }
    if (state == SHIM_ENDED) {
        ending = ending_of(&result);
        ending_record(&c->record, &result, c->spec->argv[0]);
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
        start_probe(c, on_probed_last);
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
        forget_run(c, c->record.fence - 1); /* this start has settled it */
    }
    if (c->cancelled) {
        unlock_step(c);
        set_detail(c, "cancelled before it began");
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
        tell(c, COMMAND_STARTED, NULL);
    } else {
        set_detail(c, started == HARDY_E_TOO_LARGE
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
    free(r->output);
    r->output = NULL;
    r->output_len = 0;
    r->expires = 0;
    set_detail(c, NULL);
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
    write_record(c, before, !c->start_durable, after_started);
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
    char text[MAX_DETAIL], span[48];
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
    tell(c, COMMAND_RETRY, text);
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
        maybe_free(c);
        return;
    }
    hardy_status verdict = c->verdict == HARDY_OK ? HARDY_E_FAILED : c->verdict;
    if (!c->has_row) {
        finish(c, verdict);
        return;
    }
    if (begins_again(c)) {
        c->losses++;
        run(c);
        return;
    }
    switch (c->last) {
    case ENDING_DONE: /* also when it was late */
        settle(c, RECORD_DONE, HARDY_OK);
        break;
    case ENDING_FAILED:
        settle(c, RECORD_FAILED, verdict);
        break;
    case ENDING_NOT_STARTED:
        settle_not_started(c);
        break;
    case ENDING_UNKNOWN:
        settle_unknown(c, verdict);
        break;
    case ENDING_NONE:
        /* Refused. A failure that was found and is not recorded yet is recorded now; everything
         * else is as it was. */
        if (c->record.state == RECORD_STARTED && c->record.ended != 0) {
            settle(c, RECORD_FAILED, verdict);
        } else {
            finish(c, verdict);
        }
        break;
    }
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

/* --- waiting for another process
 * ----------------------------------------------------------------- */

static void note_waiting(struct command *c) {
    const struct record *r = &c->record;
    if (!c->waited) {
        c->waited = true;
        c->awaited = c->has_row && r->state == RECORD_STARTED ? r->fence : r->fence + 1;
        tell(c, COMMAND_ATTACHED, NULL);
    }
}

static void refuse_running(struct command *c) {
    fail(&c->error, HARDY_E_RUNNING, NULL, "%s is running elsewhere under the key %s",
         c->spec->name, c->spec->key);
    finish(c, HARDY_E_RUNNING);
}

static void give_up_waiting(struct command *c) {
    fail(&c->error, HARDY_E_DEADLINE, NULL, "%s still runs elsewhere", c->spec->name);
    finish(c, HARDY_E_DEADLINE);
}

static void on_attached_ended(void *ctx, struct shim *shim) {
    struct command *c = ctx;
    shim_free(shim);
    c->attached = NULL;
    loop_timer_stop(c->loop, &c->timer);
    begin(c);
}

static void on_attach_deadline(struct loop_timer *timer) {
    give_up_waiting(timer->ctx);
}

/* The step goes on though the process that started it is gone: waits for its end, then decides. */
static void attach(struct command *c) {
    static const struct shim_events events = {on_attached_ended};
    if (!c->spec->attach) {
        refuse_running(c);
        return;
    }
    char *base = step_place_run(&c->place, c->record.fence);
    hardy_status status = base ? shim_attach(c->loop, base, &events, c, &c->attached, &c->error)
                               : fail(&c->error, HARDY_E_NOMEM, NULL, "no memory");
    free(base);
    if (status != HARDY_OK) {
        finish(c, status);
        return;
    }
    note_waiting(c);
    loop_timer_init(&c->timer, on_attach_deadline, c);
    loop_timer_start(c->loop, &c->timer, c->spec->deadline);
}

static void on_timer(struct loop_timer *timer) {
    begin(timer->ctx);
}

/* Another live process decides about the key: looks again now and then, until it is done. */
static void wait_for_other(struct command *c) {
    int64_t now = loop_now(c->loop);
    if (!c->spec->attach) {
        refuse_running(c);
        return;
    }
    if (now >= c->spec->deadline) {
        give_up_waiting(c);
        return;
    }
    note_waiting(c);
    c->poll = c->poll == 0 ? poll_min : 2 * c->poll > poll_max ? poll_max : 2 * c->poll;
    int64_t at = time_add(now, c->poll);
    loop_timer_init(&c->timer, on_timer, c);
    loop_timer_start(c->loop, &c->timer, at < c->spec->deadline ? at : c->spec->deadline);
}

/* --- beginning: what is known, what is there, what next
 * ------------------------------------------------------- */

/* It failed while nobody watched: whether whoever started it would have tried again. */
static bool retries_left(const struct command *c, enum ending ending) {
    const struct command_spec *s = c->spec;
    const hardy_guard_config *config = s->guard ? guard_config(s->guard) : NULL;
    return ending == ENDING_FAILED && config && config->retry &&
           c->record.attempt <= config->retry->max_retries && passes(s, ending_code(&c->record));
}

/* A result that nobody has recorded yet. */
static void collect(struct command *c, struct shim_result *result) {
    enum ending ending = ending_of(result);
    ending_record(&c->record, result, c->spec->argv[0]);
    tell(c, COMMAND_COLLECTED, c->record.detail);
    switch (ending) {
    case ENDING_DONE:
        settle(c, RECORD_DONE, HARDY_OK);
        break;
    case ENDING_UNKNOWN:
        if (c->spec->in_doubt == IN_DOUBT_PROBE) {
            start_probe(c, on_probed_first);
        } else if (c->spec->in_doubt == IN_DOUBT_RERUN) {
            run(c);
        } else {
            settle_unknown(c, HARDY_E_FAILED);
        }
        break;
    case ENDING_FAILED:
    case ENDING_NOT_STARTED:
    case ENDING_NONE:
        if ((c->spec->rerun_failed && !c->waited) || retries_left(c, ending)) {
            run(c);
        } else {
            fail(&c->error, HARDY_E_FAILED, NULL, "%s", c->record.detail);
            settle(c, RECORD_FAILED, HARDY_E_FAILED);
        }
        break;
    }
}

static void replay(struct command *c) {
    forget_run(c, c->record.fence); /* killed between the record and this */
    c->replayed = true;
    tell(c, COMMAND_REPLAYED, NULL);
    finish(c, HARDY_OK);
}

static void replay_failure(struct command *c) {
    c->replayed = true;
    fail(&c->error, HARDY_E_FAILED, NULL, "%s", c->record.detail ? c->record.detail : "failed");
    finish(c, HARDY_E_FAILED);
}

/* The record of something that has not been done yet; `fence` is that of a row there is. */
static hardy_status fresh_record(struct command *c, int64_t fence) {
    struct record *r = &c->record;
    const struct command_spec *s = c->spec;
    record_free(r);
    r->fence = fence;
    r->row_kind = str_dup(s->row_kind);
    r->key = str_dup(s->key);
    r->name = str_dup(s->name);
    size_t len = strlen(c->params); /* it is told by its fingerprint; this is for people */
    r->params = len > MAX_PARAMS ? str_format("{\"bytes\":%zu}", len) : str_dup(c->params);
    r->idempotency_key =
        s->idempotency_key ? str_dup(s->idempotency_key) : str_ndup(c->fingerprint, 32);
    str_copy(r->fingerprint, sizeof r->fingerprint, c->fingerprint);
    return r->row_kind && r->key && r->name && r->params && r->idempotency_key
               ? HARDY_OK
               : fail(&c->error, HARDY_E_NOMEM, NULL, "no memory for the record of %s", s->key);
}

static hardy_status load(struct command *c) {
    hardy_error error;
    struct record *r = &c->record;
    record_free(r);
    hardy_error_init(&error, sizeof error);
    hardy_status status = record_load(c->store, c->spec->row_kind, c->spec->key, r, &error);
    c->has_row = status == HARDY_OK;
    if (status == HARDY_E_NOT_FOUND) {
        return fresh_record(c, 0);
    }
    if (status != HARDY_OK) {
        c->error = error;
        return status;
    }
    /* Kept for as long as it was to be kept: as if it were not there. */
    if (r->expires != 0 && r->expires <= loop_wall(c->loop)) {
        return fresh_record(c, r->fence);
    }
    /* Settled as not done: what is done next may be something else. */
    if (r->state == RECORD_PENDING && !str_eq(r->fingerprint, c->fingerprint)) {
        uint32_t attempt = r->attempt;
        status = fresh_record(c, r->fence);
        r->attempt = attempt;
    }
    return status;
}

/* Both are named, long ones around the place where they begin to differ. */
static void mismatch(struct command *c) {
    const char *was = c->record.params ? c->record.params : "(not recorded)", *now = c->params;
    size_t same = 0;
    while (was[same] && was[same] == now[same]) {
        same++;
    }
    size_t skip = strlen(was) + strlen(now) > 2 * MAX_SHOWN && same > MAX_SHOWN / 2
                      ? same - MAX_SHOWN / 4
                      : 0;
    while (skip > 0 && ((unsigned char)was[skip] & 0xc0) == 0x80) {
        skip--;
    }
    fail(&c->error, HARDY_E_MISMATCH, NULL,
         "the key %.60s was used for other parameters: %s%.*s; now: %s%.*s", c->spec->key,
         skip ? "..." : "", MAX_SHOWN, was + skip, skip ? "..." : "", MAX_SHOWN, now + skip);
    finish(c, HARDY_E_MISMATCH);
}

/* True: this process decides. False: it waits, or has ended. */
static bool take_lock(struct command *c) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = step_place_lock(&c->place, &c->lock_fd, &error);
    if (status == HARDY_OK) {
        return true;
    }
    if (status == HARDY_E_RUNNING) {
        wait_for_other(c);
    } else {
        c->error = error;
        finish(c, status);
    }
    return false;
}

static void act(struct command *c, enum record_next next, struct shim_result *result) {
    switch (next) {
    case NEXT_RUN:
        if (c->record.state == RECORD_FAILED && !c->spec->rerun_failed) {
            replay_failure(c);
        } else {
            run(c);
        }
        break;
    case NEXT_REPLAY:
        replay(c);
        break;
    case NEXT_ATTACH:
        attach(c);
        break;
    case NEXT_COLLECT:
        collect(c, result);
        break;
    case NEXT_PROBE:
        start_probe(c, on_probed_first);
        break;
    case NEXT_ASK:
        ask(c);
        break;
    case NEXT_FAIL:
        if (c->record.state == RECORD_STARTED) {
            ending_record_lost(&c->record);
        }
        settle_unknown(c, HARDY_E_FAILED);
        break;
    case NEXT_MISMATCH:
        mismatch(c);
        break;
    }
}

static void begin(struct command *c) {
    static const enum record_world worlds[] = {[SHIM_RUNNING] = WORLD_RUNNING,
                                               [SHIM_ENDED] = WORLD_ENDED,
                                               [SHIM_NEVER_RAN] = WORLD_NEVER_RAN,
                                               [SHIM_LOST] = WORLD_LOST};
    struct shim_result result = {0};
    enum shim_state state = SHIM_NEVER_RAN;
    hardy_status status = load(c);
    if (status != HARDY_OK) {
        finish(c, status);
        return;
    }
    const struct record *r = &c->record;
    /* These need no lock: parameters do not change, nor does a finished record. */
    if (c->has_row && !str_eq(r->fingerprint, c->fingerprint)) {
        mismatch(c);
        return;
    }
    if (r->state == RECORD_DONE) {
        replay(c);
        return;
    }
    if (r->state == RECORD_FAILED && c->waited && r->fence >= c->awaited) {
        replay_failure(c);
        return;
    }
    if (c->lock_fd < 0) {
        if (take_lock(c)) {
            begin(c); /* it may have ended between the look and the lock */
        }
        return;
    }
    if (c->has_row && r->state == RECORD_STARTED) {
        status = look(c, &state, &result);
        if (status != HARDY_OK) {
            finish(c, status);
            return;
        }
    }
    if ((SEEDED_BUG(BUG_NO_LOCK) && state == SHIM_RUNNING) ||
        (SEEDED_BUG(BUG_NEVER_RAN) && state == SHIM_LOST) ||
        (SEEDED_BUG(BUG_NO_COLLECT) && state == SHIM_ENDED)) {
        state = SHIM_NEVER_RAN;
    }
    act(c, record_decide(r, c->fingerprint, worlds[state], c->spec->in_doubt), &result);
    shim_result_free(&result);
}

/* --- from the outside ----------------------------------------------------------------------------
 */

/* The argv as a JSON array: what is done, when the caller gives nothing else. */
static char *argv_json(const char *const *argv) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_ENCODED);
    json_out_init(&j, &text, 0);
    json_out_array(&j);
    for (; *argv; argv++) {
        json_out_string(&j, *argv);
    }
    json_out_array_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

static hardy_status prepare(struct command *c, const char *state, hardy_error *error) {
    const struct command_spec *s = c->spec;
    c->params = s->params ? str_dup(s->params) : argv_json(s->argv);
    if (!c->params) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to prepare %s", s->key);
    }
    hardy_status status = record_fingerprint(s->scope, s->name, c->params, c->fingerprint, error);
    return status == HARDY_OK ? step_place_find(state, s->row_kind, s->key, &c->place, error)
                              : status;
}

hardy_status command_start(struct loop *loop, struct store *store, const char *state,
                           const struct command_spec *spec, const struct command_events *events,
                           void *ctx, struct command **out, hardy_error *error) {
    struct command *c = calloc(1, sizeof *c);
    if (!c) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to start %s", spec->key);
    }
    c->loop = loop;
    c->store = store;
    c->spec = spec;
    c->events = events;
    c->ctx = ctx;
    c->lock_fd = c->step_fd = -1;
    c->retry_after = -1;
    c->attempt_deadline = HARDY_NEVER;
    hardy_error_init(&c->error, sizeof c->error);
    buf_init(&c->value, MAX_ENCODED);
    record_init(&c->record);
    loop_timer_init(&c->timer, on_timer, c);
    hardy_status status = prepare(c, state, error);
    if (status != HARDY_OK) {
        free_command(c);
        return status;
    }
    /* Callbacks never come from inside this call. */
    loop_timer_start(loop, &c->timer, loop_now(loop));
    *out = c;
    return HARDY_OK;
}

void command_cancel(struct command *c) {
    c->cancelled = true;
    if (c->drive) {
        drive_cancel(c->drive);
    } else if (c->probe) {
        probe_cancel(c->probe);
    } else if (!c->batch.busy) {
        fail(&c->error, HARDY_E_CANCELLED, NULL, "cancelled");
        finish(c, HARDY_E_CANCELLED);
    }
}

void command_leave(struct command *c) {
    c->left = true;
    loop_timer_stop(c->loop, &c->timer);
    if (c->drive) {
        drive_cancel(c->drive);
    } else {
        maybe_free(c);
    }
}
