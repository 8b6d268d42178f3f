/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "health/check.h"
#include "health/host.h"
#include "http/fetch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BODY = 1 << 20, MAX_OUTPUT = 4 << 10, MAX_MESSAGE = 200 };

/* One run of one check. Ends in tell(), once; memory and disk are read off the loop, where a hung
 * file system can only cost a thread, and such a run outlives its being cancelled. */
struct check_probe {
    struct loop *loop;
    const struct check_settings *check;
    check_done done;
    void *ctx;
    struct loop_timer timer;
    int64_t started;
    struct http_fetch *fetch;
    struct http_url url;
    struct stream *stream;
    struct process *process;
    struct buf output;
    struct loop_work work;
    bool working, over;
    struct host_reading reading;
    char *disk; /* of the check, which may be gone before the work is done */
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

static void free_probe(struct check_probe *p) {
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
    http_url_free(&p->url);
    buf_free(&p->output);
    free(p->disk);
    free(p);
}

/* Frees the probe unless a thread still reads for it; on_read() does it then. */
static void let_go(struct check_probe *p) {
    p->over = true;
    if (!p->working)
        free_probe(p);
    else
        loop_timer_stop(p->loop, &p->timer);
}

static void tell(struct check_probe *p, enum check_result result, const char *message) {
    int64_t took = loop_now(p->loop) - p->started;
    check_done done = p->done;
    void *ctx = p->ctx;
    char text[MAX_MESSAGE];
    str_copy(text, sizeof text, message);
    str_make_printable(text);
    let_go(p);
    done(ctx, result, text, took);
}

static void on_timeout(struct loop_timer *timer) {
    struct check_probe *p = timer->ctx;
    char message[MAX_MESSAGE], span[48];
    format_duration(p->check->timeout, span);
    snprintf(message, sizeof message, "no answer within %s", span);
    tell(p, CHECK_FAIL, message);
}

static void on_cannot_start(struct loop_timer *timer) {
    struct check_probe *p = timer->ctx;
    tell(p, CHECK_UNKNOWN, p->error.message);
}

/* What went wrong on this side (no descriptor left) says nothing about the far side. */
static enum check_result closed_by(enum close_reason reason) {
    return reason == CLOSE_ERROR ? CHECK_UNKNOWN : CHECK_FAIL;
}

/* --- http ------------------------------------------------------------------------------------- */

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    p->fetch = NULL;
    if (f->complete) {
        snprintf(message, sizeof message, "answered %d %s", f->status, http_status_text(f->status));
        tell(p, f->status >= 200 && f->status < 400 ? CHECK_PASS : CHECK_FAIL, message);
    } else if (f->reason == CLOSE_TIMEOUT) {
        on_timeout(&p->timer);
    } else {
        tell(p, closed_by(f->reason), http_fetched_why(f));
    }
}

static hardy_status start_http(struct check_probe *p, struct http_client *client) {
    struct http_call_options options;
    http_call_options_init(&options);
    hardy_status status = http_url_parse(p->check->http, &p->url, &p->error);
    if (status != HARDY_OK)
        return status;
    options.url = &p->url;
    options.fresh = true; /* a kept connection would not notice that nobody accepts any more */
    options.deadline = time_add(p->started, p->check->timeout);
    return http_fetch_start(client, &options, MAX_BODY, on_fetched, p, &p->fetch, &p->error);
}

/* --- tcp -------------------------------------------------------------------------------------- */

static void on_connected(void *ctx, struct stream *s) {
    (void)s;
    tell(ctx, CHECK_PASS, "connected");
}

static void on_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    (void)s;
    p->stream = NULL;
    str_copy(message, sizeof message,
             reason == CLOSE_RESOLVE || reason == CLOSE_ERROR ? detail : close_reason_text(reason));
    tell(p, closed_by(reason), message);
}

static hardy_status start_tcp(struct check_probe *p) {
    static const struct stream_events events = {
        .connected = on_connected, .data = ignore_data, .closed = on_closed};
    struct http_authority address;
    hardy_status status =
        http_authority_parse(p->check->tcp, strlen(p->check->tcp), &address, &p->error);
    if (status != HARDY_OK)
        return status;
    p->stream = stream_connect(p->loop, address.host, address.port, &events, p);
    return p->stream ? HARDY_OK : fail(&p->error, HARDY_E_NOMEM, NULL, "no memory to connect");
}

