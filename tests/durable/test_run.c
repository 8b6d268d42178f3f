/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/lease.h"
#include "durable/run.h"
#include "durable/signal.h"
#include "stores.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t wall = 1700000000123456789;

/*
 * A run drawn as a text: a letter is a leaf's state (. pending, s started, w waiting, d done, f
 * failed, ? in doubt, k skipped; a capital one can be undone), ( ) a sequence, [ ] a parallel
 * group, [2 ] one of at most two at once, { } a for_each with its items in it, {} one that is not
 * entered. Steps are named a, b, c ... in order.
 */
struct drawing {
    const char *at;
    char name;
};

static enum record_state state_of(char c) {
    switch (c) {
    case 's':
        return RECORD_STARTED;
    case 'w':
        return RECORD_WAITING;
    case 'd':
    case 'D':
        return RECORD_DONE;
    case 'f':
        return RECORD_FAILED;
    case '?':
        return RECORD_IN_DOUBT;
    case 'k':
        return RECORD_SKIPPED;
    default:
        return RECORD_PENDING;
    }
}

static void define(struct run_step *s, char mark) {
    snprintf(s->definition, sizeof s->definition, "%063d%c", 0, mark);
}

static void draw_below(struct drawing *d, struct run_step *parent, char close);

static void draw_one(struct drawing *d, struct run_step *parent) {
    char name[2] = {d->name++, '\0'}, c = *d->at++;
    enum run_step_kind kind = c == '('   ? RUN_SEQUENCE
                              : c == '[' ? RUN_PARALLEL
                              : c == '{' ? RUN_EACH
                                         : RUN_LEAF;
    struct run_step *s = run_step_new(parent, kind, name);
    define(s, name[0]);
    if (kind == RUN_PARALLEL && *d->at >= '1' && *d->at <= '9') {
        s->limit = (uint32_t)(*d->at++ - '0');
    }
    if (kind == RUN_LEAF) {
        s->compensates = c == 'D';
        s->record.state = state_of(c);
        s->record.fence = c == '.' ? 0 : 1;
        s->record.order = (uint32_t)name[0];
    } else if (kind == RUN_EACH) {
        s->item = run_step_new(NULL, RUN_LEAF, name);
        s->item->parent = s;
        define(s->item, name[0]);
        s->record.state = *d->at == '}' ? RECORD_PENDING : RECORD_STARTED;
        draw_below(d, s, '}');
        s->record.items = (uint32_t)s->count;
        for (size_t i = 0; i < s->count; i++) {
            define(s->children[i], name[0]);
        }
    } else {
        draw_below(d, s, c == '(' ? ')' : ']');
    }
}

static void draw_below(struct drawing *d, struct run_step *parent, char close) {
    while (*d->at && *d->at != close) {
        draw_one(d, parent);
    }
    d->at += *d->at == close;
}

static void make(struct run *run, enum run_state state, const char *text) {
    struct drawing d = {text, 'a'};
    memset(run, 0, sizeof *run);
    run->id = str_dup("shop-1");
    run->name = str_dup("provision");
    run->file = str_dup("/srv/provision.yaml");
    run->input = str_dup("{\"name\":\"x\"}");
    snprintf(run->definition, sizeof run->definition, "%064d", 1);
    snprintf(run->input_hash, sizeof run->input_hash, "%064d", 2);
    run->state = state;
    run->created = 1700000000000000001;
    run->ended = 1700000000000000002;
    run->root = run_step_new(NULL, RUN_SEQUENCE, "");
    draw_below(&d, run->root, '\0');
    assert_true(run_step_make_keys(run->root, run->id));
}

/* What can be done, as names; an undo with a minus before it. */
static void nexts(const struct run *run, char out[64]) {
    struct run_next next[16];
    size_t count = run_next(run, next, 16), len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(out + len, 64 - len, "%s%s", next[i].undo ? "-" : "",
                                next[i].step->name);
    }
}

