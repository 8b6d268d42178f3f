/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call owns its request; a connection (struct line) owns its wire and parser. They point at each
 * other while the call runs. A line lives until its wire's `closed`, so callbacks may drop the call
 * or the whole client at any time: what is left behind is a line without either.
 */
#include "http/client.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "http/parser.h"
#include "http/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A far side that says when it closes an idle connection is taken at its word, less this. */
#define KEEP_ALIVE_MARGIN HARDY_SECOND
/* Room for a request line, a Host and a Content-Length, without the target. */
#define HEAD_OF_OURS 1024

struct line {
    struct http_client *client; /* NULL = the client is gone */
    struct line *next;          /* all lines of the client */
    struct wire *wire;
    struct http_call *call; /* NULL = kept, or closing */
    struct http_authority to;
    bool tls;
    bool closing;
    uint64_t request_from; /* wire_written() when this request began */
    int64_t idle_limit;
    int64_t idle_since;
    struct loop_timer timer; /* runs while kept */
    struct http_parser parser;
};

struct http_call {
    struct http_client *client;
    struct http_call *next; /* all calls of the client */
    struct line *line;
    const struct http_call_events *events;
    void *ctx;
    struct http_authority to;
    bool tls;
    struct buf request;
    bool no_body; /* HEAD */
    bool repeatable;
    bool told_head, paused;
    int64_t deadline, connect_limit, first_limit, idle_limit;
    int64_t connect_from, last_byte;
    struct http_facts facts;
    struct loop_timer timer;
};

struct http_client {
    struct loop *loop;
    struct http_client_options options;
    char *ca_file;
    struct tls_trust *trust;
    struct line *lines;
    struct http_call *calls;
};

static const struct wire_events wire_events;

void http_client_options_init(struct http_client_options *o) {
    *o = (struct http_client_options){.idle_limit = 30 * HARDY_SECOND,
                                      .idle_per_host = 16,
                                      .head_max = 64 * 1024,
                                      .header_max = 200};
}

void http_call_options_init(struct http_call_options *o) {
    *o = (struct http_call_options){.method = "GET",
                                    .deadline = HARDY_NEVER,
                                    .connect_limit = HARDY_NEVER,
                                    .first_limit = HARDY_NEVER,
                                    .idle_limit = HARDY_NEVER};
}

const char *http_phase_text(enum http_phase phase) {
    static const char *const texts[] = {"connecting", "waiting for an answer",
                                        "reading the answer's head", "reading the answer"};
    return texts[phase];
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options,
                                    hardy_error *error) {
    struct http_client *c = calloc(1, sizeof *c);
    char *ca_file = str_dup(options->ca_file);
    if (!c || (options->ca_file && !ca_file)) {
        free(c);
        free(ca_file);
        (void)fail(error, HARDY_E_NOMEM, NULL, "no memory for an HTTP client");
        return NULL;
    }
    c->loop = loop;
    c->options = *options;
    c->ca_file = ca_file;
    c->options.ca_file = c->ca_file;
    return c;
}

/* --- lines ----------------------------------------------------------------------------------- */

static void close_line(struct line *line, enum close_reason reason, const char *detail) {
    if (line->call) {
        line->call->line = NULL;
        line->call = NULL;
    }
    if (!line->closing) {
        line->closing = true;
        if (line->client) {
            loop_timer_stop(line->client->loop, &line->timer);
        }
        wire_close(line->wire, reason, detail);
    }
}

static void on_idle_too_long(struct loop_timer *timer) {
    close_line(timer->ctx, CLOSE_LOCAL, "unused");
}

static void on_body(void *ctx, const char *data, size_t len);

static struct line *open_line(struct http_client *c, const struct http_authority *to, bool tls,
                              hardy_error *error) {
    struct line *line = calloc(1, sizeof *line);
    if (!line) {
        (void)fail(error, HARDY_E_NOMEM, to->host, "no memory for a connection");
        return NULL;
    }
    line->client = c;
    line->to = *to;
    line->tls = tls;
    line->idle_limit = c->options.idle_limit;
    loop_timer_init(&line->timer, on_idle_too_long, line);
    line->wire = wire_connect(c->loop, to, tls ? c->trust : NULL, &wire_events, line, error);
    if (!line->wire) {
        free(line);
        return NULL;
    }
    http_parser_init(&line->parser, true, c->options.head_max, c->options.header_max, on_body,
                     line);
    line->next = c->lines;
    c->lines = line;
    return line;
}

