/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exec_key.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/resolving.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/slot.h"
#include "guard/guard.h"
#include "work/command.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_RUNNING = 73, EXIT_KEY_IN_DOUBT = 79 };
enum { MAX_REPORT = 16 << 20, MAX_HELD = 64 << 20 };

struct keyed {
    const struct exec_plan *plan;
    const struct exec_key *key;
    struct session session;
    struct slot_wait slot;
    struct command_spec spec;
    hardy_retry_config retry;
    hardy_guard *guard;
    struct command *command;
    bool retries;
    bool passed;       /* the output that counts went to ours while the command ran */
    off_t stdin_start; /* where each attempt begins to read; -1 = not a file */
    int exit;
};

/* --- as it happens -------------------------------------------------------------------------------
 */

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
        say(o, HARDY_LOG_INFO, "the key %s ended while nobody watched%s%s", k->key->key,
            detail[0] ? ": " : "", detail);
        break;
    case COMMAND_PROBED:
        k->passed = false; /* what counts is what the probe says */
        say(o, HARDY_LOG_INFO, "%s", detail);
        break;
    case COMMAND_RETRY:
        say(o, HARDY_LOG_INFO, "%s", detail);
        break;
    case COMMAND_REPLAYED:
        say(o, HARDY_LOG_INFO, "the key %s was done before: its result again", k->key->key);
        break;
    case COMMAND_STARTED:
        k->passed = k->spec.pass_output;
        break;
    }
}

/* Each attempt reads the input from its beginning. */
static void on_recorded(void *ctx) {
    struct keyed *k = ctx;
    if (k->stdin_start >= 0) {
        (void)lseek(STDIN_FILENO, k->stdin_start, SEEK_SET);
    }
}

/* What this operation did to the breaker that all of the name share. */
static void say_changes(const struct keyed *k) {
    hardy_event events[16];
    size_t count =
        k->guard ? hardy_guard_take_events(k->guard, events, sizeof events / sizeof *events) : 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].kind == HARDY_EVENT_STATE) {
            say(k->plan->o, HARDY_LOG_INFO, "breaker %s was %s and is now %s", k->plan->name,
                hardy_breaker_state_name(events[i].from), hardy_breaker_state_name(events[i].to));
        }
    }
}

/* --- the end -------------------------------------------------------------------------------------
 */

