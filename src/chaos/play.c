/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/play.h"
#include "base/clock.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNSENT_MAX ((size_t)256 * 1024) /* then the client has to read first */
#define ERROR_MAX ((size_t)1 << 20)
static const int64_t hang_limit = HARDY_HOUR;
static const int64_t rate_limit_wait = 5 * HARDY_SECOND;

const char *play_end_text(enum play_end how) {
    static const char *const texts[] = {[PLAY_COMPLETE] = "complete",
                                        [PLAY_AS_TOLD] = "as_told",
                                        [PLAY_CLIENT_LEFT] = "client_left",
                                        [PLAY_SHUT_DOWN] = "shut_down",
                                        [PLAY_REFUSED] = "refused"};
    return texts[how];
}

static int fault_of(const struct play *p) {
    return p->decision.rule ? p->decision.rule->fail : FAULT_NONE;
}

/* --- time ----------------------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer) {
    struct play *p = timer->ctx;
    p->step(p);
}

static void pause_for(struct play *p, int64_t span, void (*step)(struct play *p)) {
    p->step = step;
    p->due = time_add(loop_now(p->loop), span);
    loop_timer_start(p->loop, &p->timer, p->due);
}

int64_t play_due(const struct play *p) {
    return p->due;
}

/* --- the end -------------------------------------------------------------------------------- */

/* The play is gone; its request is left to be ended. */
static struct http_request *leave(struct play *p, enum play_end how) {
    struct http_request *r = p->request;
    loop_timer_stop(p->loop, &p->timer);
    p->ended(p->ctx, p, how);
    reply_free(&p->reply);
    ask_free(&p->ask);
    buf_free(&p->document);
    free(p);
    return r;
}

static void end(struct play *p, enum play_end how) {
    http_respond_end(leave(p, how));
}

static void break_off(struct play *p, enum close_reason reason) {
    http_respond_abort(leave(p, PLAY_AS_TOLD), reason, "as the fault file says");
}

static void reset(struct play *p) {
    break_off(p, CLOSE_RESET);
}

void play_stop(struct play *p) {
    http_respond_abort(leave(p, PLAY_SHUT_DOWN), CLOSE_SHUTDOWN, "the server is shut down");
}

/* --- the head ------------------------------------------------------------------------------- */

/* What the rule names comes in place of what would stand there. */
static void add_missing(struct http_headers *to, const struct http_headers *from) {
    for (size_t i = 0; i < from->count; i++) {
        if (!http_headers_get(to, http_headers_name_at(from, i))) {
            (void)http_headers_add(to, http_headers_name_at(from, i),
                                   http_headers_value_at(from, i));
        }
    }
}

static void add_rule_headers(const struct fault_rule *rule, struct http_headers *to) {
    for (size_t i = 0; rule->headers && i < rule->headers->count; i++) {
        (void)http_headers_add(to, rule->headers->keys[i]->text, rule->headers->items[i]->text);
    }
}

/* Whole seconds, rounded up; what is not whole is told in the header for it, too. */
static void add_wait(int64_t span, struct http_headers *to) {
    char text[24];
    if (span % HARDY_SECOND != 0) {
        snprintf(text, sizeof text, "%lld",
                 (long long)((span + HARDY_MILLISECOND - 1) / HARDY_MILLISECOND));
        (void)http_headers_add(to, "retry-after-ms", text);
    }
    snprintf(text, sizeof text, "%lld", (long long)((span + HARDY_SECOND - 1) / HARDY_SECOND));
    (void)http_headers_add(to, "retry-after", text);
}

