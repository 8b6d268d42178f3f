/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BACKOFF_H
#define POLICY_BACKOFF_H
/* hardy_backoff() and its like are public; this is what the settings must hold to. */
#include <hardy/poll.h>

hardy_status retry_check(const hardy_retry_config *c, hardy_error *error);
/* The waits of a poll as those of a retry. */
hardy_status poll_waits(const hardy_poll_config *c, hardy_retry_config *out, hardy_error *error);
#endif
