/* SPDX-License-Identifier: Apache-2.0 */
/* What the expressions of a step see. */
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "config/template.h"
#include "work/expand.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUE = 16 << 20, MAX_NAME = 512 };

static json_t *look_up(void *ctx, const char *path);

static const struct workflow_step *says(const struct run_step *step) {
    return step->says;
}

void scope_init(struct scope *s, const struct run *run, struct run_step *at,
                const char *const *env) {
    *s = (struct scope){.run = run, .at = at, .env = env, .made = json_array()};
    hardy_error_init(&s->error, sizeof s->error);
}

void scope_free(struct scope *s) {
    json_decref(s->made);
    s->made = NULL;
}

static json_t *keep(struct scope *s, json_t *value) {
    return value && json_array_append_new(s->made, value) == 0 ? value : NULL;
}

/* --- outputs ------------------------------------------------------------------------------------
 */

/* Objects and arrays come as such, everything else as text without its last newlines; what is no
 * text, or is not all there, cannot be used in an expression. */
static json_t *leaf_value(const struct run_step *step) {
    const struct record *r = &step->record;
    const struct workflow_step *from = says(step);
    const char *output = r->output ? r->output : "";
    size_t len = r->output_len, start = strspn(output, " \t\r\n");
    int as = from ? from->s.output : OUTPUT_AUTO;
    if (r->truncated) { /* half of it must not be taken for all */
        return NULL;
    }
    if (as == OUTPUT_JSON) {
        return json_loadb(output, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    }
    if (as == OUTPUT_AUTO && (output[start] == '{' || output[start] == '[')) {
        json_t *value = json_loadb(output, len, JSON_REJECT_DUPLICATES, NULL);
        if (value) {
            return value;
        }
    }
    while (len > 0 && output[len - 1] == '\n') {
        len--;
    }
    return json_stringn(output, len); /* NULL: not UTF-8 */
}

static json_t *value_of(struct run_step *step);

static json_t *group_value(struct run_step *step) {
    if (step->kind == RUN_SEQUENCE) {
        return step->count ? json_incref(value_of(step->children[step->count - 1])) : json_null();
    }
    json_t *all = step->kind == RUN_PARALLEL ? json_object() : json_array();
    for (size_t i = 0; i < step->count && all; i++) {
        json_t *value = value_of(step->children[i]);
        int rc = step->kind == RUN_PARALLEL ? json_object_set(all, step->children[i]->name, value)
                                            : json_array_append(all, value);
        if (rc != 0) {
            json_decref(all);
            all = NULL;
        }
    }
    return all;
}

/* By its own condition or that of a group above it. */
static bool is_skipped(const struct run_step *step) {
    while (step && step->record.state != RECORD_SKIPPED) {
        step = step->parent;
    }
    return step != NULL;
}

/* Borrowed; null for what was skipped, NULL for what cannot be a value. */
static json_t *value_of(struct run_step *step) {
    if (!step->value) {
        step->value = is_skipped(step)         ? json_null()
                      : step->kind == RUN_LEAF ? leaf_value(step)
                                               : group_value(step);
    }
    return step->value;
}

/* --- where a step stands ------------------------------------------------------------------------
 */

/* The group that is a nested workflow: what is in it sees nothing outside. */
static bool is_nested(const struct run_step *step) {
    return step->kind == RUN_SEQUENCE && says(step) && says(step)->kind == STEP_WORKFLOW;
}

static struct run_step *search(struct run_step *step, const char *name, size_t len) {
    if (strlen(step->name) == len && memcmp(step->name, name, len) == 0) {
        return step;
    }
    struct run_step *found = NULL;
    bool closed = step->kind == RUN_EACH || is_nested(step);
    for (size_t i = 0; i < step->count && !found && !closed; i++) {
        found = search(step->children[i], name, len);
    }
    return found;
}

/* Of the steps that are over before `at` begins. */
static struct run_step *find_before(const struct scope *s, const char *name, size_t len) {
    struct run_step *found = NULL;
    const char *own = s->own ? says(s->at)->s.name : ""; /* of an item, that of all of them */
    if (s->own && strlen(own) == len && memcmp(own, name, len) == 0) {
        return s->at;
    }
    for (struct run_step *at = s->at; at->parent && !found; at = at->parent) {
        for (size_t i = 0; at->parent->kind == RUN_SEQUENCE && i < at->place && !found; i++) {
            found = search(at->parent->children[i], name, len);
        }
        if (is_nested(at->parent)) {
            break;
        }
    }
    return found;
}

static struct run_step *find_item(const struct scope *s) {
    for (struct run_step *at = s->at; at->parent; at = at->parent) {
        if (at->parent->kind == RUN_EACH) {
            return at;
        }
        if (is_nested(at->parent)) {
            break;
        }
    }
    return NULL;
}

/* The step whose `input` is that of the workflow `at` stands in: a nested one's, or the root. */
static struct run_step *find_entry(const struct scope *s) {
    struct run_step *at = s->at;
    while (at->parent) {
        at = at->parent;
        if (is_nested(at)) {
            return at;
        }
    }
    return at;
}

/* A problem that is not that of the path: told instead of "no such thing". */
static json_t *broken(struct scope *s, hardy_status status, const hardy_error *error) {
    if (s->status == HARDY_OK) {
        s->status = status;
        s->error = *error;
    }
    return NULL;
}

/* A node of the file with its texts filled in. A new reference. */
static hardy_status fill_node(struct scope *s, const struct yaml_node *node, json_t **out,
                              hardy_error *error) {
    hardy_status status = HARDY_OK;
    *out = NULL;
    if (node->kind == YAML_SCALAR && template_used(node->text)) {
        return template_value(node->text, look_up, s, out, error);
    }
    if (node->kind == YAML_LIST || node->kind == YAML_MAP) {
        *out = node->kind == YAML_LIST ? json_array() : json_object();
        for (size_t i = 0; i < node->count && status == HARDY_OK && *out; i++) {
            json_t *value;
            status = fill_node(s, node->items[i], &value, error);
            if (status == HARDY_OK &&
                (node->kind == YAML_LIST ? json_array_append_new(*out, value)
                                         : json_object_set_new(*out, node->keys[i]->text, value))) {
                status = fail(error, HARDY_E_NOMEM, NULL, "no memory for a value");
            }
        }
    } else {
        struct buf text;
        buf_init(&text, MAX_VALUE);
        yaml_to_json(node, &text);
        *out = json_loadb(text.data ? text.data : "null", text.len ? text.len : 4, JSON_DECODE_ANY,
                          NULL);
        buf_free(&text);
    }
    if (status == HARDY_OK && !*out) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for a value");
    }
    if (status != HARDY_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

hardy_status scope_node(struct scope *s, const struct yaml_node *node, json_t **out,
                        hardy_error *error) {
    hardy_status status = fill_node(s, node, out, error);
    return s->status != HARDY_OK ? scope_failed(s, error) : status;
}

static json_t *input_of(struct scope *s) {
    struct run_step *entry = find_entry(s);
    if (entry->input) {
        return entry->input;
    }
    if (!entry->parent) {
        entry->input = json_loads(s->run->input, JSON_DECODE_ANY, NULL);
        return entry->input;
    }
    const struct yaml_node *node = says(entry)->s.input;
    struct scope outer;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    scope_init(&outer, s->run, entry, s->env);
    hardy_status status = node ? scope_node(&outer, node, &entry->input, &error) : HARDY_OK;
    scope_free(&outer);
    if (!node) {
        entry->input = json_object();
    }
    if (status != HARDY_OK) {
        error_prefix(&error, "the input of `%s`", entry->name);
        return broken(s, status, &error);
    }
    return entry->input;
}

void scope_items_hash(const json_t *items, char out[65]) {
    struct buf text;
    buf_init(&text, MAX_VALUE);
    template_put_json(items, &text);
    sha256_hex(text.data ? text.data : "", text.len, out);
    buf_free(&text);
}

static hardy_status make_items(struct scope *s, struct run_step *each, hardy_error *error) {
    const struct yaml_node *node = says(each)->s.for_each;
    struct scope here;
    json_t *list = NULL;
    char hash[65];
    scope_init(&here, s->run, each, s->env);
    hardy_status status = scope_node(&here, node, &list, error);
    scope_free(&here);
    if (status == HARDY_OK && !json_is_array(list)) {
        status =
            fail(error, HARDY_E_INVALID, NULL,
                 "step `%s`: for_each needs a list, and `%.100s` is none", each->name, node->text);
    }
    if (status == HARDY_OK && json_array_size(list) >= RUN_STEPS_MAX) {
        status = fail(error, HARDY_E_TOO_LARGE, NULL, "step `%s`: %zu items; at most %d can be",
                      each->name, json_array_size(list), RUN_STEPS_MAX - 1);
    }
    if (status == HARDY_OK && each->record.state == RECORD_STARTED) {
        scope_items_hash(list, hash);
        if (!str_eq(hash, each->record.inputs)) {
            status = fail(error, HARDY_E_MISMATCH, NULL,
                          "the list of step `%s` is not the one that it began with, of %u items: "
                          "it depends on the environment or on a changed definition",
                          each->name, (unsigned)each->record.items);
        }
    }
    if (status != HARDY_OK) {
        json_decref(list);
        return status;
    }
    json_decref(each->input);
    each->input = list;
    return HARDY_OK;
}

hardy_status scope_items(struct scope *s, const json_t **out, hardy_error *error) {
    struct run_step *each = s->at;
    hardy_status status = each->input ? HARDY_OK : make_items(s, each, error);
    *out = each->input;
    return status;
}

static json_t *item_of(struct scope *s, bool index) {
    struct run_step *item = find_item(s);
    hardy_error error;
    if (!item) {
        return NULL;
    }
    if (index) {
        return keep(s, json_integer((json_int_t)item->place));
    }
    hardy_error_init(&error, sizeof error);
    hardy_status status = item->parent->input ? HARDY_OK : make_items(s, item->parent, &error);
    return status == HARDY_OK ? json_array_get(item->parent->input, item->place)
                              : broken(s, status, &error);
}

/* --- looking up ---------------------------------------------------------------------------------
 */

static json_t *env_value(struct scope *s, const char *name) {
    size_t len = strlen(name);
    for (const char *const *e = s->env; e && *e; e++) {
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=') {
            return keep(s, s->without_env ? json_pack("s++", "${{ env.", name, " }}")
                                          : json_string(*e + len + 1));
        }
    }
    return NULL;
}

static json_t *env_names(struct scope *s) {
    json_t *names = json_object();
    for (const char *const *e = s->env; e && *e; e++) {
        json_object_setn_new_nocheck(names, *e, strcspn(*e, "="), json_null());
    }
    return keep(s, names);
}

/* Why there is no value: of the first step in it whose output cannot be one. */
static json_t *no_value(struct scope *s, struct run_step *step) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    for (struct run_step *at = step; at; at = run_step_after(step, at)) {
        if (at->kind != RUN_LEAF || value_of(at)) {
            continue;
        }
        char *path = run_step_path(at);
        bool json = says(at) && says(at)->s.output == OUTPUT_JSON;
        fail(&error, HARDY_E_INVALID, NULL, "`steps.%s.output` cannot be used: it is %s",
             path ? path : at->name,
             at->record.truncated ? "longer than 4 MiB, and only its beginning was kept"
             : json               ? "not JSON, which the step's `output` says"
                                  : "not UTF-8");
        free(path);
        return broken(s, HARDY_E_INVALID, &error);
    }
    return NULL;
}

