/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy validate`: what is wrong with a file, all of it at once, each with its place. */
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "chaos/faults.h"
#include "cli/checklist.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/top.h"
#include "daemon/settings.h"
#include "degrade/settings.h"
#include "guard/explain.h"
#include "health/serve.h"
#include "incident/incident.h"
#include "notify/notify.h"
#include "settings/guards.h"
#include "sim/scenario.h"
#include "supervise/child_settings.h"
#include "supervise/fail_over.h"
#include "supervise/maintenance.h"
#include "supervise/targets.h"
#include "work/workflow.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)16 << 20)

struct validate { /* one file being looked at */
    const struct options *o;
    const char *path;
    size_t errors, warnings;
    struct json_out *json;       /* of the problems; NULL: lines for a person */
    struct checklist *checklist; /* NULL: it is not asked for */
};
struct kind {
    const char *name;
    const char *mark; /* a top-level key that only this kind has; NULL: every other file */
    const struct schema_section *section;
    void (*look)(struct validate *v, const struct yaml_file *file);
};

/* --- telling ---------------------------------------------------------------------------------- */

/* The number between `end` and the colon before it, and where that colon is; NULL: there is none.
 */
static const char *number_before(const char *where, const char *end, int64_t *out) {
    char text[24];
    const char *start = end;
    while (start > where && start[-1] != ':') {
        start--;
    }
    if (start == where || (size_t)(end - start) >= sizeof text) {
        return NULL;
    }
    str_copy(text, (size_t)(end - start) + 1, start);
    return parse_integer(text, 1, INT64_MAX, out, NULL) == HARDY_OK ? start - 1 : NULL;
}

/* The numbers behind "path:line:column"; 0 when there are none. */
static void split_place(const char *where, int64_t *line, int64_t *column) {
    const char *colon = number_before(where, where + strlen(where), column);
    if (!colon || !number_before(where, colon, line)) {
        *line = *column = 0;
    }
}

static void tell(struct validate *v, const char *severity, const hardy_error *problem) {
    const char *where = problem->where[0] ? problem->where : v->path;
    bool warning = str_eq(severity, "warning");
    *(warning ? &v->warnings : &v->errors) += 1;
    if (!v->json) {
        printf("%s: %s%s\n", where, warning ? "warning: " : "", problem->message);
        return;
    }
    int64_t line, column;
    split_place(where, &line, &column);
    json_out_object(v->json);
    json_out_key(v->json, "severity");
    json_out_string(v->json, severity);
    json_out_key(v->json, "line");
    json_out_int(v->json, line);
    json_out_key(v->json, "column");
    json_out_int(v->json, column);
    json_out_key(v->json, "message");
    json_out_string(v->json, problem->message);
    json_out_object_end(v->json);
}

static void on_problem(void *ctx, const hardy_error *problem) {
    tell(ctx, "error", problem);
}

static void note(struct validate *v, const char *severity, const struct yaml_node *node,
                 const char *format, va_list args) HARDY_PRINTF(4, 0);
static void note(struct validate *v, const char *severity, const struct yaml_node *node,
                 const char *format, va_list args) {
    hardy_error problem;
    char message[sizeof problem.message];
    vsnprintf(message, sizeof message, format, args);
    hardy_error_init(&problem, sizeof problem);
    yaml_fail(node, &problem, "%s", message);
    tell(v, severity, &problem);
}

static void warn(struct validate *v, const struct yaml_node *node, const char *format, ...)
    HARDY_PRINTF(3, 4);
static void warn(struct validate *v, const struct yaml_node *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    note(v, "warning", node, format, args);
    va_end(args);
}

static void refuse(struct validate *v, const struct yaml_node *node, const char *format, ...)
    HARDY_PRINTF(3, 4);
static void refuse(struct validate *v, const struct yaml_node *node, const char *format, ...) {
    va_list args;
    va_start(args, format);
    note(v, "error", node, format, args);
    va_end(args);
}

/* --- a configuration -------------------------------------------------------------------------- */

struct guard_problems {
    struct validate *v;
    const struct yaml_node *key;
    const char *name;
};

static void on_guard_problem(void *ctx, bool warning, const char *text) {
    const struct guard_problems *p = ctx;
    if (warning) {
        warn(p->v, p->key, "guard `%s`: %s", p->name, text);
    }
}

/* What hardy says about settings that cannot hold together. */
static void warn_of_guard(struct validate *v, const struct yaml_node *key,
                          const struct guard_settings *s, bool plain) {
    hardy_guard *guard = NULL;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (hardy_guard_new(&s->config, NULL, &guard, &error) != HARDY_OK) {
        refuse(v, key, "guard `%s`: %s", s->name, error.message);
        return;
    }
    hardy_guard_free(guard);
    const struct explain_more more = {.by_request = plain};
    explain_problems(&s->config, &more, NULL, on_guard_problem,
                     &(struct guard_problems){v, key, s->name});
}

static void look_at_guards(struct validate *v, const struct config *config) {
    const struct yaml_node *guards = config_section(config, "guards");
    struct gateway_settings gateway = {0};
    (void)gateway_settings_look(config, &gateway, NULL); /* what is wrong is told elsewhere */
    for (size_t i = 0; guards && i < guards->count; i++) {
        struct guard_settings s;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        const char *name = guards->keys[i]->text;
        enum guard_base base = GUARD_DEFAULTS;
        (void)gateway_guard_base(&gateway, name, &base);
        if (guard_settings_find(config, name, base, &s, &error) == HARDY_OK) {
            warn_of_guard(v, guards->keys[i], &s, gateway_guard_is_plain(&gateway, name));
        } else {
            tell(v, "error", &error);
        }
        guard_settings_free(&s);
    }
    gateway_settings_free(&gateway);
}

static void on_wrong_name(void *ctx, const hardy_error *problem) {
    tell(ctx, "error", problem);
}

static void look_at_services(struct validate *v, const struct config *config,
                             const struct incident_settings *incidents,
                             const struct schema_list *checks, const struct schema_list *targets) {
    (void)incident_settings_check(config, incidents, checks, targets, on_wrong_name, v);
    for (size_t i = 0; i < incident_service_count(incidents); i++) {
        const struct service_settings *s = incident_service_at(incidents, i);
        const struct yaml_node *section = config_section(config, s->heals ? "heal" : "incidents");
        if (s->escalate.count == 0) {
            warn(v, yaml_get(yaml_get(section, "services"), s->name),
                 "service `%s` has no escalate: nobody is told when it cannot be repaired",
                 s->name);
        }
    }
}

/* A dependency that all replicas share takes them all out at once. */
static void warn_of_checks(struct validate *v, const struct config *config,
                           const struct schema_list *checks) {
    const struct yaml_node *nodes = config_section(config, "checks");
    const struct check_settings *c = checks->items;
    struct http_authority address;
    char where[HTTP_AUTHORITY_SIZE];
    for (size_t i = 0; i < checks->count; i++) {
        if (c[i].critical && check_address(&c[i], &address) && !listens_on_loopback(&address)) {
            http_authority_format(&address, 0, where);
            warn(v, nodes->items[i],
                 "check `%s` is critical and asks %s, off this host: when that is down, every "
                 "replica that asks it is not ready; without critical it only warns",
                 c[i].name, where);
        }
    }
}

static void look_at_maintenance(struct validate *v, const struct config *config) {
    const struct yaml_node *node = config_section(config, "maintenance");
    struct maintenance m;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (maintenance_read(config, &m, &error) != HARDY_OK) {
        tell(v, "error", &error);
    }
    const struct maintenance_window *windows = m.windows.items;
    for (size_t i = 0; i < m.windows.count; i++) {
        for (size_t k = 0; k < windows[i].targets.count; k++) {
            if (target_check(config, windows[i].targets.items[k], &error) != HARDY_OK) {
                refuse(v, yaml_get(node->items[i], "targets"), "%s", error.message);
            }
        }
    }
    maintenance_free(&m);
}

static void look_at_rest(struct validate *v, const struct config *config) {
    struct schema_list checks = {0}, targets = {0};
    struct incident_settings incidents = {0};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    bool good = true;
    if (checks_read(config, &checks, &error) != HARDY_OK) {
        tell(v, "error", &error);
        good = false;
    }
    if (notify_look(config, &targets, &error) != HARDY_OK) {
        tell(v, "error", &error);
        good = false;
    }
    if (good) {
        warn_of_checks(v, config, &checks);
    }
    struct health_settings health = {0};
    if (health_settings_read(config, &health, &error) != HARDY_OK) {
        tell(v, "error", &error);
    }
    health_settings_free(&health);
    struct schema_list children;
    if (children_settings_read(config, &children, &error) != HARDY_OK) {
        tell(v, "error", &error);
    } else if (good) {
        (void)children_settings_check(config, &children, &checks, &targets, on_wrong_name, v);
    }
    children_settings_free(&children);
    look_at_maintenance(v, config);
    struct schema_list fail_over;
    if (fail_over_read(config, &fail_over, &error) != HARDY_OK) {
        tell(v, "error", &error);
    } else if (good) {
        (void)fail_over_check(config, &fail_over, &checks, &targets, on_wrong_name, v);
    }
    fail_over_free(&fail_over);
    struct degrade_settings degrade = {0};
    if (degrade_settings_read(config, &degrade, &error) != HARDY_OK) {
        tell(v, "error", &error);
    }
    degrade_settings_free(&degrade);
    if (incident_settings_read(config, &incidents, &error) != HARDY_OK) {
        tell(v, "error", &error);
        good = false;
    }
    if (good) {
        look_at_services(v, config, &incidents, &checks, &targets);
    }
    incident_settings_free(&incidents);
    notify_free(&targets);
    checks_free(&checks);
}

/* Who uses the gateway by a token of its own may forget that the upstream wants a credential too.
 */
static void warn_of_upstreams(struct validate *v, const struct config *config,
                              const struct gateway_settings *s) {
    const struct yaml_node *nodes = config_section(config, "upstreams");
    for (size_t i = 0; s->clients.count > 0 && nodes && i < s->upstream_count; i++) {
        if (!s->upstreams[i].key_file) {
            warn(v, yaml_get(nodes, s->upstreams[i].name),
                 "upstream `%s` has no key_file, and the gateway has clients: their tokens are not "
                 "passed on, so each has to send its own credential besides, one as x-api-key, the "
                 "other as Authorization",
                 s->upstreams[i].name);
        }
    }
}

static void look_at_gateway(struct validate *v, const struct config *config) {
    struct gateway_settings gateway = {0};
    struct admin_settings admin = {0};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (gateway_settings_read(config, &gateway, &error) == HARDY_OK) {
        warn_of_upstreams(v, config, &gateway);
    } else {
        tell(v, "error", &error);
    }
    if (admin_settings_read(config, &admin, &error) != HARDY_OK) {
        tell(v, "error", &error);
    }
    admin_settings_free(&admin);
    gateway_settings_free(&gateway);
}

static void look_at_configuration(struct validate *v, const struct yaml_file *file) {
    struct config *config;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (config_load_bytes(v->path, file->bytes, file->len, &config, &error) != HARDY_OK) {
        tell(v, "error", &error);
        return;
    }
    /* What does not have the right shape cannot be asked further. */
    if (schema_check(&top_section, config->file->root, on_problem, v) == 0) {
        look_at_guards(v, config);
        look_at_gateway(v, config);
        look_at_rest(v, config);
    }
    if (v->checklist && v->errors == 0) {
        checklist_configuration(v->checklist, config);
    }
    config_free(config);
}

/* --- a workflow ------------------------------------------------------------------------------- */

struct looking {
    struct validate *v;
    const struct config *config;
};

/* The guard that a step names, in the configuration that would be used. */
static bool look_at_step(void *ctx, const struct workflow_step *step) {
    static const char *const shells[] = {"run", "until", "probe", "compensate"};
    const struct looking *l = ctx;
    struct guard_settings s;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        const struct yaml_node *node = yaml_get(step->node, shells[i]);
        const char *value =
            node && node->kind == YAML_SCALAR ? step_quoted_value(node->text) : NULL;
        if (value) {
            warn(l->v, node,
                 "step `%s`: `%.40s` stands between single quotes, where the shell does not put "
                 "the value in; use double quotes",
                 step->s.name, value);
        }
    }
    if (!step->s.guard) {
        return true;
    }
    const struct yaml_node *node = yaml_get(step->node, "guard");
    hardy_status status = guard_settings_find(l->config, step->s.guard, GUARD_DEFAULTS, &s, &error);
    if (status == HARDY_E_NOT_FOUND) {
        refuse(l->v, node, "step `%s`: %s%s%s", step->s.name, error.message,
               error.where[0] ? ", in " : "; there is no configuration", error.where);
    } else if (status == HARDY_OK && s.config.retry && s.retry.repeatable &&
               s.retry.max_retries > 0 && step->in_doubt == IN_DOUBT_ASK) {
        warn(l->v, node,
             "step `%s`: guard `%s` repeats what may have had its effect already "
             "(repeatable: true), and the step has no probe",
             step->s.name, step->s.guard);
    }
    guard_settings_free(&s);
    return true;
}

static void look_at_workflow(struct validate *v, const struct yaml_file *file) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (schema_check(&workflow_section, file->root, on_problem, v) > 0) {
        return;
    }
    struct workflow *w;
    if (str_eq(v->path, "-")) {
        refuse(v, file->root, "a workflow's commands begin in its folder: give its file's name");
        return;
    }
    if (workflow_read(v->path, &w, &error) != HARDY_OK) {
        tell(v, "error", &error);
        return;
    }
    struct config *config;
    if (config_load(v->o->globals.config, &config, &error) != HARDY_OK) {
        tell(v, "error", &error);
    } else {
        struct looking looking = {v, config};
        (void)workflow_each(w, look_at_step, &looking);
        if (v->checklist && v->errors == 0) {
            checklist_workflow(v->checklist, w, config);
        }
        config_free(config);
    }
    workflow_free(w);
}

/* --- a fault file ----------------------------------------------------------------------------- */

static void look_at_faults(struct validate *v, const struct yaml_file *file) {
    struct faults f;
    if (faults_check(file->root, on_problem, v) > 0) {
        return;
    }
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (faults_parse(v->path, file->bytes, file->len, &f, &error) != HARDY_OK) {
        tell(v, "error", &error);
    } else if (faults_unreached(&f) >= 0) {
        size_t rule = (size_t)faults_unreached(&f);
        warn(v, yaml_get(file->root, "faults")->items[rule],
             "this rule and those after it never apply: the one before it applies to every call");
    }
    faults_free(&f);
}

/* --- a scenario ------------------------------------------------------------------------------- */

static void look_at_scenario(struct validate *v, const struct yaml_file *file) {
    (void)scenario_check(file->root, on_problem, v);
}

/* --- files ------------------------------------------------------------------------------------ */

static const struct kind kinds[] = {
    {"fault file", "faults", &faults_section, look_at_faults},
    {"scenario", "phases", &scenario_section, look_at_scenario},
    {"workflow", "steps", &workflow_section, look_at_workflow},
    {"configuration", NULL, &top_section, look_at_configuration},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static const struct kind *kind_of(const struct yaml_file *file) {
    const struct kind *kind = kinds;
    while (kind->mark && !yaml_get(file->root, kind->mark)) {
        kind++;
    }
    return kind;
}

static void print_verdict(const struct validate *v, const struct kind *kind) {
    const char *path = str_eq(v->path, "-") ? "standard input" : v->path;
    if (v->errors == 0 && v->warnings == 0) {
        printf("%s: a %s, nothing wrong\n", path, kind->name);
    } else if (v->errors == 0) {
        printf("%s: a %s that works, %zu warning%s\n", path, kind->name, v->warnings,
               v->warnings == 1 ? "" : "s");
    }
}

/* Whether the file is right. */
static bool look_at(const struct options *o, const char *path, bool checklist,
                    struct json_out *json) {
    struct checklist items = {0};
    struct validate v = {
        .o = o, .path = path, .json = json, .checklist = checklist ? &items : NULL};
    struct yaml_file *file;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = yaml_load(path, &file, &error);
    const struct kind *kind = status == HARDY_OK ? kind_of(file) : NULL;
    if (json) {
        json_out_object(json);
        json_out_key(json, "file");
        json_out_string(json, path);
        json_out_key(json, "kind");
        json_out_string(json, kind ? kind->name : NULL);
        json_out_key(json, "problems");
        json_out_array(json);
    }
    if (kind) {
        kind->look(&v, file);
        yaml_close(file);
    } else {
        tell(&v, "error", &error);
    }
    if (json) {
        json_out_array_end(json);
        if (checklist) {
            json_out_key(json, "checklist");
            checklist_put(&items, json);
        }
        json_out_key(json, "ok");
        json_out_bool(json, v.errors == 0);
        json_out_object_end(json);
    } else if (kind) {
        print_verdict(&v, kind);
        checklist_print(&items);
    }
    checklist_free(&items);
    return v.errors == 0;
}

static int look_at_all(const struct options *o, bool checklist) {
    struct buf text;
    struct json_out json;
    buf_init(&text, TEXT_MAX);
    json_out_init(&json, &text, 2);
    json_out_array(&json);
    bool right = true;
    for (int i = 0; i < o->argc; i++) {
        right = look_at(o, o->argv[i], checklist, o->globals.json ? &json : NULL) && right;
    }
    json_out_array_end(&json);
    if (o->globals.json) {
        puts(text.data ? text.data : "[]");
    }
    buf_free(&text);
    return right ? EXIT_DONE : EXIT_USAGE;
}

static int print_schema(void) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (size_t i = KINDS; i-- > 0;) {
        buf_printf(&text, "%s# a %s: key, type, default, meaning\n", text.len > 0 ? "\n" : "",
                   kinds[i].name);
        schema_print(kinds[i].section, 0, &text);
    }
    fputs(text.data ? text.data : "", stdout);
    buf_free(&text);
    return EXIT_DONE;
}

/* --- the command ------------------------------------------------------------------------------ */

enum { OPT_SCHEMA = 1, OPT_CHECKLIST };

static const struct option_row rows[] = {
    {OPT_CHECKLIST, "checklist", 0, NULL,
     "also what should be there before it is left alone, and what to add"},
    {OPT_SCHEMA, "schema", 0, NULL, "every key there is: its type, default and meaning"},
    {0},
};

static int run(struct options *o) {
    bool schema = false, checklist = false;
    int id;
    while ((id = options_next(o)) > 0) {
        schema = schema || id == OPT_SCHEMA;
        checklist = checklist || id == OPT_CHECKLIST;
    }
    if (id < 0) {
        return o->exit;
    }
    if (schema) {
        return o->argc > 0 ? options_wrong(o, "--schema takes no file") : print_schema();
    }
    return o->argc == 0 ? options_wrong(o, "which file?") : look_at_all(o, checklist);
}

const struct command command_validate = {
    .name = "validate",
    .synopsis = "[--checklist] FILE...\n--schema",
    .summary = "find what is wrong with a configuration, a workflow, a fault file or a scenario",
    .details =
        "A file with `steps:` at its top is a workflow, one with `faults:` a fault file of hardy\n"
        "chaos, one with `phases:` a scenario of hardy sim, every other one a configuration. Each\n"
        "problem is a line FILE:LINE:COLUMN: what was found, and what would be right; all that "
        "can\n"
        "be told at once are told. A warning is what is allowed and will not do what it seems to.\n"
        "FILE may be `-`, standard input.\n\n"
        "--checklist goes through what each guard, upstream, component, service, child and step\n"
        "should have: yes, no with the line to add, or off where the file switches it off. It\n"
        "does not change the exit code.\n\n"
        "Exit code: 0 nothing but warnings, 2 something is wrong.",
    .examples = "hardy validate --schema\n"
                "echo 'guards: {search: {timeout: 5s}}' | hardy validate --checklist -\n"
                "hardy validate hardy.yaml provision.yaml    # needs these files\n"
                "echo 'guards: {search: {timeout: 5s, deadline: 30s}}' | hardy validate -",
    .options = rows,
    .run = run,
};
