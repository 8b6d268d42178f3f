/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/record.h"
#include "stores.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t wall = 1700000000123456789;

/* --- encoding ----------------------------------------------------------------------------------
 */

static void fill(struct record *r) {
    record_init(r);
    r->row_kind = str_dup("action");
    r->key = str_dup("order-12345");
    r->name = str_dup("./charge.sh");
    r->state = RECORD_DONE;
    r->fence = 7;
    r->attempt = 3;
    snprintf(r->fingerprint, sizeof r->fingerprint, "%064d", 42);
    str_copy(r->boot, sizeof r->boot, "01234567-89ab-cdef-0123-456789abcdef");
    r->created = 1700000000000000001;
    r->started = 1700000000999999999;
    r->ended = 1700000001000000007;
    r->code = 3;
    r->signal = 9;
    r->timed_out = true;
    r->truncated = true;
    r->detail = str_dup("a \"detail\"\nof two lines");
    r->idempotency_key = str_dup("order-12345");
    r->expires = 1700086401000000007;
    r->params = str_dup("{\"a\":[1,null,\"\\u0000\"]}");
    r->owner = str_dup("agent.py (pid 4711)");
    r->claim = str_dup("0123456789abcdef");
    r->lease = moment_after(r->boot, 5000000000000001, r->created, 30 * HARDY_SECOND);
    r->ended_by = 1700000000123;
    r->ttl = 24 * HARDY_HOUR;
}

static void set_output(struct record *r, const char *bytes, size_t len) {
    free(r->output);
    r->output = str_ndup("", 0);
    r->output = realloc(r->output, len + 1);
    memcpy(r->output, bytes, len);
    r->output[len] = '\0';
    r->output_len = len;
}

static void same_text(const char *a, const char *b) {
    assert_int_equal(a == NULL, b == NULL);
    if (a) {
        assert_string_equal(a, b);
    }
}

static void same(const struct record *a, const struct record *b) {
    same_text(a->row_kind, b->row_kind);
    same_text(a->key, b->key);
    same_text(a->name, b->name);
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->fence, b->fence);
    assert_int_equal(a->attempt, b->attempt);
    assert_string_equal(a->boot, b->boot);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->started, b->started);
    assert_int_equal(a->ended, b->ended);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->signal, b->signal);
    assert_int_equal(a->timed_out, b->timed_out);
    assert_int_equal(a->truncated, b->truncated);
    same_text(a->detail, b->detail);
    same_text(a->idempotency_key, b->idempotency_key);
    assert_int_equal(a->expires, b->expires);
    same_text(a->params, b->params);
    same_text(a->owner, b->owner);
    same_text(a->claim, b->claim);
    assert_string_equal(a->lease.boot, b->lease.boot);
    assert_int_equal(a->lease.monotonic, b->lease.monotonic);
    assert_int_equal(a->lease.wall, b->lease.wall);
    assert_int_equal(a->ended_by, b->ended_by);
    assert_int_equal(a->ttl, b->ttl);
    assert_int_equal(a->output == NULL, b->output == NULL);
    assert_int_equal(a->output_len, b->output_len);
    if (a->output) {
        assert_memory_equal(a->output, b->output, a->output_len);
        assert_int_equal(b->output[b->output_len], '\0');
    }
}

static struct store_row row_of(const struct record *r, struct buf *value) {
    record_encode(r, value);
    assert_false(value->failed);
    assert_int_equal(json_check(value->data, value->len, NULL), HARDY_OK);
    return (struct store_row){.kind = r->row_kind,
                              .key = r->key,
                              .fence = r->fence,
                              .value = value->data,
                              .len = value->len,
                              .expires = r->expires};
}

static void round_trip(const struct record *r) {
    struct buf value;
    struct record back;
    buf_init(&value, 64 << 20);
    struct store_row row = row_of(r, &value);
    assert_int_equal(record_decode(&row, &back, NULL), HARDY_OK);
    same(r, &back);
    record_free(&back);
    buf_free(&value);
}

static void every_field_comes_back(void **state) {
    struct record r;
    (void)state;
    fill(&r);
    round_trip(&r);
    set_output(&r, "", 0);
    round_trip(&r);
    set_output(&r, "receipt 1\n", 10);
    round_trip(&r);
    free(r.detail);
    free(r.params);
    free(r.owner);
    free(r.claim);
    r.detail = r.params = r.owner = r.claim = NULL;
    r.lease = (struct moment){0};
    r.ended_by = r.ttl = 0;
    round_trip(&r);
    for (int s = RECORD_PENDING; s <= RECORD_IN_DOUBT; s++) {
        r.state = (enum record_state)s;
        round_trip(&r);
    }
    r.created = r.started = r.ended = INT64_MAX;
    round_trip(&r);
    record_free(&r);
}

