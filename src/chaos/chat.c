/* SPDX-License-Identifier: Apache-2.0 */
/* The Chat Completions API of OpenAI. */
#include "chaos/reply.h"

#define FINGERPRINT "fp_c4a05c4a05"

static void put_usage(const struct reply *r, struct json_out *j) {
    json_out_object(j);
    json_out_member_count(j, "prompt_tokens", r->ask->input_tokens);
    json_out_member_count(j, "completion_tokens", r->output_tokens);
    json_out_member_count(j, "total_tokens", r->ask->input_tokens + r->output_tokens);
    json_out_key(j, "prompt_tokens_details");
    json_out_object(j);
    json_out_member_count(j, "cached_tokens", 0);
    json_out_object_end(j);
    json_out_key(j, "completion_tokens_details");
    json_out_object(j);
    json_out_member_count(j, "reasoning_tokens", 0);
    json_out_object_end(j);
    json_out_object_end(j);
}

static void put_head(const struct reply *r, const char *object, struct json_out *j) {
    json_out_member_string(j, "id", r->id);
    json_out_member_string(j, "object", object);
    json_out_member_count(j, "created", (uint64_t)r->created);
    json_out_member_string(j, "model", r->ask->model);
    json_out_member_string(j, "service_tier", "default");
    json_out_member_string(j, "system_fingerprint", FINGERPRINT);
}

/* The tool's call: `arguments` as far as this message or chunk has them. */
static void put_call(const struct reply *r, const char *arguments, bool chunk, struct json_out *j) {
    json_out_key(j, "tool_calls");
    json_out_array(j);
    json_out_object(j);
    if (chunk) {
        json_out_member_count(j, "index", 0);
    }
    json_out_member_string(j, "id", r->call);
    json_out_member_string(j, "type", "function");
    json_out_key(j, "function");
    json_out_object(j);
    json_out_member_string(j, "name", r->ask->tool);
    json_out_member_string(j, "arguments", arguments);
    json_out_object_end(j);
    json_out_object_end(j);
    json_out_array_end(j);
}

static void put_document(const struct reply *r, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    put_head(r, "chat.completion", &j);
    json_out_key(&j, "choices");
    json_out_array(&j);
    json_out_object(&j);
    json_out_member_count(&j, "index", 0);
    json_out_key(&j, "message");
    json_out_object(&j);
    json_out_member_string(&j, "role", "assistant");
    json_out_member_string(&j, "content", r->ask->tool ? NULL : r->pieces.text.data);
    if (r->ask->tool) {
        put_call(r, r->ask->arguments, false, &j);
    }
    json_out_member_string(&j, "refusal", NULL);
    json_out_object_end(&j);
    json_out_member_string(&j, "logprobs", NULL);
    json_out_member_string(&j, "finish_reason", r->ask->tool ? "tool_calls" : "stop");
    json_out_object_end(&j);
    json_out_array_end(&j);
    json_out_key(&j, "usage");
    put_usage(r, &j);
    json_out_object_end(&j);
}

/* --- chunks --------------------------------------------------------------------------------- */

static void chunk_begin(const struct reply *r, struct json_out *j, struct buf *out) {
    event_begin(j, NULL, out);
    put_head(r, "chat.completion.chunk", j);
    json_out_key(j, "choices");
    json_out_array(j);
}

static void choice_begin(struct json_out *j) {
    json_out_object(j);
    json_out_member_count(j, "index", 0);
    json_out_key(j, "delta");
    json_out_object(j);
}

static void choice_end(const char *finish_reason, struct json_out *j) {
    json_out_object_end(j);
    json_out_member_string(j, "logprobs", NULL);
    json_out_member_string(j, "finish_reason", finish_reason);
    json_out_object_end(j);
}

/* Who wants the usage finds `usage` in every chunk, null in all but the last. */
static void chunk_end(const struct reply *r, bool usage, struct json_out *j) {
    json_out_array_end(j);
    if (r->ask->include_usage) {
        json_out_key(j, "usage");
        if (usage) {
            put_usage(r, j);
        } else {
            json_out_null(j);
        }
    }
    event_end(j);
}

static void put_lead(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    (void)i;
    chunk_begin(r, &j, out);
    choice_begin(&j);
    json_out_member_string(&j, "role", "assistant");
    json_out_member_string(&j, "content", r->ask->tool ? NULL : "");
    if (r->ask->tool) {
        put_call(r, "", true, &j);
    }
    json_out_member_string(&j, "refusal", NULL);
    choice_end(NULL, &j);
    chunk_end(r, false, &j);
}

static void put_piece(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    size_t len;
    const char *piece = pieces_at(&r->pieces, i, &len);
    chunk_begin(r, &j, out);
    choice_begin(&j);
    if (r->ask->tool) {
        json_out_key(&j, "tool_calls");
        json_out_array(&j);
        json_out_object(&j);
        json_out_member_count(&j, "index", 0);
        json_out_key(&j, "function");
        json_out_object(&j);
        json_out_key(&j, "arguments");
        json_out_stringn(&j, piece, len);
        json_out_object_end(&j);
        json_out_object_end(&j);
        json_out_array_end(&j);
    } else {
        json_out_key(&j, "content");
        json_out_stringn(&j, piece, len);
    }
    choice_end(NULL, &j);
    chunk_end(r, false, &j);
}

static void put_tail(const struct reply *r, uint32_t i, struct buf *out) {
    struct json_out j;
    if (i + 1 == r->tail) {
        buf_puts(out, "data: [DONE]\n\n");
        return;
    }
    chunk_begin(r, &j, out);
    if (i == 0) {
        choice_begin(&j);
        choice_end(r->ask->tool ? "tool_calls" : "stop", &j);
    }
    chunk_end(r, i == 1, &j);
}

static void put_error_event(const struct reply *r, const struct failure *f, uint32_t i,
                            struct buf *out) {
    (void)i;
    buf_puts(out, "data: ");
    openai_dialect.put_error(f, r->request_id, out);
    buf_puts(out, "\n\n");
}

const struct format chat_format = {.dialect = &openai_dialect,
                                   .shape = ASK_CHAT,
                                   .id = "chatcmpl-",
                                   .item = "choice_",
                                   .tool_item = "choice_",
                                   .call = "call_",
                                   .lead_text = 1,
                                   .tail_text = 2,
                                   .lead_tool = 1,
                                   .tail_tool = 2,
                                   .put_lead = put_lead,
                                   .put_piece = put_piece,
                                   .put_tail = put_tail,
                                   .put_error = put_error_event,
                                   .put_document = put_document};
