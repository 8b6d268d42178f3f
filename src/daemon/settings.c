/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/settings.h"
#include "base/error.h"
#include "base/str.h"
#include "settings/secret.h"
#include "supervise/maintenance.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct schema_key admin_keys[] = {
    {.name = "listen",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct admin_settings, listen),
     .def = "127.0.0.1:4274",
     .help = "HOST:PORT of the API and the metrics"},
    {.name = "hosts",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct admin_settings, hosts),
     .help = "names it may be called by, besides localhost and addresses"},
    {.name = "token_file",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct admin_settings, token_file),
     .also = "token",
     .help = "a file with the token that changing things needs, and off the loopback reading too; "
             "not given: one is made"},
};
const struct schema_section admin_section = {"admin", admin_keys, COUNT(admin_keys),
                                             sizeof(struct admin_settings)};

const char *const state_error_words[] = {"serve", "refuse", NULL};

/* --- admin: ----------------------------------------------------------------------------------- */

/* Whether it may listen there; `why` says why not. */
static bool may_listen(struct admin_settings *s, char *why, size_t size) {
    if (!listen_parse(s->listen, &s->address)) {
        snprintf(why, size, "admin: `%.200s` is not HOST:PORT, such as 127.0.0.1:4274", s->listen);
        return false;
    }
    if (!s->token_file && !listens_on_loopback(&s->address)) {
        snprintf(why, size,
                 "admin: `%.200s` lets others connect: give token_file, a file with the token they "
                 "have to send, or listen on 127.0.0.1",
                 s->listen);
        return false;
    }
    return true;
}

hardy_status admin_settings_look(const struct config *config, struct admin_settings *out,
                                 hardy_error *error) {
    const struct yaml_node *node = config_section(config, "admin");
    char why[500];
    hardy_status status = schema_read(&admin_section, node, out, error);
    if (status == HARDY_OK && !may_listen(out, why, sizeof why)) {
        status = yaml_fail(yaml_get(node, "listen"), error, "%s", why);
    }
    return status;
}

hardy_status admin_settings_read(const struct config *config, struct admin_settings *out,
                                 hardy_error *error) {
    hardy_status status = admin_settings_look(config, out, error);
    if (status == HARDY_OK && out->token_file) {
        status = secret_read(config, yaml_get(config_section(config, "admin"), "token_file"),
                             out->token_file, &out->token, error);
    }
    return status;
}

hardy_status admin_settings_listen(struct admin_settings *s, const char *listen,
                                   hardy_error *error) {
    char why[500];
    hardy_status status = listen_replace(&s->listen, listen, error);
    if (status == HARDY_OK && !may_listen(s, why, sizeof why)) {
        status = fail(error, HARDY_E_INVALID, "--admin", "%s", why);
    }
    return status;
}

void admin_settings_free(struct admin_settings *s) {
    secret_free(&s->token);
    schema_free(&admin_section, s);
    memset(s, 0, sizeof *s);
}

/* --- all of it -------------------------------------------------------------------------------- */

static hardy_status read_on_state_error(const struct config *config, enum on_state_error *out,
                                        hardy_error *error) {
    const struct yaml_node *node = config_section(config, "on_state_error");
    *out = STATE_ERROR_SERVE;
    if (!node || node->kind == YAML_NULL) {
        return HARDY_OK;
    }
    for (int i = 0; state_error_words[i]; i++) {
        if (node->kind == YAML_SCALAR && str_eq(node->text, state_error_words[i])) {
            *out = (enum on_state_error)i;
            return HARDY_OK;
        }
    }
    return yaml_fail(node, error, "`on_state_error`: expected serve or refuse");
}

/* It is read again whenever it is asked for. */
static hardy_status check_maintenance(const struct config *config, hardy_error *error) {
    struct maintenance m;
    hardy_status status = maintenance_read(config, &m, error);
    maintenance_free(&m);
    return status;
}

hardy_status daemon_settings_read(const struct config *config, const char *listen,
                                  const char *admin, struct daemon_settings *out,
                                  hardy_error *error) {
    *out = (struct daemon_settings){0};
    hardy_status status = gateway_settings_read(config, &out->gateway, error);
    if (status == HARDY_OK && listen) {
        status = gateway_settings_listen(&out->gateway, listen, error);
    }
    if (status == HARDY_OK) {
        status = admin_settings_read(config, &out->admin, error);
    }
    if (status == HARDY_OK && admin) {
        status = admin_settings_listen(&out->admin, admin, error);
    }
    if (status == HARDY_OK) {
        status = health_settings_read(config, &out->health, error);
    }
    if (status == HARDY_OK) {
        status = checks_read(config, &out->checks, error);
    }
    if (status == HARDY_OK) {
        status = check_maintenance(config, error);
    }
    return status == HARDY_OK ? read_on_state_error(config, &out->on_state_error, error) : status;
}

void daemon_settings_free(struct daemon_settings *s) {
    gateway_settings_free(&s->gateway);
    admin_settings_free(&s->admin);
    health_settings_free(&s->health);
    checks_free(&s->checks);
}
