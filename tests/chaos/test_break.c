/* SPDX-License-Identifier: Apache-2.0 */
/* Each kind of fault as it reaches a client, at every event of every kind of answer. */
#include "base/str.h"
#include "support.h"

#define ASKED "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]"
#define MESSAGE "{\"max_tokens\":9," ASKED
#define CHATTED "{" ASKED
#define INPUT "{\"model\":\"m\",\"input\":\"Hello\""
#define MS HARDY_MILLISECOND

static const struct protocol {
    const char *path, *plain;
    const char *tool;    /* `tools`, to be put behind the first brace */
    const char *last;    /* how the data of the last event begins */
    const char *type;    /* where an error's type is */
    int overloaded;      /* the status of no capacity ... */
    const char *no_room; /* ... and the error's type */
    uint32_t lead, tail; /* events before and behind the content */
} protocols[] = {
    {"/v1/messages", MESSAGE, "\"tools\":[{\"name\":\"look\"}],", "{\"type\":\"message_stop\"}",
     "error.type", 529, "overloaded_error", 3, 3},
    {"/v1/chat/completions", CHATTED,
     "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"look\"}}],", "[DONE]",
     "error.type", 503, "server_error", 1, 2},
    {"/v1/responses", INPUT, "\"tools\":[{\"type\":\"function\",\"name\":\"look\"}],",
     "{\"type\":\"response.completed\"", "code", 503, "server_error", 4, 4},
};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

static struct stage s;
static struct visit v;

/* One answer of a server that has answered nothing before: so that all of them are alike. */
static void ask_new(const char *rules, const struct protocol *p, bool stream, bool tool) {
    char yaml[600], body[400];
    snprintf(yaml, sizeof yaml, "words: 3\nfaults: [%s]\n", rules);
    snprintf(body, sizeof body, "{%s%s%s}", tool ? p->tool : "", p->plain + 1,
             stream ? ",\"stream\":true" : "");
    stage_begin(&s, yaml);
    visit(&v, &s, p->path, "", body);
    stage_close(&s, HARDY_SECOND);
}

static void over(void) {
    visit_free(&v);
    stage_end(&s);
}

/* The first `count` events of a stream, as bytes. */
static size_t events_length(const char *body, size_t count) {
    const char *at = body;
    for (size_t i = 0; i < count; i++) {
        at = strstr(at, "\n\n");
        assert_non_null(at);
        at += 2;
    }
    return (size_t)(at - body);
}

static const char *event_data(const char *event) {
    const char *data = strstr(event, "data: ");
    assert_non_null(data);
    return data + 6;
}

/* What the journal's only line says of the end. */
static void expect_journal(const char *fault, int64_t events, const char *ended) {
    json_t *line = json_loads(s.journal.data, 0, NULL);
    assert_non_null(line);
    assert_json_text(line, "fault", fault);
    assert_json_int(line, "events", events);
    assert_json_text(line, "ended", ended);
    assert_json_int(line, "rule", 0);
    assert_json_int(line, "attempt", 1);
    json_decref(line);
}

/* --- in the middle of a stream -------------------------------------------------------------- */

struct whole { /* an answer without faults */
    char *body;
    size_t events;
    int64_t took;
};

static struct whole whole_of(const struct protocol *p, bool tool) {
    struct whole w = {0};
    ask_new("", p, true, tool);
    assert_true(v.whole);
    w.body = str_dup(v.body.data);
    w.took = v.ended;
    for (const char *at = w.body; (at = strstr(at, "\n\n")); at += 2) {
        w.events++;
    }
    const char *last = event_data(w.body + events_length(w.body, w.events - 1));
    assert_true(str_starts(last, p->last));
    over();
    return w;
}

typedef void (*look_at)(const struct protocol *p, const struct whole *w, size_t at, bool tool);

/* At every boundary of both kinds of answer of every protocol. */
static void everywhere(look_at look) {
    for (size_t i = 0; i < PROTOCOLS; i++) {
        for (int tool = 0; tool < 2; tool++) {
            struct whole w = whole_of(&protocols[i], tool);
            assert_true(w.events >= 6 - 2 * (i == 1));
            for (size_t at = 0; at < w.events; at++) {
                look(&protocols[i], &w, at, tool);
            }
            free(w.body);
        }
    }
}

