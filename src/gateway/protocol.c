/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/protocol.h"
#include "base/json.h"
#include "base/str.h"
#include "http/problem.h"
#include <stdio.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static bool ends_with(const char *text, const char *end) {
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

enum protocol protocol_of(enum upstream_protocol upstream, const char *method, const char *path) {
    if (strcmp(method, "POST") != 0) {
        return PROTOCOL_PLAIN;
    }
    if (upstream == UPSTREAM_ANTHROPIC && ends_with(path, "/messages")) {
        return PROTOCOL_MESSAGES;
    }
    if (upstream == UPSTREAM_OPENAI && ends_with(path, "/chat/completions")) {
        return PROTOCOL_CHAT;
    }
    if (upstream == UPSTREAM_OPENAI && ends_with(path, "/responses")) {
        return PROTOCOL_RESPONSES;
    }
    return PROTOCOL_PLAIN;
}

const char *protocol_text(enum protocol p) {
    static const char *const texts[PROTOCOL_COUNT] = {"plain", "messages", "chat", "responses"};
    return texts[p];
}

void protocol_read_request(enum protocol p, const char *body, size_t len,
                           struct request_facts *out) {
    struct scan_want wants[] = {{.path = "model"},
                                {.path = "stream"},
                                {.path = "max_tokens"},
                                {.path = "max_output_tokens"},
                                {.path = "max_completion_tokens"},
                                {.path = "metadata.user_id"}};
    *out = (struct request_facts){.max_tokens = -1};
    if (p == PROTOCOL_PLAIN) {
        return;
    }
    (void)scan_json(body, len, wants, COUNT(wants)); /* what is no JSON, the upstream refuses */
    scan_copy(&wants[0].value, out->model, sizeof out->model);
    out->stream = wants[1].value.kind == SCAN_TRUE;
    for (size_t i = 2; i <= 4; i++) {
        if (wants[i].value.kind == SCAN_NUMBER) {
            out->max_tokens = scan_integer(&wants[i].value);
        }
    }
    scan_copy(&wants[5].value, out->session, sizeof out->session);
}

/* --- usage ------------------------------------------------------------------------------------ */

void usage_init(struct usage *u) {
    *u = (struct usage){-1, -1, -1, -1};
}

int64_t usage_input_total(const struct usage *u) {
    int64_t sum = u->input;
    if (sum >= 0) {
        sum += (u->cache_read > 0 ? u->cache_read : 0) + (u->cache_write > 0 ? u->cache_write : 0);
    }
    return sum;
}

/* Field by field the last that was told: later events repeat some and leave others out. */
static void take_number(const struct scan_value *value, int64_t *out) {
    if (value->kind == SCAN_NUMBER) {
        int64_t number = scan_integer(value);
        *out = number >= 0 ? number : *out;
    }
}

static void read_anthropic_usage(const char *data, size_t len, const char *const paths[4],
                                 struct usage *u) {
    struct scan_want wants[4];
    for (size_t i = 0; i < 4; i++) {
        wants[i] = (struct scan_want){.path = paths[i]};
    }
    (void)scan_json(data, len, wants, 4);
    take_number(&wants[0].value, &u->input);
    take_number(&wants[1].value, &u->output);
    take_number(&wants[2].value, &u->cache_read);
    take_number(&wants[3].value, &u->cache_write);
}

/* OpenAI's input includes what came from the cache; ours is what did not. */
static void read_openai_usage(const char *data, size_t len, const char *const paths[3],
                              struct usage *u) {
    struct scan_want wants[3];
    for (size_t i = 0; i < 3; i++) {
        wants[i] = (struct scan_want){.path = paths[i]};
    }
    (void)scan_json(data, len, wants, 3);
    take_number(&wants[0].value, &u->input);
    take_number(&wants[1].value, &u->output);
    take_number(&wants[2].value, &u->cache_read);
    if (u->input >= 0 && u->cache_read > 0 && u->cache_read <= u->input) {
        u->input -= u->cache_read;
    }
}

static const char *const start_usage[4] = {
    "message.usage.input_tokens", "message.usage.output_tokens",
    "message.usage.cache_read_input_tokens", "message.usage.cache_creation_input_tokens"};
static const char *const plain_usage[4] = {"usage.input_tokens", "usage.output_tokens",
                                           "usage.cache_read_input_tokens",
                                           "usage.cache_creation_input_tokens"};
static const char *const chat_usage[3] = {"usage.prompt_tokens", "usage.completion_tokens",
                                          "usage.prompt_tokens_details.cached_tokens"};
static const char *const response_usage[3] = {"usage.input_tokens", "usage.output_tokens",
                                              "usage.input_tokens_details.cached_tokens"};
static const char *const completed_usage[3] = {"response.usage.input_tokens",
                                               "response.usage.output_tokens",
                                               "response.usage.input_tokens_details.cached_tokens"};

