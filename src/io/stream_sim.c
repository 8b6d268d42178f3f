/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated network. A connection is two streams; what one writes goes on its way as chunks, in
 * order, as long as the other end has room for it. The end of a stream is a chunk too, so that it
 * comes behind the data; a reset overtakes what is on its way.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/loop_sim.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_MAX 16384
#define LINGER (10 * HARDY_SECOND)
#define HOST_MAX 256

enum chunk_kind { CHUNK_DATA, CHUNK_END, CHUNK_RESET };

struct stream_sim;
struct chunk {
    struct list link;
    struct loop_timer timer; /* its arrival */
    struct stream_sim *to;
    enum chunk_kind kind;
    bool arrived;
    size_t len;
    char data[];
};
struct stream_sim {
    struct stream base;
    struct list link;
    struct stream_sim *other; /* NULL = not connected, or gone */
    struct list coming;       /* chunks for us, in order */
    size_t window;            /* bytes in `coming` */
    struct buf unsent;        /* from `gone` on: the front is dropped in large pieces only */
    size_t gone;
    int64_t last;             /* when the last chunk arrives over there: order is kept */
    struct loop_timer timer;  /* first the connection, then the end */
    struct loop_timer wake;   /* chunks that had waited; drained */
    struct loop_timer linger; /* how long flushing may take */
    uint64_t number;
    uint16_t port;
    bool outside, open, paused, drains;
    bool closing, flushing;
    enum close_reason reason;
    char host[HOST_MAX], peer[HOST_MAX + 8], detail[2 * HOST_MAX];
};
struct listener_sim {
    struct listener base;
    struct list link;
    uint16_t port;
    bool outside;
    char host[HOST_MAX];
};

static void finish(struct stream_sim *s, enum close_reason reason);

static struct stream_sim *stream_of(struct stream *s) {
    return (struct stream_sim *)s;
}

static struct loop_sim *world_of(const struct stream_sim *s) {
    return sim_of(s->base.loop);
}

static int64_t latency(struct loop_sim *w) {
    return sim_between(w, w->options.latency_min, w->options.latency_max);
}

static _Noreturn void out_of_memory(void) {
    abort(); /* a simulation that lost something silently would prove nothing */
}

/* --- chunks --- */

static void chunk_free(struct chunk *c) {
    loop_timer_stop(c->to->base.loop, &c->timer);
    list_remove(&c->link);
    free(c);
}

static void drop_coming(struct stream_sim *s) {
    while (!list_empty(&s->coming)) {
        chunk_free(LIST_ITEM(s->coming.next, struct chunk, link));
    }
    s->window = 0;
}

static uint64_t sum_of(const char *data, size_t len) {
    uint64_t sum = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < len; i++) {
        sum = (sum ^ (uint8_t)data[i]) * UINT64_C(0x100000001B3);
    }
    return sum;
}

static void wake(struct stream_sim *s) {
    struct loop_sim *w = world_of(s);
    if (!heap_contains(&s->wake.node)) {
        sim_arm(w, &s->wake, w->now);
    }
}

static void on_arrival(struct loop_timer *timer);

static void send_chunk(struct stream_sim *to, enum chunk_kind kind, const char *data, size_t len,
                       int64_t at) {
    struct loop_sim *w = world_of(to);
    struct chunk *c = calloc(1, sizeof *c + len);
    if (!c) {
        out_of_memory();
    }
    c->to = to;
    c->kind = kind;
    c->len = len;
    if (len > 0) {
        memcpy(c->data, data, len);
    }
    loop_timer_init(&c->timer, on_arrival, c);
    list_append(&to->coming, &c->link);
    to->window += len;
    sim_arm(w, &c->timer, at);
}

/* --- writing --- */

static size_t unsent(const struct stream_sim *s) {
    return s->unsent.len - s->gone;
}

static void forget_unsent(struct stream_sim *s) {
    buf_reset(&s->unsent);
    s->gone = 0;
}

static int64_t arrival_time(struct stream_sim *s) {
    struct loop_sim *w = world_of(s);
    int64_t at = time_add(w->now, latency(w));
    if (sim_chance(w, w->options.stall)) {
        w->report.stalled++;
        at = time_add(at, time_scale(HARDY_SECOND, pow(600, prng_unit(&w->faults))));
    }
    s->last = at > s->last ? at : s->last;
    return s->last;
}

/* Neither end hears of the other any more but by this. */
static void reset_both(struct stream_sim *s) {
    struct loop_sim *w = world_of(s);
    struct stream_sim *other = s->other;
    w->report.reset++;
    s->other = other->other = NULL;
    send_chunk(other, CHUNK_RESET, NULL, 0, time_add(w->now, latency(w)));
    send_chunk(s, CHUNK_RESET, NULL, 0, time_add(w->now, latency(w)));
}

