/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_THREAD_H
#define GUARD_THREAD_H
/* Threads that wait, and one that stops another's operation. */
#include "base/atomic.h"
#include <hardy/op.h>

/* One thread waits here; an awakening that comes before it sleeps is not lost. Zero at first. */
struct parking {
    atomic_word woken;
};
/* Until `until` (absolute, on this clock) or until it is woken. */
void thread_park(struct parking *p, const hardy_env *env, int64_t until);
void thread_unpark(void *parking); /* any thread */

/* Ends what runs under it; must outlive that. Zero at first. */
struct thread_stop {
    atomic_word stopped;
    struct parking parking;
};
void thread_stop(struct thread_stop *stop); /* any thread; for good */

_Static_assert(sizeof(struct thread_stop) <= sizeof(hardy_cancel_token), "a token has room");
_Static_assert(_Alignof(struct thread_stop) <= _Alignof(hardy_cancel_token), "and is aligned");
static inline struct thread_stop *thread_stop_of(hardy_cancel_token *token) {
    return (struct thread_stop *)token;
}

/* What hardy_call.internal points to. */
struct thread_call {
    const hardy_env *env;
    const struct thread_stop *stop;
};

/* hardy_guard_run() that another thread can stop: E_CANCELLED. `options` is complete, its wake is
 * ours. */
HARDY_MUST_USE hardy_status thread_run(hardy_guard *guard, hardy_function function, void *ctx,
                                       const hardy_op_options *options, struct thread_stop *stop,
                                       hardy_outcome *outcome, hardy_error *error);
#endif
