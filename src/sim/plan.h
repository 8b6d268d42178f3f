/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H
/* Which settings fit a number of callers and a capacity, beside those that were run: a small table
 * at the end of what `hardy sim` prints. The rules are those of guard/capacity.h. */
#include "base/json.h"
#include <hardy/guard.h>

struct plan {
    double clients, capacity; /* calls a second */
    double load;              /* operations offered in a second; 0 = there is no steady load */
    bool retries;
    int64_t max_delay;
    uint32_t attempts; /* of an operation; 0: no limit */
    double budgeted;   /* calls a second that a budget lets through at most; 0: there is none */
    bool limited;      /* by a rate: */
    double rate, burst;
    int64_t period;
};
/* The settings of one guard that all of the clients share. */
void plan_of_guard(struct plan *p, const hardy_guard_config *guard, double clients, double capacity,
                   double load);
void plan_text(const struct plan *p, struct buf *out);
/* One object. */
void plan_json(const struct plan *p, struct json_out *j);
#endif
