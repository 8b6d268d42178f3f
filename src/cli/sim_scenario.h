/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SIM_SCENARIO_H
#define CLI_SIM_SCENARIO_H
#include "cli/options.h"
#include "sim/chart.h"

/* What `hardy sim --scenario` was asked, as texts of the command line; NULL = not given. */
struct sim_scenario {
    const char *name, *guard, *svg;
    const char *clients, *capacity, *seed;
    bool print;
};
int sim_scenario_run(const struct options *o, const struct sim_scenario *ask); /* the exit code */
/* Writes the chart as SVG there. */
hardy_status sim_picture(const struct chart *chart, const char *path, hardy_error *error);
#endif
