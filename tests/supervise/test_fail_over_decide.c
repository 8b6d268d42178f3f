/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether to fail over, decided over every short sequence of answers and over long random ones. The
 * rules are looked at from outside after every decision: never to one that is not up, never sooner
 * than the dwell, back only after enough passes; and nothing that should have been done is left.
 *
 *   test_fail_over_decide [HOURS [BUG]]
 */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "supervise/fail_over_decide.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int seeded_bug, seeded_calls; /* see src/supervise/fail_over_seeded.h */
int seeded_bug, seeded_calls;
static bool seeded; /* there is a mistake in it, which has to be found */
static unsigned hours = 3000;

enum { CANDIDATES = 3 };
static const int64_t interval = 10 * HARDY_SECOND;

/* Candidates, their checks, and what an onlooker knows of both. */
struct world {
    struct fail_over_rule rule;
    struct check_settings check;
    size_t count;
    int64_t now, begun;
    struct fail_over_seen seen[CANDIDATES];
    struct check_state state[CANDIDATES];
    struct fail_over_machine machine;
    /* the onlooker's */
    int64_t down_since[CANDIDATES], last_switch, unsteady_at;
    uint32_t passes[CANDIDATES];
    bool answered[CANDIDATES];
    unsigned switches, backs, pages, resolves;
    const char *wrong; /* the rule that was broken; NULL */
};

static const char *const names[CANDIDATES] = {"a", "b", "c"};

static void world_begin(struct world *w, size_t count, int64_t after, int64_t dwell,
                        uint32_t passes, bool fail_back) {
    *w = (struct world){.rule = {.after = after,
                                 .dwell = dwell,
                                 .passes = passes,
                                 .fail_back = fail_back,
                                 .escalate_after = 10 * HARDY_MINUTE},
                        .check = {.interval = interval,
                                  .timeout = HARDY_SECOND,
                                  .failure_threshold = 1,
                                  .success_threshold = 1,
                                  .failures_in_last = {.off = true},
                                  .flap = {.off = true}},
                        .count = count,
                        .now = HARDY_HOUR,
                        .begun = HARDY_HOUR,
                        .last_switch = -HARDY_DAY};
    for (size_t n = 0; n < count; n++)
        fail_over_seen_init(&w->seen[n], names[n], 3 * interval + HARDY_SECOND);
    fail_over_machine_init(&w->machine, &w->rule, w->seen, count, w->now);
}

/* The machine points into the world it belongs to. */
static void world_copy(struct world *to, const struct world *from) {
    *to = *from;
    to->machine.rule = &to->rule;
    to->machine.seen = to->seen;
}

static void rule(struct world *w, bool holds, const char *text) {
    if (!holds && !w->wrong)
        w->wrong = text;
}

static bool up(const struct world *w, size_t n) {
    const struct check_state *s = &w->state[n];
    return w->answered[n] && s->level == LEVEL_UP && s->last == CHECK_PASS && !s->flapping;
}

static bool down_for_long(const struct world *w, size_t n) {
    const struct check_state *s = &w->state[n];
    return s->level == LEVEL_DOWN && s->last == CHECK_FAIL &&
           w->now - w->down_since[n] >= w->rule.after;
}

static bool rested(const struct world *w) {
    return w->now - w->last_switch >= w->rule.dwell;
}

static void look_at_switch(struct world *w, const struct fail_over_next *next) {
    size_t active = w->machine.active;
    rule(w, next->to != active, "a switch goes somewhere else");
    rule(w, up(w, next->to), "only to one that is up");
    rule(w, rested(w), "not sooner than the dwell");
    rule(w, !w->state[active].flapping, "not away from one that flaps");
    rule(w, !next->back || next->to == 0, "back is to the primary");
    rule(w, !next->back || w->passes[0] >= w->rule.passes, "back only after enough passes");
    rule(w, !next->back || w->rule.fail_back, "back only if that is wanted");
    rule(w, next->back || down_for_long(w, active), "away only from one that is down for long");
}

/* Nothing that should be done is left undone. */
static void look_at_stay(struct world *w) {
    size_t active = w->machine.active;
    bool other = false;
    for (size_t n = 0; n < w->count; n++)
        other |= n != active && up(w, n);
    bool may = rested(w) && !w->state[active].flapping;
    rule(w, !(may && other && down_for_long(w, active)), "away from a dead one if another is up");
    rule(w,
         !(may && active != 0 && w->rule.fail_back && up(w, 0) && w->passes[0] >= w->rule.passes),
         "back when the primary is well for long enough");
    rule(w, !down_for_long(w, active) || w->machine.told == FAIL_OVER_OUT,
         "a page when it stays with a dead one");
}

