/* SPDX-License-Identifier: Apache-2.0 */
/* The YAML tree: what is read, with places; what is refused, where and in which words. */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "base/str.h"
#include "config/yaml.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct yaml_file *parse(const char *bytes, size_t len, hardy_error *error) {
    struct yaml_file *file = NULL;
    hardy_error_init(error, sizeof *error);
    hardy_status status = yaml_parse("f.yaml", bytes, len, &file, error);
    assert_int_equal(status, file ? HARDY_OK : error->status);
    return file;
}

static struct yaml_file *good(const char *text) {
    hardy_error error;
    struct yaml_file *file = parse(text, strlen(text), &error);
    if (!file) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return file;
}

static void values(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"", "null"},
        {"# only a comment\n", "null"},
        {"---\n", "null"},
        {"---\na: 1\n...\n", "{\"a\":1}"},
        {"\xef\xbb\xbf"
         "a: 1\n",
         "{\"a\":1}"},
        {"a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}"},
        {"[1, -2.5, 1e3, 007, .5, 0x10, +1, true, yes, null, ~, x]",
         "[1,-2.5,1e3,\"007\",\".5\",\"0x10\",\"+1\",true,\"yes\",null,null,\"x\"]"},
        {"['1', \"true\", 'null', '', '~']", "[\"1\",\"true\",\"null\",\"\",\"~\"]"},
        {"a:\nb: {}\nc: []\n", "{\"a\":null,\"b\":{},\"c\":[]}"},
        {"a: >-\n  one\n  two\nb: |\n  x\n  y\n", "{\"a\":\"one two\",\"b\":\"x\\ny\\n\"}"},
        {"a: \"\\u00e9\\n\\\"\"", "{\"a\":\"\xc3\xa9\\n\\\"\"}"},
        {"a: !!str 5\nb: ! 6\n", "{\"a\":\"5\",\"b\":\"6\"}"},
        {"a: &x {k: [1]}\nb: *x\n", "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]}}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
        {"b: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\n",
         "{\"b\":{\"x\":1,\"y\":2},\"c\":{\"y\":3,\"x\":1}}"},
        {"c: {<<: [{x: 1}, {x: 2, z: 3}], q: 0}", "{\"c\":{\"q\":0,\"x\":1,\"z\":3}}"},
        {"c: {'<<': 5}", "{\"c\":{\"<<\":5}}"},
        {"k: 'it''s'", "{\"k\":\"it's\"}"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct yaml_file *file = good(rows[i].yaml);
        struct buf json;
        buf_init(&json, 4096);
        yaml_to_json(file->root, &json);
        assert_string_equal(json.data, rows[i].json);
        buf_free(&json);
        assert_int_equal(file->len, strlen(rows[i].yaml));
        assert_memory_equal(file->bytes, rows[i].yaml, file->len);
        yaml_close(file);
    }
}

