/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_SETTINGS_H
#define POLICY_SETTINGS_H
#include <hardy/status.h>

/* Copies a caller's structure, which begins with its size, over `out`, which holds the defaults:
 * what a caller built with an older header does not know keeps its default. E_INVALID names `what`
 * when the size was never set or is larger than `full`. */
hardy_status settings_take(void *out, size_t full, const void *given, const char *what,
                           hardy_error *error);
#endif
