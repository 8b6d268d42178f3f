/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting times told by headers, out of arbitrary text. Whatever it says is either a span, which is
 * the same at any time, or a moment, which comes nearer by a second in a second; never negative,
 * and of an answer never above the bound.
 */
#include "policy/retry_after.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *what, const char *text, int64_t now, int64_t then, int64_t most) {
    int64_t nearer = now > HARDY_SECOND ? now - HARDY_SECOND : 0;
    bool bounded = now == most && then <= most && then >= nearer;
    if (now < 0 || now > most || then < 0 || (then != now && then != nearer && !bounded)) {
        fprintf(stderr, "%s: %s: %lld, and a second later %lld\n", what, text, (long long)now,
                (long long)then);
        abort();
    }
}

static int64_t wait_at(const char *name, const char *text, int64_t wall) {
    hardy_retry_after told;
    hardy_retry_after_init(&told, sizeof told);
    (void)hardy_retry_after_header(&told, "x-ratelimit-remaining", "0", wall);
    (void)hardy_retry_after_header(&told, name, text, wall);
    return hardy_retry_after_wait(&told, 429);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"retry-after", "retry-after-ms", "x-ms-retry-after-ms",
                                        "retryDelay",  "ratelimit",      "x-ratelimit-reset"};
    /* 2026-11-28T16:04:00.5Z, when no year is near to become the next one. */
    const int64_t wall = INT64_C(1795881840500) * HARDY_MILLISECOND;
    char text[LONGEST + 1];
    size_t len = size < LONGEST ? size : LONGEST;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    check("reset", text, retry_after_reset(text, wall),
          retry_after_reset(text, wall + HARDY_SECOND), HARDY_NEVER);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check(names[i], text, wait_at(names[i], text, wall),
              wait_at(names[i], text, wall + HARDY_SECOND), HARDY_RETRY_AFTER_MAX);
    }
    /* As a name, too: any answer but a wait is a mistake of reading outside of it. */
    check("name", text, wait_at(text, "7", wall), wait_at(text, "7", wall + HARDY_SECOND),
          HARDY_RETRY_AFTER_MAX);
    return 0;
}
