/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_INCIDENT_H
#define INCIDENT_INCIDENT_H
/*
 * An incident as a checkpointed state machine: received -> gathered -> analysed -> acting -> acted
 * -> resolved, or escalated to a person. Each step is durable before the next; a remedy is a
 * durable command whose key is incident + round + parameters. Killed anywhere, it goes on where it
 * was. This header: the record, the settings, the decisions; handle.h drives them.
 *
 * Rows: "incident" (key = id); "event" (key = "ID/000001"): what happened, in order; "service" (key
 * = its name): its latest incident, and when which remedy was run; "remedy": the records of the
 * actions (key = "ID/ROUND.action").
 */
#include "config/config.h"
#include "degrade/source.h"
#include "durable/record.h"
#include "durable/signal.h"
#include "health/check.h"
#include "supervise/automation.h"

enum incident_state {
    INCIDENT_RECEIVED,
    INCIDENT_GATHERED,
    INCIDENT_ANALYSED,
    INCIDENT_ACTING,
    INCIDENT_ACTED,
    INCIDENT_RESOLVED,  /* the service is well again, by whomever */
    INCIDENT_ESCALATED, /* handed to a person; nothing is tried until the check has been up */
    INCIDENT_IN_DOUBT   /* a remedy was started and nobody knows how it ended: a person says */
};
const char *incident_state_text(enum incident_state state);

enum incident_last { LAST_NONE, LAST_REMEDY_DONE, LAST_REMEDY_FAILED, LAST_NOT_VERIFIED };

struct incident {
    char *id; /* "inc-20261123-010203-4f2a": ids sort by time */
    char *service, *summary;
    char *severity; /* critical high medium low */
    enum incident_state state;
    int64_t fence;
    int64_t created, ended; /* wall */
    uint32_t round;         /* attempts at a remedy begun so far */
    char *evidence;         /* gathered_to_json()'s answer of the latest round */
    int64_t gathered;       /* wall of it */
    char *cause, *rule;
    double confidence;
    char *action;            /* the remedy of this round */
    char *plan;              /* names of remedies in the order they are tried, spaces between */
    int64_t asked;           /* wall: a person was asked whether `action` may run; 0 = not */
    char *waits;             /* what it waits for, for people; NULL = for nothing */
    enum incident_last last; /* what came of the round before, or of this one's remedy */
    char *outcome;           /* the same for people, one line */
    uint32_t events;         /* rows written so far */
    bool by_hand;            /* opened by a person, whatever the check says */
    bool flaps;              /* opened because a check flaps: people are told, nothing is mended */
    bool told;               /* people were paged: they are also told when it is over */
    char *owner;             /* who handles it or did so last: "hardy supervise, pid 4711" */
};

/* --- settings: `incidents:` ------------------------------------------------------------------- */
struct rule_settings {
    char *name, *when, *cause; /* when: expression over evidence.SOURCE..., incident.service ... */
    double confidence;
    struct schema_strings actions; /* in the order they are tried */
};
struct call_settings {
    char *method, *url, *body;
    struct schema_strings headers; /* "Name: value" */
};
struct lower_settings {
    char *guard; /* NULL = all */
    double to;   /* share of what is under way */
    int64_t lasts;
};
/* How many there are now comes from the evidence, so that the number to be is known, and durable,
 * before anything is done: the same remedy twice scales once. */
struct scale_settings {
    char *source; /* NULL: does not scale */
    int64_t by;   /* below 0: down */
    int64_t min, max;
};
struct action_settings {
    char *name;
    struct schema_command run, probe;
    struct call_settings http;
    char *restart, *reload, *fail_over; /* names under supervise: and fail_over: */
    char *clear_cache;                  /* prefix of keys; "" = all */
    char *reset_connections;            /* an upstream; "" = all */
    struct lower_settings lower;
    bool lowers;
    struct scale_settings scale; /* with run or http */
    int in_doubt;                /* enum in_doubt_policy */
    int64_t timeout;
    uint32_t max_runs; /* within `per`, over all incidents of the service */
    int64_t per;
    int64_t cooldown; /* from one run to the next */
    bool cooldown_given;
    int automation; /* enum automation */
};
/* Done by hardy itself, not by a process of its own. */
bool action_is_inside(const struct action_settings *a);
/* How many there will be. E_NOT_FOUND: the evidence does not tell how many there are; E_FULL: it is
 * at its limit. */
