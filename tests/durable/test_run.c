/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "base/str.h"
#include "durable/run.h"
#include "stores.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t wall = 1700000000123456789;

/* A run of steps a, b, c ... in these states. */
static void make(struct run *run, enum run_state state, const char *states) {
    memset(run, 0, sizeof *run);
    run->id = str_dup("shop-1");
    run->name = str_dup("provision");
    run->file = str_dup("/srv/provision.yaml");
    run->input = str_dup("{\"name\":\"x\"}");
    snprintf(run->definition, sizeof run->definition, "%064d", 1);
    snprintf(run->input_hash, sizeof run->input_hash, "%064d", 2);
    run->state = state;
    run->fence = 4;
    run->created = 1700000000000000001;
    run->ended = 1700000000000000002;
    run->count = strlen(states);
    run->steps = calloc(run->count ? run->count : 1, sizeof *run->steps);
    for (size_t i = 0; i < run->count; i++) {
        struct run_step *s = &run->steps[i];
        s->name = str_format("%c", (char)('a' + i));
        snprintf(s->definition, sizeof s->definition, "%064zu", 100 + i);
        s->record.state = states[i] == 'd'   ? RECORD_DONE
                          : states[i] == 's' ? RECORD_STARTED
                          : states[i] == 'f' ? RECORD_FAILED
                          : states[i] == '?' ? RECORD_IN_DOUBT
                                             : RECORD_PENDING;
        s->record.fence = states[i] == '.' ? 0 : 1;
    }
}