static void look_at_told(struct world *w, const struct fail_over_next *next) {
    enum fail_over_condition before = w->machine.told;
    fail_over_told(&w->machine, next->tell);
    if (next->tell == FAIL_OVER_PAGE) {
        rule(w, w->machine.told > before, "a page only for what is worse than what was told");
        rule(w, w->machine.condition != FAIL_OVER_WELL, "a page only in trouble");
        w->pages++;
    } else if (next->tell == FAIL_OVER_RESOLVE) {
        rule(w, before != FAIL_OVER_WELL, "the end is told to whoever was told the beginning");
        rule(w, w->machine.condition == FAIL_OVER_WELL, "the end is told when it is well");
        w->resolves++;
    }
}

static int64_t decide(struct world *w) {
    struct fail_over_next next = fail_over_decide(&w->machine, w->now);
    rule(w, next.why[0] != '\0', "a reason is given");
    look_at_told(w, &next);
    if (next.kind == FAIL_OVER_SWITCH) {
        look_at_switch(w, &next);
        fail_over_moved(&w->machine, next.to, w->now);
        w->last_switch = w->now;
        w->switches++;
        w->backs += next.back;
        return w->now;
    }
    rule(w, next.kind == FAIL_OVER_STAY, "nothing is proposed by one that may act");
    look_at_stay(w);
    return next.again;
}

/* To the next answers, deciding at the times that were asked for. */
static void pass(struct world *w, int64_t until) {
    int64_t again = decide(w);
    for (int turns = 0; again != HARDY_NEVER && again < until; turns++) {
        rule(w, turns < 20, "it does not ask for ever");
        if (w->wrong)
            return;
        if (again <= w->now && w->last_switch != w->now) { /* it asks for a time that is past */
            rule(w, false, "the time it asks for is yet to come");
            return;
        }
        w->now = again;
        again = decide(w);
    }
    w->now = until;
}

static void answer(struct world *w, size_t n, enum check_result result, bool flapping) {
    struct check_state *s = &w->state[n];
    enum check_level before = s->level;
    (void)check_state_add(s, &w->check, result, "", 0, w->now, w->now);
    s->flapping |= flapping && w->check.flap.off;
    s->flapping &= flapping || !w->check.flap.off;
    if (s->level == LEVEL_DOWN && (before != LEVEL_DOWN || !w->answered[n]))
        w->down_since[n] = w->now;
    w->passes[n] = result == CHECK_PASS ? w->passes[n] + 1 : 0;
    w->answered[n] = true;
    fail_over_see(&w->seen[n], s->last, s->level, s->flapping, w->now);
}

static bool found(const struct world *w) {
    if (!w->wrong)
        return false;
    if (!seeded)
        fail_msg("broken: %s, at %lld s", w->wrong,
                 (long long)((w->now - w->begun) / HARDY_SECOND));
    return true;
}

/* --- every short sequence --------------------------------------------------------------------- */

struct alphabet {
    enum check_result result;
    bool flapping;
};
static const struct alphabet plain[] = {
    {CHECK_PASS, false}, {CHECK_FAIL, false}, {CHECK_UNKNOWN, false}};
static const struct alphabet flapping[] = {
    {CHECK_PASS, false}, {CHECK_FAIL, false}, {CHECK_PASS, true}, {CHECK_FAIL, true}};

static size_t sequences;
static bool any_found;

static void every(const struct world *from, const struct alphabet *letters, size_t letter_count,
                  unsigned depth) {
    size_t words = 1;
    if (depth == 0) {
        sequences++;
        return;
    }
    for (size_t n = 0; n < from->count; n++)
        words *= letter_count;
    for (size_t word = 0; word < words && !any_found; word++) {
        struct world w;
        size_t rest = word;
        world_copy(&w, from);
        for (size_t n = 0; n < w.count; n++, rest /= letter_count)
            answer(&w, n, letters[rest % letter_count].result,
                   letters[rest % letter_count].flapping);
        pass(&w, w.now + interval);
        any_found |= found(&w);
        every(&w, letters, letter_count, depth - 1);
    }
}

static void look_at_every(size_t count, const struct alphabet *letters, size_t letter_count,
                          unsigned depth, int64_t after, int64_t dwell, bool fail_back) {
    struct world w;
    world_begin(&w, count, after, dwell, 2, fail_back);
    every(&w, letters, letter_count, depth);
}

