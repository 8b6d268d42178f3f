/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "health/check.h"
#include "health/looking.h"
#include "health/speak.h"
#include "http/fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BODY = 1 << 20, MAX_OUTPUT = 4 << 10, MAX_MESSAGE = 200 };

/* One run of one check. Ends in tell(), once. */
struct check_probe {
    struct loop *loop;
    struct http_client *client;
    const struct check_settings *check;
    check_done done;
    void *ctx;
    struct loop_timer timer;
    int64_t started;
    struct http_fetch *fetch;
    struct http_url url;
    struct stream *stream;
    struct process *process;
    struct buf said; /* by the server or the command */
    struct buf ask;  /* to be said when it is connected */
    bool authenticated;
    struct looking *looking;
    hardy_error error;
};

static void ignore_stream(void *ctx, struct stream *s) {
    (void)ctx;
    (void)s;
}

static void ignore_data(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)data;
    (void)len;
    ignore_stream(ctx, s);
}

static void ignore_closed(void *ctx, struct stream *s, enum close_reason reason,
                          const char *detail) {
    (void)reason;
    (void)detail;
    ignore_stream(ctx, s);
}

/* Of a connection whose answer is known: it only has to go away. */
static const struct stream_events nobody = {
    .connected = ignore_stream, .data = ignore_data, .closed = ignore_closed};

void check_probe_cancel(struct check_probe *p) {
    loop_timer_stop(p->loop, &p->timer);
    if (p->fetch)
        http_fetch_cancel(p->fetch);
    if (p->process) {
        process_signal(p->process, 9);
        process_free(p->process);
    }
    if (p->stream) {
        stream_set_events(p->stream, &nobody, NULL);
        stream_close(p->stream, CLOSE_SHUTDOWN);
    }
    if (p->looking)
        looking_cancel(p->looking);
    http_url_free(&p->url);
    buf_free(&p->said);
    buf_free(&p->ask);
    free(p);
}

static void tell(struct check_probe *p, enum check_result result, const char *message) {
    int64_t took = loop_now(p->loop) - p->started;
    check_done done = p->done;
    void *ctx = p->ctx;
    char text[MAX_MESSAGE];
    str_copy(text, sizeof text, message);
    str_make_printable(text);
    check_probe_cancel(p);
    done(ctx, result, text, took);
}

/* A good answer, which may have come too late. */
static void tell_answer(struct check_probe *p, enum check_result result, const char *message) {
    int64_t took = loop_now(p->loop) - p->started, limit = p->check->response_below;
    char text[MAX_MESSAGE], span[48], below[48];
    if (result != CHECK_PASS || limit == 0 || took < limit) {
        tell(p, result, message);
        return;
    }
    format_duration_short(took, span);
    format_duration(limit, below);
    snprintf(text, sizeof text, "%.80s, in %s, not below %s", message, span, below);
    tell(p, CHECK_FAIL, text);
}

/* Nothing was heard. Of a number nothing is known then; everything else has failed. */
static void tell_silence(struct check_probe *p, const char *message) {
    tell(p, p->check->kind == CHECK_NUMBER ? CHECK_UNKNOWN : CHECK_FAIL, message);
}

static void on_timeout(struct loop_timer *timer) {
    struct check_probe *p = timer->ctx;
    char message[MAX_MESSAGE], span[48];
    format_duration(p->check->timeout, span);
    snprintf(message, sizeof message, "no answer within %s", span);
    tell_silence(p, message);
}

static void on_cannot_start(struct loop_timer *timer) {
    struct check_probe *p = timer->ctx;
    if (p->error.status == HARDY_E_FULL)
        tell_silence(p, p->error.message);
    else
        tell(p, CHECK_UNKNOWN, p->error.message);
}

/* What went wrong on this side (no descriptor left) says nothing about the far side. */
static void tell_closed(struct check_probe *p, enum close_reason reason, const char *message) {
    if (reason == CLOSE_ERROR)
        tell(p, CHECK_UNKNOWN, message);
    else
        tell_silence(p, message);
}

