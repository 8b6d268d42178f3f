/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_OP_H
#define GUARD_OP_H
/* The machine of <hardy/op.h> for drivers in this room: the settings are held already, and a step
 * is written in place. */
#include "guard/edition.h"
#include <hardy/op.h>

/* hardy_op_begin() with the settings that the caller holds for it; hardy_op_end() lets them go.
 * `options` is complete, but for its wake, which comes by itself. On failure the settings are still
 * the caller's. */
HARDY_MUST_USE hardy_status op_begin(hardy_op *op, hardy_guard *guard, struct edition_hold hold,
                                     hardy_wake wake, const hardy_op_options *options, int64_t now);
/* For a first attempt that a driver began by itself at `now`, as hardy_op_next() would have: it has
 * a permit, a slot where there is a bulkhead, and is reported next, */
void op_adopt(hardy_op *op, const hardy_permit *permit, int64_t end, int64_t now);
/* or the breaker has refused it. */
void op_refuse(hardy_op *op, int64_t retry_at, int64_t now);
/* hardy_op_next(), which sets only what the kind of step has. */
void op_next(hardy_op *op, int64_t now, hardy_step *step);
/* After a report: the RESULT when it is known and no attempt runs, as op_next() would tell it. */
bool op_take_result(hardy_op *op, int64_t now, hardy_step *step);
#endif
