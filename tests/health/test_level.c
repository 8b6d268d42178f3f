/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "health/check.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct check_settings in_a_row = {
    .failure_threshold = 3, .success_threshold = 2, .failures_in_last.off = true, .flap.off = true};
static const struct check_settings of_fifteen = {.failure_threshold = 3,
                                                 .success_threshold = 2,
                                                 .failures_in_last = {.count = 5, .of = 15},
                                                 .flap.off = true};
static const struct check_settings flaps = {.failure_threshold = 1000,
                                            .success_threshold = 2,
                                            .failures_in_last.off = true,
                                            .flap = {.high = 0.5, .low = 0.25}};

static bool add(struct check_state *s, const struct check_settings *c, char letter, int64_t at) {
    enum check_result r = letter == 'p' ? CHECK_PASS : letter == 'f' ? CHECK_FAIL : CHECK_UNKNOWN;
    return check_state_add(s, c, r, "m", 1, at, at);
}

/* Feeds letters (p pass, f fail, u unknown), one a tick: where the level changed is told as letters
 * too. */
static struct check_state run(const struct check_settings *c, const char *results, char *changes) {
    struct check_state s = {0};
    for (size_t i = 0; results[i]; i++) {
        changes[i] = add(&s, c, results[i], (int64_t)i + 1) ? '*' : '.';
        changes[i + 1] = '\0';
    }
    return s;
}

static void expect(const struct check_settings *c, const char *results, enum check_level level,
                   const char *changes) {
    char got[128] = "";
    enum check_level is = run(c, results, got).level;
    if (is != level || strcmp(got, changes) != 0) {
        fail_msg("%s: level %s, changes %s; expected %s, %s", results, check_level_text(is), got,
                 check_level_text(level), changes);
    }
}

static void thresholds_count_in_a_row(void **state) {
    const struct check_settings *c = &in_a_row;
    (void)state;
    expect(c, "", LEVEL_UNKNOWN, "");
    expect(c, "p", LEVEL_UP, "*"); /* the first good answer ends not knowing */
    expect(c, "ff", LEVEL_UNKNOWN, "..");
    expect(c, "fff", LEVEL_DOWN, "..*");
    expect(c, "pffpff", LEVEL_UP, "*.....");
    expect(c, "pfff", LEVEL_DOWN, "*..*");
    expect(c, "pfffp", LEVEL_DOWN, "*..*.");
    expect(c, "pfffpp", LEVEL_UP, "*..*.*");
    expect(c, "pfffpfpp", LEVEL_UP, "*..*...*"); /* one good answer in between is not enough */
}

static void unknown_is_a_result_of_its_own(void **state) {
    const struct check_settings *c = &in_a_row;
    (void)state;
    expect(c, "uuuuu", LEVEL_UNKNOWN, ".....");
    expect(c, "puuuuu", LEVEL_UP, "*.....");
    expect(c, "pfuufuf", LEVEL_DOWN, "*.....*"); /* neither breaks the row nor counts in it */
    expect(c, "pfffuuupp", LEVEL_UP, "*..*....*");
}

static void failures_now_and_then_add_up(void **state) {
    const struct check_settings *c = &of_fifteen;
    (void)state;
    expect(&in_a_row, "pfpfpfpfpfpfpfpf", LEVEL_UP, "*..............."); /* never seen in a row */
    expect(c, "pfpfpfpfpf", LEVEL_DOWN, "*........*");
    expect(c, "pffpffpf", LEVEL_DOWN, "*......*");
    expect(c, "pfpfpfupfupf", LEVEL_DOWN, "*..........*"); /* unknowns take no place */
    /* The first has left the last fifteen when the fifth comes; one place earlier it has not. */
    expect(c, "pfpppfpppfpppfpppf", LEVEL_UP, "*.................");
    expect(c, "pfpppfpppfpppfpf", LEVEL_DOWN, "*..............*");
    expect(c, "pfpppfpppfpppfppf", LEVEL_UP, "*................");
    /* What brought it down is forgotten when it comes up. */
    expect(c, "pfpfpfpfpfppf", LEVEL_UP, "*........*.*.");
    expect(c, "pfpfpfpfpfppfpfpfpfpf", LEVEL_DOWN, "*........*.*........*");
    struct check_settings all = of_fifteen;
    all.failures_in_last = (struct check_last){.count = 33, .of = 64};
    char results[129] = "", got[129] = "";
    for (int i = 0; i < 64; i++)
        results[i] = i % 2 ? 'f' : 'p';
    assert_int_equal(run(&all, results, got).level, LEVEL_UP); /* 32 of 64 */
    results[64] = results[65] = 'f';
    assert_int_equal(run(&all, results, got).level, LEVEL_DOWN);
    assert_int_equal(got[64], '*'); /* the 33rd; the 65th before it is out of sight */
}

