/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/llm.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/prng.h"
#include "base/str.h"
#include "chaos/hash.h"
#include "chaos/play.h"
#include "http/problem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX ((size_t)32 << 20)
#define HEAD_MAX ((size_t)64 * 1024)
#define JOURNAL_LINE_MAX ((size_t)256 * 1024)

/* A minute's limits: so high that they bound nobody, for nothing here enforces them. */
#define REQUESTS_A_MINUTE UINT64_C(1000000)
#define INPUT_A_MINUTE UINT64_C(1000000000)
#define OUTPUT_A_MINUTE UINT64_C(200000000)

struct chaos_llm {
    struct loop *loop;
    struct chaos_llm_options options;
    struct faults none; /* where the options name no faults */
    struct http_server *server;
    struct attempts *attempts;
    struct play *plays;
    struct chaos_counts counts;
    int64_t started;
    int64_t minute; /* wall; what was used since */
    uint64_t requests, input_tokens, output_tokens;
    void (*done)(void *ctx);
    void *done_ctx;
};

void chaos_llm_options_init(struct chaos_llm_options *o) {
    *o = (struct chaos_llm_options){.host = "127.0.0.1", .key_max = 65536, .connection_max = 16384};
}

/* --- what ends ------------------------------------------------------------------------------ */

static void log_call(const struct chaos_entry *e, enum play_end how) {
    if (!log_enabled(HARDY_LOG_DEBUG)) {
        return;
    }
    char number[24], attempt[24], status[24], events[24], took[48];
    snprintf(number, sizeof number, "%llu", (unsigned long long)e->number);
    snprintf(attempt, sizeof attempt, "%u", e->attempt);
    snprintf(status, sizeof status, "%d", e->status);
    snprintf(events, sizeof events, "%u", e->events);
    format_duration_short(e->took, took);
    const struct fault_rule *rule = e->decision.rule;
    log_event(HARDY_LOG_DEBUG, "call", "number", number, "path", e->path, "key",
              e->key ? e->key : "-", "attempt", attempt, "model", e->model, "stream",
              e->stream ? "true" : "false", "fault", rule ? fault_kind_text(rule->fail) : "none",
              "status", status, "events", events, "ended", play_end_text(how), "took", took, NULL);
}

static void write_journal(const struct chaos_llm *llm, const struct chaos_entry *e) {
    struct buf line;
    buf_init(&line, JOURNAL_LINE_MAX);
    chaos_journal_put(e, &line);
    if (!line.failed) {
        llm->options.journal(llm->options.ctx, line.data, line.len);
    }
    buf_free(&line);
}

static void on_ended(void *ctx, struct play *p, enum play_end how) {
    struct chaos_llm *llm = ctx;
    uint64_t *const counts[] = {[PLAY_COMPLETE] = &llm->counts.complete,
                                [PLAY_AS_TOLD] = &llm->counts.as_told,
                                [PLAY_CLIENT_LEFT] = &llm->counts.client_left,
                                [PLAY_SHUT_DOWN] = &llm->counts.shut_down,
                                [PLAY_REFUSED] = &llm->counts.refused};
    ++*counts[how];
    llm->counts.open--;
    *(p->previous ? &p->previous->next : &llm->plays) = p->next;
    if (p->next) {
        p->next->previous = p->previous;
    }
    const struct chaos_entry e = {.wall = p->wall,
                                  .number = p->number,
                                  .key = p->attempt > 0 ? p->key : NULL,
                                  .attempt = p->attempt,
                                  .method = http_request_method(p->request),
                                  .path = http_request_path(p->request),
                                  .model = p->ask.model ? p->ask.model : "",
                                  .stream = p->ask.stream,
                                  .decision = p->decision,
                                  .status = p->status,
                                  .events = p->begun && p->ask.stream ? p->sent : 0,
                                  .ended = play_end_text(how),
                                  .took = loop_now(llm->loop) - p->began};
    log_call(&e, how);
    if (llm->options.journal) {
        write_journal(llm, &e);
    }
}

