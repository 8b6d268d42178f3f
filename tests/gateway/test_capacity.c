/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many clients before a server of limited capacity, through the gateway, in virtual time: does it
 * keep an outage alive, or let it end?
 *
 * The server is one queue with a deterministic rate. Requests whose client has gone are worked off
 * all the same, as real ones often are: that is what makes an overload feed on itself (N. Bronson
 * et al., "Metastable Failures in Distributed Systems", HotOS 2021).
 */
#include "../cmocka_all.h"
#include "base/log.h"
#include "base/prng.h"
#include "gateway/gateway.h"
#include "http/client.h"
#include "http/server.h"
#include "io/list.h"
#include "io/sim.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS 400

struct place { /* in the server's queue */
    struct list link;
    struct http_request *request;
    bool gone;
};
struct shop {
    struct loop *loop;
    struct prng prng;
    struct http_server *server;
    struct http_client *client;
    struct gateway *gateway;
    struct http_url url;
    struct list queue;
    struct loop_timer serve, arrive, sample;
    double capacity;     /* a second */
    double slow;         /* factor of it during the trouble */
    int64_t from, until; /* of the trouble */
    bool down;           /* the trouble is a refusal of everything */
    bool serving;
    double arrivals; /* a second; 0 = all at once */
    unsigned clients, open;
    int64_t start, end;
    uint32_t arrived[SECONDS + 1], good[SECONDS + 1], bad[SECONDS + 1];
    uint32_t arrived_fine[SECONDS * 10 + 10];
};

static size_t second(const struct shop *s) {
    int64_t at = (loop_now(s->loop) - s->start) / HARDY_SECOND;
    return at < SECONDS ? (size_t)at : SECONDS;
}

static bool in_trouble(const struct shop *s) {
    int64_t at = loop_now(s->loop) - s->start;
    return at >= s->from && at < s->until;
}

/* --- the server ------------------------------------------------------------------------------- */

static void work_next(struct shop *s) {
    if (s->serving || list_empty(&s->queue)) {
        return;
    }
    double rate = s->capacity * (in_trouble(s) ? s->slow : 1);
    s->serving = true;
    loop_timer_start(s->loop, &s->serve,
                     loop_now(s->loop) + (int64_t)((double)HARDY_SECOND / rate));
}

static void on_served(struct loop_timer *timer) {
    struct shop *s = timer->ctx;
    struct place *p = LIST_ITEM(s->queue.next, struct place, link);
    s->serving = false;
    list_remove(&p->link);
    if (!p->gone) {
        http_respond_text(p->request, 200, "text/plain", "done");
    }
    free(p);
    work_next(s);
}

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct place *p = ctx;
    (void)reason;
    p->gone = true; /* the work is done all the same */
    http_respond_end(r);
}

static void handle(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {.gone = on_gone};
    struct shop *s = ctx;
    int64_t tenth = (loop_now(s->loop) - s->start) / (100 * HARDY_MILLISECOND);
    s->arrived[second(s)]++;
    if (tenth < SECONDS * 10) {
        s->arrived_fine[tenth]++;
    }
    if (s->down && in_trouble(s)) {
        http_respond_text(r, 503, "text/plain", "down");
        return;
    }
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->request = r;
    list_append(&s->queue, &p->link);
    http_request_read(r, &events, p);
    work_next(s);
}

/* --- clients ---------------------------------------------------------------------------------- */

struct asking {
    struct shop *shop;
    struct http_call *call;
    int status;
};

static void over(struct asking *a, bool good) {
    struct shop *s = a->shop;
    (good ? s->good : s->bad)[second(s)]++;
    s->open--;
    if (s->arrivals <= 0 && s->open == 0) {
        s->end = loop_now(s->loop);
    }
    free(a);
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    (void)call;
    ((struct asking *)ctx)->status = head->status;
}
static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    (void)ctx, (void)call, (void)data, (void)len;
}
static void on_end(void *ctx, struct http_call *call) {
    struct asking *a = ctx;
    (void)call;
    over(a, a->status == 200);
}
static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    (void)call, (void)failure;
    over(ctx, false);
}

