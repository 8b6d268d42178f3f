/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_SLOT_H
#define CLI_SLOT_H
/* Waits for one of the concurrency slots that the commands of a name share on this host; it is held
 * until this process lets it go, or ends in whatever way. */
#include "cli/exec.h"
#include "io/loop.h"

struct slot_wait { /* caller-owned; zeroed by slot_wait_start() */
    const struct exec_plan *plan;
    struct loop *loop;
    struct loop_timer timer;
    int64_t deadline, look;
    int fd; /* holds the slot; -1 */
    bool told;
    void (*done)(void *ctx, hardy_status status, const hardy_error *error);
    void *ctx;
};
/* `done` comes from loop_run(), once: OK (also where there is nothing to wait for: no slots, or the
 * breaker would refuse anyway), E_FULL (the plan says not to wait), E_DEADLINE, or what the kernel
 * says. */
void slot_wait_start(struct slot_wait *w, const struct exec_plan *plan, struct loop *loop,
                     int64_t deadline,
                     void (*done)(void *ctx, hardy_status status, const hardy_error *error),
                     void *ctx);
/* Stops waiting, gives the slot back. */
void slot_wait_end(struct slot_wait *w);
#endif