static void write_output(struct keyed *k, const struct record *r) {
    const char *at = r->output ? r->output : "";
    size_t left = r->output_len;
    if (r->truncated) { /* half an answer must not look like one */
        say(k->plan->o, HARDY_LOG_ERROR,
            "the key %s is done, but its output was longer than what is kept of one and cannot be "
            "given again; hardy actions show %s shows its beginning",
            k->key->key, k->key->key);
        k->exit = EXIT_REFUSED;
        return;
    }
    while (left > 0) {
        ssize_t wrote = write(STDOUT_FILENO, at, left);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote < 0 && errno == EPIPE) { /* nobody reads it, as for any program in a pipe */
            k->exit = 128 + SIGPIPE;
            return;
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

/* The code of the last attempt, as a shell gives it. */
static int code_of(const struct record *r) {
    return r->signal ? 128 + r->signal : r->code;
}

static int failed(const struct keyed *k, const struct command_result *result) {
    const struct record *r = result->record;
    if (!r || r->ended == 0) {
        say_error(k->plan->o, result->error);
        return EXIT_REFUSED;
    }
    int code = code_of(r);
    if (code == EXIT_NO_COMMAND || code == EXIT_CANNOT_RUN || code == 0) {
        say_error(k->plan->o, result->error);
    }
    return code ? code : EXIT_REFUSED; /* it could not even be tried */
}

static int verdict(const struct keyed *k, const struct command_result *result) {
    const struct record *r = result->record;
    bool preserve = k->plan->preserve_status && r && r->ended;
    switch (result->status) {
    case HARDY_OK:
        return EXIT_DONE;
    case HARDY_E_IN_DOUBT:
        say(k->plan->o, HARDY_LOG_ERROR, "%s", result->error->message);
        say(k->plan->o, HARDY_LOG_ERROR,
            "find out whether it took effect, then type one of these:");
        resolving_lines(stderr, k->session.state.path, "  ", "actions", k->key->key, NULL);
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
        return failed(k, result);
    case HARDY_E_EXHAUSTED:
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
    buf_init(&text, MAX_REPORT);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_key(&j, "name");
    json_out_string(&j, k->plan->name);
    json_out_key(&j, "key");
    json_out_string(&j, k->key->key);
    json_out_key(&j, "exit_code");
    json_out_int(&j, k->exit);
    json_out_key(&j, "status");
    json_out_string(&j, hardy_status_name(result->status));
    json_out_key(&j, "reason");
    json_out_string(&j, result->status == HARDY_OK ? hardy_status_text(HARDY_OK)
                                                   : result->error->message);
    json_out_key(&j, "replayed");
    json_out_bool(&j, result->replayed);
    json_out_key(&j, "action");
    if (result->record) {
        record_to_json(result->record, &j);
    } else {
        json_out_null(&j);
    }
    json_out_object_end(&j);
    if (!exec_write_report(k->plan, &text)) {
        k->exit = EXIT_REFUSED;
    }
    buf_free(&text);
}

static void on_ended(void *ctx, const struct command_result *result) {
    struct keyed *k = ctx;
    const struct record *r = result->record;
    bool commanded = result->status == HARDY_OK ||
                     (result->status == HARDY_E_FAILED && r && r->ended && r->signal == 0);
    bool passed = k->passed && !result->replayed;
    k->command = NULL;
    say_changes(k);
    k->exit = verdict(k, result);
    if (r && commanded && !passed) {
        write_output(k, r);
    }
    if (k->plan->json) {
        report(k, result);
    }
}

/* Ends without a command: `status` and why. */
static void refuse(struct keyed *k, hardy_status status, const hardy_error *error) {
    const struct command_result result = {.status = status, .retry_after = -1, .error = error};
    on_ended(k, &result);
}

static void on_interrupt(void *ctx) {
    struct keyed *k = ctx;
    hardy_error error;
    if (k->command) {
        command_cancel(k->command);
        return;
    }
    slot_wait_end(&k->slot);
    hardy_error_init(&error, sizeof error);
    refuse(k, fail(&error, HARDY_E_CANCELLED, NULL, "interrupted"), &error);
}

/* --- the beginning -------------------------------------------------------------------------------
 */

static bool is_passing(void *ctx, int code) {
    const struct keyed *k = ctx;
    return code != EXIT_CANNOT_RUN && code != EXIT_NO_COMMAND &&
           guard_retries_code(&k->plan->settings, code);
}

static void on_slot(void *ctx, hardy_status status, const hardy_error *error) {
    static const struct command_events events = {
        .event = on_event, .ended = on_ended, .recorded = on_recorded};
    struct keyed *k = ctx;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (status == HARDY_E_FULL) {
        status = fail(&why, status, NULL, "all %u slots are taken", k->plan->max_concurrent);
    } else if (status != HARDY_OK) {
        why = *error;
    } else {
        status = command_start(k->session.loop, k->session.store, k->session.state.path, &k->spec,
                               &events, k, &k->command, &why);
    }
    if (status != HARDY_OK) {
        refuse(k, status, &why);
    }
}

/* A second attempt cannot read a pipe again, and must not run with less input than the first. */
static hardy_status check_stdin(struct keyed *k, hardy_error *error) {
    struct stat st;
    k->stdin_start = -1;
    if (!k->retries || fstat(STDIN_FILENO, &st) != 0) {
        return HARDY_OK;
    }
    if (S_ISREG(st.st_mode)) {
        k->stdin_start = lseek(STDIN_FILENO, 0, SEEK_CUR);
        return HARDY_OK;
    }
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)
               ? fail(error, HARDY_E_INVALID, NULL,
                      "standard input is a pipe, which --retries with --key could not give to a "
                      "second attempt: redirect it from a file, or from /dev/null")
               : HARDY_OK;
}

static hardy_status make_guard(struct keyed *k, const hardy_guard_config *config,
                               hardy_error *error) {
    hardy_env env = loop_env(k->session.loop);
    const struct exec_plan *plan = k->plan;
    const struct guard_words words = {plan->slot.breaker, plan->slot.rate, plan->slot.budget};
    hardy_guard_config own = *config;
    env.log = NULL; /* what there is to tell is told by say_changes() */
    if (!own.name) {
        own.name = "exec";
    }
    if (own.retry) {
        /* Unlike without a key, an attempt that was killed is not repeated unless --in-doubt says
         * so, which the command decides. */
        k->retry = *own.retry;
        k->retry.repeatable = false;
        own.retry = &k->retry;
    }
    hardy_status status = guard_new_over(&own, &env, &words, &k->guard, error);
    k->spec.guard = k->guard;
    return status;
}

static hardy_status start(struct keyed *k, const hardy_guard_config *config, hardy_error *error) {
    hardy_status status = check_stdin(k, error);
    if (status == HARDY_OK) {
        status = make_guard(k, config, error);
    }
    if (status == HARDY_OK) {
        k->spec.deadline = exec_deadline(k->plan, k->session.loop);
        session_on_interrupt(&k->session, on_interrupt, k);
        slot_wait_start(&k->slot, k->plan, k->session.loop, k->spec.deadline, on_slot, k);
    }
    return status;
}

int exec_key_run(const struct exec_plan *plan, const hardy_guard_config *config,
                 const struct exec_key *key) {
    struct keyed k = {.plan = plan,
                      .key = key,
                      .retries = config->retry && config->retry->max_retries > 0,
                      .exit = EXIT_REFUSED};
    const char *probe[] = {"/bin/sh", "-eu", "-c", key->probe, NULL};
    bool pass = !k.retries || plan->stream;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    k.spec = (struct command_spec){
        .row_kind = "action",
        .key = key->key,
        .name = plan->argv[0],
        .scope = "exec",
        .argv = (const char *const *)plan->argv,
        .env = session_environment(),
        .idempotency_key = key->key,
        .timeout = HARDY_NEVER, /* the guard's */
        .kill_after = plan->kill_after,
        .ttl = key->ttl,
        .max_output = pass                        ? COMMAND_KEPT
                      : plan->max_held < MAX_HELD ? plan->max_held
                                                  : MAX_HELD,
        .in_doubt = key->in_doubt >= 0 ? (enum in_doubt_policy)key->in_doubt
                    : key->probe       ? IN_DOUBT_PROBE
                                       : IN_DOUBT_ASK,
        .probe = key->probe ? probe : NULL,
        .attach = key->attach,
        .rerun_failed = true,
        .pass_output = pass,
        .inherit_stdin = true,
        .passing = is_passing,
        .passing_ctx = &k,
    };
    if (session_open(plan->o, SESSION_WRITE, "exec", &k.session) == EXIT_DONE) {
        if (start(&k, config, &error) == HARDY_OK) {
            loop_run(k.session.loop);
        } else {
            say_error(plan->o, &error);
        }
    }
    slot_wait_end(&k.slot);
    hardy_guard_free(k.guard);
    session_close(&k.session);
    return k.exit;
}
