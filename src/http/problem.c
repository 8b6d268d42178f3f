/* SPDX-License-Identifier: Apache-2.0 */
#include "http/problem.h"
#include "base/json.h"

#define PROBLEM_MAX (64 * 1024)

bool http_problem_write(struct buf *out, int status, const char *type, const char *title,
                        const char *detail) {
    struct json_out json;
    json_out_init(&json, out, 0);
    json_out_object(&json);
    if (type) {
        json_out_key(&json, "type");
        json_out_string(&json, type);
    }
    json_out_key(&json, "title");
    json_out_string(&json, title ? title : http_status_text(status));
    json_out_key(&json, "status");
    json_out_int(&json, status);
    if (detail) {
        json_out_key(&json, "detail");
        json_out_string(&json, detail);
    }
    json_out_object_end(&json);
    return !out->failed;
}

void http_problem(struct http_request *r, int status, const struct http_headers *headers,
                  const char *type, const char *title, const char *detail) {
    struct buf body;
    buf_init(&body, PROBLEM_MAX);
    if (!http_problem_write(&body, status, type, title, detail)) {
        buf_reset(&body); /* too long or no memory: the status still tells */
    }
    http_respond(r, status, headers, body.len > 0 ? "application/problem+json" : NULL,
                 body.len > 0 ? body.data : "", body.len);
    buf_free(&body);
}
