/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_peer.h"
#include "../cmocka_all.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value) {
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(cert, e, -1), 1);
    X509_EXTENSION_free(e);
}

void authority_make(struct authority *a, const char *common_name, const struct authority *issuer,
                    const char *names, int from, int to) {
    static long serial = 1;
    a->key = EVP_EC_gen("P-256");
    a->cert = X509_new();
    assert_non_null(a->key);
    assert_non_null(a->cert);
    X509_set_version(a->cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(a->cert), serial++);
    X509_gmtime_adj(X509_getm_notBefore(a->cert), from * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(a->cert), to * 86400L);
    X509_NAME *name = X509_get_subject_name(a->cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1,
                               0);
    X509 *by = issuer ? issuer->cert : a->cert;
    X509_set_issuer_name(a->cert, X509_get_subject_name(by));
    X509_set_pubkey(a->cert, a->key);
    if (names) {
        add_extension(a->cert, by, NID_subject_alt_name, names);
    } else {
        add_extension(a->cert, by, NID_basic_constraints, "critical,CA:TRUE");
    }
    assert_true(X509_sign(a->cert, issuer ? issuer->key : a->key, EVP_sha256()) > 0);
}

void authority_free(struct authority *a) {
    X509_free(a->cert);
    EVP_PKEY_free(a->key);
}

void authority_write(const struct authority *a, char path[64]) {
    snprintf(path, 64, "/tmp/hardy-test-ca-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, a->cert), 1);
    fclose(file);
}

void tls_peer_init(struct tls_peer *p, const struct authority *serve, int version) {
    p->failed = false;
    p->ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(p->ctx);
    if (version) {
        SSL_CTX_set_min_proto_version(p->ctx, TLS1_VERSION);
        SSL_CTX_set_max_proto_version(p->ctx, version);
        SSL_CTX_set_security_level(p->ctx, 0);
    }
    assert_int_equal(SSL_CTX_use_certificate(p->ctx, serve->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(p->ctx, serve->key), 1);
    p->ssl = SSL_new(p->ctx);
    p->in = BIO_new(BIO_s_mem());
    p->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(p->in, -1);
    BIO_set_mem_eof_return(p->out, -1);
    SSL_set_bio(p->ssl, p->in, p->out);
    SSL_set_accept_state(p->ssl);
}

void tls_peer_free(struct tls_peer *p) {
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
}

bool tls_peer_open(const struct tls_peer *p) {
    return SSL_is_init_finished(p->ssl) == 1;
}

void tls_peer_input(struct tls_peer *p, const void *data, size_t len, struct buf *plain) {
    char text[4096];
    size_t got;
    if (len > 0) {
        assert_int_equal(BIO_write(p->in, data, (int)len), (int)len);
    }
    ERR_clear_error();
    int result;
    while ((result = SSL_read_ex(p->ssl, text, sizeof text, &got)) == 1) {
        assert_true(buf_append(plain, text, got));
    }
    int code = SSL_get_error(p->ssl, result);
    p->failed = p->failed || (code != SSL_ERROR_WANT_READ && code != SSL_ERROR_ZERO_RETURN);
}

void tls_peer_write(struct tls_peer *p, const void *data, size_t len) {
    size_t sent;
    assert_int_equal(SSL_write_ex(p->ssl, data, len, &sent), 1);
    assert_int_equal(sent, len);
}

void tls_peer_finish(struct tls_peer *p) {
    SSL_shutdown(p->ssl);
}

void tls_peer_output(struct tls_peer *p, struct buf *network) {
    char *bytes;
    long len = BIO_get_mem_data(p->out, &bytes);
    assert_true(buf_append(network, bytes, (size_t)len));
    (void)BIO_reset(p->out);
}
