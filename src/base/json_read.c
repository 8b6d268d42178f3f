/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One reader of JSON (RFC 8259) for both questions: is it valid, and what is its canonical form
 * (RFC 8785). `out` NULL asks only the first. An object's members are made canonical one by one in
 * a side buffer, sorted there, and then copied.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/number.h"
#include "base/str.h"
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEEPEST 64
#define SAFE_INTEGER 9007199254740991.0

struct reader {
    const char *start, *p, *end;
    unsigned depth;
    hardy_error *error;
};

static hardy_status tell(struct reader *r, hardy_status status, const char *at, const char *what) {
    size_t line = 1, column = 1;
    for (const char *p = r->start; p < at; p++) {
        column++;
        if (*p == '\n') {
            line++;
            column = 1;
        }
    }
    return fail(r->error, status, NULL, "JSON, line %zu column %zu: %s", line, column, what);
}

static hardy_status refuse_at(struct reader *r, const char *at, const char *what) {
    return tell(r, HARDY_E_SYNTAX, at, what);
}

static hardy_status refuse(struct reader *r, const char *what) {
    return refuse_at(r, r->p, r->p < r->end ? what : "the text ends too early");
}

static void skip_space(struct reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) {
        r->p++;
    }
}

static bool at(struct reader *r, char c) {
    return r->p < r->end && *r->p == c;
}

static bool read_hex(struct reader *r, unsigned *out) {
    if (r->end - r->p < 4) {
        return false;
    }
    *out = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        char c = *r->p;
        unsigned d;
        if (c >= '0' && c <= '9') {
            d = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            d = (unsigned)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            d = (unsigned)(c - 'A') + 10;
        } else {
            return false;
        }
        *out = *out * 16 + d;
    }
    return true;
}

