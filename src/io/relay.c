/* SPDX-License-Identifier: Apache-2.0 */
#include "io/relay.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/list.h"
#include <stdlib.h>

/* Of one direction, unread by the far side; then its source is not read from. */
static const size_t unsent_max = (size_t)256 << 10;

struct relay {
    struct loop *loop;
    struct relay_options options;
    struct listener *listener;
    char *host; /* of the target; NULL = none */
    uint16_t port;
    uint64_t target; /* counts changes of the target */
    struct list pairs;
    struct relay_figures figures;
    bool closing;
    struct loop_post freed; /* tells `gone` */
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* A client and its connection to the target. */
struct pair {
    struct list link;
    struct relay *relay;
    struct stream *client, *server; /* NULL = gone, or not there yet */
    uint64_t target;                /* which one the server is */
    bool connected, closing;
    struct loop_timer timer; /* bounds the connecting, then the draining */
};

/* --- the end ---------------------------------------------------------------------------------- */

static void on_freed(struct loop_post *post) {
    struct relay *r = post->ctx;
    if (r->gone)
        r->gone(r->gone_ctx);
    free(r->host);
    free(r);
}

static void free_if_done(struct relay *r) {
    if (r->closing && list_empty(&r->pairs))
        loop_post(r->loop, &r->freed);
}

/* `reason` is for what is left of it. */
static void close_pair(struct pair *p, enum close_reason reason) {
    if (p->closing)
        return;
    p->closing = true;
    loop_timer_stop(p->relay->loop, &p->timer);
    if (p->client)
        stream_close(p->client, reason);
    if (p->server)
        stream_close(p->server, reason);
}

static void free_if_gone(struct pair *p) {
    struct relay *r = p->relay;
    if (p->client || p->server)
        return;
    loop_timer_stop(r->loop, &p->timer);
    list_remove(&p->link);
    free(p);
    r->figures.open--;
    free_if_done(r);
}

/* What the far side of one that ended so is told: after an end, everything that was written first.
 */
static enum close_reason passed_on(enum close_reason reason) {
    return reason == CLOSE_EOF ? CLOSE_LOCAL : CLOSE_RESET;
}

/* --- both directions -------------------------------------------------------------------------- */

static void pass(struct stream *from, struct stream *to, const char *data, size_t len) {
    if (!to || !stream_write(to, data, len))
        return; /* it is closing, and so will the other side */
    if (stream_unsent(to) > unsent_max)
        stream_read_pause(from);
}

static void on_client_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct pair *p = ctx;
    pass(s, p->server, data, len);
}

static void on_server_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct pair *p = ctx;
    pass(s, p->client, data, len);
}

static void on_client_drained(void *ctx, struct stream *s) {
    struct pair *p = ctx;
    (void)s;
    if (p->server && !p->closing)
        stream_read_resume(p->server);
}

static void on_server_drained(void *ctx, struct stream *s) {
    struct pair *p = ctx;
    (void)s;
    if (p->client && p->connected && !p->closing)
        stream_read_resume(p->client);
}

static void on_client_closed(void *ctx, struct stream *s, enum close_reason reason,
                             const char *detail) {
    struct pair *p = ctx;
    (void)s;
    (void)detail;
    p->client = NULL;
    close_pair(p, passed_on(reason));
    free_if_gone(p);
}

/* --- to the target ---------------------------------------------------------------------------- */

static void connect_pair(struct pair *p);

static void on_server_connected(void *ctx, struct stream *s) {
    struct pair *p = ctx;
    (void)s;
    p->connected = true;
    loop_timer_stop(p->relay->loop, &p->timer);
    if (p->client)
        stream_read_resume(p->client);
}

static void on_server_closed(void *ctx, struct stream *s, enum close_reason reason,
                             const char *detail) {
    struct pair *p = ctx;
    (void)s;
    (void)detail;
    p->server = NULL;
    if (!p->connected && !p->closing && p->target != p->relay->target) {
        connect_pair(p); /* given up for the new one */
        return;
    }
    p->relay->figures.failed += !p->connected && !p->closing;
    close_pair(p, passed_on(reason));
    free_if_gone(p);
}

