/* SPDX-License-Identifier: Apache-2.0 */
/* A person's pause: what it covers, how long it lasts, how it ends. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/pause.h"
#include "stores.h"
#include <stdio.h>
#include <string.h>

static int64_t wall = 1700000000000000000;

static struct store *setup(enum store_kind kind) {
    wall = 1700000000000000000;
    return stores_open(kind, &wall);
}

static void paused_for(struct store *store, const char *target, int64_t span) {
    char name[600], who[] = "ada", reason[] = "new \"disks\"";
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    str_copy(name, sizeof name, target);
    const struct pause p = {name, who, reason, wall, span ? wall + span : 0};
    if (pause_set(store, &p, time_add(clock_now(), 5 * HARDY_SECOND), &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
}

/* The target whose pause keeps hands off this one; "" = none. */
static const char *by(struct store *store, const char *target) {
    static char found[600];
    struct pause p;
    hardy_status status = pause_find(store, target, wall, &p, NULL);
    found[0] = '\0';
    if (status == HARDY_OK) {
        str_copy(found, sizeof found, p.target);
        pause_free(&p);
    } else {
        assert_int_equal(status, HARDY_E_NOT_FOUND);
    }
    return found;
}

static hardy_status resume(struct store *store, const char *target, hardy_error *error) {
    hardy_error_init(error, sizeof *error);
    return pause_clear(store, target, "bob", wall, time_add(clock_now(), 5 * HARDY_SECOND), error);
}

static void comes_back_on(enum store_kind kind) {
    struct pause p;
    struct store *store = setup(kind);
    paused_for(store, "web", HARDY_HOUR);
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(pause_find(store, "web", wall, &p, NULL), HARDY_OK);
    assert_string_equal(p.target, "web");
    assert_string_equal(p.who, "ada");
    assert_string_equal(p.reason, "new \"disks\"");
    assert_int_equal(p.at, wall);
    assert_int_equal(p.until, wall + HARDY_HOUR);
    pause_free(&p);
    stores_close(store);
}

static void everything_of_it_comes_back(void **state) {
    (void)state;
    comes_back_on(IN_MEMORY);
    comes_back_on(ON_SQLITE);
}

static void covers_what_belongs_to_it_and_nothing_else(void **state) {
    struct store *store = setup(IN_MEMORY);
    (void)state;
    paused_for(store, "web", 0);
    assert_string_equal(by(store, "web"), "web");
    assert_string_equal(by(store, "web/restart"), "web");
    assert_string_equal(by(store, "webber"), "");
    assert_string_equal(by(store, "we"), "");
    paused_for(store, "db/restart", 0);
    assert_string_equal(by(store, "db"), "");
    assert_string_equal(by(store, "db/restart"), "db/restart");
    assert_string_equal(by(store, "db/reload"), "");
    assert_string_equal(by(store, PAUSE_EVERYTHING), "");
    paused_for(store, PAUSE_EVERYTHING, 0);
    assert_string_equal(by(store, "web/restart"), "web");
    assert_string_equal(by(store, "db"), PAUSE_EVERYTHING);
    assert_string_equal(by(store, PAUSE_EVERYTHING), PAUSE_EVERYTHING);
    stores_close(store);
}

static void is_over_at_its_end(void **state) {
    struct store *store = setup(IN_MEMORY);
    hardy_error error;
    (void)state;
    paused_for(store, PAUSE_EVERYTHING, 2 * HARDY_HOUR);
    paused_for(store, "web", HARDY_HOUR);
    wall += HARDY_HOUR - 1;
    assert_string_equal(by(store, "web"), "web");
    wall += 1;
    assert_string_equal(by(store, "web"), PAUSE_EVERYTHING);
    assert_int_equal(resume(store, "web", &error), HARDY_E_NOT_FOUND);
    wall += HARDY_HOUR;
    assert_string_equal(by(store, "web"), "");
    paused_for(store, "web", 0);
    wall += 365 * HARDY_DAY;
    assert_string_equal(by(store, "web"), "web");
    stores_close(store);
}

static void a_later_one_replaces_an_earlier(void **state) {
    struct store *store = setup(IN_MEMORY);
    (void)state;
    paused_for(store, "web", 0);
    paused_for(store, "web", HARDY_MINUTE);
    wall += HARDY_MINUTE;
    assert_string_equal(by(store, "web"), "");
    paused_for(store, "web", HARDY_MINUTE);
    assert_string_equal(by(store, "web"), "web");
    stores_close(store);
}

static void is_ended_by_its_own_name(void **state) {
    struct store *store = setup(IN_MEMORY);
    hardy_error error;
    (void)state;
    assert_int_equal(resume(store, "web", &error), HARDY_E_NOT_FOUND);
    assert_string_equal(error.message, "web is not paused; nothing is");
    paused_for(store, PAUSE_EVERYTHING, 0);
    paused_for(store, "db", HARDY_HOUR);
    assert_int_equal(resume(store, "web", &error), HARDY_E_NOT_FOUND);
    assert_string_equal(error.message, "web is not paused; paused: everything, db");
    assert_int_equal(resume(store, PAUSE_EVERYTHING, &error), HARDY_OK);
    assert_string_equal(by(store, "web"), "");
    assert_string_equal(by(store, "db"), "db");
    assert_int_equal(resume(store, "db", &error), HARDY_OK);
    assert_string_equal(by(store, "db"), "");
    stores_close(store);
}

