/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_INCIDENT_H
#define INCIDENT_INCIDENT_H
/*
 * An incident as a checkpointed state machine: received -> gathered -> analysed -> acting -> acted ->
 * resolved, or escalated to a person. Each step is durable before the next; a remedy is a durable
 * command whose key is incident + round + parameters. Killed anywhere, it goes on where it was.
 *
 * Rows: "incident" (key = id), "event" (key = "ID/000001"): what happened, in order; "remedy": the
 * records of the actions (key = "ID/ROUND.action").
 */
#include "config/config.h"
#include "durable/record.h"
#include "health/check.h"
#include "degrade/gather.h"

enum incident_state {
    INCIDENT_RECEIVED, INCIDENT_GATHERED, INCIDENT_ANALYSED, INCIDENT_ACTING, INCIDENT_ACTED,
    INCIDENT_RESOLVED, INCIDENT_ESCALATED, INCIDENT_IN_DOUBT
};
const char *incident_state_text(enum incident_state state);

struct incident {
    char *id;               /* "inc-20261123-010203-4f2a" */
    char *service, *summary;
    char *severity;         /* critical high medium low */
    enum incident_state state;
    int64_t fence;
    int64_t created, ended; /* wall */
    uint32_t round;         /* attempts at a remedy begun so far */
    char *evidence;         /* gather_to_json()'s answer of the latest round, with its time */
    char *cause, *rule;
    double confidence;
    char *action;           /* the remedy of this round */
    char *outcome;          /* how it ended, one line */
    uint32_t events;        /* rows written so far */
};

/* --- settings: `incidents:` ------------------------------------------------------------------ */
struct source_settings {
    char *name;
    char *http;                    /* JSON, or text; stub_status is understood */
    char *file;                    /* its last `tail` bytes */
    char *process;                 /* a pid file: states of the process and its children from /proc */
    struct schema_command command; /* standard output */
    uint64_t tail;
    int64_t timeout;
    bool critical;
    double weight;
    char *fixed;                   /* `static:` JSON */
    int64_t cache;                 /* TTL of the last good answer; 0 = none */
};
struct rule_settings {
    char *name, *when, *cause;     /* when: expression over evidence.SOURCE..., incident.service ... */
    double confidence;
    struct schema_strings actions; /* in the order they are tried */
};
struct action_settings {
    char *name;
    struct schema_command run, probe;
    int in_doubt;                  /* enum in_doubt_policy */
    int64_t timeout;
    int automation;                /* -1 = as the service */
};
struct verify_settings { uint32_t passes; int64_t window; };
struct service_settings {
    char *name, *check, *severity;
    int64_t gather_deadline;
    struct schema_list sources, rules, actions;
    struct verify_settings verify;
    uint32_t max_attempts;
    int64_t pause;                 /* before the second attempt; doubles */
    struct schema_strings escalate;
    int automation;                /* -1 = as the file; 0 observe, 1 act */
};
struct incident_settings {
    struct schema_list services;   /* of service_settings */
    int automation;
};
hardy_status incident_settings_read(const struct config *config, struct incident_settings *out, hardy_error *error);
void incident_settings_free(struct incident_settings *s);

/* --- decisions: pure ----------------------------------------------------------------------------- */
enum incident_next_kind { INCIDENT_GATHER, INCIDENT_ANALYSE, INCIDENT_ACT, INCIDENT_VERIFY, INCIDENT_RESOLVE, INCIDENT_ESCALATE, INCIDENT_FINISH };
struct incident_next { enum incident_next_kind kind; const char *why; };
struct incident_next incident_decide(const struct incident *i, const struct service_settings *s, bool may_act);

/* --- the driver --------------------------------------------------------------------------------------- */
struct http_client;
struct handler;
struct handler_world { /* borrowed until ended */
    struct loop *loop;
    struct store *store;
    const char *state; /* path of the state */
    struct http_client *client;
    const struct schema_list *checks, *targets;
};
struct handler_events {
    void (*told)(void *ctx, const struct incident *i, int64_t wall, const char *what, const char *detail); /* each event, as recorded */
    void (*ended)(void *ctx, const struct incident *i, const hardy_error *error); /* RESOLVED, ESCALATED, IN_DOUBT; error when the store failed */
};
/* Opens an incident for the service, or goes on with the one that is open. */
hardy_status incident_start(const struct handler_world *world, const struct service_settings *s, bool may_act,
                            const char *severity, const char *summary, const struct handler_events *events,
                            void *ctx, struct handler **out, hardy_error *error);
/* Lets go: what runs goes on and is attached to later. */
void incident_leave(struct handler *h);
/* The open incident of a service, E_NOT_FOUND. */
hardy_status incident_find_open(struct store *store, const char *service, struct incident *out, hardy_error *error);
hardy_status incident_load(struct store *store, const char *id, struct incident *out, hardy_error *error);
void incident_free(struct incident *i);
#endif
