/* SPDX-License-Identifier: Apache-2.0 */
#include "advise/advise.h"
#include "advise/inside.h"
#include "base/clock.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const pattern_names[PATTERNS] = {
    [PATTERN_IDEMPOTENCY] = "idempotency",
    [PATTERN_TIMEOUT] = "timeout",
    [PATTERN_RETRY] = "retry",
    [PATTERN_BUDGET] = "retry budget",
    [PATTERN_BREAKER] = "circuit breaker",
    [PATTERN_RATE] = "rate limit",
    [PATTERN_BULKHEAD] = "bulkhead",
    [PATTERN_BACKPRESSURE] = "backpressure",
    [PATTERN_CHECKPOINT] = "checkpoints",
    [PATTERN_FALLBACK] = "fallback",
    [PATTERN_HEALING] = "self-healing",
    [PATTERN_HEDGING] = "hedging",
};
const char *const verdict_words[] = {"not needed", "useful", "needed"};

void advise_say(struct advice *a, enum pattern pattern, enum verdict verdict, const char *format,
                ...) {
    struct pattern_advice *p = &a->patterns[pattern];
    va_list args;
    va_start(args, format);
    vsnprintf(p->reason, sizeof p->reason, format, args);
    va_end(args);
    p->verdict = verdict;
}

void advise_cost(struct advice *a, enum pattern pattern, int64_t added, const char *format, ...) {
    struct pattern_advice *p = &a->patterns[pattern];
    va_list args;
    va_start(args, format);
    vsnprintf(p->cost, sizeof p->cost, format, args);
    va_end(args);
    p->added = added;
}

static void note(struct advice *a, const char *format, ...) HARDY_PRINTF(2, 3);
static void note(struct advice *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(a->notes[a->note_count++], sizeof *a->notes, format, args);
    va_end(args);
}

bool advise_far(const struct answers *a) {
    return a->depends < DEPENDS_FILES;
}

int64_t advise_step(const struct answers *a) {
    int64_t step = a->takes / a->steps;
    return step > 0 ? step : 1;
}

static const char *dependency(const struct answers *a) {
    static const char *const names[] = {"a model's API",   "a service",     "a database",
                                        "a cluster's API", "a file system", "nothing"};
    return names[a->depends];
}

/* --- what may be repeated --------------------------------------------------------------------- */

static void about_idempotency(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_IDEMPOTENCY;
    switch (q->effects) {
    case EFFECTS_NONE:
        advise_say(a, p, NOT_NEEDED, "It changes nothing, so doing it again does no harm%s.",
                   q->if_down == IF_DOWN_STALE ? "; keeping its answers is a matter of the fallback"
                                               : "");
        break;
    case EFFECTS_SAME:
        advise_say(a, p, NEEDED,
                   "It has side effects, and has it by nature: done twice, the result is that of "
                   "once. It stays so only as long as it sets values and never adds to them.");
        advise_cost(a, p, 0, "nothing; a test that does it twice and looks.");
        break;
    case EFFECTS_KEY:
        advise_say(a, p, NEEDED,
                   "It has side effects. The key has to be the same for every repetition, so it "
                   "follows from what is to be done, is recorded before the first attempt and goes "
                   "along with each.");
        advise_cost(a, p, 0, "two durable writes an action (started, ended), some milliseconds.");
        break;
    case EFFECTS_PROBE:
        advise_say(
            a, p, NEEDED,
            "It has side effects. Its start is recorded before it runs and its result after; "
            "when nobody knows how it ended, the probe is asked before anything is repeated. "
            "A key without a probe or a far side that honours it protects nothing.");
        advise_cost(a, p, 0,
                    "two durable writes an action, some milliseconds; one probe after each doubt.");
        break;
    default:
        advise_say(a, p, NEEDED,
                   "It has side effects, and nobody could tell after a time-out whether they "
                   "happened. Find a key that the far side honours, or a way to look it up: until "
                   "then a doubt is for a person, and nothing is repeated.");
        advise_cost(a, p, 0,
                    "two durable writes an action, some milliseconds; a person after each doubt.");
        break;
    }
}

