/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/settings.h"
#include "base/error.h"
#include "base/str.h"
#include "settings/secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const protocol_words[] = {"http", "anthropic", "openai", NULL};

static const struct schema_key upstream_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct upstream_settings, name),
     .help = "what it stands under: requests to /NAME/... go there"},
    {.name = "url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct upstream_settings, url_text),
     .also = "base_url address",
     .help = "where it is, such as https://api.anthropic.com; a path in it goes before the rest"},
    {.name = "protocol",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct upstream_settings, protocol),
     .def = "http",
     .words = protocol_words,
     .help = "what it speaks; http: any other service"},
    {.name = "guard",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct upstream_settings, guard),
     .help =
         "the guard its calls run under; not given: the one of the upstream's name, if there is "
         "one, or the protocol's defaults"},
    {.name = "key_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct upstream_settings, key_file),
     .also = "api_key key",
     .help = "a file with the credential to use; not given: the client's own is passed on"},
    {.name = "streams",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct upstream_settings, streams),
     .def = "false",
     .help = "protocol http: hand every answer on as it comes, instead of holding small ones until "
             "they are whole"},
};
const struct schema_section upstream_section = {"an upstream", upstream_keys, COUNT(upstream_keys),
                                                sizeof(struct upstream_settings)};

static const struct schema_key client_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct gateway_client_settings, name),
     .required = true,
     .help = "of the client, for the log"},
    {.name = "token_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct gateway_client_settings, token_file),
     .required = true,
     .help = "a file with the token it sends as x-api-key or Authorization: Bearer"},
};
static const struct schema_section client_section = {"a client", client_keys, COUNT(client_keys),
                                                     sizeof(struct gateway_client_settings)};

static const struct schema_key gateway_keys[] = {
    {.name = "listen",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct gateway_settings, listen),
     .def = "127.0.0.1:4273",
     .help = "HOST:PORT where agents connect"},
    {.name = "hosts",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct gateway_settings, hosts),
     .help = "names it may be called by, besides localhost and addresses"},
    {.name = "clients",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct gateway_settings, clients),
     .section = &client_section,
     .help = "who may use it; needed off the loopback when an upstream has a key_file"},
    {.name = "max_body",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct gateway_settings, max_body),
     .def = "32MiB",
     .min = "1KiB",
     .max = "60MiB", /* a request leaves in one piece: with its head below STREAM_UNSENT_MAX */
     .help = "a larger request is refused with 413"},
    {.name = "max_memory",
     .kind = SCHEMA_SIZE,
     .offset = offsetof(struct gateway_settings, max_memory),
     .def = "512MiB",
     .min = "1MiB",
     .help = "the bodies of all requests together; what goes beyond is refused for the moment"},
    {.name = "max_connections",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct gateway_settings, max_connections),
     .def = "4096",
     .min = "1",
     .max = "100000",
     .help = "agents' connections at once"},
    {.name = "drain",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct gateway_settings, drain),
     .def = "30s",
     .min = "0s",
     .max = "1h",
     .help = "how long answers that are being streamed may go on after SIGTERM"},
    {.name = "heartbeat",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct gateway_settings, heartbeat),
     .def = "15s",
     .min = "1s",
     .never = true,
     .help = "an open stream that is silent for so long gets a comment, which clients pass over"},
    {.name = "keep_requests",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct gateway_settings, keep_requests),
     .def = "500",
     .min = "1",
     .max = "100000",
     .help = "past requests that hardy requests can show"},
};
const struct schema_section gateway_section = {"gateway", gateway_keys, COUNT(gateway_keys),
                                               sizeof(struct gateway_settings)};

const char *upstream_protocol_text(enum upstream_protocol protocol) {
    return protocol_words[protocol];
}

bool listens_on_loopback(const struct http_authority *address) {
    return str_eq(address->host, "localhost") || str_eq(address->host, "::1") ||
           (address->ip && str_starts(address->host, "127."));
}

static enum guard_base base_of(const struct upstream_settings *u) {
    return u->protocol == UPSTREAM_HTTP ? GUARD_HTTP : GUARD_LLM;
}

static bool uses_guard(const struct upstream_settings *u, const char *guard) {
    return str_eq(u->guard ? u->guard : u->name, guard);
}