/* What came is the beginning of the whole answer, `at` events long, and no byte more. */
static void expect_beginning(const struct protocol *p, const struct whole *w, size_t at) {
    assert_int_equal(v.status, 200);
    assert_int_equal(v.body.len, events_length(w->body, at));
    assert_memory_equal(v.body.data, w->body, v.body.len);
    assert_null(strstr(v.body.data, p->last));
}

static void ask_at(const char *fail, const struct protocol *p, size_t at, bool tool) {
    char rule[80];
    snprintf(rule, sizeof rule, "{fail: %s, after_events: %zu}", fail, at);
    ask_new(rule, p, true, tool);
}

static void look_at_cut(const struct protocol *p, const struct whole *w, size_t at, bool tool) {
    ask_at("cut", p, at, tool);
    expect_beginning(p, w, at);
    assert_true(v.whole); /* that is the trap: the framing is as it should be */
    assert_int_equal(v.reason, CLOSE_EOF);
    expect_journal("cut", (int64_t)at, "as_told");
    over();
}

static void look_at_truncated(const struct protocol *p, const struct whole *w, size_t at,
                              bool tool) {
    ask_at("truncated", p, at, tool);
    expect_beginning(p, w, at);
    assert_false(v.whole);
    assert_int_equal(v.reason, CLOSE_EOF);
    expect_journal("truncated", (int64_t)at, "as_told");
    over();
}

static void look_at_reset(const struct protocol *p, const struct whole *w, size_t at, bool tool) {
    ask_at("reset_after", p, at, tool);
    if (at > 0) { /* else it may overtake the head */
        expect_beginning(p, w, at);
    }
    assert_false(v.whole);
    assert_int_equal(v.reason, CLOSE_RESET);
    expect_journal("reset_after", (int64_t)at, "as_told");
    over();
}

static void look_at_error(const struct protocol *p, const struct whole *w, size_t at, bool tool) {
    ask_at("error_event", p, at, tool);
    size_t len = events_length(w->body, at);
    assert_int_equal(v.status, 200);
    assert_true(v.whole);
    assert_memory_equal(v.body.data, w->body, len);
    assert_int_equal(events_length(v.body.data + len, 1), v.body.len - len);
    struct events e;
    events_parse(&e, v.body.data + len);
    assert_json_text(e.items[0].json, p->type, p->no_room);
    if (p->overloaded == 529) {
        assert_string_equal(e.items[0].name, "error");
        assert_json_text(e.items[0].json, "type", "error");
        assert_json_text(e.items[0].json, "request_id", visit_header(&v, "request-id"));
    } else if (strstr(p->path, "responses")) {
        assert_string_equal(e.items[0].name, "error");
        assert_json_text(e.items[0].json, "type", "error");
        assert_json_int(e.items[0].json, "sequence_number", (int64_t)at);
    } else {
        assert_string_equal(e.items[0].name, "");
        assert_int_equal(json_object_size(e.items[0].json), 1);
    }
    events_free(&e);
    expect_journal("error_event", (int64_t)at + 1, "as_told");
    over();
}

static void look_at_malformed(const struct protocol *p, const struct whole *w, size_t at,
                              bool tool) {
    ask_at("malformed", p, at, tool);
    size_t before = events_length(w->body, at), behind = events_length(w->body, at + 1);
    size_t now = events_length(v.body.data, at + 1);
    assert_true(v.whole);
    assert_memory_equal(v.body.data, w->body, before);
    assert_string_equal(v.body.data + now, w->body + behind); /* the others as they should be */
    assert_true(now < behind);
    char *event = str_ndup(v.body.data + before, now - before - 2);
    const char *data = event_data(event);
    const char *unspoilt = event_data(w->body + before);
    assert_int_equal(strlen(data), strcspn(unspoilt, "\n") / 2);
    assert_null(json_loads(data, JSON_DECODE_ANY, NULL));
    assert_string_not_equal(data, "[DONE]");
    free(event);
    expect_journal("malformed", (int64_t)w->events, "as_told");
    over();
}

