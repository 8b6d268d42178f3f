/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations under random guards in virtual time, each seed another story: attempts that fail, hang
 * and come back late, cancelled operations, first content, hedges, settings that change meanwhile.
 * After every step of every operation it is looked whether what headers promise holds.
 *
 * With --must-find NAME it was linked with a machine that a bug was put into: then a breach is the
 * success.
 */
#include "base/prng.h"
#include <hardy/hardy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define SEEDS 3000
#define OPERATIONS 24
#define AT_ONCE 2

struct attempt {
    uint32_t number;
    bool running, stopped, content, trial;
    int64_t deadline, ends, content_at;
    uint64_t opened; /* how often the breaker had been, when it started */
    hardy_outcome outcome;
};
struct operation {
    hardy_op op;
    bool begun, woken, done, told, repeatable;
    int64_t begins, deadline, cancels, timer;
    uint32_t most; /* attempts it may make */
    bool hedges, has_breaker;
    bool decided; /* a guard inside of its last attempt has ended without success */
    struct attempt attempts[AT_ONCE];
    hardy_step result;
};
static struct story {
    struct prng random;
    int64_t now, changes;
    hardy_guard *guard;
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
    hardy_hedge_config hedge;
    struct operation operations[OPERATIONS];
    uint64_t calls, hedges, begun;
} s;
static const char *breach;
static uint64_t all_calls, all_hedges, all_lost, all_trials, all_late, all_inside;

static void expect(bool holds, const char *what) {
    if (!holds && breach == NULL) {
        breach = what;
    }
}

static int64_t between(int64_t low, int64_t high) {
    return prng_range(prng_next(&s.random), low, high);
}

static bool one_of(uint64_t n) {
    return prng_below(&s.random, n) == 0;
}

/* --- a guard ---------------------------------------------------------------------------------- */

static int64_t clock_of_story(void *ctx) {
    (void)ctx;
    return s.now;
}

static uint64_t chance(void *ctx) {
    (void)ctx;
    return prng_next(&s.random);
}

static void draw_settings(void) {
    hardy_guard_config *c = &s.config;
    hardy_guard_config_init(c, sizeof *c);
    hardy_retry_config_init(&s.retry, sizeof s.retry);
    hardy_budget_config_init(&s.budget, sizeof s.budget);
    hardy_breaker_config_init(&s.breaker, sizeof s.breaker);
    hardy_rate_config_init(&s.rate, sizeof s.rate);
    hardy_bulkhead_config_init(&s.bulkhead, sizeof s.bulkhead);
    hardy_hedge_config_init(&s.hedge, sizeof s.hedge);
    c->name = "story";
    c->deadline = one_of(3) ? HARDY_NEVER : between(200 * MS, 5000 * MS);
    c->timeout = between(50 * MS, 800 * MS);
    c->timeout_first_content = one_of(2) ? HARDY_NEVER : between(50 * MS, 400 * MS);
    c->timeout_idle = one_of(2) ? HARDY_NEVER : between(50 * MS, 400 * MS);
    s.retry.max_retries = (uint32_t)between(1, 4);
    s.retry.base_delay = between(0, 200 * MS);
    s.retry.max_delay = 400 * MS;
    s.budget.floor = (double)between(0, 20);
    s.budget.ratio = 1;
    s.breaker.failure_threshold = (uint32_t)between(2, 6);
    s.breaker.recovery_timeout = between(50 * MS, 500 * MS);
    s.breaker.half_open_max_calls = (uint32_t)between(1, 3);
    s.breaker.counts_attempts = one_of(2);
    s.rate.events = (double)between(10, 200);
    s.rate.burst = (double)between(1, 20);
    s.rate.reject = one_of(2);
    s.bulkhead.max_concurrent = (uint32_t)between(1, 6);
    s.bulkhead.max_queue = (uint32_t)between(0, 20);
    s.hedge.after = between(10 * MS, 200 * MS);
    c->retry = &s.retry;
    c->budget = one_of(3) ? NULL : &s.budget;
    c->breaker = one_of(4) ? NULL : &s.breaker;
    c->wait_when_open = one_of(2);
    c->rate = one_of(3) ? &s.rate : NULL;
    c->bulkhead = one_of(3) ? NULL : &s.bulkhead;
    c->hedge = one_of(4) ? NULL : &s.hedge;
}

static hardy_guard_stats look(void) {
    hardy_guard_stats stats = {.size = sizeof stats};
    hardy_guard_get_stats(s.guard, &stats);
    return stats;
}

/* --- an operation ------------------------------------------------------------------------------
 */

