/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_FAULTS_H
#define CHAOS_FAULTS_H
/*
 * The fault file: which calls fail, how and when; and the decision. It is made of what is known at
 * a call's begin and draws no chance: the same file and the same call give the same fault, whatever
 * other calls there are. Only `from` and `for` look at the time.
 */
#include "config/schema.h"
#include <hardy/env.h>

enum fault_kind {
    FAULT_NONE = -1,
    FAULT_OVERLOADED,  /* 529 or, in OpenAI's protocol, 503 */
    FAULT_STATUS,      /* an error answer as the rule says */
    FAULT_RATE_LIMIT,  /* 429, with the time to wait in all headers */
    FAULT_RESET,       /* the connection is reset before any answer */
    FAULT_HANG,        /* no answer, for as long as somebody waits */
    FAULT_SLOW_FIRST,  /* the first content comes late */
    FAULT_ERROR_EVENT, /* an error inside an answer that began with 200 */
    FAULT_CUT,         /* the answer ends properly in the middle */
    FAULT_RESET_AFTER, /* the connection is reset in the middle */
    FAULT_MALFORMED,   /* JSON cut in the middle, inside proper framing */
    FAULT_SILENCE,     /* a pause in the middle */
    FAULT_TRUNCATED,   /* the connection ends in the middle, and the framing shows it */
    FAULT_KINDS
};
const char *fault_kind_text(int kind); /* as in the file; NULL for FAULT_NONE */

struct fault_rule { /* one of `faults:` */
    int fail;       /* enum fault_kind */
    /* when: all that is given must hold */
    int64_t from, span;    /* since the server's start; `for` */
    uint32_t first, every; /* attempts of a key; 0 = not given */
    double share;
    char *path, *model; /* NULL = every one */
    bool stream, stream_given;
    /* how */
    uint32_t status, after_events;
    int64_t retry_after, delay;
    bool after_events_given, retry_after_given, delay_given;
    char *error_type, *error_code, *message;
    const struct yaml_node *headers; /* a map of texts; NULL */
    const char *text;                /* the rule itself, as compact JSON; in the file's memory */
};
struct faults {
    int64_t seed;
    int64_t pace, think;
    uint32_t words;
    struct schema_list rules; /* of struct fault_rule */
    struct yaml_file *file;   /* NULL: no file, no rules */
};
extern const struct schema_section faults_section;

/* No rules, every setting its default. E_NOMEM. Needs faults_free(), as all below, on failure too.
 */
hardy_status faults_defaults(struct faults *out);
/* What reading a file can say; E_SYNTAX with the place of the first mistake. */
hardy_status faults_load(const char *path, struct faults *out, hardy_error *error);
/* The same for bytes that are there already; copied. `path` is for messages. */
hardy_status faults_parse(const char *path, const char *bytes, size_t len, struct faults *out,
                          hardy_error *error);
void faults_free(struct faults *f);
/* Tells every mistake; returns how many. */
size_t faults_check(const struct yaml_node *root, schema_report report, void *ctx);
/* The first rule that cannot apply, because one above it applies to every call; -1 = none. */
int64_t faults_unreached(const struct faults *f);

struct fault_call { /* what the decision is made of */
    const char *key;
    uint32_t attempt; /* of this key, from 1 */
    int64_t since;    /* the server's start */
    const char *path;
    const char *model; /* "" = the call names none */
    bool stream;
};
/* The index of the first rule that applies, -1 = none does. */
int64_t faults_decide(const struct faults *f, const struct fault_call *call);

struct fault_decision {            /* what a call is given */
    int64_t index;                 /* of the rule in its file; -1 */
    const struct fault_rule *rule; /* NULL = answered as it should be */
    int64_t pace, think;
    uint32_t words;
};
struct fault_decision faults_decision(const struct faults *f, int64_t index);
#endif
