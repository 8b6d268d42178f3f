/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/date.h"
#include "base/error.h"
#include "base/heap.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/siphash.h"
#include "base/str.h"
#include "base/thread.h"
#include <errno.h>
#include <hardy/hardy.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void buffer_grows_up_to_its_maximum(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_null(b.data);
    assert_true(buf_append(&b, "", 0));
    assert_true(buf_puts(&b, "12345"));
    assert_true(buf_printf(&b, "%d", 67890));
    assert_string_equal(b.data, "1234567890");
    assert_false(buf_putc(&b, 'x'));
    assert_true(b.failed);
    assert_string_equal(b.data, "1234567890");
    buf_consume(&b, 4);
    assert_string_equal(b.data, "567890");
    assert_false(buf_printf(&b, "%s", "abcde"));
    assert_string_equal(b.data, "567890");
    assert_true(buf_printf(&b, "%s", "abcd"));
    assert_true(b.failed);
    buf_consume(&b, 100);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_reset(&b);
    assert_false(b.failed);
    buf_free(&b);
    assert_int_equal(b.max, 10);
}

static void buffer_reserves_what_is_asked(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_true(buf_reserve(&b, 700));
    assert_string_equal(b.data, "");
    assert_int_equal(b.cap, 701);
    const char *place = b.data;
    for (int i = 0; i < 70; i++) {
        assert_true(buf_puts(&b, "0123456789"));
    }
    assert_ptr_equal(b.data, place); /* not moved by growing */
    assert_true(buf_reserve(&b, 0));
    assert_int_equal(b.cap, 701);
    assert_true(buf_reserve(&b, 300));
    assert_int_equal(b.len, 700);
    assert_memory_equal(b.data + 690, "0123456789", 11);
    char *added = buf_extend(&b, 3);
    assert_ptr_equal(added, b.data + 700);
    memcpy(added, "abc", 3);
    assert_string_equal(b.data + 699, "9abc");
    assert_null(buf_extend(&b, 298));
    assert_int_equal(b.len, 703);
    b.failed = b.full = false;
    assert_false(buf_reserve(&b, 298));
    assert_true(b.failed && b.full);
    buf_free(&b);
    buf_init(&b, SIZE_MAX);
    assert_false(buf_reserve(&b, SIZE_MAX));
    buf_free(&b);
}

static void buffer_is_taken(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    char *nothing = buf_take(&b);
    assert_string_equal(nothing, "");
    free(nothing);
    for (int i = 0; i < 300; i++) {
        assert_true(buf_printf(&b, "%03d", i));
    }
    char *text = buf_take(&b);
    assert_int_equal(strlen(text), 900);
    assert_memory_equal(text + 897, "299", 4);
    assert_int_equal(b.len, 0);
    free(text);
    buf_init(&b, SIZE_MAX);
    assert_true(buf_puts(&b, "x"));
    assert_false(buf_append(&b, "", SIZE_MAX - 1));
    buf_free(&b);
}

static void statuses(void **state) {
    (void)state;
    assert_string_equal(hardy_status_name(HARDY_OK), "OK");
    assert_string_equal(hardy_status_name(HARDY_E_OPEN), "E_OPEN");
    assert_string_equal(hardy_status_text(HARDY_E_OPEN), "circuit breaker is open");
    assert_int_equal(hardy_status_class_of(HARDY_E_OPEN), HARDY_CLASS_LIMIT);
    assert_int_equal(hardy_status_class_of(HARDY_E_IN_DOUBT), HARDY_CLASS_IN_DOUBT);
    assert_string_equal(hardy_status_text((hardy_status)-999), "unknown status");
    assert_int_equal(hardy_status_class_of((hardy_status)-999), HARDY_CLASS_BUG);
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", HARDY_VERSION_MAJOR, HARDY_VERSION_MINOR,
             HARDY_VERSION_PATCH);
    assert_string_equal(hardy_version(), version);
}

