/* SPDX-License-Identifier: Apache-2.0 */
/* A workflow file, read. */
#include "work/workflow.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/sha256.h"
#include "base/str.h"
#include "config/template.h"
#include "io/file.h"
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

enum { MAX_DEFINITION = 4 << 20, NESTED_MAX = 6, GROUPS_MAX = 8 };

static const char *const in_doubt_words[] = {"ask", "probe", "rerun", "fail", NULL};
static const char *const output_words[] = {"json", "text", NULL};

static const char *const kind_words[STEP_KINDS] = {
    [STEP_RUN] = "run",          [STEP_HTTP] = "http",         [STEP_ENSURE] = "ensure",
    [STEP_FILE] = "file",        [STEP_UNTIL] = "until",       [STEP_SLEEP] = "sleep",
    [STEP_APPROVE] = "approve",  [STEP_PARALLEL] = "parallel", [STEP_SEQUENCE] = "steps",
    [STEP_WORKFLOW] = "workflow"};

const char *step_kind_text(enum step_kind kind) {
    return kind_words[kind];
}

/* --- the keys -----------------------------------------------------------------------------------
 */

static const struct schema_key http_keys[] = {
    {.name = "method",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_http, method),
     .def = "GET",
     .help = "GET, HEAD, PUT, DELETE, POST, PATCH; POST and PATCH are not repeated unless in_doubt "
             "says rerun"},
    {.name = "url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_http, url),
     .required = true,
     .help = "http:// or https://"},
    {.name = "headers",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_http, headers),
     .help = "a map of texts; POST and PATCH get an Idempotency-Key unless one is given"},
    {.name = "json",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_http, json),
     .help = "the body, sent as application/json"},
    {.name = "body",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_http, body),
     .help = "the body as a text, instead of json"},
    {.name = "expect",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct step_http, expect),
     .help = "statuses that are a success, 200 or 2xx; without it 2xx"},
};
static const struct schema_section http_section = {"http", http_keys, COUNT(http_keys),
                                                   sizeof(struct step_http)};

static const struct schema_key ensure_keys[] = {
    {.name = "probe",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_ensure, probe),
     .required = true,
     .help = "exit 0: it is there as wanted (printed); 1: it is not; 2: it is there and differs"},
    {.name = "create",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_ensure, create),
     .required = true,
     .help =
         "makes it; when it fails, the probe is asked again: somebody else may have been first"},
    {.name = "update",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_ensure, update),
     .help = "makes what differs as wanted"},
};
static const struct schema_section ensure_section = {"ensure", ensure_keys, COUNT(ensure_keys),
                                                     sizeof(struct step_ensure)};

static const struct schema_key file_keys[] = {
    {.name = "folder",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_file, folder),
     .required = true,
     .help = "where, from the workflow's folder; made when it is not there"},
    {.name = "content",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_file, content),
     .required = true,
     .help = "what it holds; its name is made from this, so the same content is one file"},
    {.name = "prefix",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_file, prefix),
     .help = "before the name"},
    {.name = "suffix",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_file, suffix),
     .help = "behind it, such as .txt"},
};
static const struct schema_section file_section = {"file", file_keys, COUNT(file_keys),
                                                   sizeof(struct step_file)};

static const struct schema_key approve_keys[] = {
    {.name = "message",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_approve, message),
     .help = "what is to be approved, for the person"},
    {.name = "expires",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct step_approve, expires),
     .def = "never",
     .never = true,
     .min = "1s",
     .help = "how long it is waited for; then the run ends with 5"},
};
static const struct schema_section approve_section = {"approve", approve_keys, COUNT(approve_keys),
                                                      sizeof(struct step_approve)};

#define GIVEN(kind) .given_offset = offsetof(struct step_settings, given[kind])

