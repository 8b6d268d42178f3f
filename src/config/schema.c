/* SPDX-License-Identifier: Apache-2.0 */
#include "config/schema.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS 128 /* of one section: for lists of names */
#define MAX_PATH 256
#define NAME_RULE "letters, digits, \".\", \"_\", \"-\", at most 63, first a letter or digit"

/* Where problems go: the first one ends the reading, or every one is told to `report`. */
struct reader {
    hardy_error *error;
    schema_report report;
    void *ctx;
    size_t problems;
    hardy_status status;
};

static bool refuse(struct reader *r, const struct yaml_node *node, const char *format, ...)
    HARDY_PRINTF(3, 4);
static bool refuse(struct reader *r, const struct yaml_node *node, const char *format, ...) {
    char message[sizeof r->error->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    hardy_status status = yaml_fail(node, r->error, "%s", message);
    if (r->status == HARDY_OK) {
        r->status = status;
    }
    r->problems++;
    if (r->report) {
        r->report(r->ctx, r->error);
    }
    return false;
}

static bool no_memory(struct reader *r) {
    r->status = fail(r->error, HARDY_E_NOMEM, NULL, "out of memory");
    r->problems++;
    if (r->report) {
        r->report(r->ctx, r->error);
    }
    return false;
}

static bool goes_on(const struct reader *r) {
    return r->report && r->status != HARDY_E_NOMEM;
}

/* --- what a key wants, in words --------------------------------------------------------------- */

static void put_words(const char *const *words, const char *between, struct buf *out) {
    for (size_t i = 0; words[i]; i++) {
        buf_printf(out, "%s%s", i > 0 ? between : "", words[i]);
    }
}

static void put_key_names(const struct schema_section *section, bool named, struct buf *out) {
    for (size_t i = named ? 1 : 0; i < section->count; i++) {
        buf_printf(out, "%s%s", i > (named ? 1 : 0) ? ", " : "", section->keys[i].name);
    }
}

static void put_range(const struct schema_key *key, struct buf *out) {
    if (key->min && key->max) {
        buf_printf(out, " from %s to %s", key->min, key->max);
    } else if (key->min) {
        buf_printf(out, " of at least %s", key->min);
    } else if (key->max) {
        buf_printf(out, " of at most %s", key->max);
    }
}

/* "a whole number from 1 to 64" */
static void put_wanted(const struct schema_key *key, struct buf *out) {
    static const char *const texts[] = {
        [SCHEMA_DURATION] = "a duration such as 30s",
        [SCHEMA_INTEGER] = "a whole number",
        [SCHEMA_UNSIGNED] = "a whole number",
        [SCHEMA_NUMBER] = "a number",
        [SCHEMA_SIZE] = "a size such as 64KiB",
        [SCHEMA_RATE] = "a rate such as 10/s",
        [SCHEMA_BOOL] = "true or false",
        [SCHEMA_STRING] = "text",
        [SCHEMA_NAME] = ("a name: " NAME_RULE),
        [SCHEMA_ENUM] = "one of ",
        [SCHEMA_COMMAND] = "a command: a list such as [\"prog\", \"arg\"], or a line for the shell",
        [SCHEMA_STRINGS] = "a list of texts",
        [SCHEMA_NODE] = "a value",
        [SCHEMA_MAP] = "a map with the keys ",
        [SCHEMA_LIST] = "a list",
        [SCHEMA_NAMED] = "a map of names",
    };
    bool ranged = key->min || key->max;
    buf_puts(out, key->kind == SCHEMA_DURATION && ranged ? "a duration"
                  : key->kind == SCHEMA_SIZE && ranged   ? "a size"
                                                         : texts[key->kind]);
    put_range(key, out);
    if (key->kind == SCHEMA_ENUM) {
        put_words(key->words, ", ", out);
    } else if (key->kind == SCHEMA_MAP) {
        put_key_names(key->section, false, out);
    }
    if (key->never) {
        buf_puts(out, ", or never");
    }
}

static hardy_status unwanted(const struct schema_key *key, const char *text, hardy_error *error) {
    struct buf wanted;
    buf_init(&wanted, 1024);
    put_wanted(key, &wanted);
    const char *near = NULL;
    if (key->kind == SCHEMA_ENUM) {
        size_t count = 0;
        while (key->words[count]) {
            count++;
        }
        near = str_nearest(text, key->words, count);
    }
    fail(error, HARDY_E_SYNTAX, NULL, "expected %s, not \"%s\"%s%s%s",
         wanted.data ? wanted.data : "", text, near ? "; did you mean " : "", near ? near : "",
         near ? "?" : "");
    buf_free(&wanted);
    return HARDY_E_SYNTAX;
}

/* --- one value -------------------------------------------------------------------------------- */

static void *at(const struct schema_key *key, void *out) {
    return (char *)out + key->offset;
}

static void mark(void *out, size_t offset, bool value) {
    if (offset > 0) {
        *(bool *)((char *)out + offset) = value;
    }
}

static void free_strings(char **items) {
    for (size_t i = 0; items && items[i]; i++) {
        free(items[i]);
    }
    free(items);
}

static void release(const struct schema_key *key, void *out) {
    void *p = at(key, out);
    switch (key->kind) {
    case SCHEMA_STRING:
    case SCHEMA_NAME:
        free(*(char **)p);
        *(char **)p = NULL;
        break;
    case SCHEMA_COMMAND: {
        struct schema_command *command = p;
        free_strings(command->argv);
        *command = (struct schema_command){0};
        break;
    }
    case SCHEMA_STRINGS: {
        struct schema_strings *strings = p;
        free_strings(strings->items);
        *strings = (struct schema_strings){0};
        break;
    }
    case SCHEMA_MAP:
        schema_free(key->section, p);
        break;
    case SCHEMA_LIST:
    case SCHEMA_NAMED: {
        struct schema_list *list = p;
        for (size_t i = 0; i < list->count; i++) {
            schema_free(key->section, (char *)list->items + i * key->section->size);
        }
        free(list->items);
        *list = (struct schema_list){0};
        break;
    }
    default:
        break;
    }
}

void schema_free(const struct schema_section *section, void *out) {
    for (size_t i = 0; i < section->count; i++) {
        release(&section->keys[i], out);
    }
}

static hardy_status put_string(const struct schema_key *key, const char *text, void *out) {
    char *copy = str_dup(text);
    if (!copy) {
        return HARDY_E_NOMEM;
    }
    release(key, out);
    *(char **)at(key, out) = copy;
    return HARDY_OK;
}

/* `items`: an array with room for the NULL, taken. */
static void put_strings(const struct schema_key *key, char **items, size_t count, void *out) {
    release(key, out);
    *(struct schema_strings *)at(key, out) =
        (struct schema_strings){.items = items, .count = count};
}

static hardy_status split(const struct schema_key *key, const char *text, void *out) {
    size_t count = 1, used = 0;
    for (const char *p = text; *p; p++) {
        count += *p == ',';
    }
    char **items = calloc(count + 1, sizeof *items);
    while (items) {
        size_t len = strcspn(text, ",");
        items[used] = str_ndup(text, len);
        if (!items[used++]) {
            free_strings(items);
            items = NULL;
        } else if (text[len] == '\0') {
            put_strings(key, items, used, out);
            return HARDY_OK;
        }
        text += len + 1;
    }
    return HARDY_E_NOMEM;
}

static hardy_status put_shell(const struct schema_key *key, const char *text, void *out) {
    static const char *const shell[] = {"/bin/sh", "-eu", "-c"};
    char **argv = calloc(5, sizeof *argv);
    for (size_t i = 0; argv && i < 4; i++) {
        argv[i] = str_dup(i < 3 ? shell[i] : text);
        if (!argv[i]) {
            free_strings(argv);
            argv = NULL;
        }
    }
    if (!argv) {
        return HARDY_E_NOMEM;
    }
    release(key, out);
    *(struct schema_command *)at(key, out) = (struct schema_command){.argv = argv, .shell = true};
    return HARDY_OK;
}

static hardy_status put_duration(const struct schema_key *key, const char *text, int64_t *out,
                                 hardy_error *error) {
    int64_t value, bound;
    if (key->never && strcmp(text, "never") == 0) {
        *out = HARDY_NEVER;
        return HARDY_OK;
    }
    hardy_status status = parse_duration(text, &value, error);
    if (status != HARDY_OK) {
        return status;
    }
    if ((key->min && parse_duration(key->min, &bound, NULL) == HARDY_OK && value < bound) ||
        (key->max && parse_duration(key->max, &bound, NULL) == HARDY_OK && value > bound)) {
        return unwanted(key, text, error);
    }
    *out = value;
    return HARDY_OK;
}

static hardy_status put_size(const struct schema_key *key, const char *text, uint64_t *out,
                             hardy_error *error) {
    uint64_t value, bound;
    hardy_status status = parse_size(text, &value, error);
    if (status != HARDY_OK) {
        return status;
    }
    if ((key->min && parse_size(key->min, &bound, NULL) == HARDY_OK && value < bound) ||
        (key->max && parse_size(key->max, &bound, NULL) == HARDY_OK && value > bound)) {
        return unwanted(key, text, error);
    }
    *out = value;
    return HARDY_OK;
}

static hardy_status put_integer(const struct schema_key *key, const char *text, void *out,
                                hardy_error *error) {
    bool is_unsigned = key->kind == SCHEMA_UNSIGNED;
    int64_t min = is_unsigned ? 0 : INT64_MIN, max = is_unsigned ? UINT32_MAX : INT64_MAX, value;
    if (key->min) {
        parse_integer(key->min, min, max, &min, NULL);
    }
    if (key->max) {
        parse_integer(key->max, min, max, &max, NULL);
    }
    if (parse_integer(text, min, max, &value, NULL) != HARDY_OK) {
        return unwanted(key, text, error);
    }
    if (is_unsigned) {
        *(uint32_t *)out = (uint32_t)value;
    } else {
        *(int64_t *)out = value;
    }
    return HARDY_OK;
}

static hardy_status put_number(const struct schema_key *key, const char *text, double *out,
                               hardy_error *error) {
    double min = -INFINITY, max = INFINITY, value;
    if (key->min) {
        parse_number(key->min, min, max, &min, NULL);
    }
    if (key->max) {
        parse_number(key->max, min, max, &max, NULL);
    }
    if (parse_number(text, min, max, &value, NULL) != HARDY_OK || isinf(value)) {
        return unwanted(key, text, error);
    }
    *out = value;
    return HARDY_OK;
}

static hardy_status put_word(const struct schema_key *key, const char *text, int *out,
                             hardy_error *error) {
    for (int i = 0; key->words[i]; i++) {
        if (strcmp(key->words[i], text) == 0) {
            *out = i;
            return HARDY_OK;
        }
    }
    return unwanted(key, text, error);
}

/* A value written as text, of the kinds that can be; the message says what was expected. */
static hardy_status put_text(const struct schema_key *key, const char *text, void *out,
                             hardy_error *error) {
    void *p = at(key, out);
    switch (key->kind) {
    case SCHEMA_DURATION:
        return put_duration(key, text, p, error);
    case SCHEMA_INTEGER:
    case SCHEMA_UNSIGNED:
        return put_integer(key, text, p, error);
    case SCHEMA_NUMBER:
        return put_number(key, text, p, error);
    case SCHEMA_SIZE:
        return put_size(key, text, p, error);
    case SCHEMA_RATE:
        return parse_rate(text, p, error);
    case SCHEMA_BOOL:
        return parse_bool(text, p, error);
    case SCHEMA_STRING:
        return put_string(key, text, out);
    case SCHEMA_NAME:
        return str_valid_name(text) ? put_string(key, text, out) : unwanted(key, text, error);
    case SCHEMA_ENUM:
        return put_word(key, text, p, error);
    case SCHEMA_COMMAND:
        return *text ? put_shell(key, text, out) : unwanted(key, text, error);
    case SCHEMA_STRINGS:
        return split(key, text, out);
    default:
        return unwanted(key, text, error);
    }
}

/* --- defaults and single keys ----------------------------------------------------------------- */

hardy_status schema_defaults(const struct schema_section *section, void *out) {
    hardy_status status = HARDY_OK;
    memset(out, 0, section->size);
    for (size_t i = 0; i < section->count; i++) {
        const struct schema_key *key = &section->keys[i];
        hardy_status one = HARDY_OK;
        if (key->kind == SCHEMA_MAP) {
            one = schema_defaults(key->section, at(key, out));
        } else if (key->def) {
            one = put_text(key, key->def, out, NULL);
        } else if (key->kind == SCHEMA_ENUM) {
            *(int *)at(key, out) = -1;
        }
        status = status == HARDY_OK ? one : status;
    }
    return status;
}

static const struct schema_key *find_key(const struct schema_section *section, const char *name,
                                         size_t len, bool named) {
    for (size_t i = named ? 1 : 0; i < section->count; i++) {
        if (strlen(section->keys[i].name) == len && memcmp(section->keys[i].name, name, len) == 0) {
            return &section->keys[i];
        }
    }
    return NULL;
}

static bool means_off(const struct schema_key *key, const char *text) {
    return key->off_offset > 0 && (strcmp(text, "off") == 0 || strcmp(text, "false") == 0);
}

hardy_status schema_set(const struct schema_section *section, const char *path, const char *text,
                        const char *where, bool given, void *out, hardy_error *error) {
    size_t len = strcspn(path, ".");
    const struct schema_key *key = find_key(section, path, len, false);
    if (!key) {
        return fail(error, HARDY_E_NOT_FOUND, where, "no key `%s` in %s", path, section->name);
    }
    hardy_status status = HARDY_OK;
    if (key->kind == SCHEMA_MAP) {
        const char *inner = path[len] == '.' ? path + len + 1 : key->shorthand;
        bool off = path[len] != '.' && means_off(key, text);
        if (!off && inner) {
            status = schema_set(key->section, inner, text, where, given, at(key, out), error);
        } else if (!off) {
            status = fail(error, HARDY_E_SYNTAX, where, "`%s` holds several keys", path);
        }
        mark(out, key->off_offset, off);
    } else {
        status = put_text(key, text, out, error);
        if (error && status != HARDY_OK) {
            fail(error, status, where, "%s",
                 status == HARDY_E_NOMEM ? "out of memory" : error->message);
        }
    }
    if (given && status == HARDY_OK) {
        mark(out, key->given_offset, true);
    }
    return status;
}

/* Whether `word` is among words with spaces between. */
static bool has_word(const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *p = words; p && *p; p += strspn(p, " ")) {
        size_t size = strcspn(p, " ");
        if (size == len && memcmp(p, word, len) == 0) {
            return true;
        }
        p += size;
    }
    return false;
}

