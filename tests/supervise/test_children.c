/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children in virtual time: the code that supervises, with a world of processes that live, die, and
 * go on when hardy is killed. Kills of hardy at any moment, deaths, restarts that people and
 * remedies ask for.
 *
 *     test_children [SEEDS [BUG]]    with BUG (a program with the mistakes in it): the mistake is
 * found
 */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/prng.h"
#include "base/str.h"
#include "durable/pause.h"
#include "io/family.h"
#include "io/sim.h"
#include "notify/notify.h"
#include "supervise/child_record.h"
#include "supervise/children.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a killed hardy had in memory is gone with it; here it stays, and is no leak of hardy's. */
HARDY_API int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

extern int seeded_bug; /* see src/durable/seeded.h */
int seeded_bug;
static unsigned seed_count = 60;

enum { KINDS = 3 };
static const char *const names[KINDS] = {"first", "second", "third"};

static struct world {
    struct loop *loop;
    struct store *store;
    struct config *config;
    struct schema_list list;
    struct children_world world;
    struct children *c;
    struct loop_timer timer;
    struct prng p;
    struct buf told;
    int starts[KINDS];  /* of the world, whoever started them */
    int64_t dies_after; /* how long a new one lives at most, by chance; 0 = until it is ended */
    int64_t stops_in;   /* after it was told to end; `stubborn`: never */
    bool stubborn;
    bool gone, settled;
} w;

/* --- the world ---------------------------------------------------------------------------------
 */

static void on_signal(struct sim_process *p, void *ctx, int signum) {
    (void)ctx;
    if (signum != SIGCONT && !w.stubborn)
        sim_exit_after(p, w.stops_in, 0, 0);
}

/* Lives until it is told to end, or for as long as chance says. */
static void program(struct sim_process *p, void *ctx) {
    int kind = *(const int *)ctx;
    w.starts[kind]++;
    sim_on_signal(p, on_signal, ctx);
    if (w.dies_after > 0)
        sim_exit_after(p, (int64_t)prng_below(&w.p, (uint64_t)w.dies_after), 1, 0);
}

