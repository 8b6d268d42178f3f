/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a guard that follow from the answers, and what each of its layers is for. */
#include "advise/inside.h"
#include "base/clock.h"
#include <math.h>
#include <stdio.h>

bool advise_somebody_waits(const struct answers *a) {
    return a->deadline <= 30 * HARDY_SECOND;
}

/* --- numbers that a person would have written ------------------------------------------------- */

static const int64_t round_spans[] = {
    HARDY_MILLISECOND,
    2 * HARDY_MILLISECOND,
    5 * HARDY_MILLISECOND,
    10 * HARDY_MILLISECOND,
    20 * HARDY_MILLISECOND,
    50 * HARDY_MILLISECOND,
    100 * HARDY_MILLISECOND,
    200 * HARDY_MILLISECOND,
    500 * HARDY_MILLISECOND,
    HARDY_SECOND,
    2 * HARDY_SECOND,
    3 * HARDY_SECOND,
    5 * HARDY_SECOND,
    10 * HARDY_SECOND,
    15 * HARDY_SECOND,
    20 * HARDY_SECOND,
    30 * HARDY_SECOND,
    45 * HARDY_SECOND,
    HARDY_MINUTE,
    90 * HARDY_SECOND,
    2 * HARDY_MINUTE,
    3 * HARDY_MINUTE,
    5 * HARDY_MINUTE,
    10 * HARDY_MINUTE,
    15 * HARDY_MINUTE,
    20 * HARDY_MINUTE,
    30 * HARDY_MINUTE,
    45 * HARDY_MINUTE,
    HARDY_HOUR,
};
#define HALF_HOUR (30 * HARDY_MINUTE) /* above the last of them: whole ones */
#define ROUND_SPANS (sizeof round_spans / sizeof *round_spans)

static int64_t rounded_up(int64_t span) {
    for (size_t i = 0; i < ROUND_SPANS; i++) {
        if (round_spans[i] >= span) {
            return round_spans[i];
        }
    }
    return (span + HALF_HOUR - 1) / HALF_HOUR * HALF_HOUR;
}

static int64_t rounded_down(int64_t span) {
    int64_t found = span > HARDY_HOUR ? span / HALF_HOUR * HALF_HOUR : 0;
    for (size_t i = 0; i < ROUND_SPANS && span <= HARDY_HOUR; i++) {
        found = round_spans[i] <= span ? round_spans[i] : found;
    }
    return found;
}

/* --- timeout, deadline and retries, which have to fit together -------------------------------- */

static bool may_repeat(const struct answers *q) {
    return q->effects != EFFECTS_UNKNOWN && !q->by_hand;
}

/* How many retries suit it, and how far apart. */
static void choose_retry(const struct answers *q, hardy_retry_config *r) {
    hardy_retry_config_init(r, sizeof *r);
    r->repeatable = q->effects <= EFFECTS_KEY;
    if (!may_repeat(q)) {
        r->max_retries = 0;
    } else if (!advise_far(q)) {
        r->max_retries = 2;
        r->base_delay = 100 * HARDY_MILLISECOND;
        r->max_delay = HARDY_SECOND;
    } else if (advise_somebody_waits(q)) {
        r->max_retries = 2;
        r->base_delay = 500 * HARDY_MILLISECOND;
        r->max_delay = 5 * HARDY_SECOND;
        r->jitter = HARDY_JITTER_EQUAL;
    } else if (q->depends == DEPENDS_LLM) {
        r->max_retries = 20; /* for a storm of 429 lasts minutes */
        r->max_delay = 30 * HARDY_SECOND;
    } else if (advise_step(q) >= HARDY_MINUTE) {
        r->max_retries = 3;
        r->base_delay = 2 * HARDY_SECOND;
        r->max_delay = 2 * HARDY_MINUTE;
    } else {
        r->max_retries = q->effects == EFFECTS_NONE ? 5 : 3; /* reading again is cheap */
    }
}

