/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_SETTINGS_H
#define INCIDENT_SETTINGS_H
/* What settings.c (`incidents:`), heal_settings.c (`heal:`) and action.c (their remedies) share;
 * for this room only. */
#include "incident/incident.h"

extern const char *const severity_words[];
extern const struct schema_section action_section, verify_section;

hardy_status service_take_checks(const struct yaml_node *node, struct service_settings *s,
                                 const char *alone, hardy_error *error);
/* What cannot be seen from one key alone. */
hardy_status service_check(const struct yaml_node *node, const struct service_settings *s,
                           hardy_error *error);
hardy_status action_check(const struct yaml_node *node, const struct service_settings *s,
                          const struct action_settings *a, hardy_error *error);

hardy_status heal_settings_read(const struct config *config, struct incident_settings *out,
                                hardy_error *error);
#endif
