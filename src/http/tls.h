/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_TLS_H
#define HTTP_TLS_H
/*
 * The client's side of TLS 1.2 and 1.3, without I/O: bytes of the network go in and come out, plain
 * bytes go in and come out. The certificate must be trusted and name the host; there is no switch
 * that turns this off.
 */
#include "base/buf.h"
#include <hardy/status.h>

struct tls_trust; /* the certificates that are trusted; shared by sessions */
/* `ca_file`: PEM certificates to trust; NULL = the system's. Reads files. */
struct tls_trust *tls_trust_new(const char *ca_file, hardy_error *error);
void tls_trust_free(struct tls_trust *t); /* sessions keep what they need */

struct tls;
/* `host`: the name (sent as SNI) or, with `ip`, the address the certificate must hold. */
struct tls *tls_new(struct tls_trust *trust, const char *host, bool ip, hardy_error *error);
void tls_free(struct tls *t);

enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_FINISHED, /* the far side said that it has finished */
    TLS_FAILED
};
/* Each call goes on with the handshake, so look at the state and send what tls_output() holds. */
enum tls_state tls_state(const struct tls *t);
void tls_input(struct tls *t, const char *data, size_t len); /* from the network */
/* Plain bytes that have arrived: at most `size`; 0 = none for now. */
size_t tls_read(struct tls *t, char *out, size_t size);
bool tls_write(struct tls *t, const void *data,
               size_t len);     /* when TLS_OPEN; whole or not at all */
void tls_finish(struct tls *t); /* says that no more will be sent */
/* What waits for the network; borrowed until the next call; then drop it with tls_output_sent(). */
size_t tls_output(struct tls *t, const char **data);
void tls_output_sent(struct tls *t);
const char *tls_error(const struct tls *t); /* when TLS_FAILED: for a person */
#endif