struct flag_search {
    const char *flag;
    char path[MAX_PATH];
    bool found;
};

static bool is_flag(void *ctx, const char *path, const struct schema_key *key) {
    struct flag_search *search = ctx;
    search->found = has_word(key->flag, search->flag);
    if (search->found) {
        str_copy(search->path, sizeof search->path, path);
    }
    return !search->found;
}

hardy_status schema_set_flag(const struct schema_section *section, const char *flag,
                             const char *text, void *out, hardy_error *error) {
    struct flag_search search = {.flag = flag};
    schema_each(section, is_flag, &search);
    if (!search.found) {
        return fail(error, HARDY_E_NOT_FOUND, flag, "no such flag");
    }
    return schema_set(section, search.path, text, flag, true, out, error);
}

struct walk {
    schema_visit fn;
    void *ctx;
};

static bool walk(const struct walk *w, const struct schema_section *section, const char *prefix,
                 bool named) {
    for (size_t i = named ? 1 : 0; i < section->count; i++) {
        const struct schema_key *key = &section->keys[i];
        char path[MAX_PATH], inner[MAX_PATH + 8];
        snprintf(path, sizeof path, "%s%s", prefix, key->name);
        snprintf(inner, sizeof inner, "%s%s", path,
                 key->kind == SCHEMA_NAMED  ? ".NAME."
                 : key->kind == SCHEMA_LIST ? "[]."
                                            : ".");
        if (!w->fn(w->ctx, path, key) ||
            (key->section && !walk(w, key->section, inner, key->kind == SCHEMA_NAMED))) {
            return false;
        }
    }
    return true;
}