/* --- what begins ---------------------------------------------------------------------------- */

static const struct endpoint {
    const char *path; /* how it ends */
    const char *method;
    enum ask_shape shape;
    const struct dialect *dialect; /* NULL: the headers tell */
    const struct format *format;
} endpoints[] = {
    {"/v1/messages", "POST", ASK_MESSAGES, &anthropic_dialect, &messages_format},
    {"/v1/messages/count_tokens", "POST", ASK_COUNT, &anthropic_dialect, NULL},
    {"/chat/completions", "POST", ASK_CHAT, &openai_dialect, &chat_format},
    {"/responses", "POST", ASK_RESPONSES, &openai_dialect, &responses_format},
    {"/models", "GET", ASK_MODELS, NULL, NULL},
};

static const struct endpoint *find_endpoint(const char *path) {
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        if (str_ends(path, endpoints[i].path)) {
            return &endpoints[i];
        }
    }
    return NULL;
}

static const struct dialect *dialect_of(const struct endpoint *endpoint,
                                        const struct http_request *r) {
    const struct http_headers *h = http_request_headers(r);
    if (endpoint && endpoint->dialect) {
        return endpoint->dialect;
    }
    return http_headers_get(h, "anthropic-version") || http_headers_get(h, "x-api-key")
               ? &anthropic_dialect
               : &openai_dialect;
}

static void count_minute(struct chaos_llm *llm, struct play *p) {
    int64_t minute = p->wall - p->wall % HARDY_MINUTE;
    if (minute != llm->minute) {
        llm->minute = minute;
        llm->requests = llm->input_tokens = llm->output_tokens = 0;
    }
    llm->requests++;
    llm->input_tokens += p->ask.input_tokens;
    llm->output_tokens += p->reply.output_tokens;
#define LEFT(limit, used) ((used) < (limit) ? (limit) - (used) : 1)
    p->meter = (struct meter){.wall = p->wall,
                              .reset = minute + HARDY_MINUTE,
                              .requests_limit = REQUESTS_A_MINUTE,
                              .requests_left = LEFT(REQUESTS_A_MINUTE, llm->requests),
                              .input_limit = INPUT_A_MINUTE,
                              .input_left = LEFT(INPUT_A_MINUTE, llm->input_tokens),
                              .output_limit = OUTPUT_A_MINUTE,
                              .output_left = LEFT(OUTPUT_A_MINUTE, llm->output_tokens)};
#undef LEFT
}

static void refuse(struct chaos_llm *llm, struct play *p, struct failure why) {
    count_minute(llm, p);
    play_refuse(p, &why);
}

/* NULL, or what is wrong with the credential. */
static const char *wrong_key(const struct chaos_llm *llm, const struct http_request *r) {
    const struct http_headers *h = http_request_headers(r);
    const char *key = http_headers_get(h, "x-api-key");
    const char *bearer = http_headers_get(h, "authorization");
    if (!llm->options.require_key) {
        return NULL;
    }
    if (!key && bearer && strncasecmp(bearer, "bearer ", 7) == 0) {
        key = bearer + 7;
    }
    if (!key) {
        return "no key: expected x-api-key or Authorization: Bearer";
    }
    return str_eq(key, llm->options.require_key) ? NULL : "not the key that is required here";
}

/* A key of the caller's that a journal could not tell again is replaced by its hash. */
static bool is_plain(const char *key) {
    size_t len = 0;
    while (key[len] >= ' ' && key[len] <= '~') {
        len++;
    }
    return key[len] == '\0' && len > 0 && len < CHAOS_KEY_SIZE;
}

