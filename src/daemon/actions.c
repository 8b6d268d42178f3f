/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/actions: programs in any language begin, renew and end what they do under a key. What is
 * decided is in durable/action.h; here requests become decisions, and decisions answers.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "daemon/aside.h"
#include "daemon/body.h"
#include "durable/action.h"
#include "http/problem.h"
#include "work/resolve.h"
#include <stdlib.h>
#include <string.h>

#define ACTIONS "/api/v1/actions/"

/* One request on its way through the store. */
struct asked {
    struct store_call call;
    char key[ACTION_KEY_MAX * 3 + 1];
    char peer[HTTP_AUTHORITY_SIZE];
    struct body body;
    struct action_request question;
    struct action action;
    struct change change;
    struct change_run run;
};

static void asked_free(struct asked *a) {
    store_call_end(&a->call);
    action_free(&a->action);
    body_free(&a->body);
    free(a);
}

/* NULL: answered. */
static struct asked *asked_new(struct daemon *d, struct http_request *r) {
    struct asked *a = calloc(1, sizeof *a);
    if (!a) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        return NULL;
    }
    record_init(&a->action.record);
    store_call_begin(&a->call, d, r);
    return a;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void put_result(const struct record *r, struct json_out *j) {
    json_out_key(j, "result");
    if (r->output && json_check(r->output, r->output_len, NULL) == HARDY_OK) {
        json_out_raw(j, r->output);
    } else if (r->output && r->output_len > 0) {
        json_out_stringn(j, r->output, r->output_len);
    } else {
        json_out_null(j);
    }
}

static void put_lease(const struct record *r, int64_t lease, struct json_out *j) {
    char text[48];
    format_duration(lease, text);
    json_out_member_string(j, "lease", text);
    json_out_key(j, "lease_ms");
    json_out_int(j, lease / HARDY_MILLISECOND);
    clock_format_wall(r->lease.wall, text);
    json_out_member_string(j, "lease_expires", text);
}

static void answer_action(const struct asked *a) {
    const struct record *r = &a->action.record;
    bool replayed = a->action.replayed;
    struct http_headers headers;
    struct buf text;
    struct json_out j;
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "id", r->key);
    json_out_member_string(&j, "name", r->name);
    json_out_member_string(&j, "state", record_state_text(r->state));
    json_out_key(&j, "fence");
    json_out_int(&j, r->ended_by ? r->ended_by : r->fence);
    json_out_key(&j, "attempt");
    json_out_int(&j, r->attempt);
    json_out_member_string(&j, "idempotency_key", r->idempotency_key);
    if (moment_is_set(&r->lease)) {
        put_lease(r, a->question.lease, &j);
    }
    if (replayed) {
        put_result(r, &j);
    }
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    if (replayed) {
        (void)http_headers_add(&headers, "idempotent-replayed", "true");
    }
    bool started = a->question.verb == ACTION_BEGIN && !replayed;
    admin_answer_with(a->call.request, started ? 201 : 200, &headers, "application/json", &text);
    http_headers_free(&headers);
    buf_free(&text);
}

static void on_changed(struct change_run *run, hardy_status status, const hardy_error *error) {
    struct asked *a = run->ctx;
    if (!a->call.request) {
        asked_free(a); /* answered already */
        return;
    }
    if (run->undecided) {
        daemon_state_failed(a->call.request, status, error);
    } else if (status == HARDY_OK) {
        answer_action(a);
    } else {
        daemon_state_refused(a->call.request, status, error);
    }
    asked_free(a);
}

static void ask_store(struct asked *a, struct store *store) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    a->question.now = daemon_state_now(a->call.daemon);
    hardy_status status = action_init(&a->action, &a->question, &error);
    if (status != HARDY_OK) {
        daemon_state_refused(a->call.request, status, &error);
        asked_free(a);
        return;
    }
    a->change = (struct change){ACTION_ROW, a->question.key, action_decide, &a->action};
    change_start(&a->run, a->call.daemon->loop, store, &a->change, on_changed, a);
}

/* --- begin ------------------------------------------------------------------------------------ */

