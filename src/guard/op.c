/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guarded operation. From the outside in: total deadline, retry with its budget, breaker, rate,
 * slots, attempt. A phase is what the operation waits for; whatever is known without waiting is
 * passed through in one call of hardy_op_next().
 *
 * What is taken on the way in (rate slot, concurrency slot, budget token) is given back on every
 * way out that did not use it, in one place: conclude().
 */
#include "guard/op.h"
#include "base/clock.h"
#include "base/prng.h"
#include "guard/state.h"
#include "policy/backoff.h"
#include <string.h>

/* A trial's lease outlasts the attempt's own time-out, so that its driver can report it. */
#define LEASE_SLACK HARDY_SECOND
/* A far side that asks one caller to stay away for long may mean only that one: the others are held
 * back for a while, and told again if need be. */
#define LONGEST_HOLD HARDY_MINUTE
/* The words of the breaker count milliseconds: looking again earlier shows the same. */
#define BREAKER_GRAIN HARDY_MILLISECOND

enum phase {
    PHASE_ADMIT,   /* asks the breaker, then for a rate slot */
    PHASE_OPEN,    /* waits for the breaker */
    PHASE_LOW,     /* looks for a rate slot again: low priority reserves none ahead */
    PHASE_RATE,    /* has a rate slot, which may lie ahead */
    PHASE_SLOT,    /* in the queue for a concurrency slot */
    PHASE_START,   /* has everything but the breaker's permit */
    PHASE_RUNNING, /* an attempt runs */
    PHASE_BACKOFF,
    PHASE_OVER /* the verdict is known; an attempt may still run */
};

struct op {
    hardy_guard *guard;
    const struct edition *edition; /* the settings it goes by */
    struct edition_shard *shard;   /* where it is counted */
    const hardy_context *context;
    uint64_t operation; /* its number; 0: nobody asked for one */
    hardy_wake wake;
    atomic_word cancelled;
    int64_t deadline;     /* of the whole operation */
    int64_t start_before; /* the next attempt starts before this, or not at all */
    int64_t until;        /* what the phase waits for */
    int64_t seen;         /* the last `now`, for hardy_op_end(), which is not told */
    int64_t attempt_end, content_end, idle_end; /* when the running attempt is stopped */
    int64_t called, ended;                      /* when the last attempt started, ended */
    int64_t waited;                             /* between attempts, so far */
    int64_t previous;                           /* the wait before */
    int64_t retry_after;
    uint64_t seed; /* of the jitter; 0 = not drawn yet */
    uint64_t mark; /* of the rate reservation */
    double weight; /* in events of the rate */
    uint64_t load; /* of the bulkhead when the attempt started */
    hardy_permit permit;
    /* Where a whole operation counts as one failure: the permit of the attempt that failed last,
     * kept until it is known whether another attempt follows. */
    hardy_permit owed;
    hardy_outcome last;
    uint32_t attempt; /* number of the last one started */
    uint32_t looks;   /* for a rate slot, in PHASE_LOW */
    hardy_priority priority;
    enum phase phase;
    hardy_status status;
    hardy_reason reason;
    bool repeatable, committed, until_content, content_at_end;
    bool reserved, queued, slot; /* taken and not used yet: rate, queue, slot */
    uint32_t tokens;             /* likewise, of the budget */
    bool running, stopped, timed_out, told;
    bool unstarted; /* counted as one that has had no attempt */
    /* Only what is above is cleared when it begins. */
    struct bulkhead_waiter waiter;
};
_Static_assert(sizeof(struct op) <= sizeof(hardy_op), "hardy_op has room for an operation");
_Static_assert(_Alignof(struct op) <= _Alignof(hardy_op), "hardy_op is aligned for an operation");

static struct op *op_of(hardy_op *storage) {
    return (struct op *)storage;
}

const char *hardy_reason_text(hardy_reason reason) {
    switch (reason) {
    case HARDY_REASON_NONE:
        return "nothing to say";
    case HARDY_REASON_BACKOFF:
        return "waiting before a retry";
    case HARDY_REASON_RUNNING:
        return "waiting for an attempt";
    case HARDY_REASON_RATE:
        return "rate limit";
    case HARDY_REASON_SLOTS:
        return "concurrency slots";
    case HARDY_REASON_BREAKER:
        return "circuit breaker";
    case HARDY_REASON_BUDGET:
        return "retry budget is used up";
    case HARDY_REASON_RETRIES:
        return "retries are used up";
    case HARDY_REASON_TOTAL_WAIT:
        return "the next wait would pass max_total_wait";
    case HARDY_REASON_RETRY_AFTER:
        return "the far side asked for more time than there is";
    case HARDY_REASON_DEADLINE:
        return "deadline";
    case HARDY_REASON_TIMEOUT:
        return "an attempt was stopped at its timeout";
    case HARDY_REASON_PERMANENT:
        return "trying again would not help";
    case HARDY_REASON_NOT_REPEATABLE:
        return "not known to be repeatable";
    case HARDY_REASON_CANCELLED:
        return "cancelled";
    }
    return "unknown reason";
}

