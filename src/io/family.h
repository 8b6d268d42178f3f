/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_FAMILY_H
#define IO_FAMILY_H
/*
 * Processes that may outlive whoever started them: known again by their number and the time of
 * their start, found by an entry of their environment, watched without being their parent.
 *
 * The functions take the loop because a simulated world has its own processes (io/sim.h).
 */
#include "io/loop.h"

/* Numbers are used again; never together with the time of the start, within one boot. */
struct process_identity {
    int pid;
    int64_t started; /* as the kernel counts */
};
/* E_NOT_FOUND: it has ended, or there is none of that number. */
hardy_status process_identify(struct loop *loop, int pid, struct process_identity *out);

/* The end of a process that somebody else started is told by events->exited with code and signal
 * -1: only its parent learns more. Freed and signalled like one of ours. E_NOT_FOUND; E_UNSUPPORTED
 * (the kernel has no pidfd); E_NOMEM. */
hardy_status process_attach(struct loop *loop, const struct process_identity *who,
                            const struct process_events *events, void *ctx, struct process **out,
                            hardy_error *error);
/* Not its group. */
void process_signal_itself(struct process *p, int signum);

/* All that have a common origin: members of the group or session of that number (0 = none), and
 * whoever has an entry in its environment that begins with `mark`, "NAME=value". What has written
 * over its environment is found only by the group. */
struct process_family {
    int group;
    const char *mark;
};
/* Sends `signum` (0: only counts) to each. Zombies do not count. */
size_t process_family_signal(struct loop *loop, const struct process_family *family, int signum);
/* The oldest group leader with such an entry; what follows `mark` in it goes to `rest`. */
bool process_find(struct loop *loop, const char *mark, struct process_identity *out, char *rest,
                  size_t size);
/* 1: it is one of them; 0: it is not; -1: there is no such process. Of the kernel's processes. */
int process_in_family(int pid, const struct process_family *family);
#endif
