/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/json.h"
#include "base/number.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void expect_canonical(const char *text, const char *expected) {
    struct buf out;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&out, 100000);
    hardy_status status = json_canonical(text, strlen(text), &out, &error);
    if (status != HARDY_OK) {
        print_message("# %s: %s\n", text, error.message);
    }
    assert_int_equal(status, HARDY_OK);
    assert_string_equal(out.data, expected);
    assert_int_equal(json_check(text, strlen(text), NULL), HARDY_OK);
    /* What is canonical stays as it is. */
    struct buf again;
    buf_init(&again, 100000);
    assert_int_equal(json_canonical(out.data, out.len, &again, NULL), HARDY_OK);
    assert_string_equal(again.data, out.data);
    buf_free(&again);
    buf_free(&out);
}

static void expect_refused(const char *text, const char *said) {
    struct buf out;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&out, 100000);
    buf_puts(&out, "kept");
    assert_int_equal(json_canonical(text, strlen(text), &out, &error), HARDY_E_SYNTAX);
    if (!strstr(error.message, said)) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error.message, said);
    }
    assert_string_equal(out.data, "kept");
    buf_free(&out);
}

/* RFC 8785, sections 3.2.2 and 3.2.3. */
static void examples_of_the_rfc(void **state) {
    (void)state;
    expect_canonical(
        "{\n  \"numbers\": [333333333.33333329, 1E30, 4.50,\n"
        "              2e-3, 0.000000000000000000000000001],\n"
        "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n"
        "  \"literals\": [null, true, false]\n}",
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
        "\"string\":\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
    expect_canonical("{\"\\u20ac\": \"Euro Sign\", \"\\r\": \"Carriage Return\", \"\\ufb33\": "
                     "\"Hebrew Letter Dalet With Dagesh\", \"1\": \"One\", \"\\ud83d\\ude00\": "
                     "\"Emoji: Grinning Face\", \"\\u0080\": \"Control\", \"\\u00f6\": \"Latin "
                     "Small Letter O With Diaeresis\"}",
                     "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
                     "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\",\"\xe2\x82\xac\":\"Euro "
                     "Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":"
                     "\"Hebrew Letter Dalet With Dagesh\"}");
}

/* RFC 8785, appendix B. */
static void numbers_of_the_rfc(void **state) {
    (void)state;
    static const struct {
        uint64_t bits;
        const char *text;
    } rows[] = {
        {0x0000000000000000, "0"},
        {0x8000000000000000, "0"},
        {0x0000000000000001, "5e-324"},
        {0x8000000000000001, "-5e-324"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0xffefffffffffffff, "-1.7976931348623157e+308"},
        {0x4340000000000000, "9007199254740992"},
        {0xc340000000000000, "-9007199254740992"},
        {0x4430000000000000, "295147905179352830000"},
        {0x44b52d02c7e14af5, "9.999999999999997e+22"},
        {0x44b52d02c7e14af6, "1e+23"},
        {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
        {0x444b1ae4d6e2ef4e, "999999999999999700000"},
        {0x444b1ae4d6e2ef4f, "999999999999999900000"},
        {0x444b1ae4d6e2ef50, "1e+21"},
        {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
        {0x3eb0c6f7a0b5ed8d, "0.000001"},
        {0x41b3de4355555553, "333333333.3333332"},
        {0x41b3de4355555554, "333333333.33333325"},
        {0x41b3de4355555555, "333333333.3333333"},
        {0x41b3de4355555556, "333333333.3333334"},
        {0x41b3de4355555557, "333333333.33333343"},
        {0xbecbf647612f3696, "-0.0000033333333333333333"},
        {0x43143ff3c1cb0959, "1424953923781206.2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value;
        char text[NUMBER_TEXT];
        memcpy(&value, &rows[i].bits, sizeof value);
        number_format(value, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void two_texts_never_become_one_key(void **state) {
    (void)state;
    expect_canonical("9007199254740991", "9007199254740991");
    expect_canonical("-9007199254740991", "-9007199254740991");
    expect_refused("9007199254740992", "beyond 9007199254740991");
    expect_refused("9007199254740993", "write it as a string");
    expect_refused("[1, -9007199254740993]", "column 5");
    expect_refused("9007199254740993.0", "beyond");
    expect_refused("90071992547409930e-1", "beyond");
    expect_refused("1e20", "beyond");
    expect_refused("1000000000000000000001e0", "beyond");
    expect_refused("1e400", "too large");
    expect_refused("1e-400", "too small");
    expect_refused("{\"a\":1,\n \"b\":2,\n \"\\u0061\":3}", "line 3 column 2: the name stands");
    expect_refused("{\"x\":{\"a\":1,\"a\":1}}", "twice");
    expect_refused("\"\\ud800\"", "surrogate");
    expect_refused("\"\\udc00\\ud800\"", "surrogate");
    expect_refused("\"\\ud800\\u0041\"", "surrogate");
    expect_refused("\"\xed\xa0\x80\"", "UTF-8");
    expect_refused("\"\xc0\xaf\"", "UTF-8");
}

static void every_form_of_value(void **state) {
    (void)state;
    expect_canonical(" [ ] ", "[]");
    expect_canonical("{ }", "{}");
    expect_canonical("-0", "0");
    expect_canonical("1.0", "1");
    expect_canonical("1e21", "1e+21");
    expect_canonical("\"\\u0000\\u007f\\b\\t\\n\\f\\r\\u001f\"",
                     "\"\\u0000\x7f\\b\\t\\n\\f\\r\\u001f\"");
    expect_canonical("{\"b\":[{\"z\":1,\"y\":{}}],\"a\":null,\"\":0}",
                     "{\"\":0,\"a\":null,\"b\":[{\"y\":{},\"z\":1}]}");
    /* A name that is the beginning of another, and names beyond U+FFFF among themselves. */
    expect_canonical("{\"ab\":1,\"a\":2,\"\xf0\x9f\x98\x81\":3,\"\xf0\x9f\x98\x80\":4}",
                     "{\"a\":2,\"ab\":1,\"\xf0\x9f\x98\x80\":4,\"\xf0\x9f\x98\x81\":3}");
}

static void what_is_not_json(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",        " ",      "{",         "}",        "[1,]", "[,1]",        "{\"a\":1,}",
        "{\"a\"}", "{a:1}",  "[1 2]",     "01",       "+1",   ".5",          "1.",
        "1e",      "-",      "tru",       "nul",      "True", "NaN",         "\"a",
        "\"\\x\"", "'a'",    "\"\\u12\"", "\"a\nb\"", "[1]x", "1 2",         "{\"a\":}",
        "[\"\\",   "[1.e5]", "\"\\u\"",   "{\"a\":1", "[[]",  "\"\\u00g0\"",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (json_check(texts[i], strlen(texts[i]), NULL) != HARDY_E_SYNTAX) {
            fail_msg("accepted: %s", texts[i]);
        }
    }
    /* Only two different readings are refused in the canonical form alone. */
    assert_int_equal(json_check("\"\\ud800\"", 8, NULL), HARDY_OK);
    assert_int_equal(json_check("{\"a\":1,\"a\":2}", 13, NULL), HARDY_OK);
    assert_int_equal(json_check("9007199254740993", 16, NULL), HARDY_OK);
}

static void depth_is_bounded(void **state) {
    (void)state;
    char text[131];
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(json_check(text, 130, NULL), HARDY_E_TOO_LARGE);
    assert_int_equal(json_check(text + 1, 128, NULL), HARDY_OK);
}

static void canonical_form_within_a_limit(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 8);
    assert_int_equal(json_canonical("{\"a\":1}", 7, &out, NULL), HARDY_OK);
    buf_reset(&out);
    assert_int_equal(json_canonical("{\"a\":100}", 9, &out, NULL), HARDY_E_TOO_LARGE);
    buf_free(&out);
}

static void writer(void **state) {
    (void)state;
    struct buf out;
    struct json_out j;
    buf_init(&out, 10000);
    json_out_init(&j, &out, 0);
    json_out_object(&j);
    json_out_key(&j, "list");
    json_out_array(&j);
    json_out_int(&j, INT64_MIN);
    json_out_double(&j, 0.1);
    json_out_double(&j, INFINITY);
    json_out_bool(&j, true);
    json_out_null(&j);
    json_out_object(&j);
    json_out_object_end(&j);
    json_out_array_end(&j);
    json_out_key(&j, "a\"b");
    json_out_string(&j, "\x01\xff\xe2\x82 \xf0\x9f\x98\x80\\\n");
    json_out_key(&j, "n");
    json_out_string(&j, NULL);
    json_out_key(&j, "raw");
    json_out_raw(&j, "[1]");
    json_out_key(&j, "z");
    json_out_stringn(&j, "a\0b", 3);
    json_out_object_end(&j);
    assert_string_equal(
        out.data, "{\"list\":[-9223372036854775808,0.1,null,true,null,{}],\"a\\\"b\":\"\\u0001"
                  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xf0\x9f\x98\x80\\\\\\n\",\"n\":null,"
                  "\"raw\":[1],\"z\":\"a\\u0000b\"}");
    assert_int_equal(json_check(out.data, out.len, NULL), HARDY_OK);
    assert_false(out.failed);
    buf_free(&out);
}

static void writer_indents(void **state) {
    (void)state;
    struct buf out;
    struct json_out j;
    buf_init(&out, 1000);
    json_out_init(&j, &out, 2);
    json_out_object(&j);
    json_out_key(&j, "a");
    json_out_array(&j);
    json_out_int(&j, 1);
    json_out_int(&j, 2);
    json_out_array_end(&j);
    json_out_key(&j, "b");
    json_out_array(&j);
    json_out_array_end(&j);
    json_out_object_end(&j);
    assert_string_equal(out.data, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
    buf_free(&out);
}

/* A program may have set a locale that writes 0,5. Such locales are not installed everywhere. */
static void numbers_under_another_locale(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "C"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (setlocale(LC_ALL, names[i])) {
            break;
        }
    }
    char text[NUMBER_TEXT];
    number_format(1234.5, text);
    assert_string_equal(text, "1234.5");
    assert_true(number_value("0.25", 4) > 0.2);
    setlocale(LC_ALL, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc),
        cmocka_unit_test(numbers_of_the_rfc),
        cmocka_unit_test(two_texts_never_become_one_key),
        cmocka_unit_test(every_form_of_value),
        cmocka_unit_test(what_is_not_json),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(canonical_form_within_a_limit),
        cmocka_unit_test(writer),
        cmocka_unit_test(writer_indents),
        cmocka_unit_test(numbers_under_another_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