/* Each refusal: the exact place, and the exact words. */
static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        int line, column;
        const char *message;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", 3, 1, "key `a` is given twice, first in line 1"},
        {"a: {b: 1, b: 2}\n", 1, 11, "key `b` is given twice, first in line 1"},
        {"c: {<<: {a: 1}, <<: {b: 1}}\n", 1, 17, "key `<<` is given twice, first in line 1"},
        {"c: {<<: 5}\n", 1, 5, "`<<` merges a map or a list of maps (`<<: *base`), not text"},
        {"c: {<<: [{a: 1}, []]}\n", 1, 5,
         "`<<` merges a map or a list of maps (`<<: *base`), not a list"},
        {"x: 1\n---\ny: 2\n", 2, 1, "a second document (`---`) begins; one file holds one"},
        {"\xff\xfe"
         "a",
         1, 1, "the file is UTF-16; save it as UTF-8"},
        {"a: \xff\n", 1, 4, "byte 0xff is not UTF-8; save the file as UTF-8"},
        {"\xc3\xa9: 1\n\xc3\xa9\xc3\xa9: \xe9\n", 2, 5,
         "byte 0xe9 is not UTF-8; save the file as UTF-8"},
        {"a: \x01\n", 1, 4,
         "character U+0001 is not allowed in YAML; write it as an escape in double quotes"},
        {"\xc3\xa9: x\x7fy\n", 1, 5,
         "character U+007F is not allowed in YAML; write it as an escape in double quotes"},
        {"a: \"x\\0y\"\n", 1, 4, "text cannot hold a NUL character"},
        {"a:\n\tb: 1\n", 2, 1, "a tab cannot indent YAML; use spaces"},
        {"a:\n  b: 1\n\tc: 2\n", 3, 1, "a tab cannot indent YAML; use spaces"},
        {"a: @x\n", 1, 4, "a value cannot start with @; put it in quotes"},
        {"\xc3\xa9: %x\n", 1, 4, "a value cannot start with %; put it in quotes"},
        {"a: b: c\n", 1, 5,
         "\": \" cannot stand here: a second one in the line, wrong indentation, or a line above "
         "without one; quote a value that holds \": \""},
        {"a:\n  - 1\n - 2\n", 3, 2,
         "a key was expected here; look at the indentation, and quote a value that goes on after "
         "its closing quote or bracket (while parsing a block mapping that started in line 1)"},
        {"- a\nb: 1\n", 2, 1,
         "a list item (\"- \") was expected here; look at the indentation (while parsing a block "
         "collection that started in line 1)"},
        {"a: - b\n", 1, 4, "a list item (\"- \") cannot start here; put it on a line of its own"},
        {"x: 1\na: [1, 2\nb: 3\n", 3, 2,
         "the list needs \",\" or \"]\" here (while parsing a flow sequence that started in line "
         "2)"},
        {"a: {x: 1\n", 2, 1,
         "the map needs \",\" or \"}\" here (while parsing a flow mapping that started in line 1)"},
        {"a: ]\n", 1, 4, "a value was expected here; quote it if it starts with one of ] } ,"},
        {"a: 'x\nb: 2\n", 3, 1,
         "the closing quote is missing (while scanning a quoted scalar that started in line 1)"},
        {"a: \"\\q\"\n", 1, 5,
         "unknown escape in double quotes; write \\\\ for a backslash, or use single quotes"},
        {"a: *x\n", 1, 4, "no anchor `&x` before this; quote the text if `*` is meant as such"},
        {"a: &\n", 1, 5,
         "a name was expected after \"*\" or \"&\"; quote the text if it is meant as such"},
        {"a: &x [1, *x]\n", 1, 11, "`*x` stands inside what it is an alias of"},
        {"a: &x {b: {c: *x}}\n", 1, 15, "`*x` stands inside what it is an alias of"},
        {"? [a]\n: 1\n", 1, 3, "a key has to be plain text, not a list, a map or an alias"},
        {"&k a: 1\n*k : 2\n", 2, 1, "a key has to be plain text, not a list, a map or an alias"},
        {"~: 1\n", 1, 1, "`~` means nothing, which cannot be a key; quote it if it is a name"},
        {"? \n: 1\n", 1, 2, "a key is missing before \":\""},
        {"a: !secret 1\n", 1, 4, "tag `!secret` means nothing here; leave it out"},
        {"a: !!int 5\n", 1, 4, "tag `!!int` means nothing here; leave it out"},
        {"a: !!set {x}\n", 1, 4, "tag `!!set` means nothing here; leave it out"},
        {"%YAML 3.0\n---\na: 1\n", 1, 1, "expected %YAML 1.1 or 1.2"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        hardy_error error;
        struct yaml_file *file = parse(rows[i].yaml, strlen(rows[i].yaml), &error);
        char where[64];
        snprintf(where, sizeof where, "f.yaml:%d:%d", rows[i].line, rows[i].column);
        if (file) {
            fail_msg("accepted: %s", rows[i].yaml);
        }
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.where, where);
        assert_int_equal(error.status, HARDY_E_SYNTAX);
    }
}

static void refuses_nul_bytes(void **state) {
    (void)state;
    hardy_error error;
    assert_null(parse("a: x\0y\n", 7, &error));
    assert_string_equal(error.where, "f.yaml:1:5");
}

static void expect_too_large(struct buf *text, const char *where, const char *message) {
    hardy_error error;
    assert_false(text->failed);
    assert_null(parse(text->data, text->len, &error));
    assert_int_equal(error.status, HARDY_E_TOO_LARGE);
    assert_string_equal(error.where, where);
    assert_string_equal(error.message, message);
    buf_reset(text);
}

static void limits(void **state) {
    (void)state;
    struct buf text;
    buf_init(&text, 8 << 20);
    for (int i = 0; i < 64; i++) {
        buf_putc(&text, '[');
    }
    for (int i = 0; i < 64; i++) {
        buf_putc(&text, ']');
    }
    yaml_close(good(text.data)); /* 64 deep is allowed */
    buf_reset(&text);
    for (int i = 0; i < 3000; i++) {
        buf_putc(&text, '[');
    }
    expect_too_large(&text, "f.yaml:1:65", "nested deeper than 64");

    buf_puts(&text, "a: &a [x,x,x,x,x,x,x,x,x,x]\n");
    for (char c = 'b'; c < 'j'; c++) { /* a billion laughs */
        buf_printf(&text, "%c: &%c [", c, c);
        for (int i = 0; i < 10; i++) {
            buf_printf(&text, "%s*%c", i > 0 ? "," : "", c - 1);
        }
        buf_puts(&text, "]\n");
    }
    expect_too_large(&text, "f.yaml:5:29",
                     "more than 100000 values, those copied by aliases included");

    /* aliases nest too */
    buf_puts(&text, "- &a0 [[x]]\n");
    for (int i = 1; i < 40; i++) {
        buf_printf(&text, "- &a%d [[*a%d]]\n", i, i - 1);
    }
    expect_too_large(&text, "f.yaml:32:10", "nested deeper than 64");

    for (int i = 0; i <= 1000; i++) {
        buf_printf(&text, "- &a%d x\n", i);
    }
    expect_too_large(&text, "f.yaml:1001:3", "more than 1000 anchors");

    for (size_t i = 0; i <= YAML_MAX_BYTES; i++) {
        buf_putc(&text, '#');
    }
    expect_too_large(&text, "f.yaml", "larger than 4 MiB");
    buf_free(&text);
}

