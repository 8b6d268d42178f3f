/* SPDX-License-Identifier: Apache-2.0 */
#include "notify/deliver.h"
#include "base/clock.h"
#include "base/str.h"
#include "io/file.h"
#include "work/environment.h"
#include "work/secrets.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ANSWER = 64 << 10, MAX_BODY = 4 << 20, MAX_OUTPUT = 4 << 10 };
static const int64_t kill_after = 2 * HARDY_SECOND;

struct delivery {
    struct loop *loop;
    const struct notify_target *target;
    deliver_done done;
    void *ctx;
    struct delivery **place;
    struct http_fetch *fetch;
    struct process *process;
    struct loop_timer kill;
    bool stopped;
    struct buf output;
};

static void finish(struct delivery *d, const hardy_outcome *outcome, const char *said) {
    char text[DELIVER_SAID];
    size_t len;
    deliver_done done = d->done;
    void *ctx = d->ctx;
    str_copy(text, sizeof text, said);
    len = strlen(text);
    secrets_mask(d->target->secrets, text, &len);
    str_make_printable(text);
    *d->place = NULL;
    loop_timer_stop(d->loop, &d->kill);
    if (d->fetch)
        http_fetch_cancel(d->fetch);
    if (d->process)
        process_free(d->process);
    buf_free(&d->output);
    free(d);
    done(ctx, outcome, text);
}

/* What hinders it is here, and may be gone later. */
static void cannot(struct delivery *d, const char *why) {
    const hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
    finish(d, &outcome, why);
}

/* --- standard error --------------------------------------------------------------------------- */

static void print(struct delivery *d, const struct message *m) {
    const hardy_outcome outcome = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    char *line = str_format("%s [%s] %s (%s)", m->over ? "RESOLVED" : "PAGE", d->target->name,
                            m->summary, m->dedup_key);
    if (line) {
        size_t len = strlen(line);
        str_make_printable(line);
        line[len] = '\n'; /* one write, so that it stays one line */
        ssize_t written = write(STDERR_FILENO, line, len + 1);
        (void)written; /* nobody is left to tell */
    }
    free(line);
    finish(d, &outcome, "printed");
}

/* --- HTTP ------------------------------------------------------------------------------------- */

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct delivery *d = ctx;
    const struct channel *channel = channel_of((enum notify_type)d->target->type);
    hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    struct buf words;
    char said[DELIVER_SAID];
    d->fetch = NULL;
    if (!f->complete) {
        if (!f->facts.sent)
            outcome.effect = HARDY_EFFECT_NONE;
        finish(d, &outcome, http_fetched_why(f));
        return;
    }
    outcome = channel->judge(f);
    buf_init(&words, DELIVER_SAID);
    channel->words(f, &words);
    snprintf(said, sizeof said, "answered %d %s%s%s", f->status, http_status_text(f->status),
             words.len ? ": " : "", words.len ? words.data : "");
    buf_free(&words);
    finish(d, &outcome, said);
}

static void call(struct delivery *d, struct http_client *client, const struct message *m,
                 int64_t deadline) {
    const struct channel *channel = channel_of((enum notify_type)d->target->type);
    struct http_call_options options;
    struct http_headers headers;
    struct buf body;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_call_options_init(&options);
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    buf_init(&body, MAX_BODY);
    bool good = http_headers_add(&headers, "Content-Type", "application/json") == HARDY_OK &&
                http_headers_add(&headers, "Idempotency-Key", m->id) == HARDY_OK &&
                channel->compose(d->target, m, &headers, &body);
    options.method = "POST";
    options.url = &d->target->address;
    options.headers = &headers;
    options.body = body.data;
    options.body_len = body.len;
    options.deadline = deadline;
    options.fresh = true;
    hardy_status status =
        good ? http_fetch_start(client, &options, MAX_ANSWER, on_fetched, d, &d->fetch, &error)
             : HARDY_E_NOMEM;
    http_headers_free(&headers);
    buf_free(&body);
    if (status != HARDY_OK)
        cannot(d, good ? error.message : "no memory for the request");
}

/* --- command ---------------------------------------------------------------------------------- */

