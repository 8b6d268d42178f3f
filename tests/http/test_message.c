/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, header lists, queries, and the waiting times headers tell. */
#include "../cmocka_all.h"
#include "http/message.h"
#include "http/url.h"
#include <string.h>

static void expect_url(const char *text, bool tls, const char *host, unsigned port, bool ip,
                       const char *target, const char *authority) {
    struct http_url u;
    char formatted[HTTP_AUTHORITY_SIZE];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (http_url_parse(text, &u, &error) != HARDY_OK) {
        fail_msg("%s: %s", text, error.message);
    }
    assert_int_equal(u.tls, tls);
    assert_string_equal(u.authority.host, host);
    assert_int_equal(u.authority.port, port);
    assert_int_equal(u.authority.ip, ip);
    assert_string_equal(u.target, target);
    http_authority_format(&u.authority, http_url_default_port(&u), formatted);
    assert_string_equal(formatted, authority);
    http_url_free(&u);
}

static void test_url(void **state) {
    (void)state;
    expect_url("http://Example.COM", false, "example.com", 80, false, "/", "example.com");
    expect_url("HTTPS://a.b:443/x/%41?q=1&r=%20", true, "a.b", 443, false, "/x/%41?q=1&r=%20",
               "a.b");
    expect_url("http://a?q", false, "a", 80, false, "/?q", "a");
    expect_url("http://127.0.0.1:8080/", false, "127.0.0.1", 8080, true, "/", "127.0.0.1:8080");
    expect_url("https://[::1]:9/", true, "::1", 9, true, "/", "[::1]:9");
    expect_url("https://[FE80::1]/", true, "fe80::1", 443, true, "/", "[fe80::1]");
    expect_url("http://my_host-1:65535/", false, "my_host-1", 65535, false, "/", "my_host-1:65535");

    static const char *const bad[] = {
        "",
        "a.b",
        "ftp://a",
        "http:/a",
        "http://",
        "http:///x",
        "http://:80/",
        "http://a:/",
        "http://a:0/",
        "http://a:65536/",
        "http://a:+80/",
        "http://a:80x/",
        "http://a:8 0/",
        "http://user@a/",
        "http://user:word@a/",
        "http://a/#x",
        "http://a#x",
        "http://a b/",
        " http://a/",
        "http://a/b c",
        "http://a/\n",
        "http://a\r\nX: y/",
        "http://a/%4",
        "http://a/%zz",
        "http://a/\"",
        "http://a/{}",
        "http://a/\xc3\xa4",
        "http://\xc3\xa4/",
        "http://a..b/",
        "http://.a/",
        "http://a./",
        "http://a\\b/",
        "http://127.1/",
        "http://1.2.3.256/",
        "http://2130706433/",
        "http://a.1/",
        "http://::1/",
        "http://[::1/",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://[]/",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct http_url u;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (http_url_parse(bad[i], &u, &error) != HARDY_E_SYNTAX) {
            fail_msg("\"%s\" was accepted as host %s", bad[i], u.authority.host);
        }
        assert_true(error.message[0] != '\0');
        assert_null(strstr(error.message, "word")); /* a password is not repeated */
    }
    char label[80];
    memset(label, 'a', sizeof label);
    memcpy(label, "http://", 7);
    label[7 + 63] = '\0';
    expect_url(label, false, label + 7, 80, false, "/", label + 7);
    label[7 + 63] = 'a';
    label[7 + 64] = '\0';
    struct http_url u;
    assert_int_equal(http_url_parse(label, &u, NULL), HARDY_E_SYNTAX);
    static char long_text[HTTP_URL_MAX + 20];
    memset(long_text, 'a', sizeof long_text - 1);
    memcpy(long_text, "http://a/", 9);
    assert_int_equal(http_url_parse(long_text, &u, NULL), HARDY_E_TOO_LARGE);
}

static void test_query(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1000);
    assert_true(http_query_escape(&out, "up{job=\"x y\"} > 0&\xc3\xa4~"));
    assert_string_equal(out.data, "up%7Bjob%3D%22x%20y%22%7D%20%3E%200%26%C3%A4~");
    static const struct {
        const char *query, *name, *value;
    } rows[] = {{"for=10m&x=1", "for", "10m"},
                {"for=10m&x=1", "x", "1"},
                {"xfor=1&for=2", "for", "2"},
                {"for", "for", ""},
                {"a&for=&b", "for", ""},
                {"for=1&for=2", "for", "1"},
                {"q=a%20b+c%2b", "q", "a b c+"},
                {"q=1&fort=2", "for", NULL},
                {"", "for", NULL},
                {"for=%0", "for", NULL},
                {"for=%00", "for", NULL},
                {"for=%zz", "for", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_reset(&out);
        buf_puts(&out, "");
        assert_int_equal(http_query_get(rows[i].query, rows[i].name, &out), rows[i].value != NULL);
        if (rows[i].value) {
            assert_string_equal(out.data, rows[i].value);
        }
    }
    buf_free(&out);
}

