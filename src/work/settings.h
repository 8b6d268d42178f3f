/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_SETTINGS_H
#define WORK_SETTINGS_H
/* `workflows:` of the configuration. */
#include "config/config.h"
#include "config/schema.h"

struct workflows_settings {
    int64_t lease; /* a run is its driver's for so long after the driver was heard of last */
};
extern const struct schema_section workflows_section;
hardy_status workflows_settings_read(const struct config *config, struct workflows_settings *out,
                                     hardy_error *error);
#endif
