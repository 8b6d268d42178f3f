/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H
/*
 * The HTTP/1.1 server: one listener, its connections, a table of routes. A handler answers at once
 * or later; every wait of a connection has a limit, and every end of one has a reason.
 */
#include "http/message.h"
#include "io/loop.h"

struct http_request; /* one request and its answer */

/* The first row whose path and method fit. A path that fits only with other methods is 405, none is
 * 404, both written by the server. */
struct http_route {
    const char *method; /* "GET" also serves HEAD (the body is left out); NULL = every method */
    const char *path;   /* exact; one ending in "*" fits whatever begins with the rest of it */
    size_t body_max;    /* a larger body is 413 */
    /* Without `stream`: called when the body is complete. With: called at the head; it must call
     * http_request_read() before it returns, or the body is dropped. */
    bool stream;
    void (*handle)(void *ctx, struct http_request *request);
};

struct http_server_options {
    const char *host;                /* default 127.0.0.1 */
    uint16_t port;                   /* 0 = a free one */
    const struct http_route *routes; /* borrowed */
    size_t route_count;
    void *ctx; /* for the handlers and the callbacks below */
    /* Requests must name this machine: Host is localhost, an IP literal or one of these names
     * (lower case; borrowed), else 421. A page elsewhere that makes a browser send requests here
     * (DNS rebinding) cannot do that. */
    const char *const *hosts;
    size_t host_count;
    bool any_host;               /* no such check */
    bool any_origin;             /* else a foreign Origin or Sec-Fetch-Site is 403 */
    size_t head_max, header_max; /* 16 KiB, 100 */
    size_t connection_max;       /* 1024; further ones get 503 */
    /* Memory that the bodies of all requests together may take, streamed ones not counted; a
     * request whose body finds no room gets 503 and "retry-after: 1". A body larger than this is
     * 413. 0 = no such limit. */
    size_t body_total_max;
    int64_t head_limit;  /* 10 s: from a head's first byte, or the connection's begin, to its end */
    int64_t body_limit;  /* 30 s, and one more for each KiB that has arrived */
    int64_t idle_limit;  /* 75 s between two requests */
    int64_t write_limit; /* 30 s without a byte of an answer leaving */
    /* 2 s for a client to read an answer that came before its request's end. */
    int64_t linger_limit;
    /* Tells each end of a connection; may be NULL. */
    void (*closed)(void *ctx, const char *peer, enum close_reason reason, const char *detail);
};
void http_server_options_init(struct http_server_options *o);

struct http_server;
hardy_status http_server_open(struct loop *loop, const struct http_server_options *options,
                              struct http_server **out, hardy_error *error);
uint16_t http_server_port(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
size_t http_server_body_total(const struct http_server *s); /* bytes, as body_total_max counts */
struct http_server_counts {
    uint64_t accepted; /* connections */
    uint64_t refused;  /* of these, beyond connection_max */
    uint64_t requests; /* whose head was well-formed */
    uint64_t crowded;  /* of these, refused because of body_total_max */
};
struct http_server_counts http_server_counts(const struct http_server *s); /* since the opening */
/* Accepts nothing more. Connections that exist are served as before, but each answer says
 * "connection: close" and ends its connection. */
void http_server_stop_accepting(struct http_server *s);
/* Accepts nothing more, closes idle connections, lets running requests finish until `limit`
 * (absolute) and closes what is left with CLOSE_SHUTDOWN. Then the server is gone and `done` (may
 * be NULL) is called, from the loop. A second call brings the limit forward. */
void http_server_drain(struct http_server *s, int64_t limit, void (*done)(void *ctx), void *ctx);

/* --- the request: valid until it is answered, even when the client has left meanwhile -------- */
const char *http_request_method(const struct http_request *r);
const char *http_request_path(const struct http_request *r);  /* as sent, not decoded */
const char *http_request_query(const struct http_request *r); /* behind the "?"; "" = none */
const struct http_headers *http_request_headers(const struct http_request *r);
const char *http_request_body(const struct http_request *r, size_t *len); /* NUL-terminated */
const char *http_request_peer(const struct http_request *r);
/* When its last byte had been read, the head's or the body's; HARDY_NEVER before. */
int64_t http_request_received(const struct http_request *r);
bool http_request_gone(const struct http_request *r); /* nobody is there to read the answer */

/* All may be NULL. */
struct http_request_events {
    void (*data)(void *ctx, struct http_request *r, const char *data, size_t len); /* stream only */
    void (*end)(void *ctx, struct http_request *r); /* stream only: the body is complete */
    /* The client has left (`reason` says how) or was cut off. The request must still be answered,
     * which frees it; nothing is sent. Noticed at once, also while nothing is being written, as
     * long as the client has not sent 64 KiB ahead. A client that has only finished sending
     * (shutdown() of its writing half) has left, too: on a wire the two look the same, and clients
     * of today keep the connection whole until they have their answer. */
    void (*gone)(void *ctx, struct http_request *r, enum close_reason reason);
    /* What was written has left; as a stream's. */
    void (*drained)(void *ctx, struct http_request *r);
};
/* Sets the callbacks (borrowed), and starts a streamed body. */
void http_request_read(struct http_request *r, const struct http_request_events *events, void *ctx);

/* --- the answer ------------------------------------------------------------------------------ */
/* Headers of framing (Content-Length, Connection ...) among `headers` are left out: the server
 * writes its own. `headers` may be NULL. */

/* A whole answer. The request is gone. */
void http_respond(struct http_request *r, int status, const struct http_headers *headers,
                  const char *content_type, const void *body, size_t len);
void http_respond_text(struct http_request *r, int status, const char *content_type,
                       const char *text);
/* A streamed answer: begin, data..., end. `length` < 0 = not known: chunked (or, for HTTP/1.0,
 * until the connection ends). Each piece of data leaves at once; the head with the first of them,
 * or without, when the present turn of the loop ends. Data returns false when nobody reads any
 * more: stop. */
void http_respond_begin(struct http_request *r, int status, const struct http_headers *headers,
                        const char *content_type, int64_t length);
bool http_respond_data(struct http_request *r, const void *data, size_t len);
size_t http_respond_unsent(const struct http_request *r);
/* The request is gone. With fewer bytes than `length` the connection is cut, so that the client
 * does not take the answer for a whole one. */
void http_respond_end(struct http_request *r);
/* Cuts the connection in the middle of an answer: an error the client cannot miss. */
void http_respond_abort(struct http_request *r, enum close_reason reason, const char *detail);
#endif