static void look_at_silence(const struct protocol *p, const struct whole *w, size_t at, bool tool) {
    char rule[80];
    snprintf(rule, sizeof rule, "{fail: silence, delay: 200s, after_events: %zu}", at);
    ask_new(rule, p, true, tool);
    assert_true(v.whole);
    assert_string_equal(v.body.data, w->body);
    int64_t before = at > 0 ? visit_event_at(&v, at - 1) : 53 * MS;
    assert_in_range(visit_event_at(&v, at) - before, 200 * HARDY_SECOND - 2 * MS,
                    200 * HARDY_SECOND + 2 * MS);
    if (at == 0) { /* the head has come before the silence */
        assert_in_range(v.marks[0].at, 50 * MS, 60 * MS);
    }
    if (at + 1 < w->events) {
        assert_in_range(visit_event_at(&v, w->events - 1) - visit_event_at(&v, at),
                        (int64_t)(w->events - 1 - at) * 5 * MS - MS,
                        (int64_t)(w->events - 1 - at) * 5 * MS + MS);
    }
    expect_journal("silence", (int64_t)w->events, "complete");
    over();
}

#define EVERYWHERE(name)                                                                           \
    static void name##_everywhere(void **state) {                                                  \
        (void)state;                                                                               \
        everywhere(look_at_##name);                                                                \
    }
EVERYWHERE(cut)
EVERYWHERE(truncated)
EVERYWHERE(reset)
EVERYWHERE(error)
EVERYWHERE(malformed)
EVERYWHERE(silence)

/* Told to come behind the end, a fault does not come. */
static void behind_the_end(void **state) {
    (void)state;
    for (size_t i = 0; i < PROTOCOLS; i++) {
        struct whole w = whole_of(&protocols[i], false);
        static const char *const kinds[] = {"cut",       "truncated", "reset_after",
                                            "malformed", "silence",   "error_event"};
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            ask_at(kinds[k], &protocols[i], w.events, false);
            assert_true(v.whole);
            assert_string_equal(v.body.data, w.body);
            expect_journal(kinds[k], (int64_t)w.events, "complete");
            over();
        }
        free(w.body);
    }
}

/* Without after_events, a fault comes before the first content. */
static void by_default_before_the_content(void **state) {
    (void)state;
    for (size_t i = 0; i < PROTOCOLS; i++) {
        struct whole w = whole_of(&protocols[i], false);
        ask_new("{fail: cut}", &protocols[i], true, false);
        expect_beginning(&protocols[i], &w, protocols[i].lead);
        assert_null(strstr(v.body.data, "You said"));
        over();
        assert_int_equal(w.events, protocols[i].lead + 3 + protocols[i].tail);
        free(w.body);
    }
}

static void slow_first_holds_only_the_content(void **state) {
    (void)state;
    for (size_t i = 0; i < PROTOCOLS; i++) {
        const struct protocol *p = &protocols[i];
        struct whole w = whole_of(p, false);
        ask_new("{fail: slow_first, delay: 100s}", p, true, false);
        assert_string_equal(v.body.data, w.body);
        assert_in_range(visit_event_at(&v, 0), 0, 5 * MS); /* at once, without thinking */
        assert_in_range(visit_event_at(&v, p->lead - 1), 0, 30 * MS);
        assert_in_range(visit_event_at(&v, p->lead) - visit_event_at(&v, p->lead - 1),
                        100 * HARDY_SECOND - 2 * MS, 100 * HARDY_SECOND + 2 * MS);
        expect_journal("slow_first", (int64_t)w.events, "complete");
        over();
        free(w.body);
        ask_new("{fail: slow_first, delay: 100s}", p, false, false);
        assert_true(v.whole);
        assert_in_range(v.ended, 100 * HARDY_SECOND, 100 * HARDY_SECOND + 10 * MS);
        over();
    }
}

/* --- documents ------------------------------------------------------------------------------ */

static void a_document_breaks_too(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        bool whole_length, framed; /* content-length is the document's; and is kept */
        enum close_reason reason;
    } cases[] = {{"{fail: malformed}", false, true, CLOSE_EOF},
                 {"{fail: cut}", false, true, CLOSE_EOF},
                 {"{fail: truncated}", true, false, CLOSE_EOF},
                 {"{fail: reset_after}", true, false, CLOSE_RESET}};
    for (size_t i = 0; i < PROTOCOLS; i++) {
        ask_new("", &protocols[i], false, false);
        char *whole = str_dup(v.body.data);
        int64_t length = v.length;
        over();
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            ask_new(cases[k].rule, &protocols[i], false, false);
            assert_int_equal(v.status, 200);
            assert_int_equal(v.length, cases[k].whole_length ? length : length / 2);
            assert_int_equal(v.whole, cases[k].framed);
            assert_int_equal(v.reason, cases[k].reason);
            assert_int_equal(v.body.len, (size_t)length / 2);
            assert_memory_equal(v.body.data, whole, v.body.len);
            assert_null(json_loads(v.body.data, 0, NULL));
            over();
        }
        ask_new("{fail: silence, delay: 100s}", &protocols[i], false, false);
        assert_true(v.whole);
        assert_string_equal(v.body.data, whole);
        assert_in_range(v.ended, 100 * HARDY_SECOND, 100 * HARDY_SECOND + 100 * MS);
        over();
        free(whole);
    }
}

