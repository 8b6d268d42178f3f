/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/pause.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIND "pause"
#define EVENT_KIND "pause_event"
#define EVENT_KEY "%019lld/" /* wall, then the target: they sort by time */
#define EVENT_KEPT (90 * HARDY_DAY)
#define VALUE_MAX ((size_t)8 << 10)

void pause_free(struct pause *p) {
    free(p->target);
    free(p->who);
    free(p->reason);
    *p = (struct pause){0};
}

const char *pause_target_text(const char *target) {
    return str_eq(target, PAUSE_EVERYTHING) ? "everything" : target;
}

static hardy_status decode(const char *target, const struct store_row *row, struct pause *out,
                           hardy_error *error) {
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, NULL);
    *out = (struct pause){.target = str_dup(target),
                          .who = field_text(o, "who"),
                          .reason = field_text(o, "reason"),
                          .at = field_time(o, "at"),
                          .until = field_time(o, "until")};
    json_decref(o);
    if (out->target && out->who) {
        return HARDY_OK;
    }
    pause_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "the pause of %s cannot be read", target);
}

static bool holds(const struct pause *p, int64_t wall) {
    return p->until == 0 || p->until > wall;
}

/* The pause of exactly this target. */
static hardy_status load(struct store *store, const char *target, int64_t wall, struct pause *out,
                         hardy_error *error) {
    struct store_row row;
    *out = (struct pause){0};
    hardy_status status = store_get(store, KIND, target, &row, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = decode(target, &row, out, error);
    store_row_free(&row);
    if (status == HARDY_OK && !holds(out, wall)) {
        pause_free(out);
        status = fail(error, HARDY_E_NOT_FOUND, NULL, "%s is not paused", target);
    }
    return status;
}

static void put_pause(struct json_out *j, const struct pause *p, bool resumed) {
    json_out_object(j);
    json_out_member_string(j, "who", p->who);
    json_out_member_string(j, "reason", p->reason);
    field_put_time(j, "at", p->at);
    field_put_time(j, "until", p->until);
    json_out_key(j, "resumed");
    json_out_bool(j, resumed);
    json_out_object_end(j);
}

/* Names with a slash between them, or the star. */
static bool valid_target(const char *target) {
    char names[STORE_KEY_MAX + 1];
    if (str_eq(target, PAUSE_EVERYTHING)) {
        return true;
    }
    bool valid = str_copy(names, sizeof names, target);
    for (char *name = names, *slash; valid && name; name = slash ? slash + 1 : NULL) {
        slash = strchr(name, '/');
        if (slash) {
            *slash = '\0';
        }
        valid = str_valid_name(name);
    }
    return valid;
}

/* The change, and that somebody has made it. */
static hardy_status change(struct store *store, const struct store_op *op,
                           const struct pause_event *e, int64_t deadline, hardy_error *error) {
    const struct pause *p = &e->pause;
    char key[STORE_KEY_MAX + 1];
    struct buf value;
    struct json_out j;
    buf_init(&value, VALUE_MAX);
    json_out_init(&j, &value, 0);
    put_pause(&j, p, e->resumed);
    snprintf(key, sizeof key, EVENT_KEY "%s", (long long)p->at, p->target);
    const struct store_op ops[] = {*op,
                                   {.kind = STORE_PUT,
                                    .row_kind = EVENT_KIND,
                                    .key = key,
                                    .value = value.data,
                                    .len = value.len,
                                    .expires = time_add(p->at, EVENT_KEPT)}};
    hardy_status status = value.failed
                              ? fail(error, HARDY_E_INVALID, NULL, "the reason is too long")
                              : store_apply(store, ops, 2, deadline, NULL, error);
    buf_free(&value);
    return status;
}

hardy_status pause_set(struct store *store, const struct pause *p, int64_t deadline,
                       hardy_error *error) {
    const struct pause_event event = {false, *p};
    struct buf value;
    struct json_out j;
    if (!valid_target(p->target)) {
        return fail(error, HARDY_E_INVALID, NULL,
                    "`%s` can be no target: a name, SERVICE/ACTION, or %s for everything",
                    p->target, PAUSE_EVERYTHING);
    }
    buf_init(&value, VALUE_MAX);
    json_out_init(&j, &value, 0);
    put_pause(&j, p, false);
    const struct store_op op = {.kind = STORE_PUT,
                                .row_kind = KIND,
                                .key = p->target,
                                .value = value.data,
                                .len = value.len,
                                .expires = p->until};
    hardy_status status = change(store, &op, &event, deadline, error);
    buf_free(&value);
    return status;
}

static bool add_name(void *ctx, const struct pause *p) {
    struct buf *names = ctx;
    return buf_printf(names, "%s%s", names->len > 0 ? ", " : "", pause_target_text(p->target));
}

static hardy_status not_paused(struct store *store, const char *target, int64_t wall,
                               hardy_error *error) {
    struct buf names;
    buf_init(&names, 300);
    hardy_status status = pause_list(store, wall, add_name, &names, error);
    if (status == HARDY_OK && names.len > 0) {
        status =
            fail(error, HARDY_E_NOT_FOUND, NULL, "%s is not paused; paused: %.*s%s",
                 pause_target_text(target), (int)names.len, names.data, names.failed ? " ..." : "");
    } else if (status == HARDY_OK) {
        status = fail(error, HARDY_E_NOT_FOUND, NULL, "%s is not paused; nothing is",
                      pause_target_text(target));
    }
    buf_free(&names);
    return status;
}

hardy_status pause_clear(struct store *store, const char *target, const char *who, int64_t wall,
                         int64_t deadline, hardy_error *error) {
    const struct store_op op = {
        .kind = STORE_DELETE, .row_kind = KIND, .key = target, .if_fence = STORE_ANY_FENCE};
    const struct pause_event event = {
        true, {(char *)(uintptr_t)target, (char *)(uintptr_t)who, NULL, wall, 0}};
    struct pause p;
    hardy_status status = load(store, target, wall, &p, error);
    pause_free(&p);
    if (status == HARDY_E_NOT_FOUND) {
        return not_paused(store, target, wall, error);
    }
    /* One that cannot be read is ended like any other: else nothing could end it. */
    return status == HARDY_OK || status == HARDY_E_CORRUPT
               ? change(store, &op, &event, deadline, error)
               : status;
}

hardy_status pause_find(struct store *store, const char *target, int64_t wall, struct pause *out,
                        hardy_error *error) {
    char name[STORE_KEY_MAX + 1], *slash;
    hardy_status status;
    if (!str_copy(name, sizeof name, target)) {
        return fail(error, HARDY_E_INVALID, NULL, "a target's name of more than %d bytes",
                    STORE_KEY_MAX);
    }
    do {
        status = load(store, name, wall, out, error);
        slash = strrchr(name, '/');
        if (slash) {
            *slash = '\0';
        }
    } while (status == HARDY_E_NOT_FOUND && slash);
    return status == HARDY_E_NOT_FOUND ? load(store, PAUSE_EVERYTHING, wall, out, error) : status;
}

struct listing {
    int64_t wall;
    bool (*fn)(void *ctx, const struct pause *p);
    void *ctx;
    hardy_status status;
    hardy_error *error;
};

static bool list_row(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct pause p;
    l->status = decode(row->key, row, &p, l->error);
    bool on = l->status == HARDY_OK && (!holds(&p, l->wall) || l->fn(l->ctx, &p));
    pause_free(&p);
    return on;
}

hardy_status pause_list(struct store *store, int64_t wall,
                        bool (*fn)(void *ctx, const struct pause *p), void *ctx,
                        hardy_error *error) {
    struct listing l = {wall, fn, ctx, HARDY_OK, error};
    hardy_status status = store_scan(store, KIND, "", NULL, SIZE_MAX, list_row, &l, error);
    return status == HARDY_OK ? l.status : status;
}

struct reading {
    bool (*fn)(void *ctx, const struct pause_event *e);
    void *ctx;
};

static bool read_event(void *ctx, const struct store_row *row) {
    const struct reading *r = ctx;
    struct pause_event e = {0};
    const char *slash = strchr(row->key, '/');
    bool on = true;
    if (slash && decode(slash + 1, row, &e.pause, NULL) == HARDY_OK) {
        json_t *o = json_loadb(row->value, row->len, 0, NULL);
        e.resumed = json_is_true(json_object_get(o, "resumed"));
        json_decref(o);
        on = r->fn(r->ctx, &e);
    }
    pause_free(&e.pause);
    return on;
}

hardy_status pause_events(struct store *store, int64_t since,
                          bool (*fn)(void *ctx, const struct pause_event *e), void *ctx,
                          hardy_error *error) {
    struct reading r = {fn, ctx};
    char after[32];
    snprintf(after, sizeof after, EVENT_KEY, (long long)since);
    return store_scan(store, EVENT_KIND, "", after, SIZE_MAX, read_event, &r, error);
}
