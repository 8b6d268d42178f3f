/* SPDX-License-Identifier: Apache-2.0 */
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

/* The remedy for the next round: the rule's actions in their order, from the start again after the
 * last, so that an ineffective one is not simply repeated where there is another. */
static struct incident_next choose(const struct incident *i, const struct incident_settings *all,
                                   const struct service_settings *s) {
    const struct rule_settings *rule = i->rule ? incident_rule(s, i->rule) : NULL;
    char why[240];
    if (!rule)
        return escalate("no rule explains what was found");
    if (rule->actions.count == 0)
        return escalate("the rule names no remedy");
    if (i->round >= s->max_attempts) {
        snprintf(why, sizeof why, "%u %s did not help", i->round,
                 i->round == 1 ? "attempt" : "attempts");
        return escalate(why);
    }
    const char *name = rule->actions.items[i->round % rule->actions.count];
    const struct action_settings *action = incident_action(s, name);
    if (!action)
        return escalate("the rule's remedy is not configured any more");
    if (!incident_may_act(all, s, action)) {
        snprintf(why, sizeof why, "automation is observe: would have run `%s`", name);
        return escalate(why);
    }
    return (struct incident_next){.kind = INCIDENT_ACT, .action = name, .round = i->round + 1};
}

struct incident_next incident_decide(const struct incident *i, const struct incident_settings *all,
                                     const struct service_settings *s) {
    switch (i->state) {
    case INCIDENT_RECEIVED:
        return only(INCIDENT_GATHER);
    case INCIDENT_GATHERED:
        return only(INCIDENT_ANALYSE);
    case INCIDENT_ANALYSED:
        return choose(i, all, s);
    case INCIDENT_ACTING:
    case INCIDENT_IN_DOUBT:
        return (struct incident_next){.kind = INCIDENT_ACT, .action = i->action, .round = i->round};
    case INCIDENT_ACTED:
        return only(INCIDENT_VERIFY);
    case INCIDENT_RESOLVED:
    case INCIDENT_ESCALATED:
        break;
    }
    return only(INCIDENT_FINISH);
}
