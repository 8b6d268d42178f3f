/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/outcome.h"
#include <errno.h>
#include <signal.h>

#define CANNOT_RUN 126
#define NOT_FOUND 127
#define SIGNALLED 128

static const hardy_outcome success = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
static const hardy_outcome refused = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
static const hardy_outcome broken = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
static const hardy_outcome own_fault = {
    .kind = HARDY_IGNORED, .effect = HARDY_EFFECT_NONE, .permanent = true};

static hardy_outcome with_code(hardy_outcome outcome, int code) {
    outcome.code = code;
    return outcome;
}

hardy_outcome outcome_of_exit(int code) {
    if (code == CANNOT_RUN || code == NOT_FOUND) {
        return with_code(own_fault, code);
    }
    return with_code(code == 0 ? success : refused, code);
}

hardy_outcome outcome_of_signal(int signal) {
    hardy_outcome outcome = broken;
    if (signal == SIGINT || signal == SIGTERM) {
        outcome.kind = HARDY_IGNORED;
        outcome.permanent = true;
    }
    return with_code(outcome, SIGNALLED + signal);
}

hardy_outcome outcome_of_errno(int errnum, bool sent) {
    hardy_outcome outcome = sent ? broken : refused; /* reset, unreachable, timed out ... */
    switch (errnum) {
    case ECONNREFUSED: /* nobody was there to receive anything */
        outcome = refused;
        break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: /* short of something here: passing, and not the far side's trouble */
    case ECANCELED:
        outcome.kind = HARDY_IGNORED;
        break;
    case EACCES:
    case EPERM:
    case ENOENT:
    case EBADF:
    case EFAULT:
    case EINVAL:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOTSUP:
        outcome.kind = HARDY_IGNORED;
        outcome.permanent = true;
        break;
    default:
        break;
    }
    return with_code(outcome, errnum);
}

hardy_outcome outcome_of_timeout(bool sent) {
    return outcome_of_errno(ETIMEDOUT, sent);
}

hardy_outcome outcome_of_http(int status, int64_t retry_after) {
    hardy_outcome outcome;
    switch (status) {
    case 408: /* the request did not arrive whole */
    case 529: /* overloaded, as Anthropic says it */
        outcome = refused;
        break;
    case 425: /* too early: the same request later is welcome */
        outcome = refused;
        outcome.kind = HARDY_IGNORED;
        break;
    case 429:
        outcome = refused;
        outcome.kind = HARDY_THROTTLED;
        break;
    case 503: /* with a time it is a refusal for lack of quota, without one an outage */
        outcome = retry_after > 0 ? refused : broken;
        outcome.kind = retry_after > 0 ? HARDY_THROTTLED : HARDY_FAILURE;
        break;
    case 501:
    case 505:
        outcome = own_fault;
        break;
    default:
        outcome = status >= 100 && status < 400   ? success
                  : status >= 400 && status < 500 ? own_fault
                                                  : broken;
        break;
    }
    outcome.retry_after = retry_after > 0 ? retry_after : 0;
    return with_code(outcome, status);
}
