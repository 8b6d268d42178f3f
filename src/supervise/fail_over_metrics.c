/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/exposition.h"
#include "supervise/fail_over_inside.h"

/* Each with a value of a fail-over as a whole. */
struct family {
    const char *name, *type, *help;
    double (*value)(const struct group *g);
};

static double switches(const struct group *g) {
    return (double)g->record.number;
}

static double proposed(const struct group *g) {
    return (double)g->record.proposed;
}

static double well(const struct group *g) {
    return g->lock_fd >= 0 && g->machine.condition == FAIL_OVER_WELL && !g->record.doubt;
}

static double decides(const struct group *g) {
    return g->lock_fd >= 0;
}

static const struct family families[] = {
    {"hardy_fail_over_switches_total", "counter", "Switches, over all restarts", switches},
    {"hardy_fail_over_proposed_total", "counter", "Switches that hardy would have made", proposed},
    {"hardy_fail_over_well", "gauge", "1: on the primary, if it goes back, and a backup is up",
     well},
    {"hardy_fail_over_decides", "gauge", "1: this process decides, and not another one", decides},
};

void fail_over_write_metrics(const struct fail_over *f, struct exposition *x) {
    for (size_t i = 0; f->count > 0 && i < sizeof families / sizeof *families; i++) {
        exposition_family(x, families[i].name, families[i].type, families[i].help);
        for (size_t n = 0; n < f->count; n++)
            exposition_sample(x, families[i].name, families[i].value(&f->groups[n]), "name",
                              f->groups[n].settings->name, NULL);
    }
    if (f->count > 0)
        exposition_family(x, "hardy_fail_over_active", "gauge", "1: this candidate is active");
    for (size_t n = 0; n < f->count; n++)
        for (size_t k = 0; k < f->groups[n].machine.count; k++)
            exposition_sample(x, "hardy_fail_over_active", f->groups[n].machine.active == k, "name",
                              f->groups[n].settings->name, "candidate",
                              f->groups[n].candidates[k].name, NULL);
    if (f->count > 0)
        exposition_family(x, "hardy_fail_over_connections", "gauge",
                          "Connections through listen that are open");
    for (size_t n = 0; n < f->count; n++)
        if (f->groups[n].relay)
            exposition_sample(x, "hardy_fail_over_connections",
                              relay_figures(f->groups[n].relay).open, "name",
                              f->groups[n].settings->name, NULL);
}
