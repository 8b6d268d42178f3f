/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_URL_H
#define HTTP_URL_H
/*
 * http and https URLs, strictly: what a configuration or a page means is never guessed. No user
 * name, no fragment, no white space, no characters that would have to be percent-encoded.
 */
#include "base/buf.h"
#include <stdint.h>

#define HTTP_HOST_SIZE 256
#define HTTP_AUTHORITY_SIZE (HTTP_HOST_SIZE + 8)
#define HTTP_URL_MAX 8192

/* "host", "host:port", "[v6]:port" */
struct http_authority {
    char host[HTTP_HOST_SIZE]; /* lower case, an IPv6 address without its brackets */
    uint16_t port;             /* 0 = not given */
    bool ip;                   /* an IPv4 or IPv6 literal */
};
/* E_SYNTAX: host names are letters, digits, '-', '_' and dots; what ends in a number must be a full
 * IPv4 address ("127.1" is refused); IPv6 zones are refused. */
hardy_status http_authority_parse(const char *text, size_t len, struct http_authority *out,
                                  hardy_error *error);
/* For a Host header or a log; the port is left out when it is 0 or `default_port`. */
void http_authority_format(const struct http_authority *a, uint16_t default_port,
                           char out[HTTP_AUTHORITY_SIZE]);

struct http_url {
    bool tls;
    struct http_authority authority; /* the port is filled in */
    char *target;                    /* path and query as sent; begins with '/' */
};
/* E_SYNTAX naming what is wrong; E_TOO_LARGE above HTTP_URL_MAX. Free the result. */
hardy_status http_url_parse(const char *text, struct http_url *out, hardy_error *error);
void http_url_free(struct http_url *url);
/* The same port or the scheme's own: 80, 443. */
uint16_t http_url_default_port(const struct http_url *url);

/* Appends `text` so that it can stand as one name or value in a query. */
bool http_query_escape(struct buf *out, const char *text);
/* Appends the value of `name` in a raw query ("a=1&b=x%20y"), decoded; false when it is not there,
 * is not well encoded, or holds a NUL. The first of several counts. */
bool http_query_get(const char *query, const char *name, struct buf *out);
/* Appends a piece of a path, decoded; false when it is not well encoded, or holds a NUL. */
bool http_path_decode(const char *text, size_t len, struct buf *out);
#endif
