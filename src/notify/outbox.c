/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "drive/drive.h"
#include "http/fetch.h"
#include "notify/notify.h"
#include "policy/outcome.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NOTICE = 1 << 20, MAX_ANSWER = 64 << 10, MAX_WHY = 300 };
static const int64_t rest = 30 * HARDY_SECOND; /* after the retries of one try are used up */

/* What goes to one target, one after another. */
struct lane {
    struct outbox *owner;
    const struct notify_target *target;
    hardy_guard *guard;
    struct drive *drive;
    uint32_t attempt;
    struct http_fetch *fetch;
    struct http_url url;
    struct loop_timer timer; /* takes the next row, now or after a rest */
    struct store_row row;    /* being sent */
    char *dedup_key;
    char *summary;
    struct loop_post removed;
    hardy_status remove_status;
    bool busy;
    char why[MAX_WHY];
};

struct outbox {
    struct loop *loop;
    struct store *store;
    struct http_client *client;
    const struct outbox_events *events;
    void *ctx;
    struct lane *lanes;
    size_t count;
    bool stopped;
};

/* --- writing a row ---------------------------------------------------------------------------- */

static void put(struct json_out *j, const char *key, const char *text) {
    json_out_key(j, key);
    json_out_string(j, text);
}

struct row_memory { /* one allocation behind the strings of a row */
    char key[512];
    char value[];
};

hardy_status outbox_row(const struct notify_target *target, const struct notice *notice,
                        int64_t wall, struct store_op *op, void **memory, hardy_error *error) {
    struct buf text;
    struct json_out j;
    char at[40];
    clock_format_wall(wall, at);
    buf_init(&text, MAX_NOTICE);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    put(&j, "action", notice->action);
    put(&j, "dedup_key", notice->dedup_key);
    put(&j, "summary", notice->summary);
    put(&j, "severity", notice->severity);
    put(&j, "source", notice->source);
    put(&j, "timestamp", at);
    json_out_key(&j, "details");
    if (notice->details)
        json_out_raw(&j, notice->details);
    else
        json_out_null(&j);
    json_out_object_end(&j);
    struct row_memory *m = text.failed ? NULL : malloc(sizeof *m + text.len + 1);
    if (!m) {
        buf_free(&text);
        return fail(error, HARDY_E_TOO_LARGE, NULL, "the notice %s for %s does not fit",
                    notice->dedup_key, target->name);
    }
    /* Keys of one target sort by time. */
    snprintf(m->key, sizeof m->key, "%s/%020lld-%s-%.200s", target->name, (long long)wall,
             notice->action, notice->dedup_key);
    memcpy(m->value, text.data, text.len + 1);
    *op = (struct store_op){
        .kind = STORE_PUT, .row_kind = "outbox", .key = m->key, .value = m->value, .len = text.len};
    buf_free(&text);
    *memory = m;
    return HARDY_OK;
}

/* --- sending -------------------------------------------------------------------------------------
 */

static void forget_row(struct lane *l) {
    store_row_free(&l->row);
    memset(&l->row, 0, sizeof l->row);
    free(l->dedup_key);
    free(l->summary);
    l->dedup_key = l->summary = NULL;
}

static void free_outbox(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++)
        if (o->lanes[i].busy)
            return; /* the last one to end frees */
    for (size_t i = 0; i < o->count; i++) {
        loop_timer_stop(o->loop, &o->lanes[i].timer);
        hardy_guard_free(o->lanes[i].guard);
        http_url_free(&o->lanes[i].url);
        forget_row(&o->lanes[i]);
    }
    free(o->lanes);
    free(o);
}

/* The lane has nothing under way any more; `next` = when it looks again, HARDY_NEVER = when kicked.
 */
static void settle(struct lane *l, int64_t next) {
    struct outbox *o = l->owner;
    l->busy = false;
    forget_row(l);
    if (o->stopped) {
        free_outbox(o);
        return;
    }
    loop_timer_start(o->loop, &l->timer, next);
    if (outbox_idle(o) && o->events->idle)
        o->events->idle(o->ctx);
}