void schema_each(const struct schema_section *section, schema_visit fn, void *ctx) {
    struct walk w = {fn, ctx};
    walk(&w, section, "", false);
}

/* --- unknown keys ----------------------------------------------------------------------------- */

/* The key that was meant, here or one map deeper ("breaker.failure_threshold"): by what others call
 * it, by the exact name in the wrong place, by likeness. */
static bool suggest(const struct schema_section *section, const char *word, bool named, char *out,
                    size_t size) {
    const char *names[MAX_KEYS];
    size_t count = 0;
    for (size_t i = named ? 1 : 0; i < section->count && count < MAX_KEYS; i++) {
        const struct schema_key *key = &section->keys[i];
        if (has_word(key->also, word)) {
            return str_copy(out, size, key->name);
        }
        names[count++] = key->name;
    }
    const struct schema_key *parents[MAX_KEYS];
    size_t own = count;
    for (size_t i = 0; i < section->count; i++) {
        const struct schema_key *map = &section->keys[i];
        for (size_t j = 0; map->kind == SCHEMA_MAP && j < map->section->count; j++) {
            const struct schema_key *key = &map->section->keys[j];
            if (strcmp(key->name, word) == 0 || has_word(key->also, word)) {
                snprintf(out, size, "%s.%s", map->name, key->name);
                return true;
            }
            if (count < MAX_KEYS) {
                parents[count] = map;
                names[count++] = key->name;
            }
        }
    }
    const char *near = str_nearest(word, names, own);
    if (near) {
        return str_copy(out, size, near);
    }
    near = str_nearest(word, names + own, count - own);
    for (size_t i = own; near && i < count; i++) {
        if (names[i] == near) {
            snprintf(out, size, "%s.%s", parents[i]->name, near);
            return true;
        }
    }
    return false;
}

