/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The breaker's whole decision is one word, so a change of state is one compare-and-swap and never
 * half seen. Whatever else is counted (failures, paced admissions, trials) carries the generation
 * it belongs to: when the decision moves on, all of it is void at once, without being cleared.
 *
 * A word of an earlier generation may be replaced only by a thread that has seen, after reading
 * that word, that its own generation is still the current one. Otherwise a thread that was held up
 * would wipe out what a later generation has counted.
 */
#include "policy/breaker.h"
#include "base/clock.h"
#include "base/thread.h"

/* decision: state 3 bits, successes 5, generation 15, until 41 */
#define SUCCESSES_SHIFT 3
#define GENERATION_SHIFT 8
#define UNTIL_SHIFT 23
#define SUCCESSES_MASK UINT64_C(0x1f)
#define GENERATION_MASK UINT64_C(0x7fff)
#define MS_MASK ((UINT64_C(1) << 41) - 1)
#define MS_NEVER MS_MASK

/* trial: taken 1 bit, sequence 7, generation 15, lease 41. The sequence tells two takers of the
 * same millisecond apart. */
#define TAKEN UINT64_C(1)
#define SEQUENCE_SHIFT 1
#define SEQUENCE_MASK UINT64_C(0x7f)

/* ring: written 1 bit, generation at its usual place, time 41 */
#define WRITTEN UINT64_C(1)

/* ramp, consecutive: generation 15 bits, count 49 */
#define COUNT_BITS 49
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

/* While half open and full, nobody knows when a trial will end: callers look again this often. */
#define HALF_OPEN_LOOK HARDY_SECOND
/* Paced admission doubles each second; after this many it is no limit any more. */
#define RAMP_DOUBLINGS 24

static uint64_t ms_up(int64_t time) {
    if (time <= 0) {
        return 0;
    }
    if (time == HARDY_NEVER) {
        return MS_NEVER;
    }
    uint64_t ms = (uint64_t)((time - 1) / HARDY_MILLISECOND + 1);
    return ms < MS_NEVER ? ms : MS_NEVER;
}

static int64_t ms_to_time(uint64_t ms) {
    return ms == MS_NEVER ? HARDY_NEVER : (int64_t)ms * HARDY_MILLISECOND;
}

static uint64_t pack(hardy_breaker_state state, uint64_t successes, uint64_t generation,
                     uint64_t until) {
    return (uint64_t)state | successes << SUCCESSES_SHIFT |
           (generation & GENERATION_MASK) << GENERATION_SHIFT | until << UNTIL_SHIFT;
}

static hardy_breaker_state state_of(uint64_t word) {
    return (hardy_breaker_state)(word & 7);
}

static uint64_t successes_of(uint64_t word) {
    return word >> SUCCESSES_SHIFT & SUCCESSES_MASK;
}

/* Of a decision, a trial or a failure in the ring. */
static uint64_t generation_of(uint64_t word) {
    return word >> GENERATION_SHIFT & GENERATION_MASK;
}

static uint64_t until_of(uint64_t word) {
    return word >> UNTIL_SHIFT;
}

static uint64_t tagged(uint64_t generation, uint64_t count) {
    return generation << COUNT_BITS | count;
}

static uint64_t tag_of(uint64_t word) {
    return word >> COUNT_BITS;
}

static uint64_t count_of(uint64_t word) {
    return word & COUNT_MASK;
}

static struct breaker_shard *shard(struct breaker_words *w) {
    return &w->shards[thread_number() % BREAKER_SHARDS];
}

static void note(struct breaker_change *change, uint64_t from, uint64_t to) {
    if (change) {
        *change = (struct breaker_change){.from = state_of(from), .to = state_of(to)};
    }
}

/* What the decision has become by the mere passing of time: what was set by hand ends as closed.
 * After a forced opening callers have piled up, so they are paced. */
static uint64_t settled(uint64_t decision, int64_t now) {
    hardy_breaker_state state = state_of(decision);
    uint64_t until = until_of(decision);
    if ((state != HARDY_FORCED_OPEN && state != HARDY_DISABLED) || now < ms_to_time(until)) {
        return decision;
    }
    return pack(HARDY_CLOSED, 0, generation_of(decision) + 1,
                state == HARDY_FORCED_OPEN ? until : 0);
}

