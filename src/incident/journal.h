/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_JOURNAL_H
#define INCIDENT_JOURNAL_H
/*
 * What a handler writes: the incident as it stands, what happened, and what else belongs to the
 * same moment (pages, the service's row), in one batch. A store that has no room now is tried again
 * until it has: nothing is done that is not recorded.
 */
#include "durable/batch.h"
#include "incident/incident.h"

struct journal_note {
    char *what, *detail, *key, *value;
    int64_t wall;
    bool shown;
};
enum { JOURNAL_NOTES = 16 };
struct journal_events {
    void (*told)(void *ctx, int64_t wall, const char *what, const char *detail);
    /* It cannot be written now, and is tried again after `pause`. */
    void (*trouble)(void *ctx, const hardy_error *error, int64_t pause);
    void (*written)(void *ctx);
    /* E_FENCED, E_EXISTS: another process has written meanwhile. Else the store has failed. */
    void (*failed)(void *ctx, const hardy_error *error);
    void (*gone)(void *ctx); /* see journal_leave() */
};
struct journal {
    struct loop *loop;
    struct store *store;
    const struct journal_events *events;
    void *ctx;
    int64_t keep; /* how long rows of what happened stay */
    struct batch batch;
    struct loop_timer timer;
    struct journal_note notes[JOURNAL_NOTES];
    size_t note_count;
    struct buf incident;  /* encoded */
    struct store_op head; /* writes it */
    struct store_op *ops; /* the others */
    void **memory;        /* behind ops, freed with them; may hold NULL */
    size_t op_count;
    int64_t pause; /* before the next try */
    bool left;
};
void journal_init(struct journal *j, struct loop *loop, struct store *store, int64_t keep,
                  const struct journal_events *events, void *ctx);
/* Something happened; goes with the next write. `shown`: was told already. */
void journal_note(struct journal *j, struct incident *i, const char *what, bool shown,
                  const char *format, ...) HARDY_PRINTF(5, 6);
/* A further operation for the next write; `memory` (may be NULL) is taken. False = no memory; then
 * `memory` is freed. */
bool journal_add(struct journal *j, const struct store_op *op, void *memory);
/* Writes; the incident's fence goes up. `exists` = it has a row. */
void journal_write(struct journal *j, struct incident *i, bool exists);
/* Forgets what is not under way, and everything when it is not: true; else false, and `gone` comes.
 */
bool journal_leave(struct journal *j);
#endif
