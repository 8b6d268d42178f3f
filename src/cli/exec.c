/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy exec`: runs one command under a guard. */
#include "cli/exec.h"
#include "base/date.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/exec_key.h"
#include "cli/say.h"
#include "cli/state.h"
#include "settings/sharing.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KILL_AFTER (5 * HARDY_SECOND)
#define MAX_HELD ((uint64_t)4 << 30)
#define MIN_HELD ((uint64_t)64 << 10)

/* --- options: our own, and the guard's from its table ------------------------------------- */

enum {
    OPT_NAME = 1,
    OPT_STREAM,
    OPT_MAX_OUTPUT,
    OPT_KILL_AFTER,
    OPT_PRESERVE,
    OPT_JSON,
    OPT_KEY,
    OPT_KEY_TTL,
    OPT_PROBE,
    OPT_IN_DOUBT,
    OPT_ATTACH,
    OPT_GUARD /* a flag of the guard's table */
};

static const struct option_row rows[] = {
    {OPT_NAME, "name", 0, "NAME", "share breaker, rate, budget and slots with others of this name"},
    {OPT_STREAM, "stream", 0, NULL, "with retries: do not hold standard output back"},
    {OPT_MAX_OUTPUT, "max-output", 0, "SIZE", "most output, and input, that is kept (4GiB)"},
    {OPT_KILL_AFTER, "kill-after", 0, "DURATION", "from TERM to KILL when it is stopped (5s)"},
    {OPT_PRESERVE, "preserve-status", 0, NULL, "the command's own code instead of 75 or 124"},
    {OPT_JSON, "json", 0, "FILE", "write a report of what happened there"},
    {OPT_KEY, "key", 0, "KEY", "run to success once under this key, however often it is typed"},
    {OPT_KEY_TTL, "key-ttl", 0, "DURATION", "how long the key's result is kept (24h)"},
    {OPT_PROBE, "probe", 0, "CMD", "asked when nobody knows how it ended: 0 done, 1 not done"},
    {OPT_IN_DOUBT, "in-doubt", 0, "rerun|probe|ask|fail",
     "what then (probe if there is one, else ask)"},
    {OPT_ATTACH, "attach", 0, NULL, "wait for the key if it runs elsewhere, take its result"},
    {0}};

#define GUARD_ROWS 64
static struct {
    struct option_row rows[GUARD_ROWS + 1];
    char names[GUARD_ROWS][32], values[GUARD_ROWS][64], help[GUARD_ROWS][128];
    size_t count;
} table;

static void value_text(const struct schema_key *key, char *out, size_t size) {
    size_t len = 0;
    switch (key->kind) {
    case SCHEMA_DURATION:
        str_copy(out, size, "DURATION");
        return;
    case SCHEMA_RATE:
        str_copy(out, size, "N/s");
        return;
    case SCHEMA_STRINGS:
        str_copy(out, size, "CODES");
        return;
    case SCHEMA_ENUM:
        for (const char *const *word = key->words; *word && len < size; word++) {
            len += (size_t)snprintf(out + len, size - len, "%s%s", len ? "|" : "", *word);
        }
        return;
    default:
        str_copy(out, size, "N");
        return;
    }
}

static void add_row(const struct schema_key *key, const char *name, size_t len) {
    if (table.count == GUARD_ROWS) {
        return;
    }
    size_t i = table.count++;
    const char *first = strchr(key->flag, ' ');
    snprintf(table.names[i], sizeof table.names[i], "%.*s", (int)len, name);
    value_text(key, table.values[i], sizeof table.values[i]);
    if (name != key->flag && first) {
        snprintf(table.help[i], sizeof table.help[i], "the same as %.*s", (int)(first - key->flag),
                 key->flag);
    } else {
        snprintf(table.help[i], sizeof table.help[i], "%s%s%s%s", key->help, key->def ? " (" : "",
                 key->def ? key->def : "", key->def ? ")" : "");
    }
    table.rows[i] =
        (struct option_row){OPT_GUARD, table.names[i] + strlen("--"), 0,
                            key->kind == SCHEMA_BOOL ? NULL : table.values[i], table.help[i]};
}

/* What belongs to a cache of answers has no meaning for a command that runs anyway. */
static bool of_cache(const char *flag) {
    return str_eq(flag, "--fallback") || str_eq(flag, "--fresh");
}

static bool add_key(void *ctx, const char *path, const struct schema_key *key) {
    (void)ctx;
    (void)path;
    if (!key->flag || of_cache(key->flag)) {
        return true;
    }
    for (const char *name = key->flag; *name;) {
        size_t len = strcspn(name, " ");
        add_row(key, name, len);
        name += len + (name[len] == ' ');
    }
    return true;
}

static const struct option_row *guard_rows(void) {
    if (table.count == 0) {
        schema_each(&guard_section, add_key, NULL);
    }
    return table.rows;
}

/* --- from the command line to a plan ------------------------------------------------------ */

#define FLAGS_MAX 64
struct flags {
    struct guard_flag list[FLAGS_MAX];
    char names[FLAGS_MAX][40];
    size_t count;
};

/* 0, or the exit code of a mistake that was told. */
static int take_key_option(struct options *o, int id, struct exec_key *key) {
    static const char *const policies[] = {[IN_DOUBT_ASK] = "ask",
                                           [IN_DOUBT_PROBE] = "probe",
                                           [IN_DOUBT_RERUN] = "rerun",
                                           [IN_DOUBT_FAIL] = "fail"};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    key->given |= id != OPT_KEY;
    switch (id) {
    case OPT_KEY:
        if (!*o->value || strlen(o->value) > 400 || !str_valid_utf8(o->value, strlen(o->value))) {
            return options_wrong(o, "--key: 1 to 400 bytes of UTF-8 are needed");
        }
        key->key = o->value;
        return 0;
    case OPT_KEY_TTL:
        return parse_duration(o->value, &key->ttl, &error) == HARDY_OK
                   ? 0
                   : options_wrong(o, "--key-ttl: %s", error.message);
    case OPT_PROBE:
        key->probe = o->value;
        return 0;
    case OPT_ATTACH:
        key->attach = true;
        return 0;
    default:
        break;
    }
    for (int i = 0; i < 4; i++) {
        if (str_eq(o->value, policies[i])) {
            key->in_doubt = i;
            return 0;
        }
    }
    return options_wrong(o, "--in-doubt: \"%s\" is not one of rerun, probe, ask, fail", o->value);
}

static int take_option(struct options *o, int id, struct exec_plan *plan, struct flags *flags,
                       struct exec_key *key) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    switch (id) {
    case OPT_NAME:
        plan->name = o->value;
        return 0;
    case OPT_STREAM:
        plan->stream = true;
        return 0;
    case OPT_MAX_OUTPUT:
        if (parse_size(o->value, &plan->max_held, &error) != HARDY_OK) {
            return options_wrong(o, "--max-output: %s", error.message);
        }
        if (plan->max_held < MIN_HELD) {
            return options_wrong(o, "--max-output: %s is below 64KiB", o->value);
        }
        return 0;
    case OPT_KILL_AFTER:
        if (parse_duration(o->value, &plan->kill_after, &error) != HARDY_OK) {
            return options_wrong(o, "--kill-after: %s", error.message);
        }
        return 0;
    case OPT_PRESERVE:
        plan->preserve_status = true;
        return 0;
    case OPT_JSON:
        plan->json = o->value;
        return 0;
    case OPT_KEY:
    case OPT_KEY_TTL:
    case OPT_PROBE:
    case OPT_IN_DOUBT:
    case OPT_ATTACH:
        return take_key_option(o, id, key);
    default:
        break;
    }
    if (flags->count == FLAGS_MAX) {
        return options_wrong(o, "too many options");
    }
    char *name = flags->names[flags->count];
    snprintf(name, sizeof flags->names[0], "--%s", o->name);
    flags->list[flags->count++] = (struct guard_flag){name, o->value};
    return 0;
}

static hardy_status read_settings(struct exec_plan *plan, const struct flags *flags,
                                  const struct config *config, hardy_error *error) {
    struct guard_source source = {
        .base = GUARD_EMPTY, .name = plan->name, .flags = flags->list, .flag_count = flags->count};
    if (plan->name && config) {
        source.node = yaml_get(config_section(config, "guards"), plan->name);
    }
    hardy_status status = guard_settings_read(&source, &plan->settings, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct guard_settings *s = &plan->settings;
    if (s->config.bulkhead && !plan->name) {
        return fail(error, HARDY_E_INVALID, "--max-concurrent",
                    "needs a --name: the slots are shared by the commands of one name");
    }
    plan->max_concurrent = s->config.bulkhead ? s->bulkhead.max_concurrent : 0;
    s->config.bulkhead = NULL; /* one operation does not limit itself */
    /* Who asks for retries says that the command may be repeated. */
    s->retry.repeatable = true;
    return HARDY_OK;
}

/* What runs around this command, another hardy exec or a step, has told its end. */
static hardy_status read_deadline_around(struct exec_plan *plan, hardy_error *error) {
    const char *text = getenv("HARDY_DEADLINE");
    plan->not_after = HARDY_NEVER;
    if (!text || !*text || date_read_wall(text, &plan->not_after)) {
        return HARDY_OK;
    }
    return fail(error, HARDY_E_INVALID, "HARDY_DEADLINE",
                "\"%.40s\" is not a time such as 2026-11-28T16:04:05Z; the command around this one "
                "sets it, unset it where there is none",
                text);
}

int64_t exec_deadline(const struct exec_plan *plan, struct loop *loop) {
    int64_t now = loop_now(loop), around = HARDY_NEVER;
    if (plan->not_after != HARDY_NEVER) {
        int64_t left = plan->not_after - loop_wall(loop);
        around = left > 0 ? hardy_time_add(now, left) : now;
    }
    int64_t own = hardy_time_add(now, plan->settings.config.deadline);
    return around < own ? around : own;
}

static hardy_status prepare(struct exec_plan *plan, const struct flags *flags, hardy_error *error) {
    const struct options *o = plan->o;
    hardy_status around = read_deadline_around(plan, error);
    if (around != HARDY_OK) {
        return around;
    }
    /* Without a name nothing is shared and nothing is looked up: neither file is touched. */
    if (!plan->name && !o->globals.config) {
        return read_settings(plan, flags, NULL, error);
    }
    struct state state;
    hardy_status status = state_find(o, &state, error);
    if (status == HARDY_OK) {
        status = read_settings(plan, flags, state.config, error);
    }
    if (status == HARDY_OK && plan->name && state_is_file(&state)) {
        status = host_open(state.path, true, &plan->host, error);
        if (status == HARDY_OK) {
            status = sharing_attach(plan->host, plan->name, &plan->settings, &plan->max_concurrent,
                                    &plan->slot, error);
        }
    }
    state_close(&state);
    return status;
}

static int end(const struct exec_plan *plan, const struct exec_result *result) {
    int code = exec_verdict(plan, result);
    if (plan->json && !exec_report(plan, result, code)) {
        return EXIT_REFUSED;
    }
    if (result->by_terminal) {
        /* A shell that reads a script goes on after a program that merely exits with 130. */
        signal(result->interrupted, SIG_DFL);
        raise(result->interrupted);
    }
    return code;
}

static int run(struct options *o) {
    struct flags flags = {.count = 0};
    struct exec_plan plan = {.o = o, .kill_after = KILL_AFTER, .max_held = MAX_HELD};
    struct exec_key key = {.ttl = HARDY_DAY, .in_doubt = -1};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int id;
    while ((id = options_next(o)) > 0) {
        int code = take_option(o, id, &plan, &flags, &key);
        if (code) {
            return code;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc == 0) {
        return options_wrong(o, "which command?");
    }
    if (key.given && !key.key) {
        return options_wrong(o, "--key-ttl, --probe, --in-doubt and --attach go with --key");
    }
    if (key.in_doubt == IN_DOUBT_PROBE && !key.probe) {
        return options_wrong(o, "--in-doubt probe needs --probe CMD");
    }
    plan.argv = o->argv;
    int code = EXIT_REFUSED;
    if (prepare(&plan, &flags, &error) != HARDY_OK) {
        say_error(o, &error);
    } else if (key.key) {
        code = exec_key_run(&plan, &plan.settings.config, &key);
    } else {
        struct exec_result result;
        exec_run(&plan, &plan.settings.config, &result);
        code = end(&plan, &result);
        free(result.attempts);
    }
    host_close(plan.host);
    guard_settings_free(&plan.settings);
    return code;
}

const struct command command_exec = {
    .name = "exec",
    .synopsis = "[OPTIONS] [--] COMMAND [ARGUMENTS]",
    .summary = "run a command under a guard: retries, deadline, breaker, rate and slots",
    .options = rows,
    .more = guard_rows,
    .details =
        "Nothing is limited or repeated unless it is asked for. --name switches on a circuit\n"
        "breaker that all commands of that name on this host share; settings under 'guards: "
        "NAME:'\n"
        "of the configuration apply to it. Other settings under a name in use are refused, saying\n"
        "both; 'hardy guards' shows what is shared.\n\n"
        "--retries says that the command may be repeated. Every exit code but 126, 127 and death "
        "by\n"
        "INT or TERM is retried, also an attempt that timed out (124 for --retry-on) or was "
        "killed\n"
        "(128 + N). Standard output is held back until an attempt succeeds, and standard input, "
        "if\n"
        "it is a file or a pipe, is given to each attempt from the beginning.\n\n"
        "--key makes it an action: started is recorded before it runs, its result after. A "
        "success\n"
        "is replayed, output and code; a clean failure may run again; what was killed or timed "
        "out\n"
        "is in doubt (79) and not run again by itself, unless --in-doubt says so. The command "
        "finds\n"
        "HARDY_IDEMPOTENCY_KEY in its environment. 73: the key is running elsewhere. With\n"
        "--retries, standard input must be a file. An output above 4 MiB is handed out once and\n"
        "not kept.\n\n"
        "Exit code: the command's own when the command ended the matter (128 + N for a signal);\n"
        "69 the breaker is open, 75 passing failure and retries used up, 124 timeout or deadline,\n"
        "125 hardy refuses, 126 cannot run, 127 not found.\n\n"
        "What runs past its time gets TERM, and after --kill-after everything below it gets KILL.\n"
        "What a command leaves in its process group is ended with it; setsid makes a session that\n"
        "stays. The command finds HARDY_ATTEMPT and HARDY_DEADLINE in its environment. A\n"
        "HARDY_DEADLINE that hardy exec finds itself, inside of another one or of a step, ends it\n"
        "too: --deadline can only shorten it.",
    .examples =
        "hardy exec --timeout 5s -- make check\n"
        "hardy exec --retries 3 --base-delay 200ms --deadline 10s --name search -- curl -fsS "
        "http://127.0.0.1:1/\n"
        "hardy exec --name search --rate 10/s --max-concurrent 4 -- true\n"
        "hardy exec --key order-12345 -- echo charged\n"
        "hardy exec --retries 5 --retry-on 6,7,28 -- curl -fsS https://example.org/    # needs the "
        "network\n"
        "hardy exec --preset background --name backup --json report.json -- tar -cf - .",
    .run = run,
    .usage_exit = EXIT_REFUSED,
    .runs_command = true,
};