static void send_data(struct stream_sim *s, const char *data, size_t len) {
    struct loop_sim *w = world_of(s);
    if (len > 1 && sim_chance(w, w->options.split)) {
        w->report.split++;
        for (int cuts = (int)sim_between(w, 1, 3); cuts > 0 && len > 1; cuts--) {
            size_t piece = 1 + (size_t)prng_below(&w->faults, len - 1);
            send_chunk(s->other, CHUNK_DATA, data, piece, arrival_time(s));
            data += piece;
            len -= piece;
        }
    }
    if (len > 0) {
        send_chunk(s->other, CHUNK_DATA, data, len, arrival_time(s));
    }
}

static void pump(struct stream_sim *s) {
    struct loop_sim *w = world_of(s);
    while (s->open && unsent(s) > 0) {
        if (!s->other) { /* nobody is there any more; the news is on its way */
            forget_unsent(s);
            break;
        }
        size_t room = SIM_WINDOW > s->other->window ? SIM_WINDOW - s->other->window : 0;
        size_t len = unsent(s) < CHUNK_MAX ? unsent(s) : CHUNK_MAX;
        if (len > room) {
            return; /* not in ever smaller pieces */
        }
        if (sim_chance(w, w->options.reset)) {
            reset_both(s);
            continue;
        }
        send_data(s, s->unsent.data + s->gone, len);
        s->gone += len;
        if (s->gone * 2 > s->unsent.len) {
            buf_consume(&s->unsent, s->gone);
            s->gone = 0;
        }
    }
    if (unsent(s) == 0 && (s->drains || s->flushing)) {
        wake(s);
    }
}

bool stream_sim_write(struct stream *stream, const struct stream_piece *pieces, size_t count) {
    struct stream_sim *s = stream_of(stream);
    bool fits = true;
    if (s->closing) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        fits = fits && pieces[i].len <= STREAM_UNSENT_MAX - unsent(s) &&
               buf_append(&s->unsent, pieces[i].data, pieces[i].len);
    }
    if (!fits) {
        snprintf(s->detail, sizeof s->detail,
                 "write to %s: too much that the far side does not take", s->peer);
        finish(s, CLOSE_TOO_LARGE);
        return false;
    }
    pump(s);
    s->drains = s->drains || unsent(s) > 0;
    return true;
}

size_t stream_sim_unsent(const struct stream *stream) {
    return unsent((const struct stream_sim *)stream);
}

/* --- reading --- */

/* Where the reader wants these bytes, when they fit there as a whole. */
static const char *place(struct stream_sim *s, const struct chunk *c) {
    const struct stream_events *events = s->base.events;
    size_t len = 0;
    char *there = events->space ? events->space(s->base.ctx, &s->base, &len) : NULL;
    if (!there || len < c->len) {
        return c->data;
    }
    memcpy(there, c->data, c->len);
    return there;
}

static void take(struct stream_sim *s, struct chunk *c) {
    struct loop_sim *w = world_of(s);
    sim_trace(w, "chunk", s->number, sum_of(c->data, c->len) ^ c->kind);
    list_remove(&c->link);
    s->window -= c->len;
    if (c->kind == CHUNK_DATA) {
        sim_enter(w, s->outside);
        if (s->base.events && s->base.events->data) {
            s->base.events->data(s->base.ctx, &s->base, place(s, c), c->len);
        }
    } else {
        if (c->kind == CHUNK_RESET) {
            snprintf(s->detail, sizeof s->detail, "read from %s: connection reset by peer",
                     s->peer);
        }
        s->other = NULL;
        finish(s, s->flushing ? s->reason : c->kind == CHUNK_END ? CLOSE_EOF : CLOSE_RESET);
    }
    free(c);
}

/* What has arrived, in order; each in its own event, like everything else. */
static void read_one(struct stream_sim *s) {
    if (list_empty(&s->coming) || !s->open || s->paused || (s->closing && !s->flushing)) {
        return;
    }
    struct chunk *c = LIST_ITEM(s->coming.next, struct chunk, link);
    if (!c->arrived) {
        return;
    }
    struct stream_sim *sender = s->other;
    if (s->flushing && c->kind == CHUNK_DATA) { /* nobody wants it any more */
        s->window -= c->len;
        chunk_free(c);
    } else {
        take(s, c);
    }
    wake(s);
    if (sender && sender->other == s) {
        pump(sender);
    }
}

