/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <hardy/outcome.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>

/* Codes that hardy, timeout(1) and shells give by themselves. */
#define IN_DOUBT 79
#define TIMED_OUT 124
#define CANNOT_RUN 126
#define NOT_FOUND 127
#define SIGNALLED 128
#define LAST_SIGNAL 64

static const hardy_outcome success = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
static const hardy_outcome refused = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
static const hardy_outcome broken = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
static const hardy_outcome own_fault = {
    .kind = HARDY_IGNORED, .effect = HARDY_EFFECT_NONE, .permanent = true};

static hardy_outcome with_code(hardy_outcome outcome, int code) {
    outcome.code = code;
    return outcome;
}

hardy_outcome hardy_outcome_of_exit(int code) {
    switch (code) {
    case 0:
        return success;
    case EX_USAGE:
    case EX_DATAERR:
    case EX_NOINPUT:
    case EX_NOUSER:
    case EX_NOPERM:
    case EX_CONFIG:
    case CANNOT_RUN:
    case NOT_FOUND:
        return with_code(own_fault, code);
    case IN_DOUBT:
    case TIMED_OUT:
        return with_code(broken, code);
    default:
        return code > SIGNALLED && code <= SIGNALLED + LAST_SIGNAL
                   ? hardy_outcome_of_signal(code - SIGNALLED)
                   : with_code(refused, code);
    }
}

hardy_outcome hardy_outcome_of_signal(int signal) {
    hardy_outcome outcome = broken;
    if (signal == SIGINT || signal == SIGTERM) {
        outcome.kind = HARDY_IGNORED;
        outcome.permanent = true;
    }
    return with_code(outcome, SIGNALLED + signal);
}

