/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_COMMAND_PARTS_H
#define WORK_COMMAND_PARTS_H
/* What the pieces of a durable command share: command.c (what is known, what is there, what next),
 * command_attempt.c (attempts under the guard) and command_record.c (what is written, and the end).
 */
#include "drive/drive.h"
#include "durable/batch.h"
#include "durable/seeded.h"
#include "io/shim.h"
#include "work/command.h"
#include "work/ending.h"
#include "work/place.h"
#include "work/probe.h"

enum { COMMAND_MAX_DETAIL = 480 };

struct command {
    struct loop *loop;
    struct store *store;
    const struct command_spec *spec;
    const struct command_events *events;
    void *ctx;

    struct step_place place;
    char *params;
    char fingerprint[65];
    int lock_fd; /* the key's byte held: this process decides about the key; -1 = not */
    int step_fd; /* the step's own lock, on its way to the shim; -1 = not */
    bool has_row;
    struct record record;

    /* Waiting for another process: the run it is at, whose result is ours too. */
    bool waited;
    int64_t awaited;         /* its fence, at least */
    int64_t poll;            /* until the next look at a lock that somebody else holds */
    struct loop_timer timer; /* begins, then bounds waiting */
    struct shim *attached;

    hardy_guard *guard; /* own one, when the spec gives none */
    struct drive *drive;
    uint32_t attempt; /* of the drive, being run */
    int64_t attempt_deadline;
    struct shim *shim;
    struct probe *probe;
    probe_answered answered; /* of an undoing command, whom its answer goes to */
    enum ending last;        /* how the last attempt ended */
    bool start_durable;
    bool lost; /* it was killed, and may run again as after a crash of ours */
    uint32_t losses;
    bool cancelled, left, driving, replayed;

    struct batch batch;
    void (*then)(struct command *c, hardy_status status);
    struct buf value;
    struct command_unwritten unwritten;

    hardy_status verdict; /* of the guard, then of the result being written */
    int64_t retry_after;
    hardy_error error;
};

/* --- command_record.c --- */
void command_free(struct command *c);
/* When nothing of it is under way any more, and its owner has let go. */
void command_maybe_free(struct command *c);
void command_tell(struct command *c, enum command_event what, const char *detail);
void command_set_detail(struct command *c, const char *detail);
/* Ends the command. The key's lock goes first, so that whoever waits for it finds it settled. */
void command_finish(struct command *c, hardy_status status);
/* What is there of the run in the record; a failure is in `error`. */
hardy_status command_look(struct command *c, enum shim_state *state, struct shim_result *result);
void command_forget_run(struct command *c, int64_t fence); /* files of a run that is settled */
/* Writes the record as it stands; `before` = the row's fence, -1 = no row yet. */
void command_write(struct command *c, int64_t before, bool with_start,
                   void (*then)(struct command *c, hardy_status status));
/* Records how it ended, then tells. */
void command_settle(struct command *c, enum record_state state, hardy_status verdict);
void command_settle_not_started(struct command *c);
void command_settle_unknown(struct command *c, hardy_status verdict);
void command_ask(struct command *c);
void command_leave_undone(struct command *c);

void command_mask(struct command *c); /* secrets in the record */
/* What became of the run in `result`, which is taken into the record. */
enum ending command_take_result(struct command *c, struct shim_result *result);

/* --- command_attempt.c --- */
/* Runs it, as often as the guard says; then settles it. */
void command_attempt(struct command *c);
/* Whether a clean failure with this code is worth another attempt. */
bool command_passes(const struct command_spec *s, int code);
/* Asks the probe; without one, or when it cannot run, the answer is that nobody knows. */
void command_probe(struct command *c, probe_answered answered);
void command_take_probed(struct command *c, const struct buf *output); /* its result */
#endif
