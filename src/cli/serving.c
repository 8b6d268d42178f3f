/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serving.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/top.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *token_path(const char *state) {
    const char *session = getenv("XDG_RUNTIME_DIR"), *service = getenv("RUNTIME_DIRECTORY");
    if (session && session[0] == '/') {
        return str_format("%s/hardy/token", session);
    }
    if (service && service[0] == '/') { /* systemd's has colons between several */
        return str_format("%.*s/token", (int)strcspn(service, ":"), service);
    }
    const char *slash = state ? strrchr(state, '/') : NULL;
    if (!state || str_eq(state, "memory") || strstr(state, "://")) {
        return NULL;
    }
    return slash ? str_format("%.*s/token", (int)(slash - state), state) : str_dup("token");
}

/* --- configuration and state ------------------------------------------------------------------ */

struct config *serving_config(const struct options *o, int *code) {
    struct config *config = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = config_load(o->globals.config, &config, &error);
    if (status == HARDY_OK) {
        status = top_check(config, &error);
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
        config_free(config);
        *code = o->self->usage_exit ? o->self->usage_exit : EXIT_USAGE;
        return NULL;
    }
    return config;
}

static hardy_status load_again(void *ctx, struct config **out, hardy_error *error) {
    const struct serving *s = ctx;
    const char *path = s->config_path ? s->config_path : s->o->globals.config;
    if (path && str_eq(path, "-")) {
        return fail(error, HARDY_E_UNSUPPORTED, "-",
                    "the configuration came from standard input, which can be read only once");
    }
    struct config *config;
    hardy_status status = config_load(path, &config, error);
    if (status == HARDY_OK) {
        status = top_check(config, error);
        if (status != HARDY_OK) {
            config_free(config);
        }
    }
    *out = status == HARDY_OK ? config : NULL;
    return status;
}

/* A state that is no file leaves s->state NULL. Errors are those of the configuration. */
static hardy_status find_state(struct serving *s, const struct config *config, hardy_error *error) {
    char *path = NULL;
    hardy_status status = config_state_path(config, s->o->globals.state, &path, error);
    if (status == HARDY_E_NOT_FOUND) {
        str_copy(s->state_problem, sizeof s->state_problem, error->message);
        return HARDY_OK;
    }
    if (status != HARDY_OK) {
        return status;
    }
    if (strstr(path, "://")) {
        str_copy(s->state_problem, sizeof s->state_problem,
                 "processes of this host share guards only under a file, not under a server's "
                 "address");
    } else if (!str_eq(path, "memory")) {
        s->state = path;
        path = NULL;
    }
    free(path);
    return HARDY_OK;
}

/* --- the daemon ------------------------------------------------------------------------------- */

static int failed(const struct serving *s, hardy_status status, const hardy_error *error) {
    int usage = s->o->self->usage_exit;
    say_error(s->o, error);
    if (usage) {
        return usage;
    }
    return session_exit(status) == EXIT_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

int serving_open(struct serving *s, const struct options *o, struct loop *loop,
                 struct config *config, const struct serving_options *how) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    *s = (struct serving){.o = o, .loop = loop};
    hardy_status status = find_state(s, config, &error);
    if (status != HARDY_OK) {
        config_free(config);
        return failed(s, status, &error);
    }
    s->config_path = str_dup(config->path);
    s->token = token_path(s->state);
    struct daemon_options options = {.loop = loop,
                                     .load = load_again,
                                     .ctx = s,
                                     .listen = how->listen,
                                     .admin = how->admin,
                                     .state = s->state,
                                     .state_problem = s->state_problem[0] ? s->state_problem : NULL,
                                     .token = s->token,
                                     .env = session_environment(),
                                     .watch = how->watch,
                                     .companion = how->companion};
    status = daemon_open(&options, config, &s->daemon, &error);
    return status == HARDY_OK ? EXIT_DONE : failed(s, status, &error);
}

static void on_ended(void *ctx) {
    struct serving *s = ctx;
    loop_stop(s->loop);
}

void serving_close(struct serving *s) {
    if (s->daemon && daemon_gateway(s->daemon)) {
        daemon_drain(s->daemon, on_ended, s);
        daemon_drain(s->daemon, on_ended, s);
        loop_run(s->loop);
    }
    daemon_free(s->daemon);
    free(s->config_path);
    free(s->state);
    free(s->token);
    *s = (struct serving){0};
}
