/* SPDX-License-Identifier: Apache-2.0 */
/* The order among children: who may start, who may be stopped. */
#include "base/clock.h"
#include "base/error.h"
#include "base/prng.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include "supervise/children_parts.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t look_every = HARDY_SECOND;

static struct supervised *find(const struct children *c, const char *name) {
    for (size_t n = 0; n < c->count; n++)
        if (str_eq(c->items[n].s->name, name))
            return &c->items[n];
    return NULL;
}

static bool comes_after(const struct supervised *later, const struct supervised *first) {
    for (size_t n = 0; n < later->s->after.count; n++)
        if (str_eq(later->s->after.items[n], first->s->name))
            return true;
    return false;
}

/* --- who may what ----------------------------------------------------------------------------- */

/* A job that was to be done once, and is. */
static bool succeeded(const struct child *m) {
    return m->state == CHILD_DONE && !m->unknown && m->signal == 0 && m->code == 0;
}

const char *children_missing(const struct supervised *r) {
    for (size_t n = 0; n < r->all->count; n++) {
        const struct supervised *first = &r->all->items[n];
        if (comes_after(r, first) && !succeeded(&first->machine) &&
            (!supervised_ready(first) || first->renew))
            return first->s->name;
    }
    return NULL;
}

/* None of those after it, that are to end before it, runs any more. */
static bool may_end(const struct supervised *r) {
    for (size_t n = 0; n < r->all->count; n++)
        if (comes_after(&r->all->items[n], r) && r->all->items[n].machine.running)
            return false;
    return true;
}

static void look_at(struct supervised *r) {
    const struct children *c = r->all;
    if (!r->owned)
        return;
    if (c->stopping) {
        if ((r->machine.wanted || r->machine.again) && may_end(r)) {
            supervised_tell(r, CHILD_UNWANT);
        } else if (!r->machine.running && r->record.left) {
            r->record.left = false;
            supervised_write(r);
        }
        return;
    }
    bool allowed = !children_missing(r);
    if (allowed != r->machine.allowed)
        supervised_tell(r, allowed ? CHILD_ALLOW : CHILD_HOLD);
    /* Who asked for it is remembered before: asked again after a kill, it is not done twice. */
    if (r->renew && !r->batch.busy && (!r->s->restart_dependents || may_end(r))) {
        r->renew = false;
        supervised_tell(r, CHILD_RENEW);
    }
}

static bool all_at_rest(const struct children *c) {
    for (size_t n = 0; n < c->count; n++)
        if (!supervised_at_rest(&c->items[n]))
            return false;
    return true;
}

static bool nothing_will_happen(const struct children *c) {
    for (size_t n = 0; n < c->count; n++) {
        const struct supervised *r = &c->items[n];
        if (!r->owned || r->machine.running || r->machine.state == CHILD_RESTING || r->batch.busy ||
            (r->machine.state == CHILD_WAITING && r->machine.allowed))
            return false;
    }
    return true;
}

static void free_all(struct children *c) {
    loop_timer_stop(c->world->loop, &c->look);
    for (size_t n = 0; n < c->count; n++)
        supervised_free(&c->items[n]);
    free(c->items);
    free(c);
}

static void look_if_paused(struct children *c) {
    bool paused = false;
    for (size_t n = 0; n < c->count; n++)
        paused = paused || c->items[n].machine.paused;
    if (paused)
        loop_timer_start_by(c->world->loop, &c->look,
                            time_add(loop_now(c->world->loop), look_every));
}

/* A person's pause is a row of the store, and a window a matter of the clock: nobody tells. */
static void on_look(struct loop_timer *timer) {
    struct children *c = timer->ctx;
    for (size_t n = 0; n < c->count && !c->stopping; n++) {
        struct supervised *r = &c->items[n];
        if (r->owned && r->machine.paused && !supervised_hands_off(r))
            supervised_tell(r, CHILD_UNPAUSE);
    }
    look_if_paused(c);
}

static void on_changed(struct loop_post *post) {
    struct children *c = post->ctx;
    c->posted = false;
    for (size_t n = 0; n < c->count; n++)
        look_at(&c->items[n]);
    look_if_paused(c);
    if (c->posted)
        return; /* that has changed something in turn */
    if (c->stopping && all_at_rest(c)) {
        void (*gone)(void *) = c->gone;
        void *ctx = c->gone_ctx;
        free_all(c);
        gone(ctx);
    } else if (!c->stopping && nothing_will_happen(c)) {
        bool before = c->settled;
        c->settled = true;
        if (!before && c->events->settled)
            c->events->settled(c->ctx);
    } else {
        c->settled = false;
    }
}

void children_changed(struct children *c) {
    if (!c->posted) {
        c->posted = true;
        loop_post(c->world->loop, &c->post);
    }
}

