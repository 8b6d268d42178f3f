/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_NUMBER_H
#define BASE_NUMBER_H
/* Doubles and their text, the same under every locale. */
#include <stdbool.h>
#include <stddef.h>

#define NUMBER_TEXT 32
#define NUMBER_LONGEST 1000

/* A decimal literal as in JSON (an optional '-', digits, optional fraction and exponent) at the
 * front of `text`: its length, 0 when there is none. "007" is refused unless `zeros` are allowed.
 */
size_t number_scan(const char *text, size_t len, bool zeros);
/* The value of such a literal; may be infinite. At most NUMBER_LONGEST bytes are looked at. */
double number_value(const char *text, size_t len);
/* The shortest digits that read back as the same double, written as ECMAScript does ("1e+21",
 * "0.002", "-0" as "0"). `value` finite; `out` holds NUMBER_TEXT bytes. */
void number_format(double value, char *out);
#endif