static void find_key(const struct http_request *r, char out[CHAOS_KEY_SIZE]) {
    const char *given = http_headers_get(http_request_headers(r), "x-chaos-key");
    uint64_t hash = HASH_START;
    if (given && is_plain(given)) {
        str_copy(out, CHAOS_KEY_SIZE, given);
        return;
    }
    if (given && *given) {
        hash = hash_add(hash, given, strlen(given));
    } else {
        size_t len;
        const char *body = http_request_body(r, &len);
        hash = hash_add(hash, http_request_path(r), strlen(http_request_path(r)));
        hash = hash_add(hash, body, len);
    }
    snprintf(out, CHAOS_KEY_SIZE, "#%016llx", (unsigned long long)prng_mix(hash));
}

static void decide(struct chaos_llm *llm, struct play *p) {
    const struct faults *f = llm->options.faults;
    find_key(p->request, p->key);
    p->attempt = attempts_next(llm->attempts, p->key);
    if (llm->options.replay) {
        llm->counts.unknown +=
            !chaos_journal_find(llm->options.replay, p->key, p->attempt, &p->decision);
    } else {
        const struct fault_call call = {.key = p->key,
                                        .attempt = p->attempt,
                                        .since = p->began - llm->started,
                                        .path = http_request_path(p->request),
                                        .model = p->ask.model,
                                        .stream = p->ask.stream};
        p->decision = faults_decision(f, faults_decide(f, &call));
    }
    if (p->decision.rule) {
        llm->counts.faults[p->decision.rule->fail]++;
    }
}

/* What the call would be answered with if it went well. False without memory. */
static bool prepare(struct play *p, enum ask_shape shape, uint64_t unique) {
    if (p->format) {
        if (!reply_init(&p->reply, p->format, &p->ask, p->decision.words, p->request_id, unique,
                        p->wall)) {
            return false;
        }
        if (!p->ask.stream) {
            p->format->put_document(&p->reply, &p->document);
        }
    } else if (shape == ASK_MODELS) {
        p->dialect->put_models(&p->document);
    } else {
        buf_printf(&p->document, "{\"input_tokens\":%llu}",
                   (unsigned long long)p->ask.input_tokens);
    }
    return !p->document.failed;
}

static struct failure not_there(const struct endpoint *endpoint, const struct http_request *r) {
    if (endpoint) {
        return (struct failure){.status = 405,
                                .message = str_eq(endpoint->method, "GET")
                                               ? "this path is for GET"
                                               : "this path is for POST"};
    }
    (void)r;
    return (struct failure){.status = 404,
                            .message = "no such path: there are /v1/messages, "
                                       "/v1/messages/count_tokens, /v1/chat/completions, "
                                       "/v1/responses and /v1/models"};
}

static bool fits(const struct endpoint *endpoint, const struct http_request *r) {
    const char *method = http_request_method(r);
    return endpoint && (str_eq(endpoint->method, method) ||
                        (str_eq(endpoint->method, "GET") && str_eq(method, "HEAD")));
}

static void answer(struct chaos_llm *llm, struct play *p, const struct endpoint *endpoint,
                   uint64_t unique) {
    struct ask_refusal why = {0};
    struct failure no_memory = {.status = 500, .message = "no memory"};
    const char *wrong = wrong_key(llm, p->request);
    if (!fits(endpoint, p->request)) {
        refuse(llm, p, not_there(endpoint, p->request));
        return;
    }
    if (wrong) {
        refuse(llm, p, (struct failure){.status = 401, .message = wrong});
        return;
    }
    size_t len;
    const char *body = http_request_body(p->request, &len);
    switch (ask_read(endpoint->shape, body, len, &p->ask, &why)) {
    case ASK_REFUSED:
        refuse(llm, p,
               (struct failure){.status = 400,
                                .param = why.param,
                                .message = why.message,
                                .type = p->dialect->error_type(400),
                                .code = why.missing && p->dialect == &openai_dialect
                                            ? "missing_required_parameter"
                                            : NULL});
        return;
    case ASK_NO_MEMORY:
        refuse(llm, p, no_memory);
        return;
    case ASK_TAKEN:
        break;
    }
    decide(llm, p);
    if (prepare(p, endpoint->shape, unique)) {
        count_minute(llm, p);
        play_start(p);
    } else {
        refuse(llm, p, no_memory);
    }
}

