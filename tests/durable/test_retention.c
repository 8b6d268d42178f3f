/* SPDX-License-Identifier: Apache-2.0 */
/* Which finished runs go, and that nothing of them stays, wherever their removal is cut off. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/moment.h"
#include "durable/retention.h"
#include "durable/run.h"
#include "stores.h"
#include <hardy/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static hardy_error error;
static int64_t wall;
static const struct retention_policy keep_all = {HARDY_NEVER, UINT64_MAX, UINT64_MAX};

/* --- the decision ------------------------------------------------------------------------------
 */

#define AT(day) (1000 * HARDY_DAY + (day)*HARDY_DAY)

#define RUN(name, is_finished, when, size)                                                         \
    { .id = name, .finished = is_finished, .ended = when, .fence = 1, .rows = 1, .bytes = size }
static const struct retention_run some[] = {
    RUN("b", true, AT(2), 100),
    RUN("a", true, AT(1), 100),
    RUN("running", false, 0, 900),
    RUN("d", true, AT(9), 5000),
    RUN("c", true, AT(2), 100),
    {.id = "resumed", .finished = true, .ended = AT(1), .owned = true, .bytes = 900},
};

/* The ids that go, in their order. */
static const char *decided(const struct retention_policy *policy, int64_t now) {
    static char text[64];
    size_t go[COUNT(some)], count = retention_decide(some, COUNT(some), policy, now, go);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", some[go[i]].id);
    }
    return text;
}

static void test_decides(void **state) {
    (void)state;
    assert_string_equal(decided(&keep_all, AT(5000)), "");
    const struct retention_policy age = {3 * HARDY_DAY, UINT64_MAX, UINT64_MAX};
    assert_string_equal(decided(&age, AT(4)), "");
    assert_string_equal(decided(&age, AT(4) + 1), "a");
    assert_string_equal(decided(&age, AT(5) + 1), "abc");
    assert_string_equal(decided(&age, AT(5000)), "abcd");
    assert_string_equal(decided(&age, 0), ""); /* a clock that was set back */
    const struct retention_policy two = {HARDY_NEVER, 2, UINT64_MAX};
    assert_string_equal(decided(&two, AT(10)), "ab");
    const struct retention_policy none = {HARDY_NEVER, 0, UINT64_MAX};
    assert_string_equal(decided(&none, AT(10)), "abcd");
    const struct retention_policy bytes = {HARDY_NEVER, UINT64_MAX, 5150};
    assert_string_equal(decided(&bytes, AT(10)), "ab");
    const struct retention_policy exact = {HARDY_NEVER, UINT64_MAX, 5300};
    assert_string_equal(decided(&exact, AT(10)), "");
    const struct retention_policy few = {HARDY_NEVER, UINT64_MAX, 1};
    assert_string_equal(decided(&few, AT(10)), "abcd");
    const struct retention_policy both = {3 * HARDY_DAY, 3, UINT64_MAX};
    assert_string_equal(decided(&both, AT(4)), "a");
}

/* --- the sweep ---------------------------------------------------------------------------------
 */

static void put_row(struct store *store, const char *kind, const char *key, int64_t fence,
                    const void *value, size_t len) {
    const struct store_op op = {.kind = STORE_PUT,
                                .row_kind = kind,
                                .key = key,
                                .fence = fence,
                                .value = value,
                                .len = len};
    assert_int_equal(store_apply(store, &op, 1, clock_now() + 30 * HARDY_SECOND, NULL, &error),
                     HARDY_OK);
}

/* A run with its lease and a signal, as the engine writes it. */
static void put_run(struct store *store, const char *id, enum run_state what, int64_t ended,
                    size_t steps, size_t output) {
    struct run run = {.id = (char *)id, .name = "w", .file = "/w.yaml", .input = "{}"};
    struct buf value;
    char key[80], *text = malloc(output + 1);
    run.root = run_step_new(NULL, RUN_SEQUENCE, "");
    assert_non_null(run.root);
    run.state = what;
    run.created = 1;
    run.ended = ended;
    buf_init(&value, 1 << 20);
    run_encode(&run, &value);
    run_step_free(run.root);
    put_row(store, "run", id, 7, value.data, value.len);
    memset(text, 'x', output);
    for (size_t i = 0; i < steps; i++) {
        snprintf(key, sizeof key, "%s/%04zu.s", id, i + 1);
        put_row(store, "step", key, 1, text, output);
    }
    snprintf(key, sizeof key, "run/%s", id);
    put_row(store, "lease", key, 1, "{}", 2);
    snprintf(key, sizeof key, "%s/1", id);
    put_row(store, "signal", key, 1, "{}", 2);
    snprintf(key, sizeof key, "%s/0001.s", id);
    put_row(store, "undo", key, 1, "{}", 2);
    free(text);
    buf_free(&value);
}

static bool count_row(void *ctx, const struct store_row *row) {
    (void)row;
    ++*(size_t *)ctx;
    return true;
}

