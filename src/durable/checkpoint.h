/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_CHECKPOINT_H
#define DURABLE_CHECKPOINT_H
/*
 * A checkpoint: one JSON value under an id, with a version that grows with every write. Writers
 * name the version they have read, so that two of them never undo each other's work unseen. The
 * version is the row's fence: it is not 1, 2, 3, and an id that was deleted and is used again never
 * gets a version it has had before.
 */
#include "durable/change.h"

#define CHECKPOINT_ROW "checkpoint"
#define CHECKPOINT_ID_MAX 200
#define CHECKPOINT_VALUE_MAX ((size_t)8 << 20)
/* As `if_version`: whatever is there; only when nothing is; only when something is. */
#define CHECKPOINT_ANY (-1)
#define CHECKPOINT_NEW (-2)
#define CHECKPOINT_THERE (-3)

enum checkpoint_verb { CHECKPOINT_PUT, CHECKPOINT_DELETE };

struct checkpoint_request { /* borrowed while it is decided */
    enum checkpoint_verb verb;
    const char *id;     /* [A-Za-z0-9][A-Za-z0-9._:@/-]{0,199} */
    int64_t wall;       /* the present */
    int64_t if_version; /* or CHECKPOINT_ANY, _NEW, _THERE */
    const char *value;  /* put: JSON */
    int64_t ttl;        /* put: how long it is kept from now on, above 0; HARDY_NEVER */
};

/* One request at work, and its answer. */
struct checkpoint {
    const struct checkpoint_request *request;
    int64_t version; /* put: the new one; of E_FENCED: what is there, -1 = nothing */
    bool created;    /* put: nothing was there */
};

/* E_INVALID, E_SYNTAX, E_TOO_LARGE: what the request itself has wrong. */
hardy_status checkpoint_init(struct checkpoint *c, const struct checkpoint_request *request,
                             hardy_error *error);
/* The decision of a change of row CHECKPOINT_ROW, ID; `ctx` is the checkpoint. E_FENCED: another
 * version is there than the one named. E_EXISTS: CHECKPOINT_NEW, and there is one. E_NOT_FOUND:
 * nothing to delete. */
hardy_status checkpoint_decide(void *ctx, const struct store_row *row, struct change_write *write,
                               hardy_error *error);
/* The row is the caller's: store_row_free(). `value` is its JSON, `fence` its version. E_NOT_FOUND,
 * also when it has expired. */
hardy_status checkpoint_get(struct store *store, const char *id, int64_t wall,
                            struct store_row *out, hardy_error *error);
hardy_status checkpoint_check_id(const char *id, hardy_error *error); /* E_INVALID */
#endif
