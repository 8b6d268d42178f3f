/* SPDX-License-Identifier: Apache-2.0 */
/* What is written of a durable command, and its end. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "work/command_parts.h"
#include "work/secrets.h"
#include "work/step_program.h"
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ENCODED = 16 << 20 };

void command_free(struct command *c) {
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

void command_tell(struct command *c, enum command_event what, const char *detail) {
    if (c->events->event && !c->left) {
        c->events->event(c->ctx, what, &c->record, detail ? detail : "");
    }
}

void command_maybe_free(struct command *c) {
    if (c->left && !c->batch.busy && !c->driving) {
        command_free(c);
    }
}

/* Ends the command. The lock goes first, so that whoever waits for it finds the record settled. */
void command_finish(struct command *c, hardy_status status) {
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
    command_maybe_free(c);
}

void command_set_detail(struct command *c, const char *detail) {
    free(c->record.detail);
    c->record.detail = str_dup(detail);
}

/* One of hardy's own programs says in words why it failed, and by its code what that means. */
static enum ending read_program(struct command *c, enum ending ending) {
    struct record *r = &c->record;
    json_t *said = r->output ? json_loadb(r->output, r->output_len, 0, NULL) : NULL;
    const char *error = json_string_value(json_object_get(said, "error"));
    if (ending == ENDING_FAILED && error) {
        command_set_detail(c, error);
    }
    json_decref(said);
    return ending == ENDING_FAILED && step_program_ending(r->code) == STEP_UNKNOWN ? ENDING_UNKNOWN
                                                                                   : ending;
}

void command_mask(struct command *c) {
    struct record *r = &c->record;
    if (c->spec->secrets && r->output) {
        secrets_mask(c->spec->secrets, r->output, &r->output_len);
    }
    if (c->spec->secrets && r->detail) {
        size_t len = strlen(r->detail);
        secrets_mask(c->spec->secrets, r->detail, &len);
    }
}

enum ending command_take_result(struct command *c, struct shim_result *result) {
    enum ending ending = ending_of(result);
    ending_record(&c->record, result, c->spec->argv[0]);
    if (c->spec->program) {
        ending = read_program(c, ending);
    }
    command_mask(c);
    return ending;
}

/* --- files of runs -------------------------------------------------------------------------------
 */

hardy_status command_look(struct command *c, enum shim_state *state, struct shim_result *result) {
    char *base = step_place_run(&c->place, c->record.fence);
    hardy_status status =
        base ? shim_look(c->loop, base, c->record.boot, state, result, &c->error)
             : fail(&c->error, HARDY_E_NOMEM, NULL, "no memory to look at %s", c->spec->key);
    free(base);
    return status;
}

/* Files of a run that is settled, by whomever. */
void command_forget_run(struct command *c, int64_t fence) {
    char *base = step_place_run(&c->place, fence);
    if (base) {
        shim_forget(c->loop, base);
    }
    free(base);
}

void command_forget(struct loop *loop, const char *state, const struct record *r) {
    struct step_place place;
    if (step_place_name(state, r->row_kind, r->key, &place, NULL) == HARDY_OK) {
        char *base = step_place_run(&place, r->fence);
        if (base) {
            shim_forget(loop, base);
        }
        free(base);
        step_place_free(&place);
    }
}

/* --- writing the record ------------------------------------------------------------------------
 */

static void on_written(struct batch *b, hardy_status status) {
    struct command *c = b->ctx;
    c->then(c, status);
}

/* Encodes the record as it is kept: of a long output its beginning, cut between characters. */
static void encode(const struct command *c, int64_t before, struct buf *value,
                   struct store_op *op) {
    const struct record *r = &c->record;
    struct record kept = *r;
    if (kept.output_len > COMMAND_KEPT) {
        kept.output_len = COMMAND_KEPT;
        kept.truncated = true;
        for (int i = 0; i < 3 && ((unsigned char)r->output[kept.output_len] & 0xc0) == 0x80; i++) {
            kept.output_len--;
        }
    }
    record_put_output(c->store, &kept);
    record_op(&kept, before, value, op);
    if (SEEDED_BUG(BUG_RECORD_AFTER)) {
        op->kind = STORE_PUT;
    }
}

