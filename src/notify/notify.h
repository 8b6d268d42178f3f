/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H
/*
 * Telling people: standard error, webhooks, PagerDuty, Slack and commands, always through the
 * outbox, so that a page survives a crash and a dead pager: the row is written in the batch that
 * decides to page, sent afterwards with retries, and removed when the far side has taken it.
 * Delivery is at least once; the dedup key lets the far side drop a second copy.
 */
#include "config/config.h"
#include "http/url.h"
#include "io/loop.h"
#include "store/store.h"

enum notify_type { NOTIFY_STDERR, NOTIFY_WEBHOOK, NOTIFY_PAGERDUTY, NOTIFY_SLACK, NOTIFY_COMMAND };
struct secrets;
struct notify_target {
    char *name;
    int type; /* enum notify_type */
    char *url, *url_file;
    char *token_file;                     /* webhook */
    struct schema_strings headers;        /* webhook: "Name: value" */
    char *routing_key, *routing_key_file; /* pagerduty */
    char *client_url;                     /* pagerduty, slack: where a person sees more */
    struct schema_command run;            /* command */
    int64_t timeout;
    /* made of these, and of the files that they name */
    struct http_url address;
    char *key;               /* pagerduty: the routing key; webhook: the token; NULL = none */
    struct secrets *secrets; /* what the far side's words must not show; NULL = nothing */
    char *folder;            /* where a command is run: the configuration's */
};
extern const struct schema_section notify_section;
extern const char *const notify_type_words[];
/* `notify:`, a map NAME -> target, with the files that hold its secrets. */
hardy_status notify_read(const struct config *config, struct schema_list *targets,
                         hardy_error *error);
/* The same without the files: for those who only look. */
hardy_status notify_look(const struct config *config, struct schema_list *targets,
                         hardy_error *error);
void notify_free(struct schema_list *targets); /* also after a failure */
const struct notify_target *notify_find(const struct schema_list *targets, const char *name);

struct notice {
    const char *action;    /* "trigger" "acknowledge" "resolve" */
    const char *dedup_key; /* stable for one trouble */
    const char *summary;   /* one line */
    const char *severity;  /* critical high medium low */
    const char *source;    /* the service */
    const char *details;   /* JSON object or NULL */
    int64_t began;         /* wall of the trouble's begin, for how long it took; 0 = not told */
};
/* The outbox row for one target, to be put into the caller's batch. Strings of `op` live in
 * `memory` (owned by the caller, released with free() after the submit). Details that are large are
 * left out, for a page must not fail because much is known. */
hardy_status outbox_row(const struct notify_target *target, const struct notice *notice,
                        int64_t wall, struct store_op *op, void **memory, hardy_error *error);

struct http_client;
struct outbox;
struct outbox_events { /* each may be NULL */
    /* `said`: the far side's words, for a person. */
    void (*delivered)(void *ctx, const char *target, const char *dedup_key, const char *said);
    /* Kept; tried again at `next_try`. HARDY_NEVER: it was refused, and is offered again by the
     * next process only. */
    void (*failed)(void *ctx, const char *target, const char *why, int64_t next_try);
    void (*idle)(void *ctx); /* nothing left to send, for now */
};
struct outbox_options { /* copied; what it points to is borrowed while the outbox lives */
    struct loop *loop;
    struct store *store;
    struct http_client *client;
    const char *const *env; /* of commands; NULL = none */
    const struct schema_list *targets;
    const struct outbox_events *events;
    void *ctx;
};
/*
 * Sends what is in the outbox, oldest first for each target, each target under its own guard. A far
 * side that is away is tried again for as long as the outbox lives, and what is behind waits, so
 * that the order is kept.
 *
 * What it refuses for good (a 400) would be refused again and does not keep the later ones: it is
 * put aside, and offered once more by the next process, whose configuration may be another.
 *
 * A trigger whose end waits behind it is not sent any more: nobody is to be woken for what is over.
 * The end is, and says that it was not told before; so everybody but a pager that knows only what
 * is open still learns of it.
 */
hardy_status outbox_start(const struct outbox_options *options, struct outbox **out,
                          hardy_error *error);
void outbox_kick(struct outbox *o); /* new rows were written */
/* Also what other processes have left: rows that are older than `age`, so that it is not sent twice
 * while the process that wrote it is at it. */
void outbox_look(struct outbox *o, int64_t age);
/* For the moment when the store cannot be written: sends it from memory, where it dies with the
 * process. E_NOMEM, E_FULL (many wait already). */
hardy_status outbox_tell(struct outbox *o, const struct notify_target *target,
                         const struct notice *notice, hardy_error *error);
bool outbox_idle(const struct outbox *o);
struct exposition;
/* hardy_notify_sent_total{target,result}, hardy_notify_outbox{target}. */
void outbox_write_metrics(const struct outbox *o, struct exposition *x);
/* What is unsent stays in the store. `gone` is called, from the loop, when nothing is under way any
 * more and the outbox is freed; no other callback comes. */
void outbox_stop(struct outbox *o, void (*gone)(void *ctx), void *ctx);
#endif
