/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/requests: those that ended lately and those that run, one with its attempts, and a stream
 * of those that end. */
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "http/problem.h"
#include <stdlib.h>
#include <string.h>

#define LIST_DEFAULT 50
#define LIST_MOST 10000
#define FOLLOWERS_MAX 32
#define FOLLOW_UNSENT ((size_t)1 << 20) /* who reads no faster is left behind */
#define LINE_MAX_BYTES ((size_t)64 << 10)
#define LINES_TYPE "application/x-ndjson"

/* --- the stream ------------------------------------------------------------------------------- */

struct follower {
    struct list link;
    struct daemon *d;
    struct http_request *request;
    struct record_follower follow;
};

static void forget(struct follower *f) {
    records_unfollow(gateway_records(f->d->gateway), &f->follow);
    list_remove(&f->link);
    f->d->follower_count--;
    free(f);
}

/* False: it does not read. */
static bool send_record(struct follower *f, const struct request_record *record) {
    struct buf line;
    struct json_out j;
    buf_init(&line, LINE_MAX_BYTES);
    json_out_init(&j, &line, 0);
    request_record_to_json(record, false, loop_now(f->d->loop), &j);
    buf_putc(&line, '\n');
    bool reads = !line.failed && http_respond_data(f->request, line.data, line.len) &&
                 http_respond_unsent(f->request) <= FOLLOW_UNSENT;
    buf_free(&line);
    return reads;
}

static void on_record(void *ctx, const struct request_record *record) {
    struct follower *f = ctx;
    if (!send_record(f, record)) {
        struct http_request *r = f->request;
        forget(f);
        http_respond_abort(r, CLOSE_TOO_LARGE, "who follows the requests does not read them");
    }
}

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    forget(ctx);
    http_respond_abort(r, reason, "who followed the requests has left");
}

static void follow(struct daemon *d, struct http_request *r, size_t past) {
    static const struct http_request_events events = {.gone = on_gone};
    struct follower *f =
        d->follower_count < FOLLOWERS_MAX && !d->draining ? calloc(1, sizeof *f) : NULL;
    if (!f) {
        http_problem(r, 503, NULL, NULL, NULL,
                     d->draining ? "hardy is shutting down"
                                 : "too many follow the requests already");
        return;
    }
    f->d = d;
    f->request = r;
    f->follow = (struct record_follower){.fn = on_record, .ctx = f};
    list_append(&d->followers, &f->link);
    d->follower_count++;
    struct records *records = gateway_records(d->gateway);
    records_follow(records, &f->follow);
    http_request_read(r, &events, f);
    http_respond_begin(r, 200, NULL, LINES_TYPE, -1);
    for (size_t i = past; i-- > 0;) {
        const struct request_record *record = records_at(records, i);
        if (record && !send_record(f, record)) {
            break; /* the next one that ends finds the same */
        }
    }
}

void requests_end_followers(struct daemon *d) {
    while (!list_empty(&d->followers)) {
        struct follower *f = LIST_ITEM(d->followers.next, struct follower, link);
        struct http_request *r = f->request;
        forget(f);
        http_respond_end(r);
    }
}

/* --- lists ------------------------------------------------------------------------------------ */

/* The number ?n= asks for; false: answered, it is none. */
static bool read_count(struct http_request *r, size_t absent, size_t *out) {
    struct buf text;
    int64_t count = (int64_t)absent;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, 64);
    bool good = !http_query_get(http_request_query(r), "n", &text) ||
                parse_integer(text.data ? text.data : "", 0, LIST_MOST, &count, &error) == HARDY_OK;
    buf_free(&text);
    if (!good) {
        error_prefix(&error, "n");
        http_problem(r, 400, NULL, NULL, NULL, error.message);
    }
    *out = (size_t)count;
    return good;
}

static bool wants_stream(const struct http_request *r) {
    struct buf text;
    buf_init(&text, 64);
    bool asked = http_query_get(http_request_query(r), "follow", &text) &&
                 !str_eq(text.data, "0") && !str_eq(text.data, "false");
    buf_free(&text);
    return asked && !str_eq(http_request_method(r), "HEAD");
}

void requests_answer_list(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct buf text;
    struct json_out j;
    size_t count;
    bool stream = wants_stream(r);
    if (!admin_may_read(d, r) || !read_count(r, stream ? 0 : LIST_DEFAULT, &count)) {
        return;
    }
    if (stream) {
        follow(d, r, count);
        return;
    }
    struct records *records = gateway_records(d->gateway);
    const struct request_record *record;
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_key(&j, "running");
    gateway_active_to_json(d->gateway, &j);
    json_out_key(&j, "requests");
    json_out_array(&j);
    for (size_t i = 0; i < count && (record = records_at(records, i)) != NULL; i++) {
        request_record_to_json(record, false, loop_now(d->loop), &j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
}

void requests_answer_one(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    if (!admin_may_read(d, r)) {
        return;
    }
    const char *id = http_request_path(r) + strlen("/api/v1/requests/");
    const struct request_record *record = gateway_find_active(d->gateway, id);
    if (!record) {
        record = records_find(gateway_records(d->gateway), id);
    }
    if (!record) {
        http_problem(r, 404, NULL, NULL, NULL,
                     "no request has this id: it is unknown, or too old to be kept "
                     "(gateway.keep_requests)");
        return;
    }
    struct buf text;
    struct json_out j;
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    request_record_to_json(record, true, loop_now(d->loop), &j);
    buf_putc(&text, '\n');
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
}
