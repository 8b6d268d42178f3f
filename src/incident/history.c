/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/history.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "durable/field.h"
#include "durable/pause.h"
#include "incident/show.h"
#include "supervise/child_record.h"
#include "supervise/fail_over_record.h"
#include "supervise/local_time.h"
#include <stdlib.h>
#include <string.h>

/* Of interest to whoever looks at one incident, not at a night. */
static const char *const left_out[] = {"gathered", "taken up", "rule error"};

/* What is counted for what was said. */
static const struct counted {
    enum history_kind kind;
    const char *what;
    size_t offset;
} counted[] = {
    {HISTORY_SERVICE, "opened", offsetof(struct history_row, opened)},
    {HISTORY_SERVICE, "proposed", offsetof(struct history_row, proposed)},
    {HISTORY_SERVICE, "acting", offsetof(struct history_row, acted)},
    {HISTORY_SERVICE, "verified", offsetof(struct history_row, healed)},
    {HISTORY_SERVICE, "not verified", offsetof(struct history_row, not_healed)},
    {HISTORY_SERVICE, "escalated", offsetof(struct history_row, escalated)},
    {HISTORY_FAIL_OVER, "proposed", offsetof(struct history_row, proposed)},
    {HISTORY_FAIL_OVER, "switching", offsetof(struct history_row, acted)},
    {HISTORY_FAIL_OVER, "switched", offsetof(struct history_row, healed)},
    {HISTORY_FAIL_OVER, "failed", offsetof(struct history_row, not_healed)},
    {HISTORY_FAIL_OVER, "in doubt", offsetof(struct history_row, not_healed)},
    {HISTORY_FAIL_OVER, "escalated", offsetof(struct history_row, escalated)},
    {HISTORY_CHILD, "died", offsetof(struct history_row, died)},
};

const char *history_kind_text(enum history_kind kind) {
    static const char *const texts[] = {"service", "fail-over", "child", "pause"};
    return texts[kind];
}

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

static struct history_row *row_of(struct loading *l, enum history_kind kind, const char *name) {
    struct history *h = l->h;
    for (size_t i = 0; i < h->row_count; i++) {
        if (h->rows[i].kind == kind && str_eq(h->rows[i].name, name)) {
            return &h->rows[i];
        }
    }
    struct history_row *row = append(l, &h->rows, sizeof *row, &h->row_count);
    if (row) {
        row->kind = kind;
        row->name = str_dup(name);
        l->no_memory = l->no_memory || !row->name;
    }
    return row;
}

static void count(struct history_row *row, const char *what) {
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++) {
        if (counted[i].kind == row->kind && str_eq(counted[i].what, what)) {
            ++*(uint32_t *)((char *)row + counted[i].offset);
        }
    }
}

static bool is_left_out(const char *what) {
    bool found = false;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        found |= str_eq(what, left_out[i]);
    }
    return found;
}

/* Counts it, and keeps it with its texts, which are taken; `name` and `incident` are copied. */
static void keep(struct loading *l, struct history_event *e, const char *name,
                 const char *incident) {
    struct history_row *row = e->kind == HISTORY_PAUSE ? NULL : row_of(l, e->kind, name);
    if (row) {
        count(row, e->what);
    }
    struct history_event *out = NULL;
    if (!l->no_memory && !is_left_out(e->what)) {
        out = append(l, &l->h->events, sizeof *out, &l->h->event_count);
    }
    if (!out) {
        free(e->what);
        free(e->detail);
        return;
    }
    *out = *e;
    out->order = l->h->event_count;
    out->name = str_dup(name);
    out->incident = str_dup(incident);
    l->no_memory = l->no_memory || !out->name || (incident && !out->incident);
}

static bool add_event(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    struct incident_event e;
    if (!incident_event_decode(row, &e)) {
        return true;
    }
    l->acted |= str_eq(e.what, "acting");
    if (strcmp(e.at, l->since) < 0) {
        incident_event_free(&e);
        return true;
    }
    struct history_row *r = row_of(l, HISTORY_SERVICE, l->incident.service);
    if (r) {
        r->recovered += str_eq(e.what, "resolved") && !l->acted;
    }
    struct history_event out = {.kind = HISTORY_SERVICE, .what = e.what, .detail = e.detail};
    memcpy(out.at, e.at, sizeof out.at);
    keep(l, &out, l->incident.service, l->incident.id);
    return !l->no_memory;
}

