/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/settings.h"
#include "base/error.h"
#include "base/str.h"
#include "settings/guards.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const worst_words[] = {"full",   "slight",     "moderate", "minimal",
                                          "strict", "permissive", NULL};
static const hardy_level worst_levels[] = {HARDY_LEVEL_FULL,     HARDY_LEVEL_SLIGHT,
                                           HARDY_LEVEL_MODERATE, HARDY_LEVEL_MINIMAL,
                                           HARDY_LEVEL_SLIGHT,   HARDY_LEVEL_MINIMAL};

#define LEVEL(word, level)                                                                         \
    {                                                                                              \
        .name = word, .kind = SCHEMA_NODE,                                                         \
        .offset = (size_t)(level) * sizeof(const struct yaml_node *),                              \
        .help = "a map of what is switched at this level and below"                                \
    }
static const struct schema_key level_keys[] = {
    LEVEL("full", HARDY_LEVEL_FULL),         LEVEL("slight", HARDY_LEVEL_SLIGHT),
    LEVEL("moderate", HARDY_LEVEL_MODERATE), LEVEL("minimal", HARDY_LEVEL_MINIMAL),
    LEVEL("failed", HARDY_LEVEL_FAILED),
};
static const struct schema_section level_section = {"levels", level_keys, COUNT(level_keys),
                                                    sizeof((struct gathering_settings *)0)->levels};

static const struct schema_key gathering_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct gathering_settings, name),
     .help = "of the gathering: GET /api/v1/gather/NAME"},
    {.name = "deadline",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct gathering_settings, deadline),
     .def = "10s",
     .min = "10ms",
     .max = "10m",
     .help = "time for all components together"},
    {.name = "max_degradation",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct gathering_settings, worst),
     .words = worst_words,
     .def = "moderate",
     .help = "beyond this level the answer is an error; strict = slight, permissive = minimal"},
    {.name = "components",
     .kind = SCHEMA_NAMED,
     .offset = offsetof(struct gathering_settings, components),
     .section = &component_section,
     .required = true,
     .help = "what is gathered, by name"},
    {.name = "levels",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct gathering_settings, levels),
     .section = &level_section,
     .help = "behaviour that comes back with the answer, by level"},
};
static const struct schema_section gathering_section = {
    "gathering", gathering_keys, COUNT(gathering_keys), sizeof(struct gathering_settings)};

#define CACHE_AT(member)                                                                           \
    (offsetof(struct degrade_settings, cache.member) - offsetof(struct degrade_settings, cache))
static const struct schema_key cache_keys[] = {
    {.name = "answers",
     .kind = SCHEMA_UNSIGNED,
     .offset = CACHE_AT(answers),
     .def = "1000",
     .min = "1",
     .max = "100000",
     .help = "how many last good answers are kept; those not used for longest go"},
    {.name = "size",
     .kind = SCHEMA_SIZE,
     .offset = CACHE_AT(size),
     .def = "64MiB",
     .min = "2MiB",
     .max = "4GiB",
     .help = "of all of them together"},
};
static const struct schema_section cache_section = {"cache", cache_keys, COUNT(cache_keys),
                                                    sizeof((struct degrade_settings *)0)->cache};

static const struct schema_key degrade_keys[] = {
    {.name = "gatherings",
     .kind = SCHEMA_NAMED,
     .offset = offsetof(struct degrade_settings, gatherings),
     .section = &gathering_section,
     .help = "gatherings by name"},
    {.name = "cache",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct degrade_settings, cache),
     .section = &cache_section,
     .help = "of the last good answers"},
};
const struct schema_section degrade_section = {"degrade", degrade_keys, COUNT(degrade_keys),
                                               sizeof(struct degrade_settings)};

hardy_level gathering_worst(const struct gathering_settings *s) {
    return worst_levels[s->worst];
}

hardy_status gathering_find(const struct degrade_settings *s, const char *name, size_t *index,
                            hardy_error *error) {
    const struct gathering_settings *list = s->gatherings.items;
    const char *names[256];
    size_t count = 0;
    for (size_t i = 0; i < s->gatherings.count; i++) {
        if (str_eq(list[i].name, name)) {
            *index = i;
            return HARDY_OK;
        }
        if (count < COUNT(names))
            names[count++] = list[i].name;
    }
    const char *nearest = str_nearest(name, names, count);
    return fail(error, HARDY_E_NOT_FOUND, NULL, "no gathering `%.100s` under degrade:%s%s%s", name,
                nearest ? " (did you mean `" : "", nearest ? nearest : "", nearest ? "`?)" : "");
}

