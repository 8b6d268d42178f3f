/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETTINGS_SECRET_H
#define SETTINGS_SECRET_H
/* Keys and tokens: read from the files that a configuration names, compared, wiped. */
#include "config/config.h"

/* The one line of the file `name` (relative to the configuration's folder), without the white space
 * around it; malloc'd. E_SYNTAX with the node's place: no such file, or not one line of visible
 * characters. */
hardy_status secret_read(const struct config *config, const struct yaml_node *node,
                         const char *name, char **out, hardy_error *error);
void secret_free(char **secret);
/* In a time that does not depend on where they differ. */
bool secret_same(const char *given, const char *wanted);
#endif