static void on_pass(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static void pass(int64_t span) {
    sim_outside(w.loop, true);
    loop_timer_init(&w.timer, on_pass, w.loop);
    loop_timer_start(w.loop, &w.timer, time_add(loop_now(w.loop), span));
    sim_outside(w.loop, false);
    loop_run(w.loop);
}

/* How many of a child's processes live. */
static size_t living(int kind) {
    char mark[64];
    snprintf(mark, sizeof mark, "HARDY_CHILD_ID=simulated/%s/", names[kind]);
    const struct process_family family = {0, mark};
    return process_family_signal(w.loop, &family, 0);
}

static bool never_two(void *ctx) {
    (void)ctx;
    for (int n = 0; n < KINDS; n++)
        if (living(n) > 1)
            return false;
    return true;
}

static void on_told(void *ctx, const char *name, int64_t wall, const char *what,
                    const char *detail) {
    (void)ctx;
    (void)wall;
    buf_printf(&w.told, "%s %s: %s\n", name, what, detail);
}

static void on_settled(void *ctx) {
    (void)ctx;
    w.settled = true;
}

static void live(void) {
    static const struct children_events events = {on_told, NULL, on_settled};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (children_start(&w.world, &w.list, &events, NULL, &w.c, &error) != HARDY_OK)
        fail_msg("%s", error.message);
}

static void next_life(void *ctx) {
    (void)ctx;
    live();
}

static void kill_after(int64_t span) {
    sim_kill_at(w.loop, time_add(loop_now(w.loop), span), next_life, NULL);
}

static void on_gone(void *ctx) {
    (void)ctx;
    w.gone = true;
}

static void begin(uint64_t seed, const char *text) {
    static const int kinds[KINDS] = {0, 1, 2};
    static const char *const env[] = {"PATH=/bin", NULL};
    struct sim_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    sim_options_init(&options);
    options.seed = seed;
    options.end = 100 * HARDY_DAY;
    w = (struct world){.stops_in = 50 * HARDY_MILLISECOND};
    prng_seed(&w.p, seed);
    buf_init(&w.told, 16 << 20);
    w.loop = loop_sim_new(&options, &error);
    assert_non_null(w.loop);
    assert_int_equal(store_open(&(struct store_options){0}, &w.store, &error), HARDY_OK);
    assert_int_equal(config_load_bytes("c.yaml", text, strlen(text), &w.config, &error), HARDY_OK);
    if (children_settings_read(w.config, &w.list, &error) != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
    for (int n = 0; n < KINDS; n++)
        sim_program_add(w.loop, names[n], program, (void *)(uintptr_t)&kinds[n]);
    sim_invariant(w.loop, never_two, NULL);
    w.world = (struct children_world){.loop = w.loop,
                                      .store = w.store,
                                      .boot = "00000000-0000-0000-0000-000000000000",
                                      .env = env};
    live();
}

static void end(void) {
    struct sim_report report;
    children_stop(w.c, on_gone, NULL);
    for (int n = 0; n < 100 && !w.gone; n++)
        pass(HARDY_SECOND);
    sim_report(w.loop, &report);
    assert_false(report.broken);
    assert_true(w.gone);
    for (int n = 0; n < KINDS; n++)
        assert_int_equal(living(n), 0);
    store_close(w.store);
    children_settings_free(&w.list);
    config_free(w.config);
    buf_free(&w.told);
    loop_free(w.loop);
}

static enum child_state state_of(int kind) {
    struct child_view v;
    assert_true(children_find(w.c, names[kind], &v));
    return v.machine->state;
}

/* How often a text was told. */
static int told(const char *text) {
    int count = 0;
    for (const char *at = w.told.data ? w.told.data : ""; (at = strstr(at, text)); at++)
        count++;
    return count;
}

#define THREE                                                                                      \
    "supervise:\n"                                                                                 \
    "  third: {command: [third], after: [second], min_uptime: 100ms}\n"                            \
    "  second: {command: [second], after: [first], min_uptime: 100ms, restart_dependents: true}\n" \
    "  first: {command: [first], min_uptime: 100ms}\n"

/* --- order -------------------------------------------------------------------------------------
 */

static void they_start_one_after_the_other_and_end_the_other_way(void **state) {
    (void)state;
    begin(1, THREE);
    pass(50 * HARDY_MILLISECOND);
    assert_int_equal(state_of(0), CHILD_STARTING);
    assert_int_equal(state_of(1), CHILD_WAITING);
    assert_int_equal(state_of(2), CHILD_WAITING);
    pass(100 * HARDY_MILLISECOND);
    assert_int_equal(state_of(0), CHILD_READY);
    assert_int_equal(state_of(1), CHILD_STARTING);
    pass(HARDY_SECOND);
    assert_int_equal(state_of(2), CHILD_READY);
    assert_null(children_objection(w.c));
    children_stop(w.c, on_gone, NULL);
    pass(30 * HARDY_MILLISECOND);
    assert_int_equal(state_of(2), CHILD_STOPPING);
    assert_int_equal(state_of(1), CHILD_READY);
    pass(50 * HARDY_MILLISECOND);
    assert_int_equal(state_of(1), CHILD_STOPPING);
    assert_int_equal(state_of(0), CHILD_READY);
    end();
}

static void what_comes_after_is_restarted_with_it_when_it_says_so(void **state) {
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    begin(1, THREE);
    pass(2 * HARDY_SECOND);
    assert_int_equal(children_restart(w.c, "first", NULL, &error), HARDY_OK);
    pass(2 * HARDY_SECOND);
    assert_int_equal(w.starts[0], 2);
    assert_int_equal(w.starts[1], 1); /* first does not say so */
    assert_int_equal(children_restart(w.c, "second", NULL, &error), HARDY_OK);
    pass(70 * HARDY_MILLISECOND);
    assert_int_equal(living(2), 0); /* before it */
    assert_int_equal(w.starts[1], 1);
    pass(2 * HARDY_SECOND);
    assert_int_equal(w.starts[1], 2);
    assert_int_equal(w.starts[2], 2);
    assert_int_equal(state_of(2), CHILD_READY);
    assert_int_equal(children_restart(w.c, "fourth", NULL, &error), HARDY_E_NOT_FOUND);
    end();
}

static void who_is_critical_objects_while_it_is_not_ready(void **state) {
    (void)state;
    begin(1, "supervise: {first: {command: [first], critical: true, min_uptime: 1s}}");
    pass(500 * HARDY_MILLISECOND);
    assert_string_equal(children_objection(w.c), "child first is starting");
    pass(HARDY_SECOND);
    assert_null(children_objection(w.c));
    end();
}

/* --- checks and notices ------------------------------------------------------------------------
 */

static void a_check_says_that_it_is_ready(void **state) {
    const struct check_settings up = {.name = (char *)(uintptr_t) "up"};
    struct check_state s = {.level = LEVEL_UP, .last = CHECK_PASS, .took = 10 * HARDY_SECOND};
    (void)state;
    begin(1, "supervise: {first: {command: [first], ready: check up, critical: true}}");
    pass(5 * HARDY_SECOND);
    children_checked(w.c, &up, &s); /* begun before the start: of another life */
    assert_int_equal(state_of(0), CHILD_STARTING);
    s.took = HARDY_MILLISECOND;
    s.last = CHECK_FAIL;
    children_checked(w.c, &up, &s);
    assert_int_equal(state_of(0), CHILD_STARTING);
    s.last = CHECK_PASS;
    children_checked(w.c, &up, &s);
    assert_int_equal(state_of(0), CHILD_READY);
    assert_null(children_objection(w.c));
    s = (struct check_state){.level = LEVEL_DOWN, .last = CHECK_FAIL};
    children_checked(w.c, &up, &s);
    assert_int_equal(state_of(0), CHILD_READY); /* that is for a remedy to mend */
    assert_non_null(children_objection(w.c));   /* but whoever depends on it waits */
    end();
}

static bool count_row(void *ctx, const struct store_row *row) {
    struct buf *all = ctx;
    buf_printf(all, "%s\n", row->value);
    return true;
}

static void whoever_is_to_be_told_is_told_once_and_when_it_is_over(void **state) {
    struct schema_list targets;
    struct buf rows;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    buf_init(&rows, 1 << 20);
    begin(1, "notify: {pager: {type: stderr}}\n"
             "supervise: {first: {command: [first], escalate: pager, retry_after: 60s}}");
    assert_int_equal(notify_read(w.config, &targets, &error), HARDY_OK);
    w.world.targets = &targets;
    w.dies_after = 1; /* at once */
    pass(5 * HARDY_MINUTE);
    assert_true(told("restarted too often") >= 3);
    assert_int_equal(store_scan(w.store, "outbox", "", NULL, 100, count_row, &rows, &error), 0);
    assert_non_null(strstr(rows.data, "child first does not stay up"));
    assert_null(strstr(strstr(rows.data, "does not stay up") + 10, "does not stay up"));
    w.dies_after = 0;
    pass(5 * HARDY_MINUTE);
    buf_reset(&rows);
    assert_int_equal(store_scan(w.store, "outbox", "", NULL, 100, count_row, &rows, &error), 0);
    assert_non_null(strstr(rows.data, "resolve"));
    end();
    notify_free(&targets);
    buf_free(&rows);
}

static void the_last_deaths_are_kept(void **state) {
    struct child_record r;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    begin(1, "supervise: {first: {command: [first], backoff: {min: 1ms, max: 1ms},\n"
             "  intensity: {restarts: 100, within: 1s}, retry_after: 1s}}");
    w.dies_after = 20 * HARDY_MILLISECOND;
    pass(10 * HARDY_SECOND);
    w.dies_after = 0;
    pass(HARDY_SECOND);
    assert_int_equal(child_record_load(w.store, "first", w.world.boot, &r, NULL, &error), HARDY_OK);
    assert_int_equal(r.death_count, CHILD_DEATHS_MAX);
    assert_true(r.died > 2 * CHILD_DEATHS_MAX);
    assert_int_equal(r.died + 1, w.starts[0]);
    assert_int_equal(r.deaths[CHILD_DEATHS_MAX - 1].code, 1);
    assert_true(r.deaths[0].at < r.deaths[CHILD_DEATHS_MAX - 1].at);
    end();
}

/* --- kills of hardy ----------------------------------------------------------------------------
 */

static void killed_at_any_moment_it_starts_nothing_twice(void **state) {
    (void)state;
    for (int64_t at = 0; at < 500; at += 3) {
        begin((uint64_t)at + 1, THREE);
        kill_after(at * HARDY_MILLISECOND);
        pass(3 * HARDY_SECOND);
        for (int n = 0; n < KINDS; n++) {
            assert_int_equal(w.starts[n], 1);
            assert_int_equal(state_of(n), CHILD_READY);
        }
        end();
    }
}

/* A remedy asks until it hears that it was done, whatever happens to hardy in between. */
static void what_is_asked_for_with_a_key_is_done_once(void **state) {
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    for (int64_t at = 0; at < 200; at += 2) {
        begin((uint64_t)at + 1, THREE);
        w.stops_in = 60 * HARDY_MILLISECOND;
        pass(2 * HARDY_SECOND);
        assert_int_equal(children_restart(w.c, "third", "incident-7/1", &error), HARDY_OK);
        kill_after(at * HARDY_MILLISECOND);
        pass(300 * HARDY_MILLISECOND);
        for (int n = 0; n < 50; n++) {
            if (children_restart(w.c, "third", "incident-7/1", &error) == HARDY_E_EXISTS)
                break;
            pass(37 * HARDY_MILLISECOND);
        }
        assert_int_equal(children_restart(w.c, "third", "incident-7/1", &error), HARDY_E_EXISTS);
        pass(2 * HARDY_SECOND);
        assert_int_equal(w.starts[2], 2);
        assert_int_equal(children_restart(w.c, "third", "incident-7/2", &error), HARDY_OK);
        pass(2 * HARDY_SECOND);
        assert_int_equal(w.starts[2], 3);
        end();
    }
}

static void what_was_given_up_stays_so_after_a_kill_but_not_after_a_stop(void **state) {
    (void)state;
    begin(1, "supervise: {first: {command: [first], on_exhausted: fail}}");
    w.dies_after = 1;
    pass(HARDY_MINUTE);
    assert_int_equal(state_of(0), CHILD_FAILED);
    assert_true(w.settled);
    int starts = w.starts[0];
    kill_after(HARDY_SECOND);
    pass(HARDY_MINUTE);
    assert_int_equal(state_of(0), CHILD_FAILED);
    assert_int_equal(w.starts[0], starts);
    children_stop(w.c, on_gone, NULL);
    pass(HARDY_SECOND);
    assert_true(w.gone);
    w.gone = false;
    w.dies_after = 0;
    live();
    pass(5 * HARDY_SECOND);
    assert_int_equal(state_of(0), CHILD_READY);
    end();
}

static void what_is_paused_is_not_restarted_by_a_kill(void **state) {
    const struct pause pause = {.target = (char *)(uintptr_t)PAUSE_EVERYTHING,
                                .who = (char *)(uintptr_t) "ada"};
    (void)state;
    begin(1, "supervise: {first: {command: [first]}}");
    assert_int_equal(pause_set(w.store, &pause, HARDY_NEVER, NULL), HARDY_OK);
    w.dies_after = 1;
    pass(10 * HARDY_SECOND);
    int starts = w.starts[0];
    assert_int_equal(state_of(0), CHILD_WAITING);
    kill_after(HARDY_SECOND);
    pass(10 * HARDY_SECOND);
    assert_int_equal(state_of(0), CHILD_WAITING);
    assert_int_equal(w.starts[0], starts);
    w.dies_after = 0;
    assert_int_equal(pause_clear(w.store, PAUSE_EVERYTHING, "ada", 0, HARDY_NEVER, NULL), HARDY_OK);
    pass(HARDY_MINUTE);
    assert_int_equal(state_of(0), CHILD_READY);
    end();
}

/* Kills do not make more restarts possible than are allowed. */
static void the_limit_holds_across_kills(void **state) {
    (void)state;
    begin(7, "supervise: {first: {command: [first]}}");
    w.dies_after = 10 * HARDY_MILLISECOND;
    for (int n = 0; n < 60; n++) {
        kill_after((int64_t)prng_below(&w.p, 900) * HARDY_MILLISECOND);
        pass(HARDY_SECOND);
    }
    /* The first start, five restarts, and at most as many again when the first have aged. */
    assert_true(w.starts[0] <= 12);
    w.dies_after = 0;
    pass(20 * HARDY_MINUTE);
    assert_int_equal(state_of(0), CHILD_READY);
    end();
}

/* Hours of trouble; then it must come to rest. False: never_two() did not hold. */
static bool trouble(uint64_t seed, size_t *kills) {
    struct sim_report report;
    begin(seed, THREE);
    for (int n = 0; n < 200; n++) {
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        w.dies_after = prng_below(&w.p, 3) ? 0 : (int64_t)prng_below(&w.p, 90) * HARDY_SECOND + 1;
        w.stops_in = (int64_t)prng_below(&w.p, 3000) * HARDY_MILLISECOND;
        w.stubborn = prng_below(&w.p, 10) == 0;
        if (prng_below(&w.p, 3) == 0)
            (void)children_restart(w.c, names[prng_below(&w.p, KINDS)], NULL, &error);
        if (prng_below(&w.p, 2) == 0) {
            kill_after((int64_t)prng_below(&w.p, 5000) * HARDY_MILLISECOND);
            ++*kills;
        }
        pass((int64_t)prng_below(&w.p, 30) * HARDY_SECOND + 5 * HARDY_SECOND);
        sim_report(w.loop, &report);
        if (report.broken)
            return false;
    }
    w.dies_after = 0;
    w.stubborn = false;
    pass(30 * HARDY_MINUTE); /* the longest life that was begun, and the longest rest */
    sim_report(w.loop, &report);
    for (int n = 0; n < KINDS && !report.broken; n++)
        if (state_of(n) != CHILD_READY)
            fail_msg("seed %llu: %s is %s", (unsigned long long)seed, names[n],
                     child_state_text(state_of(n)));
    if (!report.broken)
        end();
    return !report.broken;
}

static void in_trouble_there_are_never_two_and_it_comes_to_rest(void **state) {
    size_t kills = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seed_count; seed++)
        if (!trouble(seed, &kills))
            fail_msg("seed %llu: two of one child", (unsigned long long)seed);
    print_message("# %u times an hour: %zu kills\n", seed_count, kills);
}

static void the_mistake_is_found(void **state) {
    size_t kills = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seed_count; seed++)
        if (!trouble(seed, &kills))
            return;
    fail_msg("bug %d was not found", seeded_bug);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_start_one_after_the_other_and_end_the_other_way),
        cmocka_unit_test(what_comes_after_is_restarted_with_it_when_it_says_so),
        cmocka_unit_test(who_is_critical_objects_while_it_is_not_ready),
        cmocka_unit_test(a_check_says_that_it_is_ready),
        cmocka_unit_test(whoever_is_to_be_told_is_told_once_and_when_it_is_over),
        cmocka_unit_test(the_last_deaths_are_kept),
        cmocka_unit_test(killed_at_any_moment_it_starts_nothing_twice),
        cmocka_unit_test(what_is_asked_for_with_a_key_is_done_once),
        cmocka_unit_test(what_was_given_up_stays_so_after_a_kill_but_not_after_a_stop),
        cmocka_unit_test(what_is_paused_is_not_restarted_by_a_kill),
        cmocka_unit_test(the_limit_holds_across_kills),
        cmocka_unit_test(in_trouble_there_are_never_two_and_it_comes_to_rest),
    };
    seed_count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : seed_count;
    if (argc > 2) {
        const struct CMUnitTest found[] = {cmocka_unit_test(the_mistake_is_found)};
        seeded_bug = (int)strtol(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("children-seeded", found, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
