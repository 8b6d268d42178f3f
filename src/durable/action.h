/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_ACTION_H
#define DURABLE_ACTION_H
/*
 * An action that a process of its own runs: a program in another language that asks through the
 * admin API, a C program through hardy/durable.h. hardy has no shim around it, so its owner holds a
 * *lease*: as long as it is renewed, the action runs; when it has run out without an end, the
 * action is in doubt, and a declared policy decides. The row is that of `exec --key`, with an
 * owner.
 *
 * The fence says who owns it: it is handed out by the begin and named by everything after it. The
 * row's fence grows by one with each begin and with each end, but not with a renewal, so that one
 * that arrives late cannot undo an end.
 *
 * A lease that has run out is not taken away by that: as long as nobody has taken the action over
 * or settled it, its owner may still renew or end it, for nobody knows better how it went.
 */
#include "durable/change.h"
#include "durable/record.h"

#define ACTION_ROW "action"
#define ACTION_KEY_MAX 200
#define ACTION_CLAIM_MIN 16
#define ACTION_PARAMS_MAX ((size_t)1 << 20)
#define ACTION_RESULT_MAX ((size_t)4 << 20)
#define ACTION_DETAIL_MAX 480
#define ACTION_LEASE_MIN (100 * HARDY_MILLISECOND)
#define ACTION_LEASE_MAX (24 * HARDY_HOUR)
#define ACTION_LEASE_DEFAULT (30 * HARDY_SECOND)
#define ACTION_TTL_DEFAULT (24 * HARDY_HOUR)

enum action_verb { ACTION_BEGIN, ACTION_RENEW, ACTION_COMPLETE, ACTION_FAIL, ACTION_SETTLE };

struct action_request { /* borrowed while it is decided */
    enum action_verb verb;
    const char *key;   /* 1 to 200 bytes of UTF-8 without control characters */
    struct moment now; /* the present, with the host's boot id as file_boot_id() gives it */

    /* begin */
    const char *scope, *name; /* see record_fingerprint(); `name` NULL = the key */
    const char *params;       /* JSON; NULL = null */
    const char *owner;        /* who begins it, for people */
    /* A name that no other begin has (NULL = none): the same begin again, because its answer was
     * lost, gets the same answer in place of E_RUNNING. */
    const char *claim;
    enum in_doubt_policy in_doubt; /* RERUN, ASK or FAIL; a probe is the caller's business: ASK */
    int64_t ttl;                   /* how long it is kept once it has ended, above 0; HARDY_NEVER */

    int64_t lease; /* begin, renew: from now on */

    /* renew, complete, fail */
    int64_t fence;
    const char *result; /* complete, settle as done: JSON; NULL = null */
    const char *detail; /* fail: one line; cut */
    bool retryable;     /* fail: passing trouble; recorded as code 75 in place of 1 */

    /* settle: how, and by whom (`owner`) */
    enum resolve_how how;
};

/* One request at work, and its answer. */
struct action {
    const struct action_request *request;
    char fingerprint[65];
    struct record record; /* as it is afterwards; of a refusal: as it was found, if it was */
    bool replayed;        /* begin: it was done before, and this is the result */
};

/* E_INVALID, E_SYNTAX, E_TOO_LARGE: what the request itself has wrong. action_free() also then. */
hardy_status action_init(struct action *a, const struct action_request *request,
                         hardy_error *error);
void action_free(struct action *a);

/*
 * The decision of a change of row ACTION_ROW, KEY; `ctx` is the action.
 *
 * begin: OK, started (a fence, an attempt, an idempotency key, a lease), or `replayed`. E_RUNNING:
 * its owner's lease still runs, error.retry_after says for how long. E_IN_DOUBT: it ran out, and
 * the policy asks. E_FAILED: it ran out, and the policy counts it as failed, which is recorded; the
 * next begin starts it again. E_MISMATCH: same key, other parameters.
 *
 * renew, complete, fail: E_NOT_FOUND; E_FENCED: taken over or settled by somebody else, who is
 * named; E_CLOSED: this owner has ended it already, otherwise. The same end twice is OK.
 *
 * settle: E_NOT_FOUND; E_CLOSED: it is not in doubt; E_RUNNING: its lease runs; E_UNSUPPORTED:
 * hardy runs it, see work/resolve.h.
 */
hardy_status action_decide(void *ctx, const struct store_row *row, struct change_write *write,
                           hardy_error *error);

/* For whoever looks at it: one whose lease has run out is in doubt, with the reason as its detail.
 * Changes the record in memory only. */
void action_look(struct record *r, const struct moment *now);
/* Whether it is run by an owner that may still be silent; `left` (may be NULL): for how long. */
bool action_runs(const struct record *r, const struct moment *now, int64_t *left);
/* What has effects once and is listed as actions: what ran under a key, and remedies of incidents.
 * Steps are under workflows. */
#define ACTION_KINDS 2
extern const char *const action_kinds[ACTION_KINDS + 1]; /* NULL-terminated */
/* The record under `key`, of whichever of these kinds. E_NOT_FOUND. */
hardy_status action_find(struct store *store, const char *key, struct record *out,
                         hardy_error *error);
/* E_INVALID: not a key, and why. */
hardy_status action_check_key(const char *key, hardy_error *error);
#endif
