/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/ask.h"
#include "base/str.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_MAX 256

static bool refuse(struct ask_refusal *why, const char *param, bool missing, const char *format,
                   ...) HARDY_PRINTF(4, 5);
static bool refuse(struct ask_refusal *why, const char *param, bool missing, const char *format,
                   ...) {
    va_list args;
    va_start(args, format);
    why->param = param;
    why->missing = missing;
    vsnprintf(why->message, sizeof why->message, format, args);
    va_end(args);
    return false;
}

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static bool is_text(const json_t *object, const char *key, const char *text) {
    return str_eq(text_of(object, key), text);
}

/* --- what must be there --------------------------------------------------------------------- */

static const char *conversation_key(enum ask_shape shape) {
    return shape == ASK_RESPONSES ? "input" : "messages";
}

static bool check_conversation(enum ask_shape shape, const json_t *root, struct ask_refusal *why) {
    const char *key = conversation_key(shape);
    const json_t *said = json_object_get(root, key);
    if (!said) {
        return refuse(why, key, true, "%s: field required", key);
    }
    if (shape == ASK_RESPONSES && json_is_string(said)) {
        return true;
    }
    if (!json_is_array(said)) {
        return refuse(why, key, false, "%s: expected a list", key);
    }
    if (json_array_size(said) == 0) {
        return refuse(why, key, false, "%s: at least one message is required", key);
    }
    for (size_t i = 0; i < json_array_size(said); i++) {
        if (!json_is_object(json_array_get(said, i))) {
            return refuse(why, key, false, "%s.%zu: expected an object", key, i);
        }
    }
    return true;
}

static bool check(enum ask_shape shape, const json_t *root, struct ask_refusal *why) {
    if (!json_is_object(root)) {
        return refuse(why, NULL, false, "the body is not a JSON object");
    }
    const json_t *model = json_object_get(root, "model");
    if (!model) {
        return refuse(why, "model", true, "model: field required");
    }
    if (!json_is_string(model) || json_string_length(model) == 0 ||
        json_string_length(model) > MODEL_MAX) {
        return refuse(why, "model", false, "model: expected a text of 1 to %d characters",
                      MODEL_MAX);
    }
    if (shape == ASK_MESSAGES) {
        const json_t *most = json_object_get(root, "max_tokens");
        if (!most) {
            return refuse(why, "max_tokens", true, "max_tokens: field required");
        }
        if (!json_is_integer(most) || json_integer_value(most) < 1) {
            return refuse(why, "max_tokens", false, "max_tokens: expected a whole number above 0");
        }
    }
    const json_t *stream = json_object_get(root, "stream");
    if (stream && !json_is_boolean(stream) && !json_is_null(stream)) {
        return refuse(why, "stream", false, "stream: expected true or false");
    }
    return check_conversation(shape, root, why);
}

/* --- the last message ----------------------------------------------------------------------- */

static bool is_tool_result(enum ask_shape shape, const json_t *message) {
    if (shape == ASK_CHAT) {
        return is_text(message, "role", "tool");
    }
    if (shape == ASK_RESPONSES) {
        return is_text(message, "type", "function_call_output");
    }
    const json_t *content = json_object_get(message, "content");
    for (size_t i = 0; i < json_array_size(content); i++) {
        if (is_text(json_array_get(content, i), "type", "tool_result")) {
            return true;
        }
    }
    return false;
}

/* The texts of a message of the user; results of tools are no such. */
static bool take_texts(const json_t *message, struct said *said) {
    const json_t *content = json_object_get(message, "content");
    if (!is_text(message, "role", "user")) {
        return false;
    }
    if (json_is_string(content)) {
        said_add(said, json_string_value(content), json_string_length(content));
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        const json_t *text = json_object_get(block, "text");
        if (json_is_string(text) &&
            (is_text(block, "type", "text") || is_text(block, "type", "input_text"))) {
            said_add(said, json_string_value(text), json_string_length(text));
        }
    }
    return said->parts > 0;
}

static void find_said(const json_t *said, struct said *out) {
    said_init(out);
    if (json_is_string(said)) {
        said_add(out, json_string_value(said), json_string_length(said));
    }
    for (size_t i = json_array_size(said); i-- > 0;) {
        if (take_texts(json_array_get(said, i), out)) {
            break;
        }
    }
}

/* --- tools ---------------------------------------------------------------------------------- */

