/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "config/template.h"
#include "work/environment.h"
#include "work/workflow.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 20, MAX_PARAMS = 8 << 20 };

/* --- what expressions see --------------------------------------------------------------------- */

struct view {
    json_t *root; /* {"input": ..., "steps": {NAME: {"output": ...}}, "env": {...}} */
};

static json_t *look_up(void *ctx, const char *path) {
    const struct view *view = ctx;
    return template_walk(view->root, path);
}

/* Objects and arrays come as such, everything else as text without its last newlines; what is no
 * text cannot be used in an expression. */
static json_t *output_value(const struct record *r) {
    size_t len = r->output_len;
    size_t start = r->output ? strspn(r->output, " \t\r\n") : 0;
    if (r->output && (r->output[start] == '{' || r->output[start] == '[')) {
        json_t *value = json_loadb(r->output, len, JSON_REJECT_DUPLICATES, NULL);
        if (value) {
            return value;
        }
    }
    while (len > 0 && r->output[len - 1] == '\n') {
        len--;
    }
    return json_stringn(r->output ? r->output : "", len); /* NULL: not UTF-8 */
}

static json_t *env_object(const char *const *env) {
    json_t *object = json_object();
    for (; env && *env; env++) {
        const char *equals = strchr(*env, '=');
        char *name = equals ? str_ndup(*env, (size_t)(equals - *env)) : NULL;
        if (name) {
            json_object_set_new(object, name, json_string(equals + 1));
        }
        free(name);
    }
    return object;
}

static json_t *build_root(const struct run *run, size_t until, const char *const *env) {
    json_t *steps = json_object();
    for (size_t i = 0; i < until && i < run->count; i++) {
        const struct record *r = &run->steps[i].record;
        if (r->state == RECORD_DONE) {
            json_t *value = output_value(r);
            json_object_set_new(steps, run->steps[i].name,
                                value ? json_pack("{s:o}", "output", value) : json_object());
        }
    }
    return json_pack("{s:o, s:o, s:o}", "input", json_loads(run->input, JSON_DECODE_ANY, NULL),
                     "steps", steps, "env", env_object(env));
}

/* --- commands --------------------------------------------------------------------------------- */

/* What is being filled in: a step's command, its probe. */
struct filling {
    struct view view;
    struct environment env;
    unsigned number; /* of the last HARDY_VALUE_N */
    bool nul;        /* a value cannot be handed over */
};

/* A value of a shell text goes into a variable of its own, which stands in its place. */
static void put_variable(void *ctx, const char *value, size_t len, struct buf *out) {
    struct filling *f = ctx;
    char name[32];
    snprintf(name, sizeof name, "HARDY_VALUE_%u", ++f->number);
    buf_printf(out, "${%s}", name);
    environment_set(&f->env, name, "%s", value);
    f->nul |= strlen(value) != len;
}

static hardy_status fill_text(struct filling *f, const char *text, bool shell, char **out,
                              hardy_error *error) {
    struct buf filled;
    buf_init(&filled, MAX_TEXT);
    f->nul = false;
    hardy_status status =
        shell ? template_expand_by(text, look_up, &f->view, put_variable, f, &filled, error)
              : template_expand(text, look_up, &f->view, &filled, error);
    f->nul |= filled.data && strlen(filled.data) != filled.len;
    if (status == HARDY_OK && f->nul) {
        status = fail(error, HARDY_E_INVALID, NULL,
                      "a value in `%.100s` holds a NUL byte, which no command can be given", text);
    }
    *out = status == HARDY_OK ? buf_take(&filled) : NULL;
    buf_free(&filled);
    if (status == HARDY_OK && !*out) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for an argument");
    }
    return status;
}

static hardy_status fill_command(struct filling *f, const struct schema_command *command,
                                 char ***out, hardy_error *error) {
    size_t count = 0;
    while (command->argv[count]) {
        count++;
    }
    char **argv = calloc(count + 1, sizeof *argv);
    if (!argv) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for a command");
    }
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        bool shell = command->shell && i == count - 1;
        status = fill_text(f, command->argv[i], shell, &argv[i], error);
    }
    if (status != HARDY_OK) {
        environment_free_list(argv);
        return status;
    }
    *out = argv;
    return HARDY_OK;
}

