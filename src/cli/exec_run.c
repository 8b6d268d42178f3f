/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One guarded command on the loop. The guard decides when an attempt starts and when it has to
 * stop; here the attempts are made, their output is held, and signals are passed on.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/attempt.h"
#include "cli/command.h"
#include "cli/exec.h"
#include "cli/feed.h"
#include "cli/hold.h"
#include "cli/say.h"
#include "cli/slot.h"
#include "cli/terminal.h"
#include "drive/drive.h"
#include "guard/guard.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNALS 4
#define SHOWN ((size_t)16 << 10) /* of a failed attempt's output, to the person */

struct run {
    const struct exec_plan *plan;
    struct exec_result *result;
    struct loop *loop;
    hardy_guard *guard;
    const hardy_guard_config *config;
    struct drive *drive;
    uint32_t number; /* of the attempt that runs */
    struct attempt *attempt;
    struct exec_attempt *record;
    struct feed *feed;
    struct hold held;
    bool holds;
    hardy_error held_error;
    bool cannot_hold; /* more output than can be kept */
    bool interactive; /* the terminal sends its signals to the command too */
    int interrupted;  /* by the terminal: the command decides how to end */
    bool by_guard;    /* the running attempt was told to stop by the guard */
    uint32_t told;    /* the attempt after which a wait was told */
    struct loop_signal *signals[SIGNALS];
    struct slot_wait slot;
    int64_t deadline;
    char **env;
    char attempt_env[48], deadline_env[64];
};

/* --- what an attempt amounts to ----------------------------------------------------------- */

static bool retried(const struct run *r, const struct exec_attempt *a) {
    int code = a->timed_out ? EXIT_DEADLINE : exec_attempt_code(a);
    return guard_retries_code(&r->plan->settings, code);
}

/* Death by INT or TERM was somebody's wish; 126 and 127 are about this machine, not the far side.
 */
static bool says_nothing(const struct exec_attempt *a) {
    return a->not_started || (!a->timed_out && (a->signal == SIGINT || a->signal == SIGTERM)) ||
           (a->signal == 0 && (a->code == 126 || a->code == 127));
}

static hardy_outcome judge(const struct run *r, const struct exec_attempt *a) {
    hardy_outcome o = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    o.code = exec_attempt_code(a);
    if (a->not_started) {
        o.effect = HARDY_EFFECT_NONE;
    }
    if (exec_attempt_code(a) == 0 && !a->timed_out && !r->cannot_hold) {
        o.kind = HARDY_SUCCESS;
        o.effect = HARDY_EFFECT_DONE;
    } else if (says_nothing(a) || r->cannot_hold || r->interrupted || r->result->interrupted ||
               !retried(r, a)) {
        o.kind = HARDY_IGNORED;
        o.permanent = true;
    }
    return o;
}

static void finish_attempt(struct run *r) {
    struct exec_attempt *a = r->record;
    a->ended = loop_wall(r->loop);
    feed_end(r->feed);
    hardy_outcome outcome = judge(r, a);
    r->record = NULL;
    r->attempt = NULL;
    drive_report(r->drive, r->number, &outcome);
}

/* --- attempts ----------------------------------------------------------------------------- */

static void on_output(void *ctx, const char *data, size_t len) {
    struct run *r = ctx;
    if (r->cannot_hold) {
        return;
    }
    if (hold_append(&r->held, data, len, &r->held_error) != HARDY_OK) {
        r->cannot_hold = true;
        attempt_stop(r->attempt, SIGTERM);
    }
}

static void on_ended(void *ctx, const struct attempt_result *result) {
    struct run *r = ctx;
    r->record->code = result->code;
    r->record->signal = result->signal;
    r->record->timed_out = r->by_guard && !r->result->interrupted;
    if (result->left > 0) {
        say(r->plan->o, HARDY_LOG_WARNING,
            "ended %zu process%s that the command left running; use setsid for what is to stay",
            result->left, result->left == 1 ? "" : "es");
    }
    finish_attempt(r);
}

static const struct attempt_events attempt_events = {.output = on_output, .ended = on_ended};

/* HARDY_ATTEMPT and HARDY_DEADLINE for the command. */
static void set_environment(struct run *r, int64_t deadline) {
    size_t n = 0;
    for (char **e = environ; *e; e++) {
        if (!str_starts(*e, "HARDY_ATTEMPT=") && !str_starts(*e, "HARDY_DEADLINE=")) {
            r->env[n++] = *e;
        }
    }
    snprintf(r->attempt_env, sizeof r->attempt_env, "HARDY_ATTEMPT=%u", r->number);
    r->env[n++] = r->attempt_env;
    if (deadline != HARDY_NEVER) {
        char text[32];
        clock_format_wall(hardy_time_add(loop_wall(r->loop), deadline - loop_now(r->loop)), text);
        snprintf(r->deadline_env, sizeof r->deadline_env, "HARDY_DEADLINE=%s", text);
        r->env[n++] = r->deadline_env;
    }
    r->env[n] = NULL;
}

