/* SPDX-License-Identifier: Apache-2.0 */
/* The fault file and the decision: no server, no loop. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "chaos/attempts.h"
#include "chaos/faults.h"
#include <hardy/env.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct faults parse(const char *yaml) {
    struct faults f;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (faults_parse("f.yaml", yaml, strlen(yaml), &f, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return f;
}

static const struct fault_rule *rule_at(const struct faults *f, size_t i) {
    assert_true(i < f->rules.count);
    return (const struct fault_rule *)f->rules.items + i;
}

/* What a call leaves out is as usual. */
static int64_t decide(const struct faults *f, struct fault_call call) {
    call.key = call.key ? call.key : "k";
    call.path = call.path ? call.path : "/v1/messages";
    call.model = call.model ? call.model : "m";
    call.attempt = call.attempt > 0 ? call.attempt : 1;
    return faults_decide(f, &call);
}
#define DECIDE(f, ...) decide(f, (struct fault_call){__VA_ARGS__})

/* --- reading -------------------------------------------------------------------------------- */

static void every_key_is_read(void **state) {
    (void)state;
    struct faults f = parse(
        "seed: 42\npace: 7ms\nthink: 80ms\nwords: 12\nfaults:\n"
        "  - {fail: status, from: 1s, for: 3m, first: 2, every: 3, share: 0.25, path: /messages, "
        "model: \"claude-*\", stream: true, status: 429, retry_after: 2s, headers: {x-a: b}, "
        "error_type: t, error_code: c, message: m}\n"
        "  - {fail: silence, after_events: 4, delay: 200s}\n");
    assert_int_equal(f.seed, 42);
    assert_int_equal(f.pace, 7 * HARDY_MILLISECOND);
    assert_int_equal(f.think, 80 * HARDY_MILLISECOND);
    assert_int_equal(f.words, 12);
    assert_int_equal(f.rules.count, 2);
    const struct fault_rule *r = rule_at(&f, 0);
    assert_int_equal(r->fail, FAULT_STATUS);
    assert_int_equal(r->from, HARDY_SECOND);
    assert_int_equal(r->span, 3 * HARDY_MINUTE);
    assert_int_equal(r->first, 2);
    assert_int_equal(r->every, 3);
    assert_true(r->share == 0.25);
    assert_string_equal(r->path, "/messages");
    assert_string_equal(r->model, "claude-*");
    assert_true(r->stream && r->stream_given);
    assert_int_equal(r->status, 429);
    assert_true(r->retry_after_given);
    assert_int_equal(r->retry_after, 2 * HARDY_SECOND);
    assert_string_equal(yaml_get(r->headers, "x-a")->text, "b");
    assert_string_equal(r->error_type, "t");
    assert_string_equal(r->error_code, "c");
    assert_string_equal(r->message, "m");
    assert_string_equal(rule_at(&f, 1)->text,
                        "{\"fail\":\"silence\",\"after_events\":4,\"delay\":\"200s\"}");
    assert_true(rule_at(&f, 1)->after_events_given && rule_at(&f, 1)->delay_given);
    assert_int_equal(rule_at(&f, 1)->after_events, 4);
    assert_int_equal(rule_at(&f, 1)->delay, 200 * HARDY_SECOND);
    faults_free(&f);
}

static void what_is_left_out_has_its_default(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: hang}]"), none;
    assert_int_equal(f.seed, 1);
    assert_int_equal(f.pace, 5 * HARDY_MILLISECOND);
    assert_int_equal(f.think, 50 * HARDY_MILLISECOND);
    assert_int_equal(f.words, 40);
    const struct fault_rule *r = rule_at(&f, 0);
    assert_int_equal(r->from, 0);
    assert_int_equal(r->span, HARDY_NEVER);
    assert_true(r->share == 1);
    assert_false(r->stream_given || r->delay_given || r->after_events_given ||
                 r->retry_after_given);
    assert_int_equal(r->delay, 30 * HARDY_SECOND);
    assert_int_equal(faults_defaults(&none), HARDY_OK);
    assert_int_equal(none.words, 40);
    assert_int_equal(DECIDE(&none, .attempt = 1), -1);
    faults_free(&none);
    faults_free(&f);
}

