/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A coding agent's session through outages of full length, on the virtual clock. The agent does
 * what such agents were measured to do, good and bad:
 *
 *   - it tries 429 and 529 again by itself, ten times, and does as retry-after says up to 59 s;
 * told to wait longer it ends its session, as it does on x-should-retry: false, on every other
 * status and on a connection that breaks before an answer;
 *   - it gives up a connection on which nothing has come for 300 s;
 *   - it takes a stream that ends properly for a whole answer;
 *   - on an error event, or a stream that breaks, it makes the call once more without streaming.
 *
 * Alone it loses its session in most of these outages, or takes half an answer for a whole one;
 * through the gateway it has the full answer each time.
 */
#include "../cmocka_all.h"
#include "base/log.h"
#include "base/str.h"
#include "chaos/answer.h"
#include "chaos/llm.h"
#include "gateway/gateway.h"
#include "http/client.h"
#include "http/sse.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 12
#define MESSAGE "why is the sky blue?"

enum session { RUNNING, FULL, HALF, DEAD };
static const char *const session_texts[] = {"running", "full", "half", "dead"};

struct agent {
    struct loop *loop;
    struct http_client *client;
    struct http_url url;
    struct http_call *call;
    struct loop_timer timer;
    struct buf body, text;
    int status, retries;
    int64_t retry_after;
    bool never, stream, broken, error;
    enum session session;
    char why[120];
};

static void send_request(struct agent *a);

static void end_session(struct agent *a, enum session how, const char *why) {
    a->session = how;
    str_copy(a->why, sizeof a->why, why);
    loop_stop(a->loop);
}

static void on_timer(struct loop_timer *timer) {
    send_request(timer->ctx);
}

static void again(struct agent *a, int64_t span) {
    loop_timer_start(a->loop, &a->timer, loop_now(a->loop) + span);
}

static void take_text(struct agent *a, const char *data, size_t len) {
    static const char key[] = "\"text\":\"";
    const char *at = memmem(data, len, key, sizeof key - 1);
    for (at = at ? at + sizeof key - 1 : NULL; at && at < data + len && *at != '"'; at++) {
        at += *at == '\\';
        buf_putc(&a->text, *at);
    }
}

static void on_event(void *ctx, const struct sse_event *e) {
    struct agent *a = ctx;
    if (e->name_len == 5 && memcmp(e->name, "error", 5) == 0) {
        a->error = true;
    } else if (memmem(e->data, e->data_len, "text_delta", 10)) {
        take_text(a, e->data, e->data_len);
    }
}

static void look(struct agent *a) {
    buf_reset(&a->text);
    a->error = false;
    if (a->stream) {
        struct sse events;
        sse_init(&events, 1 << 20, on_event, a);
        (void)sse_feed(&events, a->body.data, a->body.len);
        (void)sse_finish(&events);
        sse_free(&events);
    } else {
        take_text(a, a->body.data, a->body.len);
    }
    if (a->error || a->broken) {
        a->stream = false;
        again(a, HARDY_SECOND);
        return;
    }
    struct buf expected;
    buf_init(&expected, 65536);
    assert_true(chaos_answer(MESSAGE, strlen(MESSAGE), WORDS, &expected));
    bool full = a->text.len == expected.len &&
                memcmp(a->text.data ? a->text.data : "", expected.data, expected.len) == 0;
    end_session(a, full ? FULL : HALF, full ? "" : "it takes a part for the whole");
    buf_free(&expected);
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    struct agent *a = ctx;
    const char *after = http_headers_get(head->headers, "retry-after");
    const char *should = http_headers_get(head->headers, "x-should-retry");
    (void)call;
    a->status = head->status;
    a->retry_after = after ? strtoll(after, NULL, 10) : -1;
    a->never = should && str_eq(should, "false");
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    (void)call;
    buf_append(&((struct agent *)ctx)->body, data, len);
}

static void on_end(void *ctx, struct http_call *call) {
    struct agent *a = ctx;
    char why[80];
    (void)call;
    a->call = NULL;
    if (a->status == 200) {
        look(a);
        return;
    }
    snprintf(why, sizeof why, "status %d, retry-after %lld", a->status, (long long)a->retry_after);
    bool passing = a->status == 429 || a->status == 529;
    if (!passing || a->never || a->retry_after > 59 || ++a->retries > 10) {
        end_session(a, DEAD, why);
        return;
    }
    int64_t own = a->retries < 6 ? HARDY_SECOND << (a->retries - 1) : 32 * HARDY_SECOND;
    again(a, a->retry_after > 0 ? a->retry_after * HARDY_SECOND : own);
}

