/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_PROCFS_H
#define IO_PROCFS_H
/* What /proc tells of processes. */
#include <hardy/env.h>
#include <stdbool.h>

struct procfs_process {
    long pid, rss_kib;
    char name[64], state; /* as in /proc/PID/status: R, S, D, T, t, Z, X */
};
/* Whether there is such a process. */
bool procfs_read(long pid, struct procfs_process *out);
/* E_NOT_FOUND: there is no such file; E_SYNTAX: it holds no process id. */
hardy_status procfs_pid_file(const char *path, long *pid, hardy_error *error);
/* Every process with this name, or whose program (argv[0]) has it: the kernel's own name ends after
 * 15 characters. `fn` returns false to stop. */
hardy_status procfs_named(const char *name,
                          bool (*fn)(void *ctx, const struct procfs_process *process), void *ctx,
                          hardy_error *error);
bool procfs_stopped(const struct procfs_process *p); /* by a signal or a debugger */
#endif
