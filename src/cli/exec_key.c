/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exec_key.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "guard/guard.h"
#include "io/file.h"
#include "work/command.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_RUNNING = 73, EXIT_KEY_IN_DOUBT = 79 };
enum { MAX_OUTPUT = 4 << 20, MAX_REPORT = 16 << 20 };

struct keyed {
    const struct exec_plan *plan;
    const struct exec_key *key;
    struct session session;
    struct command *command;
    bool passed; /* the output went to ours while it ran */
    int exit;
};

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    struct keyed *k = ctx;
    const struct options *o = k->plan->o;
    (void)record;
    switch (what) {
    case COMMAND_ATTACHED:
        say(o, HARDY_LOG_INFO, "the key %s is running already: waiting for its result",
            k->key->key);
        break;
    case COMMAND_COLLECTED:
        say(o, HARDY_LOG_INFO, "the key %s ended while nobody watched", k->key->key);
        break;
    case COMMAND_PROBED:
    case COMMAND_RETRY:
        say(o, HARDY_LOG_INFO, "%s", detail);
        break;
    case COMMAND_REPLAYED:
        say(o, HARDY_LOG_INFO, "the key %s was done before: its result again", k->key->key);
        break;
    case COMMAND_STARTED:
        k->passed = k->plan->settings.config.retry == NULL;
        break;
    }
}

static void write_output(struct keyed *k, const struct record *r) {
    const char *at = r->output ? r->output : "";
    size_t left = r->output_len;
    while (left > 0) {
        ssize_t wrote = write(STDOUT_FILENO, at, left);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0) {
            say(k->plan->o, HARDY_LOG_ERROR, "cannot write to standard output: %s",
                strerror(errno));
            k->exit = EXIT_REFUSED;
            return;
        }
        at += wrote;
        left -= (size_t)wrote;
    }
    if (r->truncated) {
        say(k->plan->o, HARDY_LOG_WARNING,
            "the output was longer than 4MiB; its beginning was kept");
    }
}

static void say_refused(const struct keyed *k, const struct command_result *result) {
    char span[48], again[80] = "";
    if (result->retry_after >= 0 && result->retry_after != HARDY_NEVER) {
        format_duration_short(result->retry_after, span);
        snprintf(again, sizeof again, "; may try again in %s", span);
    }
    say(k->plan->o, HARDY_LOG_ERROR, "%s%s%s%s", k->plan->name ? k->plan->name : "",
        k->plan->name ? ": " : "", result->error->message, again);
}

static void say_in_doubt(const struct keyed *k, const struct command_result *result) {
    const char *key = k->key->key;
    say(k->plan->o, HARDY_LOG_ERROR, "%s", result->error->message);
    say(k->plan->o, HARDY_LOG_ERROR,
        "find out whether it took effect, then type: hardy actions resolve %s --done (or --retry, "
        "--fail)",
        key);
}

/* The code of the last attempt, as a shell gives it. */
static int code_of(const struct record *r) {
    return r->signal ? 128 + r->signal : r->code;
}

static int verdict(const struct keyed *k, const struct command_result *result) {
    const struct record *r = result->record;
    bool preserve = k->plan->preserve_status && r && r->ended;
    bool retries =
        k->plan->settings.config.retry && k->plan->settings.config.retry->max_retries > 0;
    switch (result->status) {
    case HARDY_OK:
        return EXIT_DONE;
    case HARDY_E_IN_DOUBT:
        say_in_doubt(k, result);
        return EXIT_KEY_IN_DOUBT;
    case HARDY_E_RUNNING:
        say(k->plan->o, HARDY_LOG_ERROR,
            "the key %s is running elsewhere; --attach waits for it and takes its result",
            k->key->key);
        return EXIT_RUNNING;
    case HARDY_E_OPEN:
        say_refused(k, result);
        return EXIT_OPEN;
    case HARDY_E_FAILED:
    case HARDY_E_EXHAUSTED:
        if (r && r->ended && (result->status == HARDY_E_FAILED || !retries)) {
            if (code_of(r) == EXIT_NO_COMMAND || code_of(r) == EXIT_CANNOT_RUN) {
                say_error(k->plan->o, result->error);
            }
            return code_of(r);
        }
        say_refused(k, result);
        return preserve ? code_of(r) : EXIT_PASSING;
    case HARDY_E_BUDGET:
    case HARDY_E_LIMITED:
    case HARDY_E_FULL:
        say_refused(k, result);
        return preserve ? code_of(r) : EXIT_PASSING;
    case HARDY_E_DEADLINE:
    case HARDY_E_TIMEOUT:
        say_refused(k, result);
        return preserve ? code_of(r) : EXIT_DEADLINE;
    case HARDY_E_CANCELLED:
        return k->session.interrupted ? 128 + k->session.interrupted : EXIT_INTERRUPTED;
    default:
        say_error(k->plan->o, result->error);
        return EXIT_REFUSED;
    }
}

