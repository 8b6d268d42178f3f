/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_LOOKING_H
#define HEALTH_LOOKING_H
/*
 * Local looks, taken in threads of the loop's pool, a few at a time: one that hangs on a dead file
 * system cannot be stopped, and the pool has other work to do (names are resolved in it).
 */
#include "health/local.h"

struct looking;
/* `done` comes from the loop, not from inside the call; what was seen is borrowed for it. `what`
 * copied as far as it is needed. NULL without memory. E_FULL: an earlier look at the same still
 * hangs. */
hardy_status looking_start(struct loop *loop, const struct check_settings *what,
                           void (*done)(void *ctx, const struct local_look *seen), void *ctx,
                           struct looking **out, hardy_error *error);
/* Whether it has its turn; if not, others hang before it. */
bool looking_began(const struct looking *l);
void looking_cancel(struct looking *l); /* `done` is not called */
#endif
