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
#include "base/prng.h"
#include "policy/breaker_layout.h"
#include "policy/breaker_plain.h"
#include "policy/breaker_window.h"

/* While half open and full, nobody knows when a trial will end: callers look again this often. */
#define HALF_OPEN_LOOK HARDY_SECOND
/* Paced admission doubles each second; after this many it is no limit any more. */
#define RAMP_DOUBLINGS 24
/* In the count of the ramp: it is the time at which the next is due. */
#define RAMP_TIME (UINT64_C(1) << (COUNT_BITS - 1))

static uint64_t pack(hardy_breaker_state state, unsigned level, uint64_t generation,
                     uint64_t until) {
    return (uint64_t)state | (uint64_t)level << LEVEL_SHIFT |
           (generation & GENERATION_MASK) << GENERATION_SHIFT | until << UNTIL_SHIFT;
}

static void note(struct breaker_change *change, uint64_t from, uint64_t to) {
    if (change) {
        *change = (struct breaker_change){.from = state_of(from), .to = state_of(to)};
    }
}

/* --- opening ------------------------------------------------------------------------------- */

static int64_t longest_recovery(const hardy_breaker_config *c) {
    return c->recovery_max > c->recovery_timeout ? c->recovery_max : c->recovery_timeout;
}

/* The recovery timeout of a level, before jitter. */
static int64_t recovery_of(const hardy_breaker_config *c, unsigned level) {
    int64_t span = c->recovery_timeout, most = longest_recovery(c);
    for (; level > 0 && c->recovery_factor > 1 && span < most; level--) {
        span = time_scale(span, c->recovery_factor);
    }
    return span < most ? span : most;
}

/* Drawn from the capped range: a sample that is capped afterwards would mostly be the cap. */
static int64_t spread(const hardy_breaker_config *c, int64_t span, uint64_t random) {
    if (c->recovery_jitter <= 0) {
        return span;
    }
    int64_t most = c->recovery_max > span ? c->recovery_max : span;
    int64_t high = time_scale(span, 1 + c->recovery_jitter);
    high = high < most ? high : most;
    int64_t low = time_scale(high, 1 / (1 + c->recovery_jitter));
    return prng_range(random, low > c->recovery_timeout ? low : c->recovery_timeout, high);
}

/* Each failed trial goes one level up, and so does an opening after a closing; each window that it
 * stayed closed goes one down. There are no levels above the first that is the longest, for from
 * them there would be windows to go down for nothing; one may come from other settings. */
static unsigned next_level(const hardy_breaker_config *c, uint64_t decision, int64_t now) {
    unsigned before = level_of(decision);
    while (before > 0 && recovery_of(c, before - 1) == longest_recovery(c)) {
        before--;
    }
    int64_t level = before;
    level += recovery_of(c, before) < longest_recovery(c);
    if (state_of(decision) == HARDY_CLOSED) {
        if (until_of(decision) == 0) {
            return 0;
        }
        int64_t closed = now - ms_to_time(until_of(decision));
        level -= closed > 0 ? closed / c->failure_window : 0;
    }
    return level < 0 ? 0 : level > LEVEL_MAX ? LEVEL_MAX : (unsigned)level;
}

static uint64_t opened(const hardy_breaker_config *c, uint64_t decision, int64_t now) {
    uint64_t generation = generation_of(decision) + 1;
    unsigned level = next_level(c, decision, now);
    int64_t span = spread(c, recovery_of(c, level), prng_mix((uint64_t)now ^ prng_mix(generation)));
    return pack(HARDY_OPEN, level, generation, ms_up(time_add(now, span)));
}

/* What the decision has become by the mere passing of time. What was set by hand ends as closed;
 * after a forced opening callers have piled up, so they are paced. Calls that hang open it. */
static uint64_t settled(const struct breaker_words *w, const hardy_breaker_config *c,
                        uint64_t decision, int64_t now) {
    switch (state_of(decision)) {
    case HARDY_CLOSED:
        return c->slow_call > 0 && watch_due(w, c, now) &&
                       watch_opens(w, c, generation_of(decision), now)
                   ? opened(c, decision, now)
                   : decision;
    case HARDY_FORCED_OPEN:
    case HARDY_DISABLED:
        if (now >= ms_to_time(until_of(decision))) {
            return pack(HARDY_CLOSED, 0, generation_of(decision) + 1,
                        state_of(decision) == HARDY_FORCED_OPEN ? until_of(decision) : 0);
        }
        break;
    case HARDY_OPEN:
    case HARDY_HALF_OPEN:
        break;
    }
    return decision;
}