/* --- the beginning and the end ---------------------------------------------------------------- */

/* Tells the children of this state from those of any other one whose processes can be seen here.
 * The file is locked by whoever makes it, so that two that begin together have the same. */
static hardy_status read_token(struct children *c, hardy_error *error) {
    uint8_t secret[sizeof c->token / 2];
    char path[4200];
    if (!c->world->folder) {
        str_copy(c->token, sizeof c->token, "simulated");
        return HARDY_OK;
    }
    snprintf(path, sizeof path, "%s/id", c->world->folder);
    hardy_status status = file_make_dirs(c->world->folder, 0700, error);
    int fd = status == HARDY_OK ? lock_open(path, error) : -1;
    if (fd < 0)
        return status == HARDY_OK ? HARDY_E_IO : status;
    status = lock_wait_for(fd, 0, HARDY_SECOND, error);
    ssize_t n = status == HARDY_OK ? pread(fd, c->token, sizeof c->token - 1, 0) : 0;
    if (status == HARDY_OK && n == 0) {
        if (!prng_secret(secret, sizeof secret))
            status = fail(error, HARDY_E_IO, NULL, "the system has no random numbers");
        str_hex(secret, sizeof secret, c->token);
        n = status == HARDY_OK ? pwrite(fd, c->token, sizeof c->token - 1, 0) : -1;
    }
    if (status == HARDY_OK && n != sizeof c->token - 1)
        status = n < 0
                     ? fail_errno(error, errno, path, "cannot be read or written")
                     : fail(error, HARDY_E_CORRUPT, path,
                            "is not what hardy wrote; remove it when no child of this state runs");
    close(fd);
    return status;
}

/* One that an earlier hardy has left running, that nobody has, and that the file does not name. */
static bool tell_if_forgotten(void *ctx, const struct store_row *row) {
    struct children *c = ctx;
    const struct children_world *w = c->world;
    struct child_record r;
    struct process_identity who;
    char path[4200], text[200];
    if (find(c, row->key) ||
        child_record_load(w->store, row->key, w->boot, &r, NULL, NULL) != HARDY_OK || !r.left ||
        process_identify(w->loop, r.process.pid, &who) != HARDY_OK ||
        who.started != r.process.started)
        return true;
    snprintf(path, sizeof path, "%s/%s.lock", w->folder ? w->folder : "", row->key);
    int lock = w->folder ? lock_open(path, NULL) : -1;
    if ((lock < 0 || !lock_held(lock, 0)) && c->events->told) {
        snprintf(text, sizeof text,
                 "pid %d runs, and is not under supervise: any more; end it yourself", who.pid);
        c->events->told(c->ctx, row->key, loop_wall(w->loop), "left", text);
    }
    if (lock >= 0)
        close(lock);
    return true;
}

hardy_status children_start(const struct children_world *world, const struct schema_list *list,
                            const struct children_events *events, void *ctx, struct children **out,
                            hardy_error *error) {
    const struct child_settings *settings = list->items;
    struct children *c = calloc(1, sizeof *c);
    if (c)
        c->items = calloc(list->count + 1, sizeof *c->items);
    if (!c || !c->items) {
        free(c);
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    }
    c->world = world;
    c->events = events;
    c->ctx = ctx;
    c->post = (struct loop_post){.fn = on_changed, .ctx = c};
    process_adopt_orphans(world->loop); /* the first process of a container is left with them */
    loop_timer_init(&c->look, on_look, c);
    hardy_status status = read_token(c, error);
    for (size_t n = 0; n < list->count && status == HARDY_OK; n++) {
        status = supervised_init(&c->items[n], c, &settings[n], error);
        c->count++;
    }
    if (status != HARDY_OK) {
        free_all(c);
        return status;
    }
    for (size_t n = 0; n < c->count; n++)
        c->items[n].machine.allowed = c->items[n].s->after.count == 0;
    for (size_t n = 0; n < c->count; n++)
        supervised_begin(&c->items[n]);
    (void)store_scan_keys(world->store, "child", "", NULL, SIZE_MAX, tell_if_forgotten, c, NULL);
    children_changed(c);
    *out = c;
    return HARDY_OK;
}

void children_stop(struct children *c, void (*gone)(void *ctx), void *ctx) {
    c->stopping = true;
    c->gone = gone;
    c->gone_ctx = ctx;
    children_changed(c);
}

/* --- what others ask -------------------------------------------------------------------------- */

void children_checked(struct children *c, const struct check_settings *check,
                      const struct check_state *state) {
    for (size_t n = 0; n < c->count; n++)
        if (c->items[n].s->readiness == READY_BY_CHECK &&
            str_eq(c->items[n].s->ready_of, check->name))
            supervised_checked(&c->items[n], state);
}

