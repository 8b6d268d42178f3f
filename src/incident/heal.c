/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of a service say is to be done, and how many there are to be. */
#include "base/str.h"
#include "incident/incident.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const level_words[] = {"healthy", "degraded", "unhealthy", "critical"};

const char *heal_level_text(enum heal_level level) {
    return level_words[level];
}

enum heal_level heal_level_of(size_t passing, size_t failing) {
    size_t known = passing + failing;
    if (failing == 0)
        return HEAL_HEALTHY;
    if (4 * passing >= 3 * known)
        return HEAL_DEGRADED;
    return 2 * passing >= known ? HEAL_UNHEALTHY : HEAL_CRITICAL;
}

/* --- what a check's kind suggests ------------------------------------------------------------- */

/* What scales is the user's to say, for nobody else knows how. */
static const char *suits(const struct check_settings *c) {
    if (c && c->memory_below > 0)
        return "clear_cache";
    return c && (c->http || c->tcp) ? "reset_connections" : NULL;
}

/* --- the plan --------------------------------------------------------------------------------- */

static bool has_word(const struct buf *words, const char *word) {
    size_t len = strlen(word);
    for (const char *at = words->data; at && *at; at += strcspn(at, " "), at += *at == ' ')
        if (strncmp(at, word, len) == 0 && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

static void add_word(const struct service_settings *s, const char *word, struct buf *plan) {
    const struct action_settings *a = incident_action(s, word);
    if (!a || (a->restart && !s->restarts) || (a->fail_over && !s->fails_over) ||
        has_word(plan, word))
        return;
    buf_printf(plan, "%s%s", plan->len ? " " : "", word);
}

static bool concerns(const struct heal_settings *r, const json_t *failing) {
    return r->check ? json_object_get(failing, r->check) != NULL : json_object_size(failing) > 0;
}

static void plan_what_is_written(const struct service_settings *s, const json_t *failing,
                                 enum heal_level level, struct buf *plan) {
    const struct heal_settings *remedies = s->remedies.items;
    for (size_t n = 0; n < s->remedies.count; n++)
        if (level > (enum heal_level)remedies[n].from && concerns(&remedies[n], failing))
            for (size_t k = 0; k < remedies[n].actions.count; k++)
                add_word(s, remedies[n].actions.items[k], plan);
}

static void plan_what_suits(const struct service_settings *s, const struct schema_list *checks,
                            const json_t *failing, struct buf *plan) {
    for (size_t n = 0; n < s->checks.count; n++) {
        const char *word = json_object_get(failing, s->checks.items[n])
                               ? suits(incident_check(checks, s->checks.items[n]))
                               : NULL;
        if (word)
            add_word(s, word, plan);
    }
}

static void tell_cause(const json_t *failing, const char *level, size_t known, char *out,
                       size_t size) {
    const char *name;
    json_t *message;
    struct buf names;
    size_t count = json_object_size(failing);
    buf_init(&names, 100);
    json_object_foreach((json_t *)(uintptr_t)failing, name, message) {
        buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    }
    snprintf(out, size, "%s: %.100s %s down, %zu of %zu", level,
             names.data && !names.failed ? names.data : "checks", count == 1 ? "is" : "are", count,
             known);
    buf_free(&names);
}

hardy_status heal_analyse(const struct incident *i, const struct service_settings *s,
                          const struct schema_list *checks, char cause[200], struct buf *plan) {
    json_t *evidence = i->evidence ? json_loads(i->evidence, 0, NULL) : NULL;
    json_t *said = json_object_get(
        json_object_get(json_object_get(json_object_get(evidence, "components"), HEAL_EVIDENCE),
                        "data"),
        "results");
    json_t *failing = json_object(), *one;
    size_t passing = 0;
    const char *name;
    json_object_foreach(said, name, one) {
        const char *result = json_string_value(json_object_get(one, "result"));
        passing += str_eq(result, "pass");
        if (str_eq(result, "fail"))
            json_object_set(failing, name, json_object_get(one, "message"));
    }
    size_t count = json_object_size(failing);
    enum heal_level level = heal_level_of(passing, count);
    if (count == 0)
        snprintf(cause, 200, "no check that could run is down");
    else
        tell_cause(failing, heal_level_text(level), passing + count, cause, 200);
    if (s->remedies.count > 0)
        plan_what_is_written(s, failing, level, plan);
    else
        plan_what_suits(s, checks, failing, plan);
    json_decref(failing);
    json_decref(evidence);
    return plan->failed ? HARDY_E_NOMEM : HARDY_OK;
}
