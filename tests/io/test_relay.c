/* SPDX-License-Identifier: Apache-2.0 */
/* The relay of connections: the same tests on the kernel's loop and on the simulated one. */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "io/relay.h"
#include "io/sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 4, LARGE = 32 << 20 };

/* One end of a connection: what it got, and how it ended. */
struct end {
    struct stream *stream;
    struct buf got; /* its beginning */
    size_t total;
    bool paused, connected, closed;
    enum close_reason reason;
};
/* A server that answers whatever it gets with its name, or swallows it. */
struct server {
    const char *name;
    bool answers, pauses;
    struct listener *listener;
    struct end ends[CLIENTS];
    size_t count;
};

static struct loop *loop;
static struct relay *relay;
static struct server one, two;
static struct end clients[CLIENTS];
static bool relay_gone;

/* --- ends ------------------------------------------------------------------------------------- */

static struct server *server_of(const struct end *e) {
    for (size_t n = 0; n < CLIENTS; n++)
        if (e == &one.ends[n])
            return &one;
        else if (e == &two.ends[n])
            return &two;
    return NULL;
}

static void on_connected(void *ctx, struct stream *s) {
    struct end *e = ctx;
    (void)s;
    e->connected = true;
}

static void on_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct end *e = ctx;
    const struct server *server = server_of(e);
    if (e->total < 1000)
        buf_append(&e->got, data, len < 1000 ? len : 1000);
    e->total += len;
    if (server && server->answers)
        stream_write(s, server->name, strlen(server->name));
}

static void on_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct end *e = ctx;
    (void)s;
    (void)detail;
    e->stream = NULL;
    e->closed = true;
    e->reason = reason;
}

static const struct stream_events events = {
    .connected = on_connected, .data = on_data, .closed = on_closed};

static void on_accepted(void *ctx, struct stream *s) {
    struct server *server = ctx;
    assert_true(server->count < CLIENTS);
    struct end *e = &server->ends[server->count++];
    buf_init(&e->got, 4000);
    e->stream = s;
    stream_set_events(s, &events, e);
    if (server->pauses)
        stream_read_pause(s);
}

static void server_open(struct server *s, const char *name) {
    static const struct listener_events listens = {on_accepted};
    *s = (struct server){.name = name, .answers = true};
    s->listener = listener_open(loop, "127.0.0.1", 0, &listens, s, NULL);
    assert_non_null(s->listener);
}

static void server_free(struct server *s) {
    listener_close(s->listener);
    for (size_t n = 0; n < s->count; n++) {
        if (s->ends[n].stream)
            stream_close(s->ends[n].stream, CLOSE_RESET);
        buf_free(&s->ends[n].got);
    }
}

/* --- the world -------------------------------------------------------------------------------- */

static void on_time(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static void pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, loop);
    loop_timer_start(loop, &timer, loop_now(loop) + span);
    loop_run(loop);
    loop_timer_stop(loop, &timer);
}

/* Waits for it, ten seconds at most. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        for (int turns = 0; turns < 5000 && !(condition); turns++)                                 \
            pass(2 * HARDY_MILLISECOND);                                                           \
        if (!(condition))                                                                          \
            fail_msg("waited in vain for: %s", #condition);                                        \
    } while (0)

static void on_gone(void *ctx) {
    (void)ctx;
    relay_gone = true;
}

static struct end *dial(size_t n) {
    struct end *e = &clients[n];
    *e = (struct end){0};
    buf_init(&e->got, 4000);
    e->stream = stream_connect(loop, "127.0.0.1", relay_port(relay), &events, e);
    assert_non_null(e->stream);
    return e;
}

static void say(struct end *e, const char *text) {
    assert_true(stream_write(e->stream, text, strlen(text)));
}

static bool got(const struct end *e, const char *text) {
    return e->got.data && strcmp(e->got.data, text) == 0;
}

static void aim(const struct server *s, int64_t drain) {
    assert_true(
        relay_target(relay, s ? "127.0.0.1" : NULL, s ? listener_port(s->listener) : 0, drain));
}

static int setup_on(struct loop *on) {
    const struct relay_options options = {.max_connections = 3,
                                          .connect_timeout = 200 * HARDY_MILLISECOND,
                                          .wait_timeout = 300 * HARDY_MILLISECOND};
    loop = on;
    relay_gone = false;
    memset(clients, 0, sizeof clients);
    relay = relay_open(loop, "127.0.0.1", 0, &options, NULL);
    assert_non_null(relay);
    server_open(&one, "one");
    server_open(&two, "two");
    return 0;
}

static int setup_uv(void **state) {
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return setup_on(loop_uv_new(NULL));
}

static int setup_sim(void **state) {
    struct sim_options options;
    (void)state;
    sim_options_init(&options);
    options.latency_min = options.latency_max = 10 * HARDY_MILLISECOND; /* connecting takes time */
    return setup_on(loop_sim_new(&options, NULL));
}

