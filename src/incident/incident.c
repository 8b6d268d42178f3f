/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/incident.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_words[] = {"received", "gathered", "analysed",  "acting",
                                          "acted",    "resolved", "escalated", "in_doubt"};
static const char *const last_words[] = {"none", "remedy_done", "remedy_failed", "not_verified"};

const char *incident_state_text(enum incident_state state) {
    return state_words[state];
}

bool incident_under_way(const struct incident *i) {
    return i->state != INCIDENT_RESOLVED && i->state != INCIDENT_ESCALATED &&
           i->state != INCIDENT_IN_DOUBT;
}

bool incident_asks(const struct incident *i) {
    return i->state == INCIDENT_ANALYSED && i->asked != 0;
}

char *incident_remedy_key(const struct incident *i) {
    uint32_t round = incident_asks(i) ? i->round + 1 : i->round;
    return str_format("%s/%u.%s", i->id, round, i->action ? i->action : "");
}

void incident_free(struct incident *i) {
    free(i->id);
    free(i->service);
    free(i->summary);
    free(i->severity);
    free(i->evidence);
    free(i->cause);
    free(i->rule);
    free(i->action);
    free(i->outcome);
    free(i->owner);
    free(i->plan);
    free(i->waits);
    memset(i, 0, sizeof *i);
}

void incident_encode(const struct incident *i, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "service", i->service);
    json_out_member_string(&j, "summary", i->summary);
    json_out_member_string(&j, "severity", i->severity);
    json_out_member_string(&j, "state", incident_state_text(i->state));
    json_out_key(&j, "by_hand");
    json_out_bool(&j, i->by_hand);
    json_out_key(&j, "flaps");
    json_out_bool(&j, i->flaps);
    json_out_key(&j, "told");
    json_out_bool(&j, i->told);
    json_out_member_string(&j, "owner", i->owner);
    field_put_time(&j, "created", i->created);
    field_put_time(&j, "ended", i->ended);
    json_out_key(&j, "round");
    json_out_int(&j, i->round);
    json_out_member_string(&j, "cause", i->cause);
    json_out_member_string(&j, "rule", i->rule);
    json_out_key(&j, "confidence");
    json_out_double(&j, i->confidence);
    json_out_member_string(&j, "action", i->action);
    json_out_member_string(&j, "plan", i->plan);
    field_put_time(&j, "asked", i->asked);
    json_out_member_string(&j, "waits", i->waits);
    json_out_member_string(&j, "last", last_words[i->last]);
    json_out_member_string(&j, "outcome", i->outcome);
    json_out_key(&j, "events");
    json_out_int(&j, i->events);
    field_put_time(&j, "gathered", i->gathered);
    json_out_key(&j, "evidence");
    if (i->evidence)
        json_out_raw(&j, i->evidence);
    else
        json_out_null(&j);
    json_out_object_end(&j);
}

static char *get(const json_t *o, const char *key) {
    return str_dup(json_string_value(json_object_get(o, key)));
}

static int word_index(const char *word, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (str_eq(word, words[i]))
            return (int)i;
    return -1;
}

hardy_status incident_decode(const struct store_row *row, struct incident *out,
                             hardy_error *error) {
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, NULL);
    memset(out, 0, sizeof *out);
    int state = word_index(json_string_value(json_object_get(o, "state")), state_words,
                           sizeof state_words / sizeof *state_words);
    int last = word_index(json_string_value(json_object_get(o, "last")), last_words,
                          sizeof last_words / sizeof *last_words);
    out->id = str_dup(row->key);
    out->fence = row->fence;
    out->service = get(o, "service");
    out->summary = get(o, "summary");
    out->severity = get(o, "severity");
    out->state = (enum incident_state)(state < 0 ? 0 : state);
    out->last = (enum incident_last)(last < 0 ? 0 : last);
    out->by_hand = json_is_true(json_object_get(o, "by_hand"));
    out->flaps = json_is_true(json_object_get(o, "flaps"));
    out->told = json_is_true(json_object_get(o, "told"));
    out->owner = get(o, "owner");
    out->created = field_time(o, "created");
    out->ended = field_time(o, "ended");
    out->gathered = field_time(o, "gathered");
    out->round = (uint32_t)json_integer_value(json_object_get(o, "round"));
    out->cause = get(o, "cause");
    out->rule = get(o, "rule");
    out->confidence = json_number_value(json_object_get(o, "confidence"));
    out->action = get(o, "action");
    out->outcome = get(o, "outcome");
    out->plan = get(o, "plan");
    out->asked = field_time(o, "asked");
    out->waits = get(o, "waits");
    out->events = (uint32_t)json_integer_value(json_object_get(o, "events"));
    json_t *evidence = json_object_get(o, "evidence");
    if (evidence && !json_is_null(evidence))
        out->evidence = json_dumps(evidence, JSON_COMPACT);
    json_decref(o);
    if (state < 0 || last < 0 || !out->id || !out->service || !out->severity) {
        incident_free(out);
        return fail(error, HARDY_E_CORRUPT, NULL, "the record of incident %s cannot be read",
                    row->key);
    }
    return HARDY_OK;
}

hardy_status incident_load(struct store *store, const char *id, struct incident *out,
                           hardy_error *error) {
    struct store_row row;
    memset(out, 0, sizeof *out);
    hardy_status status = store_get(store, "incident", id, &row, error);
    if (status != HARDY_OK)
        return status;
    status = incident_decode(&row, out, error);
    store_row_free(&row);
    return status;
}
