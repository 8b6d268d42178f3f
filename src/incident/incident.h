/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_INCIDENT_H
#define INCIDENT_INCIDENT_H
/*
 * An incident as a checkpointed state machine: received -> gathered -> analysed -> acting -> acted
 * -> resolved, or escalated to a person. Each step is durable before the next; a remedy is a
 * durable command whose key is incident + round + parameters. Killed anywhere, it goes on where it
 * was.
 *
 * Rows: "incident" (key = id), "event" (key = "ID/000001"): what happened, in order; "remedy": the
 * records of the actions (key = "ID/ROUND.action").
 */
#include "config/config.h"
#include "degrade/gather.h"
#include "durable/record.h"
#include "health/check.h"

enum incident_state {
    INCIDENT_RECEIVED,
    INCIDENT_GATHERED,
    INCIDENT_ANALYSED,
    INCIDENT_ACTING,
    INCIDENT_ACTED,
    INCIDENT_RESOLVED,
    INCIDENT_ESCALATED,
    INCIDENT_IN_DOUBT
};
const char *incident_state_text(enum incident_state state);

enum incident_last { LAST_NONE, LAST_REMEDY_DONE, LAST_REMEDY_FAILED, LAST_NOT_VERIFIED };

struct incident {
    char *id; /* "inc-20261123-010203-4f2a" */
    char *service, *summary;
    char *severity; /* critical high medium low */
    enum incident_state state;
    int64_t fence;
    int64_t created, ended; /* wall */
    uint32_t round;         /* attempts at a remedy begun so far */
    char *evidence;         /* gather_to_json()'s answer of the latest round, with its time */
    char *cause, *rule;
    double confidence;
    char *action;            /* the remedy of this round */
    enum incident_last last; /* what came of the round before, or of this one's remedy */
    char *outcome;           /* the same for people, one line */
    uint32_t events;         /* rows written so far */
};

/* --- settings: `incidents:` ------------------------------------------------------------------ */
struct source_settings {
    char *name;
    char *http;    /* JSON, or text; stub_status is understood */
    char *file;    /* its last `tail` bytes */
    char *process; /* a pid file: states of the process and its children from /proc */
    struct schema_command command; /* standard output */
    uint64_t tail;
    int64_t timeout;
    bool critical;
    double weight;
    char *fixed;   /* `static:` JSON */
    int64_t cache; /* TTL of the last good answer; 0 = none */
};
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
    int automation; /* enum automation */
};
enum automation { AUTOMATION_INHERIT, AUTOMATION_OBSERVE, AUTOMATION_ACT };
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
    int automation;              /* the file's `automation:`; AUTOMATION_OBSERVE */
};
/* Whether hardy itself may carry the action out: action, else service, else file. */
bool incident_may_act(const struct incident_settings *all, const struct service_settings *s,
                      const struct action_settings *a);
const struct service_settings *incident_service(const struct incident_settings *all,
                                                const char *name);
const struct action_settings *incident_action(const struct service_settings *s, const char *name);
const struct rule_settings *incident_rule(const struct service_settings *s, const char *name);
hardy_status incident_settings_read(const struct config *config, struct incident_settings *out,
                                    hardy_error *error);
extern const struct schema_section incident_section;
const char *incident_severity_text(int severity);
void incident_settings_free(struct incident_settings *s);

/* --- decisions: pure -----------------------------------------------------------------------------
 */
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
                                     const struct service_settings *s);
/* The first rule whose condition holds over the evidence; NULL = none. `problems` (may be NULL)
 * collects rules whose condition could not be evaluated. */
const struct rule_settings *
incident_analyse(const struct incident *i, const struct service_settings *s, struct buf *problems);

/* --- the record ---------------------------------------------------------------------------------
 */
void incident_free(struct incident *i);
hardy_status incident_load(struct store *store, const char *id, struct incident *out,
                           hardy_error *error);
hardy_status incident_decode(const struct store_row *row, struct incident *out, hardy_error *error);
void incident_encode(const struct incident *i, struct buf *out);
/* The open incident of a service: E_NOT_FOUND. */
hardy_status incident_find_open(struct store *store, const char *service, struct incident *out,
                                hardy_error *error);
bool incident_open(const struct incident *i);

/* --- gathering
 * ------------------------------------------------------------------------------------ */
struct http_client;
struct gathering;
typedef void (*gathering_done)(void *ctx, const struct component *components, size_t count);
/* All sources of the service at once; `done` comes at the latest at its gather_deadline. `store`
 * holds the caches. `env` = the environment of commands. */
hardy_status gathering_start(struct loop *loop, struct store *store, struct http_client *client,
                             const struct service_settings *s, const char *const *env,
                             gathering_done done, void *ctx, struct gathering **out,
                             hardy_error *error);
void gathering_cancel(struct gathering *g); /* `done` does not come any more */

/* --- the driver
 * ------------------------------------------------------------------------------------- */
struct handler;
struct handler_world { /* borrowed until ended */
    struct loop *loop;
    struct store *store;
    const char *state; /* path of the state */
    const char *cwd;   /* of commands: the configuration's folder */
    const char *const *env;
    struct http_client *client;
    const struct schema_list *checks, *targets;
    const struct incident_settings *settings;
};
struct handler_events {
    /* Something happened, and is recorded. */
    void (*told)(void *ctx, const struct incident *i, int64_t wall, const char *what,
                 const char *detail);
    /* The incident is RESOLVED, ESCALATED or IN_DOUBT (pages are in the outbox), or `error` says
     * why it could not be handled. The last callback; the handler is freed after it. */
    void (*ended)(void *ctx, const struct incident *i, const hardy_error *error);
};
/* Opens an incident for the service, or goes on with the one that is open. */
hardy_status incident_start(const struct handler_world *world, const struct service_settings *s,
                            const char *severity, const char *summary,
                            const struct handler_events *events, void *ctx, struct handler **out,
                            hardy_error *error);
/* Lets go: what runs goes on and is attached to later. No callback comes. */
void incident_leave(struct handler *h);
#endif
