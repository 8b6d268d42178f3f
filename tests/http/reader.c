/* SPDX-License-Identifier: Apache-2.0 */
#include "reader.h"

static void collect(void *ctx, const char *data, size_t len) {
    buf_append(ctx, data, len);
}

static void describe(const struct http_parser *p, const struct buf *body, struct buf *out) {
    if (p->response) {
        buf_printf(out, "%d", p->status);
    } else {
        buf_printf(out, "%s %s", p->method, p->target);
    }
    buf_printf(out, " 1.%d length=%lld chunked=%d keep=%d", p->minor, (long long)p->content_length,
               p->chunked, p->keep_alive);
    for (size_t i = 0; i < p->headers.count; i++) {
        buf_printf(out, " [%s=%s]", http_headers_name_at(&p->headers, i),
                   http_headers_value_at(&p->headers, i));
    }
    buf_puts(out, " {");
    if (body->len > 0) {
        buf_append(out, body->data, body->len);
    }
    buf_puts(out, "}");
}

/* One piece. False when nothing more can be read. */
static bool read_piece(struct http_parser *p, const char *data, size_t len, struct buf *body,
                       struct buf *out) {
    for (size_t at = 0; at < len;) {
        at += http_parser_feed(p, data + at, len - at);
        if (p->state == HTTP_PARSER_FAILED) {
            buf_printf(out, "%d", p->error_status);
            return false;
        }
        if (p->state == HTTP_PARSER_END) {
            describe(p, body, out);
            buf_putc(out, '\n');
            buf_reset(body);
            http_parser_reset(p);
        }
    }
    return true;
}

void read_messages(bool response, bool to_head, const char *data, size_t len, size_t first,
                   size_t step, bool eof, struct buf *out) {
    struct buf body;
    struct http_parser p;
    buf_init(&body, len);
    http_parser_init(&p, response, READER_HEAD_MAX, READER_FIELD_MAX, collect, &body);
    if (to_head) {
        http_parser_expect_no_body(&p);
    }
    buf_reset(out);
    size_t at = 0, piece = first;
    while (at < len && p.state != HTTP_PARSER_FAILED) {
        size_t now = piece < len - at ? piece : len - at;
        if (!read_piece(&p, data + at, now, &body, out)) {
            break;
        }
        at += now;
        piece = step;
    }
    if (p.state != HTTP_PARSER_FAILED && http_parser_started(&p)) {
        if (eof) {
            http_parser_finish(&p);
        }
        if (p.state == HTTP_PARSER_END) {
            describe(&p, &body, out);
        } else {
            buf_puts(out, eof ? "cut" : "more");
        }
    }
    http_parser_free(&p);
    buf_free(&body);
}
