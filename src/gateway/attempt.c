/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "gateway/call.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* How much of an answer is held back until it is known to be a good one. */
#define HOLD_EVENTS 64
#define HOLD_STREAM ((size_t)256 * 1024)
#define HOLD_CALL ((size_t)4 * 1024 * 1024) /* a model's answer that is not streamed */
#define HOLD_PLAIN ((size_t)64 * 1024)      /* of other services, when they say its length */
/* The largest event that is followed; those of models are a few KiB, with images a few MiB. */
#define EVENT_MAX ((size_t)16 * 1024 * 1024)
/* The guard is told of bytes no oftener than this: its idle time-out is much longer. */
#define PROGRESS_EVERY HARDY_SECOND

static void on_event(void *ctx, const struct sse_event *event);
static void end_stream(struct call *c);

static struct attempt_record *record_of(struct call *c) {
    return record_attempt(c->record, c->attempt);
}

static void drop_answer(struct call *c) {
    buf_reset(&c->held);
    http_headers_reset(&c->answer);
    sse_free(&c->events);
    c->held_events = 0;
    c->status = 0;
    c->streaming = c->whole = c->terminal = c->stopping = false;
    c->content_length = -1;
    stream_reader_init(&c->reader, c->record->protocol);
}

void try_release(struct call *c) {
    if (c->http) {
        http_call_cancel(c->http);
        c->http = NULL;
    }
    buf_free(&c->held);
    http_headers_free(&c->answer);
    sse_free(&c->events);
}

/* --- the end of an attempt -------------------------------------------------------------------- */

static void finish(struct call *c, const struct verdict *verdict, const char *why) {
    struct attempt_record *a = record_of(c);
    c->verdict = *verdict;
    c->http = NULL;
    c->paused = false;
    a->ended = loop_now(c->g->loop);
    a->status = c->status;
    a->result = verdict->result;
    a->retry_after = verdict->outcome.retry_after;
    str_copy(a->why, sizeof a->why, why);
    str_make_printable(a->why);
    if (c->streaming) { /* of half a stream too: it is paid for */
        c->record->usage = c->reader.usage;
    }
    figures_add_attempt(&c->g->figures, c->record, verdict->result);
    if (c->begun && c->request) {
        if (verdict->result == ATTEMPT_OK) {
            answer_end(c);
        } else {
            answer_broken(c, a->why);
        }
    }
    call_report(c, verdict);
}

bool try_has_all(const struct call *c) {
    return c->streaming && c->terminal && !c->stopping;
}

void try_stop(struct call *c, enum attempt_result result, const char *why) {
    struct verdict v = judge_broken(result);
    if (c->http) {
        if (!http_call_facts(c->http)->sent) {
            v.outcome.effect = HARDY_EFFECT_NONE;
        }
        http_call_cancel(c->http);
        c->http = NULL;
    }
    if (try_has_all(c)) { /* only the connection's end was still waited for */
        end_stream(c);
        return;
    }
    if (result == ATTEMPT_CANCELLED) {
        v.outcome.kind = HARDY_IGNORED;
    }
    finish(c, &v, why);
}

/* What the upstream said, for a person: "status 529, overloaded_error: Overloaded". */
static void describe(struct call *c, const struct told_error *error, char *out, size_t size) {
    const char *kind = error->code[0] ? error->code : error->type;
    snprintf(out, size, "status %d%s%s%s%.80s", c->status, kind[0] ? ", " : "", kind,
             error->message[0] ? ": " : "", error->message);
}

/* --- the client sees it ----------------------------------------------------------------------- */

static void commit(struct call *c, int64_t length) {
    if (c->begun) {
        return;
    }
    answer_begin(c, length);
    (void)answer_data(c, c->held.data, c->held.len);
    buf_reset(&c->held);
    c->last_progress = loop_now(c->g->loop);
    if (c->drive) {
        drive_report_progress(c->drive, c->attempt, HARDY_FIRST_CONTENT);
    }
}

static void note_bytes(struct call *c) {
    int64_t now = loop_now(c->g->loop);
    int64_t every = c->up->guard->timeout_idle / 10;
    if (now - c->last_progress >= (every < PROGRESS_EVERY ? every : PROGRESS_EVERY)) {
        c->last_progress = now;
        if (c->drive) {
            drive_report_progress(c->drive, c->attempt, HARDY_BYTES);
        }
    }
}

/* --- streams ---------------------------------------------------------------------------------- */

