/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's own code in a simulated world: agents that behave as coding agents do, an upstream
 * that fails in every way it knows, a network that refuses, cuts, splits and falls silent. Whatever
 * happens, of each request:
 *
 *   - it ends once, and in time;
 *   - an answer that looks whole is whole, and is the one to this request;
 *   - what began and cannot go on ends with its protocol's error;
 *   - nothing stays behind: no permit, no connection, no record, no wait;
 *   - the retries of all stay within the budget.
 *
 *     test_sim [--seeds N] [--first SEED] [--agents N] [--bug]    (--bug: something must be found)
 */
#include "base/log.h"
#include "base/prng.h"
#include "base/str.h"
#include "chaos/answer.h"
#include "chaos/llm.h"
#include "gateway/gateway.h"
#include "http/client.h"
#include "http/sse.h"
#include "io/sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGENTS_MAX 1000
#define PATIENCE (20 * HARDY_MINUTE) /* of an agent, for one of its requests */
#define WORDS 12

struct town;
enum api { API_MESSAGES, API_CHAT, API_RESPONSES };

struct agent {
    struct town *town;
    unsigned number, asked, left; /* requests made, requests to make */
    enum api api;
    bool stream, leaves; /* this time */
    struct http_call *call;
    struct loop_timer timer;
    int status;
    int64_t retry_after, began, asked_at;
    struct buf body;
    char message[64];
    bool busy;
};
struct town {
    uint64_t seed;
    struct prng prng;
    struct loop *loop;
    struct http_client *client;
    struct chaos_llm *upstream;
    struct faults faults;
    struct gateway *gateway;
    struct agent *agents;
    unsigned count, running;
    bool gateway_gone, upstream_gone, ending;
    struct loop_timer end;
    struct loop_timer remedy; /* fewer at once now and then, and new connections */
    /* what happened */
    uint64_t asked, whole, refused, cut, failed, left, given_up;
    char wrong[300]; /* the first invariant that broke; "" = none */
};
static struct { /* of all seeds */
    uint64_t asked, whole, refused, cut, failed, left, given_up;
    uint64_t faults[FAULT_KINDS], attempts[ATTEMPT_COUNT], outcomes[REQUEST_OUTCOME_COUNT];
    uint64_t network, retries, opened, waited, remedies;
    int64_t simulated;
} sum;

static void wrong(struct town *t, const char *format, ...) HARDY_PRINTF(2, 3);
static void wrong(struct town *t, const char *format, ...) {
    if (t->wrong[0]) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(t->wrong, sizeof t->wrong, format, args);
    va_end(args);
    loop_stop(t->loop);
}

/* --- what an answer says ---------------------------------------------------------------------- */

struct reading {
    enum api api;
    struct buf text;
    bool terminal, error;
};

/* The next string behind `key` in JSON of the chaos server, which puts no blanks there. */
static void take_string(struct buf *out, const char *data, size_t len, const char *key) {
    const char *at = memmem(data, len, key, strlen(key));
    if (!at) {
        return;
    }
    for (at += strlen(key); at < data + len && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < data + len) {
            at++;
        }
        buf_putc(out, *at);
    }
}

static void read_event(void *ctx, const struct sse_event *e) {
    struct reading *r = ctx;
    static const char *const keys[] = {"\"text\":\"", "\"content\":\"", "\"delta\":\""};
    bool error = memmem(e->data, e->data_len, "\"error\":{", 9) != NULL ||
                 (e->name_len == 5 && memcmp(e->name, "error", 5) == 0) ||
                 memmem(e->data, e->data_len, "response.failed", 15) != NULL;
    bool done = memmem(e->data, e->data_len, "[DONE]", 6) != NULL ||
                (e->name_len == 12 && memcmp(e->name, "message_stop", 12) == 0) ||
                (e->name_len == 18 && memcmp(e->name, "response.completed", 18) == 0);
    r->error = r->error || error;
    r->terminal = r->terminal || done;
    bool delta = r->api == API_MESSAGES ? memmem(e->data, e->data_len, "text_delta", 10) != NULL
                 : r->api == API_CHAT
                     ? true
                     : e->name_len == 26 && memcmp(e->name, "response.output_text.delta", 26) == 0;
    if (delta && e->has_data && !done && !error) {
        take_string(&r->text, e->data, e->data_len, keys[r->api]);
    }
}

/* --- agents ----------------------------------------------------------------------------------- */

static void ask_later(struct agent *a, int64_t span);