void hardy_op_options_init(hardy_op_options *options, size_t size) {
    hardy_op_options full = {
        .size = size < sizeof full ? size : sizeof full, .deadline = HARDY_NEVER, .weight = 1};
    memset(options, 0, size);
    memcpy(options, &full, full.size);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

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
    op->permit.kind = op->owed.kind = 0;
    op->last = (hardy_outcome){.kind = HARDY_IGNORED};
    op->attempt = op->looks = 0;
    op->weight = options->weight;
    op->priority = options->low_priority || (c->rate != NULL && c->rate->low_priority)
                       ? HARDY_PRIORITY_LOW
                       : HARDY_PRIORITY_HIGH;
    op->phase = PHASE_ADMIT;
    op->status = HARDY_OK;
    op->reason = HARDY_REASON_NONE;
    op->repeatable = options->repeatable || (c->retry != NULL && c->retry->repeatable);
    op->committed = false;
    op->until_content = options->deadline_until_content;
    op->content_at_end = options->content_at_end;
    op->reserved = op->queued = op->slot = false;
    op->tokens = 0;
    op->running = op->stopped = op->timed_out = op->told = op->unstarted = false;
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
static void give_back(struct op *op) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    if (op->queued) {
        bulkhead_leave(&g->bulkhead, &op->waiter);
        op->queued = false;
    }
    if (op->slot && !op->running) {
        bulkhead_release(&g->bulkhead);
        op->slot = false;
    }
    if (op->reserved) {
        gcra_return(e->words.rate, &e->gcra, op->weight, op->mark);
        op->reserved = false;
    }
}

static void conclude(struct op *op, hardy_status status, hardy_reason reason, int64_t retry_after,
                     int64_t now) {
    const struct edition *e = op->edition;
    give_back(op);
    if (op->tokens > 0) {
        budget_refund(e->words.budget, e->config.budget, op->tokens, now);
        op->tokens = 0;
    }
    op->phase = PHASE_OVER;
    op->status = status;
    op->reason = reason;
    op->retry_after = retry_after;
}

/* The breaker learns `kind` from a permit and has it back. */
static void record(struct op *op, hardy_permit *permit, hardy_outcome_class kind, int64_t now) {
    const struct edition *e = op->edition;
    struct breaker_change change = {0};
    breaker_record(e->words.breaker, e->config.breaker, permit, kind, now, &change);
    guard_note_change(op->guard, &change, now);
}

static void settle_owed(struct op *op, hardy_outcome_class kind, int64_t now) {
    if (op->owed.kind != 0) {
        record(op, &op->owed, kind, now);
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
    give_back(op);
    if (!e->config.wait_when_open || retry_at >= op->start_before) {
        conclude(op, HARDY_E_OPEN, HARDY_REASON_BREAKER, from_now(retry_at, now), now);
        return;
    }
    op->phase = PHASE_OPEN;
    op->until = retry_at > now ? retry_at : time_add(now, BREAKER_GRAIN);
}

/* The same after a mere look, which the breaker has not counted. */
static void look_at_open(struct op *op, int64_t retry_at, int64_t now) {
    const struct edition *e = op->edition;
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
        look_at_open(op, retry_at, now);
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
            conclude(op, status, HARDY_REASON_RATE, from_now(at, now), now);
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
        conclude(op, HARDY_E_FULL, HARDY_REASON_SLOTS, -1, now);
        return;
    }
}