static int teardown(void **state) {
    (void)state;
    relay_close(relay, on_gone, NULL);
    UNTIL(relay_gone);
    for (size_t n = 0; n < CLIENTS; n++) {
        if (clients[n].stream)
            stream_close(clients[n].stream, CLOSE_RESET);
        buf_free(&clients[n].got);
    }
    server_free(&one);
    server_free(&two);
    pass(20 * HARDY_MILLISECOND);
    loop_free(loop);
    return 0;
}

/* --- the tests -------------------------------------------------------------------------------- */

static void both_directions(void **state) {
    (void)state;
    aim(&one, 0);
    struct end *c = dial(0);
    say(c, "hello");
    UNTIL(got(c, "one"));
    assert_true(got(&one.ends[0], "hello"));
    struct relay_figures figures = relay_figures(relay);
    assert_int_equal(figures.open, 1);
    assert_int_equal(figures.accepted, 1);
}

/* What one side has written arrives before its end does. */
static void an_end_follows_the_bytes(void **state) {
    (void)state;
    aim(&one, 0);
    one.answers = false;
    struct end *c = dial(0);
    UNTIL(one.count == 1);
    for (int n = 0; n < 1000; n++)
        assert_true(stream_write(one.ends[0].stream, "0123456789abcdef", 16));
    stream_close(one.ends[0].stream, CLOSE_LOCAL);
    UNTIL(c->closed);
    assert_int_equal(c->total, 16000);
    assert_int_equal(c->reason, CLOSE_EOF);
    c = dial(1);
    say(c, "last words");
    UNTIL(one.count == 2);
    stream_close(c->stream, CLOSE_LOCAL);
    UNTIL(one.ends[1].closed);
    assert_true(got(&one.ends[1], "last words"));
    UNTIL(relay_figures(relay).open == 0);
}

static void a_reset_is_passed_on(void **state) {
    (void)state;
    aim(&one, 0);
    struct end *c = dial(0);
    say(c, "x");
    UNTIL(got(c, "one"));
    stream_close(one.ends[0].stream, CLOSE_RESET);
    UNTIL(c->closed);
    assert_int_equal(c->reason, CLOSE_RESET);
}

/* A far side that does not read is not read for. */
static void who_reads_slowly_slows_the_other_down(void **state) {
    (void)state;
    char *large = calloc(1, LARGE);
    assert_non_null(large);
    aim(&one, 0);
    one.answers = false;
    one.pauses = true;
    struct end *c = dial(0);
    UNTIL(one.count == 1);
    assert_true(stream_write(c->stream, large, LARGE));
    pass(300 * HARDY_MILLISECOND);
    assert_in_range(stream_unsent(c->stream), LARGE / 2, LARGE); /* the rest is in the kernel */
    stream_read_resume(one.ends[0].stream);
    UNTIL(one.ends[0].total == LARGE);
    /* And the other way. */
    stream_read_pause(c->stream);
    assert_true(stream_write(one.ends[0].stream, large, LARGE));
    pass(300 * HARDY_MILLISECOND);
    assert_in_range(stream_unsent(one.ends[0].stream), LARGE / 2, LARGE);
    stream_read_resume(c->stream);
    UNTIL(c->total == LARGE);
    free(large);
}

static void without_a_target_it_waits(void **state) {
    (void)state;
    struct end *c = dial(0);
    say(c, "early");
    pass(50 * HARDY_MILLISECOND);
    assert_false(c->closed);
    aim(&two, 0);
    UNTIL(got(c, "two"));
    assert_true(got(&two.ends[0], "early"));
}