hardy_status action_scale(const struct action_settings *a, const char *evidence, int64_t *from,
                          int64_t *to, hardy_error *error);
/* What is done about a check that is down, from a level on. */
struct heal_settings {
    char *check; /* NULL = whichever */
    int from;    /* index into degraded, unhealthy, critical */
    struct schema_strings actions;
};
enum heal_level { HEAL_HEALTHY, HEAL_DEGRADED, HEAL_UNHEALTHY, HEAL_CRITICAL };
struct verify_settings {
    uint32_t passes;
    int64_t window;
};
/* Of `incidents: services:`, where rules over the evidence choose the remedies, or of `heal:
 * services:`, where the checks that are down do. */
struct service_settings {
    char *name;
    char *check;                  /* how one check is written; `checks` has it too */
    struct schema_strings checks; /* down: an incident; all good again: its end */
    int severity;                 /* index into critical, high, medium, low */
    int64_t gather_deadline;
    struct schema_list sources, rules, actions;
    struct schema_list remedies; /* heal: of heal_settings */
    bool heals;                  /* is one of heal: */
    bool restarts, fails_over;   /* heal: actions of these kinds may be used */
    struct verify_settings verify;
    uint32_t max_attempts;
    int64_t pause; /* before the second attempt; doubles */
    struct schema_strings escalate;
    int64_t escalate_after; /* also people are told when it takes longer; 0 = not */
    int64_t ask_for;        /* how long a person is waited for */
    int automation;         /* enum automation */
};
struct healing {                 /* `heal:` */
    struct schema_list services; /* of service_settings */
    uint32_t max_runs;           /* remedies of all services together within `per` */
    int64_t per;
};
struct incident_settings {
    struct schema_list services; /* of service_settings */
    int64_t keep;                /* what is known of an incident, after its end */
    int automation;              /* the file's `automation:`; AUTOMATION_OBSERVE */
    struct healing healing;
};
/* How far hardy may go: the action's word, else the service's, else the file's. */
enum automation incident_automation(const struct incident_settings *all,
                                    const struct service_settings *s,
                                    const struct action_settings *a);
/* Both kinds of services, whose names are one set. */
size_t incident_service_count(const struct incident_settings *all);
const struct service_settings *incident_service_at(const struct incident_settings *all, size_t n);
const struct service_settings *incident_service(const struct incident_settings *all,
                                                const char *name);
const struct action_settings *incident_action(const struct service_settings *s, const char *name);
const struct rule_settings *incident_rule(const struct service_settings *s, const char *name);
const struct check_settings *incident_check(const struct schema_list *checks, const char *name);
hardy_status incident_settings_read(const struct config *config, struct incident_settings *out,
                                    hardy_error *error);
/* Tells each name that stands for nothing: checks, places to notify, children, fail-overs. Returns
 * how many. */
size_t incident_settings_check(const struct config *config, const struct incident_settings *all,
                               const struct schema_list *checks, const struct schema_list *targets,
                               schema_report report, void *ctx);
extern const struct schema_section incident_section, heal_section;
const char *incident_severity_text(int severity);
/* Its index, -1 = no such word. */
int incident_severity(const char *word);
void incident_settings_free(struct incident_settings *s);

/* --- what is known of a service over its incidents -------------------------------------------- */
struct past_run {
    char *action;
    int64_t at; /* wall */
};
struct past_result { /* since the first time it was run */
    char *action;
    uint32_t healed, not_healed;
};
struct past {
    int64_t fence;  /* of the row, -1 = none yet */
    char *incident; /* id of the latest, NULL = none */
    struct past_run *runs;
    size_t count;
    struct past_result *results;
    size_t result_count;
    uint32_t opened, resolved, escalated; /* incidents */
};
hardy_status past_load(struct store *store, const char *service, struct past *out,
                       hardy_error *error);
