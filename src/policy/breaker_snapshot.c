/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A breaker as bytes. They know no clock: all times are ages and spans, so that they mean the same
 * after a restart or on another machine. Always SNAPSHOT_SIZE of them, numbers little-endian:
 *
 *     8    "HrdyBrk" and the version
 *     4    state, level of the recovery timeout, trials so far: successes, failures
 *     8    ns: closed, since when (all ones: it has never been open); else, for how long still
 *     48   totals: successes, failures, slow, ignored, rejected, times opened
 *     16   what the counts were made with: failure_mode 1, window 8, window_calls 4, nothing 3
 *     8    failures in a row; failures in the window
 *     512  their ages, the oldest first
 *     192  buckets of a time window, the youngest first: successes, failures, slow
 *     260  calls in a window of calls, and a bit for each, failed and slow
 *     8    a hash of all that, under no secret: it tells what is damaged, not what is forged
 *
 * Counts that were made with other settings say nothing and are left out; state and totals stay.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/siphash.h"
#include "policy/breaker.h"
#include "policy/breaker_layout.h"
#include "policy/breaker_plain.h"
#include "policy/breaker_window.h"
#include <string.h>

#define MARK "HrdyBrk\1"
#define SEAL 8 /* bytes */
#define FOR_EVER UINT64_MAX
/* The longest recovery timeout, with its jitter; all that is set by hand may be longer. */
#define LONGEST_OPEN (48 * HARDY_HOUR)

_Static_assert(BREAKER_SNAPSHOT == 8 + 4 + 8 + 48 + 16 + 8 + 8 * BREAKER_RING +
                                       12 * BREAKER_BUCKETS + 4 + 2 * BREAKER_CALLS / 8 + SEAL,
               "BREAKER_SNAPSHOT");

struct snapshot {
    hardy_breaker_state state;
    unsigned level;
    uint64_t won, lost; /* trials */
    uint64_t span;
    uint64_t successes, failures, slow, ignored, rejected, opened;
    hardy_failure_mode mode;
    int64_t window;
    uint32_t window_calls;
    struct window_counts counts;
};

/* --- bytes --------------------------------------------------------------------------------- */

struct cursor {
    unsigned char *at;
    bool reading;
};

/* One place for what is written and what is read, so that the two cannot differ. */
static uint64_t number(struct cursor *c, unsigned bytes, uint64_t value) {
    uint64_t read = 0;
    for (unsigned i = 0; i < bytes; i++) {
        if (!c->reading) {
            c->at[i] = (unsigned char)(value >> 8 * i);
        }
        read |= (uint64_t)c->at[i] << 8 * i;
    }
    c->at += bytes;
    return read;
}

static uint32_t number32(struct cursor *c, uint32_t value) {
    return (uint32_t)number(c, 4, value);
}

static void pass(struct cursor *c, struct snapshot *s) {
    struct window_counts *n = &s->counts;
    s->state = (hardy_breaker_state)number(c, 1, (uint64_t)s->state);
    s->level = (unsigned)number(c, 1, s->level);
    s->won = number(c, 1, s->won);
    s->lost = number(c, 1, s->lost);
    s->span = number(c, 8, s->span);
    uint64_t *totals[] = {&s->successes, &s->failures, &s->slow,
                          &s->ignored,   &s->rejected, &s->opened};
    for (size_t i = 0; i < sizeof totals / sizeof *totals; i++) {
        *totals[i] = number(c, 8, *totals[i]);
    }
    s->mode = (hardy_failure_mode)number(c, 1, (uint64_t)s->mode);
    s->window = (int64_t)number(c, 8, (uint64_t)s->window);
    s->window_calls = number32(c, s->window_calls);
    number(c, 3, 0);
    n->in_a_row = number32(c, n->in_a_row);
    n->recent = number32(c, n->recent);
    for (size_t i = 0; i < BREAKER_RING; i++) {
        n->ages[i] = (int64_t)number(c, 8, (uint64_t)n->ages[i]);
    }
    for (size_t i = 0; i < BREAKER_BUCKETS; i++) {
        struct window_bucket *b = &n->buckets[i];
        b->successes = number32(c, b->successes);
        b->failures = number32(c, b->failures);
        b->slow = number32(c, b->slow);
    }
    n->calls = number32(c, n->calls);
    for (size_t i = 0; i < BREAKER_CALLS / 32; i++) {
        n->failed_bits[i] = number32(c, n->failed_bits[i]);
    }
    for (size_t i = 0; i < BREAKER_CALLS / 32; i++) {
        n->slow_bits[i] = number32(c, n->slow_bits[i]);
    }
}

