/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_WORD 64

bool str_eq(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_starts(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix) {
    size_t len = strlen(s), end = strlen(suffix);
    return len >= end && memcmp(s + len - end, suffix, end) == 0;
}

char *str_dup(const char *s) {
    return s ? strdup(s) : NULL;
}

char *str_ndup(const char *s, size_t len) {
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

char *str_format(const char *format, ...) {
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return len < 0 ? NULL : text;
}

bool str_copy(char *out, size_t size, const char *s) {
    size_t len = strlen(s);
    bool whole = len < size;
    if (size == 0) {
        return false;
    }
    if (!whole) {
        len = size - 1;
    }
    memcpy(out, s, len);
    out[len] = '\0';
    return whole;
}

/* RFC 3629, table 3-7 of the Unicode standard: no overlong forms, no surrogates, at most
 * U+10FFFF. */
static size_t utf8_character(const unsigned char *s, size_t len) {
    unsigned char low = 0x80, high = 0xbf;
    size_t size;
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] >= 0xc2 && s[0] <= 0xdf) {
        size = 2;
    } else if (s[0] >= 0xe0 && s[0] <= 0xef) {
        size = 3;
        low = s[0] == 0xe0 ? 0xa0 : low;
        high = s[0] == 0xed ? 0x9f : high;
    } else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        size = 4;
        low = s[0] == 0xf0 ? 0x90 : low;
        high = s[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (len < size || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

size_t str_utf8_length(const char *s, size_t len) {
    return len > 0 ? utf8_character((const unsigned char *)s, len) : 0;
}

bool str_valid_utf8(const char *s, size_t len) {
    for (size_t i = 0; i < len;) {
        size_t size = str_utf8_length(s + i, len - i);
        if (size == 0) {
            return false;
        }
        i += size;
    }
    return true;
}

static bool alphanumeric(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool str_valid_name(const char *s) {
    if (!s || !alphanumeric(s[0])) {
        return false;
    }
    size_t len = 1;
    for (; s[len]; len++) {
        if (len == 63 || !(alphanumeric(s[len]) || strchr("._-", s[len]))) {
            return false;
        }
    }
    return true;
}

/* Optimal string alignment: insertions, deletions, replacements and swapped neighbours cost 1. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    size_t rows[3][LONGEST_WORD + 1];
    for (size_t j = 0; j <= b_len; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best) {
                best = above[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                rows[(i + 1) % 3][j - 2] + 1 < best) {
                best = rows[(i + 1) % 3][j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

const char *str_nearest(const char *word, const char *const *candidates, size_t count) {
    size_t len = strlen(word);
    if (len == 0 || len > LONGEST_WORD) {
        return NULL;
    }
    const char *nearest = NULL;
    size_t least = (len + 2) / 3 + 1; /* a third of the word may be wrong */
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other == 0 || other > LONGEST_WORD) {
            continue;
        }
        size_t d = distance(word, len, candidates[i], other);
        if (d < least && d < other) {
            least = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}

void str_make_printable(char *s) {
    size_t len = strlen(s);
    for (size_t i = 0, n; i < len; i += n) {
        unsigned char c = (unsigned char)s[i];
        n = str_utf8_length(s + i, len - i);
        bool control =
            n == 1 ? c < 0x20 || c == 0x7f : n == 2 && c == 0xc2 && (unsigned char)s[i + 1] < 0xa0;
        if (n == 0 || control) {
            n = n == 0 ? 1 : n;
            memset(s + i, '?', n);
        }
    }
}

void str_hex(const void *data, size_t len, char *out) {
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * len] = '\0';
}
