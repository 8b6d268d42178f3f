/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_OUTCOME_H
#define HARDY_OUTCOME_H
/*
 * How an attempt ended, in the words the policies understand. Five classes, not two: a call that
 * was cancelled teaches nothing about the far side, and a 429 is not an outage.
 */
#include <hardy/env.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hardy_outcome_class {
    HARDY_SUCCESS = 0,
    HARDY_FAILURE = 1, /* the far side failed: connection refused or reset, 5xx, timed out */
    HARDY_SLOW = 2,    /* succeeded, later than wanted; counts as a failure for the breaker */
    HARDY_IGNORED =
        3, /* says nothing about the far side (404, cancelled): the permit is returned */
    HARDY_THROTTLED = 4 /* no room just now, there (429) or here (EMFILE): feeds retry_after and the
                         * limiter, not the breaker */
} hardy_outcome_class;

/* What the attempt may have changed on the far side. Only NONE is retried freely. UNKNOWN is
 * retried when the operation was declared repeatable (or carries a key the far side honours). */
typedef enum hardy_effect {
    HARDY_EFFECT_NONE = 0,
    HARDY_EFFECT_UNKNOWN = 1,
    HARDY_EFFECT_DONE = 2
} hardy_effect;

typedef struct hardy_outcome {
    hardy_outcome_class kind;
    hardy_effect effect;
    bool permanent;      /* trying again would give the same answer (400, 401, 404, exit 127) */
    int32_t code;        /* the caller's own: exit code, HTTP status, errno; hardy hands it back */
    int64_t retry_after; /* a floor for the next wait, nanoseconds from now; 0 = none given */
    const void *result;  /* the caller's own, for the guard's `classify` to look at; hardy hands it
                            back. NULL */
    hardy_status status; /* what another guard inside of the attempt ended with, if not well: it is
                            the verdict of this operation too, with that retry_after, and nothing is
                            tried again. Set by hardy_guard_run() and hardy_outcome_of_status();
                            HARDY_OK: there is none */
} hardy_outcome;

/*
 * What usual results mean. What is not known is a failure whose effect is unknown, so it is
 * repeated only where that was declared harmless. All are pure; any thread. Where they do not fit,
 * change what they return, or give the guard a `classify` of your own (guard.h).
 */

/*
 * A command that ended by itself.
 *
 *     0                  success
 *     64 to 67, 77, 78   ignored, permanent: sysexits.h's usage, data, input, user, permission,
 *                        configuration
 *     126, 127           ignored, permanent: it could not be started
 *     124, 79            failure, effect unknown: ended by timeout(1); hardy's own "in doubt"
 *     129 to 192         as hardy_outcome_of_signal(code - 128): what a shell says of its command
 *     others             failure without effect: the command's own statement that it failed, so it
 *                        may run again
 */
HARDY_API hardy_outcome hardy_outcome_of_exit(int code);

/* A command ended by a signal; code 128 + signal, as shells say it. INT and TERM are somebody's
 * wish: ignored, permanent. Others are failures whose effect is unknown. */
HARDY_API hardy_outcome hardy_outcome_of_signal(int signal);

/* A failed system call or connection; `sent`: the request had begun to leave, so its effect is
 * unknown. ECONNREFUSED: nobody was there, no effect. Short of something here, such as connections
 * in a pool (EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL): throttled. ECANCELED, or the caller's
 * own fault (EACCES, EPERM, ENOENT, EBADF, EFAULT, EINVAL, EAFNOSUPPORT, EPROTONOSUPPORT, ENOTSUP):
 * ignored, permanent. */
HARDY_API hardy_outcome hardy_outcome_of_errno(int errnum, bool sent);

/* The attempt was stopped at its time-out. */
HARDY_API hardy_outcome hardy_outcome_of_timeout(bool sent);

/*
 * What another guard inside of the attempt has made of its own operation: `status` as
 * hardy_guard_run() returned it, `retry_after` of its hardy_error, ns, 0 or less = none; `code` and
 * `status` of the outcome are that status. That guard has counted and retried already, so nothing
 * of it is retried again around it (a retry around a retry multiplies), and its verdict is handed
 * on as it is, with the time that it gave (reason INSIDE, see op.h). The outcome that
 * hardy_guard_run() fills in does the same by its `status`; who does want a retry around it sets
 * `status` to HARDY_OK and `permanent` to false.
 *
 *     OK                                         success
 *     E_EXHAUSTED, E_TIMEOUT                     failure, effect unknown, permanent
 *     E_IN_DOUBT                                 failure, effect unknown, permanent
 *     refused or ended by hardy (E_OPEN,         ignored, permanent: no failure of the far side
 *     E_LIMITED, E_FULL, E_BUDGET, E_DEADLINE,
 *     E_CANCELLED), E_FAILED, and all others
 *
 * An E_DEADLINE that comes when the end of the attempt itself has come (hardy_call.deadline, where
 * that was the inner guard's deadline) is this guard's own: the attempt counts as one that was
 * stopped at its time-out, or the operation's deadline has passed.
 */
HARDY_API hardy_outcome hardy_outcome_of_status(hardy_status status, int64_t retry_after);

/*
 * An HTTP answer (RFC 9110, 15). `retry_after`: the server's, in nanoseconds, 0 = none; see
 * retry_after.h.
 *
 *     100 to 399      success
 *     408, 529        failure without effect: it did not arrive whole; overloaded
 *     425, 429        throttled, without effect: too early; too many
 *     503             with retry_after throttled, without effect; without one a failure
 *     501, 505, 4xx   ignored, permanent: the request's own fault
 *     others          failure, effect unknown
 */
HARDY_API hardy_outcome hardy_outcome_of_http(int status, int64_t retry_after);

/* What an error means that a language model's API tells in words, in an answer's body or in an
 * event of a stream that had begun with 200. */
typedef enum hardy_llm_error {
    HARDY_LLM_UNKNOWN = 0,    /* none of these words: the status decides */
    HARDY_LLM_FAILED = 1,     /* the provider's own trouble: api_error, server_error */
    HARDY_LLM_OVERLOADED = 2, /* overloaded_error, slow_down, UNAVAILABLE */
    HARDY_LLM_THROTTLED = 3,  /* a limit that refills: rate_limit_error, rate_limit_exceeded */
    HARDY_LLM_SPENT = 4,      /* a limit that waiting does not lift: insufficient_quota, billing */
    HARDY_LLM_REJECTED = 5    /* the request's own fault: invalid_request_error, content_filter,
                                 context_length_exceeded, authentication_error */
} hardy_llm_error;

/* `type` and `code` as in Anthropic's and OpenAI's {"error": {"type": ..., "code": ...}}, `status`
 * of Google's as `type`; NULL or "" where there is none. The code is the more exact one and counts
 * first, but where it is a number, such as "429": that is the status over again, and counts last.
 */
HARDY_API hardy_llm_error hardy_llm_error_of(const char *type, const char *code);

/* An answer of such an API; both words NULL: it holds no error. As hardy_outcome_of_http(), but
 * that a spent quota is permanent though it comes as 429, and so is what comes as 429 and is the
 * request's own fault. Below 400 an error is one inside an answer that had begun well: its effect
 * is unknown, unless it is the request's own fault; code 529 for overloaded, 429 for throttled. */
HARDY_API hardy_outcome hardy_outcome_of_llm(int status, const char *type, const char *code,
                                             int64_t retry_after);

#ifdef __cplusplus
}
#endif
#endif