void protocol_read_usage(enum protocol p, const char *body, size_t len, struct usage *out) {
    switch (p) {
    case PROTOCOL_MESSAGES:
        read_anthropic_usage(body, len, plain_usage, out);
        break;
    case PROTOCOL_CHAT:
        read_openai_usage(body, len, chat_usage, out);
        break;
    case PROTOCOL_RESPONSES:
        read_openai_usage(body, len, response_usage, out);
        break;
    case PROTOCOL_PLAIN:
    case PROTOCOL_COUNT:
        break;
    }
}

/* --- errors of the upstream ------------------------------------------------------------------- */

static bool read_error(const char *body, size_t len, const char *const paths[5],
                       struct told_error *out) {
    struct scan_want wants[5];
    for (size_t i = 0; i < 5; i++) {
        wants[i] = (struct scan_want){.path = paths[i]};
    }
    (void)scan_json(body, len, wants, 5);
    scan_copy(&wants[1].value, out->type, sizeof out->type);
    if (wants[3].value.kind != SCAN_STRING && wants[2].value.kind == SCAN_NUMBER) {
        snprintf(out->code, sizeof out->code, "%lld", (long long)scan_integer(&wants[2].value));
    } else {
        scan_copy(wants[3].value.kind == SCAN_STRING ? &wants[3].value : &wants[2].value, out->code,
                  sizeof out->code);
    }
    scan_copy(&wants[4].value, out->message, sizeof out->message);
    return wants[0].value.kind == SCAN_OBJECT;
}

static const char *const plain_error[5] = {"error", "error.type", "error.code",
                                           "error.details.error_code", "error.message"};

bool protocol_read_error(enum upstream_protocol upstream, const char *body, size_t len,
                         struct told_error *out) {
    *out = (struct told_error){.type = ""};
    return upstream != UPSTREAM_HTTP && read_error(body, len, plain_error, out);
}

/* --- events ----------------------------------------------------------------------------------- */

void stream_reader_init(struct stream_reader *r, enum protocol p) {
    *r = (struct stream_reader){.protocol = p, .sequence = -1};
    usage_init(&r->usage);
}

static bool named(const struct sse_event *e, const char *name) {
    return e->name_len == strlen(name) && memcmp(e->name, name, e->name_len) == 0;
}

static bool holds(const struct sse_event *e, const char *text) {
    return memmem(e->data, e->data_len, text, strlen(text)) != NULL;
}

static enum event_meaning take_message_event(struct stream_reader *r, const struct sse_event *e) {
    if (named(e, "content_block_delta")) {
        return EVENT_CONTENT;
    }
    if (named(e, "message_start")) {
        read_anthropic_usage(e->data, e->data_len, start_usage, &r->usage);
        return EVENT_LIFECYCLE;
    }
    if (named(e, "message_delta")) {
        read_anthropic_usage(e->data, e->data_len, plain_usage, &r->usage);
        return EVENT_CONTENT;
    }
    if (named(e, "message_stop")) {
        return EVENT_TERMINAL;
    }
    if (named(e, "error")) {
        (void)read_error(e->data, e->data_len, plain_error, &r->error);
        return EVENT_ERROR;
    }
    return EVENT_LIFECYCLE; /* content_block_start, ping, what is not known */
}

static enum event_meaning take_chat_event(struct stream_reader *r, const struct sse_event *e) {
    static const char done[] = "[DONE]";
    if (!e->has_data) {
        return EVENT_LIFECYCLE;
    }
    if (e->data_len >= sizeof done - 1 && memcmp(e->data, done, sizeof done - 1) == 0) {
        return EVENT_TERMINAL;
    }
    /* Only an event that holds the word can be one: the scan is spared for the many others. */
    if (holds(e, "\"error\"") && read_error(e->data, e->data_len, plain_error, &r->error)) {
        return EVENT_ERROR;
    }
    if (holds(e, "_tokens\"")) {
        read_openai_usage(e->data, e->data_len, chat_usage, &r->usage);
    }
    /* The first chunk names the role and has no content yet. Whatever is not surely that, is
     * content: some name the role in every chunk, and put their reasoning beside the empty content.
     */
    bool only_role =
        holds(e, "\"role\"") && !holds(e, "\"tool_calls\"") && !holds(e, "\"reasoning") &&
        !holds(e, "\"finish_reason\":\"") &&
        (holds(e, "\"content\":\"\"") || holds(e, "\"content\":null") || !holds(e, "\"content\""));
    return only_role ? EVENT_LIFECYCLE : EVENT_CONTENT;
}

/* Clients go by the type in the data where the event has no name. */
static bool is_typed(const struct sse_event *e, const struct scan_value *type, const char *name) {
    return e->name_len > 0 ? named(e, name) : scan_is(type, name);
}

