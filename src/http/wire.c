/* SPDX-License-Identifier: Apache-2.0 */
#include "http/wire.h"
#include "base/error.h"
#include "base/str.h"
#include <stdlib.h>

struct wire {
    struct stream *stream;
    struct tls *tls; /* NULL = none */
    const struct wire_events *events;
    void *ctx;
    uint64_t written;
    bool open;    /* connected was told */
    bool closing; /* closed will follow, nothing else */
    char detail[512];
};

static void close_now(struct wire *w, enum close_reason reason, const char *detail) {
    if (w->closing) {
        return;
    }
    w->closing = true;
    str_copy(w->detail, sizeof w->detail, detail ? detail : "");
    stream_close(w->stream, reason);
}

/* Hands to the network what TLS wants to send. */
static void flush(struct wire *w) {
    const char *data;
    size_t len = tls_output(w->tls, &data);
    if (len > 0) {
        w->written += len;
        (void)stream_write(w->stream, data, len); /* a closing stream tells by `closed` */
        tls_output_sent(w->tls);
    }
}

/* After bytes went into TLS: tells what came of it. */
static void pump(struct wire *w) {
    char plain[16 * 1024];
    flush(w); /* also the alert that goes with a failure */
    if (tls_state(w->tls) == TLS_OPEN && !w->open) {
        w->open = true;
        w->events->connected(w->ctx, w);
    }
    while (!w->closing) {
        size_t len = tls_read(w->tls, plain, sizeof plain);
        if (len == 0) {
            break;
        }
        w->events->data(w->ctx, w, plain, len);
    }
    if (w->closing) {
        return;
    }
    flush(w);
    if (tls_state(w->tls) == TLS_FAILED) {
        close_now(w, CLOSE_TLS, tls_error(w->tls));
    } else if (tls_state(w->tls) == TLS_FINISHED) {
        close_now(w, CLOSE_EOF, "");
    }
}

static void on_connected(void *ctx, struct stream *s) {
    struct wire *w = ctx;
    (void)s;
    if (w->tls) {
        pump(w);
    } else {
        w->open = true;
        w->events->connected(w->ctx, w);
    }
}

static void on_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct wire *w = ctx;
    (void)s;
    if (w->closing) {
        return;
    }
    if (w->tls) {
        tls_input(w->tls, data, len);
        pump(w);
    } else {
        w->events->data(w->ctx, w, data, len);
    }
}

static void on_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct wire *w = ctx;
    const char *told = w->detail[0] ? w->detail : detail;
    (void)s;
    if (w->tls && reason == CLOSE_EOF && tls_state(w->tls) != TLS_FINISHED) {
        reason = CLOSE_TLS;
        told = w->open ? "the connection ended without TLS saying so"
                       : "the connection ended in the TLS handshake";
    }
    w->events->closed(w->ctx, w, reason, told ? told : "");
    tls_free(w->tls);
    free(w);
}

struct wire *wire_connect(struct loop *loop, const struct http_authority *to,
                          struct tls_trust *trust, const struct wire_events *events, void *ctx,
                          hardy_error *error) {
    static const struct stream_events stream_events = {
        .connected = on_connected, .data = on_data, .closed = on_closed};
    struct wire *w = calloc(1, sizeof *w);
    if (!w) {
        (void)fail(error, HARDY_E_NOMEM, to->host, "no memory for a connection");
        return NULL;
    }
    w->events = events;
    w->ctx = ctx;
    if (trust) {
        w->tls = tls_new(trust, to->host, to->ip, error);
    }
    if (!trust || w->tls) {
        w->stream = stream_connect(loop, to->host, to->port, &stream_events, w);
        if (w->stream) {
            return w;
        }
        (void)fail(error, HARDY_E_NOMEM, to->host, "no memory for a connection");
    }
    tls_free(w->tls);
    free(w);
    return NULL;
}

bool wire_writev(struct wire *w, const struct stream_piece *pieces, size_t count) {
    bool ok = true;
    if (w->closing) {
        return false;
    }
    if (w->tls) {
        for (size_t i = 0; i < count; i++) {
            ok = ok && tls_write(w->tls, pieces[i].data, pieces[i].len);
        }
        flush(w);
        return ok;
    }
    for (size_t i = 0; i < count; i++) {
        w->written += pieces[i].len;
    }
    return stream_writev(w->stream, pieces, count);
}

uint64_t wire_written(const struct wire *w) {
    return w->written;
}

uint64_t wire_sent(const struct wire *w) {
    return w->written - stream_unsent(w->stream);
}

void wire_read_pause(struct wire *w, bool pause) {
    if (pause) {
        stream_read_pause(w->stream);
    } else {
        stream_read_resume(w->stream);
    }
}

void wire_close(struct wire *w, enum close_reason reason, const char *detail) {
    if (w->tls && !w->closing && reason == CLOSE_LOCAL) {
        tls_finish(w->tls);
        flush(w);
    }
    close_now(w, reason, detail);
}
