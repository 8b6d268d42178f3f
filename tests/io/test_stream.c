/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and listeners: the same tests on the kernel's loop, over loopback, and on the simulated
 * one. */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/clock.h"
#include "io/loop.h"
#include "io/sim.h"
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;

/* One end of a connection, and what happened to it. */
struct end {
    struct stream *stream;
    struct buf got;
    size_t total;
    int pieces; /* in which it came */
    int connected, closed, drained;
    enum close_reason reason;
    char detail[200];
    const char *say;    /* written once connected */
    bool echo;          /* writes back what it gets */
    size_t close_after; /* closes when it has got this much; 0 = never */
    enum close_reason how;
    size_t pause_after; /* pauses once when it has got this much */
    struct loop_timer resume;
    bool was_paused;
};
static struct end client, server;
static struct listener *listening;

static void on_connected(void *ctx, struct stream *s) {
    struct end *e = ctx;
    assert_ptr_equal(e->stream, s);
    e->connected++;
    if (e->say) {
        assert_true(stream_write(s, e->say, strlen(e->say)));
    }
}

static void on_resume(struct loop_timer *t) {
    struct end *e = t->ctx;
    stream_read_resume(e->stream);
}

static void on_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct end *e = ctx;
    assert_int_equal(e->closed, 0);
    e->total += len;
    e->pieces++;
    buf_append(&e->got, data, len);
    if (e->echo) {
        stream_write(s, data, len);
    }
    if (e->close_after && e->total >= e->close_after) {
        stream_close(s, e->how);
    }
    if (e->pause_after && e->total >= e->pause_after && !e->was_paused) {
        e->was_paused = true;
        stream_read_pause(s);
        loop_timer_init(&e->resume, on_resume, e);
        loop_timer_start(loop, &e->resume, loop_now(loop) + 5 * HARDY_MILLISECOND);
    }
}

static void on_drained(void *ctx, struct stream *s) {
    struct end *e = ctx;
    assert_int_equal(stream_unsent(s), 0);
    e->drained++;
}

static void on_closed(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    struct end *e = ctx;
    assert_ptr_equal(e->stream, s);
    e->stream = NULL;
    e->closed++;
    e->reason = reason;
    snprintf(e->detail, sizeof e->detail, "%s", detail);
    if (e == &server && listening) {
        listener_close(listening);
        listening = NULL;
    }
}

#define EVENTS(on_connection)                                                                      \
    { .connected = (on_connection), .data = on_data, .drained = on_drained, .closed = on_closed }

static const struct stream_events events = EVENTS(on_connected);

static void on_accepted(void *ctx, struct stream *s) {
    struct end *e = ctx;
    e->stream = s;
    stream_set_events(s, &events, e);
    if (e->say) {
        assert_true(stream_write(s, e->say, strlen(e->say)));
    }
}

static const struct listener_events listens = {on_accepted};

static void end_init(struct end *e) {
    *e = (struct end){.how = CLOSE_LOCAL};
    buf_init(&e->got, 1 << 20);
}

static int setup_on(struct loop *new_loop) {
    end_init(&client);
    end_init(&server);
    loop = new_loop;
    listening = loop ? listener_open(loop, "127.0.0.1", 0, &listens, &server, NULL) : NULL;
    return listening ? 0 : -1;
}

static int setup(void **state) {
    (void)state;
    return setup_on(loop_uv_new(NULL));
}

static int setup_sim(void **state) {
    (void)state;
    struct sim_options o;
    sim_options_init(&o);
    o.split = 0.3;
    return setup_on(loop_sim_new(&o, NULL));
}

static int teardown(void **state) {
    (void)state;
    if (listening) {
        listener_close(listening);
    }
    loop_free(loop);
    buf_free(&client.got);
    buf_free(&server.got);
    return 0;
}

static void connect_client(const char *host, uint16_t port) {
    client.stream = stream_connect(loop, host, port, &events, &client);
    assert_non_null(client.stream);
    assert_int_equal(client.connected + client.closed, 0); /* never from inside the call */
}

static void echo(void **state) {
    (void)state;
    uint16_t port = listener_port(listening);
    assert_true(port != 0);
    client.say = "hello";
    client.close_after = 5;
    server.echo = true;
    connect_client("127.0.0.1", port);
    char name[32];
    snprintf(name, sizeof name, "127.0.0.1:%u", (unsigned)port);
    assert_string_equal(stream_peer(client.stream), name);
    loop_run(loop);
    assert_string_equal(client.got.data, "hello");
    assert_int_equal(client.connected, 1);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.reason, CLOSE_LOCAL);
    assert_int_equal(server.closed, 1);
    assert_int_equal(server.reason, CLOSE_EOF);
}

