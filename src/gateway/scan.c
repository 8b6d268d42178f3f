/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass, with a stack of SCAN_DEPTH levels for the objects that something is wanted from;
 * whatever else is nested is passed over with a counter, however deep it is.
 */
#include "gateway/scan.h"
#include "base/number.h"
#include "base/str.h"
#include <endian.h>
#include <string.h>

/* A set of wants, by their position. */
typedef uint32_t set;

struct name {
    const char *at;
    size_t len;
};

/* An object that is being read. */
struct level {
    set inside; /* wants that may be found in it */
    set itself; /* wants that are this very object, which began at `start` */
    const char *start;
};

struct scan {
    const char *at, *end; /* what is left of the text */
    struct scan_want *wants;
    struct name names[SCAN_WANTS][SCAN_DEPTH];
    unsigned depths[SCAN_WANTS]; /* how many names lead there */
    struct level levels[SCAN_DEPTH];
    unsigned depth; /* of the level that is being read */
};

/* --- passing over ----------------------------------------------------------------------------- */

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_space(struct scan *s) {
    while (s->at < s->end && is_space(*s->at)) {
        s->at++;
    }
}

/* Like memchr() for a quote. Names, and what stands between escaped quotes, are so short that the
 * call itself would cost more than the looking: the first words are looked through here. */
static const char *find_quote(const char *at, const char *end) {
    const uint64_t ones = UINT64_MAX / 0xff;
    for (int i = 0; i < 4 && end - at >= (ptrdiff_t)sizeof(uint64_t); i++) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        word = le64toh(word) ^ ones * '"';
        /* The lowest bit is of the first byte that is zero. */
        uint64_t zeros = (word - ones) & ~word & ones * 0x80;
        if (zeros != 0) {
            return at + __builtin_ctzll(zeros) / 8;
        }
        at += sizeof word;
    }
    return memchr(at, '"', (size_t)(end - at));
}

/* The quote that closes the string whose content begins at `at`; NULL = it is not here. */
static const char *string_end(const char *at, const char *end) {
    for (;;) {
        const char *quote = find_quote(at, end);
        if (!quote) {
            return NULL;
        }
        const char *slash = quote;
        while (slash > at && slash[-1] == '\\') {
            slash--;
        }
        if ((quote - slash) % 2 == 0) {
            return quote;
        }
        at = quote + 1; /* escaped: its backslashes need not be counted again */
    }
}

