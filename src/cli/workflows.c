/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy workflows`: runs, their steps, and what needs a person. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/prune.h"
#include "cli/resolving.h"
#include "cli/run_timeline.h"
#include "cli/running.h"
#include "cli/say.h"
#include "cli/timeline.h"
#include "durable/tell.h"
#include "io/file.h"
#include "work/fork.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20, MAX_RESULT = 1 << 20 };
static const int64_t store_wait = 30 * HARDY_SECOND;

enum {
    OPT_REFUSE = 1,
    OPT_COMMENT,
    OPT_FROM,
    OPT_FORK_ID,
    OPT_MAP,
    OPT_WATCH,
    OPT_OLDER,
    OPT_KEEP,
    OPT_DRY_RUN
};
enum { NAMES_MAX = 64 };

static const struct option_row rows[] = {
    RESOLVING_ROWS,
    {OPT_REFUSE, "refuse", 0, NULL, "approve: no, the run ends with 5"},
    {OPT_COMMENT, "comment", 0, "TEXT", "approve, cancel: why, for the record"},
    {OPT_FROM, "from", 0, "STEP", "fork: the first step that is done anew"},
    {OPT_FORK_ID, "id", 0, "ID", "fork: of the new run"},
    {OPT_MAP, "map", 0, "OLD=NEW", "fork: a step that has another name now; may be repeated"},
    {OPT_WATCH, "watch", 0, NULL, "resume, cancel, fork: as for hardy run"},
    {OPT_OLDER, "older-than", 0, "D", "prune: also what ended longer ago, such as 7d"},
    {OPT_KEEP, "keep", 0, "N", "prune: keep only the last N"},
    {OPT_DRY_RUN, "dry-run", 0, NULL, "prune: only tell what would go"},
    {0}};

struct asked {
    struct resolving how;
    bool refuse, watch;
    const char *comment, *from, *id;
    struct fork_name names[NAMES_MAX];
    size_t name_count;
    struct prune prune;
};

struct listing {
    struct session *session;
    struct json_out *json; /* NULL: a table */
    hardy_error *error;
    hardy_status status;
    size_t count;
};

/* Steps that do something, and how many of them are over. */
static void count_steps(const struct run *run, size_t *done, size_t *all) {
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        if (s->kind == RUN_LEAF) {
            *done += s->record.state == RECORD_DONE || s->record.state == RECORD_SKIPPED;
            (*all)++;
        }
    }
}

/* What the run waits for, or why it is as it is. */
static const char *detail_of(const struct run *run, char out[200]) {
    for (const struct run_step *s = run->root; s && !run->detail;
         s = run_step_after(run->root, s)) {
        if (run_step_asks_person(s)) {
            char *path = run_step_path(s);
            snprintf(out, 200, "%s waits for approval%s%s", path ? path : s->name,
                     s->record.detail ? ": " : "", s->record.detail ? s->record.detail : "");
            free(path);
            return out;
        }
    }
    return run->detail ? run->detail : "";
}

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct run run;
    char created[32], detail[200];
    l->status = run_decode(row, &run, l->error);
    if (l->status == HARDY_OK) {
        l->status = run_load_steps(l->session->store, &run, l->error);
    }
    if (l->status != HARDY_OK) {
        return false;
    }
    if (l->json) {
        run_to_json(&run, l->json);
    } else {
        if (l->count == 0) {
            printf("%-36s  %-9s  %-19s  %-7s  %s\n", "ID", "STATE", "CREATED", "STEPS", "DETAIL");
        }
        char steps[48];
        size_t done = 0, all = 0;
        count_steps(&run, &done, &all);
        snprintf(steps, sizeof steps, "%zu/%zu", done, all);
        moment_text(run.created, created);
        printf("%-36s  %-9s  %-19s  %-7s  %s\n", run.id, run_state_text(run_shown_state(&run)),
               created, steps, detail_of(&run, detail));
    }
    l->count++;
    run_free(&run);
    return true;
}

static hardy_status list(const struct options *o, struct session *s, hardy_error *error) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    struct listing l = {.session = s, .json = o->globals.json ? &j : NULL, .error = error};
    json_out_array(&j);
    hardy_status status = store_scan(s->store, "run", "", NULL, SIZE_MAX, list_one, &l, error);
    json_out_array_end(&j);
    status = status == HARDY_OK ? l.status : status;
    if (status == HARDY_OK && l.json) {
        printf("%s\n", text.data);
    } else if (status == HARDY_OK && l.count == 0) {
        printf("no runs in %s%s\n", s->state.path, session_missing(s));
    }
    buf_free(&text);
    return status;
}

static hardy_status load(struct session *s, const char *id, struct run *out, hardy_error *error) {
    hardy_status status = run_load(s->store, id, out, error);
    return status == HARDY_E_NOT_FOUND ? fail(error, status, s->state.path,
                                              "there is no run `%s`; see hardy workflows list", id)
                                       : status;
}

static hardy_status show(const struct options *o, struct session *s, const char *id,
                         hardy_error *error) {
    struct run run;
    hardy_status status = load(s, id, &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (o->globals.json) {
        struct buf text;
        struct json_out j;
        buf_init(&text, MAX_TEXT);
        json_out_init(&j, &text, 2);
        run_to_json(&run, &j);
        printf("%s\n", text.data);
        buf_free(&text);
    } else {
        print_timeline(s, &run);
    }
    run_free(&run);
    return HARDY_OK;
}

/* --- what people say to a run -------------------------------------------------------------------
 */

static hardy_status resolve(const struct options *o, struct session *s, const struct asked *asked,
                            hardy_error *error) {
    struct run run;
    struct run_step *step = NULL;
    struct buf result;
    char who[96];
    const char *id = o->argv[1], *path = o->argv[2];
    hardy_status status = load(s, id, &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    buf_init(&result, MAX_RESULT);
    struct resolving how = asked->how;
    status = run_find_step(&run, path, &step, error);
    if (status == HARDY_OK) {
        status = resolving_check(&how, &result, error);
    }
    if (status == HARDY_OK) {
        char *name;
        struct resolution as = resolution_of_step(&run, step, &name);
        as.how = how.how;
        as.result = how.result ? result.data : NULL;
        as.who = resolving_who(who);
        status = record_resolve(s->loop, s->store, s->state.path, &as,
                                time_add(loop_now(s->loop), store_wait), error);
        free(name);
    }
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO, "step %s is settled; hardy workflows resume %s goes on", path, id);
    }
    buf_free(&result);
    run_free(&run);
    return status;
}

static struct telling tells(struct session *s, const struct asked *asked, char who[96]) {
    struct telling how = {.who = resolving_who(who),
                          .comment = asked->comment,
                          .deadline = time_add(loop_now(s->loop), store_wait)};
    char boot[37];
    file_boot_id(boot);
    how.now = moment_after(boot, loop_now(s->loop), loop_wall(s->loop), 0);
    return how;
}

static hardy_status approve(const struct options *o, struct session *s, const struct asked *asked,
                            hardy_error *error) {
    char who[96];
    const struct telling how = tells(s, asked, who);
    const char *id = o->argv[1], *path = o->argv[2];
    hardy_status status = tell_approval(s->store, id, path, asked->refuse, &how, error);
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO,
            "%s %s; a hardy that drives the run goes on, else hardy workflows "
            "resume %s does",
            path, asked->refuse ? "refused" : "approved", id);
    }
    return status;
}

/* --- going on with a run ------------------------------------------------------------------------
 */

/* The exit code; what is wrong has been told. */
static int drive(const struct options *o, struct session *s, const struct run *run,
                 struct running *how) {
    struct workflow *w = NULL;
    hardy_error error;
    int code;
    hardy_error_init(&error, sizeof error);
    if (workflow_read(run->file, &w, &error) == HARDY_OK) {
        how->id = run->id;
        how->input = run->input;
        code = running_drive(o, s, w, how);
    } else {
        say_error(o, &error);
        code = session_exit(error.status);
    }
    workflow_free(w);
    return code;
}

static hardy_status resume(const struct options *o, struct session *s, const struct asked *asked,
                           int *code, hardy_error *error) {
    struct run run;
    struct running how = {.retry_failed = true, .watch = asked->watch};
    hardy_status status = load(s, o->argv[1], &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    if (run.state == RUN_CANCELLED) {
        status = fail(error, HARDY_E_CLOSED, NULL,
                      "run %s was cancelled; begin a new one with --new, or hardy workflows fork",
                      run.id);
    } else {
        *code = drive(o, s, &run, &how);
    }
    run_free(&run);
    return status;
}

static hardy_status cancel(const struct options *o, struct session *s, const struct asked *asked,
                           int *code, hardy_error *error) {
    struct run run;
    struct running how = {.cancels = true, .watch = asked->watch};
    char who[96];
    hardy_status status = load(s, o->argv[1], &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    const struct telling told = tells(s, asked, who);
    enum run_state state;
    status = tell_cancel(s->store, run.id, &told, &state, error);
    if (status == HARDY_OK) {
        *code = drive(o, s, &run, &how);
    }
    run_free(&run);
    return status;
}

static hardy_status fork_run(const struct options *o, struct session *s, const struct asked *asked,
                             int *code, hardy_error *error) {
    struct run run;
    struct workflow *w = NULL;
    hardy_status status = load(s, o->argv[1], &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = workflow_read(run.file, &w, error);
    char *fresh = status != HARDY_OK ? NULL
                  : asked->id        ? str_dup(asked->id)
                                     : run_new_id(s->loop, w);
    if (status == HARDY_OK) {
        const struct fork_options options = {.before = &run,
                                             .workflow = w,
                                             .id = fresh ? fresh : "",
                                             .from = asked->from,
                                             .names = asked->names,
                                             .name_count = asked->name_count,
                                             .deadline = time_add(loop_now(s->loop), store_wait)};
        status = run_fork(s->loop, s->store, &options, error);
    }
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO, "run %s has taken over what %s had finished before %s", fresh,
            run.id, asked->from);
        const struct running how = {.id = fresh, .input = run.input, .watch = asked->watch};
        *code = running_drive(o, s, w, &how);
    }
    free(fresh);
    workflow_free(w);
    run_free(&run);
    return status;
}

/* --- the command --------------------------------------------------------------------------------
 */

enum verb { LIST, SHOW, RESOLVE, APPROVE, PRUNE, RESUME, CANCEL, FORK, VERBS };

static int act(const struct options *o, enum verb verb, const struct asked *asked) {
    struct session s;
    hardy_error error;
    hardy_status status = HARDY_OK;
    hardy_error_init(&error, sizeof error);
    int code = session_open(o, verb >= RESOLVE ? SESSION_WRITE : SESSION_READ, "workflows", &s);
    if (code == EXIT_DONE) {
        switch (verb) {
        case LIST:
            status = list(o, &s, &error);
            break;
        case SHOW:
            status = show(o, &s, o->argv[1], &error);
            break;
        case RESOLVE:
            status = resolve(o, &s, asked, &error);
            break;
        case APPROVE:
            status = approve(o, &s, asked, &error);
            break;
        case PRUNE:
            status = prune_runs(o, &s, &asked->prune, &error);
            break;
        case RESUME:
            status = resume(o, &s, asked, &code, &error);
            break;
        case CANCEL:
            status = cancel(o, &s, asked, &code, &error);
            break;
        case FORK:
            status = fork_run(o, &s, asked, &code, &error);
            break;
        case VERBS:
            break;
        }
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
        code = session_exit(status);
    }
    session_close(&s);
    return code;
}

static const struct {
    const char *word;
    int operands;
    const char *wanted;
} verbs[VERBS] = {
    [LIST] = {"list", 1, "nothing more"},
    [SHOW] = {"show", 2, "one ID"},
    [RESOLVE] = {"resolve", 3, "ID and STEP"},
    [APPROVE] = {"approve", 3, "ID and STEP"},
    [RESUME] = {"resume", 2, "one ID"},
    [CANCEL] = {"cancel", 2, "one ID"},
    [FORK] = {"fork", 2, "one ID"},
    [PRUNE] = {"prune", 1, "nothing more"},
};

/* Which options go with which verbs. */
static const char *misplaced(enum verb verb, const struct asked *asked) {
    bool drives = verb == RESUME || verb == CANCEL || verb == FORK;
    return verb != RESOLVE && (asked->how.given || asked->how.result)
               ? "--done, --retry, --fail and --result go with resolve"
           : verb != APPROVE && asked->refuse ? "--refuse goes with approve"
           : verb != APPROVE && verb != CANCEL && asked->comment
               ? "--comment goes with approve and cancel"
           : verb != FORK && (asked->from || asked->id || asked->name_count)
               ? "--from, --id and --map go with fork"
           : verb == FORK && !asked->from ? "fork needs --from STEP"
           : verb != PRUNE && (asked->prune.older_than || asked->prune.keep || asked->prune.dry_run)
               ? "--older-than, --keep and --dry-run go with prune"
           : !drives && asked->watch ? "--watch goes with resume, cancel and fork"
                                     : NULL;
}

/* "OLD=NEW"; the value is the command line's, and is cut in two there. */
static bool add_name(struct asked *asked, char *text) {
    char *equals = strchr(text, '=');
    if (!equals || asked->name_count == NAMES_MAX) {
        return false;
    }
    *equals = '\0';
    asked->names[asked->name_count++] = (struct fork_name){text, equals + 1};
    return true;
}

static int run(struct options *o) {
    struct asked asked = {0};
    int id, verb = LIST;
    bool good = true;
    while ((id = options_next(o)) > 0) {
        switch (id) {
        case OPT_REFUSE:
            asked.refuse = true;
            break;
        case OPT_COMMENT:
            asked.comment = o->value;
            break;
        case OPT_FROM:
            asked.from = o->value;
            break;
        case OPT_FORK_ID:
            asked.id = o->value;
            break;
        case OPT_MAP:
            good &= add_name(&asked, (char *)o->value);
            break;
        case OPT_OLDER:
            asked.prune.older_than = o->value;
            break;
        case OPT_KEEP:
            asked.prune.keep = o->value;
            break;
        case OPT_DRY_RUN:
            asked.prune.dry_run = true;
            break;
        case OPT_WATCH:
            asked.watch = true;
            break;
        default:
            resolving_option(&asked.how, id, o);
            break;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    while (verb < VERBS && (o->argc == 0 || !str_eq(o->argv[0], verbs[verb].word))) {
        verb++;
    }
    if (verb == VERBS) {
        return options_wrong(o,
                             "one of list, show ID, cancel ID, resume ID, approve ID STEP, resolve "
                             "ID STEP, fork ID, prune is needed%s%s",
                             o->argc ? ", not " : "", o->argc ? o->argv[0] : "");
    }
    if (o->argc != verbs[verb].operands) {
        return options_wrong(o, "%s takes %s", verbs[verb].word, verbs[verb].wanted);
    }
    if (!good) {
        return options_wrong(o, "--map takes OLD=NEW, at most %d times", NAMES_MAX);
    }
    if (asked.id && !str_valid_name(asked.id)) {
        return options_wrong(o, "--id \"%s\": letters, digits, . _ -, at most 63", asked.id);
    }
    const char *wrong = misplaced((enum verb)verb, &asked);
    return wrong ? options_wrong(o, "%s", wrong) : act(o, (enum verb)verb, &asked);
}

const struct command command_workflows = {
    .name = "workflows",
    .alias = "workflow",
    .synopsis = "list\nshow ID\ncancel ID [--comment TEXT]\nresume ID\n"
                "approve ID STEP [--refuse] [--comment TEXT]\n"
                "resolve ID STEP --done [--result JSON|@FILE] | --retry | --fail\n"
                "fork ID --from STEP [--map OLD=NEW]... [--id NEW]\n"
                "prune [--older-than D] [--keep N] [--dry-run]",
    .summary = "runs of workflows, their steps, and what needs a person",
    .details =
        "resume goes on with an unfinished run, and begins a failed one again at the step that "
        "failed. cancel ends what runs, and undoes what was done and says how (compensate), last "
        "first. resolve settles a step that is in doubt. approve lets a step go on that waits for "
        "a person. fork begins a new run that takes over what was finished before STEP: when the "
        "file has changed, or to go a way again. prune removes finished runs that need not be kept "
        "(`retention` in the configuration), as hardy does by itself, and gives the space back.\n\n"
        "A STEP inside a group may be named by the groups above it: `fan/a`, `deploy[2]`.",
    .examples = "hardy workflows list\nhardy workflows show shop-1    # needs that run\n"
                "hardy workflows resolve shop-1 vpc --retry    # needs that run, in doubt\n"
                "hardy workflows approve shop-1 ok    # needs that run, waiting\n"
                "hardy workflows fork shop-1 --from database    # needs that run\n"
                "hardy workflows prune --dry-run\n"
                "hardy workflows resume shop-1    # needs that run",
    .options = rows,
    .run = run,
};
