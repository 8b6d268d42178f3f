/* SPDX-License-Identifier: Apache-2.0 */
/* What is said to Redis and PostgreSQL, and what their answers mean; numbers in texts. Each answer
 * is given byte by byte too: what is not whole is waited for. */
#include "../cmocka_all.h"
#include "health/speak.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(const struct heard *heard, enum check_result result, const char *message,
                   const char *said) {
    if (heard->result != result || !strstr(heard->message, message))
        fail_msg("%s: %s, %s; expected %s, %s", said, check_result_text(heard->result),
                 heard->message, check_result_text(result), message);
}

/* --- Redis ------------------------------------------------------------------------------------ */

static void redis_says(const char *said, bool authenticated, enum check_result result,
                       const char *message) {
    struct heard heard;
    size_t len = strlen(said);
    for (size_t n = 1; n <= len; n++) {
        char *piece = strndup(said, n);
        bool whole = redis_hear(piece, n, authenticated, &heard);
        free(piece);
        assert_int_equal(whole, n == len);
    }
    expect(&heard, result, message, said);
}

static void redis_answers_ping(void **state) {
    (void)state;
    redis_says("+PONG\r\n", false, CHECK_PASS, "PONG");
    redis_says("+OK\r\n+PONG\r\n", true, CHECK_PASS, "PONG");
    redis_says("-LOADING Redis is loading the dataset in memory\r\n", false, CHECK_FAIL,
               "LOADING Redis is loading");
    redis_says("+OK\r\n-LOADING Redis is loading\r\n", true, CHECK_FAIL, "LOADING");
    redis_says("-MISCONF Redis is configured to save RDB snapshots\r\n", false, CHECK_FAIL,
               "MISCONF");
    redis_says("-ERR max number of clients reached\r\n", false, CHECK_FAIL, "clients");
    redis_says("HTTP/1.1 400 Bad Request\r\n", false, CHECK_FAIL, "not Redis");
    redis_says("\n", false, CHECK_FAIL, "not Redis");
}

static void a_password_that_is_wrong_says_nothing_of_redis(void **state) {
    (void)state;
    redis_says("-NOAUTH Authentication required.\r\n", false, CHECK_UNKNOWN, "NOAUTH");
    redis_says("-WRONGPASS invalid username-password pair\r\n", true, CHECK_UNKNOWN, "WRONGPASS");
    redis_says("-ERR AUTH <password> called without any password configured\r\n", true,
               CHECK_UNKNOWN, "AUTH");
    redis_says("+OK\r\n-NOPERM no permissions to run the 'ping' command\r\n", true, CHECK_UNKNOWN,
               "NOPERM");
}

static void redis_is_asked(const struct check_redis *c, const char *password, const char *wanted) {
    struct buf out;
    buf_init(&out, 1000);
    redis_ask(c, password, password ? strlen(password) : 0, &out);
    assert_string_equal(out.data, wanted);
    buf_free(&out);
}

static void a_password_may_hold_anything(void **state) {
    char user[] = "probe";
    struct check_redis plain = {0}, named = {.user = user};
    (void)state;
    redis_is_asked(&plain, NULL, "PING\r\n");
    redis_is_asked(&plain, "a \"b", "*2\r\n$4\r\nAUTH\r\n$4\r\na \"b\r\nPING\r\n");
    redis_is_asked(&named, "x", "*3\r\n$4\r\nAUTH\r\n$5\r\nprobe\r\n$1\r\nx\r\nPING\r\n");
}

/* --- PostgreSQL ------------------------------------------------------------------------------- */

static void postgresql_says(const char *said, size_t len, size_t enough, enum check_result result,
                            const char *message) {
    struct heard heard;
    for (size_t n = 1; n <= len; n++) {
        char *piece = malloc(n); /* of its very size, so that reading beyond it is seen */
        memcpy(piece, said, n);
        bool whole = postgresql_hear(piece, n, &heard);
        free(piece);
        assert_int_equal(whole, n >= enough);
    }
    expect(&heard, result, message, said + 5);
}

static void postgresql_refuses(const char *code, enum check_result result, const char *message) {
    char said[200] = {'E'};
    int len =
        5 + snprintf(said + 5, sizeof said - 5, "SFATAL%cC%s%cMthe words of it%c", 0, code, 0, 0) +
        1;
    said[4] = (char)(len - 1);
    postgresql_says(said, (size_t)len, (size_t)len, result, message);
}

static void postgresql_speaks(void **state) {
    static const char sasl[] = "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
    static const char trusted[] = "R\0\0\0\x08\0\0\0\0Z";
    static const char http[] = "HTTP/1.1 400 Bad Request\r\n";
    static const char endless[] = "E\x7f\xff\xff\xff";
    static const char empty[] = "E\0\0\0\x05";
    (void)state;
    postgresql_says(sasl, sizeof sasl - 1, 5, CHECK_PASS, "takes connections");
    postgresql_says(trusted, sizeof trusted - 1, 5, CHECK_PASS, "takes connections");
    postgresql_refuses("57P03", CHECK_FAIL, "the words of it (57P03)"); /* it starts or stops */
    postgresql_refuses("53300", CHECK_FAIL, "(53300)");                 /* no connection is left */
    postgresql_refuses("28000", CHECK_PASS, "takes connections: the words of it (28000)");
    postgresql_refuses("3D000", CHECK_PASS, "(3D000)");
    postgresql_says(http, sizeof http - 1, 1, CHECK_FAIL, "not PostgreSQL");
    postgresql_says(endless, sizeof endless - 1, 5, CHECK_FAIL, "not PostgreSQL");
    postgresql_says(empty, sizeof empty, 6, CHECK_FAIL, "not PostgreSQL");
}

