/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_RECORD_H
#define DURABLE_RECORD_H
/*
 * What is known of one effect: an action (`exec --key`), a workflow's step, an incident's remedy.
 * The intent is durable before the effect, the result after it; started and not finished is *in
 * doubt*, and a declared policy decides. The record is one row of the store, its value JSON.
 */
#include "durable/blob.h"
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
    char blob[BLOB_NAME_SIZE]; /* the file that holds it, when it is long; "" = the row does */
    bool truncated;
    char *detail;          /* one line: why it failed or is in doubt, who resolved it */
    char *idempotency_key; /* given to the command; stable over attempts */
    int64_t expires;       /* wall, 0 = never */
    char *params;          /* JSON of the parameters, for people */
    char inputs[65];       /* SHA-256 over what was filled in, for a changed definition; "" */
    struct moment until;   /* WAITING: when it ends at the latest */
    uint32_t order;        /* of a run's steps, in which they began; what undoing goes by */
    uint32_t items;        /* of a step for each value of a list: how many */
    /* Of an action that a process of its own runs, not hardy's shim (durable/action.h): */
    char *owner;         /* who began it, for people; NULL = hardy runs it */
    char *claim;         /* which begin it was, as its owner named it; NULL = not named */
    struct moment lease; /* until when its owner may be silent; not set when nobody owns it */
    int64_t ended_by;    /* fence of the owner that ended it; 0 = nobody, or somebody else */
    int64_t ttl;         /* how long it is kept once it has ended; 0 = whoever ends it says */
};
void record_init(struct record *r);
void record_free(struct record *r);
hardy_status record_load(struct store *store, const char *row_kind, const char *key,
                         struct record *out, hardy_error *error); /* E_NOT_FOUND */
/* Without a long output, which record_fill() reads. */
hardy_status record_decode(const struct store_row *row, struct record *out, hardy_error *error);
hardy_status record_fill(struct store *store, struct record *r, hardy_error *error);
/* Replaces the output; `data` is taken, NULL = none. */
void record_set_output(struct record *r, char *data, size_t len);
/* Before it is encoded: a long output goes into a file beside the database, and is on the disk when
 * this returns. Where that does not work it stays for the row. */
#define RECORD_IN_ROW ((size_t)64 << 10)
void record_put_output(struct store *store, struct record *r);
void record_encode(const struct record *r, struct buf *out); /* the row's value */
/* As a person or a program reads it (`actions show --json`, a step under `steps`). */
struct json_out;
void record_to_json(const struct record *r, struct json_out *j);
/* The same as members of an object that is open, with another word for its state. */
void record_members_to_json(const struct record *r, const char *state, struct json_out *j);

/* SHA-256 over scope, name and the canonical form (RFC 8785) of `params`; E_SYNTAX when that is not
 * JSON that can be told apart safely. */
hardy_status record_fingerprint(const char *scope, const char *name, const char *params,
                                char out[65], hardy_error *error);
/* What a record keeps of `params` (valid JSON): all, or of more than 64 KiB the size. malloc'd. */
char *record_params(const char *params);
/* E_MISMATCH: the record is of other parameters than `params`, and which. */
hardy_status record_mismatch(const struct record *r, const char *params, hardy_error *error);
/* A person, or who asks for one, settles what is in doubt. */
enum resolve_how {
    RESOLVE_DONE,  /* it has happened; `result` stands for its output */
    RESOLVE_RETRY, /* it has not: the next run starts it again */
    RESOLVE_FAIL   /* it has not: it counts as failed */
};
void record_settle(struct record *r, enum resolve_how how, const char *result, const char *who,
                   int64_t wall);
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
