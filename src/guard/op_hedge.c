/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another attempt beside one that is slow. It never waits for anything: what a retry would wait for
 * is a reason not to hedge, for it says that there is too much already.
 */
#include "guard/op_state.h"

static bool take_slot(struct op *op) {
    struct bulkhead *b = &op->guard->bulkhead;
    op->waiter = (struct bulkhead_waiter){.wake = op->wake.fn, .ctx = op->wake.ctx};
    enum bulkhead_answer answer = bulkhead_acquire(b, &op->waiter);
    if (answer == BULKHEAD_QUEUED) {
        bulkhead_leave(b, &op->waiter);
    }
    op->slot = answer == BULKHEAD_GRANTED;
    return op->slot;
}

/* From the budget a token, then the rate, a slot, and last the permit of a closed breaker. */
static bool take_all(struct op *op, int64_t end, hardy_permit *permit, int64_t now) {
    const struct edition *e = op->edition;
    const hardy_guard_config *c = &e->config;
    int64_t at = now;
    if (c->budget != NULL && !budget_withdraw(e->words.budget, c->budget, 1, now)) {
        return false;
    }
    op->tokens = c->budget != NULL;
    if (c->rate != NULL) {
        op->reserved = gcra_reserve(e->words.rate, &e->gcra, op->weight, op->priority, now, now,
                                    &at, &op->mark) == HARDY_OK;
        if (!op->reserved) {
            return false;
        }
    }
    if ((c->bulkhead != NULL && !take_slot(op)) ||
        !guard_take_permit(op->guard, op->edition, end, permit, &at, now)) {
        return false;
    }
    if (permit->kind == PERMIT_TRIAL) {
        guard_record(op->guard, op->edition, permit, HARDY_IGNORED, now);
        return false;
    }
    return true;
}

bool op_hedge(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    const hardy_guard_config *c = &e->config;
    struct attempt *a = &op->attempts[op->attempts[0].running];
    op->hedge_at = HARDY_NEVER;
    if (a->running || op->attempt > c->retry->max_retries) {
        return false;
    }
    int64_t end = least(time_add(now, c->timeout), op->deadline);
    if (!take_all(op, end, &a->permit, now)) {
        op_give_back(op);
        if (op->tokens > 0) {
            budget_refund(e->words.budget, c->budget, op->tokens, now);
            op->tokens = 0;
        }
        return false;
    }
    op_launch(op, a, end, now);
    word_count(&op->guard->hedges);
    ring_put(&op->guard->ring,
             &(hardy_event){.kind = HARDY_EVENT_HEDGE, .at = now, .attempt = op->attempt});
    return true;
}
