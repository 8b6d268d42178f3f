/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions: values, order of operators, what is not looked at, and the words of refusals. */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "base/str.h"
#include "config/template.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char values_text[] =
    "{\"input\": {\"name\": \"web; rm -rf /\", \"env\": \"prod\", \"count\": 3, \"ratio\": 0.1,"
    "  \"big\": 9007199254740993, \"none\": null, \"yes\": true, \"empty\": \"\", \"zero\": 0,"
    "  \"a-b\": \"dash\", \"quote\": \"say \\\"${{ x }}\\\"\", \"e\": \"\\u00e9\"},"
    " \"steps\": {\"vpc\": {\"output\": {\"id\": \"vpc-1\", \"list\": [{\"k\": 7}, 8]}},"
    "             \"a.b\": {\"output\": \"dotted\"}}}";

struct world {
    json_t *root;
    size_t asked; /* paths looked up */
};

static json_t *look_up(void *ctx, const char *path) {
    struct world *world = ctx;
    world->asked++;
    return template_walk(world->root, path);
}

static int set_up(void **state) {
    static struct world world;
    world = (struct world){.root = json_loads(values_text, 0, NULL)};
    *state = &world;
    return world.root ? 0 : -1;
}

static int tear_down(void **state) {
    struct world *world = *state;
    json_decref(world->root);
    return 0;
}

static void expansions(void **state) {
    static const struct {
        const char *text, *expanded;
    } rows[] = {
        {"", ""},
        {"plain $ $$ {{ }} ${NAME}", "plain $ $$ {{ }} ${NAME}"},
        {"${{input.name}}", "web; rm -rf /"},
        {"a ${{ input.env }} b ${{ input.count }} c", "a prod b 3 c"},
        {"${{ input.ratio }}", "0.1"},
        {"${{ input.big }}", "9007199254740993"},
        {"${{ input.none }}${{ input.yes }}", "nulltrue"},
        {"${{ input.a-b }}", "dash"},
        {"${{ steps.vpc.output.id }}", "vpc-1"},
        {"${{ steps.vpc.output.list[0].k }}", "7"},
        {"${{ steps.vpc.output.list.1 }}", "8"},
        {"${{ steps.vpc.output }}", "{\"id\":\"vpc-1\",\"list\":[{\"k\":7},8]}"},
        {"${{ steps.a.b.output }}", "dotted"},
        {"${{ input.quote }}", "say \"${{ x }}\""}, /* a value is not expanded again */
        {"${{ 'it''s }}' }}", "it's }}"},
        {"${{ \"a\"\"b\" }}", "a\"b"},
        {"${{ 1.50 }} ${{ -2 }} ${{ 1e3 }} ${{ true }} ${{ null }}", "1.5 -2 1000 true null"},
        {"$${{ x }}", "${{ x }}"},
        {"${{ input.env }}$${{", "prod${{"},
        {"${{ input.none || 'eu' }}", "eu"},
        {"${{ input.env || 'eu' }}", "prod"},
        {"${{ input.count > 2 && 'many' || 'few' }}", "many"},
        {"${{ !input.none }}", "true"},
        {"${{\n  input.env\n}}", "prod"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (template_expand(rows[i].text, look_up, *state, &out, &error) != HARDY_OK) {
            fail_msg("%s: %s", rows[i].text, error.message);
        }
        assert_string_equal(out.data ? out.data : "", rows[i].expanded);
        assert_int_equal(template_check(rows[i].text, NULL, NULL, &error), HARDY_OK);
        buf_free(&out);
    }
}

/* One ${{ }} alone keeps its kind; anything beside it makes a text. */
static void values(void **state) {
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"${{ input.count }}", "3"},
        {" \t${{ input.count }}\r\n", "3"},
        {"${{input.yes}}", "true"},
        {"${{ input.none }}", "null"},
        {"${{ input.big }}", "9007199254740993"},
        {"${{ steps.vpc.output }}", "{\"id\":\"vpc-1\",\"list\":[{\"k\":7},8]}"},
        {"${{ steps.vpc.output.list }}", "[{\"k\":7},8]"},
        {"${{ input.env }}", "\"prod\""},
        {"${{ input.count > 2 }}", "true"},
        {"${{ input.none || 12 }}", "12"},
        {"${{ '}}' }}", "\"}}\""},
        {"", "\"\""},
        {" ", "\" \""},
        {"3", "\"3\""},
        {"x ${{ input.count }}", "\"x 3\""},
        {"${{ input.count }} x", "\"3 x\""},
        {"${{ input.count }}${{ input.count }}", "\"33\""},
        {" ${{ input.count }} ${{ input.count }} ", "\" 3 3 \""},
        {"$${{ input.count }}", "\"${{ input.count }}\""},
        {"${{ input.count }}$${{", "\"3${{\""},
        {"${ input.count }", "\"${ input.count }\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *value;
        struct buf out;
        buf_init(&out, 4096);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (template_value(rows[i].text, look_up, *state, &value, &error) != HARDY_OK) {
            fail_msg("%s: %s", rows[i].text, error.message);
        }
        template_put_json(value, &out);
        assert_string_equal(out.data, rows[i].json);
        json_decref(value);
        buf_free(&out);
    }
}