/* The breaker's permit is taken last, so that no wait makes it stale. False: refused. */
static bool start(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    const hardy_guard_config *c = &e->config;
    int64_t end = least(time_add(now, c->timeout), op->deadline);
    if (c->breaker != NULL) {
        struct breaker_change change = {0};
        int64_t retry_at = now;
        int64_t lease = end == HARDY_NEVER ? 0 : time_add(end - now, LEASE_SLACK);
        bool admitted = breaker_acquire(e->words.breaker, c->breaker, now, lease, &op->permit,
                                        &retry_at, &change);
        guard_note_change(g, &change, now);
        if (!admitted) {
            meet_open(op, retry_at, now);
            return false;
        }
    }
    settle_owed(op, HARDY_IGNORED, now);
    op->phase = PHASE_RUNNING;
    op->running = true;
    op->stopped = op->timed_out = op->committed = false;
    op->reserved = false; /* used, and so are the tokens */
    op->tokens = 0;
    op->called = now;
    op->load = op->slot ? bulkhead_mark(&g->bulkhead) : 0;
    op->attempt_end = end;
    op->content_end = op->content_at_end ? HARDY_NEVER : time_add(now, c->timeout_first_content);
    op->idle_end = HARDY_NEVER;
    if (op->attempt++ == 0) {
        if (op->unstarted) {
            op->unstarted = false;
            word_add(&op->shard->unstarted, -UINT64_C(1));
        }
        if (c->budget != NULL) {
            budget_deposit(e->words.budget, c->budget, now);
        }
    } else {
        word_count(&g->retries);
        op->waited = time_add(op->waited, now - op->ended);
    }
    return true;
}

/* --- retry -------------------------------------------------------------------------------- */

/* What a failure that is not followed by another attempt amounts to. */
static hardy_status unrepeated(const struct op *op) {
    if (op->last.effect == HARDY_EFFECT_NONE || op->repeatable) {
        return HARDY_E_EXHAUSTED;
    }
    return op->last.effect == HARDY_EFFECT_UNKNOWN ? HARDY_E_IN_DOUBT : HARDY_E_FAILED;
}

/* The wait before the next attempt, at most `longest` where the far side named a floor.
 *
 * Above a floor only: who was told the same time must not come back at the same time. The spread is
 * what this retry's backoff would have had, one base_delay, or a fifth of the floor, whichever is
 * most: of many callers that were told one minute, whom the far side can serve in ten seconds, the
 * last is served after 72 s in place of 420 s. */
static int64_t next_wait(struct op *op, int64_t floor, int64_t longest) {
    const struct edition *e = op->edition;
    const hardy_retry_config *r = e->config.retry;
    if (op->seed == 0) {
        op->seed = guard_draw_seed(op->guard);
    }
    uint64_t random = prng_mix(op->seed ^ prng_mix(op->attempt));
    uint32_t retry = op->attempt - 1;
    if (floor <= 0) {
        return hardy_backoff(r, retry, op->previous, random);
    }
    hardy_retry_config plain = *r;
    plain.jitter = HARDY_JITTER_NONE;
    int64_t cap = hardy_backoff(&plain, retry, op->previous, 0);
    if (r->jitter == HARDY_JITTER_NONE) {
        return cap > floor ? cap : floor;
    }
    int64_t share = floor / 5;
    int64_t spread = time_add(floor, share > r->base_delay ? share : r->base_delay);
    int64_t high = cap > spread ? cap : spread;
    return prng_range(random, floor, least(high, longest));
}

static void consider_retry(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    const hardy_retry_config *r = e->config.retry;
    const hardy_outcome *o = &op->last;
    uint32_t max_retries = r != NULL ? r->max_retries : 0;
    int64_t floor = o->retry_after > 0 ? o->retry_after : 0;
    int64_t after = floor > 0 ? floor : -1;

    if (o->kind == HARDY_IGNORED || o->permanent) {
        conclude(op, HARDY_E_FAILED, HARDY_REASON_PERMANENT, -1, now);
        return;
    }
    if (now >= op->deadline) {
        conclude(op, HARDY_E_DEADLINE, HARDY_REASON_DEADLINE, after, now);
        return;
    }
    if (max_retries == 0 && op->timed_out) {
        conclude(op, HARDY_E_TIMEOUT, HARDY_REASON_TIMEOUT, after, now);
        return;
    }
    if (op->committed || (o->effect != HARDY_EFFECT_NONE && !op->repeatable)) {
        conclude(op, unrepeated(op), HARDY_REASON_NOT_REPEATABLE, after, now);
        return;
    }
    if (op->attempt > max_retries) {
        conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_RETRIES, after, now);
        return;
    }

    /* How long a wait can be: by the deadline, and by what is left of max_total_wait. */
    int64_t by_deadline = op->deadline == HARDY_NEVER ? HARDY_NEVER : op->deadline - 1 - now;
    int64_t by_total =
        r->max_total_wait == HARDY_NEVER ? HARDY_NEVER : r->max_total_wait - op->waited;
    int64_t longest = least(by_deadline, by_total);
    if (floor > longest) {
        conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_RETRY_AFTER, after, now);
        return;
    }
    int64_t wait = next_wait(op, floor, longest);
    if (wait > by_deadline) {
        conclude(op, HARDY_E_DEADLINE, HARDY_REASON_DEADLINE, after, now);
        return;
    }
    if (wait > by_total) {
        conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_TOTAL_WAIT, after, now);
        return;
    }
    op->ended = now;
    op->start_before = least(op->deadline, time_add(time_add(now, by_total), 1));
    int64_t at = now;
    if (e->config.breaker != NULL && !breaker_peek(e->words.breaker, e->config.breaker, now, &at)) {
        /* Not worth a wait and a token, unless the breaker can be waited for afterwards. */
        look_at_open(op, at, now);
        if (op->phase == PHASE_OVER) {
            return;
        }
    }
    if (e->config.budget != NULL) {
        uint32_t cost = op->timed_out ? e->config.budget->timeout_cost : 1;
        if (!budget_withdraw(e->words.budget, e->config.budget, cost, now)) {
            word_count(&g->suppressed);
            conclude(op, HARDY_E_BUDGET, HARDY_REASON_BUDGET, after, now);
            return;
        }
        op->tokens = cost;
    }
    op->phase = PHASE_BACKOFF;
    op->until = time_add(now, wait);
    op->previous = wait;
    ring_put(&g->ring, &(hardy_event){.kind = HARDY_EVENT_RETRY,
                                      .at = now,
                                      .attempt = op->attempt + 1,
                                      .span = wait,
                                      .code = o->code,
                                      .reason = HARDY_REASON_BACKOFF});
}