static void refused_by_name_and_number(void **state) {
    (void)state;
    uint16_t port = listener_port(listening);
    listener_close(listening);
    listening = NULL;
    connect_client("127.0.0.1", port);
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.connected, 0);
    assert_int_equal(client.reason, CLOSE_REFUSED);
    assert_non_null(strstr(client.detail, "connect to 127.0.0.1:"));
    end_init(&client);
    connect_client("localhost", port); /* every address of it */
    loop_run(loop);
    assert_int_equal(client.reason, CLOSE_REFUSED);
    end_init(&client);
    connect_client("[::1]", port);
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_true(client.reason == CLOSE_REFUSED || client.reason == CLOSE_UNREACHABLE);
}

static void a_name_is_resolved_and_its_addresses_tried(void **state) {
    (void)state;
    client.say = "hi";
    client.close_after = 2;
    server.echo = true;
    connect_client("localhost", listener_port(listening));
    assert_true(stream_write(client.stream, "", 0));
    loop_run(loop);
    assert_int_equal(client.connected, 1);
    assert_string_equal(client.got.data, "hi");
}

static void a_name_without_address(void **state) {
    (void)state;
    listener_close(listening);
    listening = NULL;
    /* A label longer than DNS allows: refused by the resolver without asking anyone. */
    connect_client("aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg.invalid",
                   80);
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.reason, CLOSE_RESOLVE);
    assert_non_null(strstr(client.detail, "cannot resolve"));
}

static void closed_while_it_connects(void **state) {
    (void)state;
    connect_client("localhost", listener_port(listening));
    stream_close(client.stream, CLOSE_TIMEOUT);
    assert_int_equal(client.closed, 0);
    listener_close(listening);
    listening = NULL;
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.connected, 0);
    assert_int_equal(client.reason, CLOSE_TIMEOUT);
    assert_string_equal(client.detail, close_reason_text(CLOSE_TIMEOUT));
}

/* The far side must be able to tell a reset from an end, though everything sent was read. */
static void closed_with_a_reset(void **state) {
    (void)state;
    client.say = "hello";
    server.close_after = 5;
    server.how = CLOSE_RESET;
    connect_client("127.0.0.1", listener_port(listening));
    loop_run(loop);
    assert_int_equal(server.closed, 1);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.reason, CLOSE_RESET);
    assert_non_null(strstr(client.detail, "reset"));
}

/* Any other reason is an end. */
static void closed_at_once_is_an_end(void **state) {
    (void)state;
    client.say = "hello";
    server.close_after = 5;
    server.how = CLOSE_ERROR;
    connect_client("127.0.0.1", listener_port(listening));
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.reason, CLOSE_EOF);
}

/* A peer that aborts: SO_LINGER 0 makes the kernel send a reset. */
static void reset(void **state) {
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(listener_port(listening))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    loop_run(loop);
    assert_int_equal(server.closed, 1);
    assert_int_equal(server.reason, CLOSE_RESET);
}

#define LARGE ((size_t)12 << 20)

static char pattern(size_t i) {
    return (char)(i * 7 + (i >> 16));
}

static void write_large(void *ctx, struct stream *s) {
    char *data = malloc(LARGE);
    assert_non_null(data);
    for (size_t i = 0; i < LARGE; i++) {
        data[i] = pattern(i);
    }
    on_connected(ctx, s);
    /* In pieces of uneven lengths, one of them empty: the kernel stops in the middle of one. */
    for (size_t at = 0; at < LARGE; at += LARGE / 8) {
        const char *part = data + at;
        size_t middle = 100 + LARGE / 16;
        const struct stream_piece parts[STREAM_PIECES_MAX] = {
            {part, 100}, {NULL, 0}, {part + 100, LARGE / 16}, {part + middle, LARGE / 8 - middle}};
        assert_true(stream_writev(s, parts, STREAM_PIECES_MAX));
    }
    assert_true(stream_unsent(s) > 0);
    free(data);
}

static void write_large_and_close(void *ctx, struct stream *s) {
    write_large(ctx, s);
    stream_close(s, CLOSE_LOCAL);
    assert_false(stream_write(s, "x", 1));
}

static void large(void (*connected)(void *, struct stream *)) {
    struct stream_events sends = EVENTS(connected);
    buf_free(&server.got);
    buf_init(&server.got, LARGE);
    server.pause_after = 1 << 20;
    server.close_after = connected == write_large ? LARGE : 0;
    client.stream = stream_connect(loop, "127.0.0.1", listener_port(listening), &sends, &client);
    loop_run(loop);
    assert_true(server.was_paused);
    assert_int_equal(server.total, LARGE);
    for (size_t i = 0; i < LARGE; i++) {
        if (server.got.data[i] != pattern(i)) {
            fail_msg("byte %zu differs", i);
        }
    }
    assert_int_equal(client.closed, 1);
    assert_int_equal(server.closed, 1);
}