void command_write(struct command *c, int64_t before, bool with_start,
                   void (*then)(struct command *, hardy_status)) {
    const struct command_spec *s = c->spec;
    size_t with = with_start ? s->with_start_count : 0;
    size_t extra = with + (s->require ? 1 : 0);
    struct store_op *ops = calloc(extra + 1, sizeof *ops);
    buf_reset(&c->value);
    c->then = then;
    if (ops) {
        encode(c, before, &c->value, &ops[extra]);
    }
    if (!ops || c->value.failed) {
        batch_refuse(&c->batch, c->loop, HARDY_E_NOMEM, "no memory for a record", on_written, c);
    } else {
        for (size_t i = 0; i < with; i++) {
            ops[i] = s->with_start[i];
        }
        if (s->require) { /* behind what may make the row that it wants */
            ops[with] = *s->require;
        }
        size_t count = SEEDED_BUG(BUG_RECORD_AFTER) && with_start ? extra : extra + 1;
        batch_submit(&c->batch, c->loop, c->store, ops, count, on_written, c);
    }
    free(ops);
}

static void after_settled(struct command *c, hardy_status status) {
    if (status != HARDY_OK) {
        c->error = c->batch.error;
        command_finish(c, status);
        return;
    }
    command_forget_run(c, c->record.fence);
    command_finish(c, c->verdict);
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
    encode(c, r->fence, &u->value, &u->op);
    u->op.row_kind = u->row_kind;
    u->op.key = u->key;
    if (u->row_kind && u->key && u->base && !u->value.failed) {
        return true;
    }
    command_unwritten_done(c->loop, u, false);
    return false;
}

/* Records how it ended, then tells. */
void command_settle(struct command *c, enum record_state state, hardy_status verdict) {
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
        command_finish(c, HARDY_OK);
    } else {
        command_write(c, r->fence, false, after_settled);
    }
}

/* The command could not be executed, so it has had no effect: a key that was never used for
 * anything is free again. */
void command_settle_not_started(struct command *c) {
    struct record *r = &c->record;
    fail(&c->error, HARDY_E_FAILED, NULL, "%s", r->detail ? r->detail : "could not be started");
    if (!c->spec->rerun_failed || r->attempt > 1) {
        command_settle(c, RECORD_FAILED, HARDY_E_FAILED);
        return;
    }
    struct store_op ops[2] = {
        {.kind = STORE_DELETE, .row_kind = r->row_kind, .key = r->key, .if_fence = r->fence}};
    size_t count = 1;
    if (c->spec->require) {
        ops[count++] = *c->spec->require;
    }
    c->verdict = HARDY_E_FAILED;
    c->then = after_settled;
    batch_submit(&c->batch, c->loop, c->store, ops, count, on_written, c);
}

/* A run of which nobody knows what it has done: the policy decides, as after a crash. `verdict` is
 * the guard's. */
void command_settle_unknown(struct command *c, hardy_status verdict) {
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
        command_settle(c, RECORD_FAILED, verdict);
        return;
    case IN_DOUBT_ASK:
    case IN_DOUBT_PROBE:
        break;
    }
    c->record.ended = 0;
    fail(&c->error, HARDY_E_IN_DOUBT, NULL, "%s is in doubt: attempt %u was started and %s",
         r->name, r->attempt, why);
    command_settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
}

/* It is known not to be done, and is not to be begun now. */
void command_leave_undone(struct command *c) {
    struct record *r = &c->record;
    fail(&c->error, HARDY_E_CANCELLED, NULL, "%s is not done, and not begun again", r->name);
    if (r->state == RECORD_PENDING || r->state == RECORD_FAILED) {
        command_finish(c, HARDY_E_CANCELLED);
        return;
    }
    r->ended = 0;
    command_set_detail(c, "not done, and not begun again");
    command_settle(c, RECORD_PENDING, HARDY_E_CANCELLED);
}

void command_ask(struct command *c) {
    bool lost = c->record.state != RECORD_IN_DOUBT;
    if (lost && c->record.ended == 0) {
        ending_record_lost(&c->record);
    }
    c->record.ended = 0;
    fail(&c->error, HARDY_E_IN_DOUBT, NULL, "%s is in doubt: attempt %u was started and %s",
         c->record.name, c->record.attempt,
         c->record.detail ? c->record.detail : "nobody knows how it ended");
    if (lost) {
        command_settle(c, RECORD_IN_DOUBT, HARDY_E_IN_DOUBT);
    } else {
        command_finish(c, HARDY_E_IN_DOUBT);
    }
}
