/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection (struct peer) lives until its stream's `closed`; a request lives until it is
 * answered. They point at each other while both live. Input is worked off by work() alone, in a
 * loop, so that a handler that answers at once does not recurse into the next request.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "http/origin.h"
#include "http/problem.h"
#include "http/server_parts.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PIPELINE_MAX ((size_t)64 * 1024) /* bytes read ahead while a request is being answered */
#define BODY_BYTES_A_SECOND 1024
/* Bytes of a body for which there is memory before they have arrived: what is announced costs
 * nothing to send. */
#define ANNOUNCED_ROOM ((size_t)256 * 1024)
#define FIRST_ROOM 1024 /* of a body whose length is not told */
/* A body of which more than this is still to come is read to its place, not copied there. */
#define WORTH_PLACING ((size_t)16 * 1024)
#define TOO_LARGE "the body is larger than this path takes"

static void work_on_pending(struct peer *p);

void http_server_options_init(struct http_server_options *o) {
    *o = (struct http_server_options){.host = "127.0.0.1",
                                      .head_max = HTTP_HEAD_MAX,
                                      .header_max = HTTP_HEADERS_MAX,
                                      .connection_max = 1024,
                                      .head_limit = 10 * HARDY_SECOND,
                                      .body_limit = 30 * HARDY_SECOND,
                                      .idle_limit = 75 * HARDY_SECOND,
                                      .write_limit = 30 * HARDY_SECOND,
                                      .linger_limit = 2 * HARDY_SECOND};
}

/* --- requests -------------------------------------------------------------------------------- */

const char *http_request_method(const struct http_request *r) {
    return r->method;
}
const char *http_request_path(const struct http_request *r) {
    return r->head_text.data;
}
const char *http_request_query(const struct http_request *r) {
    return r->query;
}
const struct http_headers *http_request_headers(const struct http_request *r) {
    return &r->headers;
}
const char *http_request_body(const struct http_request *r, size_t *len) {
    if (len) {
        *len = r->body.len;
    }
    return r->body.data ? r->body.data : "";
}
const char *http_request_peer(const struct http_request *r) {
    return r->peer_name;
}
int64_t http_request_received(const struct http_request *r) {
    return r->received;
}
bool http_request_gone(const struct http_request *r) {
    return r->peer == NULL;
}

/* A request may outlive its connection, and all connections. */
static void free_server_when_over(struct http_server *s) {
    if (s->over && s->requests == 0) {
        buf_free(&s->held.head);
        free(s);
    }
}

void request_free(struct http_request *r) {
    struct http_server *s = r->server;
    s->requests--;
    s->body_total -= r->room;
    http_headers_free(&r->headers);
    buf_free(&r->head_text);
    buf_free(&r->body);
    free(r);
    free_server_when_over(s);
}

/* --- connections ----------------------------------------------------------------------------- */

static int64_t now(const struct peer *p) {
    return loop_now(p->server->loop);
}

/* Whether bytes of the client are being waited for, by which limit, and since when. */
static int64_t read_limit(const struct peer *p, const char **name) {
    const struct http_server_options *o = &p->server->options;
    if (p->state == PEER_LINGER) {
        *name = "lingered";
        return p->linger_until;
    }
    if (p->state == PEER_READING && (p->first || http_parser_started(&p->parser))) {
        *name = "head limit";
        return time_add(p->since, o->head_limit);
    }
    if (p->state == PEER_READING) {
        *name = "idle limit";
        return time_add(p->since, o->idle_limit);
    }
    if (p->state == PEER_REQUEST && p->request && !p->request->body_complete && !p->read_stopped) {
        *name = "body limit";
        int64_t more = (int64_t)(p->parser.body_received / BODY_BYTES_A_SECOND) * HARDY_SECOND;
        return time_add(time_add(p->since, o->body_limit), more);
    }
    return HARDY_NEVER;
}

static int64_t write_limit(const struct peer *p) {
    return stream_unsent(p->stream) > 0 ? time_add(p->write_since, p->server->options.write_limit)
                                        : HARDY_NEVER;
}

