/* SPDX-License-Identifier: Apache-2.0 */
/* What the APIs of OpenAI have in common: errors, headers, the list of models. */
#include "chaos/reply.h"
#include <stdio.h>

static const char *error_type(int status) {
    return status == 429 ? "requests" : status < 500 ? "invalid_request_error" : "server_error";
}

static const char *error_code(int status) {
    return status == 401 ? "invalid_api_key" : status == 429 ? "rate_limit_exceeded" : NULL;
}

static void put_error(const struct failure *f, const char *request_id, struct buf *out) {
    struct json_out j;
    (void)request_id;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "error");
    json_out_object(&j);
    json_out_member_string(&j, "message", f->message);
    json_out_member_string(&j, "type", f->type ? f->type : error_type(f->status));
    json_out_member_string(&j, "param", f->param);
    json_out_member_string(&j, "code", f->code || f->type ? f->code : error_code(f->status));
    json_out_object_end(&j);
    json_out_object_end(&j);
}

/* "12ms", "59s", "6m0s": rounded up, so that whoever waits so long has waited long enough. */
static void format_reset(int64_t span, char *out, size_t size) {
    int64_t ms = span > 0 ? (span + HARDY_MILLISECOND - 1) / HARDY_MILLISECOND : 0;
    int64_t seconds = (ms + 999) / 1000;
    if (ms < 1000) {
        snprintf(out, size, "%lldms", (long long)ms);
    } else if (seconds < 60) {
        snprintf(out, size, "%llds", (long long)seconds);
    } else if (seconds < 3600) {
        snprintf(out, size, "%lldm%llds", (long long)(seconds / 60), (long long)(seconds % 60));
    } else {
        snprintf(out, size, "%lldh%lldm%llds", (long long)(seconds / 3600),
                 (long long)(seconds / 60 % 60), (long long)(seconds % 60));
    }
}

static void put_headers(const struct meter *m, const char *request_id, int64_t took,
                        struct http_headers *out) {
    char reset[48];
    format_reset(m->reset - m->wall, reset, sizeof reset);
    (void)http_headers_add(out, "x-request-id", request_id);
    (void)http_headers_add(out, "openai-version", "2020-10-01");
    header_number(out, "openai-processing-ms", (uint64_t)(took / HARDY_MILLISECOND));
    header_number(out, "x-ratelimit-limit-requests", m->requests_limit);
    header_number(out, "x-ratelimit-remaining-requests", m->requests_left);
    (void)http_headers_add(out, "x-ratelimit-reset-requests", reset);
    header_number(out, "x-ratelimit-limit-tokens", m->input_limit + m->output_limit);
    header_number(out, "x-ratelimit-remaining-tokens", m->input_left + m->output_left);
    (void)http_headers_add(out, "x-ratelimit-reset-tokens", reset);
}

static void put_models(struct buf *out) {
    buf_puts(out, "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-chaos\",\"object\":\"model\","
                  "\"created\":1767225600,\"owned_by\":\"hardy\"}]}");
}

const struct dialect openai_dialect = {.overloaded = 503,
                                       .put_error = put_error,
                                       .put_headers = put_headers,
                                       .put_models = put_models,
                                       .error_type = error_type};
