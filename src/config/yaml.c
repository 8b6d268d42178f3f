/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree is composed from libyaml's events rather than taken from its document API: the limits on
 * depth, values and anchors hold while the file is read, not after it, and tags are seen.
 */
#include "config/yaml.h"
#include "base/error.h"
#include "base/json.h"
#include "base/number.h"
#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#define MAX_DEPTH 64
#define MAX_NODES 100000
#define MAX_ANCHORS 1000

/* --- memory: released all at once ------------------------------------------------------------- */

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(max_align_t) char data[];
};

static void *take(struct yaml_file *file, size_t size) {
    struct chunk *chunk = file->memory;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!chunk || size > chunk->size - chunk->used) {
        size_t room = size > 16384 ? size : 16384;
        chunk = malloc(sizeof *chunk + room);
        if (!chunk) {
            return NULL;
        }
        *chunk = (struct chunk){.next = file->memory, .size = room};
        file->memory = chunk;
    }
    void *p = chunk->data + chunk->used;
    chunk->used += size;
    memset(p, 0, size);
    return p;
}

const char *yaml_keep(struct yaml_file *file, const char *bytes, size_t len) {
    char *copy = take(file, len + 1);
    if (copy && len > 0) {
        memcpy(copy, bytes, len);
    }
    return copy;
}

void yaml_close(struct yaml_file *file) {
    if (!file) {
        return;
    }
    for (struct chunk *chunk = file->memory; chunk;) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(file);
}

/* --- places ----------------------------------------------------------------------------------- */

/* "path:line:column"; of a path that does not fit the end is kept. */
static void format_place(const char *path, size_t line, size_t column, char *out, size_t size) {
    char place[48];
    snprintf(place, sizeof place, ":%zu:%zu", line, column);
    path = strcmp(path, "-") == 0 ? "standard input" : path;
    size_t len = strlen(path), room = size - 1 - strlen(place);
    bool cut = len > room;
    if (cut) {
        path += len - (room - 3);
        while (((unsigned char)*path & 0xc0) == 0x80) {
            path++;
        }
    }
    snprintf(out, size, "%s%s%s", cut ? "..." : "", path, place);
}

hardy_status yaml_fail(const struct yaml_node *node, hardy_error *error, const char *format, ...) {
    if (error) {
        char place[sizeof error->where], message[sizeof error->message];
        format_place(node->file->path, (size_t)node->line, (size_t)node->column, place,
                     sizeof place);
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        fail(error, HARDY_E_SYNTAX, place, "%s", message);
    }
    return HARDY_E_SYNTAX;
}

static bool find_path(const struct yaml_node *at, const struct yaml_node *node, struct buf *out) {
    if (at == node) {
        return true;
    }
    for (size_t i = 0; i < at->count; i++) {
        size_t len = out->len;
        if (at->kind == YAML_MAP) {
            buf_printf(out, "%s%s", len > 0 ? "." : "", at->keys[i]->text);
        } else {
            buf_printf(out, "[%zu]", i);
        }
        if ((at->kind == YAML_MAP && at->keys[i] == node) || find_path(at->items[i], node, out)) {
            return true;
        }
        out->len = len;
    }
    return false;
}

void yaml_path(const struct yaml_node *node, struct buf *out) {
    struct buf path;
    buf_init(&path, 4096);
    if (find_path(node->file->root, node, &path)) {
        buf_append(out, path.data, path.len);
    }
    buf_free(&path);
}

const char *yaml_kind_text(const struct yaml_node *node) {
    static const char *const texts[] = {"empty", "text", "a list", "a map"};
    return texts[node->kind];
}

/* --- composing -------------------------------------------------------------------------------- */