static bool is_kept(const struct line *line) {
    return !line->call && !line->closing;
}

static bool leads_to(const struct line *line, const struct http_authority *to, bool tls) {
    return line->tls == tls && line->to.port == to->port && str_eq(line->to.host, to->host);
}

/* The kept line used last: the least likely to have been given up by the far side. */
static struct line *find_kept(struct http_client *c, const struct http_authority *to, bool tls) {
    struct line *best = NULL;
    for (struct line *line = c->lines; line; line = line->next) {
        if (is_kept(line) && leads_to(line, to, tls) &&
            (!best || line->idle_since > best->idle_since)) {
            best = line;
        }
    }
    if (best) {
        loop_timer_stop(c->loop, &best->timer);
    }
    return best;
}

/* The far side's "Keep-Alive: timeout=N", N whole seconds; HARDY_NEVER when it does not say. */
static int64_t told_idle_limit(const struct http_headers *h) {
    const char *text = http_headers_get(h, "keep-alive");
    const char *at = text ? strcasestr(text, "timeout=") : NULL;
    if (!at) {
        return HARDY_NEVER;
    }
    at += strlen("timeout=");
    unsigned long seconds = *at >= '0' && *at <= '9' ? strtoul(at, NULL, 10) : 0;
    return seconds > INT32_MAX ? HARDY_NEVER : (int64_t)seconds * HARDY_SECOND - KEEP_ALIVE_MARGIN;
}

/* Keeps the line for another call, or closes it. */
static void keep_line(struct line *line) {
    struct http_client *c = line->client;
    size_t kept = 0;
    for (struct line *other = c->lines; other; other = other->next) {
        kept += other != line && is_kept(other) && leads_to(other, &line->to, line->tls);
    }
    int64_t told = told_idle_limit(&line->parser.headers);
    line->idle_limit = told < c->options.idle_limit ? told : c->options.idle_limit;
    /* An answer that came before its request had left: the rest of it would precede the next one.
     */
    bool half_sent = wire_sent(line->wire) < wire_written(line->wire);
    if (!line->parser.keep_alive || half_sent || kept >= c->options.idle_per_host ||
        line->idle_limit <= 0) {
        close_line(line, CLOSE_LOCAL, "not kept");
        return;
    }
    http_parser_reset(&line->parser);
    line->idle_since = loop_now(c->loop);
    loop_timer_start(c->loop, &line->timer, time_add(line->idle_since, line->idle_limit));
}

struct loop *http_client_loop(const struct http_client *c) {
    return c->loop;
}

size_t http_client_idle(const struct http_client *c) {
    size_t kept = 0;
    for (struct line *line = c->lines; line; line = line->next) {
        kept += is_kept(line);
    }
    return kept;
}

/* --- the end of a call ----------------------------------------------------------------------- */

/* No longer the client's: what follows is a callback, which may free the client. */
static void unlink_call(struct http_call *call) {
    struct http_call **at = &call->client->calls;
    while (*at != call) {
        at = &(*at)->next;
    }
    *at = call->next;
    loop_timer_stop(call->client->loop, &call->timer);
}

static void free_call(struct http_call *call) {
    buf_free(&call->request);
    free(call);
}

static void note_sent(struct http_call *call) {
    struct line *line = call->line;
    if (line && call->facts.phase != HTTP_PHASE_CONNECT && !call->facts.sent) {
        call->facts.sent = wire_sent(line->wire) > line->request_from;
    }
}

static void fail_call(struct http_call *call, enum close_reason reason, const char *detail) {
    char copy[400]; /* the detail may die with its connection */
    str_copy(copy, sizeof copy, detail);
    note_sent(call);
    unlink_call(call);
    if (call->line) {
        close_line(call->line, reason, copy);
    }
    struct http_failure failure = {.reason = reason, .detail = copy, .facts = call->facts};
    call->events->failed(call->ctx, call, &failure);
    free_call(call);
}

