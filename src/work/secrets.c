/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All forms of all values stand in one automaton (Aho and Corasick), which reads the text once and
 * knows at each byte the longest form that ends there. What these places cover is masked, so it
 * does not matter in which order they are found.
 */
#include "work/secrets.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Of base64 from the middle of something: shorter ones are met by chance. */
enum { CORE_MIN = 8, FORM_MAX = 1 << 20, LONGEST_ESCAPE = 6 };
static const char mask[] = "***"; /* no longer than SECRET_MIN */

struct node {
    uint32_t child, sibling; /* 0 = none: the root is nobody's child */
    uint32_t fail;           /* the longest proper ending of this that is also a beginning */
    uint32_t longest;        /* of the forms that end here; 0 = none */
    unsigned char byte;
};
struct secrets {
    struct node *nodes; /* the root is the first */
    size_t count, cap;
    uint32_t first[256]; /* the root's children */
    bool failed;         /* no memory */
};

/* --- the automaton ---------------------------------------------------------------------------- */

static uint32_t child_of(const struct secrets *s, uint32_t node, unsigned char byte) {
    if (node == 0) {
        return s->first[byte];
    }
    uint32_t child = s->nodes[node].child;
    while (child && s->nodes[child].byte != byte) {
        child = s->nodes[child].sibling;
    }
    return child;
}

static uint32_t next_of(const struct secrets *s, uint32_t node, unsigned char byte) {
    for (;;) {
        uint32_t child = child_of(s, node, byte);
        if (child || node == 0) {
            return child;
        }
        node = s->nodes[node].fail;
    }
}

static void wipe_nodes(struct node *nodes, size_t count) {
    if (nodes) {
        explicit_bzero(nodes, count * sizeof *nodes);
    }
    free(nodes);
}

/* Not by realloc(): what it leaves behind is not overwritten. */
static bool grow(struct secrets *s) {
    size_t cap = s->cap ? 2 * s->cap : 256;
    struct node *nodes = calloc(cap, sizeof *nodes);
    if (!nodes) {
        s->failed = true;
        return false;
    }
    if (s->nodes) {
        memcpy(nodes, s->nodes, s->count * sizeof *nodes);
    } else {
        s->count = 1;
    }
    wipe_nodes(s->nodes, s->cap);
    s->nodes = nodes;
    s->cap = cap;
    return true;
}

static void add_form(struct secrets *s, const char *form, size_t len) {
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)form[i];
        uint32_t child = child_of(s, node, byte);
        if (!child) {
            if (s->count == s->cap && !grow(s)) {
                return;
            }
            child = (uint32_t)s->count++;
            s->nodes[child].byte = byte;
            if (node == 0) {
                s->first[byte] = child;
            } else {
                s->nodes[child].sibling = s->nodes[node].child;
                s->nodes[node].child = child;
            }
        }
        node = child;
    }
    s->nodes[node].longest = (uint32_t)len;
}

/* Level by level: the endings of a node are shorter than itself. */
static void link_endings(struct secrets *s) {
    uint32_t *queue = calloc(s->count, sizeof *queue);
    size_t head = 0, tail = 0;
    if (!queue) {
        s->failed = true;
        return;
    }
    for (size_t byte = 0; byte < 256; byte++) {
        if (s->first[byte]) {
            queue[tail++] = s->first[byte];
        }
    }
    while (head < tail) {
        struct node *node = &s->nodes[queue[head++]];
        if (node->longest == 0) {
            node->longest = s->nodes[node->fail].longest;
        }
        for (uint32_t child = node->child; child; child = s->nodes[child].sibling) {
            s->nodes[child].fail = next_of(s, node->fail, s->nodes[child].byte);
            queue[tail++] = child;
        }
    }
    free(queue);
}

/* --- the forms of a value --------------------------------------------------------------------- */

struct writer { /* of JSON: what it escapes besides what it must */
    bool slash, html, beyond_ascii, upper;
};

static void put_unit(struct buf *out, unsigned unit, bool upper) {
    buf_printf(out, upper ? "\\u%04X" : "\\u%04x", unit);
}

