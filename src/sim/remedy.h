/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_REMEDY_H
#define SIM_REMEDY_H
/* Which setting to change: each change that could help is tried, in the same scenario with the same
 * seed, and only what did help is told. */
#include "sim/measure.h"

#define REMEDIES_MAX 20

struct remedy {
    char setting[128]; /* as YAML under the guard: "retry.budget: {ratio: 0.1, floor: 10/s}" */
    struct measures then;
};
struct remedies {
    struct remedy found[REMEDIES_MAX]; /* the best first */
    size_t count;
    size_t tried;
    bool cut; /* the run is so long that not all were tried */
};
/* Whether a result asks for something better. */
bool remedy_needed(const struct measures *m);
/* In what a change helped: it recovers, or sooner; the callers come back less at once; more of
 * their operations end well. */
bool remedy_recovers(const struct measures *now, const struct measures *then);
bool remedy_flattens(const struct measures *now, const struct measures *then);
bool remedy_serves(const struct measures *now, const struct measures *then);
/* `options` and the result's measures as they were run. E_NOMEM. */
hardy_status remedies_find(const struct fleet_options *options, const struct measures *now,
                           uint64_t events, struct remedies *out, hardy_error *error);
#endif
