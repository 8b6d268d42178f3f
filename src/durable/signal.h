/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_SIGNAL_H
#define DURABLE_SIGNAL_H
/*
 * What a person says to a run: approve or refuse a step, cancel the run. A row of its own, so that
 * it needs no ownership of the run: whoever drives the run finds it, now or after a restart. The
 * first word counts, until the step asks anew.
 */
#include "store/store.h"

enum signal_what { SIGNAL_APPROVE, SIGNAL_REFUSE, SIGNAL_CANCEL };

struct signal {
    enum signal_what what;
    char *who;     /* Unix user or token's name */
    char *comment; /* NULL */
    int64_t at;    /* wall */
    int64_t fence; /* of the record it answers; 0 for a run */
};
void signal_free(struct signal *s);
const char *signal_text(enum signal_what what); /* "approved" "refused" "cancelled" */

/* The row's key: of a step that waits for approval its own, of a run this one. Malloc'd. */
char *signal_cancel_key(const char *run_id);
/* E_NOT_FOUND: nothing was said; E_CORRUPT. */
hardy_status signal_load(struct store *store, const char *key, struct signal *out,
                         hardy_error *error);
/* `say`: what, who, comment, at, and the fence of the record that it answers. E_EXISTS: something
 * was said to this record before, told in `error`. Waits for the store until `deadline`. */
hardy_status signal_send(struct store *store, const char *key, const struct signal *say,
                         int64_t deadline, hardy_error *error);
#endif
