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

enum {
    MAX_NOTICE = 1 << 20,
    MAX_DETAILS = 256 << 10, /* half of what a pager takes */
    MAX_ANSWER = 64 << 10,
    MAX_WHY = 300,
    MAX_URGENT = 16
};
static const int64_t rest = 30 * HARDY_SECOND; /* after the retries of one try are used up */

/* A notice as it is sent: one allocation behind the strings of a row. */
struct parcel {
    struct parcel *next; /* in memory only: see outbox_tell() */
    size_t len;
    char key[512];
    char value[];
};

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
    struct parcel *urgent;   /* not in the store */
    size_t urgent_count;
    char *after;          /* refused for good in this pass, passed over; NULL = from the start */
    char *sent;           /* taken by the far side, but the row could not be removed */
    int64_t min_age;      /* of the rows this pass takes */
    struct store_row row; /* being sent */
    bool from_memory;     /* it is the first of `urgent` */
    char *dedup_key;
    char *summary;
    bool over; /* it tells an end */
    struct loop_post removed;
    hardy_status result, removal;
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
    struct loop_post freed; /* tells `gone` */
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* --- writing a row ---------------------------------------------------------------------------- */

static struct parcel *pack(const struct notify_target *target, const struct notice *notice,
                           int64_t wall) {
    struct buf text;
    struct json_out j;
    char at[40];
    clock_format_wall(wall, at);
    buf_init(&text, MAX_NOTICE);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "action", notice->action);
    json_out_member_string(&j, "dedup_key", notice->dedup_key);
    json_out_member_string(&j, "summary", notice->summary);
    json_out_member_string(&j, "severity", notice->severity);
    json_out_member_string(&j, "source", notice->source);
    json_out_member_string(&j, "timestamp", at);
    json_out_key(&j, "details");
    if (notice->details && strlen(notice->details) <= MAX_DETAILS)
        json_out_raw(&j, notice->details);
    else
        json_out_null(&j);
    json_out_object_end(&j);
    struct parcel *p = text.failed ? NULL : malloc(sizeof *p + text.len + 1);
    if (p) {
        p->next = NULL;
        p->len = text.len;
        /* Keys of one target sort by time. */
        snprintf(p->key, sizeof p->key, "%s/%020lld-%s-%.200s", target->name, (long long)wall,
                 notice->action, notice->dedup_key);
        memcpy(p->value, text.data, text.len + 1);
    }
    buf_free(&text);
    return p;
}

hardy_status outbox_row(const struct notify_target *target, const struct notice *notice,
                        int64_t wall, struct store_op *op, void **memory, hardy_error *error) {
    struct parcel *p = pack(target, notice, wall);
    if (!p)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the notice %s to %s",
                    notice->dedup_key, target->name);
    *op = (struct store_op){
        .kind = STORE_PUT, .row_kind = "outbox", .key = p->key, .value = p->value, .len = p->len};
    *memory = p;
    return HARDY_OK;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
}

static void forget_row(struct lane *l) {
    store_row_free(&l->row);
    memset(&l->row, 0, sizeof l->row);
    free(l->dedup_key);
    free(l->summary);
    l->dedup_key = l->summary = NULL;
    l->from_memory = false;
}

static void drop_urgent(struct lane *l) {
    struct parcel *first = l->urgent;
    l->urgent = first->next;
    l->urgent_count--;
    free(first);
}

static void on_freed(struct loop_post *post) {
    struct outbox *o = post->ctx;
    void (*gone)(void *ctx) = o->gone;
    void *ctx = o->gone_ctx;
    loop_release(o->loop);
    free(o);
    if (gone)
        gone(ctx);
}

static void free_lanes(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        loop_timer_stop(o->loop, &l->timer);
        hardy_guard_free(l->guard);
        http_url_free(&l->url);
        forget_row(l);
        while (l->urgent)
            drop_urgent(l);
        free(l->after);
        free(l->sent);
    }
    free(o->lanes);
}

/* Once it is stopped and the last lane has nothing under way. */
static void free_if_over(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++)
        if (o->lanes[i].busy)
            return;
    free_lanes(o);
    o->freed = (struct loop_post){.fn = on_freed, .ctx = o};
    loop_hold(o->loop);
    loop_post(o->loop, &o->freed);
}

/* The lane has nothing under way any more; `next` = when it looks again, HARDY_NEVER = when kicked.
 */
