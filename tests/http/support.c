/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"
#include "base/clock.h"
#include "base/str.h"
#include "http/url.h"
#include <netinet/in.h>
#include <sys/socket.h>

/* --- the world ------------------------------------------------------------------------------- */

static void on_guard(struct loop_timer *timer) {
    (void)timer;
    fail_msg("the test hangs");
}

void world_begin(struct world *w, const struct sim_options *sim) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    w->simulated = sim != NULL;
    w->loop = sim ? loop_sim_new(sim, &error) : loop_uv_new(&error);
    if (!w->loop) {
        fail_msg("no loop: %s", error.message);
    }
    loop_timer_init(&w->guard, on_guard, w);
}

void world_calm(struct world *w, bool simulated) {
    struct sim_options sim;
    sim_options_init(&sim);
    sim.end = HARDY_NEVER;
    world_begin(w, simulated ? &sim : NULL);
}

static void run(struct world *w) {
    int64_t limit = w->simulated ? 20 * HARDY_HOUR : 20 * HARDY_SECOND;
    loop_timer_start(w->loop, &w->guard, time_add(loop_now(w->loop), limit));
    loop_run(w->loop);
    loop_timer_stop(w->loop, &w->guard);
}

void world_run(struct world *w) {
    run(w);
}

void world_stop(struct world *w) {
    loop_stop(w->loop);
}

static void on_waited(struct loop_timer *timer) {
    world_stop(timer->ctx);
}

void world_wait(struct world *w, int64_t span) {
    struct loop_timer timer;
    assert_true(w->simulated);
    loop_timer_init(&timer, on_waited, w);
    loop_timer_start(w->loop, &timer, time_add(loop_now(w->loop), span));
    run(w);
}

void expect_between(int64_t span, int64_t low, int64_t high) {
    if (span < low || span > high) {
        fail_msg("%lld ms is not between %lld and %lld", (long long)(span / HARDY_MILLISECOND),
                 (long long)(low / HARDY_MILLISECOND), (long long)(high / HARDY_MILLISECOND));
    }
}

void world_end(struct world *w) {
    loop_run(w->loop);
    loop_free(w->loop);
}

/* --- a raw client ---------------------------------------------------------------------------- */

static void send_more(struct raw_client *c) {
    size_t left = c->len - c->at;
    size_t len = c->step == 0 || c->step > left ? left : c->step;
    if (len == 0 || c->closed) {
        return;
    }
    (void)stream_write(c->stream, c->send + c->at, len);
    c->at += len;
    loop_timer_start(c->w->loop, &c->timer, time_add(loop_now(c->w->loop), c->pause));
}

static void on_step(struct loop_timer *timer) {
    send_more(timer->ctx);
}

static void client_connected(void *ctx, struct stream *s) {
    struct raw_client *c = ctx;
    if (c->stay) {
        stream_read_pause(s);
    }
    send_more(c);
}

static void client_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct raw_client *c = ctx;
    assert_true(buf_append(&c->got, data, len));
    c->pieces++;
    if (c->expect && strstr(c->got.data, c->expect)) {
        c->expect = NULL;
        stream_close(s, CLOSE_LOCAL);
    }
}

static void client_closed(void *ctx, struct stream *s, enum close_reason reason,
                          const char *detail) {
    struct raw_client *c = ctx;
    (void)s, (void)detail;
    c->closed = true;
    c->reason = reason;
    c->stream = NULL;
    c->ended = loop_now(c->w->loop);
    loop_timer_stop(c->w->loop, &c->timer);
    world_stop(c->w);
}

void raw_client_open(struct raw_client *c, struct world *w, uint16_t port) {
    static const struct stream_events events = {
        .connected = client_connected, .data = client_data, .closed = client_closed};
    c->w = w;
    buf_init(&c->got, 64 << 20);
    buf_puts(&c->got, "");
    loop_timer_init(&c->timer, on_step, c);
    c->stream = stream_connect(w->loop, "127.0.0.1", port, &events, c);
    assert_non_null(c->stream);
}

void raw_client_free(struct raw_client *c) {
    buf_free(&c->got);
}

const char *raw_talk(struct world *w, uint16_t port, const char *send, size_t step) {
    static char text[1 << 20];
    struct raw_client c = {.send = send, .len = strlen(send), .step = step};
    raw_client_open(&c, w, port);
    while (!c.closed) {
        world_run(w);
    }
    str_copy(text, sizeof text, c.got.data);
    raw_client_free(&c);
    return text;
}

