/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"
#include "observe/exposition.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct buf page;
static struct exposition x;

static int begin(void **state) {
    (void)state;
    buf_init(&page, 1 << 16);
    exposition_begin(&x, &page);
    return 0;
}

static int end(void **state) {
    (void)state;
    buf_free(&page);
    return 0;
}

static void writes_families_and_samples(void **state) {
    (void)state;
    exposition_family(&x, "hardy_requests_total", "counter", "requests by how they ended");
    exposition_sample(&x, "hardy_requests_total", 3, "upstream", "anthropic", "ended", "ok", NULL);
    exposition_sample(&x, "hardy_requests_total", 0, "upstream", "openai", "ended", "", NULL);
    exposition_family(&x, "hardy_up", "gauge", "a \\ and\na \"quote\"");
    exposition_sample(&x, "hardy_up", 1, NULL);
    assert_string_equal(page.data, "# HELP hardy_requests_total requests by how they ended\n"
                                   "# TYPE hardy_requests_total counter\n"
                                   "hardy_requests_total{upstream=\"anthropic\",ended=\"ok\"} 3\n"
                                   "hardy_requests_total{upstream=\"openai\",ended=\"\"} 0\n"
                                   "# HELP hardy_up a \\\\ and\\na \"quote\"\n"
                                   "# TYPE hardy_up gauge\n"
                                   "hardy_up 1\n");
}

static void escapes_label_values(void **state) {
    (void)state;
    static const struct {
        const char *value, *written;
    } rows[] = {
        {"plain text, {}=", "plain text, {}="},
        {"\"", "\\\""},
        {"\\", "\\\\"},
        {"a\nb", "a\\nb"},
        {"\\n\"", "\\\\n\\\""},
        {"\xc3\xa4 \xf0\x9f\x98\x80", "\xc3\xa4 \xf0\x9f\x98\x80"},
        {"a\xff z", "a\xef\xbf\xbd z"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc3\"", "\xef\xbf\xbd\\\""},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\t\r", "\t\r"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char wanted[100];
        buf_reset(&page);
        exposition_sample(&x, "m", 1, "l", rows[i].value, NULL);
        snprintf(wanted, sizeof wanted, "m{l=\"%s\"} 1\n", rows[i].written);
        assert_string_equal(page.data, wanted);
    }
}

static void writes_numbers(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *written;
    } rows[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-17, "-17"},
        {1732809845, "1732809845"},
        {1e15, "1000000000000000"},
        {9007199254740993.0, "9007199254740992"},
        {1e20, "100000000000000000000"},
        {1e300, "1e+300"},
        {0.1, "0.1"},
        {0.25, "0.25"},
        {1.0 / 3, "0.3333333333333333"},
        {1732809845.123, "1732809845.123"},
        {-1e-9, "-1e-9"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
        {NAN, "NaN"},
        {-NAN, "NaN"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        char wanted[100];
        buf_reset(&page);
        exposition_sample(&x, "m", rows[i].value, NULL);
        snprintf(wanted, sizeof wanted, "m %s\n", rows[i].written);
        assert_string_equal(page.data, wanted);
    }
}

static void writes_histograms(void **state) {
    (void)state;
    static const double bounds[] = {0.05, 1, 2.5};
    struct histogram h;
    histogram_init(&h, bounds, LENGTH(bounds));
    exposition_histogram(&x, "h", &h, NULL);
    assert_string_equal(page.data, "h_bucket{le=\"0.05\"} 0\nh_bucket{le=\"1\"} 0\n"
                                   "h_bucket{le=\"2.5\"} 0\nh_bucket{le=\"+Inf\"} 0\n"
                                   "h_sum 0\nh_count 0\n");
    static const double values[] = {-1, 0.05, 0.0625, 1, 1.5, 2.5, 3, 100};
    for (size_t i = 0; i < LENGTH(values); i++) {
        histogram_add(&h, values[i]);
    }
    histogram_add(&h, NAN);
    buf_reset(&page);
    exposition_histogram(&x, "h", &h, "up", "a\"b", "kind", "k", NULL);
    assert_string_equal(page.data, "h_bucket{up=\"a\\\"b\",kind=\"k\",le=\"0.05\"} 2\n"
                                   "h_bucket{up=\"a\\\"b\",kind=\"k\",le=\"1\"} 4\n"
                                   "h_bucket{up=\"a\\\"b\",kind=\"k\",le=\"2.5\"} 6\n"
                                   "h_bucket{up=\"a\\\"b\",kind=\"k\",le=\"+Inf\"} 8\n"
                                   "h_sum{up=\"a\\\"b\",kind=\"k\"} 107.1125\n"
                                   "h_count{up=\"a\\\"b\",kind=\"k\"} 8\n");
    histogram_add(&h, INFINITY);
    assert_int_equal(h.buckets[LENGTH(bounds)], 3);
}

static void has_a_most_of_bounds(void **state) {
    (void)state;
    double bounds[HISTOGRAM_BOUNDS_MAX + 5];
    struct histogram h;
    for (size_t i = 0; i < LENGTH(bounds); i++) {
        bounds[i] = (double)i;
    }
    histogram_init(&h, bounds, LENGTH(bounds));
    histogram_add(&h, HISTOGRAM_BOUNDS_MAX - 1);
    histogram_add(&h, HISTOGRAM_BOUNDS_MAX);
    assert_int_equal(h.count, HISTOGRAM_BOUNDS_MAX);
    assert_int_equal(h.buckets[HISTOGRAM_BOUNDS_MAX - 1], 1);
    assert_int_equal(h.buckets[HISTOGRAM_BOUNDS_MAX], 1);
}

/* A page that is too long says so, and does not pass for a shorter one. */
static void says_when_the_page_is_full(void **state) {
    (void)state;
    buf_free(&page);
    buf_init(&page, 20);
    exposition_sample(&x, "a_metric", 12345, "l", "0123456789", NULL);
    assert_true(page.failed && page.full);
}

#define WITH_PAGE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_PAGE(writes_families_and_samples),
        WITH_PAGE(escapes_label_values),
        WITH_PAGE(writes_numbers),
        WITH_PAGE(writes_histograms),
        WITH_PAGE(has_a_most_of_bounds),
        WITH_PAGE(says_when_the_page_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
