/* SPDX-License-Identifier: Apache-2.0 */
/* The Responses API of OpenAI. Each event has a name, says it again as its type, and is numbered.
 */
#include "base/str.h"
#include "chaos/reply.h"

/* --- the parts of a response ---------------------------------------------------------------- */

static void put_part(const struct reply *r, bool whole, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "type", "output_text");
    json_out_member_raw(j, "annotations", "[]");
    json_out_member_raw(j, "logprobs", "[]");
    json_out_member_string(j, "text", whole ? r->pieces.text.data : "");
    json_out_object_end(j);
}

/* The message, or the call of a tool. */
static void put_item(const struct reply *r, bool whole, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "id", r->item);
    json_out_member_string(j, "type", r->ask->tool ? "function_call" : "message");
    json_out_member_string(j, "status", whole ? "completed" : "in_progress");
    if (r->ask->tool) {
        json_out_member_string(j, "arguments", whole ? r->ask->arguments : "");
        json_out_member_string(j, "call_id", r->call);
        json_out_member_string(j, "name", r->ask->tool);
    } else {
        json_out_member_string(j, "role", "assistant");
        json_out_key(j, "content");
        json_out_array(j);
        if (whole) {
            put_part(r, true, j);
        }
        json_out_array_end(j);
    }
    json_out_object_end(j);
}

static void put_usage(const struct reply *r, struct json_out *j) {
    json_out_object(j);
    json_out_member_count(j, "input_tokens", r->ask->input_tokens);
    json_out_member_raw(j, "input_tokens_details", "{\"cached_tokens\":0}");
    json_out_member_count(j, "output_tokens", r->output_tokens);
    json_out_member_raw(j, "output_tokens_details", "{\"reasoning_tokens\":0}");
    json_out_member_count(j, "total_tokens", r->ask->input_tokens + r->output_tokens);
    json_out_object_end(j);
}

static void put_response(const struct reply *r, bool whole, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "id", r->id);
    json_out_member_string(j, "object", "response");
    json_out_member_count(j, "created_at", (uint64_t)r->created);
    json_out_member_string(j, "status", whole ? "completed" : "in_progress");
    json_out_member_raw(j, "background", "false");
    json_out_member_string(j, "error", NULL);
    json_out_member_string(j, "incomplete_details", NULL);
    json_out_member_string(j, "instructions", NULL);
    json_out_member_string(j, "max_output_tokens", NULL);
    json_out_member_string(j, "model", r->ask->model);
    json_out_key(j, "output");
    json_out_array(j);
    if (whole) {
        put_item(r, true, j);
    }
    json_out_array_end(j);
    json_out_member_raw(j, "parallel_tool_calls", "true");
    json_out_member_string(j, "previous_response_id", NULL);
    json_out_member_raw(j, "reasoning", "{\"effort\":null,\"summary\":null}");
    json_out_member_string(j, "service_tier", whole ? "default" : "auto");
    json_out_member_raw(j, "store", "false");
    json_out_member_raw(j, "temperature", "1.0");
    json_out_member_raw(j, "text", "{\"format\":{\"type\":\"text\"}}");
    json_out_member_string(j, "tool_choice", "auto");
    json_out_member_raw(j, "tools", "[]");
    json_out_member_raw(j, "top_p", "1.0");
    json_out_member_string(j, "truncation", "disabled");
    json_out_key(j, "usage");
    if (whole) {
        put_usage(r, j);
    } else {
        json_out_null(j);
    }
    json_out_member_string(j, "user", NULL);
    json_out_member_raw(j, "metadata", "{}");
    json_out_object_end(j);
}

static void put_document(const struct reply *r, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    put_response(r, true, &j);
}

/* --- events --------------------------------------------------------------------------------- */

static void begin(struct json_out *j, const char *type, uint64_t sequence, struct buf *out) {
    event_begin(j, type, out);
    json_out_member_string(j, "type", type);
    json_out_member_count(j, "sequence_number", sequence);
}

static void put_state(const struct reply *r, const char *type, uint64_t sequence, bool whole,
                      struct buf *out) {
    struct json_out j;
    begin(&j, type, sequence, out);
    json_out_key(&j, "response");
    put_response(r, whole, &j);
    event_end(&j);
}

