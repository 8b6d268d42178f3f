/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams over TCP on the kernel's loop.
 *
 * Connecting follows the addresses in the resolver's order, families taking turns; the next one is
 * tried when the one before failed or is silent for 250 ms, and the first that answers wins: one
 * black hole among several addresses must not cost the whole connect timeout (as RFC 8305 has it).
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/loop_uv.h"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESSES_MAX 8
#define NEXT_ADDRESS (250 * HARDY_MILLISECOND)
#define LINGER (10 * HARDY_SECOND)
#define PEER_MAX 300

/* A socket has its own life: libuv needs its memory until it is closed. */
struct sock {
    uv_tcp_t tcp;
    uv_connect_t request;
    struct stream_uv *stream; /* NULL = given up */
};
struct resolving {
    uv_getaddrinfo_t request;
    struct stream_uv *stream; /* NULL = given up */
};
/* Apart from the stream, because thousands of connections that were accepted never need it. */
struct connecting {
    struct buf early; /* written meanwhile */
    struct resolving *resolving;
    struct sock *trying[ADDRESSES_MAX];
    struct sockaddr_storage addresses[ADDRESSES_MAX];
    unsigned address_count, tried;
};
struct stream_uv {
    struct stream base;
    struct list link;
    struct sock *sock;             /* once connected */
    struct connecting *connecting; /* until then */
    size_t unsent;                 /* handed to libuv, or waiting in `early` */
    bool paused, reading;
    bool closing, flushing, posted;
    enum close_reason reason;
    struct loop_post post;   /* what has to be told later: see settle() */
    struct loop_timer timer; /* the next address, later the end of flushing */
    char *detail;            /* why it failed; NULL = as `reason` says */
    char peer[];
};
struct listener_uv {
    struct listener base;
    struct list link;
    uv_tcp_t tcp;
    uint16_t port;
};
struct write_uv {
    uv_write_t request;
    struct sock *sock;
    size_t len;
    char data[];
};

static void step(struct stream_uv *s);
static void start_reading(struct stream_uv *s);

static struct stream_uv *stream_of(struct stream *s) {
    return (struct stream_uv *)s;
}

static uv_stream_t *uv_stream_of(struct sock *sock) {
    return (uv_stream_t *)&sock->tcp;
}

/* --- the end --- */

static void on_sock_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void drop_sock(struct sock *sock) {
    if (sock) {
        sock->stream = NULL;
        uv_close((uv_handle_t *)&sock->tcp, on_sock_closed);
    }
}

/* So that the far side learns of a reset. */
static void reset_sock(struct sock *sock) {
    if (sock) {
        sock->stream = NULL;
        if (uv_tcp_close_reset(&sock->tcp, on_sock_closed) != 0) {
            uv_close((uv_handle_t *)&sock->tcp, on_sock_closed);
        }
    }
}

/* `kept` is the attempt that has won, or NULL. */
static void end_connecting(struct stream_uv *s, const struct sock *kept) {
    struct connecting *c = s->connecting;
    if (!c) {
        return;
    }
    for (unsigned i = 0; i < c->tried; i++) {
        if (c->trying[i] != kept) {
            drop_sock(c->trying[i]);
        }
    }
    if (c->resolving) {
        c->resolving->stream = NULL;
        uv_cancel((uv_req_t *)&c->resolving->request);
    }
    buf_free(&c->early);
    free(c);
    s->connecting = NULL;
}

/* Lets go of everything that could call back. */
static void detach(struct stream_uv *s) {
    loop_timer_stop(s->base.loop, &s->timer);
    if (s->closing && s->reason == CLOSE_RESET) {
        reset_sock(s->sock);
    } else {
        drop_sock(s->sock);
    }
    s->sock = NULL;
    end_connecting(s, NULL);
}

static void release(struct stream_uv *s) {
    list_remove(&s->link);
    free(s->detail);
    free(s);
}

static void explain(struct stream_uv *s, const char *doing, const char *why) {
    free(s->detail);
    s->detail = str_format("%s %s: %s", doing, s->peer, why);
}