static bool refuse_unknown(struct reader *r, const struct schema_section *section,
                           const struct yaml_node *map, const struct yaml_node *key, bool named) {
    char meant[MAX_PATH];
    struct buf place, known;
    buf_init(&place, 1024);
    buf_init(&known, 1024);
    if (map == map->file->root) {
        buf_puts(&place, "at the top");
    } else {
        buf_puts(&place, "in ");
        yaml_path(map, &place);
    }
    if (named && strcmp(key->text, section->keys[0].name) == 0) {
        buf_puts(&known, "its name is the key that it stands under");
    } else if (suggest(section, key->text, named, meant, sizeof meant)) {
        buf_printf(&known, "did you mean `%s`?", meant);
    } else {
        buf_puts(&known, "known are ");
        put_key_names(section, named, &known);
    }
    refuse(r, key, "unknown key `%s` %s; %s", key->text, place.data ? place.data : "",
           known.data ? known.data : "");
    buf_free(&place);
    buf_free(&known);
    return false;
}

/* --- the tree --------------------------------------------------------------------------------- */

/* `node` is a map, or a null, which stands for an empty one. */
static bool has_required(struct reader *r, const struct schema_section *section,
                         const struct yaml_node *node, bool named) {
    bool ok = true;
    for (size_t i = 0; i < section->count && (ok || goes_on(r)); i++) {
        const struct schema_key *key = &section->keys[i];
        if (key->required && !(named && i == 0) && !yaml_get(node, key->name)) {
            struct buf path;
            buf_init(&path, 1024);
            yaml_path(node, &path);
            ok = refuse(r, node, "`%s` is missing%s%s (%s)", key->name, path.len > 0 ? " in " : "",
                        path.len > 0 ? path.data : "", key->help);
            buf_free(&path);
        }
    }
    return ok;
}