static void postgresql_is_asked_for_a_session(void **state) {
    static const char wanted[] =
        "\0\0\0\x32\0\3\0\0user\0u\0database\0d\0application_name\0hardy\0";
    char user[] = "u", database[] = "d";
    struct check_postgresql c = {.user = user, .database = database};
    struct buf out;
    (void)state;
    buf_init(&out, 1000);
    postgresql_ask(&c, &out);
    assert_int_equal(out.len, sizeof wanted);
    assert_int_equal(wanted[3], sizeof wanted);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    buf_free(&out);
}

/* --- numbers ---------------------------------------------------------------------------------- */

static void number_is(const struct check_number *c, const char *text, enum check_result result,
                      const char *message) {
    struct heard heard;
    number_hear(c, text, strlen(text), &heard);
    expect(&heard, result, message, text);
}

static void a_number_is_within_its_bounds_or_unknown(void **state) {
    struct check_number queue = {.below = 1000, .has_below = true};
    struct check_number free_slots = {.above = 0, .has_above = true}; /* zero is a bound too */
    struct check_number both = {.below = 10, .above = -1.5, .has_below = true, .has_above = true};
    (void)state;
    number_is(&queue, "999", CHECK_PASS, "999");
    number_is(&queue, " 1000\n", CHECK_FAIL, "1000, not below 1000");
    number_is(&queue, "1e3", CHECK_FAIL, "not below");
    number_is(&queue, "-5", CHECK_PASS, "-5");
    number_is(&free_slots, "0", CHECK_FAIL, "0, not above 0");
    number_is(&free_slots, "0.5", CHECK_PASS, "0.5");
    number_is(&both, "10", CHECK_FAIL, "not below");
    number_is(&both, "-1.5", CHECK_FAIL, "not above");
    number_is(&both, "007", CHECK_PASS, "7");
    number_is(&queue, "", CHECK_UNKNOWN, "not a number");
    number_is(&queue, "12 jobs", CHECK_UNKNOWN, "`12 jobs` is not a number");
    number_is(&queue, "1 2", CHECK_UNKNOWN, "not a number");
    number_is(&queue, "nan", CHECK_UNKNOWN, "not a number");
    number_is(&queue, "1e999", CHECK_UNKNOWN, "not a number");
}

static void a_number_lies_in_json(void **state) {
    static const char answer[] = "{\"status\":\"success\",\"data\":{\"result\":[{\"value\":[17,"
                                 "\"42\"]}],\"depth\":7,\"a.b\":8}}";
    char value[] = "data.result.0.value.1", depth[] = "data.depth", dotted[] = "data.a.b",
         none[] = "data.width", text[] = "status";
    struct check_number c = {.below = 10, .has_below = true, .json = value};
    (void)state;
    number_is(&c, answer, CHECK_FAIL, "42, not below 10"); /* Prometheus writes them as texts */
    c.json = depth;
    number_is(&c, answer, CHECK_PASS, "7");
    c.json = dotted;
    number_is(&c, answer, CHECK_PASS, "8");
    c.json = none;
    number_is(&c, answer, CHECK_UNKNOWN, "no number at data.width");
    c.json = text;
    number_is(&c, answer, CHECK_UNKNOWN, "no number at status");
    number_is(&c, "<html>", CHECK_UNKNOWN, "no number at status in `<html>`");
}

/* --- anything --------------------------------------------------------------------------------- */

/* Whatever a stranger answers there is judged in bounds, and is no pass unless it says so. */
static void anything_may_be_answered(void **state) {
    static const char alphabet[] = "+-RESvPONGOK\r\n\0\0\0\x05\x7f$:57P03CM";
    uint64_t random = 1;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct heard heard = {.result = CHECK_UNKNOWN};
        size_t len = 1 + (size_t)i % 40;
        char *bytes = malloc(len + 1);
        for (size_t n = 0; n < len; n++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            bytes[n] = alphabet[(random >> 33) % (sizeof alphabet - 1)];
        }
        bytes[len] = '\0';
        if (redis_hear(bytes, len, i % 2, &heard) && heard.result == CHECK_PASS)
            assert_non_null(strstr(bytes, "+PONG"));
        if (postgresql_hear(bytes, len, &heard) && heard.result == CHECK_PASS)
            assert_non_null(memchr("REv", bytes[0], 3));
        free(bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_answers_ping),
        cmocka_unit_test(a_password_that_is_wrong_says_nothing_of_redis),
        cmocka_unit_test(a_password_may_hold_anything),
        cmocka_unit_test(postgresql_speaks),
        cmocka_unit_test(postgresql_is_asked_for_a_session),
        cmocka_unit_test(a_number_is_within_its_bounds_or_unknown),
        cmocka_unit_test(a_number_lies_in_json),
        cmocka_unit_test(anything_may_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