/* The only place that tells of the end; runs from the loop, with nothing of the stream's on the
 * stack. Streams closed in one turn end in the order in which they were closed. */
static void on_settle(struct loop_post *post) {
    struct stream_uv *s = post->ctx;
    s->posted = false;
    if (!s->closing || s->flushing) {
        step(s);
        return;
    }
    const struct stream_events *events = s->base.events;
    if (events && events->closed) {
        events->closed(s->base.ctx, &s->base, s->reason,
                       s->detail ? s->detail : close_reason_text(s->reason));
    }
    release(s);
}

static void settle(struct stream_uv *s) {
    if (!s->posted) {
        s->posted = true;
        loop_post(s->base.loop, &s->post);
    }
}

static void end(struct stream_uv *s, enum close_reason reason) {
    s->closing = true;
    s->flushing = false;
    s->reason = reason;
    detach(s);
    settle(s);
}

static enum close_reason reason_of(int uv_error) {
    switch (uv_error) {
    case UV_EOF:
        return CLOSE_EOF;
    case UV_ECONNREFUSED:
        return CLOSE_REFUSED;
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ECONNABORTED:
        return CLOSE_RESET;
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH:
    case UV_EADDRNOTAVAIL:
    case UV_ENETDOWN:
    case UV_EHOSTDOWN:
        return CLOSE_UNREACHABLE;
    case UV_ETIMEDOUT:
        return CLOSE_TIMEOUT;
    default:
        return CLOSE_ERROR;
    }
}

static void end_failed(struct stream_uv *s, const char *doing, int uv_error) {
    if (s->closing) {
        end(s, s->reason); /* while the rest was being sent */
        return;
    }
    if (uv_error != UV_EOF) {
        explain(s, doing, uv_strerror(uv_error));
    }
    end(s, reason_of(uv_error));
}

/* --- writing --- */

static void on_written(uv_write_t *request, int status) {
    struct write_uv *w = request->data;
    struct stream_uv *s = w->sock->stream;
    size_t len = w->len;
    free(w);
    if (!s) {
        return;
    }
    s->unsent -= len;
    if (status < 0) {
        end_failed(s, "write to", status);
        return;
    }
    if (s->unsent > 0) {
        return;
    }
    if (s->closing) {
        end(s, s->reason);
    } else if (s->base.events && s->base.events->drained) {
        s->base.events->drained(s->base.ctx, &s->base);
    }
}

/* Copies what is behind the first `skip` bytes and leaves it to libuv. */
static bool queue(struct stream_uv *s, const struct stream_piece *pieces, size_t count, size_t skip,
                  size_t len) {
    struct write_uv *w = malloc(sizeof *w + len);
    if (!w) {
        return false;
    }
    w->request.data = w;
    w->sock = s->sock;
    w->len = len;
    char *to = w->data;
    for (size_t i = 0; i < count; i++) {
        size_t past = skip < pieces[i].len ? skip : pieces[i].len;
        size_t rest = pieces[i].len - past;
        skip -= past;
        if (rest > 0) {
            memcpy(to, (const char *)pieces[i].data + past, rest);
            to += rest;
        }
    }
    uv_buf_t piece = uv_buf_init(w->data, (unsigned)len);
    if (uv_write(&w->request, uv_stream_of(s->sock), &piece, 1, on_written) != 0) {
        free(w);
        return false;
    }
    return true;
}

static bool write_failed(struct stream_uv *s, enum close_reason reason, const char *what) {
    explain(s, "write to", what);
    end(s, reason);
    return false;
}

static bool write_early(struct stream_uv *s, const struct stream_piece *pieces, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!buf_append(&s->connecting->early, pieces[i].data, pieces[i].len)) {
            return write_failed(s, CLOSE_ERROR, "out of memory");
        }
        s->unsent += pieces[i].len;
    }
    return true;
}

