/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "base/error.h"
#include "durable/checkpoint.h"
#include "io/sim.h"
#include "stores.h"
#include <stdlib.h>
#include <string.h>

static int64_t wall;
static struct store *store;
static struct checkpoint last;
static hardy_error error;

static hardy_status ask(enum checkpoint_verb verb, const char *id, int64_t if_version,
                        const char *value, int64_t ttl) {
    const struct checkpoint_request q = {
        .verb = verb, .id = id, .wall = wall, .if_version = if_version, .value = value, .ttl = ttl};
    hardy_error_init(&error, sizeof error);
    hardy_status status = checkpoint_init(&last, &q, &error);
    const struct change change = {CHECKPOINT_ROW, id, checkpoint_decide, &last};
    if (status == HARDY_OK) {
        status = change_apply(&change, store, HARDY_NEVER, &error);
    }
    last.request = NULL;
    if (status != HARDY_OK && (error.status != status || !error.message[0])) {
        fail_msg("%s without its reason", hardy_status_name(status));
    }
    return status;
}

static hardy_status put(const char *id, int64_t if_version, const char *value) {
    return ask(CHECKPOINT_PUT, id, if_version, value, HARDY_NEVER);
}

static hardy_status drop(const char *id, int64_t if_version) {
    return ask(CHECKPOINT_DELETE, id, if_version, NULL, 0);
}

/* The value and the version, or none. */
static void holds(const char *id, const char *value, int64_t version) {
    struct store_row row;
    hardy_error_init(&error, sizeof error);
    hardy_status status = checkpoint_get(store, id, wall, &row, &error);
    if (!value) {
        assert_int_equal(status, HARDY_E_NOT_FOUND);
        assert_non_null(strstr(error.message, id));
        return;
    }
    assert_int_equal(status, HARDY_OK);
    assert_string_equal(row.value, value);
    assert_int_equal(row.fence, version);
    store_row_free(&row);
}

static void versions_once(void) {
    holds("job/1", NULL, 0);
    assert_int_equal(put("job/1", CHECKPOINT_THERE, "1"), HARDY_E_FENCED);
    assert_int_equal(put("job/1", CHECKPOINT_ANY, "{\"n\": 1}"), HARDY_OK);
    assert_true(last.created);
    int64_t first = last.version;
    assert_true(first > 0 && first < INT64_C(1) << 53);
    holds("job/1", "{\"n\": 1}", first);
    assert_int_equal(put("job/1", CHECKPOINT_THERE, "2"), HARDY_OK);
    assert_false(last.created);
    int64_t second = last.version;
    assert_true(second > first);
    assert_int_equal(put("job/1", first, "3"), HARDY_E_FENCED);
    assert_int_equal(last.version, second);
    assert_int_equal(put("job/1", CHECKPOINT_NEW, "3"), HARDY_E_EXISTS);
    holds("job/1", "2", second);
    assert_int_equal(put("job/1", second, "3"), HARDY_OK);
    int64_t third = last.version;
    assert_int_equal(drop("job/1", second), HARDY_E_FENCED);
    holds("job/1", "3", third);
    assert_int_equal(drop("job/1", third), HARDY_OK);
    holds("job/1", NULL, 0);
    assert_int_equal(drop("job/1", CHECKPOINT_ANY), HARDY_E_NOT_FOUND);
    assert_int_equal(drop("job/1", third), HARDY_E_FENCED);
    assert_int_equal(put("job/1", third, "4"), HARDY_E_FENCED);
    assert_int_equal(last.version, -1);
    /* Made again: a version it has had before does not fit. */
    wall += HARDY_SECOND;
    assert_int_equal(put("job/1", CHECKPOINT_NEW, "5"), HARDY_OK);
    assert_true(last.version > third);
    assert_int_equal(drop("job/1", CHECKPOINT_ANY), HARDY_OK);
}

static void expiry_once(void) {
    assert_int_equal(ask(CHECKPOINT_PUT, "a", CHECKPOINT_ANY, "1", HARDY_HOUR), HARDY_OK);
    int64_t version = last.version;
    wall += HARDY_HOUR - 1;
    holds("a", "1", version);
    wall += 1;
    holds("a", NULL, 0);
    assert_int_equal(put("a", version, "2"), HARDY_E_FENCED);
    assert_int_equal(drop("a", CHECKPOINT_ANY), HARDY_E_NOT_FOUND);
    assert_int_equal(put("a", CHECKPOINT_NEW, "2"), HARDY_OK);
    assert_true(last.created);
    assert_true(last.version > version);
    wall += 1000 * HARDY_DAY;
    holds("a", "2", last.version); /* for ever this time */
}