int64_t advise_crowd(const struct answers *a) {
    if (!advise_far(a) || a->clients == 1 || a->capacity.events <= 0) {
        return 0;
    }
    return time_scale(a->capacity.period, (double)a->clients / a->capacity.events);
}

/* N clients that come back within the last delay make 2N/(max_delay * C) times the capacity. Nobody
 * is to be kept waiting longer than an hour: then no setting helps. */
static int64_t spread_for(const struct answers *q) {
    int64_t crowd = advise_crowd(q);
    return crowd <= HARDY_HOUR ? rounded_up(2 * crowd) : 0;
}

/* No wait is longer than the deadline leaves room for beside one attempt. */
static void fit_waits(const struct answers *q, int64_t deadline, hardy_retry_config *r) {
    int64_t room = rounded_down(deadline - advise_step(q));
    if (room == 0) {
        r->max_retries = 0;
        return;
    }
    r->max_delay = r->max_delay < room ? r->max_delay : room;
    r->base_delay = r->base_delay < r->max_delay ? r->base_delay : r->max_delay;
}

/* As many attempts as the deadline has room for; a time-out below twice the usual time would cut
 * off what is merely slow. */
static void fit_deadline(struct advice *a) {
    hardy_guard_config *g = &a->guard;
    int64_t least = time_scale(advise_step(&a->answers), 2);
    least = least > HARDY_MILLISECOND ? least : HARDY_MILLISECOND;
    for (; a->retry.max_retries > 0; a->retry.max_retries--) {
        int64_t waits = hardy_backoff_worst_case(&a->retry);
        double attempts = a->retry.max_retries + 1.0;
        if (time_add(time_scale(g->timeout, attempts), waits) <= g->deadline) {
            return;
        }
        if (waits < g->deadline) {
            int64_t longest = (int64_t)((double)(g->deadline - waits) / attempts);
            if (longest >= least) {
                int64_t shorter = rounded_down(longest);
                g->timeout = shorter > least ? shorter : least;
                return;
            }
        }
    }
    if (g->timeout >= g->deadline) {
        g->timeout = HARDY_NEVER; /* the deadline ends it */
    }
}

/* What a step may take of the deadline of all: a round span if that bears one twice as slow as
 * usual. */
static int64_t share_of_deadline(const struct answers *q) {
    if (q->deadline == HARDY_NEVER || q->steps == 1) {
        return q->deadline;
    }
    int64_t share = q->deadline / q->steps;
    int64_t rounded = rounded_down(share);
    return rounded >= time_scale(advise_step(q), 2) ? rounded : share;
}

/* A stream has no time-out of an attempt: what shows life may go on. */
static void choose_times_of_stream(struct advice *a) {
    hardy_guard_config *g = &a->guard;
    int64_t usual = advise_step(&a->answers), twice = time_scale(usual, 2);
    if (g->deadline == HARDY_NEVER) {
        g->deadline = twice <= 280 * HARDY_SECOND ? 280 * HARDY_SECOND : rounded_up(twice);
    }
    int64_t silence = rounded_up(time_scale(usual, 4));
    int64_t most = rounded_down(g->deadline / 2);
    silence = silence < 10 * HARDY_SECOND ? 10 * HARDY_SECOND : silence;
    silence = silence > 2 * HARDY_MINUTE ? 2 * HARDY_MINUTE : silence;
    silence = silence < most ? silence : most;
    if (silence < usual && silence < 2 * HARDY_MINUTE) {
        silence = g->deadline; /* half of it would end what usually succeeds */
    }
    g->timeout_first_content = g->timeout_idle = silence;
    fit_waits(&a->answers, g->deadline, &a->retry);
    a->retry.max_total_wait = g->deadline;
}

