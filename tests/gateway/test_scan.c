/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "base/prng.h"
#include "gateway/scan.h"
#include "scan_compare.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* One path in a text: the value's bytes, NULL = absent. */
struct row {
    const char *text, *path;
    bool object;
    enum scan_kind kind;
    const char *value;
};

static const struct row rows[] = {
    {"{\"model\":\"x-1\"}", "model", true, SCAN_STRING, "x-1"},
    {" \t\r\n{ \"model\" : \"x\" , \"n\" : 1 } \n", "model", true, SCAN_STRING, "x"},
    {"{\"s\":\"\"}", "s", true, SCAN_STRING, ""},
    {"{\"a\":-12.5e+3 }", "a", true, SCAN_NUMBER, "-12.5e+3"},
    {"{\"a\":true,\"b\":false}", "a", true, SCAN_TRUE, "true"},
    {"{\"a\":true,\"b\":false}", "b", true, SCAN_FALSE, "false"},
    {"{\"a\":null}", "a", true, SCAN_NULL, "null"},
    {"{\"a\":{ \"b\":[1]}}", "a", true, SCAN_OBJECT, "{ \"b\":[1]}"},
    {"{\"a\":[ {\"b\":1},\"]\" ]}", "a", true, SCAN_ARRAY, "[ {\"b\":1},\"]\" ]"},
    {"{}", "a", true, SCAN_ABSENT, NULL},
    {"{\"b\":1}", "a", true, SCAN_ABSENT, NULL},
    /* Quotes, backslashes and brackets within strings. */
    {"{\"x\":\"\\\"\",\"a\":1}", "a", true, SCAN_NUMBER, "1"},
    {"{\"x\":\"\\\\\",\"a\":1}", "a", true, SCAN_NUMBER, "1"},
    {"{\"x\":\"\\\\\\\"a\\\":2\",\"a\":1}", "a", true, SCAN_NUMBER, "1"},
    {"{\"x\":\"a\\\":2, and more than thirty-two bytes of it \\\\\\\" \\\\\",\"a\":1}", "a", true,
     SCAN_NUMBER, "1"},
    {"{\"x\":\"}{][\",\"a\":1}", "a", true, SCAN_NUMBER, "1"},
    {"{\"x\":[{\"a\":2,\"y\":\"]}\\\"\"}],\"a\":1}", "a", true, SCAN_NUMBER, "1"},
    {"{\"a\":\"q\\\"\\\\\"}", "a", true, SCAN_STRING, "q\\\"\\\\"},
    /* Where a value stands counts, not its name alone. */
    {"{\"x\":{\"a\":1},\"y\":[{\"a\":2}],\"z\":\"a\"}", "a", true, SCAN_ABSENT, NULL},
    {"{\"error\":{\"details\":{\"error_code\":\"spend\"}}}", "error.details.error_code", true,
     SCAN_STRING, "spend"},
    {"{\"details\":{\"error_code\":1},\"error\":{\"error_code\":2}}", "error.details.error_code",
     true, SCAN_ABSENT, NULL},
    {"{\"a\":{\"b\":{\"c\":{\"d\":7}}}}", "a.b.c.d", true, SCAN_NUMBER, "7"},
    {"{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":7}}}}}", "a.b.c.d.e", true, SCAN_ABSENT, NULL},
    {"{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":7}}}}}", "a.b.c.d", true, SCAN_OBJECT, "{\"e\":7}"},
    {"{\"a\":[{\"b\":1}]}", "a.b", true, SCAN_ABSENT, NULL},
    {"{\"a.b\":1}", "a.b", true, SCAN_ABSENT, NULL},
    {"{\"ab\":1,\"\":2}", "a", true, SCAN_ABSENT, NULL},
    {"{\"ab\":1,\"\":2}", "", true, SCAN_NUMBER, "2"},
    /* The last of a name counts, for what is in it too. */
    {"{\"a\":1,\"a\":2}", "a", true, SCAN_NUMBER, "2"},
    {"{\"a\":{\"b\":1},\"a\":{\"c\":2}}", "a.b", true, SCAN_ABSENT, NULL},
    {"{\"a\":{\"b\":1},\"a\":3}", "a.b", true, SCAN_ABSENT, NULL},
    {"{\"a\":3,\"a\":{\"b\":1}}", "a.b", true, SCAN_NUMBER, "1"},
    {"{\"a\":{\"b\":1,\"b\":\"z\"}}", "a.b", true, SCAN_STRING, "z"},
    /* Escapes are left as they are. */
    {"{\"\\u0061\":1}", "a", true, SCAN_ABSENT, NULL},
    {"{\"a\":\"\\u0061\"}", "a", true, SCAN_STRING, "\\u0061"},
    /* Found before the text went wrong or ended. */
    {"{\"a\":1,\"b\":", "a", false, SCAN_NUMBER, "1"},
    {"{\"a\":1,\"b\":", "b", false, SCAN_ABSENT, NULL},
    {"{\"a\":{\"b\":\"x\",\"c\":", "a.b", false, SCAN_STRING, "x"},
    {"{\"a\":{\"b\":\"x\",\"c\":", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":12", "a", false, SCAN_ABSENT, NULL}, /* or 123 */
    {"{\"a\":1e", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":1.", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":12 ", "a", false, SCAN_NUMBER, "12"},
    {"{\"a\":\"x", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":\"x\\\"", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":[1,2", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":1} x", "a", false, SCAN_NUMBER, "1"},
    {"{\"a\":1}{", "a", false, SCAN_NUMBER, "1"},
    {"{\"a\":1,\"b\":\"x", "a", false, SCAN_NUMBER, "1"},
    /* No object. */
    {"", "a", false, SCAN_ABSENT, NULL},
    {" ", "a", false, SCAN_ABSENT, NULL},
    {"[{\"a\":1}]", "a", false, SCAN_ABSENT, NULL},
    {"\"a\"", "a", false, SCAN_ABSENT, NULL},
    {"\xef\xbb\xbf{\"a\":1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\"}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\" 1}", "a", false, SCAN_ABSENT, NULL},
    {"{a:1}", "a", false, SCAN_ABSENT, NULL},
    {"{,\"a\":1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":tru}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":01}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":+1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"b\":1,,\"a\":1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"b\":1 \"a\":1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"b\":1;\"a\":1}", "a", false, SCAN_ABSENT, NULL},
    {"{\"a\":1,}", "a", false, SCAN_NUMBER, "1"},
    {"{\"b\":{},}", "a", false, SCAN_ABSENT, NULL},
    {"{\"b\":{\"c\":1}\"a\":1}", "a", false, SCAN_ABSENT, NULL},
};