struct anchor {
    const char *name;
    struct yaml_node *node; /* NULL: still being composed */
};
struct loader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    struct yaml_file *file;
    const char *text; /* the file's bytes without a byte order mark */
    size_t len;
    hardy_error *error;
    hardy_status status; /* the first failure */
    size_t nodes;
    struct yaml_node **stack; /* children of the collections being composed */
    size_t stacked, stack_cap;
    struct anchor *anchors;
    size_t anchor_count, anchor_cap;
};

static bool give_up(struct loader *l, hardy_status status, const yaml_mark_t *mark,
                    const char *format, ...) HARDY_PRINTF(4, 5);
static bool give_up(struct loader *l, hardy_status status, const yaml_mark_t *mark,
                    const char *format, ...) {
    if (l->status == HARDY_OK) {
        char place[sizeof l->error->where], message[sizeof l->error->message];
        format_place(l->file->path, mark->line + 1, mark->column + 1, place, sizeof place);
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        l->status = fail(l->error, status, place, "%s", message);
    }
    return false;
}

static bool no_memory(struct loader *l) {
    if (l->status == HARDY_OK) {
        l->status = fail(l->error, HARDY_E_NOMEM, l->file->path, "out of memory");
    }
    return false;
}

/* The line and column of a byte, in characters. */
static yaml_mark_t mark_of(const char *bytes, size_t offset) {
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset; i++) {
        if (bytes[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)bytes[i] & 0xc0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

/* The parser's own words, and what to do about the ones that people meet. */
static const char *advice(const char *problem) {
    static const struct {
        const char *problem, *text;
    } known[] = {
        {"mapping values are not allowed in this context",
         "\": \" cannot stand here: a second one in the line, wrong indentation, or a line above "
         "without one; quote a value that holds \": \""},
        {"found a tab character that violates indentation", "a tab cannot indent YAML; use spaces"},
        {"found incompatible YAML document", "expected %YAML 1.1 or 1.2"},
        {"did not find expected node content",
         "a value was expected here; quote it if it starts with one of ] } ,"},
        {"did not find expected key",
         "a key was expected here; look at the indentation, and quote a value that goes on after "
         "its closing quote or bracket"},
        {"did not find expected '-' indicator",
         "a list item (\"- \") was expected here; look at the indentation"},
        {"could not find expected ':'", "a key without \": \" behind it"},
        {"block sequence entries are not allowed in this context",
         "a list item (\"- \") cannot start here; put it on a line of its own"},
        {"did not find expected ',' or ']'", "the list needs \",\" or \"]\" here"},
        {"did not find expected ',' or '}'", "the map needs \",\" or \"}\" here"},
        {"found unexpected end of stream", "the closing quote is missing"},
        {"found unknown escape character",
         "unknown escape in double quotes; write \\\\ for a backslash, or use single quotes"},
        {"did not find expected alphabetic or numeric character",
         "a name was expected after \"*\" or \"&\"; quote the text if it is meant as such"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].problem, problem) == 0) {
            return known[i].text;
        }
    }
    return problem;
}

static bool refuse_syntax(struct loader *l) {
    const yaml_parser_t *p = &l->parser;
    if (p->error == YAML_MEMORY_ERROR) {
        return no_memory(l);
    }
    if (p->error == YAML_READER_ERROR) {
        yaml_mark_t mark =
            mark_of(l->text, p->problem_offset < l->len ? p->problem_offset : l->len);
        return give_up(l, HARDY_E_SYNTAX, &mark,
                       "character U+%04X is not allowed in YAML; write it as an escape in double "
                       "quotes",
                       (unsigned)p->problem_value);
    }
    const char *problem = p->problem ? p->problem : "cannot be parsed";
    const yaml_mark_t *mark = &p->problem_mark;
    if (strcmp(problem, "found character that cannot start any token") == 0) {
        size_t offset = 0; /* in bytes: the mark counts characters */
        for (size_t i = 0; i < mark->index && offset < l->len; i++) {
            offset += str_utf8_length(l->text + offset, l->len - offset);
        }
        if (l->text[offset] == '\t') {
            return give_up(l, HARDY_E_SYNTAX, mark, "a tab cannot indent YAML; use spaces");
        }
        int size = (int)str_utf8_length(l->text + offset, l->len - offset);
        return give_up(l, HARDY_E_SYNTAX, mark, "a value cannot start with %.*s; put it in quotes",
                       size, l->text + offset);
    }
    bool opened_above = p->context && p->context_mark.line != mark->line;
    if (opened_above && !strstr(p->context, "plain scalar")) {
        return give_up(l, HARDY_E_SYNTAX, mark, "%s (%s that started in line %zu)", advice(problem),
                       p->context, p->context_mark.line + 1);
    }
    return give_up(l, HARDY_E_SYNTAX, mark, "%s", advice(problem));
}

