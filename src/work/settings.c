/* SPDX-License-Identifier: Apache-2.0 */
#include "work/settings.h"

static const struct schema_key workflows_keys[] = {
    {.name = "lease",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct workflows_settings, lease),
     .def = "30s",
     .min = "1s",
     .max = "1h",
     .help = "a run whose driver holds it and has not been heard of for so long, being stopped or "
             "hung, may be taken over; one whose driver is dead at once"},
};
const struct schema_section workflows_section = {"workflows", workflows_keys,
                                                 sizeof workflows_keys / sizeof *workflows_keys,
                                                 sizeof(struct workflows_settings)};

hardy_status workflows_settings_read(const struct config *config, struct workflows_settings *out,
                                     hardy_error *error) {
    return schema_read(&workflows_section, config_section(config, "workflows"), out, error);
}
