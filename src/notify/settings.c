/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"
#include "http/message.h"
#include "io/file.h"
#include "notify/notify.h"
#include "settings/secret.h"
#include "work/secrets.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char pagerduty_url[] = "https://events.pagerduty.com/v2/enqueue";
const char *const notify_type_words[] = {"stderr", "webhook", "pagerduty",
                                         "slack",  "command", NULL};

static const struct schema_key target_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct notify_target, name),
     .help = "of the place"},
    {.name = "type",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct notify_target, type),
     .words = notify_type_words,
     .help = "what is there; required"},
    {.name = "url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, url),
     .help = "gets a POST of application/json: of a webhook, of Slack's incoming webhook; of "
             "PagerDuty where it is not the American one"},
    {.name = "url_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, url_file),
     .help = "a file with the url, for it is a secret with Slack"},
    {.name = "headers",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct notify_target, headers),
     .help = "webhook: further headers, each `Name: value`"},
    {.name = "token_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, token_file),
     .also = "token bearer_token",
     .help = "webhook: a file with the token that is sent as Authorization: Bearer"},
    {.name = "routing_key",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, routing_key),
     .also = "integration_key service_key",
     .help = "pagerduty: of the service's integration, from the environment: ${NAME}"},
    {.name = "routing_key_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, routing_key_file),
     .help = "pagerduty: a file with it"},
    {.name = "client_url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct notify_target, client_url),
     .help = "pagerduty, slack: the address where a person sees more"},
    {.name = "run",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct notify_target, run),
     .also = "command",
     .help = "command: gets the notice as JSON on standard input, parts of it as HARDY_NOTICE_...; "
             "exit code 0 is taken, every other is tried again"},
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

/* Which keys go with which types. */
static const struct {
    const char *key;
    unsigned types;
} fits[] = {
    {"url", 1 << NOTIFY_WEBHOOK | 1 << NOTIFY_PAGERDUTY | 1 << NOTIFY_SLACK},
    {"url_file", 1 << NOTIFY_WEBHOOK | 1 << NOTIFY_PAGERDUTY | 1 << NOTIFY_SLACK},
    {"headers", 1 << NOTIFY_WEBHOOK},
    {"token_file", 1 << NOTIFY_WEBHOOK},
    {"routing_key", 1 << NOTIFY_PAGERDUTY},
    {"routing_key_file", 1 << NOTIFY_PAGERDUTY},
    {"client_url", 1 << NOTIFY_PAGERDUTY | 1 << NOTIFY_SLACK},
    {"run", 1 << NOTIFY_COMMAND},
};

static bool is_ours(const char *name) {
    return http_is_framing(name) || strcasecmp(name, "Host") == 0 ||
           strcasecmp(name, "Content-Type") == 0 || strcasecmp(name, "Idempotency-Key") == 0;
}

static hardy_status check_headers(const struct yaml_node *node, const struct notify_target *t,
                                  hardy_error *error) {
    struct http_headers headers;
    hardy_status status = HARDY_OK;
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    for (size_t i = 0; i < t->headers.count && status == HARDY_OK; i++) {
        const char *header = t->headers.items[i];
        char *name = str_ndup(header, strcspn(header, ":"));
        if (!name || !strchr(header, ':') || is_ours(name) ||
            http_headers_add(&headers, name, strchr(header, ':') + 1) != HARDY_OK)
            status = yaml_fail(node, error,
                               "notify `%s`: header %zu is not `Name: value`, or one that hardy "
                               "writes itself",
                               t->name, i + 1);
        free(name);
    }
    http_headers_free(&headers);
    return status;
}

static hardy_status check_target(const struct yaml_node *node, const struct notify_target *t,
                                 hardy_error *error) {
    if (t->type < 0)
        return yaml_fail(node, error,
                         "notify `%s`: type is missing; stderr, webhook, pagerduty, slack or "
                         "command",
                         t->name);
    for (size_t i = 0; i < COUNT(fits); i++)
        if (yaml_get(node, fits[i].key) && !(fits[i].types & 1u << t->type))
            return yaml_fail(yaml_get(node, fits[i].key), error, "notify `%s`: type %s has no %s",
                             t->name, notify_type_words[t->type], fits[i].key);
    if (t->url && t->url_file)
        return yaml_fail(yaml_get(node, "url_file"), error,
                         "notify `%s`: url or url_file, not both", t->name);
    if ((t->type == NOTIFY_WEBHOOK || t->type == NOTIFY_SLACK) && !t->url && !t->url_file)
        return yaml_fail(node, error, "notify `%s`: a %s needs its url or url_file", t->name,
                         notify_type_words[t->type]);
    if (t->type == NOTIFY_PAGERDUTY && !t->routing_key == !t->routing_key_file)
        return yaml_fail(node, error,
                         "notify `%s`: pagerduty needs its routing_key or routing_key_file",
                         t->name);
    if (t->type == NOTIFY_COMMAND && !t->run.argv)
        return yaml_fail(node, error, "notify `%s`: a command needs run", t->name);
    return check_headers(yaml_get(node, "headers"), t, error);
}

