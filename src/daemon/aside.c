/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/aside.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "http/problem.h"
#include <stdlib.h>
#include <string.h>

static void on_work(struct loop_work *work) {
    struct aside *a = work->ctx;
    a->make(a);
    buf_putc(&a->text, '\n');
}

void aside_free(struct aside *a) {
    store_call_end(&a->call);
    if (a->has_body) {
        body_free(&a->body);
    }
    buf_free(&a->text);
    free(a);
}

static void on_made(struct loop_work *work) {
    struct aside *a = work->ctx;
    if (!a->call.request) {
        aside_free(a); /* answered already */
        return;
    }
    if (a->status == HARDY_OK) {
        admin_answer(a->call.request, 200, "application/json", &a->text);
    } else {
        daemon_state_refused(a->call.request, a->status, &a->error);
    }
    aside_free(a);
}

/* NULL: answered. */
static struct aside *aside_new(struct daemon *d, struct http_request *r, bool change,
                               void (*make)(struct aside *a)) {
    struct store *store;
    bool may = change ? admin_may_write(d, r) : admin_may_read(d, r);
    if (!may || !(store = daemon_state_store(d, r))) {
        return NULL;
    }
    struct aside *a = calloc(1, sizeof *a);
    if (!a) {
        http_problem(r, 503, NULL, NULL, NULL, "no memory");
        return NULL;
    }
    *a = (struct aside){.store = store,
                        .now = daemon_state_now(d),
                        .limit = ASIDE_LIST_DEFAULT,
                        .make = make,
                        .work = {.fn = on_work, .done = on_made, .ctx = a}};
    hardy_error_init(&a->error, sizeof a->error);
    buf_init(&a->text, API_TEXT_MAX);
    json_out_init(&a->j, &a->text, 0);
    store_call_begin(&a->call, d, r);
    return a;
}

void aside_start(struct aside *a) {
    if (loop_work(a->call.daemon->loop, &a->work) != HARDY_OK) {
        http_problem(a->call.request, 503, NULL, NULL, NULL, "no memory");
        aside_free(a);
    }
}

struct aside *aside_change(struct daemon *d, struct http_request *r, const char *path, size_t len,
                           void (*make)(struct aside *a)) {
    struct aside *a = aside_new(d, r, true, make);
    if (a && path && !daemon_state_path_key(r, path, len, a->key, sizeof a->key)) {
        aside_free(a);
        a = NULL;
    }
    return a;
}

/* --- lists ------------------------------------------------------------------------------------ */

void aside_list(struct aside *a, const char *member,
                bool (*put)(void *aside, const struct store_row *row)) {
    json_out_object(&a->j);
    json_out_key(&a->j, member);
    json_out_array(&a->j);
    hardy_status status = store_scan(a->store, a->kind, "", a->key[0] ? a->key : NULL,
                                     (size_t)a->limit, put, a, &a->error);
    json_out_array_end(&a->j);
    json_out_object_end(&a->j);
    a->status = a->status == HARDY_OK ? status : a->status;
}

/* ?n=, ?after= (the last id of the list before) and ?kind=; false: answered. */
static bool read_range(struct aside *a, const char *const *kinds) {
    struct buf text;
    hardy_error error;
    const char *query = http_request_query(a->call.request);
    hardy_error_init(&error, sizeof error);
    buf_init(&text, sizeof a->key - 1);
    if (http_query_get(query, "n", &text) &&
        parse_integer(text.data ? text.data : "", 1, ASIDE_LIST_MOST, &a->limit, &error) !=
            HARDY_OK) {
        error_prefix(&error, "n");
    }
    buf_reset(&text);
    if (http_query_get(query, "after", &text)) {
        str_copy(a->key, sizeof a->key, text.data ? text.data : "");
    }
    buf_reset(&text);
    a->kind = kinds[0];
    if (http_query_get(query, "kind", &text)) {
        size_t i = 0;
        while (kinds[i] && !str_eq(kinds[i], text.data)) {
            i++;
        }
        a->kind = kinds[i];
    }
    if (!a->kind) {
        fail(&error, HARDY_E_INVALID, NULL, "kind: expected %s%s%s", kinds[0],
             kinds[1] ? " or " : "", kinds[1] ? kinds[1] : "");
    }
    buf_free(&text);
    if (error.status != HARDY_OK) {
        http_problem(a->call.request, 400, NULL, NULL, NULL, error.message);
    }
    return error.status == HARDY_OK;
}

void aside_answer_list(struct daemon *d, struct http_request *r, const char *const *kinds,
                       void (*make)(struct aside *a)) {
    struct aside *a = aside_new(d, r, false, make);
    if (!a) {
        return;
    }
    if (read_range(a, kinds)) {
        aside_start(a);
    } else {
        aside_free(a);
    }
}

void aside_answer_one(struct daemon *d, struct http_request *r, const char *prefix,
                      void (*make)(struct aside *a)) {
    const char *path = http_request_path(r) + strlen(prefix);
    struct aside *a = aside_new(d, r, false, make);
    if (!a) {
        return;
    }
    if (daemon_state_path_key(r, path, strlen(path), a->key, sizeof a->key)) {
        aside_start(a);
    } else {
        aside_free(a);
    }
}
