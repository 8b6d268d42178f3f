/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_RETRY_AFTER_H
#define POLICY_RETRY_AFTER_H
#include <hardy/retry_after.h>

/* The value of one header that tells when a rate limit is reset, in any of its forms: nanoseconds
 * from `wall`, without a bound; 0: it has passed, or cannot be read. */
int64_t retry_after_reset(const char *value, int64_t wall);
#endif