static void every_byte_of_an_output_comes_back(void **state) {
    struct record r;
    char all[1024];
    (void)state;
    fill(&r);
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (char)(i % 256);
    }
    set_output(&r, all, sizeof all);
    round_trip(&r);
    for (int byte = 0; byte < 256; byte++) {
        char one = (char)byte;
        set_output(&r, &one, 1);
        round_trip(&r);
        char between[] = {'a', one, 'z'};
        set_output(&r, between, 3);
        round_trip(&r);
    }
    set_output(&r, "gr\xc3\xbc\xc3\x9f\x65 \xf0\x9f\x92\xb8", 12);
    round_trip(&r);
    record_free(&r);
}

/* Whatever an output of the largest size holds, its row fits the store. */
static void the_largest_output_fits_a_row(void **state) {
    static const char *const fillings[] = {"x", "\x01", "\n", "\"", "\xff", "\x7f", "\xc3\xa9"};
    size_t largest = (size_t)4 << 20;
    (void)state;
    for (size_t i = 0; i < sizeof fillings / sizeof *fillings; i++) {
        struct record r;
        struct buf value;
        fill(&r);
        char *bytes = malloc(largest);
        size_t unit = strlen(fillings[i]);
        for (size_t k = 0; k < largest; k++) {
            bytes[k] = fillings[i][k % unit];
        }
        set_output(&r, bytes, largest);
        buf_init(&value, STORE_VALUE_MAX);
        record_encode(&r, &value);
        assert_false(value.failed);
        buf_free(&value);
        free(bytes);
        record_free(&r);
    }
    struct record r;
    struct buf value;
    fill(&r);
    r.output = calloc(1, largest + 1); /* NUL bytes */
    r.output_len = largest;
    buf_init(&value, STORE_VALUE_MAX);
    record_encode(&r, &value);
    assert_false(value.failed);
    buf_free(&value);
    record_free(&r);
}

static void what_is_no_record_is_refused(void **state) {
    static const char *const bad[] = {"",
                                      "null",
                                      "[]",
                                      "{",
                                      "{}",
                                      "{\"name\":\"x\"}",
                                      "{\"name\":\"x\",\"state\":\"asleep\"}",
                                      "{\"state\":\"done\"}",
                                      "{\"name\":3,\"state\":\"done\"}",
                                      "{\"name\":\"x\",\"name\":\"y\",\"state\":\"done\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct record r;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        struct store_row row = {
            .kind = (char[]){"action"}, .key = (char[]){"k1"}, .value = (char *)(uintptr_t)bad[i]};
        row.len = strlen(bad[i]);
        assert_int_equal(record_decode(&row, &r, &error), HARDY_E_CORRUPT);
        assert_non_null(strstr(error.message, "k1"));
    }
}

static char *shown(const struct record *r) {
    struct buf text;
    struct json_out j;
    buf_init(&text, 1 << 20);
    json_out_init(&j, &text, 0);
    record_to_json(r, &j);
    assert_int_equal(json_check(text.data, text.len, NULL), HARDY_OK);
    return buf_take(&text);
}

/* JSON when it is an object or an array, else text. */
static void an_output_is_shown_as_what_it_is(void **state) {
    static const struct {
        const char *output, *shown;
    } rows[] = {{"{\"id\": \"vpc-1\"}\n", "\"output\":{\"id\": \"vpc-1\"}"},
                {" [1, 2]", "\"output\":"},
                {"12", "\"output\":\"12\""},
                {"{not json", "\"output\":\"{not json\""},
                {"line\n", "\"output\":\"line\\n\""}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record r;
        fill(&r);
        free(r.owner);
        r.owner = NULL;
        set_output(&r, rows[i].output, strlen(rows[i].output));
        char *text = shown(&r);
        if (!strstr(text, rows[i].shown)) {
            fail_msg("%s is shown as %s", rows[i].output, text);
        }
        free(text);
        record_free(&r);
    }
}

