/* SPDX-License-Identifier: Apache-2.0 */
/* What the gateway does as a remedy: connections are reset, and fewer calls let through at once. In
 * virtual time. */
#include "base/log.h"
#include "support.h"

#define MESSAGES "/up/v1/messages"
#define BODY "{\"model\":\"m-1\",\"max_tokens\":9,\"messages\":[]}"
#define MANY 12

static struct bench b;
static struct asked a[MANY];
static char told[200];

static void ask_many(size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        ask_begin(&b, &a[i], "POST", MESSAGES, BODY, NULL);
    }
    world_wait(&b.w, 100 * HARDY_MILLISECOND);
}

/* The client leaves, and with it its call of the upstream. */
static void leave(size_t i) {
    http_call_cancel(a[i].log.call);
    a[i].log.call = NULL;
    world_wait(&b.w, 100 * HARDY_MILLISECOND);
}

static void end(size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (a[i].log.call) {
            leave(i);
        }
        asked_free(&a[i]);
    }
    bench_end(&b);
}

static int64_t in(int64_t span) {
    return loop_now(b.w.loop) + span;
}

static void expect_told(const char *text) {
    if (!strstr(told, text)) {
        fail_msg("`%s` does not say `%s`", told, text);
    }
}

static void expect_limit(uint32_t at_once) {
    struct exposition x;
    struct json_out j;
    struct buf text;
    char line[80], member[40];
    buf_init(&text, 1 << 20);
    exposition_begin(&x, &text);
    gateway_write_metrics(b.gateway, &x);
    snprintf(line, sizeof line, "\nhardy_concurrency_limit{guard=\"up\"} %u\n", at_once);
    assert_non_null(strstr(text.data, line));
    buf_free(&text);
    buf_init(&text, 1 << 16);
    json_out_init(&j, &text, 0);
    gateway_guard_to_json(b.gateway, "up", &j);
    snprintf(member, sizeof member, at_once ? "\"lowered_to\":%u" : "\"lowered_to\":null", at_once);
    assert_non_null(strstr(text.data, member));
    buf_free(&text);
}

/* --- concurrency ------------------------------------------------------------------------------ */

static void fewer_at_once_for_a_while(void **state) {
    (void)state;
    bench_begin(&b, &(struct bench_options){.answers = NULL});
    ask_many(0, 6);
    assert_int_equal(b.upstream.open, 6);
    expect_limit(0);
    assert_int_equal(gateway_lower_concurrency(b.gateway, "up", 0.5, in(HARDY_MINUTE), told),
                     HARDY_OK);
    assert_string_equal(told, "at most 3 at once through up, for 1m");
    expect_limit(3);
    /* What runs is left; who comes now waits until few enough are under way. */
    ask_many(6, 8);
    assert_int_equal(b.upstream.open, 6);
    leave(0);
    leave(1);
    leave(2);
    assert_int_equal(b.upstream.open, 3);
    leave(3);
    assert_int_equal(b.upstream.open, 3);
    assert_int_equal(b.upstream.accepted, 7);
    /* It ends by itself, and those who wait go at once. */
    ask_many(8, 10);
    assert_int_equal(b.upstream.open, 3);
    world_wait(&b.w, HARDY_MINUTE);
    assert_int_equal(b.upstream.open, 6);
    expect_limit(0);
    end(10);
}

static void asked_again_it_is_replaced_and_not_lowered_further(void **state) {
    (void)state;
    bench_begin(&b, &(struct bench_options){.answers = NULL});
    ask_many(0, 8);
    assert_int_equal(gateway_lower_concurrency(b.gateway, NULL, 0.5, in(HARDY_MINUTE), told),
                     HARDY_OK);
    for (size_t i = 0; i < 4; i++) {
        leave(i);
    }
    world_wait(&b.w, 30 * HARDY_SECOND);
    assert_int_equal(gateway_lower_concurrency(b.gateway, "", 0.5, in(HARDY_MINUTE), told),
                     HARDY_OK);
    expect_limit(4);
    world_wait(&b.w, 40 * HARDY_SECOND);
    expect_limit(4);
    assert_int_equal(gateway_lower_concurrency(b.gateway, "up", 0.25, in(HARDY_MINUTE), told),
                     HARDY_OK);
    expect_limit(2);
    world_wait(&b.w, 61 * HARDY_SECOND);
    /* Of what is under way then, but one goes in any case. */
    assert_int_equal(gateway_lower_concurrency(b.gateway, "up", 0.01, in(HARDY_MINUTE), told),
                     HARDY_OK);
    expect_limit(1);
    end(8);
}

