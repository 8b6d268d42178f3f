/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/gathering.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "degrade/process.h"
#include "http/fetch.h"
#include "io/file.h"
#include "store/store.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ANSWER = 1 << 20,   /* of one source */
    MAX_TOGETHER = 2 << 20, /* of all, as JSON: an incident's record has to hold it */
    MAX_COMPLAINT = 160,
    MAX_WHY = 240
};

/* One source being read. Files are read off the loop, where they cannot be stopped: such a job
 * outlives its gathering, which it then no longer knows. */
struct job {
    struct gathering *owner; /* NULL: nobody waits any more */
    const struct source_settings *source;
    size_t index;
    struct loop *loop;
    struct http_fetch *fetch;
    struct http_url url;
    struct process *process;
    struct loop_timer timer;
    struct loop_work work;
    bool working;
    bool late;  /* has printed too much, and is being ended */
    char *path; /* for the work off the loop */
    bool is_process;
    uint64_t tail;
    struct buf answer;
    char complaint[MAX_COMPLAINT]; /* the beginning of standard error */
    hardy_error error;
    int64_t started;
};

struct gathering {
    struct gathering_world world;
    struct loop *loop; /* of the world */
    struct gathering_plan plan;
    gathering_done done;
    void *ctx;
    struct component *components;
    struct job **jobs; /* NULL where it has answered */
    size_t count, waiting;
    struct loop_timer deadline;
    struct fallback_cache cache;
};

static void free_job(struct job *j) {
    loop_timer_stop(j->loop, &j->timer);
    if (j->fetch)
        http_fetch_cancel(j->fetch);
    if (j->process) {
        process_signal(j->process, 9);
        process_free(j->process);
    }
    http_url_free(&j->url);
    buf_free(&j->answer);
    free(j->path);
    free(j);
}

static void drop_job(struct job *j) {
    if (j->working)
        j->owner = NULL; /* freed when the work is done */
    else
        free_job(j);
}

static void free_gathering(struct gathering *g) {
    loop_timer_stop(g->loop, &g->deadline);
    for (size_t i = 0; i < g->count; i++) {
        if (g->jobs[i])
            drop_job(g->jobs[i]);
        free(g->components[i].data);
    }
    free(g->jobs);
    free(g->components);
    free(g);
}

/* --- the last good answers, kept in the store ------------------------------------------------- */

static char *cache_get(void *ctx, const char *key, int64_t *age) {
    struct gathering *g = ctx;
    struct store_row row;
    if (store_get(g->world.store, "cache", key, &row, NULL) != HARDY_OK)
        return NULL;
    char *data = str_ndup(row.value, row.len);
    *age = loop_wall(g->loop) - row.changed;
    store_row_free(&row);
    return data;
}

static void ignore_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    (void)ctx;
    (void)status; /* a cache that could not be written is only a cache less */
    (void)failed;
    (void)error;
}

static void cache_put(void *ctx, const char *key, const char *data) {
    struct gathering *g = ctx;
    struct store_op op = {.kind = STORE_PUT,
                          .row_kind = "cache",
                          .key = key,
                          .value = data,
                          .len = strlen(data),
                          .expires = loop_wall(g->loop) + 7 * HARDY_DAY};
    store_submit(g->world.store, &op, 1, ignore_stored, NULL);
}

/* --- settling --------------------------------------------------------------------------------- */

static void settle(struct gathering *g, size_t index, char *fresh, const char *why) {
    const struct source_settings *s =
        &((const struct source_settings *)g->plan.sources->items)[index];
    struct component *c = &g->components[index];
    char *key = str_format("%s/%s", g->plan.name, s->name);
    struct chain chain = {.cache = s->cache > 0 && key ? &g->cache : NULL,
                          .cache_key = key,
                          .ttl = s->cache,
                          .fixed = s->fixed};
    c->took = loop_now(g->loop) - g->jobs[index]->started;
    chain_settle(&chain, fresh, why, c);
    free(key);
    g->waiting--;
}

static void leave_out(struct component *c, size_t len) {
    snprintf(c->error, sizeof c->error, "left out: its %zu KiB and the rest do not fit together",
             len >> 10);
    free(c->data);
    c->data = NULL;
    c->state = COMPONENT_MISSING;
}

/* The largest give way until it fits. */
static void bound(struct gathering *g) {
    for (;;) {
        size_t together = 0, largest = 0, at = 0;
        for (size_t i = 0; i < g->count; i++) {
            size_t len = g->components[i].data ? strlen(g->components[i].data) : 0;
            together += len;
            at = len > largest ? i : at;
            largest = len > largest ? len : largest;
        }
        if (together <= MAX_TOGETHER)
            return;
        leave_out(&g->components[at], largest);
    }
}

