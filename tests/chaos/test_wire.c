/* SPDX-License-Identifier: Apache-2.0 */
/* Every API as its clients see it: documents, streams, calls of tools, errors, headers. */
#include "base/str.h"
#include "chaos/answer.h"
#include "support.h"

#define MESSAGES "/v1/messages"
#define CHAT "/v1/chat/completions"
#define RESPONSES "/v1/responses"
#define ASKED "\"messages\":[{\"role\":\"user\",\"content\":\"Hello, you\"}]"
#define MESSAGE "{\"model\":\"claude-x\",\"max_tokens\":100," ASKED
#define CHATTED "{\"model\":\"gpt-x\"," ASKED
#define INPUT "{\"model\":\"gpt-x\",\"input\":\"Hello, you\""
#define TOOL "\"name\":\"look\",\"description\":\"d\","
#define SCHEMA                                                                                     \
    "{\"type\":\"object\",\"required\":[\"query\"],\"properties\":{\"query\":{\"type\":"           \
    "\"string\"}}}"
#define MESSAGE_TOOL ",\"tools\":[{" TOOL "\"input_schema\":" SCHEMA "}]"
#define CHAT_TOOL                                                                                  \
    ",\"tools\":[{\"type\":\"function\",\"function\":{" TOOL "\"parameters\":" SCHEMA "}}]"
#define INPUT_TOOL ",\"tools\":[{\"type\":\"function\"," TOOL "\"parameters\":" SCHEMA "}]"
#define STREAM ",\"stream\":true}"
#define ARGUMENTS "{\"query\":\"x\"}"

#define FILE_ "words: 5\npace: 5ms\nthink: 50ms\n"

static struct stage s;
static struct visit v;
static struct events e;
static json_t *doc;
static char answer[200];

static int setup(void **state) {
    struct buf text;
    (void)state;
    buf_init(&text, sizeof answer);
    assert_true(chaos_answer("Hello, you", 10, 5, &text));
    str_copy(answer, sizeof answer, text.data);
    buf_free(&text);
    stage_begin(&s, FILE_);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    stage_end(&s);
    return 0;
}

static void ask(const char *path, const char *headers, const char *body) {
    visit(&v, &s, path, headers, body);
    assert_true(v.whole);
    assert_int_equal(v.reason, CLOSE_EOF);
}

static void ask_document(const char *path, const char *body) {
    ask(path, "", body);
    assert_int_equal(v.status, 200);
    assert_string_equal(visit_header(&v, "content-type"), "application/json");
    doc = json_loads(v.body.data, 0, NULL);
    assert_non_null(doc);
}

static void ask_stream(const char *path, const char *body) {
    ask(path, "", body);
    assert_int_equal(v.status, 200);
    assert_string_equal(visit_header(&v, "content-type"), "text/event-stream; charset=utf-8");
    events_parse(&e, v.body.data);
}

static void over(void) {
    json_decref(doc);
    doc = NULL;
    if (e.items) {
        events_free(&e);
        e = (struct events){0};
    }
    visit_free(&v);
}

/* The names, or with `path` what lies there in each event, in runs: "a b*3 c". */
static void expect_sequence(const char *path, const char *wanted) {
    struct buf got;
    buf_init(&got, 4096);
    for (size_t i = 0, run; i < e.count; i += run) {
        const char *name =
            path ? json_string_value(json_at(e.items[i].json, path)) : e.items[i].name;
        for (run = 1; i + run < e.count; run++) {
            const char *next = path ? json_string_value(json_at(e.items[i + run].json, path))
                                    : e.items[i + run].name;
            if (!str_eq(name, next)) {
                break;
            }
        }
        buf_printf(&got, "%s%s", i > 0 ? " " : "", name ? name : "-");
        if (run > 1) {
            buf_printf(&got, "*%zu", run);
        }
    }
    assert_string_equal(got.data, wanted);
    buf_free(&got);
}

/* The texts at `path` of all events, put together. */
static void expect_together(const char *path, const char *wanted) {
    struct buf got;
    buf_init(&got, 4096);
    buf_puts(&got, "");
    for (size_t i = 0; i < e.count; i++) {
        const char *text = json_string_value(json_at(e.items[i].json, path));
        buf_puts(&got, text ? text : "");
    }
    assert_string_equal(got.data, wanted);
    buf_free(&got);
}

