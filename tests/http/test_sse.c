/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events: what is told of a stream, and that it is the same however it is cut. */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "http/sse.h"
#include "sse_reader.h"
#include <stdlib.h>
#include <string.h>

#define EVENT_MAX 1000
#define RECORD_MAX (1 << 20)

struct row {
    const char *stream, *events;
};

static const struct row rows[] = {
    {"", "OK\n"},
    {"data: x\n\n", "data: x\\n\\n \"\" \"x\" whole\nOK\n"},
    {"event: e\ndata: {\"a\":1}\n\n",
     "event: e\\ndata: {\"a\":1}\\n\\n \"e\" \"{\\\"a\\\":1}\" whole\nOK\n"},
    /* The three ends of a line, and mixed. */
    {"event:e\r\ndata:x\r\n\r\ndata:y\r\n\r\n", "event:e\\r\\ndata:x\\r\\n\\r\\n \"e\" \"x\" "
                                                "whole\ndata:y\\r\\n\\r\\n \"\" \"y\" whole\nOK\n"},
    {"event:e\rdata:x\r\rdata:y\r\r",
     "event:e\\rdata:x\\r\\r \"e\" \"x\" whole\ndata:y\\r\\r \"\" \"y\" whole\nOK\n"},
    {"data:x\n\r\ndata:y\r\r\ndata:z\n\rdata:u\r\n\ndata:v\r\n\r",
     "data:x\\n\\r\\n \"\" \"x\" whole\ndata:y\\r\\r \"\" \"y\" whole\n\\n \"\" whole\n"
     "data:z\\n\\r \"\" \"z\" whole\ndata:u\\r\\n\\n \"\" \"u\" whole\n"
     "data:v\\r\\n\\r \"\" \"v\" whole\nOK\n"},
    /* One space is taken away, an empty value is one, a colon may lack. */
    {"data:  x \n\n", "data:  x \\n\\n \"\" \" x \" whole\nOK\n"},
    {"data\n\n", "data\\n\\n \"\" \"\" whole\nOK\n"},
    {"data:\n\n", "data:\\n\\n \"\" \"\" whole\nOK\n"},
    {"data\ndata\n\n", "data\\ndata\\n\\n \"\" \"\\n\" whole\nOK\n"},
    {"data: a\nevent: e\ndata: b\ndata\ndata:c:d\n\n",
     "data: a\\nevent: e\\ndata: b\\ndata\\ndata:c:d\\n\\n \"e\" \"a\\nb\\n\\nc:d\" whole\nOK\n"},
    {"data:a\ndata:b\n\ndata:c\ndata:d\n\n", "data:a\\ndata:b\\n\\n \"\" \"a\\nb\" whole\n"
                                             "data:c\\ndata:d\\n\\n \"\" \"c\\nd\" whole\nOK\n"},
    {"event: a\nevent: b\n\n", "event: a\\nevent: b\\n\\n \"b\" whole\nOK\n"},
    {"event: a\nevent\n\n", "event: a\\nevent\\n\\n \"\" whole\nOK\n"},
    /* Other fields, and what only begins like one of ours. */
    {"id: 7\nretry: 10\n\n", "id: 7\\nretry: 10\\n\\n \"\" whole\nOK\n"},
    {"datax: 1\ndat: 2\n data: 3\nDATA: 4\nevents: 5\nevent : 6\n\n",
     "datax: 1\\ndat: 2\\n data: 3\\nDATA: 4\\nevents: 5\\nevent : 6\\n\\n \"\" whole\nOK\n"},
    /* Comments and empty lines are told, for they keep a connection alive. */
    {": keepalive\n\n:\n\ndata: x\n\n",
     ": keepalive\\n\\n \"\" whole\n:\\n\\n \"\" whole\ndata: x\\n\\n \"\" \"x\" whole\nOK\n"},
    {": a\ndata: x\n\n", ": a\\ndata: x\\n\\n \"\" \"x\" whole\nOK\n"},
    {"\n\r\n\rdata: x\n\n",
     "\\n \"\" whole\n\\r\\n \"\" whole\n\\r \"\" whole\ndata: x\\n\\n \"\" \"x\" whole\nOK\n"},
    /* A mark of byte order, once, at the very beginning. */
    {"\xef\xbb\xbf"
     "data: x\n\n",
     "\xef\xbb\xbf"
     "data: x\\n\\n \"\" \"x\" whole\nOK\n"},
    {"\xef\xbb\xbf\r\n\ndata: x\n\n", "\xef\xbb\xbf\\r\\n \"\" whole\n\\n \"\" whole\n"
                                      "data: x\\n\\n \"\" \"x\" whole\nOK\n"},
    {"\xef\xbb\xbf\r", "\xef\xbb\xbf\\r \"\" whole\nOK\n"},
    {"\n\xef\xbb\xbf"
     "data: x\n\n",
     "\\n \"\" whole\n\xef\xbb\xbf"
     "data: x\\n\\n \"\" whole\nOK\n"},
    {"\xef\xbb\xbf\xef\xbb\xbf\n\n", "\xef\xbb\xbf\xef\xbb\xbf\\n\\n \"\" whole\nOK\n"},
    {"\xef\xbb\n\n", "\xef\xbb\\n\\n \"\" whole\nOK\n"},
    /* The stream ends inside. */
    {"data: x\n\ndata: y", "data: x\\n\\n \"\" \"x\" whole\ndata: y \"\" \"y\" cut\nOK\n"},
    {"data: x\n", "data: x\\n \"\" \"x\" cut\nOK\n"},
    {"data: x\r", "data: x\\r \"\" \"x\" cut\nOK\n"},
    {"data: x\r\n", "data: x\\r\\n \"\" \"x\" cut\nOK\n"},
    {"data: x\r\n\r", "data: x\\r\\n\\r \"\" \"x\" whole\nOK\n"},
    {"da", "da \"\" cut\nOK\n"},
    {"\xef\xbb\xbf", "\xef\xbb\xbf \"\" cut\nOK\n"},
};