static void on_arrival(struct loop_timer *timer) {
    struct chunk *c = timer->ctx;
    struct stream_sim *s = c->to;
    c->arrived = true;
    if (c->kind == CHUNK_RESET) {
        list_remove(&c->link);
        drop_coming(s);
        list_append(&s->coming, &c->link);
    }
    read_one(s);
}

static void on_wake(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    if (unsent(s) == 0 && s->flushing) {
        finish(s, s->reason);
    } else if (unsent(s) == 0 && s->drains && !s->closing) {
        s->drains = false;
        wake(s); /* there may be something to read, too */
        sim_enter(world_of(s), s->outside);
        if (s->base.events && s->base.events->drained) {
            s->base.events->drained(s->base.ctx, &s->base);
        }
    } else {
        read_one(s);
    }
}

void stream_sim_read_pause(struct stream *stream, bool pause) {
    struct stream_sim *s = stream_of(stream);
    s->paused = pause;
    if (!pause && !s->closing) {
        wake(s);
    }
}

/* --- the end --- */

static void stream_free(struct stream_sim *s) {
    struct loop *loop = s->base.loop;
    drop_coming(s);
    loop_timer_stop(loop, &s->timer);
    loop_timer_stop(loop, &s->wake);
    loop_timer_stop(loop, &s->linger);
    list_remove(&s->link);
    buf_free(&s->unsent);
    free(s);
}

/* What the far side learns when a socket is closed: the end, or a reset, when that is how it was
 * closed or bytes were left unread. */
static void hang_up(struct stream_sim *s) {
    struct loop_sim *w = world_of(s);
    struct stream_sim *other = s->other;
    if (!other) {
        return;
    }
    bool unread = !list_empty(&s->coming) && LIST_ITEM(s->coming.next, struct chunk, link)->arrived;
    s->other = other->other = NULL;
    if (unread || s->reason == CLOSE_RESET) {
        send_chunk(other, CHUNK_RESET, NULL, 0, time_add(w->now, latency(w)));
    } else {
        int64_t at = time_add(w->now, latency(w));
        send_chunk(other, CHUNK_END, NULL, 0, at > s->last ? at : s->last);
    }
}

static void on_end(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    struct loop_sim *w = world_of(s);
    sim_trace(w, "closed", s->number, s->reason);
    sim_enter(w, s->outside);
    if (s->base.events && s->base.events->closed) {
        s->base.events->closed(s->base.ctx, &s->base, s->reason,
                               s->detail[0] ? s->detail : close_reason_text(s->reason));
    }
    stream_free(s);
}

static void finish(struct stream_sim *s, enum close_reason reason) {
    struct loop_sim *w = world_of(s);
    s->closing = true;
    s->flushing = s->drains = false;
    s->reason = reason;
    forget_unsent(s);
    hang_up(s);
    drop_coming(s);
    loop_timer_stop(s->base.loop, &s->wake);
    loop_timer_stop(s->base.loop, &s->linger);
    s->timer.fn = on_end;
    sim_arm(w, &s->timer, w->now);
}

static void on_linger_over(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    finish(s, s->reason);
}

void stream_sim_close(struct stream *stream, enum close_reason reason) {
    struct stream_sim *s = stream_of(stream);
    struct loop_sim *w = world_of(s);
    if (s->closing && (!s->flushing || reason == CLOSE_LOCAL)) {
        return;
    }
    if (reason != CLOSE_LOCAL || unsent(s) == 0) {
        finish(s, reason);
        return;
    }
    s->closing = s->flushing = true;
    s->reason = reason;
    sim_arm(w, &s->linger, time_add(w->now, LINGER));
}

const char *stream_sim_peer(const struct stream *stream) {
    return ((const struct stream_sim *)stream)->peer;
}

/* --- connecting --- */

static const char *canonical(const char *host) {
    return str_eq(host, "localhost") ? "127.0.0.1" : host;
}

static struct stream_sim *stream_new(struct loop_sim *w, const char *host, uint16_t port) {
    struct stream_sim *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->base.loop = &w->base;
    s->number = ++w->made;
    s->port = port;
    str_copy(s->host, sizeof s->host, canonical(host));
    snprintf(s->peer, sizeof s->peer, "%s:%u", host, (unsigned)port);
    buf_init(&s->unsent, 2 * STREAM_UNSENT_MAX);
    list_init(&s->coming);
    list_append(&w->streams, &s->link);
    loop_timer_init(&s->timer, NULL, s);
    loop_timer_init(&s->wake, on_wake, s);
    loop_timer_init(&s->linger, on_linger_over, s);
    return s;
}

