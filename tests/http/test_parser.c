/* SPDX-License-Identifier: Apache-2.0 */
/* The message parser: what must be refused, and that no cut of the bytes changes what is read. */
#include "../cmocka_all.h"
#include "reader.h"
#include <stdio.h>
#include <string.h>

/* The same result in one piece, byte by byte, and cut once at every place. */
static void expect_len(bool response, bool to_head, const char *data, size_t len, bool eof,
                       const char *expected) {
    struct buf out;
    buf_init(&out, 100000);
    read_messages(response, to_head, data, len, len, len, eof, &out);
    if (strcmp(out.data, expected) != 0) {
        fail_msg("%.200s: read as \"%s\", expected \"%s\"", data, out.data, expected);
    }
    read_messages(response, to_head, data, len, 1, 1, eof, &out);
    assert_string_equal(out.data, expected);
    for (size_t cut = 1; cut < len; cut++) {
        read_messages(response, to_head, data, len, cut, len, eof, &out);
        assert_string_equal(out.data, expected);
    }
    buf_free(&out);
}

static void expect(const char *data, const char *expected) {
    expect_len(false, false, data, strlen(data), false, expected);
}

static void expect_response(const char *data, const char *expected) {
    expect_len(true, false, data, strlen(data), true, expected);
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void test_requests(void **state) {
    (void)state;
    expect("GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET /x?y=1 1.1 length=-1 chunked=0 keep=1 [Host=a] {}\n");
    expect("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 length=-1 chunked=0 keep=0 {}\n");
    expect("GET / HTTP/1.1\r\nHost: a\r\nconnection: close\r\n\r\n",
           "GET / 1.1 length=-1 chunked=0 keep=0 [Host=a] [connection=close] {}\n");
    expect(POST "Content-Length: 3\r\n\r\nabc",
           "POST / 1.1 length=3 chunked=0 keep=1 [Host=a] [Content-Length=3] {abc}\n");
    expect(POST "Content-Length: 0\r\n\r\n",
           "POST / 1.1 length=0 chunked=0 keep=1 [Host=a] [Content-Length=0] {}\n");
    expect(CHUNKED "3\r\nabc\r\nA;x=\"1\"\r\n0123456789\r\n0\r\nTrailer: 1\r\nT2: \r\n\r\n",
           "POST / 1.1 length=-1 chunked=1 keep=1 [Host=a] [Transfer-Encoding=chunked] "
           "{abc0123456789}\n");
    /* Two in a row: not a byte of the second belongs to the first. */
    expect(CHUNKED "0\r\n\r\n" POST "Content-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
           "POST / 1.1 length=-1 chunked=1 keep=1 [Host=a] [Transfer-Encoding=chunked] {}\n"
           "POST / 1.1 length=2 chunked=0 keep=1 [Host=a] [Content-Length=2] {ab}\n"
           "GET /2 1.1 length=-1 chunked=0 keep=1 [Host=b] {}\n");
    expect("GET / HTTP/1.1\r\nHost:a\r\nEmpty:\r\nBlank: \t \r\nOne: \xc3\xa4  b \r\n\r\n",
           "GET / 1.1 length=-1 chunked=0 keep=1 [Host=a] [Empty=] [Blank=] [One=\xc3\xa4  b] "
           "{}\n");
    expect("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET / 1.1 length=-1 chunked=0 keep=1 [Host=a] {}\n");
    expect("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
           "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET / 1.1 length=-1 chunked=0 keep=1 [Host=a] [Upgrade=h2c] [Connection=Upgrade] {}\n"
           "GET /2 1.1 length=-1 chunked=0 keep=1 [Host=a] {}\n");
    expect("GET / HTTP/1.1\r\nHost: a\r\n", "more");
    expect(POST "Content-Length: 3\r\n\r\nab", "more");
}

static void test_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        /* lengths and codings that two readers may take differently */
        POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST "Content-Length: 3, 3\r\n\r\nabc",
        POST "Content-Length: +3\r\n\r\nabc",
        POST "Content-Length: -3\r\n\r\nabc",
        POST "Content-Length: 0x3\r\n\r\nabc",
        POST "Content-Length: 3 4\r\n\r\nabc",
        POST "Content-Length:\r\n\r\nabc",
        POST "Content-Length: 9999999999999999999\r\n\r\nabc",
        POST "Content-Length: 99999999999999999999999\r\n\r\nabc",
        POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: identity\r\n\r\nabc",
        POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
        POST "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        /* lines */
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: y\r\n\r\n",
        /* Host */
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        /* request line */
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / b HTTP/1.1\r\nHost: a\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nHost: a\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02", /* a TLS client at the wrong port: refused at its first byte */
        /* chunks */
        CHUNKED "3\nabc\r\n0\r\n\r\n",
        CHUNKED "3;x\nabc\r\n0\r\n\r\n",
        CHUNKED "3;x=\"a\nb\"\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3 \r\nabc\r\n0\r\n\r\n",
        CHUNKED " 3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "+3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "\r\n3\r\nabc\r\n0\r\n\r\n",
        CHUNKED "3\r\nabcX0\r\n\r\n",
        CHUNKED "3\r\nabc\n0\r\n\r\n",
        CHUNKED "fffffffffffffffff\r\nabc",
        CHUNKED "0\r\n\n",
        CHUNKED "0\n\r\n",
        CHUNKED "0\r\nX : y\r\n\r\n",
        CHUNKED "0\r\nX: y\r\n z\r\n\r\n",
        CHUNKED "0\r\nX\r\n\r\n",
        CHUNKED "0\r\nX: y\rZ: z\r\n\r\n",
        CHUNKED "0\r\nX: y\r:\r\n\r\n",
        CHUNKED "0\r\nX: y\nZ: z\r\n\r\n",
        CHUNKED "0\r\nX: yyyyyyyyyyyyyyy\x7f\r\n\r\n",
        CHUNKED "0\r\nX: yyyyyyyyyyyyyyy\x01\r\n\r\n",
        CHUNKED "0\r\nXxxxxxxxx: y\r\n:yyyyyyyyyy\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect(bad[i], "400");
    }
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n";
    expect_len(false, false, nul, sizeof nul - 1, false, "400");
    expect("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505");
    expect("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505");
}