static void on_wake(void *ctx) {
    ((struct operation *)ctx)->woken = true;
}

static void begin(struct operation *o) {
    hardy_op_options options;
    hardy_op_options_init(&options, sizeof options);
    options.wake = (hardy_wake){on_wake, o};
    options.deadline = one_of(2) ? HARDY_NEVER : s.now + between(1, 3000 * MS);
    options.repeatable = !one_of(4);
    options.hedges = true;
    expect(hardy_op_begin(&o->op, sizeof o->op, s.guard, &options, s.now) == HARDY_OK,
           "an operation that cannot begin");
    int64_t own = hardy_time_add(s.now, s.config.deadline);
    o->begun = true;
    o->deadline = own < options.deadline ? own : options.deadline;
    o->repeatable = options.repeatable;
    o->most = 1 + s.retry.max_retries;
    o->hedges = s.config.hedge != NULL;
    o->has_breaker = s.config.breaker != NULL;
    s.begun++;
}

static uint32_t running_of(const struct operation *o) {
    return (uint32_t)o->attempts[0].running + (uint32_t)o->attempts[1].running;
}

static struct attempt *find(struct operation *o, uint32_t number) {
    for (int i = 0; i < AT_ONCE; i++) {
        if (o->attempts[i].running && o->attempts[i].number == number) {
            return &o->attempts[i];
        }
    }
    return NULL;
}

static hardy_outcome draw_outcome(void) {
    hardy_outcome o = {.kind = HARDY_SUCCESS, .effect = HARDY_EFFECT_DONE};
    if (one_of(2)) {
        static const hardy_outcome_class kinds[] = {HARDY_FAILURE,   HARDY_FAILURE, HARDY_FAILURE,
                                                    HARDY_THROTTLED, HARDY_SLOW,    HARDY_IGNORED};
        o.kind = kinds[prng_below(&s.random, 6)];
        o.effect = one_of(3) ? HARDY_EFFECT_UNKNOWN : HARDY_EFFECT_NONE;
        o.permanent = one_of(12);
        o.retry_after = one_of(6) ? between(1, 300 * MS) : 0;
    }
    if (o.kind == HARDY_FAILURE && one_of(6)) { /* of a guard inside, told in either way */
        static const hardy_status verdicts[] = {HARDY_E_OPEN, HARDY_E_DEADLINE, HARDY_E_EXHAUSTED,
                                                HARDY_E_IN_DOUBT};
        hardy_status verdict = verdicts[prng_below(&s.random, 4)];
        o.status = verdict;
        o = one_of(2) ? o : hardy_outcome_of_status(verdict, o.retry_after);
    }
    return o;
}

static void on_call(struct operation *o, const hardy_step *step) {
    struct attempt *a = &o->attempts[o->attempts[0].running];
    hardy_guard_stats stats = look();
    hardy_call call;
    bool beside = running_of(o) > 0;
    hardy_op_describe_call(&o->op, &call);
    s.calls++;
    all_calls++;
    expect(!a->running, "three attempts at once");
    expect(call.attempt == step->attempt && call.deadline == step->deadline,
           "a call that is told something else than the step");
    expect(!o->told, "a call after the result");
    expect(!o->decided, "a call after what a guard inside has decided");
    expect(s.now < o->deadline, "a call past the deadline");
    expect(step->deadline <= o->deadline, "an attempt that may outlast the operation");
    expect(step->attempt <= o->most, "more attempts than there may be");
    if (beside) {
        const struct attempt *first = &o->attempts[a == &o->attempts[0]];
        s.hedges++;
        all_hedges++;
        expect(o->hedges && o->repeatable, "a hedge of what may not be hedged");
        expect(!first->content && !first->stopped, "a hedge beside content, or a stopped attempt");
        expect(!o->has_breaker || s.config.breaker == NULL || stats.breaker.state == HARDY_CLOSED,
               "a hedge while the breaker is not closed");
    }
    *a = (struct attempt){.number = step->attempt,
                          .running = true,
                          .deadline = step->deadline,
                          .ends = s.now + (one_of(5) ? HARDY_HOUR : between(0, 500 * MS)),
                          .content_at = one_of(2) ? HARDY_NEVER : s.now + between(0, 300 * MS),
                          .trial =
                              s.config.breaker != NULL && stats.breaker.state == HARDY_HALF_OPEN,
                          .opened = stats.breaker.times_opened,
                          .outcome = draw_outcome()};
    all_trials += a->trial;
}