static void every_kind_can_be_named(void **state) {
    (void)state;
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        char *yaml = str_format("faults: [{fail: %s%s}]", fault_kind_text(kind),
                                kind == FAULT_STATUS ? ", status: 500" : "");
        struct faults f = parse(yaml);
        assert_int_equal(rule_at(&f, 0)->fail, kind);
        faults_free(&f);
        free(yaml);
    }
    assert_null(fault_kind_text(FAULT_NONE));
    assert_null(fault_kind_text(FAULT_KINDS));
}

struct told {
    char text[4096];
};

static void on_problem(void *ctx, const hardy_error *problem) {
    struct told *told = ctx;
    size_t len = strlen(told->text);
    snprintf(told->text + len, sizeof told->text - len, "%s: %s\n", problem->where,
             problem->message);
}

/* What is told of a file: each line begins with its place. The first is what faults_parse says. */
static void expect_told(const char *yaml, const char *lines) {
    struct told told = {.text = ""};
    struct yaml_file *file;
    struct faults f;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_parse("f", yaml, strlen(yaml), &file, NULL), HARDY_OK);
    size_t count = 0;
    for (const char *c = lines; *c; c++) {
        count += *c == '\n';
    }
    assert_int_equal(faults_check(file->root, on_problem, &told), count);
    assert_string_equal(told.text, lines);
    assert_int_equal(faults_parse("f", yaml, strlen(yaml), &f, &error), HARDY_E_SYNTAX);
    snprintf(told.text, sizeof told.text, "%s: %s\n", error.where, error.message);
    assert_true(str_starts(lines, told.text));
    faults_free(&f);
    yaml_close(file);
}

static void mistakes_are_told_with_their_places(void **state) {
    (void)state;
    expect_told(
        "faults:\n  - {fail: cutt}\n  - {fial: cut}\n  - {fail: cut, for: 30}\n",
        "f:2:12: `fail`: expected one of overloaded, status, rate_limit, reset, hang, "
        "slow_first, error_event, cut, reset_after, malformed, silence, truncated, not "
        "\"cutt\"; did you mean cut?\n"
        "f:3:6: unknown key `fial` in faults[1]; did you mean `fail`?\n"
        "f:3:5: `fail` is missing in faults[1] (what happens to the call)\n"
        "f:4:22: `for`: expected a duration such as 250ms, 30s, 2m, 1h30m or 7d; \"30\" has "
        "no unit\n");
    expect_told("faults:\n  - {fail: status}\n  - {fail: reset, delay: 3s, after_events: 2}\n",
                "f:2:5: `status` is missing; fail: status needs one from 400 to 599\n"
                "f:3:19: `delay` changes nothing with fail: reset; it goes with hang, slow_first, "
                "silence\n"
                "f:3:30: `after_events` changes nothing with fail: reset; it goes with "
                "error_event, cut, reset_after, malformed, silence, truncated\n");
    expect_told("faults: [{fail: overloaded, headers: {a b: c, Content-Length: 3, x: [], y: "
                "\"1\\n2\"}}]",
                "f:1:39: `a b` cannot be the name of a header\n"
                "f:1:47: the header `Content-Length` belongs to the connection and is not for a "
                "rule; truncated, cut and reset break it\n"
                "f:1:69: the header `x` is a list; expected text\n"
                "f:1:76: the header `y` has a control character in its value, or there is too "
                "much\n");
    expect_told("faults: [{fail: overloaded, headers: x}]",
                "f:1:38: `headers` is text; expected a map such as {x-should-retry: \"false\"}\n");
    expect_told("words: 1\nfaults: [{fail: status, status: 200}]",
                "f:1:8: `words`: expected a whole number from 2 to 10000, not \"1\"\n"
                "f:2:33: `status`: expected a whole number from 400 to 599, not \"200\"\n");
}

static void rules_that_cannot_apply_are_found(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: cut, first: 2}, {fail: hang}, {fail: reset}]");
    assert_int_equal(faults_unreached(&f), 2);
    faults_free(&f);
    f = parse("faults: [{fail: cut, for: 1s}, {fail: cut, share: 0.5}, {fail: cut, path: /x}, "
              "{fail: cut, model: m}, {fail: cut, stream: false}, {fail: cut, from: 1s}, "
              "{fail: cut, every: 2}, {fail: hang}]");
    assert_int_equal(faults_unreached(&f), -1);
    faults_free(&f);
}

/* --- schedules ------------------------------------------------------------------------------ */