static void put_item_event(const struct reply *r, const char *type, uint64_t sequence, bool whole,
                           struct buf *out) {
    struct json_out j;
    begin(&j, type, sequence, out);
    json_out_member_count(&j, "output_index", 0);
    json_out_key(&j, "item");
    put_item(r, whole, &j);
    event_end(&j);
}

/* The event is about the item's only content. */
static void begin_content(const struct reply *r, struct json_out *j, const char *type,
                          uint64_t sequence, struct buf *out) {
    begin(j, type, sequence, out);
    json_out_member_string(j, "item_id", r->item);
    json_out_member_count(j, "output_index", 0);
    if (!r->ask->tool) {
        json_out_member_count(j, "content_index", 0);
    }
}

static void put_part_event(const struct reply *r, const char *type, uint64_t sequence, bool whole,
                           struct buf *out) {
    struct json_out j;
    begin_content(r, &j, type, sequence, out);
    json_out_key(&j, "part");
    put_part(r, whole, &j);
    event_end(&j);
}

static void put_lead(const struct reply *r, uint32_t i, struct buf *out) {
    if (i == 0) {
        put_state(r, "response.created", i, false, out);
    } else if (i == 1) {
        put_state(r, "response.in_progress", i, false, out);
    } else if (i == 2) {
        put_item_event(r, "response.output_item.added", i, false, out);
    } else {
        put_part_event(r, "response.content_part.added", i, false, out);
    }
}

static void put_piece(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    size_t len;
    const char *piece = pieces_at(&r->pieces, i, &len);
    begin_content(r, &j,
                  r->ask->tool ? "response.function_call_arguments.delta"
                               : "response.output_text.delta",
                  r->lead + i, out);
    json_out_key(&j, "delta");
    json_out_stringn(&j, piece, len);
    if (!r->ask->tool) {
        json_out_member_raw(&j, "logprobs", "[]");
    }
    event_end(&j);
}

static void put_done(const struct reply *r, uint64_t sequence, struct buf *out) {
    struct json_out j;
    if (r->ask->tool) {
        begin_content(r, &j, "response.function_call_arguments.done", sequence, out);
        json_out_member_string(&j, "name", r->ask->tool);
        json_out_member_string(&j, "arguments", r->ask->arguments);
    } else {
        begin_content(r, &j, "response.output_text.done", sequence, out);
        json_out_member_string(&j, "text", r->pieces.text.data);
        json_out_member_raw(&j, "logprobs", "[]");
    }
    event_end(&j);
}

static void put_tail(const struct reply *r, uint32_t i, struct buf *out) {
    uint64_t sequence = (uint64_t)r->lead + r->pieces.count + i;
    uint32_t left = r->tail - i; /* the call of a tool has no part that could be done */
    if (i == 0) {
        put_done(r, sequence, out);
    } else if (left == 3) {
        put_part_event(r, "response.content_part.done", sequence, true, out);
    } else if (left == 2) {
        put_item_event(r, "response.output_item.done", sequence, true, out);
    } else {
        put_state(r, "response.completed", sequence, true, out);
    }
}

static void put_error_event(const struct reply *r, const struct failure *f, uint32_t i,
                            struct buf *out) {
    struct json_out j;
    (void)r;
    begin(&j, "error", i, out);
    json_out_member_string(&j, "code",
                           f->code   ? f->code
                           : f->type ? f->type
                                     : openai_dialect.error_type(f->status));
    json_out_member_string(&j, "message", f->message);
    json_out_member_string(&j, "param", f->param);
    event_end(&j);
}

const struct format responses_format = {.dialect = &openai_dialect,
                                        .shape = ASK_RESPONSES,
                                        .id = "resp_",
                                        .item = "msg_",
                                        .tool_item = "fc_",
                                        .call = "call_",
                                        .lead_text = 4,
                                        .tail_text = 4,
                                        .lead_tool = 3,
                                        .tail_tool = 3,
                                        .put_lead = put_lead,
                                        .put_piece = put_piece,
                                        .put_tail = put_tail,
                                        .put_error = put_error_event,
                                        .put_document = put_document};
