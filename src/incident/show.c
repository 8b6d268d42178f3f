/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/show.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <stdlib.h>
#include <string.h>

static void put_members(const struct incident *i, struct json_out *j) {
    json_out_member_string(j, "id", i->id);
    json_out_member_string(j, "service", i->service);
    json_out_member_string(j, "severity", i->severity);
    json_out_member_string(j, "state", incident_state_text(i->state));
    json_out_member_string(j, "summary", i->summary);
    json_out_member_wall(j, "created", i->created);
    json_out_member_wall(j, "ended", i->ended);
    json_out_member_count(j, "attempts", i->round);
    json_out_member_string(j, "cause", i->cause);
    json_out_member_string(j, "rule", i->rule);
    json_out_key(j, "confidence");
    json_out_double(j, i->confidence);
    json_out_member_string(j, "plan", i->plan);
    json_out_member_string(j, "action", i->action);
    json_out_member_string(j, "waits", i->waits);
    json_out_member_string(j, "outcome", i->outcome);
}

void incident_to_json(const struct incident *i, struct json_out *j) {
    json_out_object(j);
    put_members(i, j);
    json_out_object_end(j);
}

static bool put_event(void *ctx, const struct store_row *row) {
    struct json_out *j = ctx;
    json_out_raw(j, row->value);
    return !j->to->failed;
}

static bool put_remedy(void *ctx, const struct store_row *row) {
    struct json_out *j = ctx;
    struct record r;
    if (record_decode(row, &r, NULL) == HARDY_OK) {
        record_to_json(&r, j);
        record_free(&r);
    }
    return !j->to->failed;
}

static hardy_status put_rows(struct store *store, const struct incident *i, const char *member,
                             const char *kind, bool (*put)(void *ctx, const struct store_row *row),
                             struct json_out *j, hardy_error *error) {
    char *prefix = str_format("%s/", i->id);
    json_out_key(j, member);
    json_out_array(j);
    hardy_status status =
        prefix ? store_scan(store, kind, prefix, NULL, SIZE_MAX, put, j, error)
               : fail(error, HARDY_E_NOMEM, NULL, "no memory for incident %s", i->id);
    json_out_array_end(j);
    free(prefix);
    return status;
}

hardy_status incident_show(struct store *store, const struct incident *i, struct json_out *j,
                           hardy_error *error) {
    json_out_object(j);
    put_members(i, j);
    hardy_status status = put_rows(store, i, "timeline", "event", put_event, j, error);
    if (status == HARDY_OK) {
        status = put_rows(store, i, "remedies", "remedy", put_remedy, j, error);
    }
    json_out_member_wall(j, "evidence_at", i->gathered);
    json_out_member_raw(j, "evidence", i->evidence ? i->evidence : "null");
    json_out_object_end(j);
    return status;
}

static void put_result(void *ctx, const char *service, const struct past_result *r) {
    struct json_out *j = ctx;
    json_out_object(j);
    json_out_member_string(j, "service", service);
    json_out_member_string(j, "action", r->action);
    json_out_member_count(j, "healed", r->healed);
    json_out_member_count(j, "not_healed", r->not_healed);
    json_out_key(j, "success_rate");
    json_out_double(j, past_success_rate(r));
    json_out_object_end(j);
}

void remedies_to_json(struct store *store, struct json_out *j) {
    json_out_key(j, "remedies");
    json_out_array(j);
    if (store)
        (void)past_each_result(store, put_result, j, NULL);
    json_out_array_end(j);
}

bool incident_event_decode(const struct store_row *row, struct incident_event *out) {
    json_t *o = json_loadb(row->value, row->len, 0, NULL);
    *out =
        (struct incident_event){.what = field_text(o, "what"), .detail = field_text(o, "detail")};
    field_copy(out->at, sizeof out->at, o, "at");
    json_decref(o);
    if (out->at[0] && out->what && out->detail) {
        return true;
    }
    incident_event_free(out);
    return false;
}

void incident_event_free(struct incident_event *e) {
    free(e->what);
    free(e->detail);
    *e = (struct incident_event){0};
}
