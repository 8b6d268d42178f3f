/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/child_list.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "io/file.h"
#include "io/procfs.h"
#include "supervise/child_record.h"
#include <stdio.h>

struct listing {
    struct store *store;
    struct json_out *j; /* NULL: lines for a person */
    char boot[37];
    bool any;
};

/* Where no hardy is, nobody writes down that a process has ended. */
static const char *state_now(const struct child_record *r, const struct child *c, bool *lives) {
    struct procfs_process process;
    *lives = r->process.pid > 0 && procfs_read(r->process.pid, &process) && process.state != 'Z';
    if (r->process.pid > 0 && !*lives) {
        return "gone, and no hardy has noticed";
    }
    return child_state_text(c->state);
}

static void print_one(const char *name, const struct child_record *r, const char *state, bool lives,
                      int64_t wall) {
    char pid[16] = "-", since[48] = "-", last[140] = "-", ago[48];
    if (lives) {
        snprintf(pid, sizeof pid, "%d", r->process.pid);
        format_duration_short(wall - r->since, since);
    }
    if (r->death_count > 0) {
        const struct child_death *d = &r->deaths[r->death_count - 1];
        char how[64];
        child_end_text(d->code, d->signal, d->unknown, how, sizeof how);
        format_duration_short(wall - d->at, ago);
        snprintf(last, sizeof last, "%s, %.12s ago", how, ago);
    }
    printf("%-20s  %-9s  %7s  %-8s  %6llu  %s\n", name, state, pid, since,
           (unsigned long long)r->died, last);
}

static void put_one(struct json_out *j, const char *name, const struct child_record *r,
                    const char *state, bool lives) {
    char at[40];
    clock_format_wall(r->since, at);
    json_out_object(j);
    json_out_member_string(j, "name", name);
    json_out_member_string(j, "state", state);
    json_out_key(j, "pid");
    if (lives) {
        json_out_int(j, r->process.pid);
    } else {
        json_out_null(j);
    }
    json_out_member_string(j, "since", lives ? at : NULL);
    json_out_member_count(j, "starts", r->starts);
    json_out_member_count(j, "deaths", r->died);
    json_out_object_end(j);
}

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct child_record r;
    struct child c = {0};
    bool lives;
    if (child_record_load(l->store, row->key, l->boot, &r, &c, NULL) != HARDY_OK || !r.left) {
        return true; /* its hardy was stopped, and has ended it */
    }
    const char *state = state_now(&r, &c, &lives);
    if (l->j) {
        put_one(l->j, row->key, &r, state, lives);
    } else {
        if (!l->any) {
            printf("\nCHILD                 STATE          PID  SINCE      DEATHS  LAST\n");
        }
        print_one(row->key, &r, state, lives, clock_wall());
    }
    l->any = true;
    return true;
}

static void list(struct store *store, struct json_out *j) {
    struct listing l = {.store = store, .j = j};
    file_boot_id(l.boot);
    (void)store_scan_keys(store, "child", "", NULL, SIZE_MAX, list_one, &l, NULL);
}

void print_children(struct store *store) {
    list(store, NULL);
}

void children_list_to_json(struct store *store, struct json_out *j) {
    json_out_array(j);
    list(store, j);
    json_out_array_end(j);
}
