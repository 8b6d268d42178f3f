/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SETTINGS_SHARING_H
#define SETTINGS_SHARING_H
/* A guard's settings and what is shared under its name on this host, brought together. */
#include "guard/guard.h"
#include "settings/guards.h"
#include "shared/host.h"

/* Finds or makes the name's slot; what is stored there becomes the settings. `max_concurrent`: in,
 * what the settings say (0 = no limit); out, what applies. E_MISMATCH says both. */
hardy_status sharing_attach(struct host *host, const char *name, struct guard_settings *s,
                            uint32_t *max_concurrent, struct host_slot *slot, hardy_error *error);
/* The same for a daemon, whose settings are the ones that count: others that may be stored there,
 * from before the configuration was changed, are forgotten, and what was learned stays. Slots are
 * its own: they have a queue. A word is NULL where nothing is shared. */
hardy_status sharing_serve(struct host *host, const char *name, struct guard_settings *s,
                           struct guard_words *words, hardy_error *error);
#endif
