/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy supervise -- COMMAND`: one child without a file. Its settings are options: the keys of
 * `supervise:`, with dashes for dots and underscores. */
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/manager.h"
#include "cli/say.h"
#include "cli/supervising.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 48, LAST_TURNS = 8 };

/* --- options ---------------------------------------------------------------------------------- */

static struct {
    struct option_row rows[ROWS + 1];
    char names[ROWS][40], values[ROWS][40], help[ROWS][160];
    size_t count;
} table;

static void option_of(const char *path, char *out, size_t size) {
    str_copy(out, size, path);
    for (char *c = out; *c; c++)
        *c = *c == '.' || *c == '_' ? '-' : *c;
}

/* Not what needs other children, checks or a file, and no maps. */
static bool is_option(const char *path, const struct schema_key *key) {
    static const char *const others[] = {"command",  "env",      "after",
                                         "critical", "escalate", "restart_dependents"};
    for (size_t n = 0; n < sizeof others / sizeof *others; n++)
        if (str_eq(path, others[n]))
            return false;
    return key->kind != SCHEMA_MAP && !str_starts(path, "reload");
}

static bool add_row(void *ctx, const char *path, const struct schema_key *key) {
    size_t n = table.count;
    (void)ctx;
    if (n == ROWS || !is_option(path, key))
        return true;
    option_of(path, table.names[n], sizeof table.names[n]);
    for (char *c = table.values[n], *name = table.names[n]; *name; c++, name++)
        *c = *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
    const char *last = strrchr(table.values[n], '-');
    const char *value = last ? last + 1 : table.values[n];
    snprintf(table.help[n], sizeof table.help[n], "%s%s%s%s", key->help, key->def ? " (" : "",
             key->def ? key->def : "", key->def ? ")" : "");
    table.rows[table.count++] = (struct option_row){1000, table.names[n], 0, value, table.help[n]};
    return true;
}

const struct option_row *supervise_command_rows(void) {
    if (table.count == 0)
        schema_each(&child_section, add_row, NULL);
    return table.rows;
}

struct search {
    const char *option;
    char path[64];
};

static bool is_it(void *ctx, const char *path, const struct schema_key *key) {
    struct search *s = ctx;
    char option[64];
    option_of(path, option, sizeof option);
    if (!is_option(path, key) || !str_eq(option, s->option))
        return true;
    str_copy(s->path, sizeof s->path, path);
    return false;
}

hardy_status supervise_command_set(struct child_settings *s, const char *option, const char *value,
                                   hardy_error *error) {
    struct search search = {.option = option};
    char where[48];
    schema_each(&child_section, is_it, &search);
    snprintf(where, sizeof where, "--%s", option);
    return schema_set(&child_section, search.path, value, where, true, s, error);
}

/* --- running ---------------------------------------------------------------------------------- */

struct run {
    const struct options *o;
    struct session session;
    struct supervising supervising;
    struct maintenance maintenance;
    struct manager manager;
    struct loop_timer last_turn;
    int turns_left, exit;
};

static void on_told(void *ctx, const char *name, int64_t wall, const char *what,
                    const char *detail) {
    const struct run *r = ctx;
    (void)wall;
    say(r->o, HARDY_LOG_INFO, "%s: %s: %s", name, what, detail);
}

/* What was closed with it is gone some turns of the loop later. */
static void on_last_turn(struct loop_timer *timer) {
    struct run *r = timer->ctx;
    if (r->turns_left-- > 0)
        loop_timer_start(r->session.loop, timer, loop_now(r->session.loop));
    else
        loop_stop(r->session.loop);
}

static void on_gone(void *ctx) {
    struct run *r = ctx;
    r->supervising.children = NULL;
    http_client_free(r->session.client);
    r->session.client = NULL;
    r->turns_left = LAST_TURNS;
    loop_timer_init(&r->last_turn, on_last_turn, r);
    loop_timer_start(r->session.loop, &r->last_turn, loop_now(r->session.loop));
}

static void on_settled(void *ctx) {
    struct run *r = ctx;
    r->exit = supervising_exit(r->supervising.children, &r->supervising.list);
    children_stop(r->supervising.children, on_gone, r);
}

static void on_interrupt(void *ctx) {
    struct run *r = ctx;
    manager_stopping(&r->manager, "ending the command");
    if (r->supervising.children)
        children_stop(r->supervising.children, on_gone, r);
}

static void on_stopped(void *ctx, const char *name, int64_t wall, const char *what,
                       const char *detail) {
    struct run *r = ctx;
    on_told(ctx, name, wall, what, detail);
    if (r->session.interrupted && r->supervising.children)
        r->exit = supervising_exit(r->supervising.children, &r->supervising.list);
}

static int run(struct run *r) {
    static const struct children_events events = {on_stopped, NULL, on_settled};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int code = session_open(r->o, SESSION_WRITE, "supervise", &r->session);
    if (code != EXIT_DONE)
        return code;
    session_on_interrupt(&r->session, on_interrupt, r);
    manager_begin(&r->manager, r->o, r->session.loop);
    hardy_status status = maintenance_read(r->session.state.config, &r->maintenance, &error);
    if (status == HARDY_OK)
        status = supervising_start(&r->supervising, &r->session, NULL, &r->maintenance, &events, r,
                                   &error);
    if (status != HARDY_OK) {
        say_error(r->o, &error);
        return session_exit(status);
    }
    manager_ready(&r->manager, "supervising");
    loop_run(r->session.loop);
    return r->exit;
}

static char *name_of(const char *command) {
    const char *slash = strrchr(command, '/');
    const char *base = slash ? slash + 1 : command;
    return str_dup(str_valid_name(base) ? base : "command");
}

int supervise_command(struct options *o, struct child_settings *s) {
    struct run r = {.o = o};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->command.argv = calloc((size_t)o->argc + 1, sizeof *s->command.argv);
    for (int n = 0; s->command.argv && n < o->argc; n++)
        s->command.argv[n] = str_dup(o->argv[n]);
    if (!s->name)
        s->name = name_of(o->argv[0]);
    if (!s->command.argv || !s->name)
        return EXIT_FAILED;
    int code;
    if (child_settings_finish(s, NULL, &error) != HARDY_OK)
        code = options_wrong(o, "%s", error.message);
    else if (s->readiness == READY_BY_CHECK)
        code = options_wrong(o, "--ready check NAME needs a file with checks:");
    else {
        r.supervising.list = (struct schema_list){s, 1};
        code = run(&r);
        r.supervising.list = (struct schema_list){0};
    }
    manager_end(&r.manager);
    session_close(&r.session);
    supervising_free(&r.supervising);
    maintenance_free(&r.maintenance);
    return code;
}
