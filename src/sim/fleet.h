/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_FLEET_H
#define SIM_FLEET_H
/*
 * A scenario in virtual time: each client runs operations of one guard, the very step machine that
 * the program runs (hardy_op), against a server with a capacity. All clients share the guard, as
 * those of one daemon do. The same settings and the same seed give the same result.
 *
 * The server takes one call after the other at the pace of its capacity, in the order they came;
 * the answer follows after the service time and the network's delay, twice. Failures cost it
 * nothing.
 */
#include "sim/scenario.h"
#include "sim/world.h"
#include <hardy/op.h>

#define FLEET_AT_ONCE_MAX 100000 /* operations that have not ended; each takes a kilobyte */

struct fleet_change { /* of the breaker */
    int64_t at;
    hardy_breaker_state from, to;
};
#define FLEET_CHANGES_MAX 1000 /* that are kept */

enum fleet_part { FLEET_BEFORE, FLEET_DURING, FLEET_AFTER, FLEET_PARTS }; /* the trouble */
struct fleet_figures {   /* of the operations that began in one part, however late they ended */
    uint64_t operations; /* that have ended */
    uint64_t good;
    uint64_t failed;  /* given up after attempts */
    uint64_t refused; /* because of the breaker, the rate limit or a full queue */
    uint64_t calls;   /* attempts */
    int64_t longest;  /* ns from an operation's begin to its end */
};
struct fleet_result {
    int64_t duration, trouble_from, trouble_until;
    struct fleet_figures parts[FLEET_PARTS];
    uint64_t for_nobody; /* of the calls that were taken on, those whose caller had gone */
    uint64_t unfinished; /* operations that had not ended when the time was over */
    uint64_t reasons[HARDY_REASON_CANCELLED + 1]; /* of operations that did not end well */
    bool breaker;                                 /* the guard has one */
    hardy_guard_stats stats;                      /* of the guard, at the end */
    struct series sent, turns; /* attempts at the server's door; those that it took on */
    struct series good, bad;   /* ends of operations */
    struct fleet_change changes[FLEET_CHANGES_MAX];
    size_t change_count;
    uint64_t changes_in_all;
    uint64_t events; /* of the simulation */
};

/* What happens, for who wants to look at each. */
enum fleet_moment_kind { FLEET_BEGIN, FLEET_CALL, FLEET_REPORT, FLEET_END };
struct fleet_moment {
    enum fleet_moment_kind kind;
    int64_t now, began;
    uint32_t attempt;    /* its number; END: attempts made */
    uint32_t running;    /* attempts of all operations, this one included */
    int64_t deadline;    /* CALL: of the attempt */
    hardy_status status; /* END */
};
struct fleet_options {
    const struct scenario *scenario;
    const hardy_guard_config *guard;
    bool repeatable; /* calls may be repeated though their effect is unknown */
    /* Whether a failure with this HTTP status, or errno, may be retried; NULL: all that can pass.
     */
    bool (*retries)(void *ctx, int code);
    void (*look)(void *ctx, const struct fleet_moment *moment); /* NULL */
    void *ctx;
    uint64_t seed;
    uint64_t events_max; /* then it ends, E_TOO_LARGE; 0: WORLD_EVENTS_MAX */
};
/* E_TOO_LARGE with what would have to be smaller, E_NOMEM, what hardy_guard_new() says. The result
 * is to be freed all the same. */
hardy_status fleet_run(const struct fleet_options *options, struct fleet_result *out,
                       hardy_error *error);
void fleet_result_free(struct fleet_result *r);
#endif