/* --- instead of an answer ------------------------------------------------------------------- */

static json_t *ask_error(const char *rule, const struct protocol *p, bool stream, int status) {
    ask_new(rule, p, stream, false);
    assert_int_equal(v.status, status);
    assert_true(v.whole);
    assert_string_equal(visit_header(&v, "content-type"), "application/json");
    json_t *error = json_loads(v.body.data, 0, NULL);
    assert_non_null(error);
    return error;
}

static void overloaded_is_the_protocols_own(void **state) {
    (void)state;
    for (size_t i = 0; i < 2 * PROTOCOLS; i++) {
        const struct protocol *p = &protocols[i / 2];
        json_t *error = ask_error("{fail: overloaded}", p, i % 2, p->overloaded);
        assert_json_text(error, "error.type", p->no_room);
        assert_string_equal(visit_header(&v, "x-should-retry"), p->overloaded == 529 ? "true" : "");
        assert_string_equal(visit_header(&v, "retry-after"), "");
        assert_in_range(v.ended, 0, 10 * MS);
        json_decref(error);
        over();
        error = ask_error("{fail: error_event}", p, false, p->overloaded); /* no stream */
        assert_json_text(error, "error.type", p->no_room);
        json_decref(error);
        over();
    }
}

static void status_says_what_the_rule_says(void **state) {
    (void)state;
    static const char rule[] =
        "{fail: status, status: 429, error_type: rate_limit_error, error_code: "
        "enforced_spend_limit_reached, message: spent, retry_after: 2s, headers: "
        "{x-should-retry: \"false\", request-id: mine}}";
    json_t *error = ask_error(rule, &protocols[0], true, 429);
    assert_json_text(error, "error.type", "rate_limit_error");
    assert_json_text(error, "error.details.error_code", "enforced_spend_limit_reached");
    assert_json_text(error, "error.message", "spent");
    assert_string_equal(visit_header(&v, "retry-after"), "2");
    assert_string_equal(visit_header(&v, "retry-after-ms"), "");
    assert_string_equal(visit_header(&v, "x-should-retry"), "false");
    assert_string_equal(visit_header(&v, "request-id"), "mine"); /* in place of the usual one */
    json_decref(error);
    over();
    ask_new("{fail: status, status: 502, headers: {Content-Type: text/html}}", &protocols[0], true,
            false);
    assert_string_equal(visit_header(&v, "Content-Type"), "text/html");
    assert_string_equal(visit_header(&v, "content-type"), "");
    over();
    error = ask_error("{fail: status, status: 429, error_type: insufficient_quota, error_code: "
                      "insufficient_quota}",
                      &protocols[1], false, 429);
    assert_json_text(error, "error.type", "insufficient_quota");
    assert_json_text(error, "error.code", "insufficient_quota");
    json_decref(error);
    over();
}

static void each_status_has_its_type(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *anthropic, *openai;
    } types[] = {{400, "invalid_request_error", "invalid_request_error"},
                 {402, "billing_error", "invalid_request_error"},
                 {403, "permission_error", "invalid_request_error"},
                 {413, "request_too_large", "invalid_request_error"},
                 {418, "invalid_request_error", "invalid_request_error"},
                 {429, "rate_limit_error", "requests"},
                 {500, "api_error", "server_error"},
                 {504, "timeout_error", "server_error"},
                 {529, "overloaded_error", "server_error"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char rule[60];
        snprintf(rule, sizeof rule, "{fail: status, status: %d}", types[i].status);
        json_t *error = ask_error(rule, &protocols[0], false, types[i].status);
        assert_json_text(error, "error.type", types[i].anthropic);
        assert_null(json_at(error, "error.details"));
        json_decref(error);
        over();
        error = ask_error(rule, &protocols[2], false, types[i].status);
        assert_json_text(error, "error.type", types[i].openai);
        json_decref(error);
        over();
    }
}