static void finds(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct row *r = &rows[i];
        /* The other want makes the scanner go into the object that is asked for. */
        struct scan_want wants[2] = {{.path = r->path}, {.path = "a.zzz"}};
        for (size_t count = 1; count <= 2; count++) {
            bool object = scan_json(r->text, strlen(r->text), wants, count);
            const struct scan_value *v = &wants[0].value;
            if (object != r->object || v->kind != r->kind ||
                (r->value &&
                 (v->len != strlen(r->value) || memcmp(v->at, r->value, v->len) != 0))) {
                fail_msg("%s in %s: %s, kind %d, %.*s", r->path, r->text,
                         object ? "object" : "no object", (int)v->kind, (int)v->len,
                         v->len > 0 ? v->at : "");
            }
        }
    }
}

static void finds_many_at_once(void **state) {
    (void)state;
    static const char text[] = "{\"model\":\"m\",\"usage\":{\"in\":1,\"out\":{\"x\":2}},\"w33\":1}";
    struct scan_want wants[SCAN_WANTS + 1];
    for (size_t i = 0; i < LENGTH(wants); i++) {
        wants[i] = (struct scan_want){.path = "usage.out.x"};
    }
    wants[0].path = "model";
    wants[1].path = "usage";
    wants[2].path = "usage.in";
    wants[3].path = "usage.out";
    wants[SCAN_WANTS].path = "w33";
    assert_true(scan_json(text, sizeof text - 1, wants, LENGTH(wants)));
    assert_true(scan_is(&wants[0].value, "m"));
    assert_int_equal(wants[1].value.kind, SCAN_OBJECT);
    assert_int_equal(wants[1].value.len, strlen("{\"in\":1,\"out\":{\"x\":2}}"));
    assert_int_equal(scan_integer(&wants[2].value), 1);
    assert_int_equal(wants[3].value.len, strlen("{\"x\":2}"));
    for (size_t i = 4; i < SCAN_WANTS; i++) {
        assert_int_equal(scan_integer(&wants[i].value), 2);
    }
    /* One more than there may be is not looked for, and not left as it was. */
    assert_int_equal(wants[SCAN_WANTS].value.kind, SCAN_ABSENT);
    assert_true(scan_json("{}", 2, wants, 0));
    assert_false(scan_json("[]", 2, NULL, 0));
}