static void end_attempt(struct operation *o, struct attempt *a) {
    a->running = false;
    all_late += s.now > a->deadline;
    bool cut = a->outcome.status == HARDY_E_DEADLINE && s.now >= a->deadline;
    o->decided = a->outcome.status != HARDY_OK && !cut && !a->stopped && running_of(o) == 0;
    hardy_op_report(&o->op, a->number, &a->outcome, s.now);
    hardy_op_report(&o->op, a->number, &a->outcome, s.now); /* ignored */
}

static void on_stop(struct operation *o, const hardy_step *step) {
    struct attempt *a = find(o, step->attempt);
    expect(a != NULL && !a->stopped, "a stop of what does not run");
    if (a != NULL) {
        a->stopped = true;
        a->content_at = HARDY_NEVER;
        a->ends = s.now + (one_of(2) ? 0 : between(0, 300 * MS));
        a->outcome = one_of(4)
                         ? (hardy_outcome){.kind = HARDY_SUCCESS}
                         : (hardy_outcome){.kind = HARDY_FAILURE, .effect = HARDY_EFFECT_UNKNOWN};
        all_lost += step->reason == HARDY_REASON_HEDGE;
        if (a->ends == s.now) {
            end_attempt(o, a);
        }
    }
}

static void look_at(const struct operation *o) {
    for (int i = 0; i < AT_ONCE; i++) {
        const struct attempt *a = &o->attempts[i];
        expect(!a->running || a->stopped || s.now < a->deadline, "an attempt past its deadline");
        expect(!a->running || !a->content || !o->attempts[1 - i].running ||
                   o->attempts[1 - i].stopped,
               "another attempt goes on after the first content");
    }
    expect(running_of(o) <= (o->hedges ? 2 : 1), "more attempts at once than there may be");
}

static void pump(struct operation *o) {
    o->woken = false;
    o->timer = HARDY_NEVER;
    for (int i = 0; i < 1000 && breach == NULL; i++) {
        hardy_step step = hardy_op_next(&o->op, s.now);
        switch (step.kind) {
        case HARDY_STEP_CALL:
            on_call(o, &step);
            break;
        case HARDY_STEP_STOP:
            on_stop(o, &step);
            break;
        case HARDY_STEP_WAIT:
            o->timer = step.until;
            expect(step.until > s.now, "a wait that is over already");
            look_at(o);
            return;
        case HARDY_STEP_RESULT:
            expect(!o->told, "two results");
            o->told = true;
            o->result = step;
            expect(step.status == HARDY_OK
                       ? step.outcome.kind == HARDY_SUCCESS || step.outcome.kind == HARDY_SLOW
                       : step.reason != HARDY_REASON_NONE,
                   "a result that does not say what happened");
            expect(step.reason != HARDY_REASON_INSIDE || o->hedges ||
                       (o->decided && step.status == step.outcome.status),
                   "a verdict of a guard inside that it did not give");
            all_inside += step.reason == HARDY_REASON_INSIDE;
            break;
        case HARDY_STEP_DONE:
            expect(o->told && running_of(o) == 0, "done too early");
            o->done = true;
            hardy_op_end(&o->op);
            return;
        }
    }
    expect(breach != NULL, "no end of steps");
}

/* --- the world ----------------------------------------------------------------------------------
 */

static int64_t due(const struct operation *o) {
    int64_t at = o->begun ? o->timer : o->begins;
    if (o->done) {
        return HARDY_NEVER;
    }
    at = o->cancels < at ? o->cancels : at;
    for (int i = 0; i < AT_ONCE; i++) {
        const struct attempt *a = &o->attempts[i];
        if (a->running) {
            at = a->ends < at ? a->ends : at;
            at = a->content_at < at ? a->content_at : at;
        }
    }
    return o->woken ? s.now : at;
}

static void act(struct operation *o) {
    if (!o->begun) {
        begin(o);
    }
    for (int i = 0; i < AT_ONCE; i++) {
        struct attempt *a = &o->attempts[i];
        if (a->running && a->content_at <= s.now) {
            a->content_at = HARDY_NEVER;
            /* Of two whose content comes at once the first that is told counts. */
            a->content = !o->attempts[1 - i].running || !o->attempts[1 - i].content;
            hardy_op_report_progress(&o->op, a->number, HARDY_FIRST_CONTENT, s.now);
        }
        if (a->running && a->ends <= s.now) {
            end_attempt(o, a);
        }
    }
    if (o->cancels <= s.now) {
        o->cancels = HARDY_NEVER;
        hardy_op_cancel(&o->op);
    }
    pump(o);
}