static bool read_map(struct reader *r, const struct schema_section *section,
                     const struct yaml_node *node, bool named, void *out);

static bool refuse_kind(struct reader *r, const struct schema_key *key,
                        const struct yaml_node *node) {
    struct buf wanted;
    buf_init(&wanted, 1024);
    put_wanted(key, &wanted);
    refuse(r, node, "`%s` is %s; expected %s", key->name, yaml_kind_text(node),
           wanted.data ? wanted.data : "");
    buf_free(&wanted);
    return false;
}

static bool read_text(struct reader *r, const struct schema_key *key, const struct yaml_node *node,
                      void *out) {
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    hardy_status status = put_text(key, node->text, out, &problem);
    if (status == HARDY_E_NOMEM) {
        return no_memory(r);
    }
    return status == HARDY_OK || refuse(r, node, "`%s`: %s", key->name, problem.message);
}

/* The texts of a list, as an array with a NULL behind; NULL = refused. */
static char **read_texts(struct reader *r, const struct schema_key *key,
                         const struct yaml_node *node) {
    char **items = calloc(node->count + 1, sizeof *items);
    if (!items) {
        no_memory(r);
        return NULL;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i]->kind != YAML_SCALAR) {
            refuse(r, node->items[i], "item %zu of `%s` is %s; expected text", i + 1, key->name,
                   yaml_kind_text(node->items[i]));
            free_strings(items);
            return NULL;
        }
        items[i] = str_dup(node->items[i]->text);
        if (!items[i]) {
            no_memory(r);
            free_strings(items);
            return NULL;
        }
    }
    return items;
}

