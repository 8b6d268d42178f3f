/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_WIRE_H
#define HTTP_WIRE_H
/* A client's connection as plain bytes, with TLS underneath or without: a stream (io/loop.h) whose
 * `connected` waits for the handshake. The callbacks' rules are a stream's. */
#include "http/tls.h"
#include "http/url.h"
#include "io/loop.h"

struct wire;
struct wire_events {
    void (*connected)(void *ctx, struct wire *w);
    void (*data)(void *ctx, struct wire *w, const char *data, size_t len);
    /* The last callback; the wire is gone when it returns. CLOSE_EOF only when the end can be
     * believed: with TLS the far side must have said that it finished. */
    void (*closed)(void *ctx, struct wire *w, enum close_reason reason, const char *detail);
};
/* `trust` NULL = without TLS; borrowed for the call. NULL on failure to even begin. */
struct wire *wire_connect(struct loop *loop, const struct http_authority *to,
                          struct tls_trust *trust, const struct wire_events *events, void *ctx,
                          hardy_error *error);
/* The pieces leave together. */
bool wire_writev(struct wire *w, const struct stream_piece *pieces, size_t count);
uint64_t wire_written(const struct wire *w); /* bytes for the network so far, sent or not */
uint64_t wire_sent(const struct wire *w);    /* of these, how many the kernel has taken */
void wire_read_pause(struct wire *w, bool pause);
void wire_close(struct wire *w, enum close_reason reason, const char *detail); /* detail: copied */
#endif
