/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ten thousand idle connections on the kernel's loop in one process: what each costs in memory,
 * whether one more client is still served, and what those above the maximum are told.
 */
#include "base/clock.h"
#include "base/str.h"
#include "http/server.h"
#include "support.h"
#include <malloc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WANTED 10000
#define BATCH 200 /* below the listener's backlog: whoever dials waits for nobody */
#define OTHERS 100
#define HEAP_EACH 2048

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_IS_KNOWN false /* the sanitizer's own heap tells nothing */
#else
#define HEAP_IS_KNOWN true
#endif

struct fixture {
    struct world w;
    struct http_server *server;
    uint16_t port;
    size_t count; /* connections */
    int *fds;
    size_t handled, awaited, closed;
    struct loop_timer tick;
    struct http_server_counts counts;
};

/* Two for each connection, its ends being in one process; as many as this process may have. */
static size_t connections_allowed(void) {
    struct rlimit limit;
    const rlim_t wanted = 2 * WANTED + OTHERS;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted) {
        struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
        (void)setrlimit(RLIMIT_NOFILE, &more);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    size_t allowed = ((size_t)limit.rlim_cur - OTHERS) / 2;
    if (allowed < WANTED) {
        printf("# only %zu connections: no more than %zu descriptors are allowed here\n", allowed,
               (size_t)limit.rlim_cur);
    }
    return allowed < WANTED ? allowed : WANTED;
}

static void handle(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    f->handled++;
    http_respond_text(r, 200, "text/plain", "hello");
}

static void on_closed(void *ctx, const char *peer, enum close_reason reason, const char *detail) {
    struct fixture *f = ctx;
    (void)peer, (void)reason, (void)detail;
    f->closed++;
}

static const struct http_route routes[] = {{"GET", "/hello", 0, false, handle}};

static void on_tick(struct loop_timer *timer) {
    struct fixture *f = timer->ctx;
    struct http_server_counts counts = http_server_counts(f->server);
    if (counts.accepted == f->counts.accepted && f->handled == f->awaited) {
        world_stop(&f->w);
    } else {
        loop_timer_start(f->w.loop, timer, loop_now(f->w.loop));
    }
}

/* Until so many connections have been accepted, and so many requests handled, since the opening. */
static void run_until(struct fixture *f, size_t accepted, size_t handled) {
    f->counts.accepted = accepted;
    f->awaited = handled;
    loop_timer_init(&f->tick, on_tick, f);
    loop_timer_start(f->w.loop, &f->tick, loop_now(f->w.loop));
    world_run(&f->w);
}

static void ask(int fd) {
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_int_equal(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
}

static void expect_answer(int fd, const char *begin) {
    char got[1000];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n > 0);
    got[n] = '\0';
    if (!str_starts(got, begin)) {
        fail_msg("expected %s, got %s", begin, got);
    }
}

static size_t heap_used(void) {
    struct mallinfo2 all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

static void expect_heap(const struct fixture *f, size_t before, const char *when) {
    size_t each = (heap_used() - before) / f->count;
    if (HEAP_IS_KNOWN) {
        printf("# %zu bytes of heap for each of %zu idle connections %s\n", each, f->count, when);
        assert_true(each <= HEAP_EACH);
    }
}

static void test_crowd(void **state) {
    struct fixture f = {.count = connections_allowed()};
    struct http_server_options o;
    (void)state;
    f.fds = calloc(f.count, sizeof *f.fds);
    assert_non_null(f.fds);
    world_calm(&f.w, false);
    http_server_options_init(&o);
    o.routes = routes;
    o.route_count = 1;
    o.ctx = &f;
    o.closed = on_closed;
    o.connection_max = f.count + 1;
    o.head_limit = o.idle_limit = HARDY_HOUR; /* nobody is sent away while the others come */
    assert_int_equal(http_server_open(f.w.loop, &o, &f.server, NULL), HARDY_OK);
    f.port = http_server_port(f.server);

    size_t before = heap_used();
    for (size_t i = 0; i < f.count; i++) {
        f.fds[i] = raw_dial(f.port);
        if ((i + 1) % BATCH == 0 || i + 1 == f.count) {
            run_until(&f, i + 1, 0);
        }
    }
    assert_int_equal(http_server_connections(f.server), f.count);
    expect_heap(&f, before, "that have said nothing");

    /* Each has been used: what a request needed is given back. */
    for (size_t i = 0; i < f.count; i += BATCH) {
        size_t end = i + BATCH < f.count ? i + BATCH : f.count;
        for (size_t j = i; j < end; j++) {
            ask(f.fds[j]);
        }
        run_until(&f, f.count, end);
        for (size_t j = i; j < end; j++) {
            expect_answer(f.fds[j], "HTTP/1.1 200 ");
        }
    }
    expect_heap(&f, before, "between two requests");

    /* One more is served at once. */
    int64_t asked = loop_clock(f.w.loop);
    int other = raw_dial(f.port);
    ask(other);
    run_until(&f, f.count + 1, f.count + 1);
    printf("# one more request took %lld us\n",
           (long long)((loop_clock(f.w.loop) - asked) / HARDY_MICROSECOND));
    expect_answer(other, "HTTP/1.1 200 ");

    /* That was the maximum: the next is told so, and counted. */
    int beyond = raw_dial(f.port);
    run_until(&f, f.count + 2, f.count + 1);
    expect_answer(beyond, "HTTP/1.1 503 ");
    assert_int_equal(http_server_counts(f.server).refused, 1);
    ask(other);
    run_until(&f, f.count + 2, f.count + 2);
    expect_answer(other, "HTTP/1.1 200 ");

    /* They leave by a reset, so that no port is kept waiting for them. */
    const struct linger now = {.l_onoff = 1};
    for (size_t i = 0; i < f.count; i++) {
        setsockopt(f.fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(f.fds[i]);
    }
    close(other);
    close(beyond);
    http_server_drain(f.server, time_add(loop_now(f.w.loop), 10 * HARDY_SECOND), NULL, NULL);
    world_end(&f.w);
    assert_int_equal(f.closed, f.count + 2);
    free(f.fds);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
