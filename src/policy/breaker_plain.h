/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BREAKER_PLAIN_H
#define POLICY_BREAKER_PLAIN_H
/*
 * What nearly every call meets: a breaker that is closed and paces nobody, and a success; or one
 * that is open. That is one load and one addition, so it is inline: calls and copies would cost
 * more than all the rest. What is not as plain is false here, nothing has happened then, and
 * breaker.c takes it.
 */
#include "base/clock.h"
#include "base/thread.h"
#include "policy/breaker_layout.h"

static inline struct breaker_shard *breaker_shard(struct breaker_words *w) {
    return &w->shards[thread_number() % BREAKER_SHARDS];
}

/* `until` of a closed breaker is when it closed; 0: it has never been open. */
static inline bool breaker_paced(const hardy_breaker_config *c, uint64_t decision, int64_t now) {
    uint64_t closed = until_of(decision);
    return closed != 0 && c->close_ramp > 0 && now < time_add(ms_to_time(closed), c->close_ramp);
}

/* Member by member: a whole permit would be made elsewhere and copied. */
static inline void breaker_permit(hardy_permit *permit, uint64_t decision, int64_t now) {
    permit->generation = generation_of(decision);
    permit->deadline = HARDY_NEVER;
    permit->started = now;
    permit->kind = PERMIT_CALL;
    permit->slot = 0;
}

static inline bool breaker_acquire_plain(struct breaker_words *w, const hardy_breaker_config *c,
                                         int64_t now, hardy_permit *permit) {
    uint64_t decision = word_load(&w->decision);
    if (state_of(decision) != HARDY_CLOSED || c->slow_call > 0 || breaker_paced(c, decision, now)) {
        return false;
    }
    breaker_permit(permit, decision, now);
    return true;
}

/* True: it is open, and will be at `now`. */
static inline bool breaker_refuse_plain(struct breaker_words *w, const hardy_breaker_config *c,
                                        int64_t now, hardy_permit *permit, int64_t *retry_at) {
    uint64_t decision = word_load(&w->decision);
    bool open = state_of(decision) == HARDY_OPEN && !c->shadow;
    if (!(open || state_of(decision) == HARDY_FORCED_OPEN) ||
        now >= ms_to_time(until_of(decision))) {
        return false;
    }
    word_count(&breaker_shard(w)->rejected);
    permit->generation = 0;
    permit->deadline = HARDY_NEVER;
    permit->started = 0;
    permit->kind = 0;
    permit->slot = 0;
    *retry_at = ms_to_time(until_of(decision));
    return true;
}

static inline bool breaker_record_plain(struct breaker_words *w, const hardy_breaker_config *c,
                                        hardy_permit *permit, hardy_outcome_class outcome) {
    if (permit->kind != PERMIT_CALL || outcome != HARDY_SUCCESS ||
        c->failure_mode != HARDY_WINDOW || c->failure_rate > 0 || c->slow_call > 0) {
        return false;
    }
    permit->kind = 0;
    word_count(&breaker_shard(w)->successes);
    return true;
}
#endif
