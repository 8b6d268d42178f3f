/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"
#include "durable/record.h"
#include "notify/notify.h"
#include "supervise/fail_over.h"
#include "supervise/fail_over_address.h"
#include "supervise/fail_over_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define AT(member) offsetof(struct fail_over_settings, member)

static const char *const in_doubt_words[] = {"ask", "probe", "rerun", "fail", NULL};
static const char *const severity_words[] = {"critical", "high", "medium", "low", NULL};

static const struct schema_key candidate_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct fail_over_candidate, name),
     .required = true,
     .help = "of the candidate"},
    {.name = "address",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct fail_over_candidate, address),
     .required = true,
     .help = "where it is reached: HOST:PORT or a URL"},
    {.name = "check",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct fail_over_candidate, check),
     .required = true,
     .help = "the check, under checks:, that says whether it is up"},
};
static const struct schema_section candidate_section = {
    "candidate", candidate_keys, COUNT(candidate_keys), sizeof(struct fail_over_candidate)};

static const struct schema_key keys[] = {
    {.name = "name", .kind = SCHEMA_NAME, .offset = AT(name), .help = "of what fails over"},
    {.name = "candidates",
     .kind = SCHEMA_LIST,
     .offset = AT(candidates),
     .section = &candidate_section,
     .help = "the primary, then its backups in the order in which they take over"},
    {.name = "after",
     .kind = SCHEMA_DURATION,
     .offset = AT(rule.after),
     .def = "30s",
     .min = "0s",
     .max = "1d",
     .help = "the active one has been down for so long before another one takes over"},
    {.name = "dwell",
     .kind = SCHEMA_DURATION,
     .offset = AT(rule.dwell),
     .def = "5m",
     .min = "0s",
     .max = "30d",
     .help = "least time between two switches, also back"},
    {.name = "passes",
     .kind = SCHEMA_UNSIGNED,
     .offset = AT(rule.passes),
     .def = "5",
     .min = "1",
     .max = "1000",
     .help = "of the primary's check in a row, before going back to it"},
    {.name = "fail_back",
     .kind = SCHEMA_BOOL,
     .offset = AT(rule.fail_back),
     .def = "true",
     .help = "go back to the primary; false: the backup stays, one is as good as another"},
    {.name = "listen",
     .kind = SCHEMA_STRING,
     .offset = AT(listen),
     .help = "HOST:PORT whose TCP connections are handed on to the active one"},
    {.name = "max_connections",
     .kind = SCHEMA_UNSIGNED,
     .offset = AT(max_connections),
     .def = "1000",
     .min = "1",
     .max = "100000",
     .help = "at once through listen; more are closed"},
    {.name = "connect_timeout",
     .kind = SCHEMA_DURATION,
     .offset = AT(connect_timeout),
     .def = "5s",
     .min = "10ms",
     .max = "10m",
     .help = "time to reach the active one, for a connection through listen"},
    {.name = "drain",
     .kind = SCHEMA_DURATION,
     .offset = AT(drain),
     .def = "0s",
     .min = "0s",
     .max = "1d",
     .help = "how long connections to the former one go on after a switch, while that is up"},
    {.name = "run",
     .kind = SCHEMA_COMMAND,
     .offset = AT(run),
     .help = "run at a switch, before connections are handed on to the new one"},
    {.name = "probe",
     .kind = SCHEMA_COMMAND,
     .offset = AT(probe),
     .help = "asked when nobody knows how run ended: exit 0 done, 1 not done"},
    {.name = "in_doubt",
     .kind = SCHEMA_ENUM,
     .offset = AT(in_doubt),
     .words = in_doubt_words,
     .def = "ask",
     .help = "what then: ask, probe, rerun or fail"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = AT(timeout),
     .def = "1m",
     .min = "100ms",
     .max = "1d",
     .help = "time run may take"},
    {.name = "file",
     .kind = SCHEMA_STRING,
     .offset = AT(file),
     .help = "holds the address of the active one; relative to this file"},
    {.name = "escalate",
     .kind = SCHEMA_STRINGS,
     .offset = AT(escalate),
     .help = "names under notify: that are told when nothing can take over, and when it is over"},
    {.name = "escalate_after",
     .kind = SCHEMA_DURATION,
     .offset = AT(rule.escalate_after),
     .def = "10m",
     .min = "0s",
     .max = "30d",
     .help = "they are told too when it has not run as it should for so long"},
    {.name = "severity",
     .kind = SCHEMA_ENUM,
     .offset = AT(severity),
     .words = severity_words,
     .def = "high",
     .help = "of what they are told"},
    {.name = "automation",
     .kind = SCHEMA_ENUM,
     .offset = AT(automation),
     .words = automation_words,
     .def = "inherit",
     .help = "observe: only say what would be done; act: switch"},
};
const struct schema_section fail_over_section = {"fail_over", keys, COUNT(keys),
                                                 sizeof(struct fail_over_settings)};

const char *fail_over_severity(const struct fail_over_settings *s) {
    return severity_words[s->severity];
}

static hardy_status check_candidates(const struct yaml_node *node,
                                     const struct fail_over_settings *s, hardy_error *error) {
    const struct fail_over_candidate *all = s->candidates.items;
    const struct yaml_node *list = yaml_get(node, "candidates");
    if (s->candidates.count < 2)
        return yaml_fail(list ? list : node, error,
                         "fail_over `%s`: candidates: at least two are needed, the primary first",
                         s->name);
    for (size_t n = 0; n < s->candidates.count; n++) {
        struct http_authority address;
        for (size_t k = 0; k < n; k++) {
            if (str_eq(all[k].name, all[n].name))
                return yaml_fail(list->items[n], error,
                                 "fail_over `%s`: there are two candidates of the name `%s`",
                                 s->name, all[n].name);
            if (str_eq(all[k].check, all[n].check))
                return yaml_fail(yaml_get(list->items[n], "check"), error,
                                 "fail_over `%s`: `%s` and `%s` have the same check, `%s`: each "
                                 "candidate needs its own",
                                 s->name, all[k].name, all[n].name, all[n].check);
        }
        if (!fail_over_address(all[n].address, &address) && s->listen)
            return yaml_fail(yaml_get(list->items[n], "address"), error,
                             "fail_over `%s`: connections cannot be handed on to `%s`: HOST:PORT "
                             "or an http URL is needed with listen",
                             s->name, all[n].address);
    }
    return HARDY_OK;
}