hardy_status past_decode(const struct store_row *row, struct past *out, hardy_error *error);
/* Runs of all services' remedies after `since`. */
hardy_status past_all_runs(struct store *store, int64_t since, uint32_t *out, hardy_error *error);
void past_free(struct past *p);
/* Runs of the action (NULL = of any) after `since`. */
uint32_t past_runs(const struct past *p, const char *action, int64_t since);
/* Wall of its latest run; INT64_MIN = none is known. */
int64_t past_last_run(const struct past *p, const char *action);
/* How often the action has helped, and not; false = no memory. */
bool past_add_result(struct past *p, const char *action, bool healed);
/* Adds a run, forgetting those before `forget`; false = no memory. */
bool past_add_run(struct past *p, const char *action, int64_t at, int64_t forget);
/* The latest run has not begun after all. */
void past_drop_run(struct past *p);
double past_success_rate(const struct past_result *r); /* 0 to 1 */
/* How often each remedy of each service has helped; what is passed is borrowed. */
hardy_status past_each_result(struct store *store,
                              void (*fn)(void *ctx, const char *service,
                                         const struct past_result *r),
                              void *ctx, hardy_error *error);
/* How many of its incidents are not over, those with a person among them. */
uint32_t past_open(const struct past *p);
struct exposition;
/* Of all services: incidents, and how often which remedy has helped. */
void incident_write_metrics(struct store *store, struct exposition *x);
void past_encode(const struct past *p, struct buf *out);

/* --- decisions: pure -------------------------------------------------------------------------- */
enum incident_next_kind {
    INCIDENT_GATHER,
    INCIDENT_ANALYSE,
    INCIDENT_ACT, /* the remedy `action` as round `round`: started, attached to or collected */
    INCIDENT_VERIFY,
    INCIDENT_WAIT, /* nothing may be done now, for `why`; looked at again soon */
    INCIDENT_ASK,  /* a person is asked whether `action` may run as round `round` */
    INCIDENT_WARN, /* people are told that it takes long, and it goes on */
    INCIDENT_ESCALATE,
    INCIDENT_FINISH
};
struct incident_next {
    enum incident_next_kind kind;
    const char *action; /* INCIDENT_ACT, _ASK; _ESCALATE: what would have been run, or NULL */
    uint32_t round;
    char why[240]; /* INCIDENT_WAIT, _WARN, _ESCALATE */
};
/* What the decision looks at besides the record and the settings. */
struct incident_around {
    int64_t wall;
    const struct past *past;
    uint32_t runs;               /* of all services together within the settings' `per` */
    const char *hands_off;       /* why nothing may be touched now; NULL = it may */
    const struct signal *answer; /* of a person to what was asked; NULL = none yet */
};
struct incident_next incident_decide(const struct incident *i, const struct incident_settings *all,
                                     const struct service_settings *s,
                                     const struct incident_around *around);
/* The first rule whose condition holds over the evidence; NULL = none. `problems` (may be NULL)
 * collects rules whose condition could not be evaluated. */
const struct rule_settings *
incident_analyse(const struct incident *i, const struct service_settings *s, struct buf *problems);

/* --- heal: what the checks say ---------------------------------------------------------------- */
#define HEAL_EVIDENCE "checks" /* the component of the evidence that tells it */
/* By the share of the checks that pass among those that could tell: all healthy, from 75 % on
 * degraded, from 50 % on unhealthy, else critical. None could tell: healthy, for nothing is known.
 */
enum heal_level heal_level_of(size_t passing, size_t failing);
const char *heal_level_text(enum heal_level level);
/* From the evidence: `cause`, a sentence (at most 200 bytes), and the remedies of the checks that
 * are down, from the level on that holds, each once, in the order they are written. Where none are
 * written, what suits the kind of check. E_NOMEM. */
hardy_status heal_analyse(const struct incident *i, const struct service_settings *s,
                          const struct schema_list *checks, char cause[200], struct buf *plan);

/* --- the record ------------------------------------------------------------------------------- */
void incident_free(struct incident *i);
hardy_status incident_load(struct store *store, const char *id, struct incident *out,
                           hardy_error *error);
hardy_status incident_decode(const struct store_row *row, struct incident *out, hardy_error *error);
void incident_encode(const struct incident *i, struct buf *out);
/* The key of this round's remedy, malloc'd; NULL = no memory. While a person is asked, of the round
 * that is asked about: what the person says has this key (durable/signal.h) and the round as fence.
 */
char *incident_remedy_key(const struct incident *i);
/* A person is asked whether `action` may run. */
bool incident_asks(const struct incident *i);
/* Something is still to be done by hardy: neither over nor with a person. */
bool incident_under_way(const struct incident *i);
#endif