static void fill_options(struct run *r, struct attempt_options *options) {
    options->kill_after = r->plan->kill_after;
    process_options_init(&options->process);
    options->process.argv = (const char *const *)r->plan->argv;
    options->process.env = (const char *const *)r->env;
    options->process.group = r->interactive ? PROCESS_GROUP_SAME : PROCESS_GROUP_NEW;
    options->process.capture_stdout = r->holds;
}

static void on_call(void *ctx, struct drive *d, uint32_t number, int64_t deadline) {
    struct run *r = ctx;
    struct exec_result *result = r->result;
    struct attempt_options options;
    (void)d;
    r->number = number;
    r->by_guard = false;
    r->record = &result->attempts[result->count++];
    *r->record = (struct exec_attempt){.started = loop_wall(r->loop)};
    hold_clear(&r->held);
    set_environment(r, deadline);
    fill_options(r, &options);
    hardy_status status = feed_begin(r->feed, &options.process, &result->error);
    if (status == HARDY_OK) {
        status = attempt_start(r->loop, &options, &attempt_events, r, &r->attempt, &result->error);
    }
    if (status != HARDY_OK) {
        r->record->not_started = status == HARDY_E_NOT_FOUND ? 127 : 126;
        finish_attempt(r);
        return;
    }
    feed_started(r->feed);
}

static void on_stop(void *ctx, struct drive *d, uint32_t number) {
    struct run *r = ctx;
    (void)d;
    (void)number;
    if (r->attempt) {
        r->by_guard = true;
        attempt_stop(r->attempt, r->result->interrupted ? r->result->interrupted : SIGTERM);
    }
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct run *r = ctx;
    const struct exec_result *result = r->result;
    char span[48], how[80];
    (void)d;
    if (step->reason == HARDY_REASON_RUNNING || step->until == HARDY_NEVER) {
        return;
    }
    format_duration_short(step->until - loop_now(r->loop), span);
    if (step->reason == HARDY_REASON_BACKOFF && result->count > 0 && r->told < result->count) {
        r->told = (uint32_t)result->count;
        exec_attempt_text(r->plan, &result->attempts[result->count - 1], how);
        say(r->plan->o, HARDY_LOG_INFO, "attempt %zu of %u: %s; trying again in %s", result->count,
            r->plan->settings.retry.max_retries + 1, how, span);
    } else if (step->reason == HARDY_REASON_RATE) {
        say(r->plan->o, HARDY_LOG_INFO, "waiting %s for the rate limit", span);
    } else if (step->reason == HARDY_REASON_BREAKER) {
        say(r->plan->o, HARDY_LOG_INFO, "breaker %s is open; waiting %s", r->plan->name, span);
    }
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct run *r = ctx;
    (void)d;
    r->result->step = *step;
}

static void on_done(void *ctx, struct drive *d) {
    struct run *r = ctx;
    (void)d;
    r->drive = NULL;
    loop_stop(r->loop);
}

static const struct drive_events drive_events = {
    .call = on_call, .stop = on_stop, .waiting = on_waiting, .result = on_result, .done = on_done};

/* Ends before, or without, the guarded operation. */
static void refuse(struct run *r, hardy_status status, hardy_reason reason) {
    r->result->step = (hardy_step){.kind = HARDY_STEP_RESULT,
                                   .status = status,
                                   .reason = reason,
                                   .retry_after = -1,
                                   .outcome = {.kind = HARDY_IGNORED}};
    loop_stop(r->loop);
}

static void begin(struct run *r) {
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.deadline = r->deadline;
    hardy_status status =
        drive_start(r->loop, r->guard, &options, &drive_events, r, &r->drive, &r->result->error);
    if (status != HARDY_OK) {
        refuse(r, status, HARDY_REASON_NONE);
    }
}

static void on_slot(void *ctx, hardy_status status, const hardy_error *error) {
    struct run *r = ctx;
    bool slots = status == HARDY_E_FULL || status == HARDY_E_DEADLINE;
    if (status == HARDY_OK) {
        begin(r);
        return;
    }
    if (!slots) {
        r->result->error = *error;
    }
    refuse(r, status, slots ? HARDY_REASON_SLOTS : HARDY_REASON_NONE);
}

/* --- signals ------------------------------------------------------------------------------ */

/* The terminal sends INT and QUIT to everybody in its foreground group, so also to the command,
 * which may know what to do with it: an interpreter, an editor. */
static void on_signal(void *ctx, int signum) {
    struct run *r = ctx;
    if (r->interactive && r->attempt && (signum == SIGINT || signum == SIGQUIT)) {
        r->interrupted = signum;
        return;
    }
    if (r->result->interrupted) {
        if (r->attempt) {
            attempt_kill(r->attempt);
        }
        return;
    }
    r->result->interrupted = signum;
    if (r->drive) {
        drive_cancel(r->drive);
    } else {
        slot_wait_end(&r->slot);
        refuse(r, HARDY_E_CANCELLED, HARDY_REASON_CANCELLED);
    }
}

