/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/checkpoints/ID: one JSON value under an id. Its version is its ETag, so that If-Match and
 * If-None-Match: * mean what they mean everywhere.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "durable/checkpoint.h"
#include "http/problem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINTS "/api/v1/checkpoints/"
#define TAG_SIZE 24
#define KEY_SIZE (CHECKPOINT_ID_MAX * 3 + 1)

struct writing { /* one request on its way through the store */
    struct store_call call;
    char id[KEY_SIZE];
    char *value; /* a copy: the store may still need it when the request is answered */
    struct checkpoint_request question;
    struct checkpoint checkpoint;
    struct change change;
    struct change_run run;
};

static bool read_id(struct http_request *r, char id[KEY_SIZE]) {
    const char *path = http_request_path(r) + strlen(CHECKPOINTS);
    return daemon_state_path_key(r, path, strlen(path), id, KEY_SIZE);
}

static void tag_of(int64_t version, char out[TAG_SIZE]) {
    snprintf(out, TAG_SIZE, "\"%lld\"", (long long)version);
}

static void answer_tagged(struct http_request *r, int status, int64_t version, const char *body,
                          size_t len) {
    struct http_headers headers;
    char tag[TAG_SIZE];
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    tag_of(version, tag);
    (void)http_headers_add(&headers, "etag", tag);
    (void)http_headers_add(&headers, "cache-control", "no-store");
    http_respond(r, status, &headers, "application/json", body, len);
    http_headers_free(&headers);
}

/* --- reading ---------------------------------------------------------------------------------- */

void checkpoints_answer(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct store *store;
    struct store_row row;
    char id[KEY_SIZE], tag[TAG_SIZE];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!admin_may_read(d, r) || !(store = daemon_state_store(d, r)) || !read_id(r, id)) {
        return;
    }
    hardy_status status = checkpoint_get(store, id, loop_wall(d->loop), &row, &error);
    if (status != HARDY_OK) {
        daemon_state_refused(r, status, &error);
        return;
    }
    tag_of(row.fence, tag);
    if (http_headers_has_token(http_request_headers(r), "if-none-match", tag)) {
        answer_tagged(r, 304, row.fence, "", 0);
    } else {
        answer_tagged(r, 200, row.fence, row.value, row.len);
    }
    store_row_free(&row);
}

/* --- conditions ------------------------------------------------------------------------------- */

/* "123" with its quotes. */
static bool read_tag(const char *text, int64_t *out) {
    char digits[TAG_SIZE];
    size_t len = strlen(text);
    if (len < 3 || len >= sizeof digits || text[0] != '"' || text[len - 1] != '"') {
        return false;
    }
    memcpy(digits, text + 1, len - 2);
    digits[len - 2] = '\0';
    return parse_integer(digits, 0, INT64_MAX, out, NULL) == HARDY_OK;
}

/* False: answered. A tag that was never ours is one that does not fit. */
static bool read_condition(struct http_request *r, int64_t *out) {
    const struct http_headers *h = http_request_headers(r);
    const char *match = http_headers_get(h, "if-match");
    const char *none = http_headers_get(h, "if-none-match");
    *out = CHECKPOINT_ANY;
    if (none && !str_eq(none, "*")) {
        http_problem(r, 400, NULL, NULL, NULL, "if-none-match: only * is understood for a write");
        return false;
    }
    if ((match && none) || http_headers_count(h, "if-match") > 1 || (match && strchr(match, ','))) {
        http_problem(r, 400, NULL, NULL, NULL, "one condition is understood, with one tag");
        return false;
    }
    if (none) {
        *out = CHECKPOINT_NEW;
    } else if (str_eq(match, "*")) {
        *out = CHECKPOINT_THERE;
    } else if (match && !read_tag(match, out)) {
        http_problem(r, 412, NULL, "other-version", NULL,
                     "if-match: is no tag that this checkpoint has ever had, which are numbers in "
                     "double quotes");
        return false;
    }
    return true;
}