static struct listener_sim *find_listener(struct loop_sim *w, const char *host, uint16_t port) {
    for (struct list *i = w->listeners.next; i != &w->listeners; i = i->next) {
        struct listener_sim *l = LIST_ITEM(i, struct listener_sim, link);
        if (l->port == port &&
            (str_eq(l->host, host) || str_eq(l->host, "0.0.0.0") || str_eq(l->host, "::"))) {
            return l;
        }
    }
    return NULL;
}

static void on_refused(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    snprintf(s->detail, sizeof s->detail, "connect to %s: connection refused", s->peer);
    finish(s, s->flushing ? s->reason : CLOSE_REFUSED);
}

static void on_connected(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    struct loop_sim *w = world_of(s);
    sim_trace(w, "connected", s->number, 0);
    s->open = true;
    pump(s);
    wake(s);
    if (!s->closing && s->base.events && s->base.events->connected) {
        sim_enter(w, s->outside);
        s->base.events->connected(s->base.ctx, &s->base);
    }
}

static void accept_stream(struct loop_sim *w, struct listener_sim *l, struct stream_sim *s) {
    struct stream_sim *there = stream_new(w, "127.0.0.1", w->next_port++);
    if (!there) {
        out_of_memory();
    }
    there->other = s;
    there->open = true;
    there->outside = l->outside;
    there->last = s->timer.node.at; /* nothing overtakes the connection itself */
    s->other = there;
    sim_enter(w, l->outside);
    l->base.events->accepted(l->base.ctx, &there->base);
    if (!there->closing && !there->base.events) {
        finish(there, CLOSE_LOCAL);
    }
}

static void on_knock(struct loop_timer *timer) {
    struct stream_sim *s = timer->ctx;
    struct loop_sim *w = world_of(s);
    struct listener_sim *l = find_listener(w, s->host, s->port);
    bool refused = sim_chance(w, w->options.refuse);
    w->report.refused += refused;
    s->timer.fn = l && !refused ? on_connected : on_refused;
    sim_arm(w, &s->timer, time_add(w->now, latency(w)));
    if (l && !refused) {
        accept_stream(w, l, s);
    }
}

struct stream *stream_sim_connect(struct loop *loop, const char *host, uint16_t port,
                                  const struct stream_events *events, void *ctx) {
    struct loop_sim *w = sim_of(loop);
    struct stream_sim *s = stream_new(w, host, port);
    if (!s) {
        return NULL;
    }
    s->base.events = events;
    s->base.ctx = ctx;
    s->outside = w->outside;
    s->timer.fn = on_knock;
    sim_arm(w, &s->timer, time_add(w->now, latency(w)));
    return &s->base;
}

/* --- listening --- */

struct listener *listener_sim_open(struct loop *loop, const char *host, uint16_t port,
                                   const struct listener_events *events, void *ctx,
                                   hardy_error *error) {
    struct loop_sim *w = sim_of(loop);
    if (port == 0) {
        port = w->next_port++;
    }
    if (find_listener(w, canonical(host), port)) {
        (void)fail(error, HARDY_E_EXISTS, host, "cannot listen on %s:%u: address already in use",
                   host, (unsigned)port);
        return NULL;
    }
    struct listener_sim *l = calloc(1, sizeof *l);
    if (!l) {
        (void)fail(error, HARDY_E_NOMEM, host, "no memory for a listener");
        return NULL;
    }
    l->base = (struct listener){.loop = loop, .events = events, .ctx = ctx};
    l->port = port;
    l->outside = w->outside;
    str_copy(l->host, sizeof l->host, canonical(host));
    list_append(&w->listeners, &l->link);
    return &l->base;
}

uint16_t listener_sim_port(const struct listener *listener) {
    return ((const struct listener_sim *)listener)->port;
}

void listener_sim_close(struct listener *listener) {
    struct listener_sim *l = (struct listener_sim *)listener;
    list_remove(&l->link);
    free(l);
}

void stream_sim_drop(struct loop_sim *w, bool all) {
    struct list *next;
    for (struct list *i = w->listeners.next; i != &w->listeners; i = next) {
        struct listener_sim *l = LIST_ITEM(i, struct listener_sim, link);
        next = i->next;
        if (all || !l->outside) {
            listener_sim_close(&l->base);
        }
    }
    for (struct list *i = w->streams.next; i != &w->streams; i = next) {
        struct stream_sim *s = LIST_ITEM(i, struct stream_sim, link);
        next = i->next;
        if (all) {
            stream_free(s);
        } else if (!s->outside) {
            hang_up(s);
            stream_free(s);
        }
    }
}
