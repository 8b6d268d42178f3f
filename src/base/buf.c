/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 64

void buf_init(struct buf *b, size_t max) {
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b) {
    free(b->data);
    buf_init(b, b->max);
}

void buf_reset(struct buf *b) {
    b->len = 0;
    b->failed = b->full = false;
    if (b->data) {
        b->data[0] = '\0';
    }
}

/* Whether `more` bytes and the NUL behind them are allowed; *need is the capacity they take. */
static bool allows(struct buf *b, size_t more, size_t *need) {
    b->full = b->full || more > b->max - b->len;
    *need = b->len + more + 1;
    if (more > b->max - b->len || *need == 0) {
        b->failed = true;
        return false;
    }
    return true;
}

static bool grow(struct buf *b, size_t cap) {
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

bool buf_reserve(struct buf *b, size_t more) {
    size_t need;
    if (!allows(b, more, &need)) {
        return false;
    }
    bool empty = !b->data;
    if (need > b->cap && !grow(b, need)) {
        return false;
    }
    if (empty) {
        b->data[0] = '\0';
    }
    return true;
}

/* The same, with room for what may follow. */
static bool reserve(struct buf *b, size_t more) {
    size_t need;
    if (!allows(b, more, &need)) {
        return false;
    }
    if (need <= b->cap) {
        return true;
    }
    size_t cap = b->cap < SMALLEST ? SMALLEST : b->cap;
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap > b->max && b->max < SIZE_MAX) {
        cap = b->max + 1;
    }
    return grow(b, cap);
}

char *buf_extend(struct buf *b, size_t len) {
    if (!reserve(b, len)) {
        return NULL;
    }
    char *added = b->data + b->len;
    b->len += len;
    b->data[b->len] = '\0';
    return added;
}

bool buf_append(struct buf *b, const void *data, size_t len) {
    char *added = buf_extend(b, len);
    if (added && len > 0) {
        memcpy(added, data, len);
    }
    return added != NULL;
}

bool buf_puts(struct buf *b, const char *text) {
    return buf_append(b, text, strlen(text));
}

bool buf_putc(struct buf *b, char c) {
    return buf_append(b, &c, 1);
}

bool buf_vprintf(struct buf *b, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    size_t space = b->cap - b->len;
    int len = vsnprintf(b->data ? b->data + b->len : NULL, space, format, args);
    bool ok = len >= 0;
    if (ok && (size_t)len >= space) {
        ok = reserve(b, (size_t)len);
        if (ok) {
            vsnprintf(b->data + b->len, (size_t)len + 1, format, again);
        }
    } else if (ok && (size_t)len > b->max - b->len) {
        ok = false;
        b->full = true;
    }
    va_end(again);
    if (!ok) {
        b->failed = true;
        if (b->data && b->cap > b->len) {
            b->data[b->len] = '\0';
        }
        return false;
    }
    b->len += (size_t)len;
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    bool ok = buf_vprintf(b, format, args);
    va_end(args);
    return ok;
}

void buf_consume(struct buf *b, size_t len) {
    if (len >= b->len) {
        len = b->len;
    }
    if (len == 0) {
        return;
    }
    memmove(b->data, b->data + len, b->len - len + 1);
    b->len -= len;
}

char *buf_take(struct buf *b) {
    char *data = b->data ? b->data : calloc(1, 1);
    buf_init(b, b->max);
    return data;
}