/* --- switches --------------------------------------------------------------------------------- */

static hardy_status add_switches(json_t *all, const struct yaml_node *node, hardy_error *error) {
    struct buf text;
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_MAP)
        return yaml_fail(node, error, "levels: a map of what is switched is expected");
    buf_init(&text, (size_t)1 << 20);
    yaml_to_json(node, &text);
    json_t *own = text.failed ? NULL : json_loadb(text.data, text.len, 0, NULL);
    buf_free(&text);
    if (!own || json_object_update(all, own) != 0) {
        json_decref(own);
        return yaml_fail(node, error, "levels: this cannot be told as JSON");
    }
    json_decref(own);
    return HARDY_OK;
}

static hardy_status read_switches(struct gathering_settings *s, hardy_error *error) {
    json_t *all = json_object();
    hardy_status status = HARDY_OK;
    for (int level = 0; level < LEVELS && status == HARDY_OK; level++) {
        status = add_switches(all, s->levels[level], error);
        s->switches[level] = json_dumps(all, JSON_COMPACT);
        if (status == HARDY_OK && !s->switches[level])
            status = fail(error, HARDY_E_NOMEM, NULL, "no memory for the levels");
    }
    json_decref(all);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

static hardy_status check_guard(const struct config *config, const struct yaml_node *node,
                                const char *name, hardy_error *error) {
    struct guard_settings guard;
    hardy_error why;
    if (!name)
        return HARDY_OK;
    hardy_error_init(&why, sizeof why);
    hardy_status status = guard_settings_find(config, name, GUARD_DEFAULTS, &guard, &why);
    guard_settings_free(&guard);
    return status == HARDY_OK
               ? HARDY_OK
               : yaml_fail(node ? yaml_get(node, "guard") : NULL, error, "%s", why.message);
}

static hardy_status read_component(const struct config *config, const struct yaml_node *node,
                                   struct source_settings *s, hardy_error *error) {
    const struct source_settings *alternates = s->alternates.items;
    const struct yaml_node *list = node ? yaml_get(node, "alternates") : NULL;
    hardy_status status = component_settle(node, s, error);
    if (status == HARDY_OK)
        status = check_guard(config, node, s->guard, error);
    for (size_t i = 0; status == HARDY_OK && i < s->alternates.count; i++)
        status = check_guard(config, list->items[i], alternates[i].guard, error);
    return status;
}

static hardy_status read_gathering(const struct config *config, const struct yaml_node *node,
                                   struct gathering_settings *s, hardy_error *error) {
    struct source_settings *components = s->components.items;
    const struct yaml_node *nodes = node ? yaml_get(node, "components") : NULL;
    hardy_status status = HARDY_OK;
    if (s->components.count == 0)
        return yaml_fail(node, error, "gathering `%s` has no components", s->name);
    for (size_t i = 0; status == HARDY_OK && i < s->components.count; i++)
        status = read_component(config, nodes ? yaml_get(nodes, components[i].name) : NULL,
                                &components[i], error);
    return status == HARDY_OK ? read_switches(s, error) : status;
}

hardy_status degrade_settings_read(const struct config *config, struct degrade_settings *out,
                                   hardy_error *error) {
    const struct yaml_node *node = config_section(config, "degrade");
    hardy_status status = schema_read(&degrade_section, node, out, error);
    struct gathering_settings *list = out->gatherings.items;
    const struct yaml_node *nodes = node ? yaml_get(node, "gatherings") : NULL;
    for (size_t i = 0; status == HARDY_OK && i < out->gatherings.count; i++)
        status =
            read_gathering(config, nodes ? yaml_get(nodes, list[i].name) : NULL, &list[i], error);
    return status;
}

void degrade_settings_free(struct degrade_settings *s) {
    struct gathering_settings *list = s->gatherings.items;
    for (size_t i = 0; i < s->gatherings.count; i++)
        for (int level = 0; level < LEVELS; level++)
            free(list[i].switches[level]);
    schema_free(&degrade_section, s);
    memset(s, 0, sizeof *s);
}
