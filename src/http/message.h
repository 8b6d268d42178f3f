/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H
/* What both ends share: the header list, status texts, methods, waiting times told by headers. */
#include "base/buf.h"
#include <hardy/env.h>

#define HTTP_HEADERS_MAX 100      /* fields in a list, unless said otherwise */
#define HTTP_HEAD_MAX (16 * 1024) /* bytes of a head, unless said otherwise */

/* In the order they were added; names are compared without regard to case. The texts live as long
 * as the list is not changed. */
struct http_field { /* offsets */
    size_t name, value;
};
struct http_headers {
    struct buf bytes; /* name NUL value NUL ... */
    struct http_field *fields;
    size_t count, cap, max_count;
};
void http_headers_init(struct http_headers *h, size_t max_count, size_t max_bytes);
void http_headers_free(struct http_headers *h);
void http_headers_reset(struct http_headers *h); /* empties, keeps the memory */

/* Memory for so many fields and bytes (of names and values, one more for each) at once; no promise
 * that adding them succeeds. */
void http_headers_reserve(struct http_headers *h, size_t count, size_t bytes);

/* Copied; white space around the value is dropped. E_INVALID: a name that is no token, a control
 * character in the value (so nothing can be smuggled into a head); E_TOO_LARGE; E_NOMEM. */
hardy_status http_headers_addn(struct http_headers *h, const char *name, size_t name_len,
                               const char *value, size_t value_len);
hardy_status http_headers_add(struct http_headers *h, const char *name, const char *value);

/* `to` becomes a copy; its maxima stay its own. E_TOO_LARGE, E_NOMEM: it is empty. */
hardy_status http_headers_copy(struct http_headers *to, const struct http_headers *from);

const char *http_headers_get(const struct http_headers *h, const char *name); /* first; or NULL */
size_t http_headers_count(const struct http_headers *h, const char *name);
const char *http_headers_name_at(const struct http_headers *h, size_t i);
const char *http_headers_value_at(const struct http_headers *h, size_t i);
/* Whether a comma-separated header, in any of its fields, lists `token`, without regard to case. */
bool http_headers_has_token(const struct http_headers *h, const char *name, const char *token);
/* "name: value\r\n" for each. */
bool http_headers_write(const struct http_headers *h, struct buf *out);
bool http_headers_write_at(const struct http_headers *h, size_t i, struct buf *out); /* one */
/* One such line; nothing is checked: for names and values of our own. */
bool http_header_write(struct buf *out, const char *name, const char *value);

bool http_number_write(struct buf *out, uint64_t number); /* in decimal digits */

/* A method's or a header name's alphabet (RFC 9110, 5.6.2). */
bool http_is_token(const char *text, size_t len);
/* Content-Length, Transfer-Encoding, Connection and the like: they belong to one connection, and
 * whoever writes a message writes its own. */
bool http_is_framing(const char *name);
/* GET HEAD PUT DELETE OPTIONS TRACE: twice is the same as once (RFC 9110, 9.2.2). */
bool http_is_idempotent(const char *method);
const char *http_status_text(int status); /* "Not Found"; "" when not known */

/* How long the far side asks to wait by the headers of an answer with this status, as
 * hardy/retry_after.h tells: nanoseconds from `wall` (since the epoch), 0 = it does not say. */
int64_t http_retry_after(const struct http_headers *h, int status, int64_t wall);
#endif