static bool advance(struct loader *l) {
    if (l->has_event) {
        yaml_event_delete(&l->event);
        l->has_event = false;
    }
    if (!yaml_parser_parse(&l->parser, &l->event)) {
        return refuse_syntax(l);
    }
    l->has_event = true;
    return true;
}

static struct yaml_node *new_node(struct loader *l, enum yaml_kind kind, const yaml_mark_t *mark) {
    if (++l->nodes > MAX_NODES) {
        give_up(l, HARDY_E_TOO_LARGE, mark, "more than %d values, those copied by aliases included",
                MAX_NODES);
        return NULL;
    }
    struct yaml_node *node = take(l->file, sizeof *node);
    if (!node) {
        no_memory(l);
        return NULL;
    }
    *node = (struct yaml_node){.kind = kind,
                               .text = "",
                               .line = (int)mark->line + 1,
                               .column = (int)mark->column + 1,
                               .file = l->file};
    return node;
}

static bool grow(struct loader *l, void **items, size_t *cap, size_t size) {
    size_t larger = *cap > 0 ? *cap * 2 : 64;
    void *p = realloc(*items, larger * size);
    if (!p) {
        return no_memory(l);
    }
    *items = p;
    *cap = larger;
    return true;
}

static bool push(struct loader *l, struct yaml_node *node) {
    if (l->stacked == l->stack_cap) {
        void *stack = l->stack;
        if (!grow(l, &stack, &l->stack_cap, sizeof(struct yaml_node *))) {
            return false;
        }
        l->stack = stack;
    }
    l->stack[l->stacked++] = node;
    return true;
}

/* Declares an anchor; SIZE_MAX in *slot when the node has none. */
static bool declare(struct loader *l, const yaml_char_t *name, size_t *slot) {
    *slot = SIZE_MAX;
    if (!name) {
        return true;
    }
    if (l->anchor_count == MAX_ANCHORS) {
        return give_up(l, HARDY_E_TOO_LARGE, &l->event.start_mark, "more than %d anchors",
                       MAX_ANCHORS);
    }
    if (l->anchor_count == l->anchor_cap) {
        void *anchors = l->anchors;
        if (!grow(l, &anchors, &l->anchor_cap, sizeof(struct anchor))) {
            return false;
        }
        l->anchors = anchors;
    }
    const char *text = (const char *)name;
    struct anchor anchor = {.name = yaml_keep(l->file, text, strlen(text))};
    if (!anchor.name) {
        return no_memory(l);
    }
    *slot = l->anchor_count;
    l->anchors[l->anchor_count++] = anchor;
    return true;
}

static struct yaml_node *copy_node(struct loader *l, const struct yaml_node *node,
                                   const yaml_mark_t *mark, int depth) {
    if (depth > MAX_DEPTH) {
        give_up(l, HARDY_E_TOO_LARGE, mark, "nested deeper than %d", MAX_DEPTH);
        return NULL;
    }
    struct yaml_node *copy = new_node(l, node->kind, mark);
    if (!copy) {
        return NULL;
    }
    *copy = *node;
    if (node->count == 0) {
        return copy;
    }
    copy->items = take(l->file, node->count * sizeof *copy->items);
    if (!copy->items) {
        no_memory(l);
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        copy->items[i] = copy_node(l, node->items[i], mark, depth + 1);
        if (!copy->items[i]) {
            return NULL;
        }
    }
    return copy; /* keys are never changed: shared */
}

