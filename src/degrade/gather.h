/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEGRADE_GATHER_H
#define DEGRADE_GATHER_H
/*
 * Gathering several components at once under one deadline, and telling honestly what came: the
 * level, and for each component whether it is fresh, cached (how old), static, or missing and why.
 */
#include "base/buf.h"
#include <hardy/env.h>
#include <stdbool.h>

enum degrade_level {
    DEGRADE_FULL,
    DEGRADE_SLIGHT,
    DEGRADE_MODERATE,
    DEGRADE_MINIMAL,
    DEGRADE_FAILED
};
const char *degrade_level_text(enum degrade_level level);

enum component_state {
    COMPONENT_WAITING,
    COMPONENT_FRESH,
    COMPONENT_CACHED,
    COMPONENT_STATIC,
    COMPONENT_MISSING
};

struct component {
    const char *name; /* borrowed */
    double weight;    /* 1; > 0 */
    bool critical;    /* missing fails the whole */
    enum component_state state;
    char *data;  /* JSON, malloc'd, taken; NULL when missing */
    int64_t age; /* ns, cached only */
    int64_t took;
    char error[240]; /* why it is not fresh; "" when it is */
};
/* MISSION's rule: full = every component fresh; success >= 0.8 and cached or static < 0.3 = slight;
 * success >= 0.6 moderate; success >= 0.3 minimal; else, or when a critical one is missing, failed.
 * Shares are weighted. */
enum degrade_level degrade_level_of(const struct component *components, size_t count);
/* The answer: degradation_level, components{success, data, cached, age, degraded, error},
 * metadata{total_components, successful_components, cached_responses, degraded_components}. */
void gather_to_json(const struct component *components, size_t count, struct buf *out);

/* --- chain: fresh > cached > static > error; the only fallback -------------------------------- */
struct fallback_cache { /* a place for the last good answers, given by the caller */
    void *ctx;
    /* malloc'd JSON and its age; NULL = nothing. */
    char *(*get)(void *ctx, const char *key, int64_t *age);
    void (*put)(void *ctx, const char *key, const char *data);
};
struct chain {
    const struct fallback_cache *cache; /* NULL = none */
    const char *cache_key;
    int64_t ttl;       /* older answers are not used; 1h */
    const char *fixed; /* static answer, JSON; NULL = none */
    bool fresh_only;   /* the component demands fresh data: an error, never the cache */
};
/* Settles a component after its fresh attempt: `fresh` = JSON (taken) or NULL with `why`. */
void chain_settle(const struct chain *chain, char *fresh, const char *why, struct component *c);
#endif
