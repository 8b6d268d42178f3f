/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_SCAN_COMPARE_H
#define TESTS_GATEWAY_SCAN_COMPARE_H
/* What the tests and the fuzzer of the scanner share: what it finds, against a whole parser. */
#include <stdbool.h>
#include <stddef.h>

/* Scans the text for a set of paths. Every value found has to lie in the text; where jansson reads
 * the text as an object, scan_json() has to say so too, and to have found the same values (names
 * with escapes in them aside). Says what differs, malloc'd; NULL = nothing. `read` (may be NULL) is
 * whether jansson could read it. */
char *scan_compare(const char *text, size_t len, bool *read);
#endif
