/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "health/check.h"
#include "http/url.h"
#include "io/file.h"
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct schema_key check_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct check_settings, name),
     .required = true,
     .help = "of the check"},
    {.name = "http",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_settings, http),
     .help = "URL; passes on 2xx and 3xx"},
    {.name = "tcp",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_settings, tcp),
     .help = "HOST:PORT; passes when it connects"},
    {.name = "command",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct check_settings, command),
     .help = "passes on exit 0; 126 and 127 are unknown, for it did not run"},
    {.name = "memory_below",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct check_settings, memory_below),
     .min = "0.01",
     .max = "1",
     .help = "share of the container's or host's memory in use"},
    {.name = "disk",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct check_settings, disk),
     .help = "path on a file system; passes while disk_free is left"},
    {.name = "disk_free",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct check_settings, disk_free),
     .def = "1GiB",
     .help = "for disk"},
    {.name = "interval",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, interval),
     .def = "10s",
     .min = "10ms",
     .max = "1d",
     .help = "time from one start to the next"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct check_settings, timeout),
     .def = "1s",
     .min = "1ms",
     .max = "1h",
     .help = "then it has failed; not above the interval"},
    {.name = "failure_threshold",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_settings, failure_threshold),
     .def = "3",
     .min = "1",
     .max = "1000",
     .help = "failures in a row until it is down"},
    {.name = "success_threshold",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct check_settings, success_threshold),
     .def = "2",
     .min = "1",
     .max = "1000",
     .help = "passes in a row until it is up again"},
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct check_settings, critical),
     .def = "false",
     .help = "down makes /health/ready answer 503; else it only warns"},
};
const struct schema_section check_section = {"checks", check_keys, COUNT(check_keys),
                                             sizeof(struct check_settings)};

static hardy_status check_one(const struct yaml_node *node, const struct check_settings *c,
                              hardy_error *error) {
    int kinds = (c->http != NULL) + (c->tcp != NULL) + (c->command.argv != NULL) +
                (c->memory_below > 0) + (c->disk != NULL);
    if (kinds != 1)
        return yaml_fail(
            node, error,
            "check `%s` has %s; one of http, tcp, command, memory_below, disk is needed", c->name,
            kinds ? "several kinds" : "no kind");
    if (c->timeout > c->interval) {
        char timeout[48], interval[48];
        format_duration(c->timeout, timeout);
        format_duration(c->interval, interval);
        return yaml_fail(node, error, "check `%s`: timeout %s is above its interval %s", c->name,
                         timeout, interval);
    }
    if (c->http) {
        struct http_url url;
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        if (http_url_parse(c->http, &url, &why) != HARDY_OK)
            return yaml_fail(yaml_get(node, "http"), error, "check `%s`: %s", c->name, why.message);
        http_url_free(&url);
    }
    if (c->tcp) {
        struct http_authority address;
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        hardy_status status = http_authority_parse(c->tcp, strlen(c->tcp), &address, &why);
        if (status != HARDY_OK || address.port == 0)
            return yaml_fail(yaml_get(node, "tcp"), error,
                             "check `%s`: `%s` is not HOST:PORT, such as 127.0.0.1:5432", c->name,
                             c->tcp);
    }
    return HARDY_OK;
}

hardy_status checks_read(const struct config *config, struct schema_list *list,
                         hardy_error *error) {
    const struct yaml_node *node = config_section(config, "checks");
    *list = (struct schema_list){0};
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_LIST)
        return yaml_fail(node, error, "checks: a list of checks is needed");
    struct check_settings *items = calloc(node->count + 1, sizeof *items);
    if (!items)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu checks", node->count);
    list->items = items;
    for (size_t i = 0; i < node->count; i++) {
        hardy_status status = schema_read(&check_section, node->items[i], &items[i], error);
        list->count = i + 1;
        if (status == HARDY_OK) {
            items[i].folder = file_folder(config->path ? config->path : "");
            status = items[i].folder ? HARDY_OK
                                     : fail(error, HARDY_E_NOMEM, NULL, "no memory for checks");
        }
        if (status == HARDY_OK)
            status = check_one(node->items[i], &items[i], error);
        for (size_t k = 0; k < i && status == HARDY_OK; k++)
            if (str_eq(items[k].name, items[i].name))
                status = yaml_fail(node->items[i], error,
                                   "there are two checks of the name `%s`; the first is in line %d",
                                   items[i].name, node->items[k]->line);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

void checks_free(struct schema_list *list) {
    struct check_settings *items = list->items;
    for (size_t i = 0; i < list->count; i++) {
        free(items[i].folder);
        schema_free(&check_section, &items[i]);
    }
    free(items);
    *list = (struct schema_list){0};
}
