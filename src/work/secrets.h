/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_SECRETS_H
#define WORK_SECRETS_H
/*
 * Secrets are kept out of what is stored, logged and shown: every place where one stands in a text
 * becomes "***".
 *
 * A value is found as it is, and in the forms in which programs write it: inside a JSON string
 * (however the writer escapes what need not be escaped), percent-encoded, and in base64 (of both
 * alphabets), by itself or in the middle of something else, such as "user:password" (of that,
 * digits with bits of a neighbour too stay: four bits at most on either side). Where values
 * overlap, all of it goes. What a program makes of a secret besides (its hash, its reverse, one
 * line of several) is not known here, and is not found.
 */
#include <hardy/status.h>
#include <stddef.h>

/* A shorter value would be found everywhere by chance, and its masking would tell it. */
#define SECRET_MIN 4
#define SECRETS_BYTES_MAX ((size_t)64 << 10) /* of all values together */

struct secret_value { /* borrowed for the call */
    const char *name; /* for errors; values are never told */
    const char *value;
    size_t len;
};
struct secrets;
/* E_INVALID: shorter than SECRET_MIN bytes, naming it; E_TOO_LARGE; E_NOMEM. */
hardy_status secrets_new(const struct secret_value *values, size_t count, struct secrets **out,
                         hardy_error *error);
void secrets_free(struct secrets *s); /* NULL is fine; what was in memory is overwritten */
/* In place: the result is never longer. `text` is any bytes; a NUL stands behind the result when it
 * has become shorter. Takes time as the text is long, however many values there are. Without memory
 * all of the text becomes "***" (or as much of that as had room). `s` NULL: nothing is secret. */
void secrets_mask(const struct secrets *s, char *text, size_t *len);
#endif
