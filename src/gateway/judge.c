/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/judge.h"
#include "base/str.h"
#include <string.h>

const char *attempt_result_text(enum attempt_result r) {
    static const char *const texts[] = {
#define X(name, text) text,
        ATTEMPT_RESULTS(X)
#undef X
    };
    return texts[r];
}

static enum attempt_result result_of_status(int status) {
    return status < 400                     ? ATTEMPT_OK
           : status == 429                  ? ATTEMPT_THROTTLED
           : status == 529                  ? ATTEMPT_OVERLOADED
           : status >= 500 || status == 408 ? ATTEMPT_ERROR
                                            : ATTEMPT_REJECTED;
}

/* The subscription's own refusal: the client knows it and tells its user until when. */
static bool is_subscription_limit(const struct http_headers *headers) {
    const char *status = http_headers_get(headers, "anthropic-ratelimit-unified-status");
    return status && strcmp(status, "rejected") == 0;
}

static void make_final(struct verdict *v) {
    v->outcome.permanent = true;
    v->untouched = true;
}

/* The upstream says that trying again may help: so nothing was done, and it is its trouble. */
static void make_passing(struct verdict *v) {
    if (v->outcome.kind == HARDY_IGNORED) {
        v->outcome.kind = HARDY_FAILURE;
        v->result = ATTEMPT_ERROR;
    }
    v->outcome.permanent = false;
    v->outcome.effect = HARDY_EFFECT_NONE;
    v->untouched = false;
}

struct verdict judge_answer(enum upstream_protocol upstream, int status,
                            const struct http_headers *headers, const char *body, size_t len,
                            int64_t wall) {
    if (status < 400) {
        return (struct verdict){.outcome = hardy_outcome_of_http(status, 0), .result = ATTEMPT_OK};
    }
    struct told_error error;
    bool told = protocol_read_error(upstream, body, len, &error);
    int64_t after = http_retry_after(headers, status, wall);
    struct verdict v = {.outcome = told
                                       ? hardy_outcome_of_llm(status, error.type, error.code, after)
                                       : hardy_outcome_of_http(status, after),
                        .result = result_of_status(status)};
    const char *should_retry = http_headers_get(headers, "x-should-retry");
    v.untouched = v.outcome.permanent;
    if (status == 429 && is_subscription_limit(headers)) {
        v.result = ATTEMPT_QUOTA;
        make_final(&v);
    } else if (should_retry && str_eq(should_retry, "true")) {
        make_passing(&v);
    } else if (should_retry && str_eq(should_retry, "false")) {
        make_final(&v);
    } else if (told && hardy_llm_error_of(error.type, error.code) == HARDY_LLM_SPENT) {
        v.result = ATTEMPT_QUOTA;
    }
    return v;
}

struct verdict judge_event(const struct told_error *error) {
    static const enum attempt_result results[] = {
        [HARDY_LLM_UNKNOWN] = ATTEMPT_ERROR,         [HARDY_LLM_FAILED] = ATTEMPT_ERROR,
        [HARDY_LLM_OVERLOADED] = ATTEMPT_OVERLOADED, [HARDY_LLM_THROTTLED] = ATTEMPT_THROTTLED,
        [HARDY_LLM_SPENT] = ATTEMPT_QUOTA,           [HARDY_LLM_REJECTED] = ATTEMPT_REJECTED};
    hardy_llm_error means = hardy_llm_error_of(error->type, error->code);
    hardy_outcome outcome = hardy_outcome_of_llm(200, error->type, error->code, 0);
    return (struct verdict){
        .outcome = outcome, .result = results[means], .untouched = outcome.permanent};
}

void judge_by_codes(struct verdict *v, const struct guard_settings *guard) {
    if (v->result != ATTEMPT_OK && !guard_retries_status(guard, v->outcome.code)) {
        make_final(v);
    }
}

struct verdict judge_failure(const struct http_failure *failure) {
    bool sent = failure->facts.sent;
    struct verdict v = {.outcome = {.kind = HARDY_FAILURE,
                                    .effect = sent ? HARDY_EFFECT_UNKNOWN : HARDY_EFFECT_NONE}};
    switch (failure->reason) {
    case CLOSE_SHUTDOWN:
        v.outcome.kind = HARDY_IGNORED;
        v.result = ATTEMPT_CANCELLED;
        break;
    case CLOSE_TIMEOUT:
        v.result = ATTEMPT_TIMEOUT;
        break;
    case CLOSE_TOO_LARGE:
    case CLOSE_PROTOCOL:
        v.result = ATTEMPT_MALFORMED;
        break;
    default:
        v.result = failure->facts.phase == HTTP_PHASE_CONNECT ? ATTEMPT_CONNECT : ATTEMPT_RESET;
        break;
    }
    return v;
}

struct verdict judge_broken(enum attempt_result result) {
    return (struct verdict){.outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN},
                            .result = result};
}