static void settle(struct lane *l, int64_t next) {
    struct outbox *o = l->owner;
    l->busy = false;
    forget_row(l);
    if (o->stopped) {
        free_if_over(o);
        return;
    }
    loop_timer_start(o->loop, &l->timer, next);
    if (outbox_idle(o) && o->events->idle)
        o->events->idle(o->ctx);
}

static void tell_delivered(struct lane *l) {
    const struct outbox *o = l->owner;
    if (!o->stopped && o->events->delivered)
        o->events->delivered(o->ctx, l->target->name, l->dedup_key);
}

static void on_removed(struct loop_post *post) {
    struct lane *l = post->ctx;
    struct outbox *o = l->owner;
    loop_release(o->loop);
    if (l->removal == HARDY_OK) {
        free(l->sent);
        l->sent = NULL;
        settle(l, loop_now(o->loop));
    } else {
        settle(l, time_add(loop_now(o->loop), rest));
    }
}

static void on_store_removed(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct lane *l = ctx;
    (void)failed;
    (void)error;
    l->removal = status;
    loop_post(l->owner->loop, &l->removed);
}

/* The far side has it. A row that cannot be removed now is remembered, so that this process at
 * least does not send it again. */
static void remove_row(struct lane *l) {
    if (l->from_memory) {
        drop_urgent(l);
        settle(l, loop_now(l->owner->loop));
        return;
    }
    struct store_op op = {
        .kind = STORE_DELETE, .row_kind = "outbox", .key = l->row.key, .if_fence = STORE_ANY_FENCE};
    replace(&l->sent, l->row.key);
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
    if (!f->complete) {
        str_copy(l->why, sizeof l->why, http_fetched_why(f));
    } else {
        outcome = outcome_of_http(f->status, f->retry_after);
        if (f->status >= 300 && f->status < 400) /* to a page of words, most often; not taken */
            outcome = (hardy_outcome){.kind = HARDY_IGNORED, .permanent = true, .code = f->status};
        snprintf(l->why, sizeof l->why, "answered %d %s", f->status, http_status_text(f->status));
    }
    str_make_printable(l->why);
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
        hardy_outcome outcome = {.kind = HARDY_IGNORED};
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

static void tell_failed(struct lane *l, int64_t next) {
    const struct outbox *o = l->owner;
    if (!o->stopped && o->events->failed)
        o->events->failed(o->ctx, l->target->name, l->why, next);
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    (void)d;
    if (step->reason == HARDY_REASON_BACKOFF)
        tell_failed(ctx, step->until);
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct lane *l = ctx;
    (void)d;
    l->result = step->status;
}

static void on_done(void *ctx, struct drive *d) {
    struct lane *l = ctx;
    (void)d;
    l->drive = NULL;
    int64_t now = loop_now(l->owner->loop), later = time_add(now, rest);
    if (l->result == HARDY_OK) {
        tell_delivered(l);
        remove_row(l);
    } else if (l->result == HARDY_E_FAILED) {
        tell_failed(l, later);
        if (l->from_memory) /* refused for good, and kept nowhere */
            drop_urgent(l);
        else
            replace(&l->after, l->row.key);
        settle(l, now);
    } else {
        tell_failed(l, later);
        settle(l, later);
    }
}

static bool take_first(void *ctx, const struct store_row *row) {
    struct lane *l = ctx;
    l->row.key = str_dup(row->key);
    l->row.value = str_ndup(row->value, row->len);
    l->row.len = row->len;
    return false;
}

/* When the notice was written, by its key: "TARGET/00001795338196203000000-trigger-...". */
static int64_t written_at(const struct lane *l) {
    return strtoll(l->row.key + strlen(l->target->name) + 1, NULL, 10);
}

static hardy_status load_stored(struct lane *l, bool *found) {
    struct outbox *o = l->owner;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", l->target->name);
    hardy_status status = store_scan(o->store, "outbox", prefix, l->after, 1, take_first, l, NULL);
    *found = status == HARDY_OK && l->row.key && l->row.value &&
             loop_wall(o->loop) - written_at(l) >= l->min_age;
    return status;
}

/* The next notice into `row`; false: there is none. */
static hardy_status load_next(struct lane *l, bool *found) {
    hardy_status status = HARDY_OK;
    if (l->urgent) {
        l->from_memory = true;
        l->row.key = str_dup(l->urgent->key);
        l->row.value = str_ndup(l->urgent->value, l->urgent->len);
        l->row.len = l->urgent->len;
        *found = l->row.key && l->row.value;
    } else {
        status = load_stored(l, found);
    }
    if (!*found)
        return status;
    json_t *o = json_loadb(l->row.value, l->row.len, 0, NULL);
    const char *key = json_string_value(json_object_get(o, "dedup_key"));
    const char *summary = json_string_value(json_object_get(o, "summary"));
    l->dedup_key = str_dup(key ? key : l->row.key);
    l->summary = str_dup(summary ? summary : "(a notice that cannot be read)");
    l->over = str_eq(json_string_value(json_object_get(o, "action")), "resolve");
    json_decref(o);
    return l->dedup_key && l->summary ? HARDY_OK : HARDY_E_NOMEM;
}

static void print_notice(const struct lane *l) {
    char *line = str_format("%s [%s] %s (%s)", l->over ? "RESOLVED" : "PAGE", l->target->name,
                            l->summary, l->dedup_key);
    if (line) {
        size_t len = strlen(line);
        str_make_printable(line);
        line[len] = '\n'; /* one write, so that it stays one line */
        ssize_t written = write(STDERR_FILENO, line, len + 1);
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
    bool found = false;
    if (l->busy)
        return;
    if (load_next(l, &found) != HARDY_OK) { /* a store that cannot be read now */
        settle(l, time_add(loop_now(o->loop), rest));
        return;
    }
    if (!found) {
        int64_t next = l->after ? time_add(loop_now(o->loop), rest) : HARDY_NEVER;
        replace(&l->after, NULL);
        settle(l, next);
        return;
    }
    l->busy = true;
    if (!l->from_memory && str_eq(l->sent, l->row.key)) {
        remove_row(l);
        return;
    }
    if (l->target->type == NOTIFY_STDERR) {
        print_notice(l);
        tell_delivered(l);
        remove_row(l);
        return;
    }
    hardy_op_options_init(&options, sizeof options);
    hardy_error_init(&error, sizeof error);
    l->result = HARDY_E_EXHAUSTED;
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
            free_lanes(o);
            free(o);
            return status;
        }
    }
    *out = o;
    outbox_kick(o);
    return HARDY_OK;
}

