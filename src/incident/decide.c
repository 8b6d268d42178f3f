/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "incident/incident.h"
#include <stdio.h>

static struct incident_next only(enum incident_next_kind kind) {
    return (struct incident_next){.kind = kind};
}

static struct incident_next escalate(const char *why) {
    struct incident_next next = only(INCIDENT_ESCALATE);
    str_copy(next.why, sizeof next.why, why);
    return next;
}

static bool used_up(const struct action_settings *a, const struct past *past, int64_t wall) {
    return past_runs(past, a->name, time_add(wall, -a->per)) >= a->max_runs;
}

/* The remedy for the next round: the rule's actions in their order, from the start again after the
 * last, so that an ineffective one is not simply repeated where there is another. One that has run
 * as often as it may is passed over. */
static struct incident_next choose(const struct incident *i, const struct incident_settings *all,
                                   const struct service_settings *s, const struct past *past,
                                   int64_t wall) {
    const struct rule_settings *rule = i->rule ? incident_rule(s, i->rule) : NULL;
    const struct action_settings *spent = NULL;
    char why[240], span[48];
    if (!rule)
        return escalate("no rule explains it");
    if (rule->actions.count == 0)
        return escalate("its rule names no remedy");
    if (i->round >= s->max_attempts) {
        snprintf(why, sizeof why, "%u %s did not help", i->round,
                 i->round == 1 ? "attempt" : "attempts");
        return escalate(why);
    }
    for (size_t n = 0; n < rule->actions.count; n++) {
        const char *name = rule->actions.items[(i->round + n) % rule->actions.count];
        const struct action_settings *action = incident_action(s, name);
        if (!action)
            continue; /* refused when the configuration was read */
        if (!incident_may_act(all, s, action)) {
            snprintf(why, sizeof why, "automation is observe; would have run %s", name);
            return escalate(why);
        }
        if (!used_up(action, past, wall))
            return (struct incident_next){
                .kind = INCIDENT_ACT, .action = name, .round = i->round + 1};
        spent = spent ? spent : action;
    }
    if (!spent)
        return escalate("its rule names no remedy");
    uint32_t runs = past_runs(past, spent->name, time_add(wall, -spent->per));
    format_duration_short(spent->per, span);
    snprintf(why, sizeof why, "%s has run %u %s within %s, as often as it may", spent->name, runs,
             runs == 1 ? "time" : "times", span);
    return escalate(why);
}

struct incident_next incident_decide(const struct incident *i, const struct incident_settings *all,
                                     const struct service_settings *s, const struct past *past,
                                     int64_t wall) {
    char why[240];
    switch (i->state) {
    case INCIDENT_RECEIVED:
        return only(INCIDENT_GATHER);
    case INCIDENT_GATHERED:
        return only(INCIDENT_ANALYSE);
    case INCIDENT_ANALYSED:
        return choose(i, all, s, past, wall);
    case INCIDENT_ACTING:
    case INCIDENT_IN_DOUBT:
        if (i->action && incident_action(s, i->action))
            return (struct incident_next){
                .kind = INCIDENT_ACT, .action = i->action, .round = i->round};
        snprintf(why, sizeof why,
                 "%.60s was under way and is not configured any more; nobody knows "
                 "how it ended",
                 i->action ? i->action : "a remedy");
        return escalate(why);
    case INCIDENT_ACTED:
        return only(INCIDENT_VERIFY);
    case INCIDENT_RESOLVED:
    case INCIDENT_ESCALATED:
        break;
    }
    return only(INCIDENT_FINISH);
}
