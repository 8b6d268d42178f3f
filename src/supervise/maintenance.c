/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/maintenance.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/pause.h"
#include "observe/exposition.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
/* Windows that follow each other without a gap: a week of days, and as much again for overlaps. */
#define CHAIN_MAX 14

static const char *const zone_words[] = {"local", "utc", NULL};
static const char *const day_words[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct schema_key keys[] = {
    {.name = "targets",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct maintenance_window, targets),
     .help = "what is left alone: services, children, SERVICE/ACTION; without it everything"},
    {.name = "days",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct maintenance_window, days),
     .help = "on which it begins: mon to sun; without it every day"},
    {.name = "from",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct maintenance_window, from),
     .required = true,
     .help = "time of day at which it begins: \"22:00\""},
    {.name = "to",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct maintenance_window, to),
     .required = true,
     .help = "at which it ends, on the next day if it is not later than from"},
    {.name = "zone",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct maintenance_window, zone),
     .words = zone_words,
     .def = "local",
     .help = "whose clock: this host's or UTC"},
    {.name = "reason",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct maintenance_window, reason),
     .help = "told wherever the window is"},
};
const struct schema_section maintenance_section = {"maintenance", keys, COUNT(keys),
                                                   sizeof(struct maintenance_window)};

/* --- settings --------------------------------------------------------------------------------- */

static bool two_digits(const char *s, int below, int *out) {
    if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9') {
        return false;
    }
    *out = (s[0] - '0') * 10 + (s[1] - '0');
    return *out < below;
}

static hardy_status read_time(const struct yaml_node *node, const char *key, const char *text,
                              int *minute, hardy_error *error) {
    int hours, minutes;
    if (strlen(text) != 5 || text[2] != ':' || !two_digits(text, 24, &hours) ||
        !two_digits(text + 3, 60, &minutes)) {
        return yaml_fail(yaml_get(node, key), error,
                         "%s: `%s` is no time of day from 00:00 to 23:59, such as \"22:00\"", key,
                         text);
    }
    *minute = hours * 60 + minutes;
    return HARDY_OK;
}

static hardy_status read_days(const struct yaml_node *node, struct maintenance_window *w,
                              hardy_error *error) {
    for (size_t i = 0; i < w->days.count; i++) {
        unsigned found = 0;
        for (unsigned day = 0; day < COUNT(day_words); day++) {
            found |= str_eq(w->days.items[i], day_words[day]) ? 1U << day : 0;
        }
        if (!found) {
            return yaml_fail(yaml_get(node, "days"), error,
                             "days: `%s` is not one of mon, tue, wed, thu, fri, sat, sun",
                             w->days.items[i]);
        }
        w->weekdays |= found;
    }
    w->weekdays = w->days.count > 0 ? w->weekdays : 0x7f;
    return HARDY_OK;
}

static hardy_status check_targets(const struct yaml_node *node, const struct maintenance_window *w,
                                  hardy_error *error) {
    for (size_t i = 0; i < w->targets.count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(w->targets.items[i], w->targets.items[k])) {
                return yaml_fail(yaml_get(node, "targets"), error, "targets: `%s` is there twice",
                                 w->targets.items[i]);
            }
        }
    }
    return HARDY_OK;
}

static hardy_status read_window(const struct yaml_node *node, struct maintenance_window *w,
                                hardy_error *error) {
    hardy_status status = schema_read(&maintenance_section, node, w, error);
    if (status == HARDY_OK) {
        status = check_targets(node, w, error);
    }
    if (status == HARDY_OK) {
        status = read_time(node, "from", w->from, &w->from_minute, error);
    }
    if (status == HARDY_OK) {
        status = read_time(node, "to", w->to, &w->to_minute, error);
    }
    return status == HARDY_OK ? read_days(node, w, error) : status;
}

hardy_status maintenance_read(const struct config *config, struct maintenance *out,
                              hardy_error *error) {
    const struct yaml_node *node = config_section(config, "maintenance");
    hardy_status status = HARDY_OK;
    *out = (struct maintenance){0};
    if (!node || node->kind == YAML_NULL) {
        return HARDY_OK;
    }
    if (node->kind != YAML_LIST) {
        return yaml_fail(node, error, "maintenance: a list of windows is needed, not %s",
                         yaml_kind_text(node));
    }
    struct maintenance_window *items = calloc(node->count + 1, sizeof *items);
    if (!items) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for %zu windows", node->count);
    }
    out->windows.items = items;
    for (size_t i = 0; i < node->count && status == HARDY_OK; i++) {
        out->windows.count = i + 1;
        status = read_window(node->items[i], &items[i], error);
    }
    return status;
}

