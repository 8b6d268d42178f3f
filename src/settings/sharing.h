/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETTINGS_SHARING_H
#define SETTINGS_SHARING_H
/* A guard's settings and what is shared under its name on this host, brought together. */
#include "settings/guards.h"
#include "shared/host.h"

/* Finds or makes the name's slot; what is stored there becomes the settings. `max_concurrent`: in,
 * what the settings say (0 = no limit); out, what applies. E_MISMATCH says both. */
hardy_status sharing_attach(struct host *host, const char *name, struct guard_settings *s,
                            uint32_t *max_concurrent, struct host_slot *slot, hardy_error *error);
#endif