void outbox_kick(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++) {
        o->lanes[i].min_age = 0;
        if (!o->lanes[i].busy)
            loop_timer_start(o->loop, &o->lanes[i].timer, loop_now(o->loop));
    }
}

void outbox_look(struct outbox *o, int64_t age) {
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        if (l->busy || heap_contains(&l->timer.node))
            continue;
        l->min_age = age;
        loop_timer_start(o->loop, &l->timer, loop_now(o->loop));
    }
}

hardy_status outbox_tell(struct outbox *o, const struct notify_target *target,
                         const struct notice *notice, hardy_error *error) {
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        if (l->target != target)
            continue;
        if (l->urgent_count == MAX_URGENT)
            return fail(error, HARDY_E_FULL, NULL, "%d notices wait for %s already", MAX_URGENT,
                        target->name);
        struct parcel *p = pack(target, notice, loop_wall(o->loop));
        if (!p)
            return fail(error, HARDY_E_NOMEM, NULL, "no memory for a notice to %s", target->name);
        struct parcel **end = &l->urgent;
        while (*end)
            end = &(*end)->next;
        *end = p;
        l->urgent_count++;
        if (!l->busy)
            loop_timer_start(o->loop, &l->timer, loop_now(o->loop));
        return HARDY_OK;
    }
    return fail(error, HARDY_E_NOT_FOUND, NULL, "%s is not among the places", target->name);
}

bool outbox_idle(const struct outbox *o) {
    for (size_t i = 0; i < o->count; i++)
        if (o->lanes[i].busy || heap_contains(&o->lanes[i].timer.node))
            return false;
    return true;
}

void outbox_stop(struct outbox *o, void (*gone)(void *ctx), void *ctx) {
    o->stopped = true;
    o->gone = gone;
    o->gone_ctx = ctx;
    for (size_t i = 0; i < o->count; i++) {
        loop_timer_stop(o->loop, &o->lanes[i].timer);
        if (o->lanes[i].drive)
            drive_cancel(o->lanes[i].drive);
    }
    free_if_over(o);
}
