/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy run`: a workflow, begun or gone on with. */
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/running.h"
#include "cli/say.h"
#include "io/file.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPT_ID = 1, OPT_NEW, OPT_SET, OPT_INPUT, OPT_WATCH };
enum { MAX_INPUT = 1 << 20 };

static const struct option_row rows[] = {
    {OPT_ID, "id", 0, "ID", "the run of that id, made if there is none"},
    {OPT_NEW, "new", 0, NULL, "a new run, also if one with this input is unfinished"},
    {OPT_SET, "set", 0, "K=V", "a value of the input, as text; may be given several times"},
    {OPT_INPUT, "input", 0, "FILE|-", "the input, a JSON object; --set goes over it"},
    {OPT_WATCH, "watch", 0, NULL,
     "tell what happens also when another hardy drives the run; with --json as JSON Lines"},
    {0},
};

static hardy_status read_input(const char *path, json_t **input, hardy_error *error) {
    struct buf text;
    json_error_t why;
    hardy_status status = HARDY_OK;
    buf_init(&text, MAX_INPUT);
    if (str_eq(path, "-")) {
        char piece[4096];
        ssize_t len;
        while ((len = read(STDIN_FILENO, piece, sizeof piece)) > 0) {
            buf_append(&text, piece, (size_t)len);
        }
        if (text.failed) {
            status = fail(error, HARDY_E_TOO_LARGE, "-", "the input is larger than 1 MiB");
        }
    } else {
        status = file_read(path, &text, error);
    }
    if (status == HARDY_OK) {
        json_t *read =
            json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &why);
        if (!read) {
            status = fail(error, HARDY_E_SYNTAX, path, "line %d, column %d: %s", why.line,
                          why.column, why.text);
        } else if (!json_is_object(read)) {
            status = fail(error, HARDY_E_SYNTAX, path, "the input must be a JSON object");
            json_decref(read);
        } else {
            json_decref(*input);
            *input = read;
        }
    }
    buf_free(&text);
    return status;
}

static hardy_status set_value(json_t *values, const char *text, hardy_error *error) {
    const char *equals = strchr(text, '=');
    char *name = equals ? str_ndup(text, (size_t)(equals - text)) : NULL;
    hardy_status status = HARDY_OK;
    if (!name || !str_valid_name(name)) {
        status = fail(error, HARDY_E_SYNTAX, "--set", "\"%s\" is not NAME=VALUE", text);
    } else if (json_object_set_new(values, name, json_string(equals + 1)) != 0) {
        status = fail(error, HARDY_E_SYNTAX, "--set", "the value of %s is not UTF-8", name);
    }
    free(name);
    return status;
}

/* Whoever goes on with the run reads the file again. */
static hardy_status check_file(const char *file, hardy_error *error) {
    struct stat st;
    bool pipe =
        str_eq(file, "-") || (stat(file, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
    return pipe ? fail(error, HARDY_E_INVALID, file,
                       "a workflow is read again when its run is gone on with: a file is needed")
                : HARDY_OK;
}

static int start(const struct options *o, const char *file, struct running *how, json_t *input) {
    struct workflow *workflow = NULL;
    struct session s = {0};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    char *text = json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS);
    hardy_status status = check_file(file, &error);
    status = status == HARDY_OK ? workflow_read(file, &workflow, &error) : status;
    if (status != HARDY_OK || !text) {
        say_error(o, &error);
        free(text);
        return EXIT_USAGE;
    }
    int code = session_open(o, SESSION_WRITE, "run", &s);
    if (code == EXIT_DONE) {
        how->input = text;
        code = running_drive(o, &s, workflow, how);
    }
    session_close(&s);
    workflow_free(workflow);
    free(text);
    return code;
}

static int run(struct options *o) {
    struct running how = {0};
    json_t *input = json_object(), *values = json_object();
    hardy_error error;
    hardy_status status = HARDY_OK;
    int id;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0 && status == HARDY_OK) {
        if (id == OPT_ID) {
            how.id = o->value;
        } else if (id == OPT_NEW) {
            how.fresh = true;
        } else if (id == OPT_WATCH) {
            how.watch = true;
        } else if (id == OPT_SET) {
            status = set_value(values, o->value, &error);
        } else if (id == OPT_INPUT) {
            status = read_input(o->value, &input, &error);
        }
    }
    int code;
    if (id < 0) {
        code = o->exit;
    } else if (status != HARDY_OK) {
        say_error(o, &error);
        code = EXIT_USAGE;
    } else if (o->argc != 1) {
        code = options_wrong(o, "one WORKFLOW.yaml is needed");
    } else if (how.id && how.fresh) {
        code = options_wrong(o, "--id and --new exclude one another");
    } else if (how.id && !str_valid_name(how.id)) {
        code = options_wrong(o, "--id \"%s\": letters, digits, . _ -, at most 63", how.id);
    } else {
        json_object_update(input, values);
        code = start(o, o->argv[0], &how, input);
    }
    json_decref(input);
    json_decref(values);
    return code;
}

const struct command command_run = {
    .name = "run",
    .synopsis = "WORKFLOW.yaml [--id ID|--new] [--set K=V]... [--input FILE|-] [--watch]",
    .summary = "run a workflow; killed at any moment, the same line again goes on",
    .details =
        "Each step is recorded as started before it runs, and its result after. A finished step "
        "is not run again; one that still runs is attached to; one that was lost while it ran is "
        "in doubt, and its policy decides: a probe, another run, a person.\n\n"
        "Without --id the one unfinished run of this file and input is gone on with, else a new "
        "one begins. The result on standard output is the last step's.",
    .examples =
        "hardy run examples/provision.yaml --set name=shop    # needs the repository's examples\n"
        "hardy run examples/provision.yaml --set name=shop --new --json    # needs them too",
    .options = rows,
    .run = run,
};