static const struct schema_key step_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct step_settings, name),
     .required = true,
     .help = "of the step; its record is found by it"},
    {.name = "run",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, run),
     GIVEN(STEP_RUN),
     .help = "a list is executed; a text is /bin/sh -eu"},
    {.name = "http",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct step_settings, http),
     .section = &http_section,
     .shorthand = "url",
     GIVEN(STEP_HTTP),
     .help = "a request; its result is the body"},
    {.name = "ensure",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct step_settings, ensure),
     .section = &ensure_section,
     GIVEN(STEP_ENSURE),
     .help = "makes sure that something is there: already_exists, updated or created"},
    {.name = "file",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct step_settings, file),
     .section = &file_section,
     GIVEN(STEP_FILE),
     .help = "writes a file whose name follows from its content"},
    {.name = "until",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, until),
     GIVEN(STEP_UNTIL),
     .help = "waits until this command ends with 0; what it prints then is the result; one look "
             "takes at most 30s"},
    {.name = "every",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct step_settings, every),
     .min = "10ms",
     .help = "between two looks of until; without it they begin 1s apart and end 30s apart"},
    {.name = "sleep",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_settings, sleep),
     GIVEN(STEP_SLEEP),
     .help = "waits for so long; a restart does not begin it anew"},
    {.name = "approve",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct step_settings, approve),
     .section = &approve_section,
     .shorthand = "message",
     GIVEN(STEP_APPROVE),
     .help = "waits for a person: hardy workflows approve ID STEP"},
    {.name = "parallel",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_settings, parallel),
     GIVEN(STEP_PARALLEL),
     .help = "a list of steps that are done at once; the result is a map of theirs"},
    {.name = "steps",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_settings, steps),
     GIVEN(STEP_SEQUENCE),
     .help = "a list of steps, one after another; the result is the last one's"},
    {.name = "workflow",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_settings, workflow),
     GIVEN(STEP_WORKFLOW),
     .help = "another workflow's file; the result is its last step's"},
    {.name = "input",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_settings, input),
     .help = "of that workflow, a map"},
    {.name = "when",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct step_settings, when),
     .help = "an expression; the step is skipped when it does not hold"},
    {.name = "for_each",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_settings, for_each),
     .help = "a list, or an expression that gives one: the step is done for each `item` (its place "
             "is `index`); the result is a list"},
    {.name = "max_concurrent",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct step_settings, max_concurrent),
     .min = "1",
     .max = "1000",
     .help = "of parallel and for_each, how many at once; without it all, and one by one"},
    {.name = "probe",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, probe),
     .help = "asked when nobody knows how it ended: exit 0 done (its output is the result), 1 not "
             "done, else unknown"},
    {.name = "in_doubt",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct step_settings, in_doubt),
     .words = in_doubt_words,
     .help =
         "rerun, probe, ask or fail; probe if there is one, else ask; rerun for GET, HEAD, PUT, "
         "DELETE, ensure and file"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct step_settings, timeout),
     .def = "never",
     .never = true,
     .min = "1ms",
     .help = "of one attempt; of until in all"},
    {.name = "retry",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct step_settings, retry),
     .help = "a retry policy of the step's own, with the keys of guards.NAME.retry"},
    {.name = "guard",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct step_settings, guard),
     .help = "name under guards: of the configuration"},
    {.name = "compensate",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct step_settings, compensate),
     .help = "undoes the step, when a later one fails or the run is cancelled"},
    {.name = "output",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct step_settings, output),
     .words = output_words,
     .help = "json or text; without it JSON when it is an object or a list"},
};
const struct schema_section step_section = {"step", step_keys, COUNT(step_keys),
                                            sizeof(struct step_settings)};

struct raw {
    char *name;
    struct schema_strings secrets;
    struct schema_list steps;
};
static const struct schema_key workflow_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct raw, name),
     .required = true,
     .help = "of the workflow"},
    {.name = "secrets",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct raw, secrets),
     .help = "names of variables whose values are replaced by *** in all that is recorded and "
             "told"},
    {.name = "steps",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct raw, steps),
     .section = &step_section,
     .required = true,
     .help = "what is done, one after another"},
};
const struct schema_section workflow_section = {"workflow", workflow_keys, COUNT(workflow_keys),
                                                sizeof(struct raw)};

/* --- what goes with what ------------------------------------------------------------------------
 */

