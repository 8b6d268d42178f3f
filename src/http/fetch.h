/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_FETCH_H
#define HTTP_FETCH_H
/* A call whose whole answer is wanted at once: for checks, pages, sources. */
#include "http/client.h"

struct http_fetched {
    bool complete; /* a whole answer, whatever its status; else `reason` and `detail` say why not */
    int status;    /* 0 when no head came */
    const struct http_headers *headers; /* empty when no head came */
    const char *body;                   /* NUL-terminated behind body_len; "" rather than NULL */
    size_t body_len;
    int64_t retry_after; /* as told by the headers, nanoseconds from now; 0 = not told */
    enum close_reason reason;
    const char *detail;
    struct http_facts facts;
};

struct http_fetch;
/* `done` is called once, from the loop; what it is given is borrowed for the call, and the fetch is
 * gone when it returns. An answer above `body_max` bytes ends with CLOSE_TOO_LARGE after so many.
 * Errors as http_call_start(). */
hardy_status http_fetch_start(struct http_client *client, const struct http_call_options *options,
                              size_t body_max,
                              void (*done)(void *ctx, const struct http_fetched *fetched),
                              void *ctx, struct http_fetch **out, hardy_error *error);
/* Why it is not complete, in few words where they say enough ("connection refused"), else the
 * detail. */
const char *http_fetched_why(const struct http_fetched *fetched);
void http_fetch_cancel(struct http_fetch *fetch); /* `done` is not called */
#endif
