/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy workflows`: runs, their steps, and what needs a person. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/resolving.h"
#include "cli/running.h"
#include "cli/say.h"
#include "cli/timeline.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20, MAX_RESULT = 1 << 20 };
static const int64_t store_wait = 30 * HARDY_SECOND;

static const struct option_row rows[] = {RESOLVING_ROWS, {0}};

struct listing {
    struct session *session;
    struct json_out *json; /* NULL: a table */
    hardy_error *error;
    hardy_status status;
    size_t count;
};

static size_t done_steps(const struct run *run) {
    size_t done = 0;
    for (size_t i = 0; i < run->count; i++) {
        done += run->steps[i].record.state == RECORD_DONE;
    }
    return done;
}

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct run run;
    char created[32];
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
        char steps[24];
        snprintf(steps, sizeof steps, "%zu/%zu", done_steps(&run), run.count);
        moment_text(run.created, created);
        printf("%-36s  %-9s  %-19s  %-7s  %s\n", run.id, run_state_text(run.state), created, steps,
               run.detail ? run.detail : "");
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
        char created[32], ended[32];
        moment_text(run.created, created);
        moment_text(run.ended, ended);
        printf("%s  %s\n  %s, input %s\n  created %s, ended %s%s%s\n", run.id,
               run_state_text(run.state), run.file, run.input, created, ended,
               run.detail ? "\n  " : "", run.detail ? run.detail : "");
        for (size_t i = 0; i < run.count; i++) {
            if (run.steps[i].record.name) {
                print_record(&run.steps[i].record, 2);
            } else {
                printf("  %-20s pending\n", run.steps[i].name);
            }
        }
        print_in_doubt(stdout, s->state.path, &run);
    }
    run_free(&run);
    return HARDY_OK;
}

static hardy_status resolve(const struct options *o, struct session *s, const char *id,
                            const char *step, struct resolving *how, hardy_error *error) {
    struct run run;
    struct buf result;
    const char *names[64];
    size_t index = 0;
    char who[96];
    hardy_status status = load(s, id, &run, error);
    if (status != HARDY_OK) {
        return status;
    }
    while (index < run.count && !str_eq(run.steps[index].name, step)) {
        index++;
    }
    buf_init(&result, MAX_RESULT);
    if (index == run.count) {
        size_t count = 0;
        for (; count < run.count && count < 64; count++) {
            names[count] = run.steps[count].name;
        }
        const char *nearest = str_nearest(step, names, count);
        status =
            fail(error, HARDY_E_NOT_FOUND, NULL, "run %s has no step `%s`%s%s%s", id, step,
                 nearest ? "; did you mean `" : "", nearest ? nearest : "", nearest ? "`?" : "");
    }
    if (status == HARDY_OK) {
        status = resolving_check(how, &result, error);
    }
    if (status == HARDY_OK) {
        char *key = run_step_key(id, index, step);
        status = record_resolve(s->loop, s->store, s->state.path, "step", key ? key : "", how->how,
                                how->result ? result.data : NULL, resolving_who(who),
                                time_add(loop_now(s->loop), store_wait), error);
        free(key);
    }
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO, "step %s is settled; hardy workflows resume %s goes on", step, id);
    }
    buf_free(&result);
    run_free(&run);
    return status;
}

/* The exit code; what is wrong has been told. */
static int resume(const struct options *o, struct session *s, const char *id) {
    struct run run;
    struct workflow *w = NULL;
    hardy_error error;
    int code = EXIT_FAILED;
    hardy_error_init(&error, sizeof error);
    hardy_status status = load(s, id, &run, &error);
    if (status == HARDY_OK) {
        status = workflow_read(run.file, &w, &error);
        if (status == HARDY_OK) {
            const struct running how = {.id = id, .retry_failed = true, .input = run.input};
            code = running_drive(o, s, w, &how);
        }
        workflow_free(w);
        run_free(&run);
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
        code = session_exit(status);
    }
    return code;
}

enum verb { LIST, SHOW, RESUME, RESOLVE, VERBS };

static int act(const struct options *o, enum verb verb, struct resolving *how) {
    struct session s;
    hardy_error error;
    hardy_status status = HARDY_OK;
    hardy_error_init(&error, sizeof error);
    int code = session_open(o, verb >= RESUME ? SESSION_WRITE : SESSION_READ, "workflows", &s);
    if (code == EXIT_DONE && verb == RESUME) {
        code = resume(o, &s, o->argv[1]);
    } else if (code == EXIT_DONE) {
        status = verb == LIST   ? list(o, &s, &error)
                 : verb == SHOW ? show(o, &s, o->argv[1], &error)
                                : resolve(o, &s, o->argv[1], o->argv[2], how, &error);
    }
    if (status != HARDY_OK) {
        say_error(o, &error);
        code = session_exit(status);
    }
    session_close(&s);
    return code;
}

static int run(struct options *o) {
    static const char *const verbs[] = {"list", "show", "resume", "resolve"};
    static const int operands[] = {1, 2, 2, 3};
    static const char *const wanted[] = {"nothing more", "one ID", "one ID", "ID and STEP"};
    struct resolving how = {0};
    int id, verb = LIST;
    while ((id = options_next(o)) > 0) {
        resolving_option(&how, id, o);
    }
    if (id < 0) {
        return o->exit;
    }
    while (verb < VERBS && (o->argc == 0 || !str_eq(o->argv[0], verbs[verb]))) {
        verb++;
    }
    if (verb == VERBS) {
        return options_wrong(o, "one of list, show ID, resume ID, resolve ID STEP is needed%s%s",
                             o->argc ? ", not " : "", o->argc ? o->argv[0] : "");
    }
    if (o->argc != operands[verb]) {
        return options_wrong(o, "%s takes %s", verbs[verb], wanted[verb]);
    }
    if (verb != RESOLVE && (how.given || how.result)) {
        return options_wrong(o, "--done, --retry, --fail and --result go with resolve");
    }
    return act(o, (enum verb)verb, &how);
}

const struct command command_workflows = {
    .name = "workflows",
    .alias = "workflow",
    .synopsis =
        "list\nshow ID\nresume ID\nresolve ID STEP --done [--result JSON|@FILE] | --retry | --fail",
    .summary = "runs of workflows, their steps, and what needs a person",
    .details =
        "resume goes on with an unfinished run, and begins a failed one again at the step that "
        "failed. resolve settles a step that is in doubt.",
    .examples = "hardy workflows list\nhardy workflows show shop-1    # needs that run\n"
                "hardy workflows resolve shop-1 vpc --retry    # needs that run, in doubt\n"
                "hardy workflows resume shop-1    # needs that run",
    .options = rows,
    .run = run,
};
