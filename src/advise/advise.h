/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADVISE_ADVISE_H
#define ADVISE_ADVISE_H
/*
 * Which patterns an operation needs, which it does not, why, what each costs, and the settings that
 * follow. Pure: answers in, advice out. What docs/choosing.md tells in words is decided here.
 *
 * The kind of thing an operation depends on decides first (the matrix), then how long it takes and
 * how often it fails (when a pattern is not worth it). Nothing is ever advised that repeats a side
 * effect nobody could recognise, and no retry without a budget.
 */
#include "advise/answers.h"
#include "base/buf.h"
#include <hardy/guard.h>

enum pattern {
    PATTERN_IDEMPOTENCY,
    PATTERN_TIMEOUT,
    PATTERN_RETRY,
    PATTERN_BUDGET,
    PATTERN_BREAKER,
    PATTERN_RATE,
    PATTERN_BULKHEAD,
    PATTERN_BACKPRESSURE,
    PATTERN_CHECKPOINT,
    PATTERN_FALLBACK,
    PATTERN_HEALING,
    PATTERN_HEDGING,
    PATTERNS
};
extern const char *const pattern_names[PATTERNS];

enum verdict { NOT_NEEDED, USEFUL, NEEDED };
extern const char *const verdict_words[]; /* by verdict */

struct pattern_advice {
    enum verdict verdict;
    int64_t added;    /* ns it can add to one operation; 0 when nothing; HARDY_NEVER: no limit */
    char reason[480]; /* sentences for a person, never empty */
    char cost[320];   /* what it costs besides; empty when it is not needed */
};

#define ADVICE_NOTES 6
struct advice { /* must not be moved: `guard` points into it */
    struct answers answers;
    struct pattern_advice patterns[PATTERNS];
    bool guarded;             /* there is something a guard does */
    hardy_guard_config guard; /* layers that are not advised are NULL */
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
    int64_t worst_case; /* ns one step can take, waits for breaker, rate and slots aside */
    /* Where common advice says something else, and why it is not followed. */
    char notes[ADVICE_NOTES][480];
    size_t note_count;
};

/* The answers have passed answers_check(). */
void advise(const struct answers *answers, struct advice *out);

/* A configuration that `hardy validate` accepts: a guard under each of `names` (spaces between),
 * and the sections for what was advised besides. Appends to `to`. */
void advise_configuration(const struct advice *a, const char *names, struct buf *to);
/* Lines to type or to put into a workflow, that run the operation so; each ends with a newline. */
void advise_use(const struct advice *a, const char *names, struct buf *to);
#endif
