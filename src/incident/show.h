/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_SHOW_H
#define INCIDENT_SHOW_H
/* Incidents as `hardy incidents --json` and the API show them, and what happened in them. */
#include "incident/incident.h"

/* An object: the incident, without what happened in it. */
void incident_to_json(const struct incident *i, struct json_out *j);
/* An object: the same, what happened, the remedies' records, and the evidence. Reads the store. */
hardy_status incident_show(struct store *store, const struct incident *i, struct json_out *j,
                           hardy_error *error);

/* A member "remedies": {service, action, healed, not_healed, success_rate} of each that was run.
 * `store` NULL: none. */
void remedies_to_json(struct store *store, struct json_out *j);

/* A row "event": one thing that happened. */
struct incident_event {
    char at[32]; /* RFC 3339, UTC: sorts by time */
    char *what;  /* "opened", "acting", "escalated" ... */
    char *detail;
};
/* False: it cannot be read. */
bool incident_event_decode(const struct store_row *row, struct incident_event *out);
void incident_event_free(struct incident_event *e);
#endif
