/* SPDX-License-Identifier: Apache-2.0 */
#include "guard/capacity.h"
#include <math.h>

#define MARGIN 0.8 /* of a limit that is to be stayed below */
#define FEW 10.0   /* in a second: a burst of a fifth of them is none */

double capacity_least_max_delay(double clients, double capacity) {
    return 2 * clients / capacity;
}

uint32_t capacity_most_attempts(double utilisation) {
    double most = ceil(1 / utilisation) - 1;
    return most < 0 ? 0 : most < UINT32_MAX ? (uint32_t)most : UINT32_MAX;
}

double capacity_of_budget(const hardy_budget_config *budget, double load, double sharers) {
    return load * (1 + budget->ratio) + sharers * budget->floor;
}

hardy_status capacity_rate(double capacity, hardy_rate_config *rate, int64_t *window) {
    hardy_rate_config_init(rate, sizeof *rate);
    *window = capacity < FEW ? HARDY_MINUTE : HARDY_SECOND;
    double limit = capacity * ((double)*window / (double)HARDY_SECOND);
    return hardy_rate_config_below(rate, limit, *window, MARGIN, NULL);
}
