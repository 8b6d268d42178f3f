/* SPDX-License-Identifier: Apache-2.0 */
#include "work/resolve.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "durable/action.h"
#include "durable/batch.h"
#include "io/file.h"
#include "io/shim.h"
#include "work/place.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ENCODED = 16 << 20 };

/* An owner of its own ran it: it has left no files, only its lease. */
static hardy_status check_lease(struct loop *loop, const struct record *r, hardy_error *error) {
    struct moment now = {.monotonic = loop_now(loop), .wall = loop_wall(loop)};
    char text[48];
    int64_t left;
    file_boot_id(now.boot);
    if (!action_runs(r, &now, &left)) {
        return HARDY_OK;
    }
    format_duration_short(left, text);
    return fail(error, HARDY_E_RUNNING, NULL,
                "%s is still run by %s; its lease runs for another %s, unless it is renewed",
                r->key, r->owner ? r->owner : "its owner", text);
}

/* In doubt, or left behind as started by a process that is gone. */
static hardy_status check_in_doubt(struct loop *loop, const struct step_place *place,
                                   const struct record *r, hardy_error *error) {
    struct shim_result result = {0};
    enum shim_state world = SHIM_LOST;
    if (r->state == RECORD_IN_DOUBT) {
        return HARDY_OK;
    }
    if (r->state != RECORD_STARTED) {
        return fail(error, HARDY_E_CLOSED, NULL, "%s is %s, not in doubt", r->key,
                    record_state_text(r->state));
    }
    if (moment_is_set(&r->lease)) {
        return check_lease(loop, r, error);
    }
    if (!place->stem) {
        return HARDY_OK; /* in memory */
    }
    char *base = step_place_run(place, r->fence);
    hardy_status status = base ? shim_look(loop, base, r->boot, &world, &result, error)
                               : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    free(base);
    if (status != HARDY_OK) {
        return status;
    }
    shim_result_free(&result);
    if (world == SHIM_RUNNING) {
        return fail(error, HARDY_E_RUNNING, NULL, "%s is still running", r->key);
    }
    if (world == SHIM_ENDED) {
        return fail(error, HARDY_E_CLOSED, NULL,
                    "%s has ended and left its result; the same command again records it", r->key);
    }
    return HARDY_OK;
}

struct resolving {
    struct loop *loop;
    struct step_place place;
    struct record record;
    struct buf value;
    struct store_op op;
    int64_t before; /* its fence */
    int lock;       /* the key's, held by who decides; -1 = not */

    struct batch batch;
    record_resolved done;
    void *ctx;
};

static void resolving_free(struct resolving *v) {
    if (v->lock >= 0) {
        close(v->lock);
    }
    buf_free(&v->value);
    record_free(&v->record);
    step_place_free(&v->place);
}

/* Up to what has to be written. resolving_free() also after a failure. */
static hardy_status prepare(struct resolving *v, struct loop *loop, struct store *store,
                            const char *state, const struct resolution *how, hardy_error *error) {
    struct record *r = &v->record;
    *v = (struct resolving){.loop = loop, .lock = -1};
    record_init(r);
    buf_init(&v->value, MAX_ENCODED);
    hardy_status status = HARDY_OK;
    if (state) {
        status = step_place_find(state, how->row_kind, how->key, &v->place, error);
        if (status == HARDY_OK) {
            status = step_place_lock(&v->place, &v->lock, error);
        }
        if (status == HARDY_E_RUNNING) {
            fail(error, status, NULL, "another hardy is at work on %s", how->key);
        }
    }
    if (status == HARDY_OK) {
        status = record_load(store, how->row_kind, how->key, r, error);
    }
    if (status == HARDY_OK) {
        status = check_in_doubt(loop, &v->place, r, error);
    }
    if (status == HARDY_OK) {
        v->before = r->fence++;
        record_settle(r, how->how, how->result, how->who, loop_wall(loop));
        record_op(r, v->before, &v->value, &v->op);
        status = v->value.failed
                     ? fail(error, HARDY_E_NOMEM, NULL, "no memory for the record of %s", how->key)
                     : HARDY_OK;
    }
    return status;
}

/* It is written: files of the run that is settled now are of no use. */
static void forget(struct resolving *v) {
    char *base = v->place.stem ? step_place_run(&v->place, v->before) : NULL;
    if (base) {
        shim_forget(v->loop, base);
    }
    free(base);
}

hardy_status record_resolve(struct loop *loop, struct store *store, const char *state,
                            const char *row_kind, const char *key, enum resolve_how how,
                            const char *result, const char *who, int64_t deadline,
                            hardy_error *error) {
    struct resolving v;
    const struct resolution resolution = {row_kind, key, how, result, who};
    hardy_status status = prepare(&v, loop, store, state, &resolution, error);
    if (status == HARDY_OK) {
        status = store_apply(store, &v.op, 1, deadline, NULL, error);
    }
    if (status == HARDY_OK) {
        forget(&v);
    }
    resolving_free(&v);
    return status;
}

static void on_written(struct batch *b, hardy_status status) {
    struct resolving *v = b->ctx;
    record_resolved done = v->done;
    void *ctx = v->ctx;
    hardy_error error = b->error;
    if (status == HARDY_OK) {
        forget(v);
    }
    struct record record = v->record;
    record_init(&v->record);
    resolving_free(v);
    free(v);
    done(ctx, status, &record, &error);
    record_free(&record);
}

hardy_status record_resolve_start(struct loop *loop, struct store *store, const char *state,
                                  const struct resolution *how, record_resolved done, void *ctx,
                                  hardy_error *error) {
    struct resolving *v = malloc(sizeof *v);
    if (!v) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to resolve %s", how->key);
    }
    hardy_status status = prepare(v, loop, store, state, how, error);
    if (status != HARDY_OK) {
        resolving_free(v);
        free(v);
        return status;
    }
    v->done = done;
    v->ctx = ctx;
    batch_submit(&v->batch, loop, store, &v->op, 1, on_written, v);
    return HARDY_OK;
}
