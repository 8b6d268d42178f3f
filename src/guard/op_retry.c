/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an attempt that failed is followed by another, and when. */
#include "base/prng.h"
#include "guard/op_state.h"
#include "policy/backoff.h"

/* What a failure that is not followed by another attempt amounts to. */
static hardy_status unrepeated(const struct op *op) {
    if (op->last.effect == HARDY_EFFECT_NONE || op->repeatable) {
        return HARDY_E_EXHAUSTED;
    }
    return op->last.effect == HARDY_EFFECT_UNKNOWN ? HARDY_E_IN_DOUBT : HARDY_E_FAILED;
}

/* The wait before the next attempt, at most `longest` where the far side named a floor.
 *
 * Above a floor only: who was told the same time must not come back at the same time. The spread is
 * what this retry's backoff would have had, one base_delay, or a fifth of the floor, whichever is
 * most: of many callers that were told one minute, whom the far side can serve in ten seconds, the
 * last is served after 72 s in place of 420 s. */
static int64_t next_wait(struct op *op, int64_t floor, int64_t longest) {
    const struct edition *e = op->edition;
    const hardy_retry_config *r = e->config.retry;
    if (op->seed == 0) {
        op->seed = guard_draw_seed(op->guard);
    }
    uint64_t random = prng_mix(op->seed ^ prng_mix(op->attempt));
    uint32_t retry = op->attempt - 1;
    if (floor <= 0) {
        return hardy_backoff(r, retry, op->previous, random);
    }
    hardy_retry_config plain = *r;
    plain.jitter = HARDY_JITTER_NONE;
    int64_t cap = hardy_backoff(&plain, retry, op->previous, 0);
    if (r->jitter == HARDY_JITTER_NONE) {
        return cap > floor ? cap : floor;
    }
    int64_t share = floor / 5;
    int64_t spread = time_add(floor, share > r->base_delay ? share : r->base_delay);
    int64_t high = cap > spread ? cap : spread;
    return prng_range(random, floor, least(high, longest));
}

void op_consider_retry(struct op *op, int64_t now) {
    const struct edition *e = op->edition;
    hardy_guard *g = op->guard;
    const hardy_retry_config *r = e->config.retry;
    const hardy_outcome *o = &op->last;
    uint32_t max_retries = r != NULL ? r->max_retries : 0;
    int64_t floor = o->retry_after > 0 ? o->retry_after : 0;
    int64_t after = floor > 0 ? floor : -1;

    if (o->status != HARDY_OK) {
        op_conclude(op, o->status, HARDY_REASON_INSIDE, after, now);
        return;
    }
    if (o->kind == HARDY_IGNORED || o->permanent) {
        op_conclude(op, HARDY_E_FAILED, HARDY_REASON_PERMANENT, -1, now);
        return;
    }
    if (now >= op->deadline) {
        op_conclude(op, HARDY_E_DEADLINE, HARDY_REASON_DEADLINE, after, now);
        return;
    }
    if (max_retries == 0 && op->timed_out) {
        op_conclude(op, HARDY_E_TIMEOUT, HARDY_REASON_TIMEOUT, after, now);
        return;
    }
    if (op->committed != 0 || (o->effect != HARDY_EFFECT_NONE && !op->repeatable)) {
        op_conclude(op, unrepeated(op), HARDY_REASON_NOT_REPEATABLE, after, now);
        return;
    }
    if (op->attempt > max_retries) {
        op_conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_RETRIES, after, now);
        return;
    }

    /* How long a wait can be: by the deadline, and by what is left of max_total_wait. */
    int64_t by_deadline = op->deadline == HARDY_NEVER ? HARDY_NEVER : op->deadline - 1 - now;
    int64_t by_total =
        r->max_total_wait == HARDY_NEVER ? HARDY_NEVER : r->max_total_wait - op->waited;
    int64_t longest = least(by_deadline, by_total);
    if (floor > longest) {
        op_conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_RETRY_AFTER, after, now);
        return;
    }
    int64_t wait = next_wait(op, floor, longest);
    if (wait > by_deadline) {
        op_conclude(op, HARDY_E_DEADLINE, HARDY_REASON_DEADLINE, after, now);
        return;
    }
    if (wait > by_total) {
        op_conclude(op, HARDY_E_EXHAUSTED, HARDY_REASON_TOTAL_WAIT, after, now);
        return;
    }
    op->ended = now;
    op->start_before = least(op->deadline, time_add(time_add(now, by_total), 1));
    int64_t at = now;
    if (e->config.breaker != NULL && !breaker_peek(e->words.breaker, e->config.breaker, now, &at)) {
        /* Not worth a wait and a token, unless the breaker can be waited for afterwards. */
        op_look_at_open(op, at, now);
        if (op->phase == PHASE_OVER) {
            return;
        }
    }
    if (e->config.budget != NULL) {
        uint32_t cost = op->timed_out ? e->config.budget->timeout_cost : 1;
        if (!budget_withdraw(e->words.budget, e->config.budget, cost, now)) {
            word_count(&g->suppressed);
            op_conclude(op, HARDY_E_BUDGET, HARDY_REASON_BUDGET, after, now);
            return;
        }
        op->tokens = cost;
    }
    op->phase = PHASE_BACKOFF;
    op->until = time_add(now, wait);
    op->previous = wait;
    ring_put(&g->ring, &(hardy_event){.kind = HARDY_EVENT_RETRY,
                                      .at = now,
                                      .attempt = op->attempt + 1,
                                      .span = wait,
                                      .code = o->code,
                                      .reason = HARDY_REASON_BACKOFF});
}
