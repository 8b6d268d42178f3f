/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/targets.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/pause.h"
#include <stdlib.h>

/* The maps whose keys are names. */
static const struct {
    const char *section, *below; /* NULL: the section itself */
} maps[] = {
    {"incidents", "services"}, {"heal", "services"}, {"supervise", NULL}, {"fail_over", NULL}};

struct targets {
    char **names;
    size_t count;
    bool no_memory;
};

static void add(struct targets *t, char *name) { /* taken */
    char **names = name ? realloc(t->names, (t->count + 1) * sizeof *names) : NULL;
    if (!names) {
        free(name);
        t->no_memory = true;
        return;
    }
    t->names = names;
    t->names[t->count++] = name;
}

static void add_all(struct targets *t, const struct yaml_node *map) {
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->count; i++) {
        const char *name = map->keys[i]->text;
        const struct yaml_node *actions = yaml_get(map->items[i], "actions");
        add(t, str_dup(name));
        for (size_t k = 0; actions && actions->kind == YAML_MAP && k < actions->count; k++) {
            add(t, str_format("%s/%s", name, actions->keys[k]->text));
        }
    }
}

static void targets_free(struct targets *t) {
    for (size_t i = 0; i < t->count; i++) {
        free(t->names[i]);
    }
    free(t->names);
}

static hardy_status unknown(const struct targets *t, const char *name, hardy_error *error) {
    const char *nearest = str_nearest(name, (const char *const *)t->names, t->count);
    struct buf all;
    if (t->count == 0) {
        return fail(error, HARDY_E_NOT_FOUND, NULL,
                    "the configuration knows no `%s`: it has no services, children or fail-overs",
                    name);
    }
    if (nearest) {
        return fail(error, HARDY_E_NOT_FOUND, NULL,
                    "the configuration knows no `%s`; did you mean `%s`?", name, nearest);
    }
    buf_init(&all, 300);
    for (size_t i = 0; i < t->count && !all.failed; i++) {
        buf_printf(&all, "%s%s", i > 0 ? ", " : "", t->names[i]);
    }
    hardy_status status =
        fail(error, HARDY_E_NOT_FOUND, NULL, "the configuration knows no `%s`; it has %.*s%s", name,
             (int)all.len, all.data ? all.data : "", all.failed ? " ..." : "");
    buf_free(&all);
    return status;
}

hardy_status target_check(const struct config *config, const char *name, hardy_error *error) {
    struct targets t = {0};
    bool known = !config->file || str_eq(name, PAUSE_EVERYTHING);
    for (size_t i = 0; i < sizeof maps / sizeof *maps && !known; i++) {
        const struct yaml_node *node = config_section(config, maps[i].section);
        add_all(&t, node && maps[i].below ? yaml_get(node, maps[i].below) : node);
    }
    for (size_t i = 0; i < t.count && !known; i++) {
        known = str_eq(t.names[i], name);
    }
    hardy_status status =
        known         ? HARDY_OK
        : t.no_memory ? fail(error, HARDY_E_NOMEM, NULL, "no memory for the names of targets")
                      : unknown(&t, name, error);
    targets_free(&t);
    return status;
}