/* "NAME.output" and what follows; names may hold dots. */
static json_t *step_value(struct scope *s, const char *path) {
    for (const char *dot = strstr(path, ".output"); dot; dot = strstr(dot + 1, ".output")) {
        const char *rest = dot + strlen(".output");
        struct run_step *step = find_before(s, path, (size_t)(dot - path));
        if (step && (*rest == '\0' || *rest == '.')) {
            json_t *value = value_of(step);
            return value ? template_walk(value, *rest ? rest + 1 : "") : no_value(s, step);
        }
    }
    struct run_step *step = find_before(s, path, strlen(path));
    return step ? keep(s, json_pack("{s:n}", "output")) : NULL;
}

/* Names that exist, for a text that says what was perhaps meant. */
static json_t *step_names(struct scope *s) {
    json_t *names = json_object();
    for (struct run_step *at = s->at; at->parent; at = at->parent) {
        for (size_t i = 0; at->parent->kind == RUN_SEQUENCE && i < at->place; i++) {
            json_object_set_new(names, at->parent->children[i]->name, json_null());
        }
        if (is_nested(at->parent)) {
            break;
        }
    }
    return keep(s, names);
}

static json_t *outermost(struct scope *s) {
    json_t *names = json_pack("{s:n, s:n, s:n}", "input", "steps", "env");
    if (find_item(s)) {
        json_object_set_new(names, "item", json_null());
        json_object_set_new(names, "index", json_null());
    }
    return keep(s, names);
}