static void choose_times(struct advice *a) {
    const struct answers *q = &a->answers;
    hardy_guard_config *g = &a->guard;
    int64_t usual = advise_step(q);
    g->deadline = share_of_deadline(q);
    choose_retry(q, &a->retry);
    if (q->depends == DEPENDS_LLM) {
        choose_times_of_stream(a);
        return;
    }
    if (advise_far(q) && !advise_somebody_waits(q) && spread_for(q) > a->retry.max_delay) {
        a->retry.max_delay = spread_for(q);
    }
    g->timeout =
        rounded_up(time_scale(usual, 3) > HARDY_SECOND ? time_scale(usual, 3) : HARDY_SECOND);
    if (g->deadline != HARDY_NEVER) {
        int64_t tenth = rounded_down(g->deadline / 10);
        if (tenth > 0 && tenth < a->retry.base_delay) {
            a->retry.base_delay = tenth;
        }
        fit_waits(q, g->deadline, &a->retry);
        fit_deadline(a);
        return;
    }
    int64_t all = time_add(time_scale(g->timeout, a->retry.max_retries + 1.0),
                           hardy_backoff_worst_case(&a->retry));
    all = time_scale(all, 1.1); /* for a wait before the first, too */
    /* The last of a crowd has to have its turn, or all that wait behind it do so for nothing. */
    int64_t turn = time_add(spread_for(q), g->timeout);
    g->deadline = rounded_up(all > turn ? all : turn);
    fit_waits(q, g->deadline, &a->retry);
}

/* All attempts up to their time-out and all waits at their longest. */
static int64_t worst_case(const struct advice *a) {
    int64_t waits = a->retry.max_retries > 0 ? hardy_backoff_worst_case(&a->retry) : 0;
    int64_t all = time_add(time_scale(a->guard.timeout, a->retry.max_retries + 1.0), waits);
    return all < a->guard.deadline ? all : a->guard.deadline;
}

static void about_times(struct advice *a, const char *dependency) {
    const hardy_guard_config *g = &a->guard;
    char timeout[48], deadline[48];
    format_duration_short(g->deadline, deadline);
    if (a->answers.depends == DEPENDS_NOTHING && advise_step(&a->answers) < 10 * HARDY_SECOND) {
        advise_say(a, PATTERN_TIMEOUT, NOT_NEEDED,
                   "It waits for nobody, and ends when it is done.");
        return;
    }
    if (g->timeout_first_content != HARDY_NEVER) {
        format_duration_short(g->timeout_first_content, timeout);
        advise_say(
            a, PATTERN_TIMEOUT, NEEDED,
            "What hangs is worse than what fails: it holds its caller and says nothing. A "
            "stream may go on as long as it shows life, so silence is limited to %s, and the "
            "whole to %s.",
            timeout, deadline);
    } else if (g->timeout == HARDY_NEVER) {
        advise_say(a, PATTERN_TIMEOUT, NEEDED,
                   "What hangs is worse than what fails. The deadline of %s is the time-out: there "
                   "is room for one attempt.",
                   deadline);
    } else {
        format_duration_short(g->timeout, timeout);
        advise_say(a, PATTERN_TIMEOUT, advise_far(&a->answers) ? NEEDED : USEFUL,
                   "What hangs is worse than what fails: it holds its caller and says nothing. "
                   "An attempt on %s gets %s, all of them together %s.",
                   dependency, timeout, deadline);
    }
    advise_cost(a, PATTERN_TIMEOUT, 0,
                "what would have come after that time; it is stopped, not left running.");
}

