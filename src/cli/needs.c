/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/needs.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/remote.h"
#include "durable/lease.h"
#include "durable/run.h"
#include "incident/show.h"
#include "io/file.h"
#include "supervise/child_record.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 20)

struct looking {
    struct store *store;
    struct needs *needs;
};

static void need(struct looking *l, const char *kind, const char *name, const char *what,
                 const char *line) {
    json_t *one =
        json_pack("{s:s, s:s, s:s, s:s}", "kind", kind, "name", name, "what", what, "line", line);
    if (one) {
        (void)json_array_append_new(l->needs->people, one);
    }
}

static bool add_action(void *ctx, const struct store_row *row) {
    struct record r;
    if (record_decode(row, &r, NULL) == HARDY_OK) {
        if (r.state == RECORD_IN_DOUBT) {
            char *line = str_format("hardy actions show '%s'", r.key);
            need(ctx, "action", r.key, "in doubt: it was started, and nobody knows how it ended",
                 line ? line : "");
            free(line);
        }
        record_free(&r);
    }
    return true;
}

/* Whether nobody is at an unfinished run. */
static bool is_left(struct store *store, const struct run *run) {
    struct run_lease lease;
    char boot[37];
    file_boot_id(boot);
    bool left = run_lease_load(store, run->id, &lease, NULL) == HARDY_OK &&
                (!moment_is_set(&lease.until) ||
                 moment_left(&lease.until, boot, clock_now(), clock_wall()) <= 0);
    run_lease_free(&lease);
    return left;
}

static void need_approvals(struct looking *l, const struct run *run) {
    for (const struct run_step *step = run->root; step; step = run_step_after(run->root, step)) {
        if (!run_step_asks_person(step)) {
            continue;
        }
        char *path = run_step_path(step);
        const char *message = step->record.detail;
        char *what = str_format("%s waits for approval%s%s", path ? path : step->name,
                                message ? ": " : "", message ? message : "");
        char *line = str_format("hardy workflows approve %s '%s'", run->id, path ? path : "");
        need(l, "workflow", run->id, what ? what : "", line ? line : "");
        free(line);
        free(what);
        free(path);
    }
}

static bool add_run(void *ctx, const struct store_row *row) {
    struct looking *l = ctx;
    struct run run;
    if (run_decode(row, &run, NULL) != HARDY_OK) {
        return true;
    }
    char *show = str_format("hardy workflows show %s", run.id);
    char *resume = str_format("hardy workflows resume %s", run.id);
    if (run.state == RUN_IN_DOUBT) {
        need(l, "workflow", run.id, "in doubt", show ? show : "");
    } else if (run.state == RUN_RUNNING && run_load_steps(l->store, &run, NULL) == HARDY_OK) {
        need_approvals(l, &run);
        if (is_left(l->store, &run)) {
            need(l, "workflow", run.id, "unfinished, and nobody drives it", resume ? resume : "");
        }
    }
    free(resume);
    free(show);
    run_free(&run);
    return true;
}

static void need_for_incident(struct looking *l, const struct incident *i) {
    bool asked = incident_asks(i);
    char *line = asked ? str_format("hardy incidents approve %s %s", i->id, i->action)
                       : str_format("hardy incidents show %s", i->id);
    char *what = asked ? str_format("may %s be run? %s", i->action, i->summary)
                       : str_format("%s: %s", incident_state_text(i->state), i->summary);
    need(l, "incident", i->id, what ? what : "", line ? line : "");
    free(what);
    free(line);
}

static bool add_incident(void *ctx, const struct store_row *row) {
    struct looking *l = ctx;
    struct incident i;
    if (incident_decode(row, &i, NULL) != HARDY_OK) {
        return true;
    }
    if (i.state != INCIDENT_RESOLVED) {
        struct buf text;
        struct json_out j;
        buf_init(&text, TEXT_MAX);
        json_out_init(&j, &text, 0);
        incident_to_json(&i, &j);
        (void)json_array_append_new(l->needs->incidents,
                                    json_loadb(text.data ? text.data : "", text.len, 0, NULL));
        buf_free(&text);
    }
    if (incident_asks(&i) || i.state == INCIDENT_ESCALATED || i.state == INCIDENT_IN_DOUBT) {
        need_for_incident(l, &i);
    }
    incident_free(&i);
    return true;
}

static bool add_child(void *ctx, const struct store_row *row) {
    struct looking *l = ctx;
    struct child_record r;
    struct child c = {0};
    char boot[37];
    file_boot_id(boot);
    if (child_record_load(l->store, row->key, boot, &r, &c, NULL) == HARDY_OK && r.left &&
        c.state == CHILD_FAILED) {
        char *line = str_format("hardy supervise explain %s", row->key);
        need(l, "child", row->key, "given up: it is not started again by itself", line ? line : "");
        free(line);
    }
    return true;
}

void needs_load(struct store *store, struct needs *out) {
    static const struct {
        const char *kind;
        bool (*add)(void *ctx, const struct store_row *row);
    } kinds[] = {{"action", add_action},
                 {"remedy", add_action},
                 {"run", add_run},
                 {"child", add_child},
                 {"incident", add_incident}};
    struct looking l = {store, out};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        (void)store_scan(store, kinds[i].kind, "", NULL, SIZE_MAX, kinds[i].add, &l, NULL);
    }
}

void print_open_incidents(const struct needs *n) {
    json_t *one;
    size_t i;
    json_array_foreach(n->incidents, i, one) {
        char text[300];
        const char *cause = remote_text(one, "cause"), *created = remote_text(one, "created");
        str_copy(text, sizeof text, cause[0] ? cause : remote_text(one, "summary"));
        str_make_printable(text);
        if (i == 0) {
            printf("\n%-28s  %-19s  %-16s  %-9s  %-8s  %s\n", "OPEN INCIDENT", "SINCE", "SERVICE",
                   "STATE", "ATTEMPTS", "CAUSE");
        }
        printf("%-28s  %.10s %.8s  %-16s  %-9s  %8.0f  %s\n", remote_text(one, "id"), created,
               strlen(created) > 19 ? created + 11 : "-", remote_text(one, "service"),
               remote_text(one, "state"), remote_number(one, "attempts"), text);
    }
}

void print_needs(const struct needs *n) {
    json_t *one;
    size_t i;
    if (json_array_size(n->people) == 0) {
        printf("\nnothing in the state needs a person\n");
        return;
    }
    printf("\nneeds a person\n");
    json_array_foreach(n->people, i, one) {
        char name[100], what[300];
        str_copy(name, sizeof name, remote_text(one, "name"));
        str_copy(what, sizeof what, remote_text(one, "what"));
        str_make_printable(name);
        str_make_printable(what);
        printf("  %s %s: %s\n    %s\n", remote_text(one, "kind"), name, what,
               remote_text(one, "line"));
    }
}