bool gateway_guard_base(const struct gateway_settings *s, const char *guard, enum guard_base *out) {
    for (size_t i = 0; i < s->upstream_count; i++) {
        if (uses_guard(&s->upstreams[i], guard)) {
            *out = base_of(&s->upstreams[i]);
            return true;
        }
    }
    return false;
}

bool gateway_guard_is_plain(const struct gateway_settings *s, const char *guard) {
    for (size_t i = 0; i < s->upstream_count; i++) {
        if (uses_guard(&s->upstreams[i], guard) && base_of(&s->upstreams[i]) == GUARD_HTTP) {
            return true;
        }
    }
    return false;
}

/* That there is one of this name, and that it can be read over what its protocol starts from. */
static hardy_status check_guard(const struct config *config, const struct yaml_node *node,
                                const struct upstream_settings *u, hardy_error *error) {
    struct guard_settings guard;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (!u->guard) {
        return HARDY_OK;
    }
    hardy_status status = guard_settings_find(config, u->guard, base_of(u), &guard, &why);
    guard_settings_free(&guard);
    if (status == HARDY_E_NOT_FOUND) {
        return yaml_fail(yaml_get(node, "guard"), error, "upstream `%s`: %s", u->name, why.message);
    }
    return status == HARDY_OK ? status : fail(error, status, why.where, "%s", why.message);
}

static hardy_status check_upstream(const struct config *config, const struct yaml_node *node,
                                   struct upstream_settings *u, hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (!u->url_text) {
        return yaml_fail(node, error,
                         "upstream `%s`: url is missing, such as https://api.example.com", u->name);
    }
    if (http_url_parse(u->url_text, &u->url, &why) != HARDY_OK) {
        return yaml_fail(yaml_get(node, "url"), error, "upstream `%s`: %s", u->name, why.message);
    }
    if (strchr(u->url.target, '?')) {
        return yaml_fail(yaml_get(node, "url"), error,
                         "upstream `%s`: the url ends before a `?`; a request brings its own query",
                         u->name);
    }
    return check_guard(config, node, u, error);
}

static hardy_status read_upstreams(const struct config *config, const struct yaml_node *node,
                                   struct gateway_settings *s, hardy_error *error) {
    if (node->kind != YAML_MAP || node->count == 0) {
        return yaml_fail(node, error, "upstreams: a map of names to upstreams is needed");
    }
    s->upstreams = calloc(node->count, sizeof *s->upstreams);
    if (!s->upstreams) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu upstreams", node->count);
    }
    for (size_t i = 0; i < node->count; i++) {
        struct upstream_settings *u = &s->upstreams[i];
        const char *name = node->keys[i]->text;
        s->upstream_count = i + 1;
        hardy_status status = schema_defaults(&upstream_section, u);
        if (status == HARDY_OK && !str_valid_name(name)) {
            status = yaml_fail(node->keys[i], error,
                               "upstreams: `%s` is not a name: letters, digits, . _ -, at most 63",
                               name);
        }
        if (status == HARDY_OK) {
            u->name = str_dup(name);
            status = schema_apply(&upstream_section, node->items[i], true, u, error);
        }
        if (status == HARDY_OK) {
            status = check_upstream(config, node->items[i], u, error);
        }
        if (status != HARDY_OK) {
            return status;
        }
    }
    return HARDY_OK;
}

static hardy_status default_upstreams(struct gateway_settings *s, hardy_error *error) {
    static const struct {
        const char *name, *url;
        enum upstream_protocol protocol;
    } known[] = {{"anthropic", "https://api.anthropic.com", UPSTREAM_ANTHROPIC},
                 {"openai", "https://api.openai.com/v1", UPSTREAM_OPENAI}};
    s->upstreams = calloc(COUNT(known), sizeof *s->upstreams);
    for (size_t i = 0; s->upstreams && i < COUNT(known); i++) {
        struct upstream_settings *u = &s->upstreams[s->upstream_count++];
        u->name = str_dup(known[i].name);
        u->url_text = str_dup(known[i].url);
        u->protocol = (int)known[i].protocol;
        if (!u->name || !u->url_text || http_url_parse(u->url_text, &u->url, error) != HARDY_OK) {
            break;
        }
        if (i + 1 == COUNT(known)) {
            return HARDY_OK;
        }
    }
    return fail(error, HARDY_E_NOMEM, NULL, "no memory for upstreams");
}

