/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guarded operation. From the outside in: total deadline, retry with its budget, breaker, rate,
 * slots, attempt. A phase is what the operation waits for; whatever is known without waiting is
 * passed through in one call of hardy_op_next().
 *
 * What is taken on the way in (rate slot, concurrency slot, budget token) is given back on every
 * way out that did not use it, in one place: op_conclude().
 */
#include "base/prng.h"
#include "guard/op_state.h"
#include <string.h>

/* A far side that asks one caller to stay away for long may mean only that one: the others are held
 * back for a while, and told again if need be. */
#define LONGEST_HOLD HARDY_MINUTE
/* The words of the breaker count milliseconds: looking again earlier shows the same. */
#define BREAKER_GRAIN HARDY_MILLISECOND

static uint64_t name_operation(hardy_guard *guard, const hardy_context *context) {
    return context->operation != 0 ? context->operation : guard_draw_seed(guard);
}

hardy_status op_begin(hardy_op *storage, hardy_guard *guard, struct edition_hold hold,
                      hardy_wake wake, const hardy_op_options *options, int64_t now) {
    const hardy_guard_config *c = &hold.edition->config;
    struct op *op = op_of(storage);
    if (c->bulkhead != NULL && wake.fn == NULL) {
        return HARDY_E_INVALID;
    }
    if (c->hedge != NULL && !options->hedges) {
        return HARDY_E_UNSUPPORTED;
    }
    /* Field by field: clearing all of it would cost more than the rest. What is missing here is
     * set before it is looked at. */
    op->guard = guard;
    op->edition = hold.edition;
    op->shard = hold.shard;
    op->context = options->context;
    op->operation = options->context == NULL ? 0 : name_operation(guard, options->context);
    op->wake = wake;
    word_init(&op->cancelled, 0);
    op->deadline = op->start_before = least(options->deadline, time_add(now, c->deadline));
    op->seen = now;
    op->waited = op->previous = 0;
    op->retry_after = -1;
    op->seed = options->seed;
    op->owed.kind = 0;
    op->hedge_at = HARDY_NEVER;
    op->last = (hardy_outcome){.kind = HARDY_IGNORED};
    op->attempt = op->looks = 0;
    op->weight = options->weight;
    op->priority = op_priority(c, options);
    op->phase = PHASE_ADMIT;
    op->status = HARDY_OK;
    op->reason = HARDY_REASON_NONE;
    op->repeatable = options->repeatable || (c->retry != NULL && c->retry->repeatable);
    op->committed = op->latest = 0;
    op->at_once = c->hedge != NULL ? OP_AT_ONCE : 1;
    op->attempts[0].running = op->attempts[1].running = false;
    op->until_content = options->deadline_until_content;
    op->content_at_end = options->content_at_end;
    op->reserved = op->queued = op->slot = false;
    op->tokens = 0;
    op->timed_out = op->told = op->unstarted = false;
    return HARDY_OK;
}

hardy_status hardy_op_begin(hardy_op *storage, size_t size, hardy_guard *guard,
                            const hardy_op_options *options, int64_t now) {
    hardy_op_options given;
    if (size < sizeof(struct op)) {
        return HARDY_E_INVALID;
    }
    hardy_op_options_init(&given, sizeof given);
    if (options != NULL) {
        if (options->size < sizeof options->size || options->size > sizeof given) {
            return HARDY_E_INVALID;
        }
        memcpy(&given, options, options->size);
    }
    struct edition_hold hold = edition_enter(&guard->editions);
    hardy_status status = op_begin(storage, guard, hold, given.wake, &given, now);
    if (status != HARDY_OK) {
        edition_cancel(hold.shard);
    }
    return status;
}

/* --- ending ------------------------------------------------------------------------------- */

/* Gives back what was taken for an attempt that does not start now. */
void op_give_back(struct op *op) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    if (op->queued) {
        bulkhead_leave(&g->bulkhead, &op->waiter);
        op->queued = false;
    }
    if (op->slot) {
        bulkhead_release(&g->bulkhead);
        op->slot = false;
    }
    if (op->reserved) {
        gcra_return(e->words.rate, &e->gcra, op->weight, op->mark);
        op->reserved = false;
    }
}