static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    struct agent *a = ctx;
    (void)call;
    a->call = NULL;
    if (a->status == 200 && a->stream) {
        a->broken = true;
        look(a);
    } else {
        end_session(a, DEAD, failure->detail);
    }
}

static void send_request(struct agent *a) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    struct http_call_options o;
    struct http_headers h;
    char body[300];
    http_headers_init(&h, 5, 500);
    assert_int_equal(http_headers_add(&h, "x-chaos-key", "one"), HARDY_OK);
    assert_int_equal(http_headers_add(&h, "x-stainless-timeout", "600"), HARDY_OK);
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"max_tokens\":100,%s\"messages\":[{\"role\":\"user\",\"content\":"
             "\"%s\"}]}",
             a->stream ? "\"stream\":true," : "", MESSAGE);
    http_call_options_init(&o);
    o.method = "POST";
    o.url = &a->url;
    o.headers = &h;
    o.body = body;
    o.body_len = strlen(body);
    o.first_limit = o.idle_limit = 300 * HARDY_SECOND;
    buf_reset(&a->body);
    a->status = 0;
    a->broken = false;
    assert_int_equal(http_call_start(a->client, &o, &events, a, &a->call, NULL), HARDY_OK);
    http_headers_free(&h);
}

/* --- one session ------------------------------------------------------------------------------ */

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