static bool read_strings(struct reader *r, const struct schema_key *key,
                         const struct yaml_node *node, void *out) {
    struct yaml_node *one[] = {(struct yaml_node *)node};
    struct yaml_node list = *node;
    if (node->kind == YAML_SCALAR) {
        list.items = one;
        list.count = 1;
    }
    char **items = read_texts(r, key, &list);
    if (items) {
        put_strings(key, items, list.count, out);
    }
    return items != NULL;
}

static bool read_command(struct reader *r, const struct schema_key *key,
                         const struct yaml_node *node, void *out) {
    if (node->kind == YAML_SCALAR) {
        return read_text(r, key, node, out);
    }
    if (node->count == 0) {
        return refuse(r, node, "`%s` is an empty list; its first item names the program",
                      key->name);
    }
    char **argv = read_texts(r, key, node);
    if (!argv) {
        return false;
    }
    if (*argv[0] == '\0') {
        free_strings(argv);
        return refuse(r, node, "`%s` names no program: its first item is empty", key->name);
    }
    release(key, out);
    *(struct schema_command *)at(key, out) = (struct schema_command){.argv = argv};
    return true;
}

static bool read_nested(struct reader *r, const struct schema_key *key,
                        const struct yaml_node *node, void *out) {
    void *p = at(key, out);
    bool off = node->kind == YAML_SCALAR && means_off(key, node->text);
    mark(out, key->off_offset, off);
    if (off || node->kind == YAML_NULL) {
        return true;
    }
    if (node->kind == YAML_MAP) {
        return read_map(r, key->section, node, false, p);
    }
    const struct schema_key *shorthand =
        key->shorthand && node->kind == YAML_SCALAR
            ? find_key(key->section, key->shorthand, strlen(key->shorthand), false)
            : NULL;
    if (!shorthand) {
        return refuse_kind(r, key, node);
    }
    if (!read_text(r, shorthand, node, p)) {
        return false;
    }
    mark(p, shorthand->given_offset, true);
    return true;
}

/* One structure of a list: defaults, its name when it has one from outside, its keys. */
static bool read_item(struct reader *r, const struct schema_section *section,
                      const struct yaml_node *name, const struct yaml_node *node, void *item) {
    bool ok = schema_defaults(section, item) == HARDY_OK || no_memory(r);
    if (ok && name) {
        ok = str_valid_name(name->text)
                 ? put_string(&section->keys[0], name->text, item) == HARDY_OK || no_memory(r)
                 : refuse(r, name, "`%s` cannot be a name: " NAME_RULE, name->text);
    }
    if (!ok && !goes_on(r)) {
        return false;
    }
    if (node->kind == YAML_NULL && name) {
        return ok;
    }
    if (node->kind != YAML_MAP) {
        return refuse(r, node, "%s%s%s is %s; expected a map with the keys of %s",
                      name ? "`" : "an item", name ? name->text : "", name ? "`" : "",
                      yaml_kind_text(node), section->name);
    }
    return read_map(r, section, node, name != NULL, item) && ok;
}

static bool read_list(struct reader *r, const struct schema_key *key, const struct yaml_node *node,
                      void *out) {
    const struct schema_section *section = key->section;
    struct schema_list *list = at(key, out);
    release(key, out);
    if (node->count == 0) {
        return true;
    }
    list->items = calloc(node->count, section->size);
    if (!list->items) {
        return no_memory(r);
    }
    bool ok = true;
    for (size_t i = 0; i < node->count && (ok || goes_on(r)); i++) {
        void *item = (char *)list->items + i * section->size;
        list->count++;
        ok = read_item(r, section, node->kind == YAML_MAP ? node->keys[i] : NULL, node->items[i],
                       item) &&
             ok;
    }
    return ok;
}

