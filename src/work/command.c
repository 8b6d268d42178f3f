/* SPDX-License-Identifier: Apache-2.0 */
/* A durable command: what is known of it, what is there, what next. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "guard/guard.h"
#include "io/file.h"
#include "work/command_parts.h"
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ENCODED = 16 << 20,
};
static const int64_t poll_min = 5 * HARDY_MILLISECOND, poll_max = 100 * HARDY_MILLISECOND;

static void begin(struct command *c);

/* --- waiting for another process -------------------------------------------------------------- */

static void note_waiting(struct command *c) {
    const struct record *r = &c->record;
    if (!c->waited) {
        c->waited = true;
        c->awaited = c->has_row && r->state == RECORD_STARTED ? r->fence : r->fence + 1;
        command_tell(c, COMMAND_ATTACHED, NULL);
    }
}

static void refuse_running(struct command *c) {
    fail(&c->error, HARDY_E_RUNNING, NULL, "%s is running elsewhere under the key %s",
         c->spec->name, c->spec->key);
    command_finish(c, HARDY_E_RUNNING);
}

static void give_up_waiting(struct command *c) {
    fail(&c->error, HARDY_E_DEADLINE, NULL, "%s still runs elsewhere", c->spec->name);
    command_finish(c, HARDY_E_DEADLINE);
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
        command_finish(c, status);
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

/* --- beginning: what is known, what is there, what next --------------------------------------- */

/* It failed while nobody watched: whether whoever started it would have tried again. */
static bool retries_left(const struct command *c, enum ending ending) {
    const struct command_spec *s = c->spec;
    const hardy_guard_config *config = s->guard ? guard_config(s->guard) : NULL;
    return ending == ENDING_FAILED && config && config->retry &&
           c->record.attempt <= config->retry->max_retries &&
           command_passes(s, ending_code(&c->record));
}

/* It was found in doubt. */
static void on_probed_first(void *ctx, enum probe_answer answer, const struct buf *output,
                            const char *detail) {
    struct command *c = ctx;
    c->probe = NULL;
    command_tell(c, COMMAND_PROBED, detail);
    switch (record_after_probe(answer)) {
    case NEXT_COLLECT:
        command_take_probed(c, output);
        command_settle(c, RECORD_DONE, HARDY_OK);
        break;
    case NEXT_RUN:
        command_attempt(c);
        break;
    default:
        command_ask(c);
        break;
    }
}

/* A result that nobody has recorded yet. */
static void collect(struct command *c, struct shim_result *result) {
    enum ending ending = command_take_result(c, result);
    command_tell(c, COMMAND_COLLECTED, c->record.detail);
    switch (ending) {
    case ENDING_DONE:
        command_settle(c, RECORD_DONE, HARDY_OK);
        break;
    case ENDING_UNKNOWN:
        if (c->spec->in_doubt == IN_DOUBT_PROBE) {
            command_probe(c, on_probed_first);
        } else if (c->spec->in_doubt == IN_DOUBT_RERUN) {
            command_attempt(c);
        } else {
            command_settle_unknown(c, HARDY_E_FAILED);
        }
        break;
    case ENDING_FAILED:
    case ENDING_NOT_STARTED:
    case ENDING_NONE:
        if ((c->spec->rerun_failed && !c->waited) || retries_left(c, ending)) {
            command_attempt(c);
        } else {
            fail(&c->error, HARDY_E_FAILED, NULL, "%s", c->record.detail);
            command_settle(c, RECORD_FAILED, HARDY_E_FAILED);
        }
        break;
    }
}

static void replay(struct command *c) {
    command_forget_run(c, c->record.fence); /* killed between the record and this */
    c->replayed = true;
    command_tell(c, COMMAND_REPLAYED, NULL);
    command_finish(c, HARDY_OK);
}

static void replay_failure(struct command *c) {
    c->replayed = true;
    fail(&c->error, HARDY_E_FAILED, NULL, "%s", c->record.detail ? c->record.detail : "failed");
    command_finish(c, HARDY_E_FAILED);
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
    r->params = record_params(c->params);
    r->idempotency_key =
        s->idempotency_key ? str_dup(s->idempotency_key) : str_ndup(c->fingerprint, 32);
    str_copy(r->fingerprint, sizeof r->fingerprint, c->fingerprint);
    str_copy(r->inputs, sizeof r->inputs, s->inputs ? s->inputs : "");
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

static void mismatch(struct command *c) {
    command_finish(c, record_mismatch(&c->record, c->params, &c->error));
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
        command_finish(c, status);
    }
    return false;
}

static void act(struct command *c, enum record_next next, struct shim_result *result) {
    switch (next) {
    case NEXT_RUN:
        if (c->record.state == RECORD_FAILED && !c->spec->rerun_failed) {
            replay_failure(c);
        } else {
            command_attempt(c);
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
        command_probe(c, on_probed_first);
        break;
    case NEXT_ASK:
        command_ask(c);
        break;
    case NEXT_FAIL:
        if (c->record.state == RECORD_STARTED) {
            ending_record_lost(&c->record);
        }
        command_settle_unknown(c, HARDY_E_FAILED);
        break;
    case NEXT_MISMATCH:
        mismatch(c);
        break;
    }
}

static bool lease_runs(const struct command *c) {
    char boot[37];
    file_boot_id(boot);
    return moment_left(&c->record.lease, boot, loop_now(c->loop), loop_wall(c->loop)) > 0;
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
        command_finish(c, status);
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
    /* Somebody else's program is at it; there is nothing of ours to look at. */
    bool leased = c->has_row && r->state == RECORD_STARTED && moment_is_set(&r->lease);
    if (leased && lease_runs(c)) {
        wait_for_other(c);
        return;
    }
    if (c->lock_fd < 0 && !c->spec->require) {
        if (take_lock(c)) {
            begin(c); /* it may have ended between the look and the lock */
        }
        return;
    }
    if (leased) {
        state = SHIM_LOST;
    } else if (c->has_row && r->state == RECORD_STARTED) {
        status = command_look(c, &state, &result);
        if (status != HARDY_OK) {
            command_finish(c, status);
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

/* --- from the outside ------------------------------------------------------------------------- */

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
        command_free(c);
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
    } else if (c->attached) {
        shim_cancel(c->attached); /* its end is collected */
    } else if (c->probe) {
        probe_cancel(c->probe);
    } else if (!c->batch.busy) {
        fail(&c->error, HARDY_E_CANCELLED, NULL, "cancelled");
        command_finish(c, HARDY_E_CANCELLED);
    }
}

void command_leave(struct command *c) {
    c->left = true;
    loop_timer_stop(c->loop, &c->timer);
    if (c->drive) {
        drive_cancel(c->drive);
    } else {
        command_maybe_free(c);
    }
}