/* "HOST:0" asks for a free port. */
bool listen_parse(const char *text, struct http_authority *out) {
    const char *colon = strrchr(text, ':');
    bool free_port = colon && str_eq(colon, ":0");
    size_t len = free_port ? (size_t)(colon - text) : strlen(text);
    return http_authority_parse(text, len, out, NULL) == HARDY_OK && (out->port != 0 || free_port);
}

hardy_status listen_replace(char **text, const char *listen, hardy_error *error) {
    char *copy = str_dup(listen);
    if (!copy) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    }
    free(*text);
    *text = copy;
    return HARDY_OK;
}

/* Whether it may listen there; `why` says why not. */
static bool may_listen(struct gateway_settings *s, char *why, size_t size) {
    if (!listen_parse(s->listen, &s->address)) {
        snprintf(why, size, "gateway: `%.200s` is not HOST:PORT, such as 127.0.0.1:4273",
                 s->listen);
        return false;
    }
    for (size_t i = 0; i < s->upstream_count; i++) {
        if (s->upstreams[i].key_file && s->clients.count == 0 &&
            !listens_on_loopback(&s->address)) {
            snprintf(why, size,
                     "gateway: `%.200s` lets others connect, and upstream `%s` has a key_file: "
                     "everybody could use that key; give `clients` with tokens, or listen on "
                     "127.0.0.1",
                     s->listen, s->upstreams[i].name);
            return false;
        }
    }
    return true;
}

hardy_status gateway_settings_listen(struct gateway_settings *s, const char *listen,
                                     hardy_error *error) {
    char why[500];
    hardy_status status = listen_replace(&s->listen, listen, error);
    if (status == HARDY_OK && !may_listen(s, why, sizeof why)) {
        status = fail(error, HARDY_E_INVALID, "--listen", "%s", why);
    }
    return status;
}

hardy_status gateway_settings_look(const struct config *config, struct gateway_settings *out,
                                   hardy_error *error) {
    const struct yaml_node *node = config_section(config, "gateway");
    const struct yaml_node *upstreams = config_section(config, "upstreams");
    hardy_status status = schema_read(&gateway_section, node, out, error);
    if (status == HARDY_OK) {
        status = upstreams && upstreams->kind != YAML_NULL
                     ? read_upstreams(config, upstreams, out, error)
                     : default_upstreams(out, error);
    }
    char why[500];
    if (status == HARDY_OK && !may_listen(out, why, sizeof why)) {
        status = yaml_fail(yaml_get(node, "listen"), error, "%s", why);
    }
    return status;
}

static hardy_status read_secrets(const struct config *config, struct gateway_settings *s,
                                 hardy_error *error) {
    const struct yaml_node *upstreams = config_section(config, "upstreams");
    const struct yaml_node *nodes = yaml_get(config_section(config, "gateway"), "clients");
    struct gateway_client_settings *clients = s->clients.items;
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < s->upstream_count && status == HARDY_OK; i++) {
        struct upstream_settings *u = &s->upstreams[i];
        if (u->key_file) {
            status = secret_read(config, yaml_get(yaml_get(upstreams, u->name), "key_file"),
                                 u->key_file, &u->key, error);
        }
    }
    for (size_t i = 0; i < s->clients.count && status == HARDY_OK; i++) {
        status = secret_read(config, yaml_get(nodes->items[i], "token_file"), clients[i].token_file,
                             &clients[i].token, error);
    }
    return status;
}

hardy_status gateway_settings_read(const struct config *config, struct gateway_settings *out,
                                   hardy_error *error) {
    hardy_status status = gateway_settings_look(config, out, error);
    return status == HARDY_OK ? read_secrets(config, out, error) : status;
}

void gateway_settings_free(struct gateway_settings *s) {
    struct gateway_client_settings *clients = s->clients.items;
    for (size_t i = 0; i < s->clients.count; i++) {
        secret_free(&clients[i].token);
    }
    for (size_t i = 0; i < s->upstream_count; i++) {
        http_url_free(&s->upstreams[i].url);
        secret_free(&s->upstreams[i].key);
        schema_free(&upstream_section, &s->upstreams[i]);
    }
    free(s->upstreams);
    schema_free(&gateway_section, s);
    memset(s, 0, sizeof *s);
}
