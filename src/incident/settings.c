/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/settings.h"
#include "base/error.h"
#include "base/str.h"
#include "config/template.h"
#include "notify/notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

const char *const severity_words[] = {"critical", "high", "medium", "low", NULL};

static const struct schema_key rule_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct rule_settings, name),
     .required = true,
     .help = "of the rule"},
    {.name = "when",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct rule_settings, when),
     .required = true,
     .help = "condition over evidence.SOURCE... and incident.service"},
    {.name = "cause",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct rule_settings, cause),
     .required = true,
     .help = "what it means, a sentence for people"},
    {.name = "confidence",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct rule_settings, confidence),
     .def = "0.5",
     .min = "0",
     .max = "1",
     .help = "how sure the rule is"},
    {.name = "actions",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct rule_settings, actions),
     .help = "remedies in the order they are tried; none = tell a person"},
};
static const struct schema_section rule_section = {"rule", rule_keys, COUNT(rule_keys),
                                                   sizeof(struct rule_settings)};

static const struct schema_key verify_keys[] = {
    {.name = "passes",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct verify_settings, passes),
     .def = "3",
     .min = "1",
     .max = "1000",
     .help = "good answers of the check in a row"},
    {.name = "window",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct verify_settings, window),
     .def = "2m",
     .min = "100ms",
     .max = "1d",
     .help = "time within which they must come"},
};
const struct schema_section verify_section = {"verify", verify_keys, COUNT(verify_keys),
                                              sizeof(struct verify_settings)};

static const struct schema_key service_keys[] = {
    SERVICE_KEYS{.name = "check",
                 .kind = SCHEMA_NAME,
                 .offset = offsetof(struct service_settings, check),
                 .help = "the check that opens an incident and verifies its repair"},
    {.name = "checks",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct service_settings, checks),
     .help = "several: one that is down opens it, all have to be good again"},
    {.name = "rules",
     .kind = SCHEMA_LIST,
     .offset = offsetof(struct service_settings, rules),
     .section = &rule_section,
     .help = "the first whose condition holds names the cause"},
    {.name = "escalate_after",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct service_settings, escalate_after),
     .def = "0s",
     .max = "7d",
     .help = "people are told, too, when it is not well after this time; hardy goes on; 0s = not"},
};
static const struct schema_section service_section = {"service", service_keys, COUNT(service_keys),
                                                      sizeof(struct service_settings)};

static const struct schema_key incident_keys[] = {
    {.name = "services",
     .kind = SCHEMA_NAMED,
     .offset = offsetof(struct incident_settings, services),
     .section = &service_section,
     .help = "services by name"},
    {.name = "keep",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct incident_settings, keep),
     .def = "90d",
     .min = "1h",
     .max = "3650d",
     .help = "how long what is known of an incident is kept after its end"},
};
const struct schema_section incident_section = {"incidents", incident_keys, COUNT(incident_keys),
                                                sizeof(struct incident_settings)};

size_t incident_service_count(const struct incident_settings *all) {
    return all->services.count + all->healing.services.count;
}

const struct service_settings *incident_service_at(const struct incident_settings *all, size_t n) {
    const struct service_settings *services = all->services.items,
                                  *healed = all->healing.services.items;
    return n < all->services.count ? &services[n] : &healed[n - all->services.count];
}

const struct service_settings *incident_service(const struct incident_settings *all,
                                                const char *name) {
    for (size_t n = 0; n < incident_service_count(all); n++)
        if (str_eq(incident_service_at(all, n)->name, name))
            return incident_service_at(all, n);
    return NULL;
}

const struct action_settings *incident_action(const struct service_settings *s, const char *name) {
    const struct action_settings *list = s->actions.items;
    for (size_t i = 0; i < s->actions.count; i++)
        if (str_eq(list[i].name, name))
            return &list[i];
    return NULL;
}

const struct rule_settings *incident_rule(const struct service_settings *s, const char *name) {
    const struct rule_settings *list = s->rules.items;
    for (size_t i = 0; i < s->rules.count; i++)
        if (str_eq(list[i].name, name))
            return &list[i];
    return NULL;
}

const struct check_settings *incident_check(const struct schema_list *checks, const char *name) {
    const struct check_settings *list = checks->items;
    for (size_t i = 0; i < checks->count; i++)
        if (str_eq(list[i].name, name))
            return &list[i];
    return NULL;
}

