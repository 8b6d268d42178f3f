/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_PRUNE_H
#define CLI_PRUNE_H
/* `hardy workflows prune`: finished runs that need not be kept go, and give their space back. */
#include "cli/session.h"

struct prune {
    const char *older_than, *keep; /* as typed; NULL = as configured */
    bool dry_run;
};
/* E_SYNTAX: what was typed is no duration, no number. */
hardy_status prune_runs(const struct options *o, struct session *s, const struct prune *how,
                        hardy_error *error);
#endif
