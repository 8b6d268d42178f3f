/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"
#include "base/clock.h"
#include "base/str.h"
#include "config/template.h"
#include "io/sim.h"

/* --- the stage ------------------------------------------------------------------------------ */

static void on_line(void *ctx, const char *line, size_t len) {
    struct stage *s = ctx;
    assert_int_equal(line[len - 1], '\n');
    assert_true(buf_append(&s->journal, line, len));
}

void stage_open(struct stage *s, const char *yaml, const struct chaos_journal *replay,
                void (*set)(struct chaos_llm_options *o)) {
    struct sim_options sim;
    hardy_error error;
    *s = (struct stage){0};
    hardy_error_init(&error, sizeof error);
    sim_options_init(&sim);
    sim.end = HARDY_NEVER;
    s->loop = loop_sim_new(&sim, &error);
    assert_non_null(s->loop);
    buf_init(&s->journal, 64 << 20);
    buf_puts(&s->journal, "");
    if (faults_parse("faults.yaml", yaml, strlen(yaml), &s->faults, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    struct chaos_llm_options options;
    chaos_llm_options_init(&options);
    options.faults = &s->faults;
    options.replay = replay;
    options.journal = on_line;
    options.ctx = s;
    if (set) {
        set(&options);
    }
    sim_outside(s->loop, true);
    if (chaos_llm_open(s->loop, &options, &s->llm, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    sim_outside(s->loop, false);
}

void stage_begin(struct stage *s, const char *yaml) {
    stage_open(s, yaml, NULL, NULL);
}

void stage_replay(struct stage *s, const struct chaos_journal *journal) {
    stage_open(s, "", journal, NULL);
}

static void on_hung(struct loop_timer *timer) {
    (void)timer;
    fail_msg("the test hangs");
}

static void run(struct stage *s) {
    struct loop_timer guard;
    loop_timer_init(&guard, on_hung, s);
    loop_timer_start(s->loop, &guard, time_add(loop_now(s->loop), 50 * HARDY_HOUR));
    loop_run(s->loop);
    loop_timer_stop(s->loop, &guard);
}

void stage_run(struct stage *s) {
    while (s->waiting > 0) {
        run(s);
    }
}

static void on_waited(struct loop_timer *timer) {
    struct stage *s = timer->ctx;
    loop_stop(s->loop);
}

void stage_wait(struct stage *s, int64_t span) {
    struct loop_timer timer;
    int64_t until = time_add(loop_now(s->loop), span);
    loop_timer_init(&timer, on_waited, s);
    loop_timer_start(s->loop, &timer, until);
    while (loop_now(s->loop) < until) {
        run(s);
    }
}

static void on_closed_server(void *ctx) {
    struct stage *s = ctx;
    s->counts = *chaos_llm_counts(s->llm);
    s->closed = true;
    s->llm = NULL;
    loop_stop(s->loop);
}

void stage_close(struct stage *s, int64_t span) {
    chaos_llm_close(s->llm, time_add(loop_now(s->loop), span), on_closed_server, s);
    while (!s->closed) {
        run(s);
    }
}

void stage_end(struct stage *s) {
    if (!s->closed) {
        stage_close(s, HARDY_SECOND);
    }
    stage_run(s);
    loop_run(s->loop);
    loop_free(s->loop);
    faults_free(&s->faults);
    buf_free(&s->journal);
}

/* --- a visit -------------------------------------------------------------------------------- */

static void on_connected(void *ctx, struct stream *stream) {
    struct visit *v = ctx;
    assert_true(stream_write(stream, v->request, strlen(v->request)));
    if (v->never_reads) {
        stream_read_pause(stream);
    }
}

static void on_data(void *ctx, struct stream *stream, const char *data, size_t len) {
    struct visit *v = ctx;
    assert_true(buf_append(&v->got, data, len));
    if (v->mark_count < sizeof v->marks / sizeof *v->marks) {
        v->marks[v->mark_count].at = loop_now(v->stage->loop) - v->began;
        v->marks[v->mark_count++].len = v->got.len;
    }
    if (v->leave_at > 0 && v->got.len >= v->leave_at) {
        stream_close(stream, CLOSE_LOCAL);
    }
}

static void on_closed(void *ctx, struct stream *stream, enum close_reason reason,
                      const char *detail) {
    struct visit *v = ctx;
    (void)stream, (void)detail;
    v->closed = true;
    v->stream = NULL;
    v->reason = reason;
    v->ended = loop_now(v->stage->loop) - v->began;
    loop_timer_stop(v->stage->loop, &v->leave);
    v->stage->waiting--;
    loop_stop(v->stage->loop);
}

static void on_leave(struct loop_timer *timer) {
    struct visit *v = timer->ctx;
    stream_close(v->stream, CLOSE_LOCAL);
}

static void on_begin(struct loop_timer *timer) {
    static const struct stream_events events = {
        .connected = on_connected, .data = on_data, .closed = on_closed};
    struct visit *v = timer->ctx;
    struct loop *loop = v->stage->loop;
    v->began = loop_now(loop);
    v->stream = stream_connect(loop, "127.0.0.1", chaos_llm_port(v->stage->llm), &events, v);
    assert_non_null(v->stream);
    if (v->leave_in > 0) {
        loop_timer_start(loop, &v->leave, time_add(v->began, v->leave_in));
    }
}

void visit_begin(struct visit *v, struct stage *s, const char *method, const char *path,
                 const char *headers, const char *body, int64_t delay) {
    v->stage = s;
    v->request = str_format("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s"
                            "Content-Length: %zu\r\n\r\n%s",
                            method, path, headers, strlen(body), body);
    assert_non_null(v->request);
    buf_init(&v->got, 64 << 20);
    buf_puts(&v->got, "");
    buf_init(&v->body, 64 << 20);
    buf_puts(&v->body, "");
    loop_timer_init(&v->begin, on_begin, v);
    loop_timer_init(&v->leave, on_leave, v);
    loop_timer_start(s->loop, &v->begin, time_add(loop_now(s->loop), delay));
    s->waiting++;
}

/* Chunks put together; whether the last one came. */
static bool take_chunks(const char *at, const char *end, struct buf *out) {
    while (at < end) {
        char *data;
        unsigned long size = strtoul(at, &data, 16);
        if (strncmp(data, "\r\n", 2) != 0) {
            return false;
        }
        if (size == 0) {
            return end - data == 4 && memcmp(data, "\r\n\r\n", 4) == 0;
        }
        data += 2;
        if ((size_t)(end - data) < size + 2) {
            return false;
        }
        buf_append(out, data, size);
        at = data + size + 2;
    }
    return false;
}

void visit_parse(struct visit *v) {
    const char *end = strstr(v->got.data, "\r\n\r\n");
    v->length = -1;
    if (!end) {
        assert_int_equal(v->got.len, 0); /* never half a head */
        return;
    }
    assert_int_equal(strncmp(v->got.data, "HTTP/1.1 ", 9), 0);
    v->status = (int)strtol(v->got.data + 9, NULL, 10);
    v->head = str_ndup(v->got.data, (size_t)(end + 2 - v->got.data));
    const char *body = end + 4, *stop = v->got.data + v->got.len;
    if (*visit_header(v, "content-length")) {
        v->length = strtoll(visit_header(v, "content-length"), NULL, 10);
        buf_append(&v->body, body, (size_t)(stop - body));
        v->whole = stop - body == v->length;
    } else {
        assert_string_equal(visit_header(v, "transfer-encoding"), "chunked");
        v->whole = take_chunks(body, stop, &v->body);
    }
}

void visit_free(struct visit *v) {
    free(v->request);
    free(v->head);
    buf_free(&v->got);
    buf_free(&v->body);
}

void visit(struct visit *v, struct stage *s, const char *path, const char *headers,
           const char *body) {
    *v = (struct visit){0};
    visit_begin(v, s, "POST", path, headers, body, 0);
    stage_run(s);
    visit_parse(v);
}

const char *visit_header(const struct visit *v, const char *name) {
    static char value[512];
    char line[80];
    snprintf(line, sizeof line, "\r\n%s: ", name);
    const char *at = v->head ? strstr(v->head, line) : NULL;
    value[0] = '\0';
    if (at) {
        at += strlen(line);
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    }
    return value;
}

int64_t visit_event_at(const struct visit *v, size_t n) {
    const char *at = v->got.data;
    for (size_t i = 0; i <= n; i++) {
        at = strstr(at, "\n\n");
        if (!at) {
            fail_msg("there are only %zu events", i);
            return 0;
        }
        at += 2;
    }
    size_t len = (size_t)(at - v->got.data);
    for (size_t i = 0; i < v->mark_count; i++) {
        if (v->marks[i].len >= len) {
            return v->marks[i].at;
        }
    }
    return HARDY_NEVER;
}

/* --- events --------------------------------------------------------------------------------- */

static void take_line(struct event *e, const char *line, size_t len) {
    if (len > 7 && memcmp(line, "event: ", 7) == 0) {
        snprintf(e->name, sizeof e->name, "%.*s", (int)(len - 7), line + 7);
    } else {
        assert_true(len >= 6 && memcmp(line, "data: ", 6) == 0);
        assert_null(e->data);
        e->data = str_ndup(line + 6, len - 6);
        e->json = json_loads(e->data, 0, NULL);
    }
}

void events_parse(struct events *e, const char *body) {
    *e = (struct events){.items = calloc(strlen(body) / 8 + 1, sizeof *e->items)};
    assert_non_null(e->items);
    while (*body) {
        const char *end = strstr(body, "\n\n");
        assert_non_null(end); /* an event is whole, or not there */
        struct event *one = &e->items[e->count++];
        while (body <= end) {
            size_t len = strcspn(body, "\n");
            take_line(one, body, len);
            body += len + 1;
        }
        assert_non_null(one->data);
        body = end + 2;
    }
}

void events_free(struct events *e) {
    for (size_t i = 0; i < e->count; i++) {
        free(e->items[i].data);
        json_decref(e->items[i].json);
    }
    free(e->items);
}

json_t *json_at(json_t *root, const char *path) {
    return template_walk(root, path);
}