static void finish_if_all(struct gathering *g) {
    if (g->waiting > 0)
        return;
    bound(g);
    g->done(g->ctx, g->components, g->count);
    free_gathering(g);
}

/* The job's answer as JSON, or why there is none. Frees the job. */
static void answer(struct job *j, char *fresh, const char *why) {
    struct gathering *g = j->owner;
    size_t index = j->index;
    settle(g, index, fresh, why);
    g->jobs[index] = NULL;
    free_job(j);
    finish_if_all(g);
}

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

/* --- the kinds of source ---------------------------------------------------------------------- */

static void no_answer_within(struct job *j, int64_t span) {
    char why[MAX_WHY], text[48];
    format_duration_short(span, text);
    snprintf(why, sizeof why, "no answer within %s", text);
    answer(j, NULL, why);
}

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct job *j = ctx;
    char why[MAX_WHY];
    j->fetch = NULL;
    if (f->complete && f->status >= 200 && f->status <= 299) {
        char *body = str_ndup(f->body, f->body_len);
        char *json = body ? any_as_json(body, f->body_len) : NULL;
        free(body);
        answer(j, json, "no memory");
    } else if (f->complete) {
        snprintf(why, sizeof why, "answered %d %s", f->status, http_status_text(f->status));
        answer(j, NULL, why);
    } else if (f->reason == CLOSE_TIMEOUT) {
        no_answer_within(j, j->source->timeout);
    } else {
        answer(j, NULL, http_fetched_why(f));
    }
}

static hardy_status start_http(struct job *j) {
    struct http_call_options options;
    http_call_options_init(&options);
    hardy_status status = http_url_parse(j->source->http, &j->url, &j->error);
    if (status != HARDY_OK)
        return status;
    options.url = &j->url;
    options.deadline = time_add(loop_now(j->loop), j->source->timeout);
    return http_fetch_start(j->owner->world.client, &options, MAX_ANSWER, on_fetched, j, &j->fetch,
                            &j->error);
}

static char *buffer_as_json(struct job *j, char *(*convert)(char *text, size_t len)) {
    char none[] = "";
    return convert(j->answer.data ? j->answer.data : none, j->answer.len);
}

static void read_off_loop(struct loop_work *work) {
    struct job *j = work->ctx;
    if (j->is_process)
        process_evidence(j->path, &j->answer, &j->error);
    else
        file_read_tail(j->path, (size_t)j->tail, &j->answer, &j->error);
}

static void on_read(struct loop_work *work) {
    struct job *j = work->ctx;
    j->working = false;
    if (!j->owner) {
        free_job(j);
        return;
    }
    if (j->error.status != HARDY_OK)
        answer(j, NULL, j->error.message);
    else if (j->is_process)
        answer(j, buf_take(&j->answer), "no memory");
    else
        answer(j, buffer_as_json(j, text_as_json), "no memory");
}

static void on_late(struct loop_timer *timer) {
    struct job *j = timer->ctx;
    char why[MAX_WHY], text[48];
    if (!j->working) {
        no_answer_within(j, j->source->timeout);
        return;
    }
    struct gathering *g = j->owner; /* the job goes on without it */
    format_duration_short(j->source->timeout, text);
    snprintf(why, sizeof why, "no answer within %s", text);
    settle(g, j->index, NULL, why);
    g->jobs[j->index] = NULL;
    drop_job(j);
    finish_if_all(g);
}

static hardy_status start_file(struct job *j, const char *path, bool is_process) {
    const char *folder = j->owner->world.cwd;
    j->path = path[0] != '/' && folder ? str_format("%s/%s", folder, path) : str_dup(path);
    j->is_process = is_process;
    j->tail = j->source->tail;
    j->work = (struct loop_work){.fn = read_off_loop, .done = on_read, .ctx = j};
    hardy_status status = j->path ? loop_work(j->loop, &j->work) : HARDY_E_NOMEM;
    j->working = status == HARDY_OK;
    if (status != HARDY_OK)
        return fail(&j->error, status, path, "no memory to read it");
    loop_timer_start(j->loop, &j->timer, time_add(loop_now(j->loop), j->source->timeout));
    return HARDY_OK;
}

static void on_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    struct job *j = ctx;
    size_t used = strlen(j->complaint), room = sizeof j->complaint - 1 - used;
    if (fd == 2) {
        len = len < room ? len : room;
        memcpy(j->complaint + used, data, len);
        j->complaint[used + len] = '\0';
    } else if (!buf_append(&j->answer, data, len) && !j->late) {
        j->late = true; /* on_exited() tells why */
        process_signal(p, 9);
    }
}