static void expect_read(const char *stream, size_t len, size_t first, size_t step, size_t max,
                        const char *wanted) {
    struct buf events;
    buf_init(&events, RECORD_MAX);
    sse_read(stream, len, first, step, max, &events, NULL);
    if (strcmp(events.data, wanted) != 0) {
        fail_msg("%s\nfirst %zu bytes, then %zu at a time: %s\nexpected: %s", stream, first, step,
                 events.data, wanted);
    }
    buf_free(&events);
}

static void tells_events(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect_read(rows[i].stream, strlen(rows[i].stream), RECORD_MAX, RECORD_MAX, EVENT_MAX,
                    rows[i].events);
    }
}

static void tells_the_same_however_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].stream);
        for (size_t first = 1; first <= len; first++) {
            for (size_t step = 1; step <= len; step++) {
                expect_read(rows[i].stream, len, first, step, EVENT_MAX, rows[i].events);
            }
        }
    }
}

/* Streams of what makes a difference, against the letter of the standard and against each other. */
static void reads_random_streams(void **state) {
    (void)state;
    static const char *const words[] = {"\n",    "\n",     "\r",       "\r\n",     "data",
                                        "data:", "event:", ":",        " ",        "x",
                                        "\n\n",  "\r\r",   "\r\n\r\n", "data: {}", "\xef\xbb\xbf"};
    struct prng random;
    prng_seed(&random, 20261128);
    struct buf stream, whole, cut, dispatched, letter;
    buf_init(&stream, EVENT_MAX);
    buf_init(&whole, RECORD_MAX);
    buf_init(&cut, RECORD_MAX);
    buf_init(&dispatched, RECORD_MAX);
    buf_init(&letter, RECORD_MAX);
    for (int round = 0; round < 4000; round++) {
        buf_reset(&stream);
        buf_reset(&whole);
        buf_reset(&cut);
        buf_reset(&dispatched);
        buf_reset(&letter);
        for (uint64_t n = prng_below(&random, 14) + 1; n > 0; n--) {
            buf_puts(&stream, words[prng_below(&random, sizeof words / sizeof *words)]);
        }
        size_t first = (size_t)prng_below(&random, stream.len) + 1;
        size_t step = (size_t)prng_below(&random, 9) + 1;
        size_t max = prng_below(&random, 4) == 0 ? (size_t)prng_below(&random, 20) : EVENT_MAX;
        sse_read(stream.data, stream.len, stream.len, 1, max, &whole, &dispatched);
        sse_read(stream.data, stream.len, first, step, max, &cut, NULL);
        if (strcmp(whole.data, cut.data) != 0) {
            fail_msg("round %d, at most %zu bytes\nwhole:\n%sin pieces of %zu, %zu:\n%s", round,
                     max, whole.data, first, step, cut.data);
        }
        sse_read_by_the_letter(stream.data, stream.len, &letter);
        /* The letter does not know of the last CR's LF that may follow, nor of the maximum. */
        size_t len = dispatched.len;
        bool complete = max == EVENT_MAX;
        if ((complete && len != letter.len) || len > letter.len ||
            (len > 0 && memcmp(dispatched.data, letter.data, len) != 0)) {
            fail_msg("round %d: %s\nby the letter: %s\nread: %s", round, whole.data, letter.data,
                     dispatched.data);
        }
    }
    buf_free(&stream);
    buf_free(&whole);
    buf_free(&cut);
    buf_free(&dispatched);
    buf_free(&letter);
}

/* --- what a record does not show -------------------------------------------------------------- */

struct seen {
    size_t count;
    const char *bytes, *data;
    size_t len, data_len;
};

