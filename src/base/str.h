/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STR_H
#define BASE_STR_H
#include <hardy/status.h>
#include <stdbool.h>

bool str_eq(const char *a, const char *b); /* NULL equals only NULL */
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
char *str_dup(const char *s); /* NULL for NULL or no memory */
char *str_ndup(const char *s, size_t len);
char *str_format(const char *format, ...) HARDY_PRINTF(1, 2); /* malloc'd; NULL = no memory */
/* Copies with truncation, always terminated; false when it was cut. */
bool str_copy(char *out, size_t size, const char *s);
bool str_valid_utf8(const char *s, size_t len);
/* Bytes of the well-formed character at the front, 0 when there is none. */
size_t str_utf8_length(const char *s, size_t len);
/* Names of guards, checks, steps: [A-Za-z0-9][A-Za-z0-9._-]{0,62}. */
bool str_valid_name(const char *s);
/* The candidate nearest to `word` by edit distance, NULL when none is near enough to be meant. */
const char *str_nearest(const char *word, const char *const *candidates, size_t count);
/* For texts of strangers on a terminal or in a log line: control characters (line ends and U+0080
 * to U+009F too) and what is no UTF-8 become "?", in place. */
void str_make_printable(char *s);
/* Lower-case hexadecimal; `out` holds 2 * len + 1 bytes. */
void str_hex(const void *data, size_t len, char *out);
#endif
