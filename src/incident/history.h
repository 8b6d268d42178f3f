/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_HISTORY_H
#define INCIDENT_HISTORY_H
/*
 * What happened since a moment, and what hardy did about it or would have done: told again from the
 * store, so it does not matter which process was there, nor whether one is now.
 */
#include "base/json.h"
#include "store/store.h"

enum history_kind {
    HISTORY_SERVICE,
    HISTORY_FAIL_OVER,
    HISTORY_CHILD, /* of which only the last hundred deaths are known */
    HISTORY_PAUSE  /* only events */
};
const char *history_kind_text(enum history_kind kind); /* "service" "fail-over" "child" "pause" */

/* Counted of what happened since then. */
struct history_row {
    enum history_kind kind;
    char *name;
    uint32_t opened;     /* incidents */
    uint32_t recovered;  /* well again without a remedy of hardy's: by itself, or by a person */
    uint32_t proposed;   /* remedies, or switches, that hardy would have made */
    uint32_t acted;      /* those that it made */
    uint32_t healed;     /* after which the check was good again; switches that succeeded */
    uint32_t not_healed; /* after which it was not; switches that did not */
    uint32_t escalated;  /* handed to a person */
    uint32_t open;       /* not over yet, since whenever */
    uint32_t died;       /* a child, without being asked to */
    int64_t longest;     /* an incident that was there, from its begin to its end or now */
};
struct history_event {
    char at[32]; /* RFC 3339, UTC */
    enum history_kind kind;
    char *name, *incident; /* NULL: of none */
    char *what, *detail;
    size_t order; /* in which it was read: of one incident, as it happened */
};
struct history {
    int64_t since, wall;
    struct history_row *rows; /* by kind and name */
    size_t row_count;
    struct history_event *events; /* the oldest first */
    size_t event_count;
};
/* history_free() also after a failure. */
hardy_status history_load(struct store *store, int64_t since, int64_t wall, struct history *out,
                          hardy_error *error);
void history_free(struct history *h);
/* An object {since, summary, events}. */
void history_to_json(const struct history *h, struct json_out *j);
#endif
