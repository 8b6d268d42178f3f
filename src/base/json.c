/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/clock.h"
#include "base/number.h"
#include "base/str.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

void json_out_init(struct json_out *j, struct buf *to, int indent) {
    *j = (struct json_out){.to = to, .first = true, .indent = indent};
}

static void new_line(struct json_out *j) {
    if (j->indent == 0) {
        return;
    }
    buf_putc(j->to, '\n');
    for (unsigned i = 0; i < j->depth * (unsigned)j->indent; i++) {
        buf_putc(j->to, ' ');
    }
}

/* What stands before a key or an element. */
static void separate(struct json_out *j) {
    if (j->pending) {
        j->pending = false;
        return;
    }
    if (j->depth > 0) {
        if (!j->first) {
            buf_putc(j->to, ',');
        }
        new_line(j);
    }
    j->first = false;
}

static void open_with(struct json_out *j, char c) {
    separate(j);
    buf_putc(j->to, c);
    j->depth++;
    j->first = true;
}

static void close_with(struct json_out *j, char c) {
    bool empty = j->first;
    j->depth--;
    if (!empty) {
        new_line(j);
    }
    buf_putc(j->to, c);
    j->first = false;
}

void json_out_object(struct json_out *j) {
    open_with(j, '{');
}
void json_out_object_end(struct json_out *j) {
    close_with(j, '}');
}
void json_out_array(struct json_out *j) {
    open_with(j, '[');
}
void json_out_array_end(struct json_out *j) {
    close_with(j, ']');
}

/* One character below 0x80, escaped as RFC 8785 wants it. */
static void put_ascii(struct buf *to, unsigned char c) {
    static const char short_forms[] = "btn?fr"; /* 8, 9, 10, 12, 13 */
    if (c == '"' || c == '\\') {
        buf_putc(to, '\\');
        buf_putc(to, (char)c);
    } else if (c >= 8 && c <= 13 && c != 11) {
        buf_putc(to, '\\');
        buf_putc(to, short_forms[c - 8]);
    } else if (c < 0x20) {
        buf_printf(to, "\\u%04x", c);
    } else {
        buf_putc(to, (char)c);
    }
}

void json_put_quoted(struct buf *to, const char *s, size_t len) {
    buf_putc(to, '"');
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && (unsigned char)s[run] >= 0x20 && (unsigned char)s[run] < 0x80 &&
               s[run] != '"' && s[run] != '\\') {
            run++;
        }
        if (run > i) {
            buf_append(to, s + i, run - i);
            i = run;
            continue;
        }
        size_t size = str_utf8_length(s + i, len - i);
        if (size == 0) {
            buf_puts(to, "\xef\xbf\xbd");
            i++;
        } else if (size == 1) {
            put_ascii(to, (unsigned char)s[i++]);
        } else {
            buf_append(to, s + i, size);
            i += size;
        }
    }
    buf_putc(to, '"');
}

void json_out_key(struct json_out *j, const char *key) {
    separate(j);
    json_put_quoted(j->to, key, strlen(key));
    buf_puts(j->to, j->indent ? ": " : ":");
    j->pending = true;
}

void json_out_string(struct json_out *j, const char *s) {
    if (s) {
        json_out_stringn(j, s, strlen(s));
    } else {
        json_out_null(j);
    }
}

void json_out_stringn(struct json_out *j, const char *s, size_t len) {
    separate(j);
    json_put_quoted(j->to, s, len);
}

void json_out_int(struct json_out *j, int64_t value) {
    separate(j);
    buf_printf(j->to, "%" PRId64, value);
}

void json_out_double(struct json_out *j, double value) {
    if (!isfinite(value)) {
        json_out_null(j);
        return;
    }
    char text[NUMBER_TEXT];
    number_format(value, text);
    json_out_raw(j, text);
}

void json_out_bool(struct json_out *j, bool value) {
    json_out_raw(j, value ? "true" : "false");
}
void json_out_null(struct json_out *j) {
    json_out_raw(j, "null");
}

void json_out_raw(struct json_out *j, const char *json) {
    separate(j);
    buf_puts(j->to, json);
}

void json_out_member_string(struct json_out *j, const char *key, const char *s) {
    json_out_key(j, key);
    json_out_string(j, s);
}

void json_out_member_wall(struct json_out *j, const char *key, int64_t wall) {
    char text[32];
    if (wall != 0) {
        clock_format_wall(wall, text);
    }
    json_out_member_string(j, key, wall != 0 ? text : NULL);
}

void json_out_member_count(struct json_out *j, const char *key, uint64_t value) {
    json_out_key(j, key);
    json_out_int(j, (int64_t)value);
}

void json_out_member_raw(struct json_out *j, const char *key, const char *json) {
    json_out_key(j, key);
    json_out_raw(j, json);
}
