/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a guarded command means: the exit code, what the person hears, the report. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/exec.h"
#include "cli/say.h"
#include "io/file.h"
#include <signal.h>
#include <stdio.h>

#define REPORT_MAX ((size_t)4 << 20)

int exec_attempt_code(const struct exec_attempt *a) {
    if (a->not_started) {
        return a->not_started;
    }
    return a->signal ? 128 + a->signal : a->code;
}

void exec_attempt_text(const struct exec_plan *plan, const struct exec_attempt *a, char *out) {
    char span[48];
    if (a->timed_out) {
        format_duration_short(a->ended - a->started, span);
        snprintf(out, 80, "stopped after %s", span);
    } else if (a->not_started) {
        snprintf(out, 80, "%.40s could not be run", plan->argv[0]);
    } else if (a->signal) {
        snprintf(out, 80, "killed by signal %d", a->signal);
    } else {
        snprintf(out, 80, "exit code %d", a->code);
    }
}

static const struct exec_attempt *last(const struct exec_result *r) {
    return r->count > 0 ? &r->attempts[r->count - 1] : NULL;
}

static bool has_retries(const struct exec_plan *plan) {
    return plan->settings.config.retry && plan->settings.config.retry->max_retries > 0;
}

bool exec_commanded(const struct exec_plan *plan, const struct exec_result *r) {
    const struct exec_attempt *a = last(r);
    if (r->interrupted || !a || a->timed_out || a->not_started) {
        return false;
    }
    hardy_status status = r->step.status;
    return status == HARDY_OK || status == HARDY_E_FAILED || status == HARDY_E_IN_DOUBT ||
           (status == HARDY_E_EXHAUSTED && !has_retries(plan));
}

static void span_of(int64_t span, char out[48]) {
    if (span == HARDY_NEVER) {
        str_copy(out, 48, "no time that is known");
    } else {
        format_duration_short(span, out);
    }
}

/* "; may try again in 58s", or nothing when nobody knows. */
static void again_text(int64_t span, char out[80]) {
    char text[48];
    out[0] = '\0';
    if (span >= 0 && span != HARDY_NEVER) {
        format_duration_short(span, text);
        snprintf(out, 80, "; may try again in %s", text);
    }
}

static void say_open(const struct exec_plan *plan, const struct exec_result *r) {
    char again[80];
    int64_t span = r->step.retry_after >= 0 ? r->step.retry_after : r->breaker.time_until_retry;
    again_text(span, again);
    switch (r->breaker.state) {
    case HARDY_FORCED_OPEN:
        say(plan->o, HARDY_LOG_ERROR,
            "breaker %s was opened by hand%s; 'hardy guards reset %s' ends that", plan->name, again,
            plan->name);
        return;
    case HARDY_HALF_OPEN:
        say(plan->o, HARDY_LOG_ERROR, "breaker %s is half open, and its trials are running%s",
            plan->name, again);
        return;
    case HARDY_CLOSED:
        say(plan->o, HARDY_LOG_ERROR, "breaker %s has just closed, and lets calls in slowly%s",
            plan->name, again);
        return;
    case HARDY_OPEN:
    case HARDY_DISABLED:
        break;
    }
    const hardy_breaker_config *c = &plan->settings.breaker;
    if (c->failure_mode == HARDY_FAILURE_RATE) {
        say(plan->o, HARDY_LOG_ERROR,
            "breaker %s is open, for too large a share of the calls failed or was slow%s",
            plan->name, again);
    } else {
        say(plan->o, HARDY_LOG_ERROR, "breaker %s is open after %u failures%s", plan->name,
            c->failure_threshold, again);
    }
}

/* "gave up after 4 attempts: exit code 7; retries are used up" */
static void say_gave_up(const struct exec_plan *plan, const struct exec_result *r,
                        const char *why) {
    char how[80] = "", again[80];
    const struct exec_attempt *a = last(r);
    if (a) {
        exec_attempt_text(plan, a, how);
    }
    again_text(r->step.retry_after, again);
    say(plan->o, HARDY_LOG_ERROR, "gave up after %zu attempt%s: %s%s%s%s", r->count,
        r->count == 1 ? "" : "s", how, a ? "; " : "", why, again);
}