static struct play *new_play(struct chaos_llm *llm, struct http_request *r) {
    struct play *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->loop = llm->loop;
    p->request = r;
    p->number = ++llm->counts.requests;
    p->began = loop_now(llm->loop);
    p->wall = loop_wall(llm->loop);
    p->decision = faults_decision(llm->options.faults, -1);
    p->ended = on_ended;
    p->ctx = llm;
    buf_init(&p->document, (size_t)64 << 20);
    p->next = llm->plays;
    if (p->next) {
        p->next->previous = p;
    }
    llm->plays = p;
    llm->counts.open++;
    if (llm->counts.open > llm->counts.most_open) {
        llm->counts.most_open = llm->counts.open;
    }
    return p;
}

static void on_request(void *ctx, struct http_request *r) {
    struct chaos_llm *llm = ctx;
    const struct endpoint *endpoint = find_endpoint(http_request_path(r));
    struct play *p = new_play(llm, r);
    if (!p) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory for a call");
        return;
    }
    uint64_t unique = prng_mix((uint64_t)llm->options.faults->seed) + 4 * p->number;
    reply_id("req_", unique + 3, p->request_id);
    p->dialect = dialect_of(endpoint, r);
    p->format = endpoint ? endpoint->format : NULL;
    answer(llm, p, endpoint, unique);
}

/* Clients look here whether anybody is at home. */
static void on_root(void *ctx, struct http_request *r) {
    (void)ctx;
    http_respond_text(r, 200, "text/plain", "hardy chaos llm\n");
}

/* --- the server's life ---------------------------------------------------------------------- */

static void llm_free(struct chaos_llm *llm) {
    attempts_free(llm->attempts);
    faults_free(&llm->none);
    free(llm);
}

hardy_status chaos_llm_open(struct loop *loop, const struct chaos_llm_options *options,
                            struct chaos_llm **out, hardy_error *error) {
    static const struct http_route routes[] = {
        {.method = "GET", .path = "/", .handle = on_root},
        {.path = "*", .body_max = BODY_MAX, .handle = on_request},
    };
    struct chaos_llm *llm = calloc(1, sizeof *llm);
    if (!llm) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a server");
    }
    llm->loop = loop;
    llm->options = *options;
    llm->started = loop_now(loop);
    llm->attempts = attempts_new(options->key_max);
    if (!llm->attempts || faults_defaults(&llm->none) != HARDY_OK) {
        llm_free(llm);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a server");
    }
    if (!options->faults) {
        llm->options.faults = &llm->none;
    }
    struct http_server_options server;
    http_server_options_init(&server);
    server.host = options->host;
    server.port = options->port;
    server.routes = routes;
    server.route_count = sizeof routes / sizeof *routes;
    server.ctx = llm;
    server.head_max = HEAD_MAX;
    server.connection_max = options->connection_max;
    hardy_status status = http_server_open(loop, &server, &llm->server, error);
    if (status != HARDY_OK) {
        llm_free(llm);
        return status;
    }
    *out = llm;
    return HARDY_OK;
}

uint16_t chaos_llm_port(const struct chaos_llm *llm) {
    return http_server_port(llm->server);
}

const struct chaos_counts *chaos_llm_counts(const struct chaos_llm *llm) {
    return &llm->counts;
}

static void on_drained(void *ctx) {
    struct chaos_llm *llm = ctx;
    if (llm->done) {
        llm->done(llm->done_ctx);
    }
    llm_free(llm);
}

void chaos_llm_close(struct chaos_llm *llm, int64_t limit, void (*done)(void *ctx), void *ctx) {
    llm->done = done;
    llm->done_ctx = ctx;
    http_server_drain(llm->server, limit, on_drained, llm);
    struct play *next;
    for (struct play *p = llm->plays; p; p = next) {
        next = p->next;
        if (play_due(p) > limit) {
            play_stop(p);
        }
    }
}
