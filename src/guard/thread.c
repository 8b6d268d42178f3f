/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread driver: runs an operation in the caller's thread. Where the operation waits, the
 * thread is parked on one futex word; a wake sets the word, so that one which comes before the
 * thread sleeps is not lost. What is left to wait is worked out anew from the absolute end after
 * every awakening.
 */
#include "guard/thread.h"
#include "base/clock.h"
#include "base/error.h"
#include "guard/op_state.h"
#include "policy/settings.h"
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The kernel looks at 32 bits: those that change between 0 and 1. */
static void *kernel_word(struct parking *p) {
    return (char *)&p->woken + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
}

void thread_unpark(void *ctx) {
    struct parking *p = ctx;
    word_store(&p->woken, 1);
    syscall(SYS_futex, kernel_word(p), FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void thread_park(struct parking *p, const hardy_env *env, int64_t until) {
    while (word_exchange(&p->woken, 0) == 0) {
        struct timespec rest, *limit = NULL;
        if (until != HARDY_NEVER) {
            int64_t span = until - env->now(env->ctx);
            if (span <= 0) {
                return;
            }
            rest = (struct timespec){.tv_sec = span / HARDY_SECOND, .tv_nsec = span % HARDY_SECOND};
            limit = &rest;
        }
        syscall(SYS_futex, kernel_word(p), FUTEX_WAIT_PRIVATE, 0, limit, NULL, 0);
    }
}

void thread_stop(struct thread_stop *stop) {
    word_store(&stop->stopped, 1);
    thread_unpark(&stop->parking);
}

bool hardy_call_cancelled(const hardy_call *call) {
    const struct thread_call *inside = call->internal;
    const hardy_env *env = inside->env;
    return word_load(&inside->stop->stopped) != 0 ||
           (call->deadline != HARDY_NEVER && env->now(env->ctx) >= call->deadline);
}

static hardy_status explain_verdict(const hardy_guard *g, const hardy_step *verdict,
                                    hardy_error *error) {
    const char *why = hardy_reason_text(verdict->reason);
    if (verdict->attempt == 0) {
        fail(error, verdict->status, g->name, "%s (%s); nothing was called",
             hardy_status_text(verdict->status), why);
    } else if (verdict->reason == HARDY_REASON_INSIDE) {
        fail(error, verdict->status, g->name, "%s (%s), attempt %u",
             hardy_status_text(verdict->status), why, verdict->attempt);
    } else {
        fail(error, verdict->status, g->name, "%s (%s) after %u attempt%s, the last with code %d",
             hardy_status_text(verdict->status), why, verdict->attempt,
             verdict->attempt == 1 ? "" : "s", (int)verdict->outcome.code);
    }
    if (error != NULL) {
        error->retry_after = verdict->retry_after;
    }
    return verdict->status;
}

struct run {
    hardy_guard *guard;
    struct edition_hold hold;
    const hardy_op_options *options;
    hardy_function function;
    void *ctx;
    struct thread_stop *stop;
    struct thread_call inside;
    /* Where nothing is timed, a clock that is some milliseconds behind is good enough as long as
     * all goes well, and the reading of the exact one would be half of the whole cost. */
    bool rough;
    int64_t now;
};

static int64_t read_clock(const struct run *r, bool all_is_well) {
    const hardy_env *env = &r->guard->env;
    return r->rough && all_is_well ? clock_now_coarse() : env->now(env->ctx);
}

static void make_call(struct run *r, hardy_call *call, hardy_outcome *ended) {
    *ended = (hardy_outcome){.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    call->internal = &r->inside;
    r->function(r->ctx, call, ended);
    /* A backoff counted from a clock that is behind would end too early. */
    r->now = read_clock(r, ended->kind == HARDY_SUCCESS);
}

static hardy_status begin_op(const struct run *r, hardy_op *op, int64_t now) {
    const hardy_wake wake = {.fn = thread_unpark, .ctx = &r->stop->parking};
    return op_begin(op, r->guard, r->hold, wake, r->options, now);
}

/* A rate slot and a concurrency slot, if both are there at once and the breaker lets through. */
static bool take_at_once(const struct run *r, uint64_t *mark) {
    const struct edition *e = r->hold.edition;
    const hardy_guard_config *c = &e->config;
    int64_t at = r->now;
    if (c->rate == NULL && c->bulkhead == NULL) {
        return true;
    }
    if (c->breaker != NULL && !breaker_peek(e->words.breaker, c->breaker, r->now, &at)) {
        return false;
    }
    if (c->rate != NULL &&
        gcra_reserve(e->words.rate, &e->gcra, r->options->weight, op_priority(c, r->options),
                     r->now, r->now, &at, mark) != HARDY_OK) {
        return false;
    }
    if (c->bulkhead == NULL) {
        return true;
    }
    struct bulkhead_waiter waiter = {.wake = thread_unpark, .ctx = &r->stop->parking};
    enum bulkhead_answer answer = bulkhead_acquire(&r->guard->bulkhead, &waiter);
    if (answer == BULKHEAD_QUEUED) {
        bulkhead_leave(&r->guard->bulkhead, &waiter);
    }
    if (answer != BULKHEAD_GRANTED && c->rate != NULL) {
        gcra_return(e->words.rate, &e->gcra, r->options->weight, *mark);
    }
    return answer == BULKHEAD_GRANTED;
}

static void give_back(const struct run *r, uint64_t mark) {
    const struct edition *e = r->hold.edition;
    if (e->config.bulkhead != NULL) {
        bulkhead_release(&r->guard->bulkhead);
    }
    if (e->config.rate != NULL) {
        gcra_return(e->words.rate, &e->gcra, r->options->weight, mark);
    }
}

/*
 * The short way, of nearly all calls: nothing to wait for, let through at once, and a success. It
 * does to the policies what the machine does, without the machine. What leaves it on the way (a
 * refusal, a failure, a success that is late) is handed over to the machine as it stands: then
 * `op` has begun, and the answer is false. test_short.c compares the two.
 */
static bool run_short(struct run *r, hardy_op *op, hardy_outcome *ended) {
    const struct edition *e = r->hold.edition;
    const hardy_guard_config *c = &e->config;
    int64_t began = r->now, retry_at = began;
    int64_t deadline = least(r->options->deadline, time_add(began, c->deadline));
    int64_t end = least(time_add(began, c->timeout), deadline);
    uint64_t mark = 0;
    hardy_permit permit;
    if (!take_at_once(r, &mark)) {
        (void)begin_op(r, op, began); /* direct: nothing that it could lack */
        return false;
    }
    if (!guard_take_permit(r->guard, e, end, &permit, &retry_at, began)) {
        give_back(r, mark);
        (void)begin_op(r, op, began);
        op_refuse(op, retry_at, began);
        return false;
    }
    uint64_t load = c->bulkhead != NULL ? bulkhead_mark(&r->guard->bulkhead) : 0;
    if (c->budget != NULL) {
        budget_deposit(e->words.budget, c->budget, began);
    }
    hardy_call call = {.size = sizeof call, .attempt = 1, .deadline = end};
    make_call(r, &call, ended);
    if (ended->kind == HARDY_SUCCESS && r->now <= end) {
        if (c->bulkhead != NULL) {
            bulkhead_learn(&r->guard->bulkhead, load, false);
            bulkhead_release(&r->guard->bulkhead);
        }
        if (permit.kind != 0) {
            guard_record(r->guard, e, &permit, HARDY_SUCCESS, r->now);
        }
        edition_leave(r->hold.shard);
        return true;
    }
    (void)begin_op(r, op, began);
    op_adopt(op, &permit, end, began);
    hardy_op_report(op, 1, ended, r->now);
    return false;
}

static bool may_run_short(const struct run *r) {
    return r->hold.edition->direct && r->options->context == NULL &&
           r->now < r->options->deadline && word_load(&r->stop->stopped) == 0;
}

static void run_machine(struct run *r, hardy_op *op, hardy_step *step) {
    bool told = false; /* the operation knows that it is to stop */
    do {
        if (!told && word_load(&r->stop->stopped) != 0) {
            told = true;
            hardy_op_cancel(op);
        }
        op_next(op, r->now, step);
        if (step->kind == HARDY_STEP_CALL) {
            hardy_outcome ended;
            hardy_call call;
            hardy_op_describe_call(op, &call);
            make_call(r, &call, &ended);
            hardy_op_report(op, step->attempt, &ended, r->now);
            op_take_result(op, r->now, step);
        } else if (step->kind == HARDY_STEP_WAIT) {
            thread_park(&r->stop->parking, &r->guard->env, step->until);
            r->now = read_clock(r, false);
        }
    } while (step->kind != HARDY_STEP_RESULT);
    /* No attempt runs outside of the call above, so nothing is outstanding. */
    hardy_op_end(op);
}

/* Of a run that never began: no success, as an outer guard would else take it for. */
static void refuse_outcome(hardy_status status, hardy_outcome *outcome) {
    if (outcome != NULL) {
        *outcome = hardy_outcome_of_status(status, -1);
    }
}

hardy_status thread_run(hardy_guard *guard, hardy_function function, void *ctx,
                        const hardy_op_options *options, struct thread_stop *stop,
                        hardy_outcome *outcome, hardy_error *error) {
    struct run r = {.guard = guard,
                    .hold = edition_enter(&guard->editions),
                    .options = options,
                    .function = function,
                    .ctx = ctx,
                    .stop = stop,
                    .inside = {&guard->env, stop}};
    hardy_op op;
    hardy_step step;
    hardy_outcome ended;
    hardy_status begun = HARDY_OK;
    r.rough = r.hold.edition->untimed && options->deadline == HARDY_NEVER;
    r.now = read_clock(&r, true);
    if (!may_run_short(&r)) {
        begun = begin_op(&r, &op, r.now);
    } else if (run_short(&r, &op, &ended)) {
        if (outcome != NULL) {
            *outcome = ended;
        }
        return HARDY_OK;
    }
    if (begun != HARDY_OK) {
        edition_cancel(r.hold.shard);
        refuse_outcome(begun, outcome);
        return fail(error, begun, guard->name, "the operation cannot begin%s",
                    begun == HARDY_E_UNSUPPORTED
                        ? ": the guard hedges, and one thread cannot make two attempts at once"
                        : "");
    }
    run_machine(&r, &op, &step);
    if (outcome != NULL) {
        *outcome = step.outcome;
        outcome->status = step.status;
        outcome->retry_after = step.retry_after > 0 ? step.retry_after : outcome->retry_after;
    }
    return step.status == HARDY_OK ? HARDY_OK : explain_verdict(guard, &step, error);
}

hardy_status hardy_guard_run(hardy_guard *guard, hardy_function function, void *ctx,
                             int64_t deadline, hardy_outcome *outcome, hardy_error *error) {
    static const hardy_op_options usual = {
        .size = sizeof usual, .deadline = HARDY_NEVER, .weight = 1};
    struct thread_stop stop = {0};
    if (deadline == HARDY_NEVER) {
        return thread_run(guard, function, ctx, &usual, &stop, outcome, error);
    }
    hardy_op_options options = usual;
    options.deadline = deadline;
    return thread_run(guard, function, ctx, &options, &stop, outcome, error);
}

void hardy_cancel(hardy_cancel_token *token) {
    thread_stop(thread_stop_of(token));
}

void hardy_run_options_init(hardy_run_options *options, size_t size) {
    hardy_run_options full = {.deadline = HARDY_NEVER, .weight = 1};
    full.size = size < sizeof full ? size : sizeof full;
    memset(options, 0, size);
    memcpy(options, &full, full.size);
}

hardy_status hardy_guard_run_with(hardy_guard *guard, hardy_function function, void *ctx,
                                  const hardy_run_options *options, hardy_outcome *outcome,
                                  hardy_error *error) {
    hardy_run_options given;
    hardy_run_options_init(&given, sizeof given);
    hardy_status status = settings_take(&given, sizeof given, options, "hardy_run_options", error);
    if (status != HARDY_OK) {
        refuse_outcome(status, outcome);
        return status;
    }
    const hardy_op_options full = {.size = sizeof full,
                                   .deadline = given.deadline,
                                   .repeatable = given.repeatable,
                                   .weight = given.weight,
                                   .low_priority = given.low_priority,
                                   .context = given.context};
    struct thread_stop own = {0};
    struct thread_stop *stop = given.cancel != NULL ? thread_stop_of(given.cancel) : &own;
    return thread_run(guard, function, ctx, &full, stop, outcome, error);
}