int raw_dial(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* --- a raw server ---------------------------------------------------------------------------- */

struct raw_peer {
    struct raw_server *server;
    struct raw_peer *next;
    struct stream *stream;
    struct buf in;
    const char *answer;
    size_t at;
    struct loop_timer timer;
};

static void answer_more(struct raw_peer *p) {
    struct raw_server *s = p->server;
    if (!p->answer) {
        return;
    }
    size_t left = strlen(p->answer) - p->at;
    size_t len = s->step == 0 || s->step > left ? left : s->step;
    if (len > 0) {
        (void)stream_write(p->stream, p->answer + p->at, len);
        p->at += len;
    }
    if (p->answer[p->at] == '\0') {
        p->answer = NULL;
        if (s->close_after) {
            stream_close(p->stream, CLOSE_LOCAL);
        }
    } else {
        loop_timer_start(s->w->loop, &p->timer, time_add(loop_now(s->w->loop), s->pause));
    }
}

static void on_answer_step(struct loop_timer *timer) {
    answer_more(timer->ctx);
}

static void server_data(void *ctx, struct stream *stream, const char *data, size_t len) {
    struct raw_peer *p = ctx;
    struct raw_server *s = p->server;
    assert_true(buf_append(&p->in, data, len));
    assert_true(buf_append(&s->heard, data, len));
    s->pieces++;
    char *end = strstr(p->in.data, "\r\n\r\n");
    if (!end || p->answer || s->next >= s->count) {
        return;
    }
    /* A body, where there is one, comes with its length. */
    const char *length = strstr(p->in.data, "content-length: ");
    size_t whole = (size_t)(end + 4 - p->in.data) +
                   (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
    if (s->at_head) {
        stream_read_pause(stream);
        whole = p->in.len;
    }
    if (p->in.len < whole) {
        return;
    }
    buf_consume(&p->in, whole);
    size_t at = s->next++;
    if (s->reset_before && s->reset_before[at]) {
        stream_close(stream, CLOSE_RESET);
        return;
    }
    p->answer = s->answers[at];
    p->at = 0;
    if (s->delay > 0) {
        loop_timer_start(s->w->loop, &p->timer, time_add(loop_now(s->w->loop), s->delay));
    } else {
        answer_more(p);
    }
}

static void server_closed(void *ctx, struct stream *stream, enum close_reason reason,
                          const char *detail) {
    struct raw_peer *p = ctx;
    struct raw_server *s = p->server;
    (void)stream, (void)reason, (void)detail;
    struct raw_peer **at = &s->peers;
    while (*at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    s->open--;
    loop_timer_stop(s->w->loop, &p->timer);
    buf_free(&p->in);
    free(p);
}

static void server_accepted(void *ctx, struct stream *stream) {
    static const struct stream_events events = {.data = server_data, .closed = server_closed};
    struct raw_server *s = ctx;
    struct raw_peer *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->server = s;
    p->stream = stream;
    p->next = s->peers;
    s->peers = p;
    s->accepted++;
    s->open++;
    buf_init(&p->in, 4 << 20);
    loop_timer_init(&p->timer, on_answer_step, p);
    stream_set_events(stream, &events, p);
}

void raw_server_open(struct raw_server *s, struct world *w, const char *const *answers,
                     size_t count) {
    static const struct listener_events events = {.accepted = server_accepted};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->w = w;
    s->answers = answers;
    s->count = count;
    buf_init(&s->heard, 4 << 20);
    buf_puts(&s->heard, "");
    s->listener = listener_open(w->loop, "127.0.0.1", 0, &events, s, &error);
    if (!s->listener) {
        fail_msg("%s", error.message);
    }
    s->port = listener_port(s->listener);
}

void raw_server_close(struct raw_server *s) {
    listener_close(s->listener);
    for (struct raw_peer *p = s->peers; p; p = p->next) {
        stream_close(p->stream, CLOSE_SHUTDOWN);
    }
    loop_run(s->w->loop);
    buf_free(&s->heard);
}

/* --- a client's call ------------------------------------------------------------------------- */

static void call_over(struct call_log *log) {
    log->call = NULL;
    log->ended = loop_now(log->w->loop);
    if (log->on_end) {
        log->on_end(log);
    }
    if (log->stop) {
        world_stop(log->w);
    }
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    struct call_log *log = ctx;
    assert_ptr_equal(call, log->call);
    assert_int_equal(log->ends + log->fails, 0);
    log->heads++;
    log->status = head->status;
    assert_true(http_headers_write(head->headers, &log->headers));
}

static void on_unpause(struct loop_timer *timer) {
    struct call_log *log = timer->ctx;
    log->paused_len = log->body.len;
    http_call_pause(log->call, false);
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    struct call_log *log = ctx;
    assert_int_equal(log->heads, 1);
    assert_int_equal(log->ends + log->fails, 0);
    assert_true(buf_append(&log->body, data, len));
    log->pieces++;
    if (log->cancel_after && log->body.len >= log->cancel_after) {
        log->facts = *http_call_facts(call);
        http_call_cancel(call);
        call_over(log);
    } else if (log->pause_at && log->body.len >= log->pause_at) {
        log->pause_at = 0;
        http_call_pause(call, true);
        loop_timer_init(&log->timer, on_unpause, log);
        loop_timer_start(log->w->loop, &log->timer,
                         time_add(loop_now(log->w->loop), log->pause_for));
    }
}

static void on_end(void *ctx, struct http_call *call) {
    struct call_log *log = ctx;
    log->ends++;
    log->facts = *http_call_facts(call);
    call_over(log);
}

static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    struct call_log *log = ctx;
    (void)call;
    log->fails++;
    log->facts = failure->facts;
    log->reason = failure->reason;
    str_copy(log->detail, sizeof log->detail, failure->detail);
    call_over(log);
}

void call_begin(struct call_log *log, struct world *w, struct http_client *client,
                const struct http_call_options *options) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    log->w = w;
    log->client = client;
    buf_init(&log->body, 64 << 20);
    buf_puts(&log->body, "");
    buf_init(&log->headers, 1 << 20);
    buf_puts(&log->headers, "");
    if (http_call_start(client, options, &events, log, &log->call, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    assert_int_equal(log->heads + log->ends + log->fails, 0);
}

void call_free(struct call_log *log) {
    buf_free(&log->body);
    buf_free(&log->headers);
}

void call_run(struct call_log *log, struct world *w, struct http_client *client, uint16_t port,
              const char *target, struct http_call_options *options) {
    struct http_url url;
    char text[300];
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", port, target);
    assert_int_equal(http_url_parse(text, &url, NULL), HARDY_OK);
    options->url = &url;
    log->stop = true;
    call_begin(log, w, client, options);
    http_url_free(&url);
    while (log->call) {
        world_run(w);
    }
}

struct http_client *client_new(struct world *w) {
    struct http_client_options options;
    http_client_options_init(&options);
    struct http_client *client = http_client_new(w->loop, &options, NULL);
    assert_non_null(client);
    return client;
}
