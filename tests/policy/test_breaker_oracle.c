/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The breaker against a model that keeps a list of all calls with their times and looks through it,
 * under random calls with random settings. Where calls are counted, everything is equal at each
 * step; a time window is equal to the list from an edge that is an eighth of the window off at
 * most.
 */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/prng.h"
#include "policy/breaker.h"
#include <string.h>

#define MS HARDY_MILLISECOND
#define S HARDY_SECOND

enum { RUNS = 300, STEPS = 1000, CALLERS = 48 };

static struct breaker_words w;
static hardy_breaker_config c;
static struct prng p;
static int64_t now;

/* What is counted at some edge of the window. */
struct tally {
    uint64_t calls, failed, slow, recent;
};

/* A list of the calls that ended since the last change of state: sums up to each, so that those
 * from any place on are a subtraction. */
struct ended {
    int64_t at;
    uint64_t failed, slow;
};
static struct {
    hardy_breaker_state state;
    uint64_t generation;
    int64_t until, last_asked;
    uint32_t good_trials, row;
    struct ended list[STEPS + 1]; /* list[i]: the first i; `at` of the next one */
    uint32_t count, oldest, inside;
} m;

static struct caller {
    hardy_permit permit;
    bool out, trial, watched, judged;
    uint64_t generation;
    int64_t started;
} callers[CALLERS];

static struct {
    int opened, opened_by_slow, opened_by_hung, stayed, closed, late, refused, watched;
} seen;

static void enter(hardy_breaker_state state) {
    m.state = state;
    m.generation++;
    m.good_trials = m.row = m.count = m.oldest = m.inside = 0;
    m.list[0].failed = m.list[0].slow = 0;
    seen.closed += state == HARDY_CLOSED;
    if (state == HARDY_OPEN) {
        m.until = now + c.recovery_timeout;
        seen.opened++;
    }
}

static bool took_too_long(const struct caller *caller) {
    return c.slow_call > 0 && now - caller->started > c.slow_call;
}

static uint32_t hung(void) {
    uint32_t count = 0;
    for (int i = 0; i < CALLERS; i++) {
        const struct caller *caller = &callers[i];
        count += caller->out && caller->watched && caller->generation == m.generation &&
                 took_too_long(caller) && now - caller->started < c.slow_call + c.failure_window;
    }
    return count;
}

static bool by_time(void) {
    return c.failure_mode == HARDY_FAILURE_RATE ? c.window_calls == 0
                                                : c.failure_mode == HARDY_WINDOW;
}

static bool by_share(void) {
    return c.failure_mode == HARDY_FAILURE_RATE ||
           (c.failure_mode == HARDY_WINDOW && c.failure_rate > 0);
}

/* The calls from list[from] on, and those that hang. */
static struct tally tally_from(uint32_t from) {
    struct tally t = {0};
    uint32_t hanging = hung();
    if (by_share()) {
        t.calls = m.count - from + hanging;
        t.failed = m.list[m.count].failed - m.list[from].failed;
        t.slow = m.list[m.count].slow - m.list[from].slow;
        *(c.slow_call_rate > 0 ? &t.slow : &t.failed) += hanging;
    }
    if (c.failure_mode == HARDY_WINDOW) {
        while (m.inside < m.count && m.list[m.inside].at <= now - c.failure_window) {
            m.inside++;
        }
        t.recent = m.list[m.count].failed - m.list[m.inside].failed;
        t.recent = (t.recent < c.failure_threshold ? t.recent : c.failure_threshold) + hanging;
    } else {
        t.recent = c.failure_mode == HARDY_CONSECUTIVE ? m.row : t.failed;
    }
    return t;
}

static bool enough(const struct tally *t) {
    double all = (double)t->calls;
    bool failed = c.failure_rate > 0 && t->calls > 0 && (double)t->failed / all >= c.failure_rate;
    bool slow = c.slow_call_rate > 0 && t->calls > 0 && (double)t->slow / all >= c.slow_call_rate;
    switch (c.failure_mode) {
    case HARDY_FAILURE_RATE:
        return t->calls >= c.minimum_calls && (failed || slow);
    case HARDY_WINDOW:
        return t->recent >= c.failure_threshold && (c.failure_rate <= 0 || failed);
    case HARDY_CONSECUTIVE:
    default:
        return t->recent >= c.failure_threshold;
    }
}

static bool equal(const struct tally *t, const hardy_breaker_stats *s) {
    double failed = t->calls ? (double)t->failed / (double)t->calls : -1;
    double slow = t->calls && c.slow_call_rate > 0 ? (double)t->slow / (double)t->calls : -1;
    return s->recent_calls == t->calls && s->recent_failures == t->recent &&
           s->failure_rate == failed && s->slow_call_rate == slow;
}