static void tell_number(struct check_probe *p, const char *text, size_t len) {
    struct heard heard;
    number_hear(&p->check->number, text, len, &heard);
    tell(p, heard.result, heard.message);
}

/* --- http ------------------------------------------------------------------------------------- */

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    bool good = f->status >= 200 && f->status < 400;
    p->fetch = NULL;
    if (f->complete) {
        snprintf(message, sizeof message, "answered %d %s", f->status, http_status_text(f->status));
        if (p->check->kind == CHECK_NUMBER && good)
            tell_number(p, f->body, f->body_len);
        else if (good)
            tell_answer(p, CHECK_PASS, message);
        else
            tell_silence(p, message);
    } else if (f->reason == CLOSE_TIMEOUT) {
        on_timeout(&p->timer);
    } else {
        tell_closed(p, f->reason, http_fetched_why(f));
    }
}

static hardy_status start_http(struct check_probe *p, const char *url) {
    struct http_call_options options;
    http_call_options_init(&options);
    hardy_status status = http_url_parse(url, &p->url, &p->error);
    if (status != HARDY_OK)
        return status;
    options.url = &p->url;
    options.fresh = true; /* a kept connection would not notice that nobody accepts any more */
    options.deadline = time_add(p->started, p->check->timeout);
    return http_fetch_start(p->client, &options, MAX_BODY, on_fetched, p, &p->fetch, &p->error);
}

/* --- tcp, redis, postgresql --------------------------------------------------------------------
 */

static void on_connected(void *ctx, struct stream *s) {
    struct check_probe *p = ctx;
    if (p->ask.len > 0)
        stream_write(s, p->ask.data, p->ask.len);
    else
        tell_answer(p, CHECK_PASS, "connected");
}

static void on_said(void *ctx, struct stream *s, const char *data, size_t len) {
    struct check_probe *p = ctx;
    struct heard heard = {.result = CHECK_FAIL, .message = "says more than was asked"};
    (void)s;
    bool kept = buf_append(&p->said, data, len);
    bool whole = p->check->kind == CHECK_REDIS
                     ? redis_hear(p->said.data, p->said.len, p->authenticated, &heard)
                     : postgresql_hear(p->said.data, p->said.len, &heard);
    if (whole || !kept)
        tell_answer(p, heard.result, heard.message);
}

static void on_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    (void)s;
    p->stream = NULL;
    str_copy(message, sizeof message,
             reason == CLOSE_RESOLVE || reason == CLOSE_ERROR ? detail : close_reason_text(reason));
    tell_closed(p, reason, message);
}

static hardy_status connect_to(struct check_probe *p) {
    static const struct stream_events connects = {
        .connected = on_connected, .data = ignore_data, .closed = on_closed};
    static const struct stream_events speaks = {
        .connected = on_connected, .data = on_said, .closed = on_closed};
    struct http_authority address;
    if (p->ask.failed || !check_address(p->check, &address))
        return fail(&p->error, HARDY_E_NOMEM, NULL, "no memory to connect");
    p->stream = stream_connect(p->loop, address.host, address.port,
                               p->check->kind == CHECK_TCP ? &connects : &speaks, p);
    return p->stream ? HARDY_OK : fail(&p->error, HARDY_E_NOMEM, NULL, "no memory to connect");
}

/* `password` NULL: none is needed. */
static hardy_status start_redis(struct check_probe *p, const char *password, size_t len) {
    p->authenticated = password != NULL;
    redis_ask(&p->check->redis, password, len, &p->ask);
    return connect_to(p);
}

static hardy_status start_postgresql(struct check_probe *p) {
    postgresql_ask(&p->check->postgresql, &p->ask);
    return connect_to(p);
}

/* --- command ---------------------------------------------------------------------------------- */

