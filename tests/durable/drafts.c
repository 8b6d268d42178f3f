/* SPDX-License-Identifier: Apache-2.0 */
#include "drafts.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BOOT "3f2504e0-4f89-41d3-9a0c-0305e82c3301"

static char *text(const char *s) {
    char *copy = str_dup(s);
    if (!copy) {
        abort();
    }
    return copy;
}

static void init(struct drafts *d) {
    *d = (struct drafts){0};
    for (size_t i = 0; i < 3; i++) {
        buf_init(&d->values[i], 1 << 20);
    }
}

void drafts_new(struct drafts *d, const char *id, int steps) {
    struct run *r = &d->run;
    init(d);
    r->id = text(id);
    r->name = text("drafted");
    r->file = text("/srv/workflows/drafted.yaml");
    r->input = text("{\"name\":\"shop\"}");
    memcpy(r->definition, HASH, sizeof r->definition);
    memcpy(r->input_hash, HASH, sizeof r->input_hash);
    r->fence = 1;
    r->count = (size_t)steps;
    r->steps = calloc(r->count, sizeof *r->steps);
    for (size_t i = 0; i < r->count; i++) {
        char name[32];
        if (!r->steps) {
            abort();
        }
        snprintf(name, sizeof name, "s%zu", i + 1);
        r->steps[i].name = text(name);
        memcpy(r->steps[i].definition, HASH, sizeof r->steps[i].definition);
        record_init(&r->steps[i].record);
    }
}

hardy_status drafts_load(struct drafts *d, struct store *store, const char *id,
                         hardy_error *error) {
    init(d);
    return run_load(store, id, &d->run, error);
}

void drafts_free(struct drafts *d) {
    run_free(&d->run);
    for (size_t i = 0; i < 3; i++) {
        buf_free(&d->values[i]);
    }
}

size_t drafts_step(const struct drafts *d) {
    size_t i = 0;
    while (i < d->run.count && d->run.steps[i].record.state == RECORD_DONE) {
        i++;
    }
    return i;
}

/* --- operations ------------------------------------------------------------------------------- */

static void add_run(struct drafts *d, enum store_op_kind kind) {
    struct store_op *op = &d->ops[d->count];
    struct buf *value = &d->values[d->count++];
    *op = (struct store_op){.kind = kind,
                            .row_kind = "run",
                            .key = d->run.id,
                            .if_fence = d->run.fence,
                            .fence = d->run.fence};
    if (kind != STORE_REQUIRE) {
        buf_reset(value);
        run_encode(&d->run, value);
        op->value = value->data;
        op->len = value->len;
    }
}

static void add_record(struct drafts *d, const struct record *r, int64_t before) {
    struct buf *value = &d->values[d->count];
    buf_reset(value);
    record_op(r, before, value, &d->ops[d->count++]);
}

static void start(struct drafts *d, size_t step, int64_t wall) {
    struct run_step *s = &d->run.steps[step];
    struct record *r = &s->record;
    int64_t before = r->state == RECORD_PENDING ? -1 : r->fence;
    if (before < 0) {
        r->row_kind = text("step");
        r->key = run_step_key(d->run.id, step, s->name);
        r->name = text(s->name);
        r->params = text("{\"run\":[\"true\"]}");
        r->idempotency_key = text(HASH);
        memcpy(r->fingerprint, HASH, sizeof r->fingerprint);
        r->created = wall;
    }
    r->state = RECORD_STARTED;
    r->fence = before < 0 ? 1 : before + 1;
    r->attempt++;
    r->started = wall;
    memcpy(r->boot, BOOT, sizeof r->boot);
    add_record(d, r, before);
}

void draft_begin(struct drafts *d, int64_t wall) {
    d->count = 0;
    d->run.created = wall;
    add_run(d, STORE_INSERT);
    start(d, 0, wall);
}

void draft_go_on(struct drafts *d, const char *output, int64_t wall) {
    size_t step = drafts_step(d);
    struct record *r = &d->run.steps[step].record;
    bool last = step + 1 == d->run.count;
    d->count = 0;
    r->state = RECORD_DONE;
    r->ended = wall;
    r->output = text(output);
    r->output_len = strlen(output);
    if (last) {
        d->run.state = RUN_DONE;
        d->run.ended = wall;
    }
    add_run(d, last ? STORE_UPDATE : STORE_REQUIRE);
    add_record(d, r, r->fence);
    if (!last) {
        start(d, step + 1, wall);
    }
}

void draft_again(struct drafts *d, int64_t wall) {
    d->count = 0;
    add_run(d, STORE_REQUIRE);
    start(d, drafts_step(d), wall);
}
