/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients that mean harm, or know no better: requests that two readers may take differently, heads
 * and bodies that never end or come a byte at a time, and clients that leave. Each ends with a
 * refusal, in time, and takes no more memory than one connection may.
 */
#include "base/clock.h"
#include "base/str.h"
#include "http/server.h"
#include "support.h"
#include <errno.h>
#include <malloc.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "Host: localhost\r\n"

struct fixture {
    struct world w;
    struct http_server *server;
    uint16_t port;
    int handled, gone;
    enum close_reason gone_reason, reason; /* of the request's and of the connection's end */
    int64_t gone_at;
    int turn, gone_turn; /* of the loop */
    bool flooded;
    struct loop_post turns;
    struct http_request *kept;
};

static void handle_echo(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    size_t len;
    const char *body = http_request_body(r, &len);
    f->handled++;
    http_respond(r, 200, NULL, "text/plain", body, len);
}

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct fixture *f = ctx;
    f->gone++;
    f->gone_reason = reason;
    f->gone_at = loop_now(f->w.loop);
    f->gone_turn = f->turn;
    f->kept = NULL;
    http_respond_end(r);
    world_stop(&f->w);
}

/* Says nothing for ever, as a model does that thinks. */
static void handle_silent(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {.gone = on_gone};
    struct fixture *f = ctx;
    f->handled++;
    f->kept = r;
    http_request_read(r, &events, f);
    if (!f->flooded) {
        world_stop(&f->w);
    }
}

static void handle_begun(void *ctx, struct http_request *r) {
    handle_silent(ctx, r);
    http_respond_begin(r, 200, NULL, "text/event-stream", -1);
    http_respond_data(r, "one", 3);
}

/* Begins the answer to the request that is kept. */
static void handle_wake(void *ctx, struct http_request *r) {
    struct fixture *f = ctx;
    f->handled++;
    http_respond_text(r, 200, "text/plain", "");
    if (f->kept) {
        http_respond_begin(f->kept, 200, NULL, NULL, -1);
    }
    world_stop(&f->w);
}

static void on_closed(void *ctx, const char *peer, enum close_reason reason, const char *detail) {
    struct fixture *f = ctx;
    (void)peer, (void)detail;
    f->reason = reason;
}

static const struct http_route routes[] = {
    {"GET", "/silent", 0, false, handle_silent},
    {"GET", "/begun", 0, false, handle_begun},
    {"GET", "/wake", 0, false, handle_wake},
    {NULL, "/*", 4 << 20, false, handle_echo},
};

static void begin(struct fixture *f, bool simulated) {
    struct http_server_options o;
    http_server_options_init(&o);
    memset(f, 0, sizeof *f);
    world_calm(&f->w, simulated);
    o.routes = routes;
    o.route_count = sizeof routes / sizeof *routes;
    o.ctx = f;
    o.closed = on_closed;
    if (!simulated) {
        o.linger_limit = 5 * HARDY_MILLISECOND;
    }
    assert_int_equal(http_server_open(f->w.loop, &o, &f->server, NULL), HARDY_OK);
    f->port = http_server_port(f->server);
}

static void end(struct fixture *f) {
    http_server_drain(f->server, time_add(loop_now(f->w.loop), HARDY_SECOND), NULL, NULL);
    world_end(&f->w);
}

/* --- requests that two readers may take differently ------------------------------------------- */

#define POST "POST /x HTTP/1.1\r\n" HOST
#define BEHIND "GET /behind HTTP/1.1\r\n" HOST "\r\n"

