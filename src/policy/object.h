/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POLICY_OBJECT_H
#define POLICY_OBJECT_H
#include <hardy/status.h>

/* Zero-filled memory that begins on a cache line, for free(); NULL, and E_NOMEM told of `what`. */
void *object_allocate(size_t size, const char *what, hardy_error *error);
#endif
