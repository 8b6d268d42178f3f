/* SPDX-License-Identifier: Apache-2.0 */
/* The Messages API of Anthropic. */
#include "base/clock.h"
#include "chaos/reply.h"

/* --- what all answers have ------------------------------------------------------------------ */

static const char *error_type(int status) {
    static const struct {
        int status;
        const char *type;
    } types[] = {{400, "invalid_request_error"}, {401, "authentication_error"},
                 {402, "billing_error"},         {403, "permission_error"},
                 {404, "not_found_error"},       {409, "conflict_error"},
                 {413, "request_too_large"},     {429, "rate_limit_error"},
                 {504, "timeout_error"},         {529, "overloaded_error"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].status == status) {
            return types[i].type;
        }
    }
    return status < 500 ? "invalid_request_error" : "api_error";
}

static void put_error_members(struct json_out *j, const struct failure *f, const char *request_id) {
    json_out_member_string(j, "type", "error");
    json_out_key(j, "error");
    json_out_object(j);
    json_out_member_string(j, "type", f->type ? f->type : error_type(f->status));
    json_out_member_string(j, "message", f->message);
    if (f->code) {
        json_out_key(j, "details");
        json_out_object(j);
        json_out_member_string(j, "error_code", f->code);
        json_out_object_end(j);
    }
    json_out_object_end(j);
    json_out_member_string(j, "request_id", request_id);
}

static void put_error(const struct failure *f, const char *request_id, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    put_error_members(&j, f, request_id);
    json_out_object_end(&j);
}

static void put_headers(const struct meter *m, const char *request_id, int64_t took,
                        struct http_headers *out) {
    char moment[32];
    /* In whole seconds, as the real ones are; a part of one counts as one. */
    clock_format_wall((m->reset + HARDY_SECOND - 1) / HARDY_SECOND * HARDY_SECOND, moment);
    moment[19] = 'Z';
    moment[20] = '\0';
    (void)took;
    (void)http_headers_add(out, "request-id", request_id);
    (void)http_headers_add(out, "anthropic-organization-id",
                           "00000000-0000-4000-8000-00000000c4a0");
#define LIMIT(name, limit, left)                                                                   \
    header_number(out, "anthropic-ratelimit-" name "-limit", limit);                               \
    header_number(out, "anthropic-ratelimit-" name "-remaining", left);                            \
    (void)http_headers_add(out, "anthropic-ratelimit-" name "-reset", moment)
    LIMIT("requests", m->requests_limit, m->requests_left);
    LIMIT("input-tokens", m->input_limit, m->input_left);
    LIMIT("output-tokens", m->output_limit, m->output_left);
    LIMIT("tokens", m->input_limit + m->output_limit, m->input_left + m->output_left);
#undef LIMIT
}

static void put_models(struct buf *out) {
    buf_puts(out, "{\"data\":[{\"type\":\"model\",\"id\":\"claude-chaos\",\"display_name\":"
                  "\"Claude Chaos\",\"created_at\":\"2026-01-01T00:00:00Z\"}],\"has_more\":false,"
                  "\"first_id\":\"claude-chaos\",\"last_id\":\"claude-chaos\"}");
}

const struct dialect anthropic_dialect = {.overloaded = 529,
                                          .put_error = put_error,
                                          .put_headers = put_headers,
                                          .put_models = put_models,
                                          .error_type = error_type};

/* --- an answer ------------------------------------------------------------------------------ */

static void put_usage(const struct reply *r, uint64_t output_tokens, struct json_out *j) {
    json_out_key(j, "usage");
    json_out_object(j);
    json_out_member_count(j, "input_tokens", r->ask->input_tokens);
    json_out_member_count(j, "cache_creation_input_tokens", 0);
    json_out_member_count(j, "cache_read_input_tokens", 0);
    json_out_member_count(j, "output_tokens", output_tokens);
    json_out_object_end(j);
}