/* --- flapping --------------------------------------------------------------------------------- */

/* What a person would work out on paper: `changes` among the last, the newest last. */
static double share_of(const char *results) {
    size_t len = strlen(results);
    double sum = 0;
    for (int i = 0; i < 20; i++) {
        size_t back = (size_t)(20 - i); /* between result `back` and the one after it */
        if (back < len && results[len - back - 1] != results[len - back])
            sum += 0.80 + 0.02 * i;
    }
    return sum / 20;
}

static void newer_changes_weigh_more(void **state) {
    static const char *const runs[] = {
        "",
        "p",
        "pf",
        "pfp",
        "pppppppppppppppppppp",
        "fppppppppppppppppppp",
        "fpppppppppppppppppppp",
        "fppppppppppppppppppppp",
        "pfpfpfpfpfpfpfpfpfpfp",
        "pfpfpfpfpfpfpfpfpfpfpfpfpfpfpfpf",
        "ppffppffpfpppfpfpfpffffpfpfppppf",
    };
    char got[64];
    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct check_state s = run(&flaps, runs[i], got);
        if (fabs(check_flap_share(&s) - share_of(runs[i])) > 1e-9)
            fail_msg("%s: %f; expected %f", runs[i], check_flap_share(&s), share_of(runs[i]));
    }
    struct check_state s = run(&flaps, "pfpfpfpfpfpfpfpfpfpfp", got);
    assert_true(fabs(check_flap_share(&s) - 0.99) < 1e-9); /* more than always is not possible */
}

static void flapping_begins_at_high_and_ends_below_low(void **state) {
    struct check_state s = {0};
    char results[128] = "";
    int began = 0, ended = 0, turns = 0;
    (void)state;
    for (int i = 0; i < 60; i++) {
        results[i] = i < 30 && i % 2 ? 'f' : 'p';
        add(&s, &flaps, results[i], i + 1);
        turns += s.flap_turned;
        if (s.flapping && !began)
            began = i;
        if (began && !s.flapping && !ended)
            ended = i;
    }
    assert_int_equal(turns, 2); /* each is told once */
    assert_int_equal(began, 10);
    results[began + 1] = '\0';
    assert_true(share_of(results) >= 0.5);
    results[began] = '\0';
    assert_true(share_of(results) < 0.5);
    for (int i = 0; i <= ended; i++)
        results[i] = i < 30 && i % 2 ? 'f' : 'p';
    results[ended + 1] = '\0';
    assert_true(share_of(results) < 0.25);
    results[ended] = '\0';
    assert_true(share_of(results) >= 0.25 && share_of(results) < 0.5); /* between them it stays */
}

static void an_outage_and_not_knowing_are_no_flapping(void **state) {
    char got[128];
    struct check_settings off = flaps;
    (void)state;
    off.flap.off = true;
    assert_false(run(&flaps, "ppppppffffffffffpppppppp", got).flapping);
    assert_false(run(&flaps, "pupupupupupupupupupupupupupup", got).flapping);
    assert_true(run(&flaps, "pufupfupfupfupfupfupfupf", got).flapping); /* nor do they hide it */
    assert_false(run(&off, "pfpfpfpfpfpfpfpfpfpf", got).flapping);
    struct check_state s = run(&flaps, "pfpfpfpfpfpfp", got);
    add(&s, &flaps, 'u', 100);
    assert_true(s.flapping); /* and an unknown neither ends it nor tells it again */
    assert_false(s.flap_turned);
}