#define BIT(kind) (1U << (kind))
#define COMMANDS (BIT(STEP_RUN) | BIT(STEP_HTTP) | BIT(STEP_ENSURE) | BIT(STEP_FILE))
#define GROUPS (BIT(STEP_PARALLEL) | BIT(STEP_SEQUENCE) | BIT(STEP_WORKFLOW))

static const struct {
    const char *key;
    unsigned kinds;
    const char *with;
} companions[] = {
    {"every", BIT(STEP_UNTIL), "until"},
    {"input", BIT(STEP_WORKFLOW), "workflow"},
    {"probe", BIT(STEP_RUN) | BIT(STEP_HTTP), "run and http"},
    {"in_doubt", BIT(STEP_RUN) | BIT(STEP_HTTP), "run and http"},
    {"timeout", COMMANDS | BIT(STEP_UNTIL), "run, http, ensure, file and until"},
    {"retry", COMMANDS, "run, http, ensure and file"},
    {"guard", COMMANDS, "run, http, ensure and file"},
    {"compensate", COMMANDS, "run, http, ensure and file"},
    {"output", BIT(STEP_RUN) | BIT(STEP_HTTP) | BIT(STEP_UNTIL), "run, http and until"},
};

static hardy_status find_kind(struct workflow_step *step, hardy_error *error) {
    int found = -1;
    for (int kind = 0; kind < STEP_KINDS; kind++) {
        if (!step->s.given[kind]) {
            continue;
        }
        if (found >= 0) {
            return yaml_fail(step->node, error, "step `%s` has both `%s` and `%s`; one step is one",
                             step->s.name, kind_words[found], kind_words[kind]);
        }
        found = kind;
    }
    if (found < 0) {
        return yaml_fail(step->node, error,
                         "step `%s` does nothing: one of run, http, ensure, file, until, sleep, "
                         "approve, parallel, steps, workflow is needed",
                         step->s.name);
    }
    step->kind = (enum step_kind)found;
    return HARDY_OK;
}

static hardy_status check_companions(const struct workflow_step *step, hardy_error *error) {
    for (size_t i = 0; i < COUNT(companions); i++) {
        const struct yaml_node *node = yaml_get(step->node, companions[i].key);
        if (node && !(companions[i].kinds & BIT(step->kind))) {
            return yaml_fail(node, error, "step `%s`: %s goes with %s, not with %s", step->s.name,
                             companions[i].key, companions[i].with, kind_words[step->kind]);
        }
    }
    const struct yaml_node *node = yaml_get(step->node, "max_concurrent");
    if (node && step->kind != STEP_PARALLEL && !step->s.for_each) {
        return yaml_fail(node, error, "step `%s`: max_concurrent goes with parallel and for_each",
                         step->s.name);
    }
    if (step->s.for_each && step->kind == STEP_PARALLEL && node) {
        return yaml_fail(node, error,
                         "step `%s`: max_concurrent would be of for_each or of parallel: put the "
                         "one into the other",
                         step->s.name);
    }
    return HARDY_OK;
}

static bool is_repeatable(const struct workflow_step *step) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
    for (size_t i = 0; i < COUNT(methods) && step->kind == STEP_HTTP; i++) {
        if (str_eq(step->s.http.method, methods[i])) {
            return true;
        }
    }
    return step->kind == STEP_ENSURE || step->kind == STEP_FILE;
}

static hardy_status check_command(struct workflow_step *step, hardy_error *error) {
    const struct step_settings *s = &step->s;
    if (s->in_doubt == IN_DOUBT_PROBE && !s->probe.argv) {
        return yaml_fail(step->node, error, "step `%s` says in_doubt: probe and has no probe",
                         s->name);
    }
    step->in_doubt = s->in_doubt >= 0      ? (enum in_doubt_policy)s->in_doubt
                     : s->probe.argv       ? IN_DOUBT_PROBE
                     : is_repeatable(step) ? IN_DOUBT_RERUN
                                           : IN_DOUBT_ASK;
    if (s->http.json && s->http.body) {
        return yaml_fail(s->http.json, error, "step `%s` has both `json` and `body`", s->name);
    }
    if (s->http.headers && s->http.headers->kind != YAML_MAP) {
        return yaml_fail(s->http.headers, error, "a map of headers is needed, not %s",
                         yaml_kind_text(s->http.headers));
    }
    return HARDY_OK;
}

