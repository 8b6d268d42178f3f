/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_ATTEMPT_H
#define CLI_ATTEMPT_H
/*
 * One run of a command, and its end. It is over when the command itself has exited, not when the
 * descriptors it handed on are closed. What it left in its process group is ended then (TERM, up to
 * a second, KILL); what made a session of its own is left alone. When it is stopped: TERM to the
 * group; when that has not ended everything after `kill_after`, or the group is gone and something
 * else is left: KILL to everything below this process.
 *
 * Needs process_adopt_orphans(), and that nothing else is started by this process meanwhile.
 */
#include "io/loop.h"

struct attempt_options {
    struct process_options process; /* borrowed until started */
    int64_t kill_after;
};
struct attempt_result {
    int code;    /* exit code, when signal == 0 */
    int signal;  /* that ended the command */
    size_t left; /* processes of its group that had to be ended */
};
struct attempt;
struct attempt_events {
    void (*output)(void *ctx, const char *data, size_t len); /* of standard output, if captured */
    void (*ended)(void *ctx,
                  const struct attempt_result *result); /* the attempt is gone after it */
};
/* As process_start(). */
hardy_status attempt_start(struct loop *loop, const struct attempt_options *options,
                           const struct attempt_events *events, void *ctx, struct attempt **out,
                           hardy_error *error);
void attempt_stop(struct attempt *a, int signum); /* with TERM, or with what we were sent */
void attempt_kill(struct attempt *a);             /* now, and everything below */
#endif
