/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy checks`: what is known of each, and running one now. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/say.h"
#include "cli/state.h"
#include "cli/top.h"
#include "health/check.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT (5 * HARDY_SECOND)
#define TEXT_MAX ((size_t)16 << 20)

enum { OPT_ADMIN = 1 };

static const struct option_row rows[] = {
    {OPT_ADMIN, "admin", 0, "HOST:PORT",
     "list: the daemon's admin address; the configuration's without it"},
    {0},
};

struct call { /* of this command */
    struct options *o;
    const char *admin;
    struct state state;
    struct schema_list checks;
    struct loop *loop;
    hardy_error error;
};

/* --- list ------------------------------------------------------------------------------------- */

/* What the daemon knows; NULL: none answers, or not as it should. */
static json_t *ask_daemon(struct call *c) {
    struct remote remote = {0};
    json_t *answer = NULL;
    if (remote_open(&remote, c->o, c->loop, c->state.config, c->admin, &c->error) == HARDY_OK)
        answer = remote_get(&remote, "/api/v1/checks", LIMIT, &c->error);
    if (answer)
        (void)json_object_set_new(answer, "daemon", json_string(remote.origin));
    remote_close(&remote);
    return answer;
}

/* What the configuration says, in the same form. */
static json_t *read_configuration(const struct call *c) {
    const struct check_settings *checks = c->checks.items;
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_key(&j, "checks");
    json_out_array(&j);
    for (size_t i = 0; i < c->checks.count; i++)
        check_to_json(&j, &checks[i], NULL, 0, 0);
    json_out_array_end(&j);
    json_out_member_string(&j, "daemon", NULL);
    json_out_object_end(&j);
    json_t *all = text.data ? json_loads(text.data, 0, NULL) : NULL;
    buf_free(&text);
    return all;
}

static bool is(const json_t *check, const char *key) {
    return json_is_true(json_object_get(check, key));
}

static const char *level_color(const json_t *check) {
    const char *level = remote_text(check, "level");
    return is(check, "flapping") || is(check, "stale") ? "\033[33m"
           : str_eq(level, "up")                       ? "\033[32m"
           : str_eq(level, "down")                     ? "\033[31m"
                                                       : "\033[33m";
}

static void span_text(const json_t *check, const char *key, char out[48]) {
    const json_t *value = json_object_get(check, key);
    str_copy(out, 48, "-");
    if (value)
        format_duration_short(time_scale(HARDY_SECOND, json_number_value(value)), out);
}

/* "3 in a row, 5 of 15" */
static void down_text(const json_t *check, char out[64]) {
    const json_t *last = json_object_get(check, "failures_in_last");
    int len = snprintf(out, 64, "%.0f in a row", remote_number(check, "failure_threshold"));
    if (!json_is_null(last))
        snprintf(out + len, 64 - (size_t)len, ", %.0f of %.0f", remote_number(last, "count"),
                 remote_number(last, "of"));
}

static void print_table(const json_t *all, bool color) {
    json_t *list = json_object_get(all, "checks"), *check;
    size_t i;
    bool known = json_is_string(json_object_get(all, "daemon"));
    printf("%-16s  %-12s  %-7s  %6s  %-20s  %6s  %s\n", "CHECK", "KIND", "LEVEL", "EVERY",
           "DOWN AFTER", "AGE", known ? "MESSAGE" : "LOOKS AT");
    json_array_foreach(list, i, check) {
        char every[48], age[48], down[64], text[300];
        span_text(check, "interval_s", every);
        span_text(check, "age_s", age);
        down_text(check, down);
        str_copy(text, sizeof text, remote_text(check, known ? "message" : "target"));
        str_make_printable(text);
        printf("%-16s  %-12s  %s%-7s%s  %6s  %-20s  %6s  %s%s%s%s\n", remote_text(check, "name"),
               remote_text(check, "kind"), color && known ? level_color(check) : "",
               known ? remote_text(check, "level") : "-", color && known ? "\033[0m" : "", every,
               down, age, text, is(check, "critical") ? " (critical)" : "",
               is(check, "flapping") ? " (flapping)" : "", is(check, "stale") ? " (stale)" : "");
    }
}

static int run_list(struct call *c) {
    json_t *all = ask_daemon(c);
    if (!all && c->error.status != HARDY_E_CONNECT) {
        say_error(c->o, &c->error);
        return c->error.status == HARDY_E_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    if (!all)
        all = read_configuration(c);
    if (c->o->globals.json)
        remote_print(all);
    else if (json_array_size(json_object_get(all, "checks")) == 0)
        say(c->o, HARDY_LOG_INFO, "there are no checks: in %s",
            c->state.config->path ? c->state.config->path : "the configuration, for there is none");
    else
        print_table(all, options_color(&c->o->globals, STDOUT_FILENO));
    if (json_is_null(json_object_get(all, "daemon")))
        say(c->o, HARDY_LOG_INFO,
            "no daemon answers (%s), so this is what the configuration says; 'hardy serve' runs "
            "them, 'hardy checks run NAME' one",
            c->error.message);
    json_decref(all);
    return EXIT_DONE;
}

/* --- run -------------------------------------------------------------------------------------- */

struct running {
    const struct call *call;
    const struct check_settings *check;
    struct check_probe *probe; /* NULL: it has answered */
    int exit;
};

static void print_result(const struct running *r, enum check_result result, const char *message,
                         int64_t took) {
    char span[48];
    if (!r->call->o->globals.json) {
        format_duration_short(took, span);
        printf("%s: %s, in %s: %s\n", r->check->name, check_result_text(result), span, message);
        return;
    }
    struct buf text, target;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    buf_init(&target, TEXT_MAX);
    check_target(r->check, &target);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_member_string(&j, "name", r->check->name);
    json_out_member_string(&j, "kind", check_kind_text(r->check->kind));
    json_out_member_string(&j, "target", target.data);
    json_out_member_string(&j, "result", check_result_text(result));
    json_out_member_string(&j, "message", message);
    json_out_key(&j, "took_s");
    json_out_double(&j, (double)took / (double)HARDY_SECOND);
    json_out_object_end(&j);
    printf("%s\n", text.data);
    buf_free(&text);
    buf_free(&target);
}

/* Unknown is neither 0 nor 1: the check could not be run, which says nothing about what it looks
 * at. 126 is what it is among commands, and what a check that is a command is unknown by. */
static void on_done(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct running *r = ctx;
    r->probe = NULL;
    r->exit = result == CHECK_PASS   ? EXIT_DONE
              : result == CHECK_FAIL ? EXIT_FAILED
                                     : EXIT_CANNOT_RUN;
    print_result(r, result, message, took);
    loop_stop(r->call->loop);
}

static void on_signal(void *ctx, int signum) {
    struct running *r = ctx;
    (void)signum;
    r->exit = EXIT_INTERRUPTED;
    loop_stop(r->call->loop);
}

static const struct check_settings *find(const struct call *c, const char *name) {
    const struct check_settings *checks = c->checks.items;
    const char **names = calloc(c->checks.count + 1, sizeof *names);
    for (size_t i = 0; i < c->checks.count; i++) {
        if (str_eq(checks[i].name, name)) {
            free(names);
            return &checks[i];
        }
        if (names)
            names[i] = checks[i].name;
    }
    const char *nearest = names ? str_nearest(name, names, c->checks.count) : NULL;
    say(c->o, HARDY_LOG_ERROR, "there is no check `%s` in %s%s%s%s", name,
        c->state.config->path ? c->state.config->path : "the configuration, for there is none",
        nearest ? " (did you mean `" : "", nearest ? nearest : "", nearest ? "`?)" : "");
    free(names);
    return NULL;
}

static int run_one(struct call *c, const char *name) {
    struct http_client_options options;
    struct running r = {.call = c, .check = find(c, name), .exit = EXIT_FAILED};
    if (!r.check)
        return EXIT_USAGE;
    http_client_options_init(&options);
    struct http_client *client = http_client_new(c->loop, &options, &c->error);
    struct loop_signal *signals[] = {loop_signal_start(c->loop, SIGINT, on_signal, &r),
                                     loop_signal_start(c->loop, SIGTERM, on_signal, &r)};
    r.probe = client ? check_probe_start(c->loop, client, r.check, on_done, &r) : NULL;
    if (r.probe)
        loop_run(c->loop);
    else
        say(c->o, HARDY_LOG_ERROR, "no memory to run it");
    if (r.probe)
        check_probe_cancel(r.probe);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (signals[i])
            loop_signal_stop(signals[i]);
    if (client)
        http_client_free(client);
    return r.exit;
}

/* --- the command ------------------------------------------------------------------------------ */

static int with_loop(struct call *c, const char *name) {
    hardy_status status = state_find(c->o, &c->state, &c->error);
    if (status == HARDY_OK)
        status = config_check_top(c->state.config, top_names, &c->error);
    if (status == HARDY_OK)
        status = checks_read(c->state.config, &c->checks, &c->error);
    if (status != HARDY_OK) {
        say_error(c->o, &c->error);
        return EXIT_USAGE;
    }
    checks_use_state(&c->checks, state_is_file(&c->state) ? c->state.path : NULL);
    signal(SIGPIPE, SIG_IGN);
    c->loop = loop_uv_new(&c->error);
    if (!c->loop) {
        say_error(c->o, &c->error);
        return EXIT_FAILED;
    }
    int code = name ? run_one(c, name) : run_list(c);
    loop_run(c->loop); /* what it had open is closed */
    loop_free(c->loop);
    return code;
}

static int dispatch(struct call *c) {
    const struct options *o = c->o;
    const char *form = o->argc > 0 ? o->argv[0] : "list";
    bool lists = str_eq(form, "list");
    if (!lists && !str_eq(form, "run"))
        return options_wrong(o, "\"%s\" is neither list nor run", form);
    if (c->admin && !lists)
        return options_wrong(o, "--admin goes with list, not with run");
    if (o->argc > (lists ? 1 : 2))
        return options_wrong(o, "\"%s\" is too much", o->argv[lists ? 1 : 2]);
    if (!lists && o->argc < 2)
        return options_wrong(o, "run which check? 'hardy checks list' shows them");
    return with_loop(c, lists ? NULL : o->argv[1]);
}

static int run(struct options *o) {
    struct call c = {.o = o};
    int id;
    hardy_error_init(&c.error, sizeof c.error);
    while ((id = options_next(o)) > 0)
        c.admin = o->value;
    if (id < 0)
        return o->exit;
    int code = dispatch(&c);
    checks_free(&c.checks);
    state_close(&c.state);
    return code;
}

const struct command command_checks = {
    .name = "checks",
    .alias = "check",
    .synopsis = "[list]\nrun NAME",
    .summary = "show health checks and what is known of them, and run one now",
    .options = rows,
    .details =
        "'list' asks the daemon that runs them; without one it shows what the configuration says.\n"
        "'run' runs one here and now, whatever the daemon knows. It exits with 0 when the check\n"
        "passes, with 1 when it fails, and with 126 when it could not be run and is unknown.",
    .examples = "hardy checks list\n"
                "hardy checks list --json\n"
                "hardy checks run disk    # needs a configuration with that check",
    .run = run,
};