static void on_output(void *ctx, struct process *process, int fd, const char *data, size_t len) {
    struct check_probe *p = ctx;
    (void)process;
    if (p->check->kind != CHECK_NUMBER || fd == 1)
        buf_append(&p->said, data, len);
}

static void on_exited(void *ctx, struct process *process, int code, int signal) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    process_free(process);
    p->process = NULL;
    const char *line = p->said.data ? p->said.data : "";
    int len = (int)strcspn(line, "\n");
    len = len > 150 ? 150 : len;
    if (code == 0 && !signal && p->check->kind == CHECK_NUMBER) {
        tell_number(p, line, p->said.len);
        return;
    }
    if (signal)
        snprintf(message, sizeof message, "killed by signal %d", signal);
    else if (code == 0 && len > 0)
        snprintf(message, sizeof message, "%.*s", len, line);
    else
        snprintf(message, sizeof message, "exit code %d%s%.*s", code, len > 0 ? ": " : "", len,
                 line);
    if (code == 126 || code == 127)
        tell(p, CHECK_UNKNOWN, message);
    else if (code || signal)
        tell_silence(p, message);
    else
        tell(p, CHECK_PASS, message);
}

static hardy_status start_command(struct check_probe *p, const struct schema_command *command) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    process_options_init(&options);
    options.argv = (const char *const *)command->argv;
    options.capture_stdout = options.capture_stderr = true;
    options.cwd = p->check->folder;
    return process_start(p->loop, &options, &events, p, &p->process, &p->error);
}

/* --- this host -------------------------------------------------------------------------------- */

static void on_looked(void *ctx, const struct local_look *seen) {
    struct check_probe *p = ctx;
    p->looking = NULL;
    if (seen->result == CHECK_PASS && p->check->kind == CHECK_NUMBER) {
        tell_number(p, seen->text.data ? seen->text.data : "", seen->text.len);
    } else if (seen->result == CHECK_PASS && p->check->kind == CHECK_REDIS) {
        const char *password = seen->text.data ? seen->text.data : "";
        if (start_redis(p, password, strcspn(password, "\r\n")) != HARDY_OK)
            tell(p, CHECK_UNKNOWN, p->error.message);
    } else {
        tell(p, seen->result, seen->message);
    }
}

/* --- all of them ------------------------------------------------------------------------------ */

static hardy_status start(struct check_probe *p) {
    const struct check_settings *c = p->check;
    if (check_is_local(c))
        return looking_start(p->loop, c, on_looked, p, &p->looking, &p->error);
    switch (c->kind) {
    case CHECK_HTTP:
        return start_http(p, c->http);
    case CHECK_REDIS:
        return start_redis(p, NULL, 0);
    case CHECK_POSTGRESQL:
        return start_postgresql(p);
    case CHECK_COMMAND:
        return start_command(p, &c->command);
    case CHECK_NUMBER:
        return c->number.http ? start_http(p, c->number.http)
                              : start_command(p, &c->number.command);
    default:
        return connect_to(p);
    }
}

struct check_probe *check_probe_start(struct loop *loop, struct http_client *client,
                                      const struct check_settings *c, check_done done, void *ctx) {
    struct check_probe *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->loop = loop;
    p->client = client;
    p->check = c;
    p->done = done;
    p->ctx = ctx;
    p->started = loop_now(loop);
    buf_init(&p->said, c->kind == CHECK_NUMBER ? MAX_BODY : MAX_OUTPUT);
    buf_init(&p->ask, MAX_OUTPUT);
    hardy_error_init(&p->error, sizeof p->error);
    loop_timer_init(&p->timer, on_timeout, p);
    hardy_status status = start(p);
    if (status != HARDY_OK) {
        loop_timer_init(&p->timer, on_cannot_start, p);
        loop_timer_start(loop, &p->timer, p->started);
    } else if (!p->fetch) { /* which has its own limit */
        loop_timer_start(loop, &p->timer, time_add(p->started, c->timeout));
    }
    return p;
}
