/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting times told by headers, out of arbitrary text. Whatever it says is either a span, which is
 * the same at any time, or a moment, which comes nearer by a second in a second; and never
 * negative.
 */
#include "http/message.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *what, const char *text, int64_t now, int64_t then) {
    int64_t nearer = now > HARDY_SECOND ? now - HARDY_SECOND : 0;
    if (now < 0 || then < 0 || (then != now && then != nearer)) {
        fprintf(stderr, "%s: %s: %lld, and a second later %lld\n", what, text, (long long)now,
                (long long)then);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"retry-after", "retry-after-ms", "x-ms-retry-after-ms"};
    /* 2026-11-28T16:04:00.5Z, when no year is near to become the next one. */
    const int64_t wall = INT64_C(1795881840500) * HARDY_MILLISECOND;
    char text[LONGEST + 1];
    struct http_headers h;
    size_t len = size < LONGEST ? size : LONGEST;
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    check("reset", text, http_reset_after(text, wall), http_reset_after(text, wall + HARDY_SECOND));
    http_headers_init(&h, 1, 2 * LONGEST);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        http_headers_reset(&h);
        if (http_headers_add(&h, names[i], text) == HARDY_OK) {
            check(names[i], text, http_retry_after(&h, wall),
                  http_retry_after(&h, wall + HARDY_SECOND));
        }
    }
    http_headers_free(&h);
    return 0;
}