static bool add_switch(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    json_t *o = json_loadb(row->value, row->len, 0, NULL);
    char *name = str_ndup(row->key, strcspn(row->key, "/"));
    int64_t at = field_time(o, "at");
    struct history_event out = {.kind = HISTORY_FAIL_OVER};
    if (at >= l->h->since && name) {
        out.what = field_text(o, "what");
        out.detail = field_text(o, "detail");
    }
    clock_format_wall(at, out.at);
    if (out.what && out.detail) {
        keep(l, &out, name, NULL);
    } else {
        free(out.what);
        free(out.detail);
    }
    l->no_memory = l->no_memory || !name;
    free(name);
    json_decref(o);
    return !l->no_memory;
}

static void add_death(struct loading *l, const char *name, const struct child_death *d) {
    char end[100], lived[48];
    struct history_event out = {.kind = HISTORY_CHILD};
    child_end_text(d->code, d->signal, d->unknown, end, sizeof end);
    format_duration_short(d->lived > 0 ? d->lived : 0, lived);
    clock_format_wall(d->at, out.at);
    out.what = str_dup("died");
    out.detail = str_format("%s, after %s", end, lived);
    if (out.what && out.detail) {
        keep(l, &out, name, NULL);
    } else {
        free(out.what);
        free(out.detail);
        l->no_memory = true;
    }
}

static bool add_child(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    struct child_record r;
    struct child c;
    if (child_record_load(l->store, row->key, "", &r, &c, NULL) == HARDY_OK) {
        for (size_t i = 0; i < r.death_count; i++) {
            if (r.deaths[i].at >= l->h->since) {
                add_death(l, row->key, &r.deaths[i]);
            }
        }
    }
    return !l->no_memory;
}

static bool add_pause(void *ctx, const struct pause_event *e) {
    struct loading *l = ctx;
    const struct pause *p = &e->pause;
    char until[LOCAL_TIME_SIZE] = "it is resumed";
    struct history_event out = {.kind = HISTORY_PAUSE,
                                .what = str_dup(e->resumed ? "resumed" : "paused")};
    if (p->until) {
        local_time_format(ZONE_LOCAL, p->until, p->at, until);
    }
    out.detail = e->resumed ? str_format("by %s", p->who)
                            : str_format("by %s until %s%s%s", p->who, until, p->reason ? ": " : "",
                                         p->reason ? p->reason : "");
    clock_format_wall(p->at, out.at);
    if (out.what && out.detail) {
        keep(l, &out, pause_target_text(p->target), NULL);
    } else {
        free(out.what);
        free(out.detail);
        l->no_memory = true;
    }
    return !l->no_memory;
}

static void add_events(struct loading *l) {
    const struct incident *i = &l->incident;
    bool open = i->state != INCIDENT_RESOLVED;
    int64_t span = (open ? l->h->wall : i->ended) - i->created;
    char *prefix = str_format("%s/", i->id);
    struct history_row *row = row_of(l, HISTORY_SERVICE, i->service);
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
    const struct history_row *x = a, *y = b;
    return x->kind != y->kind ? (int)x->kind - (int)y->kind : strcmp(x->name, y->name);
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
    if (status == HARDY_OK) {
        status = store_scan(store, FAIL_OVER_EVENT_ROW, "", NULL, SIZE_MAX, add_switch, &l, error);
    }
    if (status == HARDY_OK) {
        status = store_scan_keys(store, "child", "", NULL, SIZE_MAX, add_child, &l, error);
    }
    if (status == HARDY_OK) {
        status = pause_events(store, since, add_pause, &l, error);
    }
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
        free(h->rows[i].name);
    }
    for (size_t i = 0; i < h->event_count; i++) {
        free(h->events[i].name);
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
    json_out_member_string(j, "kind", history_kind_text(row->kind));
    json_out_member_string(j, "name", row->name);
    json_out_member_count(j, "opened", row->opened);
    json_out_member_count(j, "recovered", row->recovered);
    json_out_member_count(j, "proposed", row->proposed);
    json_out_member_count(j, "acted", row->acted);
    json_out_member_count(j, "healed", row->healed);
    json_out_member_count(j, "not_healed", row->not_healed);
    json_out_member_count(j, "escalated", row->escalated);
    json_out_member_count(j, "open", row->open);
    json_out_member_count(j, "died", row->died);
    json_out_key(j, "longest_s");
    json_out_double(j, (double)row->longest / (double)HARDY_SECOND);
    json_out_object_end(j);
}

void history_to_json(const struct history *h, struct json_out *j) {
    json_out_object(j);
    json_out_member_wall(j, "since", h->since);
    json_out_key(j, "summary");
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
        json_out_member_string(j, "kind", history_kind_text(e->kind));
        json_out_member_string(j, "name", e->name);
        json_out_member_string(j, "incident", e->incident);
        json_out_member_string(j, "what", e->what);
        json_out_member_string(j, "detail", e->detail);
        json_out_object_end(j);
    }
    json_out_array_end(j);
    json_out_object_end(j);
}