/* Over all edges that the window may have now: how many say that it is enough, how many that it is
 * not, and whether one is what the breaker tells. */
struct verdict {
    int enough, too_few;
    bool told;
};
static struct verdict look(const hardy_breaker_stats *s) {
    struct verdict v = {0};
    uint32_t from = 0, last = 0;
    if (by_time()) {
        int64_t step = c.failure_window / 8;
        while (m.oldest < m.count && m.list[m.oldest].at <= now - c.failure_window - step) {
            m.oldest++;
        }
        from = last = m.oldest;
        while (last < m.count && m.list[last].at <= now - c.failure_window + step) {
            last++;
        }
    } else if (c.failure_mode == HARDY_FAILURE_RATE) {
        from = last = m.count > c.window_calls ? m.count - c.window_calls : 0;
    }
    for (; from <= last; from++) {
        /* Calls of the same time leave together. */
        if (by_time() && from > 0 && from < last && m.list[from].at == m.list[from - 1].at) {
            continue;
        }
        struct tally t = tally_from(from);
        *(enough(&t) ? &v.enough : &v.too_few) += 1;
        v.told = v.told || (s && equal(&t, s));
    }
    return v;
}

/* --- both ---------------------------------------------------------------------------------------
 */

static void ask(struct caller *caller) {
    struct breaker_change change;
    struct verdict v = look(NULL);
    int64_t at;
    bool may_open = m.state == HARDY_CLOSED && c.failure_mode != HARDY_CONSECUTIVE && hung() > 0 &&
                    v.enough > 0;
    bool must_open = may_open && v.too_few == 0 && now - m.last_asked > c.slow_call / 8 + 2 * MS;
    bool got = breaker_acquire(&w, &c, now, 0, &caller->permit, &at, &change);
    m.last_asked = now;
    if (change.from == HARDY_CLOSED && change.to == HARDY_OPEN) {
        assert_true(may_open);
        enter(HARDY_OPEN);
        seen.opened_by_hung++;
    } else {
        assert_false(must_open);
    }
    if (m.state == HARDY_OPEN && now >= m.until) {
        enter(HARDY_HALF_OPEN);
    }
    uint32_t trials = 0;
    for (int i = 0; i < CALLERS; i++) {
        trials += callers[i].out && callers[i].trial && callers[i].generation == m.generation;
    }
    bool expected =
        m.state == HARDY_CLOSED || (m.state == HARDY_HALF_OPEN && trials < c.half_open_max_calls);
    assert_int_equal(got, expected);
    seen.refused += !got;
    if (got) {
        caller->out = true;
        caller->judged = false;
        caller->trial = m.state == HARDY_HALF_OPEN;
        caller->watched = m.state == HARDY_CLOSED && c.slow_call > 0;
        caller->generation = m.generation;
        caller->started = now;
        seen.watched += caller->watched;
    }
}

static void begin_to_answer(struct caller *caller) {
    breaker_progress(&w, &c, &caller->permit, now);
    caller->watched = false;
    caller->judged = caller->judged || !took_too_long(caller);
}

static void end_trial(bool good) {
    if (!good) {
        enter(HARDY_OPEN);
    } else if (++m.good_trials == c.success_threshold) {
        enter(HARDY_CLOSED);
    }
}

static void end_call(bool failed, bool slow, const struct breaker_change *change) {
    m.list[m.count].at = now;
    m.list[m.count + 1].failed = m.list[m.count].failed + failed;
    m.list[m.count + 1].slow = m.list[m.count].slow + slow;
    m.count++;
    m.row = failed ? m.row + 1 : 0;
    if (!failed && !(slow && c.slow_call_rate > 0)) {
        assert_int_equal(change->to, change->from);
        return;
    }
    struct verdict v = look(NULL);
    if (change->from != change->to) {
        assert_int_equal(change->to, HARDY_OPEN);
        assert_true(v.enough > 0);
        enter(HARDY_OPEN);
        seen.opened_by_slow += !failed;
    } else {
        assert_true(v.too_few > 0);
        seen.stayed++;
    }
}

static void end(struct caller *caller, hardy_outcome_class outcome) {
    struct breaker_change change;
    bool slow = outcome == HARDY_SLOW || (!caller->judged && took_too_long(caller));
    bool failed = outcome == HARDY_FAILURE || (slow && c.slow_call_rate <= 0);
    breaker_record(&w, &c, &caller->permit, outcome, now, &change);
    caller->out = false;
    if (caller->generation != m.generation) {
        assert_int_equal(change.from, change.to);
        seen.late++;
    } else if (outcome == HARDY_IGNORED || outcome == HARDY_THROTTLED) {
        assert_int_equal(change.from, change.to);
    } else if (caller->trial) {
        end_trial(!failed && !slow);
    } else {
        end_call(failed, slow, &change);
    }
}

