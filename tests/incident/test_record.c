/* SPDX-License-Identifier: Apache-2.0 */
/* The record of an incident and of a service: written, read back, and refused when it is damaged.
 */
#include "base/str.h"
#include "support.h"
#include <stdlib.h>
#include <string.h>

static struct store_row row_of(char *key, struct buf *value) {
    return (struct store_row){.key = key, .value = value->data, .len = value->len, .fence = 7};
}

static void same(const struct incident *a, const struct incident *b) {
    assert_string_equal(a->id, b->id);
    assert_string_equal(a->service, b->service);
    assert_string_equal(a->severity, b->severity);
    assert_true(str_eq(a->summary, b->summary));
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->last, b->last);
    assert_true(a->created == b->created && a->ended == b->ended && a->gathered == b->gathered);
    assert_int_equal(a->round, b->round);
    assert_int_equal(a->events, b->events);
    assert_true(str_eq(a->evidence, b->evidence));
    assert_true(str_eq(a->cause, b->cause));
    assert_true(str_eq(a->rule, b->rule));
    assert_true(a->confidence == b->confidence);
    assert_true(str_eq(a->action, b->action));
    assert_true(str_eq(a->outcome, b->outcome));
    assert_true(str_eq(a->owner, b->owner));
    assert_int_equal(a->by_hand, b->by_hand);
    assert_int_equal(a->told, b->told);
}

static char id[] = "inc-20261123-010203-4f2a", service[] = "web", severity[] = "high",
            text[] = "\"quoted\" \\ \xc3\xa9 \n line", evidence[] = "{\"components\":{}}",
            word[] = "x";

static void an_incident_reads_back_as_written(void **state) {
    (void)state;
    static const struct incident rows[] = {
        {.id = id, .service = service, .severity = severity},
        {.id = id,
         .service = service,
         .severity = severity,
         .summary = text,
         .state = INCIDENT_IN_DOUBT,
         .last = LAST_NOT_VERIFIED,
         .created = INT64_MAX,
         .ended = INT64_MAX - 1, /* beyond what a JSON number holds exactly */
         .gathered = 3,
         .round = UINT32_MAX / 2,
         .events = 99,
         .evidence = evidence,
         .cause = text,
         .rule = word,
         .confidence = 0.1,
         .action = word,
         .outcome = text,
         .owner = text,
         .by_hand = true,
         .told = true},
    };
    for (int s = INCIDENT_RECEIVED; s <= INCIDENT_IN_DOUBT; s++)
        for (size_t n = 0; n < 2; n++) {
            struct incident before = rows[n], after;
            struct buf value;
            hardy_error error;
            before.state = (enum incident_state)s;
            buf_init(&value, 1 << 20);
            incident_encode(&before, &value);
            struct store_row row = row_of(id, &value);
            assert_int_equal(incident_decode(&row, &after, &error), HARDY_OK);
            same(&before, &after);
            assert_int_equal(after.fence, 7);
            incident_free(&after);
            buf_free(&value);
        }
}

static void a_damaged_record_is_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"state\":\"acting\",\"last\":\"none\",\"severity\":\"high\"}",
        "{\"state\":\"asleep\",\"last\":\"none\",\"service\":\"web\",\"severity\":\"high\"}",
        "{\"state\":\"acting\",\"last\":\"lost\",\"service\":\"web\",\"severity\":\"high\"}",
        "{\"state\":\"acting\",\"last\":\"none\",\"service\":\"web\",\"severity\":\"high\"",
        ("{\"state\":\"acting\",\"state\":\"acted\",\"last\":\"none\",\"service\":\"web\","
         "\"severity\":\"high\"}"),
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        struct incident i;
        hardy_error error;
        char *value = str_dup(rows[n]);
        struct store_row row = {.key = id, .value = value, .len = strlen(value)};
        hardy_error_init(&error, sizeof error);
        assert_int_equal(incident_decode(&row, &i, &error), HARDY_E_CORRUPT);
        assert_non_null(strstr(error.message, id));
        free(value);
    }
}

static void a_service_remembers_its_runs(void **state) {
    (void)state;
    struct store_options options = {.path = NULL};
    struct store *store;
    hardy_error error;
    struct past past, read;
    assert_int_equal(store_open(&options, &store, &error), HARDY_OK);
    assert_int_equal(past_load(store, "web", &past, &error), HARDY_OK);
    assert_int_equal(past.fence, -1);
    assert_null(past.incident);
    past.incident = str_dup(id);
    assert_true(past_add_run(&past, "restart", 100, 0));
    assert_true(past_add_run(&past, "restart", 200, 0));
    assert_true(past_add_run(&past, "other", INT64_MAX - 5, 100)); /* forgets the first */
    struct buf value;
    buf_init(&value, 4096);
    past_encode(&past, &value);
    struct store_op op = {.kind = STORE_INSERT,
                          .row_kind = "service",
                          .key = "web",
                          .fence = 3,
                          .value = value.data,
                          .len = value.len};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, &error), HARDY_OK);
    assert_int_equal(past_load(store, "web", &read, &error), HARDY_OK);
    assert_int_equal(read.fence, 3);
    assert_string_equal(read.incident, id);
    assert_int_equal(read.count, 2);
    assert_int_equal(past_runs(&read, "restart", 0), 1);
    assert_int_equal(past_runs(&read, "restart", 200), 0);
    assert_int_equal(past_runs(&read, "other", 200), 1);
    past_free(&read);
    past_free(&past);
    op = (struct store_op){
        .kind = STORE_PUT, .row_kind = "service", .key = "web", .value = "{}", .len = 2};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, &error), HARDY_OK);
    assert_int_equal(past_load(store, "web", &read, &error), HARDY_E_CORRUPT);
    buf_free(&value);
    store_close(store);
}

static void a_remedy_has_a_key_of_its_own_in_each_round(void **state) {
    (void)state;
    struct incident i = {.id = id, .round = 2, .action = word};
    char *key = incident_remedy_key(&i);
    assert_string_equal(key, "inc-20261123-010203-4f2a/2.x");
    free(key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_incident_reads_back_as_written),
        cmocka_unit_test(a_damaged_record_is_refused),
        cmocka_unit_test(a_service_remembers_its_runs),
        cmocka_unit_test(a_remedy_has_a_key_of_its_own_in_each_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