static size_t rows_of(struct store *store, const char *kind, const char *prefix) {
    size_t count = 0;
    assert_int_equal(
        store_scan_keys(store, kind, prefix, NULL, SIZE_MAX, count_row, &count, &error), HARDY_OK);
    return count;
}

static bool row_is_there(struct store *store, const char *kind, const char *key) {
    struct store_row row;
    hardy_status status = store_get(store, kind, key, &row, &error);
    store_row_free(&row);
    return status == HARDY_OK;
}

/* All rows of a run. */
static size_t left_of(struct store *store, const char *id) {
    char prefix[80];
    snprintf(prefix, sizeof prefix, "%s/", id);
    size_t count = rows_of(store, "step", prefix) + rows_of(store, "signal", prefix) +
                   rows_of(store, "undo", prefix) + row_is_there(store, "run", id);
    snprintf(prefix, sizeof prefix, "run/%s", id);
    return count + row_is_there(store, "lease", prefix);
}

static struct retention_report sweep(struct store *store, struct retention_policy policy,
                                     uint64_t batches, bool dry) {
    struct retention_report report;
    const struct retention_sweep how = {.policy = policy,
                                        .wall = AT(100),
                                        .deadline = HARDY_NEVER,
                                        .max_batches = batches,
                                        .dry_run = dry};
    hardy_error_init(&error, sizeof error);
    hardy_status status = retention_apply(store, &how, &report, &error);
    if (status != HARDY_OK) {
        fail_msg("%s: %s", hardy_status_name(status), error.message);
    }
    return report;
}

static void removes(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    put_run(store, "old", RUN_DONE, AT(1), 3, 10);
    put_run(store, "old-2", RUN_FAILED, AT(2), 1, 10); /* "old-2/" sorts before "old/" */
    put_run(store, "old.x", RUN_CANCELLED, AT(3), 0, 10);
    put_run(store, "new", RUN_DONE, AT(99), 3, 10);
    put_run(store, "run", RUN_RUNNING, 0, 3, 10);
    put_run(store, "doubt", RUN_IN_DOUBT, AT(1), 3, 10); /* whatever time it bears */
    put_run(store, "wait", RUN_WAITING, AT(1), 3, 10);
    put_row(store, "run", "later", 1, "{\"state\":\"paused\",\"ended\":\"1\"}", 30);
    put_row(store, "action", "old/1", 1, "{}", 2); /* not of a run */
    const struct retention_policy month = {30 * HARDY_DAY, UINT64_MAX, UINT64_MAX};

    struct retention_report r = sweep(store, month, 0, true);
    assert_int_equal(r.runs, 3);
    assert_int_equal(left_of(store, "old"), 7);
    uint64_t rows = r.rows;
    r = sweep(store, month, 0, false);
    assert_int_equal(r.runs, 3);
    assert_int_equal(r.kept, 5);
    assert_false(r.unfinished);
    assert_int_equal(left_of(store, "old") + left_of(store, "old-2") + left_of(store, "old.x"), 0);
    assert_true(rows == 7 + 5 + 4 && r.rows == rows);
    assert_int_equal(left_of(store, "new"), 7);
    assert_int_equal(left_of(store, "run"), 7);
    assert_int_equal(left_of(store, "doubt"), 7);
    assert_int_equal(left_of(store, "wait"), 7);
    assert_int_equal(rows_of(store, "run", "later"), 1);
    assert_int_equal(rows_of(store, "action", ""), 1);

    /* By number and by size. */
    put_run(store, "big", RUN_DONE, AT(98), 2, 100000);
    r = sweep(store, (struct retention_policy){HARDY_NEVER, UINT64_MAX, 150000}, 0, false);
    assert_int_equal(r.runs, 1);
    assert_true(r.bytes > 200000);
    assert_int_equal(left_of(store, "big"), 0);
    assert_int_equal(left_of(store, "new"), 7);
    r = sweep(store, (struct retention_policy){HARDY_NEVER, 0, UINT64_MAX}, 0, false);
    assert_int_equal(r.runs, 1);
    assert_int_equal(left_of(store, "new"), 0);
    assert_int_equal(left_of(store, "run"), 7);
    stores_close(store);
}

static void test_removes(void **state) {
    (void)state;
    removes(IN_MEMORY);
    removes(ON_SQLITE);
}