static bool read_ttl(struct http_request *r, int64_t *out) {
    struct buf text;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    *out = HARDY_NEVER;
    buf_init(&text, 64);
    bool good = !http_query_get(http_request_query(r), "ttl", &text) ||
                parse_duration(text.data ? text.data : "", out, &error) == HARDY_OK;
    buf_free(&text);
    if (!good) {
        error_prefix(&error, "ttl");
        http_problem(r, 400, NULL, NULL, NULL, error.message);
    }
    return good;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void writing_free(struct writing *w) {
    store_call_end(&w->call);
    free(w->value);
    free(w);
}

static void answer_written(const struct writing *w) {
    const struct checkpoint *c = &w->checkpoint;
    struct buf text;
    struct json_out j;
    if (w->question.verb == CHECKPOINT_DELETE) {
        http_respond(w->call.request, 204, NULL, NULL, "", 0);
        return;
    }
    buf_init(&text, 4096);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_member_string(&j, "id", w->id);
    json_out_key(&j, "version");
    json_out_int(&j, c->version);
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    answer_tagged(w->call.request, c->created ? 201 : 200, c->version, text.data, text.len);
    buf_free(&text);
}

/* What is there instead is told, for who wants to go on from it. */
static void answer_other(const struct writing *w, const hardy_error *error) {
    struct http_headers headers;
    char tag[TAG_SIZE];
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    if (w->checkpoint.version >= 0) {
        tag_of(w->checkpoint.version, tag);
        (void)http_headers_add(&headers, "etag", tag);
    }
    http_problem(w->call.request, 412, &headers, "other-version", NULL, error->message);
    http_headers_free(&headers);
}

static void on_written(struct change_run *run, hardy_status status, const hardy_error *error) {
    struct writing *w = run->ctx;
    if (!w->call.request) {
        writing_free(w); /* answered already */
        return;
    }
    if (run->undecided) {
        daemon_state_failed(w->call.request, status, error);
    } else if (status == HARDY_OK) {
        answer_written(w);
    } else if (status == HARDY_E_FENCED || status == HARDY_E_EXISTS) {
        answer_other(w, error);
    } else {
        daemon_state_refused(w->call.request, status, error);
    }
    writing_free(w);
}

static void change_checkpoint(struct daemon *d, struct http_request *r, enum checkpoint_verb verb) {
    struct store *store;
    hardy_error error;
    size_t len;
    hardy_error_init(&error, sizeof error);
    if (!admin_may_write(d, r) || !(store = daemon_state_store(d, r))) {
        return;
    }
    struct writing *w = calloc(1, sizeof *w);
    if (!w) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        return;
    }
    struct checkpoint_request *q = &w->question;
    store_call_begin(&w->call, d, r);
    *q = (struct checkpoint_request){.verb = verb, .id = w->id, .wall = loop_wall(d->loop)};
    if (!read_id(r, w->id) || !read_condition(r, &q->if_version) || !read_ttl(r, &q->ttl)) {
        writing_free(w);
        return;
    }
    const char *body = http_request_body(r, &len);
    q->value = w->value = str_ndup(body ? body : "", body ? len : 0);
    if (!w->value) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        writing_free(w);
        return;
    }
    hardy_status status = strlen(w->value) == len || verb == CHECKPOINT_DELETE
                              ? checkpoint_init(&w->checkpoint, q, &error)
                              : fail(&error, HARDY_E_SYNTAX, NULL, "JSON: a NUL byte");
    if (status != HARDY_OK) {
        daemon_state_refused(r, status, &error);
        writing_free(w);
        return;
    }
    w->change = (struct change){CHECKPOINT_ROW, w->id, checkpoint_decide, &w->checkpoint};
    change_start(&w->run, d->loop, store, &w->change, on_written, w);
}

void checkpoints_put(void *ctx, struct http_request *r) {
    change_checkpoint(ctx, r, CHECKPOINT_PUT);
}

void checkpoints_delete(void *ctx, struct http_request *r) {
    change_checkpoint(ctx, r, CHECKPOINT_DELETE);
}