/* How many bytes the kernel takes now; an error of libuv's below 0. */
static ssize_t try_write(struct stream_uv *s, const struct stream_piece *pieces, size_t count) {
    uv_buf_t buffers[STREAM_PIECES_MAX];
    unsigned used = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].len > 0) {
            buffers[used++] =
                uv_buf_init((char *)(uintptr_t)pieces[i].data, (unsigned)pieces[i].len);
        }
    }
    int n = uv_try_write(uv_stream_of(s->sock), buffers, used);
    return n == UV_EAGAIN ? 0 : n;
}

bool stream_uv_write(struct stream *stream, const struct stream_piece *pieces, size_t count) {
    struct stream_uv *s = stream_of(stream);
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += pieces[i].len;
    }
    if (s->closing) {
        return false;
    }
    if (len == 0) {
        return true;
    }
    if (s->unsent + len > STREAM_UNSENT_MAX) {
        return write_failed(s, CLOSE_TOO_LARGE, "too much that the far side does not take");
    }
    if (s->connecting) {
        return write_early(s, pieces, count);
    }
    ssize_t sent = s->unsent == 0 ? try_write(s, pieces, count) : 0;
    if (sent < 0) {
        end_failed(s, "write to", (int)sent);
        return false;
    }
    if ((size_t)sent < len) {
        if (!queue(s, pieces, count, (size_t)sent, len - (size_t)sent)) {
            return write_failed(s, CLOSE_ERROR, "out of memory");
        }
        s->unsent += len - (size_t)sent;
    }
    return true;
}

size_t stream_uv_unsent(const struct stream *stream) {
    return ((const struct stream_uv *)stream)->unsent;
}

/* --- reading --- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    struct stream_uv *s = ((struct sock *)handle->data)->stream;
    size_t len = 0;
    (void)suggested;
    if (!s) {
        *out = uv_buf_init(NULL, 0);
        return;
    }
    const struct stream_events *events = s->base.events;
    char *place = events && events->space ? events->space(s->base.ctx, &s->base, &len) : NULL;
    *out = place ? uv_buf_init(place, (unsigned)len)
                 : uv_buf_init(uv_of(s->base.loop)->buffer, READ_SIZE);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buffer) {
    struct stream_uv *s = ((struct sock *)handle->data)->stream;
    if (!s || n == 0) {
        return;
    }
    if (n < 0) {
        uv_read_stop(handle);
        end_failed(s, "read from", (int)n);
    } else if (s->base.events && s->base.events->data) {
        s->base.events->data(s->base.ctx, &s->base, buffer->base, (size_t)n);
    }
}

static void start_reading(struct stream_uv *s) {
    bool want = s->sock && !s->paused && !s->closing;
    if (want && !s->reading) {
        int failed = uv_read_start(uv_stream_of(s->sock), on_alloc, on_read);
        if (failed) {
            end_failed(s, "read from", failed);
            return;
        }
    } else if (!want && s->reading && s->sock) {
        uv_read_stop(uv_stream_of(s->sock));
    }
    s->reading = want;
}

void stream_uv_read_pause(struct stream *stream, bool pause) {
    struct stream_uv *s = stream_of(stream);
    s->paused = pause;
    start_reading(s);
}

/* --- closing --- */

static void on_linger_over(struct loop_timer *timer) {
    struct stream_uv *s = timer->ctx;
    end(s, s->reason);
}

void stream_uv_close(struct stream *stream, enum close_reason reason) {
    struct stream_uv *s = stream_of(stream);
    if (s->closing) {
        if (s->flushing && reason != CLOSE_LOCAL) {
            end(s, reason);
        }
        return;
    }
    if (reason != CLOSE_LOCAL || s->unsent == 0) {
        end(s, reason);
        return;
    }
    s->closing = s->flushing = true;
    s->reason = reason;
    start_reading(s);
    s->timer.fn = on_linger_over;
    loop_timer_start(s->base.loop, &s->timer, time_add(loop_now(s->base.loop), LINGER));
}

const char *stream_uv_peer(const struct stream *stream) {
    return ((const struct stream_uv *)stream)->peer;
}

/* --- connecting --- */