/* Cut off after every number of batches: what is left is no run, and the next sweep takes it. */
static void test_cut_off(void **state) {
    (void)state;
    const struct retention_policy none = {HARDY_NEVER, 0, UINT64_MAX};
    size_t cut = 0;
    for (uint64_t batches = 1; batches < 6; batches++) {
        struct store *store = stores_open(IN_MEMORY, &wall);
        struct run run;
        put_run(store, "alive", RUN_RUNNING, 0, 3, 10);
        put_run(store, "huge", RUN_FAILED, AT(1), 1300, 10);
        put_run(store, "small", RUN_DONE, AT(2), 2, 10);
        struct retention_report r = sweep(store, none, batches, false);
        cut += r.unfinished ? 1 : 0;
        size_t left = left_of(store, "huge");
        assert_int_equal(left > 0, batches < 3);
        assert_int_equal(run_load(store, "huge", &run, &error), HARDY_E_NOT_FOUND);
        assert_int_equal(left_of(store, "small"), batches < 4 ? 6 : 0);
        /* Begun anew under the same id, it does not find the steps of the former one. */
        if (left > 0 && batches == 1) {
            assert_int_equal(retention_clear(store, "huge", HARDY_NEVER, &error), HARDY_OK);
            assert_int_equal(left_of(store, "huge"), 0);
        }
        r = sweep(store, none, 0, false);
        assert_false(r.unfinished);
        assert_int_equal(left_of(store, "huge") + left_of(store, "small"), 0);
        assert_int_equal(left_of(store, "alive"), 7);
        stores_close(store);
    }
    assert_int_equal(cut, 3);
}

/* --- others meanwhile --------------------------------------------------------------------------
 */

/* When the first run has gone, somebody takes the others up: by their lease, before the row says
 * anything. */
static void take_up(void *ctx, const struct retention_run *run) {
    if (str_eq(run->id, "first")) {
        put_row(ctx, "lease", "run/second", 2, "{}", 2);
        put_row(ctx, "lease", "run/unowned", 1, "{}", 2); /* that had no lease */
        put_row(ctx, "run", "written", 8, "{\"state\":\"running\"}", 19);
    }
}

static void put_lease(struct store *store, const char *key, int64_t until) {
    struct buf value;
    struct json_out j;
    const struct moment m = {.boot = "b", .monotonic = 1, .wall = until};
    buf_init(&value, 1000);
    json_out_init(&j, &value, 0);
    json_out_object(&j);
    moment_put(&j, "until", &m);
    json_out_object_end(&j);
    put_row(store, "lease", key, 1, value.data, value.len);
    buf_free(&value);
}

static void test_taken_up(void **state) {
    (void)state;
    struct store *store = stores_open(ON_SQLITE, &wall);
    struct retention_report r;
    put_run(store, "first", RUN_DONE, AT(1), 600, 1); /* too large to go with others */
    put_run(store, "second", RUN_FAILED, AT(2), 2, 10);
    put_run(store, "third", RUN_DONE, AT(3), 1, 10);
    put_run(store, "written", RUN_FAILED, AT(4), 2, 10);
    char done[64];
    int len =
        snprintf(done, sizeof done, "{\"state\":\"done\",\"ended\":\"%lld\"}", (long long)AT(5));
    put_row(store, "run", "unowned", 7, done, (size_t)len);
    put_run(store, "owned", RUN_FAILED, AT(1), 1, 10); /* taken up before the sweep */
    put_lease(store, "run/owned", AT(100) + HARDY_SECOND);
    put_run(store, "left", RUN_FAILED, AT(1), 1, 10); /* its owner died, long ago */
    put_lease(store, "run/left", AT(1));
    const struct retention_sweep how = {.policy = {HARDY_NEVER, 0, UINT64_MAX},
                                        .wall = AT(100),
                                        .deadline = HARDY_NEVER,
                                        .told = take_up,
                                        .ctx = store};
    assert_int_equal(retention_apply(store, &how, &r, &error), HARDY_OK);
    assert_int_equal(r.runs, 3);
    assert_int_equal(left_of(store, "second"), 6);
    assert_int_equal(left_of(store, "written"), 6);
    assert_int_equal(left_of(store, "unowned"), 2);
    assert_int_equal(left_of(store, "owned"), 5);
    assert_int_equal(left_of(store, "left"), 0);
    assert_int_equal(left_of(store, "third"), 0);
    assert_int_equal(retention_clear(store, "second", HARDY_NEVER, &error), HARDY_E_EXISTS);
    assert_int_equal(left_of(store, "second"), 6);
    stores_close(store);
}

static bool claim(struct store *store, int64_t at) {
    bool mine;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(retention_claim(store, at, HARDY_HOUR, HARDY_NEVER, &mine, &error), HARDY_OK);
    return mine;
}

static void claims(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    assert_true(claim(store, AT(1)));
    assert_false(claim(store, AT(1)));
    store = stores_reopen(kind, store, &wall);
    assert_false(claim(store, AT(1) + HARDY_HOUR - 1));
    assert_true(claim(store, AT(1) + HARDY_HOUR));
    assert_false(claim(store, AT(1) + HARDY_HOUR + 1));
    assert_true(claim(store, AT(0))); /* the clock was set back by a day */
    assert_false(claim(store, AT(0) + 1));
    stores_close(store);
}

static void test_once_an_hour(void **state) {
    (void)state;
    claims(IN_MEMORY);
    claims(ON_SQLITE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decides),      cmocka_unit_test(test_removes),
        cmocka_unit_test(test_cut_off),      cmocka_unit_test(test_taken_up),
        cmocka_unit_test(test_once_an_hour),
    };
    hardy_error_init(&error, sizeof error);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