/* --- the machine -------------------------------------------------------------------------- */

/* What ends an operation from outside its own course. */
static void check_limits(struct op *op, int64_t now) {
    hardy_reason where = op->phase == PHASE_SLOT   ? HARDY_REASON_SLOTS
                         : op->phase == PHASE_OPEN ? HARDY_REASON_BREAKER
                         : op->phase == PHASE_LOW  ? HARDY_REASON_RATE
                                                   : HARDY_REASON_DEADLINE;
    if (word_load(&op->cancelled) != 0) {
        conclude(op, HARDY_E_CANCELLED, HARDY_REASON_CANCELLED, -1, now);
    } else if (now >= op->deadline) {
        conclude(op, HARDY_E_DEADLINE, where, -1, now);
    } else if (now >= op->start_before && op->phase != PHASE_RUNNING) {
        conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_TOTAL_WAIT, -1, now);
    }
    if (op->phase == PHASE_OVER && op->running) {
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

static void stop(struct op *op, hardy_reason reason, hardy_step *step) {
    op->stopped = true;
    step->kind = HARDY_STEP_STOP;
    step->reason = reason;
    step->attempt = op->attempt;
    step->deadline = op->attempt_end;
}

static void watch(struct op *op, int64_t now, hardy_step *step) {
    if (op->stopped) {
        wait_until(op, op->deadline, HARDY_REASON_RUNNING, step);
        return;
    }
    int64_t end = least(op->attempt_end, least(op->content_end, op->idle_end));
    if (now >= end) {
        op->timed_out = true;
        word_count(&op->guard->timeouts);
        stop(op, HARDY_REASON_TIMEOUT, step);
    } else {
        wait_until(op, end, HARDY_REASON_RUNNING, step);
    }
}

static void finish(struct op *op, int64_t now, hardy_step *step) {
    if (op->running && !op->stopped) {
        stop(op, op->reason, step);
    } else if (!op->told) {
        tell_result(op, now, step);
    } else if (op->running) {
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
                step->kind = HARDY_STEP_CALL;
                step->attempt = op->attempt;
                step->deadline = op->attempt_end;
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

hardy_step hardy_op_next(hardy_op *op, int64_t now) {
    hardy_step step = {.retry_after = -1};
    op_next(op, now, &step);
    return step;
}

/* Of the operation's number and the attempt's: no other attempt has this one. */
static void name_span(const struct op *op, uint8_t span_id[8]) {
    uint64_t id = prng_mix(op->operation ^ prng_mix(op->attempt));
    id = id != 0 ? id : 1;
    memcpy(span_id, &id, sizeof id);
}

void hardy_op_describe_call(const hardy_op *storage, hardy_call *call) {
    const struct op *op = (const struct op *)storage;
    *call = (hardy_call){.size = sizeof *call,
                         .attempt = op->attempt,
                         .deadline = op->attempt_end,
                         .operation = op->operation};
    if (op->context != NULL) {
        call->idempotency_key = op->context->idempotency_key;
        call->trace = op->context->trace;
        name_span(op, call->trace.span_id);
    }
}

void hardy_op_report_progress(hardy_op *storage, uint32_t attempt, hardy_progress what,
                              int64_t now) {
    struct op *op = op_of(storage);
    const struct edition *e = op->edition;
    if (!op->running || attempt != op->attempt || what == HARDY_CONNECTED) {
        return;
    }
    if (what == HARDY_FIRST_CONTENT) {
        op->committed = true;
        op->content_end = HARDY_NEVER;
        /* The far side works: callers that are parked need not wait for a stream's end to hear it.
         */
        if (op->permit.kind == PERMIT_TRIAL) {
            record(op, &op->permit, HARDY_SUCCESS, now);
            op->permit.kind = 0;
        }
        if (op->permit.kind != 0) {
            breaker_progress(e->words.breaker, e->config.breaker, &op->permit, now);
        }
        if (op->until_content) {
            op->deadline = op->start_before = HARDY_NEVER;
            op->attempt_end = time_add(op->called, e->config.timeout);
        }
    }
    op->idle_end = time_add(now, e->config.timeout_idle);
}

/* Where it adapts: what was throttled or timed out was too much. Other failures say nothing of how
 * many at once. */
static void teach_bulkhead(const struct op *op, int64_t now) {
    hardy_outcome_class kind = op->last.kind;
    bool timed_out = op->timed_out || (now > op->attempt_end && !op->stopped);
    if (timed_out || kind == HARDY_THROTTLED || kind == HARDY_SUCCESS || kind == HARDY_SLOW) {
        bulkhead_learn(&op->guard->bulkhead, op->load, timed_out || kind == HARDY_THROTTLED);
    }
}

void hardy_op_report(hardy_op *storage, uint32_t attempt, const hardy_outcome *reported,
                     int64_t now) {
    struct op *op = op_of(storage);
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    const hardy_outcome *outcome = &op->last;
    if (!op->running || attempt != op->attempt) {
        return;
    }
    op->running = false;
    op->seen = now;
    op->last = *reported;
    if (e->config.classify != NULL) {
        hardy_call call;
        hardy_op_describe_call(storage, &call);
        e->config.classify(e->config.classify_ctx, &call, &op->last);
    }
    if (op->slot) {
        teach_bulkhead(op, now);
        bulkhead_release(&g->bulkhead);
        op->slot = false;
    }
    if (outcome->kind == HARDY_THROTTLED && outcome->retry_after > 0 && e->config.rate != NULL) {
        gcra_hold(e->words.rate, &e->gcra, op->priority,
                  time_add(now, least(outcome->retry_after, LONGEST_HOLD)));
    }
    bool by_caller = op->phase == PHASE_OVER && op->status == HARDY_E_CANCELLED;
    if (now > op->attempt_end && !op->stopped) {
        op->timed_out = true;
        word_count(&g->timeouts);
    }
    bool success = outcome->kind == HARDY_SUCCESS || outcome->kind == HARDY_SLOW;
    if (op->permit.kind != 0) {
        bool late = op->timed_out || (op->stopped && !by_caller);
        hardy_outcome_class kind = success && late                               ? HARDY_SLOW
                                   : outcome->kind == HARDY_FAILURE && by_caller ? HARDY_IGNORED
                                                                                 : outcome->kind;
        /* A trial always counts by itself. */
        if (kind == HARDY_FAILURE && op->permit.kind != PERMIT_TRIAL &&
            !e->config.breaker->counts_attempts) {
            breaker_progress(e->words.breaker, e->config.breaker, &op->permit, now);
            op->owed = op->permit;
        } else {
            record(op, &op->permit, kind, now);
        }
        op->permit.kind = 0;
    }
    if (op->phase == PHASE_OVER) {
        if (!op->told && success) {
            conclude(op, HARDY_OK, HARDY_REASON_NONE, -1, now);
        } else if (op->told) {
            settle_owed(op, HARDY_FAILURE, now);
        }
    } else if (success) {
        conclude(op, HARDY_OK, HARDY_REASON_NONE, -1, now);
    } else {
        consider_retry(op, now);
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
    /* An attempt that nobody will report any more taught nothing. */
    if (op->running) {
        op->running = false;
        if (op->permit.kind != 0) {
            record(op, &op->permit, HARDY_IGNORED, op->seen);
        }
    }
    if (op->phase != PHASE_OVER) {
        conclude(op, op->status, op->reason, -1, op->seen);
    }
    settle_owed(op, HARDY_FAILURE, op->seen);
    count_unstarted(op);
    edition_leave(op->shard);
    op->guard = NULL;
}