void http_call_cancel(struct http_call *call) {
    unlink_call(call);
    if (call->line) {
        close_line(call->line, CLOSE_SHUTDOWN, "cancelled");
    }
    free_call(call);
}

/* The answer is complete; `line` may serve another call, NULL = it has ended. */
static void end_call(struct http_call *call, struct line *line) {
    unlink_call(call);
    call->line = NULL;
    if (line) {
        line->call = NULL;
        if (call->paused) {
            wire_read_pause(line->wire, false);
        }
        keep_line(line);
    }
    call->events->end(call->ctx, call);
    free_call(call);
}

/* --- time ------------------------------------------------------------------------------------ */

/* The next moment that ends this call, and in whose name. */
static int64_t next_limit(const struct http_call *call, const char **name, int64_t *span) {
    int64_t from, limit;
    const char *what;
    if (call->facts.phase == HTTP_PHASE_CONNECT) {
        from = call->connect_from;
        limit = call->connect_limit;
        what = "connect limit";
    } else if (call->facts.phase == HTTP_PHASE_WAIT) {
        from = call->facts.written;
        limit = call->first_limit;
        what = "first-byte limit";
    } else {
        from = call->last_byte;
        limit = call->paused ? HARDY_NEVER : call->idle_limit;
        what = "idle limit";
    }
    int64_t at = time_add(from, limit);
    bool total = at >= call->deadline;
    *name = total ? "deadline" : what;
    *span = total ? 0 : limit;
    return total ? call->deadline : at;
}

static void arm(struct http_call *call) {
    const char *name;
    int64_t span;
    loop_timer_start(call->client->loop, &call->timer, next_limit(call, &name, &span));
}

static void on_call_timer(struct loop_timer *timer) {
    struct http_call *call = timer->ctx;
    const char *name;
    char text[128], length[48];
    int64_t span;
    /* Bytes that came meanwhile have moved the limit without touching the timer. */
    if (next_limit(call, &name, &span) > loop_now(call->client->loop)) {
        arm(call);
        return;
    }
    if (span > 0) {
        format_duration(span, length);
        snprintf(text, sizeof text, "%s: %s of %s passed", http_phase_text(call->facts.phase), name,
                 length);
    } else {
        snprintf(text, sizeof text, "%s: deadline passed", http_phase_text(call->facts.phase));
    }
    fail_call(call, CLOSE_TIMEOUT, text);
}

/* --- requests -------------------------------------------------------------------------------- */

static bool write_head(const struct http_call_options *o, struct buf *out) {
    char authority[HTTP_AUTHORITY_SIZE];
    http_authority_format(&o->url->authority, http_url_default_port(o->url), authority);
    buf_printf(out, "%s %s HTTP/1.1\r\n", o->method, o->url->target);
    http_header_write(out, "host", authority);
    for (size_t i = 0; o->headers && i < o->headers->count; i++) {
        const char *name = http_headers_name_at(o->headers, i);
        if (!http_is_framing(name) && strcasecmp(name, "host") != 0) {
            http_header_write(out, name, http_headers_value_at(o->headers, i));
        }
    }
    /* A method that usually has a body says so even when it has none. */
    if (o->body_len > 0 || strcmp(o->method, "POST") == 0 || strcmp(o->method, "PUT") == 0 ||
        strcmp(o->method, "PATCH") == 0) {
        buf_printf(out, "content-length: %zu\r\n", o->body_len);
    }
    buf_append(out, "\r\n", 2);
    buf_append(out, o->body, o->body_len);
    return !out->failed;
}

static void send_request(struct http_call *call) {
    struct line *line = call->line;
    int64_t now = loop_now(call->client->loop);
    call->facts.phase = HTTP_PHASE_WAIT;
    call->facts.connected = now;
    call->facts.written = now;
    line->request_from = wire_written(line->wire);
    if (call->no_body) {
        http_parser_expect_no_body(&line->parser);
    }
    (void)wire_write(line->wire, call->request.data, call->request.len); /* or `closed` tells */
    arm(call);
}