static void on_removed(struct loop_post *post) {
    struct lane *l = post->ctx;
    struct outbox *o = l->owner;
    loop_release(o->loop);
    if (l->remove_status == HARDY_OK) {
        if (!o->stopped && o->events->delivered)
            o->events->delivered(o->ctx, l->target->name, l->dedup_key);
        settle(l, loop_now(o->loop));
    } else { /* sent, but it will be sent again: the dedup key is for that */
        settle(l, time_add(loop_now(o->loop), rest));
    }
}

static void on_store_removed(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct lane *l = ctx;
    (void)failed;
    (void)error;
    l->remove_status = status;
    loop_post(l->owner->loop, &l->removed);
}

static void remove_row(struct lane *l) {
    struct store_op op = {
        .kind = STORE_DELETE, .row_kind = "outbox", .key = l->row.key, .if_fence = STORE_ANY_FENCE};
    l->removed = (struct loop_post){.fn = on_removed, .ctx = l};
    loop_hold(l->owner->loop);
    store_submit(l->owner->store, &op, 1, on_store_removed, l);
}

static void report(struct lane *l, const hardy_outcome *outcome) {
    drive_report(l->drive, l->attempt, outcome);
}

static void on_fetched(void *ctx, const struct http_fetched *f) {
    struct lane *l = ctx;
    hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    l->fetch = NULL;
    if (f->complete) {
        outcome = outcome_of_http(f->status, f->retry_after);
        snprintf(l->why, sizeof l->why, "answered %d %s", f->status, http_status_text(f->status));
    } else {
        str_copy(l->why, sizeof l->why, f->detail);
    }
    report(l, &outcome);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    struct lane *l = ctx;
    struct http_call_options options;
    struct http_headers headers;
    hardy_error error;
    l->drive = d;
    l->attempt = attempt;
    http_call_options_init(&options);
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    hardy_error_init(&error, sizeof error);
    hardy_status status = http_headers_add(&headers, "Content-Type", "application/json");
    if (status == HARDY_OK)
        status = http_headers_add(&headers, "Idempotency-Key", l->row.key);
    options.method = "POST";
    options.url = &l->url;
    options.headers = &headers;
    options.body = l->row.value;
    options.body_len = l->row.len;
    options.deadline = deadline;
    options.fresh = true;
    if (status == HARDY_OK)
        status = http_fetch_start(l->owner->client, &options, MAX_ANSWER, on_fetched, l, &l->fetch,
                                  &error);
    http_headers_free(&headers);
    if (status != HARDY_OK) {
        hardy_outcome outcome = {.kind = HARDY_IGNORED, .permanent = true};
        str_copy(l->why, sizeof l->why, error.message);
        report(l, &outcome);
    }
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct lane *l = ctx;
    hardy_outcome outcome = {.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
    (void)d;
    (void)attempt;
    if (!l->fetch)
        return;
    http_fetch_cancel(l->fetch);
    l->fetch = NULL;
    str_copy(l->why, sizeof l->why, "no answer within its timeout");
    report(l, &outcome);
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct lane *l = ctx;
    struct outbox *o = l->owner;
    (void)d;
    if (step->reason == HARDY_REASON_BACKOFF && !o->stopped && o->events->failed)
        o->events->failed(o->ctx, l->target->name, l->why, step->until);
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct lane *l = ctx;
    (void)d;
    l->remove_status = step->status; /* kept until on_done() */
}

static void on_done(void *ctx, struct drive *d) {
    struct lane *l = ctx;
    struct outbox *o = l->owner;
    (void)d;
    l->drive = NULL;
    if (l->remove_status == HARDY_OK) {
        remove_row(l);
        return;
    }
    int64_t next = time_add(loop_now(o->loop), rest);
    if (!o->stopped && o->events->failed)
        o->events->failed(o->ctx, l->target->name, l->why, next);
    settle(l, next);
}

static bool take_first(void *ctx, const struct store_row *row) {
    struct lane *l = ctx;
    l->row.key = str_dup(row->key);
    l->row.value = str_ndup(row->value, row->len);
    l->row.len = row->len;
    return false;
}

static bool load_first(struct lane *l) {
    char prefix[80];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(prefix, sizeof prefix, "%s/", l->target->name);
    if (store_scan(l->owner->store, "outbox", prefix, NULL, 1, take_first, l, &error) != HARDY_OK ||
        !l->row.key || !l->row.value) {
        forget_row(l);
        return false;
    }
    json_t *o = json_loadb(l->row.value, l->row.len, 0, NULL);
    const char *key = json_string_value(json_object_get(o, "dedup_key"));
    const char *summary = json_string_value(json_object_get(o, "summary"));
    l->dedup_key = str_dup(key ? key : l->row.key);
    l->summary = str_dup(summary ? summary : "(a notice that cannot be read)");
    json_decref(o);
    return l->dedup_key && l->summary;
}

static void print_notice(const struct lane *l) {
    char *line = str_format("PAGE [%s] %s (%s)\n", l->target->name, l->summary, l->dedup_key);
    if (line) {
        ssize_t written = write(STDERR_FILENO, line, strlen(line));
        (void)written; /* nobody is left to tell */
    }
    free(line);
}

static void on_look(struct loop_timer *timer) {
    static const struct drive_events events = {on_call, on_stop, on_waiting, on_result, on_done};
    struct lane *l = timer->ctx;
    struct outbox *o = l->owner;
    hardy_op_options options;
    hardy_error error;
    if (l->busy)
        return;
    if (!load_first(l)) {
        settle(l, HARDY_NEVER);
        return;
    }
    l->busy = true;
    if (l->target->type == NOTIFY_STDERR) {
        print_notice(l);
        remove_row(l);
        return;
    }
    hardy_op_options_init(&options, sizeof options);
    hardy_error_init(&error, sizeof error);
    l->remove_status = HARDY_E_FAILED;
    if (drive_start(o->loop, l->guard, &options, &events, l, &l->drive, &error) != HARDY_OK)
        settle(l, time_add(loop_now(o->loop), rest));
}

static hardy_status make_guard(struct outbox *o, struct lane *l, hardy_error *error) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_env env = loop_env(o->loop);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    retry.max_retries = 5;
    retry.base_delay = 500 * HARDY_MILLISECOND;
    retry.max_delay = 10 * HARDY_SECOND;
    retry.repeatable = true; /* the far side drops a second copy by its dedup key */
    config.name = l->target->name;
    config.timeout = l->target->timeout;
    config.retry = &retry;
    return hardy_guard_new(&config, &env, &l->guard, error);
}

