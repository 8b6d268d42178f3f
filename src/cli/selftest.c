/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy selftest`: what the documentation promises, looked at on this machine. */
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/session.h"
#include "io/file.h"
#include "selftest/kill.h"
#include "selftest/promises.h"
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_CRASH = 1, OPT_KILLS, OPT_SEED, OPT_DIR, OPT_ONLY };
static const struct option_row rows[] = {
    {OPT_CRASH, "crash", 0, NULL,
     "kill hardy again and again, and count what was lost or repeated"},
    {OPT_KILLS, "kills", 0, "N", "with --crash: how often (100)"},
    {OPT_SEED, "seed", 0, "N", "with --crash: from which the moments are drawn (the time)"},
    {OPT_ONLY, "only", 0, "runs|keys", "with --crash: of the two, only this"},
    {OPT_DIR, "dir", 0, "DIR", "where the folder of the trial is made (where the state is)"},
    {0},
};

struct trial {
    const struct options *o;
    struct loop *loop;
    char program[PATH_MAX];
    char *dir;
    int64_t kills, seed;
    bool crash, runs, keys;
    struct buf json, broken;
    struct json_out out;
    int failed;
};

/* The file system matters: beside the state, or where it would be made. */
static char *find_dir(const struct options *o, hardy_error *error) {
    struct state state;
    char *dir = NULL;
    if (state_find(o, &state, error) == HARDY_OK) {
        dir = state_is_file(&state) ? realpath(state.path, NULL) : str_dup("/var/tmp/.");
        dir = dir ? dir : str_dup(state.path);
        for (bool there = false; dir && !there;) {
            char *slash = strrchr(dir, '/');
            if (!slash) {
                str_copy(dir, strlen(dir) + 1, ".");
                break;
            }
            slash[slash == dir] = '\0'; /* "/" stays */
            there = slash == dir || access(dir, F_OK) == 0;
        }
        if (!dir) {
            fail(error, HARDY_E_NOMEM, NULL, "no memory");
        }
    }
    state_close(&state);
    return dir;
}

/* --- the promises ----------------------------------------------------------------------------- */

static void on_result(void *ctx, bool kept, const char *what, const char *detail) {
    struct trial *t = ctx;
    if (!kept) {
        buf_printf(&t->broken, "%s%s", t->failed ? "; " : "", what);
        t->failed++;
    }
    if (t->o->globals.json) {
        json_out_object(&t->out);
        json_out_member_string(&t->out, "what", what);
        json_out_key(&t->out, "kept");
        json_out_bool(&t->out, kept);
        json_out_member_string(&t->out, "detail", detail);
        json_out_object_end(&t->out);
        return;
    }
    printf("%s - %s%s%s%s\n", kept ? "ok" : "not ok", what, detail[0] ? " (" : "", detail,
           detail[0] ? ")" : "");
    fflush(stdout);
}

static hardy_status check_promises(struct trial *t, hardy_error *error) {
    struct promises_options options = {.loop = t->loop,
                                       .program = t->program,
                                       .dir = t->dir,
                                       .env = session_environment(),
                                       .result = on_result,
                                       .ctx = t};
    if (t->o->globals.json) {
        json_out_key(&t->out, "promises");
        json_out_array(&t->out);
    }
    hardy_status status = promises_check(&options, error);
    if (t->o->globals.json) {
        json_out_array_end(&t->out);
    }
    return status;
}

/* --- the kill loop ---------------------------------------------------------------------------- */

static void on_note(void *ctx, const char *text) {
    const struct trial *t = ctx;
    say(t->o, HARDY_LOG_WARNING, "%s", text);
}

static double per_hundred(int count, int kills) {
    return kills ? 100.0 * count / kills : 0;
}

static void print_report(const struct trial *t, const struct kill_report *r) {
    printf("seed %lld: %d kills in %.1f s: hardy %d, hardy and its shims %d, shims %d, hardy as it "
           "began %d\n",
           (long long)t->seed, r->kills, (double)r->took / (double)HARDY_SECOND,
           r->by_kind[KILL_HARDY], r->by_kind[KILL_BOTH], r->by_kind[KILL_SHIM],
           r->by_kind[KILL_EARLY]);
    printf("while a command was alive: %d (%.0f %%)\n", r->alive, per_hundred(r->alive, r->kills));
    printf("%d runs (%d of them fail and are undone) of %d steps together, %d keys: %d effects, %d "
           "of them repeated as declared\n",
           r->runs, r->undone, r->steps, r->keys, r->effects, r->allowed);
    printf("attached %d times, told %d times that it runs elsewhere, asked the probe %d times\n",
           r->attached, r->running, r->probed);
    printf("acknowledged steps lost: %d\n", r->lost);
    printf("done without an effect: %d\n", r->missing);
    printf("repeated silently: %d\n", r->repeated);
    printf("in doubt: %d times, not shown: %d\n", r->doubts, r->not_shown);
    printf("questions to a person for 100 kills: %.1f, where a probe is declared: %.1f\n",
           per_hundred(r->questions, r->kills), per_hundred(r->needless, r->kills));
}

static void report_json(struct trial *t, const struct kill_report *r) {
    const struct {
        const char *name;
        int value;
    } members[] = {
        {"kills", r->kills},
        {"kills_while_a_command_was_alive", r->alive},
        {"kills_of_hardy", r->by_kind[KILL_HARDY] + r->by_kind[KILL_EARLY]},
        {"kills_of_hardy_and_shims", r->by_kind[KILL_BOTH]},
        {"kills_of_shims", r->by_kind[KILL_SHIM]},
        {"runs", r->runs},
        {"runs_undone", r->undone},
        {"steps", r->steps},
        {"keys", r->keys},
        {"effects", r->effects},
        {"repeated_as_declared", r->allowed},
        {"repeated_silently", r->repeated},
        {"done_without_effect", r->missing},
        {"acknowledged_steps_lost", r->lost},
        {"in_doubt", r->doubts},
        {"in_doubt_not_shown", r->not_shown},
        {"questions", r->questions},
        {"questions_where_a_probe_is_declared", r->needless},
        {"attached", r->attached},
    };
    json_out_key(&t->out, "seed");
    json_out_int(&t->out, t->seed);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_out_member_count(&t->out, members[i].name, (uint64_t)members[i].value);
    }
}

static hardy_status kill_it(struct trial *t, hardy_error *error) {
    struct kill_report r = {0};
    struct kill_options options = {.loop = t->loop,
                                   .program = t->program,
                                   .dir = t->dir,
                                   .env = session_environment(),
                                   .seed = (uint64_t)t->seed,
                                   .kills = (int)t->kills,
                                   .runs = t->runs,
                                   .keys = t->keys,
                                   .note = on_note,
                                   .ctx = t};
    hardy_status status = kill_loop(&options, &r, error);
    if (t->o->globals.json) {
        report_json(t, &r);
    } else {
        print_report(t, &r);
    }
    if (status == HARDY_OK && !kill_clean(&r)) {
        buf_puts(&t->broken, "something was lost or repeated");
        t->failed++;
    }
    return status;
}

/* --- the command ------------------------------------------------------------------------------ */

static int conclude(struct trial *t, hardy_status status, const hardy_error *error) {
    if (t->o->globals.json) {
        json_out_key(&t->out, "kept");
        json_out_bool(&t->out, status == HARDY_OK && t->failed == 0);
        json_out_object_end(&t->out);
        printf("%.*s\n", (int)t->json.len, t->json.data ? t->json.data : "");
    }
    if (status != HARDY_OK) {
        say_error(t->o, error);
        return status == HARDY_E_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
    }
    if (t->failed) {
        say(t->o, HARDY_LOG_ERROR, "not kept: %.*s", (int)t->broken.len,
            t->broken.data ? t->broken.data : "?");
    }
    return t->failed ? EXIT_FAILED : EXIT_DONE;
}

static int start(struct trial *t) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    ssize_t len = readlink("/proc/self/exe", t->program, sizeof t->program - 1);
    signal(SIGPIPE, SIG_IGN);
    t->dir = t->dir ? str_dup(t->dir) : find_dir(t->o, &error);
    t->loop = loop_uv_new(&error);
    if (!t->dir || !t->loop || len <= 0) {
        say_error(t->o, &error);
        free(t->dir);
        return EXIT_FAILED;
    }
    t->program[len] = '\0';
    t->seed = t->seed < 0 ? loop_wall(t->loop) / HARDY_SECOND : t->seed;
    buf_init(&t->json, 1 << 20);
    buf_init(&t->broken, 1 << 16);
    json_out_init(&t->out, &t->json, 0);
    json_out_object(&t->out);
    hardy_status status = t->crash ? kill_it(t, &error) : check_promises(t, &error);
    int code = conclude(t, status, &error);
    loop_free(t->loop);
    buf_free(&t->json);
    buf_free(&t->broken);
    free(t->dir);
    return code;
}

static int run(struct options *o) {
    struct trial t = {.o = o, .kills = 100, .seed = -1, .runs = true, .keys = true};
    hardy_error error;
    hardy_status status = HARDY_OK;
    int id;
    bool for_crash = false;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0 && status == HARDY_OK) {
        for_crash = for_crash || (id != OPT_CRASH && id != OPT_DIR);
        if (id == OPT_CRASH) {
            t.crash = true;
        } else if (id == OPT_KILLS) {
            status = parse_integer(o->value, 1, 1000000, &t.kills, &error);
        } else if (id == OPT_SEED) {
            status = parse_integer(o->value, 0, INT64_MAX, &t.seed, &error);
        } else if (id == OPT_DIR) {
            t.dir = (char *)(uintptr_t)o->value; /* start() makes a copy */
        } else if (id == OPT_ONLY) {
            t.runs = str_eq(o->value, "runs");
            t.keys = str_eq(o->value, "keys");
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (status != HARDY_OK) {
        return options_wrong(o, "--%s: %s", o->name, error.message);
    }
    if (o->argc > 0) {
        return options_wrong(o, "\"%s\": no operand is expected", o->argv[0]);
    }
    if (!t.runs && !t.keys) {
        return options_wrong(o, "--only: expected runs or keys");
    }
    if (for_crash && !t.crash) {
        return options_wrong(o, "--kills, --seed and --only belong to --crash");
    }
    return start(&t);
}

const struct command command_selftest = {
    .name = "selftest",
    .synopsis = "[--dir DIR]\n--crash [--kills N] [--seed N] [--only runs|keys] [--dir DIR]",
    .summary = "prove on this machine what the documentation promises",
    .details =
        "Without --crash: within seconds, whether commits wait for the disk, locks exclude, a step "
        "survives hardy's end, what was killed is in doubt and not repeated, a result comes back "
        "as it was, a breaker opens. A line for each; exit code 1 when one is not kept.\n\n"
        "With --crash: runs and commands with keys go on while hardy, the shims of its steps, or "
        "both are killed with KILL at moments drawn from the seed; the same line is typed again "
        "until all is done. Afterwards another process counts the effects. Exit code 1 when "
        "anything was lost or repeated silently; the folder is left then.\n\n"
        "All happens in a new folder with a state of its own, on the disk where yours is. A power "
        "cut is not among it: whether the disk keeps what it says it has, only a power cut shows.",
    .examples = "hardy selftest\n"
                "hardy selftest --crash --kills 5\n"
                "hardy selftest --crash --kills 1000 --dir /srv    # needs half a minute, and /srv",
    .options = rows,
    .run = run,
};

/* --- a part of it, in a process of its own ------------------------------------------------------
 */

static int run_part(struct options *o) {
    if (options_next(o) < 0) {
        return o->exit;
    }
    return deed_part(o->argc, o->argv, getenv("HARDY_RUN_ID"), getenv("HARDY_STEP"),
                     getenv("HARDY_ATTEMPT"));
}

const struct command command_selftest_part = {
    .name = PART_COMMAND,
    .synopsis = "PART...",
    .summary = "a part of the selftest",
    .run = run_part,
    .hidden = true,
};
