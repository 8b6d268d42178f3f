/* SPDX-License-Identifier: Apache-2.0 */
#include "health/host.h"
#include "base/buf.h"
#include "io/file.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { MAX_PROC = 64 << 10 };

static bool read_number(const char *path, uint64_t *out) {
    struct buf text;
    buf_init(&text, MAX_PROC);
    bool good = file_read(path, &text, NULL) == HARDY_OK && text.len > 0 && text.data[0] >= '0' &&
                text.data[0] <= '9';
    if (good)
        *out = strtoull(text.data, NULL, 10);
    buf_free(&text);
    return good;
}

/* "NAME   123 kB" of /proc/meminfo, or "NAME 123" of memory.stat. */
static bool read_field(const char *path, const char *name, uint64_t *out) {
    struct buf text;
    bool good = false;
    buf_init(&text, MAX_PROC);
    if (file_read(path, &text, NULL) == HARDY_OK && text.data) {
        for (const char *line = text.data; line && !good; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strncmp(line, name, strlen(name)) == 0) {
                *out = strtoull(line + strlen(name), NULL, 10);
                good = true;
            }
        }
    }
    buf_free(&text);
    return good;
}

static bool container_memory(struct host_reading *r) {
    static const char folder[] = "/sys/fs/cgroup/";
    uint64_t limit, used, cache = 0;
    char max[64], current[64], stat[64];
    snprintf(max, sizeof max, "%smemory.max", folder);
    snprintf(current, sizeof current, "%smemory.current", folder);
    snprintf(stat, sizeof stat, "%smemory.stat", folder);
    if (!read_number(max, &limit) || limit == 0 || !read_number(current, &used))
        return false; /* no limit, or not in a cgroup of its own */
    read_field(stat, "inactive_file ", &cache);
    r->memory_limit = limit;
    r->memory_used = (double)(used > cache ? used - cache : 0) / (double)limit;
    return true;
}

static bool host_memory(struct host_reading *r) {
    uint64_t total, available;
    if (!read_field("/proc/meminfo", "MemTotal:", &total) || total == 0 ||
        !read_field("/proc/meminfo", "MemAvailable:", &available))
        return false;
    r->memory_limit = total << 10;
    r->memory_used = 1 - (double)available / (double)total;
    return true;
}

void host_read(const char *disk, struct host_reading *out) {
    *out = (struct host_reading){0};
    if (!disk) {
        if (!container_memory(out) && !host_memory(out))
            snprintf(out->error, sizeof out->error, "memory cannot be read from /proc/meminfo");
        return;
    }
    struct statvfs s;
    if (statvfs(disk, &s) == 0)
        out->disk_free = (uint64_t)s.f_bavail * s.f_frsize;
    else
        snprintf(out->error, sizeof out->error, "%.150s: %s", disk, strerror(errno));
}