void maintenance_free(struct maintenance *m) {
    struct maintenance_window *items = m->windows.items;
    for (size_t i = 0; i < m->windows.count; i++) {
        schema_free(&maintenance_section, &items[i]);
    }
    free(items);
    *m = (struct maintenance){0};
}

/* --- windows ---------------------------------------------------------------------------------- */

bool maintenance_is_open(const struct maintenance_window *w, int64_t wall, int64_t *until) {
    /* Yesterday's may last until now; tomorrow's can have begun when midnight itself is left out.
     */
    for (int day = -1; day <= 1; day++) {
        enum zone zone = (enum zone)w->zone;
        struct time_of_day from = time_of_day(zone, wall, day, w->from_minute);
        struct time_of_day to =
            time_of_day(zone, wall, day + (w->to_minute <= w->from_minute), w->to_minute);
        if (w->weekdays & 1U << from.weekday && from.first <= wall && wall < to.last) {
            *until = to.last;
            return true;
        }
    }
    return false;
}

static bool concerns(const struct maintenance_window *w, const char *target) {
    bool found = w->targets.count == 0;
    for (size_t i = 0; i < w->targets.count && !found; i++) {
        size_t len = strlen(w->targets.items[i]);
        found =
            str_starts(target, w->targets.items[i]) && (target[len] == '\0' || target[len] == '/');
    }
    return found;
}

/* Of those that are open, the one that ends last. */
static const struct maintenance_window *longest(const struct maintenance *m, const char *target,
                                                int64_t wall, int64_t *until) {
    const struct maintenance_window *items = m->windows.items, *found = NULL;
    int64_t end;
    for (size_t i = 0; i < m->windows.count; i++) {
        if (concerns(&items[i], target) && maintenance_is_open(&items[i], wall, &end) &&
            (!found || end > *until)) {
            found = &items[i];
            *until = end;
        }
    }
    return found;
}

const struct maintenance_window *maintenance_find(const struct maintenance *m, const char *target,
                                                  int64_t wall, int64_t *until) {
    const struct maintenance_window *first = longest(m, target, wall, until), *next = first;
    for (int i = 0; i < CHAIN_MAX && next; i++) {
        next = longest(m, target, *until, until);
    }
    if (next) {
        *until = 0;
    }
    return first;
}

/* --- both ------------------------------------------------------------------------------------- */

static void add_reason(struct hands_off *out, const char *reason) {
    size_t len = strlen(out->why);
    if (reason && reason[0]) {
        snprintf(out->why + len, sizeof out->why - len, ": %s", reason);
    }
}

static void say_pause(const struct pause *p, int64_t wall, struct hands_off *out) {
    char until[LOCAL_TIME_SIZE] = "it is resumed";
    if (p->until) {
        local_time_format(ZONE_LOCAL, p->until, wall, until);
    }
    snprintf(out->why, sizeof out->why, "%spaused by %s until %s",
             str_eq(p->target, PAUSE_EVERYTHING) ? "everything is " : "", p->who, until);
    out->until = p->until;
    add_reason(out, p->reason);
}

static void say_window(const struct maintenance_window *w, int64_t wall, int64_t until,
                       struct hands_off *out) {
    char text[LOCAL_TIME_SIZE];
    if (until) {
        local_time_format((enum zone)w->zone, until, wall, text);
        snprintf(out->why, sizeof out->why, "maintenance window until %s", text);
    } else {
        str_copy(out->why, sizeof out->why, "maintenance window without an end");
    }
    out->until = until;
    add_reason(out, w->reason);
}