/* More than any socket buffer holds, to a reader that pauses: all of it arrives, once, in order. */
static void large_writes_through_a_pause(void **state) {
    (void)state;
    large(write_large);
    assert_int_equal(client.drained, 1);
    assert_int_equal(client.reason, CLOSE_EOF);
    assert_int_equal(server.reason, CLOSE_LOCAL);
}

static void closing_sends_what_is_pending(void **state) {
    (void)state;
    large(write_large_and_close);
    assert_int_equal(client.reason, CLOSE_LOCAL);
    assert_int_equal(server.reason, CLOSE_EOF);
}

static void written_and_closed_before_it_is_connected(void **state) {
    (void)state;
    connect_client("localhost", listener_port(listening));
    assert_true(stream_write(client.stream, "first ", 6));
    assert_true(stream_write(client.stream, "second", 6));
    assert_int_equal(stream_unsent(client.stream), 12);
    stream_close(client.stream, CLOSE_LOCAL);
    loop_run(loop);
    assert_string_equal(server.got.data, "first second");
    assert_int_equal(server.reason, CLOSE_EOF);
    assert_int_equal(client.closed, 1);
}

static const struct stream_piece greeting[] = {{"one ", 4}, {"", 0}, {"two ", 4}, {"three", 5}};

static void write_pieces(void *ctx, struct stream *s) {
    on_connected(ctx, s);
    assert_true(stream_writev(s, greeting, STREAM_PIECES_MAX));
    assert_int_equal(stream_unsent(s), 0);
    assert_true(stream_writev(s, greeting, 0));
}

static void pieces(void) {
    struct stream_events sends = EVENTS(write_pieces);
    server.close_after = 13;
    client.stream = stream_connect(loop, "127.0.0.1", listener_port(listening), &sends, &client);
    loop_run(loop);
    assert_string_equal(server.got.data, "one two three");
}

static void pieces_arrive_in_order(void **state) {
    (void)state;
    pieces();
    /* Before it is connected, too. */
    buf_free(&server.got);
    end_init(&client);
    end_init(&server);
    server.close_after = 13;
    listening = listener_open(loop, "127.0.0.1", 0, &listens, &server, NULL);
    connect_client("127.0.0.1", listener_port(listening));
    assert_true(stream_writev(client.stream, greeting, STREAM_PIECES_MAX));
    assert_int_equal(stream_unsent(client.stream), 13);
    loop_run(loop);
    assert_string_equal(server.got.data, "one two three");
}

static void pieces_leave_together(void **state) {
    (void)state;
    pieces();
    assert_int_equal(server.pieces, 1);
}

/* --- reading to a place of one's own --- */

static char own[100];
static size_t own_len, own_pieces, asked;

/* The first half to its place, what follows wherever it falls. */
static char *give_space(void *ctx, struct stream *s, size_t *len) {
    struct end *e = ctx;
    assert_ptr_equal(e->stream, s);
    asked++;
    *len = 50 - own_len;
    return own_len < 50 ? own + own_len : NULL;
}

static void take_own(void *ctx, struct stream *s, const char *data, size_t len) {
    if (data == own + own_len) {
        own_len += len;
        own_pieces++;
    }
    on_data(ctx, s, data, len);
}

static void accept_own(void *ctx, struct stream *s) {
    static const struct stream_events own_events = {
        .data = take_own, .closed = on_closed, .space = give_space};
    struct end *e = ctx;
    e->stream = s;
    stream_set_events(s, &own_events, e);
}

static void bytes_are_read_to_where_they_are_wanted(void **state) {
    static const struct listener_events own_listens = {accept_own};
    static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstu"
                               "vwxyz0123456789abcdefghijklmn";
    (void)state;
    own_len = own_pieces = asked = 0;
    listener_close(listening);
    listening = listener_open(loop, "127.0.0.1", 0, &own_listens, &server, NULL);
    client.say = text;
    server.close_after = strlen(text);
    connect_client("127.0.0.1", listener_port(listening));
    loop_run(loop);
    assert_string_equal(server.got.data, text);
    assert_true(asked >= own_pieces);
    assert_true(own_len <= 50);
    assert_memory_equal(own, text, own_len);
}

static void and_not_beyond(void **state) {
    bytes_are_read_to_where_they_are_wanted(state);
    assert_int_equal(own_len, 50); /* the kernel fills it to the last byte */
    assert_int_equal(own_pieces, 1);
    assert_int_equal(server.pieces, 2);
}

