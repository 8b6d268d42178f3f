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
static hardy_status check_lease(struct loop *loop, const struct record *r, const char *name,
                                hardy_error *error) {
    struct moment now = {.monotonic = loop_now(loop), .wall = loop_wall(loop)};
    char text[48];
    int64_t left;
    file_boot_id(now.boot);
    if (!action_runs(r, &now, &left)) {
        return HARDY_OK;
    }
    format_duration_short(left, text);
    return fail(error, HARDY_E_RUNNING, NULL,
                "%s is still run by %s; its lease runs for another %s, unless it is renewed", name,
                r->owner ? r->owner : "its owner", text);
}

/* In doubt, or left behind as started by a process that is gone. */
static hardy_status check_in_doubt(struct loop *loop, const struct step_place *place,
                                   const struct record *r, const char *name, hardy_error *error) {
    struct shim_result result = {0};
    enum shim_state world = SHIM_LOST;
    if (r->state == RECORD_IN_DOUBT) {
        return HARDY_OK;
    }
    if (r->state != RECORD_STARTED) {
        return fail(error, HARDY_E_CLOSED, NULL, "%s is %s, not in doubt", name,
                    record_state_text(r->state));
    }
    if (moment_is_set(&r->lease)) {
        return check_lease(loop, r, name, error);
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
        return fail(error, HARDY_E_RUNNING, NULL, "%s is still running", name);
    }
    if (world == SHIM_ENDED) {
        return fail(error, HARDY_E_CLOSED, NULL,
                    "%s has ended and left its result; the same command again records it", name);
    }
    return HARDY_OK;
}

struct resolution resolution_of_step(const struct run *run, const struct run_step *step,
                                     char **name) {
    char *path = run_step_path(step);
    *name = path ? str_format("step %s of %s", path, run->id) : NULL;
    free(path);
    return (struct resolution){.row_kind = step->undo.state == RECORD_IN_DOUBT ? "undo" : "step",
                               .key = step->key,
                               .name = *name};
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
    const char *name = how->name ? how->name : how->key;
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
            fail(error, status, NULL, "another hardy is at work on %s", name);
        }
    }
    if (status == HARDY_OK) {
        status = record_load(store, how->row_kind, how->key, r, error);
        if (status == HARDY_E_NOT_FOUND && how->name) {
            fail(error, status, NULL, "%s has not begun, there is nothing to settle", name);
        }
    }
    if (status == HARDY_OK) {
        status = check_in_doubt(loop, &v->place, r, name, error);
    }
    if (status == HARDY_OK) {
        v->before = r->fence++;
        record_settle(r, how->how, how->result, how->who, loop_wall(loop));
        record_op(r, v->before, &v->value, &v->op);
        status = v->value.failed
                     ? fail(error, HARDY_E_NOMEM, NULL, "no memory for the record of %s", name)
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
                            const struct resolution *how, int64_t deadline, hardy_error *error) {
    struct resolving v;
    hardy_status status = prepare(&v, loop, store, state, how, error);
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
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to resolve %s",
                    how->name ? how->name : how->key);
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