static void on_exited(void *ctx, struct process *p, int code, int signal) {
    struct job *j = ctx;
    char why[MAX_WHY];
    process_free(p);
    j->process = NULL;
    j->complaint[strcspn(j->complaint, "\r\n")] = '\0';
    str_make_printable(j->complaint);
    if (j->late) {
        answer(j, NULL, "printed more than 1 MiB");
    } else if (signal) {
        snprintf(why, sizeof why, "killed by signal %d", signal);
        answer(j, NULL, why);
    } else if (code) {
        snprintf(why, sizeof why, "exit code %d%s%s", code, j->complaint[0] ? ": " : "",
                 j->complaint);
        answer(j, NULL, why);
    } else {
        answer(j, buffer_as_json(j, any_as_json), "no memory");
    }
}

static hardy_status start_command(struct job *j) {
    static const struct process_events events = {on_output, on_exited};
    struct process_options options;
    process_options_init(&options);
    options.argv = (const char *const *)j->source->command.argv;
    options.env = j->owner->world.env;
    options.cwd = j->owner->world.cwd;
    options.capture_stdout = options.capture_stderr = true;
    hardy_status status = process_start(j->loop, &options, &events, j, &j->process, &j->error);
    if (status == HARDY_OK)
        loop_timer_start(j->loop, &j->timer, time_add(loop_now(j->loop), j->source->timeout));
    return status;
}

static void on_cannot_start(struct loop_timer *timer) {
    struct job *j = timer->ctx;
    answer(j, NULL, j->error.message);
}

static void start_job(struct job *j) {
    const struct source_settings *s = j->source;
    hardy_status status = s->http      ? start_http(j)
                          : s->file    ? start_file(j, s->file, false)
                          : s->process ? start_file(j, s->process, true)
                                       : start_command(j);
    if (status != HARDY_OK) {
        loop_timer_init(&j->timer, on_cannot_start, j);
        loop_timer_start(j->loop, &j->timer, loop_now(j->loop));
    }
}

/* The deadline of all together: who has not answered is missing. */
static void on_deadline(struct loop_timer *timer) {
    struct gathering *g = timer->ctx;
    char why[MAX_WHY], text[48];
    format_duration_short(g->plan.deadline, text);
    snprintf(why, sizeof why, "no answer within %s, the time for all together", text);
    for (size_t i = 0; i < g->count; i++) {
        if (!g->jobs[i])
            continue;
        settle(g, i, NULL, why);
        drop_job(g->jobs[i]);
        g->jobs[i] = NULL;
    }
    finish_if_all(g);
}

static void on_nothing(struct loop_timer *timer) {
    finish_if_all(timer->ctx);
}

hardy_status gathering_start(const struct gathering_world *world, const struct gathering_plan *plan,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error) {
    struct loop *loop = world->loop;
    const struct source_settings *sources = plan->sources->items;
    size_t count = plan->sources->count;
    struct gathering *g = calloc(1, sizeof *g);
    if (g) {
        g->components = calloc(count + 1, sizeof *g->components);
        g->jobs = calloc(count + 1, sizeof(struct job *));
    }
    if (!g || !g->components || !g->jobs) {
        if (g) {
            free(g->components);
            free(g->jobs);
        }
        free(g);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to gather %zu sources", count);
    }
    g->world = *world;
    g->loop = loop;
    g->plan = *plan;
    g->done = done;
    g->ctx = ctx;
    g->cache = (struct fallback_cache){g, cache_get, cache_put};
    loop_timer_init(&g->deadline, count ? on_deadline : on_nothing, g);
    for (size_t i = 0; i < count; i++) {
        struct job *j = calloc(1, sizeof *j);
        g->components[i] = (struct component){
            .name = sources[i].name, .weight = sources[i].weight, .critical = sources[i].critical};
        if (!j) {
            free_gathering(g);
            return fail(error, HARDY_E_NOMEM, NULL, "no memory to gather %zu sources", count);
        }
        *j = (struct job){
            .owner = g, .source = &sources[i], .index = i, .loop = loop, .started = loop_now(loop)};
        buf_init(&j->answer, MAX_ANSWER);
        hardy_error_init(&j->error, sizeof j->error);
        loop_timer_init(&j->timer, on_late, j);
        g->jobs[i] = j;
        g->count++;
        g->waiting++;
    }
    for (size_t i = 0; i < count; i++)
        start_job(g->jobs[i]);
    loop_timer_start(loop, &g->deadline,
                     count ? time_add(loop_now(loop), plan->deadline) : loop_now(loop));
    *out = g;
    return HARDY_OK;
}

void gathering_cancel(struct gathering *g) {
    free_gathering(g);
}
