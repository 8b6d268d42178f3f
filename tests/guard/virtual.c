/* SPDX-License-Identifier: Apache-2.0 */
#include "virtual.h"
#include "base/prng.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t env_now(void *ctx) {
    return ((struct world *)ctx)->now;
}

static uint64_t env_random(void *ctx) {
    (void)ctx;
    return 42;
}

hardy_env world_env(struct world *w) {
    return (hardy_env){
        .size = sizeof(hardy_env), .ctx = w, .now = env_now, .wall = env_now, .random = env_random};
}

static void on_wake(void *ctx) {
    ((struct client *)ctx)->woken = true;
}

void client_init(struct client *c, struct world *w, hardy_guard *guard, int64_t begins) {
    memset(c, 0, sizeof *c);
    c->world = w;
    c->guard = guard;
    c->begins = begins;
    c->cancels = c->ends = c->timer = HARDY_NEVER;
    c->stopped = (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    hardy_op_options_init(&c->options, sizeof c->options);
    c->options.wake = (hardy_wake){.fn = on_wake, .ctx = c};
    if (w->count == CLIENTS) {
        abort();
    }
    w->clients[w->count++] = c;
}

void client_plan(struct client *c, int64_t takes, hardy_outcome outcome) {
    if (c->plan_count == PLANS) {
        abort();
    }
    c->plans[c->plan_count++] = (struct plan){.takes = takes, .outcome = outcome};
}

static void trace(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void trace(struct client *c, const char *format, ...) {
    size_t used = strlen(c->trace);
    va_list args;
    used += (size_t)snprintf(c->trace + used, sizeof c->trace - used, "%s%lld ", used ? " | " : "",
                             (long long)(c->world->now / MS));
    if (used >= sizeof c->trace) {
        return;
    }
    va_start(args, format);
    vsnprintf(c->trace + used, sizeof c->trace - used, format, args);
    va_end(args);
}

static const char *word(hardy_reason reason) {
    static const char *const words[] = {"none",       "backoff", "running",  "rate",
                                        "slots",      "breaker", "budget",   "retries",
                                        "total_wait", "floor",   "deadline", "timeout",
                                        "permanent",  "unsafe",  "cancelled"};
    return words[reason];
}

static void report(struct client *c) {
    c->running = false;
    c->world->running--;
    c->ends = HARDY_NEVER;
    hardy_op_report(&c->op, c->attempt, &c->ends_with, c->world->now);
}

static void on_call(struct client *c, const hardy_step *step) {
    struct world *w = c->world;
    trace(c, "call %u", step->attempt);
    c->running = true;
    c->calls++;
    c->attempt = step->attempt;
    if (++w->running > w->most_running) {
        w->most_running = w->running;
    }
    struct plan plan = {.takes = 0, .outcome = SUCCEEDS};
    if (c->plan_count > 0) {
        size_t last = c->plan_count - 1;
        plan = c->plans[step->attempt - 1 < last ? step->attempt - 1 : last];
    }
    c->ends = hardy_time_add(w->now, plan.takes);
    c->ends_with = plan.outcome;
    if (w->on_call != NULL) {
        w->on_call(w->ctx, c);
    }
    if (plan.takes == 0) {
        report(c);
    }
}

static void on_stop(struct client *c, const hardy_step *step) {
    trace(c, "stop %u", step->attempt);
    if (c->stop_takes == HARDY_NEVER) {
        return;
    }
    c->ends = hardy_time_add(c->world->now, c->stop_takes);
    c->ends_with = c->stopped;
    if (c->stop_takes == 0) {
        report(c);
    }
}

static void pump(struct client *c) {
    struct world *w = c->world;
    c->woken = false;
    c->timer = HARDY_NEVER;
    for (;;) {
        hardy_step step = hardy_op_next(&c->op, w->now);
        bool again = step.kind == HARDY_STEP_WAIT && c->last.kind == HARDY_STEP_WAIT &&
                     c->last.until == step.until && c->last.reason == step.reason;
        c->last = step;
        switch (step.kind) {
        case HARDY_STEP_CALL:
            on_call(c, &step);
            break;
        case HARDY_STEP_STOP:
            on_stop(c, &step);
            break;
        case HARDY_STEP_WAIT:
            c->timer = step.until;
            if (!again && step.until == HARDY_NEVER) {
                trace(c, "wait %s", word(step.reason));
            } else if (!again) {
                trace(c, "wait %s %lld", word(step.reason), (long long)(step.until / MS));
            }
            return;
        case HARDY_STEP_RESULT:
            c->result = step;
            c->has_result = true;
            c->result_at = w->now;
            trace(c, "result %s%s%s", hardy_status_name(step.status),
                  step.reason != HARDY_REASON_NONE ? " " : "",
                  step.reason != HARDY_REASON_NONE ? word(step.reason) : "");
            break;
        case HARDY_STEP_DONE:
            c->done = true;
            c->done_at = w->now;
            trace(c, "done");
            hardy_op_end(&c->op);
            return;
        }
    }
}

/* When something happens to the client next. */
static int64_t due(const struct client *c) {
    if (c->done) {
        return HARDY_NEVER;
    }
    if (!c->begun) {
        return c->begins;
    }
    int64_t at = c->timer < c->ends ? c->timer : c->ends;
    at = c->cancels < at ? c->cancels : at;
    return c->woken ? c->world->now : at;
}

static void act(struct client *c) {
    int64_t now = c->world->now;
    if (!c->begun) {
        c->begun = true;
        if (hardy_op_begin(&c->op, sizeof c->op, c->guard, &c->options, now) != HARDY_OK) {
            trace(c, "refused");
            c->done = true;
            return;
        }
    }
    if (c->running && c->ends <= now) {
        report(c);
    }
    if (c->cancels <= now) {
        c->cancels = HARDY_NEVER;
        hardy_op_cancel(&c->op);
    }
    pump(c);
}

void world_run(struct world *w, int64_t until) {
    for (;;) {
        struct client *next = NULL;
        for (size_t i = 0; i < w->count; i++) {
            if (next == NULL || due(w->clients[i]) < due(next)) {
                next = w->clients[i];
            }
        }
        if (next == NULL || due(next) > until || due(next) == HARDY_NEVER) {
            break;
        }
        if (due(next) > w->now) {
            w->now = due(next);
        }
        act(next);
    }
    if (until != HARDY_NEVER && until > w->now) {
        w->now = until;
    }
}

hardy_step world_call(struct world *w, hardy_guard *guard, int64_t takes, hardy_outcome outcome) {
    struct world alone = {.now = w->now};
    struct client c;
    client_init(&c, &alone, guard, w->now);
    client_plan(&c, takes, outcome);
    world_run(&alone, HARDY_NEVER);
    w->now = alone.now;
    return c.result;
}