static void from_and_for_look_at_the_time(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: overloaded, from: 10s, for: 3m}]");
    assert_int_equal(DECIDE(&f, .attempt = 1, .since = 10 * HARDY_SECOND - 1), -1);
    assert_int_equal(DECIDE(&f, .attempt = 1, .since = 10 * HARDY_SECOND), 0);
    assert_int_equal(DECIDE(&f, .attempt = 1, .since = 190 * HARDY_SECOND - 1), 0);
    assert_int_equal(DECIDE(&f, .attempt = 1, .since = 190 * HARDY_SECOND), -1);
    faults_free(&f);
    f = parse("faults: [{fail: overloaded, from: 10s}]");
    assert_int_equal(DECIDE(&f, .attempt = 1, .since = 300 * HARDY_DAY), 0);
    faults_free(&f);
}

static void first_and_every_count_attempts(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: reset, first: 2}, {fail: cut, every: 3}]");
    static const int wanted[] = {0, 0, 1, -1, -1, 1, -1, -1, 1};
    for (uint32_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_int_equal(DECIDE(&f, .attempt = i + 1), wanted[i]);
    }
    faults_free(&f);
    f = parse("faults: [{fail: reset, first: 4, every: 2}]"); /* both */
    static const int both[] = {-1, 0, -1, 0, -1, -1};
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(DECIDE(&f, .attempt = i + 1), both[i]);
    }
    faults_free(&f);
}

static void path_model_and_stream_choose_calls(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: cut, path: /messages}, {fail: hang, model: "
                            "\"claude-*-5\"}, {fail: reset, stream: true}, {fail: malformed, "
                            "stream: false}]");
    assert_int_equal(DECIDE(&f, .attempt = 1), 0);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "/a/v1/messages"), 0);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "/v1/messages/count_tokens"), 3);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "/x", .model = "claude-opus-5"), 1);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "/x", .model = "claude-opus-5b"), 3);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "/x", .model = "", .stream = true), 2);
    assert_int_equal(DECIDE(&f, .attempt = 1, .path = "s", .stream = false), 3);
    faults_free(&f);
}

/* A share is of all attempts, evenly, whatever the key is. */
static void share_is_met(void **state) {
    (void)state;
    struct faults f = parse("seed: 7\nfaults: [{fail: cut, share: 0.1}, {fail: hang, share: 0.5}]");
    int counts[3] = {0};
    for (uint32_t i = 0; i < 20000; i++) {
        char key[32];
        snprintf(key, sizeof key, "agent-%u", i / 4);
        counts[DECIDE(&f, .key = key, .attempt = i % 4 + 1) + 1]++;
    }
    assert_in_range(counts[1], 1850, 2150);
    assert_in_range(counts[2], 8700, 9300); /* half of the rest: rules are independent */
    faults_free(&f);
    f = parse("faults: [{fail: cut, share: 0}]");
    for (uint32_t i = 1; i < 1000; i++) {
        assert_int_equal(DECIDE(&f, .attempt = i), -1);
    }
    faults_free(&f);
}

/* Whether two files decide alike on 1,000 calls. */
static bool same_decisions(const char *one, const char *other) {
    struct faults a = parse(one), b = parse(other);
    bool same = true;
    for (uint32_t i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "k%u", i % 100);
        same = same && DECIDE(&a, .key = key, .attempt = i / 100 + 1) ==
                           DECIDE(&b, .key = key, .attempt = i / 100 + 1);
    }
    faults_free(&a);
    faults_free(&b);
    return same;
}

static void the_seed_decides_and_nothing_else(void **state) {
    (void)state;
    const char *file = "seed: 3\nfaults: [{fail: cut, share: 0.5}]";
    assert_true(same_decisions(file, file));
    assert_true(same_decisions(file, "seed: 3\npace: 1s\nwords: 3\nfaults: [{fail: hang, share: "
                                     "0.5, delay: 9s}]"));
    assert_false(same_decisions(file, "seed: 4\nfaults: [{fail: cut, share: 0.5}]"));
}

static void attempts_and_keys_are_drawn_apart(void **state) {
    (void)state;
    struct faults f = parse("faults: [{fail: cut, share: 0.5}]");
    int by_key = 0, by_attempt = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "%u", i);
        by_key += DECIDE(&f, .key = key, .attempt = 1) == 0;
        by_attempt += DECIDE(&f, .key = "one", .attempt = i + 1) == 0;
    }
    assert_in_range(by_key, 430, 570);
    assert_in_range(by_attempt, 430, 570);
    faults_free(&f);
}

