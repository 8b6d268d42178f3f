/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DAEMON_SETTINGS_H
#define DAEMON_SETTINGS_H
/* What the daemon reads of the configuration: `gateway:`, `upstreams:`, `admin:`, `health:`,
 * `checks:`, `on_state_error:`. */
#include "gateway/settings.h"
#include "health/serve.h"

struct admin_settings { /* `admin:` */
    char *listen;
    struct schema_strings hosts;
    char *token_file;
    char *token;                   /* what the file holds; NULL = none is named */
    struct http_authority address; /* of `listen` */
};
extern const struct schema_section admin_section;
/* E_SYNTAX, E_INVALID with the place. admin_settings_free() also after a failure. */
hardy_status admin_settings_read(const struct config *config, struct admin_settings *out,
                                 hardy_error *error);
/* The same without the file that it names. */
hardy_status admin_settings_look(const struct config *config, struct admin_settings *out,
                                 hardy_error *error);
/* Listens there in place of what was read, as --admin says. */
hardy_status admin_settings_listen(struct admin_settings *s, const char *listen,
                                   hardy_error *error);
void admin_settings_free(struct admin_settings *s);

/* What to do when the state cannot be opened. */
enum on_state_error { STATE_ERROR_SERVE, STATE_ERROR_REFUSE };
extern const char *const state_error_words[];

struct daemon_settings {
    struct gateway_settings gateway;
    struct admin_settings admin;
    struct health_settings health;
    struct schema_list checks;
    enum on_state_error on_state_error;
};
/* `listen` and `admin` (each may be NULL): in place of the configuration's. Files with secrets are
 * read. daemon_settings_free() also after a failure. */
hardy_status daemon_settings_read(const struct config *config, const char *listen,
                                  const char *admin, struct daemon_settings *out,
                                  hardy_error *error);
void daemon_settings_free(struct daemon_settings *s);
#endif