/* Whether this kind of value can be read from this kind of node. */
static bool fits(const struct schema_key *key, const struct yaml_node *node) {
    switch (key->kind) {
    case SCHEMA_NODE:
    case SCHEMA_MAP:
        return true;
    case SCHEMA_LIST:
        return node->kind == YAML_LIST || node->kind == YAML_NULL;
    case SCHEMA_NAMED:
        return node->kind == YAML_MAP || node->kind == YAML_NULL;
    case SCHEMA_STRINGS:
    case SCHEMA_COMMAND:
        return node->kind == YAML_LIST || node->kind == YAML_SCALAR;
    default:
        return node->kind == YAML_SCALAR;
    }
}

static bool read_value(struct reader *r, const struct schema_key *key, const struct yaml_node *node,
                       void *out) {
    mark(out, key->given_offset, true);
    if (!fits(key, node)) {
        return refuse_kind(r, key, node);
    }
    switch (key->kind) {
    case SCHEMA_NODE:
        *(const struct yaml_node **)at(key, out) = node;
        return true;
    case SCHEMA_MAP:
        return read_nested(r, key, node, out);
    case SCHEMA_LIST:
    case SCHEMA_NAMED:
        return read_list(r, key, node, out);
    case SCHEMA_STRINGS:
        return read_strings(r, key, node, out);
    case SCHEMA_COMMAND:
        return read_command(r, key, node, out);
    default:
        return read_text(r, key, node, out);
    }
}

static bool read_map(struct reader *r, const struct schema_section *section,
                     const struct yaml_node *node, bool named, void *out) {
    bool ok = true;
    for (size_t i = 0; i < node->count && (ok || goes_on(r)); i++) {
        const char *name = node->keys[i]->text;
        const struct schema_key *key = find_key(section, name, strlen(name), named);
        bool one = key ? read_value(r, key, node->items[i], out)
                       : refuse_unknown(r, section, node, node->keys[i], named);
        ok = one && ok;
    }
    if (!ok && !goes_on(r)) {
        return false;
    }
    return has_required(r, section, node, named) && ok;
}

static bool apply(struct reader *r, const struct schema_section *section,
                  const struct yaml_node *node, bool named, void *out) {
    if (!node) {
        return true;
    }
    if (node->kind == YAML_NULL) {
        return has_required(r, section, node, named);
    }
    if (node->kind != YAML_MAP) {
        struct buf known;
        buf_init(&known, 1024);
        put_key_names(section, named, &known);
        refuse(r, node, "%s is %s; expected a map with the keys %s", section->name,
               yaml_kind_text(node), known.data ? known.data : "");
        buf_free(&known);
        return false;
    }
    return read_map(r, section, node, named, out);
}

hardy_status schema_apply(const struct schema_section *section, const struct yaml_node *node,
                          bool named, void *out, hardy_error *error) {
    hardy_error unused;
    hardy_error_init(&unused, sizeof unused);
    struct reader r = {.error = error ? error : &unused};
    return apply(&r, section, node, named, out) ? HARDY_OK : r.status;
}

hardy_status schema_read(const struct schema_section *section, const struct yaml_node *node,
                         void *out, hardy_error *error) {
    if (schema_defaults(section, out) != HARDY_OK) {
        return fail(error, HARDY_E_NOMEM, NULL, "out of memory");
    }
    return schema_apply(section, node, false, out, error);
}

size_t schema_check(const struct schema_section *section, const struct yaml_node *node,
                    schema_report report, void *ctx) {
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    struct reader r = {.error = &problem, .report = report, .ctx = ctx};
    void *out = malloc(section->size);
    if (!out || schema_defaults(section, out) != HARDY_OK) {
        no_memory(&r);
    } else {
        apply(&r, section, node, false, out);
    }
    if (out) {
        schema_free(section, out);
    }
    free(out);
    return r.problems;
}