static void the_next_step(void **state) {
    static const struct {
        enum run_state state;
        const char *steps;
        enum run_next_kind kind;
        size_t step;
        enum run_state becomes;
    } rows[] = {
        {RUN_RUNNING, "...", RUN_NEXT_STEP, 0, 0},
        {RUN_RUNNING, "d..", RUN_NEXT_STEP, 1, 0},
        {RUN_RUNNING, "dd.", RUN_NEXT_STEP, 2, 0},
        {RUN_RUNNING, "ddd", RUN_NEXT_FINISH, 0, RUN_DONE},
        {RUN_RUNNING, "s..", RUN_NEXT_STEP, 0, 0},
        {RUN_RUNNING, "d?.", RUN_NEXT_STEP, 1, 0},
        {RUN_IN_DOUBT, "d?.", RUN_NEXT_STEP, 1, 0},
        {RUN_IN_DOUBT, "ddd", RUN_NEXT_FINISH, 0, RUN_DONE}, /* the last one was resolved */
        {RUN_IN_DOUBT, "df.", RUN_NEXT_FINISH, 1, RUN_FAILED},
        {RUN_RUNNING, "df.", RUN_NEXT_FINISH, 1, RUN_FAILED},
        {RUN_WAITING, "d..", RUN_NEXT_STEP, 1, 0},
        {RUN_DONE, "ddd", RUN_NEXT_FINISH, 0, RUN_DONE},
        {RUN_FAILED, "d..", RUN_NEXT_FINISH, 0, RUN_FAILED},
        {RUN_CANCELLED, "d..", RUN_NEXT_FINISH, 0, RUN_CANCELLED},
        /* A failed step stops the run, also if a later one is done. */
        {RUN_RUNNING, "fd.", RUN_NEXT_FINISH, 0, RUN_FAILED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run run;
        make(&run, rows[i].state, rows[i].steps);
        struct run_next next = run_next(&run);
        if (next.kind != rows[i].kind || next.step != rows[i].step ||
            (next.kind == RUN_NEXT_FINISH && next.state != rows[i].becomes)) {
            fail_msg("%s %s: kind %d, step %zu, state %d", run_state_text(rows[i].state),
                     rows[i].steps, (int)next.kind, next.step, (int)next.state);
        }
        run_free(&run);
    }
}

/* Whether a run with `steps` may go on after `change` was done to its definition. */
static hardy_status changed(const char *steps, void (*change)(struct run *), hardy_error *error) {
    struct run recorded, now;
    make(&recorded, RUN_RUNNING, steps);
    make(&now, RUN_RUNNING, "...");
    free(now.file);
    now.file = str_dup("new.yaml");
    change(&now);
    hardy_error_init(error, sizeof *error);
    hardy_status status = run_check_definition(&recorded, &now, error);
    run_free(&recorded);
    run_free(&now);
    return status;
}

static void nothing(struct run *run) {
    (void)run;
}

static void rename_second(struct run *run) {
    free(run->steps[1].name);
    run->steps[1].name = str_dup("bee");
}

static void edit_second(struct run *run) {
    run->steps[1].definition[0] = 'f';
}

static void remove_last_two(struct run *run) {
    while (run->count > 1) {
        free(run->steps[--run->count].name);
    }
}

static void swap_first_two(struct run *run) {
    struct run_step first = run->steps[0];
    run->steps[0] = run->steps[1];
    run->steps[1] = first;
}

static void refused(const char *steps, void (*change)(struct run *), const char *message) {
    hardy_error error;
    assert_int_equal(changed(steps, change, &error), HARDY_E_MISMATCH);
    assert_string_equal(error.message, message);
    assert_string_equal(error.where, "new.yaml");
}

static void allowed(const char *steps, void (*change)(struct run *)) {
    hardy_error error;
    if (changed(steps, change, &error) != HARDY_OK) {
        fail_msg("%s: %s", steps, error.message);
    }
}

static void a_changed_definition(void **state) {
    (void)state;
    allowed("ddd", nothing);
    refused("dd.", rename_second,
            "step 2 of run shop-1 was `b` and is done; the file now says `bee`");
    refused("ds.", rename_second,
            "step 2 of run shop-1 was `b` and is running; the file now says `bee`");
    refused("dd.", edit_second,
            "step 2 `b` of run shop-1 is done, and its definition has changed since");
    refused("d?.", edit_second,
            "step 2 `b` of run shop-1 is in_doubt, and its definition has changed since");
    refused("df.", edit_second,
            "step 2 `b` of run shop-1 is failed, and its definition has changed since");
    refused("ddd", remove_last_two,
            "step 2 `b` of run shop-1 is done, but the file has only 1 steps now");
    refused("d..", swap_first_two,
            "step 1 of run shop-1 was `a` and is done; the file now says `b`");
    /* What was never begun may change; what was settled as not done too. */
    allowed("d..", rename_second);
    allowed("d..", edit_second);
    allowed("d..", remove_last_two);
    allowed("...", swap_first_two);
    allowed("dp.", edit_second);
}

/* --- in the store ------------------------------------------------------------------------------
 */

static void write_run(struct store *store, const struct run *run) {
    struct buf value;
    buf_init(&value, STORE_VALUE_MAX);
    run_encode(run, &value);
    struct store_op op = {.kind = STORE_PUT,
                          .row_kind = "run",
                          .key = run->id,
                          .if_fence = STORE_ANY_FENCE,
                          .fence = run->fence,
                          .value = value.data,
                          .len = value.len};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    buf_free(&value);
}

static void write_step(struct store *store, const char *key, enum record_state state) {
    struct record r;
    struct buf value;
    struct store_op op;
    record_init(&r);
    r.row_kind = str_dup("step");
    r.key = str_dup(key);
    r.name = str_dup("b");
    r.state = state;
    r.fence = 3;
    buf_init(&value, STORE_VALUE_MAX);
    record_op(&r, -1, &value, &op);
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    buf_free(&value);
    record_free(&r);
}

static void a_run_in_the_store(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    struct run run, back;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(run_load(store, "shop-1", &back, &error), HARDY_E_NOT_FOUND);
    make(&run, RUN_FAILED, "...");
    run.detail = str_dup("b: exit code 3");
    run.verdict = HARDY_E_EXHAUSTED;
    write_run(store, &run);
    char *key = run_step_key("shop-1", 1, "b");
    assert_string_equal(key, "shop-1/0002.b");
    write_step(store, key, RECORD_IN_DOUBT);
    free(key);
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(run_load(store, "shop-1", &back, &error), HARDY_OK);
    assert_string_equal(back.id, run.id);
    assert_string_equal(back.name, run.name);
    assert_string_equal(back.file, run.file);
    assert_string_equal(back.definition, run.definition);
    assert_string_equal(back.input_hash, run.input_hash);
    assert_string_equal(back.input, run.input);
    assert_int_equal(back.state, RUN_FAILED);
    assert_int_equal(back.verdict, HARDY_E_EXHAUSTED);
    assert_int_equal(back.fence, 4);
    assert_int_equal(back.created, run.created);
    assert_int_equal(back.ended, run.ended);
    assert_string_equal(back.detail, run.detail);
    assert_int_equal(back.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(back.steps[i].name, run.steps[i].name);
        assert_string_equal(back.steps[i].definition, run.steps[i].definition);
        assert_int_equal(back.steps[i].record.state, i == 1 ? RECORD_IN_DOUBT : RECORD_PENDING);
    }
    run_free(&back);
    for (int s = RUN_RUNNING; s <= RUN_CANCELLED; s++) {
        run.state = (enum run_state)s;
        write_run(store, &run);
        assert_int_equal(run_load(store, "shop-1", &back, &error), HARDY_OK);
        assert_int_equal(back.state, s);
        run_free(&back);
    }
    run_free(&run);
    stores_close(store);
}

static void in_memory(void **state) {
    (void)state;
    a_run_in_the_store(IN_MEMORY);
}

static void on_sqlite(void **state) {
    (void)state;
    a_run_in_the_store(ON_SQLITE);
}

static void what_is_no_run_is_refused(void **state) {
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"state\":\"running\",\"name\":\"x\",\"file\":\"f\",\"input\":{}}",
        "{\"state\":\"asleep\",\"name\":\"x\",\"file\":\"f\",\"input\":{},\"steps\":[]}",
        "{\"state\":\"running\",\"name\":\"x\",\"file\":\"f\",\"input\":{},\"steps\":[{}]}",
        "{\"state\":\"running\",\"file\":\"f\",\"input\":{},\"steps\":[]}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct run run;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        struct store_row row = {
            .kind = (char[]){"run"}, .key = (char[]){"shop-9"}, .value = (char *)(uintptr_t)bad[i]};
        row.len = strlen(bad[i]);
        assert_int_equal(run_decode(&row, &run, &error), HARDY_E_CORRUPT);
        assert_non_null(strstr(error.message, "shop-9"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_step),
        cmocka_unit_test(a_changed_definition),
        cmocka_unit_test(in_memory),
        cmocka_unit_test(on_sqlite),
        cmocka_unit_test(what_is_no_run_is_refused),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