/* The node of one key on the way, for errors that point at a place. */
static const struct yaml_node *below(const struct yaml_node *node, const char *a, const char *b) {
    const struct yaml_node *next = node ? yaml_get(node, a) : NULL;
    return next && b ? yaml_get(next, b) : next;
}

enum { MAX_NAMES = 256 };
/* The names of a list of structures whose first member is the name, for the nearest of them. */
struct names {
    const char *of[MAX_NAMES];
    size_t count;
};

static void names_add(struct names *names, const char *name) {
    if (names->count < MAX_NAMES)
        names->of[names->count++] = name;
}

/* " (did you mean `x`?)" or nothing. */
static const char *meant(const char *word, const struct names *names, char out[100]) {
    const char *nearest = str_nearest(word, names->of, names->count);
    out[0] = '\0';
    if (nearest)
        snprintf(out, 100, " (did you mean `%s`?)", nearest);
    return out;
}

/* Whether `path` leads into something called `name`. */
static bool leads_into(const char *path, const char *name) {
    size_t len = strlen(name);
    return strncmp(path, name, len) == 0 && (path[len] == '.' || path[len] == '\0');
}

/* A source that does not exist would be null for ever, and its rule never hold. */
static bool known(void *ctx, const char *path) {
    const struct service_settings *s = ctx;
    const struct source_settings *sources = s->sources.items;
    static const char *const incident[] = {"incident.service", "incident.severity",
                                           "incident.summary", "incident.round"};
    for (size_t i = 0; i < COUNT(incident); i++)
        if (str_eq(path, incident[i]))
            return true;
    for (size_t i = 0; i < s->sources.count && str_starts(path, "evidence."); i++)
        if (leads_into(path + strlen("evidence."), sources[i].name))
            return true;
    return false;
}

static hardy_status check_rule(const struct yaml_node *node, const struct service_settings *s,
                               const struct rule_settings *r, hardy_error *error) {
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = template_check_truth(r->when, known, (void *)(uintptr_t)s, &why);
    if (status != HARDY_OK)
        return yaml_fail(below(node, "when", NULL), error, "rule `%s`: when: %s", r->name,
                         why.message);
    const struct action_settings *actions = s->actions.items;
    struct names names = {.count = 0};
    char hint[100];
    for (size_t i = 0; i < s->actions.count; i++)
        names_add(&names, actions[i].name);
    for (size_t i = 0; i < r->actions.count; i++)
        if (!incident_action(s, r->actions.items[i]))
            return yaml_fail(below(node, "actions", NULL), error,
                             "rule `%s` names the action `%s`, which is not under actions:%s",
                             r->name, r->actions.items[i],
                             meant(r->actions.items[i], &names, hint));
    return HARDY_OK;
}

