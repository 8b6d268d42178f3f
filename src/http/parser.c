/* SPDX-License-Identifier: Apache-2.0 */
#include "http/parser.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

/* Chunk sizes and extensions may take this much for each byte of body, beyond one head's worth: a
 * chunk of one byte needs five. Looked at each time so many bytes have passed, wherever the stream
 * was cut, so that the same bytes always have the same result. */
#define OVERHEAD_RATIO 16
#define OVERHEAD_STEP 4096
/* Memory that stays with a parser which may wait long for its next message. */
#define KEPT_MAX 256

static void refuse(struct http_parser *p, int status, const char *error) {
    p->state = HTTP_PARSER_FAILED;
    p->error_status = status;
    p->error = error;
}

/* --- llhttp's callbacks ---------------------------------------------------------------------- */

/* llhttp may tell a text in pieces; the head lies in one place, so they are neighbours. False when
 * these bytes begin another text. */
static bool extend(struct http_span *span, const char *at, size_t len) {
    if (span->at && span->at + span->len != at) {
        return false;
    }
    span->at = span->at ? span->at : at;
    span->len += len;
    return true;
}

static int on_url(llhttp_t *machine, const char *at, size_t len) {
    struct http_parser *p = machine->data;
    return extend(&p->url, at, len) ? 0 : HPE_USER;
}

static int add_field(struct http_parser *p) {
    if (!p->name.at) {
        return 0;
    }
    hardy_status status = http_headers_addn(&p->headers, p->name.at, p->name.len,
                                            p->value.at ? p->value.at : "", p->value.len);
    p->name = p->value = (struct http_span){.at = NULL};
    if (status == HARDY_OK) {
        return 0;
    }
    if (status == HARDY_E_TOO_LARGE) {
        refuse(p, 431, "too many header fields");
    } else if (status == HARDY_E_NOMEM) {
        refuse(p, 503, "no memory for a head");
    } else {
        refuse(p, 400, "a header field has a byte that is not allowed");
    }
    return HPE_USER;
}

static int on_header_field(llhttp_t *machine, const char *at, size_t len) {
    struct http_parser *p = machine->data;
    if (!p->value.at && extend(&p->name, at, len)) {
        return 0;
    }
    return add_field(p) == 0 && extend(&p->name, at, len) ? 0 : HPE_USER;
}

static int on_header_value(llhttp_t *machine, const char *at, size_t len) {
    struct http_parser *p = machine->data;
    return extend(&p->value, at, len) ? 0 : HPE_USER;
}

static int check_host(struct http_parser *p) {
    size_t hosts = http_headers_count(&p->headers, "host");
    if (hosts > 1) {
        refuse(p, 400, "more than one Host");
    } else if (hosts == 0 && p->minor > 0) {
        refuse(p, 400, "no Host");
    }
    return hosts > 1 || (hosts == 0 && p->minor > 0) ? HPE_USER : 0;
}

static int check_framing(struct http_parser *p) {
    size_t lengths = http_headers_count(&p->headers, "content-length");
    size_t codings = http_headers_count(&p->headers, "transfer-encoding");
    const char *error = NULL;
    if (lengths > 1) {
        error = "more than one Content-Length";
    } else if (lengths > 0 && codings > 0) {
        error = "both Content-Length and Transfer-Encoding";
    } else if (codings > 1) {
        error = "more than one Transfer-Encoding";
    } else if (codings > 0 && p->minor == 0) {
        error = "Transfer-Encoding in HTTP/1.0";
    } else if (codings > 0) {
        p->chunked = http_headers_has_token(&p->headers, "transfer-encoding", "chunked") &&
                     strlen(http_headers_get(&p->headers, "transfer-encoding")) == 7;
        error = p->chunked ? NULL : "a Transfer-Encoding other than chunked";
    } else if (lengths > 0) {
        const char *digits = http_headers_get(&p->headers, "content-length");
        size_t len = strlen(digits);
        if (len == 0 || len > 18 || strspn(digits, "0123456789") != len) {
            error = "a Content-Length that is not a number of bytes";
        } else {
            p->content_length = strtoll(digits, NULL, 10);
        }
    }
    if (error) {
        refuse(p, 400, error);
        return HPE_USER;
    }
    return 0;
}

