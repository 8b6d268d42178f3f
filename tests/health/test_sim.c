/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks that run by themselves, in virtual time: servers that hang, are slow, speak Redis or
 * PostgreSQL over a network that splits, stalls and resets. What a check that hangs holds back is
 * counted in virtual time.
 */
#include "../cmocka_all.h"
#include "base/str.h"
#include "health/serve.h"
#include "http/fetch.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- servers of the world outside ------------------------------------------------------------- */

/* Answers the first bytes of each connection after a while; `answer` NULL: never. */
struct server {
    struct loop *loop;
    const char *answer;
    int64_t after;
    struct listener *listener;
    int asked;
};
struct visit {
    struct server *server;
    struct stream *stream;
    struct loop_timer timer;
};

static void on_answer(struct loop_timer *timer) {
    const struct visit *v = timer->ctx;
    stream_write(v->stream, v->server->answer, strlen(v->server->answer));
}

static void on_connected(void *ctx, struct stream *s) {
    (void)ctx;
    (void)s;
}

static void on_asked(void *ctx, struct stream *s, const char *data, size_t len) {
    struct visit *v = ctx;
    (void)s;
    (void)data;
    (void)len;
    v->server->asked++;
    if (v->server->answer)
        loop_timer_start(v->server->loop, &v->timer, loop_now(v->server->loop) + v->server->after);
}

static void on_gone(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct visit *v = ctx;
    (void)s;
    (void)reason;
    (void)detail;
    loop_timer_stop(v->server->loop, &v->timer);
    free(v);
}

static void on_accepted(void *ctx, struct stream *s) {
    static const struct stream_events events = {
        .connected = on_connected, .data = on_asked, .closed = on_gone};
    struct visit *v = calloc(1, sizeof *v);
    v->server = ctx;
    v->stream = s;
    loop_timer_init(&v->timer, on_answer, v);
    stream_set_events(s, &events, v);
}

/* --- the program under test ------------------------------------------------------------------- */

struct town {
    struct loop *loop;
    struct http_client *client;
    struct config *config;
    struct schema_list checks;
    struct health *health;
    struct loop_timer end;
    struct server *servers[3];
    size_t server_count;
    int results[8]; /* by the number of the check */
    int64_t first_down[8];
    uint64_t passes[8];
    char message[8][200];
};

static size_t number_of(const struct town *t, const struct check_settings *c) {
    return (size_t)(c - (const struct check_settings *)t->checks.items);
}

static void on_result(void *ctx, const struct check_settings *c, const struct check_state *s,
                      bool changed) {
    struct town *t = ctx;
    size_t n = number_of(t, c);
    t->results[n]++;
    t->passes[n] = s->counts[CHECK_PASS];
    str_copy(t->message[n], sizeof t->message[n], s->message);
    if (changed && s->level == LEVEL_DOWN && !t->first_down[n])
        t->first_down[n] = loop_now(t->loop);
    assert_true(s->took <= c->timeout + 2 * HARDY_MILLISECOND);
}

static void on_end(struct loop_timer *timer) {
    const struct town *t = timer->ctx;
    loop_stop(t->loop);
}

