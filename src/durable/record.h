/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RECORD_H
#define DURABLE_RECORD_H
/*
 * What is known of one effect: an action (`exec --key`), a workflow's step, an incident's remedy.
 * The intent is durable before the effect, the result after it; started and not finished is *in
 * doubt*, and a declared policy decides. The record is one row of the store, its value JSON.
 */
#include "durable/moment.h"
#include "store/store.h"

enum record_state {
    RECORD_PENDING, /* no row yet */
    RECORD_STARTED,
    RECORD_DONE,
    RECORD_FAILED, /* it ended cleanly, without success: may run again */
    RECORD_IN_DOUBT,
    RECORD_WAITING, /* for a time, a condition or a person: nothing of it runs */
    RECORD_SKIPPED  /* its condition did not hold; settled like a success without a result */
};
const char *record_state_text(enum record_state state); /* "pending" "running" "done" "failed"
                                                           "in_doubt" "waiting" "skipped" */

enum in_doubt_policy {
    IN_DOUBT_ASK = 0, /* stop and ask a person */
    IN_DOUBT_PROBE,   /* ask a command: exit 0 done (its output is the result), 1 not done, else
                         unknown = ask */
    IN_DOUBT_RERUN,   /* declared safe to repeat */
    IN_DOUBT_FAIL     /* count it as failed */
};

struct record {
    char *row_kind, *key; /* "action" / "step" / "remedy"; the row */
    char *name;           /* for people: the command's first word, the step's name */
    char
        fingerprint[65]; /* SHA-256 over scope, name and canonical parameters; other = E_MISMATCH */
    enum record_state state;
    int64_t fence;                   /* of the row; +1 with every start */
    uint32_t attempt;                /* runs started so far */
    char boot[37];                   /* boot id of the last start */
    int64_t created, started, ended; /* wall; 0 = not yet */
    int code, signal;                /* of the last run */
    bool timed_out;
    char *output; /* standard output of the success, text */
    size_t output_len;
    bool truncated;
    char *detail;          /* one line: why it failed or is in doubt, who resolved it */
    char *idempotency_key; /* given to the command; stable over attempts */
    int64_t expires;       /* wall, 0 = never */
    char *params;          /* JSON of the parameters, for people */
    char inputs[65];       /* SHA-256 over what was filled in, for a changed definition; "" */
    struct moment until;   /* WAITING: when it ends at the latest */
    uint32_t items;        /* of a step for each value of a list: how many */
};
void record_init(struct record *r);
void record_free(struct record *r);
hardy_status record_load(struct store *store, const char *row_kind, const char *key,
                         struct record *out, hardy_error *error); /* E_NOT_FOUND */
hardy_status record_decode(const struct store_row *row, struct record *out, hardy_error *error);
void record_encode(const struct record *r, struct buf *out); /* the row's value */
bool record_asks(const struct record *r); /* it is a workflow's step that asks a person */
/* As a person or a program reads it (`actions show --json`, a step under `steps`). */
struct json_out;
void record_to_json(const struct record *r, struct json_out *j);
/* The same as members of an object that is open, with another word for its state. */
void record_members_to_json(const struct record *r, const char *state, struct json_out *j);

/* SHA-256 over scope, name and the canonical form (RFC 8785) of `params`; E_SYNTAX when that is not
 * JSON that can be told apart safely. */
hardy_status record_fingerprint(const char *scope, const char *name, const char *params,
                                char out[65], hardy_error *error);
/* The operation that writes `r` as it stands; `before` = the row's fence, -1 = no row yet. `value`
 * holds the encoded record and must live until the submit. */
void record_op(const struct record *r, int64_t before, struct buf *value, struct store_op *op);

/* --- decisions: pure ---------------------------------------------------------------------- */
enum record_world { /* what shim_look() told, in this room's words */
                    WORLD_RUNNING,
                    WORLD_ENDED,
                    WORLD_NEVER_RAN,
                    WORLD_LOST
};
enum record_next {
    NEXT_RUN,     /* record the start, then run */
    NEXT_REPLAY,  /* done before: hand out the recorded result */
    NEXT_ATTACH,  /* it runs now */
    NEXT_COLLECT, /* it ended, its result is not recorded yet */
    NEXT_PROBE,
    NEXT_ASK, /* E_IN_DOUBT */
    NEXT_FAIL,
    NEXT_MISMATCH /* same key, other parameters */
};
enum record_next record_decide(const struct record *r, const char *fingerprint,
                               enum record_world world, enum in_doubt_policy policy);
enum probe_answer { PROBE_DONE, PROBE_NOT_DONE, PROBE_UNKNOWN };
enum record_next record_after_probe(enum probe_answer answer);
#endif