void op_conclude(struct op *op, hardy_status status, hardy_reason reason, int64_t retry_after,
                 int64_t now) {
    const struct edition *e = op->edition;
    if (op->reserved | op->queued | op->slot) {
        op_give_back(op);
    }
    if (op->tokens > 0) {
        budget_refund(e->words.budget, e->config.budget, op->tokens, now);
        op->tokens = 0;
    }
    op->phase = PHASE_OVER;
    op->status = status;
    op->reason = reason;
    op->retry_after = retry_after;
}

static void settle_owed(struct op *op, hardy_outcome_class kind, int64_t now) {
    if (op->owed.kind != 0) {
        guard_record(op->guard, op->edition, &op->owed, kind, now);
        op->owed.kind = 0;
    }
}

/* Has had no attempt yet, or had none in all. */
static void count_unstarted(struct op *op) {
    if (op->attempt == 0 && !op->unstarted) {
        op->unstarted = true;
        word_count(&op->shard->unstarted);
    }
}

static void tell_result(struct op *op, int64_t now, hardy_step *step) {
    op->told = true;
    /* Attempts failed and no other followed: whatever kept it from following, it was a failure. */
    settle_owed(op, HARDY_FAILURE, now);
    count_unstarted(op);
    if (op->attempt > 0 && op->status != HARDY_OK) {
        ring_put(&op->guard->ring, &(hardy_event){.kind = HARDY_EVENT_GIVE_UP,
                                                  .at = now,
                                                  .attempt = op->attempt,
                                                  .code = op->last.code,
                                                  .reason = (int)op->reason});
    }
    step->kind = HARDY_STEP_RESULT;
    step->reason = op->reason;
    step->attempt = op->attempt;
    step->status = op->status;
    step->outcome = op->last;
    step->retry_after = op->retry_after;
}

/* --- admission ---------------------------------------------------------------------------- */

/* How long from now, as it is told: -1 for never. */
static int64_t from_now(int64_t at, int64_t now) {
    return at == HARDY_NEVER ? -1 : at > now ? at - now : 0;
}

/* The breaker refused: wait for it where that is asked for and can be of use. */
static void meet_open(struct op *op, int64_t retry_at, int64_t now) {
    const struct edition *e = op->edition;
    op_give_back(op);
    if (!e->config.wait_when_open || retry_at >= op->start_before) {
        op_conclude(op, HARDY_E_OPEN, HARDY_REASON_BREAKER, from_now(retry_at, now), now);
        return;
    }
    op->phase = PHASE_OPEN;
    op->until = retry_at > now ? retry_at : time_add(now, BREAKER_GRAIN);
}

/* The same after a mere look, which the breaker has not counted. */
void op_look_at_open(struct op *op, int64_t retry_at, int64_t now) {
    const struct edition *e = op->edition;
    struct breaker_change change = guard_settle(e, now);
    guard_note_change(op->guard, &change, now);
    meet_open(op, retry_at, now);
    if (op->phase == PHASE_OVER) {
        breaker_count_rejected(e->words.breaker);
    }
}

/* For a rate slot that may be there at `at`. All who wait were told the same time and one of them
 * will have it: the longer one waits, the wider its looks are spread. */
static void look_later(struct op *op, int64_t at) {
    if (op->seed == 0) {
        op->seed = guard_draw_seed(op->guard);
    }
    int64_t spread = time_scale(op->edition->gcra.interval, op->looks++);
    op->phase = PHASE_LOW;
    op->until = prng_range(prng_mix(op->seed ^ op->looks), at, time_add(at, spread));
}

static void admit(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    const hardy_guard_config *c = &e->config;
    int64_t at = now, retry_at = now;
    if (c->rate == NULL && c->bulkhead == NULL && !c->wait_when_open) {
        op->phase = PHASE_START; /* nothing lies between a look at the breaker and its permit */
        return;
    }
    if (c->breaker != NULL && !breaker_peek(e->words.breaker, c->breaker, now, &retry_at)) {
        op_look_at_open(op, retry_at, now);
        return;
    }
    if (e->config.rate != NULL) {
        int64_t latest = e->config.rate->reject            ? now
                         : op->start_before == HARDY_NEVER ? HARDY_NEVER
                                                           : op->start_before - 1;
        hardy_status status = gcra_reserve(e->words.rate, &e->gcra, op->weight, op->priority, now,
                                           latest, &at, &op->mark);
        if (status == HARDY_E_LIMITED && at <= latest) {
            look_later(op, at);
            return;
        }
        if (status != HARDY_OK) {
            word_count(&g->rejected_rate);
            op_conclude(op, status, HARDY_REASON_RATE, from_now(at, now), now);
            return;
        }
        op->reserved = true;
        op->looks = 0;
    }
    op->phase = PHASE_RATE;
    op->until = at;
}

