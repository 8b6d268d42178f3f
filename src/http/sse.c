/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte is looked at twice, by memchr() both times: as it comes, for the empty line that ends
 * an event, and when its event is complete, for the fields. What is held of an unfinished event is
 * not looked through again: its last bytes tell all that the next read has to know.
 */
#include "http/sse.h"
#include <string.h>

#define KEPT_MEMORY ((size_t)4096) /* of each buffer, between events */

static const char bom[] = "\xef\xbb\xbf";
#define BOM_LENGTH (sizeof bom - 1)

void sse_init(struct sse *s, size_t event_max,
              void (*event)(void *ctx, const struct sse_event *event), void *ctx) {
    *s = (struct sse){.event = event, .ctx = ctx};
    buf_init(&s->tail, event_max);
    buf_init(&s->joined, event_max);
}

void sse_free(struct sse *s) {
    buf_free(&s->tail);
    buf_free(&s->joined);
}

bool sse_inside(const struct sse *s) {
    return s->tail.len > 0;
}

static void empty(struct buf *b) {
    if (b->cap > KEPT_MEMORY) {
        buf_free(b);
    } else {
        buf_reset(b);
    }
}

static hardy_status give_up(struct sse *s, hardy_status why) {
    s->failed = why;
    buf_free(&s->tail);
    buf_free(&s->joined);
    return why;
}

static hardy_status hold(struct sse *s, const char *data, size_t len) {
    if (buf_append(&s->tail, data, len)) {
        return HARDY_OK;
    }
    return give_up(s, s->tail.full ? HARDY_E_TOO_LARGE : HARDY_E_NOMEM);
}

/* --- lines ------------------------------------------------------------------------------------ */

/* The next LF and the next CR are remembered: where one of them is rare, looking for it anew from
 * every line would be quadratic. */
struct lines {
    const char *text;
    size_t len;
    size_t lf, cr; /* len = none any more */
};

static size_t find(const struct lines *l, size_t from, char c) {
    const char *at = from < l->len ? memchr(l->text + from, c, l->len - from) : NULL;
    return at ? (size_t)(at - l->text) : l->len;
}

static void lines_begin(struct lines *l, const char *text, size_t len) {
    *l = (struct lines){.text = text, .len = len};
    l->lf = find(l, 0, '\n');
    l->cr = find(l, 0, '\r');
}

/* Where the line that begins at `from` ends, without its CR or LF; l->len = not here. */
static size_t line_end(struct lines *l, size_t from) {
    if (l->lf < from) {
        l->lf = find(l, from, '\n');
    }
    if (l->cr < from) {
        l->cr = find(l, from, '\r');
    }
    return l->lf < l->cr ? l->lf : l->cr;
}

/* --- the end of an event ---------------------------------------------------------------------- */

/* Whether the `len` bytes behind the held ones make these the stream's mark of byte order. */
static bool is_bom(const struct sse *s, const char *text, size_t len) {
    size_t held = s->tail.len;
    return !s->begun && held + len == BOM_LENGTH &&
           (held == 0 || memcmp(s->tail.data, bom, held) == 0) &&
           (len == 0 || memcmp(text, bom + held, len) == 0);
}

/* Where the next byte stands in its line, told by the bytes that are held. */
struct place {
    bool line_start;
    bool after_cr; /* an LF would still belong to the line before */
    bool complete; /* that line was the empty one */
};

static struct place find_place(const struct sse *s) {
    const char *held = s->tail.data;
    size_t len = s->tail.len;
    struct place p = {.line_start = len == 0 || held[len - 1] == '\n'};
    if (len > 0 && held[len - 1] == '\r') {
        p.line_start = p.after_cr = true;
        /* No CR: an empty line behind a bare CR was told at once. */
        p.complete = len == 1 || held[len - 2] == '\n' ||
                     (!s->begun && len == BOM_LENGTH + 1 && memcmp(held, bom, BOM_LENGTH) == 0);
    }
    return p;
}