static void ask(struct shop *s) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    struct http_call_options o;
    struct asking *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->shop = s;
    s->open++;
    http_call_options_init(&o);
    o.url = &s->url;
    o.deadline = loop_now(s->loop) + HARDY_HOUR;
    assert_int_equal(http_call_start(s->client, &o, &events, a, &a->call, NULL), HARDY_OK);
}

static void on_arrival(struct loop_timer *timer) {
    struct shop *s = timer->ctx;
    ask(s);
    double wait = -log(1 - prng_unit(&s->prng)) / s->arrivals;
    int64_t next = loop_now(s->loop) + (int64_t)(wait * (double)HARDY_SECOND);
    if (next < s->end) {
        loop_timer_start(s->loop, timer, next);
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static void shop_open(struct shop *s, const char *guard) {
    struct sim_options sim;
    struct http_server_options server;
    struct http_client_options client;
    static const struct http_route route = {.path = "*", .handle = handle};
    struct config *config;
    struct gateway_settings settings;
    char text[1000];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    sim_options_init(&sim);
    sim.latency_min = sim.latency_max = HARDY_MILLISECOND / 10;
    sim.end = 2 * HARDY_HOUR;
    s->loop = loop_sim_new(&sim, NULL);
    assert_non_null(s->loop);
    s->start = loop_now(s->loop);
    prng_seed(&s->prng, 7);
    list_init(&s->queue);
    loop_timer_init(&s->serve, on_served, s);
    loop_timer_init(&s->arrive, on_arrival, s);
    http_server_options_init(&server);
    server.routes = &route;
    server.route_count = 1;
    server.ctx = s;
    server.connection_max = 100000;
    server.idle_limit = HARDY_HOUR;
    assert_int_equal(http_server_open(s->loop, &server, &s->server, NULL), HARDY_OK);
    snprintf(text, sizeof text,
             "gateway: {listen: \"127.0.0.1:0\", max_connections: 100000}\n"
             "guards: {up: {%s}}\n"
             "upstreams: {up: {url: \"http://127.0.0.1:%u\"}}\n",
             guard, http_server_port(s->server));
    assert_int_equal(config_load_bytes("t.yaml", text, strlen(text), &config, &error), HARDY_OK);
    if (gateway_settings_read(config, &settings, &error) != HARDY_OK ||
        gateway_open(s->loop, config, &settings, NULL, &s->gateway, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    config_free(config);
    http_client_options_init(&client);
    client.idle_per_host = 2000;
    s->client = http_client_new(s->loop, &client, NULL);
    snprintf(text, sizeof text, "http://127.0.0.1:%u/up/work", gateway_port(s->gateway));
    assert_int_equal(http_url_parse(text, &s->url, NULL), HARDY_OK);
}

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

static void shop_close(struct shop *s) {
    bool gone = false;
    http_client_free(s->client);
    http_url_free(&s->url);
    gateway_drain(s->gateway, set_true, &gone);
    http_server_drain(s->server, loop_now(s->loop), NULL, NULL);
    loop_run(s->loop);
    assert_true(gone);
    gateway_free(s->gateway);
    while (!list_empty(&s->queue)) {
        struct place *p = LIST_ITEM(s->queue.next, struct place, link);
        list_remove(&p->link);
        free(p);
    }
    loop_timer_stop(s->loop, &s->serve);
    loop_free(s->loop);
}

static void on_stop(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static void run_for(struct shop *s, int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_stop, s->loop);
    loop_timer_start(s->loop, &timer, loop_now(s->loop) + span);
    loop_run(s->loop);
}

/* Seconds from the end of the trouble to the first ten with 95 % of the goodput before; -1 = never.
 */
static int recovered_after(const struct shop *s, size_t from, size_t until, size_t last) {
    double before = 0;
    for (size_t i = from - 20; i < from; i++) {
        before += s->good[i] / 20.0;
    }
    for (size_t t = until; t + 10 <= last; t++) {
        double sum = 0;
        for (size_t i = t; i < t + 10; i++) {
            sum += s->good[i] / 10.0;
        }
        if (sum >= 0.95 * before) {
            return (int)(t - until);
        }
    }
    return -1;
}

/* 700 requests a second for a server of 1,000; for ten seconds it can do a tenth of that. */
static void metastable(const char *guard, struct shop *s) {
    *s = (struct shop){.capacity = 1000,
                       .slow = 0.1,
                       .from = 60 * HARDY_SECOND,
                       .until = 70 * HARDY_SECOND,
                       .arrivals = 700};
    shop_open(s, guard);
    s->end = s->start + 130 * HARDY_SECOND;
    loop_timer_start(s->loop, &s->arrive, loop_now(s->loop));
    run_for(s, 130 * HARDY_SECOND);
}

#define LIMITS "deadline: 30s, timeout: 1s, bulkhead: {max_concurrent: 100000, max_queue: 100000}, "
#define FOUR_ATTEMPTS "max_retries: 3, base_delay: 100ms, max_delay: 5s, repeatable: true"

/* Without anything but retries the overload outlives its cause for ever: the model is the one that
 * it should be. */
static void retries_alone_never_recover(void **state) {
    (void)state;
    struct shop s;
    metastable(LIMITS "breaker: off, retry: {" FOUR_ATTEMPTS ", budget: off}", &s);
    assert_int_equal(recovered_after(&s, 60, 70, 130), -1);
    shop_close(&s);
}

static void a_shared_breaker_lets_it_end(void **state) {
    (void)state;
    struct shop s;
    metastable(LIMITS "retry: {" FOUR_ATTEMPTS "}, "
                      "breaker: {failure_mode: consecutive, recovery_timeout: 5s, "
                      "close_ramp: 0s, counts: attempt}",
               &s);
    int after = recovered_after(&s, 60, 70, 130);
    print_message("# recovered after %d s\n", after);
    assert_true(after >= 0 && after <= 6);
    shop_close(&s);
}

/* A thousand callers are parked by an open breaker while everything is down for a minute. When it
 * is over they are let go at the pace that the guard's rate gives, not all at once. */
static void parked_callers_go_at_a_pace(void **state) {
    (void)state;
    struct shop s = {.capacity = 100,
                     .slow = 1,
                     .from = 0,
                     .until = 60 * HARDY_SECOND,
                     .down = true,
                     .clients = 1000};
    shop_open(&s, "deadline: 300s, bulkhead: {max_concurrent: 100000, max_queue: 100000}, "
                  "rate: {requests: 80/s, burst: 1}, retry: {max_retries: 20, max_delay: 30s}, "
                  "breaker: {recovery_timeout: 5s, counts: attempt, when_open: wait}");
    for (unsigned i = 0; i < s.clients; i++) {
        ask(&s);
        run_for(&s, 100 * HARDY_MICROSECOND);
    }
    run_for(&s, 200 * HARDY_SECOND);
    uint32_t peak = 0, fine = 0, good = 0;
    for (size_t i = 60; i < 200; i++) {
        peak = s.arrived[i] > peak ? s.arrived[i] : peak;
        good += s.good[i];
    }
    for (size_t i = 600; i < 2000; i++) {
        fine = s.arrived_fine[i] > fine ? s.arrived_fine[i] : fine;
    }
    print_message("# peak %.2f of capacity in a second, %.2f in a tenth; done after %.0f s\n",
                  peak / s.capacity, 10 * fine / s.capacity,
                  (double)(s.end - s.start) / (double)HARDY_SECOND - 60);
    assert_int_equal(good, s.clients);
    assert_true(peak <= 0.85 * s.capacity);
    shop_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retries_alone_never_recover),
        cmocka_unit_test(a_shared_breaker_lets_it_end),
        cmocka_unit_test(parked_callers_go_at_a_pace),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
