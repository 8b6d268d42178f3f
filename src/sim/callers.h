/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_CALLERS_H
#define SIM_CALLERS_H
/* What sim_run() is made of: each runs its models and fills in what it saw. */
#include "sim/model.h"

/* Models S, O and M: operations of calls to a server. */
hardy_status callers_run(const struct sim_settings *settings, struct sim_result *result,
                         hardy_error *error);
/* Model A. */
hardy_status contention_run(const struct sim_settings *settings, struct sim_result *result,
                            hardy_error *error);
#endif