void peer_arm(struct peer *p) {
    const char *name;
    if (p->state == PEER_CLOSING) {
        return;
    }
    int64_t read_at = read_limit(p, &name), write_at = write_limit(p);
    loop_timer_start_by(p->server->loop, &p->timer, read_at < write_at ? read_at : write_at);
}

/* Why the connection will end: the first reason given is the one that is told. */
static void note(struct peer *p, enum close_reason reason, const char *detail) {
    if (!p->noted) {
        p->noted = true;
        p->reason = reason;
        str_copy(p->detail, sizeof p->detail, detail);
    }
}

static void end_peer(struct peer *p, enum close_reason how, enum close_reason reason,
                     const char *detail) {
    if (p->state != PEER_CLOSING) {
        p->state = PEER_CLOSING;
        note(p, reason, detail);
        loop_timer_stop(p->server->loop, &p->timer);
        stream_close(p->stream, how);
    }
}

void peer_cut(struct peer *p, enum close_reason reason, const char *detail) {
    end_peer(p, reason, reason, detail);
}

/* When what was written has left. */
static void finish_peer(struct peer *p, enum close_reason reason, const char *detail) {
    end_peer(p, CLOSE_LOCAL, reason, detail);
}

/* The request loses its connection; its handler is told and must still answer. */
static void leave_request(struct peer *p, enum close_reason reason) {
    struct http_request *r = p->request;
    if (!r) {
        return;
    }
    p->request = NULL;
    r->peer = NULL;
    if (!r->dispatched) {
        request_free(r); /* no handler has seen it */
    } else if (r->events && r->events->gone) {
        r->events->gone(r->ctx, r, reason);
    }
}

static void stop_reading(struct peer *p, bool stop) {
    if (p->read_stopped == stop || p->state == PEER_CLOSING) {
        return;
    }
    p->read_stopped = stop;
    if (stop) {
        stream_read_pause(p->stream);
    } else {
        stream_read_resume(p->stream);
        p->since = now(p);
    }
}

/* Stays a moment to let the answer arrive, then closes. */
static void linger(struct peer *p, enum close_reason reason, const char *detail) {
    p->state = PEER_LINGER;
    p->linger_until = time_add(now(p), p->server->options.linger_limit);
    note(p, reason, detail);
    stop_reading(p, false);
    peer_arm(p);
}

void peer_answered(struct peer *p, bool body_complete) {
    p->request = NULL;
    if (p->state == PEER_CLOSING) {
        return;
    }
    bool draining = p->server->draining;
    if (!body_complete) {
        linger(p, CLOSE_LOCAL, "answered before the request was complete");
    } else if (!p->keep_alive || draining) {
        finish_peer(p, draining ? CLOSE_SHUTDOWN : CLOSE_LOCAL, "last answer");
    } else {
        p->state = PEER_READING;
        p->first = false;
        p->since = now(p);
        http_parser_reset(&p->parser);
        stop_reading(p, false);
        peer_arm(p);
        if (!p->working) {
            work_on_pending(p);
        }
    }
}

/* The answer to a head that could not be read: there is no request, and no next one. */
static void refuse(struct peer *p, int status, enum close_reason reason, const char *detail) {
    struct buf body, out;
    buf_init(&body, 4096);
    buf_init(&out, 8192);
    (void)http_problem_write(&body, status, NULL, NULL, detail);
    buf_printf(&out,
               "HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\n"
               "content-length: %zu\r\nconnection: close\r\n\r\n",
               status, http_status_text(status), body.len);
    buf_append(&out, body.data, body.len);
    peer_write(p, &(struct stream_piece){out.data, out.len}, 1);
    buf_free(&body);
    buf_free(&out);
    linger(p, reason, detail);
}

/* --- reading requests ------------------------------------------------------------------------ */

void http_request_read(struct http_request *r, const struct http_request_events *events,
                       void *ctx) {
    r->events = events;
    r->ctx = ctx;
}

static size_t body_max(const struct http_server *s, const struct http_route *route) {
    size_t total = s->options.body_total_max;
    return total > 0 && total < route->body_max && !route->stream ? total : route->body_max;
}

