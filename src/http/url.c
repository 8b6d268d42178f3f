/* SPDX-License-Identifier: Apache-2.0 */
#include "http/url.h"
#include "base/error.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Not the locale's opinion of letters: ASCII. */
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int hex_value(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool valid_name(const char *host) {
    size_t label = 0;
    bool number = true; /* the label is all digits */
    for (const char *c = host;; c++) {
        if (*c == '.' || *c == '\0') {
            if (label == 0 || label > 63) {
                return false;
            }
            if (*c == '\0') {
                return !number;
            }
            label = 0;
            number = true;
        } else if (is_letter(*c) || is_digit(*c) || *c == '-' || *c == '_') {
            label++;
            number = number && is_digit(*c);
        } else {
            return false;
        }
    }
}

hardy_status http_authority_parse(const char *text, size_t len, struct http_authority *out,
                                  hardy_error *error) {
    struct http_authority a = {.ip = false};
    const char *end = text + len;
    const char *host = text, *host_end, *port;
    bool six = len > 0 && *text == '[';
    if (six) {
        host++;
        host_end = memchr(host, ']', len - 1);
        if (!host_end) {
            return fail(error, HARDY_E_SYNTAX, NULL, "\"%.*s\": the IPv6 address has no \"]\"",
                        (int)len, text);
        }
        port = host_end + 1;
    } else {
        host_end = memchr(host, ':', len);
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    size_t host_len = (size_t)(host_end - host);
    if (host_len == 0 || host_len >= sizeof a.host || memchr(host, '\0', host_len)) {
        return fail(error, HARDY_E_SYNTAX, NULL, "\"%.*s\": a host has 1 to %d characters",
                    (int)len, text, HTTP_HOST_SIZE - 1);
    }
    for (size_t i = 0; i < host_len; i++) {
        a.host[i] = lower(host[i]);
    }
    unsigned char address[16];
    if (six) {
        a.ip = inet_pton(AF_INET6, a.host, address) == 1;
        if (!a.ip) {
            return fail(error, HARDY_E_SYNTAX, NULL, "\"%s\" is not an IPv6 address", a.host);
        }
    } else {
        a.ip = inet_pton(AF_INET, a.host, address) == 1;
        if (!a.ip && !valid_name(a.host)) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "\"%s\" is not a host: expected a name such as api.example.com, an IPv4 "
                        "address or [an IPv6 address]",
                        a.host);
        }
    }
    if (port < end) {
        unsigned value = 0;
        const char *digit = port + 1;
        for (; digit < end && is_digit(*digit) && value <= UINT16_MAX; digit++) {
            value = value * 10 + (unsigned)(*digit - '0');
        }
        if (*port != ':' || digit != end || digit == port + 1 || value == 0 || value > UINT16_MAX) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "\"%.*s\": after the host comes nothing or a port from 1 to 65535",
                        (int)len, text);
        }
        a.port = (uint16_t)value;
    }
    *out = a;
    return HARDY_OK;
}

void http_authority_format(const struct http_authority *a, uint16_t default_port,
                           char out[HTTP_AUTHORITY_SIZE]) {
    bool six = strchr(a->host, ':') != NULL;
    int len = snprintf(out, HTTP_AUTHORITY_SIZE, six ? "[%s]" : "%s", a->host);
    if (a->port != 0 && a->port != default_port) {
        snprintf(out + len, HTTP_AUTHORITY_SIZE - (size_t)len, ":%u", (unsigned)a->port);
    }
}

/* What may stand in a path or query unencoded (RFC 3986: pchar, "/" and "?"). */
static bool is_target_char(char c) {
    return is_letter(c) || is_digit(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/?", c));
}

static hardy_status check_target(const char *target, hardy_error *error) {
    for (const char *c = target; *c; c++) {
        if (*c == '%') {
            if (hex_value(c[1]) < 0 || hex_value(c[2]) < 0) {
                return fail(error, HARDY_E_SYNTAX, NULL,
                            "\"%%\" in a URL is followed by two hexadecimal digits; found \"%.3s\"",
                            c);
            }
            c += 2;
        } else if (*c == '#') {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "a fragment (\"%.40s\") is never sent; leave it out", c);
        } else if (!is_target_char(*c)) {
            return fail(error, HARDY_E_SYNTAX, NULL,
                        "the byte 0x%02x cannot stand in a URL; write it as %%%02X",
                        (unsigned char)*c, (unsigned char)*c);
        }
    }
    return HARDY_OK;
}

hardy_status http_url_parse(const char *text, struct http_url *out, hardy_error *error) {
    struct http_url url = {.tls = false};
    if (strlen(text) > HTTP_URL_MAX) {
        return fail(error, HARDY_E_TOO_LARGE, NULL, "a URL has at most %d bytes; this one has %zu",
                    HTTP_URL_MAX, strlen(text));
    }
    const char *rest;
    if (strncasecmp(text, "http://", 7) == 0) {
        rest = text + 7;
    } else if (strncasecmp(text, "https://", 8) == 0) {
        url.tls = true;
        rest = text + 8;
    } else {
        return fail(error, HARDY_E_SYNTAX, NULL, "\"%.60s\": a URL begins with http:// or https://",
                    text);
    }
    size_t len = strcspn(rest, "/?#");
    if (memchr(rest, '@', len)) {
        /* The text itself is not repeated: it may hold a password. */
        return fail(error, HARDY_E_SYNTAX, NULL,
                    "a user name in a URL is not accepted; send credentials in a header");
    }
    hardy_status status = http_authority_parse(rest, len, &url.authority, error);
    if (status == HARDY_OK) {
        status = check_target(rest + len, error);
    }
    if (status != HARDY_OK) {
        return status;
    }
    if (url.authority.port == 0) {
        url.authority.port = http_url_default_port(&url);
    }
    url.target = str_format("%s%s", rest[len] == '/' ? "" : "/", rest + len);
    if (!url.target) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a URL");
    }
    *out = url;
    return HARDY_OK;
}

void http_url_free(struct http_url *url) {
    free(url->target);
    url->target = NULL;
}

uint16_t http_url_default_port(const struct http_url *url) {
    return url->tls ? 443 : 80;
}

bool http_query_escape(struct buf *out, const char *text) {
    bool ok = true;
    for (const char *c = text; *c && ok; c++) {
        if (is_letter(*c) || is_digit(*c) || strchr("-._~", *c)) {
            ok = buf_putc(out, *c);
        } else {
            ok = buf_printf(out, "%%%02X", (unsigned char)*c);
        }
    }
    return ok;
}

static bool unescape(const char *text, size_t len, bool plus, struct buf *out) {
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 1 < len ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < len ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (!buf_putc(out, c)) {
            return false;
        }
    }
    return true;
}

bool http_query_get(const char *query, const char *name, struct buf *out) {
    size_t name_len = strlen(name);
    for (const char *pair = query; pair; pair = strchr(pair, '&')) {
        pair += *pair == '&';
        size_t len = strcspn(pair, "&");
        if (len >= name_len && memcmp(pair, name, name_len) == 0 &&
            (len == name_len || pair[name_len] == '=')) {
            size_t skip = len == name_len ? len : name_len + 1;
            return unescape(pair + skip, len - skip, true, out);
        }
    }
    return false;
}

bool http_path_decode(const char *text, size_t len, struct buf *out) {
    return unescape(text, len, false, out);
}
