/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_RETRY_AFTER_H
#define HARDY_RETRY_AFTER_H
/*
 * How long the far side asks to wait, out of the headers of its answer:
 *
 *     hardy_retry_after told;
 *     hardy_retry_after_init(&told, sizeof told);
 *     ... for each header of the answer, in any order:
 *         hardy_retry_after_header(&told, name, value, wall);
 *     outcome = hardy_outcome_of_http(status, hardy_retry_after_wait(&told, status));
 *
 * What is understood, the first that was given and can be read counts:
 *
 *     retry-after-ms, x-ms-retry-after-ms   milliseconds, "250" or "0.5" (OpenAI, Azure)
 *     Retry-After                           seconds, "120" or "1.5", or a date in the three forms
 *                                           of RFC 9110, 5.6.7
 *     retryDelay                            "3.5s": not a header, the field of Google's RetryInfo
 *                                           in the body of an error
 *     RateLimit                             draft-ietf-httpapi-ratelimit-headers-11,
 *                                           "burst";r=0;t=30, and the older "limit=100,
 *                                           remaining=0, reset=30" and "l=100, r=0, t=30"
 *     the pairs of any name with `ratelimit-` or `rate-limit-` in it that ends alike but for the
 *     word `remaining` or `reset`, such as x-ratelimit-remaining-tokens with
 *     x-ratelimit-reset-tokens, anthropic-ratelimit-requests-remaining with -reset, or
 *     RateLimit-Remaining with RateLimit-Reset
 *
 * A reset is RFC 3339 ("2026-11-28T16:04:05Z"), a duration ("6m0s", "12ms"), or a number: seconds,
 * above 1e9 a Unix time in seconds, above 1e11 one in milliseconds. Resets stand on most answers,
 * so one counts only where nothing remains of its limit and the answer is a refusal for lack of
 * quota; of several the latest, for a call needs all of them.
 *
 * What cannot be read is ignored, as the draft demands. No wait is longer than
 * HARDY_RETRY_AFTER_MAX: who is told a century, by mistake or by malice, asks again after a day.
 */
#include <hardy/env.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HARDY_RETRY_AFTER_MAX HARDY_DAY

/* Caller-owned, no pointers: may be copied. Of one thread at a time. */
typedef struct hardy_retry_after {
    uint64_t opaque[32];
} hardy_retry_after;

/* For another answer. `size`: sizeof(hardy_retry_after). */
HARDY_API void hardy_retry_after_init(hardy_retry_after *told, size_t size);

/* One header: its name, in any case, and its value, without white space around; both borrowed for
 * the call. `wall`: nanoseconds since 1970. True: it says something of when to come back, and could
 * be read. Of the pairs above the first eight limits of an answer are kept. */
HARDY_API bool hardy_retry_after_header(hardy_retry_after *told, const char *name,
                                        const char *value, int64_t wall);

/* Nanoseconds from `wall`, 0 to HARDY_RETRY_AFTER_MAX; 0 also when nothing was told or the moment
 * has passed. `status`: the answer's; of resets only 429, 503 and 529 say that they are meant. */
HARDY_API int64_t hardy_retry_after_wait(const hardy_retry_after *told, int status);

#ifdef __cplusplus
}
#endif
#endif