/* " of 30s", or the one that was around it; `out` holds 80 bytes. */
static void deadline_text(const struct exec_plan *plan, const struct exec_result *r, char *out) {
    char text[48];
    if (hardy_time_add(r->started, plan->settings.config.deadline) > plan->not_after) {
        clock_format_wall(plan->not_after, text);
        snprintf(out, 80, " around it (HARDY_DEADLINE %s)", text);
    } else {
        span_of(plan->settings.config.deadline, text);
        snprintf(out, 80, " of %s", text);
    }
}

static void say_deadline(const struct exec_plan *plan, const struct exec_result *r) {
    char deadline[80];
    const struct exec_attempt *a = last(r);
    deadline_text(plan, r, deadline);
    if (!a && plan->not_after <= r->started) {
        say(plan->o, HARDY_LOG_ERROR, "the deadline%s had passed: nothing was run", deadline);
    } else if (!a) {
        say(plan->o, HARDY_LOG_ERROR, "the deadline%s passed while waiting: %s", deadline,
            hardy_reason_text(r->step.reason));
    } else if (a->timed_out) {
        say(plan->o, HARDY_LOG_ERROR, "stopped at the deadline%s", deadline);
    } else {
        say_gave_up(plan, r, "the deadline leaves no time for another");
    }
}

static void say_timeout(const struct exec_plan *plan) {
    char span[48];
    span_of(plan->settings.config.timeout, span);
    say(plan->o, HARDY_LOG_ERROR, "stopped at its timeout of %s", span);
}

/* Instead of 75 or 124, where the person asked for it and there is a code. */
static int or_preserved(const struct exec_plan *plan, const struct exec_result *r, int code) {
    const struct exec_attempt *a = last(r);
    return plan->preserve_status && a ? exec_attempt_code(a) : code;
}

static int of_command(const struct exec_plan *plan, const struct exec_result *r) {
    const struct exec_attempt *a = last(r);
    if (a->not_started) {
        say_error(plan->o, &r->error);
        return a->not_started;
    }
    if (a->timed_out) {
        say_timeout(plan);
        return or_preserved(plan, r, EXIT_DEADLINE);
    }
    return exec_attempt_code(a);
}

int exec_verdict(const struct exec_plan *plan, const struct exec_result *r) {
    char again[80];
    if (r->interrupted) {
        return 128 + r->interrupted;
    }
    switch (r->step.status) {
    case HARDY_E_OPEN:
        if (r->count > 0) {
            say_gave_up(plan, r, "the breaker opened");
        }
        say_open(plan, r);
        return EXIT_OPEN;
    case HARDY_E_DEADLINE:
        say_deadline(plan, r);
        return or_preserved(plan, r, EXIT_DEADLINE);
    case HARDY_E_TIMEOUT:
        say_timeout(plan);
        return or_preserved(plan, r, EXIT_DEADLINE);
    case HARDY_E_BUDGET:
        say_gave_up(plan, r, hardy_reason_text(r->step.reason));
        return or_preserved(plan, r, EXIT_PASSING);
    case HARDY_E_LIMITED:
        again_text(r->step.retry_after, again);
        say(plan->o, HARDY_LOG_ERROR, "the rate limit%s%s is reached%s", plan->name ? " of " : "",
            plan->name ? plan->name : "", again);
        return or_preserved(plan, r, EXIT_PASSING);
    case HARDY_E_FULL:
        say(plan->o, HARDY_LOG_ERROR, "all %u slots of %s are taken", plan->max_concurrent,
            plan->name);
        return or_preserved(plan, r, EXIT_PASSING);
    case HARDY_E_EXHAUSTED:
        if (!has_retries(plan)) {
            return of_command(plan, r);
        }
        say_gave_up(plan, r, hardy_reason_text(r->step.reason));
        return or_preserved(plan, r, EXIT_PASSING);
    case HARDY_OK:
    case HARDY_E_FAILED:
    case HARDY_E_IN_DOUBT:
        if (r->count > 0) {
            return of_command(plan, r);
        }
        break;
    case HARDY_E_CLOSED: /* nobody reads our standard output, as for any program in a pipe */
        return 128 + SIGPIPE;
    default:
        break;
    }
    say_error(plan->o, &r->error);
    return EXIT_REFUSED;
}