static hardy_status give_line(struct http_call *call, bool fresh, hardy_error *error) {
    struct http_client *c = call->client;
    struct line *line = fresh ? NULL : find_kept(c, &call->to, call->tls);
    call->facts.reused = line != NULL;
    if (!line) {
        line = open_line(c, &call->to, call->tls, error);
        if (!line) {
            return HARDY_E_NOMEM;
        }
    }
    line->call = call;
    call->line = line;
    if (call->facts.reused) {
        send_request(call);
    } else {
        call->facts.phase = HTTP_PHASE_CONNECT;
        call->connect_from = loop_now(c->loop);
        arm(call);
    }
    return HARDY_OK;
}

hardy_status http_call_start(struct http_client *client, const struct http_call_options *options,
                             const struct http_call_events *events, void *ctx,
                             struct http_call **out, hardy_error *error) {
    if (!http_is_token(options->method, strlen(options->method)) ||
        strcmp(options->method, "CONNECT") == 0) {
        return fail(error, HARDY_E_INVALID, NULL, "\"%.30s\" is not a method that can be sent",
                    options->method);
    }
    if (options->url->tls && !client->trust) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        client->trust = tls_trust_new(client->ca_file, &why);
        if (!client->trust) {
            return fail(error, why.status, why.where, "%s", why.message);
        }
    }
    struct http_call *call = calloc(1, sizeof *call);
    if (!call) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a request");
    }
    call->client = client;
    call->events = events;
    call->ctx = ctx;
    call->to = options->url->authority;
    call->tls = options->url->tls;
    call->no_body = strcmp(options->method, "HEAD") == 0;
    call->repeatable = options->repeatable || http_is_idempotent(options->method);
    call->deadline = options->deadline;
    call->connect_limit = options->connect_limit;
    call->first_limit = options->first_limit;
    call->idle_limit = options->idle_limit;
    call->facts.started = loop_now(client->loop);
    loop_timer_init(&call->timer, on_call_timer, call);
    buf_init(&call->request, HEAD_OF_OURS + strlen(options->url->target) + options->body_len +
                                 (options->headers ? 2 * options->headers->bytes.len : 0));
    call->next = client->calls;
    client->calls = call;
    hardy_status status = HARDY_E_NOMEM;
    if (write_head(options, &call->request)) {
        status = give_line(call, options->fresh, error);
    } else {
        (void)fail(error, status, NULL, "no memory for a request");
    }
    if (status != HARDY_OK) {
        unlink_call(call);
        free_call(call);
        return status;
    }
    *out = call;
    return HARDY_OK;
}

void http_call_pause(struct http_call *call, bool pause) {
    if (call->paused == pause || !call->line || !call->told_head) {
        return;
    }
    call->paused = pause;
    wire_read_pause(call->line->wire, pause);
    call->last_byte = loop_now(call->client->loop);
    arm(call);
}

const struct http_facts *http_call_facts(const struct http_call *call) {
    /* Whether bytes have left is only known by asking; the record is the call's own. */
    note_sent((struct http_call *)call);
    return &call->facts;
}

/* --- answers --------------------------------------------------------------------------------- */

static void on_connected(void *ctx, struct wire *w) {
    struct line *line = ctx;
    struct http_call *call = line->call;
    (void)w;
    if (!call) {
        return;
    }
    send_request(call);
    if (call->events->connected) {
        call->events->connected(call->ctx, call);
    }
}

static void on_body(void *ctx, const char *data, size_t len) {
    struct line *line = ctx;
    struct http_call *call = line->call;
    /* The call may have been cancelled by the piece before this one. */
    if (call) {
        call->facts.received += len;
        call->events->data(call->ctx, call, data, len);
    }
}

