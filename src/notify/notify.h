/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTIFY_NOTIFY_H
#define NOTIFY_NOTIFY_H
/*
 * Telling people: standard error and webhooks, always through the outbox, so that a page survives a
 * crash and a dead pager: the row is written in the batch that decides to page, sent afterwards
 * with retries, and removed when the far side has taken it. Delivery is at least once; the dedup
 * key lets the far side drop a second copy.
 */
#include "config/config.h"
#include "io/loop.h"
#include "store/store.h"

enum notify_type { NOTIFY_STDERR, NOTIFY_WEBHOOK };
struct notify_target {
    char *name;
    int type;  /* enum notify_type */
    char *url; /* webhook: POST application/json */
    int64_t timeout;
};
extern const struct schema_section notify_section;
/* `notify:`, a map NAME -> target. */
hardy_status notify_read(const struct config *config, struct schema_list *targets,
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
};
/* The outbox row for one target, to be put into the caller's batch. Strings of `op` live in
 * `memory` (owned by the caller, released with free() after the submit). */
hardy_status outbox_row(const struct notify_target *target, const struct notice *notice,
                        int64_t wall, struct store_op *op, void **memory, hardy_error *error);

struct http_client;
struct outbox;
struct outbox_events {
    void (*delivered)(void *ctx, const char *target, const char *dedup_key);
    void (*failed)(void *ctx, const char *target, const char *why,
                   int64_t next_try); /* still in the outbox */
    void (*idle)(void *ctx);          /* nothing left to send, for now */
};
/* Sends what is in the outbox, oldest first for each target, each target under its own guard; after
 * the retries are used up it rests and goes on, for as long as the outbox lives. */
hardy_status outbox_start(struct loop *loop, struct store *store, struct http_client *client,
                          const struct schema_list *targets, const struct outbox_events *events,
                          void *ctx, struct outbox **out, hardy_error *error);
void outbox_kick(struct outbox *o); /* new rows were written */
bool outbox_idle(const struct outbox *o);
void outbox_stop(struct outbox *o); /* what is unsent stays in the store */
#endif
