/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_SCAN_H
#define GATEWAY_SCAN_H
/*
 * Finds a few values in a JSON text where it lies: nothing is copied, built or changed. It is as
 * strict as it needs to be to find the right bytes, and no validator: json_check() is. Strings are
 * passed over at the speed of memchr(), for prompts are most of what passes. The text need not be
 * terminated, and nothing outside it is read.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scan_kind {
    SCAN_ABSENT,
    SCAN_STRING,
    SCAN_NUMBER,
    SCAN_TRUE,
    SCAN_FALSE,
    SCAN_NULL,
    SCAN_OBJECT,
    SCAN_ARRAY
};
struct scan_value {
    enum scan_kind kind;
    const char *at; /* strings without their quotes, escapes as they stand; else the whole value */
    size_t len;
};
struct scan_want {
    const char *path; /* "model", "error.details.error_code"; at most SCAN_DEPTH names */
    struct scan_value value;
};
#define SCAN_DEPTH 4
#define SCAN_WANTS 32
/* Fills the values of `wants` (SCAN_WANTS at most); of a name that stands twice the last counts, as
 * parsers do. False when the text is no JSON object as far as it was read (it may be cut anywhere):
 * values found before that are left in place. Names with escapes in them are not recognised. */
bool scan_json(const char *text, size_t len, struct scan_want *wants, size_t count);

/* It is a string, and `text` is what stands between its quotes. */
bool scan_is(const struct scan_value *value, const char *text);
/* A non-negative whole number (12, 12.0, 1.2e1), -1 = it is not one; saturates. */
int64_t scan_integer(const struct scan_value *value);
/* A string (escapes left as they are, cut to size between characters, control characters
 * replaced), "" when it is none. */
void scan_copy(const struct scan_value *value, char *out, size_t size);
#endif