/* The head is complete. True when the call goes on and the head was a final one. */
static bool take_head(struct line *line) {
    struct http_parser *p = &line->parser;
    struct http_call *call = line->call;
    if (p->status < 200) { /* 100 Continue, 103 Early Hints: another head follows */
        http_parser_reset(p);
        if (call->no_body) {
            http_parser_expect_no_body(p);
        }
        return false;
    }
    call->told_head = true;
    call->facts.phase = HTTP_PHASE_BODY;
    struct http_answer_head head = {.status = p->status,
                                    .minor = p->minor,
                                    .headers = &p->headers,
                                    .content_length = p->content_length};
    call->events->head(call->ctx, call, &head);
    return line->call == call;
}

static void on_data(void *ctx, struct wire *w, const char *data, size_t len) {
    struct line *line = ctx;
    (void)w;
    if (!line->call) {
        if (!line->closing) { /* a kept connection has nothing to say */
            close_line(line, CLOSE_PROTOCOL, "bytes that belong to no answer");
        }
        return;
    }
    struct http_call *call = line->call;
    call->last_byte = loop_now(call->client->loop);
    if (call->facts.phase == HTTP_PHASE_WAIT) {
        call->facts.first_byte = call->last_byte;
        call->facts.answered = call->facts.sent = true;
        call->facts.phase = HTTP_PHASE_HEAD;
        arm(call);
    }
    struct http_parser *p = &line->parser;
    size_t used = 0;
    while (used < len && line->call == call) {
        used += http_parser_feed(p, data + used, len - used);
        if (line->call != call) {
            return;
        }
        if (p->state == HTTP_PARSER_FAILED) {
            fail_call(call, p->error_status == 431 ? CLOSE_TOO_LARGE : CLOSE_PROTOCOL, p->error);
            return;
        }
        if (!call->told_head && p->state != HTTP_PARSER_HEAD && !take_head(line)) {
            continue;
        }
        if (p->state == HTTP_PARSER_END) {
            if (used < len) {
                p->keep_alive = false; /* what follows the answer belongs to nobody */
            }
            end_call(call, line);
            return;
        }
    }
}

/* A kept connection that was dead when it was used has not failed the call: once, and only when the
 * request cannot have been acted upon, or may be acted upon twice. */
static bool send_again(struct http_call *call) {
    if (!call->facts.reused || call->facts.repeated || call->facts.answered ||
        (call->facts.sent && !call->repeatable)) {
        return false;
    }
    call->facts.repeated = true;
    call->facts.sent = false;
    return give_line(call, true, NULL) == HARDY_OK;
}

static void on_closed(void *ctx, struct wire *w, enum close_reason reason, const char *detail) {
    struct line *line = ctx;
    struct http_call *call = line->call;
    (void)w;
    line->closing = true;
    if (line->client) {
        loop_timer_stop(line->client->loop, &line->timer);
        struct line **at = &line->client->lines;
        while (*at != line) {
            at = &(*at)->next;
        }
        *at = line->next;
    }
    if (call) {
        note_sent(call);
        call->line = NULL;
        line->call = NULL;
        bool ended = false;
        if (reason == CLOSE_EOF && call->told_head) {
            http_parser_finish(&line->parser);
            ended = line->parser.state == HTTP_PARSER_END;
        }
        if (ended) {
            end_call(call, NULL);
        } else if (!send_again(call)) {
            char text[400];
            snprintf(text, sizeof text, "%s: %s%s%s", http_phase_text(call->facts.phase),
                     close_reason_text(reason), *detail ? ": " : "", detail);
            fail_call(call, reason, text);
        }
    }
    http_parser_free(&line->parser);
    free(line);
}

static const struct wire_events wire_events = {
    .connected = on_connected, .data = on_data, .closed = on_closed};

void http_client_free(struct http_client *c) {
    if (!c) {
        return;
    }
    while (c->calls) {
        fail_call(c->calls, CLOSE_SHUTDOWN, "the client is shut down");
    }
    struct line *next;
    for (struct line *line = c->lines; line; line = next) {
        next = line->next;
        close_line(line, CLOSE_LOCAL, "the client is shut down");
        line->client = NULL;
        line->next = NULL;
    }
    tls_trust_free(c->trust);
    free(c->ca_file);
    free(c);
}
