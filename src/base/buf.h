/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BUF_H
#define BASE_BUF_H
/*
 * A growing byte buffer with a mandatory maximum. Always NUL-terminated behind `len`, so `data` is
 * a C string once something was written. After a refused append (maximum, memory) the buffer
 * keeps what it has and `failed` stays set: a series of appends is checked once, at its end.
 */
#include <hardy/status.h>
#include <stdarg.h>
#include <stdbool.h>

struct buf {
    char *data; /* NULL while empty and never written */
    size_t len, cap, max;
    bool failed;
    bool full; /* failed at the maximum, not for lack of memory */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* ready for use again with the same maximum */
void buf_reset(struct buf *b); /* empties, keeps the memory */
/* Room for exactly `more` further bytes, at once instead of step by step. False like a refused
 * append. */
bool buf_reserve(struct buf *b, size_t more);
/* `len` bytes more, which the caller fills; NULL like a refused append. */
char *buf_extend(struct buf *b, size_t len);
bool buf_append(struct buf *b, const void *data, size_t len);
bool buf_puts(struct buf *b, const char *text);
bool buf_putc(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *format, ...) HARDY_PRINTF(2, 3);
bool buf_vprintf(struct buf *b, const char *format, va_list args) HARDY_PRINTF(2, 0);
void buf_consume(struct buf *b, size_t len); /* drops bytes at the front */
char *
buf_take(struct buf *b); /* the string, malloc'd, taken; "" rather than NULL; NULL = no memory */
#endif
