/* SPDX-License-Identifier: Apache-2.0 */
/* What is read out of a request, and what is said in answer to it. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "chaos/ask.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ask taken(enum ask_shape shape, const char *body) {
    struct ask a;
    struct ask_refusal why = {0};
    if (ask_read(shape, body, strlen(body), &a, &why) != ASK_TAKEN) {
        fail_msg("%s: %s", body, why.message);
    }
    return a;
}

static void expect_refused(enum ask_shape shape, const char *body, const char *param, bool missing,
                           const char *message) {
    struct ask a;
    struct ask_refusal why = {0};
    assert_int_equal(ask_read(shape, body, strlen(body), &a, &why), ASK_REFUSED);
    if (param) {
        assert_string_equal(why.param, param);
    } else {
        assert_null(why.param);
    }
    assert_int_equal(why.missing, missing);
    if (!str_starts(why.message, message)) {
        fail_msg("%s: %s", body, why.message);
    }
    ask_free(&a);
}

static void answer_of(const char *message, uint32_t words, char *out, size_t size) {
    struct buf text;
    buf_init(&text, 1 << 20);
    assert_true(chaos_answer(message, strlen(message), words, &text));
    assert_true(str_copy(out, size, text.data));
    buf_free(&text);
}

/* The request's answer is that of this message. */
static void expect_said(enum ask_shape shape, const char *body, const char *message) {
    struct ask a = taken(shape, body);
    struct pieces p;
    char wanted[1024];
    answer_of(message, 9, wanted, sizeof wanted);
    assert_true(pieces_answer(&p, &a.said, 9));
    assert_string_equal(p.text.data, wanted);
    pieces_free(&p);
    ask_free(&a);
}

/* --- answers -------------------------------------------------------------------------------- */

static void an_answer_quotes_and_ends(void **state) {
    (void)state;
    char text[1024];
    answer_of("Hello", 2, text, sizeof text);
    assert_string_equal(text, "You said \"Hello\". END.");
    answer_of("123456789012345678901234", 2, text, sizeof text);
    assert_string_equal(text, "You said \"12345678901234567890\". END.");
    answer_of("", 2, text, sizeof text);
    assert_string_equal(text, "You said \"\". END.");
    answer_of("Hello", 40, text, sizeof text);
    size_t spaces = 0;
    for (const char *c = text; *c; c++) {
        spaces += *c == ' ';
    }
    assert_int_equal(spaces, 2 + 39); /* "You said", and behind each piece but the last */
    assert_string_equal(text + strlen(text) - 5, " END.");
}

static void characters_are_not_cut(void **state) {
    (void)state;
    char text[1024];
    answer_of("\xc3\xa4\xc3\xb6\xc3\xbc 8901234567890123\xe2\x82\xac\xf0\x9f\x98\x80", 2, text,
              sizeof text);
    assert_string_equal(text, "You said \"\xc3\xa4\xc3\xb6\xc3\xbc 8901234567890123\". END.");
    answer_of("\xe2\x82\xac\xf0\x9f\x98\x80", 2, text, sizeof text);
    assert_string_equal(text, "You said \"\xe2\x82\xac\xf0\x9f\x98\x80\". END.");
    answer_of("a\xff\xc3", 2, text, sizeof text);
    assert_string_equal(text, "You said \"a\". END.");
}

static void messages_have_answers_of_their_own(void **state) {
    (void)state;
    enum { MANY = 500 };
    static char texts[MANY][400];
    for (int i = 0; i < MANY; i++) {
        char message[80];
        snprintf(message, sizeof message, "the first twenty characters are the same %d", i);
        answer_of(message, 40, texts[i], sizeof texts[i]);
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(texts[i], texts[k]);
        }
    }
}

static void pieces_put_together_are_the_text(void **state) {
    (void)state;
    const char *json = "{\"gr\xc3\xb6\xc3\x9f"
                       "e\":\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\",\"b\":1}";
    for (int empty = 0; empty < 2; empty++) {
        struct pieces p;
        struct buf all;
        buf_init(&all, 1000);
        assert_true(pieces_split(&p, json, strlen(json), empty));
        assert_true(p.count > 2);
        for (uint32_t i = 0; i < p.count; i++) {
            size_t len;
            const char *piece = pieces_at(&p, i, &len);
            assert_true(str_valid_utf8(piece, len));
            assert_true(empty && i == 0 ? len == 0 : len > 0);
            buf_append(&all, piece, len);
        }
        assert_string_equal(all.data, json);
        buf_free(&all);
        pieces_free(&p);
    }
}

/* --- requests ------------------------------------------------------------------------------- */