/* --- the report --------------------------------------------------------------------------- */

static void put_span(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    if (span < 0 || span == HARDY_NEVER) {
        json_out_null(j);
    } else {
        json_out_double(j, (double)span / (double)HARDY_SECOND);
    }
}

static void put_end(struct json_out *j, const struct exec_attempt *a) {
    bool exited = a && !a->not_started && !a->signal;
    json_out_key(j, "exit_code");
    if (exited) {
        json_out_int(j, a->code);
    } else {
        json_out_null(j);
    }
    json_out_key(j, "signal");
    if (a && a->signal) {
        json_out_int(j, a->signal);
    } else {
        json_out_null(j);
    }
}

static void put_report(struct json_out *j, const struct exec_plan *plan,
                       const struct exec_result *r, int code) {
    json_out_object(j);
    json_out_key(j, "name");
    json_out_string(j, plan->name);
    json_out_key(j, "command");
    json_out_array(j);
    for (char **arg = plan->argv; *arg; arg++) {
        json_out_string(j, *arg);
    }
    json_out_array_end(j);
    json_out_key(j, "exit_code");
    json_out_int(j, code);
    json_out_key(j, "status");
    json_out_string(j, hardy_status_name(r->interrupted ? HARDY_E_CANCELLED : r->step.status));
    json_out_key(j, "reason");
    json_out_string(j, r->error.message[0]                   ? r->error.message
                       : r->step.reason != HARDY_REASON_NONE ? hardy_reason_text(r->step.reason)
                                                             : hardy_status_text(r->step.status));
    put_span(j, "retry_after_s", r->step.retry_after);
    json_out_key(j, "breaker");
    json_out_string(j, plan->settings.config.breaker ? hardy_breaker_state_name(r->breaker.state)
                                                     : NULL);
    json_out_key(j, "command_ended");
    json_out_object(j);
    put_end(j, r->count > 0 ? &r->attempts[r->count - 1] : NULL);
    json_out_object_end(j);
    json_out_member_wall(j, "started", r->started);
    put_span(j, "seconds", r->ended - r->started);
    json_out_key(j, "attempts");
    json_out_array(j);
    for (size_t i = 0; i < r->count; i++) {
        const struct exec_attempt *a = &r->attempts[i];
        json_out_object(j);
        json_out_member_wall(j, "started", a->started);
        put_span(j, "seconds", a->ended - a->started);
        put_end(j, a);
        json_out_key(j, "timed_out");
        json_out_bool(j, a->timed_out);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_object_end(j);
}

bool exec_write_report(const struct exec_plan *plan, struct buf *text) {
    hardy_error error;
    hardy_status status;
    hardy_error_init(&error, sizeof error);
    buf_putc(text, '\n');
    if (text->failed) {
        status = fail(&error, HARDY_E_TOO_LARGE, plan->json, "the report is too long");
    } else {
        status = file_write_out(plan->json, text->data, text->len, 0600, &error);
    }
    if (status != HARDY_OK) {
        say_error(plan->o, &error);
    }
    return status == HARDY_OK;
}

bool exec_report(const struct exec_plan *plan, const struct exec_result *r, int code) {
    struct buf text;
    struct json_out j;
    buf_init(&text, REPORT_MAX);
    json_out_init(&j, &text, 2);
    put_report(&j, plan, r, code);
    bool written = exec_write_report(plan, &text);
    buf_free(&text);
    return written;
}
