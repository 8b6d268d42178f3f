/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_HOST_H
#define HEALTH_HOST_H
/* What this host or container has: memory (of the cgroup when it has a limit, else of the host) and
 * free disk. */
#include <hardy/env.h>
#include <stdint.h>

struct host_reading {
    double memory_used; /* share of memory_limit that cannot be given back */
    uint64_t memory_limit, disk_free;
    char error[200]; /* what could not be read; "" */
};
/* `disk`: a path, or NULL for memory. May block as long as its file system does. */
void host_read(const char *disk, struct host_reading *out);
#endif