/* Behind the empty line that ends the event whose bytes go on at `from`; false = not here. */
static bool find_end(const struct sse *s, struct lines *l, size_t from, size_t *end) {
    struct place p = find_place(s);
    size_t at = from;
    bool bare = false; /* the line before ended in CR alone */
    if (p.after_cr) {
        bare = l->text[at] != '\n';
        at += !bare;
        if (p.complete) {
            *end = at;
            return true;
        }
    }
    for (size_t stop; (stop = line_end(l, at)) < l->len; p.line_start = true) {
        bool blank = (p.line_start && stop == at) || is_bom(s, l->text + from, stop - from);
        size_t next = stop + 1;
        if (l->text[stop] == '\n') {
            bare = false;
        } else if (!(blank && bare)) {
            if (next == l->len) {
                return false;
            }
            bare = l->text[next] != '\n';
            next += !bare;
        }
        if (blank) {
            *end = next;
            return true;
        }
        at = next;
    }
    return false;
}

/* --- the fields of an event ------------------------------------------------------------------- */

/* "name: value", "name:value" or "name" alone. */
static bool read_field(const char *line, size_t len, const char *name, size_t name_len,
                       const char **value, size_t *value_len) {
    if (len < name_len || memcmp(line, name, name_len) != 0 ||
        (len > name_len && line[name_len] != ':')) {
        return false;
    }
    size_t skip = name_len;
    skip += skip < len;                      /* the colon */
    skip += skip < len && line[skip] == ' '; /* one space, no more */
    *value = line + skip;
    *value_len = len - skip;
    return true;
}

/* One line of data is borrowed where it lies; only from the second on are they joined. */
static bool add_data(struct sse *s, struct sse_event *e, const char *value, size_t len) {
    if (!e->has_data) {
        e->has_data = true;
        e->data = value;
        e->data_len = len;
        return true;
    }
    if (s->joined.len == 0 && !buf_append(&s->joined, e->data, e->data_len)) {
        return false;
    }
    if (!buf_putc(&s->joined, '\n') || !buf_append(&s->joined, value, len)) {
        return false;
    }
    e->data = s->joined.data;
    e->data_len = s->joined.len;
    return true;
}

static hardy_status tell(struct sse *s, const char *bytes, size_t len, bool whole) {
    struct sse_event e = {.bytes = bytes, .len = len, .name = "", .data = "", .whole = whole};
    size_t at =
        !s->begun && len >= BOM_LENGTH && memcmp(bytes, bom, BOM_LENGTH) == 0 ? BOM_LENGTH : 0;
    struct lines l;
    lines_begin(&l, bytes, len);
    while (at < len) {
        size_t stop = line_end(&l, at);
        const char *value;
        size_t value_len;
        if (read_field(bytes + at, stop - at, "data", 4, &value, &value_len)) {
            if (!add_data(s, &e, value, value_len)) {
                return give_up(s, HARDY_E_NOMEM);
            }
        } else if (read_field(bytes + at, stop - at, "event", 5, &value, &value_len)) {
            e.name = value;
            e.name_len = value_len;
        }
        at = stop + 1; /* of a CR LF, the LF is read as an empty line more: no field either */
    }
    s->begun = true;
    s->event(s->ctx, &e);
    empty(&s->joined);
    return HARDY_OK;
}

/* --- feeding ---------------------------------------------------------------------------------- */

/* Tells the event that is complete with `len` bytes more. */
static hardy_status complete(struct sse *s, const char *data, size_t len) {
    if (s->tail.len == 0) {
        return len > s->tail.max ? give_up(s, HARDY_E_TOO_LARGE) : tell(s, data, len, true);
    }
    hardy_status status = hold(s, data, len);
    if (status == HARDY_OK) {
        status = tell(s, s->tail.data, s->tail.len, true);
        empty(&s->tail);
    }
    return status;
}

hardy_status sse_feed(struct sse *s, const char *data, size_t len) {
    if (s->failed != HARDY_OK || len == 0) {
        return s->failed;
    }
    struct lines l;
    size_t at = 0, end;
    lines_begin(&l, data, len);
    while (at < len && find_end(s, &l, at, &end)) {
        hardy_status status = complete(s, data + at, end - at);
        if (status != HARDY_OK) {
            return status;
        }
        at = end;
    }
    return at < len ? hold(s, data + at, len - at) : HARDY_OK;
}

hardy_status sse_finish(struct sse *s) {
    if (s->failed != HARDY_OK || s->tail.len == 0) {
        return s->failed;
    }
    hardy_status status = tell(s, s->tail.data, s->tail.len, find_place(s).complete);
    empty(&s->tail);
    return status;
}
