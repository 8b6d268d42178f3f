/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "drive/drive.h"
#include "durable/seeded.h"
#include "notify/deliver.h"
#include "observe/exposition.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_NOTICE = 1 << 20,
    MAX_URGENT = 16,
    MAX_SENT = 2 * MAX_URGENT,
    MAX_LOOK = 1000,
    MAX_REMOVED = 16,
    MAX_DEDUP_KEY = 200
};
/* After the tries of one round are used up; and the longest that a far side may ask for. */
static const int64_t rest = 30 * HARDY_SECOND, longest_rest = 15 * HARDY_MINUTE;
static const int64_t keep_refused = 30 * HARDY_DAY;

/* What waits, and what was refused for good: that is put aside, so that it keeps nothing back. */
static const char waiting_kind[] = "outbox", refused_kind[] = "outbox_refused";

/* A notice as it is sent: one allocation behind the strings of a row. */
struct parcel {
    struct parcel *next; /* in memory only: see outbox_tell() */
    size_t len;
    char key[512];
    char value[];
};

enum result { TAKEN, FAILED, REFUSED, OVERTAKEN, RESULTS };
static const char *const result_text[RESULTS] = {"taken", "failed", "refused", "overtaken"};

/* What goes to one target, one after another. */
struct lane {
    struct outbox *owner;
    const struct notify_target *target;
    hardy_guard *guard;
    struct drive *drive;
    uint32_t attempt;
    struct delivery *delivery;
    struct loop_timer timer; /* takes the next row, now or after a rest */
    struct parcel *urgent;   /* not in the store */
    size_t urgent_count;
    const char *kind;     /* of rows: first what an earlier process saw refused, then what waits */
    char *after;          /* refused once more, passed over; NULL = from the start */
    char *sent[MAX_SENT]; /* the last that the far side took, whose rows may still be there */
    size_t sent_next;
    int64_t min_age;        /* of the rows this pass takes */
    struct store_row row;   /* being sent */
    struct message message; /* what it says */
    bool from_memory;       /* it is the first of `urgent` */
    bool perhaps;           /* an attempt may have been taken though no answer came */
    struct store_row end;   /* of the same trouble, waiting behind it: it is overtaken */
    const char *end_kind;
    struct loop_post written;
    hardy_status result, written_status;
    int64_t retry_after;
    uint32_t attempts;
    bool busy;
    char said[DELIVER_SAID];
    uint64_t counts[RESULTS];
};