/* --- closed: paced admission --------------------------------------------------------------- */

/* `until` of a closed breaker is when it closed; 0: it has never been open. */
static bool paced(const hardy_breaker_config *c, uint64_t decision, int64_t now) {
    uint64_t closed = until_of(decision);
    return closed != 0 && c->close_ramp > 0 && now < time_add(ms_to_time(closed), c->close_ramp);
}

/* How many may have been admitted `elapsed` after closing: twice as many each second, growing
 * evenly in between. */
static uint64_t ramp_allows(const hardy_breaker_config *c, int64_t elapsed) {
    if (elapsed < 0) {
        elapsed = 0;
    }
    int64_t doublings = elapsed / HARDY_SECOND;
    if (doublings >= RAMP_DOUBLINGS) {
        return UINT64_MAX;
    }
    uint64_t base = (uint64_t)c->success_threshold << doublings;
    return base + base * (uint64_t)(elapsed % HARDY_SECOND) / HARDY_SECOND;
}

/* The earliest elapsed time at which `count` are allowed: the inverse of the above. */
static int64_t ramp_reaches(const hardy_breaker_config *c, uint64_t count) {
    uint64_t base = c->success_threshold;
    int64_t elapsed = 0;
    while (base * 2 <= count) {
        base *= 2;
        elapsed += HARDY_SECOND;
    }
    if (count <= base) {
        return elapsed;
    }
    return elapsed + (int64_t)(((count - base) * HARDY_SECOND + base - 1) / base);
}

/* Whether one more is allowed after `admitted`; if not, *retry_at. */
static bool ramp_admits(const hardy_breaker_config *c, uint64_t decision, uint64_t admitted,
                        int64_t now, int64_t *retry_at) {
    int64_t closed = ms_to_time(until_of(decision));
    if (admitted < ramp_allows(c, now - closed)) {
        return true;
    }
    int64_t at = time_add(closed, ramp_reaches(c, admitted + 1));
    int64_t end = time_add(closed, c->close_ramp);
    *retry_at = at < end ? at : end;
    return false;
}

enum answer { ADMITTED, REFUSED, MOVED };

static enum answer take_ramp(struct breaker_words *w, const hardy_breaker_config *c,
                             uint64_t decision, int64_t now, int64_t *retry_at) {
    uint64_t generation = generation_of(decision);
    uint64_t ramp = word_load(&w->ramp);
    for (;;) {
        uint64_t admitted = 0;
        if (tag_of(ramp) == generation) {
            admitted = count_of(ramp);
        } else if (word_load(&w->decision) != decision) {
            return MOVED;
        }
        if (!ramp_admits(c, decision, admitted, now, retry_at)) {
            return REFUSED;
        }
        if (word_cas(&w->ramp, &ramp, tagged(generation, admitted + 1))) {
            return ADMITTED;
        }
    }
}

/* --- half open: trials --------------------------------------------------------------------- */

static bool trial_free(uint64_t trial, uint64_t generation, int64_t now) {
    return !(trial & TAKEN) || generation_of(trial) != generation ||
           now >= ms_to_time(until_of(trial));
}

static uint64_t trial_taken(uint64_t before, uint64_t generation, uint64_t lease) {
    uint64_t sequence = ((before >> SEQUENCE_SHIFT) + 1) & SEQUENCE_MASK;
    return TAKEN | sequence << SEQUENCE_SHIFT | generation << GENERATION_SHIFT |
           lease << UNTIL_SHIFT;
}

