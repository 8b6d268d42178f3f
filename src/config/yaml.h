/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_YAML_H
#define CONFIG_YAML_H
/*
 * A YAML document as a tree whose every node knows its file, line and column. Duplicate keys,
 * invalid UTF-8, several documents, aliases that grow without bound and files over 4 MiB are refused.
 */
#include "base/buf.h"
#include <hardy/status.h>
#include <stdbool.h>

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    const char *text;    /* scalar: as written, quotes resolved; "" for null */
    bool quoted;         /* scalar was quoted: a string whatever it looks like */
    size_t count;        /* list: items; map: pairs */
    struct yaml_node **items; /* list: items; map: values */
    struct yaml_node **keys;  /* map: scalar keys */
    int line, column;    /* from 1 */
    const struct yaml_file *file;
};
struct yaml_file {
    const char *path; /* as given; "-" = standard input */
    struct yaml_node *root;
    const char *bytes; /* the file as read, for hashes */
    size_t len;
    void *memory; /* everything above lives in here */
};

hardy_status yaml_load(const char *path, struct yaml_file **out, hardy_error *error);
hardy_status yaml_parse(const char *path, const char *bytes, size_t len, struct yaml_file **out,
                        hardy_error *error);
void yaml_free(struct yaml_file *file);
/* The value of a key, NULL = absent or not a map. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* fail() with where = "path:line:column" of the node. */
hardy_status yaml_fail(const struct yaml_node *node, hardy_error *error, const char *format, ...)
    HARDY_PRINTF(3, 4);
/* The node as compact JSON; plain scalars that read as JSON numbers, true, false, null become such. */
void yaml_to_json(const struct yaml_node *node, struct buf *out);
#endif
