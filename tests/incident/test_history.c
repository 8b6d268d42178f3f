/* SPDX-License-Identifier: Apache-2.0 */
/* What happened since a moment: which incidents count, what is counted, in which order. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "incident/history.h"
#include "incident/incident.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START (1700000000 * HARDY_SECOND)

static struct store *store;
static struct history h;

static int setup(void **state) {
    const struct store_options options = {.create = true};
    (void)state;
    assert_int_equal(store_open(&options, &store, NULL), HARDY_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    history_free(&h);
    store_close(store);
    return 0;
}

static void put(const char *kind, const char *key, const char *value, size_t len) {
    const struct store_op op = {
        .kind = STORE_PUT, .row_kind = kind, .key = key, .value = value, .len = len};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
}

/* `created` and `ended` in minutes after START; `ended` 0 = not. */
static void incident(const char *id, const char *service, enum incident_state state, int created,
                     int ended) {
    struct buf value;
    struct incident i = {.id = str_dup(id),
                         .service = str_dup(service),
                         .summary = str_dup("down"),
                         .severity = str_dup("high"),
                         .state = state,
                         .created = START + created * HARDY_MINUTE,
                         .ended = ended ? START + ended * HARDY_MINUTE : 0};
    buf_init(&value, 1 << 20);
    incident_encode(&i, &value);
    put("incident", id, value.data, value.len);
    buf_free(&value);
    incident_free(&i);
}

static void event(const char *id, int number, int minute, const char *what) {
    char key[100], value[300], at[32];
    clock_format_wall(START + minute * HARDY_MINUTE, at);
    snprintf(key, sizeof key, "%s/%06d", id, number);
    int len = snprintf(value, sizeof value, "{\"at\":\"%s\",\"what\":\"%s\",\"detail\":\"%s-%d\"}",
                       at, what, id, number);
    put("event", key, value, (size_t)len);
}

/* Of the last hour, at minute 120. */
static void load(void) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    history_free(&h);
    if (history_load(store, START + 60 * HARDY_MINUTE, START + 120 * HARDY_MINUTE, &h, &error) !=
        HARDY_OK) {
        fail_msg("%s", error.message);
    }
}

static const struct history_row *row(const char *service) {
    for (size_t i = 0; i < h.row_count; i++) {
        if (str_eq(h.rows[i].name, service)) {
            return &h.rows[i];
        }
    }
    return NULL;
}

static void counts(const char *service, const char *expected) {
    char text[200];
    const struct history_row *r = row(service);
    assert_non_null(r);
    snprintf(text, sizeof text,
             "opened %u recovered %u proposed %u acted %u healed %u not %u escalated %u open %u "
             "longest %lldm",
             r->opened, r->recovered, r->proposed, r->acted, r->healed, r->not_healed, r->escalated,
             r->open, (long long)(r->longest / HARDY_MINUTE));
    assert_string_equal(text, expected);
}

static void nothing_is_nothing(void **state) {
    (void)state;
    load();
    assert_int_equal(h.row_count, 0);
    assert_int_equal(h.event_count, 0);
}

static void what_was_over_before_is_left_out(void **state) {
    (void)state;
    incident("inc-1", "web", INCIDENT_RESOLVED, 1, 59);
    event("inc-1", 1, 1, "opened");
    event("inc-1", 2, 59, "resolved");
    load();
    assert_int_equal(h.row_count, 0);
    incident("inc-1", "web", INCIDENT_RESOLVED, 1, 60);
    event("inc-1", 2, 60, "resolved");
    load();
    counts("web", "opened 0 recovered 1 proposed 0 acted 0 healed 0 not 0 escalated 0 open 0 "
                  "longest 59m");
    assert_int_equal(h.event_count, 1);
    assert_string_equal(h.events[0].what, "resolved");
}

static void each_kind_of_end_is_counted(void **state) {
    (void)state;
    incident("inc-1", "web", INCIDENT_RESOLVED, 61, 65); /* healed at the second attempt */
    event("inc-1", 1, 61, "opened");
    event("inc-1", 2, 61, "acting");
    event("inc-1", 3, 62, "not verified");
    event("inc-1", 4, 63, "acting");
    event("inc-1", 5, 65, "verified");
    event("inc-1", 6, 65, "resolved");
    incident("inc-2", "web", INCIDENT_RESOLVED, 70, 71); /* by itself */
    event("inc-2", 1, 70, "opened");
    event("inc-2", 2, 71, "resolved");
    incident("inc-3", "db", INCIDENT_ESCALATED, 80, 81); /* with a person: lasts on */
    event("inc-3", 1, 80, "opened");
    event("inc-3", 2, 80, "proposed");
    event("inc-3", 3, 81, "escalated");
    incident("inc-4", "api", INCIDENT_ACTING, 30, 0); /* begun before */
    event("inc-4", 1, 30, "opened");
    event("inc-4", 2, 30, "acting");
    event("inc-4", 3, 90, "not verified");
    load();
    counts("web", "opened 2 recovered 1 proposed 0 acted 2 healed 1 not 1 escalated 0 open 0 "
                  "longest 4m");
    counts("db", "opened 1 recovered 0 proposed 1 acted 0 healed 0 not 0 escalated 1 open 1 "
                 "longest 40m");
    counts("api", "opened 0 recovered 0 proposed 0 acted 0 healed 0 not 1 escalated 0 open 1 "
                  "longest 90m");
    assert_string_equal(h.rows[0].name, "api");
    assert_string_equal(h.rows[2].name, "web");
}

/* Handed to a person, who mended it, though hardy had done nothing before: that is recovery too;
 * mended by hardy first, it is not. */