static void limits_once(void) {
    static const char *const ids[] = {"", ".a", "a b", "\xc3\xa9", "a\n", "/a", "a?"};
    char name[CHECKPOINT_ID_MAX + 2];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(put(name, CHECKPOINT_ANY, "1"), HARDY_E_INVALID);
    name[CHECKPOINT_ID_MAX] = '\0';
    assert_int_equal(put(name, CHECKPOINT_ANY, "1"), HARDY_OK);
    holds(name, "1", last.version);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_int_equal(put(ids[i], CHECKPOINT_ANY, "1"), HARDY_E_INVALID);
        assert_int_equal(drop(ids[i], CHECKPOINT_ANY), HARDY_E_INVALID);
    }
    assert_int_equal(put("a", CHECKPOINT_ANY, "{"), HARDY_E_SYNTAX);
    assert_int_equal(put("a", CHECKPOINT_ANY, ""), HARDY_E_SYNTAX);
    assert_int_equal(ask(CHECKPOINT_PUT, "a", CHECKPOINT_ANY, "1", 0), HARDY_E_INVALID);
    char *large = malloc(CHECKPOINT_VALUE_MAX + 2);
    memset(large, ' ', CHECKPOINT_VALUE_MAX + 1);
    large[0] = '1';
    large[CHECKPOINT_VALUE_MAX + 1] = '\0';
    assert_int_equal(put("a", CHECKPOINT_ANY, large), HARDY_E_TOO_LARGE);
    holds("a", NULL, 0);
    large[CHECKPOINT_VALUE_MAX] = '\0';
    assert_int_equal(put("a", CHECKPOINT_ANY, large), HARDY_OK);
    holds("a", large, last.version);
    free(large);
}

/* Somebody writes between the look and the write: judged once more, or refused for ever. */
static hardy_status interrupted(void *ctx, const struct store_row *row, struct change_write *write,
                                hardy_error *e) {
    unsigned *left = ctx;
    struct store_op op = {.kind = STORE_PUT,
                          .row_kind = CHECKPOINT_ROW,
                          .key = "contended",
                          .fence = change_next_fence(row, wall),
                          .value = "1",
                          .len = 1};
    (void)e;
    write->wanted = true;
    write->op = op;
    write->op.kind = row ? STORE_UPDATE : STORE_INSERT;
    write->op.if_fence = row ? row->fence : STORE_ANY_FENCE;
    if (*left > 0) {
        --*left;
        assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    }
    return HARDY_OK;
}

static void contention_once(void) {
    unsigned left = 3;
    const struct change change = {CHECKPOINT_ROW, "contended", interrupted, &left};
    assert_int_equal(change_apply(&change, store, HARDY_NEVER, NULL), HARDY_OK);
    assert_int_equal(left, 0);
    left = 1000;
    assert_int_equal(change_apply(&change, store, HARDY_NEVER, NULL), HARDY_E_EXHAUSTED);
    assert_true(left > 0);
}

/* --- the same on a loop ----------------------------------------------------------------------- */

static int ends;
static hardy_status ended_as;
static bool was_undecided;

static void on_done(struct change_run *run, hardy_status status, const hardy_error *e) {
    ends++;
    ended_as = status;
    was_undecided = run->undecided;
    assert_true(status == HARDY_OK || (e->status == status && e->message[0]));
}

static hardy_status refuse(void *ctx, const struct store_row *row, struct change_write *write,
                           hardy_error *e) {
    (void)ctx;
    (void)row;
    (void)write;
    return fail(e, HARDY_E_CLOSED, NULL, "decided against");
}

static hardy_status too_large(void *ctx, const struct store_row *row, struct change_write *write,
                              hardy_error *e) {
    (void)row;
    (void)e;
    write->wanted = true;
    write->op = (struct store_op){.kind = STORE_INSERT,
                                  .row_kind = CHECKPOINT_ROW,
                                  .key = "contended",
                                  .value = ctx,
                                  .len = STORE_VALUE_MAX + 1};
    return HARDY_OK;
}

static void run_on_loop(struct change *change) {
    struct sim_options options;
    struct change_run run;
    sim_options_init(&options);
    struct loop *loop = loop_sim_new(&options, NULL);
    ends = 0;
    change_start(&run, loop, store, change, on_done, NULL);
    assert_int_equal(ends, 0); /* never from inside the call */
    loop_run(loop);
    assert_int_equal(ends, 1);
    loop_free(loop);
}

static void on_a_loop_once(void) {
    unsigned left = 3;
    struct change change = {CHECKPOINT_ROW, "contended", interrupted, &left};
    run_on_loop(&change);
    assert_int_equal(ended_as, HARDY_OK);
    assert_int_equal(left, 0);
    left = 1000;
    run_on_loop(&change);
    assert_int_equal(ended_as, HARDY_E_EXHAUSTED);
    change.decide = refuse;
    run_on_loop(&change);
    assert_int_equal(ended_as, HARDY_E_CLOSED);
    assert_false(was_undecided);
    change.decide = too_large;
    change.ctx = calloc(1, STORE_VALUE_MAX + 1);
    run_on_loop(&change);
    assert_int_equal(ended_as, HARDY_E_TOO_LARGE); /* the store's word, not decide()'s */
    assert_true(was_undecided);
    free(change.ctx);
}

static void on_both(void (*test)(void)) {
    for (int kind = IN_MEMORY; kind <= ON_SQLITE; kind++) {
        wall = 1700000000123456789;
        store = stores_open((enum store_kind)kind, &wall);
        test();
        stores_close(store);
    }
}

static void versions(void **state) {
    (void)state;
    on_both(versions_once);
}

static void expiry(void **state) {
    (void)state;
    on_both(expiry_once);
}

static void limits(void **state) {
    (void)state;
    on_both(limits_once);
}

static void contention(void **state) {
    (void)state;
    on_both(contention_once);
}

static void on_a_loop(void **state) {
    (void)state;
    wall = 1700000000123456789;
    store = stores_open(IN_MEMORY, &wall);
    on_a_loop_once();
    stores_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(versions), cmocka_unit_test(expiry),
                                       cmocka_unit_test(limits), cmocka_unit_test(contention),
                                       cmocka_unit_test(on_a_loop)};
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
