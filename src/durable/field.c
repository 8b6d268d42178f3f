/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/field.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>

void field_put_time(struct json_out *j, const char *key, int64_t time) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)time);
    json_out_member_string(j, key, text);
}

int64_t field_time(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? strtoll(text, NULL, 10) : 0;
}

char *field_text(const json_t *o, const char *key) {
    return str_dup(json_string_value(json_object_get(o, key)));
}

void field_copy(char *out, size_t size, const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    str_copy(out, size, text ? text : "");
}
