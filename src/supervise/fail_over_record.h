/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_RECORD_H
#define SUPERVISE_FAIL_OVER_RECORD_H
/* What is durable of one fail-over: its row. */
#include "durable/moment.h"
#include "store/store.h"

#define FAIL_OVER_ROW "fail_over"
#define FAIL_OVER_EVENT_ROW "fail_over_event"
enum { FAIL_OVER_KEYS = 16 };

/* A switch that somebody asked for, and how it ended. */
struct fail_over_key {
    char *key;       /* NULL = free */
    uint64_t number; /* of the switch */
    bool over;
    bool asked_again; /* not durable: somebody waits to hear how it ended */
    hardy_status status;
    char *detail;
};
struct fail_over_record {
    int64_t fence;          /* of the row; -1 = none yet */
    char *active, *from;    /* names of candidates; from: at the last switch */
    char *why;              /* of the last switch */
    char *outcome;          /* of its command, when that was not right; NULL */
    struct moment switched; /* when last; not set = never */
    int64_t at;             /* the same, wall, for people */
    uint64_t number;        /* of the last switch; 0 = none */
    bool carried;           /* its command has ended */
    bool doubt;             /* ... or nobody knows: a person says */
    bool told;              /* people were told of trouble, and not yet of its end ... */
    bool told_out;          /* ... and that the active one was down */
    uint64_t proposed;      /* switches that hardy would have made */
    uint64_t events;        /* rows written so far */
    char *owner;            /* who decides, or did so last */
    struct fail_over_key keys[FAIL_OVER_KEYS]; /* the latest first */
};
void fail_over_record_free(struct fail_over_record *r);
/* E_NOT_FOUND: none yet; `fence` is -1. */
hardy_status fail_over_record_load(struct store *store, const char *name,
                                   struct fail_over_record *out, hardy_error *error);
void fail_over_record_encode(const struct fail_over_record *r, struct buf *out);
/* The operation that writes it; its fence goes up. `value` must live until the submit. */
void fail_over_record_op(struct fail_over_record *r, const char *name, struct buf *value,
                         struct store_op *op);
struct fail_over_key *fail_over_record_key(struct fail_over_record *r, const char *key);
/* That of the last switch, if it has not ended. */
struct fail_over_key *fail_over_record_open_key(struct fail_over_record *r);
/* For the last switch; the oldest is forgotten. False = no memory. */
bool fail_over_record_add_key(struct fail_over_record *r, const char *key);
#endif
