/* SPDX-License-Identifier: Apache-2.0 */
/* The same calls meet the same faults: in another run, in another order, and out of a journal. */
#include "base/prng.h"
#include "base/str.h"
#include "support.h"

#define MS HARDY_MILLISECOND
#define FILE_                                                                                      \
    "seed: 11\nwords: 4\nfaults: [{fail: overloaded, share: 0.2, retry_after: 1500ms}, {fail: "    \
    "cut, "                                                                                        \
    "after_events: 2, first: 1}, {fail: reset, every: 4}, {fail: error_event, share: 0.3, model: " \
    "\"b*\"}, {fail: status, status: 429, share: 0.1, headers: {x-a: \"1\"}}]"

enum { AGENTS = 60, ATTEMPTS = 6, CALLS = AGENTS * ATTEMPTS };

static struct stage s;

/* Each agent makes its attempts one after the other; how the agents mix, `order` says. */
static void crowd(uint64_t order, int64_t spread) {
    static struct visit visits[CALLS];
    struct prng random;
    prng_seed(&random, order);
    for (int i = 0; i < CALLS; i++) {
        int agent = i / ATTEMPTS, attempt = i % ATTEMPTS;
        char headers[64], body[200];
        snprintf(headers, sizeof headers, "x-chaos-key: agent-%d\r\n", agent);
        snprintf(body, sizeof body,
                 "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
                 "\"secret of %d\"}]}",
                 agent % 2 ? "big" : "small", agent);
        visits[i] = (struct visit){0};
        visit_begin(&visits[i], &s, "POST", "/v1/chat/completions", headers, body,
                    attempt * spread + prng_range(prng_next(&random), 0, spread - 10 * MS));
    }
    stage_run(&s);
    for (int i = 0; i < CALLS; i++) {
        visit_free(&visits[i]);
    }
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The journal's lines without what depends on the moment, sorted; malloc'd. */
static char *what_happened(size_t *lines) {
    static char *texts[CALLS + 100];
    size_t count = 0;
    struct buf all;
    for (char *at = s.journal.data; *at; at = strchr(at, '\n') + 1) {
        json_t *line = json_loadb(at, strcspn(at, "\n"), 0, NULL);
        assert_non_null(line);
        assert_true(count < CALLS + 100);
        static const char *const moments[] = {"time", "number", "seconds"};
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(json_object_del(line, moments[i]), 0);
        }
        texts[count++] = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
        json_decref(line);
    }
    qsort(texts, count, sizeof *texts, compare_texts);
    buf_init(&all, 16 << 20);
    buf_puts(&all, "");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&all, "%s\n", texts[i]);
        free(texts[i]);
    }
    *lines = count;
    return buf_take(&all);
}

static char *run_crowd(uint64_t order, int64_t spread) {
    size_t lines;
    crowd(order, spread);
    stage_wait(&s, 10 * MS);
    char *text = what_happened(&lines);
    assert_int_equal(lines, CALLS);
    return text;
}

