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
#include "guard/op.h"
#include "guard/state.h"
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

hardy_status thread_run(hardy_guard *guard, hardy_function function, void *ctx,
                        const hardy_op_options *options, struct thread_stop *stop,
                        hardy_outcome *outcome, hardy_error *error) {
    const hardy_env *env = &guard->env;
    const struct thread_call inside = {env, stop};
    struct edition_hold hold = edition_enter(&guard->editions);
    bool told = false; /* the operation knows that it is to stop */
    /* Where nothing is timed, a clock that is some milliseconds behind is good enough as long as
     * all goes well, and the reading of the exact one would be half of the whole cost. */
    bool rough = hold.edition->untimed && options->deadline == HARDY_NEVER;
    int64_t now = rough ? clock_now_coarse() : env->now(env->ctx);
    hardy_op op;
    const hardy_wake wake = {.fn = thread_unpark, .ctx = &stop->parking};
    hardy_step step;
    hardy_status begun = op_begin(&op, guard, hold, wake, options, now);
    if (begun != HARDY_OK) {
        edition_cancel(hold.shard);
        return fail(error, begun, guard->name, "the operation cannot begin%s",
                    begun == HARDY_E_UNSUPPORTED
                        ? ": the guard hedges, and one thread cannot make two attempts at once"
                        : "");
    }
    for (;;) {
        if (!told && word_load(&stop->stopped) != 0) {
            told = true;
            hardy_op_cancel(&op);
        }
        op_next(&op, now, &step);
        if (step.kind == HARDY_STEP_CALL) {
            hardy_outcome ended = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
            hardy_call call;
            hardy_op_describe_call(&op, &call);
            call.internal = (void *)(uintptr_t)&inside;
            function(ctx, &call, &ended);
            /* A backoff counted from a clock that is behind would end too early. */
            now = rough && ended.kind == HARDY_SUCCESS ? clock_now_coarse() : env->now(env->ctx);
            hardy_op_report(&op, step.attempt, &ended, now);
            if (op_take_result(&op, now, &step)) {
                break;
            }
        } else if (step.kind == HARDY_STEP_WAIT) {
            thread_park(&stop->parking, env, step.until);
            now = env->now(env->ctx);
        } else if (step.kind == HARDY_STEP_RESULT) {
            break;
        }
    }
    /* No attempt runs outside of the call above, so nothing is outstanding. */
    hardy_op_end(&op);
    if (outcome != NULL) {
        *outcome = step.outcome;
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
        return status;
    }
    const hardy_op_options full = {.size = sizeof full,
                                   .deadline = given.deadline,
                                   .repeatable = given.repeatable,
                                   .weight = given.weight,
                                   .low_priority = given.low_priority,
                                   .context = given.context};
    struct thread_stop stop = {0};
    return thread_run(guard, function, ctx, &full, &stop, outcome, error);
}