static void what_a_request_must_have(void **state) {
    (void)state;
    static const struct {
        enum ask_shape shape;
        const char *body, *param;
        bool missing;
        const char *message;
    } cases[] = {
        {ASK_MESSAGES, "", NULL, false, "the body is not valid JSON: line 1, column 0"},
        {ASK_MESSAGES, "{\"model\":\"m\",", NULL, false, "the body is not valid JSON"},
        {ASK_CHAT, "[1]", NULL, false, "the body is not a JSON object"},
        {ASK_MESSAGES, "{}", "model", true, "model: field required"},
        {ASK_CHAT, "{\"model\":\"\",\"messages\":[{}]}", "model", false, "model: expected"},
        {ASK_CHAT, "{\"model\":1,\"messages\":[{}]}", "model", false, "model: expected"},
        {ASK_MESSAGES, "{\"model\":\"m\",\"messages\":[{}]}", "max_tokens", true,
         "max_tokens: field required"},
        {ASK_MESSAGES, "{\"model\":\"m\",\"max_tokens\":0,\"messages\":[{}]}", "max_tokens", false,
         "max_tokens: expected"},
        {ASK_MESSAGES, "{\"model\":\"m\",\"max_tokens\":1}", "messages", true,
         "messages: field required"},
        {ASK_COUNT, "{\"model\":\"m\"}", "messages", true, "messages: field required"},
        {ASK_CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages", false, "messages: at least"},
        {ASK_CHAT, "{\"model\":\"m\",\"messages\":\"hi\"}", "messages", false,
         "messages: expected a list"},
        {ASK_CHAT, "{\"model\":\"m\",\"messages\":[{},3]}", "messages", false,
         "messages.1: expected an object"},
        {ASK_CHAT, "{\"model\":\"m\",\"messages\":[{}],\"stream\":1}", "stream", false,
         "stream: expected"},
        {ASK_RESPONSES, "{\"model\":\"m\"}", "input", true, "input: field required"},
        {ASK_RESPONSES, "{\"model\":\"m\",\"input\":3}", "input", false, "input: expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_refused(cases[i].shape, cases[i].body, cases[i].param, cases[i].missing,
                       cases[i].message);
    }
    char body[400];
    snprintf(body, sizeof body, "{\"model\":\"%0257d\",\"messages\":[{}]}", 1);
    expect_refused(ASK_CHAT, body, "model", false, "model: expected");
    /* No max_tokens is needed to count, and none by OpenAI. */
    struct ask a = taken(ASK_COUNT, "{\"model\":\"m\",\"messages\":[{}],\"stream\":true}");
    assert_false(a.stream);
    ask_free(&a);
    a = taken(ASK_CHAT, "{\"model\":\"m\",\"messages\":[{}],\"stream\":true,\"stream_options\":{"
                        "\"include_usage\":true}}");
    assert_true(a.stream && a.include_usage);
    assert_string_equal(a.model, "m");
    ask_free(&a);
    a = taken(ASK_MODELS, "");
    assert_string_equal(a.model, "");
    ask_free(&a);
}

static void the_users_last_message_is_found(void **state) {
    (void)state;
    expect_said(ASK_CHAT,
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"one\"}]}", "one");
    expect_said(
        ASK_CHAT,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"one\"},"
        "{\"role\":\"assistant\",\"content\":\"two\"},{\"role\":\"user\",\"content\":"
        "[{\"type\":\"text\",\"text\":\"three\"},{\"type\":\"image_url\"},"
        "{\"type\":\"text\",\"text\":\"four\"}]},{\"role\":\"assistant\",\"content\":\"x\"},"
        "{\"role\":\"tool\",\"content\":\"five\"}]}",
        "three\nfour");
    expect_said(ASK_MESSAGES,
                "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":"
                "\"ask\"},{\"role\":\"assistant\",\"content\":[]},{\"role\":\"user\",\"content\":"
                "[{\"type\":\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"no\"}]}]}]}",
                "ask");
    expect_said(ASK_RESPONSES, "{\"model\":\"m\",\"input\":\"plain\"}", "plain");
    expect_said(ASK_RESPONSES,
                "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":"
                "\"input_text\",\"text\":\"deep\"}]},{\"type\":\"function_call\"},"
                "{\"type\":\"function_call_output\",\"output\":\"o\"}]}",
                "deep");
    expect_said(ASK_CHAT,
                "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"}]}", "");
    /* A NUL in a text is a character like others. */
    struct ask a = taken(ASK_RESPONSES, "{\"model\":\"m\",\"input\":\"a\\u0000b\"}");
    struct ask b = taken(ASK_RESPONSES, "{\"model\":\"m\",\"input\":\"a\\u0000c\"}");
    assert_true(a.said.hash != b.said.hash);
    ask_free(&a);
    ask_free(&b);
}

