/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/parse.h"
#include "base/str.h"
#include "durable/seeded.h"
#include "incident/incident.h"
#include <stdio.h>
#include <string.h>

static struct incident_next only(enum incident_next_kind kind) {
    return (struct incident_next){.kind = kind};
}

static struct incident_next because(enum incident_next_kind kind, const char *why) {
    struct incident_next next = only(kind);
    str_copy(next.why, sizeof next.why, why);
    return next;
}

static struct incident_next escalate(const char *why) {
    return because(INCIDENT_ESCALATE, why);
}

/* --- what was asked --------------------------------------------------------------------------- */

static struct incident_next refused(const char *name, const struct signal *answer) {
    char why[240];
    snprintf(why, sizeof why, "%.60s was refused by %.60s%s%.80s", name, answer->who,
             answer->comment ? ": " : "", answer->comment ? answer->comment : "");
    return escalate(why);
}

/* The action needs a person's word. Only an answer to this very question counts. */
static struct incident_next ask(const struct incident *i, const struct service_settings *s,
                                const char *name, const struct incident_around *around) {
    const struct signal *answer = around->answer;
    uint32_t round = i->round + 1;
    bool asked = i->asked && str_eq(i->action, name);
    char why[240], span[48];
    if (asked && answer && answer->fence == (int64_t)round)
        return answer->what == SIGNAL_APPROVE
                   ? (struct incident_next){.kind = INCIDENT_ACT, .action = name, .round = round}
                   : refused(name, answer);
    if (asked && around->wall >= time_add(i->asked, s->ask_for)) {
        format_duration_short(s->ask_for, span);
        snprintf(why, sizeof why, "nobody has approved %.60s within %s", name, span);
        return escalate(why);
    }
    return (struct incident_next){.kind = INCIDENT_ASK, .action = name, .round = round};
}

/* --- which remedy ----------------------------------------------------------------------------- */

struct choice { /* why the remedies that were looked at cannot be run */
    const struct action_settings *spent;
    const struct action_settings *cooling; /* the one that may run first */
    int64_t cooled;
    char unfit[160];
};

static bool used_up(const struct action_settings *a, const struct incident_around *around) {
    return past_runs(around->past, a->name, time_add(around->wall, -a->per)) >= a->max_runs;
}

static int64_t cooled(const struct action_settings *a, const struct incident_around *around) {
    int64_t last = past_last_run(around->past, a->name);
    return last == INT64_MIN || SEEDED_BUG(BUG_HEAL_COOLDOWN) ? INT64_MIN
                                                              : time_add(last, a->cooldown);
}

/* Whether it can be run now; else `choice` knows why not. */
static bool usable(const struct incident *i, const struct action_settings *a,
                   const struct incident_around *around, struct choice *choice) {
    int64_t from, to, from_when = cooled(a, around);
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    if (a->scale.source && action_scale(a, i->evidence, &from, &to, &why) != HARDY_OK) {
        if (!choice->unfit[0])
            snprintf(choice->unfit, sizeof choice->unfit, "%.60s: %.90s", a->name, why.message);
        return false;
    }
    if (used_up(a, around)) {
        choice->spent = choice->spent ? choice->spent : a;
        return false;
    }
    if (from_when > around->wall) {
        if (!choice->cooling || from_when < choice->cooled) {
            choice->cooling = a;
            choice->cooled = from_when;
        }
        return false;
    }
    return true;
}

/* None can be run now. */
static struct incident_next no_choice(const struct choice *choice,
                                      const struct incident_around *around) {
    const struct action_settings *spent = choice->spent;
    char why[240], span[48];
    if (choice->cooling) {
        format_duration_short(time_add(choice->cooled, -around->wall), span);
        snprintf(why, sizeof why, "%.60s has just been run; it may be again in %s",
                 choice->cooling->name, span);
        return because(INCIDENT_WAIT, why);
    }
    if (spent) {
        uint32_t runs = past_runs(around->past, spent->name, time_add(around->wall, -spent->per));
        format_duration_short(spent->per, span);
        snprintf(why, sizeof why, "%s has run %u %s within %s, as often as it may", spent->name,
                 runs, runs == 1 ? "time" : "times", span);
        return escalate(why);
    }
    return escalate(choice->unfit[0] ? choice->unfit : "its remedies are not configured any more");
}