static bool read_begin(struct asked *a) {
    static const char *const known[] = {"key",   "name", "owner",    "claim",
                                        "lease", "ttl",  "in_doubt", NULL};
    static const char *const policies[] = {"ask", "rerun", "fail", NULL};
    static const enum in_doubt_policy meant[] = {IN_DOUBT_ASK, IN_DOUBT_RERUN, IN_DOUBT_FAIL};
    struct http_request *r = a->call.request;
    struct action_request *q = &a->question;
    const struct body *b = &a->body;
    int policy = 0;
    *q = (struct action_request){.verb = ACTION_BEGIN,
                                 .scope = "action",
                                 .lease = ACTION_LEASE_DEFAULT,
                                 .ttl = ACTION_TTL_DEFAULT};
    if (!body_read(r, "params", known, &a->body)) {
        return false;
    }
    q->params = b->large;
    if (!body_text(r, b, "key", &q->key) || !body_text(r, b, "name", &q->name) ||
        !body_text(r, b, "owner", &q->owner) || !body_text(r, b, "claim", &q->claim) ||
        !body_span(r, b, "lease", &q->lease) || !body_span(r, b, "ttl", &q->ttl) ||
        !body_word(r, b, "in_doubt", policies, &policy)) {
        return false;
    }
    q->in_doubt = meant[policy];
    if (!q->owner) {
        q->owner = a->peer;
        str_copy(a->peer, sizeof a->peer, http_request_peer(r));
    }
    if (!q->key) {
        http_problem(r, 400, NULL, NULL, NULL,
                     "key is missing: the name under which this is done once");
        return false;
    }
    return true;
}

void actions_begin(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct store *store;
    struct asked *a;
    if (!admin_may_write(d, r) || !(store = daemon_state_store(d, r)) || !(a = asked_new(d, r))) {
        return;
    }
    if (read_begin(a)) {
        ask_store(a, store);
    } else {
        asked_free(a);
    }
}

/* --- what its owner says ---------------------------------------------------------------------- */

static bool read_fence(struct asked *a) {
    a->question.fence = -1;
    if (!body_whole(a->call.request, &a->body, "fence", &a->question.fence)) {
        return false;
    }
    if (a->question.fence < 0) {
        http_problem(a->call.request, 400, NULL, NULL, NULL,
                     "fence is missing: the number that the begin has answered");
        return false;
    }
    return true;
}

static bool read_renew(struct asked *a) {
    static const char *const known[] = {"fence", "lease", NULL};
    a->question.verb = ACTION_RENEW;
    a->question.lease = ACTION_LEASE_DEFAULT;
    return body_read(a->call.request, NULL, known, &a->body) && read_fence(a) &&
           body_span(a->call.request, &a->body, "lease", &a->question.lease);
}

static bool read_complete(struct asked *a) {
    static const char *const known[] = {"fence", NULL};
    a->question.verb = ACTION_COMPLETE;
    if (!body_read(a->call.request, "result", known, &a->body) || !read_fence(a)) {
        return false;
    }
    a->question.result = a->body.large;
    return true;
}

static bool read_fail(struct asked *a) {
    static const char *const known[] = {"fence", "detail", "retryable", NULL};
    a->question.verb = ACTION_FAIL;
    return body_read(a->call.request, NULL, known, &a->body) && read_fence(a) &&
           body_text(a->call.request, &a->body, "detail", &a->question.detail) &&
           body_flag(a->call.request, &a->body, "retryable", &a->question.retryable);
}

/* --- resolve ---------------------------------------------------------------------------------- */

static void on_resolved(void *ctx, hardy_status status, const struct record *record,
                        const hardy_error *error) {
    struct asked *a = ctx;
    struct buf text;
    struct json_out j;
    if (!a->call.request) {
        asked_free(a); /* answered already */
        return;
    }
    if (status == HARDY_OK) {
        buf_init(&text, API_TEXT_MAX);
        json_out_init(&j, &text, 0);
        record_to_json(record, &j);
        buf_putc(&text, '\n');
        admin_answer(a->call.request, 200, "application/json", &text);
        buf_free(&text);
    } else if (status == HARDY_E_FENCED) {
        daemon_state_refused(a->call.request, status, error);
    } else {
        daemon_state_failed(a->call.request, status, error);
    }
    asked_free(a);
}