/* What holds over all operations, as long as the settings are the first ones. */
static void look_at_all(bool changed) {
    uint32_t running = 0, trials = 0;
    hardy_guard_stats stats = look();
    for (int i = 0; i < OPERATIONS; i++) {
        for (int k = 0; k < AT_ONCE; k++) {
            const struct attempt *a = &s.operations[i].attempts[k];
            running += a->running;
            trials += a->running && a->trial && !a->content && /* that has decided it */
                      a->opened == stats.breaker.times_opened;
        }
    }
    if (!changed && s.config.bulkhead != NULL) {
        expect(running <= s.bulkhead.max_concurrent, "more attempts than slots");
        expect(running <= stats.running, "attempts without a slot");
    }
    if (!changed && s.config.breaker != NULL && stats.breaker.state == HARDY_HALF_OPEN) {
        expect(trials <= s.breaker.half_open_max_calls, "more trials than there may be");
    }
    expect(stats.attempts == s.calls && stats.hedges == s.hedges, "attempts that were not made");
}

static void play(uint64_t seed) {
    bool changed = false;
    memset(&s, 0, sizeof s);
    prng_seed(&s.random, seed);
    s.now = HARDY_HOUR;
    draw_settings();
    hardy_env env = {
        .size = sizeof env, .now = clock_of_story, .wall = clock_of_story, .random = chance};
    expect(hardy_guard_new(&s.config, &env, &s.guard, NULL) == HARDY_OK, "a guard that is refused");
    s.changes = one_of(2) ? HARDY_NEVER : s.now + between(0, 3000 * MS);
    for (int i = 0; i < OPERATIONS; i++) {
        s.operations[i].begins = s.now + between(0, 3000 * MS);
        s.operations[i].cancels =
            one_of(6) ? s.operations[i].begins + between(0, 1000 * MS) : HARDY_NEVER;
        s.operations[i].timer = HARDY_NEVER;
    }
    while (breach == NULL) {
        struct operation *next = &s.operations[0];
        for (int i = 1; i < OPERATIONS; i++) {
            next = due(&s.operations[i]) < due(next) ? &s.operations[i] : next;
        }
        int64_t at = due(next);
        if (at == HARDY_NEVER) {
            break;
        }
        if (s.changes <= at) {
            s.now = s.changes > s.now ? s.changes : s.now;
            s.changes = HARDY_NEVER;
            changed = true;
            draw_settings();
            expect(hardy_guard_change(s.guard, &s.config, NULL) == HARDY_OK, "no change");
            continue;
        }
        s.now = at > s.now ? at : s.now;
        act(next);
        look_at_all(changed);
    }
    hardy_guard_stats stats = look();
    for (int i = 0; i < OPERATIONS && breach == NULL; i++) {
        expect(s.operations[i].done, "an operation that never ends");
    }
    expect(stats.running == 0 && stats.waiting == 0, "slots that were not given back");
    expect(stats.operations == s.begun, "operations that were not counted");
    if (breach == NULL) {
        hardy_guard_free(s.guard);
    }
}

int main(int argc, char **argv) {
    const char *bug = argc == 3 && strcmp(argv[1], "--must-find") == 0 ? argv[2] : NULL;
    uint64_t seeds = bug == NULL && argc == 2 ? strtoull(argv[1], NULL, 10) : SEEDS, seed = 1;
    for (; seed <= seeds && breach == NULL; seed++) {
        play(seed);
    }
    if (bug != NULL) {
        printf("1..1\n%sok 1 - finds: %s\n", breach != NULL ? "" : "not ", bug);
        printf("# seed %llu: %s\n", (unsigned long long)seed - 1, breach != NULL ? breach : "-");
        return breach == NULL;
    }
    printf("1..2\n%sok 1 - what is promised holds in %llu stories\n", breach != NULL ? "not " : "",
           (unsigned long long)seeds);
    if (breach != NULL) {
        printf("# seed %llu: %s\n", (unsigned long long)seed - 1, breach);
    }
    bool all = all_hedges > 0 && all_lost > 0 && all_trials > 0 && all_late > 0 && all_inside > 0;
    printf("%sok 2 - everything that can happen has happened\n", all ? "" : "not ");
    printf("# %llu calls, %llu of them hedges, %llu lost, %llu trials, %llu late, %llu decided "
           "inside\n",
           (unsigned long long)all_calls, (unsigned long long)all_hedges,
           (unsigned long long)all_lost, (unsigned long long)all_trials,
           (unsigned long long)all_late, (unsigned long long)all_inside);
    return breach != NULL || !all;
}
