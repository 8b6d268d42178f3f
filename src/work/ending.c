/* SPDX-License-Identifier: Apache-2.0 */
#include "work/ending.h"
#include "base/str.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CODE_TIMED_OUT = 124 };

enum ending ending_of(const struct shim_result *result) {
    if (result->not_started) {
        return ENDING_NOT_STARTED;
    }
    if (result->signal != 0 || result->timed_out || result->cancelled) {
        return ENDING_UNKNOWN;
    }
    return result->code == 0 ? ENDING_DONE : ENDING_FAILED;
}

static char *describe(const struct shim_result *result, const char *command) {
    if (result->not_started) {
        return str_format("%s: %s", command, strerror(result->not_started));
    }
    if (result->timed_out) {
        return str_dup("stopped at its deadline");
    }
    if (result->cancelled) {
        return str_dup("cancelled while it ran");
    }
    if (result->signal) {
        const char *name = sigabbrev_np(result->signal);
        return str_format("killed by signal %d%s%s%s", result->signal, name ? " (SIG" : "",
                          name ? name : "", name ? ")" : "");
    }
    return result->code ? str_format("exit code %d", result->code) : NULL;
}

void ending_record(struct record *r, struct shim_result *result, const char *command) {
    r->code = result->code;
    r->signal = result->signal;
    r->timed_out = result->timed_out;
    r->truncated = result->truncated;
    r->started = result->started;
    r->ended = result->ended;
    size_t len = result->output.len;
    record_set_output(r, buf_take(&result->output), len);
    free(r->detail);
    r->detail = describe(result, command);
}

void ending_record_lost(struct record *r) {
    free(r->detail);
    r->detail = str_dup("its process was lost before it left a result");
}

void ending_record_never_ran(struct record *r, bool timed_out, int64_t wall) {
    r->signal = SIGTERM;
    r->timed_out = timed_out;
    r->ended = wall;
    free(r->detail);
    r->detail =
        str_dup(timed_out ? "stopped at its deadline, before it began" : "stopped before it began");
}

int ending_code(const struct record *r) {
    return r->timed_out ? CODE_TIMED_OUT : r->signal ? 128 + r->signal : r->code;
}

/* Death by INT or TERM was somebody's wish. */
static bool by_wish(int signum) {
    return signum == SIGINT || signum == SIGTERM;
}

hardy_outcome ending_outcome(enum ending ending, const struct record *r, bool passing) {
    hardy_outcome outcome = {.kind = HARDY_IGNORED,
                             .effect = HARDY_EFFECT_NONE,
                             .code = ending_code(r),
                             .permanent = !passing};
    switch (ending) {
    case ENDING_DONE:
        outcome.kind = HARDY_SUCCESS;
        outcome.effect = HARDY_EFFECT_DONE;
        break;
    case ENDING_FAILED:
        outcome.kind = passing ? HARDY_FAILURE : HARDY_IGNORED;
        break;
    case ENDING_UNKNOWN:
        outcome.effect = HARDY_EFFECT_UNKNOWN;
        outcome.kind = r->timed_out || !by_wish(r->signal) ? HARDY_FAILURE : HARDY_IGNORED;
        break;
    case ENDING_NOT_STARTED: /* about this machine, not the far side; no better next time */
    case ENDING_NONE:
        outcome.permanent = true;
        break;
    }
    return outcome;
}