/* An error inside a stream that has begun nothing yet is like an answer with that error. */
static void take_error_event(struct call *c, const struct sse_event *event) {
    char why[160];
    struct verdict v = judge_event(&c->reader.error);
    judge_by_codes(&v, &c->up->guard->settings);
    describe(c, &c->reader.error, why, sizeof why);
    if (v.untouched) {
        commit(c, -1); /* the client's own fault: it must see this very event */
        (void)answer_data(c, event->bytes, event->len);
    }
    c->verdict = v;
    c->stopping = true;
    str_copy(record_of(c)->why, sizeof record_of(c)->why, why);
}

/* Events that came in one piece leave in one piece. */
static void flush_run(struct call *c) {
    size_t len = c->run_len;
    c->run_len = 0;
    if (len > 0) {
        (void)answer_data(c, c->run, len);
    }
}

static void hand_on(struct call *c, const struct sse_event *event) {
    bool in_piece = event->bytes >= c->piece && event->bytes + event->len <= c->piece_end;
    if (c->run_len > 0 && in_piece && event->bytes == c->run + c->run_len) {
        c->run_len += event->len;
        return;
    }
    flush_run(c);
    if (in_piece) {
        c->run = event->bytes;
        c->run_len = event->len;
    } else {
        (void)answer_data(c, event->bytes, event->len);
    }
}

/* All three protocols say JSON in each event, and [DONE] in one. */
static bool is_readable(const struct sse_event *e) {
    static const char done[] = "[DONE]";
    return !e->has_data ||
           (e->data_len >= sizeof done - 1 && memcmp(e->data, done, sizeof done - 1) == 0) ||
           json_check(e->data, e->data_len, NULL) != HARDY_E_SYNTAX;
}

static void on_event(void *ctx, const struct sse_event *event) {
    struct call *c = ctx;
    if (c->stopping) {
        return;
    }
    if (event->whole && !is_readable(event)) {
        c->verdict = judge_broken(ATTEMPT_MALFORMED);
        c->stopping = true;
        str_copy(record_of(c)->why, sizeof record_of(c)->why, "an event is no JSON");
        return;
    }
    enum event_meaning meaning = stream_reader_take(&c->reader, event);
    if (!event->whole && meaning != EVENT_TERMINAL) {
        return; /* half an event is no use to anybody */
    }
    if (meaning == EVENT_ERROR) {
        c->terminal = true; /* the upstream has told its end, if not the one that was hoped for */
        if (!c->begun) {
            take_error_event(c, event);
            return;
        }
        c->verdict = judge_event(&c->reader.error);
    }
    if (meaning == EVENT_TERMINAL) {
        c->terminal = true;
    }
    if (!c->begun) {
        bool full = ++c->held_events > HOLD_EVENTS || c->held.len + event->len > HOLD_STREAM;
        if (meaning == EVENT_LIFECYCLE && !full) {
            buf_append(&c->held, event->bytes, event->len);
            return;
        }
        commit(c, -1);
    }
    hand_on(c, event);
    if (!event->whole) {
        flush_run(c);
        (void)answer_data(c, "\n\n", 2);
    }
}

static void end_stream(struct call *c) {
    struct verdict ok = {.outcome = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE},
                         .result = ATTEMPT_OK};
    if (!c->terminal) {
        struct verdict v = judge_broken(ATTEMPT_TRUNCATED);
        finish(c, &v, "the stream ended without its terminal event");
    } else if (c->verdict.result != ATTEMPT_OK) {
        /* Handed on already, as the upstream told it. */
        char why[160];
        struct verdict v = c->verdict;
        describe(c, &c->reader.error, why, sizeof why);
        c->record->outcome = REQUEST_CUT;
        str_copy(c->record->reason, sizeof c->record->reason, why);
        answer_end(c);
        finish(c, &v, why);
    } else {
        commit(c, -1); /* one that had nothing but lifecycle events */
        finish(c, &ok, "");
    }
}

/* After bytes were fed: an event may have ended the attempt. */
static void look_at_stream(struct call *c, hardy_status status) {
    if (c->stopping) {
        struct verdict v = c->verdict;
        char why[120];
        str_copy(why, sizeof why, record_of(c)->why);
        if (c->http) {
            http_call_cancel(c->http);
        }
        if (v.untouched) {
            c->record->outcome = REQUEST_CALLER;
            answer_end(c);
        }
        finish(c, &v, why);
    } else if (status != HARDY_OK) {
        try_stop(c, ATTEMPT_MALFORMED, "an event of the stream is too large to be followed");
    }
}