/* Makes room for a body of `size` bytes. False: none among the others' bodies, or no memory. */
static bool take_room(struct http_request *r, size_t size) {
    struct http_server *s = r->server;
    size_t max = s->options.body_total_max;
    r->crowded = max > 0 && size > max - (s->body_total - r->room);
    if (r->crowded || !buf_reserve(&r->body, size - r->body.len)) {
        return false;
    }
    s->body_total += size - r->room;
    r->room = size;
    return true;
}

/* Step by step twice as much, but never more than was announced. */
static bool grow_body(struct http_request *r, size_t need, int64_t announced) {
    size_t most = announced >= 0 ? (size_t)announced : body_max(r->server, r->route);
    size_t size = r->room < FIRST_ROOM ? FIRST_ROOM : 2 * r->room;
    size = size < most ? size : most;
    return (size > need && take_room(r, size)) || take_room(r, need);
}

static void on_body(void *ctx, const char *data, size_t len) {
    struct peer *p = ctx;
    struct http_request *r = p->request;
    if (!r) { /* answered before its body was read */
        return;
    }
    if (p->parser.body_received > body_max(p->server, r->route)) {
        return; /* follow_body() refuses it */
    }
    if (!r->route->stream) {
        size_t need = r->body.len + len;
        if (r->body.data &&
            data == r->body.data + r->body.len) { /* read to where on_space() said */
            r->body.len = need;
        } else if (!r->body.failed && !r->crowded &&
                   (need <= r->room || grow_body(r, need, p->parser.content_length))) {
            buf_append(&r->body, data, len);
        }
    } else if (r->events && r->events->data) {
        r->events->data(r->ctx, r, data, len);
    }
}

static bool path_fits(const char *pattern, const char *path) {
    size_t len = strlen(pattern);
    if (len > 0 && pattern[len - 1] == '*') {
        return strncmp(pattern, path, len - 1) == 0;
    }
    return strcmp(pattern, path) == 0;
}

