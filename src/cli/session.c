/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "durable/folder.h"
#include "io/file.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* On a full disk, what serves waits for room; what a person typed says so at once. */
static const int64_t full_pause = 10 * HARDY_MINUTE;

static bool lives_long(const char *purpose) {
    return str_eq(purpose, "supervise");
}

/* The folder is made with the state, at its first use. Without a state there is nothing to read:
 * that is an empty one, and said so. */
static hardy_status open_store(struct session *s, enum session_access access, const char *purpose,
                               hardy_error *error) {
    struct store_options options = {.path = s->state.path,
                                    .create = access == SESSION_WRITE,
                                    .read_only = access == SESSION_READ,
                                    .pause_on_full = lives_long(purpose) ? full_pause : 0,
                                    .purpose = purpose};
    if (access == SESSION_READ && !file_exists(s->state.path)) {
        s->missing = true;
        options = (struct store_options){.path = NULL};
    }
    return store_open(&options, &s->store, error);
}

static hardy_status open_all(const struct options *o, enum session_access access,
                             const char *purpose, struct session *s, hardy_error *error) {
    hardy_status status = state_find(o, &s->state, error);
    if (status != HARDY_OK) {
        s->misconfigured = true;
        return status;
    }
    if (!state_is_file(&s->state)) {
        return fail(error, HARDY_E_UNSUPPORTED, "state",
                    str_eq(s->state.path, "memory")
                        ? "memory does not outlive this command; a file is needed"
                        : "only a file is understood, such as hardy.db; not a server's address");
    }
    s->folder = file_folder(s->state.config->path ? s->state.config->path : "");
    if (!s->folder) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    }
    if (access == SESSION_WRITE) {
        status = file_make_parent(s->state.path, error);
    }
    status = status == HARDY_OK ? steps_check(s->state.path, error) : status;
    if (status == HARDY_OK) {
        status = open_store(s, access, purpose, error);
    }
    if (status != HARDY_OK || access == SESSION_READ) {
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    struct http_client_options client;
    http_client_options_init(&client);
    s->loop = loop_uv_new(error);
    if (s->loop) {
        s->client = http_client_new(s->loop, &client, error);
    }
    return s->client ? HARDY_OK : HARDY_E_NOMEM;
}

int session_open(const struct options *o, enum session_access access, const char *purpose,
                 struct session *out) {
    hardy_error error;
    *out = (struct session){0};
    hardy_error_init(&error, sizeof error);
    hardy_status status = open_all(o, access, purpose, out, &error);
    if (status == HARDY_OK) {
        return EXIT_DONE;
    }
    say_error(o, &error);
    return out->misconfigured ? EXIT_USAGE : session_exit(status);
}

void session_close(struct session *s) {
    for (size_t i = 0; i < sizeof s->signals / sizeof *s->signals; i++) {
        if (s->signals[i]) {
            loop_signal_stop(s->signals[i]);
        }
    }
    if (s->client) {
        http_client_free(s->client);
    }
    if (s->store) {
        store_close(s->store);
    }
    if (s->loop) {
        loop_free(s->loop);
    }
    free(s->folder);
    state_close(&s->state);
    *s = (struct session){0};
}

static void on_signal(void *ctx, int signum) {
    struct session *s = ctx;
    if (signum == SIGHUP && s->on_reload) {
        s->on_reload(s->ctx);
        return;
    }
    if (s->interrupted) {
        _exit(128 + signum);
    }
    s->interrupted = signum;
    s->on_interrupt(s->ctx);
}

void session_on_interrupt(struct session *s, void (*fn)(void *ctx), void *ctx) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    s->on_interrupt = fn;
    s->ctx = ctx;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        /* Ignored by whoever started us (nohup, a shell's background job): it stays so. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) {
            continue;
        }
        s->signals[i] = loop_signal_start(s->loop, signals[i], on_signal, s);
    }
}

const char *session_missing(const struct session *s) {
    return s->missing ? ", which does not exist yet" : "";
}

int session_exit(hardy_status status) {
    switch (status) {
    case HARDY_OK:
        return EXIT_DONE;
    case HARDY_E_SYNTAX:
    case HARDY_E_INVALID:
    case HARDY_E_UNSUPPORTED:
        return EXIT_USAGE;
    case HARDY_E_IN_DOUBT:
        return EXIT_IN_DOUBT;
    case HARDY_E_REFUSED:
        return EXIT_LIMIT;
    case HARDY_E_OPEN:
        return EXIT_OPEN;
    case HARDY_E_EXHAUSTED:
    case HARDY_E_BUDGET:
    case HARDY_E_LIMITED:
    case HARDY_E_FULL:
        return EXIT_PASSING;
    case HARDY_E_DEADLINE:
    case HARDY_E_TIMEOUT:
        return EXIT_DEADLINE;
    default:
        return EXIT_FAILED;
    }
}

const char *const *session_environment(void) {
    return (const char *const *)environ;
}