static void begin(struct town *t, const struct sim_options *options, const char *yaml) {
    static const struct health_events events = {on_result};
    struct http_client_options client;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    *t = (struct town){.loop = loop_sim_new(options, &error)};
    http_client_options_init(&client);
    t->client = http_client_new(t->loop, &client, &error);
    assert_int_equal(config_load_bytes("t.yaml", yaml, strlen(yaml), &t->config, &error), HARDY_OK);
    if (checks_read(t->config, &t->checks, &error) != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
    t->health = health_start(t->loop, t->client, &t->checks, &events, t, &error);
    assert_non_null(t->health);
}

static void run_for(struct town *t, int64_t span) {
    loop_timer_init(&t->end, on_end, t);
    loop_timer_start(t->loop, &t->end, loop_now(t->loop) + span);
    loop_run(t->loop);
}

/* What was open is closed, on the far side too. */
static void end(struct town *t) {
    health_stop(t->health);
    http_client_free(t->client);
    for (size_t n = 0; n < t->server_count; n++)
        listener_close(t->servers[n]->listener);
    run_for(t, 20 * HARDY_MINUTE);
    loop_free(t->loop);
    checks_free(&t->checks);
    config_free(t->config);
}

static void serve(struct town *t, uint16_t port, struct server *s) {
    static const struct listener_events events = {on_accepted};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->loop = t->loop;
    sim_outside(t->loop, true);
    s->listener = listener_open(t->loop, "127.0.0.1", port, &events, s, &error);
    sim_outside(t->loop, false);
    assert_non_null(s->listener);
    t->servers[t->server_count++] = s;
}

/* --- what hangs ------------------------------------------------------------------------------- */

struct asking {
    struct town *town;
    struct health_server *server;
    struct health_view view;
    struct loop_timer timer;
    struct http_fetch *fetch;
    struct http_url url;
    int64_t asked, worst;
    int answers;
};

static void on_ready(void *ctx, const struct http_fetched *f) {
    struct asking *a = ctx;
    int64_t took = loop_now(a->town->loop) - a->asked;
    assert_true(f->complete);
    assert_int_equal(f->status, 200);
    assert_non_null(strstr(f->body, "\"hung\":[{\"status\":\"warn\""));
    a->worst = took > a->worst ? took : a->worst;
    a->answers++;
}

static void ask(struct loop_timer *timer) {
    struct asking *a = timer->ctx;
    struct http_call_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_call_options_init(&options);
    options.url = &a->url;
    options.deadline = HARDY_NEVER;
    a->asked = loop_now(a->town->loop);
    assert_int_equal(
        http_fetch_start(a->town->client, &options, 1 << 20, on_ready, a, &a->fetch, &error),
        HARDY_OK);
    if (a->answers < 50)
        loop_timer_start(a->town->loop, timer, a->asked + 100 * HARDY_MILLISECOND);
}

/* The kernel would take the connections of a process that was stopped, as this server does. */
static void a_check_that_hangs_holds_nothing_back(void **state) {
    struct sim_options options;
    struct town t;
    struct server hung = {0}, quick = {.answer = "+PONG\r\n"};
    struct health_settings settings = {.listen = (char[]){"127.0.0.1:4275"}};
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    sim_options_init(&options);
    begin(&t, &options,
          "checks:\n"
          "  - {name: hung, http: \"http://127.0.0.1:7000/\", interval: 9s, timeout: 9s}\n"
          "  - {name: quick, redis: \"127.0.0.1:7001\", interval: 100ms, timeout: 50ms, critical: "
          "true}\n");
    serve(&t, 7000, &hung);
    serve(&t, 7001, &quick);
    struct asking a = {.town = &t, .view = {.health = t.health}};
    assert_int_equal(health_serve(t.loop, &settings, &a.view, &a.server, &error), HARDY_OK);
    assert_int_equal(http_url_parse("http://127.0.0.1:4275/health/ready", &a.url, &error),
                     HARDY_OK);
    loop_timer_init(&a.timer, ask, &a);
    loop_timer_start(t.loop, &a.timer, loop_now(t.loop) + 50 * HARDY_MILLISECOND);
    run_for(&t, 8 * HARDY_SECOND);
    assert_int_equal(hung.asked, 1);
    assert_int_equal(t.results[0], 0); /* it hangs all the while */
    assert_int_equal(t.results[1], 80);
    assert_true(a.answers > 50);
    assert_true(a.worst <= 4 * options.latency_max); /* there and back; connecting, once */
    http_url_free(&a.url);
    health_server_stop(a.server, NULL, NULL);
    end(&t);
}

static void what_hangs_is_down_after_three_time_outs(void **state) {
    struct sim_options options;
    struct town t;
    struct server hung = {0};
    (void)state;
    sim_options_init(&options);
    begin(&t, &options,
          "checks:\n"
          "  - {name: http, http: \"http://127.0.0.1:7000/\", grace: 0s}\n"
          "  - {name: redis, redis: \"127.0.0.1:7000\", grace: 0s}\n"
          "  - {name: postgresql, postgresql: \"127.0.0.1:7000\", grace: 0s}\n"
          "  - {name: tcp, tcp: \"127.0.0.1:7000\", grace: 0s}\n"
          "  - {name: number, number: {http: \"http://127.0.0.1:7000/\", below: 1}, grace: 0s}\n");
    serve(&t, 7000, &hung);
    int64_t start = loop_now(t.loop);
    run_for(&t, 60 * HARDY_SECOND);
    for (size_t n = 0; n < 3; n++) {
        assert_string_equal(t.message[n], "no answer within 1s");
        assert_true(t.first_down[n] - start >= 21 * HARDY_SECOND);
        assert_true(t.first_down[n] - start < 21 * HARDY_SECOND + 10 * HARDY_MILLISECOND);
    }
    assert_string_equal(t.message[3], "connected"); /* which is why tcp alone is not enough */
    assert_int_equal(t.first_down[3], 0);
    assert_string_equal(t.message[4], "no answer within 1s");
    assert_int_equal(t.first_down[4], 0); /* of the number nothing is known */
    end(&t);
}

static void a_slow_answer_is_another_thing_than_none(void **state) {
    struct sim_options options;
    struct town t;
    struct server slow = {.answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                          .after = 700 * HARDY_MILLISECOND};
    (void)state;
    sim_options_init(&options);
    begin(&t, &options,
          "checks:\n"
          "  - {name: plain, http: \"http://127.0.0.1:7000/\"}\n"
          "  - {name: slow, http: \"http://127.0.0.1:7000/\", response_below: 500ms}\n"
          "  - {name: soon, http: \"http://127.0.0.1:7000/\", response_below: 900ms}\n");
    serve(&t, 7000, &slow);
    run_for(&t, 5 * HARDY_SECOND);
    assert_string_equal(t.message[0], "answered 200 OK");
    assert_string_equal(t.message[1], "answered 200 OK, in 704ms, not below 500ms");
    assert_string_equal(t.message[2], "answered 200 OK");
    end(&t);
}

/* --- a bad network ---------------------------------------------------------------------------- */

/* Whatever the network does: each run has one result, in time, and it is never better than what
 * the server says. */
static void answers_are_never_better_than_what_was_said(void **state) {
    static const char loading[] = "-LOADING Redis is loading the dataset in memory\r\n";
    static const char starting[] = "E"; /* an error that is cut short */
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sim_options options;
        struct town t;
        struct server good = {.answer = "+PONG\r\n"}, bad = {.answer = loading},
                      cut = {.answer = starting};
        sim_options_init(&options);
        options.seed = seed;
        options.latency_max = 20 * HARDY_MILLISECOND;
        options.refuse = options.reset = options.stall = 0.1;
        options.split = 0.5;
        begin(&t, &options,
              "checks:\n"
              "  - {name: good, redis: \"127.0.0.1:7001\", interval: 200ms, timeout: 200ms}\n"
              "  - {name: bad, redis: \"127.0.0.1:7002\", interval: 200ms, timeout: 200ms}\n"
              "  - {name: cut, postgresql: \"127.0.0.1:7003\", interval: 200ms, timeout: 200ms}\n");
        serve(&t, 7001, &good);
        serve(&t, 7002, &bad);
        serve(&t, 7003, &cut);
        run_for(&t, 10 * HARDY_SECOND);
        for (size_t n = 0; n < 3; n++)
            assert_in_range(t.results[n], 49, 50);
        assert_true(t.passes[0] > 0);
        assert_int_equal(t.passes[1], 0);
        assert_int_equal(t.passes[2], 0);
        end(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_check_that_hangs_holds_nothing_back),
        cmocka_unit_test(what_hangs_is_down_after_three_time_outs),
        cmocka_unit_test(a_slow_answer_is_another_thing_than_none),
        cmocka_unit_test(answers_are_never_better_than_what_was_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