enum { PLAIN, QUOTE, OPEN, CLOSE };
static const unsigned char classes[256] = {
    ['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE,
};

/* Behind the bracket that closes the one at `at`; NULL = it is not here. */
static const char *nested_end(const char *at, const char *end) {
    size_t depth = 0;
    for (; at < end; at++) {
        switch (classes[(unsigned char)*at]) {
        case QUOTE:
            at = string_end(at + 1, end);
            if (!at) {
                return NULL;
            }
            break;
        case OPEN:
            depth++;
            break;
        case CLOSE:
            if (--depth == 0) {
                return at + 1;
            }
            break;
        default:
            break;
        }
    }
    return NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool take_word(struct scan *s, const char *word, size_t len, enum scan_kind kind,
                      struct scan_value *out) {
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0) {
        return false;
    }
    *out = (struct scan_value){.kind = kind, .at = s->at, .len = len};
    s->at += len;
    return true;
}

/* The value that begins here, an object that is not read included. */
static bool take_value(struct scan *s, struct scan_value *out) {
    const char *start = s->at, *stop;
    switch (*start) {
    case '"':
        stop = string_end(start + 1, s->end);
        if (!stop) {
            return false;
        }
        *out = (struct scan_value){SCAN_STRING, start + 1, (size_t)(stop - start - 1)};
        s->at = stop + 1;
        return true;
    case '{':
    case '[':
        stop = nested_end(start, s->end);
        if (!stop) {
            return false;
        }
        *out = (struct scan_value){*start == '{' ? SCAN_OBJECT : SCAN_ARRAY, start,
                                   (size_t)(stop - start)};
        s->at = stop;
        return true;
    case 't':
        return take_word(s, "true", 4, SCAN_TRUE, out);
    case 'f':
        return take_word(s, "false", 5, SCAN_FALSE, out);
    case 'n':
        return take_word(s, "null", 4, SCAN_NULL, out);
    default: {
        size_t len = number_scan(start, (size_t)(s->end - start), false);
        *out = (struct scan_value){SCAN_NUMBER, start, len};
        s->at += len;
        /* At the end of the text there may have been more of it. */
        return len > 0 && s->at < s->end && (*s->at == ',' || *s->at == '}' || is_space(*s->at));
    }
    }
}

/* --- names ------------------------------------------------------------------------------------ */

/* A path that is too deep, or has a name too many, is never found: its depth stays 0. */
static void read_path(struct scan *s, size_t want) {
    const char *at = s->wants[want].path;
    s->depths[want] = 0;
    for (unsigned depth = 0; depth < SCAN_DEPTH; depth++) {
        size_t len = strcspn(at, ".");
        s->names[want][depth] = (struct name){at, len};
        if (at[len] == '\0') {
            s->depths[want] = depth + 1;
            return;
        }
        at += len + 1;
    }
}

static set only(size_t want) {
    return (set)1 << want;
}

/* Those of `among` that have this name at the level being read. */
static set find_named(const struct scan *s, set among, const char *name, size_t len) {
    set found = 0;
    for (set left = among; left != 0; left &= left - 1) {
        size_t want = (size_t)__builtin_ctz(left);
        const struct name *n = &s->names[want][s->depth];
        if (n->len == len && memcmp(n->at, name, len) == 0) {
            found |= only(want);
        }
    }
    return found;
}

static void fill(struct scan *s, set which, const struct scan_value *value) {
    for (; which != 0; which &= which - 1) {
        s->wants[__builtin_ctz(which)].value = *value;
    }
}

/* --- objects ---------------------------------------------------------------------------------- */

/* The value of a name that `named` want something of. False = it is not there as a whole. */
static bool read_value(struct scan *s, set named) {
    set itself = 0;
    for (set left = named; left != 0; left &= left - 1) {
        size_t want = (size_t)__builtin_ctz(left);
        if (s->depths[want] == s->depth + 1) {
            itself |= only(want);
        }
    }
    set deeper = named & ~itself;
    /* What an object of the same name held before does not count any more. */
    fill(s, deeper, &(struct scan_value){0});
    if (deeper != 0 && *s->at == '{') {
        s->levels[++s->depth] = (struct level){deeper, itself, s->at++};
        return true;
    }
    struct scan_value value;
    if (!take_value(s, &value)) {
        return false;
    }
    fill(s, itself, &value);
    return true;
}

static bool read_member(struct scan *s) {
    if (s->at == s->end || *s->at != '"') {
        return false;
    }
    const char *name = s->at + 1, *stop = string_end(name, s->end);
    if (!stop) {
        return false;
    }
    s->at = stop + 1;
    skip_space(s);
    if (s->at == s->end || *s->at++ != ':') {
        return false;
    }
    skip_space(s);
    set among = s->levels[s->depth].inside;
    return s->at < s->end && read_value(s, find_named(s, among, name, (size_t)(stop - name)));
}

static void close_object(struct scan *s) {
    const struct level *l = &s->levels[s->depth];
    s->at++;
    fill(s, l->itself, &(struct scan_value){SCAN_OBJECT, l->start, (size_t)(s->at - l->start)});
}

/* Reads the members of the object whose brace was passed, and of those inside that are of
 * interest. */
static bool read_objects(struct scan *s) {
    bool first = true; /* nothing stands before: no comma is due */
    for (;;) {
        skip_space(s);
        if (s->at == s->end) {
            return false;
        }
        if (*s->at == '}') {
            close_object(s);
            if (s->depth == 0) {
                return true;
            }
            s->depth--;
            first = false;
            continue;
        }
        if (!first) {
            if (*s->at++ != ',') {
                return false;
            }
            skip_space(s);
        }
        unsigned depth = s->depth;
        if (!read_member(s)) {
            return false;
        }
        first = s->depth != depth;
    }
}

bool scan_json(const char *text, size_t len, struct scan_want *wants, size_t count) {
    struct scan s; /* not emptied as a whole: that would take longer than a small text */
    s.at = text;
    s.end = text + len;
    s.wants = wants;
    s.depth = 0;
    set all = 0;
    for (size_t i = 0; i < count; i++) {
        wants[i].value = (struct scan_value){0};
        if (i < SCAN_WANTS) {
            read_path(&s, i);
            all |= s.depths[i] > 0 ? only(i) : 0;
        }
    }
    skip_space(&s);
    if (s.at == s.end || *s.at != '{') {
        return false;
    }
    s.at++;
    s.levels[0] = (struct level){.inside = all};
    if (!read_objects(&s)) {
        return false;
    }
    skip_space(&s);
    return s.at == s.end;
}

/* --- reading what was found ------------------------------------------------------------------- */

bool scan_is(const struct scan_value *value, const char *text) {
    return value->kind == SCAN_STRING && strlen(text) == value->len &&
           memcmp(value->at, text, value->len) == 0;
}

int64_t scan_integer(const struct scan_value *value) {
    if (value->kind != SCAN_NUMBER) {
        return -1;
    }
    int64_t whole = 0;
    size_t i = 0;
    for (; i < value->len && value->at[i] >= '0' && value->at[i] <= '9'; i++) {
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, value->at[i] - '0', &whole)) {
            whole = INT64_MAX;
        }
    }
    if (i == value->len) {
        return whole;
    }
    double number = value->len <= NUMBER_LONGEST ? number_value(value->at, value->len) : -1;
    if (number >= 0x1p63) {
        return INT64_MAX;
    }
    return number >= 0 && (double)(int64_t)number == number ? (int64_t)number : -1;
}

void scan_copy(const struct scan_value *value, char *out, size_t size) {
    if (size == 0) {
        return;
    }
    size_t len = value->kind == SCAN_STRING ? value->len : 0;
    if (len >= size) {
        len = size - 1;
        /* Back to where the character that does not fit begins. */
        for (int i = 0; i < 3 && len > 0 && ((unsigned char)value->at[len] & 0xc0) == 0x80; i++) {
            len--;
        }
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = value->at[i];
        if (out[i] == '\0') {
            out[i] = '?'; /* the text must not end here */
        }
    }
    out[len] = '\0';
    str_make_printable(out);
}