hardy_status hands_off(const struct maintenance *m, struct store *store, const char *target,
                       int64_t wall, struct hands_off *out, hardy_error *error) {
    struct pause pause;
    int64_t until;
    *out = (struct hands_off){.off = true};
    hardy_status status = pause_find(store, target, wall, &pause, error);
    if (status == HARDY_OK) {
        say_pause(&pause, wall, out);
        pause_free(&pause);
        return HARDY_OK;
    }
    if (status != HARDY_E_NOT_FOUND) {
        str_copy(out->why, sizeof out->why, "nobody knows whether it is paused");
        add_reason(out, error ? error->message : NULL);
        return status;
    }
    const struct maintenance_window *w = m ? maintenance_find(m, target, wall, &until) : NULL;
    out->off = w != NULL;
    if (w) {
        say_window(w, wall, until, out);
    }
    return HARDY_OK;
}

/* --- all of them ------------------------------------------------------------------------------ */

struct telling {
    int64_t wall;
    bool (*fn)(void *ctx, const struct hands_off_entry *e);
    void *ctx;
    bool stopped;
};

static bool tell_pause(void *ctx, const struct pause *p) {
    struct telling *t = ctx;
    struct hands_off off;
    say_pause(p, t->wall, &off);
    const struct hands_off_entry entry = {p->target, p->who, p->reason, p->at, p->until, off.why};
    t->stopped = !t->fn(t->ctx, &entry);
    return !t->stopped;
}

static void tell_window(struct telling *t, const struct maintenance *m,
                        const struct maintenance_window *w, const char *target) {
    struct hands_off off;
    int64_t until;
    if (t->stopped || maintenance_find(m, target, t->wall, &until) != w) {
        return; /* another one lasts longer, and tells it */
    }
    say_window(w, t->wall, until, &off);
    const struct hands_off_entry entry = {target, NULL, w->reason, 0, until, off.why};
    t->stopped = !t->fn(t->ctx, &entry);
}

hardy_status hands_off_each(const struct maintenance *m, struct store *store, int64_t wall,
                            bool (*fn)(void *ctx, const struct hands_off_entry *e), void *ctx,
                            hardy_error *error) {
    struct telling t = {wall, fn, ctx, false};
    const struct maintenance_window *items = m->windows.items;
    hardy_status status = pause_list(store, wall, tell_pause, &t, error);
    for (size_t i = 0; i < m->windows.count && status == HARDY_OK; i++) {
        if (items[i].targets.count == 0) {
            tell_window(&t, m, &items[i], PAUSE_EVERYTHING);
        }
        for (size_t k = 0; k < items[i].targets.count; k++) {
            tell_window(&t, m, &items[i], items[i].targets.items[k]);
        }
    }
    return status;
}

void hands_off_entry_to_json(const struct hands_off_entry *e, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "target", e->target);
    json_out_member_string(j, "by", e->who ? "person" : "window");
    json_out_member_string(j, "who", e->who);
    json_out_member_string(j, "reason", e->reason);
    json_out_member_wall(j, "at", e->at);
    json_out_member_wall(j, "until", e->until);
    json_out_member_string(j, "why", e->why);
    json_out_object_end(j);
}

/* --- as metrics ------------------------------------------------------------------------------- */

struct measuring {
    struct exposition *x;
    const char *name;
    bool person; /* pauses, else windows */
    bool all;    /* everything is */
};

static bool write_entry(void *ctx, const struct hands_off_entry *e) {
    struct measuring *w = ctx;
    bool all = str_eq(e->target, PAUSE_EVERYTHING);
    if (w->person == (e->who != NULL)) {
        w->all = w->all || all;
        if (!all) {
            exposition_sample(w->x, w->name, 1, "target", e->target, NULL);
        }
    }
    return true;
}

/* "*" is always there: a family that comes and goes cannot be told from one that is not scraped. */
static void write_family(const struct maintenance *m, struct store *store, int64_t wall,
                         struct measuring *w, const char *help) {
    exposition_family(w->x, w->name, "gauge", help);
    if (hands_off_each(m, store, wall, write_entry, w, NULL) == HARDY_OK) {
        exposition_sample(w->x, w->name, w->all, "target", PAUSE_EVERYTHING, NULL);
    }
}

void hands_off_write_metrics(const struct maintenance *m, struct store *store, int64_t wall,
                             struct exposition *x) {
    struct measuring pauses = {x, "hardy_paused", true, false};
    struct measuring windows = {x, "hardy_maintenance", false, false};
    write_family(m, store, wall, &pauses,
                 "1 while a person has paused the target; * is everything");
    write_family(m, store, wall, &windows, "1 while the target is in a maintenance window");
}
