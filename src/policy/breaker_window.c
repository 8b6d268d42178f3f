/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A word of an earlier generation, or of an earlier round of a window, may be replaced only by a
 * thread that has seen, after reading that word, that its own generation is still the current one.
 * Otherwise a thread that was held up would wipe out what a later generation has counted.
 *
 * Whoever counts looks at the sum after that: of several that count and look at the same time, the
 * last to count sees all, so none is missed.
 */
#include "policy/breaker_window.h"
#include "base/clock.h"
#include "base/thread.h"
#include "policy/breaker_layout.h"

/* bucket */
#define EPOCH_BITS 23
#define EPOCH_MASK ((UINT64_C(1) << EPOCH_BITS) - 1)
#define BUCKET_BITS 26
#define BUCKET_MASK ((UINT64_C(1) << BUCKET_BITS) - 1)

/* bits */
#define LAP_BITS 17
#define LAP_MASK ((UINT64_C(1) << LAP_BITS) - 1)
#define BITS 32

/* Calls that hang are looked for so many times in a slow_call. */
#define LOOKS 8

static bool generation_passed(const struct breaker_words *w, uint64_t generation) {
    return generation_of(word_load(&w->decision)) != generation;
}

/* Adds one to a count of this generation; 0 when the generation has passed. */
static uint64_t count_up(struct breaker_words *w, atomic_word *counter, uint64_t generation) {
    uint64_t before = word_load(counter);
    for (;;) {
        uint64_t count = 1;
        if (tag_of(before) == generation) {
            count += count_of(before);
        } else if (generation_passed(w, generation)) {
            return 0;
        }
        if (word_cas(counter, &before, tagged(generation, count))) {
            return count;
        }
    }
}

static uint64_t counted(const atomic_word *counter, uint64_t generation) {
    uint64_t word = word_load(counter);
    return tag_of(word) == generation ? count_of(word) : 0;
}

/* --- the last failures, exactly ------------------------------------------------------------ */

/* The ring has exactly as many places as the threshold says. */
static uint32_t failures_in_ring(const struct breaker_words *w, const hardy_breaker_config *c,
                                 uint64_t generation, int64_t now) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->failure_threshold; i++) {
        uint64_t entry = word_load(&w->ring[i]);
        count += entry & WRITTEN && generation_of(entry) == generation &&
                 until_of(entry) + ms_up(c->failure_window) > ms_up(now);
    }
    return count;
}

/* It is not enough to look at the place behind the one just written, which holds the oldest: of two
 * that fail at the same time, one may find the other there. */
static void count_in_ring(struct breaker_words *w, const hardy_breaker_config *c,
                          uint64_t generation, int64_t now) {
    uint64_t count = count_up(w, &w->ring_next, generation);
    if (count != 0) {
        word_store(&w->ring[(count - 1) % c->failure_threshold],
                   WRITTEN | generation << GENERATION_SHIFT | ms_up(now) << UNTIL_SHIFT);
    }
}

/* A success writes nothing unless there is a row to end. */
static void end_the_row(struct breaker_words *w, uint64_t generation) {
    uint64_t before = word_load(&w->consecutive);
    while (count_of(before) != 0 && tag_of(before) == generation &&
           !word_cas(&w->consecutive, &before, tagged(generation, 0))) {
    }
}

/* --- a time window in buckets ------------------------------------------------------------------
 */

/* Their width is a power of two, so that finding one takes no division: an eighth of the window or
 * less, so 16 buckets are enough. */
static unsigned bucket_shift(const hardy_breaker_config *c) {
    return 63 - (unsigned)__builtin_clzll((uint64_t)c->failure_window / 8);
}

static uint64_t bucket_tag(uint64_t generation, uint64_t epoch) {
    return generation << EPOCH_BITS | (epoch & EPOCH_MASK);
}

