/* SPDX-License-Identifier: Apache-2.0 */
/* When hardy keeps its hands off: windows over midnight, over weeks, where the clock is set. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/pause.h"
#include "store/store.h"
#include "supervise/automation.h"
#include "supervise/maintenance.h"
#include "supervise/targets.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Spelt out, so that no zone files are needed. */
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static struct config *config;
static struct maintenance windows;

static hardy_status read_windows(const char *list, hardy_error *error) {
    char yaml[1000];
    snprintf(yaml, sizeof yaml, "maintenance:%s\n", list);
    hardy_error_init(error, sizeof *error);
    maintenance_free(&windows);
    config_free(config);
    config = NULL;
    assert_int_equal(config_load_bytes("t.yaml", yaml, strlen(yaml), &config, error), HARDY_OK);
    return maintenance_read(config, &windows, error);
}

static void given(const char *zone, const char *list) {
    hardy_error error;
    setenv("TZ", zone, 1);
    tzset();
    if (read_windows(list, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
}

/* "2026-11-27 22:30" in UTC. */
static int64_t utc(const char *text) {
    struct tm t = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &t));
    return timegm(&t) * HARDY_SECOND;
}

/* The test's time is its own: the store must not remove what is over by the kernel's. */
static int64_t long_ago(void *ctx) {
    (void)ctx;
    return 1;
}

static struct store *open_store(void) {
    const struct store_options options = {.create = true, .wall = long_ago};
    struct store *store;
    assert_int_equal(store_open(&options, &store, NULL), HARDY_OK);
    return store;
}

/* Shut before `from` and from `to` on, open in between; `to` is told in between. */
static void open_exactly(const char *target, const char *from, const char *to) {
    int64_t end = 0, step = HARDY_SECOND;
    assert_null(maintenance_find(&windows, target, utc(from) - 1, &end));
    for (int64_t at = utc(from); at < utc(to); at += step) {
        if (!maintenance_find(&windows, target, at, &end) || end != utc(to)) {
            fail_msg("%s: not open until %s at %s + %llds", target, to, from,
                     (long long)((at - utc(from)) / HARDY_SECOND));
        }
        step = 13 * HARDY_MINUTE + 7 * HARDY_SECOND;
    }
    assert_non_null(maintenance_find(&windows, target, utc(to) - 1, &end));
    assert_null(maintenance_find(&windows, target, utc(to), &end));
}

static void shut_at(const char *target, const char *at) {
    int64_t end;
    assert_null(maintenance_find(&windows, target, utc(at), &end));
}

/* 2026-11-27 is a Friday. */
static void a_window_belongs_to_the_day_it_begins_on(void **state) {
    (void)state;
    given(BERLIN, " [{from: '22:00', to: '04:00', days: [fri], zone: utc}]");
    open_exactly("web", "2026-11-27 22:00", "2026-11-28 04:00");
    shut_at("web", "2026-11-28 22:00");
    shut_at("web", "2026-11-27 03:59");
    given(BERLIN, " [{from: 22:00, to: 04:00, days: [fri]}]");
    open_exactly("web", "2026-11-27 21:00", "2026-11-28 03:00");
    given("UTC", " [{from: '09:00', to: '17:30', days: [mon, tue]}]");
    shut_at("web", "2026-11-29 12:00");
    open_exactly("web", "2026-11-30 09:00", "2026-11-30 17:30");
    open_exactly("web", "2026-12-01 09:00", "2026-12-01 17:30");
    shut_at("web", "2026-12-02 12:00");
    given("UTC", " [{from: '01:00', to: '01:00', days: sun}]");
    open_exactly("web", "2026-11-29 01:00", "2026-11-30 01:00");
    given("<+14>-14", " [{from: '00:10', to: '00:20'}]");
    open_exactly("web", "2026-11-27 10:10", "2026-11-27 10:20");
    given("<-12>12", " [{from: '23:50', to: '00:10'}]");
    open_exactly("web", "2026-11-27 11:50", "2026-11-27 12:10");
    given("UTC", " [{from: '23:00', to: '01:00'}]");
    open_exactly("web", "2026-12-31 23:00", "2027-01-01 01:00");
    open_exactly("web", "2028-02-28 23:00", "2028-02-29 01:00");
    open_exactly("web", "1969-12-31 23:00", "1970-01-01 01:00");
}

/* Berlin: 2026-10-25 03:00 becomes 02:00 (01:00 UTC), 2027-03-28 02:00 becomes 03:00 (01:00 UTC).
 */
