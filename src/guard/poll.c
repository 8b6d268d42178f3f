/* SPDX-License-Identifier: Apache-2.0 */
/* The thread driver of a poll: each look is a guarded operation of its own. */
#include "base/error.h"
#include "guard/state.h"
#include "guard/thread.h"
#include "policy/settings.h"
#include <hardy/poll.h>

struct looker {
    hardy_look_function look;
    void *ctx;
    bool holds;
};

static void look_once(void *ctx, const hardy_call *call, hardy_outcome *outcome) {
    struct looker *l = ctx;
    l->holds = l->look(l->ctx, call, outcome);
}

static hardy_look what_it_means(const struct looker *l, hardy_status status) {
    hardy_status_class means = hardy_status_class_of(status);
    if (means == HARDY_CLASS_OK) {
        return l->holds ? HARDY_LOOK_HOLDS : HARDY_LOOK_NOT_YET;
    }
    return means == HARDY_CLASS_RETRY || means == HARDY_CLASS_LIMIT ? HARDY_LOOK_UNKNOWN
                                                                    : HARDY_LOOK_FAILED;
}

/* False: stopped. */
static bool wait_until(struct thread_stop *stop, const hardy_env *env, int64_t until) {
    while (word_load(&stop->stopped) == 0 && env->now(env->ctx) < until) {
        thread_park(&stop->parking, env, until);
    }
    return word_load(&stop->stopped) == 0;
}

static hardy_status too_late(const hardy_guard *guard, const hardy_poll_step *step,
                             const hardy_error *last, hardy_error *error) {
    return fail(error, HARDY_E_DEADLINE, guard->name,
                "it does not hold in time: after %u look%s %s%s", step->looks,
                step->looks == 1 ? "" : "s",
                step->looks == 0                   ? "none was possible"
                : step->last == HARDY_LOOK_UNKNOWN ? "the last brought no answer: "
                                                   : "not yet",
                step->looks > 0 && step->last == HARDY_LOOK_UNKNOWN ? last->message : "");
}

static hardy_status run_poll(hardy_guard *guard, hardy_look_function look, void *ctx,
                             const hardy_poll_config *config, const hardy_run_options *options,
                             hardy_outcome *outcome, hardy_error *error) {
    struct looker looker = {.look = look, .ctx = ctx};
    const hardy_env *env = &guard->env;
    hardy_cancel_token own = {{0}};
    hardy_run_options o;
    hardy_poll poll;
    hardy_error last;
    hardy_run_options_init(&o, sizeof o);
    hardy_error_init(&last, sizeof last);
    if (outcome != NULL) {
        *outcome = (hardy_outcome){.kind = HARDY_IGNORED};
    }
    hardy_status status = options != NULL
                              ? settings_take(&o, sizeof o, options, "hardy_run_options", error)
                              : HARDY_OK;
    if (status == HARDY_OK) {
        status = hardy_poll_begin(&poll, sizeof poll, config, o.deadline, guard_draw_seed(guard),
                                  env->now(env->ctx), error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    o.repeatable = true;
    o.cancel = o.cancel != NULL ? o.cancel : &own;
    for (;;) {
        hardy_poll_step step = hardy_poll_next(&poll, env->now(env->ctx));
        if (step.kind == HARDY_POLL_DONE) {
            return step.status == HARDY_OK ? HARDY_OK : too_late(guard, &step, &last, error);
        }
        if (step.kind == HARDY_POLL_WAIT) {
            if (!wait_until(thread_stop_of(o.cancel), env, step.until)) {
                return fail(error, HARDY_E_CANCELLED, guard->name,
                            "cancelled while it waited to look again, after %u look%s", step.looks,
                            step.looks == 1 ? "" : "s");
            }
            continue;
        }
        hardy_error_init(&last, sizeof last);
        status = hardy_guard_run_with(guard, look_once, &looker, &o, outcome, &last);
        hardy_look found = what_it_means(&looker, status);
        if (status == HARDY_E_CANCELLED || found == HARDY_LOOK_FAILED) {
            fail(error, status, last.where, "%s", last.message);
            if (error != NULL) {
                error->retry_after = last.retry_after;
            }
            return status;
        }
        hardy_poll_report(&poll, found, last.retry_after, env->now(env->ctx));
    }
}

/* Of a poll that did not end well: no success, as an outer guard would else take it for. */
static void tell_outcome(hardy_status status, hardy_outcome *outcome) {
    if (outcome->kind == HARDY_SUCCESS || outcome->kind == HARDY_SLOW) {
        *outcome = hardy_outcome_of_status(status, -1);
    }
    outcome->status = status;
}

hardy_status hardy_poll_run(hardy_guard *guard, hardy_look_function look, void *ctx,
                            const hardy_poll_config *config, const hardy_run_options *options,
                            hardy_outcome *outcome, hardy_error *error) {
    hardy_status status = run_poll(guard, look, ctx, config, options, outcome, error);
    if (status != HARDY_OK && outcome != NULL) {
        tell_outcome(status, outcome);
    }
    return status;
}
