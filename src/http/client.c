/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call owns its request; a connection (struct line) owns its wire and parser. They point at each
 * other while the call runs. A line lives until its wire's `closed`, so callbacks may drop the call
 * or the whole client at any time: what is left behind is a line without either. A host lives as
 * long as a line or a call of the client's leads to it, and knows which of its lines are kept.
 *
 * Timers are armed for the earliest time at which a limit may have passed, and look again: nearly
 * every limit has moved on by then.
 */
#include "http/client.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "http/parser.h"
#include "http/wire.h"
#include "io/list.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A far side that says when it closes an idle connection is taken at its word, less this. */
#define KEEP_ALIVE_MARGIN HARDY_SECOND
/* "HTTP/1.1", Host, Content-Length and line ends, without method, target and the host's name. */
#define HEAD_OF_OURS 80

#define PIECES_MAX ((size_t)1 << 20) /* far more than one read brings */

struct host {
    struct list link; /* all hosts of the client */
    struct http_authority to;
    bool tls;
    size_t users;     /* lines and calls */
    struct list kept; /* lines without a call, the one used last at the end */
    size_t kept_count;
};

struct line {
    struct http_client *client; /* NULL = the client is gone, and its hosts */
    struct list link;           /* all lines of the client */
    struct host *host;
    struct list kept_link;
    bool kept;
    struct wire *wire;
    struct http_call *call; /* NULL = kept, or closing */
    bool closing;
    uint64_t request_from; /* wire_written() when this request began */
    int64_t idle_limit;
    int64_t idle_since;
    struct loop_timer timer; /* for the idle limit, while kept */
    struct http_parser parser;
    /* The body's bytes out of the present read: a piece of it, or several put together. */
    struct stream_piece piece;
    struct buf pieces;
};

struct http_call {
    struct http_client *client;
    struct list link; /* all calls of the client */
    struct host *host;
    struct line *line;
    const struct http_call_events *events;
    void *ctx;
    struct buf request;       /* until an answer has begun; with its body when that was copied */
    struct stream_piece body; /* when borrowed */
    bool no_body;             /* HEAD */
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
    struct list hosts, lines, calls;
    size_t idle; /* lines kept */
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
    list_init(&c->hosts);
    list_init(&c->lines);
    list_init(&c->calls);
    c->options = *options;
    c->ca_file = ca_file;
    c->options.ca_file = c->ca_file;
    return c;
}

/* --- hosts ----------------------------------------------------------------------------------- */

static bool leads_to(const struct host *h, const struct http_authority *to, bool tls) {
    return h->tls == tls && h->to.port == to->port && str_eq(h->to.host, to->host);
}

/* With a user more; NULL without memory. */
static struct host *enter_host(struct http_client *c, const struct http_authority *to, bool tls) {
    struct host *h;
    for (struct list *i = c->hosts.next; i != &c->hosts; i = i->next) {
        h = LIST_ITEM(i, struct host, link);
        if (leads_to(h, to, tls)) {
            h->users++;
            return h;
        }
    }
    h = calloc(1, sizeof *h);
    if (h) {
        h->to = *to;
        h->tls = tls;
        h->users = 1;
        list_init(&h->kept);
        list_append(&c->hosts, &h->link);
    }
    return h;
}

static void leave_host(struct host *h) {
    if (--h->users == 0) {
        list_remove(&h->link);
        free(h);
    }
}

/* --- lines ----------------------------------------------------------------------------------- */

/* Is no longer among the kept ones. */
static void unkeep(struct line *line) {
    if (line->kept) {
        line->kept = false;
        list_remove(&line->kept_link);
        line->host->kept_count--;
        line->client->idle--;
    }
}

static void close_line(struct line *line, enum close_reason reason, const char *detail) {
    if (line->call) {
        line->call->line = NULL;
        line->call = NULL;
    }
    if (!line->closing) {
        line->closing = true;
        if (line->client) {
            unkeep(line);
            loop_timer_stop(line->client->loop, &line->timer);
        }
        wire_close(line->wire, reason, detail);
    }
}

static void arm_idle(struct line *line) {
    loop_timer_start_by(line->client->loop, &line->timer,
                        time_add(line->idle_since, line->idle_limit));
}

