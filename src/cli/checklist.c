/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/checklist.h"
#include "base/str.h"
#include "degrade/settings.h"
#include "gateway/settings.h"
#include "health/serve.h"
#include "incident/incident.h"
#include "notify/notify.h"
#include "supervise/child_settings.h"
#include <stdio.h>
#include <stdlib.h>

enum answer {
    ANSWER_NO,
    ANSWER_YES,
    ANSWER_OFF /* switched off in the file: somebody decided it */
};
struct checklist_item {
    char of[160];     /* "guard search", "the whole" */
    const char *item; /* what should be so */
    enum answer answer;
    const char *add; /* ANSWER_NO: what to write there, in YAML */
};
struct maker {
    struct checklist *list;
    const struct config *config;
    char of[160]; /* whose items follow */
};

static void add(struct maker *m, enum answer answer, const char *item, const char *line) {
    struct checklist_item *items = realloc(m->list->items, (m->list->count + 1) * sizeof *items);
    if (!items) {
        return;
    }
    m->list->items = items;
    items += m->list->count++;
    *items = (struct checklist_item){
        .item = item, .answer = answer, .add = answer == ANSWER_NO ? line : NULL};
    str_copy(items->of, sizeof items->of, m->of);
}

static void holds(struct maker *m, bool yes, const char *item, const char *line) {
    add(m, yes ? ANSWER_YES : ANSWER_NO, item, line);
}

static void begin(struct maker *m, const char *kind, const char *name) {
    snprintf(m->of, sizeof m->of, "%s %s", kind, name);
}

/* --- guards ----------------------------------------------------------------------------------- */

static bool ends_attempts(const hardy_guard_config *c) {
    return c->timeout != HARDY_NEVER || c->timeout_first_content != HARDY_NEVER ||
           c->deadline != HARDY_NEVER;
}

/* `node`: the guard's map, NULL = all defaults. A layer that is off there was decided to be off. */
static void check_guard(struct maker *m, const hardy_guard_config *c,
                        const struct yaml_node *node) {
    bool retries = c->retry && c->retry->max_retries > 0;
    holds(m, ends_attempts(c), "an attempt that hangs is ended", "timeout: 30s");
    holds(m, c->deadline != HARDY_NEVER, "the whole has a deadline", "deadline: 5m");
    if (!retries && yaml_get(node, "retry")) {
        add(m, ANSWER_OFF, "what can pass is tried again", NULL);
    } else {
        holds(m, retries, "what can pass is tried again", "retry: 3");
    }
    if (retries) {
        holds(m, c->retry->jitter != HARDY_JITTER_NONE, "retries are spread by jitter",
              "retry: {jitter: full}");
        holds(m, c->budget != NULL, "retries have a budget",
              "retry: {budget: {ratio: 0.1, floor: 10/s}}");
    }
    if (!c->breaker && yaml_get(node, "breaker")) {
        add(m, ANSWER_OFF, "a breaker spares what is away", NULL);
    } else {
        holds(m, c->breaker != NULL, "a breaker spares what is away", "breaker: {}");
    }
}

static void check_guards(struct maker *m, const struct gateway_settings *gateway) {
    const struct yaml_node *guards = config_section(m->config, "guards");
    struct guard_settings s;
    for (size_t i = 0; guards && i < guards->count; i++) {
        const char *name = guards->keys[i]->text;
        enum guard_base base = GUARD_DEFAULTS;
        (void)gateway_guard_base(gateway, name, &base);
        if (guard_settings_find(m->config, name, base, &s, NULL) == HARDY_OK) {
            begin(m, "guard", name);
            check_guard(m, &s.config, guards->items[i]);
        }
        guard_settings_free(&s);
    }
    /* An upstream without a guard of the file has the defaults of its protocol. */
    for (size_t i = 0; config_section(m->config, "upstreams") && i < gateway->upstream_count; i++) {
        const struct upstream_settings *u = &gateway->upstreams[i];
        if (yaml_get(guards, u->guard ? u->guard : u->name)) {
            continue;
        }
        const struct guard_source source = {
            .base = u->protocol == UPSTREAM_HTTP ? GUARD_HTTP : GUARD_LLM, .name = u->name};
        if (guard_settings_read(&source, &s, NULL) == HARDY_OK) {
            begin(m, "upstream", u->name);
            check_guard(m, &s.config, NULL);
        }
        guard_settings_free(&s);
    }
}

/* --- what is gathered, mended and kept running ------------------------------------------------ */

static void check_gatherings(struct maker *m) {
    struct degrade_settings s = {0};
    if (degrade_settings_read(m->config, &s, NULL) == HARDY_OK) {
        const struct gathering_settings *g = s.gatherings.items;
        for (size_t i = 0; i < s.gatherings.count; i++) {
            const struct source_settings *c = g[i].components.items;
            for (size_t k = 0; k < g[i].components.count; k++) {
                snprintf(m->of, sizeof m->of, "component %s of %s", c[k].name, g[i].name);
                holds(m, c[k].guard != NULL, "it is asked under a guard", "guard: NAME");
                bool stands_in = c[k].cache > 0 || c[k].fixed || c[k].alternates.count > 0;
                add(m,
                    stands_in                                                     ? ANSWER_YES
                    : c[k].fresh_only || c[k].strategy != STRATEGY_CACHE_FALLBACK ? ANSWER_OFF
                                                                                  : ANSWER_NO,
                    "something stands in for it", "cache: 1h");
            }
        }
    }
    degrade_settings_free(&s);
}

