/* SPDX-License-Identifier: Apache-2.0 */
/* Masking: forms, ends, overlaps, chance, time, and what happens without memory. */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "base/prng.h"
#include "base/str.h"
#include "work/secrets.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Refused while it is set: see meson.build. */
static bool no_memory;
void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size) {
    return no_memory ? NULL : __real_realloc(old, size);
}

static struct secrets *make(const char *const *values, size_t count) {
    struct secret_value list[8];
    struct secrets *s;
    assert_true(count <= COUNT(list));
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct secret_value){"name", values[i], strlen(values[i])};
    }
    assert_int_equal(secrets_new(list, count, &s, NULL), HARDY_OK);
    return s;
}

/* In memory of just this size, so that what reads or writes beyond it is found. */
static void expect_bytes(const struct secrets *s, const char *text, size_t len, const char *masked,
                         size_t masked_len) {
    char *copy = malloc(len > 0 ? len : 1);
    size_t left = len;
    assert_non_null(copy);
    memcpy(copy, text, len);
    secrets_mask(s, copy, &left);
    if (left != masked_len || memcmp(copy, masked, left) != 0) {
        fail_msg("%.*s became %.*s instead of %s", (int)len, text, (int)left, copy, masked);
    }
    free(copy);
}

static void expect(const struct secrets *s, const char *text, const char *masked) {
    expect_bytes(s, text, strlen(text), masked, strlen(masked));
}

static void places(void **state) {
    static const char *const values[] = {"hunter22"};
    struct secrets *s = make(values, 1);
    (void)state;
    expect(s, "", "");
    expect(s, "x", "x");
    expect(s, "nothing here", "nothing here");
    expect(s, "hunter22", "***");
    expect(s, "hunter2", "hunter2");
    expect(s, "hunter22 first", "*** first");
    expect(s, "at the end hunter22", "at the end ***");
    expect(s, "hunter22hunter22", "******");
    expect(s, "hunterhunter22 hunter2hunter22", "hunter*** hunter2***");
    expect(s, "a hunter22 b hunter22 c", "a *** b *** c");
    expect_bytes(s, "\0\xff\0hunter22\0\xfe", 13, "\0\xff\0***\0\xfe", 8);
    expect(NULL, "hunter22", "hunter22");
    char text[] = "hunter22!";
    size_t len = strlen(text);
    secrets_mask(s, text, &len);
    assert_string_equal(text, "***!");
    secrets_free(s);
    secrets_free(NULL);
    s = make(NULL, 0);
    expect(s, "hunter22", "hunter22");
    secrets_free(s);
}

static void overlaps(void **state) {
    static const char *const nested[] = {"token", "my-token-long", "abcd", "bcde", "cdxx", "aaaa"};
    struct secrets *s = make(nested, COUNT(nested));
    (void)state;
    expect(s, "my-token-long", "***");
    expect(s, "my-token-lon", "my-***-lon");
    expect(s, "abcde", "***");
    expect(s, "abcdxx", "***");
    expect(s, "xabcdey", "x***y");
    expect(s, "aaaaaaaaa", "***");
    expect(s, "abcdbcde", "******");
    secrets_free(s);
    /* the outer one is known last, when the inner one has been found already, twice */
    static const char *const outer[] = {"1234", "6789", "x1234-6789y"};
    s = make(outer, COUNT(outer));
    expect(s, "x1234-6789y", "***");
    expect(s, "x1234-6789z", "x***-***z");
    secrets_free(s);
}

static void forms(void **state) {
    static const char *const values[] = {"p\"a\\s/\nw<\xc3\xa9\xf0\x9f\x98\x80"};
    static const char *const rows[] = {
        "p\"a\\s/\nw<\xc3\xa9\xf0\x9f\x98\x80",
        "p\\\"a\\\\s/\\nw<\xc3\xa9\xf0\x9f\x98\x80",       /* RFC 8785 */
        "p\\\"a\\\\s\\/\\nw<\xc3\xa9\xf0\x9f\x98\x80",     /* with the slash escaped */
        "p\\\"a\\\\s/\\nw\\u003c\xc3\xa9\xf0\x9f\x98\x80", /* Go */
        "p\\\"a\\\\s/\\nw<\\u00e9\\ud83d\\ude00",          /* Python */
        "p\\\"a\\\\s/\\nw<\\u00E9\\uD83D\\uDE00",          /* jansson */
        "p\\\"a\\\\s\\/\\nw<\\u00e9\\ud83d\\ude00",        /* PHP */
        "p%22a%5Cs%2F%0Aw%3C%C3%A9%F0%9F%98%80",           /* in a URL */
        "p%22a%5cs%2f%0aw%3c%c3%a9%f0%9f%98%80",
    };
    struct secrets *s = make(values, 1);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = str_format("{\"k\":\"%s\"}", rows[i]);
        expect(s, text, "{\"k\":\"***\"}");
        free(text);
    }
    secrets_free(s);
    static const char *const spaced[] = {"two words"};
    s = make(spaced, 1);
    expect(s, "?k=two+words&l=two%20words", "?k=***&l=***");
    secrets_free(s);
}

