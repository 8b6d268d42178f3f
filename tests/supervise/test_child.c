/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One child's machine: what follows what, told step by step on a clock that is only a number; then
 * hours of random events under what must always hold.
 *
 *     test_child [SEEDS [BUG]]    with BUG (a program with the mistakes in it): the mistake is
 * found
 */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "durable/seeded.h"
#include "supervise/child.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

extern int seeded_bug; /* see src/durable/seeded.h */
int seeded_bug;

#define S HARDY_SECOND
#define MS HARDY_MILLISECOND

static struct child_rules rules(void) {
    struct child_rules r = {.start_timeout = 90 * S,
                            .min_uptime = S,
                            .backoff_min = 100 * MS,
                            .backoff_max = 30 * S,
                            .backoff_steps = 8,
                            .reset_after = 60 * S,
                            .restarts = 5,
                            .within = 60 * S,
                            .retry_after = 600 * S,
                            .crashes = 5,
                            .crash_within = 60 * S,
                            .stop_signal = SIGTERM,
                            .stop_timeout = 10 * S};
    r.never.codes[1] = UINT64_C(1) << (78 - 64);
    r.crash.signals = UINT64_C(1) << SIGSEGV;
    return r;
}

struct tale { /* a child and its clock */
    struct child_rules r;
    struct child c;
    struct child_todo todo;
    int64_t now;
};

static void begin(struct tale *t) {
    t->now = 1000 * S;
    child_init(&t->c, &t->r);
}

static void tell(struct tale *t, struct child_event e) {
    child_decide(&t->c, t->now, &e, &t->todo);
}

static void told(struct tale *t, enum child_event_kind kind) {
    tell(t, (struct child_event){.kind = kind});
}

static void exits(struct tale *t, int code, int signal) {
    tell(t, (struct child_event){.kind = CHILD_EXITED, .code = code, .signal = signal});
}

/* The clock goes to the time that the machine has asked for. */
static void wait(struct tale *t) {
    assert_true(t->todo.at != HARDY_NEVER);
    t->now = t->todo.at;
    told(t, CHILD_TIME);
}

static void is(const struct tale *t, enum child_state state) {
    if (t->c.state != state)
        fail_msg("it is %s, and should be %s", child_state_text(t->c.state),
                 child_state_text(state));
}

/* --- starting and being ready ------------------------------------------------------------------
 */

static void without_a_word_it_is_ready_after_its_time(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    assert_true(t.todo.start);
    is(&t, CHILD_STARTING);
    assert_int_equal(t.todo.at, t.now + S);
    wait(&t);
    is(&t, CHILD_READY);
    assert_int_equal(t.todo.at, HARDY_NEVER);
}

static void one_that_announces_is_ready_when_it_says_so(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.announced = true;
    begin(&t);
    told(&t, CHILD_WANT);
    t.now += 80 * S;
    tell(&t, (struct child_event){.kind = CHILD_EXTEND, .span = 60 * S});
    assert_int_equal(t.todo.at, t.now + 60 * S);
    told(&t, CHILD_IS_READY);
    is(&t, CHILD_READY);
}

static void one_that_is_late_is_ended_and_has_failed(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.announced = true;
    t.r.restart = RESTART_ON_FAILURE;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    is(&t, CHILD_STOPPING);
    assert_int_equal(t.todo.signal, SIGTERM);
    exits(&t, 0, 0);
    is(&t, CHILD_RESTING); /* though it exited with 0 */
}

static void what_it_depends_on_keeps_it_waiting(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_HOLD);
    told(&t, CHILD_WANT);
    is(&t, CHILD_WAITING);
    assert_false(t.todo.start);
    told(&t, CHILD_ALLOW);
    assert_true(t.todo.start);
    told(&t, CHILD_HOLD); /* it goes on */
    is(&t, CHILD_STARTING);
    wait(&t);
    t.now += 5 * S;
    exits(&t, 1, 0);
    is(&t, CHILD_WAITING); /* at once, but it is not allowed */
    assert_false(t.todo.start);
}

