/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "health/check.h"
#include <string.h>

/* Feeds letters (p pass, f fail, u unknown); returns the level, and where it changed as letters. */
static enum check_level run(const char *results, char *changes) {
    static const struct check_settings c = {
        .name = "c", .failure_threshold = 3, .success_threshold = 2, .failures_in_last.off = true};
    struct check_state s = {0};
    for (size_t i = 0; results[i]; i++) {
        enum check_result r = results[i] == 'p'   ? CHECK_PASS
                              : results[i] == 'f' ? CHECK_FAIL
                                                  : CHECK_UNKNOWN;
        bool changed = check_state_add(&s, &c, r, "m", 1, (int64_t)i + 1, (int64_t)i + 1);
        changes[i] = changed ? '*' : '.';
        changes[i + 1] = '\0';
    }
    return s.level;
}

static void expect(const char *results, enum check_level level, const char *changes) {
    char got[64] = "";
    enum check_level is = run(results, got);
    if (is != level || strcmp(got, changes) != 0) {
        fail_msg("%s: level %s, changes %s; expected %s, %s", results, check_level_text(is), got,
                 check_level_text(level), changes);
    }
}

static void thresholds_count_in_a_row(void **state) {
    (void)state;
    expect("", LEVEL_UNKNOWN, "");
    expect("p", LEVEL_UP, "*"); /* the first good answer ends not knowing */
    expect("ff", LEVEL_UNKNOWN, "..");
    expect("fff", LEVEL_DOWN, "..*");
    expect("pffpff", LEVEL_UP, "*.....");
    expect("pfff", LEVEL_DOWN, "*..*");
    expect("pfffp", LEVEL_DOWN, "*..*.");
    expect("pfffpp", LEVEL_UP, "*..*.*");
    expect("pfffpfpp", LEVEL_UP, "*..*...*"); /* one good answer in between is not enough */
}

static void unknown_is_a_result_of_its_own(void **state) {
    (void)state;
    expect("uuuuu", LEVEL_UNKNOWN, ".....");
    expect("puuuuu", LEVEL_UP, "*.....");
    expect("pfuufuf", LEVEL_DOWN, "*.....*"); /* neither breaks the row nor counts in it */
    expect("pfffuuupp", LEVEL_UP, "*..*....*");
}

static void the_last_result_is_kept(void **state) {
    static const struct check_settings c = {.failure_threshold = 1, .success_threshold = 1};
    struct check_state s = {0};
    (void)state;
    assert_true(check_state_add(&s, &c, CHECK_FAIL, "connection refused", 7, 1, 100));
    assert_string_equal(s.message, "connection refused");
    assert_int_equal(s.took, 7);
    assert_int_equal(s.last_at, 100);
    assert_int_equal(s.since, 100);
    assert_false(check_state_add(&s, &c, CHECK_FAIL, "connection refused", 7, 2, 200));
    assert_int_equal(s.since, 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds_count_in_a_row),
        cmocka_unit_test(unknown_is_a_result_of_its_own),
        cmocka_unit_test(the_last_result_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