static void about_checkpoints(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_CHECKPOINT;
    bool effects = q->effects != EFFECTS_NONE;
    char takes[48];
    format_duration_short(q->takes, takes);
    enum verdict verdict = NOT_NEEDED;
    if (q->by_hand) {
        advise_say(a, p, NEEDED,
                   "A person is waited for, longer than any process lives: the run has to survive "
                   "restarts, and who agreed has to be written down.");
        verdict = NEEDED;
    } else if (q->steps == 1) {
        advise_say(a, p, NOT_NEEDED,
                   "One step has nothing to go on from: it is done or it is not%s.",
                   effects ? ", and the record under its key or name tells which" : "");
    } else if (q->takes >= 10 * HARDY_MINUTE) {
        advise_say(a, p, NEEDED,
                   "%lld steps that take %s: what is done has to stay done when a later one fails "
                   "or the machine does.",
                   (long long)q->steps, takes);
        verdict = NEEDED;
    } else if (q->depends == DEPENDS_FILES && effects) {
        advise_say(a, p, NEEDED,
                   "%lld steps on files, which know no transactions: after a crash nobody sees "
                   "which of them were done.",
                   (long long)q->steps);
        verdict = NEEDED;
    } else if (effects && q->effects != EFFECTS_SAME) {
        advise_say(a, p, q->takes >= 5 * HARDY_MINUTE ? NEEDED : USEFUL,
                   "%lld steps with side effects: beginning anew after a crash would ask for each "
                   "whether it has happened; a record of the finished ones knows.",
                   (long long)q->steps);
        verdict = a->patterns[p].verdict;
    } else if (q->takes >= 5 * HARDY_MINUTE || q->fails > 0.1) {
        verdict = q->fails > 0.1 && q->takes >= 5 * HARDY_MINUTE ? NEEDED : USEFUL;
        advise_say(
            a, p, verdict,
            "It could begin anew, but loses up to %s each time, and fails in %g of a hundred.",
            takes, q->fails * 100);
    } else if (effects) {
        advise_say(a, p, USEFUL,
                   "Beginning anew does no harm, since each of the %lld steps may be repeated; the "
                   "record says how far it came.",
                   (long long)q->steps);
        verdict = USEFUL;
    } else {
        advise_say(a, p, NOT_NEEDED, "It changes nothing, takes %s and seldom fails: begin anew.",
                   takes);
    }
    if (verdict != NOT_NEEDED) {
        advise_cost(a, p, 0,
                    "one durable write a step (the end of one and the start of the next "
                    "are one), some milliseconds.");
    }
}

/* --- the rest of what stands around it -------------------------------------------------------- */

bool advise_gathers(const struct answers *a) {
    return a->effects == EFFECTS_NONE && advise_step(a) <= ADVISE_GATHERING / 2;
}

/* Where the fallback is whoever calls it. */
static void about_fallback_of_caller(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_FALLBACK;
    bool stale = q->if_down == IF_DOWN_STALE;
    if (q->effects != EFFECTS_NONE) {
        advise_say(a, p, NEEDED,
                   "The rest is worth having without it, but not by a gathering, which would do it "
                   "again with every question. Whoever calls it goes on when it fails, says that "
                   "it is missing, and does it later%s.",
                   q->effects == EFFECTS_UNKNOWN ? ", once a person knows that it did not happen"
                   : q->effects == EFFECTS_SAME  ? ""
                                                 : ", under the same key");
    } else {
        advise_say(a, p, NEEDED,
                   "%s, but it takes longer than a gathering may wait (5m). Whoever calls it %s.",
                   stale ? "An old answer is better than none here"
                         : "The rest is worth having without it",
                   stale ? "keeps the last good answer, and tells its age"
                         : "goes on when it fails, and says that it is missing");
    }
    advise_cost(a, p, 0, "a line in what calls it; whoever reads the result has to look at it.");
}

static void about_fallback(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_FALLBACK;
    if (q->depends == DEPENDS_NOTHING) {
        advise_say(a, p, NOT_NEEDED, "It depends on nothing that could stay away.");
    } else if (q->if_down != IF_DOWN_FAIL && !advise_gathers(q)) {
        about_fallback_of_caller(a);
    } else if (q->if_down == IF_DOWN_STALE) {
        advise_say(a, p, NEEDED,
                   "An old answer is better than none here: fresh, else the last good one with its "
                   "age, else missing. Errors are never kept as answers.");
        advise_cost(a, p, 0,
                    "answers up to 1h old while it is away, marked so; each takes as long "
                    "as the retries until the breaker opens.");
    } else if (q->if_down == IF_DOWN_OMIT) {
        advise_say(
            a, p, NEEDED,
            "The rest is worth having without it: its failure degrades the whole, names what "
            "is missing, and fails nothing else.");
        advise_cost(a, p, 0, "whoever reads the answer has to look at what is missing.");
    } else if (q->effects != EFFECTS_NONE) {
        advise_say(a, p, NOT_NEEDED,
                   "A side effect that did not happen has no stand-in; say that it failed.");
    } else {
        advise_say(a, p, NOT_NEEDED,
                   "Without it nothing makes sense: an error at once is the better answer.");
    }
}

static void about_healing(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_HEALING;
    if (!advise_far(q)) {
        advise_say(a, p, NOT_NEEDED, "There is no server behind it that could be restarted.");
    } else if (!q->restartable) {
        advise_say(a, p, NOT_NEEDED,
                   "What it depends on is not yours to restart; the breaker notices that it is "
                   "away, and a person is told.");
    } else {
        advise_say(a, p, NEEDED,
                   "It is yours: a check notices before the callers do, a remedy is run, the check "
                   "is asked again, and a person is told when it did not help. Let hardy observe "
                   "first, then act.");
        advise_cost(a, p, 0, "one check every 10s; 20 to 30s until an outage is believed.");
    }
}

