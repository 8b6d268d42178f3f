/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: which certificates are accepted, that no cut of the bytes matters, and https calls. */
#include "base/str.h"
#include "http/tls.h"
#include "http/url.h"
#include "support.h"
#include "tls_peer.h"
#include <unistd.h>

static struct authority ours, theirs; /* two roots; only the first is trusted */
static char ca_file[64];

static int set_up(void **state) {
    (void)state;
    authority_make(&ours, "ours", NULL, NULL, -10, 10);
    authority_make(&theirs, "theirs", NULL, NULL, -10, 10);
    authority_write(&ours, ca_file);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(ca_file);
    authority_free(&ours);
    authority_free(&theirs);
    return 0;
}

/* --- without I/O ----------------------------------------------------------------------------- */

/* Moves bytes between the two, `step` at a time (0 = all), until neither has any. */
static void shuttle(struct tls *client, struct tls_peer *server, size_t step, struct buf *at_server,
                    struct buf *at_client) {
    struct buf wire;
    buf_init(&wire, 1 << 20);
    for (bool moved = true; moved;) {
        const char *out;
        char plain[1000];
        moved = false;
        size_t len = tls_output(client, &out);
        buf_reset(&wire);
        buf_append(&wire, out, len);
        tls_output_sent(client);
        for (size_t at = 0; at < wire.len; moved = true) {
            size_t piece = step == 0 || step > wire.len - at ? wire.len - at : step;
            tls_peer_input(server, wire.data + at, piece, at_server);
            at += piece;
        }
        buf_reset(&wire);
        tls_peer_output(server, &wire);
        for (size_t at = 0; at < wire.len; moved = true) {
            size_t piece = step == 0 || step > wire.len - at ? wire.len - at : step;
            tls_input(client, wire.data + at, piece);
            at += piece;
            while ((len = tls_read(client, plain, sizeof plain)) > 0) {
                buf_append(at_client, plain, len);
            }
        }
    }
    buf_free(&wire);
}

static void talk(const struct authority *serve, const char *host, bool ip, int version, size_t step,
                 const char *refused) {
    struct buf at_server, at_client;
    struct tls_peer server;
    struct tls_trust *trust = tls_trust_new(ca_file, NULL);
    assert_non_null(trust);
    struct tls *client = tls_new(trust, host, ip, NULL);
    assert_non_null(client);
    tls_trust_free(trust); /* the session keeps what it needs */
    tls_peer_init(&server, serve, version);
    buf_init(&at_server, 1 << 20);
    buf_init(&at_client, 1 << 20);
    assert_false(tls_write(client, "early", 5)); /* nothing leaves before the far side is known */
    shuttle(client, &server, step, &at_server, &at_client);
    if (refused) {
        assert_int_equal(tls_state(client), TLS_FAILED);
        if (!strstr(tls_error(client), refused)) {
            fail_msg("refused with \"%s\", expected \"%s\"", tls_error(client), refused);
        }
        assert_false(tls_write(client, "secret", 6));
        assert_int_equal(at_server.len, 0);
    } else {
        if (tls_state(client) != TLS_OPEN) {
            fail_msg("%s", tls_error(client));
        }
        assert_true(tls_peer_open(&server));
        if (!ip) {
            assert_string_equal(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), host);
        }
        assert_true(tls_write(client, "question", 8));
        tls_peer_write(&server, "answer", 6);
        shuttle(client, &server, step, &at_server, &at_client);
        assert_string_equal(at_server.data, "question");
        assert_string_equal(at_client.data, "answer");
        tls_peer_write(&server, "last", 4);
        tls_peer_finish(&server);
        shuttle(client, &server, step, &at_server, &at_client);
        assert_string_equal(at_client.data, "answerlast");
        assert_int_equal(tls_state(client), TLS_FINISHED);
        tls_finish(client);
    }
    buf_free(&at_server);
    buf_free(&at_client);
    tls_free(client);
    tls_peer_free(&server);
}

