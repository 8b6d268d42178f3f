/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H
/*
 * A YAML document as a tree whose every node knows its file, line and column. Refused, with the
 * place: duplicate keys, keys that are not plain text, tags, bytes that are not UTF-8, NUL in a
 * string, several documents, aliases inside their own anchor, more than 100,000 values (aliases are
 * copied, so a "billion laughs" ends there), nesting deeper than 64, files over 4 MiB. Merge keys
 * (`<<: *base`) are understood: what the map itself says wins, then the first of several. An empty
 * file is a null.
 */
#include "base/buf.h"
#include <hardy/status.h>
#include <stdbool.h>

#define YAML_MAX_BYTES ((size_t)4 << 20)

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    const char *text;         /* scalar: as written, quotes resolved; "" for the other kinds */
    bool quoted;              /* scalar was quoted: a string whatever it looks like */
    size_t count;             /* list: items; map: pairs */
    struct yaml_node **items; /* list: items; map: values */
    struct yaml_node **keys;  /* map: scalar keys */
    int line, column;         /* from 1; a copy made by an alias tells its anchor's place */
    const struct yaml_file *file;
};
struct yaml_file {
    const char *path; /* as given; "-" = standard input */
    struct yaml_node *root;
    const char *bytes; /* the file as read, for hashes */
    size_t len;
    void *memory; /* everything above lives in here */
};

/* E_SYNTAX with the place; E_TOO_LARGE; what reading a file can say (E_NOT_FOUND, E_READONLY,
 * E_IO). The tree is owned by the file. */
hardy_status yaml_load(const char *path, struct yaml_file **out, hardy_error *error);
/* `bytes` copied; `path` is for messages. */
hardy_status yaml_parse(const char *path, const char *bytes, size_t len, struct yaml_file **out,
                        hardy_error *error);
void yaml_close(struct yaml_file *file); /* NULL is fine */
/* The value of a key, NULL = absent or not a map. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* A copy of `len` bytes in the file's memory, NUL behind; NULL = no memory. */
const char *yaml_keep(struct yaml_file *file, const char *bytes, size_t len);
/* fail(E_SYNTAX) with where = "path:line:column" of the node. */
hardy_status yaml_fail(const struct yaml_node *node, hardy_error *error, const char *format, ...)
    HARDY_PRINTF(3, 4);
/* The keys that lead to the node, "guards.search.retry" or "steps[2].run" (items from 0); nothing
 * for the root. */
void yaml_path(const struct yaml_node *node, struct buf *out);
/* "a list", "a map", "empty", "text": what the node is, for messages. */
const char *yaml_kind_text(const struct yaml_node *node);
/* The node as compact JSON; plain scalars that read as JSON numbers, true, false become such. */
void yaml_to_json(const struct yaml_node *node, struct buf *out);
#endif