static void take_signals(struct run *r) {
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction old;
        /* Ignored by whoever started us (nohup, a shell's background job): it stays so. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) {
            continue;
        }
        r->signals[i] = loop_signal_start(r->loop, numbers[i], on_signal, r);
    }
}

/* --- all together ------------------------------------------------------------------------- */

static hardy_status prepare(struct run *r) {
    const struct exec_plan *plan = r->plan;
    hardy_error *error = &r->result->error;
    uint32_t retries = r->config->retry ? r->config->retry->max_retries : 0;
    size_t count = 0;
    while (environ[count]) {
        count++;
    }
    r->env = calloc(count + 3, sizeof *r->env);
    r->result->attempts = calloc((size_t)retries + 1, sizeof *r->result->attempts);
    if (!r->env || !r->result->attempts) {
        return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    r->loop = loop_uv_new(error);
    if (!r->loop) {
        return error->status;
    }
    process_adopt_orphans(r->loop);
    hardy_env env = loop_env(r->loop);
    env.log = NULL; /* what there is to tell is told by say_changes() */
    const struct guard_words words = {plan->slot.breaker, plan->slot.rate, plan->slot.budget};
    hardy_status status = guard_new_over(r->config, &env, &words, &r->guard, error);
    if (status == HARDY_OK) {
        status = feed_new(r->loop, retries > 0, plan->max_held, &r->feed, error);
    }
    r->interactive = terminal_in_foreground();
    r->holds = retries > 0 && !plan->stream;
    r->deadline = exec_deadline(plan, r->loop);
    return status;
}

/* What this operation did to the breaker that all share. */
static void say_changes(const struct run *r) {
    hardy_event events[16];
    size_t count = hardy_guard_take_events(r->guard, events, sizeof events / sizeof *events);
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind == HARDY_EVENT_STATE) {
            say(r->plan->o, HARDY_LOG_INFO, "breaker %s was %s and is now %s", r->plan->name,
                hardy_breaker_state_name(events[i].from), hardy_breaker_state_name(events[i].to));
        }
    }
}

/* For a person: not when it is no text. */
static void show_end(const struct run *r) {
    char text[SHOWN];
    uint64_t from = r->held.len > SHOWN ? r->held.len - SHOWN : 0;
    ptrdiff_t len = hold_read(&r->held, from, text, sizeof text);
    if (len > 0 && !memchr(text, '\0', (size_t)len)) {
        say(r->plan->o, HARDY_LOG_INFO,
            "the last attempt's standard output%s:", from ? ", its end" : "");
        (void)hold_send(&r->held, from, STDERR_FILENO, NULL);
    }
}

/* Standard output of the attempt that counts. What a failed attempt wrote is shown to the person
 * only: who reads standard output must never see half an answer. */
static void hand_out(const struct run *r) {
    struct exec_result *result = r->result;
    if (!r->holds) {
        return;
    }
    if (!result->commanded) {
        if (!r->cannot_hold && r->plan->o->globals.level >= HARDY_LOG_INFO) {
            show_end(r);
        }
    } else if (hold_send(&r->held, 0, STDOUT_FILENO, &result->error) != HARDY_OK) {
        result->step.status = result->error.status;
    }
}

void exec_run(const struct exec_plan *plan, const hardy_guard_config *config,
              struct exec_result *result) {
    struct run r = {.plan = plan, .config = config, .result = result};
    *result = (struct exec_result){.started = clock_wall()};
    hardy_error_init(&result->error, sizeof result->error);
    hardy_error_init(&r.held_error, sizeof r.held_error);
    hold_init(&r.held, "standard output", plan->max_held);
    signal(SIGPIPE, SIG_IGN);
    hardy_status status = prepare(&r);
    if (status == HARDY_OK) {
        take_signals(&r);
        slot_wait_start(&r.slot, plan, r.loop, r.deadline, on_slot, &r);
        loop_run(r.loop);
        say_changes(&r);
        hardy_guard_stats stats = {.size = sizeof stats};
        hardy_guard_get_stats(r.guard, &stats);
        result->breaker = stats.breaker;
    } else {
        result->step.status = status;
    }
    if (r.cannot_hold) {
        result->error = r.held_error;
        result->step.status = r.held_error.status;
    } else if (r.interrupted && !result->interrupted && result->step.status != HARDY_OK) {
        result->interrupted = r.interrupted;
    }
    result->by_terminal =
        r.interactive && (result->interrupted == SIGINT || result->interrupted == SIGQUIT);
    result->commanded = exec_commanded(plan, result);
    hand_out(&r);
    for (int i = 0; i < SIGNALS; i++) {
        if (r.signals[i]) {
            loop_signal_stop(r.signals[i]);
        }
    }
    feed_free(r.feed);
    hardy_guard_free(r.guard);
    slot_wait_end(&r.slot);
    if (r.loop) {
        loop_free(r.loop);
    }
    hold_free(&r.held);
    free(r.env);
    result->ended = clock_wall();
}
