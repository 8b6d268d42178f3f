/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H
/*
 * Server-sent events out of a byte stream that may be cut anywhere (WHATWG HTML, 9.2.6). Events are
 * told whole, with the very bytes they came in, so that they can be handed on untouched: joined,
 * the bytes of all events are the stream. Lines end in LF, CR LF or CR; an event ends with an empty
 * line, and an empty line by itself is an event with nothing in it.
 *
 * An empty line that ends in CR as the last byte of a read is told with the next read, for an LF
 * may belong to it; only where the line before ended in a bare CR too is that not waited for, so
 * that streams of bare CRs are not late.
 */
#include "base/buf.h"

struct sse_event {
    const char *bytes; /* as they came, the empty line that ends it included */
    size_t len;
    const char *name; /* the value of the last `event:` line; name_len 0 = none */
    size_t name_len;
    const char *data; /* the `data:` lines, joined by LF */
    size_t data_len;
    bool has_data; /* false: comments, `id:`, `retry:` or nothing at all */
    bool whole;    /* false: the stream ended inside it; its last line may be cut */
};

struct sse {
    void (*event)(void *ctx, const struct sse_event *event);
    void *ctx;
    /* private */
    struct buf tail, joined; /* an unfinished event; data of several lines */
    hardy_status failed;
    bool begun; /* an event was told: what begins now is not the beginning of the stream */
};
/* An event of more than `event_max` bytes is refused. Everything told is borrowed for the call; the
 * callback must not feed or free the parser. */
void sse_init(struct sse *s, size_t event_max,
              void (*event)(void *ctx, const struct sse_event *event), void *ctx);
void sse_free(struct sse *s);
/* E_TOO_LARGE, E_NOMEM: the stream cannot be read any further, and every later call says the same.
 * An event that comes whole in one read is not copied. */
hardy_status sse_feed(struct sse *s, const char *data, size_t len);
/* The stream has ended: what is left is told as an event that is not whole. */
hardy_status sse_finish(struct sse *s);
bool sse_inside(const struct sse *s); /* some bytes of an unfinished event are held */
#endif
