/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/body.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "gateway/scan.h"
#include "http/problem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wrong(struct http_request *r, const char *format, ...) HARDY_PRINTF(2, 3);
static bool wrong(struct http_request *r, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    http_problem(r, 400, NULL, NULL, NULL, text);
    return false;
}

/* The value's bytes; a string's with its quotes. */
static void whole_of(const struct scan_value *v, const char **at, size_t *len) {
    bool quoted = v->kind == SCAN_STRING;
    *at = v->at - quoted;
    *len = v->len + 2 * (size_t)quoted;
}

/* The text with null in place of the large member, which becomes a text of its own. */
static bool split(struct http_request *r, const char *text, size_t len, const char *large,
                  struct buf *rest, struct body *out) {
    struct scan_want want = {.path = large ? large : ""};
    const char *at = text + len;
    size_t size = 0;
    if (large && scan_json(text, len, &want, 1) && want.value.kind != SCAN_ABSENT) {
        whole_of(&want.value, &at, &size);
        out->large = str_ndup(at, size);
        if (!out->large) {
            http_problem(r, 503, NULL, NULL, NULL, "no memory");
            return false;
        }
    }
    const char *behind = at + size;
    buf_append(rest, text, (size_t)(at - text));
    if (size > 0) {
        buf_puts(rest, "null");
    }
    buf_append(rest, behind, (size_t)(text + len - behind));
    if (rest->failed) {
        http_problem(r, 413, NULL, NULL, NULL,
                     large ? "the other members are larger than 64 KiB together"
                           : "the body is larger than 64 KiB");
    }
    return !rest->failed;
}

static bool check_names(struct http_request *r, const struct body *b, const char *large,
                        const char *const *known) {
    const char *name;
    json_t *value;
    json_object_foreach(b->rest, name, value) {
        bool good = large && str_eq(name, large) && b->large;
        for (size_t i = 0; known[i] && !good; i++) {
            good = str_eq(name, known[i]);
        }
        if (!good) {
            char copy[64];
            str_copy(copy, sizeof copy, name);
            str_make_printable(copy);
            size_t count = 0;
            while (known[count]) {
                count++;
            }
            const char *near = str_nearest(copy, known, count);
            return wrong(r, "\"%s\" is no member here%s%s%s", copy, near ? "; did you mean \"" : "",
                         near ? near : "", near ? "\"" : "");
        }
    }
    return true;
}

bool body_read(struct http_request *r, const char *large, const char *const *known,
               struct body *out) {
    size_t len;
    const char *text = http_request_body(r, &len);
    struct buf rest;
    json_error_t why;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    *out = (struct body){0};
    if (json_check(text ? text : "", len, &error) != HARDY_OK) {
        return wrong(r, "the body: %s", error.message);
    }
    buf_init(&rest, BODY_REST_MAX);
    bool good = split(r, text, len, large, &rest, out);
    if (good) {
        out->rest = json_loadb(rest.data, rest.len, JSON_REJECT_DUPLICATES, &why);
        good = out->rest ? json_is_object(out->rest) || wrong(r, "the body is no JSON object")
                         : wrong(r, "the body: %s", why.text);
    }
    buf_free(&rest);
    good = good && check_names(r, out, large, known);
    if (!good) {
        body_free(out);
    }
    return good;
}

void body_free(struct body *b) {
    json_decref(b->rest);
    free(b->large);
    *b = (struct body){0};
}

static const json_t *member(const struct body *b, const char *name) {
    const json_t *value = json_object_get(b->rest, name);
    return json_is_null(value) ? NULL : value;
}

bool body_text(struct http_request *r, const struct body *b, const char *name, const char **out) {
    const json_t *value = member(b, name);
    if (value && !json_is_string(value)) {
        return wrong(r, "%s: expected a string", name);
    }
    *out = value ? json_string_value(value) : *out;
    return true;
}

bool body_span(struct http_request *r, const struct body *b, const char *name, int64_t *out) {
    const char *text = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    const json_t *value = member(b, name);
    if (value && !json_is_string(value)) {
        return wrong(r, "%s: expected a duration such as \"30s\"", name);
    }
    text = value ? json_string_value(value) : NULL;
    return !text || parse_duration(text, out, &error) == HARDY_OK ||
           wrong(r, "%s: %s", name, error.message);
}

bool body_whole(struct http_request *r, const struct body *b, const char *name, int64_t *out) {
    const json_t *value = member(b, name);
    if (value && !json_is_integer(value)) {
        return wrong(r, "%s: expected a whole number", name);
    }
    *out = value ? json_integer_value(value) : *out;
    return true;
}

bool body_flag(struct http_request *r, const struct body *b, const char *name, bool *out) {
    const json_t *value = member(b, name);
    if (value && !json_is_boolean(value)) {
        return wrong(r, "%s: expected true or false", name);
    }
    *out = value ? json_is_true(value) : *out;
    return true;
}

bool body_word(struct http_request *r, const struct body *b, const char *name,
               const char *const *words, int *out) {
    const char *text = NULL;
    if (!body_text(r, b, name, &text)) {
        return false;
    }
    if (!text) {
        return true;
    }
    struct buf list;
    buf_init(&list, 200);
    for (int i = 0; words[i]; i++) {
        if (str_eq(text, words[i])) {
            *out = i;
            buf_free(&list);
            return true;
        }
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    bool good = wrong(r, "%s: expected one of %s", name, list.data ? list.data : "");
    buf_free(&list);
    return good;
}