static void a_rate_limit_is_in_every_header(void **state) {
    (void)state;
    json_t *error = ask_error("{fail: rate_limit, retry_after: 1500ms}", &protocols[0], true, 429);
    assert_json_text(error, "error.type", "rate_limit_error");
    assert_string_equal(visit_header(&v, "retry-after"), "2");
    assert_string_equal(visit_header(&v, "retry-after-ms"), "1500");
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-requests-remaining"), "0");
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-input-tokens-remaining"), "0");
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-output-tokens-remaining"), "0");
    json_decref(error);
    over();
    error = ask_error("{fail: rate_limit, retry_after: 6m}", &protocols[1], true, 429);
    assert_json_text(error, "error.code", "rate_limit_exceeded");
    assert_string_equal(visit_header(&v, "retry-after"), "360");
    assert_string_equal(visit_header(&v, "x-ratelimit-remaining-requests"), "0");
    assert_string_equal(visit_header(&v, "x-ratelimit-remaining-tokens"), "0");
    assert_string_equal(visit_header(&v, "x-ratelimit-reset-requests"), "6m0s");
    json_decref(error);
    over();
    error = ask_error("{fail: rate_limit, retry_after: 12ms}", &protocols[1], true, 429);
    assert_string_equal(visit_header(&v, "x-ratelimit-reset-requests"), "12ms");
    json_decref(error);
    over();
    error = ask_error("{fail: rate_limit}", &protocols[1], true, 429);
    assert_string_equal(visit_header(&v, "retry-after"), "5");
    assert_string_equal(visit_header(&v, "x-ratelimit-reset-tokens"), "5s");
    json_decref(error);
    over();
}

static void reset_and_hang_answer_nothing(void **state) {
    (void)state;
    ask_new("{fail: reset}", &protocols[0], true, false);
    assert_int_equal(v.got.len, 0);
    assert_int_equal(v.reason, CLOSE_RESET);
    assert_in_range(v.ended, 0, 10 * MS);
    expect_journal("reset", 0, "as_told");
    over();
    ask_new("{fail: hang}", &protocols[0], true, false);
    assert_int_equal(v.got.len, 0);
    assert_in_range(v.ended, HARDY_HOUR, HARDY_HOUR + HARDY_SECOND);
    over();
    ask_new("{fail: hang, delay: 7s}", &protocols[0], false, false);
    assert_int_equal(v.got.len, 0);
    assert_int_equal(v.reason, CLOSE_RESET);
    assert_in_range(v.ended, 7 * HARDY_SECOND, 7 * HARDY_SECOND + 10 * MS);
    over();
}

/* Rules are for every path of the APIs. */
static void other_paths_fail_too(void **state) {
    (void)state;
    stage_begin(&s, "faults: [{fail: overloaded, path: /models}, {fail: malformed, path: "
                    "/count_tokens}]");
    visit(&v, &s, "/v1/messages/count_tokens", "", MESSAGE "}");
    assert_string_equal(v.body.data, "{\"input_t");
    visit_free(&v);
    v = (struct visit){0};
    visit_begin(&v, &s, "GET", "/v1/models", "x-api-key: k\r\n", "", 0);
    stage_run(&s);
    visit_parse(&v);
    assert_int_equal(v.status, 529);
    over();
}

/* --- the two ends --------------------------------------------------------------------------- */

static void a_client_that_leaves_is_noticed(void **state) {
    (void)state;
    static const char *const rules[] = {"{fail: hang}", "{fail: silence, after_events: 2}",
                                        "{fail: slow_first}"};
    for (size_t i = 0; i < 3; i++) {
        char yaml[100];
        snprintf(yaml, sizeof yaml, "faults: [%s]", rules[i]);
        stage_begin(&s, yaml);
        v = (struct visit){.leave_in = 10 * HARDY_SECOND};
        visit_begin(&v, &s, "POST", "/v1/messages", "", MESSAGE ",\"stream\":true}", 0);
        stage_run(&s);
        stage_wait(&s, 10 * MS);
        assert_int_equal(chaos_llm_counts(s.llm)->client_left, 1);
        assert_int_equal(chaos_llm_counts(s.llm)->open, 0);
        json_t *line = json_loads(s.journal.data, 0, NULL);
        assert_json_text(line, "ended", "client_left");
        assert_true(json_real_value(json_at(line, "seconds")) > 9.9);
        assert_true(json_real_value(json_at(line, "seconds")) < 10.1);
        json_decref(line);
        over();
    }
}