hardy_status outbox_start(struct loop *loop, struct store *store, struct http_client *client,
                          const struct schema_list *targets, const struct outbox_events *events,
                          void *ctx, struct outbox **out, hardy_error *error) {
    const struct notify_target *items = targets->items;
    struct outbox *o = calloc(1, sizeof *o);
    if (o)
        o->lanes = calloc(targets->count + 1, sizeof *o->lanes);
    if (!o || !o->lanes) {
        free(o);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the outbox");
    }
    o->loop = loop;
    o->store = store;
    o->client = client;
    o->events = events;
    o->ctx = ctx;
    for (size_t i = 0; i < targets->count; i++) {
        struct lane *l = &o->lanes[o->count++];
        l->owner = o;
        l->target = &items[i];
        loop_timer_init(&l->timer, on_look, l);
        hardy_status status = make_guard(o, l, error);
        if (status == HARDY_OK && l->target->type == NOTIFY_WEBHOOK)
            status = http_url_parse(l->target->url, &l->url, error);
        if (status != HARDY_OK) {
            free_outbox(o);
            return status;
        }
    }
    *out = o;
    outbox_kick(o);
    return HARDY_OK;
}

void outbox_kick(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++)
        if (!o->lanes[i].busy)
            loop_timer_start(o->loop, &o->lanes[i].timer, loop_now(o->loop));
}

bool outbox_idle(const struct outbox *o) {
    for (size_t i = 0; i < o->count; i++)
        if (o->lanes[i].busy || heap_contains(&o->lanes[i].timer.node))
            return false;
    return true;
}

void outbox_stop(struct outbox *o) {
    o->stopped = true;
    for (size_t i = 0; i < o->count; i++) {
        loop_timer_stop(o->loop, &o->lanes[i].timer);
        if (o->lanes[i].drive)
            drive_cancel(o->lanes[i].drive);
    }
    free_outbox(o);
}