static void put_character(struct buf *out, const char *at, size_t len, struct writer w) {
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    unsigned char c = (unsigned char)*at;
    const char *known = c ? strchr(plain, c) : NULL;
    if (known) {
        buf_putc(out, '\\');
        buf_putc(out, letters[known - plain]);
    } else if (c < ' ' || (w.html && strchr("<>&", c))) {
        put_unit(out, c, w.upper);
    } else if (c == '/' && w.slash) {
        buf_puts(out, "\\/");
    } else if (len == 1 || !w.beyond_ascii) {
        buf_append(out, at, len);
    } else {
        uint32_t code = c & (0xffu >> (len + 1));
        for (size_t i = 1; i < len; i++) {
            code = code << 6 | ((unsigned char)at[i] & 0x3f);
        }
        if (code >= 0x10000) {
            code -= 0x10000;
            put_unit(out, 0xd800 + (code >> 10), w.upper);
            code = 0xdc00 + (code & 0x3ff);
        }
        put_unit(out, code, w.upper);
    }
}

static void add_json(struct secrets *s, const char *value, size_t len) {
    static const struct writer writers[] = {
        {0},
        {.slash = true},
        {.html = true},
        {.beyond_ascii = true},
        {.beyond_ascii = true, .upper = true},
        {.beyond_ascii = true, .slash = true},
        {.beyond_ascii = true, .slash = true, .upper = true},
    };
    if (!str_valid_utf8(value, len)) {
        return;
    }
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++) {
        struct buf form;
        buf_init(&form, FORM_MAX);
        buf_reserve(&form, LONGEST_ESCAPE * len + 1);
        for (size_t at = 0; at < len;) {
            size_t size = str_utf8_length(value + at, len - at);
            put_character(&form, value + at, size, writers[i]);
            at += size;
        }
        s->failed |= form.failed;
        add_form(s, form.data, form.len);
        explicit_bzero(form.data, form.len);
        buf_free(&form);
    }
}

static void add_percent(struct secrets *s, const char *value, size_t len, const char *digits,
                        bool plus) {
    struct buf form;
    buf_init(&form, FORM_MAX);
    buf_reserve(&form, 3 * len + 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-._~", c))) {
            buf_putc(&form, (char)c);
        } else if (c == ' ' && plus) {
            buf_putc(&form, '+');
        } else {
            buf_putc(&form, '%');
            buf_putc(&form, digits[c >> 4]);
            buf_putc(&form, digits[c & 15]);
        }
    }
    s->failed |= form.failed;
    add_form(s, form.data, form.len);
    explicit_bzero(form.data, form.len);
    buf_free(&form);
}

/* `before` bytes of something else stand in front, in the same group of three. */
static void add_base64(struct secrets *s, const char *value, size_t len, size_t before,
                       const char *alphabet) {
    struct buf form;
    size_t bits = 8 * (before + len), chars = (bits + 5) / 6;
    buf_init(&form, FORM_MAX);
    buf_reserve(&form, chars + 3);
    for (size_t k = 0; k < chars; k++) {
        unsigned six = 0;
        for (size_t bit = 6 * k; bit < 6 * k + 6; bit++) {
            size_t byte = bit / 8;
            unsigned one = byte < before || byte >= before + len
                               ? 0
                               : ((unsigned char)value[byte - before] >> (7 - bit % 8)) & 1u;
            six = six << 1 | one;
        }
        buf_putc(&form, alphabet[six]);
    }
    s->failed |= form.failed;
    if (!form.failed) {
        /* Those that something else has no part in. */
        size_t from = (8 * before + 5) / 6, to = bits / 6;
        if (to >= from + CORE_MIN) {
            add_form(s, form.data + from, to - from);
        }
        if (before == 0) {
            add_form(s, form.data, form.len);
            while (form.len % 4 != 0) {
                buf_putc(&form, '=');
            }
            add_form(s, form.data, form.len);
        }
        explicit_bzero(form.data, form.len);
    }
    buf_free(&form);
}

