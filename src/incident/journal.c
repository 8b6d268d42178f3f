/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/journal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 16 << 20, MAX_TEXT = 480 };
static const int64_t first_pause = HARDY_SECOND, longest_pause = 30 * HARDY_SECOND;

static void forget_note(struct journal *j) {
    struct journal_note *n = &j->notes[--j->note_count];
    free(n->what);
    free(n->detail);
    free(n->key);
    free(n->value);
}

static void forget(struct journal *j) {
    loop_timer_stop(j->loop, &j->timer);
    while (j->note_count > 0)
        forget_note(j);
    for (size_t n = 0; n < j->op_count; n++)
        free(j->memory[n]);
    free(j->ops);
    free(j->memory);
    j->ops = NULL;
    j->memory = NULL;
    j->op_count = 0;
    buf_free(&j->incident);
}

static void on_again(struct loop_timer *timer);

void journal_init(struct journal *j, struct loop *loop, struct store *store, int64_t keep,
                  const struct journal_events *events, void *ctx) {
    *j = (struct journal){.loop = loop,
                          .store = store,
                          .events = events,
                          .ctx = ctx,
                          .keep = keep,
                          .pause = first_pause};
    buf_init(&j->incident, MAX_VALUE);
    loop_timer_init(&j->timer, on_again, j);
}

void journal_note(struct journal *j, struct incident *i, const char *what, bool shown,
                  const char *format, ...) {
    char detail[MAX_TEXT], wall[40];
    struct buf value;
    struct json_out out;
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    str_make_printable(detail);
    if (j->note_count == JOURNAL_NOTES) /* the latest of a remedy that is retried without end */
        forget_note(j);
    struct journal_note *n = &j->notes[j->note_count++];
    *n = (struct journal_note){.wall = loop_wall(j->loop),
                               .what = str_dup(what),
                               .detail = str_dup(detail),
                               .key = str_format("%s/%06u", i->id, ++i->events),
                               .shown = shown};
    buf_init(&value, MAX_VALUE);
    json_out_init(&out, &value, 0);
    clock_format_wall(n->wall, wall);
    json_out_object(&out);
    json_out_key(&out, "at");
    json_out_string(&out, wall);
    json_out_key(&out, "what");
    json_out_string(&out, what);
    json_out_key(&out, "detail");
    json_out_string(&out, detail);
    json_out_object_end(&out);
    n->value = value.failed ? NULL : buf_take(&value);
    buf_free(&value);
}

bool journal_add(struct journal *j, const struct store_op *op, void *memory) {
    struct store_op *ops = realloc(j->ops, (j->op_count + 1) * sizeof *ops);
    if (ops)
        j->ops = ops;
    void **memories = ops ? realloc(j->memory, (j->op_count + 1) * sizeof *memories) : NULL;
    if (!memories) {
        free(memory);
        return false;
    }
    j->memory = memories;
    j->ops[j->op_count] = *op;
    j->memory[j->op_count++] = memory;
    return true;
}

static void on_written(struct batch *b, hardy_status status) {
    struct journal *j = b->ctx;
    if (j->left) {
        forget(j);
        j->events->gone(j->ctx);
        return;
    }
    switch (status) {
    case HARDY_OK:
        j->pause = first_pause;
        for (size_t n = 0; n < j->note_count; n++)
            if (!j->notes[n].shown)
                j->events->told(j->ctx, j->notes[n].wall, j->notes[n].what, j->notes[n].detail);
        forget(j);
        j->events->written(j->ctx);
        break;
    case HARDY_E_NOSPACE: /* nothing was stored, and it may work later */
    case HARDY_E_NOMEM:
    case HARDY_E_FULL:
    case HARDY_E_TIMEOUT:
        loop_timer_start(j->loop, &j->timer, time_add(loop_now(j->loop), j->pause));
        j->events->trouble(j->ctx, &b->error, j->pause);
        j->pause = 2 * j->pause > longest_pause ? longest_pause : 2 * j->pause;
        break;
    default:
        j->events->failed(j->ctx, &b->error);
        break;
    }
}

static void submit(struct journal *j) {
    struct store_op *ops = calloc(1 + j->op_count + j->note_count, sizeof *ops);
    size_t count = 0;
    if (!ops) {
        batch_refuse(&j->batch, j->loop, HARDY_E_NOMEM, "no memory to write", on_written, j);
        return;
    }
    ops[count++] = j->head;
    for (size_t n = 0; n < j->op_count; n++)
        ops[count++] = j->ops[n];
    for (size_t n = 0; n < j->note_count; n++)
        if (j->notes[n].key && j->notes[n].value)
            ops[count++] = (struct store_op){.kind = STORE_PUT,
                                             .row_kind = "event",
                                             .key = j->notes[n].key,
                                             .value = j->notes[n].value,
                                             .len = strlen(j->notes[n].value),
                                             .expires = time_add(j->notes[n].wall, j->keep)};
    batch_submit(&j->batch, j->loop, j->store, ops, count, on_written, j);
    free(ops);
}

static void on_again(struct loop_timer *timer) {
    submit(timer->ctx);
}

void journal_write(struct journal *j, struct incident *i, bool exists) {
    int64_t before = i->fence++;
    buf_reset(&j->incident);
    incident_encode(i, &j->incident);
    j->head = (struct store_op){.kind = exists ? STORE_UPDATE : STORE_INSERT,
                                .row_kind = "incident",
                                .key = i->id,
                                .if_fence = before,
                                .fence = i->fence,
                                .value = j->incident.data,
                                .len = j->incident.len};
    if (i->state == INCIDENT_RESOLVED || i->state == INCIDENT_ESCALATED)
        j->head.expires = time_add(i->ended, j->keep);
    if (j->incident.failed)
        batch_refuse(&j->batch, j->loop, HARDY_E_TOO_LARGE, "the incident does not fit a record",
                     on_written, j);
    else
        submit(j);
}

bool journal_leave(struct journal *j) {
    j->left = true;
    if (j->batch.busy)
        return false;
    forget(j);
    return true;
}
