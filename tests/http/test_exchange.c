/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client and the server with one another: many calls at once on the kernel's loop, and, from
 * many seeds, on a simulated network that refuses, cuts, splits and falls silent. Whatever happens:
 * each call ends once and in time, an answer told as complete is the one that was sent, nothing
 * that must not be repeated is done twice, and what was certainly not sent was not done.
 */
#include "base/clock.h"
#include "base/prng.h"
#include "base/str.h"
#include "http/fetch.h"
#include "http/server.h"
#include "support.h"

#define CALLS 30
#define SEEDS 300
#define DEADLINE (20 * HARDY_SECOND)
#define BODY_MOST 60000

struct exchange;

struct one {
    struct exchange *e;
    size_t index;
    struct http_fetch *fetch;
    struct loop_timer timer;
    bool idempotent, chunked, cancelled;
    size_t answer_len;
    char body[BODY_MOST]; /* of every other call borrowed */
    int ended;
    int done; /* how often the server has handled it */
};

struct exchange {
    struct world w;
    struct prng prng;
    struct http_server *server;
    struct http_client *client;
    struct http_url url;
    struct one calls[CALLS];
    size_t open;
    size_t complete, failed, repeated;
    uint64_t hash; /* of everything that happened, in a simulated world */
    int handling;  /* requests the server was given, less those it has answered */
};

/* The answer to the n-th call, of any length: nothing like the answer to another one. */
static char answer_byte(size_t index, size_t at) {
    return (char)('a' + (index * 7 + at) % 26);
}

/* Every tenth is so large that the server reads it to its place. */
static size_t body_len(const struct one *one) {
    size_t len = one->index % 10 == 9 ? 20000 + 1000 * one->index : 100 + one->index * 50;
    return one->idempotent ? 0 : len;
}

static struct one *which(struct exchange *e, const struct http_request *r) {
    unsigned long index = strtoul(http_request_query(r), NULL, 10);
    assert_true(index < CALLS);
    return &e->calls[index];
}

struct later {
    struct one *one;
    struct http_request *request;
    struct loop_timer timer;
    size_t at;
};

static void answer_some(struct loop_timer *timer) {
    struct later *l = timer->ctx;
    struct one *one = l->one;
    struct exchange *e = one->e;
    char block[3000];
    size_t len = one->answer_len - l->at;
    len = len < sizeof block ? len : sizeof block;
    for (size_t i = 0; i < len; i++) {
        block[i] = answer_byte(one->index, l->at + i);
    }
    if (l->at == 0) {
        http_respond_begin(l->request, 200, NULL, "text/plain",
                           one->chunked ? -1 : (int64_t)one->answer_len);
    }
    http_respond_data(l->request, block, len);
    l->at += len;
    if (l->at < one->answer_len) {
        loop_timer_start(e->w.loop, timer, time_add(loop_now(e->w.loop), HARDY_MILLISECOND));
        return;
    }
    http_respond_end(l->request);
    e->handling--;
    free(l);
}

static void handle(void *ctx, struct http_request *r) {
    struct exchange *e = ctx;
    struct one *one = which(e, r);
    struct later *l = calloc(1, sizeof *l);
    assert_non_null(l);
    one->done++;
    e->handling++;
    size_t len;
    const char *body = http_request_body(r, &len);
    assert_int_equal(len, body_len(one));
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(body[i], answer_byte(one->index, i));
    }
    l->one = one;
    l->request = r;
    loop_timer_init(&l->timer, answer_some, l);
    loop_timer_start(e->w.loop, &l->timer,
                     time_add(loop_now(e->w.loop), (int64_t)one->index * HARDY_MILLISECOND));
}

static void over(struct one *one) {
    memset(one->body, '#', sizeof one->body); /* nobody may look at it any more */
    one->ended++;
    one->e->open--;
    if (one->e->open == 0) {
        world_stop(&one->e->w);
    }
}

static void on_done(void *ctx, const struct http_fetched *f) {
    struct one *one = ctx;
    struct exchange *e = one->e;
    one->fetch = NULL;
    assert_false(one->cancelled);
    e->repeated += f->facts.repeated;
    if (f->complete) {
        e->complete++;
        if (f->status == 408) { /* fell silent on its way: this time no handler saw it */
            assert_true(one->done <= f->facts.repeated);
            over(one);
            return;
        }
        assert_int_equal(f->status, 200);
        assert_int_equal(f->body_len, one->answer_len);
        for (size_t i = 0; i < f->body_len; i++) {
            assert_int_equal(f->body[i], answer_byte(one->index, i));
        }
        assert_true(one->done >= 1);
    } else {
        e->failed++;
        assert_true(f->detail[0] != '\0');
    }
    /* Idle connections that die may have it sent twice; never what may not be. */
    assert_true(one->done <= (one->idempotent ? 1 + f->facts.repeated : 1));
    if (!f->facts.sent && !f->facts.repeated) {
        assert_int_equal(one->done, 0);
    }
    assert_true(loop_now(e->w.loop) <= f->facts.started + DEADLINE + 100 * HARDY_MILLISECOND);
    over(one);
}