static void expect_tool(enum ask_shape shape, const char *body, const char *name,
                        const char *arguments) {
    struct ask a = taken(shape, body);
    if (name) {
        assert_non_null(a.tool);
        assert_string_equal(a.tool, name);
        assert_string_equal(a.arguments, arguments);
    } else {
        assert_null(a.tool);
    }
    ask_free(&a);
}

#define M "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
#define R "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void the_first_tool_of_the_callers_is_called(void **state) {
    (void)state;
    expect_tool(ASK_MESSAGES, M "}", NULL, NULL);
    expect_tool(ASK_MESSAGES, M ",\"tools\":[]}", NULL, NULL);
    expect_tool(ASK_MESSAGES, M ",\"tools\":[{\"name\":\"look\"},{\"name\":\"b\"}]}", "look", "{}");
    expect_tool(ASK_MESSAGES,
                M ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"},"
                  "{\"type\":\"custom\",\"name\":\"own\"}]}",
                "own", "{}");
    expect_tool(ASK_MESSAGES,
                M ",\"tools\":[{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}]}", NULL,
                NULL);
    expect_tool(
        ASK_MESSAGES,
        M ",\"tools\":[{\"name\":\"t\",\"input_schema\":{\"required\":[\"s\",\"n\",\"b\",\"a\","
          "\"o\",\"e\",\"u\"],\"properties\":{\"s\":{\"type\":\"string\"},\"n\":{\"type\":"
          "\"integer\"},\"b\":{\"type\":\"boolean\"},\"a\":{\"type\":\"array\"},\"o\":{\"type\":"
          "\"object\"},\"e\":{\"enum\":[\"up\",\"down\"]},\"not\":{\"type\":\"string\"}}}}]}",
        "t", "{\"s\":\"x\",\"n\":1,\"b\":true,\"a\":[],\"o\":{},\"e\":\"up\",\"u\":\"x\"}");
    expect_tool(ASK_CHAT,
                M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":"
                  "{\"required\":[\"q\"]}}}]}",
                "f", "{\"q\":\"x\"}");
    expect_tool(ASK_RESPONSES,
                R ",\"tools\":[{\"type\":\"web_search\"},{\"type\":\"function\",\"name\":\"g\","
                  "\"parameters\":{\"required\":[\"q\"]}}]}",
                "g", "{\"q\":\"x\"}");
    expect_tool(ASK_RESPONSES,
                "{\"model\":\"m\",\"input\":\"x\",\"tools\":[{\"type\":\"function\",\"name\":"
                "\"g\"}]}",
                "g", "{}");
}

static void no_tool_is_called_when_none_is_wanted(void **state) {
    (void)state;
    expect_tool(ASK_MESSAGES,
                M ",\"tools\":[{\"name\":\"t\"}],\"tool_choice\":{\"type\":\"none\"}}", NULL, NULL);
    expect_tool(ASK_CHAT,
                M ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
                  "\"tool_choice\":\"none\"}",
                NULL, NULL);
    expect_tool(ASK_MESSAGES,
                "{\"model\":\"m\",\"max_tokens\":9,\"tools\":[{\"name\":\"t\"}],\"messages\":["
                "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"},{\"type\":\"text\","
                "\"text\":\"a reminder\"}]}]}",
                NULL, NULL);
    expect_tool(
        ASK_CHAT,
        "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
        "\"messages\":[{\"role\":\"tool\",\"content\":\"r\"}]}",
        NULL, NULL);
    expect_tool(ASK_RESPONSES,
                "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"name\":\"g\"}],\"input\":["
                "{\"type\":\"function_call_output\",\"output\":\"r\"}]}",
                NULL, NULL);
    /* Only when it is the last message. */
    expect_tool(
        ASK_CHAT,
        "{\"model\":\"m\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
        "\"messages\":[{\"role\":\"tool\",\"content\":\"r\"},{\"role\":\"user\","
        "\"content\":\"again\"}]}",
        "f", "{}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_quotes_and_ends),
        cmocka_unit_test(characters_are_not_cut),
        cmocka_unit_test(messages_have_answers_of_their_own),
        cmocka_unit_test(pieces_put_together_are_the_text),
        cmocka_unit_test(what_a_request_must_have),
        cmocka_unit_test(the_users_last_message_is_found),
        cmocka_unit_test(the_first_tool_of_the_callers_is_called),
        cmocka_unit_test(no_tool_is_called_when_none_is_wanted),
    };
    return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