/* False: another thread was faster. */
static bool move_to(struct breaker_words *w, uint64_t *decision, uint64_t next,
                    struct breaker_change *change) {
    uint64_t before = *decision;
    if (!word_cas(&w->decision, decision, next)) {
        return false;
    }
    if (state_of(next) == HARDY_OPEN) {
        word_count(&w->opened);
    }
    note(change, before, next);
    return true;
}

/* --- closed: paced admission --------------------------------------------------------------- */

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

/* What the word says, in the unit that these settings count in: others may have been in force when
 * it was written. */
static uint64_t ramp_of(const hardy_breaker_config *c, uint64_t word, uint64_t generation) {
    uint64_t value = count_of(word) & ~RAMP_TIME;
    bool time = count_of(word) & RAMP_TIME;
    if (tag_of(word) != generation || time == (c->close_rate > 0)) {
        return tag_of(word) == generation ? value : 0;
    }
    uint64_t allowed = time ? ramp_allows(c, (int64_t)value) : 0;
    return allowed < RAMP_TIME ? allowed : RAMP_TIME - 1;
}

/* The pace that the user gives is kept as the time from closing at which the next is due, for what
 * was not used must not come later all at once. */
static uint64_t ramp_next(const hardy_breaker_config *c, uint64_t ramp, int64_t elapsed) {
    if (c->close_rate <= 0) {
        return ramp + 1;
    }
    uint64_t from = elapsed > 0 && (uint64_t)elapsed > ramp ? (uint64_t)elapsed : ramp;
    return from + (uint64_t)((double)HARDY_SECOND / c->close_rate);
}

/* Whether one more is allowed after what `ramp` says; if not, *retry_at. */
static bool ramp_admits(const hardy_breaker_config *c, uint64_t decision, uint64_t ramp,
                        int64_t now, int64_t *retry_at) {
    int64_t closed = ms_to_time(until_of(decision)), elapsed = now - closed, due;
    if (c->close_rate > 0) {
        due = (int64_t)ramp;
        if (elapsed >= due || ramp == 0) {
            return true;
        }
    } else {
        if (ramp < ramp_allows(c, elapsed)) {
            return true;
        }
        due = ramp_reaches(c, ramp + 1);
    }
    int64_t at = time_add(closed, due), end = time_add(closed, c->close_ramp);
    *retry_at = at < end ? at : end;
    return false;
}

enum answer { ADMITTED, REFUSED, MOVED };

static enum answer take_ramp(struct breaker_words *w, const hardy_breaker_config *c,
                             uint64_t decision, int64_t now, int64_t *retry_at) {
    uint64_t generation = generation_of(decision);
    uint64_t ramp = word_load(&w->ramp);
    for (;;) {
        uint64_t before = ramp_of(c, ramp, generation);
        if (tag_of(ramp) != generation && word_load(&w->decision) != decision) {
            return MOVED;
        }
        if (!ramp_admits(c, decision, before, now, retry_at)) {
            return REFUSED;
        }
        uint64_t next = ramp_next(c, before, now - ms_to_time(until_of(decision)));
        next |= c->close_rate > 0 ? RAMP_TIME : 0;
        if (word_cas(&w->ramp, &ramp, tagged(generation, next))) {
            return ADMITTED;
        }
    }
}

/* --- half open: trials --------------------------------------------------------------------- */

