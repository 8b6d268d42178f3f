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
 * never ran. A free lock and no result otherwise = in doubt. So is a step without its base.lock: it
 * was there before the step was recorded, so somebody has removed it, and what else there was.
 *
 * A step ends when its command exits, not when its descriptors close: what the pipe holds then is
 * taken, the rest of the command's process group is ended (half a second to become a daemon, TERM,
 * up to a second, KILL), and what made its own session (a daemon) is left alone. At the deadline,
 * or when cancelled: TERM to the command's group; when that has not ended everything after
 * `kill_after`, or the group is gone but not all of the rest: KILL to everything below the shim.
 * The command dies with the shim (kill -9 of the shim), so that a step that is lost does not go on
 * behind a second run.
 *
 * The functions take the loop because a simulated world has its own steps (io/sim.h).
 */
#include "base/buf.h"
#include "io/loop.h"

struct shim_options {
    const char *program;     /* run as `program __step ...`; NULL = the running program itself */
    const char *base;        /* see above; absolute */
    const char *const *argv; /* the command */
    const char *const *env;  /* the command's whole environment */
    const char *cwd;         /* NULL = ours */
    int64_t deadline;        /* on the host's monotonic clock; HARDY_NEVER */
    int64_t kill_after;      /* between TERM and KILL; 5s */
    uint64_t max_output;     /* bytes of standard output kept; more is dropped and said so */
    int lock_fd; /* of shim_lock(); the caller lets its copy go with shim_unlock() after */
    bool inherit_stdin;
    bool pass_output; /* also copies standard output to ours, until shim_free() or our end */
};

enum shim_state { SHIM_RUNNING, SHIM_ENDED, SHIM_NEVER_RAN, SHIM_LOST };

/* How a command ended. */
struct shim_result {
    int code; /* exit code, when signal == 0 */
    int signal;
    bool timed_out;  /* the shim ended it at its deadline */
    bool cancelled;  /* the shim was asked to end it (TERM to the shim) */
    bool truncated;  /* output was longer than max_output: `output` is its beginning */
    int not_started; /* errno, 0 = the command was started; else the exit code is 127 or 126 */
    int64_t started, ended; /* wall */
    struct buf output;      /* standard output; shim_result_free() */
};

/* Opens base.lock and takes it: E_RUNNING when a shim lives. Removes remains of an earlier attempt
 * (base.begun, base.result) once the lock is held; so the caller looks at shim_look() first.
 * `lock_fd` is let go with shim_unlock(); a shim started with it keeps its own copy. */
hardy_status shim_lock(struct loop *loop, const char *base, int *lock_fd, hardy_error *error);
void shim_unlock(struct loop *loop, int lock_fd);
/* What is there now. `boot_id`: the boot in which the step was recorded as started. Fills `result`
 * for SHIM_ENDED only. A result that is torn or not of this format counts as none. Failure (E_IO,
 * E_NOMEM ...) says nothing about the step. */
hardy_status shim_look(struct loop *loop, const char *base, const char *boot_id,
                       enum shim_state *state, struct shim_result *result, hardy_error *error);
void shim_result_free(struct shim_result *result);
/* Removes the files of a step whose result is recorded; nothing while it runs. */
void shim_forget(struct loop *loop, const char *base);

/* Starts a shim, or attaches to one that runs; tells when the step's result can be looked at. */
struct shim;
struct shim_events {
    /* The lock is free: call shim_look(), then shim_free(). The last callback. */
    void (*ended)(void *ctx, struct shim *s);
};
hardy_status shim_start(struct loop *loop, const struct shim_options *options,
                        const struct shim_events *events, void *ctx, struct shim **out,
                        hardy_error *error);
hardy_status shim_attach(struct loop *loop, const char *base, const struct shim_events *events,
                         void *ctx, struct shim **out, hardy_error *error);
/* Asks it to end the command: TERM, then KILL after kill_after. Cancelled before the command was
 * executed, it is SHIM_NEVER_RAN. */
void shim_cancel(struct shim *s);
void shim_free(struct shim *s); /* lets go; the step goes on */

/* The body of `hardy __step`, argv[0] being "hardy"; returns the process's exit code. Needs
 * descriptor 3 = base.lock with its lock. */
int shim_main(int argc, char **argv);
#endif
