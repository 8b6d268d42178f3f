/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/judge.h"
#include "base/str.h"
#include "gateway/learned.h"
#include "policy/outcome.h"
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *attempt_result_text(enum attempt_result r) {
    static const char *const texts[] = {
#define X(name, text) text,
        ATTEMPT_RESULTS(X)
#undef X
    };
    return texts[r];
}

static bool is_one_of(const char *text, const char *const *list, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Waiting does not lift these, though they come as 429. */
static bool is_spent(const struct told_error *e) {
    static const char *const codes[] = {
        "contract_spend_limit_reached", "enforced_spend_limit_reached", /* Anthropic */
        "insufficient_quota",           "billing_hard_limit_reached",
        "billing_not_active", /* OpenAI */
    };
    return is_one_of(e->code, codes, COUNT(codes)) || is_one_of(e->type, codes, COUNT(codes)) ||
           strcmp(e->type, "billing_error") == 0;
}

/* Types and codes of errors that the same request would meet again. */
static bool is_final(const struct told_error *e) {
    static const char *const types[] = {
        "invalid_request_error", "authentication_error",    "permission_error",
        "not_found_error",       "request_too_large",       "invalid_api_key",
        "model_not_found",       "context_length_exceeded", "content_policy_violation",
        "invalid_prompt",
    };
    return is_spent(e) || is_one_of(e->type, types, COUNT(types)) ||
           is_one_of(e->code, types, COUNT(types));
}

static enum attempt_result result_of_status(int status) {
    return status < 400                     ? ATTEMPT_OK
           : status == 429                  ? ATTEMPT_THROTTLED
           : status == 529                  ? ATTEMPT_OVERLOADED
           : status >= 500 || status == 408 ? ATTEMPT_ERROR
                                            : ATTEMPT_REJECTED;
}

/* `longest`, or the reset of this limit when it is used up and that is later. */
static int64_t later_reset(const struct http_headers *headers, const char *left_name,
                           const char *reset_name, int64_t wall, int64_t longest) {
    const char *left = left_name ? http_headers_get(headers, left_name) : NULL;
    const char *reset = reset_name ? http_headers_get(headers, reset_name) : NULL;
    int64_t after = left && reset && str_eq(left, "0") ? http_reset_after(reset, wall) : 0;
    return after > longest ? after : longest;
}

/* The longest of the resets of what is used up. */
static int64_t reset_of_used_up(const struct http_headers *headers, int64_t wall) {
    int64_t longest = 0;
    for (size_t i = 0; i < LEARNED_COUNT; i++) {
        const struct learned_headers *names = &learned_headers[i];
        for (size_t p = 0; p < LEARNED_PROVIDERS; p++) {
            longest = later_reset(headers, names->left[p], names->reset[p], wall, longest);
        }
    }
    longest = later_reset(headers, "ratelimit-remaining", "ratelimit-reset", wall, longest);
    return later_reset(headers, "x-ratelimit-remaining", "x-ratelimit-reset", wall, longest);
}

int64_t judge_retry_after(const struct http_headers *headers, int64_t wall) {
    int64_t after = http_retry_after(headers, wall);
    return after > 0 ? after : reset_of_used_up(headers, wall);
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
        return (struct verdict){.outcome = outcome_of_http(status, 0), .result = ATTEMPT_OK};
    }
    /* Resets stand on every answer; they are a time to wait only on a refusal for lack of quota. */
    int64_t after = status == 429 || status == 503 || status == 529
                        ? judge_retry_after(headers, wall)
                        : http_retry_after(headers, wall);
    struct verdict v = {.outcome = outcome_of_http(status, after),
                        .result = result_of_status(status)};
    const char *should_retry = http_headers_get(headers, "x-should-retry");
    struct told_error error;
    bool told = protocol_read_error(upstream, body, len, &error);
    if (v.outcome.permanent) {
        v.untouched = true;
    }
    if (status == 429 && is_subscription_limit(headers)) {
        v.result = ATTEMPT_QUOTA;
        make_final(&v);
    } else if (should_retry && str_eq(should_retry, "true")) {
        make_passing(&v);
    } else if (should_retry && str_eq(should_retry, "false")) {
        make_final(&v);
    } else if (told && is_spent(&error)) {
        v.result = ATTEMPT_QUOTA;
        make_final(&v);
    } else if (told && status == 429 && is_final(&error)) {
        make_final(&v);
    }
    return v;
}

struct verdict judge_event(const struct told_error *error) {
    struct verdict v = {.outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN},
                        .result = ATTEMPT_ERROR};
    if (is_final(error)) {
        v.outcome.kind = HARDY_IGNORED;
        v.result = is_spent(error) ? ATTEMPT_QUOTA : ATTEMPT_REJECTED;
        make_final(&v);
    } else if (strcmp(error->type, "overloaded_error") == 0) {
        v.result = ATTEMPT_OVERLOADED;
        v.outcome.code = 529;
    } else if (strcmp(error->type, "rate_limit_error") == 0 ||
               strcmp(error->code, "rate_limit_exceeded") == 0) {
        v.result = ATTEMPT_THROTTLED;
        v.outcome.kind = HARDY_THROTTLED;
        v.outcome.code = 429;
    }
    return v;
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
