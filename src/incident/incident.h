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
    enum incident_last last; /* what came of the round before, or of this one's remedy */
    char *outcome;           /* the same for people, one line */
    uint32_t events;         /* rows written so far */
    bool by_hand;            /* opened by a person, whatever the check says */
    bool told;               /* people were paged: they are also told when it is over */
    char *owner;             /* who handles it or did so last: "hardy supervise, pid 4711" */
};

/* --- settings: `incidents:` ------------------------------------------------------------------- */
struct rule_settings {
    char *name, *when, *cause; /* when: expression over evidence.SOURCE..., incident.service ... */
    double confidence;
    struct schema_strings actions; /* in the order they are tried */
};
struct action_settings {
    char *name;
    struct schema_command run, probe;
    int in_doubt; /* enum in_doubt_policy */
    int64_t timeout;
    uint32_t max_runs; /* within `per`, over all incidents of the service */
    int64_t per;
    int automation; /* enum automation */
};
struct verify_settings {
    uint32_t passes;
    int64_t window;
};
struct service_settings {
    char *name, *check;
    int severity; /* index into critical, high, medium, low */
    int64_t gather_deadline;
    struct schema_list sources, rules, actions;
    struct verify_settings verify;
    uint32_t max_attempts;
    int64_t pause; /* before the second attempt; doubles */
    struct schema_strings escalate;
    int automation; /* enum automation */
};
struct incident_settings {
    struct schema_list services; /* of service_settings */
    int64_t keep;                /* what is known of an incident, after its end */
    int automation;              /* the file's `automation:`; AUTOMATION_OBSERVE */
};
/* Whether hardy itself may carry the action out: action, else service, else file. */
bool incident_may_act(const struct incident_settings *all, const struct service_settings *s,
                      const struct action_settings *a);
const struct service_settings *incident_service(const struct incident_settings *all,
                                                const char *name);
const struct action_settings *incident_action(const struct service_settings *s, const char *name);
const struct rule_settings *incident_rule(const struct service_settings *s, const char *name);
const struct check_settings *incident_check(const struct schema_list *checks, const char *name);
hardy_status incident_settings_read(const struct config *config, struct incident_settings *out,
                                    hardy_error *error);
/* Tells each name that stands for nothing: checks, places to notify. Returns how many. */
size_t incident_settings_check(const struct config *config, const struct incident_settings *all,
                               const struct schema_list *checks, const struct schema_list *targets,
                               schema_report report, void *ctx);
extern const struct schema_section incident_section;
const char *incident_severity_text(int severity);
/* Its index, -1 = no such word. */
int incident_severity(const char *word);
void incident_settings_free(struct incident_settings *s);

/* --- what is known of a service over its incidents -------------------------------------------- */
struct past_run {
    char *action;
    int64_t at; /* wall */
};
struct past {
    int64_t fence;  /* of the row, -1 = none yet */
    char *incident; /* id of the latest, NULL = none */
    struct past_run *runs;
    size_t count;
};
hardy_status past_load(struct store *store, const char *service, struct past *out,
                       hardy_error *error);
void past_free(struct past *p);
/* Runs of the action after `since`. */
uint32_t past_runs(const struct past *p, const char *action, int64_t since);
/* Adds a run, forgetting those before `forget`; false = no memory. */
bool past_add_run(struct past *p, const char *action, int64_t at, int64_t forget);
void past_encode(const struct past *p, struct buf *out);

/* --- decisions: pure -------------------------------------------------------------------------- */
enum incident_next_kind {
    INCIDENT_GATHER,
    INCIDENT_ANALYSE,
    INCIDENT_ACT, /* the remedy `action` as round `round`: started, attached to or collected */
    INCIDENT_VERIFY,
    INCIDENT_ESCALATE,
    INCIDENT_FINISH
};
struct incident_next {
    enum incident_next_kind kind;
    const char *action; /* INCIDENT_ACT */
    uint32_t round;
    char why[240]; /* INCIDENT_ESCALATE */
};
struct incident_next incident_decide(const struct incident *i, const struct incident_settings *all,
                                     const struct service_settings *s, const struct past *past,
                                     int64_t wall);
/* The first rule whose condition holds over the evidence; NULL = none. `problems` (may be NULL)
 * collects rules whose condition could not be evaluated. */
const struct rule_settings *
incident_analyse(const struct incident *i, const struct service_settings *s, struct buf *problems);

/* --- the record ------------------------------------------------------------------------------- */
void incident_free(struct incident *i);
hardy_status incident_load(struct store *store, const char *id, struct incident *out,
                           hardy_error *error);
hardy_status incident_decode(const struct store_row *row, struct incident *out, hardy_error *error);
void incident_encode(const struct incident *i, struct buf *out);
/* The key of this round's remedy, malloc'd; NULL = no memory. */
char *incident_remedy_key(const struct incident *i);
/* Something is still to be done by hardy: neither over nor with a person. */
bool incident_under_way(const struct incident *i);
#endif