static void values_refused(void **state) {
    static const char *const rows[] = {
        "${{ input.nothing }}",
        "${{ input.count",
        "${{ input.count }",
        "${{ 1 == 'a' }}",
        "${{ 1 }} ${{ input.x }}",
        "${{ 1 }} ${{ 2",
        "${{ }}",
        "\xff",
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *value = json_true();
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (template_value(rows[i], look_up, *state, &value, &error) != HARDY_E_SYNTAX) {
            fail_msg("accepted: %s", rows[i]);
        }
        assert_null(value);
        assert_true(error.message[0] != '\0');
        assert_int_equal(template_value(rows[i], look_up, *state, &value, NULL), HARDY_E_SYNTAX);
    }
}

/* The value is a reference of the caller's own: what it came from may go. */
static void values_are_referred_to(void **state) {
    (void)state;
    struct world own = {.root = json_pack("{s:[i]}", "a", 1)};
    json_t *value;
    assert_int_equal(template_value("${{ a }}", look_up, &own, &value, NULL), HARDY_OK);
    json_decref(own.root);
    assert_int_equal(json_integer_value(json_array_get(value, 0)), 1);
    json_decref(value);
}

static void truths(void **state) {
    static const struct {
        const char *text;
        bool truth;
    } rows[] = {
        {"true", true},
        {"false", false},
        {"null", false},
        {"0", false},
        {"0.0", false},
        {"''", false},
        {"'false'", true},
        {"0.5", true},
        {"input.none", false},
        {"input.empty", false},
        {"input.zero", false},
        {"steps.vpc.output", true},
        {"${{ input.env == 'prod' }}", true},
        {"  ${{ input.env == 'prod' }}\n", true},
        {"input.env == 'prod'", true},
        {"input.env != 'prod'", false},
        {"input.count == 3", true},
        {"input.count == 3.0", true},
        {"input.count < 10", true},
        {"input.count <= 3 && input.count >= 3", true},
        {"2 > 3", false},
        {"'b' > 'a'", true},
        {"'a' < 'aa'", true},
        {"'10' < '9'", true}, /* texts, by bytes */
        {"9007199254740992 == 9007199254740992", true},
        {"input.big > 9007199254740992", true},
        {"null == null", true},
        {"input.env == null", false},
        {"input.env != null", true},
        {"null == 0", false},
        {"true == true", true},
        {"true != false", true},
        {"steps.vpc.output.list == steps.vpc.output.list", true},
        {"steps.vpc.output == steps.a.b", false},
        {"!true", false},
        {"!!true", true},
        {"!input.none && true", true},
        {"!(true && false)", true},
        {"!input.env == true", false}, /* ! binds strongest */
        {"false && false || true", true},
        {"true || false && false", true},
        {"(true || false) && false", false},
        {"1 < 2 && 2 < 3", true},
        {"1 == 1 && 'a' == 'a' || false", true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool truth = !rows[i].truth;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (template_truth(rows[i].text, look_up, *state, &truth, &error) != HARDY_OK) {
            fail_msg("%s: %s", rows[i].text, error.message);
        }
        if (truth != rows[i].truth) {
            fail_msg("%s", rows[i].text);
        }
        assert_int_equal(template_check_truth(rows[i].text, NULL, NULL, &error), HARDY_OK);
    }
}

/* The right side of a decided && or || is parsed, and not looked up. */
static void short_circuit(void **state) {
    struct world *world = *state;
    bool truth;
    world->asked = 0;
    assert_int_equal(template_truth("false && nothing.here", look_up, world, &truth, NULL),
                     HARDY_OK);
    assert_false(truth);
    assert_int_equal(template_truth("true || (nothing == 1 && (nothing || !nothing))", look_up,
                                    world, &truth, NULL),
                     HARDY_OK);
    assert_true(truth);
    assert_int_equal(template_truth("true || 'a' < 1", look_up, world, &truth, NULL), HARDY_OK);
    assert_int_equal(world->asked, 0);
    assert_int_equal(template_truth("true || (1 ==", look_up, world, &truth, NULL), HARDY_E_SYNTAX);
    assert_int_equal(template_truth("true && nothing", look_up, world, &truth, NULL),
                     HARDY_E_SYNTAX);
}

static void refusals(void **state) {
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"${{ steps.vcp.output.id }}",
         "there is no `steps.vcp.output.id`; did you mean `steps.vpc`?, in `steps.vcp.output.id`"},
        {"${{ steps.vpc.output.ids }}",
         "there is no `steps.vpc.output.ids`; did you mean `steps.vpc.output.id`?, in "
         "`steps.vpc.output.ids`"},
        {"${{ inptu.x }}", "there is no `inptu.x`; did you mean `input`?, in `inptu.x`"},
        {"${{ zzzz }}", "there is no `zzzz`, in `zzzz`"},
        {"${{ input.env.x }}",
         "there is no `input.env.x`: `input.env` is a text, in `input.env.x`"},
        {"${{ steps.vpc.output.list[2] }}",
         "there is no `steps.vpc.output.list.2`: `steps.vpc.output.list` is a list, in "
         "`steps.vpc.output.list[2]`"},
        {"${{ input.env == 3 }}", "a text cannot be compared with a number, in `input.env == 3`"},
        {"${{ input.yes == 'true' }}",
         "a truth value cannot be compared with a text, in `input.yes == 'true'`"},
        {"${{ input.none < 1 }}", "null cannot be compared with a number, in `input.none < 1`"},
        {"${{ steps < steps }}", "an object cannot be compared with an object, in `steps < steps`"},
        {"${{ 1 == 1 == 1 }}",
         "comparisons cannot follow each other; use parentheses or `&&`, in `1 == 1 == 1`"},
        {"${{ input.env = 'x' }}", "`=` means nothing here; `==` compares, in `input.env = 'x'`"},
        {"${{ 1 & 2 }}", "`&` means nothing here; `&&` is and, in `1 & 2`"},
        {"${{ 1 | 2 }}", "`|` means nothing here; `||` is or, in `1 | 2`"},
        {"${{ 1 + 2 }}", "`+` means nothing here, in `1 + 2`"},
        {"${{ \xc3\xa9 }}", "`\xc3\xa9` means nothing here, in `\xc3\xa9`"},
        {"${{ }}", "a value expected at the end, in ``"},
        {"${{ 1 == }}", "a value expected at the end, in `1 ==`"},
        {"${{ == 1 }}", "a value expected, not `==`, in `== 1`"},
        {"${{ 1 2 }}", "an operator such as == or && expected, not `2`, in `1 2`"},
        {"${{ input.env prod }}",
         "an operator such as == or && expected, not `prod`, in `input.env prod`"},
        {"${{ (1 }}", "`)` expected at the end, in `(1`"},
        {"${{ 1) }}", "an operator such as == or && expected, not `)`, in `1)`"},
        {"${{ 'abc }}", "the text that starts with ' is not closed, in `'abc`"},
        {"${{ input. }}", "a name expected after `input.`, in `input.`"},
        {"${{ a..b }}", "a name expected after `a.`, in `a..b`"},
        {"${{ a[x] }}", "a number and `]` expected after `a[`, in `a[x]`"},
        {"${{ a[1 }}", "a number and `]` expected after `a[1`, in `a[1`"},
        {"${{ 30s }}", "a unit or a letter cannot follow the number `30`, in `30s`"},
        {"${{ 1e999 }}", "the number `1e999` is too large, in `1e999`"},
        {"${{ input.env", "the closing `}}` is missing, in `input.env`"},
        {"a ${{ input.env }", "`}` means nothing here, in `input.env }`"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        str_copy(error.where, sizeof error.where, "w.yaml:1:1");
        if (template_expand(rows[i].text, look_up, *state, &out, &error) != HARDY_E_SYNTAX) {
            fail_msg("accepted: %s", rows[i].text);
        }
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, "w.yaml:1:1"); /* the caller's */
        assert_int_equal(template_expand(rows[i].text, look_up, *state, &out, NULL),
                         HARDY_E_SYNTAX);
        buf_free(&out);
    }
}

