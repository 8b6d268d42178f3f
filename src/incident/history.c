/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/history.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "incident/show.h"
#include <stdlib.h>
#include <string.h>

/* Of interest to whoever looks at one incident, not at a night. */
static const char *const left_out[] = {"gathered", "taken up", "rule error"};

struct loading {
    struct history *h;
    struct store *store;
    char since[32];
    struct incident incident; /* the one whose events are read */
    bool acted;               /* hardy has, at any time */
    bool no_memory;
    hardy_status status;
    hardy_error *error;
};

/* One more, NULL = no memory. */
static void *append(struct loading *l, void *items, size_t size, size_t *count) {
    char *more = realloc(*(void **)items, (*count + 1) * size);
    if (!more) {
        l->no_memory = true;
        return NULL;
    }
    *(void **)items = more;
    return memset(more + (*count)++ * size, 0, size);
}

static struct history_row *row_of(struct loading *l, const char *service) {
    struct history *h = l->h;
    for (size_t i = 0; i < h->row_count; i++) {
        if (str_eq(h->rows[i].service, service)) {
            return &h->rows[i];
        }
    }
    struct history_row *row = append(l, &h->rows, sizeof *row, &h->row_count);
    if (row) {
        row->service = str_dup(service);
        l->no_memory = l->no_memory || !row->service;
    }
    return row;
}

static void count(struct loading *l, struct history_row *row, const char *what) {
    row->opened += str_eq(what, "opened");
    row->recovered += str_eq(what, "resolved") && !l->acted;
    row->proposed += str_eq(what, "proposed");
    row->acted += str_eq(what, "acting");
    row->healed += str_eq(what, "verified");
    row->not_healed += str_eq(what, "not verified");
    row->escalated += str_eq(what, "escalated");
}

static bool is_left_out(const char *what) {
    bool found = false;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        found |= str_eq(what, left_out[i]);
    }
    return found;
}

static void keep(struct loading *l, struct incident_event *e) {
    struct history_event *out = append(l, &l->h->events, sizeof *out, &l->h->event_count);
    if (out) {
        *out = (struct history_event){.service = str_dup(l->incident.service),
                                      .incident = str_dup(l->incident.id),
                                      .what = e->what,
                                      .detail = e->detail,
                                      .order = l->h->event_count};
        memcpy(out->at, e->at, sizeof out->at);
        e->what = e->detail = NULL; /* taken */
        l->no_memory = l->no_memory || !out->service || !out->incident;
    }
}

static bool add_event(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    struct incident_event e;
    if (!incident_event_decode(row, &e)) {
        return true;
    }
    l->acted |= str_eq(e.what, "acting");
    if (strcmp(e.at, l->since) >= 0) {
        struct history_row *r = row_of(l, l->incident.service);
        if (r) {
            count(l, r, e.what);
        }
        if (!is_left_out(e.what)) {
            keep(l, &e);
        }
    }
    incident_event_free(&e);
    return !l->no_memory;
}

static void add_events(struct loading *l) {
    const struct incident *i = &l->incident;
    bool open = i->state != INCIDENT_RESOLVED;
    int64_t span = (open ? l->h->wall : i->ended) - i->created;
    char *prefix = str_format("%s/", i->id);
    struct history_row *row = row_of(l, i->service);
    if (row && prefix) {
        row->open += open;
        row->longest = span > row->longest ? span : row->longest;
        l->acted = false;
        l->status = store_scan(l->store, "event", prefix, NULL, SIZE_MAX, add_event, l, l->error);
    }
    l->no_memory = l->no_memory || !prefix;
    free(prefix);
}

static bool add_incident(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    l->status = incident_decode(row, &l->incident, l->error);
    if (l->status == HARDY_OK) {
        if (l->incident.state != INCIDENT_RESOLVED || l->incident.ended >= l->h->since) {
            add_events(l);
        }
        incident_free(&l->incident);
    }
    return l->status == HARDY_OK && !l->no_memory;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct history_row *)a)->service,
                  ((const struct history_row *)b)->service);
}

static int by_time(const void *a, const void *b) {
    const struct history_event *x = a, *y = b;
    int order = strcmp(x->at, y->at);
    return order ? order : x->order < y->order ? -1 : 1;
}

hardy_status history_load(struct store *store, int64_t since, int64_t wall, struct history *out,
                          hardy_error *error) {
    struct loading l = {.h = out, .store = store, .error = error};
    *out = (struct history){.since = since, .wall = wall};
    clock_format_wall(since, l.since);
    hardy_status status =
        store_scan(store, "incident", "", NULL, SIZE_MAX, add_incident, &l, error);
    status = status == HARDY_OK ? l.status : status;
    if (status == HARDY_OK && l.no_memory) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for what happened");
    }
    if (status == HARDY_OK && out->row_count > 0) {
        qsort(out->rows, out->row_count, sizeof *out->rows, by_name);
    }
    if (status == HARDY_OK && out->event_count > 0) {
        qsort(out->events, out->event_count, sizeof *out->events, by_time);
    }
    return status;
}

void history_free(struct history *h) {
    for (size_t i = 0; i < h->row_count; i++) {
        free(h->rows[i].service);
    }
    for (size_t i = 0; i < h->event_count; i++) {
        free(h->events[i].service);
        free(h->events[i].incident);
        free(h->events[i].what);
        free(h->events[i].detail);
    }
    free(h->rows);
    free(h->events);
    *h = (struct history){0};
}

static void put_row(const struct history_row *row, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "service", row->service);
    json_out_member_count(j, "opened", row->opened);
    json_out_member_count(j, "recovered", row->recovered);
    json_out_member_count(j, "proposed", row->proposed);
    json_out_member_count(j, "acted", row->acted);
    json_out_member_count(j, "healed", row->healed);
    json_out_member_count(j, "not_healed", row->not_healed);
    json_out_member_count(j, "escalated", row->escalated);
    json_out_member_count(j, "open", row->open);
    json_out_key(j, "longest_s");
    json_out_double(j, (double)row->longest / (double)HARDY_SECOND);
    json_out_object_end(j);
}

void history_to_json(const struct history *h, struct json_out *j) {
    json_out_object(j);
    json_out_member_wall(j, "since", h->since);
    json_out_key(j, "services");
    json_out_array(j);
    for (size_t i = 0; i < h->row_count; i++) {
        put_row(&h->rows[i], j);
    }
    json_out_array_end(j);
    json_out_key(j, "events");
    json_out_array(j);
    for (size_t i = 0; i < h->event_count; i++) {
        const struct history_event *e = &h->events[i];
        json_out_object(j);
        json_out_member_string(j, "at", e->at);
        json_out_member_string(j, "service", e->service);
        json_out_member_string(j, "incident", e->incident);
        json_out_member_string(j, "what", e->what);
        json_out_member_string(j, "detail", e->detail);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_object_end(j);
}