/* --- grace and staleness ---------------------------------------------------------------------- */

static void failures_in_the_grace_do_not_count(void **state) {
    struct check_settings c = in_a_row;
    struct check_state s = {.watched_since = 1000};
    (void)state;
    c.grace = 30;
    for (int i = 0; i < 30; i++) {
        assert_false(add(&s, &c, 'f', 1000 + i));
        assert_true(s.graced);
        assert_int_equal(s.last, CHECK_UNKNOWN);
    }
    assert_int_equal(s.level, LEVEL_UNKNOWN);
    assert_int_equal(s.failures, 0);
    assert_int_equal(s.counts[CHECK_FAIL], 0);
    assert_false(add(&s, &c, 'f', 1030)); /* it is over */
    assert_false(s.graced);
    assert_false(add(&s, &c, 'f', 1031));
    assert_true(add(&s, &c, 'f', 1032));
    assert_int_equal(s.level, LEVEL_DOWN);
}

static void the_first_pass_ends_the_grace(void **state) {
    struct check_settings c = in_a_row;
    struct check_state s = {.watched_since = 1000};
    (void)state;
    c.grace = 1000;
    add(&s, &c, 'f', 1001);
    assert_true(add(&s, &c, 'p', 1002));
    add(&s, &c, 'f', 1003);
    assert_false(s.graced);
    add(&s, &c, 'f', 1004);
    assert_true(add(&s, &c, 'f', 1005));
    assert_int_equal(s.level, LEVEL_DOWN);
}

static void no_news_is_stale(void **state) {
    struct check_settings c = in_a_row;
    struct check_state s = {.watched_since = 1000};
    (void)state;
    c.interval = 100;
    c.timeout = 10;
    assert_false(check_stale(&s, &c, 1310));
    assert_true(check_stale(&s, &c, 1311)); /* it never ran */
    add(&s, &c, 'p', 1400);
    assert_false(check_stale(&s, &c, 1710));
    assert_true(check_stale(&s, &c, 1711));
    add(&s, &c, 'u', 1800);
    add(&s, &c, 'u', 1900);
    assert_false(check_stale(&s, &c, 1900));
    add(&s, &c, 'u', 2000);
    assert_true(check_stale(&s, &c, 2000)); /* it runs, and learns nothing */
    add(&s, &c, 'f', 2100);
    assert_false(check_stale(&s, &c, 2100)); /* bad news is news */
    c.grace = 10000;
    struct check_state young = {.watched_since = 1000};
    for (int i = 0; i < 10; i++)
        add(&young, &c, 'f', 1000 + i);
    assert_false(check_stale(&young, &c, 1009)); /* it has answered, though it does not count */
}

static void the_last_result_is_kept(void **state) {
    struct check_settings c = in_a_row;
    struct check_state s = {0};
    (void)state;
    c.failure_threshold = 1;
    assert_true(check_state_add(&s, &c, CHECK_FAIL, "connection refused", 7, 1, 100));
    assert_string_equal(s.message, "connection refused");
    assert_int_equal(s.took, 7);
    assert_int_equal(s.last_at, 100);
    assert_int_equal(s.since, 100);
    assert_false(check_state_add(&s, &c, CHECK_FAIL, "connection refused", 7, 2, 200));
    assert_int_equal(s.since, 100);
    assert_int_equal(s.counts[CHECK_FAIL], 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_count_in_a_row),
        cmocka_unit_test(unknown_is_a_result_of_its_own),
        cmocka_unit_test(failures_now_and_then_add_up),
        cmocka_unit_test(newer_changes_weigh_more),
        cmocka_unit_test(flapping_begins_at_high_and_ends_below_low),
        cmocka_unit_test(an_outage_and_not_knowing_are_no_flapping),
        cmocka_unit_test(failures_in_the_grace_do_not_count),
        cmocka_unit_test(the_first_pass_ends_the_grace),
        cmocka_unit_test(no_news_is_stale),
        cmocka_unit_test(the_last_result_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