static struct yaml_node *compose_alias(struct loader *l, int depth) {
    const char *name = (const char *)l->event.data.alias.anchor;
    for (size_t i = l->anchor_count; i-- > 0;) {
        if (strcmp(l->anchors[i].name, name) != 0) {
            continue;
        }
        if (!l->anchors[i].node) {
            give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                    "`*%s` stands inside what it is an alias of", name);
            return NULL;
        }
        return copy_node(l, l->anchors[i].node, &l->event.start_mark, depth);
    }
    give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
            "no anchor `&%s` before this; quote the text if `*` is meant as such", name);
    return NULL;
}

/* !!str, !!seq, !!map and the bare ! say nothing new; every other tag asks for something that is
 * not done here. */
static bool check_tag(struct loader *l, const yaml_char_t *tag) {
    static const char *const harmless[] = {"!", YAML_STR_TAG, YAML_SEQ_TAG, YAML_MAP_TAG};
    const char *text = (const char *)tag;
    for (size_t i = 0; i < sizeof harmless / sizeof harmless[0]; i++) {
        if (!text || strcmp(text, harmless[i]) == 0) {
            return true;
        }
    }
    static const char standard[] = "tag:yaml.org,2002:";
    bool short_form = str_starts(text, standard);
    return give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                   "tag `%s%s` means nothing here; leave it out", short_form ? "!!" : "",
                   text + (short_form ? sizeof standard - 1 : 0));
}

static bool is_null(const char *text) {
    return *text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
           strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0;
}

static struct yaml_node *compose_scalar(struct loader *l) {
    const char *text = (const char *)l->event.data.scalar.value;
    size_t len = l->event.data.scalar.length;
    if (!check_tag(l, l->event.data.scalar.tag)) {
        return NULL;
    }
    if (memchr(text, '\0', len)) {
        give_up(l, HARDY_E_SYNTAX, &l->event.start_mark, "text cannot hold a NUL character");
        return NULL;
    }
    bool quoted = l->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE || l->event.data.scalar.tag;
    bool null = !quoted && is_null(text);
    struct yaml_node *node = new_node(l, null ? YAML_NULL : YAML_SCALAR, &l->event.start_mark);
    if (!node || null) {
        return node;
    }
    node->quoted = quoted;
    node->text = yaml_keep(l->file, text, len);
    if (!node->text) {
        no_memory(l);
        return NULL;
    }
    return node;
}

static struct yaml_node *compose(struct loader *l, int depth);

static bool compose_children(struct loader *l, int depth, yaml_event_type_t end, bool keys) {
    for (bool key = keys;; key = keys && !key) {
        if (!advance(l)) {
            return false;
        }
        if (l->event.type == end) {
            return true;
        }
        if (key && l->event.type != YAML_SCALAR_EVENT) {
            return give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                           "a key has to be plain text, not a list, a map or an alias");
        }
        struct yaml_node *node = compose(l, depth + 1);
        if (!node || !push(l, node)) {
            return false;
        }
        if (key && node->kind == YAML_NULL) {
            const char *text = (const char *)l->event.data.scalar.value;
            return *text ? give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                                   "`%s` means nothing, which cannot be a key; quote it if it is "
                                   "a name",
                                   text)
                         : give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                                   "a key is missing before \":\"");
        }
    }
}

/* One pair of a map being finished; pairs of merged maps come behind its own. */
struct pair {
    struct yaml_node *key, *value;
    size_t order;
    bool drop;
};