static void errors(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(error.retry_after, -1);
    assert_int_equal(fail(NULL, HARDY_E_IO, NULL, "nobody listens"), HARDY_E_IO);
    assert_int_equal(fail(&error, HARDY_E_SYNTAX, "hardy.yaml:3:11", "bad\nvalue %d", 7),
                     HARDY_E_SYNTAX);
    assert_string_equal(error.where, "hardy.yaml:3:11");
    assert_string_equal(error.message, "bad value 7");
    error_prefix(&error, "guard \"%s\"", "llm");
    assert_string_equal(error.message, "guard \"llm\": bad value 7");
    assert_int_equal(fail(&error, HARDY_E_INVALID, NULL, "again: %s", error.message),
                     HARDY_E_INVALID);
    assert_string_equal(error.message, "again: guard \"llm\": bad value 7");
    assert_string_equal(error.where, "hardy.yaml:3:11");
    assert_int_equal(fail_errno(&error, ENOSPC, "/x", "cannot write %s", "/x"), HARDY_E_NOSPACE);
    assert_string_equal(error.message, "cannot write /x: No space left on device");
    assert_int_equal(fail_errno(NULL, EROFS, NULL, "x"), HARDY_E_READONLY);
    assert_int_equal(fail_errno(NULL, ENOENT, NULL, "x"), HARDY_E_NOT_FOUND);
    assert_int_equal(fail_errno(NULL, ENOMEM, NULL, "x"), HARDY_E_NOMEM);
    assert_int_equal(fail_errno(NULL, EIO, NULL, "x"), HARDY_E_IO);
}

static void long_errors_are_cut_between_characters(void **state) {
    (void)state;
    hardy_error error;
    char long_text[1001];
    for (size_t i = 0; i + 1 < sizeof long_text; i += 2) {
        memcpy(long_text + i, "\xc3\xb6", 2);
    }
    long_text[1000] = '\0';
    for (int shift = 0; shift < 4; shift++) {
        hardy_error_init(&error, sizeof error);
        fail(&error, HARDY_E_IO, long_text + 2 * shift, "%.*s%s", shift, "abc", long_text);
        assert_true(strlen(error.message) > sizeof error.message - 4);
        assert_true(str_valid_utf8(error.message, strlen(error.message)));
        assert_true(str_valid_utf8(error.where, strlen(error.where)));
        error_prefix(&error, "%s", long_text + 300);
        assert_true(str_valid_utf8(error.message, strlen(error.message)));
    }
}

struct timer {
    struct heap_node node;
    int id;
};

static void heap_keeps_the_order_of_equal_times(void **state) {
    (void)state;
    enum { COUNT = 500 };
    static struct timer timers[COUNT];
    struct heap h;
    struct prng p;
    heap_init(&h);
    prng_seed(&p, 7);
    for (int i = 0; i < COUNT; i++) {
        timers[i].id = i;
        assert_int_equal(heap_insert(&h, &timers[i].node, (int64_t)prng_below(&p, 20)), HARDY_OK);
    }
    int removed = 0;
    for (int i = 0; i < COUNT; i += 3) {
        heap_remove(&h, &timers[i].node);
        heap_remove(&h, &timers[i].node);
        assert_false(heap_contains(&timers[i].node));
        removed++;
    }
    int64_t at = -1;
    int id = -1, left = 0;
    for (struct heap_node *n; (n = heap_min(&h)) != NULL; left++) {
        const struct timer *t = (const struct timer *)(const void *)n;
        assert_true(n->at > at || (n->at == at && t->id > id));
        at = n->at;
        id = t->id;
        heap_remove(&h, n);
    }
    assert_int_equal(left + removed, COUNT);
    heap_free(&h);
}

static void random_numbers(void **state) {
    (void)state;
    struct prng p, q;
    /* The first outputs of splitmix64 seeded with 0 are published. */
    assert_true(prng_mix(0) == UINT64_C(0xe220a8397b1dcdaf));
    prng_seed(&p, 42);
    prng_seed(&q, 42);
    int seen[10] = {0};
    for (int i = 0; i < 10000; i++) {
        assert_true(prng_next(&p) == prng_next(&q));
        seen[prng_below(&p, 10)]++;
        prng_below(&q, 10);
        double u = prng_unit(&p);
        prng_unit(&q);
        assert_true(u >= 0 && u < 1);
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(seen[i], 850, 1150);
    }
    assert_true(prng_below(&p, 0) == 0 && prng_below(&p, 1) == 0);
    assert_int_equal(prng_range(0, -3, 3), -3);
    assert_int_equal(prng_range(UINT64_MAX, -3, 3), 3);
    assert_int_equal(prng_range(UINT64_MAX / 2, 5, 5), 5);
    assert_true(prng_range(0, INT64_MIN, INT64_MAX) == INT64_MIN);
    assert_true(prng_range(UINT64_MAX, INT64_MIN, INT64_MAX) == INT64_MAX);
}

static void strings(void **state) {
    (void)state;
    char out[6];
    assert_true(str_eq(NULL, NULL) && !str_eq(NULL, "") && str_eq("a", "a"));
    assert_true(str_starts("hardy", "har") && !str_starts("ha", "har"));
    assert_true(str_ends("hardy", "dy") && str_ends("dy", "dy") && !str_ends("y", "dy"));
    assert_null(str_dup(NULL));
    char *text = str_format("%s-%d", "a", 1), *part = str_ndup("abcdef", 3);
    assert_string_equal(text, "a-1");
    assert_string_equal(part, "abc");
    free(text);
    free(part);
    assert_true(str_copy(out, sizeof out, "12345"));
    assert_false(str_copy(out, sizeof out, "123456"));
    assert_string_equal(out, "12345");
    char hex[7];
    str_hex("\x00\xab\xff", 3, hex);
    assert_string_equal(hex, "00abff");
}