/* --- whole answers ---------------------------------------------------------------------------- */

static bool is_compressed(const struct call *c) {
    const char *encoding = http_headers_get(&c->answer, "content-encoding");
    return encoding && strcasecmp(encoding, "identity") != 0;
}

static bool has_type(const struct call *c, const char *type) {
    const char *value = http_headers_get(&c->answer, "content-type");
    size_t len = strlen(type);
    return value && strncasecmp(value, type, len) == 0 &&
           (value[len] == '\0' || value[len] == ';' || value[len] == ' ');
}

/* Of a model's answer that says nothing of its type, too: it may be half of one, or none. */
static bool promises_json(const struct call *c) {
    return has_type(c, "application/json") || !http_headers_get(&c->answer, "content-type");
}

static struct verdict judge_whole(struct call *c, char *why, size_t size) {
    bool readable = !is_compressed(c);
    const char *body = readable && c->held.data ? c->held.data : "";
    size_t len = readable ? c->held.len : 0;
    struct verdict v =
        judge_answer(c->up->protocol, c->status, &c->answer, body, len, loop_wall(c->g->loop));
    why[0] = '\0';
    if (v.result != ATTEMPT_OK) {
        struct told_error error;
        (void)protocol_read_error(c->up->protocol, body, len, &error);
        describe(c, &error, why, size);
    } else if (c->record->protocol != PROTOCOL_PLAIN && readable && c->status == 200 &&
               promises_json(c) && json_check(body, len, NULL) == HARDY_E_SYNTAX) {
        v = judge_broken(ATTEMPT_MALFORMED);
        str_copy(why, size, "the answer is no JSON");
    } else if (c->record->protocol != PROTOCOL_PLAIN && readable) {
        struct told_error error;
        usage_init(&c->record->usage);
        protocol_read_usage(c->record->protocol, body, len, &c->record->usage);
        if (protocol_read_error(c->up->protocol, body, len, &error)) {
            v = judge_event(&error);
            describe(c, &error, why, size);
        }
    }
    judge_by_codes(&v, &c->up->guard->settings);
    return v;
}

static void end_whole(struct call *c) {
    char why[160];
    c->whole = true;
    struct verdict v = judge_whole(c, why, sizeof why);
    c->verdict = v;
    if (v.result == ATTEMPT_OK || v.untouched) {
        /* Before the guard is asked: it could only say the same, some turns later. */
        answer_held(c);
        c->record->outcome = v.result == ATTEMPT_OK ? REQUEST_OK : REQUEST_CALLER;
        str_copy(c->record->reason, sizeof c->record->reason, why);
    }
    finish(c, &v, why);
}

/* More than is held back: a good answer begins, a bad one is given up. */
static void overflow(struct call *c, const char *data, size_t len) {
    char why[160];
    if (c->status >= 400) {
        struct verdict v = judge_whole(c, why, sizeof why);
        if (!v.untouched) {
            http_call_cancel(c->http);
            finish(c, &v, why);
            return;
        }
        c->record->outcome = REQUEST_CALLER;
        c->verdict = v;
    }
    commit(c, c->content_length);
    (void)answer_data(c, data, len);
}

/* --- the client's callbacks ------------------------------------------------------------------- */

static void settle_limits(struct call *c, const struct http_headers *headers) {
    if (c->charged && headers) {
        c->charged = false;
        learned_update(upstream_learned(c->up, c->credential), &c->cost, headers,
                       loop_now(c->g->loop), loop_wall(c->g->loop));
    }
    call_forget_cost(c);
}

static void on_connected(void *ctx, struct http_call *http) {
    struct call *c = ctx;
    (void)http;
    record_of(c)->connected = loop_now(c->g->loop);
    if (c->drive) {
        drive_report_progress(c->drive, c->attempt, HARDY_CONNECTED);
    }
}

static bool hands_on_at_once(const struct call *c) {
    if (c->status >= 400 || (c->record->protocol != PROTOCOL_PLAIN && !is_compressed(c))) {
        return false;
    }
    /* A model's stream that is compressed though it was asked not to be cannot be followed, but it
     * need not wait for its end either. */
    return c->up->settings->streams || has_type(c, "text/event-stream");
}