static int64_t earlier(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_look(const hardy_breaker_config *c, int64_t now) {
    return time_add(now, earlier(c->recovery_timeout, HALF_OPEN_LOOK));
}

static enum answer take_slot(struct breaker_words *w, uint64_t generation, unsigned slot,
                             int64_t now, int64_t lease_end, hardy_permit *permit,
                             int64_t *retry_at) {
    uint64_t before = word_load(&w->trials[slot]);
    for (;;) {
        if (!trial_free(before, generation, now)) {
            *retry_at = earlier(*retry_at, ms_to_time(until_of(before)));
            return REFUSED;
        }
        if (generation_of(before) != generation &&
            generation_of(word_load(&w->decision)) != generation) {
            return MOVED;
        }
        uint64_t mine = trial_taken(before, generation, ms_up(lease_end));
        if (!word_cas(&w->trials[slot], &before, mine)) {
            continue;
        }
        /* A trial may have failed since the decision was read: then this call would go through an
         * open breaker. */
        uint64_t decision = word_load(&w->decision);
        if (state_of(decision) == HARDY_HALF_OPEN && generation_of(decision) == generation) {
            *permit = (hardy_permit){.generation = mine,
                                     .deadline = ms_to_time(until_of(mine)),
                                     .kind = PERMIT_TRIAL,
                                     .slot = (uint8_t)slot};
            return ADMITTED;
        }
        uint64_t expected = mine;
        word_cas(&w->trials[slot], &expected, mine & ~TAKEN);
        return MOVED;
    }
}

static enum answer take_trial(struct breaker_words *w, const hardy_breaker_config *c,
                              uint64_t decision, int64_t now, int64_t lease, hardy_permit *permit,
                              int64_t *retry_at) {
    int64_t lease_end = time_add(now, lease > c->trial_lease ? lease : c->trial_lease);
    *retry_at = next_look(c, now);
    for (unsigned slot = 0; slot < c->half_open_max_calls; slot++) {
        enum answer answer =
            take_slot(w, generation_of(decision), slot, now, lease_end, permit, retry_at);
        if (answer != REFUSED) {
            return answer;
        }
    }
    return REFUSED;
}

static void record_trial(struct breaker_words *w, const hardy_breaker_config *c, uint64_t trial,
                         unsigned slot, hardy_outcome_class outcome, int64_t now,
                         struct breaker_change *change) {
    uint64_t expected = trial;
    if (!word_cas(&w->trials[slot], &expected, trial & ~TAKEN)) {
        return; /* it hung, lost its lease, and the slot is another's */
    }
    if (outcome == HARDY_IGNORED || outcome == HARDY_THROTTLED) {
        return;
    }
    uint64_t generation = generation_of(trial);
    uint64_t decision = word_load(&w->decision);
    for (;;) {
        if (state_of(decision) != HARDY_HALF_OPEN || generation_of(decision) != generation) {
            return;
        }
        uint64_t next;
        if (outcome != HARDY_SUCCESS) {
            next = pack(HARDY_OPEN, 0, generation + 1, ms_up(time_add(now, c->recovery_timeout)));
        } else if (successes_of(decision) + 1 < c->success_threshold) {
            next = pack(HARDY_HALF_OPEN, successes_of(decision) + 1, generation, 0);
        } else {
            uint64_t closed = ms_up(now);
            next = pack(HARDY_CLOSED, 0, generation + 1, closed ? closed : 1);
        }
        if (word_cas(&w->decision, &decision, next)) {
            if (state_of(next) == HARDY_OPEN) {
                word_count(&w->opened);
            }
            note(change, decision, next);
            return;
        }
    }
}

/* --- closed: counting failures ------------------------------------------------------------- */

/* Adds one to a count of this generation; 0 when the generation has passed. */
static uint64_t count_up(struct breaker_words *w, atomic_word *counter, uint64_t generation) {
    uint64_t before = word_load(counter);
    for (;;) {
        uint64_t count = 1;
        if (tag_of(before) == generation) {
            count += count_of(before);
        } else if (generation_of(word_load(&w->decision)) != generation) {
            return 0;
        }
        if (word_cas(counter, &before, tagged(generation, count))) {
            return count;
        }
    }
}

/* The ring has exactly as many places as the threshold says. */
static uint32_t failures_in_window(const struct breaker_words *w, const hardy_breaker_config *c,
                                   uint64_t generation, int64_t now) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->failure_threshold; i++) {
        uint64_t entry = word_load(&w->ring[i]);
        count += entry & WRITTEN && generation_of(entry) == generation &&
                 until_of(entry) + ms_up(c->failure_window) > ms_up(now);
    }
    return count;
}