static void agent_done(struct agent *a) {
    a->busy = false;
    a->left--;
    if (a->left > 0) {
        ask_later(a, prng_range(prng_next(&a->town->prng), HARDY_SECOND, 20 * HARDY_SECOND));
        return;
    }
    if (--a->town->running == 0) {
        loop_timer_start(a->town->loop, &a->town->end, loop_now(a->town->loop) + HARDY_MINUTE);
    }
}

static void try_again(struct agent *a, int64_t span) {
    int64_t now = loop_now(a->town->loop);
    if (now - a->began > PATIENCE) {
        a->town->given_up++;
        agent_done(a);
    } else {
        ask_later(a, span);
    }
}

static void check_whole(struct agent *a, const char *text, size_t len) {
    struct buf expected;
    buf_init(&expected, 65536);
    if (!chaos_answer(a->message, strlen(a->message), WORDS, &expected) || expected.len != len ||
        memcmp(expected.data, text, len) != 0) {
        wrong(a->town, "agent %u: an answer taken for whole is \"%.*s\", not \"%s\"", a->number,
              (int)(len < 80 ? len : 80), text, expected.data ? expected.data : "");
    }
    buf_free(&expected);
}

static void look_at_stream(struct agent *a) {
    struct reading r = {.api = a->api};
    struct sse events;
    buf_init(&r.text, 65536);
    sse_init(&events, 1 << 20, read_event, &r);
    (void)sse_feed(&events, a->body.data, a->body.len);
    (void)sse_finish(&events);
    static const char *const begins[] = {"event: message_start\n", "data: {",
                                         "event: response.created\n"};
    if (a->body.len < strlen(begins[a->api]) ||
        memcmp(a->body.data, begins[a->api], strlen(begins[a->api])) != 0) {
        wrong(a->town, "agent %u: a stream that begins with \"%.*s\"", a->number,
              (int)(a->body.len < 40 ? a->body.len : 40), a->body.data ? a->body.data : "");
    }
    if (r.terminal && !r.error) {
        check_whole(a, r.text.data ? r.text.data : "", r.text.len);
        a->town->whole++;
        agent_done(a);
    } else if (r.error) {
        /* As coding agents do: the same again, without streaming. */
        a->town->cut++;
        a->stream = false;
        try_again(a, HARDY_SECOND);
    } else {
        wrong(a->town,
              "agent %u: a stream that ended well has neither its terminal event nor an "
              "error",
              a->number);
    }
    sse_free(&events);
    buf_free(&r.text);
}

static void look_at_whole(struct agent *a) {
    static const char *const keys[] = {"\"text\":\"", "\"content\":\"", "\"text\":\""};
    struct buf text;
    buf_init(&text, 65536);
    if (json_check(a->body.data ? a->body.data : "", a->body.len, NULL) != HARDY_OK) {
        wrong(a->town, "agent %u: a 200 that is no JSON", a->number);
    }
    take_string(&text, a->body.data, a->body.len, keys[a->api]);
    check_whole(a, text.data ? text.data : "", text.len);
    buf_free(&text);
    a->town->whole++;
    agent_done(a);
}

static void on_head(void *ctx, struct http_call *call, const struct http_answer_head *head) {
    struct agent *a = ctx;
    const char *after = http_headers_get(head->headers, "retry-after");
    (void)call;
    a->status = head->status;
    a->retry_after = after ? strtoll(after, NULL, 10) : -1;
}

static void on_data(void *ctx, struct http_call *call, const char *data, size_t len) {
    struct agent *a = ctx;
    buf_append(&a->body, data, len);
    if (a->leaves && a->body.len > 200) {
        http_call_cancel(call);
        a->call = NULL;
        a->town->left++;
        agent_done(a);
    }
}

static void on_end(void *ctx, struct http_call *call) {
    struct agent *a = ctx;
    struct town *t = a->town;
    (void)call;
    a->call = NULL;
    if (a->status == 200) {
        if (a->stream) {
            look_at_stream(a);
        } else {
            look_at_whole(a);
        }
    } else if (a->status == 529 || a->status == 503 || a->status == 429) {
        t->refused++;
        if (a->retry_after < 1 || a->retry_after > 59) {
            wrong(t, "agent %u: status %d with retry-after %lld", a->number, a->status,
                  (long long)a->retry_after);
        }
        try_again(a, a->retry_after * HARDY_SECOND);
    } else if (a->status == 408) { /* its own request fell silent on the way */
        try_again(a, HARDY_SECOND);
    } else {
        wrong(t, "agent %u: status %d, which nothing here should lead to", a->number, a->status);
    }
}