static void never_shorter_than_its_hours_where_the_clock_is_set(void **state) {
    (void)state;
    given(BERLIN, " [{from: '02:30', to: '04:00'}]");
    open_exactly("web", "2026-10-24 00:30", "2026-10-24 02:00");
    open_exactly("web", "2026-10-25 00:30", "2026-10-25 03:00"); /* from the first 02:30 */
    open_exactly("web", "2026-10-26 01:30", "2026-10-26 03:00");
    open_exactly("web", "2027-03-28 00:30", "2027-03-28 02:00"); /* 02:30 is left out: 01:30 */
    given(BERLIN, " [{from: '01:00', to: '02:30'}]");
    open_exactly("web", "2026-10-24 23:00", "2026-10-25 01:30"); /* to the second 02:30 */
    open_exactly("web", "2027-03-28 00:00", "2027-03-28 01:30"); /* 02:30 is left out: 03:30 */
    given(BERLIN, " [{from: '02:10', to: '02:20'}]");
    open_exactly("web", "2026-10-25 00:10", "2026-10-25 01:20"); /* both, and what is between */
    open_exactly("web", "2027-03-28 00:10", "2027-03-28 01:20");
    given(BERLIN, " [{from: '22:00', to: '04:00'}]");
    open_exactly("web", "2026-10-24 20:00", "2026-10-25 03:00"); /* seven hours */
    open_exactly("web", "2027-03-27 21:00", "2027-03-28 02:00"); /* five: the clock said so */
    /* Brasilia: midnight itself is left out: 2017-10-15 00:00 becomes 01:00 (03:00 UTC). */
    given("<-03>3<-02>,M10.3.0/0,M2.3.0/0", " [{from: '00:30', to: '02:00'}]");
    open_exactly("web", "2017-10-15 02:30", "2017-10-15 04:00");
}

static void windows_without_a_gap_are_one(void **state) {
    int64_t end = 1;
    (void)state;
    given("UTC", " [{from: '22:00', to: '02:00'}, {from: '02:00', to: '03:00', reason: second},\n"
                 "  {from: '01:00', to: '01:30'}]");
    open_exactly("web", "2026-11-27 22:00", "2026-11-28 03:00");
    given("UTC", " [{from: '00:00', to: '00:00', days: [sat, sun]}]");
    open_exactly("web", "2026-11-28 00:00", "2026-11-30 00:00");
    given("UTC", " [{from: '00:00', to: '00:00'}]");
    assert_non_null(maintenance_find(&windows, "web", utc("2026-11-27 22:00"), &end));
    assert_int_equal(end, 0);
}

static void concerns_its_targets(void **state) {
    (void)state;
    given("UTC", " [{from: '22:00', to: '23:00', targets: [web, db/restart]}]");
    open_exactly("web", "2026-11-27 22:00", "2026-11-27 23:00");
    open_exactly("web/reload", "2026-11-27 22:00", "2026-11-27 23:00");
    open_exactly("db/restart", "2026-11-27 22:00", "2026-11-27 23:00");
    shut_at("db", "2026-11-27 22:30");
    shut_at("db/reload", "2026-11-27 22:30");
    shut_at("webber", "2026-11-27 22:30");
    shut_at("we", "2026-11-27 22:30");
    shut_at("*", "2026-11-27 22:30");
    given("UTC", "");
    shut_at("web", "2026-11-27 22:30");
}

static void refuses(const char *list, const char *where, const char *message) {
    hardy_error error;
    if (read_windows(list, &error) != HARDY_E_SYNTAX || strcmp(error.where, where) != 0 ||
        !strstr(error.message, message)) {
        fail_msg("%s: %s\nexpected %s: %s", error.where, error.message, where, message);
    }
}

static void mistakes_are_told_with_their_place(void **state) {
    (void)state;
    refuses(" {from: '22:00'}", "t.yaml:1:14", "a list of windows is needed, not a map");
    refuses(" [{from: '22:00'}]", "t.yaml:1:15", "to");
    refuses(" [{from: '24:00', to: '01:00'}]", "t.yaml:1:22", "`24:00` is no time of day");
    refuses(" [{from: '22:60', to: '01:00'}]", "t.yaml:1:22", "`22:60` is no time of day");
    refuses(" [{from: '22:00', to: '1:00'}]", "t.yaml:1:35", "`1:00` is no time of day");
    refuses(" [{from: '22:00', to: '01:00:00'}]", "t.yaml:1:35", "is no time of day");
    refuses(" [{from: '22:00', to: '01:00', days: [mon, Tue]}]", "t.yaml:1:50",
            "`Tue` is not one of mon");
    refuses(" [{from: '22:00', to: '01:00', targets: [a, b, a]}]", "t.yaml:1:53",
            "`a` is there twice");
    refuses(" [{from: '22:00', to: '01:00', zone: cet}]", "t.yaml:1:50", "cet");
}