static void add_value(struct secrets *s, const char *value, size_t len) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    static const char *const last[] = {"+/", "-_"};
    add_form(s, value, len);
    add_json(s, value, len);
    add_percent(s, value, len, "0123456789ABCDEF", false);
    add_percent(s, value, len, "0123456789abcdef", false);
    add_percent(s, value, len, "0123456789ABCDEF", true);
    for (size_t i = 0; i < 2; i++) {
        char alphabet[65];
        memcpy(alphabet, letters, 62);
        memcpy(alphabet + 62, last[i], 3);
        for (size_t before = 0; before < 3; before++) {
            add_base64(s, value, len, before, alphabet);
        }
    }
}

hardy_status secrets_new(const struct secret_value *values, size_t count, struct secrets **out,
                         hardy_error *error) {
    size_t bytes = 0;
    *out = NULL;
    for (size_t i = 0; i < count; i++) {
        if (values[i].len < SECRET_MIN) {
            return fail(error, HARDY_E_INVALID, NULL,
                        "the secret %.100s has %zu bytes: one of less than %d would be found all "
                        "over the output by chance, and could not be kept out of it",
                        values[i].name, values[i].len, SECRET_MIN);
        }
        bytes += values[i].len < SECRETS_BYTES_MAX ? values[i].len : SECRETS_BYTES_MAX;
        if (bytes > SECRETS_BYTES_MAX) {
            return fail(error, HARDY_E_TOO_LARGE, NULL,
                        "the secrets up to %.100s have more than %zu bytes together",
                        values[i].name, SECRETS_BYTES_MAX);
        }
    }
    struct secrets *s = calloc(1, sizeof *s);
    if (s && grow(s)) {
        for (size_t i = 0; i < count && !s->failed; i++) {
            add_value(s, values[i].value, values[i].len);
        }
        if (!s->failed) {
            link_endings(s);
        }
    }
    if (!s || s->failed) {
        secrets_free(s);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory to keep secrets out of the output");
    }
    *out = s;
    return HARDY_OK;
}

void secrets_free(struct secrets *s) {
    if (s) {
        wipe_nodes(s->nodes, s->cap);
        free(s);
    }
}

/* --- masking ---------------------------------------------------------------------------------- */

struct place {
    size_t from, to;
};
struct places { /* apart from one another, in order */
    struct place *list;
    size_t count, cap;
};

/* `to` is behind all that are there; what it overlaps becomes one with it. */
static bool add_place(struct places *p, size_t from, size_t to) {
    while (p->count > 0 && from < p->list[p->count - 1].to) {
        p->count--;
        from = p->list[p->count].from < from ? p->list[p->count].from : from;
    }
    if (p->count == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        struct place *list = realloc(p->list, cap * sizeof *list);
        if (!list) {
            return false;
        }
        p->list = list;
        p->cap = cap;
    }
    p->list[p->count++] = (struct place){from, to};
    return true;
}

static size_t put_masks(const struct places *p, char *text, size_t len) {
    size_t out = 0, at = 0;
    for (size_t i = 0; i <= p->count; i++) {
        size_t until = i < p->count ? p->list[i].from : len;
        memmove(text + out, text + at, until - at);
        out += until - at;
        if (i < p->count) {
            memcpy(text + out, mask, sizeof mask - 1);
            out += sizeof mask - 1;
            at = p->list[i].to;
        }
    }
    return out;
}

void secrets_mask(const struct secrets *s, char *text, size_t *len) {
    struct places places = {0};
    size_t before = *len;
    uint32_t node = 0;
    bool ok = true;
    for (size_t i = 0; s && ok && i < before; i++) {
        node = next_of(s, node, (unsigned char)text[i]);
        size_t longest = s->nodes[node].longest;
        if (longest > 0) {
            ok = add_place(&places, i + 1 - longest, i + 1);
        }
    }
    if (!ok) {
        *len = before < sizeof mask - 1 ? before : sizeof mask - 1;
        memcpy(text, mask, *len);
    } else if (places.count > 0) {
        *len = put_masks(&places, text, before);
    }
    if (*len < before) {
        text[*len] = '\0';
    }
    free(places.list);
}