static void see(void *ctx, const struct sse_event *e) {
    struct seen *s = ctx;
    s->count++;
    s->bytes = e->bytes;
    s->len = e->len;
    s->data = e->data;
    s->data_len = e->data_len;
}

static void feed(struct sse *s, const char *text) {
    assert_int_equal(sse_feed(s, text, strlen(text)), HARDY_OK);
}

static void copies_nothing_that_is_whole(void **state) {
    (void)state;
    struct seen seen = {0};
    struct sse s;
    sse_init(&s, EVENT_MAX, see, &seen);
    static const char two[] = ": a\n\nevent: e\r\ndata: xyz\r\n\r\ndata: z";
    feed(&s, two);
    assert_int_equal(seen.count, 2);
    assert_ptr_equal(seen.bytes, two + 5);
    assert_ptr_equal(seen.data, strstr(two, "xyz"));
    assert_int_equal(seen.data_len, 3);
    assert_true(sse_inside(&s));
    assert_int_equal(s.tail.len, strlen("data: z"));
    assert_null(s.joined.data);
    feed(&s, "\n\n");
    assert_int_equal(seen.count, 3);
    assert_false(sse_inside(&s));
    sse_free(&s);
}

/* An event is told with the read that completes it, also where lines end in CR alone. */
static void is_not_late(void **state) {
    (void)state;
    struct seen seen = {0};
    struct sse s;
    sse_init(&s, EVENT_MAX, see, &seen);
    feed(&s, "data: x\n\n");
    assert_int_equal(seen.count, 1);
    feed(&s, "data: x\r\n\r\n");
    assert_int_equal(seen.count, 2);
    feed(&s, "data: x\r\r");
    assert_int_equal(seen.count, 3);
    feed(&s, "data: x\r");
    assert_int_equal(seen.count, 3);
    feed(&s, "\r");
    assert_int_equal(seen.count, 4);
    feed(&s, "data: x\r\n\r");
    assert_int_equal(seen.count, 4);
    feed(&s, "\ndata");
    assert_int_equal(seen.count, 5);
    assert_int_equal(seen.len, strlen("data: x\r\n\r\n"));
    sse_free(&s);
}

static void refuses_what_is_too_large(void **state) {
    (void)state;
    static const char fits[] = "data: 89\n\n", over[] = "data: 890\n\n";
    size_t max = sizeof fits - 1;
    expect_read(fits, max, 1, 1, max, "data: 89\\n\\n \"\" \"89\" whole\nOK\n");
    expect_read(fits, max, max, 1, max, "data: 89\\n\\n \"\" \"89\" whole\nOK\n");
    for (size_t first = 1; first <= max + 1; first++) {
        expect_read(over, max + 1, first, 3, max, "E_TOO_LARGE\n");
    }
    /* It stays refused, is not told at the end, and holds no memory. */
    struct seen seen = {0};
    struct sse s;
    sse_init(&s, max, see, &seen);
    assert_int_equal(sse_feed(&s, "data: 012345678", 15), HARDY_E_TOO_LARGE);
    assert_int_equal(sse_feed(&s, "\n\n", 2), HARDY_E_TOO_LARGE);
    assert_int_equal(sse_finish(&s), HARDY_E_TOO_LARGE);
    assert_int_equal(seen.count, 0);
    assert_false(sse_inside(&s));
    assert_null(s.tail.data);
    sse_free(&s);
}

/* Each would take minutes if anything were looked through again. */
static void is_not_quadratic(void **state) {
    (void)state;
    const size_t len = (size_t)2 << 20;
    char *text = malloc(len);
    struct seen seen = {0};
    struct sse s;
    assert_non_null(text);

    memset(text, 'x', len);
    memcpy(text, "data: ", 6);
    sse_init(&s, 2 * len, see, &seen);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(sse_feed(&s, text + i, 1), HARDY_OK);
    }
    feed(&s, "\n\n");
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.data_len, len - 6);
    /* A large event's memory is not kept. */
    assert_true(s.tail.cap < 10000);

    /* Lines of one byte, and none of the other kind of line end in the whole read. */
    for (int kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < len; i += 2) {
            text[i] = 'x';
            text[i + 1] = "\r\n"[kind];
        }
        seen.count = 0;
        assert_int_equal(sse_feed(&s, text, len), HARDY_OK);
        feed(&s, kind == 0 ? "\r" : "\n");
        assert_int_equal(seen.count, 1);
        assert_int_equal(seen.len, len + 1);
    }
    sse_free(&s);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_events),         cmocka_unit_test(tells_the_same_however_cut),
        cmocka_unit_test(reads_random_streams), cmocka_unit_test(copies_nothing_that_is_whole),
        cmocka_unit_test(is_not_late),          cmocka_unit_test(refuses_what_is_too_large),
        cmocka_unit_test(is_not_quadratic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
