/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_LOOKING_H
#define HEALTH_LOOKING_H
/*
 * Local looks, each in a thread of its own: one that hangs on a dead file system cannot be stopped,
 * and holds nothing up but that thread. The same thing is not looked at a second time meanwhile.
 */
#include "health/local.h"

struct looking;
/* `done` comes from the loop, not from inside the call; what was seen is borrowed for it. `what` is
 * copied as far as it is needed. E_FULL: an earlier look at the same still hangs. E_NOMEM. */
hardy_status looking_start(struct loop *loop, const struct check_settings *what,
                           void (*done)(void *ctx, const struct local_look *seen), void *ctx,
                           struct looking **out, hardy_error *error);
void looking_cancel(struct looking *l); /* `done` is not called */
#endif