static void test_limits(void **state) {
    (void)state;
    struct buf in, out;
    buf_init(&in, 1000000);
    buf_init(&out, 1000000);
    /* One byte below and above the head's limit. */
    for (size_t over = 0; over < 2; over++) {
        buf_reset(&in);
        buf_puts(&in, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
        while (in.len < READER_HEAD_MAX - 4 + over) {
            buf_putc(&in, 'x');
        }
        buf_puts(&in, "\r\n\r\n");
        read_messages(false, false, in.data, in.len, 7, 7, false, &out);
        assert_int_equal(strcmp(out.data, "431") == 0, over);
    }
    /* One field too many. */
    for (size_t over = 0; over < 2; over++) {
        buf_reset(&in);
        buf_puts(&in, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (size_t i = 1; i < READER_FIELD_MAX + over; i++) {
            buf_puts(&in, "X: y\r\n");
        }
        buf_puts(&in, "\r\n");
        read_messages(false, false, in.data, in.len, in.len, 1, false, &out);
        assert_int_equal(strcmp(out.data, "431") == 0, over);
    }
    /* Never-ending extensions, and a never-ending trailer. */
    buf_reset(&in);
    buf_puts(&in, CHUNKED "1;x=");
    for (int i = 0; i < 9000; i++) {
        buf_putc(&in, 'x');
    }
    read_messages(false, false, in.data, in.len, 100, 100, false, &out);
    assert_string_equal(out.data, "400");
    buf_reset(&in);
    buf_puts(&in, CHUNKED "0\r\n");
    for (int i = 0; i < 400; i++) {
        buf_puts(&in, "T: x\r\n");
    }
    read_messages(false, false, in.data, in.len, 100, 100, false, &out);
    assert_string_equal(out.data, "431");
    /* Many small chunks are well-formed. */
    buf_reset(&in);
    buf_puts(&in, CHUNKED);
    for (int i = 0; i < 4000; i++) {
        buf_puts(&in, "1\r\nx\r\n");
    }
    buf_puts(&in, "0\r\n\r\n");
    read_messages(false, false, in.data, in.len, 1000, 1000, false, &out);
    assert_int_equal(out.len, strlen("POST / 1.1 length=-1 chunked=1 keep=1 [Host=a] "
                                     "[Transfer-Encoding=chunked] {}\n") +
                                  4000);
    buf_free(&in);
    buf_free(&out);
}

static void test_responses(void **state) {
    (void)state;
    expect_response("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 204 \r\n\r\n",
                    "200 1.1 length=2 chunked=0 keep=1 [Content-Length=2] {ab}\n"
                    "204 1.1 length=-1 chunked=0 keep=1 {}\n");
    expect_response(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not  Found\r\nContent-Length: 0\r\n\r\n",
        "100 1.1 length=-1 chunked=0 keep=1 {}\n"
        "404 1.1 length=0 chunked=0 keep=1 [Content-Length=0] {}\n");
    /* A 304's Content-Length describes a body that does not come. */
    expect_response("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                    "304 1.1 length=9 chunked=0 keep=1 [Content-Length=9] {}\n");
    expect_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
                    "200 1.1 length=-1 chunked=1 keep=1 [Transfer-Encoding=chunked] {ab}\n");
    /* Until the connection ends: it ends the message, and nothing follows. */
    expect_response("HTTP/1.1 200 OK\r\n\r\nabc", "200 1.1 length=-1 chunked=0 keep=0 {abc}");
    expect_response("HTTP/1.0 200 OK\r\n\r\n", "200 1.0 length=-1 chunked=0 keep=0 {}");
    /* Cut answers are never whole ones. */
    expect_response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "cut");
    expect_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "cut");
    expect_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "cut");
    expect_response("HTTP/1.1 200 OK\r\nContent-Le", "cut");
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    expect_len(true, true, head, strlen(head), true,
               "200 1.1 length=5 chunked=0 keep=1 [Content-Length=5] {}\n");
    static const char *const bad[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        expect_response(bad[i], "400");
    }
    expect_response("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "502");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