/* --- command ---------------------------------------------------------------------------------- */

static void on_output(void *ctx, struct process *process, int fd, const char *data, size_t len) {
    struct check_probe *p = ctx;
    (void)process;
    (void)fd;
    buf_append(&p->output, data, len);
}

static void on_exited(void *ctx, struct process *process, int code, int signal) {
    struct check_probe *p = ctx;
    char message[MAX_MESSAGE];
    process_free(process);
    p->process = NULL;
    const char *line = p->output.data ? p->output.data : "";
    int len = (int)strcspn(line, "\n");
    if (signal)
        snprintf(message, sizeof message, "killed by signal %d", signal);
    else if (code == 0 && len > 0)
        snprintf(message, sizeof message, "%.*s", len > 150 ? 150 : len, line);
    else
        snprintf(message, sizeof message, "exit code %d%s%.*s", code, len > 0 ? ": " : "",
                 len > 150 ? 150 : len, line);
    tell(p,
         code == 126 || code == 127 ? CHECK_UNKNOWN
         : code || signal           ? CHECK_FAIL
                                    : CHECK_PASS,
         message);
}

static hardy_status start_command(struct check_probe *p) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    process_options_init(&options);
    options.argv = (const char *const *)p->check->command.argv;
    options.capture_stdout = options.capture_stderr = true;
    options.cwd = p->check->folder;
    return process_start(p->loop, &options, &events, p, &p->process, &p->error);
}

/* --- memory and disk -------------------------------------------------------------------------- */

static void read_host(struct loop_work *work) {
    struct check_probe *p = work->ctx;
    host_read(p->disk, &p->reading);
}

static void on_read(struct loop_work *work) {
    struct check_probe *p = work->ctx;
    char message[MAX_MESSAGE];
    p->working = false;
    if (p->over) {
        free_probe(p);
        return;
    }
    const struct host_reading *r = &p->reading;
    if (r->error[0]) {
        tell(p, CHECK_UNKNOWN, r->error);
    } else if (p->check->disk) {
        snprintf(message, sizeof message, "%llu MiB free",
                 (unsigned long long)(r->disk_free >> 20));
        tell(p, r->disk_free >= p->check->disk_free ? CHECK_PASS : CHECK_FAIL, message);
    } else {
        snprintf(message, sizeof message, "%.0f %% of %llu MiB in use", 100 * r->memory_used,
                 (unsigned long long)(r->memory_limit >> 20));
        tell(p, r->memory_used < p->check->memory_below ? CHECK_PASS : CHECK_FAIL, message);
    }
}

static hardy_status start_host(struct check_probe *p) {
    p->work = (struct loop_work){.fn = read_host, .done = on_read, .ctx = p};
    p->disk = p->check->disk && p->check->disk[0] != '/' && p->check->folder
                  ? str_format("%s/%s", p->check->folder, p->check->disk)
                  : str_dup(p->check->disk);
    if (p->check->disk && !p->disk)
        return fail(&p->error, HARDY_E_NOMEM, NULL, "no memory");
    hardy_status status = loop_work(p->loop, &p->work);
    p->working = status == HARDY_OK;
    return status;
}

struct check_probe *check_probe_start(struct loop *loop, struct http_client *client,
                                      const struct check_settings *c, check_done done, void *ctx) {
    struct check_probe *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->loop = loop;
    p->check = c;
    p->done = done;
    p->ctx = ctx;
    p->started = loop_now(loop);
    buf_init(&p->output, MAX_OUTPUT);
    hardy_error_init(&p->error, sizeof p->error);
    loop_timer_init(&p->timer, on_timeout, p);
    hardy_status status = c->http           ? start_http(p, client)
                          : c->tcp          ? start_tcp(p)
                          : c->command.argv ? start_command(p)
                                            : start_host(p);
    if (status != HARDY_OK) {
        loop_timer_init(&p->timer, on_cannot_start, p);
        loop_timer_start(loop, &p->timer, p->started);
    } else if (!c->http) {
        loop_timer_start(loop, &p->timer, time_add(p->started, c->timeout));
    }
    return p;
}

void check_probe_cancel(struct check_probe *p) {
    let_go(p);
}