static void compare(void) {
    hardy_breaker_stats s;
    breaker_stats(&w, &c, now, &s);
    struct verdict v = look(&s);
    if (m.state == HARDY_CLOSED && s.state == HARDY_OPEN) {
        /* By calls that hang; whoever asks next makes it so. */
        assert_true(hung() > 0 && v.enough > 0);
        return;
    }
    assert_int_equal(s.state, m.state);
    if (m.state == HARDY_CLOSED) {
        assert_true(v.told);
        assert_int_equal(s.hung_calls, hung());
    }
    assert_int_equal(s.times_opened, seen.opened);
}

static double pick_rate(void) {
    static const double rates[] = {0.1, 0.25, 0.3, 0.5, 0.7, 1};
    return rates[prng_below(&p, 6)];
}

static void random_settings(void) {
    hardy_breaker_config_init(&c, sizeof c);
    c.failure_mode = (hardy_failure_mode)prng_below(&p, 4);
    if ((int)c.failure_mode == 3) {
        c.failure_mode = HARDY_FAILURE_RATE;
        c.window_calls = 1 + (uint32_t)prng_below(&p, prng_below(&p, 2) ? 40 : BREAKER_CALLS);
    }
    c.failure_window = (int64_t)(10 + prng_below(&p, 3000)) * MS;
    c.failure_threshold = 1 + (uint32_t)prng_below(&p, 12);
    c.failure_rate = prng_below(&p, 3) && c.failure_mode != HARDY_CONSECUTIVE ? pick_rate() : 0;
    if (c.failure_mode == HARDY_FAILURE_RATE) {
        c.slow_call_rate = c.failure_rate <= 0 || prng_below(&p, 2) ? pick_rate() : 0;
        uint32_t most = c.window_calls > 0 && c.window_calls < 30 ? c.window_calls : 30;
        c.minimum_calls = 1 + (uint32_t)prng_below(&p, most);
    }
    c.slow_call = (int64_t)(prng_below(&p, 2) * (10 + prng_below(&p, 500))) * MS;
    c.recovery_timeout = (int64_t)(1 + prng_below(&p, 200)) * MS;
    c.success_threshold = 1 + (uint32_t)prng_below(&p, 4);
    c.half_open_max_calls = 1 + (uint32_t)prng_below(&p, 4);
    c.trial_lease = HARDY_DAY; /* leases are another test's */
    c.close_ramp = 0;
    assert_int_equal(breaker_check(&c, NULL), HARDY_OK);
}

static hardy_outcome_class random_outcome(uint64_t bad) {
    if (prng_below(&p, 100) >= bad) {
        return prng_below(&p, 20)  ? HARDY_SUCCESS
               : prng_below(&p, 2) ? HARDY_IGNORED
                                   : HARDY_THROTTLED;
    }
    return prng_below(&p, 3) ? HARDY_FAILURE : HARDY_SLOW;
}

static void run(void) {
    static const uint64_t bad[] = {0, 0, 3, 10, 30, 90};
    memset(&w, 0, sizeof w);
    memset(&m, 0, sizeof m);
    memset(callers, 0, sizeof callers);
    seen.opened = 0;
    now = (int64_t)(1 + prng_below(&p, 1000000)) * S;
    random_settings();
    int64_t pace = c.failure_window / (int64_t)(1 + prng_below(&p, 100)) / MS;
    uint64_t trouble = 0, busy = 1 + prng_below(&p, CALLERS);
    for (int i = 0; i < STEPS; i++) {
        if (i % 100 == 0) {
            trouble = bad[prng_below(&p, 6)];
        }
        now += (int64_t)prng_below(&p, 1 + (uint64_t)pace) * MS;
        struct caller *caller = &callers[prng_below(&p, busy)];
        if (!caller->out) {
            ask(caller);
        } else if (prng_below(&p, 16) == 0) {
            begin_to_answer(caller);
        } else {
            end(caller, random_outcome(trouble));
        }
        compare();
    }
}

static void as_a_list_says(void **state) {
    (void)state;
    int opened = 0;
    prng_seed(&p, 17);
    for (int i = 0; i < RUNS; i++) {
        run();
        opened += seen.opened;
    }
    assert_true(opened > 3000 && seen.closed > 500 && seen.stayed > 10000);
    assert_true(seen.opened_by_slow > 50 && seen.opened_by_hung > 100);
    assert_true(seen.late > 10000 && seen.refused > 50000 && seen.watched > 30000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_list_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
