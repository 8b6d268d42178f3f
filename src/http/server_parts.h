/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SERVER_PARTS_H
#define HTTP_SERVER_PARTS_H
/* What the files of the server share: server.c (connections, reading requests) and respond.c
 * (answers). */
#include "http/parser.h"
#include "http/server.h"
#include "io/list.h"

enum peer_state {
    PEER_READING, /* a head, or between two requests */
    PEER_REQUEST, /* a request is being read or answered */
    PEER_LINGER,  /* the answer is out, what the client still sends is dropped for a moment: a
                     close with bytes unread would destroy the answer on its way */
    PEER_CLOSING  /* `closed` will follow */
};

/* A connection. Thousands may be idle: what only a request needs is not kept here. */
struct peer {
    struct list link;
    struct http_server *server;
    struct stream *stream;
    enum peer_state state;
    struct http_request *request;
    struct http_parser parser;
    struct buf pending; /* read, not yet processed */
    bool working;       /* inside work() */
    bool more;          /* bytes behind the head are there already */
    bool read_stopped;
    bool keep_alive;
    bool first;    /* no request yet */
    int64_t since; /* when the present wait for bytes began */
    int64_t linger_until;
    uint64_t written, sent_before; /* for the write limit */
    int64_t write_since;
    struct loop_timer timer; /* fires when a limit may have passed, or before */
    bool noted;
    enum close_reason reason; /* when noted */
    char detail[160];
};

struct http_request {
    struct http_server *server;
    struct peer *peer; /* NULL = gone */
    const struct http_route *route;
    struct http_headers headers;
    struct buf head_text; /* path NUL query NUL */
    const char *query;
    char method[24];
    char peer_name[64];
    struct buf body;
    size_t room; /* for how many bytes of it there is memory */
    const struct http_request_events *events;
    void *ctx;
    int64_t received; /* HARDY_NEVER = not complete */
    int minor;
    bool expects_continue;
    bool body_complete, dispatched;
    bool crowded; /* its body found no room among the others */
    bool begun, chunked, without_body;
    int64_t left; /* bytes of answer still due; < 0 = not told */
};

struct http_server {
    struct loop *loop;
    struct http_server_options options;
    struct listener *listener; /* NULL = accepts nothing more */
    uint16_t port;
    struct list peers;
    size_t count;
    size_t requests;   /* alive, also those whose client is gone */
    size_t body_total; /* the room of them all */
    struct http_server_counts counts;
    bool draining, over; /* over: only waits for `requests` */
    struct loop_timer drain_timer;
    void (*done)(void *ctx);
    void *done_ctx;
    /* An answer's head that waits for the first piece of its body, to leave with it: one at a time,
     * and until the end of this turn at most. */
    struct {
        struct peer *peer; /* NULL = none */
        struct buf head;
        struct loop_post post;
        bool posted;
    } held;
};

/* --- respond.c ------------------------------------------------------------------------------- */
/* The held head, when it is this peer's, goes first. STREAM_PIECES_MAX - 1 pieces at most. */
void peer_write(struct peer *p, const struct stream_piece *pieces, size_t count);
void held_init(struct http_server *s);
void held_drop(struct peer *p); /* of a connection that is gone */

/* --- server.c -------------------------------------------------------------------------------- */
void peer_arm(struct peer *p);
/* Ends the connection now, whatever is still on its way. */
void peer_cut(struct peer *p, enum close_reason reason, const char *detail);
/* The answer is complete: what comes next on this connection? */
void peer_answered(struct peer *p, bool body_complete);
void request_free(struct http_request *r);
#endif
