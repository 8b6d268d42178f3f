/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "degrade/process.h"
#include "http/fetch.h"
#include "io/file.h"
#include <hardy/outcome.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ANSWER = 1 << 20, MAX_COMPLAINT = 160, MAX_WHY = 240 };

/* Files are read off the loop, where they cannot be stopped: such a reading outlives its ask, which
 * it then no longer knows. */
struct reading {
    struct ask *ask; /* NULL: nobody waits any more */
    struct loop_work work;
    bool is_process;
    size_t tail;
    char *path;
    struct buf answer;
    hardy_error error;
};

struct ask {
    struct loop *loop;
    const struct source_settings *source;
    void (*done)(void *ctx, const struct asked *asked);
    void *ctx;
    struct loop_timer timer;
    struct http_fetch *fetch;
    struct http_url url;
    struct process *process;
    struct reading *reading;
    bool late; /* has printed too much, and is being ended */
    struct buf answer;
    char complaint[MAX_COMPLAINT]; /* the beginning of standard error */
    hardy_error error;
};

static void free_reading(struct reading *r) {
    buf_free(&r->answer);
    free(r->path);
    free(r);
}

void ask_cancel(struct ask *a) {
    loop_timer_stop(a->loop, &a->timer);
    if (a->fetch)
        http_fetch_cancel(a->fetch);
    if (a->process) {
        process_signal(a->process, 9);
        process_free(a->process);
    }
    if (a->reading)
        a->reading->ask = NULL;
    http_url_free(&a->url);
    buf_free(&a->answer);
    free(a);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void tell(struct ask *a, char *data, const char *why, hardy_outcome outcome) {
    void (*done)(void *ctx, const struct asked *asked) = a->done;
    void *ctx = a->ctx;
    char text[MAX_WHY];
    str_copy(text, sizeof text, data ? "" : why);
    ask_cancel(a);
    done(ctx, &(struct asked){.data = data, .why = text, .outcome = outcome});
}

/* NULL: there was no memory for it. */
static void tell_data(struct ask *a, char *data) {
    static const hardy_outcome none = {.kind = HARDY_IGNORED, .effect = HARDY_EFFECT_NONE};
    static const hardy_outcome good = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    tell(a, data, "no memory", data ? good : none);
}

/* Something on this side: the file, the program, the pid file. Asked again, it says the same. */
static void tell_broken(struct ask *a, const char *why) {
    tell(a, NULL, why,
         (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE, .permanent = true});
}

static void tell_late(struct ask *a) {
    char why[MAX_WHY], text[48];
    format_duration_short(a->source->timeout, text);
    snprintf(why, sizeof why, "no answer within %s", text);
    tell(a, NULL, why, hardy_outcome_of_timeout(true));
}

static void on_late(struct loop_timer *timer) {
    tell_late(timer->ctx);
}

static void on_cannot_start(struct loop_timer *timer) {
    struct ask *a = timer->ctx;
    tell_broken(a, a->error.message);
}

/* --- as JSON ---------------------------------------------------------------------------------- */

/* As a JSON string. A NUL would make the whole evidence unreadable. */
static char *text_as_json(char *text, size_t len) {
    struct buf out;
    buf_init(&out, 8 * MAX_ANSWER);
    for (size_t i = 0; i < len; i++)
        text[i] = text[i] ? text[i] : ' ';
    json_put_quoted(&out, text, len);
    char *json = out.failed ? NULL : buf_take(&out);
    buf_free(&out);
    return json;
}

/* JSON that reads back the same wherever the evidence is read: written anew, because names may come
 * twice, numbers be too large and nesting too deep. NULL = it is none. */
static char *strict_json(const char *text, size_t len) {
    if (json_check(text, len, NULL) != HARDY_OK)
        return NULL;
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY, NULL);
    char *json = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    json_decref(value);
    return json;
}

/* nginx's stub_status page as an object; NULL when it is not one. */
static char *stub_status(const char *text) {
    long active, accepts, handled, requests, reading, writing, waiting;
    if (sscanf(text,
               "Active connections: %ld server accepts handled requests %ld %ld "
               "%ld Reading: %ld "
               "Writing: %ld Waiting: %ld",
               &active, &accepts, &handled, &requests, &reading, &writing, &waiting) != 7)
        return NULL;
    return str_format("{\"active\":%ld,\"accepts\":%ld,\"handled\":%ld,\"requests\":%ld,"
                      "\"reading\":%ld,\"writing\":%ld,\"waiting\":%ld}",
                      active, accepts, handled, requests, reading, writing, waiting);
}

static char *any_as_json(char *text, size_t len) {
    char *json = strict_json(text, len);
    json = json ? json : stub_status(text);
    return json ? json : text_as_json(text, len);
}

/* --- http ------------------------------------------------------------------------------------- */

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct ask *a = ctx;
    char why[MAX_WHY];
    a->fetch = NULL;
    if (f->complete && f->status >= 200 && f->status <= 299) {
        char *body = str_ndup(f->body, f->body_len);
        char *json = body ? any_as_json(body, f->body_len) : NULL;
        free(body);
        tell_data(a, json);
    } else if (f->complete) {
        hardy_outcome outcome = hardy_outcome_of_http(f->status, f->retry_after);
        if (outcome.kind == HARDY_SUCCESS) { /* redirects are not followed: no data either */
            outcome.kind = HARDY_IGNORED;
            outcome.permanent = true;
        }
        snprintf(why, sizeof why, "answered %d %s", f->status, http_status_text(f->status));
        tell(a, NULL, why, outcome);
    } else if (f->reason == CLOSE_TIMEOUT) {
        tell_late(a);
    } else {
        tell(a, NULL, http_fetched_why(f),
             (hardy_outcome){.kind = HARDY_FAILURE,
                             .effect = f->facts.sent ? HARDY_EFFECT_UNKNOWN : HARDY_EFFECT_NONE,
                             .permanent = f->reason == CLOSE_TOO_LARGE});
    }
}

