/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a child, and the notices that are written with it. */
#include "base/clock.h"
#include "base/str.h"
#include "notify/notify.h"
#include "supervise/children_parts.h"
#include <stdio.h>
#include <stdlib.h>

static const int64_t again_after = 10 * HARDY_SECOND;
enum { MAX_ROW = 64 << 10, MAX_PAGES = 16 };
static const int64_t kept = 90 * HARDY_DAY; /* the record of one that is not supervised any more */

static void on_written(struct batch *b, hardy_status status) {
    struct supervised *r = b->ctx;
    if (status != HARDY_OK && !r->refused)
        supervised_told(r, "not recorded", "%s; killed now, the next hardy knows less of it",
                        b->error.message);
    r->refused = status != HARDY_OK;
    if (status == HARDY_OK && r->page_under_way && r->all->events->paged) {
        r->all->events->paged(r->all->ctx);
    } else if (status != HARDY_OK && r->page_under_way && !r->page) {
        r->page = r->page_under_way; /* somebody has to be told all the same */
        loop_timer_start(loop_of(r), &r->again, time_add(loop_now(loop_of(r)), again_after));
    }
    if (r->dirty)
        supervised_write(r);
    children_changed(r->all);
}

static size_t put_pages(struct supervised *r, struct store_op *ops, void **memory) {
    const struct children_world *w = r->all->world;
    char key[160];
    size_t count = 0;
    snprintf(key, sizeof key, "hardy/%.8s/child/%s", r->all->token, r->s->name);
    struct notice notice = {.action = r->page,
                            .dedup_key = key,
                            .summary = r->page_summary,
                            .severity = r->s->critical ? "critical" : "high",
                            .source = r->s->name};
    for (size_t n = 0; w->targets && n < r->s->escalate.count && count < MAX_PAGES; n++) {
        const struct notify_target *t = notify_find(w->targets, r->s->escalate.items[n]);
        if (t && outbox_row(t, &notice, loop_wall(w->loop), &ops[count], &memory[count], NULL) ==
                     HARDY_OK)
            count++;
    }
    return count;
}

void supervised_write(struct supervised *r) {
    const struct children_world *w = r->all->world;
    struct store_op ops[MAX_PAGES + 1];
    void *memory[MAX_PAGES];
    struct buf value;
    r->dirty = r->batch.busy;
    if (r->dirty)
        return; /* when that is over */
    size_t pages = r->page ? put_pages(r, ops, memory) : 0;
    r->page_under_way = pages > 0 ? r->page : NULL;
    r->page = NULL;
    int64_t wall = loop_wall(w->loop);
    buf_init(&value, MAX_ROW);
    str_copy(r->record.boot, sizeof r->record.boot, w->boot);
    child_record_encode(&r->record, &r->machine, &value);
    ops[pages] = (struct store_op){.kind = STORE_PUT,
                                   .row_kind = "child",
                                   .key = r->s->name,
                                   .expires = r->record.left ? 0 : time_add(wall, kept),
                                   .value = value.data,
                                   .len = value.len};
    batch_submit(&r->batch, w->loop, w->store, ops, pages + 1, on_written, r);
    for (size_t n = 0; n < pages; n++)
        free(memory[n]);
    buf_free(&value);
}

void supervised_page(struct supervised *r, const char *action, const char *summary) {
    r->page = action;
    str_copy(r->page_summary, sizeof r->page_summary, summary);
    r->record.paged = str_eq(action, "trigger");
}