static void ambiguous(bool simulated) {
    static const struct {
        const char *name, *text;
        size_t len;
    } rows[] = {
#define ROW(name, text) {name, text, sizeof(text) - 1}
        ROW("Content-Length and chunked",
            POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX" BEHIND),
        ROW("chunked and Content-Length",
            POST "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX" BEHIND),
        ROW("two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" BEHIND),
        ROW("the same length twice",
            POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde" BEHIND),
        ROW("a list of lengths", POST "Content-Length: 5, 5\r\n\r\nabcde" BEHIND),
        ROW("+5", POST "Content-Length: +5\r\n\r\nabcde" BEHIND),
        ROW("-5", POST "Content-Length: -5\r\n\r\nabcde" BEHIND),
        ROW("5 in hexadecimal", POST "Content-Length: 0x5\r\n\r\nabcde" BEHIND),
        ROW("5 and a half", POST "Content-Length: 5.5\r\n\r\nabcde" BEHIND),
        ROW("more than 64 bits", POST "Content-Length: 18446744073709551621\r\n\r\nabcde" BEHIND),
        ROW("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" BEHIND),
        ROW("chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        ROW("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" BEHIND),
        ROW("chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
                                  "\r\n0\r\n\r\n" BEHIND),
        ROW("chunked in HTTP/1.0",
            "POST /x HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" BEHIND),
        ROW("a space before the colon", POST "Content-Length : 5\r\n\r\nabcde" BEHIND),
        ROW("a tab before the colon", POST "Content-Length\t: 5\r\n\r\nabcde" BEHIND),
        ROW("NUL in a value", "GET /x HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n" BEHIND),
        ROW("NUL in a name", "GET /x HTTP/1.1\r\n" HOST "X\0: a\r\n\r\n" BEHIND),
        ROW("NUL in the target", "GET /x\0 HTTP/1.1\r\n" HOST "\r\n" BEHIND),
        ROW("no Host", "GET /x HTTP/1.1\r\nAccept: */*\r\n\r\n" BEHIND),
        ROW("two Hosts", "GET /x HTTP/1.1\r\n" HOST HOST "\r\n" BEHIND),
        ROW("a folded line", "GET /x HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n" BEHIND),
        ROW("a folded line, by tab", "GET /x HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n" BEHIND),
        ROW("a folded first header", "GET /x HTTP/1.1\r\n " HOST "\r\n" BEHIND),
        ROW("LF alone", "GET /x HTTP/1.1\n" HOST "\n" BEHIND),
        ROW("CR alone", "GET /x HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n" BEHIND),
        ROW("a name that is none", "GET /x HTTP/1.1\r\n" HOST "X(: a\r\n\r\n" BEHIND),
        ROW("no name", "GET /x HTTP/1.1\r\n" HOST ": a\r\n\r\n" BEHIND),
        ROW("no colon", "GET /x HTTP/1.1\r\n" HOST "X\r\n\r\n" BEHIND),
        ROW("two spaces", "GET  /x HTTP/1.1\r\n" HOST "\r\n" BEHIND),
        ROW("a chunk of no length", POST "Transfer-Encoding: chunked\r\n\r\n\r\nabc" BEHIND),
        ROW("a chunk of +3",
            POST "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n" BEHIND),
        ROW("a chunk longer than it said",
            POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n" BEHIND),
        ROW("a chunk's line ended by LF",
            POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" BEHIND),
    };
    struct fixture f;
    begin(&f, simulated);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t step = 0; step < 8; step += 7) {
            struct raw_client c = {.send = rows[i].text, .len = rows[i].len, .step = step};
            raw_client_open(&c, &f.w, f.port);
            while (!c.closed) {
                world_run(&f.w);
            }
            if (!str_starts(c.got.data, "HTTP/1.1 400 ") ||
                strstr(c.got.data + 13, "HTTP/1.1") != NULL || f.handled > 0) {
                fail_msg("%s (steps of %zu): \"%s\", %d handled", rows[i].name, step, c.got.data,
                         f.handled);
            }
            assert_non_null(strstr(c.got.data, "connection: close\r\n"));
            raw_client_free(&c);
        }
    }
    end(&f);
}

/* --- a byte at a time ------------------------------------------------------------------------- */

static void test_slow(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, true);
    /* A byte each five seconds never makes a head. */
    static const char head[] = "GET /x HTTP/1.1\r\n" HOST "\r\n";
    struct raw_client slow = {
        .send = head, .len = sizeof head - 1, .step = 1, .pause = 5 * HARDY_SECOND};
    int64_t begun = loop_now(f.w.loop);
    raw_client_open(&slow, &f.w, f.port);
    while (!slow.closed) {
        world_run(&f.w);
    }
    expect_between(slow.ended - begun, 10 * HARDY_SECOND, 13 * HARDY_SECOND);
    assert_true(str_starts(slow.got.data, "HTTP/1.1 408 "));
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    raw_client_free(&slow);
    /* Ten bytes a second, of a body of a hundred thousand. */
    struct buf body;
    buf_init(&body, 1 << 20);
    buf_puts(&body, POST "Content-Length: 100000\r\n\r\n");
    size_t len = body.len;
    while (body.len < len + 100000) {
        buf_puts(&body, "0123456789");
    }
    struct raw_client trickle = {
        .send = body.data, .len = body.len, .step = 10, .pause = HARDY_SECOND};
    begun = loop_now(f.w.loop);
    raw_client_open(&trickle, &f.w, f.port);
    while (!trickle.closed) {
        world_run(&f.w);
    }
    expect_between(trickle.ended - begun, 30 * HARDY_SECOND, 45 * HARDY_SECOND);
    assert_true(str_starts(trickle.got.data, "HTTP/1.1 408 "));
    assert_int_equal(f.reason, CLOSE_TIMEOUT);
    raw_client_free(&trickle);
    /* In chunks of a byte each: framing is no progress. */
    buf_reset(&body);
    buf_puts(&body, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 10000; i++) {
        buf_puts(&body, "1\r\nx\r\n");
    }
    struct raw_client chunks = {
        .send = body.data, .len = body.len, .step = 60, .pause = HARDY_SECOND};
    begun = loop_now(f.w.loop);
    raw_client_open(&chunks, &f.w, f.port);
    while (!chunks.closed) {
        world_run(&f.w);
    }
    expect_between(chunks.ended - begun, 30 * HARDY_SECOND, 45 * HARDY_SECOND);
    assert_true(str_starts(chunks.got.data, "HTTP/1.1 408 "));
    raw_client_free(&chunks);
    assert_int_equal(f.handled, 0);
    buf_free(&body);
    end(&f);
}

/* --- what never ends: on the kernel's loop, for its memory is measured ------------------------ */

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_IS_KNOWN false /* the sanitizer's own heap tells nothing */
#else
#define HEAP_IS_KNOWN true
#endif

static size_t heap_used(void) {
    struct mallinfo2 all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

/* A socket without any memory of the heap, which sends `begin` and then `again` for ever. */
struct flood {
    struct fixture *f;
    int fd;
    const char *begin, *again;
    size_t begun, sent, max; /* bytes; it gives up when it could send `max` */
    size_t heap_most;
    char got[4096];
    size_t got_len;
    bool over;
    int stuck; /* turns in which nothing was taken */
    struct loop_timer timer;
};

static bool send_more(struct flood *d, const char *text, size_t from) {
    ssize_t n = send(d->fd, text + from, strlen(text) - from, MSG_DONTWAIT | MSG_NOSIGNAL);
    d->sent += n > 0 ? (size_t)n : 0;
    d->begun += d->begin == text && n > 0 ? (size_t)n : 0;
    return n > 0;
}

#define STUCK 200

static void on_flood(struct loop_timer *timer) {
    struct flood *d = timer->ctx;
    size_t heap = heap_used(), sent = d->sent;
    d->heap_most = heap > d->heap_most ? heap : d->heap_most;
    for (int i = 0; i < 16 && d->sent < d->max; i++) {
        /* Only whole pieces: what the kernel cuts off would make another thing of them. */
        bool more =
            d->begin[d->begun] ? send_more(d, d->begin, d->begun) : send_more(d, d->again, 0);
        if (!more) {
            break;
        }
    }
    ssize_t n = recv(d->fd, d->got + d->got_len, sizeof d->got - 1 - d->got_len, MSG_DONTWAIT);
    d->got_len += n > 0 ? (size_t)n : 0;
    d->over = n == 0 || (n < 0 && errno != EAGAIN && d->got_len < sizeof d->got - 1);
    d->stuck = d->sent == sent ? d->stuck + 1 : 0;
    if (d->over || d->sent >= d->max || d->stuck == STUCK) {
        world_stop(&d->f->w);
    } else {
        loop_timer_start(d->f->w.loop, timer, loop_now(d->f->w.loop));
    }
}

static void flood(struct fixture *f, struct flood *d) {
    d->f = f;
    f->flooded = true;
    d->fd = raw_dial(f->port);
    d->heap_most = 0;
    loop_timer_init(&d->timer, on_flood, d);
    size_t before = heap_used();
    loop_timer_start(f->w.loop, &d->timer, loop_now(f->w.loop));
    world_run(&f->w);
    loop_timer_stop(f->w.loop, &d->timer);
    close(d->fd);
    d->heap_most -= before < d->heap_most ? before : d->heap_most;
    d->got[d->got_len] = '\0';
}

static void test_uv_endless(void **state) {
    static const struct {
        const char *name, *begin, *again;
        int status, other; /* one of these */
    } rows[] = {
        {"header fields", "GET /x HTTP/1.1\r\n" HOST, "X: y\r\n", 431, 431},
        {"one field", "GET /x HTTP/1.1\r\n" HOST "X: ", "yyyyyyyyyyyyyyyy", 431, 431},
        {"a field's name", "GET /x HTTP/1.1\r\n" HOST, "yyyyyyyyyyyyyyyy", 431, 431},
        {"the target", "GET /", "yyyyyyyyyyyyyyyy", 431, 431},
        {"the method", "", "YYYYYYYYYYYYYYYY", 431, 431},
        {"blank lines", "", "\r\n\r\n", 400, 400},
        {"a chunk's extension", POST "Transfer-Encoding: chunked\r\n\r\n1;x=", "yyyyyyyyyyyyyyyy",
         400, 400},
        {"a chunk's quoted extension", POST "Transfer-Encoding: chunked\r\n\r\n1;x=\"",
         "yyyyyyyyyyyyyyyy", 400, 400},
        {"a chunk's digits", POST "Transfer-Encoding: chunked\r\n\r\n", "0000000000000000", 400,
         400},
        {"chunks with extensions", POST "Transfer-Encoding: chunked\r\n\r\n",
         "1;yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\nx\r\n", 400, 413},
        {"a trailer", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", 431, 431},
        {"one trailer field", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "yyyyyyyyyyyyyyyy",
         431, 431},
    };
    struct fixture f;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(&f, false);
        struct flood d = {.begin = rows[i].begin, .again = rows[i].again, .max = 64 << 20};
        flood(&f, &d);
        char one[20], other[20];
        snprintf(one, sizeof one, "HTTP/1.1 %d ", rows[i].status);
        snprintf(other, sizeof other, "HTTP/1.1 %d ", rows[i].other);
        if (!d.over || (!str_starts(d.got, one) && !str_starts(d.got, other))) {
            fail_msg("%s: after %zu bytes \"%s\"", rows[i].name, d.sent, d.got);
        }
        if (HEAP_IS_KNOWN && d.heap_most > 40 << 10) {
            fail_msg("%s: %zu bytes of heap", rows[i].name, d.heap_most);
        }
        assert_int_equal(f.handled, 0);
        end(&f);
    }
}

/* Requests sent ahead while the first one is being answered: some are read, the rest waits in the
 * kernel. */
static void test_uv_ahead(void **state) {
    struct fixture f;
    (void)state;
    begin(&f, false);
    struct flood d = {.begin = "GET /silent HTTP/1.1\r\n" HOST "\r\n",
                      .again = "GET /y HTTP/1.1\r\n" HOST "\r\n",
                      .max = 64 << 20};
    flood(&f, &d);
    assert_int_equal(d.stuck, STUCK);
    assert_false(d.over);
    assert_int_equal(f.handled, 1);
    if (HEAP_IS_KNOWN) {
        expect_between((int64_t)d.heap_most, 64 << 10, 320 << 10);
    }
    /* Answered, it goes on with the others, until it finds that nobody is there. */
    http_respond_text(f.kept, 200, "text/plain", "");
    assert_true(f.handled > 1);
    end(&f);
}

/* --- clients that leave ----------------------------------------------------------------------- */

static void on_turn(struct loop_post *post) {
    struct fixture *f = post->ctx;
    f->turn++;
    if (f->gone == 0) {
        loop_post(f->w.loop, post);
    }
}

enum leaving { LEAVES_CLOSED, LEAVES_RESET, LEAVES_HALF_CLOSED };

static void leave(int fd, enum leaving how) {
    if (how == LEAVES_RESET) {
        const struct linger now = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    if (how == LEAVES_HALF_CLOSED) {
        shutdown(fd, SHUT_WR);
    } else {
        close(fd);
    }
}

/* While nothing at all is written, the handler hears that nobody waits any more in the very turn in
 * which the kernel tells. */
static void test_uv_leaving(void **state) {
    static const struct {
        const char *request;
        enum leaving how;
        enum close_reason reason;
    } rows[] = {
        {"GET /silent HTTP/1.1\r\n" HOST "\r\n", LEAVES_CLOSED, CLOSE_EOF},
        {"GET /silent HTTP/1.1\r\n" HOST "\r\n", LEAVES_RESET, CLOSE_RESET},
        {"GET /silent HTTP/1.1\r\n" HOST "\r\n", LEAVES_HALF_CLOSED, CLOSE_EOF},
        {"GET /begun HTTP/1.1\r\n" HOST "\r\n", LEAVES_RESET, CLOSE_RESET},
        {"GET /begun HTTP/1.1\r\n" HOST "\r\n", LEAVES_HALF_CLOSED, CLOSE_EOF},
        /* With a request sent ahead behind it. */
        {"GET /silent HTTP/1.1\r\n" HOST "\r\nGET /x HTTP/1.1\r\n" HOST "\r\n", LEAVES_CLOSED,
         CLOSE_EOF},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int turns = 2;
        /* The kernel may carry the news from socket to socket a moment later. */
        for (int attempt = 0; attempt < 5 && turns > 1; attempt++) {
            struct fixture f;
            begin(&f, false);
            int fd = raw_dial(f.port);
            size_t len = strlen(rows[i].request);
            assert_int_equal(send(fd, rows[i].request, len, MSG_NOSIGNAL), len);
            world_run(&f.w);
            assert_int_equal(f.handled, 1);
            leave(fd, rows[i].how);
            f.turns = (struct loop_post){.fn = on_turn, .ctx = &f};
            loop_post(f.w.loop, &f.turns);
            world_run(&f.w);
            assert_int_equal(f.gone, 1);
            assert_int_equal(f.gone_reason, rows[i].reason);
            assert_int_equal(f.handled, 1);
            turns = f.gone_turn;
            if (rows[i].how == LEAVES_HALF_CLOSED) {
                close(fd);
            }
            end(&f);
        }
        assert_true(turns <= 1);
    }
}

/* Its answer is begun in the very turn in which the client leaves, after that was read and before
 * it was told. */
static void test_uv_begun_too_late(void **state) {
    static const char silent[] = "GET /silent HTTP/1.1\r\n" HOST "\r\n",
                      wake[] = "GET /wake HTTP/1.1\r\n" HOST "\r\n";
    struct fixture f;
    (void)state;
    begin(&f, false);
    int waker = raw_dial(f.port);
    assert_int_equal(send(waker, wake, sizeof wake - 1, MSG_NOSIGNAL), sizeof wake - 1);
    world_run(&f.w);
    int fd = raw_dial(f.port);
    assert_int_equal(send(fd, silent, sizeof silent - 1, MSG_NOSIGNAL), sizeof silent - 1);
    world_run(&f.w);
    assert_non_null(f.kept);
    close(fd);
    assert_int_equal(send(waker, wake, sizeof wake - 1, MSG_NOSIGNAL), sizeof wake - 1);
    while (f.gone == 0 || f.handled < 3) {
        world_run(&f.w);
    }
    close(waker);
    end(&f);
}

static void test_leaving(void **state) {
    struct fixture f;
    (void)state;
    for (int unread = 0; unread < 2; unread++) {
        begin(&f, true);
        struct raw_client c = {.send = "GET /begun HTTP/1.1\r\n" HOST "\r\n", .stay = unread};
        c.len = strlen(c.send);
        raw_client_open(&c, &f.w, f.port);
        world_run(&f.w);
        assert_int_equal(f.handled, 1);
        world_wait(&f.w, HARDY_HOUR); /* nobody is cut off for waiting */
        assert_int_equal(f.gone, 0);
        int64_t left = loop_now(f.w.loop);
        stream_close(c.stream, CLOSE_SHUTDOWN);
        while (f.gone == 0) {
            world_run(&f.w);
        }
        assert_int_equal(f.gone_at - left, HARDY_MILLISECOND); /* the network's latency */
        assert_int_equal(f.gone_reason, unread ? CLOSE_RESET : CLOSE_EOF);
        while (!c.closed) {
            world_run(&f.w);
        }
        raw_client_free(&c);
        end(&f);
    }
}

BOTH(ambiguous)

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST_BOTH(ambiguous),
        cmocka_unit_test(test_slow),
        cmocka_unit_test(test_uv_endless),
        cmocka_unit_test(test_uv_ahead),
        cmocka_unit_test(test_uv_leaving),
        cmocka_unit_test(test_uv_begun_too_late),
        cmocka_unit_test(test_leaving),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
