/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HARDY_H
#define HARDY_H
/* All of libhardy: #include <hardy/hardy.h>, cc ... $(pkg-config --cflags --libs hardy). */
#include <hardy/env.h>
#include <hardy/gather.h>
#include <hardy/guard.h>
#include <hardy/op.h>
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
