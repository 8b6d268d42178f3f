/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of the server. A head is held back for a moment, so that it leaves with the first
 * piece of its body in one packet; every piece leaves at once, with its chunk's framing around it.
 */
#include "base/clock.h"
#include "http/server_parts.h"
#include <stdio.h>
#include <string.h>

#define HEAD_OF_ANSWER_MAX ((size_t)1 << 20)
#define HELD_KEPT_MAX 4096 /* memory that stays for the next head */

/* --- what is written, and the held head ------------------------------------------------------ */

static void send(struct peer *p, const struct stream_piece *pieces, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    if (p->state == PEER_CLOSING || len == 0) {
        return;
    }
    bool was_empty = stream_unsent(p->stream) == 0;
    if (stream_writev(p->stream, pieces, count)) {
        p->written += len;
        if (was_empty && stream_unsent(p->stream) > 0) {
            p->write_since = loop_now(p->server->loop);
            p->sent_before = p->written - stream_unsent(p->stream);
            peer_arm(p);
        }
    }
}

static void forget_held(struct http_server *s) {
    s->held.peer = NULL;
    buf_reset(&s->held.head);
    if (s->held.head.cap > HELD_KEPT_MAX) {
        buf_free(&s->held.head);
    }
}

void peer_write(struct peer *p, const struct stream_piece *pieces, size_t count) {
    struct http_server *s = p->server;
    if (s->held.peer != p) {
        send(p, pieces, count);
        return;
    }
    struct stream_piece all[STREAM_PIECES_MAX] = {{s->held.head.data, s->held.head.len}};
    for (size_t i = 0; i < count; i++) {
        all[i + 1] = pieces[i];
    }
    send(p, all, count + 1);
    forget_held(s);
}

void held_drop(struct peer *p) {
    if (p->server->held.peer == p) {
        forget_held(p->server);
    }
}

static void on_turn_over(struct loop_post *post) {
    struct http_server *s = post->ctx;
    s->held.posted = false;
    if (s->held.peer) {
        peer_write(s->held.peer, NULL, 0);
    }
}

void held_init(struct http_server *s) {
    s->held.post.fn = on_turn_over;
    s->held.post.ctx = s;
    buf_init(&s->held.head, HEAD_OF_ANSWER_MAX);
}

/* Where the head is written that peer_write() will send; the one before goes now. */
static struct buf *hold_head(struct peer *p) {
    struct http_server *s = p->server;
    if (s->held.peer) {
        peer_write(s->held.peer, NULL, 0);
    }
    s->held.peer = p;
    return &s->held.head;
}

/* --- heads ----------------------------------------------------------------------------------- */

static bool has_no_body(int status) {
    return status == 204 || status == 304;
}

static void write_head(struct http_request *r, int status, const struct http_headers *headers,
                       const char *content_type, struct buf *out) {
    struct peer *p = r->peer;
    buf_puts(out, "HTTP/1.1 ");
    http_number_write(out, (uint64_t)status);
    buf_putc(out, ' ');
    buf_puts(out, http_status_text(status));
    buf_append(out, "\r\n", 2);
    if (content_type) {
        http_header_write(out, "content-type", content_type);
    }
    for (size_t i = 0; headers && i < headers->count; i++) {
        if (!http_is_framing(http_headers_name_at(headers, i))) {
            http_headers_write_at(headers, i, out);
        }
    }
    if (r->left >= 0 && !has_no_body(status)) {
        buf_puts(out, "content-length: ");
        http_number_write(out, (uint64_t)r->left);
        buf_append(out, "\r\n", 2);
    } else if (r->chunked) {
        http_header_write(out, "transfer-encoding", "chunked");
    }
    if (!p->keep_alive || !r->body_complete || !p->server->listener) {
        p->keep_alive = false;
        http_header_write(out, "connection", "close");
    } else if (r->minor == 0) {
        http_header_write(out, "connection", "keep-alive");
    }
    buf_append(out, "\r\n", 2);
}