static void test_headers(void **state) {
    (void)state;
    struct http_headers h;
    http_headers_init(&h, 4, 64);
    assert_null(http_headers_get(&h, "a"));
    assert_int_equal(http_headers_add(&h, "Accept", " \t x , Y\t"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "b", ""), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "ACCEPT", "z"), HARDY_OK);
    assert_string_equal(http_headers_get(&h, "accept"), "x , Y");
    assert_string_equal(http_headers_get(&h, "B"), "");
    assert_int_equal(http_headers_count(&h, "accept"), 2);
    assert_null(http_headers_get(&h, "accep"));
    assert_null(http_headers_get(&h, "accept "));
    assert_int_equal(http_headers_count(&h, "acceptx"), 0);
    assert_false(http_headers_has_token(&h, "accep", "y"));
    assert_true(http_headers_has_token(&h, "accept", "y"));
    assert_true(http_headers_has_token(&h, "accept", "Z"));
    assert_false(http_headers_has_token(&h, "accept", "x , y"));
    assert_false(http_headers_has_token(&h, "accept", ""));
    struct buf out;
    buf_init(&out, 1000);
    assert_true(http_headers_write(&h, &out));
    assert_string_equal(out.data, "Accept: x , Y\r\nb: \r\nACCEPT: z\r\n");
    /* Nothing that would begin another line or end the head. */
    assert_int_equal(http_headers_add(&h, "c", "x\r\nEvil: 1"), HARDY_E_INVALID);
    assert_int_equal(http_headers_add(&h, "c", "x\n"), HARDY_E_INVALID);
    assert_int_equal(http_headers_addn(&h, "c", 1, "x\0y", 3), HARDY_E_INVALID);
    assert_int_equal(http_headers_add(&h, "c d", "x"), HARDY_E_INVALID);
    assert_int_equal(http_headers_add(&h, "c:", "x"), HARDY_E_INVALID);
    assert_int_equal(http_headers_add(&h, "", "x"), HARDY_E_INVALID);
    /* Bytes and count are bounded, and a refused field leaves nothing behind. */
    assert_int_equal(http_headers_add(&h, "d", "0123456789012345678901234567890123456789"),
                     HARDY_E_TOO_LARGE);
    assert_int_equal(http_headers_add(&h, "e", "1"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "f", "1"), HARDY_E_TOO_LARGE);
    assert_string_equal(http_headers_name_at(&h, 3), "e");
    assert_int_equal(h.count, 4);
    http_headers_reset(&h);
    assert_int_equal(h.count, 0);
    assert_int_equal(http_headers_add(&h, "f", "1"), HARDY_OK);
    assert_string_equal(http_headers_get(&h, "f"), "1");
    buf_free(&out);
    http_headers_free(&h);
    static const char *const framing[] = {"Connection", "content-length",   "Keep-Alive",
                                          "TE",         "trailer",          "Transfer-Encoding",
                                          "upgrade",    "Proxy-Connection", "CONTENT-LENGTH"};
    for (size_t i = 0; i < sizeof framing / sizeof *framing; i++) {
        assert_true(http_is_framing(framing[i]));
    }
    static const char *const others[] = {"retry-after", "content-type", "t", "te-x", "", "cookie"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(http_is_framing(others[i]));
    }
    assert_true(http_is_idempotent("PUT"));
    assert_false(http_is_idempotent("POST"));
    assert_false(http_is_idempotent("get"));
}

static void test_reserve(void **state) {
    (void)state;
    struct http_headers h;
    http_headers_init(&h, 30, 1000);
    http_headers_reserve(&h, 30, 30 * 16);
    const char *place = h.bytes.data;
    const struct http_field *fields = h.fields;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(http_headers_add(&h, "x-123456", "abcdef"), HARDY_OK);
    }
    assert_ptr_equal(h.bytes.data, place); /* nothing has moved */
    assert_ptr_equal(h.fields, fields);
    assert_string_equal(http_headers_value_at(&h, 29), "abcdef");
    http_headers_free(&h);
    /* More than may ever be added: no memory for it, and no harm. */
    http_headers_init(&h, 2, 100);
    http_headers_reserve(&h, 3, 101);
    assert_int_equal(h.cap + h.bytes.cap, 0);
    assert_int_equal(http_headers_add(&h, "a", "1"), HARDY_OK);
    http_headers_free(&h);
}

static void test_tokens(void **state) {
    (void)state;
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        const char text[] = {'a', (char)c, 'b'};
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool allowed = letter || (c >= '0' && c <= '9') || (c != 0 && strchr(marks, c) != NULL);
        assert_int_equal(http_is_token(text, sizeof text), allowed);
    }
    assert_false(http_is_token("", 0));
}

static void test_retry_after(void **state) {
    (void)state;
    struct http_headers h;
    http_headers_init(&h, 4, 1000);
    assert_int_equal(http_retry_after(&h, 429, 0), 0);
    assert_int_equal(http_headers_add(&h, "Date", "Sun, 06 Nov 1994 08:49:37 GMT"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "x-ratelimit-reset-tokens", "6m0s"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "x-ratelimit-remaining-tokens", "0"), HARDY_OK);
    assert_int_equal(http_retry_after(&h, 200, 0), 0);
    assert_int_equal(http_retry_after(&h, 429, 0), 6 * HARDY_MINUTE);
    assert_int_equal(http_headers_add(&h, "Retry-After", "2"), HARDY_OK);
    assert_int_equal(http_retry_after(&h, 429, 0), 2 * HARDY_SECOND);
    http_headers_free(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url),     cmocka_unit_test(test_query),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_tokens),  cmocka_unit_test(test_retry_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
