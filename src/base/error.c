/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hardy_error_init(hardy_error *error, size_t size) {
    memset(error, 0, size);
    if (size >= offsetof(hardy_error, where)) {
        error->size = size;
        error->retry_after = -1;
    }
}

/* One line whatever a value brought along, and no half character where the text was cut. */
static void tidy(char *text, size_t size) {
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = ' ';
        }
    }
    if (len + 1 < size) {
        return;
    }
    size_t start = len;
    while (start > 0 && ((unsigned char)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start > 0 && (unsigned char)text[start - 1] >= 0xc0 &&
        !str_valid_utf8(text + start - 1, len - (start - 1))) {
        text[start - 1] = '\0';
    }
}

HARDY_PRINTF(4, 0)
static void fill(hardy_error *error, hardy_status status, const char *where, const char *format,
                 va_list args) {
    error->status = status;
    if (where) {
        str_copy(error->where, sizeof error->where, where);
        tidy(error->where, sizeof error->where);
    }
    /* Into a copy first: an argument may be the message that is there now. */
    char message[sizeof error->message];
    vsnprintf(message, sizeof message, format, args);
    tidy(message, sizeof message);
    memcpy(error->message, message, sizeof message);
}

hardy_status fail(hardy_error *error, hardy_status status, const char *where, const char *format,
                  ...) {
    if (error) {
        va_list args;
        va_start(args, format);
        fill(error, status, where, format, args);
        va_end(args);
    }
    return status;
}

static hardy_status status_of(int errnum) {
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return HARDY_E_NOSPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return HARDY_E_READONLY;
    case ENOENT:
        return HARDY_E_NOT_FOUND;
    case ENOMEM:
        return HARDY_E_NOMEM;
    default:
        return HARDY_E_IO;
    }
}

hardy_status fail_errno(hardy_error *error, int errnum, const char *where, const char *format,
                        ...) {
    hardy_status status = status_of(errnum);
    if (error) {
        va_list args;
        va_start(args, format);
        fill(error, status, where, format, args);
        va_end(args);
        size_t len = strlen(error->message);
        /* The C locale's text: the same everywhere, and safe in any thread. */
        locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        snprintf(error->message + len, sizeof error->message - len, ": %s",
                 c ? strerror_l(errnum, c) : "system error");
        if (c) {
            freelocale(c);
        }
        tidy(error->message, sizeof error->message);
    }
    return status;
}

void error_prefix(hardy_error *error, const char *format, ...) {
    if (!error) {
        return;
    }
    char text[sizeof error->message];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    size_t used = (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    if (str_copy(text + used, sizeof text - used, ": ")) {
        str_copy(text + used + 2, sizeof text - used - 2, error->message);
    }
    tidy(text, sizeof text);
    memcpy(error->message, text, sizeof text);
}