static int by_key(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    int order = strcmp(x->key->text, y->key->text);
    return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b) {
    const struct pair *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

static bool is_merge(const struct yaml_node *key) {
    return !key->quoted && strcmp(key->text, "<<") == 0;
}

/* The maps that a `<<` brings in: its value, or the items of its value. */
static bool merged_maps(struct loader *l, const struct yaml_node *key,
                        struct yaml_node *const *value, struct yaml_node *const **maps,
                        size_t *count) {
    *maps = value;
    *count = 1;
    if ((*value)->kind == YAML_LIST) {
        *maps = (*value)->items;
        *count = (*value)->count;
    }
    for (size_t i = 0; i < *count; i++) {
        if ((*maps)[i]->kind != YAML_MAP) {
            yaml_mark_t mark = {.line = (size_t)key->line - 1, .column = (size_t)key->column - 1};
            return give_up(l, HARDY_E_SYNTAX, &mark,
                           "`<<` merges a map or a list of maps (`<<: *base`), not %s",
                           yaml_kind_text((*maps)[i]));
        }
    }
    return true;
}

static bool refuse_duplicate(struct loader *l, const struct pair *first,
                             const struct pair *second) {
    yaml_mark_t mark = {.line = (size_t)second->key->line - 1,
                        .column = (size_t)second->key->column - 1};
    return give_up(l, HARDY_E_SYNTAX, &mark, "key `%s` is given twice, first in line %d",
                   second->key->text, first->key->line);
}

/* Fills the map from `count` pairs on the stack and from what they merge. */
static bool fill_map(struct loader *l, struct yaml_node *map, struct yaml_node **stack,
                     size_t count, struct pair *pairs) {
    size_t used = 0, own = count;
    for (size_t i = 0; i < count; i++) {
        pairs[used] = (struct pair){.key = stack[2 * i], .value = stack[2 * i + 1], .order = used};
        used++;
    }
    for (size_t i = 0; i < count; i++) {
        struct yaml_node *const *maps;
        size_t map_count;
        if (!is_merge(pairs[i].key)) {
            continue;
        }
        if (!merged_maps(l, pairs[i].key, &stack[2 * i + 1], &maps, &map_count)) {
            return false;
        }
        for (size_t m = 0; m < map_count; m++) {
            for (size_t j = 0; j < maps[m]->count; j++) {
                pairs[used] = (struct pair){
                    .key = maps[m]->keys[j], .value = maps[m]->items[j], .order = used};
                used++;
            }
        }
    }
    qsort(pairs, used, sizeof *pairs, by_key);
    const struct pair *twice = NULL, *first = NULL;
    for (size_t i = 1; i < used; i++) {
        struct pair *pair = &pairs[i];
        pair->drop = strcmp(pairs[i - 1].key->text, pair->key->text) == 0;
        if (pair->drop && pair->order < own && (!twice || pair->order < twice->order)) {
            first = &pairs[i - 1];
            twice = pair;
        }
    }
    if (twice) {
        return refuse_duplicate(l, first, twice);
    }
    qsort(pairs, used, sizeof *pairs, by_order);
    map->keys = take(l->file, used * sizeof *map->keys);
    map->items = take(l->file, used * sizeof *map->items);
    if (!map->keys || !map->items) {
        return no_memory(l);
    }
    for (size_t i = 0; i < used; i++) {
        if (!pairs[i].drop && !(pairs[i].order < own && is_merge(pairs[i].key))) {
            map->keys[map->count] = pairs[i].key;
            map->items[map->count++] = pairs[i].value;
        }
    }
    return true;
}

static bool finish_map(struct loader *l, struct yaml_node *map, size_t base) {
    size_t count = (l->stacked - base) / 2, room = count;
    if (count == 0) {
        return true;
    }
    struct yaml_node **stack = l->stack + base;
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *value = stack[2 * i + 1];
        if (is_merge(stack[2 * i])) {
            room += value->kind == YAML_MAP ? value->count : 0;
            for (size_t j = 0; value->kind == YAML_LIST && j < value->count; j++) {
                room += value->items[j]->kind == YAML_MAP ? value->items[j]->count : 0;
            }
        }
    }
    struct pair *pairs = calloc(room, sizeof *pairs);
    bool ok = pairs ? fill_map(l, map, stack, count, pairs) : no_memory(l);
    free(pairs);
    return ok;
}