static void pauses_come_before_windows_and_both_are_told(void **state) {
    char target[] = "*", who[] = "ada", reason[] = "new disks";
    struct pause p = {target, who, reason, 0, utc("2026-11-29 03:00")};
    struct hands_off h;
    struct store *store;
    int64_t at = utc("2026-11-28 22:30");
    (void)state;
    store = open_store();
    given("UTC", " [{from: '22:00', to: '23:00', targets: web, reason: release}]");
    assert_int_equal(hands_off(&windows, store, "db", at, &h, NULL), HARDY_OK);
    assert_false(h.off);
    assert_string_equal(h.why, "");
    assert_int_equal(hands_off(&windows, store, "web", at, &h, NULL), HARDY_OK);
    assert_true(h.off);
    assert_string_equal(h.why, "maintenance window until 23:00 UTC: release");
    assert_int_equal(h.until, utc("2026-11-28 23:00"));
    assert_int_equal(hands_off(NULL, store, "web", at, &h, NULL), HARDY_OK);
    assert_false(h.off);
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, NULL), HARDY_OK);
    assert_int_equal(hands_off(&windows, store, "web", at, &h, NULL), HARDY_OK);
    assert_true(h.off);
    assert_string_equal(h.why, "everything is paused by ada until Sun 03:00 UTC: new disks");
    assert_int_equal(h.until, utc("2026-11-29 03:00"));
    assert_int_equal(hands_off(NULL, store, "db", p.until, &h, NULL), HARDY_OK);
    assert_false(h.off);
    p = (struct pause){(char[]){"web"}, who, NULL, 0, 0};
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, NULL), HARDY_OK);
    assert_int_equal(hands_off(&windows, store, "web/restart", at, &h, NULL), HARDY_OK);
    assert_string_equal(h.why, "paused by ada until it is resumed");
    assert_int_equal(h.until, 0);
    given("UTC", " [{from: '00:00', to: '00:00', zone: utc}]");
    assert_int_equal(hands_off(&windows, store, "db", p.until + utc("2027-01-01 00:00"), &h, NULL),
                     HARDY_OK);
    assert_string_equal(h.why, "maintenance window without an end");
    store_close(store);
}

static bool tell(void *ctx, const struct hands_off_entry *e) {
    char *all = ctx;
    size_t len = strlen(all);
    snprintf(all + len, 600 - len, "%s|%s|%s|%s\n", e->target, e->who ? e->who : "",
             e->reason ? e->reason : "", e->why);
    return e->target[0] != 'z';
}

static void all_of_them_are_told_once(void **state) {
    char who[] = "ada", all[600] = "";
    struct store *store;
    int64_t at = utc("2026-11-28 22:30");
    (void)state;
    store = open_store();
    given("UTC", " [{from: '22:00', to: '23:00', targets: [web, db]},\n"
                 "  {from: '22:00', to: '23:30', targets: web, reason: longer},\n"
                 "  {from: '12:00', to: '13:00'}]");
    struct pause p = {(char[]){"web"}, who, NULL, at, at + HARDY_HOUR};
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, NULL), HARDY_OK);
    assert_int_equal(hands_off_each(&windows, store, at, tell, all, NULL), HARDY_OK);
    assert_string_equal(all, "web|ada||paused by ada until 23:30 UTC\n"
                             "db|||maintenance window until 23:00 UTC\n"
                             "web||longer|maintenance window until 23:30 UTC: longer\n");
    p.target = (char[]){"z"};
    assert_int_equal(pause_set(store, &p, HARDY_NEVER, NULL), HARDY_OK);
    all[0] = '\0';
    assert_int_equal(hands_off_each(&windows, store, at, tell, all, NULL), HARDY_OK);
    assert_string_equal(strrchr(all, 'z'), "z|ada||paused by ada until 23:30 UTC\n");
    store_close(store);
}

