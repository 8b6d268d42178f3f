/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the expressions of a workflow can hold at all, before anything runs. */
#include "base/error.h"
#include "base/str.h"
#include "work/environment.h"
#include "work/expand.h"
#include <stdlib.h>
#include <string.h>

/* Whether `path` is "NAME.output" or something below it. */
static bool is_output_of(const char *path, const struct workflow_step *step) {
    size_t len = strlen(step->s.name);
    return strncmp(path, step->s.name, len) == 0 &&
           (str_eq(path + len, ".output") || str_starts(path + len, ".output."));
}

/* What is inside a for_each has many outputs: only the whole list can be named. */
static bool is_inside(const struct workflow_step *step, const char *path) {
    if (is_output_of(path, step)) {
        return true;
    }
    bool found = false;
    for (size_t i = 0; i < step->count && !found && !step->s.for_each; i++) {
        found = is_inside(step->children[i], path);
    }
    return found;
}

static bool is_before(const struct workflow_step *step, const char *path) {
    const struct workflow_step *parent = step->parent;
    struct workflow_step *const *siblings = parent ? parent->children : step->workflow->steps;
    bool found = false;
    for (size_t i = 0; i < step->place && !found && (!parent || parent->kind == STEP_SEQUENCE);
         i++) {
        found = is_inside(siblings[i], path);
    }
    return found || (parent && is_before(parent, path));
}

static bool has_item(const struct workflow_step *step) {
    for (; step; step = step->parent) {
        if (step->s.for_each) {
            return true;
        }
    }
    return false;
}

static bool is_in(const char *path, const char *name) {
    size_t len = strlen(name);
    return strncmp(path, name, len) == 0 && (path[len] == '\0' || path[len] == '.');
}

struct knowing {
    const struct workflow_step *step;
    bool own;     /* its own output too */
    bool outside; /* not yet inside its own for_each */
};

static bool is_known(void *ctx, const char *path) {
    const struct knowing *k = ctx;
    if (is_in(path, "input") || str_starts(path, "env.")) {
        return true;
    }
    if (is_in(path, "item") || str_eq(path, "index")) {
        return has_item(k->outside ? k->step->parent : k->step);
    }
    return str_starts(path, "steps.") &&
           ((k->own && is_output_of(path + 6, k->step)) || is_before(k->step, path + 6));
}

static hardy_status refuse(const struct knowing *k, const struct yaml_node *node,
                           const hardy_error *why, hardy_error *error) {
    return yaml_fail(
        node, error,
        "%s; known are input.NAME, env.NAME%s and steps.NAME.output of the steps above",
        why->message, has_item(k->step) ? ", item, index" : "");
}

/* Every text in it, at whatever depth. */
static hardy_status check_node(struct knowing *k, const struct yaml_node *node,
                               hardy_error *error) {
    hardy_status status = HARDY_OK;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (node && node->kind == YAML_SCALAR &&
        template_check(node->text, is_known, k, &why) != HARDY_OK) {
        return refuse(k, node, &why, error);
    }
    for (size_t i = 0; node && i < node->count && status == HARDY_OK; i++) {
        status = check_node(k, node->items[i], error);
    }
    return status;
}

static hardy_status check_when(struct knowing *k, const struct yaml_node *node,
                               hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (node && template_check_truth(node->text, is_known, k, &why) != HARDY_OK) {
        return refuse(k, node, &why, error);
    }
    return HARDY_OK;
}

hardy_status step_check(const struct workflow_step *step, hardy_error *error) {
    static const char *const keys[] = {"run",   "http",    "ensure", "file", "until",
                                       "sleep", "approve", "input",  "probe"};
    struct knowing k = {.step = step, .outside = true};
    hardy_status status = check_when(&k, yaml_get(step->node, "when"), error);
    if (status == HARDY_OK) {
        status = check_node(&k, yaml_get(step->node, "for_each"), error);
    }
    k.outside = false;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == HARDY_OK; i++) {
        status = check_node(&k, yaml_get(step->node, keys[i]), error);
    }
    k.own = true;
    return status == HARDY_OK ? check_node(&k, yaml_get(step->node, "compensate"), error) : status;
}

const char *step_quoted_value(const char *text) {
    char quote = 0;
    for (const char *at = text; *at; at++) {
        bool comment = *at == '#' && !quote && (at == text || strchr(" \t\n;", at[-1]));
        if (comment) {
            at += strcspn(at, "\n");
            if (!*at) {
                break;
            }
        } else if (*at == '\\' && quote != '\'' && at[1]) {
            at++;
        } else if (*at == quote) {
            quote = 0;
        } else if (!quote && (*at == '\'' || *at == '"')) {
            quote = *at;
        } else if (strncmp(at, "${{", 3) == 0) {
            if (quote == '\'') {
                return at;
            }
            const char *end = strstr(at, "}}"); /* what is inside has quotes of its own */
            at = end ? end + 1 : at + 2;
        }
    }
    return NULL;
}

/* --- with the input, before anything runs -------------------------------------------------------
 */

struct given {
    json_t *root; /* {"input": ..., "env": ...} */
    hardy_status status;
    hardy_error *error;
};

static bool is_given(void *ctx, const char *path) {
    const struct given *g = ctx;
    return !(is_in(path, "input") || is_in(path, "env")) || template_walk(g->root, path) != NULL;
}

static hardy_status check_given(struct given *g, const struct yaml_node *node, bool truth) {
    hardy_status status = HARDY_OK;
    if (node && node->kind == YAML_SCALAR) {
        status = truth ? template_check_truth(node->text, is_given, g, g->error)
                       : template_check(node->text, is_given, g, g->error);
    }
    for (size_t i = 0; node && i < node->count && status == HARDY_OK; i++) {
        status = check_given(g, node->items[i], truth);
    }
    return status;
}

static bool check_step_input(void *ctx, const struct workflow_step *step) {
    struct given *g = ctx;
    for (size_t i = 0; i < step->node->count && g->status == HARDY_OK; i++) {
        const char *key = step->node->keys[i]->text;
        if (!str_eq(key, "parallel") && !str_eq(key, "steps")) {
            g->status = check_given(g, step->node->items[i], str_eq(key, "when"));
        }
    }
    if (g->status != HARDY_OK) {
        error_prefix(g->error, "step `%s`", step->s.name);
    }
    return g->status == HARDY_OK;
}

static json_t *env_object(const char *const *env) {
    json_t *object = json_object();
    for (; env && *env; env++) {
        json_object_setn_new_nocheck(object, *env, strcspn(*env, "="), json_null());
    }
    return object;
}

/* What a nested workflow is given is known only when it is reached. */
hardy_status workflow_check_input(const struct workflow *w, const char *input,
                                  const char *const *env, hardy_error *error) {
    struct given g = {json_pack("{s:o, s:o}", "input", json_loads(input, JSON_DECODE_ANY, NULL),
                                "env", env_object(env)),
                      HARDY_OK, error};
    if (!g.root) {
        return fail(error, HARDY_E_NOMEM, w->path, "no memory to read the input");
    }
    (void)workflow_each_own(w, check_step_input, &g);
    json_decref(g.root);
    return g.status;
}