/* --- restarts ----------------------------------------------------------------------------------
 */

static void delays_grow_by_one_factor_up_to_the_maximum(void **state) {
    struct child_rules r = rules();
    static const double wanted[] = {0.1, 0.204, 0.416, 0.849, 1.732, 3.533, 7.208, 14.704, 30, 30};
    (void)state;
    for (uint32_t n = 0; n < 10; n++)
        assert_true(llabs(child_delay(&r, n, 0) - (int64_t)(wanted[n] * (double)S)) < 2 * MS);
    r.jitter = 0.25;
    for (uint32_t n = 0; n < 10; n++) {
        assert_true(child_delay(&r, n, UINT64_MAX) <= r.backoff_max);
        assert_true(child_delay(&r, n, UINT64_MAX) > child_delay(&r, n, 0) * 124 / 100);
    }
    r.backoff_steps = 0;
    assert_int_equal(child_delay(&r, 0, 0), 24 * S);
}

static void one_that_was_well_is_restarted_at_once_the_first_time(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    exits(&t, 1, 0);
    assert_true(t.todo.start);
    wait(&t);
    exits(&t, 1, 0);
    is(&t, CHILD_RESTING);
    assert_int_equal(t.todo.at, t.now + 100 * MS);
}

static void a_stable_life_begins_the_delays_anew(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    for (int n = 0; n < 3; n++) {
        exits(&t, 1, 0);
        wait(&t);
    }
    assert_int_equal(t.c.step, 3);
    wait(&t); /* ready */
    t.now += 58 * S;
    exits(&t, 1, 0);
    is(&t, CHILD_RESTING); /* 59 s are no 60 */
    assert_int_equal(t.c.step, 4);
    wait(&t);
    wait(&t);
    t.now += 59 * S;
    exits(&t, 1, 0);
    assert_true(t.todo.start);
    assert_int_equal(t.c.step, 0);
}

static void too_many_restarts_end_in_a_rest(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    for (int n = 0; n < 5; n++) {
        exits(&t, 1, 0);
        is(&t, CHILD_RESTING);
        assert_false(t.c.exhausted);
        wait(&t);
        assert_true(t.todo.start);
    }
    exits(&t, 1, 0);
    is(&t, CHILD_RESTING);
    assert_true(t.c.exhausted);
    assert_int_equal(t.todo.at, t.now + 600 * S);
    wait(&t);
    assert_true(t.todo.start);
    exits(&t, 1, 0);
    assert_int_equal(t.todo.at, t.now + 100 * MS); /* and all begins anew */
}

static void or_in_giving_up_until_somebody_says_how_to_go_on(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.on_exhausted = EXHAUSTED_FAIL;
    begin(&t);
    told(&t, CHILD_WANT);
    for (int n = 0; n < 5; n++) {
        exits(&t, 1, 0);
        wait(&t);
    }
    exits(&t, 1, 0);
    is(&t, CHILD_FAILED);
    assert_int_equal(t.c.why, CHILD_WHY_INTENSITY);
    assert_int_equal(t.todo.at, HARDY_NEVER);
    told(&t, CHILD_RENEW);
    assert_true(t.todo.start);
}

static void some_ends_mean_that_a_restart_would_not_help(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    exits(&t, 78, 0);
    is(&t, CHILD_FAILED);
    assert_int_equal(t.c.why, CHILD_WHY_CODE);
    begin(&t);
    t.r.restarts = 100;
    told(&t, CHILD_WANT);
    for (int n = 0; n < 4; n++) {
        exits(&t, 0, SIGSEGV);
        is(&t, CHILD_RESTING);
        wait(&t);
    }
    exits(&t, 0, SIGSEGV);
    is(&t, CHILD_FAILED);
    assert_int_equal(t.c.why, CHILD_WHY_CRASHES);
}