static void ask_slot(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    op->phase = PHASE_START;
    if (e->config.bulkhead == NULL) {
        return;
    }
    op->waiter = (struct bulkhead_waiter){.wake = op->wake.fn, .ctx = op->wake.ctx};
    switch (bulkhead_acquire(&g->bulkhead, &op->waiter)) {
    case BULKHEAD_GRANTED:
        op->slot = true;
        return;
    case BULKHEAD_QUEUED:
        op->queued = true;
        op->phase = PHASE_SLOT;
        return;
    case BULKHEAD_FULL:
        word_count(&g->rejected_slots);
        op_conclude(op, HARDY_E_FULL, HARDY_REASON_SLOTS, -1, now);
        return;
    }
}

/* The breaker's permit is taken last, so that no wait makes it stale. False: refused. */
static bool start(struct op *op, int64_t now) {
    const hardy_guard_config *c = &op->edition->config;
    struct attempt *a = &op->attempts[0];
    int64_t end = least(time_add(now, c->timeout), op->deadline), retry_at = now;
    if (!guard_take_permit(op->guard, op->edition, end, &a->permit, &retry_at, now)) {
        meet_open(op, retry_at, now);
        return false;
    }
    settle_owed(op, HARDY_IGNORED, now);
    if (op->attempt > 0) {
        op->waited = time_add(op->waited, now - op->ended);
    }
    op->phase = PHASE_RUNNING;
    op->committed = 0;
    op->hedge_at =
        c->hedge != NULL && op->repeatable ? time_add(now, c->hedge->after) : HARDY_NEVER;
    op_launch(op, a, end, now);
    if (op->unstarted) {
        op->unstarted = false;
        word_add(&op->shard->unstarted, -UINT64_C(1));
    }
    if (op->attempt == 1 && c->budget != NULL) {
        budget_deposit(op->edition->words.budget, c->budget, now);
    }
    return true;
}

void op_adopt(hardy_op *storage, const hardy_permit *permit, int64_t end, int64_t now) {
    struct op *op = op_of(storage);
    op->attempts[0].permit = *permit;
    op->phase = PHASE_RUNNING;
    op->slot = op->edition->config.bulkhead != NULL;
    op_launch(op, &op->attempts[0], end, now);
}

void op_refuse(hardy_op *storage, int64_t retry_at, int64_t now) {
    meet_open(op_of(storage), retry_at, now);
}

/* --- the machine -------------------------------------------------------------------------- */

/* What ends an operation from outside its own course. */
static void check_limits(struct op *op, int64_t now) {
    hardy_reason where = op->phase == PHASE_SLOT   ? HARDY_REASON_SLOTS
                         : op->phase == PHASE_OPEN ? HARDY_REASON_BREAKER
                         : op->phase == PHASE_LOW  ? HARDY_REASON_RATE
                                                   : HARDY_REASON_DEADLINE;
    if (word_load(&op->cancelled) != 0) {
        op_conclude(op, HARDY_E_CANCELLED, HARDY_REASON_CANCELLED, -1, now);
    } else if (now >= op->deadline) {
        op_conclude(op, HARDY_E_DEADLINE, where, -1, now);
    } else if (now >= op->start_before && op->phase != PHASE_RUNNING) {
        op_conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_TOTAL_WAIT, -1, now);
    }
    if (op->phase == PHASE_OVER && op_is_running(op)) {
        /* Its own report will say how it ended; until then nobody knows. */
        op->last = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    }
}

