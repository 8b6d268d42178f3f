/* SPDX-License-Identifier: Apache-2.0 */
#include "degrade/process.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "io/file.h"
#include "io/procfs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PROC = 64 << 10, MAX_PROCESSES = 256 };

static size_t read_tree(long pid, struct procfs_process *lines) {
    char path[64];
    struct buf children;
    size_t count = 0;
    if (!procfs_read(pid, &lines[count]))
        return 0;
    count++;
    buf_init(&children, MAX_PROC);
    snprintf(path, sizeof path, "/proc/%ld/task/%ld/children", pid, pid);
    if (file_read(path, &children, NULL) == HARDY_OK && children.data) {
        char *at = children.data;
        for (long child = strtol(at, &at, 10); child > 0 && count < MAX_PROCESSES;
             child = strtol(at, &at, 10))
            count += procfs_read(child, &lines[count]);
    }
    buf_free(&children);
    return count;
}

static void write_evidence(const char *why, long pid, const struct procfs_process *lines,
                           size_t count, struct buf *out) {
    struct json_out j;
    int64_t stopped = 0, zombie = 0;
    for (size_t i = 0; i < count; i++) {
        stopped += procfs_stopped(&lines[i]);
        zombie += lines[i].state == 'Z';
    }
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "running");
    json_out_bool(&j, count > 0 && lines[0].state != 'Z');
    json_out_key(&j, "reason");
    json_out_string(&j, why);
    json_out_key(&j, "pid");
    json_out_int(&j, pid);
    json_out_key(&j, "name");
    json_out_string(&j, count ? lines[0].name : NULL);
    json_out_key(&j, "count");
    json_out_int(&j, (int64_t)count);
    json_out_key(&j, "stopped");
    json_out_int(&j, stopped);
    json_out_key(&j, "zombie");
    json_out_int(&j, zombie);
    json_out_key(&j, "processes");
    json_out_array(&j);
    for (size_t i = 0; i < count; i++) {
        char state[2] = {lines[i].state, '\0'};
        json_out_object(&j);
        json_out_key(&j, "pid");
        json_out_int(&j, lines[i].pid);
        json_out_key(&j, "name");
        json_out_string(&j, lines[i].name);
        json_out_key(&j, "state");
        json_out_string(&j, state);
        json_out_key(&j, "rss_kib");
        json_out_int(&j, lines[i].rss_kib);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
}

hardy_status process_evidence(const char *pid_file, struct buf *out, hardy_error *error) {
    long pid;
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = procfs_pid_file(pid_file, &pid, &why);
    if (status == HARDY_E_NOT_FOUND) {
        write_evidence("there is no pid file", 0, NULL, 0, out);
        return HARDY_OK;
    }
    if (status != HARDY_OK)
        return fail(error, status, why.where, "%s", why.message);
    struct procfs_process *lines = calloc(MAX_PROCESSES, sizeof *lines);
    if (!lines)
        return fail(error, HARDY_E_NOMEM, pid_file, "no memory to read its processes");
    size_t count = read_tree(pid, lines);
    write_evidence(count ? NULL : "the process of the pid file is gone", pid, lines, count, out);
    free(lines);
    return HARDY_OK;
}
