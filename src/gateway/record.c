/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/record.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *request_outcome_text(enum request_outcome o) {
    static const char *const texts[] = {
#define X(name, text) text,
        REQUEST_OUTCOMES(X)
#undef X
    };
    return texts[o];
}

struct attempt_record *record_attempt(struct request_record *r, uint32_t attempt) {
    return &r->tries[(attempt > 0 ? attempt - 1 : 0) % RECORD_ATTEMPTS];
}

/* --- the ring --------------------------------------------------------------------------------- */

bool records_init(struct records *r, size_t max) {
    *r = (struct records){.max = max};
    r->ring = calloc(max, sizeof *r->ring);
    return r->ring != NULL;
}

void records_free(struct records *r) {
    for (size_t i = 0; i < r->count; i++) {
        free(r->ring[i]);
    }
    free(r->ring);
    *r = (struct records){0};
}

void records_resize(struct records *r, size_t max) {
    if (max == r->max) {
        return;
    }
    struct request_record **ring = calloc(max, sizeof *ring);
    if (!ring) {
        return;
    }
    size_t kept = r->count < max ? r->count : max;
    for (size_t i = 0; i < r->count; i++) { /* from the newest */
        size_t at = (r->next + r->max - 1 - i) % r->max;
        if (i < kept) {
            ring[kept - 1 - i] = r->ring[at];
        } else {
            free(r->ring[at]);
        }
    }
    free(r->ring);
    r->ring = ring;
    r->max = max;
    r->count = kept;
    r->next = kept % max;
}

void records_add(struct records *r, struct request_record *record) {
    if (r->count == r->max) {
        free(r->ring[r->next]);
    } else {
        r->count++;
    }
    r->ring[r->next] = record;
    r->next = (r->next + 1) % r->max;
    struct record_follower *next;
    for (struct record_follower *f = r->followers; f; f = next) {
        next = f->next; /* it may unfollow while it is told */
        f->fn(f->ctx, record);
    }
}

const struct request_record *records_at(const struct records *r, size_t i) {
    return i < r->count ? r->ring[(r->next + r->max - 1 - i) % r->max] : NULL;
}

const struct request_record *records_find(const struct records *r, const char *id) {
    for (size_t i = 0; i < r->count; i++) {
        if (str_eq(r->ring[i]->id, id)) {
            return r->ring[i];
        }
    }
    return NULL;
}

void records_follow(struct records *r, struct record_follower *follower) {
    follower->next = r->followers;
    r->followers = follower;
}

void records_unfollow(struct records *r, struct record_follower *follower) {
    for (struct record_follower **at = &r->followers; *at; at = &(*at)->next) {
        if (*at == follower) {
            *at = follower->next;
            return;
        }
    }
}

/* --- as JSON ---------------------------------------------------------------------------------- */

static void put_text(struct json_out *j, const char *key, const char *text) {
    if (text[0]) {
        json_out_key(j, key);
        json_out_string(j, text);
    }
}

static void put_count(struct json_out *j, const char *key, int64_t count) {
    if (count >= 0) {
        json_out_key(j, key);
        json_out_int(j, count);
    }
}

/* Milliseconds with three decimals; a span that has no end or no beginning is left out. */
static void put_span(struct json_out *j, const char *key, int64_t from, int64_t to) {
    if (from > 0 && to >= from) {
        json_out_key(j, key);
        json_out_double(j, (double)((to - from) / HARDY_MICROSECOND) / 1000);
    }
}

static void attempt_to_json(const struct request_record *r, const struct attempt_record *a,
                            uint32_t number, struct json_out *j) {
    json_out_object(j);
    put_count(j, "attempt", number);
    json_out_key(j, "result");
    json_out_string(j, a->ended > 0 ? attempt_result_text(a->result) : "running");
    put_count(j, "status", a->status > 0 ? a->status : -1);
    put_span(j, "started_ms", r->arrived, a->started);
    put_span(j, "connect_ms", a->started, a->connected);
    put_span(j, "first_byte_ms", a->started, a->first_byte);
    put_span(j, "took_ms", a->started, a->ended);
    put_span(j, "retry_after_ms", 1, a->retry_after > 0 ? 1 + a->retry_after : 0);
    put_text(j, "why", a->why);
    json_out_object_end(j);
}