static bool finish_list(struct loader *l, struct yaml_node *list, size_t base) {
    list->count = l->stacked - base;
    if (list->count == 0) {
        return true;
    }
    list->items = take(l->file, list->count * sizeof *list->items);
    if (!list->items) {
        return no_memory(l);
    }
    memcpy(list->items, l->stack + base, list->count * sizeof *list->items);
    return true;
}

static struct yaml_node *compose_collection(struct loader *l, int depth) {
    bool map = l->event.type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag =
        map ? l->event.data.mapping_start.tag : l->event.data.sequence_start.tag;
    if (!check_tag(l, tag)) {
        return NULL;
    }
    struct yaml_node *node = new_node(l, map ? YAML_MAP : YAML_LIST, &l->event.start_mark);
    if (!node) {
        return NULL;
    }
    size_t base = l->stacked;
    bool ok =
        compose_children(l, depth, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT, map) &&
        (map ? finish_map(l, node, base) : finish_list(l, node, base));
    l->stacked = base;
    return ok ? node : NULL;
}

/* The node of the current event, which for a collection moves on to its end. */
static struct yaml_node *compose(struct loader *l, int depth) {
    if (depth > MAX_DEPTH) {
        give_up(l, HARDY_E_TOO_LARGE, &l->event.start_mark, "nested deeper than %d", MAX_DEPTH);
        return NULL;
    }
    const yaml_char_t *anchor;
    size_t slot;
    switch (l->event.type) {
    case YAML_ALIAS_EVENT:
        return compose_alias(l, depth);
    case YAML_SCALAR_EVENT:
        anchor = l->event.data.scalar.anchor;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = l->event.data.sequence_start.anchor;
        break;
    default:
        anchor = l->event.data.mapping_start.anchor;
        break;
    }
    if (!declare(l, anchor, &slot)) {
        return NULL;
    }
    struct yaml_node *node =
        l->event.type == YAML_SCALAR_EVENT ? compose_scalar(l) : compose_collection(l, depth);
    if (slot != SIZE_MAX) {
        l->anchors[slot].node = node;
    }
    return node;
}

