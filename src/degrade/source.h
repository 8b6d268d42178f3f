/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_SOURCE_H
#define DEGRADE_SOURCE_H
/* Where a component comes from, as it is written in the configuration. */
#include "config/schema.h"

enum strategy {
    STRATEGY_CACHE_FALLBACK,
    STRATEGY_STATIC_FALLBACK,
    STRATEGY_ALTERNATE_SOURCE,
    STRATEGY_PARTIAL_RESPONSE,
    STRATEGY_FAIL_FAST
};
/* A component of a gathering: where it comes from, and what stands in. The chain is always source >
 * alternates > cache > static > none, as far as there is anything; the strategy says what there is
 * when nothing is said, and what there has to be. */
struct source_settings {
    char *name;
    char *http;    /* JSON, or text; stub_status is understood */
    char *file;    /* its last `tail` bytes */
    char *process; /* a pid file: states of the process and its children from /proc */
    struct schema_command command; /* standard output */
    uint64_t tail;
    int64_t timeout;
    char *guard; /* NULL = none: asked once */
    bool critical;
    double weight;
    char *fixed;                   /* `static:` JSON */
    int64_t cache;                 /* TTL of the last good answer; 0 = none */
    int64_t refresh;               /* a good answer is that long as good as a new one */
    struct schema_list alternates; /* of source_settings, of which only the source counts */
    int strategy;                  /* enum strategy */
    bool fresh_only;
    char *cache_key; /* NULL = made of the gathering's name and its own */
    bool given_cache;
};
/* Of SCHEMA_NAMED lists. A source of evidence has no cache unless it is given one. */
extern const struct schema_section source_section, component_section;
/* Exactly one kind, an address that can be one, JSON where JSON has to be. The error points into
 * `node`, the source's map. */
hardy_status source_check(const struct yaml_node *node, const struct source_settings *s,
                          hardy_error *error);
/* The same for a component, and whether its strategy has what it needs; sets what follows from
 * that. */
hardy_status component_settle(const struct yaml_node *node, struct source_settings *s,
                              hardy_error *error);
#endif