static void every_short_sequence(void **state) {
    (void)state;
    const int64_t second = HARDY_SECOND;
    sequences = 0;
    look_at_every(2, plain, 3, 5, 0, 20 * second, true);
    look_at_every(2, plain, 3, 5, 15 * second, 25 * second, true);
    look_at_every(2, plain, 3, 5, 10 * second, 0, false);
    look_at_every(2, flapping, 4, 4, 5 * second, 15 * second, true);
    look_at_every(3, plain, 3, 3, 5 * second, 12 * second, true);
    assert_true(sequences > 250000);
}

/* --- hours of it ------------------------------------------------------------------------------ */

/* How a candidate fares for a while. */
struct fate {
    double fail, unknown;
    int64_t until;
};

static void new_fate(struct fate *f, struct prng *p, int64_t now) {
    static const struct fate kinds[] = {{0, 0, 0},     {0, 0, 0},   {1, 0, 0},     {1, 0, 0},
                                        {0.5, 0, 0},   {0, 0.5, 0}, {0.02, 0, 0},  {0, 1, 0},
                                        {0.3, 0.3, 0}, {1, 0.2, 0}, {0.1, 0.05, 0}};
    *f = kinds[prng_below(p, sizeof kinds / sizeof *kinds)];
    f->until = now + (int64_t)(1 + prng_below(p, 40)) * HARDY_MINUTE;
}

static void hours_of(uint64_t seed, struct world *w) {
    struct prng p;
    struct fate fates[CANDIDATES] = {0};
    prng_seed(&p, seed);
    world_begin(w, 2 + prng_below(&p, 2), (int64_t)prng_below(&p, 60) * HARDY_SECOND,
                (int64_t)prng_below(&p, 600) * HARDY_SECOND, 1 + (uint32_t)prng_below(&p, 8),
                prng_below(&p, 4) > 0);
    w->check.failure_threshold = 1 + (uint32_t)prng_below(&p, 3);
    w->check.success_threshold = 1 + (uint32_t)prng_below(&p, 3);
    w->check.failures_in_last = (struct check_last){.count = 5, .of = 15};
    w->check.flap = (struct check_flap){.high = 0.5, .low = 0.25};
    int64_t end = w->now + 10 * HARDY_HOUR;
    while (w->now < end && !w->wrong) {
        for (size_t n = 0; n < w->count; n++) {
            if (w->now >= fates[n].until)
                new_fate(&fates[n], &p, w->now);
            double draw = prng_unit(&p);
            answer(w, n,
                   draw < fates[n].fail                      ? CHECK_FAIL
                   : draw < fates[n].fail + fates[n].unknown ? CHECK_UNKNOWN
                                                             : CHECK_PASS,
                   false);
            decide(w);
        }
        pass(w, w->now + interval);
    }
}

static void long_random_sequences(void **state) {
    (void)state;
    unsigned switches = 0, backs = 0, pages = 0, resolves = 0;
    for (uint64_t seed = 1; seed <= hours / 10; seed++) {
        struct world w;
        hours_of(seed, &w);
        if (found(&w)) {
            print_message("# found after %llu times 10 hours: %s\n", (unsigned long long)seed,
                          w.wrong);
            return;
        }
        switches += w.switches;
        backs += w.backs;
        pages += w.pages;
        resolves += w.resolves;
    }
    if (seeded)
        fail_msg("bug %d was not found", seeded_bug);
    print_message("# %u hours: %u switches, %u of them back, %u pages, %u resolved\n", hours,
                  switches, backs, pages, resolves);
    assert_true(switches > hours / 4 && backs > hours / 20 && pages > hours / 20 &&
                resolves > hours / 40);
}

/* --- sentences, and those who may not act ----------------------------------------------------- */

static void reasons(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 3, 0, 5 * HARDY_MINUTE, 2, true);
    answer(&w, 0, CHECK_FAIL, false);
    answer(&w, 1, CHECK_UNKNOWN, false);
    answer(&w, 2, CHECK_FAIL, false);
    struct fail_over_next next = fail_over_decide(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_STAY);
    assert_int_equal(next.tell, FAIL_OVER_PAGE);
    assert_string_equal(next.why,
                        "a is down, for 0s now; no other one is up: b is unknown, c is down");
    answer(&w, 1, CHECK_PASS, true);
    next = fail_over_decide(&w.machine, w.now);
    assert_string_equal(next.why,
                        "a is down, for 0s now; no other one is up: b is flapping, c is down");
    answer(&w, 1, CHECK_PASS, false);
    next = fail_over_decide(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_SWITCH);
    assert_int_equal(next.to, 1);
    assert_string_equal(next.why, "a is down, for 0s now");
    fail_over_moved(&w.machine, 1, w.now);
    answer(&w, 1, CHECK_FAIL, false);
    answer(&w, 2, CHECK_PASS, false);
    w.now += HARDY_MINUTE;
    answer(&w, 1, CHECK_FAIL, false);
    answer(&w, 2, CHECK_PASS, false);
    next = fail_over_decide(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_STAY);
    assert_string_equal(next.why, "b is down, for 1m now; switched not long ago, and not again for "
                                  "another 4m");
    assert_int_equal(next.again, w.now + 4 * HARDY_MINUTE);
    next = fail_over_asked(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_STAY); /* a remedy neither */
}

