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
#include "daemon/body.h"
#include "daemon/inside.h"
#include "durable/action.h"
#include "http/problem.h"
#include "work/resolve.h"
#include <stdlib.h>
#include <string.h>

#define ACTIONS "/api/v1/actions/"
#define LIST_DEFAULT 100
#define LIST_MOST 1000

/* One request on its way through the store. */
struct asked {
    struct daemon *daemon;
    struct http_request *request;
    char key[ACTION_KEY_MAX * 3 + 1];
    struct body body;
    struct action_request question;
    struct action action;
    struct change change;
    struct change_run run;
};

static void asked_free(struct asked *a) {
    struct daemon *d = a->daemon;
    action_free(&a->action);
    body_free(&a->body);
    free(a);
    daemon_state_end(d);
}

/* NULL: answered. */
static struct asked *asked_new(struct daemon *d, struct http_request *r) {
    struct asked *a = calloc(1, sizeof *a);
    if (!a) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        return NULL;
    }
    a->daemon = d;
    a->request = r;
    record_init(&a->action.record);
    daemon_state_begin(d);
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
    admin_answer_with(a->request, started ? 201 : 200, &headers, "application/json", &text);
    http_headers_free(&headers);
    buf_free(&text);
}

static void on_changed(struct change_run *run, hardy_status status, const hardy_error *error) {
    struct asked *a = run->ctx;
    if (run->undecided) {
        daemon_state_failed(a->request, status, error);
    } else if (status == HARDY_OK) {
        answer_action(a);
    } else {
        daemon_state_refused(a->request, status, error);
    }
    asked_free(a);
}

static void ask_store(struct asked *a, struct store *store) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    a->question.now = daemon_state_now(a->daemon);
    hardy_status status = action_init(&a->action, &a->question, &error);
    if (status != HARDY_OK) {
        daemon_state_refused(a->request, status, &error);
        asked_free(a);
        return;
    }
    a->change = (struct change){ACTION_ROW, a->question.key, action_decide, &a->action};
    change_start(&a->run, a->daemon->loop, store, &a->change, on_changed, a);
}

/* --- begin ------------------------------------------------------------------------------------ */

