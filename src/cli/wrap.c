/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy wrap`: runs an agent behind a gateway, that of a daemon or one in this process. */
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/terminal.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROBE_LIMIT (2 * HARDY_SECOND)
#define SIGNALS 4

enum { OPT_LISTEN = 1, OPT_ADMIN };

static const struct option_row rows[] = {
    {OPT_LISTEN, "listen", 0, "HOST:PORT", "where the gateway listens, if it is started here"},
    {OPT_ADMIN, "admin", 0, "HOST:PORT", "the admin address of the gateway that is looked for"},
    {0},
};

struct wrap {
    struct options *o;
    struct loop *loop;
    struct serving_options how;
    struct serving serving; /* when it is in this process */
    struct variables variables;
    char **env;
    char texts[VARIABLE_COUNT][sizeof((struct variables *)0)->values[0] + 32];
    struct process *process;
    struct loop_signal *signals[SIGNALS];
    bool interactive;
    int exit;
};

/* --- the gateway ------------------------------------------------------------------------------ */

/* What a daemon tells that others may rely on; one that wraps a command goes with it. */
static bool is_for_others(const json_t *status) {
    const json_t *gateway = json_object_get(status, "gateway");
    return str_eq(remote_text(status, "mode"), "serve") &&
           str_eq(remote_text(gateway, "state"), "serving");
}

static bool take_variables(struct wrap *w, const json_t *status, const json_t *upstreams) {
    struct http_authority address;
    char origin[ORIGIN_SIZE];
    size_t i;
    json_t *u;
    if (!listen_parse(remote_text(json_object_get(status, "gateway"), "listen"), &address)) {
        return false;
    }
    origin_text(&address, origin);
    json_array_foreach(json_object_get(upstreams, "upstreams"), i, u) {
        if (str_valid_name(remote_text(u, "name"))) {
            (void)variables_add(&w->variables, origin, remote_text(u, "name"),
                                remote_text(u, "protocol"));
        }
    }
    return true;
}

/* Whether a gateway runs at the admin address. */
static bool find_running(struct wrap *w, const struct config *config) {
    struct remote remote;
    bool found = false;
    json_t *live = NULL, *status = NULL, *upstreams = NULL;
    if (remote_open(&remote, w->o, w->loop, config, w->how.admin, NULL) == HARDY_OK) {
        live = remote_get(&remote, "/health/live", PROBE_LIMIT, NULL);
        status = live ? remote_get(&remote, "/api/v1/status", PROBE_LIMIT, NULL) : NULL;
        upstreams = status && is_for_others(status)
                        ? remote_get(&remote, "/api/v1/upstreams", PROBE_LIMIT, NULL)
                        : NULL;
        found = upstreams && take_variables(w, status, upstreams);
    }
    if (found) {
        say(w->o, HARDY_LOG_DEBUG, "the gateway of process %.0f is used",
            remote_number(status, "pid"));
    }
    json_decref(live);
    json_decref(status);
    json_decref(upstreams);
    remote_close(&remote);
    return found;
}

static int start_here(struct wrap *w, struct config *config) {
    struct http_authority address;
    char origin[ORIGIN_SIZE];
    int code = serving_open(&w->serving, w->o, w->loop, config, &w->how);
    if (code == EXIT_DONE) {
        const struct gateway *gateway = daemon_gateway(w->serving.daemon);
        gateway_address(gateway, &address);
        origin_text(&address, origin);
        variables_of(&w->variables, origin, gateway_loaded(gateway));
        say(w->o, HARDY_LOG_DEBUG, "a gateway runs in this process, at %s", origin);
    }
    return code;
}

/* --- the command ------------------------------------------------------------------------------ */

/* Ours, with the variables; what they were before is no use behind a gateway. */
static bool make_environment(struct wrap *w) {
    size_t count = 0, n = 0;
    while (environ[count]) {
        count++;
    }
    w->env = calloc(count + VARIABLE_COUNT + 1, sizeof *w->env);
    for (size_t e = 0; w->env && e < count; e++) {
        bool replaced = false;
        for (size_t i = 0; i < VARIABLE_COUNT; i++) {
            size_t len = strlen(variable_name(i));
            bool same = strncmp(environ[e], variable_name(i), len) == 0 && environ[e][len] == '=';
            replaced = replaced || (same && w->variables.values[i][0]);
            if (same && w->variables.values[i][0] &&
                !str_eq(environ[e] + len + 1, w->variables.values[i])) {
                say(w->o, HARDY_LOG_WARNING,
                    "%s was set already; for the command it is the gateway now, which asks what "
                    "upstreams: says",
                    variable_name(i));
            }
        }
        if (!replaced) {
            w->env[n++] = environ[e];
        }
    }
    for (size_t i = 0; w->env && i < VARIABLE_COUNT; i++) {
        if (w->variables.values[i][0]) {
            snprintf(w->texts[i], sizeof w->texts[i], "%s=%s", variable_name(i),
                     w->variables.values[i]);
            w->env[n++] = w->texts[i];
        }
    }
    return w->env != NULL;
}

static void on_exited(void *ctx, struct process *p, int code, int signum) {
    struct wrap *w = ctx;
    (void)p;
    w->exit = signum ? 128 + signum : code;
    loop_stop(w->loop);
}

/* The terminal sends INT and QUIT to the command too, and what they mean is its business: hardy
 * only goes when the command has. */
static void on_signal(void *ctx, int signum) {
    struct wrap *w = ctx;
    if (w->process && (!w->interactive || (signum != SIGINT && signum != SIGQUIT))) {
        process_signal(w->process, signum);
    }
}

static int run_command(struct wrap *w) {
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    static const struct process_events events = {.exited = on_exited};
    struct process_options options;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    process_options_init(&options);
    options.argv = (const char *const *)w->o->argv;
    options.env = (const char *const *)w->env;
    options.group = PROCESS_GROUP_SAME;
    options.stdin_mode = PROCESS_STDIN_INHERIT;
    w->interactive = terminal_in_foreground();
    for (int i = 0; i < SIGNALS; i++) {
        struct sigaction old;
        /* Ignored by whoever started us (nohup, a shell's background job): it stays so. */
        if (sigaction(numbers[i], NULL, &old) != 0 || old.sa_handler != SIG_IGN) {
            w->signals[i] = loop_signal_start(w->loop, numbers[i], on_signal, w);
        }
    }
    hardy_status status = process_start(w->loop, &options, &events, w, &w->process, &error);
    if (status != HARDY_OK) {
        say_error(w->o, &error);
        return status == HARDY_E_NOT_FOUND  ? EXIT_NO_COMMAND
               : status == HARDY_E_READONLY ? EXIT_CANNOT_RUN
                                            : EXIT_REFUSED;
    }
    loop_run(w->loop);
    process_free(w->process);
    return w->exit;
}

static int wrap(struct wrap *w) {
    hardy_error error;
    int code = EXIT_REFUSED;
    hardy_error_init(&error, sizeof error);
    struct config *config = serving_config(w->o, &code);
    if (!config) {
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    w->loop = loop_uv_new(&error);
    if (!w->loop) {
        config_free(config);
        say_error(w->o, &error);
        return EXIT_REFUSED;
    }
    code = EXIT_DONE;
    if (find_running(w, config)) {
        config_free(config);
    } else {
        code = start_here(w, config);
    }
    if (code == EXIT_DONE) {
        code = make_environment(w) ? run_command(w) : EXIT_REFUSED;
    }
    for (int i = 0; i < SIGNALS; i++) {
        if (w->signals[i]) {
            loop_signal_stop(w->signals[i]);
        }
    }
    serving_close(&w->serving);
    free(w->env);
    loop_free(w->loop);
    return code;
}

static int run_wrap(struct options *o) {
    struct wrap w = {.o = o, .how = {.companion = true}};
    int id;
    while ((id = options_next(o)) > 0) {
        *(id == OPT_LISTEN ? &w.how.listen : &w.how.admin) = o->value;
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc == 0) {
        return options_wrong(o, "which command?");
    }
    /* A line between those of a program that draws the whole terminal would disturb it. */
    if (!o->globals.level_given) {
        o->globals.level = HARDY_LOG_WARNING;
        log_configure(HARDY_LOG_WARNING, false, STDERR_FILENO);
    }
    return wrap(&w);
}

const struct command command_wrap = {
    .name = "wrap",
    .synopsis = "[-c FILE] -- COMMAND [ARGUMENT]...",
    .summary = "run an agent behind the gateway",
    .options = rows,
    .details =
        "Finds the gateway that runs on this machine (hardy serve), or runs one in this process "
        "for as long as the command runs: at the configured addresses, at free ones where those "
        "are taken. Sets ANTHROPIC_BASE_URL and OPENAI_BASE_URL for the command, which has the "
        "terminal to itself.\n\n"
        "Nothing but warnings is told on standard error; -v tells each request.\n\n"
        "Exit code: the command's, 128 + N when signal N ended it; 125 hardy itself is in trouble, "
        "126 the command cannot be run, 127 there is no such command.",
    .examples = "hardy wrap -- claude    # needs that agent\n"
                "hardy wrap -- sh -c 'echo $ANTHROPIC_BASE_URL'",
    .run = run_wrap,
    .usage_exit = EXIT_REFUSED,
    .runs_command = true,
};
