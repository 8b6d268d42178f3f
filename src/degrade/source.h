/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_SOURCE_H
#define DEGRADE_SOURCE_H
/* Where a component comes from, as it is written in the configuration. */
#include "config/schema.h"

struct source_settings {
    char *name;
    char *http;    /* JSON, or text; stub_status is understood */
    char *file;    /* its last `tail` bytes */
    char *process; /* a pid file: states of the process and its children from /proc */
    struct schema_command command; /* standard output */
    uint64_t tail;
    int64_t timeout;
    bool critical;
    double weight;
    char *fixed;   /* `static:` JSON */
    int64_t cache; /* TTL of the last good answer; 0 = none */
};
extern const struct schema_section source_section; /* of a SCHEMA_NAMED list */
/* Exactly one kind, an address that can be one, JSON where JSON has to be. The error points into
 * `node`, the source's map. */
hardy_status source_check(const struct yaml_node *node, const struct source_settings *s,
                          hardy_error *error);
#endif