hardy_outcome hardy_outcome_of_errno(int errnum, bool sent) {
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
        outcome.kind = HARDY_THROTTLED;
        break;
    case ECANCELED:
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

hardy_outcome hardy_outcome_of_timeout(bool sent) {
    return hardy_outcome_of_errno(ETIMEDOUT, sent);
}

hardy_outcome hardy_outcome_of_status(hardy_status status, int64_t retry_after) {
    if (status == HARDY_OK) {
        return success;
    }
    hardy_outcome outcome = with_code(broken, status);
    if (status != HARDY_E_EXHAUSTED && status != HARDY_E_TIMEOUT && status != HARDY_E_IN_DOUBT) {
        outcome.kind = HARDY_IGNORED;
    }
    outcome.permanent = true;
    outcome.status = status;
    outcome.retry_after = retry_after > 0 ? retry_after : 0;
    return outcome;
}

hardy_outcome hardy_outcome_of_http(int status, int64_t retry_after) {
    hardy_outcome outcome;
    switch (status) {
    case 408: /* the request did not arrive whole */
    case 529: /* overloaded, as Anthropic says it */
        outcome = refused;
        break;
    case 425: /* too early: the same request later is welcome */
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

/* A status in place of a word, as OpenRouter, Azure and Google put it there. */
static hardy_llm_error of_number(const char *code) {
    if (code == NULL || strspn(code, "0123456789") != 3 || code[3] != '\0' || code[0] < '4' ||
        code[0] > '5') {
        return HARDY_LLM_UNKNOWN;
    }
    switch ((code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0')) {
    case 402:
        return HARDY_LLM_SPENT;
    case 408:
        return HARDY_LLM_FAILED;
    case 425:
    case 429:
        return HARDY_LLM_THROTTLED;
    case 503:
    case 529:
        return HARDY_LLM_OVERLOADED;
    default:
        return code[0] == '4' ? HARDY_LLM_REJECTED : HARDY_LLM_FAILED;
    }
}

hardy_llm_error hardy_llm_error_of(const char *type, const char *code) {
    static const struct {
        const char *word;
        hardy_llm_error means;
    } rows[] = {
        /* Anthropic, and what others took over from it */
        {"api_error", HARDY_LLM_FAILED},
        {"timeout_error", HARDY_LLM_FAILED},
        {"overloaded_error", HARDY_LLM_OVERLOADED},
        {"rate_limit_error", HARDY_LLM_THROTTLED},
        {"billing_error", HARDY_LLM_SPENT},
        {"contract_spend_limit_reached", HARDY_LLM_SPENT},
        {"enforced_spend_limit_reached", HARDY_LLM_SPENT},
        {"invalid_request_error", HARDY_LLM_REJECTED},
        {"authentication_error", HARDY_LLM_REJECTED},
        {"permission_error", HARDY_LLM_REJECTED},
        {"not_found_error", HARDY_LLM_REJECTED},
        {"request_too_large", HARDY_LLM_REJECTED},
        /* OpenAI and Azure */
        {"server_error", HARDY_LLM_FAILED},
        {"slow_down", HARDY_LLM_OVERLOADED},
        {"server_is_overloaded", HARDY_LLM_OVERLOADED},
        {"rate_limit_exceeded", HARDY_LLM_THROTTLED},
        {"insufficient_quota", HARDY_LLM_SPENT},
        {"billing_hard_limit_reached", HARDY_LLM_SPENT},
        {"billing_not_active", HARDY_LLM_SPENT},
        {"invalid_api_key", HARDY_LLM_REJECTED},
        {"model_not_found", HARDY_LLM_REJECTED},
        {"context_length_exceeded", HARDY_LLM_REJECTED},
        {"content_filter", HARDY_LLM_REJECTED},
        {"content_policy_violation", HARDY_LLM_REJECTED},
        {"invalid_prompt", HARDY_LLM_REJECTED},
        /* Google */
        {"INTERNAL", HARDY_LLM_FAILED},
        {"DEADLINE_EXCEEDED", HARDY_LLM_FAILED},
        {"UNAVAILABLE", HARDY_LLM_OVERLOADED},
        {"RESOURCE_EXHAUSTED", HARDY_LLM_THROTTLED},
        {"INVALID_ARGUMENT", HARDY_LLM_REJECTED},
        {"FAILED_PRECONDITION", HARDY_LLM_REJECTED},
        {"UNAUTHENTICATED", HARDY_LLM_REJECTED},
        {"PERMISSION_DENIED", HARDY_LLM_REJECTED},
        {"NOT_FOUND", HARDY_LLM_REJECTED},
    };
    const char *const words[] = {code, type};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        for (size_t i = 0; words[w] && i < sizeof rows / sizeof *rows; i++) {
            if (strcmp(words[w], rows[i].word) == 0) {
                return rows[i].means;
            }
        }
    }
    return of_number(code);
}

/* An error inside an answer that had begun well. */
static hardy_outcome of_llm_event(hardy_llm_error error, int status) {
    switch (error) {
    case HARDY_LLM_OVERLOADED:
        return with_code(broken, 529);
    case HARDY_LLM_THROTTLED: {
        hardy_outcome outcome = with_code(broken, 429);
        outcome.kind = HARDY_THROTTLED;
        return outcome;
    }
    case HARDY_LLM_SPENT:
    case HARDY_LLM_REJECTED:
        return with_code(own_fault, status);
    default:
        return with_code(broken, status);
    }
}

hardy_outcome hardy_outcome_of_llm(int status, const char *type, const char *code,
                                   int64_t retry_after) {
    hardy_llm_error error = hardy_llm_error_of(type, code);
    bool told = type != NULL || code != NULL;
    hardy_outcome outcome = hardy_outcome_of_http(status, retry_after);
    if (outcome.kind == HARDY_SUCCESS && told) {
        outcome = of_llm_event(error, status);
        outcome.retry_after = retry_after > 0 ? retry_after : 0;
    } else if (error == HARDY_LLM_SPENT || (error == HARDY_LLM_REJECTED && status == 429)) {
        outcome.permanent = true;
    }
    return outcome;
}