/* The head of the answer is held. */
static void begin(struct http_request *r, int status, const struct http_headers *headers,
                  const char *content_type, int64_t length) {
    if (r->begun || !r->peer || r->peer->state == PEER_CLOSING) {
        r->begun = true;
        return;
    }
    r->begun = true;
    bool head_only = strcmp(r->method, "HEAD") == 0;
    r->without_body = head_only || has_no_body(status);
    r->left = has_no_body(status) ? 0 : length;
    r->chunked = length < 0 && !has_no_body(status) && r->minor > 0;
    if (length < 0 && !r->without_body && r->minor == 0) {
        r->peer->keep_alive = false; /* the end of the connection ends the answer */
    }
    struct buf *out = hold_head(r->peer);
    write_head(r, status, headers, content_type, out);
    if (out->failed) {
        peer_cut(r->peer, CLOSE_ERROR, "no room for the head of an answer");
    }
}

/* --- answers --------------------------------------------------------------------------------- */

void http_respond_begin(struct http_request *r, int status, const struct http_headers *headers,
                        const char *content_type, int64_t length) {
    struct http_server *s = r->server;
    begin(r, status, headers, content_type, length);
    if (s->held.peer && !s->held.posted) {
        s->held.posted = true;
        loop_post(s->loop, &s->held.post);
    }
}

bool http_respond_data(struct http_request *r, const void *data, size_t len) {
    struct peer *p = r->peer;
    if (!p || p->state == PEER_CLOSING || !r->begun) {
        return false;
    }
    if (r->without_body || len == 0) {
        return true;
    }
    if (r->chunked) {
        char size[24];
        int digits = snprintf(size, sizeof size, "%zx\r\n", len);
        const struct stream_piece chunk[] = {{size, (size_t)digits}, {data, len}, {"\r\n", 2}};
        peer_write(p, chunk, 3);
        return true;
    }
    if (r->left >= 0) {
        if ((uint64_t)len > (uint64_t)r->left) {
            peer_cut(p, CLOSE_ERROR, "an answer longer than it said");
            return false;
        }
        r->left -= (int64_t)len;
    }
    peer_write(p, &(struct stream_piece){data, len}, 1);
    return true;
}

size_t http_respond_unsent(const struct http_request *r) {
    return r->peer ? stream_unsent(r->peer->stream) : 0;
}

/* A client that is to see a cut answer sees that there was one. */
static void cut(struct peer *p, enum close_reason reason, const char *detail) {
    peer_write(p, NULL, 0);
    peer_cut(p, reason, detail);
}

void http_respond_end(struct http_request *r) {
    struct peer *p = r->peer;
    bool body_complete = r->body_complete;
    if (p && (!r->begun || (r->left > 0 && !r->without_body))) {
        cut(p, CLOSE_ERROR, r->begun ? "an answer shorter than it said" : "no answer");
    } else if (p && r->chunked && !r->without_body) {
        peer_write(p, &(struct stream_piece){"0\r\n\r\n", 5}, 1);
    } else if (p) {
        peer_write(p, NULL, 0); /* a head without a body */
    }
    request_free(r);
    if (p) {
        peer_answered(p, body_complete);
    }
}

void http_respond_abort(struct http_request *r, enum close_reason reason, const char *detail) {
    struct peer *p = r->peer;
    if (p) {
        p->request = NULL;
        cut(p, reason == CLOSE_LOCAL ? CLOSE_ERROR : reason, detail);
    }
    request_free(r);
}

void http_respond(struct http_request *r, int status, const struct http_headers *headers,
                  const char *content_type, const void *body, size_t len) {
    begin(r, status, headers, content_type, (int64_t)len);
    (void)http_respond_data(r, body, len);
    http_respond_end(r);
}

void http_respond_text(struct http_request *r, int status, const char *content_type,
                       const char *text) {
    http_respond(r, status, NULL, content_type, text, strlen(text));
}