void breaker_seal(unsigned char *snapshot) {
    static const uint64_t no_secret[2];
    size_t sealed = BREAKER_SNAPSHOT - SEAL;
    number(&(struct cursor){.at = snapshot + sealed}, SEAL, siphash(no_secret, snapshot, sealed));
}

/* --- out ----------------------------------------------------------------------------------- */

static uint64_t span_of(uint64_t decision, int64_t now) {
    int64_t until = ms_to_time(until_of(decision));
    switch (state_of(decision)) {
    case HARDY_CLOSED:
        return until == 0 ? FOR_EVER : now > until ? (uint64_t)(now - until) : 0;
    case HARDY_HALF_OPEN:
        return 0;
    case HARDY_OPEN:
    case HARDY_FORCED_OPEN:
    case HARDY_DISABLED:
        break;
    }
    return until == HARDY_NEVER ? FOR_EVER : until > now ? (uint64_t)(until - now) : 0;
}

void breaker_save(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                  unsigned char *out) {
    uint64_t decision = word_load(&w->decision);
    struct snapshot s = {.state = state_of(decision),
                         .level = level_of(decision),
                         .span = span_of(decision, now),
                         .opened = word_load(&w->opened),
                         .mode = c->failure_mode,
                         .window = c->failure_window,
                         .window_calls = c->window_calls};
    if (s.state == HARDY_HALF_OPEN) {
        s.won = until_of(decision) & TRIALS_MASK;
        s.lost = until_of(decision) >> TRIALS_SHIFT;
    }
    hardy_breaker_stats stats;
    breaker_stats(w, c, now, &stats);
    s.successes = stats.total_successes;
    s.failures = stats.total_failures;
    s.slow = stats.total_slow;
    s.rejected = stats.total_rejected;
    for (int i = 0; i < BREAKER_SHARDS; i++) {
        s.ignored += word_load(&w->shards[i].ignored);
    }
    window_take(w, c, generation_of(decision), now, &s.counts);
    memcpy(out, MARK, 8);
    pass(&(struct cursor){.at = out + 8}, &s);
    breaker_seal(out);
}

/* --- in ------------------------------------------------------------------------------------ */

static hardy_status damaged(hardy_error *error, const char *what) {
    return fail(error, HARDY_E_INVALID, NULL, "no snapshot of a breaker: %s", what);
}

static bool bits_beyond(const uint32_t *bits, uint32_t calls) {
    for (uint32_t call = calls; call < BREAKER_CALLS; call++) {
        if (bits[call / 32] >> call % 32 & 1) {
            return true;
        }
    }
    return false;
}

static hardy_status check(const struct snapshot *s, hardy_error *error) {
    const struct window_counts *n = &s->counts;
    if ((unsigned)s->state > HARDY_DISABLED || s->level > LEVEL_MAX) {
        return damaged(error, "there is no such state");
    }
    if (s->state == HARDY_OPEN && s->span > (uint64_t)LONGEST_OPEN) {
        return damaged(error, "it would be open for more than 48h");
    }
    if (n->recent > BREAKER_RING || n->calls > BREAKER_CALLS || s->won > 32 || s->lost > 32) {
        return damaged(error, "it counts more than there is room for");
    }
    for (uint32_t i = 0; i < n->recent; i++) {
        if (n->ages[i] < 0) {
            return damaged(error, "a failure is in the future");
        }
    }
    if (bits_beyond(n->failed_bits, n->calls) || bits_beyond(n->slow_bits, n->calls)) {
        return damaged(error, "more calls failed than there were");
    }
    return HARDY_OK;
}