static hardy_status find_owned(const struct children *c, const char *name, struct supervised **out,
                               hardy_error *error) {
    *out = find(c, name);
    if (!*out)
        return fail(error, HARDY_E_NOT_FOUND, NULL,
                    "there is no child `%s` under supervise:", name);
    return (*out)->owned
               ? HARDY_OK
               : fail(error, HARDY_E_RUNNING, NULL, "child `%s` is with another hardy", name);
}

/* Those after it end first, and start again once it is ready. */
static void renew(struct supervised *r) {
    struct children *c = r->all;
    r->renew = true;
    for (size_t n = 0; r->s->restart_dependents && n < c->count; n++) {
        struct supervised *later = &c->items[n];
        if (comes_after(later, r) && later->machine.running && !later->renew &&
            later->machine.state != CHILD_STOPPING) {
            supervised_tell(later, CHILD_HOLD);
            supervised_tell(later, CHILD_RENEW);
        }
    }
    children_changed(c);
}

hardy_status children_restart(struct children *c, const char *name, const char *key,
                              hardy_error *error) {
    struct supervised *r;
    hardy_status status = find_owned(c, name, &r, error);
    if (status != HARDY_OK)
        return status;
    if (key) {
        char digest[65];
        const char *before;
        if (strlen(key) >= sizeof r->record.keys[0].key) {
            sha256_hex(key, strlen(key), digest);
            key = digest;
        }
        before = child_record_find_key(&r->record, key);
        if (before && (!str_eq(before, r->record.number) || r->renew || r->machine.again))
            return str_eq(before, r->record.number) ? HARDY_OK : HARDY_E_EXISTS;
        if (!before) {
            child_record_add_key(&r->record, key);
            supervised_write(r);
        }
    }
    renew(r);
    return HARDY_OK;
}

hardy_status children_reload(struct children *c, const char *name, hardy_error *error) {
    struct supervised *r;
    hardy_status status = find_owned(c, name, &r, error);
    return status == HARDY_OK ? supervised_reload(r, error) : status;
}

static void view(const struct supervised *r, struct child_view *out) {
    *out = (struct child_view){.settings = r->s,
                               .machine = &r->machine,
                               .ready = supervised_ready(r),
                               .elsewhere = !r->owned,
                               .pid = r->machine.alive ? r->record.process.pid : 0,
                               .status = r->status};
}

bool children_find(const struct children *c, const char *name, struct child_view *out) {
    const struct supervised *r = find(c, name);
    if (r)
        view(r, out);
    return r != NULL;
}

const char *children_objection(struct children *c) {
    for (size_t n = 0; n < c->count; n++) {
        const struct supervised *r = &c->items[n];
        if (r->s->critical && !supervised_ready(r)) {
            snprintf(c->objection, sizeof c->objection, "child %s is %s", r->s->name,
                     r->owned ? child_state_text(r->machine.state) : "with another hardy");
            return c->objection;
        }
    }
    return NULL;
}

static void put_wall(struct json_out *j, const char *key, int64_t wall) {
    char text[40];
    if (wall > 0)
        clock_format_wall(wall, text);
    json_out_member_string(j, key, wall > 0 ? text : NULL);
}

static void put_last_death(const struct child_record *r, struct json_out *j) {
    char text[80];
    json_out_key(j, "last_death");
    if (r->death_count == 0) {
        json_out_null(j);
        return;
    }
    const struct child_death *d = &r->deaths[r->death_count - 1];
    child_end_text(d->code, d->signal, d->unknown, text, sizeof text);
    json_out_object(j);
    put_wall(j, "at", d->at);
    json_out_member_string(j, "how", text);
    json_out_key(j, "lived_s");
    json_out_double(j, (double)d->lived / (double)HARDY_SECOND);
    json_out_object_end(j);
}

void children_to_json(const struct children *c, struct json_out *j) {
    json_out_array(j);
    for (size_t n = 0; n < c->count; n++) {
        const struct supervised *r = &c->items[n];
        struct child_view v;
        view(r, &v);
        json_out_object(j);
        json_out_member_string(j, "name", r->s->name);
        json_out_member_string(j, "state",
                               v.elsewhere ? "elsewhere" : child_state_text(r->machine.state));
        json_out_key(j, "ready");
        json_out_bool(j, v.ready);
        json_out_key(j, "critical");
        json_out_bool(j, r->s->critical);
        json_out_key(j, "pid");
        if (v.pid > 0)
            json_out_int(j, v.pid);
        else
            json_out_null(j);
        put_wall(j, "since", v.pid > 0 ? r->record.since : 0);
        json_out_member_string(j, "status", v.status[0] ? v.status : NULL);
        json_out_key(j, "reloading");
        json_out_bool(j, r->reloading);
        json_out_member_count(j, "starts", r->record.starts);
        json_out_member_count(j, "deaths", r->record.died);
        put_last_death(&r->record, j);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}