static void wait_until(struct op *op, int64_t until, hardy_reason reason, hardy_step *step) {
    count_unstarted(op);
    step->kind = HARDY_STEP_WAIT;
    step->reason = reason;
    step->attempt = op->attempt;
    step->until = until;
}

static void call(const struct op *op, hardy_step *step) {
    step->kind = HARDY_STEP_CALL;
    step->attempt = op->attempt;
    step->deadline = op->attempts[op->latest].end;
}

static void stop(struct attempt *a, hardy_reason reason, hardy_step *step) {
    a->stopped = true;
    step->kind = HARDY_STEP_STOP;
    step->reason = reason;
    step->attempt = a->number;
    step->deadline = a->end;
}

/* Whether it is to be stopped now; if not, *until is no later than when it will be. */
static bool watch_attempt(struct op *op, struct attempt *a, int64_t now, int64_t *until,
                          hardy_step *step) {
    if (!a->running || a->stopped) {
        return false;
    }
    if (op->committed != 0 && op->committed != a->number) {
        a->lost = true;
        stop(a, HARDY_REASON_HEDGE, step);
        return true;
    }
    int64_t end = least(a->end, least(a->content_end, a->idle_end));
    if (now >= end) {
        a->timed_out = true;
        op->hedge_at = HARDY_NEVER;
        word_count(&op->guard->timeouts);
        stop(a, HARDY_REASON_TIMEOUT, step);
        return true;
    }
    *until = least(*until, end);
    return false;
}

static void watch(struct op *op, int64_t now, hardy_step *step) {
    int64_t until = op->deadline;
    for (uint32_t i = 0; i < op->at_once; i++) {
        if (watch_attempt(op, &op->attempts[i], now, &until, step)) {
            return;
        }
    }
    if (now >= op->hedge_at && op_hedge(op, now)) {
        call(op, step);
        return;
    }
    wait_until(op, least(until, op->hedge_at), HARDY_REASON_RUNNING, step);
}

static void finish(struct op *op, int64_t now, hardy_step *step) {
    for (uint32_t i = 0; i < op->at_once; i++) {
        struct attempt *a = &op->attempts[i];
        if (a->running && !a->stopped) {
            a->lost = op->status == HARDY_OK;
            stop(a, a->lost ? HARDY_REASON_HEDGE : op->reason, step);
            return;
        }
    }
    if (!op->told) {
        tell_result(op, now, step);
    } else if (op_is_running(op)) {
        wait_until(op, HARDY_NEVER, HARDY_REASON_RUNNING, step);
    } else {
        step->kind = HARDY_STEP_DONE;
        step->attempt = op->attempt;
    }
}

void op_next(hardy_op *storage, int64_t now, hardy_step *step) {
    struct op *op = op_of(storage);
    op->seen = now;
    if (op->phase != PHASE_OVER) {
        check_limits(op, now);
    }
    for (;;) {
        switch (op->phase) {
        case PHASE_ADMIT:
            admit(op, now);
            break;
        case PHASE_OPEN:
            if (now < op->until) {
                wait_until(op, op->until, HARDY_REASON_BREAKER, step);
                return;
            }
            op->phase = PHASE_ADMIT;
            break;
        case PHASE_LOW:
            if (now < op->until) {
                wait_until(op, least(op->until, op->start_before), HARDY_REASON_RATE, step);
                return;
            }
            op->phase = PHASE_ADMIT;
            break;
        case PHASE_RATE:
            if (now < op->until) {
                wait_until(op, op->until, HARDY_REASON_RATE, step);
                return;
            }
            ask_slot(op, now);
            break;
        case PHASE_SLOT:
            if (!bulkhead_granted(&op->waiter)) {
                wait_until(op, op->start_before, HARDY_REASON_SLOTS, step);
                return;
            }
            op->queued = false;
            op->slot = true;
            op->phase = PHASE_START;
            break;
        case PHASE_START:
            if (start(op, now)) {
                call(op, step);
                return;
            }
            break;
        case PHASE_RUNNING:
            watch(op, now, step);
            return;
        case PHASE_BACKOFF:
            if (now < op->until) {
                wait_until(op, op->until, HARDY_REASON_BACKOFF, step);
                return;
            }
            op->phase = PHASE_ADMIT;
            break;
        case PHASE_OVER:
            finish(op, now, step);
            return;
        }
    }
}