static void on_idle_timer(struct loop_timer *timer) {
    struct line *line = timer->ctx;
    if (!line->kept) {
        return; /* armed again when it is */
    }
    if (time_add(line->idle_since, line->idle_limit) > loop_now(line->client->loop)) {
        arm_idle(line);
    } else {
        close_line(line, CLOSE_LOCAL, "unused");
    }
}

static void on_body(void *ctx, const char *data, size_t len);

static struct line *open_line(struct http_client *c, struct host *host, hardy_error *error) {
    struct line *line = calloc(1, sizeof *line);
    if (!line) {
        (void)fail(error, HARDY_E_NOMEM, host->to.host, "no memory for a connection");
        return NULL;
    }
    line->client = c;
    line->host = host;
    line->idle_limit = c->options.idle_limit;
    list_init(&line->kept_link);
    buf_init(&line->pieces, PIECES_MAX);
    loop_timer_init(&line->timer, on_idle_timer, line);
    line->wire =
        wire_connect(c->loop, &host->to, host->tls ? c->trust : NULL, &wire_events, line, error);
    if (!line->wire) {
        free(line);
        return NULL;
    }
    http_parser_init(&line->parser, true, c->options.head_max, c->options.header_max, on_body,
                     line);
    host->users++;
    list_append(&c->lines, &line->link);
    return line;
}

/* The kept line used last: the least likely to have been given up by the far side. */
static struct line *take_kept(struct host *host) {
    if (list_empty(&host->kept)) {
        return NULL;
    }
    struct line *line = LIST_ITEM(host->kept.prev, struct line, kept_link);
    unkeep(line);
    return line;
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
    int64_t told = told_idle_limit(&line->parser.headers);
    line->idle_limit = told < c->options.idle_limit ? told : c->options.idle_limit;
    /* An answer that came before its request had left: the rest of it would precede the next one.
     */
    bool half_sent = wire_sent(line->wire) < wire_written(line->wire);
    if (!line->parser.keep_alive || half_sent ||
        line->host->kept_count >= c->options.idle_per_host || line->idle_limit <= 0) {
        close_line(line, CLOSE_LOCAL, "not kept");
        return;
    }
    http_parser_reset(&line->parser);
    line->idle_since = loop_now(c->loop);
    line->kept = true;
    list_append(&line->host->kept, &line->kept_link);
    line->host->kept_count++;
    c->idle++;
    arm_idle(line);
}

struct loop *http_client_loop(const struct http_client *c) {
    return c->loop;
}

size_t http_client_idle(const struct http_client *c) {
    return c->idle;
}

size_t http_client_close_idle(struct http_client *c, const struct http_url *url) {
    size_t count = 0;
    for (struct list *at = c->lines.next; at != &c->lines; at = at->next) {
        struct line *line = LIST_ITEM(at, struct line, link);
        if (line->kept && (!url || leads_to(line->host, &url->authority, url->tls))) {
            close_line(line, CLOSE_LOCAL, "connections are reset"); /* unlinked when it is closed */
            count++;
        }
    }
    return count;
}

/* --- the end of a call ----------------------------------------------------------------------- */