/* --- Anthropic ------------------------------------------------------------------------------ */

static void messages_document(void **state) {
    (void)state;
    ask_document(MESSAGES, MESSAGE "}");
    assert_json_text(doc, "type", "message");
    assert_json_text(doc, "role", "assistant");
    assert_json_text(doc, "model", "claude-x");
    assert_true(str_starts(json_string_value(json_at(doc, "id")), "msg_"));
    assert_int_equal(json_array_size(json_at(doc, "content")), 1);
    assert_json_text(doc, "content.0.type", "text");
    assert_json_text(doc, "content.0.text", answer);
    assert_json_text(doc, "stop_reason", "end_turn");
    assert_true(json_is_null(json_at(doc, "stop_sequence")));
    assert_json_int(doc, "usage.output_tokens", 5);
    assert_json_int(doc, "usage.input_tokens", (int)strlen(MESSAGE "}") / 4 + 1);
    over();
}

static void messages_stream(void **state) {
    (void)state;
    ask_stream("/proxied" MESSAGES, MESSAGE STREAM);
    static const char names[] = "message_start content_block_start ping content_block_delta*5 "
                                "content_block_stop message_delta message_stop";
    expect_sequence(NULL, names);
    expect_sequence("type", names);
    json_t *start = e.items[0].json, *delta = e.items[9].json;
    assert_json_text(start, "message.role", "assistant");
    assert_int_equal(json_array_size(json_at(start, "message.content")), 0);
    assert_true(json_is_array(json_at(start, "message.content")));
    assert_true(json_is_null(json_at(start, "message.stop_reason")));
    assert_true(json_integer_value(json_at(start, "message.usage.input_tokens")) > 0);
    assert_json_int(start, "message.usage.output_tokens", 1);
    assert_json_text(e.items[1].json, "content_block.type", "text");
    assert_json_text(e.items[1].json, "content_block.text", "");
    assert_json_int(e.items[1].json, "index", 0);
    assert_json_text(e.items[3].json, "delta.type", "text_delta");
    expect_together("delta.text", answer);
    assert_json_text(delta, "delta.stop_reason", "end_turn");
    assert_json_int(delta, "usage.output_tokens", 5);
    assert_int_equal(json_integer_value(json_at(delta, "usage.input_tokens")),
                     json_integer_value(json_at(start, "message.usage.input_tokens")));
    assert_string_equal(visit_header(&v, "cache-control"), "no-cache");
    over();
}

static void messages_tool(void **state) {
    (void)state;
    ask_document(MESSAGES, MESSAGE MESSAGE_TOOL "}");
    assert_json_text(doc, "content.0.type", "tool_use");
    assert_json_text(doc, "content.0.name", "look");
    assert_json_text(doc, "content.0.input.query", "x");
    assert_true(str_starts(json_string_value(json_at(doc, "content.0.id")), "toolu_"));
    assert_json_text(doc, "stop_reason", "tool_use");
    over();
    ask_stream(MESSAGES, MESSAGE MESSAGE_TOOL STREAM);
    expect_sequence(NULL, "message_start content_block_start ping content_block_delta*3 "
                          "content_block_stop message_delta message_stop");
    assert_json_text(e.items[1].json, "content_block.type", "tool_use");
    assert_json_text(e.items[1].json, "content_block.name", "look");
    assert_int_equal(json_object_size(json_at(e.items[1].json, "content_block.input")), 0);
    assert_json_text(e.items[3].json, "delta.type", "input_json_delta");
    assert_json_text(e.items[3].json, "delta.partial_json", "");
    expect_together("delta.partial_json", ARGUMENTS);
    assert_json_text(e.items[7].json, "delta.stop_reason", "tool_use");
    over();
    ask_document(MESSAGES,
                 "{\"model\":\"m\",\"max_tokens\":1" MESSAGE_TOOL
                 ",\"messages\":[{\"role\":\"user\",\"content\":\"Hello, you\"},{\"role\":"
                 "\"assistant\",\"content\":[{\"type\":\"tool_use\"}]},{\"role\":\"user\","
                 "\"content\":[{\"type\":\"tool_result\",\"content\":\"r\"}]}]}");
    assert_json_text(doc, "content.0.text", answer);
    over();
}

