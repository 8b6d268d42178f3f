/* SPDX-License-Identifier: Apache-2.0 */
#include "sse_reader.h"
#include "base/json.h"
#include "http/sse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
    struct buf *events, *dispatched;
    struct buf told; /* the bytes of all events */
};

static void put_text(struct buf *out, const char *text, size_t len) {
    json_put_quoted(out, text, len);
    buf_putc(out, ' ');
}

/* Bytes that are no UTF-8 count too: they are written as they are, not as U+FFFD. */
static void put_bytes(struct buf *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || text[i] == '\r') {
            buf_puts(out, text[i] == '\n' ? "\\n" : "\\r");
        } else {
            buf_putc(out, text[i]);
        }
    }
    buf_putc(out, ' ');
}

static void put_dispatched(struct buf *out, const char *name, size_t name_len, const char *data,
                           size_t data_len) {
    put_bytes(out, name, name_len);
    put_bytes(out, data, data_len);
    buf_putc(out, '\n');
}

static void on_event(void *ctx, const struct sse_event *e) {
    struct record *r = ctx;
    put_bytes(r->events, e->bytes, e->len);
    put_text(r->events, e->name, e->name_len);
    if (e->has_data) {
        put_text(r->events, e->data, e->data_len);
    } else if (e->data_len > 0) {
        buf_puts(r->events, "data without has_data ");
    }
    buf_puts(r->events, e->whole ? "whole\n" : "cut\n");
    buf_append(&r->told, e->bytes, e->len);
    if (r->dispatched && e->whole && e->has_data) {
        put_dispatched(r->dispatched, e->name, e->name_len, e->data, e->data_len);
    }
}

static hardy_status feed(struct sse *s, const char *data, size_t len) {
    char *piece = malloc(len > 0 ? len : 1);
    if (!piece) {
        abort();
    }
    memcpy(piece, data, len);
    hardy_status status = sse_feed(s, piece, len);
    free(piece);
    return status;
}

void sse_read(const char *stream, size_t len, size_t first, size_t step, size_t event_max,
              struct buf *events, struct buf *dispatched) {
    struct record r = {.events = events, .dispatched = dispatched};
    struct sse s;
    hardy_status status = HARDY_OK;
    buf_init(&r.told, len);
    sse_init(&s, event_max, on_event, &r);
    size_t at = 0;
    for (size_t piece = first; status == HARDY_OK && at < len; at += piece, piece = step) {
        piece = piece < len - at ? piece : len - at;
        status = feed(&s, stream + at, piece);
    }
    bool all = status == HARDY_OK;
    if (sse_finish(&s) != status || sse_inside(&s)) {
        buf_puts(events, "the end says otherwise\n");
    }
    if (all && (r.told.len != len || (len > 0 && memcmp(r.told.data, stream, len) != 0))) {
        buf_puts(events, "not the bytes that came\n");
    }
    buf_printf(events, "%s\n", hardy_status_name(status));
    if (events->failed || (dispatched && dispatched->failed)) {
        fprintf(stderr, "sse_read: the record is larger than its buffer\n");
        abort();
    }
    sse_free(&s);
    buf_free(&r.told);
}

struct letter {
    struct buf *out;
    struct buf line, name, data;
};

static void end_line(struct letter *l) {
    struct buf *line = &l->line;
    if (line->len == 0) {
        if (l->data.len > 0) {
            put_dispatched(l->out, l->name.data, l->name.len, l->data.data, l->data.len - 1);
        }
        buf_reset(&l->data);
        buf_reset(&l->name);
        return;
    }
    const char *colon = memchr(line->data, ':', line->len);
    size_t name_len = colon ? (size_t)(colon - line->data) : line->len;
    const char *value = colon ? colon + 1 : "";
    size_t value_len = colon ? line->len - name_len - 1 : 0;
    if (value_len > 0 && *value == ' ') {
        value++;
        value_len--;
    }
    if (name_len == 4 && memcmp(line->data, "data", 4) == 0) {
        buf_append(&l->data, value, value_len);
        buf_putc(&l->data, '\n');
    } else if (name_len == 5 && memcmp(line->data, "event", 5) == 0) {
        buf_reset(&l->name);
        buf_append(&l->name, value, value_len);
    }
    buf_reset(line);
}

void sse_read_by_the_letter(const char *stream, size_t len, struct buf *dispatched) {
    struct letter l = {.out = dispatched};
    buf_init(&l.line, len);
    buf_init(&l.name, len);
    buf_init(&l.data, len + 1);
    size_t at = len >= 3 && memcmp(stream, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (; at < len; at++) {
        if (stream[at] == '\r' || stream[at] == '\n') {
            at += stream[at] == '\r' && at + 1 < len && stream[at + 1] == '\n';
            end_line(&l);
        } else {
            buf_putc(&l.line, stream[at]);
        }
    }
    buf_free(&l.line);
    buf_free(&l.name);
    buf_free(&l.data);
}