/* Empties the places of steps `first` to `last`. False: another thread has turned since. */
static bool empty_places(struct breaker_words *w, atomic_word *buckets, atomic_word *total,
                         uint64_t first, uint64_t last, uint64_t turned) {
    for (uint64_t epoch = first; epoch <= last; epoch++) {
        atomic_word *bucket = &buckets[epoch % BREAKER_BUCKETS];
        uint64_t before = word_load(bucket);
        if (before == 0) {
            continue;
        }
        /* Nobody counts in a step before it has been turned to, so what was read is old. */
        if (word_load(&w->turned) != turned) {
            return false;
        }
        if (word_cas(bucket, &before, 0) && total && (before & BUCKET_MASK) != 0) {
            word_add(total, before & BUCKET_MASK);
        }
    }
    return true;
}

/*
 * Before a step is counted in, it and those that nobody has counted in since the last are emptied:
 * at most all places there are. Without that, what was left alone until the number of the step has
 * come round would count again, which with a window of a millisecond is every nine minutes.
 */
__attribute__((noinline)) static void turn(struct breaker_words *w, unsigned shift, int64_t now) {
    uint64_t epoch = (uint64_t)now >> shift, turned = word_load(&w->turned);
    while (turned >> shift < epoch) {
        uint64_t first = (turned >> shift) + 1;
        if (epoch - first >= BREAKER_BUCKETS) {
            first = epoch - BREAKER_BUCKETS + 1;
        }
        bool emptied = empty_places(w, w->failed_buckets, NULL, first, epoch, turned) &&
                       empty_places(w, w->slow_buckets, NULL, first, epoch, turned);
        for (int i = 0; emptied && i < BREAKER_SHARDS; i++) {
            struct breaker_shard *shard = &w->shards[i];
            emptied = empty_places(w, shard->buckets, &shard->successes, first, epoch, turned);
        }
        if (!emptied) {
            turned = word_load(&w->turned);
        } else if (word_cas(&w->turned, &turned, (uint64_t)now)) {
            break;
        }
    }
}

/* Apart from the above, so that a count that need not turn costs a look and no more. */
static void turn_to(struct breaker_words *w, const hardy_breaker_config *c, int64_t now) {
    unsigned shift = bucket_shift(c);
    if (word_load(&w->turned) >> shift < (uint64_t)now >> shift) {
        turn(w, shift, now);
    }
}

/*
 * Adds one to the bucket of `now`, whatever its place held before. What is thrown out of it comes
 * back in *displaced; there is none of it where the count is late, or the bucket full, and false is
 * returned.
 */
static bool count_in_bucket(struct breaker_words *w, const hardy_breaker_config *c,
                            atomic_word *buckets, uint64_t generation, int64_t now,
                            uint64_t *displaced) {
    unsigned shift = bucket_shift(c);
    uint64_t epoch = (uint64_t)now >> shift;
    uint64_t tag = bucket_tag(generation, epoch);
    atomic_word *bucket = &buckets[epoch % BREAKER_BUCKETS];
    uint64_t before = word_load(bucket);
    for (;;) {
        uint64_t count = before & BUCKET_MASK;
        *displaced = 0;
        if (before >> BUCKET_BITS != tag) {
            /* It may be a later step's, but only if that has been turned to. */
            bool late = word_load(&w->turned) >> shift >= epoch + BREAKER_BUCKETS;
            if (late || generation_passed(w, generation)) {
                return false;
            }
            *displaced = count;
            count = 0;
        }
        if (count == BUCKET_MASK) {
            return false;
        }
        if (word_cas(bucket, &before, tag << BUCKET_BITS | (count + 1))) {
            return true;
        }
    }
}

uint64_t window_bucket_count(const atomic_word *bucket) {
    return word_load(bucket) & BUCKET_MASK;
}

static uint64_t sum_buckets(const struct breaker_words *w, const hardy_breaker_config *c,
                            const atomic_word *buckets, uint64_t generation, int64_t now) {
    unsigned shift = bucket_shift(c);
    uint64_t epoch = (uint64_t)now >> shift, last = word_load(&w->turned) >> shift, sum = 0;
    uint64_t many = ((uint64_t)c->failure_window + (UINT64_C(1) << shift) - 1) >> shift;
    for (uint64_t back = last < epoch ? epoch - last : 0; back < many && back <= epoch; back++) {
        uint64_t bucket = word_load(&buckets[(epoch - back) % BREAKER_BUCKETS]);
        if (bucket >> BUCKET_BITS == bucket_tag(generation, epoch - back)) {
            sum += bucket & BUCKET_MASK;
        }
    }
    return sum;
}