static void resolve(struct asked *a, struct store *store) {
    static const char *const known[] = {"as", "by", NULL};
    static const char *const ways[] = {"done", "retry", "fail", NULL};
    static const enum resolve_how meant[] = {RESOLVE_DONE, RESOLVE_RETRY, RESOLVE_FAIL};
    struct daemon *d = a->call.daemon;
    struct record found;
    int way = -1;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct resolution how = {.key = a->key, .who = "the admin API"};
    if (!body_read(a->call.request, "result", known, &a->body) ||
        !body_text(a->call.request, &a->body, "by", &how.who) ||
        !body_word(a->call.request, &a->body, "as", ways, &way)) {
        asked_free(a);
        return;
    }
    if (way < 0 || (a->body.large && meant[way] != RESOLVE_DONE)) {
        http_problem(a->call.request, 400, NULL, NULL, NULL,
                     way < 0 ? "as is missing: done, retry or fail"
                             : "result goes with \"as\": \"done\"");
        asked_free(a);
        return;
    }
    how.how = meant[way];
    how.result = a->body.large;
    hardy_status status = action_find(d->store, a->key, &found, &error);
    if (status == HARDY_OK) {
        how.row_kind = str_eq(found.row_kind, action_kinds[0]) ? action_kinds[0] : action_kinds[1];
        record_free(&found);
        status =
            record_resolve_start(d->loop, store, d->options.state, &how, on_resolved, a, &error);
    }
    if (status != HARDY_OK) {
        daemon_state_refused(a->call.request, status, &error);
        asked_free(a);
    }
}

/* --- ID/VERB ---------------------------------------------------------------------------------- */

void actions_change(void *ctx, struct http_request *r) {
    static const struct {
        const char *verb;
        bool (*read)(struct asked *a); /* NULL: resolve */
    } verbs[] = {
        {"renew", read_renew}, {"complete", read_complete}, {"fail", read_fail}, {"resolve", NULL}};
    struct daemon *d = ctx;
    struct store *store;
    struct asked *a;
    if (!admin_may_write(d, r) || !(store = daemon_state_store(d, r)) || !(a = asked_new(d, r))) {
        return;
    }
    const char *path = http_request_path(r) + strlen(ACTIONS), *slash = strrchr(path, '/');
    for (size_t i = 0; slash && i < sizeof verbs / sizeof *verbs; i++) {
        if (!str_eq(slash + 1, verbs[i].verb)) {
            continue;
        }
        if (!daemon_state_path_key(r, path, (size_t)(slash - path), a->key, sizeof a->key)) {
            asked_free(a);
            return;
        }
        a->question.key = a->key;
        if (!verbs[i].read) {
            resolve(a, store);
        } else if (verbs[i].read(a)) {
            ask_store(a, store);
        } else {
            asked_free(a);
        }
        return;
    }
    http_problem(r, 404, NULL, NULL, NULL,
                 "expected " ACTIONS "ID/ and one of renew, complete, fail, resolve");
    asked_free(a);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void put_record(struct aside *a, struct record *r) {
    action_look(r, &a->now);
    json_out_object(&a->j);
    json_out_member_string(&a->j, "id", r->key);
    record_members_to_json(r, record_state_text(r->state), &a->j);
    json_out_object_end(&a->j);
}

static void make_one(struct aside *a) {
    struct record record;
    a->status = action_find(a->store, a->key, &record, &a->error);
    if (a->status == HARDY_OK) {
        put_record(a, &record);
        record_free(&record);
    }
}

/* What it gave is told one by one: a list of large ones would fit nowhere. */
static bool put_one(void *ctx, const struct store_row *row) {
    struct aside *a = ctx;
    struct record record;
    a->status = record_decode(row, &record, &a->error);
    if (a->status != HARDY_OK) {
        return false;
    }
    free(record.output);
    free(record.params);
    record.output = record.params = NULL;
    put_record(a, &record);
    record_free(&record);
    return true;
}

static void make_list(struct aside *a) {
    aside_list(a, "actions", put_one);
}

void actions_answer_list(void *ctx, struct http_request *r) {
    aside_answer_list(ctx, r, action_kinds, make_list);
}

void actions_answer_one(void *ctx, struct http_request *r) {
    aside_answer_one(ctx, r, ACTIONS, make_one);
}