static void nobody_waits_for_ever(void **state) {
    (void)state;
    struct end *c = dial(0);
    UNTIL(c->connected);
    int64_t began = loop_now(loop);
    UNTIL(c->closed);
    assert_in_range(loop_now(loop) - began, 250 * HARDY_MILLISECOND, HARDY_SECOND);
    assert_int_equal(relay_figures(relay).failed, 1);
    UNTIL(relay_figures(relay).open == 0);
}

static void a_target_that_refuses(void **state) {
    (void)state;
    aim(&one, 0);
    listener_close(one.listener);
    one.listener = NULL;
    pass(5 * HARDY_MILLISECOND);
    struct end *c = dial(0);
    UNTIL(c->closed);
    assert_int_equal(c->reason, CLOSE_RESET);
    assert_int_equal(relay_figures(relay).failed, 1);
}

static void another_target(void **state) {
    (void)state;
    aim(&one, 0);
    struct end *c = dial(0);
    say(c, "x");
    UNTIL(got(c, "one"));
    aim(&one, 0); /* the same: nothing happens */
    pass(20 * HARDY_MILLISECOND);
    assert_false(c->closed);
    aim(&two, 0);
    UNTIL(c->closed);
    assert_int_equal(c->reason, CLOSE_RESET);
    UNTIL(one.ends[0].closed);
    assert_int_equal(relay_figures(relay).moved, 1);
    c = dial(1);
    say(c, "y");
    UNTIL(got(c, "two"));
}

/* In the middle of connecting nothing of the client's was read, so nothing can get lost. */
static void whoever_connects_is_moved(void **state) {
    (void)state;
    aim(&one, 0);
    struct end *c = dial(0);
    say(c, "x");
    UNTIL(relay_figures(relay).accepted == 1);
    aim(NULL, 0);
    aim(&two, 0);
    UNTIL(got(c, "two"));
    assert_int_equal(one.count == 1 && one.ends[0].total > 0, 0);
    assert_int_equal(relay_figures(relay).moved, 0);
}

static void draining(void **state) {
    (void)state;
    aim(&one, 0);
    struct end *c = dial(0);
    say(c, "x");
    UNTIL(got(c, "one"));
    aim(NULL, 200 * HARDY_MILLISECOND);
    aim(&two, 0); /* one that drains already goes on */
    int64_t began = loop_now(loop);
    say(c, "y");
    UNTIL(got(c, "oneone"));
    assert_false(c->closed);
    UNTIL(c->closed);
    assert_in_range(loop_now(loop) - began, 150 * HARDY_MILLISECOND, HARDY_SECOND);
    assert_int_equal(relay_figures(relay).moved, 1);
}

static void no_more_than_its_maximum(void **state) {
    (void)state;
    aim(&one, 0);
    for (size_t n = 0; n < 3; n++) {
        say(dial(n), "x");
        UNTIL(got(&clients[n], "one"));
    }
    struct end *c = dial(3);
    UNTIL(c->closed);
    assert_int_equal(relay_figures(relay).refused, 1);
    stream_close(clients[0].stream, CLOSE_LOCAL);
    UNTIL(relay_figures(relay).open == 2);
    c = dial(3);
    say(c, "x");
    UNTIL(got(c, "one"));
}

static void an_address_that_is_taken(void **state) {
    (void)state;
    const struct relay_options options = {.max_connections = 3};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_null(relay_open(loop, "127.0.0.1", relay_port(relay), &options, &error));
    assert_int_equal(error.status, HARDY_E_EXISTS);
}

#define ON_BOTH(test)                                                                              \
    {#test " (kernel)", test, setup_uv, teardown, NULL}, {                                         \
#test " (simulated)", test, setup_sim, teardown, NULL                                      \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(both_directions),
        ON_BOTH(an_end_follows_the_bytes),
        ON_BOTH(a_reset_is_passed_on),
        ON_BOTH(who_reads_slowly_slows_the_other_down),
        ON_BOTH(without_a_target_it_waits),
        ON_BOTH(nobody_waits_for_ever),
        ON_BOTH(a_target_that_refuses),
        ON_BOTH(another_target),
        {"whoever_connects_is_moved", whoever_connects_is_moved, setup_sim, teardown, NULL},
        ON_BOTH(draining),
        ON_BOTH(no_more_than_its_maximum),
        ON_BOTH(an_address_that_is_taken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