static void about_retry(struct advice *a) {
    const struct answers *q = &a->answers;
    const hardy_retry_config *r = &a->retry;
    if (q->by_hand) {
        advise_say(a, PATTERN_RETRY, NOT_NEEDED,
                   "A person decides each time, about the second time, too.");
    } else if (!may_repeat(q)) {
        advise_say(
            a, PATTERN_RETRY, NOT_NEEDED,
            "It may not be repeated: a time-out does not say whether it happened, and nobody "
            "could look. First a key or a probe, then retries.");
    } else if (r->max_retries == 0) {
        advise_say(a, PATTERN_RETRY, NOT_NEEDED,
                   "The deadline has room for one attempt; a second would be cut off.");
    } else if (q->depends == DEPENDS_NOTHING && q->fails < 0.01) {
        advise_say(a, PATTERN_RETRY, NOT_NEEDED,
                   "The same input gives the same result: what failed would fail again.");
        a->retry.max_retries = 0;
    } else if (!advise_far(q)) {
        advise_say(
            a, PATTERN_RETRY, q->depends == DEPENDS_NOTHING ? USEFUL : NEEDED,
            q->depends == DEPENDS_NOTHING
                ? "It depends on nothing and fails all the same: a race or a lack of memory. "
                  "Two retries help until it is found."
                : "A lock or a full disk may pass in a moment: %u simple retries. Longer "
                  "waits help nobody, for there is no crowd to spread.",
            r->max_retries);
    } else {
        advise_say(a, PATTERN_RETRY, NEEDED,
                   "What passes by itself should not reach anybody: up to %u retries, spread by "
                   "jitter so that callers who failed together do not come back together%s.",
                   r->max_retries,
                   r->repeatable
                       ? ""
                       : "; only of what is known not to have happened, by its own word or "
                         "by the probe's");
    }
    if (r->max_retries == 0) {
        advise_say(a, PATTERN_BUDGET, NOT_NEEDED, "There are no retries to limit.");
        return;
    }
    char waits[48];
    int64_t all = hardy_backoff_worst_case(r);
    format_duration_short(all, waits);
    int64_t added = worst_case(a) - (a->guard.timeout < worst_case(a) ? a->guard.timeout : 0);
    advise_cost(a, PATTERN_RETRY, added,
                "up to %s of waits, and the attempts themselves; nothing when the first one "
                "succeeds.",
                waits);
    char floor_text[32] = "ten a second";
    if (a->budget.floor < 10) {
        advise_floor(a, floor_text);
    }
    advise_say(
        a, PATTERN_BUDGET, NEEDED,
        "In an outage every call becomes %u. Without a budget, retries keep the far side "
        "down that they wait for, with any backoff; with it they add a tenth of the calls, and "
        "%s.",
        r->max_retries + 1, floor_text);
    advise_cost(a, PATTERN_BUDGET, 0, "in an outage most calls fail at their first attempt.");
}

/* --- the other layers ------------------------------------------------------------------------- */

/* Who waits while it is open comes back when it closes, with all the others. Only where no more can
 * come than the far side bears, and the last of them has its turn in time, is that better than a
 * refusal: a crowd takes three times as long where two thirds of the capacity are in use by those
 * who come meanwhile. */
static bool waits_when_open(const struct advice *a) {
    const struct answers *q = &a->answers;
    const hardy_guard_config *g = &a->guard;
    int64_t recovery = a->breaker.recovery_timeout;
    int64_t attempt = g->timeout == HARDY_NEVER ? recovery : g->timeout;
    bool few = q->clients == 1 || q->capacity.events > 0;
    return !advise_somebody_waits(q) &&
           g->deadline > time_add(time_scale(advise_crowd(q), 3), time_add(recovery, attempt)) &&
           (q->depends == DEPENDS_LLM || (q->deadline != HARDY_NEVER && few));
}