static enum event_meaning take_response_event(struct stream_reader *r, const struct sse_event *e) {
    static const char *const lifecycle[] = {"response.created", "response.queued",
                                            "response.in_progress", "response.output_item.added",
                                            "response.content_part.added"};
    static const char *const failed[5] = {"response.error", "response.error.type",
                                          "response.error.code", "response.error.code",
                                          "response.error.message"};
    static const char *const error[5] = {"type", "error.type", "code", "error.code", "message"};
    if (!e->has_data) {
        return EVENT_LIFECYCLE;
    }
    struct scan_want wants[] = {{.path = "sequence_number"}, {.path = "type"}};
    (void)scan_json(e->data, e->data_len, wants, COUNT(wants));
    take_number(&wants[0].value, &r->sequence);
    const struct scan_value *type = &wants[1].value;
    if (is_typed(e, type, "error")) {
        (void)read_error(e->data, e->data_len, error, &r->error);
        return EVENT_ERROR;
    }
    if (is_typed(e, type, "response.failed")) {
        (void)read_error(e->data, e->data_len, failed, &r->error);
        return EVENT_ERROR;
    }
    if (is_typed(e, type, "response.completed") || is_typed(e, type, "response.incomplete")) {
        read_openai_usage(e->data, e->data_len, completed_usage, &r->usage);
        return EVENT_TERMINAL;
    }
    for (size_t i = 0; i < COUNT(lifecycle); i++) {
        if (is_typed(e, type, lifecycle[i])) {
            return EVENT_LIFECYCLE;
        }
    }
    return EVENT_CONTENT;
}

enum event_meaning stream_reader_take(struct stream_reader *r, const struct sse_event *event) {
    switch (r->protocol) {
    case PROTOCOL_MESSAGES:
        return take_message_event(r, event);
    case PROTOCOL_CHAT:
        return take_chat_event(r, event);
    case PROTOCOL_RESPONSES:
        return take_response_event(r, event);
    case PROTOCOL_PLAIN:
    case PROTOCOL_COUNT:
        break;
    }
    return EVENT_CONTENT;
}

/* --- errors of ours --------------------------------------------------------------------------- */

int protocol_passing_status(enum upstream_protocol upstream) {
    return upstream == UPSTREAM_ANTHROPIC ? 529 : 503;
}

static const char *anthropic_type(enum trouble trouble) {
    static const char *const types[] = {"overloaded_error",  "invalid_request_error",
                                        "permission_error",  "not_found_error",
                                        "request_too_large", "api_error"};
    return types[trouble];
}

static const char *openai_type(enum trouble trouble) {
    return trouble == TROUBLE_OVERLOADED || trouble == TROUBLE_UPSTREAM ? "server_error"
                                                                        : "invalid_request_error";
}

static void write_anthropic(struct json_out *j, const char *type, const char *message,
                            const char *request_id) {
    json_out_object(j);
    json_out_member_string(j, "type", "error");
    json_out_key(j, "error");
    json_out_object(j);
    json_out_member_string(j, "type", type);
    json_out_member_string(j, "message", message);
    json_out_object_end(j);
    if (request_id) {
        json_out_member_string(j, "request_id", request_id);
    }
    json_out_object_end(j);
}

static void write_openai(struct json_out *j, const char *type, const char *code,
                         const char *message) {
    json_out_object(j);
    json_out_key(j, "error");
    json_out_object(j);
    json_out_member_string(j, "message", message);
    json_out_member_string(j, "type", type);
    json_out_member_string(j, "param", NULL);
    json_out_member_string(j, "code", code);
    json_out_object_end(j);
    json_out_object_end(j);
}

void protocol_write_error(enum upstream_protocol upstream, enum trouble trouble, int status,
                          const char *message, const char *request_id, struct buf *out,
                          const char **content_type) {
    struct json_out j;
    json_out_init(&j, out, 0);
    *content_type = "application/json";
    if (upstream == UPSTREAM_ANTHROPIC) {
        const char *type = status == 401 ? "authentication_error" : anthropic_type(trouble);
        write_anthropic(&j, type, message, request_id);
    } else if (upstream == UPSTREAM_OPENAI) {
        write_openai(&j, openai_type(trouble), trouble == TROUBLE_OVERLOADED ? "overloaded" : NULL,
                     message);
    } else {
        *content_type = "application/problem+json";
        (void)http_problem_write(out, status, NULL, NULL, message);
    }
}

void protocol_write_error_event(const struct stream_reader *r, const char *message,
                                struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    switch (r->protocol) {
    case PROTOCOL_MESSAGES:
        buf_puts(out, "event: error\ndata: ");
        write_anthropic(&j, "overloaded_error", message, NULL);
        break;
    case PROTOCOL_CHAT:
        buf_puts(out, "data: ");
        write_openai(&j, "server_error", "stream_interrupted", message);
        break;
    case PROTOCOL_RESPONSES:
        buf_puts(out, "event: error\ndata: ");
        json_out_object(&j);
        json_out_member_string(&j, "type", "error");
        json_out_member_string(&j, "code", "server_error");
        json_out_member_string(&j, "message", message);
        json_out_member_string(&j, "param", NULL);
        json_out_key(&j, "sequence_number");
        json_out_int(&j, r->sequence + 1);
        json_out_object_end(&j);
        break;
    case PROTOCOL_PLAIN:
    case PROTOCOL_COUNT:
        return;
    }
    buf_puts(out, "\n\n");
}
