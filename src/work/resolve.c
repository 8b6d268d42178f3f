/* SPDX-License-Identifier: Apache-2.0 */
#include "work/resolve.h"
#include "base/error.h"
#include "base/str.h"
#include "io/shim.h"
#include "work/place.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ENCODED = 16 << 20 };

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

static void settle(struct record *r, enum resolve_how how, const char *result, const char *who,
                   int64_t wall) {
    static const char *const words[] = {"done", "not done, to be run again", "failed"};
    free(r->detail);
    r->detail = str_format("resolved as %s by %s", words[how], who);
    r->code = how == RESOLVE_FAIL ? 1 : 0;
    r->signal = 0;
    r->timed_out = false;
    r->state = how == RESOLVE_DONE    ? RECORD_DONE
               : how == RESOLVE_RETRY ? RECORD_PENDING
                                      : RECORD_FAILED;
    r->ended = how == RESOLVE_RETRY ? 0 : wall;
    free(r->output);
    r->output = how == RESOLVE_DONE ? str_dup(result ? result : "") : NULL;
    r->output_len = r->output ? strlen(r->output) : 0;
}

hardy_status record_resolve(struct loop *loop, struct store *store, const char *state,
                            const char *row_kind, const char *key, enum resolve_how how,
                            const char *result, const char *who, int64_t deadline,
                            hardy_error *error) {
    struct record r;
    struct step_place place;
    struct buf value;
    int lock = -1;
    record_init(&r);
    hardy_status status = step_place_find(state, row_kind, key, &place, error);
    if (status != HARDY_OK) {
        return status;
    }
    buf_init(&value, MAX_ENCODED);
    status = step_place_lock(&place, &lock, error);
    if (status == HARDY_E_RUNNING) {
        fail(error, status, NULL, "another hardy is at work on %s", key);
    }
    if (status == HARDY_OK) {
        status = record_load(store, row_kind, key, &r, error);
    }
    if (status == HARDY_OK) {
        status = check_in_doubt(loop, &place, &r, error);
    }
    if (status == HARDY_OK) {
        struct store_op op;
        int64_t before = r.fence++;
        settle(&r, how, result, who, loop_wall(loop));
        record_op(&r, before, &value, &op);
        status = store_apply(store, &op, 1, deadline, NULL, error);
        char *base = status == HARDY_OK ? step_place_run(&place, before) : NULL;
        if (base) {
            shim_forget(loop, base); /* of the run that is settled now */
        }
        free(base);
    }
    if (lock >= 0) {
        close(lock);
    }
    buf_free(&value);
    record_free(&r);
    step_place_free(&place);
    return status;
}
