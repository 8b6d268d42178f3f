/* SPDX-License-Identifier: Apache-2.0 */
#include "io/procfs.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROC = 64 << 10 };

/* A value of /proc/PID/status, such as the one behind "State:". */
static const char *field(const char *status, const char *name) {
    const char *at = strstr(status, name);
    if (!at)
        return "";
    at += strlen(name);
    return at + strspn(at, " \t");
}

bool procfs_read(long pid, struct procfs_process *out) {
    char path[64];
    struct buf text;
    buf_init(&text, MAX_PROC);
    snprintf(path, sizeof path, "/proc/%ld/status", pid);
    bool there = file_read(path, &text, NULL) == HARDY_OK && text.data;
    if (there) {
        const char *name = field(text.data, "Name:");
        char *copy = str_ndup(name, strcspn(name, "\n"));
        *out = (struct procfs_process){.pid = pid,
                                       .state = *field(text.data, "\nState:"),
                                       .rss_kib = strtol(field(text.data, "\nVmRSS:"), NULL, 10)};
        str_copy(out->name, sizeof out->name, copy ? copy : "");
        free(copy);
    }
    buf_free(&text);
    return there;
}

hardy_status procfs_pid_file(const char *path, long *pid, hardy_error *error) {
    struct buf text;
    buf_init(&text, 64);
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = file_read(path, &text, &why);
    if (status != HARDY_OK) {
        (void)fail(error, status, path, "%s", why.message);
    } else {
        char *end = text.data;
        *pid = text.data ? strtol(text.data, &end, 10) : 0;
        if (*pid <= 0 || end[strspn(end, " \t\r\n")] != '\0')
            status = fail(error, HARDY_E_SYNTAX, path, "holds no process id");
    }
    buf_free(&text);
    return status;
}

static bool has_program(long pid, const char *name) {
    char path[64];
    struct buf text;
    buf_init(&text, MAX_PROC);
    snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    bool same = false;
    if (file_read(path, &text, NULL) == HARDY_OK && text.data) {
        const char *slash = strrchr(text.data, '/');
        same = str_eq(slash ? slash + 1 : text.data, name);
    }
    buf_free(&text);
    return same;
}

hardy_status procfs_named(const char *name,
                          bool (*fn)(void *ctx, const struct procfs_process *process), void *ctx,
                          hardy_error *error) {
    DIR *folder = opendir("/proc");
    if (!folder)
        return fail(error, HARDY_E_IO, "/proc", "%s", strerror(errno));
    bool more = true;
    for (struct dirent *entry = readdir(folder); entry && more; entry = readdir(folder)) {
        struct procfs_process p;
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && procfs_read(pid, &p) && (str_eq(p.name, name) || has_program(pid, name)))
            more = fn(ctx, &p);
    }
    closedir(folder);
    return HARDY_OK;
}

bool procfs_stopped(const struct procfs_process *p) {
    return p->state == 'T' || p->state == 't';
}