/* 10,000 events are held back from who does not read them, and the server cuts it off at last. */
static void a_client_that_does_not_read(void **state) {
    (void)state;
    stage_begin(&s, "words: 10000\npace: 0s\n");
    v = (struct visit){.never_reads = true, .leave_in = HARDY_HOUR};
    visit_begin(&v, &s, "POST", "/v1/chat/completions", "", CHATTED ",\"stream\":true}", 0);
    stage_wait(&s, 5 * HARDY_SECOND);
    assert_int_equal(chaos_llm_counts(s.llm)->open, 1);
    stage_wait(&s, 40 * HARDY_SECOND);
    assert_int_equal(chaos_llm_counts(s.llm)->open, 0);
    assert_int_equal(chaos_llm_counts(s.llm)->client_left, 1);
    json_t *line = json_loads(s.journal.data, 0, NULL);
    assert_in_range(json_integer_value(json_at(line, "events")), 1000, 5000);
    json_decref(line);
    stage_run(&s);
    over();
}

/* What is short may end; what would last longer is ended at once; nothing outlasts the limit. */
static void closing_ends_everything(void **state) {
    (void)state;
    static struct visit stays[4];
    static const char *const models[] = {"hang", "silence", "paced", "short"};
    stage_begin(&s, "words: 100\nfaults: [{fail: hang, model: hang}, {fail: silence, model: "
                    "silence, after_events: 1, delay: 100s}]");
    for (size_t i = 0; i < 4; i++) {
        char body[200];
        snprintf(body, sizeof body,
                 "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                 "\"stream\":%s}",
                 models[i], i < 3 ? "true" : "false");
        stays[i] = (struct visit){0};
        visit_begin(&stays[i], &s, "POST", "/v1/chat/completions", "", body, i == 3 ? 60 * MS : 0);
    }
    stage_wait(&s, 100 * MS);
    int64_t now = loop_now(s.loop);
    stage_close(&s, 300 * MS);
    assert_in_range(loop_now(s.loop) - now, 300 * MS, 310 * MS);
    stage_run(&s);
    for (size_t i = 0; i < 4; i++) {
        visit_parse(&stays[i]);
        assert_int_equal(stays[i].whole, i == 3);
        /* At once, at the limit, when it was done. */
        int64_t wanted = i < 2 ? 100 * MS : i == 2 ? 400 * MS : 53 * MS;
        assert_in_range(stays[i].ended, wanted, wanted + 10 * MS);
        visit_free(&stays[i]);
    }
    assert_int_equal(s.counts.shut_down, 3);
    assert_int_equal(s.counts.complete, 1);
    assert_int_equal(s.counts.open, 0);
    assert_int_equal(s.counts.most_open, 4);
    assert_int_equal(s.counts.faults[FAULT_HANG], 1);
    assert_int_equal(s.counts.faults[FAULT_SILENCE], 1);
    stage_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_everywhere),
        cmocka_unit_test(truncated_everywhere),
        cmocka_unit_test(reset_everywhere),
        cmocka_unit_test(error_everywhere),
        cmocka_unit_test(malformed_everywhere),
        cmocka_unit_test(silence_everywhere),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(by_default_before_the_content),
        cmocka_unit_test(slow_first_holds_only_the_content),
        cmocka_unit_test(a_document_breaks_too),
        cmocka_unit_test(overloaded_is_the_protocols_own),
        cmocka_unit_test(status_says_what_the_rule_says),
        cmocka_unit_test(each_status_has_its_type),
        cmocka_unit_test(a_rate_limit_is_in_every_header),
        cmocka_unit_test(reset_and_hang_answer_nothing),
        cmocka_unit_test(other_paths_fail_too),
        cmocka_unit_test(a_client_that_leaves_is_noticed),
        cmocka_unit_test(a_client_that_does_not_read),
        cmocka_unit_test(closing_ends_everything),
    };
    return cmocka_run_group_tests_name("break", tests, NULL, NULL);
}