static bool collect(void *ctx, const struct pause *p) {
    char *all = ctx;
    size_t len = strlen(all);
    assert_true(str_copy(all + len, 100 - len, p->target));
    return strcmp(p->target, "b") != 0;
}

static void the_list_has_those_that_hold(void **state) {
    char all[100] = "";
    struct store *store = setup(IN_MEMORY);
    (void)state;
    paused_for(store, "c", 0);
    paused_for(store, "b", 0);
    paused_for(store, "a", HARDY_SECOND);
    paused_for(store, PAUSE_EVERYTHING, 0);
    assert_int_equal(pause_list(store, wall, collect, all, NULL), HARDY_OK);
    assert_string_equal(all, "*ab");
    wall += HARDY_SECOND;
    all[0] = '\0';
    assert_int_equal(pause_list(store, wall, collect, all, NULL), HARDY_OK);
    assert_string_equal(all, "*b");
    stores_close(store);
}

static void what_can_be_no_target_is_refused(void **state) {
    static const char *const bad[] = {"", "/", "web/", "/web", "web//a", "a b", "**", "*/a", "-x"};
    char name[600], who[] = "ada", *reason = NULL;
    struct store *store = setup(IN_MEMORY);
    struct pause p = {name, who, NULL, wall, 0};
    hardy_error error;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        str_copy(name, sizeof name, bad[i]);
        hardy_error_init(&error, sizeof error);
        assert_int_equal(pause_set(store, &p, HARDY_NEVER, &error), HARDY_E_INVALID);
        assert_non_null(strstr(error.message, "SERVICE/ACTION"));
    }
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, &error), HARDY_E_INVALID);
    assert_int_equal(pause_find(store, name, wall, &p, &error), HARDY_E_INVALID);
    reason = test_malloc(10000);
    memset(reason, 'r', 9999);
    reason[9999] = '\0';
    str_copy(name, sizeof name, "web");
    p = (struct pause){name, who, reason, wall, 0};
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, &error), HARDY_E_INVALID);
    test_free(reason);
    assert_string_equal(by(store, "web"), "");
    stores_close(store);
}

static void a_damaged_one_is_told_and_can_be_ended(void **state) {
    struct pause p;
    hardy_error error;
    struct store *store = setup(IN_MEMORY);
    const struct store_op op = {
        .kind = STORE_PUT, .row_kind = "pause", .key = "web", .value = "{}", .len = 2};
    (void)state;
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(pause_find(store, "web", wall, &p, NULL), HARDY_E_CORRUPT);
    assert_int_equal(pause_list(store, wall, collect, NULL, NULL), HARDY_E_CORRUPT);
    assert_int_equal(resume(store, "web", &error), HARDY_OK);
    assert_string_equal(by(store, "web"), "");
    stores_close(store);
}

static bool collect_event(void *ctx, const struct pause_event *e) {
    char *all = ctx;
    size_t len = strlen(all);
    snprintf(all + len, 300 - len, "%s %s by %s%s%s, ", e->pause.target,
             e->resumed ? "resumed" : "paused", e->pause.who, e->pause.reason ? ": " : "",
             e->pause.reason ? e->pause.reason : "");
    return !str_eq(e->pause.target, "stop");
}

static void what_was_said_stays_when_it_is_over(void **state) {
    char all[300] = "";
    hardy_error error;
    struct store *store = setup(ON_SQLITE);
    int64_t begin = wall;
    (void)state;
    paused_for(store, "web/restart", HARDY_SECOND);
    wall += HARDY_MINUTE;
    paused_for(store, PAUSE_EVERYTHING, 0);
    wall += HARDY_MINUTE;
    assert_int_equal(resume(store, PAUSE_EVERYTHING, &error), HARDY_OK);
    assert_int_equal(resume(store, "web", &error), HARDY_E_NOT_FOUND);
    store = stores_reopen(ON_SQLITE, store, &wall);
    assert_int_equal(pause_events(store, begin, collect_event, all, NULL), HARDY_OK);
    assert_string_equal(all, "web/restart paused by ada: new \"disks\", "
                             "* paused by ada: new \"disks\", * resumed by bob, ");
    all[0] = '\0';
    assert_int_equal(pause_events(store, begin + 2 * HARDY_MINUTE, collect_event, all, NULL),
                     HARDY_OK);
    assert_string_equal(all, "* resumed by bob, ");
    wall += HARDY_MINUTE;
    paused_for(store, "stop", 0);
    wall += HARDY_MINUTE;
    paused_for(store, "web", 0);
    all[0] = '\0';
    assert_int_equal(pause_events(store, begin + 3 * HARDY_MINUTE, collect_event, all, NULL),
                     HARDY_OK);
    assert_string_equal(all, "stop paused by ada: new \"disks\", ");
    stores_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_of_it_comes_back),
        cmocka_unit_test(covers_what_belongs_to_it_and_nothing_else),
        cmocka_unit_test(is_over_at_its_end),
        cmocka_unit_test(a_later_one_replaces_an_earlier),
        cmocka_unit_test(is_ended_by_its_own_name),
        cmocka_unit_test(the_list_has_those_that_hold),
        cmocka_unit_test(what_can_be_no_target_is_refused),
        cmocka_unit_test(what_was_said_stays_when_it_is_over),
        cmocka_unit_test(a_damaged_one_is_told_and_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