static int on_headers_complete(llhttp_t *machine) {
    struct http_parser *p = machine->data;
    if (add_field(p) != 0) {
        return HPE_USER;
    }
    p->minor = llhttp_get_http_minor(machine);
    int major = llhttp_get_http_major(machine);
    if (major != 1 || p->minor > 1) {
        refuse(p, major == 0 ? 400 : 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
        return HPE_USER;
    }
    if (check_framing(p) != 0 || (!p->response && check_host(p) != 0)) {
        return HPE_USER;
    }
    p->keep_alive = llhttp_should_keep_alive(machine) == 1;
    if (p->response) {
        p->status = llhttp_get_status_code(machine);
        if (p->status == 101) {
            refuse(p, 502, "an upgrade nobody asked for");
            return HPE_USER;
        }
        /* llhttp would read a body that a 304's Content-Length only describes. */
        p->no_body = p->no_body || p->status / 100 == 1 || p->status == 204 || p->status == 304;
        p->until_eof = !p->no_body && llhttp_message_needs_eof(machine) == 1;
        p->keep_alive = p->keep_alive && !p->until_eof;
    } else {
        str_copy(p->method, sizeof p->method, llhttp_method_name(llhttp_get_method(machine)));
    }
    p->head_done = true;
    return p->no_body ? 1 : 0;
}

static int on_body(llhttp_t *machine, const char *at, size_t len) {
    struct http_parser *p = machine->data;
    p->body_received += len;
    p->body(p->body_ctx, at, len);
    return 0;
}

static int on_chunk_header(llhttp_t *machine) {
    struct http_parser *p = machine->data;
    p->last_chunk = machine->content_length == 0; /* where llhttp tells a chunk's size */
    return p->last_chunk ? HPE_PAUSED : 0;
}

static int on_message_complete(llhttp_t *machine) {
    struct http_parser *p = machine->data;
    p->full = true;
    return HPE_PAUSED;
}

/* --- lines ----------------------------------------------------------------------------------- */

enum line_end { LINE_MORE, LINE_BLANK, LINE_BAD };

/* One byte of a head or trailer; `first` is the line that is no header field, or none. */
static enum line_end scan_byte(struct http_parser *p, char c, bool has_first) {
    bool first = has_first && p->scan.line == 0;
    char last = p->scan.last;
    p->scan.last = c;
    if ((last == '\r') != (c == '\n')) {
        refuse(p, 400, "a line does not end in CR LF");
        return LINE_BAD;
    }
    if (c == '\n') {
        bool blank = p->scan.column == 1;
        if (!blank && !first && !p->scan.colon) {
            refuse(p, 400, "a header line has no colon");
            return LINE_BAD;
        }
        p->scan.line++;
        p->scan.column = 0;
        p->scan.colon = false;
        return blank ? LINE_BLANK : LINE_MORE;
    }
    bool blank = c == ' ' || c == '\t';
    if (((unsigned char)c < ' ' && c != '\r' && c != '\t') || c == 0x7f) {
        refuse(p, 400, "a control character in a head");
        return LINE_BAD;
    }
    if (blank && p->scan.column == 0) {
        refuse(p, 400, first ? "a space before the first line" : "a folded header line");
        return LINE_BAD;
    }
    if (first && !p->response && (c == '\t' || (c == ' ' && last == ' '))) {
        refuse(p, 400, "more than one space in the request line");
        return LINE_BAD;
    }
    if (!first && c == ':' && !p->scan.colon) {
        p->scan.colon = true;
        if (p->scan.column == 0 || last == ' ' || last == '\t') {
            refuse(p, 400, "a space before the colon, or no header name");
            return LINE_BAD;
        }
    }
    p->scan.column++;
    return LINE_MORE;
}

/* Bytes that scan_byte() only counts, wherever in a line they stand: neither controls nor white
 * space nor a colon. */
static size_t plain_run(const char *data, size_t len) {
    size_t run = 0;
    while (run < len && (unsigned char)data[run] > ' ' && data[run] != ':' && data[run] != 0x7f) {
        run++;
    }
    return run;
}

/* Lines up to a blank one. Returns how many bytes were used; *complete when the blank line came. */
static size_t scan_lines(struct http_parser *p, const char *data, size_t len, bool has_first,
                         bool *complete) {
    *complete = false;
    for (size_t i = 0; i < len; i++) {
        size_t run = p->scan.last == '\r' ? 0 : plain_run(data + i, len - i);
        if (run > 0) {
            p->scan.column += run;
            i += run;
            p->scan.last = data[i - 1];
            if (i == len) {
                break;
            }
        }
        enum line_end end = scan_byte(p, data[i], has_first);
        if (end != LINE_MORE) {
            *complete = end == LINE_BLANK;
            return i + 1;
        }
    }
    return len;
}

/* --- the states ------------------------------------------------------------------------------ */

static void refuse_llhttp(struct http_parser *p) {
    if (p->state != HTTP_PARSER_FAILED) {
        llhttp_errno_t code = llhttp_get_errno(&p->machine);
        const char *reason = llhttp_get_error_reason(&p->machine);
        refuse(p, code == HPE_INVALID_VERSION ? 505 : 400, reason && *reason ? reason : "not HTTP");
    }
}

/* The target, as a text of its own that lasts. */
static bool keep_target(struct http_parser *p) {
    if (p->head.len > 0) { /* it lies in there already */
        p->head.data[(size_t)(p->url.at - p->head.data) + p->url.len] = '\0';
        p->target = p->url.at;
        return true;
    }
    bool kept = buf_append(&p->head, p->url.at, p->url.len);
    p->target = p->head.data;
    return kept;
}

/* A complete head, in `head` or, when it came in one piece, where it was received. */
static void parse_head(struct http_parser *p, const char *data, size_t len) {
    /* A name and a value take as much as their line, with the NULs for the colon and the space or
     * line end. */
    http_headers_reserve(&p->headers, p->scan.line, len);
    llhttp_errno_t code = llhttp_execute(&p->machine, data, len);
    if (p->state == HTTP_PARSER_FAILED || (code != HPE_OK && code != HPE_PAUSED) || !p->head_done) {
        refuse_llhttp(p);
        return;
    }
    if (!p->response) {
        if (!p->url.at || p->url.len == 0 || memchr(p->url.at, '#', p->url.len)) {
            refuse(p, 400, "no request target, or one with a fragment");
            return;
        }
        if (!keep_target(p)) {
            refuse(p, 503, "no memory for a head");
            return;
        }
    }
    p->state = p->full ? HTTP_PARSER_END : HTTP_PARSER_BODY;
}

static size_t feed_head(struct http_parser *p, const char *data, size_t len) {
    bool complete;
    size_t room = p->head.max - p->head.len;
    size_t used = scan_lines(p, data, len < room ? len : room, true, &complete);
    if (p->state == HTTP_PARSER_FAILED) {
        return used;
    }
    if (!complete && used == room) {
        refuse(p, 431, "the head is too large");
        return used;
    }
    bool in_one_piece = complete && p->head.len == 0;
    if (!in_one_piece && !buf_append(&p->head, data, used)) {
        refuse(p, 503, "no memory for a head");
        return used;
    }
    if (complete && p->scan.line == 1 && !p->response) {
        /* A blank line before a request, left behind by an old client, is passed over once. */
        p->scan.line = 0;
        buf_reset(&p->head);
        if (p->blank_line) {
            refuse(p, 400, "blank lines instead of a request");
        }
        p->blank_line = true;
    } else if (complete && in_one_piece) {
        parse_head(p, data, used);
    } else if (complete) {
        parse_head(p, p->head.data, p->head.len);
    }
    return used;
}

static size_t feed_body(struct http_parser *p, const char *data, size_t len) {
    uint64_t before = p->body_received;
    size_t step = OVERHEAD_STEP - (size_t)(p->passed % OVERHEAD_STEP);
    if (p->chunked && len > step) {
        len = step;
    }
    llhttp_errno_t code = llhttp_execute(&p->machine, data, len);
    size_t used = len;
    if (code == HPE_PAUSED) {
        used = (size_t)(llhttp_get_error_pos(&p->machine) - data);
        if (p->full) {
            p->state = HTTP_PARSER_END;
        } else if (p->last_chunk) {
            p->state = HTTP_PARSER_TRAILER;
            memset(&p->scan, 0, sizeof p->scan);
            p->passed = 0;
        }
        return used;
    }
    if (code != HPE_OK) {
        refuse_llhttp(p);
        return used;
    }
    p->passed += used;
    p->overhead += used - (p->body_received - before);
    if (p->chunked && p->passed % OVERHEAD_STEP == 0 &&
        p->overhead / OVERHEAD_RATIO > p->body_received + p->head.max / OVERHEAD_RATIO) {
        refuse(p, 400, "more chunk framing than body");
    }
    return used;
}

static size_t feed_trailer(struct http_parser *p, const char *data, size_t len) {
    bool complete;
    size_t room = p->head.max - (size_t)p->passed;
    size_t used = scan_lines(p, data, len < room ? len : room, false, &complete);
    p->passed += used;
    if (p->state == HTTP_PARSER_FAILED) {
        return used;
    }
    if (complete) {
        p->state = HTTP_PARSER_END;
    } else if (used == room) {
        refuse(p, 431, "the trailer is too large");
    }
    return used;
}

size_t http_parser_feed(struct http_parser *p, const char *data, size_t len) {
    size_t used = 0;
    if (len == 0) {
        return 0;
    }
    if (p->state == HTTP_PARSER_HEAD) {
        /* A request's blank line ends a feed without ending the head. */
        while (p->state == HTTP_PARSER_HEAD && used < len) {
            used += feed_head(p, data + used, len - used);
        }
        return used;
    }
    while ((p->state == HTTP_PARSER_BODY || p->state == HTTP_PARSER_TRAILER) && used < len) {
        if (p->state == HTTP_PARSER_BODY) {
            used += feed_body(p, data + used, len - used);
        } else {
            used += feed_trailer(p, data + used, len - used);
        }
    }
    return used;
}

void http_parser_finish(struct http_parser *p) {
    if (p->state == HTTP_PARSER_BODY && p->until_eof) {
        p->state = HTTP_PARSER_END;
    } else if (p->state == HTTP_PARSER_HEAD || p->state == HTTP_PARSER_BODY ||
               p->state == HTTP_PARSER_TRAILER) {
        refuse(p, 400, "the message ends too early");
    }
}

bool http_parser_started(const struct http_parser *p) {
    return p->state != HTTP_PARSER_HEAD || p->head.len > 0;
}

/* --- life ------------------------------------------------------------------------------------ */

static const llhttp_settings_t *settings(void) {
    static const llhttp_settings_t s = {.on_url = on_url,
                                        .on_header_field = on_header_field,
                                        .on_header_value = on_header_value,
                                        .on_headers_complete = on_headers_complete,
                                        .on_body = on_body,
                                        .on_chunk_header = on_chunk_header,
                                        .on_message_complete = on_message_complete};
    return &s;
}

void http_parser_reset(struct http_parser *p) {
    http_headers_reset(&p->headers);
    buf_reset(&p->head);
    if (p->head.cap > KEPT_MAX) {
        buf_free(&p->head);
    }
    p->state = HTTP_PARSER_HEAD;
    p->method[0] = '\0';
    p->target = p->error = NULL;
    p->status = p->error_status = p->minor = 0;
    p->content_length = -1;
    p->chunked = p->keep_alive = p->no_body = p->until_eof = p->last_chunk = p->full =
        p->head_done = false;
    p->blank_line = false;
    p->overhead = p->passed = 0;
    p->body_received = 0;
    memset(&p->scan, 0, sizeof p->scan);
    p->url = p->name = p->value = (struct http_span){.at = NULL};
    llhttp_init(&p->machine, p->response ? HTTP_RESPONSE : HTTP_REQUEST, settings());
    p->machine.data = p;
}

void http_parser_init(struct http_parser *p, bool response, size_t head_max, size_t header_max,
                      void (*body)(void *ctx, const char *data, size_t len), void *ctx) {
    memset(p, 0, sizeof *p);
    p->response = response;
    p->body = body;
    p->body_ctx = ctx;
    http_headers_init(&p->headers, header_max, head_max);
    buf_init(&p->head, head_max);
    http_parser_reset(p);
}

void http_parser_free(struct http_parser *p) {
    http_headers_free(&p->headers);
    buf_free(&p->head);
}

void http_parser_expect_no_body(struct http_parser *p) {
    p->no_body = true;
}