static void conditions_are_one_expression(void **state) {
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"${{ input.env }} == 'prod'",
         "a condition is one expression; `== 'prod'` follows it, in `input.env`"},
        {"true }} x", "a condition is one expression; `}} x` follows it, in `true`"},
        {"${{ true", "the closing `}}` is missing, in `true`"},
        {"", "a value expected at the end, in ``"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool truth;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        assert_int_equal(template_truth(rows[i].text, look_up, *state, &truth, &error),
                         HARDY_E_SYNTAX);
        assert_string_equal(error.message, rows[i].message);
    }
}

static bool known(void *ctx, const char *path) {
    struct buf *paths = ctx;
    buf_printf(paths, "%s ", path);
    return !str_starts(path, "unknown");
}

/* A check asks for every path, also where the value would not be needed. */
static void checks(void **state) {
    (void)state;
    struct buf paths;
    buf_init(&paths, 4096);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(template_check("x ${{ a.b[0] || c }} ${{ 'a' == d }}", known, &paths, &error),
                     HARDY_OK);
    assert_string_equal(paths.data, "a.b.0 c d ");
    assert_int_equal(template_check_truth("true || unknown.x", known, &paths, &error),
                     HARDY_E_SYNTAX);
    assert_string_equal(error.message, "there is no `unknown.x`, in `true || unknown.x`");
    assert_int_equal(template_check_truth("${{ a == }}", NULL, NULL, &error), HARDY_E_SYNTAX);
    buf_free(&paths);
    assert_true(template_used("a ${{ b }}"));
    assert_false(template_used("a ${b} {{ c }}"));
}