static json_t *example_of(const json_t *schema) {
    const json_t *allowed = json_object_get(schema, "enum");
    const char *type = text_of(schema, "type");
    if (json_array_size(allowed) > 0) {
        return json_deep_copy(json_array_get(allowed, 0));
    }
    if (str_eq(type, "integer") || str_eq(type, "number")) {
        return json_integer(1);
    }
    if (str_eq(type, "boolean")) {
        return json_true();
    }
    if (str_eq(type, "array")) {
        return json_array();
    }
    return str_eq(type, "object") ? json_object() : json_string("x");
}

/* An object with a value for each property that the schema requires. */
static char *make_arguments(const json_t *schema) {
    const json_t *required = json_object_get(schema, "required");
    const json_t *properties = json_object_get(schema, "properties");
    json_t *arguments = json_object();
    for (size_t i = 0; arguments && i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (name) {
            (void)json_object_set_new(arguments, name,
                                      example_of(json_object_get(properties, name)));
        }
    }
    char *text = json_dumps(arguments, JSON_COMPACT);
    json_decref(arguments);
    return text;
}

/* The first tool that the caller would run itself: a provider's own have types of their own. */
static const json_t *first_tool(enum ask_shape shape, const json_t *tools, const json_t **schema) {
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *type = text_of(tool, "type");
        if (shape == ASK_CHAT) {
            tool = json_object_get(tool, "function");
        }
        *schema = json_object_get(tool, shape == ASK_MESSAGES ? "input_schema" : "parameters");
        bool own = shape == ASK_MESSAGES ? *schema || !type || str_eq(type, "custom")
                                         : str_eq(type, "function");
        if (own && text_of(tool, "name")) {
            return tool;
        }
    }
    return NULL;
}

static bool wants_tool(enum ask_shape shape, const json_t *root) {
    const json_t *choice = json_object_get(root, "tool_choice");
    const json_t *said = json_object_get(root, conversation_key(shape));
    size_t count = json_array_size(said);
    if (str_eq(json_string_value(choice), "none") || is_text(choice, "type", "none")) {
        return false;
    }
    return count == 0 || !is_tool_result(shape, json_array_get(said, count - 1));
}

static bool take_tool(enum ask_shape shape, const json_t *root, struct ask *out) {
    const json_t *schema = NULL;
    const json_t *tool =
        wants_tool(shape, root) ? first_tool(shape, json_object_get(root, "tools"), &schema) : NULL;
    if (!tool) {
        return true;
    }
    out->tool = str_dup(text_of(tool, "name"));
    out->arguments = make_arguments(schema);
    return out->tool && out->arguments;
}

/* --- the whole ------------------------------------------------------------------------------ */

static bool take(enum ask_shape shape, const json_t *root, struct ask *out) {
    const json_t *options = json_object_get(root, "stream_options");
    out->model = str_dup(text_of(root, "model"));
    out->stream = shape != ASK_COUNT && json_is_true(json_object_get(root, "stream"));
    out->include_usage = json_is_true(json_object_get(options, "include_usage"));
    find_said(json_object_get(root, conversation_key(shape)), &out->said);
    return out->model && (shape == ASK_COUNT || take_tool(shape, root, out));
}

enum ask_result ask_read(enum ask_shape shape, const char *body, size_t len, struct ask *out,
                         struct ask_refusal *why) {
    json_error_t problem;
    *out = (struct ask){.input_tokens = len / 4 + 1};
    said_init(&out->said);
    if (shape == ASK_MODELS) {
        out->model = str_dup("");
        return out->model ? ASK_TAKEN : ASK_NO_MEMORY;
    }
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &problem);
    if (!root) {
        bool memory = json_error_code(&problem) == json_error_out_of_memory;
        refuse(why, NULL, false, "the body is not valid JSON: line %d, column %d: %s", problem.line,
               problem.column, problem.text);
        return memory ? ASK_NO_MEMORY : ASK_REFUSED;
    }
    enum ask_result result = !check(shape, root, why) ? ASK_REFUSED
                             : take(shape, root, out) ? ASK_TAKEN
                                                      : ASK_NO_MEMORY;
    json_decref(root);
    return result;
}

void ask_free(struct ask *a) {
    free(a->model);
    free(a->tool);
    free(a->arguments);
    *a = (struct ask){0};
}
