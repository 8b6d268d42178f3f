/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "durable/field.h"
#include "notify/notify.h"
#include "supervise/fail_over_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 1 << 20, MAX_SUMMARY = 1000 };
static const int64_t keep_events = 90 * HARDY_DAY, try_again = 5 * HARDY_SECOND;

void group_tell(struct group *g, const char *what, const char *detail) {
    struct fail_over *f = g->owner;
    if (f->events->told && !f->stopping)
        f->events->told(f->ctx, g->settings->name, loop_wall(f->world.loop), what, detail);
}

/* --- what goes with the next write ------------------------------------------------------------ */

/* `memory` is taken. */
static bool add_op(struct group *g, const struct store_op *op, void *memory) {
    if (g->op_count == g->op_cap) {
        size_t cap = g->op_cap ? 2 * g->op_cap : 8;
        struct store_op *ops = realloc(g->ops, cap * sizeof *ops);
        g->ops = ops ? ops : g->ops;
        void **list = ops ? realloc(g->memory, cap * sizeof *list) : NULL;
        g->memory = list ? list : g->memory;
        if (!list) {
            free(memory);
            return false;
        }
        g->op_cap = cap;
    }
    g->ops[g->op_count] = *op;
    g->memory[g->op_count++] = memory;
    return true;
}

void group_forget(struct group *g) {
    for (size_t n = 0; n < g->op_count; n++)
        free(g->memory[n]);
    g->op_count = g->note_count = 0;
    g->pages = false;
}

void group_write_free(struct group *g) {
    group_forget(g);
    free(g->ops);
    free(g->memory);
    buf_free(&g->row);
}

static void add_event(struct group *g, const char *what, const char *detail) {
    int64_t wall = loop_wall(g->owner->world.loop);
    struct buf text;
    struct json_out j;
    char key[100];
    snprintf(key, sizeof key, "%s/%06llu", g->settings->name,
             (unsigned long long)++g->record.events);
    buf_init(&text, MAX_VALUE);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    field_put_time(&j, "at", wall);
    json_out_member_string(&j, "what", what);
    json_out_member_string(&j, "detail", detail);
    json_out_member_string(&j, "active", g->record.active);
    json_out_member_count(&j, "number", g->record.number);
    json_out_object_end(&j);
    struct store_op op = {.kind = STORE_PUT,
                          .row_kind = FAIL_OVER_EVENT_ROW,
                          .len = text.len,
                          .expires = time_add(wall, keep_events)};
    /* Its key behind its value: one piece of memory. */
    bool good = buf_append(&text, "", 1) && buf_puts(&text, key);
    char *memory = good ? buf_take(&text) : NULL;
    buf_free(&text);
    if (!memory)
        return;
    op.value = memory;
    op.key = memory + op.len + 1;
    (void)add_op(g, &op, memory);
}

void group_note(struct group *g, const char *what, const char *format, ...) {
    struct group_note *note =
        &g->notes[g->note_count < GROUP_NOTES - 1 ? g->note_count : GROUP_NOTES - 1];
    va_list args;
    va_start(args, format);
    vsnprintf(note->detail, sizeof note->detail, format, args);
    va_end(args);
    note->what = what;
    g->note_count = (size_t)(note - g->notes) + 1;
    add_event(g, what, note->detail);
}

/* A notice and what it borrows. */
struct paging {
    struct notice notice;
    char summary[MAX_SUMMARY], key[100];
    struct buf details;
};

static void paging_init(struct paging *p, const struct group *g, const char *action,
                        const char *text) {
    const struct fail_over_settings *s = g->settings;
    struct json_out j;
    buf_init(&p->details, MAX_VALUE);
    json_out_init(&j, &p->details, 0);
    group_to_json(g, &j);
    snprintf(p->summary, sizeof p->summary, "%s: %.800s", s->name, text);
    snprintf(p->key, sizeof p->key, "fail_over/%s", s->name);
    p->notice = (struct notice){.action = action,
                                .dedup_key = p->key,
                                .summary = p->summary,
                                .severity = fail_over_severity(s),
                                .source = s->name,
                                .details = p->details.failed ? NULL : p->details.data};
}

