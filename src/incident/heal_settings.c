/* SPDX-License-Identifier: Apache-2.0 */
/* `heal:`: services whose remedies follow from the checks that are down. */
#include "base/error.h"
#include "base/str.h"
#include "incident/settings.h"
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const int64_t cooldown = 5 * HARDY_MINUTE, restart_cooldown = HARDY_MINUTE;
static const char *const level_words[] = {"degraded", "unhealthy", "critical", NULL};

static const struct schema_key remedy_keys[] = {
    {.name = "check",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct heal_settings, check),
     .help = "while this one is down; without it, whichever is"},
    {.name = "from",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct heal_settings, from),
     .words = level_words,
     .def = "degraded",
     .help = "and from this level on: degraded, unhealthy (less than 75 % of the checks pass) or "
             "critical (less than 50 %)"},
    {.name = "actions",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct heal_settings, actions),
     .required = true,
     .help = "names under actions: in the order they are tried; clear_cache, reset_connections and "
             "lower_concurrency are there without being written"},
};
static const struct schema_section remedy_section = {"remedy", remedy_keys, COUNT(remedy_keys),
                                                     sizeof(struct heal_settings)};

static const struct schema_key service_keys[] = {
    SERVICE_KEYS{
        .name = "checks",
        .kind = SCHEMA_STRINGS,
        .offset = offsetof(struct service_settings, checks),
        .help =
            "one that is down is healed; all have to be good again; without it, the check of the "
            "service's name"},
    {.name = "remedies",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct service_settings, remedies),
     .section = &remedy_section,
     .help =
         "what is tried, in this order; without it what suits the check: clear_cache for memory, "
         "reset_connections for http and tcp"},
    {.name = "escalate_after",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct service_settings, escalate_after),
     .def = "15m",
     .max = "7d",
     .help = "people are told, too, when it is not well after this time; hardy goes on; 0s = not"},
    {.name = "enable_auto_restart",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct service_settings, restarts),
     .def = "true",
     .help = "actions that restart may be used"},
    {.name = "enable_auto_failover",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct service_settings, fails_over),
     .def = "true",
     .help = "actions that fail over may be used"},
};
static const struct schema_section service_section = {"service", service_keys, COUNT(service_keys),
                                                      sizeof(struct service_settings)};

static const struct schema_key heal_keys[] = {
    {.name = "services",
     .kind = SCHEMA_NAMED,
     .offset = offsetof(struct healing, services),
     .section = &service_section,
     .help = "what is healed, by name"},
    {.name = "max_runs",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct healing, max_runs),
     .def = "10",
     .min = "1",
     .max = "10000",
     .help = "remedies of all services together, those of incidents: too, within `per`; then "
             "people are "
             "told instead"},
    {.name = "per",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct healing, per),
     .def = "1h",
     .min = "1m",
     .max = "30d",
     .help = "the time that max_runs counts over"},
};
const struct schema_section heal_section = {"heal", heal_keys, COUNT(heal_keys),
                                            sizeof(struct healing)};

/* --- what is there without being written --------------------------------------------------------
 */

static const char *const built_in[] = {"clear_cache", "reset_connections", "lower_concurrency"};

static hardy_status add_built_in(struct service_settings *s, const char *name, hardy_error *error) {
    if (incident_action(s, name))
        return HARDY_OK; /* the user's own */
    struct action_settings *list = realloc(s->actions.items, (s->actions.count + 1) * sizeof *list);
    if (!list)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for service %s", s->name);
    s->actions.items = list;
    struct action_settings *a = &list[s->actions.count];
    hardy_status status = schema_defaults(&action_section, a);
    s->actions.count++;
    a->lowers = str_eq(name, "lower_concurrency");
    char **kind = str_eq(name, "clear_cache") ? &a->clear_cache : &a->reset_connections;
    a->name = str_dup(name);
    if (!a->lowers)
        *kind = str_dup("");
    return status == HARDY_OK && a->name && (a->lowers || *kind)
               ? HARDY_OK
               : fail(error, HARDY_E_NOMEM, NULL, "no memory for service %s", s->name);
}

static void set_cooldowns(struct service_settings *s) {
    struct action_settings *list = s->actions.items;
    for (size_t n = 0; n < s->actions.count; n++)
        if (!list[n].cooldown_given)
            list[n].cooldown = list[n].restart ? restart_cooldown : cooldown;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static bool has_check(const struct service_settings *s, const char *name) {
    for (size_t n = 0; n < s->checks.count; n++)
        if (str_eq(s->checks.items[n], name))
            return true;
    return false;
}

static hardy_status check_remedies(const struct yaml_node *node, const struct service_settings *s,
                                   hardy_error *error) {
    const struct heal_settings *remedies = s->remedies.items;
    const struct yaml_node *list = yaml_get(node, "remedies");
    for (size_t n = 0; n < s->remedies.count; n++) {
        const struct heal_settings *r = &remedies[n];
        if (r->check && !has_check(s, r->check))
            return yaml_fail(list->items[n], error,
                             "remedy %zu of `%s` is for the check `%s`, which is not one of its "
                             "checks:",
                             n + 1, s->name, r->check);
        for (size_t k = 0; k < r->actions.count; k++)
            if (!incident_action(s, r->actions.items[k]))
                return yaml_fail(list->items[n], error,
                                 "remedy %zu of `%s` names the action `%s`, which is not under "
                                 "actions:",
                                 n + 1, s->name, r->actions.items[k]);
    }
    return HARDY_OK;
}

static hardy_status take_service(const struct yaml_node *node, struct service_settings *s,
                                 const struct incident_settings *all, hardy_error *error) {
    const struct service_settings *others = all->services.items;
    s->heals = true;
    for (size_t n = 0; n < all->services.count; n++)
        if (str_eq(others[n].name, s->name))
            return yaml_fail(node, error,
                             "there is a service `%s` under incidents: too; it is handled there or "
                             "here, and names are one set",
                             s->name);
    hardy_status status = service_take_checks(node, s, s->name, error);
    status = status == HARDY_OK ? service_check(node, s, error) : status;
    for (size_t n = 0; status == HARDY_OK && n < COUNT(built_in); n++)
        status = add_built_in(s, built_in[n], error);
    if (status == HARDY_OK)
        set_cooldowns(s);
    return status == HARDY_OK ? check_remedies(node, s, error) : status;
}

hardy_status heal_settings_read(const struct config *config, struct incident_settings *out,
                                hardy_error *error) {
    const struct yaml_node *node = config_section(config, "heal");
    hardy_status status = schema_read(&heal_section, node, &out->healing, error);
    struct service_settings *list = out->healing.services.items;
    const struct yaml_node *services = node ? yaml_get(node, "services") : NULL;
    for (size_t n = 0; status == HARDY_OK && n < out->healing.services.count; n++)
        status = take_service(yaml_get(services, list[n].name), &list[n], out, error);
    return status;
}