/* Depth costs neither stack nor much time. */
static void goes_over_any_depth(void **state) {
    (void)state;
    const size_t depth = 1000 * 1000;
    struct buf b;
    buf_init(&b, 10 * depth);
    struct scan_want wants[] = {{.path = "a"}, {.path = "b"}};
    buf_puts(&b, "{\"b\":");
    for (size_t i = 0; i < depth; i++) {
        buf_puts(&b, "[{\"a\":");
    }
    assert_false(scan_json(b.data, b.len, wants, 2));
    buf_puts(&b, "0");
    for (size_t i = 0; i < depth; i++) {
        buf_puts(&b, "}]");
    }
    buf_puts(&b, ",\"a\":1}");
    assert_true(scan_json(b.data, b.len, wants, 2));
    assert_int_equal(wants[0].value.len, 1);
    assert_int_equal(wants[1].value.len, 8 * depth + 1);
    /* Backslashes without end, and quotes that are all escaped. */
    buf_reset(&b);
    buf_puts(&b, "{\"a\":\"");
    for (size_t i = 0; i < depth; i++) {
        buf_puts(&b, i < depth / 2 ? "\\\\" : "\\\"");
    }
    assert_false(scan_json(b.data, b.len, wants, 2));
    buf_puts(&b, "\"}");
    assert_true(scan_json(b.data, b.len, wants, 2));
    assert_int_equal(wants[0].value.len, 2 * depth);
    buf_free(&b);
}

/* --- against a whole parser ------------------------------------------------------------------- */

static uint64_t below(struct prng *random, uint64_t bound) {
    return prng_below(random, bound);
}

static void put_space(struct buf *b, struct prng *random) {
    static const char *const spaces[] = {"", "", "", "", " ", "\n  ", "\t", "\r\n"};
    buf_puts(b, spaces[below(random, LENGTH(spaces))]);
}

static void put_string(struct buf *b, struct prng *random) {
    static const char *const parts[] = {
        "a",       "\\\"", "\\\\",     "\\n",
        "\\u0041", "{",    "}",        "[",
        "]",       ",",    ":",        "\xc3\xa4",
        "model",   "\\/",  "\\\\\\\"", "0123456789 0123456789 0123456789 0123456789 "};
    buf_putc(b, '"');
    for (uint64_t n = below(random, 6); n > 0; n--) {
        buf_puts(b, parts[below(random, LENGTH(parts))]);
    }
    buf_putc(b, '"');
}

static void put_value(struct buf *b, struct prng *random, unsigned depth);

static void put_object(struct buf *b, struct prng *random, unsigned depth) {
    static const char *const names[] = {"a",     "a",    "a",   "b", "b",  "c",    "model",
                                        "error", "code", "a.b", "",  "aa", "\\\"", "\\u0061"};
    buf_putc(b, '{');
    put_space(b, random);
    for (uint64_t i = 0, n = below(random, 5); i < n; i++) {
        buf_puts(b, i > 0 ? "," : "");
        put_space(b, random);
        /* A name with escapes, now and then only: values are not compared then. */
        uint64_t choice = below(random, 20) == 0 ? 2 : 0;
        buf_printf(b, "\"%s\"", names[below(random, LENGTH(names) - 2 + choice)]);
        put_space(b, random);
        buf_putc(b, ':');
        put_space(b, random);
        put_value(b, random, depth + 1);
        put_space(b, random);
    }
    buf_putc(b, '}');
}