/* `text` is what stands in the file, or in the configuration. */
static hardy_status take_url(const struct yaml_node *node, const char *text,
                             struct notify_target *t, hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (http_url_parse(text, &t->address, &why) == HARDY_OK)
        return HARDY_OK;
    return yaml_fail(node, error, "notify `%s`: %s", t->name,
                     t->url_file ? "what stands in url_file is no http or https URL" : why.message);
}

/* The far side may repeat what it was sent in its answer. */
static hardy_status hide_secrets(struct notify_target *t, hardy_error *error) {
    struct secret_value values[2];
    size_t count = 0;
    if (t->key && strlen(t->key) >= SECRET_MIN)
        values[count++] = (struct secret_value){t->name, t->key, strlen(t->key)};
    if ((t->url_file || t->type == NOTIFY_SLACK) && t->address.target &&
        strlen(t->address.target) >= SECRET_MIN)
        values[count++] =
            (struct secret_value){t->name, t->address.target, strlen(t->address.target)};
    return count ? secrets_new(values, count, &t->secrets, error) : HARDY_OK;
}

static hardy_status read_files(const struct config *config, const struct yaml_node *node,
                               struct notify_target *t, hardy_error *error) {
    const char *key_file = t->type == NOTIFY_PAGERDUTY ? "routing_key_file" : "token_file";
    const char *name = t->routing_key_file ? t->routing_key_file : t->token_file;
    hardy_status status = HARDY_OK;
    if (name)
        status = secret_read(config, yaml_get(node, key_file), name, &t->key, error);
    if (status == HARDY_OK && t->url_file) {
        char *url = NULL;
        status = secret_read(config, yaml_get(node, "url_file"), t->url_file, &url, error);
        if (status == HARDY_OK)
            status = take_url(yaml_get(node, "url_file"), url, t, error);
        secret_free(&url);
    }
    return status == HARDY_OK ? hide_secrets(t, error) : status;
}

static hardy_status read_target(const struct config *config, const struct yaml_node *key,
                                const struct yaml_node *node, bool files, struct notify_target *t,
                                hardy_error *error) {
    hardy_status status = schema_defaults(&notify_section, t);
    if (status == HARDY_OK && !str_valid_name(key->text))
        status =
            yaml_fail(key, error, "notify: `%s` is not a name: letters, digits, . _ -, at most 63",
                      key->text);
    if (status == HARDY_OK)
        t->name = str_dup(key->text);
    if (status == HARDY_OK)
        status = schema_apply(&notify_section, node, true, t, error);
    if (status == HARDY_OK)
        status = check_target(node, t, error);
    if (status == HARDY_OK && (t->url || (t->type == NOTIFY_PAGERDUTY && !t->url_file)))
        status = take_url(yaml_get(node, "url"), t->url ? t->url : pagerduty_url, t, error);
    t->key = str_dup(t->routing_key);
    t->folder = file_folder(config->path ? config->path : "");
    return status == HARDY_OK && files ? read_files(config, node, t, error) : status;
}

static hardy_status read_all(const struct config *config, bool files, struct schema_list *targets,
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
        targets->count = i + 1;
        hardy_status status =
            read_target(config, node->keys[i], node->items[i], files, &items[i], error);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

hardy_status notify_read(const struct config *config, struct schema_list *targets,
                         hardy_error *error) {
    return read_all(config, true, targets, error);
}

hardy_status notify_look(const struct config *config, struct schema_list *targets,
                         hardy_error *error) {
    return read_all(config, false, targets, error);
}

void notify_free(struct schema_list *targets) {
    struct notify_target *items = targets->items;
    for (size_t i = 0; i < targets->count; i++) {
        secrets_free(items[i].secrets);
        secret_free(&items[i].key);
        http_url_free(&items[i].address);
        free(items[i].folder);
        schema_free(&notify_section, &items[i]);
    }
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
