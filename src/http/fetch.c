/* SPDX-License-Identifier: Apache-2.0 */
#include "http/fetch.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>

struct http_fetch {
    struct loop *loop;
    struct http_call *call;
    void (*done)(void *ctx, const struct http_fetched *fetched);
    void *ctx;
    int status;
    int64_t retry_after;
    struct http_headers headers;
    struct buf body;
};

static void free_fetch(struct http_fetch *f) {
    http_headers_free(&f->headers);
    buf_free(&f->body);
    free(f);
}

static void tell(struct http_fetch *f, bool complete, enum close_reason reason, const char *detail,
                 const struct http_facts *facts) {
    struct http_fetched fetched = {.complete = complete,
                                   .status = f->status,
                                   .headers = &f->headers,
                                   .body = f->body.data ? f->body.data : "",
                                   .body_len = f->body.len,
                                   .retry_after = f->retry_after,
                                   .reason = reason,
                                   .detail = detail,
                                   .facts = *facts};
    f->done(f->ctx, &fetched);
    free_fetch(f);
}

/* What has arrived cannot be kept: the call ends here. */
static void give_up(struct http_fetch *f, const char *detail) {
    struct http_facts facts = *http_call_facts(f->call);
    http_call_cancel(f->call);
    tell(f, false, CLOSE_TOO_LARGE, detail, &facts);
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    struct http_fetch *f = ctx;
    (void)call;
    f->status = head->status;
    f->retry_after = http_retry_after(head->headers, head->status, loop_wall(f->loop));
    for (size_t i = 0; i < head->headers->count; i++) {
        if (http_headers_add(&f->headers, http_headers_name_at(head->headers, i),
                             http_headers_value_at(head->headers, i)) != HARDY_OK) {
            give_up(f, "no memory for the answer's head");
            return;
        }
    }
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    struct http_fetch *f = ctx;
    (void)call;
    size_t room = f->body.max - f->body.len;
    if (!buf_append(&f->body, data, len < room ? len : room) || len > room) {
        char detail[80];
        snprintf(detail, sizeof detail, "the answer has more than %zu bytes", f->body.max);
        give_up(f, detail);
    }
}

static void on_end(void *ctx, struct http_call *call) {
    tell(ctx, true, CLOSE_LOCAL, "", http_call_facts(call));
}

static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    (void)call;
    tell(ctx, false, failure->reason, failure->detail, &failure->facts);
}

hardy_status http_fetch_start(struct http_client *client, const struct http_call_options *options,
                              size_t body_max,
                              void (*done)(void *ctx, const struct http_fetched *fetched),
                              void *ctx, struct http_fetch **out, hardy_error *error) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    struct http_fetch *f = calloc(1, sizeof *f);
    if (!f) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a request");
    }
    f->loop = http_client_loop(client);
    f->done = done;
    f->ctx = ctx;
    /* The client has bounded the head already. */
    http_headers_init(&f->headers, SIZE_MAX, SIZE_MAX / 2);
    buf_init(&f->body, body_max);
    hardy_status status = http_call_start(client, options, &events, f, &f->call, error);
    if (status != HARDY_OK) {
        free_fetch(f);
        return status;
    }
    *out = f;
    return HARDY_OK;
}

const char *http_fetched_why(const struct http_fetched *fetched) {
    switch (fetched->reason) {
    case CLOSE_EOF:
    case CLOSE_REFUSED:
    case CLOSE_RESET:
    case CLOSE_UNREACHABLE:
        return close_reason_text(fetched->reason);
    default:
        return fetched->detail && fetched->detail[0] ? fetched->detail
                                                     : close_reason_text(fetched->reason);
    }
}

void http_fetch_cancel(struct http_fetch *fetch) {
    http_call_cancel(fetch->call);
    free_fetch(fetch);
}
