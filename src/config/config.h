/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H
/*
 * The configuration file: found, read, environment expanded, its top-level sections known.
 * Order: the -c argument, HARDY_CONFIG, ./hardy.yaml, $XDG_CONFIG_HOME/hardy/hardy.yaml
 * (~/.config), /etc/hardy/hardy.yaml. State: --state, HARDY_STATE, the file's `state:` (relative to
 * that file), $STATE_DIRECTORY/hardy.db, $XDG_STATE_HOME/hardy/hardy.db (~/.local/state). A
 * variable that is set but empty counts as not set.
 */
#include "config/schema.h"

struct config {
    struct yaml_file *file; /* NULL: no file, all defaults */
    char *path;             /* of the file; NULL = none */
};
/* `path`: the -c argument or NULL; "-" = standard input. A named file that is missing is an error,
 * no file at all is not. ${NAME} and ${NAME:-x} (x when unset or empty) are expanded in values, not
 * in keys; unset is an error naming the place. $${NAME} writes ${NAME}; ${{ }} is left alone. */
hardy_status config_load(const char *path, struct config **out, hardy_error *error);
/* The same for bytes that are there already; copied. */
hardy_status config_load_bytes(const char *path, const char *bytes, size_t len, struct config **out,
                               hardy_error *error);
void config_free(struct config *config);
/* A top-level section's node, NULL = absent. */
const struct yaml_node *config_section(const struct config *config, const char *name);
/* Refuses a file that is not a map and top-level keys outside `names` (NULL-terminated), the
 * nearest named. */
hardy_status config_check_top(const struct config *config, const char *const *names,
                              hardy_error *error);
/* The state's path, malloc'd: "memory", a URL, or a file path; `flag` = --state or NULL; `config`
 * may be NULL. E_NOT_FOUND when nothing says where it could be (no HOME). */
hardy_status config_state_path(const struct config *config, const char *flag, char **out,
                               hardy_error *error);
#endif