static void what_is_not_to_be_restarted_is_done(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.restart = RESTART_NEVER;
    begin(&t);
    told(&t, CHILD_WANT);
    exits(&t, 1, 0);
    is(&t, CHILD_DONE);
    t.r.restart = RESTART_ON_FAILURE;
    begin(&t);
    told(&t, CHILD_WANT);
    exits(&t, 0, 0);
    is(&t, CHILD_DONE);
    begin(&t);
    told(&t, CHILD_WANT);
    tell(&t, (struct child_event){.kind = CHILD_EXITED, .unknown = true});
    is(&t, CHILD_RESTING); /* nobody knows how it ended: not a success */
}

/* --- ending ------------------------------------------------------------------------------------
 */

static void a_stop_goes_up_its_ladder(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    told(&t, CHILD_UNWANT);
    assert_int_equal(t.todo.signal, SIGTERM);
    assert_int_equal(t.todo.at, t.now + 10 * S);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGKILL);
    exits(&t, 0, SIGKILL);
    is(&t, CHILD_STOPPED);
}

static void what_it_leaves_behind_is_ended_before_the_next_start(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    tell(&t, (struct child_event){.kind = CHILD_EXITED, .left = true});
    is(&t, CHILD_STOPPING);
    assert_false(t.todo.start);
    assert_int_equal(t.todo.signal, SIGTERM);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGKILL);
    told(&t, CHILD_CLEARED);
    assert_true(t.todo.start);
}

static void one_that_is_not_heard_of_is_ended_with_a_core(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.watchdog = 30 * S;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    is(&t, CHILD_READY);
    t.now += 29 * S;
    told(&t, CHILD_PING);
    assert_int_equal(t.todo.at, t.now + 30 * S);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGABRT);
    assert_true(t.todo.itself);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGKILL);
    assert_false(t.todo.itself);
    exits(&t, 0, SIGKILL);
    assert_true(t.todo.start);
}

static void who_says_that_it_ends_is_asked_before_it_is_killed(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    told(&t, CHILD_ENDS_ITSELF);
    is(&t, CHILD_STOPPING);
    assert_int_equal(t.todo.signal, 0);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGTERM);
    wait(&t);
    assert_int_equal(t.todo.signal, SIGKILL);
}

static void a_restart_that_is_asked_for_does_not_count(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    begin(&t);
    told(&t, CHILD_WANT);
    wait(&t);
    for (int n = 0; n < 20; n++) {
        told(&t, CHILD_RENEW);
        assert_int_equal(t.todo.signal, SIGTERM);
        exits(&t, 0, SIGTERM);
        assert_true(t.todo.start);
    }
    assert_int_equal(child_restarts(&t.c, t.now), 0);
}

static void a_pause_keeps_hands_off(void **state) {
    struct tale t = {.r = rules()};
    (void)state;
    t.r.watchdog = 30 * S;
    begin(&t);
    told(&t, CHILD_PAUSE);
    told(&t, CHILD_WANT);
    assert_true(t.todo.start); /* that was asked for */
    wait(&t);
    wait(&t);
    is(&t, CHILD_READY); /* not heard of, and left alone */
    exits(&t, 1, 0);
    is(&t, CHILD_WAITING);
    told(&t, CHILD_UNPAUSE);
    assert_true(t.todo.start);
}

/* --- what is explained -------------------------------------------------------------------------
 */

static void the_schedule_is_what_happens(void **state) {
    struct tale t = {.r = rules()};
    static struct child_schedule s;
    (void)state;
    child_schedule(&t.r, 300 * MS, 0, &s);
    begin(&t);
    int64_t first = t.now;
    told(&t, CHILD_WANT);
    for (uint32_t n = 0; n < s.count; n++) {
        t.now += 300 * MS;
        exits(&t, 1, 0);
        assert_int_equal(s.restarts[n].delay, t.todo.at - t.now);
        wait(&t);
        assert_int_equal(s.restarts[n].at, t.now - first);
    }
    assert_int_equal(s.count, 5);
    t.now += 300 * MS;
    exits(&t, 1, 0);
    assert_true(s.ends && t.c.exhausted);
    assert_int_equal(s.exhausted_at, t.now - first);
    assert_int_equal(s.rest, 600 * S);
    child_schedule(&t.r, 120 * S, 0, &s);
    assert_false(s.ends); /* who lives for two minutes each time is restarted for ever */
    assert_int_equal(s.restarts[50].delay, 0);
}

