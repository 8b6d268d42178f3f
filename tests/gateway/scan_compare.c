/* SPDX-License-Identifier: Apache-2.0 */
#include "scan_compare.h"
#include "base/str.h"
#include "gateway/scan.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Some lead to one another, one is wanted twice, one is too deep, one has an empty name. */
static const char *const paths[] = {"model", "a",       "b",     "a.b",       "a.b.a", "a.b.a.b",
                                    "a.b",   "b.a",     "a.c",   "a.b.a.b.a", "",      "error.code",
                                    "a.",    "model.a", "error", "b.b.b"};
#define PATHS (sizeof paths / sizeof *paths)

static const json_t *look_up(const json_t *value, const char *path) {
    for (unsigned depth = 1; depth <= SCAN_DEPTH; depth++) {
        char name[16];
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        value = json_object_get(value, name);
        if (path[len] == '\0') {
            return value;
        }
        path += len + 1;
    }
    return NULL;
}

static enum scan_kind kind_of(const json_t *value) {
    if (!value) {
        return SCAN_ABSENT;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return SCAN_OBJECT;
    case JSON_ARRAY:
        return SCAN_ARRAY;
    case JSON_STRING:
        return SCAN_STRING;
    case JSON_TRUE:
        return SCAN_TRUE;
    case JSON_FALSE:
        return SCAN_FALSE;
    case JSON_NULL:
        return SCAN_NULL;
    default:
        return SCAN_NUMBER;
    }
}

/* The very bytes that were found, read alone. */
static bool same(const struct scan_value *found, const json_t *value) {
    if (found->kind != kind_of(value)) {
        return false;
    }
    if (found->kind == SCAN_ABSENT) {
        return true;
    }
    size_t quote = found->kind == SCAN_STRING;
    json_t *alone = json_loadb(found->at - quote, found->len + 2 * quote, JSON_DECODE_ANY, NULL);
    bool equal = alone && json_equal(alone, value);
    json_decref(alone);
    return equal;
}

/* Of a text that jansson has read: a string before a colon is a name. */
static bool has_escaped_name(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '"') {
            continue;
        }
        bool escape = false;
        for (i++; text[i] != '"'; i++) {
            if (text[i] == '\\') {
                escape = true;
                i++;
            }
        }
        size_t next = i + 1;
        while (next < len && strchr(" \t\r\n", text[next])) {
            next++;
        }
        if (escape && next < len && text[next] == ':') {
            return true;
        }
    }
    return false;
}

char *scan_compare(const char *text, size_t len, bool *read) {
    struct scan_want wants[PATHS];
    for (size_t i = 0; i < PATHS; i++) {
        wants[i] = (struct scan_want){.path = paths[i], .value = {SCAN_ARRAY, text, 1000}};
    }
    bool object = scan_json(text, len, wants, PATHS);
    for (size_t i = 0; i < PATHS; i++) {
        const struct scan_value *v = &wants[i].value;
        if (v->kind != SCAN_ABSENT &&
            (v->at < text || v->at > text + len || v->len > (size_t)(text + len - v->at))) {
            return str_format("\"%s\" lies outside the text", paths[i]);
        }
    }
    /* jansson passes over a NUL behind a number. */
    json_t *whole = memchr(text, '\0', len) ? NULL : json_loadb(text, len, 0, NULL);
    char *differs = NULL;
    if (read) {
        *read = json_is_object(whole);
    }
    if (json_is_object(whole) && !object) {
        differs = str_format("jansson reads an object, scan_json() does not");
    }
    if (json_is_array(whole) && object) {
        differs = str_format("jansson reads an array, scan_json() an object");
    }
    if (json_is_object(whole) && !has_escaped_name(text, len)) {
        for (size_t i = 0; i < PATHS && !differs; i++) {
            if (!same(&wants[i].value, look_up(whole, paths[i]))) {
                differs = str_format("\"%s\": found kind %d, %zu bytes", paths[i],
                                     (int)wants[i].value.kind, wants[i].value.len);
            }
        }
    }
    json_decref(whole);
    return differs;
}