static void on_output(void *ctx, struct process *process, int fd, const char *data, size_t len) {
    struct delivery *d = ctx;
    (void)process;
    (void)fd;
    buf_append(&d->output, data, len); /* its beginning is enough */
}

static void on_exited(void *ctx, struct process *process, int code, int signum) {
    struct delivery *d = ctx;
    char said[DELIVER_SAID];
    const char *line = d->output.data ? d->output.data : "";
    /* Nothing but 0 is an answer: a command that is not there now may be installed any moment. */
    hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN, .code = code};
    if (!signum && code == 0)
        outcome = (hardy_outcome){.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    process_signal(process, SIGKILL); /* what it has left behind */
    if (d->stopped)
        snprintf(said, sizeof said, "ended after its timeout");
    else if (signum)
        snprintf(said, sizeof said, "killed by signal %d", signum);
    else
        snprintf(said, sizeof said, "exit code %d%s%.*s", code, *line ? ": " : "",
                 (int)strcspn(line, "\n"), line);
    finish(d, &outcome, said);
}

static char **environment_of(const struct deliver_world *world, const struct message *m) {
    struct environment e = {0};
    environment_add(&e, world->env);
    environment_set(&e, "HARDY_NOTICE_ACTION", "%s", m->action);
    environment_set(&e, "HARDY_NOTICE_DEDUP_KEY", "%s", m->dedup_key);
    environment_set(&e, "HARDY_NOTICE_SUMMARY", "%s", m->summary);
    environment_set(&e, "HARDY_NOTICE_SEVERITY", "%s", m->severity);
    environment_set(&e, "HARDY_NOTICE_SOURCE", "%s", m->source);
    environment_set(&e, "HARDY_NOTICE_TIMESTAMP", "%s", m->timestamp);
    environment_set(&e, "HARDY_IDEMPOTENCY_KEY", "%s", m->id);
    return environment_take(&e);
}

static void run(struct delivery *d, const struct deliver_world *world, const struct message *m) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    char *text = json_dumps(m->notice, JSON_COMPACT);
    char **env = environment_of(world, m);
    int input = text ? file_memory(text, strlen(text), &error) : -1;
    process_options_init(&options);
    options.argv = (const char *const *)d->target->run.argv;
    options.env = (const char *const *)env;
    options.cwd = d->target->folder;
    options.stdin_mode = PROCESS_STDIN_FD;
    options.stdin_fd = input;
    options.capture_stdout = options.capture_stderr = true;
    hardy_status status = env && input >= 0
                              ? process_start(d->loop, &options, &events, d, &d->process, &error)
                              : HARDY_E_NOMEM;
    if (input >= 0)
        close(input);
    environment_free_list(env);
    free(text);
    if (status != HARDY_OK)
        cannot(d, error.message[0] ? error.message : "no memory to run it");
}

static void on_kill(struct loop_timer *timer) {
    struct delivery *d = timer->ctx;
    process_signal(d->process, SIGKILL);
}

/* ---------------------------------------------------------------------------------------------- */

void deliver(const struct deliver_world *world, const struct notify_target *target,
             const struct message *message, int64_t deadline, deliver_done done, void *ctx,
             struct delivery **out) {
    struct delivery *d = calloc(1, sizeof *d);
    *out = d;
    if (!d) {
        const hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_NONE};
        done(ctx, &outcome, "no memory");
        return;
    }
    *d = (struct delivery){
        .loop = world->loop, .target = target, .done = done, .ctx = ctx, .place = out};
    buf_init(&d->output, MAX_OUTPUT);
    loop_timer_init(&d->kill, on_kill, d);
    if (target->type == NOTIFY_STDERR)
        print(d, message);
    else if (target->type == NOTIFY_COMMAND)
        run(d, world, message);
    else
        call(d, world->client, message, deadline);
}

void deliver_stop(struct delivery *d) {
    const hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    if (!d->process) {
        finish(d, &outcome, "no answer within its timeout");
        return;
    }
    d->stopped = true;
    process_signal(d->process, SIGTERM);
    loop_timer_start(d->loop, &d->kill, time_add(loop_now(d->loop), kill_after));
}
