/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RUNNER_PARTS_H
#define WORK_RUNNER_PARTS_H
/* What the pieces of the runner share: runner.c (finding, taking over and driving a run),
 * runner_write.c (what is known and not written yet), runner_command.c (steps that are commands),
 * runner_wait.c (steps that wait). */
#include "durable/batch.h"
#include "durable/lease.h"
#include "io/list.h"
#include "work/expand.h"
#include "work/place.h"
#include "work/probe.h"
#include "work/runner.h"
#include "work/secrets.h"
#include <hardy/poll.h>

struct driven;

/* What is known and not written yet; goes with the next batch. */
struct unwritten {
    struct list link;
    struct command_unwritten write;
    const void *carrier; /* the batch or the command whose start it goes with; NULL = none yet */
};

/* A step that somebody is at. */
struct driven {
    struct list link;
    struct runner *runner;
    struct run_step *step;
    bool undo, cancelled;

    /* A command. */
    struct command *command;
    struct command_spec spec;
    struct step_command words;
    struct runner_guard guard;
    char *params;
    char *request; /* the file of its request, when that is long */
    char inputs[65];
    bool carries_birth;    /* the run is written with its start */
    bool held_up;          /* a limit or a breaker keeps it from its start */
    struct store_op *with; /* what else is */
    size_t with_count;

    /* A wait. */
    struct loop_timer timer;
    struct probe *probe;
    hardy_poll poll; /* until */
};

struct runner {
    struct runner_options options;
    const struct runner_events *events;
    void *ctx;
    char boot[37];
    struct run run;
    bool has_run, left, over;
    bool mine;         /* this process drives it */
    bool holding;      /* the list of what is driven is being walked: nothing new begins */
    char *failed;      /* id of a failed run that this one does not go on with */
    int64_t failed_at; /* when the run, as it was first found, had failed; 0 = it had not */
    char *difference;  /* why the file does not fit the run */
    struct secrets *secrets;
    struct step_place place;
    int lock_fd; /* tells others that this process lives; -1 = not held */
    int file_fd; /* the lock under which it is made: until it can be found there is no other */
    struct run_lease lease;
    struct store_op require;
    int64_t poll;
    struct loop_timer timer, renew, listen;

    uint32_t order;                /* of the step begun last; 0 = not looked for yet */
    bool unborn;                   /* it is nowhere written yet */
    struct buf run_row, lease_row; /* of the birth, for the command that carries it */
    struct list unwritten;
    size_t flights; /* batches under way */
    struct list driven;
    size_t driven_count;
    hardy_status refused; /* a step that could not begin: nothing new does */
    hardy_status broken;  /* it cannot be written any more */
    hardy_error refusal, error;
};

/* --- runner.c --- */
void runner_drive_on(struct runner *r);
struct driven *runner_driven_new(struct runner *r, struct run_step *step, bool undo);
void runner_driven_free(struct driven *d);
void runner_note(const struct driven *d, enum runner_note note, const char *detail);
/* The step has ended, its record in place: tells, frees `d`, and goes on. */
void runner_step_ended(struct driven *d, hardy_status status, const hardy_error *error);
/* A step that cannot begin, for a reason that is not its own failure. */
void runner_refuse(struct runner *r, hardy_status status, const hardy_error *error);
/* Nothing can be written any more: lets everything go and ends. */
void runner_break(struct runner *r, hardy_status status, const hardy_error *error);
/* The same in a moment, from where the runner is still needed; `error` is in r->error. */
void runner_break_soon(struct runner *r, hardy_status status);
void runner_end(struct runner *r, hardy_status status, const hardy_error *error);

/* --- runner_begin.c --- */
void runner_keep(struct runner *r); /* renews the lease and listens to people from now on */

uint32_t runner_next_order(struct runner *r);

/* --- runner_write.c --- */
bool runner_has_unwritten(const struct runner *r);
/* Adds what is to be written; `write` is taken. */
void runner_add(struct runner *r, struct command_unwritten *write);
/* The record as it stands, to be written; `before` = the row's fence, -1 = no row yet. */
void runner_add_record(struct runner *r, const struct record *record, int64_t before);
/* Fills d->with with what is not written yet. False = no memory. */
bool runner_carry(struct driven *d);
void runner_carried(struct driven *d, bool written); /* they are durable, or were not sent */
enum flush_what {
    FLUSH_KNOWN = 0,  /* what is known (and the run, when it is nowhere yet) */
    FLUSH_RUN = 1,    /* the run's row as it stands, too */
    FLUSH_TAKE = 2,   /* the lease as a new owner; `before` = the fence that was */
    FLUSH_RENEW = 4,  /* the lease for some more time */
    FLUSH_RELEASE = 8 /* the lease let go */
};
/* `then` NULL: a failure breaks the runner, a success is nobody's business. */
void runner_flush(struct runner *r, unsigned what, int64_t before,
                  void (*then)(struct runner *r, hardy_status status, const hardy_error *error));
void runner_drop_unwritten(struct runner *r);
/* Of a batch that met another fence: whether it was the lease's, in words. */
void runner_explain_fence(const struct runner *r, hardy_error *error);

/* --- runner_command.c, runner_wait.c --- */
/* E_...: it could not begin. */
hardy_status runner_start_command(struct driven *d, bool settle_only, hardy_error *error);
hardy_status runner_start_wait(struct driven *d, hardy_error *error);
void runner_let_go(struct driven *d); /* of what it does, without a callback */
bool runner_waits(const struct run_step *step);
/* Approvals, if there are any. */
void runner_hear(struct runner *r);
#endif