static void other_settings_do_not_lift_it(void **state) {
    (void)state;
    bench_begin(&b, &(struct bench_options){.answers = NULL});
    ask_many(0, 4);
    assert_int_equal(gateway_lower_concurrency(b.gateway, "up", 0.5, in(HARDY_MINUTE), told),
                     HARDY_OK);
    bench_reload(&b, &(struct bench_options){.sections = "guards: {up: {deadline: 10m}}\n"});
    expect_limit(2);
    for (size_t i = 0; i < 4; i++) {
        leave(i);
    }
    ask_many(4, 8);
    assert_int_equal(b.upstream.open, 2);
    world_wait(&b.w, HARDY_MINUTE);
    assert_int_equal(b.upstream.open, 4);
    expect_limit(0);
    end(8);
}

/* Passing trouble: later, in the client's own protocol. */
static void what_finds_no_place_is_told_to_come_again(void **state) {
    (void)state;
    static const struct {
        const char *protocol, *sections, *error;
        int status;
    } rows[] = {
        {"anthropic", "guards: {up: {bulkhead: {max_queue: 1}}}\n", "overloaded_error", 529},
        {"openai", "guards: {up: {bulkhead: {max_queue: 1}}}\n", "\"overloaded\"", 503},
        /* Of other services the guard has no bulkhead of its own: waiting, until the deadline. */
        {"http", "", "", 503},
    };
    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        bench_begin(&b, &(struct bench_options){.answers = NULL,
                                                .protocol = rows[n].protocol,
                                                .sections = rows[n].sections});
        ask_many(0, 1);
        assert_int_equal(gateway_lower_concurrency(b.gateway, "up", 0.5, in(HARDY_HOUR), told),
                         HARDY_OK);
        for (size_t i = 1; i < 3; i++) {
            ask_begin(&b, &a[i], "POST", MESSAGES, BODY, "x-hardy-timeout", "10s", NULL);
            world_wait(&b.w, 10 * HARDY_MILLISECOND);
        }
        bool bounded = rows[n].error[0] != '\0';
        if (bounded) {
            assert_int_equal(a[2].log.status, rows[n].status);
            assert_non_null(strstr(a[2].log.body.data, rows[n].error));
            assert_true(header_number(&a[2], "retry-after") >= 1);
            assert_true(header_number(&a[2], "retry-after") <= 59);
        }
        assert_non_null(a[1].log.call);
        world_wait(&b.w, 11 * HARDY_SECOND);
        assert_int_equal(a[1].log.status, rows[n].status);
        assert_int_equal(b.upstream.accepted, 1);
        end(3);
    }
}

/* --- connections ------------------------------------------------------------------------------ */

static void idle_connections_are_closed(void **state) {
    (void)state;
    static const char *answers[8];
    for (size_t i = 0; i < 7; i++) {
        answers[i] = json_answer(200, "", "{}");
    }
    answers[3] = NULL; /* under way */
    bench_begin(&b, &(struct bench_options){.answers = answers, .count = 7});
    ask_many(0, 3);
    assert_int_equal(b.upstream.open, 3);
    ask_many(3, 4);
    assert_int_equal(gateway_reset_connections(b.gateway, "up", told), HARDY_OK);
    assert_string_equal(told, "closed 2 idle connections to up");
    world_wait(&b.w, HARDY_SECOND);
    assert_int_equal(b.upstream.open, 1);
    assert_non_null(a[3].log.call);
    /* What comes next has a new one. */
    ask_many(4, 5);
    assert_int_equal(a[4].log.status, 200);
    assert_int_equal(b.upstream.accepted, 4);
    assert_int_equal(gateway_reset_connections(b.gateway, NULL, told), HARDY_OK);
    assert_string_equal(told, "closed 1 idle connection to all upstreams");
    assert_int_equal(gateway_reset_connections(b.gateway, "", told), HARDY_OK);
    assert_string_equal(told, "closed 0 idle connections to all upstreams");
    end(5);
}

static void names_that_are_not_there(void **state) {
    (void)state;
    bench_begin(&b, &(struct bench_options){.answers = NULL});
    assert_int_equal(gateway_reset_connections(b.gateway, "down", told), HARDY_E_NOT_FOUND);
    expect_told("there is no upstream `down`");
    assert_int_equal(gateway_lower_concurrency(b.gateway, "down", 0.5, in(HARDY_MINUTE), told),
                     HARDY_E_NOT_FOUND);
    expect_told("there is no guard `down`");
    expect_limit(0);
    end(0);
}

int main(void) {
    log_configure(HARDY_LOG_ERROR, false, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_at_once_for_a_while),
        cmocka_unit_test(asked_again_it_is_replaced_and_not_lowered_further),
        cmocka_unit_test(other_settings_do_not_lift_it),
        cmocka_unit_test(what_finds_no_place_is_told_to_come_again),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(names_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
