/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_BACKOFF_H
#define POLICY_BACKOFF_H
/* hardy_backoff() and its like are public; this is what the settings must hold to. */
#include <hardy/retry.h>

hardy_status retry_check(const hardy_retry_config *c, hardy_error *error);
#endif
