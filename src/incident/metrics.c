/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted in the rows of services, of which there are few, over all restarts: incidents are
 * kept for months, and are not read for it. */
#include "incident/incident.h"
#include "observe/exposition.h"
#include <stddef.h>

struct family {
    const char *name, *type, *help;
    void (*put)(struct exposition *x, const char *name, const char *service, const struct past *p);
};

static void put_incidents(struct exposition *x, const char *name, const char *service,
                          const struct past *p) {
    exposition_sample(x, name, p->opened, "service", service, "state", "opened", NULL);
    exposition_sample(x, name, p->resolved, "service", service, "state", "resolved", NULL);
    exposition_sample(x, name, p->escalated, "service", service, "state", "escalated", NULL);
}

static void put_open(struct exposition *x, const char *name, const char *service,
                     const struct past *p) {
    exposition_sample(x, name, past_open(p), "service", service, NULL);
}

static void put_attempts(struct exposition *x, const char *name, const char *service,
                         const struct past *p) {
    for (size_t n = 0; n < p->result_count; n++) {
        const struct past_result *r = &p->results[n];
        exposition_sample(x, name, r->healed, "service", service, "action", r->action, "result",
                          "healed", NULL);
        exposition_sample(x, name, r->not_healed, "service", service, "action", r->action, "result",
                          "not_healed", NULL);
    }
}

struct putting {
    struct exposition *x;
    const struct family *family;
};

static bool put_service(void *ctx, const struct store_row *row) {
    const struct putting *p = ctx;
    struct past past;
    if (past_decode(row, &past, NULL) == HARDY_OK) {
        p->family->put(p->x, p->family->name, row->key, &past);
        past_free(&past);
    }
    return true;
}

void incident_write_metrics(struct store *store, struct exposition *x) {
    static const struct family families[] = {
        {"hardy_incidents_total", "counter", "Incidents: opened, over, handed to a person",
         put_incidents},
        {"hardy_incidents_open", "gauge", "Incidents that are not over, with a person or not",
         put_open},
        {"hardy_heal_attempts_total", "counter",
         "Remedies that were run, by whether the checks were good afterwards", put_attempts},
    };
    for (size_t n = 0; n < sizeof families / sizeof *families; n++) {
        struct putting p = {x, &families[n]};
        exposition_family(x, families[n].name, families[n].type, families[n].help);
        (void)store_scan(store, "service", "", NULL, SIZE_MAX, put_service, &p, NULL);
    }
}