struct outbox {
    struct outbox_options options;
    struct deliver_world world;
    struct lane *lanes;
    size_t count;
    bool stopped;
    struct loop_post freed; /* tells `gone` */
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* --- writing a row ---------------------------------------------------------------------------- */

/* Keys of one target sort by time, and name the action and the trouble. */
static void write_key(char *out, size_t size, const char *target, int64_t wall, const char *action,
                      const char *dedup_key) {
    char hash[65];
    if (strlen(dedup_key) > MAX_DEDUP_KEY) {
        sha256_hex(dedup_key, strlen(dedup_key), hash);
        dedup_key = hash;
    }
    snprintf(out, size, "%s/%020lld-%s-%s", target, (long long)wall, action, dedup_key);
}

static int64_t written_at(const struct lane *l, const char *key) {
    return strtoll(key + strlen(l->target->name) + 1, NULL, 10);
}

static struct parcel *pack(const struct notify_target *target, const struct notice *notice,
                           int64_t wall) {
    struct buf text;
    buf_init(&text, MAX_NOTICE);
    message_write(notice, wall, &text);
    struct parcel *p = text.failed ? NULL : malloc(sizeof *p + text.len + 1);
    if (p) {
        p->next = NULL;
        p->len = text.len;
        write_key(p->key, sizeof p->key, target->name, wall, notice->action, notice->dedup_key);
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
    *op = (struct store_op){.kind = STORE_PUT,
                            .row_kind = waiting_kind,
                            .key = p->key,
                            .value = p->value,
                            .len = p->len};
    *memory = p;
    return HARDY_OK;
}

/* --- a lane's row ----------------------------------------------------------------------------- */

static void replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
}

static void drop_row(struct store_row *row) {
    store_row_free(row);
    *row = (struct store_row){0};
}

static void forget_row(struct lane *l) {
    message_free(&l->message);
    drop_row(&l->row);
    drop_row(&l->end);
    l->from_memory = l->perhaps = false;
    l->said[0] = '\0';
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
    loop_release(o->options.loop);
    free(o);
    if (gone)
        gone(ctx);
}

static void free_lanes(struct outbox *o) {
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        loop_timer_stop(o->options.loop, &l->timer);
        hardy_guard_free(l->guard);
        forget_row(l);
        while (l->urgent)
            drop_urgent(l);
        free(l->after);
        for (size_t n = 0; n < MAX_SENT; n++)
            free(l->sent[n]);
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
    loop_hold(o->options.loop);
    loop_post(o->options.loop, &o->freed);
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
    loop_timer_start(o->options.loop, &l->timer, next);
    if (outbox_idle(o) && o->options.events->idle)
        o->options.events->idle(o->options.ctx);
}

static int64_t now_of(const struct lane *l) {
    return loop_now(l->owner->options.loop);
}

/* --- of one trouble --------------------------------------------------------------------------- */

/* Looks among the rows of this target, in the order of time. */
struct looking {
    const struct lane *lane;
    const char *kind;
    const char *action; /* which rows; NULL = all but an end */
    char *keys[MAX_REMOVED];
    size_t count, most;
};

static bool look_at(void *ctx, const struct store_row *row) {
    struct looking *k = ctx;
    const struct lane *l = k->lane;
    static const char *const actions[] = {"trigger", "acknowledge", "resolve"};
    char key[512];
    for (size_t i = 0; i < 3; i++) {
        bool wanted = k->action ? str_eq(k->action, actions[i]) : !str_eq(actions[i], "resolve");
        write_key(key, sizeof key, l->target->name, written_at(l, row->key), actions[i],
                  l->message.dedup_key);
        if (wanted && str_eq(row->key, key) && k->count < k->most)
            k->keys[k->count++] = str_dup(row->key);
    }
    return k->count < k->most;
}

static void look(struct looking *k, const char *after) {
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", k->lane->target->name);
    (void)store_scan_keys(k->lane->owner->options.store, k->kind, prefix, after, MAX_LOOK, look_at,
                          k, NULL);
}

/* Whether the end of what is to be sent waits too; then it is in `end`. */
static bool overtaken(struct lane *l) {
    const char *const kinds[] = {waiting_kind, refused_kind};
    if (l->message.over || SEEDED_BUG(BUG_PAGE_STALE))
        return false;
    for (size_t i = 0; i < 2 && !l->end.key; i++) {
        struct looking k = {.lane = l, .kind = kinds[i], .action = "resolve", .most = 1};
        look(&k, l->row.key);
        if (k.count == 0)
            continue;
        if (store_get(l->owner->options.store, kinds[i], k.keys[0], &l->end, NULL) != HARDY_OK)
            l->end = (struct store_row){0};
        free(k.keys[0]);
        l->end_kind = kinds[i];
    }
    return l->end.key != NULL;
}

/* --- what becomes of a row -------------------------------------------------------------------- */

static void on_written(struct loop_post *post) {
    struct lane *l = post->ctx;
    loop_release(l->owner->options.loop);
    settle(l, time_add(now_of(l), l->written_status == HARDY_OK ? 0 : rest));
}

static void on_store_written(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct lane *l = ctx;
    (void)failed;
    (void)error;
    l->written_status = status;
    loop_post(l->owner->options.loop, &l->written);
}

/* Goes on with the next row when it is stored. */
static void write_ops(struct lane *l, const struct store_op *ops, size_t count) {
    l->written = (struct loop_post){.fn = on_written, .ctx = l};
    loop_hold(l->owner->options.loop);
    store_submit(l->owner->options.store, ops, count, on_store_written, l);
}

static struct store_op removal(const char *kind, const char *key) {
    return (struct store_op){
        .kind = STORE_DELETE, .row_kind = kind, .key = key, .if_fence = STORE_ANY_FENCE};
}

static bool was_sent(const struct lane *l, const char *key) {
    for (size_t n = 0; n < MAX_SENT; n++)
        if (str_eq(l->sent[n], key))
            return true;
    return false;
}

/* A row that cannot be removed now, or that is written after what was told from memory, is not sent
 * again by this process at least. */
static void remember_sent(struct lane *l) {
    if (was_sent(l, l->row.key))
        return;
    replace(&l->sent[l->sent_next], l->row.key);
    l->sent_next = (l->sent_next + 1) % MAX_SENT;
}

/* The far side has it. With an end goes what was refused of the same trouble: it must not
 * be offered again behind its end. */
static void remove_row(struct lane *l) {
    struct store_op ops[1 + MAX_REMOVED];
    struct looking k = {.lane = l, .kind = refused_kind, .most = MAX_REMOVED};
    size_t count = 0;
    remember_sent(l);
    if (l->from_memory) {
        drop_urgent(l);
        settle(l, now_of(l));
        return;
    }
    if (SEEDED_BUG(BUG_PAGE_KEPT)) {
        settle(l, time_add(now_of(l), HARDY_SECOND));
        return;
    }
    ops[count++] = removal(l->kind, l->row.key);
    if (l->message.over && !SEEDED_BUG(BUG_PAGE_LEFT))
        look(&k, NULL);
    for (size_t i = 0; i < k.count; i++)
        if (k.keys[i] && strcmp(k.keys[i], l->row.key) < 0)
            ops[count++] = removal(refused_kind, k.keys[i]);
    write_ops(l, ops, count);
    for (size_t i = 0; i < k.count; i++)
        free(k.keys[i]);
}

/* The notice with one more member, as the value of a row. */
static bool add_member(const char *text, size_t len, const char *key, json_t *value,
                       struct buf *out) {
    json_t *notice = json_loadb(text, len, 0, NULL);
    bool good = json_object_set_new(notice, key, value) == 0;
    char *dump = good ? json_dumps(notice, JSON_COMPACT) : NULL;
    good = dump && buf_puts(out, dump);
    free(dump);
    json_decref(notice);
    return good;
}

static void put_aside(struct lane *l) {
    struct buf value;
    if (l->from_memory) { /* kept nowhere */
        drop_urgent(l);
        settle(l, now_of(l));
        return;
    }
    if (l->kind == refused_kind) { /* again */
        replace(&l->after, l->row.key);
        settle(l, now_of(l));
        return;
    }
    buf_init(&value, 2 * MAX_NOTICE);
    bool added = add_member(l->row.value, l->row.len, "refused", json_string(l->said), &value);
    const struct store_op ops[] = {
        removal(waiting_kind, l->row.key),
        {.kind = STORE_PUT,
         .row_kind = refused_kind,
         .key = l->row.key,
         .value = added ? value.data : l->row.value,
         .len = added ? value.len : l->row.len,
         .expires = time_add(loop_wall(l->owner->options.loop), keep_refused)}};
    write_ops(l, ops, 2);
    buf_free(&value);
}

/* In place of both the end is sent, and says so where nothing can have come before. */
static void overtake(struct lane *l) {
    struct buf value;
    struct store_op ops[2];
    size_t count = 0;
    buf_init(&value, 2 * MAX_NOTICE);
    bool untold =
        !l->perhaps && add_member(l->end.value, l->end.len, "untold", json_true(), &value);
    if (l->from_memory)
        drop_urgent(l);
    else
        ops[count++] = removal(l->kind, l->row.key);
    if (untold)
        ops[count++] = (struct store_op){.kind = STORE_UPDATE,
                                         .row_kind = l->end_kind,
                                         .key = l->end.key,
                                         .if_fence = l->end.fence,
                                         .fence = l->end.fence,
                                         .value = value.data,
                                         .len = value.len,
                                         .expires = l->end.expires};
    l->counts[OVERTAKEN]++;
    if (count > 0)
        write_ops(l, ops, count);
    else
        settle(l, now_of(l));
    buf_free(&value);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void tell_delivered(struct lane *l) {
    const struct outbox_options *o = &l->owner->options;
    l->counts[TAKEN]++;
    if (!l->owner->stopped && o->events->delivered)
        o->events->delivered(o->ctx, l->target->name, l->message.dedup_key, l->said);
}

static void tell_failed(struct lane *l, int64_t next) {
    const struct outbox_options *o = &l->owner->options;
    l->counts[next == HARDY_NEVER ? REFUSED : FAILED]++;
    if (!l->owner->stopped && o->events->failed)
        o->events->failed(o->ctx, l->target->name, l->said, next);
}

static void on_attempted(void *ctx, const hardy_outcome *outcome, const char *said) {
    struct lane *l = ctx;
    str_copy(l->said, sizeof l->said, said);
    l->perhaps |= outcome->kind == HARDY_FAILURE && outcome->effect != HARDY_EFFECT_NONE;
    drive_report(l->drive, l->attempt, outcome);
}

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    static const hardy_outcome unsent = {.kind = HARDY_IGNORED, .permanent = true};
    struct lane *l = ctx;
    l->drive = d;
    l->attempt = attempt;
    if (overtaken(l))
        drive_report(d, attempt, &unsent);
    else
        deliver(&l->owner->world, l->target, &l->message, deadline, on_attempted, l, &l->delivery);
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct lane *l = ctx;
    (void)d;
    (void)attempt;
    if (l->delivery)
        deliver_stop(l->delivery);
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
    l->retry_after = step->retry_after;
    l->attempts = step->attempt;
}

static void on_done(void *ctx, struct drive *d) {
    struct lane *l = ctx;
    (void)d;
    l->drive = NULL;
    int64_t span = l->retry_after > 0 ? l->retry_after : rest,
            later = time_add(now_of(l), span < longest_rest ? span : longest_rest);
    if (l->result == HARDY_OK) {
        tell_delivered(l);
        remove_row(l);
    } else if (l->end.key) {
        overtake(l);
    } else if (l->result == HARDY_E_FAILED) {
        tell_failed(l, HARDY_NEVER);
        put_aside(l);
    } else {
        if (l->attempts > 0) /* and was not held back by the breaker */
            tell_failed(l, later);
        if (SEEDED_BUG(BUG_PAGE_PASSED))
            replace(&l->after, l->row.key);
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

static hardy_status load_stored(struct lane *l) {
    const struct outbox_options *o = &l->owner->options;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", l->target->name);
    hardy_status status = store_scan(o->store, l->kind, prefix, l->after, 1, take_first, l, NULL);
    if (status == HARDY_OK && !l->row.key && l->kind == refused_kind) { /* each was offered */
        l->kind = waiting_kind;
        replace(&l->after, NULL);
        status = store_scan(o->store, l->kind, prefix, l->after, 1, take_first, l, NULL);
    }
    if (l->row.key && loop_wall(o->loop) - written_at(l, l->row.key) < l->min_age)
        drop_row(&l->row);
    return status;
}

/* The next notice into `row`, whose key is NULL when there is none. */
static hardy_status load_next(struct lane *l) {
    hardy_status status = HARDY_OK;
    if (l->urgent) {
        l->from_memory = true;
        l->row.key = str_dup(l->urgent->key);
        l->row.value = str_ndup(l->urgent->value, l->urgent->len);
        l->row.len = l->urgent->len;
    } else {
        status = load_stored(l);
    }
    if (status != HARDY_OK || !l->row.key)
        return status;
    bool read = l->row.value && message_read(l->row.key, l->row.value, l->row.len, &l->message);
    return read ? HARDY_OK : HARDY_E_NOMEM;
}

static void on_look(struct loop_timer *timer) {
    static const struct drive_events events = {on_call, on_stop, on_waiting, on_result, on_done};
    struct lane *l = timer->ctx;
    hardy_op_options options;
    hardy_error error;
    if (l->busy)
        return;
    hardy_status status = load_next(l);
    if (status != HARDY_OK || !l->row.key) { /* a store that cannot be read now; nothing to send */
        settle(l, status == HARDY_OK ? HARDY_NEVER : time_add(now_of(l), rest));
        return;
    }
    l->busy = true;
    if (!l->from_memory && was_sent(l, l->row.key)) {
        remove_row(l);
        return;
    }
    if (SEEDED_BUG(BUG_PAGE_LOST)) {
        const struct store_op op = removal(l->kind, l->row.key);
        (void)store_apply(l->owner->options.store, &op, 1, HARDY_NEVER, NULL, NULL);
    }
    hardy_op_options_init(&options, sizeof options);
    hardy_error_init(&error, sizeof error);
    l->result = HARDY_E_EXHAUSTED;
    l->retry_after = -1;
    if (drive_start(l->owner->options.loop, l->guard, &options, &events, l, &l->drive, &error) !=
        HARDY_OK)
        settle(l, time_add(now_of(l), rest));
}

/* --- the whole -------------------------------------------------------------------------------- */

static hardy_status make_guard(struct outbox *o, struct lane *l, hardy_error *error) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_env env = loop_env(o->options.loop);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    hardy_rate_config_init(&rate, sizeof rate);
    retry.max_retries = 5;
    retry.base_delay = 500 * HARDY_MILLISECOND;
    retry.max_delay = 10 * HARDY_SECOND;
    retry.max_total_wait = longest_rest;
    retry.repeatable = true; /* the far side drops a second copy by its dedup key */
    breaker.counts_attempts = true;
    breaker.recovery_timeout = rest;
    breaker.success_threshold = breaker.half_open_max_calls = 1;
    breaker.close_ramp = 0; /* they go one after another anyway */
    config.name = l->target->name;
    config.timeout = l->target->timeout;
    config.retry = &retry;
    config.breaker = &breaker;
    if (l->target->type == NOTIFY_SLACK)
        config.rate = &rate; /* what one hook takes: one a second */
    return hardy_guard_new(&config, &env, &l->guard, error);
}

hardy_status outbox_start(const struct outbox_options *options, struct outbox **out,
                          hardy_error *error) {
    const struct notify_target *items = options->targets->items;
    struct outbox *o = calloc(1, sizeof *o);
    if (o)
        o->lanes = calloc(options->targets->count + 1, sizeof *o->lanes);
    if (!o || !o->lanes) {
        free(o);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the outbox");
    }
    o->options = *options;
    o->world = (struct deliver_world){options->loop, options->client, options->env};
    for (size_t i = 0; i < options->targets->count; i++) {
        struct lane *l = &o->lanes[o->count++];
        l->owner = o;
        l->target = &items[i];
        l->kind = refused_kind;
        loop_timer_init(&l->timer, on_look, l);
        hardy_status status = make_guard(o, l, error);
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
    struct loop *loop = o->options.loop;
    for (size_t i = 0; i < o->count; i++) {
        o->lanes[i].min_age = 0;
        if (!o->lanes[i].busy)
            loop_timer_start(loop, &o->lanes[i].timer, loop_now(loop));
    }
}

void outbox_look(struct outbox *o, int64_t age) {
    struct loop *loop = o->options.loop;
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        if (l->busy || heap_contains(&l->timer.node))
            continue;
        l->min_age = age;
        loop_timer_start(loop, &l->timer, loop_now(loop));
    }
}

hardy_status outbox_tell(struct outbox *o, const struct notify_target *target,
                         const struct notice *notice, hardy_error *error) {
    struct loop *loop = o->options.loop;
    for (size_t i = 0; i < o->count; i++) {
        struct lane *l = &o->lanes[i];
        if (l->target != target)
            continue;
        if (l->urgent_count == MAX_URGENT)
            return fail(error, HARDY_E_FULL, NULL, "%d notices wait for %s already", MAX_URGENT,
                        target->name);
        struct parcel *p = pack(target, notice, loop_wall(loop));
        if (!p)
            return fail(error, HARDY_E_NOMEM, NULL, "no memory for a notice to %s", target->name);
        struct parcel **end = &l->urgent;
        while (*end)
            end = &(*end)->next;
        *end = p;
        l->urgent_count++;
        if (!l->busy)
            loop_timer_start(loop, &l->timer, loop_now(loop));
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

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static size_t count_rows(const struct lane *l) {
    size_t count = l->urgent_count;
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", l->target->name);
    (void)store_scan_keys(l->owner->options.store, waiting_kind, prefix, NULL, SIZE_MAX, count_row,
                          &count, NULL);
    return count;
}

void outbox_write_metrics(const struct outbox *o, struct exposition *x) {
    if (o->count == 0)
        return;
    exposition_family(x, "hardy_notify_sent_total", "counter",
                      "Notices by what became of them; failed: an attempt that is repeated");
    for (size_t i = 0; i < o->count; i++)
        for (size_t r = 0; r < RESULTS; r++)
            exposition_sample(x, "hardy_notify_sent_total", (double)o->lanes[i].counts[r], "target",
                              o->lanes[i].target->name, "result", result_text[r], NULL);
    exposition_family(x, "hardy_notify_outbox", "gauge", "Notices that wait to be taken");
    for (size_t i = 0; i < o->count; i++)
        exposition_sample(x, "hardy_notify_outbox", (double)count_rows(&o->lanes[i]), "target",
                          o->lanes[i].target->name, NULL);
}

void outbox_stop(struct outbox *o, void (*gone)(void *ctx), void *ctx) {
    o->stopped = true;
    o->gone = gone;
    o->gone_ctx = ctx;
    for (size_t i = 0; i < o->count; i++) {
        loop_timer_stop(o->options.loop, &o->lanes[i].timer);
        if (o->lanes[i].drive)
            drive_cancel(o->lanes[i].drive);
    }
    free_if_over(o);
}