bool op_take_result(hardy_op *storage, int64_t now, hardy_step *step) {
    struct op *op = op_of(storage);
    if (op->phase != PHASE_OVER || op->told || op_is_running(op)) {
        return false;
    }
    tell_result(op, now, step);
    return true;
}

hardy_step hardy_op_next(hardy_op *op, int64_t now) {
    hardy_step step = {.retry_after = -1};
    op_next(op, now, &step);
    return step;
}

/* --- what an attempt is told, and what it tells ------------------------------------------------
 */

/* Of the operation's number and the attempt's: no other attempt has this one. */
static void name_span(const struct op *op, const struct attempt *a, uint8_t span_id[8]) {
    uint64_t id = prng_mix(op->operation ^ prng_mix(a->number));
    id = id != 0 ? id : 1;
    memcpy(span_id, &id, sizeof id);
}

static void describe(const struct op *op, const struct attempt *a, hardy_call *call) {
    *call = (hardy_call){
        .size = sizeof *call, .attempt = a->number, .deadline = a->end, .operation = op->operation};
    if (op->context != NULL) {
        call->idempotency_key = op->context->idempotency_key;
        call->trace = op->context->trace;
        name_span(op, a, call->trace.span_id);
    }
}

void hardy_op_describe_call(const hardy_op *storage, hardy_call *call) {
    const struct op *op = (const struct op *)storage;
    describe(op, &op->attempts[op->latest], call);
}

/* NULL: no such attempt runs. */
static struct attempt *running_attempt(struct op *op, uint32_t number) {
    for (uint32_t i = 0; i < op->at_once; i++) {
        if (op->attempts[i].running && op->attempts[i].number == number) {
            return &op->attempts[i];
        }
    }
    return NULL;
}

static void on_content(struct op *op, struct attempt *a, int64_t now) {
    const struct edition *e = op->edition;
    op->committed = a->number;
    op->hedge_at = HARDY_NEVER;
    a->content_end = HARDY_NEVER;
    /* The far side works: callers that are parked need not wait for a stream's end to hear it. */
    if (a->permit.kind == PERMIT_TRIAL) {
        guard_record(op->guard, op->edition, &a->permit, HARDY_SUCCESS, now);
        a->permit.kind = 0;
    }
    if (a->permit.kind != 0) {
        breaker_progress(e->words.breaker, e->config.breaker, &a->permit, now);
    }
    if (op->until_content) {
        op->deadline = op->start_before = HARDY_NEVER;
        a->end = time_add(a->called, e->config.timeout);
    }
}

void hardy_op_report_progress(hardy_op *storage, uint32_t attempt, hardy_progress what,
                              int64_t now) {
    struct op *op = op_of(storage);
    struct attempt *a = running_attempt(op, attempt);
    if (a == NULL || what == HARDY_CONNECTED || (op->committed != 0 && op->committed != attempt)) {
        return;
    }
    if (what == HARDY_FIRST_CONTENT) {
        on_content(op, a, now);
    }
    a->idle_end = time_add(now, op->edition->config.timeout_idle);
}

static bool has_succeeded(const hardy_outcome *o) {
    return o->kind == HARDY_SUCCESS || o->kind == HARDY_SLOW;
}

/* Where it adapts: what was throttled or timed out was too much. Other failures say nothing of how
 * many at once, nor does an attempt that was stopped because another was faster. */
static void release_slot(struct op *op, struct attempt *a, const hardy_outcome *o) {
    struct bulkhead *b = &op->guard->bulkhead;
    if (!a->lost && (a->timed_out || o->kind == HARDY_THROTTLED || has_succeeded(o))) {
        bulkhead_learn(b, a->load, a->timed_out || o->kind == HARDY_THROTTLED);
    }
    bulkhead_release(b);
    a->slot = false;
}