static void limits(void **state) {
    struct buf text, out;
    buf_init(&text, 1 << 20);
    buf_init(&out, 16);
    bool truth;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    for (int i = 0; i < 2000; i++) {
        buf_putc(&text, i % 2 ? '(' : '!');
    }
    assert_int_equal(template_truth(text.data, look_up, *state, &truth, &error), HARDY_E_SYNTAX);
    assert_true(str_starts(error.message, "nested deeper than 32, in `!(!(!("));
    buf_reset(&text);
    buf_puts(&text, "1");
    for (int i = 0; i < 900; i++) {
        buf_puts(&text, "&&1"); /* long, not deep */
    }
    assert_int_equal(template_truth(text.data, look_up, *state, &truth, &error), HARDY_OK);
    for (int i = 0; i < 900; i++) {
        buf_puts(&text, "&&1");
    }
    assert_int_equal(template_truth(text.data, look_up, *state, &truth, &error), HARDY_E_TOO_LARGE);
    buf_reset(&text);
    buf_puts(&text, "${{ 'x' }}0123456789abcdef");
    assert_int_equal(template_expand(text.data, look_up, *state, &out, &error), HARDY_E_TOO_LARGE);
    assert_string_equal(error.message, "the text with its values is larger than 16 bytes");
    buf_free(&text);
    buf_free(&out);
    char path[700];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(template_truth(path, look_up, *state, &truth, &error), HARDY_E_SYNTAX);
    assert_true(str_starts(error.message, "the path is longer than 512 characters"));
}