/* `extra`: what this answer has besides; may be NULL. `length` < 0 = a stream. */
static void begin(struct play *p, int status, const struct http_headers *extra, int64_t length) {
    struct http_headers all, usual;
    const char *type = length < 0 ? "text/event-stream; charset=utf-8" : "application/json";
    http_headers_init(&all, HTTP_HEADERS_MAX, 2 * HTTP_HEAD_MAX);
    http_headers_init(&usual, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    p->dialect->put_headers(&p->meter, p->request_id, loop_now(p->loop) - p->began, &usual);
    if (length < 0) {
        (void)http_headers_add(&usual, "cache-control", "no-cache");
    }
    if (extra) {
        add_missing(&all, extra);
    }
    add_missing(&all, &usual);
    p->status = status;
    p->begun = true;
    http_respond_begin(p->request, status, &all,
                       http_headers_get(&all, "content-type") ? NULL : type, length);
    http_headers_free(&all);
    http_headers_free(&usual);
}

/* --- errors --------------------------------------------------------------------------------- */

static void answer_error(struct play *p, const struct failure *f,
                         const struct http_headers *headers, enum play_end how) {
    struct buf body;
    buf_init(&body, ERROR_MAX);
    p->dialect->put_error(f, p->request_id, &body);
    begin(p, f->status, headers, (int64_t)body.len);
    (void)http_respond_data(p->request, body.data, body.len);
    buf_free(&body);
    end(p, how);
}

void play_refuse(struct play *p, const struct failure *why) {
    answer_error(p, why, NULL, PLAY_REFUSED);
}

static struct failure failure_of(const struct play *p, char *text, size_t size) {
    const struct fault_rule *rule = p->decision.rule;
    int status = rule->status > 0                 ? (int)rule->status
                 : rule->fail == FAULT_RATE_LIMIT ? 429
                                                  : p->dialect->overloaded;
    snprintf(text, size, "%s, as rule %lld of the fault file says",
             status == 429                      ? "Too many requests"
             : status == p->dialect->overloaded ? "Overloaded"
                                                : "Failed",
             (long long)p->decision.index + 1);
    return (struct failure){.status = status,
                            .type = rule->error_type,
                            .code = rule->error_code,
                            .message = rule->message ? rule->message : text};
}

static void answer_fault(struct play *p) {
    const struct fault_rule *rule = p->decision.rule;
    char text[120];
    struct failure f = failure_of(p, text, sizeof text);
    struct http_headers headers;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    add_rule_headers(rule, &headers);
    int64_t span = rule->retry_after_given          ? rule->retry_after
                   : rule->fail == FAULT_RATE_LIMIT ? rate_limit_wait
                                                    : -1;
    if (span >= 0 && !http_headers_get(&headers, "retry-after")) {
        add_wait(span, &headers);
    }
    if (f.status == 529 && !http_headers_get(&headers, "x-should-retry")) {
        (void)http_headers_add(&headers, "x-should-retry", "true");
    }
    if (rule->fail == FAULT_RATE_LIMIT) {
        p->meter.requests_left = p->meter.input_left = p->meter.output_left = 0;
        p->meter.reset = time_add(p->meter.wall, span);
    }
    answer_error(p, &f, &headers, PLAY_AS_TOLD);
    http_headers_free(&headers);
}

/* --- a document ----------------------------------------------------------------------------- */

static void finish_document(struct play *p) {
    size_t half = p->document.len / 2;
    (void)http_respond_data(p->request, p->document.data + half, p->document.len - half);
    end(p, PLAY_COMPLETE);
}

static void answer_document(struct play *p) {
    size_t len = p->document.len, half = len / 2;
    int fault = fault_of(p);
    if (fault == FAULT_CUT || fault == FAULT_MALFORMED) {
        len = half;
    }
    begin(p, 200, NULL, (int64_t)len);
    bool halved = fault == FAULT_TRUNCATED || fault == FAULT_RESET_AFTER || fault == FAULT_SILENCE;
    (void)http_respond_data(p->request, p->document.data, halved ? half : len);
    if (fault == FAULT_TRUNCATED) {
        break_off(p, CLOSE_ERROR);
    } else if (fault == FAULT_RESET_AFTER) {
        /* A reset overtakes what is on its way; the client is to see the beginning. */
        pause_for(p, p->decision.pace > 0 ? p->decision.pace : HARDY_MILLISECOND, reset);
    } else if (fault == FAULT_SILENCE) {
        pause_for(p, p->decision.rule->delay, finish_document);
    } else {
        end(p, len == half ? PLAY_AS_TOLD : PLAY_COMPLETE);
    }
}

/* --- a stream ------------------------------------------------------------------------------- */

static void send_event(struct play *p);

static void put_out(struct play *p, const struct buf *event) {
    (void)http_respond_data(p->request, event->data, event->len);
    p->sent++;
}

/* The time from the event just sent to the next. */
static int64_t gap(const struct play *p) {
    int fault = fault_of(p);
    bool late = (fault == FAULT_SLOW_FIRST && p->sent == p->reply.lead) ||
                (fault == FAULT_SILENCE && p->sent == p->after);
    return late ? p->decision.rule->delay : p->decision.pace;
}

static void go_on(struct play *p) {
    if (http_respond_unsent(p->request) > UNSENT_MAX) {
        p->blocked = true;
        p->due = HARDY_NEVER;
    } else {
        pause_for(p, gap(p), send_event);
    }
}

static void send_error_event(struct play *p) {
    char text[120];
    struct failure f = failure_of(p, text, sizeof text);
    struct buf event;
    buf_init(&event, ERROR_MAX);
    p->format->put_error(&p->reply, &f, p->sent, &event);
    put_out(p, &event);
    buf_free(&event);
    end(p, PLAY_AS_TOLD);
}

/* The fault in place of the event that is due. Returns whether the play is over. */
static bool break_stream(struct play *p) {
    switch (fault_of(p)) {
    case FAULT_CUT:
        end(p, PLAY_AS_TOLD);
        return true;
    case FAULT_TRUNCATED:
        break_off(p, CLOSE_ERROR);
        return true;
    case FAULT_RESET_AFTER:
        break_off(p, CLOSE_RESET);
        return true;
    case FAULT_ERROR_EVENT:
        send_error_event(p);
        return true;
    case FAULT_MALFORMED:
        p->told = true;
        return false;
    default:
        return false;
    }
}

static void send_event(struct play *p) {
    bool spoils = false;
    if (!p->begun) {
        begin(p, 200, NULL, -1);
        if (fault_of(p) == FAULT_SILENCE && p->after == 0) {
            pause_for(p, p->decision.rule->delay, send_event);
            return;
        }
    }
    if (p->sent == p->after) {
        if (break_stream(p)) {
            return;
        }
        spoils = p->told;
    }
    struct buf event;
    buf_init(&event, (size_t)64 << 20);
    reply_put_event(&p->reply, p->sent, &event);
    if (spoils) {
        event_spoil(&event, 0);
    }
    if (event.failed) {
        buf_free(&event);
        http_respond_abort(leave(p, PLAY_SHUT_DOWN), CLOSE_ERROR, "no memory for an event");
        return;
    }
    put_out(p, &event);
    buf_free(&event);
    if (p->sent == reply_events(&p->reply)) {
        end(p, p->told ? PLAY_AS_TOLD : PLAY_COMPLETE);
    } else {
        go_on(p);
    }
}

/* --- the begin ------------------------------------------------------------------------------ */

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    (void)r;
    end(ctx, reason == CLOSE_SHUTDOWN ? PLAY_SHUT_DOWN : PLAY_CLIENT_LEFT);
}

