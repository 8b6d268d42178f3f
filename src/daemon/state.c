/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's state: the words that guards share, and the store of actions and checkpoints. When
 * it cannot be used, the traffic of the gateway goes on all the same, unless the configuration says
 * otherwise; whoever asks for what needs it is told.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "durable/folder.h"
#include "http/problem.h"
#include "io/file.h"
#include "work/retain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_PROBLEM "state-unavailable"
#define CALL_LIMIT (5 * HARDY_SECOND)

/* --- opening ---------------------------------------------------------------------------------- */

static hardy_status open_store(struct daemon *d, hardy_error *error) {
    const struct store_options options = {
        .path = d->options.state, .create = true, .purpose = "serve"};
    hardy_status status = d->options.state ? steps_check(d->options.state, error) : HARDY_OK;
    return status == HARDY_OK ? store_open(&options, &d->store, error) : status;
}

/* Without it a state only grows; it is no reason not to serve. */
static void start_retention(struct daemon *d) {
    struct retain_settings settings;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (retain_settings_read(d->config, &settings, &why) == HARDY_OK && !settings.off) {
        d->retainer = retain_start(d->store, d->options.state, &settings, &why);
    }
    if (why.status != HARDY_OK) {
        log_event(HARDY_LOG_WARNING, "finished runs are not removed", "why", why.message, NULL);
    }
}

static char *told(const hardy_error *why) {
    return str_format("%s%s%s", why->where, why->where[0] ? ": " : "", why->message);
}

static hardy_status refuse(hardy_status status, const hardy_error *why, hardy_error *error) {
    return fail(error, status == HARDY_E_NOT_FOUND ? HARDY_E_IO : status, why->where,
                "%s (on_state_error: refuse)", why->message);
}

hardy_status daemon_state_open(struct daemon *d, enum on_state_error then, hardy_error *error) {
    const struct daemon_options *o = &d->options;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = HARDY_OK;
    file_boot_id(d->boot);
    d->state_needed = then == STATE_ERROR_REFUSE;
    if (!o->state && o->state_problem) {
        status = fail(&why, HARDY_E_NOT_FOUND, "state", "%s", o->state_problem);
    } else if (o->state) {
        status = file_make_parent(o->state, &why);
        status = status == HARDY_OK ? host_open(o->state, true, &d->host, &why) : status;
    }
    if (status != HARDY_OK) {
        if (then == STATE_ERROR_REFUSE) {
            return refuse(status, &why, error);
        }
        d->state_problem = told(&why);
        d->store_problem = told(&why);
        log_event(HARDY_LOG_WARNING, "guards are not shared with other processes", "state",
                  o->state ? o->state : "-", "why", d->state_problem, NULL);
        return HARDY_OK;
    }
    if (o->companion) {
        d->store_problem = str_dup("hardy wrap serves its command only; run hardy serve for this");
        return HARDY_OK;
    }
    status = open_store(d, &why);
    if (status == HARDY_OK) {
        start_retention(d);
    }
    if (status != HARDY_OK && then == STATE_ERROR_REFUSE) {
        return refuse(status, &why, error);
    }
    if (status != HARDY_OK) {
        d->store = NULL;
        d->store_problem = told(&why);
        log_event(HARDY_LOG_WARNING, "no actions and no checkpoints are served", "state",
                  o->state ? o->state : "-", "why", d->store_problem, NULL);
    }
    return HARDY_OK;
}

void daemon_state_close(struct daemon *d) {
    retain_stop(d->retainer);
    if (d->store) {
        store_close(d->store);
    }
    host_close(d->host);
    free(d->state_problem);
    free(d->store_problem);
}

/* --- for handlers ----------------------------------------------------------------------------- */

struct store *daemon_state_store(struct daemon *d, struct http_request *r) {
    char detail[700];
    if (!d->store) {
        snprintf(detail, sizeof detail, "the state cannot be used: %s",
                 d->store_problem ? d->store_problem : "no memory");
        http_problem(r, 503, NULL, STATE_PROBLEM, NULL, detail);
    }
    return d->store;
}

static void on_limit(struct loop_timer *timer) {
    struct store_call *c = timer->ctx;
    struct http_request *r = c->request;
    struct http_headers headers;
    c->request = NULL;
    if (!r) {
        return;
    }
    log_event(HARDY_LOG_WARNING, "the state keeps a request waiting", "path", http_request_path(r),
              NULL);
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    (void)http_headers_add(&headers, "retry-after", "1");
    http_problem(r, 503, &headers, STATE_PROBLEM, NULL,
                 "the state is busy: another process keeps it from being written; what was asked "
                 "for may still be done");
    http_headers_free(&headers);
}

