/* SPDX-License-Identifier: Apache-2.0 */
#include "drafts.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
/* Of a boot that is over. */
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
    for (size_t i = 0; i < 4; i++) {
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
    r->root = run_step_new(NULL, RUN_SEQUENCE, r->name);
    for (int i = 0; r->root && i < steps; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", i + 1);
        struct run_step *s = run_step_new(r->root, RUN_LEAF, name);
        if (!s) {
            abort();
        }
        memcpy(s->definition, HASH, sizeof s->definition);
    }
    d->lease.key = str_format("run/%s", id);
    snprintf(d->lease.owner, sizeof d->lease.owner, "pid 4711 (run)");
    if (!r->root || !run_step_make_keys(r->root, id) || !d->lease.key) {
        abort();
    }
}

hardy_status drafts_load(struct drafts *d, struct store *store, const char *id,
                         hardy_error *error) {
    init(d);
    hardy_status status = run_load(store, id, &d->run, error);
    return status == HARDY_OK ? run_lease_load(store, id, &d->lease, error) : status;
}

void drafts_free(struct drafts *d) {
    run_free(&d->run);
    run_lease_free(&d->lease);
    for (size_t i = 0; i < 4; i++) {
        buf_free(&d->values[i]);
    }
}

struct run_step *drafts_step(const struct drafts *d) {
    const struct run_step *root = d->run.root;
    for (size_t i = 0; i < root->count; i++) {
        if (root->children[i]->record.state != RECORD_DONE) {
            return root->children[i];
        }
    }
    return NULL;
}

/* --- operations ------------------------------------------------------------------------------- */

static void add_run(struct drafts *d, enum store_op_kind kind) {
    struct buf *value = &d->values[d->count];
    buf_reset(value);
    run_encode(&d->run, value);
    d->ops[d->count++] = (struct store_op){.kind = kind,
                                           .row_kind = "run",
                                           .key = d->run.id,
                                           .if_fence = STORE_ANY_FENCE,
                                           .fence = 1,
                                           .value = value->data,
                                           .len = value->len};
}

static void add_lease(struct drafts *d, int64_t wall) {
    int64_t before = d->lease.fence++;
    d->lease.until = moment_after(BOOT, wall, wall, 30 * HARDY_SECOND);
    run_lease_op(&d->lease, before, &d->values[d->count], &d->ops[d->count]);
    d->count++;
}

static void add_record(struct drafts *d, const struct record *r, int64_t before) {
    struct buf *value = &d->values[d->count];
    buf_reset(value);
    record_op(r, before, value, &d->ops[d->count++]);
}

static void start(struct drafts *d, struct run_step *s, int64_t wall) {
    struct record *r = &s->record;
    int64_t before = r->state == RECORD_PENDING ? -1 : r->fence;
    if (before < 0) {
        record_free(r);
        record_init(r);
        r->row_kind = text("step");
        r->key = text(s->key);
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
    add_lease(d, wall);
    start(d, d->run.root->children[0], wall);
}

void draft_go_on(struct drafts *d, const char *output, int64_t wall) {
    struct record *r = &drafts_step(d)->record;
    d->count = 0;
    d->ops[d->count++] = run_lease_require(&d->lease);
    r->state = RECORD_DONE;
    r->ended = wall;
    r->output = text(output);
    r->output_len = strlen(output);
    add_record(d, r, r->fence);
    if (drafts_step(d)) {
        start(d, drafts_step(d), wall);
        return;
    }
    d->run.state = RUN_DONE;
    d->run.ended = wall;
    add_run(d, STORE_UPDATE);
}

void draft_take_over(struct drafts *d, int64_t wall) {
    d->count = 0;
    add_lease(d, wall);
}

void draft_again(struct drafts *d, int64_t wall) {
    d->count = 0;
    d->ops[d->count++] = run_lease_require(&d->lease);
    start(d, drafts_step(d), wall);
}