static void about_breaker(struct advice *a) {
    const struct answers *q = &a->answers;
    hardy_breaker_config *k = &a->breaker;
    if (!advise_far(q)) {
        advise_say(a, PATTERN_BREAKER, NOT_NEEDED, "%s",
                   q->depends == DEPENDS_FILES
                       ? "A file system is not spared by being left alone, and an open breaker "
                         "would turn one bad file into a failure of all."
                       : "There is no far side to spare.");
        return;
    }
    hardy_breaker_config_init(k, sizeof *k);
    bool busy = q->effects == EFFECTS_NONE && (q->limit.events > 0 || q->clients >= 10);
    if (q->depends == DEPENDS_LLM) {
        k->recovery_timeout = 30 * HARDY_SECOND;
    } else {
        k->failure_threshold = busy ? 10 : 5;
        k->recovery_timeout = (busy ? 30 : 60) * HARDY_SECOND;
        /* Else a single caller, who is slow to fail, would never open it. */
        int64_t slow = rounded_up(time_scale(worst_case(a), k->failure_threshold));
        k->failure_window = slow < k->failure_window ? k->failure_window : slow;
        if (k->failure_window > HARDY_DAY) {
            k->failure_window = HARDY_DAY;
            k->failure_mode = HARDY_CONSECUTIVE;
        }
    }
    a->guard.breaker = k;
    a->guard.wait_when_open = waits_when_open(a);
    char recovery[48];
    format_duration_short(k->recovery_timeout, recovery);
    bool rare = q->takes < HARDY_SECOND && q->fails < 0.01;
    advise_say(a, PATTERN_BREAKER, rare ? USEFUL : NEEDED,
               "A far side that is away is not brought back by asking it: after %u operations "
               "that failed%s, calls %s for %s, then %u trials decide%s.",
               k->failure_threshold, a->guard.retry ? " with all their retries" : "",
               a->guard.wait_when_open ? "wait" : "are refused at once", recovery,
               k->success_threshold, rare ? ". Quick and seldom failing, it will seldom open" : "");
    advise_cost(a, PATTERN_BREAKER, a->guard.wait_when_open ? k->recovery_timeout : 0,
                "nothing while it is closed; open, %s, also those that would have succeeded.",
                a->guard.wait_when_open ? "calls wait up to their deadline" : "calls are refused");
}

/* At most so many in any period, the burst included: rate * period + burst <= limit. */
static void about_rate(struct advice *a) {
    const struct answers *q = &a->answers;
    hardy_rate_config *r = &a->rate;
    if (!advise_far(q) || q->limit.events <= 0) {
        advise_say(
            a, PATTERN_RATE, NOT_NEEDED, "%s",
            q->depends == DEPENDS_LLM
                ? "The provider tells its limits in every answer, and the gateway learns them "
                  "from there."
                : "No limit is stated. What the far side can bear is a matter of how many "
                  "calls are under way at once.");
        return;
    }
    hardy_rate_config_init(r, sizeof *r);
    double limit = q->limit.events;
    r->period = q->limit.period;
    r->burst = fmax(floor(limit * 0.2), 1);
    r->events = limit >= 5 ? floor(limit * 80) / 100 : fmax(limit - 1, limit / 2);
    int64_t slot = time_scale(r->period, 1 / r->events);
    r->reject = slot >= a->guard.deadline;
    a->guard.rate = r;
    char text[48], between[48];
    answers_text(q, ASK_LIMIT, text, sizeof text);
    format_duration_short(slot, between);
    advise_say(a, PATTERN_RATE, NEEDED,
               "The far side refuses above %s. Staying below costs less than being refused: one "
               "call in %s and %g at once, so that no window ever holds more than the limit. Every "
               "attempt counts, retries too.",
               text, between, r->burst);
    advise_cost(a, PATTERN_RATE, r->reject ? 0 : a->guard.deadline,
                r->reject ? "calls beyond the burst are refused: the deadline is shorter than %s, "
                            "the time to the next slot."
                          : "beyond the burst a call waits %s for each that is before it, at most "
                            "its deadline.",
                between);
}