void request_record_to_json(const struct request_record *r, bool details, int64_t now,
                            struct json_out *j) {
    char wall[32];
    clock_format_wall(r->wall, wall);
    json_out_object(j);
    put_text(j, "id", r->id);
    put_text(j, "at", wall);
    json_out_key(j, "outcome");
    json_out_string(j, r->ended > 0 ? request_outcome_text(r->outcome) : "running");
    if (r->ended == 0 && r->phase) {
        put_text(j, "phase", r->phase);
    }
    put_count(j, "status", r->status > 0 ? r->status : -1);
    put_text(j, "upstream", r->upstream);
    put_text(j, "guard", r->guard);
    put_text(j, "client", r->client);
    put_text(j, "protocol", protocol_text(r->protocol));
    put_text(j, "method", r->method);
    put_text(j, "path", r->path);
    put_text(j, "model", r->model);
    put_text(j, "session", r->session);
    json_out_key(j, "stream");
    json_out_bool(j, r->stream);
    put_count(j, "attempts", r->attempts);
    put_span(j, "took_ms", r->arrived, r->ended > 0 ? r->ended : now);
    put_span(j, "waited_ms", 1, 1 + r->waited);
    put_span(j, "first_content_ms", r->arrived, r->content);
    json_out_key(j, "overhead_us");
    json_out_int(j, r->overhead / HARDY_MICROSECOND);
    put_count(j, "bytes_in", (int64_t)r->bytes_in);
    put_count(j, "bytes_out", (int64_t)r->bytes_out);
    put_count(j, "input_tokens", usage_input_total(&r->usage));
    put_count(j, "cache_read_tokens", r->usage.cache_read);
    put_count(j, "output_tokens", r->usage.output);
    put_text(j, "reason", r->reason);
    if (details) {
        json_out_key(j, "tries");
        json_out_array(j);
        uint32_t first = r->attempts > RECORD_ATTEMPTS ? r->attempts - RECORD_ATTEMPTS + 1 : 1;
        for (uint32_t n = first; n <= r->attempts; n++) {
            attempt_to_json(r, &r->tries[(n - 1) % RECORD_ATTEMPTS], n, j);
        }
        json_out_array_end(j);
    }
    json_out_object_end(j);
}

void record_log(const struct request_record *r) {
    char status[16], attempts[16], took[32], content[32] = "-", waited[32], overhead[32];
    char in[32], out[32];
    if (!log_enabled(HARDY_LOG_INFO)) {
        return;
    }
    snprintf(status, sizeof status, "%d", r->status);
    snprintf(attempts, sizeof attempts, "%u", r->attempts);
    snprintf(took, sizeof took, "%lld", (long long)((r->ended - r->arrived) / HARDY_MILLISECOND));
    snprintf(waited, sizeof waited, "%lld", (long long)(r->waited / HARDY_MILLISECOND));
    snprintf(overhead, sizeof overhead, "%lld", (long long)(r->overhead / HARDY_MICROSECOND));
    if (r->content > 0) {
        snprintf(content, sizeof content, "%lld",
                 (long long)((r->content - r->arrived) / HARDY_MILLISECOND));
    }
    snprintf(in, sizeof in, "%lld", (long long)usage_input_total(&r->usage));
    snprintf(out, sizeof out, "%lld", (long long)r->usage.output);
    log_event(HARDY_LOG_INFO, "request", "id", r->id, "outcome", request_outcome_text(r->outcome),
              "status", status, "upstream", r->upstream, "method", r->method, "path", r->path,
              "model", r->model[0] ? r->model : "-", "stream", r->stream ? "true" : "false",
              "attempts", attempts, "took_ms", took, "waited_ms", waited, "first_content_ms",
              content, "overhead_us", overhead, "input_tokens", in, "output_tokens", out,
              r->reason[0] ? "reason" : NULL, r->reason, NULL);
}
