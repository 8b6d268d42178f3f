/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HTTP_SUPPORT_H
#define TESTS_HTTP_SUPPORT_H
/* A loop (the kernel's, or a simulated one), and the two ends of raw connections. */
#include "../cmocka_all.h"
#include "base/buf.h"
#include "http/client.h"
#include "io/loop.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test of one function that takes `bool simulated`, on both loops. */
#define BOTH(name)                                                                                 \
    static void test_sim_##name(void **state) {                                                    \
        (void)state;                                                                               \
        name(true);                                                                                \
    }                                                                                              \
    static void test_uv_##name(void **state) {                                                     \
        (void)state;                                                                               \
        name(false);                                                                               \
    }
#define TEST_BOTH(name) cmocka_unit_test(test_sim_##name), cmocka_unit_test(test_uv_##name)

void expect_between(int64_t span, int64_t low, int64_t high);

struct world {
    struct loop *loop;
    bool simulated;
    struct loop_timer guard;
};
void world_begin(struct world *w, const struct sim_options *sim); /* NULL = the kernel's loop */
void world_calm(struct world *w, bool simulated);                 /* without faults */
void world_run(struct world *w); /* until world_stop(), within 20 seconds (or virtual hours) */
void world_stop(struct world *w);
void world_wait(struct world *w, int64_t span); /* virtual time only */
void world_end(struct world *w); /* runs until nothing is left, then frees the loop */

/* Writes `send` to the port, `step` bytes at a time (0 = all at once), and collects what comes
 * until the far side closes. */
struct raw_client {
    struct world *w;
    struct stream *stream;
    const char *send;
    size_t len, at, step;
    bool stay;          /* never reads: the receive window fills */
    const char *expect; /* leaves as soon as this was received */
    struct buf got;
    size_t pieces; /* in which it came */
    bool closed;
    enum close_reason reason;
    struct loop_timer timer;
    int64_t pause; /* between two steps */
    int64_t ended;
};
void raw_client_open(struct raw_client *c, struct world *w, uint16_t port);
void raw_client_free(struct raw_client *c);
/* The whole talk: what came back; borrowed until the next call. */
const char *raw_talk(struct world *w, uint16_t port, const char *send, size_t step);
/* A connection without a loop, which the caller closes. */
int raw_dial(uint16_t port);

/* Answers each request that is complete at its blank line (or after `request_len` bytes) with the
 * next of `answers`; NULL there = says nothing. */
struct raw_server {
    struct world *w;
    struct listener *listener;
    uint16_t port;
    const char *const *answers;
    size_t count, next;
    size_t step;              /* bytes at a time; 0 = all at once */
    int64_t pause;            /* between two steps */
    int64_t delay;            /* before an answer */
    bool close_after;         /* closes behind each answer */
    bool at_head;             /* answers at the blank line, and reads no body */
    const bool *reset_before; /* one flag per answer: resets instead of answering */
    size_t accepted, open;
    struct buf heard;
    size_t pieces; /* in which it was heard */
    struct raw_peer *peers;
};
void raw_server_open(struct raw_server *s, struct world *w, const char *const *answers,
                     size_t count);
void raw_server_close(struct raw_server *s);

/* A client's call and all it told. */
struct call_log {
    struct world *w;
    struct http_call *call;
    int heads, ends, fails;
    int status;
    struct buf body, headers;
    size_t pieces; /* of body */
    enum close_reason reason;
    char detail[400];
    struct http_facts facts;
    int64_t ended;
    bool stop;           /* the world stops when it has ended */
    size_t cancel_after; /* bytes of body; 0 = never */
    size_t pause_at;     /* bytes of body; 0 = never */
    int64_t pause_for;
    size_t paused_len; /* bytes of body when it went on */
    struct loop_timer timer;
    void (*on_end)(struct call_log *log);
    struct http_client *client;
};
void call_begin(struct call_log *log, struct world *w, struct http_client *client,
                const struct http_call_options *options);
void call_free(struct call_log *log);
/* GET of http://127.0.0.1:port/target with these options (whose url is filled in); runs to its end.
 */
void call_run(struct call_log *log, struct world *w, struct http_client *client, uint16_t port,
              const char *target, struct http_call_options *options);
struct http_client *client_new(struct world *w);
#endif
