/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/parse.h"
#include "base/prng.h"
#include <math.h>
#include <string.h>

static hardy_error last;

static hardy_error *error(void) {
    hardy_error_init(&last, sizeof last);
    return &last;
}

static void expect_said(const char *said) {
    if (!strstr(last.message, said)) {
        fail_msg("\"%s\" does not say \"%s\"", last.message, said);
    }
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t span;
    } rows[] = {
        {"0", 0},
        {"0s", 0},
        {"1ns", 1},
        {"250us", 250 * HARDY_MICROSECOND},
        {"250ms", 250 * HARDY_MILLISECOND},
        {"0.5s", 500 * HARDY_MILLISECOND},
        {"1.000000001s", HARDY_SECOND + 1},
        {"30s", 30 * HARDY_SECOND},
        {"2m", 2 * HARDY_MINUTE},
        {"1h30m", 90 * HARDY_MINUTE},
        {"7d", 7 * HARDY_DAY},
        {"1d2h3m4s5ms6us7ns",
         HARDY_DAY + 2 * HARDY_HOUR + 3 * HARDY_MINUTE + 4 * HARDY_SECOND + INT64_C(5006007)},
        {"1.5h", 90 * HARDY_MINUTE},
        {"0.1ns", 0},
        {"0.5ns", 1},
        {"9223372036854775806ns", INT64_MAX - 1},
        {"106751d", 106751 * HARDY_DAY},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t span = -1;
        if (parse_duration(rows[i].text, &span, error()) != HARDY_OK) {
            fail_msg("%s: %s", rows[i].text, last.message);
        }
        assert_int_equal(span, rows[i].span);
    }
}

static void durations_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"30", "\"30\" has no unit"},
        {"", "expected a duration such as"},
        {"s", "not \"s\""},
        {"-1s", "not \"-1s\""},
        {" 1s", "not"},
        {"1s ", "not"},
        {"1.s", "not"},
        {".5s", "not"},
        {"1sec", "\"sec\""},
        {"1M", "\"M\""},
        {"1m1m", "larger unit"},
        {"30m1h", "larger unit"},
        {"1h30", "no unit"},
        {"300y", "\"y\""},
        {"9223372036854775807ns", "292 years"},
        {"106752d", "292 years"},
        {"106751d24h", "292 years"},
        {"99999999999999999999999s", "292 years"},
        {"1e3s", "\"e\""},
        {"00", "no unit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t span = -1;
        assert_int_equal(parse_duration(rows[i].text, &span, error()), HARDY_E_SYNTAX);
        assert_int_equal(span, -1);
        expect_said(rows[i].said);
    }
}