static void tokens_and_models(void **state) {
    (void)state;
    ask_document(MESSAGES "/count_tokens", "{\"model\":\"m\"," ASKED "}");
    assert_int_equal(json_object_size(doc), 1);
    assert_json_int(doc, "input_tokens", (int)strlen("{\"model\":\"m\"," ASKED "}") / 4 + 1);
    over();
    static const char *const headers[] = {"anthropic-version: 2023-06-01\r\n", "x-api-key: k\r\n",
                                          "Authorization: Bearer k\r\n"};
    for (size_t i = 0; i < 3; i++) {
        v = (struct visit){0};
        visit_begin(&v, &s, "GET", "/v1/models", headers[i], "", 0);
        stage_run(&s);
        visit_parse(&v);
        assert_int_equal(v.status, 200);
        doc = json_loads(v.body.data, 0, NULL);
        if (i < 2) {
            assert_json_text(doc, "data.0.type", "model");
            assert_true(json_is_false(json_at(doc, "has_more")));
            assert_true(*visit_header(&v, "request-id") != '\0');
        } else {
            assert_json_text(doc, "object", "list");
            assert_json_text(doc, "data.0.object", "model");
            assert_true(*visit_header(&v, "x-request-id") != '\0');
        }
        over();
    }
}

static void headers_of_anthropic(void **state) {
    (void)state;
    static const char *const kinds[] = {"requests", "tokens", "input-tokens", "output-tokens"};
    ask(MESSAGES, "", MESSAGE "}");
    assert_true(str_starts(visit_header(&v, "request-id"), "req_"));
    assert_int_equal(strlen(visit_header(&v, "anthropic-organization-id")), 36);
    for (size_t i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "anthropic-ratelimit-%s-reset", kinds[i]);
        const char *reset = visit_header(&v, name); /* 2026-01-01T00:00:00Z */
        assert_int_equal(strlen(reset), 20);
        assert_true(reset[10] == 'T' && reset[19] == 'Z');
        snprintf(name, sizeof name, "anthropic-ratelimit-%s-limit", kinds[i]);
        long long limit = strtoll(visit_header(&v, name), NULL, 10);
        snprintf(name, sizeof name, "anthropic-ratelimit-%s-remaining", kinds[i]);
        long long left = strtoll(visit_header(&v, name), NULL, 10);
        assert_true(left > 0 && left < limit);
    }
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-requests-remaining"), "999999");
    over();
    ask(MESSAGES, "", MESSAGE "}");
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-requests-remaining"), "999998");
    over();
    stage_wait(&s, HARDY_MINUTE);
    ask(MESSAGES, "", MESSAGE "}");
    assert_string_equal(visit_header(&v, "anthropic-ratelimit-requests-remaining"), "999999");
    over();
}

/* --- OpenAI --------------------------------------------------------------------------------- */

static void chat_document(void **state) {
    (void)state;
    ask_document("/chat/completions", CHATTED "}");
    assert_true(str_starts(json_string_value(json_at(doc, "id")), "chatcmpl-"));
    assert_json_text(doc, "object", "chat.completion");
    assert_json_text(doc, "model", "gpt-x");
    assert_true(json_integer_value(json_at(doc, "created")) > 1700000000);
    assert_json_text(doc, "choices.0.message.role", "assistant");
    assert_json_text(doc, "choices.0.message.content", answer);
    assert_json_text(doc, "choices.0.finish_reason", "stop");
    assert_json_int(doc, "usage.completion_tokens", 5);
    assert_int_equal(json_integer_value(json_at(doc, "usage.total_tokens")),
                     json_integer_value(json_at(doc, "usage.prompt_tokens")) + 5);
    over();
}

static void chat_stream(void **state) {
    (void)state;
    ask_stream(CHAT, CHATTED STREAM);
    assert_int_equal(e.count, 1 + 5 + 2);
    expect_sequence(NULL, "*8");
    expect_sequence("object", "chat.completion.chunk*7 -");
    assert_json_text(e.items[0].json, "choices.0.delta.role", "assistant");
    expect_together("choices.0.delta.content", answer);
    for (size_t i = 0; i < 6; i++) {
        assert_true(json_is_null(json_at(e.items[i].json, "choices.0.finish_reason")));
        assert_null(json_at(e.items[i].json, "usage"));
    }
    assert_json_text(e.items[6].json, "choices.0.finish_reason", "stop");
    assert_int_equal(json_object_size(json_at(e.items[6].json, "choices.0.delta")), 0);
    assert_string_equal(e.items[7].data, "[DONE]");
    over();
}