static hardy_status check_one(const struct yaml_node *node, const struct fail_over_settings *s,
                              hardy_error *error) {
    struct http_authority listen;
    if (s->listen &&
        (http_authority_parse(s->listen, strlen(s->listen), &listen, NULL) != HARDY_OK))
        return yaml_fail(yaml_get(node, "listen"), error,
                         "fail_over `%s`: listen: `%s` is not HOST:PORT, such as 127.0.0.1:6380",
                         s->name, s->listen);
    if (s->in_doubt == IN_DOUBT_PROBE && !s->probe.argv)
        return yaml_fail(yaml_get(node, "in_doubt"), error,
                         "fail_over `%s` says in_doubt: probe and has no probe", s->name);
    return check_candidates(node, s, error);
}

hardy_status fail_over_read(const struct config *config, struct schema_list *out,
                            hardy_error *error) {
    const struct yaml_node *node = config_section(config, "fail_over");
    *out = (struct schema_list){0};
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_MAP)
        return yaml_fail(node, error, "fail_over: a map of names is needed, not %s",
                         yaml_kind_text(node));
    struct fail_over_settings *items = calloc(node->count + 1, sizeof *items);
    if (!items)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for fail_over");
    out->items = items;
    for (size_t n = 0; n < node->count; n++) {
        const char *name = node->keys[n]->text;
        out->count = n + 1;
        hardy_status status = schema_defaults(&fail_over_section, &items[n]);
        if (status == HARDY_OK && !str_valid_name(name))
            status = yaml_fail(node->keys[n], error,
                               "fail_over: `%s` is not a name: letters, digits, . _ -, at most 63",
                               name);
        if (status == HARDY_OK && !(items[n].name = str_dup(name)))
            status = fail(error, HARDY_E_NOMEM, NULL, "no memory for fail_over");
        if (status == HARDY_OK)
            status = schema_apply(&fail_over_section, node->items[n], true, &items[n], error);
        if (status == HARDY_OK)
            status = check_one(node->items[n], &items[n], error);
        if (status != HARDY_OK)
            return status;
    }
    return HARDY_OK;
}

void fail_over_free(struct schema_list *all) {
    struct fail_over_settings *items = all->items;
    for (size_t n = 0; n < all->count; n++)
        schema_free(&fail_over_section, &items[n]);
    free(items);
    *all = (struct schema_list){0};
}

/* --- names ------------------------------------------------------------------------------------ */

enum { MAX_NAMES = 256 };

struct checking {
    schema_report report;
    void *ctx;
    size_t count;
};

static void unknown(struct checking *c, const struct yaml_node *node, const char *what,
                    const char *name, const char *where, const char *const *known, size_t count) {
    const char *nearest = str_nearest(name, known, count);
    hardy_error problem;
    hardy_error_init(&problem, sizeof problem);
    (void)yaml_fail(node, &problem, "%s names `%s`, which is not under %s:%s%s%s", what, name,
                    where, nearest ? " (did you mean `" : "", nearest ? nearest : "",
                    nearest ? "`?)" : "");
    c->count++;
    c->report(c->ctx, &problem);
}

static bool among(const char *name, const char *const *known, size_t count) {
    for (size_t n = 0; n < count; n++)
        if (str_eq(name, known[n]))
            return true;
    return false;
}

size_t fail_over_check(const struct config *config, const struct schema_list *all,
                       const struct schema_list *checks, const struct schema_list *targets,
                       schema_report report, void *ctx) {
    const struct fail_over_settings *items = all->items;
    const struct check_settings *check = checks->items;
    const struct notify_target *target = targets->items;
    const char *check_names[MAX_NAMES], *target_names[MAX_NAMES];
    size_t check_count = 0, target_count = 0;
    struct checking c = {report, ctx, 0};
    char what[200];
    for (size_t n = 0; n < checks->count && n < MAX_NAMES; n++)
        check_names[check_count++] = check[n].name;
    for (size_t n = 0; n < targets->count && n < MAX_NAMES; n++)
        target_names[target_count++] = target[n].name;
    for (size_t n = 0; n < all->count; n++) {
        const struct fail_over_settings *s = &items[n];
        const struct yaml_node *node = yaml_get(config_section(config, "fail_over"), s->name);
        const struct yaml_node *list = yaml_get(node, "candidates");
        const struct fail_over_candidate *candidates = s->candidates.items;
        for (size_t k = 0; k < s->candidates.count; k++) {
            if (among(candidates[k].check, check_names, check_count))
                continue;
            snprintf(what, sizeof what, "fail_over `%s`, candidate `%s`,", s->name,
                     candidates[k].name);
            unknown(&c, yaml_get(list->items[k], "check"), what, candidates[k].check, "checks",
                    check_names, check_count);
        }
        snprintf(what, sizeof what, "fail_over `%s`, escalate,", s->name);
        for (size_t k = 0; k < s->escalate.count; k++)
            if (!among(s->escalate.items[k], target_names, target_count))
                unknown(&c, yaml_get(node, "escalate"), what, s->escalate.items[k], "notify",
                        target_names, target_count);
    }
    return c.count;
}