static hardy_status start_http(struct ask *a, const struct ask_world *world, int64_t limit) {
    struct http_call_options options;
    http_call_options_init(&options);
    hardy_status status = http_url_parse(a->source->http, &a->url, &a->error);
    if (status != HARDY_OK)
        return status;
    options.url = &a->url;
    options.deadline = limit;
    return http_fetch_start(world->client, &options, MAX_ANSWER, on_fetched, a, &a->fetch,
                            &a->error);
}

/* --- files and processes ---------------------------------------------------------------------- */

static char *buffer_as_json(struct buf *b, char *(*convert)(char *text, size_t len)) {
    char none[] = "";
    return convert(b->data ? b->data : none, b->len);
}

static void read_off_loop(struct loop_work *work) {
    struct reading *r = work->ctx;
    if (r->is_process)
        process_evidence(r->path, &r->answer, &r->error);
    else
        file_read_tail(r->path, r->tail, &r->answer, &r->error);
}

static void on_read(struct loop_work *work) {
    struct reading *r = work->ctx;
    struct ask *a = r->ask;
    if (a) {
        a->reading = NULL;
        if (r->error.status != HARDY_OK)
            tell_broken(a, r->error.message);
        else
            tell_data(a, r->is_process ? buf_take(&r->answer)
                                       : buffer_as_json(&r->answer, text_as_json));
    }
    free_reading(r);
}

static hardy_status start_reading(struct ask *a, const struct ask_world *world, const char *path,
                                  bool is_process) {
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return fail(&a->error, HARDY_E_NOMEM, path, "no memory to read it");
    r->ask = a;
    r->is_process = is_process;
    r->tail = (size_t)a->source->tail;
    r->path = path[0] != '/' && world->cwd ? str_format("%s/%s", world->cwd, path) : str_dup(path);
    buf_init(&r->answer, MAX_ANSWER);
    hardy_error_init(&r->error, sizeof r->error);
    r->work = (struct loop_work){.fn = read_off_loop, .done = on_read, .ctx = r};
    if (!r->path || loop_work(a->loop, &r->work) != HARDY_OK) {
        free_reading(r);
        return fail(&a->error, HARDY_E_NOMEM, path, "no memory to read it");
    }
    a->reading = r;
    return HARDY_OK;
}

/* --- commands --------------------------------------------------------------------------------- */

static void on_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    struct ask *a = ctx;
    size_t used = strlen(a->complaint), room = sizeof a->complaint - 1 - used;
    if (fd == 2) {
        len = len < room ? len : room;
        memcpy(a->complaint + used, data, len);
        a->complaint[used + len] = '\0';
    } else if (!buf_append(&a->answer, data, len) && !a->late) {
        a->late = true; /* on_exited() tells why */
        process_signal(p, 9);
    }
}

static void on_exited(void *ctx, struct process *p, int code, int signal) {
    struct ask *a = ctx;
    char why[MAX_WHY];
    process_free(p);
    a->process = NULL;
    a->complaint[strcspn(a->complaint, "\r\n")] = '\0';
    str_make_printable(a->complaint);
    if (a->late) {
        tell_broken(a, "printed more than 1 MiB");
    } else if (signal) {
        snprintf(why, sizeof why, "killed by signal %d", signal);
        tell(a, NULL, why, hardy_outcome_of_signal(signal));
    } else if (code) {
        snprintf(why, sizeof why, "exit code %d%s%s", code, a->complaint[0] ? ": " : "",
                 a->complaint);
        tell(a, NULL, why, hardy_outcome_of_exit(code));
    } else {
        tell_data(a, buffer_as_json(&a->answer, any_as_json));
    }
}

static hardy_status start_command(struct ask *a, const struct ask_world *world) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    process_options_init(&options);
    options.argv = (const char *const *)a->source->command.argv;
    options.env = world->env;
    options.cwd = world->cwd;
    options.capture_stdout = options.capture_stderr = true;
    return process_start(a->loop, &options, &events, a, &a->process, &a->error);
}

/* --- asking ----------------------------------------------------------------------------------- */

hardy_status ask_start(const struct ask_world *world, const struct source_settings *source,
                       void (*done)(void *ctx, const struct asked *asked), void *ctx,
                       struct ask **out) {
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        return HARDY_E_NOMEM;
    int64_t now = loop_now(world->loop), limit = time_add(now, source->timeout);
    *a = (struct ask){.loop = world->loop, .source = source, .done = done, .ctx = ctx};
    buf_init(&a->answer, MAX_ANSWER);
    hardy_error_init(&a->error, sizeof a->error);
    loop_timer_init(&a->timer, on_late, a);
    hardy_status status = source->http      ? start_http(a, world, limit)
                          : source->file    ? start_reading(a, world, source->file, false)
                          : source->process ? start_reading(a, world, source->process, true)
                                            : start_command(a, world);
    if (status != HARDY_OK)
        loop_timer_init(&a->timer, on_cannot_start, a);
    if (status != HARDY_OK || !source->http)
        loop_timer_start(a->loop, &a->timer, status == HARDY_OK ? limit : now);
    *out = a;
    return HARDY_OK;
}