static void knows(const char *yaml, const char *name, const char *problem) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    config_free(config);
    config = NULL;
    assert_int_equal(config_load_bytes("t.yaml", yaml, strlen(yaml), &config, NULL), HARDY_OK);
    hardy_status status = target_check(config, name, &error);
    assert_int_equal(status, problem[0] ? HARDY_E_NOT_FOUND : HARDY_OK);
    assert_string_equal(error.message, problem);
}

static void names_are_those_of_the_configuration(void **state) {
    static const char yaml[] = "incidents: {services: {web: {actions: {restart: {}}}}}\n"
                               "heal: {services: {db: }}\n"
                               "supervise: {worker: {}}\n"
                               "fail_over: {front: {}}\n";
    static const char *const good[] = {"web", "web/restart", "db", "worker", "front", "*"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        knows(yaml, good[i], "");
    }
    knows(yaml, "web/restar",
          "the configuration knows no `web/restar`; did you mean `web/restart`?");
    knows(yaml, "services",
          "the configuration knows no `services`; it has web, web/restart, db, worker, front");
    knows("state: x", "web",
          "the configuration knows no `web`: it has no services, children or fail-overs");
    config_free(config);
    config = NULL;
}

/* Whoever cannot look must not repair. */
static void without_knowing_hands_are_off(void **state) {
    const struct store_op op = {
        .kind = STORE_PUT, .row_kind = "pause", .key = "web", .value = "{}", .len = 2};
    struct hands_off h;
    struct store *store;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    store = open_store();
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(hands_off(NULL, store, "web", 1, &h, &error), HARDY_E_CORRUPT);
    assert_true(h.off);
    assert_string_equal(h.why,
                        "nobody knows whether it is paused: the pause of web cannot be read");
    store_close(store);
}

static void times_are_told_as_short_as_can_be(void **state) {
    char out[LOCAL_TIME_SIZE];
    int64_t now = utc("2026-11-28 22:30");
    (void)state;
    given(BERLIN, "");
    local_time_format(ZONE_LOCAL, utc("2026-11-28 22:45"), now, out);
    assert_string_equal(out, "23:45 CET");
    local_time_format(ZONE_LOCAL, utc("2026-11-28 23:00"), now, out);
    assert_string_equal(out, "Sun 00:00 CET");
    local_time_format(ZONE_UTC, utc("2026-11-28 23:00"), now, out);
    assert_string_equal(out, "23:00 UTC");
    local_time_format(ZONE_LOCAL, utc("2026-11-23 22:45"), now, out);
    assert_string_equal(out, "Mon 23:45 CET");
    local_time_format(ZONE_UTC, utc("2027-11-28 22:30"), now, out);
    assert_string_equal(out, "2027-11-28 22:30 UTC");
}

static void the_narrower_word_counts(void **state) {
    (void)state;
    for (int file = AUTOMATION_OBSERVE; file <= AUTOMATION_ASK; file++) {
        assert_int_equal(automation_resolve(AUTOMATION_INHERIT, AUTOMATION_INHERIT, file), file);
        for (int service = AUTOMATION_OBSERVE; service <= AUTOMATION_ASK; service++) {
            assert_int_equal(automation_resolve(AUTOMATION_INHERIT, service, file), service);
            assert_int_equal(automation_resolve(AUTOMATION_OBSERVE, service, file),
                             AUTOMATION_OBSERVE);
            assert_int_equal(automation_resolve(AUTOMATION_ACT, service, file), AUTOMATION_ACT);
        }
    }
    assert_int_equal(automation_resolve(AUTOMATION_INHERIT, AUTOMATION_INHERIT, AUTOMATION_INHERIT),
                     AUTOMATION_OBSERVE);
    for (int i = AUTOMATION_INHERIT; automation_words[i]; i++) {
        assert_string_equal(automation_words[i], automation_text((enum automation)i));
    }
}

static int end(void **state) {
    (void)state;
    maintenance_free(&windows);
    config_free(config);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_belongs_to_the_day_it_begins_on),
        cmocka_unit_test(never_shorter_than_its_hours_where_the_clock_is_set),
        cmocka_unit_test(windows_without_a_gap_are_one),
        cmocka_unit_test(concerns_its_targets),
        cmocka_unit_test(mistakes_are_told_with_their_place),
        cmocka_unit_test(pauses_come_before_windows_and_both_are_told),
        cmocka_unit_test(all_of_them_are_told_once),
        cmocka_unit_test(names_are_those_of_the_configuration),
        cmocka_unit_test(without_knowing_hands_are_off),
        cmocka_unit_test(times_are_told_as_short_as_can_be),
        cmocka_unit_test(the_narrower_word_counts),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