/* Successes have a line of buckets for some of the threads, and their total is what has left the
 * buckets and what is in them: one addition a call in all. */
static void count_success(struct breaker_words *w, const hardy_breaker_config *c,
                          struct breaker_shard *shard, uint64_t generation, int64_t now) {
    uint64_t displaced;
    if (!count_in_bucket(w, c, shard->buckets, generation, now, &displaced)) {
        word_count(&shard->successes);
    } else if (displaced != 0) {
        word_add(&shard->successes, displaced);
    }
}

/* --- a window of calls, a bit each ---------------------------------------------------------- */

static uint64_t bits_tag(uint64_t generation, uint64_t lap) {
    return generation << LAP_BITS | (lap & LAP_MASK);
}

/* Marks call `n`, from 0, or only takes its word over from the round before. */
static void set_bit(struct breaker_words *w, atomic_word *words, uint64_t generation, uint64_t n,
                    bool marked) {
    uint64_t lap = n / BITS, tag = bits_tag(generation, lap), bit = (uint64_t)marked << n % BITS;
    atomic_word *word = &words[lap % BREAKER_BITS];
    uint64_t before = word_load(word), next;
    do {
        next = before | bit;
        if (before >> BITS != tag) {
            uint64_t distance = ((before >> BITS) - tag) & LAP_MASK;
            bool late = before >> BITS >> LAP_BITS == generation && distance <= LAP_MASK / 2;
            if (late || generation_passed(w, generation)) {
                return;
            }
            next = tag << BITS | bit;
        }
    } while (!word_cas(word, &before, next));
}

static uint64_t sum_bits(const atomic_word *words, uint64_t generation, uint64_t from,
                         uint64_t end) {
    uint64_t sum = 0;
    for (uint64_t lap = from / BITS; lap * BITS < end; lap++) {
        uint64_t word = word_load(&words[lap % BREAKER_BITS]);
        if (word >> BITS == bits_tag(generation, lap)) {
            uint32_t old = lap == from / BITS ? (UINT32_C(1) << from % BITS) - 1 : 0;
            sum += (uint64_t)__builtin_popcount((uint32_t)word & ~old);
        }
    }
    return sum;
}

/* A call that went well has no bit to set, but the first of each word takes it over: a word that
 * was left alone for millions of calls would look like one of a later round. */
static void count_in_calls(struct breaker_words *w, const hardy_breaker_config *c,
                           uint64_t generation, bool failed, bool slow) {
    uint64_t count = count_up(w, &w->ended, generation), n = count - 1;
    if (count != 0 && (failed || n % BITS == 0)) {
        set_bit(w, w->failed_bits, generation, n, failed);
    }
    if (count != 0 && c->slow_call_rate > 0 && (slow || n % BITS == 0)) {
        set_bit(w, w->slow_bits, generation, n, slow);
    }
}

/* --- calls under way -------------------------------------------------------------------------- */

/* Nobody waits for the dead for ever: a place counts as long as a slow call would in the window,
 * and then is free. */
static bool watch_expired(const hardy_breaker_config *c, uint64_t place, int64_t now) {
    int64_t slow_at = time_add(ms_to_time(until_of(place)), c->slow_call);
    return now >= time_add(slow_at, c->failure_window);
}