static void walking(void **state) {
    struct world *world = *state;
    assert_ptr_equal(template_walk(world->root, ""), world->root);
    assert_string_equal(json_string_value(template_walk(world->root, "steps.a.b.output")),
                        "dotted");
    assert_null(template_walk(world->root, "steps.a.c"));
    assert_null(template_walk(world->root, "steps.vpc.output.list.x"));
    assert_null(template_walk(world->root, "steps.vpc.output.list.0x"));
    assert_null(template_walk(world->root, "steps.vpc.output.list.99999999999999999999999"));
    assert_null(template_walk(world->root, "input.count.x"));
    assert_null(template_walk(NULL, "x"));
    assert_null(template_walk(world->root, "."));
}

/* Scraps and bytes in random order: an answer each time, no crash, no leak. */
static void random_text(void **state) {
    static const char *const scraps[] = {
        "${{",  "}}",   " ",    "input.env", "steps.vpc.output.list[0].k",
        "'x'",  "\"",   "'",    "1",         "-",
        ".",    "==",   "!=",   "<",         ">=",
        "&&",   "||",   "!",    "(",         ")",
        "null", "true", "[",    "]",         "$",
        "a-b",  "1e5",  "\xc3", "\xff",      "{"};
    struct prng random;
    prng_seed(&random, 11);
    size_t refused = 0, accepted = 0;
    for (int round = 0; round < 30000; round++) {
        char text[256] = "";
        size_t len = 0;
        for (uint64_t n = prng_below(&random, 9); n > 0; n--) {
            const char *scrap = scraps[prng_below(&random, COUNT(scraps))];
            memcpy(text + len, scrap, strlen(scrap));
            len += strlen(scrap);
        }
        if (round % 3 == 0) {
            for (len = 0; len < 20; len++) {
                text[len] = (char)(1 + prng_below(&random, 255));
            }
        }
        text[len] = '\0';
        struct buf out;
        buf_init(&out, 4096);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        bool truth;
        hardy_status expanded = template_expand(text, look_up, *state, &out, &error);
        hardy_status judged = template_truth(text, look_up, *state, &truth, &error);
        assert_true(expanded == HARDY_OK || expanded == HARDY_E_SYNTAX);
        assert_true(judged == HARDY_OK || error.message[0] != '\0');
        refused += judged != HARDY_OK;
        accepted += judged == HARDY_OK;
        buf_free(&out);
    }
    assert_true(refused > 1000 && accepted > 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expansions),     cmocka_unit_test(values),
        cmocka_unit_test(values_refused), cmocka_unit_test(values_are_referred_to),
        cmocka_unit_test(truths),         cmocka_unit_test(short_circuit),
        cmocka_unit_test(refusals),       cmocka_unit_test(conditions_are_one_expression),
        cmocka_unit_test(checks),         cmocka_unit_test(limits),
        cmocka_unit_test(walking),        cmocka_unit_test(random_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