static void places(void **state) {
    (void)state;
    struct yaml_file *file = good("guards:\n"
                                  "  search:\n"
                                  "    retry: {max_retries: 3}\n"
                                  "steps: [a, {run: x}]\n");
    const struct yaml_node *search = yaml_get(yaml_get(file->root, "guards"), "search");
    const struct yaml_node *retries = yaml_get(yaml_get(search, "retry"), "max_retries");
    const struct yaml_node *run = yaml_get(yaml_get(file->root, "steps")->items[1], "run");
    assert_int_equal(search->line, 3);
    assert_int_equal(search->column, 5);
    assert_int_equal(retries->line, 3);
    assert_int_equal(retries->column, 26);
    assert_null(yaml_get(search, "nothing"));
    assert_null(yaml_get(retries, "nothing"));
    assert_null(yaml_get(NULL, "nothing"));

    struct buf path;
    buf_init(&path, 1024);
    yaml_path(retries, &path);
    assert_string_equal(path.data, "guards.search.retry.max_retries");
    buf_reset(&path);
    yaml_path(run, &path);
    assert_string_equal(path.data, "steps[1].run");
    buf_reset(&path);
    yaml_path(file->root, &path);
    assert_int_equal(path.len, 0);
    buf_free(&path);

    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_fail(retries, &error, "%d is %s", 3, "wrong"), HARDY_E_SYNTAX);
    assert_string_equal(error.where, "f.yaml:3:26");
    assert_string_equal(error.message, "3 is wrong");
    assert_int_equal(yaml_fail(retries, NULL, "unheard"), HARDY_E_SYNTAX);
    yaml_close(file);
}

/* Of a long path the end is kept, and line and column always are. */
static void long_paths(void **state) {
    (void)state;
    char path[400];
    memset(path, 'd', sizeof path);
    memcpy(path + sizeof path - 12, "/hardy.yaml", 12);
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_parse(path, "a: [", 4, &file, &error), HARDY_E_SYNTAX);
    assert_int_equal(strlen(error.where), sizeof error.where - 1);
    assert_true(str_starts(error.where, "...ddd"));
    assert_non_null(strstr(error.where, "/hardy.yaml:2:1"));
}

static void files(void **state) {
    (void)state;
    char path[] = "/tmp/hardy-yaml-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: 1\n", 5), 5);
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_load(path, &file, &error), HARDY_OK);
    assert_string_equal(file->path, path);
    assert_string_equal(yaml_get(file->root, "a")->text, "1");
    yaml_close(file);
    assert_int_equal(ftruncate(fd, (off_t)YAML_MAX_BYTES + 1), 0);
    assert_int_equal(yaml_load(path, &file, &error), HARDY_E_TOO_LARGE);
    assert_null(file);
    close(fd);
    unlink(path);
    assert_int_equal(yaml_load(path, &file, &error), HARDY_E_NOT_FOUND);
    assert_string_equal(error.where, path);
    assert_string_equal(error.message, "cannot open it: No such file or directory");
    assert_int_equal(yaml_load("/tmp", &file, &error), HARDY_E_IO);
    assert_string_equal(error.message, "cannot read it: Is a directory");
    yaml_close(NULL);
}

static void standard_input(void **state) {
    (void)state;
    int ends[2], kept = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a: [1", 5), 5);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(yaml_load("-", &file, &error), HARDY_E_SYNTAX);
    assert_string_equal(error.where, "standard input:2:1");
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(ends[0]);
}

/* Scraps of YAML in random order: whatever comes, an answer with a place, and no leak. */
static void random_bytes(void **state) {
    (void)state;
    static const char *const scraps[] = {
        "a", ": ", "\n", "- ",  "  ", "[",  "]", "{", "}",  ",", "&x", "*x",   "<<",   "'", "\"",
        "|", ">",  "#",  "---", "\t", "!t", "~", "%", "\\", "?", "\r", "\xc3", "\xa9", "1", "${"};
    struct prng random;
    prng_seed(&random, 7);
    size_t refused = 0, accepted = 0;
    for (int round = 0; round < 20000; round++) {
        char text[128] = "";
        size_t len = 0;
        for (uint64_t n = prng_below(&random, 14); n > 0; n--) {
            const char *scrap = scraps[prng_below(&random, COUNT(scraps))];
            memcpy(text + len, scrap, strlen(scrap));
            len += strlen(scrap);
        }
        hardy_error error;
        struct yaml_file *file = parse(text, len, &error);
        if (file) {
            accepted++;
            yaml_close(file);
        } else {
            refused++;
            assert_true(str_starts(error.where, "f.yaml:"));
            assert_true(error.message[0] != '\0');
        }
    }
    assert_true(refused > 1000 && accepted > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(refusals),
        cmocka_unit_test(refuses_nul_bytes),
        cmocka_unit_test(limits),
        cmocka_unit_test(places),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(files),
        cmocka_unit_test(standard_input),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