static void a_decision_has_the_files_settings(void **state) {
    (void)state;
    struct faults f = parse("pace: 1ms\nthink: 2ms\nwords: 3\nfaults: [{fail: cut}, {fail: hang}]");
    struct fault_decision d = faults_decision(&f, 1);
    assert_ptr_equal(d.rule, rule_at(&f, 1));
    assert_int_equal(d.index, 1);
    assert_int_equal(d.pace, HARDY_MILLISECOND);
    assert_int_equal(d.think, 2 * HARDY_MILLISECOND);
    assert_int_equal(d.words, 3);
    assert_null(faults_decision(&f, -1).rule);
    faults_free(&f);
}

/* --- attempts ------------------------------------------------------------------------------- */

static void attempts_count_up_for_each_key(void **state) {
    (void)state;
    struct attempts *a = attempts_new(100);
    for (uint32_t round = 1; round <= 3; round++) {
        for (int i = 0; i < 100; i++) {
            char key[16];
            snprintf(key, sizeof key, "key%d", i);
            assert_int_equal(attempts_next(a, key), round);
        }
    }
    attempts_free(a);
    attempts_free(NULL);
}

static void the_key_not_asked_for_longest_is_forgotten(void **state) {
    (void)state;
    struct attempts *a = attempts_new(3);
    assert_int_equal(attempts_next(a, "a"), 1);
    assert_int_equal(attempts_next(a, "b"), 1);
    assert_int_equal(attempts_next(a, "c"), 1);
    assert_int_equal(attempts_next(a, "a"), 2);
    assert_int_equal(attempts_next(a, "d"), 1); /* b goes */
    assert_int_equal(attempts_next(a, "a"), 3);
    assert_int_equal(attempts_next(a, "c"), 2);
    assert_int_equal(attempts_next(a, "b"), 1); /* d goes */
    assert_int_equal(attempts_next(a, "c"), 3);
    assert_int_equal(attempts_next(a, "a"), 4);
    assert_int_equal(attempts_next(a, "d"), 1);
    attempts_free(a);
    a = attempts_new(1);
    assert_int_equal(attempts_next(a, "a"), 1);
    assert_int_equal(attempts_next(a, "b"), 1);
    assert_int_equal(attempts_next(a, "b"), 2);
    assert_int_equal(attempts_next(a, "a"), 1);
    attempts_free(a);
}

/* Against a list that is looked through: 20,000 steps over 300 keys with room for 64. */
static void forgetting_is_as_a_plain_list_would(void **state) {
    (void)state;
    enum { ROOM = 64 };
    struct {
        int key;
        uint32_t count;
    } list[ROOM + 1]; /* the newest first */
    size_t used = 0;
    uint32_t x = 1;
    struct attempts *a = attempts_new(ROOM);
    for (int step = 0; step < 20000; step++) {
        x = x * 1664525 + 1013904223;
        int number = (int)((x >> 16) % (step % 7 == 0 ? 300 : 70));
        size_t at = 0;
        while (at < used && list[at].key != number) {
            at++;
        }
        uint32_t count = at < used ? list[at].count + 1 : 1;
        used += at == used && used < ROOM;
        memmove(list + 1, list, (at < ROOM ? at : ROOM - 1) * sizeof *list);
        list[0].key = number;
        list[0].count = count;
        char key[16];
        snprintf(key, sizeof key, "%d", number);
        assert_int_equal(attempts_next(a, key), count);
    }
    attempts_free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(every_kind_can_be_named),
        cmocka_unit_test(mistakes_are_told_with_their_places),
        cmocka_unit_test(rules_that_cannot_apply_are_found),
        cmocka_unit_test(from_and_for_look_at_the_time),
        cmocka_unit_test(first_and_every_count_attempts),
        cmocka_unit_test(path_model_and_stream_choose_calls),
        cmocka_unit_test(share_is_met),
        cmocka_unit_test(the_seed_decides_and_nothing_else),
        cmocka_unit_test(attempts_and_keys_are_drawn_apart),
        cmocka_unit_test(a_decision_has_the_files_settings),
        cmocka_unit_test(attempts_count_up_for_each_key),
        cmocka_unit_test(the_key_not_asked_for_longest_is_forgotten),
        cmocka_unit_test(forgetting_is_as_a_plain_list_would),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
