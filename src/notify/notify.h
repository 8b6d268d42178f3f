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
 * `memory` (owned by the caller, released with free() after the submit). Details that are large are
 * left out, for a page must not fail because much is known. */
hardy_status outbox_row(const struct notify_target *target, const struct notice *notice,
                        int64_t wall, struct store_op *op, void **memory, hardy_error *error);

struct http_client;
struct outbox;
struct outbox_events { /* each may be NULL */
    void (*delivered)(void *ctx, const char *target, const char *dedup_key);
    void (*failed)(void *ctx, const char *target, const char *why,
                   int64_t next_try); /* still in the outbox */
    void (*idle)(void *ctx);          /* nothing left to send, for now */
};
/*
 * Sends what is in the outbox, oldest first for each target, each target under its own guard. A far
 * side that is away is tried again for as long as the outbox lives, and what is behind waits, so
 * that the order is kept; what it refuses for good (a 400) is passed over, so that it does not keep
 * the later ones, and offered again after a rest.
 */
hardy_status outbox_start(struct loop *loop, struct store *store, struct http_client *client,
                          const struct schema_list *targets, const struct outbox_events *events,
                          void *ctx, struct outbox **out, hardy_error *error);
void outbox_kick(struct outbox *o); /* new rows were written */
/* Also what other processes have left: rows that are older than `age`, so that it is not sent twice
 * while the process that wrote it is at it. */
void outbox_look(struct outbox *o, int64_t age);
/* For the moment when the store cannot be written: sends it from memory, where it dies with the
 * process. E_NOMEM, E_FULL (many wait already). */
hardy_status outbox_tell(struct outbox *o, const struct notify_target *target,
                         const struct notice *notice, hardy_error *error);
bool outbox_idle(const struct outbox *o);
/* What is unsent stays in the store. `gone` is called, from the loop, when nothing is under way any
 * more and the outbox is freed; no other callback comes. */
void outbox_stop(struct outbox *o, void (*gone)(void *ctx), void *ctx);
#endif
