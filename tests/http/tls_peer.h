/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HTTP_TLS_PEER_H
#define TESTS_HTTP_TLS_PEER_H
/* Certificates made on the spot, and the server's side of TLS, without I/O. */
#include "base/buf.h"
#include <openssl/ssl.h>

struct authority { /* a certificate and its key; signs others, or serves */
    X509 *cert;
    EVP_PKEY *key;
};
/* `issuer` NULL = signed by itself. `names`: "DNS:a,IP:127.0.0.1", NULL = an authority. Valid from
 * `from` to `to`, in days from now. */
void authority_make(struct authority *a, const char *common_name, const struct authority *issuer,
                    const char *names, int from, int to);
void authority_free(struct authority *a);
/* As a PEM file under $TMPDIR or /tmp; remove it. */
void authority_write(const struct authority *a, char path[64]);

struct tls_peer {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    bool failed;
};
/* `version`: the highest it speaks; 0 = the newest. */
void tls_peer_init(struct tls_peer *p, const struct authority *serve, int version);
void tls_peer_free(struct tls_peer *p);
/* Bytes of the network in; plain bytes appended to `plain`. */
void tls_peer_input(struct tls_peer *p, const void *data, size_t len, struct buf *plain);
void tls_peer_write(struct tls_peer *p, const void *data, size_t len);
void tls_peer_finish(struct tls_peer *p); /* close_notify */
void tls_peer_output(struct tls_peer *p, struct buf *network);
bool tls_peer_open(const struct tls_peer *p);
#endif
