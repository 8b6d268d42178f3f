/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_INSIDE_H
#define SUPERVISE_FAIL_OVER_INSIDE_H
/* What the files of the driver share: fail_over.c decides and carries out, fail_over_write.c makes
 * it durable, fail_over_json.c tells of it. */
#include "durable/batch.h"
#include "io/relay.h"
#include "supervise/fail_over.h"
#include "supervise/fail_over_run.h"
#include "work/place.h"

enum { GROUP_NOTES = 4 };

/* Told when it is durable. */
struct group_note {
    const char *what;
    char detail[700];
};

/* One name under fail_over:. */
struct group {
    struct fail_over *owner;
    const struct fail_over_settings *settings;
    const struct fail_over_candidate *candidates;
    struct fail_over_machine machine;
    struct fail_over_seen *seen;
    struct fail_over_record record;

    struct step_place place;
    int lock_fd;              /* held: this process decides; -1 = not yet */
    bool waiting;             /* another one has it, and it was told */
    struct loop_timer timer;  /* begins; then when to decide again */
    struct loop_timer rest;   /* until something is tried again */
    struct loop_timer answer; /* tells what had ended before it was asked for again */
    void (*rested)(struct group *g);

    struct batch batch;
    struct buf row;       /* encoded */
    struct store_op *ops; /* that go with it, the row's own first */
    void **memory;        /* behind ops */
    size_t op_count, op_cap;
    bool writing, held_up, pages;
    bool trouble_told; /* and nothing has been written since */
    struct group_note notes[GROUP_NOTES];
    size_t note_count;
    void (*then)(struct group *g), (*refused)(struct group *g);

    bool carrying; /* a switch is recorded, and its command has not ended */
    struct fail_over_run run;
    struct command *command;
    struct relay *relay;
    bool relay_told, file_due, file_told; /* trouble with it was told */
    size_t proposed;                      /* told that it would be switched to; count = none */
    char why[320];                        /* of what is decided now */
    char hands[400];
};

struct fail_over {
    struct fail_over_world world;
    const struct fail_over_events *events;
    void *ctx;
    struct group *groups;
    size_t count;
    char boot[37];
    bool stopping;
    size_t under_way; /* of what has to go before the end */
    struct loop_post freed;
    void (*gone)(void *ctx);
    void *gone_ctx;
};

void group_tell(struct group *g, const char *what, const char *detail);
/* Something happened: its row, and that it is told, go with the next write. */
void group_note(struct group *g, const char *what, const char *format, ...) HARDY_PRINTF(3, 4);
/* Pages to everybody who is named go with the next write. `action`: see struct notice. */
void group_page(struct group *g, const char *action, const char *text);
/* Writes the record with what goes with it, then calls `then`. What another process has written
 * meanwhile is read again instead: group_lost(). When the store takes nothing now, `refused` is
 * called in a while; NULL = the same is tried again. */
void group_write(struct group *g, void (*then)(struct group *g), void (*refused)(struct group *g));
/* What was to go with it is not written. */
void group_forget(struct group *g);
void group_write_free(struct group *g);
/* What is in memory is not the row: it is read again. */
void group_lost(struct group *g, const char *why);
/* A write has ended after fail_over_stop(). */
void group_written_late(struct group *g);
/* The state or this host has trouble: people are called, from memory, and `again` is called in a
 * while; told once, until something is written. */
void group_held_up(struct group *g, const hardy_error *error, void (*again)(struct group *g));
/* One of them as an object. */
void group_to_json(const struct group *g, struct json_out *j);
const char *fail_over_severity(const struct fail_over_settings *s);
#endif
