/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_TARGETS_H
#define SUPERVISE_TARGETS_H
/* The names of what hardy may repair, as the configuration tells them: services, children,
 * fail-overs, and SERVICE/ACTION for one remedy of a service. */
#include "config/config.h"

/* E_NOT_FOUND: the configuration knows nothing of this name; the nearest is told, or all. One
 * without a file knows every name, and every one knows "*", which is everything. */
hardy_status target_check(const struct config *config, const char *name, hardy_error *error);
#endif