void watch_begin(struct breaker_words *w, const hardy_breaker_config *c, int64_t now,
                 hardy_permit *permit) {
    uint64_t generation = permit->generation;
    unsigned first = thread_number() * 8; /* places on a line that few others use */
    for (unsigned i = 0; i < BREAKER_WATCHED; i++) {
        unsigned slot = (first + i) % BREAKER_WATCHED;
        uint64_t before = word_load(&w->watched[slot]);
        if (!place_vacant(before, generation) && !watch_expired(c, before, now)) {
            continue;
        }
        if (generation_of(before) != generation && generation_passed(w, generation)) {
            return;
        }
        uint64_t mine = place_taken(before, generation, ms_up(now));
        if (word_cas(&w->watched[slot], &before, mine)) {
            permit->generation = mine;
            permit->kind = PERMIT_WATCHED;
            permit->slot = (uint8_t)slot;
            return;
        }
    }
}

void watch_end(struct breaker_words *w, hardy_permit *permit) {
    uint64_t mine = permit->generation;
    word_cas(&w->watched[permit->slot], &mine, mine & ~TAKEN);
    permit->generation = generation_of(permit->generation);
    permit->kind = PERMIT_CALL;
}

static uint32_t count_hung(const struct breaker_words *w, const hardy_breaker_config *c,
                           uint64_t generation, int64_t now) {
    uint32_t hung = 0;
    for (unsigned slot = 0; c->slow_call > 0 && slot < BREAKER_WATCHED; slot++) {
        uint64_t place = word_load(&w->watched[slot]);
        hung += !place_vacant(place, generation) && !watch_expired(c, place, now) &&
                now > time_add(ms_to_time(until_of(place)), c->slow_call);
    }
    return hung;
}

bool watch_due(const struct breaker_words *w, const hardy_breaker_config *c, int64_t now) {
    return ms_up(now) > word_load(&w->looked) + ms_up(c->slow_call / LOOKS);
}

void watch_looked(struct breaker_words *w, const hardy_breaker_config *c, int64_t now) {
    if (watch_due(w, c, now)) {
        word_store(&w->looked, ms_up(now));
    }
}

/* --- enough to open? ------------------------------------------------------------------------- */

struct window_tally window_tally(const struct breaker_words *w, const hardy_breaker_config *c,
                                 uint64_t generation, int64_t now) {
    struct window_tally t = {.hung = count_hung(w, c, generation, now)};
    if (c->failure_mode == HARDY_CONSECUTIVE) {
        t.recent = (uint32_t)counted(&w->consecutive, generation);
        return t;
    }
    if (window_has_buckets(c)) {
        t.failures = sum_buckets(w, c, w->failed_buckets, generation, now);
        t.calls = t.failures;
        for (int i = 0; i < BREAKER_SHARDS; i++) {
            t.calls += sum_buckets(w, c, w->shards[i].buckets, generation, now);
        }
        if (c->slow_call_rate > 0) {
            t.slow = sum_buckets(w, c, w->slow_buckets, generation, now);
        }
    } else if (c->failure_mode == HARDY_FAILURE_RATE) {
        uint64_t end = counted(&w->ended, generation);
        uint64_t from = end > c->window_calls ? end - c->window_calls : 0;
        t.calls = end - from;
        t.failures = sum_bits(w->failed_bits, generation, from, end);
        t.slow = sum_bits(w->slow_bits, generation, from, end);
    }
    if (c->failure_mode == HARDY_FAILURE_RATE || window_has_buckets(c)) {
        t.calls += t.hung;
        *(c->slow_call_rate > 0 ? &t.slow : &t.failures) += t.hung;
    }
    t.recent = c->failure_mode == HARDY_WINDOW ? failures_in_ring(w, c, generation, now) + t.hung
                                               : (uint32_t)t.failures;
    return t;
}

static bool reaches(uint64_t part, uint64_t whole, double rate) {
    return rate > 0 && whole > 0 && (double)part / (double)whole >= rate;
}

static bool enough(const hardy_breaker_config *c, const struct window_tally *t) {
    if (c->failure_mode == HARDY_FAILURE_RATE) {
        return t->calls >= c->minimum_calls && (reaches(t->failures, t->calls, c->failure_rate) ||
                                                reaches(t->slow, t->calls, c->slow_call_rate));
    }
    return t->recent >= c->failure_threshold &&
           (!window_has_buckets(c) || reaches(t->failures, t->calls, c->failure_rate));
}