/* Stream start, at most one document, stream end. */
static bool compose_file(struct loader *l) {
    if (!advance(l) || !advance(l)) {
        return false;
    }
    if (l->event.type == YAML_STREAM_END_EVENT) {
        l->file->root = new_node(l, YAML_NULL, &l->event.start_mark);
        return l->file->root != NULL;
    }
    if (!advance(l)) {
        return false;
    }
    l->file->root = compose(l, 1);
    if (!l->file->root || !advance(l) || !advance(l)) {
        return false;
    }
    if (l->event.type != YAML_STREAM_END_EVENT) {
        return give_up(l, HARDY_E_SYNTAX, &l->event.start_mark,
                       "a second document (`---`) begins; one file holds one");
    }
    return true;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static bool check_bytes(struct loader *l) {
    const char *bytes = l->text;
    size_t len = l->len;
    yaml_mark_t start = {0};
    if (len >= 2 && (memcmp(bytes, "\xff\xfe", 2) == 0 || memcmp(bytes, "\xfe\xff", 2) == 0)) {
        return give_up(l, HARDY_E_SYNTAX, &start, "the file is UTF-16; save it as UTF-8");
    }
    for (size_t i = 0; i < len;) {
        size_t size = str_utf8_length(bytes + i, len - i);
        if (size == 0) {
            yaml_mark_t mark = mark_of(bytes, i);
            return give_up(l, HARDY_E_SYNTAX, &mark,
                           "byte 0x%02x is not UTF-8; save the file as UTF-8",
                           (unsigned char)bytes[i]);
        }
        i += size;
    }
    return true;
}

static hardy_status too_large(const char *path, hardy_error *error) {
    return fail(error, HARDY_E_TOO_LARGE, path, "larger than %zu MiB", YAML_MAX_BYTES >> 20);
}

hardy_status yaml_parse(const char *path, const char *bytes, size_t len, struct yaml_file **out,
                        hardy_error *error) {
    *out = NULL;
    if (len > YAML_MAX_BYTES) {
        return too_large(path, error);
    }
    hardy_error unused;
    struct loader l = {.file = calloc(1, sizeof *l.file), .error = error ? error : &unused};
    if (!l.file) {
        return fail(error, HARDY_E_NOMEM, path, "out of memory");
    }
    l.file->len = len;
    l.file->bytes = yaml_keep(l.file, bytes, len);
    const char *copy = yaml_keep(l.file, path, strlen(path));
    l.file->path = copy ? copy : "";
    bool ready = l.file->bytes && copy && yaml_parser_initialize(&l.parser);
    if (!ready) {
        no_memory(&l);
    } else {
        yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
        size_t mark = len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
        l.text = l.file->bytes + mark;
        l.len = len - mark;
        yaml_parser_set_input_string(&l.parser, (const unsigned char *)l.text, l.len);
        if (!check_bytes(&l) || !compose_file(&l)) {
            ready = false;
        }
        if (l.has_event) {
            yaml_event_delete(&l.event);
        }
        yaml_parser_delete(&l.parser);
    }
    free(l.stack);
    free(l.anchors);
    if (!ready) {
        yaml_close(l.file);
        return l.status;
    }
    *out = l.file;
    return HARDY_OK;
}

static hardy_status read_all(int fd, const char *path, struct buf *out, hardy_error *error) {
    char block[16384];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_errno(error, errno, path, "cannot read it");
        }
        if (n == 0) {
            return HARDY_OK;
        }
        if (!buf_append(out, block, (size_t)n)) {
            return out->full ? too_large(path, error)
                             : fail(error, HARDY_E_NOMEM, path, "out of memory");
        }
    }
}

hardy_status yaml_load(const char *path, struct yaml_file **out, hardy_error *error) {
    *out = NULL;
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_errno(error, errno, path, "cannot open it");
    }
    struct buf bytes;
    buf_init(&bytes, YAML_MAX_BYTES);
    hardy_status status = read_all(fd, standard ? "standard input" : path, &bytes, error);
    if (!standard) {
        close(fd);
    }
    if (status == HARDY_OK) {
        status = yaml_parse(path, bytes.data ? bytes.data : "", bytes.len, out, error);
    }
    buf_free(&bytes);
    return status;
}

/* --- reading the tree ------------------------------------------------------------------------- */

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    if (!map || map->kind != YAML_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) {
            return map->items[i];
        }
    }
    return NULL;
}

static void put_json(struct json_out *j, const struct yaml_node *node) {
    switch (node->kind) {
    case YAML_NULL:
        json_out_null(j);
        break;
    case YAML_LIST:
        json_out_array(j);
        for (size_t i = 0; i < node->count; i++) {
            put_json(j, node->items[i]);
        }
        json_out_array_end(j);
        break;
    case YAML_MAP:
        json_out_object(j);
        for (size_t i = 0; i < node->count; i++) {
            json_out_key(j, node->keys[i]->text);
            put_json(j, node->items[i]);
        }
        json_out_object_end(j);
        break;
    case YAML_SCALAR: {
        size_t len = strlen(node->text);
        bool word = str_eq(node->text, "true") || str_eq(node->text, "false");
        if (!node->quoted && (word || number_scan(node->text, len, false) == len)) {
            json_out_raw(j, node->text);
        } else {
            json_out_string(j, node->text);
        }
        break;
    }
    }
}

void yaml_to_json(const struct yaml_node *node, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    put_json(&j, node);
}