/* The n-th word, from 0 on; false: there are fewer. */
static bool word_at(const char *words, size_t n, char *out, size_t size) {
    const char *at = words;
    while (n-- > 0) {
        at = strchr(at, ' ');
        if (!at)
            return false;
        at++;
    }
    size_t len = strcspn(at, " ");
    if (len == 0 || len >= size)
        return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

static size_t count_words(const char *words) {
    size_t count = words && *words;
    for (; words && *words; words++)
        count += *words == ' ';
    return count;
}

/* Whether hardy has done as much as it may over all; `why` tells. */
static bool too_much(const struct incident_settings *all, const struct incident_around *around,
                     char *why, size_t size) {
    char span[48];
    if (all->healing.max_runs == 0 || SEEDED_BUG(BUG_HEAL_LIMIT) ||
        around->runs < all->healing.max_runs)
        return false;
    format_duration_short(all->healing.per, span);
    snprintf(why, size, "%u remedies have run within %s over all services, as many as may",
             around->runs, span);
    return true;
}

/* The remedy for the next round: those of the plan in their order, from the start again after the
 * last, so that an ineffective one is not simply repeated where there is another. One that cannot
 * be run now is passed over. */
static struct incident_next choose(const struct incident *i, const struct incident_settings *all,
                                   const struct service_settings *s,
                                   const struct incident_around *around) {
    size_t count = count_words(i->plan);
    struct choice choice = {0};
    char why[240], name[64];
    if (count == 0)
        return escalate(i->rule ? "its rule names no remedy" : "no rule explains it");
    if (i->round >= s->max_attempts) {
        snprintf(why, sizeof why, "%u %s did not help", i->round,
                 i->round == 1 ? "attempt" : "attempts");
        return escalate(why);
    }
    for (size_t n = 0; n < count; n++) {
        const struct action_settings *action =
            word_at(i->plan, (i->round + n) % count, name, sizeof name) ? incident_action(s, name)
                                                                        : NULL;
        if (!action || !usable(i, action, around, &choice))
            continue;
        enum automation may = incident_automation(all, s, action);
        if (may == AUTOMATION_OBSERVE && !SEEDED_BUG(BUG_HEAL_OBSERVED)) {
            snprintf(why, sizeof why, "automation is observe; would have run %s", action->name);
            struct incident_next next = escalate(why);
            next.action = action->name;
            return next;
        }
        if (too_much(all, around, why, sizeof why))
            return escalate(why);
        if (may == AUTOMATION_ASK)
            return ask(i, s, action->name, around);
        return (struct incident_next){
            .kind = INCIDENT_ACT, .action = action->name, .round = i->round + 1};
    }
    return no_choice(&choice, around);
}

/* Those who are to be told when it takes long have not been told yet. */
static bool overdue(const struct incident *i, const struct service_settings *s, int64_t wall) {
    return s->escalate_after > 0 && !i->told && wall >= time_add(i->created, s->escalate_after);
}

static struct incident_next warn(const struct service_settings *s) {
    char why[240], span[48];
    format_duration_short(s->escalate_after, span);
    snprintf(why, sizeof why, "not well after %s; hardy goes on", span);
    return because(INCIDENT_WARN, why);
}

/* Gone on with whatever else is so: it has begun. */
static struct incident_next go_on(const struct incident *i, const struct service_settings *s) {
    char why[240];
    if (i->action && incident_action(s, i->action))
        return (struct incident_next){.kind = INCIDENT_ACT, .action = i->action, .round = i->round};
    snprintf(why, sizeof why,
             "%.60s was under way and is not configured any more; nobody knows how it ended",
             i->action ? i->action : "a remedy");
    return escalate(why);
}

struct incident_next incident_decide(const struct incident *i, const struct incident_settings *all,
                                     const struct service_settings *s,
                                     const struct incident_around *around) {
    switch (i->state) {
    case INCIDENT_RECEIVED:
        /* What goes up and down by itself would seem mended, or not, by chance. */
        return i->flaps ? escalate("while it flaps, a repair would only add to it")
                        : only(INCIDENT_GATHER);
    case INCIDENT_GATHERED:
        return only(INCIDENT_ANALYSE);
    case INCIDENT_ANALYSED:
        /* A pause is of what hardy does by itself; who opens an incident by hand means it. */
        if (around->hands_off && !i->by_hand && !SEEDED_BUG(BUG_HEAL_PAUSED))
            return because(INCIDENT_WAIT, around->hands_off);
        return overdue(i, s, around->wall) ? warn(s) : choose(i, all, s, around);
    case INCIDENT_ACTING:
    case INCIDENT_IN_DOUBT:
        return go_on(i, s);
    case INCIDENT_ACTED:
        return only(INCIDENT_VERIFY);
    case INCIDENT_RESOLVED:
    case INCIDENT_ESCALATED:
        break;
    }
    return only(INCIDENT_FINISH);
}
