/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy serve`: the daemon. */
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/manager.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/variables.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)1 << 20)

enum { OPT_LISTEN = 1, OPT_ADMIN, OPT_WATCH, OPT_LOG_FORMAT };

static const struct option_row rows[] = {
    {OPT_LISTEN, "listen", 0, "HOST:PORT", "where agents connect; port 0 is a free one"},
    {OPT_ADMIN, "admin", 0, "HOST:PORT", "where the API and the metrics are served"},
    {OPT_WATCH, "watch", 0, NULL, "follow the configuration file, as SIGHUP does once"},
    {OPT_LOG_FORMAT, "log-format", 0, "FORMAT", "text or json"},
    {0},
};

struct daemon_run {
    const struct options *o;
    struct loop *loop;
    struct serving serving;
    struct loop_signal *signals[3];
    struct manager manager;
    char status[HTTP_AUTHORITY_SIZE + 32]; /* for the manager */
    bool ending;
};

/* --- what is printed when it is ready --------------------------------------------------------- */

static const char *credential_text(const struct gateway_settings *s,
                                   const struct upstream_settings *u) {
    return u->key_file        ? "with the key of key_file"
           : s->clients.count ? "without a credential: it has no key_file"
                              : "your own credential is passed on";
}

static void print_text(const struct daemon_run *run, const char *listen, const char *admin,
                       const struct variables *variables) {
    const struct gateway_settings *s = gateway_loaded(daemon_gateway(run->serving.daemon));
    printf("listening on http://%s\n", listen);
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        printf("/%s -> %s (%s)\n", u->name, u->url_text, credential_text(s, u));
    }
    printf("admin on %s\n", admin);
    variables_print(variables, false);
    if (s->clients.count > 0) {
        printf("# agents send the token of a client as their API key\n");
    }
}

static void print_json(const struct daemon_run *run, const char *origin, const char *admin,
                       const struct variables *variables) {
    const struct gateway_settings *s = gateway_loaded(daemon_gateway(run->serving.daemon));
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    json_out_key(&j, "listen");
    json_out_string(&j, origin);
    json_out_key(&j, "admin");
    json_out_string(&j, admin);
    json_out_key(&j, "upstreams");
    json_out_object(&j);
    for (size_t i = 0; i < s->upstream_count; i++) {
        json_out_key(&j, s->upstreams[i].name);
        json_out_string(&j, s->upstreams[i].url_text);
    }
    json_out_object_end(&j);
    json_out_key(&j, "variables");
    variables_to_json(variables, &j);
    json_out_object_end(&j);
    puts(text.data ? text.data : "{}");
    buf_free(&text);
}

static void tell_ready(struct daemon_run *run) {
    const struct gateway *gateway = daemon_gateway(run->serving.daemon);
    struct http_authority address;
    struct variables variables;
    char origin[ORIGIN_SIZE], admin[ORIGIN_SIZE], listen[HTTP_AUTHORITY_SIZE];
    daemon_admin_address(run->serving.daemon, &address);
    origin_text(&address, admin);
    gateway_address(gateway, &address);
    origin_text(&address, origin);
    http_authority_format(&address, 0, listen);
    variables_of(&variables, origin, gateway_loaded(gateway));
    if (run->o->globals.json) {
        print_json(run, origin, admin, &variables);
    } else {
        print_text(run, listen, admin, &variables);
    }
    fflush(stdout);
    snprintf(run->status, sizeof run->status, "serving on %s", listen);
    manager_ready(&run->manager, run->status);
    log_event(HARDY_LOG_INFO, "serving", "version", HARDY_VERSION, "listen", listen, "config",
              run->serving.config_path ? run->serving.config_path : "-", "state",
              run->serving.state ? run->serving.state : "-", NULL);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_ended(void *ctx) {
    const struct daemon_run *run = ctx;
    log_event(HARDY_LOG_INFO, "ended", NULL);
    loop_stop(run->loop);
}

static void on_signal(void *ctx, int signum) {
    struct daemon_run *run = ctx;
    if (signum == SIGHUP) {
        if (run->serving.daemon) {
            manager_reloading(&run->manager);
            daemon_reload(run->serving.daemon);
            manager_ready(&run->manager, run->status);
        }
        return;
    }
    if (run->ending || !run->serving.daemon) {
        _exit(128 + signum);
    }
    run->ending = true;
    char active[32];
    snprintf(active, sizeof active, "%zu", gateway_active(daemon_gateway(run->serving.daemon)));
    manager_stopping(&run->manager, "waiting for requests to end");
    log_event(HARDY_LOG_INFO, "shutting down", "requests", active, NULL);
    daemon_drain(run->serving.daemon, on_ended, run);
}

/* Each agent needs two descriptors; the soft limit is for programs that use select(). */
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(struct daemon_run *run, const struct serving_options *how) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    hardy_error error;
    int code = EXIT_DONE;
    hardy_error_init(&error, sizeof error);
    struct config *config = serving_config(run->o, &code);
    if (!config) {
        return code;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    run->loop = loop_uv_new(&error);
    if (!run->loop) {
        config_free(config);
        say_error(run->o, &error);
        return EXIT_FAILED;
    }
    manager_begin(&run->manager, run->o, run->loop);
    /* Before anything is open: one that comes early is answered when the loop runs. */
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        run->signals[i] = loop_signal_start(run->loop, signals[i], on_signal, run);
    }
    code = serving_open(&run->serving, run->o, run->loop, config, how);
    if (code == EXIT_DONE) {
        tell_ready(run);
        loop_run(run->loop);
    }
    serving_close(&run->serving);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (run->signals[i]) {
            loop_signal_stop(run->signals[i]);
        }
    }
    manager_end(&run->manager);
    loop_free(run->loop);
    return code;
}

static int run_serve(struct options *o) {
    struct daemon_run run = {.o = o};
    struct serving_options how = {0};
    bool json = false;
    int id;
    while ((id = options_next(o)) > 0) {
        switch (id) {
        case OPT_LISTEN:
            how.listen = o->value;
            break;
        case OPT_ADMIN:
            how.admin = o->value;
            break;
        case OPT_WATCH:
            how.watch = true;
            break;
        default:
            json = str_eq(o->value, "json");
            if (!json && !str_eq(o->value, "text")) {
                return options_wrong(o, "--log-format: \"%s\" is none of text, json", o->value);
            }
            break;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "unexpected \"%s\"", o->argv[0]);
    }
    log_configure(o->globals.level, json, STDERR_FILENO);
    return serve(&run, &how);
}

const struct command command_serve = {
    .name = "serve",
    .synopsis = "[-c FILE] [--listen HOST:PORT] [--admin HOST:PORT] [--watch]",
    .summary = "run the gateway that agents talk to in place of a model's provider",
    .options = rows,
    .details =
        "Agents that are pointed at it (hardy env, hardy wrap) do not see what passes: overload, "
        "resets, rate limits and streams that are cut before their first content are waited for "
        "and tried again here. Without a file it serves /anthropic and /openai and passes on the "
        "credential that the agent sends.\n\n"
        "SIGHUP loads the configuration again: running requests go on, breakers and limits stay, a "
        "file with a mistake is refused and the old one goes on. SIGTERM and SIGINT end it: what "
        "is being answered may go on for gateway.drain, everybody else is told to come again. A "
        "second one ends it at once.\n\n"
        "The admin address has /health/live, /health/ready, /metrics and the API of hardy status "
        "and hardy requests. There programs in any language have actions that are done once and "
        "checkpoints, too; they are kept in the state. Each request is a line in the log.",
    .examples = "hardy serve    # needs its two ports, and to be ended\n"
                "hardy serve -c hardy.yaml --watch --log-format json    # needs hardy.yaml\n"
                "hardy serve --listen 127.0.0.1:0 --admin 127.0.0.1:0    # needs to be ended",
    .run = run_serve,
};
