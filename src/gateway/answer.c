/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/str.h"
#include "gateway/call.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What a client reads by itself: longer ones make it give up (agents were seen to end a session at
 * 61 s), shorter ones than a second make it come back at once. */
#define AFTER_LEAST 1
#define AFTER_MOST 59
/* An answer is not read from the upstream faster than the client takes it. */
#define UNSENT_MAX ((size_t)256 * 1024)

static void put_header(struct http_headers *h, const char *name, const char *value) {
    /* One that does not fit is left out; the answer is worth more than its decoration. */
    (void)http_headers_add(h, name, value);
}

static void put_own_headers(struct call *c, struct http_headers *h) {
    char number[32];
    put_header(h, "x-hardy-request-id", c->record->id);
    put_header(h, "x-hardy-upstream", c->record->upstream);
    snprintf(number, sizeof number, "%u", c->record->attempts);
    put_header(h, "x-hardy-attempts", number);
    snprintf(number, sizeof number, "%lld", (long long)(c->record->overhead / HARDY_MICROSECOND));
    put_header(h, "x-hardy-overhead-us", number);
}

/* Without those that the upstream meant for its own connection; the server drops the usual ones. */
static void copy_answer_headers(const struct http_headers *from, struct http_headers *to) {
    if (!http_headers_get(from, "connection")) {
        (void)http_headers_copy(to, from);
        return;
    }
    http_headers_reset(to);
    for (size_t i = 0; i < from->count; i++) {
        const char *name = http_headers_name_at(from, i);
        if (!http_headers_has_token(from, "connection", name)) {
            put_header(to, name, http_headers_value_at(from, i));
        }
    }
}

void answer_begin(struct call *c, int64_t length) {
    struct http_headers *h = &c->g->scratch;
    if (!c->request || c->begun) {
        return;
    }
    c->begun = true;
    c->record->status = c->status;
    c->record->content = loop_now(c->g->loop);
    copy_answer_headers(&c->answer, h);
    put_own_headers(c, h);
    /* Waiting does not lift this one, and clients would come back for it. */
    if (c->verdict.result == ATTEMPT_QUOTA && !http_headers_get(h, "x-should-retry") &&
        !http_headers_get(h, "anthropic-ratelimit-unified-status")) {
        put_header(h, "x-should-retry", "false");
    }
    http_respond_begin(c->request, c->status, h, NULL, length);
}

bool answer_data(struct call *c, const char *data, size_t len) {
    if (!c->request) {
        return false;
    }
    c->record->bytes_out += len;
    c->last_written = loop_now(c->g->loop);
    if (!http_respond_data(c->request, data, len)) {
        return false;
    }
    if (!c->paused && c->http && http_respond_unsent(c->request) > UNSENT_MAX) {
        c->paused = true;
        http_call_pause(c->http, true);
        call_note_pause(c);
    }
    return true;
}

void answer_end(struct call *c) {
    struct http_request *r = c->request;
    if (r) {
        c->request = NULL;
        http_respond_end(r);
    }
}

void answer_held(struct call *c) {
    bool head = str_eq(c->record->method, "HEAD"); /* tells of a body that did not come */
    answer_begin(c, head ? c->content_length : (int64_t)c->held.len);
    (void)answer_data(c, c->held.data, c->held.len);
    answer_end(c);
}

void answer_broken(struct call *c, const char *why) {
    struct http_request *r = c->request;
    if (!r) {
        return;
    }
    if (c->record->outcome == REQUEST_OK) {
        c->record->outcome = REQUEST_CUT;
    }
    str_copy(c->record->reason, sizeof c->record->reason, why);
    if (!c->streaming) {
        c->request = NULL;
        http_respond_abort(r, CLOSE_ERROR, why);
        return;
    }
    struct buf event;
    char text[300];
    buf_init(&event, 4096);
    snprintf(text, sizeof text, "hardy: the answer of %s cannot be completed: %s",
             c->record->upstream, why);
    protocol_write_error_event(&c->reader, text, &event);
    (void)answer_data(c, event.data, event.len);
    buf_free(&event);
    answer_end(c);
}

void answer_heartbeat(struct call *c) {
    static const char comment[] = ": keepalive\n\n";
    if (c->request && c->begun && c->streaming) { /* only whole events are out: it fits between */
        (void)answer_data(c, comment, sizeof comment - 1);
    }
}

/* --- refusals --------------------------------------------------------------------------------- */

/* Seconds for retry-after: rounded up, within what clients obey. When nothing is known, not all at
 * once. */
static int64_t seconds_after(struct gateway *g, int64_t after) {
    if (after < 0) {
        return AFTER_LEAST + (int64_t)(loop_random(g->loop) % 5);
    }
    int64_t seconds = after / HARDY_SECOND + (after % HARDY_SECOND > 0);
    return seconds < AFTER_LEAST ? AFTER_LEAST : seconds > AFTER_MOST ? AFTER_MOST : seconds;
}

static void write_refusal(struct gateway *g, enum upstream_protocol speaks,
                          struct http_request *request, struct http_headers *h,
                          const char *request_id, const struct refusal *refusal) {
    struct buf body;
    const char *type;
    char number[32];
    buf_init(&body, 8192);
    if (refusal->passing) {
        snprintf(number, sizeof number, "%lld", (long long)seconds_after(g, refusal->after));
        put_header(h, "retry-after", number);
    } else if (!refusal->in_doubt) {
        put_header(h, "x-should-retry", "false");
    }
    protocol_write_error(speaks, refusal->trouble, refusal->status, refusal->text, request_id,
                         &body, &type);
    http_respond(request, refusal->status, h, type, body.data, body.len);
    buf_free(&body);
}

void refuse_request(struct gateway *g, enum upstream_protocol speaks, struct http_request *request,
                    const struct refusal *refusal) {
    struct http_headers *h = &g->scratch;
    char id[20];
    make_request_id(g, id);
    http_headers_reset(h);
    put_header(h, "x-hardy-request-id", id);
    write_refusal(g, speaks, request, h, id, refusal);
}

struct refusal refusal_for_now(enum upstream_protocol speaks, int64_t after, const char *text) {
    return (struct refusal){.status = protocol_passing_status(speaks),
                            .trouble = TROUBLE_OVERLOADED,
                            .passing = true,
                            .after = after,
                            .text = text};
}

void answer_refuse(struct call *c, enum request_outcome outcome, const struct refusal *refusal) {
    struct http_request *r = c->request;
    struct http_headers *h = &c->g->scratch;
    if (!r) {
        return;
    }
    c->request = NULL;
    c->begun = true;
    c->record->status = refusal->status;
    c->record->outcome = outcome;
    str_copy(c->record->reason, sizeof c->record->reason, refusal->text);
    http_headers_reset(h);
    put_own_headers(c, h);
    write_refusal(c->g, c->up->protocol, r, h, c->record->id, refusal);
}