static json_t *below(json_t *value, const char *path, const char *name) {
    size_t len = strlen(name);
    return value ? template_walk(value, path[len] ? path + len + 1 : "") : NULL;
}

static bool is_in(const char *path, const char *name) {
    size_t len = strlen(name);
    return strncmp(path, name, len) == 0 && (path[len] == '\0' || path[len] == '.');
}

static json_t *look_up(void *ctx, const char *path) {
    struct scope *s = ctx;
    if (path[0] == '\0') {
        return outermost(s);
    }
    if (is_in(path, "input")) {
        return below(input_of(s), path, "input");
    }
    if (is_in(path, "item")) {
        return below(item_of(s, false), path, "item");
    }
    if (is_in(path, "index")) {
        return below(item_of(s, true), path, "index");
    }
    if (is_in(path, "env")) {
        return path[3] ? env_value(s, path + 4) : env_names(s);
    }
    if (is_in(path, "steps")) {
        return path[5] ? step_value(s, path + 6) : step_names(s);
    }
    return NULL;
}

json_t *step_value_of(struct run_step *step) {
    return value_of(step);
}

template_lookup scope_lookup(void) {
    return look_up;
}

hardy_status scope_failed(struct scope *s, hardy_error *error) {
    hardy_status status = s->status;
    if (error) {
        *error = s->error;
    }
    s->status = HARDY_OK;
    return status;
}

hardy_status scope_when(struct scope *s, const struct workflow_step *step, bool *holds,
                        hardy_error *error) {
    *holds = true;
    if (!step->s.when) {
        return HARDY_OK;
    }
    hardy_status status = template_truth(step->s.when, look_up, s, holds, error);
    status = s->status != HARDY_OK ? scope_failed(s, error) : status;
    if (status != HARDY_OK) {
        error_prefix(error, "when of step `%s`", step->s.name);
    }
    return status;
}

hardy_status scope_text(struct scope *s, const char *text, char **out, hardy_error *error) {
    struct buf filled;
    buf_init(&filled, MAX_VALUE);
    hardy_status status = template_expand(text, look_up, s, &filled, error);
    status = s->status != HARDY_OK ? scope_failed(s, error) : status;
    *out = status == HARDY_OK ? buf_take(&filled) : NULL;
    buf_free(&filled);
    return status == HARDY_OK && !*out ? fail(error, HARDY_E_NOMEM, NULL, "no memory for a text")
                                       : status;
}
