/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H
#include <hardy/status.h>

/* Fills `error` (may be NULL) and returns `status`, so that a function can end with
 * `return fail(error, HARDY_E_SYNTAX, "hardy.yaml:3:11", "...")`. `where` may be NULL (kept). */
hardy_status fail(hardy_error *error, hardy_status status, const char *where, const char *format,
                  ...) HARDY_PRINTF(4, 5);

/* The same for a failed system call: adds the text of `errnum`, and picks the status
 * (ENOSPC, EDQUOT -> E_NOSPACE; EACCES, EPERM, EROFS -> E_READONLY; ENOENT -> E_NOT_FOUND;
 * ENOMEM -> E_NOMEM; else E_IO). */
hardy_status fail_errno(hardy_error *error, int errnum, const char *where, const char *format, ...)
    HARDY_PRINTF(4, 5);

/* Puts "prefix: " before the message already there: for a caller that knows more. */
void error_prefix(hardy_error *error, const char *format, ...) HARDY_PRINTF(2, 3);
#endif
