/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates on arbitrary bytes: what expands is well-formed by the check, and as a value it is the
 * same text, or the one value that the text stands for.
 */
#include "config/template.h"
#include "base/str.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *look_up(void *ctx, const char *path) {
    return template_walk(ctx, path);
}

static json_t *world(void) {
    static json_t *root;
    if (!root) {
        root = json_loads("{\"a\": {\"b\": [1, \"two\", null, {\"c\": true}], \"d.e\": -0.5},"
                          " \"t\": \"text\", \"n\": 12, \"z\": 0, \"e\": \"\", \"u\": \"\\u00e9\"}",
                          0, NULL);
    }
    return root;
}

static void demand(bool holds) {
    if (!holds) {
        abort();
    }
}

/* `value` as template_expand() would write it. */
static void put(const json_t *value, struct buf *out) {
    if (json_is_string(value)) {
        buf_append(out, json_string_value(value), json_string_length(value));
    } else {
        template_put_json(value, out);
    }
}

static bool same(const struct buf *a, const struct buf *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* A value that stands alone has lost the white space around it. */
static void trim(struct buf *text) {
    size_t start = 0;
    while (text->len > 0 && strchr(" \t\r\n", text->data[text->len - 1])) {
        text->data[--text->len] = '\0';
    }
    while (start < text->len && strchr(" \t\r\n", text->data[start])) {
        start++;
    }
    buf_consume(text, start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = str_ndup((const char *)data, size); /* ends at the first NUL */
    struct buf expanded, again;
    json_t *value;
    bool truth;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&expanded, TEMPLATE_TEXT_MAX);
    buf_init(&again, TEMPLATE_TEXT_MAX);
    demand(text != NULL);
    hardy_status status = template_expand(text, look_up, world(), &expanded, &error);
    hardy_status valued = template_value(text, look_up, world(), &value, &error);
    hardy_status checked = template_check(text, NULL, NULL, &error);
    demand(status != HARDY_OK || checked == HARDY_OK);
    demand((valued == HARDY_OK) == (value != NULL));
    if (valued == HARDY_OK) {
        demand(status == HARDY_OK);
        put(value, &again);
        if (!same(&expanded, &again)) {
            trim(&expanded);
            trim(&again);
        }
        demand(same(&expanded, &again));
    } else if (status == HARDY_OK) {
        demand(!str_valid_utf8(expanded.data, expanded.len));
    }
    if (template_truth(text, look_up, world(), &truth, &error) == HARDY_OK) {
        demand(template_check_truth(text, NULL, NULL, &error) == HARDY_OK);
    }
    json_decref(value);
    buf_free(&expanded);
    buf_free(&again);
    free(text);
    return 0;
}
