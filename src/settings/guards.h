/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETTINGS_GUARDS_H
#define SETTINGS_GUARDS_H
/*
 * The `guards:` section, its presets, and the same keys as flags of `hardy exec`: one table. What
 * comes out are libhardy's configuration structures.
 */
#include "config/config.h"
#include "shared/host.h"
#include <hardy/guard.h>

struct guard_settings { /* what the user said, with what was given marked */
    char *name;
    hardy_guard_config config; /* layers point into the structures below */
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
    bool shared;              /* breaker, rate, budget and slots shared by the host's processes */
    bool given_breaker, given_rate, given_budget, given_slots; /* any key of that policy given */
    void *raw;                /* the structure read through the table */
};
extern const struct schema_section guard_section; /* of one guard, nested as in YAML */

/* `node` = one guard's map or NULL. */
hardy_status guard_settings_read(const char *name, const struct yaml_node *node,
                                 struct guard_settings *out, hardy_error *error);
void guard_settings_free(struct guard_settings *s);
/* The guard NAME of the configuration; E_NOT_FOUND names the nearest. */
hardy_status guard_settings_find(const struct config *config, const char *name,
                                 struct guard_settings *out, hardy_error *error);
#endif