static void on_next_address(struct loop_timer *timer) {
    step(timer->ctx);
}

static struct stream_uv *stream_new(struct loop *loop, const char *peer,
                                    const struct stream_events *events, void *ctx) {
    size_t size = strlen(peer) + 1;
    struct stream_uv *s = calloc(1, sizeof *s + size);
    if (!s) {
        return NULL;
    }
    s->base = (struct stream){.loop = loop, .events = events, .ctx = ctx};
    memcpy(s->peer, peer, size);
    s->post.fn = on_settle;
    s->post.ctx = s;
    loop_timer_init(&s->timer, on_next_address, s);
    list_append(&uv_of(loop)->streams, &s->link);
    return s;
}

static void format_address(const struct sockaddr *address, char *out, size_t size) {
    char ip[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 a;
        memcpy(&a, address, sizeof a);
        uv_ip6_name(&a, ip, sizeof ip);
        snprintf(out, size, "[%s]:%u", ip, (unsigned)ntohs(a.sin6_port));
    } else {
        struct sockaddr_in a;
        memcpy(&a, address, sizeof a);
        uv_ip4_name(&a, ip, sizeof ip);
        snprintf(out, size, "%s:%u", ip, (unsigned)ntohs(a.sin_port));
    }
}

/* An address written in digits, with or without brackets. */
static bool parse_address(const char *host, uint16_t port, struct sockaddr_storage *out) {
    char bare[INET6_ADDRSTRLEN + 20];
    size_t len = strlen(host);
    bool brackets = len > 2 && host[0] == '[' && host[len - 1] == ']';
    if (len >= sizeof bare) {
        return false;
    }
    snprintf(bare, sizeof bare, "%.*s", (int)(brackets ? len - 2 : len), host + brackets);
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(bare, port, &v4) == 0) {
        memcpy(out, &v4, sizeof v4);
        return true;
    }
    if (uv_ip6_addr(bare, port, &v6) == 0) {
        memcpy(out, &v6, sizeof v6);
        return true;
    }
    return false;
}

static unsigned in_flight(const struct connecting *c) {
    unsigned count = 0;
    for (unsigned i = 0; i < c->tried; i++) {
        count += c->trying[i] != NULL;
    }
    return count;
}

static void connected(struct stream_uv *s, struct sock *sock) {
    if (!s->flushing) {
        loop_timer_stop(s->base.loop, &s->timer);
    }
    s->sock = sock;
    uv_tcp_nodelay(&sock->tcp, 1);
    struct stream_piece early = {s->connecting->early.data, s->connecting->early.len};
    bool queued = early.len == 0 || queue(s, &early, 1, 0, early.len);
    end_connecting(s, sock);
    if (!queued) {
        (void)write_failed(s, CLOSE_ERROR, "out of memory");
        return;
    }
    start_reading(s);
    if (!s->closing && s->base.events && s->base.events->connected) {
        s->base.events->connected(s->base.ctx, &s->base);
    }
}

static void connect_failed(struct stream_uv *s, int uv_error) {
    if (s->connecting->tried == s->connecting->address_count && in_flight(s->connecting) == 0) {
        end_failed(s, "connect to", uv_error);
    } else {
        step(s);
    }
}

static void on_connect(uv_connect_t *request, int status) {
    struct sock *sock = request->data;
    struct stream_uv *s = sock->stream;
    if (!s) {
        return;
    }
    if (status == 0) {
        connected(s, sock);
        return;
    }
    for (unsigned i = 0; i < s->connecting->tried; i++) {
        if (s->connecting->trying[i] == sock) {
            s->connecting->trying[i] = NULL;
        }
    }
    drop_sock(sock);
    connect_failed(s, status);
}

static struct sock *sock_new(struct loop *loop) {
    struct sock *sock = calloc(1, sizeof *sock);
    if (!sock) {
        return NULL;
    }
    if (uv_tcp_init(&uv_of(loop)->uv, &sock->tcp) != 0) {
        free(sock);
        return NULL;
    }
    sock->tcp.data = sock;
    sock->request.data = sock;
    return sock;
}