/* The way to the gateway is a network too, and may break. */
static void on_failed(void *ctx, struct http_call *call, const struct http_failure *failure) {
    struct agent *a = ctx;
    (void)call;
    a->call = NULL;
    a->town->failed++;
    if (failure->reason == CLOSE_TIMEOUT) {
        /* A stalled chunk takes up to ten minutes; without one, nothing takes so long. */
        struct sim_report report;
        sim_report(a->town->loop, &report);
        if (report.stalled == 0) {
            wrong(a->town, "agent %u: no end after %lld s", a->number,
                  (long long)((loop_now(a->town->loop) - a->asked_at) / HARDY_SECOND));
        }
    }
    if (!a->town->ending) {
        try_again(a, HARDY_SECOND);
    }
}

static void ask(struct loop_timer *timer) {
    static const struct http_call_events events = {
        .head = on_head, .data = on_data, .end = on_end, .failed = on_failed};
    static const char *const paths[] = {"/anthropic/v1/messages", "/openai/v1/chat/completions",
                                        "/openai/v1/responses"};
    struct agent *a = timer->ctx;
    struct town *t = a->town;
    struct http_call_options o;
    struct http_headers h;
    struct http_url url;
    char body[400], text[100], key[64];
    if (!a->busy) {
        a->busy = true;
        a->asked++;
        a->began = loop_now(t->loop);
        a->api = (enum api)prng_below(&t->prng, 3);
        a->stream = prng_below(&t->prng, 4) != 0;
        a->leaves = prng_below(&t->prng, 15) == 0;
        snprintf(a->message, sizeof a->message, "agent %u asks %u", a->number, a->asked);
    }
    t->asked++;
    snprintf(
        body, sizeof body,
        "{\"model\":\"m-%u\",\"max_tokens\":100,%s\"%s\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
        a->number % 3, a->stream ? "\"stream\":true," : "",
        a->api == API_RESPONSES ? "input" : "messages", a->message);
    snprintf(text, sizeof text, "http://127.0.0.1:%u%s", gateway_port(t->gateway), paths[a->api]);
    snprintf(key, sizeof key, "%u-%u", a->number, a->asked);
    http_headers_init(&h, 5, 500);
    (void)http_headers_add(&h, "x-chaos-key", key);
    (void)http_headers_add(&h, "content-type", "application/json");
    (void)http_url_parse(text, &url, NULL);
    http_call_options_init(&o);
    o.method = "POST";
    o.url = &url;
    o.headers = &h;
    o.body = body;
    o.body_len = strlen(body);
    o.deadline = loop_now(t->loop) + 15 * HARDY_MINUTE;
    o.connect_limit = 30 * HARDY_SECOND;
    buf_reset(&a->body);
    a->status = 0;
    a->asked_at = loop_now(t->loop);
    if (http_call_start(t->client, &o, &events, a, &a->call, NULL) != HARDY_OK) {
        wrong(t, "no memory");
    }
    http_url_free(&url);
    http_headers_free(&h);
}

static void ask_later(struct agent *a, int64_t span) {
    loop_timer_start(a->town->loop, &a->timer, loop_now(a->town->loop) + span);
}

/* --- the town --------------------------------------------------------------------------------- */