static struct gateway *open_gateway(struct loop *loop, unsigned port) {
    struct config *config;
    struct gateway_settings settings;
    struct gateway *gateway = NULL;
    hardy_error error;
    char text[300];
    hardy_error_init(&error, sizeof error);
    /* Everything but the address is the default. */
    snprintf(text, sizeof text,
             "gateway: {listen: \"127.0.0.1:0\"}\n"
             "upstreams: {anthropic: {url: \"http://127.0.0.1:%u\", protocol: anthropic}}\n",
             port);
    assert_int_equal(config_load_bytes("t.yaml", text, strlen(text), &config, &error), HARDY_OK);
    if (gateway_settings_read(config, &settings, &error) != HARDY_OK ||
        gateway_open(loop, config, &settings, NULL, &gateway, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    config_free(config);
    return gateway;
}

struct story {
    enum session session;
    char why[120];
    int64_t took;
    uint64_t asked; /* requests that reached the upstream */
};

static struct story live_through(const char *faults, bool through) {
    struct sim_options sim;
    struct chaos_llm_options llm;
    struct http_client_options client;
    struct faults rules;
    struct chaos_llm *upstream;
    struct gateway *gateway = NULL;
    struct agent a = {.stream = true};
    hardy_error error;
    char text[600];
    hardy_error_init(&error, sizeof error);
    sim_options_init(&sim);
    sim.end = 10 * HARDY_HOUR;
    a.loop = loop_sim_new(&sim, NULL);
    snprintf(text, sizeof text, "pace: 20ms\nthink: 300ms\nwords: %d\nfaults: [%s]\n", WORDS,
             faults);
    if (faults_parse("faults", text, strlen(text), &rules, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    chaos_llm_options_init(&llm);
    llm.faults = &rules;
    assert_int_equal(chaos_llm_open(a.loop, &llm, &upstream, NULL), HARDY_OK);
    if (through) {
        gateway = open_gateway(a.loop, chaos_llm_port(upstream));
    }
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s/v1/messages",
             through ? gateway_port(gateway) : chaos_llm_port(upstream),
             through ? "/anthropic" : "");
    assert_int_equal(http_url_parse(text, &a.url, NULL), HARDY_OK);
    http_client_options_init(&client);
    a.client = http_client_new(a.loop, &client, NULL);
    buf_init(&a.body, 1 << 20);
    buf_init(&a.text, 65536);
    loop_timer_init(&a.timer, on_timer, &a);
    int64_t from = loop_now(a.loop);
    loop_timer_start(a.loop, &a.timer, from);
    loop_run(a.loop);
    struct story story = {.session = a.session,
                          .took = loop_now(a.loop) - from,
                          .asked = chaos_llm_counts(upstream)->requests};
    str_copy(story.why, sizeof story.why, a.why);
    if (a.call) {
        http_call_cancel(a.call);
    }
    http_client_free(a.client);
    bool drained = !through, closed = false;
    if (through) {
        gateway_drain(gateway, set_true, &drained);
    }
    chaos_llm_close(upstream, loop_now(a.loop) + HARDY_SECOND, set_true, &closed);
    loop_run(a.loop);
    assert_true(drained && closed);
    gateway_free(gateway);
    http_url_free(&a.url);
    buf_free(&a.body);
    buf_free(&a.text);
    faults_free(&rules);
    loop_free(a.loop);
    return story;
}

static void expect_full(const char *faults) {
    struct story s = live_through(faults, true);
    if (s.session != FULL) {
        fail_msg("%s: %s: %s", faults, session_texts[s.session], s.why);
    }
}

/* --- stories ---------------------------------------------------------------------------------- */

static void outages(void **state) {
    (void)state;
    static const char *const kinds[] = {"fail: overloaded",
                                        "fail: status, status: 503",
                                        "fail: status, status: 500",
                                        "fail: status, status: 429",
                                        "fail: rate_limit, retry_after: 7s",
                                        "fail: reset",
                                        "fail: malformed",
                                        "fail: error_event, after_events: 2",
                                        "fail: cut, after_events: 2"};
    static const char *const spans[] = {"30s", "3m", "10m"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t i = 0; i < 3; i++) {
            char rule[200];
            snprintf(rule, sizeof rule, "{%s, for: %s}", kinds[k], spans[i]);
            struct story alone = live_through(rule, false), helped = live_through(rule, true);
            print_message(
                "# %s: alone %s after %lld s; through the gateway %s after %lld s, %llu calls\n",
                rule, session_texts[alone.session], (long long)(alone.took / HARDY_SECOND),
                session_texts[helped.session], (long long)(helped.took / HARDY_SECOND),
                (unsigned long long)helped.asked);
            if (helped.session != FULL) {
                fail_msg("%s: %s: %s", rule, session_texts[helped.session], helped.why);
            }
        }
    }
}

/* Longer than the agent would wait. */
static void told_to_wait_long(void **state) {
    (void)state;
    expect_full("{fail: rate_limit, retry_after: 61s, first: 1}");
    expect_full("{fail: rate_limit, retry_after: 4m, first: 1}");
    expect_full("{fail: rate_limit, retry_after: 6m, first: 1}");
}

/* Nobody is there at all. */
static void hanging(void **state) {
    (void)state;
    expect_full("{fail: hang, first: 1}");
    expect_full("{fail: hang, for: 3m}");
    expect_full("{fail: slow_first, delay: 200s, first: 1}");
}

static void every_boundary(void **state) {
    (void)state;
    static const char *const kinds[] = {"cut", "reset_after", "error_event", "malformed"};
    int half = 0;
    for (size_t k = 0; k < 4; k++) {
        for (int events = 0; events <= WORDS + 5; events++) {
            char rule[100];
            snprintf(rule, sizeof rule, "{fail: %s, after_events: %d, first: 1}", kinds[k], events);
            expect_full(rule);
            half += live_through(rule, false).session == HALF;
        }
    }
    print_message("# alone, %d of %d were taken for whole and were not\n", half, 4 * (WORDS + 6));
    assert_true(half >= WORDS);
}

static void silence(void **state) {
    (void)state;
    for (int events = 0; events <= WORDS + 4; events += 4) {
        char rule[100];
        snprintf(rule, sizeof rule, "{fail: silence, delay: 200s, after_events: %d, first: 1}",
                 events);
        expect_full(rule);
    }
}

/* That the agent is one that needs help: otherwise the others show nothing. */
static void alone(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        enum session session;
    } cases[] = {
        {"{fail: overloaded, for: 1m}", FULL}, /* this much it can do by itself */
        {"{fail: overloaded, for: 10m}", DEAD},
        {"{fail: status, status: 503, for: 1s}", DEAD},
        {"{fail: status, status: 429, retry_after: 61s, for: 1s}", DEAD},
        {"{fail: reset, for: 1s}", DEAD},
        {"{fail: hang, first: 1}", DEAD},
        {"{fail: cut, after_events: 7, first: 1}", HALF},
        {"{fail: error_event, after_events: 7, first: 1}", FULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct story s = live_through(cases[i].rule, false);
        if (s.session != cases[i].session) {
            fail_msg("%s: %s: %s", cases[i].rule, session_texts[s.session], s.why);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),   cmocka_unit_test(outages),
        cmocka_unit_test(hanging), cmocka_unit_test(told_to_wait_long),
        cmocka_unit_test(silence), cmocka_unit_test(every_boundary),
    };
    log_configure(HARDY_LOG_ERROR, false, 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