/* JSON whatever it is; but a person who settles it may give any text. */
static void an_owners_result_is_json(void **state) {
    static const struct {
        const char *output, *shown;
    } rows[] = {{"12", "\"output\":12}"},
                {"\"twelve\"", "\"output\":\"twelve\"}"},
                {"null", "\"output\":null}"},
                {"", "\"output\":null}"},
                {"paid by hand", "\"output\":\"paid by hand\"}"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct record r;
        fill(&r);
        set_output(&r, rows[i].output, strlen(rows[i].output));
        char *text = shown(&r);
        if (!strstr(text, rows[i].shown) || !strstr(text, "\"owner\":\"agent.py (pid 4711)\"")) {
            fail_msg("%s is shown as %s", rows[i].output, text);
        }
        free(text);
        record_free(&r);
    }
}

/* --- fingerprints ------------------------------------------------------------------------------
 */

static void print_of(const char *scope, const char *name, const char *params, char out[65]) {
    assert_int_equal(record_fingerprint(scope, name, params, out, NULL), HARDY_OK);
    assert_int_equal(strlen(out), 64);
}

static void fingerprints(void **state) {
    char a[65], b[65];
    (void)state;
    print_of("exec", "pay", "{\"to\": \"x\", \"amount\": 5}", a);
    print_of("exec", "pay", "{\"amount\":5.0,\n \"to\":\"\\u0078\"}", b);
    assert_string_equal(a, b); /* the same, written differently */
    print_of("exec", "pay", "{\"amount\":6,\"to\":\"x\"}", b);
    assert_string_not_equal(a, b);
    print_of("exec", "refund", "{\"amount\":5,\"to\":\"x\"}", b);
    assert_string_not_equal(a, b);
    print_of("incident-2", "pay", "{\"amount\":5,\"to\":\"x\"}", b);
    assert_string_not_equal(a, b);
    /* The parts are told apart, wherever one ends. */
    print_of("ab", "c", "[]", a);
    print_of("a", "bc", "[]", b);
    assert_string_not_equal(a, b);
    /* Two different texts never become one key. */
    static const char *const unsafe[] = {"9007199254740993",
                                         "[12345678901234567890]",
                                         "{\"a\":1,\"a\":2}",
                                         "\"\\ud800\"",
                                         "",
                                         "{",
                                         "nan"};
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++) {
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (record_fingerprint("exec", "x", unsafe[i], a, &error) == HARDY_OK) {
            fail_msg("%s has a fingerprint", unsafe[i]);
        }
        assert_true(error.message[0] != '\0');
    }
}

/* --- decisions ---------------------------------------------------------------------------------
 */

static const enum in_doubt_policy policies[] = {IN_DOUBT_ASK, IN_DOUBT_PROBE, IN_DOUBT_RERUN,
                                                IN_DOUBT_FAIL};
static const enum record_next by_policy[] = {NEXT_ASK, NEXT_PROBE, NEXT_RUN, NEXT_FAIL};

/* Every state in every world under every policy. POLICY stands for what the policy says. */
enum { POLICY = 100 };
static void every_decision(void **state) {
    static const int table[5][4] = {
        /*                    running      ended         never ran lost */
        [RECORD_PENDING] = {NEXT_ATTACH, NEXT_RUN, NEXT_RUN, NEXT_RUN},
        [RECORD_STARTED] = {NEXT_ATTACH, NEXT_COLLECT, NEXT_RUN, POLICY},
        [RECORD_DONE] = {NEXT_REPLAY, NEXT_REPLAY, NEXT_REPLAY, NEXT_REPLAY},
        [RECORD_FAILED] = {NEXT_ATTACH, NEXT_RUN, NEXT_RUN, NEXT_RUN},
        [RECORD_IN_DOUBT] = {NEXT_ATTACH, POLICY, POLICY, POLICY},
    };
    (void)state;
    for (int s = RECORD_PENDING; s <= RECORD_IN_DOUBT; s++) {
        for (int w = WORLD_RUNNING; w <= WORLD_LOST; w++) {
            for (int p = 0; p < 4; p++) {
                struct record r;
                record_init(&r);
                r.state = (enum record_state)s;
                str_copy(r.fingerprint, sizeof r.fingerprint, "same");
                int wanted = table[s][w] == POLICY ? (int)by_policy[p] : table[s][w];
                int got = (int)record_decide(&r, "same", (enum record_world)w, policies[p]);
                if (got != wanted) {
                    fail_msg("state %d, world %d, policy %d: %d instead of %d", s, w, p, got,
                             wanted);
                }
                /* Other parameters are told at once, whatever goes on; before anything was
                 * recorded there are none to differ from. */
                wanted = s == RECORD_PENDING ? wanted : NEXT_MISMATCH;
                got = (int)record_decide(&r, "other", (enum record_world)w, policies[p]);
                assert_int_equal(got, wanted);
            }
        }
    }
}

/* A command that may have run is never run again unless that was declared. */
static void nothing_is_repeated_silently(void **state) {
    (void)state;
    for (int s = RECORD_STARTED; s <= RECORD_IN_DOUBT; s += RECORD_IN_DOUBT - RECORD_STARTED) {
        for (int w = WORLD_RUNNING; w <= WORLD_LOST; w++) {
            for (int p = 0; p < 4; p++) {
                struct record r;
                record_init(&r);
                r.state = (enum record_state)s;
                bool may =
                    policies[p] == IN_DOUBT_RERUN || (s == RECORD_STARTED && w == WORLD_NEVER_RAN);
                if (record_decide(&r, "", (enum record_world)w, policies[p]) == NEXT_RUN) {
                    assert_true(may);
                }
            }
        }
    }
}

