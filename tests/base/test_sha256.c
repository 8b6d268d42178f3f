/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/sha256.h"
#include <stdlib.h>
#include <string.h>

/* FIPS 180-4 examples, and the lengths around a block from NIST's short message file. */
static void known_digests(void **state) {
    (void)state;
    static const struct {
        const char *text, *digest;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "m"
         "nopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char hex[65];
        sha256_hex(rows[i].text, strlen(rows[i].text), hex);
        assert_string_equal(hex, rows[i].digest);
    }
}

static void a_million_letters(void **state) {
    (void)state;
    struct sha256 s;
    char chunk[1000], hex[65];
    memset(chunk, 'a', sizeof chunk);
    sha256_init(&s);
    for (int i = 0; i < 1000; i++) {
        sha256_add(&s, chunk, sizeof chunk);
    }
    sha256_done_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* However a text is cut into pieces, the digest is the same: every length over three blocks. */
static void pieces_make_no_difference(void **state) {
    (void)state;
    uint8_t text[193];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 7);
    }
    for (size_t len = 0; len <= sizeof text; len++) {
        char whole[65], pieces[65];
        sha256_hex(text, len, whole);
        for (size_t cut = 0; cut <= len; cut += 13) {
            struct sha256 s;
            sha256_init(&s);
            sha256_add(&s, text, cut);
            sha256_add(&s, text + cut, len - cut);
            sha256_done_hex(&s, pieces);
            assert_string_equal(pieces, whole);
        }
    }
}

static void parts_do_not_run_together(void **state) {
    (void)state;
    struct sha256 s;
    char ab_c[65], a_bc[65];
    sha256_init(&s);
    sha256_add_part(&s, "ab", 2);
    sha256_add_part(&s, "c", 1);
    sha256_done_hex(&s, ab_c);
    sha256_init(&s);
    sha256_add_part(&s, "a", 1);
    sha256_add_part(&s, "bc", 2);
    sha256_done_hex(&s, a_bc);
    assert_string_not_equal(ab_c, a_bc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
        cmocka_unit_test(a_million_letters),
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(parts_do_not_run_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