/*
 * Whether the threshold is reached in the window: each place holds another failure, so all of them
 * hold one that still counts. It is not enough to look at the place behind the one just written,
 * which holds the oldest: of two that fail at the same time, one may find the other there. Of
 * several that write and look at the same time the last to write sees all: none is missed.
 */
static bool count_in_window(struct breaker_words *w, const hardy_breaker_config *c,
                            uint64_t generation, int64_t now) {
    uint64_t count = count_up(w, &w->ring_next, generation);
    if (count == 0) {
        return false;
    }
    word_store(&w->ring[(count - 1) % c->failure_threshold],
               WRITTEN | generation << GENERATION_SHIFT | ms_up(now) << UNTIL_SHIFT);
    return failures_in_window(w, c, generation, now) == c->failure_threshold;
}

static bool count_in_a_row(struct breaker_words *w, const hardy_breaker_config *c,
                           uint64_t generation) {
    return count_up(w, &w->consecutive, generation) >= c->failure_threshold;
}

static void end_the_row(struct breaker_words *w, uint64_t generation) {
    uint64_t before = word_load(&w->consecutive);
    while (count_of(before) != 0 && tag_of(before) == generation &&
           !word_cas(&w->consecutive, &before, tagged(generation, 0))) {
    }
}

static void record_failure(struct breaker_words *w, const hardy_breaker_config *c,
                           uint64_t generation, int64_t now, struct breaker_change *change) {
    uint64_t decision = word_load(&w->decision);
    if (state_of(decision) != HARDY_CLOSED || generation_of(decision) != generation) {
        return;
    }
    bool reached = c->failure_mode == HARDY_CONSECUTIVE ? count_in_a_row(w, c, generation)
                                                        : count_in_window(w, c, generation, now);
    if (!reached) {
        return;
    }
    uint64_t next = pack(HARDY_OPEN, 0, generation + 1, ms_up(time_add(now, c->recovery_timeout)));
    /* A closed breaker's word changes only with its generation: who loses here came second. */
    if (word_cas(&w->decision, &decision, next)) {
        word_count(&w->opened);
        note(change, decision, next);
    }
}

/* --- the five entries ---------------------------------------------------------------------- */

bool breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                  int64_t *retry_at) {
    uint64_t decision = settled(word_load(&w->decision), now);
    uint64_t generation = generation_of(decision);
    switch (state_of(decision)) {
    case HARDY_CLOSED: {
        if (!paced(c, decision, now)) {
            return true;
        }
        uint64_t ramp = word_load(&w->ramp);
        return ramp_admits(c, decision, tag_of(ramp) == generation ? count_of(ramp) : 0, now,
                           retry_at);
    }
    case HARDY_HALF_OPEN:
        *retry_at = next_look(c, now);
        for (unsigned slot = 0; slot < c->half_open_max_calls; slot++) {
            uint64_t trial = word_load(&w->trials[slot]);
            if (trial_free(trial, generation, now)) {
                return true;
            }
            *retry_at = earlier(*retry_at, ms_to_time(until_of(trial)));
        }
        return false;
    case HARDY_DISABLED:
        return true;
    case HARDY_OPEN:
    case HARDY_FORCED_OPEN:
    default:
        *retry_at = ms_to_time(until_of(decision));
        return state_of(decision) == HARDY_OPEN && now >= *retry_at;
    }
}

static enum answer try_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                               int64_t lease, hardy_permit *permit, int64_t *retry_at,
                               struct breaker_change *change) {
    uint64_t decision = word_load(&w->decision);
    uint64_t next = settled(decision, now);
    if (state_of(next) == HARDY_OPEN && now >= ms_to_time(until_of(next))) {
        next = pack(HARDY_HALF_OPEN, 0, generation_of(next) + 1, 0);
    }
    if (next != decision) {
        if (word_cas(&w->decision, &decision, next)) {
            note(change, decision, next);
        }
        return MOVED;
    }
    switch (state_of(decision)) {
    case HARDY_CLOSED:
        if (paced(c, decision, now)) {
            enum answer answer = take_ramp(w, c, decision, now, retry_at);
            if (answer != ADMITTED) {
                return answer;
            }
        }
        break;
    case HARDY_DISABLED:
        break;
    case HARDY_HALF_OPEN:
        return take_trial(w, c, decision, now, lease, permit, retry_at);
    case HARDY_OPEN:
    case HARDY_FORCED_OPEN:
    default:
        *retry_at = ms_to_time(until_of(decision));
        return REFUSED;
    }
    *permit = (hardy_permit){
        .generation = generation_of(decision), .deadline = HARDY_NEVER, .kind = PERMIT_CALL};
    return ADMITTED;
}