void store_call_begin(struct store_call *c, struct daemon *d, struct http_request *r) {
    *c = (struct store_call){.daemon = d, .request = r};
    d->store_calls++;
    loop_timer_init(&c->limit, on_limit, c);
    loop_timer_start(d->loop, &c->limit, time_add(loop_now(d->loop), CALL_LIMIT));
}

void store_call_end(struct store_call *c) {
    struct daemon *d = c->daemon;
    loop_timer_stop(d->loop, &c->limit);
    d->store_calls--;
    daemon_calmed(d);
}

struct moment daemon_state_now(struct daemon *d) {
    struct moment now = {.monotonic = loop_now(d->loop), .wall = loop_wall(d->loop)};
    str_copy(now.boot, sizeof now.boot, d->boot);
    return now;
}

/* Seconds for retry-after, rounded up; the finer header besides. */
static void add_wait(struct http_headers *headers, int64_t span) {
    char text[24];
    snprintf(text, sizeof text, "%lld",
             (long long)(span / HARDY_SECOND + (span % HARDY_SECOND != 0)));
    (void)http_headers_add(headers, "retry-after", text);
    snprintf(text, sizeof text, "%lld", (long long)(span / HARDY_MILLISECOND + 1));
    (void)http_headers_add(headers, "retry-after-ms", text);
}

static void answer_failure(struct http_request *r, int code, const char *type, int64_t wait,
                           const char *before, const hardy_error *error) {
    struct http_headers headers;
    char detail[700];
    bool placed = error->where[0] != '\0';
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    if (wait > 0) {
        add_wait(&headers, wait);
    }
    snprintf(detail, sizeof detail, "%s%s%s%s", before, placed ? error->where : "",
             placed ? ": " : "", error->message);
    http_problem(r, code, &headers, type, NULL, detail);
    http_headers_free(&headers);
}

/* Full, busy or on its way out: passing. Else it has failed. */
void daemon_state_failed(struct http_request *r, hardy_status status, const hardy_error *error) {
    bool passing = hardy_status_class_of(status) == HARDY_CLASS_RETRY || status == HARDY_E_FULL ||
                   status == HARDY_E_DEADLINE || status == HARDY_E_CLOSED;
    log_event(HARDY_LOG_WARNING, "the state was not written", "status", hardy_status_name(status),
              "why", error->message, NULL);
    answer_failure(
        r, 503, STATE_PROBLEM, passing ? HARDY_SECOND : 0,
        status == HARDY_E_NOSPACE ? "the state is full: " : "the state has failed: ", error);
}

void daemon_state_refused(struct http_request *r, hardy_status status, const hardy_error *error) {
    static const struct {
        hardy_status status;
        int code;
        const char *type;
    } answers[] = {
        {HARDY_E_INVALID, 400, NULL},      {HARDY_E_SYNTAX, 400, NULL},
        {HARDY_E_TOO_LARGE, 413, NULL},    {HARDY_E_NOT_FOUND, 404, NULL},
        {HARDY_E_RUNNING, 409, "running"}, {HARDY_E_IN_DOUBT, 409, "in-doubt"},
        {HARDY_E_FAILED, 409, "failed"},   {HARDY_E_MISMATCH, 422, "other-parameters"},
        {HARDY_E_FENCED, 409, "fenced"},   {HARDY_E_CLOSED, 409, "ended"},
        {HARDY_E_EXISTS, 409, "answered"}, {HARDY_E_EXHAUSTED, 503, "busy"},
        {HARDY_E_NOMEM, 503, NULL},
    };
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (answers[i].status == status) {
            int64_t wait = error->retry_after > 0   ? error->retry_after
                           : answers[i].code == 503 ? HARDY_SECOND
                                                    : 0;
            answer_failure(r, answers[i].code, answers[i].type, wait, "", error);
            return;
        }
    }
    daemon_state_failed(r, status, error);
}

bool daemon_state_path_key(struct http_request *r, const char *text, size_t len, char *out,
                           size_t size) {
    struct buf key;
    buf_init(&key, size - 1);
    bool good = http_path_decode(text, len, &key) && key.len > 0;
    if (good) {
        str_copy(out, size, key.data);
    } else {
        http_problem(r, key.full ? 404 : 400, NULL, NULL, NULL,
                     key.full ? "nothing has so long a name"
                              : "the path does not end in a name, percent-encoded");
    }
    buf_free(&key);
    return good;
}
