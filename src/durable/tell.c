/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/tell.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include <stdlib.h>

static hardy_status no_run(hardy_status status, const char *run_id, hardy_error *error) {
    return status == HARDY_E_NOT_FOUND
               ? fail(error, status, NULL, "there is no run `%s`; see hardy workflows list", run_id)
               : status;
}

static hardy_status check_asking(const struct run *run, const struct run_step *step,
                                 const char *path, const struct moment *now, hardy_error *error) {
    if (!run_step_asks_person(step)) {
        return fail(error, HARDY_E_CLOSED, NULL,
                    "step %s of %s is %s, it does not wait for approval", path, run->id,
                    run_step_state_text(step));
    }
    if (moment_left(&step->record.until, now->boot, now->monotonic, now->wall) <= 0) {
        char until[40];
        clock_format_wall(step->record.until.wall, until);
        return fail(error, HARDY_E_CLOSED, NULL, "step %s of %s waited for approval until %s", path,
                    run->id, until);
    }
    return HARDY_OK;
}

hardy_status tell_approval(struct store *store, const char *run_id, const char *path, bool refuse,
                           const struct telling *how, hardy_error *error) {
    struct run run;
    struct run_step *step = NULL;
    hardy_status status = no_run(run_load(store, run_id, &run, error), run_id, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = run_find_step(&run, path, &step, error);
    status = status == HARDY_OK ? check_asking(&run, step, path, &how->now, error) : status;
    if (status == HARDY_OK) {
        const struct signal say = {.what = refuse ? SIGNAL_REFUSE : SIGNAL_APPROVE,
                                   .who = (char *)how->who,
                                   .comment = (char *)how->comment,
                                   .at = how->now.wall,
                                   .fence = step->record.fence};
        status = signal_send(store, step->key, &say, how->deadline, error);
        if (status == HARDY_E_EXISTS) {
            error_prefix(error, "step %s of %s", path, run_id);
        }
    }
    run_free(&run);
    return status;
}

hardy_status tell_cancel(struct store *store, const char *run_id, const struct telling *how,
                         enum run_state *state, hardy_error *error) {
    struct run run;
    hardy_status status = no_run(run_load(store, run_id, &run, error), run_id, error);
    if (status != HARDY_OK) {
        return status;
    }
    *state = run.state;
    if (run.state != RUN_RUNNING && run.state != RUN_IN_DOUBT) {
        status =
            fail(error, HARDY_E_CLOSED, NULL, "run %s is %s", run.id, run_state_text(run.state));
    }
    char *key = signal_cancel_key(run.id);
    if (status == HARDY_OK && !run.cancelled) {
        const struct signal say = {.what = SIGNAL_CANCEL,
                                   .who = (char *)how->who,
                                   .comment = (char *)how->comment,
                                   .at = how->now.wall};
        status = key ? signal_send(store, key, &say, how->deadline, error)
                     : fail(error, HARDY_E_NOMEM, NULL, "no memory to cancel %s", run.id);
        status = status == HARDY_E_EXISTS ? HARDY_OK : status; /* by somebody else, just now */
    }
    free(key);
    run_free(&run);
    return status;
}
