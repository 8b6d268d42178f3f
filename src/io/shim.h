/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_SHIM_H
#define IO_SHIM_H
/*
 * The step shim: a small process between hardy and a step's command, `hardy __step`. It has its own
 * session, is the subreaper of all below it, holds the step's lock, enforces the deadline and
 * leaves the exit code and output by renaming a file. It survives kill -9 of hardy, which on
 * resume attaches to it: waits for the lock, then reads the file.
 *
 * Files of a step, `base` being its path without an ending:
 *   base.lock    byte 0 held from before the step is recorded as started until its result exists
 *   base.begun   exists from the moment before the command is executed
 *   base.result  the result, renamed into place; not synced: after a power cut the step is in doubt
 * A free lock with a result = ended. A free lock, no result, no base.begun, same boot = the command
 * never ran. A free lock and no result otherwise = in doubt.
 */
#include "base/buf.h"
#include "io/loop.h"

struct shim_options {
    const char *program;      /* the hardy program's path, run as `program __step ...` */
    const char *base;         /* see above; absolute */
    const char *const *argv;  /* the command */
    const char *const *env;   /* the command's whole environment */
    const char *cwd;          /* NULL = ours */
    int64_t deadline;         /* on the host's monotonic clock; HARDY_NEVER */
    int64_t kill_after;       /* between TERM and KILL; 5s */
    uint64_t max_output;      /* bytes of standard output kept; more is dropped and said so */
    int lock_fd;              /* open base.lock with byte 0 held; the caller closes its copy after */
    bool inherit_stdin;
    bool pass_output;         /* also copies standard output to ours while hardy lives; stderr always is inherited */
};

enum shim_state { SHIM_RUNNING, SHIM_ENDED, SHIM_NEVER_RAN, SHIM_LOST };

/* How a command ended. */
struct shim_result {
    int code;        /* exit code, when signal == 0 */
    int signal;
    bool timed_out;  /* the shim ended it at its deadline */
    bool cancelled;  /* the shim was asked to end it (TERM to the shim) */
    bool truncated;  /* output was longer than max_output */
    int not_started; /* errno of execve, 0 = it was started; the exit code is 127 or 126 then */
    int64_t started, ended; /* wall */
    struct buf output;      /* standard output; shim_result_free() */
};

/* Opens base.lock and takes it: E_RUNNING when a shim lives. Removes remains of an earlier attempt
 * (base.begun, base.result) once the lock is held; so the caller looks at shim_look() first. */
hardy_status shim_lock(const char *base, int *lock_fd, hardy_error *error);
/* What is there now. `boot_id`: the boot in which the step was recorded as started. Fills `result` for SHIM_ENDED only. */
hardy_status shim_look(const char *base, const char *boot_id, enum shim_state *state,
                       struct shim_result *result, hardy_error *error);
void shim_result_free(struct shim_result *result);
void shim_forget(const char *base); /* removes the files of a step whose result is recorded */

/* Starts a shim, or attaches to one that runs; tells when the step's result can be looked at. */
struct shim;
struct shim_events {
    void (*ended)(void *ctx, struct shim *s); /* the lock is free: call shim_look() */
};
hardy_status shim_start(struct loop *loop, const struct shim_options *options,
                        const struct shim_events *events, void *ctx, struct shim **out,
                        hardy_error *error);
hardy_status shim_attach(struct loop *loop, const char *base, const struct shim_events *events,
                         void *ctx, struct shim **out, hardy_error *error);
void shim_cancel(struct shim *s); /* asks it to end the command: TERM, then KILL after kill_after */
void shim_free(struct shim *s);   /* lets go; the step goes on */

/* The body of `hardy __step`; returns the process's exit code. */
int shim_main(int argc, char **argv);
#endif