static void close_now(struct loop_timer *t) {
    struct end *e = t->ctx;
    stream_close(e->stream, CLOSE_SHUTDOWN);
}

/* The far side reads nothing: closing lingers, and a second reason ends that. */
static void another_reason_hurries_the_closing_up(void **state) {
    (void)state;
    struct stream_events sends = EVENTS(write_large_and_close);
    server.pause_after = 1;
    client.stream = stream_connect(loop, "127.0.0.1", listener_port(listening), &sends, &client);
    struct loop_timer t;
    loop_timer_init(&t, close_now, &client);
    loop_timer_start(loop, &t, loop_now(loop) + 3 * HARDY_MILLISECOND);
    int64_t before = clock_now();
    loop_run(loop);
    assert_int_equal(client.closed, 1);
    assert_int_equal(client.reason, CLOSE_SHUTDOWN);
    assert_true(clock_now() - before < 5 * HARDY_SECOND);
}

static void too_much_unsent_closes(void **state) {
    (void)state;
    size_t half = STREAM_UNSENT_MAX / 2 + 1;
    char *data = calloc(1, half);
    assert_non_null(data);
    connect_client("127.0.0.1", listener_port(listening));
    assert_true(stream_write(client.stream, data, half));
    assert_false(stream_write(client.stream, data, half));
    free(data);
    listener_close(listening);
    listening = NULL;
    loop_run(loop);
    assert_int_equal(client.reason, CLOSE_TOO_LARGE);
}

static void listening_twice_names_the_address(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    uint16_t port = listener_port(listening);
    assert_null(listener_open(loop, "127.0.0.1", port, &listens, &server, &error));
    assert_int_equal(error.status, HARDY_E_EXISTS);
    char name[32];
    snprintf(name, sizeof name, "127.0.0.1:%u", (unsigned)port);
    assert_string_equal(error.where, name);
    assert_null(listener_open(loop, "not an address", 0, &listens, &server, &error));
    assert_int_equal(error.status, HARDY_E_NOT_FOUND);
    listener_close(listener_open(loop, "localhost", 0, &listens, &server, &error));
}

static void accept_nothing(void *ctx, struct stream *s) {
    (void)ctx;
    (void)s;
    listener_close(listening);
    listening = NULL;
}

static void nobody_takes_the_connection(void **state) {
    (void)state;
    static const struct listener_events none = {accept_nothing};
    listener_close(listening);
    listening = listener_open(loop, "127.0.0.1", 0, &none, NULL, NULL);
    connect_client("127.0.0.1", listener_port(listening));
    loop_run(loop);
    assert_int_equal(client.connected, 1);
    assert_int_equal(client.reason, CLOSE_EOF);
}

static void stop(struct loop_timer *t) {
    (void)t;
    loop_stop(loop);
}

/* Freeing the loop in the middle of everything: no callback, no leak. */
static void left_open_at_the_end(void **state) {
    (void)state;
    struct stream_events sends = EVENTS(write_large);
    server.pause_after = 1;
    client.stream = stream_connect(loop, "127.0.0.1", listener_port(listening), &sends, &client);
    struct loop_timer t;
    loop_timer_init(&t, stop, NULL);
    loop_timer_start(loop, &t, loop_now(loop) + 2 * HARDY_MILLISECOND);
    loop_run(loop);
    assert_non_null(stream_connect(loop, "localhost", 1, &events, &client));
    assert_non_null(stream_connect(loop, "127.0.0.1", 1, &events, &client));
    listening = NULL;
    loop_timer_stop(loop, &server.resume);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define KERNEL(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BOTH(name) KERNEL(name), {#name " simulated", name, setup_sim, teardown, NULL}
        BOTH(closed_with_a_reset),
        BOTH(closed_at_once_is_an_end),
        BOTH(echo),
        BOTH(refused_by_name_and_number),
        BOTH(a_name_is_resolved_and_its_addresses_tried),
        KERNEL(a_name_without_address),
        BOTH(closed_while_it_connects),
        KERNEL(reset),
        BOTH(large_writes_through_a_pause),
        BOTH(closing_sends_what_is_pending),
        BOTH(written_and_closed_before_it_is_connected),
        BOTH(pieces_arrive_in_order),
        KERNEL(pieces_leave_together),
        BOTH(bytes_are_read_to_where_they_are_wanted),
        KERNEL(and_not_beyond),
        BOTH(another_reason_hurries_the_closing_up),
        BOTH(too_much_unsent_closes),
        KERNEL(listening_twice_names_the_address),
        BOTH(nobody_takes_the_connection),
        BOTH(left_open_at_the_end),
    };
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