static bool method_fits(const char *pattern, const char *method) {
    return !pattern || strcmp(pattern, method) == 0 ||
           (strcmp(pattern, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static const struct http_route *find_route(const struct http_server *s,
                                           const struct http_request *r, struct buf *allow) {
    for (size_t i = 0; i < s->options.route_count; i++) {
        const struct http_route *route = &s->options.routes[i];
        if (!path_fits(route->path, http_request_path(r))) {
            continue;
        }
        if (method_fits(route->method, r->method)) {
            return route;
        }
        buf_printf(allow, "%s%s%s", allow->len > 0 ? ", " : "", route->method,
                   strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    return NULL;
}

/* Splits the target; absolute form ("http://host/path") must agree with Host. */
static bool take_target(struct http_request *r, const char *target) {
    if (strncasecmp(target, "http://", 7) == 0) {
        const char *host = target + 7;
        size_t len = strcspn(host, "/?");
        const char *said = http_headers_get(&r->headers, "host");
        if (said && (strlen(said) != len || strncasecmp(said, host, len) != 0)) {
            return false;
        }
        target = host + len;
        target = *target ? target : "/";
    } else if (strcmp(target, "*") == 0) {
        if (strcmp(r->method, "OPTIONS") != 0) {
            return false;
        }
    }
    if (*target != '/' && *target != '*') {
        return false;
    }
    size_t path = strcspn(target, "?");
    buf_init(&r->head_text, strlen(target) + 2);
    if (!buf_append(&r->head_text, target, path) || !buf_putc(&r->head_text, '\0') ||
        !buf_puts(&r->head_text, target[path] ? target + path + 1 : "")) {
        return false;
    }
    r->query = r->head_text.data + path + 1;
    return true;
}

/* Whether the request may be served at all: NULL, or why not (*status is filled). */
static const char *objection(const struct peer *p, const struct http_request *r, int *status) {
    const struct http_server_options *o = &p->server->options;
    const char *host = http_headers_get(&r->headers, "host");
    struct http_authority authority = {.port = 0};
    *status = 400;
    if (host && http_authority_parse(host, strlen(host), &authority, NULL) != HARDY_OK) {
        return "the Host header is not a host";
    }
    if (host && !o->any_host && !http_host_is_ours(&authority, o->hosts, o->host_count)) {
        *status = 421;
        return "this server does not answer for that Host; its `hosts` list names more";
    }
    if (!o->any_origin && http_is_foreign(&r->headers, &authority)) {
        *status = 403;
        return "requests of another site's pages are refused";
    }
    const char *expect = http_headers_get(&r->headers, "expect");
    if (expect && r->minor > 0 && strcasecmp(expect, "100-continue") != 0) {
        *status = 417;
        return "only 100-continue can be expected";
    }
    return NULL;
}

static void complete(struct http_request *r) {
    r->body_complete = true;
    if (r->body.data) {
        r->body.data[r->body.len] = '\0';
    }
    r->received = loop_now(r->server->loop);
}

/* Makes a request of the parsed head. NULL = no memory. */
static struct http_request *take_request(struct peer *p) {
    struct http_request *r = calloc(1, sizeof *r);
    if (!r) {
        return NULL;
    }
    r->server = p->server;
    r->server->requests++;
    r->server->counts.requests++;
    r->peer = p;
    r->received = HARDY_NEVER;
    r->left = -1;
    r->minor = p->parser.minor;
    str_copy(r->method, sizeof r->method, p->parser.method);
    str_copy(r->peer_name, sizeof r->peer_name, stream_peer(p->stream));
    /* The request takes the parser's list, and the parser the request's empty one. */
    r->headers = p->parser.headers;
    http_headers_init(&p->parser.headers, p->server->options.header_max,
                      p->server->options.head_max);
    if (p->parser.state == HTTP_PARSER_END) {
        complete(r);
    }
    p->keep_alive = p->parser.keep_alive;
    return r;
}

/* Room among the bodies comes back soon: with each request that is answered. */
static void refuse_body(struct http_request *r) {
    struct http_headers headers;
    http_headers_init(&headers, 1, 100);
    r->server->counts.crowded += r->crowded;
    (void)http_headers_add(&headers, "retry-after", "1");
    http_problem(r, 503, &headers, NULL, NULL,
                 r->crowded ? "the bodies of other requests take all the memory there is for them"
                            : "no memory for the body");
    http_headers_free(&headers);
}

static void dispatch(struct peer *p) {
    struct http_request *r = p->request;
    r->dispatched = true;
    r->route->handle(p->server->options.ctx, r);
}

static void tell_end(struct http_request *r) {
    if (r->events && r->events->end) {
        r->events->end(r->ctx, r);
    }
}

/* A head is complete: route it, or answer it here. */
static void begin_request(struct peer *p) {
    struct http_server *s = p->server;
    struct http_request *r = take_request(p);
    if (!r) {
        refuse(p, 503, CLOSE_ERROR, "no memory for a request");
        return;
    }
    p->request = r;
    p->state = PEER_REQUEST;
    p->since = now(p);
    r->dispatched = true;
    if (!take_target(r, p->parser.target)) {
        r->query = "";
        http_problem(r, 400, NULL, NULL, NULL,
                     "the request target is no path, or does not fit its Host");
        return;
    }
    int status;
    const char *why = objection(p, r, &status);
    if (why) {
        http_problem(r, status, NULL, NULL, NULL, why);
        return;
    }
    struct buf allow;
    buf_init(&allow, 512);
    r->route = find_route(s, r, &allow);
    if (!r->route && allow.len > 0) {
        struct http_headers headers;
        http_headers_init(&headers, 1, 600);
        (void)http_headers_add(&headers, "allow", allow.data);
        http_problem(r, 405, &headers, NULL, NULL, "this path has other methods");
        http_headers_free(&headers);
    } else if (!r->route) {
        http_problem(r, 404, NULL, NULL, NULL, "there is nothing at this path");
    } else if (p->parser.content_length > 0 &&
               (uint64_t)p->parser.content_length > body_max(s, r->route)) {
        note(p, CLOSE_TOO_LARGE, TOO_LARGE);
        http_problem(r, 413, NULL, NULL, NULL, TOO_LARGE);
    } else {
        size_t announced = p->parser.content_length > 0 ? (size_t)p->parser.content_length : 0;
        buf_init(&r->body, body_max(s, r->route));
        if (announced > 0 && !r->route->stream &&
            !take_room(r, announced < ANNOUNCED_ROOM ? announced : ANNOUNCED_ROOM)) {
            refuse_body(r);
        } else {
            r->dispatched = false;
            r->expects_continue = !r->body_complete && r->minor > 0 &&
                                  http_headers_get(&r->headers, "expect") != NULL;
            if (r->route->stream || r->body_complete) {
                dispatch(p);
            }
        }
    }
    buf_free(&allow);
    /* From here on `r` may be gone. */
    if (p->request && p->state == PEER_REQUEST) {
        if (r->body_complete && r->route->stream) {
            tell_end(r);
        } else if (r->expects_continue && !p->more && !r->begun) {
            peer_write(p, &(struct stream_piece){"HTTP/1.1 100 Continue\r\n\r\n", 25}, 1);
        }
    }
    peer_arm(p);
}

/* The body has gone on: complete, too large, or broken? */
static void follow_body(struct peer *p) {
    struct http_request *r = p->request;
    if (!r) {
        return;
    }
    bool large = p->parser.body_received > body_max(p->server, r->route);
    if (large || p->parser.state == HTTP_PARSER_FAILED) {
        note(p, large ? CLOSE_TOO_LARGE : CLOSE_PROTOCOL, large ? TOO_LARGE : p->parser.error);
        if (r->dispatched) { /* its handler is at work, perhaps in the middle of an answer */
            peer_cut(p, p->reason, p->detail);
            leave_request(p, p->reason);
        } else {
            r->dispatched = true;
            http_problem(r, large ? 413 : p->parser.error_status, NULL, NULL, NULL, p->detail);
        }
        return;
    }
    if (r->body.failed || r->crowded) {
        r->dispatched = true;
        refuse_body(r);
        return;
    }
    if (p->parser.state == HTTP_PARSER_END) {
        complete(r);
        stop_reading(p, false);
        peer_arm(p);
        if (!r->dispatched) {
            dispatch(p);
        } else {
            tell_end(r);
        }
    }
}

/* Works through bytes, request after request, until one has to be waited for. Returns how many are
 * done with. */
static size_t work(struct peer *p, const char *data, size_t len) {
    size_t at = 0;
    p->working = true;
    while (at < len) {
        if (p->state == PEER_READING) {
            bool idle = !p->first && !http_parser_started(&p->parser);
            at += http_parser_feed(&p->parser, data + at, len - at);
            if (p->parser.state == HTTP_PARSER_FAILED) {
                refuse(p, p->parser.error_status,
                       p->parser.error_status == 431 ? CLOSE_TOO_LARGE : CLOSE_PROTOCOL,
                       p->parser.error);
            } else if (p->parser.state != HTTP_PARSER_HEAD) {
                p->more = at < len;
                begin_request(p);
            } else if (idle) {
                p->since = now(p); /* from now on it is the head that is waited for */
                peer_arm(p);
            }
        } else if (p->state == PEER_REQUEST && !p->request->body_complete) {
            at += http_parser_feed(&p->parser, data + at, len - at);
            follow_body(p);
        } else {
            break; /* a request is being answered, or nothing more is wanted */
        }
    }
    p->working = false;
    return p->state == PEER_READING || p->state == PEER_REQUEST ? at : len;
}

static void work_on_pending(struct peer *p) {
    if (p->pending.len > 0) {
        buf_consume(&p->pending, work(p, p->pending.data, p->pending.len));
        if (p->pending.len == 0) {
            buf_free(&p->pending);
        }
    }
    /* Only for a client that sends ahead of its answers; then its leaving is noticed late. */
    if (p->state == PEER_REQUEST && p->pending.len >= PIPELINE_MAX) {
        stop_reading(p, true);
    }
}

/* --- the stream's events --------------------------------------------------------------------- */

static void on_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct peer *p = ctx;
    (void)s;
    if (p->state == PEER_LINGER || p->state == PEER_CLOSING) {
        return;
    }
    size_t used = p->pending.len > 0 ? 0 : work(p, data, len);
    if (used < len && !buf_append(&p->pending, data + used, len - used)) {
        peer_cut(p, CLOSE_TOO_LARGE, "more was sent ahead than is read");
        leave_request(p, CLOSE_TOO_LARGE);
        return;
    }
    work_on_pending(p);
}

/* Never beyond the end of the body: there is no room for what follows it. */
static char *on_space(void *ctx, struct stream *s, size_t *len) {
    struct peer *p = ctx;
    struct http_request *r = p->state == PEER_REQUEST ? p->request : NULL;
    (void)s;
    if (!r || r->body_complete || p->parser.state != HTTP_PARSER_BODY || p->parser.chunked ||
        p->pending.len > 0 || r->room - r->body.len < WORTH_PLACING) {
        return NULL;
    }
    *len = r->room - r->body.len;
    return r->body.data + r->body.len;
}

static void on_drained(void *ctx, struct stream *s) {
    struct peer *p = ctx;
    struct http_request *r = p->request;
    (void)s;
    if (p->state != PEER_CLOSING && r && r->dispatched && r->events && r->events->drained) {
        r->events->drained(r->ctx, r);
    }
}

static void on_closed(void *ctx, struct stream *stream, enum close_reason reason,
                      const char *detail) {
    struct peer *p = ctx;
    struct http_server *s = p->server;
    note(p, reason, detail ? detail : "");
    p->state = PEER_CLOSING;
    loop_timer_stop(s->loop, &p->timer);
    leave_request(p, p->reason);
    if (s->options.closed) {
        s->options.closed(s->options.ctx, stream_peer(stream), p->reason, p->detail);
    }
    held_drop(p);
    list_remove(&p->link);
    s->count--;
    http_parser_free(&p->parser);
    buf_free(&p->pending);
    free(p);
    if (s->draining && s->count == 0) {
        loop_timer_start(s->loop, &s->drain_timer, loop_now(s->loop));
    }
}

static void on_timer(struct loop_timer *timer) {
    struct peer *p = timer->ctx;
    const char *name = "";
    int64_t at = now(p);
    if (write_limit(p) <= at) {
        uint64_t sent = p->written - stream_unsent(p->stream);
        if (sent == p->sent_before) {
            peer_cut(p, CLOSE_TIMEOUT, "write limit: the client does not read");
            leave_request(p, CLOSE_TIMEOUT);
            return;
        }
        p->sent_before = sent;
        p->write_since = at;
    }
    if (read_limit(p, &name) > at) {
        peer_arm(p);
    } else if (p->state == PEER_LINGER) {
        finish_peer(p, CLOSE_LOCAL, "lingered");
    } else if (p->state == PEER_READING && !http_parser_started(&p->parser)) {
        finish_peer(p, CLOSE_TIMEOUT, name); /* nothing was asked, so nothing is answered */
    } else if (p->state == PEER_READING) {
        refuse(p, 408, CLOSE_TIMEOUT, "the head took too long");
    } else if (p->request->dispatched) {
        peer_cut(p, CLOSE_TIMEOUT, name);
        leave_request(p, CLOSE_TIMEOUT);
    } else {
        p->request->dispatched = true;
        note(p, CLOSE_TIMEOUT, name);
        http_problem(p->request, 408, NULL, NULL, NULL, "the body took too long");
    }
}

static void on_refused_closed(void *ctx, struct stream *s, enum close_reason reason,
                              const char *detail) {
    (void)ctx, (void)s, (void)reason, (void)detail;
}

static void on_accepted(void *ctx, struct stream *stream) {
    static const struct stream_events events = {
        .data = on_data, .space = on_space, .drained = on_drained, .closed = on_closed};
    static const struct stream_events refused = {.closed = on_refused_closed};
    struct http_server *s = ctx;
    s->counts.accepted++;
    s->counts.refused += s->count >= s->options.connection_max;
    /* Twice the maximum leaves room to tell those above it why. */
    struct peer *p = s->count < 2 * s->options.connection_max ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        stream_set_events(stream, &refused, NULL);
        stream_close(stream, CLOSE_ERROR);
        return;
    }
    p->server = s;
    p->stream = stream;
    p->first = true;
    p->since = now(p);
    loop_timer_init(&p->timer, on_timer, p);
    buf_init(&p->pending, 16 * PIPELINE_MAX);
    http_parser_init(&p->parser, false, s->options.head_max, s->options.header_max, on_body, p);
    list_append(&s->peers, &p->link);
    s->count++;
    stream_set_events(stream, &events, p);
    if (s->count > s->options.connection_max) {
        refuse(p, 503, CLOSE_TOO_LARGE, "too many connections");
    } else {
        peer_arm(p);
    }
}

/* --- the server's life ----------------------------------------------------------------------- */

static void on_drain_timer(struct loop_timer *timer) {
    struct http_server *s = timer->ctx;
    if (s->count == 0 && s->held.posted) {
        loop_timer_start(s->loop, timer, loop_now(s->loop)); /* its post must find it */
        return;
    }
    if (s->count == 0) {
        void (*done)(void *ctx) = s->done;
        void *ctx = s->done_ctx;
        s->over = true;
        free_server_when_over(s);
        if (done) {
            done(ctx);
        }
        return;
    }
    struct list *next;
    for (struct list *i = s->peers.next; i != &s->peers; i = next) {
        struct peer *p = LIST_ITEM(i, struct peer, link);
        next = i->next;
        if (p->state == PEER_CLOSING) {
            stream_close(p->stream, CLOSE_SHUTDOWN); /* it had time to send what was left */
        }
        peer_cut(p, CLOSE_SHUTDOWN, "the server is shut down");
        leave_request(p, CLOSE_SHUTDOWN);
    }
}

hardy_status http_server_open(struct loop *loop, const struct http_server_options *options,
                              struct http_server **out, hardy_error *error) {
    static const struct listener_events events = {.accepted = on_accepted};
    struct http_server *s = calloc(1, sizeof *s);
    if (!s) {
        return fail(error, HARDY_E_NOMEM, options->host, "no memory for a server");
    }
    s->loop = loop;
    s->options = *options;
    list_init(&s->peers);
    held_init(s);
    loop_timer_init(&s->drain_timer, on_drain_timer, s);
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    s->listener = listener_open(loop, options->host, options->port, &events, s, &why);
    if (!s->listener) {
        free(s);
        return fail(error, why.status, why.where, "%s", why.message);
    }
    s->port = listener_port(s->listener);
    *out = s;
    return HARDY_OK;
}

uint16_t http_server_port(const struct http_server *s) {
    return s->port;
}

size_t http_server_connections(const struct http_server *s) {
    return s->count;
}

size_t http_server_body_total(const struct http_server *s) {
    return s->body_total;
}

struct http_server_counts http_server_counts(const struct http_server *s) {
    return s->counts;
}

void http_server_stop_accepting(struct http_server *s) {
    listener_close(s->listener);
    s->listener = NULL;
}

void http_server_drain(struct http_server *s, int64_t limit, void (*done)(void *ctx), void *ctx) {
    s->done = done;
    s->done_ctx = ctx;
    http_server_stop_accepting(s);
    if (!s->draining) {
        s->draining = true;
        for (struct list *i = s->peers.next; i != &s->peers; i = i->next) {
            struct peer *p = LIST_ITEM(i, struct peer, link);
            if (p->state == PEER_READING && !http_parser_started(&p->parser)) {
                finish_peer(p, CLOSE_SHUTDOWN, "the server is shut down");
            }
        }
    }
    loop_timer_start(s->loop, &s->drain_timer, s->count > 0 ? limit : loop_now(s->loop));
}