static void test_certificates(void **state) {
    static const char *const mismatch = "hostname mismatch";
    static const char *const mismatch_ip = "IP address mismatch";
    const struct {
        const struct authority *issuer;
        const char *names;
        int from, to;
        const char *host;
        bool ip;
        int version;
        const char *refused;
    } rows[] = {
        {&ours, "DNS:a.test", -1, 1, "a.test", false, 0, NULL},
        {&ours, "DNS:a.test", -1, 1, "a.test", false, TLS1_2_VERSION, NULL},
        {&ours, "DNS:*.b.test", -1, 1, "a.b.test", false, 0, NULL},
        {&ours, "IP:127.0.0.1", -1, 1, "127.0.0.1", true, 0, NULL},
        {&ours, "IP:::1", -1, 1, "::1", true, 0, NULL},
        {&ours, "DNS:b.test", -1, 1, "a.test", false, 0, mismatch},
        {&ours, "DNS:*.b.test", -1, 1, "a.a.b.test", false, 0, mismatch},
        {&ours, "DNS:a*.b.test", -1, 1, "ab.b.test", false, 0, mismatch},
        {&ours, "DNS:127.0.0.1", -1, 1, "127.0.0.1", true, 0, mismatch_ip},
        {&ours, "IP:127.0.0.2", -1, 1, "127.0.0.1", true, 0, mismatch_ip},
        {&ours, "DNS:a.test", -2, -1, "a.test", false, 0, "expired"},
        {&ours, "DNS:a.test", 1, 2, "a.test", false, 0, "not yet valid"},
        {&theirs, "DNS:a.test", -1, 1, "a.test", false, 0, "unable to get local issuer"},
        {NULL, "DNS:a.test", -1, 1, "a.test", false, 0, "self-signed"},
        {&ours, "DNS:a.test", -1, 1, "a.test", false, TLS1_1_VERSION, "TLS with a.test failed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct authority leaf;
        authority_make(&leaf, "a.test", rows[i].issuer, rows[i].names, rows[i].from, rows[i].to);
        for (size_t step = 0; step < 4; step += 3) {
            talk(&leaf, rows[i].host, rows[i].ip, rows[i].version, step, rows[i].refused);
        }
        authority_free(&leaf);
    }
    struct authority leaf;
    authority_make(&leaf, "a.test", &ours, "DNS:a.test", -1, 1);
    talk(&leaf, "a.test", false, 0, 1, NULL);
    authority_free(&leaf);
}

static void test_trust_file(void **state) {
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    assert_null(tls_trust_new("/nowhere/ca.pem", &error));
    assert_string_equal(error.where, "/nowhere/ca.pem");
    assert_true(str_starts(error.message, "cannot load trusted certificates: "));
    assert_null(tls_trust_new("/dev/null", NULL));
}

static void test_garbage(void **state) {
    struct tls_trust *trust = tls_trust_new(ca_file, NULL);
    struct tls *client = tls_new(trust, "a.test", false, NULL);
    (void)state;
    tls_input(client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    assert_int_equal(tls_state(client), TLS_FAILED);
    assert_true(str_starts(tls_error(client), "TLS with a.test failed: "));
    tls_free(client);
    tls_trust_free(trust);
}

/* --- https calls ----------------------------------------------------------------------------- */

struct server {
    struct world *w;
    struct listener *listener;
    const struct authority *serve;
    const char *answer;
    bool notify; /* says that it finishes, before it closes */
    bool close_after;
    bool mute; /* accepts, and says nothing */
    size_t accepted;
    const char *body; /* that the client sends; borrowed by it */
    size_t body_len;
    size_t bodies; /* that came as they should */
};

struct server_peer {
    struct server *server;
    struct tls_peer tls;
    struct buf plain;
};

static void peer_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct server_peer *p = ctx;
    struct buf out;
    bool answered = false;
    if (p->server->mute) {
        return;
    }
    buf_init(&out, 1 << 20);
    tls_peer_input(&p->tls, data, len, &p->plain);
    const char *end = p->plain.len > 0 ? strstr(p->plain.data, "\r\n\r\n") : NULL;
    size_t head = end ? (size_t)(end + 4 - p->plain.data) : 0;
    if (end && p->plain.len >= head + p->server->body_len) {
        p->server->bodies += p->plain.len == head + p->server->body_len &&
                             memcmp(end + 4, p->server->body, p->server->body_len) == 0;
        buf_reset(&p->plain);
        tls_peer_write(&p->tls, p->server->answer, strlen(p->server->answer));
        if (p->server->notify) {
            tls_peer_finish(&p->tls);
        }
        answered = true;
    }
    tls_peer_output(&p->tls, &out);
    if (out.len > 0) {
        stream_write(s, out.data, out.len);
    }
    buf_free(&out);
    if (answered && p->server->close_after) {
        stream_close(s, CLOSE_LOCAL);
    }
}

static void peer_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct server_peer *p = ctx;
    (void)s, (void)reason, (void)detail;
    tls_peer_free(&p->tls);
    buf_free(&p->plain);
    free(p);
}