void group_page(struct group *g, const char *action, const char *text) {
    const struct fail_over_settings *s = g->settings;
    struct paging p;
    paging_init(&p, g, action, text);
    for (size_t n = 0; n < s->escalate.count; n++) {
        const struct notify_target *target =
            notify_find(g->owner->world.targets, s->escalate.items[n]);
        struct store_op op;
        void *memory;
        hardy_error error;
        if (target && outbox_row(target, &p.notice, loop_wall(g->owner->world.loop), &op, &memory,
                                 &error) == HARDY_OK)
            g->pages |= add_op(g, &op, memory);
    }
    buf_free(&p.details);
}

static void page_at_once(struct group *g, const char *text) {
    const struct fail_over *f = g->owner;
    const struct fail_over_settings *s = g->settings;
    struct paging p;
    paging_init(&p, g, "trigger", text);
    for (size_t n = 0; n < s->escalate.count && f->events->urgent; n++) {
        const struct notify_target *target = notify_find(f->world.targets, s->escalate.items[n]);
        if (target)
            f->events->urgent(f->ctx, target, &p.notice);
    }
    buf_free(&p.details);
    fail_over_told(&g->machine, FAIL_OVER_PAGE); /* whoever hears of it wants to hear its end */
}

void group_held_up(struct group *g, const hardy_error *error, void (*again)(struct group *g)) {
    char text[700], span[48];
    format_duration_short(try_again, span);
    if (!g->trouble_told) {
        snprintf(text, sizeof text, "%.300s; nothing is done until that is over, tried every %s",
                 error->message, span);
        group_tell(g, "held up", text);
        snprintf(text, sizeof text, "hardy cannot help (%.300s)%s%.300s", error->message,
                 g->note_count ? "; " : "", g->note_count ? g->notes[0].detail : "");
        page_at_once(g, text);
    }
    g->held_up = g->trouble_told = true;
    g->rested = again;
    loop_timer_start(g->owner->world.loop, &g->rest,
                     time_add(loop_now(g->owner->world.loop), try_again));
}

/* --- the write -------------------------------------------------------------------------------- */

static void submit(struct group *g);

static void on_written(struct batch *b, hardy_status status) {
    struct group *g = b->ctx;
    struct fail_over *f = g->owner;
    g->writing = false;
    if (f->stopping) {
        group_written_late(g);
        return;
    }
    if (status == HARDY_E_FENCED || status == HARDY_E_EXISTS) {
        group_forget(g);
        group_lost(g, "another hardy has written its record: it is read again");
        return;
    }
    if (status != HARDY_OK) {
        group_held_up(g, &b->error, g->refused ? g->refused : submit);
        return;
    }
    g->held_up = g->trouble_told = false;
    for (size_t n = 0; n < g->note_count; n++)
        group_tell(g, g->notes[n].what, g->notes[n].detail);
    bool pages = g->pages;
    group_forget(g);
    if (pages && f->events->paged)
        f->events->paged(f->ctx);
    if (!g->record.told && g->machine.told != FAIL_OVER_WELL)
        group_write(g, g->then, g->refused); /* people heard of it while nothing could be written */
    else
        g->then(g);
}

static void submit(struct group *g) {
    const struct fail_over_world *world = &g->owner->world;
    g->writing = true;
    if (g->row.failed)
        batch_refuse(&g->batch, world->loop, HARDY_E_NOMEM, "no memory for its record", on_written,
                     g);
    else
        batch_submit(&g->batch, world->loop, world->store, g->ops, g->op_count, on_written, g);
}

void group_write(struct group *g, void (*then)(struct group *g), void (*refused)(struct group *g)) {
    struct store_op op;
    char *owner = str_dup(g->owner->world.self);
    free(g->record.owner);
    g->record.owner = owner;
    g->then = then;
    g->refused = refused;
    g->record.told = g->machine.told != FAIL_OVER_WELL;
    g->record.told_out = g->machine.told == FAIL_OVER_OUT;
    fail_over_record_op(&g->record, g->settings->name, &g->row, &op);
    /* Without memory for the list even the row's own operation is missing: nothing is written. */
    g->row.failed |= !add_op(g, &op, NULL);
    submit(g);
}
