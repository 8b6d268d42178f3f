/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_SIGNAL_H
#define DURABLE_SIGNAL_H
/*
 * What a person says to a run: approve or refuse a step, cancel the run. A row of its own, made
 * once and never changed, so that it needs no ownership of the run: whoever drives the run finds
 * it, now or after a restart, and the first word counts.
 */
#include "store/store.h"

enum signal_what { SIGNAL_APPROVE, SIGNAL_REFUSE, SIGNAL_CANCEL };

struct signal {
    enum signal_what what;
    char *who;     /* Unix user or token's name */
    char *comment; /* NULL */
    int64_t at;    /* wall */
};
void signal_free(struct signal *s);
const char *signal_text(enum signal_what what); /* "approved" "refused" "cancelled" */

/* The row's key: of a step that waits for approval its own, of a run this one. Malloc'd. */
char *signal_cancel_key(const char *run_id);
/* E_NOT_FOUND: nothing was said; E_CORRUPT. */
hardy_status signal_load(struct store *store, const char *key, struct signal *out,
                         hardy_error *error);
/* E_EXISTS: something was said before, told in `error`. Waits for the store until `deadline`. */
hardy_status signal_send(struct store *store, const char *key, enum signal_what what,
                         const char *who, const char *comment, int64_t wall, int64_t deadline,
                         hardy_error *error);
#endif
