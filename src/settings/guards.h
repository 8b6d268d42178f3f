/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETTINGS_GUARDS_H
#define SETTINGS_GUARDS_H
/*
 * The `guards:` section, its presets, and the same keys as flags of `hardy exec`: one table. What
 * comes out are libhardy's configuration structures.
 *
 * From weak to strong: the base's defaults, the preset, the guard's map, the flags. A layer is
 * switched off by `off` in place of its map (`breaker: off`).
 */
#include "config/config.h"
#include <hardy/guard.h>

/* What a guard is before anything is said about it. */
enum guard_base {
    GUARD_DEFAULTS, /* of `guards:`: retry, budget and breaker, which rejects when open */
    GUARD_EMPTY,    /* `exec` and steps: nothing unless given; a name switches on the breaker, which
                       rejects when open; retries bring the budget */
    GUARD_LLM,      /* the protocols anthropic and openai */
    GUARD_HTTP /* other upstreams of the gateway: as GUARD_DEFAULTS, and nothing waits for ever */
};
struct guard_flag {
    const char *name;  /* "--base-delay" */
    const char *value; /* NULL for a switch */
};
struct guard_source {
    enum guard_base base;
    const char *name;             /* NULL = none: nothing is shared, there is no breaker */
    const struct yaml_node *node; /* the guard's map; NULL = none */
    const struct guard_flag *flags;
    size_t flag_count;
};

struct guard_codes { /* of `retry_on`, inclusive */
    int from, to;
};

struct guard_settings {        /* must not be moved: `config` points into it */
    char *name;                /* NULL = none */
    hardy_guard_config config; /* layers point into the structures below */
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_rate_config tokens; /* for the gateway, when `given_tokens` */
    hardy_bulkhead_config bulkhead;
    int64_t timeout_connect; /* ns for HTTP's drivers; HARDY_NEVER */
    /* Whether the user gave any key of that policy, by preset, map or flag. */
    bool given_retry, given_budget, given_breaker, given_rate, given_tokens, given_slots;
    struct guard_codes *retry_on; /* NULL = not given */
    size_t retry_on_count;
};
extern const struct schema_section guard_section; /* of one guard, nested as in YAML; its first key
                                                     is the name that the map stands under */

/* E_SYNTAX, E_INVALID: what is wrong, with the place in the file or the flag. `out` is emptied on
 * failure; guard_settings_free() may be called always. */
hardy_status guard_settings_read(const struct guard_source *source, struct guard_settings *out,
                                 hardy_error *error);
void guard_settings_free(struct guard_settings *s);
/* The guard NAME of the configuration's `guards:`, over this base; E_NOT_FOUND names the nearest.
 * `config` may be NULL. */
hardy_status guard_settings_find(const struct config *config, const char *name,
                                 enum guard_base base, struct guard_settings *out,
                                 hardy_error *error);
/* Whether `retry_on` lets this code be retried; everything is when it is not given. */
bool guard_retries_code(const struct guard_settings *s, int code);
/* The same of an answer's HTTP status, from 400 on: a list that names exit codes only, all of them
 * below 400, says nothing of answers. */
bool guard_retries_status(const struct guard_settings *s, int status);
#endif
