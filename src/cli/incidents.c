/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy incidents`: what happened, told again from the store; and one opened by hand. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/handling.h"
#include "cli/resolving.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/timeline.h"
#include "incident/show.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20 };
enum { OPT_SERVICE = 1, OPT_SEVERITY, OPT_SUMMARY, OPT_REFUSE, OPT_COMMENT };
static const int64_t store_wait = 10 * HARDY_SECOND;

static const struct option_row rows[] = {
    {OPT_SERVICE, "service", 0, "NAME", "handle: of a service under incidents:"},
    {OPT_SEVERITY, "severity", 0, "LEVEL",
     "handle: critical, high, medium or low; the service's without it"},
    {OPT_SUMMARY, "summary", 0, "TEXT", "handle: what is wrong, in a sentence"},
    {OPT_REFUSE, "refuse", 0, NULL, "approve: no; a person takes over"},
    {OPT_COMMENT, "comment", 0, "TEXT", "approve: why, for the record"},
    {0},
};

/* --- list --------------------------------------------------------------------------------------
 */

struct listing {
    struct json_out *json; /* NULL: a table */
    hardy_error *error;
    hardy_status status;
    size_t count;
};

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct incident i;
    char created[32];
    l->status = incident_decode(row, &i, l->error);
    if (l->status != HARDY_OK) {
        return false;
    }
    if (l->json) {
        incident_to_json(&i, l->json);
    } else {
        moment_text(i.created, created);
        if (l->count == 0) {
            printf("%-28s  %-19s  %-9s  %-8s  %-8s  %s\n", "ID", "CREATED", "STATE", "SEVERITY",
                   "ATTEMPTS", "SUMMARY");
        }
        printf("%-28s  %-19s  %-9s  %-8s  %8u  %s\n", i.id, created, incident_state_text(i.state),
               i.severity, i.round, i.cause ? i.cause : i.summary);
    }
    l->count++;
    incident_free(&i);
    return true;
}

static hardy_status list(const struct options *o, struct session *s, hardy_error *error) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    struct listing l = {.json = o->globals.json ? &j : NULL, .error = error};
    json_out_array(&j);
    hardy_status status = store_scan(s->store, "incident", "", NULL, SIZE_MAX, list_one, &l, error);
    json_out_array_end(&j);
    if (status == HARDY_OK) {
        status = l.status;
    }
    if (status == HARDY_OK && l.json) {
        printf("%s\n", text.data);
    } else if (status == HARDY_OK && l.count == 0) {
        printf("no incidents in %s\n", s->state.path);
    }
    buf_free(&text);
    return status;
}

/* --- show ---------------------------------------------------------------------------------------
 */

static void print_component(const char *name, json_t *c, double old) {
    const char *error = json_string_value(json_object_get(c, "error"));
    double age = json_number_value(json_object_get(c, "age"));
    char span[48];
    format_duration_short((int64_t)((age + old) * 1e9), span);
    if (!json_is_true(json_object_get(c, "success"))) {
        printf("    %-12s missing: %s\n", name, error ? error : "");
        return;
    }
    char *data = json_dumps(json_object_get(c, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    printf("    %-12s %s, %s old%s%s\n", name,
           json_is_true(json_object_get(c, "cached"))     ? "cached"
           : json_is_true(json_object_get(c, "degraded")) ? "static"
                                                          : "fresh",
           span, error ? ": " : "", error ? error : "");
    if (data) {
        printf("    %-12s %.200s%s\n", "", data, strlen(data) > 200 ? " ..." : "");
    }
    free(data);
}

static void print_evidence(const struct incident *i, int64_t gathered) {
    json_t *evidence = i->evidence ? json_loads(i->evidence, 0, NULL) : NULL;
    const char *name;
    json_t *component;
    if (!evidence) {
        return;
    }
    double old = gathered ? (double)(clock_wall() - gathered) / (double)HARDY_SECOND : 0;
    printf("  evidence, degradation %s\n",
           json_string_value(json_object_get(evidence, "degradation_level")));
    json_object_foreach(json_object_get(evidence, "components"), name, component) {
        print_component(name, component, old);
    }
    json_decref(evidence);
}

static bool print_event(void *ctx, const struct store_row *row) {
    struct incident_event e;
    (void)ctx;
    if (incident_event_decode(row, &e)) {
        printf("  %.12s  %-12s  %s\n", strlen(e.at) > 23 ? e.at + 11 : "?", e.what, e.detail);
        incident_event_free(&e);
    }
    return true;
}

static bool print_remedy(void *ctx, const struct store_row *row) {
    bool *any = ctx;
    struct record r;
    if (record_decode(row, &r, NULL) == HARDY_OK) {
        printf("%s", *any ? "" : "  remedies\n");
        print_record(&r, 4);
        record_free(&r);
        *any = true;
    }
    return true;
}

static hardy_status print_one(struct session *s, const struct incident *i, hardy_error *error) {
    char created[32], ended[32], span[48], *prefix = str_format("%s/", i->id);
    bool any = false;
    moment_text(i->created, created);
    moment_text(i->ended, ended);
    format_duration_short((i->ended ? i->ended : clock_wall()) - i->created, span);
    printf("%s  %s  %s\n", i->id, incident_state_text(i->state), i->severity);
    printf("  %s\n", i->summary);
    printf("  created %s, ended %s (%s), attempts %u\n", created, ended, span, i->round);
    if (i->cause) {
        printf("  cause: %s (rule %s, confidence %.2f)\n", i->cause, i->rule, i->confidence);
    }
    if (i->waits) {
        printf("  waits: %s\n", i->waits);
    }
    printf("  outcome: %s\n", i->outcome ? i->outcome : "-");
    printf("  what happened\n");
    hardy_status status =
        prefix ? store_scan(s->store, "event", prefix, NULL, SIZE_MAX, print_event, NULL, error)
               : fail(error, HARDY_E_NOMEM, NULL, "no memory for incident %s", i->id);
    if (status == HARDY_OK) {
        status = store_scan(s->store, "remedy", prefix, NULL, SIZE_MAX, print_remedy, &any, error);
    }
    free(prefix);
    if (status == HARDY_OK) {
        print_evidence(i, i->gathered);
    }
    if (status == HARDY_OK && i->state == INCIDENT_IN_DOUBT) {
        char *key = incident_remedy_key(i);
        printf("  in doubt: find out whether %s took effect, then type one of\n", i->action);
        resolving_lines(stdout, s->state.path, "    ", "actions", key ? key : "", NULL);
        free(key);
    }
    return status;
}

static hardy_status print_one_json(struct session *s, const struct incident *i,
                                   hardy_error *error) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    hardy_status status = incident_show(s->store, i, &j, error);
    if (status == HARDY_OK) {
        printf("%s\n", text.data);
    }
    buf_free(&text);
    return status;
}

static hardy_status show(const struct options *o, struct session *s, const char *id,
                         hardy_error *error) {
    struct incident i;
    hardy_status status = incident_load(s->store, id, &i, error);
    if (status == HARDY_E_NOT_FOUND) {
        return fail(error, status, s->state.path,
                    "there is no incident `%s`; see hardy incidents list", id);
    }
    if (status == HARDY_OK) {
        status = o->globals.json ? print_one_json(s, &i, error) : print_one(s, &i, error);
        incident_free(&i);
    }
    return status;
}

/* --- approve
 * --------------------------------------------------------------------------------------
 */

static hardy_status approve(const struct options *o, struct session *s, bool refuse,
                            const char *comment, hardy_error *error) {
    const char *id = o->argv[1], *step = o->argv[2];
    char who[96];
    struct incident i;
    hardy_status status = incident_load(s->store, id, &i, error);
    if (status == HARDY_E_NOT_FOUND) {
        return fail(error, status, s->state.path,
                    "there is no incident `%s`; see hardy incidents list", id);
    }
    if (status != HARDY_OK) {
        return status;
    }
    const struct signal said = {.what = refuse ? SIGNAL_REFUSE : SIGNAL_APPROVE,
                                .who = (char *)(uintptr_t)resolving_who(who),
                                .comment = (char *)(uintptr_t)comment,
                                .at = clock_wall(),
                                .fence = (int64_t)i.round + 1};
    char *key = incident_remedy_key(&i);
    if (!incident_asks(&i)) {
        status = fail(error, HARDY_E_CLOSED, NULL, "%s is %s, nothing of it waits for approval", id,
                      incident_state_text(i.state));
    } else if (!str_eq(i.action, step)) {
        status = fail(error, HARDY_E_CLOSED, NULL, "%s waits for the approval of %s, not of %s", id,
                      i.action, step);
    } else if (!key) {
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for incident %s", id);
    } else {
        status = signal_send(s->store, key, &said, time_add(loop_now(s->loop), store_wait), error);
    }
    if (status == HARDY_E_EXISTS) {
        error_prefix(error, "%s of %s", step, id);
    }
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO, "%s %s; the hardy that handles %s goes on within a second", step,
            refuse ? "refused" : "approved", id);
    }
    free(key);
    incident_free(&i);
    return status;
}

/* --- the command ---------------------------------------------------------------------------------
 */

static int handle(const struct options *o, struct handling *how) {
    if (!how->service) {
        return options_wrong(o, "handle needs --service NAME");
    }
    if (how->severity && incident_severity(how->severity) < 0) {
        return options_wrong(o, "--severity: \"%s\" is not one of critical, high, medium, low",
                             how->severity);
    }
    if (!how->summary) {
        how->summary = "opened by hand";
    }
    return handling_run(o, how);
}

static int run(struct options *o) {
    int id;
    struct session s;
    struct handling how = {.purpose = "incidents handle"};
    const char *comment = NULL;
    bool refuse = false;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0) {
        switch (id) {
        case OPT_SERVICE:
            how.service = o->value;
            break;
        case OPT_SEVERITY:
            how.severity = o->value;
            break;
        case OPT_SUMMARY:
            how.summary = o->value;
            break;
        case OPT_REFUSE:
            refuse = true;
            break;
        case OPT_COMMENT:
            comment = o->value;
            break;
        default:
            break;
        }
    }
    if (id < 0) {
        return o->exit;
    }
    const char *what = o->argc > 0 ? o->argv[0] : "";
    bool showing = str_eq(what, "show"), handling = str_eq(what, "handle"),
         approving = str_eq(what, "approve");
    if (!showing && !handling && !approving && !str_eq(what, "list")) {
        return options_wrong(o,
                             o->argc ? "\"%s\" is not one of approve, handle, list, show"
                                     : "approve, handle, list or show ID is needed%s",
                             what);
    }
    if (o->argc != (approving ? 3 : showing ? 2 : 1)) {
        return options_wrong(o,
                             approving ? "approve needs ID and STEP%s"
                             : showing ? "show needs one ID%s"
                                       : "%s takes nothing more",
                             showing || approving ? "" : what);
    }
    if ((refuse || comment) && !approving) {
        return options_wrong(o, "--refuse and --comment go with approve");
    }
    if (handling) {
        return handle(o, &how);
    }
    if (how.service || how.severity || how.summary) {
        return options_wrong(o, "--service, --severity and --summary go with handle");
    }
    int code = session_open(o, approving ? SESSION_WRITE : SESSION_READ, "incidents", &s);
    if (code == EXIT_DONE) {
        hardy_status status = approving ? approve(o, &s, refuse, comment, &error)
                              : showing ? show(o, &s, o->argv[1], &error)
                                        : list(o, &s, &error);
        if (status != HARDY_OK) {
            say_error(o, &error);
            code = session_exit(status);
        }
    }
    session_close(&s);
    return code;
}

const struct command command_incidents = {
    .name = "incidents",
    .alias = "incident",
    .synopsis =
        "handle [-c FILE] --service NAME [--severity LEVEL] [--summary TEXT]\nlist\nshow ID\n"
        "approve ID STEP [--refuse] [--comment TEXT]",
    .summary = "what happened, told again from the store; or open one by hand",
    .details =
        "show prints an incident's cause and outcome, what happened and when, the remedies with "
        "their attempts, the evidence with its age, and what is in doubt with the line to type.\n\n"
        "handle opens an incident whatever the service's check says, and handles it as hardy "
        "supervise would. Exit codes: 0 resolved, 3 a person was told, 4 in doubt.\n\n"
        "approve answers what automation: ask has asked: whether the remedy STEP may run.",
    .examples =
        "hardy incidents list\nhardy incidents show inc-20261123-010203-4f2a    # needs an "
        "incident\nhardy incidents handle --service payment-api --summary 'customers cannot "
        "pay'    # needs a configuration\n"
        "hardy incidents approve inc-20261123-010203-4f2a restart    # needs that incident, asking",
    .options = rows,
    .run = run,
};