static void report(struct keyed *k, const struct command_result *result) {
    struct buf text;
    struct json_out j;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, MAX_REPORT);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_key(&j, "exit");
    json_out_int(&j, k->exit);
    json_out_key(&j, "status");
    json_out_string(&j, hardy_status_name(result->status));
    json_out_key(&j, "replayed");
    json_out_bool(&j, result->replayed);
    json_out_key(&j, "action");
    if (result->record) {
        record_to_json(result->record, &j);
    } else {
        json_out_null(&j);
    }
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    if (file_write(k->plan->json, text.data, text.len, false, &error) != HARDY_OK) {
        say_error(k->plan->o, &error);
        k->exit = EXIT_REFUSED;
    }
    buf_free(&text);
}

static void on_ended(void *ctx, const struct command_result *result) {
    struct keyed *k = ctx;
    k->command = NULL;
    k->exit = verdict(k, result);
    if (result->status == HARDY_OK && !(k->passed && !result->replayed)) {
        write_output(k, result->record);
    }
    if (k->plan->json) {
        report(k, result);
    }
    loop_stop(k->session.loop);
}

static void on_interrupt(void *ctx) {
    struct keyed *k = ctx;
    if (k->command) {
        command_cancel(k->command);
    }
}

static bool is_retryable(void *ctx, int code) {
    const struct keyed *k = ctx;
    return guard_retries_code(&k->plan->settings, code);
}

static hardy_status start(struct keyed *k, const hardy_guard_config *config, hardy_guard **guard,
                          struct command_spec *spec, hardy_error *error) {
    static const struct command_events events = {on_event, on_ended};
    const struct exec_plan *plan = k->plan;
    hardy_env env = loop_env(k->session.loop);
    const struct guard_words words = {plan->slot.breaker, plan->slot.rate, plan->slot.budget};
    hardy_guard_config own = *config;
    if (!own.name) {
        own.name = "exec";
    }
    hardy_status status = guard_new_over(&own, &env, &words, guard, error);
    if (status != HARDY_OK) {
        return status;
    }
    spec->guard = *guard;
    session_on_interrupt(&k->session, on_interrupt, k);
    return command_start(k->session.loop, k->session.store, k->session.state.path, spec, &events, k,
                         &k->command, error);
}

int exec_key_run(const struct exec_plan *plan, const hardy_guard_config *config,
                 const struct exec_key *key) {
    struct keyed k = {.plan = plan, .key = key, .exit = EXIT_REFUSED};
    const char *probe[] = {"/bin/sh", "-eu", "-c", key->probe, NULL};
    hardy_guard *guard = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct command_spec spec = {
        .row_kind = "action",
        .key = key->key,
        .name = plan->argv[0],
        .scope = "exec",
        .argv = (const char *const *)plan->argv,
        .env = session_environment(),
        .idempotency_key = key->key,
        .timeout = HARDY_NEVER,
        .deadline = HARDY_NEVER, /* the guard's own */
        .ttl = key->ttl,
        .max_output = MAX_OUTPUT,
        .in_doubt = key->in_doubt >= 0 ? (enum in_doubt_policy)key->in_doubt
                    : key->probe       ? IN_DOUBT_PROBE
                                       : IN_DOUBT_ASK,
        .probe = key->probe ? probe : NULL,
        .attach = key->attach,
        .rerun_failed = true,
        .pass_output = config->retry == NULL,
        .inherit_stdin = true,
        .retryable = config->retry ? is_retryable : NULL,
        .retryable_ctx = &k,
    };
    if (session_open(plan->o, SESSION_WRITE, "exec", &k.session) == EXIT_DONE) {
        if (config->deadline != HARDY_NEVER) {
            spec.deadline = hardy_time_add(loop_now(k.session.loop), config->deadline);
        }
        if (start(&k, config, &guard, &spec, &error) == HARDY_OK) {
            loop_run(k.session.loop);
        } else {
            say_error(plan->o, &error);
        }
    }
    hardy_guard_free(guard);
    session_close(&k.session);
    return k.exit;
}