hardy_status step_expand(const struct workflow *w, size_t step, const struct run *run,
                         const char *const *base, struct step_command *out, hardy_error *error) {
    const struct step_settings *s = &((const struct step_settings *)w->steps.items)[step];
    struct filling f = {.view = {build_root(run, step, base)}};
    *out = (struct step_command){0};
    hardy_status status =
        f.view.root ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", s->name);
    environment_add(&f.env, base);
    environment_set(&f.env, "HARDY_RUN_ID", "%s", run->id);
    environment_set(&f.env, "HARDY_STEP", "%s", s->name);
    if (status == HARDY_OK) {
        status = fill_command(&f, &s->run, &out->argv, error);
    }
    if (status == HARDY_OK && s->probe.argv) {
        status = fill_command(&f, &s->probe, &out->probe, error);
    }
    json_decref(f.view.root);
    out->env = environment_take(&f.env);
    if (status == HARDY_OK && !out->env) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for its environment");
    }
    if (status != HARDY_OK) {
        error_prefix(error, "step `%s`", s->name);
        step_command_free(out);
    }
    return status;
}

void step_command_free(struct step_command *c) {
    environment_free_list(c->argv);
    environment_free_list(c->probe);
    environment_free_list(c->env);
    *c = (struct step_command){0};
}

static void put_command(struct json_out *j, const char *key, const struct schema_command *command) {
    if (!command->argv) {
        return;
    }
    json_out_key(j, key);
    if (command->shell) {
        json_out_string(j, command->argv[3]);
        return;
    }
    json_out_array(j);
    for (char **arg = command->argv; *arg; arg++) {
        json_out_string(j, *arg);
    }
    json_out_array_end(j);
}

char *step_params(const struct step_settings *s) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_PARAMS);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    put_command(&j, "run", &s->run);
    json_out_object_end(&j);
    char *out = text.failed ? NULL : buf_take(&text);
    buf_free(&text);
    return out;
}

/* --- with the input, before anything runs ----------------------------------------------------- */

struct given {
    json_t *root; /* {"input": ..., "env": ...} */
};

static bool is_given(void *ctx, const char *path) {
    const struct given *g = ctx;
    return str_starts(path, "steps.") || template_walk(g->root, path) != NULL;
}

static hardy_status check_given(const struct schema_command *command, struct given *g,
                                hardy_error *error) {
    hardy_status status = HARDY_OK;
    for (char **arg = command->argv; arg && *arg && status == HARDY_OK; arg++) {
        status = template_check(*arg, is_given, g, error);
    }
    return status;
}

hardy_status workflow_check_input(const struct workflow *w, const char *input,
                                  const char *const *env, hardy_error *error) {
    const struct step_settings *steps = w->steps.items;
    struct given g = {json_pack("{s:o, s:o}", "input", json_loads(input, JSON_DECODE_ANY, NULL),
                                "env", env_object(env))};
    hardy_status status =
        g.root ? HARDY_OK : fail(error, HARDY_E_NOMEM, w->path, "no memory to read the input");
    for (size_t i = 0; i < w->steps.count && status == HARDY_OK; i++) {
        status = check_given(&steps[i].run, &g, error);
        status = status == HARDY_OK ? check_given(&steps[i].probe, &g, error) : status;
        if (status != HARDY_OK) {
            error_prefix(error, "step `%s`", steps[i].name);
        }
    }
    json_decref(g.root);
    return status;
}

/* --- before anything runs --------------------------------------------------------------------- */

struct known {
    const struct workflow *w;
    size_t step;
};

static bool is_known(void *ctx, const char *path) {
    const struct known *k = ctx;
    const struct step_settings *steps = k->w->steps.items;
    if (str_starts(path, "input.") || str_eq(path, "input") || str_starts(path, "env.")) {
        return true;
    }
    if (!str_starts(path, "steps.")) {
        return false;
    }
    const char *name = path + strlen("steps.");
    for (size_t i = 0; i < k->step; i++) {
        size_t len = strlen(steps[i].name);
        if (strncmp(name, steps[i].name, len) == 0 &&
            (str_eq(name + len, ".output") || str_starts(name + len, ".output."))) {
            return true;
        }
    }
    return false;
}

static hardy_status check_command(const struct schema_command *command, struct known *known,
                                  const struct yaml_node *node, hardy_error *error) {
    for (size_t i = 0; command->argv && command->argv[i]; i++) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        if (template_check(command->argv[i], is_known, known, &why) != HARDY_OK) {
            return yaml_fail(
                node, error,
                "%s; known are input.NAME, env.NAME and steps.NAME.output of the steps "
                "above",
                why.message);
        }
    }
    return HARDY_OK;
}

hardy_status step_check(const struct workflow *w, size_t step, const struct yaml_node *node,
                        hardy_error *error) {
    const struct step_settings *s = &((const struct step_settings *)w->steps.items)[step];
    struct known known = {w, step};
    hardy_status status = check_command(&s->run, &known, yaml_get(node, "run"), error);
    return status == HARDY_OK ? check_command(&s->probe, &known, yaml_get(node, "probe"), error)
                              : status;
}
