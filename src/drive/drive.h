/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DRIVE_DRIVE_H
#define DRIVE_DRIVE_H
/*
 * The event-loop driver of a guarded operation: owns the operation and its one timer, calls back to
 * start and stop attempts, and tells the result. Callbacks come from loop_run() only; each may call
 * the functions below.
 */
#include "io/loop.h"
#include <hardy/op.h>

struct drive;
struct drive_events {
    /* Start attempt `attempt`; answer with drive_report(), later or at once. */
    void (*call)(void *ctx, struct drive *d, uint32_t attempt, int64_t deadline);
    /* Make the attempt end; still report it when it has. */
    void (*stop)(void *ctx, struct drive *d, uint32_t attempt);
    /* It waits, for another reason than before: for progress; may be NULL. */
    void (*waiting)(void *ctx, struct drive *d, const hardy_step *step);
    void (*result)(void *ctx, struct drive *d, const hardy_step *step);
    /* Nothing outstanding; the drive is freed after it. */
    void (*done)(void *ctx, struct drive *d);
};
/* `guard` and `events` borrowed until done; `options` copied, NULL = defaults, its wake is ours.
 * Keeps loop_run() alive. E_NOMEM, E_INVALID. */
hardy_status drive_start(struct loop *loop, hardy_guard *guard, const hardy_op_options *options,
                         const struct drive_events *events, void *ctx, struct drive **out,
                         hardy_error *error);
void drive_report(struct drive *d, uint32_t attempt, const hardy_outcome *outcome);
void drive_report_progress(struct drive *d, uint32_t attempt, hardy_progress what);
void drive_cancel(struct drive *d); /* the loop's thread */
#endif