/* The decision as it has become since, of a generation to be. */
static uint64_t decision_of(const struct snapshot *s, const hardy_breaker_config *c,
                            int64_t elapsed, int64_t now) {
    uint64_t level = s->level, until = 0;
    int64_t span = s->span > INT64_MAX ? HARDY_NEVER : (int64_t)s->span;
    switch (s->state) {
    case HARDY_CLOSED: {
        if (span == HARDY_NEVER) {
            break;
        }
        /* A clock that began after the closing cannot say when that was: then what time takes off
         * the level is taken off now. */
        int64_t since = time_add(span, elapsed);
        if (since < now) {
            until = ms_up(now - since);
            break;
        }
        uint64_t steps = (uint64_t)(since / c->failure_window);
        level = level > steps ? level - steps : 0;
        until = since < c->close_ramp || level > 0 ? 1 : 0;
        break;
    }
    case HARDY_HALF_OPEN:
        until = s->lost << TRIALS_SHIFT | s->won;
        break;
    case HARDY_OPEN:
    case HARDY_FORCED_OPEN:
    case HARDY_DISABLED:
        until = span == HARDY_NEVER ? MS_NEVER
                                    : ms_up(time_add(now, span > elapsed ? span - elapsed : 0));
        break;
    }
    return (uint64_t)s->state | level << LEVEL_SHIFT | until << UNTIL_SHIFT;
}

hardy_status breaker_restore(struct breaker_words *w, const hardy_breaker_config *c,
                             const void *bytes, size_t length, int64_t elapsed, int64_t now,
                             hardy_error *error) {
    unsigned char copy[BREAKER_SNAPSHOT];
    if (length != sizeof copy || memcmp(bytes, MARK, 8) != 0) {
        return damaged(error, length < 8 || memcmp(bytes, MARK, 7) != 0
                                  ? "it does not begin like one"
                              : length != sizeof copy ? "it has another length"
                                                      : "it is of another version");
    }
    if (elapsed < 0) {
        return fail(error, HARDY_E_INVALID, NULL, "elapsed is negative: a snapshot of the future");
    }
    memcpy(copy, bytes, sizeof copy);
    breaker_seal(copy);
    if (memcmp(copy, bytes, sizeof copy) != 0) {
        return damaged(error, "it is damaged");
    }
    struct snapshot s = {0};
    pass(&(struct cursor){.at = copy + 8, .reading = true}, &s);
    hardy_status status = check(&s, error);
    if (status != HARDY_OK) {
        return status;
    }
    /* With other settings these trials may be enough already, and nobody would decide. */
    if (s.won >= c->success_threshold || s.lost >= c->success_threshold) {
        s.won = s.lost = 0;
    }
    uint64_t next, decision = word_load(&w->decision);
    do {
        next = decision_of(&s, c, elapsed, now) | ((generation_of(decision) + 1) & GENERATION_MASK)
                                                      << GENERATION_SHIFT;
    } while (!word_cas(&w->decision, &decision, next));
    breaker_clear_totals(w);
    uint64_t kept = 0;
    if (s.mode == c->failure_mode && s.window == c->failure_window &&
        s.window_calls == c->window_calls && s.state == HARDY_CLOSED) {
        window_put(w, c, generation_of(next), &s.counts, elapsed, now);
        for (int k = 0; k < BREAKER_BUCKETS; k++) {
            kept += window_bucket_count(&w->shards[0].buckets[k]);
        }
    }
    word_add(&w->shards[0].successes, s.successes > kept ? s.successes - kept : 0);
    word_add(&w->shards[0].failures, s.failures);
    word_add(&w->shards[0].slow, s.slow);
    word_add(&w->shards[0].ignored, s.ignored);
    word_add(&w->shards[0].rejected, s.rejected);
    word_add(&w->opened, s.opened);
    return HARDY_OK;
}
