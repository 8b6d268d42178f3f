/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_OP_STATE_H
#define GUARD_OP_STATE_H
/* What an operation is made of, and what its parts (admission, retry, hedging) share. */
#include "base/clock.h"
#include "guard/op.h"
#include "guard/state.h"

#define OP_AT_ONCE 2 /* attempts */

enum phase {
    PHASE_ADMIT,   /* asks the breaker, then for a rate slot */
    PHASE_OPEN,    /* waits for the breaker */
    PHASE_LOW,     /* looks for a rate slot again: low priority reserves none ahead */
    PHASE_RATE,    /* has a rate slot, which may lie ahead */
    PHASE_SLOT,    /* in the queue for a concurrency slot */
    PHASE_START,   /* has everything but the breaker's permit */
    PHASE_RUNNING, /* an attempt runs */
    PHASE_BACKOFF,
    PHASE_OVER /* the verdict is known; an attempt may still run */
};

/* One that runs, or has run: then only `running` says something. */
struct attempt {
    bool running, stopped, timed_out;
    bool lost; /* stopped because another one has won */
    bool slot; /* of the bulkhead */
    uint32_t number;
    int64_t called;
    int64_t end, content_end, idle_end; /* when it is stopped */
    uint64_t load;                      /* of the bulkhead when it started */
    hardy_permit permit;
};

struct op {
    hardy_guard *guard;
    const struct edition *edition; /* the settings it goes by */
    struct edition_shard *shard;   /* where it is counted */
    const hardy_context *context;
    uint64_t operation; /* its number; 0: nobody asked for one */
    hardy_wake wake;
    atomic_word cancelled;
    int64_t deadline;     /* of the whole operation */
    int64_t start_before; /* the next attempt starts before this, or not at all */
    int64_t until;        /* what the phase waits for */
    int64_t seen;         /* the last `now`, for hardy_op_end(), which is not told */
    int64_t hedge_at;     /* when another attempt is started beside the one that runs */
    int64_t ended;        /* when the last attempt ended */
    int64_t waited;       /* between attempts, so far */
    int64_t previous;     /* the wait before */
    int64_t retry_after;
    uint64_t seed; /* of the jitter; 0 = not drawn yet */
    uint64_t mark; /* of the rate reservation */
    double weight; /* in events of the rate */
    /* Where a whole operation counts as one failure: the permit of the attempt that failed last,
     * kept until it is known whether another attempt follows. */
    hardy_permit owed;
    hardy_outcome last;
    uint32_t attempt; /* number of the last one started */
    uint32_t looks;   /* for a rate slot, in PHASE_LOW */
    hardy_priority priority;
    enum phase phase;
    hardy_status status;
    hardy_reason reason;
    uint32_t committed; /* the attempt whose content is handed on; 0: none */
    uint32_t at_once;   /* attempts there may be: 1, with hedging 2 */
    uint32_t latest;    /* the last one started, of those below */
    bool repeatable, until_content, content_at_end;
    bool reserved, queued, slot; /* taken and not used yet: rate, queue, slot */
    uint32_t tokens;             /* likewise, of the budget */
    bool timed_out;              /* the last attempt that ended */
    bool told;
    bool unstarted;                      /* counted as one that has had no attempt */
    struct attempt attempts[OP_AT_ONCE]; /* at_once of them; of the others nothing is looked at */
    /* Only what is above is cleared when it begins. */
    struct bulkhead_waiter waiter;
};
_Static_assert(sizeof(struct op) <= sizeof(hardy_op), "hardy_op has room for an operation");
_Static_assert(_Alignof(struct op) <= _Alignof(hardy_op), "hardy_op is aligned for an operation");

static inline struct op *op_of(hardy_op *storage) {
    return (struct op *)storage;
}

static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline hardy_priority op_priority(const hardy_guard_config *c,
                                         const hardy_op_options *options) {
    return options->low_priority || (c->rate != NULL && c->rate->low_priority)
               ? HARDY_PRIORITY_LOW
               : HARDY_PRIORITY_HIGH;
}

static inline bool op_is_running(const struct op *op) {
    return op->attempts[0].running || (op->at_once > 1 && op->attempts[1].running);
}

/* The verdict; gives back all that was taken and not used. */
void op_conclude(struct op *op, hardy_status status, hardy_reason reason, int64_t retry_after,
                 int64_t now);
/* Gives back what was taken for an attempt that does not start now, but for budget tokens. */
void op_give_back(struct op *op);
/* A mere look at the breaker found it open: waits for it, or ends. */
void op_look_at_open(struct op *op, int64_t retry_at, int64_t now);
/* An attempt has failed, and no other runs. */
void op_consider_retry(struct op *op, int64_t now);
/* It is time for another attempt beside the one that runs; false: it does not get one. */
bool op_hedge(struct op *op, int64_t now);

/* An attempt that has its permit, in the place of `a`. */
static inline void op_launch(struct op *op, struct attempt *a, int64_t end, int64_t now) {
    const hardy_guard_config *c = &op->edition->config;
    a->running = true;
    a->stopped = a->timed_out = a->lost = false;
    a->slot = op->slot;
    a->load = op->slot ? bulkhead_mark(&op->guard->bulkhead) : 0;
    a->called = now;
    a->end = end;
    a->content_end = op->content_at_end ? HARDY_NEVER : time_add(now, c->timeout_first_content);
    a->idle_end = HARDY_NEVER;
    op->reserved = op->slot = false; /* used, and so are the tokens */
    op->tokens = 0;
    op->latest = (uint32_t)(a - op->attempts);
    a->number = ++op->attempt;
    if (op->attempt > 1) {
        word_count(&op->guard->retries);
    }
}
#endif