/* The encodings are of coreutils' base64. A digit that holds bits of something else too stays. */
static void base64(void **state) {
    static const char *const values[] = {"hunter22", "abcd", "\xfb\xff\xfe\xfd\xfc\xfb\xfa\xf9"};
    static const struct {
        const char *text, *masked;
    } rows[] = {
        {"aHVudGVyMjI=", "***"},                   /* hunter22 */
        {"aHVudGVyMjI", "***"},                    /* without its padding */
        {"aHVudGVyMjIK", "***K"},                  /* and a line end: the core */
        {"dXNlcjpodW50ZXIyMg==", "dXNlcjp***g=="}, /* user:hunter22, in its groups of three */
        {"YWE6aHVudGVyMjI6Yg==", "YWE6***6Yg=="},  /* aa:hunter22:b */
        {"YTpodW50ZXIyMjpi", "YTp***jpi"},         /* a:hunter22:b */
        {"dXNlcjE6aHVudGVyMjI=", "dXNlcjE6***"},   /* user1:hunter22 */
        {"YWJjZA==", "***"},                       /* abcd */
        {"YWJjZA", "***"},                         /* */
        {"+//+/fz7+vk=", "***"},                   /* both alphabets */
        {"-__-_fz7-vk", "***"},                    /* */
    };
    struct secrets *s = make(values, COUNT(values));
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        expect(s, rows[i].text, rows[i].masked);
    }
    secrets_free(s);
}

static void refusals(void **state) {
    static const struct secret_value shorter[] = {{"good", "12345", 5}, {"PIN", "123", 3}};
    char *large = calloc(1, SECRETS_BYTES_MAX);
    const struct secret_value larger[] = {{"one", large, SECRETS_BYTES_MAX}, {"two", "1234", 4}};
    struct secrets *s;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    (void)state;
    assert_int_equal(secrets_new(shorter, 2, &s, &error), HARDY_E_INVALID);
    assert_null(s);
    assert_true(str_starts(error.message, "the secret PIN has 3 bytes: "));
    assert_null(strstr(error.message, "123"));
    assert_int_equal(secrets_new(larger, 2, &s, &error), HARDY_E_TOO_LARGE);
    assert_true(str_starts(error.message, "the secrets up to two have more than 65536 bytes"));
    assert_int_equal(secrets_new(larger, 1, &s, &error), HARDY_OK);
    secrets_free(s);
    free(large);
}

/* What a simple search covers, is covered, and nothing else. */
static size_t mask_slowly(const char *const *values, size_t count, char *text, size_t len) {
    bool covered[80] = {false}, begins[80] = {false};
    size_t ends[80] = {0}, out = 0;
    for (size_t i = 0; i < len; i++) {
        for (size_t v = 0; v < count; v++) {
            size_t n = strlen(values[v]);
            if (n <= len - i && memcmp(text + i, values[v], n) == 0) {
                ends[i] = i + n > ends[i] ? i + n : ends[i];
            }
        }
    }
    size_t until = 0;
    for (size_t i = 0; i < len; i++) {
        begins[i] = ends[i] > 0 && i >= until; /* touches, but does not overlap */
        until = ends[i] > until ? ends[i] : until;
        covered[i] = i < until;
    }
    for (size_t i = 0; i < len; i++) {
        if (begins[i]) {
            memcpy(text + out, "***", 3);
            out += 3;
        } else if (!covered[i]) {
            text[out++] = text[i];
        }
    }
    return out;
}

static void as_a_simple_search(void **state) {
    struct prng random;
    prng_seed(&random, 7);
    size_t found = 0;
    (void)state;
    for (int round = 0; round < 4000; round++) {
        char words[4][12], text[61], slow[61];
        const char *values[4];
        for (size_t v = 0; v < 4; v++) {
            size_t n = 4 + prng_below(&random, 4);
            for (size_t i = 0; i < n; i++) {
                words[v][i] = "ab!"[prng_below(&random, 3)]; /* no form but itself */
            }
            words[v][n] = '\0';
            values[v] = words[v];
        }
        size_t len = prng_below(&random, 60), slow_len;
        for (size_t i = 0; i < len; i++) {
            text[i] = "ab!"[prng_below(&random, 3)];
        }
        memcpy(slow, text, len);
        slow_len = mask_slowly(values, 4, slow, len);
        struct secrets *s = make(values, 4);
        expect_bytes(s, text, len, slow, slow_len);
        found += slow_len != len;
        secrets_free(s);
    }
    assert_true(found > 1000);
}

/* A search that goes back would take minutes for this. */
static void in_one_pass(void **state) {
    size_t len = (size_t)8 << 20, value_len = 20000;
    char *text = malloc(len), *value = malloc(value_len);
    assert_true(text && value);
    memset(text, 'a', len);
    memset(value, 'a', value_len);
    value[value_len - 1] = 'b';
    const struct secret_value one = {"long", value, value_len};
    struct secrets *s;
    (void)state;
    assert_int_equal(secrets_new(&one, 1, &s, NULL), HARDY_OK);
    size_t left = len;
    secrets_mask(s, text, &left);
    assert_int_equal(left, len);
    text[len - 1] = 'b';
    secrets_mask(s, text, &left);
    assert_int_equal(left, len - value_len + 3);
    assert_memory_equal(text + left - 4, "a***", 4);
    secrets_free(s);
    free(text);
    free(value);
}

static void without_memory(void **state) {
    static const char *const values[] = {"hunter22"};
    struct secrets *s = make(values, 1);
    (void)state;
    no_memory = true;
    expect(s, "nothing to hide", "nothing to hide");
    expect(s, "something hunter22 to hide", "***");
    no_memory = false;
    secrets_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),      cmocka_unit_test(overlaps),
        cmocka_unit_test(forms),       cmocka_unit_test(base64),
        cmocka_unit_test(refusals),    cmocka_unit_test(as_a_simple_search),
        cmocka_unit_test(in_one_pass), cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
