/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"
#include "config/template.h"
#include "work/workflow.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 20 };

/* --- what expressions see ----------------------------------------------------------------------
 */

struct view {
    json_t *root; /* {"input": ..., "steps": {NAME: {"output": ...}}, "env": {...}} */
};

static json_t *look_up(void *ctx, const char *path) {
    const struct view *view = ctx;
    return template_walk(view->root, path);
}

/* Objects and arrays come as such, everything else as text without its last newline. */
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
    json_t *text = json_stringn(r->output ? r->output : "", len);
    return text ? text : json_string(""); /* not UTF-8: no text an expression could hold */
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
            json_object_set_new(steps, run->steps[i].name,
                                json_pack("{s:o}", "output", output_value(r)));
        }
    }
    return json_pack("{s:o, s:o, s:o}", "input", json_loads(run->input, JSON_DECODE_ANY, NULL),
                     "steps", steps, "env", env_object(env));
}

/* --- environment under construction
 * ----------------------------------------------------------------- */

static hardy_status env_add(struct step_command *c, char *entry) {
    size_t count = 0;
    while (c->env && c->env[count]) {
        count++;
    }
    char **grown = entry ? realloc(c->env, (count + 2) * sizeof *grown) : NULL;
    if (!grown) {
        free(entry);
        return HARDY_E_NOMEM;
    }
    grown[count] = entry;
    grown[count + 1] = NULL;
    c->env = grown;
    return HARDY_OK;
}

/* --- commands
 * -------------------------------------------------------------------------------------------- */

/* The end of the expression that begins at "${{", behind its "}}"; NULL when it has none. */
static const char *expression_end(const char *at) {
    const char *end = strstr(at, "}}");
    return end ? end + 2 : NULL;
}

/* A shell text: each value goes into a variable of its own, which stands in its place. */
static hardy_status expand_shell(const char *text, struct view *view, struct step_command *c,
                                 unsigned *number, char **out, hardy_error *error) {
    struct buf shell, value;
    hardy_status status = HARDY_OK;
    buf_init(&shell, MAX_TEXT);
    buf_init(&value, MAX_TEXT);
    const char *at = text;
    for (const char *begin = strstr(at, "${{"); begin && status == HARDY_OK;
         begin = strstr(at, "${{")) {
        const char *end = expression_end(begin);
        buf_append(&shell, at, (size_t)(begin - at));
        char *expression = end ? str_ndup(begin, (size_t)(end - begin)) : NULL;
        buf_reset(&value);
        status = expression ? template_expand(expression, look_up, view, &value, error)
                            : fail(error, HARDY_E_SYNTAX, NULL, "`${{` without its `}}`");
        free(expression);
        if (status == HARDY_OK) {
            buf_printf(&shell, "${HARDY_VALUE_%u}", ++*number);
            status =
                env_add(c, str_format("HARDY_VALUE_%u=%s", *number, value.data ? value.data : ""));
        }
        at = end ? end : begin + strlen(begin);
    }
    buf_puts(&shell, at);
    *out = status == HARDY_OK && !shell.failed ? buf_take(&shell) : NULL;
    buf_free(&shell);
    buf_free(&value);
    if (status == HARDY_OK && !*out) {
        status = fail(error, HARDY_E_TOO_LARGE, NULL, "the command is larger than 1 MiB");
    }
    return status;
}

static hardy_status expand_argument(const char *text, struct view *view, char **out,
                                    hardy_error *error) {
    struct buf value;
    buf_init(&value, MAX_TEXT);
    hardy_status status = template_expand(text, look_up, view, &value, error);
    *out = status == HARDY_OK ? buf_take(&value) : NULL;
    buf_free(&value);
    if (status == HARDY_OK && !*out) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for an argument");
    }
    return status;
}

static void free_strings(char **list) {
    for (size_t i = 0; list && list[i]; i++) {
        free(list[i]);
    }
    free(list);
}

static hardy_status expand_command(const struct schema_command *command, struct view *view,
                                   struct step_command *c, unsigned *number, char ***out,
                                   hardy_error *error) {
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
        status = command->shell && i == count - 1
                     ? expand_shell(command->argv[i], view, c, number, &argv[i], error)
                     : expand_argument(command->argv[i], view, &argv[i], error);
    }
    if (status != HARDY_OK) {
        free_strings(argv);
        return status;
    }
    *out = argv;
    return HARDY_OK;
}

hardy_status step_expand(const struct workflow *w, size_t step, const struct run *run,
                         const char *const *base, struct step_command *out, hardy_error *error) {
    const struct step_settings *s = &((const struct step_settings *)w->steps.items)[step];
    struct view view = {build_root(run, step, base)};
    unsigned number = 0;
    *out = (struct step_command){0};
    hardy_status status =
        view.root ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", s->name);
    for (size_t i = 0; base && base[i] && status == HARDY_OK; i++) {
        status = env_add(out, str_dup(base[i]));
    }
    if (status == HARDY_OK) {
        status = env_add(out, str_format("HARDY_RUN_ID=%s", run->id));
    }
    if (status == HARDY_OK) {
        status = env_add(out, str_format("HARDY_STEP=%s", s->name));
    }
    if (status == HARDY_OK) {
        status = expand_command(&s->run, &view, out, &number, &out->argv, error);
    }
    if (status == HARDY_OK && s->probe.argv) {
        status = expand_command(&s->probe, &view, out, &number, &out->probe, error);
    }
    json_decref(view.root);
    if (status != HARDY_OK) {
        error_prefix(error, "step `%s`: ", s->name);
        step_command_free(out);
    }
    return status;
}

void step_command_free(struct step_command *c) {
    free_strings(c->argv);
    free_strings(c->probe);
    free_strings(c->env);
    *c = (struct step_command){0};
}

/* --- before anything runs
 * ------------------------------------------------------------------------------------ */

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