static bool read_begin(struct asked *a) {
    static const char *const known[] = {"key",   "name", "owner",    "claim",
                                        "lease", "ttl",  "in_doubt", NULL};
    static const char *const policies[] = {"ask", "rerun", "fail", NULL};
    static const enum in_doubt_policy meant[] = {IN_DOUBT_ASK, IN_DOUBT_RERUN, IN_DOUBT_FAIL};
    struct http_request *r = a->request;
    struct action_request *q = &a->question;
    const struct body *b = &a->body;
    int policy = 0;
    *q = (struct action_request){.verb = ACTION_BEGIN,
                                 .scope = "action",
                                 .owner = http_request_peer(r),
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
    if (!body_whole(a->request, &a->body, "fence", &a->question.fence)) {
        return false;
    }
    if (a->question.fence < 0) {
        http_problem(a->request, 400, NULL, NULL, NULL,
                     "fence is missing: the number that the begin has answered");
        return false;
    }
    return true;
}

static bool read_renew(struct asked *a) {
    static const char *const known[] = {"fence", "lease", NULL};
    a->question.verb = ACTION_RENEW;
    a->question.lease = ACTION_LEASE_DEFAULT;
    return body_read(a->request, NULL, known, &a->body) && read_fence(a) &&
           body_span(a->request, &a->body, "lease", &a->question.lease);
}

static bool read_complete(struct asked *a) {
    static const char *const known[] = {"fence", NULL};
    a->question.verb = ACTION_COMPLETE;
    if (!body_read(a->request, "result", known, &a->body) || !read_fence(a)) {
        return false;
    }
    a->question.result = a->body.large;
    return true;
}

static bool read_fail(struct asked *a) {
    static const char *const known[] = {"fence", "detail", "retryable", NULL};
    a->question.verb = ACTION_FAIL;
    return body_read(a->request, NULL, known, &a->body) && read_fence(a) &&
           body_text(a->request, &a->body, "detail", &a->question.detail) &&
           body_flag(a->request, &a->body, "retryable", &a->question.retryable);
}

/* --- resolve ---------------------------------------------------------------------------------- */

static void on_resolved(void *ctx, hardy_status status, const struct record *record,
                        const hardy_error *error) {
    struct asked *a = ctx;
    struct buf text;
    struct json_out j;
    if (status == HARDY_OK) {
        buf_init(&text, API_TEXT_MAX);
        json_out_init(&j, &text, 0);
        record_to_json(record, &j);
        buf_putc(&text, '\n');
        admin_answer(a->request, 200, "application/json", &text);
        buf_free(&text);
    } else if (status == HARDY_E_FENCED) {
        daemon_state_refused(a->request, status, error);
    } else {
        daemon_state_failed(a->request, status, error);
    }
    asked_free(a);
}

static void resolve(struct asked *a, struct store *store) {
    static const char *const known[] = {"as", "by", NULL};
    static const char *const ways[] = {"done", "retry", "fail", NULL};
    static const enum resolve_how meant[] = {RESOLVE_DONE, RESOLVE_RETRY, RESOLVE_FAIL};
    struct daemon *d = a->daemon;
    struct record found;
    int way = -1;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct resolution how = {.key = a->key, .who = "the admin API"};
    if (!body_read(a->request, "result", known, &a->body) ||
        !body_text(a->request, &a->body, "by", &how.who) ||
        !body_word(a->request, &a->body, "as", ways, &way)) {
        asked_free(a);
        return;
    }
    if (way < 0 || (a->body.large && meant[way] != RESOLVE_DONE)) {
        http_problem(a->request, 400, NULL, NULL, NULL,
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
        daemon_state_refused(a->request, status, &error);
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

void actions_answer_one(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct store *store;
    struct record record;
    char key[ACTION_KEY_MAX * 3 + 1];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const char *path = http_request_path(r) + strlen(ACTIONS);
    if (!admin_may_read(d, r) || !(store = daemon_state_store(d, r)) ||
        !daemon_state_path_key(r, path, strlen(path), key, sizeof key)) {
        return;
    }
    hardy_status status = action_find(store, key, &record, &error);
    if (status != HARDY_OK) {
        daemon_state_refused(r, status, &error);
        return;
    }
    struct buf text;
    struct json_out j;
    const struct moment now = daemon_state_now(d);
    action_look(&record, &now);
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "id", record.key);
    record_members_to_json(&record, record_state_text(record.state), &j);
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
    record_free(&record);
}

/* A list reads many rows: that is done beside the loop. */
struct listing {
    struct daemon *daemon;
    struct http_request *request;
    struct loop_work work;
    struct store *store;
    struct moment now;
    int64_t limit;
    const char *kind;
    char after[STORE_KEY_MAX + 1];
    struct buf text;
    struct json_out j;
    hardy_status status;
    hardy_error error;
};

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct record record;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (record_decode(row, &record, &why) != HARDY_OK) {
        l->status = fail(&l->error, HARDY_E_CORRUPT, NULL, "%s", why.message);
        return false;
    }
    action_look(&record, &l->now);
    /* What it gave is told one by one: a list of large ones would fit nowhere. */
    free(record.output);
    free(record.params);
    record.output = record.params = NULL;
    json_out_object(&l->j);
    json_out_member_string(&l->j, "id", record.key);
    record_members_to_json(&record, record_state_text(record.state), &l->j);
    json_out_object_end(&l->j);
    record_free(&record);
    return true;
}

static void list_rows(struct loop_work *work) {
    struct listing *l = work->ctx;
    json_out_object(&l->j);
    json_out_key(&l->j, "actions");
    json_out_array(&l->j);
    hardy_status status = store_scan(l->store, l->kind, "", l->after[0] ? l->after : NULL,
                                     (size_t)l->limit, list_one, l, &l->error);
    l->status = l->status == HARDY_OK ? status : l->status;
    json_out_array_end(&l->j);
    json_out_object_end(&l->j);
    buf_putc(&l->text, '\n');
}

static void on_listed(struct loop_work *work) {
    struct listing *l = work->ctx;
    struct daemon *d = l->daemon;
    if (l->status == HARDY_OK) {
        admin_answer(l->request, 200, "application/json", &l->text);
    } else {
        daemon_state_refused(l->request, l->status, &l->error);
    }
    buf_free(&l->text);
    free(l);
    daemon_state_end(d);
}

/* ?n=, ?after= (the last id of the list before) and ?kind=; false: answered. */
static bool read_range(struct listing *l) {
    struct buf text;
    hardy_error error;
    const char *query = http_request_query(l->request);
    hardy_error_init(&error, sizeof error);
    buf_init(&text, sizeof l->after - 1);
    if (http_query_get(query, "n", &text) &&
        parse_integer(text.data ? text.data : "", 1, LIST_MOST, &l->limit, &error) != HARDY_OK) {
        error_prefix(&error, "n");
    }
    buf_reset(&text);
    if (http_query_get(query, "after", &text)) {
        str_copy(l->after, sizeof l->after, text.data ? text.data : "");
    }
    buf_reset(&text);
    l->kind = action_kinds[0];
    if (http_query_get(query, "kind", &text) && !str_eq(text.data, l->kind)) {
        l->kind = action_kinds[1];
        if (!str_eq(text.data, l->kind)) {
            fail(&error, HARDY_E_INVALID, NULL, "kind: expected %s or %s", action_kinds[0],
                 action_kinds[1]);
        }
    }
    buf_free(&text);
    if (error.status != HARDY_OK) {
        http_problem(l->request, 400, NULL, NULL, NULL, error.message);
    }
    return error.status == HARDY_OK;
}

void actions_answer_list(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct store *store;
    if (!admin_may_read(d, r) || !(store = daemon_state_store(d, r))) {
        return;
    }
    struct listing *l = calloc(1, sizeof *l);
    if (!l) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        return;
    }
    l->daemon = d;
    l->request = r;
    l->store = store;
    l->now = daemon_state_now(d);
    l->limit = LIST_DEFAULT;
    l->work = (struct loop_work){.fn = list_rows, .done = on_listed, .ctx = l};
    hardy_error_init(&l->error, sizeof l->error);
    buf_init(&l->text, API_TEXT_MAX);
    json_out_init(&l->j, &l->text, 0);
    if (!read_range(l)) {
        free(l);
        return;
    }
    daemon_state_begin(d);
    if (loop_work(d->loop, &l->work) != HARDY_OK) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        free(l);
        daemon_state_end(d);
    }
}
