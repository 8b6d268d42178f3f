/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"
#include "http/url.h"
#include "notify/notify.h"
#include <stdlib.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const type_words[] = {"stderr", "webhook", NULL};

static const struct schema_key target_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct notify_target, name),
     .help = "of the place"},
    {.name = "type",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct notify_target, type),
     .words = type_words,
     .help = "stderr or webhook; required"},
    {.name = "url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, url),
     .help = "of a webhook: gets a POST of application/json"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct notify_target, timeout),
     .def = "5s",
     .min = "10ms",
     .max = "5m",
     .help = "of one try"},
};
const struct schema_section notify_section = {"notify", target_keys, COUNT(target_keys),
                                              sizeof(struct notify_target)};

static hardy_status check_target(const struct yaml_node *node, const struct notify_target *t,
                                 hardy_error *error) {
    if (t->type < 0)
        return yaml_fail(node, error, "notify `%s`: type is missing; stderr or webhook", t->name);
    if (t->type == NOTIFY_STDERR) {
        if (t->url)
            return yaml_fail(yaml_get(node, "url"), error, "notify `%s`: type stderr has no url",
                             t->name);
        return HARDY_OK;
    }
    struct http_url url;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (!t->url)
        return yaml_fail(node, error, "notify `%s`: a webhook needs its url", t->name);
    if (http_url_parse(t->url, &url, &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "url"), error, "notify `%s`: %s", t->name, why.message);
    http_url_free(&url);
    return HARDY_OK;
}

hardy_status notify_read(const struct config *config, struct schema_list *targets,
                         hardy_error *error) {
    const struct yaml_node *node = config_section(config, "notify");
    *targets = (struct schema_list){0};
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_MAP)
        return yaml_fail(node, error, "notify: a map of names to places is needed");
    struct notify_target *items = calloc(node->count + 1, sizeof *items);
    if (!items)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu places", node->count);
    targets->items = items;
    for (size_t i = 0; i < node->count; i++) {
        const char *name = node->keys[i]->text;
        targets->count = i + 1;
        hardy_status status = schema_defaults(&notify_section, &items[i]);
        if (status == HARDY_OK && !str_valid_name(name))
            status =
                yaml_fail(node->keys[i], error,
                          "notify: `%s` is not a name: letters, digits, . _ -, at most 63", name);
        if (status == HARDY_OK)
            items[i].name = str_dup(name);
        if (status == HARDY_OK)
            status = schema_apply(&notify_section, node->items[i], true, &items[i], error);
        if (status == HARDY_OK)
            status = check_target(node->items[i], &items[i], error);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

void notify_free(struct schema_list *targets) {
    struct notify_target *items = targets->items;
    for (size_t i = 0; i < targets->count; i++)
        schema_free(&notify_section, &items[i]);
    free(items);
    *targets = (struct schema_list){0};
}

const struct notify_target *notify_find(const struct schema_list *targets, const char *name) {
    const struct notify_target *items = targets->items;
    for (size_t i = 0; i < targets->count; i++)
        if (str_eq(items[i].name, name))
            return &items[i];
    return NULL;
}
