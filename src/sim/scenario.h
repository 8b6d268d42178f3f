/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H
/*
 * A scenario: who calls, what answers, and what goes wrong when. A file of YAML, or one of those
 * that are built in, which are the same text. What is done about it is no part of it: that is the
 * guard.
 */
#include "base/parse.h"
#include "config/schema.h"
#include <hardy/env.h>

/* What happens to calls during a phase; words that a fault file of `hardy chaos` has too mean the
 * same there. */
enum scenario_fail {
    SCENARIO_NOTHING = -1,
    SCENARIO_DOWN,       /* nobody listens: the connection is refused */
    SCENARIO_RESET,      /* the connection breaks after the request was sent */
    SCENARIO_HANG,       /* no answer, for as long as somebody waits */
    SCENARIO_STATUS,     /* an error answer */
    SCENARIO_OVERLOADED, /* 529 */
    SCENARIO_RATE_LIMIT, /* 429 */
    SCENARIO_SLOW_FIRST  /* served, and answered so much later */
};
struct scenario_phase {
    char *name;          /* NULL = as `fail` says */
    int64_t from, span;  /* `for` */
    int fail;            /* enum scenario_fail */
    double share;        /* of the calls */
    double capacity;     /* share of the server's that is left */
    uint32_t status;     /* of fail: status */
    int64_t retry_after; /* of error answers; 0 = none is told */
    int64_t delay;       /* of slow_first and hang */
    bool given_delay, given_retry_after;
};
struct scenario_clients {
    uint32_t count;
    int64_t think;    /* closed loop: on average so long between an answer and the next call */
    struct rate rate; /* open: each begins so many, whatever becomes of them */
    bool given_think, given_rate;
};
struct scenario_server {
    struct rate capacity;
    int64_t service_time; /* from the call's turn to its answer */
    int64_t queue;        /* who would wait longer for a turn is refused */
    int when_full;        /* enum scenario_full */
    int64_t retry_after;  /* told to who is refused; 0 = none is told */
    int abandoned;        /* enum scenario_abandoned */
};
enum scenario_full { SCENARIO_FULL_OVERLOADED, SCENARIO_FULL_RATE_LIMIT };
enum scenario_abandoned { SCENARIO_EXECUTED, SCENARIO_DROPPED };

struct scenario {
    char *about;
    int64_t duration;
    struct scenario_clients clients;
    struct scenario_server server;
    struct schema_list phases; /* struct scenario_phase */
    struct yaml_file *file;
};
extern const struct schema_section scenario_section;

#define SCENARIO_CLIENTS_MAX 100000

/* A built-in one by its name; what has a "." or "/" in it is a file. E_NOT_FOUND names the built-in
 * ones. scenario_free() always. */
hardy_status scenario_load(const char *name, struct scenario *out, hardy_error *error);
/* From a text; `name` is how errors call it. scenario_free() always. */
hardy_status scenario_parse(const char *name, const char *text, size_t len, struct scenario *out,
                            hardy_error *error);
void scenario_free(struct scenario *s);
/* What is wrong in a file beyond the table; returns how many. */
size_t scenario_check(const struct yaml_node *root, schema_report report, void *ctx);

/* When something is wrong: from the first phase's begin to the last one's end. */
int64_t scenario_trouble_from(const struct scenario *s);
int64_t scenario_trouble_until(const struct scenario *s);
const char *scenario_phase_text(const struct scenario_phase *p); /* its name, or what it does */
double scenario_per_second(struct rate rate);

struct scenario_builtin {
    const char *name, *text;
};
extern const struct scenario_builtin scenario_builtins[]; /* ended by a row without a name */
#endif