static void chat_stream_with_usage(void **state) {
    (void)state;
    ask_stream(CHAT, CHATTED ",\"stream_options\":{\"include_usage\":true}" STREAM);
    assert_int_equal(e.count, 1 + 5 + 3);
    for (size_t i = 0; i < 7; i++) {
        assert_true(json_is_null(json_at(e.items[i].json, "usage")));
    }
    assert_json_text(e.items[6].json, "choices.0.finish_reason", "stop");
    assert_true(json_is_array(json_at(e.items[7].json, "choices")));
    assert_int_equal(json_array_size(json_at(e.items[7].json, "choices")), 0);
    assert_json_int(e.items[7].json, "usage.completion_tokens", 5);
    assert_string_equal(e.items[8].data, "[DONE]");
    over();
}

static void chat_tool(void **state) {
    (void)state;
    ask_document(CHAT, CHATTED CHAT_TOOL "}");
    assert_true(json_is_null(json_at(doc, "choices.0.message.content")));
    assert_json_text(doc, "choices.0.message.tool_calls.0.type", "function");
    assert_json_text(doc, "choices.0.message.tool_calls.0.function.name", "look");
    assert_json_text(doc, "choices.0.message.tool_calls.0.function.arguments", ARGUMENTS);
    assert_json_text(doc, "choices.0.finish_reason", "tool_calls");
    over();
    ask_stream(CHAT, CHATTED CHAT_TOOL STREAM);
    assert_json_text(e.items[0].json, "choices.0.delta.tool_calls.0.function.name", "look");
    assert_true(str_starts(
        json_string_value(json_at(e.items[0].json, "choices.0.delta.tool_calls.0.id")), "call_"));
    assert_json_int(e.items[1].json, "choices.0.delta.tool_calls.0.index", 0);
    expect_together("choices.0.delta.tool_calls.0.function.arguments", ARGUMENTS);
    assert_json_text(e.items[e.count - 2].json, "choices.0.finish_reason", "tool_calls");
    assert_string_equal(e.items[e.count - 1].data, "[DONE]");
    over();
}

static void responses_document(void **state) {
    (void)state;
    ask_document(RESPONSES, INPUT "}");
    assert_true(str_starts(json_string_value(json_at(doc, "id")), "resp_"));
    assert_json_text(doc, "object", "response");
    assert_json_text(doc, "status", "completed");
    assert_json_text(doc, "output.0.type", "message");
    assert_json_text(doc, "output.0.content.0.type", "output_text");
    assert_json_text(doc, "output.0.content.0.text", answer);
    assert_json_int(doc, "usage.output_tokens", 5);
    over();
}

/* Numbered from 0 without a hole, each named as its type says. */
static void expect_numbered(void) {
    for (size_t i = 0; i < e.count; i++) {
        assert_json_int(e.items[i].json, "sequence_number", (int)i);
        assert_json_text(e.items[i].json, "type", e.items[i].name);
    }
}

static void responses_stream(void **state) {
    (void)state;
    ask_stream(RESPONSES, INPUT STREAM);
    expect_sequence(NULL, "response.created response.in_progress response.output_item.added "
                          "response.content_part.added response.output_text.delta*5 "
                          "response.output_text.done response.content_part.done "
                          "response.output_item.done response.completed");
    expect_numbered();
    assert_json_text(e.items[0].json, "response.status", "in_progress");
    assert_true(json_is_null(json_at(e.items[0].json, "response.usage")));
    assert_json_text(e.items[3].json, "part.text", "");
    expect_together("delta", answer);
    assert_json_text(e.items[9].json, "text", answer);
    assert_json_text(e.items[10].json, "part.text", answer);
    assert_json_text(e.items[11].json, "item.content.0.text", answer);
    json_t *last = e.items[12].json;
    assert_json_text(last, "response.status", "completed");
    assert_json_text(last, "response.output.0.content.0.text", answer);
    assert_json_int(last, "response.usage.output_tokens", 5);
    assert_json_text(last, "response.output.0.id",
                     json_string_value(json_at(e.items[5].json, "item_id")));
    over();
}