hardy_status service_check(const struct yaml_node *node, const struct service_settings *s,
                           hardy_error *error) {
    const struct source_settings *sources = s->sources.items;
    const struct rule_settings *rules = s->rules.items;
    const struct action_settings *actions = s->actions.items;
    for (size_t i = 0; i < s->sources.count; i++) {
        hardy_status status =
            source_check(below(node, "sources", sources[i].name), &sources[i], error);
        if (status != HARDY_OK)
            return status;
    }
    const struct yaml_node *list = below(node, "rules", NULL);
    for (size_t i = 0; i < s->rules.count; i++) {
        hardy_status status = check_rule(list->items[i], s, &rules[i], error);
        if (status != HARDY_OK)
            return status;
    }
    for (size_t i = 0; i < s->actions.count; i++) {
        hardy_status status =
            action_check(below(node, "actions", actions[i].name), s, &actions[i], error);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

/* `check: NAME` is `checks: [NAME]`; `alone`: what stands for no checks at all, NULL = an error. */
hardy_status service_take_checks(const struct yaml_node *node, struct service_settings *s,
                                 const char *alone, hardy_error *error) {
    const char *one = s->check ? s->check : alone;
    if (s->checks.count > 0 && s->check)
        return yaml_fail(node, error, "service `%s` has both check and checks", s->name);
    if (s->checks.count > 0)
        return HARDY_OK;
    if (!one)
        return yaml_fail(node, error, "service `%s` has no check", s->name);
    s->checks.items = calloc(2, sizeof *s->checks.items);
    if (s->checks.items)
        s->checks.items[0] = str_dup(one);
    if (!s->checks.items || !s->checks.items[0])
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for service %s", s->name);
    s->checks.count = 1;
    return HARDY_OK;
}

hardy_status incident_settings_read(const struct config *config, struct incident_settings *out,
                                    hardy_error *error) {
    const struct yaml_node *node = config_section(config, "incidents");
    hardy_status status = schema_read(&incident_section, node, out, error);
    if (status != HARDY_OK)
        return status;
    status = automation_read(config, &out->automation, error);
    struct service_settings *list = out->services.items;
    for (size_t i = 0; status == HARDY_OK && i < out->services.count; i++) {
        const struct yaml_node *at = below(node, "services", list[i].name);
        status = service_take_checks(at, &list[i], NULL, error);
        status = status == HARDY_OK ? service_check(at, &list[i], error) : status;
    }
    return status == HARDY_OK ? heal_settings_read(config, out, error) : status;
}

struct checking {
    schema_report report;
    void *ctx;
    size_t count;
};

static void complain(struct checking *c, const struct yaml_node *node, const char *format, ...)
    HARDY_PRINTF(3, 4);
static void complain(struct checking *c, const struct yaml_node *node, const char *format, ...) {
    char text[400];
    hardy_error problem;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hardy_error_init(&problem, sizeof problem);
    (void)yaml_fail(node, &problem, "%s", text);
    c->count++;
    c->report(c->ctx, &problem);
}

/* `name`: what the key of an action stands for in a section whose keys are names; NULL = nothing.
 */
static void check_named(struct checking *c, const struct config *config, const char *section,
                        const struct yaml_node *node, const char *key, const char *action,
                        const char *name) {
    const struct yaml_node *map = config_section(config, section);
    struct names there = {.count = 0};
    char hint[100];
    if (!name || below(map, name, NULL))
        return;
    for (size_t n = 0; map && map->kind == YAML_MAP && n < map->count; n++)
        names_add(&there, map->keys[n]->text);
    complain(c, below(node, key, NULL), "action `%s` names `%s`, which is not under %s:%s", action,
             name, section, meant(name, &there, hint));
}

size_t incident_settings_check(const struct config *config, const struct incident_settings *all,
                               const struct schema_list *checks, const struct schema_list *targets,
                               schema_report report, void *ctx) {
    const struct check_settings *check = checks->items;
    const struct notify_target *target = targets->items;
    struct names check_names = {.count = 0}, target_names = {.count = 0};
    struct checking c = {report, ctx, 0};
    char hint[100];
    for (size_t n = 0; n < checks->count; n++)
        names_add(&check_names, check[n].name);
    for (size_t n = 0; n < targets->count; n++)
        names_add(&target_names, target[n].name);
    for (size_t n = 0; n < incident_service_count(all); n++) {
        const struct service_settings *s = incident_service_at(all, n);
        const char *section = s->heals ? "heal" : "incidents";
        const struct yaml_node *node =
            below(below(config_section(config, section), "services", NULL), s->name, NULL);
        for (size_t k = 0; k < s->checks.count; k++)
            if (!incident_check(checks, s->checks.items[k]))
                complain(&c,
                         below(node, s->check ? "check" : "checks", NULL)
                             ? below(node, s->check ? "check" : "checks", NULL)
                             : node,
                         "service `%s` names the check `%s`, which is not under checks:%s", s->name,
                         s->checks.items[k], meant(s->checks.items[k], &check_names, hint));
        for (size_t k = 0; k < s->escalate.count; k++)
            if (!notify_find(targets, s->escalate.items[k]))
                complain(&c, below(node, "escalate", NULL),
                         "service `%s` escalates to `%s`, which is not under notify:%s", s->name,
                         s->escalate.items[k], meant(s->escalate.items[k], &target_names, hint));
        const struct action_settings *a = s->actions.items;
        for (size_t k = 0; k < s->actions.count; k++) {
            const struct yaml_node *at = below(node, "actions", a[k].name);
            check_named(&c, config, "supervise", at, "restart", a[k].name, a[k].restart);
            check_named(&c, config, "supervise", at, "reload", a[k].name, a[k].reload);
            check_named(&c, config, "fail_over", at, "fail_over", a[k].name, a[k].fail_over);
        }
    }
    return c.count;
}

void incident_settings_free(struct incident_settings *s) {
    schema_free(&incident_section, s);
    schema_free(&heal_section, &s->healing);
}

const char *incident_severity_text(int severity) {
    return severity_words[severity];
}

int incident_severity(const char *word) {
    for (int i = 0; severity_words[i]; i++)
        if (str_eq(word, severity_words[i]))
            return i;
    return -1;
}