static void on_head(void *ctx, struct http_call *http, const struct http_answer_head *head) {
    struct call *c = ctx;
    (void)http;
    record_of(c)->first_byte = loop_now(c->g->loop);
    record_of(c)->status = head->status;
    c->status = head->status;
    c->content_length = head->content_length;
    if (http_headers_copy(&c->answer, head->headers) != HARDY_OK) {
        try_stop(c, ATTEMPT_INTERNAL, "no memory for the answer's head");
        return;
    }
    settle_limits(c, head->headers);
    c->streaming = c->record->protocol != PROTOCOL_PLAIN && head->status == 200 &&
                   has_type(c, "text/event-stream") && !is_compressed(c);
    if (c->streaming) {
        sse_init(&c->events, EVENT_MAX, on_event, c);
    } else if (hands_on_at_once(c)) {
        commit(c, head->content_length);
    }
}

static void on_data(void *ctx, struct http_call *http, const char *data, size_t len) {
    struct call *c = ctx;
    (void)http;
    int64_t from = c->begun ? 0 : loop_clock(c->g->loop);
    note_bytes(c);
    if (c->streaming) {
        c->piece = data;
        c->piece_end = data + len;
        hardy_status status = sse_feed(&c->events, data, len);
        flush_run(c);
        c->piece = c->piece_end = NULL;
        if (from > 0) {
            c->record->overhead += loop_clock(c->g->loop) - from;
        }
        look_at_stream(c, status);
    } else if (c->begun) {
        (void)answer_data(c, data, len);
    } else {
        size_t most = c->record->protocol != PROTOCOL_PLAIN || c->status >= 400 ? HOLD_CALL
                      : c->content_length >= 0                                  ? HOLD_PLAIN
                                                                                : 0;
        bool fits = c->held.len + len <= most &&
                    (c->content_length < 0 || (uint64_t)c->content_length <= most);
        if (!fits || !buf_append(&c->held, data, len)) {
            overflow(c, data, len);
        }
    }
}

static void on_end(void *ctx, struct http_call *http) {
    struct call *c = ctx;
    (void)http;
    int64_t from = loop_clock(c->g->loop);
    c->http = NULL;
    if (c->streaming) {
        hardy_status status = sse_finish(&c->events);
        if (c->stopping || status != HARDY_OK) {
            look_at_stream(c, status);
        } else {
            end_stream(c);
        }
    } else if (c->begun) {
        struct verdict v = {.outcome = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE},
                            .result = ATTEMPT_OK};
        v = c->verdict.untouched ? c->verdict : v;
        answer_end(c);
        finish(c, &v, "");
    } else {
        c->record->overhead += loop_clock(c->g->loop) - from;
        end_whole(c);
    }
}

static void on_failed(void *ctx, struct http_call *http, const struct http_failure *failure) {
    struct call *c = ctx;
    struct verdict v = judge_failure(failure);
    (void)http;
    c->http = NULL;
    if (try_has_all(c)) {
        end_stream(c);
        return;
    }
    finish(c, &v, failure->detail);
}

void try_start(struct call *c, uint32_t attempt) {
    static const struct http_call_events events = {.connected = on_connected,
                                                   .head = on_head,
                                                   .data = on_data,
                                                   .end = on_end,
                                                   .failed = on_failed};
    hardy_error error;
    struct http_call_options o;
    hardy_error_init(&error, sizeof error);
    c->attempt = attempt;
    drop_answer(c);
    c->verdict = (struct verdict){.result = ATTEMPT_OK};
    *record_of(c) = (struct attempt_record){.started = loop_now(c->g->loop)};
    c->record->attempts = attempt;
    c->last_progress = loop_now(c->g->loop);
    if (!c->charged) {
        int64_t at;
        /* It goes now whatever is left: as low priority it could be refused. */
        c->charged = learned_reserve(upstream_learned(c->up, c->credential), &c->cost, false,
                                     loop_now(c->g->loop), HARDY_NEVER, &at);
    }
    http_call_options_init(&o);
    o.method = c->record->method;
    o.url = &c->url;
    o.headers = &c->headers;
    o.body = c->body;
    o.body_len = c->body_len;
    o.borrow_body = true; /* the request is answered after its last attempt has ended */
    o.repeatable = c->idempotent || c->record->protocol != PROTOCOL_PLAIN;
    o.connect_limit = c->up->guard->timeout_connect;
    if (http_call_start(c->g->client, &o, &events, c, &c->http, &error) != HARDY_OK) {
        c->http = NULL;
        struct verdict v = judge_broken(ATTEMPT_INTERNAL);
        v.outcome.effect = HARDY_EFFECT_NONE;
        finish(c, &v, error.message);
    }
}
