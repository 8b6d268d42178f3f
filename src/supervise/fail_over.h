/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_H
#define SUPERVISE_FAIL_OVER_H
/*
 * A primary and its backups: all are always checked, one is active. When the active one has been
 * down for long enough, the first of the others that is up becomes active; back to the primary when
 * its own check has been good for long enough. Which one is active, and since when, is durable: a
 * restart of hardy forgets neither.
 *
 * A switch is recorded before it has an effect. Then the command runs, as a durable action whose
 * key is the switch; then the file is written, and connections are handed on to the new one. One
 * process decides at a time (a lock, freed by the kernel); another one that is asked to waits, and
 * takes over when that dies.
 *
 * Rows: "fail_over" (key = its name): what is active; "fail_over_event" (key = "NAME/000001"): what
 * happened, in order; "remedy" (key = "fail_over/NAME/NUMBER"): the record of a switch's command.
 */
#include "base/json.h"
#include "notify/notify.h"
#include "supervise/automation.h"
#include "supervise/fail_over_decide.h"
#include "supervise/maintenance.h"

/* --- settings: `fail_over:` ------------------------------------------------------------------- */
struct fail_over_candidate {
    char *name;
    char *address; /* HOST:PORT, or a URL */
    char *check;
};
struct fail_over_settings {
    char *name;
    struct schema_list candidates; /* of fail_over_candidate; the first is the primary */
    struct fail_over_rule rule;
    char *listen; /* connections to it go to the active one; NULL = not */
    uint32_t max_connections;
    int64_t connect_timeout, drain;
    struct schema_command run, probe; /* at a switch */
    int64_t timeout;
    int in_doubt; /* enum in_doubt_policy */
    char *file;   /* holds the address of the active one; NULL = none */
    struct schema_strings escalate;
    int severity; /* index into critical, high, medium, low */
    int automation;
};
extern const struct schema_section fail_over_section;
/* `fail_over:`, a map NAME -> settings; a list of fail_over_settings. */
hardy_status fail_over_read(const struct config *config, struct schema_list *out,
                            hardy_error *error);
/* Tells each name that stands for nothing: checks, places to notify. Returns how many. */
size_t fail_over_check(const struct config *config, const struct schema_list *all,
                       const struct schema_list *checks, const struct schema_list *targets,
                       schema_report report, void *ctx);
void fail_over_free(struct schema_list *all); /* also after a failure */

/* --- all of a configuration, on the loop ------------------------------------------------------ */
struct fail_over_world { /* borrowed until gone */
    struct loop *loop;
    struct store *store;
    const char *state; /* path of the state */
    const char *cwd;   /* of commands and files: the configuration's folder */
    const char *self;  /* who decides, for others to read: "hardy supervise, pid 4711" */
    const char *const *env;
    const struct schema_list *checks, *targets;
    const struct maintenance *maintenance; /* NULL = none */
    int automation;                        /* the file's `automation:` */
};
struct fail_over_events { /* each may be NULL */
    void (*told)(void *ctx, const char *name, int64_t wall, const char *what, const char *detail);
    /* Pages are in the outbox. */
    void (*paged)(void *ctx);
    /* The state takes nothing now: this is to be sent from memory. */
    void (*urgent)(void *ctx, const struct notify_target *target, const struct notice *notice);
    /* The end of what fail_over_switch() began, also in an earlier life: HARDY_OK, or why its
     * command has not succeeded. */
    void (*switched)(void *ctx, const char *name, const char *key, hardy_status status,
                     const char *detail);
};
struct fail_over;
/* E_NOMEM, and what keeps locks from being had. An address that cannot be listened on is told, and
 * tried again: it may be held by a hardy that is about to end. */
hardy_status fail_over_start(const struct fail_over_world *world,
                             const struct schema_list *settings,
                             const struct fail_over_events *events, void *ctx,
                             struct fail_over **out, hardy_error *error);
/* A check has answered. */
void fail_over_checked(struct fail_over *f, const struct check_settings *check,
                       const struct check_state *state);
/*
 * Switches to the next candidate that is up, although the check of the active one may be good: for
 * a remedy. Under a key that was used before nothing is begun: HARDY_OK, and `switched` tells how
 * that one ended. E_NOT_FOUND: no such name; E_RUNNING: a switch is under way, or another process
 * decides; E_REFUSED: none is up, or it would be too soon, as `error` says.
 */
hardy_status fail_over_switch(struct fail_over *f, const char *name, const char *key,
                              hardy_error *error);
/* An array: every one with its candidates, what is active and why, and what has been done. */
void fail_over_to_json(const struct fail_over *f, struct json_out *j);
struct exposition;
void fail_over_write_metrics(const struct fail_over *f, struct exposition *x);
/* The port that `name` listens on; 0 = it does not, or not now. */
uint16_t fail_over_port(const struct fail_over *f, const char *name);
/* Lets go: a command that runs goes on and is attached to later. `gone` is called, from the loop,
 * when everything is freed. */
void fail_over_stop(struct fail_over *f, void (*gone)(void *ctx), void *ctx);
#endif