static void put_value(struct buf *b, struct prng *random, unsigned depth) {
    static const char *const plain[] = {"true", "false", "null", "0", "-1.5e3", "12", "1E-2"};
    uint64_t kind = below(random, depth > 6 ? 3 : 8);
    if (kind < 2) {
        buf_puts(b, plain[below(random, LENGTH(plain))]);
    } else if (kind == 2) {
        put_string(b, random);
    } else if (kind == 3) {
        buf_putc(b, '[');
        for (uint64_t i = 0, n = below(random, 4); i < n; i++) {
            buf_puts(b, i > 0 ? "," : "");
            put_value(b, random, depth + 1);
        }
        buf_putc(b, ']');
    } else {
        put_object(b, random, depth);
    }
}

/* A page of memory that neither what is before it nor what is behind it may be touched. */
struct fence {
    char *all, *page;
    size_t size;
};

static struct fence fence_open(void) {
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    char *all = mmap(NULL, 3 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(all, MAP_FAILED);
    assert_int_equal(mprotect(all + size, size, PROT_READ | PROT_WRITE), 0);
    return (struct fence){all, all + size, size};
}

static void compare(struct fence *f, const char *text, size_t len, size_t *read) {
    assert_true(len <= f->size);
    char *ends[] = {f->page + f->size - len, f->page};
    for (size_t i = 0; i < 2; i++) {
        bool object;
        memcpy(ends[i], text, len);
        char *differs = scan_compare(ends[i], len, &object);
        if (differs) {
            fail_msg("%s, in: %.*s", differs, (int)len, text);
        }
        *read += object;
    }
}

static void agrees_with_jansson(void **state) {
    (void)state;
    struct fence fence = fence_open();
    struct prng random;
    struct buf b;
    size_t read = 0, spoilt = 0, count = 0;
    prng_seed(&random, 20261128);
    buf_init(&b, fence.size);
    while (count < 3000) {
        buf_reset(&b);
        put_object(&b, &random, 0);
        if (b.failed) {
            continue; /* longer than a page */
        }
        count++;
        compare(&fence, b.data, b.len, &read);
        /* And with a byte or two changed: hardly ever JSON then, but sometimes. */
        for (uint64_t n = below(&random, 2) + 1; n > 0; n--) {
            static const char bytes[] = "\"\\{}[],: 1a\n\xff";
            b.data[below(&random, b.len)] = bytes[below(&random, sizeof bytes)];
        }
        compare(&fence, b.data, b.len, &spoilt);
    }
    assert_int_equal(read, 2 * count);
    assert_in_range(spoilt, 1, 2 * count - 1);
    buf_free(&b);
    assert_int_equal(munmap(fence.all, 3 * fence.size), 0);
}

/* Every beginning of a text, with the rest of the memory out of bounds: what is found is a value of
 * the whole, and no beginning passes for an object. */
static void stays_within_any_beginning(void **state) {
    (void)state;
    static const char text[] =
        " {\"x\":[{\"a\":\"\\\\\\\"\"},[],{}],\"a\": "
        "{\"b\":\"0123456789012345678901234567890123456789"
        "\\\"\",\"c\":-1.5e3,\"d\":true},\"y\":false,\"z\":null,\"model\":\"m\"}";
    static const char *const paths[] = {"a.b", "a.c", "a.d", "a", "y", "z", "model"};
    struct fence fence = fence_open();
    struct scan_want whole[LENGTH(paths)], part[LENGTH(paths)];
    for (size_t i = 0; i < LENGTH(paths); i++) {
        whole[i].path = part[i].path = paths[i];
    }
    assert_true(scan_json(text, sizeof text - 1, whole, LENGTH(paths)));
    for (size_t len = 0; len < sizeof text - 1; len++) {
        char *at = fence.page + fence.size - len;
        memcpy(at, text, len);
        assert_false(scan_json(at, len, part, LENGTH(paths)));
        for (size_t i = 0; i < LENGTH(paths); i++) {
            const struct scan_value *p = &part[i].value, *w = &whole[i].value;
            bool there = (size_t)(w->at - text) + w->len < len;
            if (p->kind == SCAN_ABSENT) {
                /* A string's quote, a number's delimiter may be missing still. */
                assert_true(!there || (size_t)(w->at - text) + w->len + 1 >= len);
            } else if (p->kind != w->kind || p->len != w->len || p->at - at != w->at - text) {
                fail_msg("%s in the first %zu bytes: kind %d, %zu bytes", paths[i], len,
                         (int)p->kind, p->len);
            }
        }
    }
    assert_int_equal(munmap(fence.all, 3 * fence.size), 0);
}

/* --- reading what was found ------------------------------------------------------------------- */

static struct scan_value value_of(enum scan_kind kind, const char *text) {
    return (struct scan_value){kind, text, strlen(text)};
}

static void reads_whole_numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } numbers[] = {
        {"0", 0},
        {"32000", 32000},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"99999999999999999999999999", INT64_MAX},
        {"1e400", INT64_MAX},
        {"9.3e18", INT64_MAX},
        {"12.0", 12},
        {"1.2e1", 12},
        {"1200e-2", 12},
        {"12.5", -1},
        {"-1", -1},
        {"-12.0", -1},
        {"-9e99", -1},
        {"1e-400", 0},
    };
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        struct scan_value v = value_of(SCAN_NUMBER, numbers[i].text);
        if (scan_integer(&v) != numbers[i].value) {
            fail_msg("%s: %lld", numbers[i].text, (long long)scan_integer(&v));
        }
    }
    struct scan_value no = value_of(SCAN_STRING, "1");
    assert_int_equal(scan_integer(&no), -1);
    no = (struct scan_value){0};
    assert_int_equal(scan_integer(&no), -1);
    char endless[2000];
    memset(endless, '0', sizeof endless);
    endless[1] = '.';
    no = (struct scan_value){SCAN_NUMBER, endless, sizeof endless};
    assert_int_equal(scan_integer(&no), -1);
    memset(endless, '9', sizeof endless);
    assert_int_equal(scan_integer(&no), INT64_MAX);
}