/* At least five kinds of fault, among them an outage of everything for a while. */
static void write_faults(struct town *t, struct buf *out) {
    static const char *const kinds[] = {
        "{fail: status, status: 500, share: %.2f}",
        "{fail: status, status: 503, share: %.2f}",
        "{fail: rate_limit, retry_after: 2s, share: %.2f}",
        "{fail: reset, share: %.2f}",
        "{fail: hang, share: %.3f}",
        "{fail: slow_first, delay: 40s, share: %.2f}",
        "{fail: error_event, after_events: 2, share: %.2f}",
        "{fail: error_event, after_events: 7, share: %.2f}",
        "{fail: cut, after_events: 1, share: %.2f}",
        "{fail: cut, after_events: 5, share: %.2f}",
        "{fail: cut, after_events: 9, share: %.2f}",
        "{fail: reset_after, after_events: 2, share: %.2f}",
        "{fail: reset_after, after_events: 8, share: %.2f}",
        "{fail: malformed, stream: false, share: %.2f}",
        "{fail: truncated, share: %.2f}",
        "{fail: silence, after_events: 6, delay: 200s, share: %.3f}",
        "{fail: overloaded, share: %.2f}",
    };
    enum { KINDS = sizeof kinds / sizeof *kinds };
    buf_printf(out, "seed: %llu\npace: 20ms\nthink: 300ms\nwords: %d\nfaults:\n",
               (unsigned long long)(t->seed % 1000000), WORDS);
    buf_printf(out, "  - {fail: overloaded, from: %llus, for: %llus}\n",
               (unsigned long long)prng_below(&t->prng, 60),
               (unsigned long long)(10 + prng_below(&t->prng, 120)));
    for (int i = 0; i < 7; i++) {
        double share = 0.02 + 0.08 * prng_unit(&t->prng);
        buf_puts(out, "  - ");
        /* The table's own texts, each with one number in it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_printf(out, kinds[prng_below(&t->prng, KINDS)], share);
#pragma GCC diagnostic pop
        buf_puts(out, "\n");
    }
}

static void on_gateway_gone(void *ctx) {
    ((struct town *)ctx)->gateway_gone = true;
}
static void on_upstream_gone(void *ctx) {
    ((struct town *)ctx)->upstream_gone = true;
}

static void check_leftovers(struct town *t) {
    struct buf json;
    struct json_out j;
    if (gateway_active(t->gateway) != 0) {
        wrong(t, "%zu requests have no end", gateway_active(t->gateway));
    }
    buf_init(&json, 65536);
    json_out_init(&j, &json, 0);
    gateway_guards_to_json(t->gateway, &j);
    const char *at = json.data;
    while (at && (at = strstr(at, "\"running\":")) != NULL) {
        if (strncmp(at, "\"running\":0,\"waiting\":0}", 24) != 0) {
            wrong(t, "a slot was not given back: %.40s", at);
        }
        at++;
    }
    /* A tenth of the operations, ten a second, and what the budget holds at first. */
    double operations = 0, retries = 0;
    for (at = json.data; at && (at = strstr(at, "\"operations\":")) != NULL; at++) {
        operations += strtod(at + 13, NULL);
    }
    for (at = json.data; at && (at = strstr(at, "\"retries\":")) != NULL; at++) {
        retries += strtod(at + 10, NULL);
        sum.retries += strtoull(at + 10, NULL, 10);
    }
    for (at = json.data; at && (at = strstr(at, "\"times_opened\":")) != NULL; at++) {
        sum.opened += strtoull(at + 15, NULL, 10);
    }
    double seconds = (double)(loop_now(t->loop) - HARDY_HOUR) / (double)HARDY_SECOND;
    if (retries > 0.1 * operations + 2 * (10 * seconds + 110)) {
        wrong(t, "%.0f retries of %.0f operations in %.0f s", retries, operations, seconds);
    }
    if (chaos_llm_counts(t->upstream)->open != 0) {
        wrong(t, "%llu requests still run at the upstream",
              (unsigned long long)chaos_llm_counts(t->upstream)->open);
    }
    buf_free(&json);
}

static void on_remedy(struct loop_timer *timer) {
    struct town *t = timer->ctx;
    const char *names[] = {"llm", "other", NULL};
    int64_t now = loop_now(t->loop);
    char told[200];
    bool good =
        gateway_lower_concurrency(t->gateway, names[prng_below(&t->prng, 3)], prng_unit(&t->prng),
                                  now + prng_range(prng_next(&t->prng), HARDY_SECOND, HARDY_MINUTE),
                                  told) == HARDY_OK &&
        gateway_reset_connections(t->gateway, NULL, told) == HARDY_OK;
    if (!good) {
        wrong(t, "a remedy failed: %s", told);
    }
    sum.remedies++;
    loop_timer_start(t->loop, timer,
                     now + prng_range(prng_next(&t->prng), HARDY_SECOND, 2 * HARDY_MINUTE));
}

static void on_end_of_town(struct loop_timer *timer) {
    struct town *t = timer->ctx;
    check_leftovers(t);
    loop_timer_stop(t->loop, &t->remedy);
    t->ending = true;
    gateway_drain(t->gateway, on_gateway_gone, t);
    chaos_llm_close(t->upstream, loop_now(t->loop) + 10 * HARDY_SECOND, on_upstream_gone, t);
}

static bool open_gateway(struct town *t, const char *guard, hardy_error *error) {
    struct config *config = NULL;
    struct gateway_settings settings;
    char text[1000];
    unsigned port = chaos_llm_port(t->upstream);
    snprintf(text, sizeof text,
             "gateway: {listen: \"127.0.0.1:0\", keep_requests: 20000}\n"
             "guards: {llm: &llm {%s}, other: *llm}\n"
             "upstreams:\n"
             "  anthropic: {url: \"http://127.0.0.1:%u\", protocol: anthropic, guard: llm}\n"
             "  openai: {url: \"http://127.0.0.1:%u/v1\", protocol: openai, guard: other}\n",
             guard, port, port);
    hardy_status status = config_load_bytes("sim.yaml", text, strlen(text), &config, error);
    if (status == HARDY_OK) {
        status = gateway_settings_read(config, &settings, error);
        if (status == HARDY_OK) {
            status = gateway_open(t->loop, config, &settings, NULL, &t->gateway, error);
        } else {
            gateway_settings_free(&settings);
        }
    }
    config_free(config);
    return status == HARDY_OK;
}

static void count_records(const struct town *t) {
    const struct records *records = gateway_records(t->gateway);
    const struct request_record *r;
    for (size_t i = 0; (r = records_at(records, i)) != NULL; i++) {
        sum.outcomes[r->outcome]++;
        sum.waited += r->waited > 0;
        uint32_t kept = r->attempts < RECORD_ATTEMPTS ? r->attempts : RECORD_ATTEMPTS;
        for (uint32_t n = 0; n < kept; n++) {
            sum.attempts[r->tries[n].result]++;
        }
    }
}

static bool open_town(struct town *t, hardy_error *error) {
    struct sim_options sim;
    struct chaos_llm_options llm;
    struct http_client_options client;
    struct buf yaml;
    sim_options_init(&sim);
    sim.seed = t->seed;
    sim.latency_min = HARDY_MILLISECOND / 10;
    sim.latency_max = 5 * HARDY_MILLISECOND;
    sim.end = 48 * HARDY_HOUR;
    if (t->seed % 2 == 0) { /* the other half shows that without it nothing is ever late */
        sim.refuse = 0.01;
        sim.reset = 0.002;
        sim.stall = 0.0005;
    }
    sim.split = 0.1;
    t->loop = loop_sim_new(&sim, error);
    buf_init(&yaml, 65536);
    write_faults(t, &yaml);
    bool ok = t->loop && faults_parse("sim", yaml.data, yaml.len, &t->faults, error) == HARDY_OK;
    buf_free(&yaml);
    chaos_llm_options_init(&llm);
    llm.faults = &t->faults;
    http_client_options_init(&client);
    if (ok) {
        sim_outside(t->loop, true);
        ok = chaos_llm_open(t->loop, &llm, &t->upstream, error) == HARDY_OK;
        t->client = http_client_new(t->loop, &client, error);
        sim_outside(t->loop, false);
    }
    return ok && t->client &&
           open_gateway(t,
                        t->seed % 3 == 0 ? "retry: 2, breaker: {recovery_timeout: 10s}, "
                                           "bulkhead: {max_concurrent: 3, max_queue: 2000}"
                                         : "bulkhead: {max_concurrent: 200, max_queue: 2000}",
                        error);
}

static void run_town(struct town *t) {
    t->agents = calloc(t->count, sizeof *t->agents);
    t->running = t->count;
    loop_timer_init(&t->end, on_end_of_town, t);
    loop_timer_init(&t->remedy, on_remedy, t);
    sim_outside(t->loop, true);
    for (unsigned i = 0; i < t->count; i++) {
        struct agent *a = &t->agents[i];
        a->town = t;
        a->number = i;
        a->left = 1 + (unsigned)prng_below(&t->prng, 4);
        buf_init(&a->body, 1 << 20);
        loop_timer_init(&a->timer, ask, a);
        ask_later(a, prng_range(prng_next(&t->prng), 0, 30 * HARDY_SECOND));
    }
    if (t->seed % 4 == 1) {
        loop_timer_start(t->loop, &t->remedy, loop_now(t->loop) + 10 * HARDY_SECOND);
    }
    sim_outside(t->loop, false);
    loop_run(t->loop);
    if (!t->wrong[0] && !(t->gateway_gone && t->upstream_gone)) {
        wrong(t, "the world stands still with %u agents waiting, gateway %s, upstream %s",
              t->running, t->gateway_gone ? "gone" : "there", t->upstream_gone ? "gone" : "there");
    }
}

static bool run_seed(uint64_t seed, unsigned agents, bool quiet) {
    struct town t = {.seed = seed, .count = agents};
    hardy_error error;
    struct sim_report report = {0};
    hardy_error_init(&error, sizeof error);
    prng_seed(&t.prng, seed);
    if (!open_town(&t, &error)) {
        printf("# seed %llu: %s: %s\n", (unsigned long long)seed, error.where, error.message);
        return false;
    }
    run_town(&t);
    sim_report(t.loop, &report);
    count_records(&t);
    if (!t.upstream_gone) {
        const struct chaos_counts *counts = chaos_llm_counts(t.upstream);
        for (int i = 0; i < FAULT_KINDS; i++) {
            sum.faults[i] += counts->faults[i];
        }
    }
    sum.asked += t.asked;
    sum.whole += t.whole;
    sum.refused += t.refused;
    sum.cut += t.cut;
    sum.failed += t.failed;
    sum.left += t.left;
    sum.given_up += t.given_up;
    sum.network += report.refused + report.reset + report.stalled + report.split;
    sum.simulated += report.simulated;
    if (t.wrong[0] && !quiet) {
        printf("# seed %llu: %s\n", (unsigned long long)seed, t.wrong);
    }
    /* What is left of a world that stopped in the middle is the test's own end. */
    if (!t.wrong[0]) {
        http_client_free(t.client);
        gateway_free(t.gateway);
        loop_run(t.loop);
        loop_free(t.loop);
        faults_free(&t.faults);
    }
    for (unsigned i = 0; i < t.count; i++) {
        buf_free(&t.agents[i].body);
    }
    free(t.agents);
    return t.wrong[0] == '\0';
}

/* --- the report ------------------------------------------------------------------------------- */

static bool reached(const char *what, uint64_t count) {
    printf("#   %-32s %llu\n", what, (unsigned long long)count);
    return count > 0;
}

static bool report(void) {
    bool all = true;
    printf("# %.1f hours simulated\n", (double)sum.simulated / (double)HARDY_HOUR);
    all &= reached("requests of agents", sum.asked);
    all &= reached("whole answers", sum.whole);
    all &= reached("refusals with retry-after", sum.refused);
    all &= reached("streams ended with an error", sum.cut);
    all &= reached("clients that left", sum.left);
    all &= reached("connections to the gateway lost", sum.failed);
    all &= reached("faults of the network", sum.network);
    all &= reached("retries", sum.retries);
    all &= reached("requests that waited", sum.waited);
    all &= reached("breakers opened", sum.opened);
    all &= reached("remedies", sum.remedies);
    (void)reached("agents that gave up", sum.given_up);
    for (int i = 0; i < ATTEMPT_COUNT; i++) {
        bool hit = reached(attempt_result_text((enum attempt_result)i), sum.attempts[i]);
        all &= hit || i == ATTEMPT_REJECTED || i == ATTEMPT_QUOTA || i == ATTEMPT_INTERNAL;
    }
    for (int i = 0; i < REQUEST_OUTCOME_COUNT; i++) {
        bool hit = reached(request_outcome_text((enum request_outcome)i), sum.outcomes[i]);
        all &= hit || i == REQUEST_CALLER || i == REQUEST_GATEWAY || i == REQUEST_POLICY;
    }
    return all;
}

static unsigned long argument(int argc, char **argv, const char *name, unsigned long def) {
    for (int i = 1; i + 1 < argc; i++) {
        if (str_eq(argv[i], name)) {
            return strtoul(argv[i + 1], NULL, 10);
        }
    }
    return def;
}

int main(int argc, char **argv) {
    unsigned long seeds = argument(argc, argv, "--seeds", 200);
    unsigned long first = argument(argc, argv, "--first", 1);
    unsigned long agents = argument(argc, argv, "--agents", 8);
    bool bug = argc > 1 && str_eq(argv[argc - 1], "--bug");
    unsigned long bad = 0;
    log_configure(HARDY_LOG_ERROR, false, 2);
    agents = agents > AGENTS_MAX ? AGENTS_MAX : agents;
    printf("1..%d\n", bug ? 1 : 2);
    for (unsigned long i = 0; i < seeds; i++) {
        if (!run_seed(first + i, (unsigned)agents, bug) && (bug || ++bad == 5)) {
            bad = bad ? bad : 1;
            break;
        }
    }
    if (bug) {
        printf("%s 1 - the bug is found\n", bad > 0 ? "ok" : "not ok");
        return bad == 0;
    }
    printf("%s 1 - %lu seeds of %lu agents\n", bad == 0 ? "ok" : "not ok", seeds, agents);
    bool all = report();
    printf("%s 2 - everything that can happen has happened\n", all ? "ok" : "not ok");
    return bad > 0 || !all;
}