static hardy_status check_waits(const struct workflow_step *step, hardy_error *error) {
    const struct step_settings *s = &step->s;
    int64_t span;
    if (step->kind == STEP_SLEEP && !template_used(s->sleep)) {
        hardy_error why;
        hardy_error_init(&why, sizeof why);
        if (parse_duration(s->sleep, &span, &why) != HARDY_OK) {
            return yaml_fail(yaml_get(step->node, "sleep"), error, "step `%s`: %s", s->name,
                             why.message);
        }
    }
    if (s->for_each && s->for_each->kind != YAML_LIST &&
        !(s->for_each->kind == YAML_SCALAR && template_used(s->for_each->text))) {
        return yaml_fail(s->for_each, error,
                         "step `%s`: for_each takes a list, or an expression that gives one",
                         s->name);
    }
    if (s->input && s->input->kind != YAML_MAP) {
        return yaml_fail(s->input, error, "step `%s`: input is a map, not %s", s->name,
                         yaml_kind_text(s->input));
    }
    return HARDY_OK;
}

/* Its own retry policy, read as that of a guard without a name. */
static hardy_status read_retry(struct workflow_step *step, hardy_error *error) {
    if (!step->s.retry) {
        return HARDY_OK;
    }
    struct yaml_node key = {.kind = YAML_SCALAR,
                            .text = "retry",
                            .line = step->s.retry->line,
                            .column = step->s.retry->column,
                            .file = step->s.retry->file};
    struct yaml_node *keys[] = {&key}, *items[] = {(struct yaml_node *)step->s.retry};
    const struct yaml_node map = {.kind = YAML_MAP,
                                  .text = "",
                                  .count = 1,
                                  .items = items,
                                  .keys = keys,
                                  .line = key.line,
                                  .column = key.column,
                                  .file = key.file};
    const struct guard_source source = {.base = GUARD_EMPTY, .node = &map};
    step->retry = calloc(1, sizeof *step->retry);
    return step->retry ? guard_settings_read(&source, step->retry, error)
                       : fail(error, HARDY_E_NOMEM, NULL, "no memory for step %s", step->s.name);
}

/* --- the tree -----------------------------------------------------------------------------------
 */

struct reading {
    const struct reading *outer; /* the workflow this one stands in */
    struct workflow *w;
    hardy_error *error;
    unsigned depth;
};

static hardy_status read_file(const char *path, const struct reading *outer, struct workflow **out,
                              hardy_error *error);
static hardy_status read_list(struct reading *r, const struct yaml_node *list,
                              struct workflow_step *parent, unsigned depth,
                              struct workflow_step ***steps, size_t *count);

static void free_step(struct workflow_step *step) {
    for (size_t i = 0; i < step->count; i++) {
        free_step(step->children[i]);
    }
    free(step->children);
    workflow_free(step->nested);
    if (step->retry) {
        guard_settings_free(step->retry);
    }
    free(step->retry);
    schema_free(&step_section, &step->s);
    free(step);
}

static hardy_status read_nested(struct reading *r, struct workflow_step *step) {
    const struct yaml_node *node = yaml_get(step->node, "workflow");
    bool absolute = step->s.workflow[0] == '/';
    char *path =
        str_format("%s%s%s", absolute ? "" : r->w->folder, absolute ? "" : "/", step->s.workflow);
    char *real = path ? realpath(path, NULL) : NULL;
    hardy_status status = HARDY_OK;
    for (const struct reading *o = r; o && real; o = o->outer) {
        if (str_eq(o->w->path, real)) {
            status = yaml_fail(node, r->error, "step `%s`: the workflow %s would contain itself",
                               step->s.name, real);
        }
    }
    if (status == HARDY_OK && r->depth >= NESTED_MAX) {
        status = yaml_fail(node, r->error, "workflows are nested deeper than %d", NESTED_MAX);
    }
    if (status == HARDY_OK && path) {
        status = read_file(path, r, &step->nested, r->error);
        if (status == HARDY_E_NOT_FOUND) {
            status =
                yaml_fail(node, r->error, "step `%s`: there is no workflow %s", step->s.name, path);
        }
    }
    free(real);
    free(path);
    return path ? status : fail(r->error, HARDY_E_NOMEM, NULL, "no memory for a workflow's path");
}