/* What the breaker learns. */
static void settle_permit(struct op *op, struct attempt *a, const hardy_outcome *o, int64_t now) {
    const struct edition *e = op->edition;
    bool for_another_reason =
        a->lost || (op->phase == PHASE_OVER && op->status == HARDY_E_CANCELLED);
    bool late = a->timed_out || (a->stopped && !for_another_reason);
    hardy_outcome_class kind = has_succeeded(o) && late                         ? HARDY_SLOW
                               : o->kind == HARDY_FAILURE && for_another_reason ? HARDY_IGNORED
                                                                                : o->kind;
    /* A trial always counts by itself. */
    if (kind == HARDY_FAILURE && a->permit.kind != PERMIT_TRIAL &&
        !e->config.breaker->counts_attempts) {
        breaker_progress(e->words.breaker, e->config.breaker, &a->permit, now);
        if (op_is_running(op)) {
            guard_record(op->guard, op->edition, &a->permit, HARDY_IGNORED,
                         now); /* another one follows already */
        } else {
            op->owed = a->permit;
        }
    } else {
        guard_record(op->guard, op->edition, &a->permit, kind, now);
    }
    a->permit.kind = 0;
}

void hardy_op_report(hardy_op *storage, uint32_t attempt, const hardy_outcome *reported,
                     int64_t now) {
    struct op *op = op_of(storage);
    const struct edition *e = op->edition;
    struct attempt *a = running_attempt(op, attempt);
    hardy_outcome o = *reported;
    if (a == NULL) {
        return;
    }
    a->running = false;
    op->seen = now;
    if (e->config.classify != NULL) {
        hardy_call call;
        describe(op, a, &call);
        e->config.classify(e->config.classify_ctx, &call, &o);
    }
    /* A guard inside that had this attempt's end for its deadline was stopped by this one. */
    bool cut = o.status == HARDY_E_DEADLINE && now >= a->end;
    if (cut) {
        o = hardy_outcome_of_timeout(true);
    }
    if ((cut || now > a->end) && !a->stopped) {
        a->timed_out = true;
        word_count(&op->guard->timeouts);
    }
    if (a->slot) {
        release_slot(op, a, &o);
    }
    if (o.kind == HARDY_THROTTLED && o.retry_after > 0 && e->config.rate != NULL) {
        gcra_hold(e->words.rate, &e->gcra, op->priority,
                  time_add(now, least(o.retry_after, LONGEST_HOLD)));
    }
    if (a->permit.kind != 0) {
        settle_permit(op, a, &o, now);
    }
    bool won = op->phase == PHASE_OVER && op->status == HARDY_OK; /* another one has */
    if (!a->lost && !won) {
        op->last = o;
        op->timed_out = a->timed_out;
    }
    if (op->phase == PHASE_OVER) {
        if (!op->told && !won && has_succeeded(&o)) {
            op_conclude(op, HARDY_OK, HARDY_REASON_NONE, -1, now);
        } else if (op->told) {
            settle_owed(op, HARDY_FAILURE, now);
        }
    } else if (!a->lost && has_succeeded(&o)) {
        op_conclude(op, HARDY_OK, HARDY_REASON_NONE, -1, now);
    } else if (!op_is_running(op) || (!a->lost && (o.kind == HARDY_IGNORED || o.permanent))) {
        op_consider_retry(op, now);
    } else {
        op->hedge_at = HARDY_NEVER;
    }
}

void hardy_op_cancel(hardy_op *storage) {
    struct op *op = op_of(storage);
    hardy_wake wake = op->wake;
    word_store(&op->cancelled, 1);
    if (wake.fn != NULL) {
        wake.fn(wake.ctx);
    }
}

void hardy_op_end(hardy_op *storage) {
    struct op *op = op_of(storage);
    if (op->guard == NULL) {
        return;
    }
    /* An attempt that nobody will report any more has taught nothing. */
    for (uint32_t i = 0; i < op->at_once; i++) {
        struct attempt *a = &op->attempts[i];
        if (a->running && a->permit.kind != 0) {
            guard_record(op->guard, op->edition, &a->permit, HARDY_IGNORED, op->seen);
        }
        if (a->running && a->slot) {
            bulkhead_release(&op->guard->bulkhead);
        }
        a->running = false;
    }
    if (op->phase != PHASE_OVER) {
        op_conclude(op, op->status, op->reason, -1, op->seen);
    }
    settle_owed(op, HARDY_FAILURE, op->seen);
    count_unstarted(op);
    edition_leave(op->shard);
    op->guard = NULL;
}