static void accepted(void *ctx, struct stream *s) {
    static const struct stream_events events = {.data = peer_data, .closed = peer_closed};
    struct server *server = ctx;
    struct server_peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->server = server;
    server->accepted++;
    buf_init(&p->plain, 1 << 20);
    tls_peer_init(&p->tls, server->serve, 0);
    stream_set_events(s, &events, p);
}

/* Calls https://127.0.0.1 `count` times. */
static void call(bool simulated, struct server *server, int count, struct call_log *log) {
    static const struct listener_events events = {.accepted = accepted};
    struct world w;
    struct http_client_options co;
    struct http_call_options o;
    struct http_url url;
    char text[60];
    world_calm(&w, simulated);
    server->w = &w;
    server->accepted = 0;
    server->listener = listener_open(w.loop, "127.0.0.1", 0, &events, server, NULL);
    assert_non_null(server->listener);
    http_client_options_init(&co);
    co.ca_file = ca_file;
    struct http_client *client = http_client_new(w.loop, &co, NULL);
    snprintf(text, sizeof text, "https://127.0.0.1:%u/", listener_port(server->listener));
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    http_call_options_init(&o);
    o.url = &url;
    o.connect_limit = 5 * HARDY_SECOND;
    o.method = server->body_len > 0 ? "POST" : "GET";
    o.body = server->body;
    o.body_len = server->body_len;
    o.borrow_body = true;
    for (int i = 0; i < count; i++) {
        *log = (struct call_log){.stop = true};
        call_begin(log, &w, client, &o);
        while (log->call) {
            world_run(&w);
        }
        call_free(log);
    }
    http_url_free(&url);
    http_client_free(client);
    listener_close(server->listener);
    world_end(&w);
}

static void https_calls(bool simulated) {
    struct authority good, other;
    struct call_log log;
    authority_make(&good, "x", &ours, "IP:127.0.0.1", -1, 1);
    authority_make(&other, "x", &ours, "DNS:localhost,IP:127.0.0.2", -1, 1);
    struct server server = {
        .serve = &good, .body = "", .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"};
    call(simulated, &server, 3, &log);
    assert_int_equal(log.ends, 1);
    assert_true(log.facts.reused && log.facts.sent);
    assert_int_equal(server.accepted, 1);
    /* A borrowed body goes through TLS piece by piece, and arrives whole. */
    static char body[300000];
    for (size_t i = 0; i < sizeof body; i++) {
        body[i] = (char)(i * 7 + (i >> 8));
    }
    server.body = body;
    server.body_len = sizeof body;
    server.bodies = 0;
    call(simulated, &server, 2, &log);
    assert_int_equal(log.ends, 1);
    assert_int_equal(server.bodies, 2);
    server.body = "";
    server.body_len = 0;
    /* An answer that ends with its connection is whole only when TLS says so. */
    server.answer = "HTTP/1.1 200 OK\r\n\r\nhello";
    server.close_after = server.notify = true;
    call(simulated, &server, 1, &log);
    assert_int_equal(log.ends, 1);
    server.notify = false;
    call(simulated, &server, 1, &log);
    assert_int_equal(log.fails, 1);
    assert_int_equal(log.reason, CLOSE_TLS);
    assert_non_null(strstr(log.detail, "without TLS saying so"));
    /* Not the far side that was meant: not a byte of the request leaves. */
    server.serve = &other;
    call(simulated, &server, 1, &log);
    assert_int_equal(log.fails, 1);
    assert_int_equal(log.reason, CLOSE_TLS);
    assert_false(log.facts.sent);
    assert_int_equal(log.facts.phase, HTTP_PHASE_CONNECT);
    assert_non_null(strstr(log.detail, "IP address mismatch"));
    authority_free(&good);
    authority_free(&other);
}

static void test_mute_server(void **state) {
    struct authority good;
    struct call_log log;
    (void)state;
    authority_make(&good, "x", &ours, "IP:127.0.0.1", -1, 1);
    struct server server = {.serve = &good, .mute = true};
    call(true, &server, 1, &log);
    assert_int_equal(log.reason, CLOSE_TIMEOUT);
    assert_string_equal(log.detail, "connecting: connect limit of 5s passed");
    assert_false(log.facts.sent);
    authority_free(&good);
}

BOTH(https_calls)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_trust_file),
        cmocka_unit_test(test_garbage),      TEST_BOTH(https_calls),
        cmocka_unit_test(test_mute_server),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