/* --- always ------------------------------------------------------------------------------------
 */

struct world { /* the processes of a child, as they are */
    struct tale t;
    struct prng p;
    bool main, others;    /* what lives */
    int64_t exit_at;      /* of main; it ignores what it is asked with `stubborn` */
    int64_t starts[4096]; /* restarts, not what was asked for */
    size_t count;
    int64_t stop_since;         /* when the ladder began; 0 = it has not */
    bool stubborn, asked, hard; /* TERM was sent; KILL */
    const char *broken;
};

static void check(struct world *w, bool holds, const char *what) {
    if (!holds && !w->broken)
        w->broken = what;
}

static bool too_many(const struct world *w) {
    size_t n = w->count, most = w->t.r.restarts;
    return n > most && w->starts[n - 1] - w->starts[n - 1 - most] < w->t.r.within;
}

static void feed(struct world *w, struct child_event e) {
    struct child before = w->t.c;
    struct tale *t = &w->t;
    e.random = prng_next(&w->p);
    tell(t, e);
    if (before.step > t->c.step)
        check(w,
              t->c.exhausted || before.again || !before.wanted ||
                  t->c.was_ready >= t->r.reset_after || e.kind == CHILD_WANT ||
                  e.kind == CHILD_RENEW,
              "the delays began anew without a stable life");
    if (t->todo.signal == SIGKILL) {
        check(w, w->asked, "killed without having been asked");
        w->hard = true;
    } else if (t->todo.signal) {
        w->asked = true;
    }
    if (t->c.state == CHILD_STOPPING && w->asked && w->stop_since == 0)
        w->stop_since = t->now;
    if (t->todo.start) {
        check(w, !w->main && !w->others, "started while something of it lives");
        check(w, t->c.allowed, "started though it was not allowed");
        bool by_itself = e.kind != CHILD_WANT && e.kind != CHILD_RENEW;
        if ((by_itself && before.restarting) ||
            (before.wanted && !before.again && (e.kind == CHILD_EXITED || e.kind == CHILD_CLEARED)))
            w->starts[w->count++ % 4096] = t->now;
        check(w, w->count >= 4096 || !too_many(w), "more restarts than are allowed");
        w->main = true;
        w->stubborn = prng_below(&w->p, 4) == 0;
        w->exit_at = t->now + (int64_t)prng_below(&w->p, 3) * (int64_t)prng_below(&w->p, 90) * S +
                     (int64_t)prng_below(&w->p, 2000) * MS;
        w->stop_since = 0;
        w->asked = w->hard = false;
    }
    if (!t->c.running)
        w->stop_since = 0, w->asked = w->hard = false;
    check(w, w->stop_since == 0 || t->now - w->stop_since <= t->r.stop_timeout + 2 * S,
          "a stop took longer than its ladder");
}