/* Tries the next address, and arms the timer for the one after it. */
static void step(struct stream_uv *s) {
    struct connecting *c = s->connecting;
    if ((s->closing && !s->flushing) || !c || c->tried == c->address_count) {
        return;
    }
    unsigned i = c->tried++;
    struct sock *sock = sock_new(s->base.loop);
    int failed = UV_ENOMEM;
    if (sock) {
        sock->stream = s;
        failed = uv_tcp_connect(&sock->request, &sock->tcp,
                                (const struct sockaddr *)&c->addresses[i], on_connect);
        if (failed) {
            drop_sock(sock);
        } else {
            c->trying[i] = sock;
        }
    }
    if (failed) {
        connect_failed(s, failed);
    } else if (c->tried < c->address_count && !s->flushing) {
        loop_timer_start(s->base.loop, &s->timer, time_add(loop_now(s->base.loop), NEXT_ADDRESS));
    }
}

/* Families take turns, the resolver's first one leading. */
static void take_addresses(struct connecting *c, const struct addrinfo *list) {
    const struct addrinfo *lead = list, *other = list;
    int family = list ? list->ai_family : 0;
    while (c->address_count < ADDRESSES_MAX) {
        while (lead && lead->ai_family != family) {
            lead = lead->ai_next;
        }
        while (other && other->ai_family == family) {
            other = other->ai_next;
        }
        const struct addrinfo **turn = c->address_count % 2 == 0 ? &lead : &other;
        turn = *turn ? turn : turn == &lead ? &other : &lead;
        if (!*turn) {
            return;
        }
        memcpy(&c->addresses[c->address_count++], (*turn)->ai_addr, (*turn)->ai_addrlen);
        *turn = (*turn)->ai_next;
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct resolving *r = request->data;
    struct stream_uv *s = r->stream;
    if (s) {
        s->connecting->resolving = NULL;
        if (status == 0) {
            take_addresses(s->connecting, list);
        }
        if (s->connecting->address_count > 0) {
            step(s);
        } else {
            explain(s, "cannot resolve", status ? uv_strerror(status) : "no address");
            end(s, CLOSE_RESOLVE);
        }
    }
    uv_freeaddrinfo(list);
    free(r);
}

static int resolve(struct stream_uv *s, const char *host, uint16_t port) {
    struct resolving *r = calloc(1, sizeof *r);
    if (!r) {
        return UV_ENOMEM;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    r->stream = s;
    r->request.data = r;
    s->connecting->resolving = r;
    int failed =
        uv_getaddrinfo(&uv_of(s->base.loop)->uv, &r->request, on_resolved, host, service, &hints);
    if (failed) {
        s->connecting->resolving = NULL;
        free(r);
    }
    return failed;
}

struct stream *stream_uv_connect(struct loop *loop, const char *host, uint16_t port,
                                 const struct stream_events *events, void *ctx) {
    char peer[PEER_MAX];
    snprintf(peer, sizeof peer, "%.255s:%u", host, (unsigned)port);
    struct connecting *c = calloc(1, sizeof *c);
    struct stream_uv *s = c ? stream_new(loop, peer, events, ctx) : NULL;
    if (!s) {
        free(c);
        return NULL;
    }
    s->connecting = c;
    buf_init(&c->early, STREAM_UNSENT_MAX);
    if (parse_address(host, port, &c->addresses[0])) {
        c->address_count = 1;
        settle(s);
        return &s->base;
    }
    int failed = resolve(s, host, port);
    if (failed) {
        explain(s, "cannot resolve", uv_strerror(failed));
        end(s, CLOSE_RESOLVE);
    }
    return &s->base;
}

/* --- listening --- */

static void on_connection(uv_stream_t *server, int status) {
    struct listener_uv *l = server->data;
    if (status != 0) {
        return; /* out of descriptors: libuv has turned the caller away */
    }
    struct sock *sock = sock_new(l->base.loop);
    if (!sock || uv_accept(server, uv_stream_of(sock)) != 0) {
        drop_sock(sock);
        return;
    }
    uv_tcp_nodelay(&sock->tcp, 1);
    char peer[INET6_ADDRSTRLEN + 16] = "";
    struct sockaddr_storage address;
    int len = sizeof address;
    if (uv_tcp_getpeername(&sock->tcp, (struct sockaddr *)&address, &len) == 0) {
        format_address((const struct sockaddr *)&address, peer, sizeof peer);
    }
    struct stream_uv *s = stream_new(l->base.loop, peer, NULL, NULL);
    if (!s) {
        drop_sock(sock);
        return;
    }
    s->sock = sock;
    sock->stream = s;
    l->base.events->accepted(l->base.ctx, &s->base);
    if (!s->closing && !s->base.events) {
        end(s, CLOSE_LOCAL);
        return;
    }
    start_reading(s);
}

static hardy_status listen_address(struct loop *loop, const char *host, uint16_t port,
                                   struct sockaddr_storage *out, hardy_error *error) {
    if (parse_address(host, port, out)) {
        return HARDY_OK;
    }
    char service[8];
    snprintf(service, sizeof service, "%u", (unsigned)port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_PASSIVE};
    uv_getaddrinfo_t request;
    int failed = uv_getaddrinfo(&uv_of(loop)->uv, &request, NULL, host, service, &hints);
    if (failed) {
        return fail(error, HARDY_E_NOT_FOUND, host, "cannot listen on %s: %s", host,
                    uv_strerror(failed));
    }
    memcpy(out, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return HARDY_OK;
}

static void on_listener_closed(uv_handle_t *handle) {
    free(handle->data);
}

void listener_uv_close(struct listener *listener) {
    struct listener_uv *l = (struct listener_uv *)listener;
    list_remove(&l->link);
    uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
}

struct listener *listener_uv_open(struct loop *loop, const char *host, uint16_t port,
                                  const struct listener_events *events, void *ctx,
                                  hardy_error *error) {
    struct loop_uv *uv = uv_of(loop);
    struct sockaddr_storage address;
    if (listen_address(loop, host, port, &address, error) != HARDY_OK) {
        return NULL;
    }
    struct listener_uv *l = calloc(1, sizeof *l);
    if (!l) {
        (void)fail(error, HARDY_E_NOMEM, host, "no memory for a listener");
        return NULL;
    }
    l->base = (struct listener){.loop = loop, .events = events, .ctx = ctx};
    uv_tcp_init(&uv->uv, &l->tcp);
    l->tcp.data = l;
    list_append(&uv->listeners, &l->link);
    int failed = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&address, 0);
    if (!failed) {
        failed = uv_listen((uv_stream_t *)&l->tcp, 511, on_connection);
    }
    int len = sizeof address;
    if (!failed) {
        failed = uv_tcp_getsockname(&l->tcp, (struct sockaddr *)&address, &len);
    }
    if (failed) {
        char name[PEER_MAX];
        format_address((const struct sockaddr *)&address, name, sizeof name);
        (void)fail(error,
                   failed == UV_EADDRINUSE                     ? HARDY_E_EXISTS
                   : failed == UV_EACCES || failed == UV_EPERM ? HARDY_E_READONLY
                                                               : HARDY_E_IO,
                   name, "cannot listen on %s: %s", name, uv_strerror(failed));
        listener_uv_close(&l->base);
        return NULL;
    }
    l->port = address.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&address)->sin6_port)
                                            : ntohs(((struct sockaddr_in *)&address)->sin_port);
    return &l->base;
}

uint16_t listener_uv_port(const struct listener *listener) {
    return ((const struct listener_uv *)listener)->port;
}

void stream_uv_close_all(struct loop_uv *l) {
    while (!list_empty(&l->listeners)) {
        listener_uv_close(&LIST_ITEM(l->listeners.next, struct listener_uv, link)->base);
    }
    while (!list_empty(&l->streams)) {
        struct stream_uv *s = LIST_ITEM(l->streams.next, struct stream_uv, link);
        detach(s);
        release(s);
    }
}
