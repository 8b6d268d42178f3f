/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/incidents: as `hardy incidents --json` shows them. */
#include "base/error.h"
#include "daemon/aside.h"
#include "incident/show.h"

#define INCIDENTS "/api/v1/incidents/"

static bool put_incident(void *ctx, const struct store_row *row) {
    struct aside *a = ctx;
    struct incident i;
    a->status = incident_decode(row, &i, &a->error);
    if (a->status == HARDY_OK) {
        incident_to_json(&i, &a->j);
        incident_free(&i);
    }
    return a->status == HARDY_OK && !a->text.failed;
}

static void make_list(struct aside *a) {
    aside_list(a, "incidents", put_incident);
}

static void make_one(struct aside *a) {
    struct incident i;
    a->status = incident_load(a->store, a->key, &i, &a->error);
    if (a->status == HARDY_E_NOT_FOUND) {
        fail(&a->error, a->status, "", "there is no incident `%s`", a->key);
    }
    if (a->status == HARDY_OK) {
        a->status = incident_show(a->store, &i, &a->j, &a->error);
        incident_free(&i);
    }
}

void incidents_answer_list(void *ctx, struct http_request *r) {
    static const char *const kinds[] = {"incident", NULL};
    aside_answer_list(ctx, r, kinds, make_list);
}

void incidents_answer_one(void *ctx, struct http_request *r) {
    aside_answer_one(ctx, r, INCIDENTS, make_one);
}