static hardy_status read_step(struct reading *r, struct workflow_step *step, unsigned depth) {
    hardy_status status = schema_read(&step_section, step->node, &step->s, r->error);
    status = status == HARDY_OK ? find_kind(step, r->error) : status;
    status = status == HARDY_OK ? check_companions(step, r->error) : status;
    status = status == HARDY_OK ? check_command(step, r->error) : status;
    status = status == HARDY_OK ? check_waits(step, r->error) : status;
    status = status == HARDY_OK ? read_retry(step, r->error) : status;
    if (status != HARDY_OK || !(GROUPS & BIT(step->kind))) {
        return status;
    }
    if (step->kind == STEP_WORKFLOW) {
        return read_nested(r, step);
    }
    const struct yaml_node *list = step->kind == STEP_PARALLEL ? step->s.parallel : step->s.steps;
    return read_list(r, list, step, depth + 1, &step->children, &step->count);
}

static hardy_status read_list(struct reading *r, const struct yaml_node *list,
                              struct workflow_step *parent, unsigned depth,
                              struct workflow_step ***steps, size_t *count) {
    hardy_status status = HARDY_OK;
    if (list->kind != YAML_LIST || list->count == 0) {
        return yaml_fail(list, r->error, "a list of steps is needed, with at least one");
    }
    if (depth > GROUPS_MAX) {
        return yaml_fail(list, r->error, "groups are nested deeper than %d", GROUPS_MAX);
    }
    *steps = calloc(list->count, sizeof **steps);
    for (size_t i = 0; i < list->count && *steps && status == HARDY_OK; i++) {
        struct workflow_step *step = calloc(1, sizeof *step);
        if (!step) {
            status = fail(r->error, HARDY_E_NOMEM, r->w->path, "no memory to read it");
            break;
        }
        (*steps)[(*count)++] = step;
        step->workflow = r->w;
        step->parent = parent;
        step->place = i;
        step->node = list->items[i];
        status = read_step(r, step, depth);
    }
    return *steps ? status : fail(r->error, HARDY_E_NOMEM, r->w->path, "no memory to read it");
}

static bool each_step(struct workflow_step *const *steps, size_t count, bool nested,
                      workflow_visit fn, void *ctx) {
    for (size_t i = 0; i < count; i++) {
        const struct workflow_step *step = steps[i];
        if (!fn(ctx, step) || !each_step(step->children, step->count, nested, fn, ctx) ||
            (nested && step->nested &&
             !each_step(step->nested->steps, step->nested->count, nested, fn, ctx))) {
            return false;
        }
    }
    return true;
}

bool workflow_each(const struct workflow *w, workflow_visit fn, void *ctx) {
    return each_step(w->steps, w->count, true, fn, ctx);
}

bool workflow_each_own(const struct workflow *w, workflow_visit fn, void *ctx) {
    return each_step(w->steps, w->count, false, fn, ctx);
}

/* --- checks over all of them --------------------------------------------------------------------
 */

struct naming {
    json_t *lines; /* of the steps so far, by name */
    hardy_error *error;
    hardy_status status;
};

static bool check_name(void *ctx, const struct workflow_step *step) {
    struct naming *n = ctx;
    const json_t *first = json_object_get(n->lines, step->s.name);
    if (first) {
        n->status = yaml_fail(step->node, n->error,
                              "there are two steps of the name `%s`; the first is in line %d",
                              step->s.name, (int)json_integer_value(first));
    } else if (json_object_size(n->lines) == RUN_STEPS_MAX) {
        n->status = yaml_fail(step->node, n->error, "more than %d steps", RUN_STEPS_MAX);
    } else if (json_object_set_new(n->lines, step->s.name, json_integer(step->node->line)) != 0) {
        n->status = fail(n->error, HARDY_E_NOMEM, step->workflow->path, "no memory to read it");
    }
    return n->status == HARDY_OK;
}

