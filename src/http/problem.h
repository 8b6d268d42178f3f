/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H
/* Errors as application/problem+json (RFC 9457). */
#include "base/buf.h"
#include "http/server.h"

/* {"type":..., "title":..., "status":..., "detail":...}. `type` NULL is left out (about:blank);
 * `title` NULL is the status's own text; `detail` NULL is left out. */
bool http_problem_write(struct buf *out, int status, const char *type, const char *title,
                        const char *detail);
/* Answers with it; the request is gone. `headers` (Retry-After, Allow ...) may be NULL. */
void http_problem(struct http_request *r, int status, const struct http_headers *headers,
                  const char *type, const char *title, const char *detail);
#endif