static void check_services(struct maker *m) {
    struct incident_settings all = {0};
    if (incident_settings_read(m->config, &all, NULL) == HARDY_OK) {
        for (size_t i = 0; i < incident_service_count(&all); i++) {
            const struct service_settings *s = incident_service_at(&all, i);
            const struct action_settings *a = s->actions.items;
            begin(m, "service", s->name);
            holds(m, s->escalate.count > 0, "a person is told when it is not mended",
                  "escalate: [NAME]");
            for (size_t k = 0; k < s->actions.count; k++) {
                if (!action_is_inside(&a[k])) {
                    snprintf(m->of, sizeof m->of, "action %s of %s", a[k].name, s->name);
                    holds(m, a[k].in_doubt != IN_DOUBT_ASK,
                          "a doubt how it ended is settled without a person",
                          "probe: [./is-done], in_doubt: probe");
                }
            }
        }
    }
    incident_settings_free(&all);
}

static void check_children(struct maker *m) {
    struct schema_list children = {0};
    if (children_settings_read(m->config, &children, NULL) == HARDY_OK) {
        const struct child_settings *c = children.items;
        for (size_t i = 0; i < children.count; i++) {
            begin(m, "child", c[i].name);
            holds(m, c[i].readiness != READY_BY_UPTIME, "it is ready when it says or shows it",
                  "ready: \"tcp 127.0.0.1:8080\"");
            holds(m, c[i].escalate.count > 0, "a person is told when it is given up",
                  "escalate: [NAME]");
        }
    }
    children_settings_free(&children);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void check_whole(struct maker *m) {
    struct health_settings health = {0};
    const struct yaml_node *checks = config_section(m->config, "checks");
    const struct yaml_node *notify = config_section(m->config, "notify");
    const struct yaml_node *state = config_section(m->config, "state");
    (void)health_settings_read(m->config, &health, NULL);
    snprintf(m->of, sizeof m->of, "the whole");
    holds(m, health.listen != NULL, "an orchestrator can ask /health/live and /health/ready",
          "health: {listen: \"0.0.0.0:4275\"}");
    holds(m, checks && checks->count > 0, "something is looked at before callers notice",
          "checks: [{name: database, tcp: \"127.0.0.1:5432\"}]");
    holds(m, notify && notify->count > 0, "a person can be told",
          "notify: {pager: {type: webhook, url: \"https://example.com/page\"}}");
    holds(m, !state || !str_eq(state->text, "memory"), "the state outlasts a restart",
          "state: hardy.db");
    health_settings_free(&health);
}

void checklist_configuration(struct checklist *list, const struct config *config) {
    struct maker m = {list, config, ""};
    struct gateway_settings gateway = {0};
    (void)gateway_settings_look(config, &gateway, NULL);
    check_guards(&m, &gateway);
    gateway_settings_free(&gateway);
    check_gatherings(&m);
    check_services(&m);
    check_children(&m);
    check_whole(&m);
}

/* --- a workflow ------------------------------------------------------------------------------- */

static bool check_step(void *ctx, const struct workflow_step *step) {
    struct maker *m = ctx;
    struct guard_settings s = {0};
    bool acts = step->kind <= STEP_FILE;
    if (!acts && step->kind != STEP_UNTIL) {
        return true;
    }
    begin(m, "step", step->s.name);
    bool guarded = step->s.guard &&
                   guard_settings_find(m->config, step->s.guard, GUARD_EMPTY, &s, NULL) == HARDY_OK;
    holds(m, step->s.timeout != HARDY_NEVER || (guarded && ends_attempts(&s.config)),
          "an attempt that hangs is ended", "timeout: 5m");
    if (acts) {
        holds(m, step->in_doubt != IN_DOUBT_ASK, "a doubt how it ended is settled without a person",
              "probe: [./find-it]");
        if (step->s.retry || guarded) {
            const hardy_retry_config *r = step->retry ? step->retry->config.retry : s.config.retry;
            add(m, r && r->max_retries > 0 ? ANSWER_YES : ANSWER_OFF,
                "what can pass is tried again", NULL);
        } else {
            holds(m, false, "what can pass is tried again", "retry: {max_retries: 3}");
        }
    }
    guard_settings_free(&s);
    return true;
}

void checklist_workflow(struct checklist *list, const struct workflow *w,
                        const struct config *config) {
    struct maker m = {list, config, ""};
    (void)workflow_each(w, check_step, &m);
}

/* --- telling ---------------------------------------------------------------------------------- */

void checklist_print(const struct checklist *list) {
    static const char *const words[] = {"no", "yes", "off"};
    size_t hold = 0, of = 0;
    for (const struct checklist_item *i = list->items; i < list->items + list->count; i++) {
        if (i == list->items || !str_eq(i->of, i[-1].of)) {
            printf("  %s\n", i->of);
        }
        printf("    %-5s%s\n", words[i->answer], i->item);
        if (i->add) {
            printf("         add %s\n", i->add);
        }
        hold += i->answer == ANSWER_YES;
        of += i->answer != ANSWER_OFF;
    }
    if (list->count > 0) {
        printf("  %zu of %zu hold\n", hold, of);
    }
}

void checklist_put(const struct checklist *list, struct json_out *json) {
    json_out_array(json);
    for (const struct checklist_item *i = list->items; i < list->items + list->count; i++) {
        json_out_object(json);
        json_out_member_string(json, "of", i->of);
        json_out_member_string(json, "item", i->item);
        json_out_key(json, "holds");
        if (i->answer == ANSWER_OFF) {
            json_out_null(json);
        } else {
            json_out_bool(json, i->answer == ANSWER_YES);
        }
        json_out_member_string(json, "add", i->add);
        json_out_object_end(json);
    }
    json_out_array_end(json);
}

void checklist_free(struct checklist *list) {
    free(list->items);
    *list = (struct checklist){0};
}