static void compares_strings(void **state) {
    (void)state;
    struct scan_value v = {SCAN_STRING, "ping!", 4};
    assert_true(scan_is(&v, "ping"));
    assert_false(scan_is(&v, "pin"));
    assert_false(scan_is(&v, "ping!"));
    assert_false(scan_is(&v, "pong"));
    v.kind = SCAN_NUMBER;
    assert_false(scan_is(&v, "ping"));
    v = (struct scan_value){0};
    assert_false(scan_is(&v, ""));
    v.kind = SCAN_STRING;
    v.at = "x";
    assert_true(scan_is(&v, ""));
}

static void copies_strings(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t len, size;
        const char *copy;
    } copies[] = {
        {"claude", 6, 7, "claude"},
        {"claude", 6, 6, "claud"},
        {"claude", 6, 1, ""},
        {"", 0, 8, ""},
        {"a\x1b[31m\n\x7f", 8, 20, "a?[31m??"},
        {"a\0b", 3, 20, "a?b"},
        {"\\n\\u0000", 8, 20, "\\n\\u0000"},
        {"a\xc3\xa4", 3, 4, "a\xc3\xa4"},
        {"a\xc3\xa4", 3, 3, "a"},
        {"\xe2\x82\xac\xe2\x82\xac", 6, 6, "\xe2\x82\xac"},
        {"\xf0\x9f\x98\x80z", 5, 4, ""},
        {"\xff\xc3", 2, 20, "??"},
        {"\x80\x80\x80\x80\x80\x80", 6, 6, "??"},
    };
    for (size_t i = 0; i < LENGTH(copies); i++) {
        char out[20];
        memset(out, 'z', sizeof out);
        struct scan_value v = {SCAN_STRING, copies[i].text, copies[i].len};
        scan_copy(&v, out, copies[i].size);
        assert_string_equal(out, copies[i].copy);
        for (size_t k = copies[i].size; k < sizeof out; k++) {
            assert_int_equal(out[k], 'z');
        }
        v.kind = SCAN_NUMBER;
        scan_copy(&v, out, sizeof out);
        assert_string_equal(out, "");
        scan_copy(&v, NULL, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(finds_many_at_once),
        cmocka_unit_test(goes_over_any_depth),
        cmocka_unit_test(agrees_with_jansson),
        cmocka_unit_test(stays_within_any_beginning),
        cmocka_unit_test(reads_whole_numbers),
        cmocka_unit_test(compares_strings),
        cmocka_unit_test(copies_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