bool watch_opens(const struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                 int64_t now) {
    if (c->failure_mode == HARDY_CONSECUTIVE) {
        return false;
    }
    struct window_tally t = window_tally(w, c, generation, now);
    return t.hung > 0 && enough(c, &t);
}

bool window_record(struct breaker_words *w, const hardy_breaker_config *c,
                   struct breaker_shard *shard, uint64_t generation, bool failed, bool slow,
                   int64_t now) {
    uint64_t decision = word_load(&w->decision), displaced;
    bool counts = state_of(decision) == HARDY_CLOSED && generation_of(decision) == generation;
    if (counts && window_has_buckets(c)) {
        turn_to(w, c, now);
    }
    if (failed) {
        word_count(&shard->failures);
    } else if (counts && window_has_buckets(c)) {
        count_success(w, c, shard, generation, now);
    } else {
        word_count(&shard->successes);
    }
    if (!counts) {
        return false;
    }
    slow = slow && c->slow_call_rate > 0;
    switch (c->failure_mode) {
    case HARDY_CONSECUTIVE:
        if (failed) {
            count_up(w, &w->consecutive, generation);
        } else {
            end_the_row(w, generation);
        }
        break;
    case HARDY_WINDOW:
        if (failed) {
            if (window_has_buckets(c)) {
                count_in_bucket(w, c, w->failed_buckets, generation, now, &displaced);
            }
            count_in_ring(w, c, generation, now);
        }
        break;
    case HARDY_FAILURE_RATE:
    default:
        if (c->window_calls > 0) {
            count_in_calls(w, c, generation, failed, slow);
            break;
        }
        if (failed) {
            count_in_bucket(w, c, w->failed_buckets, generation, now, &displaced);
        }
        if (slow) {
            count_in_bucket(w, c, w->slow_buckets, generation, now, &displaced);
        }
    }
    if (!failed && !slow) {
        return false;
    }
    struct window_tally t = window_tally(w, c, generation, now);
    return enough(c, &t);
}

/* --- out and in ------------------------------------------------------------------------------ */

/* The bits of word `i` of a window of calls that begins at call `from`. */
static uint32_t bits_from(const atomic_word *words, uint64_t generation, uint64_t from,
                          unsigned i) {
    uint64_t at = from + (uint64_t)i * BITS, pair = 0;
    for (unsigned half = 0; half < 2; half++) {
        uint64_t lap = at / BITS + half, word = word_load(&words[lap % BREAKER_BITS]);
        if (word >> BITS == bits_tag(generation, lap)) {
            pair |= (word & UINT32_MAX) << BITS * half;
        }
    }
    return (uint32_t)(pair >> at % BITS);
}

static uint32_t in_bucket(const atomic_word *bucket, uint64_t tag) {
    uint64_t word = word_load(bucket);
    return word >> BUCKET_BITS == tag ? (uint32_t)(word & BUCKET_MASK) : 0;
}

void window_take(const struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                 int64_t now, struct window_counts *out) {
    *out = (struct window_counts){.in_a_row = (uint32_t)counted(&w->consecutive, generation)};
    uint64_t oldest = counted(&w->ring_next, generation);
    for (uint32_t i = 0; c->failure_mode == HARDY_WINDOW && i < c->failure_threshold; i++) {
        uint64_t entry = word_load(&w->ring[(oldest + i) % c->failure_threshold]);
        if (entry & WRITTEN && generation_of(entry) == generation) {
            int64_t age = now - ms_to_time(until_of(entry));
            out->ages[out->recent++] = age > 0 ? age : 0;
        }
    }
    uint64_t epoch = (uint64_t)now >> bucket_shift(c);
    uint64_t last = word_load(&w->turned) >> bucket_shift(c);
    for (uint64_t back = last < epoch ? epoch - last : 0;
         window_has_buckets(c) && back < BREAKER_BUCKETS && back <= epoch; back++) {
        uint64_t tag = bucket_tag(generation, epoch - back);
        size_t place = (epoch - back) % BREAKER_BUCKETS;
        struct window_bucket *bucket = &out->buckets[back];
        bucket->failures = in_bucket(&w->failed_buckets[place], tag);
        bucket->slow = in_bucket(&w->slow_buckets[place], tag);
        for (int i = 0; i < BREAKER_SHARDS; i++) {
            bucket->successes += in_bucket(&w->shards[i].buckets[place], tag);
        }
    }
    if (c->failure_mode == HARDY_FAILURE_RATE && c->window_calls > 0) {
        uint64_t end = counted(&w->ended, generation);
        uint64_t from = end > c->window_calls ? end - c->window_calls : 0;
        out->calls = (uint32_t)(end - from);
        for (unsigned i = 0; i * BITS < out->calls; i++) {
            out->failed_bits[i] = bits_from(w->failed_bits, generation, from, i);
            out->slow_bits[i] = bits_from(w->slow_bits, generation, from, i);
        }
    }
}

