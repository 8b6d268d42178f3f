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
    HARDY_THROTTLED = 4 /* 429: feeds retry_after and the limiter, not the breaker */
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
} hardy_outcome;

#ifdef __cplusplus
}
#endif
#endif