static void durations_are_written(void **state) {
    (void)state;
    static const struct {
        int64_t span;
        const char *exact, *brief;
    } rows[] = {
        {0, "0s", "0s"},
        {1, "1ns", "1ns"},
        {999, "999ns", "999ns"},
        {1500, "1.5us", "1.5us"},
        {250 * HARDY_MILLISECOND, "250ms", "250ms"},
        {HARDY_MILLISECOND + 1, "1.000001ms", "1ms"},
        {999999999, "999.999999ms", "1s"},
        {HARDY_SECOND, "1s", "1s"},
        {4200 * HARDY_MILLISECOND, "4.2s", "4.2s"},
        {4249 * HARDY_MILLISECOND, "4.249s", "4.2s"},
        {9960 * HARDY_MILLISECOND, "9.96s", "10s"},
        {59600 * HARDY_MILLISECOND, "59.6s", "1m"},
        {90 * HARDY_SECOND, "1m30s", "1m 30s"},
        {90500 * HARDY_MILLISECOND, "1m30.5s", "1m 31s"},
        {HARDY_HOUR - HARDY_MILLISECOND, "59m59.999s", "1h"},
        {90 * HARDY_MINUTE, "1h30m", "1h 30m"},
        {HARDY_DAY, "1d", "1d"},
        {HARDY_DAY + HARDY_SECOND, "1d1s", "1d"},
        {36 * HARDY_HOUR, "1d12h", "1d 12h"},
        {HARDY_DAY + HARDY_MILLISECOND, "1d1ms", "1d"},
        {-90 * HARDY_SECOND, "-1m30s", "-1m 30s"},
        {HARDY_NEVER, "never", "never"},
        {INT64_MAX - 1, "106751d23h47m16.854775806s", "106752d"},
        {INT64_MIN, "-106751d23h47m16.854775808s", "-106752d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[48];
        format_duration(rows[i].span, text);
        assert_string_equal(text, rows[i].exact);
        format_duration_short(rows[i].span, text);
        assert_string_equal(text, rows[i].brief);
    }
}

static void what_is_written_is_read_again(void **state) {
    (void)state;
    struct prng p;
    prng_seed(&p, 1);
    for (int i = 0; i < 20000; i++) {
        int64_t span = (int64_t)(prng_next(&p) >> (1 + prng_below(&p, 63))), back;
        char text[48];
        if (span == HARDY_NEVER) {
            continue;
        }
        format_duration(span, text);
        assert_int_equal(parse_duration(text, &back, error()), HARDY_OK);
        assert_int_equal(back, span);
    }
}

static void rates(void **state) {
    (void)state;
    struct rate rate;
    assert_int_equal(parse_rate("10/s", &rate, error()), HARDY_OK);
    assert_true(rate.events == 10 && rate.period == HARDY_SECOND);
    assert_int_equal(parse_rate("400000/m", &rate, error()), HARDY_OK);
    assert_true(rate.events == 400000 && rate.period == HARDY_MINUTE);
    assert_int_equal(parse_rate("0.5/h", &rate, error()), HARDY_OK);
    assert_true(rate.events == 0.5 && rate.period == HARDY_HOUR);
    double each_second;
    assert_int_equal(parse_per_second("20", &each_second, error()), HARDY_OK);
    assert_true(each_second == 20);
    assert_int_equal(parse_per_second("600/m", &each_second, error()), HARDY_OK);
    assert_true(each_second == 10);
    assert_int_equal(parse_per_second("0", &each_second, error()), HARDY_E_SYNTAX);
    assert_int_equal(parse_per_second("", &each_second, error()), HARDY_E_SYNTAX);
    assert_int_equal(parse_per_second("20x", &each_second, error()), HARDY_E_SYNTAX);
    assert_int_equal(parse_rate("100/d", &rate, error()), HARDY_OK);
    assert_true(rate.period == HARDY_DAY);
    static const char *const refused[] = {"10",   "10/",  "/s",   "10/sec", "10/ms",  "0/s",
                                          "-1/s", "1/s ", "1 /s", "x/s",    "1e400/s"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(parse_rate(refused[i], &rate, error()), HARDY_E_SYNTAX);
        expect_said("10/s, 50/m");
    }
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t size;
    } rows[] = {
        {"0", 0},
        {"65536", 65536},
        {"64KiB", 65536},
        {"1MiB", 1048576},
        {"2GiB", UINT64_C(2147483648)},
        {"1.5GiB", UINT64_C(1610612736)},
        {"10kB", 10000},
        {"1MB", 1000000},
        {"7B", 7},
        {"18446744073709551614", UINT64_MAX - 1},
    };
    uint64_t size;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse_size(rows[i].text, &size, error()), HARDY_OK);
        assert_true(size == rows[i].size);
    }
    static const char *const refused[] = {"",      "KiB",        "1 MiB", "-1",
                                          "1kb",   "1e3",        "1K",    "18446744073709551616",
                                          "1MiBx", "99999999TiB"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(parse_size(refused[i], &size, error()), HARDY_E_SYNTAX);
        expect_said(refused[i]);
    }
}

static void numbers(void **state) {
    (void)state;
    int64_t integer;
    double number;
    bool yes;
    assert_int_equal(parse_integer("-5", -5, 5, &integer, error()), HARDY_OK);
    assert_int_equal(integer, -5);
    assert_int_equal(parse_integer("9223372036854775807", 0, INT64_MAX, &integer, error()),
                     HARDY_OK);
    static const char *const no_integers[] = {
        "", "6", "-6", "+1", "1.0", "0x1", " 1", "1 ", "1e1", "--1", "-", "99999999999999999999"};
    for (size_t i = 0; i < sizeof no_integers / sizeof no_integers[0]; i++) {
        assert_int_equal(parse_integer(no_integers[i], -5, 5, &integer, error()), HARDY_E_SYNTAX);
        expect_said("from -5 to 5");
    }
    assert_int_equal(parse_number("0.25", 0, 1, &number, error()), HARDY_OK);
    assert_true(number == 0.25);
    assert_int_equal(parse_number("1e2", 0, INFINITY, &number, error()), HARDY_OK);
    static const char *const no_numbers[] = {"", "2", "-0.1", "nan", "inf", "0x1p0", " 0", "0,5"};
    for (size_t i = 0; i < sizeof no_numbers / sizeof no_numbers[0]; i++) {
        assert_int_equal(parse_number(no_numbers[i], 0, 1, &number, error()), HARDY_E_SYNTAX);
        expect_said("from 0 to 1");
    }
    assert_int_equal(parse_bool("true", &yes, error()), HARDY_OK);
    assert_true(yes);
    assert_int_equal(parse_bool("false", &yes, error()), HARDY_OK);
    assert_false(yes);
    assert_int_equal(parse_bool("yes", &yes, error()), HARDY_E_SYNTAX);
    expect_said("true or false, not \"yes\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations),
        cmocka_unit_test(durations_refused),
        cmocka_unit_test(durations_are_written),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(rates),
        cmocka_unit_test(sizes),
        cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