static void begin_call(struct loop_timer *timer) {
    struct one *one = timer->ctx;
    struct exchange *e = one->e;
    struct http_call_options o;
    char target[40];
    http_call_options_init(&o);
    o.method = one->idempotent ? "GET" : "POST";
    o.body_len = body_len(one);
    for (size_t i = 0; i < o.body_len; i++) {
        one->body[i] = answer_byte(one->index, i);
    }
    o.body = one->body;
    o.borrow_body = one->index % 2 == 1;
    snprintf(target, sizeof target, "/x?%zu", one->index);
    free(e->url.target);
    e->url.target = str_dup(target);
    o.url = &e->url;
    o.deadline = loop_now(e->w.loop) + DEADLINE;
    assert_int_equal(http_fetch_start(e->client, &o, 1 << 20, on_done, one, &one->fetch, NULL),
                     HARDY_OK);
}

static void cancel_call(struct loop_timer *timer) {
    struct one *one = timer->ctx;
    if (one->fetch) {
        http_fetch_cancel(one->fetch);
        one->fetch = NULL;
        one->cancelled = true;
        over(one);
    }
}

static void exchange(struct exchange *e, const struct sim_options *sim, uint64_t seed,
                     bool cancelling) {
    static const struct http_route routes[] = {{"GET", "/x", 0, false, handle},
                                               {"POST", "/x", BODY_MOST, false, handle}};
    struct http_server_options o;
    struct loop_timer cancels[CALLS];
    char text[60];
    memset(e, 0, sizeof *e);
    world_begin(&e->w, sim);
    prng_seed(&e->prng, seed);
    http_server_options_init(&o);
    o.routes = routes;
    o.route_count = 2;
    o.ctx = e;
    assert_int_equal(http_server_open(e->w.loop, &o, &e->server, NULL), HARDY_OK);
    snprintf(text, sizeof text, "http://127.0.0.1:%u/", http_server_port(e->server));
    assert_int_equal(http_url_parse(text, &e->url, NULL), HARDY_OK);
    e->client = client_new(&e->w);
    e->open = CALLS;
    for (size_t i = 0; i < CALLS; i++) {
        struct one *one = &e->calls[i];
        *one = (struct one){.e = e,
                            .index = i,
                            .idempotent = prng_below(&e->prng, 2),
                            .chunked = prng_below(&e->prng, 2),
                            .answer_len = 1 + prng_below(&e->prng, 20000)};
        /* Some at once, some on the connections that others have left. */
        int64_t at = (int64_t)prng_below(&e->prng, sim ? 3000 : 30) * HARDY_MILLISECOND;
        loop_timer_init(&one->timer, begin_call, one);
        loop_timer_start(e->w.loop, &one->timer, time_add(loop_now(e->w.loop), at));
        loop_timer_init(&cancels[i], cancel_call, one);
        if (cancelling && prng_below(&e->prng, 4) == 0) {
            int64_t after = (int64_t)prng_below(&e->prng, 100) * HARDY_MILLISECOND;
            loop_timer_start(e->w.loop, &cancels[i],
                             time_add(loop_now(e->w.loop), time_add(at, after)));
        }
    }
    while (e->open > 0) {
        world_run(&e->w);
    }
    for (size_t i = 0; i < CALLS; i++) {
        loop_timer_stop(e->w.loop, &cancels[i]);
    }
    http_client_free(e->client);
    http_server_drain(e->server, time_add(loop_now(e->w.loop), HARDY_SECOND), NULL, NULL);
    if (sim) {
        struct sim_report report;
        sim_report(e->w.loop, &report);
        e->hash = report.hash;
    }
    world_end(&e->w);
    http_url_free(&e->url);
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(e->calls[i].ended, 1);
    }
    assert_int_equal(e->handling, 0);
}

static void test_uv(void **state) {
    static struct exchange e;
    (void)state;
    exchange(&e, NULL, 1, false);
    assert_int_equal(e.complete, CALLS);
    exchange(&e, NULL, 2, true);
}

static void test_calm_sim(void **state) {
    static struct exchange e;
    struct sim_options sim;
    (void)state;
    sim_options_init(&sim);
    sim.end = HARDY_NEVER;
    sim.split = 0.5;
    sim.latency_max = 20 * HARDY_MILLISECOND;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        sim.seed = seed;
        exchange(&e, &sim, seed, false);
        assert_int_equal(e.complete, CALLS);
    }
}

static void test_faulty_sim(void **state) {
    static struct exchange e;
    struct sim_options sim;
    size_t complete = 0, failed = 0, repeated = 0;
    (void)state;
    sim_options_init(&sim);
    sim.end = HARDY_NEVER;
    sim.latency_max = 20 * HARDY_MILLISECOND;
    sim.split = 0.3;
    sim.refuse = 0.05;
    sim.reset = 0.02;
    sim.stall = 0.005;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        sim.seed = seed;
        exchange(&e, &sim, seed, seed % 2 == 0);
        complete += e.complete;
        failed += e.failed;
        repeated += e.repeated;
    }
    /* The same seed is the same run, to the byte. */
    uint64_t hash = e.hash;
    exchange(&e, &sim, SEEDS, SEEDS % 2 == 0);
    assert_true(e.hash == hash);
    /* All three have been seen, or the network was no test. */
    assert_true(complete > SEEDS * CALLS / 4);
    assert_true(failed > SEEDS);
    assert_true(repeated > 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uv),
        cmocka_unit_test(test_calm_sim),
        cmocka_unit_test(test_faulty_sim),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