/* No longer the client's: what follows is a callback, which may free the client. */
static void unlink_call(struct http_call *call) {
    list_remove(&call->link);
    leave_host(call->host);
    call->host = NULL;
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
    loop_timer_start_by(call->client->loop, &call->timer, next_limit(call, &name, &span));
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

static bool needs_length(const struct http_call_options *o) {
    /* A method that usually has a body says so even when it has none. */
    return o->body_len > 0 || strcmp(o->method, "POST") == 0 || strcmp(o->method, "PUT") == 0 ||
           strcmp(o->method, "PATCH") == 0;
}

/* Head and, unless it is borrowed, body. */
static bool write_request(const struct http_call_options *o, struct buf *out) {
    char authority[HTTP_AUTHORITY_SIZE];
    size_t copied = o->borrow_body ? 0 : o->body_len;
    http_authority_format(&o->url->authority, http_url_default_port(o->url), authority);
    size_t size = HEAD_OF_OURS + strlen(o->method) + strlen(o->url->target) + strlen(authority) +
                  (o->headers ? o->headers->bytes.len + 2 * o->headers->count : 0) + copied;
    buf_init(out, size);
    buf_reserve(out, size);
    buf_puts(out, o->method);
    buf_putc(out, ' ');
    buf_puts(out, o->url->target);
    buf_puts(out, " HTTP/1.1\r\n");
    http_header_write(out, "host", authority);
    for (size_t i = 0; o->headers && i < o->headers->count; i++) {
        const char *name = http_headers_name_at(o->headers, i);
        bool host = (name[0] == 'h' || name[0] == 'H') && strcasecmp(name, "host") == 0;
        if (!host && !http_is_framing(name)) {
            http_headers_write_at(o->headers, i, out);
        }
    }
    if (needs_length(o)) {
        buf_puts(out, "content-length: ");
        http_number_write(out, o->body_len);
        buf_append(out, "\r\n", 2);
    }
    buf_append(out, "\r\n", 2);
    buf_append(out, o->body, copied);
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
    const struct stream_piece pieces[] = {{call->request.data, call->request.len}, call->body};
    (void)wire_writev(line->wire, pieces, 2); /* or `closed` tells */
    arm(call);
}

static hardy_status give_line(struct http_call *call, bool fresh, hardy_error *error) {
    struct http_client *c = call->client;
    struct line *line = fresh ? NULL : take_kept(call->host);
    call->facts.reused = line != NULL;
    if (!line) {
        line = open_line(c, call->host, error);
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
    if (!call || !write_request(options, &call->request) ||
        !(call->host = enter_host(client, &options->url->authority, options->url->tls))) {
        if (call) {
            free_call(call);
        }
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a request");
    }
    call->client = client;
    call->events = events;
    call->ctx = ctx;
    if (options->borrow_body) {
        call->body = (struct stream_piece){options->body, options->body_len};
    }
    call->no_body = strcmp(options->method, "HEAD") == 0;
    call->repeatable = options->repeatable || http_is_idempotent(options->method);
    call->deadline = options->deadline;
    call->connect_limit = options->connect_limit;
    call->first_limit = options->first_limit;
    call->idle_limit = options->idle_limit;
    call->facts.started = loop_now(client->loop);
    loop_timer_init(&call->timer, on_call_timer, call);
    list_append(&client->calls, &call->link);
    hardy_status status = give_line(call, options->fresh, error);
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

/* Small chunks that one read has brought are put together: whoever passes them on writes once. */
static void on_body(void *ctx, const char *data, size_t len) {
    struct line *line = ctx;
    if (line->piece.len == 0) {
        line->piece = (struct stream_piece){data, len};
        return;
    }
    if (line->pieces.len == 0) {
        buf_append(&line->pieces, line->piece.data, line->piece.len);
    }
    buf_append(&line->pieces, data, len);
}

/* The call may be gone then. */
static void tell_body(struct line *line) {
    struct http_call *call = line->call;
    struct stream_piece piece = line->piece;
    if (line->pieces.failed) {
        fail_call(call, CLOSE_ERROR, "no memory for a piece of the answer");
    } else if (piece.len > 0) {
        if (line->pieces.len > 0) {
            piece = (struct stream_piece){line->pieces.data, line->pieces.len};
        }
        call->facts.received += piece.len;
        call->events->data(call->ctx, call, piece.data, piece.len);
    }
    line->piece.len = 0;
    buf_free(&line->pieces);
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
        buf_free(&call->request); /* it will not be sent again */
        arm(call);
    }
    struct http_parser *p = &line->parser;
    size_t used = 0;
    while (used < len && line->call == call) {
        used += http_parser_feed(p, data + used, len - used);
        tell_body(line);
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
        unkeep(line);
        loop_timer_stop(line->client->loop, &line->timer);
        list_remove(&line->link);
        leave_host(line->host);
        line->client = NULL;
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
    while (!list_empty(&c->calls)) {
        fail_call(LIST_ITEM(c->calls.next, struct http_call, link), CLOSE_SHUTDOWN,
                  "the client is shut down");
    }
    while (!list_empty(&c->lines)) {
        struct line *line = LIST_ITEM(c->lines.next, struct line, link);
        close_line(line, CLOSE_LOCAL, "the client is shut down");
        list_remove(&line->link);
        leave_host(line->host);
        line->client = NULL;
    }
    tls_trust_free(c->trust);
    free(c->ca_file);
    free(c);
}
