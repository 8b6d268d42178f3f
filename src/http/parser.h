/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H
/*
 * One HTTP/1.x message after another out of a byte stream that may be cut anywhere. llhttp decides
 * the framing; before it sees a head, every line of it has passed checks that two parsers in a row
 * must not disagree about (request smuggling): CRLF and nothing else ends a line, no control
 * characters, no space before a colon, no folded lines, one Host, one Content-Length of digits, no
 * Transfer-Encoding but `chunked`, never both.
 */
#include "http/message.h"
#include <llhttp.h>

enum http_parser_state {
    HTTP_PARSER_HEAD,    /* reading a head */
    HTTP_PARSER_BODY,    /* the head is complete, the body follows */
    HTTP_PARSER_TRAILER, /* behind the last chunk; what stands there is checked and dropped */
    HTTP_PARSER_END,     /* the message is complete */
    HTTP_PARSER_FAILED   /* `error` says why; nothing more is read */
};

struct http_parser {
    enum http_parser_state state;
    /* The head, valid from BODY on until the next reset. */
    struct http_headers headers;
    char method[24];        /* requests */
    const char *target;     /* requests; as sent */
    int status;             /* responses */
    int minor;              /* HTTP/1.0 or HTTP/1.1 */
    int64_t content_length; /* -1 = not given */
    bool chunked;
    bool keep_alive; /* another message may follow */
    /* When FAILED: the text, and the status a server answers with. */
    const char *error;
    int error_status;
    uint64_t body_received; /* bytes of body so far, without chunk framing */

    /* private */
    bool response, no_body, until_eof, head_done, last_chunk, full, blank_line;
    struct buf head;
    uint64_t passed, overhead; /* bytes behind the head, and those of them that are no body */
    struct {
        char last;
        size_t line, column; /* lines ended, bytes in this one */
        bool colon;
    } scan;
    struct http_span {
        const char *at;
        size_t len;
    } url, name, value;
    llhttp_t machine;
    void (*body)(void *ctx, const char *data, size_t len);
    void *body_ctx;
};

/* `body` gets pieces of the body out of http_parser_feed(); it must not free or reset the parser.
 */
void http_parser_init(struct http_parser *p, bool response, size_t head_max, size_t header_max,
                      void (*body)(void *ctx, const char *data, size_t len), void *ctx);
void http_parser_free(struct http_parser *p);
void http_parser_reset(struct http_parser *p); /* for the next message */
/* The response to come answers a HEAD: it has no body, whatever its head says. */
void http_parser_expect_no_body(struct http_parser *p);
/* Takes bytes; returns how many were used. Stops behind the head and behind the message, so look at
 * `state` and feed the rest. */
size_t http_parser_feed(struct http_parser *p, const char *data, size_t len);
/* The far side has finished: END when that is a proper end of this message, else FAILED. */
void http_parser_finish(struct http_parser *p);
/* Whether any byte of the present message has been read. */
bool http_parser_started(const struct http_parser *p);
#endif