static void on_time(struct loop_timer *timer) {
    struct pair *p = timer->ctx;
    p->relay->figures.failed += !p->connected;
    p->relay->figures.moved += p->connected;
    close_pair(p, CLOSE_RESET);
}

/* Nothing is read from the client before the target answers, so nothing can be lost with it. */
static void connect_pair(struct pair *p) {
    static const struct stream_events events = {.connected = on_server_connected,
                                                .data = on_server_data,
                                                .drained = on_server_drained,
                                                .closed = on_server_closed};
    struct relay *r = p->relay;
    int64_t span = r->host ? r->options.connect_timeout : r->options.wait_timeout;
    loop_timer_start(r->loop, &p->timer, time_add(loop_now(r->loop), span));
    p->target = r->target;
    if (!r->host)
        return;
    p->server = stream_connect(r->loop, r->host, r->port, &events, p);
    if (!p->server)
        close_pair(p, CLOSE_RESET);
}

bool relay_target(struct relay *r, const char *host, uint16_t port, int64_t drain) {
    char *copy = str_dup(host);
    if (host && !copy)
        return false;
    if (str_eq(host, r->host) && port == r->port) {
        free(copy);
        return true;
    }
    free(r->host);
    r->host = copy;
    r->port = port;
    uint64_t former = r->target++;
    for (struct list *l = r->pairs.next, *next; l != &r->pairs; l = next) {
        struct pair *p = LIST_ITEM(l, struct pair, link);
        next = l->next;
        if (p->closing)
            continue;
        if (!p->connected && !p->server)
            connect_pair(p);
        else if (!p->connected)
            stream_close(p->server, CLOSE_RESET); /* on_server_closed() goes on */
        else if (p->target == former)             /* else it is draining already */
            loop_timer_start(r->loop, &p->timer, time_add(loop_now(r->loop), drain));
    }
    return true;
}

/* --- listening -------------------------------------------------------------------------------- */

static void on_refused_closed(void *ctx, struct stream *s, enum close_reason reason,
                              const char *detail) {
    (void)ctx;
    (void)s;
    (void)reason;
    (void)detail;
}

static void on_refused_data(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)ctx;
    (void)s;
    (void)data;
    (void)len;
}

static void on_accepted(void *ctx, struct stream *s) {
    static const struct stream_events refused = {.data = on_refused_data,
                                                 .closed = on_refused_closed};
    static const struct stream_events events = {
        .data = on_client_data, .drained = on_client_drained, .closed = on_client_closed};
    struct relay *r = ctx;
    struct pair *p = r->figures.open < r->options.max_connections ? calloc(1, sizeof *p) : NULL;
    r->figures.accepted++;
    if (!p) {
        r->figures.refused++;
        stream_set_events(s, &refused, NULL);
        stream_close(s, CLOSE_RESET);
        return;
    }
    r->figures.open++;
    p->relay = r;
    p->client = s;
    list_append(&r->pairs, &p->link);
    loop_timer_init(&p->timer, on_time, p);
    stream_set_events(s, &events, p);
    stream_read_pause(s);
    connect_pair(p);
}

struct relay *relay_open(struct loop *loop, const char *host, uint16_t port,
                         const struct relay_options *options, hardy_error *error) {
    static const struct listener_events events = {on_accepted};
    struct relay *r = calloc(1, sizeof *r);
    if (!r) {
        (void)fail(error, HARDY_E_NOMEM, NULL, "no memory to listen on %s", host);
        return NULL;
    }
    r->loop = loop;
    r->options = *options;
    r->freed = (struct loop_post){.fn = on_freed, .ctx = r};
    list_init(&r->pairs);
    r->listener = listener_open(loop, host, port, &events, r, error);
    if (!r->listener) {
        free(r);
        return NULL;
    }
    return r;
}

uint16_t relay_port(const struct relay *r) {
    return listener_port(r->listener);
}

struct relay_figures relay_figures(const struct relay *r) {
    return r->figures;
}

void relay_close(struct relay *r, void (*gone)(void *ctx), void *ctx) {
    r->closing = true;
    r->gone = gone;
    r->gone_ctx = ctx;
    listener_close(r->listener);
    for (struct list *l = r->pairs.next; l != &r->pairs; l = l->next)
        close_pair(LIST_ITEM(l, struct pair, link), CLOSE_RESET);
    free_if_done(r);
}