static void after_the_probe(void **state) {
    (void)state;
    assert_int_equal(record_after_probe(PROBE_DONE), NEXT_COLLECT);
    assert_int_equal(record_after_probe(PROBE_NOT_DONE), NEXT_RUN);
    assert_int_equal(record_after_probe(PROBE_UNKNOWN), NEXT_ASK);
}

/* --- in the store ------------------------------------------------------------------------------
 */

static hardy_status write_record(struct store *store, const struct record *r, int64_t before) {
    struct buf value;
    struct store_op op;
    buf_init(&value, STORE_VALUE_MAX);
    record_op(r, before, &value, &op);
    hardy_status status = store_apply(store, &op, 1, HARDY_NEVER, NULL, NULL);
    buf_free(&value);
    return status;
}

static void a_record_in_the_store(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    struct record r, back;
    fill(&r);
    set_output(&r, "\0\xff\n", 3);
    assert_int_equal(record_load(store, "action", "order-12345", &back, NULL), HARDY_E_NOT_FOUND);
    r.fence = 1;
    assert_int_equal(write_record(store, &r, -1), HARDY_OK);
    assert_int_equal(write_record(store, &r, -1), HARDY_E_EXISTS); /* two at once: one gets it */
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(record_load(store, "action", "order-12345", &back, NULL), HARDY_OK);
    same(&r, &back);
    record_free(&back);
    /* Another kind's key is another record. */
    assert_int_equal(record_load(store, "step", "order-12345", &back, NULL), HARDY_E_NOT_FOUND);
    /* Who was taken over cannot write any more. */
    r.fence = 2;
    assert_int_equal(write_record(store, &r, 1), HARDY_OK);
    assert_int_equal(write_record(store, &r, 1), HARDY_E_FENCED);
    r.state = RECORD_FAILED;
    assert_int_equal(write_record(store, &r, 2), HARDY_OK);
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(record_load(store, "action", "order-12345", &back, NULL), HARDY_OK);
    same(&r, &back);
    record_free(&back);
    record_free(&r);
    stores_close(store);
}

/* A long output lies beside the database; whoever loads the record does not see a difference. */
static void a_long_output(enum store_kind kind) {
    struct store *store = stores_open(kind, &wall);
    struct record r, back;
    hardy_error error;
    size_t len = RECORD_IN_ROW + 1;
    hardy_error_init(&error, sizeof error);
    fill(&r);
    char *output = malloc(len + 1);
    assert_non_null(output);
    memset(output, 'x', len);
    output[len] = '\0';
    record_set_output(&r, output, len);
    record_put_output(store, &r);
    assert_int_equal(r.blob[0] != '\0', kind == ON_SQLITE);
    assert_int_equal(write_record(store, &r, -1), HARDY_OK);
    store = stores_reopen(kind, store, &wall);
    assert_int_equal(record_load(store, r.row_kind, r.key, &back, &error), HARDY_OK);
    assert_int_equal(back.output_len, len);
    assert_memory_equal(back.output, r.output, len);
    record_free(&back);
    if (kind == ON_SQLITE) {
        char *line = str_format("rm -r '%s-blobs'", store_path(store));
        assert_int_equal(system(line), 0);
        free(line);
        assert_int_equal(record_load(store, r.row_kind, r.key, &back, &error), HARDY_E_NOT_FOUND);
        assert_non_null(strstr(error.message, "the result of "));
    }
    record_set_output(&r, str_dup("short"), 5);
    record_put_output(store, &r);
    assert_int_equal(r.blob[0], '\0');
    record_free(&r);
    stores_close(store);
}

static void in_memory(void **state) {
    (void)state;
    a_record_in_the_store(IN_MEMORY);
    a_long_output(IN_MEMORY);
}

static void on_sqlite(void **state) {
    (void)state;
    a_record_in_the_store(ON_SQLITE);
    a_long_output(ON_SQLITE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(every_byte_of_an_output_comes_back),
        cmocka_unit_test(the_largest_output_fits_a_row),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(an_output_is_shown_as_what_it_is),
        cmocka_unit_test(an_owners_result_is_json),
        cmocka_unit_test(fingerprints),
        cmocka_unit_test(every_decision),
        cmocka_unit_test(nothing_is_repeated_silently),
        cmocka_unit_test(after_the_probe),
        cmocka_unit_test(in_memory),
        cmocka_unit_test(on_sqlite),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
