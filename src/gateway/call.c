/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/call.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An answer that is sent when the client's own timer rings comes too late. */
#define CLIENT_MARGIN HARDY_SECOND
#define HEADERS_MAX ((size_t)64 * 1024)
#define HEADER_COUNT_MAX 256

/* --- time ------------------------------------------------------------------------------------- */

static int64_t now(const struct call *c) {
    return loop_now(c->g->loop);
}

static void wait_begins(struct call *c, const char *phase) {
    c->record->phase = phase;
    if (!c->waits) {
        c->waits = true;
        c->wait_from = now(c);
        c->g->waiting++;
    }
}

static void wait_ends(struct call *c, const char *phase) {
    c->record->phase = phase;
    if (c->waits) {
        c->waits = false;
        c->record->waited += now(c) - c->wait_from;
        c->g->waiting--;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What the provider counted takes the place of the estimate; what it did not answer cost nothing.
 */
static void settle_tokens(struct call *c) {
    const struct upstream_guard *guard = c->up->guard;
    const struct usage *u = &c->record->usage;
    if (!c->paid) {
        return;
    }
    double counted = 0;
    if (u->input >= 0 || u->output >= 0) {
        counted = (double)(usage_input_total(u) > 0 ? usage_input_total(u) : 0) +
                  (double)(u->output > 0 ? u->output : 0);
    } else if (c->record->outcome == REQUEST_OK) {
        counted = c->cost.of[LEARNED_TOKENS]; /* it was answered, and nothing was told */
    }
    gcra_settle(guard->token_words, &guard->tokens, c->cost.of[LEARNED_TOKENS], counted, now(c));
}

void call_forget_cost(struct call *c) {
    if (c->charged) {
        c->charged = false;
        learned_forget(upstream_learned(c->up, c->credential), &c->cost);
    }
}

static void end_call(struct call *c) {
    struct gateway *g = c->g;
    struct request_record *r = c->record;
    settle_tokens(c);
    wait_ends(c, NULL);
    loop_timer_stop(g->loop, &c->timer);
    call_forget_cost(c);
    list_remove(&c->link);
    g->active--;
    try_release(c);
    http_url_free(&c->url);
    http_headers_free(&c->headers);
    upstream_set_release(c->set);
    free(c);
    r->ended = loop_now(g->loop);
    figures_add_request(&g->figures, r);
    record_log(r);
    records_add(&g->records, r);
}

/* What the last attempt came to, behind why hardy gave up. */
static void explain(const struct call *c, const hardy_step *step, char *out, size_t size) {
    char took[48];
    const struct attempt_record *last = record_attempt(c->record, c->record->attempts);
    format_duration_short(now(c) - c->record->arrived, took);
    if (c->record->attempts == 0) {
        snprintf(out, size, "hardy: %s was not asked: %s, for %s", c->record->upstream,
                 hardy_reason_text(step->reason), took);
    } else {
        snprintf(out, size, "hardy: %s failed: %u attempt%s in %s, the last: %s; %s",
                 c->record->upstream, c->record->attempts, c->record->attempts == 1 ? "" : "s",
                 took, last->why[0] ? last->why : attempt_result_text(last->result),
                 hardy_reason_text(step->reason));
    }
}

static bool refused_here(const hardy_step *step) {
    return step->status == HARDY_E_OPEN || step->status == HARDY_E_LIMITED ||
           step->status == HARDY_E_FULL || step->status == HARDY_E_CANCELLED;
}

/* The guard gave up and the client has been told nothing yet. */
static void answer_failure(struct call *c, const hardy_step *step) {
    char text[400];
    explain(c, step, text, sizeof text);
    bool unknown = step->status == HARDY_E_IN_DOUBT ||
                   (step->status == HARDY_E_FAILED && step->reason == HARDY_REASON_NOT_REPEATABLE);
    /* Of other services, and of what is not repeated, the last answer itself is the best
     * description. */
    if ((c->up->protocol == UPSTREAM_HTTP || unknown) && c->whole && c->status > 0) {
        answer_held(c);
        c->record->outcome = c->status < 500 ? REQUEST_CALLER : REQUEST_PROVIDER;
        str_copy(c->record->reason, sizeof c->record->reason, text);
        return;
    }
    struct refusal refusal = refusal_for_now(c->up->protocol, step->retry_after, text);
    if (unknown) {
        /* Clients of an API of models know which of its calls may be repeated. */
        refusal = (struct refusal){.status = 502,
                                   .trouble = TROUBLE_UPSTREAM,
                                   .in_doubt = c->up->protocol != UPSTREAM_HTTP,
                                   .text = text};
    }
    answer_refuse(
        c, refused_here(step) || c->record->attempts == 0 ? REQUEST_POLICY : REQUEST_PROVIDER,
        &refusal);
}

void call_report(struct call *c, const struct verdict *verdict) {
    if (verdict->outcome.kind == HARDY_THROTTLED && verdict->outcome.retry_after > 0) {
        int64_t after = verdict->outcome.retry_after;
        /* Who is asked to stay away for longer may be alone in that. */
        after = after < HARDY_MINUTE ? after : HARDY_MINUTE;
        learned_hold(upstream_learned(c->up, c->credential), now(c), time_add(now(c), after));
    }
    call_forget_cost(c);
    if (c->drive) {
        drive_report(c->drive, c->attempt, &verdict->outcome);
    }
}

/* --- the guard's callbacks -------------------------------------------------------------------- */

static void on_call(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline) {
    struct call *c = ctx;
    (void)deadline; /* kept by the guard, which asks for the stop */
    c->drive = d;
    int64_t from = loop_clock(c->g->loop);
    wait_ends(c, "calling");
    if (c->record->begun == 0) {
        c->record->begun = now(c);
    }
    try_start(c, attempt);
    c->record->overhead += loop_clock(c->g->loop) - from;
}

static void on_stop(void *ctx, struct drive *d, uint32_t attempt) {
    struct call *c = ctx;
    (void)d, (void)attempt;
    if (c->left) {
        try_stop(c, ATTEMPT_CANCELLED, "the client has left");
    } else if (c->g->draining && now(c) >= c->g->drain_end) {
        try_stop(c, ATTEMPT_CANCELLED, "hardy is shutting down");
    } else {
        const struct http_facts *facts = c->http ? http_call_facts(c->http) : NULL;
        char why[80];
        snprintf(why, sizeof why, "%s%s", c->begun ? "silent for too long" : "no content in time",
                 facts && facts->phase == HTTP_PHASE_CONNECT ? ": not connected" : "");
        try_stop(c, ATTEMPT_TIMEOUT, why);
    }
}

static void on_waiting(void *ctx, struct drive *d, const hardy_step *step) {
    struct call *c = ctx;
    if (step->reason == HARDY_REASON_RUNNING) {
        return;
    }
    wait_begins(c, hardy_reason_text(step->reason));
    if (c->g->draining && !c->begun) {
        drive_cancel(d); /* there will be no other attempt */
    }
}

static void on_result(void *ctx, struct drive *d, const hardy_step *step) {
    struct call *c = ctx;
    (void)d;
    if (c->request && !c->begun) {
        answer_failure(c, step);
    }
}

static void on_done(void *ctx, struct drive *d) {
    struct call *c = ctx;
    (void)d;
    c->drive = NULL;
    if (c->request) { /* an answer that has begun is ended with its attempt; this is the net */
        answer_broken(c, "the operation is over");
    }
    end_call(c);
}

/* --- the client's callbacks ------------------------------------------------------------------- */

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct call *c = ctx;
    c->left = true;
    c->request = NULL;
    if (!try_has_all(c) || reason == CLOSE_TIMEOUT) { /* else it has taken all there is */
        c->record->outcome = REQUEST_CANCELLED;
        snprintf(c->record->reason, sizeof c->record->reason, "the client left: %s",
                 close_reason_text(reason));
    }
    if (c->drive) {
        drive_cancel(c->drive);
    }
    if (c->http) {
        try_stop(c, ATTEMPT_CANCELLED, "the client has left");
    }
    if (!c->drive) {
        end_call(c);
    }
    /* Last: attempts read the body where it lies. */
    http_respond_abort(r, CLOSE_SHUTDOWN, "the client has left");
}

static void on_drained(void *ctx, struct http_request *r) {
    struct call *c = ctx;
    (void)r;
    c->last_written = now(c);
    if (c->paused && c->http) {
        c->paused = false;
        http_call_pause(c->http, false);
    }
}

/* --- waiting for the provider's limits -------------------------------------------------------- */

static void on_heartbeat(struct loop_timer *timer) {
    struct call *c = timer->ctx;
    int64_t every = c->set->settings.heartbeat;
    int64_t due = time_add(c->last_written, every);
    if (c->begun && due <= now(c)) {
        answer_heartbeat(c);
        due = time_add(now(c), every);
    } else if (!c->begun) {
        due = time_add(now(c), every);
    }
    loop_timer_start(c->g->loop, timer, due);
    call_note_pause(c);
}

void call_note_pause(struct call *c) {
    if (c->paused && c->drive) {
        drive_report_progress(c->drive, c->attempt, HARDY_BYTES);
        loop_timer_start_by(c->g->loop, &c->timer,
                            time_add(now(c), c->up->guard->timeout_idle / 2));
    }
}

static void start_operation(struct call *c) {
    static const struct drive_events events = {.call = on_call,
                                               .stop = on_stop,
                                               .waiting = on_waiting,
                                               .result = on_result,
                                               .done = on_done};
    hardy_op_options o;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_op_options_init(&o, sizeof o);
    o.deadline = c->deadline;
    o.repeatable = c->idempotent || c->record->protocol != PROTOCOL_PLAIN;
    o.deadline_until_content = true;
    o.low_priority = c->low;
    /* A model that is asked for a whole answer says nothing until it has it: minutes, often. It is
     * not given up for that, and paid a second time; the deadline bounds it. */
    o.content_at_end = c->record->protocol != PROTOCOL_PLAIN && !c->record->stream;
    loop_timer_init(&c->timer, on_heartbeat, c);
    loop_timer_start(c->g->loop, &c->timer, time_add(now(c), c->set->settings.heartbeat));
    if (drive_start(c->g->loop, c->up->guard->guard, &o, &events, c, &c->drive, &error) !=
        HARDY_OK) {
        struct refusal refusal =
            refusal_for_now(c->up->protocol, -1, "hardy: no memory for this request");
        answer_refuse(c, REQUEST_GATEWAY, &refusal);
        end_call(c);
    }
}

static void queue_for_limits(struct call *c);

static void on_let_through(struct loop_timer *timer) {
    struct call *c = timer->ctx;
    struct learned *l = upstream_learned(c->up, c->credential);
    if (!c->charged || l->held_until > now(c)) { /* one that went before was refused meanwhile */
        call_forget_cost(c);
        queue_for_limits(c);
    } else {
        start_operation(c);
    }
}

/* The guard's `rate.tokens`, as learned limits are: whoever comes goes when anything is left, and
 * what it costs beyond that is a debt. */
static bool pay_tokens(struct call *c, int64_t latest, int64_t *at) {
    const struct upstream_guard *guard = c->up->guard;
    double cost = c->cost.of[LEARNED_TOKENS];
    hardy_priority priority = c->low ? HARDY_PRIORITY_LOW : HARDY_PRIORITY_HIGH;
    *at = now(c);
    if (!guard->limits_tokens || cost <= 0 || c->paid) {
        return true;
    }
    if (gcra_reserve(guard->token_words, &guard->tokens, 1, priority, now(c), latest, at, NULL) !=
        HARDY_OK) {
        return false;
    }
    gcra_settle(guard->token_words, &guard->tokens, 1, cost, now(c));
    c->paid = true;
    return true;
}

static void queue_for_limits(struct call *c) {
    int64_t at, learned_at;
    struct learned *l = upstream_learned(c->up, c->credential);
    int64_t latest = c->up->guard->tokens_reject ? now(c) : c->deadline;
    bool goes = pay_tokens(c, latest, &at);
    const char *whose = goes ? "that it told" : "set for it";
    if (goes) {
        latest = c->deadline;
        goes = learned_reserve(l, &c->cost, c->low, now(c), latest, &learned_at);
        at = goes && at > learned_at ? at : learned_at;
    }
    /* Low priority reserves nothing ahead, and looks again. */
    bool again = !goes && c->low && at > now(c) && at <= latest;
    if (!goes && !again) {
        char text[200];
        snprintf(text, sizeof text,
                 "hardy: the limits of %s %s are used up for longer than this request may wait",
                 c->record->upstream, whose);
        struct refusal refusal =
            refusal_for_now(c->up->protocol, at == HARDY_NEVER ? -1 : at - now(c), text);
        answer_refuse(c, REQUEST_POLICY, &refusal);
        end_call(c);
        return;
    }
    c->charged = goes;
    if (at <= now(c)) {
        start_operation(c);
    } else {
        wait_begins(c, "waiting for limits");
        loop_timer_init(&c->timer, on_let_through, c);
        loop_timer_start(c->g->loop, &c->timer, at);
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* The upstream's target: its own path, then the rest of the request's; a doubled /v1 is folded, for
 * clients differ in whether their base URL has it. */
static bool make_target(struct call *c, const char *rest, const char *query) {
    const char *base = c->up->settings->url.target;
    size_t len = strlen(base);
    len -= len > 0 && base[len - 1] == '/';
    bool versioned = len >= 3 && strncmp(base + len - 3, "/v1", 3) == 0;
    if (versioned && strncmp(rest, "/v1", 3) == 0 && (rest[3] == '/' || rest[3] == '\0')) {
        rest += 3;
    }
    c->url.tls = c->up->settings->url.tls;
    c->url.authority = c->up->settings->url.authority;
    c->url.target = str_format("%.*s%s%s%s", (int)len, base, rest[0] || len > 0 ? rest : "/",
                               query[0] ? "?" : "", query);
    return c->url.target != NULL;
}

static bool is_one_of(const char *name, const char *const *list) {
    for (; *list; list++) {
        if (strcasecmp(name, *list) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_credential(const char *name) {
    static const char *const names[] = {"authorization", "x-api-key", NULL};
    return is_one_of(name, names);
}

/* Everything as it came, but what belongs to this connection, to hardy, or is replaced. */
static bool make_headers(struct call *c, const struct http_headers *from) {
    static const char *const dropped[] = {"host", "expect", "proxy-authorization", NULL};
    const char *key = c->up->settings->key;
    http_headers_init(&c->headers, HEADER_COUNT_MAX, HEADERS_MAX);
    bool whole = true;
    for (size_t i = 0; i < from->count; i++) {
        const char *name = http_headers_name_at(from, i);
        const char *value = http_headers_value_at(from, i);
        bool drop = http_is_framing(name) || is_one_of(name, dropped) ||
                    strncasecmp(name, "x-hardy-", 8) == 0 || (key && is_credential(name)) ||
                    client_of_header(c->set, name, value) ||
                    (c->ask_identity && strcasecmp(name, "accept-encoding") == 0) ||
                    http_headers_has_token(from, "connection", name);
        if (!drop) {
            whole = whole && http_headers_add(&c->headers, name, value) == HARDY_OK;
        }
    }
    if (c->ask_identity) {
        whole = whole && http_headers_add(&c->headers, "accept-encoding", "identity") == HARDY_OK;
    }
    if (key && c->up->protocol == UPSTREAM_ANTHROPIC) {
        whole = whole && http_headers_add(&c->headers, "x-api-key", key) == HARDY_OK;
    } else if (key) {
        char *bearer = str_format("Bearer %s", key);
        whole =
            whole && bearer && http_headers_add(&c->headers, "authorization", bearer) == HARDY_OK;
        free(bearer);
    }
    return whole;
}

/* Of what the upstream is shown, for its limits are that one's. FNV-1a: not to be guessed from
 * outside is the seed's work, and nothing secret hangs on it. */
static uint64_t hash_credential(const struct gateway *g, const struct http_headers *h) {
    uint64_t hash = g->seed;
    for (size_t i = 0; i < h->count; i++) {
        if (is_credential(http_headers_name_at(h, i))) {
            for (const char *p = http_headers_value_at(h, i); *p; p++) {
                hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
            }
        }
    }
    return hash;
}

/* Seconds, as the SDKs say when they give up; 0 = not said. */
static int64_t client_limit(const struct http_headers *h) {
    const char *text = http_headers_get(h, "x-stainless-timeout");
    double seconds;
    if (!text || parse_number(text, 0.001, 1e6, &seconds, NULL) != HARDY_OK) {
        return 0;
    }
    int64_t limit = time_scale(HARDY_SECOND, seconds);
    int64_t margin = limit / 20;
    return limit - (margin < CLIENT_MARGIN ? margin : CLIENT_MARGIN);
}

/* False: `why` says what is wrong with a header of the client's. */
static bool read_wishes(struct call *c, const struct http_headers *h, char *why, size_t size) {
    const char *timeout = http_headers_get(h, "x-hardy-timeout");
    const char *priority = http_headers_get(h, "x-hardy-priority");
    int64_t limit = client_limit(h), own;
    c->deadline = time_add(c->record->arrived, c->up->guard->deadline);
    if (limit > 0 && time_add(c->record->arrived, limit) < c->deadline) {
        c->deadline = time_add(c->record->arrived, limit);
    }
    if (timeout) {
        if (parse_duration(timeout, &own, NULL) != HARDY_OK || own <= 0) {
            snprintf(why, size,
                     "hardy: X-Hardy-Timeout: a duration such as 30s is expected, not "
                     "\"%.40s\"",
                     timeout);
            return false;
        }
        if (time_add(c->record->arrived, own) < c->deadline) {
            c->deadline = time_add(c->record->arrived, own);
        }
    }
    c->low = c->up->guard->low_priority;
    if (priority) {
        if (strcasecmp(priority, "low") != 0 && strcasecmp(priority, "high") != 0) {
            snprintf(why, size, "hardy: X-Hardy-Priority: high or low is expected, not \"%.40s\"",
                     priority);
            return false;
        }
        c->low = strcasecmp(priority, "low") == 0;
    }
    return true;
}

static void describe(struct call *c, const struct http_request *request, const char *rest,
                     const char *client) {
    struct request_record *r = c->record;
    const struct http_headers *h = http_request_headers(request);
    struct request_facts facts;
    make_request_id(c->g, r->id);
    str_copy(r->upstream, sizeof r->upstream, c->up->settings->name);
    str_copy(r->guard, sizeof r->guard, c->up->guard->name);
    str_copy(r->client, sizeof r->client, client);
    str_copy(r->method, sizeof r->method, http_request_method(request));
    str_copy(r->path, sizeof r->path, rest[0] ? rest : "/");
    r->protocol = protocol_of(c->up->protocol, r->method, rest);
    r->speaks = c->up->protocol;
    r->wall = loop_wall(c->g->loop);
    r->arrived = now(c);
    r->bytes_in = c->body_len;
    usage_init(&r->usage);
    const char *encoding = http_headers_get(h, "content-encoding");
    bool readable = !encoding || strcasecmp(encoding, "identity") == 0;
    protocol_read_request(r->protocol, readable ? c->body : "", readable ? c->body_len : 0, &facts);
    r->stream = facts.stream;
    str_copy(r->model, sizeof r->model, facts.model);
    const char *session = http_headers_get(h, "x-hardy-session");
    session = session ? session : http_headers_get(h, "x-claude-code-session-id");
    str_copy(r->session, sizeof r->session, session ? session : facts.session);
    str_make_printable(r->path);
    str_make_printable(r->session);
    c->ask_identity = r->protocol != PROTOCOL_PLAIN && (facts.stream || !readable);
    c->idempotent = http_is_idempotent(r->method) || http_headers_get(h, "idempotency-key") != NULL;
    learned_estimate(c->body_len, facts.max_tokens, &c->cost);
    if (r->protocol == PROTOCOL_PLAIN) {
        c->cost.of[LEARNED_TOKENS] = c->cost.of[LEARNED_INPUT] = c->cost.of[LEARNED_OUTPUT] = 0;
    }
}

void call_take(struct gateway *g, const struct upstream *u, const char *rest, const char *client,
               struct http_request *request) {
    static const struct http_request_events events = {.gone = on_gone, .drained = on_drained};
    int64_t from = loop_clock(g->loop);
    struct call *c = calloc(1, sizeof *c);
    struct request_record *r = calloc(1, sizeof *r);
    char why[200] = "hardy: no memory for this request";
    if (!c || !r) {
        struct refusal refusal = refusal_for_now(u->protocol, -1, why);
        free(c);
        free(r);
        refuse_request(g, u->protocol, request, &refusal);
        return;
    }
    c->g = g;
    c->up = u;
    c->set = upstream_set_hold(g->set);
    c->record = r;
    c->request = request;
    c->body = http_request_body(request, &c->body_len);
    http_headers_init(&c->answer, HEADER_COUNT_MAX, HEADERS_MAX);
    buf_init(&c->held, SIZE_MAX / 2); /* what bounds it depends on the answer: see attempt.c */
    loop_timer_init(&c->timer, on_heartbeat, c);
    list_append(&g->calls, &c->link);
    g->active++;
    describe(c, request, rest, client);
    http_request_read(request, &events, c);
    bool good = read_wishes(c, http_request_headers(request), why, sizeof why);
    bool made = good && make_target(c, rest, http_request_query(request)) &&
                make_headers(c, http_request_headers(request));
    if (!made) {
        struct refusal refusal = {.status = good ? 503 : 400,
                                  .trouble = good ? TROUBLE_OVERLOADED : TROUBLE_INVALID,
                                  .passing = good,
                                  .after = -1,
                                  .text = why};
        answer_refuse(c, good ? REQUEST_GATEWAY : REQUEST_CALLER, &refusal);
        end_call(c);
        return;
    }
    c->credential = hash_credential(g, &c->headers);
    r->overhead = loop_clock(g->loop) - from;
    queue_for_limits(c);
}

/* --- all calls -------------------------------------------------------------------------------- */

static void refuse_waiting(struct call *c) {
    if (c->drive) {
        drive_cancel(c->drive);
        return;
    }
    struct refusal refusal =
        refusal_for_now(c->up->protocol, HARDY_SECOND, "hardy is shutting down");
    answer_refuse(c, REQUEST_POLICY, &refusal);
    end_call(c);
}

static void for_each(struct gateway *g, void (*fn)(struct call *c)) {
    struct list *next;
    for (struct list *at = g->calls.next; at != &g->calls; at = next) {
        next = at->next;
        fn(LIST_ITEM(at, struct call, link));
    }
}

static void refuse_if_waiting(struct call *c) {
    if (c->waits && !c->begun) {
        refuse_waiting(c);
    }
}

void calls_refuse_waiting(struct gateway *g) {
    for_each(g, refuse_if_waiting);
}

void calls_end(struct gateway *g) {
    for_each(g, refuse_waiting);
}

void calls_active_to_json(const struct gateway *g, struct json_out *j) {
    json_out_array(j);
    for (const struct list *at = g->calls.next; at != &g->calls; at = at->next) {
        const struct call *c = LIST_ITEM(at, struct call, link);
        request_record_to_json(c->record, false, loop_now(g->loop), j);
    }
    json_out_array_end(j);
}

const struct request_record *calls_find(const struct gateway *g, const char *id) {
    for (const struct list *at = g->calls.next; at != &g->calls; at = at->next) {
        const struct call *c = LIST_ITEM(at, struct call, link);
        if (str_eq(c->record->id, id)) {
            return c->record;
        }
    }
    return NULL;
}