void breaker_count_rejected(struct breaker_words *w) {
    word_count(&shard(w)->rejected);
}

bool breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                     int64_t lease, hardy_permit *permit, int64_t *retry_at,
                     struct breaker_change *change) {
    enum answer answer;
    note(change, HARDY_CLOSED, HARDY_CLOSED);
    do {
        answer = try_acquire(w, c, now, lease, permit, retry_at, change);
    } while (answer == MOVED);
    if (answer == REFUSED) {
        *permit = (hardy_permit){.deadline = HARDY_NEVER};
        breaker_count_rejected(w);
        return false;
    }
    word_count(&shard(w)->calls);
    return true;
}

void breaker_record(struct breaker_words *w, const hardy_breaker_config *c, hardy_permit *permit,
                    hardy_outcome_class outcome, int64_t now, struct breaker_change *change) {
    uint8_t kind = permit->kind;
    note(change, HARDY_CLOSED, HARDY_CLOSED);
    if (kind == 0) {
        return;
    }
    permit->kind = 0;
    bool failed = outcome == HARDY_FAILURE || outcome == HARDY_SLOW;
    if (failed) {
        word_count(&shard(w)->failures);
    } else if (outcome == HARDY_SUCCESS) {
        word_count(&shard(w)->successes);
    }
    if (kind == PERMIT_TRIAL) {
        record_trial(w, c, permit->generation, permit->slot, outcome, now, change);
    } else if (failed) {
        record_failure(w, c, permit->generation, now, change);
    } else if (outcome == HARDY_SUCCESS && c->failure_mode == HARDY_CONSECUTIVE) {
        end_the_row(w, permit->generation);
    }
}

void breaker_force(struct breaker_words *w, hardy_breaker_state state, int64_t until, int64_t now) {
    if (state == HARDY_HALF_OPEN) {
        return;
    }
    uint64_t end = 0;
    if (state != HARDY_CLOSED) {
        state = state == HARDY_DISABLED ? HARDY_DISABLED : HARDY_FORCED_OPEN;
        end = ms_up(until > now ? until : now);
    }
    uint64_t decision = word_load(&w->decision);
    while (!word_cas(&w->decision, &decision, pack(state, 0, generation_of(decision) + 1, end))) {
    }
}

static uint32_t recent_failures(const struct breaker_words *w, const hardy_breaker_config *c,
                                uint64_t generation, int64_t now) {
    if (c->failure_mode == HARDY_CONSECUTIVE) {
        uint64_t row = word_load(&w->consecutive);
        return tag_of(row) == generation ? (uint32_t)count_of(row) : 0;
    }
    return failures_in_window(w, c, generation, now);
}

void breaker_stats(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                   hardy_breaker_stats *stats) {
    uint64_t decision = settled(word_load(&w->decision), now);
    int64_t retry_at = now;
    *stats = (hardy_breaker_stats){.size = sizeof *stats, .state = state_of(decision)};
    for (int i = 0; i < BREAKER_SHARDS; i++) {
        stats->total_calls += word_load(&w->shards[i].calls);
        stats->total_successes += word_load(&w->shards[i].successes);
        stats->total_failures += word_load(&w->shards[i].failures);
        stats->total_rejected += word_load(&w->shards[i].rejected);
    }
    uint64_t judged = stats->total_successes + stats->total_failures;
    stats->success_rate = judged ? (double)stats->total_successes / (double)judged : 1;
    stats->recent_failures = recent_failures(w, c, generation_of(decision), now);
    if (!breaker_peek(w, c, now, &retry_at) && retry_at > now) {
        stats->time_until_retry = retry_at == HARDY_NEVER ? HARDY_NEVER : retry_at - now;
    }
    stats->times_opened = word_load(&w->opened);
}