static void old_answers_say_nothing(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 2, 0, 0, 1, true);
    answer(&w, 0, CHECK_PASS, false);
    answer(&w, 1, CHECK_PASS, false);
    w.now += HARDY_MINUTE;
    answer(&w, 0, CHECK_FAIL, false);
    struct fail_over_next next = fail_over_decide(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_STAY);
    assert_string_equal(next.why, "a is down, for 0s now; no other one is up: b is not heard of");
    /* Nor is what is no answer a reason to leave. */
    answer(&w, 0, CHECK_UNKNOWN, false);
    answer(&w, 1, CHECK_PASS, false);
    assert_int_equal(fail_over_decide(&w.machine, w.now).kind, FAIL_OVER_STAY);
}

static void hands_off(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 2, 0, 0, 1, true);
    answer(&w, 0, CHECK_FAIL, false);
    answer(&w, 1, CHECK_PASS, false);
    w.machine.hands = "automation is observe";
    struct fail_over_next next = fail_over_decide(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_PROPOSE);
    assert_int_equal(next.to, 1);
    assert_int_equal(next.tell, FAIL_OVER_PAGE);
    assert_string_equal(next.why,
                        "a is down, for 0s now; would switch to b, but automation is observe");
    w.machine.quiet = true; /* a person wants it so, and knows */
    assert_int_equal(fail_over_decide(&w.machine, w.now).tell, FAIL_OVER_TELL_NOTHING);
}

static void asked(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 2, HARDY_MINUTE, 0, 1, true);
    answer(&w, 0, CHECK_PASS, false);
    answer(&w, 1, CHECK_FAIL, false);
    assert_int_equal(fail_over_asked(&w.machine, w.now).kind, FAIL_OVER_STAY);
    answer(&w, 1, CHECK_PASS, false);
    struct fail_over_next next = fail_over_asked(&w.machine, w.now);
    assert_int_equal(next.kind, FAIL_OVER_SWITCH);
    assert_string_equal(next.why, "asked to leave a");
}

/* What stays on the backup for long is told too, and its end. */
static void degraded_for_long(void **state) {
    (void)state;
    struct world w;
    world_begin(&w, 2, 0, HARDY_HOUR, 1, true);
    answer(&w, 0, CHECK_FAIL, false);
    answer(&w, 1, CHECK_PASS, false);
    assert_int_equal(fail_over_decide(&w.machine, w.now).kind, FAIL_OVER_SWITCH);
    fail_over_moved(&w.machine, 1, w.now);
    w.last_switch = w.now;
    int64_t began = w.now;
    for (unsigned n = 0; n < 200 && w.pages == 0; n++) {
        answer(&w, 0, CHECK_PASS, false);
        answer(&w, 1, CHECK_PASS, false);
        pass(&w, w.now + interval);
    }
    assert_int_equal(w.pages, 1);
    assert_in_range(w.now - began, 10 * HARDY_MINUTE, 10 * HARDY_MINUTE + 2 * interval);
    for (unsigned n = 0; n < 500 && w.resolves == 0; n++) {
        answer(&w, 0, CHECK_PASS, false);
        answer(&w, 1, CHECK_PASS, false);
        pass(&w, w.now + interval);
    }
    assert_int_equal(w.resolves, 1);
    assert_int_equal(w.machine.active, 0);
    assert_null(w.wrong);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reasons),
                                       cmocka_unit_test(old_answers_say_nothing),
                                       cmocka_unit_test(hands_off),
                                       cmocka_unit_test(asked),
                                       cmocka_unit_test(degraded_for_long),
                                       cmocka_unit_test(every_short_sequence),
                                       cmocka_unit_test(long_random_sequences)};
    const struct CMUnitTest hunt[] = {cmocka_unit_test(long_random_sequences)};
    if (argc > 1)
        hours = (unsigned)strtoul(argv[1], NULL, 10);
    seeded = argc > 2;
    if (seeded) {
        seeded_bug = (int)strtol(argv[2], NULL, 10);
        return cmocka_run_group_tests(hunt, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
