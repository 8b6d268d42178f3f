/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_OUTCOME_H
#define POLICY_OUTCOME_H
/*
 * What usual results mean when the user has not said otherwise. What is not known is a failure
 * whose effect is unknown, so it is retried only where repeating was declared harmless.
 */
#include <hardy/outcome.h>

/* A command that ended by itself. A nonzero code is its own statement that it failed, so it may run
 * again; 126 and 127 (it could not be started) stay as they are. */
hardy_outcome outcome_of_exit(int code);
/* A command ended by a signal: INT and TERM are somebody's wish, the others are trouble. */
hardy_outcome outcome_of_signal(int signal);
/* A failed system call or connection; `sent`: the request had begun to leave. */
hardy_outcome outcome_of_errno(int errnum, bool sent);
/* An HTTP answer. `retry_after`: the server's, in ns, 0 = none. */
hardy_outcome outcome_of_http(int status, int64_t retry_after);
/* hardy stopped the attempt at its time-out. */
hardy_outcome outcome_of_timeout(bool sent);
#endif