/* `whole`: with its content; else as it is when it begins. */
static void put_message(const struct reply *r, bool whole, struct json_out *j) {
    json_out_member_string(j, "id", r->id);
    json_out_member_string(j, "type", "message");
    json_out_member_string(j, "role", "assistant");
    json_out_member_string(j, "model", r->ask->model);
    json_out_key(j, "content");
    json_out_array(j);
    if (whole) {
        json_out_object(j);
        json_out_member_string(j, "type", r->ask->tool ? "tool_use" : "text");
        if (r->ask->tool) {
            json_out_member_string(j, "id", r->call);
            json_out_member_string(j, "name", r->ask->tool);
            json_out_key(j, "input");
            json_out_raw(j, r->ask->arguments);
        } else {
            json_out_member_string(j, "text", r->pieces.text.data);
        }
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_member_string(j, "stop_reason",
                           !whole         ? NULL
                           : r->ask->tool ? "tool_use"
                                          : "end_turn");
    json_out_member_string(j, "stop_sequence", NULL);
    put_usage(r, whole ? r->output_tokens : 1, j);
}

static void put_document(const struct reply *r, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    put_message(r, true, &j);
    json_out_object_end(&j);
}

static void begin(struct json_out *j, const char *type, struct buf *out) {
    event_begin(j, type, out);
    json_out_member_string(j, "type", type);
}

static void put_lead(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    if (i == 0) {
        begin(&j, "message_start", out);
        json_out_key(&j, "message");
        json_out_object(&j);
        put_message(r, false, &j);
        json_out_object_end(&j);
    } else if (i == 1) {
        begin(&j, "content_block_start", out);
        json_out_member_count(&j, "index", 0);
        json_out_key(&j, "content_block");
        json_out_object(&j);
        json_out_member_string(&j, "type", r->ask->tool ? "tool_use" : "text");
        if (r->ask->tool) {
            json_out_member_string(&j, "id", r->call);
            json_out_member_string(&j, "name", r->ask->tool);
            json_out_key(&j, "input");
            json_out_raw(&j, "{}");
        } else {
            json_out_member_string(&j, "text", "");
        }
        json_out_object_end(&j);
    } else {
        begin(&j, "ping", out);
    }
    event_end(&j);
}

static void put_piece(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    size_t len;
    const char *piece = pieces_at(&r->pieces, i, &len);
    begin(&j, "content_block_delta", out);
    json_out_member_count(&j, "index", 0);
    json_out_key(&j, "delta");
    json_out_object(&j);
    json_out_member_string(&j, "type", r->ask->tool ? "input_json_delta" : "text_delta");
    json_out_key(&j, r->ask->tool ? "partial_json" : "text");
    json_out_stringn(&j, piece, len);
    json_out_object_end(&j);
    event_end(&j);
}

static void put_tail(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    if (i == 0) {
        begin(&j, "content_block_stop", out);
        json_out_member_count(&j, "index", 0);
    } else if (i == 1) {
        begin(&j, "message_delta", out);
        json_out_key(&j, "delta");
        json_out_object(&j);
        json_out_member_string(&j, "stop_reason", r->ask->tool ? "tool_use" : "end_turn");
        json_out_member_string(&j, "stop_sequence", NULL);
        json_out_object_end(&j);
        put_usage(r, r->output_tokens, &j);
    } else {
        begin(&j, "message_stop", out);
    }
    event_end(&j);
}

static void put_error_event(const struct reply *r, const struct failure *f, uint32_t i,
                            struct buf *out) {
    struct json_out j;
    (void)i;
    event_begin(&j, "error", out);
    put_error_members(&j, f, r->request_id);
    event_end(&j);
}

const struct format messages_format = {.dialect = &anthropic_dialect,
                                       .shape = ASK_MESSAGES,
                                       .id = "msg_01",
                                       .item = "block_",
                                       .tool_item = "block_",
                                       .empty_piece = true,
                                       .call = "toolu_01",
                                       .lead_text = 3,
                                       .tail_text = 3,
                                       .lead_tool = 3,
                                       .tail_tool = 3,
                                       .put_lead = put_lead,
                                       .put_piece = put_piece,
                                       .put_tail = put_tail,
                                       .put_error = put_error_event,
                                       .put_document = put_document};