static void about_bulkhead(struct advice *a) {
    const struct answers *q = &a->answers;
    if (!advise_far(q) || q->clients == 1) {
        const char *why = !advise_far(q) ? "There is no far side that could be crowded."
                                         : "One caller has one call under way.";
        advise_say(a, PATTERN_BULKHEAD, NOT_NEEDED, "%s", why);
        advise_say(a, PATTERN_BACKPRESSURE, NOT_NEEDED, "%s",
                   !advise_far(q) ? "Nothing queues: it happens where it is called."
                                  : "One caller cannot get ahead of itself.");
        return;
    }
    double slots = 16;
    if (q->capacity.events > 0) { /* what is under way = rate * time (Little's law) */
        slots = ceil(q->capacity.events * (double)advise_step(q) / (double)q->capacity.period);
    }
    slots = fmin(fmax(slots, 1), (double)q->clients);
    hardy_bulkhead_config_init(&a->bulkhead, sizeof a->bulkhead);
    a->bulkhead.max_concurrent = (uint32_t)slots;
    a->bulkhead.max_queue = (uint32_t)((double)q->clients - slots);
    a->guard.bulkhead = &a->bulkhead;
    bool crowd = a->bulkhead.max_queue > 0;
    advise_say(a, PATTERN_BULKHEAD, crowd ? NEEDED : USEFUL,
               "%lld callers, and %s: at most %u at once, so that when it gets slow it does not "
               "take every caller with it%s.",
               (long long)q->clients,
               q->capacity.events > 0 ? "a far side whose rate and time bear so many"
                                      : "nobody knows how many the far side bears",
               a->bulkhead.max_concurrent, crowd ? "" : "; all of yours may, until there are more");
    advise_cost(a, PATTERN_BULKHEAD, crowd ? a->guard.deadline : 0, "%s",
                crowd ? "waiting for a slot, at most to the deadline." : "nothing now.");
    if (!crowd) {
        advise_say(a, PATTERN_BACKPRESSURE, NOT_NEEDED,
                   "There are never more callers than slots, so nothing queues.");
        return;
    }
    advise_say(a, PATTERN_BACKPRESSURE, NEEDED,
               "More callers than slots: a queue of %u, and beyond it refused at once. Whoever "
               "waits in a queue without an end is given up by its caller before its turn, and the "
               "far side works for nobody.",
               a->bulkhead.max_queue);
    advise_cost(a, PATTERN_BACKPRESSURE, a->guard.deadline,
                "callers have to do something sensible with a refusal: wait, or tell theirs.");
}

void advise_floor(const struct advice *a, char out[32]) {
    bool seconds = a->budget.floor >= 1;
    snprintf(out, 32, "%g/%c", seconds ? a->budget.floor : round(a->budget.floor * 3600),
             seconds ? 's' : 'h');
}

/* Where four fifths of the capacity are in use, a tenth of the calls and a tenth of the capacity is
 * as much as there is room for. Not less than one an hour: it is a floor. */
static void choose_budget(struct advice *a) {
    const struct rate *capacity = &a->answers.capacity;
    hardy_budget_config_init(&a->budget, sizeof a->budget);
    if (capacity->events > 0) {
        double tenth = 0.1 * capacity->events * (double)HARDY_SECOND / (double)capacity->period;
        double an_hour = fmax(floor(tenth * 3600), 1);
        a->budget.floor =
            fmin(a->budget.floor, tenth >= 1 ? floor(10 * tenth) / 10
                                             : an_hour * (double)HARDY_SECOND / (double)HARDY_HOUR);
    }
}

void advise_guard(struct advice *a, const char *dependency) {
    hardy_guard_config_init(&a->guard, sizeof a->guard);
    choose_budget(a);
    choose_times(a);
    about_times(a, dependency);
    about_retry(a);
    a->guard.retry = a->retry.max_retries > 0 ? &a->retry : NULL;
    a->guard.budget = a->retry.max_retries > 0 ? &a->budget : NULL;
    about_breaker(a);
    about_rate(a);
    about_bulkhead(a);
    a->worst_case = worst_case(a);
    a->guarded = a->patterns[PATTERN_TIMEOUT].verdict != NOT_NEEDED || a->guard.retry != NULL;
}