static void responses_tool(void **state) {
    (void)state;
    ask_document(RESPONSES, INPUT INPUT_TOOL "}");
    assert_json_text(doc, "output.0.type", "function_call");
    assert_json_text(doc, "output.0.name", "look");
    assert_json_text(doc, "output.0.arguments", ARGUMENTS);
    assert_true(str_starts(json_string_value(json_at(doc, "output.0.call_id")), "call_"));
    over();
    ask_stream(RESPONSES, INPUT INPUT_TOOL STREAM);
    expect_sequence(NULL, "response.created response.in_progress response.output_item.added "
                          "response.function_call_arguments.delta*2 "
                          "response.function_call_arguments.done response.output_item.done "
                          "response.completed");
    expect_numbered();
    assert_json_text(e.items[2].json, "item.arguments", "");
    expect_together("delta", ARGUMENTS);
    assert_json_text(e.items[6].json, "item.arguments", ARGUMENTS);
    assert_json_text(e.items[7].json, "response.output.0.arguments", ARGUMENTS);
    over();
}

static void headers_of_openai(void **state) {
    (void)state;
    ask(CHAT, "", CHATTED "}");
    assert_true(str_starts(visit_header(&v, "x-request-id"), "req_"));
    assert_string_equal(visit_header(&v, "openai-processing-ms"), "50");
    assert_string_equal(visit_header(&v, "x-ratelimit-remaining-requests"), "999999");
    assert_true(strtoll(visit_header(&v, "x-ratelimit-remaining-tokens"), NULL, 10) <
                strtoll(visit_header(&v, "x-ratelimit-limit-tokens"), NULL, 10));
    /* A duration, of at most a minute: "1m0s", "59s", "12ms". */
    const char *reset = visit_header(&v, "x-ratelimit-reset-tokens");
    assert_true(strspn(reset, "0123456789ms") == strlen(reset));
    assert_int_equal(reset[strlen(reset) - 1], 's');
    assert_string_equal(visit_header(&v, "x-ratelimit-reset-requests"), reset);
    over();
}

/* --- refusals ------------------------------------------------------------------------------- */

static void expect_error(const char *path, const char *headers, const char *body, int status,
                         const char *type, const char *code) {
    ask(path, headers, body);
    assert_int_equal(v.status, status);
    doc = json_loads(v.body.data, 0, NULL);
    assert_json_text(doc, "error.type", type);
    assert_true(json_string_length(json_at(doc, "error.message")) > 0);
    if (*visit_header(&v, "request-id")) { /* Anthropic */
        assert_json_text(doc, "type", "error");
        assert_json_text(doc, "request_id", visit_header(&v, "request-id"));
    } else {
        assert_true(*visit_header(&v, "x-request-id") != '\0');
        assert_null(json_at(doc, "type"));
        assert_non_null(json_at(doc, "error.param"));
        if (code) {
            assert_json_text(doc, "error.code", code);
        } else {
            assert_true(json_is_null(json_at(doc, "error.code")));
        }
    }
}

static void bad_requests_are_refused_in_the_apis_own_shape(void **state) {
    (void)state;
    expect_error(MESSAGES, "", "{", 400, "invalid_request_error", NULL);
    over();
    expect_error(MESSAGES, "", "{\"model\":\"m\"," ASKED STREAM, 400, "invalid_request_error",
                 NULL);
    assert_json_text(doc, "error.message", "max_tokens: field required");
    over();
    expect_error(CHAT, "", "nonsense", 400, "invalid_request_error", NULL);
    assert_true(json_is_null(json_at(doc, "error.param")));
    over();
    expect_error(CHAT, "", "{\"model\":\"m\"}", 400, "invalid_request_error",
                 "missing_required_parameter");
    assert_json_text(doc, "error.param", "messages");
    over();
    expect_error(RESPONSES, "", "{}", 400, "invalid_request_error", "missing_required_parameter");
    over();
    expect_error("/v1/nothing", "", "{}", 404, "invalid_request_error", NULL);
    over();
    expect_error("/v1/nothing", "anthropic-version: 2023-06-01\r\n", "{}", 404, "not_found_error",
                 NULL);
    over();
    expect_error("/v1/models", "", "{}", 405, "invalid_request_error", NULL);
    over();
    assert_int_equal(chaos_llm_counts(s.llm)->refused, 8);
    assert_int_equal(chaos_llm_counts(s.llm)->requests, 8);
}