static void about_hedging(struct advice *a) {
    const struct answers *q = &a->answers;
    const enum pattern p = PATTERN_HEDGING;
    if (q->effects == EFFECTS_PROBE || q->effects == EFFECTS_UNKNOWN) {
        advise_say(a, p, NOT_NEEDED,
                   "A second call while the first still runs is a second side effect.");
    } else if (!a->guard.retry) {
        advise_say(a, p, NOT_NEEDED, "A second call is one of the retries, and there are none.");
    } else if (!advise_far(q)) {
        advise_say(a, p, NOT_NEEDED, "There is no second server that could be faster.");
    } else if (q->depends == DEPENDS_LLM) {
        advise_say(a, p, NOT_NEEDED, "Every call is paid for, also the one that lost.");
    } else if (!advise_somebody_waits(q) || q->steps > 1) {
        advise_say(a, p, NOT_NEEDED,
                   "Nobody sits there for whom the slowest call in a hundred "
                   "would matter.");
    } else if (q->limit.events > 0) {
        advise_say(a, p, NOT_NEEDED,
                   "The stated rate limit is worth more than the last percent of "
                   "latency.");
    } else {
        advise_say(a, p, USEFUL,
                   "Somebody waits, and it may be sent twice: a second call after the time that "
                   "nearly all need cuts the slowest off. Of the library only, on an event loop "
                   "(hedge of hardy_guard_config, docs/guard.md): it has no key below, and the "
                   "commands do not hedge. Begin without it, and measure.");
        advise_cost(a, p, 0,
                    "a few more calls in a hundred; none while the far side is in trouble, "
                    "for each is a retry to the budget.");
    }
}

/* What it would need is told in the unit in which it is a number above 1. */
static void note_of_crowd(struct advice *a) {
    const struct answers *q = &a->answers;
    char all[48], capacity[48], wait[48], enough[96];
    int64_t crowd = advise_crowd(q);
    bool own = q->deadline == HARDY_NEVER && q->depends != DEPENDS_LLM; /* made for the crowd */
    int64_t most = own ? HARDY_HOUR : a->guard.deadline;
    if (crowd <= most) {
        return;
    }
    double second = (double)q->clients * (double)HARDY_SECOND / (double)most;
    format_rate(ceil(second < 1 ? second * 3600 : second), second < 1 ? HARDY_HOUR : HARDY_SECOND,
                enough);
    format_duration_short(crowd, all);
    format_duration_short(most, wait);
    answers_text(q, ASK_CAPACITY, capacity, sizeof capacity);
    note(a,
         "No setting makes this capacity do: at %s it takes %s until each of %lld callers has been "
         "answered once, and %s %s. Calls beyond it are refused, or end at their deadline. A "
         "capacity of %s would do, or fewer callers.",
         capacity, crowd == HARDY_NEVER ? "longer than can be told" : all, (long long)q->clients,
         own            ? "no call should wait longer than"
         : q->steps > 1 ? "the deadline of a step is"
                        : "the deadline is",
         wait, enough);
}

/* Where what is often said would lead elsewhere, and what no setting can mend. */
static void add_notes(struct advice *a) {
    const struct answers *q = &a->answers;
    bool quick = q->takes < 10 * HARDY_SECOND;
    note_of_crowd(a);
    if (quick && q->effects != EFFECTS_NONE) {
        note(a,
             "A common decision tree asks how long it takes before it asks for side effects, and "
             "gives everything below 10s a breaker and a simple retry. A charge takes one "
             "second, too. Side effects come first here.");
    }
    if (quick && !advise_far(q)) {
        note(a,
             "The same tree gives everything below 10s a circuit breaker; the matrix has none for "
             "%s, and it is right: there is no far side that would be spared.",
             q->depends == DEPENDS_FILES ? "files" : "what happens in memory");
    }
    if (a->patterns[PATTERN_CHECKPOINT].verdict != NOT_NEEDED && q->takes <= 10 * HARDY_MINUTE &&
        q->steps > 1) {
        note(a, "Checkpoints are often said to be for workflows above ten minutes. It is not the "
                "time alone that is lost: side effects and frequent failures count as well.");
    }
    if (q->depends == DEPENDS_LLM) {
        note(a,
             "Retry in one place. An agent that repeats its whole turn when a tool fails, around a "
             "client that repeats its calls, multiplies what is paid for: three loops of four "
             "attempts are 64 calls.");
    }
    if (advise_far(q) && q->takes < HARDY_SECOND && q->fails < 0.01) {
        note(a, "A breaker is often said not to be worth its hours of work for what takes below a "
                "second and seldom fails. Here it is one line, and it is for the day it fails "
                "always.");
    }
}

void advise(const struct answers *answers, struct advice *out) {
    memset(out, 0, sizeof *out);
    out->answers = *answers;
    about_idempotency(out);
    advise_guard(out, dependency(answers));
    about_checkpoints(out);
    about_fallback(out);
    about_healing(out);
    about_hedging(out);
    add_notes(out);
}