static void what_is_next(void **state) {
    static const struct {
        enum run_state state;
        const char *steps, *next;
        enum run_state becomes;
    } rows[] = {
        {RUN_RUNNING, "...", "a", RUN_RUNNING},
        {RUN_RUNNING, "d..", "b", RUN_RUNNING},
        {RUN_RUNNING, "dk.", "c", RUN_RUNNING},
        {RUN_RUNNING, "ddd", "", RUN_DONE},
        {RUN_RUNNING, "s..", "a", RUN_RUNNING},
        {RUN_RUNNING, "dw.", "b", RUN_RUNNING},
        {RUN_RUNNING, "d?.", "b", RUN_RUNNING},
        {RUN_IN_DOUBT, "d?.", "b", RUN_RUNNING},
        {RUN_IN_DOUBT, "ddd", "", RUN_DONE}, /* the last one was resolved */
        {RUN_IN_DOUBT, "df.", "", RUN_FAILED},
        {RUN_RUNNING, "df.", "", RUN_FAILED},
        {RUN_DONE, "ddd", "", RUN_DONE},
        {RUN_FAILED, "d..", "", RUN_FAILED},
        {RUN_CANCELLED, "d..", "", RUN_CANCELLED},
        /* Groups: all at once, or some of them; then what follows. */
        {RUN_RUNNING, "d[...].", "cde", RUN_RUNNING},
        {RUN_RUNNING, "d[d.s].", "de", RUN_RUNNING},
        {RUN_RUNNING, "d[2....].", "cd", RUN_RUNNING},
        {RUN_RUNNING, "d[2ds..].", "de", RUN_RUNNING},
        {RUN_RUNNING, "d[2ss..].", "cd", RUN_RUNNING},
        {RUN_RUNNING, "d[ddd].", "f", RUN_RUNNING},
        {RUN_RUNNING, "[(..)(d.)].", "cg", RUN_RUNNING},
        {RUN_RUNNING, "[(dd)(d.)].", "g", RUN_RUNNING},
        {RUN_RUNNING, "{}.", "a", RUN_RUNNING}, /* its items are asked for */
        {RUN_RUNNING, "{d..}.", "cd", RUN_RUNNING},
        {RUN_RUNNING, "{ddd}.", "e", RUN_RUNNING},
        /* After a failure nothing new begins; what runs is seen to its end. */
        {RUN_RUNNING, "[f.s].", "d", RUN_FAILED},
        {RUN_RUNNING, "[f..].", "", RUN_FAILED},
        {RUN_RUNNING, "[fw.].", "", RUN_FAILED},
        {RUN_RUNNING, "[f?.].", "c", RUN_IN_DOUBT},
        /* Then what was done is undone, last first. */
        {RUN_RUNNING, "DDf", "-b", RUN_FAILED},
        {RUN_RUNNING, "Ddf", "-a", RUN_FAILED},
        {RUN_RUNNING, "D[Dfs]", "e", RUN_FAILED},
        {RUN_RUNNING, "D[Df.]", "-c", RUN_FAILED},
        {RUN_RUNNING, "D[Df?]", "e", RUN_IN_DOUBT},
        {RUN_RUNNING, "DDD", "", RUN_DONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run run;
        char found[64];
        make(&run, rows[i].state, rows[i].steps);
        nexts(&run, found);
        if (!str_eq(found, rows[i].next)) {
            fail_msg("%s %s: next `%s`, not `%s`", run_state_text(rows[i].state), rows[i].steps,
                     found, rows[i].next);
        }
        if (found[0] == '\0' && run_becomes(&run) != rows[i].becomes) {
            fail_msg("%s %s: becomes %s", run_state_text(rows[i].state), rows[i].steps,
                     run_state_text(run_becomes(&run)));
        }
        run_free(&run);
    }
}

/* What is driven is not begun again, and holds its place in a group. */
static void what_is_driven(void **state) {
    struct run run;
    char found[64];
    (void)state;
    make(&run, RUN_RUNNING, "[2....]");
    run.root->children[0]->children[1]->driven = true;
    nexts(&run, found);
    assert_string_equal(found, "b");
    run.root->children[0]->children[0]->driven = true;
    nexts(&run, found);
    assert_string_equal(found, "");
    assert_int_equal(run_becomes(&run), RUN_RUNNING);
    run_free(&run);
}

static void a_doubt_that_was_asked_about_halts(void **state) {
    struct run run;
    char found[64];
    (void)state;
    make(&run, RUN_RUNNING, "D[?.s]");
    nexts(&run, found);
    assert_string_equal(found, "cde");
    run.root->children[1]->children[0]->left = true;
    assert_true(run_is_halted(&run));
    nexts(&run, found);
    assert_string_equal(found, "e");
    run.root->children[1]->children[2]->record.state = RECORD_DONE;
    nexts(&run, found);
    assert_string_equal(found, ""); /* nothing is undone while something is in doubt */
    assert_int_equal(run_becomes(&run), RUN_IN_DOUBT);
    run_free(&run);
}

static void cancelling_undoes(void **state) {
    struct run run;
    char found[64];
    (void)state;
    make(&run, RUN_RUNNING, "DD..");
    run.cancelled = true;
    struct run_step *a = run.root->children[0], *b = run.root->children[1];
    nexts(&run, found);
    assert_string_equal(found, "-b");
    b->undo.state = RECORD_STARTED; /* it was begun, and is gone on with */
    nexts(&run, found);
    assert_string_equal(found, "-b");
    b->undo.state = RECORD_FAILED; /* the others are undone all the same */
    nexts(&run, found);
    assert_string_equal(found, "-a");
    a->undo.state = RECORD_IN_DOUBT;
    a->left = true;
    nexts(&run, found);
    assert_string_equal(found, "");
    assert_int_equal(run_becomes(&run), RUN_IN_DOUBT);
    a->undo.state = RECORD_DONE;
    assert_ptr_equal(run_kept(&run), b);
    assert_int_equal(run_becomes(&run), RUN_FAILED); /* so that it can be tried again */
    b->undo.state = RECORD_DONE;
    assert_null(run_kept(&run));
    assert_int_equal(run_becomes(&run), RUN_CANCELLED);
    assert_string_equal(run_step_state_text(a), "compensated");
    run_free(&run);
}

static void words_for_groups(void **state) {
    static const struct {
        const char *steps, *text;
    } rows[] = {{"[...]", "pending"}, {"[d..]", "running"}, {"[ds.]", "running"},
                {"[ddd]", "done"},    {"[dfd]", "failed"},  {"[d?f]", "in_doubt"},
                {"{}", "pending"},    {"{d.}", "running"},  {"(dk)", "done"},
                {"[f(d.)]", "failed"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct run run;
        make(&run, RUN_RUNNING, rows[i].steps);
        assert_string_equal(run_step_state_text(run.root->children[0]), rows[i].text);
        run_free(&run);
    }
}

static void a_step_is_found_by_the_end_of_its_path(void **state) {
    struct run run;
    struct run_step *step;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    make(&run, RUN_RUNNING, "[(..)(..)]");
    free(run.root->children[0]->children[1]->children[0]->name);
    run.root->children[0]->children[1]->children[0]->name = str_dup("c");
    assert_int_equal(run_find_step(&run, "d", &step, &error), HARDY_OK);
    assert_string_equal(step->key, "shop-1/0001.a/0001.b/0002.d");
    assert_int_equal(run_find_step(&run, "e/c", &step, &error), HARDY_OK);
    assert_int_equal(run_find_step(&run, "a/b/c", &step, &error), HARDY_OK);
    char *path = run_step_path(step);
    assert_string_equal(path, "a/b/c");
    free(path);
    assert_int_equal(run_find_step(&run, "c", &step, &error), HARDY_E_INVALID);
    assert_non_null(strstr(error.message, "2 steps `c`"));
    assert_int_equal(run_find_step(&run, "zzz", &step, &error), HARDY_E_NOT_FOUND);
    run_free(&run);
}

/* --- a definition that has changed --------------------------------------------------------------
 */

static bool says_yes(void *ctx, const struct run_step *recorded, const struct run_step *now) {
    (void)ctx;
    (void)recorded;
    (void)now;
    return true;
}

/* Whether a run with `steps` may go on after `change` was done to its definition. */
static hardy_status changed(const char *steps, const char *fresh, void (*change)(struct run *),
                            run_same same, hardy_error *error) {
    struct run recorded, now;
    make(&recorded, RUN_RUNNING, steps);
    make(&now, RUN_RUNNING, fresh);
    free(now.file);
    now.file = str_dup("new.yaml");
    change(&now);
    hardy_error_init(error, sizeof *error);
    hardy_status status = run_adopt(&recorded, &now, same, NULL, error);
    if (status == HARDY_OK && now.root->count > 0 && recorded.root->count > 0) {
        assert_int_equal(recorded.root->children[0]->record.state, RECORD_PENDING); /* moved */
    }
    run_free(&recorded);
    run_free(&now);
    return status;
}

static void nothing(struct run *run) {
    (void)run;
}

static void rename_second(struct run *run) {
    free(run->root->children[1]->name);
    run->root->children[1]->name = str_dup("bee");
}

static void edit_second(struct run *run) {
    run->root->children[1]->definition[0] = 'f';
}

static void remove_last_two(struct run *run) {
    while (run->root->count > 1) {
        run_step_free(run->root->children[--run->root->count]);
    }
}

static void swap_first_two(struct run *run) {
    struct run_step *first = run->root->children[0];
    run->root->children[0] = run->root->children[1];
    run->root->children[1] = first;
}

static void refused(const char *steps, void (*change)(struct run *), const char *message) {
    hardy_error error;
    assert_int_equal(changed(steps, "...", change, NULL, &error), HARDY_E_MISMATCH);
    assert_string_equal(error.message, message);
    assert_string_equal(error.where, "new.yaml");
}

static void allowed(const char *steps, void (*change)(struct run *)) {
    hardy_error error;
    if (changed(steps, "...", change, NULL, &error) != HARDY_OK) {
        fail_msg("%s: %s", steps, error.message);
    }
}

static void a_changed_definition(void **state) {
    hardy_error error;
    (void)state;
    allowed("ddd", nothing);
    refused("dd.", rename_second,
            "step `b` of run shop-1 is done, and the file has `bee` in its place now");
    refused("ds.", rename_second,
            "step `b` of run shop-1 is running, and the file has `bee` in its place now");
    refused("dd.", edit_second,
            "step `b` of run shop-1 is done, and its definition has changed since");
    refused("d?.", edit_second,
            "step `b` of run shop-1 is in_doubt, and its definition has changed since");
    refused("df.", edit_second,
            "step `b` of run shop-1 is failed, and its definition has changed since");
    refused("ddd", remove_last_two,
            "step `b` of run shop-1 is done, and is not in the file any more");
    refused("d..", swap_first_two,
            "step `a` of run shop-1 is done, and the file has `b` in its place now");
    refused("[..]d", nothing,
            "step `d` of run shop-1 is done, and the file has `b` in its place now");
    /* What was never begun may change; what was settled as not done too. */
    allowed("d..", rename_second);
    allowed("d..", edit_second);
    allowed("d..", remove_last_two);
    allowed("...", swap_first_two);
    allowed("dp.", edit_second);
    /* Another text that comes to the same is the same. */
    assert_int_equal(changed("dd.", "...", edit_second, says_yes, &error), HARDY_OK);
    assert_int_equal(changed("dd.", "...", rename_second, says_yes, &error), HARDY_E_MISMATCH);
    /* In groups. */
    assert_int_equal(changed("[d.]", "[..]", nothing, NULL, &error), HARDY_OK);
    assert_int_equal(changed("[d.]", "(..)", nothing, NULL, &error), HARDY_E_MISMATCH);
    assert_int_equal(changed("[d.]", "[.]", nothing, NULL, &error), HARDY_OK);
    assert_int_equal(changed("[.d]", "[.]", nothing, NULL, &error), HARDY_E_MISMATCH);
    assert_int_equal(changed("{dd.}", "{}", nothing, NULL, &error), HARDY_OK);
    assert_int_equal(changed("{dd.}", ".", nothing, NULL, &error), HARDY_E_MISMATCH);
}

static void the_difference_is_shown(void **state) {
    struct run recorded, now;
    struct buf text;
    (void)state;
    make(&recorded, RUN_RUNNING, "dd.");
    make(&now, RUN_RUNNING, "....");
    rename_second(&now);
    buf_init(&text, 10000);
    run_put_difference(&recorded, &now, &text);
    assert_string_equal(text.data, "  a                              done\n"
                                   "- b                              done\n"
                                   "+ bee                            is new here\n"
                                   "  c                              pending\n"
                                   "+ d                              is new here\n");
    buf_free(&text);
    run_free(&recorded);
    run_free(&now);
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
                          .fence = 1,
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
    write_step(store, "shop-1/0002.b", RECORD_IN_DOUBT);
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
    assert_int_equal(back.created, run.created);
    assert_int_equal(back.ended, run.ended);
    assert_string_equal(back.detail, run.detail);
    assert_int_equal(back.root->count, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct run_step *is = back.root->children[i], *was = run.root->children[i];
        assert_string_equal(is->name, was->name);
        assert_string_equal(is->definition, was->definition);
        assert_int_equal(is->record.state, i == 1 ? RECORD_IN_DOUBT : RECORD_PENDING);
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

/* Groups, items, compensations and what was said come back with it. */
static void a_tree_in_the_store(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    struct run run, back;
    struct run_step *step;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    make(&run, RUN_RUNNING, "D[3.(..)]{...}");
    run.root->children[1]->asks = true;
    write_run(store, &run);
    write_step(store, "shop-1/0001.a", RECORD_DONE);
    struct record *each = &run.root->children[2]->record;
    each->row_kind = str_dup("step");
    each->key = str_dup(run.root->children[2]->key);
    each->name = str_dup("g");
    struct buf value;
    struct store_op op;
    buf_init(&value, STORE_VALUE_MAX);
    record_op(each, -1, &value, &op);
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, &error), HARDY_OK);
    buf_free(&value);
    write_step(store, "shop-1/0003.g/0002.g[1]", RECORD_FAILED);
    write_step(store, "shop-1/0009.gone", RECORD_DONE); /* of an older definition */
    op = (struct store_op){.kind = STORE_INSERT,
                           .row_kind = "undo",
                           .key = "shop-1/0001.a",
                           .value = "{\"name\":\"a\",\"state\":\"done\"}",
                           .len = 27};
    assert_int_equal(store_apply(store, &op, 1, HARDY_NEVER, NULL, &error), HARDY_OK);
    const struct signal say = {.what = SIGNAL_CANCEL, .who = (char *)"me", .at = wall};
    assert_int_equal(signal_send(store, "shop-1/cancel", &say, HARDY_NEVER, &error), HARDY_OK);
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(run_load(store, "shop-1", &back, &error), HARDY_OK);
    assert_true(back.cancelled);
    assert_true(back.root->children[0]->compensates);
    assert_string_equal(run_step_state_text(back.root->children[0]), "compensated");
    assert_int_equal(back.root->children[1]->kind, RUN_PARALLEL);
    assert_int_equal(back.root->children[1]->limit, 3);
    assert_true(back.root->children[1]->asks);
    assert_int_equal(back.root->children[1]->children[1]->kind, RUN_SEQUENCE);
    assert_int_equal(back.root->children[2]->count, 3);
    assert_int_equal(run_find_step(&back, "g[1]", &step, &error), HARDY_OK);
    assert_int_equal(step->record.state, RECORD_FAILED);
    run_free(&back);
    run_free(&run);
    stores_close(store);
}

static void in_memory(void **state) {
    (void)state;
    a_run_in_the_store(IN_MEMORY);
    a_tree_in_the_store(IN_MEMORY);
}

static void on_sqlite(void **state) {
    (void)state;
    a_run_in_the_store(ON_SQLITE);
    a_tree_in_the_store(ON_SQLITE);
}

/* --- what people say, and who drives ------------------------------------------------------------
 */

static void the_first_word_counts(void **state) {
    struct store *store = stores_open(IN_MEMORY, &wall);
    struct signal said;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(signal_load(store, "r/0001.ok", &said, &error), HARDY_E_NOT_FOUND);
    struct signal no = {.what = SIGNAL_REFUSE,
                        .who = (char *)"ann",
                        .comment = (char *)"too late",
                        .at = wall,
                        .fence = 3};
    struct signal yes = {.what = SIGNAL_APPROVE, .who = (char *)"bob", .at = wall, .fence = 3};
    assert_int_equal(signal_send(store, "r/0001.ok", &no, HARDY_NEVER, &error), HARDY_OK);
    assert_int_equal(signal_send(store, "r/0001.ok", &yes, HARDY_NEVER, &error), HARDY_E_EXISTS);
    assert_string_equal(error.message, "was refused before, by ann at 2023-11-14T22:13:20.123Z");
    assert_int_equal(signal_load(store, "r/0001.ok", &said, &error), HARDY_OK);
    assert_int_equal(said.what, SIGNAL_REFUSE);
    assert_string_equal(said.who, "ann");
    assert_string_equal(said.comment, "too late");
    assert_int_equal(said.at, wall);
    signal_free(&said);
    yes.fence = 5; /* it was asked anew */
    assert_int_equal(signal_send(store, "r/0001.ok", &yes, HARDY_NEVER, &error), HARDY_OK);
    assert_int_equal(signal_load(store, "r/0001.ok", &said, &error), HARDY_OK);
    assert_int_equal(said.what, SIGNAL_APPROVE);
    assert_int_equal(said.fence, 5);
    signal_free(&said);
    stores_close(store);
}

static hardy_status apply_lease(struct store *store, struct run_lease *l, int64_t before) {
    struct buf value;
    struct store_op op;
    buf_init(&value, 1000);
    run_lease_op(l, before, &value, &op);
    hardy_status status = store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL);
    buf_free(&value);
    return status;
}

static void an_owner_that_was_taken_over_cannot_write(void **state) {
    struct store *store = stores_open(IN_MEMORY, &wall);
    struct run_lease mine, theirs;
    (void)state;
    assert_int_equal(run_lease_load(store, "r", &mine, NULL), HARDY_OK);
    assert_int_equal(mine.fence, 0);
    mine.fence = 1;
    mine.until = moment_after("boot", 100, wall, (30 * HARDY_SECOND));
    assert_int_equal(apply_lease(store, &mine, 0), HARDY_OK);
    struct store_op require = run_lease_require(&mine);
    assert_int_equal(store_apply(store, &require, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    assert_int_equal(run_lease_load(store, "r", &theirs, NULL), HARDY_OK);
    assert_int_equal(moment_left(&theirs.until, "boot", 100 + (30 * HARDY_SECOND), 0), 0);
    theirs.fence++;
    assert_int_equal(apply_lease(store, &theirs, 1), HARDY_OK);
    assert_int_equal(store_apply(store, &require, 1, HARDY_NEVER, NULL, NULL), HARDY_E_FENCED);
    assert_int_equal(apply_lease(store, &mine, 1), HARDY_E_FENCED); /* nor renew */
    run_lease_free(&mine);
    run_lease_free(&theirs);
    stores_close(store);
}

/* Within a boot the wall clock may jump; after another boot there is nothing else. */
static void a_moment_outlives_jumps_and_boots(void **state) {
    struct moment m = moment_after("boot-1", 1000, wall, 500), none = {0};
    (void)state;
    assert_int_equal(moment_left(&m, "boot-1", 1200, wall + 200), 300);
    assert_int_equal(moment_left(&m, "boot-1", 1200, wall + HARDY_HOUR), 300);
    assert_int_equal(moment_left(&m, "boot-1", 1200, wall - HARDY_HOUR), 300);
    assert_int_equal(moment_left(&m, "boot-2", 5, wall + 200), 300);
    assert_true(moment_left(&m, "boot-2", 5, wall + 600) < 0);
    m = moment_after("boot-1", 1000, wall, HARDY_NEVER);
    assert_true(moment_left(&m, "boot-2", 5, wall) == HARDY_NEVER);
    assert_false(moment_is_set(&none));
    m = moment_after("", 1000, wall, 500); /* a host without a boot id */
    assert_int_equal(moment_left(&m, "", 0, wall + 100), 400);
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
        cmocka_unit_test(what_is_next),
        cmocka_unit_test(what_is_driven),
        cmocka_unit_test(a_doubt_that_was_asked_about_halts),
        cmocka_unit_test(cancelling_undoes),
        cmocka_unit_test(words_for_groups),
        cmocka_unit_test(a_step_is_found_by_the_end_of_its_path),
        cmocka_unit_test(a_changed_definition),
        cmocka_unit_test(the_difference_is_shown),
        cmocka_unit_test(the_first_word_counts),
        cmocka_unit_test(an_owner_that_was_taken_over_cannot_write),
        cmocka_unit_test(a_moment_outlives_jumps_and_boots),
        cmocka_unit_test(in_memory),
        cmocka_unit_test(on_sqlite),
        cmocka_unit_test(what_is_no_run_is_refused),
    };
    return cmocka_run_group_tests_name("run", tests, NULL, NULL);
}