static hardy_status check_names(const struct workflow *w, hardy_error *error) {
    struct naming n = {.lines = json_object(), .error = error};
    (void)workflow_each_own(w, check_name, &n);
    json_decref(n.lines);
    return n.status;
}

struct checking {
    hardy_error *error;
    hardy_status status;
};

static bool check_texts(void *ctx, const struct workflow_step *step) {
    struct checking *c = ctx;
    c->status = step_check(step, c->error);
    return c->status == HARDY_OK;
}

/* --- what identifies a definition ---------------------------------------------------------------
 */

/* The map without its children, which have definitions of their own. */
static void put_own(const struct workflow_step *step, struct buf *out) {
    const struct yaml_node *map = step->node;
    for (size_t i = 0; i < map->count; i++) {
        const char *key = map->keys[i]->text;
        if (!str_eq(key, "parallel") && !str_eq(key, "steps")) {
            buf_printf(out, "%s:", key);
            yaml_to_json(map->items[i], out);
            buf_putc(out, '\n');
        }
    }
    if (step->nested) {
        buf_puts(out, step->nested->definition);
    }
}

struct hashing {
    struct sha256 all;
    struct buf text;
};

static bool hash_step(void *ctx, const struct workflow_step *step) {
    struct hashing *h = ctx;
    buf_reset(&h->text);
    put_own(step, &h->text);
    sha256_hex(h->text.data, h->text.len, ((struct workflow_step *)step)->definition);
    sha256_add_part(&h->all, h->text.data, h->text.len);
    return !h->text.failed;
}

static hardy_status hash_steps(struct workflow *w, hardy_error *error) {
    struct hashing h;
    buf_init(&h.text, MAX_DEFINITION);
    sha256_init(&h.all);
    bool good = workflow_each_own(w, hash_step, &h);
    sha256_done_hex(&h.all, w->definition);
    buf_free(&h.text);
    return good ? HARDY_OK : fail(error, HARDY_E_TOO_LARGE, w->path, "a step is larger than 4 MiB");
}

/* --- the file -----------------------------------------------------------------------------------
 */

static hardy_status read_open(const char *path, const struct reading *outer, struct workflow *w,
                              struct raw *raw, hardy_error *error) {
    struct reading r = {outer, w, error, outer ? outer->depth + 1 : 0};
    hardy_status status = yaml_load(path, &w->file, error);
    if (status == HARDY_OK && w->file->root->kind != YAML_MAP) {
        status = yaml_fail(w->file->root, error, "a map with `name` and `steps` is needed, not %s",
                           yaml_kind_text(w->file->root));
    }
    if (status == HARDY_OK) {
        status = schema_read(&workflow_section, w->file->root, raw, error);
    }
    if (status == HARDY_OK && raw->steps.count == 0) {
        status = yaml_fail(yaml_get(w->file->root, "steps"), error,
                           "steps: at least one step is needed");
    }
    if (status == HARDY_OK) {
        w->name = raw->name;
        w->secrets = raw->secrets;
        status = read_list(&r, yaml_get(w->file->root, "steps"), NULL, 1, &w->steps, &w->count);
    }
    status = status == HARDY_OK ? check_names(w, error) : status;
    if (status == HARDY_OK) {
        struct checking c = {error, HARDY_OK};
        (void)workflow_each_own(w, check_texts, &c);
        status = c.status;
    }
    return status == HARDY_OK ? hash_steps(w, error) : status;
}

static hardy_status read_file(const char *path, const struct reading *outer, struct workflow **out,
                              hardy_error *error) {
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
    w->folder = w->path ? file_folder(w->path) : NULL;
    hardy_status status = w->folder ? read_open(path, outer, w, raw, error)
                                    : fail(error, HARDY_E_NOMEM, path, "no memory to read it");
    if (status != HARDY_OK) {
        workflow_free(w);
        return status;
    }
    *out = w;
    return HARDY_OK;
}