/* One step of the world: time goes on to what comes next, or somebody says something. */
static void step(struct world *w) {
    static const enum child_event_kind said[] = {
        CHILD_WANT,     CHILD_WANT,  CHILD_UNWANT,  CHILD_RENEW,       CHILD_ALLOW, CHILD_ALLOW,
        CHILD_HOLD,     CHILD_PAUSE, CHILD_UNPAUSE, CHILD_ENDS_ITSELF, CHILD_PING,  CHILD_IS_READY,
        CHILD_IS_READY, CHILD_ALLOW, CHILD_UNPAUSE, CHILD_WANT};
    struct tale *t = &w->t;
    int64_t next = t->todo.at;
    bool exit = w->main && (w->hard || (w->asked && !w->stubborn) || w->exit_at <= next);
    if (!w->hard && prng_below(&w->p, 12) == 0) { /* nothing outlives a KILL */
        t->now += (int64_t)prng_below(&w->p, 1000) * MS;
        if (t->todo.at < t->now)
            t->now = t->todo.at;
        feed(w, (struct child_event){.kind = said[prng_below(&w->p, sizeof said / sizeof *said)]});
    } else if (exit) {
        if (!w->hard && !w->asked && w->exit_at > t->now)
            t->now = w->exit_at;
        w->main = false;
        w->others = !w->hard && prng_below(&w->p, 3) == 0;
        feed(w, (struct child_event){
                    .kind = CHILD_EXITED, .code = (int)prng_below(&w->p, 3), .left = w->others});
    } else if (w->others && !w->main && (w->hard || prng_below(&w->p, 2) == 0)) {
        w->others = false;
        feed(w, (struct child_event){.kind = CHILD_CLEARED});
    } else if (next != HARDY_NEVER) {
        t->now = next;
        feed(w, (struct child_event){.kind = CHILD_TIME});
    } else {
        t->now += S;
    }
}

static const char *live(uint64_t seed) {
    static struct world w;
    w = (struct world){.t = {.r = rules()}};
    prng_seed(&w.p, seed);
    w.t.r.announced = prng_below(&w.p, 2);
    w.t.r.jitter = 0.25;
    w.t.r.on_exhausted = (int)prng_below(&w.p, 2);
    w.t.r.watchdog = prng_below(&w.p, 2) ? 20 * S : 0;
    w.t.r.never = (struct child_ends){0};
    begin(&w.t);
    w.t.todo.at = HARDY_NEVER;
    for (int n = 0; n < 3000 && !w.broken; n++)
        step(&w);
    return w.broken;
}

static int seeds = 2000;

static void what_must_hold_always_holds(void **state) {
    (void)state;
    for (int seed = 1; seed <= seeds; seed++) {
        const char *broken = live((uint64_t)seed);
        if (broken)
            fail_msg("seed %d: %s", seed, broken);
    }
}

static void the_mistake_is_found(void **state) {
    int seed = 1;
    (void)state;
    while (seed <= seeds && !live((uint64_t)seed))
        seed++;
    if (seed > seeds)
        fail_msg("bug %d was not found", seeded_bug);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_word_it_is_ready_after_its_time),
        cmocka_unit_test(one_that_announces_is_ready_when_it_says_so),
        cmocka_unit_test(one_that_is_late_is_ended_and_has_failed),
        cmocka_unit_test(what_it_depends_on_keeps_it_waiting),
        cmocka_unit_test(delays_grow_by_one_factor_up_to_the_maximum),
        cmocka_unit_test(one_that_was_well_is_restarted_at_once_the_first_time),
        cmocka_unit_test(a_stable_life_begins_the_delays_anew),
        cmocka_unit_test(too_many_restarts_end_in_a_rest),
        cmocka_unit_test(or_in_giving_up_until_somebody_says_how_to_go_on),
        cmocka_unit_test(some_ends_mean_that_a_restart_would_not_help),
        cmocka_unit_test(what_is_not_to_be_restarted_is_done),
        cmocka_unit_test(a_stop_goes_up_its_ladder),
        cmocka_unit_test(what_it_leaves_behind_is_ended_before_the_next_start),
        cmocka_unit_test(one_that_is_not_heard_of_is_ended_with_a_core),
        cmocka_unit_test(who_says_that_it_ends_is_asked_before_it_is_killed),
        cmocka_unit_test(a_restart_that_is_asked_for_does_not_count),
        cmocka_unit_test(a_pause_keeps_hands_off),
        cmocka_unit_test(the_schedule_is_what_happens),
        cmocka_unit_test(what_must_hold_always_holds),
    };
    seeds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : seeds;
    if (argc > 2) {
        const struct CMUnitTest found[] = {cmocka_unit_test(the_mistake_is_found)};
        seeded_bug = (int)strtol(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("child-seeded", found, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