static void whose_the_repair_was(void **state) {
    (void)state;
    incident("inc-1", "web", INCIDENT_RESOLVED, 30, 70);
    event("inc-1", 1, 30, "opened");
    event("inc-1", 2, 31, "proposed");
    event("inc-1", 3, 31, "escalated");
    event("inc-1", 4, 70, "resolved");
    incident("inc-2", "db", INCIDENT_RESOLVED, 30, 70);
    event("inc-2", 1, 30, "opened");
    event("inc-2", 2, 31, "acting"); /* before the hour, and it counts all the same */
    event("inc-2", 3, 70, "verified");
    event("inc-2", 4, 70, "resolved");
    load();
    assert_int_equal(row("web")->recovered, 1);
    assert_int_equal(row("db")->recovered, 0);
    assert_int_equal(row("db")->healed, 1);
}

static void in_the_order_it_happened(void **state) {
    char text[400] = "";
    (void)state;
    incident("inc-2", "web", INCIDENT_RECEIVED, 61, 0);
    event("inc-2", 1, 61, "opened");
    event("inc-2", 2, 61, "gathered"); /* left out */
    event("inc-2", 3, 61, "analysed");
    event("inc-2", 4, 64, "acting");
    incident("inc-1", "db", INCIDENT_RECEIVED, 62, 0);
    event("inc-1", 1, 62, "opened");
    event("inc-1", 2, 65, "held");
    put("event", "inc-1/000003", "{\"at\":1}", 8); /* cannot be read: passed over */
    load();
    for (size_t i = 0; i < h.event_count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s %s %s\n", h.events[i].name, h.events[i].what,
                 h.events[i].detail);
    }
    assert_string_equal(text, "web opened inc-2-1\nweb analysed inc-2-3\ndb opened inc-1-1\n"
                              "web acting inc-2-4\ndb held inc-1-2\n");
    assert_string_equal(h.events[0].at, "2023-11-14T23:14:20.000Z");
    assert_string_equal(h.events[0].incident, "inc-2");
}

static void switched(const char *key, int minute, const char *what) {
    char value[300];
    int len = snprintf(value, sizeof value, "{\"at\":\"%lld\",\"what\":\"%s\",\"detail\":\"to b\"}",
                       (long long)(START + minute * HARDY_MINUTE), what);
    put("fail_over_event", key, value, (size_t)len);
}

static void fail_overs_are_told_beside_services(void **state) {
    (void)state;
    incident("inc-1", "front", INCIDENT_RECEIVED, 61, 0);
    event("inc-1", 1, 61, "opened");
    switched("front/000001", 59, "switching"); /* before the hour */
    switched("front/000002", 62, "proposed");
    switched("front/000003", 63, "switching");
    switched("front/000004", 64, "switched");
    switched("front/000005", 65, "switching");
    switched("front/000006", 66, "failed");
    switched("front/000007", 67, "escalated");
    put("fail_over_event", "front/000008", "{}", 2); /* cannot be read: passed over */
    load();
    assert_int_equal(h.row_count, 2);
    assert_int_equal(h.rows[0].kind, HISTORY_SERVICE);
    assert_int_equal(h.rows[1].kind, HISTORY_FAIL_OVER);
    assert_string_equal(h.rows[1].name, "front");
    counts("front", "opened 1 recovered 0 proposed 0 acted 0 healed 0 not 0 escalated 0 open 1 "
                    "longest 59m");
    const struct history_row *r = &h.rows[1];
    assert_int_equal(r->proposed * 1000 + r->acted * 100 + r->healed * 10 + r->not_healed, 1211);
    assert_int_equal(r->escalated * 10 + r->opened, 10);
    assert_int_equal(h.event_count, 7);
    assert_int_equal(h.events[1].kind, HISTORY_FAIL_OVER);
    assert_string_equal(h.events[1].what, "proposed");
    assert_string_equal(h.events[1].at, "2023-11-14T23:15:20.000Z");
    assert_null(h.events[1].incident);
}

static void deaths_of_children_are_told(void **state) {
    char value[600];
    (void)state;
    int len = snprintf(value, sizeof value,
                       "{\"machine\":{},\"deaths\":["
                       "{\"at\":\"%lld\",\"code\":1,\"lived\":\"1000000000\"},"
                       "{\"at\":\"%lld\",\"code\":3,\"lived\":\"60000000000\"},"
                       "{\"at\":\"%lld\",\"signal\":9,\"lived\":\"250000000\"}]}",
                       (long long)START, (long long)(START + 70 * HARDY_MINUTE),
                       (long long)(START + 71 * HARDY_MINUTE));
    put("child", "worker", value, (size_t)len);
    put("child", "broken", "{}", 2); /* cannot be read: passed over */
    load();
    assert_int_equal(h.row_count, 1);
    assert_int_equal(h.rows[0].kind, HISTORY_CHILD);
    assert_string_equal(h.rows[0].name, "worker");
    assert_int_equal(h.rows[0].died, 2);
    assert_int_equal(h.event_count, 2);
    assert_string_equal(h.events[0].what, "died");
    assert_string_equal(h.events[0].detail, "exited with 3, after 1m");
    assert_string_equal(h.events[1].detail, "was ended by KILL, after 250ms");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_over_before_is_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(each_kind_of_end_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(whose_the_repair_was, setup, teardown),
        cmocka_unit_test_setup_teardown(in_the_order_it_happened, setup, teardown),
        cmocka_unit_test_setup_teardown(deaths_of_children_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(fail_overs_are_told_beside_services, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
