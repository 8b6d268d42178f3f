/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_SETTINGS_H
#define INCIDENT_SETTINGS_H
/* What settings.c (`incidents:`), heal_settings.c (`heal:`) and action.c (their remedies) share;
 * for this room only. */
#include "incident/incident.h"

extern const char *const severity_words[];
extern const struct schema_section action_section, verify_section;

/* Keys of a service that both sections have. */
#define SERVICE_KEYS                                                                               \
    {.name = "name",                                                                               \
     .kind = SCHEMA_NAME,                                                                          \
     .offset = offsetof(struct service_settings, name),                                            \
     .help = "of the service"},                                                                    \
        {.name = "sources",                                                                        \
         .kind = SCHEMA_NAMED,                                                                     \
         .offset = offsetof(struct service_settings, sources),                                     \
         .section = &source_section,                                                               \
         .help = "where evidence comes from"},                                                     \
        {.name = "actions",                                                                        \
         .kind = SCHEMA_NAMED,                                                                     \
         .offset = offsetof(struct service_settings, actions),                                     \
         .section = &action_section,                                                               \
         .help = "remedies by name"},                                                              \
        {.name = "severity",                                                                       \
         .kind = SCHEMA_ENUM,                                                                      \
         .offset = offsetof(struct service_settings, severity),                                    \
         .words = severity_words,                                                                  \
         .def = "high",                                                                            \
         .help = "of incidents opened by the check"},                                              \
        {.name = "gather_deadline",                                                                \
         .kind = SCHEMA_DURATION,                                                                  \
         .offset = offsetof(struct service_settings, gather_deadline),                             \
         .def = "20s",                                                                             \
         .min = "10ms",                                                                            \
         .max = "10m",                                                                             \
         .help = "time for all sources together"},                                                 \
        {.name = "verify",                                                                         \
         .kind = SCHEMA_MAP,                                                                       \
         .offset = offsetof(struct service_settings, verify),                                      \
         .section = &verify_section,                                                               \
         .help = "when a repair counts"},                                                          \
        {.name = "max_attempts",                                                                   \
         .kind = SCHEMA_UNSIGNED,                                                                  \
         .offset = offsetof(struct service_settings, max_attempts),                                \
         .def = "5",                                                                               \
         .min = "1",                                                                               \
         .max = "100",                                                                             \
         .also = "max_consecutive_failures",                                                       \
         .help =                                                                                   \
             "remedies tried before a person is called; only good checks begin the count anew"},   \
        {.name = "pause",                                                                          \
         .kind = SCHEMA_DURATION,                                                                  \
         .offset = offsetof(struct service_settings, pause),                                       \
         .def = "10s",                                                                             \
         .min = "0s",                                                                              \
         .max = "1h",                                                                              \
         .help = "before the second attempt; then doubled"},                                       \
        {.name = "escalate",                                                                       \
         .kind = SCHEMA_STRINGS,                                                                   \
         .offset = offsetof(struct service_settings, escalate),                                    \
         .help = "names under notify:"},                                                           \
        {.name = "ask_for",                                                                        \
         .kind = SCHEMA_DURATION,                                                                  \
         .offset = offsetof(struct service_settings, ask_for),                                     \
         .def = "30m",                                                                             \
         .min = "1s",                                                                              \
         .max = "7d",                                                                              \
         .help = "with automation: ask, how long somebody's approval is waited for"},              \
        {.name = "automation",                                                                     \
         .kind = SCHEMA_ENUM,                                                                      \
         .offset = offsetof(struct service_settings, automation),                                  \
         .words = automation_words,                                                                \
         .def = "inherit",                                                                         \
         .help = "observe, ask or act, for this service"},

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
