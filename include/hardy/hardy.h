/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_H
#define HARDY_H
/*
 * Keeps a program working while what it depends on fails: all of libhardy. C11 or C++11; it needs
 * the C library only.
 *
 * hardy_guard_run() is the ordinary use: a function under a guard, in the caller's thread. An event
 * loop drives the same decisions itself: op.h. The policies can be used by themselves too: a
 * breaker, a limiter, hardy_backoff(). What holds for all of it:
 *
 * - *Settings* are structures that begin with their size. An init function fills in the defaults,
 *   so a program that sets some members keeps working with a library that knows more of them.
 *   Texts and structures are copied, unless it is said that they are borrowed, and until when.
 * - *Times* are nanoseconds. A deadline is absolute, a timeout is a span. An argument `now` is the
 *   reading of one clock, the same for all calls on an object; a guard reads the clock of its
 *   hardy_env, else that of hardy_env_system().
 * - *Errors*: a hardy_status, and in a hardy_error, which may be NULL, the place and the reason:
 *   status.h.
 * - *Memory*: what a function with `new` in its name has made is given back with the one with
 *   `free`; a call through a breaker, a limiter or a guard allocates nothing. A text that is
 *   returned as `const char *` belongs to the library.
 * - *Threads*: a guard, a breaker and a limiter serve any number of threads at once. Settings,
 *   permits, outcomes and errors are the caller's, one thread at a time; so is a hardy_op, but for
 *   its hardy_op_cancel(). Only hardy_gather() makes threads, and no signal handler is installed.
 * - *fork*: the child has a copy of each object, which counts for itself from then on, and must
 *   not end operations that its parent has begun. In a program with several threads the child makes
 *   guards of its own. Processes share policies through the program `hardy`.
 * - *Logging*: the library prints nothing. A guard hands lines to the log function of its
 *   hardy_env, where there is one, and keeps events for whoever asks: hardy_guard_take_events().
 */
#include <hardy/env.h>
#include <hardy/gather.h>
#include <hardy/guard.h>
#include <hardy/keyed.h>
#include <hardy/op.h>
#include <hardy/poll.h>
#include <hardy/retry_after.h>
#include <hardy/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HARDY_VERSION_MAJOR 0
#define HARDY_VERSION_MINOR 1
#define HARDY_VERSION_PATCH 0

/* The library's version as a string, such as "0.1.0"; static storage. */
HARDY_API const char *hardy_version(void);

#ifdef __cplusplus
}
#endif
#endif