static struct chaos_journal *read_journal(const char *text) {
    struct chaos_journal *j;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (chaos_journal_read("j", text, strlen(text), &j, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return j;
}

static void any_order_meets_the_same_faults(void **state) {
    (void)state;
    stage_begin(&s, FILE_);
    char *first = run_crowd(1, 300 * MS);
    stage_end(&s);
    /* All kinds have come, and not to all. */
    static const char *const wanted[] = {"overloaded", "cut", "reset", "error_event", "status"};
    for (size_t i = 0; i < 5; i++) {
        char text[40];
        snprintf(text, sizeof text, "\"fault\":\"%s\"", wanted[i]);
        assert_non_null(strstr(first, text));
    }
    assert_non_null(strstr(first, "\"fault\":null"));
    for (uint64_t order = 1; order < 6; order++) {
        stage_begin(&s, FILE_);
        char *again = run_crowd(order, (int64_t)(200 + 100 * order) * MS);
        assert_string_equal(again, first);
        free(again);
        stage_end(&s);
    }
    free(first);
}

static void another_seed_meets_others(void **state) {
    (void)state;
    stage_begin(&s, FILE_);
    char *first = run_crowd(1, 300 * MS);
    stage_end(&s);
    stage_begin(&s, FILE_);
    s.faults.seed = 12;
    char *other = run_crowd(1, 300 * MS);
    assert_string_not_equal(first, other);
    stage_end(&s);
    free(first);
    free(other);
}

static void a_journal_is_replayed(void **state) {
    (void)state;
    stage_begin(&s, FILE_);
    char *first = run_crowd(1, 300 * MS);
    struct chaos_journal *journal = read_journal(s.journal.data);
    assert_int_equal(chaos_journal_count(journal), CALLS);
    stage_end(&s);
    stage_replay(&s, journal);
    char *again = run_crowd(9, 500 * MS);
    assert_string_equal(again, first);
    assert_int_equal(chaos_llm_counts(s.llm)->unknown, 0);
    /* And so is the journal of the replay. */
    struct chaos_journal *second = read_journal(s.journal.data);
    stage_end(&s);
    stage_replay(&s, second);
    free(again);
    again = run_crowd(10, 400 * MS);
    assert_string_equal(again, first);
    stage_end(&s);
    free(again);
    free(first);
    chaos_journal_free(second);
    chaos_journal_free(journal);
}

static int ask_as(const char *key) {
    struct visit v;
    char headers[200];
    snprintf(headers, sizeof headers, "x-chaos-key: %s\r\n", key);
    visit(
        &v, &s, "/v1/messages", headers,
        "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    int status = v.status;
    visit_free(&v);
    return status;
}

/* A rule that looked at the time is replayed by attempts. */
static void an_outage_is_replayed_whatever_the_time(void **state) {
    (void)state;
    stage_begin(&s, "faults: [{fail: overloaded, from: 1m, for: 3m}]");
    assert_int_equal(ask_as("a"), 200);
    stage_wait(&s, HARDY_MINUTE);
    assert_int_equal(ask_as("a"), 529);
    stage_wait(&s, 2 * HARDY_MINUTE);
    assert_int_equal(ask_as("a"), 529);
    assert_int_equal(ask_as("b"), 529);
    stage_wait(&s, HARDY_MINUTE);
    assert_int_equal(ask_as("a"), 200);
    assert_int_equal(ask_as("b"), 200);
    struct chaos_journal *journal = read_journal(s.journal.data);
    stage_end(&s);
    stage_replay(&s, journal);
    static const struct {
        const char *key;
        int status;
    } calls[] = {{"b", 529}, {"a", 200}, {"a", 529}, {"a", 529}, {"b", 200}, {"a", 200}};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        assert_int_equal(ask_as(calls[i].key), calls[i].status);
    }
    assert_int_equal(chaos_llm_counts(s.llm)->unknown, 0);
    assert_int_equal(ask_as("a"), 200); /* a fifth, that never was */
    assert_int_equal(ask_as("c"), 200);
    assert_int_equal(chaos_llm_counts(s.llm)->unknown, 2);
    stage_end(&s);
    chaos_journal_free(journal);
}

/* --- keys ----------------------------------------------------------------------------------- */

static void expect_key(size_t line, const char *key, int attempt) {
    const char *at = s.journal.data;
    for (size_t i = 0; i < line; i++) {
        at = strchr(at, '\n') + 1;
    }
    json_t *j = json_loadb(at, strcspn(at, "\n"), 0, NULL);
    assert_non_null(j);
    if (*key == '#') {
        assert_true(str_starts(json_string_value(json_at(j, "key")), "#"));
        assert_int_equal(json_string_length(json_at(j, "key")), 17);
    } else {
        assert_json_text(j, "key", key);
    }
    assert_json_int(j, "attempt", attempt);
    json_decref(j);
}

static void keys_are_the_headers_or_the_bodys(void **state) {
    (void)state;
    struct visit v;
    static const char *const bodies[] = {"{\"model\":\"m\",\"messages\":[{}]}",
                                         "{\"model\":\"n\",\"messages\":[{}]}"};
    stage_begin(&s, "");
    visit(&v, &s, "/v1/chat/completions", "", bodies[0]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "", bodies[0]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "", bodies[1]);
    visit_free(&v);
    visit(&v, &s, "/other/chat/completions", "", bodies[0]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "x-chaos-key: mine\r\n", bodies[0]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "X-Chaos-Key: mine\r\n", bodies[1]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "x-chaos-key: \xc3\xa4\r\n", bodies[0]);
    visit_free(&v);
    visit(&v, &s, "/v1/chat/completions", "x-chaos-key: \r\n", bodies[0]);
    visit_free(&v);
    expect_key(0, "#", 1);
    expect_key(1, "#", 2);
    expect_key(2, "#", 1);
    expect_key(3, "#", 1);
    expect_key(4, "mine", 1);
    expect_key(5, "mine", 2);
    expect_key(6, "#", 1); /* not plain text */
    expect_key(7, "#", 3); /* empty: as if there were none */
    stage_end(&s);
}

/* --- the journal itself --------------------------------------------------------------------- */

static void a_line_tells_what_happened(void **state) {
    (void)state;
    struct visit v;
    stage_begin(&s, "words: 4\nfaults: [{fail: hang, first: 1, model: none}, {fail: cut, "
                    "after_events: 4, share: 1}]");
    visit(&v, &s, "/x/v1/messages?beta=true", "x-chaos-key: k\r\n",
          "{\"model\":\"big\",\"max_tokens\":1,\"stream\":true,\"messages\":[{\"role\":\"user\","
          "\"content\":\"my secret\"}]}");
    visit_free(&v);
    visit(&v, &s, "/v1/messages", "", "{\"secret\":");
    visit_free(&v);
    assert_null(strstr(s.journal.data, "secret"));
    assert_null(strstr(s.journal.data, "You said"));
    json_t *line = json_loadb(s.journal.data, strcspn(s.journal.data, "\n"), 0, NULL);
    assert_int_equal(json_object_size(line), 18);
    assert_int_equal(strlen(json_string_value(json_at(line, "time"))), 24);
    assert_json_int(line, "number", 1);
    assert_json_text(line, "key", "k");
    assert_json_int(line, "attempt", 1);
    assert_json_text(line, "method", "POST");
    assert_json_text(line, "path", "/x/v1/messages");
    assert_json_text(line, "model", "big");
    assert_true(json_is_true(json_at(line, "stream")));
    assert_json_int(line, "rule", 1);
    assert_json_text(line, "fault", "cut");
    assert_json_int(line, "with.after_events", 4);
    assert_json_int(line, "status", 200);
    assert_json_int(line, "events", 4);
    assert_json_text(line, "ended", "as_told");
    assert_true(json_real_value(json_at(line, "seconds")) == 0.07);
    assert_json_int(line, "words", 4);
    assert_json_text(line, "pace", "5ms");
    assert_json_text(line, "think", "50ms");
    json_decref(line);
    const char *second = strchr(s.journal.data, '\n') + 1;
    line = json_loadb(second, strcspn(second, "\n"), 0, NULL);
    assert_true(json_is_null(json_at(line, "key")) && json_is_null(json_at(line, "attempt")));
    assert_true(json_is_null(json_at(line, "rule")) && json_is_null(json_at(line, "fault")));
    assert_json_text(line, "ended", "refused");
    assert_json_int(line, "status", 400);
    json_decref(line);
    struct chaos_journal *journal = read_journal(s.journal.data);
    assert_int_equal(chaos_journal_count(journal), 1); /* the refused one was no attempt */
    chaos_journal_free(journal);
    stage_end(&s);
}

#define LINE(rest)                                                                                 \
    "{\"key\":\"k\",\"attempt\":1,\"words\":4,\"pace\":\"5ms\",\"think\":\"0s\"," rest "}\n"

static void expect_no_journal(const char *text, const char *where, const char *message) {
    struct chaos_journal *j;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(chaos_journal_read("j", text, strlen(text), &j, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.where, where);
    if (!strstr(error.message, message)) {
        fail_msg("%s", error.message);
    }
}

static void what_is_no_journal_is_refused(void **state) {
    (void)state;
    expect_no_journal(LINE("\"rule\":null,\"fault\":null") "nonsense\n", "j:2", "not JSON");
    expect_no_journal("{}\n", "j:1", "not a line that");
    expect_no_journal("{\"key\":\"k\",\"attempt\":0}\n", "j:1", "not a line that");
    expect_no_journal(LINE("\"rule\":0,\"fault\":\"cut\""), "j:1", "has its `rule` and `with`");
    expect_no_journal(LINE("\"rule\":0,\"fault\":\"cut\",\"with\":{\"fail\":\"cutt\"}"), "j:1",
                      "`with` is no rule");
    expect_no_journal(
        "{\"key\":\"k\",\"attempt\":1,\"words\":1,\"pace\":\"5ms\",\"think\":\"0s\"}\n", "j:1",
        "not a line that");
}

static void what_a_journal_knows_is_found(void **state) {
    (void)state;
    struct fault_decision d;
    struct chaos_journal *j =
        read_journal(LINE("\"rule\":7,\"fault\":\"cut\",\"with\":{\"fail\":\"cut\","
                          "\"after_events\":3,\"share\":0.1}")
                         LINE("\"rule\":null,\"fault\":null") "{\"key\":\"k\",\"attempt\":3,\"wor");
    assert_int_equal(chaos_journal_count(j), 2); /* the last line was not finished */
    assert_true(chaos_journal_find(j, "k", 1, &d));
    assert_int_equal(d.index, 7); /* the first of the two */
    assert_int_equal(d.rule->fail, FAULT_CUT);
    assert_int_equal(d.rule->after_events, 3);
    assert_string_equal(d.rule->text, "{\"fail\":\"cut\",\"after_events\":3,\"share\":0.1}");
    assert_int_equal(d.words, 4);
    assert_int_equal(d.pace, 5 * MS);
    assert_int_equal(d.think, 0);
    assert_false(chaos_journal_find(j, "k", 2, &d));
    assert_false(chaos_journal_find(j, "j", 1, &d));
    assert_false(chaos_journal_find(j, "l", 1, &d));
    chaos_journal_free(j);
    j = read_journal("");
    assert_int_equal(chaos_journal_count(j), 0);
    assert_false(chaos_journal_find(j, "k", 1, &d));
    chaos_journal_free(j);
}

/* A thousand agents at once, each with a stream. */
static void a_thousand_at_once(void **state) {
    (void)state;
    enum { MANY = 1000 };
    struct visit *visits = calloc(MANY, sizeof *visits);
    assert_non_null(visits);
    stage_begin(&s, "think: 1s\n");
    for (int i = 0; i < MANY; i++) {
        char body[200];
        snprintf(
            body, sizeof body,
            "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":\"user\","
            "\"content\":\"agent %d\"}]}",
            i);
        visit_begin(&visits[i], &s, "POST", "/v1/messages", "", body, i * 100 * HARDY_MICROSECOND);
    }
    stage_run(&s);
    assert_int_equal(chaos_llm_counts(s.llm)->most_open, MANY);
    assert_int_equal(chaos_llm_counts(s.llm)->complete, MANY);
    for (int i = 0; i < MANY; i++) {
        visit_parse(&visits[i]);
        assert_true(visits[i].whole);
        assert_non_null(strstr(visits[i].body.data, "END."));
        visit_free(&visits[i]);
    }
    free(visits);
    stage_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_meets_the_same_faults),
        cmocka_unit_test(another_seed_meets_others),
        cmocka_unit_test(a_journal_is_replayed),
        cmocka_unit_test(an_outage_is_replayed_whatever_the_time),
        cmocka_unit_test(keys_are_the_headers_or_the_bodys),
        cmocka_unit_test(a_line_tells_what_happened),
        cmocka_unit_test(what_is_no_journal_is_refused),
        cmocka_unit_test(what_a_journal_knows_is_found),
        cmocka_unit_test(a_thousand_at_once),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
