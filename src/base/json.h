/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_JSON_H
#define BASE_JSON_H
/*
 * The one JSON writer: streams well-formed JSON into a buf, commas and escapes included. Strings
 * that are not UTF-8 are written with U+FFFD in place of the bad bytes.
 */
#include "base/buf.h"

struct json_out {
    struct buf *to;
    unsigned depth;
    bool first;   /* nothing written yet at this depth */
    bool pending; /* a key was written, its value is due */
    int indent;   /* spaces a level; 0 = compact */
};

void json_out_init(struct json_out *j, struct buf *to, int indent);
void json_out_object(struct json_out *j);
void json_out_object_end(struct json_out *j);
void json_out_array(struct json_out *j);
void json_out_array_end(struct json_out *j);
void json_out_key(struct json_out *j, const char *key);
void json_out_string(struct json_out *j, const char *s); /* NULL writes null */
void json_out_stringn(struct json_out *j, const char *s, size_t len);
void json_out_int(struct json_out *j, int64_t value);
void json_out_double(struct json_out *j, double value); /* not finite writes null */
void json_out_bool(struct json_out *j, bool value);
void json_out_null(struct json_out *j);
void json_out_raw(struct json_out *j, const char *json); /* an already serialised value */
/* A member of an object: its key and its value. */
void json_out_member_string(struct json_out *j, const char *key, const char *s);
/* A wall time as RFC 3339; null for 0. */
void json_out_member_wall(struct json_out *j, const char *key, int64_t wall);
void json_out_member_count(struct json_out *j, const char *key, uint64_t value);
void json_out_member_raw(struct json_out *j, const char *key, const char *json);

/* A string with its quotes and escapes (RFC 8785's choice of them), outside any structure. */
void json_put_quoted(struct buf *to, const char *s, size_t len);

/* RFC 8785 canonical form of a JSON text: members sorted by UTF-16 code units, ES6 numbers, no
 * white space. Duplicate names, lone surrogates and integers beyond +-(2^53-1) are refused, for two
 * different texts must never become one key. Appends to `out`. */
hardy_status json_canonical(const char *text, size_t len, struct buf *out, hardy_error *error);
/* Whether the text is one valid JSON value: E_SYNTAX when it is not, E_TOO_LARGE when it is nested
 * deeper than 64 levels, below which nothing is looked at. */
hardy_status json_check(const char *text, size_t len, hardy_error *error);
#endif
