/* SPDX-License-Identifier: Apache-2.0 */
#include "work/workflow.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MAX_DEFINITION = 4 << 20 };

static const char *const in_doubt_words[] = {"ask", "probe", "rerun", "fail", NULL};

static const struct schema_key step_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct step_settings, name),
     .required = true,
     .help = "of the step; its record is found by it"},
    {.name = "run",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, run),
     .required = true,
     .help = "a list is executed; a text is /bin/sh -eu"},
    {.name = "probe",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, probe),
     .help = "asked when nobody knows how it ended: exit 0 done (its output is the result), 1 not "
             "done, else unknown"},
    {.name = "in_doubt",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct step_settings, in_doubt),
     .words = in_doubt_words,
     .help = "rerun, probe, ask or fail; probe if there is one, else ask"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct step_settings, timeout),
     .def = "never",
     .never = true,
     .min = "1ms",
     .help = "of one attempt"},
    {.name = "guard",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct step_settings, guard),
     .help = "name under guards: of the configuration"},
};
static const struct schema_section step_section = {"step", step_keys, COUNT(step_keys),
                                                   sizeof(struct step_settings)};

struct raw {
    char *name;
    struct schema_list steps;
};
static const struct schema_key workflow_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct raw, name),
     .required = true,
     .help = "of the workflow"},
    {.name = "steps",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct raw, steps),
     .section = &step_section,
     .required = true,
     .help = "what is done, one after another"},
};
const struct schema_section workflow_section = {"workflow", workflow_keys, COUNT(workflow_keys),
                                                sizeof(struct raw)};

static hardy_status check_steps(const struct workflow *w, hardy_error *error) {
    const struct step_settings *steps = w->steps.items;
    const struct yaml_node *list = yaml_get(w->file->root, "steps");
    if (w->steps.count == 0) {
        return yaml_fail(list, error, "steps: at least one step is needed");
    }
    for (size_t i = 0; i < w->steps.count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (str_eq(steps[k].name, steps[i].name)) {
                return yaml_fail(list->items[i], error,
                                 "there are two steps of the name `%s`; the first is in line %d",
                                 steps[i].name, list->items[k]->line);
            }
        }
        if (steps[i].in_doubt == IN_DOUBT_PROBE && !steps[i].probe.argv) {
            return yaml_fail(list->items[i], error,
                             "step `%s` says in_doubt: probe and has no probe", steps[i].name);
        }
    }
    return HARDY_OK;
}

static hardy_status check_texts(const struct workflow *w, hardy_error *error) {
    const struct yaml_node *list = yaml_get(w->file->root, "steps");
    for (size_t i = 0; i < w->steps.count; i++) {
        hardy_status status = step_check(w, i, list->items[i], error);
        if (status != HARDY_OK) {
            return status;
        }
    }
    return HARDY_OK;
}

static hardy_status hash_steps(struct workflow *w, hardy_error *error) {
    const struct yaml_node *list = yaml_get(w->file->root, "steps");
    struct sha256 all;
    struct buf text;
    w->step_definitions = calloc(w->steps.count, sizeof *w->step_definitions);
    if (!w->step_definitions) {
        return fail(error, HARDY_E_NOMEM, w->path, "no memory to read it");
    }
    buf_init(&text, MAX_DEFINITION);
    sha256_init(&all);
    for (size_t i = 0; i < w->steps.count; i++) {
        buf_reset(&text);
        yaml_to_json(list->items[i], &text);
        sha256_hex(text.data, text.len, w->step_definitions[i]);
        sha256_add_part(&all, text.data, text.len);
    }
    sha256_done_hex(&all, w->definition);
    bool failed = text.failed;
    buf_free(&text);
    return failed ? fail(error, HARDY_E_TOO_LARGE, w->path, "its steps are larger than 4 MiB")
                  : HARDY_OK;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return str_dup(".");
    }
    return slash == path ? str_dup("/") : str_ndup(path, (size_t)(slash - path));
}

hardy_status workflow_read(const char *path, struct workflow **out, hardy_error *error) {
    struct workflow *w = calloc(1, sizeof *w);
    struct raw *raw = calloc(1, sizeof *raw);
    if (!w || !raw) {
        free(w);
        free(raw);
        return fail(error, HARDY_E_NOMEM, path, "no memory to read it");
    }
    w->raw = raw;
    w->path = realpath(path, NULL); /* a run is found again from any folder */
    if (!w->path) {
        w->path = str_dup(path);
    }
    w->folder = w->path ? folder_of(w->path) : NULL;
    hardy_status status = w->folder ? yaml_load(path, &w->file, error)
                                    : fail(error, HARDY_E_NOMEM, path, "no memory to read it");
    if (status == HARDY_OK && w->file->root->kind != YAML_MAP) {
        status = yaml_fail(w->file->root, error, "a map with `name` and `steps` is needed, not %s",
                           yaml_kind_text(w->file->root));
    }
    if (status == HARDY_OK) {
        status = schema_read(&workflow_section, w->file->root, raw, error);
    }
    if (status == HARDY_OK) {
        w->name = raw->name;
        w->steps = raw->steps;
        status = check_steps(w, error);
    }
    if (status == HARDY_OK) {
        struct step_settings *steps = w->steps.items;
        for (size_t i = 0; i < w->steps.count; i++) {
            if (steps[i].in_doubt < 0) {
                steps[i].in_doubt = steps[i].probe.argv ? IN_DOUBT_PROBE : IN_DOUBT_ASK;
            }
        }
        status = check_texts(w, error);
    }
    if (status == HARDY_OK) {
        status = hash_steps(w, error);
    }
    if (status != HARDY_OK) {
        workflow_free(w);
        return status;
    }
    *out = w;
    return HARDY_OK;
}

void workflow_free(struct workflow *w) {
    if (!w) {
        return;
    }
    schema_free(&workflow_section, w->raw);
    free(w->raw);
    yaml_close(w->file);
    free(w->step_definitions);
    free(w->path);
    free(w->folder);
    free(w);
}