static bool trial_free(uint64_t trial, uint64_t generation, int64_t now) {
    return place_vacant(trial, generation) || now >= ms_to_time(until_of(trial));
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
        uint64_t mine = place_taken(before, generation, ms_up(lease_end));
        if (!word_cas(&w->trials[slot], &before, mine)) {
            continue;
        }
        /* A trial may have failed since the decision was read: then this call would go through an
         * open breaker. */
        uint64_t decision = word_load(&w->decision);
        if (state_of(decision) == HARDY_HALF_OPEN && generation_of(decision) == generation) {
            *permit = (hardy_permit){.generation = mine,
                                     .deadline = ms_to_time(until_of(mine)),
                                     .started = now,
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

/* So many failures among the trials open it. */
static uint64_t failures_that_open(const hardy_breaker_config *c) {
    if (c->trial_decision == HARDY_TRIALS_CONSECUTIVE) {
        return 1;
    }
    double most = c->success_threshold, failures = 1;
    while (failures < most && failures / most < c->failure_rate) {
        failures++;
    }
    return (uint64_t)failures;
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
    uint64_t generation = generation_of(trial), needed = failures_that_open(c), next;
    uint64_t decision = word_load(&w->decision);
    do {
        if (state_of(decision) != HARDY_HALF_OPEN || generation_of(decision) != generation) {
            return;
        }
        uint64_t successes = until_of(decision) & TRIALS_MASK;
        uint64_t failures = until_of(decision) >> TRIALS_SHIFT;
        *(outcome == HARDY_SUCCESS ? &successes : &failures) += 1;
        if (failures >= needed) {
            next = opened(c, decision, now);
        } else if (successes > c->success_threshold - needed) {
            uint64_t closed = ms_up(now);
            next = pack(HARDY_CLOSED, level_of(decision), generation + 1, closed ? closed : 1);
        } else {
            next = pack(HARDY_HALF_OPEN, level_of(decision), generation,
                        failures << TRIALS_SHIFT | successes);
        }
    } while (!move_to(w, &decision, next, change));
}

/* --- the entries --------------------------------------------------------------------------- */

static bool would_admit(const struct breaker_words *w, const hardy_breaker_config *c,
                        uint64_t decision, int64_t now, int64_t *retry_at) {
    uint64_t generation = generation_of(decision);
    switch (state_of(decision)) {
    case HARDY_CLOSED: {
        if (!breaker_paced(c, decision, now)) {
            return true;
        }
        uint64_t ramp = word_load(&w->ramp);
        return ramp_admits(c, decision, ramp_of(c, ramp, generation), now, retry_at);
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

/* What is set by hand holds in shadow as well. */
static bool refuses(const hardy_breaker_config *c, uint64_t decision) {
    return !c->shadow || state_of(decision) == HARDY_FORCED_OPEN;
}

bool breaker_peek(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                  int64_t *retry_at) {
    uint64_t decision = settled(w, c, word_load(&w->decision), now);
    return would_admit(w, c, decision, now, retry_at) || !refuses(c, decision);
}

static enum answer try_acquire(struct breaker_words *w, const hardy_breaker_config *c,
                               uint64_t decision, int64_t now, int64_t lease, hardy_permit *permit,
                               int64_t *retry_at, struct breaker_change *change) {
    uint64_t next = settled(w, c, decision, now);
    if (state_of(next) == HARDY_OPEN && now >= ms_to_time(until_of(next))) {
        next = pack(HARDY_HALF_OPEN, level_of(next), generation_of(next) + 1, 0);
    }
    if (next != decision) {
        move_to(w, &decision, next, change);
        return MOVED;
    }
    switch (state_of(decision)) {
    case HARDY_CLOSED:
        if (breaker_paced(c, decision, now)) {
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
    breaker_permit(permit, decision, now);
    if (c->slow_call > 0 && state_of(decision) == HARDY_CLOSED) {
        watch_looked(w, c, now);
        watch_begin(w, c, now, permit);
    }
    return ADMITTED;
}

void breaker_count_rejected(struct breaker_words *w) {
    word_count(&breaker_shard(w)->rejected);
}

bool breaker_acquire(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                     int64_t lease, hardy_permit *permit, int64_t *retry_at,
                     struct breaker_change *change) {
    uint64_t decision;
    enum answer answer;
    note(change, HARDY_CLOSED, HARDY_CLOSED);
    if (breaker_acquire_plain(w, c, now, permit)) {
        return true;
    }
    if (breaker_refuse_plain(w, c, now, permit, retry_at)) {
        return false;
    }
    do {
        decision = word_load(&w->decision);
        answer = try_acquire(w, c, decision, now, lease, permit, retry_at, change);
    } while (answer == MOVED);
    if (answer == ADMITTED) {
        return true;
    }
    breaker_count_rejected(w);
    *permit = (hardy_permit){.deadline = HARDY_NEVER};
    if (!refuses(c, decision)) {
        permit->kind = PERMIT_SHADOW;
        return true;
    }
    return false;
}

static bool took_too_long(const hardy_breaker_config *c, const hardy_permit *permit, int64_t now) {
    return c->slow_call > 0 && permit->started != HARDY_NEVER && now > permit->started &&
           now - permit->started > c->slow_call;
}

void breaker_progress(struct breaker_words *w, const hardy_breaker_config *c, hardy_permit *permit,
                      int64_t now) {
    if (permit->kind == PERMIT_WATCHED) {
        watch_end(w, permit);
    }
    if (!took_too_long(c, permit, now)) {
        permit->started = HARDY_NEVER;
    }
}

/* An ordinary call has ended. */
static void record_call(struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                        bool failed, bool slow, int64_t now, struct breaker_change *change) {
    if (!window_record(w, c, breaker_shard(w), generation, failed, slow, now)) {
        return;
    }
    uint64_t decision = word_load(&w->decision);
    /* A closed breaker's word changes only with its generation: who loses here came second. */
    if (state_of(decision) == HARDY_CLOSED && generation_of(decision) == generation) {
        move_to(w, &decision, opened(c, decision, now), change);
    }
}

void breaker_record(struct breaker_words *w, const hardy_breaker_config *c, hardy_permit *permit,
                    hardy_outcome_class outcome, int64_t now, struct breaker_change *change) {
    note(change, HARDY_CLOSED, HARDY_CLOSED);
    if (breaker_record_plain(w, c, permit, outcome)) {
        return;
    }
    bool slow = outcome == HARDY_SLOW || took_too_long(c, permit, now);
    if (permit->kind == PERMIT_WATCHED) {
        watch_end(w, permit);
    }
    uint8_t kind = permit->kind;
    permit->kind = 0;
    if (kind == 0 || kind == PERMIT_SHADOW) {
        return;
    }
    if (outcome == HARDY_IGNORED || outcome == HARDY_THROTTLED) {
        word_count(&breaker_shard(w)->ignored);
        slow = false;
    } else if (slow) {
        word_count(&breaker_shard(w)->slow);
    }
    bool failed = outcome == HARDY_FAILURE || (slow && c->slow_call_rate <= 0);
    if (kind == PERMIT_TRIAL) {
        if (failed || slow) {
            outcome = HARDY_FAILURE;
            word_count(failed ? &breaker_shard(w)->failures : &breaker_shard(w)->successes);
        } else if (outcome == HARDY_SUCCESS) {
            word_count(&breaker_shard(w)->successes);
        }
        record_trial(w, c, permit->generation, permit->slot, outcome, now, change);
    } else if (outcome != HARDY_IGNORED && outcome != HARDY_THROTTLED) {
        record_call(w, c, permit->generation, failed, slow, now, change);
    }
}

void breaker_settle(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                    struct breaker_change *change) {
    uint64_t decision = word_load(&w->decision), next;
    note(change, HARDY_CLOSED, HARDY_CLOSED);
    do {
        next = settled(w, c, decision, now);
    } while (next != decision && !move_to(w, &decision, next, change));
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

void breaker_clear_totals(struct breaker_words *w) {
    word_store(&w->opened, 0);
    for (int i = 0; i < BREAKER_SHARDS; i++) {
        struct breaker_shard *s = &w->shards[i];
        word_store(&s->successes, 0);
        word_store(&s->failures, 0);
        word_store(&s->slow, 0);
        word_store(&s->ignored, 0);
        word_store(&s->rejected, 0);
        for (int k = 0; k < BREAKER_BUCKETS; k++) {
            word_store(&s->buckets[k], 0);
        }
    }
}

void breaker_reset(struct breaker_words *w, int64_t now) {
    breaker_force(w, HARDY_CLOSED, HARDY_NEVER, now);
    breaker_clear_totals(w);
}

static void add_totals(const struct breaker_words *w, uint64_t decision,
                       hardy_breaker_stats *stats) {
    for (int i = 0; i < BREAKER_SHARDS; i++) {
        const struct breaker_shard *s = &w->shards[i];
        stats->total_successes += word_load(&s->successes);
        for (int k = 0; k < BREAKER_BUCKETS; k++) {
            stats->total_successes += window_bucket_count(&s->buckets[k]);
        }
        stats->total_failures += word_load(&s->failures);
        stats->total_slow += word_load(&s->slow);
        stats->total_calls += word_load(&s->ignored);
        stats->total_rejected += word_load(&s->rejected);
    }
    stats->total_calls += stats->total_successes + stats->total_failures;
    for (int i = 0; state_of(decision) == HARDY_HALF_OPEN && i < BREAKER_TRIALS; i++) {
        stats->total_calls += !place_vacant(word_load(&w->trials[i]), generation_of(decision));
    }
}

static double share(uint64_t part, uint64_t whole) {
    return whole ? (double)part / (double)whole : -1;
}

void breaker_stats(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                   hardy_breaker_stats *stats) {
    uint64_t before = word_load(&w->decision), decision = settled(w, c, before, now);
    int64_t retry_at = now;
    *stats = (hardy_breaker_stats){.size = sizeof *stats, .state = state_of(decision)};
    add_totals(w, decision, stats);
    uint64_t judged = stats->total_successes + stats->total_failures;
    stats->success_rate = judged ? share(stats->total_successes, judged) : 1;
    struct window_tally t = window_tally(w, c, generation_of(decision), now);
    stats->recent_failures = t.recent;
    stats->recent_calls = t.calls;
    stats->failure_rate = share(t.failures, t.calls);
    stats->slow_call_rate = c->slow_call_rate > 0 ? share(t.slow, t.calls) : -1;
    stats->hung_calls = t.hung;
    stats->recovery_timeout = recovery_of(c, level_of(decision));
    if (!would_admit(w, c, decision, now, &retry_at) && retry_at > now && refuses(c, decision)) {
        stats->time_until_retry = retry_at == HARDY_NEVER ? HARDY_NEVER : retry_at - now;
    }
    stats->times_opened = word_load(&w->opened);
    /* Told as open, though the first to call is yet to make it so. */
    stats->times_opened += state_of(before) == HARDY_CLOSED && state_of(decision) == HARDY_OPEN;
}