static void need_key(struct chaos_llm_options *o) {
    o->require_key = "sesame";
}

static void a_key_may_be_required(void **state) {
    (void)state;
    stage_end(&s);
    stage_open(&s, FILE_, NULL, need_key);
    expect_error(MESSAGES, "", MESSAGE "}", 401, "authentication_error", NULL);
    over();
    expect_error(MESSAGES, "x-api-key: wrong\r\n", MESSAGE "}", 401, "authentication_error", NULL);
    over();
    expect_error(CHAT, "Authorization: Basic sesame\r\n", CHATTED "}", 401, "invalid_request_error",
                 "invalid_api_key");
    over();
    static const char *const good[] = {"x-api-key: sesame\r\n", "Authorization: Bearer sesame\r\n",
                                       "authorization: bearer sesame\r\n"};
    for (size_t i = 0; i < 3; i++) {
        ask(i == 0 ? MESSAGES : CHAT, good[i], i == 0 ? MESSAGE "}" : CHATTED "}");
        assert_int_equal(v.status, 200);
        over();
    }
}

static void somebody_is_at_home(void **state) {
    (void)state;
    static const char *const methods[] = {"GET", "HEAD"};
    for (size_t i = 0; i < 2; i++) {
        v = (struct visit){0};
        visit_begin(&v, &s, methods[i], "/", "", "", 0);
        stage_run(&s);
        visit_parse(&v);
        assert_int_equal(v.status, 200);
        over();
    }
}

/* A page elsewhere cannot make a browser ask here. */
static void a_foreign_host_is_refused(void **state) {
    (void)state;
    v = (struct visit){0};
    visit_begin(&v, &s, "POST", MESSAGES, "", MESSAGE "}", 0);
    memcpy(strstr(v.request, "localhost"), "evil.test", 9);
    stage_run(&s);
    visit_parse(&v);
    assert_int_equal(v.status, 421);
    over();
}

/* --- time ----------------------------------------------------------------------------------- */

/* 2 ms there, for the connection and the request, and 1 ms back. */
static void thinks_then_keeps_its_pace(void **state) {
    (void)state;
    ask_stream(MESSAGES, MESSAGE STREAM);
    for (size_t i = 0; i < e.count; i++) {
        int64_t wanted = (50 + 5 * (int64_t)i + 3) * HARDY_MILLISECOND;
        assert_in_range(visit_event_at(&v, i), wanted, wanted + HARDY_MILLISECOND);
    }
    over();
    ask_document(MESSAGES, MESSAGE "}");
    assert_in_range(v.ended, 53 * HARDY_MILLISECOND, 55 * HARDY_MILLISECOND);
    over();
}

/* Events that follow at once still are events of their own. */
static void no_pace_at_all(void **state) {
    (void)state;
    stage_end(&s);
    stage_begin(&s, "words: 1000\npace: 0s\nthink: 0s\n");
    ask_stream(CHAT, CHATTED STREAM);
    assert_int_equal(e.count, 1003);
    assert_in_range(v.ended, 0, 20 * HARDY_MILLISECOND);
    over();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(messages_document),
        TEST(messages_stream),
        TEST(messages_tool),
        TEST(tokens_and_models),
        TEST(headers_of_anthropic),
        TEST(chat_document),
        TEST(chat_stream),
        TEST(chat_stream_with_usage),
        TEST(chat_tool),
        TEST(responses_document),
        TEST(responses_stream),
        TEST(responses_tool),
        TEST(headers_of_openai),
        TEST(bad_requests_are_refused_in_the_apis_own_shape),
        TEST(a_key_may_be_required),
        TEST(somebody_is_at_home),
        TEST(a_foreign_host_is_refused),
        TEST(thinks_then_keeps_its_pace),
        TEST(no_pace_at_all),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