static void valid_utf8(void **state) {
    (void)state;
    static const char *const good[] = {"", "a", "\xc3\xb6", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe2\x82",
                                      "a\xff"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(str_valid_utf8(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(str_valid_utf8(bad[i], strlen(bad[i])));
    }
}

static void names(void **state) {
    (void)state;
    char longest[65];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_false(str_valid_name(longest));
    assert_true(str_valid_name(longest + 1));
    assert_true(str_valid_name("Llm-1.b_c") && str_valid_name("0"));
    assert_false(str_valid_name("") || str_valid_name("-a") || str_valid_name("a b") ||
                 str_valid_name("a/b") || str_valid_name(NULL) || str_valid_name("\xc3\xb6"));
}

static void nearest_word(void **state) {
    (void)state;
    static const char *const keys[] = {"base_delay", "max_delay", "jitter", "timeout", "rate"};
    static const struct {
        const char *word, *meant;
    } rows[] = {
        {"base-delay", "base_delay"},
        {"basedelay", "base_delay"},
        {"jiter", "jitter"},
        {"tiemout", "timeout"},
        {"raet", "rate"},
        {"unrelated_thing", NULL},
        {"x", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = str_nearest(rows[i].word, keys, sizeof keys / sizeof keys[0]);
        if (!str_eq(found, rows[i].meant)) {
            fail_msg("%s: %s", rows[i].word, found ? found : "(none)");
        }
    }
}

static void times_saturate(void **state) {
    (void)state;
    assert_true(hardy_time_add(HARDY_NEVER, -5) == HARDY_NEVER);
    assert_true(hardy_time_add(5, HARDY_NEVER) == HARDY_NEVER);
    assert_true(hardy_time_add(HARDY_NEVER - 5, 6) == HARDY_NEVER);
    assert_true(hardy_time_add(INT64_MIN, -1) == INT64_MIN);
    assert_true(time_add(2, 3) == 5);
    assert_true(time_scale(HARDY_SECOND, 1.5) == 1500 * HARDY_MILLISECOND);
    assert_true(time_scale(HARDY_NEVER, 0.5) == HARDY_NEVER);
    assert_true(time_scale(HARDY_DAY, 1e9) == HARDY_NEVER);
    assert_true(time_scale(HARDY_DAY, -1e9) == INT64_MIN);
}

static void clocks(void **state) {
    (void)state;
    hardy_env env;
    char text[32];
    hardy_env_system(&env, sizeof env);
    assert_int_equal(env.size, sizeof env);
    int64_t before = env.now(env.ctx), coarse = clock_now_coarse(), after = clock_now();
    assert_true(before <= after);
    assert_true(coarse > before - 20 * HARDY_MILLISECOND && coarse <= after);
    assert_true(env.wall(env.ctx) > INT64_C(1700000000) * HARDY_SECOND);
    clock_format_wall(INT64_C(1795395723456) * HARDY_MILLISECOND, text);
    assert_string_equal(text, "2026-11-23T01:02:03.456Z");
    int64_t wall;
    assert_true(date_read_wall(text, &wall)); /* and back */
    assert_int_equal(wall, INT64_C(1795395723456) * HARDY_MILLISECOND);
    assert_true(date_read_wall("9999-12-31T23:59:59Z", &wall) && wall == INT64_MAX - 1);
    assert_true(date_read_wall("1969-12-31T23:59:59.75Z", &wall) && wall == -HARDY_SECOND / 4);
    assert_false(date_read_wall("soon", &wall));
    clock_format_wall(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999Z");
    clock_format_wall(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

static void an_older_caller_gets_what_it_has_room_for(void **state) {
    (void)state;
    struct {
        hardy_env env;
        unsigned char guard[8];
    } room;
    memset(&room, 0x55, sizeof room);
    hardy_env_system(&room.env, offsetof(hardy_env, log));
    assert_int_equal(room.env.size, offsetof(hardy_env, log));
    assert_non_null(room.env.random);
    unsigned char untouched[8];
    memset(untouched, 0x55, sizeof untouched);
    assert_memory_equal((char *)&room.env + offsetof(hardy_env, log), untouched, 8);
    assert_memory_equal(room.guard, untouched, 8);
}

/* A child must not draw the numbers its parent draws. */
static void chance_differs_after_fork(void **state) {
    (void)state;
    hardy_env env;
    hardy_env_system(&env, sizeof env);
    env.random(NULL);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        uint64_t drawn = env.random(NULL);
        _exit(write(ends[1], &drawn, sizeof drawn) == (ssize_t)sizeof drawn ? 0 : 1);
    }
    uint64_t theirs = 0, ours = env.random(NULL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    assert_true(theirs != ours);
    close(ends[0]);
    close(ends[1]);
}

static void *draw_number(void *out) {
    *(unsigned *)out = thread_number();
    return NULL;
}

static void threads_are_numbered(void **state) {
    (void)state;
    pthread_t thread;
    unsigned other = 0, mine = thread_number();
    assert_true(mine != 0 && mine == thread_number());
    assert_int_equal(pthread_create(&thread, NULL, draw_number, &other), 0);
    pthread_join(thread, NULL);
    assert_true(other != 0 && other != mine);
}

static void printable(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {{"", ""},
                {"plain \xc3\xa9 \xe2\x82\xac", "plain \xc3\xa9 \xe2\x82\xac"},
                {"\x1b[2Jgone\r\nnext\t\x7f", "?[2Jgone??next??"},
                {"\xc2\x9b"
                 "31m\xc2\xa0",
                 "??31m\xc2\xa0"},
                {"\x9b"
                 "31m\xff\xe2\x82",
                 "?31m???"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        assert_true(str_copy(text, sizeof text, rows[i].text));
        str_make_printable(text);
        assert_string_equal(text, rows[i].wanted);
    }
}

static void read_log(int fd, char *text, size_t size) {
    ssize_t len = read(fd, text, size - 1);
    assert_true(len > 0);
    text[len] = '\0';
}

static void log_lines(void **state) {
    (void)state;
    int ends[2];
    char line[1000];
    assert_int_equal(pipe(ends), 0);
    log_configure(HARDY_LOG_INFO, false, ends[1]);
    log_event(HARDY_LOG_DEBUG, "unseen", NULL);
    log_event(HARDY_LOG_WARNING, "breaker opened", "guard", "llm", "why", "a \"b\"\nc", "none", "",
              "null", NULL, NULL);
    read_log(ends[0], line, sizeof line);
    assert_string_equal(
        line, "warning breaker opened guard=llm why=\"a \\\"b\\\"\\nc\" none=\"\" null=\"\"\n");
    log_configure(HARDY_LOG_DEBUG, true, ends[1]);
    log_event(HARDY_LOG_DEBUG, "m", "k", "v\xff", NULL);
    read_log(ends[0], line, sizeof line);
    assert_int_equal(json_check(line, strlen(line), NULL), HARDY_OK);
    assert_non_null(
        strstr(line, "\"level\":\"debug\",\"message\":\"m\",\"k\":\"v\xef\xbf\xbd\"}\n"));
    log_configure(HARDY_LOG_WARNING, false, STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    hardy_log_level level;
    assert_true(log_parse_level("debug", &level) && level == HARDY_LOG_DEBUG);
    assert_false(log_parse_level("loud", &level));
    assert_true(log_enabled(HARDY_LOG_WARNING) && !log_enabled(HARDY_LOG_INFO));
}

/* The values that its authors published: the secret 00 01 .. 0f, the first bytes of 00 01 02 .. */
static void siphash_of_its_authors(void **state) {
    (void)state;
    const uint64_t secret[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    unsigned char bytes[15];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)i;
    }
    assert_true(siphash(secret, NULL, 0) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(siphash(secret, bytes, 15) == UINT64_C(0xa129ca6149be45e5));
    assert_true(siphash(secret, bytes, 8) != siphash(secret, bytes, 7));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer_grows_up_to_its_maximum),
        cmocka_unit_test(buffer_reserves_what_is_asked),
        cmocka_unit_test(buffer_is_taken),
        cmocka_unit_test(statuses),
        cmocka_unit_test(errors),
        cmocka_unit_test(long_errors_are_cut_between_characters),
        cmocka_unit_test(heap_keeps_the_order_of_equal_times),
        cmocka_unit_test(random_numbers),
        cmocka_unit_test(strings),
        cmocka_unit_test(valid_utf8),
        cmocka_unit_test(names),
        cmocka_unit_test(nearest_word),
        cmocka_unit_test(times_saturate),
        cmocka_unit_test(clocks),
        cmocka_unit_test(an_older_caller_gets_what_it_has_room_for),
        cmocka_unit_test(chance_differs_after_fork),
        cmocka_unit_test(threads_are_numbered),
        cmocka_unit_test(printable),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(siphash_of_its_authors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