/* A word that is of this generation already has been counted in since. */
static void put_word(atomic_word *word, uint64_t own, unsigned shift, uint64_t value) {
    uint64_t before = word_load(word);
    while ((before >> shift & GENERATION_MASK) != own && !word_cas(word, &before, value)) {
    }
}

static void put_bucket(atomic_word *bucket, uint64_t generation, uint64_t epoch, uint64_t count) {
    if (count > 0) {
        put_word(bucket, generation, BUCKET_BITS + EPOCH_BITS,
                 bucket_tag(generation, epoch) << BUCKET_BITS |
                     (count < BUCKET_MASK ? count : BUCKET_MASK));
    }
}

static void put_bits(atomic_word *words, uint64_t generation, const uint32_t *bits,
                     uint32_t calls) {
    for (unsigned i = 0; i * BITS < calls; i++) {
        put_word(&words[i], generation, BITS + LAP_BITS, bits_tag(generation, i) << BITS | bits[i]);
    }
}

void window_put(struct breaker_words *w, const hardy_breaker_config *c, uint64_t generation,
                const struct window_counts *counts, int64_t elapsed, int64_t now) {
    if (c->failure_mode == HARDY_CONSECUTIVE) {
        put_word(&w->consecutive, generation, COUNT_BITS, tagged(generation, counts->in_a_row));
    }
    uint32_t places = 0;
    for (uint32_t i = 0; c->failure_mode == HARDY_WINDOW && i < counts->recent; i++) {
        int64_t at = now - time_add(counts->ages[i], elapsed);
        if (at > 0 && places < c->failure_threshold) {
            put_word(&w->ring[places++], generation, GENERATION_SHIFT,
                     WRITTEN | generation << GENERATION_SHIFT | ms_up(at) << UNTIL_SHIFT);
        }
    }
    if (places > 0) {
        put_word(&w->ring_next, generation, COUNT_BITS, tagged(generation, places));
    }
    if (window_has_buckets(c)) {
        turn_to(w, c, now);
    }
    uint64_t epoch = (uint64_t)now >> bucket_shift(c), gone = (uint64_t)elapsed >> bucket_shift(c);
    for (uint64_t back = 0;
         window_has_buckets(c) && back + gone < BREAKER_BUCKETS && back + gone <= epoch; back++) {
        const struct window_bucket *bucket = &counts->buckets[back];
        uint64_t then = epoch - back - gone;
        put_bucket(&w->failed_buckets[then % BREAKER_BUCKETS], generation, then, bucket->failures);
        put_bucket(&w->slow_buckets[then % BREAKER_BUCKETS], generation, then, bucket->slow);
        put_bucket(&w->shards[0].buckets[then % BREAKER_BUCKETS], generation, then,
                   bucket->successes);
    }
    if (c->failure_mode == HARDY_FAILURE_RATE && c->window_calls > 0 && counts->calls > 0) {
        put_bits(w->failed_bits, generation, counts->failed_bits, counts->calls);
        put_bits(w->slow_bits, generation, counts->slow_bits, counts->calls);
        put_word(&w->ended, generation, COUNT_BITS, tagged(generation, counts->calls));
    }
}