static void on_drained(void *ctx, struct http_request *r) {
    struct play *p = ctx;
    (void)r;
    if (p->blocked) {
        p->blocked = false;
        go_on(p);
    }
}

void play_start(struct play *p) {
    static const struct http_request_events events = {.gone = on_gone, .drained = on_drained};
    const struct fault_rule *rule = p->decision.rule;
    bool streams = p->ask.stream && p->format;
    loop_timer_init(&p->timer, on_timer, p);
    http_request_read(p->request, &events, p);
    p->after = rule && rule->after_events_given ? rule->after_events : p->reply.lead;
    switch (fault_of(p)) {
    case FAULT_OVERLOADED:
    case FAULT_STATUS:
    case FAULT_RATE_LIMIT:
        answer_fault(p);
        return;
    case FAULT_RESET:
        reset(p);
        return;
    case FAULT_HANG:
        pause_for(p, rule->delay_given ? rule->delay : hang_limit, reset);
        return;
    case FAULT_SLOW_FIRST:
        pause_for(p, streams ? 0 : rule->delay, streams ? send_event : answer_document);
        return;
    default:
        break;
    }
    if (fault_of(p) == FAULT_ERROR_EVENT && !streams) {
        answer_fault(p);
    } else {
        pause_for(p, p->decision.think, streams ? send_event : answer_document);
    }
}