/* A row's key has the names of all groups above the step, and the run's id. */
static hardy_status check_keys(struct workflow_step *const *steps, size_t count, size_t before,
                               hardy_error *error) {
    enum { PLACE = 7 /* "/00001." */, INDEX = 6 /* "[9999]" */ };
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < count && status == HARDY_OK; i++) {
        const struct workflow_step *step = steps[i];
        size_t name = strlen(step->s.name), len = before + PLACE + name;
        len += step->s.for_each ? PLACE + name + INDEX : 0;
        if (len > STORE_KEY_MAX) {
            return yaml_fail(step->node, error,
                             "step `%s`: its name and those of the groups above it are together "
                             "longer than %d bytes",
                             step->s.name, STORE_KEY_MAX);
        }
        status = check_keys(step->children, step->count, len, error);
        if (status == HARDY_OK && step->nested) {
            status = check_keys(step->nested->steps, step->nested->count, len, error);
        }
    }
    return status;
}

hardy_status workflow_read(const char *path, struct workflow **out, hardy_error *error) {
    enum { ID_MAX = 63 };
    hardy_status status = read_file(path, NULL, out, error);
    if (status == HARDY_OK) {
        status = check_keys((*out)->steps, (*out)->count, ID_MAX, error);
        if (status != HARDY_OK) {
            workflow_free(*out);
            *out = NULL;
        }
    }
    return status;
}

void workflow_free(struct workflow *w) {
    if (!w) {
        return;
    }
    for (size_t i = 0; i < w->count; i++) {
        free_step(w->steps[i]);
    }
    free(w->steps);
    schema_free(&workflow_section, w->raw);
    free(w->raw);
    yaml_close(w->file);
    free(w->path);
    free(w->folder);
    free(w);
}

/* --- the tree of a run --------------------------------------------------------------------------
 */

static bool add_steps(struct run_step *parent, struct workflow_step *const *steps, size_t count);

/* What a step, or each item of it, is in a run. */
static struct run_step *add_plain(struct run_step *parent, const struct workflow_step *from) {
    enum run_step_kind kind = from->kind == STEP_PARALLEL          ? RUN_PARALLEL
                              : GROUPS & BIT((unsigned)from->kind) ? RUN_SEQUENCE
                                                                   : RUN_LEAF;
    struct run_step *step = run_step_new(parent, kind, from->s.name);
    if (!step) {
        return NULL;
    }
    step->says = from;
    step->compensates = from->s.compensate.argv != NULL;
    memcpy(step->definition, from->definition, sizeof step->definition);
    step->limit = kind == RUN_PARALLEL ? from->s.max_concurrent : 0;
    bool good = from->nested ? add_steps(step, from->nested->steps, from->nested->count)
                             : add_steps(step, from->children, from->count);
    if (!good && !parent) {
        run_step_free(step);
    }
    return good ? step : NULL;
}

static bool add_step(struct run_step *parent, const struct workflow_step *from) {
    if (!from->s.for_each) {
        struct run_step *step = add_plain(parent, from);
        if (step && step->kind != RUN_LEAF) {
            step->asks = from->s.when != NULL;
        }
        return step != NULL;
    }
    struct run_step *each = run_step_new(parent, RUN_EACH, from->s.name);
    if (!each) {
        return false;
    }
    each->says = from;
    each->asks = from->s.when != NULL;
    each->limit = from->s.max_concurrent ? from->s.max_concurrent : 1;
    memcpy(each->definition, from->definition, sizeof each->definition);
    each->item = add_plain(NULL, from);
    if (each->item) {
        each->item->parent = each;
    }
    return each->item != NULL;
}

static bool add_steps(struct run_step *parent, struct workflow_step *const *steps, size_t count) {
    bool good = true;
    for (size_t i = 0; i < count && good; i++) {
        good = add_step(parent, steps[i]);
    }
    return good;
}

struct run_step *workflow_tree(const struct workflow *w) {
    struct run_step *root = run_step_new(NULL, RUN_SEQUENCE, "");
    if (root && !add_steps(root, w->steps, w->count)) {
        run_step_free(root);
        return NULL;
    }
    return root;
}
