/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INCIDENT_SUPPORT_H
#define TESTS_INCIDENT_SUPPORT_H
/* Settings from YAML, for the tests of incidents. */
#include "../cmocka_all.h"
#include "incident/incident.h"

struct settings {
    struct config *config;
    struct schema_list checks, targets;
    struct incident_settings incidents;
};
/* Fails the test when they are refused. */
void settings_read(struct settings *s, const char *yaml);
void settings_free(struct settings *s);
/* The first mistake, of reading or of names. */
hardy_status settings_try(const char *yaml, hardy_error *error);
const struct service_settings *service_of(const struct settings *s, const char *name);
#endif