static void put_utf8(struct buf *to, unsigned c) {
    char bytes[4];
    size_t len;
    if (c < 0x80) {
        bytes[0] = (char)c;
        len = 1;
    } else if (c < 0x800) {
        bytes[0] = (char)(0xc0 | c >> 6);
        len = 2;
    } else if (c < 0x10000) {
        bytes[0] = (char)(0xe0 | c >> 12);
        len = 3;
    } else {
        bytes[0] = (char)(0xf0 | c >> 18);
        len = 4;
    }
    for (size_t i = len - 1; i >= 1; i--) {
        bytes[i] = (char)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    buf_append(to, bytes, len);
}

/* After the backslash. */
static hardy_status read_escape(struct reader *r, struct buf *text) {
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *begin = r->p - 1;
    char c = r->p < r->end ? *r->p : '\0';
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        r->p++;
        if (text) {
            buf_putc(text, meanings[letter - letters]);
        }
        return HARDY_OK;
    }
    unsigned unit, low;
    if (c != 'u') {
        return refuse(r, "expected one of \" \\ / b f n r t u after the backslash");
    }
    r->p++;
    if (!read_hex(r, &unit)) {
        return refuse(r, "expected four hexadecimal digits after \\u");
    }
    if (!text) {
        return HARDY_OK;
    }
    if (unit >= 0xd800 && unit <= 0xdbff && r->end - r->p >= 6 && r->p[0] == '\\' &&
        r->p[1] == 'u') {
        r->p += 2;
        if (!read_hex(r, &low)) {
            return refuse(r, "expected four hexadecimal digits after \\u");
        }
        if (low >= 0xdc00 && low <= 0xdfff) {
            put_utf8(text, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
            return HARDY_OK;
        }
    }
    if (unit >= 0xd800 && unit <= 0xdfff) {
        return refuse_at(r, begin, "half of a surrogate pair has no canonical form");
    }
    put_utf8(text, unit);
    return HARDY_OK;
}

/* `text` gets the string without quotes and escapes; may be NULL. */
static hardy_status read_string(struct reader *r, struct buf *text) {
    if (!at(r, '"')) {
        return refuse(r, "expected a string in double quotes");
    }
    r->p++;
    while (!at(r, '"')) {
        if (r->p == r->end) {
            return refuse(r, "");
        }
        if ((unsigned char)*r->p < 0x20) {
            return refuse(r, "a control character in a string has to be escaped");
        }
        if (*r->p == '\\') {
            r->p++;
            hardy_status status = read_escape(r, text);
            if (status != HARDY_OK) {
                return status;
            }
            continue;
        }
        size_t size = str_utf8_length(r->p, (size_t)(r->end - r->p));
        if (size == 0) {
            return refuse(r, "a string is not valid UTF-8");
        }
        if (text) {
            buf_append(text, r->p, size);
        }
        r->p += size;
    }
    r->p++;
    return HARDY_OK;
}

static hardy_status string_value(struct reader *r, struct buf *out) {
    if (!out) {
        return read_string(r, NULL);
    }
    struct buf text;
    buf_init(&text, (size_t)(r->end - r->p) + 4);
    hardy_status status = read_string(r, &text);
    if (status == HARDY_OK) {
        json_put_quoted(out, text.data ? text.data : "", text.len);
        out->failed |= text.failed;
    }
    buf_free(&text);
    return status;
}

/* The significant digits of a literal, without zeros at either end. */
static size_t significant(const char *text, size_t len, char *out, size_t size) {
    size_t count = 0, last = 0;
    for (size_t i = 0; i < len && text[i] != 'e' && text[i] != 'E'; i++) {
        if (text[i] < '0' || text[i] > '9' || (text[i] == '0' && count == 0)) {
            continue;
        }
        if (count < size) {
            out[count] = text[i];
        }
        count++;
        if (text[i] != '0') {
            last = count;
        }
    }
    return last;
}

/* Fractions are rounded to the nearest double, as RFC 8785 has it. Refused is a number that becomes
 * 0 or infinite, and beyond the safe integers all but what the exponent form keeps digit by digit.
 */
static const char *number_objection(const char *literal, size_t len, double value,
                                    const char *canonical) {
    char given[24], kept[24];
    size_t digits = significant(literal, len, given, sizeof given);
    if (!isfinite(value)) {
        return "the number is too large";
    }
    if (value == 0 && digits > 0) {
        return "the number is too small";
    }
    if (fabs(value) <= SAFE_INTEGER) {
        return NULL;
    }
    if (!strchr(canonical, 'e') || digits > sizeof given ||
        digits != significant(canonical, strlen(canonical), kept, sizeof kept) ||
        memcmp(given, kept, digits) != 0) {
        return "an integer beyond 9007199254740991 is not exact everywhere: write it as a string";
    }
    return NULL;
}

static hardy_status number_value_of(struct reader *r, struct buf *out) {
    const char *literal = r->p;
    size_t len = number_scan(literal, (size_t)(r->end - literal), false);
    if (len == 0) {
        return refuse(r, "expected a number");
    }
    r->p += len;
    if (!out) {
        return HARDY_OK;
    }
    if (len > NUMBER_LONGEST) {
        return refuse_at(r, literal, "the number has more than 1000 characters");
    }
    char text[NUMBER_TEXT];
    double value = number_value(literal, len);
    number_format(value, text);
    const char *objection = number_objection(literal, len, value, text);
    if (objection) {
        return refuse_at(r, literal, objection);
    }
    buf_puts(out, text);
    return HARDY_OK;
}

static hardy_status word(struct reader *r, const char *text, struct buf *out) {
    size_t len = strlen(text);
    if ((size_t)(r->end - r->p) < len || memcmp(r->p, text, len) != 0) {
        return refuse(r, "expected a value: an object, array, string, number, true, false or null");
    }
    r->p += len;
    if (out) {
        buf_append(out, text, len);
    }
    return HARDY_OK;
}

static hardy_status value(struct reader *r, struct buf *out);

static hardy_status array(struct reader *r, struct buf *out) {
    r->p++;
    if (out) {
        buf_putc(out, '[');
    }
    skip_space(r);
    bool more = !at(r, ']');
    while (more) {
        hardy_status status = value(r, out);
        if (status != HARDY_OK) {
            return status;
        }
        more = at(r, ',');
        if (more) {
            r->p++;
            if (out) {
                buf_putc(out, ',');
            }
        }
    }
    if (!at(r, ']')) {
        return refuse(r, "expected a comma or ]");
    }
    r->p++;
    if (out) {
        buf_putc(out, ']');
    }
    return HARDY_OK;
}

/* Offsets while the side buffer still grows. */
struct member {
    size_t name, name_len, value, value_len;
    const char *base, *place;
};
struct members {
    struct member *list;
    size_t count, cap;
    struct buf text;
};

static unsigned code_point(const unsigned char *s, size_t *size) {
    *size = str_utf8_length((const char *)s, 4);
    switch (*size) {
    case 2:
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    case 3:
        return (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
    case 4:
        return (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
    default:
        *size = 1;
        return s[0];
    }
}

/* UTF-16 order differs from that of UTF-8 bytes in one place: characters beyond U+FFFF are
 * surrogates there, and so come before U+E000. */
static unsigned utf16_rank(unsigned c) {
    return c >= 0x10000 ? 0xd800 + ((c - 0x10000) >> 10) : c;
}

static int compare_names(const void *left, const void *right) {
    const struct member *a = left, *b = right;
    const unsigned char *p = (const unsigned char *)a->base + a->name;
    const unsigned char *q = (const unsigned char *)b->base + b->name;
    const unsigned char *p_end = p + a->name_len, *q_end = q + b->name_len;
    while (p < p_end && q < q_end) {
        size_t p_size, q_size;
        unsigned c = code_point(p, &p_size), d = code_point(q, &q_size);
        if (c != d) {
            unsigned rc = utf16_rank(c), rd = utf16_rank(d);
            return rc != rd ? (rc < rd ? -1 : 1) : (c < d ? -1 : 1);
        }
        p += p_size;
        q += q_size;
    }
    return (p < p_end) - (q < q_end);
}

static struct member *add_member(struct members *m) {
    if (m->count == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 8;
        struct member *list = realloc(m->list, cap * sizeof *list);
        if (!list) {
            m->text.failed = true;
            return NULL;
        }
        m->list = list;
        m->cap = cap;
    }
    struct member *added = &m->list[m->count++];
    *added = (struct member){.place = NULL};
    return added;
}

/* `m` NULL: only checked. */
static hardy_status read_member(struct reader *r, struct members *m) {
    skip_space(r);
    const char *place = r->p;
    size_t name = m ? m->text.len : 0;
    hardy_status status = read_string(r, m ? &m->text : NULL);
    if (status != HARDY_OK) {
        return status;
    }
    size_t name_end = m ? m->text.len : 0;
    skip_space(r);
    if (!at(r, ':')) {
        return refuse(r, "expected a colon after the name");
    }
    r->p++;
    status = value(r, m ? &m->text : NULL);
    if (status != HARDY_OK || !m) {
        return status;
    }
    struct member *added = add_member(m);
    if (!added) {
        return fail(r->error, HARDY_E_NOMEM, NULL, "out of memory for a JSON object");
    }
    *added = (struct member){.name = name,
                             .name_len = name_end - name,
                             .value = name_end,
                             .value_len = m->text.len - name_end,
                             .place = place};
    return HARDY_OK;
}

static hardy_status read_members(struct reader *r, struct members *m) {
    skip_space(r);
    bool more = !at(r, '}');
    while (more) {
        hardy_status status = read_member(r, m);
        if (status != HARDY_OK) {
            return status;
        }
        more = at(r, ',');
        if (more) {
            r->p++;
        }
    }
    if (!at(r, '}')) {
        return refuse(r, "expected a comma or }");
    }
    r->p++;
    return HARDY_OK;
}

static hardy_status write_members(struct reader *r, struct members *m, struct buf *out) {
    for (size_t i = 0; i < m->count; i++) {
        m->list[i].base = m->text.data;
    }
    if (m->count > 1) {
        qsort(m->list, m->count, sizeof m->list[0], compare_names);
    }
    buf_putc(out, '{');
    for (size_t i = 0; i < m->count; i++) {
        const struct member *one = &m->list[i];
        if (i > 0 && compare_names(one - 1, one) == 0) {
            const char *later = one->place > one[-1].place ? one->place : one[-1].place;
            return refuse_at(r, later, "the name stands in this object twice");
        }
        if (i > 0) {
            buf_putc(out, ',');
        }
        json_put_quoted(out, one->base + one->name, one->name_len);
        buf_putc(out, ':');
        buf_append(out, one->base + one->value, one->value_len);
    }
    buf_putc(out, '}');
    return HARDY_OK;
}

static hardy_status object(struct reader *r, struct buf *out) {
    r->p++;
    if (!out) {
        return read_members(r, NULL);
    }
    struct members m = {0};
    buf_init(&m.text, out->max);
    hardy_status status = read_members(r, &m);
    out->failed |= m.text.failed;
    if (status == HARDY_OK && !m.text.failed) {
        status = write_members(r, &m, out);
    }
    buf_free(&m.text);
    free(m.list);
    return status;
}

static hardy_status value(struct reader *r, struct buf *out) {
    hardy_status status;
    skip_space(r);
    char c = r->p < r->end ? *r->p : '\0';
    if (c == '{' || c == '[') {
        if (r->depth == DEEPEST) {
            return tell(r, HARDY_E_TOO_LARGE, r->p, "nested deeper than 64 levels");
        }
        r->depth++;
        status = c == '{' ? object(r, out) : array(r, out);
        r->depth--;
    } else if (c == '"') {
        status = string_value(r, out);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        status = number_value_of(r, out);
    } else {
        status = word(r, c == 't' ? "true" : c == 'f' ? "false" : "null", out);
    }
    skip_space(r);
    return status;
}

static hardy_status read_text(const char *text, size_t len, struct buf *out, hardy_error *error) {
    struct reader r = {.start = text, .p = text, .end = text + len, .error = error};
    hardy_status status = value(&r, out);
    if (status == HARDY_OK && r.p < r.end) {
        status = refuse(&r, "something follows the value");
    }
    return status;
}

hardy_status json_canonical(const char *text, size_t len, struct buf *out, hardy_error *error) {
    size_t before = out->len;
    hardy_status status = read_text(text, len, out, error);
    if (status == HARDY_OK && out->failed) {
        status =
            fail(error, HARDY_E_TOO_LARGE, NULL,
                 "the canonical JSON does not fit into %zu bytes, or memory is short", out->max);
    }
    if (status != HARDY_OK && out->len > before) {
        out->len = before;
        out->data[before] = '\0';
    }
    return status;
}

hardy_status json_check(const char *text, size_t len, hardy_error *error) {
    return read_text(text, len, NULL, error);
}
