/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"
#include "base/error.h"
#include "base/str.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_trust {
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    enum tls_state state;
    char host[256];
    char error[512];
};

/* OpenSSL's newest complaint, or `otherwise`; empties its queue. */
static void take_error(char *out, size_t size, const char *otherwise) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    str_copy(out, size, reason ? reason : otherwise);
    ERR_clear_error();
}

struct tls_trust *tls_trust_new(const char *ca_file, hardy_error *error) {
    char text[256];
    struct tls_trust *t = calloc(1, sizeof *t);
    if (t) {
        t->ctx = SSL_CTX_new(TLS_client_method());
    }
    if (!t || !t->ctx) {
        free(t);
        (void)fail(error, HARDY_E_NOMEM, NULL, "no memory for TLS");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION);
    int ok = ca_file ? SSL_CTX_load_verify_file(t->ctx, ca_file)
                     : SSL_CTX_set_default_verify_paths(t->ctx);
    if (ok != 1) {
        take_error(text, sizeof text, "unreadable");
        (void)fail(error, HARDY_E_IO, ca_file, "cannot load trusted certificates: %s", text);
        tls_trust_free(t);
        return NULL;
    }
    return t;
}

void tls_trust_free(struct tls_trust *t) {
    if (t) {
        SSL_CTX_free(t->ctx);
        free(t);
    }
}

struct tls *tls_new(struct tls_trust *trust, const char *host, bool ip, hardy_error *error) {
    static const unsigned char protocols[] = "\x08http/1.1";
    struct tls *t = calloc(1, sizeof *t);
    if (!t) {
        (void)fail(error, HARDY_E_NOMEM, host, "no memory for TLS");
        return NULL;
    }
    str_copy(t->host, sizeof t->host, host);
    t->ssl = SSL_new(trust->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        ERR_clear_error();
        (void)fail(error, HARDY_E_NOMEM, host, "no memory for TLS");
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1);
    BIO_set_mem_eof_return(t->out, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int ok = ip ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
                : X509_VERIFY_PARAM_set1_host(param, host, 0) &&
                      SSL_set_tlsext_host_name(t->ssl, host) == 1;
    if (!ok || SSL_set_alpn_protos(t->ssl, protocols, sizeof protocols - 1) != 0) {
        tls_free(t);
        ERR_clear_error();
        (void)fail(error, HARDY_E_INVALID, host, "not a name or address TLS can check");
        return NULL;
    }
    SSL_set_connect_state(t->ssl);
    tls_input(t, NULL, 0);
    return t;
}

void tls_free(struct tls *t) {
    if (t) {
        SSL_free(t->ssl);
        free(t);
    }
}

enum tls_state tls_state(const struct tls *t) {
    return t->state;
}

/* After OpenSSL refused to go on: is it waiting, finished or broken? */
static void look_at(struct tls *t, int result) {
    char text[160];
    int code = SSL_get_error(t->ssl, result);
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE) {
        return;
    }
    if (code == SSL_ERROR_ZERO_RETURN) {
        t->state = TLS_FINISHED;
        return;
    }
    t->state = TLS_FAILED;
    long verified = SSL_get_verify_result(t->ssl);
    take_error(text, sizeof text, "broken");
    if (verified != X509_V_OK) {
        snprintf(t->error, sizeof t->error, "the certificate of %s is refused: %s", t->host,
                 X509_verify_cert_error_string(verified));
    } else {
        snprintf(t->error, sizeof t->error, "TLS with %s failed: %s", t->host, text);
    }
}

static void go_on(struct tls *t) {
    if (t->state == TLS_HANDSHAKE) {
        ERR_clear_error();
        int result = SSL_do_handshake(t->ssl);
        if (result == 1) {
            t->state = TLS_OPEN;
        } else {
            look_at(t, result);
        }
    }
}

void tls_input(struct tls *t, const char *data, size_t len) {
    while (len > 0) {
        int piece = len > INT_MAX ? INT_MAX : (int)len;
        int taken = BIO_write(t->in, data, piece);
        if (taken <= 0) {
            t->state = TLS_FAILED;
            str_copy(t->error, sizeof t->error, "no memory for TLS");
            return;
        }
        data += taken;
        len -= (size_t)taken;
    }
    go_on(t);
}

size_t tls_read(struct tls *t, char *out, size_t size) {
    size_t got = 0;
    if (t->state != TLS_OPEN || size == 0) {
        return 0;
    }
    ERR_clear_error();
    int result = SSL_read_ex(t->ssl, out, size, &got);
    if (result != 1) {
        look_at(t, result);
        return 0;
    }
    return got;
}

bool tls_write(struct tls *t, const void *data, size_t len) {
    size_t sent = 0;
    if (t->state != TLS_OPEN) {
        return false;
    }
    if (len == 0) {
        return true;
    }
    ERR_clear_error();
    /* The output grows as needed, so there is no partial write. */
    int result = SSL_write_ex(t->ssl, data, len, &sent);
    if (result != 1) {
        look_at(t, result);
        return false;
    }
    return sent == len;
}

void tls_finish(struct tls *t) {
    if (t->state == TLS_OPEN || t->state == TLS_FINISHED) {
        SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
}

size_t tls_output(struct tls *t, const char **data) {
    char *bytes = NULL;
    long len = BIO_get_mem_data(t->out, &bytes);
    *data = bytes;
    return len > 0 ? (size_t)len : 0;
}

void tls_output_sent(struct tls *t) {
    (void)BIO_reset(t->out);
}

const char *tls_error(const struct tls *t) {
    return t->error;
}
